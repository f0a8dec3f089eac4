#include "config.h"

#include "base/metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/unit.h"

#define THREADS 8
#define ROUNDS 20000

static void
render(struct buf *out)
{
	*out = (struct buf)BUF_INIT(4 << 20);
	metrics_render(out);
	assert_int_equal(out->err, ERR_OK);
}

/* How often a line is there, as a whole. */
static int
lines(const struct buf *out, const char *line)
{
	size_t len = strlen(line);
	int n = 0;

	for (const char *p = buf_str(out); *p; p += strcspn(p, "\n"), p += *p == '\n')
		n += strcspn(p, "\n") == len && strncmp(p, line, len) == 0;
	return n;
}

static void
assert_lines(const char *const *wanted)
{
	struct buf out;

	render(&out);
	for (; *wanted; wanted++)
		if (lines(&out, *wanted) != 1)
			fail_msg("%d times %s in\n%s", lines(&out, *wanted), *wanted, buf_str(&out));
	buf_clear(&out);
}

static void
assert_absent(const char *text)
{
	struct buf out;

	render(&out);
	if (strstr(buf_str(&out), text))
		fail_msg("%s in\n%s", text, buf_str(&out));
	buf_clear(&out);
}

static void
counters_are_shown(void **state)
{
	(void)state;
	metrics_init("here");
	metric_add(METRIC_SUBMITS, 2, "replicate", "accepted");
	metric_add(METRIC_SUBMITS, 1, "replicate", "accepted");
	metric_add(METRIC_PROVIDER_BYTES, 5000000000, "replicate", "sent");
	metric_add(METRIC_CONNECTIONS, 3, NULL);
	metric_add(METRIC_CONNECTIONS, -1, NULL);
	assert_lines((const char *const[]){
		"# TYPE gengate_submits_total counter",
		"gengate_submits_total{instance=\"here\",provider=\"replicate\",outcome=\"accepted\"} 3",
		"gengate_submits_total{instance=\"here\",provider=\"replicate\",outcome=\"unknown\"} 0",
		"gengate_provider_bytes_total{instance=\"here\",provider=\"replicate\",direction=\"sent\"} 5000000000",
		"# TYPE gengate_connections gauge",
		"gengate_connections{instance=\"here\"} 2",
		"gengate_build_info{instance=\"here\",version=\"" PACKAGE_VERSION "\"} 1",
		NULL });
}

/* Requests have thousands of series: those that never came are left out. */
static void
many_zeroes_are_left_out(void **state)
{
	(void)state;
	metric_add(METRIC_HTTP_REQUESTS, 1, "/status/", "GET", "200");
	assert_lines((const char *const[]){
		"gengate_http_requests_total{instance=\"here\",route=\"/status/\",method=\"GET\",status=\"200\"} 1",
		NULL });
	assert_absent("route=\"/status/\",method=\"GET\",status=\"404\"");
}

static void
strange_values_are_others(void **state)
{
	(void)state;
	metric_add(METRIC_HTTP_REQUESTS, 1, "none", "BREW", "418");
	metric_add(METRIC_HTTP_REQUESTS, 1, "none", "", "0");
	metric_add(METRIC_COMPLETED, 1, "failed", "carrier pigeon");
	assert_lines((const char *const[]){
		"gengate_http_requests_total{instance=\"here\",route=\"none\",method=\"other\",status=\"other\"} 2",
		"gengate_jobs_completed_total{instance=\"here\",status=\"failed\",road=\"other\"} 1",
		NULL });
}

/* What finds no room is counted, and kept apart from what did. */
static void
too_many_values_are_others(void **state)
{
	static char names[40][16];

	(void)state;
	assert_absent("storage=\"other\"");
	for (int i = 0; i < 40; i++) {
		snprintf(names[i], sizeof names[i], "storage-%d", i);
		metric_add(METRIC_STORAGE_BYTES, 1, names[i]);
	}
	assert_lines((const char *const[]){
		"gengate_storage_bytes_total{instance=\"here\",storage=\"storage-0\"} 1",
		"gengate_storage_bytes_total{instance=\"here\",storage=\"storage-6\"} 1",
		"gengate_storage_bytes_total{instance=\"here\",storage=\"other\"} 33",
		NULL });
	assert_absent("storage-7");
}

static void
values_are_escaped(void **state)
{
	(void)state;
	metrics_init("a\"b\\c\nd");
	assert_lines((const char *const[]){
		"gengate_connections{instance=\"a\\\"b\\\\c\\nd\"} 2", NULL });
	metrics_init("here");
}

