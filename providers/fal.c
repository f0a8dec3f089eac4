/*
 * fal.ai, by its queue.  Sources: https://docs.fal.ai/model-endpoints/queue,
 * https://docs.fal.ai/model-endpoints/webhooks,
 * https://docs.fal.ai/documentation/model-apis/errors and request-errors.
 */
#include "config.h"

#include "providers/call.h"
#include "providers/ed25519_jwks.h"
#include "providers/provider.h"
#include "providers/reply.h"
#include "providers/webhook.h"

/* Files are kept for days, or as long as the profile says. */
#define EXPIRATION_MIN_S 3600

/* The vendor's bound for the keys of its webhooks. */
#define KEYS_MAX_AGE_MS (24ull * 3600 * 1000)

/* X-Fal-Request-Timeout has to be more than a second. */
#define START_TIMEOUT_MIN_S 2

/* What a status call asks for next: the request is over, the result says how. */
#define RESULT "result"

struct fal {
	struct provider_api api;
	char *jwks_url;
};

static const struct cfg_row options[] = {
	PROVIDER_URL("fal_url", "https://queue.fal.run", "Where fal's queue is."),
	PROVIDER_KEY("fal_key", "fal's API key (https://fal.ai/dashboard/keys). Needed to use fal."),
	{ "fal_jwks_url", CFG_STR, offsetof(struct fal, jwks_url),
	  .def = "https://rest.alpha.fal.ai/.well-known/jwks.json", .max = 2048,
	  .doc = "Where the public keys of fal's webhooks are." },
	CFG_END
};

static const char *const output_hosts[] = { "fal.media", ".fal.media", NULL };

static void
check(const void *settings, struct buf *mistakes)
{
	call_check_url("fal_jwks_url", ((const struct fal *)settings)->jwks_url, mistakes);
}

static const struct profile_member profile[] = {
	{ "model", PROFILE_PATH, false },
	{ "input", PROFILE_OBJECT, false },
	{ "expiration_s", PROFILE_OTHER, true },
	{ .name = NULL }
};

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
	const char *model = reply_string(on, "model");
	const json_t *expiration = json_object_get(on, "expiration_s");

	if (model && app_len(model) == 0)
		cfg_mistake(mistakes, where, "model has to be an endpoint's id, such as fal-ai/flux/schnell");
	if (expiration && json_integer_value(expiration) < EXPIRATION_MIN_S)
		cfg_mistake(mistakes, where, "expiration_s has to be a number of seconds, %d at least",
			EXPIRATION_MIN_S);
}

/* How many are made, and paid for, is not params' to say. */
static bool
takes_param(const char *name)
{
	return strcmp(name, "num_images") != 0;
}

/* The app is all that is to be known: the URLs in an answer are made of it and the
 * request's id, so our key goes nowhere else. */
static void
submit_handle(const struct gen_spec *spec, struct buf *ret)
{
	const char *model = reply_string(spec->on, "model");

	buf_put(ret, model, app_len(model));
}

/* Nobody waits any more for what has not begun by the job's deadline. */
static void
add_preferences(struct call *c, const struct gen_spec *spec)
{
	const json_t *expiration = json_object_get(spec->on, "expiration_s");
	uint64_t seconds = spec->time_left_ms / 1000;
	char value[80];

	snprintf(value, sizeof value, "%llu",
		(unsigned long long)(seconds < START_TIMEOUT_MIN_S ? START_TIMEOUT_MIN_S : seconds));
	call_header(c, "X-Fal-Request-Timeout", value);
	if (!expiration)
		return;
	snprintf(value, sizeof value, "{\"expiration_duration_seconds\":%lld}",
		(long long)json_integer_value(expiration));
	call_header(c, "X-Fal-Object-Lifecycle-Preference", value);
}

