/* The same once more. */
#ifndef GENGATE_CORE_RETRY_H
#define GENGATE_CORE_RETRY_H

#include "core/request.h"
#include "core/service.h"

/*
 * The request of a job that has failed or was canceled, checked once more, as
 * service_create() takes it: request_clear().  Its fingerprint is that of "a
 * retry of this job", so that an idempotency key tells it from a plain request
 * with the same body and from the retry of another job.
 * ERR_CONFLICT: it did neither fail nor was it canceled, or its model is gone,
 * or the model's limits have changed (*ret_errors as request_parse() has it).
 * err's text is for the client then.  ERR_NOT_FOUND.
 * in: who takes its inputs in once more; NULL: nobody does.
 */
enum err_code service_retry(struct service *svc, const struct uuid *owner, const struct uuid *id,
	struct intake *in, struct request *ret, json_t **ret_errors, struct err *err) MUST_CHECK;

#endif
