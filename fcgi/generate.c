/* POST /generate */
#include "config.h"

#include <strings.h>

#include "base/clock.h"
#include "base/multipart.h"
#include "core/input.h"
#include "fcgi/form.h"
#include "fcgi/generate.h"
#include "fcgi/job_answer.h"
#include "fcgi/prefer.h"
#include "fcgi/routes.h"

#define KEY_MAX_BYTES 255

/* For how long a POST waits for the provider's yes or no. */
#define ACCEPT_WAIT_MS 5000

/* And for its inputs to be stored.  nginx's fastcgi_read_timeout is for both. */
#define STORE_WAIT_MS 60000

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
		shown->error == ERR_CONTENT_BLOCKED || shown->error == ERR_PROVIDER_UNAVAILABLE ||
		shown->error == ERR_INPUT_GONE);
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
wait_for_outcome(struct exchange *x, const struct request *rq, const struct created *created)
{
	struct prefer prefer = prefer_read(x);
	uint64_t took_ms = (uint64_t)(clock_mono_us() - x->began_us) / 1000;	/* for its inputs */
	uint64_t wait_ms = prefer.wait ? prefer.wait_s * UINT64_C(1000) : 0;
	struct shown shown;
	enum err_code rc = ERR_STOPPING;

	if (prefer.wait && wait_ms > took_ms)
		rc = exchange_park(x, WATCH_ENDED, wait_ms - took_ms, resume_created);
	else if (!prefer.wait && !prefer.respond_async)
		rc = exchange_park(x, WATCH_ACCEPTED, ACCEPT_WAIT_MS, resume_created);
	service_begin(x->svc, &x->owner, &x->job, x->trace);
	if (!rc)
		return;
	/* Right after the commit nobody has to be asked how it stands. */
	if (prefer.respond_async && !prefer.wait &&
	    !service_show_new(x->svc, &x->owner, &x->job, rq, created->provider, created->at_us, &shown, NULL))
		answer_shown(x, &prefer, &shown);
	else
		answer_created(x);
}

