/*
 * The switches.  Each is one row here: its name at /sim/faults, its delay in
 * milliseconds unless the test gives one, and what it does.  Whoever is to do
 * it asks fault_take().
 */
#ifndef GENGATE_SIM_FAULTS_H
#define GENGATE_SIM_FAULTS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"

#define FAULT_TABLE(X) \
	X(FAULT_DELAY, "delay", 1000, "any answer but those of /sim comes late") \
	X(FAULT_CREATE_429, "create_429", 0, \
		"429; retry_after in seconds, variant header (default), body, detail, date or bare") \
	X(FAULT_CREATE_500_BEFORE, "create_500_before", 0, "500, nothing created") \
	X(FAULT_CREATE_500_AFTER, "create_500_after", 0, "created, then 500") \
	X(FAULT_CREATE_DROP_BEFORE, "create_drop_before", 0, "connection closed, nothing created") \
	X(FAULT_CREATE_DROP_AFTER, "create_drop_after", 0, "created, then connection closed") \
	X(FAULT_CREATE_HANG, "create_hang", 5000, "nothing created, connection closed late") \
	X(FAULT_CREATE_LATE, "create_late", 1000, "created at once, answered late") \
	X(FAULT_CREATE_CUT, "create_cut", 0, "created, the answer ends half-way") \
	X(FAULT_CREATE_401, "create_401", 0, "the token is not taken") \
	X(FAULT_CREATE_402, "create_402", 0, "no credit") \
	X(FAULT_CREATE_422, "create_422", 0, "the input is refused") \
	X(FAULT_GET_404, "get_404", 0, "a prediction that exists is not found") \
	X(FAULT_API_HTML, "api_html", 0, "done, then a web page instead of the answer") \
	X(FAULT_API_HUGE, "api_huge", 0, "done, then 200 MB of JSON instead of the answer") \
	X(FAULT_API_CUT, "api_cut", 0, "done, the answer ends half-way") \
	X(FAULT_API_RESET, "api_reset", 0, "done, then connection reset") \
	X(FAULT_SECRET_401, "secret_401", 0, "the webhooks' secret is not told") \
	X(FAULT_GET_429, "get_429", 0, "429 on reading a prediction, as create_429") \
	X(FAULT_CANCEL_429, "cancel_429", 0, "429 on a cancel, which is not done, as create_429") \
	X(FAULT_GET_500, "get_500", 0, "500 on reading a prediction") \
	X(FAULT_LIST_429, "list_429", 0, "429 on listing predictions, as create_429") \
	X(FAULT_LIST_500, "list_500", 0, "500 on listing predictions") \
	X(FAULT_LIST_CUT, "list_cut", 0, "the next page is on a host that nobody may ask") \
	X(FAULT_GET_NO_WEBHOOK, "get_no_webhook", 0, "a prediction does not echo its webhook URL") \
	X(FAULT_LIST_NO_WEBHOOK, "list_no_webhook", 0, "the list does not echo webhook URLs") \
	X(FAULT_CANCEL_500, "cancel_500", 0, "500 on a cancel, which is not done") \
	X(FAULT_CANCEL_DROP_AFTER, "cancel_drop_after", 0, "canceled, then connection closed") \
	X(FAULT_CANCEL_IGNORED, "cancel_ignored", 0, "said to be asked for, and not done") \
	X(FAULT_CREATE_BARE, "create_bare", 0, "created, and the answer has only the id") \
	X(FAULT_LINKS_FOREIGN, "links_foreign", 0, \
		"the links of a create's answer are on a host that nobody may ask") \
	X(FAULT_WEBHOOK_NO_PAYLOAD, "webhook_no_payload", 0, \
		"fal: the payload is null, payload_error says why") \
	X(FAULT_WEBHOOK_LOST, "webhook_lost", 0, "never sent") \
	X(FAULT_WEBHOOK_TWICE, "webhook_twice", 0, "sent twice with one webhook-id") \
	X(FAULT_WEBHOOK_LATE, "webhook_late", 1000, "sent late") \
	X(FAULT_WEBHOOK_BEFORE_ANSWER, "webhook_before_answer", 10000, \
		"the create is answered after the last webhook's first attempt, delay_ms at most") \
	X(FAULT_WEBHOOK_BAD_SIGNATURE, "webhook_bad_signature", 0, "signed with another key") \
	X(FAULT_WEBHOOK_STALE, "webhook_stale", 600000, "timestamp lies delay_ms back") \
	X(FAULT_DELIVERY_404, "delivery_404", 0, "the output is gone") \
	X(FAULT_DELIVERY_503, "delivery_503", 0, "503 instead of the output; retry_after in seconds") \
	X(FAULT_DELIVERY_500, "delivery_500", 0, "500 instead of the output") \
	X(FAULT_DELIVERY_SLOW, "delivery_slow", 1000, "the output comes late") \
	X(FAULT_DELIVERY_HTML, "delivery_html", 0, "a web page instead of the output") \
	X(FAULT_DELIVERY_DRIP, "delivery_drip", 8000, "the output comes in drops, over delay_ms") \
	X(FAULT_DELIVERY_REDIRECT, "delivery_redirect", 0, "it is said to be inside the network") \
	X(FAULT_DELIVERY_CUT, "delivery_cut", 0, "the output ends half-way") \
	X(FAULT_STORAGE_500, "storage_500", 0, "InternalError") \
	X(FAULT_STORAGE_403, "storage_403", 0, "AccessDenied by row level security") \
	X(FAULT_STORAGE_429, "storage_429", 0, "SlowDown; with variant header retry_after in seconds") \
	X(FAULT_STORAGE_544, "storage_544", 0, "DatabaseTimeout") \
	X(FAULT_STORAGE_HTML_502, "storage_html_502", 0, "a proxy's 502 page") \
	X(FAULT_STORAGE_SLOW, "storage_slow", 1000, "late") \
	X(FAULT_STORAGE_HALF, "storage_half", 0, "half of it is kept, then connection closed") \
	X(FAULT_STORAGE_DROP_BEFORE, "storage_drop_before", 0, "connection closed, nothing done") \
	X(FAULT_STORAGE_DROP_AFTER, "storage_drop_after", 0, "uploaded, then connection closed") \
	X(FAULT_JWKS_500, "jwks_500", 0, "500 instead of the public keys") \
	X(FAULT_JWKS_HTML, "jwks_html", 0, "a web page instead of the public keys")

