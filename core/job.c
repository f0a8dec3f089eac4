#include "config.h"

#include "core/job.h"

static const char *const names[EV_COUNT] = {
	[EV_SEND] = "submitting",
	[EV_ACCEPTED] = "accepted",
	[EV_REFUSED] = "refused",
	[EV_DEFERRED] = "deferred",
	[EV_UNKNOWN] = "outcome_unknown",
	[EV_FOUND] = "found",
	[EV_NOT_THERE] = "not_there",
	[EV_OBSERVED] = "observed",
	[EV_HEARD] = "heard",
	[EV_STORED] = "stored",
	[EV_STORE_FAILED] = "store_failed",
	[EV_CANCEL] = "cancel_asked",
	[EV_DEADLINE] = "deadline",
	[EV_SETTLE] = "settled",
};

const char *
job_event_name(enum job_event_kind kind)
{
	return names[kind];
}

static const struct transition stays = { .moves = false };

static struct transition
to_state(const struct job *job, enum gen_state state)
{
	return (struct transition){ .moves = true, .state = state, .status = job->status };
}

static struct transition
settle(enum gen_status status, enum err_code error)
{
	return (struct transition){ .moves = true, .state = GEN_SETTLED,
		.status = status, .error = error };
}

static struct transition
marked(const struct job *job, enum gen_cancel why)
{
	struct transition t = to_state(job, job->state);

	if (job->cancel != GEN_CANCEL_NONE)
		return stays;
	t.cancel = why;
	return t;
}

/* What a canceled prediction means depends on who wanted it. */
static struct transition
canceled(const struct job *job)
{
	bool too_late = job->cancel == GEN_CANCEL_DEADLINE ||
		(job->cancel == GEN_CANCEL_NONE && job->time_left_ms <= 0);

	return too_late ? settle(GEN_FAILED, ERR_TIMEOUT) : settle(GEN_CANCELED, ERR_OK);
}

static struct transition
succeeded(const struct gen_observation *obs)
{
	struct transition t = { .moves = true, .state = GEN_STORING, .status = GEN_PROCESSING,
		.lists_outputs = true };

	if (obs->data_removed)
		return settle(GEN_FAILED, ERR_OUTPUTS_LOST);
	if (json_array_size(obs->outputs) == 0)
		return settle(GEN_FAILED, ERR_NO_OUTPUT);
	return t;
}

/* The provider has it, and this is what it says. */
static struct transition
seen(const struct job *job, const struct gen_observation *obs)
{
	struct transition t = to_state(job, GEN_RUNNING);

	switch (obs->status) {
	case GEN_SUCCEEDED:
		t = succeeded(obs);
		break;
	case GEN_FAILED:
		t = obs->or_canceled && job->cancel != GEN_CANCEL_NONE ? canceled(job)
			: settle(GEN_FAILED, obs->error);
		break;
	case GEN_CANCELED:
		t = canceled(job);
		break;
	case GEN_PROCESSING:
		t.status = GEN_PROCESSING;
		break;
	default:		/* news that comes late does not turn the status back */
		break;
	}
	t.takes_prediction = true;
	if (job->state == GEN_RUNNING && t.state == GEN_RUNNING && t.status == job->status)
		return stays;
	return t;
}

/* Nothing exists at the provider: it is sent later, or to another one, unless it is
 * to end. */
static struct transition
not_taken(const struct job *job, const struct job_event *ev)
{
	struct transition t = to_state(job, GEN_QUEUED);

	if (job->cancel == GEN_CANCEL_USER)
		return settle(GEN_CANCELED, ERR_OK);
	if (job->cancel == GEN_CANCEL_DEADLINE || job->time_left_ms <= 0)
		return settle(GEN_FAILED, ERR_TIMEOUT);
	t.provider = ev->elsewhere;
	return t;
}

/* A provider that takes nothing from us says nothing of the request: another one may
 * take it.  Not while something names a prediction here. */
static struct transition
refused(const struct job *job, const struct job_event *ev)
{
	bool ours = ev->error == ERR_PROVIDER_UNAVAILABLE;

	return ours && ev->elsewhere && !job->prediction_id ? not_taken(job, ev)
		: settle(GEN_FAILED, ev->error);
}

static bool
same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Something names a prediction that the job does not have: nothing moves, and it
 * is looked at. */
