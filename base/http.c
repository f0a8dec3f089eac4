#include "config.h"

#include "base/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/http_address.h"
#include "base/pause_point.h"

#define CONNECT_TIMEOUT_MS 10000
#define TIMEOUT_MS 30000
#define MAX_RESPONSE_BYTES ((uint64_t)8 << 20)
#define MAX_CONNECTIONS 64
#define MAX_PER_HOST 16
#define STREAMS_PER_CONNECTION 100	/* libcurl's own limit, for HTTP/2 */
#define MAX_RESPONSE_HEADERS 100
#define MAX_HEADER_BYTES ((size_t)64 << 10)
#define MAX_WHAT_BYTES ((size_t)16 << 10)

/* Servers and balancers close an idle connection after 60 s and more.  Ours go
 * before that, so that a create seldom meets one that is being closed. */
#define MAX_IDLE_S 50L

static const char stopped[] = "the client was stopped";

#define KICK_US 100000
#define STOP_IDLE_MS 3000	/* how long a transfer that has an idle_timeout_ms may stand still in a stop */
#define SLEEP_MS 60000	/* with nothing to do; a wake-up ends it */

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

struct http_client {
	char *ca_file;
	char *user_agent;
	CURLM *multi;			/* the thread's, but for curl_multi_wakeup() */
	CURL *kick;			/* see kick_waiting() */
	long max_connections, max_per_host;
	pthread_t thread;
	bool has_thread;
	bool has_global;		/* a lazy one has started libcurl itself */

	/* The thread's own. */
	struct origin *origins;
	struct transfer *active;
	struct transfer *held, **held_end;	/* libcurl does not have these yet */
	size_t waiting;			/* of the active, not sent yet */
	int64_t kicked_us;
	bool hurried;			/* a stop has begun */

	pthread_mutex_t lock;		/* for what follows, and transfer.done */
	pthread_cond_t unused;		/* n_callers fell to 0 */
	struct transfer *queue, **queue_end;
	size_t n_callers;		/* inside http_perform() */
	enum stopping { STOP_NOTHING, STOP_READING, STOP_ALL } stopping;
};

/* ---- how a transfer ends ---- */

/* The first reason stays. */
static void
transfer_fail(struct transfer *t, enum err_code code, const char *why)
{
	if (t->code)
		return;
	t->code = code;
	t->why = why;
}

static enum err_code
not_answered(const struct transfer *t)
{
	return t->sent ? ERR_NO_ANSWER : ERR_NOT_SENT;
}

static enum err_code
transfer_code(const struct transfer *t)
{
	if (t->code)
		return t->code;
	switch (t->curl_code) {
	case CURLE_OK:
		/* A 101 that nobody asked for is no answer. */
		return t->rs->status >= 200 ? ERR_OK : ERR_NO_ANSWER;
	case CURLE_FILESIZE_EXCEEDED:
		return ERR_TOO_BIG;
	case CURLE_OUT_OF_MEMORY:
		return t->sent ? ERR_NO_ANSWER : ERR_NOMEM;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return t->sent ? ERR_NO_ANSWER : ERR_INVALID;
	default:
		return not_answered(t);
	}
}

static const char *
transfer_why(const struct transfer *t, enum err_code code)
{
	if (t->why)
		return t->why;
	if (code == ERR_NOT_SENT && t->address_refused)
		return "its address is not public";
	if (code == ERR_TOO_BIG)
		return "the answer is too large";
	if (t->curl_code == CURLE_OK)
		return "no final answer";
	return t->curl_text[0] ? t->curl_text : curl_easy_strerror(t->curl_code);
}

static enum err_code
transfer_set_err(const struct transfer *t, enum err_code code, struct err *err)
{
	char status[32] = "", system[32] = "";

	if (t->rs->status)
		snprintf(status, sizeof status, " (status %ld)", t->rs->status);
	if (t->sys_errno)
		snprintf(system, sizeof system, " (errno %d)", t->sys_errno);
	return err_set(err, code, "%s: %s%s%s", buf_str(&t->what),
		transfer_why(t, code), status, system);
}

/* ---- libcurl's callbacks: in the client's thread ---- */

static curl_socket_t
on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *addr)
{
	struct transfer *t = arg;
	int type = addr->socktype, fd;

	(void)purpose;
	if (t->rq->public_address_only && !http_address_is_public(&addr->addr)) {
		t->address_refused = true;
		return CURL_SOCKET_BAD;
	}
#ifdef SOCK_CLOEXEC
	type |= SOCK_CLOEXEC;
#endif
	fd = socket(addr->family, type, addr->protocol);
	if (fd >= 0)
		t->origin->sockets++;
	return fd;
}

static int
on_close_socket(void *arg, curl_socket_t fd)
{
	struct origin *o = arg;

	if (o->sockets > 0)
		o->sockets--;
	return close(fd);
}

static bool
only_reads(const struct http_request *rq)
{
	return rq->method == HTTP_GET || rq->method == HTTP_HEAD;
}

/* libcurl may repeat a request when a kept connection ends without an answer.
 * Where that is not harmless it is not done; nor for public_address_only, so
 * that the address of an earlier try cannot stand for that of the next. */
