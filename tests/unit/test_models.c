#include "config.h"

#include "core/models.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "providers/provider.h"
#include "tests/unit/unit.h"

#define N(table) (sizeof (table) / sizeof *(table))

/* ---- a file ---- */

static char dir[] = "/tmp/gengate-models-XXXXXX";
static char path[64];

static int
make_dir(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof path, "%s/m.json", dir);
	return 0;
}

static int
remove_dir(void **state)
{
	(void)state;
	unlink(path);
	rmdir(dir);
	return mem_outstanding() == 0 ? 0 : -1;
}

static enum err_code
load(const char *text, struct models **ret, struct buf *mistakes)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
	return models_load(path, "replicate", ret, mistakes, NULL);
}

/* ---- loading ---- */

static void
profiles(void **state)
{
	static const char text[] =
		"{ \"small\": { \"on\": { \"replicate\": { \"model\": \"a/b\", \"input\": { \"p\": \"$prompt\" } } } },\n"
		"  \"full\": { \"description\": \"all of it\", \"limits\": { \"count\": 100, \"inputs\": 2 },\n"
		"    \"timeout\": \"5m\",\n"
		"    \"on\": { \"replicate\": { \"model\": \"a/b\", \"input\": { \"p\": \"$prompt\" } } } },\n"
		"  \"least\": { \"limits\": { \"count\": 1, \"inputs\": 0 }, \"timeout\": \"1s\",\n"
		"    \"on\": { \"replicate\": { \"model\": \"a/b\", \"input\": { \"p\": \"$prompt\" } } } },\n"
		"  \"most\": { \"limits\": {}, \"timeout\": \"24h\", \"on\": { \"replicate\": { \"model\": \"a/b\", \"input\": { \"p\": \"$prompt\" } } } } }\n";
	static const struct { const char *name; uint64_t timeout_ms, count, inputs; } rows[] = {
		{ "small", 0, 4, 0 },
		{ "full", 300000, 100, 2 },
		{ "least", 1000, 1, 0 },
		{ "most", 86400000, 4, 0 },
	};
	static const char *const strangers[] = { "", "Small", "small ", "full/x", "on" };
	struct buf mistakes = BUF_INIT(4096), list = BUF_INIT(100);
	struct models *models;
	struct model m;

	(void)state;
	if (load(text, &models, &mistakes))
		fail_msg("%s", buf_str(&mistakes));
	assert_string_equal(buf_str(&mistakes), "");
	for (size_t i = 0; i < N(rows); i++) {
		ASSERT_ROW(rows[i].name, models_find(models, rows[i].name, &m));
		ASSERT_ROW(rows[i].name, strcmp(m.name, rows[i].name) == 0 && m.name != rows[i].name);
		ASSERT_ROW(rows[i].name, m.timeout_ms == rows[i].timeout_ms);
		ASSERT_ROW(rows[i].name, m.max_count == rows[i].count);
		ASSERT_ROW(rows[i].name, m.max_inputs == rows[i].inputs);
		ASSERT_ROW(rows[i].name, strcmp(model_provider(&m, 0), "replicate") == 0 && !model_provider(&m, 1));
	}
	for (size_t i = 0; i < N(strangers); i++)
		ASSERT_ROW(strangers[i], !models_find(models, strangers[i], &m));
	models_list(models, &list);
	assert_string_equal(buf_str(&list), "small, full, least, most");
	buf_clear(&list);
	buf_clear(&mistakes);
	models_free(&models);
	assert_null(models);
	models_free(&models);	/* once more does no harm */
}

#define ON "\"on\": { \"replicate\": { \"model\": \"a/b\", \"input\": { \"p\": \"$prompt\" } } }"
#define WITH_INPUT(x) "{ \"m\": { \"on\": { \"replicate\": { \"model\": \"a/b\", \"input\": { \"a\": " x " } } } } }"
#define NOTHING_ASKED "on.replicate: has neither \"$prompt\" nor \"$input\" in it"

