#include "config.h"

#include "core/fetch.h"

#include <errno.h>
#include <strings.h>

#include "base/data_uri.h"
#include "base/metrics.h"
#include "base/temp_file.h"
#include "base/url.h"
#include "core/step.h"
#include "providers/adapter.h"

#define REDIRECTS_MAX 3
#define FETCH_IDLE_MS 60000

/* Whose output it is. */
struct source {
	const struct provider *p;
	const void *settings;
};

/* "host", or ".suffix" for all below it. */
static bool
host_matches(const char *pattern, size_t len, const char *host)
{
	size_t host_len = strlen(host);

	if (len > 0 && pattern[0] == '.')
		return host_len > len && strncasecmp(host + host_len - len, pattern, len) == 0;
	return host_len == len && strncasecmp(host, pattern, len) == 0;
}

/* An entry of output_hosts: with a port, that port only. */
static bool
entry_matches(const char *entry, size_t len, const struct url *url)
{
	const char *colon = memchr(entry, ':', len);
	uint64_t port;

	if (!colon || memchr(colon + 1, ':', len - (size_t)(colon + 1 - entry)))	/* IPv6 */
		return host_matches(entry, len, url->host);
	return !parse_u64(colon + 1, len - (size_t)(colon + 1 - entry), 1, 65535, &port) &&
		port == url->port && host_matches(entry, (size_t)(colon - entry), url->host);
}

static bool
operator_allows(const char *list, const struct url *url)
{
	while (list && *list) {
		size_t len;

		list += strspn(list, ", ");
		len = strcspn(list, ", ");
		if (len > 0 && entry_matches(list, len, url))
			return true;
		list += len;
	}
	return false;
}

static bool
provider_allows(const struct provider *p, const struct url *url)
{
	for (const char *const *host = p->output_hosts; host && *host; host++)
		if (host_matches(*host, strlen(*host), url->host))
			return true;
	return false;
}

/* Scheme, host and port are the API's. */
static enum err_code
is_api(const struct source *from, const struct url *url, bool *ret)
{
	struct url api = { .scheme = NULL };
	enum err_code rc = url_parse(adapter_url(from->settings), &api);

	*ret = !rc && strcmp(api.scheme, url->scheme) == 0 && strcasecmp(api.host, url->host) == 0 &&
		api.port == url->port;
	url_clear(&api);
	return rc;
}

/* *ret_named: the operator named this machine, as a loopback host or by the API's URL, so
 * neither its address nor plain http is a reason to stay away.  *ret_api: it is the API's
 * own. */
static enum err_code
check_url(const struct service *svc, const struct source *from, const char *text,
	bool *ret_named, bool *ret_api, struct err *err)
{
	const struct provider *p = from->p;
	struct url url = { .scheme = NULL };
	bool listed, named, https;
	enum err_code rc = url_parse(text, &url);

	if (rc)
		return err_set(err, rc == ERR_NOMEM ? rc : ERR_OUTPUTS_LOST, "the output's URL cannot be read");
	listed = operator_allows(svc->settings->output_hosts, &url);
	https = strcmp(url.scheme, "https") == 0;
	rc = is_api(from, &url, ret_api) == ERR_NOMEM ? err_set(err, ERR_NOMEM, "the output's URL") : ERR_OK;
	named = *ret_api || (listed && url_host_is_loopback(url.host));
	if (!rc && !listed && !*ret_api && !provider_allows(p, &url))
		rc = err_set(err, ERR_OUTPUTS_LOST, "outputs of %s are not fetched from %s (output_hosts)",
			p->name, url.host);
	else if (!rc && (url.has_userinfo || (!https && !named)))
		rc = err_set(err, ERR_OUTPUTS_LOST, "an output at %s is not fetched over %s%s", url.host,
			url.scheme, url.has_userinfo ? " with a user in its URL" : "");
	*ret_named = named;
	url_clear(&url);
	return rc;
}

/* Base64 alone, or a data: URI of it. */
static enum err_code
read_inline(const char *text, uint64_t max, int fd, uint64_t *ret_bytes, struct err *err)
{
	struct buf bytes = BUF_INIT((size_t)max);
	struct err why = ERR_INIT;
	enum err_code rc;

	if (is_data_uri(text))
		rc = data_uri_decode(text, strlen(text), &bytes, &why);
	else if ((rc = base64_decode(&bytes, text, strlen(text))))
		err_set(&why, rc, "is base64 that is broken or too long");
	if (rc)
		rc = err_set(err, rc == ERR_INVALID ? ERR_OUTPUTS_LOST : rc, "the output %s", why.text);
	else
		rc = temp_file_put(fd, buf_str(&bytes), bytes.len, 0, err);
	*ret_bytes = bytes.len;
	buf_clear(&bytes);
	return rc;
}

static enum err_code
empty_file(int fd, struct err *err)
{
	return ftruncate(fd, 0) ? err_set(err, ERR_UPSTREAM, "temporary file: %s", strerror(errno)) : ERR_OK;
}

