/*
 * Memory.  Every allocation of ours comes through here, so that the test
 * build can let any one of them fail.  All calls are safe from any thread.
 */
#ifndef GENGATE_BASE_MEM_H
#define GENGATE_BASE_MEM_H

#include <stddef.h>

#include "base/banned.h"

#define MUST_CHECK __attribute__((warn_unused_result))

/* All return NULL when memory is short; the result is freed by mem_free(). */
void *mem_alloc(size_t bytes) MUST_CHECK;
void *mem_calloc(size_t n, size_t bytes) MUST_CHECK;	/* zeroed */
void *mem_realloc(void *p, size_t bytes) MUST_CHECK;	/* on failure p stays */
char *mem_strdup(const char *s) MUST_CHECK;
char *mem_strndup(const char *s, size_t len) MUST_CHECK;	/* adds the NUL */
void mem_free(void *p);					/* NULL is fine */

/* Overwrite, so that the compiler cannot leave it out, and free. */
void mem_free_secret(void *p, size_t bytes);

/*
 * For a library that copies secrets and frees the copies as they are: whatever it
 * lets go of is overwritten first, as far as the C library tells how much that is.
 */
void mem_free_wiped(void *p);
void *mem_realloc_wiped(void *p, size_t bytes) MUST_CHECK;	/* on failure p stays */

/* These exist in the library of the tests only. */
void mem_fail_after(long n);	/* the n-th allocation from now fails, and all after it */
void mem_fail_once(long n);	/* only the n-th allocation from now fails */
int mem_fail_reset(void);	/* back to normal; 1 if any failed since */
long mem_outstanding(void);	/* allocated and not freed */

#endif
