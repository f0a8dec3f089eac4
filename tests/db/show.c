/* What an owner sees, and a job's outputs. */
#include "config.h"

#include "tests/db/db_test.h"

#include "base/clock.h"

static json_t *
shown(struct fixture *f, const struct job *job)
{
	struct err err = ERR_INIT;
	json_t *json = NULL;

	WANT(ERR_OK, jobs_show(f->db, &job->owner, &job->id, &json, &err));
	return json;
}

static bool
is_null(const json_t *object, const char *member)
{
	return json_is_null(json_object_get(object, member));
}

static const char *
string(const json_t *object, const char *member)
{
	const char *s = json_string_value(json_object_get(object, member));

	return s ? s : "(no string)";
}

static int64_t
number(const json_t *object, const char *member)
{
	const json_t *n = json_object_get(object, member);

	return json_is_integer(n) ? json_integer_value(n) : -1;
}

static void
a_new_job(void **state)
{
	struct fixture *f = *state;
	struct job job = created_job(f);
	json_t *json = shown(f, &job);
	int64_t now_us = sql_int(f->pg, "select (extract(epoch from now()) * 1000000)::bigint");

	assert_int_equal(json_object_size(json), 12);
	assert_string_equal(string(json, "id"), text_of(&job.id));
	assert_string_equal(string(json, "status"), "starting");
	assert_int_equal(number(json, "version"), 1);
	assert_string_equal(string(json, "model"), "flux");
	assert_string_equal(string(json, "provider"), "replicate");
	assert_in_range(now_us - number(json, "created_us"), 0, 10000000);
	assert_true(is_null(json, "error_code"));
	assert_true(is_null(json, "metadata"));
	assert_true(is_null(json, "started_us"));
	assert_true(is_null(json, "completed_us"));
	assert_true(is_null(json, "assets"));
	json_decref(json);
	job_clear(&job);
}

static void
metadata_of_every_kind(void **state)
{
	static const char *const rows[] = {
		"{}", "{\"a\":[1,2.5,null,true,\"\\u00e9\\n\"]}", "\"text\"", "7", "[]",
		/* Larger than an integer of Jansson's, once written out. */
		"{\"a\":1e30,\"b\":-1.5e308}",
	};
	struct fixture *f = *state;
	json_t *request = json_object();

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		json_t *metadata = json_loads(rows[i], JSON_DECODE_ANY, NULL), *json;
		struct job_new new = a_job(NULL);
		enum create_outcome outcome;
		struct err err = ERR_INIT;
		struct uuid id;

		new.owner = new_uuid();
		new.request = request;
		new.metadata = metadata;
		WANT(ERR_OK, jobs_create(f->db, &new, &outcome, &id, NULL, &err));
		WANT(ERR_OK, jobs_show(f->db, &new.owner, &id, &json, &err));
		assert_true(json_equal(json_object_get(json, "metadata"), metadata));
		json_decref(json);
		json_decref(metadata);
	}
	json_decref(request);
}

/* Storing, with three outputs listed. */
static struct job
storing_job(struct fixture *f)
{
	struct job job = job_in(f, GEN_RUNNING);
	struct job_move move = move_to(GEN_STORING);
	struct err err = ERR_INIT;
	json_t *outputs = json_pack("[sss]", "https://x/0", "https://x/1", "https://x/2");

	move.outputs = outputs;
	WANT(ERR_OK, jobs_move(f->db, &job, &move, &err));
	json_decref(outputs);
	return job;
}

static struct stored_asset
stored(int index, const char *key)
{
	struct stored_asset asset = { .index = index, .key = key, .bytes = INT64_C(5000000000),
		.media = { .type = MEDIA_PNG, .width = 640, .height = 480 } };

	memset(asset.sha256, 0xa0 + index, sizeof asset.sha256);
	return asset;
}

