/* Jobs as an operator looks at them. */
#include "config.h"

#include "db/evidence.h"

#include "tests/db/db_test.h"

static const struct uuid lowest;

static struct uuid
highest(void)
{
	struct uuid id;

	memset(&id, 0xff, sizeof id);
	return id;
}

static void
finds_by_id_alone(void **state)
{
	struct fixture *f = *state;
	struct job a = job_in(f, GEN_RUNNING), b = created_job(f);
	struct uuid last = highest(), nobody = new_uuid();
	struct job_name found[FIND_MAX];
	struct err err = ERR_INIT;
	size_t n = 9;

	WANT(ERR_OK, evidence_find(f->db, &a.id, &a.id, NULL, found, &n, &err));
	assert_int_equal(n, 1);
	assert_true(uuid_equal(&found[0].owner, &a.owner) && uuid_equal(&found[0].id, &a.id));
	WANT(ERR_OK, evidence_find(f->db, &lowest, &last, NULL, found, &n, &err));
	assert_int_equal(n, 2);
	WANT(ERR_OK, evidence_find(f->db, &lowest, &last, &b.owner, found, &n, &err));
	assert_int_equal(n, 1);
	assert_true(uuid_equal(&found[0].id, &b.id));
	WANT(ERR_OK, evidence_find(f->db, &lowest, &last, &nobody, found, &n, &err));
	assert_int_equal(n, 0);
	/* Another owner's, with the same id. */
	sql_do(f->pg, "update public.generation_jobs set id = '%s' where id = '%s'", text_of(&a.id), text_of(&b.id));
	WANT(ERR_OK, evidence_find(f->db, &a.id, &a.id, NULL, found, &n, &err));
	assert_int_equal(n, 2);
	assert_false(uuid_equal(&found[0].owner, &found[1].owner));
	job_clear(&a);
	job_clear(&b);
}

/* How many of the jobs a filter lets through. */
static size_t
survey(struct fixture *f, struct job_filter filter)
{
	struct err err = ERR_INIT;
	json_t *jobs = NULL;
	size_t n;

	filter.max = filter.max ? filter.max : 100;
	WANT(ERR_OK, evidence_survey(f->db, &filter, &jobs, &err));
	n = json_array_size(jobs);
	json_decref(jobs);
	return n;
}

static void
filters_make_a_survey_smaller(void **state)
{
	struct fixture *f = *state;
	struct job running = job_in(f, GEN_RUNNING), queued = created_job(f), ended = created_job(f);
	struct job_move end = move_to(GEN_SETTLED);
	struct err err = ERR_INIT;

	end.status = GEN_CANCELED;
	WANT(ERR_OK, jobs_move(f->db, &ended, &end, &err));
	assert_int_equal(survey(f, (struct job_filter){ .owner = NULL }), 3);
	assert_int_equal(survey(f, (struct job_filter){ .max = 2 }), 2);
	assert_int_equal(survey(f, (struct job_filter){ .owner = &queued.owner }), 1);
	assert_int_equal(survey(f, (struct job_filter){ .state = "running" }), 1);
	assert_int_equal(survey(f, (struct job_filter){ .state = "settled" }), 1);
	assert_int_equal(survey(f, (struct job_filter){ .state = "storing" }), 0);
	assert_int_equal(survey(f, (struct job_filter){ .status = "canceled" }), 1);
	assert_int_equal(survey(f, (struct job_filter){ .status = "starting", .state = "queued" }), 1);
	assert_int_equal(survey(f, (struct job_filter){ .owner = &queued.owner, .state = "running" }), 0);
	assert_int_equal(survey(f, (struct job_filter){ .has_age = true, .age_ms = 0 }), 3);
	assert_int_equal(survey(f, (struct job_filter){ .has_age = true, .age_ms = 3600000 }), 0);
	sql_do(f->pg, "update public.generation_jobs set created_at = now() - interval '61 min' where id = '%s'",
		text_of(&queued.id));
	assert_int_equal(survey(f, (struct job_filter){ .has_age = true, .age_ms = 3600000 }), 1);
	job_clear(&running);
	job_clear(&queued);
	job_clear(&ended);
}

static void
shows_all_of_one(void **state)
{
	struct fixture *f = *state;
	struct job job = job_in(f, GEN_RUNNING);
	struct job_name name = { job.owner, job.id }, other = { new_uuid(), job.id };
	json_t *doc = NULL, *live, *trail;
	struct err err = ERR_INIT;

	sql_do(f->pg, "insert into public.generation_strays (owner_id, job_id, prediction_id, provider, road)"
		" values ('%s', '%s', 'p2', 'replicate', 'webhook')", text_of(&job.owner), text_of(&job.id));
	WANT(ERR_NOT_FOUND, evidence_show(f->db, &other, &doc, &err));
	WANT(ERR_OK, evidence_show(f->db, &name, &doc, &err));
	live = json_object_get(doc, "live");
	trail = json_object_get(doc, "trail");
	assert_string_equal(json_string_value(json_object_get(live, "state")), "running");
	assert_string_equal(json_string_value(json_object_get(live, "prediction")), "p1");
	assert_int_equal(json_array_size(trail), 2);
	assert_string_equal(json_string_value(json_object_get(json_array_get(trail, 0), "event")), "created");
	assert_string_equal(json_string_value(json_object_get(json_array_get(trail, 1), "to")), "running");
	assert_int_equal(json_array_size(json_object_get(doc, "outputs")), 0);
	assert_int_equal(json_array_size(json_object_get(doc, "strays")), 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(doc, "strays"), 0),
		"prediction")), "p2");
	assert_string_equal(json_string_value(json_object_get(json_object_get(json_object_get(doc, "job"),
		"request"), "prompt")), "a \"cat\"");
	json_decref(doc);
	job_clear(&job);
}

