/* Connections that are busy, silent, cut, or of a server that is not there. */
#include "config.h"

#include "tests/db/db_test.h"

#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

/* How much later than asked something may be, on a busy machine. */
#define SLACK_MS 2000

#define OUR_CONNECTIONS "from pg_stat_activity where application_name = 'gengate' " \
	"and datname = current_database()"
#define OURS_WAITING "select count(*) " OUR_CONNECTIONS " and wait_event_type = 'Lock'"

/* A pool of its own for one test, on the fixture's database, and a job. */
struct own {
	struct db_settings settings;
	struct db *db;
	struct job job;
	struct err err;
};

static void
own_begin(struct fixture *f, struct own *own, size_t pool, uint64_t timeout_ms)
{
	struct err err = ERR_INIT;

	*own = (struct own){ .settings = f->settings, .err = ERR_INIT };
	own->job = created_job(f);
	sql_do(f->pg, "update public.generation_live set leased_by = 1, lease_until = now() + interval '1 h'");
	own->settings.pool = pool;
	own->settings.timeout_ms = timeout_ms;
	WANT(ERR_OK, db_new(&own->settings, &own->db, &err));
	/* The fixture's pool would be counted among ours. */
	db_free(&f->db);
	WANT(ERR_OK, db_new(&f->settings, &f->db, &err));
	sql_wait(f->pg, 0, "select count(*) " OUR_CONNECTIONS);
}

static void
own_end(struct own *own)
{
	job_clear(&own->job);
	db_free(&own->db);
}

/* A statement that waits while somebody has locked the live row. */
static enum err_code
touch(struct own *own, struct err *err)
{
	return jobs_renew(own->db, &own->job.owner, &own->job.id, 1, 600000, err);
}

static enum err_code
look(struct own *own, struct err *err)
{
	return jobs_exists(own->db, &own->job.owner, &own->job.id, err);
}

static void
lock_rows(struct fixture *f)
{
	sql_do(f->locker, "begin; select 1 from public.generation_live for update");
}

struct toucher {
	struct own *own;
	enum db_caller caller;
	enum err_code rc;
	struct err err;
	int64_t took_ms;
};

static void
toucher_run(void *element)
{
	struct toucher *t = element;
	int64_t start_us = clock_mono_us();

	db_call_as(t->caller);
	t->rc = touch(t->own, &t->err);
	t->took_ms = elapsed_ms(start_us);
}

static void *
toucher_thread(void *element)
{
	toucher_run(element);
	return NULL;
}

static void
busy_connections_are_waited_for_until_the_deadline(void **state)
{
	struct fixture *f = *state;
	struct toucher touchers[6];
	struct own own;

	own_begin(f, &own, 2, 500);
	lock_rows(f);
	for (size_t i = 0; i < COUNT_OF(touchers); i++)
		touchers[i] = (struct toucher){ .own = &own, .err = ERR_INIT };
	in_parallel(COUNT_OF(touchers), toucher_run, touchers, sizeof *touchers);
	sql_do(f->locker, "rollback");
	for (size_t i = 0; i < COUNT_OF(touchers); i++) {
		assert_int_equal(touchers[i].rc, ERR_UNAVAILABLE);
		assert_in_range(touchers[i].took_ms, 499, 500 + SLACK_MS);
		assert_non_null(strstr(touchers[i].err.text, "db_timeout"));
	}
	in_parallel(COUNT_OF(touchers), toucher_run, touchers, sizeof *touchers);
	for (size_t i = 0; i < COUNT_OF(touchers); i++)
		if (touchers[i].rc)
			fail_msg("%s", touchers[i].err.text);
	assert_in_range(sql_int(f->pg, "select count(*) " OUR_CONNECTIONS), 1, 2);
	own_end(&own);
}

