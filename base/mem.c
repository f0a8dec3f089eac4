#include "config.h"

#define GENGATE_MAY_MALLOC

#include "base/mem.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#ifdef GENGATE_TEST_HOOKS
#include <stdatomic.h>

static atomic_long outstanding;
static atomic_long countdown = -1;	/* negative: nothing fails */
static atomic_int failing;		/* from here on, everything fails */
static atomic_int failed;
static atomic_int once;

void
mem_fail_after(long n)
{
	atomic_store(&once, 0);
	atomic_store(&failed, 0);
	atomic_store(&failing, 0);
	atomic_store(&countdown, n);
}

void
mem_fail_once(long n)
{
	mem_fail_after(n);
	atomic_store(&once, 1);
}

int
mem_fail_reset(void)
{
	atomic_store(&countdown, -1);
	atomic_store(&failing, 0);
	return atomic_exchange(&failed, 0);
}

long
mem_outstanding(void)
{
	return atomic_load(&outstanding);
}

static int
must_fail(void)
{
	if (atomic_load(&failing))
		return 1;
	if (atomic_load(&countdown) < 0 || atomic_fetch_sub(&countdown, 1) != 0)
		return 0;
	atomic_store(&failed, 1);
	atomic_store(&failing, !atomic_load(&once));
	return 1;
}

#define COUNT(p, by) ((p) ? (void)atomic_fetch_add(&outstanding, (by)) : (void)0)
#else
#define must_fail() 0
#define COUNT(p, by) ((void)0)
#endif

void *
mem_alloc(size_t bytes)
{
	void *p = must_fail() ? NULL : malloc(bytes ? bytes : 1);

	COUNT(p, 1);
	return p;
}

void *
mem_calloc(size_t n, size_t bytes)
{
	void *p = must_fail() ? NULL : calloc(n ? n : 1, bytes ? bytes : 1);

	COUNT(p, 1);
	return p;
}

void *
mem_realloc(void *old, size_t bytes)
{
	void *p = must_fail() ? NULL : realloc(old, bytes ? bytes : 1);

	if (!old)
		COUNT(p, 1);
	return p;
}

char *
mem_strndup(const char *s, size_t len)
{
	char *p = mem_alloc(len + 1);

	if (p) {
		memcpy(p, s, len);
		p[len] = '\0';
	}
	return p;
}

char *
mem_strdup(const char *s)
{
	return mem_strndup(s, strlen(s));
}

void
mem_free(void *p)
{
	COUNT(p, -1);
	free(p);
}

void
mem_free_secret(void *p, size_t bytes)
{
	if (p)
		OPENSSL_cleanse(p, bytes);
	mem_free(p);
}
