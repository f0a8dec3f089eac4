/* A URL, and where a Location leads from it. */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include "base/url.h"
#include "providers/call.h"

static void
look_at(const struct url *url)
{
	MUST(strcmp(url->scheme, "http") == 0 || strcmp(url->scheme, "https") == 0);
	MUST(url->host[0] && !strpbrk(url->host, "/?#@[]") && !has_control(url->host));
	MUST(url->path[0] == '/' && !has_control(url->path) && url->port > 0);
	MUST(url->port_given || url->port == (strcmp(url->scheme, "https") == 0 ? 443 : 80));
	/* A name that is loopback is one in any letters, and alone. */
	if (url_host_is_loopback(url->host))
		MUST(strspn(url->host, "0123456789.:abcdefABCDEF") == strlen(url->host) ||
			strlen(url->host) == strlen("localhost"));
}

static void
resolve(const char *base, const char *location)
{
	struct url url;
	char *next;

	if (url_resolve(base, location, &next))
		return;
	MUST(*next && !has_control(next));
	if (!url_parse(next, &url)) {
		look_at(&url);
		url_clear(&url);
	}
	mem_free(next);
}

/* Where credentials go: what is said to be on that host is. */
static void
own(const char *text)
{
	struct url url;

	if (call_check_own("https://api.example.com/v1", text))
		return;
	MUST(url_parse(text, &url) == ERR_OK);
	MUST(strcmp(url.scheme, "https") == 0 && strcasecmp(url.host, "api.example.com") == 0 && url.port == 443);
	MUST(!url.has_userinfo);
	url_clear(&url);
}

static void
below(const char *text)
{
	struct url url;
	size_t len;

	if (call_check_below(".example.com", text))
		return;
	MUST(url_parse(text, &url) == ERR_OK);
	len = strlen(url.host);
	MUST(strcmp(url.scheme, "https") == 0 && url.port == 443 && !url.has_userinfo);
	MUST(len > 12 && strcasecmp(url.host + len - 12, ".example.com") == 0);
	url_clear(&url);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = INPUT(data, size);
	char *text = input_line(&in), *location = input_line(&in);
	struct url url;

	fuzz_begin();
	if (!url_parse(text, &url)) {
		look_at(&url);
		url_clear(&url);
	}
	resolve(text, location);
	own(text);
	below(text);
	mem_free(text);
	mem_free(location);
	return 0;
}
