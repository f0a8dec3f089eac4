#include "config.h"

#include "base/http_transfer.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define CONNECT_TIMEOUT_MS 10000
#define TIMEOUT_MS 30000
#define MAX_RESPONSE_BYTES ((uint64_t)8 << 20)
#define MAX_WHAT_BYTES ((size_t)16 << 10)

/* Servers and balancers close an idle connection after 60 s and more.  Ours go
 * before that, so that a create seldom meets one that is being closed. */
#define MAX_IDLE_S 50L

/* ---- building it ---- */

const char *
http_method_name(enum http_method method)
{
	static const char *const names[] = {
		[HTTP_GET] = "GET", [HTTP_HEAD] = "HEAD", [HTTP_POST] = "POST",
		[HTTP_PUT] = "PUT", [HTTP_DELETE] = "DELETE",
	};

	return names[method];
}

bool
http_only_reads(const struct http_request *rq)
{
	return rq->method == HTTP_GET || rq->method == HTTP_HEAD;
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

	buf_puts(&t->what, http_method_name(t->rq->method));
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
			http_method_name(rq->method));
	if (!rq->url)
		return err_set(err, ERR_INVALID, "%s: no URL",
			http_method_name(rq->method));
	rc = check_url(t);
	if (rc)
		return err_set(err, rc, "%s: the URL cannot be used",
			http_method_name(rq->method));
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
		SET(CURLOPT_READFUNCTION, transfer_on_read);
		SET(CURLOPT_READDATA, t);
	}
	if (method == HTTP_PUT || method == HTTP_DELETE)
		SET(CURLOPT_CUSTOMREQUEST, http_method_name(method));
	return cc;
}

static CURLcode
set_callbacks(struct transfer *t)
{
	CURLcode cc = CURLE_OK;

	SET(CURLOPT_PRIVATE, t);
	SET(CURLOPT_ERRORBUFFER, t->curl_text);
	SET(CURLOPT_OPENSOCKETFUNCTION, transfer_on_open_socket);
	SET(CURLOPT_OPENSOCKETDATA, t);
	SET(CURLOPT_CLOSESOCKETFUNCTION, transfer_on_close_socket);
	SET(CURLOPT_PREREQFUNCTION, transfer_on_before_request);
	SET(CURLOPT_PREREQDATA, t);
	SET(CURLOPT_HEADERFUNCTION, transfer_on_header);
	SET(CURLOPT_HEADERDATA, t);
	SET(CURLOPT_WRITEFUNCTION, transfer_on_body);
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
set_connection(struct transfer *t, const struct transfer_settings *all)
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
	if (all->ca_file)
		SET(CURLOPT_CAINFO, all->ca_file);
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
set_request(struct transfer *t, const struct transfer_settings *all)
{
	CURLcode cc = CURLE_OK;

	SET(CURLOPT_URL, t->rq->url);
	SET(CURLOPT_PATH_AS_IS, 1L);	/* it may be signed */
	SET(CURLOPT_HTTPHEADER, t->headers);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_HTTP_CONTENT_DECODING, 0L);
	if (all->user_agent)
		SET(CURLOPT_USERAGENT, all->user_agent);
	/* An answer to HEAD tells the length of what it leaves out. */
	if (t->rq->method != HTTP_HEAD && t->max_response_bytes < INT64_MAX)
		SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)t->max_response_bytes);
	return cc;
}

#undef SET

void
transfer_clear(struct transfer *t)
{
	curl_easy_cleanup(t->easy);
	curl_slist_free_all(t->headers);
	buf_clear(&t->what);
	buf_clear(&t->host);
}

enum err_code
transfer_init(struct transfer *t, const struct transfer_settings *all,
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
		cc = set_connection(t, all);
	if (!cc)
		cc = set_buffers(t);
	if (!cc)
		cc = set_method(t);
	if (!cc)
		cc = set_request(t, all);
	if (cc)
		return err_set(err, cc == CURLE_OUT_OF_MEMORY ?
			ERR_NOMEM : ERR_INTERNAL, "%s: %s", buf_str(&t->what),
			curl_easy_strerror(cc));
	return ERR_OK;
}

/* ---- how it ends ---- */

void
transfer_fail(struct transfer *t, enum err_code code, const char *why)
{
	if (t->code)
		return;
	t->code = code;
	t->why = why;
}

enum err_code
transfer_not_answered(const struct transfer *t)
{
	return t->sent ? ERR_NO_ANSWER : ERR_NOT_SENT;
}

enum err_code
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
		return transfer_not_answered(t);
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

enum err_code
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
