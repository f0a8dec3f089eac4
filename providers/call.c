#include "config.h"

#include "providers/call.h"

#include <strings.h>

#include "base/cfg.h"
#include "base/url.h"
#include "providers/reply.h"

void
call_check_url(const char *row, const char *url, struct buf *mistakes)
{
	struct url parsed = { .scheme = NULL };

	if (!url || url_parse(url, &parsed) || parsed.has_userinfo || strpbrk(url, "?#") ||
	    url[strlen(url) - 1] == '/')
		cfg_mistake(mistakes, row, "has to be an http or https URL "
			"without user, query, fragment and a slash at its end");
	url_clear(&parsed);
}

void
call_check_secret(const char *row, const char *secret, const char *url, struct buf *mistakes)
{
	struct url parsed = { .scheme = NULL };

	if (secret && url && !url_parse(url, &parsed) && strcmp(parsed.scheme, "https") != 0 &&
	    !url_host_is_loopback(parsed.host))
		cfg_mistake(mistakes, row, "is not sent over http to another machine: the API's URL has to be https");
	url_clear(&parsed);
}

enum err_code
call_begin(struct http_request *rq, enum http_method method, struct buf *url, uint32_t timeout_ms)
{
	enum err_code rc = url->err ? url->err : http_request_set_url(rq, buf_str(url));

	rq->method = method;
	rq->timeout_ms = timeout_ms;
	buf_clear(url);
	return rc;
}

enum err_code
call_json(struct http_request *rq, json_t *body)
{
	char *text = json_write(body, JSON_COMPACT);
	enum err_code rc = text ? http_request_set_body(rq, text, strlen(text)) : ERR_NOMEM;

	if (!rc)
		rc = http_request_add_header(rq, "Content-Type", "application/json");
	json_decref(body);
	mem_free(text);
	return rc;
}

enum err_code
call_credentials(struct http_request *rq, const char *header, const char *scheme, const char *secret)
{
	struct buf value = BUF_INIT(1024);
	enum err_code rc;

	if (!secret)
		return ERR_OK;
	buf_printf(&value, "%s%s%s", scheme, *scheme ? " " : "", secret);
	rc = value.err ? value.err : http_request_add_header(rq, header, buf_str(&value));
	buf_wipe(&value);
	return rc;
}

enum err_code
call_idempotency_key(struct http_request *rq, const struct uuid *job)
{
	char key[UUID_TEXT_SIZE];

	uuid_format(job, key);
	return http_request_add_header(rq, "Idempotency-Key", key);
}

enum err_code
call_check_own(const char *api_url, const char *text)
{
	struct url own = { .scheme = NULL }, url = { .scheme = NULL };
	enum err_code rc = url_parse(api_url, &own);

	if (!rc)
		rc = url_parse(text, &url);
	if (!rc && (url.has_userinfo || strcmp(own.scheme, url.scheme) != 0 ||
		    strcasecmp(own.host, url.host) != 0 || own.port != url.port))
		rc = ERR_INVALID;
	url_clear(&own);
	url_clear(&url);
	return rc;
}

void
call_check_object(const json_t *on, const char *member, const char *where, struct buf *mistakes)
{
	if (!json_is_object(json_object_get(on, member)))
		cfg_mistake(mistakes, where, "%s has to be an object", member);
}

void
call_check_text(const json_t *on, const char *member, const char *where, struct buf *mistakes)
{
	const char *s = reply_string(on, member);

	if (!s || !*s)
		cfg_mistake(mistakes, where, "%s has to be a text that is not empty", member);
}

void
call_check_members(const json_t *on, const char *const known[], const char *where, struct buf *mistakes)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)on, name, value) {
		size_t i = 0;

		while (known[i] && strcmp(known[i], name) != 0)
			i++;
		if (!known[i])
			cfg_mistake(mistakes, where, "has an unknown member \"%s\"", name);
	}
}

bool
call_has_text(const json_t *tmpl, const char *text)
{
	const char *s = json_string_value(tmpl), *name;
	json_t *member;
	size_t i;

	if (s)
		return strcmp(s, text) == 0;
	json_object_foreach((json_t *)(uintptr_t)tmpl, name, member)
		if (call_has_text(member, text))
			return true;
	json_array_foreach((json_t *)(uintptr_t)tmpl, i, member)
		if (call_has_text(member, text))
			return true;
	return false;
}
