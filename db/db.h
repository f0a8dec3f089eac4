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
	uint64_t wait_ms;		/* of a request, for a connection */
	bool named_statements;
};

extern const struct cfg_row db_options[];

struct db;

/* Connects when first used.  settings is copied. */
enum err_code db_new(const struct db_settings *settings, struct db **ret,
	struct err *err) MUST_CHECK;
void db_free(struct db **db);	/* no thread uses it any more */

/* timeout and wait of these, for the statements that begin from now on. */
void db_configure(struct db *db, const struct db_settings *settings);

/*
 * Who asks, by thread.  Work and requests stand in a line each, and neither has
 * all connections.  A request stands there for `db_wait` at most, and not at all
 * while its line is full and has not moved for a while: ERR_OVERLOADED.  Who has had
 * a connection once is turned away no more: half of what a request does would be
 * worth less than a wait.
 */
enum db_caller {
	DB_WORK,	/* all threads, unless they say something else */
	DB_REQUEST,	/* whoever sent it can come back */
	DB_PATIENT,	/* the same, and it should not have to: a longer line, for db_timeout */
	DB_ADMITTED,	/* a request that has begun */
};

/* For this thread from now on; what it was. */
enum db_caller db_call_as(enum db_caller who);

/* Requests are answered by so many threads: before the first of them.  Their line is
 * so short that a thread stays free, to say that it is full. */
void db_limit_requests(struct db *db, size_t threads);

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
