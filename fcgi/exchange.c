#include "config.h"

#include "fcgi/exchange.h"

#include <sys/stat.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/trace.h"
#include "fcgi/cors.h"

/* What a client is told to wait when the database is away, or there are too many. */
#define RETRY_AFTER_S "2"

#define ANSWER_MAX (16 * 1024 * 1024)

/* nginx's $request_id, if it looks like one; else one of ours. */
static void
take_request_id(struct exchange *x)
{
	const char *id = exchange_param(x, "REQUEST_ID");
	size_t len = id ? strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_") : 0;
	struct uuid own;

	if (len > 0 && len < sizeof x->request_id && !id[len])
		memcpy(x->request_id, id, len + 1);
	else if (!uuid_new(&own, NULL))
		uuid_format(&own, x->request_id);
}

/* The path behind the place where the web server has put us; some servers
 * give the whole as DOCUMENT_URI only. */
static const char *
request_path(const struct exchange *x)
{
	const char *path = exchange_param(x, "PATH_INFO");

	if (!path || !*path)
		path = exchange_param(x, "DOCUMENT_URI");
	return path && path[0] == '/' ? path : "/";
}

void
exchange_init(struct exchange *x, struct service *svc, const struct transport *io, void *conn)
{
	*x = (struct exchange){
		.svc = svc, .io = io, .conn = conn, .began_us = clock_mono_us(),
		.body = BUF_INIT(0), .headers = BUF_INIT(32768), .out = BUF_INIT(ANSWER_MAX), .file = -1,
	};
	json_begin();
	take_request_id(x);
	x->method = exchange_param(x, "REQUEST_METHOD");
	if (!x->method)
		x->method = "";
	x->path = request_path(x);
	x->trace = exchange_header(x, "traceparent");
	if (!traceparent_ok(x->trace))
		x->trace = NULL;
}

void
exchange_clear(struct exchange *x)
{
	if (x->kept)
		x->release(x->kept);
	x->kept = NULL;
	if (x->file >= 0)
		close(x->file);
	x->file = -1;
	buf_clear(&x->body);
	buf_clear(&x->headers);
	buf_clear(&x->out);
}

void
exchange_resume(struct exchange *x, enum watch_news news)
{
	void (*resume)(struct exchange *x, enum watch_news news) = x->resume;

	x->resume = NULL;
	json_begin();
	resume(x, news);
}

static void
put_headers(const struct exchange *x, struct buf *head)
{
	static const char name[] = "Location: ";
	const char *line = buf_str(&x->headers);

	for (; *line; line = strchr(line, '\n') + 1) {
		if (x->io->location_redirects && x->status == 200 &&
		    strncmp(line, name, sizeof name - 1) == 0)
			buf_puts(head, "Content-");
		buf_put(head, line, strcspn(line, "\n") + 1);
	}
}

/* false, and nothing is sent: what is there of the answer is not the whole. */
static bool
is_whole(const struct exchange *x, const struct buf *head)
{
	enum err_code code = head->err ? head->err : x->headers.err ? x->headers.err : x->out.err;

	if (code)
		log_event(LOG_ERROR, "http.no_answer", KV_STR("request", x->request_id),
			KV_STR("error", err_name(code)));
	return !code;
}

static bool
send_head(struct exchange *x)
{
	struct buf head = BUF_INIT(65536);
	bool ok;

	buf_printf(&head, "Status: %d\r\nX-Request-Id: %s\r\nX-Content-Type-Options: nosniff\r\n",
		x->status, x->request_id);
	/* Here, so that no answer of any kind goes without. */
	if (x->for_pages)
		cors_put(x, &head);
	put_headers(x, &head);
	if (x->file >= 0)
		buf_printf(&head, "Content-Length: %llu\r\n", (unsigned long long)x->file_bytes);
	else if (!x->streams && x->status != 204 && x->status != 304)
		buf_printf(&head, "Content-Length: %zu\r\n", x->out.len);
	buf_puts(&head, "\r\n");
	ok = is_whole(x, &head) && x->io->write(x->conn, buf_str(&head), head.len);
	buf_clear(&head);
	return ok;
}