static void
every_mistake_has_its_words(void **state)
{
	/* What is said of the file as a whole, or of the model "m" in it. */
	static const struct { const char *name, *text, *want; bool whole; } rows[] = {
		{ "empty file", "", ":1: '[' or '{' expected", true },
		{ "no JSON", "{ \"m\":\n", ":2: ", true },
		{ "line of the mistake", "{\n\"m\": x }", ":2: ", true },
		{ "array", "[]", " has to be an object with a profile for each model", true },
		{ "no models", "{}", " has to be an object with a profile for each model", true },
		{ "a model twice", "{ \"m\": { " ON " }, \"m\": { " ON " } }", ":1: duplicate", true },

		{ "profile no object", "{ \"m\": 5 }", "has to be an object", false },
		{ "unknown member", "{ \"m\": { \"modle\": 1, " ON " } }", "has an unknown member \"modle\"; known are limits, timeout, on, description, ", false },
		{ "a description that is no text", "{ \"m\": { \"description\": [\"x\"], " ON " } }",
		  "description has to be a text", false },
		{ "no on", "{ \"m\": {} }", "\"on\" has to be an object", false },
		{ "on no object", "{ \"m\": { \"on\": [] } }", "\"on\" has to be an object", false },
		{ "no provider", "{ \"m\": { \"on\": {} } }",
		  " has nothing for the provider \"replicate\": no \"on\" has it", true },
		{ "no input", "{ \"m\": { \"on\": { \"replicate\": { \"model\": \"a/b\" } } } }",
		  "on.replicate: input has to be an object", false },
		{ "provider no object", "{ \"m\": { \"on\": { \"replicate\": \"a/b\" } } }",
		  "on.replicate: has to be an object", false },
		{ "input no object", "{ \"m\": { \"on\": { \"replicate\": { \"model\": \"a/b\", \"input\": \"$prompt\" } } } }",
		  "on.replicate: input has to be an object", false },
		{ "no model", "{ \"m\": { \"on\": { \"replicate\": { \"input\": {} } } } }",
		  "on.replicate: model has to be a text", false },
		{ "an empty model", "{ \"m\": { \"on\": { \"replicate\": { \"model\": \"\", \"input\": {} } } } }",
		  "on.replicate: model has to be a text", false },
		{ "what the provider does not take",
		  "{ \"m\": { \"on\": { \"replicate\": { \"model\": \"a/b\", \"input\": {}, \"inputs\": {} } } } }",
		  "on.replicate: has an unknown member \"inputs\"; known are model, deployment, input, price\n", false },
		{ "limits no object", "{ \"m\": { \"limits\": 4, " ON " } }", "limits has to be an object", false },
		{ "unknown limit", "{ \"m\": { \"limits\": { \"counts\": 4 }, " ON " } }",
		  "limits has an unknown member \"counts\"; known are count, inputs\n", false },
		{ "count of none", "{ \"m\": { \"limits\": { \"count\": 0 }, " ON " } }",
		  "limits.count has to be a whole number from 1 to 100", false },
		{ "count too large", "{ \"m\": { \"limits\": { \"count\": 101 }, " ON " } }",
		  "limits.count has to be a whole number from 1 to 100", false },
		{ "inputs negative", "{ \"m\": { \"limits\": { \"inputs\": -1 }, " ON " } }",
		  "limits.inputs has to be a whole number from 0 to 100", false },
		{ "inputs a fraction", "{ \"m\": { \"limits\": { \"inputs\": 1.0 }, " ON " } }",
		  "limits.inputs has to be a whole number from 0 to 100", false },
		{ "inputs a text", "{ \"m\": { \"limits\": { \"inputs\": \"1\" }, " ON " } }",
		  "limits.inputs has to be a whole number from 0 to 100", false },
		{ "timeout a number", "{ \"m\": { \"timeout\": 300, " ON " } }", "timeout has to be a duration", false },
		{ "timeout without unit", "{ \"m\": { \"timeout\": \"300\", " ON " } }", "timeout has to be a duration", false },
		{ "timeout zero", "{ \"m\": { \"timeout\": \"0s\", " ON " } }", "timeout has to be a duration", false },
		{ "timeout with a blank", "{ \"m\": { \"timeout\": \"5 m\", " ON " } }", "timeout has to be a duration", false },
		{ "timeout beyond a day", "{ \"m\": { \"timeout\": \"25h\", " ON " } }", "timeout has to be a duration", false },
		{ "timeout of years", "{ \"m\": { \"timeout\": \"86400h\", " ON " } }", "timeout has to be a duration", false },
		{ "timeout beyond 64 bits", "{ \"m\": { \"timeout\": \"99999999999999999999h\", " ON " } }",
		  "timeout has to be a duration", false },
		{ "timeout null", "{ \"m\": { \"timeout\": null, " ON " } }", "timeout has to be a duration", false },
		{ "misspelt word", WITH_INPUT("\"$promt\""), "on.replicate: \"$promt\" stands for nothing in a request", false },
		{ "a sign alone", WITH_INPUT("\"$\""), "\"$\" stands for nothing", false },
		{ "a price", WITH_INPUT("[{\"b\": \"$5\"}]"), "write \"$$5\" for the text itself", false },
		{ "metadata is never sent", WITH_INPUT("\"$metadata\""), "\"$metadata\" stands for nothing", false },
		{ "misspelt beside the input", "{ \"m\": { \"on\": { \"replicate\": { \"model\": \"$mdl\", \"input\": {} } } } }",
		  "\"$mdl\" stands for nothing", false },
		{ "a field for a model", "{ \"m\": { \"on\": { \"replicate\": { \"model\": \"$negative_prompt\", \"input\": {} } } } }",
		  "model cannot be \"$negative_prompt\", which not every request has", false },
		{ "a choice for the input", "{ \"m\": { \"on\": { \"replicate\": { \"model\": \"a/b\", \"input\": { \"$count\": { \"1\": {} } } } } } }",
		  "input cannot be \"$count\", which not every request has", false },
		{ "a provider that is none", "{ \"m\": { \"on\": { \"replicat\": {}, \"replicate\": { \"model\": \"a/b\", \"input\": { \"p\": \"$prompt\" } } } } }",
		  "on.replicat: there is no such provider; there are ", false },
		{ "defaults no object", "{ \"m\": { \"defaults\": [], " ON " } }", "defaults has to be an object", false },
		{ "a default of what has none", "{ \"m\": { \"defaults\": { \"prompt\": \"x\" }, " ON " } }",
		  "defaults has \"prompt\", which has none", false },
		{ "a default of another kind", "{ \"m\": { \"defaults\": { \"count\": \"1\" }, " ON " } }",
		  "defaults.count has to be a whole number", false },
		{ "a default of more than may be asked for", "{ \"m\": { \"defaults\": { \"count\": 5 }, " ON " } }",
		  "defaults.count has to be from 1 to limits.count, which is 4", false },
		{ "a default of none", "{ \"m\": { \"limits\": { \"count\": 2 }, \"defaults\": { \"count\": 0 }, " ON " } }",
		  "defaults.count has to be from 1 to limits.count, which is 2", false },
		{ "a default without a word", "{ \"m\": { \"defaults\": { \"aspect_ratio\": \"2:1\" }, "
		  "\"aspect_ratios\": { \"1:1\": [64, 64] }, " ON " } }", "defaults.aspect_ratio has to be one of: 1:1", false },
		{ "ratios without a size", "{ \"m\": { \"aspect_ratios\": { \"1:1\": [64] }, " ON " } }",
		  "aspect_ratios.1:1 has to be width and height", false },
		{ "no ratios", "{ \"m\": { \"aspect_ratios\": [], " ON " } }", "aspect_ratios has to be an object", false },
		{ "a default among no ratios", "{ \"m\": { \"aspect_ratios\": {}, \"defaults\": { \"aspect_ratio\": \"1:1\" }, " ON " } }",
		  "aspect_ratios has to be an object", false },
		{ "no order", "{ \"m\": { \"order\": [], " ON " } }", "order has to be a list of providers", false },
		{ "an order of what is not there", "{ \"m\": { \"order\": [\"replicate\", \"x\"], " ON " } }",
		  "order[1]: \"on\" has nothing for \"x\"", false },
		{ "an order with one twice", "{ \"m\": { \"order\": [\"replicate\", \"replicate\"], " ON " } }",
		  "order has \"replicate\" twice", false },
		{ "a choice of nothing in a request", "{ \"m\": { \"on\": { \"replicate\": { \"model\": \"a/b\", \"input\": "
		  "{ \"a\": { \"$b\": { \"c\": 1 } } } } } } }", "\"$b\" stands for nothing", false },
		{ "a choice without words", "{ \"m\": { \"on\": { \"replicate\": { \"model\": \"a/b\", \"input\": "
		  "{ \"a\": { \"$seed\": {} } } } } } }", "has to have an object behind it", false },
		{ "a format that nobody can ask for", WITH_INPUT("{ \"$format\": { \"jpeg\": \"JPEG\", \"png\": \"PNG\" } }"),
		  "on.replicate: \"$format\" has a word for \"jpeg\", which no request can ask for; formats are png, jpg, webp, ", false },
		{ "a price in another word", "{ \"m\": { \"on\": { \"replicate\": { \"model\": \"a/b\", \"input\": {}, "
		  "\"price\": { \"per\": \"image\", \"amount\": 1, \"currency\": \"USD\", \"each\": 1 } } } } }",
		  "price has an unknown member \"each\"; known are per, amount, currency\n", false },
		{ "a price by the dozen", "{ \"m\": { \"on\": { \"replicate\": { \"model\": \"a/b\", \"input\": {}, "
		  "\"price\": { \"per\": \"dozen\", \"amount\": 1, \"currency\": \"USD\" } } } } }",
		  "price.per has to be", false },
		{ "a negative price", "{ \"m\": { \"on\": { \"replicate\": { \"model\": \"a/b\", \"input\": {}, "
		  "\"price\": { \"per\": \"image\", \"amount\": -1, \"currency\": \"USD\" } } } } }",
		  "price.amount has to be", false },
		{ "a price in dollars", "{ \"m\": { \"on\": { \"replicate\": { \"model\": \"a/b\", \"input\": {}, "
		  "\"price\": { \"per\": \"image\", \"amount\": 1, \"currency\": \"usd\" } } } } }",
		  "price.currency has to be", false },
		{ "nothing of the request", WITH_INPUT("\"$seed\""), NOTHING_ASKED, false },
		{ "a prompt inside a text", WITH_INPUT("\"a $prompt\""), NOTHING_ASKED, false },
		{ "the text of a prompt's word", WITH_INPUT("\"$$prompt\""), NOTHING_ASKED, false },
		{ "a prompt among words", WITH_INPUT("{ \"$count\": { \"1\": \"$prompt\" } }"), NOTHING_ASKED, false },
		{ "too deep", WITH_INPUT("[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]"), "nests deeper than 16", false },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct buf mistakes = BUF_INIT(4096), prefix = BUF_INIT(1000);
		struct models *models = NULL;
		enum err_code rc = load(rows[i].text, &models, &mistakes);

		ASSERT_ROW(rows[i].name, rc == ERR_CONFIG && !models);
		buf_printf(&prefix, rows[i].whole ? "models_file: %s" : "%s: model \"m\": ", path);
		if (strncmp(buf_str(&mistakes), buf_str(&prefix), prefix.len) != 0 ||
		    !strstr(buf_str(&mistakes) + prefix.len, rows[i].want))
			fail_msg("%s: %s", rows[i].name, buf_str(&mistakes));
		/* One line, and no more than that. */
		ASSERT_ROW(rows[i].name, strchr(buf_str(&mistakes), '\n') == buf_str(&mistakes) + mistakes.len - 1);
		buf_clear(&mistakes);
		buf_clear(&prefix);
	}
}

