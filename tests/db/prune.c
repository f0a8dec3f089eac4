/* Deleting what has been kept for long enough. */
#include "config.h"

#include "db/prune.h"

#include "base/clock.h"
#include "tests/db/db_test.h"

#define HOUR_MS INT64_C(3600000)

static const struct uuid beginning;

/* An id as it was made that long ago. */
static struct uuid
id_of_age(int64_t age_ms)
{
	struct uuid id, random = new_uuid();

	uuid7_make(clock_wall_us() / 1000 - age_ms, random.b + 6, &id);
	return id;
}

/* A job of another owner each time, with two events and an output that is kept. */
static struct uuid
settled(struct fixture *f, int64_t made_ms, int64_t ended_ms)
{
	struct uuid id = id_of_age(made_ms);

	sql_do(f->pg, "with job as (insert into public.generation_jobs (owner_id, id, status, model, provider,"
		" request, fingerprint, created_at, completed_at, deadline_at)"
		" values (gen_random_uuid(), '%s', 'succeeded', 'm', 'p', '{}', decode(repeat('00', 32), 'hex'),"
		" now() - %lld * interval '1 ms', now() - %lld * interval '1 ms', now())"
		" returning owner_id, id), trail as (insert into public.generation_events (owner_id, job_id, event)"
		" select j.owner_id, j.id, e from job j, unnest(array['created', 'stored']) e)"
		" insert into public.generation_assets (owner_id, job_id, index, source_url, storage_key, content_type,"
		" bytes, sha256, stored_at) select j.owner_id, j.id, 0, 'https://x/0', 'key of ' || j.id, 'image/png',"
		" 1, ''::bytea, now() from job j",
		text_of(&id), (long long)made_ms, (long long)ended_ms);
	return id;
}

static bool
is_there(struct fixture *f, const char *table, const char *column, const struct uuid *id)
{
	return sql_int(f->pg, "select count(*) from public.%s where %s = '%s'", table, column, text_of(id)) > 0;
}

static void
only_what_ended_long_ago(void **state)
{
	struct fixture *f = *state;
	struct uuid old = settled(f, 3 * HOUR_MS, 2 * HOUR_MS);
	struct uuid slow = settled(f, 3 * HOUR_MS, HOUR_MS / 2), young = settled(f, HOUR_MS / 2, HOUR_MS / 3);
	struct job live = job_in(f, GEN_RUNNING);
	struct pruned pruned;
	struct err err = ERR_INIT;

	/* It has been running since before. */
	sql_do(f->pg, "update public.generation_jobs set id = '00000000-0000-7000-8000-000000000001',"
		" created_at = now() - interval '5 h' where id = '%s'", text_of(&live.id));
	WANT(ERR_OK, prune_jobs(f->db, HOUR_MS, &beginning, false, &pruned, &err));
	assert_true(pruned.any && uuid_equal(&pruned.last, &old));
	assert_int_equal(pruned.jobs, 1);
	assert_int_equal(pruned.events, 2);
	assert_int_equal(pruned.files, 0);
	assert_false(is_there(f, "generation_jobs", "id", &old));
	assert_false(is_there(f, "generation_assets", "job_id", &old));
	assert_false(is_there(f, "generation_events", "job_id", &old));
	assert_true(is_there(f, "generation_events", "job_id", &slow));
	assert_true(is_there(f, "generation_assets", "job_id", &young));
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_jobs"), 3);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_removals"), 0);
	WANT(ERR_OK, prune_jobs(f->db, HOUR_MS, &beginning, false, &pruned, &err));
	assert_false(pruned.any);
	job_clear(&live);
}

static void
files_go_when_asked(void **state)
{
	struct fixture *f = *state;
	struct uuid old = settled(f, 3 * HOUR_MS, 2 * HOUR_MS);
	struct pruned pruned;
	struct err err = ERR_INIT;

	/* One that never got a name has no file. */
	sql_do(f->pg, "insert into public.generation_assets (owner_id, job_id, index, source_url, error_code)"
		" select owner_id, id, 1, 'https://x/1', 'outputs_lost' from public.generation_jobs");
	WANT(ERR_OK, prune_jobs(f->db, HOUR_MS, &beginning, true, &pruned, &err));
	assert_int_equal(pruned.jobs, 1);
	assert_int_equal(pruned.files, 1);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_removals"
		" where job_id = '%s' and keys = jsonb_build_array('key of %s')", text_of(&old), text_of(&old)), 1);
}

