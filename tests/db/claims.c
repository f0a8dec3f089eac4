/* Claims: each due row to one, the longest due first, as HOT updates. */
#include "config.h"

#include "tests/db/db_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DUE_ROWS 500

/* n jobs of as many owners, queued, due n, n-1, .. 1 seconds ago. */
static void
many_jobs(struct fixture *f, int n)
{
	sql_do(f->pg,
		"with made as (insert into public.generation_live (owner_id, slot, job_id, due_at, deadline_at)"
		"	select gen_random_uuid(), 0, gen_random_uuid(), now() - i * interval '1 s',"
		"		now() + interval '1 h'"
		"	from generate_series(1, %d) i returning *) "
		"insert into public.generation_jobs (owner_id, id, model, provider, request,"
		"	fingerprint, deadline_at)"
		"select owner_id, job_id, 'm', 'p', '{}', decode(repeat('00', 32), 'hex'), deadline_at from made", n);
}

static size_t
claim(struct fixture *f, unsigned states, size_t max, uint64_t lease_ms)
{
	struct err err = ERR_INIT;
	struct job jobs[32];
	size_t n = 99;

	WANT(ERR_OK, jobs_claim_due(f->db, states, max, lease_ms, jobs, &n, &err));
	assert_string_equal(err.text, "");
	for (size_t i = 0; i < n; i++)
		job_clear(&jobs[i]);
	return n;
}

struct claimer {
	struct db *db;
	size_t batch;
	struct uuid got[DUE_ROWS];
	size_t n;
	struct err err;
	enum err_code rc;
};

static void
claimer_run(void *element)
{
	struct claimer *c = element;
	struct job jobs[32];
	size_t n = 1;
	int empty = 0;

	/* Nothing found may only mean that the others had their hands on it. */
	while (!c->rc && empty < 3) {
		c->rc = jobs_claim_due(c->db, ALL_STATES, c->batch, 600000, jobs, &n, &c->err);
		if (c->rc)
			break;
		for (size_t i = 0; i < n; i++) {
			if (c->n < DUE_ROWS)
				c->got[c->n] = jobs[i].id;
			c->n++;
			job_clear(&jobs[i]);
		}
		empty = n ? 0 : empty + 1;
	}
}

static int
by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct uuid));
}

/* Sixteen at once, by ones, by sevens and by thirty-twos. */
static void
each_due_row_to_exactly_one(void **state)
{
	static const size_t batches[] = { 1, 7, 32 };
	struct fixture *f = *state;
	struct claimer *claimers = mem_calloc(16, sizeof *claimers);
	struct uuid all[DUE_ROWS];

	for (size_t b = 0; b < COUNT_OF(batches); b++) {
		size_t n = 0;

		fixture_empty(state);
		many_jobs(f, DUE_ROWS);
		for (size_t i = 0; i < 16; i++)
			claimers[i] = (struct claimer){ .db = f->db, .batch = batches[b], .err = ERR_INIT };
		in_parallel(16, claimer_run, claimers, sizeof *claimers);
		for (size_t i = 0; i < 16; i++) {
			if (claimers[i].rc)
				fail_msg("%s", claimers[i].err.text);
			assert_in_range(n + claimers[i].n, 0, DUE_ROWS);
			memcpy(all + n, claimers[i].got, claimers[i].n * sizeof *all);
			n += claimers[i].n;
		}
		assert_int_equal(n, DUE_ROWS);
		qsort(all, n, sizeof *all, by_bytes);
		for (size_t i = 1; i < n; i++)
			assert_false(uuid_equal(&all[i - 1], &all[i]));
		assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live "
			"where lease_until > now() and version = 1"), DUE_ROWS);
		assert_int_equal(claim(f, ALL_STATES, 32, 1000), 0);
	}
	mem_free(claimers);
}

