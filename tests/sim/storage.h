/* Supabase Storage's API below /storage/v1, with its gateway's key rule. */
#ifndef GENGATE_SIM_STORAGE_H
#define GENGATE_SIM_STORAGE_H

#include "tests/sim/http.h"

extern const struct sim_area storage_area;

#endif
