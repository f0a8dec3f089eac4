/* The OpenAI Images API below /openai/v1, also as compatible servers speak it. */
#ifndef GENGATE_SIM_OPENAI_H
#define GENGATE_SIM_OPENAI_H

#include "tests/sim/http.h"

extern const struct sim_area openai_area;

#endif
