#include "config.h"

#include "db/prune.h"

#include "db/pool.h"
#include "db/text.h"

/* The id that all batches' rows have; false: there was no row to look at. */
static enum err_code
last_from_row(const PGresult *res, struct pruned *ret, struct err *err)
{
	const char *last = row_text(res, 0, "last");

	ret->any = last;
	if (last && uuid_parse(last, strlen(last), &ret->last))
		return err_set(err, ERR_INTERNAL, "pruned job %s", last);
	return ERR_OK;
}

enum err_code
prune_jobs(struct db *db, uint64_t age_ms, const struct uuid *after, bool files,
	struct pruned *ret, struct err *err)
{
	struct text age;
	char from[UUID_TEXT_SIZE];
	const char *params[] = { num(&age, (int64_t)age_ms), from, files ? "t" : "f" };
	struct pruned pruned = { .any = false };
	PGresult *res = NULL;
	enum err_code rc;

	uuid_format(after, from);
	rc = db_query(db, SQL_prune_jobs, params, N(params), &res, err);
	if (!rc)
		rc = last_from_row(res, &pruned, err);
	if (!rc) {
		pruned.jobs = row_i64(res, 0, "jobs", 0);
		pruned.events = row_i64(res, 0, "events", 0);
		pruned.files = row_i64(res, 0, "files", 0);
		*ret = pruned;
	}
	PQclear(res);
	return rc;
}

enum err_code
prune_trails(struct db *db, uint64_t age_ms, const struct uuid *after, struct pruned *ret,
	struct err *err)
{
	struct text age;
	char from[UUID_TEXT_SIZE];
	const char *params[] = { num(&age, (int64_t)age_ms), from };
	struct pruned pruned = { .any = false };
	PGresult *res = NULL;
	enum err_code rc;

	uuid_format(after, from);
	rc = db_query(db, SQL_prune_trails, params, N(params), &res, err);
	if (!rc)
		rc = last_from_row(res, &pruned, err);
	if (!rc) {
		pruned.events = row_i64(res, 0, "events", 0);
		pruned.some_stay = row_text(res, 0, "some_stay")[0] == 't';
		*ret = pruned;
	}
	PQclear(res);
	return rc;
}

enum err_code
prune_claim(struct db *db, int64_t by, uint64_t lease_ms, const struct uuid *trails,
	struct uuid *ret_trails, struct err *err)
{
	struct text who, lease;
	char upto[UUID_TEXT_SIZE];
	const char *params[] = { num(&who, by), num(&lease, (int64_t)lease_ms), trails ? upto : NULL };
	struct uuid gone = { .b = { 0 } };
	PGresult *res = NULL;
	const char *text;
	enum err_code rc;

	if (trails)
		uuid_format(trails, upto);
	rc = db_query(db, SQL_prune_claim, params, N(params), &res, err);
	if (!rc && PQntuples(res) == 0)
		rc = err_set(err, ERR_LOST_RACE, "another process prunes");
	if (!rc) {
		text = row_text(res, 0, "trails");
		if (text && uuid_parse(text, strlen(text), &gone))
			rc = err_set(err, ERR_INTERNAL, "trails are pruned up to %s", text);
	}
	if (!rc)
		*ret_trails = gone;
	PQclear(res);
	return rc;
}
