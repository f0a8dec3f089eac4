#include "config.h"

#include "core/create.h"

#include "base/pause_point.h"
#include "core/pause.h"
#include "core/workers.h"
#include "db/inputs.h"

/* While nothing new is taken, a key that is known is answered all the same. */
static enum err_code
find_only(struct service *svc, const struct uuid *owner, const struct request *rq, const char *key,
	struct created *ret, struct err *err)
{
	enum err_code rc = key ? jobs_by_key(svc->db, owner, key, rq->fingerprint, &ret->outcome, &ret->job, err)
		: ERR_NOT_FOUND;

	return rc != ERR_NOT_FOUND ? rc
		: err_set(err, ERR_PROVIDER_UNAVAILABLE, "%s is paused", model_provider(&rq->model, 0));
}

/* The first of the model's providers that takes jobs.  NULL: all are paused;
 * *ret_wait_ms: when that may be different. */
static const char *
choose_provider(struct service *svc, const struct model *model, uint64_t *ret_wait_ms)
{
	const char *name;

	*ret_wait_ms = UINT64_MAX;
	for (size_t i = 0; (name = model_provider(model, i)); i++) {
		const struct provider *p = provider_by_name(name);
		uint64_t wait_ms = 0;

		if (!p || !pause_holds(svc, p, &wait_ms))
			return name;
		if (wait_ms < *ret_wait_ms)
			*ret_wait_ms = wait_ms;
	}
	return NULL;
}

enum err_code
service_foresee(struct service *svc, const struct uuid *owner, const struct request *rq,
	const char *key, struct created *ret, uint64_t *ret_wait_ms, struct err *err)
{
	enum err_code rc = ERR_NOT_FOUND;

	if (!choose_provider(svc, &rq->model, ret_wait_ms))
		return find_only(svc, owner, rq, key, ret, err);
	if (key)
		rc = jobs_by_key(svc->db, owner, key, rq->fingerprint, &ret->outcome, &ret->job, err);
	if (rc != ERR_NOT_FOUND)
		return rc;
	ret->outcome = CREATE_IN_FLIGHT;
	return jobs_in_flight(svc->db, owner, (int)svc->settings->slots_per_user, &ret->job, err);
}

enum err_code
service_create(struct service *svc, const struct uuid *owner, const struct request *rq,
	const char *idempotency_key, struct created *ret, uint64_t *ret_wait_ms, struct err *err)
{
	static const struct uuid any;
	struct job_new job = {
		.owner = *owner,
		.slots = (int)svc->settings->slots_per_user,
		.idempotency_key = idempotency_key,
		.model = rq->model.name,
		.provider = choose_provider(svc, &rq->model, ret_wait_ms),
		.request = rq->body,
		.metadata = rq->metadata,
		.time_left_ms = rq->model.timeout_ms ? rq->model.timeout_ms : svc->settings->job_timeout_ms,
	};
	enum err_code rc;

	if (!job.provider)
		return find_only(svc, owner, rq, idempotency_key, ret, err);
	memcpy(job.fingerprint, rq->fingerprint, sizeof job.fingerprint);
	job.id = rq->id;
	rc = uuid_equal(&job.id, &any) ? uuid_new(&job.id, err) : ERR_OK;
	if (!rc)
		rc = jobs_create(svc->db, &job, &ret->outcome, &ret->job, &ret->at_us, err);
	ret->provider = job.provider;
	if (!rc)
		PAUSE_POINT("create.committed");
	return rc;
}

void
service_begin(struct service *svc, const struct uuid *owner, const struct uuid *job,
	const char *trace)
{
	workers_hint_traced(svc->workers, GEN_QUEUED, owner, job, trace);
}