static bool
may_send_again(const struct http_request *rq)
{
	return only_reads(rq) && !rq->public_address_only;
}

static void
let_others_in(const struct transfer *t)
{
	if (t->origin->opener == t)
		t->origin->opener = NULL;
}

/*
 * The connection and its TLS stand and nothing of the request is out yet.
 * libcurl comes by here before every try, which is what makes `sent` reliable,
 * lets nothing go out twice (the rewind that cannot be done stops only requests
 * with a body), and keeps public_address_only from using a kept connection
 * that somebody without that wish has opened.
 */
static int
on_before_request(void *arg, char *ip, char *local_ip, int port, int local_port)
{
	struct transfer *t = arg;
	int64_t not_after = t->rq->not_after_boot_us;

	(void)local_ip;
	(void)port;
	(void)local_port;
	let_others_in(t);
	if (t->sent && !may_send_again(t->rq))
		transfer_fail(t, ERR_NO_ANSWER,
			"the connection ended without an answer");
	else if (t->rq->public_address_only && !http_address_text_is_public(ip))
		transfer_fail(t, not_answered(t), "its address is not public");
	else if (not_after && clock_boot_us() > not_after)
		transfer_fail(t, not_answered(t), "too late to send it");
	if (t->code)
		return CURL_PREREQFUNC_ABORT;
	t->sent = true;
	t->progress_us = clock_mono_us();
	return CURL_PREREQFUNC_OK;
}

static ssize_t
read_file(int fd, void *to, size_t len, uint64_t at)
{
	ssize_t n;

	do
		n = pread(fd, to, len, (off_t)at);
	while (n < 0 && errno == EINTR);
	return n;
}

/* Was the process stopped for so long, after it began to send, that somebody else
 * may have sent it meanwhile?  Else the transfer's own timeout comes before this. */
static bool
is_too_late(const struct transfer *t)
{
	int64_t not_after = t->rq->not_after_boot_us;

	return not_after && clock_boot_us() > not_after + (int64_t)t->timeout_ms * 1000;
}

/* No seek callback goes with this, so that libcurl cannot start over. */
static size_t
on_read(char *to, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	uint64_t left = t->body_bytes - t->body_read;
	size_t len = size * n;

	if (len > left)
		len = (size_t)left;
	if (len == 0)
		return 0;
	/* The head is out.  Only a create has a not-after. */
	if (t->body_read == 0 && t->rq->not_after_boot_us)
		PAUSE_POINT("submit.first_byte");
	if (is_too_late(t)) {
		transfer_fail(t, ERR_NO_ANSWER, "too late to send the rest of it");
		return CURL_READFUNC_ABORT;
	}
	if (t->rq->body_fd >= 0) {
		ssize_t got = read_file(t->rq->body_fd, to, len, t->body_read);

		if (got <= 0) {
			t->sys_errno = got < 0 ? errno : 0;
			transfer_fail(t, ERR_NO_ANSWER, "its body could not be read");
			return CURL_READFUNC_ABORT;
		}
		len = (size_t)got;
	} else {
		memcpy(to, t->rq->body + t->body_read, len);
	}
	t->body_read += len;
	return len;
}

static bool
write_file(int fd, const char *p, size_t len, uint64_t at)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return true;
}

static size_t
on_body(char *p, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	struct http_response *rs = t->rs;
	size_t len = size * n;

	if (len > t->max_response_bytes - rs->body_bytes) {
		transfer_fail(t, ERR_TOO_BIG, "the answer is too large");
		return 0;
	}
	if (t->rq->sink_fd < 0) {
		buf_put(&rs->body, p, len);
		if (rs->body.err) {
			transfer_fail(t, ERR_NO_ANSWER, "no memory for the answer");
			return 0;
		}
	} else if (!write_file(t->rq->sink_fd, p, len, rs->body_bytes)) {
		t->sys_errno = errno;
		transfer_fail(t, ERR_INTERNAL, "the answer could not be written");
		return 0;
	}
	rs->body_bytes += len;
	return len;
}

/* A copy without the blanks around it. */
static char *
copy_trimmed(const char *p, size_t len)
{
	while (len > 0 && (*p == ' ' || *p == '\t')) {
		p++;
		len--;
	}
	while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\t'))
		len--;
	return mem_strndup(p, len);
}

static void
lower(char *s)
{
	for (; *s; s++)
		if (*s >= 'A' && *s <= 'Z')
			*s = (char)(*s - 'A' + 'a');
}

static bool
response_add_header(struct http_response *rs, const char *line, size_t len,
	const char *colon)
{
	size_t name_len = (size_t)(colon - line);
	struct http_header *h;

	if (!rs->headers)
		rs->headers = mem_calloc(MAX_RESPONSE_HEADERS, sizeof *rs->headers);
	if (!rs->headers)
		return false;
	h = &rs->headers[rs->n_headers];
	h->name = copy_trimmed(line, name_len);
	h->value = copy_trimmed(colon + 1, len - name_len - 1);
	if (!h->name || !h->value) {
		mem_free(h->name);
		mem_free(h->value);
		return false;
	}
	lower(h->name);
	rs->n_headers++;
	return true;
}

