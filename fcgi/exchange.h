/*
 * One request and its answer, as the resources see them.
 *
 * A resource answers exactly once, by one of the answer_ calls; nothing is sent
 * before it returns.  One thread per exchange.
 */
#ifndef GENGATE_FCGI_EXCHANGE_H
#define GENGATE_FCGI_EXCHANGE_H

#include <jansson.h>

#include "core/service.h"
#include "fcgi/fcgx.h"

#define REQUEST_ID_SIZE 65

struct exchange {
	struct service *svc;
	FCGX_Request *fcgx;		/* borrowed */
	char request_id[REQUEST_ID_SIZE];	/* nginx's, or one of ours */
	const char *method;		/* borrowed from fcgx, as all below */
	const char *path;		/* decoded by the web server; begins with a slash */
	const char *tail;		/* of the path, behind the route's prefix */
	struct buf body;		/* as read for the route */

	int status;			/* 0: not answered yet */
	struct buf headers;		/* "Name: value\r\n" each */
	struct buf out;			/* the answer's body */
	struct uuid job;		/* for the log */
	bool has_job;
	struct err err;			/* for the log */
};

/* A parameter that the web server set, or NULL.  Borrowed. */
const char *exchange_param(const struct exchange *x, const char *name);

/* A request header by its lower-case name, or NULL.  ctx is a struct exchange;
 * the form that webhooks want.  Borrowed. */
const char *exchange_header(const void *ctx, const char *name);

/* A member of the query string, percent-decoded, or NULL: absent, given twice,
 * or not decodable.  The caller owns it: mem_free(). */
char *exchange_query(const struct exchange *x, const char *name);

/* Read the body into x->body.  ERR_TOO_BIG, ERR_BAD_REQUEST (cut short, or no
 * usable Content-Length). */
enum err_code exchange_read_body(struct exchange *x, uint64_t max_bytes, struct err *err) MUST_CHECK;

/* Who asks.  ERR_UNAUTHORIZED. */
enum err_code exchange_owner(struct exchange *x, struct uuid *ret, struct err *err) MUST_CHECK;

/* Before the answer.  Control characters in a value make it a 500. */
void answer_header(struct exchange *x, const char *name, const char *value);

/* `body` is stolen; NULL (no memory while it was built) becomes a 503. */
void answer_json(struct exchange *x, int status, json_t *body);

/*
 * RFC 9457.  detail: for the client, NULL: none.  more: further members, an
 * object, stolen; NULL: none.
 */
void answer_problem(struct exchange *x, enum err_code code, const char *detail, json_t *more);

/* The same for a failed call, whose err goes to the log. */
void answer_failure(struct exchange *x, enum err_code code, const struct err *err);

#endif
