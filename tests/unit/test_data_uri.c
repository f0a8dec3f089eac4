#include "config.h"

#include "base/data_uri.h"

#include "tests/unit/unit.h"

#define N(table) (sizeof (table) / sizeof *(table))

static void
told_from_others(void **state)
{
	(void)state;
	assert_true(is_data_uri("data:,"));
	assert_true(is_data_uri("DATA:image/png;base64,"));
	assert_false(is_data_uri("dat"));
	assert_false(is_data_uri("https://data:1/"));
}

static void
decoded_or_not(void **state)
{
	static const struct { const char *name, *uri, *want; enum err_code rc; } rows[] = {
		{ "a type", "data:image/png;base64,aGVsbG8=", "hello", ERR_OK },
		{ "no type", "data:;base64,aGVsbG8=", "hello", ERR_OK },
		{ "parameters", "data:text/plain;charset=utf-8;base64,aGk=", "hi", ERR_OK },
		{ "capitals", "Data:image/png;BASE64,aGk=", "hi", ERR_OK },
		{ "nothing in it", "data:image/png;base64,", "", ERR_OK },
		{ "percent", "data:text/plain,hello", NULL, ERR_INVALID },
		{ "no comma", "data:image/png;base64", NULL, ERR_INVALID },
		{ "scheme alone", "data:", NULL, ERR_INVALID },
		{ "the scheme is no coding", "data:,;base64,", NULL, ERR_INVALID },
		{ "too short for both", ";base64,aGk=", NULL, ERR_INVALID },
		{ "padding", "data:;base64,aGVsbG8", NULL, ERR_INVALID },
		{ "blanks", "data:;base64,aGVs bG8=", NULL, ERR_INVALID },
		{ "another alphabet", "data:;base64,-_==", NULL, ERR_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct buf out = BUF_INIT(100);
		struct err err = ERR_INIT;

		ASSERT_ROW(rows[i].name, data_uri_decode(rows[i].uri, strlen(rows[i].uri), &out, &err) == rows[i].rc);
		if (rows[i].want)
			ASSERT_ROW(rows[i].name, strcmp(buf_str(&out), rows[i].want) == 0);
		else
			ASSERT_ROW(rows[i].name, out.len == 0 && strncmp(err.text, "is a data: URI", 14) == 0);
		buf_clear(&out);
	}
}

static void
no_longer_than_said(void **state)
{
	static const char uri[] = "data:;base64,aGVsbG8=";
	struct buf small = BUF_INIT(4), cut = BUF_INIT(100);

	(void)state;
	assert_int_equal(data_uri_decode(uri, sizeof uri - 1, &small, NULL), ERR_TOO_BIG);
	assert_int_equal(data_uri_decode(uri, sizeof uri - 5, &cut, NULL), ERR_OK);
	assert_string_equal(buf_str(&cut), "hel");
	buf_clear(&cut);
	assert_int_equal(mem_outstanding(), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(told_from_others),
		cmocka_unit_test(decoded_or_not),
		cmocka_unit_test(no_longer_than_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
