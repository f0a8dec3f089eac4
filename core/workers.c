#include "config.h"

#include "core/workers.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/manager.h"
#include "core/find.h"
#include "core/intake.h"
#include "core/keeper.h"
#include "core/pause.h"
#include "core/remove.h"
#include "core/retain.h"
#include "core/sign.h"
#include "core/stray.h"
#include "core/verifier.h"

#define LANES 4
#define TICK_MS 250		/* how often Postgres is asked what is due */
#define REMOVE_TICK_MS 5000	/* and what is to be removed, without a hint */
#define QUEUE_MAX 256		/* hints kept in memory, per lane */
#define CLAIM_MAX 128		/* jobs that are claimed at once */
#define CLEAN_UP_MS 40000	/* what a stop may take after its grace: statements that have to end */
#define EXPECT_MARGIN_MS 5000	/* what a lasting create has brought is written down in that time */
#define QUICK_MS 1500		/* a stop waits that long for what another process could do as well */
/* Jansson takes 2,048 levels, and writing those takes over half of this. */
#define STACK_BYTES (1024 * 1024)

/* A job to do: claimed, or named and yet to be claimed. */
struct item {
	struct job job;
	bool claimed;
};

/* A job that a thread works on; on that thread's stack. */
struct doing {
	struct doing *next;
	struct uuid owner, job;
	int64_t leased_by;
};

struct lane {
	struct workers *workers;
	const char *name;
	unsigned states;		/* mask of 1 << enum gen_state; 0: its jobs are handed over */
	void (*step)(struct service *svc, struct job *job);
	size_t max_threads;

	pthread_mutex_t lock;		/* guards all below */
	pthread_cond_t work;
	pthread_t *threads;		/* room for all; started as they are needed */
	size_t n_threads;
	struct item queue[QUEUE_MAX];
	size_t first, n;
	size_t busy;
	bool backlog;			/* more may be due than there were threads for */
	struct doing *doing;
};

struct workers {
	struct current *current;
	struct db *db;
	struct http_client *http;
	struct lane lanes[LANES];
	size_t started;			/* lanes whose lock exists */
	pthread_t scheduler;
	bool has_scheduler;
	int64_t renewed_us, tick_us;	/* the scheduler's: last renewal, next tick */
	bool one_job;			/* nothing but this is looked at: */
	struct uuid owner, job;
	atomic_bool dry;
	pthread_t remover;		/* ends strays, removes the files of deleted jobs, prunes,
					 * fetches verifiers */
	bool has_remover;
	pthread_mutex_t lock;		/* guards the six below: two threads' sleep */
	pthread_cond_t wake, wake_remover;
	bool woken, woken_remover;
	bool removing, removed_all;
	atomic_bool stopping;
	atomic_int_least64_t until_us;	/* of the stop's grace; before it: for ever */
	int64_t asked_us;		/* until when we have asked the service manager to wait */
	atomic_int_least64_t lasting_us;	/* when the last of the lasting creates will have ended */
};

/* How does it stand at the provider, if it is there at all? */
static void
look_step(struct service *svc, struct job *job)
{
	if (job->state == GEN_UNCERTAIN)
		find_step(svc, job);
	else
		poll_step(svc, job);
}

static const struct {
	const char *name;
	unsigned states;
	void (*step)(struct service *svc, struct job *job);
} kinds[LANES] = {
	{ "submit", 1u << GEN_QUEUED | 1u << GEN_SUBMITTING, submit_step },
	{ "create", 0, create_step },
	{ "poll", 1u << GEN_UNCERTAIN | 1u << GEN_RUNNING, look_step },
	{ "store", 1u << GEN_STORING, store_step },
};

static void *lane_run(void *arg);

/* With its lock held.  0, or an errno. */
static int
lane_grow(struct lane *lane)
{
	pthread_attr_t attr;
	int rc;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	rc = pthread_create(&lane->threads[lane->n_threads], &attr, lane_run, lane);
	pthread_attr_destroy(&attr);
	if (rc == 0)
		lane->n_threads++;
	return rc;
}

