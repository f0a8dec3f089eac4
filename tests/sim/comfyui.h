/* ComfyUI's server below /comfyui, each path also behind /api, as it has them. */
#ifndef GENGATE_SIM_COMFYUI_H
#define GENGATE_SIM_COMFYUI_H

#include "tests/sim/http.h"

extern const struct sim_area comfyui_area;

#endif
