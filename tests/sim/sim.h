/*
 * What all parts of the simulator share: one lock, one set of settings, one
 * set of counters.
 *
 * Threads: the request threads, the clock thread (pred.c) that moves
 * predictions on, and the webhook thread (webhooks.c).  `lock` guards
 * everything below it; it is the only lock, and nobody holds it across HTTP.
 */
#ifndef GENGATE_SIM_SIM_H
#define GENGATE_SIM_SIM_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "tests/sim/faults.h"
#include "tests/sim/settings.h"
#include "tests/sim/wire.h"

/* The member of struct sim_counters and its name in /sim/state. */
#define SIM_COUNTERS(X) \
	X(creates_received)	/* requests that reached a create route */ \
	X(predictions_created) \
	X(canceled)		/* by a cancel call */ \
	X(deadlines)		/* ended by their Cancel-After */ \
	X(reads)		/* reads of one prediction */ \
	X(lists) \
	X(unauthorized)		/* refused for their token */ \
	X(deliveries) \
	X(deliveries_with_auth)	/* a token sent where it does not belong */ \
	X(files) \
	X(webhooks_sent)	/* attempts, answered or not */ \
	X(webhooks_delivered)	/* answered with 2xx */ \
	X(webhooks_lost)	/* kept back by the switch */ \
	X(webhooks_refused)	/* the URL is not loopback: never sent */ \
	X(webhooks_given_up)	/* terminal, and no attempt was left */ \
	X(uploads)		/* objects written */ \
	X(deletes)		/* objects deleted */ \
	X(jwks_reads) \
	X(fal_jwks_reads) \
	X(jwks_reads_with_key)	/* that sent an apikey */ \
	X(dropped)		/* connections closed without an answer */

struct sim_counters {
#define X(name) long name;
	SIM_COUNTERS(X)
#undef X
};

#define SIM_HTTP_STATUSES 600	/* slot 0: no answer at all */

struct sim {
	const char *base_url;	/* "http://127.0.0.1:1234"; const, borrowed */
	const char *ca_file;	/* for https webhooks; may be NULL; borrowed */

	pthread_mutex_t lock;
	pthread_cond_t changed;	/* a prediction or a webhook moved, or we stop */
	pthread_cond_t due;	/* for the clock thread: look again */
	bool stopping;
	unsigned generation;	/* one more with each reset */
	struct sim_settings set;
	struct sim_faults faults;
	struct sim_counters n;
	long webhooks_by_status[SIM_HTTP_STATUSES];
	long created_by_wire[WIRE_COUNT];
	struct preds *preds;
	struct hooks *hooks;
	struct store *store;
};

/* The conditions wait on the monotonic clock. */
bool sim_init(struct sim *sim) MUST_CHECK;
void sim_clear(struct sim *sim);

/* Forget predictions, webhooks, objects and counters, turn every switch off. */
void sim_reset(struct sim *sim);
void sim_stop(struct sim *sim);		/* wakes every thread that waits */

/* Wait, but not longer than until the simulator stops.  Lock not held. */
void sim_sleep(struct sim *sim, long ms);

/* Wait on one of the conditions until then; the lock is held. */
void sim_wait_until(struct sim *sim, pthread_cond_t *cond, int64_t mono_us);

/* Our clock, and the provider's, which a setting may put wrong. */
int64_t sim_mono_us(void);
int64_t sim_wall_us(void);
int64_t sim_provider_us(const struct sim *sim);	/* lock held */

/* RFC 3339 in UTC with microseconds; HTTP's date. */
#define SIM_TIME_SIZE 48
void sim_time_text(int64_t wall_us, char out[SIM_TIME_SIZE]);
void sim_http_date(int64_t wall_us, char out[SIM_TIME_SIZE]);

/* A date-time or a date as ISO 8601 has them; false if it is neither. */
bool sim_time_parse(const char *s, int64_t *ret_wall_us);

#define SIM_ID_SIZE 27		/* 26 lower-case alphanumerics and the NUL */
#define SIM_UUID_SIZE 37
void sim_new_id(char out[SIM_ID_SIZE]);
void sim_new_uuid(char out[SIM_UUID_SIZE]);

/* By OpenSSL, and on purpose not by what the gateway uses. */
void sim_base64(struct buf *out, const void *p, size_t len);
void sim_base64url(struct buf *out, const void *p, size_t len);	/* without padding */
bool sim_base64_decode(const char *s, struct buf *out);
void sim_digest_hex(const char *algorithm, const void *p, size_t len, struct buf *out);
bool sim_hmac_sha256(const void *key, size_t key_len, const void *p, size_t len,
	uint8_t out[32]);
void sim_hex(const void *p, size_t len, struct buf *out);

/* A text that may be NULL: equal; a new JSON string, or null. */
bool sim_same(const char *a, const char *b);
json_t *sim_json_text(const char *s);

/* Append the JSON in compact form.  json is borrowed. */
void sim_dump(struct buf *out, const json_t *json);

#endif