/* Most lanes need a few of their threads only, now and then all.  One that cannot
 * be started is done without. */
static void
lane_grow_if_needed(struct lane *lane)
{
	if (lane->n + lane->busy > lane->n_threads && lane->n_threads < lane->max_threads &&
	    !atomic_load(&lane->workers->stopping))
		(void)lane_grow(lane);
}

/* With its lock held, and room in the queue. */
static void
lane_put(struct lane *lane, const struct item *item)
{
	lane->queue[(lane->first + lane->n++) % QUEUE_MAX] = *item;
	lane_grow_if_needed(lane);
	pthread_cond_signal(&lane->work);
}

/* false: the queue is full. */
static bool
lane_push(struct lane *lane, const struct item *item)
{
	bool fits;

	pthread_mutex_lock(&lane->lock);
	fits = lane->n < QUEUE_MAX;
	if (fits)
		lane_put(lane, item);
	pthread_mutex_unlock(&lane->lock);
	return fits;
}

/* Threads with nothing to do.  With its lock held. */
static size_t
lane_free(const struct lane *lane)
{
	size_t taken = lane->n + lane->busy;

	return taken < lane->max_threads ? lane->max_threads - taken : 0;
}

bool
workers_hand_over(struct workers *w, struct job *job)
{
	const struct item item = { .job = *job, .claimed = true };
	struct lane *lane = w->lanes;
	bool taken;

	while (lane->states)
		lane++;
	pthread_mutex_lock(&lane->lock);
	taken = lane_free(lane) > 0 && !atomic_load(&w->stopping);
	if (taken)
		lane_put(lane, &item);
	pthread_mutex_unlock(&lane->lock);
	if (taken)
		*job = (struct job){ .request = NULL };
	return taken;
}

static void
raise_to(atomic_int_least64_t *time_us, int_least64_t to_us)
{
	int_least64_t now_us = atomic_load(time_us);

	while (to_us > now_us && !atomic_compare_exchange_weak(time_us, &now_us, to_us))
		;
}

/* In that order: a stop that begins meanwhile sets its end and then looks for us, so it
 * sees us or we see it.  Without a stop its end is never, and stays so. */
void
workers_expect(struct workers *w, uint64_t ms)
{
	int_least64_t end_us = clock_mono_us() + (int64_t)(ms + EXPECT_MARGIN_MS) * 1000;

	raise_to(&w->lasting_us, end_us);
	raise_to(&w->until_us, end_us);
}

static bool
lane_pop(struct lane *lane, struct item *ret)
{
	bool stopping;

	pthread_mutex_lock(&lane->lock);
	while (lane->n == 0 && !atomic_load(&lane->workers->stopping))
		pthread_cond_wait(&lane->work, &lane->lock);
	stopping = atomic_load(&lane->workers->stopping);
	if (!stopping) {
		*ret = lane->queue[lane->first];
		lane->first = (lane->first + 1) % QUEUE_MAX;
		lane->n--;
		lane->busy++;
	}
	pthread_mutex_unlock(&lane->lock);
	return !stopping;
}

/* For how many free threads a backlog is worth a statement: one for each would be
 * more than all that the jobs themselves need.  With its lock held. */
static size_t
lane_batch(const struct lane *lane)
{
	size_t half = (lane->max_threads + 1) / 2;

	return half < 8 ? half : 8;
}

static bool
lane_wants_more(struct lane *lane)
{
	bool wants;

	pthread_mutex_lock(&lane->lock);
	wants = lane->backlog && lane_free(lane) >= lane_batch(lane);
	pthread_mutex_unlock(&lane->lock);
	return wants;
}

static void
wake_scheduler(struct workers *w)
{
	pthread_mutex_lock(&w->lock);
	w->woken = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
}

