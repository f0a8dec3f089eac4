/* Replicate's API below /replicate/v1. */
#ifndef GENGATE_SIM_REPLICATE_H
#define GENGATE_SIM_REPLICATE_H

#include "tests/sim/http.h"

extern const struct sim_area replicate_area;

#endif
