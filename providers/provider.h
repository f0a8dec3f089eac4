/*
 * What a provider is: pure mapping between our words and its HTTP.  No I/O, no
 * SQL, no clock; base/ sends, times out and limits, the same for all.
 *
 * A call is a pair: `request` builds it from our words, `read` finds our words in the
 * answer.  What would be the same few lines around each of them is in adapter.c, by
 * which core calls them: URL and key, JSON, what an HTTP status means, what is freed
 * when memory runs out.  `settings` is the provider's own struct, which begins with
 * struct provider_api.  All functions may be called from any thread.
 */
#ifndef GENGATE_PROVIDERS_PROVIDER_H
#define GENGATE_PROVIDERS_PROVIDER_H

#include "base/cfg.h"
#include "base/generation.h"
#include "base/http.h"

struct call;	/* call.h: a request that is being built */
struct answer;	/* reply.h */

/* What a provider can do; core asks for these, never for a name. */
#define PROVIDER_WEBHOOK 1u	/* sends signed webhooks: webhook_verify, webhook_read */
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

/* No model makes more; the rest would be somebody's joke, and is left out. */
#define OUTPUTS_MAX 100

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

/*
 * A call about one prediction that may be repeated.
 *
 * read: of any answer.  *ret has what its HTTP status says already, STATUS_GONE or
 * STATUS_LATER, and stays as it is where there is no more to it.  An observation without
 * an id is about the prediction that was asked for.  Returns ERR_OK or ERR_NOMEM, as
 * each function of that name; what is in *ret then is freed by the caller.
 */
struct provider_look {
	void (*request)(const void *settings, const struct look_query *query, struct call *call);
	enum err_code (*read)(const void *settings, const struct look_query *query,
		const struct answer *answer, struct status_reply *ret);
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

/* Where its API is and who we are there: the beginning of each provider's settings. */
struct provider_api {
	char *url;		/* without a slash at its end */
	char *key;		/* NULL: none */
	char *webhook_secret;	/* with PROVIDER_WEBHOOK; NULL: see verifier */
};

/* The options that fill it. */
#define PROVIDER_URL(row, url_, doc_) \
	{ row, CFG_STR, offsetof(struct provider_api, url), .def = url_, .max = 2048, .doc = doc_ }
#define PROVIDER_KEY(row, doc_) \
	{ row, CFG_STR, offsetof(struct provider_api, key), .max = 512, .flags = CFG_SECRET, .doc = doc_ }
#define PROVIDER_WEBHOOK_SECRET(row, doc_) \
	{ row, CFG_STR, offsetof(struct provider_api, webhook_secret), .max = 4096, .flags = CFG_SECRET, .doc = doc_ }

/* A member of its part of a profile. */
struct profile_member {
	const char *name;	/* NULL: the end of the table */
	enum {
		PROFILE_TEXT,	/* not empty */
		PROFILE_PATH,	/* the same, and becomes a path below the API's URL */
		PROFILE_OBJECT,
		PROFILE_OTHER,	/* see check_profile */
	} type;
	bool optional;
};

struct provider {
	const char *name;		/* as in the configuration and in URLs */
	const char *title;		/* for people: "Replicate" */
	unsigned caps;
	const struct cfg_row *options;
	size_t settings_size;

	/* How its key goes to the API: "KEY_HEADER: KEY_SCHEME KEY"; without a scheme the
	 * key alone. */
	const char *key_header, *key_scheme;
	bool needs_key;

	/* Hosts that outputs may be fetched from: "host", or ".suffix" for all
	 * below it.  NULL-terminated.  NULL: the API's own alone, which may always be. */
	const char *const *output_hosts;
	uint64_t retention_ms;		/* how long outputs can be fetched; 0: for good */

	/* Its part of a model's profile, a template. */
	const struct profile_member *profile;

	/* May a request's params set that member of "input", where the template has none of
	 * that name?  NULL: any.  Not what chooses a model, turns a webhook elsewhere or has
	 * the provider fetch a URL from where a user could not. */
	bool (*takes_param)(const char *name);

	/* Mistakes beyond those that the above tells of: of its settings when it is in use,
	 * and of its part of a profile; where: for cfg_mistake().  Optional. */
	void (*check)(const void *settings, struct buf *mistakes);
	void (*check_profile)(const json_t *on, const char *where, struct buf *mistakes);

	/* Is our key taken?  Costs nothing.  Optional: that cannot be told.  read: by
	 * reply_to_probe() and what no other API says.  ERR_OK;
	 * ERR_PROVIDER_UNAVAILABLE: it is not taken; ERR_UPSTREAM: no answer to that. */
	struct {
		void (*request)(const void *settings, struct call *call);
		enum err_code (*read)(const struct answer *answer, struct err *err);
	} probe;

	/*
	 * Costs money: sent at most once per answer, never resent by base/.  request: a
	 * POST with the job's id as its Idempotency-Key.
	 * handle: what is known before the answer of how its prediction is reached,
	 * appended; kept until an observation has another.  Optional.
	 * read: of any answer.  *ret has what its HTTP status says already: REFUSED,
	 * DEFERRED or UNKNOWN.
	 */
	struct {
		void (*request)(const void *settings, const struct gen_spec *spec, struct call *call);
		void (*handle)(const struct gen_spec *spec, struct buf *ret);
		enum err_code (*read)(const void *settings, const struct answer *answer,
			struct submit_reply *ret);
	} submit;

	/* NULL of a provider whose creates are answered with the end. */
	struct provider_look get_status;

	/* With PROVIDER_CANCEL.  What the answer says is believed: a prediction
	 * may have finished first. */
	struct provider_look cancel;

	/* With PROVIDER_FIND: what became of a create without an answer.  May be repeated.
	 * request: a page that is not on its own host is refused, since our key goes there.
	 * read: of an answer with a JSON object; *ret is FIND_LATER. */
	struct {
		void (*request)(const void *settings, const struct find_query *query, struct call *call);
		enum err_code (*read)(const void *settings, const struct answer *answer,
			struct find_reply *ret);
	} find;

	/* With PROVIDER_VERIFIER: what webhooks are verified by where the settings have no
	 * secret: one, or public keys.  read: of an answer with a JSON object, appends it, at
	 * most VERIFIER_MAX bytes; nothing: it has none.  It is fetched anew when a signature does not
	 * match, and after max_age_ms; 0: for no other reason. */
	struct {
		void (*request)(const void *settings, struct call *call);
		enum err_code (*read)(const struct answer *answer, struct buf *ret);
		uint64_t max_age_ms;
	} verifier;

	/* With PROVIDER_WEBHOOK.  secret: of the settings, or what `verifier` brought.
	 * ERR_SIGNATURE: missing, wrong or stale.  now_s: seconds since 1970.
	 * *ret_delivery: the delivery's id, the same when it is sent again; the
	 * caller owns it: mem_free(). */
	enum err_code (*webhook_verify)(const char *secret, const struct webhook *wh, int64_t now_s,
		char **ret_delivery, struct err *err);
	/* Signs a request, by the first secret, as the provider would.  Optional. */
	enum err_code (*webhook_sign)(const char *secret, int64_t now_s, struct http_request *rq,
		struct err *err);
	/* After verify.  Without prediction_id it is nothing that this provider sends. */
	enum err_code (*webhook_read)(const json_t *doc, struct gen_observation *ret);
};

/* The providers that were built in: registry.c. */
size_t provider_count(void);
const struct provider *provider_at(size_t i);
const struct provider *provider_by_name(const char *name);	/* NULL: none */

#endif
