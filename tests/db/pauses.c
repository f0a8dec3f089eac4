/* Paused providers: who may pause, prolong, probe, lift and resume. */
#include "config.h"

#include "tests/db/db_test.h"

#include "db/pauses.h"

static const struct pause_time half_a_minute = { .first_ms = 30000, .max_ms = 300000, .percent = 100 };

/* The only pause there is: pauses_clear(&it, 1). */
static struct pause *
the_pause(struct fixture *f)
{
	struct err err = ERR_INIT;
	struct pause *pause = NULL;
	size_t n = 99;

	WANT(ERR_OK, pauses_load(f->db, &pause, &n, &err));
	assert_int_equal(n, 1);
	return pause;
}

static void
assert_left(struct fixture *f, int64_t ms, int64_t rounds)
{
	struct pause *pause = the_pause(f);

	if (ms == PAUSE_WITHOUT_END)
		assert_true(pause->left_ms == ms && pause->until_us == ms);
	else if (pause->left_ms > ms || pause->left_ms < ms - 5000)
		fail_msg("%lld ms are left, not %lld", (long long)pause->left_ms, (long long)ms);
	assert_int_equal(pause->rounds, rounds);
	pauses_clear(&pause, 1);
}

static void
assert_not_paused(struct fixture *f)
{
	struct err err = ERR_INIT;
	struct pause *pauses = NULL;
	size_t n = 99;

	WANT(ERR_OK, pauses_load(f->db, &pauses, &n, &err));
	assert_int_equal(n, 0);
	pauses_clear(&pauses, n);
}

static void
put(struct fixture *f, uint64_t least_ms)
{
	struct err err = ERR_INIT;
	struct pause_time time = half_a_minute;

	time.least_ms = least_ms;
	WANT(ERR_OK, pauses_put(f->db, "painter", "402 no credit", "a-1", &time, &err));
}

/* Its time is over. */
static void
let_pass(struct fixture *f)
{
	sql_do(f->pg, "update public.generation_shared set value = value || jsonb_build_object("
		"'until', now() - interval '1 s') where name = 'pause:painter'");
}

static void
what_is_put_is_told(void **state)
{
	struct fixture *f = *state;
	struct pause *pause;

	assert_not_paused(f);
	put(f, 0);
	pause = the_pause(f);
	assert_string_equal(pause->provider, "painter");
	assert_string_equal(pause->reason, "402 no credit");
	assert_string_equal(pause->by, "a-1");
	assert_false(pause->by_operator || pause->probed);
	assert_int_equal(pause->until_us - pause->since_us, 30000000);
	pauses_clear(&pause, 1);
	assert_left(f, 30000, 0);
}

static void
calls_under_way_do_not_double_it(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 5; i++)
		put(f, 0);
	assert_left(f, 30000, 0);
}

static void
what_the_provider_asks_for_is_the_least(void **state)
{
	struct fixture *f = *state;

	put(f, 0);
	put(f, 1800000);
	assert_left(f, 1800000, 0);
	/* And no later answer shortens it. */
	put(f, 40000);
	assert_left(f, 1800000, 0);
}

static void
failed_probes_double_it_up_to_a_limit(void **state)
{
	static const int64_t left_ms[] = { 30000, 60000, 120000, 240000, 300000, 300000 };
	struct fixture *f = *state;

	for (size_t i = 0; i < COUNT_OF(left_ms); i++) {
		put(f, 0);
		assert_left(f, left_ms[i], (int64_t)i);
		let_pass(f);
	}
	sql_do(f->pg, "update public.generation_shared set value = value || '{\"rounds\": 2000000}'");
	put(f, 0);
	assert_left(f, 300000, 2000001);
}

static void
jitter_is_of_ours_only(void **state)
{
	struct fixture *f = *state;
	struct pause_time time = { .least_ms = 0, .first_ms = 100000, .max_ms = 300000, .percent = 80 };
	struct err err = ERR_INIT;

	WANT(ERR_OK, pauses_put(f->db, "painter", "r", "a-1", &time, &err));
	assert_left(f, 80000, 0);
	let_pass(f);
	WANT(ERR_OK, pauses_put(f->db, "painter", "r", "a-1", &time, &err));
	assert_left(f, 160000, 1);
	let_pass(f);
	time.least_ms = 240001;
	WANT(ERR_OK, pauses_put(f->db, "painter", "r", "a-1", &time, &err));
	assert_left(f, 240001, 2);
}

static void
nobody_probes_before_its_time_is_over(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;

	WANT(ERR_LOST_RACE, pauses_probe(f->db, "painter", 7, 60000, &err));
	put(f, 0);
	WANT(ERR_LOST_RACE, pauses_probe(f->db, "painter", 7, 60000, &err));
	WANT(ERR_OK, pauses_order(f->db, "painter", "r", "a-1", 0, &err));
	WANT(ERR_LOST_RACE, pauses_probe(f->db, "painter", 7, 60000, &err));
}

struct prober {
	struct db *db;
	int64_t number;
	enum err_code rc;
};

static void
probe(void *element)
{
	struct prober *p = element;

	p->rc = pauses_probe(p->db, "painter", p->number, 60000, NULL);
}

