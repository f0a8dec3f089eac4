/*
 * The contract's answers of the real storage server: they are not ours to pass
 * on, and are read where they lie beside the sources.  Every row has to be here
 * with what it means to us; one that is added there fails until it is.
 */
#include "config.h"

/* The server's memory is not ours to count. */
#define GENGATE_MAY_MALLOC

#include "storage/storage.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/server.h"
#include "tests/unit/unit.h"

#define N(table) (sizeof (table) / sizeof *(table))
#define CONTRACT "../shared/contracts/supabase_storage.json"

/* What is answered to each request in turn, and how many came. */
struct upstream {
	struct server sv;
	struct http_client *http;
	char *answers[2];
	size_t n;
};

static json_t *contract;

static bool
answer(struct conn *cn)
{
	struct upstream *up = cn->sv->ctx;
	char *text = NULL;

	/* Ours from here: who has read it sets the next while we may still be sending. */
	pthread_mutex_lock(&cn->sv->lock);
	if (up->n < N(up->answers)) {
		text = up->answers[up->n];
		up->answers[up->n++] = NULL;
	}
	pthread_mutex_unlock(&cn->sv->lock);
	if (!text)
		return false;
	send_text(cn, text);
	free(text);
	return true;
}

/* A row {"http", "body"} as bytes. */
static char *
as_http(const json_t *row)
{
	char *body = json_dumps(json_object_get(row, "body"), JSON_COMPACT);
	char *out = malloc(4096);

	assert_non_null(body);
	snprintf(out, 4096, "HTTP/1.1 %d X\r\nContent-Type: application/json; charset=utf-8\r\n"
		"Content-Length: %zu\r\n\r\n%s",
		(int)json_integer_value(json_object_get(row, "http")), strlen(body), body);
	free(body);
	return out;
}

static void
set_answers(struct upstream *up, const json_t *first, const json_t *second)
{
	pthread_mutex_lock(&up->sv.lock);
	free(up->answers[0]);
	free(up->answers[1]);
	up->answers[0] = first ? as_http(first) : NULL;
	up->answers[1] = second ? as_http(second) : NULL;
	up->n = 0;
	pthread_mutex_unlock(&up->sv.lock);
}

static void
open_supabase(const struct upstream *up, void **settings, struct cfg_section *section, struct cfg *cfg)
{
	char url[100];
	const char *env[] = { url, "GENGATE_SUPABASE_KEY=sb_secret_x", NULL };
	struct buf mistakes = BUF_INIT(4096);

	snprintf(url, sizeof url, "GENGATE_SUPABASE_URL=http://127.0.0.1:%d", up->sv.port);
	*settings = mem_calloc(1, storage_supabase.settings_size);
	*section = (struct cfg_section){ "Supabase", storage_supabase.options, *settings };
	*cfg = (struct cfg){ section, 1, NULL };
	assert_int_equal(cfg_load(cfg, NULL, (char *const *)env, &mistakes, NULL), ERR_OK);
}

static enum err_code
put(struct upstream *up, struct err *err)
{
	static const uint8_t sha[SHA256_BYTES];
	char name[] = "/tmp/gengate-contract-XXXXXX";
	struct storage_file file = { .key = "o/j/0-ab.png", .fd = mkstemp(name), .bytes = 5,
		.type = MEDIA_PNG, .sha256 = sha };
	struct cfg_section section;
	struct cfg cfg;
	void *settings;
	enum err_code rc;

	assert_true(file.fd >= 0);
	unlink(name);
	assert_int_equal(write(file.fd, "bytes", 5), 5);
	open_supabase(up, &settings, &section, &cfg);
	rc = storage_supabase.put(settings, up->http, &file, err);
	cfg_clear(&cfg);
	mem_free(settings);
	close(file.fd);
	return rc;
}

static enum err_code
remove_it(struct upstream *up)
{
	struct cfg_section section;
	struct cfg cfg;
	void *settings;
	enum err_code rc;

	open_supabase(up, &settings, &section, &cfg);
	rc = storage_supabase.remove(settings, up->http, STORAGE_OUTPUTS, "o/j/0-ab.png", NULL);
	cfg_clear(&cfg);
	mem_free(settings);
	return rc;
}

/* What an upload's answer means: for good, later, or a look at what is there. */
static const struct {
	const char *name;
	enum err_code want;
	size_t requests;
} uploads[] = {
	{ "duplicate_key", ERR_OK, 2 },		/* of the same size: below */
	{ "too_large", ERR_REFUSED, 1 },
	{ "mime", ERR_REFUSED, 1 },
	{ "invalid_key_dot_segment", ERR_REFUSED, 1 },
	{ "no_such_bucket", ERR_UPSTREAM, 1 },
	{ "bad_token", ERR_UPSTREAM, 1 },
	{ "bad_signature", ERR_UPSTREAM, 1 },
	{ "expired", ERR_UPSTREAM, 1 },
	{ "rls", ERR_UPSTREAM, 1 },
	{ "no_authorization", ERR_UPSTREAM, 1 },
	{ "database_down", ERR_UPSTREAM, 1 },
	{ "slow_down_from_source", ERR_UPSTREAM, 1 },
	{ "database_timeout_from_source", ERR_UPSTREAM, 1 },
	{ "body_cut_short", ERR_UPSTREAM, 1 },
};

