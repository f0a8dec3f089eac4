/*
 * Metrics: what is counted, once, as a table; counting, and showing it in
 * Prometheus' text format (0.0.4).
 *
 * They are one for the process, as its log is: every folder counts, what is
 * counted is by nature the process's, and nobody should have to carry a pointer
 * along for it.  Counting is one atomic addition, with no lock; all calls may be
 * used from any thread.  The process's own carry the label `instance`.
 *
 *	metric_add(METRIC_SUBMITS, 1, "replicate", "accepted");
 *	metric_observe(METRIC_POOL_WAIT, waited_us, NULL);
 */
#ifndef GENGATE_BASE_METRICS_H
#define GENGATE_BASE_METRICS_H

#include "base/buf.h"

/*
 * Labels: id, name, room for that many values, and the values themselves if they
 * are known here, the last of them for all others if it is "other".  NULL: a
 * value is known from its first use, and must live as long as the process; what
 * finds no room counts as "other".
 */
#define METRIC_LABEL_TABLE(X) \
	X(NONE, "", 1, "") \
	X(ROUTE, "route", 48, NULL) \
	X(METHOD, "method", 8, "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other") \
	X(HTTP_STATUS, "status", 24, "200", "201", "202", "204", "304", "400", "401", "403", "404", \
		"405", "409", "410", "413", "415", "422", "429", "499", "500", "502", "503", "504", "other") \
	X(LIMIT, "limit", 6, "database", "parked_per_user", "parked_total", "spool_bytes", "spool_per_user", \
		"spool_requests") \
	X(PROVIDER, "provider", 16, NULL) \
	X(OUTCOME, "outcome", 4, "accepted", "refused", "deferred", "unknown") \
	X(STRAY, "outcome", 6, "found", "canceled", "ended", "gone", "foreign", "left") \
	X(JOB_STATUS, "status", 3, "succeeded", "failed", "canceled") \
	X(ROAD, "road", 6, "webhook", "poll", "reply", "cancel", "find", "other") \
	X(TOKEN, "result", 4, "remembered", "verified", "refused", "no_keys") \
	X(FETCHED, "result", 2, "ok", "failed") \
	X(VERDICT, "verdict", 6, "moved", "noted", "bad_signature", "bad_body", "no_job", "unavailable") \
	X(PROVIDER_CALL, "call", 8, NULL) \
	X(DIRECTION, "direction", 2, "sent", "received") \
	X(STORAGE, "storage", 8, NULL) \
	X(STORAGE_CALL, "call", 8, NULL) \
	X(STATEMENT, "statement", 128, NULL) \
	X(CONNECTION, "state", 2, "idle", "busy") \
	X(STATE, "state", 5, "queued", "submitting", "uncertain", "running", "storing") \
	X(PRUNED, "what", 2, "jobs", "events") \
	X(VERSION, "version", 2, NULL)

/*
 * Metrics: id, type, whose, unit, name, three labels, what it tells.  Types:
 *	COUNTER, GAUGE	metric_add()
 *	HISTOGRAM	metric_observe(), with METRIC_BOUNDS
 *	SUMMARY		metric_observe(): count and sum only
 *	ASKED		a gauge whose owner is asked when it is shown: metric_put()
 * Whose: OWN is this process's; SHARED is the database's, every process tells
 * the same.  docs/metrics.md has a row for each; a test compares them.
 */