static void
a_resumed_job_is_due(void **state)
{
	struct fixture *f = *state;
	struct job job = created_job(f), claimed;
	struct job_name name = { job.owner, job.id };
	struct job_move end = move_to(GEN_SETTLED);
	json_t *detail = json_pack("{ss}", "by", "operator");
	bool leased = true;
	struct err err = ERR_INIT;

	sql_do(f->pg, "update public.generation_live set due_at = now() + interval '1 h'");
	WANT(ERR_LOST_RACE, jobs_claim(f->db, &job.owner, &job.id, 60000, &claimed, &err));
	WANT(ERR_OK, evidence_resume(f->db, &name, "resumed", detail, &leased, &err));
	assert_false(leased);
	WANT(ERR_OK, jobs_claim(f->db, &job.owner, &job.id, 60000, &claimed, &err));
	/* Now somebody has it. */
	WANT(ERR_OK, evidence_resume(f->db, &name, "resumed", detail, &leased, &err));
	assert_true(leased);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live where lease_until > now()"
		" and leased_by is not null"), 1);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_events where event = 'resumed'"
		" and state_from = 'queued' and state_to = 'queued' and detail = '{\"by\": \"operator\"}'"), 2);
	/* What has been due for long keeps its place. */
	sql_do(f->pg, "update public.generation_live set lease_until = now() - interval '1 s', due_at = now() - interval '1 h'");
	WANT(ERR_OK, evidence_resume(f->db, &name, "resumed", detail, &leased, &err));
	assert_false(leased);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live where lease_until is null"
		" and leased_by is null and due_at < now() - interval '59 min'"), 1);
	end.status = GEN_CANCELED;
	WANT(ERR_OK, jobs_move(f->db, &claimed, &end, &err));
	WANT(ERR_NOT_FOUND, evidence_resume(f->db, &name, "resumed", detail, &leased, &err));
	json_decref(detail);
	job_clear(&claimed);
	job_clear(&job);
}

/* Does the plan for these values read a table as a whole? */
static void
plan_is_narrow(struct fixture *f, enum sql_id id, const char *types, const char *values)
{
	PGresult *res;

	sql_do(f->pg, "prepare evidence %s as %s", types, sql_text(id));
	res = sql(f->pg, "explain execute evidence %s", values);
	for (int row = 0; row < PQntuples(res); row++)
		if (strstr(PQgetvalue(res, row, 0), "Seq Scan on generation_jobs"))
			fail_msg("%s %s: %s", sql_name(id), values, PQgetvalue(res, row, 0));
	PQclear(res);
	sql_do(f->pg, "deallocate evidence");
}

static void
many_jobs_make_no_difference(void **state)
{
	struct fixture *f = *state;
	struct job job = job_in(f, GEN_RUNNING);

	sql_do(f->pg, "insert into public.generation_jobs (owner_id, id, status, model, provider, request, fingerprint,"
		" completed_at, deadline_at) select gen_random_uuid(), (lpad(to_hex(n), 12, '0') || repeat('0', 20))::uuid,"
		" 'canceled', 'm', 'p', '{}', decode(repeat('00', 32), 'hex'), now(), now() from generate_series(1, 20000) n");
	sql_do(f->pg, "analyze public.generation_jobs, public.generation_live");
	plan_is_narrow(f, SQL_job_find, "(uuid, uuid, uuid)",
		"('01a2c7b0-0000-0000-0000-000000000000', '01a2c7b0-ffff-ffff-ffff-ffffffffffff', null)");
	plan_is_narrow(f, SQL_jobs_survey, "(uuid, text, text, bigint, integer)", "(null, 'running', null, 600000, 51)");
	plan_is_narrow(f, SQL_jobs_survey, "(uuid, text, text, bigint, integer)", "(null, null, null, null, 51)");
	plan_is_narrow(f, SQL_jobs_survey, "(uuid, text, text, bigint, integer)", "(null, null, 'canceled', 600000, 51)");
	job_clear(&job);
}

int
test_evidence(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(finds_by_id_alone, fixture_empty),
		cmocka_unit_test_setup(filters_make_a_survey_smaller, fixture_empty),
		cmocka_unit_test_setup(shows_all_of_one, fixture_empty),
		cmocka_unit_test_setup(a_resumed_job_is_due, fixture_empty),
		cmocka_unit_test_setup(many_jobs_make_no_difference, fixture_empty),
	};

	return cmocka_run_group_tests_name("evidence", tests, fixture_up, fixture_down);
}
