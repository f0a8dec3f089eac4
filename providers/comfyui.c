/*
 * ComfyUI.  Source: https://github.com/Comfy-Org/ComfyUI/blob/master/server.py.
 *
 * What it runs is a graph, which stands in the profile as "workflow", in the format that
 * it exports for its API.  A job's id there is the one that we choose, the job's own, so a
 * create without an answer is looked for by it.  An id that is there already runs once
 * more; it is never sent before that look.
 *
 * It has to be new enough to have /api/jobs: what older ones tell of a job that waits is
 * their whole queue, and what they interrupt may be another's.  Their 404 to that call is
 * no JSON, which is how they are known.
 */
#include "config.h"

#include "providers/call.h"
#include "providers/provider.h"
#include "providers/reply.h"

#define CALL_TIMEOUT_MS 15000

struct comfyui {
	char *url;
	char *key;
};

static const struct cfg_row options[] = {
	{ "comfyui_url", CFG_STR, offsetof(struct comfyui, url),
	  .def = "http://127.0.0.1:8188", .max = 2048,
	  .doc = "Where ComfyUI is." },
	{ "comfyui_key", CFG_STR, offsetof(struct comfyui, key),
	  .max = 512, .flags = CFG_SECRET,
	  .doc = "Bearer token for a proxy in front of ComfyUI; it wants none itself." },
	CFG_END
};

/* All are on its own. */
static const char *const output_hosts[] = { NULL };

static void
check(const void *settings, struct buf *mistakes)
{
	const struct comfyui *c = settings;

	call_check_url("comfyui_url", c->url, mistakes);
	call_check_secret("comfyui_key", c->key, c->url, mistakes);
}

static const char *
api_url(const void *settings)
{
	return ((const struct comfyui *)settings)->url;
}

static void
check_node(const char *name, const json_t *node, const char *where, struct buf *mistakes)
{
	const char *class = reply_string(node, "class_type");

	if (!class || !json_is_object(json_object_get(node, "inputs")))
		cfg_mistake(mistakes, where, "workflow.%s has to have class_type and inputs: "
			"export the workflow in ComfyUI's API format", name);
	else if ((strcmp(class, "LoadImage") == 0 || strcmp(class, "LoadImageMask") == 0) &&
		 (call_has_text(node, "$input") || call_has_text(node, "$inputs")))
		cfg_mistake(mistakes, where, "workflow.%s: %s loads a file by its name, and inputs are URLs: "
			"use a node that loads those", name, class);
}

static void
check_profile(const json_t *on, const char *where, struct buf *mistakes)
{
	static const char *const members[] = { "workflow", NULL };
	const char *name;
	json_t *node;

	call_check_members(on, members, where, mistakes);
	call_check_object(on, "workflow", where, mistakes);
	json_object_foreach(json_object_get(on, "workflow"), name, node)
		check_node(name, node, where, mistakes);
}

static enum err_code
authorize(const void *settings, struct http_request *rq)
{
	return call_credentials(rq, "Authorization", "Bearer", ((const struct comfyui *)settings)->key);
}

static enum err_code
ask(const struct comfyui *c, struct http_request *rq, enum http_method method, const char *path,
	const char *id, const char *action, struct err *err)
{
	struct buf url = BUF_INIT(4096);
	enum err_code rc;

	buf_printf(&url, "%s%s", c->url, path);
	buf_put_urlenc(&url, id, strlen(id), NULL);
	buf_puts(&url, action);
	rc = call_begin(rq, method, &url, CALL_TIMEOUT_MS);
	if (!rc)
		rc = authorize(c, rq);
	return rc ? err_set(err, rc, "ComfyUI's request to %s", path) : ERR_OK;
}

/* A sampler does not go without a seed.  Where nobody asked for one it gets the job's
 * own: the same graph would only give the same picture again. */
static int
seed_node(const json_t *node, const struct uuid *job)
{
	static const struct { const char *class, *input; } samplers[] = {
		{ "KSampler", "seed" }, { "KSamplerAdvanced", "noise_seed" }, { "RandomNoise", "noise_seed" },
	};
	const char *class = reply_string(node, "class_type");
	json_t *inputs = json_object_get(node, "inputs");
	json_int_t seed = 0;

	for (size_t i = 10; i < sizeof job->b; i++)
		seed = seed << 8 | job->b[i];
	for (size_t i = 0; class && i < sizeof samplers / sizeof *samplers; i++)
		if (strcmp(class, samplers[i].class) == 0 && !json_object_get(inputs, samplers[i].input))
			return json_object_set_new(inputs, samplers[i].input, json_integer(seed));
	return 0;
}

