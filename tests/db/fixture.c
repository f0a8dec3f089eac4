#include "config.h"

#include "tests/db/db_test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"

char *
database_url(const char *name)
{
	struct buf url = BUF_INIT(4096);

	buf_puts(&url, getenv("GENGATE_TEST_DATABASE_URL"));
	if (name)
		buf_printf(&url, "&dbname=%s", name);
	assert_int_equal(url.err, ERR_OK);
	return buf_take(&url);
}

/* "There was no such database": that is why it says "if exists". */
static void
ignore_notice(void *arg, const char *text)
{
	(void)arg;
	(void)text;
}

PGconn *
connect_to(const char *url)
{
	PGconn *pg = PQconnectdb(url);

	if (PQstatus(pg) != CONNECTION_OK)
		fail_msg("%s", PQerrorMessage(pg));
	PQsetNoticeProcessor(pg, ignore_notice, NULL);
	return pg;
}

char *
new_database(const char *name)
{
	char *url = database_url(NULL);
	PGconn *pg = connect_to(url);

	sql_do(pg, "drop database if exists %s with (force)", name);
	sql_do(pg, "create database %s", name);
	PQfinish(pg);
	mem_free(url);
	return database_url(name);
}

void
control(const char *what)
{
	char line[100];

	printf("@%s\n", what);
	fflush(stdout);
	if (!fgets(line, sizeof line, stdin) || strcmp(line, "done\n") != 0)
		fail_msg("nobody there to %s", what);
}

static PGresult * __attribute__((format(printf, 2, 0)))
sql_va(PGconn *pg, const char *fmt, va_list ap)
{
	char *text = NULL;
	PGresult *res;

	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	res = PQexec(pg, text);
	if (PQresultStatus(res) != PGRES_TUPLES_OK && PQresultStatus(res) != PGRES_COMMAND_OK)
		fail_msg("%s: %s", text, PQerrorMessage(pg));
	free(text);
	return res;
}

PGresult *
sql(PGconn *pg, const char *fmt, ...)
{
	va_list ap;
	PGresult *res;

	va_start(ap, fmt);
	res = sql_va(pg, fmt, ap);
	va_end(ap);
	return res;
}

void
sql_do(PGconn *pg, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	PQclear(sql_va(pg, fmt, ap));
	va_end(ap);
}

int64_t
sql_int(PGconn *pg, const char *fmt, ...)
{
	va_list ap;
	PGresult *res;
	int64_t n;

	va_start(ap, fmt);
	res = sql_va(pg, fmt, ap);
	va_end(ap);
	assert_int_equal(PQntuples(res), 1);
	n = strtoll(PQgetvalue(res, 0, 0), NULL, 10);
	PQclear(res);
	return n;
}

void
sql_wait(PGconn *pg, int64_t wanted, const char *query)
{
	int64_t start_us = clock_mono_us(), got;

	while ((got = sql_int(pg, "%s", query)) != wanted) {
		if (elapsed_ms(start_us) > 5000)
			fail_msg("%s: still %lld, not %lld", query, (long long)got, (long long)wanted);
		usleep(10000);
	}
}

int
fixture_up(void **state)
{
	long before = mem_outstanding();
	struct fixture *f = mem_calloc(1, sizeof *f);
	struct err err = ERR_INIT;
	int applied;

	f->before = before;
	f->settings = (struct db_settings){ .pool = 50, .timeout_ms = 20000, .named_statements = true };
	f->settings.url = new_database("gengate_test");
	WANT(ERR_OK, db_migrate(&f->settings, &applied, &err));
	WANT(ERR_OK, db_new(&f->settings, &f->db, &err));
	f->pg = connect_to(f->settings.url);
	f->locker = connect_to(f->settings.url);
	*state = f;
	return 0;
}

int
fixture_down(void **state)
{
	struct fixture *f = *state;

	long before = f->before;

	db_free(&f->db);
	PQfinish(f->pg);
	PQfinish(f->locker);
	mem_free(f->settings.url);
	mem_free(f);
	return mem_outstanding() != before;
}

int
fixture_empty(void **state)
{
	struct fixture *f = *state;

	sql_do(f->locker, "rollback");
	sql_do(f->pg, "truncate public.generation_jobs, public.generation_live, "
		"public.generation_assets, public.generation_events, public.generation_shared, "
		"public.generation_removals, public.generation_strays, public.generation_inputs");
	return 0;
}

struct uuid
new_uuid(void)
{
	struct uuid id;

	if (uuid_new(&id, NULL))
		abort();
	return id;
}

const char *
text_of(const struct uuid *id)
{
	static _Thread_local char texts[8][UUID_TEXT_SIZE];
	static _Thread_local unsigned n;
	char *text = texts[n++ % COUNT_OF(texts)];

	uuid_format(id, text);
	return text;
}

struct job_new
a_job(const char *key)
{
	struct job_new job = {
		.slots = 1, .idempotency_key = key, .fingerprint = "fingerprint",
		.model = "flux", .provider = "replicate", .time_left_ms = 600000,
	};

	job.id = new_uuid();
	return job;
}

struct job
created_job(struct fixture *f)
{
	struct job_new new = a_job(NULL);
	json_t *request = json_pack("{ss}", "prompt", "a \"cat\"");
	enum create_outcome outcome;
	struct uuid id;
	struct job job;
	struct err err = ERR_INIT;

	new.owner = new_uuid();
	new.request = request;
	WANT(ERR_OK, jobs_create(f->db, &new, &outcome, &id, NULL, &err));
	assert_int_equal(outcome, CREATE_CREATED);
	WANT(ERR_OK, jobs_load(f->db, &new.owner, &id, &job, &err));
	json_decref(request);
	return job;
}

struct job_move
move_to(enum gen_state state)
{
	return (struct job_move){
		.state = state, .status = state < GEN_RUNNING ? GEN_STARTING : GEN_PROCESSING,
		.event = "test", .due_ms = -1, .lease_ms = -1, .deadline_ms = -1,
	};
}

struct job
job_in(struct fixture *f, enum gen_state state)
{
	struct job job = created_job(f);
	struct job_move move = move_to(state);
	struct err err = ERR_INIT;

	move.prediction_id = state >= GEN_RUNNING ? "p1" : NULL;
	if (state != GEN_QUEUED)
		WANT(ERR_OK, jobs_move(f->db, &job, &move, &err));
	return job;
}

struct thread {
	pthread_t id;
	pthread_barrier_t *start;
	void (*fn)(void *element);
	void *element;
};

static void *
thread_run(void *arg)
{
	struct thread *t = arg;

	pthread_barrier_wait(t->start);
	t->fn(t->element);
	return NULL;
}

void
in_parallel(size_t n, void (*fn)(void *element), void *elements, size_t element_bytes)
{
	struct thread *threads = mem_calloc(n, sizeof *threads);
	pthread_barrier_t start;

	pthread_barrier_init(&start, NULL, (unsigned)n);
	for (size_t i = 0; i < n; i++) {
		threads[i] = (struct thread){ .start = &start, .fn = fn,
			.element = (char *)elements + i * element_bytes };
		if (pthread_create(&threads[i].id, NULL, thread_run, &threads[i]))
			abort();
	}
	for (size_t i = 0; i < n; i++)
		pthread_join(threads[i].id, NULL);
	pthread_barrier_destroy(&start);
	mem_free(threads);
}

int64_t
elapsed_ms(int64_t since_us)
{
	return (clock_mono_us() - since_us) / 1000;
}
