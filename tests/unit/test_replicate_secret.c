#include "config.h"

#include "tests/unit/adapter.h"
#include "tests/unit/unit.h"

#define N(table) (sizeof (table) / sizeof *(table))
#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

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

static void
the_reply(void **state)
{
	static const struct { const char *name; long status; const char *body; bool good; } rows[] = {
		{ "as documented", 200, "{\"key\":\"" SECRET "\"}", true },
		{ "and more", 200, "{\"key\":\"" SECRET "\",\"created_at\":\"today\"}", true },
		{ "too short", 200, "{\"key\":\"whsec_c2hvcnQ=\"}", false },
		{ "no base64", 200, "{\"key\":\"whsec_?\"}", false },
		{ "several", 200, "{\"key\":\"" SECRET "," SECRET "\"}", false },
		{ "with a NUL", 200, "{\"key\":\"" SECRET "\\u0000\"}", false },
		{ "a number", 200, "{\"key\":7}", false },
		{ "null", 200, "{\"key\":null}", false },
		{ "empty", 200, "{\"key\":\"\"}", false },
		{ "nothing", 200, "{}", false },
		{ "a list", 200, "[]", false },
		{ "HTML", 200, "<html>", false },
		{ "no body", 200, "", false },
		{ "our key", 401, "{\"detail\":\"no\"}", false },
		{ "a secret that is none", 500, "{\"key\":\"" SECRET "\"}", false },
		{ "a redirect", 302, "{\"key\":\"" SECRET "\"}", false },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct buf secret = BUF_INIT(256);
		struct http_response rs;
		struct err err = ERR_INIT;
		enum err_code rc;

		make_response(&rs, rows[i].status, NULL, rows[i].body, strlen(rows[i].body));
		rc = adapter_verifier_reply(replicate.p, &rs, &secret, &err);
		ASSERT_ROW(rows[i].name, rc == (rows[i].good ? ERR_OK : ERR_UPSTREAM));
		ASSERT_ROW(rows[i].name, strcmp(buf_str(&secret), rows[i].good ? SECRET : "") == 0);
		ASSERT_ROW(rows[i].name, rc == err.code && !strstr(err.text, "whsec"));
		http_response_clear(&rs);
		buf_wipe(&secret);
	}
}

/* A fetched one counts where the settings have none. */
static void
verified_by_it(void **state)
{
	static const char *const own[] = { "GENGATE_REPLICATE_TOKEN=r8_x",
		"GENGATE_REPLICATE_WEBHOOK_SECRET=whsec_QUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJD", NULL };
	static const char body[] = "{\"test\": 2432232314}";
	static const struct headers headers = { "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330",
		"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" };
	struct adapter with_own;
	char *delivery = NULL;

	(void)state;
	assert_int_equal(verify_by(&replicate, SECRET, &headers, body, sizeof body - 1, 1614265330, &delivery, NULL), ERR_OK);
	mem_free(delivery);
	assert_int_equal(verify_by(&replicate, NULL, &headers, body, sizeof body - 1, 1614265330, &delivery, NULL),
		ERR_SIGNATURE);
	adapter_open(&with_own, "replicate", own);
	assert_int_equal(verify_by(&with_own, SECRET, &headers, body, sizeof body - 1, 1614265330, &delivery, NULL),
		ERR_SIGNATURE);
	adapter_close(&with_own);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_reply),
		cmocka_unit_test(verified_by_it),
	};

	return cmocka_run_group_tests_name("replicate_secret", tests, open_replicate, close_replicate);
}
