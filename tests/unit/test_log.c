#include "config.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/unit/unit.h"

#define LINE_MAX_BYTES 16384

/* A datagram socket tells one write(2) from two. */
static int ends[2];

static int
open_ends(void **state)
{
	int bytes = 1 << 20;

	(void)state;
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) != 0)
		return -1;
	setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
	log_set_fd(ends[0]);
	log_set_level(LOG_DEBUG);
	return 0;
}

static int
close_ends(void **state)
{
	(void)state;
	log_set_fd(STDERR_FILENO);
	log_set_level(LOG_INFO);
	close(ends[0]);
	close(ends[1]);
	return 0;
}

/* What one write brought; NULL if none came.  The caller's: json_decref(). */
static json_t *
next_line(size_t *ret_len)
{
	static char line[LINE_MAX_BYTES + 2];
	ssize_t n = recv(ends[1], line, sizeof line, MSG_DONTWAIT);
	json_t *root;

	if (n < 0)
		return NULL;
	assert_in_range(n, 1, LINE_MAX_BYTES);
	assert_int_equal(line[n - 1], '\n');
	assert_null(memchr(line, '\n', (size_t)n - 1));
	root = json_loadb(line, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(root);
	if (ret_len)
		*ret_len = (size_t)n;
	return root;
}

static const char *
str_of(const json_t *root, const char *key)
{
	return json_string_value(json_object_get(root, key));
}

static void
writes_one_line_per_event(void **state)
{
	const char *ts;
	json_t *root;
	int64_t us;

	(void)state;
	log_event(LOG_WARN, "job.submitted", KV_STR("provider", "fal"),
		KV_INT("took_us", INT64_MIN), KV_INT("bytes", INT64_MAX),
		KV_BOOL("again", true), KV_BOOL("last", false), KV_STR("absent", NULL));
	root = next_line(NULL);
	assert_non_null(root);
	ts = str_of(root, "ts");
	assert_int_equal(rfc3339_parse(ts, strlen(ts), &us), ERR_OK);
	assert_in_range(clock_wall_us() - us, 0, 60 * 1000000);
	assert_string_equal(str_of(root, "level"), "warn");
	assert_string_equal(str_of(root, "event"), "job.submitted");
	assert_string_equal(str_of(root, "provider"), "fal");
	assert_true(json_integer_value(json_object_get(root, "took_us")) == INT64_MIN);
	assert_true(json_integer_value(json_object_get(root, "bytes")) == INT64_MAX);
	assert_true(json_is_true(json_object_get(root, "again")));
	assert_true(json_is_false(json_object_get(root, "last")));
	assert_null(json_object_get(root, "absent"));
	assert_int_equal(json_object_size(root), 8);
	json_decref(root);
	assert_null(next_line(NULL));
}

static void
no_pairs_are_fine(void **state)
{
	json_t *root;

	(void)state;
	log_event_n(LOG_INFO, "started", NULL, 0);
	root = next_line(NULL);
	assert_string_equal(str_of(root, "event"), "started");
	assert_int_equal(json_object_size(root), 3);
	json_decref(root);
}

static void
values_are_escaped(void **state)
{
	static const struct { const char *in, *want; } rows[] = {
		{ "plain", "plain" },
		{ "", "" },
		{ "a\nb\r\"c\\", "a\nb\r\"c\\" },
		{ "\x1b[31mred", "\x1b[31mred" },
		{ "\"}\n{\"event\":\"forged", "\"}\n{\"event\":\"forged" },
		{ "100%s%n", "100%s%n" },
		{ "caf\xc3\xa9", "caf\xc3\xa9" },
		{ "caf\xc3", "caf\xef\xbf\xbd" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		json_t *root;

		log_event(LOG_INFO, "x", KV_STR("v", rows[i].in));
		root = next_line(NULL);
		assert_string_equal(str_of(root, "v"), rows[i].want);
		json_decref(root);
	}
}

static void
secrets_go_by_their_name(void **state)
{
	static const struct { const char *key; bool secret; } rows[] = {
		{ "token", true }, { "secret", true }, { "key", true },
		{ "authorization", true }, { "signature", true }, { "prompt", true },
		{ "cookie", true }, { "password", true },
		{ "api_key", true }, { "fal_token", true }, { "key_count", true },
		{ "negative_prompt", true }, { "webhook_secret_old", true },
		{ "Authorization", true }, { "X-Api-Key", true }, { "Set-Cookie", true },
		{ "input.prompt", true }, { "__key__", true },
		{ "keyboard", false }, { "monkey", false }, { "tokenizer", false },
		{ "secretary", false }, { "promptly", false }, { "key2", false },
		{ "job", false }, { "k", false }, { "_", false }, { "", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		json_t *root;

		log_event(LOG_INFO, "x", KV_STR(rows[i].key, "hush"));
		log_event(LOG_INFO, "x", KV_INT(rows[i].key, 4711));
		root = next_line(NULL);
		assert_string_equal(str_of(root, rows[i].key),
			rows[i].secret ? "[redacted]" : "hush");
		json_decref(root);
		root = next_line(NULL);
		assert_int_equal(json_is_string(json_object_get(root, rows[i].key)),
			rows[i].secret);
		json_decref(root);
	}
}

static void
levels_filter(void **state)
{
	static const char *const names[] = { "debug", "info", "warn", "error" };

	(void)state;
	for (int least = LOG_DEBUG; least <= LOG_ERROR; least++) {
		log_set_level((enum log_level)least);
		for (int level = LOG_DEBUG; level <= LOG_ERROR; level++) {
			json_t *root;

			assert_int_equal(log_wanted((enum log_level)level), level >= least);
			log_event((enum log_level)level, "x", KV_INT("n", 1));
			root = next_line(NULL);
			if (level >= least)
				assert_string_equal(str_of(root, "level"), names[level]);
			else
				assert_null(root);
			json_decref(root);
		}
	}
	log_set_level(LOG_DEBUG);
}

/* `unit`, `times` over.  The caller's: mem_free(). */
static char *
repeat(const char *unit, size_t times)
{
	size_t len = strlen(unit);
	char *p = mem_alloc(len * times + 1);

	assert_non_null(p);
	for (size_t i = 0; i < times; i++)
		memcpy(p + i * len, unit, len);
	p[len * times] = '\0';
	return p;
}

static void
long_values_are_shortened_visibly(void **state)
{
	static const struct { const char *name, *unit; size_t times; const char *tail; } rows[] = {
		{ "fits", "x", 16000, NULL },
		{ "longer than a line", "x", 20000, "...[20000 bytes]" },
		{ "much longer", "x", 5000000, "...[5000000 bytes]" },
		{ "longer once escaped", "\"", 16000, "...[16000 bytes]" },
		{ "much longer once escaped", "\x01", 9000, "...[9000 bytes]" },
		{ "two bytes each", "\xc3\xa9", 10000, "...[20000 bytes]" },
		{ "three bytes each", "\xe2\x82\xac", 10000, "...[30000 bytes]" },
		{ "four bytes each", "\xf0\x9f\x98\x80", 10000, "...[40000 bytes]" },
		{ "stray continuations", "\x80", 20000, "...[20000 bytes]" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char *long_one = repeat(rows[i].unit, rows[i].times);
		json_t *root;
		const char *got;
		size_t len;

		log_event(LOG_INFO, "x", KV_STR("before", "b"), KV_STR("v", long_one),
			KV_INT("after", 7));
		root = next_line(&len);
		got = str_of(root, "v");
		if (!rows[i].tail) {
			assert_string_equal(got, long_one);
		} else {
			const char *tail = strstr(got, "...[");

			assert_non_null(tail);
			assert_string_equal(tail, rows[i].tail);
			assert_true(len > 4000);
			if ((unsigned char)rows[i].unit[0] != 0x80) {
				assert_int_equal((size_t)(tail - got) % strlen(rows[i].unit), 0);
				assert_memory_equal(got, long_one, (size_t)(tail - got));
			}
		}
		assert_string_equal(str_of(root, "before"), "b");
		assert_int_equal(json_integer_value(json_object_get(root, "after")), 7);
		json_decref(root);
		mem_free(long_one);
	}
}

static void
many_pairs_still_make_a_line(void **state)
{
	enum { MANY = 2000 };
	char keys[MANY][8];
	struct kv kv[MANY];
	json_t *root;

	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		snprintf(keys[i], sizeof keys[i], "k%04u", (unsigned)i);
		kv[i] = KV_STR(keys[i], "a value of some length");
	}
	log_event_n(LOG_INFO, "many", kv, MANY);
	root = next_line(NULL);
	assert_string_equal(str_of(root, "event"), "many");
	assert_int_equal(json_integer_value(json_object_get(root, "pairs_left_out")), MANY);
	json_decref(root);
	log_event_n(LOG_INFO, "some", kv, 300);
	root = next_line(NULL);
	assert_int_equal(json_object_size(root), 303);
	json_decref(root);
}

static void
an_event_comes_out_without_memory(void **state)
{
	static const struct { const char *event, *want; } rows[] = {
		{ "job.lost_1", "job.lost_1" },
		{ "has \"quotes\"\n", "log.line_lost" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		json_t *root;

		mem_fail_after(0);
		log_event(LOG_ERROR, rows[i].event, KV_STR("token", "hush"));
		assert_int_equal(mem_fail_reset(), 1);
		root = next_line(NULL);
		assert_string_equal(str_of(root, "event"), rows[i].want);
		assert_string_equal(str_of(root, "lost"), "out of memory");
		json_decref(root);
		assert_int_equal(mem_outstanding(), 0);
	}
}

static void
a_broken_log_harms_nobody(void **state)
{
	(void)state;
	log_set_fd(-1);
	errno = ERANGE;
	log_event(LOG_ERROR, "x", KV_INT("n", 1));
	assert_int_equal(errno, ERANGE);
	log_set_fd(ends[0]);
	assert_null(next_line(NULL));
}

#define THREADS 4
#define LINES 200

static void *
log_many(void *arg)
{
	for (int i = 0; i < LINES; i++)
		log_event(LOG_INFO, "thread", KV_STR("name", arg), KV_INT("i", i));
	return NULL;
}

static void
threads_do_not_mix(void **state)
{
	static char names[THREADS][2] = { "a", "b", "c", "d" };
	char path[] = "/tmp/gengate-log-XXXXXX";
	pthread_t threads[THREADS];
	int fd = mkstemp(path);
	char *line = NULL;
	size_t size = 0;
	int lines = 0;
	FILE *f;

	(void)state;
	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(fcntl(fd, F_SETFL, O_APPEND), 0);
	log_set_fd(fd);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, log_many, names[i]), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	log_set_fd(ends[0]);
	f = fdopen(fd, "r");
	assert_non_null(f);
	rewind(f);
	while (getline(&line, &size, f) > 0) {
		json_t *root = json_loads(line, 0, NULL);

		assert_non_null(root);
		json_decref(root);
		lines++;
	}
	assert_int_equal(lines, THREADS * LINES);
	free(line);	/* getline's, not ours */
	fclose(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_one_line_per_event),
		cmocka_unit_test(no_pairs_are_fine),
		cmocka_unit_test(values_are_escaped),
		cmocka_unit_test(secrets_go_by_their_name),
		cmocka_unit_test(levels_filter),
		cmocka_unit_test(long_values_are_shortened_visibly),
		cmocka_unit_test(many_pairs_still_make_a_line),
		cmocka_unit_test(an_event_comes_out_without_memory),
		cmocka_unit_test(a_broken_log_harms_nobody),
		cmocka_unit_test(threads_do_not_mix),
	};

	return cmocka_run_group_tests_name("log", tests, open_ends, close_ends);
}
