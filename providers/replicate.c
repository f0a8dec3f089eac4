/*
 * Replicate.  Sources: https://api.replicate.com/openapi.json,
 * https://replicate.com/docs/reference/http,
 * https://replicate.com/docs/topics/webhooks,
 * https://replicate.com/docs/topics/predictions/lifecycle,
 * https://replicate.com/docs/topics/predictions/rate-limits.
 */
#include "config.h"

#include "base/clock.h"
#include "providers/call.h"
#include "providers/provider.h"
#include "providers/reply.h"
#include "providers/standard_webhooks.h"

/* Everything of an API prediction is removed after an hour. */
#define RETENTION_MS (3600 * 1000)

/* A create may wait for the model's validation; a status call may not. */
#define SUBMIT_TIMEOUT_MS 30000
#define STATUS_TIMEOUT_MS 15000

/* The smallest Cancel-After that is taken. */
#define CANCEL_AFTER_MIN_S 5

struct replicate {
	char *url;
	char *token;
	char *webhook_secret;
};

static const struct cfg_row options[] = {
	{ "replicate_url", CFG_STR, offsetof(struct replicate, url),
	  .def = "https://api.replicate.com/v1", .max = 2048,
	  .doc = "Where Replicate's API is." },
	{ "replicate_token", CFG_STR, offsetof(struct replicate, token),
	  .max = 512, .flags = CFG_SECRET,
	  .doc = "Replicate's API token (https://replicate.com/account/api-tokens). Needed to use Replicate." },
	{ "replicate_webhook_secret", CFG_STR, offsetof(struct replicate, webhook_secret),
	  .max = 4096, .flags = CFG_SECRET,
	  .doc = "The signing secret of Replicate's webhooks (`whsec_...`); several, separated by commas, "
		"while one replaces another. Without it it is fetched with the token." },
	CFG_END
};

static const char *const output_hosts[] = { "replicate.delivery", ".replicate.delivery", NULL };

static void
check(const void *settings, struct buf *mistakes)
{
	const struct replicate *r = settings;
	struct err err = ERR_INIT;

	call_check_url("replicate_url", r->url, mistakes);
	if (!r->token)
		cfg_mistake(mistakes, "replicate_token", "has to be set to use Replicate");
	if (r->webhook_secret && standard_webhooks_check(r->webhook_secret, &err))
		cfg_mistake(mistakes, "replicate_webhook_secret", "%s", err.text);
}

static const char *
api_url(const void *settings)
{
	return ((const struct replicate *)settings)->url;
}

/* A model is optional where "deployment" is there. */
static void
check_profile(const json_t *on, const char *where, struct buf *mistakes)
{
	static const char *const members[] = { "model", "deployment", "input", NULL };

	call_check_members(on, members, where, mistakes);
	call_check_text(on, json_object_get(on, "deployment") ? "deployment" : "model", where, mistakes);
	call_check_object(on, "input", where, mistakes);
}

static void
put_api_url(struct buf *url, const struct replicate *r)
{
	size_t len = strlen(r->url);

	buf_put(url, r->url, len > 0 && r->url[len - 1] == '/' ? len - 1 : len);
}

/* The three forms of create: a deployment, an official model ("owner/name"),
 * a version ("owner/name:version" or the version alone). */
static void
put_create_path(struct buf *url, const json_t *on)
{
	const char *deployment = reply_string(on, "deployment");
	const char *model = reply_string(on, "model");

	if (deployment) {
		buf_puts(url, "/deployments/");
		buf_put_urlenc(url, deployment, strlen(deployment), "/");
	} else if (model && strchr(model, '/') && !strchr(model, ':')) {
		buf_puts(url, "/models/");
		buf_put_urlenc(url, model, strlen(model), "/");
	}
	buf_puts(url, "/predictions");
}

