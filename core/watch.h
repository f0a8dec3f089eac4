/*
 * Watching jobs: who waits for news of one is told once, from the watch thread,
 * and watches again if it wants more.
 *
 * What this process changes is told at once (watches_poke); what others change
 * is found by asking Postgres once per tick for all watched jobs.
 */
#ifndef GENGATE_CORE_WATCH_H
#define GENGATE_CORE_WATCH_H

#include "db/jobs.h"

struct watches;

/* What is waited for. */
enum watch_for {
	WATCH_ACCEPTED,		/* the provider has said yes or no, or nobody knows */
	WATCH_CHANGED,		/* the record's version is another than `seen` */
	WATCH_ENDED,		/* it has settled */
	WATCH_KEYS,		/* no job: a look for the keys of tokens has ended */
	WATCH_INPUTS,		/* no job yet: its inputs are in their place, or cannot be */
};

enum watch_news {
	WATCH_CAME,		/* what was waited for; perhaps, after a poke: look */
	WATCH_TIMEOUT,		/* the time is over */
	WATCH_STOPPING,		/* the process is about to stop */
};

/* Called on the watch thread, with no lock held; must not block. */
typedef void watch_fn(void *ctx, uint64_t token, enum watch_news news);

/* Is that how it was waited for?  now: NULL if the job is gone altogether, which
 * is news, too. */
bool watch_satisfied(enum watch_for what, int32_t seen, const struct job_version *now);

/* Starts the thread.  fn is called with ctx for every watch. */
enum err_code watches_new(struct db *db, watch_fn *fn, void *ctx, struct watches **ret,
	struct err *err) MUST_CHECK;
void watches_free(struct watches **watches);	/* joins; no more calls after it */

/* token: what fn is told; a later watch of the same token replaces an earlier
 * one.  timeout_ms from now.  ERR_NOMEM; ERR_STOPPING. */
enum err_code watches_add(struct watches *w, uint64_t token, const struct uuid *owner,
	const struct uuid *job, enum watch_for what, int32_t seen, uint64_t timeout_ms) MUST_CHECK;

/* Nobody waits any more.  A call to fn may be under way. */
void watches_remove(struct watches *w, uint64_t token);

/* This process has changed that job.  NULL is fine; never blocks for long. */
void watches_poke(struct watches *w, const struct uuid *owner, const struct uuid *job,
	enum gen_state state);

/* A look for keys has ended.  As watches_poke(). */
void watches_poke_keys(struct watches *w);

/* Tell everybody WATCH_STOPPING, now and from now on. */
void watches_stop(struct watches *w);

size_t watches_count(struct watches *w);

#endif
