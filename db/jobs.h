/*
 * Jobs in the database: the live row, the record, the trail.
 * Each call is one statement.  All may be used from any thread.
 */
#ifndef GENGATE_DB_JOBS_H
#define GENGATE_DB_JOBS_H

#include "base/crypto.h"
#include "base/generation.h"
#include "base/json.h"
#include "base/trace.h"
#include "db/db.h"

/* A live job as the service works on it: job_clear(). */
struct job {
	struct uuid owner, id;
	enum gen_state state;		/* GEN_SETTLED: only here, never in a row */
	enum gen_status status;		/* public */
	int32_t version;
	int32_t attempts;		/* creates begun */
	int32_t tries;			/* of the present state's action */
	int32_t misses;			/* of these, those in a row that did not find it */
	int64_t leased_by;		/* the claim's number; 0: it was loaded, not claimed */
	enum gen_cancel cancel;
	int64_t time_left_ms;		/* until its deadline, negative when past; when loaded */
	int64_t age_ms;			/* when loaded */
	int64_t sent_age_ms;		/* since the first create of which it is not known what
					 * became of it was sent; when loaded */
	int64_t unsure_age_ms;		/* since the last one can have been sent; -1: there is
					 * none; when loaded */
	char sent_as[24];		/* whose account these went to; "": not known */
	char *prediction_id;		/* NULL: none known.  Before `running` a hint only */
	char *handle;			/* how a prediction of its is reached, or NULL */
	char *model;
	char *provider;
	json_t *request;

	/* In memory only: */
	int64_t loaded_boot_us;		/* before it was loaded: clock_boot_us() */
	char trace[TRACEPARENT_SIZE];	/* of the request that made it; "" : none known here */
	char outputs_road[16];		/* once settled: on which road its outputs came, or "" */
};

void job_clear(struct job *job);

/* What create_job() takes.  All borrowed. */
struct job_new {
	struct uuid owner, id;
	int slots;
	const char *idempotency_key;	/* NULL: none */
	uint8_t fingerprint[SHA256_BYTES];
	const char *model, *provider;
	const json_t *request;
	const json_t *metadata;		/* NULL: none */
	uint64_t time_left_ms;
};

enum create_outcome { CREATE_CREATED, CREATE_REPLAYED, CREATE_KEY_REUSED, CREATE_IN_FLIGHT };

/* *ret_job: the job that the outcome is about.  May be repeated with the same
 * id when its answer was lost.  *ret_created_us: with CREATE_CREATED; may be NULL. */
enum err_code jobs_create(struct db *db, const struct job_new *job, enum create_outcome *ret,
	struct uuid *ret_job, int64_t *ret_created_us, struct err *err) MUST_CHECK;

/* ERR_NOT_FOUND: it is not live (any more), or never was. */
enum err_code jobs_load(struct db *db, const struct uuid *owner, const struct uuid *id,
	struct job *ret, struct err *err) MUST_CHECK;

/* A job that has settled: of ret owner, id, state, status, provider, prediction
 * and handle are set.  ERR_NOT_FOUND: there is no such job of that owner. */
enum err_code jobs_settled(struct db *db, const struct uuid *owner, const struct uuid *id,
	struct job *ret, struct err *err) MUST_CHECK;

/* ERR_NOT_FOUND: there is no such job of that owner, live or settled. */
enum err_code jobs_exists(struct db *db, const struct uuid *owner, const struct uuid *id,
	struct err *err) MUST_CHECK;

/* Whose key is it?  CREATE_REPLAYED or CREATE_KEY_REUSED, and *ret_job.  ERR_NOT_FOUND:
 * nobody's. */
enum err_code jobs_by_key(struct db *db, const struct uuid *owner, const char *key,
	const uint8_t fingerprint[SHA256_BYTES], enum create_outcome *ret, struct uuid *ret_job,
	struct err *err) MUST_CHECK;

/* Lease one job.  ERR_LOST_RACE: somebody has it, it is not live, or not due yet. */
enum err_code jobs_claim(struct db *db, const struct uuid *owner, const struct uuid *id,
	uint64_t lease_ms, struct job *ret, struct err *err) MUST_CHECK;

/* Lease up to max jobs that are due and in one of the states (a mask of
 * 1 << enum gen_state), the longest due first; with GEN_STORING alone the one whose
 * outputs expire first.  ret has room for max; *ret_n may
 * be 0.  A row that this program cannot read is logged and left out. */
enum err_code jobs_claim_due(struct db *db, unsigned states, size_t max, uint64_t lease_ms,
	struct job *ret, size_t *ret_n, struct err *err) MUST_CHECK;

/* Keep the lease of a job that is being worked on.  Nothing happens if it is
 * over, was given back, or is another claim's. */
enum err_code jobs_renew(struct db *db, const struct uuid *owner, const struct uuid *id,
	int64_t leased_by, uint64_t lease_ms, struct err *err) MUST_CHECK;

