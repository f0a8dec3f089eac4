#include "config.h"

#include "base/url.h"

#include "base/http.h"
#include "tests/unit/unit.h"

#define N(table) (sizeof (table) / sizeof *(table))

static long libcurls_own;	/* allocations */

static void
urls(void **state)
{
	static const struct {
		const char *name, *text, *scheme, *host, *path;
		uint16_t port;
		bool given, userinfo;
	} rows[] = {
		{ "https", "https://a.example/b/c", "https", "a.example", "/b/c", 443, false, false },
		{ "http", "http://a.example/", "http", "a.example", "/", 80, false, false },
		{ "capitals", "HTTPS://A.Example/B", "https", "A.Example", "/B", 443, false, false },
		{ "no path", "https://a.example", "https", "a.example", "/", 443, false, false },
		{ "query without path", "https://a.example?b=c", "https", "a.example", "/", 443, false, false },
		{ "query and fragment", "https://a/b?c=/d#e", "https", "a", "/b", 443, false, false },
		{ "port", "http://a:8080/", "http", "a", "/", 8080, true, false },
		{ "its own port", "https://a:443/", "https", "a", "/", 443, true, false },
		{ "the other's port", "http://a:443/", "http", "a", "/", 443, true, false },
		{ "last port", "http://a:65535/", "http", "a", "/", 65535, true, false },
		{ "port with zeros", "http://a:0080/", "http", "a", "/", 80, true, false },
		{ "user", "https://u@a/", "https", "a", "/", 443, false, true },
		{ "user and password", "https://u:p@a:1/", "https", "a", "/", 1, true, true },
		{ "host like a user", "https://good.example@evil.example/", "https", "evil.example", "/", 443, false, true },
		{ "user like a host", "https://evil.example:443@good.example/", "https", "good.example", "/", 443, false, true },
		{ "IPv4", "http://127.0.0.1/", "http", "127.0.0.1", "/", 80, false, false },
		{ "decimal", "http://2130706433/", "http", "127.0.0.1", "/", 80, false, false },
		{ "octal", "http://0177.0.0.1/", "http", "127.0.0.1", "/", 80, false, false },
		{ "hexadecimal", "http://0x7f.1/", "http", "127.0.0.1", "/", 80, false, false },
		{ "all hexadecimal", "http://0x7f000001/", "http", "127.0.0.1", "/", 80, false, false },
		{ "two parts", "http://127.1/", "http", "127.0.0.1", "/", 80, false, false },
		{ "zero", "http://0/", "http", "0.0.0.0", "/", 80, false, false },
		{ "percent in the host", "http://%31%32%37.0.0.1/", "http", "127.0.0.1", "/", 80, false, false },
		{ "percent letters", "https://ex%61mple.com/", "https", "example.com", "/", 443, false, false },
		{ "IPv6", "http://[::1]/", "http", "::1", "/", 80, false, false },
		{ "IPv6 and port", "http://[2001:db8::1]:8080/x", "http", "2001:db8::1", "/x", 8080, true, false },
		{ "IPv4 in IPv6", "http://[::ffff:127.0.0.1]/", "http", "::ffff:127.0.0.1", "/", 80, false, false },
		{ "three slashes, as libcurl takes them", "https:///b/c", "https", "b", "/c", 443, false, false },
		{ "dot segments", "https://a/b/../c/./d", "https", "a", "/c/d", 443, false, false },
		{ "percent in the path", "https://a/%2e%2e/b%2fc", "https", "a", "/%2e%2e/b%2fc", 443, false, false },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct url url;
		enum err_code rc = url_parse(rows[i].text, &url);

		ASSERT_ROW(rows[i].name, rc == ERR_OK);
		if (strcmp(url.scheme, rows[i].scheme) != 0 || strcmp(url.host, rows[i].host) != 0 ||
		    strcmp(url.path, rows[i].path) != 0)
			fail_msg("%s: %s %s %s", rows[i].name, url.scheme, url.host, url.path);
		ASSERT_ROW(rows[i].name, url.port == rows[i].port);
		ASSERT_ROW(rows[i].name, url.port_given == rows[i].given);
		ASSERT_ROW(rows[i].name, url.has_userinfo == rows[i].userinfo);
		url_clear(&url);
		assert_null(url.host);
		assert_int_equal(mem_outstanding(), libcurls_own);
	}
}

static void
no_urls(void **state)
{
	static const struct { const char *name, *text; } rows[] = {
		{ "nothing", "" },
		{ "blank", " " },
		{ "no scheme", "a.example/b" },
		{ "no scheme, slashes", "//a.example/b" },
		{ "path", "/b" },
		{ "scheme alone", "https:" },
		{ "no host", "https://" },
		{ "no host, port", "https://:443/" },
		{ "no host, user", "https://u@/" },
		{ "file", "file:///etc/passwd" },
		{ "ftp", "ftp://a/b" },
		{ "gopher", "gopher://a/b" },
		{ "ws", "ws://a/b" },
		{ "data", "data:image/png;base64,AA==" },
		{ "javascript", "javascript:alert(1)" },
		{ "unknown scheme", "httpx://a/" },
		{ "blank in the host", "https://a b/" },
		{ "blank in the path", "https://a/b c" },
		{ "blank before", " https://a/" },
		{ "line", "https://a/\r\nX: y" },
		{ "control", "https://a/\x01" },
		{ "delete", "https://a/\x7f" },
		{ "port zero", "https://a:0/" },
		{ "port too large", "https://a:65536/" },
		{ "port a word", "https://a:http/" },
		{ "port negative", "https://a:-1/" },
		{ "bracket open", "https://[::1/" },
		{ "brackets empty", "https://[]/" },
		{ "no address in brackets", "https://[a.example]/" },
		{ "five parts", "https://[1:2:3:4:5:6:7:8:9]/" },
		{ "control in the host, percent", "https://a%0db/" },
		{ "DEL in the host, percent", "https://a%7fb/" },
		{ "NUL in the host, percent", "https://a%00b/" },
		{ "slash in the host, percent", "https://a%2fb/" },
		{ "at in the host, percent", "https://good%40evil/" },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct url url;
		enum err_code rc = url_parse(rows[i].text, &url);

		if (rc != ERR_INVALID)
			fail_msg("%s: %s %s", rows[i].name, err_name(rc), rc ? "" : url.host);
		assert_int_equal(mem_outstanding(), libcurls_own);
	}
}

