/* Where the outputs lie: /replicate/delivery/<id>/out-<n>.png. */
#ifndef GENGATE_SIM_DELIVERY_H
#define GENGATE_SIM_DELIVERY_H

#include "tests/sim/http.h"

extern const struct sim_area delivery_area;

#endif
