#include "config.h"

#include "db/inputs.h"

#include "db/pool.h"
#include "db/text.h"

enum err_code
inputs_name(struct db *db, const struct uuid *owner, const struct uuid *job, const json_t *inputs,
	size_t *ret_index, struct err *err)
{
	char o[UUID_TEXT_SIZE], j[UUID_TEXT_SIZE];
	char *text = json_write(inputs, JSON_COMPACT);
	const char *params[] = { o, j, text };
	PGresult *res = NULL;
	enum err_code rc;

	uuid_format(owner, o);
	uuid_format(job, j);
	rc = text ? db_query(db, SQL_inputs_name, params, N(params), &res, err)
		: err_set(err, ERR_NOMEM, "inputs of job %s", j);
	if (!rc && row_text(res, 0, "going")) {
		*ret_index = (size_t)row_i64(res, 0, "going", 0);
		rc = err_set(err, ERR_NOT_FOUND, "input %zu goes with the last job that had it", *ret_index);
	}
	PQclear(res);
	mem_free(text);
	return rc;
}

enum err_code
inputs_drop(struct db *db, const struct uuid *owner, const struct uuid *job, bool *ret, struct err *err)
{
	char o[UUID_TEXT_SIZE], j[UUID_TEXT_SIZE];
	const char *params[] = { o, j };
	PGresult *res = NULL;
	enum err_code rc;

	uuid_format(owner, o);
	uuid_format(job, j);
	rc = db_query(db, SQL_inputs_drop, params, N(params), &res, err);
	if (!rc)
		*ret = PQntuples(res) > 0;
	PQclear(res);
	return rc;
}

enum err_code
inputs_sweep(struct db *db, bool *ret_more, int64_t *ret_dropped, struct err *err)
{
	PGresult *res = NULL;
	enum err_code rc = db_query(db, SQL_inputs_sweep, NULL, 0, &res, err);

	if (!rc) {
		*ret_more = row_i64(res, 0, "looked", 0) > 0;
		*ret_dropped = row_i64(res, 0, "dropped", 0);
	}
	PQclear(res);
	return rc;
}

enum err_code
jobs_in_flight(struct db *db, const struct uuid *owner, int slots, struct uuid *ret, struct err *err)
{
	char o[UUID_TEXT_SIZE], s[16];
	const char *params[] = { o, s }, *job;
	PGresult *res = NULL;
	enum err_code rc;

	uuid_format(owner, o);
	snprintf(s, sizeof s, "%d", slots);
	rc = db_query(db, SQL_job_in_flight, params, N(params), &res, err);
	if (!rc && PQntuples(res) == 0) {
		rc = err_set(err, ERR_NOT_FOUND, "nothing is in the way");
	} else if (!rc) {
		job = row_text(res, 0, "job_id");
		rc = uuid_parse(job, strlen(job), ret) ? err_set(err, ERR_INTERNAL, "job %s", job) : ERR_OK;
	}
	PQclear(res);
	return rc;
}
