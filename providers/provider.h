/*
 * What a provider is: pure mapping between our words and its HTTP.  No I/O, no
 * SQL, no clock; base/ sends, times out and limits, the same for all.
 *
 * A call is a pair: build the request from our words, read the reply back into
 * our words.  A reply function returns ERR_OK whenever it could say what the
 * reply means, including "the provider refused"; anything else is our own
 * trouble (ERR_NOMEM).  `settings` is the provider's own struct, filled from
 * its `options` rows.  All functions may be called from any thread.
 */
#ifndef GENGATE_PROVIDERS_PROVIDER_H
#define GENGATE_PROVIDERS_PROVIDER_H

#include "base/cfg.h"
#include "base/generation.h"
#include "base/http.h"

/* What a provider can do; core asks for these, never for a name. */
#define PROVIDER_WEBHOOK 1u	/* sends signed webhooks: webhook_verify, webhook_parse */
#define PROVIDER_CANCEL 2u	/* ends a prediction before its time: cancel */
#define PROVIDER_FIND 4u	/* lists the account's predictions: find */
#define PROVIDER_VERIFIER 8u	/* tells what its webhooks are verified by: verifier */
#define PROVIDER_HINTS 16u	/* its webhooks' signatures have no time, so one that is sent
				 * again by somebody cannot be told: none is believed, each is
				 * a reason to look */
#define PROVIDER_NAMED 32u	/* we choose a prediction's id, and it is the job's: a create
				 * without an answer is looked for by get_status */
#define PROVIDER_SYNC 64u	/* a create is answered when the generation is over; it may
				 * take as long as its request's timeout_ms says */

/* Longer ones are not taken. */
#define PREDICTION_ID_MAX 200
#define HANDLE_MAX 2048
#define VERIFIER_MAX 4096

/* For max_response_bytes of a request whose answer has the outputs in it: base64 of
 * four pictures of 8 MB, and what is around them. */
#define INLINE_RESPONSE_BYTES (48u << 20)

/* What became of a create. */
enum submit_outcome {
	SUBMIT_ACCEPTED,	/* obs says how it stands; without obs.prediction_id the job's
				 * own id stands for it: of a generation that is over */
	SUBMIT_REFUSED,		/* final: nothing exists, error says whose fault it is */
	SUBMIT_DEFERRED,	/* nothing exists; try again after retry_after_ms */
	SUBMIT_UNKNOWN,		/* it may exist */
};

struct submit_reply {
	enum submit_outcome outcome;
	struct gen_observation obs;
	enum err_code error;		/* REFUSED: ERR_PROVIDER_REJECTED, ERR_CONTENT_BLOCKED, or
				 * ERR_PROVIDER_UNAVAILABLE: it takes nothing from us */
	uint64_t retry_after_ms;	/* 0: not said */
	char *message;			/* the provider's words, for log and trail; may be NULL */
};

void submit_reply_clear(struct submit_reply *reply);

/* Which prediction a call is about.  All borrowed. */
struct look_query {
	const char *prediction_id;
	/* How it is reached, as its gen_observation said, or `handle` below; the adapter's
	 * own words.  NULL: nobody has said; and a job may know it of another prediction
	 * than this one: where it names one, prediction_id counts. */
	const char *handle;
	const char *follow;		/* what the reply before asked for; NULL: the first request */
};

/* What a status call brought, or a cancel. */
enum status_outcome {
	STATUS_SEEN,		/* obs */
	STATUS_LATER,		/* no news: throttled, broken, our key is not taken; a
				 * cancel that was taken and says no more than that */
	STATUS_GONE,		/* the provider does not know this prediction */
	STATUS_MORE,		/* one more request is needed: follow.  Of these FOLLOWS_MAX at
				 * most, then it counts as STATUS_LATER */
};

#define FOLLOWS_MAX 3

struct status_reply {
	enum status_outcome outcome;
	struct gen_observation obs;
	char *follow;			/* with STATUS_MORE: for request and reply, to know by */
	uint64_t retry_after_ms;	/* 0: not said */
	char *message;
};

void status_reply_clear(struct status_reply *reply);

/* A call about one prediction that may be repeated.  request: ERR_CONFIG where a
 * handle is needed and there is none. */
struct provider_look {
	enum err_code (*request)(const void *settings, const struct look_query *query,
		struct http_request *ret, struct err *err);
	enum err_code (*reply)(const void *settings, const struct look_query *query,
		const struct http_response *rs, struct status_reply *ret, struct err *err);
};

/* Which predictions to list. */
struct find_query {
	int64_t after_us, before_us;	/* when they were created, by the provider's clock */
	const char *follow;		/* a page that a reply named; NULL: the first */
};

enum find_outcome {
	FIND_PAGE,		/* found, follow, cut */
	FIND_LATER,		/* no list: throttled, broken, our key is not taken */
};

struct found_prediction {
	struct gen_observation obs;	/* with prediction_id */
	json_t *input;			/* as it was sent; NULL: it is not told any more */
	int64_t created_us;		/* 0: not said */
};

