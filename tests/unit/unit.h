/* What every unit test includes: cmocka with what it needs before it. */
#ifndef GENGATE_TESTS_UNIT_H
#define GENGATE_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/*
 * Let the n-th allocation of `code` fail, and all after it, for every n until
 * none is hit.  `rc` has to be ERR_NOMEM then and ERR_OK at the end; nothing
 * may leak.  `code` sets rc and cleans up what it made.
 */
#define ASSERT_SURVIVES_NOMEM(rc, code) do { \
	long before_ = mem_outstanding(); \
	int hit_ = 1; \
	for (long n_ = 0; hit_; n_++) { \
		mem_fail_after(n_); \
		code; \
		hit_ = mem_fail_reset(); \
		assert_int_equal((rc), hit_ ? ERR_NOMEM : ERR_OK); \
		assert_int_equal(mem_outstanding(), before_); \
	} \
} while (0)

/* An assertion about a row of a table: says which one. */
#define ASSERT_ROW(name, cond) do { \
	if (!(cond)) \
		fail_msg("%s: %s", (name), #cond); \
} while (0)

#endif
