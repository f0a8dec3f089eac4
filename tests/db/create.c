/* create_job(): one outcome per call, whatever happens beside it. */
#include "config.h"

#include "tests/db/db_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

#define CLIENTS 50
#define ROUNDS 200

enum mix { MIX_SAME_KEY, MIX_OWN_KEYS, MIX_HALF_AND_HALF, MIX_COUNT };

static const char *const mix_names[MIX_COUNT] = { "the same key", "keys of their own", "half and half" };

/* One of the clients, and what it was told in this round. */
struct client {
	struct race *race;
	size_t number;
	enum err_code rc;
	struct err err;
	struct uuid sent, told;
	enum create_outcome outcome;
};

struct race {
	struct db *db;
	enum mix mix;
	int slots;
	struct uuid owner;
	const json_t *request;
	int round;
	pthread_barrier_t begin, end;	/* of a round: the clients and the judge */
	struct client clients[CLIENTS];
	int mistakes;
	char first_mistake[600];
};

static void __attribute__((format(printf, 2, 3)))
mistake(struct race *r, const char *fmt, ...)
{
	va_list ap;

	if (r->mistakes++ == 0) {
		va_start(ap, fmt);
		vsnprintf(r->first_mistake, sizeof r->first_mistake, fmt, ap);
		va_end(ap);
	}
}

static bool
shares_its_key(const struct client *c)
{
	return c->race->mix == MIX_SAME_KEY ||
		(c->race->mix == MIX_HALF_AND_HALF && c->number % 2 == 0);
}

static void
client_round(struct client *c)
{
	struct race *r = c->race;
	char key[40];
	struct job_new job = a_job(key);

	snprintf(key, sizeof key, "%d-%zu", r->round, shares_its_key(c) ? CLIENTS : c->number);
	job.owner = r->owner;
	job.slots = r->slots;
	job.request = r->request;
	c->sent = job.id;
	c->err = (struct err)ERR_INIT;
	c->rc = jobs_create(r->db, &job, &c->outcome, &c->told, NULL, &c->err);
}

static void
client_run(void *element)
{
	struct client *c = element;

	for (int round = 0; round < ROUNDS; round++) {
		pthread_barrier_wait(&c->race->begin);
		client_round(c);
		pthread_barrier_wait(&c->race->end);
	}
}

static bool
is_a_winner(const struct race *r, const struct uuid *id)
{
	for (size_t i = 0; i < CLIENTS; i++)
		if (r->clients[i].outcome == CREATE_CREATED && uuid_equal(&r->clients[i].told, id))
			return true;
	return false;
}

/* Was every client told the truth, and the right thing?  Nothing settles
 * during a round, so this is certain. */
static void
judge(struct race *r)
{
	int n[4] = { 0 }, shared[4] = { 0 };
	int wanted = r->mix == MIX_SAME_KEY ? 1 : r->slots;

	for (size_t i = 0; i < CLIENTS; i++) {
		const struct client *c = &r->clients[i];

		if (c->rc || c->err.text[0]) {
			mistake(r, "round %d: %s: %s", r->round, err_name(c->rc), c->err.text);
			return;
		}
		n[c->outcome]++;
		if (shares_its_key(c))
			shared[c->outcome]++;
		if (c->outcome == CREATE_CREATED && !uuid_equal(&c->sent, &c->told))
			mistake(r, "round %d: created another id than the one sent", r->round);
		if (c->outcome != CREATE_CREATED && uuid_equal(&c->sent, &c->told))
			mistake(r, "round %d: outcome %d names the caller's own id", r->round, c->outcome);
		if (!is_a_winner(r, &c->told))
			mistake(r, "round %d: outcome %d names a job that nobody created", r->round, c->outcome);
	}
	if (n[CREATE_CREATED] != wanted)
		mistake(r, "round %d: %d created, not %d", r->round, n[CREATE_CREATED], wanted);
	if (n[CREATE_KEY_REUSED] != 0)
		mistake(r, "round %d: %d told that the key was reused", r->round, n[CREATE_KEY_REUSED]);
	if (n[CREATE_REPLAYED] != shared[CREATE_REPLAYED])
		mistake(r, "round %d: a key of their own was replayed", r->round);
	if (shared[CREATE_CREATED] > 1)
		mistake(r, "round %d: one key has %d jobs", r->round, shared[CREATE_CREATED]);
	/* With half and half the shared key may never get a slot; then all of
	 * them are told so. */
	if ((shared[CREATE_CREATED] || r->mix == MIX_SAME_KEY) && shared[CREATE_IN_FLIGHT])
		mistake(r, "round %d: %d of the key that has a job were told in flight",
			r->round, shared[CREATE_IN_FLIGHT]);
	if (shared[CREATE_REPLAYED] && !shared[CREATE_CREATED])
		mistake(r, "round %d: replayed, but never created", r->round);
}