static void
every_upload_error(void **state)
{
	struct upstream *up = *state;
	json_t *errors = json_object_get(json_object_get(contract, "upload"), "errors"), *row;
	json_t *info = json_pack("{si, s{si}}", "http", 200, "body", "size", 5);
	const char *name;

	json_object_foreach(errors, name, row) {
		struct err err = ERR_INIT;
		size_t i = 0;

		while (i < N(uploads) && strcmp(uploads[i].name, name) != 0)
			i++;
		if (i == N(uploads))
			fail_msg("%s: a row that nobody has thought about", name);
		set_answers(up, row, info);
		if (put(up, &err) != uploads[i].want)
			fail_msg("%s: not %s: %s", name, err_name(uploads[i].want), err.text);
		ASSERT_ROW(name, up->n == uploads[i].requests);
	}
	assert_int_equal(json_object_size(errors), N(uploads));
	json_decref(info);
}

static void
successes(void **state)
{
	struct upstream *up = *state;
	const json_t *upload = json_object_get(contract, "upload"), *gone = json_object_get(contract, "delete");

	set_answers(up, json_object_get(upload, "success"), NULL);
	assert_int_equal(put(up, NULL), ERR_OK);
	set_answers(up, json_object_get(gone, "one_success"), NULL);
	assert_int_equal(remove_it(up), ERR_OK);
	set_answers(up, json_object_get(gone, "one_missing"), NULL);
	assert_int_equal(remove_it(up), ERR_OK);
}

/* Answers to other calls, should they come to one of ours. */
static void
answers_of_other_calls(void **state)
{
	static const struct { const char *group, *name; enum err_code put, remove; } rows[] = {
		{ "bucket", "exists", ERR_REFUSED, ERR_UPSTREAM },
		{ "bucket", "not_empty", ERR_REFUSED, ERR_UPSTREAM },
		{ "bucket", "bad_name", ERR_UPSTREAM, ERR_UPSTREAM },
		{ "public_get", "missing_key", ERR_UPSTREAM, ERR_OK },
		{ "public_get", "private_or_missing_bucket", ERR_UPSTREAM, ERR_UPSTREAM },
		{ NULL, "unknown_route", ERR_UPSTREAM, ERR_UPSTREAM },
	};
	struct upstream *up = *state;

	for (size_t i = 0; i < N(rows); i++) {
		const json_t *group = rows[i].group ? json_object_get(contract, rows[i].group) : contract;
		const json_t *row = json_object_get(group, rows[i].name);
		struct err err = ERR_INIT;

		ASSERT_ROW(rows[i].name, json_is_object(row));
		set_answers(up, row, NULL);
		if (put(up, &err) != rows[i].put)
			fail_msg("%s: not %s: %s", rows[i].name, err_name(rows[i].put), err.text);
		set_answers(up, row, NULL);
		ASSERT_ROW(rows[i].name, remove_it(up) == rows[i].remove);
	}
}

static int
start(void **state)
{
	static const struct http_settings settings = { .user_agent = "gengate-test" };
	struct upstream *up = calloc(1, sizeof *up);

	server_start(&up->sv, answer, up);
	*state = up;
	return http_client_new(&settings, &up->http, NULL) ? -1 : 0;
}

static int
stop(void **state)
{
	struct upstream *up = *state;

	http_client_free(&up->http);
	server_stop(&up->sv);
	set_answers(up, NULL, NULL);
	free(up);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_upload_error, start, stop),
		cmocka_unit_test_setup_teardown(successes, start, stop),
		cmocka_unit_test_setup_teardown(answers_of_other_calls, start, stop),
	};
	const char *srcdir = getenv("srcdir");
	char path[1000];
	int failed;

	snprintf(path, sizeof path, "%s/" CONTRACT, srcdir ? srcdir : ".");
	/* Not skip(): cmocka tells that as "not ok", a failure to TAP. */
	if (access(path, R_OK)) {
		puts("1..0 # SKIP no " CONTRACT " beside the sources");
		return 0;
	}
	contract = json_load_file(path, 0, NULL);
	if (!contract || http_global_init(NULL))
		return 1;
	failed = cmocka_run_group_tests_name("supabase_contract", tests, NULL, NULL);
	http_global_cleanup();
	json_decref(contract);
	return failed;
}