static void
no_free_connection_is_said(void **state)
{
	struct fixture *f = *state;
	struct own own;
	struct toucher slow = { .own = &own, .err = ERR_INIT };
	struct err err = ERR_INIT;
	pthread_t thread;
	int64_t start_us;

	own_begin(f, &own, 1, 20000);
	lock_rows(f);
	pthread_create(&thread, NULL, toucher_thread, &slow);
	sql_wait(f->pg, 1, OURS_WAITING);
	own.settings.timeout_ms = 300;
	db_configure(own.db, &own.settings);
	start_us = clock_mono_us();
	WANT(ERR_UNAVAILABLE, look(&own, &err));
	assert_in_range(elapsed_ms(start_us), 299, 300 + SLACK_MS);
	SAYS("db_pool");
	sql_do(f->locker, "rollback");
	pthread_join(thread, NULL);
	if (slow.rc)
		fail_msg("%s", slow.err.text);
	own_end(&own);
}

static void
a_statement_that_waits_too_long_is_given_up(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct own own;
	int64_t start_us;

	own_begin(f, &own, 1, 500);
	WANT(ERR_OK, touch(&own, &err));
	lock_rows(f);
	start_us = clock_mono_us();
	WANT(ERR_UNAVAILABLE, touch(&own, &err));
	assert_in_range(elapsed_ms(start_us), 499, 500 + SLACK_MS);
	SAYS("did not answer in time");
	/* What does not need the row works, on a new connection. */
	err = (struct err)ERR_INIT;
	WANT(ERR_OK, look(&own, &err));
	sql_do(f->locker, "rollback");
	WANT(ERR_OK, touch(&own, &err));
	assert_string_equal(err.text, "");
	own_end(&own);
}

static void
a_silent_backend_is_given_up(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct own own;
	int64_t start_us;
	pid_t pid;

	own_begin(f, &own, 1, 500);
	WANT(ERR_OK, look(&own, &err));
	pid = (pid_t)sql_int(f->pg, "select pid " OUR_CONNECTIONS);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	start_us = clock_mono_us();
	WANT(ERR_UNAVAILABLE, look(&own, &err));
	assert_in_range(elapsed_ms(start_us), 499, 500 + SLACK_MS);
	SAYS("did not answer in time");
	err = (struct err)ERR_INIT;
	WANT(ERR_OK, look(&own, &err));
	assert_int_equal(kill(pid, SIGCONT), 0);
	sql_wait(f->pg, 1, "select count(*) " OUR_CONNECTIONS);
	assert_string_equal(err.text, "");
	own_end(&own);
}

/* Cut between two queries: nobody notices. */
static void
a_backend_that_was_ended_is_replaced(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct own own;

	own_begin(f, &own, 1, 5000);
	for (int i = 0; i < 20; i++) {
		WANT(ERR_OK, touch(&own, &err));
		sql_do(f->pg, "select pg_terminate_backend(pid) " OUR_CONNECTIONS);
		if (i % 2)
			sql_wait(f->pg, 0, "select count(*) " OUR_CONNECTIONS);
	}
	WANT(ERR_OK, touch(&own, &err));
	assert_string_equal(err.text, "");
	own_end(&own);
}

/* Cut while it works: the statement is sent once more. */
static void
a_query_that_was_cut_is_repeated_once(void **state)
{
	struct fixture *f = *state;
	struct own own;
	struct toucher t = { .own = &own, .err = ERR_INIT };
	pthread_t thread;

	for (int cuts = 1; cuts <= 2; cuts++) {
		int64_t pid = 0;

		own_begin(f, &own, 1, 10000);
		lock_rows(f);
		pthread_create(&thread, NULL, toucher_thread, &t);
		for (int i = 0; i < cuts; i++) {
			char waits[300];

			snprintf(waits, sizeof waits, OURS_WAITING " and pid <> %lld", (long long)pid);
			sql_wait(f->pg, 1, waits);
			pid = sql_int(f->pg, "select pid " OUR_CONNECTIONS " and wait_event_type = 'Lock'");
			sql_do(f->pg, "select pg_terminate_backend(%lld)", (long long)pid);
		}
		if (cuts == 1) {
			char waits[300];

			snprintf(waits, sizeof waits, OURS_WAITING " and pid <> %lld", (long long)pid);
			sql_wait(f->pg, 1, waits);
			sql_do(f->locker, "rollback");
			pthread_join(thread, NULL);
			if (t.rc)
				fail_msg("%s", t.err.text);
			assert_string_equal(t.err.text, "");	/* untouched on success */
		} else {
			pthread_join(thread, NULL);
			sql_do(f->locker, "rollback");
			assert_int_equal(t.rc, ERR_UNAVAILABLE);
			assert_in_range(t.took_ms, 0, 9000);
		}
		own_end(&own);
		fixture_empty(state);
	}
}