/* What came before, if anything, was a 1xx. */
static void
begin_answer(struct transfer *t)
{
	long version = 0;

	http_response_clear(t->rs);
	t->rs->body.max = (size_t)t->max_response_bytes;
	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &t->rs->status);
	curl_easy_getinfo(t->easy, CURLINFO_HTTP_VERSION, &version);
	t->origin->one_at_a_time = version != CURL_HTTP_VERSION_2_0;
}

static void
take_header(struct transfer *t, const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len);

	/* A folded line or a NUL would leave us with a part of a value. */
	if (!colon || line[0] == ' ' || line[0] == '\t' || memchr(line, '\0', len))
		transfer_fail(t, ERR_NO_ANSWER, "a malformed header in the answer");
	else if (t->rs->n_headers == MAX_RESPONSE_HEADERS)
		transfer_fail(t, ERR_NO_ANSWER, "too many headers in the answer");
	else if (!response_add_header(t->rs, line, len, colon))
		transfer_fail(t, ERR_NO_ANSWER, "no memory for the answer");
}

static size_t
on_header(char *line, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	size_t whole = size * n, len = whole;

	while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
		len--;
	/* Over all 1xx, the headers and the trailers. */
	t->header_bytes += whole;
	if (t->header_bytes > MAX_HEADER_BYTES)
		transfer_fail(t, ERR_NO_ANSWER, "the answer's headers are too large");
	else if (t->headers_done)
		;
	else if (len >= 5 && memcmp(line, "HTTP/", 5) == 0)
		begin_answer(t);
	else if (len == 0)
		t->headers_done = t->rs->status >= 200;
	else
		take_header(t, line, len);
	return t->code ? 0 : whole;
}

/* ---- building a transfer: in its caller's thread ---- */

static const char *
method_name(enum http_method method)
{
	static const char *const names[] = {
		[HTTP_GET] = "GET", [HTTP_HEAD] = "HEAD", [HTTP_POST] = "POST",
		[HTTP_PUT] = "PUT", [HTTP_DELETE] = "DELETE",
	};

	return names[method];
}

static CURLUcode
put_url_part(struct buf *b, CURLU *url, CURLUPart part, const char *before)
{
	char *text;
	CURLUcode uc = curl_url_get(url, part, &text, 0);

	if (uc)
		return uc;
	buf_puts(b, before);
	buf_puts(b, text);
	curl_free(text);
	return CURLUE_OK;
}

static bool
url_has(CURLU *url, CURLUPart part)
{
	char *text;

	if (curl_url_get(url, part, &text, 0) != CURLUE_OK)
		return false;
	curl_free(text);
	return true;
}

/* Of the URL no more than this: its query may be a signature, its user a
 * secret. */
static CURLUcode
put_url(struct buf *b, CURLU *url)
{
	CURLUcode uc;

	uc = put_url_part(b, url, CURLUPART_SCHEME, " ");
	if (!uc)
		uc = put_url_part(b, url, CURLUPART_HOST, "://");
	if (!uc)
		uc = put_url_part(b, url, CURLUPART_PORT, ":");
	if (!uc || uc == CURLUE_NO_PORT)
		uc = put_url_part(b, url, CURLUPART_PATH, "");
	return uc;
}

/* What connections are shared for. */
static CURLUcode
put_host(struct buf *b, CURLU *url)
{
	char *port;
	CURLUcode uc;

	uc = put_url_part(b, url, CURLUPART_SCHEME, "");
	if (!uc)
		uc = put_url_part(b, url, CURLUPART_HOST, "://");
	if (!uc)
		uc = curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
	if (!uc) {
		buf_printf(b, ":%s", port);
		curl_free(port);
	}
	return uc;
}

/* t->what, t->host, and whether the URL is one that we use. */
static enum err_code
check_url(struct transfer *t)
{
	CURLU *url = curl_url();
	enum err_code rc = ERR_OK;
	CURLUcode uc;

	buf_puts(&t->what, method_name(t->rq->method));
	if (!url)
		return ERR_NOMEM;
	uc = curl_url_set(url, CURLUPART_URL, t->rq->url, 0);
	if (!uc)
		uc = put_url(&t->what, url);
	if (!uc || uc == CURLUE_NO_PORT)
		uc = put_host(&t->host, url);
	/* In the URL, user and password would become a header of libcurl's. */
	if (uc == CURLUE_OUT_OF_MEMORY || t->what.err == ERR_NOMEM || t->host.err == ERR_NOMEM)
		rc = ERR_NOMEM;
	else if (uc || t->what.err || t->host.err || url_has(url, CURLUPART_USER) ||
		 url_has(url, CURLUPART_PASSWORD))
		rc = ERR_INVALID;
	curl_url_cleanup(url);
	return rc;
}

static bool
has_body(const struct http_request *rq)
{
	return rq->body_fd >= 0 || rq->body;
}

