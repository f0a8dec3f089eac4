/* Taking a job. */
#ifndef GENGATE_CORE_CREATE_H
#define GENGATE_CORE_CREATE_H

#include "core/request.h"
#include "core/service.h"

struct created {
	enum create_outcome outcome;
	struct uuid job;		/* that it is about */
	int64_t at_us;			/* with CREATE_CREATED: since when it is there */
	const char *provider;		/* the same: which it goes to; the models' */
};

/*
 * What service_create() would say now, before a request's inputs are stored for
 * nothing.  ERR_NOT_FOUND: nothing is in the way.
 */
enum err_code service_foresee(struct service *svc, const struct uuid *owner,
	const struct request *rq, const char *idempotency_key,
	struct created *ret, uint64_t *ret_wait_ms, struct err *err) MUST_CHECK;

/*
 * One outcome.  A new job is in the database then; service_begin() gets it going
 * at once.
 * ERR_PROVIDER_UNAVAILABLE: its provider is paused, and nothing is made; with
 * *ret_wait_ms, when that may be over.
 */
enum err_code service_create(struct service *svc, const struct uuid *owner,
	const struct request *rq, const char *idempotency_key,
	struct created *ret, uint64_t *ret_wait_ms, struct err *err) MUST_CHECK;

/* Hand a new job to this process's workers.  Without it, it is found when due.
 * trace: the request's traceparent, which goes with the create if it is sent by
 * this hint; NULL: none. */
void service_begin(struct service *svc, const struct uuid *owner, const struct uuid *job,
	const char *trace);

#endif
