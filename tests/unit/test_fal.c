#include "config.h"

#include "tests/unit/adapter.h"
#include "tests/unit/unit.h"

#define N(table) (sizeof (table) / sizeof *(table))

/* As in tests/data/fal. */
#define ID "5b1f6c1e-2f0f-4c9a-9a75-5d1a2b3c4d5e"
#define APP "https://queue.fal.run/fal-ai/flux/requests/" ID

/* RFC 8032 section 7.1: the keys of tests 2 and 1, and what the latter signed. */
#define KEY_2 "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw"
#define KEY_1 "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define NOW 1700000000
#define BODY "{\"request_id\": \"r-1\", \"status\": \"OK\", \"payload\": {\"images\": " \
	"[{\"url\": \"https://v3.fal.media/files/a.png\"}], \"seed\": 17454220438242315174}}"
#define SIGNATURE "42ba7a9209b4f238dad0dacee5a6742906e57e6729eb4ea1155caa0a21eb22a0" \
	"4ff567d3a694785618990e85e789e92c848921fd46f2016184a8c71ccc311403"

static struct adapter fal;

static int
open_fal(void **state)
{
	static const char *const env[] = { "GENGATE_FAL_KEY=id:secret", NULL };

	(void)state;
	adapter_open(&fal, "fal", env);
	return 0;
}

static int
close_fal(void **state)
{
	(void)state;
	adapter_close(&fal);
	return mem_outstanding() == 0 ? 0 : -1;
}

static void
load_answer(const char *name, struct http_response *rs)
{
	json_t *doc = load_json("tests/data/fal", name);

	response_of(doc, rs);
	json_decref(doc);
}

static const char *
sent(const struct http_request *rq, const char *name)
{
	for (size_t i = 0; i < rq->n_headers; i++)
		if (strcmp(rq->headers[i].name, name) == 0)
			return rq->headers[i].value;
	return "";
}

static void
what_is_sent(void **state)
{
	json_t *on = json_pack("{s:s, s:i, s:{s:s}}", "model", "fal-ai/flux/dev", "expiration_s", 7200,
		"input", "prompt", "a heron");
	const struct gen_spec spec = { .on = on, .time_left_ms = 90500,
		.webhook_url = "https://gw.example.org/webhooks/fal?job=a&b" };
	struct http_request rq = HTTP_REQUEST_INIT;
	struct buf handle = BUF_INIT(200);

	(void)state;
	assert_int_equal(adapter_submit_request(fal.p, fal.settings, &spec, &rq, NULL), ERR_OK);
	assert_int_equal(rq.method, HTTP_POST);
	assert_string_equal(rq.url, "https://queue.fal.run/fal-ai/flux/dev"
		"?fal_webhook=https%3A%2F%2Fgw.example.org%2Fwebhooks%2Ffal%3Fjob%3Da%26b");
	assert_string_equal(rq.body, "{\"prompt\":\"a heron\"}");
	assert_string_equal(sent(&rq, "Authorization"), "Key id:secret");
	assert_string_equal(sent(&rq, "Idempotency-Key"), "00000000-0000-0000-0000-000000000000");
	assert_string_equal(sent(&rq, "X-Fal-Request-Timeout"), "90");
	assert_string_equal(sent(&rq, "X-Fal-Object-Lifecycle-Preference"), "{\"expiration_duration_seconds\":7200}");
	assert_int_equal(adapter_submit_handle(fal.p, &spec, &handle, NULL), ERR_OK);
	assert_string_equal(buf_str(&handle), "fal-ai/flux");
	buf_clear(&handle);
	http_request_clear(&rq);
	json_decref(on);
}

