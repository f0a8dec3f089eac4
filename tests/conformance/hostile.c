#include "config.h"

#include "tests/conformance/hostile.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "tests/conformance/reply.h"

#define N(table) (sizeof (table) / sizeof *(table))
#define TEXT_MAX 4096
#define TRIED_AT 1614265330

/* An answer of a row, and what an answer like it may not say. */
struct trial {
	const struct suite *s;
	const json_t *row;
	struct adapter a;
	char what[200];			/* was done to it */
};

static void
wrong(const struct trial *t, const char *why, const struct reading *r)
{
	json_t *said = answer_said(t->row, r);
	char *text = json_dumps(said, JSON_COMPACT);

	fail_msg("%s: %s, %s: %s: %s", t->s->p->name, row_name(t->row), t->what, why, text);
}

static const char *
wanted(const json_t *row, const char *member)
{
	return row_text(json_object_get(row, "want"), member);
}

static bool
wants(const json_t *row, const char *member, const char *value)
{
	const char *is = wanted(row, member);

	return is && strcmp(is, value) == 0;
}

static bool
is_2xx(long status)
{
	return status >= 200 && status < 300;
}

static bool
fits(const char *text, size_t max)
{
	return !text || strlen(text) <= max;
}

static bool
is_output(const json_t *output)
{
	const char *text = json_string_value(output);

	/* One with a NUL would be another one. */
	return text && strlen(text) == json_string_length(output) &&
		(strncasecmp(text, "http", 4) == 0 || strncasecmp(text, "data:", 5) == 0 || !strchr(text, ':'));
}

/* What the service relies on, of whatever an adapter says. */
static void
check_observation(const struct trial *t, const struct gen_observation *obs, const struct reading *r)
{
	size_t i;
	json_t *output;

	if (obs->prediction_id && (!*obs->prediction_id || strlen(obs->prediction_id) > PREDICTION_ID_MAX ||
	    strcmp(obs->prediction_id, "..") == 0))
		wrong(t, "no id", r);
	if (!fits(obs->handle, HANDLE_MAX) || !fits(obs->status_text, TEXT_MAX) ||
	    !fits(obs->message, TEXT_MAX) || !fits(obs->webhook_url, TEXT_MAX))
		wrong(t, "too long", r);
	if ((obs->status == GEN_FAILED) != (obs->error != ERR_OK))
		wrong(t, "failed and its reason go together", r);
	/* But where a hint has what it lacked. */
	if (obs->status == GEN_SUCCEEDED && (wants(t->row, "status", "starting") || wants(t->row, "status", "processing")) &&
	    !json_object_get(json_object_get(t->row, "want"), "is_hint"))
		wrong(t, "it goes on", r);
	if (!obs->status_known && obs->status != GEN_PROCESSING)
		wrong(t, "what is not known goes on", r);
	if (!(obs->seconds >= 0))
		wrong(t, "time", r);
	if (json_array_size(obs->outputs) > OUTPUTS_MAX)
		wrong(t, "too many outputs", r);
	json_array_foreach(obs->outputs, i, output)
		if (!is_output(output))
			wrong(t, "no output", r);
}

static void
check_submit(const struct trial *t, long status, const struct reading *r)
{
	const struct submit_reply *reply = &r->submit;

	if (is_2xx(status) && reply->outcome != SUBMIT_ACCEPTED && reply->outcome != SUBMIT_UNKNOWN &&
	    wants(t->row, "outcome", "accepted"))
		wrong(t, "it may exist", r);
	if ((status < 200 || status == 500 || status == 502 || status == 504 || status == 408 ||
	     (status >= 300 && status < 400)) && reply->outcome != SUBMIT_UNKNOWN && !is_2xx(status))
		wrong(t, "it may exist", r);
	if (!is_2xx(status) && reply->outcome == SUBMIT_ACCEPTED)
		wrong(t, "it was not taken", r);
	if (reply->outcome == SUBMIT_ACCEPTED && !reply->obs.prediction_id && !gen_status_is_final(reply->obs.status))
		wrong(t, "which one goes on?", r);
	if ((reply->outcome == SUBMIT_REFUSED) != (reply->error != ERR_OK))
		wrong(t, "refused and its reason go together", r);
	if (reply->retry_after_ms > HTTP_RETRY_AFTER_MAX_MS || !fits(reply->message, TEXT_MAX))
		wrong(t, "beyond bounds", r);
	check_observation(t, &reply->obs, r);
}