static void
only_the_states_asked_for(void **state)
{
	struct fixture *f = *state;

	for (int s = 0; s < GEN_SETTLED; s++) {
		struct job job = job_in(f, (enum gen_state)s);

		job_clear(&job);
	}
	assert_int_equal(claim(f, 0, 32, 1), 0);
	for (int s = 0; s < GEN_SETTLED; s++) {
		assert_int_equal(claim(f, 1u << s, 32, 600000), 1);
		assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live "
			"where state = '%s' and lease_until > now()", gen_state_name((enum gen_state)s)), 1);
		assert_int_equal(claim(f, 1u << s, 32, 600000), 0);
	}
	sql_do(f->pg, "update public.generation_live set lease_until = null");
	assert_int_equal(claim(f, 1u << GEN_RUNNING | 1u << GEN_STORING, 32, 600000), 2);
	assert_int_equal(claim(f, ALL_STATES, 32, 600000), 3);
}

static void
what_is_not_due_stays(void **state)
{
	static const struct { const char *name, *due_at, *lease_until; size_t claimed; } rows[] = {
		{ "due, free", "now() - interval '1 s'", "null", 1 },
		{ "due, lease over", "now() - interval '1 s'", "now() - interval '1 ms'", 1 },
		{ "due, leased", "now() - interval '1 s'", "now() + interval '1 min'", 0 },
		{ "not due", "now() + interval '1 min'", "null", 0 },
		{ "not due, lease over", "now() + interval '1 min'", "now() - interval '1 min'", 0 },
	};
	struct fixture *f = *state;
	struct job job = created_job(f);

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		size_t n;

		sql_do(f->pg, "update public.generation_live set due_at = %s, lease_until = %s",
			rows[i].due_at, rows[i].lease_until);
		n = claim(f, ALL_STATES, 32, 60000);
		if (n != rows[i].claimed)
			fail_msg("%s: claimed %zu", rows[i].name, n);
	}
	job_clear(&job);
}

static void
a_lease_that_is_over_is_claimed_again(void **state)
{
	struct fixture *f = *state;
	struct job job = created_job(f), again;
	struct err err = ERR_INIT;

	assert_int_equal(claim(f, ALL_STATES, 1, 1000), 1);
	assert_int_equal(claim(f, ALL_STATES, 1, 1000), 0);
	WANT(ERR_LOST_RACE, jobs_claim(f->db, &job.owner, &job.id, 1000, &again, &err));
	usleep(1100000);
	err = (struct err)ERR_INIT;
	WANT(ERR_OK, jobs_claim(f->db, &job.owner, &job.id, 1000, &again, &err));
	assert_int_equal(again.version, 1);
	assert_string_equal(err.text, "");
	job_clear(&again);
	WANT(ERR_LOST_RACE, jobs_claim(f->db, &job.owner, &job.id, 1000, &again, &err));
	assert_int_equal(claim(f, ALL_STATES, 1, 1000), 0);
	usleep(1100000);
	assert_int_equal(claim(f, ALL_STATES, 1, 1000), 1);
	job_clear(&job);
}

static void
one_job_is_claimed_by_its_owner_only(void **state)
{
	struct fixture *f = *state;
	struct job job = job_in(f, GEN_RUNNING), got;
	struct uuid other = new_uuid();
	struct err err = ERR_INIT;

	WANT(ERR_LOST_RACE, jobs_claim(f->db, &other, &job.id, 1000, &got, &err));
	WANT(ERR_LOST_RACE, jobs_claim(f->db, &job.owner, &other, 1000, &got, &err));
	WANT(ERR_OK, jobs_claim(f->db, &job.owner, &job.id, 60000, &got, &err));
	got.tries = 3;
	got.misses = 2;
	WANT(ERR_OK, jobs_defer(f->db, &got, 60000, &err));
	job_clear(&got);
	/* By name it has to be due, too. */
	WANT(ERR_LOST_RACE, jobs_claim(f->db, &job.owner, &job.id, 60000, &got, &err));
	sql_do(f->pg, "update public.generation_live set due_at = now()");
	WANT(ERR_OK, jobs_claim(f->db, &job.owner, &job.id, 60000, &got, &err));
	assert_true(uuid_equal(&got.owner, &job.owner) && uuid_equal(&got.id, &job.id));
	assert_int_equal(got.state, GEN_RUNNING);
	assert_int_equal(got.status, GEN_PROCESSING);
	assert_int_equal(got.version, 2);
	assert_int_equal(got.tries, 3);
	assert_int_equal(got.misses, 2);
	assert_string_equal(got.prediction_id, "p1");
	assert_string_equal(got.provider, "replicate");
	assert_string_equal(json_string_value(json_object_get(got.request, "prompt")), "a \"cat\"");
	assert_in_range(got.time_left_ms, 500000, 600000);
	job_clear(&got);
	job_clear(&job);
}