/* The body's members are a closed set: an unknown one is refused. */
static json_t *
create_body(const struct gen_spec *spec)
{
	const char *model = reply_string(spec->on, "model");
	bool by_version = !json_object_get(spec->on, "deployment") && model &&
		(strchr(model, ':') || !strchr(model, '/'));
	json_t *body = json_object();
	int rc = 0;

	if (by_version)
		rc |= json_object_set_new(body, "version", json_string(model));
	rc |= json_object_set(body, "input", json_object_get(spec->on, "input"));
	if (spec->webhook_url) {
		rc |= json_object_set_new(body, "webhook", json_string(spec->webhook_url));
		rc |= json_object_set_new(body, "webhook_events_filter",
			json_pack("[ss]", "start", "completed"));
	}
	if (rc) {
		json_decref(body);
		return NULL;
	}
	return body;
}

static enum err_code
authorize(const void *settings, struct http_request *rq)
{
	return call_credentials(rq, "Authorization", "Bearer", ((const struct replicate *)settings)->token);
}

/* A request without a body; url is cleared. */
static enum err_code
make_request(const struct replicate *r, enum http_method method, struct buf *url,
	struct http_request *rq, const char *what, struct err *err)
{
	enum err_code rc = call_begin(rq, method, url, STATUS_TIMEOUT_MS);

	if (!rc)
		rc = authorize(r, rq);
	return rc ? err_set(err, rc, "Replicate's %s request", what) : ERR_OK;
}

static enum err_code
add_cancel_after(struct http_request *rq, uint64_t seconds)
{
	char after[32];

	snprintf(after, sizeof after, "%llus",
		(unsigned long long)(seconds < CANCEL_AFTER_MIN_S ? CANCEL_AFTER_MIN_S : seconds));
	return http_request_add_header(rq, "Cancel-After", after);
}

static enum err_code
submit_request(const void *settings, const struct gen_spec *spec, struct http_request *rq,
	struct err *err)
{
	const struct replicate *r = settings;
	struct buf url = BUF_INIT(4096);
	enum err_code rc;

	if (!json_is_object(json_object_get(spec->on, "input")))
		return err_set(err, ERR_CONFIG, "the model's profile has no input for Replicate");
	put_api_url(&url, r);
	put_create_path(&url, spec->on);
	rc = call_begin(rq, HTTP_POST, &url, SUBMIT_TIMEOUT_MS);
	if (!rc)
		rc = call_json(rq, create_body(spec));
	if (!rc)
		rc = call_idempotency_key(rq, &spec->job_id);
	if (!rc)
		rc = add_cancel_after(rq, spec->time_left_ms / 1000);
	if (!rc)
		rc = authorize(r, rq);
	return rc ? err_set(err, rc, "Replicate's create request") : ERR_OK;
}

static const struct status_word words[] = {
	{ "starting", GEN_STARTING, ERR_OK },
	{ "processing", GEN_PROCESSING, ERR_OK },
	{ "succeeded", GEN_SUCCEEDED, ERR_OK },
	{ "failed", GEN_FAILED, ERR_PROVIDER_FAILED },
	{ "canceled", GEN_CANCELED, ERR_OK },
	/* Cancel-After passed before it started. */
	{ "aborted", GEN_FAILED, ERR_TIMEOUT },
	{ .word = NULL }
};

/* Its codes stand in brackets behind the text; E005: flagged as sensitive. */
static enum err_code
why_failed(const json_t *doc, enum err_code error)
{
	const char *text = reply_string(doc, "error");

	return error == ERR_PROVIDER_FAILED && text && strstr(text, "(E005)") ? ERR_CONTENT_BLOCKED : error;
}

/* What is billed where a model is billed by time. */
static double
predict_seconds(const json_t *doc)
{
	double s = json_number_value(json_object_get(json_object_get(doc, "metrics"), "predict_time"));

	return s > 0 ? s : 0;
}

/* A prediction, from a create, a status call or a webhook: only id and status
 * are sure to be there. */
static enum err_code
read_prediction(const json_t *doc, struct gen_observation *ret, struct err *err)
{
	struct gen_observation obs = GEN_OBSERVATION_INIT;
	const char *id = reply_string(doc, "id");
	const char *status = reply_string(doc, "status");

	if (!id || !*id || strlen(id) > PREDICTION_ID_MAX || !status)
		return err_set(err, ERR_BAD_REQUEST, "not a prediction: id or status is missing");
	reply_status_word(words, status, &obs);
	obs.error = why_failed(doc, obs.error);
	obs.seconds = predict_seconds(doc);
	obs.data_removed = json_is_true(json_object_get(doc, "data_removed"));
	obs.outputs = reply_collect_urls(json_object_get(doc, "output"));
	if (reply_keep(&obs.prediction_id, doc, "id") || reply_keep(&obs.status_text, doc, "status") ||
	    reply_keep(&obs.message, doc, "error") || reply_keep(&obs.webhook_url, doc, "webhook") ||
	    !obs.outputs) {
		gen_observation_clear(&obs);
		return err_set(err, ERR_NOMEM, "prediction");
	}
	*ret = obs;
	return ERR_OK;
}

