#include "config.h"

#include "core/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/unit.h"

#define N(table) (sizeof (table) / sizeof *(table))

/* ---- the models ---- */

static struct models *models;

static int
load_models(void **state)
{
	static const char text[] =
		"{ \"plain\": { \"on\": { \"replicate\": { \"model\": \"a/b\", \"input\": { \"p\": \"$prompt\" } } } },\n"
		"  \"edit\": { \"limits\": { \"count\": 2, \"inputs\": 3 }, \"on\": { \"replicate\": { \"model\": \"a/b\", \"input\": { \"p\": \"$prompt\" } } } } }\n";
	char path[] = "/tmp/gengate-request-XXXXXX";
	struct buf mistakes = BUF_INIT(4096);
	int fd = mkstemp(path);
	enum err_code rc;

	(void)state;
	json_use_mem();
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	rc = models_load(path, "replicate", &models, &mistakes, NULL);
	unlink(path);
	if (rc)
		fail_msg("%s", buf_str(&mistakes));
	buf_clear(&mistakes);
	return 0;
}

static int
free_models(void **state)
{
	(void)state;
	models_free(&models);
	return mem_outstanding() == 0 ? 0 : -1;
}

static enum err_code
parse(const char *body, struct request *rq, json_t **errors, struct err *err)
{
	const struct request_rules rules = { .models = models, .default_model = "plain" };

	*errors = NULL;
	return request_parse((char *)(uintptr_t)body, strlen(body), &rules, rq, errors, err);
}

static bool
equal(const json_t *value, const char *text)
{
	json_t *want = json_loads(text, JSON_DECODE_ANY, NULL);
	bool same;

	assert_non_null(want);
	same = json_equal(value, want);
	json_decref(want);
	return same;
}

/* ---- kind ---- */

