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

/* Some pictures, over a network of one's own. */
#define STATUS_TIMEOUT_MS 60000

static const struct cfg_row options[] = {
	PROVIDER_URL("sdcpp_url", "http://127.0.0.1:1234",
		"Where the server of stable-diffusion.cpp is, without `/sdcpp`."),
	PROVIDER_KEY("sdcpp_key",
		"Bearer token for a proxy in front of that server; the server itself wants none."),
	CFG_END
};

static const struct profile_member profile[] = {
	{ "mode", PROFILE_TEXT, true },
	{ "input", PROFILE_OBJECT, false },
	{ .name = NULL }
};

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
	if (!mode_of(on))
		cfg_mistake(mistakes, where, "mode has to be \"img_gen\", which it is where it is not there, or \"vid_gen\"");
	if (call_has_text(on, "$input") || call_has_text(on, "$inputs"))
		cfg_mistake(mistakes, where, "\"$input\" and \"$inputs\" are URLs, and this server takes no pictures by URL");
}

/* How many are made, and paid for, is not params' to say. */
static bool
takes_param(const char *name)
{
	return strcmp(name, "batch_count") != 0;
}

static void
submit_request(const void *settings, const struct gen_spec *spec, struct call *c)
{
	const char *mode = mode_of(spec->on);

	(void)settings;
	if (!mode)
		call_refuse(c, ERR_CONFIG, "the model's profile has a mode that there is not");
	else
		call_put(c, "/sdcpp/v1/", mode);
	call_json(c, json_incref(json_object_get(spec->on, "input")));
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

/* A job; a create's answer may have no status. */
static enum err_code
read_job(const json_t *doc, struct gen_observation *obs)
{
	if (reply_status(words, doc, "status", obs))
		return ERR_NOMEM;
	if (gen_status_is_final(obs->status))
		obs->seconds = seconds_of(doc);
	obs->outputs = read_result(json_object_get(doc, "result"));
	if (!obs->outputs || reply_keep(&obs->message, json_object_get(doc, "error"), "message") ||
	    reply_keep(&obs->prediction_id, doc, "id"))
		return ERR_NOMEM;
	return ERR_OK;
}

static enum err_code
submit_read(const void *settings, const struct answer *answer, struct submit_reply *ret)
{
	(void)settings;
	if (!answer->good || !reply_id(answer->doc, "id"))
		return ERR_OK;
	ret->outcome = SUBMIT_ACCEPTED;
	return read_job(answer->doc, &ret->obs);
}

static void
status_request(const void *settings, const struct look_query *query, struct call *c)
{
	(void)settings;
	call_put(c, "/sdcpp/v1/jobs/", query->prediction_id);
	c->rq->timeout_ms = STATUS_TIMEOUT_MS;
	c->rq->max_response_bytes = INLINE_RESPONSE_BYTES;
}

static void
cancel_request(const void *settings, const struct look_query *query, struct call *c)
{
	(void)settings;
	c->rq->method = HTTP_POST;
	call_put(c, "/sdcpp/v1/jobs/", query->prediction_id);
	buf_puts(&c->url, "/cancel");
}

/* Of a cancel, too: it answers with the job.  One that cannot be canceled any more is
 * a 409. */
static enum err_code
status_read(const void *settings, const struct look_query *query, const struct answer *answer,
	struct status_reply *ret)
{
	(void)settings;
	(void)query;
	if (!answer->good || !reply_id(answer->doc, "id") || !reply_string(answer->doc, "status"))
		return ERR_OK;
	ret->outcome = STATUS_SEEN;
	return read_job(answer->doc, &ret->obs);
}

static void
probe_request(const void *settings, struct call *c)
{
	(void)settings;
	buf_puts(&c->url, "/sdcpp/v1/capabilities");
}

static enum err_code
probe_read(const struct answer *answer, struct err *err)
{
	bool own = json_object_get(answer->doc, "limits") || json_object_get(answer->doc, "model");

	return reply_to_probe(answer, own, err);
}

const struct provider provider_sdcpp = {
	.name = "sdcpp",
	.title = "stable-diffusion.cpp",
	.caps = PROVIDER_CANCEL,
	.options = options,
	.settings_size = sizeof(struct provider_api),
	.key_header = "Authorization",
	.key_scheme = "Bearer",
	.profile = profile,
	.check_profile = check_profile,
	.takes_param = takes_param,
	.probe = { probe_request, probe_read },
	.submit = { .request = submit_request, .read = submit_read },
	.get_status = { status_request, status_read },
	.cancel = { cancel_request, status_read },
};
