/*
 * Webhooks: signed as their wire has it, sent by one thread over a curl multi
 * handle, to loopback only.  All calls want sim->lock held unless they say
 * otherwise.
 */
#ifndef GENGATE_SIM_WEBHOOKS_H
#define GENGATE_SIM_WEBHOOKS_H

#include <stdbool.h>

#include "tests/sim/sim.h"

struct hook;
struct pred;

/* What a wire signs for one attempt. */
struct letter {
	const char *id;		/* the same for a resend */
	const char *pred_id;
	const char *secret;	/* the request's own; may be NULL */
	long long timestamp;
	const char *body;
	size_t body_len;
	bool is_forged;		/* sign with another key */
};

/* For a wire's sign(): one more header. */
void hook_header(struct hook *h, const char *name, const char *value);

struct hooks *hooks_new(void);
void hooks_free(struct hooks **hooks);	/* after its thread has ended */
void hooks_reset(struct hooks *hooks);	/* what waits is forgotten */
void hooks_wake(struct hooks *hooks);

/* Queue the prediction as it is now, if its filter has the event. */
void hook_queue(struct sim *sim, struct pred *p, unsigned event);

/* http or https to 127.0.0.0/8, ::1 or localhost?  Needs no lock. */
bool hook_url_is_loopback(const char *url);

/* Takes the lock itself.  Returns when the simulator stops. */
void hooks_run(struct sim *sim);

#endif
