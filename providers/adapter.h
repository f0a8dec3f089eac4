/*
 * What core does with a provider: its adapter's functions (provider.h), and around each
 * what is the same for all of them.  A call's pair as there: a request that can be sent,
 * and what the answer to it means.  Any thread.
 *
 * A request is the caller's, http_request_clear(), and so is a reply, also where it is
 * none: it is empty then.  A provider's words in it have no secret of the settings.
 * What a reply function returns is our own trouble
 * (ERR_NOMEM); "refused" and "cannot be read" are in the reply.
 */
#ifndef GENGATE_PROVIDERS_ADAPTER_H
#define GENGATE_PROVIDERS_ADAPTER_H

#include "providers/provider.h"

/* Mistakes of one that is in use: an API's URL that is none, a missing key. */
void adapter_check(const struct provider *p, const void *settings, struct buf *mistakes);

/* Mistakes in its part of a model's profile.  where: for cfg_mistake(). */
void adapter_check_profile(const struct provider *p, const json_t *on, const char *where, struct buf *mistakes);

/* May a request's params set that member of "input"? */
bool adapter_takes_param(const struct provider *p, const char *name);

/* Where its API is.  Borrowed. */
const char *adapter_url(const void *settings);
bool adapter_has_key(const void *settings);

/* Which of its options fills the member at that offset of struct provider_api; NULL: none. */
const char *adapter_option(const struct provider *p, size_t offset);

/* Adds its key to a request to its API's host: outputs are kept there, too. */
enum err_code adapter_authorize(const struct provider *p, const void *settings, struct http_request *rq) MUST_CHECK;

/* As provider.h's read.  Without p->probe.request the API's base is asked for, without our
 * key, and any answer will do. */
enum err_code adapter_probe_request(const struct provider *p, const void *settings, struct http_request *ret,
	struct err *err) MUST_CHECK;
enum err_code adapter_probe_reply(const struct provider *p, const void *settings, const struct http_response *rs,
	struct err *err) MUST_CHECK;

/* ERR_CONFIG: the profile lacks what it takes. */
enum err_code adapter_submit_request(const struct provider *p, const void *settings, const struct gen_spec *spec,
	struct http_request *ret, struct err *err) MUST_CHECK;
/* After the request: what is known of how its prediction is reached, appended; may be nothing. */
enum err_code adapter_submit_handle(const struct provider *p, const struct gen_spec *spec, struct buf *ret,
	struct err *err) MUST_CHECK;
enum err_code adapter_submit_reply(const struct provider *p, const void *settings, const struct http_response *rs,
	struct submit_reply *ret, struct err *err) MUST_CHECK;

/* look: &p->get_status or &p->cancel.  ERR_CONFIG: a handle is needed, and there is none. */
enum err_code adapter_look_request(const struct provider *p, const void *settings, const struct provider_look *look,
	const struct look_query *query, struct http_request *ret, struct err *err) MUST_CHECK;
enum err_code adapter_look_reply(const struct provider *p, const void *settings, const struct provider_look *look,
	const struct look_query *query, const struct http_response *rs, struct status_reply *ret,
	struct err *err) MUST_CHECK;

/* With PROVIDER_FIND.  ERR_INVALID: query->follow leads away from the API. */
enum err_code adapter_find_request(const struct provider *p, const void *settings, const struct find_query *query,
	struct http_request *ret, struct err *err) MUST_CHECK;
enum err_code adapter_find_reply(const struct provider *p, const void *settings, const struct http_response *rs,
	struct find_reply *ret, struct err *err) MUST_CHECK;

/* With PROVIDER_VERIFIER.  The reply is appended.  ERR_UPSTREAM: the answer has none. */
enum err_code adapter_verifier_request(const struct provider *p, const void *settings, struct http_request *ret,
	struct err *err) MUST_CHECK;
enum err_code adapter_verifier_reply(const struct provider *p, const struct http_response *rs, struct buf *ret,
	struct err *err) MUST_CHECK;

/* With PROVIDER_WEBHOOK.  Do the settings say what to verify by? */
bool adapter_has_secret(const void *settings);
/* fetched: by the verifier's call, where the settings have nothing; or NULL.  The rest as
 * webhook_verify. */
enum err_code adapter_webhook_verify(const struct provider *p, const void *settings, const char *fetched,
	const struct webhook *wh, int64_t now_s, char **ret_delivery, struct err *err) MUST_CHECK;
/* After verify.  ERR_BAD_REQUEST: not what this provider sends. */
enum err_code adapter_webhook_parse(const struct provider *p, const void *settings, const struct webhook *wh,
	struct gen_observation *ret, struct err *err) MUST_CHECK;
/* Method, headers and body of a webhook signed as the provider would, by our own first
 * secret, and of that size at least: it says nothing.  ERR_CONFIG: there is no secret. */
enum err_code adapter_webhook_probe(const struct provider *p, const void *settings, int64_t now_s,
	size_t body_bytes, struct http_request *ret, struct err *err) MUST_CHECK;

#endif
