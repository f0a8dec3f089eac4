#include "config.h"

#include "tests/unit/adapter.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/unit.h"

void
adapter_open(struct adapter *a, const char *name, const char *const env[])
{
	adapter_open_as(a, provider_by_name(name), env);
}

void
adapter_open_as(struct adapter *a, const struct provider *p, const char *const env[])
{
	struct buf mistakes = BUF_INIT(4096);

	assert_non_null(p);
	a->p = p;
	a->settings = mem_calloc(1, a->p->settings_size);
	assert_non_null(a->settings);
	a->section = (struct cfg_section){ a->p->title, a->p->options, a->settings };
	a->cfg = (struct cfg){ &a->section, 1, NULL };
	if (cfg_load(&a->cfg, NULL, (char *const *)env, &mistakes, NULL))
		fail_msg("%s", buf_str(&mistakes));
	buf_clear(&mistakes);
}

void
adapter_close(struct adapter *a)
{
	cfg_clear(&a->cfg);
	mem_free(a->settings);
}

json_t *
load_json(const char *folder, const char *name)
{
	const char *srcdir = getenv("srcdir");
	json_error_t where;
	char path[1000];
	json_t *doc;

	snprintf(path, sizeof path, "%s/%s/%s", srcdir ? srcdir : ".", folder, name);
	doc = json_load_file(path, JSON_DECODE_ANY, &where);
	if (!doc)
		fail_msg("%s:%d: %s", path, where.line, where.text);
	return doc;
}

/* Its name in lower case, as from the HTTP client. */
static void
add_header(struct http_response *rs, const char *name, const char *value)
{
	struct http_header *all = mem_realloc(rs->headers, (rs->n_headers + 1) * sizeof *all);

	assert_non_null(all);
	rs->headers = all;
	all[rs->n_headers].name = mem_strdup(name);
	for (char *c = all[rs->n_headers].name; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	all[rs->n_headers].value = mem_strdup(value);
	rs->n_headers++;
}

void
make_response(struct http_response *rs, long status, const char *const *headers,
	const char *body, size_t len)
{
	*rs = (struct http_response)HTTP_RESPONSE_INIT;
	rs->status = status;
	rs->body.max = 10000000;
	buf_put(&rs->body, body, len);
	assert_int_equal(rs->body.err, ERR_OK);
	for (; headers && *headers; headers += 2)
		add_header(rs, headers[0], headers[1]);
}

void
response_of(const json_t *doc, struct http_response *rs)
{
	const json_t *response = json_object_get(doc, "response");
	const json_t *status = json_object_get(response, "status");
	const json_t *body = response ? json_object_get(response, "body") : doc;
	char *text = json_dumps(body, 0);
	const char *bytes = text ? text : json_string_value(body);
	const char *name;
	json_t *value;

	make_response(rs, status ? (long)json_integer_value(status) : 200, NULL, bytes, strlen(bytes));
	json_object_foreach(json_object_get(response, "headers"), name, value)
		add_header(rs, name, json_string_value(value));
	free(text);
}

static const char *
webhook_header(const void *ctx, const char *name)
{
	const struct headers *h = ctx;

	if (strcmp(name, "webhook-id") == 0)
		return h->id;
	if (strcmp(name, "webhook-timestamp") == 0)
		return h->timestamp;
	return strcmp(name, "webhook-signature") == 0 ? h->signature : NULL;
}

enum err_code
verify(const struct adapter *a, const struct headers *h, const char *body, size_t len,
	int64_t now_s, char **ret, struct err *err)
{
	const struct webhook wh = { .header = webhook_header, .ctx = h, .body = body, .body_len = len };

	return adapter_webhook_verify(a->p, a->settings, NULL, &wh, now_s, ret, err);
}
