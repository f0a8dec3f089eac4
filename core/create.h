/* Taking a job. */
#ifndef GENGATE_CORE_CREATE_H
#define GENGATE_CORE_CREATE_H

#include "core/request.h"
#include "core/service.h"

/*
 * One outcome, always; *ret_job is the job that it is about.  A new one is in
 * the database then, since *ret_created_us; service_begin() gets it going at
 * once.
 */
enum err_code service_create(struct service *svc, const struct uuid *owner,
	const struct request *rq, const char *idempotency_key,
	enum create_outcome *ret, struct uuid *ret_job, int64_t *ret_created_us,
	struct err *err) MUST_CHECK;

/* Hand a new job to this process's workers.  Without it, it is found when due.
 * trace: the request's traceparent, which goes with the create if it is sent by
 * this hint; NULL: none. */
void service_begin(struct service *svc, const struct uuid *owner, const struct uuid *job,
	const char *trace);

#endif