static enum err_code
submit_reply(const void *settings, const struct http_response *rs, struct submit_reply *ret,
	struct err *err)
{
	struct submit_reply reply = { .obs = GEN_OBSERVATION_INIT };
	json_t *doc = reply_json(buf_str(&rs->body), rs->body.len);
	enum err_code rc = ERR_OK;

	(void)settings;
	/* A 2xx was taken, whatever the code; one that cannot be read leaves open under
	 * which id. */
	if (rs->status >= 200 && rs->status < 300 && doc)
		rc = read_prediction(doc, &reply.obs, NULL);
	if (!rc && reply.obs.prediction_id)
		reply.outcome = SUBMIT_ACCEPTED;
	else if (rc != ERR_NOMEM)
		rc = reply_to_create(rs, doc, &reply);
	json_decref(doc);
	if (rc) {
		submit_reply_clear(&reply);
		return err_set(err, rc, "Replicate's answer");
	}
	*ret = reply;
	return ERR_OK;
}

static void
put_prediction(struct buf *url, const struct replicate *r, const struct look_query *query)
{
	put_api_url(url, r);
	buf_puts(url, "/predictions/");
	buf_put_urlenc(url, query->prediction_id, strlen(query->prediction_id), NULL);
}

static enum err_code
status_request(const void *settings, const struct look_query *query, struct http_request *rq,
	struct err *err)
{
	struct buf url = BUF_INIT(4096);

	put_prediction(&url, settings, query);
	return make_request(settings, HTTP_GET, &url, rq, "status", err);
}

static enum err_code
cancel_request(const void *settings, const struct look_query *query, struct http_request *rq,
	struct err *err)
{
	struct buf url = BUF_INIT(4096);

	put_prediction(&url, settings, query);
	buf_puts(&url, "/cancel");
	return make_request(settings, HTTP_POST, &url, rq, "cancel", err);
}

/* Of a cancel, too: it answers with the prediction as it is then. */
static enum err_code
status_reply(const void *settings, const struct look_query *query, const struct http_response *rs,
	struct status_reply *ret, struct err *err)
{
	struct status_reply reply = { .outcome = STATUS_LATER, .obs = GEN_OBSERVATION_INIT };
	json_t *doc = reply_json(buf_str(&rs->body), rs->body.len);
	enum err_code rc = ERR_OK;

	(void)settings;
	(void)query;
	if (rs->status >= 200 && rs->status < 300 && doc)
		rc = read_prediction(doc, &reply.obs, NULL);
	if (!rc && reply.obs.prediction_id)
		reply.outcome = STATUS_SEEN;
	else if (rc != ERR_NOMEM)
		rc = reply_to_look(rs, doc, &reply);
	json_decref(doc);
	if (rc) {
		status_reply_clear(&reply);
		return err_set(err, rc, "Replicate's answer");
	}
	*ret = reply;
	return ERR_OK;
}

static void
put_window(struct buf *url, const struct find_query *query)
{
	char after[RFC3339_SIZE], before[RFC3339_SIZE];

	rfc3339_format(query->after_us, after);
	rfc3339_format(query->before_us, before);
	buf_puts(url, "/predictions?created_after=");
	buf_put_urlenc(url, after, strlen(after), NULL);
	buf_puts(url, "&created_before=");
	buf_put_urlenc(url, before, strlen(before), NULL);
}

static enum err_code
find_request(const void *settings, const struct find_query *query, struct http_request *rq,
	struct err *err)
{
	const struct replicate *r = settings;
	struct buf url = BUF_INIT(8192);
	enum err_code rc = query->follow ? call_check_own(r->url, query->follow) : ERR_OK;

