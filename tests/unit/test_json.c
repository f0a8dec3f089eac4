#include "config.h"

#include "base/json.h"

#include "tests/unit/unit.h"

/* Texts of all lengths around those at which Jansson's own buffer grows. */
static const char text[] =
	"{\"a\": \"0123456789012\", \"ab\": [\"01234567890123\", \"012345678901234\", 1234567890123456789],"
	" \"abc\": \"012345678901234567890123456789012345678901234567890123456789\", \"abcd\": true,"
	" \"abcde\": \"0123456789012345678901234567890123456789012345678901234567890123456789\\u00e4\","
	" \"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz\": {\"x\": 1.5, \"y\": null}}";

static json_t *
read_text(json_error_t *why)
{
	return json_read(text, strlen(text), 0, why);
}

/* The whole, or nothing; whatever allocation fails, with all after it or alone. */
static void
reads_the_whole_or_nothing(void **state)
{
	static void (*const fails[])(long n) = { mem_fail_once, mem_fail_after };
	json_t *whole = read_text(NULL);
	long before = mem_outstanding();

	(void)state;
	assert_non_null(whole);
	for (size_t i = 0; i < 2; i++)
		for (long n = 0, hit = 1; hit; n++) {
			json_error_t why;
			json_t *v;

			fails[i](n);
			v = read_text(&why);
			hit = mem_fail_reset();
			if (hit) {
				assert_null(v);
				assert_int_equal(json_error_code(&why), json_error_out_of_memory);
			} else {
				assert_true(json_equal(v, whole));
			}
			json_decref(v);
			assert_int_equal(mem_outstanding(), before);
		}
	json_decref(whole);
}

/* No call is looked at, as long documents are built. */
static char *
build(void)
{
	json_t *v = json_object();
	char *ret;

	json_object_set_new(v, "text", json_string("t"));
	json_object_set_new(v, "number", json_integer(1));
	json_object_set_new(v, "list", json_pack("[s, s]", "one", "two"));
	ret = json_write(v, JSON_COMPACT);
	json_decref(v);
	return ret;
}

static void
writes_the_whole_or_nothing(void **state)
{
	long before = mem_outstanding();

	(void)state;
	for (long n = 0, hit = 1; hit; n++) {
		char *s;

		mem_fail_once(n);
		s = build();
		hit = mem_fail_reset();
		if (hit)
			assert_null(s);
		else
			assert_string_equal(s, "{\"text\":\"t\",\"number\":1,\"list\":[\"one\",\"two\"]}");
		mem_free(s);
		assert_int_equal(mem_outstanding(), before);
	}
}

static void
what_begins_anew_is_not_in_its_way(void **state)
{
	char *s;

	(void)state;
	mem_fail_once(0);
	assert_null(json_string("lost"));
	mem_fail_reset();
	assert_null(json_object());
	json_begin();
	s = build();
	assert_non_null(s);
	mem_free(s);
}

static void
says_what_is_wrong(void **state)
{
	json_error_t why;

	(void)state;
	assert_null(json_read("{\"a\": }", 7, 0, &why));
	assert_int_equal(json_error_code(&why), json_error_invalid_syntax);
	assert_null(json_read_file("/nowhere/at/all", 0, &why));
	assert_int_equal(json_error_code(&why), json_error_cannot_open_file);
	assert_null(json_write(NULL, 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_the_whole_or_nothing),
		cmocka_unit_test(writes_the_whole_or_nothing),
		cmocka_unit_test(what_begins_anew_is_not_in_its_way),
		cmocka_unit_test(says_what_is_wrong),
	};

	json_use_mem();
	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
