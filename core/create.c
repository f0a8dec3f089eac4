#include "config.h"

#include "core/create.h"

#include "base/pause_point.h"
#include "core/workers.h"

enum err_code
service_create(struct service *svc, const struct uuid *owner, const struct request *rq,
	const char *idempotency_key, enum create_outcome *ret, struct uuid *ret_job,
	int64_t *ret_created_us, struct err *err)
{
	struct job_new job = {
		.owner = *owner,
		.slots = (int)svc->settings->slots_per_user,
		.idempotency_key = idempotency_key,
		.model = rq->model.name,
		.provider = svc->settings->provider,
		.request = rq->body,
		.metadata = rq->metadata,
		.time_left_ms = rq->model.timeout_ms ? rq->model.timeout_ms : svc->settings->job_timeout_ms,
	};
	enum err_code rc;

	memcpy(job.fingerprint, rq->fingerprint, sizeof job.fingerprint);
	rc = uuid_new(&job.id, err);
	if (!rc)
		rc = jobs_create_timed(svc->db, &job, ret, ret_job, ret_created_us, err);
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