static void
count_exchange(const struct exchange *x, int status, int64_t took_us)
{
	const char *route = x->route ? x->route : "none";
	char text[16];

	snprintf(text, sizeof text, "%d", status);
	metric_add(METRIC_HTTP_REQUESTS, 1, route, x->method, text);
	metric_observe(METRIC_HTTP_TIME, took_us, route);
}

/* The user is named by a hash: enough to follow one through a log. */
static void
log_exchange(const struct exchange *x, int status, int64_t took_us)
{
	char job[UUID_TEXT_SIZE], user[9] = "";
	uint8_t digest[SHA256_BYTES];

	if (x->has_job)
		uuid_format(&x->job, job);
	if (x->has_owner && !sha256(x->owner.b, sizeof x->owner.b, digest, NULL))
		hex_encode(digest, 4, user);
	log_event(status >= 500 ? LOG_WARN : LOG_INFO, "http.request",
		KV_STR("request", x->request_id), KV_STR("method", x->method),
		KV_STR("path", x->path), KV_INT("status", status),
		KV_STR("user", user[0] ? user : NULL),
		KV_STR("job", x->has_job ? job : NULL),
		KV_INT("took_us", took_us),
		KV_STR("trace", x->trace),
		KV_STR("error", x->err.code ? x->err.text : NULL));
}

static void
send_body(const struct exchange *x)
{
	char piece[16384];
	ssize_t n = 0;

	if (x->file < 0)
		(void)x->io->write(x->conn, buf_str(&x->out), x->out.len);
	for (uint64_t at = 0; x->file >= 0 && at < x->file_bytes; at += (uint64_t)n) {
		n = pread(x->file, piece, sizeof piece, (off_t)at);
		if (n <= 0 || !x->io->write(x->conn, piece, (size_t)n))
			return;
	}
}

void
exchange_end(struct exchange *x, int status)
{
	int64_t took_us;

	if (!status && !x->streams && send_head(x) && strcmp(x->method, "HEAD") != 0)
		send_body(x);
	took_us = clock_mono_us() - x->began_us;
	count_exchange(x, status ? status : x->status, took_us);
	log_exchange(x, status ? status : x->status, took_us);
}

const char *
exchange_param(const struct exchange *x, const char *name)
{
	return x->io->param(x->conn, name);
}

