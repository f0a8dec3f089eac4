/* The database decides: each constraint, by its name. */
#include "config.h"

#include "tests/db/db_test.h"

#define OWNER "'00000000-0000-0000-0000-000000000001'"
#define JOB "'00000000-0000-0000-0000-00000000000a'"
#define DIGEST "decode(repeat('00', 32), 'hex')"

#define JOBS "insert into public.generation_jobs " \
	"(owner_id, id, model, provider, request, fingerprint, deadline_at, "
#define JOBS_VALUES ") values (" OWNER ", gen_random_uuid(), 'm', 'p', '{}', " DIGEST ", now(), "

#define LIVE "insert into public.generation_live (owner_id, slot, job_id, deadline_at, state) values (" OWNER ", "
#define ASSETS "insert into public.generation_assets (owner_id, job_id, index, source_url"
#define EVENTS "insert into public.generation_events (owner_id, job_id, event, delivery"

static const struct { const char *constraint, *sql; } rows[] = {
	{ "generation_jobs_pkey",
	  "insert into public.generation_jobs select * from public.generation_jobs" },
	{ "generation_jobs_status", JOBS "status" JOBS_VALUES "'resting')" },
	{ "generation_jobs_completed", JOBS "status" JOBS_VALUES "'succeeded')" },
	{ "generation_jobs_completed", JOBS "completed_at" JOBS_VALUES "now())" },
	{ "generation_jobs_error", JOBS "status, completed_at" JOBS_VALUES "'failed', now())" },
	{ "generation_jobs_error", JOBS "error_code" JOBS_VALUES "'timeout')" },
	{ "generation_jobs_key_length", JOBS "idempotency_key" JOBS_VALUES "'')" },
	{ "generation_jobs_key_length", JOBS "idempotency_key" JOBS_VALUES "repeat('k', 256))" },
	{ "generation_jobs_fingerprint",
	  "update public.generation_jobs set fingerprint = decode('00', 'hex')" },
	{ "generation_jobs_idempotency", JOBS "idempotency_key" JOBS_VALUES "'k')" },
	{ "generation_live_pkey", LIVE "0, gen_random_uuid(), now(), 'queued')" },
	{ "generation_live_job", LIVE "1, " JOB ", now(), 'queued')" },
	{ "generation_live_slot", LIVE "-1, gen_random_uuid(), now(), 'queued')" },
	{ "generation_live_state", LIVE "1, gen_random_uuid(), now(), 'settled')" },
	{ "generation_live_running", LIVE "1, gen_random_uuid(), now(), 'running')" },
	{ "generation_live_running", LIVE "1, gen_random_uuid(), now(), 'storing')" },
	{ "generation_live_cancel", "update public.generation_live set cancel_reason = 'whim'" },
	{ "generation_assets_pkey", ASSETS ") values (" OWNER ", " JOB ", 0, 'u')" },
	{ "generation_assets_job", ASSETS ") values (" OWNER ", gen_random_uuid(), 1, 'u')" },
	{ "generation_assets_job", ASSETS ") values (gen_random_uuid(), " JOB ", 1, 'u')" },
	{ "generation_assets_stored", ASSETS ", stored_at) values (" OWNER ", " JOB ", 1, 'u', now())" },
	{ "generation_assets_stored", ASSETS ", stored_at, storage_key, content_type, bytes) "
	  "values (" OWNER ", " JOB ", 1, 'u', now(), 'k', 't', 1)" },
	{ "generation_assets_one_end", ASSETS ", stored_at, storage_key, content_type, bytes, sha256, error_code) "
	  "values (" OWNER ", " JOB ", 1, 'u', now(), 'k', 't', 1, '', 'timeout')" },
	{ "generation_events_pkey", "insert into public.generation_events (owner_id, job_id, id, event) "
	  "overriding system value select owner_id, job_id, id, 'e' from public.generation_events" },
	{ "generation_events_delivery", EVENTS ") values (" OWNER ", " JOB ", 'e', 'd')" },
	{ "generation_removals_pkey", "insert into public.generation_removals (owner_id, job_id, keys) "
	  "values (" OWNER ", " JOB ", '[]')" },
	{ "generation_inputs_pkey", "insert into public.generation_inputs (owner_id, job_id, key) "
	  "values (" OWNER ", " JOB ", 'k')" },
	{ "generation_strays_pkey", "insert into public.generation_strays (owner_id, job_id, prediction_id, provider) "
	  "values (" OWNER ", " JOB ", 'p', 'r')" },
	{ "generation_strays_verdict", "update public.generation_strays set ended_at = now()" },
	{ "generation_strays_verdict", "update public.generation_strays set verdict = 'own'" },
	{ "generation_strays_verdict", "update public.generation_strays set ended_at = now(), verdict = 'bored'" },
	{ "generation_shared_pkey", "insert into public.generation_shared (name, value) values ('n', '2')" },
	{ "generation_migrations_pkey",
	  "insert into public.generation_migrations select * from public.generation_migrations" },
};

