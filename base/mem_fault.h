/*
 * Allocations that fail, in the library of the tests only: base/mem.c asks.
 *
 * A test in the same process says which by mem_fail_after() and its kin.  One
 * outside names a file: MEM_FAULT_FILE in the environment, and a process makes
 * FILE.<pid>, which holds struct mem_faults and is shared by mmap(2).
 */
#ifndef GENGATE_BASE_MEM_FAULT_H
#define GENGATE_BASE_MEM_FAULT_H

#ifdef GENGATE_TEST_HOOKS

#include <stdatomic.h>
#include <stdbool.h>

/* All are int64_t; tests/fault/memory.py knows their order. */
struct mem_faults {
	atomic_llong outstanding;	/* allocated and not freed */
	atomic_llong allocations;	/* so far, failures included */
	atomic_llong failures;
	atomic_llong countdown;		/* when it passes 0 that allocation fails; negative: off */
	atomic_llong once;		/* only that one, else all after it, too */
	atomic_llong failing;		/* all fail */
	/* Each place in the program fails once: a chain of callers that has not
	 * failed before, but no sooner than spacing_us after the last. */
	atomic_llong each_place;
	atomic_llong spacing_us;
	atomic_llong last_us;
	atomic_llong places;		/* that have failed */
};

bool mem_must_fail(void);
void mem_count(long by);

#endif

#endif
