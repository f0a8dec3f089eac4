#include "config.h"

#include "db/pool.h"

#include "db/migrate.h"

const struct cfg_row db_options[] = {
	{ "database_url", CFG_STR, offsetof(struct db_settings, url),
	  .max = 4096, .flags = CFG_SECRET | CFG_REQUIRED | CFG_RESTART,
	  .doc = "Where Postgres is, as libpq takes it: `postgresql://user:password@host/name?sslmode=verify-full`. "
		"Several hosts with `target_session_attrs=read-write` follow a failover. "
		"A transaction-mode pooler is fine; set `named_statements = off` then." },
	{ "db_pool", CFG_UINT, offsetof(struct db_settings, pool),
	  .def = "8", .min = 1, .max = 1000, .flags = CFG_RESTART,
	  .doc = "Connections that one process opens at most. They are held during a statement only." },
	{ "db_timeout", CFG_DURATION, offsetof(struct db_settings, timeout_ms),
	  .def = "10s", .min = 100, .max = 600000,
	  .doc = "How long one statement may take, waiting for a connection included, before it is given up." },
	{ "db_wait", CFG_DURATION, offsetof(struct db_settings, wait_ms),
	  .def = "1s", .min = 10, .max = 600000,
	  .doc = "How long a user's request waits for a free connection before it is answered 503 `overloaded`. While "
		"many wait already it is answered so at once. Webhooks and jobs under way wait for `db_timeout`." },
	{ "named_statements", CFG_BOOL, offsetof(struct db_settings, named_statements),
	  .def = "on", .flags = CFG_RESTART,
	  .doc = "Prepare each statement once per connection. `off` behind a pooler in transaction mode." },
	CFG_END
};

enum err_code
db_ready(struct db *db, struct err *err)
{
	PGresult *res = NULL;
	int64_t have;
	enum err_code rc;

	rc = db_query(db, SQL_schema_version, NULL, 0, &res, err);
	if (rc)
		return rc;
	have = row_i64(res, 0, "coalesce", 0);
	PQclear(res);
	if (have < migration_newest())
		return err_set(err, ERR_CONFIG, "the database's schema is at %lld, this program needs %d: "
			"run `gengate migrate`", (long long)have, migration_newest());
	if (have > migration_newest())
		return err_set(err, ERR_CONFIG, "the database's schema is at %lld, this program knows %d: "
			"install the newer gengate", (long long)have, migration_newest());
	return ERR_OK;
}