static struct transition
beside(const struct job *job, const struct gen_observation *obs)
{
	struct transition t = stays;

	if (obs->prediction_id && !same(obs->prediction_id, job->prediction_id))
		t.stray = obs->prediction_id;
	return t;
}

/*
 * The outcome of an earlier create, from a process that was stopped meanwhile,
 * says nothing about the one that is under way now.
 */
static bool
is_of_another_attempt(const struct job *job, const struct job_event *ev)
{
	bool outcome = ev->kind == EV_ACCEPTED || ev->kind == EV_REFUSED ||
		ev->kind == EV_DEFERRED || ev->kind == EV_UNKNOWN || ev->kind == EV_NOT_THERE;

	return outcome && ev->attempt != job->attempts;
}

/*
 * The job has gone on to another provider meanwhile: what the one before says, or a create
 * that was made for it, does not move it.  What is named there is looked at there.
 */
static bool
is_of_another_provider(const struct job *job, const struct job_event *ev)
{
	return ev->provider && job->provider && strcmp(ev->provider, job->provider) != 0;
}

static struct transition
left_there(const struct job_event *ev)
{
	struct transition t = stays;

	if (ev->obs)
		t.stray = ev->obs->prediction_id;
	return t;
}

static bool
is_of_another_prediction(const struct job *job, const struct gen_observation *obs)
{
	return !obs->prediction_id || !same(obs->prediction_id, job->prediction_id);
}

/*
 * A webhook names a prediction before we know one: its word is not taken for
 * it, but it is looked at.  The first is a hint in the job itself, since most
 * often it is just faster than the create's answer.
 */
static struct transition
hinted(const struct job *job, const struct gen_observation *obs)
{
	struct transition t = to_state(job, job->state);

	if (job->prediction_id || !obs->prediction_id)
		return beside(job, obs);
	t.takes_prediction = true;
	return t;
}

/* What cannot be told from old news says nothing of its prediction but its name. */
static struct transition
heard(const struct job *job, const struct gen_observation *obs)
{
	struct transition t = to_state(job, job->state);

	if (is_of_another_prediction(job, obs))
		return beside(job, obs);
	t.looks = true;
	return t;
}

/* A hint that the job leaves behind is looked at all the same. */
static const char *
left_behind(const struct job *job, const struct job_event *ev, const struct transition *t)
{
	bool hint = job->state == GEN_SUBMITTING || job->state == GEN_UNCERTAIN;
	bool stays_open = t->state == GEN_SUBMITTING || t->state == GEN_UNCERTAIN;

	if (!hint || !t->moves || stays_open || ev->kind == EV_NOT_THERE)
		return NULL;
	return t->takes_prediction && same(ev->obs->prediction_id, job->prediction_id)
		? NULL : job->prediction_id;
}

static struct transition
next_queued(const struct job *job, const struct job_event *ev)
{
	switch (ev->kind) {
	case EV_SEND:
		return to_state(job, GEN_SUBMITTING);
	case EV_ACCEPTED:	/* it was not there, and now its answer comes */
		return ev->attempt == job->attempts ? seen(job, ev->obs) : beside(job, ev->obs);
	case EV_FOUND:
		return seen(job, ev->obs);
	case EV_OBSERVED:
	case EV_HEARD:
		return beside(job, ev->obs);
	case EV_REFUSED:	/* before anything was sent: the provider is gone */
		return ev->attempt == job->attempts ? refused(job, ev) : stays;
	case EV_DEFERRED:	/* the same: it is paused */
		return ev->elsewhere && ev->attempt == job->attempts ? not_taken(job, ev) : stays;
	case EV_CANCEL:
		return settle(GEN_CANCELED, ERR_OK);
	case EV_DEADLINE:
		return settle(GEN_FAILED, ERR_TIMEOUT);
	default:
		return stays;
	}
}

static struct transition
next_submitting(const struct job *job, const struct job_event *ev)
{
	if (is_of_another_attempt(job, ev))
		return ev->kind == EV_ACCEPTED ? beside(job, ev->obs) : stays;
	switch (ev->kind) {
	case EV_ACCEPTED:
	case EV_FOUND:
		return seen(job, ev->obs);
	case EV_REFUSED:
		return refused(job, ev);
	case EV_DEFERRED:	/* and yet something names a prediction */
		return job->prediction_id ? to_state(job, GEN_UNCERTAIN) : not_taken(job, ev);
	case EV_UNKNOWN:
		return to_state(job, GEN_UNCERTAIN);
	case EV_OBSERVED:
	case EV_HEARD:
		return hinted(job, ev->obs);
	case EV_CANCEL:
		return marked(job, GEN_CANCEL_USER);
	case EV_DEADLINE:
		return marked(job, GEN_CANCEL_DEADLINE);
	default:
		return stays;
	}
}