static void
check_look(const struct trial *t, long status, const struct reading *r)
{
	const struct status_reply *reply = &r->look;

	if (reply->outcome == STATUS_GONE && status != 404 && status != 410 && !wants(t->row, "outcome", "gone"))
		wrong(t, "it is not gone", r);
	if (reply->outcome == STATUS_SEEN && !is_2xx(status) && gen_status_is_final(reply->obs.status) &&
	    reply->obs.status != GEN_FAILED)
		wrong(t, "no end by a failure of HTTP", r);
	if ((reply->outcome == STATUS_MORE) != (reply->follow != NULL))
		wrong(t, "what is to be followed?", r);
	if (reply->retry_after_ms > HTTP_RETRY_AFTER_MAX_MS || !fits(reply->message, TEXT_MAX))
		wrong(t, "beyond bounds", r);
	check_observation(t, &reply->obs, r);
}

static void
check_find(const struct trial *t, const struct reading *r)
{
	const struct find_reply *reply = &r->find;

	if (reply->outcome != FIND_PAGE && (reply->n || reply->follow))
		wrong(t, "there is no page", r);
	if (reply->retry_after_ms > HTTP_RETRY_AFTER_MAX_MS || reply->date_us < 0 || !fits(reply->message, TEXT_MAX))
		wrong(t, "beyond bounds", r);
	for (size_t i = 0; i < reply->n; i++)
		if (!reply->found[i].obs.prediction_id || !fits(reply->found[i].obs.prediction_id, PREDICTION_ID_MAX) ||
		    reply->found[i].created_us < 0)
			wrong(t, "no prediction", r);
}

/* Whatever the answer is, it is not our trouble. */
static void
check(const struct trial *t, long status, const struct reading *r)
{
	bool may_fail = row_is(t->row, "probe") || row_is(t->row, "verifier");

	if (r->rc != ERR_OK && !(may_fail && (r->rc == ERR_UPSTREAM || r->rc == ERR_PROVIDER_UNAVAILABLE)))
		wrong(t, "it fails", r);
	if (may_fail)
		return;
	if (row_is(t->row, "submit"))
		check_submit(t, status, r);
	else if (row_is(t->row, "find"))
		check_find(t, r);
	else
		check_look(t, status, r);
}

/* Of a 2xx that could not be read nothing is repeated: it holds the prompt, and the
 * webhook's URL with its token. */
static void
check_unread(const struct trial *t, long status, size_t len, const struct reading *r)
{
	const char *message = row_is(t->row, "submit") ? r->submit.message : row_is(t->row, "find") ? r->find.message
		: r->look.message;
	char want[200];

	snprintf(want, sizeof want, "HTTP %ld, and its %zu bytes cannot be read as what was asked for", status, len);
	if (!message || strcmp(message, want) != 0)
		wrong(t, "it says what it read", r);
}

/* The answer with another status and body; strict: it cannot be read. */
static void
try_body(const struct trial *t, long status, const char *body, size_t len, bool strict)
{
	struct http_response rs;
	struct reading r;

	make_response(&rs, status, NULL, body, len);
	read_answer(&t->a, t->row, &rs, &r);
	check(t, status, &r);
	if (strict && (r.submit.outcome == SUBMIT_ACCEPTED) == row_is(t->row, "submit"))
		wrong(t, "it cannot be read", &r);
	if (strict && row_look(t->a.p, t->row) && r.look.outcome != STATUS_LATER)
		wrong(t, "it cannot be read", &r);
	if (strict && row_is(t->row, "find") && r.find.outcome != FIND_LATER)
		wrong(t, "it cannot be read", &r);
	if (strict && (row_is(t->row, "probe") || row_is(t->row, "verifier")) && r.rc != ERR_UPSTREAM)
		wrong(t, "it cannot be read", &r);
	if (strict && is_2xx(status) && !r.rc)
		check_unread(t, status, len, &r);
	reading_clear(&r);
	http_response_clear(&rs);
}

