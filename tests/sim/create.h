/*
 * Creating a prediction: reading the request, refusing it, and all the ways in
 * which its answer can get lost.
 */
#ifndef GENGATE_SIM_CREATE_H
#define GENGATE_SIM_CREATE_H

#include "tests/sim/faults.h"
#include "tests/sim/http.h"

void create_by_version(struct sim_rq *rq, struct sim_reply *rp);
void create_by_model(struct sim_rq *rq, struct sim_reply *rp);
void create_by_deployment(struct sim_rq *rq, struct sim_reply *rp);

/* "30s", "5m", "1h30m45s", "30"; false if it is none of these. */
bool cancel_after_parse(const char *s, int64_t *ret_us);

/* 429 in the variant that the switch asks for. */
void reply_throttled(struct sim_reply *rp, const struct fault_hit *hit);

/* RFC 7807 as Replicate has it; title may be NULL.  Also used by replicate.c. */
void reply_problem(struct sim_reply *rp, int status, const char *title, const char *detail);

#endif
