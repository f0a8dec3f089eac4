/*
 * Getting outputs, from listeners that are there: what may be reached, what may
 * not, and what an answer may do to us.  Names that end in .test are resolved
 * here, and nothing leaves the machine.
 */
#include "config.h"

#define GENGATE_MAY_MALLOC

#include "core/fetch.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/unit/server.h"
#include "tests/unit/unit.h"

#define N(table) (sizeof (table) / sizeof *(table))
#define KEY "very-secret"
#define TOKEN "Bearer " KEY

/* Outputs may be fetched from `good` and `api`; nothing may ever reach `secret`,
 * which listens at ::1 as well. */
static struct server good, api, secret;
static int secret6 = -1;

static struct settings settings;
static struct service svc = { .settings = &settings };
static char hosts[200], api_at[100];

/* ---- the machine's resolver and its way out ---- */

static atomic_int lookups, departures;

static const struct { const char *name, *first, *then; } names[] = {
	{ "v4.names.test", "127.0.0.1", "127.0.0.1" },
	{ "v6.names.test", "::1", "::1" },
	{ "mapped.names.test", "::ffff:127.0.0.1", "::ffff:127.0.0.1" },
	{ "nat64.names.test", "64:ff9b::7f00:1", "64:ff9b::7f00:1" },
	{ "any.names.test", "0.0.0.0", "0.0.0.0" },
	{ "metadata.names.test", "169.254.169.254", "169.254.169.254" },
	{ "private.names.test", "10.1.2.3", "10.1.2.3" },
	{ "public.names.test", "1.2.3.4", "1.2.3.4" },
	{ "flips.names.test", "1.2.3.4", "127.0.0.1" },
};

typedef int getaddrinfo_fn(const char *, const char *, const struct addrinfo *, struct addrinfo **);
typedef int connect_fn(int, const struct sockaddr *, socklen_t);

int
getaddrinfo(const char *restrict node, const char *restrict service,
	const struct addrinfo *restrict hints, struct addrinfo **restrict res)
{
	getaddrinfo_fn *real;
	struct addrinfo numeric = { .ai_flags = AI_NUMERICHOST };

	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	for (size_t i = 0; node && i < N(names); i++)
		if (strcasecmp(node, names[i].name) == 0) {
			if (hints)
				numeric.ai_socktype = hints->ai_socktype;
			return real(atomic_fetch_add(&lookups, 1) ? names[i].then : names[i].first,
				service, &numeric, res);
		}
	if (node && strlen(node) > 5 && strcmp(node + strlen(node) - 5, ".test") == 0)
		return EAI_NONAME;
	return real(node, service, hints, res);
}

int
connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	const struct sockaddr_in *in = (const void *)sa;
	connect_fn *real;

	*(void **)&real = dlsym(RTLD_NEXT, "connect");
	if (sa->sa_family == AF_UNIX ||
	    (sa->sa_family == AF_INET && in->sin_addr.s_addr == htonl(INADDR_LOOPBACK)))
		return real(fd, sa, len);
	atomic_fetch_add(&departures, 1);
	errno = ECONNREFUSED;
	return -1;
}

/* ---- what the listeners answer ---- */

static bool
redirect(struct conn *cn, const char *to)
{
	char text[500];

	snprintf(text, sizeof text, "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 4\r\n\r\ngone", to);
	send_text(cn, text);
	return true;
}

static bool
answer_ok(struct conn *cn)
{
	send_text(cn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	return true;
}

static bool
answer_status(struct conn *cn, const char *status)
{
	char text[200];

	snprintf(text, sizeof text, "HTTP/1.1 %s X\r\nContent-Length: 9\r\n\r\nsome text", status);
	send_text(cn, text);
	return true;
}

static bool
nap_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
	return true;
}