static void
answer_not_now(struct exchange *x, enum err_code rc, uint64_t wait_ms, const struct err *err)
{
	x->retry_after_s = (wait_ms + 999) / 1000;
	answer_failure(x, rc, err);
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

/* Was it made?  true also where the database did not say: what is asked of one that is
 * stuck may come true later, and its inputs are the sweep's to judge. */
static bool
create(struct exchange *x, const struct request *rq, const char *key)
{
	struct created created;
	struct err err = ERR_INIT;
	uint64_t wait_ms = 0;
	enum err_code rc = service_create(x->svc, &x->owner, rq, key, &created, &wait_ms, &err);

	x->has_job = !rc;
	if (rc) {
		answer_not_now(x, rc, wait_ms, &err);
		return rc == ERR_UNAVAILABLE;
	}
	x->job = created.job;
	if (created.outcome == CREATE_CREATED)
		wait_for_outcome(x, rq, &created);
	else
		answer_other(x, created.outcome);
	return created.outcome == CREATE_CREATED;
}

/* ---- inputs that are stored first ---- */

/* What waits for that. */
struct waiting {
	struct request rq;
	char *model;			/* its name: the models may be others when it goes on */
	struct intake *in;
};

static void
waiting_free(void *kept)
{
	struct waiting *w = kept;

	request_clear(&w->rq);
	intake_unref(&w->in);
	mem_free(w->model);
	mem_free(w);
}

/* The storage's answer is about one of the inputs, or about none. */
static void
answer_not_taken_in(struct exchange *x, enum err_code rc, size_t index, const struct err *err)
{
	const char *detail = rc == ERR_NOT_FOUND ? REQUEST_NO_SUCH_FILE : "is a file that the storage does not take";
	char pointer[64];

	if (rc != ERR_NOT_FOUND && rc != ERR_INVALID) {
		answer_failure(x, rc, err);
		return;
	}
	x->err = *err;
	snprintf(pointer, sizeof pointer, "/inputs/%zu", index);
	answer_problem(x, rc, NULL, json_pack("{s[{ss, ss}]}", "errors", "pointer", pointer, "detail", detail));
}

/* All inputs are in their place, or cannot be. */
static void
go_on(struct exchange *x, struct waiting *w)
{
	struct err err = ERR_INIT;
	const char *key;
	size_t index = 0;
	enum err_code rc = intake_result(w->in, &index, &err);

	if (rc) {
		answer_not_taken_in(x, rc, index, &err);
		return;
	}
	rc = generate_read_key(x, &key, &err);
	if (!rc && !models_offer(x->svc->models, w->model, &w->rq.model))
		rc = err_set(&err, ERR_CONFIG, "the model \"%s\" is not offered any more", w->model);
	if (rc)
		answer_failure(x, rc, &err);
	else if (create(x, &w->rq, key))
		intake_made(w->in);
}

static void
resume_stored(struct exchange *x, enum watch_news news)
{
	struct waiting *w = x->kept;
	struct err err = ERR_INIT;

	x->kept = NULL;
	if (intake_done(w->in))
		go_on(x, w);
	else if (news == WATCH_STOPPING)
		answer_failure(x, err_set(&err, ERR_STOPPING, "inputs were being stored"), &err);
	else
		answer_failure(x, err_set(&err, ERR_STORAGE_UNAVAILABLE, "inputs took too long to be stored"), &err);
	waiting_free(w);
}

/* The request and the inputs go over to what is returned. */
static struct waiting *
waiting_new(struct request *rq, struct intake **in)
{
	struct waiting *w = mem_calloc(1, sizeof *w);

	if (!w || !(w->model = mem_strdup(rq->model.name))) {
		mem_free(w);
		return NULL;
	}
	w->rq = *rq;
	w->rq.id = *intake_job(*in);
	w->in = *in;
	*rq = (struct request){ .body = NULL };
	*in = NULL;
	return w;
}

/* Request threads do not wait for the internet. */
static void
wait_until_stored(struct exchange *x, struct waiting *w)
{
	struct err err = ERR_INIT;
	enum err_code rc;

	x->job = *intake_job(w->in);
	x->kept = w;
	x->release = waiting_free;
	buf_clear(&x->body);
	rc = exchange_reserve(x);
	if (!rc)
		rc = intake_send(w->in, &err);
	if (!rc)
		rc = exchange_park(x, WATCH_INPUTS, STORE_WAIT_MS, resume_stored);
	if (rc)
		answer_failure(x, err_set(&err, rc, "storing inputs"), &err);
	else if (intake_done(w->in))	/* perhaps before it was watched */
		watches_poke(x->svc->watches, &x->owner, &x->job, GEN_QUEUED);
}

static void
store_and_create(struct exchange *x, struct request *rq, struct intake **in)
{
	struct waiting *w = waiting_new(rq, in);
	struct err err = ERR_INIT;

	if (!w) {
		answer_failure(x, err_set(&err, ERR_NOMEM, "inputs"), &err);
	} else if (!x->svc->one_request) {
		wait_until_stored(x, w);
	} else {
		intake_run(x->svc, w->in);
		go_on(x, w);
		waiting_free(w);
	}
}

void
generate_begin(struct exchange *x, struct request *rq, const char *key, struct intake **in)
{
	struct created created;
	struct err err = ERR_INIT;
	uint64_t wait_ms = 0;
	enum err_code rc;

	if (!*in || intake_count(*in) == 0) {
		(void)create(x, rq, key);
		return;
	}
	rc = service_foresee(x->svc, &x->owner, rq, key, &created, &wait_ms, &err);
	if (rc == ERR_NOT_FOUND) {
		store_and_create(x, rq, in);
	} else if (rc) {
		answer_not_now(x, rc, wait_ms, &err);
	} else {
		x->job = created.job;
		x->has_job = true;
		answer_other(x, created.outcome);
	}
}

/* ---- reading the request ---- */

/* Larger than other JSON, if data: URIs are stored: in base64, and with room for a
 * few blanks and lines. */
static enum err_code
read_json(struct exchange *x, struct intake *in, struct err *err)
{
	uint64_t max = REQUEST_MAX_BYTES, len = 0;
	enum err_code rc;

	if (in)
		max += x->svc->settings->max_inputs_bytes / 3 * 4 + 4 * INTAKE_ITEMS_MAX;
	rc = exchange_body_length(x, max, &len, err);
	if (!rc && len > REQUEST_MAX_BYTES)
		rc = intake_reserve(x->svc, in, len, err);
	return rc ? rc : exchange_read_body(x, max, err);
}

static enum err_code
read_request(struct exchange *x, struct intake *in, struct request *ret, json_t **ret_errors, struct err *err)
{
	const struct request_rules rules = {
		.models = x->svc->models, .default_model = x->svc->settings->default_model,
		.intake = in, .svc = x->svc,
	};
	const char *type = exchange_param(x, "CONTENT_TYPE");
	json_t *body = NULL;
	size_t n_files = 0;
	enum err_code rc;

	if (is_json(type)) {
		rc = read_json(x, in, err);
		return rc ? rc : request_parse(x->body.p, x->body.len, &rules, ret, ret_errors, err);
	}
	if (!multipart_is_form(type))
		return err_set(err, ERR_MEDIA_TYPE, "Content-Type is neither application/json nor multipart/form-data");
	rc = form_read(x, in, &body, &n_files, err);
	return rc ? rc : request_check(body, n_files, &rules, ret, ret_errors, err);
}

void
generate_post(struct exchange *x)
{
	struct request rq = { .body = NULL };
	struct intake *in = NULL;
	struct err err = ERR_INIT;
	const char *key;
	json_t *errors = NULL;
	enum err_code rc;

	rc = generate_read_key(x, &key, &err);
	if (!rc && service_takes_inputs(x->svc))
		rc = intake_new(x->svc, &x->owner, &in, &err);
	if (!rc)
		rc = read_request(x, in, &rq, &errors, &err);
	if (!rc) {
		generate_begin(x, &rq, key, &in);
	} else if (errors || rc == ERR_FORBIDDEN) {
		x->err = err;
		answer_problem(x, rc, rc == ERR_NOT_FOUND ? NULL : err.text, errors ? json_pack("{so}", "errors", errors) : NULL);
	} else {
		/* The spool's disk, and nobody else's. */
		answer_failure(x, rc == ERR_UPSTREAM ? ERR_STORAGE_UNAVAILABLE : rc, &err);
	}
	intake_unref(&in);
	request_clear(&rq);
}
