/*
 * Predictions and their lives.  A thread of their own, the clock thread, moves
 * them on when they are due and queues their webhooks; so does whoever reads
 * one.  All calls want sim->lock held unless they say otherwise.
 */
#ifndef GENGATE_SIM_PRED_H
#define GENGATE_SIM_PRED_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/sim.h"

enum pred_status {
	PRED_STARTING, PRED_PROCESSING,
	PRED_SUCCEEDED, PRED_FAILED, PRED_CANCELED, PRED_ABORTED,
};

/* Webhook events, as bits. */
#define EVENT_START	1u
#define EVENT_OUTPUT	2u
#define EVENT_LOGS	4u
#define EVENT_COMPLETED	8u

/* What a word in the prompt asks for: PROMPT_WORDS in pred.c. */
#define WISH_FAIL	(1u << 0)
#define WISH_NSFW	(1u << 1)
#define WISH_EMPTY	(1u << 2)
#define WISH_NULL	(1u << 3)
#define WISH_STRING	(1u << 4)
#define WISH_OBJECT	(1u << 5)
#define WISH_DATA	(1u << 6)
#define WISH_HTML	(1u << 7)
#define WISH_404	(1u << 8)
#define WISH_SLOW	(1u << 9)
#define WISH_STUCK	(1u << 10)
#define WISH_ENDLESS	(1u << 11)
#define WISH_VIDEO	(1u << 12)
#define WISH_FOREIGN	(1u << 13)
#define WISH_HUGE	(1u << 14)
#define WISH_ODD	(1u << 15)
#define WISH_TALKATIVE	(1u << 16)
#define WISH_RUNNER	(1u << 17)
#define WISH_BLACK	(1u << 18)

struct wire;

struct pred {
	/* Set by the creator, the texts owned: */
	const struct wire *wire;
	const char *form;		/* static; Replicate: version, model or deployment */
	char *model, *version, *deployment;
	char *webhook;
	unsigned events;
	char *cancel_after, *idempotency_key;
	char *secret;			/* for its webhooks alone */
	char *prompt;			/* unless the input says it */
	json_t *input, *headers;
	int64_t lifetime_us;		/* 0: no Cancel-After */
	bool lives_once_started;	/* the lifetime is that until the start */

	/* Set by pred_start() where the creator did not: */
	char id[SIM_UUID_SIZE];
	unsigned width, height, n_outputs;
	int64_t seed;

	/* Set by pred_start() and after: */
	uint64_t seq;
	unsigned wishes;
	enum pred_status status;
	bool last_hook_tried;		/* the terminal webhook, once at least, or none */
	int64_t created_us, start_us, end_us, deadline_us;	/* monotonic */
	int64_t created_wall, started_wall, completed_wall;
	char *data_uri;
	struct pred *next_in_bucket, *next_live;
};

struct preds *preds_new(void);
void preds_free(struct preds **ps);
void preds_reset(struct preds *ps);

struct pred *pred_new(void) MUST_CHECK;

/* The size of its pictures, within what can be drawn; 0: the input says it. */
void pred_set_size(struct pred *p, int64_t width, int64_t height);

void pred_free(struct pred **p);

/* Begins its life and takes it over, or returns false: there are too many. */
bool pred_start(struct sim *sim, struct pred *p) MUST_CHECK;

/* Brought up to date; NULL if this wire, or NULL any, has none.  Borrowed while
 * the lock is held. */
struct pred *pred_find(struct sim *sim, const struct wire *wire, const char *id);

/* For lists: how many there are; the i-th oldest. */
size_t preds_count(const struct sim *sim);
struct pred *preds_at(const struct sim *sim, size_t i);
void preds_advance(struct sim *sim);

/* How many of a wire have not ended; how many of its wait and are older. */
long preds_live(const struct sim *sim, const struct wire *wire);
long preds_waiting_before(const struct sim *sim, const struct pred *p);

void pred_cancel(struct sim *sim, struct pred *p);	/* nothing if it has ended */
bool pred_ended(const struct pred *p);
const char *pred_status_text(const struct pred *p);
const char *pred_prompt(const struct pred *p);
int64_t pred_wall_at(const struct pred *p, int64_t mono_us);	/* the provider's clock then */
bool pred_data_removed(const struct sim *sim, const struct pred *p);

/* Takes the lock itself.  Returns when the simulator stops. */
void preds_run(struct sim *sim);

#endif
