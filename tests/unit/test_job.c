#include "config.h"

#include "core/job.h"

#include "tests/unit/unit.h"

/* What an event carries in the table; an empty word for none. */
enum says { NOTHING, STARTS, PROCESSES, SUCCEEDS, EMPTY, REMOVED, FAILS, CANCELS, ABORTS, UNKNOWN_WORD };

/* What is expected: where to, or that nothing moves. */
#define STAYS { .moves = false }
#define TO(s, st) { .moves = true, .state = (s), .status = (st) }
#define FAILED(e) { .moves = true, .state = GEN_SETTLED, .status = GEN_FAILED, .error = (e) }
#define ENDS(st) { .moves = true, .state = GEN_SETTLED, .status = (st) }

struct row {
	enum gen_state state;
	enum job_event_kind event;
	enum says says;
	struct transition want;
};

/* A job of attempt 1; prediction "ours" is known from GEN_RUNNING on. */
static const struct row rows[] = {
	{ GEN_QUEUED, EV_SEND, NOTHING, TO(GEN_SUBMITTING, GEN_STARTING) },
	{ GEN_QUEUED, EV_ACCEPTED, STARTS, TO(GEN_RUNNING, GEN_STARTING) },
	{ GEN_QUEUED, EV_REFUSED, NOTHING, FAILED(ERR_PROVIDER_REJECTED) },
	{ GEN_QUEUED, EV_DEFERRED, NOTHING, STAYS },
	{ GEN_QUEUED, EV_UNKNOWN, NOTHING, STAYS },
	{ GEN_QUEUED, EV_FOUND, STARTS, TO(GEN_RUNNING, GEN_STARTING) },
	{ GEN_QUEUED, EV_NOT_THERE, NOTHING, STAYS },
	{ GEN_QUEUED, EV_OBSERVED, SUCCEEDS, STAYS },
	{ GEN_QUEUED, EV_HEARD, SUCCEEDS, STAYS },
	{ GEN_QUEUED, EV_STORED, NOTHING, STAYS },
	{ GEN_QUEUED, EV_STORE_FAILED, NOTHING, STAYS },
	{ GEN_QUEUED, EV_CANCEL, NOTHING, ENDS(GEN_CANCELED) },
	{ GEN_QUEUED, EV_DEADLINE, NOTHING, FAILED(ERR_TIMEOUT) },
	{ GEN_QUEUED, EV_SETTLE, NOTHING, FAILED(ERR_PROVIDER_REJECTED) },

	{ GEN_SUBMITTING, EV_SEND, NOTHING, STAYS },
	{ GEN_SUBMITTING, EV_ACCEPTED, STARTS, TO(GEN_RUNNING, GEN_STARTING) },
	{ GEN_SUBMITTING, EV_ACCEPTED, PROCESSES, TO(GEN_RUNNING, GEN_PROCESSING) },
	{ GEN_SUBMITTING, EV_ACCEPTED, SUCCEEDS, TO(GEN_STORING, GEN_PROCESSING) },
	{ GEN_SUBMITTING, EV_ACCEPTED, FAILS, FAILED(ERR_PROVIDER_FAILED) },
	{ GEN_SUBMITTING, EV_REFUSED, NOTHING, FAILED(ERR_PROVIDER_REJECTED) },
	{ GEN_SUBMITTING, EV_DEFERRED, NOTHING, TO(GEN_QUEUED, GEN_STARTING) },
	{ GEN_SUBMITTING, EV_UNKNOWN, NOTHING, TO(GEN_UNCERTAIN, GEN_STARTING) },
	{ GEN_SUBMITTING, EV_FOUND, STARTS, TO(GEN_RUNNING, GEN_STARTING) },
	{ GEN_SUBMITTING, EV_NOT_THERE, NOTHING, STAYS },
	{ GEN_SUBMITTING, EV_OBSERVED, SUCCEEDS, TO(GEN_SUBMITTING, GEN_STARTING) },
	{ GEN_SUBMITTING, EV_HEARD, SUCCEEDS, TO(GEN_SUBMITTING, GEN_STARTING) },
	{ GEN_SUBMITTING, EV_STORED, NOTHING, STAYS },
	{ GEN_SUBMITTING, EV_STORE_FAILED, NOTHING, STAYS },
	{ GEN_SUBMITTING, EV_CANCEL, NOTHING, TO(GEN_SUBMITTING, GEN_STARTING) },
	{ GEN_SUBMITTING, EV_DEADLINE, NOTHING, TO(GEN_SUBMITTING, GEN_STARTING) },
	{ GEN_SUBMITTING, EV_SETTLE, NOTHING, STAYS },

	{ GEN_UNCERTAIN, EV_SEND, NOTHING, STAYS },
	{ GEN_UNCERTAIN, EV_ACCEPTED, STARTS, TO(GEN_RUNNING, GEN_STARTING) },
	{ GEN_UNCERTAIN, EV_REFUSED, NOTHING, FAILED(ERR_PROVIDER_REJECTED) },
	{ GEN_UNCERTAIN, EV_DEFERRED, NOTHING, TO(GEN_QUEUED, GEN_STARTING) },
	{ GEN_UNCERTAIN, EV_UNKNOWN, NOTHING, STAYS },
	{ GEN_UNCERTAIN, EV_FOUND, STARTS, TO(GEN_RUNNING, GEN_STARTING) },
	{ GEN_UNCERTAIN, EV_FOUND, SUCCEEDS, TO(GEN_STORING, GEN_PROCESSING) },
	{ GEN_UNCERTAIN, EV_NOT_THERE, NOTHING, TO(GEN_QUEUED, GEN_STARTING) },
	{ GEN_UNCERTAIN, EV_OBSERVED, SUCCEEDS, TO(GEN_UNCERTAIN, GEN_STARTING) },
	{ GEN_UNCERTAIN, EV_HEARD, SUCCEEDS, TO(GEN_UNCERTAIN, GEN_STARTING) },
	{ GEN_UNCERTAIN, EV_STORED, NOTHING, STAYS },
	{ GEN_UNCERTAIN, EV_STORE_FAILED, NOTHING, STAYS },
	{ GEN_UNCERTAIN, EV_CANCEL, NOTHING, TO(GEN_UNCERTAIN, GEN_STARTING) },
	{ GEN_UNCERTAIN, EV_DEADLINE, NOTHING, FAILED(ERR_OUTCOME_UNKNOWN) },
	{ GEN_UNCERTAIN, EV_SETTLE, NOTHING, STAYS },

	{ GEN_RUNNING, EV_SEND, NOTHING, STAYS },
	{ GEN_RUNNING, EV_ACCEPTED, STARTS, STAYS },
	{ GEN_RUNNING, EV_REFUSED, NOTHING, STAYS },
	{ GEN_RUNNING, EV_DEFERRED, NOTHING, STAYS },
	{ GEN_RUNNING, EV_UNKNOWN, NOTHING, STAYS },
	{ GEN_RUNNING, EV_FOUND, PROCESSES, TO(GEN_RUNNING, GEN_PROCESSING) },
	{ GEN_RUNNING, EV_NOT_THERE, NOTHING, STAYS },
	{ GEN_RUNNING, EV_OBSERVED, STARTS, STAYS },
	{ GEN_RUNNING, EV_OBSERVED, PROCESSES, TO(GEN_RUNNING, GEN_PROCESSING) },
	{ GEN_RUNNING, EV_OBSERVED, UNKNOWN_WORD, TO(GEN_RUNNING, GEN_PROCESSING) },
	{ GEN_RUNNING, EV_OBSERVED, SUCCEEDS, TO(GEN_STORING, GEN_PROCESSING) },
	{ GEN_RUNNING, EV_OBSERVED, EMPTY, FAILED(ERR_NO_OUTPUT) },
	{ GEN_RUNNING, EV_OBSERVED, REMOVED, FAILED(ERR_OUTPUTS_LOST) },
	{ GEN_RUNNING, EV_OBSERVED, FAILS, FAILED(ERR_PROVIDER_FAILED) },
	{ GEN_RUNNING, EV_OBSERVED, ABORTS, FAILED(ERR_TIMEOUT) },
	{ GEN_RUNNING, EV_OBSERVED, CANCELS, ENDS(GEN_CANCELED) },
	{ GEN_RUNNING, EV_HEARD, SUCCEEDS, TO(GEN_RUNNING, GEN_STARTING) },
	{ GEN_RUNNING, EV_HEARD, FAILS, TO(GEN_RUNNING, GEN_STARTING) },
	{ GEN_RUNNING, EV_STORED, NOTHING, STAYS },
	{ GEN_RUNNING, EV_STORE_FAILED, NOTHING, STAYS },
	{ GEN_RUNNING, EV_CANCEL, NOTHING, TO(GEN_RUNNING, GEN_STARTING) },
	{ GEN_RUNNING, EV_DEADLINE, NOTHING, FAILED(ERR_TIMEOUT) },
	{ GEN_RUNNING, EV_SETTLE, NOTHING, STAYS },

	{ GEN_STORING, EV_SEND, NOTHING, STAYS },
	{ GEN_STORING, EV_ACCEPTED, STARTS, STAYS },
	{ GEN_STORING, EV_REFUSED, NOTHING, STAYS },
	{ GEN_STORING, EV_DEFERRED, NOTHING, STAYS },
	{ GEN_STORING, EV_UNKNOWN, NOTHING, STAYS },
	{ GEN_STORING, EV_FOUND, SUCCEEDS, STAYS },
	{ GEN_STORING, EV_NOT_THERE, NOTHING, STAYS },
	{ GEN_STORING, EV_OBSERVED, CANCELS, STAYS },
	{ GEN_STORING, EV_OBSERVED, SUCCEEDS, STAYS },
	{ GEN_STORING, EV_HEARD, FAILS, STAYS },
	{ GEN_STORING, EV_STORED, NOTHING, ENDS(GEN_SUCCEEDED) },
	{ GEN_STORING, EV_STORE_FAILED, NOTHING, FAILED(ERR_PROVIDER_REJECTED) },
	{ GEN_STORING, EV_CANCEL, NOTHING, STAYS },
	{ GEN_STORING, EV_DEADLINE, NOTHING, STAYS },
	{ GEN_STORING, EV_SETTLE, NOTHING, STAYS },
};

