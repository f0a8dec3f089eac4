#include "config.h"

#include "providers/provider.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/crypto.h"
#include "tests/unit/adapter.h"
#include "tests/unit/unit.h"

#define N(table) (sizeof (table) / sizeof *(table))

#define TOKEN "r8_a-token-for-tests"
#define MODEL_VERSION "5f2c0a7be91d4438a6cc10e29b7d3f8451aa90c6e7d82b3f46015c9d8e7fa213"

/* The vector that the Standard Webhooks libraries publish. */
#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define SECRET_2 "whsec_dGhlIG5leHQgc2VjcmV0IGlzIHRoaXM="
#define ID "msg_p5jXN8AQM9LWM0D4loKWxJek"
#define TIME "1614265330"
#define NOW 1614265330
#define BODY "{\"test\": 2432232314}"
#define SIGNATURE "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
#define OTHER_SIGNATURE "Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="

static struct adapter replicate;

static int
open_replicate(void **state)
{
	static const char *const env[] = {
		"GENGATE_REPLICATE_TOKEN=" TOKEN,
		"GENGATE_REPLICATE_WEBHOOK_SECRET=" SECRET, NULL
	};

	(void)state;
	adapter_open(&replicate, "replicate", env);
	return 0;
}

static int
close_replicate(void **state)
{
	(void)state;
	adapter_close(&replicate);
	return mem_outstanding() == 0 ? 0 : -1;
}

static json_t *
load_own(const char *name)
{
	return load_json("tests/data/replicate", name);
}

static void
load_response(const char *name, struct http_response *rs)
{
	json_t *doc = load_own(name);

	response_of(doc, rs);
	json_decref(doc);
}

static bool
same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* NULL wants nothing; else the text has to have it inside. */
static bool
has(const char *text, const char *part)
{
	return !part || (text && strstr(text, part));
}

/* ---- what it is ---- */

static void
is_in_the_registry(void **state)
{
	const struct provider *p = provider_by_name("replicate");
	bool listed = false;

	(void)state;
	assert_non_null(p);
	assert_string_equal(p->name, "replicate");
	assert_true(p->caps & PROVIDER_WEBHOOK);
	assert_int_equal(p->retention_ms, 3600 * 1000);
	for (size_t i = 0; i < provider_count(); i++)
		listed = listed || provider_at(i) == p;
	assert_true(listed);
	assert_null(provider_by_name("Replicate"));
	assert_null(provider_by_name("replicat"));
	assert_null(provider_by_name(""));
}

static void
settings_are_checked(void **state)
{
	static const struct {
		const char *name, *token, *secret, *mistake;
		bool ready;
	} rows[] = {
		{ "complete", "GENGATE_REPLICATE_TOKEN=x", "GENGATE_REPLICATE_WEBHOOK_SECRET=" SECRET, NULL, true },
		{ "two secrets", "GENGATE_REPLICATE_TOKEN=x",
		  "GENGATE_REPLICATE_WEBHOOK_SECRET=" SECRET " , " SECRET_2, NULL, true },
		{ "without its prefix", "GENGATE_REPLICATE_TOKEN=x",
		  "GENGATE_REPLICATE_WEBHOOK_SECRET=MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", NULL, true },
		{ "no secret", "GENGATE_REPLICATE_TOKEN=x", NULL, NULL, false },
		{ "no token", NULL, NULL, "replicate_token: has to be set", false },
		{ "empty token", "GENGATE_REPLICATE_TOKEN=", NULL, "replicate_token: has to be set", false },
		{ "no base64", "GENGATE_REPLICATE_TOKEN=x", "GENGATE_REPLICATE_WEBHOOK_SECRET=whsec_?",
		  "replicate_webhook_secret: secret 1 is not", true },
		{ "prefix alone", "GENGATE_REPLICATE_TOKEN=x", "GENGATE_REPLICATE_WEBHOOK_SECRET=whsec_",
		  "replicate_webhook_secret: secret 1 is not", true },
		{ "too short", "GENGATE_REPLICATE_TOKEN=x", "GENGATE_REPLICATE_WEBHOOK_SECRET=whsec_c2hvcnQ=",
		  "replicate_webhook_secret: secret 1 is not", true },
		{ "the second is bad", "GENGATE_REPLICATE_TOKEN=x",
		  "GENGATE_REPLICATE_WEBHOOK_SECRET=" SECRET ",whsec_x", "secret 2 is not", true },
		{ "commas alone", "GENGATE_REPLICATE_TOKEN=x", "GENGATE_REPLICATE_WEBHOOK_SECRET=,,",
		  "replicate_webhook_secret: no secret", true },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		const char *env[3] = { NULL };
		struct buf mistakes = BUF_INIT(4096);
		struct adapter a;
		size_t n = 0;

		if (rows[i].token)
			env[n++] = rows[i].token;
		if (rows[i].secret)
			env[n++] = rows[i].secret;
		adapter_open(&a, "replicate", env);
		a.p->check(a.settings, &mistakes);
		ASSERT_ROW(rows[i].name, (mistakes.len == 0) == !rows[i].mistake);
		ASSERT_ROW(rows[i].name, has(buf_str(&mistakes), rows[i].mistake));
		ASSERT_ROW(rows[i].name, !strstr(buf_str(&mistakes), "MfKQ9r8"));
		ASSERT_ROW(rows[i].name, a.p->webhook_ready(a.settings) == rows[i].ready);
		ASSERT_ROW(rows[i].name, same(a.p->api_url(a.settings), "https://api.replicate.com/v1"));
		buf_clear(&mistakes);
		adapter_close(&a);
	}
}

/* ---- create: the request ---- */

static const char *
request_header(const struct http_request *rq, const char *name)
{
	const char *value = NULL;

	for (size_t i = 0; i < rq->n_headers; i++)
		if (strcmp(rq->headers[i].name, name) == 0) {
			assert_null(value);	/* once */
			value = rq->headers[i].value;
		}
	return value;
}

static const struct uuid job_id = { { 0x01, 0x93, 0x5a, 0, 0x11, 0x22, 0x73, 0x33,
	0x84, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa } };
#define JOB_ID "01935a00-1122-7333-8444-5566778899aa"

#define HOOK "https://gw.example.org/webhooks/replicate?job=sealed"
#define EVENTS "\"webhook_events_filter\":[\"start\",\"completed\"]"

