#include "config.h"

#include "db/strays.h"

#include "db/pool.h"
#include "db/text.h"

void
stray_clear(struct stray *stray)
{
	mem_free(stray->prediction_id);
	mem_free(stray->provider);
	mem_free(stray->handle);
	memset(stray, 0, sizeof *stray);
}

enum err_code
strays_add(struct db *db, const struct uuid *owner, const struct uuid *job,
	const char *prediction_id, const char *handle, const char *provider, const char *road,
	struct err *err)
{
	char o[UUID_TEXT_SIZE], j[UUID_TEXT_SIZE];
	const char *params[] = { o, j, prediction_id, provider, road, handle };
	PGresult *res = NULL;
	enum err_code rc;

	uuid_format(owner, o);
	uuid_format(job, j);
	rc = db_query(db, SQL_stray_add, params, N(params), &res, err);
	PQclear(res);
	return rc;
}

enum err_code
strays_open(struct db *db, const struct uuid *owner, const struct uuid *job, bool *ret, struct err *err)
{
	char o[UUID_TEXT_SIZE], j[UUID_TEXT_SIZE];
	const char *params[] = { o, j };
	PGresult *res = NULL;
	enum err_code rc;

	uuid_format(owner, o);
	uuid_format(job, j);
	rc = db_query(db, SQL_stray_open, params, N(params), &res, err);
	if (!rc)
		*ret = row_i64(res, 0, "open", 0) != 0;
	PQclear(res);
	return rc;
}

static enum err_code
stray_from_row(const PGresult *res, struct stray *ret, struct err *err)
{
	const char *owner = row_text(res, 0, "owner_id"), *job = row_text(res, 0, "job_id");
	const char *handle = row_text(res, 0, "handle"), *road = row_text(res, 0, "road");
	struct stray stray = {
		.attempts = (int32_t)row_i64(res, 0, "attempts", 0),
		.misses = (int32_t)row_i64(res, 0, "misses", 0),
		.answered = road && strcmp(road, "reply") == 0,
		.heard = road && strcmp(road, "webhook") == 0,
	};

	if (uuid_parse(owner, strlen(owner), &stray.owner) || uuid_parse(job, strlen(job), &stray.job))
		return err_set(err, ERR_INTERNAL, "stray of job %s", job);
	stray.prediction_id = mem_strdup(row_text(res, 0, "prediction_id"));
	stray.provider = mem_strdup(row_text(res, 0, "provider"));
	stray.handle = handle ? mem_strdup(handle) : NULL;
	if (!stray.prediction_id || !stray.provider || (handle && !stray.handle)) {
		stray_clear(&stray);
		return err_set(err, ERR_NOMEM, "stray of job %s", job);
	}
	*ret = stray;
	return ERR_OK;
}

enum err_code
strays_claim(struct db *db, uint64_t lease_ms, struct stray *ret, struct err *err)
{
	char lease[24];
	const char *params[] = { lease };
	PGresult *res = NULL;
	enum err_code rc;

	snprintf(lease, sizeof lease, "%llu", (unsigned long long)lease_ms);
	rc = db_query(db, SQL_stray_claim, params, N(params), &res, err);
	if (!rc && PQntuples(res) == 0)
		rc = err_set(err, ERR_NOT_FOUND, "no stray is due");
	if (!rc)
		rc = stray_from_row(res, ret, err);
	PQclear(res);
	return rc;
}

/* A statement whose first parameters are the stray's key. *ret_rows: rows returned. */
static enum err_code
about(struct db *db, enum sql_id statement, const struct stray *stray, const char *fourth,
	const char *fifth, int *ret_rows, struct err *err)
{
	char o[UUID_TEXT_SIZE], j[UUID_TEXT_SIZE];
	const char *params[] = { o, j, stray->prediction_id, fourth, fifth };
	PGresult *res = NULL;
	enum err_code rc;

	uuid_format(&stray->owner, o);
	uuid_format(&stray->job, j);
	rc = db_query(db, statement, params, fifth ? 5 : fourth ? 4 : 3, &res, err);
	if (!rc)
		*ret_rows = PQntuples(res);
	PQclear(res);
	return rc;
}

enum err_code
strays_found(struct db *db, const struct stray *stray, bool *ret_first, struct err *err)
{
	int rows = 0;
	enum err_code rc = about(db, SQL_stray_found, stray, NULL, NULL, &rows, err);

	*ret_first = rows > 0;
	return rc;
}

enum err_code
strays_later(struct db *db, const struct stray *stray, uint64_t due_ms, struct err *err)
{
	char due[24], misses[24];
	int rows;

	snprintf(due, sizeof due, "%llu", (unsigned long long)due_ms);
	snprintf(misses, sizeof misses, "%d", (int)stray->misses);
	return about(db, SQL_stray_later, stray, due, misses, &rows, err);
}

enum err_code
strays_end(struct db *db, const struct stray *stray, const char *verdict, bool *ret_ended,
	struct err *err)
{
	int rows = 0;
	enum err_code rc = about(db, SQL_stray_end, stray, verdict, NULL, &rows, err);

	*ret_ended = rows > 0;
	return rc;
}