#define N_ROWS (sizeof rows / sizeof *rows)

static char ours[] = "ours", other[] = "another";

static void
observe(enum says says, struct gen_observation *obs)
{
	*obs = (struct gen_observation)GEN_OBSERVATION_INIT;
	obs->prediction_id = ours;
	obs->outputs = says == SUCCEEDS ? json_pack("[s]", "https://x.example/a.png") : json_array();
	switch (says) {
	case PROCESSES:
		obs->status = GEN_PROCESSING;
		break;
	case UNKNOWN_WORD:
		obs->status = GEN_PROCESSING;
		obs->status_known = false;
		break;
	case SUCCEEDS:
	case EMPTY:
	case REMOVED:
		obs->status = GEN_SUCCEEDED;
		obs->data_removed = says == REMOVED;
		break;
	case FAILS:
	case ABORTS:
		obs->status = GEN_FAILED;
		obs->error = says == FAILS ? ERR_PROVIDER_FAILED : ERR_TIMEOUT;
		break;
	case CANCELS:
		obs->status = GEN_CANCELED;
		break;
	default:
		break;
	}
}

static struct job
job_in(enum gen_state state)
{
	return (struct job){
		.state = state, .attempts = 1, .time_left_ms = 1000,
		.status = state == GEN_STORING ? GEN_PROCESSING : GEN_STARTING,
		.prediction_id = state == GEN_RUNNING || state == GEN_STORING ? ours : NULL,
	};
}

