/* POST /generate */
#include "config.h"

#include <strings.h>

#include "fcgi/generate.h"
#include "fcgi/job_answer.h"
#include "fcgi/prefer.h"
#include "fcgi/routes.h"

#define KEY_MAX_BYTES 255

/* For how long a POST waits for the provider's yes or no. */
#define ACCEPT_WAIT_MS 5000

/* "application/json", with parameters or without. */
static bool
is_json(const char *type)
{
	size_t len = type ? strcspn(type, "; \t") : 0;

	return len == strlen("application/json") && strncasecmp(type, "application/json", len) == 0;
}

enum err_code
generate_read_key(struct exchange *x, const char **ret, struct err *err)
{
	const char *key = exchange_header(x, "idempotency-key");
	size_t len = key ? strlen(key) : 0;

	*ret = NULL;
	if (!key)
		return ERR_OK;
	for (size_t i = 0; i < len; i++)
		if (key[i] < 0x21 || key[i] > 0x7e)
			len = 0;
	if (len == 0 || len > KEY_MAX_BYTES)
		return err_set(err, ERR_BAD_REQUEST,
			"Idempotency-Key has to be 1 to %d visible ASCII characters", KEY_MAX_BYTES);
	*ret = key;
	return ERR_OK;
}

/* The provider said no: a client that waited for that hears why, with the job's link. */
static bool
is_refused(const struct shown *shown)
{
	return shown->status == GEN_FAILED && (shown->error == ERR_PROVIDER_REJECTED ||
		shown->error == ERR_PROVIDER_UNAVAILABLE);
}

/* How the job stands, to a client that created it with this request. */
static void
answer_shown(struct exchange *x, const struct prefer *prefer, struct shown *shown)
{
	prefer_answer(x, prefer);
	answer_location(x);
	if (!prefer->respond_async && is_refused(shown)) {
		answer_problem(x, shown->error, NULL, job_in_short(shown));
	} else if (prefer->wait && gen_status_is_final(shown->status)) {
		answer_job(x, 200, shown);
	} else {
		answer_header(x, "Retry-After", "1");
		answer_job(x, 202, shown);
	}
}

static void
answer_created(struct exchange *x)
{
	struct prefer prefer = prefer_read(x);
	struct err err = ERR_INIT;
	struct shown shown;
	enum err_code rc = service_show(x->svc, &x->owner, &x->job, &shown, &err);

	if (rc)
		answer_failure(x, rc, &err);
	else
		answer_shown(x, &prefer, &shown);
}

static void
resume_created(struct exchange *x, enum watch_news news)
{
	(void)news;	/* whatever came: how it stands now is the answer */
	answer_created(x);
}

/* Wait for what the client prefers; before the job is begun, so that no news is
 * missed. */
static void
wait_for_outcome(struct exchange *x, const struct request *rq, int64_t created_us)
{
	struct prefer prefer = prefer_read(x);
	struct shown shown;
	enum err_code rc = ERR_STOPPING;

	if (prefer.wait && prefer.wait_s > 0)
		rc = exchange_park(x, WATCH_ENDED, prefer.wait_s * 1000, resume_created);
	else if (!prefer.wait && !prefer.respond_async)
		rc = exchange_park(x, WATCH_ACCEPTED, ACCEPT_WAIT_MS, resume_created);
	service_begin(x->svc, &x->owner, &x->job, x->trace);
	if (!rc)
		return;
	/* Right after the commit nobody has to be asked how it stands. */
	if (prefer.respond_async && !prefer.wait &&
	    !service_show_new(x->svc, &x->owner, &x->job, rq, created_us, &shown, NULL))
		answer_shown(x, &prefer, &shown);
	else
		answer_created(x);
}

/* Not created: another job is the answer. */
static void
answer_other(struct exchange *x, enum create_outcome outcome)
{
	struct err err = ERR_INIT;
	struct shown shown;
	enum err_code rc = service_show(x->svc, &x->owner, &x->job, &shown, &err);

	if (rc) {
		answer_failure(x, rc, &err);
	} else if (outcome == CREATE_REPLAYED) {
		answer_location(x);
		answer_header(x, "Idempotency-Replayed", "true");
		answer_job(x, 200, &shown);
	} else {
		answer_problem(x, outcome == CREATE_KEY_REUSED ? ERR_KEY_REUSED : ERR_IN_FLIGHT, NULL,
			job_in_short(&shown));
	}
}

void
generate_create(struct exchange *x, const struct request *rq, const char *key)
{
	struct created created;
	struct err err = ERR_INIT;
	uint64_t wait_ms = 0;
	enum err_code rc = service_create(x->svc, &x->owner, rq, key, &created, &wait_ms, &err);

	x->has_job = !rc;
	if (rc) {
		x->retry_after_s = (wait_ms + 999) / 1000;
		answer_failure(x, rc, &err);
		return;
	}
	x->job = created.job;
	if (created.outcome == CREATE_CREATED)
		wait_for_outcome(x, rq, created.at_us);
	else
		answer_other(x, created.outcome);
}

void
generate_post(struct exchange *x)
{
	struct request rq = { .body = NULL };
	struct err err = ERR_INIT;
	const char *key;
	json_t *errors = NULL;
	enum err_code rc;

	rc = generate_read_key(x, &key, &err);
	if (!rc && !is_json(exchange_param(x, "CONTENT_TYPE")))
		rc = err_set(&err, ERR_MEDIA_TYPE, "Content-Type is not application/json");
	if (!rc)
		rc = request_parse(buf_str(&x->body), x->body.len, x->svc->models,
			x->svc->settings->default_model, &rq, &errors, &err);
	if (!rc) {
		generate_create(x, &rq, key);
	} else if (errors) {
		x->err = err;
		answer_problem(x, rc, err.text, json_pack("{so}", "errors", errors));
	} else {
		answer_failure(x, rc, &err);
	}
	request_clear(&rq);
}