/* One request to a URL that was checked. */
static enum err_code
ask(struct service *svc, const struct source *from, const char *url, bool named,
	bool with_auth, int fd, struct http_response *rs, struct err *err)
{
	struct http_request rq = HTTP_REQUEST_INIT;
	enum err_code rc = empty_file(fd, err);

	rq.timeout_ms = (uint32_t)svc->settings->output_timeout_ms;
	rq.idle_timeout_ms = FETCH_IDLE_MS;
	rq.max_response_bytes = svc->settings->max_output_bytes;
	rq.public_address_only = !named;
	rq.sink_fd = fd;
	if (!rc)
		rc = http_request_set_url(&rq, url);
	if (!rc && with_auth)
		rc = adapter_authorize(from->p, from->settings, &rq);
	if (!rc)
		rc = step_perform(svc, from->p, "output", &rq, rs, err);
	http_request_clear(&rq);
	return rc;
}

static bool
wants_auth(long status)
{
	return status == 401 || status == 403;
}

/* What an answer means.  *ret_next is where a redirect leads. */
static enum err_code
judge(const struct http_response *rs, const char *url, uint64_t *ret_bytes, char **ret_next,
	struct err *err)
{
	const char *location = http_response_header(rs, "location");
	enum err_code rc;

	if (rs->status == 200) {
		*ret_bytes = rs->body_bytes;
		return ERR_OK;
	}
	if (rs->status >= 301 && rs->status <= 308 && rs->status != 304 && location) {
		rc = url_resolve(url, location, ret_next);
		return rc ? err_set(err, rc == ERR_NOMEM ? rc : ERR_OUTPUTS_LOST, "the output redirects to nowhere")
			: ERR_OK;
	}
	if (wants_auth(rs->status) || rs->status == 404 || rs->status == 410)
		rc = ERR_NOT_FOUND;
	else if (rs->status == 429 || rs->status >= 500 || rs->status == 408)
		rc = ERR_UPSTREAM;
	else
		rc = ERR_OUTPUTS_LOST;
	err_set(err, rc, "fetching the output: HTTP %ld", rs->status);
	err_wait(err, http_retry_after_ms(rs));
	return rc;
}

/* One hop: *ret_next is where a redirect leads, else NULL. */
static enum err_code
get(struct service *svc, const struct source *from, const char *url, int fd,
	uint64_t *ret_bytes, char **ret_next, struct err *err)
{
	struct http_response rs = HTTP_RESPONSE_INIT;
	bool named = false, api = false;
	enum err_code rc;

	*ret_next = NULL;
	rc = check_url(svc, from, url, &named, &api, err);
	if (!rc)
		rc = ask(svc, from, url, named, false, fd, &rs, err);
	/* The credentials never leave for another host. */
	if (!rc && wants_auth(rs.status) && api && from->p->key_header)
		rc = ask(svc, from, url, named, true, fd, &rs, err);
	if (!rc)
		rc = judge(&rs, url, ret_bytes, ret_next, err);
	http_response_clear(&rs);
	return rc;
}

static enum err_code
get_with_redirects(struct service *svc, const struct source *from, const char *url, int fd,
	uint64_t *ret_bytes, struct err *err)
{
	char *at = mem_strdup(url), *next;
	enum err_code rc = at ? ERR_OK : err_set(err, ERR_NOMEM, "fetching an output");

	for (int hop = 0; !rc && at; hop++) {
		if (hop > REDIRECTS_MAX) {
			rc = err_set(err, ERR_OUTPUTS_LOST, "the output redirects more than %d times", REDIRECTS_MAX);
			break;
		}
		rc = get(svc, from, at, fd, ret_bytes, &next, err);
		if (!rc) {
			mem_free(at);
			at = next;
		}
	}
	mem_free(at);
	return rc;
}

/* rc: of filling it. */
static enum err_code
finish(const struct provider *p, enum err_code rc, int fd, uint64_t bytes, int *ret_fd)
{
	if (rc) {
		close(fd);
		return rc;
	}
	metric_add(METRIC_OUTPUT_BYTES, bytes, p->name);
	*ret_fd = fd;
	return ERR_OK;
}

enum err_code
fetch_inline(struct service *svc, const struct provider *p, const char *text, int *ret_fd,
	uint64_t *ret_bytes, struct err *err)
{
	int fd = -1;
	enum err_code rc = temp_file(NULL, &fd, err);

	if (rc)
		return rc;
	rc = read_inline(text, svc->settings->max_output_bytes, fd, ret_bytes, err);
	return finish(p, rc, fd, *ret_bytes, ret_fd);
}

enum err_code
fetch_output(struct service *svc, const struct provider *p, const void *settings,
	const char *url, int *ret_fd, uint64_t *ret_bytes, struct err *err)
{
	const struct source from = { p, settings };
	int fd = -1;
	enum err_code rc;

	/* Listed by a version that kept those in one piece. */
	if (is_data_uri(url))
		return fetch_inline(svc, p, url, ret_fd, ret_bytes, err);
	rc = temp_file(NULL, &fd, err);
	if (rc)
		return rc;
	rc = get_with_redirects(svc, &from, url, fd, ret_bytes, err);
	return finish(p, rc, fd, *ret_bytes, ret_fd);
}
