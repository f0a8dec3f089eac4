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
#define PROVIDER_SECRET 8u	/* tells the secret of its webhooks: secret */

/* What became of a create. */
enum submit_outcome {
	SUBMIT_ACCEPTED,	/* obs says how it stands; obs.prediction_id is set */
	SUBMIT_REFUSED,		/* final: nothing exists, error says whose fault it is */
	SUBMIT_DEFERRED,	/* nothing exists; try again after retry_after_ms */
	SUBMIT_UNKNOWN,		/* it may exist */
};

struct submit_reply {
	enum submit_outcome outcome;
	struct gen_observation obs;
	enum err_code error;		/* REFUSED: ERR_PROVIDER_REJECTED or _UNAVAILABLE */
	uint64_t retry_after_ms;	/* 0: not said */
	char *message;			/* the provider's words, for log and trail; may be NULL */
};

void submit_reply_clear(struct submit_reply *reply);

/* What a status call brought, or a cancel. */
enum status_outcome {
	STATUS_SEEN,		/* obs */
	STATUS_LATER,		/* no news: throttled, broken, our key is not taken; a
				 * cancel that was taken and says no more than that */
	STATUS_GONE,		/* the provider does not know this prediction */
};

struct status_reply {
	enum status_outcome outcome;
	struct gen_observation obs;
	uint64_t retry_after_ms;	/* 0: not said */
	char *message;
};

void status_reply_clear(struct status_reply *reply);

/* A call about one prediction that may be repeated. */
struct provider_look {
	enum err_code (*request)(const void *settings, const char *prediction_id,
		struct http_request *ret, struct err *err);
	enum err_code (*reply)(const void *settings, const struct http_response *rs,
		struct status_reply *ret, struct err *err);
};

/* Which predictions to list. */
struct find_query {
	int64_t after_us, before_us;	/* when they were created, by the provider's clock */
	const char *next;		/* a page that a reply named; NULL: the first */
};

enum find_outcome {
	FIND_PAGE,		/* found, next, cut */
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
	char *next;			/* the next page; NULL: this was the last */
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

	/* Costs money: sent at most once per answer, never resent by base/. */
	struct {
		enum err_code (*request)(const void *settings, const struct gen_spec *spec,
			struct http_request *ret, struct err *err);
		enum err_code (*reply)(const void *settings, const struct http_response *rs,
			struct submit_reply *ret, struct err *err);
	} submit;

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

	/* With PROVIDER_SECRET.  reply appends the secret; ERR_UPSTREAM: the answer
	 * has none.  It is wiped when it is not needed any more. */
	struct {
		enum err_code (*request)(const void *settings, struct http_request *ret, struct err *err);
		enum err_code (*reply)(const void *settings, const struct http_response *rs,
			struct buf *ret, struct err *err);
	} secret;

	/* With PROVIDER_WEBHOOK.  webhook_ready: do the settings have a secret to
	 * verify by? */
	bool (*webhook_ready)(const void *settings);
	/* secret: what was fetched, where the settings have none; or NULL.
	 * ERR_SIGNATURE: missing, wrong or stale.  now_s: seconds since 1970.
	 * *ret_delivery: the delivery's id, the same when it is sent again; the
	 * caller owns it: mem_free(). */
	enum err_code (*webhook_verify)(const void *settings, const char *secret,
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