	if (rc)
		return err_set(err, rc, "the list's next page is not on the API's own host");
	if (query->follow) {
		buf_puts(&url, query->follow);
	} else {
		put_api_url(&url, r);
		put_window(&url, query);
	}
	return make_request(r, HTTP_GET, &url, rq, "list", err);
}

static enum err_code
read_found(const json_t *doc, struct found_prediction *ret)
{
	const char *created = reply_string(doc, "created_at");
	json_t *input = json_object_get(doc, "input");
	enum err_code rc = read_prediction(doc, &ret->obs, NULL);

	if (rc)
		return rc;
	if (!created || rfc3339_parse(created, strlen(created), &ret->created_us))
		ret->created_us = 0;
	if (json_is_object(input))
		ret->input = json_incref(input);
	return ERR_OK;
}

static enum err_code
read_next(const struct replicate *r, const json_t *doc, struct find_reply *reply)
{
	const json_t *next = json_object_get(doc, "next");
	const char *url = reply_string(doc, "next");
	enum err_code rc;

	if (!next || json_is_null(next))
		return ERR_OK;
	rc = url ? call_check_own(r->url, url) : ERR_INVALID;
	if (rc == ERR_NOMEM)
		return rc;
	reply->cut |= rc != ERR_OK;
	if (!rc && !(reply->follow = mem_strdup(url)))
		return ERR_NOMEM;
	return ERR_OK;
}

/* What is no prediction may be the one that is looked for. */
static enum err_code
read_page(const struct replicate *r, const json_t *doc, struct find_reply *reply)
{
	const json_t *results = json_object_get(doc, "results");
	size_t n = json_array_size(results);

	reply->found = mem_calloc(n ? n : 1, sizeof *reply->found);
	if (!reply->found)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		enum err_code rc = read_found(json_array_get(results, i), &reply->found[reply->n]);

		if (rc == ERR_BAD_REQUEST)
			reply->cut = true;
		else if (rc)
			return rc;
		else
			reply->n++;
	}
	return read_next(r, doc, reply);
}

static enum err_code
find_reply(const void *settings, const struct http_response *rs, struct find_reply *ret,
	struct err *err)
{
	struct find_reply reply = { .outcome = FIND_LATER };
	json_t *doc = reply_json(buf_str(&rs->body), rs->body.len);
	const char *date = http_response_header(rs, "date");
	int64_t date_s;
	enum err_code rc = ERR_OK;

	if (date && !http_date_parse(date, strlen(date), &date_s))
		reply.date_us = date_s * 1000000;
	if (rs->status >= 200 && rs->status < 300 && json_is_array(json_object_get(doc, "results"))) {
		reply.outcome = FIND_PAGE;
		rc = read_page(settings, doc, &reply);
	} else {
		if (rs->status == 429)
			reply.retry_after_ms = reply_retry_after_ms(rs, doc);
		reply.message = reply_problem(rs, doc);
		rc = reply.message ? ERR_OK : ERR_NOMEM;
	}
	json_decref(doc);
	if (rc) {
		find_reply_clear(&reply);
		return err_set(err, rc, "Replicate's answer");
	}
	*ret = reply;
	return ERR_OK;
}

/* https://replicate.com/docs/reference/http#account.get */
static enum err_code
probe_request(const void *settings, struct http_request *rq, struct err *err)
{
	const struct replicate *r = settings;
	struct buf url = BUF_INIT(4096);

	put_api_url(&url, r);
	buf_puts(&url, "/account");
	return make_request(r, HTTP_GET, &url, rq, "account", err);
}

static enum err_code
probe_reply(const void *settings, const struct http_response *rs, struct err *err)
{
	(void)settings;
	return reply_to_probe(rs, err);
}

/* What it says of no job of ours; logs of a prediction can be long. */
static enum err_code
webhook_probe(const void *settings, int64_t now_s, size_t body_bytes, struct http_request *rq,
	struct err *err)
{
	const struct replicate *r = settings;
	struct buf body = BUF_INIT(body_bytes + 256);
	char id[48];
	enum err_code rc;