static void
lane_done(struct lane *lane)
{
	bool wake;

	pthread_mutex_lock(&lane->lock);
	lane->busy--;
	wake = lane->backlog && lane_free(lane) == lane_batch(lane);
	pthread_mutex_unlock(&lane->lock);
	if (wake)
		wake_scheduler(lane->workers);
}

static void
do_step(struct lane *lane, struct job *job)
{
	struct doing me = { .owner = job->owner, .job = job->id, .leased_by = job->leased_by }, **link;
	struct service *svc;

	pthread_mutex_lock(&lane->lock);
	me.next = lane->doing;
	lane->doing = &me;
	pthread_mutex_unlock(&lane->lock);
	svc = service_pin(lane->workers->current);
	lane->step(svc, job);
	service_unpin(&svc);
	pthread_mutex_lock(&lane->lock);
	for (link = &lane->doing; *link != &me; link = &(*link)->next)
		;
	*link = me.next;
	pthread_mutex_unlock(&lane->lock);
}

static uint64_t
lease_ms(struct workers *w)
{
	struct service *svc = service_pin(w->current);
	uint64_t ms = svc->settings->lease_ms;

	service_unpin(&svc);
	return ms;
}

static void
do_item(struct lane *lane, struct item *item)
{
	struct workers *w = lane->workers;
	struct err err = ERR_INIT;

	json_begin();
	if (!item->claimed) {
		struct job named = item->job;
		/* Not before it is due: it may have been found in Postgres, sent, and put
		 * off by the provider since the hint was given. */
		enum err_code rc = jobs_claim(w->db, &named.owner, &named.id, lease_ms(w),
			&item->job, &err);

		if (rc && rc != ERR_LOST_RACE)
			log_event(LOG_WARN, "worker.claim_failed", KV_STR("lane", lane->name),
				KV_STR("error", err.text));
		if (rc)
			return;
		memcpy(item->job.trace, named.trace, sizeof named.trace);
	}
	/* It may have moved on between the hint and the claim. */
	if (!lane->states || lane->states & 1u << item->job.state)
		do_step(lane, &item->job);
	else if (jobs_defer(w->db, &item->job, 0, &err) == ERR_OK)
		workers_hint(w, item->job.state, &item->job.owner, &item->job.id);
	job_clear(&item->job);
}

static void *
lane_run(void *arg)
{
	struct lane *lane = arg;
	struct item item;

	while (lane_pop(lane, &item)) {
		do_item(lane, &item);
		lane_done(lane);
	}
	return NULL;
}

/* Nothing in memory, nobody at work. */
static bool
all_empty(struct workers *w)
{
	bool empty = true;

	for (size_t i = 0; i < w->started; i++) {
		pthread_mutex_lock(&w->lanes[i].lock);
		empty = empty && w->lanes[i].n == 0 && w->lanes[i].busy == 0;
		pthread_mutex_unlock(&w->lanes[i].lock);
	}
	return empty;
}

/* true: nothing is due, as far as is known. */
static bool
lane_claimed(struct lane *lane, size_t wanted, size_t n)
{
	pthread_mutex_lock(&lane->lock);
	lane->backlog = n == wanted;
	pthread_mutex_unlock(&lane->lock);
	return wanted > 0 && n == 0;
}

/* Claim what is due for a lane, as much as it has threads for.  false: it is not
 * known that there was nothing. */
static bool
schedule_lane(struct workers *w, struct lane *lane)
{
	struct job jobs[CLAIM_MAX];
	struct err err = ERR_INIT;
	size_t want, n = 0;
	bool none;

	if (!lane->states)
		return true;
	pthread_mutex_lock(&lane->lock);
	want = lane_free(lane);
	pthread_mutex_unlock(&lane->lock);
	if (want > sizeof jobs / sizeof *jobs)
		want = sizeof jobs / sizeof *jobs;
	if (want > 0 && jobs_claim_due(w->db, lane->states, want, lease_ms(w), jobs, &n, &err)) {
		log_event(LOG_WARN, "worker.claim_failed", KV_STR("lane", lane->name),
			KV_STR("error", err.text));
		(void)lane_claimed(lane, want, 0);	/* the next tick asks again */
		return false;
	}
	none = lane_claimed(lane, want, n);
	for (size_t i = 0; i < n; i++) {
		struct item item = { .job = jobs[i], .claimed = true };

		if (lane_push(lane, &item))
			continue;
		/* Full of hints, all of a sudden. */
		(void)!jobs_defer(w->db, &jobs[i], 0, &err);
		job_clear(&jobs[i]);
	}
	return none;
}