static void
assets_come_with_the_end(void **state)
{
	struct fixture *f = *state;
	struct job job = storing_job(f);
	struct job_move end = move_to(GEN_SETTLED);
	struct stored_asset asset = stored(2, "k2");
	struct err err = ERR_INIT;
	json_t *json, *assets, *first, *last;

	WANT(ERR_OK, assets_stored(f->db, &job, &asset, &err));
	asset = stored(0, "k0");
	asset.media = (struct media){ .type = MEDIA_MP4 };
	WANT(ERR_OK, assets_stored(f->db, &job, &asset, &err));
	WANT(ERR_OK, assets_give_up(f->db, &job, 1, ERR_OUTPUT_TYPE, &err));
	json = shown(f, &job);
	assert_string_equal(string(json, "status"), "processing");
	assert_true(number(json, "started_us") >= number(json, "created_us"));
	assert_true(is_null(json, "assets"));
	json_decref(json);

	end.status = GEN_FAILED;
	end.error = ERR_OUTPUTS_LOST;
	WANT(ERR_OK, jobs_move(f->db, &job, &end, &err));
	json = shown(f, &job);
	assert_string_equal(string(json, "status"), "failed");
	assert_string_equal(string(json, "error_code"), "outputs_lost");
	assert_true(number(json, "completed_us") >= number(json, "started_us"));
	assert_int_equal(number(json, "version"), 3);
	assets = json_object_get(json, "assets");
	assert_int_equal(json_array_size(assets), 2);
	first = json_array_get(assets, 0);
	last = json_array_get(assets, 1);
	assert_int_equal(number(first, "index"), 0);
	assert_string_equal(string(first, "content_type"), "video/mp4");
	assert_true(is_null(first, "width") && is_null(first, "height"));
	assert_int_equal(json_object_size(last), 9);
	assert_true(is_null(last, "signed_url") && is_null(last, "signed_until_us"));
	assert_int_equal(number(last, "index"), 2);
	assert_string_equal(string(last, "key"), "k2");
	assert_string_equal(string(last, "content_type"), "image/png");
	assert_int_equal(number(last, "bytes"), INT64_C(5000000000));
	assert_int_equal(number(last, "width"), 640);
	assert_int_equal(number(last, "height"), 480);
	assert_string_equal(string(last, "sha256"),
		"a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2");
	json_decref(json);
	job_clear(&job);
}

/* A signed address is seen, can be replaced, and moves the record's version. */
static void
signed_addresses(void **state)
{
	struct fixture *f = *state;
	struct job job = storing_job(f);
	struct job_move end = move_to(GEN_SETTLED);
	struct stored_asset asset = stored(0, "k0");
	struct kept_asset *kept, other = { .index = 0, .key = (char[]){ "k9" } };
	const int64_t until_us = INT64_C(1800000000123456);
	struct err err = ERR_INIT;
	json_t *json, *first;
	size_t n;

	asset.signed_url = "https://a/1?token=x";
	asset.signed_until_us = until_us;
	WANT(ERR_OK, assets_stored(f->db, &job, &asset, &err));
	asset = stored(2, "k2");
	WANT(ERR_OK, assets_stored(f->db, &job, &asset, &err));
	WANT(ERR_OK, assets_give_up(f->db, &job, 1, ERR_OUTPUT_TYPE, &err));
	end.status = GEN_FAILED;
	end.error = ERR_OUTPUTS_LOST;
	WANT(ERR_OK, jobs_move(f->db, &job, &end, &err));

	WANT(ERR_OK, assets_kept(f->db, &job.owner, &job.id, &kept, &n, &err));
	assert_int_equal(n, 2);
	assert_int_equal(kept[0].signed_until_us, until_us);
	assert_int_equal(kept[1].index, 2);
	assert_string_equal(kept[1].key, "k2");
	assert_int_equal(kept[1].signed_until_us, 0);
	WANT(ERR_OK, assets_signed(f->db, &job.owner, &job.id, &kept[0], "https://a/2", until_us + 1, &err));
	kept_assets_free(&kept, n);
	json = shown(f, &job);
	assert_int_equal(number(json, "version"), 4);
	first = json_array_get(json_object_get(json, "assets"), 0);
	assert_string_equal(string(first, "signed_url"), "https://a/2");
	assert_int_equal(number(first, "signed_until_us"), until_us + 1);
	json_decref(json);

	/* Nothing that is there: nothing moves. */
	WANT(ERR_OK, assets_signed(f->db, &job.owner, &job.id, &other, "https://a/3", until_us, &err));
	json = shown(f, &job);
	assert_int_equal(number(json, "version"), 4);
	json_decref(json);
	job_clear(&job);
}

static void
settled_without_any_asset(void **state)
{
	struct fixture *f = *state;
	struct job job = created_job(f);
	struct job_move end = move_to(GEN_SETTLED);
	struct err err = ERR_INIT;
	json_t *json;

	end.status = GEN_CANCELED;
	WANT(ERR_OK, jobs_move(f->db, &job, &end, &err));
	json = shown(f, &job);
	assert_string_equal(string(json, "status"), "canceled");
	assert_true(is_null(json, "started_us"));
	assert_true(is_null(json, "error_code"));
	assert_true(is_null(json, "assets"));
	json_decref(json);
	job_clear(&job);
}

