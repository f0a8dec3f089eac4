/*
 * What an operator may see and do, of whosever job: the verbs of `gengate jobs`.  They
 * move a job by the same function as everything else, and its trail says "by":
 * "operator".  They wait for Postgres only.
 *
 * What they show is JSON, with times as RFC 3339 and null where there is nothing;
 * never a token, a signed address or a credential.
 */
#ifndef GENGATE_CORE_OPERATOR_H
#define GENGATE_CORE_OPERATOR_H

#include "core/service.h"
#include "db/evidence.h"

/* The least that an id may be shortened to. */
#define OPERATOR_ID_MIN 8

/*
 * The job with that id, or whose id begins so.  owner: as `auth_param` would name
 * them; NULL: anybody's.
 * ERR_INVALID: that is no id.  ERR_NOT_FOUND.  ERR_CONFLICT: several are meant.
 */
enum err_code operator_find(struct service *svc, const char *id, const char *owner,
	struct job_name *ret, struct err *err) MUST_CHECK;

/* Which jobs to list.  NULL: no matter. */
struct operator_filter {
	const char *owner;		/* as above */
	const char *state;		/* "settled", too */
	const char *status;
	bool has_age;
	uint64_t age_ms;		/* made at least that long ago */
	size_t max;
};

/* {"now_at": the database's time, "jobs": [...], "more": are there more than max?}, newest first.  ERR_INVALID: there
 * is no such state or status. */
enum err_code operator_list(struct service *svc, const struct operator_filter *filter,
	json_t **ret, struct err *err) MUST_CHECK;

/* {"now_at": ..., "job": ..., "live": ... or null, "outputs": [...], "strays": [...], "trail": [...]}, the trail oldest
 * first.  ERR_NOT_FOUND. */
enum err_code operator_show(struct service *svc, const struct job_name *job, json_t **ret,
	struct err *err) MUST_CHECK;

enum operator_did {
	OPERATOR_ENDED,		/* it has ended now */
	OPERATOR_ASKED,		/* it will be ended by who works on it */
	OPERATOR_DUE,		/* somebody will look at it at once */
	OPERATOR_LEASED,	/* somebody is at work on it, and looks again right after */
};

/* ERR_CONFLICT: it has ended, or the provider is done with it. */
enum err_code operator_cancel(struct service *svc, const struct job_name *job, const char *reason,
	enum operator_did *ret, struct err *err) MUST_CHECK;

/*
 * End a job here and now, whatever the provider does with it; as: GEN_FAILED or
 * GEN_CANCELED.  Without force only what was not sent yet: a prediction may be paid for
 * and lost.  ERR_CONFLICT: it has ended, or that.
 */
enum err_code operator_settle(struct service *svc, const struct job_name *job, enum gen_status as,
	const char *reason, bool force, enum operator_did *ret, struct err *err) MUST_CHECK;

/* Take the next step now.  Whose lease holds is left alone.  ERR_CONFLICT: it has ended. */
enum err_code operator_resume(struct service *svc, const struct job_name *job, const char *reason,
	enum operator_did *ret, struct err *err) MUST_CHECK;

#endif