static void
check_row(const struct row *r)
{
	struct gen_observation obs;
	struct job job = job_in(r->state);
	struct job_event ev = { .kind = r->event, .attempt = 1, .error = ERR_PROVIDER_REJECTED };
	struct transition t;

	observe(r->says, &obs);
	if (r->says != NOTHING)
		ev.obs = &obs;
	t = job_next(&job, &ev);
	if (t.moves != r->want.moves || (t.moves && (t.state != r->want.state ||
	    t.status != r->want.status || t.error != r->want.error)))
		fail_msg("%s, %s, %d: moves %d, to %s, %s, %s", gen_state_name(r->state),
			job_event_name(r->event), (int)r->says, t.moves, gen_state_name(t.state),
			gen_status_name(t.status), err_name(t.error));
	json_decref(obs.outputs);
}

static void
every_state_and_event(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ROWS; i++)
		check_row(&rows[i]);
}

static void
the_table_has_every_pair(void **state)
{
	(void)state;
	for (int s = 0; s < GEN_SETTLED; s++)
		for (int e = 0; e < EV_COUNT; e++) {
			size_t i = 0;

			while (i < N_ROWS && !((int)rows[i].state == s && (int)rows[i].event == e))
				i++;
			if (i == N_ROWS)
				fail_msg("no row for %s, %s", gen_state_name((enum gen_state)s),
					job_event_name((enum job_event_kind)e));
		}
}

