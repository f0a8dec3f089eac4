/*
 * Queued, submitting: getting a job to the provider, once.
 */
#include "config.h"

#include "base/clock.h"
#include "base/metrics.h"
#include "base/pause_point.h"
#include "core/input.h"
#include "core/pause.h"
#include "core/step.h"
#include "core/workers.h"
#include "db/strays.h"
#include "providers/adapter.h"

/* Until a job looks again whether one of the threads for lasting creates is free. */
#define FULL_WAIT_MS 2000

/* What the create's request is made of, from the job as it is in the database. */
static enum err_code
build_request(struct service *svc, const struct provider *p, const void *settings,
	const struct job *job, struct http_request *rq, struct buf *handle, const json_t **ret_price,
	struct err *err)
{
	struct buf webhook = BUF_INIT(8192);
	struct model model;
	json_t *on = NULL, *request = NULL;
	enum err_code rc;

	if (!models_find(svc->models, job->model, &model))
		return err_set(err, ERR_CONFIG, "models_file has no model \"%s\" any more", job->model);
	*ret_price = model_price(&model, p->name);
	rc = input_sign_all(svc, job, &request, err);
	if (!rc)
		rc = models_expand(&model, p->name, request, &on, err);
	if (!rc)
		rc = service_webhook_url(svc, p, settings, job, &webhook, err);
	if (!rc) {
		struct gen_spec spec = {
			.job_id = job->id, .on = on,
			.webhook_url = webhook.len ? buf_str(&webhook) : NULL,
			.time_left_ms = (uint64_t)job->time_left_ms,
		};

		rc = adapter_submit_request(p, settings, &spec, rq, err);
		if (!rc)
			rc = adapter_submit_handle(p, &spec, handle, err);
	}
	json_decref(on);
	json_decref(request);
	buf_clear(&webhook);
	/* Not worth a create: one that has no room for it goes without. */
	if (!rc && job->trace[0] && rq->n_headers < HTTP_MAX_HEADERS)
		rc = http_request_add_header(rq, "traceparent", job->trace);
	return rc;
}

static const char *const outcome_names[] = {
	[SUBMIT_ACCEPTED] = "accepted", [SUBMIT_REFUSED] = "refused",
	[SUBMIT_DEFERRED] = "deferred", [SUBMIT_UNKNOWN] = "unknown",
};

/* What the answer, or its absence, means for the job. */
static void
take_outcome(struct service *svc, struct job *job, const struct provider *p,
	const void *settings, const struct pause_leave *leave, enum err_code sent, struct http_response *rs, struct err *err)
{
	struct submit_reply reply = { .outcome = SUBMIT_UNKNOWN, .obs = GEN_OBSERVATION_INIT };
	struct gen_observation obs;
	char own_id[UUID_TEXT_SIZE];
	struct job_event ev = { .kind = EV_UNKNOWN, .provider = p->name, .attempt = job->attempts };
	struct apply how = { .road = "reply", .message = err->text };

	ev.elsewhere = step_elsewhere(svc, job, &how.at_once);

	/* See http_perform(): without a sink ERR_INTERNAL is of the start, too. */
	if (sent == ERR_NOT_SENT || sent == ERR_INVALID || sent == ERR_NOMEM || sent == ERR_INTERNAL)
		reply.outcome = SUBMIT_DEFERRED;
	else if (!sent && adapter_submit_reply(p, settings, rs, &reply, err))
		reply.outcome = SUBMIT_UNKNOWN;
	http_response_clear(rs);	/* it may be large, and was read */
	if (reply.message)
		how.message = reply.message;
	switch (reply.outcome) {
	case SUBMIT_ACCEPTED:
		obs = reply.obs;
		if (!obs.prediction_id) {	/* nobody will ask for it */
			uuid_format(&job->id, own_id);
			obs.prediction_id = own_id;
		}
		ev.kind = EV_ACCEPTED;
		ev.obs = &obs;
		how.message = NULL;
		break;
	case SUBMIT_REFUSED:
		ev.kind = EV_REFUSED;
		ev.error = reply.error;
		break;
	case SUBMIT_DEFERRED:
		ev.kind = EV_DEFERRED;
		how.wait_ms = reply.retry_after_ms;
		break;
	case SUBMIT_UNKNOWN:
		break;
	}
	metric_add(METRIC_SUBMITS, 1, p->name, outcome_names[reply.outcome]);
	if (reply.outcome != SUBMIT_ACCEPTED)
		step_failed(job, job_event_name(ev.kind), how.message);
	/* Who hears that it failed and tries again is to meet the pause. */
	if (reply.outcome != SUBMIT_ACCEPTED)
		pause_learn(svc, p, leave, &reply);
	/* Without it a prediction that was paid for would be lost. */
	step_apply_surely(svc, job, &ev, &how);
	if (reply.outcome == SUBMIT_ACCEPTED)
		pause_learn(svc, p, leave, &reply);
	submit_reply_clear(&reply);
}