/* A second is too short for it. */
static void
little_time_left(void **state)
{
	json_t *on = json_pack("{s:s, s:{}}", "model", "fal-ai/flux", "input");
	const struct gen_spec spec = { .on = on, .time_left_ms = 300 };
	struct http_request rq = HTTP_REQUEST_INIT;

	(void)state;
	assert_int_equal(adapter_submit_request(fal.p, fal.settings, &spec, &rq, NULL), ERR_OK);
	assert_string_equal(rq.url, "https://queue.fal.run/fal-ai/flux");
	assert_string_equal(sent(&rq, "X-Fal-Request-Timeout"), "2");
	assert_string_equal(sent(&rq, "X-Fal-Object-Lifecycle-Preference"), "");
	http_request_clear(&rq);
	json_decref(on);
}

static void
endpoints(void **state)
{
	static const struct { const char *model, *app; } rows[] = {
		{ "fal-ai/flux", "fal-ai/flux" },
		{ "fal-ai/flux/dev", "fal-ai/flux" },
		{ "fal-ai/flux/dev/image-to-image", "fal-ai/flux" },
		{ "workflows/me/herons", "workflows/me/herons" },
		{ "comfy/me/herons/fast", "comfy/me/herons" },
		{ "workflows/me", NULL }, { "fal-ai", NULL }, { "fal-ai/", NULL }, { "/flux", NULL },
		{ "fal-ai//flux", NULL }, { "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		json_t *on = json_pack("{s:s, s:{}}", "model", rows[i].model, "input");
		const struct gen_spec spec = { .on = on };
		struct buf mistakes = BUF_INIT(1000), handle = BUF_INIT(1000);
		struct http_request rq = HTTP_REQUEST_INIT;
		enum err_code rc = adapter_submit_request(fal.p, fal.settings, &spec, &rq, NULL);

		if (!rc)
			rc = adapter_submit_handle(fal.p, &spec, &handle, NULL);
		adapter_check_profile(fal.p, on, "here", &mistakes);
		ASSERT_ROW(rows[i].model, rc == (rows[i].app ? ERR_OK : ERR_CONFIG));
		ASSERT_ROW(rows[i].model, strcmp(buf_str(&handle), rows[i].app ? rows[i].app : "") == 0);
		ASSERT_ROW(rows[i].model, (mistakes.len == 0) == (rows[i].app != NULL));
		buf_clear(&mistakes);
		buf_clear(&handle);
		http_request_clear(&rq);
		json_decref(on);
	}
}

static void
create_answers(void **state)
{
	static const struct {
		const char *file;
		enum submit_outcome outcome;
		enum err_code error;
		uint64_t retry_after_ms;
	} rows[] = {
		{ "submit-200.json", SUBMIT_ACCEPTED, ERR_OK, 0 },
		{ "submit-200-bare.json", SUBMIT_ACCEPTED, ERR_OK, 0 },
		{ "submit-422.json", SUBMIT_REFUSED, ERR_PROVIDER_REJECTED, 0 },
		{ "submit-422-policy.json", SUBMIT_REFUSED, ERR_CONTENT_BLOCKED, 0 },
		{ "error-401.json", SUBMIT_REFUSED, ERR_PROVIDER_UNAVAILABLE, 0 },
		{ "error-403.json", SUBMIT_REFUSED, ERR_PROVIDER_UNAVAILABLE, 0 },
		{ "error-404.json", SUBMIT_REFUSED, ERR_PROVIDER_REJECTED, 0 },
		{ "error-429.json", SUBMIT_DEFERRED, ERR_OK, 11000 },
		{ "error-500.json", SUBMIT_UNKNOWN, ERR_OK, 0 },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct http_response rs;
		struct submit_reply reply;

		load_answer(rows[i].file, &rs);
		assert_int_equal(adapter_submit_reply(fal.p, fal.settings, &rs, &reply, NULL), ERR_OK);
		ASSERT_ROW(rows[i].file, reply.outcome == rows[i].outcome);
		ASSERT_ROW(rows[i].file, reply.error == rows[i].error);
		ASSERT_ROW(rows[i].file, reply.retry_after_ms == rows[i].retry_after_ms);
		ASSERT_ROW(rows[i].file, !reply.obs.handle);	/* it was known before */
		ASSERT_ROW(rows[i].file, (reply.obs.prediction_id != NULL) == (reply.outcome == SUBMIT_ACCEPTED));
		submit_reply_clear(&reply);
		http_response_clear(&rs);
	}
}

static void
who_is_asked(void **state)
{
	struct look_query query = { .prediction_id = ID, .handle = "fal-ai/flux" };
	struct http_request rq = HTTP_REQUEST_INIT;

	(void)state;
	assert_int_equal(adapter_look_request(fal.p, fal.settings, &fal.p->get_status, &query, &rq, NULL), ERR_OK);
	assert_int_equal(rq.method, HTTP_GET);
	assert_string_equal(rq.url, APP "/status");
	assert_string_equal(sent(&rq, "Authorization"), "Key id:secret");
	http_request_clear(&rq);

	rq = (struct http_request)HTTP_REQUEST_INIT;
	assert_int_equal(adapter_look_request(fal.p, fal.settings, &fal.p->cancel, &query, &rq, NULL), ERR_OK);
	assert_int_equal(rq.method, HTTP_PUT);
	assert_string_equal(rq.url, APP "/cancel");
	http_request_clear(&rq);

	rq = (struct http_request)HTTP_REQUEST_INIT;
	query.follow = "result";
	assert_int_equal(adapter_look_request(fal.p, fal.settings, &fal.p->get_status, &query, &rq, NULL), ERR_OK);
	assert_string_equal(rq.url, APP);
	http_request_clear(&rq);

	/* Whatever a handle is, it is below the API's own address. */
	rq = (struct http_request)HTTP_REQUEST_INIT;
	query.handle = "@evil.example.org:1/?#";
	assert_int_equal(adapter_look_request(fal.p, fal.settings, &fal.p->get_status, &query, &rq, NULL), ERR_OK);
	assert_string_equal(rq.url, "https://queue.fal.run/%40evil.example.org%3A1/%3F%23/requests/" ID);
	http_request_clear(&rq);

	rq = (struct http_request)HTTP_REQUEST_INIT;
	query.handle = NULL;
	assert_int_equal(adapter_look_request(fal.p, fal.settings, &fal.p->get_status, &query, &rq, NULL), ERR_CONFIG);
	http_request_clear(&rq);
}

struct look_row {
	const char *file;
	bool cancel, result;		/* of which call; else the status */
	enum status_outcome outcome;
	enum gen_status status;
	enum err_code error;
	size_t n_outputs;
	bool or_canceled;
};

static void
check_look(const struct look_row *row)
{
	const struct look_query query = { .prediction_id = ID, .handle = "fal-ai/flux",
		.follow = row->result ? "result" : NULL };
	const struct provider_look *call = row->cancel ? &fal.p->cancel : &fal.p->get_status;
	struct http_response rs;
	struct status_reply reply;

	load_answer(row->file, &rs);
	assert_int_equal(adapter_look_reply(fal.p, fal.settings, call, &query, &rs, &reply, NULL), ERR_OK);
	ASSERT_ROW(row->file, reply.outcome == row->outcome);
	ASSERT_ROW(row->file, (reply.follow != NULL) == (row->outcome == STATUS_MORE));
	if (row->outcome == STATUS_SEEN) {
		ASSERT_ROW(row->file, reply.obs.status == row->status);
		ASSERT_ROW(row->file, reply.obs.error == row->error);
		ASSERT_ROW(row->file, reply.obs.or_canceled == row->or_canceled);
		ASSERT_ROW(row->file, json_array_size(reply.obs.outputs) == row->n_outputs);
		assert_string_equal(reply.obs.prediction_id, ID);
	}
	status_reply_clear(&reply);
	http_response_clear(&rs);
}

static void
looks(void **state)
{
	static const struct look_row rows[] = {
		{ .file = "status-in-queue.json", .outcome = STATUS_SEEN, .status = GEN_STARTING },
		{ .file = "status-in-progress.json", .outcome = STATUS_SEEN, .status = GEN_PROCESSING },
		{ .file = "status-completed.json", .outcome = STATUS_MORE },
		{ .file = "status-completed-error.json", .outcome = STATUS_SEEN, .status = GEN_FAILED,
		  .error = ERR_PROVIDER_FAILED, .or_canceled = true },
		{ .file = "status-completed-timeout.json", .outcome = STATUS_SEEN, .status = GEN_FAILED,
		  .error = ERR_TIMEOUT, .or_canceled = true },
		{ .file = "error-404.json", .outcome = STATUS_GONE },
		{ .file = "error-401.json", .outcome = STATUS_LATER },
		{ .file = "error-429.json", .outcome = STATUS_LATER },
		{ .file = "error-500.json", .outcome = STATUS_LATER },

		{ .file = "result-images.json", .result = true, .outcome = STATUS_SEEN,
		  .status = GEN_SUCCEEDED, .n_outputs = 2 },
		{ .file = "result-video.json", .result = true, .outcome = STATUS_SEEN,
		  .status = GEN_SUCCEEDED, .n_outputs = 1 },
		{ .file = "result-one-black.json", .result = true, .outcome = STATUS_SEEN,
		  .status = GEN_SUCCEEDED, .n_outputs = 1 },
		{ .file = "result-black.json", .result = true, .outcome = STATUS_SEEN,
		  .status = GEN_FAILED, .error = ERR_CONTENT_BLOCKED },
		{ .file = "result-422.json", .result = true, .outcome = STATUS_SEEN,
		  .status = GEN_FAILED, .error = ERR_PROVIDER_REJECTED },
		{ .file = "result-422-policy.json", .result = true, .outcome = STATUS_SEEN,
		  .status = GEN_FAILED, .error = ERR_CONTENT_BLOCKED },
		{ .file = "result-503.json", .result = true, .outcome = STATUS_SEEN,
		  .status = GEN_FAILED, .error = ERR_PROVIDER_FAILED, .or_canceled = true },
		{ .file = "result-early.json", .result = true, .outcome = STATUS_LATER },
		{ .file = "error-401.json", .result = true, .outcome = STATUS_LATER },
		{ .file = "error-404.json", .result = true, .outcome = STATUS_GONE },
		{ .file = "error-429.json", .result = true, .outcome = STATUS_LATER },
		{ .file = "error-500.json", .result = true, .outcome = STATUS_LATER },

		{ .file = "cancel-ok.json", .cancel = true, .outcome = STATUS_SEEN, .status = GEN_CANCELED },
		{ .file = "cancel-requested.json", .cancel = true, .outcome = STATUS_LATER },
		{ .file = "cancel-completed.json", .cancel = true, .outcome = STATUS_LATER },
		{ .file = "cancel-404.json", .cancel = true, .outcome = STATUS_GONE },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++)
		check_look(&rows[i]);
}

static void
the_keys(void **state)
{
	static const struct { const char *name; long status; const char *body, *keys; } rows[] = {
		{ "two", 200, "{\"keys\":[{\"x\":\"" KEY_2 "\"},{\"x\":\"" KEY_1 "\"}]}", KEY_2 "," KEY_1 },
		{ "one that is none", 200, "{\"keys\":[{\"x\":\"AQAB\"},7,{\"x\":null},{\"x\":\"" KEY_1 "\"}]}", KEY_1 },
		{ "none", 200, "{\"keys\":[]}", NULL },
		{ "HTML", 200, "<html>", NULL },
		{ "broken", 500, "{\"keys\":[{\"x\":\"" KEY_1 "\"}]}", NULL },
	};
	struct http_request rq = HTTP_REQUEST_INIT;

	(void)state;
	assert_int_equal(adapter_verifier_request(fal.p, fal.settings, &rq, NULL), ERR_OK);
	assert_string_equal(rq.url, "https://rest.alpha.fal.ai/.well-known/jwks.json");
	assert_int_equal(rq.n_headers, 0);	/* the API's key does not go there */
	http_request_clear(&rq);
	for (size_t i = 0; i < N(rows); i++) {
		struct buf keys = BUF_INIT(VERIFIER_MAX);
		struct http_response rs;
		enum err_code rc;

		make_response(&rs, rows[i].status, NULL, rows[i].body, strlen(rows[i].body));
		rc = adapter_verifier_reply(fal.p, &rs, &keys, NULL);
		ASSERT_ROW(rows[i].name, rc == (rows[i].keys ? ERR_OK : ERR_UPSTREAM));
		ASSERT_ROW(rows[i].name, strcmp(buf_str(&keys), rows[i].keys ? rows[i].keys : "") == 0);
		buf_clear(&keys);
		http_response_clear(&rs);
	}
}

static enum err_code
verify_with(const char *keys, const char *id, const char *user, const char *time, const char *signature,
	const char *body, int64_t now_s)
{
	const char *const headers[] = {
		"x-fal-webhook-user-id", user, "x-fal-webhook-timestamp", time,
		"x-fal-webhook-signature", signature, "x-fal-webhook-request-id", id, NULL
	};
	const struct webhook wh = make_webhook(headers, body);
	char *delivery = NULL;
	enum err_code rc = adapter_webhook_verify(fal.p, fal.settings, keys, &wh, now_s, &delivery, NULL);

	if (!rc)
		assert_string_equal(delivery, id);
	else
		assert_null(delivery);
	mem_free(delivery);
	return rc;
}

static void
signatures(void **state)
{
	static const struct {
		const char *name, *keys, *id, *user, *time, *signature, *body;
		int64_t now_s;
		bool good;
	} rows[] = {
#define GOOD "r-1", "user_7", "1700000000", SIGNATURE, BODY
		{ "good", KEY_1, GOOD, NOW, true },
		{ "by the second key", KEY_2 "," KEY_1, GOOD, NOW, true },
		{ "by another key", KEY_2, GOOD, NOW, false },
		{ "no keys", NULL, GOOD, NOW, false },
		{ "keys that are none", "x,,AQAB", GOOD, NOW, false },
		{ "late, but in time", KEY_1, GOOD, NOW + 300, true },
		{ "stale", KEY_1, GOOD, NOW + 301, false },
		{ "of tomorrow", KEY_1, GOOD, NOW - 301, false },
		{ "of another request", KEY_1, "r-2", "user_7", "1700000000", SIGNATURE, BODY, NOW, false },
		{ "of another user", KEY_1, "r-1", "user_8", "1700000000", SIGNATURE, BODY, NOW, false },
		{ "at another time", KEY_1, "r-1", "user_7", "1700000001", SIGNATURE, BODY, NOW, false },
		{ "of another body", KEY_1, "r-1", "user_7", "1700000000", SIGNATURE, BODY " ", NOW, false },
		{ "no time", KEY_1, "r-1", "user_7", "today", SIGNATURE, BODY, NOW, false },
		{ "no digits", KEY_1, "r-1", "user_7", "1700000000", "zz", BODY, NOW, false },
		{ "a digit more", KEY_1, "r-1", "user_7", "1700000000", SIGNATURE "0", BODY, NOW, false },
		{ "an empty id", KEY_1, "", "user_7", "1700000000", SIGNATURE, BODY, NOW, false },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++)
		ASSERT_ROW(rows[i].name, verify_with(rows[i].keys, rows[i].id, rows[i].user, rows[i].time,
			rows[i].signature, rows[i].body, rows[i].now_s) == (rows[i].good ? ERR_OK : ERR_SIGNATURE));
	for (size_t missing = 0; missing < 4; missing++) {
		const char *v[] = { "r-1", "user_7", "1700000000", SIGNATURE };

		v[missing] = NULL;
		assert_int_equal(verify_with(KEY_1, v[0], v[1], v[2], v[3], BODY, NOW), ERR_SIGNATURE);
	}
}

static void
webhooks(void **state)
{
	static const struct {
		const char *name, *file, *body;
		enum err_code rc;
		enum gen_status status;
		enum err_code error;
		size_t n_outputs;
		bool is_hint;
	} rows[] = {
		{ .name = "OK", .file = "webhook-ok.json", .status = GEN_SUCCEEDED, .n_outputs = 1 },
		{ .name = "a seed beyond int64", .body = BODY, .status = GEN_SUCCEEDED, .n_outputs = 1 },
		{ .name = "black", .file = "webhook-black.json", .status = GEN_FAILED, .error = ERR_CONTENT_BLOCKED },
		{ .name = "blocked", .file = "webhook-error.json", .status = GEN_FAILED, .error = ERR_CONTENT_BLOCKED },
		{ .name = "the queue", .file = "webhook-error-queue.json", .status = GEN_FAILED,
		  .error = ERR_PROVIDER_FAILED },
		{ .name = "ERROR, and no more", .body = "{\"request_id\":\"r\",\"status\":\"ERROR\"}",
		  .status = GEN_FAILED, .error = ERR_PROVIDER_FAILED },
		{ .name = "no payload", .file = "webhook-no-payload.json", .status = GEN_PROCESSING, .is_hint = true },
		{ .name = "a word of tomorrow", .body = "{\"request_id\":\"r\",\"status\":\"ALMOST\",\"payload\":{}}",
		  .status = GEN_PROCESSING, .is_hint = true },
		{ .name = "no id", .body = "{\"status\":\"OK\",\"payload\":{}}", .rc = ERR_BAD_REQUEST },
		{ .name = "an empty id", .body = "{\"request_id\":\"\",\"status\":\"OK\"}", .rc = ERR_BAD_REQUEST },
		{ .name = "no JSON", .body = "request_id=r", .rc = ERR_BAD_REQUEST },
		{ .name = "a list", .body = "[]", .rc = ERR_BAD_REQUEST },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		static const char *const no_headers[] = { NULL };
		json_t *doc = rows[i].file ? load_json("tests/data/fal", rows[i].file) : NULL;
		char *text = doc ? json_write(doc, 0) : mem_strdup(rows[i].body);
		const struct webhook wh = make_webhook(no_headers, text);
		struct gen_observation obs = GEN_OBSERVATION_INIT;

		ASSERT_ROW(rows[i].name, adapter_webhook_parse(fal.p, &wh, &obs, NULL) == rows[i].rc);
		if (!rows[i].rc) {
			ASSERT_ROW(rows[i].name, obs.status == rows[i].status);
			ASSERT_ROW(rows[i].name, obs.error == rows[i].error);
			ASSERT_ROW(rows[i].name, obs.is_hint == rows[i].is_hint);
			ASSERT_ROW(rows[i].name, json_array_size(obs.outputs) == rows[i].n_outputs);
			ASSERT_ROW(rows[i].name, obs.prediction_id != NULL);
		}
		gen_observation_clear(&obs);
		mem_free(text);
		json_decref(doc);
	}
}

static enum err_code
send_all(const json_t *on)
{
	const struct gen_spec spec = { .on = on, .webhook_url = "https://gw.example.org/" };
	const struct look_query query = { .prediction_id = ID, .handle = "fal-ai/flux" };
	struct http_request create = HTTP_REQUEST_INIT, look = HTTP_REQUEST_INIT, keys = HTTP_REQUEST_INIT;
	struct buf handle = BUF_INIT(100);
	enum err_code rc = adapter_submit_request(fal.p, fal.settings, &spec, &create, NULL);

	if (!rc)
		rc = adapter_submit_handle(fal.p, &spec, &handle, NULL);
	if (!rc)
		rc = adapter_look_request(fal.p, fal.settings, &fal.p->cancel, &query, &look, NULL);
	if (!rc)
		rc = adapter_verifier_request(fal.p, fal.settings, &keys, NULL);
	http_request_clear(&create);
	http_request_clear(&look);
	http_request_clear(&keys);
	buf_clear(&handle);
	return rc;
}

static enum err_code
read_create(const struct http_response *rs)
{
	struct submit_reply reply = { .obs = GEN_OBSERVATION_INIT };
	enum err_code rc = adapter_submit_reply(fal.p, fal.settings, rs, &reply, NULL);

	if (!rc)
		submit_reply_clear(&reply);
	return rc;
}

static enum err_code
read_look(const struct provider_look *call, const char *follow, const struct http_response *rs)
{
	const struct look_query query = { .prediction_id = ID, .handle = "fal-ai/flux", .follow = follow };
	struct status_reply reply = { .obs = GEN_OBSERVATION_INIT };
	enum err_code rc = adapter_look_reply(fal.p, fal.settings, call, &query, rs, &reply, NULL);

	if (!rc)
		status_reply_clear(&reply);
	return rc;
}

static enum err_code
read_keys(const struct http_response *rs)
{
	struct buf keys = BUF_INIT(VERIFIER_MAX);
	enum err_code rc = adapter_verifier_reply(fal.p, rs, &keys, NULL);

	buf_clear(&keys);
	/* What could not be read may as well have been no JSON. */
	return rc == ERR_UPSTREAM ? ERR_NOMEM : rc;
}

static enum err_code
take_webhook(void)
{
	static const char *const headers[] = {
		"x-fal-webhook-user-id", "user_7", "x-fal-webhook-timestamp", "1700000000",
		"x-fal-webhook-signature", SIGNATURE, "x-fal-webhook-request-id", "r-1", NULL
	};
	const struct webhook wh = make_webhook(headers, BODY);
	struct gen_observation obs = GEN_OBSERVATION_INIT;
	char *delivery = NULL;
	enum err_code rc = adapter_webhook_verify(fal.p, fal.settings, KEY_1, &wh, NOW, &delivery, NULL);

	if (!rc)
		rc = adapter_webhook_parse(fal.p, &wh, &obs, NULL);
	gen_observation_clear(&obs);
	mem_free(delivery);
	return rc;
}

static void
short_of_memory(void **state)
{
	json_t *on = json_pack("{s:s, s:{s:s}}", "model", "fal-ai/flux/dev", "input", "prompt", "a heron");
	struct http_response created, status, result, failed, canceled, keys;
	enum err_code rc;

	(void)state;
	load_answer("submit-200.json", &created);
	load_answer("status-completed.json", &status);
	load_answer("result-one-black.json", &result);
	load_answer("result-422.json", &failed);
	load_answer("cancel-ok.json", &canceled);
	load_answer("jwks.json", &keys);
	ASSERT_SURVIVES_NOMEM(rc, rc = send_all(on));
	ASSERT_SURVIVES_NOMEM(rc, rc = read_create(&created));
	ASSERT_SURVIVES_NOMEM(rc, rc = read_create(&failed));
	ASSERT_SURVIVES_NOMEM(rc, rc = read_look(&fal.p->get_status, NULL, &status));
	ASSERT_SURVIVES_NOMEM(rc, rc = read_look(&fal.p->get_status, "result", &result));
	ASSERT_SURVIVES_NOMEM(rc, rc = read_look(&fal.p->get_status, "result", &failed));
	ASSERT_SURVIVES_NOMEM(rc, rc = read_look(&fal.p->cancel, NULL, &canceled));
	ASSERT_SURVIVES_NOMEM(rc, rc = read_keys(&keys));
	ASSERT_SURVIVES_NOMEM(rc, rc = take_webhook());
	http_response_clear(&created);
	http_response_clear(&status);
	http_response_clear(&result);
	http_response_clear(&failed);
	http_response_clear(&canceled);
	http_response_clear(&keys);
	json_decref(on);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_sent),
		cmocka_unit_test(little_time_left),
		cmocka_unit_test(endpoints),
		cmocka_unit_test(create_answers),
		cmocka_unit_test(who_is_asked),
		cmocka_unit_test(looks),
		cmocka_unit_test(the_keys),
		cmocka_unit_test(signatures),
		cmocka_unit_test(webhooks),
		cmocka_unit_test(short_of_memory),
	};

	return cmocka_run_group_tests_name("fal", tests, open_fal, close_fal);
}