static void
for_each_answer(const struct suite *s, void (*each)(struct trial *t, const struct http_response *good))
{
	size_t i;
	json_t *row;

	json_array_foreach(suite_rows(s, "answers"), i, row) {
		struct trial t = { .s = s, .row = row };
		struct http_response good;

		if (!row_response(s, row, &good))
			continue;
		row_open(s, row, &t.a);
		each(&t, &good);
		row_close(row, &t.a);
		http_response_clear(&good);
	}
}

static bool
is_read(const json_t *row)
{
	static const char *const outcomes[] = { "accepted", "seen", "more", "page", "told", "ok" };
	bool read = false;

	for (size_t i = 0; i < N(outcomes); i++)
		read = read || wants(row, "outcome", outcomes[i]);
	return read;
}

static void
end_early(struct trial *t, const struct http_response *good)
{
	/* The rest have their meaning by their status, or have none. */
	if (!is_2xx(good->status) || !is_read(t->row) || good->body.len == 0)
		return;
	for (size_t len = 0; len < good->body.len; len++) {
		/* A copy of its own, so that whoever reads beyond is seen. */
		char *part = mem_strndup(buf_str(&good->body), len);

		snprintf(t->what, sizeof t->what, "cut after %zu bytes", len);
		try_body(t, good->status, part, len, true);
		mem_free(part);
	}
}

void
answers_that_end_early(const struct suite *s)
{
	for_each_answer(s, end_early);
}

/* ---- members ---- */

/* What a document of Jansson's cannot hold is put in its place when it is text. */
static const struct { const char *mark, *text; } numbers[] = {
	{ "\"@integer\"", "123456789012345678901234567890" },
	{ "\"@negative\"", "-99999999999999999999" },
	{ "\"@real\"", "1e999" },
};

static const char *const values[] = {
	NULL, "null", "true", "false", "0", "-1", "-1.5", "1e308", "9223372036854775807", "\"\"", "\"x\"", "\"..\"",
	"\"a\\u0000b\"", "\"\\u00e9: \\\"%s\\\" \\r\\n\"", "\"https://a.example/x\\u0000y\"", "[]", "[[[]]]", "[null]",
	"{}", "{\"a\":{}}", "\"@integer\"", "\"@negative\"", "\"@real\"", "\"@long\"", "\"@deep\"", "\"@secrets\"",
};

/* A provider may repeat what it was sent. */
static json_t *
secrets_of(const struct adapter *a)
{
	const struct provider_api *api = a->settings;
	const char *key = api->key ? api->key : "", *secrets = api->webhook_secret ? api->webhook_secret : "";

	return json_sprintf("%s is no key; %s%s; %s", key, key, key, secrets);
}

static json_t *
long_text(void)
{
	char text[5001] = { 0 };

	return json_string(memset(text, 'l', sizeof text - 1));
}

/* A thousand arrays, each in the next. */
static json_t *
deep_list(void)
{
	json_t *deep = json_string("https://a.example/deep.png");

	for (int i = 0; i < 1000; i++)
		deep = json_pack("[o]", deep);
	return deep;
}

static json_t *
value_of(const struct adapter *a, const char *text)
{
	if (strcmp(text, "\"@long\"") == 0)
		return long_text();
	if (strcmp(text, "\"@deep\"") == 0)
		return deep_list();
	return strcmp(text, "\"@secrets\"") == 0 ? secrets_of(a) : json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
}

