#include "config.h"

#include "providers/provider.h"

#include "tests/unit/unit.h"

/* The provider's settings from its own rows. */
static const struct provider *
replicate(void **ret_settings)
{
	const struct provider *p = provider_by_name("replicate");
	char *settings = mem_calloc(1, p->settings_size);

	for (const struct cfg_row *row = p->options; row->name; row++) {
		char **at = (char **)(void *)(settings + row->offset);

		if (strcmp(row->name, "replicate_url") == 0)
			*at = mem_strdup("https://api.example/v1");
		else if (strcmp(row->name, "replicate_token") == 0)
			*at = mem_strdup("r8_secret");
	}
	*ret_settings = settings;
	return p;
}

static void
settings_free(const struct provider *p, void *settings)
{
	for (const struct cfg_row *row = p->options; row->name; row++)
		mem_free(*(char **)(void *)((char *)settings + row->offset));
	mem_free(settings);
}

static void
the_request(void **state)
{
	static const struct { const char *id, *url; } rows[] = {
		{ "abc123", "https://api.example/v1/predictions/abc123/cancel" },
		{ "../x y?z", "https://api.example/v1/predictions/..%2Fx%20y%3Fz/cancel" },
	};
	void *settings;
	const struct provider *p = replicate(&settings);

	(void)state;
	assert_true(p->caps & PROVIDER_CANCEL);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct http_request rq = HTTP_REQUEST_INIT;

		assert_int_equal(p->cancel.request(settings, &(struct look_query){ .prediction_id = rows[i].id }, &rq, NULL), ERR_OK);
		assert_int_equal(rq.method, HTTP_POST);
		assert_string_equal(rq.url, rows[i].url);
		assert_null(rq.body);
		assert_true(rq.timeout_ms > 0);
		assert_int_equal(rq.n_headers, 1);
		assert_string_equal(rq.headers[0].name, "Authorization");
		assert_string_equal(rq.headers[0].value, "Bearer r8_secret");
		http_request_clear(&rq);
	}
	settings_free(p, settings);
}

/* The answer is the prediction as it is then, whatever it is. */
static const struct reply_row {
	const char *name;
	long status;
	const char *body;
	enum status_outcome outcome;
	enum gen_status says;
} replies[] = {
	{ "canceled", 200, "{\"id\":\"p\",\"status\":\"canceled\",\"output\":null}", STATUS_SEEN, GEN_CANCELED },
	{ "it had succeeded", 200, "{\"id\":\"p\",\"status\":\"succeeded\",\"output\":[\"https://x.example/a.png\"]}",
		STATUS_SEEN, GEN_SUCCEEDED },
	{ "it had failed", 200, "{\"id\":\"p\",\"status\":\"failed\",\"error\":\"E\"}", STATUS_SEEN, GEN_FAILED },
	{ "not yet", 201, "{\"id\":\"p\",\"status\":\"processing\"}", STATUS_SEEN, GEN_PROCESSING },
	{ "nothing to read", 200, "<html>", STATUS_LATER, 0 },
	{ "no prediction", 200, "{\"ok\":true}", STATUS_LATER, 0 },
	{ "unknown", 404, "{\"detail\":\"not found\",\"status\":404}", STATUS_GONE, 0 },
	{ "throttled", 429, "{\"detail\":\"Request was throttled. ~3s\"}", STATUS_LATER, 0 },
	{ "our key", 401, "{\"detail\":\"no\"}", STATUS_LATER, 0 },
	{ "theirs", 500, "", STATUS_LATER, 0 },
};

static void
the_reply(void **state)
{
	void *settings;
	const struct provider *p = replicate(&settings);

	(void)state;
	for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
		const struct reply_row *r = &replies[i];
		struct http_response rs = { .status = r->status, .body = BUF_INIT(4096) };
		struct status_reply reply = { .obs = GEN_OBSERVATION_INIT };

		buf_puts(&rs.body, r->body);
		assert_int_equal(p->cancel.reply(settings, &(struct look_query){ .prediction_id = "p" }, &rs, &reply, NULL), ERR_OK);
		if (reply.outcome != r->outcome)
			fail_msg("%s: outcome %d", r->name, (int)reply.outcome);
		if (r->outcome == STATUS_SEEN && reply.obs.status != r->says)
			fail_msg("%s: status %s", r->name, gen_status_name(reply.obs.status));
		status_reply_clear(&reply);
		http_response_clear(&rs);
	}
	settings_free(p, settings);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_request),
		cmocka_unit_test(the_reply),
	};

	return cmocka_run_group_tests_name("replicate_cancel", tests, NULL, NULL);
}
