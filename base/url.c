#include "config.h"

#include "base/url.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <strings.h>

#include "base/buf.h"

/* A part of a URL as memory of ours; NULL: it has none, or no memory. */
static char *
part(CURLU *u, CURLUPart what, unsigned flags)
{
	char *text = NULL, *ret;

	if (curl_url_get(u, what, &text, flags))
		return NULL;
	ret = mem_strdup(text);
	curl_free(text);
	return ret;
}

static enum err_code
read_parts(CURLU *u, struct url *url)
{
	char *port = part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT);
	char *given = part(u, CURLUPART_PORT, 0);
	char *user = part(u, CURLUPART_USER, 0);
	uint64_t n = 0;
	enum err_code rc;

	url->scheme = part(u, CURLUPART_SCHEME, 0);
	url->host = part(u, CURLUPART_HOST, 0);
	url->path = part(u, CURLUPART_PATH, 0);
	rc = port ? parse_u64(port, strlen(port), 1, 65535, &n) : ERR_INVALID;
	url->port = (uint16_t)n;
	url->port_given = given != NULL;
	url->has_userinfo = user != NULL;
	mem_free(port);
	mem_free(given);
	mem_free(user);
	if (rc || !url->scheme || !url->host || !url->path || !url->host[0])
		return ERR_INVALID;
	if (strcmp(url->scheme, "https") != 0 && strcmp(url->scheme, "http") != 0)
		return ERR_INVALID;
	if (url->host[0] == '[') {	/* the brackets belong to the URL, not to the host */
		size_t len = strlen(url->host);

		memmove(url->host, url->host + 1, len - 2);
		url->host[len - 2] = '\0';
	}
	return ERR_OK;
}

enum err_code
url_parse(const char *text, struct url *ret)
{
	struct url url = { .scheme = NULL };
	CURLU *u = curl_url();
	enum err_code rc = ERR_NOMEM;

	if (u)
		rc = curl_url_set(u, CURLUPART_URL, text, 0) ? ERR_INVALID : read_parts(u, &url);
	curl_url_cleanup(u);
	if (rc)
		url_clear(&url);
	else
		*ret = url;
	return rc;
}

void
url_clear(struct url *url)
{
	mem_free(url->scheme);
	mem_free(url->host);
	mem_free(url->path);
	memset(url, 0, sizeof *url);
}

enum err_code
url_resolve(const char *base, const char *location, char **ret)
{
	CURLU *u = curl_url();
	char *text = NULL;

	if (u && !curl_url_set(u, CURLUPART_URL, base, 0) &&
	    !curl_url_set(u, CURLUPART_URL, location, 0))
		text = part(u, CURLUPART_URL, 0);
	curl_url_cleanup(u);
	if (!text)
		return ERR_INVALID;
	*ret = text;
	return ERR_OK;
}

bool
url_host_is_loopback(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	if (inet_pton(AF_INET6, host, &v6) == 1)
		return IN6_IS_ADDR_LOOPBACK(&v6);
	return strcasecmp(host, "localhost") == 0;
}
