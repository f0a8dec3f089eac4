/*
 * Running: asking how it stands, for the webhooks that never come; and asking
 * for its end, once somebody wants that.
 */
#include "config.h"

#include "base/pause_point.h"
#include "core/step.h"
#include "core/workers.h"

/* A live prediction answers 404 now and then; a gone one does so for good. */
#define GONE_AFTER 5

/* Who was thought to be there is looked for quickly again, and who is back
 * polled as from the start. */
static void
count_misses(struct job *job, bool gone)
{
	if (gone != (job->misses > 0))
		job->tries = 0;
	job->misses = gone ? job->misses + 1 : 0;
}

/* What the provider asks for, but not beyond the job's own end. */
static uint64_t
later_ms(const struct service *svc, const struct job *job, uint64_t asked_ms)
{
	return asked_ms ? before_end_ms(job, after_ms(asked_ms)) : poll_delay_ms(svc, job, job->tries);
}

/* What came of a call about the prediction. */
static void
take_reply(struct service *svc, struct job *job, const char *road, enum err_code rc,
	const struct status_reply *reply, const struct err *err)
{
	const struct job_event seen = { .kind = EV_OBSERVED, .obs = &reply->obs };
	const struct apply how = { .road = road };

	if (!rc && reply->outcome == STATUS_SEEN) {
		/* We know whose it is; not every reply says its id again. */
		if (!reply->obs.status_known)
			step_failed(job, road, reply->obs.status_text);
		step_apply(svc, job, &seen, &how);
	} else if (rc || reply->outcome == STATUS_LATER) {
		step_failed(job, road, rc ? err->text : reply->message);
	}
}

/* true: the provider has answered; how the job stands then is applied.
 * *ret_wait_ms: as it wants; 0: it did not say. */
static bool
cancel(struct service *svc, struct job *job, uint64_t *ret_wait_ms)
{
	struct status_reply reply = { .obs = GEN_OBSERVATION_INIT };
	struct err err = ERR_INIT;
	enum err_code rc = step_ask_cancel(svc, job->provider, job->prediction_id, job->handle, &reply, &err);
	bool answered = !rc && reply.outcome == STATUS_SEEN;

	PAUSE_POINT("cancel.answered");
	take_reply(svc, job, "cancel", rc, &reply, &err);
	*ret_wait_ms = reply.retry_after_ms;
	status_reply_clear(&reply);
	return answered;
}

/* It has been gone for too long to come back; which is also what becomes of one that was
 * canceled, where the provider forgets these. */
static void
give_up(struct service *svc, struct job *job, char *message)
{
	/* The event outlives the job as it is now, when somebody else moves it. */
	char *prediction_id = mem_strdup(job->prediction_id);
	struct gen_observation lost = { .prediction_id = prediction_id, .status = GEN_FAILED,
		.status_known = true, .error = ERR_PROVIDER_FAILED, .or_canceled = true, .message = message };
	const struct job_event gone = { .kind = EV_OBSERVED, .obs = &lost };
	const struct apply how = { .road = "poll" };

	if (prediction_id)	/* else the next look gives it up */
		step_apply(svc, job, &gone, &how);
	mem_free(prediction_id);
}

/* How does it stand?  *ret_wait_ms: as the provider wants; 0: it did not say.
 * ERR_STOPPING: nobody was asked. */
static enum err_code
look(struct service *svc, struct job *job, uint64_t *ret_wait_ms)
{
	struct status_reply reply = { .obs = GEN_OBSERVATION_INIT };
	struct err err = ERR_INIT;
	enum err_code rc = step_ask_status(svc, job->provider, job->prediction_id, job->handle, &reply, &err);

	take_reply(svc, job, "poll", rc, &reply, &err);
	count_misses(job, !rc && reply.outcome == STATUS_GONE);
	if (job->state == GEN_RUNNING && job->misses >= GONE_AFTER)
		give_up(svc, job, reply.message);
	*ret_wait_ms = reply.retry_after_ms;
	status_reply_clear(&reply);
	return rc;
}

void
poll_step(struct service *svc, struct job *job)
{
	const struct job_event deadline = { .kind = EV_DEADLINE };
	const struct apply how = { .road = "poll" };
	int32_t version = job->version;
	uint64_t wait_ms = 0;
	enum err_code rc = ERR_OK;

	/* Who cannot cancel, or did not hear us, is asked how it stands. */
	if (!wants_cancel(svc, job) || (!cancel(svc, job, &wait_ms) && !wait_ms))
		rc = look(svc, job, &wait_ms);
	if (rc == ERR_STOPPING) {
		step_give_back(svc, job);
		return;
	}
	if (job->state == GEN_RUNNING && job->time_left_ms < -END_MARGIN_MS)
		step_apply(svc, job, &deadline, &how);
	if (job->state == GEN_RUNNING && job->version == version)
		step_later(svc, job, later_ms(svc, job, wait_ms));
}