static void
push_claimed(struct workers *w, struct job *job)
{
	const struct item item = { .job = *job, .claimed = true };

	for (size_t i = 0; i < LANES; i++)
		if (w->lanes[i].states & 1u << job->state)
			lane_push(&w->lanes[i], &item);
	*job = (struct job){ .request = NULL };
}

/* The same for the only job there is. */
static bool
schedule_only(struct workers *w)
{
	struct job job;
	struct err err = ERR_INIT;
	enum err_code rc;

	if (!all_empty(w))
		return false;
	rc = jobs_claim(w->db, &w->owner, &w->job, lease_ms(w), &job, &err);
	if (rc == ERR_LOST_RACE)
		return true;
	if (rc)
		log_event(LOG_WARN, "worker.claim_failed", KV_STR("error", err.text));
	else
		push_claimed(w, &job);
	return false;
}

/* Look for work of every kind. */
static void
schedule_all(struct workers *w)
{
	bool dry = all_empty(w);

	if (w->one_job)
		dry = schedule_only(w);
	for (size_t i = 0; i < LANES && !w->one_job; i++)
		dry &= schedule_lane(w, &w->lanes[i]);
	atomic_store(&w->dry, dry && all_empty(w));
}

/* Where there was more than there were threads for.  false: nowhere. */
static bool
schedule_backlog(struct workers *w)
{
	bool any = false;

	for (size_t i = 0; i < LANES && !w->one_job; i++) {
		if (!lane_wants_more(&w->lanes[i]))
			continue;
		schedule_lane(w, &w->lanes[i]);
		any = true;
	}
	return any;
}

/*
 * A large output takes longer than a lease: without this one thread after the
 * other would begin with it, too.  Not for submitting, where a lease that is
 * over says that a create is.
 */
static void
renew_leases(struct workers *w, struct lane *lane)
{
	struct doing jobs[1000];	/* more threads than a lane may have */
	enum err_code rc = ERR_OK;
	size_t n = 0;

	pthread_mutex_lock(&lane->lock);
	for (struct doing *d = lane->doing; d && n < sizeof jobs / sizeof *jobs; d = d->next)
		jobs[n++] = *d;
	pthread_mutex_unlock(&lane->lock);
	/* With the database away each would take its whole time, and a stop waits for us. */
	while (n-- > 0 && rc != ERR_UNAVAILABLE && !atomic_load(&w->stopping)) {
		struct err err = ERR_INIT;

		rc = jobs_renew(w->db, &jobs[n].owner, &jobs[n].job, jobs[n].leased_by, lease_ms(w), &err);
		if (rc)
			log_event(LOG_WARN, "worker.renew_failed", KV_STR("lane", lane->name),
				KV_STR("error", err.text));
	}
}

static void
renew_sometimes(struct workers *w)
{
	int64_t now_us = clock_mono_us();

	if (now_us - w->renewed_us < (int64_t)lease_ms(w) * 1000 / 3)
		return;
	w->renewed_us = now_us;
	for (size_t i = 0; i < LANES; i++)
		if (w->lanes[i].states && !(w->lanes[i].states & 1u << GEN_SUBMITTING))
			renew_leases(w, &w->lanes[i]);
}

/* Until it is woken, or that time has come. */
static void
sleep_on(struct workers *w, pthread_cond_t *wake, bool *woken, int64_t until_us)
{
	struct timespec until = {
		.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000,
	};
	int rc = 0;

	pthread_mutex_lock(&w->lock);
	while (!*woken && rc == 0)
		rc = pthread_cond_timedwait(wake, &w->lock, &until);
	*woken = false;
	pthread_mutex_unlock(&w->lock);
}