static void
settle_winners(struct race *r)
{
	for (size_t i = 0; i < CLIENTS; i++) {
		struct client *c = &r->clients[i];
		struct job_move move = move_to(GEN_SETTLED);
		struct job job;

		if (c->rc || c->outcome != CREATE_CREATED)
			continue;
		move.status = GEN_CANCELED;
		c->rc = jobs_load(r->db, &r->owner, &c->told, &job, &c->err);
		if (c->rc) {
			mistake(r, "round %d: loading a winner: %s", r->round, c->err.text);
			continue;
		}
		c->rc = jobs_move(r->db, &job, &move, &c->err);
		if (c->rc)
			mistake(r, "round %d: settling a winner: %s", r->round, c->err.text);
		job_clear(&job);
	}
}

/* The judge is one more thread, so that a mistake does not leave the others
 * waiting. */
static void
judge_run(struct race *r)
{
	for (r->round = 0; r->round < ROUNDS; r->round++) {
		pthread_barrier_wait(&r->begin);
		pthread_barrier_wait(&r->end);
		judge(r);
		settle_winners(r);
	}
}

/* Looks at the live rows all the time. */
struct watcher {
	PGconn *pg;
	atomic_bool done;
	int64_t most, looks;
};

static void
watch(struct watcher *w)
{
	while (!atomic_load(&w->done)) {
		PGresult *res = PQexec(w->pg, "select count(*) from public.generation_live");
		int64_t n = PQntuples(res) == 1 ? row_i64(res, 0, "count", 99) : 99;

		PQclear(res);
		w->looks++;
		if (n > w->most)
			w->most = n;
		usleep(500);
	}
}

struct participant { struct race *race; struct watcher *watcher; struct client *client; };

static void
participate(void *element)
{
	struct participant *p = element;

	if (p->client) {
		client_run(p->client);
	} else if (p->race) {
		judge_run(p->race);
		atomic_store(&p->watcher->done, true);
	} else {
		watch(p->watcher);
	}
}

static void
run_race(struct fixture *f, enum mix mix, int slots)
{
	struct race *r = mem_calloc(1, sizeof *r);
	struct watcher watcher = { .pg = connect_to(f->settings.url) };
	struct participant all[CLIENTS + 2];
	json_t *request = json_object();
	int64_t start_us = clock_mono_us();

	r->db = f->db;
	r->mix = mix;
	r->slots = slots;
	r->request = request;
	r->owner = new_uuid();
	pthread_barrier_init(&r->begin, NULL, CLIENTS + 1);
	pthread_barrier_init(&r->end, NULL, CLIENTS + 1);
	for (size_t i = 0; i < CLIENTS; i++) {
		r->clients[i] = (struct client){ .race = r, .number = i, .err = ERR_INIT };
		all[i] = (struct participant){ .client = &r->clients[i] };
	}
	all[CLIENTS] = (struct participant){ .race = r, .watcher = &watcher };
	all[CLIENTS + 1] = (struct participant){ .watcher = &watcher };
	in_parallel(COUNT_OF(all), participate, all, sizeof *all);
	printf("# %s, %d slots: %d calls in %lld ms, %lld looks, at most %lld live rows\n",
		mix_names[mix], slots, CLIENTS * ROUNDS, (long long)elapsed_ms(start_us),
		(long long)watcher.looks, (long long)watcher.most);
	if (r->mistakes)
		fail_msg("%d mistakes; %s", r->mistakes, r->first_mistake);
	assert_in_range(watcher.looks, 10, 100000000);
	assert_in_range(watcher.most, 1, slots);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live"), 0);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_jobs"),
		ROUNDS * (mix == MIX_SAME_KEY ? 1 : slots));
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_events where event = 'created'"),
		ROUNDS * (mix == MIX_SAME_KEY ? 1 : slots));
	pthread_barrier_destroy(&r->begin);
	pthread_barrier_destroy(&r->end);
	PQfinish(watcher.pg);
	json_decref(request);
	mem_free(r);
}