/* The caller owns it: mem_free(). */
static char *
text_of(const json_t *doc)
{
	char *dump = json_dumps(doc, JSON_COMPACT);
	const char *rest = dump;
	struct buf out = BUF_INIT(1000000);

	for (size_t i = 0; i < N(numbers); i++) {
		const char *at = strstr(rest, numbers[i].mark);

		if (!at)
			continue;
		buf_put(&out, rest, (size_t)(at - rest));
		buf_puts(&out, numbers[i].text);
		rest = at + strlen(numbers[i].mark);
	}
	buf_puts(&out, rest);
	free(dump);
	assert_int_equal(out.err, ERR_OK);
	return buf_take(&out);
}

/* The whole document with one value changed. */
struct changed {
	struct trial *t;
	long status;			/* 0: it is no answer, but a webhook */
	const json_t *doc;
};

/* As if it were signed. */
static void
try_heard(const struct trial *t, const char *body, size_t len)
{
	const struct webhook wh = { .body = body, .body_len = len };
	struct reading r = { .verifier = BUF_INIT(VERIFIER_MAX) };

	r.rc = adapter_webhook_parse(t->a.p, t->a.settings, &wh, &r.hook, NULL);
	if (r.rc && r.rc != ERR_BAD_REQUEST)
		wrong(t, "it fails", &r);
	if (!r.rc != (r.hook.prediction_id != NULL))
		wrong(t, "whose is it?", &r);
	check_observation(t, &r.hook, &r);
	assert_no_secret(&t->a, t->row, r.hook.message);
	reading_clear(&r);
}

static void
try_changed(const struct changed *c)
{
	char *text = text_of(c->doc);

	if (c->status)
		try_body(c->t, c->status, text, strlen(text), false);
	else
		try_heard(c->t, text, strlen(text));
	mem_free(text);
}

static void change_inside(const struct changed *c, json_t *value);

static void
change_member(const struct changed *c, json_t *object, const char *name)
{
	json_t *was = json_incref(json_object_get(object, name));

	for (size_t i = 0; i < N(values); i++) {
		snprintf(c->t->what, sizeof c->t->what, "%s is %s", name, values[i] ? values[i] : "absent");
		assert_int_equal(values[i] ? json_object_set_new(object, name, value_of(&c->t->a, values[i]))
			: json_object_del(object, name), 0);
		try_changed(c);
		json_object_set(object, name, was);
	}
	change_inside(c, was);
	json_decref(was);
}

static void
change_element(const struct changed *c, json_t *array, size_t at)
{
	json_t *was = json_incref(json_array_get(array, at));

	for (size_t i = 0; i < N(values); i++)
		if (values[i]) {
			snprintf(c->t->what, sizeof c->t->what, "element %zu is %s", at, values[i]);
			assert_int_equal(json_array_set_new(array, at, value_of(&c->t->a, values[i])), 0);
			try_changed(c);
		}
	json_array_set(array, at, was);
	change_inside(c, was);
	json_decref(was);
}

/* Far more of what is in a list. */
static void
repeat_elements(const struct changed *c, json_t *array)
{
	size_t n = json_array_size(array);

	for (size_t i = n; i < n + 2 * OUTPUTS_MAX; i++)
		json_array_append(array, json_array_get(array, i % n));
	snprintf(c->t->what, sizeof c->t->what, "a list of %zu", json_array_size(array));
	try_changed(c);
	while (json_array_size(array) > n)
		json_array_remove(array, n);
}

static void
change_inside(const struct changed *c, json_t *value)
{
	json_t *names = json_array();
	const char *name;
	json_t *member;
	size_t i;

	/* Setting moves nothing that this walks over. */
	json_object_foreach(value, name, member)
		json_array_append_new(names, json_string(name));
	json_array_foreach(names, i, member)
		change_member(c, value, json_string_value(member));
	for (i = 0; i < json_array_size(value); i++)
		change_element(c, value, i);
	if (json_array_size(value) > 0)
		repeat_elements(c, value);
	json_decref(names);
}

static void
change_all(struct trial *t, const struct http_response *good)
{
	json_t *doc = json_loadb(buf_str(&good->body), good->body.len, 0, NULL);
	struct changed c = { t, good->status, doc };

	if (doc)
		change_inside(&c, doc);
	json_decref(doc);
}

