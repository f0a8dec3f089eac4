#include "config.h"

#include "providers/call.h"

#include <strings.h>

#include "base/cfg.h"
#include "base/url.h"

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

void
call_refuse(struct call *c, enum err_code rc, const char *why)
{
	if (c->rq->err)
		return;
	c->rq->err = rc;
	c->problem = why;
}

void
call_put(struct call *c, const char *text, const char *segment)
{
	buf_puts(&c->url, text);
	buf_put_urlenc(&c->url, segment, strlen(segment), NULL);
}

void
call_put_path(struct call *c, const char *text, const char *path)
{
	buf_puts(&c->url, text);
	buf_put_urlenc(&c->url, path, strlen(path), "/");
}

void
call_url(struct call *c, const char *url, size_t len)
{
	buf_reset(&c->url);
	buf_put(&c->url, url, len);
}

void
call_json(struct call *c, json_t *body)
{
	char *text = json_write(body, JSON_COMPACT);

	if (text)
		http_request_set_body(c->rq, text, strlen(text));
	else
		call_refuse(c, ERR_NOMEM, NULL);
	call_header(c, "Content-Type", "application/json");
	json_decref(body);
	mem_free(text);
}

void
call_header(struct call *c, const char *name, const char *value)
{
	http_request_add_header(c->rq, name, value);
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

enum err_code
call_check_below(const char *domain, const char *text)
{
	struct url url = { .scheme = NULL };
	enum err_code rc = url_parse(text, &url);
	size_t len = rc ? 0 : strlen(url.host), tail = strlen(domain);

	if (!rc && (url.has_userinfo || url.port != 443 || strcmp(url.scheme, "https") != 0 || len <= tail ||
		    strcasecmp(url.host + len - tail, domain) != 0))
		rc = ERR_INVALID;
	url_clear(&url);
	return rc;
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
