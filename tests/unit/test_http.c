#include "config.h"

/* The server's memory is not to fail with the client's. */
#define GENGATE_MAY_MALLOC

#include "base/http.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/server.h"
#include "tests/unit/unit.h"

/* ---- what the server answers, by path ---- */

static bool
answer_ok(struct conn *cn)
{
	send_text(cn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
		"X-Two:  a b \t\r\nx-TWO: second\r\nX-Empty:\r\n\r\nhello");
	return true;
}

static bool
answer_echo(struct conn *cn)
{
	char head[100];

	snprintf(head, sizeof head, "HTTP/1.1 201 Created\r\nContent-Length: %zu\r\n\r\n",
		cn->body_len);
	send_text(cn, head);
	send_all(cn, cn->body, cn->body_len);
	return true;
}

static bool
answer_late(struct conn *cn)
{
	struct timespec nap = { .tv_nsec = 200 * 1000 * 1000 };

	nanosleep(&nap, NULL);
	return answer_echo(cn);
}

static bool
answer_count(struct conn *cn)
{
	char body[30], text[200];

	snprintf(body, sizeof body, "%zu", cn->body_bytes);
	snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
		strlen(body), body);
	send_text(cn, text);
	return true;
}

static bool
answer_nothing(struct conn *cn)
{
	(void)cn;
	return false;
}

static bool
answer_silence(struct conn *cn)
{
	wait_for_close(cn);
	return false;
}