void
members_may_be_anything(const struct suite *s)
{
	for_each_answer(s, change_all);
}

/* ---- statuses ---- */

/* What is no JSON is kept as it is. */
static void
try_secrets(struct trial *t)
{
	json_t *secrets = secrets_of(&t->a);

	for (long status = 200; status < 600; status++) {
		snprintf(t->what, sizeof t->what, "HTTP %ld with our secrets", status);
		try_body(t, status, json_string_value(secrets), json_string_length(secrets), false);
	}
	json_decref(secrets);
}

static void
any_status(struct trial *t, const struct http_response *good)
{
	static const char *const bodies[] = { "", "null", "[]", "{}", "\"x\"", "<html><title>hm</title></html>",
		"{\"detail\":7,\"error\":[],\"message\":{}}", "{\"status\":5,\"id\":[]}", "\xff\xfe" };

	for (long status = 100; status < 600; status++) {
		snprintf(t->what, sizeof t->what, "HTTP %ld", status);
		try_body(t, status, buf_str(&good->body), good->body.len, false);
	}
	for (long status = 100; status < 600; status += status % 100 > 30 ? 69 : 1)
		for (size_t i = 0; i < N(bodies); i++) {
			snprintf(t->what, sizeof t->what, "HTTP %ld with %s", status, bodies[i]);
			try_body(t, status, bodies[i], strlen(bodies[i]), false);
		}
	try_secrets(t);
}

void
any_status_with_any_body(const struct suite *s)
{
	for_each_answer(s, any_status);
}

/* ---- webhooks ---- */

static enum err_code
verify_with(const struct suite *s, const json_t *row, const char *fetched, const json_t *headers,
	const struct webhook *good, const char *body, size_t len, int64_t now_s, char **ret_delivery)
{
	struct webhook wh = *good;
	struct adapter a;
	enum err_code rc;

	wh.ctx = headers;
	wh.body = body;
	wh.body_len = len;
	row_open(s, row, &a);
	rc = adapter_webhook_verify(a.p, a.settings, fetched, &wh, now_s, ret_delivery, NULL);
	row_close(row, &a);
	return rc;
}

static void
must_be_refused(const json_t *row, const char *what, enum err_code rc, const char *delivery)
{
	if (rc != ERR_SIGNATURE || delivery)
		fail_msg("%s: %s: %s", row_name(row), what, err_name(rc));
}

static void
forge_body(const struct suite *s, const json_t *row, const struct webhook *wh)
{
	char *body = mem_strndup(wh->body, wh->body_len), *delivery = NULL;

	for (size_t i = 0; i < wh->body_len; i++) {
		body[i] ^= 0x20;
		must_be_refused(row, "a byte of the body changed", verify_with(s, row, row_text(row, "fetched"), wh->ctx,
			wh, body, wh->body_len, row_now(row), &delivery), delivery);
		body[i] ^= 0x20;
	}
	for (size_t len = 0; len < wh->body_len; len++)
		must_be_refused(row, "a body that ends early", verify_with(s, row, row_text(row, "fetched"), wh->ctx,
			wh, body, len, row_now(row), &delivery), delivery);
	/* The byte behind the end is the NUL. */
	must_be_refused(row, "a body that is longer", verify_with(s, row, row_text(row, "fetched"), wh->ctx,
		wh, body, wh->body_len + 1, row_now(row), &delivery), delivery);
	mem_free(body);
}

/* One header with another value; NULL: without it. */
static void
forge_header(const struct suite *s, const json_t *row, const struct webhook *wh, const char *name, const char *value)
{
	json_t *headers = json_copy((json_t *)(uintptr_t)wh->ctx);
	char *delivery = NULL;

	if (value)
		json_object_set_new(headers, name, json_string_nocheck(value));
	else
		json_object_del(headers, name);
	must_be_refused(row, value ? value : name, verify_with(s, row, row_text(row, "fetched"), headers, wh, wh->body,
		wh->body_len, row_now(row), &delivery), delivery);
	json_decref(headers);
}

