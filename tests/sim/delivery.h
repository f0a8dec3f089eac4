/* Where outputs lie that have a URL: <area>/<prediction>/out-<n>.png. */
#ifndef GENGATE_SIM_DELIVERY_H
#define GENGATE_SIM_DELIVERY_H

#include "tests/sim/http.h"

struct picture;

extern const struct sim_area delivery_area, fal_files_area, openai_files_area;

/* Output number `index`, whatever the switches say. */
void reply_picture(const struct picture *pic, unsigned index, struct sim_reply *rp);

#endif