/* A webhook that may be anybody's copy: a reason to look at what it names. */
static void
hearsay_is_looked_at(void **state)
{
	struct gen_observation obs;
	struct job job = job_in(GEN_RUNNING);
	const struct job_event ev = { .kind = EV_HEARD, .obs = &obs };
	struct transition t;

	(void)state;
	observe(SUCCEEDS, &obs);
	t = job_next(&job, &ev);
	assert_true(t.looks && !t.takes_prediction && !t.lists_outputs && !t.stray);
	obs.prediction_id = other;
	t = job_next(&job, &ev);
	assert_true(!t.moves && !t.looks);
	assert_string_equal(t.stray, other);
	json_decref(obs.outputs);
}

/* Where a provider has one word for both, who asked for its end decides. */
static void
failed_or_canceled(void **state)
{
	static const struct { enum gen_cancel cancel; bool either; enum gen_status want; } rows_of[] = {
		{ GEN_CANCEL_USER, true, GEN_CANCELED },
		{ GEN_CANCEL_USER, false, GEN_FAILED },
		{ GEN_CANCEL_NONE, true, GEN_FAILED },
		{ GEN_CANCEL_DEADLINE, true, GEN_FAILED },
	};
	struct gen_observation obs;
	const struct job_event ev = { .kind = EV_OBSERVED, .obs = &obs };

	(void)state;
	for (size_t i = 0; i < sizeof rows_of / sizeof *rows_of; i++) {
		struct job job = job_in(GEN_RUNNING);
		struct transition t;

		observe(FAILS, &obs);
		obs.or_canceled = rows_of[i].either;
		job.cancel = rows_of[i].cancel;
		t = job_next(&job, &ev);
		assert_int_equal(t.status, rows_of[i].want);
		if (t.status == GEN_FAILED)
			assert_int_equal(t.error, job.cancel == GEN_CANCEL_DEADLINE ? ERR_TIMEOUT : ERR_PROVIDER_FAILED);
		json_decref(obs.outputs);
	}
}

