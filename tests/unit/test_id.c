#include "config.h"

#include "base/id.h"

#include <time.h>

#include "tests/unit/unit.h"

#define NAMESPACE_DNS "6ba7b810-9dad-11d1-80b4-00c04fd430c8"

static void
assert_text(const struct uuid *id, const char *want)
{
	char text[UUID_TEXT_SIZE];

	uuid_format(id, text);
	assert_string_equal(text, want);
}

/* RFC 9562 appendix A.6; the bits of version and variant are ours to set, so
 * whatever stands there in the random bytes must not show. */
static void
makes_the_v7_of_the_rfc(void **state)
{
	static const uint8_t random[][10] = {
		{ 0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f },
		{ 0xfc, 0xc3, 0xd8, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f },
	};
	struct uuid id;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		uuid7_make(0x017f22e279b0, random[i], &id);
		assert_text(&id, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
	}
}

/* RFC 9562 appendix A.4; the second value is Python's uuid.uuid5(). */
static void
makes_the_v5_of_the_rfc(void **state)
{
	struct uuid ns, id;

	(void)state;
	assert_int_equal(uuid_parse(NAMESPACE_DNS, 36, &ns), ERR_OK);
	assert_int_equal(uuid5_make(&ns, "www.example.com", 15, &id, NULL), ERR_OK);
	assert_text(&id, "2ed6657d-e927-568b-95e1-2665a8aea6a2");
	assert_int_equal(uuid5_make(&ns, "", 0, &id, NULL), ERR_OK);
	assert_text(&id, "4ebd0208-8328-5d69-8c44-ec50939c0967");
}

static void
new_ones_differ_and_carry_the_time(void **state)
{
	int64_t before = (int64_t)time(NULL) * 1000;
	struct uuid a, b;
	int64_t ms = 0;

	(void)state;
	assert_int_equal(uuid_new(&a, NULL), ERR_OK);
	assert_int_equal(uuid_new(&b, NULL), ERR_OK);
	assert_false(uuid_equal(&a, &b));
	assert_true(uuid_equal(&a, &a));
	assert_int_equal(a.b[6] >> 4, 7);
	assert_int_equal(a.b[8] >> 6, 2);
	for (int i = 0; i < 6; i++)
		ms = ms << 8 | a.b[i];
	assert_true(ms >= before);
	assert_true(ms <= ((int64_t)time(NULL) + 2) * 1000);	/* time(2) may be a tick behind */
}

static void
sorts_by_age(void **state)
{
	static const uint8_t high[10] = { 255, 255, 255, 255, 255, 255, 255, 255, 255, 255 };
	static const uint8_t low[10] = { 0 };
	char older[UUID_TEXT_SIZE], younger[UUID_TEXT_SIZE];
	struct uuid id;

	(void)state;
	uuid7_make(1790000000999, high, &id);
	uuid_format(&id, older);
	uuid7_make(1790000001000, low, &id);
	uuid_format(&id, younger);
	assert_true(strcmp(older, younger) < 0);
}

static void
parses_one_form_only(void **state)
{
	static const struct { const char *name, *s; size_t len; int rc; } rows[] = {
		{ "lower", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f", 36, ERR_OK },
		{ "upper", "017F22E2-79B0-7CC3-98C4-DC0C0C07398F", 36, ERR_OK },
		{ "mixed", "017f22E2-79b0-7CC3-98c4-dc0c0C07398F", 36, ERR_OK },
		{ "len counts", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f1", 36, ERR_OK },
		{ "empty", "", 0, ERR_INVALID },
		{ "short", "017f22e2-79b0-7cc3-98c4-dc0c0c07398", 35, ERR_INVALID },
		{ "long", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f1", 37, ERR_INVALID },
		{ "newline", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f\n", 37, ERR_INVALID },
		{ "bare", "017f22e279b07cc398c4dc0c0c07398f", 32, ERR_INVALID },
		{ "bare, 36", "017f22e279b07cc398c4dc0c0c07398f0000", 36, ERR_INVALID },
		{ "braces", "{17f22e2-79b0-7cc3-98c4-dc0c0c07398}", 36, ERR_INVALID },
		{ "urn", "urn:uuid:017f22e2-79b0-7cc3-98c4-dc0", 36, ERR_INVALID },
		{ "moved hyphen", "017f22e-279b0-7cc3-98c4-dc0c0c07398f", 36, ERR_INVALID },
		{ "hyphen as digit", "-17f22e2-79b0-7cc3-98c4-dc0c0c07398f", 36, ERR_INVALID },
		{ "no hex", "017f22e2-79b0-7cc3-98c4-dc0c0c07398g", 36, ERR_INVALID },
		{ "blank", "017f22e2-79b0-7cc3-98c4-dc0c0c07398 ", 36, ERR_INVALID },
		{ "NUL", "017f22e2-79b0-7cc3-98c4-dc0c0c07398\0", 36, ERR_INVALID },
		{ "high bit", "\xb0" "17f22e2-79b0-7cc3-98c4-dc0c0c07398f", 36, ERR_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct uuid id, before;
		enum err_code rc;

		memset(&id, 0xa5, sizeof id);
		before = id;
		rc = uuid_parse(rows[i].s, rows[i].len, &id);
		if (rc != (enum err_code)rows[i].rc)
			fail_msg("%s: %s", rows[i].name, err_name(rc));
		if (rc)
			assert_true(uuid_equal(&id, &before));
		else
			assert_text(&id, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(makes_the_v7_of_the_rfc),
		cmocka_unit_test(makes_the_v5_of_the_rfc),
		cmocka_unit_test(new_ones_differ_and_carry_the_time),
		cmocka_unit_test(sorts_by_age),
		cmocka_unit_test(parses_one_form_only),
	};

	return cmocka_run_group_tests_name("id", tests, NULL, NULL);
}
