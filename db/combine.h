/*
 * Lookups of a job by its key that come at the same time go to Postgres as one
 * statement; one that comes alone goes as it is.
 *
 * A lookup that comes while none is under way is sent at once.  The others
 * wait; when that statement is answered, whoever has waited longest sends the
 * next, for itself and for those behind it.  A statement that takes long is not
 * waited for by those that come later.
 */
#ifndef GENGATE_DB_COMBINE_H
#define GENGATE_DB_COMBINE_H

#include "db/pool.h"

struct combiner;

/* db is borrowed until combiner_free(). */
enum err_code combiner_new(struct db *db, struct combiner **ret, struct err *err) MUST_CHECK;
void combiner_free(struct combiner **combiner);

struct found {
	const PGresult *res;	/* others read it, too */
	int row;		/* -1: there is no such job */
	struct answer *answer;
};

/*
 * Look up as SQL_job_show does.  The caller hands *ret back: found_clear().
 * Waits for db_timeout at most; errors are db_query()'s.
 */
enum err_code combine_show(struct combiner *c, const struct uuid *owner, const struct uuid *job,
	struct found *ret, struct err *err) MUST_CHECK;
void found_clear(struct found *found);

#endif
