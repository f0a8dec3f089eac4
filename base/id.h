/*
 * UUIDs (RFC 9562): version 7 for jobs, so that they sort by age; version 5
 * for identities that are no UUID themselves.
 */
#ifndef GENGATE_BASE_ID_H
#define GENGATE_BASE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct uuid {
	uint8_t b[16];
};

#define UUID_TEXT_SIZE 37	/* 36 characters and the NUL */

/* A new version 7 id from the wall clock and random bytes.
 * ERR_INTERNAL if the system has no randomness. */
enum err_code uuid_new(struct uuid *ret, struct err *err) MUST_CHECK;

/* The same from given parts: for tests.  wall_ms fits 48 bits. */
void uuid7_make(int64_t wall_ms, const uint8_t random[10], struct uuid *ret);

/* Version 5: SHA-1 over namespace and name. */
enum err_code uuid5_make(const struct uuid *ns, const char *name, size_t len,
	struct uuid *ret, struct err *err) MUST_CHECK;

/* Lower-case, with hyphens. */
void uuid_format(const struct uuid *id, char out[UUID_TEXT_SIZE]);

/* The 8-4-4-4-12 form in either case, nothing else.  ERR_INVALID otherwise. */
enum err_code uuid_parse(const char *s, size_t len, struct uuid *ret) MUST_CHECK;

bool uuid_equal(const struct uuid *a, const struct uuid *b);

#endif