/* Another provider is only for what cannot exist at this one. */
static void
goes_elsewhere(void **state)
{
	static const struct {
		const char *name;
		enum gen_state state;
		enum job_event_kind event;
		enum err_code error;
		int32_t attempt;
		enum gen_cancel cancel;
		int64_t left_ms;
		bool hint, goes;
	} cases[] = {
		{ "throttled", GEN_SUBMITTING, EV_DEFERRED, ERR_OK, 1, GEN_CANCEL_NONE, 1000, false, true },
		{ "throttled, and something names one", GEN_SUBMITTING, EV_DEFERRED, ERR_OK, 1, GEN_CANCEL_NONE, 1000, true, false },
		{ "throttled, an earlier attempt", GEN_SUBMITTING, EV_DEFERRED, ERR_OK, 0, GEN_CANCEL_NONE, 1000, false, false },
		{ "throttled, and canceled", GEN_SUBMITTING, EV_DEFERRED, ERR_OK, 1, GEN_CANCEL_USER, 1000, false, false },
		{ "throttled, too late", GEN_SUBMITTING, EV_DEFERRED, ERR_OK, 1, GEN_CANCEL_NONE, 0, false, false },
		{ "our key", GEN_SUBMITTING, EV_REFUSED, ERR_PROVIDER_UNAVAILABLE, 1, GEN_CANCEL_NONE, 1000, false, true },
		{ "our key, and something names one", GEN_SUBMITTING, EV_REFUSED, ERR_PROVIDER_UNAVAILABLE, 1, GEN_CANCEL_NONE, 1000, true, false },
		{ "the request", GEN_SUBMITTING, EV_REFUSED, ERR_PROVIDER_REJECTED, 1, GEN_CANCEL_NONE, 1000, false, false },
		{ "its content", GEN_SUBMITTING, EV_REFUSED, ERR_CONTENT_BLOCKED, 1, GEN_CANCEL_NONE, 1000, false, false },
		{ "unknown", GEN_SUBMITTING, EV_UNKNOWN, ERR_OK, 1, GEN_CANCEL_NONE, 1000, false, false },
		{ "not there", GEN_UNCERTAIN, EV_NOT_THERE, ERR_OK, 1, GEN_CANCEL_NONE, 1000, false, true },
		{ "not there, of an earlier attempt", GEN_UNCERTAIN, EV_NOT_THERE, ERR_OK, 0, GEN_CANCEL_NONE, 1000, false, false },
		{ "not there, and a new hint", GEN_UNCERTAIN, EV_NOT_THERE, ERR_OK, 1, GEN_CANCEL_NONE, 1000, true, false },
		{ "time over", GEN_UNCERTAIN, EV_DEADLINE, ERR_OK, 1, GEN_CANCEL_NONE, 0, false, false },
		{ "paused", GEN_QUEUED, EV_DEFERRED, ERR_OK, 1, GEN_CANCEL_NONE, 1000, false, true },
		{ "runs", GEN_RUNNING, EV_DEFERRED, ERR_OK, 1, GEN_CANCEL_NONE, 1000, true, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct job job = job_in(cases[i].state);
		const struct job_event ev = { .kind = cases[i].event, .error = cases[i].error,
			.attempt = cases[i].attempt, .elsewhere = "another" };
		struct transition t;

		job.cancel = cases[i].cancel;
		job.time_left_ms = cases[i].left_ms;
		job.prediction_id = cases[i].hint ? ours : NULL;
		t = job_next(&job, &ev);
		ASSERT_ROW(cases[i].name, (t.provider != NULL) == cases[i].goes);
		ASSERT_ROW(cases[i].name, !cases[i].goes || (t.moves && t.state == GEN_QUEUED));
	}
}

/* The operator decides, once it is said that something may be lost. */
static void
settled_by_force(void **state)
{
	(void)state;
	for (int s = 0; s < GEN_SETTLED; s++) {
		struct job job = job_in((enum gen_state)s);
		struct job_event ev = { .kind = EV_SETTLE, .force = true, .error = ERR_OPERATOR };
		struct transition t = job_next(&job, &ev);

		assert_true(t.moves);
		assert_int_equal(t.state, GEN_SETTLED);
		assert_int_equal(t.status, GEN_FAILED);
		assert_int_equal(t.error, ERR_OPERATOR);
		ev.error = ERR_OK;
		t = job_next(&job, &ev);
		assert_true(t.moves);
		assert_int_equal(t.status, GEN_CANCELED);
		assert_int_equal(t.error, ERR_OK);
	}
}

static void
settled_never_moves(void **state)
{
	struct job job = job_in(GEN_SETTLED);

	(void)state;
	for (int e = 0; e < EV_COUNT; e++)
		for (int says = STARTS; says <= UNKNOWN_WORD; says++)
			for (int status = GEN_SUCCEEDED; status < GEN_STATUS_COUNT; status++) {
				struct gen_observation obs;
				struct job_event ev = { .kind = (enum job_event_kind)e, .attempt = 1 };

				observe((enum says)says, &obs);
				ev.obs = &obs;
				job.status = (enum gen_status)status;
				assert_false(job_next(&job, &ev).moves);
				json_decref(obs.outputs);
			}
}

/* A process that was stopped wakes up with the answer of an earlier create. */
static void
outcomes_of_another_attempt_do_not_count(void **state)
{
	static const enum job_event_kind outcomes[] = { EV_ACCEPTED, EV_REFUSED, EV_DEFERRED, EV_UNKNOWN };
	struct gen_observation obs;

	(void)state;
	observe(STARTS, &obs);
	for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++) {
		struct job job = job_in(GEN_SUBMITTING);
		struct job_event ev = { .kind = outcomes[i], .attempt = 1, .obs = &obs };

		job.attempts = 2;
		assert_false(job_next(&job, &ev).moves);
		job.state = GEN_UNCERTAIN;
		assert_false(job_next(&job, &ev).moves);
	}
	json_decref(obs.outputs);
}

