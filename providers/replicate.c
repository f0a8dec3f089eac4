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

/* The smallest Cancel-After that is taken. */
#define CANCEL_AFTER_MIN_S 5

static const struct cfg_row options[] = {
	PROVIDER_URL("replicate_url", "https://api.replicate.com/v1", "Where Replicate's API is."),
	PROVIDER_KEY("replicate_token",
		"Replicate's API token (https://replicate.com/account/api-tokens). Needed to use Replicate."),
	PROVIDER_WEBHOOK_SECRET("replicate_webhook_secret",
		"The signing secret of Replicate's webhooks (`whsec_...`); several, separated by commas, "
		"while one replaces another. Without it it is fetched with the token."),
	CFG_END
};

static const char *const output_hosts[] = { "replicate.delivery", ".replicate.delivery", NULL };

static void
check(const void *settings, struct buf *mistakes)
{
	const char *secret = ((const struct provider_api *)settings)->webhook_secret;
	struct err err = ERR_INIT;

	if (secret && standard_webhooks_check(secret, &err))
		cfg_mistake(mistakes, "replicate_webhook_secret", "%s", err.text);
}

/* A model is optional where a deployment is there. */
static const struct profile_member profile[] = {
	{ "model", PROFILE_PATH, true },
	{ "deployment", PROFILE_PATH, true },
	{ "input", PROFILE_OBJECT, false },
	{ .name = NULL }
};

static void
check_profile(const json_t *on, const char *where, struct buf *mistakes)
{
	if (!json_object_get(on, "deployment") && !json_object_get(on, "model"))
		cfg_mistake(mistakes, where, "model has to be a text that is not empty");
}

/* How many are made, and paid for, is not params' to say. */
static bool
takes_param(const char *name)
{
	return strcmp(name, "num_outputs") != 0;
}

/* The three forms of create: a deployment, an official model ("owner/name"),
 * a version ("owner/name:version" or the version alone). */