static bool
all_idle(struct workers *w)
{
	bool idle;

	pthread_mutex_lock(&w->lock);
	idle = !w->removing;
	pthread_mutex_unlock(&w->lock);
	for (size_t i = 0; i < w->started; i++) {
		pthread_mutex_lock(&w->lanes[i].lock);
		idle = idle && w->lanes[i].busy == 0;
		pthread_mutex_unlock(&w->lanes[i].lock);
	}
	return idle;
}

/* false: the queue is empty. */
static bool
lane_take_back(struct lane *lane, struct item *ret)
{
	bool any;

	pthread_mutex_lock(&lane->lock);
	any = lane->n > 0;
	if (any) {
		*ret = lane->queue[lane->first];
		lane->first = (lane->first + 1) % QUEUE_MAX;
		lane->n--;
	}
	pthread_mutex_unlock(&lane->lock);
	return any;
}

/* What was claimed and not begun is another process's at once.  While the database
 * is away its leases have to run out. */
static void
give_back(struct workers *w)
{
	struct err err = ERR_INIT;
	enum err_code rc = ERR_OK;
	struct item item;

	for (size_t i = 0; i < w->started; i++)
		while (lane_take_back(&w->lanes[i], &item)) {
			if (item.claimed && rc != ERR_UNAVAILABLE)
				rc = jobs_defer(w->db, &item.job, 0, &err);
			job_clear(&item.job);
		}
}

/* Once for each end that is later: who manages our process waits as long. */
static void
ask_for_time(struct workers *w)
{
	int64_t until_us = atomic_load(&w->until_us), left_us = until_us - clock_mono_us();

	if (until_us <= w->asked_us || until_us == INT64_MAX)	/* not settled yet */
		return;
	w->asked_us = until_us;
	manager_extend_stop((uint64_t)(left_us > 0 ? left_us : 0) / 1000 + CLEAN_UP_MS);
}

