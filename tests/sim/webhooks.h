/*
 * Webhooks: signed as Standard Webhooks has it, sent by one thread over a curl
 * multi handle, to loopback only.  All calls want sim->lock held unless they
 * say otherwise.
 */
#ifndef GENGATE_SIM_WEBHOOKS_H
#define GENGATE_SIM_WEBHOOKS_H

#include <stdbool.h>

#include "tests/sim/sim.h"

struct pred;

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