static void
submit_request(const void *settings, const struct gen_spec *spec, struct call *c)
{
	const char *model = reply_string(spec->on, "model");

	(void)settings;
	if (!model || app_len(model) == 0) {
		call_refuse(c, ERR_CONFIG, "the model's profile names no endpoint");
		return;
	}
	call_put_path(c, "/", model);
	if (spec->webhook_url)
		call_put(c, "?fal_webhook=", spec->webhook_url);
	call_json(c, json_incref(json_object_get(spec->on, "input")));
	add_preferences(c, spec);
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

/* Files are objects, alone or in a list; a text is the prompt. */
static int
add_files(json_t *files, const json_t *result, bool *black)
{
	const char *name;
	json_t *value;
	int rc = 0;

	json_object_foreach((json_t *)(uintptr_t)result, name, value)
		for (size_t i = 0; i < (json_is_object(value) ? 1 : json_array_size(value)); i++) {
			json_t *urls = reply_collect_urls(json_is_object(value) ? value : json_array_get(value, i));

			if (is_black(result, i))
				*black = true;
			else
				rc |= json_array_extend(files, urls);
			json_decref(urls);
		}
	return rc;
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
read_id(const json_t *doc, struct gen_observation *obs)
{
	enum err_code rc = reply_keep(&obs->prediction_id, doc, "request_id");

	return rc ? rc : reply_keep(&obs->status_text, doc, "status");
}

static enum err_code
submit_read(const void *settings, const struct answer *answer, struct submit_reply *ret)
{
	(void)settings;
	if (answer->good && reply_id(answer->doc, "request_id")) {
		ret->outcome = SUBMIT_ACCEPTED;
		return read_id(answer->doc, &ret->obs);
	}
	if (ret->error == ERR_PROVIDER_REJECTED && why_failed(answer->doc) == ERR_CONTENT_BLOCKED)
		ret->error = ERR_CONTENT_BLOCKED;
	return ERR_OK;
}

/* Below a request's URL. */
static void
put_request(struct call *c, const struct look_query *query, const char *below)
{
	if (!query->handle) {
		call_refuse(c, ERR_CONFIG, "which of fal's apps has the request is not known");
		return;
	}
	call_put_path(c, "/", query->handle);
	call_put(c, "/requests/", query->prediction_id);
	buf_puts(&c->url, below);
}

static void
status_request(const void *settings, const struct look_query *query, struct call *c)
{
	(void)settings;
	put_request(c, query, query->follow ? "" : "/status");
	if (query->follow)	/* it may be a data: URI */
		c->rq->max_response_bytes = INLINE_RESPONSE_BYTES;
}

static void
cancel_request(const void *settings, const struct look_query *query, struct call *c)
{
	(void)settings;
	c->rq->method = HTTP_PUT;
	put_request(c, query, "/cancel");
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
read_status(const json_t *doc, struct status_reply *ret)
{
	if (!reply_string(doc, "status"))
		return ERR_OK;
	ret->outcome = STATUS_SEEN;
	if (reply_status(words, doc, "status", &ret->obs))
		return ERR_NOMEM;
	if (ret->obs.status != GEN_SUCCEEDED)
		return ERR_OK;
	if (json_string_length(json_object_get(doc, "error")) > 0 || reply_string(doc, "error_type"))
		return read_failure(doc, &ret->obs);
	ret->outcome = STATUS_MORE;
	ret->follow = mem_strdup(RESULT);
	return ret->follow ? ERR_OK : ERR_NOMEM;
}

/* Is it the model that answers, or does the queue not let us have the result? */
static bool
is_failure(const struct answer *answer)
{
	const char *detail = reply_string(answer->doc, "detail");

	switch (answer->status) {
	case 401: case 402: case 403: case 404: case 408: case 410: case 429:
		return false;
	}
	if (json_is_array(json_object_get(answer->doc, "detail")) || reply_string(answer->doc, "error_type"))
		return true;
	return answer->status >= 400 && answer->status < 500 && answer->doc &&
		!(detail && strstr(detail, "in progress"));
}

static enum err_code
status_read(const void *settings, const struct look_query *query, const struct answer *answer,
	struct status_reply *ret)
{
	(void)settings;
	if (answer->good && !query->follow)
		return read_status(answer->doc, ret);
	if (!answer->good && !(query->follow && is_failure(answer)))
		return ERR_OK;
	ret->outcome = STATUS_SEEN;
	return answer->good ? read_result(answer->doc, &ret->obs) : read_failure(answer->doc, &ret->obs);
}

/* Only what had not begun is gone for sure; the rest is asked to stop, or was over. */
static enum err_code
cancel_read(const void *settings, const struct look_query *query, const struct answer *answer,
	struct status_reply *ret)
{
	const char *status = reply_string(answer->doc, "status");

	(void)settings;
	(void)query;
	if (!answer->good || !status || strcmp(status, "OK") != 0)
		return ERR_OK;
	ret->outcome = STATUS_SEEN;
	ret->obs.status = GEN_CANCELED;
	return reply_keep(&ret->obs.status_text, answer->doc, "status");
}

static void
keys_request(const void *settings, struct call *c)
{
	const char *url = ((const struct fal *)settings)->jwks_url;

	call_url(c, url, strlen(url));
	c->is_public = true;
}

static enum err_code
keys_read(const struct answer *answer, struct buf *ret)
{
	return ed25519_jwks_read(answer->doc, ret);
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
webhook_verify(const char *keys, const struct webhook *wh, int64_t now_s, char **ret_delivery,
	struct err *err)
{
	const char *id = wh->header(wh->ctx, "x-fal-webhook-request-id");
	const char *user = wh->header(wh->ctx, "x-fal-webhook-user-id");
	const char *timestamp = wh->header(wh->ctx, "x-fal-webhook-timestamp");
	const char *hex = wh->header(wh->ctx, "x-fal-webhook-signature");
	uint8_t signature[ED25519_SIGNATURE_BYTES];
	struct buf text = BUF_INIT(2048);
	enum err_code rc;

	if (!id || !*id || strlen(id) > PREDICTION_ID_MAX || !user || !timestamp || !hex)
		return err_set(err, ERR_SIGNATURE, "a header of fal's webhooks (X-Fal-Webhook-...) is missing");
	if (hex_decode(hex, sizeof signature, signature))
		return err_set(err, ERR_SIGNATURE, "X-Fal-Webhook-Signature is not 64 bytes in hexadecimal");
	rc = webhook_check_age("X-Fal-Webhook-Timestamp", timestamp, now_s, err);
	if (rc)
		return rc;
	rc = put_signed_text(&text, id, user, timestamp, wh, err);
	if (!rc)
		rc = ed25519_jwks_verify(keys, &text, signature);
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
webhook_read(const json_t *doc, struct gen_observation *obs)
{
	const json_t *payload = json_object_get(doc, "payload");
	const char *status = reply_string(doc, "status");

	if (!reply_id(doc, "request_id"))
		return ERR_OK;
	if (read_id(doc, obs) || reply_keep(&obs->message, doc, "error"))
		return ERR_NOMEM;
	if (status && strcmp(status, "ERROR") == 0)
		return read_failure(payload, obs);
	if (status && strcmp(status, "OK") == 0 && json_is_object(payload))
		return read_result(payload, obs);
	obs->status = GEN_PROCESSING;
	obs->is_hint = true;
	return ERR_OK;
}

const struct provider provider_fal = {
	.name = "fal",
	.title = "fal",
	.caps = PROVIDER_WEBHOOK | PROVIDER_CANCEL | PROVIDER_VERIFIER,
	.options = options,
	.settings_size = sizeof(struct fal),
	.key_header = "Authorization",
	.key_scheme = "Key",
	.needs_key = true,
	.output_hosts = output_hosts,
	.profile = profile,
	.check = check,
	.check_profile = check_profile,
	.takes_param = takes_param,
	.submit = { submit_request, submit_handle, submit_read },
	.get_status = { status_request, status_read },
	.cancel = { cancel_request, cancel_read },
	.verifier = { keys_request, keys_read, KEYS_MAX_AGE_MS },
	.webhook_verify = webhook_verify,
	.webhook_read = webhook_read,
};
