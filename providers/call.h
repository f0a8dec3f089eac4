/*
 * Building requests: what several providers' calls have in common.  Each of these
 * is about the request that its provider is asked for; all copy.
 */
#ifndef GENGATE_PROVIDERS_CALL_H
#define GENGATE_PROVIDERS_CALL_H

#include "base/generation.h"
#include "base/http.h"
#include "base/json.h"

/* A row that holds an API's address is a mistake unless it can be put before a path:
 * http or https, no user, query, fragment, nor a slash at its end. */
void call_check_url(const char *row, const char *url, struct buf *mistakes);

/* A mistake if a secret were to cross a network as plain text: over http, but to a
 * loopback address.  secret may be NULL. */
void call_check_secret(const char *row, const char *secret, const char *url, struct buf *mistakes);

/* Method, URL and time limit.  url's own error (ERR_TOO_BIG, ERR_NOMEM) is returned;
 * it is cleared. */
enum err_code call_begin(struct http_request *rq, enum http_method method, struct buf *url,
	uint32_t timeout_ms) MUST_CHECK;

/* A JSON body.  body is stolen; NULL: there was no memory for it. */
enum err_code call_json(struct http_request *rq, json_t *body) MUST_CHECK;

/* "HEADER: SCHEME SECRET"; scheme may be "": then the secret alone.  A secret of NULL
 * adds nothing. */
enum err_code call_credentials(struct http_request *rq, const char *header, const char *scheme,
	const char *secret) MUST_CHECK;

/* Idempotency-Key: the job's id, the same on each attempt.  No provider documents it;
 * it costs nothing and nothing relies on it. */
enum err_code call_idempotency_key(struct http_request *rq, const struct uuid *job) MUST_CHECK;

/* Is a URL that an answer gave on the API's own host?  Credentials go there.
 * ERR_INVALID: no. */
enum err_code call_check_own(const char *api_url, const char *url) MUST_CHECK;

/* A mistake unless a profile's part has that member, as an object. */
void call_check_object(const json_t *on, const char *member, const char *where, struct buf *mistakes);
/* The same for a text that is not empty. */
void call_check_text(const json_t *on, const char *member, const char *where, struct buf *mistakes);
/* A mistake for each member that is not in known, which ends with NULL. */
void call_check_members(const json_t *on, const char *const known[], const char *where, struct buf *mistakes);
/* Is that text, "$input" say, anywhere in a template? */
bool call_has_text(const json_t *tmpl, const char *text);

#endif
