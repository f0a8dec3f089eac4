/*
 * A wire is how one provider speaks: its words for failures, who may call, how
 * its webhooks look.  What all of them share is here and in pred.c: the
 * switches around a call and the life of a prediction.  A handler of a wire
 * reads the vendor's request, and writes the vendor's answer.
 */
#ifndef GENGATE_SIM_WIRE_H
#define GENGATE_SIM_WIRE_H

#include <stdbool.h>

struct buf;
struct fault_hit;
struct hook;
struct letter;
struct pred;
struct sim;
struct sim_reply;
struct sim_route;
struct sim_rq;
struct sim_settings;

/* Its place in struct sim's counters: WIRE_NAME of the file NAME.c. */
enum wire_id {
#define WIRE(name) WIRE_##name,
#include "tests/sim/wires.inc"
#undef WIRE
	WIRE_COUNT
};

const char *wire_name(enum wire_id id);	/* in /sim/state */

struct wire {
	enum wire_id id;
	bool (*may_call)(const struct sim_settings *set, const struct sim_rq *rq);	/* lock held */
	/*
	 * A failure in the vendor's shape.  status is what an average API would
	 * answer, 401, 402, 404, 413, 422, 429, 500 or 503; text may be NULL:
	 * the vendor's own words.
	 */
	void (*fail)(struct sim_reply *rp, int status, const char *text);
	/* 429 as the switch wants it; NULL: fail() and Retry-After. */
	void (*throttle)(struct sim_reply *rp, const struct fault_hit *hit);
	/* A webhook's bytes, as the prediction is now; NULL where none are sent, as
	 * are the two below. */
	void (*write_webhook)(struct sim *sim, const struct pred *p, struct buf *body);
	/* Adds the headers that belong to the letter, by hook_header(). */
	void (*sign)(const struct sim *sim, const struct letter *letter, struct hook *h);
	long (*webhook_retries)(const struct sim_settings *set);
};

/* For a table of routes: who may call, and the switches that spoil any answer. */
bool wire_before(struct sim_rq *rq, const struct sim_route *route, struct sim_reply *rp);
void wire_after(struct sim_rq *rq, struct sim_reply *rp);
void wire_not_found(struct sim_rq *rq, struct sim_reply *rp);
void wire_too_large(struct sim_rq *rq, struct sim_reply *rp);

/* What the areas of all wires have in common; routes: an array. */
#define WIRE_ROUTES(its_wire, its_routes) \
	.wire = &(its_wire), .routes = (its_routes), .n_routes = sizeof (its_routes) / sizeof *(its_routes), \
	.before = wire_before, .after = wire_after, .not_found = wire_not_found, .too_large = wire_too_large

void wire_throttle(struct sim_rq *rq, struct sim_reply *rp, const struct fault_hit *hit);

/* Counts a create and asks the switches that refuse one; true: rp is the answer. */
bool wire_refuses_create(struct sim_rq *rq, struct sim_reply *rp);

/* A new one for this request, with what all creates have; NULL: rp is the answer. */
struct pred *wire_new_pred(struct sim_rq *rq, struct sim_reply *rp);

/*
 * Begin its life, which takes *p over, and keep its id.  The answer is written
 * by `answer` while the prediction is as it was created, however late it goes.
 * answer may be NULL.  false: rp says that there is no room.
 */
bool wire_start(struct sim_rq *rq, struct pred **p,
	void (*answer)(struct sim *sim, const struct pred *p, struct sim_reply *rp),
	char id[], struct sim_reply *rp);

/* The switches between a creation and its answer, which is written. */
void wire_spoil_create(struct sim_rq *rq, const char *id, struct sim_reply *rp);

/* Wait for a prediction to end, or for its last webhook to have been tried. */
void wire_wait(struct sim *sim, const char *id, long ms, bool webhook);

/* Counts a read, or not a cancel, and asks the switches; true: rp is the answer. */
bool wire_refuses_read(struct sim_rq *rq, struct sim_reply *rp);
bool wire_refuses_cancel(struct sim_rq *rq, struct sim_reply *rp);

/* "Bearer KEY" and the like: the header is the scheme, a blank and the key. */
bool wire_has_key(const struct sim_rq *rq, const char *scheme, const char *key);

#endif
