#include "config.h"

#include "db/removals.h"

#include "db/jobs.h"
#include "db/pool.h"
#include "db/text.h"

void
removal_clear(struct removal *removal)
{
	json_decref(removal->keys);
	json_decref(removal->input_keys);
	memset(removal, 0, sizeof *removal);
}

enum err_code
jobs_delete(struct db *db, const struct uuid *owner, const struct uuid *id, struct err *err)
{
	char o[UUID_TEXT_SIZE], j[UUID_TEXT_SIZE];
	const char *params[] = { o, j };
	PGresult *res = NULL;
	enum err_code rc;

	uuid_format(owner, o);
	uuid_format(id, j);
	rc = db_query(db, SQL_job_delete, params, N(params), &res, err);
	if (!rc && PQntuples(res) == 0) {
		rc = jobs_exists(db, owner, id, err);
		if (!rc)
			rc = err_set(err, ERR_CONFLICT, "The job has not ended yet; cancel it first.");
	}
	PQclear(res);
	return rc;
}

static enum err_code
removal_from_row(const PGresult *res, struct removal *ret, struct err *err)
{
	struct removal removal = { .attempts = (int32_t)row_i64(res, 0, "attempts", 0) };
	const char *owner = row_text(res, 0, "owner_id"), *job = row_text(res, 0, "job_id");
	const char *keys = row_text(res, 0, "keys"), *input_keys = row_text(res, 0, "input_keys");

	if (uuid_parse(owner, strlen(owner), &removal.owner) || uuid_parse(job, strlen(job), &removal.job))
		return err_set(err, ERR_INTERNAL, "removal of job %s", job);
	removal.keys = json_read(keys, strlen(keys), 0, NULL);
	removal.input_keys = json_read(input_keys, strlen(input_keys), 0, NULL);
	if (!removal.keys || !removal.input_keys) {
		removal_clear(&removal);
		return err_set(err, ERR_NOMEM, "removal of job %s", job);
	}
	*ret = removal;
	return ERR_OK;
}

enum err_code
removals_claim(struct db *db, uint64_t lease_ms, struct removal *ret, struct err *err)
{
	char lease[24];
	const char *params[] = { lease };
	PGresult *res = NULL;
	enum err_code rc;

	snprintf(lease, sizeof lease, "%llu", (unsigned long long)lease_ms);
	rc = db_query(db, SQL_removal_claim, params, N(params), &res, err);
	if (!rc && PQntuples(res) == 0)
		rc = err_set(err, ERR_NOT_FOUND, "no removal is due");
	if (!rc)
		rc = removal_from_row(res, ret, err);
	PQclear(res);
	return rc;
}

enum err_code
removals_done(struct db *db, const struct removal *removal, struct err *err)
{
	char o[UUID_TEXT_SIZE], j[UUID_TEXT_SIZE];
	const char *params[] = { o, j };
	PGresult *res = NULL;
	enum err_code rc;

	uuid_format(&removal->owner, o);
	uuid_format(&removal->job, j);
	rc = db_query(db, SQL_removal_done, params, N(params), &res, err);
	PQclear(res);
	return rc;
}

enum err_code
removals_later(struct db *db, const struct removal *removal, uint64_t due_ms, struct err *err)
{
	char o[UUID_TEXT_SIZE], j[UUID_TEXT_SIZE], due[24];
	const char *params[] = { o, j, due };
	PGresult *res = NULL;
	enum err_code rc;

	uuid_format(&removal->owner, o);
	uuid_format(&removal->job, j);
	snprintf(due, sizeof due, "%llu", (unsigned long long)due_ms);
	rc = db_query(db, SQL_removal_later, params, N(params), &res, err);
	PQclear(res);
	return rc;
}
