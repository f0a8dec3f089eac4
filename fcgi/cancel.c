/* POST /generate/<id>/cancel */
#include "config.h"

#include "core/cancel.h"
#include "fcgi/job_answer.h"
#include "fcgi/prefer.h"
#include "fcgi/routes.h"

/* For how long the answer waits for the end, unless the client prefers another time. */
#define END_WAIT_MS 3000

static void
answer_canceled(struct exchange *x)
{
	struct prefer prefer = prefer_read(x);
	struct err err = ERR_INIT;
	struct shown shown;
	enum err_code rc = service_show(x->svc, &x->owner, &x->job, &shown, &err);

	if (rc) {
		answer_failure(x, rc, &err);
		return;
	}
	prefer_answer(x, &prefer);
	answer_location(x);
	if (!gen_status_is_final(shown.status))
		answer_header(x, "Retry-After", "1");
	answer_job(x, gen_status_is_final(shown.status) ? 200 : 202, &shown);
}

static void
resume_canceled(struct exchange *x, enum watch_news news)
{
	(void)news;	/* whatever came: how it stands now is the answer */
	answer_canceled(x);
}

/* Before the workers are told, so that no news is missed. */
static void
wait_for_end(struct exchange *x, enum cancel_outcome outcome)
{
	struct prefer prefer = prefer_read(x);
	uint64_t wait_ms = prefer.wait ? prefer.wait_s * 1000ULL : prefer.respond_async ? 0 : END_WAIT_MS;
	enum err_code rc = ERR_STOPPING;

	if (outcome != CANCEL_ENDED && wait_ms > 0)
		rc = exchange_park(x, WATCH_ENDED, wait_ms, resume_canceled);
	if (outcome == CANCEL_BEGINS)
		service_cancel_begin(x->svc, &x->owner, &x->job);
	if (rc)
		answer_canceled(x);
}

void
cancel_post(struct exchange *x)
{
	enum cancel_outcome outcome;
	struct err err = ERR_INIT;
	enum err_code rc;

	rc = job_id_read(x, x->tail, &err);
	if (!rc)
		rc = service_cancel(x->svc, &x->owner, &x->job, &outcome, &err);
	if (rc == ERR_CONFLICT)
		answer_conflict(x, &err, NULL);
	else if (rc)
		answer_failure(x, rc, &err);
	else
		wait_for_end(x, outcome);
}
