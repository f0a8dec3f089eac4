#include "config.h"

#include "core/pause.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/metrics.h"
#include "core/apply.h"

/* A 429 that asks for more stops everybody; a shorter one only its own job. */
#define LONG_WAIT_MS 30000
#define FIRST_PAUSE_MS 30000
#define MAX_PAUSE_MS 300000
#define REFRESH_MS 1000
/* A job that is held looks again after this long: a resumption that it was not told
 * of costs no more. */
#define HOLD_MAX_MS 60000
/* While another job probes. */
#define PROBE_WAIT_MS 1000
/* What a client is told where nobody knows. */
#define UNKNOWN_WAIT_MS 60000

/* What is remembered of one provider. */
struct known {
	bool paused, by_operator, probed;
	int64_t until_us;		/* since 1970, by the database's clock; for showing */
	int64_t until_boot_us;
	int64_t rounds;
};

struct paused {
	pthread_mutex_t lock;		/* guards all below; never held in SQL */
	uint64_t begun, remembered;	/* looks at the database, counted when they began;
					 * and the latest that is remembered: 0 for none */
	int64_t refreshed_us;
	struct known *known;		/* in the order of provider_at() */
};

enum err_code
paused_new(struct paused **ret, struct err *err)
{
	struct paused *paused = mem_calloc(1, sizeof *paused);

	if (paused)
		paused->known = mem_calloc(provider_count(), sizeof *paused->known);
	if (!paused || !paused->known) {
		mem_free(paused);
		return err_set(err, ERR_NOMEM, "paused providers");
	}
	pthread_mutex_init(&paused->lock, NULL);
	*ret = paused;
	return ERR_OK;
}

void
paused_free(struct paused **ppaused)
{
	struct paused *paused = *ppaused;

	if (!paused)
		return;
	pthread_mutex_destroy(&paused->lock);
	mem_free(paused->known);
	mem_free(paused);
	*ppaused = NULL;
}

static struct known
known_from(const struct pause *pause)
{
	bool for_ever = pause->left_ms == PAUSE_WITHOUT_END;

	return (struct known){
		.paused = true, .by_operator = pause->by_operator, .probed = pause->probed,
		.until_us = pause->until_us, .rounds = pause->rounds,
		.until_boot_us = for_ever ? PAUSE_WITHOUT_END : clock_boot_us() + pause->left_ms * 1000,
	};
}

static const struct pause *
find(const struct pause *pauses, size_t n, const char *provider)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(pauses[i].provider, provider) == 0)
			return &pauses[i];
	return NULL;
}

/* Seen by this process for the first time, whoever did it. */
static void
log_change(const char *provider, const struct known *was, const struct pause *pause)
{
	if (!pause && was->paused)
		log_event(LOG_INFO, "provider.resumed", KV_STR("provider", provider));
	else if (pause && (!was->paused || was->rounds != pause->rounds || was->by_operator != pause->by_operator))
		log_event(LOG_WARN, "provider.paused", KV_STR("provider", provider),
			KV_STR("reason", pause->reason), KV_STR("by", pause->by),
			KV_BOOL("operator", pause->by_operator), KV_INT("failed_probes", pause->rounds),
			KV_INT("for_ms", pause->left_ms == PAUSE_WITHOUT_END ? -1 : pause->left_ms));
}

static uint64_t
begin_look(struct paused *paused)
{
	uint64_t look;

	pthread_mutex_lock(&paused->lock);
	look = ++paused->begun;
	pthread_mutex_unlock(&paused->lock);
	return look;
}

/* Unless a later look was quicker.  A process for one request has seen nothing
 * change, so it does not say so. */
static void
remember(struct paused *paused, uint64_t look, const struct pause *pauses, size_t n, bool logs)
{
	pthread_mutex_lock(&paused->lock);
	for (size_t i = 0; look > paused->remembered && i < provider_count(); i++) {
		const struct pause *pause = find(pauses, n, provider_at(i)->name);

		if (logs)
			log_change(provider_at(i)->name, &paused->known[i], pause);
		paused->known[i] = pause ? known_from(pause) : (struct known){ .paused = false };
	}
	if (look > paused->remembered)
		paused->remembered = look;
	pthread_mutex_unlock(&paused->lock);
}

/* false: it is as it was remembered; whoever hangs on it hears of the database
 * soon enough. */
static bool
reload(struct service *svc)
{
	struct pause *pauses = NULL;
	struct err err = ERR_INIT;
	uint64_t look = begin_look(svc->paused);
	size_t n = 0;
	enum err_code rc = pauses_load(svc->db, &pauses, &n, &err);

	if (rc) {
		log_event(LOG_WARN, "provider.pauses_unknown", KV_STR("error", err.text));
		return false;
	}
	remember(svc->paused, look, pauses, n, svc->workers);
	pauses_clear(&pauses, n);
	return true;
}

void
pause_refresh(struct service *svc)
{
	int64_t now_us = clock_mono_us();

	/* The one thread that calls it needs no lock for this. */
	if (svc->paused->refreshed_us && now_us - svc->paused->refreshed_us < REFRESH_MS * 1000)
		return;
	svc->paused->refreshed_us = now_us;
	(void)reload(svc);
}

static struct known
recall(struct service *svc, const struct provider *p)
{
	struct paused *paused = svc->paused;
	struct known known = { .paused = false };

	pthread_mutex_lock(&paused->lock);
	for (size_t i = 0; i < provider_count(); i++)
		if (provider_at(i) == p)
			known = paused->known[i];
	pthread_mutex_unlock(&paused->lock);
	return known;
}