/* Whole batches come the longest due first, and are in that order. */
static void
the_longest_due_first(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	int64_t last = DUE_ROWS + 1;

	many_jobs(f, DUE_ROWS);
	sql_do(f->pg, "analyze public.generation_live; analyze public.generation_jobs;");
	for (size_t max = 1; max <= 20; max++) {
		struct job jobs[32];
		size_t n;

		WANT(ERR_OK, jobs_claim_due(f->db, ALL_STATES, max, 60000, jobs, &n, &err));
		assert_int_equal(n, max);
		for (size_t i = 0; i < n; i++) {
			int64_t s = sql_int(f->pg, "select round(extract(epoch from deadline_at - due_at)) - 3600 "
				"from public.generation_live where job_id = '%s'", text_of(&jobs[i].id));

			assert_int_equal(s, last - 1);
			last = s;
			job_clear(&jobs[i]);
		}
	}
}

/* Of three outputs that wait to be stored, as they become due in another order. */
static void
the_first_to_expire_is_stored_first(void **state)
{
	static const char *const expires[] = { "now() + interval '50 min'", "now() + interval '9 min'",
		"now() + interval '20 min'" };
	static const size_t order[] = { 1, 2, 0 };
	struct fixture *f = *state;
	struct job made[COUNT_OF(expires)];
	struct err err = ERR_INIT;

	for (size_t i = 0; i < COUNT_OF(expires); i++) {
		made[i] = job_in(f, GEN_STORING);
		sql_do(f->pg, "update public.generation_live set expires_at = %s, due_at = now() - %zu * interval '1 s' "
			"where job_id = '%s'", expires[i], 10 - i, text_of(&made[i].id));
	}
	for (size_t i = 0; i < COUNT_OF(order); i++) {
		struct job got;
		size_t n = 0;

		WANT(ERR_OK, jobs_claim_due(f->db, 1u << GEN_STORING, 1, 60000, &got, &n, &err));
		assert_int_equal(n, 1);
		assert_true(uuid_equal(&got.id, &made[order[i]].id));
		job_clear(&got);
	}
	assert_int_equal(claim(f, 1u << GEN_STORING, 32, 60000), 0);
	for (size_t i = 0; i < COUNT_OF(expires); i++)
		job_clear(&made[i]);
}

/* Who was stopped past the end of its lease wakes up when another has the job. */
static void
a_late_claimer_takes_nothing_from_the_next(void **state)
{
	struct fixture *f = *state;
	struct job job = job_in(f, GEN_RUNNING), late, next;
	struct err err = ERR_INIT;

	WANT(ERR_OK, jobs_claim(f->db, &job.owner, &job.id, 60000, &late, &err));
	WANT(ERR_OK, jobs_renew(f->db, &job.owner, &job.id, late.leased_by, 120000, &err));
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live "
		"where lease_until > now() + interval '90 s'"), 1);
	sql_do(f->pg, "update public.generation_live set lease_until = now() - interval '1 ms'");
	WANT(ERR_OK, jobs_claim(f->db, &job.owner, &job.id, 60000, &next, &err));
	assert_true(late.leased_by != next.leased_by && late.leased_by && next.leased_by);
	assert_int_equal(late.version, next.version);
	WANT(ERR_OK, jobs_renew(f->db, &job.owner, &job.id, late.leased_by, 600000, &err));
	WANT(ERR_LOST_RACE, jobs_defer(f->db, &late, 0, &err));
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live "
		"where lease_until between now() + interval '40 s' and now() + interval '60 s'"), 1);
	err = (struct err)ERR_INIT;
	WANT(ERR_OK, jobs_defer(f->db, &next, 5000, &err));
	job_clear(&next);
	job_clear(&late);
	job_clear(&job);
}

