#include "config.h"

#include "core/apply.h"

#include "tests/unit/unit.h"

#define DRAWS 2000

/* Draws of fn(ms): from where to where, and that they do not all agree. */
static void
assert_spread(uint64_t (*fn)(uint64_t ms), uint64_t ms, uint64_t from, uint64_t to)
{
	uint64_t least = UINT64_MAX, most = 0;

	for (int i = 0; i < DRAWS; i++) {
		uint64_t drawn = fn(ms);

		assert_in_range(drawn, from, to);
		least = drawn < least ? drawn : least;
		most = drawn > most ? drawn : most;
	}
	/* A random byte misses a fifth of its range in none of so many draws. */
	assert_true(most - least >= (to - from) * 4 / 5);
}

static void
jitter_is_spread_over_a_fifth(void **state)
{
	(void)state;
	assert_spread(jittered_ms, 10000, 8000, 10000);
	assert_spread(jittered_ms, 100, 80, 100);
	assert_int_equal(jittered_ms(0), 0);
}

static void
who_was_told_to_wait_never_comes_early(void **state)
{
	(void)state;
	assert_spread(after_ms, 10000, 10000, 12000);
	assert_spread(after_ms, 3600000, 3600000, 4320000);
	for (uint64_t ms = 0; ms < 3000; ms++)
		assert_in_range(after_ms(ms), ms, ms + ms / 5 + 1);
}

static void
backoff_doubles_up_to_a_minute(void **state)
{
	static const struct { int32_t attempts; uint64_t most_ms; } rows[] = {
		{ 0, 500 }, { 1, 500 }, { 2, 1000 }, { 3, 2000 }, { 4, 4000 }, { 5, 8000 }, { 6, 16000 },
		{ 7, 32000 }, { 8, 60000 }, { 9, 60000 }, { 1000, 60000 }, { INT32_MAX, 60000 }, { -5, 500 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (int n = 0; n < 200; n++)
			assert_in_range(backoff_ms(rows[i].attempts), rows[i].most_ms * 4 / 5, rows[i].most_ms);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(jitter_is_spread_over_a_fifth),
		cmocka_unit_test(who_was_told_to_wait_never_comes_early),
		cmocka_unit_test(backoff_doubles_up_to_a_minute),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
