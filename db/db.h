/*
 * The database as the folders above see it: one handle, any thread.
 *
 * Every statement has a deadline of ours: libpq is driven without blocking, so
 * that a connection that went silent costs `db_timeout` and no more.  A
 * statement whose connection broke is sent once more on a new one: all of ours
 * are written so that a repetition is harmless (an own id, a guarded version).
 * No statement relies on session state, so a transaction-mode pooler may sit
 * in between.
 */
#ifndef GENGATE_DB_DB_H
#define GENGATE_DB_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cfg.h"
#include "base/err.h"

struct db_settings {
	char *url;			/* database_url */
	uint64_t pool;			/* connections at most */
	uint64_t timeout_ms;		/* for a statement, waiting for a connection included */
	bool named_statements;
};

extern const struct cfg_row db_options[];

struct db;

/* Connects when first used.  settings is copied. */
enum err_code db_new(const struct db_settings *settings, struct db **ret,
	struct err *err) MUST_CHECK;
void db_free(struct db **db);	/* no thread uses it any more */

/* For the statements that begin from now on. */
void db_set_timeout(struct db *db, uint64_t timeout_ms);

/*
 * Is the database there, and is its schema the one that this program knows?
 * ERR_UNAVAILABLE: no answer.  ERR_CONFIG: answer, but `gengate migrate` has to
 * run, or this program is older than the schema.
 */
enum err_code db_ready(struct db *db, struct err *err) MUST_CHECK;

/* Of the pool's connections, those that are open and idle, and those that a
 * statement has. */
void db_connections(struct db *db, size_t *ret_idle, size_t *ret_busy);

#endif