static void
put_create_path(struct call *c, const json_t *on)
{
	const char *deployment = reply_string(on, "deployment");
	const char *model = reply_string(on, "model");

	if (deployment)
		call_put_path(c, "/deployments/", deployment);
	else if (model && strchr(model, '/') && !strchr(model, ':'))
		call_put_path(c, "/models/", model);
	buf_puts(&c->url, "/predictions");
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

static void
submit_request(const void *settings, const struct gen_spec *spec, struct call *c)
{
	uint64_t seconds = spec->time_left_ms / 1000;
	char after[32];

	(void)settings;
	put_create_path(c, spec->on);
	call_json(c, create_body(spec));
	snprintf(after, sizeof after, "%llus",
		(unsigned long long)(seconds < CANCEL_AFTER_MIN_S ? CANCEL_AFTER_MIN_S : seconds));
	call_header(c, "Cancel-After", after);
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
static bool
is_prediction(const json_t *doc)
{
	return reply_id(doc, "id") && reply_string(doc, "status");
}

static enum err_code
read_prediction(const json_t *doc, struct gen_observation *obs)
{
	if (reply_status(words, doc, "status", obs))
		return ERR_NOMEM;
	obs->error = why_failed(doc, obs->error);
	obs->seconds = predict_seconds(doc);
	obs->data_removed = json_is_true(json_object_get(doc, "data_removed"));
	obs->outputs = reply_collect_urls(json_object_get(doc, "output"));
	if (!obs->outputs || reply_keep(&obs->prediction_id, doc, "id") ||
	    reply_keep(&obs->message, doc, "error") || reply_keep(&obs->webhook_url, doc, "webhook"))
		return ERR_NOMEM;
	return ERR_OK;
}

/* A 2xx was taken, whatever the code; one that cannot be read leaves open under which id. */
static enum err_code
submit_read(const void *settings, const struct answer *answer, struct submit_reply *ret)
{
	(void)settings;
	if (!answer->good || !is_prediction(answer->doc))
		return ERR_OK;
	ret->outcome = SUBMIT_ACCEPTED;
	return read_prediction(answer->doc, &ret->obs);
}

static void
status_request(const void *settings, const struct look_query *query, struct call *c)
{
	(void)settings;
	call_put(c, "/predictions/", query->prediction_id);
}

static void
cancel_request(const void *settings, const struct look_query *query, struct call *c)
{
	(void)settings;
	c->rq->method = HTTP_POST;
	call_put(c, "/predictions/", query->prediction_id);
	buf_puts(&c->url, "/cancel");
}

/* Of a cancel, too: it answers with the prediction as it is then. */
static enum err_code
status_read(const void *settings, const struct look_query *query, const struct answer *answer,
	struct status_reply *ret)
{
	(void)settings;
	(void)query;
	if (!answer->good || !is_prediction(answer->doc))
		return ERR_OK;
	ret->outcome = STATUS_SEEN;
	return read_prediction(answer->doc, &ret->obs);
}

static void
find_request(const void *settings, const struct find_query *query, struct call *c)
{
	char after[RFC3339_SIZE], before[RFC3339_SIZE];

	if (query->follow) {
		enum err_code rc = call_check_own(((const struct provider_api *)settings)->url, query->follow);

		if (rc)
			call_refuse(c, rc, "the list's next page is not on the API's own host");
		call_url(c, query->follow, strlen(query->follow));
		return;
	}
	rfc3339_format(query->after_us, after);
	rfc3339_format(query->before_us, before);
	call_put(c, "/predictions?created_after=", after);
	call_put(c, "&created_before=", before);
}

static enum err_code
read_found(const json_t *doc, struct found_prediction *ret)
{
	const char *created = reply_string(doc, "created_at");
	json_t *input = json_object_get(doc, "input");

	if (!created || rfc3339_parse(created, strlen(created), &ret->created_us))
		ret->created_us = 0;
	if (json_is_object(input))
		ret->input = json_incref(input);
	return read_prediction(doc, &ret->obs);
}

static enum err_code
read_next(const char *api_url, const json_t *doc, struct find_reply *reply)
{
	const json_t *next = json_object_get(doc, "next");
	const char *url = reply_string(doc, "next");
	enum err_code rc;

	if (!next || json_is_null(next))
		return ERR_OK;
	rc = url ? call_check_own(api_url, url) : ERR_INVALID;
	if (rc == ERR_NOMEM)
		return rc;
	reply->cut |= rc != ERR_OK;
	if (!rc && !(reply->follow = mem_strdup(url)))
		return ERR_NOMEM;
	return ERR_OK;
}

/* What is no prediction may be the one that is looked for. */
static enum err_code
find_read(const void *settings, const struct answer *answer, struct find_reply *ret)
{
	const json_t *results = json_object_get(answer->doc, "results"), *doc;
	size_t i;

	if (!json_is_array(results))
		return ERR_OK;
	ret->outcome = FIND_PAGE;
	ret->found = mem_calloc(json_array_size(results) + 1, sizeof *ret->found);
	if (!ret->found)
		return ERR_NOMEM;
	json_array_foreach(results, i, doc) {
		struct found_prediction *found = &ret->found[ret->n];

		if (!is_prediction(doc)) {
			ret->cut = true;
			continue;
		}
		ret->n++;
		found->obs = (struct gen_observation)GEN_OBSERVATION_INIT;
		if (read_found(doc, found))
			return ERR_NOMEM;
	}
	return read_next(((const struct provider_api *)settings)->url, answer->doc, ret);
}

/* https://replicate.com/docs/reference/http#account.get */
static void
probe_request(const void *settings, struct call *c)
{
	(void)settings;
	buf_puts(&c->url, "/account");
}

static enum err_code
probe_read(const struct answer *answer, struct err *err)
{
	bool own = reply_string(answer->doc, "type") || reply_string(answer->doc, "username");

	return reply_to_probe(answer, own, err);
}

/* One per owner of a token. */
static void
secret_request(const void *settings, struct call *c)
{
	(void)settings;
	buf_puts(&c->url, "/webhooks/default/secret");
}

static enum err_code
secret_read(const struct answer *answer, struct buf *ret)
{
	const char *key = reply_string(answer->doc, "key");

	if (key && !strchr(key, ',') && !standard_webhooks_check(key, NULL))
		buf_puts(ret, key);
	return ERR_OK;
}

static enum err_code
webhook_sign(const char *secret, int64_t now_s, struct http_request *rq, struct err *err)
{
	char id[48];

	snprintf(id, sizeof id, "msg_gengate_check_%lld", (long long)now_s);
	return standard_webhooks_sign(secret, id, now_s, rq, err);
}

static enum err_code
webhook_read(const json_t *doc, struct gen_observation *obs)
{
	return is_prediction(doc) ? read_prediction(doc, obs) : ERR_OK;
}

const struct provider provider_replicate = {
	.name = "replicate",
	.title = "Replicate",
	.caps = PROVIDER_WEBHOOK | PROVIDER_CANCEL | PROVIDER_FIND | PROVIDER_VERIFIER,
	.options = options,
	.settings_size = sizeof(struct provider_api),
	.key_header = "Authorization",
	.key_scheme = "Bearer",
	.needs_key = true,
	.output_hosts = output_hosts,
	.retention_ms = RETENTION_MS,
	.profile = profile,
	.check = check,
	.check_profile = check_profile,
	.takes_param = takes_param,
	.probe = { probe_request, probe_read },
	.submit = { .request = submit_request, .read = submit_read },
	.get_status = { status_request, status_read },
	.cancel = { cancel_request, status_read },
	.find = { find_request, find_read },
	.verifier = { .request = secret_request, .read = secret_read },
	.webhook_verify = standard_webhooks_verify,
	.webhook_sign = webhook_sign,
	.webhook_read = webhook_read,
};
