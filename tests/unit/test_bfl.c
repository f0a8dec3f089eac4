#include "config.h"

#include "tests/unit/adapter.h"
#include "tests/unit/unit.h"

#define N(table) (sizeof (table) / sizeof *(table))

/* As in tests/data/bfl. */
#define ID "8d2f1c44-0f6b-4d0e-b6a1-92e1a7c3f5d0"
#define GET "https://api.bfl.ai/v1/get_result?id="
#define POLL "https://api.eu1.bfl.ai/v1/get_result?id="

#define SECRET "a-secret-of-our-own-choice"
#define SECRET_BEFORE "the-one-before-this-one"
#define BODY "{\"id\": \"t-1\", \"status\": \"Ready\", \"result\": {\"sample\": \"https://delivery-eu1.bfl.ai/a.png\"}}"
#define SIGNATURE "0e2f614c62bcd0ee179ee4023d67204df79eb137055e9aa2ce3502bfdc2b9c20"
#define SIGNATURE_BEFORE "7cb13f9164ef3f4cf12ba5286904f9774e5e7176ed1279d26a4a602fdf34031a"

static struct adapter bfl;

static int
open_bfl(void **state)
{
	static const char *const env[] = { "GENGATE_BFL_KEY=a-key",
		"GENGATE_BFL_WEBHOOK_SECRET=" SECRET ", " SECRET_BEFORE, NULL };

	(void)state;
	adapter_open(&bfl, "bfl", env);
	return 0;
}

static int
close_bfl(void **state)
{
	(void)state;
	adapter_close(&bfl);
	return mem_outstanding() == 0 ? 0 : -1;
}

static void
load_answer(const char *name, struct http_response *rs)
{
	json_t *doc = load_json("tests/data/bfl", name);

	response_of(doc, rs);
	json_decref(doc);
}

static void
settings_are_checked(void **state)
{
	static const char *const secrets[] = { "GENGATE_BFL_WEBHOOK_SECRET=" SECRET ",short", NULL };
	static const char *const commas[] = { "GENGATE_BFL_WEBHOOK_SECRET=,", "GENGATE_BFL_URL=ftp://x", NULL };
	struct buf mistakes = BUF_INIT(2000);
	struct adapter a;

	(void)state;
	adapter_check(bfl.p, bfl.settings, &mistakes);
	assert_string_equal(buf_str(&mistakes), "");
	adapter_open(&a, "bfl", secrets);
	adapter_check(a.p, a.settings, &mistakes);
	assert_non_null(strstr(buf_str(&mistakes), "bfl_key"));
	assert_non_null(strstr(buf_str(&mistakes), "secret 2 is shorter than 16 characters"));
	assert_null(strstr(buf_str(&mistakes), "short,"));
	adapter_close(&a);
	buf_reset(&mistakes);
	adapter_open(&a, "bfl", commas);
	adapter_check(a.p, a.settings, &mistakes);
	assert_non_null(strstr(buf_str(&mistakes), "bfl_webhook_secret"));
	assert_non_null(strstr(buf_str(&mistakes), "bfl_url"));
	adapter_close(&a);
	buf_clear(&mistakes);
}

/* Where the webhook goes and who signs it is ours to say, not the input's. */
static void
what_is_sent(void **state)
{
	json_t *on = json_pack("{s:s, s:{s:s, s:s, s:s}}", "model", "flux-pro-1.1", "input", "prompt", "a heron",
		"webhook_url", "https://evil.example.org/", "webhook_secret", "known to somebody");
	struct gen_spec spec = { .on = on, .webhook_url = "https://gw.example.org/webhooks/bfl?job=a" };
	struct http_request rq = HTTP_REQUEST_INIT;

	(void)state;
	assert_int_equal(adapter_submit_request(bfl.p, bfl.settings, &spec, &rq, NULL), ERR_OK);
	assert_int_equal(rq.method, HTTP_POST);
	assert_string_equal(rq.url, "https://api.bfl.ai/v1/flux-pro-1.1");
	assert_string_equal(rq.body, "{\"prompt\":\"a heron\",\"webhook_url\":\"https://gw.example.org/webhooks/bfl?job=a\","
		"\"webhook_secret\":\"" SECRET "\"}");
	assert_string_equal(rq.headers[0].name, "Content-Type");
	assert_string_equal(rq.headers[1].name, "Idempotency-Key");
	assert_string_equal(rq.headers[2].name, "x-key");
	assert_string_equal(rq.headers[2].value, "a-key");
	http_request_clear(&rq);

	rq = (struct http_request)HTTP_REQUEST_INIT;
	spec.webhook_url = NULL;
	assert_int_equal(adapter_submit_request(bfl.p, bfl.settings, &spec, &rq, NULL), ERR_OK);
	assert_string_equal(rq.body, "{\"prompt\":\"a heron\"}");
	assert_int_equal(json_object_size(json_object_get(on, "input")), 3);	/* the profile's is as it was */
	http_request_clear(&rq);
	json_decref(on);
}