/* One page of the list. */
struct find_reply {
	enum find_outcome outcome;
	struct found_prediction *found;
	size_t n;
	char *follow;			/* the next page; NULL: this was the last */
	bool cut;			/* there is more that cannot be seen: what is not in
				 * this list may be there all the same */
	int64_t date_us;		/* the provider's clock; 0: not said */
	uint64_t retry_after_ms;	/* 0: not said */
	char *message;
};

void find_reply_clear(struct find_reply *reply);

/* A webhook as it came.  All borrowed. */
struct webhook {
	/* The value of a header by its lower-case name; NULL if it is not there. */
	const char *(*header)(const void *ctx, const char *name);
	const void *ctx;
	const char *body;		/* the raw bytes: they are what is signed */
	size_t body_len;
};

struct provider {
	const char *name;		/* as in the configuration and in URLs */
	const char *title;		/* for people: "Replicate" */
	unsigned caps;
	const struct cfg_row *options;
	size_t settings_size;

	/* Hosts that outputs may be fetched from: "host", or ".suffix" for all
	 * below it.  NULL-terminated. */
	const char *const *output_hosts;
	uint64_t retention_ms;		/* how long outputs can be fetched; 0: for good */

	/* Mistakes of a provider that is in use: a missing token.  May be NULL. */
	void (*check)(const void *settings, struct buf *mistakes);
	/* Where its API is: borrowed. */
	const char *(*api_url)(const void *settings);
	/* Mistakes in its part of a model's profile, a template: "model", "input", and
	 * what else it takes.  where: for cfg_mistake(). */
	void (*check_profile)(const json_t *on, const char *where, struct buf *mistakes);
	/* Add the API's credentials to a request to its own host: for outputs that
	 * are kept there.  NULL: there are none. */
	enum err_code (*authorize)(const void *settings, struct http_request *rq);

	/* Is our key taken?  Costs nothing.  Optional: cannot be told.
	 * The reply: ERR_OK; ERR_PROVIDER_UNAVAILABLE: it is not; ERR_UPSTREAM: no
	 * answer to that. */
	struct {
		enum err_code (*request)(const void *settings, struct http_request *ret, struct err *err);
		enum err_code (*reply)(const void *settings, const struct http_response *rs, struct err *err);
	} probe;

	/* Costs money: sent at most once per answer, never resent by base/.
	 * handle: what is known before the answer of how its prediction is reached,
	 * appended; kept until an observation has another.  Optional. */
	struct {
		enum err_code (*request)(const void *settings, const struct gen_spec *spec,
			struct http_request *ret, struct err *err);
		enum err_code (*reply)(const void *settings, const struct http_response *rs,
			struct submit_reply *ret, struct err *err);
		enum err_code (*handle)(const void *settings, const struct gen_spec *spec,
			struct buf *ret, struct err *err);
	} submit;

	/* NULL of a provider whose creates are answered with the end. */
	struct provider_look get_status;

	/* With PROVIDER_CANCEL.  What the answer says is believed: a prediction
	 * may have finished first. */
	struct provider_look cancel;

	/* With PROVIDER_FIND: what became of a create without an answer.  May be
	 * repeated.  request: ERR_INVALID for a page that is not on its own host,
	 * since the credentials go there. */
	struct {
		enum err_code (*request)(const void *settings, const struct find_query *query,
			struct http_request *ret, struct err *err);
		enum err_code (*reply)(const void *settings, const struct http_response *rs,
			struct find_reply *ret, struct err *err);
	} find;

	/* With PROVIDER_VERIFIER: a secret, or public keys, as webhook_verify wants
	 * them.  reply appends it, at most VERIFIER_MAX bytes; ERR_UPSTREAM: the answer
	 * has none.  It is fetched anew when a signature does not match, and after
	 * max_age_ms; 0: for no other reason. */
	struct {
		enum err_code (*request)(const void *settings, struct http_request *ret, struct err *err);
		enum err_code (*reply)(const void *settings, const struct http_response *rs,
			struct buf *ret, struct err *err);
		uint64_t max_age_ms;
	} verifier;

	/* With PROVIDER_WEBHOOK.  webhook_ready: do the settings say what
	 * to verify by? */
	bool (*webhook_ready)(const void *settings);
	/* fetched: by `verifier`, where the settings have nothing; or NULL.
	 * ERR_SIGNATURE: missing, wrong or stale.  now_s: seconds since 1970.
	 * *ret_delivery: the delivery's id, the same when it is sent again; the
	 * caller owns it: mem_free(). */
	enum err_code (*webhook_verify)(const void *settings, const char *fetched,
		const struct webhook *wh, int64_t now_s, char **ret_delivery, struct err *err);
	/* Method, headers and body of a webhook as the provider would send it, of
	 * that size at least, signed by our own first secret: it moves nothing. */
	enum err_code (*webhook_probe)(const void *settings, int64_t now_s, size_t body_bytes,
		struct http_request *ret, struct err *err);
	/* After verify.  ERR_BAD_REQUEST: not what this provider sends. */
	enum err_code (*webhook_parse)(const void *settings, const struct webhook *wh,
		struct gen_observation *ret, struct err *err);
};

/* The providers that were built in: registry.c. */
size_t provider_count(void);
const struct provider *provider_at(size_t i);
const struct provider *provider_by_name(const char *name);	/* NULL: none */

#endif