static void
the_instance_has_a_default(void **state)
{
	char end[32];

	(void)state;
	metrics_init(NULL);
	snprintf(end, sizeof end, "-%ld", (long)getpid());
	assert_string_equal(metrics_instance() + strlen(metrics_instance()) - strlen(end), end);
	assert_true(strlen(metrics_instance()) > strlen(end));
	metrics_init("here");
}

/* A bound belongs to its bucket; buckets add up. */
static void
histograms_have_buckets(void **state)
{
	(void)state;
	metric_observe(METRIC_HTTP_TIME, -5, "/h");	/* a clock that went back */
	metric_observe(METRIC_HTTP_TIME, 250, "/h");
	metric_observe(METRIC_HTTP_TIME, 251, "/h");
	metric_observe(METRIC_HTTP_TIME, 1000000, "/h");
	metric_observe(METRIC_HTTP_TIME, 120000000, "/h");
	metric_observe(METRIC_HTTP_TIME, 120000001, "/h");
	assert_lines((const char *const[]){
		"# TYPE gengate_http_request_seconds histogram",
		"gengate_http_request_seconds_bucket{instance=\"here\",route=\"/h\",le=\"0.00025\"} 2",
		"gengate_http_request_seconds_bucket{instance=\"here\",route=\"/h\",le=\"0.0005\"} 3",
		"gengate_http_request_seconds_bucket{instance=\"here\",route=\"/h\",le=\"0.5\"} 3",
		"gengate_http_request_seconds_bucket{instance=\"here\",route=\"/h\",le=\"1\"} 4",
		"gengate_http_request_seconds_bucket{instance=\"here\",route=\"/h\",le=\"120\"} 5",
		"gengate_http_request_seconds_bucket{instance=\"here\",route=\"/h\",le=\"+Inf\"} 6",
		"gengate_http_request_seconds_sum{instance=\"here\",route=\"/h\"} 241.000502",
		"gengate_http_request_seconds_count{instance=\"here\",route=\"/h\"} 6",
		NULL });
}

static void
summaries_have_sum_and_count(void **state)
{
	(void)state;
	metric_observe(METRIC_STATEMENT_TIME, 1500, "job_show");
	metric_observe(METRIC_STATEMENT_TIME, 500, "job_show");
	assert_lines((const char *const[]){
		"# TYPE gengate_db_statement_seconds summary",
		"gengate_db_statement_seconds_sum{instance=\"here\",statement=\"job_show\"} 0.002000",
		"gengate_db_statement_seconds_count{instance=\"here\",statement=\"job_show\"} 2",
		NULL });
}

static void
asked_ones_are_put(void **state)
{
	struct buf out = BUF_INIT(10000);

	(void)state;
	metric_put_head(&out, METRIC_JOB_AGE);
	metric_put(&out, METRIC_JOB_AGE, 61500000, "running");
	assert_string_equal(buf_str(&out),
		"# HELP gengate_oldest_job_age_seconds Age of the oldest job in that state since it was taken; "
		"0: there is none.\n"
		"# TYPE gengate_oldest_job_age_seconds gauge\n"
		"gengate_oldest_job_age_seconds{state=\"running\"} 61.500000\n");
	buf_clear(&out);
}

static void
survives_want_of_memory(void **state)
{
	enum err_code rc = ERR_OK;

	(void)state;
	ASSERT_SURVIVES_NOMEM(rc, {
		struct buf out = BUF_INIT(4 << 20);

		metrics_render(&out);
		rc = out.err;
		buf_clear(&out);
	});
}

static void *
count_a_lot(void *arg)
{
	static const char *const names[] = { "replicate", "one", "two", "three", "four", "five" };
	const size_t *number = arg;

	for (size_t i = 0; i < ROUNDS; i++) {
		/* Each thread meets the new names in another order. */
		metric_add(METRIC_WEBHOOKS, 1, names[(*number + i) % 6], "moved");
		metric_observe(METRIC_POOL_WAIT, (int64_t)(i % 2) * 1000000, NULL);
	}
	return NULL;
}