/* What names a prediction that the job does not have, or leaves one behind. */
static void
what_goes_astray(void **state)
{
	static const struct {
		const char *name;
		enum gen_state state;
		enum job_event_kind kind;
		int32_t attempt;
		char *has, *told;
		const char *stray;
		bool moves;
	} cases[] = {
		{ "a late answer, sent again", GEN_SUBMITTING, EV_ACCEPTED, 0, NULL, ours, "ours", false },
		{ "a late answer, uncertain again", GEN_UNCERTAIN, EV_ACCEPTED, 0, NULL, ours, "ours", false },
		{ "a late answer, not there", GEN_QUEUED, EV_ACCEPTED, 1, NULL, ours, NULL, true },
		{ "a late answer, deferred since", GEN_QUEUED, EV_ACCEPTED, 0, NULL, ours, "ours", false },
		{ "a late answer, running", GEN_RUNNING, EV_ACCEPTED, 1, other, ours, "ours", false },
		{ "the same answer, running", GEN_RUNNING, EV_ACCEPTED, 0, ours, ours, NULL, true },
		{ "a late answer, storing", GEN_STORING, EV_ACCEPTED, 1, other, ours, "ours", false },
		{ "a late answer, settled", GEN_SETTLED, EV_ACCEPTED, 1, other, ours, "ours", false },
		{ "settled, none known", GEN_SETTLED, EV_OBSERVED, 1, NULL, ours, "ours", false },
		{ "settled, its own", GEN_SETTLED, EV_OBSERVED, 1, ours, ours, NULL, false },
		{ "a webhook, running", GEN_RUNNING, EV_OBSERVED, 1, other, ours, "ours", false },
		{ "a webhook, queued", GEN_QUEUED, EV_OBSERVED, 1, NULL, ours, "ours", false },
		{ "a second hint", GEN_UNCERTAIN, EV_OBSERVED, 1, other, ours, "ours", false },
		{ "the same hint", GEN_UNCERTAIN, EV_OBSERVED, 1, ours, ours, NULL, false },
		{ "another than the hint", GEN_SUBMITTING, EV_ACCEPTED, 1, other, ours, "another", true },
		{ "another than the hint is found", GEN_UNCERTAIN, EV_FOUND, 1, other, ours, "another", true },
		{ "refused, with a hint", GEN_SUBMITTING, EV_REFUSED, 1, other, NULL, "another", true },
		{ "given up, with a hint", GEN_UNCERTAIN, EV_DEADLINE, 1, other, NULL, "another", true },
		{ "no id", GEN_RUNNING, EV_OBSERVED, 1, ours, NULL, NULL, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct gen_observation obs;
		struct job job = job_in(cases[i].state);
		const struct job_event ev = { .kind = cases[i].kind, .attempt = cases[i].attempt,
			.obs = &obs, .error = ERR_PROVIDER_REJECTED };
		struct transition t;

		observe(PROCESSES, &obs);
		obs.prediction_id = cases[i].told;
		job.prediction_id = cases[i].has;
		t = job_next(&job, &ev);
		ASSERT_ROW(cases[i].name, t.moves == cases[i].moves);
		ASSERT_ROW(cases[i].name, t.stray && cases[i].stray ? strcmp(t.stray, cases[i].stray) == 0
			: !t.stray && !cases[i].stray);
		json_decref(obs.outputs);
	}
}

/* A job that has gone on to another provider: nothing that is said at the one before
 * moves it, nor does a create that was made for that; what is named there is looked at. */
static void
what_is_said_at_another_provider(void **state)
{
	static const enum job_event_kind kinds[] = { EV_SEND, EV_ACCEPTED, EV_REFUSED, EV_DEFERRED,
		EV_UNKNOWN, EV_FOUND, EV_OBSERVED, EV_HEARD };
	static char here[] = "here";
	struct gen_observation obs;

	(void)state;
	observe(SUCCEEDS, &obs);
	for (enum gen_state in = GEN_QUEUED; in <= GEN_SETTLED; in++)
		for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
			bool tells = kinds[i] == EV_ACCEPTED || kinds[i] >= EV_FOUND;
			struct job job = job_in(in);
			const struct job_event ev = { .kind = kinds[i], .provider = "there", .attempt = 1,
				.obs = tells ? &obs : NULL, .error = ERR_PROVIDER_UNAVAILABLE, .elsewhere = here };
			struct transition t;

			job.provider = here;
			t = job_next(&job, &ev);
			ASSERT_ROW(job_event_name(kinds[i]), !t.moves);
			ASSERT_ROW(job_event_name(kinds[i]), t.stray == (tells ? ours : NULL));
		}
	json_decref(obs.outputs);
}

