/*
 * GET /metrics: for Prometheus.  Not for the public: nginx lets in its own host
 * only.  The process's own metrics are answered whatever the database does.
 */
#include "config.h"

#include "base/metrics.h"
#include "core/pause.h"
#include "fcgi/routes.h"

/* Prometheus gives up after 10 s, unless told otherwise. */
#define DATABASE_TIMEOUT_MS 2000

static void
put_process(struct exchange *x)
{
	size_t idle, busy;

	metric_put_head(&x->out, METRIC_PARKED);
	metric_put(&x->out, METRIC_PARKED, x->svc->watches ? watches_count(x->svc->watches) : 0, NULL);
	db_connections(x->svc->db, &idle, &busy);
	metric_put_head(&x->out, METRIC_DB_CONNECTIONS);
	metric_put(&x->out, METRIC_DB_CONNECTIONS, idle, "idle");
	metric_put(&x->out, METRIC_DB_CONNECTIONS, busy, "busy");
	metric_put_head(&x->out, METRIC_PAUSED);
	for (size_t i = 0; i < provider_count(); i++) {
		struct pause_shown pause;

		pause_show(x->svc, provider_at(i), &pause);
		metric_put(&x->out, METRIC_PAUSED, pause.paused, provider_at(i)->name);
	}
}

static void
put_by_state(struct buf *out, enum metric m, const int64_t values[GEN_SETTLED])
{
	metric_put_head(out, m);
	for (int i = 0; i < GEN_SETTLED; i++)
		metric_put(out, m, values[i], gen_state_name((enum gen_state)i));
}

static void
put_database(struct exchange *x)
{
	struct live_stats stats;
	struct err err = ERR_INIT;
	enum err_code rc = jobs_stats(x->svc->db, DATABASE_TIMEOUT_MS, &stats, &err);

	metric_put_head(&x->out, METRIC_DB_UP);
	metric_put(&x->out, METRIC_DB_UP, rc == ERR_OK, NULL);
	if (rc) {
		x->err = err;
		return;
	}
	put_by_state(&x->out, METRIC_JOBS, stats.jobs);
	put_by_state(&x->out, METRIC_JOB_AGE, stats.oldest_us);
	metric_put_head(&x->out, METRIC_UNSTORED_AGE);
	metric_put(&x->out, METRIC_UNSTORED_AGE, stats.unstored_us, NULL);
}

void
metrics_get(struct exchange *x)
{
	answer_header(x, "Cache-Control", "no-store");
	metrics_render(&x->out);
	put_process(x);
	put_database(x);
	answer_text(x, "text/plain; version=0.0.4; charset=utf-8");
}