static json_t *
create_body(const struct gen_spec *spec, const json_t *workflow)
{
	json_t *graph = json_deep_copy(workflow), *node;
	char id[UUID_TEXT_SIZE];
	const char *name;
	int rc = graph ? 0 : -1;

	json_object_foreach(graph, name, node)
		rc |= seed_node(node, &spec->job_id);
	if (rc) {
		json_decref(graph);
		return NULL;
	}
	uuid_format(&spec->job_id, id);
	return json_pack("{sossss}", "prompt", graph, "prompt_id", id, "client_id", "gengate");
}

static enum err_code
submit_request(const void *settings, const struct gen_spec *spec, struct http_request *rq,
	struct err *err)
{
	const json_t *workflow = json_object_get(spec->on, "workflow");
	enum err_code rc;

	if (!json_is_object(workflow))
		return err_set(err, ERR_CONFIG, "the model's profile has no workflow for ComfyUI");
	rc = ask(settings, rq, HTTP_POST, "/prompt", "", "", err);
	if (!rc)
		rc = call_json(rq, create_body(spec, workflow));
	if (!rc)
		rc = call_idempotency_key(rq, &spec->job_id);
	return rc ? err_set(err, rc, "ComfyUI's create request") : ERR_OK;
}

static bool
is_good(const struct http_response *rs)
{
	return rs->status >= 200 && rs->status < 300;
}

/* What is wrong with the nodes says more than that something is. */
static enum err_code
name_nodes(const json_t *doc, struct submit_reply *reply)
{
	const json_t *errors = json_object_get(doc, "node_errors");
	char *list;

	if (reply->outcome != SUBMIT_REFUSED || json_object_size(errors) == 0)
		return ERR_OK;
	list = json_write(errors, JSON_COMPACT);
	mem_free(reply->message);
	reply->message = list ? reply_text(list, strlen(list)) : NULL;
	mem_free(list);
	return reply->message ? ERR_OK : ERR_NOMEM;
}

static enum err_code
submit_reply(const void *settings, const struct http_response *rs, struct submit_reply *ret,
	struct err *err)
{
	struct submit_reply reply = { .obs = GEN_OBSERVATION_INIT };
	json_t *doc = reply_json(buf_str(&rs->body), rs->body.len);
	const char *id = reply_string(doc, "prompt_id");
	enum err_code rc;

	(void)settings;
	if (is_good(rs) && id && *id && strlen(id) <= PREDICTION_ID_MAX) {
		rc = reply_keep(&reply.obs.prediction_id, doc, "prompt_id");
	} else {
		rc = reply_to_create(rs, doc, &reply);
		if (!rc)
			rc = name_nodes(doc, &reply);
	}
	json_decref(doc);
	if (rc) {
		submit_reply_clear(&reply);
		return err_set(err, rc, "ComfyUI's answer");
	}
	*ret = reply;
	return ERR_OK;
}

/* Previews are of type "temp" and not kept. */
static enum err_code
add_file(const struct comfyui *c, const json_t *file, json_t *outputs)
{
	const char *name = reply_string(file, "filename"), *folder = reply_string(file, "subfolder");
	const char *type = reply_string(file, "type");
	struct buf url = BUF_INIT(4096);
	enum err_code rc;

	if (!name || !type || strcmp(type, "output") != 0)
		return ERR_OK;
	buf_printf(&url, "%s/view?filename=", c->url);
	buf_put_urlenc(&url, name, strlen(name), NULL);
	buf_puts(&url, "&subfolder=");
	buf_put_urlenc(&url, folder ? folder : "", folder ? strlen(folder) : 0, NULL);
	buf_puts(&url, "&type=output");
	rc = url.err;
	if (!rc && json_array_append_new(outputs, json_string(buf_str(&url))))
		rc = ERR_NOMEM;
	buf_clear(&url);
	return rc == ERR_NOMEM ? rc : ERR_OK;
}

/* By node and then by what they are called: "images", "gifs", "video". */
static enum err_code
read_outputs(const struct comfyui *c, json_t *nodes, struct gen_observation *obs)
{
	const char *name, *kind;
	json_t *node, *files, *file;
	size_t i;

	obs->outputs = json_array();
	if (!obs->outputs)
		return ERR_NOMEM;
	json_object_foreach(nodes, name, node)
		json_object_foreach(node, kind, files)
			json_array_foreach(files, i, file)
				if (add_file(c, file, obs->outputs))
					return ERR_NOMEM;
	return ERR_OK;
}

static const struct status_word words[] = {
	{ "pending", GEN_STARTING, ERR_OK },
	{ "in_progress", GEN_PROCESSING, ERR_OK },
	{ "completed", GEN_SUCCEEDED, ERR_OK },
	{ "failed", GEN_FAILED, ERR_PROVIDER_FAILED },
	{ "cancelled", GEN_CANCELED, ERR_OK },
	{ .word = NULL }
};

static double
seconds_of(const json_t *job)
{
	const json_t *start = json_object_get(job, "execution_start_time");
	double ms = json_number_value(json_object_get(job, "execution_end_time")) - json_number_value(start);

	return json_is_number(start) && ms > 0 ? ms / 1000 : 0;
}

