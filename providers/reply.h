/*
 * Reading replies: what several providers' answers have in common.
 */
#ifndef GENGATE_PROVIDERS_REPLY_H
#define GENGATE_PROVIDERS_REPLY_H

#include "base/http.h"
#include "base/json.h"

/*
 * A document from outside.  NUL in strings and numbers of any size are let pass
 * (the whole document would be refused otherwise; integers beyond int64 lose
 * digits, and what no double holds becomes 1e308).  The caller owns it.
 * ERR_BAD_REQUEST: not JSON, or no object.  ERR_NOMEM.
 */
enum err_code reply_document(const char *p, size_t len, json_t **ret) MUST_CHECK;

/* The same where all that is to be known is whether it can be read; else NULL. */
json_t *reply_json(const char *p, size_t len);

/* A string member, or NULL: absent, null, another type, or one with a NUL
 * inside, which would hide its rest.  Borrowed. */
const char *reply_string(const json_t *object, const char *member);

/* A copy without its NULs, cut after 2,000 bytes: for logs.  The caller owns it:
 * mem_free().  NULL: no memory. */
char *reply_text(const char *s, size_t len);

/*
 * When to come back, in milliseconds; 0: not said.  Looks at Retry-After
 * (seconds, or a date, RFC 9110 section 10.2.3; `Date` is the clock then), a
 * `retry_after` member, and "~30s" in `detail`.  At most an hour.
 */
uint64_t reply_retry_after_ms(const struct http_response *rs, const json_t *body);

/*
 * All strings of an output, however nested, that are http, https or data:
 * URLs, in order: a new array; NULL: no memory.
 */
json_t *reply_collect_urls(const json_t *output);

#endif
