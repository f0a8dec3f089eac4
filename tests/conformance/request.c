#include "config.h"

#include "tests/conformance/request.h"

#include <stdlib.h>

static const struct uuid job_id = { { 0x01, 0x93, 0x5a, 0, 0x11, 0x22, 0x73, 0x33,
	0x84, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa } };

#define TIME_LEFT_MS 60000

static uint64_t
number_or(const json_t *row, const char *member, uint64_t otherwise)
{
	const json_t *n = json_object_get(row, member);

	return n ? (uint64_t)json_integer_value(n) : otherwise;
}

static struct gen_spec
spec_of(const json_t *row)
{
	return (struct gen_spec){ .job_id = job_id, .on = json_object_get(row, "on"),
		.webhook_url = row_text(row, "webhook_url"),
		.time_left_ms = number_or(row, "time_left_ms", TIME_LEFT_MS) };
}

static enum err_code
build_find(const struct adapter *a, const json_t *row, struct http_request *ret)
{
	const json_t *q = json_object_get(row, "query");
	const struct find_query query = { .after_us = (int64_t)number_or(q, "after_us", 0),
		.before_us = (int64_t)number_or(q, "before_us", 0), .follow = row_text(q, "follow") };

	return adapter_find_request(a->p, a->settings, &query, ret, NULL);
}

enum err_code
build_request(const struct adapter *a, const json_t *row, struct http_request *ret)
{
	const struct provider_look *look = row_look(a->p, row);
	const struct look_query query = row_query(row);
	const struct gen_spec spec = spec_of(row);

	if (look && look->request)
		return adapter_look_request(a->p, a->settings, look, &query, ret, NULL);
	if (row_is(row, "submit"))
		return adapter_submit_request(a->p, a->settings, &spec, ret, NULL);
	if (row_is(row, "find") && a->p->find.request)
		return build_find(a, row, ret);
	if (row_is(row, "verifier") && a->p->verifier.request)
		return adapter_verifier_request(a->p, a->settings, ret, NULL);
	if (row_is(row, "probe"))
		return adapter_probe_request(a->p, a->settings, ret, NULL);
	if (row_is(row, "authorize"))
		return adapter_authorize(a->p, a->settings, ret);
	fail_msg("%s: %s: there is no such call", a->p->name, row_name(row));
	return ERR_INTERNAL;
}

static json_t *
headers_said(const struct http_request *rq)
{
	json_t *said = json_object();

	for (size_t i = 0; i < rq->n_headers; i++) {
		/* Once each. */
		assert_null(json_object_get(said, rq->headers[i].name));
		say_text(said, rq->headers[i].name, rq->headers[i].value);
	}
	return said;
}

static json_t *
body_said(const struct http_request *rq)
{
	json_t *body = json_loadb(rq->body, rq->body_bytes, JSON_DECODE_ANY, NULL);

	return body ? body : json_stringn(rq->body, rq->body_bytes);
}

static json_t *
request_said(const struct http_request *rq)
{
	static const char *const methods[] = { [HTTP_GET] = "GET", [HTTP_HEAD] = "HEAD", [HTTP_POST] = "POST",
		[HTTP_PUT] = "PUT", [HTTP_DELETE] = "DELETE" };
	json_t *said = json_object();

	say_text(said, "method", methods[rq->method]);
	say_text(said, "url", rq->url);
	json_object_set_new(said, "headers", headers_said(rq));
	if (rq->body)
		json_object_set_new(said, "body", body_said(rq));
	say_number(said, "max_response_bytes", rq->max_response_bytes);
	say_number(said, "timeout_ms", rq->timeout_ms);
	return said;
}

static void
say_handle(const struct adapter *a, const json_t *row, json_t *said)
{
	struct buf handle = BUF_INIT(HANDLE_MAX);
	const struct gen_spec spec = spec_of(row);

	if (!row_is(row, "submit"))
		return;
	assert_int_equal(adapter_submit_handle(a->p, &spec, &handle, NULL), ERR_OK);
	say_text(said, "handle", handle.len ? buf_str(&handle) : NULL);
	buf_clear(&handle);
}

