/* jobs_move(), jobs_defer(), jobs_note(): guarded, and all in one statement. */
#include "config.h"

#include "tests/db/db_test.h"

static void
the_record_follows_only_the_public_status(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct job job = created_job(f);
	const char *id = text_of(&job.id);
	static const struct {
		enum gen_state state;
		enum gen_status status;
		int record_version;	/* after the move */
		bool started;
	} rows[] = {
		{ GEN_SUBMITTING, GEN_STARTING, 1, false },
		{ GEN_UNCERTAIN, GEN_STARTING, 1, false },
		{ GEN_RUNNING, GEN_STARTING, 1, false },
		{ GEN_RUNNING, GEN_PROCESSING, 2, true },
		{ GEN_RUNNING, GEN_PROCESSING, 2, true },
		{ GEN_STORING, GEN_PROCESSING, 2, true },
		{ GEN_RUNNING, GEN_STARTING, 3, true },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct job_move move = move_to(rows[i].state);
		enum gen_state from = job.state;

		move.status = rows[i].status;
		move.attempts = (int32_t)i;
		move.prediction_id = "p1";
		WANT(ERR_OK, jobs_move(f->db, &job, &move, &err));
		assert_int_equal(job.version, i + 2);
		assert_int_equal(job.state, rows[i].state);
		assert_int_equal(job.status, rows[i].status);
		assert_int_equal(job.attempts, i);
		assert_int_equal(sql_int(f->pg, "select version from public.generation_jobs"),
			rows[i].record_version);
		assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_jobs j "
			"join public.generation_live l on j.owner_id = l.owner_id and j.id = l.job_id "
			"where j.id = '%s' and j.status = '%s' and l.state = '%s' and l.version = %zu "
			"and l.attempts = %zu and (j.started_at is not null) = %s", id,
			gen_status_name(rows[i].status), gen_state_name(rows[i].state), i + 2, i,
			rows[i].started ? "true" : "false"), 1);
		assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_events "
			"where event = 'test' and job_id = '%s' and state_from = '%s' and state_to = '%s' "
			"and id = (select max(id) from public.generation_events)", id,
			gen_state_name(from), gen_state_name(rows[i].state)), 1);
	}
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_events"), COUNT_OF(rows) + 1);
	job_clear(&job);
}

struct mover {
	struct db *db;
	const struct job *job;
	enum gen_state to;
	enum err_code rc;
	struct err err;
};

static void
mover_run(void *element)
{
	struct mover *m = element;
	struct job job = { .owner = m->job->owner, .id = m->job->id, .version = m->job->version };
	struct job_move move = move_to(m->to);

	move.status = m->to == GEN_SETTLED ? GEN_CANCELED : GEN_STARTING;
	m->rc = jobs_move(m->db, &job, &move, &m->err);
}

static void
one_of_thirty_two_moves_it(void **state)
{
	static const enum gen_state to[] = { GEN_SUBMITTING, GEN_UNCERTAIN, GEN_SETTLED };
	struct fixture *f = *state;
	struct mover movers[32];

	for (int round = 0; round < 60; round++) {
		struct job job = created_job(f);
		int won = 0;

		for (size_t i = 0; i < COUNT_OF(movers); i++)
			movers[i] = (struct mover){ .db = f->db, .job = &job, .err = ERR_INIT,
				/* All the same, all the end, both. */
				.to = to[round % 3 == 1 ? 2 : round % 3 == 2 ? i % 3 : 0] };
		in_parallel(COUNT_OF(movers), mover_run, movers, sizeof *movers);
		for (size_t i = 0; i < COUNT_OF(movers); i++) {
			won += movers[i].rc == ERR_OK;
			if (movers[i].rc && movers[i].rc != ERR_LOST_RACE)
				fail_msg("round %d: %s", round, movers[i].err.text);
		}
		assert_int_equal(won, 1);
		assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_events "
			"where job_id = '%s' and event = 'test'", text_of(&job.id)), 1);
		job_clear(&job);
	}
}