static void
takes_what_is_right(void **state)
{
	static const struct { const char *name, *body, *model, *kept, *metadata; } rows[] = {
		{ "prompt alone", "{\"prompt\":\"a cup\"}", "plain", "{\"prompt\":\"a cup\"}", NULL },
		{ "blanks around it", " \n{ \"prompt\" : \"a\" }\t\r\n", "plain", "{\"prompt\":\"a\"}", NULL },
		{ "model", "{\"prompt\":\"a\",\"model\":\"edit\"}", "edit", "{\"prompt\":\"a\",\"model\":\"edit\"}", NULL },
		{ "negative prompt", "{\"prompt\":\"a\",\"negative_prompt\":\"\"}", "plain",
		  "{\"prompt\":\"a\",\"negative_prompt\":\"\"}", NULL },
		{ "aspect ratios", "{\"prompt\":\"a\",\"aspect_ratio\":\"16:9\"}", "plain",
		  "{\"prompt\":\"a\",\"aspect_ratio\":\"16:9\"}", NULL },
		{ "long aspect ratio", "{\"prompt\":\"a\",\"aspect_ratio\":\"999:100\"}", "plain",
		  "{\"prompt\":\"a\",\"aspect_ratio\":\"999:100\"}", NULL },
		{ "smallest size", "{\"prompt\":\"a\",\"width\":16,\"height\":16}", "plain",
		  "{\"prompt\":\"a\",\"width\":16,\"height\":16}", NULL },
		{ "largest size", "{\"prompt\":\"a\",\"width\":8192,\"height\":8192}", "plain",
		  "{\"prompt\":\"a\",\"width\":8192,\"height\":8192}", NULL },
		{ "count", "{\"prompt\":\"a\",\"model\":\"edit\",\"count\":2}", "edit",
		  "{\"prompt\":\"a\",\"model\":\"edit\",\"count\":2}", NULL },
		{ "first seed", "{\"prompt\":\"a\",\"seed\":0}", "plain", "{\"prompt\":\"a\",\"seed\":0}", NULL },
		{ "last seed", "{\"prompt\":\"a\",\"seed\":4294967295}", "plain",
		  "{\"prompt\":\"a\",\"seed\":4294967295}", NULL },
		{ "format", "{\"prompt\":\"a\",\"format\":\"webp\"}", "plain",
		  "{\"prompt\":\"a\",\"format\":\"webp\"}", NULL },
		{ "inputs", "{\"prompt\":\"a\",\"model\":\"edit\",\"inputs\":[\"https://a.example/b?c=d#e\","
			"\"HTTPS://A/\",\"data:image/png;base64,AA==\"]}", "edit",
		  "{\"prompt\":\"a\",\"model\":\"edit\",\"inputs\":[\"https://a.example/b?c=d#e\","
			"\"HTTPS://A/\",\"data:image/png;base64,AA==\"]}", NULL },
		{ "no inputs", "{\"prompt\":\"a\",\"inputs\":[]}", "plain", "{\"prompt\":\"a\",\"inputs\":[]}", NULL },
		{ "params", "{\"prompt\":\"a\",\"params\":{\"steps\":4,\"x\":[null,{\"y\":1.5}]}}", "plain",
		  "{\"prompt\":\"a\",\"params\":{\"steps\":4,\"x\":[null,{\"y\":1.5}]}}", NULL },
		{ "metadata is kept apart", "{\"prompt\":\"a\",\"metadata\":{\"order\":\"7\"}}", "plain",
		  "{\"prompt\":\"a\"}", "{\"order\":\"7\"}" },
		{ "empty metadata", "{\"metadata\":{},\"prompt\":\"a\"}", "plain", "{\"prompt\":\"a\"}", "{}" },
		{ "words of all kinds", "{\"prompt\":\" \\n\\ud83d\\ude00 \\\"q\\\" $input \"}", "plain",
		  "{\"prompt\":\" \\n\\ud83d\\ude00 \\\"q\\\" $input \"}", NULL },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct request rq;
		json_t *errors;
		struct err err = ERR_INIT;

		if (parse(rows[i].body, &rq, &errors, &err))
			fail_msg("%s: %s", rows[i].name, err.text);
		ASSERT_ROW(rows[i].name, !errors && err.code == ERR_OK);
		ASSERT_ROW(rows[i].name, strcmp(rq.model.name, rows[i].model) == 0);
		ASSERT_ROW(rows[i].name, equal(rq.body, rows[i].kept));
		ASSERT_ROW(rows[i].name, !rq.metadata == !rows[i].metadata);
		if (rq.metadata)
			ASSERT_ROW(rows[i].name, equal(rq.metadata, rows[i].metadata));
		request_clear(&rq);
		assert_null(rq.body);
	}
}