/* Some versions call what was interrupted failed, without an error. */
static enum err_code
read_job(const struct comfyui *c, const json_t *job, struct gen_observation *obs)
{
	enum err_code rc = reply_keep(&obs->status_text, job, "status");

	reply_status_word(words, reply_string(job, "status"), obs);
	if (!rc)
		rc = reply_keep(&obs->message, json_object_get(job, "execution_error"), "exception_message");
	if (!rc)
		rc = read_outputs(c, json_object_get(job, "outputs"), obs);
	obs->or_canceled = obs->status == GEN_FAILED && !obs->message;
	if (gen_status_is_final(obs->status))
		obs->seconds = seconds_of(job);
	return rc;
}

static enum err_code
status_request(const void *settings, const struct look_query *query, struct http_request *rq,
	struct err *err)
{
	return ask(settings, rq, HTTP_GET, "/api/jobs/", query->prediction_id, "", err);
}

static enum err_code
cancel_request(const void *settings, const struct look_query *query, struct http_request *rq,
	struct err *err)
{
	return ask(settings, rq, HTTP_POST, "/api/jobs/", query->prediction_id, "/cancel", err);
}

static enum err_code
read_look(const struct comfyui *c, const struct http_response *rs, const json_t *doc,
	struct status_reply *reply)
{
	reply->outcome = STATUS_SEEN;
	if (is_good(rs) && reply_string(doc, "status"))
		return read_job(c, doc, &reply->obs);
	return reply_to_look(rs, doc, reply);
}

static enum err_code
finish(enum err_code rc, const struct look_query *query, json_t *doc, struct status_reply *reply,
	struct status_reply *ret, struct err *err)
{
	json_decref(doc);
	if (!rc && reply->outcome == STATUS_SEEN)
		reply->obs.prediction_id = mem_strdup(query->prediction_id);
	if (rc || (reply->outcome == STATUS_SEEN && !reply->obs.prediction_id)) {
		status_reply_clear(reply);
		return err_set(err, rc ? rc : ERR_NOMEM, "ComfyUI's answer");
	}
	*ret = *reply;
	return ERR_OK;
}

static enum err_code
status_reply(const void *settings, const struct look_query *query, const struct http_response *rs,
	struct status_reply *ret, struct err *err)
{
	struct status_reply reply = { .obs = GEN_OBSERVATION_INIT };
	json_t *doc = reply_json(buf_str(&rs->body), rs->body.len);

	return finish(read_look(settings, rs, doc, &reply), query, doc, &reply, ret, err);
}

/* It says that it was taken, not how it ended: one that ran is looked at, one that waited
 * is nowhere then. */
static enum err_code
cancel_reply(const void *settings, const struct look_query *query, const struct http_response *rs,
	struct status_reply *ret, struct err *err)
{
	struct status_reply reply = { .outcome = STATUS_LATER, .obs = GEN_OBSERVATION_INIT };
	json_t *doc = reply_json(buf_str(&rs->body), rs->body.len);
	enum err_code rc;

	if (!is_good(rs) || !json_is_boolean(json_object_get(doc, "cancelled")))
		rc = read_look(settings, rs, doc, &reply);
	else
		rc = (reply.message = mem_strdup("taken, and no more is said")) ? ERR_OK : ERR_NOMEM;
	return finish(rc, query, doc, &reply, ret, err);
}

/* A job that nobody has: tells a server that is new enough, too. */
static enum err_code
probe_request(const void *settings, struct http_request *rq, struct err *err)
{
	return ask(settings, rq, HTTP_GET, "/api/jobs/", "00000000-0000-0000-0000-000000000000", "", err);
}

static enum err_code
probe_reply(const void *settings, const struct http_response *rs, struct err *err)
{
	json_t *doc = reply_json(buf_str(&rs->body), rs->body.len);
	bool has_jobs = doc != NULL;

	(void)settings;
	json_decref(doc);
	if (rs->status != 404)
		return reply_to_probe(rs, err);
	return has_jobs ? ERR_OK : err_set(err, ERR_UPSTREAM, "HTTP 404: this ComfyUI is too old to have /api/jobs");
}

const struct provider provider_comfyui = {
	.name = "comfyui",
	.title = "ComfyUI",
	.caps = PROVIDER_CANCEL | PROVIDER_NAMED,
	.options = options,
	.settings_size = sizeof(struct comfyui),
	.output_hosts = output_hosts,
	.check = check,
	.api_url = api_url,
	.check_profile = check_profile,
	.authorize = authorize,
	.probe = { probe_request, probe_reply },
	.submit = { .request = submit_request, .reply = submit_reply },
	.get_status = { status_request, status_reply },
	.cancel = { cancel_request, cancel_reply },
};
