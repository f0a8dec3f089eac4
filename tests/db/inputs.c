/* Inputs that were uploaded, until they are gone. */
#include "config.h"

#include "db/inputs.h"

#include <pthread.h>

#include "db/prune.h"
#include "db/removals.h"
#include "tests/db/db_test.h"

/* The second of two inputs; the user has put the first one there. */
static void
name_wants(struct fixture *f, enum err_code want, const struct uuid *owner, const struct uuid *job,
	const char *key, bool uploaded)
{
	json_t *inputs = json_pack("[{ss, sb}, {ss, sb}]", "key", "the user's", "uploaded", 0,
		"key", key, "uploaded", (int)uploaded);
	struct err err = ERR_INIT;
	size_t index = 9;

	WANT(want, inputs_name(f->db, owner, job, inputs, &index, &err));
	assert_int_equal(index, want ? 1 : 9);
	json_decref(inputs);
}

static void
name(struct fixture *f, const struct uuid *owner, const struct uuid *job, const char *key, bool uploaded)
{
	name_wants(f, ERR_OK, owner, job, key, uploaded);
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

/* Do all removals, as a worker does.  Was that file among what went? */
static bool
goes(struct fixture *f, const char *key)
{
	struct removal removal = { .keys = NULL };
	struct err err = ERR_INIT;
	bool found = false;
	json_t *k;
	size_t i;

	while (removals_claim(f->db, 60000, &removal, &err) == ERR_OK) {
		json_array_foreach(removal.input_keys, i, k)
			found |= strcmp(json_string_value(k), key) == 0;
		WANT(ERR_OK, removals_done(f->db, &removal, &err));
		removal_clear(&removal);
	}
	return found;
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
	assert_int_equal(named(f, "both"), 1);
	assert_int_equal(to_be_removed(f, "one"), 1);
	assert_false(goes(f, "both"));
	sql_do(f->pg, "insert into public.generation_jobs (owner_id, id, status, model, provider, request, fingerprint,"
		" completed_at, deadline_at) values ('%s', '%s', 'canceled', 'm', 'p', '{}',"
		" decode(repeat('00', 32), 'hex'), now(), now())", text_of(&job.owner), text_of(&retry));
	WANT(ERR_OK, jobs_delete(f->db, &job.owner, &retry, &err));
	assert_true(goes(f, "both"));
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_inputs"), 0);
	job_clear(&job);
}

/* Nor is it given to another one while its file is still there. */
static void
what_goes_is_not_named_again(void **state)
{
	struct fixture *f = *state;
	struct job job = created_job(f);
	struct uuid next = new_uuid();
	struct err err = ERR_INIT;

	name(f, &job.owner, &job.id, "a", true);
	settle(f, &job);
	WANT(ERR_OK, jobs_delete(f->db, &job.owner, &job.id, &err));
	name_wants(f, ERR_NOT_FOUND, &job.owner, &next, "a", false);
	assert_int_equal(named(f, "a"), 0);
	assert_true(goes(f, "a"));
	name(f, &job.owner, &next, "a", false);	/* whether it is there is the storage's to say */
	assert_int_equal(named(f, "a"), 0);
	job_clear(&job);
}

/* A call in a thread of its own, which waits for the locker. */
struct late {
	struct fixture *f;
	const struct job *job;
	struct uuid next;
	bool deletes;
	pthread_t thread;
	enum err_code rc;
};

static void *
late_run(void *arg)
{
	struct late *l = arg;
	json_t *inputs = json_pack("[{ss, sb}]", "key", "a", "uploaded", 0);
	size_t index;

	l->rc = l->deletes ? jobs_delete(l->f->db, &l->job->owner, &l->job->id, NULL)
		: inputs_name(l->f->db, &l->job->owner, &l->next, inputs, &index, NULL);
	json_decref(inputs);
	return NULL;
}

static void
late_start(struct late *l)
{
	assert_int_equal(pthread_create(&l->thread, NULL, late_run, l), 0);
	sql_wait(l->f->pg, 1, "select count(*) from pg_stat_activity where datname = current_database()"
		" and wait_event_type = 'Lock'");
}

static enum err_code
late_end(struct late *l)
{
	sql_do(l->f->locker, "commit");
	assert_int_equal(pthread_join(l->thread, NULL), 0);
	return l->rc;
}

/* Whoever of the two is first: the one who names it has it, or is told that it goes. */
static void
named_while_its_last_job_goes(void **state)
{
	struct fixture *f = *state;
	struct job first = created_job(f), second = created_job(f);
	struct late deletes = { .f = f, .job = &first, .deletes = true };
	struct late names = { .f = f, .job = &second, .next = new_uuid() };
	struct uuid next = new_uuid();

	/* The delete has begun, and does not see what was named since. */
	name(f, &first.owner, &first.id, "a", true);
	settle(f, &first);
	sql_do(f->locker, "begin; select from public.generation_jobs where id = '%s' for update", text_of(&first.id));
	late_start(&deletes);
	name(f, &first.owner, &next, "a", false);
	assert_int_equal(late_end(&deletes), ERR_OK);
	assert_int_equal(named(f, "a"), 1);
	assert_false(goes(f, "a"));

	/* The delete is done but for its commit. */
	name(f, &second.owner, &second.id, "a", true);
	sql_do(f->locker, "begin; delete from public.generation_inputs where job_id = '%s'", text_of(&second.id));
	late_start(&names);
	assert_int_equal(late_end(&names), ERR_NOT_FOUND);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_inputs where owner_id = '%s'",
		text_of(&second.owner)), 0);
	job_clear(&first);
	job_clear(&second);
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
		cmocka_unit_test_setup(what_goes_is_not_named_again, fixture_empty),
		cmocka_unit_test_setup(named_while_its_last_job_goes, fixture_empty),
		cmocka_unit_test_setup(and_with_what_is_pruned, fixture_empty),
		cmocka_unit_test_setup(who_is_in_the_way, fixture_empty),
	};

	return cmocka_run_group_tests_name("inputs", tests, fixture_up, fixture_down);
}
