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

static const struct cfg_row options[] = {
	PROVIDER_URL("comfyui_url", "http://127.0.0.1:8188", "Where ComfyUI is."),
	PROVIDER_KEY("comfyui_key", "Bearer token for a proxy in front of ComfyUI; it wants none itself."),
	CFG_END
};

static const struct profile_member profile[] = {
	{ "workflow", PROFILE_OBJECT, false },
	{ .name = NULL }
};

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

/* ["12", 0] is the first output of node 12.  What a request's word becomes is not known. */
static void
check_links(const json_t *workflow, const char *name, const json_t *node, const char *where, struct buf *mistakes)
{
	const char *input;
	json_t *value;

	json_object_foreach(json_object_get(node, "inputs"), input, value) {
		const char *to = json_string_value(json_array_get(value, 0));
		bool is_link = json_array_size(value) == 2 && to && to[0] != '$' && json_is_number(json_array_get(value, 1));

		if (is_link && !json_object_get(workflow, to))
			cfg_mistake(mistakes, where, "workflow.%s: %s is linked to node \"%s\", which is not there", name, input, to);
	}
}

static void
check_profile(const json_t *on, const char *where, struct buf *mistakes)
{
	json_t *workflow = json_object_get(on, "workflow"), *node;
	const char *name;

	if (json_is_object(workflow) && json_object_size(workflow) == 0)
		cfg_mistake(mistakes, where, "workflow has no node");
	json_object_foreach(workflow, name, node) {
		check_node(name, node, where, mistakes);
		check_links(workflow, name, node, where, mistakes);
	}
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

static void
submit_request(const void *settings, const struct gen_spec *spec, struct call *c)
{
	(void)settings;
	buf_puts(&c->url, "/prompt");
	call_json(c, create_body(spec, json_object_get(spec->on, "workflow")));
}

/* What is wrong with the nodes says more than that something is. */
static enum err_code
name_nodes(const json_t *errors, char **message)
{
	char *list = json_write(errors, JSON_COMPACT);

	*message = list ? reply_text(list, strlen(list)) : NULL;
	mem_free(list);
	return *message ? ERR_OK : ERR_NOMEM;
}

static enum err_code
submit_read(const void *settings, const struct answer *answer, struct submit_reply *ret)
{
	const json_t *errors = json_object_get(answer->doc, "node_errors");

	(void)settings;
	if (answer->good && reply_id(answer->doc, "prompt_id")) {
		ret->outcome = SUBMIT_ACCEPTED;
		return reply_keep(&ret->obs.prediction_id, answer->doc, "prompt_id");
	}
	return ret->outcome == SUBMIT_REFUSED && json_object_size(errors) > 0
		? name_nodes(errors, &ret->message) : ERR_OK;
}

/* Previews are of type "temp" and not kept. */
static enum err_code
add_file(const char *api_url, const json_t *file, json_t *outputs)
{
	const char *name = reply_string(file, "filename"), *folder = reply_string(file, "subfolder");
	const char *type = reply_string(file, "type");
	struct buf url = BUF_INIT(4096);
	enum err_code rc;

	if (!name || !type || strcmp(type, "output") != 0)
		return ERR_OK;
	buf_printf(&url, "%s/view?filename=", api_url);
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
read_outputs(const char *api_url, json_t *nodes, struct gen_observation *obs)
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
				if (add_file(api_url, file, obs->outputs))
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
read_job(const char *api_url, const json_t *job, struct gen_observation *obs)
{
	enum err_code rc = reply_status(words, job, "status", obs);

	if (!rc)
		rc = reply_keep(&obs->message, json_object_get(job, "execution_error"), "exception_message");
	if (!rc)
		rc = read_outputs(api_url, json_object_get(job, "outputs"), obs);
	obs->or_canceled = obs->status == GEN_FAILED && !obs->message;
	if (gen_status_is_final(obs->status))
		obs->seconds = seconds_of(job);
	return rc;
}

static void
status_request(const void *settings, const struct look_query *query, struct call *c)
{
	(void)settings;
	call_put(c, "/api/jobs/", query->prediction_id);
}

static void
cancel_request(const void *settings, const struct look_query *query, struct call *c)
{
	(void)settings;
	c->rq->method = HTTP_POST;
	call_put(c, "/api/jobs/", query->prediction_id);
	buf_puts(&c->url, "/cancel");
}

static enum err_code
status_read(const void *settings, const struct look_query *query, const struct answer *answer,
	struct status_reply *ret)
{
	(void)query;
	if (!answer->good || !reply_string(answer->doc, "status"))
		return ERR_OK;
	ret->outcome = STATUS_SEEN;
	return read_job(((const struct provider_api *)settings)->url, answer->doc, &ret->obs);
}

/* It says that it was taken, not how it ended: one that ran is looked at, one that waited
 * is nowhere then. */
static enum err_code
cancel_read(const void *settings, const struct look_query *query, const struct answer *answer,
	struct status_reply *ret)
{
	if (!answer->good || !json_is_boolean(json_object_get(answer->doc, "cancelled")))
		return status_read(settings, query, answer, ret);
	ret->message = mem_strdup("taken, and no more is said");
	return ret->message ? ERR_OK : ERR_NOMEM;
}

/* A job that nobody has: tells a server that is new enough, too. */
static void
probe_request(const void *settings, struct call *c)
{
	(void)settings;
	call_put(c, "/api/jobs/", "00000000-0000-0000-0000-000000000000");
}

static enum err_code
probe_read(const struct answer *answer, struct err *err)
{
	if (answer->status != 404)
		return reply_to_probe(answer, false, err);
	return reply_string(answer->doc, "error") ? ERR_OK
		: err_set(err, ERR_UPSTREAM, "HTTP 404: no ComfyUI there, or one without /api/jobs: update it");
}

const struct provider provider_comfyui = {
	.name = "comfyui",
	.title = "ComfyUI",
	.caps = PROVIDER_CANCEL | PROVIDER_NAMED,
	.options = options,
	.settings_size = sizeof(struct provider_api),
	.key_header = "Authorization",
	.key_scheme = "Bearer",
	.profile = profile,
	.check_profile = check_profile,
	.probe = { probe_request, probe_read },
	.submit = { .request = submit_request, .read = submit_read },
	.get_status = { status_request, status_read },
	.cancel = { cancel_request, cancel_read },
};