static enum err_code
check_request(struct transfer *t, struct err *err)
{
	const struct http_request *rq = t->rq;
	enum err_code rc;

	if (rq->err)
		return err_set(err, rq->err, "%s: the request could not be built",
			method_name(rq->method));
	if (!rq->url)
		return err_set(err, ERR_INVALID, "%s: no URL",
			method_name(rq->method));
	rc = check_url(t);
	if (rc)
		return err_set(err, rc, "%s: the URL cannot be used",
			method_name(rq->method));
	if (has_body(rq) && (rq->method == HTTP_GET || rq->method == HTTP_HEAD))
		return err_set(err, ERR_INVALID, "%s: a body", buf_str(&t->what));
	if (t->body_bytes > INT64_MAX)
		return err_set(err, ERR_INVALID, "%s: body length", buf_str(&t->what));
	return ERR_OK;
}

static bool
add_line(struct transfer *t, const char *line)
{
	struct curl_slist *list = curl_slist_append(t->headers, line);

	if (!list)
		return false;
	t->headers = list;
	return true;
}

/* libcurl takes "name:" as the wish to leave it out; "name;" is how an empty
 * one is written. */
static bool
add_header_line(struct transfer *t, const struct http_header *h)
{
	struct buf line = BUF_INIT(SIZE_MAX / 4);
	bool blank = h->value[strspn(h->value, " ")] == '\0';
	bool ok;

	buf_puts(&line, h->name);
	buf_puts(&line, blank ? ";" : ": ");
	if (!blank)
		buf_puts(&line, h->value);
	ok = !line.err && add_line(t, line.p);
	buf_wipe(&line);
	return ok;
}

static bool
build_headers(struct transfer *t)
{
	bool has_type = false;

	for (size_t i = 0; i < t->rq->n_headers; i++) {
		if (!add_header_line(t, &t->rq->headers[i]))
			return false;
		if (curl_strequal(t->rq->headers[i].name, "content-type"))
			has_type = true;
	}
	/* Left out, or libcurl would claim that every POST is a web form. */
	if (!has_type && !add_line(t, "Content-Type:"))
		return false;
	/* It costs a round trip, and a second request after 417. */
	return add_line(t, "Expect:");
}

static uint32_t
or_default(uint32_t value, uint32_t def)
{
	return value ? value : def;
}

/* The first failure stays in `cc`. */
#define SET(option, value) do { \
	if (!cc) \
		cc = curl_easy_setopt(t->easy, (option), (value)); \
} while (0)

static CURLcode
set_method(struct transfer *t)
{
	enum http_method method = t->rq->method;
	CURLcode cc = CURLE_OK;

	if (method == HTTP_HEAD)
		SET(CURLOPT_NOBODY, 1L);
	if (method == HTTP_POST || method == HTTP_PUT || has_body(t->rq)) {
		/* Never CURLOPT_POSTFIELDS: libcurl sends those again. */
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->body_bytes);
		SET(CURLOPT_READFUNCTION, on_read);
		SET(CURLOPT_READDATA, t);
	}
	if (method == HTTP_PUT || method == HTTP_DELETE)
		SET(CURLOPT_CUSTOMREQUEST, method_name(method));
	return cc;
}

static CURLcode
set_callbacks(struct transfer *t)
{
	CURLcode cc = CURLE_OK;

	SET(CURLOPT_PRIVATE, t);
	SET(CURLOPT_ERRORBUFFER, t->curl_text);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	SET(CURLOPT_OPENSOCKETDATA, t);
	SET(CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
	SET(CURLOPT_PREREQFUNCTION, on_before_request);
	SET(CURLOPT_PREREQDATA, t);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, t);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, t);
	return cc;
}

/* Libcurl's own are 16 and 64 kB, which a thousand small calls at a time would
 * feel.  The second is the least that it takes. */
static CURLcode
set_buffers(struct transfer *t)
{
	CURLcode cc = CURLE_OK;

	if (t->rq->sink_fd < 0)
		SET(CURLOPT_BUFFERSIZE, 2048L);
	if (t->body_bytes <= 16384)
		SET(CURLOPT_UPLOAD_BUFFERSIZE, 16384L);
	return cc;
}

static CURLcode
set_connection(struct transfer *t, const struct http_client *c)
{
	CURLcode cc = CURLE_OK;

	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_MAXAGE_CONN, MAX_IDLE_S);
	SET(CURLOPT_CONNECTTIMEOUT_MS,
		(long)or_default(t->rq->connect_timeout_ms, CONNECT_TIMEOUT_MS));
	if (c->ca_file)
		SET(CURLOPT_CAINFO, c->ca_file);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* Else a name that times out holds up our thread, and so everybody,
	 * until the resolver gives up too. */
	SET(CURLOPT_QUICK_EXIT, 1L);
#endif
	/* Wait for HTTP/2 rather than open another connection.  Without TLS
	 * there is no HTTP/2, and waiting would only put all in one line. */
	if (curl_strnequal(t->rq->url, "https:", 6))
		SET(CURLOPT_PIPEWAIT, 1L);
	/* Fails in a libcurl without HTTP/2, which then does without. */
	curl_easy_setopt(t->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	return cc;
}

