#include "config.h"

#include "tests/db/db_test.h"

#include <stdio.h>
#include <stdlib.h>

/* Words on the command line choose groups; one that is no group's, cases of that name. */
int
main(int argc, char **argv)
{
	static const struct { const char *name; int (*run)(void); } groups[] = {
		{ "migrate", test_migrate },
		{ "create", test_create },
		{ "move", test_move },
		{ "claims", test_claims },
		{ "show", test_show },
		{ "list", test_list },
		{ "evidence", test_evidence },
		{ "prune", test_prune },
		{ "remove", test_remove },
		{ "inputs", test_inputs },
		{ "strays", test_strays },
		{ "steps", test_steps },
		{ "shared", test_shared },
		{ "constraints", test_constraints },
		{ "pauses", test_pauses },
		{ "pool", test_pool },
	};
	const char *only = argc == 2 ? argv[1] : NULL;
	int failed = 0;

	if (!getenv("GENGATE_TEST_DATABASE_URL")) {
		fprintf(stderr, "GENGATE_TEST_DATABASE_URL is not set: test_db.py does that\n");
		return 77;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; only && i < COUNT_OF(groups); i++)
		if (strcmp(only, groups[i].name) == 0)
			only = NULL;
	cmocka_set_test_filter(only);
	for (size_t i = 0; i < COUNT_OF(groups); i++) {
		bool wanted = argc < 2 || only;

		for (int n = 1; n < argc; n++)
			wanted |= strcmp(argv[n], groups[i].name) == 0;
		if (wanted)
			failed += groups[i].run();
	}
	return failed != 0;
}
