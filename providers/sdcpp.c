/*
 * The server of stable-diffusion.cpp, by its own API of jobs.  Source:
 * https://github.com/leejet/stable-diffusion.cpp/blob/master/examples/server/api.md.
 *
 * Outputs come inside its answers.  It takes pictures as bytes alone, no URLs, so there
 * are no inputs.  It lists no jobs: what became of a create without an answer stays
 * unknown.
 */
#include "config.h"

#include "providers/call.h"
#include "providers/provider.h"
#include "providers/reply.h"

#define CALL_TIMEOUT_MS 15000
/* Some pictures, over a network of one's own. */
#define STATUS_TIMEOUT_MS 60000

struct sdcpp {
	char *url;
	char *key;
};

static const struct cfg_row options[] = {
	{ "sdcpp_url", CFG_STR, offsetof(struct sdcpp, url),
	  .def = "http://127.0.0.1:1234", .max = 2048,
	  .doc = "Where the server of stable-diffusion.cpp is, without `/sdcpp`." },
	{ "sdcpp_key", CFG_STR, offsetof(struct sdcpp, key),
	  .max = 512, .flags = CFG_SECRET,
	  .doc = "Bearer token for a proxy in front of that server; the server itself wants none." },
	CFG_END
};

/* There are no URLs. */
static const char *const output_hosts[] = { NULL };

static void
check(const void *settings, struct buf *mistakes)
{
	const struct sdcpp *s = settings;

	call_check_url("sdcpp_url", s->url, mistakes);
	call_check_secret("sdcpp_key", s->key, s->url, mistakes);
}

static const char *
api_url(const void *settings)
{
	return ((const struct sdcpp *)settings)->url;
}

/* NULL: "mode" is none that there is. */
static const char *
mode_of(const json_t *on)
{
	static const char *const modes[] = { "img_gen", "vid_gen" };
	const char *mode = reply_string(on, "mode");

	for (size_t i = 0; mode && i < sizeof modes / sizeof *modes; i++)
		if (strcmp(mode, modes[i]) == 0)
			return modes[i];
	return json_object_get(on, "mode") ? NULL : modes[0];
}

static void
check_profile(const json_t *on, const char *where, struct buf *mistakes)
{
	static const char *const members[] = { "mode", "input", NULL };

	call_check_members(on, members, where, mistakes);
	call_check_object(on, "input", where, mistakes);
	if (!mode_of(on))
		cfg_mistake(mistakes, where, "mode has to be \"img_gen\", which it is where it is not there, or \"vid_gen\"");
	if (call_has_text(on, "$input") || call_has_text(on, "$inputs"))
		cfg_mistake(mistakes, where, "\"$input\" and \"$inputs\" are URLs, and this server takes no pictures by URL");
}

static enum err_code
begin(const struct sdcpp *s, struct http_request *rq, enum http_method method, const char *path,
	const char *id, const char *action, uint32_t timeout_ms)
{
	struct buf url = BUF_INIT(4096);
	enum err_code rc;

	buf_printf(&url, "%s/sdcpp/v1/%s", s->url, path);
	buf_put_urlenc(&url, id, strlen(id), NULL);
	buf_puts(&url, action);
	rc = call_begin(rq, method, &url, timeout_ms);
	return rc ? rc : call_credentials(rq, "Authorization", "Bearer", s->key);
}

static enum err_code
submit_request(const void *settings, const struct gen_spec *spec, struct http_request *rq,
	struct err *err)
{
	json_t *input = json_object_get(spec->on, "input");
	const char *mode = mode_of(spec->on);
	enum err_code rc;

	if (!json_is_object(input) || !mode)
		return err_set(err, ERR_CONFIG, "the model's profile has no input or no such mode for stable-diffusion.cpp");
	rc = begin(settings, rq, HTTP_POST, mode, "", "", CALL_TIMEOUT_MS);
	if (!rc)
		rc = call_json(rq, json_incref(input));
	if (!rc)
		rc = call_idempotency_key(rq, &spec->job_id);
	return rc ? err_set(err, rc, "stable-diffusion.cpp's create request") : ERR_OK;
}

static const struct status_word words[] = {
	{ "queued", GEN_STARTING, ERR_OK },
	{ "generating", GEN_PROCESSING, ERR_OK },
	{ "completed", GEN_SUCCEEDED, ERR_OK },
	{ "failed", GEN_FAILED, ERR_PROVIDER_FAILED },
	{ "cancelled", GEN_CANCELED, ERR_OK },
	{ .word = NULL }
};

/* Pictures are a list, a video is the result itself. */
static json_t *
read_result(json_t *result)
{
	json_t *outputs = json_array(), *image;
	int rc = outputs ? reply_add_output(outputs, json_object_get(result, "b64_json")) : -1;
	size_t i;

	json_array_foreach(json_object_get(result, "images"), i, image)
		rc = rc ? rc : reply_add_output(outputs, json_object_get(image, "b64_json"));
	if (rc) {
		json_decref(outputs);
		return NULL;
	}
	return outputs;
}

