/*
 * Carrying out what job_next() says: one guarded statement, and when somebody
 * else was faster, a look at how the job stands now and the question again.
 */
#ifndef GENGATE_CORE_APPLY_H
#define GENGATE_CORE_APPLY_H

#include "core/job.h"
#include "core/service.h"

/* What goes with an event besides its meaning.  All borrowed, all optional. */
struct apply {
	const char *road;		/* webhook, poll, reply: for the trail */
	const char *by;			/* who wanted it, besides its owner: the same */
	const char *delivery;		/* the webhook's own id */
	const char *message;		/* the provider's words, for the trail */
	uint64_t wait_ms;		/* the provider said when to come back */
	bool at_once;			/* the provider that it goes to now has not been asked yet */
	/* With EV_SEND: */
	const char *handle;		/* what is known of how the prediction will be reached */
	const json_t *price;		/* as the profile has it */
	uint64_t lease_ms;		/* for how long the create is the sender's; 0: as set */
};

/*
 * *job follows what happened, also when another process did it; a job that has
 * settled meanwhile has state GEN_SETTLED.  *ret_moved: this event moved it.
 * ev and how borrow nothing from *job, whose texts go when it is loaded again.
 */
enum err_code job_apply(struct service *svc, struct job *job, const struct job_event *ev,
	const struct apply *how, bool *ret_moved, struct err *err) MUST_CHECK;

/* Is a running job to end, by a call that its provider has? */
bool wants_cancel(const struct service *svc, const struct job *job);

/* The provider ends by itself what it was told to end; that long after it comes our
 * own end.  Of a time to look at a running job again: not later than that. */
#define END_MARGIN_MS 30000
uint64_t before_end_ms(const struct job *job, uint64_t ms);

/* When to look at a running job again, after so many looks. */
uint64_t poll_delay_ms(const struct service *svc, const struct job *job, int32_t tries);

/* Between 80 and 100 percent of it; and no less than it, at most 20 percent more. */
uint64_t jittered_ms(uint64_t ms);
uint64_t after_ms(uint64_t ms);

/* When to try a failed step again: twice as long each time, with jitter. */
uint64_t backoff_ms(int32_t tries);

#endif
