/* Pages of an owner's jobs, and what a job was asked to do. */
#include "config.h"

#include <time.h>

#include "tests/db/db_test.h"

static struct job
settled(struct fixture *f, const struct uuid *owner, enum gen_status status)
{
	struct job_new new = a_job(NULL);
	struct job_move end = move_to(GEN_SETTLED);
	json_t *request = json_object();
	enum create_outcome outcome;
	struct err err = ERR_INIT;
	struct uuid id;
	struct job job;

	new.owner = *owner;
	new.request = request;
	WANT(ERR_OK, jobs_create(f->db, &new, &outcome, &id, NULL, &err));
	json_decref(request);
	WANT(ERR_OK, jobs_load(f->db, owner, &id, &job, &err));
	end.status = status;
	end.error = status == GEN_FAILED ? ERR_TIMEOUT : ERR_OK;
	WANT(ERR_OK, jobs_move(f->db, &job, &end, &err));
	return job;
}

/* The ids of a page; how many there are. */
static size_t
page(struct fixture *f, const struct uuid *owner, unsigned statuses, const struct uuid *before,
	size_t max, struct uuid *ret)
{
	struct err err = ERR_INIT;
	json_t *list = NULL, *job;
	size_t i, n;

	WANT(ERR_OK, jobs_list(f->db, owner, statuses, before, max, &list, &err));
	n = json_array_size(list);
	json_array_foreach(list, i, job) {
		const char *id = json_string_value(json_object_get(job, "id"));

		assert_int_equal(uuid_parse(id, strlen(id), &ret[i]), ERR_OK);
	}
	json_decref(list);
	return n;
}

static void
newest_first(void **state)
{
	static const enum gen_status statuses[] = { GEN_SUCCEEDED, GEN_FAILED, GEN_CANCELED, GEN_FAILED, GEN_SUCCEEDED };
	struct fixture *f = *state;
	struct uuid owner = new_uuid(), other = new_uuid(), ids[COUNT_OF(statuses)], got[10];
	struct job job;

	for (size_t i = 0; i < COUNT_OF(statuses); i++) {
		job = settled(f, &owner, statuses[i]);
		ids[i] = job.id;
		job_clear(&job);
		/* Ids of one millisecond are in no order. */
		nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	}
	job = settled(f, &other, GEN_FAILED);
	assert_int_equal(page(f, &owner, 0, NULL, 10, got), 5);
	for (size_t i = 0; i < 5; i++)
		assert_true(uuid_equal(&got[i], &ids[4 - i]));
	assert_int_equal(page(f, &owner, 0, NULL, 2, got), 2);
	assert_true(uuid_equal(&got[1], &ids[3]));
	assert_int_equal(page(f, &owner, 0, &ids[3], 2, got), 2);
	assert_true(uuid_equal(&got[0], &ids[2]) && uuid_equal(&got[1], &ids[1]));
	assert_int_equal(page(f, &owner, 0, &ids[0], 2, got), 0);
	assert_int_equal(page(f, &owner, 1u << GEN_FAILED, NULL, 10, got), 2);
	assert_true(uuid_equal(&got[0], &ids[3]) && uuid_equal(&got[1], &ids[1]));
	assert_int_equal(page(f, &owner, 1u << GEN_FAILED | 1u << GEN_CANCELED, &ids[3], 10, got), 2);
	assert_int_equal(page(f, &owner, 1u << GEN_STARTING, NULL, 10, got), 0);
	assert_int_equal(page(f, &other, 0, NULL, 10, got), 1);
	assert_true(uuid_equal(&got[0], &job.id));
	job_clear(&job);
}

static void
each_is_as_it_is_shown(void **state)
{
	struct fixture *f = *state;
	struct uuid owner = new_uuid();
	struct job job = settled(f, &owner, GEN_FAILED);
	struct err err = ERR_INIT;
	json_t *list = NULL, *shown = NULL;

	WANT(ERR_OK, jobs_list(f->db, &owner, 0, NULL, 10, &list, &err));
	WANT(ERR_OK, jobs_show(f->db, &owner, &job.id, &shown, &err));
	assert_int_equal(json_array_size(list), 1);
	assert_true(json_equal(json_array_get(list, 0), shown));
	json_decref(list);
	json_decref(shown);
	job_clear(&job);
}

static void
a_request_comes_back(void **state)
{
	struct fixture *f = *state;
	struct job_new new = a_job(NULL);
	json_t *request = json_pack("{ss, si}", "prompt", "x", "seed", 7), *metadata = json_pack("[i]", 1);
	json_t *got = NULL;
	enum create_outcome outcome;
	enum gen_status status;
	struct err err = ERR_INIT;
	struct uuid id, other = new_uuid();
	char *model = NULL;

	new.owner = new_uuid();
	new.request = request;
	new.metadata = metadata;
	WANT(ERR_OK, jobs_create(f->db, &new, &outcome, &id, NULL, &err));
	WANT(ERR_NOT_FOUND, jobs_request(f->db, &other, &id, &status, &model, &got, &err));
	assert_null(model);
	WANT(ERR_OK, jobs_request(f->db, &new.owner, &id, &status, &model, &got, &err));
	assert_int_equal(status, GEN_STARTING);
	assert_string_equal(model, new.model);
	assert_true(json_equal(json_object_get(got, "metadata"), metadata));
	json_object_del(got, "metadata");
	assert_true(json_equal(got, request));
	json_decref(got);
	json_decref(request);
	json_decref(metadata);
	mem_free(model);
}

static enum err_code
list_and_drop(struct fixture *f, const struct job *job)
{
	json_t *list = NULL;
	enum err_code rc = jobs_list(f->db, &job->owner, 1u << GEN_FAILED, &job->id, 5, &list, NULL);

	json_decref(list);
	return rc;
}

static enum err_code
request_and_drop(struct fixture *f, const struct job *job)
{
	enum gen_status status;
	json_t *request = NULL;
	char *model = NULL;
	enum err_code rc = jobs_request(f->db, &job->owner, &job->id, &status, &model, &request, NULL);

	json_decref(request);
	mem_free(model);
	return rc;
}

static void
list_short_of_memory(void **state)
{
	struct fixture *f = *state;
	struct uuid owner = new_uuid();
	struct job job = settled(f, &owner, GEN_FAILED);
	enum err_code rc;

	ASSERT_SURVIVES_NOMEM(rc, rc = list_and_drop(f, &job));
	ASSERT_SURVIVES_NOMEM(rc, rc = request_and_drop(f, &job));
	job_clear(&job);
}

int
test_list(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(newest_first, fixture_empty),
		cmocka_unit_test_setup(each_is_as_it_is_shown, fixture_empty),
		cmocka_unit_test_setup(a_request_comes_back, fixture_empty),
		cmocka_unit_test_setup(list_short_of_memory, fixture_empty),
	};

	return cmocka_run_group_tests_name("list", tests, fixture_up, fixture_down);
}