static void
a_settled_job_never_moves(void **state)
{
	static const struct { enum gen_status status; enum err_code error; } rows[] = {
		{ GEN_SUCCEEDED, ERR_OK }, { GEN_CANCELED, ERR_OK }, { GEN_FAILED, ERR_TIMEOUT },
	};
	struct fixture *f = *state;
	struct err err = ERR_INIT;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct job job = job_in(f, GEN_STORING);
		struct job_move end = move_to(GEN_SETTLED), later = move_to(GEN_RUNNING);
		struct job loaded;

		end.status = rows[i].status;
		end.error = rows[i].error;
		end.delivery = "d1";
		WANT(ERR_OK, jobs_move(f->db, &job, &end, &err));
		assert_int_equal(job.state, GEN_SETTLED);
		assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live"), 0);
		assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_jobs where id = '%s' "
			"and status = '%s' and completed_at is not null and version = 3 "
			"and error_code is not distinct from %s", text_of(&job.id),
			gen_status_name(rows[i].status), rows[i].error ? "'timeout'" : "null"), 1);
		assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_events "
			"where job_id = '%s' and state_from = 'storing' and state_to = 'settled' "
			"and delivery = 'd1'", text_of(&job.id)), 1);
		WANT(ERR_LOST_RACE, jobs_move(f->db, &job, &later, &err));
		WANT(ERR_LOST_RACE, jobs_move(f->db, &job, &end, &err));
		WANT(ERR_LOST_RACE, jobs_defer(f->db, &job, 0, &err));
		WANT(ERR_LOST_RACE, jobs_claim(f->db, &job.owner, &job.id, 1000, &loaded, &err));
		WANT(ERR_NOT_FOUND, jobs_load(f->db, &job.owner, &job.id, &loaded, &err));
		WANT(ERR_OK, jobs_exists(f->db, &job.owner, &job.id, &err));
		assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_events "
			"where job_id = '%s'", text_of(&job.id)), 3);
		job_clear(&job);
	}
}

static void
an_old_version_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct job job = job_in(f, GEN_RUNNING);
	struct job_move move = move_to(GEN_STORING);
	json_t *outputs = json_pack("[s]", "https://x/1");

	job.version--;
	move.prediction_id = "p2";
	move.outputs = outputs;
	WANT(ERR_LOST_RACE, jobs_move(f->db, &job, &move, &err));
	assert_int_equal(job.version, 1);
	assert_int_equal(job.state, GEN_RUNNING);
	assert_string_equal(job.prediction_id, "p1");
	move.state = GEN_SETTLED;
	move.status = GEN_SUCCEEDED;
	WANT(ERR_LOST_RACE, jobs_move(f->db, &job, &move, &err));
	WANT(ERR_LOST_RACE, jobs_defer(f->db, &job, 0, &err));
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live "
		"where prediction_id = 'p1' and version = 2"), 1);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_assets"), 0);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_events"), 2);
	json_decref(outputs);
	job_clear(&job);
}

static void
outputs_are_listed_once(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct job job = job_in(f, GEN_RUNNING);
	struct job_move move = move_to(GEN_STORING);
	json_t *first = json_pack("[sss]", "https://x/0?a=\"b\"", "https://x/1", "https://x/2");
	json_t *second = json_pack("[sss]", "https://y/0", "https://y/1", "https://y/2");
	struct asset *assets;
	size_t n;

	move.outputs = first;
	WANT(ERR_OK, jobs_move(f->db, &job, &move, &err));
	WANT(ERR_OK, assets_open(f->db, &job, &assets, &n, &err));
	assert_int_equal(n, 3);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(assets[i].index, i);
		assert_string_equal(assets[i].source_url, json_string_value(json_array_get(first, i)));
	}
	assets_free(&assets, n);
	/* The same said again by another road: what is there stays. */
	move.outputs = second;
	WANT(ERR_OK, jobs_move(f->db, &job, &move, &err));
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_assets "
		"where source_url like 'https://y/%%'"), 0);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_assets"), 3);
	json_decref(first);
	json_decref(second);
	job_clear(&job);
}

