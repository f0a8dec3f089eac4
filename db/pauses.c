#include "config.h"

#include "db/pauses.h"

#include "base/buf.h"
#include "db/pool.h"
#include "db/text.h"

/* What a provider's pause is called there. */
static enum err_code
put_name(struct buf *name, const char *provider, struct err *err)
{
	buf_printf(name, "pause:%s", provider);
	return name->err ? err_set(err, name->err, "the pause of %s", provider) : ERR_OK;
}

/* A statement about one provider's pause, whose name is its first parameter.
 * nobody: what it means that no row came back. */
static enum err_code
run(struct db *db, enum sql_id id, const char *provider, const char **params, size_t n,
	enum err_code nobody, struct err *err)
{
	struct buf name = BUF_INIT(200);
	PGresult *res = NULL;
	enum err_code rc = put_name(&name, provider, err);

	params[0] = buf_str(&name);
	if (!rc)
		rc = db_query(db, id, params, n, &res, err);
	if (!rc && nobody && PQntuples(res) == 0)
		rc = err_set(err, nobody, "the pause of %s is not ours to change", provider);
	PQclear(res);
	buf_clear(&name);
	return rc;
}

static enum err_code
pause_from_row(const PGresult *res, int row, struct pause *ret, struct err *err)
{
	ret->provider = mem_strdup(row_text(res, row, "provider"));
	ret->reason = mem_strdup(row_text(res, row, "reason"));
	ret->by = mem_strdup(row_text(res, row, "by"));
	ret->by_operator = row_i64(res, row, "operator", 0) != 0;
	ret->probed = row_i64(res, row, "probed", 0) != 0;
	ret->since_us = row_i64(res, row, "since_us", 0);
	ret->until_us = row_i64(res, row, "until_us", PAUSE_WITHOUT_END);
	ret->left_ms = row_i64(res, row, "left_ms", PAUSE_WITHOUT_END);
	ret->rounds = row_i64(res, row, "rounds", 0);
	return ret->provider && ret->reason && ret->by ? ERR_OK : err_set(err, ERR_NOMEM, "paused providers");
}

enum err_code
pauses_load(struct db *db, struct pause **ret, size_t *ret_n, struct err *err)
{
	PGresult *res = NULL;
	struct pause *pauses = NULL;
	size_t n = 0;
	enum err_code rc = db_query(db, SQL_pauses_load, NULL, 0, &res, err);

	if (!rc) {
		n = (size_t)PQntuples(res);
		pauses = mem_calloc(n ? n : 1, sizeof *pauses);
		if (!pauses)
			rc = err_set(err, ERR_NOMEM, "paused providers");
	}
	for (size_t i = 0; !rc && i < n; i++)
		rc = pause_from_row(res, (int)i, &pauses[i], err);
	PQclear(res);
	if (rc) {
		pauses_clear(&pauses, n);
		return rc;
	}
	*ret = pauses;
	*ret_n = n;
	return ERR_OK;
}

void
pauses_clear(struct pause **pauses, size_t n)
{
	for (size_t i = 0; *pauses && i < n; i++) {
		mem_free((*pauses)[i].provider);
		mem_free((*pauses)[i].reason);
		mem_free((*pauses)[i].by);
	}
	mem_free(*pauses);
	*pauses = NULL;
}

enum err_code
pauses_put(struct db *db, const char *provider, const char *reason, const char *by,
	const struct pause_time *time, struct err *err)
{
	struct text least, first, max, percent;
	const char *params[] = {
		NULL, reason, by, num(&least, (int64_t)time->least_ms), num(&first, (int64_t)time->first_ms),
		num(&max, (int64_t)time->max_ms), num(&percent, time->percent),
	};

	return run(db, SQL_pause_put, provider, params, N(params), ERR_OK, err);
}

enum err_code
pauses_order(struct db *db, const char *provider, const char *reason, const char *by, uint64_t ms,
	struct err *err)
{
	struct text length;
	const char *params[] = { NULL, reason, by, ms ? num(&length, (int64_t)ms) : NULL };

	return run(db, SQL_pause_order, provider, params, N(params), ERR_OK, err);
}

enum err_code
pauses_probe(struct db *db, const char *provider, int64_t number, uint64_t lease_ms, struct err *err)
{
	struct text n, lease;
	const char *params[] = { NULL, num(&n, number), num(&lease, (int64_t)lease_ms) };

	return run(db, SQL_pause_probe, provider, params, N(params), ERR_LOST_RACE, err);
}

enum err_code
pauses_lift(struct db *db, const char *provider, int64_t number, struct err *err)
{
	struct text n;
	const char *params[] = { NULL, num(&n, number) };

	return run(db, SQL_pause_lift, provider, params, N(params), ERR_LOST_RACE, err);
}

enum err_code
pauses_resume(struct db *db, const char *provider, struct err *err)
{
	const char *params[] = { NULL, provider };

	return run(db, SQL_pause_resume, provider, params, N(params), ERR_NOT_FOUND, err);
}
