/*
 * fal.ai, by its queue.  Sources: https://docs.fal.ai/model-endpoints/queue,
 * https://docs.fal.ai/model-endpoints/webhooks,
 * https://docs.fal.ai/documentation/model-apis/errors and request-errors.
 */
#include "config.h"

#include "base/crypto.h"
#include "providers/call.h"
#include "providers/provider.h"
#include "providers/reply.h"
#include "providers/webhook.h"

/* Files are kept for days, or as long as the profile says. */
#define EXPIRATION_MIN_S 3600

#define SUBMIT_TIMEOUT_MS 30000
#define STATUS_TIMEOUT_MS 15000

/* The vendor's bound for the keys of its webhooks. */
#define KEYS_MAX_AGE_MS (24ull * 3600 * 1000)

/* X-Fal-Request-Timeout has to be more than a second. */
#define START_TIMEOUT_MIN_S 2

/* What a status call asks for next: the request is over, the result says how. */
#define RESULT "result"

struct fal {
	char *url;
	char *key;
	char *jwks_url;
};

static const struct cfg_row options[] = {
	{ "fal_url", CFG_STR, offsetof(struct fal, url),
	  .def = "https://queue.fal.run", .max = 2048,
	  .doc = "Where fal's queue is." },
	{ "fal_key", CFG_STR, offsetof(struct fal, key),
	  .max = 512, .flags = CFG_SECRET,
	  .doc = "fal's API key (https://fal.ai/dashboard/keys). Needed to use fal." },
	{ "fal_jwks_url", CFG_STR, offsetof(struct fal, jwks_url),
	  .def = "https://rest.alpha.fal.ai/.well-known/jwks.json", .max = 2048,
	  .doc = "Where the public keys of fal's webhooks are." },
	CFG_END
};

static const char *const output_hosts[] = { "fal.media", ".fal.media", NULL };

static void
check(const void *settings, struct buf *mistakes)
{
	const struct fal *f = settings;

	call_check_url("fal_url", f->url, mistakes);
	call_check_url("fal_jwks_url", f->jwks_url, mistakes);
	call_check_secret("fal_key", f->key, f->url, mistakes);
	if (!f->key)
		cfg_mistake(mistakes, "fal_key", "has to be set to use fal");
}

static const char *
api_url(const void *settings)
{
	return ((const struct fal *)settings)->url;
}

/* How much of an endpoint names its app, below which its requests are: "owner/app",
 * or "workflows/owner/app"; what follows says how it is called.  0: not even that. */
static size_t
app_len(const char *endpoint)
{
	bool in_namespace = strncmp(endpoint, "workflows/", 10) == 0 || strncmp(endpoint, "comfy/", 6) == 0;
	const char *end = endpoint;

	for (int parts = in_namespace ? 3 : 2; parts > 0; parts--) {
		size_t len = strcspn(end, "/");

		if (len == 0)
			return 0;
		end += len + (parts > 1 && end[len] == '/');
	}
	return (size_t)(end - endpoint);
}

static void
check_profile(const json_t *on, const char *where, struct buf *mistakes)
{
	static const char *const members[] = { "model", "input", "expiration_s", NULL };
	const char *model = reply_string(on, "model");
	const json_t *expiration = json_object_get(on, "expiration_s");

	call_check_members(on, members, where, mistakes);
	call_check_object(on, "input", where, mistakes);
	if (!model || app_len(model) == 0)
		cfg_mistake(mistakes, where, "model has to be an endpoint's id, such as fal-ai/flux/schnell");
	if (expiration && json_integer_value(expiration) < EXPIRATION_MIN_S)
		cfg_mistake(mistakes, where, "expiration_s has to be a number of seconds, %d at least",
			EXPIRATION_MIN_S);
}

static enum err_code
authorize(const void *settings, struct http_request *rq)
{
	return call_credentials(rq, "Authorization", "Key", ((const struct fal *)settings)->key);
}

/* The app is all that is to be known: the URLs in an answer are made of it and the
 * request's id, so our key goes nowhere else. */