static CURLcode
set_request(struct transfer *t, const struct http_client *c)
{
	CURLcode cc = CURLE_OK;

	SET(CURLOPT_URL, t->rq->url);
	SET(CURLOPT_PATH_AS_IS, 1L);	/* it may be signed */
	SET(CURLOPT_HTTPHEADER, t->headers);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_HTTP_CONTENT_DECODING, 0L);
	if (c->user_agent)
		SET(CURLOPT_USERAGENT, c->user_agent);
	/* An answer to HEAD tells the length of what it leaves out. */
	if (t->rq->method != HTTP_HEAD && t->max_response_bytes < INT64_MAX)
		SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)t->max_response_bytes);
	return cc;
}

#undef SET

static void
transfer_clear(struct transfer *t)
{
	curl_easy_cleanup(t->easy);
	curl_slist_free_all(t->headers);
	buf_clear(&t->what);
	buf_clear(&t->host);
}

/* The timeout counts from here.  transfer_clear() in any case. */
static enum err_code
transfer_init(struct transfer *t, const struct http_client *c,
	const struct http_request *rq, struct http_response *rs, struct err *err)
{
	enum err_code rc;
	CURLcode cc;

	*t = (struct transfer){
		.rq = rq,
		.rs = rs,
		.what = BUF_INIT(MAX_WHAT_BYTES),
		.host = BUF_INIT(MAX_WHAT_BYTES),
		.body_bytes = has_body(rq) ? rq->body_bytes : 0,
		.timeout_ms = or_default(rq->timeout_ms, TIMEOUT_MS),
		.max_response_bytes = rq->max_response_bytes ?
			rq->max_response_bytes : MAX_RESPONSE_BYTES,
		.start_us = clock_mono_us(),
	};
	/* struct buf adds a NUL and counts in size_t. */
	if (t->max_response_bytes > SIZE_MAX / 4)
		t->max_response_bytes = SIZE_MAX / 4;
	rs->body.max = (size_t)t->max_response_bytes;
	rc = check_request(t, err);
	if (rc)
		return rc;
	t->easy = curl_easy_init();
	if (!t->easy || !build_headers(t))
		return err_set(err, ERR_NOMEM, "%s", buf_str(&t->what));
	cc = set_callbacks(t);
	if (!cc)
		cc = set_connection(t, c);
	if (!cc)
		cc = set_buffers(t);
	if (!cc)
		cc = set_method(t);
	if (!cc)
		cc = set_request(t, c);
	if (cc)
		return err_set(err, cc == CURLE_OUT_OF_MEMORY ?
			ERR_NOMEM : ERR_INTERNAL, "%s: %s", buf_str(&t->what),
			curl_easy_strerror(cc));
	return ERR_OK;
}

/* ---- the client's thread ---- */

static void
end_transfer(struct transfer *t, enum err_code code, const char *why)
{
	transfer_fail(t, code, why);
	t->ended = true;
}

/* All, or those that nobody is connected with. */
static void
free_origins(struct http_client *c, bool all)
{
	for (struct origin **link = &c->origins, *o; (o = *link); ) {
		if (!all && (o->requests || o->sockets)) {
			link = &o->next;
			continue;
		}
		*link = o->next;
		mem_free(o);
	}
}

static struct origin *
find_origin(struct http_client *c, const struct buf *name)
{
	struct origin *o = c->origins;

	while (o && strcmp(o->name, buf_str(name)) != 0)
		o = o->next;
	if (o)
		return o;
	free_origins(c, false);
	o = mem_calloc(1, sizeof *o + name->len + 1);
	if (!o)
		return NULL;
	memcpy(o->name, buf_str(name), name->len);
	/* Without TLS there is no HTTP/2. */
	o->one_at_a_time = strncmp(o->name, "https:", 6) != 0;
	o->next = c->origins;
	c->origins = o;
	return o;
}

/* After this, *t is its caller's and may be gone. */
static void
hand_back(struct http_client *c, struct transfer *t)
{
	pthread_mutex_lock(&c->lock);
	t->done = true;
	pthread_cond_signal(&t->cond);
	pthread_mutex_unlock(&c->lock);
}

static void
hold(struct http_client *c, struct transfer *t)
{
	t->next = NULL;
	*c->held_end = t;
	c->held_end = &t->next;
}

static void
admit(struct http_client *c, struct transfer *t)
{
	t->origin = find_origin(c, &t->host);
	if (!t->origin) {
		end_transfer(t, ERR_NOMEM, "no memory");
		hand_back(c, t);
		return;
	}
	t->origin->requests++;
	curl_easy_setopt(t->easy, CURLOPT_CLOSESOCKETDATA, t->origin);
	hold(c, t);
}

/* The same for what was admitted. */
static void
dismiss(struct http_client *c, struct transfer *t)
{
	t->origin->requests--;
	hand_back(c, t);
}

/* Is there a connection with room for one more?  A server that takes less than
 * libcurl sends gets more connections. */