static double
seconds_of(const json_t *doc)
{
	const json_t *started = json_object_get(doc, "started"), *completed = json_object_get(doc, "completed");
	double s = json_number_value(completed) - json_number_value(started);

	return json_is_number(started) && s > 0 ? s : 0;
}

/* A job; a create's answer may have no status.  ERR_BAD_REQUEST: it is none. */
static enum err_code
read_job(const json_t *doc, struct gen_observation *obs)
{
	const char *id = reply_string(doc, "id"), *status = reply_string(doc, "status");
	enum err_code rc;

	if (!id || !*id || strlen(id) > PREDICTION_ID_MAX)
		return ERR_BAD_REQUEST;
	if (status)
		reply_status_word(words, status, obs);
	if (gen_status_is_final(obs->status))
		obs->seconds = seconds_of(doc);
	obs->outputs = read_result(json_object_get(doc, "result"));
	rc = obs->outputs ? reply_keep(&obs->status_text, doc, "status") : ERR_NOMEM;
	if (!rc)
		rc = reply_keep(&obs->message, json_object_get(doc, "error"), "message");
	return rc ? rc : reply_keep(&obs->prediction_id, doc, "id");
}

static enum err_code
submit_reply(const void *settings, const struct http_response *rs, struct submit_reply *ret,
	struct err *err)
{
	struct submit_reply reply = { .obs = GEN_OBSERVATION_INIT };
	json_t *doc = reply_json(buf_str(&rs->body), rs->body.len);
	bool taken = rs->status >= 200 && rs->status < 300;
	enum err_code rc = taken && doc ? read_job(doc, &reply.obs) : ERR_BAD_REQUEST;

	(void)settings;
	if (rc == ERR_BAD_REQUEST)
		rc = reply_to_create(rs, doc, &reply);
	json_decref(doc);
	if (rc) {
		submit_reply_clear(&reply);
		return err_set(err, rc, "stable-diffusion.cpp's answer");
	}
	*ret = reply;
	return ERR_OK;
}

static enum err_code
status_request(const void *settings, const struct look_query *query, struct http_request *rq,
	struct err *err)
{
	enum err_code rc = begin(settings, rq, HTTP_GET, "jobs/", query->prediction_id, "", STATUS_TIMEOUT_MS);

	rq->max_response_bytes = INLINE_RESPONSE_BYTES;
	return rc ? err_set(err, rc, "stable-diffusion.cpp's status request") : ERR_OK;
}

static enum err_code
cancel_request(const void *settings, const struct look_query *query, struct http_request *rq,
	struct err *err)
{
	enum err_code rc = begin(settings, rq, HTTP_POST, "jobs/", query->prediction_id, "/cancel", CALL_TIMEOUT_MS);

	return rc ? err_set(err, rc, "stable-diffusion.cpp's cancel request") : ERR_OK;
}

/* Of a cancel, too: it answers with the job.  One that cannot be canceled any more is
 * a 409. */
static enum err_code
status_reply(const void *settings, const struct look_query *query, const struct http_response *rs,
	struct status_reply *ret, struct err *err)
{
	struct status_reply reply = { .outcome = STATUS_SEEN, .obs = GEN_OBSERVATION_INIT };
	json_t *doc = reply_json(buf_str(&rs->body), rs->body.len);
	bool said = rs->status >= 200 && rs->status < 300 && reply_string(doc, "status");
	enum err_code rc = said ? read_job(doc, &reply.obs) : ERR_BAD_REQUEST;

	(void)settings;
	(void)query;
	if (rc == ERR_BAD_REQUEST)
		rc = reply_to_look(rs, doc, &reply);
	json_decref(doc);
	if (rc) {
		status_reply_clear(&reply);
		return err_set(err, rc, "stable-diffusion.cpp's answer");
	}
	*ret = reply;
	return ERR_OK;
}

static enum err_code
probe_request(const void *settings, struct http_request *rq, struct err *err)
{
	enum err_code rc = begin(settings, rq, HTTP_GET, "capabilities", "", "", CALL_TIMEOUT_MS);

	return rc ? err_set(err, rc, "stable-diffusion.cpp's capabilities request") : ERR_OK;
}

static enum err_code
probe_reply(const void *settings, const struct http_response *rs, struct err *err)
{
	(void)settings;
	return reply_to_probe(rs, err);
}

const struct provider provider_sdcpp = {
	.name = "sdcpp",
	.title = "stable-diffusion.cpp",
	.caps = PROVIDER_CANCEL,
	.options = options,
	.settings_size = sizeof(struct sdcpp),
	.output_hosts = output_hosts,
	.check = check,
	.api_url = api_url,
	.check_profile = check_profile,
	.probe = { probe_request, probe_reply },
	.submit = { .request = submit_request, .reply = submit_reply },
	.get_status = { status_request, status_reply },
	.cancel = { cancel_request, status_reply },
};
