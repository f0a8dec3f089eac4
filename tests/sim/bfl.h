/* Black Forest Labs' API below /bfl/v1, and its signed URLs below /bfl/delivery. */
#ifndef GENGATE_SIM_BFL_H
#define GENGATE_SIM_BFL_H

#include "tests/sim/http.h"

extern const struct sim_area bfl_area, bfl_delivery_area;

#endif