static void
same_key_one_slot(void **state)
{
	run_race(*state, MIX_SAME_KEY, 1);
}

static void
same_key_two_slots(void **state)
{
	run_race(*state, MIX_SAME_KEY, 2);
}

static void
own_keys_one_slot(void **state)
{
	run_race(*state, MIX_OWN_KEYS, 1);
}

static void
own_keys_two_slots(void **state)
{
	run_race(*state, MIX_OWN_KEYS, 2);
}

static void
half_and_half_one_slot(void **state)
{
	run_race(*state, MIX_HALF_AND_HALF, 1);
}

static void
half_and_half_two_slots(void **state)
{
	run_race(*state, MIX_HALF_AND_HALF, 2);
}

/* ---- One after the other */

static void
want_create(struct fixture *f, const struct job_new *job, enum create_outcome wanted,
	const struct uuid *wanted_id)
{
	struct err err = ERR_INIT;
	enum create_outcome outcome;
	struct uuid told;

	WANT(ERR_OK, jobs_create(f->db, job, &outcome, &told, NULL, &err));
	assert_string_equal(err.text, "");
	assert_int_equal(outcome, wanted);
	assert_string_equal(text_of(&told), text_of(wanted_id));
}

static void
settle(struct fixture *f, const struct uuid *owner, const struct uuid *id)
{
	struct job_move move = move_to(GEN_SETTLED);
	struct err err = ERR_INIT;
	struct job job;

	move.status = GEN_CANCELED;
	WANT(ERR_OK, jobs_load(f->db, owner, id, &job, &err));
	WANT(ERR_OK, jobs_move(f->db, &job, &move, &err));
	job_clear(&job);
}

static void
what_is_kept(void **state)
{
	struct fixture *f = *state;
	json_t *request = json_pack("{s[i]sf}", "a", 1, "large", 1e30), *metadata = json_pack("{sn}", "b");
	struct job_new new = a_job("k");
	struct err err = ERR_INIT;
	struct job job;

	new.owner = new_uuid();
	new.request = request;
	new.metadata = metadata;
	want_create(f, &new, CREATE_CREATED, &new.id);
	WANT(ERR_OK, jobs_load(f->db, &new.owner, &new.id, &job, &err));
	assert_true(uuid_equal(&job.owner, &new.owner) && uuid_equal(&job.id, &new.id));
	assert_int_equal(job.state, GEN_QUEUED);
	assert_int_equal(job.status, GEN_STARTING);
	assert_int_equal(job.version, 1);
	assert_int_equal(job.attempts, 0);
	assert_int_equal(job.cancel, GEN_CANCEL_NONE);
	assert_null(job.prediction_id);
	assert_string_equal(job.model, "flux");
	assert_string_equal(job.provider, "replicate");
	assert_true(json_equal(job.request, request));
	assert_in_range(job.time_left_ms, 590000, 600000);
	assert_in_range(job.age_ms, 0, 10000);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_jobs j "
		"join public.generation_live l on l.job_id = j.id and l.deadline_at = j.deadline_at "
		"where metadata::jsonb = '{\"b\": null}' and idempotency_key = 'k' "
		"and fingerprint = 'fingerprint'::bytea || decode(repeat('00', 21), 'hex')"), 1);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_events "
		"where event = 'created' and state_from is null and state_to = 'queued'"), 1);
	job_clear(&job);
	json_decref(request);
	json_decref(metadata);
}

