/* What owners see of their jobs. */
#include "config.h"

#include "db/combine.h"
#include "db/jobs.h"
#include "db/pool.h"
#include "db/text.h"

/* A JSON value from a column; null for null. */
static json_t *
column_json(const PGresult *res, int row, const char *column)
{
	const char *s = row_text(res, row, column);

	return s ? read_json(s, JSON_DECODE_ANY, NULL) : json_null();
}

static json_t *
column_string(const PGresult *res, int row, const char *column)
{
	const char *s = row_text(res, row, column);

	return s ? json_string(s) : json_null();
}

static json_t *
column_number(const PGresult *res, int row, const char *column)
{
	return row_text(res, row, column) ? json_integer(row_i64(res, row, column, 0)) : json_null();
}

static json_t *
shown_from_row(const PGresult *res, int row)
{
	static const struct {
		const char *column;
		json_t *(*read)(const PGresult *res, int row, const char *column);
	} members[] = {
		{ "id", column_string }, { "status", column_string },
		{ "version", column_number }, { "model", column_string },
		{ "provider", column_string }, { "error_code", column_string },
		{ "metadata", column_json }, { "cost", column_json }, { "created_us", column_number },
		{ "started_us", column_number }, { "completed_us", column_number },
		{ "assets", column_json },
	};
	json_t *job = json_object();

	for (size_t i = 0; job && i < N(members); i++)
		if (json_object_set_new(job, members[i].column,
				members[i].read(res, row, members[i].column))) {
			json_decref(job);
			job = NULL;
		}
	return job;
}

enum err_code
jobs_show(struct db *db, const struct uuid *owner, const struct uuid *job_id,
	json_t **ret, struct err *err)
{
	struct found found = { .row = -1 };
	struct text j;
	enum err_code rc = combine_show(db_combiner(db), owner, job_id, &found, err);

	if (!rc && found.row < 0)
		rc = err_set(err, ERR_NOT_FOUND, "no job %s of that owner", id(&j, job_id));
	if (!rc) {
		json_t *job = shown_from_row(found.res, found.row);

		if (job)
			*ret = job;
		else
			rc = err_set(err, ERR_NOMEM, "job %s", id(&j, job_id));
	}
	found_clear(&found);
	return rc;
}

enum err_code
jobs_request(struct db *db, const struct uuid *owner, const struct uuid *job_id,
	enum gen_status *ret_status, char **ret_model, json_t **ret_request, struct err *err)
{
	struct text o, j;
	const char *params[] = { id(&o, owner), id(&j, job_id) };
	json_t *request = NULL;
	char *model = NULL;
	PGresult *res = NULL;
	enum err_code rc = db_query(db, SQL_job_request, params, N(params), &res, err);

	if (!rc && PQntuples(res) == 0)
		rc = err_set(err, ERR_NOT_FOUND, "no job %s of that owner", params[1]);
	if (!rc && gen_status_parse(row_text(res, 0, "status"), ret_status))
		rc = err_set(err, ERR_INTERNAL, "job %s: status %s is unknown to this program",
			params[1], row_text(res, 0, "status"));
	if (!rc) {
		request = column_json(res, 0, "request");
		if (!request || !dup_into(&model, row_text(res, 0, "model")) ||
		    (row_text(res, 0, "metadata") &&
		     json_object_set_new(request, "metadata", column_json(res, 0, "metadata"))))
			rc = err_set(err, ERR_NOMEM, "job %s", params[1]);
	}
	if (rc) {
		json_decref(request);
		mem_free(model);
	} else {
		*ret_request = request;
		*ret_model = model;
	}
	PQclear(res);
	return rc;
}

enum err_code
jobs_list(struct db *db, const struct uuid *owner, unsigned statuses, const struct uuid *before,
	size_t max, json_t **ret, struct err *err)
{
	struct text o, b, limit;
	struct buf array = BUF_INIT(256);
	const char *params[4] = { id(&o, owner), before ? id(&b, before) : NULL, NULL, num(&limit, (int64_t)max) };
	json_t *jobs = json_array();
	PGresult *res = NULL;
	enum err_code rc;

	for (int i = 0; i < GEN_STATUS_COUNT; i++)
		if (statuses & 1u << i)
			buf_printf(&array, "%c%s", array.len ? ',' : '{', gen_status_name((enum gen_status)i));
	if (statuses) {
		buf_putc(&array, '}');
		params[2] = buf_str(&array);
	}
	rc = array.err || !jobs ? err_set(err, ERR_NOMEM, "list of jobs")
		: db_query(db, SQL_jobs_list, params, N(params), &res, err);
	for (int i = 0; !rc && i < PQntuples(res); i++)
		if (json_array_append_new(jobs, shown_from_row(res, i)))
			rc = err_set(err, ERR_NOMEM, "list of jobs");
	if (!rc) {
		*ret = jobs;
		jobs = NULL;
	}
	json_decref(jobs);
	buf_clear(&array);
	PQclear(res);
	return rc;
}