/* How a live job moves.  All borrowed. */
struct job_move {
	enum gen_state state;
	enum gen_status status;
	const char *event;		/* for the trail */
	const char *delivery;		/* the webhook's own id, or NULL */
	const json_t *detail;		/* for the trail, or NULL */
	const char *prediction_id;	/* NULL: as it was */
	const char *provider;		/* with GEN_QUEUED: another one from now on; NULL: as it was */
	const char *handle;		/* NULL: as it was, or with GEN_SUBMITTING: none */
	double seconds;			/* that the provider worked; 0: as it was */
	const json_t *price;		/* with GEN_SUBMITTING, or NULL */
	const json_t *outputs;		/* what to list, as in gen_observation, or NULL */
	int64_t due_ms;			/* the next action, from now; negative: as it was */
	int64_t lease_ms;		/* 0: the lease is given back; negative: as it was */
	int32_t attempts, tries, misses;
	const char *sent_as;		/* with GEN_SUBMITTING: whose account */
	int64_t deadline_ms;		/* new deadline from now; negative: as it was */
	enum gen_cancel cancel;		/* asked for now; GEN_CANCEL_NONE: no change */
	enum err_code error;		/* with GEN_SETTLED and GEN_FAILED */
};

/* Guarded by job->version.  On success *job follows (version, state, status,
 * counts, prediction id).  ERR_LOST_RACE: somebody moved it first. */
enum err_code jobs_move(struct db *db, struct job *job, const struct job_move *move,
	struct err *err) MUST_CHECK;

/* Due again later, state and version unchanged, tries and misses as in *job, the
 * lease given back.  Who moved it meanwhile has said when it is due.
 * ERR_LOST_RACE: the lease is not this claim's any more. */
enum err_code jobs_defer(struct db *db, const struct job *job, uint64_t due_ms,
	struct err *err) MUST_CHECK;

/* A prediction whose record names no job: is it this job's, or could it be another's of
 * ours?  is_named: a webhook of this job's named it, so that it is another's only if that
 * one has it. */
enum err_code jobs_alone(struct db *db, const struct job *job, const char *provider,
	const char *prediction_id, bool is_named, bool *ret, struct err *err) MUST_CHECK;

/* Something for the trail that moved nothing.  delivery, detail may be NULL. */
enum err_code jobs_note(struct db *db, const struct uuid *owner, const struct uuid *id,
	const char *event, const char *delivery, const json_t *detail, struct err *err) MUST_CHECK;

/* Has that delivery of a webhook been taken, or noted? */
enum err_code jobs_knows_delivery(struct db *db, const struct uuid *owner, const struct uuid *id,
	const char *delivery, bool *ret, struct err *err) MUST_CHECK;

/* What the owner may see, as a JSON object: id, status, version, model,
 * provider, error_code, metadata, created_us, started_us, completed_us, assets
 * (index, key, content_type, bytes, width, height, sha256, signed_url,
 * signed_until_us), null where there is
 * nothing.  The caller owns it.  ERR_NOT_FOUND. */
enum err_code jobs_show(struct db *db, const struct uuid *owner, const struct uuid *id,
	json_t **ret, struct err *err) MUST_CHECK;

/* What a job, live or settled, was asked to do.  *ret_model: mem_free();
 * *ret_request holds the metadata again, as the client sent it.  ERR_NOT_FOUND. */
enum err_code jobs_request(struct db *db, const struct uuid *owner, const struct uuid *id,
	enum gen_status *ret_status, char **ret_model, json_t **ret_request, struct err *err) MUST_CHECK;

/* A page of an owner's jobs, newest first: an array of such objects.
 * statuses: a mask of 1 << enum gen_status; 0: all.  before: only older ones than
 * that job; NULL: from the newest. */
enum err_code jobs_list(struct db *db, const struct uuid *owner, unsigned statuses,
	const struct uuid *before, size_t max, json_t **ret, struct err *err) MUST_CHECK;

/* How a job stands, for those that watch it. */
struct job_version {
	struct uuid owner, job;
	int32_t version;		/* of the record */
	enum gen_state state;		/* GEN_SETTLED without a live row */
};

/* list: n jobs in, the *ret_found that exist out, in any order. */
enum err_code jobs_versions(struct db *db, struct job_version *list, size_t n,
	size_t *ret_found, struct err *err) MUST_CHECK;

/* All jobs in flight, for monitoring; ages 0 where there are none. */
struct live_stats {
	int64_t jobs[GEN_SETTLED];
	int64_t oldest_us[GEN_SETTLED];	/* age of the oldest in that state */
	int64_t unstored_us;		/* since the oldest outputs came that are not all kept */
};

/* Waits for at most timeout_ms. */
enum err_code jobs_stats(struct db *db, uint64_t timeout_ms, struct live_stats *ret,
	struct err *err) MUST_CHECK;

#endif