static void
all_mistakes_are_told(void **state)
{
	static const char text[] =
		"{ \"one\": { \"timeout\": \"x\", \"limits\": { \"count\": -1, \"y\": 1 }, \"z\": 1, " ON " },\n"
		"  \"good\": { " ON " },\n"
		"  \"two\": { \"on\": { \"replicate\": { \"model\": \"a/b\", \"input\": { \"a\": \"$b\", \"c\": \"$d\" } } } } }\n";
	static const char *const want[] = { "model \"one\": has an unknown member \"z\"", "model \"one\": timeout",
		"model \"one\": limits.count", "model \"one\": limits has an unknown member \"y\"",
		"model \"two\": on.replicate: \"$b\"", "model \"two\": on.replicate: \"$d\"" };
	struct buf mistakes = BUF_INIT(4096);
	struct models *models = NULL;

	(void)state;
	buf_puts(&mistakes, "what was there before\n");
	assert_int_equal(load(text, &models, &mistakes), ERR_CONFIG);
	assert_null(models);
	for (size_t i = 0; i < N(want); i++)
		ASSERT_ROW(want[i], strstr(buf_str(&mistakes), want[i]));
	assert_null(strstr(buf_str(&mistakes), "good"));
	assert_non_null(strstr(buf_str(&mistakes), "what was there before"));
	buf_clear(&mistakes);
}

