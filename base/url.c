#include "config.h"

#include "base/url.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <strings.h>

#include "base/buf.h"

static enum err_code
error_of(CURLUcode code)
{
	if (code == CURLUE_OK)
		return ERR_OK;
	return code == CURLUE_OUT_OF_MEMORY ? ERR_NOMEM : ERR_INVALID;
}

/* A part of a URL as memory of ours.  ERR_INVALID: it has none. */
static enum err_code
part(CURLU *u, CURLUPart what, unsigned flags, char **ret)
{
	char *text = NULL;
	enum err_code rc = error_of(curl_url_get(u, what, &text, flags));

	if (rc)
		return rc;
	*ret = mem_strdup(text);
	curl_free(text);
	return *ret ? ERR_OK : ERR_NOMEM;
}

/* Is there such a part? */
static enum err_code
has_part(CURLU *u, CURLUPart what, bool *ret)
{
	char *text = NULL;
	enum err_code rc = part(u, what, 0, &text);

	mem_free(text);
	*ret = rc == ERR_OK;
	return rc == ERR_INVALID ? ERR_OK : rc;
}

static enum err_code
read_port(CURLU *u, uint16_t *ret)
{
	char *text = NULL;
	uint64_t n = 0;
	enum err_code rc = part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT, &text);

	if (!rc)
		rc = parse_u64(text, strlen(text), 1, 65535, &n);
	mem_free(text);
	*ret = (uint16_t)n;
	return rc;
}

static enum err_code
read_parts(CURLU *u, struct url *url)
{
	enum err_code rc = part(u, CURLUPART_SCHEME, 0, &url->scheme);

	if (!rc && strcmp(url->scheme, "https") != 0 && strcmp(url->scheme, "http") != 0)
		rc = ERR_INVALID;
	if (!rc)
		rc = part(u, CURLUPART_HOST, 0, &url->host);
	if (!rc)
		rc = part(u, CURLUPART_PATH, 0, &url->path);
	if (!rc)
		rc = read_port(u, &url->port);
	if (!rc)
		rc = has_part(u, CURLUPART_PORT, &url->port_given);
	if (!rc)
		rc = has_part(u, CURLUPART_USER, &url->has_userinfo);
	if (!rc && (!url->host[0] || strchr(url->host, '\x7f')))	/* curl looks for the other controls */
		rc = ERR_INVALID;
	if (!rc && url->host[0] == '[') {	/* the brackets belong to the URL, not to the host */
		size_t len = strlen(url->host);

		memmove(url->host, url->host + 1, len - 2);
		url->host[len - 2] = '\0';
	}
	return rc;
}

enum err_code
url_parse(const char *text, struct url *ret)
{
	struct url url = { .scheme = NULL };
	CURLU *u = curl_url();
	enum err_code rc = u ? error_of(curl_url_set(u, CURLUPART_URL, text, 0)) : ERR_NOMEM;

	if (!rc)
		rc = read_parts(u, &url);
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
	struct url url = { .scheme = NULL };
	CURLU *u = curl_url();
	enum err_code rc = u ? error_of(curl_url_set(u, CURLUPART_URL, base, 0)) : ERR_NOMEM;

	if (!rc)
		rc = error_of(curl_url_set(u, CURLUPART_URL, location, 0));
	if (!rc)	/* one that url_parse() would take */
		rc = read_parts(u, &url);
	if (!rc)
		rc = part(u, CURLUPART_URL, 0, ret);
	url_clear(&url);
	curl_url_cleanup(u);
	return rc;
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
