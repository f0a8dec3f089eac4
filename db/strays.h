/*
 * Predictions that something named beside the one that a job has: they are looked
 * at, and those that are the job's are ended at the provider.  A row outlives its
 * job.  Each call is one statement.  All may be used from any thread.
 */
#ifndef GENGATE_DB_STRAYS_H
#define GENGATE_DB_STRAYS_H

#include "db/db.h"
#include "base/id.h"

/* stray_clear() */
struct stray {
	struct uuid owner, job;
	char *prediction_id;
	char *provider;
	char *handle;			/* how it is reached, or NULL */
	bool answered;			/* a create's own answer named it */
	bool heard;			/* a webhook of its job's did */
	int32_t attempts;		/* looks that were taken */
	int32_t misses;			/* of these, those in a row that did not find it */
};

void stray_clear(struct stray *stray);

/* Committed when this returns; nothing happens if it is known already.  road: NULL
 * or how it was heard of; handle: NULL or how it is reached. */
enum err_code strays_add(struct db *db, const struct uuid *owner, const struct uuid *job,
	const char *prediction_id, const char *handle, const char *provider, const char *road,
	struct err *err) MUST_CHECK;

/* Is any of this job's not dealt with yet? */
enum err_code strays_open(struct db *db, const struct uuid *owner, const struct uuid *job,
	bool *ret, struct err *err) MUST_CHECK;

/* Lease the one that has been due for longest.  ERR_NOT_FOUND: none is. */
enum err_code strays_claim(struct db *db, uint64_t lease_ms, struct stray *ret,
	struct err *err) MUST_CHECK;

/* It is the job's.  *ret_first: nobody had said so before. */
enum err_code strays_found(struct db *db, const struct stray *stray, bool *ret_first,
	struct err *err) MUST_CHECK;

/* Its misses as they are in *stray. */
enum err_code strays_later(struct db *db, const struct stray *stray, uint64_t due_ms,
	struct err *err) MUST_CHECK;

/* Nothing is left to be done.  verdict: as the table's constraint has them.
 * *ret_ended: it was ended here. */
enum err_code strays_end(struct db *db, const struct stray *stray, const char *verdict,
	bool *ret_ended, struct err *err) MUST_CHECK;

#endif