#define METRIC_TABLE(X) \
	X(HTTP_REQUESTS, COUNTER, OWN, COUNT, "gengate_http_requests_total", ROUTE, METHOD, HTTP_STATUS, \
		"Requests that ended; 499 is a client that left before.") \
	X(HTTP_TIME, HISTOGRAM, OWN, SECONDS, "gengate_http_request_seconds", ROUTE, NONE, NONE, \
		"From a request's arrival to its end, with what it waited for; a stream's whole life.") \
	X(CONNECTIONS, GAUGE, OWN, COUNT, "gengate_connections", NONE, NONE, NONE, \
		"Open FastCGI connections, idle ones too.") \
	X(PARKED, ASKED, OWN, COUNT, "gengate_parked_requests", NONE, NONE, NONE, \
		"Requests that wait for news of a job, without a thread.") \
	X(LIMITED, COUNTER, OWN, COUNT, "gengate_limited_requests_total", LIMIT, NONE, NONE, \
		"Requests that were refused, or did not wait as they would have, because of a limit.") \
	X(TOKENS, COUNTER, OWN, COUNT, "gengate_tokens_total", TOKEN, NONE, NONE, \
		"Users' tokens by what became of them.") \
	X(JWKS_FETCHES, COUNTER, OWN, COUNT, "gengate_jwks_fetches_total", FETCHED, NONE, NONE, \
		"Fetches of the public keys that users' tokens are verified with.") \
	X(SUBMITS, COUNTER, OWN, COUNT, "gengate_submits_total", PROVIDER, OUTCOME, NONE, \
		"Create calls by what is known of them; unknown may have cost money.") \
	X(STRAYS, COUNTER, OWN, COUNT, "gengate_strays_total", PROVIDER, STRAY, NONE, \
		"Predictions beside the one that a job has, by what became of them; found is one paid for twice.") \
	X(COMPLETED, COUNTER, OWN, COUNT, "gengate_jobs_completed_total", JOB_STATUS, ROAD, NONE, \
		"Jobs that ended here, by the road on which the provider's end was learnt.") \
	X(WEBHOOKS, COUNTER, OWN, COUNT, "gengate_webhooks_total", PROVIDER, VERDICT, NONE, \
		"Webhooks by what became of them.") \
	X(PROVIDER_TIME, HISTOGRAM, OWN, SECONDS, "gengate_provider_request_seconds", PROVIDER, PROVIDER_CALL, NONE, \
		"Calls to a provider, failed ones too; call=\"output\" fetches an output.") \
	X(PAUSED, ASKED, OWN, COUNT, "gengate_provider_paused", PROVIDER, NONE, NONE, \
		"1: the provider is paused, and gets no new jobs.") \
	X(PROVIDER_BYTES, COUNTER, OWN, BYTES, "gengate_provider_bytes_total", PROVIDER, DIRECTION, NONE, \
		"Bodies sent to a provider's API and received from it, without outputs.") \
	X(OUTPUT_BYTES, COUNTER, OWN, BYTES, "gengate_outputs_fetched_bytes_total", PROVIDER, NONE, NONE, \
		"Outputs fetched from a provider.") \
	X(STORAGE_TIME, HISTOGRAM, OWN, SECONDS, "gengate_storage_request_seconds", STORAGE, STORAGE_CALL, NONE, \
		"Calls to the storage, failed ones too.") \
	X(STORAGE_BYTES, COUNTER, OWN, BYTES, "gengate_storage_bytes_total", STORAGE, NONE, NONE, \
		"Outputs and inputs kept in the storage.") \
	X(PRUNED, COUNTER, OWN, COUNT, "gengate_pruned_total", PRUNED, NONE, NONE, \
		"Jobs, and events of jobs' trails, that were deleted because of their age.") \
	X(POOL_WAIT, HISTOGRAM, OWN, SECONDS, "gengate_db_pool_wait_seconds", NONE, NONE, NONE, \
		"What statements waited for a free database connection.") \
	X(STATEMENT_TIME, SUMMARY, OWN, SECONDS, "gengate_db_statement_seconds", STATEMENT, NONE, NONE, \
		"Statements, failed ones too, with connecting where that was needed.") \
	X(DB_CONNECTIONS, ASKED, OWN, COUNT, "gengate_db_connections", CONNECTION, NONE, NONE, \
		"Database connections of the pool.") \
	X(DB_UP, ASKED, OWN, COUNT, "gengate_database_up", NONE, NONE, NONE, \
		"1: the database answered when this was asked; 0: it did not, and its gauges are left out.") \
	X(JOBS, ASKED, SHARED, COUNT, "gengate_jobs", STATE, NONE, NONE, \
		"Jobs in flight.") \
	X(JOB_AGE, ASKED, SHARED, SECONDS, "gengate_oldest_job_age_seconds", STATE, NONE, NONE, \
		"Age of the oldest job in that state since it was taken; 0: there is none.") \
	X(UNSTORED_AGE, ASKED, SHARED, SECONDS, "gengate_oldest_unstored_seconds", NONE, NONE, NONE, \
		"For how long the oldest outputs that are not all kept have been there; 0: there are none.") \
	X(BUILD_INFO, ASKED, OWN, COUNT, "gengate_build_info", VERSION, NONE, NONE, \
		"Always 1.") \
	X(STARTED, ASKED, OWN, SECONDS, "process_start_time_seconds", NONE, NONE, NONE, \
		"When the process started, in seconds since 1970.")

enum metric {
#define X(id, ...) METRIC_##id,
	METRIC_TABLE(X)
#undef X
	METRIC_COUNT
};

/* A histogram's upper bounds: microseconds, and in seconds as text. */
#define METRIC_BOUNDS(X) \
	X(250, "0.00025") X(500, "0.0005") X(1000, "0.001") X(2500, "0.0025") X(5000, "0.005") \
	X(10000, "0.01") X(25000, "0.025") X(50000, "0.05") X(100000, "0.1") X(250000, "0.25") \
	X(500000, "0.5") X(1000000, "1") X(2500000, "2.5") X(5000000, "5") X(10000000, "10") \
	X(30000000, "30") X(60000000, "60") X(120000000, "120")

#define METRIC_LABELS 3

/* Before the first thread.  instance: copied; NULL: host name and process id. */
void metrics_init(const char *instance);
const char *metrics_instance(void);

/* The label's values in the table's order, NULL for a metric without labels; a
 * value that the table does not know, nor "other", is our own bug. */
void metric_add_n(enum metric m, int64_t n, const char *const labels[METRIC_LABELS]);
void metric_observe_n(enum metric m, int64_t us, const char *const labels[METRIC_LABELS]);

#define metric_add(m, n, ...) \
	metric_add_n((m), (int64_t)(n), (const char *const[METRIC_LABELS]){ __VA_ARGS__ })
#define metric_observe(m, us, ...) \
	metric_observe_n((m), (us), (const char *const[METRIC_LABELS]){ __VA_ARGS__ })

/* Append all but the ASKED ones.  A series that was never counted is shown as 0
 * where there are few of them. */
void metrics_render(struct buf *out);

/* An ASKED one: its head once, then each of its values, seconds in microseconds. */
void metric_put_head(struct buf *out, enum metric m);
void metric_put_n(struct buf *out, enum metric m, int64_t value,
	const char *const labels[METRIC_LABELS]);

#define metric_put(out, m, value, ...) \
	metric_put_n((out), (m), (int64_t)(value), (const char *const[METRIC_LABELS]){ __VA_ARGS__ })

/* The table, for who compares it with the documentation. */
struct metric_about {
	const char *name;
	const char *type;		/* as Prometheus calls it */
	const char *unit;		/* "", "seconds", "bytes" */
	const char *help;
	const char *labels[METRIC_LABELS + 2];	/* with `instance`; NULL-terminated */
};

void metric_about(enum metric m, struct metric_about *ret);

#endif