/* The hint that was looked at, and no other; and of the create that is meant. */
static void
not_there_is_of_what_was_looked_at(void **state)
{
	struct job job = job_in(GEN_UNCERTAIN);
	struct job_event ev = { .kind = EV_NOT_THERE, .attempt = 1 };

	(void)state;
	job.prediction_id = ours;
	assert_false(job_next(&job, &ev).moves);
	ev.hint = other;
	assert_false(job_next(&job, &ev).moves);
	ev.hint = ours;
	assert_int_equal(job_next(&job, &ev).state, GEN_QUEUED);
	assert_null(job_next(&job, &ev).stray);
	ev.attempt = 2;
	assert_false(job_next(&job, &ev).moves);
	/* Nor does an answer of "nothing sent" count beside a hint. */
	ev.attempt = 1;
	ev.kind = EV_DEFERRED;
	assert_false(job_next(&job, &ev).moves);
	job.state = GEN_SUBMITTING;
	assert_int_equal(job_next(&job, &ev).state, GEN_UNCERTAIN);
	/* Past its time it is not sent again. */
	job = job_in(GEN_UNCERTAIN);
	job.time_left_ms = 0;
	ev = (struct job_event){ .kind = EV_NOT_THERE, .attempt = 1 };
	assert_int_equal(job_next(&job, &ev).error, ERR_TIMEOUT);
}

static void
another_prediction_says_nothing_of_ours(void **state)
{
	struct gen_observation obs;
	struct job_event ev = { .kind = EV_OBSERVED, .obs = &obs };
	struct job job = job_in(GEN_RUNNING);

	(void)state;
	observe(SUCCEEDS, &obs);
	obs.prediction_id = other;
	assert_false(job_next(&job, &ev).moves);
	obs.prediction_id = NULL;
	assert_false(job_next(&job, &ev).moves);
	json_decref(obs.outputs);
}

/* A webhook before the create's answer: its word is not taken, it is looked at. */
static void
a_hint_is_kept_once(void **state)
{
	struct gen_observation obs;
	struct job_event ev = { .kind = EV_OBSERVED, .obs = &obs };
	struct job job = job_in(GEN_UNCERTAIN);
	struct transition t;

	(void)state;
	observe(SUCCEEDS, &obs);
	t = job_next(&job, &ev);
	assert_true(t.moves && t.takes_prediction && !t.lists_outputs);
	assert_int_equal(t.state, GEN_UNCERTAIN);
	job.prediction_id = ours;
	obs.prediction_id = other;
	assert_false(job_next(&job, &ev).moves);
	json_decref(obs.outputs);
}

static void
status_never_turns_back(void **state)
{
	struct gen_observation obs;
	struct job_event ev = { .kind = EV_OBSERVED, .obs = &obs };
	struct job job = job_in(GEN_RUNNING);

	(void)state;
	job.status = GEN_PROCESSING;
	observe(STARTS, &obs);
	assert_false(job_next(&job, &ev).moves);
	json_decref(obs.outputs);
}

