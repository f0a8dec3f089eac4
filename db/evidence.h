/*
 * Jobs as an operator looks at them: whosever, with all that is known.  Each call is
 * one statement.  All may be used from any thread.
 */
#ifndef GENGATE_DB_EVIDENCE_H
#define GENGATE_DB_EVIDENCE_H

#include "base/generation.h"
#include "base/json.h"
#include "db/db.h"

struct job_name {
	struct uuid owner, id;
};

/* The jobs with ids from first to last, the lowest first; owner: NULL for anybody's.
 * There is room for this many: if so many are found there may be more. */
#define FIND_MAX 3
enum err_code evidence_find(struct db *db, const struct uuid *first, const struct uuid *last,
	const struct uuid *owner, struct job_name ret[FIND_MAX], size_t *ret_n, struct err *err) MUST_CHECK;

/* Which jobs; what is not set makes no difference. */
struct job_filter {
	const struct uuid *owner;
	const char *state;		/* as gen_state_name() has it */
	const char *status;		/* as gen_status_name() has it */
	bool has_age;
	uint64_t age_ms;		/* made at least that long ago */
	size_t max;
};

/* Newest first: an array of objects, see jobs_survey.sql; times in microseconds
 * since 1970.  The caller owns it. */
enum err_code evidence_survey(struct db *db, const struct job_filter *filter, json_t **ret,
	struct err *err) MUST_CHECK;

/* One object with all of it, see job_evidence.sql.  The caller owns it.  ERR_NOT_FOUND. */
enum err_code evidence_show(struct db *db, const struct job_name *job, json_t **ret,
	struct err *err) MUST_CHECK;

/* Due now, with an event for the trail.  *ret_leased: somebody is at work on it.
 * ERR_NOT_FOUND: it is not live. */
enum err_code evidence_resume(struct db *db, const struct job_name *job, const char *event,
	const json_t *detail, bool *ret_leased, struct err *err) MUST_CHECK;

#endif
