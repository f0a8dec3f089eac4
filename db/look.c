#include "config.h"

#include "db/look.h"

#include "db/pool.h"

void
db_look_clear(struct db_look *look)
{
	mem_free(look->who);
	mem_free(look->live_key);
	mem_free(look->missing_rights);
	mem_free(look->hidden_tables);
	memset(look, 0, sizeof *look);
}

static bool
keep(char **to, const PGresult *res, const char *column)
{
	const char *text = row_text(res, 0, column);

	*to = text ? mem_strdup(text) : NULL;
	return !text || *to;
}

enum err_code
db_look(struct db *db, struct db_look *ret, struct err *err)
{
	struct db_look look = { .who = NULL };
	PGresult *res = NULL;
	const char *realtime;
	enum err_code rc = db_query(db, SQL_schema_look, NULL, 0, &res, err);

	if (rc)
		return rc;
	realtime = row_text(res, 0, "realtime");
	look.has_realtime = strcmp(realtime, "none") != 0;
	look.in_realtime = strcmp(realtime, "in") == 0;
	if (keep(&look.who, res, "who") && keep(&look.live_key, res, "live_key") &&
	    keep(&look.missing_rights, res, "missing_rights") &&
	    keep(&look.hidden_tables, res, "hidden_tables")) {
		*ret = look;
	} else {
		db_look_clear(&look);
		rc = err_set(err, ERR_NOMEM, "looking at the schema");
	}
	PQclear(res);
	return rc;
}

enum err_code
db_prepare_all(struct db *db, struct err *err)
{
	for (int id = 0; id < SQL_COUNT; id++) {
		enum err_code rc = db_prepare_only(db, (enum sql_id)id, err);

		if (rc)
			return rc;
	}
	return ERR_OK;
}
