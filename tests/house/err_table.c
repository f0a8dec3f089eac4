/* Prints the error table: code, HTTP status, worth another try?, sentence, with
 * tabs between.  tests/e2e/test_openapi.py compares docs/openapi.yaml with it. */
#include "config.h"

#include <stdio.h>

#include "base/err.h"

int
main(void)
{
#define X(code, http, again, name, sentence) \
	printf("%s\t%d\t%s\t%s\n", name, http, again ? "true" : "false", sentence);
	ERR_TABLE(X)
#undef X
	return 0;
}