/*
 * The database went away while the job was moved to `submitting`: whether it is
 * there now is not known, but that nothing was sent is.  Nobody else moves it
 * there while our lease lasts, so it is ours to put back; left alone it would be
 * looked for at the provider, in vain.
 */
static void
take_back(struct service *svc, const struct job *job, int32_t attempt, int64_t until_boot_us)
{
	const struct job_event unsent = { .kind = EV_DEFERRED, .attempt = attempt };
	const struct apply how = { .message = "the database went away before it was sent" };
	struct job now;
	enum err_code rc;

	for (int32_t tries = 1; ; tries++) {
		rc = jobs_load(svc->db, &job->owner, &job->id, &now, NULL);
		if (rc != ERR_UNAVAILABLE && rc != ERR_NOMEM)
			break;
		if (clock_boot_us() >= until_boot_us || !workers_pause(svc->workers, backoff_ms(tries)))
			return;
	}
	if (rc)
		return;
	if (now.state == GEN_SUBMITTING && now.attempts == attempt && clock_boot_us() < until_boot_us)
		step_apply_surely(svc, &now, &unsent, &how);
	job_clear(&now);
}

/* Its provider is paused; that is no failed try. */
static void
hold(struct service *svc, const struct job *job, uint64_t wait_ms)
{
	uint64_t left_ms = (uint64_t)job->time_left_ms;
	struct err err = ERR_INIT;
	enum err_code rc = jobs_defer(svc->db, job, wait_ms < left_ms ? wait_ms : left_ms, &err);

	if (rc && rc != ERR_LOST_RACE)
		step_failed(job, "defer", err.text);
}

/* A create that is answered with the end keeps its thread for minutes: those have
 * threads of their own. */
static bool
lasts(const struct job *job)
{
	const struct provider *p = provider_by_name(job->provider);

	return p && p->caps & PROVIDER_SYNC;
}

/* Its provider is paused, and nothing exists there.  false: there is no other. */
static bool
pass_on(struct service *svc, struct job *job)
{
	struct apply how = { .message = "it is paused" };
	const struct job_event ev = { .kind = EV_DEFERRED, .attempt = job->attempts,
		.elsewhere = step_elsewhere(svc, job, &how.at_once) };

	if (!ev.elsewhere)
		return false;
	how.at_once = true;	/* no create has been tried at all */
	step_apply(svc, job, &ev, &how);
	return true;
}

/*
 * For how long the create is its sender's.  One takes half of a lease at most; one
 * that is answered with the end takes as long as its provider says, though not longer
 * than the job.
 */
static uint64_t
limit_create(const struct service *svc, const struct provider *p, const struct job *job,
	struct http_request *rq)
{
	uint64_t lease_ms = svc->settings->lease_ms;
	bool lasts = p->caps & PROVIDER_SYNC;
	uint64_t most_ms = lasts ? (uint64_t)job->time_left_ms : lease_ms / 2;

	if (rq->timeout_ms > most_ms)
		rq->timeout_ms = (uint32_t)most_ms;
	return lasts ? lease_ms / 2 + rq->timeout_ms : lease_ms;
}

/*
 * The job is known to be `submitting` before a byte is sent; and nothing is
 * sent after the lease, less what the call may take, is over: another worker
 * may look for the prediction then.
 */