/* What came inside an answer is kept apart, until it is in the bucket or given up. */
static void
outputs_inside_an_answer(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct job job = job_in(f, GEN_RUNNING);
	struct job_move move = move_to(GEN_STORING), end = move_to(GEN_SETTLED);
	static const char *const sources[] = { "data:image/png;base64,QQ==", "https://x/1", "QUI=", "Qw==" };
	const struct stored_asset kept = { .index = 2, .key = "k", .media = { .type = MEDIA_PNG }, .bytes = 2 };
	json_t *outputs = json_pack("[ssss]", sources[0], sources[1], sources[2], sources[3]);
	struct asset *assets;
	char *text;
	size_t n;

	move.outputs = outputs;
	WANT(ERR_OK, jobs_move(f->db, &job, &move, &err));
	WANT(ERR_OK, assets_open(f->db, &job, &assets, &n, &err));
	assert_int_equal(n, 4);
	for (size_t i = 0; i < n; i++) {
		bool apart = i != 1;

		assert_true(!assets[i].source_url == apart);
		WANT(apart ? ERR_OK : ERR_NOT_FOUND, assets_inline(f->db, &job, (int)i, &text, &err));
		if (apart) {
			assert_string_equal(text, sources[i]);
			mem_free(text);
		}
	}
	assets_free(&assets, n);
	WANT(ERR_OK, assets_give_up(f->db, &job, 0, ERR_OUTPUTS_LOST, &err));
	WANT(ERR_OK, assets_stored(f->db, &job, &kept, &err));
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_assets where inline is not null"), 1);
	end.status = GEN_SUCCEEDED;
	WANT(ERR_OK, jobs_move(f->db, &job, &end, &err));
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_assets where inline is not null"), 0);
	json_decref(outputs);
	job_clear(&job);
}

/* How a prediction is reached goes with the create that knew it, and stays known. */
static void
the_handle_goes_with_its_create(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct job job = created_job(f), loaded;
	static const struct { enum gen_state state; const char *given, *want; } rows[] = {
		{ GEN_SUBMITTING, "app", "app" },
		{ GEN_SUBMITTING, NULL, "app" },	/* a mark */
		{ GEN_UNCERTAIN, NULL, "app" },
		{ GEN_QUEUED, NULL, NULL },
		{ GEN_SUBMITTING, NULL, NULL },
		{ GEN_UNCERTAIN, NULL, NULL },
		{ GEN_RUNNING, "https://x/1", "https://x/1" },
		{ GEN_RUNNING, NULL, "https://x/1" },
		{ GEN_RUNNING, "https://x/2", "https://x/2" },
		{ GEN_STORING, NULL, "https://x/2" },
		{ GEN_SETTLED, NULL, "https://x/2" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct job_move move = move_to(rows[i].state);

		if (rows[i].state == GEN_SETTLED)
			move.status = GEN_SUCCEEDED;
		move.handle = rows[i].given;
		move.prediction_id = rows[i].state == GEN_RUNNING ? "p" : NULL;
		WANT(ERR_OK, jobs_move(f->db, &job, &move, &err));
		if (rows[i].state == GEN_SETTLED)
			WANT(ERR_OK, jobs_settled(f->db, &job.owner, &job.id, &loaded, &err));
		else
			WANT(ERR_OK, jobs_load(f->db, &job.owner, &job.id, &loaded, &err));
		for (int k = 0; k < 2; k++) {
			const char *got = k ? loaded.handle : job.handle;

			if (rows[i].want)
				assert_string_equal(got, rows[i].want);
			else
				assert_null(got);
		}
		job_clear(&loaded);
	}
	job_clear(&job);
}

/* On the way to another provider what is known of the first one is forgotten. */
static void
another_provider(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct job job = created_job(f);
	struct job_move send = move_to(GEN_SUBMITTING), unknown = move_to(GEN_UNCERTAIN), back = move_to(GEN_QUEUED);
	int64_t version = sql_int(f->pg, "select version from public.generation_jobs");

	send.sent_as = "an account";
	WANT(ERR_OK, jobs_move(f->db, &job, &send, &err));
	WANT(ERR_OK, jobs_move(f->db, &job, &unknown, &err));
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live where sent_at is not null "
		"and sent_until is not null and sent_as = 'an account'"), 1);
	back.provider = "second";
	WANT(ERR_OK, jobs_move(f->db, &job, &back, &err));
	assert_string_equal(job.provider, "second");
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live where sent_at is null "
		"and sent_until is null and sent_as is null"), 1);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_jobs where provider = 'second' "
		"and version = %lld", (long long)version + 1), 1);
	job_clear(&job);
}

