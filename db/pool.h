/*
 * Connections and statements; for db/ alone.
 *
 * A connection is held during a statement only, never across HTTP.  The pool
 * has one lock; no other is taken under it, and it is not held during I/O.
 */
#ifndef GENGATE_DB_POOL_H
#define GENGATE_DB_POOL_H

#include <libpq-fe.h>

#include "db/db.h"
#include "base/id.h"

enum sql_id {
#define SQL(name, text) SQL_##name,
#include "db/statements.inc"
#undef SQL
	SQL_COUNT
};

const char *sql_name(enum sql_id id);
const char *sql_text(enum sql_id id);

/*
 * Run one statement.  params: n texts, NULL for null; borrowed.
 * ret	the caller owns it: PQclear().  Untouched on failure.
 * ERR_OVERLOADED: see enum db_caller.
 * ERR_UNAVAILABLE: no connection, no answer in time, or the server said "not
 * now" (its shutdown, a failover, too many connections, a deadlock).
 * ERR_CONFIG: a table is missing (migrate first).  ERR_INVALID: a value that
 * the database refuses.  ERR_INTERNAL: all else.
 */
enum err_code db_query(struct db *db, enum sql_id id, const char *const *params,
	size_t n, PGresult **ret, struct err *err) MUST_CHECK;

/* The same with a time limit of its own instead of db_timeout. */
enum err_code db_query_within(struct db *db, uint64_t timeout_ms, enum sql_id id,
	const char *const *params, size_t n, PGresult **ret, struct err *err) MUST_CHECK;

/* When a statement that is asked for now is given up: clock_mono_us(). */
int64_t db_deadline_us(const struct db *db);

enum db_caller db_calls_as(void);

/* This thread's request has what it asked for: DB_ADMITTED.  Not for work. */
void db_admit(void);

/* When this thread's request has waited for long enough to be served. */
int64_t db_patience_us(const struct db *db);

/* ERR_OVERLOADED; counts it. */
enum err_code db_overloaded(const char *why, struct err *err);

/* Borrowed. */
struct combiner *db_combiner(struct db *db);

/* The same for one text without parameters that may hold several statements,
 * on a connection of its own that is closed afterwards; timeout_ms for all. */
enum err_code db_script(const struct db_settings *settings, const char *sql,
	uint64_t timeout_ms, PGresult **ret, struct err *err) MUST_CHECK;

/* Prepare a statement and throw it away: for the test that every one is right. */
enum err_code db_prepare_only(struct db *db, enum sql_id id, struct err *err) MUST_CHECK;

/* The value in a column by its name: NULL for null.  A name that the statement
 * does not return is our own bug. */
const char *row_text(const PGresult *res, int row, const char *column);
int64_t row_i64(const PGresult *res, int row, const char *column, int64_t if_null);

#endif