static void
in_batches(void **state)
{
	struct fixture *f = *state;
	struct pruned pruned;
	struct err err = ERR_INIT;
	struct uuid after;

	sql_do(f->pg, "insert into public.generation_jobs (owner_id, id, status, model, provider, request,"
		" fingerprint, completed_at, deadline_at)"
		" select gen_random_uuid(), (lpad(to_hex(1000 + n), 12, '0') || repeat('0', 20))::uuid, 'canceled',"
		" 'm', 'p', '{}', decode(repeat('00', 32), 'hex'), now() - interval '1 d', now()"
		" from generate_series(1, 501) n");
	WANT(ERR_OK, prune_jobs(f->db, HOUR_MS, &beginning, false, &pruned, &err));
	assert_int_equal(pruned.jobs, 500);
	after = pruned.last;
	WANT(ERR_OK, prune_jobs(f->db, HOUR_MS, &after, false, &pruned, &err));
	assert_true(pruned.any);
	assert_int_equal(pruned.jobs, 1);
	assert_true(memcmp(&pruned.last, &after, sizeof after) > 0);
	after = pruned.last;
	WANT(ERR_OK, prune_jobs(f->db, HOUR_MS, &after, false, &pruned, &err));
	assert_false(pruned.any);
}

static void
nobody_is_waited_for(void **state)
{
	struct fixture *f = *state;
	struct uuid held = settled(f, 3 * HOUR_MS, 2 * HOUR_MS), old = settled(f, 3 * HOUR_MS, 2 * HOUR_MS);
	int64_t start_us = clock_mono_us();
	struct pruned pruned;
	struct err err = ERR_INIT;

	sql_do(f->locker, "begin; select from public.generation_jobs where id = '%s' for update", text_of(&held));
	WANT(ERR_OK, prune_jobs(f->db, HOUR_MS, &beginning, false, &pruned, &err));
	assert_true(elapsed_ms(start_us) < 5000);	/* the statement's deadline is 20 s */
	assert_int_equal(pruned.jobs, 1);
	assert_false(is_there(f, "generation_jobs", "id", &old));
	sql_do(f->locker, "rollback");
	WANT(ERR_OK, prune_jobs(f->db, HOUR_MS, &beginning, false, &pruned, &err));
	assert_true(uuid_equal(&pruned.last, &held));
}

static void
trails_go_and_jobs_stay(void **state)
{
	struct fixture *f = *state;
	struct uuid old = settled(f, 4 * HOUR_MS, 2 * HOUR_MS), slow = settled(f, 3 * HOUR_MS, HOUR_MS / 2);
	struct pruned pruned;
	struct err err = ERR_INIT;

	WANT(ERR_OK, prune_trails(f->db, HOUR_MS, &beginning, &pruned, &err));
	assert_true(pruned.any && pruned.some_stay);
	assert_true(uuid_equal(&pruned.last, &slow));
	assert_int_equal(pruned.events, 2);
	assert_int_equal(pruned.jobs, 0);
	assert_false(is_there(f, "generation_events", "job_id", &old));
	assert_true(is_there(f, "generation_jobs", "id", &old));
	assert_true(is_there(f, "generation_assets", "job_id", &old));
	assert_true(is_there(f, "generation_events", "job_id", &slow));
	WANT(ERR_OK, prune_trails(f->db, HOUR_MS, &slow, &pruned, &err));
	assert_false(pruned.any);
	assert_false(pruned.some_stay);
}

static void
the_trail_of_a_live_job_stays(void **state)
{
	struct fixture *f = *state;
	struct job live = job_in(f, GEN_RUNNING);
	struct pruned pruned;
	struct err err = ERR_INIT;
	struct uuid old = id_of_age(HOUR_MS);
	int64_t before = sql_int(f->pg, "select count(*) from public.generation_events");

	sql_do(f->pg, "update public.generation_jobs set id = '%s'", text_of(&old));
	sql_do(f->pg, "update public.generation_events set job_id = '%s'", text_of(&old));
	WANT(ERR_OK, prune_trails(f->db, 1000, &beginning, &pruned, &err));
	assert_true(pruned.any && pruned.some_stay);
	assert_int_equal(pruned.events, 0);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_events"), before);
	assert_true(before > 0);
	job_clear(&live);
}

