/*
 * Strays: a second prediction for one job, as a late answer of a create, a list or a
 * webhook named it.  None of these is believed: the provider's own record is asked,
 * and where that tells no names, our own books.  If that says it is this job's, it is
 * taken over where the job has none yet, else ended, as often as it takes; what does not
 * name the job is left alone.
 */
#include "config.h"

#include "core/stray.h"

#include "base/log.h"
#include "base/metrics.h"
#include "base/pause_point.h"
#include "core/find.h"
#include "core/step.h"
#include "core/workers.h"
#include "db/strays.h"

/* A live prediction answers 404 now and then. */
#define GONE_AFTER 5

/* The stray's job, live or settled, as far as it is known.  job_clear() it. */
static enum err_code
load_job(struct service *svc, const struct stray *stray, struct job *ret, struct err *err)
{
	enum err_code rc = jobs_load(svc->db, &stray->owner, &stray->job, ret, err);

	if (rc == ERR_NOT_FOUND)
		rc = jobs_settled(svc->db, &stray->owner, &stray->job, ret, err);
	if (rc == ERR_NOT_FOUND) {	/* deleted since: still ours to end */
		*ret = (struct job){ .owner = stray->owner, .id = stray->job, .state = GEN_SETTLED };
		rc = ERR_OK;
	}
	if (!rc && !ret->provider && !(ret->provider = mem_strdup(stray->provider))) {
		job_clear(ret);
		rc = err_set(err, ERR_NOMEM, "stray");
	}
	return rc;
}

/* For log, trail and metrics: what became of it. */
static void
tell(struct service *svc, const struct stray *stray, const char *outcome)
{
	const struct provider *p = provider_by_name(stray->provider);
	json_t *detail;
	char id[UUID_TEXT_SIZE], event[32];
	struct err err = ERR_INIT;

	json_begin();
	detail = json_pack("{ss}", "prediction", stray->prediction_id);
	uuid_format(&stray->job, id);
	snprintf(event, sizeof event, "stray_%s", outcome);
	log_event(LOG_WARN, "job.stray", KV_STR("job", id), KV_STR("prediction", stray->prediction_id),
		KV_STR("outcome", outcome));
	if (p)
		metric_add(METRIC_STRAYS, 1, p->name, outcome);
	if (!detail || jobs_note(svc->db, &stray->owner, &stray->job, event, NULL, detail, &err))
		log_event(LOG_WARN, "stray.not_noted", KV_STR("job", id), KV_STR("error", err.text));
	json_decref(detail);
}

static void
come_back(struct service *svc, const struct stray *stray, uint64_t asked_ms, const char *why)
{
	uint64_t ms = backoff_ms(stray->attempts + 1);
	struct err err = ERR_INIT;
	char id[UUID_TEXT_SIZE];

	uuid_format(&stray->job, id);
	if (why)
		log_event(LOG_WARN, "stray.step_failed", KV_STR("job", id),
			KV_STR("prediction", stray->prediction_id),
			KV_INT("attempts", stray->attempts), KV_STR("error", why));
	/* If this fails, too, the lease brings it back. */
	asked_ms = after_ms(asked_ms);
	(void)!strays_later(svc->db, stray, asked_ms > ms ? asked_ms : ms, &err);
}

static void
deal_with(struct service *svc, const struct stray *stray, const char *verdict)
{
	struct err err = ERR_INIT;
	bool ended = false;

	if (strays_end(svc->db, stray, verdict, &ended, &err))
		come_back(svc, stray, 0, err.text);
	/* The job's own was just heard of in another way. */
	else if (ended && strcmp(verdict, "own") != 0)
		tell(svc, stray, verdict);
}

/* true: it has ended, and that is written down. */
static bool
has_ended(struct service *svc, const struct stray *stray, const struct gen_observation *obs)
{
	if (!gen_status_is_final(obs->status))
		return false;
	deal_with(svc, stray, obs->status == GEN_CANCELED ? "canceled" : "ended");
	return true;
}

/* It is this job's, and the job has another or none to wait for. */
static void
end_it(struct service *svc, const struct stray *stray, const struct gen_observation *obs)
{
	struct status_reply reply = { .obs = GEN_OBSERVATION_INIT };
	struct err err = ERR_INIT;
	bool first = false;
	enum err_code rc = strays_found(svc->db, stray, &first, &err);

	if (first)
		tell(svc, stray, "found");
	if (!rc && has_ended(svc, stray, obs))
		return;
	if (!rc)
		rc = step_ask_cancel(svc, stray->provider, stray->prediction_id, stray->handle, &reply, &err);
	PAUSE_POINT("stray.answered");
	if (rc == ERR_CONFIG)	/* cannot cancel: it ends by itself, in its own time */
		deal_with(svc, stray, "left");
	else if (rc || reply.outcome != STATUS_SEEN || !has_ended(svc, stray, &reply.obs))
		come_back(svc, stray, reply.retry_after_ms, rc ? err.text : reply.message);
	status_reply_clear(&reply);
}