static bool
has_room(const struct origin *o)
{
	return o->started < (o->opener ? o->room : o->sockets * STREAMS_PER_CONNECTION);
}

static void
start_transfer(struct http_client *c, struct transfer *t)
{
	struct origin *o = t->origin;
	bool room = has_room(o);
	CURLMcode mc;

	o->started++;
	if (!room && !o->one_at_a_time) {
		o->opener = t;
		o->room = o->started;
	}
	mc = curl_multi_add_handle(c->multi, t->easy);
	if (mc)
		end_transfer(t, mc == CURLM_OUT_OF_MEMORY ?
			ERR_NOMEM : ERR_INTERNAL, curl_multi_strerror(mc));
	t->next = c->active;
	c->active = t;
}

static void
stop_transfer(struct http_client *c, struct transfer *t)
{
	curl_multi_remove_handle(c->multi, t->easy);
	let_others_in(t);
	t->origin->started--;
	dismiss(c, t);
}

/* Start what does not have to wait for a connection that is being made, in the
 * order in which it came.  Returns whether there was any. */
static bool
start_held(struct http_client *c)
{
	struct transfer *t = c->held, *next;
	bool any = false;

	c->held = NULL;
	c->held_end = &c->held;
	for (; t; t = next) {
		const struct origin *o = t->origin;

		next = t->next;
		if (o->one_at_a_time || !o->opener || has_room(o)) {
			start_transfer(c, t);
			any = true;
		} else {
			hold(c, t);
		}
	}
	return any;
}

/* Take what was queued.  Returns what is to stop. */
static enum stopping
admit_queued(struct http_client *c)
{
	struct transfer *t, *next;
	enum stopping stopping;

	pthread_mutex_lock(&c->lock);
	t = c->queue;
	c->queue = NULL;
	c->queue_end = &c->queue;
	stopping = c->stopping;
	pthread_mutex_unlock(&c->lock);
	for (; t; t = next) {
		next = t->next;
		admit(c, t);
	}
	start_held(c);
	return stopping;
}

static void
reap_ended(struct http_client *c)
{
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(c->multi, &left))) {
		char *t_ptr = NULL;
		struct transfer *t;

		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &t_ptr);
		t = (struct transfer *)(void *)t_ptr;
		t->curl_code = msg->data.result;
		t->ended = true;
	}
}

static void
note_progress(struct transfer *t, int64_t now_us)
{
	curl_off_t up = 0;
	uint64_t bytes;

	curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &up);
	bytes = (uint64_t)up + t->header_bytes + t->rs->body_bytes;
	if (bytes == t->progress_bytes)
		return;
	t->progress_bytes = bytes;
	t->progress_us = now_us;
}

/* A stop has less patience with what stands still. */
static uint32_t
idle_ms(const struct http_client *c, const struct http_request *rq)
{
	return c->hurried && rq->idle_timeout_ms > STOP_IDLE_MS ? STOP_IDLE_MS : rq->idle_timeout_ms;
}

/*
 * End it if its time is over; returns when that is to be.  Ours and not
 * libcurl's timeouts: 7.88 does not time a transfer that waits for a free
 * connection, and counts idleness in whole seconds and averages.
 */
static int64_t
check_time(const struct http_client *c, struct transfer *t, int64_t now_us)
{
	int64_t due_us = t->start_us + (int64_t)t->timeout_ms * 1000;
	int64_t idle_us = INT64_MAX;

	if (t->sent && t->rq->idle_timeout_ms) {
		note_progress(t, now_us);
		idle_us = t->progress_us + (int64_t)idle_ms(c, t->rq) * 1000;
	}
	if (now_us >= due_us)
		end_transfer(t, not_answered(t), t->sent ?
			"timed out waiting for the answer" :
			"timed out waiting for a connection");
	else if (now_us >= idle_us)
		end_transfer(t, c->hurried ? ERR_STOPPING : ERR_NO_ANSWER, "timed out with nothing moving");
	return idle_us < due_us ? idle_us : due_us;
}

/* Hand back what has ended; returns when the next one is due. */
static int64_t
sweep_active(struct http_client *c, int64_t now_us)
{
	int64_t next_us = INT64_MAX;
	struct transfer *t;

	c->waiting = 0;
	for (struct transfer **link = &c->active; (t = *link); ) {
		int64_t due_us = t->ended ? 0 : check_time(c, t, now_us);

		if (t->ended) {
			*link = t->next;
			stop_transfer(c, t);
			continue;
		}
		if (due_us < next_us)
			next_us = due_us;
		if (!t->sent)
			c->waiting++;
		link = &t->next;
	}
	return next_us;
}

static int64_t
sweep_held(struct http_client *c, int64_t now_us)
{
	int64_t next_us = INT64_MAX;
	struct transfer *t = c->held, *next;

	c->held = NULL;
	c->held_end = &c->held;
	for (; t; t = next) {
		int64_t due_us = t->ended ? 0 : check_time(c, t, now_us);

		next = t->next;
		if (t->ended) {
			dismiss(c, t);
			continue;
		}
		if (due_us < next_us)
			next_us = due_us;
		hold(c, t);
	}
	return next_us;
}

