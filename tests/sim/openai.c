/* The OpenAI Images API below /openai/v1, also as compatible servers speak it. */
#include "config.h"

#include "tests/sim/http.h"

#include <stdlib.h>
#include <string.h>

#include "tests/sim/delivery.h"
#include "tests/sim/multipart.h"
#include "tests/sim/outputs.h"
#include "tests/sim/pred.h"
#include "tests/sim/sim.h"
#include "tests/sim/wire.h"

/* With an empty key, as local servers run, everybody may call. */
static bool
may_call(const struct sim_settings *set, const struct sim_rq *rq)
{
	return !*set->openai_key || wire_has_key(rq, "Bearer", set->openai_key);
}

static void
reply_error(struct sim_reply *rp, int status, const char *message, const char *type,
	const char *param, const char *code)
{
	reply_json(rp, status, json_pack("{s:{s:s,s:s,s:o,s:o}}", "error", "message", message,
		"type", type, "param", sim_json_text(param), "code", sim_json_text(code)));
}

static void
fail(struct sim_reply *rp, int status, const char *text)
{
	static const struct {
		int status, theirs;
		const char *text, *type, *code;
	} table[] = {
		{ 401, 401, "Incorrect API key provided.", "invalid_request_error", "invalid_api_key" },
		{ 402, 429, "You exceeded your current quota, please check your plan and billing details.",
		  "insufficient_quota", "insufficient_quota" },
		{ 404, 404, "Invalid URL", "invalid_request_error", NULL },
		{ 413, 413, "The request is too large.", "invalid_request_error", NULL },
		{ 422, 400, "The request is refused.", "invalid_request_error", "invalid_value" },
		{ 429, 429, "Rate limit reached.", "requests", "rate_limit_exceeded" },
		{ 500, 500, "The server had an error while processing your request.", "server_error", NULL },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].status == status) {
			reply_error(rp, table[i].theirs, text ? text : table[i].text, table[i].type,
				NULL, table[i].code);
			return;
		}
	}
	reply_error(rp, status, text ? text : "", "server_error", NULL, NULL);
}

/* One status, two meanings: the variant quota must not be tried again. */
static void
throttle(struct sim_reply *rp, const struct fault_hit *hit)
{
	if (strcmp(hit->variant, "quota") == 0) {
		fail(rp, 402, NULL);
		return;
	}
	fail(rp, 429, NULL);
	if (strcmp(hit->variant, "bare") != 0)
		reply_retry_after(rp, hit->retry_after_s);
}

/* ---- The request ---- */

#define GPT_IMAGE	1u
#define DALLE_2		2u
#define DALLE_3		4u
#define ALL		(GPT_IMAGE | DALLE_2 | DALLE_3)

static const struct rule {
	const char *name;
	unsigned models;	/* that take it */
	bool edits_only;
	const char *words;	/* one of these, with blanks between; else NULL: */
	long min, max;		/* a number; max 0: anything */
} rules[] = {
	{ "prompt", ALL, false, NULL, 0, 0 },
	{ "model", ALL, false, NULL, 0, 0 },
	{ "n", ALL, false, NULL, 1, 10 },
	{ "size", ALL, false, NULL, 0, 0 },
	{ "user", ALL, false, NULL, 0, 0 },
	{ "quality", GPT_IMAGE, false, "low medium high auto", 0, 0 },
	{ "quality", DALLE_3, false, "standard hd auto", 0, 0 },
	{ "quality", DALLE_2, false, "standard auto", 0, 0 },
	{ "style", DALLE_3, false, "vivid natural", 0, 0 },
	{ "response_format", DALLE_2 | DALLE_3, false, "url b64_json", 0, 0 },
	{ "output_format", GPT_IMAGE, false, "png jpeg webp", 0, 0 },
	{ "output_compression", GPT_IMAGE, false, NULL, 0, 100 },
	{ "background", GPT_IMAGE, false, "transparent opaque auto", 0, 0 },
	{ "moderation", GPT_IMAGE, false, "low auto", 0, 0 },
	{ "input_fidelity", GPT_IMAGE, true, "high low", 0, 0 },
	{ "images", GPT_IMAGE | DALLE_2, true, NULL, 0, 0 },
	{ "mask", GPT_IMAGE | DALLE_2, true, NULL, 0, 0 },
};