/* The price is that of the create; what it comes to is known with the end. */
static void
what_it_costs(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *name, *price;
		double seconds;
		size_t outputs;
		enum gen_status end;
		const char *want;
	} rows[] = {
		{ "by the image", "{\"per\":\"image\",\"amount\":0.003,\"currency\":\"USD\"}", 0, 4, GEN_SUCCEEDED,
		  "cost = 0.012 and currency = 'USD'" },
		{ "images that were lost are paid for", "{\"per\":\"image\",\"amount\":2,\"currency\":\"EUR\"}", 0, 1,
		  GEN_FAILED, "cost = 2 and currency = 'EUR'" },
		{ "none were made", "{\"per\":\"image\",\"amount\":2,\"currency\":\"EUR\"}", 1, 0, GEN_FAILED,
		  "cost is null and currency is null" },
		{ "by the second", "{\"per\":\"second\",\"amount\":0.5,\"currency\":\"USD\"}", 2.5, 1, GEN_SUCCEEDED,
		  "cost = 1.25" },
		{ "seconds that nobody told", "{\"per\":\"second\",\"amount\":0.5,\"currency\":\"USD\"}", 0, 1,
		  GEN_SUCCEEDED, "cost is null and currency is null" },
		{ "no price", NULL, 2.5, 1, GEN_SUCCEEDED, "cost is null" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct err err = ERR_INIT;
		struct job job;
		struct job_move send = move_to(GEN_SUBMITTING), store = move_to(GEN_STORING), end = move_to(GEN_SETTLED);
		json_t *price = rows[i].price ? json_loads(rows[i].price, 0, NULL) : NULL, *outputs = json_array();

		assert_int_equal(fixture_empty(state), 0);
		job = created_job(f);
		for (size_t k = 0; k < rows[i].outputs; k++)
			json_array_append_new(outputs, json_string("https://x/"));
		send.price = price;
		WANT(ERR_OK, jobs_move(f->db, &job, &send, &err));
		store.prediction_id = "p";
		store.seconds = rows[i].seconds;
		store.outputs = outputs;
		WANT(ERR_OK, jobs_move(f->db, &job, &store, &err));
		end.status = rows[i].end;
		end.error = rows[i].end == GEN_FAILED ? ERR_OUTPUTS_LOST : ERR_OK;
		WANT(ERR_OK, jobs_move(f->db, &job, &end, &err));
		ASSERT_ROW(rows[i].name, sql_int(f->pg, "select count(*) from public.generation_jobs where %s",
			rows[i].want) == 1);
		json_decref(price);
		json_decref(outputs);
		job_clear(&job);
	}
}

static void
the_prediction_is_kept_or_taken(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct job job = created_job(f), loaded;
	struct job_move move = move_to(GEN_RUNNING);

	/* Running without one cannot be. */
	WANT(ERR_INVALID, jobs_move(f->db, &job, &move, &err));
	SAYS("generation_live_running");
	assert_int_equal(job.version, 1);
	move.prediction_id = "p1";
	WANT(ERR_OK, jobs_move(f->db, &job, &move, &err));
	assert_string_equal(job.prediction_id, "p1");
	move.prediction_id = NULL;
	WANT(ERR_OK, jobs_move(f->db, &job, &move, &err));
	assert_string_equal(job.prediction_id, "p1");
	move.prediction_id = "p2";
	WANT(ERR_OK, jobs_move(f->db, &job, &move, &err));
	assert_string_equal(job.prediction_id, "p2");
	WANT(ERR_OK, jobs_load(f->db, &job.owner, &job.id, &loaded, &err));
	assert_string_equal(loaded.prediction_id, "p2");
	assert_int_equal(loaded.version, job.version);
	job_clear(&loaded);
	job_clear(&job);
}

