/* Of Supabase Auth the one thing that a backend asks for: the public keys. */
#ifndef GENGATE_SIM_AUTH_H
#define GENGATE_SIM_AUTH_H

#include "tests/sim/http.h"

extern const struct sim_area auth_area;

#endif