static enum err_code
submit_handle(const void *settings, const struct gen_spec *spec, struct buf *ret, struct err *err)
{
	const char *model = reply_string(spec->on, "model");

	(void)settings;
	if (!model || app_len(model) == 0)
		return err_set(err, ERR_CONFIG, "the model's profile has no endpoint for fal");
	buf_put(ret, model, app_len(model));
	return ret->err ? err_set(err, ret->err, "fal's app") : ERR_OK;
}

/* Nobody waits any more for what has not begun by the job's deadline. */
static enum err_code
add_preferences(struct http_request *rq, const struct gen_spec *spec)
{
	const json_t *expiration = json_object_get(spec->on, "expiration_s");
	uint64_t seconds = spec->time_left_ms / 1000;
	char value[80];
	enum err_code rc;

	snprintf(value, sizeof value, "%llu",
		(unsigned long long)(seconds < START_TIMEOUT_MIN_S ? START_TIMEOUT_MIN_S : seconds));
	rc = http_request_add_header(rq, "X-Fal-Request-Timeout", value);
	if (rc || !expiration)
		return rc;
	snprintf(value, sizeof value, "{\"expiration_duration_seconds\":%lld}",
		(long long)json_integer_value(expiration));
	return http_request_add_header(rq, "X-Fal-Object-Lifecycle-Preference", value);
}

static enum err_code
submit_request(const void *settings, const struct gen_spec *spec, struct http_request *rq,
	struct err *err)
{
	const struct fal *f = settings;
	const char *model = reply_string(spec->on, "model");
	json_t *input = json_object_get(spec->on, "input");
	struct buf url = BUF_INIT(8192);
	enum err_code rc;

	if (!model || !json_is_object(input))
		return err_set(err, ERR_CONFIG, "the model's profile has no endpoint or no input for fal");
	buf_printf(&url, "%s/", f->url);
	buf_put_urlenc(&url, model, strlen(model), "/");
	if (spec->webhook_url) {
		buf_puts(&url, "?fal_webhook=");
		buf_put_urlenc(&url, spec->webhook_url, strlen(spec->webhook_url), NULL);
	}
	rc = call_begin(rq, HTTP_POST, &url, SUBMIT_TIMEOUT_MS);
	if (!rc)
		rc = call_json(rq, json_incref(input));
	if (!rc)
		rc = call_idempotency_key(rq, &spec->job_id);
	if (!rc)
		rc = add_preferences(rq, spec);
	if (!rc)
		rc = authorize(f, rq);
	return rc ? err_set(err, rc, "fal's submit request") : ERR_OK;
}

static const struct {
	const char *type;
	enum err_code error;
} failures[] = {
	{ "content_policy_violation", ERR_CONTENT_BLOCKED },
	{ "request_timeout", ERR_TIMEOUT },
	{ "generation_timeout", ERR_TIMEOUT },
	{ "internal_server_error", ERR_PROVIDER_FAILED },
	{ "downstream_service_error", ERR_PROVIDER_FAILED },
	{ "downstream_service_unavailable", ERR_PROVIDER_FAILED },
};

/* A model says what it does not take in a list; the queue what went wrong in a text. */
static enum err_code
why_failed(const json_t *doc)
{
	const json_t *first = json_array_get(json_object_get(doc, "detail"), 0);
	const char *type = first ? reply_string(first, "type") : reply_string(doc, "error_type");

	for (size_t i = 0; type && i < sizeof failures / sizeof *failures; i++)
		if (strcmp(type, failures[i].type) == 0)
			return failures[i].error;
	return first ? ERR_PROVIDER_REJECTED : ERR_PROVIDER_FAILED;
}

/* Nothing says how a request ends that was canceled while it ran; not as a model's own
 * refusal. */
static enum err_code
read_failure(const json_t *doc, struct gen_observation *obs)
{
	const json_t *first = json_array_get(json_object_get(doc, "detail"), 0);

	obs->status = GEN_FAILED;
	obs->error = why_failed(doc);
	obs->or_canceled = !first;
	if (reply_keep(&obs->message, doc, "error") || reply_keep(&obs->message, doc, "detail") ||
	    reply_keep(&obs->message, first, "msg"))
		return ERR_NOMEM;
	return ERR_OK;
}

/* A picture that was blacked out is no output. */
static bool
is_black(const json_t *result, size_t i)
{
	return json_is_true(json_array_get(json_object_get(result, "has_nsfw_concepts"), i));
}