static void
prompts_have_a_limit(void **state)
{
	static const struct { const char *name; size_t len; enum err_code want; } rows[] = {
		{ "all of it", PROMPT_MAX_BYTES, ERR_OK },
		{ "one byte more", PROMPT_MAX_BYTES + 1, ERR_INVALID },
		{ "100 kB", 100000, ERR_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct buf body = BUF_INIT(200000);
		struct request rq;
		json_t *errors;
		enum err_code rc;

		buf_puts(&body, "{\"prompt\":\"");
		for (size_t n = 0; n < rows[i].len; n++)
			buf_putc(&body, 'p');
		buf_puts(&body, "\"}");
		rc = parse(buf_str(&body), &rq, &errors, NULL);
		ASSERT_ROW(rows[i].name, rc == rows[i].want);
		if (rc)
			ASSERT_ROW(rows[i].name, json_array_size(errors) == 1);
		else
			request_clear(&rq);
		json_decref(errors);
		buf_clear(&body);
	}
}

/* ---- hostile ---- */

static void
what_is_no_object_is_not_looked_at(void **state)
{
	static const struct { const char *name, *body, *say; size_t len; } rows[] = {
		{ "nothing", "", "not JSON", 0 },
		{ "blanks", "  \n", "not JSON", 3 },
		{ "words", "prompt=a+cup", "line 1, column 6", 12 },
		{ "array", "[{\"prompt\":\"a\"}]", "has to be a JSON object", 16 },
		{ "string", "\"prompt\"", "not JSON", 8 },
		{ "null", "null", "not JSON", 4 },
		{ "cut off", "{\"prompt\":\"a\"", "not JSON", 13 },
		{ "comma at the end", "{\"prompt\":\"a\",}", "not JSON", 15 },
		{ "single quotes", "{'prompt':'a'}", "not JSON", 14 },
		{ "something behind it", "{\"prompt\":\"a\"} x", "not JSON", 16 },
		{ "two of them", "{\"prompt\":\"a\"}{}", "not JSON", 16 },
		{ "prompt twice", "{\"prompt\":\"a\",\"prompt\":\"b\"}", "duplicate", 27 },
		{ "twice, further down", "{\"prompt\":\"a\",\"params\":{\"x\":1,\"x\":2}}", "duplicate", 38 },
		{ "twice, once escaped", "{\"prompt\":\"a\",\"\\u0070rompt\":\"b\"}", "duplicate", 32 },
		{ "NUL byte", "{\"prompt\":\"a\0b\"}", "not JSON", 16 },
		{ "NUL behind it", "{\"prompt\":\"a\"}\0", "not JSON", 15 },
		{ "NUL in a name", "{\"prompt\":\"a\",\"pro\\u0000mpt\":1}", "NUL", 31 },
		{ "not UTF-8", "{\"prompt\":\"\xff\"}", "not JSON", 14 },
		{ "overlong UTF-8", "{\"prompt\":\"\xc0\xaf\"}", "not JSON", 15 },
		{ "half a surrogate pair", "{\"prompt\":\"\\ud800\"}", "not JSON", 19 },
		{ "seed beyond int64", "{\"prompt\":\"a\",\"seed\":18446744073709551616}", "too big", 42 },
		{ "number beyond double", "{\"prompt\":\"a\",\"params\":{\"x\":1e999}}", "not JSON", 36 },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		const struct request_rules rules = { .models = models, .default_model = "plain" };
		struct request rq;
		json_t *errors = NULL;
		struct err err = ERR_INIT;

		ASSERT_ROW(rows[i].name, request_parse((char *)(uintptr_t)rows[i].body, rows[i].len, &rules,
			&rq, &errors, &err) == ERR_BAD_REQUEST);
		ASSERT_ROW(rows[i].name, !errors);
		if (!strstr(err.text, rows[i].say))
			fail_msg("%s: %s", rows[i].name, err.text);
	}
}

static void
deep_bodies_end(void **state)
{
	struct buf body = BUF_INIT(1000000);
	struct request rq;
	json_t *errors;

	(void)state;
	buf_puts(&body, "{\"prompt\":\"a\",\"params\":");
	for (int i = 0; i < 200000; i++)
		buf_puts(&body, "[");
	assert_int_equal(parse(buf_str(&body), &rq, &errors, NULL), ERR_BAD_REQUEST);
	buf_clear(&body);
}

#define DEEP(c) c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c \
	c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c

static void
every_mistake_has_its_pointer(void **state)
{
	static const struct {
		const char *name, *body;
		struct { const char *pointer, *say; } want[8];
	} rows[] = {
		{ "no prompt", "{}", { { "/prompt", "is missing" } } },
		{ "prompt null", "{\"prompt\":null}", { { "/prompt", "has to be a string" } } },
		{ "prompt a number", "{\"prompt\":5}", { { "/prompt", "has to be a string" } } },
		{ "prompt empty", "{\"prompt\":\"\"}", { { "/prompt", "must not be empty" } } },
		{ "prompt blank", "{\"prompt\":\" \\t\\r\\n\"}", { { "/prompt", "must not be empty" } } },
		{ "NUL in the prompt", "{\"prompt\":\"a\\u0000b\"}", { { "/prompt", "NUL" } } },
		{ "NUL first", "{\"prompt\":\"\\u0000b\"}", { { "/prompt", "NUL" } } },
		{ "negative prompt no text", "{\"prompt\":\"a\",\"negative_prompt\":[]}",
		  { { "/negative_prompt", "has to be a string" } } },
		{ "NUL in the negative prompt", "{\"prompt\":\"a\",\"negative_prompt\":\"\\u0000\"}",
		  { { "/negative_prompt", "NUL" } } },

		{ "unknown model", "{\"prompt\":\"a\",\"model\":\"flux\"}",
		  { { "/model", "is not the name of a model here; there are: plain, edit" } } },
		{ "model in capitals", "{\"prompt\":\"a\",\"model\":\"Plain\"}", { { "/model", "plain, edit" } } },
		{ "empty model", "{\"prompt\":\"a\",\"model\":\"\"}", { { "/model", "plain, edit" } } },
		{ "model null", "{\"prompt\":\"a\",\"model\":null}", { { "/model", "has to be a string" } } },
		{ "NUL in the model", "{\"prompt\":\"a\",\"model\":\"plain\\u0000\"}", { { "/model", "NUL" } } },

		{ "ratio no text", "{\"prompt\":\"a\",\"aspect_ratio\":1.5}", { { "/aspect_ratio", "16:9" } } },
		{ "ratio a word", "{\"prompt\":\"a\",\"aspect_ratio\":\"wide\"}", { { "/aspect_ratio", "16:9" } } },
		{ "ratio empty", "{\"prompt\":\"a\",\"aspect_ratio\":\"\"}", { { "/aspect_ratio", "16:9" } } },
		{ "ratio half", "{\"prompt\":\"a\",\"aspect_ratio\":\"16:\"}", { { "/aspect_ratio", "16:9" } } },
		{ "ratio thrice", "{\"prompt\":\"a\",\"aspect_ratio\":\"16:9:1\"}", { { "/aspect_ratio", "16:9" } } },
		{ "ratio of zero", "{\"prompt\":\"a\",\"aspect_ratio\":\"0:1\"}", { { "/aspect_ratio", "16:9" } } },
		{ "ratio too long", "{\"prompt\":\"a\",\"aspect_ratio\":\"1000:1\"}", { { "/aspect_ratio", "16:9" } } },
		{ "NUL in the ratio", "{\"prompt\":\"a\",\"aspect_ratio\":\"1:1\\u0000\"}", { { "/aspect_ratio", "16:9" } } },

		{ "width alone", "{\"prompt\":\"a\",\"width\":512}", { { "/width", "go together" } } },
		{ "height alone", "{\"prompt\":\"a\",\"height\":512}", { { "/height", "go together" } } },
		{ "too small", "{\"prompt\":\"a\",\"width\":15,\"height\":16}", { { "/width", "from 16 to 8192" } } },
		{ "too large", "{\"prompt\":\"a\",\"width\":16,\"height\":8193}", { { "/height", "from 16 to 8192" } } },
		{ "negative", "{\"prompt\":\"a\",\"width\":-512,\"height\":512}", { { "/width", "from 16 to 8192" } } },
		{ "fraction", "{\"prompt\":\"a\",\"width\":512.0,\"height\":512}", { { "/width", "whole number" } } },
		{ "text", "{\"prompt\":\"a\",\"width\":\"512\",\"height\":512}", { { "/width", "whole number" } } },
		{ "size and ratio", "{\"prompt\":\"a\",\"width\":512,\"height\":512,\"aspect_ratio\":\"1:1\"}",
		  { { "/width", "excludes aspect_ratio" }, { "/height", "excludes aspect_ratio" } } },
		{ "width and ratio", "{\"prompt\":\"a\",\"aspect_ratio\":\"1:1\",\"width\":512}",
		  { { "/width", "excludes aspect_ratio" }, { "/width", "go together" } } },

		{ "count zero", "{\"prompt\":\"a\",\"count\":0}", { { "/count", "from 1 to 4" } } },
		{ "count over the usual", "{\"prompt\":\"a\",\"count\":5}", { { "/count", "from 1 to 4" } } },
		{ "count over the model's", "{\"prompt\":\"a\",\"model\":\"edit\",\"count\":3}", { { "/count", "from 1 to 2" } } },
		{ "count true", "{\"prompt\":\"a\",\"count\":true}", { { "/count", "whole number" } } },
		{ "count null", "{\"prompt\":\"a\",\"count\":null}", { { "/count", "whole number" } } },
		{ "seed negative", "{\"prompt\":\"a\",\"seed\":-1}", { { "/seed", "from 0 to 4294967295" } } },
		{ "seed too large", "{\"prompt\":\"a\",\"seed\":4294967296}", { { "/seed", "from 0 to 4294967295" } } },
		{ "seed a text", "{\"prompt\":\"a\",\"seed\":\"7\"}", { { "/seed", "whole number" } } },
		{ "format unknown", "{\"prompt\":\"a\",\"format\":\"bmp\"}", { { "/format", "one of png" } } },
		{ "format no text", "{\"prompt\":\"a\",\"format\":1}", { { "/format", "one of png" } } },
		{ "NUL in the format", "{\"prompt\":\"a\",\"format\":\"png\\u0000\"}", { { "/format", "one of png" } } },

		{ "inputs no array", "{\"prompt\":\"a\",\"inputs\":\"https://a/\"}", { { "/inputs", "array of strings" } } },
		{ "inputs over none", "{\"prompt\":\"a\",\"inputs\":[\"https://a/\"]}",
		  { { "/inputs", "\"plain\" takes at most 0" } } },
		{ "inputs over the limit",
		  "{\"prompt\":\"a\",\"model\":\"edit\",\"inputs\":[\"https://a/\",\"https://a/\",\"https://a/\",\"https://a/\"]}",
		  { { "/inputs", "has 4 items; the model \"edit\" takes at most 3" } } },
		{ "http input", "{\"prompt\":\"a\",\"model\":\"edit\",\"inputs\":[\"https://a/\",\"http://a/\"]}",
		  { { "/inputs/1", "https URL or a data: URI" } } },
		{ "other inputs",
		  "{\"prompt\":\"a\",\"model\":\"edit\",\"inputs\":[\"file:///etc/passwd\",\"\",7]}",
		  { { "/inputs/0", "https URL" }, { "/inputs/1", "https URL" }, { "/inputs/2", "has to be a string" } } },
		{ "no URL behind https",
		  "{\"prompt\":\"a\",\"model\":\"edit\",\"inputs\":[\"https://\",\"https://a b/\",\"https://a:99999/\"]}",
		  { { "/inputs/0", "https URL" }, { "/inputs/1", "https URL" }, { "/inputs/2", "https URL" } } },
		{ "NUL in an input", "{\"prompt\":\"a\",\"model\":\"edit\",\"inputs\":[\"https://a/\\u0000b\"]}",
		  { { "/inputs/0", "NUL" } } },

		{ "params no object", "{\"prompt\":\"a\",\"params\":[]}", { { "/params", "has to be an object" } } },
		{ "metadata no object", "{\"prompt\":\"a\",\"metadata\":\"x\"}", { { "/metadata", "has to be an object" } } },
		{ "metadata null", "{\"prompt\":\"a\",\"metadata\":null}", { { "/metadata", "has to be an object" } } },
		{ "NUL deep in metadata", "{\"prompt\":\"a\",\"metadata\":{\"x\":[{\"y\":\"\\u0000\"}]}}",
		  { { "/metadata", "NUL" } } },
		{ "metadata too deep",
		  "{\"prompt\":\"a\",\"metadata\":{\"x\":" DEEP("[") DEEP("]") "}}", { { "/metadata", "deeper than 64" } } },

		{ "unknown member", "{\"prompt\":\"a\",\"promt\":\"b\"}", { { "/promt", "is not a member" } } },
		{ "unknown with ~ and /", "{\"prompt\":\"a\",\"a~b/c~1\":1}", { { "/a~0b~1c~01", "is not a member" } } },
		{ "unknown, empty", "{\"prompt\":\"a\",\"\":1}", { { "/", "is not a member" } } },
		{ "unknown, capitals", "{\"prompt\":\"a\",\"Seed\":1}", { { "/Seed", "is not a member" } } },
		{ "not the client's to say", "{\"prompt\":\"a\",\"webhook\":\"https://evil/\",\"provider\":\"x\"}",
		  { { "/webhook", "is not a member" }, { "/provider", "is not a member" } } },

		{ "many at once",
		  "{\"model\":\"no\",\"prompt\":\"\",\"width\":1,\"seed\":-1,\"format\":\"x\",\"what\":1}",
		  { { "/model", "is not the name" }, { "/prompt", "empty" }, { "/width", "from 16" },
		    { "/width", "go together" }, { "/seed", "from 0" }, { "/format", "one of" },
		    { "/what", "is not a member" } } },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct request rq;
		json_t *errors, *e;
		struct err err = ERR_INIT;
		size_t n = 0, at;

		if (parse(rows[i].body, &rq, &errors, &err) != ERR_INVALID)
			fail_msg("%s: %s", rows[i].name, err.text);
		while (n < N(rows[i].want) && rows[i].want[n].pointer)
			n++;
		if (json_array_size(errors) != n)
			fail_msg("%s: %zu mistakes, the first: %s %s", rows[i].name, json_array_size(errors),
				json_string_value(json_object_get(json_array_get(errors, 0), "pointer")),
				json_string_value(json_object_get(json_array_get(errors, 0), "detail")));
		json_array_foreach(errors, at, e) {
			const char *pointer = json_string_value(json_object_get(e, "pointer"));
			const char *detail = json_string_value(json_object_get(e, "detail"));

			ASSERT_ROW(rows[i].name, json_object_size(e) == 2 && pointer && detail);
			if (strcmp(pointer, rows[i].want[at].pointer) != 0 || !strstr(detail, rows[i].want[at].say))
				fail_msg("%s: %s %s", rows[i].name, pointer, detail);
		}
		json_decref(errors);
	}
}

/* A string of that many bytes as the value in `before` and `after`. */
static enum err_code
parse_filled(const char *before, size_t n, const char *after, struct request *rq, json_t **errors)
{
	struct buf body = BUF_INIT(1000000);
	enum err_code rc;

	buf_puts(&body, before);
	for (size_t i = 0; i < n; i++)
		buf_putc(&body, 'A');
	buf_puts(&body, after);
	assert_int_equal(body.err, ERR_OK);
	rc = parse(buf_str(&body), rq, errors, NULL);
	buf_clear(&body);
	return rc;
}

static void
sizes_have_limits(void **state)
{
	static const struct {
		const char *name, *before;
		size_t n;
		const char *after, *pointer;	/* NULL: fine */
	} rows[] = {
		/* {"x":""} is 8 bytes. */
		{ "metadata, all of it", "{\"prompt\":\"a\",\"metadata\":{\"x\":\"", METADATA_MAX_BYTES - 8, "\"}}", NULL },
		{ "metadata, one more", "{\"prompt\":\"a\",\"metadata\":{\"x\":\"", METADATA_MAX_BYTES - 7, "\"}}", "/metadata" },
		{ "params, one more", "{\"prompt\":\"a\",\"params\":{\"x\":\"", METADATA_MAX_BYTES - 7, "\"}}", "/params" },
		{ "metadata, a long name", "{\"prompt\":\"a\",\"metadata\":{\"", METADATA_MAX_BYTES, "\":1}}", "/metadata" },
		{ "data: URI, all of it", "{\"prompt\":\"a\",\"model\":\"edit\",\"inputs\":[\"data:", INPUT_MAX_BYTES - 5,
		  "\"]}", NULL },
		{ "data: URI, one more", "{\"prompt\":\"a\",\"model\":\"edit\",\"inputs\":[\"data:", INPUT_MAX_BYTES - 4,
		  "\"]}", "/inputs/0" },
		{ "URL, all of it", "{\"prompt\":\"a\",\"model\":\"edit\",\"inputs\":[\"https://a/", 2048 - 10, "\"]}", NULL },
		{ "URL, one more", "{\"prompt\":\"a\",\"model\":\"edit\",\"inputs\":[\"https://a/", 2048 - 9, "\"]}",
		  "/inputs/0" },
		/* There is no room for its pointer: the whole document, then. */
		{ "an endless name", "{\"prompt\":\"a\",\"", 5000, "\":1}", "" },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct request rq;
		json_t *errors;
		enum err_code rc = parse_filled(rows[i].before, rows[i].n, rows[i].after, &rq, &errors);

		ASSERT_ROW(rows[i].name, rc == (rows[i].pointer ? ERR_INVALID : ERR_OK));
		if (rc)
			ASSERT_ROW(rows[i].name, json_array_size(errors) == 1 && strcmp(rows[i].pointer,
				json_string_value(json_object_get(json_array_get(errors, 0), "pointer"))) == 0);
		else
			request_clear(&rq);
		json_decref(errors);
	}
}

/* Where nothing can be allocated, what is not refused at once has no memory. */
static void
too_much_is_not_even_parsed(void **state)
{
	static const struct {
		const char *name, *before, *piece;
		size_t n;
		const char *after;
		enum err_code want;
	} rows[] = {
		{ "brackets", "{\"params\":[[]", ",[]", 400000, "]}", ERR_TOO_BIG },
		{ "data: URIs that are short", "{\"inputs\":[\"\"", ",\"data:\"", 200000, "]}", ERR_TOO_BIG },
		{ "brackets behind a data: URI", "{\"a\":\"data:\\\"\",\"params\":[[]", ",[]", 400000, "]}", ERR_TOO_BIG },
		{ "a string that does not end", "{\"prompt\":\"", "\\\\", 600000, "\\", ERR_TOO_BIG },
		{ "a data: URI", "{\"inputs\":[\"DATA:", "\\/", 600000, "\"]}", ERR_NOMEM },
		{ "one that does not end", "{\"inputs\":[\"data:", "\\/", 600000, "\\", ERR_NOMEM },
		{ "small enough", "{\"params\":[[]", ",[]", 300000, "]}", ERR_NOMEM },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct buf body = BUF_INIT(2000000);
		struct request rq;
		json_t *errors;
		enum err_code rc;

		buf_puts(&body, rows[i].before);
		for (size_t n = 0; n < rows[i].n; n++)
			buf_puts(&body, rows[i].piece);
		buf_puts(&body, rows[i].after);
		assert_int_equal(body.err, ERR_OK);
		json_begin();
		mem_fail_after(0);
		rc = parse(buf_str(&body), &rq, &errors, NULL);
		mem_fail_reset();
		ASSERT_ROW(rows[i].name, rc == rows[i].want);
		buf_clear(&body);
	}
}

static void
mistakes_have_a_limit(void **state)
{
	struct buf body = BUF_INIT(1000000);
	struct request rq;
	json_t *errors;

	(void)state;
	buf_puts(&body, "{\"prompt\":\"a\",\"inputs\":[0");
	for (int i = 0; i < 100000; i++)
		buf_puts(&body, ",0");
	buf_puts(&body, "]}");
	assert_int_equal(parse(buf_str(&body), &rq, &errors, NULL), ERR_INVALID);
	assert_int_equal(json_array_size(errors), 50);
	json_decref(errors);
	buf_clear(&body);
}

static void
without_a_default_model(void **state)
{
	static const struct { const char *name, *deflt, *body, *say; } rows[] = {
		{ "none", NULL, "{\"prompt\":\"a\"}", "is missing, and no default_model" },
		{ "one that is not there", "gone", "{\"prompt\":\"a\"}", "is missing" },
		{ "and a wrong one", NULL, "{\"prompt\":\"a\",\"model\":\"x\"}", "is not the name" },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		const struct request_rules rules = { .models = models, .default_model = rows[i].deflt };
		struct request rq;
		json_t *errors = NULL, *e;

		ASSERT_ROW(rows[i].name, request_parse((char *)(uintptr_t)rows[i].body, strlen(rows[i].body), &rules,
			&rq, &errors, NULL) == ERR_INVALID);
		ASSERT_ROW(rows[i].name, json_array_size(errors) == 1);
		e = json_array_get(errors, 0);
		ASSERT_ROW(rows[i].name, strcmp(json_string_value(json_object_get(e, "pointer")), "/model") == 0);
		ASSERT_ROW(rows[i].name, strstr(json_string_value(json_object_get(e, "detail")), rows[i].say));
		json_decref(errors);
	}
}

/* ---- fingerprints ---- */

static void
take_fingerprint(const char *body, uint8_t out[SHA256_BYTES])
{
	struct request rq;
	json_t *errors;
	struct err err = ERR_INIT;

	if (parse(body, &rq, &errors, &err))
		fail_msg("%s: %s", body, err.text);
	memcpy(out, rq.fingerprint, SHA256_BYTES);
	request_clear(&rq);
}

static void
fingerprints(void **state)
{
	static const struct { const char *name, *a, *b; bool same; } rows[] = {
		{ "the same", "{\"prompt\":\"a\"}", "{\"prompt\":\"a\"}", true },
		{ "other order", "{\"prompt\":\"a\",\"seed\":1,\"params\":{\"x\":1,\"y\":[1,2]}}",
		  "{\"params\":{\"y\":[1,2],\"x\":1},\"seed\":1,\"prompt\":\"a\"}", true },
		{ "blanks", "{\"prompt\":\"a\"}", " { \"prompt\"\t:\n\"a\" } ", true },
		{ "escapes", "{\"prompt\":\"\xc3\xa9/\"}", "{\"\\u0070rompt\":\"\\u00e9\\/\"}", true },
		{ "forms of a number", "{\"prompt\":\"a\",\"params\":{\"x\":1.50}}",
		  "{\"prompt\":\"a\",\"params\":{\"x\":15e-1}}", true },
		{ "another prompt", "{\"prompt\":\"a\"}", "{\"prompt\":\"b\"}", false },
		{ "a blank more", "{\"prompt\":\"a\"}", "{\"prompt\":\"a \"}", false },
		{ "another seed", "{\"prompt\":\"a\",\"seed\":1}", "{\"prompt\":\"a\",\"seed\":2}", false },
		{ "the default, named", "{\"prompt\":\"a\"}", "{\"prompt\":\"a\",\"model\":\"plain\"}", false },
		{ "metadata counts", "{\"prompt\":\"a\"}", "{\"prompt\":\"a\",\"metadata\":{}}", false },
		{ "other metadata", "{\"prompt\":\"a\",\"metadata\":{\"x\":1}}",
		  "{\"prompt\":\"a\",\"metadata\":{\"x\":2}}", false },
		{ "order in an array", "{\"prompt\":\"a\",\"params\":{\"x\":[1,2]}}",
		  "{\"prompt\":\"a\",\"params\":{\"x\":[2,1]}}", false },
		{ "number and text", "{\"prompt\":\"a\",\"params\":{\"x\":1}}",
		  "{\"prompt\":\"a\",\"params\":{\"x\":\"1\"}}", false },
		{ "whole and real", "{\"prompt\":\"a\",\"params\":{\"x\":1}}",
		  "{\"prompt\":\"a\",\"params\":{\"x\":1.0}}", false },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		uint8_t a[SHA256_BYTES], b[SHA256_BYTES];

		take_fingerprint(rows[i].a, a);
		take_fingerprint(rows[i].b, b);
		ASSERT_ROW(rows[i].name, (memcmp(a, b, sizeof a) == 0) == rows[i].same);
	}
}

/* It is in the database: it has to mean the same in the next version. */
static void
a_fingerprint_stays(void **state)
{
	static const char canonical[] = "{\"params\":{\"a\":1.5,\"b\":null},\"prompt\":\"a cup\",\"seed\":7}";
	uint8_t got[SHA256_BYTES], want[SHA256_BYTES];

	(void)state;
	take_fingerprint("{\"seed\":7,\"prompt\":\"a cup\",\"params\":{\"b\":null,\"a\":1.5}}", got);
	assert_int_equal(sha256(canonical, strlen(canonical), want, NULL), ERR_OK);
	assert_memory_equal(got, want, sizeof want);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_is_right),
		cmocka_unit_test(prompts_have_a_limit),
		cmocka_unit_test(what_is_no_object_is_not_looked_at),
		cmocka_unit_test(deep_bodies_end),
		cmocka_unit_test(every_mistake_has_its_pointer),
		cmocka_unit_test(sizes_have_limits),
		cmocka_unit_test(too_much_is_not_even_parsed),
		cmocka_unit_test(mistakes_have_a_limit),
		cmocka_unit_test(without_a_default_model),
		cmocka_unit_test(fingerprints),
		cmocka_unit_test(a_fingerprint_stays),
	};

	return cmocka_run_group_tests_name("request", tests, load_models, free_models);
}
