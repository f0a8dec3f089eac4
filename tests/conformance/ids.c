#include "config.h"

#include "tests/conformance/ids.h"

#include <stdlib.h>
#include <strings.h>

#include "base/url.h"
#include "tests/conformance/reply.h"
#include "tests/conformance/request.h"

#define N(table) (sizeof (table) / sizeof *(table))

/* ---- in answers ---- */

/* Another one where its id stands; false: that is nowhere. */
static bool
put_id(json_t *doc, const char *id, json_t *other)
{
	const char *name;
	json_t *value;

	json_object_foreach(doc, name, value)
		if (json_is_string(value) && strcmp(json_string_value(value), id) == 0)
			return json_object_set(doc, name, other) == 0;
	return false;
}

/* good: it is the prediction's id, as it is. */
static void
check_id(const struct suite *s, const json_t *row, json_t *doc, long status, json_t *id, bool good)
{
	char *text = json_dumps(doc, JSON_COMPACT);
	struct http_response rs;
	struct reading r;

	make_response(&rs, status, NULL, text, strlen(text));
	read_answer(&s->adapter, row, &rs, &r);
	if (good ? r.submit.outcome != SUBMIT_ACCEPTED || strcmp(r.submit.obs.prediction_id, json_string_value(id)) != 0
		 : r.submit.outcome != SUBMIT_UNKNOWN)
		fail_msg("%s: %s: %s: outcome %d", s->p->name, row_name(row), text, (int)r.submit.outcome);
	reading_clear(&r);
	http_response_clear(&rs);
	free(text);
}

static json_t *
long_id(size_t len)
{
	char text[PREDICTION_ID_MAX + 2];

	assert_true(len <= sizeof text);
	memset(text, 'i', len);
	return json_stringn(text, len);
}

static void
try_ids(const struct suite *s, const json_t *row, json_t *doc, long status, const char *id)
{
	const struct { json_t *id; bool good; } ids[] = {
		{ json_string("a/b"), true }, { json_string("%2e%2e%2f"), true }, { json_string("?x=y&z#"), true },
		{ json_string("..."), true }, { json_string("a \"b\" \xc3\xa9"), true }, { long_id(PREDICTION_ID_MAX), true },
		{ long_id(PREDICTION_ID_MAX + 1), false }, { json_string(""), false }, { json_string("."), false },
		{ json_string(".."), false }, { json_stringn("p\0q", 3), false }, { json_stringn("\0", 1), false },
		{ json_null(), false }, { json_integer(7), false }, { json_true(), false },
	};

	for (size_t i = 0; i < N(ids); i++) {
		json_t *copy = json_deep_copy(doc);

		if (put_id(copy, id, ids[i].id))
			check_id(s, row, copy, status, ids[i].id, ids[i].good);
		json_decref(copy);
		json_decref(ids[i].id);
	}
}

void
ids_may_be_anything(const struct suite *s)
{
	size_t i;
	json_t *row;

	json_array_foreach(suite_rows(s, "answers"), i, row) {
		const char *id = row_text(json_object_get(row, "want"), "id");
		struct http_response rs;
		json_t *doc;

		if (!row_is(row, "submit") || !id || json_object_get(row, "settings") || !row_response(s, row, &rs))
			continue;
		doc = json_loadb(buf_str(&rs.body), rs.body.len, 0, NULL);
		try_ids(s, row, doc, rs.status, id);
		json_decref(doc);
		http_response_clear(&rs);
	}
}

/* ---- in requests ---- */

static bool
is_host_of(const struct provider *p, const char *host)
{
	for (const char *const *own = p->output_hosts; own && *own; own++) {
		size_t len = strlen(host), tail = strlen(*own);

		if (**own == '.' ? len > tail && strcasecmp(host + len - tail, *own) == 0 : strcasecmp(host, *own) == 0)
			return true;
	}
	return false;
}

/* With the key it goes to the API, or by https to a host of the provider's. */
static void
check_place(const struct adapter *a, const json_t *row, const struct http_request *rq)
{
	struct url api = { .scheme = NULL }, url = { .scheme = NULL };
	bool has_key = false;

	for (size_t i = 0; i < rq->n_headers; i++)
		has_key = has_key || strcmp(rq->headers[i].name, a->p->key_header) == 0;
	assert_int_equal(url_parse(adapter_url(a->settings), &api), ERR_OK);
	if (url_parse(rq->url, &url) || url.has_userinfo)
		fail_msg("%s: %s: no URL: %s", a->p->name, row_name(row), rq->url);
	if (has_key && (strcasecmp(url.host, api.host) != 0 || url.port != api.port) &&
	    (strcmp(url.scheme, "https") != 0 || url.port != 443 || !is_host_of(a->p, url.host)))
		fail_msg("%s: %s: the key goes to %s", a->p->name, row_name(row), rq->url);
	for (const char *c = rq->url; *c; c++)
		ASSERT_ROW(row_name(row), *c > ' ' && *c < 0x7f);
	url_clear(&api);
	url_clear(&url);
}

/* A row with another value in its query.  The URL, or NULL: it is not asked.  The caller owns it: mem_free(). */
static char *
url_with(const struct suite *s, const json_t *row, const char *member, const char *value)
{
	json_t *changed = json_deep_copy(row);
	struct http_request rq = HTTP_REQUEST_INIT;
	struct adapter a;
	char *url = NULL;

	json_object_set_new(json_object_get(changed, "query"), member, json_string(value));
	row_open(s, row, &a);
	if (!build_request(&a, changed, &rq)) {
		check_place(&a, changed, &rq);
		url = mem_strdup(rq.url);
	}
	row_close(row, &a);
	http_request_clear(&rq);
	json_decref(changed);
	return url;
}

/* What stood for one id stands for the other, and all else is the same. */
static void
try_id(const struct suite *s, const json_t *row, const char *plain, const char *id)
{
	char *before = url_with(s, row, "id", plain), *url = url_with(s, row, "id", id), *at = strstr(before, plain);
	struct buf want = BUF_INIT(4096);

	assert_non_null(at);
	buf_put(&want, before, (size_t)(at - before));
	buf_put_urlenc(&want, id, strlen(id), NULL);
	buf_puts(&want, at + strlen(plain));
	assert_string_equal(url, buf_str(&want));
	buf_clear(&want);
	mem_free(before);
	mem_free(url);
}

void
requests_lead_nowhere_else(const struct suite *s)
{
	static const char *const ids[] = { "a/b", "../../account", "%2e%2e", "x?y=z&id=other", "x#y", "x\r\nHost: y", " ", ":",
		"@evil.example", "//evil.example/", "\xc3\xa9" };
	static const char *const places[] = { "https://evil.example/", "//evil.example/", "@evil.example/", ":8443/",
		".evil.example/", "https://api.example@evil.example/", "a\r\nHost: evil.example", "http://127.0.0.1/", "?#", "",
		"https:\\\\evil.example\\", "file:///etc/passwd" };
	size_t i;
	json_t *row;

	json_array_foreach(suite_rows(s, "requests"), i, row) {
		const json_t *query = json_object_get(row, "query");

		if (!query || row_text(json_object_get(row, "want"), "error"))
			continue;
		for (size_t k = 0; k < N(ids) && row_look(s->p, row); k++)
			try_id(s, row, "plain-id", ids[k]);
		for (size_t k = 0; k < N(places); k++) {
			mem_free(url_with(s, row, "handle", places[k]));
			mem_free(url_with(s, row, "follow", places[k]));
		}
	}
}
