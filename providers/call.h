/*
 * Building requests: what an adapter's request functions say.  The first failure sticks
 * (ERR_NOMEM, ERR_TOO_BIG, call_refuse()), and what is said after it does no harm.
 */
#ifndef GENGATE_PROVIDERS_CALL_H
#define GENGATE_PROVIDERS_CALL_H

#include "base/generation.h"
#include "base/http.h"
#include "base/json.h"

/* A request to a provider's API, its key not yet in it. */
struct call {
	struct http_request *rq;	/* a GET, or a create's POST, with a time limit: change
					 * what differs */
	struct buf url;			/* the API's so far: append to it */
	const char *problem;		/* why it cannot be built; NULL: for want of memory */
	bool is_public;			/* it goes elsewhere: without our key */
};

/* Append to the URL: text as it is, then one segment of a path or a value, escaped.  Of a
 * path its slashes stay. */
void call_put(struct call *c, const char *text, const char *segment);
void call_put_path(struct call *c, const char *text, const char *path);

/* Another URL than the API's, which a check below said is the vendor's, or one that gets no
 * key. */
void call_url(struct call *c, const char *url, size_t len);

/* A JSON body.  body is stolen; NULL: there was no memory for it. */
void call_json(struct call *c, json_t *body);

void call_header(struct call *c, const char *name, const char *value);

/* It cannot be built.  why: a constant. */
void call_refuse(struct call *c, enum err_code rc, const char *why);

/* Is a URL that an answer gave on the API's own host?  Our key goes there.
 * ERR_INVALID: no. */
enum err_code call_check_own(const char *api_url, const char *url) MUST_CHECK;

/* The same of a host below a domain, ".bfl.ai" say, by https at its own port. */
enum err_code call_check_below(const char *domain, const char *url) MUST_CHECK;

/* A row that holds an API's address is a mistake unless it can be put before a path:
 * http or https, no user, query, fragment, nor a slash at its end. */
void call_check_url(const char *row, const char *url, struct buf *mistakes);

/* A mistake if a secret were to cross a network as plain text: over http, but to a
 * loopback address.  secret may be NULL. */
void call_check_secret(const char *row, const char *secret, const char *url, struct buf *mistakes);

/* Is that text, "$input" say, anywhere in a template? */
bool call_has_text(const json_t *tmpl, const char *text);

#endif