static int
add_file(json_t *files, const json_t *result, size_t i, const json_t *file, bool *black)
{
	json_t *urls;
	int rc;

	if (is_black(result, i)) {
		*black = true;
		return 0;
	}
	urls = reply_collect_urls(file);
	rc = urls ? json_array_extend(files, urls) : -1;
	json_decref(urls);
	return rc;
}

/* Files are objects, alone or in a list; a text is the prompt. */
static int
add_files(json_t *files, const json_t *result, bool *black)
{
	const char *name;
	json_t *value, *file;
	size_t i;

	json_object_foreach((json_t *)(uintptr_t)result, name, value) {
		json_array_foreach(value, i, file)
			if (add_file(files, result, i, file, black))
				return -1;
		if (json_is_object(value) && add_file(files, result, 0, value, black))
			return -1;
	}
	return 0;
}

static enum err_code
read_result(const json_t *result, struct gen_observation *obs)
{
	double s = json_number_value(json_object_get(json_object_get(result, "timings"), "inference"));
	bool black = false;

	obs->status = GEN_SUCCEEDED;
	obs->seconds = s > 0 ? s : 0;
	obs->outputs = json_array();
	if (!obs->outputs || add_files(obs->outputs, result, &black))
		return ERR_NOMEM;
	if (black && json_array_size(obs->outputs) == 0) {
		obs->status = GEN_FAILED;
		obs->error = ERR_CONTENT_BLOCKED;
	}
	return ERR_OK;
}

static enum err_code
read_submitted(const json_t *doc, struct submit_reply *reply)
{
	const char *id = reply_string(doc, "request_id");

	if (!id || !*id || strlen(id) > PREDICTION_ID_MAX)
		return ERR_OK;
	reply->outcome = SUBMIT_ACCEPTED;
	if (reply_keep(&reply->obs.prediction_id, doc, "request_id") ||
	    reply_keep(&reply->obs.status_text, doc, "status"))
		return ERR_NOMEM;
	return ERR_OK;
}

static enum err_code
submit_reply(const void *settings, const struct http_response *rs, struct submit_reply *ret,
	struct err *err)
{
	struct submit_reply reply = { .outcome = SUBMIT_UNKNOWN, .obs = GEN_OBSERVATION_INIT };
	json_t *doc = reply_json(buf_str(&rs->body), rs->body.len);
	enum err_code rc = ERR_OK;

	(void)settings;
	if (rs->status >= 200 && rs->status < 300 && doc)
		rc = read_submitted(doc, &reply);
	if (!rc && reply.outcome != SUBMIT_ACCEPTED)
		rc = reply_to_create(rs, doc, &reply);
	if (reply.error == ERR_PROVIDER_REJECTED && why_failed(doc) == ERR_CONTENT_BLOCKED)
		reply.error = ERR_CONTENT_BLOCKED;
	json_decref(doc);
	if (rc) {
		submit_reply_clear(&reply);
		return err_set(err, rc, "fal's answer");
	}
	*ret = reply;
	return ERR_OK;
}

/* A request's URL, and what is below it. */
static enum err_code
request_below(const struct fal *f, const struct look_query *query, enum http_method method,
	const char *below, struct http_request *rq, struct err *err)
{
	struct buf url = BUF_INIT(8192);
	enum err_code rc;

	if (!query->handle)
		return err_set(err, ERR_CONFIG, "which of fal's apps has the request is not known");
	buf_printf(&url, "%s/", f->url);
	buf_put_urlenc(&url, query->handle, strlen(query->handle), "/");
	buf_puts(&url, "/requests/");
	buf_put_urlenc(&url, query->prediction_id, strlen(query->prediction_id), NULL);
	buf_puts(&url, below);
	rc = call_begin(rq, method, &url, STATUS_TIMEOUT_MS);
	if (!rc)
		rc = authorize(f, rq);
	return rc ? err_set(err, rc, "fal's request") : ERR_OK;
}

static enum err_code
status_request(const void *settings, const struct look_query *query, struct http_request *rq,
	struct err *err)
{
	enum err_code rc = request_below(settings, query, HTTP_GET, query->follow ? "" : "/status", rq, err);