/* Who wanted it decides what a canceled prediction means. */
static void
canceled_by_whom(void **state)
{
	static const struct {
		enum gen_cancel cancel;
		int64_t left_ms;
		enum gen_status status;
		enum err_code error;
	} by[] = {
		{ GEN_CANCEL_USER, 1000, GEN_CANCELED, ERR_OK },
		{ GEN_CANCEL_USER, -1, GEN_CANCELED, ERR_OK },
		{ GEN_CANCEL_DEADLINE, -1, GEN_FAILED, ERR_TIMEOUT },
		{ GEN_CANCEL_NONE, -1, GEN_FAILED, ERR_TIMEOUT },	/* by Cancel-After */
		{ GEN_CANCEL_NONE, 1000, GEN_CANCELED, ERR_OK },	/* in the provider's console */
	};
	struct gen_observation obs;
	struct job_event ev = { .kind = EV_OBSERVED, .obs = &obs };

	(void)state;
	observe(CANCELS, &obs);
	for (size_t i = 0; i < sizeof by / sizeof *by; i++) {
		struct job job = job_in(GEN_RUNNING);
		struct transition t;

		job.cancel = by[i].cancel;
		job.time_left_ms = by[i].left_ms;
		t = job_next(&job, &ev);
		assert_int_equal(t.status, by[i].status);
		assert_int_equal(t.error, by[i].error);
	}
	json_decref(obs.outputs);
}

static void
cancel_is_asked_once(void **state)
{
	struct job job = job_in(GEN_RUNNING);
	struct job_event ev = { .kind = EV_CANCEL };

	(void)state;
	assert_int_equal(job_next(&job, &ev).cancel, GEN_CANCEL_USER);
	job.cancel = GEN_CANCEL_USER;
	assert_false(job_next(&job, &ev).moves);
}

/* Nothing exists at the provider, and somebody wants it to end: not sent again. */
static void
what_is_to_end_is_not_sent_again(void **state)
{
	static const struct {
		enum gen_state state;
		enum job_event_kind kind;
		enum gen_cancel cancel;
		enum gen_state to;
		enum gen_status status;
		enum err_code error;
	} cases[] = {
		{ GEN_SUBMITTING, EV_DEFERRED, GEN_CANCEL_USER, GEN_SETTLED, GEN_CANCELED, ERR_OK },
		{ GEN_SUBMITTING, EV_DEFERRED, GEN_CANCEL_DEADLINE, GEN_SETTLED, GEN_FAILED, ERR_TIMEOUT },
		{ GEN_UNCERTAIN, EV_DEFERRED, GEN_CANCEL_USER, GEN_SETTLED, GEN_CANCELED, ERR_OK },
		{ GEN_UNCERTAIN, EV_NOT_THERE, GEN_CANCEL_USER, GEN_SETTLED, GEN_CANCELED, ERR_OK },
		{ GEN_UNCERTAIN, EV_NOT_THERE, GEN_CANCEL_DEADLINE, GEN_SETTLED, GEN_FAILED, ERR_TIMEOUT },
		{ GEN_UNCERTAIN, EV_NOT_THERE, GEN_CANCEL_NONE, GEN_QUEUED, GEN_STARTING, ERR_OK },
		/* Whether it exists is not known: the mark waits. */
		{ GEN_SUBMITTING, EV_UNKNOWN, GEN_CANCEL_USER, GEN_UNCERTAIN, GEN_STARTING, ERR_OK },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct job job = job_in(cases[i].state);
		const struct job_event ev = { .kind = cases[i].kind, .attempt = 1 };
		struct transition t;

		job.cancel = cases[i].cancel;
		t = job_next(&job, &ev);
		assert_true(t.moves);
		assert_int_equal(t.state, cases[i].to);
		assert_int_equal(t.status, cases[i].status);
		assert_int_equal(t.error, cases[i].error);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state_and_event),
		cmocka_unit_test(the_table_has_every_pair),
		cmocka_unit_test(hearsay_is_looked_at),
		cmocka_unit_test(failed_or_canceled),
		cmocka_unit_test(goes_elsewhere),
		cmocka_unit_test(settled_by_force),
		cmocka_unit_test(settled_never_moves),
		cmocka_unit_test(outcomes_of_another_attempt_do_not_count),
		cmocka_unit_test(what_goes_astray),
		cmocka_unit_test(what_is_said_at_another_provider),
		cmocka_unit_test(not_there_is_of_what_was_looked_at),
		cmocka_unit_test(another_prediction_says_nothing_of_ours),
		cmocka_unit_test(a_hint_is_kept_once),
		cmocka_unit_test(status_never_turns_back),
		cmocka_unit_test(canceled_by_whom),
		cmocka_unit_test(cancel_is_asked_once),
		cmocka_unit_test(what_is_to_end_is_not_sent_again),
	};

	return cmocka_run_group_tests_name("job", tests, NULL, NULL);
}
