/* Deleting jobs, and the removals that remain of them. */
#include "config.h"

#include "db/removals.h"

#include "tests/db/db_test.h"

/* Settled, with three outputs: kept, given up with a name, given up without one. */
static struct job
deletable(struct fixture *f)
{
	struct job job = job_in(f, GEN_RUNNING);
	struct job_move store = move_to(GEN_STORING), end = move_to(GEN_SETTLED);
	struct stored_asset kept = { .index = 0, .key = "k0", .bytes = 1, .media = { .type = MEDIA_PNG } };
	json_t *outputs = json_pack("[sss]", "https://x/0", "https://x/1", "https://x/2");
	struct err err = ERR_INIT;

	store.outputs = outputs;
	WANT(ERR_OK, jobs_move(f->db, &job, &store, &err));
	WANT(ERR_OK, assets_named(f->db, &job, 0, "k0", &err));
	WANT(ERR_OK, assets_stored(f->db, &job, &kept, &err));
	WANT(ERR_OK, assets_named(f->db, &job, 1, "k1", &err));
	WANT(ERR_OK, assets_give_up(f->db, &job, 1, ERR_OUTPUTS_LOST, &err));
	WANT(ERR_OK, assets_give_up(f->db, &job, 2, ERR_OUTPUTS_LOST, &err));
	end.status = GEN_FAILED;
	end.error = ERR_OUTPUTS_LOST;
	WANT(ERR_OK, jobs_move(f->db, &job, &end, &err));
	json_decref(outputs);
	return job;
}

static void
a_name_is_for_open_outputs(void **state)
{
	struct fixture *f = *state;
	struct job job = deletable(f);
	struct err err = ERR_INIT;

	WANT(ERR_LOST_RACE, assets_named(f->db, &job, 0, "other", &err));	/* kept */
	WANT(ERR_LOST_RACE, assets_named(f->db, &job, 2, "other", &err));	/* given up */
	WANT(ERR_LOST_RACE, assets_named(f->db, &job, 3, "other", &err));	/* never there */
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_assets "
		"where storage_key = 'other'"), 0);
	job_clear(&job);
}

static void
only_what_has_ended(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct uuid other = new_uuid();

	for (int s = GEN_QUEUED; s < GEN_SETTLED; s++) {
		struct job job = job_in(f, (enum gen_state)s);

		WANT(ERR_CONFLICT, jobs_delete(f->db, &job.owner, &job.id, &err));
		WANT(ERR_NOT_FOUND, jobs_delete(f->db, &other, &job.id, &err));
		WANT(ERR_NOT_FOUND, jobs_delete(f->db, &job.owner, &other, &err));
		job_clear(&job);
	}
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_jobs"), GEN_SETTLED);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_removals"), 0);
}

static void
rows_go_and_keys_stay(void **state)
{
	struct fixture *f = *state;
	struct job job = deletable(f), other = deletable(f);
	struct removal removal = { .keys = NULL };
	json_t *want = json_pack("[ss]", "k0", "k1");
	struct err err = ERR_INIT;

	WANT(ERR_NOT_FOUND, removals_claim(f->db, 1000, &removal, &err));
	err = (struct err)ERR_INIT;
	WANT(ERR_OK, jobs_delete(f->db, &job.owner, &job.id, &err));
	assert_string_equal(err.text, "");
	WANT(ERR_NOT_FOUND, jobs_delete(f->db, &job.owner, &job.id, &err));
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_jobs"), 1);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_assets"), 3);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_events where job_id = '%s'",
		text_of(&job.id)), 0);
	assert_true(sql_int(f->pg, "select count(*) from public.generation_events where job_id = '%s'",
		text_of(&other.id)) > 0);

	WANT(ERR_OK, removals_claim(f->db, 60000, &removal, &err));
	assert_true(uuid_equal(&removal.owner, &job.owner) && uuid_equal(&removal.job, &job.id));
	assert_int_equal(removal.attempts, 0);
	assert_true(json_equal(removal.keys, want));
	removal_clear(&removal);
	json_decref(want);
	job_clear(&job);
	job_clear(&other);
}

/* Its claimer may die, or fail, or be done. */
static void
a_removal_comes_back_until_it_is_done(void **state)
{
	struct fixture *f = *state;
	struct job job = deletable(f);
	struct removal removal = { .keys = NULL };
	struct err err = ERR_INIT;

	WANT(ERR_OK, jobs_delete(f->db, &job.owner, &job.id, &err));
	WANT(ERR_OK, removals_claim(f->db, 60000, &removal, &err));
	removal_clear(&removal);
	WANT(ERR_NOT_FOUND, removals_claim(f->db, 60000, &removal, &err));
	sql_do(f->pg, "update public.generation_removals set lease_until = now() - interval '1 ms'");
	WANT(ERR_OK, removals_claim(f->db, 60000, &removal, &err));
	WANT(ERR_OK, removals_later(f->db, &removal, 60000, &err));
	removal_clear(&removal);
	WANT(ERR_NOT_FOUND, removals_claim(f->db, 60000, &removal, &err));
	sql_do(f->pg, "update public.generation_removals set due_at = now()");
	WANT(ERR_OK, removals_claim(f->db, 60000, &removal, &err));
	assert_int_equal(removal.attempts, 1);
	WANT(ERR_OK, removals_done(f->db, &removal, &err));
	WANT(ERR_OK, removals_done(f->db, &removal, &err));
	removal_clear(&removal);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_removals"), 0);
	job_clear(&job);
}

static void
without_files_nothing_remains(void **state)
{
	struct fixture *f = *state;
	struct job job = created_job(f);
	struct job_move end = move_to(GEN_SETTLED);
	struct err err = ERR_INIT;

	end.status = GEN_CANCELED;
	WANT(ERR_OK, jobs_move(f->db, &job, &end, &err));
	WANT(ERR_OK, jobs_delete(f->db, &job.owner, &job.id, &err));
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_removals"), 0);
	job_clear(&job);
}

struct claimer {
	struct db *db;
	enum err_code rc;
};

static void
claim(void *element)
{
	struct claimer *c = element;
	struct removal removal = { .keys = NULL };

	c->rc = removals_claim(c->db, 60000, &removal, NULL);
	removal_clear(&removal);
}

static void
one_claims_it(void **state)
{
	struct fixture *f = *state;
	struct job job = deletable(f);
	struct claimer claimers[8];
	struct err err = ERR_INIT;
	size_t n = 0;

	WANT(ERR_OK, jobs_delete(f->db, &job.owner, &job.id, &err));
	for (size_t i = 0; i < COUNT_OF(claimers); i++)
		claimers[i] = (struct claimer){ .db = f->db };
	in_parallel(COUNT_OF(claimers), claim, claimers, sizeof *claimers);
	for (size_t i = 0; i < COUNT_OF(claimers); i++)
		n += claimers[i].rc == ERR_OK;
	assert_int_equal(n, 1);
	job_clear(&job);
}

int
test_remove(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_name_is_for_open_outputs, fixture_empty),
		cmocka_unit_test_setup(only_what_has_ended, fixture_empty),
		cmocka_unit_test_setup(rows_go_and_keys_stay, fixture_empty),
		cmocka_unit_test_setup(a_removal_comes_back_until_it_is_done, fixture_empty),
		cmocka_unit_test_setup(without_files_nothing_remains, fixture_empty),
		cmocka_unit_test_setup(one_claims_it, fixture_empty),
	};

	return cmocka_run_group_tests_name("remove", tests, fixture_up, fixture_down);
}