static void
files_that_are_not_there(void **state)
{
	struct buf mistakes = BUF_INIT(4096);
	struct models *models = NULL;

	(void)state;
	assert_int_equal(models_load("/nowhere/models.json", "replicate", &models, &mistakes, NULL), ERR_CONFIG);
	assert_non_null(strstr(buf_str(&mistakes), "models_file: "));
	assert_non_null(strstr(buf_str(&mistakes), "/nowhere/models.json"));
	buf_reset(&mistakes);
	assert_int_equal(models_load(dir, "replicate", &models, &mistakes, NULL), ERR_CONFIG);
	assert_non_null(strstr(buf_str(&mistakes), dir));
	assert_null(models);
	buf_clear(&mistakes);
}

/* ---- expanding ---- */

/* With what a row does not say: which model, and a prompt, which is left out where the row's
 * request has none. */
static void
put_whole_profile(const char *tmpl, struct buf *text)
{
	json_t *part = json_loads(tmpl, 0, NULL);
	char *whole;

	assert_non_null(part);
	if (!json_object_get(part, "model"))
		json_object_set_new(part, "model", json_string("a/b"));
	if (!strstr(tmpl, "\"$prompt\"") && !strstr(tmpl, "\"$input"))
		json_object_set_new(json_object_get(part, "input"), "asked", json_string("$prompt"));
	whole = json_dumps(part, 0);
	buf_printf(text, "{ \"m\": { \"on\": { \"replicate\": %s } } }", whole);
	free(whole);
	json_decref(part);
}

