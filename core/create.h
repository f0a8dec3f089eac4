/* Taking a job. */
#ifndef GENGATE_CORE_CREATE_H
#define GENGATE_CORE_CREATE_H

#include "core/request.h"
#include "core/service.h"

/*
 * One outcome, always; *ret_job is the job that it is about.  A new job is
 * handed to this process's workers at once.
 */
enum err_code service_create(struct service *svc, const struct uuid *owner,
	const struct request *rq, const char *idempotency_key,
	enum create_outcome *ret, struct uuid *ret_job, struct err *err) MUST_CHECK;

#endif