static void
create_answers(void **state)
{
	static const struct {
		const char *file;
		enum submit_outcome outcome;
		enum err_code error;
		const char *handle;
		uint64_t retry_after_ms;
	} rows[] = {
		{ "create-200.json", SUBMIT_ACCEPTED, ERR_OK, POLL ID, 0 },
		{ "create-200-bare.json", SUBMIT_ACCEPTED, ERR_OK, NULL, 0 },
		{ "error-402.json", SUBMIT_REFUSED, ERR_PROVIDER_UNAVAILABLE, NULL, 0 },
		{ "error-403.json", SUBMIT_REFUSED, ERR_PROVIDER_UNAVAILABLE, NULL, 0 },
		{ "error-422.json", SUBMIT_REFUSED, ERR_PROVIDER_REJECTED, NULL, 0 },
		{ "error-policy.json", SUBMIT_REFUSED, ERR_CONTENT_BLOCKED, NULL, 0 },
		{ "error-429.json", SUBMIT_DEFERRED, ERR_OK, NULL, 5000 },
		{ "error-500.json", SUBMIT_UNKNOWN, ERR_OK, NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct http_response rs;
		struct submit_reply reply;
		const char *handle;

		load_answer(rows[i].file, &rs);
		assert_int_equal(adapter_submit_reply(bfl.p, bfl.settings, &rs, &reply, NULL), ERR_OK);
		handle = reply.obs.handle ? reply.obs.handle : "";
		ASSERT_ROW(rows[i].file, reply.outcome == rows[i].outcome);
		ASSERT_ROW(rows[i].file, reply.error == rows[i].error);
		ASSERT_ROW(rows[i].file, reply.retry_after_ms == rows[i].retry_after_ms);
		ASSERT_ROW(rows[i].file, strcmp(handle, rows[i].handle ? rows[i].handle : "") == 0);
		ASSERT_ROW(rows[i].file, (reply.obs.prediction_id != NULL) == (reply.outcome == SUBMIT_ACCEPTED));
		submit_reply_clear(&reply);
		http_response_clear(&rs);
	}
}

/* The key goes to the vendor's hosts only, and the question is about our task. */
static void
polling_urls(void **state)
{
	static const struct { const char *handle, *url; bool kept; } rows[] = {
		{ NULL, GET ID, false },
		{ POLL ID, POLL ID, true },
		{ "https://gateway.bfl.ai/poll?v=2&id=" ID, "https://gateway.bfl.ai/poll?v=2&id=" ID, true },
		{ "https://GATEWAY.BFL.AI/poll", "https://GATEWAY.BFL.AI/poll?id=" ID, true },
		{ "https://api.bfl.ai/v1/get_result?v=2", GET ID, true },
		{ "https://api.bfl.ai/poll?xid=1", "https://api.bfl.ai/poll?id=" ID, true },
		{ POLL "another", POLL ID, true },
		{ POLL ID "0", POLL ID, true },
		{ "https://api.bfl.ai/poll#top", "https://api.bfl.ai/poll?id=" ID, true },
		{ "https://evilbfl.ai/get_result?id=" ID, GET ID, false },
		{ "https://.bfl.ai/get_result?id=" ID, GET ID, false },
		{ "https://api.bfl.ai.example.org/get_result?id=" ID, GET ID, false },
		{ "https://user@api.bfl.ai/get_result?id=" ID, GET ID, false },
		{ "https://api.bfl.ai:8443/get_result?id=" ID, GET ID, false },
		{ "http://api.eu1.bfl.ai/v1/get_result?id=" ID, GET ID, false },
		{ "https://192.0.2.1/get_result?id=" ID, GET ID, false },
		{ "/v1/get_result?id=" ID, GET ID, false },
		{ "", GET ID, false },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		const char *name = rows[i].handle ? rows[i].handle : "none";
		const struct look_query query = { .prediction_id = ID, .handle = rows[i].handle };
		json_t *doc = json_pack("{s:s, s:s?}", "id", ID, "polling_url", rows[i].handle);
		struct http_request rq = HTTP_REQUEST_INIT;
		struct http_response rs;
		struct submit_reply reply;

		assert_int_equal(adapter_look_request(bfl.p, bfl.settings, &bfl.p->get_status, &query, &rq, NULL), ERR_OK);
		ASSERT_ROW(name, strcmp(rq.url, rows[i].url) == 0);
		assert_string_equal(rq.headers[0].value, "a-key");
		response_of(doc, &rs);
		assert_int_equal(adapter_submit_reply(bfl.p, bfl.settings, &rs, &reply, NULL), ERR_OK);
		ASSERT_ROW(name, (reply.obs.handle != NULL) == rows[i].kept);
		submit_reply_clear(&reply);
		http_response_clear(&rs);
		http_request_clear(&rq);
		json_decref(doc);
	}
}

static void
looks(void **state)
{
	static const struct {
		const char *file;
		enum status_outcome outcome;
		enum gen_status status;
		enum err_code error;
		size_t n_outputs;
	} rows[] = {
		{ "get-pending.json", STATUS_SEEN, GEN_PROCESSING, ERR_OK, 0 },
		{ "get-ready.json", STATUS_SEEN, GEN_SUCCEEDED, ERR_OK, 1 },
		{ "get-state.json", STATUS_SEEN, GEN_SUCCEEDED, ERR_OK, 1 },
		{ "get-error.json", STATUS_SEEN, GEN_FAILED, ERR_PROVIDER_FAILED, 0 },
		{ "get-failed.json", STATUS_SEEN, GEN_FAILED, ERR_PROVIDER_FAILED, 0 },
		{ "get-request-moderated.json", STATUS_SEEN, GEN_FAILED, ERR_CONTENT_BLOCKED, 0 },
		{ "get-content-moderated.json", STATUS_SEEN, GEN_FAILED, ERR_CONTENT_BLOCKED, 0 },
		{ "get-not-found.json", STATUS_GONE, GEN_STARTING, ERR_OK, 0 },
		{ "get-not-found-404.json", STATUS_GONE, GEN_STARTING, ERR_OK, 0 },
		{ "create-200-bare.json", STATUS_LATER, GEN_STARTING, ERR_OK, 0 },
		{ "error-402.json", STATUS_LATER, GEN_STARTING, ERR_OK, 0 },
		{ "error-429.json", STATUS_LATER, GEN_STARTING, ERR_OK, 0 },
		{ "error-500.json", STATUS_LATER, GEN_STARTING, ERR_OK, 0 },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		const struct look_query query = { .prediction_id = ID };
		struct http_response rs;
		struct status_reply reply;

		load_answer(rows[i].file, &rs);
		assert_int_equal(adapter_look_reply(bfl.p, bfl.settings, &bfl.p->get_status, &query, &rs, &reply, NULL), ERR_OK);
		ASSERT_ROW(rows[i].file, reply.outcome == rows[i].outcome);
		ASSERT_ROW(rows[i].file, reply.obs.status == rows[i].status);
		ASSERT_ROW(rows[i].file, reply.obs.status_known);
		ASSERT_ROW(rows[i].file, reply.obs.error == rows[i].error);
		ASSERT_ROW(rows[i].file, json_array_size(reply.obs.outputs) == rows[i].n_outputs);
		if (rows[i].outcome == STATUS_SEEN)
			assert_string_equal(reply.obs.prediction_id, ID);
		status_reply_clear(&reply);
		http_response_clear(&rs);
	}
}

/* What is told of another task is not ours. */
static void
whose_it_is(void **state)
{
	static const struct { const char *body, *id; } rows[] = {
		{ "{\"id\":\"another\",\"status\":\"Ready\"}", "another" },
		{ "{\"id\":\"\",\"status\":\"Pending\"}", ID },
		{ "{\"status\":\"Pending\"}", ID },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		const struct look_query query = { .prediction_id = ID };
		struct http_response rs;
		struct status_reply reply;

		make_response(&rs, 200, NULL, rows[i].body, strlen(rows[i].body));
		assert_int_equal(adapter_look_reply(bfl.p, bfl.settings, &bfl.p->get_status, &query, &rs, &reply, NULL), ERR_OK);
		ASSERT_ROW(rows[i].body, strcmp(reply.obs.prediction_id, rows[i].id) == 0);
		status_reply_clear(&reply);
		http_response_clear(&rs);
	}
}

static enum err_code
verify_signature(const struct adapter *a, const char *signature, const char *body, char **ret_delivery)
{
	const char *const headers[] = { "x-bfl-signature", signature, NULL };
	const struct webhook wh = make_webhook(headers, body);

	return adapter_webhook_verify(a->p, a->settings, NULL, &wh, 0, ret_delivery, NULL);
}

static void
signatures(void **state)
{
	static const struct { const char *name, *signature, *body, *delivery; } rows[] = {
		{ "good", "sha256=" SIGNATURE, BODY, SIGNATURE },
		{ "by the secret before", "sha256=" SIGNATURE_BEFORE, BODY, SIGNATURE_BEFORE },
		/* One delivery is the same however its digits are written. */
		{ "in capitals", "sha256=0E2F614C62BCD0EE179EE4023D67204DF79EB137055E9AA2CE3502BFDC2B9C20", BODY, SIGNATURE },
		{ "another body", "sha256=" SIGNATURE, BODY " ", NULL },
		{ "a digit off", "sha256=1e2f614c62bcd0ee179ee4023d67204df79eb137055e9aa2ce3502bfdc2b9c20", BODY, NULL },
		{ "a digit more", "sha256=" SIGNATURE "0", BODY, NULL },
		{ "a digit less", "sha256=0e2f", BODY, NULL },
		{ "without its kind", SIGNATURE, BODY, NULL },
		{ "of another kind", "sha512=" SIGNATURE, BODY, NULL },
		{ "empty", "", BODY, NULL },
		{ "none", NULL, BODY, NULL },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		char *delivery = NULL;
		enum err_code rc = verify_signature(&bfl, rows[i].signature, rows[i].body, &delivery);

		ASSERT_ROW(rows[i].name, rc == (rows[i].delivery ? ERR_OK : ERR_SIGNATURE));
		ASSERT_ROW(rows[i].name, (delivery != NULL) == (rc == ERR_OK));
		if (delivery)
			assert_string_equal(delivery, rows[i].delivery);
		mem_free(delivery);
	}
}

static void
no_secret_no_webhook(void **state)
{
	static const char *const env[] = { "GENGATE_BFL_KEY=a-key", NULL };
	char *delivery = NULL;
	struct adapter a;

	(void)state;
	adapter_open(&a, "bfl", env);
	assert_false(adapter_has_secret(a.settings));
	assert_true(adapter_has_secret(bfl.settings));
	assert_int_equal(verify_signature(&a, "sha256=" SIGNATURE, BODY, &delivery), ERR_SIGNATURE);
	assert_null(delivery);
	adapter_close(&a);
}

static void
webhooks(void **state)
{
	static const struct {
		const char *body;
		enum err_code rc;
		enum gen_status status;
		enum err_code error;
	} rows[] = {
		{ BODY, ERR_OK, GEN_SUCCEEDED, ERR_OK },
		{ "{\"id\":\"t\",\"status\":\"Error\",\"error\":\"content_policy_violation\"}", ERR_OK, GEN_FAILED,
		  ERR_CONTENT_BLOCKED },
		{ "{\"id\":\"t\",\"status\":\"Error\",\"error\":\"generation_failed\",\"message\":\"no\"}", ERR_OK,
		  GEN_FAILED, ERR_PROVIDER_FAILED },
		{ "{\"id\":\"t\",\"status\":\"Thinking\"}", ERR_OK, GEN_PROCESSING, ERR_OK },
		{ "{\"id\":\"t\"}", ERR_BAD_REQUEST, GEN_STARTING, ERR_OK },
		{ "{\"status\":\"Ready\"}", ERR_BAD_REQUEST, GEN_STARTING, ERR_OK },
		{ "id=t", ERR_BAD_REQUEST, GEN_STARTING, ERR_OK },
	};
	static const char *const no_headers[] = { NULL };

	(void)state;
	assert_true(bfl.p->caps & PROVIDER_HINTS);	/* nothing in what is signed says when */
	for (size_t i = 0; i < N(rows); i++) {
		const struct webhook wh = make_webhook(no_headers, rows[i].body);
		struct gen_observation obs = GEN_OBSERVATION_INIT;

		ASSERT_ROW(rows[i].body, adapter_webhook_parse(bfl.p, &wh, &obs, NULL) == rows[i].rc);
		ASSERT_ROW(rows[i].body, obs.status == rows[i].status);
		ASSERT_ROW(rows[i].body, obs.error == rows[i].error);
		gen_observation_clear(&obs);
	}
}

/* One of our own is taken, and says nothing of a job. */
static void
a_webhook_to_try_with(void **state)
{
	static const char *const env[] = { "GENGATE_BFL_KEY=a-key", NULL };
	struct http_request rq = HTTP_REQUEST_INIT;
	struct gen_observation obs = GEN_OBSERVATION_INIT;
	char *delivery = NULL;
	struct webhook wh;
	struct adapter a;

	(void)state;
	assert_int_equal(adapter_webhook_probe(bfl.p, bfl.settings, 0, 5000, &rq, NULL), ERR_OK);
	assert_true(rq.body_bytes >= 5000);
	assert_string_equal(rq.headers[1].name, "X-BFL-Signature");
	assert_int_equal(verify_signature(&bfl, rq.headers[1].value, rq.body, &delivery), ERR_OK);
	wh = (struct webhook){ .body = rq.body, .body_len = (size_t)rq.body_bytes };
	assert_int_equal(adapter_webhook_parse(bfl.p, &wh, &obs, NULL), ERR_OK);
	assert_false(gen_status_is_final(obs.status));
	gen_observation_clear(&obs);
	http_request_clear(&rq);
	mem_free(delivery);

	adapter_open(&a, "bfl", env);
	rq = (struct http_request)HTTP_REQUEST_INIT;
	assert_int_equal(adapter_webhook_probe(a.p, a.settings, 0, 5000, &rq, NULL), ERR_CONFIG);
	http_request_clear(&rq);
	adapter_close(&a);
}

static enum err_code
send_all(const json_t *on)
{
	const struct gen_spec spec = { .on = on, .webhook_url = "https://gw.example.org/" };
	const struct look_query query = { .prediction_id = ID, .handle = "https://gateway.bfl.ai/poll" };
	struct http_request create = HTTP_REQUEST_INIT, look = HTTP_REQUEST_INIT, webhook = HTTP_REQUEST_INIT;
	enum err_code rc = adapter_submit_request(bfl.p, bfl.settings, &spec, &create, NULL);

	if (!rc)
		rc = adapter_look_request(bfl.p, bfl.settings, &bfl.p->get_status, &query, &look, NULL);
	if (!rc)
		rc = adapter_webhook_probe(bfl.p, bfl.settings, 0, 100, &webhook, NULL);
	http_request_clear(&create);
	http_request_clear(&look);
	http_request_clear(&webhook);
	return rc;
}

static enum err_code
read_all(const struct http_response *created, const struct http_response *ready)
{
	const struct look_query query = { .prediction_id = ID };
	struct submit_reply create = { .obs = GEN_OBSERVATION_INIT };
	struct status_reply status = { .obs = GEN_OBSERVATION_INIT };
	enum err_code rc = adapter_submit_reply(bfl.p, bfl.settings, created, &create, NULL);

	if (!rc)
		rc = adapter_look_reply(bfl.p, bfl.settings, &bfl.p->get_status, &query, ready, &status, NULL);
	submit_reply_clear(&create);
	status_reply_clear(&status);
	return rc;
}

static enum err_code
take_webhook(void)
{
	static const char *const headers[] = { "x-bfl-signature", "sha256=" SIGNATURE, NULL };
	const struct webhook wh = make_webhook(headers, BODY);
	struct gen_observation obs = GEN_OBSERVATION_INIT;
	char *delivery = NULL;
	enum err_code rc = adapter_webhook_verify(bfl.p, bfl.settings, NULL, &wh, 0, &delivery, NULL);

	if (!rc)
		rc = adapter_webhook_parse(bfl.p, &wh, &obs, NULL);
	gen_observation_clear(&obs);
	mem_free(delivery);
	return rc;
}

static void
short_of_memory(void **state)
{
	json_t *on = json_pack("{s:s, s:{s:s}}", "model", "flux-pro-1.1", "input", "prompt", "a heron");
	struct http_response created, refused, ready, failed;
	enum err_code rc;

	(void)state;
	load_answer("create-200.json", &created);
	load_answer("error-policy.json", &refused);
	load_answer("get-ready.json", &ready);
	load_answer("get-error.json", &failed);
	ASSERT_SURVIVES_NOMEM(rc, rc = send_all(on));
	ASSERT_SURVIVES_NOMEM(rc, rc = read_all(&created, &ready));
	ASSERT_SURVIVES_NOMEM(rc, rc = read_all(&refused, &failed));
	ASSERT_SURVIVES_NOMEM(rc, rc = take_webhook());
	http_response_clear(&created);
	http_response_clear(&refused);
	http_response_clear(&ready);
	http_response_clear(&failed);
	json_decref(on);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_are_checked),
		cmocka_unit_test(what_is_sent),
		cmocka_unit_test(create_answers),
		cmocka_unit_test(polling_urls),
		cmocka_unit_test(looks),
		cmocka_unit_test(whose_it_is),
		cmocka_unit_test(signatures),
		cmocka_unit_test(no_secret_no_webhook),
		cmocka_unit_test(webhooks),
		cmocka_unit_test(a_webhook_to_try_with),
		cmocka_unit_test(short_of_memory),
	};

	return cmocka_run_group_tests_name("bfl", tests, open_bfl, close_bfl);
}