/* Each character another one, one less at either end, and one more. */
static void
forge_value(const struct suite *s, const json_t *row, const struct webhook *wh, const char *name, const char *value)
{
	size_t len = strlen(value);
	char *forged = mem_calloc(1, len + 2);

	memcpy(forged, value, len);
	for (size_t i = 0; i < len; i++) {
		forged[i] ^= 1;
		forge_header(s, row, wh, name, forged);
		forged[i] ^= 1;
	}
	forge_header(s, row, wh, name, forged + 1);
	forged[len] = '0';
	forge_header(s, row, wh, name, forged);
	forged[len - 1] = '\0';
	forge_header(s, row, wh, name, forged);
	mem_free(forged);
}

static void
forge_headers(const struct suite *s, const json_t *row, const struct webhook *wh)
{
	static const char *const others[] = { NULL, "", " ", "0", "x", "=", "\xff", "99999999999999999999" };
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)wh->ctx, name, value) {
		for (size_t i = 0; i < N(others); i++)
			forge_header(s, row, wh, name, others[i]);
		forge_value(s, row, wh, name, json_string_value(value));
	}
}

/* A signature that has no time in it never gets old: PROVIDER_HINTS. */
static void
verify_late(const struct suite *s, const json_t *row, const struct webhook *wh)
{
	static const struct { const char *what; int64_t off_s; bool good; } rows[] = {
		{ "300 s old", 300, true }, { "301 s old", 301, false },
		{ "300 s ahead", -300, true }, { "301 s ahead", -301, false },
	};

	for (size_t i = 0; i < N(rows); i++) {
		char *delivery = NULL;
		enum err_code rc = verify_with(s, row, row_text(row, "fetched"), wh->ctx, wh, wh->body, wh->body_len,
			row_now(row) + rows[i].off_s, &delivery);

		if (rows[i].good || s->p->caps & PROVIDER_HINTS)
			ASSERT_ROW(rows[i].what, rc == ERR_OK && delivery && *delivery);
		else
			must_be_refused(row, rows[i].what, rc, delivery);
		mem_free(delivery);
	}
}

static void
verify_again(const struct suite *s, const json_t *row, const struct webhook *wh)
{
	char *first = NULL, *second = NULL;

	for (int i = 0; i < 2; i++)
		assert_int_equal(verify_with(s, row, row_text(row, "fetched"), wh->ctx, wh, wh->body, wh->body_len,
			row_now(row), i ? &second : &first), ERR_OK);
	assert_string_equal(first, second);
	mem_free(first);
	mem_free(second);
}

