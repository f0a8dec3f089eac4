#include "config.h"

#define GENGATE_MAY_MALLOC

#include "base/mem.h"

#ifdef HAVE_MALLOC_H
#include <malloc.h>
#endif
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#ifdef GENGATE_TEST_HOOKS
#include "base/mem_fault.h"

#define must_fail() mem_must_fail()
#define COUNT(p, by) ((p) ? mem_count(by) : (void)0)
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

static size_t
usable_bytes(void *p)
{
#ifdef HAVE_MALLOC_USABLE_SIZE
	return malloc_usable_size(p);
#else
	(void)p;
	return 0;
#endif
}

void
mem_free_wiped(void *p)
{
	if (p)
		mem_free_secret(p, usable_bytes(p));
}

/* A realloc() that moves leaves the old place as it was. */
void *
mem_realloc_wiped(void *old, size_t bytes)
{
	size_t had = old ? usable_bytes(old) : 0;
	void *p;

	if (old && !had)
		return mem_realloc(old, bytes);
	p = mem_alloc(bytes);
	if (p && old) {
		memcpy(p, old, had < bytes ? had : bytes);
		mem_free_secret(old, had);
	}
	return p;
}
