/* Requests and responses: words only, no I/O.  The client is in http.c. */
#include "config.h"

#include "base/http.h"

#include <string.h>
#include <strings.h>

#include "base/clock.h"

static enum err_code
fail(struct http_request *rq, enum err_code code)
{
	if (!rq->err)
		rq->err = code;
	return code;
}

static bool
has_control(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return true;
	return false;
}

/* RFC 9110 section 5.6.2. */
static bool
is_token(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c <= 0x20 || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c))
			return false;
	}
	return true;
}

/* These say where a message ends and what the connection does: the client
 * writes them, and two answers to that are a smuggled request. */
static bool
is_framing(const char *name)
{
	static const char *const names[] = {
		"connection", "content-length", "expect", "keep-alive", "te",
		"trailer", "transfer-encoding", "upgrade",
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcasecmp(name, names[i]) == 0)
			return true;
	return false;
}

static void
header_clear(struct http_header *h)
{
	mem_free(h->name);
	/* It may be a token. */
	if (h->value)
		mem_free_secret(h->value, strlen(h->value));
	h->name = h->value = NULL;
}

void
http_request_clear(struct http_request *rq)
{
	static const struct http_request empty = HTTP_REQUEST_INIT;

	for (size_t i = 0; i < rq->n_headers; i++)
		header_clear(&rq->headers[i]);
	mem_free(rq->url);
	mem_free(rq->body);
	*rq = empty;
}

enum err_code
http_request_set_url(struct http_request *rq, const char *url)
{
	char *copy;

	if (!*url || has_control(url))
		return fail(rq, ERR_INVALID);
	copy = mem_strdup(url);
	if (!copy)
		return fail(rq, ERR_NOMEM);
	mem_free(rq->url);
	rq->url = copy;
	return ERR_OK;
}

enum err_code
http_request_set_body(struct http_request *rq, const char *p, size_t len)
{
	char *copy = mem_strndup(p, len);

	if (!copy)
		return fail(rq, ERR_NOMEM);
	mem_free(rq->body);
	rq->body = copy;
	rq->body_bytes = len;
	return ERR_OK;
}

enum err_code
http_request_add_header(struct http_request *rq, const char *name,
	const char *value)
{
	struct http_header h;

	if (rq->n_headers == HTTP_MAX_HEADERS || !is_token(name) ||
	    is_framing(name) || has_control(value))
		return fail(rq, ERR_INVALID);
	h.name = mem_strdup(name);
	h.value = mem_strdup(value);
	if (!h.name || !h.value) {
		header_clear(&h);
		return fail(rq, ERR_NOMEM);
	}
	rq->headers[rq->n_headers++] = h;
	return ERR_OK;
}

void
http_response_clear(struct http_response *rs)
{
	static const struct http_response empty = HTTP_RESPONSE_INIT;

	for (size_t i = 0; i < rs->n_headers; i++)
		header_clear(&rs->headers[i]);
	mem_free(rs->headers);
	buf_clear(&rs->body);
	*rs = empty;
}

const char *
http_response_header(const struct http_response *rs, const char *name)
{
	for (size_t i = 0; i < rs->n_headers; i++)
		if (strcmp(rs->headers[i].name, name) == 0)
			return rs->headers[i].value;
	return NULL;
}

uint64_t
http_retry_after_ms(const struct http_response *rs)
{
	const char *after = http_response_header(rs, "retry-after");
	const char *date = http_response_header(rs, "date");
	int64_t then, now;
	uint64_t n;

	if (!after)
		return 0;
	if (parse_u64(after, strlen(after), 0, UINT64_MAX, &n)) {
		if (http_date_parse(after, strlen(after), &then) || !date ||
		    http_date_parse(date, strlen(date), &now) || then <= now)
			return 0;
		n = (uint64_t)(then - now);
	}
	return n >= HTTP_RETRY_AFTER_MAX_MS / 1000 ? HTTP_RETRY_AFTER_MAX_MS : n * 1000;
}
