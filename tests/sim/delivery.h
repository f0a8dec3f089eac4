/* Where outputs lie that have a URL: <area>/<prediction>/out-<n>.png. */
#ifndef GENGATE_SIM_DELIVERY_H
#define GENGATE_SIM_DELIVERY_H

#include "tests/sim/http.h"

struct picture;

extern const struct sim_area replicate_files_area, fal_files_area, openai_files_area;

/* What an area of outputs is made of: its route /{prediction}/{file}, its 404. */
void delivery_get(struct sim_rq *rq, struct sim_reply *rp);
void delivery_not_found(struct sim_rq *rq, struct sim_reply *rp);

/* An output's bytes or what the switches make of it. */
void deliver(struct sim_rq *rq, const char *id, unsigned index, struct sim_reply *rp);

/* Output number `index`, whatever the switches say. */
void reply_picture(const struct picture *pic, unsigned index, struct sim_reply *rp);

#endif
