#include "config.h"

#include "core/watch.h"

#include <pthread.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"

#define TICK_MS 200		/* how often Postgres is asked */
#define BUCKETS 1024		/* by token */

struct watch {
	struct watch *next;		/* in its bucket, or among the fired */
	uint64_t token;
	struct uuid owner, job;
	enum watch_for what;
	int32_t seen;
	int64_t until_us;		/* monotonic */
	bool asked;			/* it is part of the question under way */
	enum watch_news news;
};

struct watches {
	struct db *db;
	watch_fn *fn;
	void *ctx;
	pthread_t thread;
	pthread_mutex_t lock;		/* guards all below; never held in fn or SQL */
	pthread_cond_t wake;
	struct watch *buckets[BUCKETS];
	size_t n;
	struct watch *fired;		/* to be told by the thread */
	bool stopping;			/* everybody is told to go */
	bool ending;			/* the thread ends */
};

static struct watch **
find(struct watches *w, uint64_t token)
{
	struct watch **at = &w->buckets[token % BUCKETS];

	while (*at && (*at)->token != token)
		at = &(*at)->next;
	return at;
}

/* With the lock: from its bucket to the fired ones. */
static void
fire(struct watches *w, struct watch **at, enum watch_news news)
{
	struct watch *watch = *at;

	*at = watch->next;
	w->n--;
	watch->news = news;
	watch->next = w->fired;
	w->fired = watch;
}

/* Fire each watch, `it`, for which the condition holds.  With the lock. */
#define FIRE_WHERE(w, condition, what_news) do { \
	for (size_t b_ = 0; b_ < BUCKETS; b_++) \
		for (struct watch **at_ = &(w)->buckets[b_]; *at_; ) { \
			const struct watch *it = *at_; \
			if (condition) \
				fire((w), at_, (what_news)); \
			else \
				at_ = &(*at_)->next; \
		} \
} while (0)

static bool
is_of(const struct watch *watch, const struct uuid *owner, const struct uuid *job)
{
	return uuid_equal(&watch->job, job) && uuid_equal(&watch->owner, owner);
}

static bool
state_satisfies(enum watch_for what, enum gen_state state)
{
	switch (what) {
	case WATCH_ACCEPTED:
		return state != GEN_QUEUED && state != GEN_SUBMITTING;
	case WATCH_ENDED:
		return state == GEN_SETTLED;
	default:
		return true;	/* perhaps: whoever watches looks */
	}
}

bool
watch_satisfied(enum watch_for what, int32_t seen, const struct job_version *now)
{
	if (!now)
		return true;
	if (what == WATCH_CHANGED)
		return now->version != seen;
	return state_satisfies(what, now->state);
}

void
watches_poke(struct watches *w, const struct uuid *owner, const struct uuid *job,
	enum gen_state state)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	if (w->n > 0)
		FIRE_WHERE(w, is_of(it, owner, job) && state_satisfies(it->what, state), WATCH_CAME);
	if (w->fired)
		pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
}

void
watches_poke_keys(struct watches *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	FIRE_WHERE(w, it->what == WATCH_KEYS, WATCH_CAME);
	if (w->fired)
		pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
}

enum err_code
watches_add(struct watches *w, uint64_t token, const struct uuid *owner, const struct uuid *job,
	enum watch_for what, int32_t seen, uint64_t timeout_ms)
{
	struct watch *watch = mem_alloc(sizeof *watch);
	struct watch **at;

	if (!watch)
		return ERR_NOMEM;
	*watch = (struct watch){
		.token = token, .owner = *owner, .job = *job, .what = what, .seen = seen,
		.until_us = clock_mono_us() + (int64_t)timeout_ms * 1000,
	};
	watches_remove(w, token);
	pthread_mutex_lock(&w->lock);
	if (w->stopping) {
		pthread_mutex_unlock(&w->lock);
		mem_free(watch);
		return ERR_STOPPING;
	}
	at = find(w, token);
	watch->next = *at;
	*at = watch;
	/* The thread sleeps without a time when nobody watches. */
	if (w->n++ == 0)
		pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	return ERR_OK;
}

void
watches_remove(struct watches *w, uint64_t token)
{
	struct watch **at, *watch;

	pthread_mutex_lock(&w->lock);
	at = find(w, token);
	watch = *at;
	if (watch) {
		*at = watch->next;
		w->n--;
	}
	pthread_mutex_unlock(&w->lock);
	mem_free(watch);
}

size_t
watches_count(struct watches *w)
{
	size_t n;

	pthread_mutex_lock(&w->lock);
	n = w->n;
	pthread_mutex_unlock(&w->lock);
	return n;
}

