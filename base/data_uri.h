/*
 * data: URIs (RFC 2397) with base64: nobody sends pictures percent-encoded.  A pure
 * parser over memory.
 */
#ifndef GENGATE_BASE_DATA_URI_H
#define GENGATE_BASE_DATA_URI_H

#include <stdbool.h>

#include "base/buf.h"

bool is_data_uri(const char *s);

/* Its base64, behind the comma; borrowed.  NULL: it has none. */
const char *data_uri_base64(const char *uri, size_t len);

/* Its bytes, appended to out.  What it says of their type is not looked at.
 * ERR_INVALID: it has no base64, or is broken; err says which.  ERR_TOO_BIG and
 * ERR_NOMEM are out's. */
enum err_code data_uri_decode(const char *uri, size_t len, struct buf *out, struct err *err) MUST_CHECK;

#endif