/* As after a failover without a cut: the old primary takes no writes. */
static void
a_read_only_server_is_left(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct own own;

	own_begin(f, &own, 1, 5000);
	sql_do(f->pg, "alter role gengate set default_transaction_read_only = on");
	WANT(ERR_OK, look(&own, &err));
	WANT(ERR_UNAVAILABLE, touch(&own, &err));
	SAYS("25006");
	WANT(ERR_UNAVAILABLE, touch(&own, &err));
	sql_do(f->pg, "alter role gengate reset default_transaction_read_only");
	err = (struct err)ERR_INIT;
	WANT(ERR_OK, touch(&own, &err));
	assert_string_equal(err.text, "");
	own_end(&own);
}

static void
unnamed_statements_work_too(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct own own;
	struct job job;
	struct job_move move = move_to(GEN_SETTLED);
	json_t *json;

	own_begin(f, &own, 2, 5000);
	own.settings.named_statements = false;
	db_free(&own.db);
	WANT(ERR_OK, db_new(&own.settings, &own.db, &err));
	move.status = GEN_CANCELED;
	for (int i = 0; i < 3; i++)
		WANT(ERR_OK, touch(&own, &err));
	WANT(ERR_OK, db_ready(own.db, &err));
	sql_do(f->pg, "update public.generation_live set lease_until = null");
	WANT(ERR_OK, jobs_claim(own.db, &own.job.owner, &own.job.id, 1000, &job, &err));
	WANT(ERR_OK, jobs_move(own.db, &job, &move, &err));
	WANT(ERR_OK, jobs_show(own.db, &job.owner, &job.id, &json, &err));
	assert_string_equal(json_string_value(json_object_get(json, "status")), "canceled");
	json_decref(json);
	job_clear(&job);
	own_end(&own);
}

/* A server that accepts and says nothing: the kernel does that for us. */
static int
silent_server(int *ret_port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof address;

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static void
a_silent_server_is_given_up(void **state)
{
	static const char *const modes[] = { "", "?sslmode=disable" };
	int port, fd = silent_server(&port);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(modes); i++) {
		char url[100];
		struct db_settings settings = { .url = url, .pool = 1, .timeout_ms = 400,
			.named_statements = true };
		struct err err = ERR_INIT;
		PGresult *res = NULL;
		struct db *db = NULL;
		int64_t start_us = clock_mono_us();

		snprintf(url, sizeof url, "postgresql://u:p@127.0.0.1:%d/x%s", port, modes[i]);
		WANT(ERR_OK, db_new(&settings, &db, &err));
		WANT(ERR_UNAVAILABLE, db_ready(db, &err));
		assert_in_range(elapsed_ms(start_us), 399, 400 + SLACK_MS);
		SAYS("connecting");
		start_us = clock_mono_us();
		WANT(ERR_UNAVAILABLE, db_script(&settings, "select 1", 400, &res, &err));
		assert_in_range(elapsed_ms(start_us), 399, 400 + SLACK_MS);
		db_free(&db);
	}
	close(fd);
}

/* One of several hosts is dead without a word, as a machine without power is.
 * order: 's' for the silent one, 'r' for the real one. */