static bool
answer_reset(struct conn *cn)
{
	send_text(cn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart");
	reset_on_close(cn);
	return false;
}

static bool
answer_part(struct conn *cn)
{
	send_text(cn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart");
	return false;
}

static bool
answer_stall(struct conn *cn)
{
	send_text(cn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart");
	wait_for_close(cn);
	return false;
}

/* 100,000 bytes of 'x', with or without saying so. */
static bool
send_100000(struct conn *cn)
{
	char text[1000];

	memset(text, 'x', sizeof text);
	for (int i = 0; i < 100; i++)
		send_all(cn, text, sizeof text);
	return false;
}

static bool
answer_big(struct conn *cn)
{
	send_text(cn, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
	return send_100000(cn);
}

static bool
answer_big_unsaid(struct conn *cn)
{
	send_text(cn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
	return send_100000(cn);
}

static bool
answer_big_promise(struct conn *cn)
{
	send_text(cn, "HTTP/1.1 206 Partial\r\nContent-Length: 123456789012\r\n\r\n");
	wait_for_close(cn);
	return false;
}

static bool
answer_early(struct conn *cn)
{
	send_text(cn, "HTTP/1.1 103 Early Hints\r\nX-Early: yes\r\n\r\n"
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Late: yes\r\n\r\n"
		"5\r\nhello\r\n0\r\nX-Trailer: yes\r\n\r\n");
	return true;
}

static bool
answer_redirect(struct conn *cn)
{
	send_text(cn, "HTTP/1.1 302 Found\r\nLocation: /ok\r\nSet-Cookie: a=b\r\n"
		"Content-Length: 0\r\n\r\n");
	return true;
}

static bool
answer_many_headers(struct conn *cn)
{
	send_text(cn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
	for (int i = 0; i < 100; i++)
		send_text(cn, "X-A: b\r\n");
	send_text(cn, "\r\n");
	return false;
}

static bool
answer_long_headers(struct conn *cn)
{
	char value[7001];

	memset(value, 'v', 7000);
	value[7000] = '\0';
	send_text(cn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
	for (int i = 0; i < 10; i++) {
		send_text(cn, "X-A: ");
		send_text(cn, value);
		send_text(cn, "\r\n");
	}
	send_text(cn, "\r\n");
	return false;
}

static bool
answer_fold(struct conn *cn)
{
	send_text(cn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: b\r\n c\r\n\r\n");
	return false;
}

static bool
answer_garbage(struct conn *cn)
{
	send_text(cn, "I am not HTTP\r\n\r\n");
	return false;
}

static bool
answer_switch(struct conn *cn)
{
	send_text(cn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nxyz");
	return false;
}

static bool
answer_gzip(struct conn *cn)
{
	send_text(cn, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
		"Content-Length: 4\r\n\r\nabcd");
	return true;
}

static bool
answer_417(struct conn *cn)
{
	send_text(cn, "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n");
	return true;
}

static const struct {
	const char *path;
	bool (*answer)(struct conn *cn);
} routes[] = {
	{ "/ok", answer_ok },
	{ "/echo", answer_echo },
	{ "/late", answer_late },
	{ "/count", answer_count },
	{ "/nothing", answer_nothing },
	{ "/silence", answer_silence },
	{ "/reset", answer_reset },
	{ "/part", answer_part },
	{ "/stall", answer_stall },
	{ "/big", answer_big },
	{ "/big-unsaid", answer_big_unsaid },
	{ "/big-promise", answer_big_promise },
	{ "/early", answer_early },
	{ "/redirect", answer_redirect },
	{ "/many-headers", answer_many_headers },
	{ "/long-headers", answer_long_headers },
	{ "/fold", answer_fold },
	{ "/garbage", answer_garbage },
	{ "/switch", answer_switch },
	{ "/gzip", answer_gzip },
	{ "/417", answer_417 },
};

static bool
answer(struct conn *cn)
{
	const char *path = strchr(cn->head, ' ');
	size_t len;

	if (!path)
		return false;
	path++;
	len = strcspn(path, "? ");
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
		if (strlen(routes[i].path) == len &&
		    memcmp(routes[i].path, path, len) == 0)
			return routes[i].answer(cn);
	return false;
}

/* ---- what every test has ---- */

struct fixture {
	struct server sv;
	struct http_client *client;
	struct http_request rq;
	struct http_response rs;
	struct err err;
	long outstanding;
	int n_fds;
};

static int
count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	if (!dir)
		return 0;	/* not Linux: not counted */
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int
setup(void **state)
{
	static const struct http_settings settings = { .user_agent = "gengate-test" };
	static const struct http_request rq = HTTP_REQUEST_INIT;
	static const struct http_response rs = HTTP_RESPONSE_INIT;
	struct fixture *f = calloc(1, sizeof *f);

	assert_non_null(f);
	f->rq = rq;
	f->rs = rs;
	f->n_fds = count_fds();
	f->outstanding = mem_outstanding();
	server_start(&f->sv, answer, NULL);
	assert_int_equal(http_client_new(&settings, &f->client, &f->err), ERR_OK);
	*state = f;
	return 0;
}

/* Nothing may be left behind, whatever the test did. */
static int
teardown(void **state)
{
	struct fixture *f = *state;

	http_client_free(&f->client);
	assert_null(f->client);
	http_request_clear(&f->rq);
	http_response_clear(&f->rs);
	server_stop(&f->sv);
	assert_int_equal(mem_outstanding(), f->outstanding);
	assert_int_equal(count_fds(), f->n_fds);
	free(f);
	return 0;
}

static void
set_target(struct fixture *f, struct http_request *rq, const char *scheme,
	int port, const char *path)
{
	char url[300];

	(void)f;
	snprintf(url, sizeof url, "%s://127.0.0.1:%d%s", scheme, port, path);
	assert_int_equal(http_request_set_url(rq, url), ERR_OK);
}

/* A new request to the server. */
static void
begin(struct fixture *f, enum http_method method, const char *path)
{
	http_request_clear(&f->rq);
	f->rq.method = method;
	set_target(f, &f->rq, "http", f->sv.port, path);
}

static enum err_code
perform(struct fixture *f)
{
	f->err.text[0] = '\0';
	return http_perform(f->client, &f->rq, &f->rs, &f->err);
}

static enum err_code
get(struct fixture *f, const char *path)
{
	begin(f, HTTP_GET, path);
	return perform(f);
}

static int
temp_file(const char *p, size_t len)
{
	char name[] = "/tmp/gengate-http-XXXXXX";
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	unlink(name);
	assert_int_equal(write(fd, p, len), (ssize_t)len);
	return fd;
}

static bool
last_head_has(struct fixture *f, const char *text)
{
	bool has;

	pthread_mutex_lock(&f->sv.lock);
	has = strstr(f->sv.last_head, text) != NULL;
	pthread_mutex_unlock(&f->sv.lock);
	return has;
}

/* ---- tests ---- */

static void
get_and_keep_alive(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 5; i++) {
		assert_int_equal(get(f, "/ok?q=1"), ERR_OK);
		assert_int_equal(f->rs.status, 200);
		assert_string_equal(buf_str(&f->rs.body), "hello");
		assert_int_equal(f->rs.body_bytes, 5);
		assert_int_equal(f->rs.n_headers, 4);
		assert_string_equal(http_response_header(&f->rs, "x-two"), "a b");
		assert_string_equal(http_response_header(&f->rs, "x-empty"), "");
		assert_null(http_response_header(&f->rs, "x-none"));
	}
	assert_int_equal(f->sv.requests, 5);
	assert_int_equal(f->sv.accepts, 1);
}

static void
request_says_no_more_than_asked(void **state)
{
	struct fixture *f = *state;

	begin(f, HTTP_POST, "/a/../echo");
	assert_int_equal(http_request_set_body(&f->rq, "{}", 2), ERR_OK);
	assert_int_equal(http_request_add_header(&f->rq, "X-One", "1"), ERR_OK);
	assert_int_equal(http_request_add_header(&f->rq, "X-Empty", ""), ERR_OK);
	assert_int_equal(http_request_add_header(&f->rq, "X-Blank", "  "), ERR_OK);
	assert_int_equal(perform(f), ERR_NO_ANSWER);	/* no such path there */
	assert_true(last_head_has(f, "POST /a/../echo HTTP/1.1\r\n"));
	assert_true(last_head_has(f, "\r\nContent-Length: 2\r\n"));
	assert_true(last_head_has(f, "\r\nX-One: 1\r\n"));
	assert_true(last_head_has(f, "\r\nX-Empty:\r\n"));
	assert_true(last_head_has(f, "\r\nX-Blank:\r\n"));
	assert_true(last_head_has(f, "\r\nUser-Agent: gengate-test\r\n"));
	assert_false(last_head_has(f, "Expect"));
	assert_false(last_head_has(f, "Accept-Encoding"));
	assert_false(last_head_has(f, "Content-Type"));
	assert_false(last_head_has(f, "Cookie"));

	begin(f, HTTP_POST, "/ok");
	assert_int_equal(http_request_add_header(&f->rq, "content-type", "a/b"), ERR_OK);
	assert_int_equal(perform(f), ERR_OK);
	assert_true(last_head_has(f, "\r\ncontent-type: a/b\r\n"));
	assert_true(last_head_has(f, "\r\nContent-Length: 0\r\n"));
}

static void
methods_and_bodies(void **state)
{
	static const struct {
		enum http_method method;
		const char *line, *body;
	} rows[] = {
		{ HTTP_GET, "GET /echo ", NULL },
		{ HTTP_POST, "POST /echo ", NULL },
		{ HTTP_POST, "POST /echo ", "" },
		{ HTTP_POST, "POST /echo ", "{\"a\":1}" },
		{ HTTP_PUT, "PUT /echo ", NULL },
		{ HTTP_PUT, "PUT /echo ", "put" },
		{ HTTP_DELETE, "DELETE /echo ", NULL },
		{ HTTP_DELETE, "DELETE /echo ", "[\"b\"]" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const char *body = rows[i].body;

		begin(f, rows[i].method, "/echo");
		if (body)
			assert_int_equal(http_request_set_body(&f->rq, body,
				strlen(body)), ERR_OK);
		assert_int_equal(perform(f), ERR_OK);
		assert_int_equal(f->rs.status, 201);
		assert_string_equal(buf_str(&f->rs.body), body ? body : "");
		assert_true(last_head_has(f, rows[i].line));
	}
	assert_int_equal(f->sv.accepts, 1);
}

/* And may promise more than the ceiling. */
static void
head_has_no_body(void **state)
{
	struct fixture *f = *state;

	begin(f, HTTP_HEAD, "/big-promise");
	assert_int_equal(perform(f), ERR_OK);
	assert_int_equal(f->rs.status, 206);
	assert_string_equal(http_response_header(&f->rs, "content-length"),
		"123456789012");
	assert_int_equal(f->rs.body_bytes, 0);
}

static void
body_from_file_and_answer_to_file(void **state)
{
	struct fixture *f = *state;
	char text[50000], back[50000];
	int from, to;

	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)(i * 7);
	from = temp_file(text, sizeof text);
	to = temp_file("", 0);
	begin(f, HTTP_PUT, "/echo");
	f->rq.body_fd = from;
	f->rq.body_bytes = sizeof text;
	f->rq.sink_fd = to;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(perform(f), ERR_OK);
		assert_int_equal(f->rs.body_bytes, sizeof text);
		assert_int_equal(f->rs.body.len, 0);
		assert_int_equal(pread(to, back, sizeof back, 0), sizeof back);
		assert_memory_equal(text, back, sizeof text);
	}
	close(from);
	close(to);
}

static void
large_bodies_without_expect(void **state)
{
	struct fixture *f = *state;
	size_t len = 5000000;
	char *text = calloc(1, len);

	begin(f, HTTP_POST, "/count");
	assert_int_equal(http_request_set_body(&f->rq, text, len), ERR_OK);
	assert_int_equal(perform(f), ERR_OK);
	assert_string_equal(buf_str(&f->rs.body), "5000000");
	assert_false(last_head_has(f, "Expect"));
	free(text);
}

static void
files_that_fail(void **state)
{
	struct fixture *f = *state;
	int from = temp_file("short", 5), full;

	begin(f, HTTP_PUT, "/echo");
	f->rq.body_fd = from;
	f->rq.body_bytes = 100;
	assert_int_equal(perform(f), ERR_NO_ANSWER);
	assert_int_equal(f->sv.requests, 0);
	close(from);

	full = open("/dev/full", O_WRONLY);
	if (full < 0)
		return;
	begin(f, HTTP_GET, "/ok");
	f->rq.sink_fd = full;
	assert_int_equal(perform(f), ERR_INTERNAL);
	assert_int_equal(f->rs.status, 200);
	close(full);
}

/*
 * The server answers one request, reads all of a second one on the kept
 * connection and closes.  libcurl would open another connection and send it
 * again; for what may cost money that has to be impossible.
 */
static void
never_sent_twice(void **state)
{
	static const struct {
		const char *name;
		enum http_method method;
		const char *body;
		bool file;
	} rows[] = {
		{ "body in memory", HTTP_POST, "{\"prompt\":\"x\"}", false },
		{ "body in a file", HTTP_POST, "{\"prompt\":\"x\"}", true },
		{ "empty body", HTTP_POST, "", false },
		{ "no body", HTTP_POST, NULL, false },
		{ "put", HTTP_PUT, "x", false },
		{ "delete", HTTP_DELETE, NULL, false },
		{ "delete with body", HTTP_DELETE, "x", false },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const char *body = rows[i].body;
		int fd = -1;

		assert_int_equal(get(f, "/ok"), ERR_OK);
		begin(f, rows[i].method, "/nothing");
		if (rows[i].file) {
			fd = temp_file(body, strlen(body));
			f->rq.body_fd = fd;
			f->rq.body_bytes = strlen(body);
		} else if (body) {
			assert_int_equal(http_request_set_body(&f->rq, body,
				strlen(body)), ERR_OK);
		}
		if (perform(f) != ERR_NO_ANSWER)
			fail_msg("%s: %s", rows[i].name, f->err.text);
		assert_int_equal(f->rs.status, 0);
		if (atomic_load(&f->sv.requests) != 2)
			fail_msg("%s: %d requests", rows[i].name,
				atomic_load(&f->sv.requests));
		atomic_store(&f->sv.requests, 0);
		if (fd >= 0)
			close(fd);
	}
}

static void
not_again_after_417(void **state)
{
	struct fixture *f = *state;

	begin(f, HTTP_POST, "/417");
	assert_int_equal(http_request_set_body(&f->rq, "x", 1), ERR_OK);
	assert_int_equal(perform(f), ERR_OK);
	assert_int_equal(f->rs.status, 417);
	assert_int_equal(f->sv.requests, 1);
}

static void
no_whole_answer(void **state)
{
	static const char *const paths[] = {
		"/nothing", "/silence", "/reset", "/part", "/stall", "/garbage",
		"/switch", "/fold", "/many-headers", "/long-headers",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		begin(f, HTTP_POST, paths[i]);
		f->rq.timeout_ms = 300;
		assert_int_equal(http_request_set_body(&f->rq, "x", 1), ERR_OK);
		if (perform(f) != ERR_NO_ANSWER)
			fail_msg("%s: %s", paths[i], f->err.text);
		assert_int_equal(f->rs.status, 0);
		assert_int_equal(f->rs.n_headers, 0);
		assert_int_equal(f->rs.body.len, 0);
		assert_int_equal(f->sv.requests, (int)i + 1);
	}
}

static void
idle_is_not_slow(void **state)
{
	struct fixture *f = *state;

	begin(f, HTTP_GET, "/stall");
	f->rq.idle_timeout_ms = 200;
	assert_int_equal(perform(f), ERR_NO_ANSWER);
	assert_non_null(strstr(f->err.text, "nothing moving"));
	assert_true(f->rs.took_us < 25 * 1000 * 1000);
}

static void
answer_ceilings(void **state)
{
	static const struct { const char *path; uint64_t max; int rc; long status; } rows[] = {
		{ "/big", 100000, ERR_OK, 200 },
		{ "/big", 99999, ERR_TOO_BIG, 200 },
		{ "/big-unsaid", 100000, ERR_OK, 200 },
		{ "/big-unsaid", 99999, ERR_TOO_BIG, 200 },
		{ "/big-promise", 0, ERR_TOO_BIG, 206 },
		{ "/ok", UINT64_MAX, ERR_OK, 200 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (int to_file = 0; to_file < 2; to_file++) {
			int fd = to_file ? temp_file("", 0) : -1;

			begin(f, HTTP_GET, rows[i].path);
			f->rq.max_response_bytes = rows[i].max;
			f->rq.sink_fd = fd;
			assert_int_equal(perform(f), rows[i].rc);
			assert_int_equal(f->rs.status, rows[i].status);
			assert_true(f->rs.n_headers > 0);
			if (fd >= 0)
				close(fd);
		}
}

static void
only_the_final_answer_counts(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, "/early"), ERR_OK);
	assert_int_equal(f->rs.status, 200);
	assert_null(http_response_header(&f->rs, "x-early"));
	assert_null(http_response_header(&f->rs, "x-trailer"));
	assert_string_equal(http_response_header(&f->rs, "x-late"), "yes");
	assert_string_equal(buf_str(&f->rs.body), "hello");

	assert_int_equal(get(f, "/redirect"), ERR_OK);
	assert_int_equal(f->rs.status, 302);
	assert_string_equal(http_response_header(&f->rs, "location"), "/ok");
	assert_int_equal(get(f, "/gzip"), ERR_OK);
	assert_string_equal(buf_str(&f->rs.body), "abcd");
	assert_false(last_head_has(f, "Cookie"));
	assert_int_equal(f->sv.requests, 3);
}

static void
nobody_there(void **state)
{
	struct fixture *f = *state;
	int port, fd = listen_on_loopback(&port);

	/* TLS that nobody answers: the time is over before anything was sent. */
	begin(f, HTTP_POST, "/ok");
	set_target(f, &f->rq, "https", port, "/ok");
	f->rq.connect_timeout_ms = 200;
	assert_int_equal(perform(f), ERR_NOT_SENT);
	f->rq.connect_timeout_ms = 0;
	f->rq.timeout_ms = 200;
	assert_int_equal(perform(f), ERR_NOT_SENT);

	/* Without TLS it has been sent, though nobody reads it. */
	set_target(f, &f->rq, "http", port, "/ok");
	assert_int_equal(perform(f), ERR_NO_ANSWER);

	close(fd);
	assert_int_equal(perform(f), ERR_NOT_SENT);
	assert_non_null(strstr(f->err.text, "POST http://127.0.0.1:"));

	assert_int_equal(http_request_set_url(&f->rq,
		"http://no-such-name.invalid/"), ERR_OK);
	/* Until the resolver gives up: else it would hold its socket and memory
	 * beyond the end of the test. */
	f->rq.timeout_ms = f->rq.connect_timeout_ms = 300000;
	assert_int_equal(perform(f), ERR_NOT_SENT);
	assert_int_equal(f->sv.requests, 0);
}

static int64_t
boot_us(void)
{
	struct timespec ts;

#if HAVE_DECL_CLOCK_BOOTTIME
	clock_gettime(CLOCK_BOOTTIME, &ts);
#else
	clock_gettime(CLOCK_MONOTONIC, &ts);
#endif
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void
not_sent_too_late(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, "/ok"), ERR_OK);	/* keeps a connection */
	begin(f, HTTP_POST, "/ok");
	f->rq.not_after_boot_us = boot_us() + 60 * 1000 * 1000;
	assert_int_equal(perform(f), ERR_OK);
	f->rq.not_after_boot_us = boot_us() - 1;
	assert_int_equal(perform(f), ERR_NOT_SENT);
	assert_non_null(strstr(f->err.text, "too late"));
	assert_int_equal(f->sv.requests, 2);
}

static void
private_addresses_are_refused(void **state)
{
	static const char *const hosts[] = {
		"127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1",
		"0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "[::]",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
		char url[100];

		begin(f, HTTP_GET, "/ok");
		snprintf(url, sizeof url, "http://%s:%d/ok", hosts[i], f->sv.port);
		assert_int_equal(http_request_set_url(&f->rq, url), ERR_OK);
		f->rq.public_address_only = true;
		assert_int_equal(perform(f), ERR_NOT_SENT);
	}
	assert_int_equal(f->sv.accepts, 0);

	/* A connection that somebody else has opened is no way around it. */
	assert_int_equal(get(f, "/ok"), ERR_OK);
	f->rq.public_address_only = true;
	assert_int_equal(perform(f), ERR_NOT_SENT);
	assert_non_null(strstr(f->err.text, "not public"));
	assert_int_equal(f->sv.requests, 1);
}

static void
unusable_requests(void **state)
{
	static const char *const urls[] = {
		"", "127.0.0.1", "//127.0.0.1/", "ftp://127.0.0.1/", "file:///etc/passwd",
		"http://", "http://a b/", "http://a/\r\nX: y", "http://a/\x01",
		"http://user@127.0.0.1/", "http://user:secret@127.0.0.1/",
		"http://:secret@127.0.0.1/", "http://127.0.0.1:99999/", "http://[::1/",
		"gopher://127.0.0.1/",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
		http_request_clear(&f->rq);
		(void)http_request_set_url(&f->rq, urls[i]);
		if (perform(f) != ERR_INVALID)
			fail_msg("%s: %s", urls[i], f->err.text);
		assert_null(strstr(f->err.text, "secret"));
	}
	http_request_clear(&f->rq);
	assert_int_equal(perform(f), ERR_INVALID);
	begin(f, HTTP_GET, "/ok");
	assert_int_equal(http_request_set_body(&f->rq, "x", 1), ERR_OK);
	assert_int_equal(perform(f), ERR_INVALID);
	assert_int_equal(f->sv.requests, 0);
}

static void
header_injection(void **state)
{
	static const struct { const char *name, *value; } rows[] = {
		{ "X-A", "b\r\nX-C: d" },
		{ "X-A", "b\n" },
		{ "X-A", "b\rc" },
		{ "X-A", "b\x7f" },
		{ "X-A\r\nX-B", "c" },
		{ "X-A:", "b" },
		{ "X A", "b" },
		{ "", "b" },
		{ "X-\xc3\xa9", "b" },
		{ "Content-Length", "0" },
		{ "transfer-encoding", "chunked" },
		{ "EXPECT", "100-continue" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		begin(f, HTTP_GET, "/ok");
		assert_int_equal(http_request_add_header(&f->rq, rows[i].name,
			rows[i].value), ERR_INVALID);
		/* It sticks, though what follows is fine. */
		assert_int_equal(http_request_add_header(&f->rq, "X-A", "b"), ERR_OK);
		assert_int_equal(perform(f), ERR_INVALID);
	}
	begin(f, HTTP_GET, "/ok");
	for (int i = 0; i < HTTP_MAX_HEADERS; i++)
		assert_int_equal(http_request_add_header(&f->rq, "X-A", "b"), ERR_OK);
	assert_int_equal(http_request_add_header(&f->rq, "X-A", "b"), ERR_INVALID);
	assert_int_equal(perform(f), ERR_INVALID);
	assert_int_equal(f->sv.requests, 0);
}

static void
errors_keep_secrets(void **state)
{
	struct fixture *f = *state;

	begin(f, HTTP_POST, "/nothing?token=secret#secret");
	assert_int_equal(http_request_add_header(&f->rq, "Authorization",
		"Bearer secret"), ERR_OK);
	assert_int_equal(http_request_set_body(&f->rq, "secret", 6), ERR_OK);
	assert_int_equal(perform(f), ERR_NO_ANSWER);
	assert_non_null(strstr(f->err.text, "POST http://127.0.0.1:"));
	assert_non_null(strstr(f->err.text, "/nothing: "));
	assert_null(strstr(f->err.text, "secret"));
	assert_int_equal(http_perform(f->client, &f->rq, &f->rs, NULL), ERR_NO_ANSWER);
}

/* ---- several threads ---- */

struct caller {
	struct fixture *f;
	pthread_t thread;
	bool reads;		/* GET instead of POST */
	const char *path;
	int n;
	uint32_t timeout_ms;
	enum err_code rc;	/* the last one that was not ERR_OK */
	int wrong;
};

static void
call_once(struct caller *me, int i)
{
	struct http_request rq = HTTP_REQUEST_INIT;
	struct http_response rs = HTTP_RESPONSE_INIT;
	char text[50];
	enum err_code rc;

	snprintf(text, sizeof text, "%p %d", (void *)me, i);
	rq.method = me->reads ? HTTP_GET : HTTP_POST;
	rq.timeout_ms = me->timeout_ms;
	set_target(me->f, &rq, "http", me->f->sv.port, me->path);
	if (!me->reads)
		(void)http_request_set_body(&rq, text, strlen(text));
	rc = http_perform(me->f->client, &rq, &rs, NULL);
	if (rc)
		me->rc = rc;
	else if (rs.status != 201 || strcmp(buf_str(&rs.body), text) != 0)
		me->wrong++;
	http_request_clear(&rq);
	http_response_clear(&rs);
}

static void *
call(void *arg)
{
	struct caller *me = arg;

	for (int i = 0; i < me->n; i++)
		call_once(me, i);
	return NULL;
}

static void
start_callers(struct caller *callers, size_t n, struct fixture *f,
	const char *path, int times)
{
	for (size_t i = 0; i < n; i++) {
		callers[i] = (struct caller){ .f = f, .path = path, .n = times };
		assert_int_equal(pthread_create(&callers[i].thread, NULL, call,
			&callers[i]), 0);
	}
}

static void
join_callers(struct caller *callers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		pthread_join(callers[i].thread, NULL);
}

static void
many_at_once(void **state)
{
	struct fixture *f = *state;
	struct caller callers[16];

	start_callers(callers, 16, f, "/echo", 50);
	join_callers(callers, 16);
	for (size_t i = 0; i < 16; i++) {
		assert_int_equal(callers[i].rc, ERR_OK);
		assert_int_equal(callers[i].wrong, 0);
	}
	assert_int_equal(f->sv.requests, 16 * 50);
	assert_true(f->sv.accepts <= 16);
}

static void
wait_for_requests(struct fixture *f, int n)
{
	struct timespec nap = { .tv_nsec = 5 * 1000 * 1000 };

	while (atomic_load(&f->sv.requests) < n)
		nanosleep(&nap, NULL);
}

/* More than the connections to a host, all of them waiting: the rest are never
 * sent, and another host, with more than its share too, is served meanwhile. */
static void
a_slow_host_holds_up_nobody_else(void **state)
{
	struct fixture *f = *state, other = { .n_fds = 0 };
	struct caller slow[100], fast[24];
	/* For the slow ones to stand in line: this only makes it sharper. */
	struct timespec nap = { .tv_nsec = 300 * 1000 * 1000 };

	server_start(&other.sv, answer, NULL);
	other.client = f->client;
	for (size_t i = 0; i < 100; i++) {
		slow[i] = (struct caller){ .f = f, .path = "/silence", .n = 1,
			.timeout_ms = 60000 };
		assert_int_equal(pthread_create(&slow[i].thread, NULL, call,
			&slow[i]), 0);
	}
	wait_for_requests(f, 16);
	nanosleep(&nap, NULL);
	start_callers(fast, 24, &other, "/late", 1);
	join_callers(fast, 24);
	http_client_stop(f->client);
	join_callers(slow, 100);
	server_stop(&other.sv);
	for (size_t i = 0; i < 24; i++) {
		assert_int_equal(fast[i].rc, ERR_OK);
		assert_int_equal(fast[i].wrong, 0);
	}
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(slow[i].rc, ERR_STOPPING);
	assert_int_equal(f->sv.requests, 16);
}

static void
waiting_for_a_connection_ends_too(void **state)
{
	struct fixture *f = *state;
	struct caller slow[16];

	start_callers(slow, 16, f, "/silence", 1);
	wait_for_requests(f, 16);
	begin(f, HTTP_POST, "/ok");
	f->rq.timeout_ms = 300;
	assert_int_equal(perform(f), ERR_NOT_SENT);
	assert_non_null(strstr(f->err.text, "waiting for a connection"));
	http_client_stop(f->client);
	join_callers(slow, 16);
}

static void
stop_reading_leaves_what_acts(void **state)
{
	struct fixture *f = *state;
	struct caller reader = { .f = f, .reads = true, .path = "/silence", .n = 3 };
	struct caller writer = { .f = f, .path = "/late", .n = 1 };

	assert_int_equal(pthread_create(&reader.thread, NULL, call, &reader), 0);
	wait_for_requests(f, 1);
	assert_int_equal(pthread_create(&writer.thread, NULL, call, &writer), 0);
	wait_for_requests(f, 2);
	http_client_stop_reading(f->client);
	join_callers(&reader, 1);
	join_callers(&writer, 1);
	assert_int_equal(reader.rc, ERR_STOPPING);
	assert_int_equal(writer.rc, ERR_OK);
	assert_int_equal(get(f, "/ok"), ERR_STOPPING);
	begin(f, HTTP_POST, "/ok");
	assert_int_equal(perform(f), ERR_OK);
	assert_int_equal(f->sv.requests, 3);
	http_client_stop(f->client);
	http_client_stop_reading(f->client);
	begin(f, HTTP_POST, "/ok");
	assert_int_equal(perform(f), ERR_STOPPING);
}

/* A file that goes nowhere can be stored by the next process as well. */
static void
a_stop_does_not_wait_for_what_stands_still(void **state)
{
	struct fixture *f = *state;

	http_client_stop_reading(f->client);
	begin(f, HTTP_POST, "/silence");
	f->rq.idle_timeout_ms = 60000;
	assert_int_equal(perform(f), ERR_STOPPING);
}

static void
stop_ends_what_runs_and_refuses_the_rest(void **state)
{
	struct fixture *f = *state;
	struct caller callers[4];

	start_callers(callers, 4, f, "/silence", 3);
	wait_for_requests(f, 4);
	http_client_stop(f->client);
	http_client_stop(f->client);
	join_callers(callers, 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(callers[i].rc, ERR_STOPPING);
	assert_int_equal(get(f, "/ok"), ERR_STOPPING);
	assert_int_equal(f->sv.requests, 4);
}

static void
free_waits_for_its_callers(void **state)
{
	struct fixture *f = *state;
	struct caller callers[4];

	start_callers(callers, 4, f, "/silence", 1);
	wait_for_requests(f, 4);
	http_client_free(&f->client);
	join_callers(callers, 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(callers[i].rc, ERR_STOPPING);
}

/* ---- short of memory ---- */

static enum err_code
build_request(void)
{
	struct http_request rq = HTTP_REQUEST_INIT;
	enum err_code rc;

	rc = http_request_set_url(&rq, "http://127.0.0.1/");
	if (!rc)
		rc = http_request_add_header(&rq, "Authorization", "Bearer x");
	if (!rc)
		rc = http_request_set_body(&rq, "body", 4);
	assert_int_equal(rq.err, rc);
	http_request_clear(&rq);
	return rc;
}

static void
building_without_memory(void **state)
{
	enum err_code rc;

	(void)state;
	ASSERT_SURVIVES_NOMEM(rc, rc = build_request());
}

/* Any allocation, ours or libcurl's, in any thread: whatever comes of it, it is
 * told, and a request that the server has seen is never NOT_SENT or NOMEM. */
static void
performing_without_memory(void **state)
{
	struct fixture *f = *state;

	for (int once = 0; once < 2; once++)
		for (long n = 0, hit = 1; hit; n++) {
			enum err_code rc;

			begin(f, HTTP_POST, "/echo");
			assert_int_equal(http_request_set_body(&f->rq, "x", 1), ERR_OK);
			f->rq.timeout_ms = 2000;
			atomic_store(&f->sv.requests, 0);
			(once ? mem_fail_once : mem_fail_after)(n);
			rc = perform(f);
			hit = mem_fail_reset();
			if (rc != ERR_OK && rc != ERR_NO_ANSWER)
				assert_int_equal(f->sv.requests, 0);
			if (!hit)
				assert_int_equal(rc, ERR_OK);
			if (rc == ERR_OK)
				assert_string_equal(buf_str(&f->rs.body), "x");
			else
				assert_int_equal(f->rs.status, 0);
		}
}

static void
starting_without_memory(void **state)
{
	static const struct http_settings settings = {
		.ca_file = "/nowhere", .user_agent = "x",
	};
	struct fixture *f = *state;
	long before;

	http_client_free(&f->client);
	before = mem_outstanding();
	for (long n = 0, hit = 1; hit; n++) {
		enum err_code rc;

		mem_fail_after(n);
		rc = http_client_new(&settings, &f->client, NULL);
		hit = mem_fail_reset();
		assert_true(rc == ERR_OK || (hit && rc == ERR_NOMEM));
		http_client_free(&f->client);
		assert_int_equal(mem_outstanding(), before);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(get_and_keep_alive),
		TEST(request_says_no_more_than_asked),
		TEST(methods_and_bodies),
		TEST(head_has_no_body),
		TEST(body_from_file_and_answer_to_file),
		TEST(large_bodies_without_expect),
		TEST(files_that_fail),
		TEST(never_sent_twice),
		TEST(not_again_after_417),
		TEST(no_whole_answer),
		TEST(idle_is_not_slow),
		TEST(answer_ceilings),
		TEST(only_the_final_answer_counts),
		TEST(nobody_there),
		TEST(not_sent_too_late),
		TEST(private_addresses_are_refused),
		TEST(unusable_requests),
		TEST(header_injection),
		TEST(errors_keep_secrets),
		TEST(many_at_once),
		TEST(a_slow_host_holds_up_nobody_else),
		TEST(waiting_for_a_connection_ends_too),
		TEST(stop_reading_leaves_what_acts),
		TEST(a_stop_does_not_wait_for_what_stands_still),
		TEST(stop_ends_what_runs_and_refuses_the_rest),
		TEST(free_waits_for_its_callers),
		cmocka_unit_test(building_without_memory),
		TEST(performing_without_memory),
		TEST(starting_without_memory),
	};
	int failed;

	if (http_global_init(NULL))
		return 1;
	failed = cmocka_run_group_tests_name("http", tests, NULL, NULL);
	http_global_cleanup();
	return failed;
}
