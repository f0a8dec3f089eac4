#include "config.h"

#include "base/buf.h"
#include "base/clock.h"

#include <stdio.h>

#include "tests/unit/unit.h"

#define US INT64_C(1000000)
#define END_9999_S INT64_C(253402300800)

static void
clocks_run(void **state)
{
	int64_t mono = clock_mono_us(), boot = clock_boot_us();

	(void)state;
	assert_true(clock_wall_us() > INT64_C(1700000000) * US);
	assert_true(clock_mono_us() >= mono);
	assert_true(clock_boot_us() >= boot);
	assert_true(boot >= mono);
}

static void
formats(void **state)
{
	static const struct { const char *name; int64_t us; const char *want; } rows[] = {
		{ "epoch", 0, "1970-01-01T00:00:00.000000Z" },
		{ "micros", 123, "1970-01-01T00:00:00.000123Z" },
		{ "billion", 1000000000 * US + 999999, "2001-09-09T01:46:40.999999Z" },
		{ "leap day", 951782400 * US, "2000-02-29T00:00:00.000000Z" },
		{ "end of leap year", 978307199 * US, "2000-12-31T23:59:59.000000Z" },
		{ "no leap day in 2100", 4107542400 * US, "2100-03-01T00:00:00.000000Z" },
		{ "last", END_9999_S * US - 1, "9999-12-31T23:59:59.999999Z" },
		{ "too late", END_9999_S * US, "9999-12-31T23:59:59.999999Z" },
		{ "far too late", INT64_MAX, "9999-12-31T23:59:59.999999Z" },
		{ "before", -1, "1970-01-01T00:00:00.000000Z" },
		{ "far before", INT64_MIN, "1970-01-01T00:00:00.000000Z" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char out[RFC3339_SIZE];

		rfc3339_format(rows[i].us, out);
		assert_string_equal(out, rows[i].want);
	}
}

static void
parses_rfc3339(void **state)
{
	static const struct { const char *s; int64_t want; } rows[] = {
		/* kind */
		{ "1970-01-01T00:00:00Z", 0 },
		{ "2001-09-09T01:46:40Z", 1000000000 * US },
		{ "2001-09-09t01:46:40z", 1000000000 * US },
		{ "2001-09-09T01:46:40.5Z", 1000000000 * US + 500000 },
		{ "2001-09-09T01:46:40.000001Z", 1000000000 * US + 1 },
		{ "2001-09-09T01:46:40.123456789Z", 1000000000 * US + 123456 },
		{ "2001-09-09T03:16:40+01:30", 1000000000 * US },
		{ "2001-09-08T20:46:40-05:00", 1000000000 * US },
		{ "2001-09-09T01:46:40-00:00", 1000000000 * US },
		{ "2000-02-29T00:00:00Z", 951782400 * US },
		{ "9999-12-31T23:59:59.999999Z", END_9999_S * US - 1 },
		{ "1990-12-31T23:59:60Z", 662688000 * US },
		{ "1990-12-31T15:59:60-08:00", 662688000 * US },
		{ "1990-12-31T23:59:60.25Z", 662688000 * US + 250000 },
		/* hostile */
		{ "", -1 },
		{ "2001", -1 },
		{ "2001-09-09", -1 },
		{ "2001-09-09T01:46:40", -1 },
		{ "2001-09-09 01:46:40Z", -1 },
		{ "2001-09-09T01:46Z", -1 },
		{ "2001-09-09T01:46:40.Z", -1 },
		{ "2001-09-09T01:46:40.1234567890Z", -1 },
		{ "2001-09-09T01:46:40,5Z", -1 },
		{ "2001-09-09T01:46:40Zx", -1 },
		{ "2001-09-09T01:46:40Z ", -1 },
		{ " 2001-09-09T01:46:40Z", -1 },
		{ "+001-09-09T01:46:40Z", -1 },
		{ "2001-9-9T01:46:40Z", -1 },
		{ "20010909T014640Z", -1 },
		{ "2001-00-09T01:46:40Z", -1 },
		{ "2001-13-09T01:46:40Z", -1 },
		{ "2001-09-00T01:46:40Z", -1 },
		{ "2001-09-31T01:46:40Z", -1 },
		{ "2001-02-29T01:46:40Z", -1 },
		{ "2100-02-29T01:46:40Z", -1 },
		{ "2001-09-09T24:00:00Z", -1 },
		{ "2001-09-09T01:60:40Z", -1 },
		{ "2001-09-09T01:46:61Z", -1 },
		{ "2001-09-09T01:46:60Z", -1 },
		{ "1990-12-30T23:59:60Z", -1 },
		{ "1990-12-31T23:59:60-08:00", -1 },
		{ "9999-12-31T23:59:60Z", -1 },
		{ "2001-09-09T01:46:40+24:00", -1 },
		{ "2001-09-09T01:46:40+01:60", -1 },
		{ "2001-09-09T01:46:40+0130", -1 },
		{ "2001-09-09T01:46:40+01", -1 },
		{ "2001-09-09T01:46:40+-1:00", -1 },
		{ "1969-12-31T23:59:59Z", -1 },
		{ "1970-01-01T00:00:00+01:00", -1 },
		{ "1969-12-31T23:59:59-01:00", -1 },
		{ "9999-12-31T23:59:59-01:00", -1 },
		{ "0000-01-01T00:00:00Z", -1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		int64_t us = -1;
		enum err_code rc = rfc3339_parse(rows[i].s, strlen(rows[i].s), &us);

		if (rc != (rows[i].want < 0 ? ERR_INVALID : ERR_OK) || us != rows[i].want)
			fail_msg("%s: %d, %lld", rows[i].s, (int)rc, (long long)us);
	}
}

static void
length_counts_not_the_nul(void **state)
{
	int64_t us = 7;

	(void)state;
	assert_int_equal(rfc3339_parse("1970-01-01T00:00:00Zrest", 20, &us), ERR_OK);
	assert_true(us == 0);
	assert_int_equal(rfc3339_parse("1970-01-01T00:00:00Z\0", 21, &us), ERR_INVALID);
	/* Every cut of a good one, in memory of exactly that size. */
	for (size_t n = 0; n < 20; n++) {
		char *p = mem_strndup("1970-01-01T00:00:00Z", n);
		char *exact = mem_alloc(n);

		assert_non_null(p);
		assert_non_null(exact);
		memcpy(exact, p, n);
		assert_int_equal(rfc3339_parse(exact, n, &us), ERR_INVALID);
		assert_int_equal(http_date_parse(exact, n, &us), ERR_INVALID);
		mem_free(exact);
		mem_free(p);
	}
}

static void
every_day_goes_there_and_back(void **state)
{
	(void)state;
	for (int64_t s = 0; s < END_9999_S; s += 86400 + 1) {
		char text[RFC3339_SIZE];
		int64_t us;

		rfc3339_format(s * US, text);
		assert_int_equal(rfc3339_parse(text, RFC3339_SIZE - 1, &us), ERR_OK);
		assert_true(us == s * US);
	}
}

static void
parses_http_dates(void **state)
{
	static const struct { const char *s; int64_t want; } rows[] = {
		/* kind */
		{ "Sun, 06 Nov 1994 08:49:37 GMT", 784111777 },
		{ "Sunday, 06-Nov-94 08:49:37 GMT", 784111777 },
		{ "Sun Nov  6 08:49:37 1994", 784111777 },
		{ "Wed Nov 16 08:49:37 1994", 784111777 + 10 * 86400 },
		{ "Sun Nov 06 08:49:37 1994", 784111777 },
		{ "Mon, 06 Nov 1994 08:49:37 GMT", 784111777 },	/* it was a Sunday */
		{ "Thu, 01 Jan 1970 00:00:00 GMT", 0 },
		{ "Sat, 31 Dec 2016 23:59:60 GMT", 1483228800 },
		{ "Fri, 31 Dec 9999 23:59:59 GMT", END_9999_S - 1 },
		/* hostile */
		{ "", -1 },
		{ "0", -1 },
		{ "Sun", -1 },
		{ "Sun, 6 Nov 1994 08:49:37 GMT", -1 },
		{ "Sun, 06 Nov 94 08:49:37 GMT", -1 },
		{ "Sun, 06 Nov 1994 08:49:37", -1 },
		{ "Sun, 06 Nov 1994 08:49:37 UTC", -1 },
		{ "Sun, 06 Nov 1994 08:49:37 +0000", -1 },
		{ "Sun, 06 Nov 1994 08:49:37 GMT ", -1 },
		{ "Sun, 06 nov 1994 08:49:37 GMT", -1 },
		{ "sun, 06 Nov 1994 08:49:37 GMT", -1 },
		{ "Day, 06 Nov 1994 08:49:37 GMT", -1 },
		{ "Sun, 31 Nov 1994 08:49:37 GMT", -1 },
		{ "Sun, 00 Nov 1994 08:49:37 GMT", -1 },
		{ "Sun, 06 Nov 1994 24:49:37 GMT", -1 },
		{ "Sun, 06 Nov 1994 08:49:60 GMT", -1 },
		{ "Wed, 31 Dec 1969 23:59:59 GMT", -1 },
		{ "Sun, 06-Nov-94 08:49:37 GMT", -1 },
		{ "Sunday, 06 Nov 1994 08:49:37 GMT", -1 },
		{ "Sunday, 31-Feb-94 08:49:37 GMT", -1 },
		{ "Sun Nov 6 08:49:37 1994", -1 },
		{ "Sun Nov  6 08:49:37 1994 GMT", -1 },
		{ "Sun Nov   08:49:37 1994", -1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		int64_t s = -1;
		enum err_code rc = http_date_parse(rows[i].s, strlen(rows[i].s), &s);

		if (rc != (rows[i].want < 0 ? ERR_INVALID : ERR_OK) || s != rows[i].want)
			fail_msg("%s: %d, %lld", rows[i].s, (int)rc, (long long)s);
	}
}

/* Two digits of a year, seen from today. */
static void
two_digit_years_lie_around_today(void **state)
{
	char now[RFC3339_SIZE], text[64];
	uint64_t year;

	(void)state;
	rfc3339_format(clock_wall_us(), now);
	assert_int_equal(parse_u64(now, 4, 1970, 9999, &year), ERR_OK);
	for (uint64_t y = year - 48; y < year + 50; y++) {
		int64_t s, want_us;

		snprintf(text, sizeof text, "Monday, 01-Jan-%02u 00:00:00 GMT",
			(unsigned)(y % 100));
		assert_int_equal(http_date_parse(text, strlen(text), &s), ERR_OK);
		snprintf(text, sizeof text, "%04u-01-01T00:00:00Z", (unsigned)y);
		assert_int_equal(rfc3339_parse(text, 20, &want_us), ERR_OK);
		assert_true(s * US == want_us);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clocks_run),
		cmocka_unit_test(formats),
		cmocka_unit_test(parses_rfc3339),
		cmocka_unit_test(length_counts_not_the_nul),
		cmocka_unit_test(every_day_goes_there_and_back),
		cmocka_unit_test(parses_http_dates),
		cmocka_unit_test(two_digit_years_lie_around_today),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