static int64_t
sweep(struct http_client *c)
{
	int64_t now_us = clock_mono_us();
	int64_t active_us = sweep_active(c, now_us), held_us = sweep_held(c, now_us);

	return active_us < held_us ? active_us : held_us;
}

/*
 * libcurl 7.88 looks at one of the transfers that wait for a connection each
 * time another ends.  If that one waits for a busy host it goes back to the end
 * of the line and nobody else is looked at: a slow host would hold up all the
 * others.  A handle that comes and goes makes libcurl look at one more.
 */
static void
kick_waiting(struct http_client *c)
{
	int64_t now_us = clock_mono_us();

	if (c->waiting == 0 || now_us - c->kicked_us < KICK_US)
		return;
	c->kicked_us = now_us;
	for (size_t i = 0; i < c->waiting; i++) {
		if (curl_multi_add_handle(c->multi, c->kick))
			return;
		curl_multi_remove_handle(c->multi, c->kick);
	}
}

static void
sleep_until(struct http_client *c, int64_t next_us)
{
	int64_t ms = SLEEP_MS;

	if (next_us != INT64_MAX)
		ms = (next_us - clock_mono_us()) / 1000 + 1;
	if (ms > SLEEP_MS)
		ms = SLEEP_MS;
	if (c->waiting > 0 && ms > KICK_US / 1000)
		ms = KICK_US / 1000;
	if (ms < 0)
		ms = 0;
	if (curl_multi_poll(c->multi, NULL, 0, (int)ms, NULL)) {
		/* Short of memory, most likely: do not spin meanwhile. */
		struct timespec nap = { .tv_nsec = 10 * 1000 * 1000 };

		nanosleep(&nap, NULL);
	}
}

static bool
is_stopped(enum stopping stopping, const struct http_request *rq)
{
	return stopping == STOP_ALL || (stopping == STOP_READING && only_reads(rq));
}

static void
end_stopped(struct http_client *c, enum stopping stopping)
{
	for (struct transfer *t = c->active; t; t = t->next)
		if (is_stopped(stopping, t->rq))
			end_transfer(t, ERR_STOPPING, stopped);
	for (struct transfer *t = c->held; t; t = t->next)
		if (is_stopped(stopping, t->rq))
			end_transfer(t, ERR_STOPPING, stopped);
}

static void *
client_run(void *arg)
{
	struct http_client *c = arg;
	enum stopping stopping;

	while ((stopping = admit_queued(c)) != STOP_ALL) {
		int64_t next_us;
		int running;

		c->hurried = stopping != STOP_NOTHING;
		end_stopped(c, stopping);
		do {
			/* A failure is not one of a single transfer; those
			 * have their own time limits here. */
			curl_multi_perform(c->multi, &running);
			reap_ended(c);
			next_us = sweep(c);
		} while (start_held(c));
		kick_waiting(c);
		sleep_until(c, next_us);
	}
	end_stopped(c, STOP_ALL);
	sweep(c);
	return NULL;
}

/* ---- the client ---- */

enum err_code
http_global_init(struct err *err)
{
	/* Wiped, because it copies our headers, with the tokens in them. */
	CURLcode cc = curl_global_init_mem(CURL_GLOBAL_DEFAULT, mem_alloc,
		mem_free_wiped, mem_realloc_wiped, mem_strdup, mem_calloc);

	if (cc)
		return err_set(err, cc == CURLE_OUT_OF_MEMORY ?
			ERR_NOMEM : ERR_INTERNAL, "libcurl: %s",
			curl_easy_strerror(cc));
	return ERR_OK;
}

void
http_global_cleanup(void)
{
	curl_global_cleanup();
}

static bool
copy_settings(struct http_client *c, const struct http_settings *s)
{
	c->max_connections = (long)or_default(s->max_connections, MAX_CONNECTIONS);
	c->max_per_host = (long)or_default(s->max_per_host, MAX_PER_HOST);
	if (s->ca_file)
		c->ca_file = mem_strdup(s->ca_file);
	if (s->user_agent)
		c->user_agent = mem_strdup(s->user_agent);
	return (c->ca_file || !s->ca_file) && (c->user_agent || !s->user_agent);
}

static bool
init_multi(struct http_client *c)
{
	if (!c->kick)
		c->kick = curl_easy_init();
	if (!c->multi)
		c->multi = curl_multi_init();
	return c->kick && c->multi &&
	       !curl_easy_setopt(c->kick, CURLOPT_NOSIGNAL, 1L) &&
	       !curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX) &&
	       !curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, c->max_connections) &&
	       !curl_multi_setopt(c->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, c->max_connections) &&
	       !curl_multi_setopt(c->multi, CURLMOPT_MAX_HOST_CONNECTIONS, c->max_per_host);
}

/* All signals are for other threads, above all SIGPIPE: it would come from a
 * TLS write to a closed connection. */
static bool
start_thread(struct http_client *c)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	c->has_thread = pthread_create(&c->thread, NULL, client_run, c) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return c->has_thread;
}