static void
loopback(void **state)
{
	static const struct { const char *host; bool is; } rows[] = {
		{ "localhost", true }, { "LocalHost", true }, { "127.0.0.1", true }, { "127.255.255.254", true },
		{ "::1", true }, { "0:0:0:0:0:0:0:1", true },
		{ "", false }, { "128.0.0.1", false }, { "126.255.255.255", false }, { "0.0.0.0", false },
		{ "10.0.0.1", false }, { "::", false }, { "::2", false }, { "[::1]", false },
		{ "127.0.0.1.evil.example", false }, { "localhost.evil.example", false }, { "xlocalhost", false },
		{ "127.1", false },	/* never in that form in url.host */
		{ "::ffff:127.0.0.1", false },	/* on the safe side */
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++)
		ASSERT_ROW(rows[i].host, url_host_is_loopback(rows[i].host) == rows[i].is);
}

/* The same eyes: a host that libcurl would read as loopback is seen as such. */
static void
loopback_in_disguise(void **state)
{
	static const char *const texts[] = {
		"http://127.0.0.1/", "http://2130706433/", "http://0177.1/", "http://0x7F.0.0.1/",
		"http://127.1:80/", "http://[::1]/", "http://[0::0:1]/", "http://u@LOCALHOST/",
	};

	(void)state;
	for (size_t i = 0; i < N(texts); i++) {
		struct url url;

		ASSERT_ROW(texts[i], url_parse(texts[i], &url) == ERR_OK);
		ASSERT_ROW(texts[i], url_host_is_loopback(url.host));
		url_clear(&url);
	}
}

static void
locations(void **state)
{
	static const struct { const char *name, *base, *location, *want; } rows[] = {
		{ "absolute", "https://a/b", "https://c/d", "https://c/d" },
		{ "path", "https://a:1/b/c?d", "/e", "https://a:1/e" },
		{ "beside", "https://a/b/c?d", "e?f", "https://a/b/e?f" },
		{ "above", "https://a/b/c/d", "../e", "https://a/b/e" },
		{ "far above", "https://a/b", "../../../e", "https://a/e" },
		{ "another host", "https://a/b", "//c/d", "https://c/d" },
		{ "query", "https://a/b?c", "?d", "https://a/b?d" },
		{ "downgrade, for the caller to refuse", "https://a/b", "http://c/", "http://c/" },
		{ "other scheme", "https://a/b", "ftp://c/", NULL },
		{ "DEL in the host, percent", "https://a/b", "https://c%7fd/", NULL },
		{ "user, for the caller to refuse", "https://a/b", "https://u:p@c/", "https://u:p@c/" },
		{ "broken", "https://a/b", "https://c:99999/", NULL },
		{ "broken host", "https://a/b", "http://[::1", NULL },
		{ "line", "https://a/b", "/c\r\nX: y", NULL },
		{ "broken base", "a/b", "/c", NULL },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		char *got = NULL;
		enum err_code rc = url_resolve(rows[i].base, rows[i].location, &got);

		ASSERT_ROW(rows[i].name, rc == (rows[i].want ? ERR_OK : ERR_INVALID));
		if (rows[i].want && strcmp(got, rows[i].want) != 0)
			fail_msg("%s: %s", rows[i].name, got);
		mem_free(got);
		assert_int_equal(mem_outstanding(), libcurls_own);
	}
}

static enum err_code
parse_and_clear(const char *text)
{
	struct url url;
	enum err_code rc = url_parse(text, &url);

	if (!rc)
		url_clear(&url);
	return rc;
}

/* libcurl itself takes one want of memory here for an unknown scheme. */
static enum err_code
resolve_and_free(void)
{
	char *got;
	enum err_code rc = url_resolve("https://a/b/c", "../d", &got);

	if (!rc)
		mem_free(got);
	return rc == ERR_INVALID ? ERR_NOMEM : rc;
}

/* A URL is not wrong for want of memory: an output would be given up. */
static void
short_of_memory(void **state)
{
	enum err_code rc;

	(void)state;
	ASSERT_SURVIVES_NOMEM(rc, rc = parse_and_clear("https://[::1]:8443/b?c#d"));
	ASSERT_SURVIVES_NOMEM(rc, rc = parse_and_clear("http://2130706433/"));
	ASSERT_SURVIVES_NOMEM(rc, rc = resolve_and_free());
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls),
		cmocka_unit_test(no_urls),
		cmocka_unit_test(loopback),
		cmocka_unit_test(loopback_in_disguise),
		cmocka_unit_test(locations),
		cmocka_unit_test(short_of_memory),
	};
	int failed;

	/* libcurl's memory comes from ours then. */
	if (http_global_init(NULL))
		return 1;
	libcurls_own = mem_outstanding();
	failed = cmocka_run_group_tests_name("url", tests, NULL, NULL);
	http_global_cleanup();
	return failed;
}