static void
a_cancel_mark_stays(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct job job = created_job(f), loaded;
	struct job_move move = move_to(GEN_SUBMITTING);
	static const enum gen_cancel asked[] = {
		GEN_CANCEL_USER, GEN_CANCEL_NONE, GEN_CANCEL_DEADLINE, GEN_CANCEL_USER,
	};

	WANT(ERR_OK, jobs_move(f->db, &job, &move, &err));
	assert_int_equal(job.cancel, GEN_CANCEL_NONE);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live "
		"where cancel_asked_at is null and cancel_reason is null"), 1);
	for (size_t i = 0; i < COUNT_OF(asked); i++) {
		move.cancel = asked[i];
		WANT(ERR_OK, jobs_move(f->db, &job, &move, &err));
		assert_int_equal(job.cancel, GEN_CANCEL_USER);
		WANT(ERR_OK, jobs_load(f->db, &job.owner, &job.id, &loaded, &err));
		assert_int_equal(loaded.cancel, GEN_CANCEL_USER);
		job_clear(&loaded);
		if (i == 0)
			sql_do(f->pg, "create temporary table asked as "
				"select cancel_asked_at as at from public.generation_live");
	}
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live "
		"join asked on cancel_asked_at = asked.at"), 1);
	sql_do(f->pg, "drop table asked");
	job_clear(&job);

	job = created_job(f);
	move.cancel = GEN_CANCEL_DEADLINE;
	WANT(ERR_OK, jobs_move(f->db, &job, &move, &err));
	WANT(ERR_OK, jobs_load(f->db, &job.owner, &job.id, &loaded, &err));
	assert_int_equal(loaded.cancel, GEN_CANCEL_DEADLINE);
	job_clear(&loaded);
	job_clear(&job);
}

/* What a column has to be after a move that asked for ms. */
static void
expect_time(struct buf *where, const char *column, int64_t ms, bool zero_is_null)
{
	if (ms < 0)
		buf_printf(where, " and l.%s is not distinct from was.%s", column, column);
	else if (ms == 0 && zero_is_null)
		buf_printf(where, " and l.%s is null", column);
	else
		buf_printf(where, " and l.%s between now() + interval '%lld ms' - interval '10 s'"
			" and now() + interval '%lld ms'", column, (long long)ms, (long long)ms);
}

static void
times_are_set_kept_and_given_back(void **state)
{
	static const int64_t year_ms = INT64_C(86400000) * 365;
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct job job = created_job(f);
	/* Each begins with what the one before left. */
	const struct { const char *name; int64_t due_ms, lease_ms, deadline_ms; } rows[] = {
		{ "all set", 50000, 70000, 90000 },
		{ "all kept", -1, -1, -1 },
		{ "lease given back", -1, 0, -1 },
		{ "no lease, kept", -1, -1, -1 },
		{ "due now", 0, 0, -1 },
		{ "deadline now", -1, 20000, 0 },
		{ "far away", year_ms, -1, year_ms },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct job_move move = move_to(GEN_SUBMITTING);
		struct buf where = BUF_INIT(4096);
		struct job loaded;

		sql_do(f->pg, "create temporary table was as select * from public.generation_live");
		move.due_ms = rows[i].due_ms;
		move.lease_ms = rows[i].lease_ms;
		move.deadline_ms = rows[i].deadline_ms;
		WANT(ERR_OK, jobs_move(f->db, &job, &move, &err));
		expect_time(&where, "due_at", rows[i].due_ms, false);
		expect_time(&where, "lease_until", rows[i].lease_ms, true);
		expect_time(&where, "deadline_at", rows[i].deadline_ms, false);
		if (sql_int(f->pg, "select count(*) from public.generation_live l, was where true%s",
				buf_str(&where)) != 1)
			fail_msg("%s: not%s", rows[i].name, buf_str(&where));
		buf_clear(&where);
		WANT(ERR_OK, jobs_load(f->db, &job.owner, &job.id, &loaded, &err));
		assert_in_range(job.time_left_ms - loaded.time_left_ms, 0, 10000);
		job_clear(&loaded);
		sql_do(f->pg, "drop table was");
	}
	job_clear(&job);
}