/* A prediction came up beside the job's own, and is yet to be dealt with. */
static void
what_may_still_cost_something_stays(void **state)
{
	struct fixture *f = *state;
	struct uuid old = settled(f, 3 * HOUR_MS, 2 * HOUR_MS);
	struct pruned pruned;
	struct err err = ERR_INIT;

	sql_do(f->pg, "insert into public.generation_strays (owner_id, job_id, prediction_id, provider)"
		" select owner_id, id, 'p2', 'p' from public.generation_jobs");
	WANT(ERR_OK, prune_jobs(f->db, HOUR_MS, &beginning, true, &pruned, &err));
	assert_false(pruned.any);
	WANT(ERR_OK, prune_trails(f->db, HOUR_MS, &beginning, &pruned, &err));
	assert_true(pruned.some_stay);
	assert_int_equal(pruned.events, 0);
	assert_true(is_there(f, "generation_events", "job_id", &old));
	sql_do(f->pg, "update public.generation_strays set ended_at = now(), verdict = 'canceled'");
	WANT(ERR_OK, prune_trails(f->db, HOUR_MS, &beginning, &pruned, &err));
	assert_int_equal(pruned.events, 2);
	WANT(ERR_OK, prune_jobs(f->db, HOUR_MS, &beginning, true, &pruned, &err));
	assert_int_equal(pruned.jobs, 1);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_strays"), 0);
}

static void
an_idempotency_key_lives_as_long_as_its_job(void **state)
{
	struct fixture *f = *state;
	struct job_new first = a_job("a key"), again = a_job("a key");
	json_t *request = json_object();
	enum create_outcome outcome;
	struct pruned pruned;
	struct uuid id;
	struct err err = ERR_INIT;

	first.request = again.request = request;
	first.owner = again.owner = new_uuid();
	first.id = id_of_age(3 * HOUR_MS);
	WANT(ERR_OK, jobs_create(f->db, &first, &outcome, &id, NULL, &err));
	sql_do(f->pg, "delete from public.generation_live");
	sql_do(f->pg, "update public.generation_jobs set status = 'canceled', completed_at = now() - interval '2 h'");
	WANT(ERR_OK, jobs_create(f->db, &again, &outcome, &id, NULL, &err));
	assert_int_equal(outcome, CREATE_REPLAYED);
	WANT(ERR_OK, prune_jobs(f->db, HOUR_MS, &beginning, false, &pruned, &err));
	WANT(ERR_OK, jobs_create(f->db, &again, &outcome, &id, NULL, &err));
	assert_int_equal(outcome, CREATE_CREATED);
	json_decref(request);
}

static void
one_process_prunes(void **state)
{
	struct fixture *f = *state;
	struct uuid trails = new_uuid(), got;
	struct err err = ERR_INIT;

	WANT(ERR_OK, prune_claim(f->db, 1, 60000, NULL, &got, &err));
	assert_true(uuid_equal(&got, &beginning));
	WANT(ERR_LOST_RACE, prune_claim(f->db, 2, 60000, &trails, &got, &err));
	WANT(ERR_OK, prune_claim(f->db, 1, 60000, &trails, &got, &err));
	assert_true(uuid_equal(&got, &trails));
	/* Given back; and whoever comes then goes on there. */
	WANT(ERR_OK, prune_claim(f->db, 1, 0, NULL, &got, &err));
	memset(&got, 0, sizeof got);
	WANT(ERR_OK, prune_claim(f->db, 2, 60000, NULL, &got, &err));
	assert_true(uuid_equal(&got, &trails));
	/* Its process died. */
	WANT(ERR_LOST_RACE, prune_claim(f->db, 1, 60000, NULL, &got, &err));
	sql_do(f->pg, "update public.generation_shared set expires_at = now() - interval '1 ms'");
	WANT(ERR_OK, prune_claim(f->db, 1, 60000, NULL, &got, &err));
}

struct claimer {
	struct db *db;
	int64_t by;
	enum err_code rc;
};

static void
claim(void *element)
{
	struct claimer *c = element;
	struct uuid got;

	c->rc = prune_claim(c->db, c->by, 60000, NULL, &got, NULL);
}