struct problem {
	char message[256];
	char param[64];
	const char *code;	/* NULL: no problem */
};

static bool
object_to(struct problem *why, const char *param, const char *code, const char *before,
	const char *value, const char *after)
{
	snprintf(why->message, sizeof(why->message), "%s'%s'%s", before, value, after);
	snprintf(why->param, sizeof(why->param), "%s", param);
	why->code = code;
	return false;
}

static const char *
text_of(const json_t *body, const char *name)
{
	return json_string_value(json_object_get(body, name));
}

/* 0: no model that it knows. */
static unsigned
kind_of_model(const json_t *body)
{
	const char *model = text_of(body, "model");

	if (!model || sim_same(model, "dall-e-2"))
		return DALLE_2;
	if (sim_same(model, "dall-e-3"))
		return DALLE_3;
	return strncmp(model, "gpt-image-", 10) == 0 || sim_same(model, "chatgpt-image-latest") ?
		GPT_IMAGE : 0;
}

static bool
is_among(const char *words, const char *word)
{
	size_t len = word ? strlen(word) : 0;

	for (const char *p = words; len && (p = strstr(p, word)) != NULL; p += len)
		if ((p == words || p[-1] == ' ') && (p[len] == ' ' || p[len] == '\0'))
			return true;
	return false;
}

static bool
check_value(const struct rule *rule, const json_t *value, struct problem *why)
{
	json_int_t n = json_integer_value(value);

	if (rule->words && !is_among(rule->words, json_string_value(value)))
		return object_to(why, rule->name, "invalid_value", "Invalid value for ", rule->name, ".");
	if (!rule->words && rule->max && (!json_is_integer(value) || n < rule->min || n > rule->max))
		return object_to(why, rule->name, "integer_out_of_range", "Invalid ", rule->name, ".");
	return true;
}

static bool
check_member(const char *name, const json_t *value, unsigned kind, bool edit, struct problem *why)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rules[i].models & kind && (edit || !rules[i].edits_only) && strcmp(rules[i].name, name) == 0)
			return check_value(&rules[i], value, why);
	return object_to(why, name, "unknown_parameter", "Unknown parameter: ", name, ".");
}

/* "WxH"; "auto" and nothing leave the size as it is. */
static bool
read_size(struct pred *p, unsigned kind, struct problem *why)
{
	static const char few[] = "256x256 512x512 1024x1024", wide[] = "1024x1024 1792x1024 1024x1792",
		first[] = "1024x1024 1536x1024 1024x1536";
	const char *size = text_of(p->input, "size"), *model = text_of(p->input, "model");
	unsigned w = 0, h = 0;
	bool ok;

	if (!size || (kind != DALLE_2 && strcmp(size, "auto") == 0)) {
		pred_set_size(p, 1024, 1024);
		return true;
	}
	ok = sscanf(size, "%4ux%4u", &w, &h) == 2 && w && h;
	if (kind == GPT_IMAGE && sim_same(model, "gpt-image-2"))
		ok = ok && w % 16 == 0 && h % 16 == 0 && w <= 3 * h && h <= 3 * w;
	else if (kind)
		ok = ok && is_among(kind == DALLE_2 ? few : kind == DALLE_3 ? wide : first, size);
	pred_set_size(p, w, h);
	return ok || object_to(why, "size", "invalid_value", "Invalid value: ", size, " is not a size of this model.");
}