const char *
exchange_header(const void *ctx, const char *name)
{
	const struct exchange *x = ctx;
	char param[64] = "HTTP_";
	size_t n = strlen(param);

	for (; *name && n < sizeof param - 1; name++, n++)
		param[n] = *name == '-' ? '_' : *name >= 'a' && *name <= 'z' ? (char)(*name - 32) : *name;
	param[n] = '\0';
	return *name ? NULL : exchange_param(x, param);
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Percent-decoded.  ERR_NOT_FOUND: broken, or a NUL in it. */
static enum err_code
decode(const char *s, size_t len, char **ret)
{
	struct buf out = BUF_INIT(len + 1);

	for (size_t i = 0; i < len; i++) {
		if (s[i] == '%') {
			int hi = i + 2 < len ? hex_value(s[i + 1]) : -1;
			int lo = i + 2 < len ? hex_value(s[i + 2]) : -1;

			if (hi < 0 || lo < 0 || (hi == 0 && lo == 0)) {
				buf_clear(&out);
				return ERR_NOT_FOUND;
			}
			buf_putc(&out, (char)(hi * 16 + lo));
			i += 2;
		} else {
			buf_putc(&out, s[i] == '+' ? ' ' : s[i]);
		}
	}
	*ret = buf_take(&out);
	buf_clear(&out);
	return *ret ? ERR_OK : ERR_NOMEM;
}

/* The member behind the one at p; "&" alone is none. */
static const char *
skip_member(const char *p)
{
	p += strcspn(p, "&");
	return p + strspn(p, "&");
}

bool
exchange_query_next(const struct exchange *x, const char **at, size_t *ret_len)
{
	const char *query = exchange_param(x, "QUERY_STRING");

	if (*at)
		*at = skip_member(*at);
	else if (query)
		*at = query + strspn(query, "&");
	if (!*at || !**at)
		return false;
	*ret_len = strcspn(*at, "=&");
	return true;
}

bool
exchange_has_query(const struct exchange *x, const char *name)
{
	const char *at = NULL;
	size_t len;

	while (exchange_query_next(x, &at, &len))
		if (len == strlen(name) && strncmp(at, name, len) == 0)
			return true;
	return false;
}

enum err_code
exchange_query(const struct exchange *x, const char *name, char **ret, struct err *err)
{
	const char *at = NULL, *value = NULL;
	enum err_code rc = ERR_NOT_FOUND;
	size_t len;

	while (exchange_query_next(x, &at, &len))
		if (len == strlen(name) && strncmp(at, name, len) == 0 && at[len] == '=') {
			if (value)
				return err_set(err, ERR_NOT_FOUND, "\"%s\" is given twice", name);
			value = at + len + 1;
		}
	if (value)
		rc = decode(value, strcspn(value, "&"), ret);
	return rc ? err_set(err, rc, "\"%s\" in the query", name) : ERR_OK;
}

enum err_code
exchange_body_length(const struct exchange *x, uint64_t max_bytes, uint64_t *ret, struct err *err)
{
	const char *length = exchange_param(x, "CONTENT_LENGTH");
	uint64_t len = 0;

	if (length && *length && parse_u64(length, strlen(length), 0, INT32_MAX, &len))
		return err_set(err, ERR_BAD_REQUEST, "Content-Length is not usable");
	if (len > max_bytes)
		return err_set(err, ERR_TOO_BIG, "the body has %llu bytes; at most %llu are taken",
			(unsigned long long)len, (unsigned long long)max_bytes);
	*ret = len;
	return ERR_OK;
}

enum err_code
exchange_read_body(struct exchange *x, uint64_t max_bytes, struct err *err)
{
	uint64_t want = 0;
	enum err_code rc = exchange_body_length(x, max_bytes, &want, err);
	char *to;
	size_t n;

	if (rc)
		return rc;
	x->body.max = (size_t)want;
	to = buf_reserve(&x->body, (size_t)want);
	if (!to)
		return err_set(err, ERR_NOMEM, "request body");
	n = x->io->read(x->conn, to, (size_t)want);
	if (n != want)
		return err_set(err, ERR_BAD_REQUEST, "the body ends after %zu of %llu bytes", n,
			(unsigned long long)want);
	to[n] = '\0';
	x->body.len = n;
	return ERR_OK;
}

enum err_code
exchange_reserve(struct exchange *x)
{
	return x->io->reserve ? x->io->reserve(x->conn, &x->owner) : ERR_OK;
}

enum err_code
exchange_park(struct exchange *x, enum watch_for what, uint64_t timeout_ms,
	void (*resume)(struct exchange *x, enum watch_news news))
{
	enum err_code rc;

	/* First: the news may come before the call returns. */
	x->resume = resume;
	rc = x->io->park(x->conn, &x->owner, &x->job, what, x->seen, timeout_ms);
	if (rc)
		x->resume = NULL;
	x->no_place = rc != ERR_OK;
	return rc;
}

void
answer_header(struct exchange *x, const char *name, const char *value)
{
	for (const char *p = value; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f) {
			x->headers.err = ERR_INTERNAL;
			return;
		}
	buf_printf(&x->headers, "%s: %s\r\n", name, value);
}

/* As RFC 9110 section 15 has them: the title of a problem without a type of its
 * own (RFC 9457 section 4.2.1). */
static const char *
reason_phrase(int status)
{
	switch (status) {
	case 400: return "Bad Request";
	case 401: return "Unauthorized";
	case 403: return "Forbidden";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 409: return "Conflict";
	case 413: return "Content Too Large";
	case 415: return "Unsupported Media Type";
	case 422: return "Unprocessable Content";
	case 429: return "Too Many Requests";
	case 500: return "Internal Server Error";
	case 502: return "Bad Gateway";
	case 503: return "Service Unavailable";
	case 504: return "Gateway Timeout";
	default: return "Error";
	}
}

/* What is said when there is no memory to say anything better; without memory for
 * this there is no answer.  A request id
 * has no character that JSON would escape. */
static void
answer_bare(struct exchange *x)
{
	buf_clear(&x->out);
	buf_clear(&x->headers);
	x->status = 503;
	answer_header(x, "Content-Type", "application/problem+json");
	answer_header(x, "Cache-Control", "no-store");
	answer_header(x, "Retry-After", RETRY_AFTER_S);
	buf_printf(&x->out, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":503,\"code\":\"%s\","
		"\"detail\":\"%s\",\"request_id\":\"%s\"}", reason_phrase(503), err_name(ERR_NOMEM),
		err_sentence(ERR_NOMEM), x->request_id);
}

static void
answer(struct exchange *x, int status, const char *type, json_t *body)
{
	char *text = json_write(body, JSON_COMPACT);

	json_decref(body);
	x->status = status;
	answer_header(x, "Content-Type", type);
	buf_reset(&x->out);
	if (text)
		buf_puts(&x->out, text);
	if (!text || x->out.err || x->headers.err)
		answer_bare(x);
	mem_free(text);
}

void
answer_json(struct exchange *x, int status, json_t *body)
{
	answer(x, status, "application/json", body);
}

static void
answer_retry_after(struct exchange *x)
{
	char text[24];

	snprintf(text, sizeof text, "%llu", (unsigned long long)x->retry_after_s);
	answer_header(x, "Retry-After", x->retry_after_s ? text : RETRY_AFTER_S);
}

void
answer_problem(struct exchange *x, enum err_code code, const char *detail, json_t *more)
{
	int status = err_http_status(code);
	json_t *problem = json_pack("{ss, ss, si, ss, ss, ss}",
		"type", "about:blank", "title", reason_phrase(status), "status", status,
		"code", err_name(code), "detail", detail ? detail : err_sentence(code),
		"request_id", x->request_id);

	if (problem && more && json_object_update(problem, more)) {
		json_decref(problem);
		problem = NULL;
	}
	json_decref(more);
	/* Without it a cache may keep a 404 or 405 for a while. */
	answer_header(x, "Cache-Control", "no-store");
	if (status == 429 || status == 503)
		answer_retry_after(x);
	answer(x, status, "application/problem+json", problem);
}

/* Which errors' texts are about what the client sent, and so for the client.
 * ERR_INVALID is not: it may be the database's. */
static bool
is_for_client(enum err_code code)
{
	return code == ERR_BAD_REQUEST || code == ERR_TOO_BIG;
}

void
answer_failure(struct exchange *x, enum err_code code, const struct err *err)
{
	x->err = *err;
	/* What has no place in the API is ours to look at. */
	if (code == ERR_CONFIG)
		code = ERR_UNAVAILABLE;
	answer_problem(x, code, is_for_client(code) ? err->text : NULL, NULL);
}

void
answer_text(struct exchange *x, const char *type)
{
	x->status = 200;
	answer_header(x, "Content-Type", type);
	if (x->out.err || x->headers.err)
		answer_bare(x);
}

/* By X-Accel-Redirect; other servers would pass that on. */
static bool
server_takes_files(const struct exchange *x)
{
	const char *software = exchange_param(x, "SERVER_SOFTWARE");

	return x->io->serves_files && software && strncmp(software, "nginx", 5) == 0;
}

void
answer_file(struct exchange *x, const char *path, int fd, const char *type)
{
	struct stat st;

	answer_header(x, "Content-Type", type);
	if (server_takes_files(x)) {
		close(fd);
		answer_header(x, "X-Accel-Redirect", path);
		answer_empty(x, 200);
	} else if (fstat(fd, &st)) {
		close(fd);
		answer_problem(x, ERR_INTERNAL, NULL, NULL);
	} else {
		answer_empty(x, 200);
		x->file = fd;
		x->file_bytes = (uint64_t)st.st_size;
	}
}

void
answer_empty(struct exchange *x, int status)
{
	x->status = status;
	buf_reset(&x->out);
	if (x->headers.err)
		answer_bare(x);
}

bool
answer_stream(struct exchange *x)
{
	x->status = 200;
	x->streams = true;
	answer_header(x, "Content-Type", "text/event-stream");
	answer_header(x, "Cache-Control", "no-store");
	/* nginx passes each piece on as it comes. */
	answer_header(x, "X-Accel-Buffering", "no");
	return send_head(x);
}

bool
stream_send(struct exchange *x, const struct buf *piece)
{
	return !piece->err && x->io->write(x->conn, buf_str(piece), piece->len) &&
		x->io->flush(x->conn);
}
