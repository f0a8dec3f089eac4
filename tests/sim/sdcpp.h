/* The native API of stable-diffusion.cpp's server, below /sdcpp/v1. */
#ifndef GENGATE_SIM_SDCPP_H
#define GENGATE_SIM_SDCPP_H

#include "tests/sim/http.h"

extern const struct sim_area sdcpp_area;

#endif