static void
nothing_is_lost_between_threads(void **state)
{
	pthread_t threads[THREADS];
	size_t numbers[THREADS];
	struct buf out;
	long sum = 0;
	char line[200];

	(void)state;
	for (size_t i = 0; i < THREADS; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, count_a_lot, &numbers[i]), 0);
	}
	for (int i = 0; i < 20; i++) {	/* showing meanwhile harms nobody */
		render(&out);
		buf_clear(&out);
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	render(&out);
	for (const char *p = buf_str(&out); (p = strstr(p, "verdict=\"moved\"} ")); p++)
		sum += strtol(p + strlen("verdict=\"moved\"} "), NULL, 10);
	assert_int_equal(sum, THREADS * ROUNDS);
	snprintf(line, sizeof line, "gengate_db_pool_wait_seconds_sum{instance=\"here\"} %d.000000",
		THREADS * ROUNDS / 2);
	assert_int_equal(lines(&out, line), 1);
	snprintf(line, sizeof line, "gengate_db_pool_wait_seconds_count{instance=\"here\"} %d", THREADS * ROUNDS);
	assert_int_equal(lines(&out, line), 1);
	assert_int_equal(lines(&out, "gengate_webhooks_total{instance=\"here\",provider=\"three\",verdict=\"noted\"} 0"), 1);
	buf_clear(&out);
}

/* A name tells its unit, and a counter that it counts. */
static void
names_follow_the_rules(void **state)
{
	(void)state;
	for (int m = 0; m < METRIC_COUNT; m++) {
		struct metric_about about;
		char end[32];
		bool counter;

		metric_about((enum metric)m, &about);
		counter = strcmp(about.type, "counter") == 0;
		snprintf(end, sizeof end, "%s%s%s", about.unit[0] ? "_" : "", about.unit, counter ? "_total" : "");
		if (strlen(about.name) < strlen(end) ||
		    strcmp(about.name + strlen(about.name) - strlen(end), end) != 0)
			fail_msg("%s does not end in %s", about.name, end);
		if (!counter && strstr(about.name, "_total"))
			fail_msg("%s is no counter", about.name);
		if (strncmp(about.name, "gengate_", 8) != 0 && strcmp(about.name, "process_start_time_seconds") != 0)
			fail_msg("%s is not ours", about.name);
		assert_true(strlen(about.help) > 0 && about.help[strlen(about.help) - 1] == '.');
		for (int n = 0; n < m; n++) {
			struct metric_about other;

			metric_about((enum metric)n, &other);
			assert_string_not_equal(about.name, other.name);
		}
	}
}

static void
read_file(const char *name, struct buf *ret)
{
	const char *srcdir = getenv("srcdir");
	struct buf path = BUF_INIT(4096);
	char block[4096];
	size_t n;
	FILE *f;

	buf_printf(&path, "%s/%s", srcdir ? srcdir : ".", name);
	f = fopen(buf_str(&path), "r");
	if (!f)
		fail_msg("%s cannot be read", buf_str(&path));
	while ((n = fread(block, 1, sizeof block, f)) > 0)
		buf_put(ret, block, n);
	fclose(f);
	buf_clear(&path);
}

static int
occurrences(const char *text, const char *what)
{
	int n = 0;

	while ((text = strstr(text, what))) {
		n++;
		text += strlen(what);
	}
	return n;
}

/* docs/metrics.md has this table's rows, and no other. */
static void
the_documentation_is_this_table(void **state)
{
	struct buf doc = BUF_INIT(1 << 20), row = BUF_INIT(4096);

	(void)state;
	read_file("docs/metrics.md", &doc);
	for (int m = 0; m < METRIC_COUNT; m++) {
		struct metric_about about;

		metric_about((enum metric)m, &about);
		buf_reset(&row);
		buf_printf(&row, "\n| `%s` | %s | ", about.name, about.type);
		for (size_t i = 0; about.labels[i]; i++)
			buf_printf(&row, "%s`%s`", i ? ", " : "", about.labels[i]);
		buf_printf(&row, " | %s |\n", about.help);
		if (occurrences(buf_str(&doc), buf_str(&row)) != 1)
			fail_msg("docs/metrics.md has to have this row, once:%s", buf_str(&row));
	}
	assert_int_equal(occurrences(buf_str(&doc), "\n| `gengate_"), METRIC_COUNT - 1);
	buf_clear(&row);
	buf_clear(&doc);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters_are_shown),
		cmocka_unit_test(many_zeroes_are_left_out),
		cmocka_unit_test(strange_values_are_others),
		cmocka_unit_test(too_many_values_are_others),
		cmocka_unit_test(values_are_escaped),
		cmocka_unit_test(the_instance_has_a_default),
		cmocka_unit_test(histograms_have_buckets),
		cmocka_unit_test(summaries_have_sum_and_count),
		cmocka_unit_test(asked_ones_are_put),
		cmocka_unit_test(survives_want_of_memory),
		cmocka_unit_test(nothing_is_lost_between_threads),
		cmocka_unit_test(names_follow_the_rules),
		cmocka_unit_test(the_documentation_is_this_table),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