static void
create_is_sent_in_its_three_forms(void **state)
{
	static const struct {
		const char *name, *on, *webhook;
		uint64_t time_left_ms;
		const char *url, *body, *cancel_after;
	} rows[] = {
		{ "official model", "{\"model\":\"tinkers-yard/kiln-2.1\",\"input\":{\"prompt\":\"x\"}}", NULL, 300000,
		  "/models/tinkers-yard/kiln-2.1/predictions", "{\"input\":{\"prompt\":\"x\"}}", "300s" },
		{ "version of a model", "{\"model\":\"tinkers-yard/kiln:" MODEL_VERSION "\",\"input\":{}}", NULL, 90500,
		  "/predictions", "{\"version\":\"tinkers-yard/kiln:" MODEL_VERSION "\",\"input\":{}}", "90s" },
		{ "version alone", "{\"model\":\"" MODEL_VERSION "\",\"input\":{\"a\":[1,2.5,null]}}", NULL, 86400000,
		  "/predictions", "{\"version\":\"" MODEL_VERSION "\",\"input\":{\"a\":[1,2.5,null]}}", "86400s" },
		{ "deployment", "{\"deployment\":\"tinkers-yard/my-kiln\",\"input\":{\"n\":1}}", NULL, 60000,
		  "/deployments/tinkers-yard/my-kiln/predictions", "{\"input\":{\"n\":1}}", "60s" },
		{ "deployment before model",
		  "{\"deployment\":\"a/b\",\"model\":\"c/d:" MODEL_VERSION "\",\"input\":{}}", NULL, 60000,
		  "/deployments/a/b/predictions", "{\"input\":{}}", "60s" },
		{ "with a webhook", "{\"model\":\"a/b\",\"input\":{}}", HOOK, 60000,
		  "/models/a/b/predictions", "{\"input\":{},\"webhook\":\"" HOOK "\"," EVENTS "}", "60s" },
		{ "version with a webhook", "{\"model\":\"" MODEL_VERSION "\",\"input\":{}}", HOOK, 60000,
		  "/predictions",
		  "{\"version\":\"" MODEL_VERSION "\",\"input\":{},\"webhook\":\"" HOOK "\"," EVENTS "}", "60s" },
		{ "5 s left", "{\"model\":\"a/b\",\"input\":{}}", NULL, 5000,
		  "/models/a/b/predictions", "{\"input\":{}}", "5s" },
		{ "4.999 s left", "{\"model\":\"a/b\",\"input\":{}}", NULL, 4999,
		  "/models/a/b/predictions", "{\"input\":{}}", "5s" },
		{ "nothing left", "{\"model\":\"a/b\",\"input\":{}}", NULL, 0,
		  "/models/a/b/predictions", "{\"input\":{}}", "5s" },
		{ "the rest of the profile stays here",
		  "{\"model\":\"a/b\",\"input\":{},\"note\":\"x\",\"stream\":true,\"webhook\":\"https://evil/\"}",
		  NULL, 60000, "/models/a/b/predictions", "{\"input\":{}}", "60s" },
		{ "odd characters", "{\"model\":\"a?b/c d#e/../f\",\"input\":{}}", NULL, 60000,
		  "/models/a%3Fb/c%20d%23e/../f/predictions", "{\"input\":{}}", "60s" },
		{ "text of all kinds", "{\"model\":\"a/b\",\"input\":{\"prompt\":\"\\\"\\\\\\n\\u00e9\\u2028\"}}",
		  NULL, 60000, "/models/a/b/predictions",
		  "{\"input\":{\"prompt\":\"\\\"\\\\\\n\\u00e9\\u2028\"}}", "60s" },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		json_t *on = json_loads(rows[i].on, 0, NULL), *want = json_loads(rows[i].body, 0, NULL);
		struct gen_spec spec = { .job_id = job_id, .on = on,
			.webhook_url = rows[i].webhook, .time_left_ms = rows[i].time_left_ms };
		struct http_request rq = HTTP_REQUEST_INIT;
		char url[300];
		json_t *body;

		ASSERT_ROW(rows[i].name, on && want);
		ASSERT_ROW(rows[i].name, replicate.p->submit.request(replicate.settings, &spec, &rq, NULL) == ERR_OK);
		ASSERT_ROW(rows[i].name, rq.err == ERR_OK);
		ASSERT_ROW(rows[i].name, rq.method == HTTP_POST);
		snprintf(url, sizeof url, "https://api.replicate.com/v1%s", rows[i].url);
		if (!same(rq.url, url))
			fail_msg("%s: %s", rows[i].name, rq.url);
		ASSERT_ROW(rows[i].name, rq.n_headers == 4);
		ASSERT_ROW(rows[i].name, same(request_header(&rq, "Authorization"), "Bearer " TOKEN));
		ASSERT_ROW(rows[i].name, same(request_header(&rq, "Content-Type"), "application/json"));
		ASSERT_ROW(rows[i].name, same(request_header(&rq, "Idempotency-Key"), JOB_ID));
		ASSERT_ROW(rows[i].name, same(request_header(&rq, "Cancel-After"), rows[i].cancel_after));
		ASSERT_ROW(rows[i].name, rq.timeout_ms > 0 && !rq.public_address_only);
		body = json_loadb(rq.body, rq.body_bytes, 0, NULL);
		if (!json_equal(body, want))
			fail_msg("%s: %s", rows[i].name, rq.body);
		json_decref(body);
		json_decref(want);
		json_decref(on);
		http_request_clear(&rq);
	}
}

static void
a_profile_without_input_is_a_mistake_of_the_operator(void **state)
{
	struct http_request rq = HTTP_REQUEST_INIT;
	json_t *on = json_loads("{\"model\":\"a/b\"}", 0, NULL);
	struct gen_spec spec = { .job_id = job_id, .on = on };
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(replicate.p->submit.request(replicate.settings, &spec, &rq, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, "input"));
	http_request_clear(&rq);
	json_decref(on);
}

static void
the_api_may_be_elsewhere(void **state)
{
	static const struct { const char *name, *env, *create, *get; } rows[] = {
		{ "loopback", "GENGATE_REPLICATE_URL=http://127.0.0.1:8080/v1",
		  "http://127.0.0.1:8080/v1/models/a/b/predictions", "http://127.0.0.1:8080/v1/predictions/p1" },
		{ "slash at the end", "GENGATE_REPLICATE_URL=https://proxy.example/replicate/",
		  "https://proxy.example/replicate/models/a/b/predictions",
		  "https://proxy.example/replicate/predictions/p1" },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		const char *env[] = { "GENGATE_REPLICATE_TOKEN=x", rows[i].env, NULL };
		struct http_request rq = HTTP_REQUEST_INIT;
		json_t *on = json_loads("{\"model\":\"a/b\",\"input\":{}}", 0, NULL);
		struct gen_spec spec = { .job_id = job_id, .on = on };
		struct adapter a;

		adapter_open(&a, "replicate", env);
		assert_int_equal(a.p->submit.request(a.settings, &spec, &rq, NULL), ERR_OK);
		ASSERT_ROW(rows[i].name, same(rq.url, rows[i].create));
		http_request_clear(&rq);
		rq = (struct http_request)HTTP_REQUEST_INIT;
		assert_int_equal(a.p->get_status.request(a.settings, &(struct look_query){ .prediction_id = "p1" }, &rq, NULL), ERR_OK);
		ASSERT_ROW(rows[i].name, same(rq.url, rows[i].get));
		http_request_clear(&rq);
		json_decref(on);
		adapter_close(&a);
	}
}

static void
status_is_asked_for(void **state)
{
	static const struct { const char *name, *id, *url; } rows[] = {
		{ "plain", "q1w2e3r4t5y6u7i8o9p0a1s2d3",
		  "https://api.replicate.com/v1/predictions/q1w2e3r4t5y6u7i8o9p0a1s2d3" },
		{ "another path", "../account", "https://api.replicate.com/v1/predictions/..%2Faccount" },
		{ "query", "x?y#z", "https://api.replicate.com/v1/predictions/x%3Fy%23z" },
		{ "line", "x\r\ny", "https://api.replicate.com/v1/predictions/x%0D%0Ay" },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct http_request rq = HTTP_REQUEST_INIT;

		ASSERT_ROW(rows[i].name, replicate.p->get_status.request(replicate.settings, &(struct look_query){ .prediction_id = rows[i].id }, &rq, NULL) == ERR_OK);
		ASSERT_ROW(rows[i].name, rq.method == HTTP_GET && !rq.body && rq.err == ERR_OK);
		ASSERT_ROW(rows[i].name, same(rq.url, rows[i].url));
		ASSERT_ROW(rows[i].name, rq.n_headers == 1);
		ASSERT_ROW(rows[i].name, same(request_header(&rq, "Authorization"), "Bearer " TOKEN));
		http_request_clear(&rq);
	}
}

/* ---- create: the reply ---- */

struct create_row {
	const char *name;
	const char *file;	/* or: */
	long status;
	const char *body;
	enum submit_outcome outcome;
	enum err_code error;
	uint64_t retry_after_ms;
	const char *message;	/* is in it */
	const char *id;
	enum gen_status seen;
	const char *output;	/* the first */
};