static void
templates(void **state)
{
	static const struct { const char *name, *tmpl, *request, *want; } rows[] = {
		{ "nothing to do", "{\"model\":\"a/b\",\"input\":{}}", "{}", "{\"model\":\"a/b\",\"input\":{}}" },
		{ "types are kept", "{\"input\":{\"p\":\"$prompt\",\"w\":\"$width\",\"s\":\"$seed\"}}",
		  "{\"prompt\":\"x\",\"width\":512,\"seed\":0}", "{\"input\":{\"p\":\"x\",\"w\":512,\"s\":0}}" },
		{ "constants are kept", "{\"input\":{\"a\":1,\"b\":1.5,\"c\":true,\"d\":null,\"e\":\"x\",\"f\":[],\"g\":{}}}",
		  "{}", "{\"input\":{\"a\":1,\"b\":1.5,\"c\":true,\"d\":null,\"e\":\"x\",\"f\":[],\"g\":{}}}" },
		{ "absent ones are left out", "{\"input\":{\"p\":\"$prompt\",\"w\":\"$width\",\"n\":\"$count\"}}",
		  "{\"prompt\":\"x\"}", "{\"input\":{\"p\":\"x\"}}" },
		{ "absent in an array", "{\"input\":{\"size\":[\"$width\",\"x\",\"$height\"]}}",
		  "{\"height\":5}", "{\"input\":{\"size\":[\"x\",5]}}" },
		{ "nested", "{\"input\":{\"a\":{\"b\":[{\"c\":\"$seed\"},{\"d\":\"$width\"}]}}}",
		  "{\"seed\":7}", "{\"input\":{\"a\":{\"b\":[{\"c\":7},{}]}}}" },
		{ "sixteen deep", "{\"input\":{\"a\":[[[[[[[[[[[[[\"$seed\"]]]]]]]]]]]]]}}", "{\"seed\":7}",
		  "{\"input\":{\"a\":[[[[[[[[[[[[[7]]]]]]]]]]]]]}}" },
		{ "a sign", "{\"input\":{\"a\":\"$$prompt\",\"b\":\"$$\",\"c\":\"$$$5\",\"d\":\"5$\",\"e\":\"a $prompt\"}}",
		  "{}",
		  "{\"input\":{\"a\":\"$prompt\",\"b\":\"$\",\"c\":\"$$5\",\"d\":\"5$\",\"e\":\"a $prompt\"}}" },
		{ "first input", "{\"input\":{\"image\":\"$input\"}}", "{\"inputs\":[\"https://a/\",\"https://b/\"]}",
		  "{\"input\":{\"image\":\"https://a/\"}}" },
		{ "all inputs", "{\"input\":{\"images\":\"$inputs\"}}", "{\"inputs\":[\"https://a/\",\"https://b/\"]}",
		  "{\"input\":{\"images\":[\"https://a/\",\"https://b/\"]}}" },
		{ "no inputs", "{\"input\":{\"image\":\"$input\",\"images\":\"$inputs\"}}", "{}", "{\"input\":{}}" },
		{ "an empty list of inputs", "{\"input\":{\"image\":\"$input\",\"images\":\"$inputs\"}}", "{\"inputs\":[]}",
		  "{\"input\":{\"images\":[]}}" },
		{ "words in the prompt are the user's", "{\"input\":{\"p\":\"$prompt\"}}",
		  "{\"prompt\":\"$seed\",\"seed\":7}", "{\"input\":{\"p\":\"$seed\"}}" },
		{ "beside the input too", "{\"model\":\"$model\",\"input\":{}}", "{\"model\":\"m\"}",
		  "{\"model\":\"m\",\"input\":{}}" },

		{ "params are added", "{\"input\":{\"p\":\"$prompt\"}}", "{\"prompt\":\"x\",\"params\":{\"steps\":4}}",
		  "{\"input\":{\"p\":\"x\",\"steps\":4}}" },
		{ "and never win", "{\"input\":{\"p\":\"$prompt\",\"safe\":true}}",
		  "{\"prompt\":\"x\",\"params\":{\"p\":\"evil\",\"safe\":false,\"steps\":4}}",
		  "{\"input\":{\"p\":\"x\",\"safe\":true,\"steps\":4}}" },
		{ "nor inside", "{\"input\":{\"o\":{\"safe\":true}}}", "{\"params\":{\"o\":{\"safe\":false}}}",
		  "{\"input\":{\"o\":{\"safe\":true}}}" },
		{ "nor for a member that the request leaves out", "{\"input\":{\"n\":\"$count\"}}", "{\"params\":{\"n\":700}}",
		  "{\"input\":{}}" },
		{ "params go into the input only", "{\"model\":\"a/b\",\"input\":{}}",
		  "{\"params\":{\"model\":\"c/d\",\"webhook\":\"https://evil/\"}}",
		  "{\"model\":\"a/b\",\"input\":{\"model\":\"c/d\",\"webhook\":\"https://evil/\"}}" },
		{ "words in params are the user's", "{\"input\":{}}", "{\"seed\":7,\"params\":{\"a\":\"$seed\",\"b\":\"$$\"}}",
		  "{\"input\":{\"a\":\"$seed\",\"b\":\"$$\"}}" },
		{ "params as one member", "{\"input\":{\"options\":\"$params\"}}", "{\"params\":{\"a\":1}}",
		  "{\"input\":{\"options\":{\"a\":1},\"a\":1}}" },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct buf text = BUF_INIT(4096), mistakes = BUF_INIT(4096);
		json_t *request = json_loads(rows[i].request, 0, NULL), *want = json_loads(rows[i].want, 0, NULL);
		struct models *models;
		struct model m;

		/* Which model is no matter, where a row does not say it. */
		if (!json_object_get(want, "model"))
			json_object_set_new(want, "model", json_string("a/b"));
		put_whole_profile(rows[i].tmpl, &text);
		if (load(buf_str(&text), &models, &mistakes))
			fail_msg("%s: %s", rows[i].name, buf_str(&mistakes));
		assert_true(models_find(models, "m", &m));
		/* Twice: the profile is not used up. */
		for (int round = 0; round < 2; round++) {
			json_t *on = NULL;
			char *got;

			ASSERT_ROW(rows[i].name, models_expand(&m, "replicate", request, &on, NULL) == ERR_OK);
			got = json_dumps(on, 0);
			if (!json_equal(on, want))
				fail_msg("%s: %s", rows[i].name, got);
			/* What is done to it is done to no other. */
			json_object_set_new(json_object_get(on, "input"), "mine", json_true());
			free(got);
			json_decref(on);
		}
		json_decref(request);
		json_decref(want);
		models_free(&models);
		buf_clear(&mistakes);
		buf_clear(&text);
	}
}

