/* Replicate's prediction: as the API and its webhooks show it, and how they are signed. */
#ifndef GENGATE_SIM_REPLICATE_OBJECT_H
#define GENGATE_SIM_REPLICATE_OBJECT_H

#include <jansson.h>
#include <stdbool.h>

#include "tests/sim/pred.h"
#include "tests/sim/wire.h"

/* The object of the API.  New.  sim->lock held. */
json_t *replicate_json(const struct sim *sim, const struct pred *p, bool echo_webhook);

extern const struct wire replicate_wire;

#endif
