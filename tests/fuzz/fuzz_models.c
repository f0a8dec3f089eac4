/* models.json, and a full request put into each of its profiles. */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include "core/models.h"
#include "providers/provider.h"

static const char everything[] = "{\"prompt\":\"a cat\",\"negative_prompt\":\"dogs\",\"aspect_ratio\":\"1:1\","
	"\"width\":64,\"height\":64,\"count\":2,\"seed\":7,\"format\":\"png\",\"inputs\":[\"https://a.example/1.png\"],"
	"\"model\":\"m\",\"params\":{\"steps\":4,\"nested\":{\"a\":[1]}}}";

static void
expand(const struct models *models, const char *name, const json_t *request)
{
	struct model model;
	json_t *on = NULL;
	char *text;

	/* A name may have ", " in it. */
	if (!models_offer(models, name, &model))
		return;
	MUST(strcmp(model.name, name) == 0 && model.timeout_ms <= 24 * 3600 * 1000);
	MUST(model.max_count >= 1 && model.max_count <= 100 && model.max_inputs <= 100);
	MUST(models_expand(&model, provider_at(0)->name, request, &on, NULL) == ERR_OK);
	MUST(json_is_object(on));
	text = json_write(on, JSON_COMPACT);
	MUST(text && is_utf8(text, strlen(text)));
	mem_free(text);
	json_decref(on);
}

/* Each name of the list, and one that is none. */
static void
look_at(const struct models *models)
{
	struct buf names = BUF_INIT(1000000);
	json_t *request = json_loads(everything, 0, NULL);

	MUST(request);
	models_list(models, &names);
	MUST(!names.err);
	for (char *at = names.p, *end; at && *at; at = end) {
		end = strstr(at, ", ");
		if (end) {
			*end = '\0';
			end += 2;
		}
		expand(models, at, request);
		if (!end)
			break;
	}
	expand(models, "no such model", request);
	json_decref(request);
	buf_clear(&names);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf mistakes = BUF_INIT(65536);
	struct models *models = NULL;
	struct err err = ERR_INIT;
	enum err_code rc;

	fuzz_begin();
	rc = models_load(file_of((const char *)data, size), provider_at(0)->name, &models, &mistakes, &err);
	MUST(rc == ERR_OK || rc == ERR_CONFIG || rc == ERR_TOO_BIG);
	MUST_SAY(rc, &err);
	MUST((rc == ERR_CONFIG) == (mistakes.len > 0) && is_utf8(buf_str(&mistakes), mistakes.len));
	if (!rc)
		look_at(models);
	models_free(&models);
	buf_clear(&mistakes);
	return 0;
}
