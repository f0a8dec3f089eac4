/* What a test tells the simulator and asks it, below /sim. */
#ifndef GENGATE_SIM_CONTROL_H
#define GENGATE_SIM_CONTROL_H

#include "tests/sim/http.h"

extern const struct sim_area control_area;

#endif
