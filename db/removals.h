/*
 * Deleting jobs: the rows go at once, the files are work to do until they are
 * gone.  Each call is one statement.  All may be used from any thread.
 */
#ifndef GENGATE_DB_REMOVALS_H
#define GENGATE_DB_REMOVALS_H

#include "base/id.h"
#include "base/json.h"
#include "db/db.h"

/* Delete a settled job with its outputs and its trail; a removal of its files is
 * committed with it.  ERR_CONFLICT: it is live.  ERR_NOT_FOUND. */
enum err_code jobs_delete(struct db *db, const struct uuid *owner, const struct uuid *id,
	struct err *err) MUST_CHECK;

/* The files of a deleted job: removal_clear(). */
struct removal {
	struct uuid owner, job;
	int32_t attempts;
	json_t *keys, *input_keys;	/* arrays of strings: outputs', inputs' */
};

void removal_clear(struct removal *removal);

/* Lease one that is due.  ERR_NOT_FOUND: none is. */
enum err_code removals_claim(struct db *db, uint64_t lease_ms, struct removal *ret,
	struct err *err) MUST_CHECK;
enum err_code removals_done(struct db *db, const struct removal *removal, struct err *err) MUST_CHECK;
enum err_code removals_later(struct db *db, const struct removal *removal, uint64_t due_ms,
	struct err *err) MUST_CHECK;

#endif