/* The same params, and each provider takes its own. */
static void
params_that_a_provider_takes(void **state)
{
	static const struct { const char *provider, *want; } rows[] = {
		{ "replicate", "{\"model\":\"c/d\",\"images\":[\"https://a/\"],\"quality\":\"high\"}" },
		{ "openai", "{\"quality\":\"high\"}" },
	};
	json_t *request = json_pack("{s{ss, s[s], ss}}", "params", "model", "c/d", "images", "https://a/", "quality", "high");
	struct buf mistakes = BUF_INIT(4096);
	struct models *models;
	struct model m;

	(void)state;
	assert_int_equal(load("{ \"m\": { \"on\": { \"replicate\": { \"model\": \"a/b\", \"input\": { \"p\": \"$prompt\" } }, "
		"\"openai\": { \"input\": { \"p\": \"$prompt\" } } } } }", &models, &mistakes), ERR_OK);
	assert_true(models_find(models, "m", &m));
	for (size_t i = 0; i < N(rows); i++) {
		json_t *want = json_loads(rows[i].want, 0, NULL), *on = NULL;

		ASSERT_ROW(rows[i].provider, models_expand(&m, rows[i].provider, request, &on, NULL) == ERR_OK);
		ASSERT_ROW(rows[i].provider, json_equal(json_object_get(on, "input"), want));
		json_decref(want);
		json_decref(on);
	}
	json_decref(request);
	models_free(&models);
	buf_clear(&mistakes);
}

static void
nothing_for_a_provider(void **state)
{
	static const struct { const char *name, *provider; } rows[] = {
		{ "not there", "bfl" }, { "no name", "" },
	};
	struct buf mistakes = BUF_INIT(4096);
	struct models *models;
	struct model m;
	json_t *request = json_pack("{s{si}}", "params", "a", 1);

	(void)state;
	assert_int_equal(load("{ \"m\": { \"on\": { \"replicate\": { \"model\": \"a/b\", \"input\": { \"p\": \"$prompt\" } } } } }",
		&models, &mistakes), ERR_OK);
	assert_true(models_find(models, "m", &m));
	for (size_t i = 0; i < N(rows); i++) {
		struct err err = ERR_INIT;
		json_t *on = NULL;

		ASSERT_ROW(rows[i].name, models_expand(&m, rows[i].provider, request, &on, &err) == ERR_CONFIG);
		ASSERT_ROW(rows[i].name, !on && strstr(err.text, "model \"m\""));
	}
	json_decref(request);
	models_free(&models);
	buf_clear(&mistakes);
}

/* ---- choices, defaults, sizes, prices ---- */

#define PART(x) "\"replicate\": { \"model\": \"a/b\", \"input\": { \"p\": \"$prompt\", " x " } }"
#define PROFILE(more, x) "{ \"m\": { " more " \"on\": { " PART(x) " } } }"
#define SIZES "\"r\": \"$aspect_ratio\", \"w\": \"$width\", \"h\": \"$height\""
#define RATIOS "\"aspect_ratios\": { \"1:1\": [1024, 1024], \"16:9\": [1344, 768] },"
#define CHOICE "\"size\": { \"$aspect_ratio\": { \"1:1\": \"square\", \"16:9\": { \"w\": 16 } } }"