/* Somebody marked the job while it was looked at: the lease is given back, and it
 * is due when the mark says. */
static void
a_mark_during_a_step_is_heard(void **state)
{
	struct fixture *f = *state;
	struct job job = job_in(f, GEN_UNCERTAIN), claimed;
	struct job_move mark = move_to(GEN_UNCERTAIN);
	struct err err = ERR_INIT;

	WANT(ERR_OK, jobs_claim(f->db, &job.owner, &job.id, 60000, &claimed, &err));
	mark.cancel = GEN_CANCEL_USER;
	mark.due_ms = 0;
	WANT(ERR_OK, jobs_move(f->db, &job, &mark, &err));
	claimed.tries = 7;
	WANT(ERR_OK, jobs_defer(f->db, &claimed, 50000, &err));
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live "
		"where lease_until is null and due_at <= now() and tries = 0 and cancel_reason = 'user'"), 1);
	job_clear(&claimed);
	job_clear(&job);
}

static int64_t
stat_of(struct fixture *f, const char *column)
{
	int64_t n;

	/* Statistics come in late; with a new snapshot of them each time. */
	sql_do(f->pg, "select pg_stat_force_next_flush(); select pg_stat_clear_snapshot();");
	n = sql_int(f->pg, "select %s from pg_stat_user_tables where relid = "
		"'public.generation_live'::regclass", column);
	return n;
}

static void
claims_are_hot_updates(void **state)
{
	struct fixture *f = *state;
	int64_t updates, hot;
	size_t claimed = 0, n;
	struct job job;
	struct err err = ERR_INIT;

	many_jobs(f, DUE_ROWS);
	/* The counts of a connection are sent at its end, or when asked for. */
	sql_do(f->pg, "select pg_stat_force_next_flush()");
	db_free(&f->db);
	WANT(ERR_OK, db_new(&f->settings, &f->db, &err));
	sql_wait(f->pg, 0, "select count(*) from pg_stat_activity where application_name = 'gengate' "
		"and datname = current_database()");
	sql_do(f->pg, "select pg_stat_reset_single_table_counters('public.generation_live'::regclass)");
	while ((n = claim(f, ALL_STATES, 16, 600000)) > 0)
		claimed += n;
	job = created_job(f);
	for (int i = 0; i < 100; i++) {
		struct job got;

		WANT(ERR_OK, jobs_claim(f->db, &job.owner, &job.id, 0, &got, &err));
		job_clear(&got);
		usleep(100);
		claimed++;
	}
	job_clear(&job);
	db_free(&f->db);
	WANT(ERR_OK, db_new(&f->settings, &f->db, &err));
	sql_wait(f->pg, 0, "select count(*) from pg_stat_activity where application_name = 'gengate' "
		"and datname = current_database()");
	updates = stat_of(f, "n_tup_upd");
	hot = stat_of(f, "n_tup_hot_upd");
	printf("# %zu claims: %lld updates, %lld of them HOT\n", claimed,
		(long long)updates, (long long)hot);
	assert_int_equal(updates, claimed);
	assert_in_range(hot * 100 / updates, 95, 100);
}

int
test_claims(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(each_due_row_to_exactly_one, fixture_empty),
		cmocka_unit_test_setup(only_the_states_asked_for, fixture_empty),
		cmocka_unit_test_setup(what_is_not_due_stays, fixture_empty),
		cmocka_unit_test_setup(a_lease_that_is_over_is_claimed_again, fixture_empty),
		cmocka_unit_test_setup(one_job_is_claimed_by_its_owner_only, fixture_empty),
		cmocka_unit_test_setup(the_longest_due_first, fixture_empty),
		cmocka_unit_test_setup(the_first_to_expire_is_stored_first, fixture_empty),
		cmocka_unit_test_setup(a_late_claimer_takes_nothing_from_the_next, fixture_empty),
		cmocka_unit_test_setup(a_mark_during_a_step_is_heard, fixture_empty),
		cmocka_unit_test_setup(claims_are_hot_updates, fixture_empty),
	};

	return cmocka_run_group_tests_name("claims", tests, fixture_up, fixture_down);
}