/* Until the other side has enough. */
static bool
answer_endless(struct conn *cn)
{
	static const char part[10000] = "x";
	char head[20];
	ssize_t sent = 1;

	send_text(cn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	snprintf(head, sizeof head, "%zx\r\n", sizeof part);
	while (sent > 0) {
		send_text(cn, head);
		send_all(cn, part, sizeof part);
		sent = send(cn->fd, "\r\n", 2, MSG_NOSIGNAL);
	}
	return false;
}

static bool
answer_drip(struct conn *cn)
{
	send_text(cn, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
	for (int i = 0; i < 100 && send(cn->fd, "x", 1, MSG_NOSIGNAL) == 1; i++)
		nap_ms(50);
	return false;
}

/* A gzip of nothing; nobody asked for gzip. */
#define GZIP "\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0"

static bool
answer_gzip(struct conn *cn)
{
	send_text(cn, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n");
	send_all(cn, GZIP, 20);
	return true;
}

static bool
is(const struct conn *cn, const char *path)
{
	size_t len = strlen(path);

	return strncmp(cn->head, "GET ", 4) == 0 && strncmp(cn->head + 4, path, len) == 0 && cn->head[4 + len] == ' ';
}

static bool
answer_redirects(struct conn *cn)
{
	char to[200];
	int hop;

	if (sscanf(cn->head, "GET /hop-%d", &hop) == 1) {
		snprintf(to, sizeof to, "/hop-%d", hop - 1);
		return hop > 1 ? redirect(cn, to) : redirect(cn, "ok");
	}
	if (is(cn, "/to-metadata"))
		return redirect(cn, "http://169.254.169.254/latest/meta-data/");
	if (is(cn, "/to-metadata-https"))
		return redirect(cn, "https://metadata.names.test/");
	if (is(cn, "/to-file"))
		return redirect(cn, "file:///etc/passwd");
	if (is(cn, "/to-itself"))
		return redirect(cn, "/to-itself");
	if (is(cn, "/to-nothing"))
		return redirect(cn, "http://");
	if (is(cn, "/to-secret"))
		snprintf(to, sizeof to, "http://127.0.0.1:%d/", secret.port);
	else if (is(cn, "/to-secret-by-name"))
		snprintf(to, sizeof to, "https://v4.names.test:%d/", secret.port);
	else if (is(cn, "/to-secret-by-number"))
		snprintf(to, sizeof to, "//0x7f.1:%d/", secret.port);
	else if (is(cn, "/to-a-user"))
		snprintf(to, sizeof to, "http://127.0.0.1:%d@127.0.0.1:%d/", good.port, secret.port);
	else if (is(cn, "/to-api"))
		snprintf(to, sizeof to, "http://127.0.0.1:%d/closed", api.port);
	else
		return answer_status(cn, "404");
	return redirect(cn, to);
}

static bool
answer_good(struct conn *cn)
{
	int status;

	if (is(cn, "/ok"))
		return answer_ok(cn);
	if (is(cn, "/endless"))
		return answer_endless(cn);
	if (is(cn, "/drip"))
		return answer_drip(cn);
	if (is(cn, "/gzip"))
		return answer_gzip(cn);
	if (is(cn, "/long")) {
		send_text(cn, "HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\nx");
		return false;
	}
	if (is(cn, "/cut")) {
		send_text(cn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx");
		return false;
	}
	if (sscanf(cn->head, "GET /status-%d", &status) == 1) {
		char text[20];

		snprintf(text, sizeof text, "%d", status);
		return answer_status(cn, text);
	}
	return answer_redirects(cn);
}

static bool
answer_api(struct conn *cn)
{
	bool known = strstr(cn->head, "Authorization: " TOKEN "\r\n") != NULL;
	char to[100];

	if (is(cn, "/closed"))
		return known ? answer_ok(cn) : answer_status(cn, "401");
	if (is(cn, "/leads-away")) {
		snprintf(to, sizeof to, "http://127.0.0.1:%d/ok", good.port);
		return known ? redirect(cn, to) : answer_status(cn, "403");
	}
	return is(cn, "/open") ? answer_ok(cn) : answer_status(cn, "403");
}

/* ---- the provider ---- */

static const char *const output_hosts[] = { "delivery.names.test", ".names.test", NULL };
static const struct provider provider = {
	.name = "fake", .output_hosts = output_hosts, .key_header = "Authorization", .key_scheme = "Bearer",
};

/* The port comes where "%d" is. */
static enum err_code
fetch(const char *pattern, int port, int *ret_fd, uint64_t *ret_bytes, struct err *err)
{
	const char *at = strstr(pattern, "%d");
	char url[300], key[] = KEY;
	const struct provider_api there = { .url = api_at, .key = key };

	assert_non_null(at);
	snprintf(url, sizeof url, "%.*s%d%s", (int)(at - pattern), pattern, port, at + 2);
	return fetch_output(&svc, &provider, &there, url, ret_fd, ret_bytes, err);
}

static void
new_client(void)
{
	const struct http_settings http = { .user_agent = "test" };

	http_client_free(&svc.http);
	assert_int_equal(http_client_new(&http, &svc.http, NULL), ERR_OK);
}

static void
listen6(int port)
{
	struct sockaddr_in6 in = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT };

	secret6 = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (secret6 >= 0 && (bind(secret6, (struct sockaddr *)&in, sizeof in) || listen(secret6, 10))) {
		close(secret6);		/* no IPv6 here */
		secret6 = -1;
	}
}

static int
open_all(void **state)
{
	(void)state;
	server_start(&good, answer_good, NULL);
	server_start(&api, answer_api, NULL);
	server_start(&secret, answer_good, NULL);
	listen6(secret.port);
	/* Not api: the settings of the provider name it already. */
	snprintf(hosts, sizeof hosts, "127.0.0.1:%d, 169.254.169.254, 10.0.0.1", good.port);
	snprintf(api_at, sizeof api_at, "http://127.0.0.1:%d/v1", api.port);
	settings.output_hosts = hosts;
	settings.max_output_bytes = 100000;
	settings.output_timeout_ms = 1000;
	new_client();
	return 0;
}

static void
assert_untouched(const char *name)
{
	struct pollfd p = { .fd = secret6, .events = POLLIN };

	ASSERT_ROW(name, atomic_load(&secret.accepts) == 0);
	ASSERT_ROW(name, secret6 < 0 || poll(&p, 1, 0) == 0);
}

static int
close_all(void **state)
{
	(void)state;
	http_client_free(&svc.http);
	server_stop(&good);
	server_stop(&api);
	server_stop(&secret);
	if (secret6 >= 0)
		close(secret6);
	return mem_outstanding() == 0 ? 0 : -1;
}

/* ---- the tests ---- */

static void
what_may_be_reached(void **state)
{
	static const struct {
		const char *name, *url;		/* with secret's port */
		enum err_code rc;
	} rows[] = {
		/* By its name in the URL. */
		{ "127.0.0.1, another port", "http://127.0.0.1:%d/ok", ERR_OUTPUTS_LOST },
		{ "127.0.0.1 over https", "https://127.0.0.1:%d/ok", ERR_OUTPUTS_LOST },
		{ "localhost", "http://localhost:%d/ok", ERR_OUTPUTS_LOST },
		{ "::1", "http://[::1]:%d/ok", ERR_OUTPUTS_LOST },
		{ "::1 over https", "https://[::1]:%d/ok", ERR_OUTPUTS_LOST },
		{ "IPv4 in IPv6", "https://[::ffff:127.0.0.1]:%d/ok", ERR_OUTPUTS_LOST },
		{ "IPv4 in IPv6, hex", "https://[::ffff:7f00:1]:%d/ok", ERR_OUTPUTS_LOST },
		{ "decimal", "https://2130706433:%d/ok", ERR_OUTPUTS_LOST },
		{ "octal", "https://0177.0.0.1:%d/ok", ERR_OUTPUTS_LOST },
		{ "hex", "https://0x7f000001:%d/ok", ERR_OUTPUTS_LOST },
		{ "short", "https://127.1:%d/ok", ERR_OUTPUTS_LOST },
		{ "full stops of others", "https://127\xe3\x80\x82" "0\xe3\x80\x82" "0\xe3\x80\x82" "1:%d/ok", ERR_OUTPUTS_LOST },
		{ "0.0.0.0", "https://0.0.0.0:%d/ok", ERR_OUTPUTS_LOST },
		{ "userinfo that is allowed", "https://v4.names.test@127.0.0.1:%d/ok", ERR_OUTPUTS_LOST },
		{ "userinfo at an allowed one", "https://me:pw@v4.names.test:%d/ok", ERR_OUTPUTS_LOST },
		{ "backslash", "https://127.0.0.1:%d\\@v4.names.test/ok", ERR_OUTPUTS_LOST },
		{ "allowed as a part", "https://v4.names.test.evil.test:%d/ok", ERR_OUTPUTS_LOST },
		{ "the suffix without its dot", "https://evilnames.test:%d/ok", ERR_OUTPUTS_LOST },
		{ "the suffix alone", "https://names.test:%d/ok", ERR_OUTPUTS_LOST },
		{ "file", "file://v4.names.test:%d/etc/passwd", ERR_OUTPUTS_LOST },
		{ "gopher", "gopher://v4.names.test:%d/ok", ERR_OUTPUTS_LOST },
		{ "http to an allowed name", "http://v4.names.test:%d/ok", ERR_OUTPUTS_LOST },
		/* By where an allowed name leads. */
		{ "name of 127.0.0.1", "https://v4.names.test:%d/ok", ERR_NOT_SENT },
		{ "the same in capitals", "https://V4.NAMES.TEST:%d/ok", ERR_NOT_SENT },
		{ "name of ::1", "https://v6.names.test:%d/ok", ERR_NOT_SENT },
		{ "name of ::ffff:127.0.0.1", "https://mapped.names.test:%d/ok", ERR_NOT_SENT },
		{ "name of 127.0.0.1 behind NAT64", "https://nat64.names.test:%d/ok", ERR_NOT_SENT },
		{ "name of 0.0.0.0", "https://any.names.test:%d/ok", ERR_NOT_SENT },
		{ "name of the cloud's metadata", "https://metadata.names.test:%d/ok", ERR_NOT_SENT },
		{ "name of a private address", "https://private.names.test:%d/ok", ERR_NOT_SENT },
		{ "no name", "https://nobody.names.test:%d/ok", ERR_NOT_SENT },
		/* The operator's list opens no network but loopback. */
		{ "metadata, listed", "https://169.254.169.254:%d/latest", ERR_NOT_SENT },
		{ "private, listed", "https://10.0.0.1:%d/ok", ERR_NOT_SENT },
		{ "metadata, listed, http", "http://169.254.169.254:%d/latest", ERR_OUTPUTS_LOST },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct err err = ERR_INIT;
		uint64_t bytes;
		int fd = -1;
		enum err_code rc = fetch(rows[i].url, secret.port, &fd, &bytes, &err);

		if (rc != rows[i].rc)
			fail_msg("%s: %s: %s", rows[i].name, err_name(rc), err.text);
		ASSERT_ROW(rows[i].name, fd == -1);
		ASSERT_ROW(rows[i].name, atomic_load(&departures) == 0);
		assert_untouched(rows[i].name);
	}
}

/* The name is public when somebody looks, and loopback when we connect. */
static void
a_name_that_changes(void **state)
{
	uint64_t bytes;
	int fd;

	(void)state;
	new_client();
	atomic_store(&lookups, 0);
	assert_int_equal(fetch("https://flips.names.test:%d/ok", secret.port, &fd, &bytes, NULL), ERR_NOT_SENT);
	assert_int_equal(atomic_exchange(&departures, 0), 1);
	new_client();			/* and its names are forgotten */
	assert_int_equal(fetch("https://flips.names.test:%d/ok", secret.port, &fd, &bytes, NULL), ERR_NOT_SENT);
	assert_int_equal(atomic_load(&lookups), 2);
	assert_int_equal(atomic_load(&departures), 0);
	assert_untouched("the second time");
}

static void
answers(void **state)
{
	static const struct {
		const char *name, *url;		/* with good's port */
		enum err_code rc;
		int requests;
		uint64_t bytes;
	} rows[] = {
		{ "plain", "http://127.0.0.1:%d/ok", ERR_OK, 1, 5 },
		{ "the same host as a number", "http://2130706433:%d/ok", ERR_OK, 1, 5 },
		{ "gzip, though not asked for", "http://127.0.0.1:%d/gzip", ERR_OK, 1, 20 },
		{ "endless", "http://127.0.0.1:%d/endless", ERR_TOO_BIG, 1, 0 },
		{ "too long, as it says", "http://127.0.0.1:%d/long", ERR_TOO_BIG, 1, 0 },
		{ "cut", "http://127.0.0.1:%d/cut", ERR_NO_ANSWER, 1, 0 },
		{ "drips", "http://127.0.0.1:%d/drip", ERR_NO_ANSWER, 1, 0 },
		{ "one redirect", "http://127.0.0.1:%d/hop-1", ERR_OK, 2, 5 },
		{ "three redirects", "http://127.0.0.1:%d/hop-3", ERR_OK, 4, 5 },
		{ "four redirects", "http://127.0.0.1:%d/hop-4", ERR_OUTPUTS_LOST, 4, 0 },
		{ "a circle", "http://127.0.0.1:%d/to-itself", ERR_OUTPUTS_LOST, 4, 0 },
		{ "to the cloud's metadata", "http://127.0.0.1:%d/to-metadata", ERR_OUTPUTS_LOST, 1, 0 },
		{ "to its name", "http://127.0.0.1:%d/to-metadata-https", ERR_NOT_SENT, 1, 0 },
		{ "to another port", "http://127.0.0.1:%d/to-secret", ERR_OUTPUTS_LOST, 1, 0 },
		{ "to a name of it", "http://127.0.0.1:%d/to-secret-by-name", ERR_NOT_SENT, 1, 0 },
		{ "to a number of it", "http://127.0.0.1:%d/to-secret-by-number", ERR_OUTPUTS_LOST, 1, 0 },
		{ "to a file", "http://127.0.0.1:%d/to-file", ERR_OUTPUTS_LOST, 1, 0 },
		{ "to a user", "http://127.0.0.1:%d/to-a-user", ERR_OUTPUTS_LOST, 1, 0 },
		{ "to nothing", "http://127.0.0.1:%d/to-nothing", ERR_OUTPUTS_LOST, 1, 0 },
		{ "206", "http://127.0.0.1:%d/status-206", ERR_OUTPUTS_LOST, 1, 0 },
		{ "302 without Location", "http://127.0.0.1:%d/status-302", ERR_OUTPUTS_LOST, 1, 0 },
		{ "400", "http://127.0.0.1:%d/status-400", ERR_OUTPUTS_LOST, 1, 0 },
		{ "401", "http://127.0.0.1:%d/status-401", ERR_NOT_FOUND, 1, 0 },
		{ "403", "http://127.0.0.1:%d/status-403", ERR_NOT_FOUND, 1, 0 },
		{ "404", "http://127.0.0.1:%d/status-404", ERR_NOT_FOUND, 1, 0 },
		{ "408", "http://127.0.0.1:%d/status-408", ERR_UPSTREAM, 1, 0 },
		{ "410", "http://127.0.0.1:%d/status-410", ERR_NOT_FOUND, 1, 0 },
		{ "429", "http://127.0.0.1:%d/status-429", ERR_UPSTREAM, 1, 0 },
		{ "503", "http://127.0.0.1:%d/status-503", ERR_UPSTREAM, 1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		int before = atomic_load(&good.requests), fd = -1;
		int64_t began_us = clock_mono_us();
		struct err err = ERR_INIT;
		uint64_t bytes = 0;
		enum err_code rc = fetch(rows[i].url, good.port, &fd, &bytes, &err);

		if (rc != rows[i].rc)
			fail_msg("%s: %s: %s", rows[i].name, err_name(rc), err.text);
		ASSERT_ROW(rows[i].name, clock_mono_us() - began_us < 10 * 1000000);
		ASSERT_ROW(rows[i].name, atomic_load(&good.requests) - before == rows[i].requests);
		ASSERT_ROW(rows[i].name, bytes == rows[i].bytes);
		ASSERT_ROW(rows[i].name, (fd >= 0) == (rc == ERR_OK));
		ASSERT_ROW(rows[i].name, !strstr(good.last_head, "Authorization"));
		ASSERT_ROW(rows[i].name, !strcasestr(good.last_head, "Accept-Encoding"));
		assert_untouched(rows[i].name);
		if (fd >= 0) {
			/* Nothing is left of what came before a redirect. */
			ASSERT_ROW(rows[i].name, lseek(fd, 0, SEEK_END) == (off_t)bytes);
			close(fd);
		}
	}
	assert_int_equal(atomic_load(&departures), 0);
}

/* The token goes to the API's own host, when that wants it, and nowhere else. */
static void
credentials(void **state)
{
	static const struct {
		const char *name, *url;		/* with api's port */
		bool from_good;
		enum err_code rc;
		int requests;			/* to the API */
		bool sent;
	} rows[] = {
		{ "not wanted", "http://127.0.0.1:%d/open", false, ERR_OK, 1, false },
		{ "wanted", "http://127.0.0.1:%d/closed", false, ERR_OK, 2, true },
		{ "not enough", "http://127.0.0.1:%d/never", false, ERR_NOT_FOUND, 2, true },
		{ "and then to another host", "http://127.0.0.1:%d/leads-away", false, ERR_OK, 2, true },
		{ "by a redirect of another host", "http://127.0.0.1:%d/to-api", true, ERR_OK, 2, true },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		int before = atomic_load(&api.requests), fd = -1;
		struct err err = ERR_INIT;
		uint64_t bytes;
		enum err_code rc = fetch(rows[i].url, rows[i].from_good ? good.port : api.port, &fd, &bytes, &err);

		if (rc != rows[i].rc)
			fail_msg("%s: %s: %s", rows[i].name, err_name(rc), err.text);
		ASSERT_ROW(rows[i].name, atomic_load(&api.requests) - before == rows[i].requests);
		ASSERT_ROW(rows[i].name, (strstr(api.last_head, TOKEN) != NULL) == rows[i].sent);
		ASSERT_ROW(rows[i].name, !strstr(good.last_head, "Authorization"));
		ASSERT_ROW(rows[i].name, !strstr(err.text, "secret"));
		if (fd >= 0) {
			ASSERT_ROW(rows[i].name, lseek(fd, 0, SEEK_END) == 5);
			close(fd);
		}
	}
}

static void
data_uris(void **state)
{
	static const struct { const char *name, *url; enum err_code rc; uint64_t bytes; } rows[] = {
		{ "good", "data:image/png;base64,aGVsbG8=", ERR_OK, 5 },
		{ "capitals", "DATA:image/png;BASE64,aGVsbG8=", ERR_OK, 5 },
		{ "no type", "data:;base64,aGVsbG8=", ERR_OK, 5 },
		{ "empty", "data:image/png;base64,", ERR_OK, 0 },
		{ "no base64", "data:text/plain,hello", ERR_OUTPUTS_LOST, 0 },
		{ "no comma", "data:image/png;base64", ERR_OUTPUTS_LOST, 0 },
		{ "broken", "data:image/png;base64,a*b", ERR_OUTPUTS_LOST, 0 },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		uint64_t bytes = 0;
		int fd = -1;
		enum err_code rc = fetch_output(&svc, &provider, &(struct provider_api){ .url = api_at }, rows[i].url, &fd, &bytes, NULL);

		ASSERT_ROW(rows[i].name, rc == rows[i].rc);
		if (rc == ERR_OK) {
			ASSERT_ROW(rows[i].name, bytes == rows[i].bytes);
			close(fd);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_may_be_reached),
		cmocka_unit_test(a_name_that_changes),
		cmocka_unit_test(answers),
		cmocka_unit_test(credentials),
		cmocka_unit_test(data_uris),
	};

	if (http_global_init(NULL))
		return 1;
	return cmocka_run_group_tests_name("fetch", tests, open_all, close_all);
}