static void
what_a_request_leaves_out(void **state)
{
	static const struct { const char *name, *profile, *request, *want; } rows[] = {
		{ "a default", PROFILE("\"defaults\": { \"count\": 2 },", "\"n\": \"$count\""), "{}", "{\"n\":2}" },
		{ "a default that is not needed", PROFILE("\"defaults\": { \"count\": 2 },", "\"n\": \"$count\""),
		  "{\"count\":1}", "{\"n\":1}" },
		{ "a ratio's size", PROFILE(RATIOS, SIZES), "{\"aspect_ratio\":\"16:9\"}",
		  "{\"r\":\"16:9\",\"w\":1344,\"h\":768}" },
		{ "the size of the default ratio", PROFILE(RATIOS "\"defaults\": { \"aspect_ratio\": \"1:1\" },", SIZES), "{}",
		  "{\"r\":\"1:1\",\"w\":1024,\"h\":1024}" },
		{ "a size takes no ratio", PROFILE(RATIOS "\"defaults\": { \"aspect_ratio\": \"1:1\" },", SIZES),
		  "{\"width\":64,\"height\":32}", "{\"w\":64,\"h\":32}" },
		{ "nor a ratio a default size", PROFILE("\"defaults\": { \"width\": 64, \"height\": 64 },", SIZES),
		  "{\"aspect_ratio\":\"16:9\"}", "{\"r\":\"16:9\"}" },
		{ "a word", PROFILE("", CHOICE), "{\"aspect_ratio\":\"1:1\"}", "{\"size\":\"square\"}" },
		{ "a word of any kind", PROFILE("", CHOICE), "{\"aspect_ratio\":\"16:9\"}", "{\"size\":{\"w\":16}}" },
		{ "nothing to choose by", PROFILE("", CHOICE), "{}", "{}" },
		{ "a number chooses", PROFILE("", "\"n\": { \"$count\": { \"1\": \"one\", \"2\": \"two\" } }"),
		  "{\"count\":2}", "{\"n\":\"two\"}" },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct buf mistakes = BUF_INIT(4096);
		json_t *request = json_loads(rows[i].request, 0, NULL), *want = json_loads(rows[i].want, 0, NULL);
		json_t *before = json_deep_copy(request), *on = NULL;
		struct models *models;
		struct model m;

		if (load(rows[i].profile, &models, &mistakes))
			fail_msg("%s: %s", rows[i].name, buf_str(&mistakes));
		assert_true(models_find(models, "m", &m));
		ASSERT_ROW(rows[i].name, models_expand(&m, "replicate", request, &on, NULL) == ERR_OK);
		ASSERT_ROW(rows[i].name, json_equal(json_object_get(on, "input"), want));
		ASSERT_ROW(rows[i].name, json_equal(request, before));
		json_decref(on);
		json_decref(request);
		json_decref(before);
		json_decref(want);
		models_free(&models);
		buf_clear(&mistakes);
	}
}

static void
what_a_model_takes(void **state)
{
	static const struct { const char *name, *profile, *member, *value, *words; } rows[] = {
		{ "a ratio", PROFILE(RATIOS, SIZES), "aspect_ratio", "\"16:9\"", NULL },
		{ "another ratio", PROFILE(RATIOS, SIZES), "aspect_ratio", "\"2:1\"", "1:1, 16:9" },
		{ "a ratio with a word", PROFILE("", CHOICE), "aspect_ratio", "\"1:1\"", NULL },
		{ "one without", PROFILE("", CHOICE), "aspect_ratio", "\"2:1\"", "1:1, 16:9" },
		{ "inside a list", PROFILE("", "\"a\": [[ {" CHOICE "} ]]"), "aspect_ratio", "\"2:1\"", "1:1, 16:9" },
		{ "what nothing chooses by", PROFILE("", CHOICE), "format", "\"png\"", NULL },
		{ "a number", PROFILE("", "\"n\": { \"$count\": { \"1\": 1 } }"), "count", "2", "1" },
		{ "a list", PROFILE("", "\"n\": { \"$inputs\": { \"1\": 1 } }"), "inputs", "[]", "1" },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct buf mistakes = BUF_INIT(4096), words = BUF_INIT(200);
		json_t *value = json_loads(rows[i].value, JSON_DECODE_ANY, NULL);
		struct models *models;
		struct model m;

		if (load(rows[i].profile, &models, &mistakes))
			fail_msg("%s: %s", rows[i].name, buf_str(&mistakes));
		assert_true(models_find(models, "m", &m));
		ASSERT_ROW(rows[i].name, model_takes(&m, rows[i].member, value, &words) == !rows[i].words);
		ASSERT_ROW(rows[i].name, strcmp(buf_str(&words), rows[i].words ? rows[i].words : "") == 0);
		json_decref(value);
		models_free(&models);
		buf_clear(&words);
		buf_clear(&mistakes);
	}
}

static void
prices(void **state)
{
	static const char text[] = "{ \"m\": { \"order\": [\"replicate\"], \"on\": { \"replicate\": { \"model\": \"a/b\", \"input\": { \"p\": \"$prompt\" }, "
		"\"price\": { \"per\": \"image\", \"amount\": 0.003, \"currency\": \"USD\" } } } } }";
	struct buf mistakes = BUF_INIT(4096);
	json_t *request = json_object(), *on = NULL;
	struct models *models;
	struct model m;

	(void)state;
	if (load(text, &models, &mistakes))
		fail_msg("%s", buf_str(&mistakes));
	assert_true(models_find(models, "m", &m));
	assert_string_equal(json_string_value(json_object_get(model_price(&m, "replicate"), "per")), "image");
	assert_null(model_price(&m, "another"));
	/* The provider does not see it. */
	assert_int_equal(models_expand(&m, "replicate", request, &on, NULL), ERR_OK);
	assert_int_equal(json_object_size(on), 2);
	assert_true(models_use(models, "replicate") && !models_use(models, "another"));
	json_decref(on);
	json_decref(request);
	models_free(&models);
	buf_clear(&mistakes);
}

/* ---- the profiles that come with the program ---- */

