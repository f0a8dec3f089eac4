/* GET /status/<id>, GET /status?id=<id>; without an id: list.c */
#include "config.h"

#include <strings.h>

#include "fcgi/job_answer.h"
#include "fcgi/list.h"
#include "fcgi/prefer.h"
#include "fcgi/routes.h"
#include "fcgi/stream.h"

/* The storage is asked to sign; usually it answers at once. */
#define SIGN_WAIT_MS 5000

static void
answer_status(struct exchange *x, struct shown *shown)
{
	struct prefer prefer = prefer_read(x);

	prefer.respond_async = false;	/* has no meaning here */
	prefer_answer(x, &prefer);
	if (x->no_place)	/* or who wanted to wait would come back at once */
		answer_header(x, "Retry-After", "2");
	/* A known answer whose addresses are over is of no use. */
	answer_job(x, job_is_known(x, shown->version) && !shown->unsigned_urls ? 304 : 200, shown);
}

static void
resume_status(struct exchange *x, enum watch_news news)
{
	struct err err = ERR_INIT;
	struct shown shown;
	enum err_code rc = service_show(x->svc, &x->owner, &x->job, &shown, &err);

	(void)news;
	if (rc)
		answer_failure(x, rc, &err);
	else
		answer_status(x, &shown);
}

/*
 * With `Prefer: wait=n`: until the job has ended; or, for a client that knows a
 * version already, until it is another one.  true: it waits.
 */
static bool
wait_for_news(struct exchange *x, const struct shown *shown)
{
	struct prefer prefer = prefer_read(x);
	bool known = job_is_known(x, shown->version);

	if (!prefer.wait || prefer.wait_s == 0 || gen_status_is_final(shown->status) ||
	    (!known && exchange_header(x, "if-none-match")) || strcmp(x->method, "HEAD") == 0)
		return false;
	x->seen = shown->version;
	return !exchange_park(x, known ? WATCH_CHANGED : WATCH_ENDED, prefer.wait_s * 1000, resume_status);
}

/* Private outputs without an address: until they are signed. */
static bool
wait_for_urls(struct exchange *x, const struct shown *shown)
{
	if (!shown->unsigned_urls || !x->svc->signer)
		return false;
	x->seen = shown->version;
	return !exchange_park(x, WATCH_CHANGED, SIGN_WAIT_MS, resume_status);
}

static void
show(struct exchange *x, const char *id)
{
	struct err err = ERR_INIT;
	struct shown shown = { .job = NULL };
	enum err_code rc;

	rc = job_id_read(x, id, &err);
	if (!rc)
		rc = service_show(x->svc, &x->owner, &x->job, &shown, &err);
	if (rc) {
		answer_failure(x, rc, &err);
	} else if (stream_wanted(x)) {
		stream_begin(x, &shown);
	} else if (wait_for_urls(x, &shown) || wait_for_news(x, &shown)) {
		json_decref(shown.job);
	} else {
		answer_status(x, &shown);
	}
}

void
status_get(struct exchange *x)
{
	show(x, x->tail);
}

void
status_query(struct exchange *x)
{
	struct err err = ERR_INIT;
	char *id = NULL;

	if (!exchange_has_query(x, "id")) {
		list_get(x);
		return;
	}
	if (exchange_query(x, "id", &id, &err) == ERR_NOMEM)
		answer_failure(x, ERR_NOMEM, &err);
	else
		show(x, id);
	mem_free(id);
}
