#include "config.h"

#include "db/shared.h"

#include "db/pool.h"
#include "db/text.h"

enum err_code
shared_get(struct db *db, const char *name, struct buf *out, uint64_t *ret_age_ms, struct err *err)
{
	const char *params[] = { name }, *text;
	PGresult *res = NULL;
	int64_t age_ms;
	enum err_code rc = db_query(db, SQL_shared_get, params, N(params), &res, err);

	if (!rc && (PQntuples(res) == 0 || !(text = row_text(res, 0, "value"))))
		rc = err_set(err, ERR_NOT_FOUND, "nothing is shared as %s", name);
	if (!rc) {
		age_ms = row_i64(res, 0, "age_ms", 0);
		buf_puts(out, text);
		if (out->err)
			rc = err_set(err, out->err, "what is shared as %s", name);
		else
			*ret_age_ms = age_ms > 0 ? (uint64_t)age_ms : 0;
	}
	PQclear(res);
	return rc;
}

enum err_code
shared_put(struct db *db, const char *name, const char *text, struct err *err)
{
	const char *params[] = { name, text };
	PGresult *res = NULL;
	enum err_code rc = db_query(db, SQL_shared_put, params, N(params), &res, err);

	PQclear(res);
	return rc;
}

enum err_code
shared_claim(struct db *db, const char *name, uint64_t pause_ms, struct err *err)
{
	char pause[24];
	const char *params[] = { name, pause };
	PGresult *res = NULL;
	enum err_code rc;

	snprintf(pause, sizeof pause, "%llu", (unsigned long long)pause_ms);
	rc = db_query(db, SQL_shared_claim, params, N(params), &res, err);
	if (!rc && PQntuples(res) == 0)
		rc = err_set(err, ERR_LOST_RACE, "another process has begun %s", name);
	PQclear(res);
	return rc;
}
