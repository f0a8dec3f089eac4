/* What the workers' steps have in common. */
#ifndef GENGATE_CORE_STEP_H
#define GENGATE_CORE_STEP_H

#include "core/apply.h"

/* Log that a step of a job went wrong; it is tried again. */
void step_failed(const struct job *job, const char *step, const char *why);

/* Give the job back, due after wait_ms, its tries counted up. */
void step_later(struct service *svc, struct job *job, uint64_t wait_ms);

/* Give the job back as it was, due at once: the step was cut off by our own stop. */
void step_give_back(struct service *svc, struct job *job);

/* job_apply() for a worker: logs what fails (the lease brings the job back),
 * and hands a job that moved on to the lane of its new state. */
void step_apply(struct service *svc, struct job *job, const struct job_event *ev,
	const struct apply *how);

/*
 * The same for news that nobody will bring again, such as a create's answer:
 * while the database is away it is kept and tried again, until we stop.
 */
void step_apply_surely(struct service *svc, struct job *job, const struct job_event *ev,
	const struct apply *how);

/*
 * Where a job may go if nothing of it exists at its provider: the next of its model's
 * order that is not paused, from behind the last on from the first again.  NULL: there is
 * none.  *ret_at_once: it has not had its turn yet.  Borrowed from the models.
 */
const char *step_elsewhere(struct service *svc, const struct job *job, bool *ret_at_once);

/* http_perform() with a provider, counted; call: what for, as the metrics say. */
enum err_code step_perform(struct service *svc, const struct provider *p, const char *call,
	const struct http_request *rq, struct http_response *rs, struct err *err) MUST_CHECK;

/* Keep a file in the storage, counted. */
enum err_code step_put(struct service *svc, const struct storage_file *file, struct err *err) MUST_CHECK;

/* Ask the provider how a prediction stands, by as many requests as that takes.
 * handle: how it is reached, or NULL.  Never STATUS_MORE.  status_reply_clear(). */
struct status_reply;
enum err_code step_ask_status(struct service *svc, const char *provider,
	const char *prediction_id, const char *handle, struct status_reply *ret, struct err *err) MUST_CHECK;

/* Ask the provider to end a prediction; the answer says how it stands then.
 * ERR_CONFIG: it cannot.  status_reply_clear(). */
enum err_code step_ask_cancel(struct service *svc, const char *provider,
	const char *prediction_id, const char *handle, struct status_reply *ret, struct err *err) MUST_CHECK;

#endif
