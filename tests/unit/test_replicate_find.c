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
	assert_int_equal(adapter_find_request(replicate.p, replicate.settings, &query, &rq, NULL), ERR_OK);
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
		enum err_code rc = adapter_find_request(replicate.p, replicate.settings, &query, &rq, NULL);
		json_t *doc = json_pack("{s:[], s:s}", "results", "next", rows[i].url);
		struct http_response rs;
		struct find_reply reply;

		ASSERT_ROW(rows[i].name, rc == (rows[i].good ? ERR_OK : ERR_INVALID));
		ASSERT_ROW(rows[i].name, same(rq.url, rows[i].good ? rows[i].url : NULL));
		http_request_clear(&rq);

		/* Nor is it taken out of a list. */
		response_of(doc, &rs);
		assert_int_equal(adapter_find_reply(replicate.p, replicate.settings, &rs, &reply, NULL), ERR_OK);
		ASSERT_ROW(rows[i].name, same(reply.follow, rows[i].good ? rows[i].url : NULL));
		ASSERT_ROW(rows[i].name, reply.cut == !rows[i].good);
		find_reply_clear(&reply);
		http_response_clear(&rs);
		json_decref(doc);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_window),
		cmocka_unit_test(the_next_page),
	};

	return cmocka_run_group_tests_name("replicate_find", tests, open_replicate, close_replicate);
}