static void
wait_idle(struct workers *w, int64_t until_us)
{
	while (!all_idle(w) && clock_mono_us() < until_us && clock_mono_us() < atomic_load(&w->until_us)) {
		ask_for_time(w);
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
}

/* The end of the scheduler's thread, beside whatever else stops. */
static void
wind_down(struct workers *w)
{
	give_back(w);
	wait_idle(w, clock_mono_us() + QUICK_MS * 1000);
	http_client_stop_reading(w->http);
	wait_idle(w, INT64_MAX);
	http_client_stop(w->http);
}

static void
tick(struct workers *w)
{
	struct service *svc = service_pin(w->current);

	renew_sometimes(w);
	pause_refresh(svc);
	schedule_all(w);
	service_unpin(&svc);
}

static void *
schedule_run(void *arg)
{
	struct workers *w = arg;

	while (!atomic_load(&w->stopping)) {
		int64_t now_us = clock_mono_us();

		if (now_us >= w->tick_us) {
			w->tick_us = now_us + TICK_MS * 1000;
			tick(w);
		}
		if (!schedule_backlog(w))
			sleep_on(w, &w->wake, &w->woken, w->tick_us);
	}
	wind_down(w);
	return NULL;
}

static void
set_removing(struct workers *w, bool removing, bool removed_all)
{
	pthread_mutex_lock(&w->lock);
	w->removing = removing;
	w->removed_all = removed_all;
	pthread_mutex_unlock(&w->lock);
}

static void *
remove_run(void *arg)
{
	struct workers *w = arg;
	struct pruning pruning = { .under_way = false };

	while (!atomic_load(&w->stopping)) {
		struct service *svc = service_pin(w->current);
		bool more, prunes;

		json_begin();
		set_removing(w, true, false);
		verifier_step(svc);
		more = stray_step(svc);
		more |= remove_sweep_step(svc);
		more |= remove_step(svc);
		/* Files may go with what is pruned: no faster than they are removed. */
		prunes = !more && retain_step(svc, &pruning);
		service_unpin(&svc);
		set_removing(w, false, !more && !prunes);
		if (!more)
			sleep_on(w, &w->wake_remover, &w->woken_remover, clock_mono_us() +
				(prunes ? RETAIN_PAUSE_MS : REMOVE_TICK_MS) * 1000);
	}
	return NULL;
}

void
workers_hint_removal(struct workers *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->woken_remover = true;
	pthread_cond_signal(&w->wake_remover);
	pthread_mutex_unlock(&w->lock);
}

bool
workers_are_dry(struct workers *w)
{
	bool removed_all;

	pthread_mutex_lock(&w->lock);
	removed_all = w->removed_all || w->one_job;
	pthread_mutex_unlock(&w->lock);
	return removed_all && atomic_load(&w->dry);
}

enum err_code
service_claim(struct service *svc, const struct uuid *owner, const struct uuid *id,
	struct job *ret, struct err *err)
{
	return jobs_claim(svc->db, owner, id, svc->settings->lease_ms, ret, err);
}

void
workers_hint(struct workers *w, enum gen_state state, const struct uuid *owner,
	const struct uuid *job)
{
	workers_hint_traced(w, state, owner, job, NULL);
}

void
workers_hint_traced(struct workers *w, enum gen_state state, const struct uuid *owner,
	const struct uuid *job, const char *trace)
{
	struct item item = { .claimed = false };

	if (!w || state == GEN_SETTLED)
		return;
	item.job.owner = *owner;
	item.job.id = *job;
	if (trace)
		snprintf(item.job.trace, sizeof item.job.trace, "%s", trace);
	for (size_t i = 0; i < LANES; i++)
		if (w->lanes[i].states & 1u << state)
			lane_push(&w->lanes[i], &item);
}

static enum err_code
lane_start(struct workers *w, size_t i, size_t max_threads, struct err *err)
{
	struct lane *lane = &w->lanes[i];
	int rc;

	lane->workers = w;
	lane->name = kinds[i].name;
	lane->states = kinds[i].states;
	lane->step = kinds[i].step;
	lane->max_threads = max_threads;
	lane->threads = mem_calloc(max_threads, sizeof *lane->threads);
	if (!lane->threads)
		return err_set(err, ERR_NOMEM, "worker threads");
	pthread_mutex_init(&lane->lock, NULL);
	pthread_cond_init(&lane->work, NULL);
	w->started = i + 1;
	/* At least one: without it nothing would ever be done. */
	pthread_mutex_lock(&lane->lock);
	rc = lane_grow(lane);
	pthread_mutex_unlock(&lane->lock);
	return rc ? err_set(err, ERR_NOMEM, "worker thread: %s", strerror(rc)) : ERR_OK;
}

/* max_threads: of each lane.  job: NULL, or the one to look at; claimed and stolen. */
static enum err_code
start(struct service *svc, const size_t max_threads[LANES], struct job *job, struct err *err)
{
	struct workers *w = mem_calloc(1, sizeof *w);
	pthread_condattr_t attr;
	enum err_code rc = ERR_OK;

	if (!w)
		return err_set(err, ERR_NOMEM, "workers");
	w->current = svc->current;
	w->db = svc->db;
	w->http = svc->http;
	if (job) {
		w->one_job = true;
		w->owner = job->owner;
		w->job = job->id;
	}
	atomic_store(&w->until_us, INT64_MAX);
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->wake, &attr);
	pthread_cond_init(&w->wake_remover, &attr);
	pthread_condattr_destroy(&attr);
	svc->workers = w;
	for (size_t i = 0; i < LANES && !rc; i++)
		rc = lane_start(w, i, max_threads[i], err);
	if (!rc && job)
		push_claimed(w, job);
	if (!rc && pthread_create(&w->scheduler, NULL, schedule_run, w))
		rc = err_set(err, ERR_NOMEM, "scheduler thread");
	w->has_scheduler = !rc;
	if (!rc && !job && pthread_create(&w->remover, NULL, remove_run, w))
		rc = err_set(err, ERR_NOMEM, "remover thread");
	w->has_remover = !rc && !job;
	if (!rc && !job)
		rc = signer_start(svc, err);
	if (!rc && !job)
		rc = keeper_start(svc, err);
	if (rc)
		workers_stop(svc, 0);
	return rc;
}