static void
one_of_many_probes(void **state)
{
	struct fixture *f = *state;
	struct prober probers[16];
	struct err err = ERR_INIT;
	int64_t winner = 0;
	struct pause *pause;

	put(f, 0);
	let_pass(f);
	for (size_t i = 0; i < COUNT_OF(probers); i++)
		probers[i] = (struct prober){ .db = f->db, .number = (int64_t)i + 1 };
	in_parallel(COUNT_OF(probers), probe, probers, sizeof *probers);
	for (size_t i = 0; i < COUNT_OF(probers); i++) {
		if (probers[i].rc == ERR_OK) {
			assert_int_equal(winner, 0);
			winner = probers[i].number;
		} else {
			assert_int_equal(probers[i].rc, ERR_LOST_RACE);
		}
	}
	assert_int_not_equal(winner, 0);
	/* Its statement may be repeated when the answer was lost. */
	WANT(ERR_OK, pauses_probe(f->db, "painter", winner, 60000, &err));
	pause = the_pause(f);
	assert_true(pause->probed);
	pauses_clear(&pause, 1);
	WANT(ERR_LOST_RACE, pauses_lift(f->db, "painter", winner + 1, &err));
	WANT(ERR_OK, pauses_lift(f->db, "painter", winner, &err));
	assert_not_paused(f);
	WANT(ERR_LOST_RACE, pauses_lift(f->db, "painter", winner, &err));
	/* The row is there, and a new pause is new. */
	put(f, 0);
	assert_left(f, 30000, 0);
}

static void
a_probe_that_is_over_or_given_back_is_free(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;

	put(f, 0);
	let_pass(f);
	WANT(ERR_OK, pauses_probe(f->db, "painter", 7, 60000, &err));
	WANT(ERR_LOST_RACE, pauses_probe(f->db, "painter", 8, 60000, &err));
	WANT(ERR_OK, pauses_probe(f->db, "painter", 7, 0, &err));
	WANT(ERR_OK, pauses_probe(f->db, "painter", 8, 1, &err));
	sql_wait(f->pg, 1, "select ((value ->> 'probe_until')::timestamptz < clock_timestamp())::integer"
		" from public.generation_shared");
	WANT(ERR_OK, pauses_probe(f->db, "painter", 9, 60000, &err));
	/* Whoever was too slow ends nothing. */
	WANT(ERR_LOST_RACE, pauses_lift(f->db, "painter", 8, &err));
	/* One that failed is prolonged, and nobody probes. */
	put(f, 0);
	assert_left(f, 60000, 1);
	WANT(ERR_LOST_RACE, pauses_lift(f->db, "painter", 9, &err));
}

static void
an_operators_word_stands(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct pause *pause;

	put(f, 1800000);
	WANT(ERR_OK, pauses_order(f->db, "painter", "moving house", "here", 0, &err));
	assert_left(f, PAUSE_WITHOUT_END, 0);
	put(f, 0);
	pause = the_pause(f);
	assert_true(pause->by_operator);
	assert_string_equal(pause->reason, "moving house");
	pauses_clear(&pause, 1);
	assert_left(f, PAUSE_WITHOUT_END, 0);
	WANT(ERR_OK, pauses_order(f->db, "painter", "moving house", "here", 60000, &err));
	put(f, 0);
	assert_left(f, 60000, 0);
	let_pass(f);
	/* From then on it is as any other. */
	WANT(ERR_OK, pauses_probe(f->db, "painter", 7, 60000, &err));
	put(f, 0);
	pause = the_pause(f);
	assert_false(pause->by_operator);
	pauses_clear(&pause, 1);
}

static void
resuming_wakes_what_is_queued_there(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct job here = created_job(f), there = created_job(f), running = job_in(f, GEN_RUNNING);

	sql_do(f->pg, "update public.generation_live set due_at = now() + interval '1 h'");
	sql_do(f->pg, "update public.generation_jobs set provider = 'painter' where id in ('%s', '%s')",
		text_of(&here.id), text_of(&running.id));
	sql_do(f->pg, "update public.generation_jobs set provider = 'other' where id = '%s'", text_of(&there.id));
	WANT(ERR_NOT_FOUND, pauses_resume(f->db, "painter", &err));
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live where due_at <= now()"), 0);
	WANT(ERR_OK, pauses_order(f->db, "painter", "r", "here", 0, &err));
	WANT(ERR_OK, pauses_resume(f->db, "painter", &err));
	assert_not_paused(f);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live where due_at <= now()"
		" and job_id = '%s'", text_of(&here.id)), 1);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live where due_at <= now()"), 1);
	job_clear(&here);
	job_clear(&there);
	job_clear(&running);
}

static void
other_names_are_other_things(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;

	sql_do(f->pg, "insert into public.generation_shared (name, value) values"
		" ('webhook-secret:painter', '\"x\"'), ('paused', '\"x\"')");
	put(f, 0);
	WANT(ERR_LOST_RACE, pauses_probe(f->db, "paint", 7, 60000, &err));
	WANT(ERR_NOT_FOUND, pauses_resume(f->db, "paint", &err));
	assert_left(f, 30000, 0);
}

int
test_pauses(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_is_put_is_told, fixture_empty),
		cmocka_unit_test_setup(calls_under_way_do_not_double_it, fixture_empty),
		cmocka_unit_test_setup(what_the_provider_asks_for_is_the_least, fixture_empty),
		cmocka_unit_test_setup(failed_probes_double_it_up_to_a_limit, fixture_empty),
		cmocka_unit_test_setup(jitter_is_of_ours_only, fixture_empty),
		cmocka_unit_test_setup(nobody_probes_before_its_time_is_over, fixture_empty),
		cmocka_unit_test_setup(one_of_many_probes, fixture_empty),
		cmocka_unit_test_setup(a_probe_that_is_over_or_given_back_is_free, fixture_empty),
		cmocka_unit_test_setup(an_operators_word_stands, fixture_empty),
		cmocka_unit_test_setup(resuming_wakes_what_is_queued_there, fixture_empty),
		cmocka_unit_test_setup(other_names_are_other_things, fixture_empty),
	};

	return cmocka_run_group_tests_name("pauses", tests, fixture_up, fixture_down);
}