/* The answer was lost: the same call once more. */
static void
the_same_id_again_is_created_again(void **state)
{
	struct fixture *f = *state;
	json_t *request = json_object();
	static const char *const keys[] = { NULL, "k" };

	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		struct job_new new = a_job(keys[i]);

		new.owner = new_uuid();
		new.request = request;
		want_create(f, &new, CREATE_CREATED, &new.id);
		want_create(f, &new, CREATE_CREATED, &new.id);	/* its slot is taken by itself */
		settle(f, &new.owner, &new.id);
		want_create(f, &new, CREATE_CREATED, &new.id);	/* over already; no second one */
		assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live"), 0);
		assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_jobs"), i + 1);
	}
	json_decref(request);
}

static void
keys_are_replayed_or_reused(void **state)
{
	struct fixture *f = *state;
	json_t *request = json_object();
	struct job_new first = a_job("k"), again = a_job("k"), other = a_job("k"), stranger = a_job("k");

	first.owner = again.owner = other.owner = new_uuid();
	stranger.owner = new_uuid();
	first.request = again.request = other.request = stranger.request = request;
	other.fingerprint[0]++;
	want_create(f, &first, CREATE_CREATED, &first.id);
	want_create(f, &again, CREATE_REPLAYED, &first.id);
	want_create(f, &other, CREATE_KEY_REUSED, &first.id);
	want_create(f, &stranger, CREATE_CREATED, &stranger.id);
	settle(f, &first.owner, &first.id);
	want_create(f, &again, CREATE_REPLAYED, &first.id);
	want_create(f, &other, CREATE_KEY_REUSED, &first.id);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live"), 1);
	json_decref(request);
}

static void
a_key_is_found_without_making_anything(void **state)
{
	struct fixture *f = *state;
	json_t *request = json_object();
	struct job_new first = a_job("k"), other = a_job("k");
	enum create_outcome outcome;
	struct uuid found;
	struct err err = ERR_INIT;

	first.owner = new_uuid();
	first.request = request;
	other.fingerprint[0]++;
	WANT(ERR_NOT_FOUND, jobs_by_key(f->db, &first.owner, "k", first.fingerprint, &outcome, &found, &err));
	want_create(f, &first, CREATE_CREATED, &first.id);
	WANT(ERR_OK, jobs_by_key(f->db, &first.owner, "k", first.fingerprint, &outcome, &found, &err));
	assert_true(outcome == CREATE_REPLAYED && uuid_equal(&found, &first.id));
	WANT(ERR_OK, jobs_by_key(f->db, &first.owner, "k", other.fingerprint, &outcome, &found, &err));
	assert_true(outcome == CREATE_KEY_REUSED && uuid_equal(&found, &first.id));
	other.owner = new_uuid();
	WANT(ERR_NOT_FOUND, jobs_by_key(f->db, &other.owner, "k", first.fingerprint, &outcome, &found, &err));
	WANT(ERR_NOT_FOUND, jobs_by_key(f->db, &first.owner, "K", first.fingerprint, &outcome, &found, &err));
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_jobs"), 1);
	json_decref(request);
}

static void
in_flight_names_the_other(void **state)
{
	struct fixture *f = *state;
	json_t *request = json_object();
	struct job_new a = a_job(NULL), b, c, d;

	usleep(2000);	/* an id is older by the millisecond */
	b = a_job("b");
	usleep(2000);
	c = a_job(NULL);
	d = a_job("d");
	a.owner = b.owner = c.owner = d.owner = new_uuid();
	a.request = b.request = c.request = d.request = request;
	want_create(f, &a, CREATE_CREATED, &a.id);
	want_create(f, &b, CREATE_IN_FLIGHT, &a.id);
	b.slots = c.slots = d.slots = 2;
	want_create(f, &b, CREATE_CREATED, &b.id);
	want_create(f, &c, CREATE_IN_FLIGHT, &a.id);	/* the oldest */
	want_create(f, &d, CREATE_IN_FLIGHT, &a.id);
	settle(f, &a.owner, &a.id);
	want_create(f, &c, CREATE_CREATED, &c.id);	/* the slot that is free */
	want_create(f, &d, CREATE_IN_FLIGHT, &b.id);
	settle(f, &a.owner, &c.id);
	c = a_job(NULL);
	c.owner = a.owner;
	c.request = request;				/* fewer slots than before: */
	want_create(f, &c, CREATE_IN_FLIGHT, &b.id);	/* the first is free, and one is enough */
	settle(f, &a.owner, &b.id);
	want_create(f, &c, CREATE_CREATED, &c.id);
	json_decref(request);
}