static void
check_create(const struct create_row *row)
{
	struct http_response rs;
	struct submit_reply reply;
	struct err err = ERR_INIT;
	bool accepted;

	if (row->file)
		load_response(row->file, &rs);
	else
		make_response(&rs, row->status, NULL, row->body, strlen(row->body));
	ASSERT_ROW(row->name, replicate.p->submit.reply(replicate.settings, &rs, &reply, &err) == ERR_OK);
	ASSERT_ROW(row->name, err.code == ERR_OK && !*err.text);
	ASSERT_ROW(row->name, reply.outcome == row->outcome);
	ASSERT_ROW(row->name, reply.error == row->error);
	ASSERT_ROW(row->name, reply.retry_after_ms == row->retry_after_ms);
	accepted = reply.outcome == SUBMIT_ACCEPTED;
	ASSERT_ROW(row->name, accepted ? !reply.message : reply.message != NULL);
	if (!has(reply.message, row->message))
		fail_msg("%s: %s", row->name, reply.message);
	ASSERT_ROW(row->name, same(reply.obs.prediction_id, row->id));
	if (accepted) {
		ASSERT_ROW(row->name, reply.obs.status == row->seen && reply.obs.status_known);
		ASSERT_ROW(row->name, same(json_string_value(json_array_get(reply.obs.outputs, 0)), row->output));
	}
	submit_reply_clear(&reply);
	http_response_clear(&rs);
}

static void
create_replies(void **state)
{
	static const struct create_row rows[] = {
		/* Any 2xx: the body's word counts, never the code. */
		{ .name = "201 starting", .file = "create-201-starting.json",
		  .id = "q1w2e3r4t5y6u7i8o9p0a1s2d3", .seen = GEN_STARTING },
		{ .name = "201 processing, with output", .file = "create-201-processing-with-output.json",
		  .id = "k0k0k0aaaa1111bbbb2222cccc", .seen = GEN_PROCESSING,
		  .output = "https://replicate.delivery/xa/first.webp" },
		{ .name = "200 succeeded at once", .file = "create-200-succeeded.json",
		  .id = "fastfastfast00000000000001", .seen = GEN_SUCCEEDED,
		  .output = "https://replicate.delivery/xa/whole.png" },
		{ .name = "202", .status = 202, .body = "{\"id\":\"p\",\"status\":\"starting\"}",
		  .id = "p", .seen = GEN_STARTING },
		{ .name = "299", .status = 299, .body = "{\"id\":\"p\",\"status\":\"processing\"}",
		  .id = "p", .seen = GEN_PROCESSING },

		/* It was taken, and nobody can say as what. */
		{ .name = "201 empty", .status = 201, .body = "", .outcome = SUBMIT_UNKNOWN, .message = "201" },
		{ .name = "204", .status = 204, .body = "", .outcome = SUBMIT_UNKNOWN },
		{ .name = "201 HTML", .status = 201, .body = "<html>hi</html>", .outcome = SUBMIT_UNKNOWN },
		{ .name = "201 null", .status = 201, .body = "null", .outcome = SUBMIT_UNKNOWN },
		{ .name = "201 array", .status = 201, .body = "[{\"id\":\"p\",\"status\":\"starting\"}]",
		  .outcome = SUBMIT_UNKNOWN },
		{ .name = "201 without id", .status = 201, .body = "{\"status\":\"starting\"}",
		  .outcome = SUBMIT_UNKNOWN },
		{ .name = "201 empty id", .status = 201, .body = "{\"id\":\"\",\"status\":\"starting\"}",
		  .outcome = SUBMIT_UNKNOWN },
		{ .name = "201 NUL in id", .status = 201, .body = "{\"id\":\"p\\u0000q\",\"status\":\"starting\"}",
		  .outcome = SUBMIT_UNKNOWN },
		{ .name = "201 without status", .status = 201, .body = "{\"id\":\"p\"}", .outcome = SUBMIT_UNKNOWN },
		{ .name = "201 id no text", .status = 201, .body = "{\"id\":5,\"status\":\"starting\"}",
		  .outcome = SUBMIT_UNKNOWN },

		/* The input's fault. */
		{ .name = "400", .status = 400, .body = "{\"detail\":\"Bad input.\",\"status\":400}",
		  .outcome = SUBMIT_REFUSED, .error = ERR_PROVIDER_REJECTED, .message = "Bad input." },
		{ .name = "404", .file = "error-404.json",
		  .outcome = SUBMIT_REFUSED, .error = ERR_PROVIDER_REJECTED, .message = "no such model" },
		{ .name = "405", .status = 405, .body = "",
		  .outcome = SUBMIT_REFUSED, .error = ERR_PROVIDER_REJECTED },
		{ .name = "413 of a proxy", .status = 413, .body = "<h1>Too Large</h1>",
		  .outcome = SUBMIT_REFUSED, .error = ERR_PROVIDER_REJECTED, .message = "Too Large" },
		{ .name = "422 version", .file = "error-422-version.json",
		  .outcome = SUBMIT_REFUSED, .error = ERR_PROVIDER_REJECTED, .message = "version is not there" },
		{ .name = "422 invalid fields", .file = "error-422-invalid-fields.json",
		  .outcome = SUBMIT_REFUSED, .error = ERR_PROVIDER_REJECTED, .message = "input.width" },
		{ .name = "422 of the model itself", .file = "error-422-fastapi.json",
		  .outcome = SUBMIT_REFUSED, .error = ERR_PROVIDER_REJECTED, .message = "less than or equal to 4" },
		{ .name = "400 empty detail", .status = 400, .body = "{\"detail\":\"\",\"title\":\"Nope\"}",
		  .outcome = SUBMIT_REFUSED, .error = ERR_PROVIDER_REJECTED, .message = "Nope" },
		{ .name = "400 detail an object", .status = 400, .body = "{\"detail\":{\"a\":1},\"title\":\"Nope\"}",
		  .outcome = SUBMIT_REFUSED, .error = ERR_PROVIDER_REJECTED, .message = "Nope" },

		/* The operator's: key and credit. */
		{ .name = "401", .file = "error-401.json", .outcome = SUBMIT_REFUSED,
		  .error = ERR_PROVIDER_UNAVAILABLE, .message = "token that was sent" },
		{ .name = "402", .file = "error-402.json", .outcome = SUBMIT_REFUSED,
		  .error = ERR_PROVIDER_UNAVAILABLE, .message = "no credit" },
		{ .name = "403", .status = 403, .body = "forbidden", .outcome = SUBMIT_REFUSED,
		  .error = ERR_PROVIDER_UNAVAILABLE, .message = "forbidden" },

		/* Certainly not created. */
		{ .name = "429", .file = "error-429.json", .outcome = SUBMIT_DEFERRED,
		  .retry_after_ms = 11000, .message = "throttled" },

		/* It may have been created. */
		{ .name = "408", .status = 408, .body = "", .outcome = SUBMIT_UNKNOWN },
		{ .name = "500", .status = 500, .body = "{\"detail\":\"Internal server error\"}",
		  .outcome = SUBMIT_UNKNOWN, .message = "Internal server error" },
		{ .name = "502 HTML", .status = 502,
		  .body = "<html><head><title>502 Bad Gateway</title></head></html>",
		  .outcome = SUBMIT_UNKNOWN, .message = "502 Bad Gateway" },
		{ .name = "503", .status = 503, .body = "", .outcome = SUBMIT_UNKNOWN },
		{ .name = "599", .status = 599, .body = "{}", .outcome = SUBMIT_UNKNOWN },
		{ .name = "301", .status = 301, .body = "", .outcome = SUBMIT_UNKNOWN },
		{ .name = "302 with a prediction", .status = 302, .body = "{\"id\":\"p\",\"status\":\"starting\"}",
		  .outcome = SUBMIT_UNKNOWN },
		{ .name = "304", .status = 304, .body = "", .outcome = SUBMIT_UNKNOWN },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++)
		check_create(&rows[i]);
}

