#include "config.h"

#include "fcgi/job_answer.h"

#include "base/clock.h"

static void
etag_of(int32_t version, char out[16])
{
	snprintf(out, 16, "\"v%d\"", (int)version);
}

void
answer_job(struct exchange *x, int status, struct shown *shown)
{
	char etag[16];

	etag_of(shown->version, etag);
	answer_header(x, "Cache-Control", "private, no-cache");
	answer_header(x, "ETag", etag);
	if (status == 304) {
		json_decref(shown->job);
		answer_empty(x, status);
	} else {
		answer_json(x, status, shown->job);
	}
	shown->job = NULL;
}

bool
job_is_known(const struct exchange *x, int32_t version)
{
	const char *p = exchange_header(x, "if-none-match");
	char etag[16];

	etag_of(version, etag);
	while (p && *p) {
		size_t len;

		p += strspn(p, ", \t");
		if (strncmp(p, "W/", 2) == 0)
			p += 2;
		len = strcspn(p, ", \t");
		if ((len == 1 && *p == '*') || (len == strlen(etag) && strncmp(p, etag, len) == 0))
			return true;
		p += len;
	}
	return false;
}

enum err_code
job_id_read(struct exchange *x, const char *text, struct err *err)
{
	if (!text || uuid_parse(text, strlen(text), &x->job))
		return err_set(err, ERR_NOT_FOUND, "no job's id");
	x->has_job = true;
	return ERR_OK;
}

json_t *
job_in_short(struct shown *shown)
{
	json_t *ret = json_pack("{s{sO, sO, sO, sI, sO}}", "job",
		"id", json_object_get(shown->job, "id"),
		"status", json_object_get(shown->job, "status"),
		"created_at", json_object_get(shown->job, "created_at"),
		"age_seconds", (json_int_t)((clock_wall_us() - shown->created_us) / 1000000),
		"links", json_object_get(shown->job, "links"));

	json_decref(shown->job);
	shown->job = NULL;
	return ret;
}

void
answer_conflict(struct exchange *x, const struct err *err, json_t *more)
{
	struct shown shown = { .job = NULL };
	json_t *body = NULL;

	x->err = *err;
	/* Without it the answer is still true. */
	if (!service_show(x->svc, &x->owner, &x->job, &shown, NULL))
		body = job_in_short(&shown);
	if (more && body) {
		(void)json_object_update(more, body);
		json_decref(body);
		body = NULL;
	}
	answer_problem(x, ERR_CONFLICT, err->text, more ? more : body);
}

void
answer_location(struct exchange *x)
{
	struct buf location = BUF_INIT(4096);

	service_status_path(x->svc, &x->job, &location);
	answer_header(x, "Location", buf_str(&location));
	buf_clear(&location);
}
