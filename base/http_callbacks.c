/* What libcurl calls while a request is on its way: in the client's thread. */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/http_address.h"
#include "base/http_transfer.h"
#include "base/pause_point.h"

#define MAX_RESPONSE_HEADERS 100
#define MAX_HEADER_BYTES ((size_t)64 << 10)

curl_socket_t
transfer_on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *addr)
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

int
transfer_on_close_socket(void *arg, curl_socket_t fd)
{
	struct origin *o = arg;

	if (o->sockets > 0)
		o->sockets--;
	return close(fd);
}

/* libcurl may repeat a request when a kept connection ends without an answer.
 * Where that is not harmless it is not done; nor for public_address_only, so
 * that the address of an earlier try cannot stand for that of the next. */
static bool
may_send_again(const struct http_request *rq)
{
	return http_only_reads(rq) && !rq->public_address_only;
}

void
transfer_let_others_in(const struct transfer *t)
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
int
transfer_on_before_request(void *arg, char *ip, char *local_ip, int port, int local_port)
{
	struct transfer *t = arg;
	int64_t not_after = t->rq->not_after_boot_us;

	(void)local_ip;
	(void)port;
	(void)local_port;
	transfer_let_others_in(t);
	if (t->sent && !may_send_again(t->rq))
		transfer_fail(t, ERR_NO_ANSWER,
			"the connection ended without an answer");
	else if (t->rq->public_address_only && !http_address_text_is_public(ip))
		transfer_fail(t, transfer_not_answered(t), "its address is not public");
	else if (not_after && clock_boot_us() > not_after)
		transfer_fail(t, transfer_not_answered(t), "too late to send it");
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
size_t
transfer_on_read(char *to, size_t size, size_t n, void *arg)
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

size_t
transfer_on_body(char *p, size_t size, size_t n, void *arg)
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

size_t
transfer_on_header(char *line, size_t size, size_t n, void *arg)
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