/* However many slots there were: which of them are taken, and what may come. */
static void
fewer_slots_than_before(void **state)
{
	static const struct { const char *taken; int slots; bool created; } rows[] = {
		{ "xxx", 2, false }, { ".xx", 2, false }, { "x.x", 2, false }, { "..x", 2, true },
		{ "x..", 2, true }, { ".x.", 2, true }, { "..x", 1, false }, { ".x.", 1, false },
		{ "...", 1, true }, { "....x", 3, true }, { "..xx", 3, true }, { ".xx.x", 3, false },
		{ ".x..x", 3, true }, { "x.x.x", 4, true }, { "xxxx", 100, true },
	};
	struct fixture *f = *state;
	json_t *request = json_object();

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct job_new new = a_job(NULL);
		struct err err = ERR_INIT;
		struct uuid jobs[8], told;
		enum create_outcome outcome;

		new.owner = new_uuid();
		new.request = request;
		for (size_t s = 0; rows[i].taken[s]; s++) {
			new.id = jobs[s] = new_uuid();
			new.slots = (int)s + 1;
			want_create(f, &new, CREATE_CREATED, &new.id);
		}
		for (size_t s = 0; rows[i].taken[s]; s++)
			if (rows[i].taken[s] == '.')
				settle(f, &new.owner, &jobs[s]);
		new.id = new_uuid();
		new.slots = rows[i].slots;
		WANT(ERR_OK, jobs_create(f->db, &new, &outcome, &told, NULL, &err));
		if ((outcome == CREATE_CREATED) != rows[i].created)
			fail_msg("%s with %d slots: outcome %d", rows[i].taken, rows[i].slots, outcome);
	}
	json_decref(request);
}

struct repeat {
	struct db *db;
	const struct job_new *job;
	enum err_code rc;
	enum create_outcome outcome;
	struct uuid told;
	struct err err;
};

static void
repeat_run(void *element)
{
	struct repeat *r = element;

	r->rc = jobs_create(r->db, r->job, &r->outcome, &r->told, NULL, &r->err);
}

/* The first call is still at work at the server when it is repeated, and
 * another job of the owner has the other slot. */
static void
the_same_id_at_once_is_never_in_flight(void **state)
{
	struct fixture *f = *state;
	json_t *request = json_object();
	struct job_new gone = a_job(NULL), other = a_job(NULL);

	gone.owner = other.owner = new_uuid();
	gone.slots = other.slots = 2;
	gone.request = other.request = request;
	want_create(f, &gone, CREATE_CREATED, &gone.id);
	want_create(f, &other, CREATE_CREATED, &other.id);
	settle(f, &gone.owner, &gone.id);
	for (int round = 0; round < 100; round++) {
		struct job_new new = a_job(NULL);
		struct repeat repeats[4];

		new.owner = other.owner;
		new.slots = 2;
		new.request = request;
		for (size_t i = 0; i < COUNT_OF(repeats); i++)
			repeats[i] = (struct repeat){ .db = f->db, .job = &new, .err = ERR_INIT };
		in_parallel(COUNT_OF(repeats), repeat_run, repeats, sizeof *repeats);
		for (size_t i = 0; i < COUNT_OF(repeats); i++) {
			if (repeats[i].rc)
				fail_msg("round %d: %s", round, repeats[i].err.text);
			if (repeats[i].outcome != CREATE_CREATED)
				fail_msg("round %d: outcome %d", round, repeats[i].outcome);
			assert_true(uuid_equal(&repeats[i].told, &new.id));
		}
		settle(f, &new.owner, &new.id);
	}
	json_decref(request);
}

/* Slots come free while others ask for them. */
struct churner {
	struct db *db;
	const struct uuid *owner;
	const json_t *request;
	int created, in_flight;
	struct err err;
};

