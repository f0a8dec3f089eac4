#include "config.h"

#include "base/buf.h"

#include "tests/unit/unit.h"

static void
grows_to_its_ceiling_and_no_further(void **state)
{
	struct buf b = BUF_INIT(100);

	(void)state;
	for (int i = 0; i < 100; i++)
		buf_putc(&b, 'x');
	assert_int_equal(b.err, ERR_OK);
	assert_int_equal(b.len, 100);
	buf_putc(&b, 'y');
	assert_int_equal(b.err, ERR_TOO_BIG);
	assert_null(b.p);
	buf_puts(&b, "");
	assert_int_equal(b.err, ERR_TOO_BIG);
	buf_reset(&b);
	buf_puts(&b, "again");
	assert_string_equal(buf_str(&b), "again");
	buf_clear(&b);
}

static void
never_cuts(void **state)
{
	struct buf b = BUF_INIT(8);

	(void)state;
	buf_printf(&b, "%s", "123456789");
	assert_int_equal(b.err, ERR_TOO_BIG);
	assert_string_equal(buf_str(&b), "");
	buf_clear(&b);
	buf_printf(&b, "%s", "12345678");
	assert_string_equal(buf_str(&b), "12345678");
	buf_clear(&b);
}

static void
takes_over(void **state)
{
	struct buf b = BUF_INIT(8);
	char *p;

	(void)state;
	p = buf_take(&b);
	assert_string_equal(p, "");
	mem_free(p);
	buf_puts(&b, "abc");
	p = buf_take(&b);
	assert_string_equal(p, "abc");
	assert_int_equal(b.len, 0);
	mem_free(p);
}

static void
percent_encodes(void **state)
{
	static const struct { const char *name, *in, *keep, *out; size_t len; } rows[] = {
		{ "plain", "aZ0-._~", NULL, "aZ0-._~", 7 },
		{ "reserved", "a/b?c=d&e", NULL, "a%2Fb%3Fc%3Dd%26e", 9 },
		{ "kept", "a/b?", "/", "a/b%3F", 4 },
		{ "bytes", "\xc3\xa9\x00x", "/", "%C3%A9%00x", 4 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct buf b = BUF_INIT(100);

		buf_put_urlenc(&b, rows[i].in, rows[i].len, rows[i].keep);
		assert_string_equal(buf_str(&b), rows[i].out);
		buf_clear(&b);
	}
}

static void
json_strings_take_anything(void **state)
{
	static const struct { const char *in; size_t len; const char *out; } rows[] = {
		{ "plain", 5, "\"plain\"" },
		{ "a\"b\\c", 5, "\"a\\\"b\\\\c\"" },
		{ "\n\x7f\0", 3, "\"\\u000a\\u007f\\u0000\"" },
		{ "\xc3\xa9", 2, "\"\xc3\xa9\"" },
		{ "\xc3", 1, "\"\\ufffd\"" },
		{ "\xed\xa0\x80", 3, "\"\\ufffd\\ufffd\\ufffd\"" },	/* a surrogate */
		{ "\xf5\x80\x80\x80", 4, "\"\\ufffd\\ufffd\\ufffd\\ufffd\"" },
		{ "\xc0\xaf", 2, "\"\\ufffd\\ufffd\"" },		/* overlong */
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct buf b = BUF_INIT(100);

		buf_put_json_string(&b, rows[i].in, rows[i].len);
		assert_string_equal(buf_str(&b), rows[i].out);
		buf_clear(&b);
	}
}

static void
numbers_from_outside(void **state)
{
	static const struct { const char *s; uint64_t min, max, want; int rc; } rows[] = {
		{ "0", 0, 9, 0, ERR_OK },
		{ "18446744073709551615", 0, UINT64_MAX, UINT64_MAX, ERR_OK },
		{ "18446744073709551616", 0, UINT64_MAX, 7, ERR_INVALID },
		{ "10", 0, 9, 7, ERR_INVALID },
		{ "1", 2, 9, 7, ERR_INVALID },
		{ "", 0, 9, 7, ERR_INVALID },
		{ "-1", 0, 9, 7, ERR_INVALID },
		{ "+1", 0, 9, 7, ERR_INVALID },
		{ " 1", 0, 9, 7, ERR_INVALID },
		{ "1x", 0, 9, 7, ERR_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		uint64_t n = 7;

		assert_int_equal(parse_u64(rows[i].s, strlen(rows[i].s),
			rows[i].min, rows[i].max, &n), rows[i].rc);
		assert_true(n == rows[i].want);
	}
}

static enum err_code
build_something(void)
{
	struct buf b = BUF_INIT(4096);
	enum err_code rc;

	for (int i = 0; i < 300; i++)
		buf_printf(&b, "%d,", i);
	rc = b.err;
	buf_clear(&b);
	return rc;
}

static void
short_of_memory(void **state)
{
	enum err_code rc;

	(void)state;
	ASSERT_SURVIVES_NOMEM(rc, rc = build_something());
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows_to_its_ceiling_and_no_further),
		cmocka_unit_test(never_cuts),
		cmocka_unit_test(takes_over),
		cmocka_unit_test(percent_encodes),
		cmocka_unit_test(json_strings_take_anything),
		cmocka_unit_test(numbers_from_outside),
		cmocka_unit_test(short_of_memory),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