enum err_code
workers_start(struct service *svc, struct err *err)
{
	size_t workers = (size_t)svc->settings->workers;
	const size_t max_threads[LANES] = { workers - workers / 2, (size_t)svc->settings->lasting_creates,
		(size_t)svc->settings->pollers, workers / 2 };

	return start(svc, max_threads, NULL, err);
}

enum err_code
workers_start_for(struct service *svc, struct job *job, struct err *err)
{
	static const size_t one_each[LANES] = { 1, 1, 1, 1 };
	enum err_code rc = start(svc, one_each, job, err);

	job_clear(job);
	return rc;
}

/* In small pieces, since a stop may come meanwhile. */
bool
workers_pause(const struct workers *w, uint64_t ms)
{
	int64_t end_us = clock_mono_us() + (int64_t)ms * 1000;

	while (clock_mono_us() < end_us && clock_mono_us() < atomic_load(&w->until_us))
		nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	return clock_mono_us() < atomic_load(&w->until_us);
}

static void
lane_join(struct lane *lane)
{
	size_t n;

	/* It grows no more. */
	pthread_mutex_lock(&lane->lock);
	n = lane->n_threads;
	pthread_mutex_unlock(&lane->lock);
	for (size_t i = 0; i < n; i++)
		pthread_join(lane->threads[i], NULL);
}

static void
lane_clear(struct lane *lane)
{
	pthread_cond_destroy(&lane->work);
	pthread_mutex_destroy(&lane->lock);
	mem_free(lane->threads);
}

/* Does any thread work on what was handed over? */
static bool
any_lasts(struct workers *w)
{
	bool busy = false;

	for (size_t i = 0; i < w->started; i++) {
		pthread_mutex_lock(&w->lanes[i].lock);
		busy |= !w->lanes[i].states && w->lanes[i].busy > 0;
		pthread_mutex_unlock(&w->lanes[i].lock);
	}
	return busy;
}

void
workers_wind_down(struct service *svc, uint64_t grace_ms)
{
	struct workers *w = svc->workers;

	if (!w || atomic_exchange(&w->stopping, true))
		return;
	atomic_store(&w->until_us, clock_mono_us() + (int64_t)grace_ms * 1000);
	if (any_lasts(w))
		raise_to(&w->until_us, atomic_load(&w->lasting_us));
	wake_scheduler(w);
	workers_hint_removal(w);
	for (size_t i = 0; i < w->started; i++) {
		pthread_mutex_lock(&w->lanes[i].lock);
		pthread_cond_broadcast(&w->lanes[i].work);
		pthread_mutex_unlock(&w->lanes[i].lock);
	}
}

void
workers_stop(struct service *svc, uint64_t grace_ms)
{
	struct workers *w = svc->workers;

	if (!w)
		return;
	workers_wind_down(svc, grace_ms);
	if (w->has_scheduler)
		pthread_join(w->scheduler, NULL);
	else
		wind_down(w);
	intakes_stop(svc->intakes);
	signer_stop(svc);
	keeper_stop(svc);
	if (w->has_remover)
		pthread_join(w->remover, NULL);
	for (size_t i = 0; i < w->started; i++)
		lane_join(&w->lanes[i]);
	/* What the last steps have handed on. */
	give_back(w);
	for (size_t i = 0; i < w->started; i++)
		lane_clear(&w->lanes[i]);
	pthread_cond_destroy(&w->wake);
	pthread_cond_destroy(&w->wake_remover);
	pthread_mutex_destroy(&w->lock);
	svc->workers = NULL;
	mem_free(w);
}