static void
throttled_until(void **state)
{
#define DATE "date", "Mon, 23 Nov 2026 10:00:00 GMT"
	static const struct {
		const char *name;
		const char *headers[5];
		const char *body;
		uint64_t want_ms;
	} rows[] = {
		{ "seconds", { "retry-after", "7" }, "{\"retry_after\":99}", 7000 },
		{ "date", { "retry-after", "Mon, 23 Nov 2026 10:01:30 GMT", DATE }, "", 90000 },
		{ "date that has passed", { "retry-after", "Mon, 23 Nov 2026 09:59:59 GMT", DATE },
		  "{\"retry_after\":8}", 8000 },
		{ "date without a clock", { "retry-after", "Mon, 23 Nov 2026 10:01:30 GMT" },
		  "{\"retry_after\":8}", 8000 },
		{ "date, and a broken clock", { "retry-after", "Mon, 23 Nov 2026 10:01:30 GMT", "date", "now" },
		  "{}", 0 },
		{ "words", { "retry-after", "soon" }, "{\"retry_after\":8}", 8000 },
		{ "negative", { "retry-after", "-5" }, "{\"retry_after\":8}", 8000 },
		{ "with a unit", { "retry-after", "5s" }, "{}", 0 },
		{ "empty", { "retry-after", "" }, "{}", 0 },
		{ "zero", { "retry-after", "0" }, "{\"retry_after\":8}", 8000 },
		{ "too long", { "retry-after", "999999999" }, "{}", 3600000 },
		{ "beyond 64 bits", { "retry-after", "99999999999999999999999" }, "{\"retry_after\":8}", 8000 },
		{ "far date", { "retry-after", "Fri, 31 Dec 9999 23:59:59 GMT", DATE }, "{}", 3600000 },
		{ "body, fraction", { NULL }, "{\"retry_after\":2.5}", 2500 },
		{ "body, text", { NULL }, "{\"retry_after\":\"8\",\"detail\":\"resets in ~30s.\"}", 30000 },
		{ "body, negative", { NULL }, "{\"retry_after\":-8,\"detail\":\"resets in ~30s.\"}", 30000 },
		{ "body, too long", { NULL }, "{\"retry_after\":1e300}", 3600000 },
		{ "body, beyond int64", { NULL }, "{\"retry_after\":99999999999999999999}", 3600000 },
		{ "body, next to nothing", { NULL }, "{\"retry_after\":0.0001}", 0 },
		{ "sentence", { NULL }, "{\"detail\":\"Request was throttled. Your rate limit resets in ~30s.\"}", 30000 },
		{ "sentence, minutes", { NULL }, "{\"detail\":\"resets in ~3m.\"}", 0 },
		{ "sentence, no number", { NULL }, "{\"detail\":\"resets in ~s\"}", 0 },
		{ "sentence, ends early", { NULL }, "{\"detail\":\"resets in ~30\"}", 0 },
		{ "sentence, beyond 64 bits", { NULL }, "{\"detail\":\"~99999999999999999999999s\"}", 0 },
		{ "sentence, too long", { NULL }, "{\"detail\":\"~99999s\"}", 3600000 },
		{ "detail is a list", { NULL }, "{\"detail\":[\"~30s\"]}", 0 },
		{ "nothing said", { NULL }, "{\"detail\":\"slow down\"}", 0 },
		{ "HTML", { NULL }, "<h1>429</h1>", 0 },
		{ "no body", { NULL }, "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct http_response rs;
		struct submit_reply created;
		struct status_reply status;

		make_response(&rs, 429, rows[i].headers, rows[i].body, strlen(rows[i].body));
		ASSERT_ROW(rows[i].name, replicate.p->submit.reply(replicate.settings, &rs, &created, NULL) == ERR_OK);
		ASSERT_ROW(rows[i].name, created.outcome == SUBMIT_DEFERRED);
		ASSERT_ROW(rows[i].name, created.retry_after_ms == rows[i].want_ms);
		ASSERT_ROW(rows[i].name, replicate.p->get_status.reply(replicate.settings, &(struct look_query){ .prediction_id = "p" }, &rs, &status, NULL) == ERR_OK);
		ASSERT_ROW(rows[i].name, status.outcome == STATUS_LATER);
		ASSERT_ROW(rows[i].name, status.retry_after_ms == rows[i].want_ms);
		submit_reply_clear(&created);
		status_reply_clear(&status);
		http_response_clear(&rs);
	}
}

/* ---- status ---- */

static void
statuses(void **state)
{
	static const struct {
		const char *name, *file, *body;
		enum gen_status status;
		enum err_code error;
		const char *id, *message, *webhook;
		size_t n_outputs;
		bool unknown, removed;
	} rows[] = {
		{ .name = "starting", .file = "create-201-starting.json", .id = "q1w2e3r4t5y6u7i8o9p0a1s2d3",
		  .status = GEN_STARTING, .webhook = "https://gw.example.org/webhooks/replicate?job=sealed-token" },
		{ .name = "processing", .file = "get-processing.json", .id = "g3t0g3t0g3t0g3t0g3t0g3t0aa",
		  .status = GEN_PROCESSING },
		{ .name = "processing, with output", .file = "create-201-processing-with-output.json",
		  .status = GEN_PROCESSING, .n_outputs = 1 },
		{ .name = "succeeded, a text that is a URL", .file = "create-200-succeeded.json",
		  .status = GEN_SUCCEEDED, .n_outputs = 1 },
		{ .name = "succeeded, array", .file = "get-succeeded-array.json",
		  .status = GEN_SUCCEEDED, .n_outputs = 2 },
		{ .name = "succeeded, object", .file = "get-succeeded-object.json",
		  .status = GEN_SUCCEEDED, .n_outputs = 3 },
		{ .name = "succeeded, text", .file = "get-succeeded-text.json", .status = GEN_SUCCEEDED },
		{ .name = "data removed", .file = "get-data-removed.json", .status = GEN_SUCCEEDED, .removed = true },
		{ .name = "failed", .file = "get-failed.json", .status = GEN_FAILED,
		  .error = ERR_PROVIDER_FAILED, .message = "out of memory (E1001)" },
		{ .name = "canceled", .file = "get-canceled.json", .status = GEN_CANCELED },
		{ .name = "aborted", .file = "get-aborted.json", .status = GEN_FAILED, .error = ERR_TIMEOUT },

		{ .name = "a word of tomorrow", .body = "{\"id\":\"p\",\"status\":\"pondering\"}",
		  .status = GEN_PROCESSING, .unknown = true },
		{ .name = "a word in capitals", .body = "{\"id\":\"p\",\"status\":\"SUCCEEDED\"}",
		  .status = GEN_PROCESSING, .unknown = true },
		{ .name = "an empty word", .body = "{\"id\":\"p\",\"status\":\"\"}",
		  .status = GEN_PROCESSING, .unknown = true },
		{ .name = "output null", .body = "{\"id\":\"p\",\"status\":\"succeeded\",\"output\":null}",
		  .status = GEN_SUCCEEDED },
		{ .name = "output empty", .body = "{\"id\":\"p\",\"status\":\"succeeded\",\"output\":[]}",
		  .status = GEN_SUCCEEDED },
		{ .name = "no output", .body = "{\"id\":\"p\",\"status\":\"succeeded\"}", .status = GEN_SUCCEEDED },
		{ .name = "data: URI", .body = "{\"id\":\"p\",\"status\":\"succeeded\",\"output\":\"data:image/png;base64,AA==\"}",
		  .status = GEN_SUCCEEDED, .n_outputs = 1 },
		{ .name = "schemes in capitals",
		  .body = "{\"id\":\"p\",\"status\":\"succeeded\",\"output\":[\"HTTPS://a/b\",\"Data:,x\",\"http://127.0.0.1/c\"]}",
		  .status = GEN_SUCCEEDED, .n_outputs = 3 },
		{ .name = "no URLs of ours",
		  .body = "{\"id\":\"p\",\"status\":\"succeeded\",\"output\":[\"/tmp/x.png\",\"file:///etc/passwd\","
			"\"ftp://a/b\",\" https://a/b\",\"javascript:x\",\"\",5,true,null,{}]}",
		  .status = GEN_SUCCEEDED },
		{ .name = "NUL in a URL",
		  .body = "{\"id\":\"p\",\"status\":\"succeeded\",\"output\":[\"https://a/b\\u0000c\",\"https://a/d\"]}",
		  .status = GEN_SUCCEEDED, .n_outputs = 1 },
		{ .name = "NUL in logs", .body = "{\"id\":\"p\",\"status\":\"succeeded\",\"logs\":\"a\\u0000b\",\"output\":\"https://a/b\"}",
		  .status = GEN_SUCCEEDED, .n_outputs = 1 },
		{ .name = "NUL in error", .body = "{\"id\":\"p\",\"status\":\"failed\",\"error\":\"one\\u0000two\"}",
		  .status = GEN_FAILED, .error = ERR_PROVIDER_FAILED, .message = "onetwo" },
		{ .name = "integer beyond int64",
		  .body = "{\"id\":\"p\",\"status\":\"succeeded\",\"input\":{\"seed\":18446744073709551615},\"output\":\"https://a/b\"}",
		  .status = GEN_SUCCEEDED, .n_outputs = 1 },
		{ .name = "negative integer beyond int64",
		  .body = "{\"id\":\"p\",\"status\":\"starting\",\"input\":{\"seed\":-99999999999999999999}}",
		  .status = GEN_STARTING },
		{ .name = "integer beyond int64 and NUL",
		  .body = "{\"id\":\"p\",\"status\":\"starting\",\"logs\":\"\\u0000\",\"input\":{\"seed\":99999999999999999999}}",
		  .status = GEN_STARTING },
		{ .name = "reals beyond double",
		  .body = "{\"id\":\"p\",\"status\":\"succeeded\",\"metrics\":[1e999,-1E+400,9e308,1.5e999, -9e999],"
			"\"output\":\"https://a/b\"}",
		  .status = GEN_SUCCEEDED, .n_outputs = 1 },
		{ .name = "real beyond double, and what only looks like one",
		  .body = "{\"id\":\"p\",\"status\":\"failed\",\"error\":\"a \\\"1e999 \\\\\",\"a\":-1e999}",
		  .status = GEN_FAILED, .error = ERR_PROVIDER_FAILED, .message = "a \"1e999 \\" },
		{ .name = "id twice", .body = "{\"id\":\"a\",\"id\":\"p\",\"status\":\"starting\"}",
		  .id = "p", .status = GEN_STARTING },
		{ .name = "failed without words", .body = "{\"id\":\"p\",\"status\":\"failed\",\"error\":null}",
		  .status = GEN_FAILED, .error = ERR_PROVIDER_FAILED },
		{ .name = "members we do not know", .body = "{\"id\":\"p\",\"status\":\"starting\",\"weather\":{\"sun\":[1]}}",
		  .status = GEN_STARTING },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct http_response rs;
		struct status_reply reply;
		const struct gen_observation *obs = &reply.obs;

		if (rows[i].file)
			load_response(rows[i].file, &rs);
		else
			make_response(&rs, 200, NULL, rows[i].body, strlen(rows[i].body));
		ASSERT_ROW(rows[i].name, replicate.p->get_status.reply(replicate.settings, &(struct look_query){ .prediction_id = "p" }, &rs, &reply, NULL) == ERR_OK);
		ASSERT_ROW(rows[i].name, reply.outcome == STATUS_SEEN);
		ASSERT_ROW(rows[i].name, !reply.message);
		if (rows[i].id)
			ASSERT_ROW(rows[i].name, same(obs->prediction_id, rows[i].id));
		ASSERT_ROW(rows[i].name, obs->status == rows[i].status);
		ASSERT_ROW(rows[i].name, obs->status_known == !rows[i].unknown);
		ASSERT_ROW(rows[i].name, obs->status_text != NULL);
		ASSERT_ROW(rows[i].name, obs->error == rows[i].error);
		ASSERT_ROW(rows[i].name, obs->data_removed == rows[i].removed);
		ASSERT_ROW(rows[i].name, json_array_size(obs->outputs) == rows[i].n_outputs);
		ASSERT_ROW(rows[i].name, !obs->message == !rows[i].message);
		ASSERT_ROW(rows[i].name, has(obs->message, rows[i].message));
		ASSERT_ROW(rows[i].name, same(obs->webhook_url, rows[i].webhook));
		status_reply_clear(&reply);
		http_response_clear(&rs);
	}
}

static void
outputs_stay_in_order(void **state)
{
	static const char *const want[] = { "https://replicate.delivery/v.mp4",
		"https://replicate.delivery/f0.png", "data:image/png;base64,iVBORw0KGgo=" };
	struct http_response rs;
	struct status_reply reply;

	(void)state;
	load_response("get-succeeded-object.json", &rs);
	assert_int_equal(replicate.p->get_status.reply(replicate.settings, &(struct look_query){ .prediction_id = "p" }, &rs, &reply, NULL), ERR_OK);
	assert_int_equal(json_array_size(reply.obs.outputs), N(want));
	for (size_t i = 0; i < N(want); i++)
		assert_string_equal(json_string_value(json_array_get(reply.obs.outputs, i)), want[i]);
	status_reply_clear(&reply);
	http_response_clear(&rs);
}

/* Deeper than any output is, and deeper than the parser goes. */
static void
outputs_do_not_nest_for_ever(void **state)
{
	static const struct { const char *name; size_t depth; enum status_outcome want; size_t n; } rows[] = {
		{ "ten deep", 10, STATUS_SEEN, 1 },
		{ "a thousand deep", 1000, STATUS_SEEN, 0 },
		{ "a hundred thousand deep", 100000, STATUS_LATER, 0 },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct buf body = BUF_INIT(1000000);
		struct http_response rs;
		struct status_reply reply;

		buf_puts(&body, "{\"id\":\"p\",\"status\":\"succeeded\",\"output\":");
		for (size_t d = 0; d < rows[i].depth; d++)
			buf_putc(&body, '[');
		buf_puts(&body, "\"https://a/b\"");
		for (size_t d = 0; d < rows[i].depth; d++)
			buf_putc(&body, ']');
		buf_putc(&body, '}');
		make_response(&rs, 200, NULL, buf_str(&body), body.len);
		ASSERT_ROW(rows[i].name, replicate.p->get_status.reply(replicate.settings, &(struct look_query){ .prediction_id = "p" }, &rs, &reply, NULL) == ERR_OK);
		ASSERT_ROW(rows[i].name, reply.outcome == rows[i].want);
		ASSERT_ROW(rows[i].name, json_array_size(reply.obs.outputs) == rows[i].n);
		status_reply_clear(&reply);
		http_response_clear(&rs);
		buf_clear(&body);
	}
}

static void
no_news(void **state)
{
	static const struct {
		const char *name, *file;
		long status;
		const char *body;
		enum status_outcome outcome;
		const char *message;
	} rows[] = {
		{ "404", "error-404.json", 0, NULL, STATUS_GONE, "no such model" },
		{ "404 HTML", NULL, 404, "<h1>Not Found</h1>", STATUS_GONE, "Not Found" },
		{ "401", "error-401.json", 0, NULL, STATUS_LATER, "token that was sent" },
		{ "402", "error-402.json", 0, NULL, STATUS_LATER, "no credit" },
		{ "400", NULL, 400, "{}", STATUS_LATER, "{}" },
		{ "422, FastAPI", "error-422-fastapi.json", 0, NULL, STATUS_LATER, "ensure this value" },
		{ "429", "error-429.json", 0, NULL, STATUS_LATER, "throttled" },
		{ "500", NULL, 500, "", STATUS_LATER, "" },
		{ "502 HTML", NULL, 502, "<h1>Bad Gateway</h1>", STATUS_LATER, "Bad Gateway" },
		{ "302", NULL, 302, "", STATUS_LATER, "" },
		{ "500 with a prediction", NULL, 500, "{\"id\":\"p\",\"status\":\"failed\"}", STATUS_LATER, "" },
		{ "200 empty", NULL, 200, "", STATUS_LATER, "" },
		{ "200 HTML", NULL, 200, "<html>", STATUS_LATER, "" },
		{ "200 a problem", NULL, 200, "{\"detail\":\"hm\",\"status\":404}", STATUS_LATER, "" },
		{ "200 NUL in status", NULL, 200, "{\"id\":\"p\",\"status\":\"failed\\u0000ish\"}", STATUS_LATER, "" },
		{ "200 array", NULL, 200, "[]", STATUS_LATER, "" },
		{ "200 no number", NULL, 200, "{\"id\":\"p\",\"status\":\"failed\",\"a\":1e999,\"b\":1e9999-5}", STATUS_LATER, "" },
		{ "200 no number, zeros", NULL, 200, "{\"id\":\"p\",\"status\":\"failed\",\"a\":1e999,\"b\":001e999}", STATUS_LATER, "" },
		{ "200 not UTF-8", NULL, 200, "{\"id\":\"p\xff\",\"status\":\"failed\"}", STATUS_LATER, "" },
		{ "200 and more", NULL, 200, "{\"id\":\"p\",\"status\":\"failed\"}{}", STATUS_LATER, "" },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct http_response rs;
		struct status_reply reply;
		struct err err = ERR_INIT;

		if (rows[i].file)
			load_response(rows[i].file, &rs);
		else
			make_response(&rs, rows[i].status, NULL, rows[i].body, strlen(rows[i].body));
		ASSERT_ROW(rows[i].name, replicate.p->get_status.reply(replicate.settings, &(struct look_query){ .prediction_id = "p" }, &rs, &reply, &err) == ERR_OK);
		ASSERT_ROW(rows[i].name, err.code == ERR_OK);
		ASSERT_ROW(rows[i].name, reply.outcome == rows[i].outcome);
		ASSERT_ROW(rows[i].name, reply.message && has(reply.message, rows[i].message));
		ASSERT_ROW(rows[i].name, !reply.obs.prediction_id);
		status_reply_clear(&reply);
		http_response_clear(&rs);
	}
}

/* An integer of a thousand digits, and 3 MB of logs, which nobody keeps. */
static void
long_answers(void **state)
{
	struct buf body = BUF_INIT(4000000);
	struct http_response rs;
	struct status_reply reply;

	(void)state;
	buf_puts(&body, "{\"id\":\"p\",\"status\":\"succeeded\",\"seed\":");
	for (int i = 0; i < 1000; i++)
		buf_puts(&body, "7");
	buf_puts(&body, ",\"logs\":\"");
	for (int i = 0; i < 3000000 / 20; i++)
		buf_puts(&body, "step 1e999 of \\u0000\\n");
	buf_puts(&body, "\",\"output\":[\"https://a/b\"]}");
	assert_int_equal(body.err, ERR_OK);
	make_response(&rs, 200, NULL, body.p, body.len);
	assert_int_equal(replicate.p->get_status.reply(replicate.settings, &(struct look_query){ .prediction_id = "p" }, &rs, &reply, NULL), ERR_OK);
	assert_int_equal(reply.outcome, STATUS_SEEN);
	assert_int_equal(reply.obs.status, GEN_SUCCEEDED);
	assert_int_equal(json_array_size(reply.obs.outputs), 1);
	status_reply_clear(&reply);
	http_response_clear(&rs);
	buf_clear(&body);
}

static struct webhook
unsigned_webhook(const char *body, size_t len)
{
	return (struct webhook){ .body = body, .body_len = len };
}

/* Whatever is cut off: never another job, never an end; and what was asked for
 * and the webhook's token do not go into the log. */
static void
answers_that_end_early(void **state)
{
	static const char *const files[] = { "create-201-starting.json", "get-succeeded-object.json" };

	(void)state;
	for (size_t i = 0; i < N(files); i++) {
		struct http_response whole, rs;

		load_response(files[i], &whole);
		for (size_t len = 0; len < whole.body.len; len++) {
			char *part = mem_strndup(buf_str(&whole.body), len);
			struct webhook wh = unsigned_webhook(part, len);
			struct gen_observation obs = GEN_OBSERVATION_INIT;
			struct submit_reply created;
			struct status_reply status;

			make_response(&rs, 201, NULL, part, len);
			assert_int_equal(replicate.p->submit.reply(replicate.settings, &rs, &created, NULL), ERR_OK);
			assert_int_equal(created.outcome, SUBMIT_UNKNOWN);
			assert_non_null(created.message);
			assert_null(strstr(created.message, "lighthouse"));
			assert_null(strstr(created.message, "sealed"));
			assert_int_equal(replicate.p->get_status.reply(replicate.settings, &(struct look_query){ .prediction_id = "p" }, &rs, &status, NULL), ERR_OK);
			assert_int_equal(status.outcome, STATUS_LATER);
			assert_null(strstr(status.message, "lighthouse"));
			assert_int_equal(replicate.p->webhook_parse(replicate.settings, &wh, &obs, NULL), ERR_BAD_REQUEST);
			assert_null(obs.prediction_id);
			submit_reply_clear(&created);
			status_reply_clear(&status);
			http_response_clear(&rs);
			mem_free(part);
		}
		http_response_clear(&whole);
	}
}

/* Every member absent, and every member of every other type: only id and
 * status have to be there. */
static void
members_may_be_anything(void **state)
{
	static const char *const values[] = {
		NULL, "null", "true", "false", "0", "-1.5", "\"\"", "\"x\"", "[]", "[[[]]]", "{}", "{\"a\":{}}",
	};
	json_t *file = load_own("get-succeeded-object.json");
	json_t *good = json_object_get(json_object_get(file, "response"), "body");
	const char *name;
	json_t *member;

	(void)state;
	json_object_foreach(good, name, member)
		for (size_t i = 0; i < N(values); i++) {
			json_t *body = json_copy(good);
			json_t *value = values[i] ? json_loads(values[i], JSON_DECODE_ANY, NULL) : NULL;
			const char *text = json_string_value(value);
			bool sure = strcmp(name, "id") == 0 ? text && *text : strcmp(name, "status") != 0 || text;
			struct http_response rs;
			struct status_reply reply;
			char *dump;

			if (value)
				json_object_set_new(body, name, value);
			else
				json_object_del(body, name);
			dump = json_dumps(body, 0);
			make_response(&rs, 200, NULL, dump, strlen(dump));
			assert_int_equal(replicate.p->get_status.reply(replicate.settings, &(struct look_query){ .prediction_id = "p" }, &rs, &reply, NULL), ERR_OK);
			if (reply.outcome != (sure ? STATUS_SEEN : STATUS_LATER))
				fail_msg("%s = %s", name, values[i] ? values[i] : "(absent)");
			status_reply_clear(&reply);
			http_response_clear(&rs);
			free(dump);
			json_decref(body);
		}
	json_decref(file);
}

static void
long_words(void **state)
{
	struct buf body = BUF_INIT(1000000);
	struct http_response rs;
	struct status_reply reply;

	(void)state;
	buf_puts(&body, "{\"id\":\"p\",\"status\":\"failed\",\"error\":\"x");
	for (int i = 0; i < 100000; i++)
		buf_puts(&body, "\xc3\xa9");
	buf_puts(&body, "\"}");
	make_response(&rs, 200, NULL, buf_str(&body), body.len);
	assert_int_equal(replicate.p->get_status.reply(replicate.settings, &(struct look_query){ .prediction_id = "p" }, &rs, &reply, NULL), ERR_OK);
	/* Cut, between two characters. */
	assert_int_equal(strlen(reply.obs.message), 1999);
	status_reply_clear(&reply);
	http_response_clear(&rs);

	/* An id is never cut: it would be another one. */
	buf_reset(&body);
	buf_puts(&body, "{\"status\":\"starting\",\"id\":\"");
	for (int i = 0; i < 3000; i++)
		buf_putc(&body, 'i');
	buf_puts(&body, "\"}");
	make_response(&rs, 200, NULL, buf_str(&body), body.len);
	assert_int_equal(replicate.p->get_status.reply(replicate.settings, &(struct look_query){ .prediction_id = "p" }, &rs, &reply, NULL), ERR_OK);
	assert_int_equal(reply.outcome, STATUS_LATER);
	status_reply_clear(&reply);
	http_response_clear(&rs);
	buf_clear(&body);
}

/* ---- webhooks ---- */

/* What the sender would put there. */
static void
sign(const char *secret, const char *id, const char *timestamp, const char *body, struct buf *out)
{
	struct buf key = BUF_INIT(100), text = BUF_INIT(100000);
	uint8_t digest[SHA256_BYTES];

	assert_int_equal(base64_decode(&key, secret + 6, strlen(secret + 6)), ERR_OK);
	buf_printf(&text, "%s.%s.%s", id, timestamp, body);
	assert_int_equal(hmac_sha256(key.p, key.len, text.p, text.len, digest, NULL), ERR_OK);
	buf_reset(out);
	buf_puts(out, "v1,");
	base64_encode(out, digest, sizeof digest);
	buf_clear(&key);
	buf_clear(&text);
}

static void
signatures(void **state)
{
	static const struct {
		const char *name, *secret;
		struct headers h;
		const char *body;
		int64_t now_s;
		bool good;
	} rows[] = {
		{ "the published vector", SECRET, { ID, TIME, SIGNATURE }, BODY, NOW, true },
		{ "300 s old", SECRET, { ID, TIME, SIGNATURE }, BODY, NOW + 300, true },
		{ "301 s old", SECRET, { ID, TIME, SIGNATURE }, BODY, NOW + 301, false },
		{ "300 s ahead", SECRET, { ID, TIME, SIGNATURE }, BODY, NOW - 300, true },
		{ "301 s ahead", SECRET, { ID, TIME, SIGNATURE }, BODY, NOW - 301, false },
		{ "no prefix", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", { ID, TIME, SIGNATURE }, BODY, NOW, true },
		{ "second of two secrets", SECRET_2 "," SECRET, { ID, TIME, SIGNATURE }, BODY, NOW, true },
		{ "first of two secrets", SECRET ", " SECRET_2, { ID, TIME, SIGNATURE }, BODY, NOW, true },
		{ "after a broken one", "whsec_?," SECRET, { ID, TIME, SIGNATURE }, BODY, NOW, true },
		{ "wrong secret", SECRET_2, { ID, TIME, SIGNATURE }, BODY, NOW, false },
		{ "empty key", "whsec_", { ID, TIME, SIGNATURE }, BODY, NOW, false },
		{ "no key at all", "whsec_,whsec_,,", { ID, TIME, SIGNATURE }, BODY, NOW, false },
		{ "no base64", "invalid_secret_format", { ID, TIME, SIGNATURE }, BODY, NOW, false },
		{ "several signatures, the third", SECRET,
		  { ID, TIME, "v1," OTHER_SIGNATURE " v2," OTHER_SIGNATURE " " SIGNATURE " v1," OTHER_SIGNATURE },
		  BODY, NOW, true },
		{ "blanks around", SECRET, { ID, TIME, "  " SIGNATURE "  " }, BODY, NOW, true },
		{ "several, none", SECRET, { ID, TIME, "v1," OTHER_SIGNATURE " v1," OTHER_SIGNATURE }, BODY, NOW, false },
		{ "v1a", SECRET, { ID, TIME, "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" }, BODY, NOW, false },
		{ "v2", SECRET, { ID, TIME, "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" }, BODY, NOW, false },
		{ "V1", SECRET, { ID, TIME, "V1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" }, BODY, NOW, false },
		{ "no version", SECRET, { ID, TIME, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" }, BODY, NOW, false },
		{ "no padding", SECRET, { ID, TIME, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE" }, BODY, NOW, false },
		{ "longer", SECRET, { ID, TIME, SIGNATURE "=" }, BODY, NOW, false },
		{ "words", SECRET, { ID, TIME, "v1,invalid_signature" }, BODY, NOW, false },
		{ "version alone", SECRET, { ID, TIME, "v1," }, BODY, NOW, false },
		{ "empty signature", SECRET, { ID, TIME, "" }, BODY, NOW, false },
		{ "commas", SECRET, { ID, TIME, ",,, , v1,,," }, BODY, NOW, false },
		{ "no signature", SECRET, { ID, TIME, NULL }, BODY, NOW, false },
		{ "no id", SECRET, { NULL, TIME, SIGNATURE }, BODY, NOW, false },
		{ "empty id", SECRET, { "", TIME, SIGNATURE }, BODY, NOW, false },
		{ "another id", SECRET, { "msg_q5jXN8AQM9LWM0D4loKWxJek", TIME, SIGNATURE }, BODY, NOW, false },
		{ "no time", SECRET, { ID, NULL, SIGNATURE }, BODY, NOW, false },
		{ "empty time", SECRET, { ID, "", SIGNATURE }, BODY, NOW, false },
		{ "another time", SECRET, { ID, "1614265331", SIGNATURE }, BODY, NOW, false },
		{ "time with a fraction", SECRET, { ID, "1614265330.0", SIGNATURE }, BODY, NOW, false },
		{ "time with a sign", SECRET, { ID, "+1614265330", SIGNATURE }, BODY, NOW, false },
		{ "time with a blank", SECRET, { ID, " 1614265330", SIGNATURE }, BODY, NOW, false },
		{ "negative time", SECRET, { ID, "-1", SIGNATURE }, BODY, NOW, false },
		{ "time zero", SECRET, { ID, "0", SIGNATURE }, BODY, NOW, false },
		{ "the last time", SECRET, { ID, "9223372036854775807", SIGNATURE }, BODY, NOW, false },
		{ "beyond the last time", SECRET, { ID, "18446744073709551616", SIGNATURE }, BODY, NOW, false },
		{ "many zeros before the time", SECRET,
		  { ID, "00000000000000000000000000000000000000000000000000000000000000000000000000000000"
			"00000000000000000000000000000000000000000000000000000000000000000000000000000000"
			"00000000000000000000000000000000000000000000000000000000000000000000000000000000"
			"00000000000000000000000000000000000000000000000000000000000000000000000000000000"
			TIME, SIGNATURE }, BODY, NOW, false },
		{ "empty body", SECRET, { ID, TIME, SIGNATURE }, "", NOW, false },
		{ "another body", SECRET, { ID, TIME, SIGNATURE }, "{\"test\": 2432232315}", NOW, false },
		{ "another form of the body", SECRET, { ID, TIME, SIGNATURE }, "{\"test\":2432232314}", NOW, false },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		char secret[200];
		const char *env[] = { "GENGATE_REPLICATE_TOKEN=x", secret, NULL };
		struct err err = ERR_INIT;
		char *delivery = NULL;
		struct adapter a;
		enum err_code rc;

		snprintf(secret, sizeof secret, "GENGATE_REPLICATE_WEBHOOK_SECRET=%s", rows[i].secret);
		adapter_open(&a, "replicate", env);
		rc = verify(&a, &rows[i].h, rows[i].body, strlen(rows[i].body), rows[i].now_s, &delivery, &err);
		if (rc != (rows[i].good ? ERR_OK : ERR_SIGNATURE))
			fail_msg("%s: %s: %s", rows[i].name, err_name(rc), err.text);
		ASSERT_ROW(rows[i].name, same(delivery, rows[i].good ? ID : NULL));
		ASSERT_ROW(rows[i].name, !strstr(err.text, "MfKQ9r8"));
		mem_free(delivery);
		adapter_close(&a);
	}
}

static void
no_secret_no_webhook(void **state)
{
	static const char *const env[] = { "GENGATE_REPLICATE_TOKEN=x", NULL };
	static const struct headers h = { ID, TIME, SIGNATURE };
	char *delivery = NULL;
	struct adapter a;

	(void)state;
	adapter_open(&a, "replicate", env);
	assert_int_equal(verify(&a, &h, BODY, strlen(BODY), NOW, &delivery, NULL), ERR_SIGNATURE);
	assert_null(delivery);
	adapter_close(&a);
}

static void
every_changed_byte_is_seen(void **state)
{
	static const struct headers h = { ID, TIME, SIGNATURE };
	char body[] = BODY;
	char *delivery = NULL;

	(void)state;
	for (size_t i = 0; i < strlen(BODY); i++) {
		body[i] ^= 0x20;
		assert_int_equal(verify(&replicate, &h, body, strlen(BODY), NOW, &delivery, NULL), ERR_SIGNATURE);
		body[i] ^= 0x20;
	}
	for (size_t len = 0; len < strlen(BODY); len++)
		assert_int_equal(verify(&replicate, &h, body, len, NOW, &delivery, NULL), ERR_SIGNATURE);
	/* The byte behind the end is the NUL. */
	assert_int_equal(verify(&replicate, &h, body, sizeof body, NOW, &delivery, NULL), ERR_SIGNATURE);
	assert_null(delivery);
}

/* Rightly signed, all of them. */
static void
ids_have_a_limit(void **state)
{
	static const struct { const char *name; size_t len; bool good; } rows[] = {
		{ "one character", 1, true }, { "256", 256, true }, { "257", 257, false }, { "huge", 60000, false },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct buf id = BUF_INIT(100000), signature = BUF_INIT(100);
		struct headers h;
		char *delivery = NULL;
		enum err_code rc;

		for (size_t n = 0; n < rows[i].len; n++)
			buf_putc(&id, 'i');
		sign(SECRET, buf_str(&id), TIME, BODY, &signature);
		h = (struct headers){ buf_str(&id), TIME, buf_str(&signature) };
		rc = verify(&replicate, &h, BODY, strlen(BODY), NOW, &delivery, NULL);
		ASSERT_ROW(rows[i].name, rc == (rows[i].good ? ERR_OK : ERR_SIGNATURE));
		ASSERT_ROW(rows[i].name, same(delivery, rows[i].good ? buf_str(&id) : NULL));
		mem_free(delivery);
		buf_clear(&id);
		buf_clear(&signature);
	}
}

static void
webhook_bodies(void **state)
{
	static const struct { const char *name, *body; bool good; } rows[] = {
		{ "the least", "{\"id\":\"p\",\"status\":\"succeeded\"}", true },
		{ "a word of tomorrow", "{\"id\":\"p\",\"status\":\"pondering\"}", true },
		{ "empty", "", false },
		{ "no object", "[]", false },
		{ "null", "null", false },
		{ "form", "id=p&status=succeeded", false },
		{ "no id", "{\"status\":\"succeeded\"}", false },
		{ "no status", "{\"id\":\"p\"}", false },
		{ "the vector's", BODY, false },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct webhook wh = unsigned_webhook(rows[i].body, strlen(rows[i].body));
		struct gen_observation obs = GEN_OBSERVATION_INIT;
		enum err_code rc = replicate.p->webhook_parse(replicate.settings, &wh, &obs, NULL);

		ASSERT_ROW(rows[i].name, rc == (rows[i].good ? ERR_OK : ERR_BAD_REQUEST));
		ASSERT_ROW(rows[i].name, same(obs.prediction_id, rows[i].good ? "p" : NULL));
		gen_observation_clear(&obs);
	}
}

static void
a_whole_webhook(void **state)
{
	json_t *doc = load_own("webhook-succeeded.json");
	char *body = json_dumps(doc, 0);
	struct buf signature = BUF_INIT(100);
	struct gen_observation obs = GEN_OBSERVATION_INIT;
	struct webhook wh = unsigned_webhook(body, strlen(body));
	struct headers h;
	char *delivery = NULL;

	(void)state;
	sign(SECRET, "msg_1", TIME, body, &signature);
	h = (struct headers){ "msg_1", TIME, buf_str(&signature) };
	assert_int_equal(verify(&replicate, &h, body, strlen(body), NOW, &delivery, NULL), ERR_OK);
	assert_string_equal(delivery, "msg_1");
	assert_int_equal(replicate.p->webhook_parse(replicate.settings, &wh, &obs, NULL), ERR_OK);
	assert_string_equal(obs.prediction_id, "h00kh00kh00kh00kh00kh00kh0");
	assert_int_equal(obs.status, GEN_SUCCEEDED);
	assert_int_equal(json_array_size(obs.outputs), 1);
	assert_string_equal(obs.webhook_url, "https://gw.example.org/webhooks/replicate?job=sealed-token");
	gen_observation_clear(&obs);
	mem_free(delivery);
	buf_clear(&signature);
	free(body);
	json_decref(doc);
}

/* ---- short of memory ---- */

static enum err_code
ask_for_all(void)
{
	json_t *on = json_loads("{\"model\":\"a/b\",\"input\":{}}", 0, NULL);
	struct gen_spec spec = { .job_id = job_id, .on = on, .webhook_url = HOOK };
	struct http_request create = HTTP_REQUEST_INIT, status = HTTP_REQUEST_INIT;
	enum err_code rc = replicate.p->submit.request(replicate.settings, &spec, &create, NULL);

	/* What is built is whole: an empty header would cost the job. */
	if (!rc)
		assert_int_equal(create.n_headers, 4);
	for (size_t i = 0; !rc && i < create.n_headers; i++)
		assert_true(*create.headers[i].value);
	if (!rc)
		rc = replicate.p->get_status.request(replicate.settings, &(struct look_query){ .prediction_id = "p" }, &status, NULL);
	if (!rc)
		assert_string_equal(request_header(&status, "Authorization"), "Bearer " TOKEN);
	http_request_clear(&create);
	http_request_clear(&status);
	json_decref(on);
	return rc;
}

static enum err_code
read_all(const struct http_response *good, const struct http_response *bad)
{
	struct submit_reply created = { .obs = GEN_OBSERVATION_INIT }, refused = created;
	struct status_reply status = { .obs = GEN_OBSERVATION_INIT };
	enum err_code rc = replicate.p->submit.reply(replicate.settings, good, &created, NULL);

	if (!rc)
		rc = replicate.p->submit.reply(replicate.settings, bad, &refused, NULL);
	if (!rc)
		rc = replicate.p->get_status.reply(replicate.settings, &(struct look_query){ .prediction_id = "p" }, good, &status, NULL);
	submit_reply_clear(&created);
	submit_reply_clear(&refused);
	status_reply_clear(&status);
	return rc;
}

static enum err_code
take_webhook(void)
{
	static const struct headers h = { ID, TIME, SIGNATURE };
	static const char body[] = "{\"id\":\"p\",\"status\":\"failed\",\"error\":\"x\"}";
	struct webhook wh = unsigned_webhook(body, strlen(body));
	struct gen_observation obs = GEN_OBSERVATION_INIT;
	char *delivery = NULL;
	enum err_code rc = verify(&replicate, &h, BODY, strlen(BODY), NOW, &delivery, NULL);

	if (!rc)
		rc = replicate.p->webhook_parse(replicate.settings, &wh, &obs, NULL);
	mem_free(delivery);
	gen_observation_clear(&obs);
	return rc;
}

static void
short_of_memory(void **state)
{
	struct http_response good, bad;
	enum err_code rc;

	(void)state;
	load_response("create-201-starting.json", &good);
	load_response("error-422-invalid-fields.json", &bad);
	ASSERT_SURVIVES_NOMEM(rc, rc = ask_for_all());
	ASSERT_SURVIVES_NOMEM(rc, rc = read_all(&good, &bad));
	ASSERT_SURVIVES_NOMEM(rc, rc = take_webhook());
	http_response_clear(&good);
	http_response_clear(&bad);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_in_the_registry),
		cmocka_unit_test(long_answers),
		cmocka_unit_test(settings_are_checked),
		cmocka_unit_test(create_is_sent_in_its_three_forms),
		cmocka_unit_test(a_profile_without_input_is_a_mistake_of_the_operator),
		cmocka_unit_test(the_api_may_be_elsewhere),
		cmocka_unit_test(status_is_asked_for),
		cmocka_unit_test(create_replies),
		cmocka_unit_test(throttled_until),
		cmocka_unit_test(statuses),
		cmocka_unit_test(outputs_stay_in_order),
		cmocka_unit_test(outputs_do_not_nest_for_ever),
		cmocka_unit_test(no_news),
		cmocka_unit_test(answers_that_end_early),
		cmocka_unit_test(members_may_be_anything),
		cmocka_unit_test(long_words),
		cmocka_unit_test(signatures),
		cmocka_unit_test(no_secret_no_webhook),
		cmocka_unit_test(every_changed_byte_is_seen),
		cmocka_unit_test(ids_have_a_limit),
		cmocka_unit_test(webhook_bodies),
		cmocka_unit_test(a_whole_webhook),
		cmocka_unit_test(short_of_memory),
	};

	return cmocka_run_group_tests_name("replicate", tests, open_replicate, close_replicate);
}
