/*
 * OpenAI's Images API, and the servers that imitate it.  Sources:
 * https://github.com/openai/openai-openapi, https://localai.io/features/image-generation/,
 * https://docs.vllm.ai/projects/vllm-omni.
 *
 * A create is answered when the pictures are there, with them or with their URLs; no
 * other call is about it.  One without an answer stays unknown, and is not sent again:
 * it may have been paid for.
 *
 * What a server takes beside the prompt differs much, so all of it stands in the
 * profile: "input" is the body.  Only what a template cannot say is done here:
 * "size": ["$width", "$height"] becomes "WxH"; and "images": "$inputs" makes it an edit
 * where the request has inputs.  Those are URLs, so an edit is sent as JSON, not as a
 * form.
 */
#include "config.h"

#include "base/url.h"
#include "providers/call.h"
#include "providers/provider.h"
#include "providers/reply.h"

#define OPENAI_URL "https://api.openai.com/v1"

/* URLs of DALL-E are good for an hour; others are not shorter. */
#define RETENTION_MS (3600 * 1000)

struct openai {
	struct provider_api api;
	uint64_t timeout_ms;
};

static const struct cfg_row options[] = {
	PROVIDER_URL("openai_url", OPENAI_URL,
		"Where OpenAI's API is, or that of a server that speaks as it does, with `/v1`."),
	PROVIDER_KEY("openai_key",
		"API key. Needed to use OpenAI's own service; other servers may want none."),
	{ "openai_timeout", CFG_DURATION, offsetof(struct openai, timeout_ms),
	  .def = "5m", .min = 10000, .max = 3600 * 1000,
	  .doc = "How long the pictures of one request may take. A request that takes longer is not sent again: "
		"its job fails with `outcome_unknown`." },
	CFG_END
};

static const char *const output_hosts[] = { "oaidalleapiprodscus.blob.core.windows.net", NULL };

static void
check(const void *settings, struct buf *mistakes)
{
	const struct provider_api *api = settings;

	if (!api->key && api->url && strcmp(api->url, OPENAI_URL) == 0)
		cfg_mistake(mistakes, "openai_key", "has to be set to use OpenAI");
}

static const struct profile_member profile[] = {
	{ "model", PROFILE_TEXT, true },
	{ "input", PROFILE_OBJECT, false },
	{ .name = NULL }
};

static void
check_profile(const json_t *on, const char *where, struct buf *mistakes)
{
	const json_t *size = json_object_get(json_object_get(on, "input"), "size");

	if (json_is_array(size) && json_array_size(size) != 2)
		cfg_mistake(mistakes, where, "input.size has to be a text, or a list of width and height");
}

/* How a picture looks.  The rest stands in the profile or is not sent: a user would choose the
 * model or how many pictures are paid for, or make a server in the operator's own network fetch
 * a URL or open a file, by a name that each server has another of. */
static bool
takes_param(const char *name)
{
	static const char *const params[] = { "background", "cfg_scale", "guidance_scale", "input_fidelity",
		"negative_prompt", "num_inference_steps", "output_compression", "output_format", "quality", "seed",
		"step", "steps", "style", "true_cfg_scale" };

	for (size_t i = 0; i < sizeof params / sizeof *params; i++)
		if (strcmp(name, params[i]) == 0)
			return true;
	return false;
}

/* [1024, 768] to "1024x768"; one that lacks a number is left out. */
static int
join_size(json_t *body)
{
	const json_t *size = json_object_get(body, "size");
	const json_t *width = json_array_get(size, 0), *height = json_array_get(size, 1);
	char text[48];

	if (!json_is_array(size))
		return 0;
	if (!json_is_integer(width) || !json_is_integer(height))
		return json_object_del(body, "size");
	snprintf(text, sizeof text, "%lldx%lld", (long long)json_integer_value(width),
		(long long)json_integer_value(height));
	return json_object_set_new(body, "size", json_string(text));
}

/* Each URL as the object that an edit takes. */
static int
wrap_images(json_t *body)
{
	json_t *wrapped = json_array(), *image;
	int rc = wrapped ? 0 : -1;
	size_t i;

	json_array_foreach(json_object_get(body, "images"), i, image)
		rc |= json_array_append_new(wrapped, json_is_string(image)
			? json_pack("{sO}", "image_url", image) : json_incref(image));
	rc |= json_object_set_new(body, "images", wrapped);
	return rc;
}

static bool
is_edit(const json_t *input)
{
	return json_array_size(json_object_get(input, "images")) > 0;
}