/* As the vendor does: whatever it does not know is refused. */
static bool
check_strictly(const json_t *body, unsigned kind, bool edit, struct problem *why)
{
	const char *name;
	json_t *value;

	if (!kind)
		return object_to(why, "model", "model_not_found", "The model ", text_of(body, "model"), " does not exist.");
	json_object_foreach((json_t *)(uintptr_t)body, name, value)
		if (!check_member(name, value, kind, edit, why))
			return false;
	if (kind == DALLE_3 && json_integer_value(json_object_get(body, "n")) > 1)
		return object_to(why, "n", "integer_above_max_value", "Invalid ", "n", ": at most 1.");
	return true;
}

static bool
check_images(const json_t *images, struct problem *why)
{
	size_t n = json_array_size(images), i;
	const json_t *image;

	if (n < 1 || n > 16)
		return object_to(why, "image", "missing_required_parameter",
			"Missing required parameter: ", "image", ", 1 to 16 of them.");
	json_array_foreach(images, i, image) {
		const char *url = text_of(image, "image_url");

		if (json_object_get(image, "bytes") || text_of(image, "file_id"))
			continue;
		if (!url || (strncmp(url, "https://", 8) != 0 && strncmp(url, "data:image/", 11) != 0 &&
				strncmp(url, "http://127.", 11) != 0))
			return object_to(why, "images", "invalid_value", "Invalid ", "image_url", ".");
	}
	return true;
}

/* ---- An edit's form, as the object that its JSON form would be. ---- */

static bool
is_image(const struct part *part)
{
	static const char *const heads[] = { "\x89PNG", "\xff\xd8\xff", "RIFF" };

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		if (part->body_len > 12 && memcmp(part->body, heads[i], strlen(heads[i])) == 0)
			return true;
	return false;
}

static json_t *
field_json(const char *name, const struct part *part)
{
	json_t *text = json_stringn(part->body, part->body_len);
	char *end;
	long n;

	if (!text || !is_among("n output_compression partial_images", name))
		return text ? text : json_null();
	n = strtol(json_string_value(text), &end, 10);
	if (*end)
		return text;
	json_decref(text);
	return json_integer(n);
}

static void
add_part(json_t *body, const char *name, const struct part *part)
{
	json_t *images = json_object_get(body, "images"), *file;
	struct buf sha = BUF_INIT(128);

	if (strcmp(name, "image") != 0 && strcmp(name, "image[]") != 0 && strcmp(name, "mask") != 0) {
		json_object_set_new(body, name, field_json(name, part));
		return;
	}
	sim_digest_hex("SHA256", part->body, part->body_len, &sha);
	file = json_pack("{s:I,s:s}", "bytes", (json_int_t)part->body_len, "sha256", buf_str(&sha));
	buf_clear(&sha);
	if (*name == 'm')
		json_object_set_new(body, "mask", file);
	else if (images)
		json_array_append_new(images, file);
	else
		json_object_set_new(body, "images", json_pack("[o]", file));
}

/* New; NULL if a file is no image. */
static json_t *
read_form(const struct sim_rq *rq)
{
	json_t *body = json_object();
	struct part part;
	size_t at = 0;

	while (part_next(rq, &at, &part)) {
		char *name = part_header(&part, " name=\"", "\"\r");
		char *file = part_header(&part, " filename=\"", "\"\r");
		bool bad = file && !is_image(&part);

		if (name && !bad)
			add_part(body, name, &part);
		mem_free(name);
		mem_free(file);
		if (bad) {
			json_decref(body);
			return NULL;
		}
	}
	return body;
}

/* ---- The answer, once there is something to say. ---- */

enum form { BASE64, URL };

/* A vendor's own models say which; of local servers the settings do. */
static enum form
wanted_form(const struct sim_settings *set, const json_t *input)
{
	const char *format = text_of(input, "response_format");
	unsigned kind = set->openai_strict ? kind_of_model(input) : 0;

	if (kind == GPT_IMAGE)
		return BASE64;
	if (!format)
		format = kind ? "url" : set->openai_answers;
	return strcmp(format, "url") == 0 ? URL : BASE64;
}

