/*
 * Reading replies: what several providers' answers have in common.
 */
#ifndef GENGATE_PROVIDERS_REPLY_H
#define GENGATE_PROVIDERS_REPLY_H

#include "base/generation.h"
#include "base/http.h"
#include "base/json.h"

/* An answer to a call.  All borrowed. */
struct answer {
	long status;			/* HTTP's */
	const json_t *doc;		/* its body, an object; NULL: it is none */
	bool good;			/* 2xx, and an object */
	const struct http_response *rs;
};

/*
 * A document from outside.  NUL in strings and numbers of any size are let pass
 * (the whole document would be refused otherwise; integers beyond int64 lose
 * digits, and what no double holds becomes 1e308).  The caller owns it.
 * ERR_BAD_REQUEST: not JSON, or no object.  ERR_NOMEM.
 */
enum err_code reply_document(const char *p, size_t len, json_t **ret) MUST_CHECK;

/* A string member, or NULL: absent, null, another type, or one with a NUL
 * inside, which would hide its rest.  Borrowed. */
const char *reply_string(const json_t *object, const char *member);

/* The same for a prediction's id: not empty, not longer than PREDICTION_ID_MAX, and none
 * that a path takes for itself ("..").  Borrowed. */
const char *reply_id(const json_t *object, const char *member);

/* A string member as reply_text() has it; what is no string leaves *to as it is.
 * ERR_NOMEM. */
enum err_code reply_keep(char **to, const json_t *object, const char *member) MUST_CHECK;

/*
 * The provider's own words of a refusal: `detail`, `error` or `message`, as text, as
 * FastAPI's list without its `input`, or as an object with a `message`; else `title`, else the bytes as
 * they are.  Of a 2xx, whose bytes may hold the prompt, that it could not be read.
 * As reply_text().
 */
char *reply_problem(const struct http_response *rs, const json_t *body);

/*
 * What an answer to a create means by its HTTP status alone, where it is no 2xx: 429
 * deferred, with retry_after_ms; 401, 402, 403 refused as unavailable; other 4xx but
 * 408 refused as rejected; all else unknown.  Of a 2xx: unknown.
 */
struct submit_reply;
void reply_to_create(const struct answer *answer, struct submit_reply *ret);

/* The same of a status call or a cancel: 404 and 410 gone, where a JSON object says so in
 * `detail`, `error` or `status`, all else later.  A proxy that has lost its way to the API
 * says it in HTML, in plain text, or in a `message`. */
struct status_reply;
void reply_to_look(const struct answer *answer, struct status_reply *ret);

/* Is our key taken, by the answer to a probe?  own: it has what only this API says.  401,
 * 402, 403: ERR_PROVIDER_UNAVAILABLE; all but a 2xx of its own: ERR_UPSTREAM.  Only JSON is
 * quoted: a page says nothing that an operator could use. */
enum err_code reply_to_probe(const struct answer *answer, bool own, struct err *err) MUST_CHECK;

/* A provider's word for how a prediction stands. */
struct status_word {
	const char *word;	/* NULL: the end of the table */
	enum gen_status status;
	enum err_code error;	/* with GEN_FAILED */
};

/* A member that says how it stands: sets status, error and status_text; a word that is
 * not in the table runs, with status_known unset.  Without that member all stay. */
enum err_code reply_status(const struct status_word *words, const json_t *object, const char *member,
	struct gen_observation *obs) MUST_CHECK;

/* A copy without its NULs, cut after 2,000 bytes: for logs.  The caller owns it:
 * mem_free().  NULL: no memory. */
char *reply_text(const char *s, size_t len);

/*
 * When to come back, in milliseconds; 0: not said.  Looks at Retry-After
 * (seconds, or a date, RFC 9110 section 10.2.3; `Date` is the clock then), a
 * `retry_after` member, and "~30s" in `detail`.  At most an hour.
 */
uint64_t reply_retry_after_ms(const struct http_response *rs, const json_t *body);

/* Appends an output to a list, by reference: an http, https or data: URL, or base64
 * alone, however large; what is none of these is left out.  -1: no memory. */
int reply_add_output(json_t *outputs, json_t *value) MUST_CHECK;

/*
 * All strings of an output, however nested, that are http, https or data:
 * URLs, in order: a new array; NULL: no memory.
 */
json_t *reply_collect_urls(const json_t *output);

#endif
