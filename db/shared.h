/*
 * What all processes share and nobody owns: texts by name.  Each call is one
 * statement.  All may be used from any thread.
 */
#ifndef GENGATE_DB_SHARED_H
#define GENGATE_DB_SHARED_H

#include "base/buf.h"
#include "db/db.h"

/* The text is appended.  ERR_NOT_FOUND: there is none of that name. */
enum err_code shared_get(struct db *db, const char *name, struct buf *out,
	uint64_t *ret_age_ms, struct err *err) MUST_CHECK;

enum err_code shared_put(struct db *db, const char *name, const char *text,
	struct err *err) MUST_CHECK;

/* Be the one process that does what has that name, unless one has begun it less
 * than pause_ms ago: ERR_LOST_RACE.  shared_get() then tells how long ago. */
enum err_code shared_claim(struct db *db, const char *name, uint64_t pause_ms,
	struct err *err) MUST_CHECK;

#endif
