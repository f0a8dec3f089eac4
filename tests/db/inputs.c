/* Inputs that were uploaded, until they are gone. */
#include "config.h"

#include "db/inputs.h"

#include "db/prune.h"
#include "db/removals.h"
#include "tests/db/db_test.h"

static void
name(struct fixture *f, const struct uuid *owner, const struct uuid *job, const char *key, bool uploaded)
{
	json_t *inputs = json_pack("[{ss, sb}]", "key", key, "uploaded", (int)uploaded);
	struct err err = ERR_INIT;

	WANT(ERR_OK, inputs_name(f->db, owner, job, inputs, &err));
	json_decref(inputs);
}

static int64_t
named(struct fixture *f, const char *key)
{
	return sql_int(f->pg, "select count(*) from public.generation_inputs where key = '%s'", key);
}

static int64_t
to_be_removed(struct fixture *f, const char *key)
{
	return sql_int(f->pg, "select count(*) from public.generation_removals where input_keys @> '[\"%s\"]'", key);
}

static void
settle(struct fixture *f, struct job *job)
{
	struct job_move end = move_to(GEN_SETTLED);
	struct err err = ERR_INIT;

	end.status = GEN_CANCELED;
	WANT(ERR_OK, jobs_move(f->db, job, &end, &err));
}

static void
what_users_have_put_there_is_theirs(void **state)
{
	struct fixture *f = *state;
	struct uuid owner = new_uuid(), job = new_uuid(), next = new_uuid(), stranger = new_uuid();

	name(f, &owner, &job, "theirs", false);
	assert_int_equal(named(f, "theirs"), 0);
	name(f, &owner, &job, "uploaded", true);
	name(f, &owner, &job, "uploaded", true);
	name(f, &owner, &next, "uploaded", false);
	name(f, &stranger, &next, "uploaded", false);
	assert_int_equal(named(f, "uploaded"), 2);
}

static void
dropped_unless_the_job_is_there(void **state)
{
	struct fixture *f = *state;
	struct job job = created_job(f);
	struct uuid never = new_uuid();
	struct removal removal = { .keys = NULL };
	json_t *want = json_pack("[s]", "b");
	struct err err = ERR_INIT;
	bool dropped = true;

	name(f, &job.owner, &job.id, "a", true);
	WANT(ERR_OK, inputs_drop(f->db, &job.owner, &job.id, &dropped, &err));
	assert_false(dropped);
	assert_int_equal(named(f, "a"), 1);

	name(f, &job.owner, &never, "a", false);
	name(f, &job.owner, &never, "b", true);
	WANT(ERR_OK, inputs_drop(f->db, &job.owner, &never, &dropped, &err));
	assert_true(dropped);
	WANT(ERR_OK, inputs_drop(f->db, &job.owner, &never, &dropped, &err));
	assert_false(dropped);
	assert_int_equal(named(f, "a"), 1);	/* the other job's */
	assert_int_equal(named(f, "b"), 0);
	WANT(ERR_OK, removals_claim(f->db, 1000, &removal, &err));
	assert_true(uuid_equal(&removal.job, &never));
	assert_true(json_equal(removal.input_keys, want));
	assert_int_equal(json_array_size(removal.keys), 0);
	removal_clear(&removal);
	json_decref(want);
	job_clear(&job);
}

static void
swept_when_nobody_came_back(void **state)
{
	struct fixture *f = *state;
	struct job job = created_job(f);
	struct uuid never = new_uuid(), young = new_uuid();
	struct err err = ERR_INIT;
	int64_t dropped;
	bool more;

	name(f, &job.owner, &job.id, "made", true);
	name(f, &job.owner, &never, "a", true);
	name(f, &job.owner, &never, "b", true);
	WANT(ERR_OK, inputs_sweep(f->db, &more, &dropped, &err));
	assert_true(!more && dropped == 0);
	sql_do(f->pg, "update public.generation_inputs set due_at = now()");
	name(f, &job.owner, &young, "young", true);
	WANT(ERR_OK, inputs_sweep(f->db, &more, &dropped, &err));
	assert_true(more && dropped == 1);
	assert_int_equal(to_be_removed(f, "a") + to_be_removed(f, "b"), 2);
	assert_int_equal(named(f, "a") + named(f, "b"), 0);
	assert_int_equal(named(f, "made") + named(f, "young"), 2);
	WANT(ERR_OK, inputs_sweep(f->db, &more, &dropped, &err));
	assert_true(!more && dropped == 0);	/* the one that was made is looked at once */
	job_clear(&job);
}

