/*
 * One request on its way through libcurl: built and judged in its caller's thread,
 * carried by the client's.  For base/http*.c; everybody else sees base/http.h.
 */
#ifndef GENGATE_BASE_HTTP_TRANSFER_H
#define GENGATE_BASE_HTTP_TRANSFER_H

#include <curl/curl.h>
#include <pthread.h>

#include "base/http.h"

/*
 * Scheme, host and port: what a connection is for.  The client's thread keeps
 * count, since libcurl 7.88 does not wait for a connection that is being made
 * when all others are full: of a thousand requests it opens dozens for what
 * ten can carry.  An https host is taken to speak HTTP/2 until it has answered
 * otherwise.
 */
struct origin {
	struct origin *next;
	size_t requests;		/* on their way; of these */
	size_t started;			/* libcurl has so many */
	size_t sockets;
	const struct transfer *opener;	/* for whom a connection is being made */
	size_t room;			/* how many may be started meanwhile, it included */
	bool one_at_a_time;		/* it does not multiplex */
	char name[];
};

/*
 * One request on its way.  It lives on the stack of its caller, who builds it,
 * queues it, and touches it again when `done` is set; in between it belongs to
 * the client's thread.
 */
struct transfer {
	struct transfer *next;
	struct origin *origin;		/* from admission on */
	const struct http_request *rq;
	struct http_response *rs;
	CURL *easy;
	struct curl_slist *headers;
	struct buf what;		/* method and URL, for error texts */
	struct buf host;		/* the origin's name */
	uint64_t body_bytes;		/* to send */
	uint64_t body_read;		/* of that, handed to libcurl */
	uint64_t max_response_bytes;
	uint32_t timeout_ms;
	int64_t start_us;
	int64_t progress_us;		/* when a byte was last seen to move */
	uint64_t progress_bytes;	/* and how many had by then */
	size_t header_bytes;
	bool headers_done;		/* what still comes are trailers */
	bool sent;			/* a first byte of the request may be out */
	bool address_refused;
	bool ended;
	CURLcode curl_code;
	enum err_code code;		/* of our own; goes before libcurl's */
	const char *why;		/* static; with code */
	int sys_errno;
	char curl_text[CURL_ERROR_SIZE];
	pthread_cond_t cond;
	bool done;			/* under the client's lock */
};

/* The same for all of a client's; strings may be NULL. */
struct transfer_settings {
	char *ca_file;
	char *user_agent;
};

/* ---- in the caller's thread ---- */

/* The timeout counts from here.  transfer_clear() in any case. */
enum err_code transfer_init(struct transfer *t, const struct transfer_settings *all,
	const struct http_request *rq, struct http_response *rs, struct err *err) MUST_CHECK;
void transfer_clear(struct transfer *t);

/* What came of it, when it is done; and that in words. */
enum err_code transfer_code(const struct transfer *t);
enum err_code transfer_set_err(const struct transfer *t, enum err_code code, struct err *err);

const char *http_method_name(enum http_method method);
bool http_only_reads(const struct http_request *rq);

/* ---- in the client's thread ---- */

void transfer_fail(struct transfer *t, enum err_code code, const char *why);	/* the first reason stays */
enum err_code transfer_not_answered(const struct transfer *t);	/* sent, or not even that */
void transfer_let_others_in(const struct transfer *t);	/* its connection stands, or never will */

/* libcurl's callbacks. */
curl_socket_t transfer_on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *addr);
int transfer_on_close_socket(void *arg, curl_socket_t fd);
int transfer_on_before_request(void *arg, char *ip, char *local_ip, int port, int local_port);
size_t transfer_on_read(char *to, size_t size, size_t n, void *arg);
size_t transfer_on_body(char *p, size_t size, size_t n, void *arg);
size_t transfer_on_header(char *line, size_t size, size_t n, void *arg);

#endif