static enum err_code
start(struct http_client *c, struct err *err)
{
	if (!init_multi(c))
		return err_set(err, ERR_NOMEM, "HTTP client");
	if (!start_thread(c))
		return err_set(err, ERR_INTERNAL, "HTTP client: no thread");
	return ERR_OK;
}

enum err_code
http_client_new(const struct http_settings *settings, struct http_client **ret,
	struct err *err)
{
	struct http_client *c = mem_calloc(1, sizeof *c);
	enum err_code rc = ERR_OK;

	if (!c)
		return err_set(err, ERR_NOMEM, "HTTP client");
	c->queue_end = &c->queue;
	c->held_end = &c->held;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->unused, NULL);
	if (!copy_settings(c, settings))
		rc = err_set(err, ERR_NOMEM, "HTTP client");
	else if (!settings->lazy)
		rc = start(c, err);
	if (rc)
		http_client_free(&c);
	else
		*ret = c;
	return rc;
}

static void
stop(struct http_client *c, enum stopping stopping)
{
	pthread_mutex_lock(&c->lock);
	if (c->stopping < stopping)
		c->stopping = stopping;
	if (c->has_thread)
		curl_multi_wakeup(c->multi);
	pthread_mutex_unlock(&c->lock);
}

void
http_client_stop(struct http_client *c)
{
	stop(c, STOP_ALL);
}

void
http_client_stop_reading(struct http_client *c)
{
	stop(c, STOP_READING);
}

static void
join_thread(struct http_client *c)
{
	http_client_stop(c);
	pthread_join(c->thread, NULL);
	/* Those whose transfer just ended may still be on their way out. */
	pthread_mutex_lock(&c->lock);
	while (c->n_callers > 0)
		pthread_cond_wait(&c->unused, &c->lock);
	pthread_mutex_unlock(&c->lock);
}

void
http_client_free(struct http_client **client)
{
	struct http_client *c = *client;

	*client = NULL;
	if (!c)
		return;
	if (c->has_thread)
		join_thread(c);
	if (c->multi)
		curl_multi_cleanup(c->multi);
	curl_easy_cleanup(c->kick);
	free_origins(c, true);		/* not before the last connection is closed */
	if (c->has_global)
		http_global_cleanup();
	pthread_cond_destroy(&c->unused);
	pthread_mutex_destroy(&c->lock);
	mem_free(c->ca_file);
	mem_free(c->user_agent);
	mem_free(c);
}

/* A lazy client's first request.  With the lock. */
static enum err_code
start_late(struct http_client *c, struct err *err)
{
	if (!c->has_global) {
		enum err_code rc = http_global_init(err);

		if (rc)
			return rc;
		c->has_global = true;
	}
	return start(c, err);
}

static enum err_code
enter(struct http_client *c, const struct http_request *rq, struct err *err)
{
	enum err_code rc = ERR_OK;

	pthread_mutex_lock(&c->lock);
	if (is_stopped(c->stopping, rq))
		rc = err_set(err, ERR_STOPPING, "%s: %s", method_name(rq->method), stopped);
	else if (!c->has_thread)
		rc = start_late(c, err);
	if (!rc)
		c->n_callers++;
	pthread_mutex_unlock(&c->lock);
	return rc;
}

static void
leave(struct http_client *c)
{
	pthread_mutex_lock(&c->lock);
	if (--c->n_callers == 0)
		pthread_cond_signal(&c->unused);
	pthread_mutex_unlock(&c->lock);
}

/* Let the client's thread do it, unless that has ended. */
static void
transfer_run(struct http_client *c, struct transfer *t)
{
	pthread_cond_init(&t->cond, NULL);
	pthread_mutex_lock(&c->lock);
	if (is_stopped(c->stopping, t->rq)) {
		transfer_fail(t, ERR_STOPPING, stopped);
		t->done = true;
	} else {
		*c->queue_end = t;
		c->queue_end = &t->next;
		curl_multi_wakeup(c->multi);
	}
	while (!t->done)
		pthread_cond_wait(&t->cond, &c->lock);
	pthread_mutex_unlock(&c->lock);
	pthread_cond_destroy(&t->cond);
}

/* What came of an answer that failed is no answer; the status is kept for
 * those that are about a whole one. */
static void
drop_broken_answer(struct http_response *rs, enum err_code rc)
{
	if (rc == ERR_TOO_BIG || rc == ERR_INTERNAL)
		buf_clear(&rs->body);
	else
		http_response_clear(rs);
}

enum err_code
http_perform(struct http_client *client, const struct http_request *rq,
	struct http_response *rs, struct err *err)
{
	struct transfer t;
	enum err_code rc;

	http_response_clear(rs);
	rc = enter(client, rq, err);
	if (rc)
		return rc;
	rc = transfer_init(&t, client, rq, rs, err);
	if (rc)
		goto out;
	transfer_run(client, &t);
	rc = transfer_code(&t);
	if (rc) {
		transfer_set_err(&t, rc, err);
		drop_broken_answer(rs, rc);
	}
	rs->took_us = clock_mono_us() - t.start_us;
out:
	transfer_clear(&t);
	leave(client);
	return rc;
}