static void
one_of_eight_at_once(void **state)
{
	struct fixture *f = *state;
	struct claimer claimers[8];
	size_t n = 0;

	for (size_t i = 0; i < COUNT_OF(claimers); i++)
		claimers[i] = (struct claimer){ .db = f->db, .by = (int64_t)i + 1 };
	in_parallel(COUNT_OF(claimers), claim, claimers, sizeof *claimers);
	for (size_t i = 0; i < COUNT_OF(claimers); i++)
		n += claimers[i].rc == ERR_OK;
	assert_int_equal(n, 1);
}

/* A plan that was made without knowing the values reads a few rows, too, however
 * many there are. */
static void
no_table_is_read_as_a_whole(void **state)
{
	struct fixture *f = *state;
	static const struct { enum sql_id id; const char *types, *values; } statements[] = {
		{ SQL_prune_jobs, "(bigint, uuid, boolean)", "(1000, '00000000-0000-0000-0000-000000000000', true)" },
		{ SQL_prune_trails, "(bigint, uuid)", "(1000, '00000000-0000-0000-0000-000000000000')" },
	};

	for (int n = 0; n < 20000; n += 5000)
		sql_do(f->pg, "with job as (insert into public.generation_jobs (owner_id, id, status, model, provider,"
			" request, fingerprint, completed_at, deadline_at)"
			" select gen_random_uuid(), (lpad(to_hex(%d + n), 12, '0') || repeat('0', 20))::uuid, 'canceled',"
			" 'm', 'p', '{}', decode(repeat('00', 32), 'hex'), now() - interval '1 d', now()"
			" from generate_series(1, 5000) n returning owner_id, id), asset as ("
			"insert into public.generation_assets (owner_id, job_id, index, source_url)"
			" select owner_id, id, 0, '' from job), stray as ("
			"insert into public.generation_strays (owner_id, job_id, prediction_id, provider, ended_at, verdict)"
			" select owner_id, id, 'p', 'p', now(), 'gone' from job)"
			" insert into public.generation_events (owner_id, job_id, event) select owner_id, id, 'created' from job, generate_series(1, 3)", n);
	sql_do(f->pg, "analyze public.generation_jobs, public.generation_assets, public.generation_events,"
		" public.generation_strays");
	sql_do(f->pg, "set plan_cache_mode = force_generic_plan");
	for (size_t i = 0; i < COUNT_OF(statements); i++) {
		PGresult *res;
		bool by_age = false;

		sql_do(f->pg, "prepare pruning %s as %s", statements[i].types, sql_text(statements[i].id));
		res = sql(f->pg, "explain execute pruning %s", statements[i].values);
		for (int row = 0; row < PQntuples(res); row++) {
			const char *line = PQgetvalue(res, row, 0);

			if (strstr(line, "Seq Scan on generation_jobs") || strstr(line, "Seq Scan on generation_assets") ||
			    strstr(line, "Seq Scan on generation_events"))
				fail_msg("%s: %s", sql_name(statements[i].id), line);
			by_age = by_age || strstr(line, "Index Scan using generation_jobs_id ");
		}
		if (!by_age)
			fail_msg("%s: not by generation_jobs_id", sql_name(statements[i].id));
		PQclear(res);
		sql_do(f->pg, "deallocate pruning");
	}
	sql_do(f->pg, "reset plan_cache_mode");
}

int
test_prune(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(only_what_ended_long_ago, fixture_empty),
		cmocka_unit_test_setup(files_go_when_asked, fixture_empty),
		cmocka_unit_test_setup(in_batches, fixture_empty),
		cmocka_unit_test_setup(nobody_is_waited_for, fixture_empty),
		cmocka_unit_test_setup(trails_go_and_jobs_stay, fixture_empty),
		cmocka_unit_test_setup(the_trail_of_a_live_job_stays, fixture_empty),
		cmocka_unit_test_setup(what_may_still_cost_something_stays, fixture_empty),
		cmocka_unit_test_setup(an_idempotency_key_lives_as_long_as_its_job, fixture_empty),
		cmocka_unit_test_setup(one_process_prunes, fixture_empty),
		cmocka_unit_test_setup(one_of_eight_at_once, fixture_empty),
		cmocka_unit_test_setup(no_table_is_read_as_a_whole, fixture_empty),
	};

	return cmocka_run_group_tests_name("prune", tests, fixture_up, fixture_down);
}