static void
defer_keeps_the_state(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct job job = job_in(f, GEN_RUNNING), claimed;

	WANT(ERR_OK, jobs_claim(f->db, &job.owner, &job.id, 60000, &claimed, &err));
	assert_int_equal(claimed.version, job.version);
	claimed.tries = 4;
	claimed.misses = 2;
	WANT(ERR_OK, jobs_defer(f->db, &claimed, 30000, &err));
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live "
		"where state = 'running' and version = %d and tries = 4 and misses = 2 and lease_until is null "
		"and due_at between now() + '20 s' and now() + '30 s'", job.version), 1);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_events"), 2);
	/* Given back is given back. */
	WANT(ERR_LOST_RACE, jobs_defer(f->db, &claimed, 0, &err));
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live "
		"where tries = 4 and due_at > now()"), 1);
	job_clear(&claimed);
	job_clear(&job);
}

/* One move, as an account that it is sent as. */
static void
send(struct fixture *f, struct job *job, enum gen_state to, const char *as)
{
	struct job_move move = move_to(to);
	struct err err = ERR_INIT;

	move.sent_as = as;
	WANT(ERR_OK, jobs_move(f->db, job, &move, &err));
}

/* From the first create whose outcome is unknown to the last one's end. */
static void
when_creates_were_under_way(void **state)
{
	struct fixture *f = *state;
	struct job job = created_job(f), seen;
	struct err err = ERR_INIT;

	/* One that surely made nothing does not count. */
	send(f, &job, GEN_SUBMITTING, "a");
	sql_do(f->pg, "update public.generation_live set sent_at = now() - interval '100 s'");
	send(f, &job, GEN_QUEUED, NULL);
	send(f, &job, GEN_SUBMITTING, "b");
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live "
		"where sent_at > now() - interval '50 s' and sent_until is null and sent_as = 'b'"), 1);
	sql_do(f->pg, "update public.generation_live set sent_at = now() - interval '20 s'");
	/* A mark changes nothing of it. */
	send(f, &job, GEN_SUBMITTING, NULL);
	send(f, &job, GEN_UNCERTAIN, NULL);
	WANT(ERR_OK, jobs_load(f->db, &job.owner, &job.id, &seen, &err));
	assert_in_range(seen.sent_age_ms, 20000, 30000);
	assert_in_range(seen.unsure_age_ms, 0, 10000);
	assert_string_equal(seen.sent_as, "b");
	assert_int_equal(seen.leased_by, 0);
	job_clear(&seen);
	/* Not there, and sent again: the first may come to light yet. */
	send(f, &job, GEN_QUEUED, NULL);
	send(f, &job, GEN_SUBMITTING, "b");
	sql_do(f->pg, "update public.generation_live set sent_until = now() - interval '10 s'");
	send(f, &job, GEN_UNCERTAIN, NULL);
	WANT(ERR_OK, jobs_load(f->db, &job.owner, &job.id, &seen, &err));
	assert_in_range(seen.sent_age_ms, 20000, 30000);
	assert_in_range(seen.unsure_age_ms, 0, 9000);
	assert_string_equal(seen.sent_as, "b");
	job_clear(&seen);
	send(f, &job, GEN_QUEUED, NULL);
	send(f, &job, GEN_SUBMITTING, "c");
	WANT(ERR_OK, jobs_load(f->db, &job.owner, &job.id, &seen, &err));
	assert_string_equal(seen.sent_as, "several");
	job_clear(&seen);
	job_clear(&job);
}

static void
when_outputs_expire(void **state)
{
	struct fixture *f = *state;
	struct job job = created_job(f);
	struct job_move move = move_to(GEN_STORING);
	struct err err = ERR_INIT;

	send(f, &job, GEN_SUBMITTING, "a");
	sql_do(f->pg, "update public.generation_live set sent_at = now() - interval '100 s'");
	move.prediction_id = "p1";
	move.deadline_ms = 3600000;
	WANT(ERR_OK, jobs_move(f->db, &job, &move, &err));
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live "
		"where expires_at between now() + interval '3480 s' and now() + interval '3501 s' "
		"and deadline_at > now() + interval '3580 s'"), 1);
	job_clear(&job);
}