	if (!rc && query->follow)	/* it may be a data: URI */
		rq->max_response_bytes = INLINE_RESPONSE_BYTES;
	return rc;
}

static enum err_code
cancel_request(const void *settings, const struct look_query *query, struct http_request *rq,
	struct err *err)
{
	return request_below(settings, query, HTTP_PUT, "/cancel", rq, err);
}

/* There is no word for failure: one that is completed may have failed, and the queue
 * says so at once, the model in the result. */
static const struct status_word words[] = {
	{ "IN_QUEUE", GEN_STARTING, ERR_OK },
	{ "IN_PROGRESS", GEN_PROCESSING, ERR_OK },
	{ "COMPLETED", GEN_SUCCEEDED, ERR_OK },
	{ .word = NULL }
};

static enum err_code
read_status(const json_t *doc, struct status_reply *reply)
{
	const char *status = reply_string(doc, "status");

	if (!status)
		return ERR_OK;
	reply->outcome = STATUS_SEEN;
	reply_status_word(words, status, &reply->obs);
	if (reply->obs.status != GEN_SUCCEEDED)
		return ERR_OK;
	if (json_string_length(json_object_get(doc, "error")) > 0 || reply_string(doc, "error_type"))
		return read_failure(doc, &reply->obs);
	reply->outcome = STATUS_MORE;
	reply->follow = mem_strdup(RESULT);
	return reply->follow ? ERR_OK : ERR_NOMEM;
}

/* Is it the model that answers, or does the queue not let us have the result? */
static bool
is_failure(const struct http_response *rs, const json_t *doc)
{
	const char *detail = reply_string(doc, "detail");

	switch (rs->status) {
	case 401: case 402: case 403: case 404: case 408: case 410: case 429:
		return false;
	}
	if (json_is_array(json_object_get(doc, "detail")) || reply_string(doc, "error_type"))
		return true;
	return rs->status >= 400 && rs->status < 500 && !(detail && strstr(detail, "in progress"));
}

static enum err_code
read_answer(const struct look_query *query, const struct http_response *rs, const json_t *doc,
	struct status_reply *reply)
{
	bool good = rs->status >= 200 && rs->status < 300 && doc;

	if (good && !query->follow)
		return read_status(doc, reply);
	if (good || (query->follow && is_failure(rs, doc))) {
		reply->outcome = STATUS_SEEN;
		return good ? read_result(doc, &reply->obs) : read_failure(doc, &reply->obs);
	}
	return ERR_OK;
}

/* Whose it is was in the question. */
static enum err_code
name_prediction(const struct look_query *query, const json_t *doc, struct gen_observation *obs)
{
	obs->prediction_id = mem_strdup(query->prediction_id);
	return obs->prediction_id ? reply_keep(&obs->status_text, doc, "status") : ERR_NOMEM;
}

/* Of both calls: what read makes of the answer, else what its HTTP status means. */
static enum err_code
look_reply(enum err_code (*read)(const struct look_query *query, const struct http_response *rs,
	const json_t *doc, struct status_reply *reply), const struct look_query *query,
	const struct http_response *rs, struct status_reply *ret, struct err *err)
{
	struct status_reply reply = { .outcome = STATUS_LATER, .obs = GEN_OBSERVATION_INIT };
	json_t *doc = reply_json(buf_str(&rs->body), rs->body.len);
	enum err_code rc = read(query, rs, doc, &reply);

	if (!rc && reply.outcome == STATUS_SEEN)
		rc = name_prediction(query, doc, &reply.obs);
	else if (!rc && reply.outcome == STATUS_LATER)
		rc = reply_to_look(rs, doc, &reply);
	json_decref(doc);
	if (rc) {
		status_reply_clear(&reply);
		return err_set(err, rc, "fal's answer");
	}
	*ret = reply;
	return ERR_OK;
}

static enum err_code
status_reply(const void *settings, const struct look_query *query, const struct http_response *rs,
	struct status_reply *ret, struct err *err)
{
	(void)settings;
	return look_reply(read_answer, query, rs, ret, err);
}

/* Only what had not begun is gone for sure; the rest is asked to stop, or was over. */
static enum err_code
read_cancel(const struct look_query *query, const struct http_response *rs, const json_t *doc,
	struct status_reply *reply)
{
	const char *status = reply_string(doc, "status");

