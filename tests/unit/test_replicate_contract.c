/*
 * The contract's own examples, recorded or published by others: they are not
 * ours to pass on, and are read where they lie beside the sources.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/adapter.h"
#include "tests/unit/unit.h"

#define N(table) (sizeof (table) / sizeof *(table))
#define NOW 1614265330
#define CONTRACT "../shared/contracts/examples"

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
requests(void **state)
{
	static const struct { const char *file, *model; } rows[] = {
		{ "replicate-create-201-starting.json",
		  "39ed52f2a78e934b3ba6e2a89f5b1c712de7dfea535525255b1aa35c5565e08b" },
		{ "replicate-create-wait-201-data-uri-output.json",
		  "39ed52f2a78e934b3ba6e2a89f5b1c712de7dfea535525255b1aa35c5565e08b" },
		{ "replicate-create-official-model-201-starting.json", "meta/llama-2-70b-chat" },
		{ "replicate-create-wait-201-processing-with-output.json", "meta/meta-llama-3-8b-instruct" },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		json_t *doc = load_json(CONTRACT, rows[i].file);
		json_t *request = json_object_get(doc, "request"), *want = json_object_get(request, "body");
		json_t *on = json_pack("{ss, sO}", "model", rows[i].model, "input", json_object_get(want, "input"));
		struct gen_spec spec = { .on = on, .time_left_ms = 60000 };
		struct http_request rq = HTTP_REQUEST_INIT;
		json_t *body;

		ASSERT_ROW(rows[i].file, adapter_submit_request(replicate.p, replicate.settings, &spec, &rq, NULL) == ERR_OK);
		ASSERT_ROW(rows[i].file, same(rq.url, json_string_value(json_object_get(request, "url"))));
		body = json_loadb(rq.body, rq.body_bytes, 0, NULL);
		ASSERT_ROW(rows[i].file, json_equal(body, want));
		json_decref(body);
		json_decref(on);
		json_decref(doc);
		http_request_clear(&rq);
	}
}

static const char *
member_or(const json_t *object, const char *name, const json_t *otherwise)
{
	const json_t *v = json_object_get(object, name);

	return json_string_value(v ? v : json_object_get(otherwise, name));
}

static void
signatures(void **state)
{
	json_t *doc, *row;
	size_t i;

	(void)state;
	doc = load_json(CONTRACT, "standard-webhooks-vector.json");
	json_array_foreach(json_object_get(doc, "cases"), i, row) {
		struct headers h = { member_or(row, "webhook-id", doc), member_or(row, "webhook-timestamp", doc),
			member_or(row, "webhook-signature", doc) };
		const char *body = member_or(row, "body", doc);
		char secret[200], *delivery = NULL;
		const char *env[] = { secret, NULL };
		bool valid = json_is_true(json_object_get(row, "valid"));
		struct adapter a;

		snprintf(secret, sizeof secret, "GENGATE_REPLICATE_WEBHOOK_SECRET=%s", member_or(row, "secret", doc));
		adapter_open(&a, "replicate", env);
		if (verify(&a, &h, body, strlen(body), NOW, &delivery, NULL) != (valid ? ERR_OK : ERR_SIGNATURE))
			fail_msg("case %zu", i);
		mem_free(delivery);
		adapter_close(&a);
	}
	assert_true(i >= 10);
	json_decref(doc);
}

static bool
have_contract(void)
{
	const char *srcdir = getenv("srcdir");
	char path[1000];

	snprintf(path, sizeof path, "%s/" CONTRACT "/README.md", srcdir ? srcdir : ".");
	return access(path, R_OK) == 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests),
		cmocka_unit_test(signatures),
	};

	/* Not skip(): cmocka tells that as "not ok", a failure to TAP. */
	if (!have_contract()) {
		puts("1..0 # SKIP no " CONTRACT " beside the sources");
		return 0;
	}
	return cmocka_run_group_tests_name("replicate_contract", tests, open_replicate, close_replicate);
}
