/* Files without a name. */
#ifndef GENGATE_BASE_TEMP_FILE_H
#define GENGATE_BASE_TEMP_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* A file that nobody else can open and that goes with its descriptor.  dir: NULL
 * for TMPDIR, or /tmp.  ERR_UPSTREAM: it cannot be made; a full disk may be mended. */
enum err_code temp_file(const char *dir, int *ret_fd, struct err *err) MUST_CHECK;

/* All of p, at that place.  ERR_UPSTREAM. */
enum err_code temp_file_put(int fd, const void *p, size_t len, uint64_t at, struct err *err) MUST_CHECK;

#endif