static struct transition
next_uncertain(const struct job *job, const struct job_event *ev)
{
	if (is_of_another_attempt(job, ev))
		return ev->kind == EV_ACCEPTED ? beside(job, ev->obs) : stays;
	switch (ev->kind) {
	case EV_ACCEPTED:	/* the answer came after its lease was over */
	case EV_FOUND:
		return seen(job, ev->obs);
	case EV_REFUSED:	/* so did this one */
		return refused(job, ev);
	case EV_DEFERRED:
		return job->prediction_id ? stays : not_taken(job, ev);
	case EV_NOT_THERE:	/* unless another hint came meanwhile */
		return same(ev->hint, job->prediction_id) ? not_taken(job, ev) : stays;
	case EV_OBSERVED:
	case EV_HEARD:
		return hinted(job, ev->obs);
	case EV_CANCEL:
		return marked(job, GEN_CANCEL_USER);
	case EV_DEADLINE:
		return settle(GEN_FAILED, ERR_OUTCOME_UNKNOWN);
	default:
		return stays;
	}
}

static struct transition
next_running(const struct job *job, const struct job_event *ev)
{
	switch (ev->kind) {
	case EV_ACCEPTED:
	case EV_FOUND:
	case EV_OBSERVED:
		return is_of_another_prediction(job, ev->obs) ? beside(job, ev->obs)
			: seen(job, ev->obs);
	case EV_HEARD:
		return heard(job, ev->obs);
	case EV_CANCEL:
		return marked(job, GEN_CANCEL_USER);
	case EV_DEADLINE:	/* the provider's own deadline has passed by a margin */
		return settle(job->cancel == GEN_CANCEL_USER ? GEN_CANCELED : GEN_FAILED,
			job->cancel == GEN_CANCEL_USER ? ERR_OK : ERR_TIMEOUT);
	default:
		return stays;
	}
}

/* The provider has finished: neither cancel nor deadline undoes that. */
static struct transition
next_storing(const struct job *job, const struct job_event *ev)
{
	switch (ev->kind) {
	case EV_ACCEPTED:
	case EV_FOUND:
	case EV_OBSERVED:
	case EV_HEARD:
		return beside(job, ev->obs);
	case EV_STORED:
		return settle(GEN_SUCCEEDED, ERR_OK);
	case EV_STORE_FAILED:
		return settle(GEN_FAILED, ev->error);
	default:
		return stays;
	}
}

/* Never moves; but a prediction may come to light that nobody waits for. */
static struct transition
next_settled(const struct job *job, const struct job_event *ev)
{
	switch (ev->kind) {
	case EV_ACCEPTED:
	case EV_FOUND:
	case EV_OBSERVED:
	case EV_HEARD:
		return beside(job, ev->obs);
	default:
		return stays;
	}
}

/* Once a create may have been sent, there may be something to lose. */
static struct transition
settled_by_hand(const struct job *job, const struct job_event *ev)
{
	if (job->state != GEN_QUEUED && !ev->force)
		return stays;
	return ev->error ? settle(GEN_FAILED, ev->error) : settle(GEN_CANCELED, ERR_OK);
}

static struct transition
next(const struct job *job, const struct job_event *ev)
{
	if (ev->kind == EV_SETTLE && job->state != GEN_SETTLED)
		return settled_by_hand(job, ev);
	if (is_of_another_provider(job, ev))
		return left_there(ev);
	switch (job->state) {
	case GEN_QUEUED:
		return next_queued(job, ev);
	case GEN_SUBMITTING:
		return next_submitting(job, ev);
	case GEN_UNCERTAIN:
		return next_uncertain(job, ev);
	case GEN_RUNNING:
		return next_running(job, ev);
	case GEN_STORING:
		return next_storing(job, ev);
	default:
		return next_settled(job, ev);
	}
}

struct transition
job_next(const struct job *job, const struct job_event *ev)
{
	struct transition t = next(job, ev);

	if (!t.stray)
		t.stray = left_behind(job, ev, &t);
	return t;
}
