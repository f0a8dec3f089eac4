/*
 * Verifying webhooks: what several providers' signatures have in common.
 */
#ifndef GENGATE_PROVIDERS_WEBHOOK_H
#define GENGATE_PROVIDERS_WEBHOOK_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/crypto.h"

/* Both ways: the default of Standard Webhooks, and fal's. */
#define WEBHOOK_TOLERANCE_S 300
#define WEBHOOK_TIMESTAMP_MAX 20	/* digits */

/* Seconds since 1970, as text, near enough to now?  header: where it stood.
 * ERR_SIGNATURE: no. */
enum err_code webhook_check_age(const char *header, const char *timestamp, int64_t now_s,
	struct err *err) MUST_CHECK;

/* The next item of a list separated by `sep`, without the blanks around it.
 * false at the end. */
bool webhook_next_item(const char **list, char sep, const char **item, size_t *len);

/* Secrets of an operator's own choice, separated by commas: a mistake for each that is
 * shorter than min, and if there is none.  row: as in the configuration. */
void webhook_check_secrets(const char *row, const char *secrets, size_t min, struct buf *mistakes);

/* Is that, in hexadecimal, the HMAC-SHA256 of the bytes by any of the secrets?
 * ERR_SIGNATURE: no. */
enum err_code webhook_hmac_verify(const char *secrets, const void *p, size_t len, const char *hex,
	struct err *err) MUST_CHECK;

/* By the first of them.  ERR_CONFIG: there is none. */
enum err_code webhook_hmac_sign(const char *secrets, const void *p, size_t len, char hex[SHA256_HEX_SIZE],
	struct err *err) MUST_CHECK;

#endif
