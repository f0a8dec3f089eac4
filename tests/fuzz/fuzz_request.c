/*
 * A client's request, and what the models and each provider make of it: the body of
 * POST /generate, where inputs are passed on as they are, and where they are taken in.
 */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include <strings.h>

#include "core/input.h"
#include "core/lift.h"
#include "core/request.h"
#include "tests/fuzz/providers.h"
#include "tests/fuzz/service.h"

static struct models *models;
static const struct uuid owner = { { 1 } };

/* All that a template can name; some providers take no model's name, or no pictures. */
#define TEMPLATE(more) "\"input\":{\"prompt\":\"$prompt\",\"n\":\"$negative_prompt\",\"ratio\":\"$aspect_ratio\"," \
	"\"size\":{\"w\":\"$width\",\"h\":\"$height\"},\"count\":\"$count\",\"seed\":\"$seed\",\"format\":\"$format\"," \
	"\"p\":\"$params\",\"cost\":\"$$5\",\"fixed\":[1,2.5,true,null]" more "}"
#define PICTURES ",\"image\":\"$input\",\"images\":[\"$inputs\"]"

static const char *const templates[] = {
	"{\"model\":\"owner/name\"," TEMPLATE(PICTURES) "}", "{" TEMPLATE(PICTURES) "}",
	"{\"model\":\"owner/name\"," TEMPLATE("") "}", "{" TEMPLATE("") "}",
	"{\"workflow\":{\"1\":{\"class_type\":\"KSampler\",\"inputs\":{\"text\":\"$prompt\",\"seed\":\"$seed\",\"p\":\"$params\"}}}}",
};

/* The first that the provider finds no mistake in. */
static const char *
template_for(const struct provider *p)
{
	for (size_t i = 0; i < sizeof templates / sizeof *templates; i++) {
		struct buf mistakes = BUF_INIT(65536);
		json_t *on = json_loads(templates[i], 0, NULL);
		bool good;

		MUST(on);
		if (p->check_profile)
			adapter_check_profile(p, on, "on", &mistakes);
		good = mistakes.len == 0;
		buf_clear(&mistakes);
		json_decref(on);
		if (good)
			return templates[i];
	}
	fuzz_fail(__FILE__, __LINE__, "no template is for that provider");
}

static void
load_models(void)
{
	struct buf text = BUF_INIT(65536), mistakes = BUF_INIT(65536);

	buf_puts(&text, "{\"m\":{\"limits\":{\"count\":4,\"inputs\":2},\"timeout\":\"5m\",\"on\":{");
	for (size_t i = 0; i < provider_count(); i++)
		buf_printf(&text, "%s\"%s\":%s", i ? "," : "", provider_at(i)->name, template_for(provider_at(i)));
	buf_puts(&text, "}}}");
	if (models_load(file_of(buf_str(&text), text.len), provider_at(0)->name, &models, &mistakes, NULL))
		fuzz_fail(__FILE__, __LINE__, buf_str(&mistakes));
	buf_clear(&text);
	buf_clear(&mistakes);
}

static void
is_sent_by(const struct provider *p, const void *s, const struct request *rq)
{
	const bool has_webhooks = p->caps & PROVIDER_WEBHOOK && (p->caps & PROVIDER_VERIFIER || adapter_has_secret(s));
	struct gen_spec spec = {
		.webhook_url = has_webhooks ? "https://here.example/webhooks/x?job=y" : NULL, .time_left_ms = 60000,
	};
	struct http_request sent = HTTP_REQUEST_INIT;
	json_t *on = NULL, *body;
	enum err_code rc;

	MUST(models_expand(&rq->model, p->name, rq->body, &on, NULL) == ERR_OK);
	MUST(json_is_object(on));
	spec.on = on;
	rc = adapter_submit_request(p, s, &spec, &sent, NULL);
	MUST(rc == ERR_OK || rc == ERR_CONFIG);	/* the profile is not made for each of them */
	if (!rc) {
		must_be_sendable(&sent);
		body = json_loadb(sent.body, (size_t)sent.body_bytes, 0, NULL);
		MUST(json_is_object(body));
		json_decref(body);
	}
	http_request_clear(&sent);
	json_decref(on);
}

/* What is kept is read again: by a retry, and to compare an idempotency key's request. */
static void
is_taken_again(const struct request *rq, const struct request_rules *rules)
{
	char *text = json_write(rq->body, JSON_COMPACT);
	struct request again;
	json_t *errors = NULL;

	MUST(text && request_parse(text, strlen(text), rules, &again, &errors, NULL) == ERR_OK);
	MUST(json_equal(again.body, rq->body) && !again.metadata);
	MUST(rq->metadata || memcmp(again.fingerprint, rq->fingerprint, sizeof again.fingerprint) == 0);
	request_clear(&again);
	mem_free(text);
}