static int
one_of_each(void **state)
{
	struct fixture *f = *state;

	fixture_empty(state);
	sql_do(f->pg, "insert into public.generation_jobs (owner_id, id, model, provider, request, fingerprint, "
		"deadline_at, idempotency_key) values (" OWNER ", " JOB ", 'm', 'p', '{}', " DIGEST ", now(), 'k')");
	sql_do(f->pg, LIVE "0, " JOB ", now(), 'queued')");
	sql_do(f->pg, ASSETS ") values (" OWNER ", " JOB ", 0, 'u')");
	sql_do(f->pg, EVENTS ") values (" OWNER ", " JOB ", 'e', 'd')");
	sql_do(f->pg, "insert into public.generation_shared (name, value) values ('n', '1')");
	sql_do(f->pg, "insert into public.generation_removals (owner_id, job_id, keys) values (" OWNER ", " JOB ", '[]')");
	sql_do(f->pg, "insert into public.generation_inputs (owner_id, job_id, key) values (" OWNER ", " JOB ", 'k')");
	sql_do(f->pg, "insert into public.generation_strays (owner_id, job_id, prediction_id, provider) "
		"values (" OWNER ", " JOB ", 'p', 'r')");
	return 0;
}

static void
each_says_its_name(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		PGresult *res = PQexec(f->pg, rows[i].sql);
		const char *name = PQresultErrorField(res, PG_DIAG_CONSTRAINT_NAME);

		if (PQresultStatus(res) != PGRES_FATAL_ERROR)
			fail_msg("%s was not violated by %s", rows[i].constraint, rows[i].sql);
		if (!name || strcmp(name, rows[i].constraint) != 0)
			fail_msg("not %s, but %s by %s", rows[i].constraint,
				PQresultErrorMessage(res), rows[i].sql);
		PQclear(res);
	}
}

/* A constraint that comes later has to come here too. */
static void
each_is_tested(void **state)
{
	struct fixture *f = *state;
	PGresult *res = sql(f->pg,
		"select conname as name from pg_constraint c join pg_class t on t.oid = c.conrelid "
		"where t.relname like 'generation\\_%%' and t.relnamespace = 'public'::regnamespace "
		"and contype in ('c', 'f', 'p', 'u', 'x') "
		"union select relname from pg_index i join pg_class c on c.oid = i.indexrelid "
		"where indisunique and relname like 'generation\\_%%'");

	assert_in_range(PQntuples(res), 15, 1000);
	for (int r = 0; r < PQntuples(res); r++) {
		bool found = false;

		for (size_t i = 0; i < COUNT_OF(rows); i++)
			found |= strcmp(rows[i].constraint, row_text(res, r, "name")) == 0;
		if (!found)
			fail_msg("nothing violates %s", row_text(res, r, "name"));
	}
	PQclear(res);
}

static void
a_jobs_assets_go_with_it(void **state)
{
	struct fixture *f = *state;

	sql_do(f->pg, "delete from public.generation_jobs");
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_assets"), 0);
}

/* Nobody else gets anything before a migration grants it. */
static void
strangers_are_denied(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(sql_int(f->pg, "select count(*) from pg_class "
		"where relnamespace = 'public'::regnamespace and relkind = 'r' and not relrowsecurity"), 0);
	assert_int_equal(sql_int(f->pg, "select count(*) from pg_proc p "
		"where pronamespace = 'public'::regnamespace and exists "
		"(select 1 from aclexplode(coalesce(proacl, acldefault('f', proowner))) where grantee = 0)"), 0);
}

int
test_constraints(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(each_says_its_name, one_of_each),
		cmocka_unit_test_setup(each_is_tested, one_of_each),
		cmocka_unit_test_setup(a_jobs_assets_go_with_it, one_of_each),
		cmocka_unit_test_setup(strangers_are_denied, one_of_each),
	};

	return cmocka_run_group_tests_name("constraints", tests, fixture_up, fixture_down);
}