static size_t
open_assets(struct fixture *f, const struct job *job, int *ret_first)
{
	struct err err = ERR_INIT;
	struct asset *assets = NULL;
	size_t n;

	WANT(ERR_OK, assets_open(f->db, job, &assets, &n, &err));
	*ret_first = n ? assets[0].index : -1;
	assets_free(&assets, n);
	return n;
}

static void
outputs_are_kept_or_given_up(void **state)
{
	struct fixture *f = *state;
	struct job job = storing_job(f), other = storing_job(f), foreign = { .id = job.id };
	struct stored_asset asset = stored(0, "k0"), again = stored(0, "other key");
	struct err err = ERR_INIT;
	enum err_code why = ERR_INTERNAL;
	int first, lost = -1;

	foreign.owner = other.owner;
	assert_int_equal(open_assets(f, &job, &first), 3);
	assert_int_equal(first, 0);
	assert_int_equal(open_assets(f, &foreign, &first), 0);
	WANT(ERR_OK, assets_lost(f->db, &job, &lost, &why, &err));
	assert_int_equal(lost, 0);
	assert_int_equal(why, ERR_OK);

	WANT(ERR_OK, assets_stored(f->db, &job, &asset, &err));
	WANT(ERR_OK, assets_stored(f->db, &job, &again, &err));	/* changes nothing */
	WANT(ERR_OK, assets_give_up(f->db, &job, 0, ERR_TIMEOUT, &err));	/* nor does this */
	WANT(ERR_OK, assets_stored(f->db, &foreign, &asset, &err));
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_assets "
		"where storage_key = 'k0' and stored_at is not null and error_code is null"), 1);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_assets "
		"where storage_key is not null"), 1);
	assert_int_equal(open_assets(f, &job, &first), 2);
	assert_int_equal(first, 1);

	/* The first by its place, not by its name or its time. */
	WANT(ERR_OK, assets_give_up(f->db, &job, 2, ERR_NO_ANSWER, &err));
	WANT(ERR_OK, assets_give_up(f->db, &job, 1, ERR_OUTPUT_TYPE, &err));
	assert_int_equal(open_assets(f, &job, &first), 0);
	WANT(ERR_OK, assets_lost(f->db, &job, &lost, &why, &err));
	assert_int_equal(lost, 2);
	assert_int_equal(why, ERR_OUTPUT_TYPE);

	/* It came after all. */
	asset = stored(1, "k1");
	WANT(ERR_OK, assets_stored(f->db, &job, &asset, &err));
	WANT(ERR_OK, assets_lost(f->db, &job, &lost, &why, &err));
	assert_int_equal(lost, 1);
	assert_int_equal(why, ERR_NO_ANSWER);
	assert_int_equal(open_assets(f, &other, &first), 3);
	WANT(ERR_OK, assets_lost(f->db, &foreign, &lost, &why, &err));
	assert_int_equal(lost, 0);
	assert_string_equal(err.text, "");
	job_clear(&job);
	job_clear(&other);
}

static void
other_owners_see_nothing(void **state)
{
	struct fixture *f = *state;
	struct job job = created_job(f), got;
	struct uuid other = new_uuid();
	struct err err = ERR_INIT;
	json_t *json = NULL;

	WANT(ERR_OK, jobs_exists(f->db, &job.owner, &job.id, &err));
	assert_string_equal(err.text, "");
	WANT(ERR_NOT_FOUND, jobs_exists(f->db, &other, &job.id, &err));
	WANT(ERR_NOT_FOUND, jobs_exists(f->db, &job.owner, &other, &err));
	WANT(ERR_NOT_FOUND, jobs_load(f->db, &other, &job.id, &got, &err));
	WANT(ERR_NOT_FOUND, jobs_load(f->db, &job.owner, &other, &got, &err));
	WANT(ERR_NOT_FOUND, jobs_show(f->db, &other, &job.id, &json, &err));
	WANT(ERR_NOT_FOUND, jobs_show(f->db, &job.owner, &other, &json, &err));
	assert_null(json);
	job_clear(&job);
}