	if (!r->webhook_secret)
		return err_set(err, ERR_CONFIG, "replicate_webhook_secret is not set");
	snprintf(id, sizeof id, "msg_gengate_check_%lld", (long long)now_s);
	buf_puts(&body, "{\"id\":\"gengate-check\",\"status\":\"starting\",\"logs\":\"");
	while (!body.err && body.len < body_bytes)
		buf_puts(&body, "gengate check ");
	buf_puts(&body, "\"}");
	rq->method = HTTP_POST;
	rq->timeout_ms = STATUS_TIMEOUT_MS;
	rc = body.err ? body.err : http_request_set_body(rq, buf_str(&body), body.len);
	if (!rc)
		rc = http_request_add_header(rq, "Content-Type", "application/json");
	if (!rc)
		rc = standard_webhooks_sign(r->webhook_secret, id, now_s, rq, err);
	buf_clear(&body);
	return rc ? err_set(err, rc, "a webhook to try with") : ERR_OK;
}

/* One per owner of a token. */
static enum err_code
secret_request(const void *settings, struct http_request *rq, struct err *err)
{
	const struct replicate *r = settings;
	struct buf url = BUF_INIT(4096);

	put_api_url(&url, r);
	buf_puts(&url, "/webhooks/default/secret");
	return make_request(r, HTTP_GET, &url, rq, "secret", err);
}

/* Nothing of the answer goes into a log. */
static enum err_code
secret_reply(const void *settings, const struct http_response *rs, struct buf *ret, struct err *err)
{
	json_t *doc = reply_json(buf_str(&rs->body), rs->body.len);
	const char *key = reply_string(doc, "key");
	enum err_code rc = ERR_UPSTREAM;

	(void)settings;
	if (rs->status < 200 || rs->status >= 300)
		err_set(err, rc, "Replicate does not tell the webhooks' secret: HTTP %ld", rs->status);
	else if (!key || strchr(key, ',') || standard_webhooks_check(key, NULL))
		err_set(err, rc, "Replicate's webhooks' secret cannot be read");
	else if (buf_puts(ret, key), ret->err)
		rc = err_set(err, ret->err, "Replicate's webhooks' secret");
	else
		rc = ERR_OK;
	json_decref(doc);
	return rc;
}

static bool
webhook_ready(const void *settings)
{
	return ((const struct replicate *)settings)->webhook_secret != NULL;
}

static enum err_code
webhook_verify(const void *settings, const char *fetched, const struct webhook *wh, int64_t now_s,
	char **ret_delivery, struct err *err)
{
	const struct replicate *r = settings;
	const char *secret = r->webhook_secret ? r->webhook_secret : fetched;

	if (!secret)
		return err_set(err, ERR_SIGNATURE, "replicate_webhook_secret is not set");
	return standard_webhooks_verify(secret, wh, now_s, ret_delivery, err);
}

static enum err_code
webhook_parse(const void *settings, const struct webhook *wh, struct gen_observation *ret,
	struct err *err)
{
	json_t *doc = NULL;
	enum err_code rc = reply_document(wh->body, wh->body_len, &doc);

	(void)settings;
	rc = rc ? err_set(err, rc, "the webhook's body is not a JSON object") : read_prediction(doc, ret, err);
	json_decref(doc);
	return rc;
}

const struct provider provider_replicate = {
	.name = "replicate",
	.title = "Replicate",
	.caps = PROVIDER_WEBHOOK | PROVIDER_CANCEL | PROVIDER_FIND | PROVIDER_VERIFIER,
	.options = options,
	.settings_size = sizeof(struct replicate),
	.output_hosts = output_hosts,
	.retention_ms = RETENTION_MS,
	.check = check,
	.api_url = api_url,
	.check_profile = check_profile,
	.authorize = authorize,
	.probe = { probe_request, probe_reply },
	.submit = { .request = submit_request, .reply = submit_reply },
	.get_status = { status_request, status_reply },
	.cancel = { cancel_request, status_reply },
	.find = { find_request, find_reply },
	.verifier = { .request = secret_request, .reply = secret_reply },
	.webhook_ready = webhook_ready,
	.webhook_verify = webhook_verify,
	.webhook_probe = webhook_probe,
	.webhook_parse = webhook_parse,
};