/* Before its prediction is known. */
static bool
waits(const struct job *job)
{
	return job->state == GEN_QUEUED || job->state == GEN_SUBMITTING || job->state == GEN_UNCERTAIN;
}

/* The one that it has, at the provider that it went to in the end. */
static bool
is_its_own(const struct job *job, const struct stray *stray)
{
	return job->prediction_id && strcmp(job->provider, stray->provider) == 0 &&
		strcmp(job->prediction_id, stray->prediction_id) == 0;
}

/* The record names the job, which takes it over if it still is for that provider. */
static void
take_or_end(struct service *svc, struct job *job, const struct stray *stray,
	const struct gen_observation *obs)
{
	const struct job_event found = { .kind = EV_FOUND, .provider = stray->provider, .obs = obs };
	const struct apply how = { .road = "find" };
	bool here = strcmp(job->provider, stray->provider) == 0;

	if (here && waits(job))	/* or did, until somebody was faster */
		step_apply(svc, job, &found, &how);
	if (here && waits(job))
		come_back(svc, stray, 0, "the job could not be moved");
	else if (is_its_own(job, stray))
		deal_with(svc, stray, "own");
	else
		end_it(svc, stray, obs);
}

/* Whose is it, by the provider's own record?  Where that names nobody, a create's own
 * answer has named it, or a signed webhook at the job's sealed URL, unless another job
 * has it. */
static enum err_code
is_jobs_own(const struct service *svc, const struct job *job, const struct stray *stray,
	const struct gen_observation *obs, bool *ret, struct err *err)
{
	enum naming names = find_naming(svc, obs->webhook_url, &stray->owner, &stray->job);

	*ret = names == NAMES_THIS_JOB || (names == NAMES_NOBODY && stray->answered);
	return names == NAMES_NOBODY && stray->heard
		? jobs_alone(svc->db, job, stray->provider, stray->prediction_id, true, ret, err) : ERR_OK;
}

/* It is there, and its job takes it over, or it is ended, or left alone. */
static void
decide(struct service *svc, struct job *job, const struct stray *stray, const struct gen_observation *obs)
{
	struct err err = ERR_INIT;
	bool own;

	if (is_jobs_own(svc, job, stray, obs, &own, &err))
		come_back(svc, stray, 0, err.text);
	else if (own)
		take_or_end(svc, job, stray, obs);
	else
		deal_with(svc, stray, "foreign");
}

static void
look_at(struct service *svc, struct job *job, struct stray *stray)
{
	struct status_reply reply = { .obs = GEN_OBSERVATION_INIT };
	struct err err = ERR_INIT;
	enum err_code rc = step_ask_status(svc, stray->provider, stray->prediction_id, stray->handle, &reply, &err);
	bool gone = !rc && reply.outcome == STATUS_GONE;

	stray->misses = gone ? stray->misses + 1 : 0;
	if (gone && stray->misses >= GONE_AFTER)
		deal_with(svc, stray, "gone");
	else if (rc == ERR_CONFIG)	/* cannot be asked about, now or later */
		deal_with(svc, stray, "left");
	else if (rc || reply.outcome != STATUS_SEEN)
		come_back(svc, stray, reply.retry_after_ms, rc ? err.text : reply.message);
	else
		decide(svc, job, stray, &reply.obs);
	status_reply_clear(&reply);
}

bool
stray_step(struct service *svc)
{
	struct stray stray = { .prediction_id = NULL };
	struct job job = { .request = NULL };
	struct err err = ERR_INIT;
	enum err_code rc = strays_claim(svc->db, svc->settings->lease_ms, &stray, &err);

	if (rc && rc != ERR_NOT_FOUND)
		log_event(LOG_WARN, "stray.claim_failed", KV_STR("error", err.text));
	if (rc)
		return false;
	if (load_job(svc, &stray, &job, &err)) {
		come_back(svc, &stray, 0, err.text);
	} else if (job.state != GEN_SETTLED && job.state >= GEN_RUNNING && is_its_own(&job, &stray)) {
		deal_with(svc, &stray, "own");
	} else {
		look_at(svc, &job, &stray);
	}
	job_clear(&job);
	stray_clear(&stray);
	return true;
}
