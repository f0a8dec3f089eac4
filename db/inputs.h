/*
 * Inputs that are uploaded with requests, and what is looked at before that is done.
 * Each call is one statement, and may be repeated.  All may be used from any thread.
 */
#ifndef GENGATE_DB_INPUTS_H
#define GENGATE_DB_INPUTS_H

#include "base/id.h"
#include "base/json.h"
#include "db/db.h"

/* A job that is about to be made has these inputs: an array of {"key", "uploaded"}.
 * Before the first of them is put into the storage.  ERR_NOT_FOUND: the last job of one that
 * was uploaded earlier has been deleted, and it goes, too; *ret_index says which. */
enum err_code inputs_name(struct db *db, const struct uuid *owner, const struct uuid *job,
	const json_t *inputs, size_t *ret_index, struct err *err) MUST_CHECK;

/* It was not made, or nobody knows: if it is not there, a removal of what was
 * uploaded for it is committed; *ret says so. */
enum err_code inputs_drop(struct db *db, const struct uuid *owner, const struct uuid *job,
	bool *ret, struct err *err) MUST_CHECK;

/* The same for jobs whose process has gone without a word.  *ret_more: there may be
 * more.  *ret_dropped: how many removals were committed. */
enum err_code inputs_sweep(struct db *db, bool *ret_more, int64_t *ret_dropped,
	struct err *err) MUST_CHECK;

/* Has the owner as many jobs in flight as may be?  *ret: the one in the way.
 * ERR_NOT_FOUND: none is. */
enum err_code jobs_in_flight(struct db *db, const struct uuid *owner, int slots,
	struct uuid *ret, struct err *err) MUST_CHECK;

#endif