enum fault {
#define X(id, name, delay_ms, doc) id,
	FAULT_TABLE(X)
#undef X
	FAULT_COUNT
};

struct fault_state {
	long left;		/* how many times still; -1: always */
	long taken;
	long delay_ms, retry_after_s;
	char variant[16];
	char *match;		/* only what contains this; may be NULL */
};

struct sim_faults {
	struct fault_state row[FAULT_COUNT];
};

struct fault_hit {
	long delay_ms, retry_after_s;
	char variant[16];
};

struct sim;

/*
 * Is this one to go wrong?  Counts it if so.  subject: what `match` is looked
 * for in: a create's "METHOD /path?query body", a webhook's URL and body, else
 * "METHOD /path".
 * hit may be NULL.  fault_take() takes sim->lock; the other wants it held.
 */
bool fault_take(struct sim *sim, enum fault which, const char *subject, struct fault_hit *hit);
bool fault_take_locked(struct sim *sim, enum fault which, const char *subject,
	struct fault_hit *hit);

/* {"name": count} or {"name": {"count", "delay_ms", ...}}; all or none. */
bool faults_apply(struct sim_faults *faults, const json_t *switches, struct buf *why) MUST_CHECK;
json_t *faults_json(const struct sim_faults *faults);	/* new */
void faults_clear(struct sim_faults *faults);

#endif