/* What is needed when the lock is not held any more. */
struct answer {
	struct picture pic;
	enum form form;
	bool relative;
	char id[SIM_UUID_SIZE];
	char *data_uri;
	json_t *input;		/* NULL: it is not there */
	enum pred_status status;
	int64_t created_s;
};

static void
answer_read(struct sim *sim, const char *id, struct answer *a)
{
	const struct pred *p;

	pthread_mutex_lock(&sim->lock);
	p = pred_find(sim, NULL, id);
	if (p && picture_copy(sim, p, &a->pic)) {
		memcpy(a->id, p->id, sizeof(a->id));
		a->data_uri = p->data_uri ? mem_strdup(p->data_uri) : NULL;
		/* A copy: counting references is not for two threads. */
		a->input = json_deep_copy(p->input);
		a->status = p->status;
		a->created_s = p->created_wall / 1000000;
		a->form = wanted_form(&sim->set, p->input);
		a->relative = sim->set.openai_relative_urls;
	}
	pthread_mutex_unlock(&sim->lock);
}

static void
answer_clear(struct answer *a)
{
	picture_clear(&a->pic);
	mem_free(a->data_uri);
	json_decref(a->input);
}

static json_t *
url_json(const struct sim *sim, const struct answer *a, unsigned index)
{
	const char *base = a->pic.wishes & WISH_FOREIGN ? "https://192.0.2.1" : a->relative ? "" : sim->base_url;

	if (a->data_uri)
		return json_string(a->data_uri);
	return json_sprintf("%s/openai/files/%s/out-%u.%s", base, a->id, index,
		a->pic.wishes & (WISH_VIDEO | WISH_HUGE) ? "mp4" : "png");
}

static json_t *
data_json(const struct sim *sim, const struct answer *a)
{
	json_t *data = json_array();

	for (unsigned i = 0; i < a->pic.n && !(a->pic.wishes & WISH_EMPTY); i++) {
		json_t *item = json_object();

		if (a->pic.wishes & WISH_NULL)
			json_object_set_new(item, "b64_json", json_null());
		else if (a->form == URL)
			json_object_set_new(item, "url", url_json(sim, a, i));
		else
			json_object_set_new(item, "b64_json", picture_base64(&a->pic, i));
		if (kind_of_model(a->input) == DALLE_3)
			json_object_set_new(item, "revised_prompt", json_string(a->pic.prompt));
		json_array_append_new(data, item);
	}
	return data;
}

/* It always draws PNGs, also where it says that they are something else. */
static void
reply_made(const struct sim *sim, const struct answer *a, struct sim_reply *rp)
{
	const char *format = text_of(a->input, "output_format");
	json_t *body = json_pack("{s:I,s:o}", "created", (json_int_t)a->created_s, "data", data_json(sim, a));

	if (kind_of_model(a->input) == GPT_IMAGE) {
		json_object_set_new(body, "background", json_string("opaque"));
		json_object_set_new(body, "output_format", json_string(format ? format : "png"));
		json_object_set_new(body, "quality", json_string("high"));
		json_object_set_new(body, "size", json_sprintf("%ux%u", a->pic.width, a->pic.height));
		json_object_set_new(body, "usage", json_pack("{s:i,s:i,s:i,s:{s:i,s:i}}", "total_tokens", 100,
			"input_tokens", 50, "output_tokens", 50, "input_tokens_details",
			"text_tokens", 10, "image_tokens", 40));
	}
	reply_json(rp, 200, body);
}

static void
reply_end(const struct sim *sim, const struct answer *a, struct sim_reply *rp)
{
	if (!a->input || a->status < PRED_SUCCEEDED)
		fail(rp, 504, "It took too long.");
	else if (a->status == PRED_SUCCEEDED)
		reply_made(sim, a, rp);
	else if (a->pic.wishes & WISH_NSFW)
		reply_error(rp, 400, "Your request was rejected by the safety system.",
			"image_generation_user_error", NULL, "moderation_blocked");
	else
		fail(rp, 500, NULL);
}

