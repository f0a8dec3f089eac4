#include "config.h"

#include "base/trace.h"

#include "tests/unit/unit.h"

#define ID "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"

static const struct {
	const char *name, *text;
	bool ok;
} rows[] = {
	{ "the specification's", "00-" ID "-" PARENT "-01", true },
	{ "other flags", "00-" ID "-" PARENT "-fe", true },
	{ "not there", NULL, false },
	{ "empty", "", false },
	{ "upper case", "00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01", false },
	{ "trace id zero", "00-00000000000000000000000000000000-" PARENT "-01", false },
	{ "parent id zero", "00-" ID "-0000000000000000-01", false },
	{ "version ff", "ff-" ID "-" PARENT "-01", false },
	{ "a later version", "01-" ID "-" PARENT "-01", false },
	{ "more behind it", "00-" ID "-" PARENT "-01-x", false },
	{ "two of them", "00-" ID "-" PARENT "-01, 00-" ID "-" PARENT "-01", false },
	{ "one digit less", "00-" ID "-" PARENT "-0", false },
	{ "a wrong digit", "00-" ID "-b7ad6b716920333g-01", false },
	{ "a dash moved", "00-" ID "b-7ad6b7169203331-01", false },
	{ "a line break", "00-" ID "-" PARENT "-0\n", false },
};

static void
test_traceparent(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (traceparent_ok(rows[i].text) != rows[i].ok)
			fail_msg("%s", rows[i].name);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_traceparent) };

	return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
