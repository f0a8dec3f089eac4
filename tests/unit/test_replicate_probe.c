/* What `gengate check` asks of an adapter. */
#include "config.h"

#include "tests/unit/adapter.h"
#include "tests/unit/unit.h"

#define N(table) (sizeof (table) / sizeof *(table))
#define NOW 1614265330

static struct adapter replicate;

static int
open_replicate(void **state)
{
	static const char *const env[] = {
		"GENGATE_REPLICATE_TOKEN=r8_secret", "GENGATE_REPLICATE_URL=https://api.example/v1",
		/* The first signs; any verifies. */
		"GENGATE_REPLICATE_WEBHOOK_SECRET=whsec_QUJDREVGR0hJSktMTU5PUA==, whsec_UVJTVFVWV1hZWjEyMzQ1Ng==", NULL,
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

static void
answers(void **state)
{
	static const struct { const char *name; long status; const char *body; enum err_code want; const char *say; } rows[] = {
		{ "taken", 200, "{\"type\":\"user\",\"username\":\"a\"}", ERR_OK, "" },
		{ "wrong token", 401, "{\"title\":\"Unauthenticated\",\"detail\":\"no valid token\",\"status\":401}",
		  ERR_PROVIDER_UNAVAILABLE, "HTTP 401: no valid token" },
		{ "no credit", 402, "{\"detail\":\"pay\"}", ERR_PROVIDER_UNAVAILABLE, "HTTP 402: pay" },
		{ "not allowed", 403, "", ERR_PROVIDER_UNAVAILABLE, "HTTP 403" },
		{ "another API", 404, "<h1>Not Found</h1>", ERR_UPSTREAM, "HTTP 404" },
		{ "a page", 200, "<html>", ERR_UPSTREAM, "no JSON object" },
		{ "down", 503, "", ERR_UPSTREAM, "HTTP 503" },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct http_response rs;
		struct err err = ERR_INIT;

		make_response(&rs, rows[i].status, NULL, rows[i].body, strlen(rows[i].body));
		ASSERT_ROW(rows[i].name, adapter_probe_reply(replicate.p, &rs, &err) == rows[i].want);
		ASSERT_ROW(rows[i].name, strstr(err.text, rows[i].say));
		http_response_clear(&rs);
	}
}

static const char *
header(const struct http_request *rq, const char *name)
{
	for (size_t i = 0; i < rq->n_headers; i++)
		if (strcmp(rq->headers[i].name, name) == 0)
			return rq->headers[i].value;
	return NULL;
}

/* A webhook that the adapter itself believes, and that says of no prediction of
 * ours anything that matters. */
static void
webhooks(void **state)
{
	static const size_t sizes[] = { 0, 100, 1500000 };

	(void)state;
	for (size_t i = 0; i < N(sizes); i++) {
		struct http_request rq = HTTP_REQUEST_INIT;
		struct gen_observation obs = GEN_OBSERVATION_INIT;
		struct webhook wh = { .header = NULL };
		struct headers h;
		char *delivery = NULL;

		assert_int_equal(adapter_webhook_probe(replicate.p, replicate.settings, NOW, sizes[i], &rq, NULL), ERR_OK);
		assert_int_equal(rq.method, HTTP_POST);
		assert_true(rq.body_bytes >= sizes[i] && rq.body_bytes < sizes[i] + 300);
		h = (struct headers){ header(&rq, "webhook-id"), header(&rq, "webhook-timestamp"),
			header(&rq, "webhook-signature") };
		assert_int_equal(verify(&replicate, &h, rq.body, (size_t)rq.body_bytes, NOW, &delivery, NULL), ERR_OK);
		mem_free(delivery);
		wh.body = rq.body;
		wh.body_len = (size_t)rq.body_bytes;
		assert_int_equal(adapter_webhook_parse(replicate.p, &wh, &obs, NULL), ERR_OK);
		assert_int_equal(obs.status, GEN_STARTING);
		gen_observation_clear(&obs);
		http_request_clear(&rq);
	}
}

static enum err_code
build_all(void)
{
	struct http_request a = HTTP_REQUEST_INIT, b = HTTP_REQUEST_INIT;
	enum err_code rc = adapter_probe_request(replicate.p, replicate.settings, &a, NULL);

	if (!rc)
		rc = adapter_webhook_probe(replicate.p, replicate.settings, NOW, 10, &b, NULL);
	http_request_clear(&a);
	http_request_clear(&b);
	return rc;
}

static void
short_of_memory(void **state)
{
	enum err_code rc;

	(void)state;
	ASSERT_SURVIVES_NOMEM(rc, rc = build_all());
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(webhooks),
		cmocka_unit_test(short_of_memory),
	};

	return cmocka_run_group_tests_name("replicate_probe", tests, open_replicate, close_replicate);
}
