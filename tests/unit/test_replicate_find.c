#include "config.h"

#include <stdlib.h>

#include "base/clock.h"
#include "tests/unit/adapter.h"
#include "tests/unit/unit.h"

#define N(table) (sizeof (table) / sizeof *(table))
#define FOLDER "tests/data/replicate"
#define HOOK "https://gate.example/webhooks/replicate?job=AAAA"

/* 2026-11-23T10:00:00Z */
#define TEN_US (1795428000LL * 1000000)

static struct adapter replicate;

static int
open_replicate(void **state)
{
	static const char *const env[] = { "GENGATE_REPLICATE_TOKEN=r8_x", NULL };

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

static bool
same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static void
the_window(void **state)
{
	const struct find_query query = { .after_us = TEN_US - 60000000, .before_us = TEN_US + 500000 };
	struct http_request rq = HTTP_REQUEST_INIT;

	(void)state;
	assert_true(replicate.p->caps & PROVIDER_FIND);
	assert_int_equal(replicate.p->find.request(replicate.settings, &query, &rq, NULL), ERR_OK);
	assert_int_equal(rq.method, HTTP_GET);
	assert_string_equal(rq.url, "https://api.replicate.com/v1/predictions?created_after=2026-11-23T09%3A59%3A00.000000Z"
		"&created_before=2026-11-23T10%3A00%3A00.500000Z");
	assert_int_equal(rq.n_headers, 1);
	assert_string_equal(rq.headers[0].value, "Bearer r8_x");
	http_request_clear(&rq);
}

/* The token goes with it. */
static void
the_next_page(void **state)
{
	static const struct { const char *name, *url; bool good; } rows[] = {
		{ "own", "https://api.replicate.com/v1/predictions?cursor=x", true },
		{ "own, port said", "https://api.replicate.com:443/v1/predictions?cursor=x", true },
		{ "own, capitals", "https://API.Replicate.com/v1/predictions?cursor=x", true },
		{ "http", "http://api.replicate.com/v1/predictions?cursor=x", false },
		{ "another port", "https://api.replicate.com:8443/v1/predictions", false },
		{ "another host", "https://api.replicate.com.evil.example/v1/predictions", false },
		{ "a sibling", "https://replicate.com/v1/predictions", false },
		{ "userinfo", "https://api.replicate.com@evil.example/", false },
		{ "userinfo on its host", "https://me@api.replicate.com/", false },
		{ "a path", "/v1/predictions?cursor=x", false },
		{ "file", "file:///etc/passwd", false },
		{ "nothing", "", false },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		const struct find_query query = { .follow = rows[i].url };
		struct http_request rq = HTTP_REQUEST_INIT;
		enum err_code rc = replicate.p->find.request(replicate.settings, &query, &rq, NULL);
		json_t *doc = json_pack("{s:[], s:s}", "results", "next", rows[i].url);
		struct http_response rs;
		struct find_reply reply;

		ASSERT_ROW(rows[i].name, rc == (rows[i].good ? ERR_OK : ERR_INVALID));
		ASSERT_ROW(rows[i].name, same(rq.url, rows[i].good ? rows[i].url : NULL));
		http_request_clear(&rq);

		/* Nor is it taken out of a list. */
		response_of(doc, &rs);
		assert_int_equal(replicate.p->find.reply(replicate.settings, &rs, &reply, NULL), ERR_OK);
		ASSERT_ROW(rows[i].name, same(reply.follow, rows[i].good ? rows[i].url : NULL));
		ASSERT_ROW(rows[i].name, reply.cut == !rows[i].good);
		find_reply_clear(&reply);
		http_response_clear(&rs);
		json_decref(doc);
	}
}

static void
a_page(void **state)
{
	json_t *doc = load_json(FOLDER, "list-page.json");
	struct http_response rs;
	struct find_reply reply;

	(void)state;
	response_of(doc, &rs);
	assert_int_equal(replicate.p->find.reply(replicate.settings, &rs, &reply, NULL), ERR_OK);
	assert_int_equal(reply.outcome, FIND_PAGE);
	assert_false(reply.cut);
	assert_int_equal(reply.date_us, TEN_US + 5000000);
	assert_string_equal(reply.follow, "https://api.replicate.com/v1/predictions?cursor=cD0yMDI2LTExLTIz");
	assert_int_equal(reply.n, 3);
	assert_string_equal(reply.found[0].obs.prediction_id, "k1l2n3t4w5k6l7n8t9w0k1l2n3");
	assert_int_equal(reply.found[0].obs.status, GEN_PROCESSING);
	assert_string_equal(reply.found[0].obs.webhook_url, HOOK);
	assert_int_equal(reply.found[0].created_us, TEN_US + 1250000);
	assert_string_equal(json_string_value(json_object_get(reply.found[0].input, "prompt")), "a teapot");
	assert_int_equal(reply.found[1].obs.status, GEN_SUCCEEDED);
	assert_null(reply.found[1].obs.webhook_url);
	assert_int_equal(json_array_size(reply.found[1].obs.outputs), 1);
	assert_int_equal(reply.found[1].created_us, TEN_US - 1000000);
	assert_int_equal(json_object_size(reply.found[1].input), 0);
	assert_true(reply.found[2].obs.data_removed);
	assert_null(reply.found[2].input);
	assert_null(reply.found[2].obs.webhook_url);
	find_reply_clear(&reply);
	http_response_clear(&rs);
	json_decref(doc);
}

static void
lists_of_all_kinds(void **state)
{
	static const struct {
		const char *name;
		long status;
		const char *body;
		enum find_outcome outcome;
		size_t n;
		bool cut;
		uint64_t wait_ms;
	} rows[] = {
		{ "empty", 200, "{\"results\":[],\"next\":null,\"previous\":null}", FIND_PAGE, 0, false, 0 },
		{ "no next", 200, "{\"results\":[]}", FIND_PAGE, 0, false, 0 },
		{ "next is a number", 200, "{\"results\":[],\"next\":7}", FIND_PAGE, 0, true, 0 },
		{ "next is empty", 200, "{\"results\":[],\"next\":\"\"}", FIND_PAGE, 0, true, 0 },
		{ "next with a NUL", 200, "{\"results\":[],\"next\":\"https://api.replicate.com/\\u0000\"}", FIND_PAGE, 0, true, 0 },
		{ "one cannot be read", 200, "{\"results\":[{\"id\":7,\"status\":\"failed\"},{\"id\":\"p\",\"status\":\"failed\"}]}",
		  FIND_PAGE, 1, true, 0 },
		{ "one is null", 200, "{\"results\":[null]}", FIND_PAGE, 0, true, 0 },
		{ "one without status", 200, "{\"results\":[{\"id\":\"p\"}]}", FIND_PAGE, 0, true, 0 },
		{ "wrong types beside id and status", 200, "{\"results\":[{\"id\":\"p\",\"status\":\"starting\",\"webhook\":7,"
		  "\"input\":\"x\",\"created_at\":12,\"output\":true,\"error\":[]}]}", FIND_PAGE, 1, false, 0 },
		{ "a date that is none", 200, "{\"results\":[{\"id\":\"p\",\"status\":\"starting\",\"created_at\":\"today\"}]}",
		  FIND_PAGE, 1, false, 0 },
		{ "a word of tomorrow", 200, "{\"results\":[{\"id\":\"p\",\"status\":\"pondering\"}]}", FIND_PAGE, 1, false, 0 },
		{ "a number beyond all", 200, "{\"results\":[{\"id\":\"p\",\"status\":\"failed\",\"input\":{\"seed\":-1e999}}]}",
		  FIND_PAGE, 1, false, 0 },
		{ "truncated", 200, "{\"results\":[{\"id\":\"p\",\"status\":\"failed\"},{\"id\":", FIND_LATER, 0, false, 0 },
		{ "results is an object", 200, "{\"results\":{}}", FIND_LATER, 0, false, 0 },
		{ "results is null", 200, "{\"results\":null}", FIND_LATER, 0, false, 0 },
		{ "a list alone", 200, "[]", FIND_LATER, 0, false, 0 },
		{ "HTML", 200, "<html>", FIND_LATER, 0, false, 0 },
		{ "nothing", 200, "", FIND_LATER, 0, false, 0 },
		{ "throttled", 429, "{\"detail\":\"Your rate limit resets in ~30s.\"}", FIND_LATER, 0, false, 30000 },
		{ "our key", 401, "{\"detail\":\"no\"}", FIND_LATER, 0, false, 0 },
		{ "404", 404, "{\"results\":[]}", FIND_LATER, 0, false, 0 },
		{ "302", 302, "{\"results\":[]}", FIND_LATER, 0, false, 0 },
		{ "theirs", 500, "{\"results\":[]}", FIND_LATER, 0, false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct http_response rs;
		struct find_reply reply;

		make_response(&rs, rows[i].status, NULL, rows[i].body, strlen(rows[i].body));
		ASSERT_ROW(rows[i].name, replicate.p->find.reply(replicate.settings, &rs, &reply, NULL) == ERR_OK);
		ASSERT_ROW(rows[i].name, reply.outcome == rows[i].outcome);
		ASSERT_ROW(rows[i].name, reply.n == rows[i].n);
		ASSERT_ROW(rows[i].name, reply.cut == rows[i].cut);
		ASSERT_ROW(rows[i].name, reply.retry_after_ms == rows[i].wait_ms);
		ASSERT_ROW(rows[i].name, !reply.follow && reply.date_us == 0);
		ASSERT_ROW(rows[i].name, (reply.message != NULL) == (rows[i].outcome == FIND_LATER));
		for (size_t k = 0; k < reply.n; k++) {
			ASSERT_ROW(rows[i].name, same(reply.found[k].obs.prediction_id, "p"));
			ASSERT_ROW(rows[i].name, !reply.found[k].obs.webhook_url && reply.found[k].created_us == 0);
		}
		find_reply_clear(&reply);
		http_response_clear(&rs);
	}
}

static void
without_memory(void **state)
{
	json_t *doc = load_json(FOLDER, "list-page.json");
	const struct find_query query = { .after_us = TEN_US, .before_us = TEN_US };
	struct http_response rs;
	enum err_code rc;

	(void)state;
	response_of(doc, &rs);
	ASSERT_SURVIVES_NOMEM(rc, {
		struct http_request rq = HTTP_REQUEST_INIT;

		rc = replicate.p->find.request(replicate.settings, &query, &rq, NULL);
		http_request_clear(&rq);
	});
	ASSERT_SURVIVES_NOMEM(rc, {
		struct find_reply reply = { .n = 0 };

		rc = replicate.p->find.reply(replicate.settings, &rs, &reply, NULL);
		find_reply_clear(&reply);
	});
	http_response_clear(&rs);
	json_decref(doc);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_window),
		cmocka_unit_test(the_next_page),
		cmocka_unit_test(a_page),
		cmocka_unit_test(lists_of_all_kinds),
		cmocka_unit_test(without_memory),
	};

	return cmocka_run_group_tests_name("replicate_find", tests, open_replicate, close_replicate);
}
