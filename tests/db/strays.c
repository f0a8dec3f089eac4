/* Strays: known once, worked by one at a time, until they are dealt with. */
#include "config.h"

#include "db/removals.h"
#include "db/strays.h"
#include "tests/db/db_test.h"

static void
add(struct fixture *f, const struct job *job, const char *prediction_id)
{
	struct err err = ERR_INIT;

	WANT(ERR_OK, strays_add(f->db, &job->owner, &job->id, prediction_id, NULL, "replicate", "webhook", &err));
	assert_string_equal(err.text, "");
}

static void
one_at_a_time_until_it_is_dealt_with(void **state)
{
	struct fixture *f = *state;
	struct job job = job_in(f, GEN_RUNNING);
	struct stray stray = { .attempts = 0 };
	struct err err = ERR_INIT;
	bool first, ended;

	WANT(ERR_NOT_FOUND, strays_claim(f->db, 60000, &stray, &err));
	add(f, &job, "p2");
	add(f, &job, "p2");
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_strays where road = 'webhook'"), 1);
	WANT(ERR_OK, strays_claim(f->db, 60000, &stray, &err));
	assert_true(uuid_equal(&stray.owner, &job.owner) && uuid_equal(&stray.job, &job.id));
	assert_string_equal(stray.prediction_id, "p2");
	assert_string_equal(stray.provider, "replicate");
	WANT(ERR_NOT_FOUND, strays_claim(f->db, 60000, &stray, &err));
	/* Told once, whoever tells. */
	WANT(ERR_OK, strays_found(f->db, &stray, &first, &err));
	assert_true(first);
	WANT(ERR_OK, strays_found(f->db, &stray, &first, &err));
	assert_false(first);
	stray.misses = 3;
	WANT(ERR_OK, strays_later(f->db, &stray, 60000, &err));
	stray_clear(&stray);
	WANT(ERR_NOT_FOUND, strays_claim(f->db, 60000, &stray, &err));
	sql_do(f->pg, "update public.generation_strays set due_at = now()");
	WANT(ERR_OK, strays_claim(f->db, 60000, &stray, &err));
	assert_int_equal(stray.attempts, 1);
	assert_int_equal(stray.misses, 3);
	WANT(ERR_OK, strays_end(f->db, &stray, "canceled", &ended, &err));
	assert_true(ended);
	WANT(ERR_OK, strays_end(f->db, &stray, "ended", &ended, &err));
	assert_false(ended);
	/* Named again, it stays dealt with. */
	add(f, &job, "p2");
	sql_do(f->pg, "update public.generation_strays set due_at = now()");
	WANT(ERR_OK, strays_later(f->db, &stray, 0, &err));
	stray_clear(&stray);
	WANT(ERR_NOT_FOUND, strays_claim(f->db, 60000, &stray, &err));
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_strays "
		"where verdict = 'canceled' and attempts = 1"), 1);
	job_clear(&job);
}

/* Its claimer died: the lease brings it back. */
static void
a_lease_that_is_over(void **state)
{
	struct fixture *f = *state;
	struct job job = job_in(f, GEN_RUNNING);
	struct stray stray;
	struct err err = ERR_INIT;

	add(f, &job, "p2");
	WANT(ERR_OK, strays_claim(f->db, 60000, &stray, &err));
	stray_clear(&stray);
	sql_do(f->pg, "update public.generation_strays set lease_until = now() - interval '1 ms'");
	WANT(ERR_OK, strays_claim(f->db, 60000, &stray, &err));
	assert_int_equal(stray.attempts, 0);
	stray_clear(&stray);
	job_clear(&job);
}

/* A deleted job's trail goes; what may still cost money stays. */
static void
open_ones_outlive_their_job(void **state)
{
	struct fixture *f = *state;
	struct job job = job_in(f, GEN_RUNNING);
	struct job_move end = move_to(GEN_SETTLED);
	struct stray stray;
	struct err err = ERR_INIT;
	bool ended;

	end.status = GEN_CANCELED;
	add(f, &job, "open");
	add(f, &job, "closed");
	sql_do(f->pg, "update public.generation_strays set ended_at = now(), verdict = 'foreign' "
		"where prediction_id = 'closed'");
	WANT(ERR_OK, jobs_move(f->db, &job, &end, &err));
	WANT(ERR_OK, jobs_delete(f->db, &job.owner, &job.id, &err));
	WANT(ERR_OK, strays_claim(f->db, 60000, &stray, &err));
	assert_string_equal(stray.prediction_id, "open");
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_strays"), 1);
	/* And go when they are dealt with: nobody asks for them any more. */
	WANT(ERR_OK, strays_end(f->db, &stray, "canceled", &ended, &err));
	assert_true(ended);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_strays"), 0);
	stray_clear(&stray);
	job_clear(&job);
}

int
test_strays(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(one_at_a_time_until_it_is_dealt_with, fixture_empty),
		cmocka_unit_test_setup(a_lease_that_is_over, fixture_empty),
		cmocka_unit_test_setup(open_ones_outlive_their_job, fixture_empty),
	};

	return cmocka_run_group_tests_name("strays", tests, fixture_up, fixture_down);
}