	(void)query;
	if (rs->status >= 200 && rs->status < 300 && status && strcmp(status, "OK") == 0) {
		reply->outcome = STATUS_SEEN;
		reply->obs.status = GEN_CANCELED;
	}
	return ERR_OK;
}

static enum err_code
cancel_reply(const void *settings, const struct look_query *query, const struct http_response *rs,
	struct status_reply *ret, struct err *err)
{
	(void)settings;
	return look_reply(read_cancel, query, rs, ret, err);
}

/* A JWKS is public: no credentials go there. */
static enum err_code
keys_request(const void *settings, struct http_request *rq, struct err *err)
{
	struct buf url = BUF_INIT(4096);
	enum err_code rc;

	buf_puts(&url, ((const struct fal *)settings)->jwks_url);
	rc = call_begin(rq, HTTP_GET, &url, STATUS_TIMEOUT_MS);
	return rc ? err_set(err, rc, "fal's keys") : ERR_OK;
}

/* An Ed25519 key as a JWKS has it.  ERR_INVALID: it is none; ERR_NOMEM. */
static enum err_code
read_key(const char *x, size_t len, uint8_t key[ED25519_KEY_BYTES])
{
	struct buf raw = BUF_INIT(ED25519_KEY_BYTES);
	enum err_code rc = base64url_decode(&raw, x, len);

	if (rc != ERR_NOMEM && raw.len != ED25519_KEY_BYTES)
		rc = ERR_INVALID;
	if (!rc)
		memcpy(key, raw.p, ED25519_KEY_BYTES);
	buf_clear(&raw);
	return rc;
}

/* Their `x`, separated by commas. */
static enum err_code
keys_reply(const void *settings, const struct http_response *rs, struct buf *ret, struct err *err)
{
	json_t *doc = reply_json(buf_str(&rs->body), rs->body.len), *jwk;
	uint8_t key[ED25519_KEY_BYTES];
	size_t i, before = ret->len;
	enum err_code rc = rs->status == 200 ? ERR_OK : ERR_UPSTREAM;

	(void)settings;
	json_array_foreach(json_object_get(doc, "keys"), i, jwk) {
		const char *x = reply_string(jwk, "x");
		enum err_code is_key = rc || !x ? ERR_INVALID : read_key(x, strlen(x), key);

		if (!is_key)
			buf_printf(ret, "%s%s", ret->len > before ? "," : "", x);
		else if (is_key == ERR_NOMEM)
			rc = is_key;
	}
	json_decref(doc);
	if (!rc)
		rc = ret->err ? ret->err : ret->len == before ? ERR_UPSTREAM : ERR_OK;
	return rc ? err_set(err, rc, "no keys of fal's webhooks: HTTP %ld", rs->status) : ERR_OK;
}

/* They are fetched, never configured. */
static bool
webhook_ready(const void *settings)
{
	(void)settings;
	return false;
}

/* Any of them may have signed it. */
static enum err_code
check_signature(const char *keys, const struct buf *text, const uint8_t signature[ED25519_SIGNATURE_BYTES])
{
	enum err_code rc = ERR_SIGNATURE;
	const char *x;
	size_t len;

	while ((rc == ERR_SIGNATURE || rc == ERR_INVALID) && webhook_next_item(&keys, ',', &x, &len)) {
		uint8_t key[ED25519_KEY_BYTES];

		rc = read_key(x, len, key);
		if (!rc)
			rc = ed25519_verify(key, text->p, text->len, signature, NULL);
	}
	return rc == ERR_INVALID ? ERR_SIGNATURE : rc;
}

/* What is signed: three headers and the body's digest, a line each. */
static enum err_code
put_signed_text(struct buf *text, const char *id, const char *user, const char *timestamp,
	const struct webhook *wh, struct err *err)
{
	uint8_t digest[SHA256_BYTES];
	char hex[SHA256_HEX_SIZE];
	enum err_code rc = sha256(wh->body, wh->body_len, digest, err);

	if (rc)
		return rc;
	hex_encode(digest, sizeof digest, hex);
	buf_printf(text, "%s\n%s\n%s\n%s", id, user, timestamp, hex);
	return text->err;
}