static void
check_request(const struct suite *s, const json_t *row)
{
	json_t *on = json_deep_copy(json_object_get(row, "on")), *said;
	struct http_request rq = HTTP_REQUEST_INIT;
	struct adapter a;
	enum err_code rc;

	row_open(s, row, &a);
	rc = build_request(&a, row, &rq);
	/* What is sent again is built of it again. */
	ASSERT_ROW(row_name(row), !on || json_equal(on, json_object_get(row, "on")));
	said = rc ? json_pack("{ss}", "error", err_name(rc)) : request_said(&rq);
	if (!rc) {
		ASSERT_ROW(row_name(row), rq.err == ERR_OK && !rq.public_address_only);
		ASSERT_ROW(row_name(row), rq.timeout_ms > 0 || row_is(row, "authorize"));
		say_handle(&a, row, said);
	}
	expect(s, row, said);
	json_decref(on);
	json_decref(said);
	http_request_clear(&rq);
	row_close(row, &a);
}

void
requests_are_as_wanted(const struct suite *s)
{
	size_t i;
	json_t *row;

	json_array_foreach(suite_rows(s, "requests"), i, row)
		check_request(s, row);
}

static enum err_code
build_and_clear(const struct adapter *a, const json_t *row)
{
	struct http_request rq = HTTP_REQUEST_INIT;
	struct buf handle = BUF_INIT(HANDLE_MAX);
	const struct gen_spec spec = spec_of(row);
	enum err_code rc = build_request(a, row, &rq);

	if (!rc && row_is(row, "submit"))
		rc = adapter_submit_handle(a->p, &spec, &handle, NULL);
	/* What is built is whole: a header without its value would cost the job. */
	for (size_t i = 0; !rc && i < rq.n_headers; i++)
		ASSERT_ROW(row_name(row), rq.headers[i].value && *rq.headers[i].value);
	buf_clear(&handle);
	http_request_clear(&rq);
	return rc;
}

void
requests_survive_nomem(const struct suite *s)
{
	size_t i;
	json_t *row;

	json_array_foreach(suite_rows(s, "requests"), i, row) {
		struct adapter a;
		enum err_code rc;

		if (json_object_get(json_object_get(row, "want"), "error"))
			continue;
		row_open(s, row, &a);
		ASSERT_SURVIVES_NOMEM(rc, rc = build_and_clear(&a, row));
		row_close(row, &a);
	}
}

static void
check_configuration(const struct suite *s, const json_t *row)
{
	struct buf mistakes = BUF_INIT(4096);
	const char *want = row_text(row, "mistake");
	struct adapter a;

	row_open(s, row, &a);
	adapter_check(a.p, a.settings, &mistakes);
	ASSERT_ROW(row_name(row), mistakes.err == ERR_OK);
	if (want ? !strstr(buf_str(&mistakes), want) : mistakes.len > 0)
		fail_msg("%s: %s: %s", s->p->name, row_name(row), buf_str(&mistakes));
	assert_no_secret(&a, row, buf_str(&mistakes));
	ASSERT_ROW(row_name(row), adapter_has_secret(a.settings) == json_is_true(json_object_get(row, "secret")));
	buf_clear(&mistakes);
	row_close(row, &a);
}

void
configurations_are_checked(const struct suite *s)
{
	size_t i;
	json_t *row;

	json_array_foreach(suite_rows(s, "configurations"), i, row)
		check_configuration(s, row);
}

void
params_are_taken(const struct suite *s)
{
	size_t i;
	json_t *row;

	json_array_foreach(suite_rows(s, "params"), i, row)
		ASSERT_ROW(row_name(row), adapter_takes_param(s->p, row_name(row)) == json_is_true(json_object_get(row, "taken")));
}

void
profiles_are_checked(const struct suite *s)
{
	size_t i;
	json_t *row;

	json_array_foreach(suite_rows(s, "profiles"), i, row) {
		struct buf mistakes = BUF_INIT(4096);
		const char *want = row_text(row, "mistake");

		adapter_check_profile(s->p, json_object_get(row, "on"), "here", &mistakes);
		ASSERT_ROW(row_name(row), mistakes.err == ERR_OK);
		if (want ? !strstr(buf_str(&mistakes), want) : mistakes.len > 0)
			fail_msg("%s: %s: %s", s->p->name, row_name(row), buf_str(&mistakes));
		buf_clear(&mistakes);
	}
}
