/* POST /generate */
#include "config.h"

#include <strings.h>

#include "base/clock.h"
#include "core/create.h"
#include "core/show.h"
#include "fcgi/routes.h"

#define KEY_MAX_BYTES 255

/* "application/json", with parameters or without. */
static bool
is_json(const char *type)
{
	size_t len = type ? strcspn(type, "; \t") : 0;

	return len == strlen("application/json") && strncasecmp(type, "application/json", len) == 0;
}

/* 1 to 255 visible ASCII characters; NULL: no key was sent. */
static enum err_code
read_key(struct exchange *x, const char **ret, struct err *err)
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

/* The job that is in the way: enough to find it, and to know how long it has been. */
static json_t *
in_the_way(json_t *job)
{
	const char *created = json_string_value(json_object_get(job, "created_at"));
	int64_t created_us = clock_wall_us();
	json_t *ret;

	if (created)
		(void)!rfc3339_parse(created, strlen(created), &created_us);
	ret = json_pack("{s{sO, sO, sO, sI, sO}}", "job",
		"id", json_object_get(job, "id"),
		"status", json_object_get(job, "status"),
		"created_at", json_object_get(job, "created_at"),
		"age_seconds", (json_int_t)((clock_wall_us() - created_us) / 1000000),
		"links", json_object_get(job, "links"));
	json_decref(job);
	return ret;
}

static void
answer_outcome(struct exchange *x, enum create_outcome outcome, const struct uuid *owner)
{
	struct buf location = BUF_INIT(4096);
	struct err err = ERR_INIT;
	json_t *job = NULL;
	enum err_code rc;

	rc = service_show(x->svc, owner, &x->job, &job, &err);
	if (rc) {
		answer_failure(x, rc, &err);
		return;
	}
	service_status_path(x->svc, &x->job, &location);
	answer_header(x, "Cache-Control", "private, no-cache");
	switch (outcome) {
	case CREATE_CREATED:
		answer_header(x, "Location", buf_str(&location));
		answer_header(x, "Retry-After", "1");
		answer_json(x, 202, job);
		break;
	case CREATE_REPLAYED:
		answer_header(x, "Location", buf_str(&location));
		answer_header(x, "Idempotency-Replayed", "true");
		answer_json(x, 200, job);
		break;
	case CREATE_KEY_REUSED:
		answer_problem(x, ERR_KEY_REUSED, NULL, in_the_way(job));
		break;
	case CREATE_IN_FLIGHT:
		answer_problem(x, ERR_IN_FLIGHT, NULL, in_the_way(job));
		break;
	}
	buf_clear(&location);
}

void
generate_post(struct exchange *x)
{
	struct request rq = { .body = NULL };
	struct err err = ERR_INIT;
	enum create_outcome outcome;
	const char *key;
	json_t *errors = NULL;
	struct uuid owner;
	enum err_code rc;

	rc = exchange_owner(x, &owner, &err);
	if (!rc)
		rc = read_key(x, &key, &err);
	if (!rc && !is_json(exchange_param(x, "CONTENT_TYPE")))
		rc = err_set(&err, ERR_MEDIA_TYPE, "Content-Type is not application/json");
	if (!rc)
		rc = request_parse(buf_str(&x->body), x->body.len, x->svc->models,
			x->svc->settings->default_model, &rq, &errors, &err);
	if (!rc)
		rc = service_create(x->svc, &owner, &rq, key, &outcome, &x->job, &err);
	if (!rc) {
		x->has_job = true;
		answer_outcome(x, outcome, &owner);
	} else if (errors) {
		x->err = err;
		answer_problem(x, rc, err.text, json_pack("{so}", "errors", errors));
	} else {
		answer_failure(x, rc, &err);
	}
	request_clear(&rq);
}
