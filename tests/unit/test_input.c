#include "config.h"

#include "core/input.h"

#include "tests/unit/unit.h"

#define N(table) (sizeof (table) / sizeof *(table))
#define OWNER "191ed4fb-0679-51cb-b6c5-afea1029a65d"
#define OTHER "d6df6d01-1906-576f-9968-30a5e5ae9a92"

static void
paths_and_addresses(void **state)
{
	static const struct { const char *input; bool is_path; } rows[] = {
		{ "https://x.example/a", false }, { "data:image/png;base64,", false }, { "ftp:x", false },
		{ "a+b.c-d:x", false }, { "javascript:x", false },
		{ OWNER "/x.png", true }, { OWNER "/a:b.png", true }, { "x.png", true }, { "", true }, { "/x:y", true },
		{ ":x", true }, { "4a:x", true }, { "a b:x", true },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++)
		ASSERT_ROW(rows[i].input, input_is_path(rows[i].input) == rows[i].is_path);
}

static void
whose_paths(void **state)
{
	static const struct { const char *path; bool own; } rows[] = {
		{ OWNER "/x.png", true }, { OWNER "/a/b/c", true }, { OWNER "/a b&c?d#e%2e%2e.png", true },
		{ OWNER "/...", true }, { OWNER "/.x", true }, { OWNER "/\xc3\xa9.png", true },
		{ OTHER "/x.png", false }, { OWNER, false }, { OWNER "/", false }, { OWNER "x/y", false },
		{ "/" OWNER "/x.png", false }, { "./" OWNER "/x.png", false }, { OWNER "//x.png", false },
		{ OWNER "/x/", false }, { OWNER "/../" OTHER "/x.png", false }, { OWNER "/a/..", false },
		{ OWNER "/./x", false }, { OWNER "/a\\b", false }, { OWNER "/..\\..\\x", false }, { OWNER "/a\nb", false },
		{ OWNER "/a\x7f", false }, { "191ED4FB-0679-51cb-b6c5-afea1029a65d/x.png", false }, { "", false },
	};
	char text[INPUT_PATH_MAX + 2];
	struct uuid owner;

	(void)state;
	assert_int_equal(uuid_parse(OWNER, strlen(OWNER), &owner), ERR_OK);
	for (size_t i = 0; i < N(rows); i++)
		ASSERT_ROW(rows[i].path, input_is_own(rows[i].path, &owner) == rows[i].own);
	memset(text, 'x', sizeof text);
	memcpy(text, OWNER "/", strlen(OWNER "/"));
	text[INPUT_PATH_MAX + 1] = '\0';
	assert_false(input_is_own(text, &owner));
	text[INPUT_PATH_MAX] = '\0';
	assert_true(input_is_own(text, &owner));
}

static void
found_by_the_path(void **state)
{
	static const struct { const char *name, *told; bool same; } rows[] = {
		{ "signed once", "\"https://s.example/object/sign/inputs/" OWNER "/a%20b.png?token=1\"", true },
		{ "signed again", "\"https://s.example/object/sign/inputs/" OWNER "/a%20b.png?token=2\"", true },
		{ "by another storage", "\"https://g.example/signed/inputs/" OWNER "/a%20b.png?expires=1&sig=x\"", true },
		{ "another file", "\"https://s.example/object/sign/inputs/" OWNER "/a.png?token=1\"", false },
		{ "a longer name", "\"https://s.example/object/sign/inputs/" OWNER "/a%20b.png.png?token=1\"", false },
		{ "not signed", "\"https://s.example/object/sign/inputs/" OWNER "/a%20b.png\"", false },
		{ "a longer owner", "\"https://s.example/object/sign/inputs/x" OWNER "/a%20b.png?token=1\"", false },
		{ "no text", "7", false },
	};
	json_t *request = json_loads("{\"prompt\":\"p\",\"inputs\":[\"https://x.example/\",\"" OWNER "/a b.png\"]}", 0, NULL);
	json_t *marked = NULL;

	(void)state;
	assert_int_equal(input_mark_all(request, &marked), ERR_OK);
	assert_string_equal(json_string_value(json_array_get(json_object_get(marked, "inputs"), 0)), "https://x.example/");
	assert_string_equal(json_string_value(json_object_get(marked, "prompt")), "p");
	for (size_t i = 0; i < N(rows); i++) {
		json_t *told = json_loads(rows[i].told, JSON_DECODE_ANY, NULL);

		ASSERT_ROW(rows[i].name, input_is_signed_for(json_array_get(json_object_get(marked, "inputs"), 1), told)
			== rows[i].same);
		ASSERT_ROW(rows[i].name, !input_is_signed_for(told, told));
		json_decref(told);
	}
	/* The job's own is as it was. */
	assert_string_equal(json_string_value(json_array_get(json_object_get(request, "inputs"), 1)), OWNER "/a b.png");
	json_decref(marked);
	json_decref(request);
}

static void
without_inputs_nothing_changes(void **state)
{
	json_t *request = json_loads("{\"prompt\":\"p\"}", 0, NULL), *marked = NULL;

	(void)state;
	assert_int_equal(input_mark_all(request, &marked), ERR_OK);
	assert_ptr_equal(marked, request);
	json_decref(marked);
	json_decref(request);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_and_addresses),
		cmocka_unit_test(whose_paths),
		cmocka_unit_test(found_by_the_path),
		cmocka_unit_test(without_inputs_nothing_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