static void
they_go_with_their_last_job(void **state)
{
	struct fixture *f = *state;
	struct job job = created_job(f);
	struct uuid retry = new_uuid();
	struct err err = ERR_INIT;

	name(f, &job.owner, &job.id, "both", true);
	name(f, &job.owner, &job.id, "one", true);
	name(f, &job.owner, &retry, "both", false);
	settle(f, &job);
	WANT(ERR_OK, jobs_delete(f->db, &job.owner, &job.id, &err));
	assert_int_equal(to_be_removed(f, "one"), 1);
	assert_int_equal(to_be_removed(f, "both"), 0);
	assert_int_equal(named(f, "both"), 1);
	sql_do(f->pg, "insert into public.generation_jobs (owner_id, id, status, model, provider, request, fingerprint,"
		" completed_at, deadline_at) values ('%s', '%s', 'canceled', 'm', 'p', '{}',"
		" decode(repeat('00', 32), 'hex'), now(), now())", text_of(&job.owner), text_of(&retry));
	WANT(ERR_OK, jobs_delete(f->db, &job.owner, &retry, &err));
	assert_int_equal(to_be_removed(f, "both"), 1);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_inputs"), 0);
	job_clear(&job);
}

/* Also where outputs stay: nobody knows of them any more. */
static void
and_with_what_is_pruned(void **state)
{
	static const struct uuid beginning;
	struct fixture *f = *state;
	struct uuid owner = new_uuid(), jobs[2];
	struct pruned pruned;
	struct err err = ERR_INIT;

	for (size_t i = 0; i < COUNT_OF(jobs); i++) {
		jobs[i] = new_uuid();
		sql_do(f->pg, "insert into public.generation_jobs (owner_id, id, status, model, provider, request,"
			" fingerprint, completed_at, deadline_at) values ('%s', '%s', 'canceled', 'm', 'p', '{}',"
			" decode(repeat('00', 32), 'hex'), now() - interval '1 h', now())", text_of(&owner), text_of(&jobs[i]));
		name(f, &owner, &jobs[i], "both", true);
	}
	/* They are old enough a millisecond later. */
	sql_wait(f->pg, 1, "select (clock_timestamp() > max(deadline_at) + interval '10 ms')::integer"
		" from public.generation_jobs");
	WANT(ERR_OK, prune_jobs(f->db, 5, &beginning, false, &pruned, &err));
	assert_int_equal(pruned.jobs, 2);
	assert_true(to_be_removed(f, "both") > 0);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_inputs"), 0);
}

static void
who_is_in_the_way(void **state)
{
	struct fixture *f = *state;
	struct job job = created_job(f);
	struct uuid other = new_uuid(), found;
	struct err err = ERR_INIT;

	WANT(ERR_NOT_FOUND, jobs_in_flight(f->db, &other, 1, &found, &err));
	WANT(ERR_NOT_FOUND, jobs_in_flight(f->db, &job.owner, 2, &found, &err));
	WANT(ERR_OK, jobs_in_flight(f->db, &job.owner, 1, &found, &err));
	assert_true(uuid_equal(&found, &job.id));
	settle(f, &job);
	WANT(ERR_NOT_FOUND, jobs_in_flight(f->db, &job.owner, 1, &found, &err));
	job_clear(&job);
}

int
test_inputs(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_users_have_put_there_is_theirs, fixture_empty),
		cmocka_unit_test_setup(dropped_unless_the_job_is_there, fixture_empty),
		cmocka_unit_test_setup(swept_when_nobody_came_back, fixture_empty),
		cmocka_unit_test_setup(they_go_with_their_last_job, fixture_empty),
		cmocka_unit_test_setup(and_with_what_is_pruned, fixture_empty),
		cmocka_unit_test_setup(who_is_in_the_way, fixture_empty),
	};

	return cmocka_run_group_tests_name("inputs", tests, fixture_up, fixture_down);
}