/* What is watched, for one question to Postgres.  With the lock; *ret_n 0 when
 * there is no memory: the next tick asks. */
static struct job_version *
list_watched(struct watches *w, size_t *ret_n)
{
	struct job_version *list = w->n ? mem_alloc(w->n * sizeof *list) : NULL;
	size_t n = 0;

	for (size_t b = 0; list && b < BUCKETS; b++)
		for (struct watch *it = w->buckets[b]; it; it = it->next) {
			if (it->what == WATCH_KEYS || it->what == WATCH_INPUTS)
				continue;
			list[n++] = (struct job_version){ .owner = it->owner, .job = it->job };
			it->asked = true;
		}
	if (n == 0) {
		mem_free(list);
		list = NULL;
	}
	*ret_n = n;
	return list;
}

static int
by_job(const void *a, const void *b)
{
	const struct job_version *x = a, *y = b;

	return memcmp(x->job.b, y->job.b, sizeof x->job.b);
}

static bool
has_news(const struct watch *watch, const struct job_version *now, size_t n)
{
	const struct job_version key = { .job = watch->job };
	const struct job_version *found = bsearch(&key, now, n, sizeof *now, by_job);

	return watch_satisfied(watch->what, watch->seen, found);
}

/* Ask about everybody, without the lock, and fire where there is news. */
static void
ask(struct watches *w)
{
	struct job_version *list;
	struct err err = ERR_INIT;
	size_t n, found = 0;
	enum err_code rc;

	list = list_watched(w, &n);
	if (!list)
		return;
	pthread_mutex_unlock(&w->lock);
	rc = jobs_versions(w->db, list, n, &found, &err);
	if (rc)
		log_event(LOG_WARN, "watch.ask_failed", KV_STR("error", err.text));
	else
		qsort(list, found, sizeof *list, by_job);
	pthread_mutex_lock(&w->lock);
	/* One that was added meanwhile was not asked about: the next tick's. */
	if (!rc)
		FIRE_WHERE(w, it->asked && has_news(it, list, found), WATCH_CAME);
	mem_free(list);
}

/* Tell the fired ones, without the lock. */
static void
tell(struct watches *w)
{
	struct watch *fired = w->fired;

	w->fired = NULL;
	pthread_mutex_unlock(&w->lock);
	while (fired) {
		struct watch *next = fired->next;

		w->fn(w->ctx, fired->token, fired->news);
		mem_free(fired);
		fired = next;
	}
	pthread_mutex_lock(&w->lock);
}

static void
sleep_until(struct watches *w, int64_t until_us)
{
	struct timespec until = {
		.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000,
	};

	if (w->n == 0)
		pthread_cond_wait(&w->wake, &w->lock);
	else
		pthread_cond_timedwait(&w->wake, &w->lock, &until);
}

static void *
run(void *arg)
{
	struct watches *w = arg;
	int64_t next_us = 0;

	pthread_mutex_lock(&w->lock);
	while (!w->ending || w->fired) {
		int64_t now_us = clock_mono_us();

		if (w->fired) {
			tell(w);
		} else if (w->stopping && w->n > 0) {
			FIRE_WHERE(w, it != NULL, WATCH_STOPPING);
		} else if (w->n > 0 && now_us >= next_us) {
			FIRE_WHERE(w, it->until_us <= now_us, WATCH_TIMEOUT);
			ask(w);
			next_us = clock_mono_us() + TICK_MS * 1000;
		} else {
			sleep_until(w, next_us);
		}
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

enum err_code
watches_new(struct db *db, watch_fn *fn, void *ctx, struct watches **ret, struct err *err)
{
	struct watches *w = mem_calloc(1, sizeof *w);
	pthread_condattr_t attr;

	if (!w)
		return err_set(err, ERR_NOMEM, "watches");
	w->db = db;
	w->fn = fn;
	w->ctx = ctx;
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->wake, &attr);
	pthread_condattr_destroy(&attr);
	if (pthread_create(&w->thread, NULL, run, w)) {
		pthread_cond_destroy(&w->wake);
		pthread_mutex_destroy(&w->lock);
		mem_free(w);
		return err_set(err, ERR_NOMEM, "watch thread");
	}
	*ret = w;
	return ERR_OK;
}

void
watches_stop(struct watches *w)
{
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
}

void
watches_free(struct watches **watches)
{
	struct watches *w = *watches;

	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stopping = w->ending = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	for (size_t b = 0; b < BUCKETS; b++)
		for (struct watch *it = w->buckets[b], *next; it; it = next) {
			next = it->next;
			mem_free(it);
		}
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	mem_free(w);
	*watches = NULL;
}
