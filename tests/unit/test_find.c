#include "config.h"

#include "base/token.h"
#include "core/find.h"
#include "tests/unit/unit.h"

#define N(table) (sizeof (table) / sizeof *(table))

#define SECOND INT64_C(1000000)
#define MINUTE (60 * SECOND)

/* 2026-11-23T10:00:00Z */
#define TEN_US (1795428000LL * SECOND)

static void
the_window_is_wider_on_both_sides(void **state)
{
	static const struct { const char *name; int64_t sent_ms, unsure_ms, margin_us, after_us, before_us; } rows[] = {
		{ "one create", 20000, 5000, 5 * MINUTE, TEN_US - 20 * SECOND - 5 * MINUTE, TEN_US - 5 * SECOND + 5 * MINUTE },
		{ "just now", 0, 0, 5 * MINUTE, TEN_US - 5 * MINUTE, TEN_US + 5 * MINUTE },
		{ "its end is not known", 20000, -1, MINUTE, TEN_US - 80 * SECOND, TEN_US + MINUTE },
		{ "long ago", 86400000, 86000000, 0, TEN_US - 86400 * SECOND, TEN_US - 86000 * SECOND },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct find_window w = find_window(TEN_US, rows[i].sent_ms, rows[i].unsure_ms, rows[i].margin_us);

		ASSERT_ROW(rows[i].name, w.after_us == rows[i].after_us);
		ASSERT_ROW(rows[i].name, w.before_us == rows[i].before_us);
	}
}

/* A guess by our clock does when it has all that is needed by the provider's. */
static void
a_wrong_clock_shows(void **state)
{
	static const struct { const char *name; int64_t offset_us; bool covers; } rows[] = {
		{ "the same", 0, true }, { "half a minute", 30 * SECOND, true }, { "a minute", MINUTE, true },
		{ "a minute behind", -MINUTE, true }, { "more", MINUTE + 1, false }, { "more behind", -MINUTE - 1, false },
		{ "ten minutes", 10 * MINUTE, false }, { "ten minutes behind", -10 * MINUTE, false },
	};
	struct find_window guess = find_window(TEN_US, 20000, 5000, 6 * MINUTE);

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct find_window needed = find_window(TEN_US + rows[i].offset_us, 20000, 5000, 5 * MINUTE);

		ASSERT_ROW(rows[i].name, find_window_covers(&guess, &needed) == rows[i].covers);
	}
}

static void
inputs_that_are_the_same(void **state)
{
	static const struct { const char *told, *sent; bool same; } rows[] = {
		{ "{}", "{}", true },
		{ "{\"prompt\":\"a\"}", "{\"prompt\":\"a\"}", true },
		{ "{\"prompt\":\"a\"}", "{\"prompt\":\"b\"}", false },
		{ "{\"prompt\":\"a\",\"steps\":4}", "{\"prompt\":\"a\"}", true },
		{ "{\"prompt\":\"a\"}", "{\"prompt\":\"a\",\"steps\":4}", false },
		{ "{\"seed\":7.0}", "{\"seed\":7}", true },
		{ "{\"seed\":7}", "{\"seed\":8}", false },
		{ "{\"seed\":\"7\"}", "{\"seed\":7}", false },
		{ "{\"size\":[1,2.0]}", "{\"size\":[1,2]}", true },
		{ "{\"size\":[1,2,3]}", "{\"size\":[1,2]}", false },
		{ "{\"size\":[1]}", "{\"size\":[1,2]}", false },
		{ "{\"o\":{\"a\":1,\"b\":2}}", "{\"o\":{\"a\":1}}", true },
		{ "{\"o\":{\"a\":1}}", "{\"o\":{\"a\":2}}", false },
		{ "{\"image\":\"https://x.example/1\"}", "{\"image\":\"data:image/png;base64,AA\"}", true },
		{ "{\"image\":\"https://x.example/1\"}", "{\"image\":\"https://x.example/2\"}", false },
		{ "{\"flag\":true}", "{\"flag\":false}", false },
		{ "{\"n\":null}", "{\"n\":null}", true },
		{ "[]", "{}", false },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		json_t *told = json_loads(rows[i].told, 0, NULL), *sent = json_loads(rows[i].sent, 0, NULL);

		ASSERT_ROW(rows[i].sent, told && sent);
		ASSERT_ROW(rows[i].told, find_same_input(told, sent) == rows[i].same);
		json_decref(told);
		json_decref(sent);
	}
}

