/*
 * Standard Webhooks signatures, as Svix and Replicate send them
 * (https://github.com/standard-webhooks/standard-webhooks, spec, "Signature
 * scheme"; https://replicate.com/docs/topics/webhooks/verify-webhook).
 */
#ifndef GENGATE_PROVIDERS_STANDARD_WEBHOOKS_H
#define GENGATE_PROVIDERS_STANDARD_WEBHOOKS_H

#include "providers/provider.h"

/*
 * secrets: "whsec_" and base64 (the prefix may be missing), several separated by
 * commas; any that fits is enough.  The rest as webhook_verify in provider.h.
 */
enum err_code standard_webhooks_verify(const char *secrets, const struct webhook *wh,
	int64_t now_s, char **ret_delivery, struct err *err) MUST_CHECK;

/* Make rq a webhook with rq's own body: its headers, signed by the first secret. */
enum err_code standard_webhooks_sign(const char *secrets, const char *id, int64_t now_s,
	struct http_request *rq, struct err *err) MUST_CHECK;

/* Is every secret in the list one that could verify anything? */
enum err_code standard_webhooks_check(const char *secrets, struct err *err) MUST_CHECK;

#endif
