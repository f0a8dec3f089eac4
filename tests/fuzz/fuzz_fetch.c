/*
 * Fetching an output: output_hosts on the first line, the output's address on the
 * second, then what its hosts answer: "STATUS LOCATION" a line.
 *
 * This file has the HTTP client's place, and sees that nothing is asked for anywhere
 * but where it may be, nor with credentials but at the API.
 */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include <strings.h>

#include "base/url.h"
#include "core/fetch.h"
#include "core/step.h"
#include "tests/fuzz/providers.h"

static struct input answers;
static const char *output_hosts;
static size_t n_asked;

static bool
ends_with(const char *s, const char *end)
{
	size_t len = strlen(s), n = strlen(end);

	return len >= n && strcasecmp(s + len - n, end) == 0;
}

static bool
is_of_provider(const struct provider *p, const char *host)
{
	for (const char *const *at = p->output_hosts; at && *at; at++)
		if (strcasecmp(host, *at) == 0 || ((*at)[0] == '.' && ends_with(host, *at)))
			return true;
	return false;
}

static bool
is_of_api(const void *settings, const struct url *url)
{
	struct url api;
	bool is;

	MUST(url_parse(adapter_url(settings), &api) == ERR_OK);
	is = strcasecmp(api.host, url->host) == 0 && api.port == url->port && strcmp(api.scheme, url->scheme) == 0;
	url_clear(&api);
	return is;
}

/* Does the operator's list have the host's name, or one of its parents', somewhere? */
static bool
is_of_operator(const char *host)
{
	for (const char *at = host; at; at = strchr(at + 1, '.'))
		if (strcasestr(output_hosts, at))
			return true;
	return false;
}

static void
answer(struct http_response *rs, long status, const char *location)
{
	http_response_clear(rs);
	rs->status = status;
	if (!*location)
		return;
	rs->headers = mem_calloc(1, sizeof *rs->headers);
	MUST(rs->headers);
	rs->headers[0].name = mem_strdup("location");
	rs->headers[0].value = mem_strdup(location);
	rs->n_headers = 1;
}

enum err_code
step_perform(struct service *svc, const struct provider *p, const char *call,
	const struct http_request *rq, struct http_response *rs, struct err *err)
{
	struct url url;
	char *line, *location;
	uint64_t status = 0;

	(void)svc;
	MUST(strcmp(call, "output") == 0 && rq->method == HTTP_GET && rq->sink_fd >= 0);
	must_be_sendable(rq);
	MUST(url_parse(rq->url, &url) == ERR_OK && !url.has_userinfo);
	MUST(is_of_operator(url.host) || is_of_provider(p, url.host) || is_of_api(fuzz_provider_settings(0), &url));
	MUST(rq->public_address_only || (is_of_operator(url.host) && url_host_is_loopback(url.host)) ||
		is_of_api(fuzz_provider_settings(0), &url));
	MUST(strcmp(url.scheme, "https") == 0 || !rq->public_address_only);
	MUST(rq->n_headers == 0 || is_of_api(fuzz_provider_settings(0), &url));
	url_clear(&url);
	/* Three redirects, each perhaps asked for once more with credentials. */
	MUST(++n_asked <= 8);

	line = input_line(&answers);
	location = line + strcspn(line, " ");
	if (*location)
		*location++ = '\0';
	if (parse_u64(line, strlen(line), 100, 599, &status)) {
		mem_free(line);
		return err_set(err, ERR_NO_ANSWER, "no answer");
	}
	answer(rs, (long)status, location);
	mem_free(line);
	return ERR_OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = INPUT(data, size);
	char *hosts = input_line(&in), *url = input_line(&in);
	struct settings core = {
		.output_hosts = hosts[0] ? hosts : NULL, .max_output_bytes = 4096, .output_timeout_ms = 1000,
	};
	struct service svc = { .settings = &core };
	struct err err = ERR_INIT;
	uint64_t bytes = 0;
	enum err_code rc;
	int fd = -1;

	fuzz_begin();
	answers = in;
	output_hosts = hosts;
	n_asked = 0;
	rc = fetch_output(&svc, provider_at(0), fuzz_provider_settings(0), url, &fd, &bytes, &err);
	MUST_SAY(rc, &err);
	MUST((rc == ERR_OK) == (fd >= 0) && err.wait_ms <= HTTP_RETRY_AFTER_MAX_MS);
	if (!rc) {
		MUST(bytes <= core.max_output_bytes && (n_asked > 0 || strncasecmp(url, "data:", 5) == 0));
		close(fd);
	}
	mem_free(url);
	mem_free(hosts);
	return 0;
}
