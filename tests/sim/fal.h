/* fal's queue API below /fal, with the public keys of its webhooks. */
#ifndef GENGATE_SIM_FAL_H
#define GENGATE_SIM_FAL_H

#include "tests/sim/http.h"

extern const struct sim_area fal_area;

#endif
