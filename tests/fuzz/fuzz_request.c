/*
 * A client's request, and what the models and each provider make of it: the body of
 * POST /generate.
 */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include "core/request.h"
#include "providers/provider.h"

#define PROVIDERS_MAX 16

static struct models *models;
static void *settings[PROVIDERS_MAX];

/* Profiles for every provider, with all that a template can name. */
static void
load_models(void)
{
	static const char input[] = "\"input\":{\"prompt\":\"$prompt\",\"n\":\"$negative_prompt\",\"ratio\":\"$aspect_ratio\","
		"\"size\":{\"w\":\"$width\",\"h\":\"$height\"},\"count\":\"$count\",\"seed\":\"$seed\",\"format\":\"$format\","
		"\"image\":\"$input\",\"images\":[\"$inputs\"],\"p\":\"$params\",\"cost\":\"$$5\",\"fixed\":[1,2.5,true,null]}";
	struct buf text = BUF_INIT(65536), mistakes = BUF_INIT(65536);

	buf_puts(&text, "{\"m\":{\"limits\":{\"count\":4,\"inputs\":2},\"timeout\":\"5m\",\"on\":{");
	for (size_t i = 0; i < provider_count(); i++)
		buf_printf(&text, "%s\"%s\":{\"model\":\"owner/name\",%s}", i ? "," : "", provider_at(i)->name, input);
	buf_puts(&text, "}}}");
	MUST(models_load(file_of(buf_str(&text), text.len), provider_at(0)->name, &models, &mistakes, NULL) == ERR_OK);
	buf_clear(&text);
	buf_clear(&mistakes);
}

static void
begin(void)
{
	static const char *const env[] = { "GENGATE_REPLICATE_TOKEN=t0k3n", NULL };

	if (models)
		return;
	load_models();
	MUST(provider_count() <= PROVIDERS_MAX);
	for (size_t i = 0; i < provider_count(); i++) {
		settings[i] = mem_calloc(1, provider_at(i)->settings_size);
		MUST(settings[i]);
		fill_settings(provider_at(i)->options, settings[i],
			strcmp(provider_at(i)->name, "replicate") == 0 ? env : NULL);
	}
}

static void
is_sent_by(const struct provider *p, const void *s, const struct request *rq)
{
	struct gen_spec spec = { .webhook_url = "https://here.example/webhooks/x?job=y", .time_left_ms = 60000 };
	struct http_request sent = HTTP_REQUEST_INIT;
	json_t *on = NULL, *body;

	MUST(models_expand(&rq->model, p->name, rq->body, &on, NULL) == ERR_OK);
	MUST(json_is_object(json_object_get(on, "input")));
	spec.on = on;
	MUST(p->submit.request(s, &spec, &sent, NULL) == ERR_OK);
	must_be_sendable(&sent);
	body = json_loadb(sent.body, (size_t)sent.body_bytes, 0, NULL);
	MUST(json_is_object(body));
	json_decref(body);
	http_request_clear(&sent);
	json_decref(on);
}

/* What is kept is read again: by a retry, and to compare an idempotency key's request. */
static void
is_taken_again(const struct request *rq)
{
	char *text = json_write(rq->body, JSON_COMPACT);
	struct request again;
	json_t *errors = NULL;

	MUST(text && request_parse(text, strlen(text), models, "m", &again, &errors, NULL) == ERR_OK);
	MUST(json_equal(again.body, rq->body) && !again.metadata);
	MUST(rq->metadata || memcmp(again.fingerprint, rq->fingerprint, sizeof again.fingerprint) == 0);
	request_clear(&again);
	mem_free(text);
}

static void
taken(const struct request *rq)
{
	const char *prompt = json_string_value(json_object_get(rq->body, "prompt"));

	MUST(prompt && *prompt && strlen(prompt) <= PROMPT_MAX_BYTES);
	MUST(!rq->metadata || json_is_object(rq->metadata));
	MUST(!json_object_get(rq->body, "metadata") && strcmp(rq->model.name, "m") == 0);
	for (size_t i = 0; i < provider_count(); i++)
		is_sent_by(provider_at(i), settings[i], rq);
	is_taken_again(rq);
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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct request rq;
	json_t *errors = NULL;
	struct err err = ERR_INIT;
	char *exact = copy_exactly((const char *)data, size);
	enum err_code rc;

	fuzz_begin();
	begin();
	rc = request_parse(exact, size, models, "m", &rq, &errors, &err);
	MUST(rc == ERR_OK || rc == ERR_BAD_REQUEST || rc == ERR_INVALID);
	MUST_SAY(rc, &err);
	MUST(!errors == (rc != ERR_INVALID));
	if (rc == ERR_INVALID)
		refused(errors);
	if (!rc) {
		taken(&rq);
		request_clear(&rq);
	}
	json_decref(errors);
	mem_free(exact);
	return 0;
}