static void
churn(void *element)
{
	struct churner *c = element;

	for (int i = 0; i < 300; i++) {
		struct job_new new = a_job(NULL);
		struct job job = { .owner = *c->owner, .version = 1 };
		struct job_move move = move_to(GEN_SETTLED);
		enum create_outcome outcome;

		new.owner = *c->owner;
		new.slots = 2;
		new.request = c->request;
		move.status = GEN_CANCELED;
		if (jobs_create(c->db, &new, &outcome, &job.id, NULL, &c->err))
			return;
		c->created += outcome == CREATE_CREATED;
		c->in_flight += outcome == CREATE_IN_FLIGHT && !uuid_equal(&job.id, &new.id);
		if (outcome == CREATE_CREATED && jobs_move(c->db, &job, &move, &c->err))
			return;
	}
}

static void
slots_that_come_free_are_taken(void **state)
{
	struct fixture *f = *state;
	struct uuid owner = new_uuid();
	json_t *request = json_object();
	struct churner churners[16];
	int created = 0;

	for (size_t i = 0; i < COUNT_OF(churners); i++)
		churners[i] = (struct churner){ .db = f->db, .owner = &owner, .request = request, .err = ERR_INIT };
	in_parallel(COUNT_OF(churners), churn, churners, sizeof *churners);
	for (size_t i = 0; i < COUNT_OF(churners); i++) {
		assert_string_equal(churners[i].err.text, "");
		assert_int_equal(churners[i].created + churners[i].in_flight, 300);
		created += churners[i].created;
	}
	printf("# %zu calls while slots come free: %d created\n", COUNT_OF(churners) * 300, created);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_jobs "
		"where status = 'canceled'"), created);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live"), 0);
	json_decref(request);
}

static void
values_that_do_not_fit_are_invalid(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	json_t *request = json_object();
	struct job_new new;
	enum create_outcome outcome = CREATE_REPLAYED;
	struct uuid told;
	char key[300];

	memset(key, 'k', sizeof key);
	key[256] = '\0';
	new = a_job(key);
	new.owner = new_uuid();
	new.request = request;
	WANT(ERR_INVALID, jobs_create(f->db, &new, &outcome, &told, NULL, &err));
	SAYS("generation_jobs_key_length");
	new.idempotency_key = "";
	WANT(ERR_INVALID, jobs_create(f->db, &new, &outcome, &told, NULL, &err));
	SAYS("generation_jobs_key_length");
	new.idempotency_key = "\xff";
	WANT(ERR_INVALID, jobs_create(f->db, &new, &outcome, &told, NULL, &err));
	SAYS("22021");
	assert_int_equal(outcome, CREATE_REPLAYED);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live"), 0);
	key[255] = '\0';
	new.idempotency_key = key;
	want_create(f, &new, CREATE_CREATED, &new.id);
	json_decref(request);
}

int
test_create(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_is_kept, fixture_empty),
		cmocka_unit_test_setup(the_same_id_again_is_created_again, fixture_empty),
		cmocka_unit_test_setup(keys_are_replayed_or_reused, fixture_empty),
		cmocka_unit_test_setup(a_key_is_found_without_making_anything, fixture_empty),
		cmocka_unit_test_setup(in_flight_names_the_other, fixture_empty),
		cmocka_unit_test_setup(fewer_slots_than_before, fixture_empty),
		cmocka_unit_test_setup(the_same_id_at_once_is_never_in_flight, fixture_empty),
		cmocka_unit_test_setup(slots_that_come_free_are_taken, fixture_empty),
		cmocka_unit_test_setup(values_that_do_not_fit_are_invalid, fixture_empty),
		cmocka_unit_test_setup(same_key_one_slot, fixture_empty),
		cmocka_unit_test_setup(same_key_two_slots, fixture_empty),
		cmocka_unit_test_setup(own_keys_one_slot, fixture_empty),
		cmocka_unit_test_setup(own_keys_two_slots, fixture_empty),
		cmocka_unit_test_setup(half_and_half_one_slot, fixture_empty),
		cmocka_unit_test_setup(half_and_half_two_slots, fixture_empty),
	};

	return cmocka_run_group_tests_name("create", tests, fixture_up, fixture_down);
}