static void
taken(const struct request *rq, const struct request_rules *rules)
{
	const char *prompt = json_string_value(json_object_get(rq->body, "prompt"));

	MUST(prompt && *prompt && strlen(prompt) <= PROMPT_MAX_BYTES);
	MUST(!rq->metadata || json_is_object(rq->metadata));
	MUST(!json_object_get(rq->body, "metadata") && strcmp(rq->model.name, "m") == 0);
	for (size_t i = 0; i < provider_count(); i++)
		is_sent_by(provider_at(i), fuzz_provider_settings(i), rq);
	is_taken_again(rq, rules);
}

static void
refused(const json_t *errors)
{
	const json_t *e;
	size_t i;

	MUST(json_array_size(errors) > 0);
	json_array_foreach(errors, i, e) {
		const char *pointer = json_string_value(json_object_get(e, "pointer"));

		MUST(pointer && (!*pointer || *pointer == '/'));
		MUST(json_string_length(json_object_get(e, "detail")) > 0);
	}
}

static enum err_code
try_request(char *text, size_t len, const struct request_rules *rules, struct request *ret)
{
	json_t *errors = NULL;
	struct err err = ERR_INIT;
	enum err_code rc = request_parse(text, len, rules, ret, &errors, &err);

	MUST_SAY(rc, &err);
	MUST(!errors == (rc != ERR_INVALID && rc != ERR_NOT_FOUND));
	if (errors)
		refused(errors);
	json_decref(errors);
	return rc;
}

static void
pass_on(char *text, size_t len)
{
	const struct request_rules rules = { .models = models, .default_model = "m" };
	struct request rq;
	enum err_code rc = try_request(text, len, &rules, &rq);

	MUST(rc == ERR_OK || rc == ERR_BAD_REQUEST || rc == ERR_INVALID);
	if (!rc) {
		taken(&rq, &rules);
		request_clear(&rq);
	}
}

/* Files of the owner's only, under names that the storage has for them. */
static void
kept_inputs_are_own(const struct request *rq)
{
	const json_t *inputs = json_object_get(rq->body, "inputs"), *v;
	size_t i;

	json_array_foreach(inputs, i, v) {
		const char *s = json_string_value(v);

		MUST(s && (strncasecmp(s, "https:", 6) == 0 || input_is_own(s, &owner)));
	}
}

/* The same bytes are the same request, whenever they come. */
static void
take_in(char *text, size_t len, uint8_t ret_fingerprint[SHA256_BYTES], bool *ret_taken)
{
	struct request_rules rules = { .models = models, .default_model = "m", .svc = fuzz_service("none") };
	struct request rq;
	enum err_code rc;

	MUST(intake_new(rules.svc, &owner, &rules.intake, NULL) == ERR_OK);
	rc = try_request(text, len, &rules, &rq);
	MUST(rc == ERR_OK || rc == ERR_BAD_REQUEST || rc == ERR_INVALID || rc == ERR_NOT_FOUND || rc == ERR_TOO_BIG);
	*ret_taken = !rc;
	if (!rc) {
		kept_inputs_are_own(&rq);
		memcpy(ret_fingerprint, rq.fingerprint, SHA256_BYTES);
		request_clear(&rq);
	}
	intake_unref(&rules.intake);
}

/* Where a picture was taken out there is as much JSON as before. */
static void
lift(const char *text, size_t len)
{
	struct service *svc = fuzz_service("none");
	char *lifted = copy_exactly(text, len);
	struct intake *in = NULL;
	json_t *before, *after;
	size_t files = 0;

	MUST(intake_new(svc, &owner, &in, NULL) == ERR_OK);
	MUST(lift_inputs(svc, in, lifted, len, &files, NULL) == ERR_OK);
	MUST(intake_count(in) == files);
	before = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	after = json_loadb(lifted, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	MUST(!before == !after);
	for (size_t i = 0, n = 0; after && n < files; i++) {
		const json_t *v = json_array_get(json_object_get(after, "inputs"), i);

		MUST(json_is_string(v) || json_is_null(v));
		n += json_is_null(v);
	}
	json_decref(before);
	json_decref(after);
	intake_unref(&in);
	mem_free(lifted);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *exact = copy_exactly((const char *)data, size);
	uint8_t once[SHA256_BYTES] = { 0 }, twice[SHA256_BYTES] = { 0 };
	bool taken_once, taken_twice;

	fuzz_begin();
	if (!models)
		load_models();
	pass_on(exact, size);
	lift(exact, size);
	take_in(exact, size, once, &taken_once);
	if (taken_once) {
		take_in(exact, size, twice, &taken_twice);
		MUST(taken_twice && memcmp(once, twice, sizeof once) == 0);
	}
	mem_free(exact);
	return 0;
}