/* The same for those that cannot rely on a worker's refreshing it. */
static struct known
recall_for_request(struct service *svc, const struct provider *p)
{
	bool loaded;

	pthread_mutex_lock(&svc->paused->lock);
	loaded = svc->paused->remembered > 0;
	pthread_mutex_unlock(&svc->paused->lock);
	if (!svc->workers || !loaded)
		(void)reload(svc);
	return recall(svc, p);
}

/* Until its time is over; 0: it is. */
static uint64_t
left_ms(const struct known *known)
{
	int64_t left_us = known->until_boot_us - clock_boot_us();

	if (known->until_boot_us == PAUSE_WITHOUT_END)
		return UNKNOWN_WAIT_MS;
	return left_us > 0 ? (uint64_t)left_us / 1000 + 1 : 0;
}

bool
pause_holds(struct service *svc, const struct provider *p, uint64_t *ret_wait_ms)
{
	struct known known = recall_for_request(svc, p);
	uint64_t wait_ms = left_ms(&known);

	if (!known.paused || (!wait_ms && !known.probed))
		return false;
	*ret_wait_ms = wait_ms ? wait_ms : PROBE_WAIT_MS;
	return true;
}

void
pause_show(struct service *svc, const struct provider *p, struct pause_shown *ret)
{
	struct known known = recall_for_request(svc, p);

	*ret = (struct pause_shown){
		.paused = known.paused, .by_operator = known.by_operator, .until_us = known.until_us,
	};
}

/* May this job be the probe?  A number for it, or 0. */
static int64_t
begin_probe(struct service *svc, const struct provider *p)
{
	struct err err = ERR_INIT;
	int64_t number = 0;
	enum err_code rc = crypto_random(&number, sizeof number, &err);

	number = (int64_t)((uint64_t)number >> 1) | 1;
	if (!rc)
		rc = pauses_probe(svc->db, p->name, number, svc->settings->lease_ms, &err);
	if (rc && rc != ERR_LOST_RACE)
		log_event(LOG_WARN, "provider.probe_failed", KV_STR("provider", p->name), KV_STR("error", err.text));
	if (!rc)
		log_event(LOG_INFO, "provider.probed", KV_STR("provider", p->name));
	/* Others may have been faster; and requests are to know of ours. */
	(void)reload(svc);
	return rc ? 0 : number;
}

bool
pause_leave(struct service *svc, const struct provider *p, struct pause_leave *ret,
	uint64_t *ret_wait_ms)
{
	struct known known = recall(svc, p);
	uint64_t wait_ms;

	*ret = (struct pause_leave){ .probe = 0 };
	/* It may have been resumed this moment. */
	if (known.paused && reload(svc))
		known = recall(svc, p);
	if (!known.paused)
		return true;
	wait_ms = left_ms(&known);
	if (!wait_ms && !known.probed && (ret->probe = begin_probe(svc, p)))
		return true;
	if (!wait_ms)
		wait_ms = PROBE_WAIT_MS;
	*ret_wait_ms = after_ms(wait_ms < HOLD_MAX_MS ? wait_ms : HOLD_MAX_MS);
	return false;
}

/* Does an answer say that it takes nothing from anybody here? */
static bool
wants_pause(const struct submit_reply *reply)
{
	if (reply->outcome == SUBMIT_REFUSED)
		return reply->error == ERR_PROVIDER_UNAVAILABLE;
	return reply->outcome == SUBMIT_DEFERRED && reply->retry_after_ms > LONG_WAIT_MS;
}

/* Does it take what it likes? */
static bool
is_well(const struct submit_reply *reply)
{
	return reply->outcome == SUBMIT_ACCEPTED ||
		(reply->outcome == SUBMIT_REFUSED && reply->error != ERR_PROVIDER_UNAVAILABLE);
}

void
pause_learn(struct service *svc, const struct provider *p, const struct pause_leave *leave,
	const struct submit_reply *reply)
{
	const struct pause_time time = {
		.least_ms = reply->retry_after_ms ? after_ms(reply->retry_after_ms) : 0,
		.first_ms = FIRST_PAUSE_MS, .max_ms = MAX_PAUSE_MS, .percent = (unsigned)jittered_ms(100),
	};
	bool pauses = wants_pause(reply) || (leave->probe && !is_well(reply));
	struct err err = ERR_INIT;
	enum err_code rc;

	if (!pauses && !leave->probe)
		return;
	if (pauses)
		rc = pauses_put(svc->db, p->name, reply->message ? reply->message : "a create without an answer",
			metrics_instance(), &time, &err);
	else
		rc = pauses_lift(svc->db, p->name, leave->probe, &err);
	if (rc && rc != ERR_LOST_RACE)
		log_event(LOG_WARN, pauses ? "provider.not_paused" : "provider.not_resumed",
			KV_STR("provider", p->name), KV_STR("error", err.text));
	(void)reload(svc);
}

void
pause_unused(struct service *svc, const struct provider *p, const struct pause_leave *leave)
{
	/* If this fails, its lease ends it. */
	if (leave->probe && !pauses_probe(svc->db, p->name, leave->probe, 0, NULL))
		(void)reload(svc);
}

enum err_code
pause_order(struct service *svc, const struct provider *p, const char *reason, uint64_t ms,
	struct err *err)
{
	return pauses_order(svc->db, p->name, reason, metrics_instance(), ms, err);
}

enum err_code
pause_resume(struct service *svc, const struct provider *p, struct err *err)
{
	return pauses_resume(svc->db, p->name, err);
}
