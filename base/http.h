/*
 * The HTTP client: one thread drives a curl multi handle for everybody, so
 * that connections are kept and shared.  Callers block in http_perform().
 *
 * It never follows redirects, never sends twice what may act (anything but GET
 * and HEAD), never reads proxies from the environment and never keeps cookies.
 * What was sent and what became of it is told apart (NOT_SENT, NO_ANSWER),
 * because a create costs money.
 */
#ifndef GENGATE_BASE_HTTP_H
#define GENGATE_BASE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_DELETE };

struct http_header {
	char *name;
	char *value;
};

#define HTTP_MAX_HEADERS 16

/*
 * A request in words, without any I/O: providers and storages build these.
 * All that it points at is owned by the request; http_request_clear() frees it
 * (and does not close body_fd).
 */
struct http_request {
	enum http_method method;
	char *url;
	struct http_header headers[HTTP_MAX_HEADERS];
	size_t n_headers;

	/* The body: body_fd, if it is not negative, from offset 0 by pread(2),
	 * body_bytes of it; else body, body_bytes long; else none.
	 * A Content-Length is always sent with a body, and with any POST or
	 * PUT.  GET and HEAD take none: ERR_INVALID. */
	char *body;
	int body_fd;			/* borrowed */
	uint64_t body_bytes;

	uint32_t connect_timeout_ms;	/* 0: the client's default, 10 s */
	uint32_t timeout_ms;		/* for all of it; 0: the default, 30 s */
	uint32_t idle_timeout_ms;	/* no byte for that long; 0: no such limit */
	uint64_t max_response_bytes;	/* 0: the default, 8 MB; in a file too */
	int64_t not_after_boot_us;	/* 0: none; else not begun after clock_boot_us(),
					 * nor gone on with a timeout later */

	/* The resolved address has to be public: no loopback, private, link-local,
	 * CGNAT, multicast or reserved one, in IPv4, IPv6 or one inside the other.
	 * Checked for each address at connect, when nothing can change any more. */
	bool public_address_only;

	/* Response bytes go to this file from its offset 0 instead of memory;
	 * -1: memory.  Borrowed. */
	int sink_fd;

	enum err_code err;		/* the first failure of a setter */
};

#define HTTP_REQUEST_INIT { .method = HTTP_GET, .body_fd = -1, .sink_fd = -1 }

void http_request_clear(struct http_request *rq);

/* Setters copy; the first failure sticks and http_perform() reports it, but a
 * caller that wants to know earlier may look at the result. */
enum err_code http_request_set_url(struct http_request *rq, const char *url);
enum err_code http_request_set_body(struct http_request *rq, const char *p, size_t len);
enum err_code http_request_add_header(struct http_request *rq, const char *name,
	const char *value);	/* ERR_INVALID: a control character in it, too many,
				 * or one of the connection's own (Content-Length,
				 * Transfer-Encoding, Expect, Connection and so on) */

struct http_response {
	long status;			/* of the final answer; 0: none came */
	struct http_header *headers;	/* in order, names in lower case */
	size_t n_headers;		/* at most 100, at most 64 kB together */
	struct buf body;		/* empty when it went to sink_fd */
	uint64_t body_bytes;		/* received, wherever they went */
	int64_t took_us;
};

#define HTTP_RESPONSE_INIT { .status = 0 }

void http_response_clear(struct http_response *rs);

/* The first header of that (lower-case) name, or NULL.  Borrowed. */
const char *http_response_header(const struct http_response *rs, const char *name);

/* Its Retry-After in milliseconds (RFC 9110 section 10.2.3: seconds, or a date, for
 * which `Date` is the clock); 0: it has none that can be read.  At most an hour. */
#define HTTP_RETRY_AFTER_MAX_MS (3600 * 1000)
uint64_t http_retry_after_ms(const struct http_response *rs);

struct http_settings {
	const char *ca_file;		/* NULL: the system's */
	const char *user_agent;
	uint32_t max_connections;	/* in all; 0: 64 */
	uint32_t max_per_host;		/* 0: 16 */
	bool lazy;			/* libcurl and the thread start with the first request:
					 * for a process that may need none */
};

struct http_client;

/* Starts the thread.  curl_global_init() has been called before any thread:
 * http_global_init(), which a lazy client calls itself.  settings are copied. */
enum err_code http_global_init(struct err *err) MUST_CHECK;
void http_global_cleanup(void);
enum err_code http_client_new(const struct http_settings *settings,
	struct http_client **ret, struct err *err) MUST_CHECK;

/* Ends running transfers with ERR_STOPPING, waits for their http_perform() to
 * return, ends the thread, frees.  Nobody may begin to use the client then. */
void http_client_free(struct http_client **client);

/* From any thread: ends running transfers and refuses new ones, ERR_STOPPING.
 * stop_reading: only those that change nothing, GET and HEAD; and others that have an
 * idle_timeout_ms once they have stood still for 3 s. */
void http_client_stop(struct http_client *client);
void http_client_stop_reading(struct http_client *client);

/*
 * Send and wait.  Blocks for at most timeout_ms and a little; any thread.
 * rs is cleared first, and again on failure but for what is said below.  The
 * text in err names method, host and path; never query, headers or body.
 * ERR_OK		an answer came, whatever its status: look at rs->status
 * ERR_NOT_SENT		nothing can have reached the other side's application:
 *			name, connection, TLS, address refused, not_after passed
 * ERR_NO_ANSWER	it may have arrived: timeout, reset, broken answer
 *			or one that could not be kept for want of memory
 * ERR_TOO_BIG		the answer passed max_response_bytes (status and
 *			headers are set)
 * ERR_STOPPING		the client was stopped (may have been sent)
 * ERR_INVALID		the URL or a header is not usable; nothing was sent
 * ERR_NOMEM		nothing was sent
 * ERR_INTERNAL		the sink could not be written (status and headers are
 *			set), or, with status 0, libcurl refused to begin
 * GET and HEAD may go out a second time if a kept connection ends without an
 * answer; the others never do.
 */
enum err_code http_perform(struct http_client *client, const struct http_request *rq,
	struct http_response *rs, struct err *err) MUST_CHECK;

#endif