static void
put_hosts(struct buf *url, const char *order, const char *folder, int silent_port)
{
	buf_puts(url, "postgresql:///gengate_test?user=gengate&host=");
	for (const char *p = order; *p; p++)
		buf_printf(url, "%s%s", p > order ? "," : "", *p == 'r' ? folder : "127.0.0.1");
	buf_puts(url, "&port=");
	for (const char *p = order; *p; p++)
		buf_printf(url, "%s%d", p > order ? "," : "", *p == 'r' ? 5432 : silent_port);
	buf_puts(url, "&target_session_attrs=read-write");
}

static void
a_silent_host_leaves_time_for_the_next(void **state)
{
	static const char *const orders[] = { "sr", "rs", "ssr", "r" };
	struct fixture *f = *state;
	int port, fd = silent_server(&port);
	PGresult *where = sql(f->pg, "select setting from pg_settings where name = 'unix_socket_directories'");

	for (size_t i = 0; i < COUNT_OF(orders); i++) {
		struct buf url = BUF_INIT(4096);
		struct db_settings settings = { .pool = 1, .timeout_ms = 2400, .named_statements = true };
		struct err err = ERR_INIT;
		struct db *db = NULL;

		put_hosts(&url, orders[i], row_text(where, 0, "setting"), port);
		settings.url = buf_take(&url);
		WANT(ERR_OK, db_new(&settings, &db, &err));
		WANT(ERR_OK, db_ready(db, &err));
		assert_string_equal(err.text, "");
		db_free(&db);
		mem_free(settings.url);
	}
	PQclear(where);
	close(fd);
}

