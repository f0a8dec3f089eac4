#include "config.h"

#include "core/retain.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/metrics.h"
#include "db/prune.h"

/* Rounds are a tenth of what is retained apart, within these. */
#define ROUND_MIN_MS 1000
#define ROUND_MAX_MS 60000

static uint64_t
round_ms(const struct settings *s)
{
	uint64_t ms = ROUND_MAX_MS;

	if (s->retain_jobs_ms && s->retain_jobs_ms / 10 < ms)
		ms = s->retain_jobs_ms / 10;
	if (s->retain_events_ms && s->retain_events_ms / 10 < ms)
		ms = s->retain_events_ms / 10;
	return ms > ROUND_MIN_MS ? ms : ROUND_MIN_MS;
}

/* Hold, or with 0 give back, the right to prune. */
static enum err_code
claim(struct service *svc, struct pruning *p, uint64_t lease_ms, const struct uuid *trails_gone,
	struct err *err)
{
	if (!p->by) {
		enum err_code rc = crypto_random(&p->by, sizeof p->by, err);

		if (rc)
			return rc;
	}
	return prune_claim(svc->db, p->by, lease_ms, trails_gone, &p->trails_gone, err);
}

/* The round is over, or cannot go on: its lease says for how long others wait. */
static void
end_round(struct service *svc, struct pruning *p)
{
	p->under_way = false;
	p->next_us = clock_mono_us() + (int64_t)round_ms(svc->settings) * 1000;
}

static enum err_code
begin_round(struct service *svc, struct pruning *p, struct err *err)
{
	enum err_code rc = claim(svc, p, svc->settings->lease_ms, NULL, err);

	if (rc)
		return rc;
	p->under_way = true;
	p->at_trails = p->some_stay = false;
	memset(&p->after, 0, sizeof p->after);
	return ERR_OK;
}

static void
count(const struct pruned *pruned, int64_t began_us)
{
	if (!pruned->jobs && !pruned->events)
		return;
	metric_add(METRIC_PRUNED, pruned->jobs, "jobs");
	metric_add(METRIC_PRUNED, pruned->events, "events");
	log_event(LOG_INFO, "retention.pruned", KV_INT("jobs", pruned->jobs),
		KV_INT("events", pruned->events), KV_INT("files", pruned->files),
		KV_INT("took_ms", (clock_mono_us() - began_us) / 1000));
}

static enum err_code
prune_some_jobs(struct service *svc, struct pruning *p, struct pruned *ret, struct err *err)
{
	return prune_jobs(svc->db, svc->settings->retain_jobs_ms, &p->after,
		!svc->settings->retain_files, ret, err);
}

/*
 * Where a round began to meet jobs whose time has not come, the next one begins:
 * whose trails are gone is not looked at again.
 */
static enum err_code
prune_some_trails(struct service *svc, struct pruning *p, struct pruned *ret, struct err *err)
{
	enum err_code rc = prune_trails(svc->db, svc->settings->retain_events_ms, &p->after, ret, err);

	if (!rc && ret->any) {
		p->some_stay = p->some_stay || ret->some_stay;
		if (!p->some_stay)
			p->trails_gone = ret->last;
	}
	return rc;
}

/* false: there is nothing left of what this round does. */
static bool
next_kind(const struct settings *s, struct pruning *p)
{
	if (p->at_trails || !s->retain_events_ms)
		return false;
	p->at_trails = true;
	p->after = p->trails_gone;
	return true;
}

static enum err_code
prune_batch(struct service *svc, struct pruning *p, struct err *err)
{
	int64_t began_us = clock_mono_us();
	struct pruned pruned = { .any = false };
	struct uuid gone;
	enum err_code rc = ERR_OK;

	if (p->at_trails)
		rc = prune_some_trails(svc, p, &pruned, err);
	else if (svc->settings->retain_jobs_ms)
		rc = prune_some_jobs(svc, p, &pruned, err);
	if (rc)
		return rc;
	count(&pruned, began_us);
	p->after = pruned.last;
	gone = p->trails_gone;
	if (pruned.any || next_kind(svc->settings, p))
		return claim(svc, p, svc->settings->lease_ms, &gone, err);
	end_round(svc, p);
	return claim(svc, p, 0, &gone, err);
}

bool
retain_step(struct service *svc, struct pruning *p)
{
	const struct settings *s = svc->settings;
	struct err err = ERR_INIT;
	enum err_code rc = ERR_OK;

	if ((!s->retain_jobs_ms && !s->retain_events_ms) || clock_mono_us() < p->next_us)
		return false;
	if (!p->under_way)
		rc = begin_round(svc, p, &err);
	if (!rc)
		rc = prune_batch(svc, p, &err);
	if (rc && rc != ERR_LOST_RACE)
		log_event(LOG_WARN, "retention.failed", KV_STR("error", err.text));
	if (rc)
		end_round(svc, p);
	return p->under_way;
}