/* Until it has ended: there is no other call that could tell. */
static void
run(struct sim_rq *rq, struct pred **p, struct sim_reply *rp)
{
	struct answer a = { .input = NULL };
	char id[SIM_UUID_SIZE];
	long most_ms;

	if (!wire_start(rq, p, NULL, id, rp))
		return;
	pthread_mutex_lock(&rq->sim->lock);
	most_ms = rq->sim->set.openai_timeout_ms;
	pthread_mutex_unlock(&rq->sim->lock);
	wire_wait(rq->sim, id, most_ms, false);
	answer_read(rq->sim, id, &a);
	reply_end(rq->sim, &a, rp);
	reply_header(rp, "x-request-id", id);
	answer_clear(&a);
	wire_spoil_create(rq, id, rp);
}

static bool
check(const struct sim_rq *rq, struct pred *p, bool edit, struct problem *why)
{
	unsigned kind = kind_of_model(p->input);
	const char *prompt = text_of(p->input, "prompt");
	bool strict;

	pthread_mutex_lock(&rq->sim->lock);
	strict = rq->sim->set.openai_strict;
	pthread_mutex_unlock(&rq->sim->lock);
	if (!prompt || !*prompt)
		return object_to(why, "prompt", "missing_required_parameter",
			"Missing required parameter: ", "prompt", ".");
	if (strict && !check_strictly(p->input, kind, edit, why))
		return false;
	p->n_outputs = (unsigned)json_integer_value(json_object_get(p->input, "n"));
	if (p->n_outputs > 16)
		p->n_outputs = 16;
	return (!edit || check_images(json_object_get(p->input, "images"), why)) &&
		read_size(p, strict ? kind : 0, why);
}

/* Takes input over. */
static void
create(struct sim_rq *rq, json_t *input, bool edit, struct sim_reply *rp)
{
	struct problem why = { .code = NULL };
	struct pred *p;

	if (!json_is_object(input)) {
		fail(rp, 422, edit ? "Invalid image file or request." : "The body is not valid JSON.");
		json_decref(input);
		return;
	}
	p = wire_new_pred(rq, rp);
	if (!p) {
		json_decref(input);
		return;
	}
	p->form = edit ? "edits" : "generations";
	p->input = input;
	p->model = mem_strdup(text_of(input, "model") ? text_of(input, "model") : "dall-e-2");
	if (check(rq, p, edit, &why))
		run(rq, &p, rp);
	else
		reply_error(rp, sim_same(why.code, "model_not_found") ? 404 : 400, why.message,
			"invalid_request_error", why.param, why.code);
	pred_free(&p);
}

static void
generate(struct sim_rq *rq, struct sim_reply *rp)
{
	if (!wire_refuses_create(rq, rp))
		create(rq, rq_json(rq), false, rp);
}

static void
edit(struct sim_rq *rq, struct sim_reply *rp)
{
	const char *type = rq_param(rq, "CONTENT_TYPE");
	bool is_form = type && strncmp(type, "multipart/form-data", 19) == 0;

	if (!wire_refuses_create(rq, rp))
		create(rq, is_form ? read_form(rq) : rq_json(rq), true, rp);
}

static void
list_models(struct sim_rq *rq, struct sim_reply *rp)
{
	(void)rq;
	reply_json(rp, 200, json_pack("{s:s,s:[{s:s,s:s,s:i,s:s}]}", "object", "list", "data",
		"id", "gpt-image-1", "object", "model", "created", 1713833628, "owned_by", "system"));
}

static const struct sim_route routes[] = {
	{ "POST", "/images/generations", generate, false },
	{ "POST", "/images/edits", edit, false },
	{ "GET", "/models", list_models, false },
};

static const struct wire wire = {
	.id = WIRE_openai,
	.may_call = may_call,
	.fail = fail,
	.throttle = throttle,
};

const struct sim_area openai_area = {
	.prefix = "/openai/v1",
	WIRE_ROUTES(wire, routes),
	.files = &openai_files_area,
};