static void
send_create(struct service *svc, struct job *job)
{
	struct job_event begin = { .kind = EV_SEND };
	struct apply how = { .road = "reply" };
	int64_t lease_us, claimed_us = clock_boot_us();
	struct buf handle = BUF_INIT(HANDLE_MAX);
	struct http_request rq = HTTP_REQUEST_INIT;
	struct http_response rs = HTTP_RESPONSE_INIT;
	struct err err = ERR_INIT;
	const void *settings;
	const struct provider *p = service_provider(svc, job->provider, &settings);
	struct pause_leave leave;
	uint64_t wait_ms;
	int32_t attempts;
	bool moved = false;
	enum err_code rc;

	rc = p ? build_request(svc, p, settings, job, &rq, &handle, &how.price, &err)
		: err_set(&err, ERR_CONFIG, "this program has no provider \"%s\"", job->provider);
	if (rc == ERR_CONFIG || rc == ERR_INPUT_GONE) {
		struct apply why = { .message = err.text };
		const struct job_event gone = { .kind = EV_REFUSED, .provider = p ? p->name : NULL,
			.attempt = job->attempts,
			.error = rc == ERR_CONFIG ? ERR_PROVIDER_UNAVAILABLE : rc,
			.elsewhere = step_elsewhere(svc, job, &why.at_once) };

		step_failed(job, "submit", err.text);
		step_apply(svc, job, &gone, &why);
		goto out;
	}
	if (rc) {
		step_failed(job, "submit", err.text);
		step_later(svc, job, backoff_ms(job->tries + 1));
		goto out;
	}
	if (!pause_leave(svc, p, &leave, &wait_ms)) {
		if (!pass_on(svc, job))
			hold(svc, job, wait_ms);
		goto out;
	}
	how.handle = handle.len ? buf_str(&handle) : NULL;
	how.lease_ms = limit_create(svc, p, job, &rq);
	lease_us = (int64_t)how.lease_ms * 1000;
	rq.not_after_boot_us = claimed_us + lease_us - (int64_t)rq.timeout_ms * 1000;
	attempts = job->attempts;
	begin.provider = p->name;
	PAUSE_POINT("submitting.uncommitted");
	rc = job_apply(svc, job, &begin, &how, &moved, &err);
	if (rc) {
		step_failed(job, "submit", err.text);
		take_back(svc, job, attempts + 1, claimed_us + lease_us - lease_us / 4);
	}
	if (rc || !moved) {
		pause_unused(svc, p, &leave);
		goto out;
	}
	if (lasts(job))
		workers_expect(svc->workers, rq.timeout_ms);
	PAUSE_POINT("submitting.committed");
	rc = step_perform(svc, p, "submit", &rq, &rs, &err);
	PAUSE_POINT("submit.answered");
	take_outcome(svc, job, p, settings, &leave, rc, &rs, &err);
out:
	http_request_clear(&rq);
	http_response_clear(&rs);
	buf_clear(&handle);
}

/* Its lease is over: whoever sent it has gone, and counts it no more. */
static void
take_over(struct service *svc, struct job *job)
{
	const struct job_event unknown = { .kind = EV_UNKNOWN, .attempt = job->attempts };
	const struct apply how = { .road = NULL };
	const struct provider *p = provider_by_name(job->provider);

	step_apply(svc, job, &unknown, &how);
	if (p && job->state == GEN_UNCERTAIN)
		metric_add(METRIC_SUBMITS, 1, p->name, outcome_names[SUBMIT_UNKNOWN]);
}

/* Something has named a prediction that an earlier create may have made after all; it
 * is looked at first (core/stray.c). */
static bool
may_have_one(struct service *svc, const struct job *job)
{
	struct err err = ERR_INIT;
	bool open = false;

	if (job->attempts > 0 && strays_open(svc->db, &job->owner, &job->id, &open, &err)) {
		step_failed(job, "submit", err.text);
		return true;
	}
	return open;
}

void
create_step(struct service *svc, struct job *job)
{
	send_create(svc, job);
}

void
submit_step(struct service *svc, struct job *job)
{
	const struct job_event deadline = { .kind = EV_DEADLINE };
	const struct apply how = { .road = NULL };

	if (job->state == GEN_SUBMITTING)
		take_over(svc, job);
	else if (job->time_left_ms <= 0)
		step_apply(svc, job, &deadline, &how);
	else if (may_have_one(svc, job))
		step_later(svc, job, backoff_ms(job->tries + 1));
	else if (!lasts(job))
		send_create(svc, job);
	else if (!workers_hand_over(svc->workers, job))
		hold(svc, job, jittered_ms(FULL_WAIT_MS));
}