/* What was only hinted at is no prediction of the job's. */
static void
the_record_gets_the_prediction(void **state)
{
	static const struct { enum gen_state from; const char *hint, *told, *want; } rows[] = {
		{ GEN_STORING, NULL, NULL, "p1" }, { GEN_RUNNING, NULL, "p1", "p1" },
		{ GEN_SUBMITTING, NULL, "p2", "p2" }, { GEN_UNCERTAIN, "hint", NULL, NULL },
		{ GEN_UNCERTAIN, "hint", "p3", "p3" }, { GEN_QUEUED, NULL, NULL, NULL },
	};
	struct fixture *f = *state;
	struct err err = ERR_INIT;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct job job = job_in(f, rows[i].from), settled;
		struct job_move hint = move_to(rows[i].from), end = move_to(GEN_SETTLED);

		if (rows[i].hint) {
			hint.prediction_id = rows[i].hint;
			WANT(ERR_OK, jobs_move(f->db, &job, &hint, &err));
		}
		end.status = GEN_CANCELED;
		end.prediction_id = rows[i].told;
		WANT(ERR_OK, jobs_move(f->db, &job, &end, &err));
		WANT(ERR_OK, jobs_settled(f->db, &job.owner, &job.id, &settled, &err));
		assert_int_equal(settled.state, GEN_SETTLED);
		assert_int_equal(settled.status, GEN_CANCELED);
		assert_string_equal(settled.provider, "replicate");
		if (rows[i].want)
			assert_string_equal(settled.prediction_id, rows[i].want);
		else
			assert_null(settled.prediction_id);
		job_clear(&settled);
		job_clear(&job);
	}
}

static bool
is_alone(struct fixture *f, const struct job *job, const char *prediction_id, bool is_named)
{
	struct err err = ERR_INIT;
	bool alone = false;

	WANT(ERR_OK, jobs_alone(f->db, job, job->provider, prediction_id, is_named, &alone, &err));
	return alone;
}

/* A prediction that names nobody: is it this job's, by our own books? */
static void
whose_a_nameless_prediction_is(void **state)
{
	static const struct { const char *name, *change; bool alone, alone_if_named; } rows[] = {
		{ "another prompt", "update public.generation_jobs set request = '{\"prompt\": \"a dog\"}' where id = '%s'", true, true },
		{ "the same prompt, live", "update public.generation_jobs set request = '{\"prompt\": \"a \\\"cat\\\"\", \"seed\": 1}' where id = '%s'", false, true },
		{ "settled just now", "update public.generation_jobs set status = 'canceled', completed_at = now() where id = '%s'", false, true },
		{ "settled long before", "update public.generation_jobs set completed_at = now() - interval '1 h' where id = '%s'", true, true },
		{ "at another provider", "update public.generation_jobs set completed_at = now(), provider = 'fal' where id = '%s'", true, true },
		{ "gone on to that one", "insert into public.generation_events (owner_id, job_id, event, detail)"
		  " select owner_id, id, 'not_there', '{\"next_provider\": \"fal\"}' from public.generation_jobs"
		  " where id = '%s'", false, true },
		{ "it has the prediction since", "update public.generation_jobs set provider = 'replicate', prediction_id = 'p', "
		  "completed_at = now() - interval '1 h' where id = '%s'", false, false },
		{ "another prediction", "update public.generation_jobs set prediction_id = 'q' where id = '%s'", true, true },
		{ "it has it now", "update public.generation_live set prediction_id = 'p' where job_id = '%s'", false, false },
	};
	struct fixture *f = *state;
	struct job job = job_in(f, GEN_UNCERTAIN), gone = { .owner = new_uuid(), .id = new_uuid(), .provider = job.provider };
	struct job other;

	assert_true(is_alone(f, &job, "p", false));
	assert_false(is_alone(f, &gone, "p", true));
	other = created_job(f);
	assert_false(is_alone(f, &job, "p", false));
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		PGresult *res;
		char text[512];

		snprintf(text, sizeof text, "%s", rows[i].change);
		*strstr(text, "%s") = '\0';
		res = sql(f->pg, "%s%s'", text, text_of(&other.id));
		PQclear(res);
		if (is_alone(f, &job, "p", false) != rows[i].alone || is_alone(f, &job, "p", true) != rows[i].alone_if_named)
			fail_msg("%s", rows[i].name);
	}
	job_clear(&other);
	job_clear(&job);
}