/* A job that a newer program wrote: said, not taken for something else. */
static void
unknown_words_are_refused(void **state)
{
	struct fixture *f = *state;
	struct job job = created_job(f), jobs[4];
	struct err err = ERR_INIT;
	size_t n = 7;

	sql_do(f->pg, "begin; alter table public.generation_live drop constraint generation_live_state;"
		"update public.generation_live set state = 'resting'; commit;");
	WANT(ERR_INTERNAL, jobs_load(f->db, &job.owner, &job.id, &jobs[0], &err));
	SAYS("resting");
	WANT(ERR_OK, jobs_claim_due(f->db, ALL_STATES, 4, 1000, jobs, &n, &err));
	assert_int_equal(n, 0);
	sql_do(f->pg, "begin; update public.generation_live set state = 'queued';"
		"alter table public.generation_live add constraint generation_live_state check (state in "
		"('queued', 'submitting', 'uncertain', 'running', 'storing')); commit;");
	job_clear(&job);
}

/* One row that cannot be read does not hold up the others. */
static void
a_bad_row_of_a_batch_is_left_out(void **state)
{
	struct fixture *f = *state;
	struct job jobs[4], made;
	struct err err = ERR_INIT;
	size_t n = 7;

	for (int i = 0; i < 4; i++) {
		made = created_job(f);
		job_clear(&made);
	}
	memset(jobs, 0xff, sizeof jobs);
	sql_do(f->pg, "begin; alter table public.generation_jobs drop constraint generation_jobs_status;"
		"update public.generation_jobs set status = 'resting' where id = "
		"(select job_id from public.generation_live order by due_at offset 2 limit 1); commit;");
	WANT(ERR_OK, jobs_claim_due(f->db, ALL_STATES, 4, 0, jobs, &n, &err));
	assert_string_equal(err.text, "");
	assert_int_equal(n, 3);
	while (n > 0)
		job_clear(&jobs[--n]);
	sql_do(f->pg, "begin; update public.generation_jobs set status = 'starting';"
		"alter table public.generation_jobs add constraint generation_jobs_status check (status in "
		"('starting', 'processing', 'succeeded', 'failed', 'canceled')); commit;");
}

static enum err_code
claim_and_drop(struct fixture *f)
{
	struct job jobs[4];
	size_t n = 0;
	enum err_code rc = jobs_claim_due(f->db, ALL_STATES, 4, 0, jobs, &n, NULL);

	while (n > 0)
		job_clear(&jobs[--n]);
	return rc;
}

static enum err_code
open_and_drop(struct fixture *f, const struct job *job)
{
	struct asset *assets = NULL;
	size_t n = 0;
	enum err_code rc = assets_open(f->db, job, &assets, &n, NULL);

	assets_free(&assets, n);
	return rc;
}

static enum err_code
load_and_drop(struct fixture *f, const struct job *job, bool claims)
{
	struct job got = { .request = NULL };
	enum err_code rc = claims ? jobs_claim(f->db, &job->owner, &job->id, 0, &got, NULL) :
		jobs_load(f->db, &job->owner, &job->id, &got, NULL);

	job_clear(&got);
	return rc;
}

/* Lookups of a thread among others: each gets its own job, or none. */
struct looker {
	struct db *db;
	const struct job *jobs;		/* SHOWN_JOBS of them */
	size_t first;
	int wrong;
	enum err_code rc;
	int64_t took_ms;
};

#define SHOWN_JOBS 12

static void
look(void *element)
{
	struct looker *l = element;

	for (size_t i = 0; i < 300; i++) {
		const struct job *job = &l->jobs[(l->first + i) % SHOWN_JOBS];
		/* Every third asks for a job of somebody else. */
		const struct job *of = i % 3 == 2 ? &l->jobs[(l->first + i + 1) % SHOWN_JOBS] : job;
		struct err err = ERR_INIT;
		json_t *json = NULL;
		enum err_code rc = jobs_show(l->db, &of->owner, &job->id, &json, &err);
		char id[UUID_TEXT_SIZE];

		uuid_format(&job->id, id);
		if (of != job)
			l->wrong += rc != ERR_NOT_FOUND || !strstr(err.text, id);
		else
			l->wrong += rc || err.text[0] || strcmp(string(json, "id"), id) != 0 ||
				number(json, "version") != (job->state == GEN_SETTLED ? 2 : 1);
		json_decref(json);
	}
}