static void
a_wrong_url_is_said(void **state)
{
	static const struct { const char *name, *url; } rows[] = {
		{ "no such host", "postgresql://u@no-such-host.invalid/x" },
		{ "nobody listens", "postgresql://u@127.0.0.1:1/x" },
		{ "no such folder", "postgresql:///x?host=/nonexistent" },
		{ "no such option", "postgresql://u@127.0.0.1/x?no_such_option=1" },
		{ "no URL", "postgresql://[" },
		{ "two hosts, no port", "postgresql:///x?host=127.0.0.1,127.0.0.1&port=1," },
		{ "two hosts, three ports", "postgresql:///x?host=127.0.0.1,127.0.0.1&port=1,1,1" },
		{ "two hosts, nobody listens", "postgresql://127.0.0.1:1,127.0.0.1:1/x" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char *url = mem_strdup(rows[i].url);
		struct db_settings settings = { .url = url, .pool = 1, .timeout_ms = 5000,
			.named_statements = true };
		struct err err = ERR_INIT;
		struct db *db = NULL;

		WANT(ERR_OK, db_new(&settings, &db, &err));
		WANT(ERR_UNAVAILABLE, db_ready(db, &err));
		SAYS("connecting to the database: ");
		assert_null(strchr(err.text, '\n'));
		db_free(&db);
		mem_free(url);
	}
}

/* ---- The server itself: test_db.py has it */

static void
disconnect(struct fixture *f)
{
	PQfinish(f->pg);
	PQfinish(f->locker);
}

static void
reconnect(struct fixture *f)
{
	f->pg = connect_to(f->settings.url);
	f->locker = connect_to(f->settings.url);
}

static void
a_restart_between_two_queries_is_not_noticed(void **state)
{
	struct fixture *f = *state;
	struct toucher touchers[8];
	struct err err = ERR_INIT;
	struct own own;

	own_begin(f, &own, 8, 10000);
	for (size_t i = 0; i < COUNT_OF(touchers); i++)
		touchers[i] = (struct toucher){ .own = &own, .err = ERR_INIT };
	in_parallel(COUNT_OF(touchers), toucher_run, touchers, sizeof *touchers);
	disconnect(f);
	control("restart");
	in_parallel(COUNT_OF(touchers), toucher_run, touchers, sizeof *touchers);
	reconnect(f);
	for (size_t i = 0; i < COUNT_OF(touchers); i++) {
		if (touchers[i].rc)
			fail_msg("%s", touchers[i].err.text);
		assert_string_equal(touchers[i].err.text, "");
	}
	disconnect(f);
	control("restart hard");
	WANT(ERR_OK, touch(&own, &err));
	reconnect(f);
	own_end(&own);
}

static void
a_stopped_server_is_said_at_once_and_comes_back(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct own own;
	PGresult *res = NULL;
	int64_t start_us;

	own_begin(f, &own, 2, 20000);
	WANT(ERR_OK, touch(&own, &err));
	disconnect(f);
	control("stop");
	start_us = clock_mono_us();
	for (int i = 0; i < 5; i++)
		WANT(ERR_UNAVAILABLE, touch(&own, &err));
	WANT(ERR_UNAVAILABLE, db_ready(own.db, &err));
	WANT(ERR_UNAVAILABLE, db_script(&own.settings, "select 1", 20000, &res, &err));
	assert_in_range(elapsed_ms(start_us), 0, 2000);
	control("start");
	err = (struct err)ERR_INIT;
	WANT(ERR_OK, touch(&own, &err));
	assert_string_equal(err.text, "");
	reconnect(f);
	own_end(&own);
}

/* Fast shutdown under load: each call is answered, none hangs. */
struct worker {
	struct own *own;
	int64_t until_us, longest_ms;
	long good, unavailable, other;
};

static void
worker_run(void *element)
{
	struct worker *w = element;

	while (clock_mono_us() < w->until_us) {
		int64_t start_us = clock_mono_us();
		enum err_code rc = touch(w->own, NULL);
		int64_t took_ms = elapsed_ms(start_us);

		w->good += rc == ERR_OK;
		w->unavailable += rc == ERR_UNAVAILABLE;
		w->other += rc != ERR_OK && rc != ERR_UNAVAILABLE;
		if (took_ms > w->longest_ms)
			w->longest_ms = took_ms;
		if (rc)
			usleep(5000);
	}
}

static void *
restart_thread(void *arg)
{
	(void)arg;
	usleep(200000);
	control("restart");
	return NULL;
}

static void
a_restart_under_load_is_survived(void **state)
{
	struct fixture *f = *state;
	struct worker workers[8];
	struct err err = ERR_INIT;
	pthread_t thread;
	struct own own;
	long good = 0, unavailable = 0;

	own_begin(f, &own, 4, 3000);
	disconnect(f);
	for (size_t i = 0; i < COUNT_OF(workers); i++)
		workers[i] = (struct worker){ .own = &own, .until_us = clock_mono_us() + 2500000 };
	pthread_create(&thread, NULL, restart_thread, NULL);
	in_parallel(COUNT_OF(workers), worker_run, workers, sizeof *workers);
	pthread_join(thread, NULL);
	reconnect(f);
	for (size_t i = 0; i < COUNT_OF(workers); i++) {
		assert_int_equal(workers[i].other, 0);
		assert_in_range(workers[i].longest_ms, 0, 3000 + SLACK_MS);
		good += workers[i].good;
		unavailable += workers[i].unavailable;
	}
	printf("# a restart under load: %ld answered, %ld unavailable\n", good, unavailable);
	assert_in_range(good, 100, 100000000);
	WANT(ERR_OK, touch(&own, &err));
	own_end(&own);
}

/* As many as one line may have are busy, and more of it wait; the other has one all the same. */
static void
neither_line_has_all_connections(void **state)
{
	static const struct { const char *name; enum db_caller many, one; } rows[] = {
		{ "work has them", DB_WORK, DB_REQUEST },
		{ "requests have them", DB_REQUEST, DB_WORK },
	};
	struct fixture *f = *state;
	struct toucher touchers[6];
	pthread_t threads[COUNT_OF(touchers)];

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		enum db_caller was = db_calls_as();
		struct err err = ERR_INIT;
		struct own own;

		own_begin(f, &own, 4, 2000);
		own.settings.wait_ms = 2000;
		db_configure(own.db, &own.settings);
		db_limit_requests(own.db, 16);
		lock_rows(f);
		for (size_t n = 0; n < COUNT_OF(touchers); n++) {
			touchers[n] = (struct toucher){ .own = &own, .caller = rows[i].many, .err = ERR_INIT };
			pthread_create(&threads[n], NULL, toucher_thread, &touchers[n]);
		}
		sql_wait(f->pg, 3, OURS_WAITING);
		db_call_as(rows[i].one);
		if (look(&own, &err))
			fail_msg("%s: %s", rows[i].name, err.text);
		db_call_as(was);
		sql_do(f->locker, "rollback");
		for (size_t n = 0; n < COUNT_OF(touchers); n++) {
			pthread_join(threads[n], NULL);
			assert_int_equal(touchers[n].rc, ERR_OK);
		}
		own_end(&own);
		fixture_empty(state);
	}
}