static void
verify_by_others(const struct suite *s, const json_t *row, const struct webhook *wh)
{
	static const char *const others[] = { NULL, "", ",", ",,,", "x", "whsec_", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" };
	char *delivery = NULL;

	for (size_t i = 0; row_text(row, "fetched") && i < N(others); i++)
		must_be_refused(row, others[i] ? others[i] : "nothing was fetched", verify_with(s, row, others[i], wh->ctx,
			wh, wh->body, wh->body_len, row_now(row), &delivery), delivery);
}

static void
for_each_good_webhook(const struct suite *s,
	void (*each)(const struct suite *s, const json_t *row, const struct webhook *wh))
{
	size_t i;
	json_t *row;

	json_array_foreach(suite_rows(s, "webhooks"), i, row) {
		char *body;
		const struct webhook wh = row_webhook(s, row, &body);

		if (wants(row, "outcome", "ok"))
			each(s, row, &wh);
		mem_free(body);
	}
}

void
webhooks_are_forged(const struct suite *s)
{
	for_each_good_webhook(s, forge_body);
	for_each_good_webhook(s, forge_headers);
	for_each_good_webhook(s, verify_late);
	for_each_good_webhook(s, verify_again);
	for_each_good_webhook(s, verify_by_others);
}

static const char *
sent_header(const void *ctx, const char *name)
{
	const struct http_request *rq = ctx;

	for (size_t i = 0; i < rq->n_headers; i++)
		if (strcasecmp(rq->headers[i].name, name) == 0)
			return rq->headers[i].value;
	return NULL;
}

/* One of our own: believed, and it says of nothing how it stands. */
static enum err_code
try_webhook(const struct suite *s, size_t bytes)
{
	struct http_request rq = HTTP_REQUEST_INIT;
	struct gen_observation obs = GEN_OBSERVATION_INIT;
	char *delivery = NULL;
	enum err_code rc = adapter_webhook_probe(s->p, s->adapter.settings, TRIED_AT, bytes, &rq, NULL);
	const struct webhook wh = { .header = sent_header, .ctx = &rq, .body = rq.body, .body_len = (size_t)rq.body_bytes };

	if (!rc) {
		assert_true(rq.method == HTTP_POST && wh.body_len >= bytes && wh.body_len < bytes + 300);
		rc = adapter_webhook_verify(s->p, s->adapter.settings, NULL, &wh, TRIED_AT, &delivery, NULL);
	}
	if (!rc && adapter_webhook_parse(s->p, s->adapter.settings, &wh, &obs, NULL) == ERR_OK)
		fail_msg("%s: what it does not send is read as a webhook of its own", s->p->name);
	gen_observation_clear(&obs);
	mem_free(delivery);
	http_request_clear(&rq);
	return rc;
}

static void
try_without_secret(const struct suite *s)
{
	static const char *const nothing[] = { NULL };
	struct http_request rq = HTTP_REQUEST_INIT;
	struct adapter a;

	if (!(s->p->caps & PROVIDER_WEBHOOK))
		return;
	adapter_open_as(&a, s->p, nothing);
	assert_int_equal(adapter_webhook_probe(a.p, a.settings, TRIED_AT, 0, &rq, NULL), ERR_CONFIG);
	http_request_clear(&rq);
	adapter_close(&a);
}

void
webhooks_are_tried(const struct suite *s)
{
	static const size_t sizes[] = { 0, 100, 1500000 };
	bool can = s->p->webhook_sign && adapter_has_secret(s->adapter.settings);
	enum err_code rc;

	for (size_t i = 0; i < N(sizes) && (s->p->caps & PROVIDER_WEBHOOK); i++)
		assert_int_equal(try_webhook(s, sizes[i]), can ? ERR_OK : ERR_CONFIG);
	if (can)
		ASSERT_SURVIVES_NOMEM(rc, rc = try_webhook(s, 10));
	try_without_secret(s);
}

static void
parse_beginnings(const struct suite *s, const json_t *row, const struct webhook *wh)
{
	for (size_t len = 0; len < wh->body_len; len++) {
		char *part = mem_strndup(wh->body, len);
		const struct webhook cut = { .header = wh->header, .ctx = wh->ctx, .body = part, .body_len = len };
		struct gen_observation obs = GEN_OBSERVATION_INIT;
		/* What is behind the document's end is a line's end at most. */
		bool whole = strspn(wh->body + len, " \r\n") == wh->body_len - len;
		enum err_code rc = adapter_webhook_parse(s->p, s->adapter.settings, &cut, &obs, NULL);

		if (!whole && (rc != ERR_BAD_REQUEST || obs.prediction_id))
			fail_msg("%s, cut after %zu bytes: %s", row_name(row), len, err_name(rc));
		gen_observation_clear(&obs);
		mem_free(part);
	}
}

static void
change_heard(const struct suite *s, const json_t *row, const struct webhook *wh)
{
	struct trial t = { .s = s, .row = row, .a = s->adapter };
	json_t *doc = json_loadb(wh->body, wh->body_len, JSON_DECODE_INT_AS_REAL, NULL);
	const struct changed c = { &t, 0, doc };

	change_inside(&c, doc);
	json_decref(doc);
}

void
webhooks_may_say_anything(const struct suite *s)
{
	for_each_good_webhook(s, change_heard);
}

void
webhooks_that_end_early(const struct suite *s)
{
	for_each_good_webhook(s, parse_beginnings);
}
