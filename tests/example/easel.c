/*
 * Easel, a provider that there is not: the example of docs/providers.md.  Its API:
 *
 *	POST   /paintings       {"model", "input"}: 201, a painting
 *	GET    /paintings/ID    a painting
 *	DELETE /paintings/ID    stops it: the painting as it is then
 *
 * A painting is {"id", "state", "pictures": [URL], "reason", "seconds"}.
 */
#include "config.h"

#include "providers/call.h"
#include "providers/provider.h"
#include "providers/reply.h"

#define TIMEOUT_MS 15000

struct easel {
	char *url;
	char *token;
};

static const struct cfg_row options[] = {
	{ "easel_url", CFG_STR, offsetof(struct easel, url),
	  .def = "https://api.easel.example/v1", .max = 2048,
	  .doc = "Where Easel's API is." },
	{ "easel_token", CFG_STR, offsetof(struct easel, token),
	  .max = 512, .flags = CFG_SECRET,
	  .doc = "Easel's API token. Needed to use Easel." },
	CFG_END
};

/* Nothing is fetched from anywhere else. */
static const char *const output_hosts[] = { ".easel.example", NULL };

static void
check(const void *settings, struct buf *mistakes)
{
	const struct easel *e = settings;

	call_check_url("easel_url", e->url, mistakes);
	call_check_secret("easel_token", e->token, e->url, mistakes);
	if (!e->token)
		cfg_mistake(mistakes, "easel_token", "has to be set to use Easel");
}

static const char *
api_url(const void *settings)
{
	return ((const struct easel *)settings)->url;
}

static void
check_profile(const json_t *on, const char *where, struct buf *mistakes)
{
	static const char *const members[] = { "model", "input", NULL };

	call_check_members(on, members, where, mistakes);
	call_check_text(on, "model", where, mistakes);
	call_check_object(on, "input", where, mistakes);
}

/* A request about all paintings (id NULL) or one. */
static enum err_code
begin(const struct easel *e, struct http_request *rq, enum http_method method, const char *id)
{
	struct buf url = BUF_INIT(4096);
	enum err_code rc;

	buf_printf(&url, "%s/paintings", e->url);
	if (id) {
		buf_putc(&url, '/');
		buf_put_urlenc(&url, id, strlen(id), NULL);
	}
	rc = call_begin(rq, method, &url, TIMEOUT_MS);
	return rc ? rc : call_credentials(rq, "Authorization", "Bearer", e->token);
}

static enum err_code
submit_request(const void *settings, const struct gen_spec *spec, struct http_request *rq,
	struct err *err)
{
	json_t *model = json_object_get(spec->on, "model"), *input = json_object_get(spec->on, "input");
	enum err_code rc;

	if (!model || !input)
		return err_set(err, ERR_CONFIG, "the model's profile has no model or no input for Easel");
	rc = begin(settings, rq, HTTP_POST, NULL);
	if (!rc)
		rc = call_json(rq, json_pack("{sO, sO}", "model", model, "input", input));
	if (!rc)
		rc = call_idempotency_key(rq, &spec->job_id);
	return rc ? err_set(err, rc, "Easel's create request") : ERR_OK;
}

static const struct status_word words[] = {
	{ "waiting", GEN_STARTING, ERR_OK },
	{ "painting", GEN_PROCESSING, ERR_OK },
	{ "done", GEN_SUCCEEDED, ERR_OK },
	{ "broken", GEN_FAILED, ERR_PROVIDER_FAILED },
	{ "refused", GEN_FAILED, ERR_CONTENT_BLOCKED },
	{ "stopped", GEN_CANCELED, ERR_OK },
	{ .word = NULL }
};

/* ERR_BAD_REQUEST: it is no painting. */
static enum err_code
read_painting(const json_t *doc, struct gen_observation *obs)
{
	const char *id = reply_string(doc, "id"), *state = reply_string(doc, "state");
	double seconds = json_number_value(json_object_get(doc, "seconds"));

	if (!id || !*id || strlen(id) > PREDICTION_ID_MAX || !state)
		return ERR_BAD_REQUEST;
	reply_status_word(words, state, obs);
	obs->seconds = seconds > 0 ? seconds : 0;
	obs->outputs = reply_collect_urls(json_object_get(doc, "pictures"));
	if (!obs->outputs || reply_keep(&obs->prediction_id, doc, "id") ||
	    reply_keep(&obs->status_text, doc, "state") || reply_keep(&obs->message, doc, "reason"))
		return ERR_NOMEM;
	return ERR_OK;
}

/* The answer's painting, or ERR_BAD_REQUEST: it is none, and its HTTP status counts. */
static enum err_code
read_answer(const struct http_response *rs, const json_t *doc, struct gen_observation *obs)
{
	return rs->status >= 200 && rs->status < 300 ? read_painting(doc, obs) : ERR_BAD_REQUEST;
}

static enum err_code
submit_reply(const void *settings, const struct http_response *rs, struct submit_reply *ret,
	struct err *err)
{
	struct submit_reply reply = { .outcome = SUBMIT_ACCEPTED, .obs = GEN_OBSERVATION_INIT };
	json_t *doc = reply_json(buf_str(&rs->body), rs->body.len);
	enum err_code rc = read_answer(rs, doc, &reply.obs);

	(void)settings;
	if (rc == ERR_BAD_REQUEST)
		rc = reply_to_create(rs, doc, &reply);
	json_decref(doc);
	if (rc) {
		submit_reply_clear(&reply);
		return err_set(err, rc, "Easel's answer");
	}
	*ret = reply;
	return ERR_OK;
}

static enum err_code
status_request(const void *settings, const struct look_query *query, struct http_request *rq,
	struct err *err)
{
	enum err_code rc = begin(settings, rq, HTTP_GET, query->prediction_id);

	return rc ? err_set(err, rc, "Easel's status request") : ERR_OK;
}

static enum err_code
cancel_request(const void *settings, const struct look_query *query, struct http_request *rq,
	struct err *err)
{
	enum err_code rc = begin(settings, rq, HTTP_DELETE, query->prediction_id);

	return rc ? err_set(err, rc, "Easel's cancel request") : ERR_OK;
}

/* Of a cancel, too: what it says is believed. */
static enum err_code
status_reply(const void *settings, const struct look_query *query, const struct http_response *rs,
	struct status_reply *ret, struct err *err)
{
	struct status_reply reply = { .outcome = STATUS_SEEN, .obs = GEN_OBSERVATION_INIT };
	json_t *doc = reply_json(buf_str(&rs->body), rs->body.len);
	enum err_code rc = read_answer(rs, doc, &reply.obs);

	(void)settings;
	(void)query;
	if (rc == ERR_BAD_REQUEST)
		rc = reply_to_look(rs, doc, &reply);
	json_decref(doc);
	if (rc) {
		status_reply_clear(&reply);
		return err_set(err, rc, "Easel's answer");
	}
	*ret = reply;
	return ERR_OK;
}

const struct provider provider_easel = {
	.name = "easel",
	.title = "Easel",
	.caps = PROVIDER_CANCEL,
	.options = options,
	.settings_size = sizeof(struct easel),
	.output_hosts = output_hosts,
	.retention_ms = 24 * 3600 * 1000,
	.check = check,
	.api_url = api_url,
	.check_profile = check_profile,
	.submit = { .request = submit_request, .reply = submit_reply },
	.get_status = { status_request, status_reply },
	.cancel = { cancel_request, status_reply },
};