struct looker {
	struct own *own;
	enum db_caller caller;
	int64_t until_us;
	long good;
};

static void
looker_run(void *element)
{
	struct looker *l = element;

	while (clock_mono_us() < l->until_us) {
		db_call_as(l->caller);
		l->good += look(l->own, NULL) == ERR_OK;
	}
}

/* Where both want more than there is, each has its half, however many stand in the other. */
static void
lines_take_turns(void **state)
{
	static const struct { const char *name; size_t requests; } rows[] = {
		{ "a few requests", 2 }, { "little work", 8 },
	};
	struct fixture *f = *state;
	struct looker lookers[10];

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		long good[2] = { 0 };
		struct own own;

		own_begin(f, &own, 1, 5000);
		own.settings.wait_ms = 5000;
		db_configure(own.db, &own.settings);
		for (size_t n = 0; n < COUNT_OF(lookers); n++)
			lookers[n] = (struct looker){ .own = &own, .until_us = clock_mono_us() + 500000,
				.caller = n < rows[i].requests ? DB_REQUEST : DB_WORK };
		in_parallel(COUNT_OF(lookers), looker_run, lookers, sizeof *lookers);
		for (size_t n = 0; n < COUNT_OF(lookers); n++)
			good[lookers[n].caller == DB_WORK] += lookers[n].good;
		printf("# %s: %ld requests, %ld of work\n", rows[i].name, good[0], good[1]);
		if (good[0] < 50 || good[1] < 50 || good[0] > 2 * good[1] || good[1] > 2 * good[0])
			fail_msg("%s: %ld requests, %ld of work", rows[i].name, good[0], good[1]);
		own_end(&own);
		fixture_empty(state);
	}
}

int
test_pool(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(busy_connections_are_waited_for_until_the_deadline, fixture_empty),
		cmocka_unit_test_setup(no_free_connection_is_said, fixture_empty),
		cmocka_unit_test_setup(a_statement_that_waits_too_long_is_given_up, fixture_empty),
		cmocka_unit_test_setup(a_silent_backend_is_given_up, fixture_empty),
		cmocka_unit_test_setup(a_backend_that_was_ended_is_replaced, fixture_empty),
		cmocka_unit_test_setup(a_query_that_was_cut_is_repeated_once, fixture_empty),
		cmocka_unit_test_setup(a_read_only_server_is_left, fixture_empty),
		cmocka_unit_test_setup(unnamed_statements_work_too, fixture_empty),
		cmocka_unit_test_setup(neither_line_has_all_connections, fixture_empty),
		cmocka_unit_test_setup(lines_take_turns, fixture_empty),
		cmocka_unit_test(a_silent_server_is_given_up),
		cmocka_unit_test(a_silent_host_leaves_time_for_the_next),
		cmocka_unit_test(a_wrong_url_is_said),
		cmocka_unit_test_setup(a_restart_between_two_queries_is_not_noticed, fixture_empty),
		cmocka_unit_test_setup(a_stopped_server_is_said_at_once_and_comes_back, fixture_empty),
		cmocka_unit_test_setup(a_restart_under_load_is_survived, fixture_empty),
	};

	return cmocka_run_group_tests_name("pool", tests, fixture_up, fixture_down);
}
