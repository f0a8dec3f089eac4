/*
 * Deleting what has been kept for long enough, in batches that are short enough to
 * be in nobody's way.  Each call is one statement, and may be repeated.  All may be
 * used from any thread.
 */
#ifndef GENGATE_DB_PRUNE_H
#define GENGATE_DB_PRUNE_H

#include "base/id.h"
#include "db/db.h"

/* What one batch did. */
struct pruned {
	bool any;		/* false: there was nothing left to look at */
	struct uuid last;	/* go on after this one */
	int64_t jobs, events;	/* deleted */
	int64_t files;		/* to be removed from the storage */
	bool some_stay;		/* prune_trails(): not all that it saw can go yet */
};

/* Jobs that settled age_ms ago or earlier, in the order of their ids after *after,
 * with their outputs' rows and their trails.  files: a removal of each one's files
 * is committed with it. */
enum err_code prune_jobs(struct db *db, uint64_t age_ms, const struct uuid *after, bool files,
	struct pruned *ret, struct err *err) MUST_CHECK;

/* The same for trails; the jobs stay. */
enum err_code prune_trails(struct db *db, uint64_t age_ms, const struct uuid *after,
	struct pruned *ret, struct err *err) MUST_CHECK;

/*
 * Be the one process that prunes, for so long; by is a number of the process's own.
 * trails: the job up to which all trails are gone, for whoever prunes next; NULL: as
 * it was.  *ret_trails: that job, all zeroes when there is none.
 * ERR_LOST_RACE: another process does.
 */
enum err_code prune_claim(struct db *db, int64_t by, uint64_t lease_ms, const struct uuid *trails,
	struct uuid *ret_trails, struct err *err) MUST_CHECK;

#endif