static void
what_mentions_a_prompt(void **state)
{
	static const struct { const char *told; bool mentions; } rows[] = {
		{ "{}", false }, { "{\"prompt\":\"a cat\"}", true }, { "{\"text\":\"photo of a cat, 4k\"}", true },
		{ "{\"prompt\":\"a dog\",\"n\":1}", false }, { "{\"o\":{\"l\":[1,null,[\"a cat\"]]}}", true },
		{ "{\"a cat\":\"x\"}", false }, { "{\"prompt\":\"a ca\"}", false },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		json_t *told = json_loads(rows[i].told, 0, NULL);

		ASSERT_ROW(rows[i].told, told && find_mentions(told, "a cat") == rows[i].mentions);
		json_decref(told);
	}
}

/* A webhook's URL as service_webhook_url() makes it. */
static char *
url_of(struct keyring *keys, const char *purpose, const char *base, const struct uuid *owner, const struct uuid *job)
{
	struct buf url = BUF_INIT(8192);
	uint8_t plain[32];

	memcpy(plain, owner->b, 16);
	memcpy(plain + 16, job->b, 16);
	buf_printf(&url, "%s/webhooks/replicate?job=", base);
	assert_int_equal(token_seal(keys, purpose, plain, sizeof plain, &url, NULL), ERR_OK);
	return buf_take(&url);
}

static void
whom_a_record_names(void **state)
{
	struct settings settings = { .public_url = (char[]){ "https://gate.example" } };
	struct service svc = { .settings = &settings };
	struct keyring *old = NULL;
	struct uuid owner, job, another;
	char *ours, *moved, *others, *lost, *lost_elsewhere, *state_token;

	(void)state;
	assert_int_equal(keyring_new("a key of sixteen characters", &svc.keys, NULL), ERR_OK);
	assert_int_equal(keyring_new("another of sixteen characters", &old, NULL), ERR_OK);
	assert_int_equal(uuid_new(&owner, NULL) || uuid_new(&job, NULL) || uuid_new(&another, NULL), ERR_OK);
	ours = url_of(svc.keys, "webhook", "https://gate.example", &owner, &job);
	moved = url_of(svc.keys, "webhook", "https://gate.before.example", &owner, &job);
	others = url_of(svc.keys, "webhook", "https://gate.example", &owner, &another);
	lost = url_of(old, "webhook", "https://gate.example", &owner, &job);
	lost_elsewhere = url_of(old, "webhook", "https://staging.example", &owner, &job);
	state_token = url_of(svc.keys, "list", "https://gate.example", &owner, &job);
	assert_int_equal(find_naming(&svc, ours, &owner, &job), NAMES_THIS_JOB);
	assert_int_equal(find_naming(&svc, moved, &owner, &job), NAMES_THIS_JOB);
	assert_int_equal(find_naming(&svc, others, &owner, &job), NAMES_ANOTHER);
	assert_int_equal(find_naming(&svc, ours, &another, &job), NAMES_ANOTHER);
	assert_int_equal(find_naming(&svc, lost, &owner, &job), NAMES_UNREADABLY);
	assert_int_equal(find_naming(&svc, state_token, &owner, &job), NAMES_UNREADABLY);
	assert_int_equal(find_naming(&svc, lost_elsewhere, &owner, &job), NAMES_ANOTHER);
	assert_int_equal(find_naming(&svc, "https://app.example/hook", &owner, &job), NAMES_ANOTHER);
	assert_int_equal(find_naming(&svc, NULL, &owner, &job), NAMES_NOBODY);
	mem_free(ours);
	mem_free(moved);
	mem_free(others);
	mem_free(lost);
	mem_free(lost_elsewhere);
	mem_free(state_token);
	keyring_free(&svc.keys);
	keyring_free(&old);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_window_is_wider_on_both_sides),
		cmocka_unit_test(a_wrong_clock_shows),
		cmocka_unit_test(inputs_that_are_the_same),
		cmocka_unit_test(what_mentions_a_prompt),
		cmocka_unit_test(whom_a_record_names),
	};

	return cmocka_run_group_tests_name("find", tests, NULL, NULL);
}
