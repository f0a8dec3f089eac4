/*
 * What a Supabase user's token says, and whether that makes a caller of ours.
 */
#ifndef GENGATE_CORE_CLAIMS_H
#define GENGATE_CORE_CLAIMS_H

#include <jansson.h>

#include "base/id.h"

/* Clocks differ: a token counts for so long after its end and before its begin. */
#define CLAIMS_LEEWAY_S 60

struct claims_rule {
	const char *issuer;
	bool anonymous;		/* users who only signed in anonymously are served, too */
};

/*
 * *ret_until_s: until when that holds, with the leeway.
 * ERR_UNAUTHORIZED; ERR_FORBIDDEN: an anonymous user.  err says why in fixed words.
 */
enum err_code claims_check(const json_t *claims, const struct claims_rule *rule, int64_t now_s,
	struct uuid *ret_user, int64_t *ret_until_s, struct err *err) MUST_CHECK;

#endif
