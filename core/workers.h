/*
 * Threads that wait for providers and storages.  Submitting, creates that are
 * answered with the end, polling and storing have threads of their own, so that a
 * large video never delays a poll.  Work comes from memory (a job that this process just made or moved)
 * and from Postgres (whatever is due); what memory forgets, Postgres brings.
 */
#ifndef GENGATE_CORE_WORKERS_H
#define GENGATE_CORE_WORKERS_H

#include "core/service.h"

/* Of the outputs of one job, how many are fetched and stored at once. */
#define STORE_AT_ONCE 3

/* Starts the threads and sets svc->workers. */
enum err_code workers_start(struct service *svc, struct err *err) MUST_CHECK;

/* The same for one job that was claimed, and for nothing else: where each request
 * is a process.  *job is stolen. */
enum err_code workers_start_for(struct service *svc, struct job *job, struct err *err) MUST_CHECK;

/*
 * Take no more work and give back what was not begun, without waiting for it.
 * Steps finish, for at most grace_ms, creates that last in their own time; but those that only read from the internet
 * are cut off much earlier, since another process can do that as well.  NULL
 * workers are fine, and so is calling it again.
 */
void workers_wind_down(struct service *svc, uint64_t grace_ms);

/* The same if that was not done, then cuts off what is left after grace_ms, joins
 * the threads, clears svc->workers. */
void workers_stop(struct service *svc, uint64_t grace_ms);

/* A job is in that state and may be due now.  Any thread; never blocks; NULL is
 * fine. */
void workers_hint(struct workers *workers, enum gen_state state,
	const struct uuid *owner, const struct uuid *job);

/* The same; trace becomes the job's.  NULL: none. */
void workers_hint_traced(struct workers *workers, enum gen_state state,
	const struct uuid *owner, const struct uuid *job, const char *trace);

/* Files of a deleted job are to be removed, or a stray is to be looked at.  As
 * workers_hint(). */
void workers_hint_removal(struct workers *workers);

/* A worker's pause between two tries of what has to be done.  false: we are
 * stopping, and have no more time. */
bool workers_pause(const struct workers *workers, uint64_t ms);

/* Is there nothing to do?  True once nothing was due in Postgres (that these workers
 * would take) and nothing was queued or under way here.  Any thread. */
bool workers_are_dry(struct workers *workers);

/* Lease that job if it is due, for workers_start_for().  ERR_LOST_RACE: it is not,
 * somebody else has it, or it is not live. */
enum err_code service_claim(struct service *svc, const struct uuid *owner, const struct uuid *id,
	struct job *ret, struct err *err) MUST_CHECK;

/* A claimed job whose create will last, to one of the threads for those.  true: *job is
 * stolen.  false: all of them are taken. */
bool workers_hand_over(struct workers *workers, struct job *job);

/* Such a create is under way from now on, for at most that long: a stop waits for it
 * beyond its grace, since what it makes would be paid for and lost. */
void workers_expect(struct workers *workers, uint64_t ms);

/* One step of a claimed job; what each state's action is.  job_clear() it after. */
void submit_step(struct service *svc, struct job *job);	/* queued, submitting */
void create_step(struct service *svc, struct job *job);	/* queued, handed over */
void poll_step(struct service *svc, struct job *job);	/* running */
void store_step(struct service *svc, struct job *job);	/* storing */

#endif