/* A request has one webhook: all that carry its id are the same. */
static enum err_code
webhook_verify(const void *settings, const char *fetched, const struct webhook *wh, int64_t now_s,
	char **ret_delivery, struct err *err)
{
	const char *id = wh->header(wh->ctx, "x-fal-webhook-request-id");
	const char *user = wh->header(wh->ctx, "x-fal-webhook-user-id");
	const char *timestamp = wh->header(wh->ctx, "x-fal-webhook-timestamp");
	const char *hex = wh->header(wh->ctx, "x-fal-webhook-signature");
	uint8_t signature[ED25519_SIGNATURE_BYTES];
	struct buf text = BUF_INIT(2048);
	enum err_code rc;

	(void)settings;
	if (!id || !*id || strlen(id) > PREDICTION_ID_MAX || !user || !timestamp || !hex)
		return err_set(err, ERR_SIGNATURE, "a header of fal's webhooks (X-Fal-Webhook-...) is missing");
	if (hex_decode(hex, sizeof signature, signature))
		return err_set(err, ERR_SIGNATURE, "X-Fal-Webhook-Signature is not 64 bytes in hexadecimal");
	rc = webhook_check_age("X-Fal-Webhook-Timestamp", timestamp, now_s, err);
	if (rc)
		return rc;
	rc = put_signed_text(&text, id, user, timestamp, wh, err);
	if (!rc)
		rc = check_signature(fetched ? fetched : "", &text, signature);
	else if (rc == ERR_TOO_BIG)
		rc = ERR_SIGNATURE;
	buf_clear(&text);
	if (rc)
		return err_set(err, rc, "no key of fal's matches");
	*ret_delivery = mem_strdup(id);
	return *ret_delivery ? ERR_OK : err_set(err, ERR_NOMEM, "webhook id");
}

/* What has no payload, since it is no JSON, is to be fetched. */
static enum err_code
read_webhook(const json_t *doc, struct gen_observation *obs)
{
	const json_t *payload = json_object_get(doc, "payload");
	const char *status = reply_string(doc, "status");

	if (reply_keep(&obs->prediction_id, doc, "request_id") || reply_keep(&obs->status_text, doc, "status") ||
	    reply_keep(&obs->message, doc, "error"))
		return ERR_NOMEM;
	if (status && strcmp(status, "ERROR") == 0)
		return read_failure(payload, obs);
	if (status && strcmp(status, "OK") == 0 && json_is_object(payload))
		return read_result(payload, obs);
	obs->status = GEN_PROCESSING;
	obs->is_hint = true;
	return ERR_OK;
}

static enum err_code
webhook_parse(const void *settings, const struct webhook *wh, struct gen_observation *ret,
	struct err *err)
{
	struct gen_observation obs = GEN_OBSERVATION_INIT;
	json_t *doc = NULL;
	const char *id;
	enum err_code rc = reply_document(wh->body, wh->body_len, &doc);

	(void)settings;
	if (rc)
		return err_set(err, rc, "the webhook's body is not a JSON object");
	id = reply_string(doc, "request_id");
	rc = id && *id && strlen(id) <= PREDICTION_ID_MAX ? read_webhook(doc, &obs) : ERR_BAD_REQUEST;
	json_decref(doc);
	if (rc) {
		gen_observation_clear(&obs);
		return err_set(err, rc, "not a webhook of fal's: request_id is missing");
	}
	*ret = obs;
	return ERR_OK;
}

const struct provider provider_fal = {
	.name = "fal",
	.title = "fal",
	.caps = PROVIDER_WEBHOOK | PROVIDER_CANCEL | PROVIDER_VERIFIER,
	.options = options,
	.settings_size = sizeof(struct fal),
	.output_hosts = output_hosts,
	.check = check,
	.api_url = api_url,
	.check_profile = check_profile,
	.authorize = authorize,
	.submit = { .request = submit_request, .reply = submit_reply, .handle = submit_handle },
	.get_status = { status_request, status_reply },
	.cancel = { cancel_request, cancel_reply },
	.verifier = { keys_request, keys_reply, KEYS_MAX_AGE_MS },
	.webhook_ready = webhook_ready,
	.webhook_verify = webhook_verify,
	.webhook_parse = webhook_parse,
};
