#include "config.h"

#include "core/step.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "core/pause.h"
#include "core/workers.h"
#include "providers/adapter.h"

/* The pause between tries grows no longer than this many doublings: 8 s. */
#define TRIES_APART 5

void
step_failed(const struct job *job, const char *step, const char *why)
{
	char id[UUID_TEXT_SIZE];

	uuid_format(&job->id, id);
	log_event(LOG_WARN, "job.step_failed", KV_STR("job", id), KV_STR("step", step),
		KV_STR("state", gen_state_name(job->state)), KV_INT("attempts", job->attempts),
		KV_INT("tries", job->tries), KV_STR("error", why));
}

static void
defer(struct service *svc, struct job *job, uint64_t wait_ms)
{
	struct err err = ERR_INIT;
	enum err_code rc = jobs_defer(svc->db, job, wait_ms, &err);

	if (rc && rc != ERR_LOST_RACE)
		step_failed(job, "defer", err.text);
}

void
step_later(struct service *svc, struct job *job, uint64_t wait_ms)
{
	job->tries++;
	defer(svc, job, wait_ms);
}

void
step_give_back(struct service *svc, struct job *job)
{
	defer(svc, job, 0);
}

static enum err_code
apply_once(struct service *svc, struct job *job, const struct job_event *ev,
	const struct apply *how)
{
	struct err err = ERR_INIT;
	enum gen_state before = job->state;
	bool moved;
	enum err_code rc = job_apply(svc, job, ev, how, &moved, &err);

	if (rc)
		step_failed(job, job_event_name(ev->kind), err.text);
	else if (moved && job->state != before &&
		 (job->state == GEN_STORING ||
		  (job->state == GEN_RUNNING && (before == GEN_UNCERTAIN || job->cancel))))
		workers_hint(svc->workers, job->state, &job->owner, &job->id);
	return rc;
}

void
step_apply(struct service *svc, struct job *job, const struct job_event *ev,
	const struct apply *how)
{
	(void)!apply_once(svc, job, ev, how);
}

void
step_apply_surely(struct service *svc, struct job *job, const struct job_event *ev,
	const struct apply *how)
{
	enum err_code rc;

	for (int32_t tries = 1; ; tries++) {
		rc = apply_once(svc, job, ev, how);
		if (rc != ERR_UNAVAILABLE && rc != ERR_NOMEM)
			return;
		if (!workers_pause(svc->workers, backoff_ms(tries < TRIES_APART ? tries : TRIES_APART)))
			return;
	}
}

static bool
takes_jobs(struct service *svc, const char *name)
{
	const struct provider *p = provider_by_name(name);
	struct pause_shown shown = { .paused = true };

	if (p)
		pause_show(svc, p, &shown);
	return !shown.paused;
}

const char *
step_elsewhere(struct service *svc, const struct job *job, bool *ret_at_once)
{
	struct model model;
	const char *name, *ret = NULL;
	bool behind = false;

	*ret_at_once = false;
	if (!models_find(svc->models, job->model, &model))
		return NULL;
	for (size_t i = 0; (name = model_provider(&model, i)); i++) {
		bool here = strcmp(name, job->provider) == 0;

		if (!here && (behind || !ret) && takes_jobs(svc, name)) {
			ret = name;
			*ret_at_once = behind;
			if (behind)
				break;
		}
		behind |= here;
	}
	return ret;
}

enum err_code
step_perform(struct service *svc, const struct provider *p, const char *call,
	const struct http_request *rq, struct http_response *rs, struct err *err)
{
	int64_t began_us = clock_mono_us();
	enum err_code rc = http_perform(svc->http, rq, rs, err);

	metric_observe(METRIC_PROVIDER_TIME, clock_mono_us() - began_us, p->name, call);
	if (rc == ERR_OK || rc == ERR_NO_ANSWER || rc == ERR_TOO_BIG)
		metric_add(METRIC_PROVIDER_BYTES, rq->body_bytes, p->name, "sent");
	if (rq->sink_fd < 0)
		metric_add(METRIC_PROVIDER_BYTES, rs->body_bytes, p->name, "received");
	return rc;
}

/* Where a prediction is asked about. */
struct asking {
	struct service *svc;
	const struct provider *p;
	const void *settings;
	const char *name;
	const struct provider_look *call;
};

static enum err_code
ask_once(const struct asking *a, const struct look_query *query, struct status_reply *ret,
	struct err *err)
{
	struct http_request rq = HTTP_REQUEST_INIT;
	struct http_response rs = HTTP_RESPONSE_INIT;
	enum err_code rc = adapter_look_request(a->p, a->settings, a->call, query, &rq, err);

	if (!rc)
		rc = step_perform(a->svc, a->p, a->name, &rq, &rs, err);
	if (!rc)
		rc = adapter_look_reply(a->p, a->settings, a->call, query, &rs, ret, err);
	http_request_clear(&rq);
	http_response_clear(&rs);
	return rc;
}

/* A reply may want one more request; who never has enough has said nothing. */
static enum err_code
ask(const struct asking *a, const char *prediction_id, const char *handle,
	struct status_reply *ret, struct err *err)
{
	struct look_query query = { .prediction_id = prediction_id, .handle = handle };
	char *follow = NULL;
	enum err_code rc;

	for (int n = 0; ; n++) {
		rc = ask_once(a, &query, ret, err);
		if (rc || ret->outcome != STATUS_MORE)
			break;
		mem_free(follow);
		query.follow = follow = ret->follow;
		ret->follow = NULL;
		status_reply_clear(ret);
		ret->obs = (struct gen_observation)GEN_OBSERVATION_INIT;
		if (n == FOLLOWS_MAX || !follow) {
			rc = err_set(err, ERR_UPSTREAM, "%s leads from one request to the next", a->p->name);
			break;
		}
	}
	mem_free(follow);
	return rc;
}

enum err_code
step_ask_status(struct service *svc, const char *provider, const char *prediction_id,
	const char *handle, struct status_reply *ret, struct err *err)
{
	struct asking a = { .svc = svc, .name = "status" };

	a.p = service_provider(svc, provider, &a.settings);
	if (!a.p || !a.p->get_status.request)
		return err_set(err, ERR_CONFIG, "provider \"%s\" cannot be asked", provider);
	a.call = &a.p->get_status;
	return ask(&a, prediction_id, handle, ret, err);
}

enum err_code
step_ask_cancel(struct service *svc, const char *provider, const char *prediction_id,
	const char *handle, struct status_reply *ret, struct err *err)
{
	struct asking a = { .svc = svc, .name = "cancel" };

	a.p = service_provider(svc, provider, &a.settings);
	if (!a.p || !(a.p->caps & PROVIDER_CANCEL))
		return err_set(err, ERR_CONFIG, "provider \"%s\" cannot cancel", provider);
	a.call = &a.p->cancel;
	return ask(&a, prediction_id, handle, ret, err);
}

enum err_code
step_put(struct service *svc, const struct storage_file *file, struct err *err)
{
	const char *name = svc->storage->name;
	int64_t began_us = clock_mono_us();
	enum err_code rc = svc->storage->put(svc->storage_settings, svc->http, file, err);

	metric_observe(METRIC_STORAGE_TIME, clock_mono_us() - began_us, name, "put");
	if (!rc)
		metric_add(METRIC_STORAGE_BYTES, file->bytes, name);
	return rc;
}
