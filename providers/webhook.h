/*
 * Verifying webhooks: what several providers' signatures have in common.
 */
#ifndef GENGATE_PROVIDERS_WEBHOOK_H
#define GENGATE_PROVIDERS_WEBHOOK_H

#include <stdbool.h>

#include "base/err.h"

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

#endif