static void
each_of_many_at_once_its_own(void **state)
{
	struct fixture *f = *state;
	struct job jobs[SHOWN_JOBS];
	struct looker lookers[20];

	for (size_t i = 0; i < SHOWN_JOBS; i++) {
		struct err err = ERR_INIT;
		struct job_move end = move_to(GEN_SETTLED);

		jobs[i] = created_job(f);
		end.status = GEN_CANCELED;
		if (i % 2)
			WANT(ERR_OK, jobs_move(f->db, &jobs[i], &end, &err));
	}
	for (size_t i = 0; i < COUNT_OF(lookers); i++)
		lookers[i] = (struct looker){ .db = f->db, .jobs = jobs, .first = i };
	in_parallel(COUNT_OF(lookers), look, lookers, sizeof *lookers);
	for (size_t i = 0; i < COUNT_OF(lookers); i++)
		assert_int_equal(lookers[i].wrong, 0);
	for (size_t i = 0; i < SHOWN_JOBS; i++)
		job_clear(&jobs[i]);
}

static void
look_once(void *element)
{
	struct looker *l = element;
	int64_t began_us = clock_mono_us();
	json_t *json = NULL;

	l->rc = jobs_show(l->db, &l->jobs->owner, &l->jobs->id, &json, NULL);
	l->took_ms = elapsed_ms(began_us);
	json_decref(json);
}

/* Whoever waits for another one's statement does not wait longer for that. */
static void
nobody_waits_beyond_the_own_time(void **state)
{
	struct fixture *f = *state;
	struct job job = created_job(f);
	struct db_settings settings = f->settings;
	struct err err = ERR_INIT;
	struct db *db = NULL;
	struct looker lookers[24];

	settings.timeout_ms = 500;
	WANT(ERR_OK, db_new(&settings, &db, &err));
	sql_do(f->locker, "begin");
	sql_do(f->locker, "lock table public.generation_jobs");
	for (size_t i = 0; i < COUNT_OF(lookers); i++)
		lookers[i] = (struct looker){ .db = db, .jobs = &job };
	in_parallel(COUNT_OF(lookers), look_once, lookers, sizeof *lookers);
	sql_do(f->locker, "rollback");
	for (size_t i = 0; i < COUNT_OF(lookers); i++) {
		assert_int_equal(lookers[i].rc, ERR_UNAVAILABLE);
		assert_in_range(lookers[i].took_ms, 0, 950);
	}
	look_once(&lookers[0]);
	assert_int_equal(lookers[0].rc, ERR_OK);
	db_free(&db);
	job_clear(&job);
}

static enum err_code
show_and_drop(struct fixture *f, const struct job *job)
{
	json_t *json = NULL;
	enum err_code rc = jobs_show(f->db, &job->owner, &job->id, &json, NULL);

	json_decref(json);
	return rc;
}

static void
short_of_memory(void **state)
{
	struct fixture *f = *state;
	struct job job = storing_job(f), other = job_in(f, GEN_RUNNING);
	enum err_code rc;
	struct db *db = NULL;

	ASSERT_SURVIVES_NOMEM(rc, rc = claim_and_drop(f));
	ASSERT_SURVIVES_NOMEM(rc, rc = open_and_drop(f, &job));
	ASSERT_SURVIVES_NOMEM(rc, rc = show_and_drop(f, &job));
	ASSERT_SURVIVES_NOMEM(rc, rc = load_and_drop(f, &job, false));
	ASSERT_SURVIVES_NOMEM(rc, rc = load_and_drop(f, &job, true));
	ASSERT_SURVIVES_NOMEM(rc, rc = db_new(&f->settings, &db, NULL); db_free(&db));
	job_clear(&job);
	job_clear(&other);
}

int
test_show(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_new_job, fixture_empty),
		cmocka_unit_test_setup(metadata_of_every_kind, fixture_empty),
		cmocka_unit_test_setup(assets_come_with_the_end, fixture_empty),
		cmocka_unit_test_setup(signed_addresses, fixture_empty),
		cmocka_unit_test_setup(settled_without_any_asset, fixture_empty),
		cmocka_unit_test_setup(outputs_are_kept_or_given_up, fixture_empty),
		cmocka_unit_test_setup(other_owners_see_nothing, fixture_empty),
		cmocka_unit_test_setup(unknown_words_are_refused, fixture_empty),
		cmocka_unit_test_setup(a_bad_row_of_a_batch_is_left_out, fixture_empty),
		cmocka_unit_test_setup(each_of_many_at_once_its_own, fixture_empty),
		cmocka_unit_test_setup(nobody_waits_beyond_the_own_time, fixture_empty),
		cmocka_unit_test_setup(short_of_memory, fixture_empty),
	};

	return cmocka_run_group_tests_name("show", tests, fixture_up, fixture_down);
}