static json_t *
create_body(const struct gen_spec *spec, json_t *input)
{
	json_t *model = json_object_get(spec->on, "model"), *body = json_copy(input);
	int rc = body ? join_size(body) : -1;

	/* Its events are not what is read here. */
	json_object_del(body, "stream");
	if (!rc && model)
		rc = json_object_set(body, "model", model);
	if (!is_edit(input))
		json_object_del(body, "images");
	else if (!rc)
		rc = wrap_images(body);
	if (rc) {
		json_decref(body);
		return NULL;
	}
	return body;
}

static void
submit_request(const void *settings, const struct gen_spec *spec, struct call *c)
{
	json_t *input = json_object_get(spec->on, "input");

	buf_puts(&c->url, is_edit(input) ? "/images/edits" : "/images/generations");
	call_json(c, create_body(spec, input));
	c->rq->timeout_ms = (uint32_t)((const struct openai *)settings)->timeout_ms;
	c->rq->max_response_bytes = INLINE_RESPONSE_BYTES;
}

/* A local server may leave out its own address. */
static enum err_code
add_url(json_t *outputs, const char *api, json_t *value)
{
	const char *text = json_string_value(value);
	char *whole = NULL;
	enum err_code rc = ERR_OK;

	if (!text || strlen(text) != json_string_length(value))
		return ERR_OK;
	if (strchr(text, ':'))
		return reply_add_output(outputs, value) ? ERR_NOMEM : ERR_OK;
	if (url_resolve(api, text, &whole) == ERR_NOMEM ||
	    (whole && json_array_append_new(outputs, json_string(whole))))
		rc = ERR_NOMEM;
	mem_free(whole);
	return rc;
}

static enum err_code
read_pictures(const char *api, const json_t *data, struct gen_observation *obs)
{
	enum err_code rc = ERR_OK;
	json_t *item;
	size_t i;

	obs->status = GEN_SUCCEEDED;
	obs->outputs = json_array();
	if (!obs->outputs)
		return ERR_NOMEM;
	json_array_foreach((json_t *)(uintptr_t)data, i, item) {
		json_t *base64 = json_object_get(item, "b64_json");

		if (rc)
			break;
		if (json_is_string(base64))
			rc = reply_add_output(obs->outputs, base64) ? ERR_NOMEM : ERR_OK;
		else
			rc = add_url(obs->outputs, api, json_object_get(item, "url"));
	}
	return rc;
}

/* What its HTTP status does not tell: the same is used for several things. */
static void
read_code(const json_t *doc, struct submit_reply *reply)
{
	static const struct {
		const char *code;
		enum err_code error;
	} codes[] = {
		{ "moderation_blocked", ERR_CONTENT_BLOCKED },
		{ "content_policy_violation", ERR_CONTENT_BLOCKED },
		/* 429, but waiting does not help. */
		{ "insufficient_quota", ERR_PROVIDER_UNAVAILABLE },
		{ "billing_hard_limit_reached", ERR_PROVIDER_UNAVAILABLE },
	};
	const char *code = reply_string(json_object_get(doc, "error"), "code");

	if (!code || reply->outcome == SUBMIT_UNKNOWN)
		return;
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
		if (strcmp(code, codes[i].code) == 0) {
			reply->outcome = SUBMIT_REFUSED;
			reply->error = codes[i].error;
			reply->retry_after_ms = 0;
		}
}

static enum err_code
submit_read(const void *settings, const struct answer *answer, struct submit_reply *ret)
{
	const json_t *data = json_object_get(answer->doc, "data");

	if (answer->good && json_is_array(data)) {
		ret->outcome = SUBMIT_ACCEPTED;
		return read_pictures(((const struct provider_api *)settings)->url, data, &ret->obs);
	}
	read_code(answer->doc, ret);
	return ERR_OK;
}

static void
probe_request(const void *settings, struct call *c)
{
	(void)settings;
	buf_puts(&c->url, "/models");
}

static enum err_code
probe_read(const struct answer *answer, struct err *err)
{
	return reply_to_probe(answer, json_is_array(json_object_get(answer->doc, "data")), err);
}

const struct provider provider_openai = {
	.name = "openai",
	.title = "OpenAI",
	.caps = PROVIDER_SYNC,
	.options = options,
	.settings_size = sizeof(struct openai),
	.key_header = "Authorization",
	.key_scheme = "Bearer",
	.output_hosts = output_hosts,
	.retention_ms = RETENTION_MS,
	.profile = profile,
	.check = check,
	.check_profile = check_profile,
	.takes_param = takes_param,
	.probe = { probe_request, probe_read },
	.submit = { .request = submit_request, .read = submit_read },
};