static void
our_own(void **state)
{
	/* members: what was asked for, and the defaults. */
	static const struct { const char *name, *model; size_t members; } rows[] = {
		{ "flux-schnell", "black-forest-labs/flux-schnell", 4 },
		{ "flux-1.1-pro", "black-forest-labs/flux-1.1-pro", 3 },
		{ "sdxl", "stability-ai/sdxl:7762fd07cf82c948538e41f63f77d685e02b063e37e496e96eefd46c929f9bdc", 2 },
		{ "flux-kontext-pro", "black-forest-labs/flux-kontext-pro", 2 },
		{ "wan-2.2-t2v-fast", "wan-video/wan-2.2-t2v-fast", 2 },
	};
	const char *srcdir = getenv("srcdir");
	struct buf mistakes = BUF_INIT(4096), file = BUF_INIT(1000);
	json_t *request = json_pack("{ss, si}", "prompt", "a cup", "seed", 7);
	struct models *models;

	(void)state;
	buf_printf(&file, "%s/models.json", srcdir ? srcdir : ".");
	if (models_load(buf_str(&file), "replicate", &models, &mistakes, NULL))
		fail_msg("%s", buf_str(&mistakes));
	for (size_t i = 0; i < N(rows); i++) {
		struct model m;
		json_t *on, *input;

		ASSERT_ROW(rows[i].name, models_find(models, rows[i].name, &m));
		ASSERT_ROW(rows[i].name, m.timeout_ms >= 60000);
		ASSERT_ROW(rows[i].name, models_expand(&m, "replicate", request, &on, NULL) == ERR_OK);
		ASSERT_ROW(rows[i].name, strcmp(json_string_value(json_object_get(on, "model")), rows[i].model) == 0);
		input = json_object_get(on, "input");
		ASSERT_ROW(rows[i].name, json_object_size(input) == rows[i].members);
		ASSERT_ROW(rows[i].name, strcmp(json_string_value(json_object_get(input, "prompt")), "a cup") == 0);
		ASSERT_ROW(rows[i].name, json_integer_value(json_object_get(input, "seed")) == 7);
		json_decref(on);
	}
	json_decref(request);
	models_free(&models);
	buf_clear(&mistakes);
	buf_clear(&file);
}

/* Whatever the provider: what it has nothing for is not offered, and that is no mistake. */
static void
our_own_for_each_provider(void **state)
{
	const char *srcdir = getenv("srcdir");
	struct buf mistakes = BUF_INIT(4096), file = BUF_INIT(1000), names = BUF_INIT(1000);
	struct models *models;

	(void)state;
	buf_printf(&file, "%s/models.json", srcdir ? srcdir : ".");
	for (size_t i = 0; i < provider_count(); i++) {
		if (models_load(buf_str(&file), provider_at(i)->name, &models, &mistakes, NULL))
			fail_msg("%s", buf_str(&mistakes));
		models_list(models, &names);
		ASSERT_ROW(provider_at(i)->name, names.len > 0);
		models_free(&models);
		buf_clear(&names);
	}
	buf_clear(&mistakes);
	buf_clear(&file);
}

static void
what_is_offered(void **state)
{
	static const char text[] = "{ \"here\": { " ON " },\n"
		"  \"there\": { \"on\": { \"fal\": { \"model\": \"a/b\", \"input\": { \"p\": \"$prompt\" } } } },\n"
		"  \"in order\": { \"order\": [\"fal\"], \"on\": { \"fal\": { \"model\": \"a/b\", \"input\": { \"p\": \"$prompt\" } } } } }\n";
	struct buf mistakes = BUF_INIT(4096), names = BUF_INIT(100);
	struct models *models;
	struct model m;
	json_t *on, *request = json_object();

	(void)state;
	if (load(text, &models, &mistakes))
		fail_msg("%s", buf_str(&mistakes));
	assert_true(models_offer(models, "here", &m) && models_offer(models, "in order", &m));
	assert_string_equal(m.name, "in order");
	assert_false(models_offer(models, "there", &m) || models_offer(models, "nowhere", &m));
	models_list(models, &names);
	assert_string_equal(buf_str(&names), "here, in order");
	/* Jobs that went there before go on. */
	assert_true(models_find(models, "there", &m));
	assert_null(model_provider(&m, 0));
	assert_int_equal(models_expand(&m, "fal", request, &on, NULL), ERR_OK);
	json_decref(on);
	json_decref(request);
	models_free(&models);
	buf_clear(&mistakes);
	buf_clear(&names);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(profiles),
		cmocka_unit_test(every_mistake_has_its_words),
		cmocka_unit_test(all_mistakes_are_told),
		cmocka_unit_test(files_that_are_not_there),
		cmocka_unit_test(templates),
		cmocka_unit_test(params_that_a_provider_takes),
		cmocka_unit_test(nothing_for_a_provider),
		cmocka_unit_test(what_a_request_leaves_out),
		cmocka_unit_test(what_a_model_takes),
		cmocka_unit_test(prices),
		cmocka_unit_test(our_own),
		cmocka_unit_test(our_own_for_each_provider),
		cmocka_unit_test(what_is_offered),
	};

	return cmocka_run_group_tests_name("models", tests, make_dir, remove_dir);
}