/* Nothing exists: what was hinted at does not stand in another's way. */
static void
back_to_queued_forgets_the_hint(void **state)
{
	struct fixture *f = *state;
	struct job job = job_in(f, GEN_UNCERTAIN), loaded;
	struct job_move hint = move_to(GEN_UNCERTAIN);
	struct err err = ERR_INIT;

	hint.prediction_id = "hint";
	WANT(ERR_OK, jobs_move(f->db, &job, &hint, &err));
	assert_string_equal(job.prediction_id, "hint");
	send(f, &job, GEN_QUEUED, NULL);
	assert_null(job.prediction_id);
	WANT(ERR_OK, jobs_load(f->db, &job.owner, &job.id, &loaded, &err));
	assert_null(loaded.prediction_id);
	job_clear(&loaded);
	job_clear(&job);
}

static void
a_delivery_is_noted_once(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct job job = job_in(f, GEN_RUNNING);
	struct uuid stranger = new_uuid();
	json_t *detail = json_pack("{ss}", "a", "b");
	struct job_move move = move_to(GEN_STORING);

	for (int i = 0; i < 2; i++) {
		WANT(ERR_OK, jobs_note(f->db, &job.owner, &job.id, "webhook", "d1", detail, &err));
		WANT(ERR_OK, jobs_note(f->db, &job.owner, &job.id, "looked", NULL, NULL, &err));
	}
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_events "
		"where event = 'webhook' and delivery = 'd1' and detail = '{\"a\": \"b\"}' "
		"and state_from = 'running' and state_to = 'running'"), 1);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_events "
		"where event = 'looked' and delivery is null and detail is null"), 2);
	/* A delivery that was only noted before may still move the job. */
	move.delivery = "d1";
	WANT(ERR_OK, jobs_move(f->db, &job, &move, &err));
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_events "
		"where delivery = 'd1'"), 1);
	/* After the end too; of a job that is not theirs, never. */
	move = move_to(GEN_SETTLED);
	move.status = GEN_SUCCEEDED;
	WANT(ERR_OK, jobs_move(f->db, &job, &move, &err));
	WANT(ERR_OK, jobs_note(f->db, &job.owner, &job.id, "late", "d2", NULL, &err));
	WANT(ERR_OK, jobs_note(f->db, &stranger, &job.id, "foreign", "d3", NULL, &err));
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_events "
		"where event = 'late' and state_from is null and state_to is null"), 1);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_events "
		"where event = 'foreign'"), 0);
	json_decref(detail);
	job_clear(&job);
}

int
test_move(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_record_follows_only_the_public_status, fixture_empty),
		cmocka_unit_test_setup(one_of_thirty_two_moves_it, fixture_empty),
		cmocka_unit_test_setup(a_settled_job_never_moves, fixture_empty),
		cmocka_unit_test_setup(an_old_version_changes_nothing, fixture_empty),
		cmocka_unit_test_setup(outputs_are_listed_once, fixture_empty),
		cmocka_unit_test_setup(outputs_inside_an_answer, fixture_empty),
		cmocka_unit_test_setup(the_handle_goes_with_its_create, fixture_empty),
		cmocka_unit_test_setup(another_provider, fixture_empty),
		cmocka_unit_test_setup(what_it_costs, fixture_empty),
		cmocka_unit_test_setup(the_prediction_is_kept_or_taken, fixture_empty),
		cmocka_unit_test_setup(a_cancel_mark_stays, fixture_empty),
		cmocka_unit_test_setup(times_are_set_kept_and_given_back, fixture_empty),
		cmocka_unit_test_setup(defer_keeps_the_state, fixture_empty),
		cmocka_unit_test_setup(when_creates_were_under_way, fixture_empty),
		cmocka_unit_test_setup(when_outputs_expire, fixture_empty),
		cmocka_unit_test_setup(the_record_gets_the_prediction, fixture_empty),
		cmocka_unit_test_setup(whose_a_nameless_prediction_is, fixture_empty),
		cmocka_unit_test_setup(back_to_queued_forgets_the_hint, fixture_empty),
		cmocka_unit_test_setup(a_delivery_is_noted_once, fixture_empty),
	};

	return cmocka_run_group_tests_name("move", tests, fixture_up, fixture_down);
}
