/* A statement's parameters as text, and columns as values: for db/ alone. */
#ifndef GENGATE_DB_TEXT_H
#define GENGATE_DB_TEXT_H

#include <stdio.h>
#include <string.h>

#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"

/* The texts that a statement's numbers and ids are sent as. */
struct text { char s[UUID_TEXT_SIZE]; };

static inline const char *
num(struct text *t, int64_t n)
{
	snprintf(t->s, sizeof t->s, "%lld", (long long)n);
	return t->s;
}

static inline const char *
id(struct text *t, const struct uuid *u)
{
	uuid_format(u, t->s);
	return t->s;
}

/* JSON as text, owned by the caller (mem_free()); NULL for NULL and for no memory. */
static inline char *
dump(const json_t *json)
{
	return json ? json_write(json, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
}

static inline json_t *
read_json(const char *s, size_t flags, json_error_t *why)
{
	return json_read(s, strlen(s), flags, why);
}

#define N(params) (sizeof(params) / sizeof *(params))

/* NULL stays NULL; false: no memory. */
static inline bool
dup_into(char **to, const char *s)
{
	*to = s ? mem_strdup(s) : NULL;
	return !s || *to;
}

#endif
