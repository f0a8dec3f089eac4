/*
 * Which web pages of other origins may read answers (https://fetch.spec.whatwg.org/,
 * "HTTP-CORS protocol"): those of `cors_origins`, on the users' routes, and files by
 * links of our own.  A token travels in Authorization, which a page has to have and to set; what a browser
 * would add by itself, cookies and logins, is never allowed.
 */
#ifndef GENGATE_FCGI_CORS_H
#define GENGATE_FCGI_CORS_H

#include "fcgi/exchange.h"

/* Does a browser ask, for a page that may, what it may send? */
bool cors_is_preflight(const struct exchange *x);

/* Answers that.  methods: those of the path, "GET, HEAD". */
void cors_answer_preflight(struct exchange *x, const char *methods);

/* The headers that every answer of such a route has. */
void cors_put(const struct exchange *x, struct buf *head);

#endif
