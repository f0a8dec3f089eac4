/*
 * One request and its answer, as the resources see them; whether it came by
 * FastCGI or CGI is the transport's.
 *
 * A resource answers exactly once, by one of the answer_ calls, or parks the
 * exchange until there is news of a job, and answers when it is resumed.
 * Nothing is sent before it returns, but for streams.  One thread at a time.
 */
#ifndef GENGATE_FCGI_EXCHANGE_H
#define GENGATE_FCGI_EXCHANGE_H

#include "base/json.h"
#include "core/service.h"
#include "core/watch.h"

#define REQUEST_ID_SIZE 65
#define TAIL_SIZE 128

struct exchange;

/* What carries an exchange.  conn is the transport's own. */
struct transport {
	/* A CGI variable, or NULL.  Borrowed until the exchange ends. */
	const char *(*param)(void *conn, const char *name);
	/* Up to len bytes of the body; fewer only at its end. */
	size_t (*read)(void *conn, char *to, size_t len);
	/* false: the client does not take it; it is to be dropped. */
	bool (*write)(void *conn, const char *p, size_t len);
	/* What was written goes out now.  false as above. */
	bool (*flush)(void *conn);
	/* See exchange_reserve().  NULL: there is always one. */
	enum err_code (*reserve)(void *conn, const struct uuid *owner);
	/* Call x->resume when there is news.  As exchange_park(). */
	enum err_code (*park)(void *conn, const struct uuid *owner, const struct uuid *job,
		enum watch_for what, int32_t seen, uint64_t timeout_ms);
	/* The web server takes a Location without a status of its own, or with
	 * 200, for a redirect, and drops the answer (RFC 3875 section 6.2). */
	bool location_redirects;
	/* nginx behind it serves a file that X-Accel-Redirect names. */
	bool serves_files;
};

struct exchange {
	struct service *svc;
	const struct transport *io;
	void *conn;
	char request_id[REQUEST_ID_SIZE];	/* nginx's, or one of ours */
	const char *method;		/* borrowed from the transport, as all below */
	const char *path;		/* decoded by the web server; begins with a slash */
	const char *route;		/* the path of its row in the table; NULL: none */
	bool for_users;			/* its route is; never true without svc */
	bool for_pages;			/* as well, also of other origins (fcgi/cors.h) */
	void (*handle)(struct exchange *x);	/* that row's resource */
	char tail[TAIL_SIZE];		/* of the path: what is at the route's "*" */
	struct buf body;		/* as read for the route */

	int status;			/* 0: not answered yet */
	struct buf headers;		/* "Name: value\r\n" each */
	struct buf out;			/* the answer's body */
	int file;			/* of which it consists instead; -1: none */
	uint64_t file_bytes;
	uint64_t retry_after_s;		/* of a 429 or 503; 0: as usual */
	bool streams;			/* the head has gone; events follow */

	bool no_place;			/* it would have waited, and could not */

	/* Set while it is parked: what goes on when there is news. */
	void (*resume)(struct exchange *x, enum watch_news news);
	/* What the resource has then, and how it is freed if the client goes; or NULL. */
	void *kept;
	void (*release)(void *kept);

	struct uuid owner, job;		/* for the log, and for who resumes */
	bool has_owner, has_job;
	int32_t seen;			/* the job's version that the client knows */
	struct err err;			/* for the log */
	const char *trace;		/* the request's traceparent; NULL: none, or not one */
	int64_t began_us;
};

/* Empty, with a request id.  conn is borrowed; exchange_clear(). */
void exchange_init(struct exchange *x, struct service *svc, const struct transport *io, void *conn);
void exchange_clear(struct exchange *x);

/* Parked: tell the resource.  It answers or parks again. */
void exchange_resume(struct exchange *x, enum watch_news news);

/* Send the answer (nothing more, for a stream) and log the request.  status: 0
 * for the answer's own; 499 for a client that has gone. */
void exchange_end(struct exchange *x, int status);

/* A parameter that the web server set, or NULL.  Borrowed. */
const char *exchange_param(const struct exchange *x, const char *name);

/* A request header by its lower-case name, or NULL.  ctx is a struct exchange;
 * the form that webhooks want.  Borrowed. */
const char *exchange_header(const void *ctx, const char *name);

/* Walk the names of the query string's members, as they are written.  *at is
 * NULL at first, then the name; false: no more. */
bool exchange_query_next(const struct exchange *x, const char **at, size_t *ret_len);

/* Is there a member of that name, whatever its value? */
bool exchange_has_query(const struct exchange *x, const char *name);

/* A member of the query string, percent-decoded.  The caller owns it: mem_free().
 * ERR_NOT_FOUND: absent, given twice, or not decodable.  ERR_NOMEM. */
enum err_code exchange_query(const struct exchange *x, const char *name, char **ret,
	struct err *err) MUST_CHECK;

/* How long the body is.  ERR_TOO_BIG, ERR_BAD_REQUEST (no usable Content-Length). */
enum err_code exchange_body_length(const struct exchange *x, uint64_t max_bytes, uint64_t *ret,
	struct err *err) MUST_CHECK;

/* Read the body into x->body.  ERR_TOO_BIG, ERR_BAD_REQUEST (cut short, or no
 * usable Content-Length). */
enum err_code exchange_read_body(struct exchange *x, uint64_t max_bytes, struct err *err) MUST_CHECK;

/*
 * Be sure of a place to wait in before anything is said; it lasts until the exchange
 * ends.  ERR_TOO_MANY: x->owner has as many as a user may have.  ERR_OVERLOADED: all
 * are taken.  ERR_NOMEM.
 */
enum err_code exchange_reserve(struct exchange *x) MUST_CHECK;

/*
 * Wait for news of x->job of x->owner; the resource returns after it without
 * an answer.  Any error: answer now.  Those of exchange_reserve(), or
 * ERR_STOPPING.
 */
enum err_code exchange_park(struct exchange *x, enum watch_for what, uint64_t timeout_ms,
	void (*resume)(struct exchange *x, enum watch_news news)) MUST_CHECK;

/* Before the answer.  Control characters in a value make it a 500. */
void answer_header(struct exchange *x, const char *name, const char *value);

/* `body` is stolen; NULL (no memory while it was built) becomes a 503. */
void answer_json(struct exchange *x, int status, json_t *body);

/*
 * RFC 9457.  detail: for the client; NULL: the code's sentence.  more: further members, an
 * object, stolen; NULL: none.
 */
void answer_problem(struct exchange *x, enum err_code code, const char *detail, json_t *more);

/* The same for a failed call, whose err goes to the log. */
void answer_failure(struct exchange *x, enum err_code code, const struct err *err);

/* 200 with what is in x->out. */
void answer_text(struct exchange *x, const char *type);

/* 200 with a file of the storage: the web server serves what `path` names in its
 * configuration, or else we do.  fd: stolen. */
void answer_file(struct exchange *x, const char *path, int fd, const char *type);

/* Without a body: 204, 304. */
void answer_empty(struct exchange *x, int status);

/* Send the head of an event stream; then its pieces, each at once.  false: the
 * client does not read; end. */
bool answer_stream(struct exchange *x);
bool stream_send(struct exchange *x, const struct buf *piece);

#endif
