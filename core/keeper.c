#include "config.h"

#include "core/keeper.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/clock.h"
#include "core/auth.h"
#include "core/keys.h"
#include "core/watch.h"

#define LOOK_PAUSE_US 1000000	/* between two looks, whoever wants one */
#define NOBODY_MS 60000		/* while nobody comes with a token */

struct keeper {
	struct current *current;
	pthread_t thread;
	atomic_uint looks;		/* each request asks for it */
	pthread_mutex_t lock;		/* guards all below */
	pthread_cond_t wake;
	int64_t looked_us;		/* when the last one ended; 0: never */
	bool wanted, looking, stopping;
};

unsigned
keeper_looks(struct keeper *k)
{
	return k ? atomic_load(&k->looks) : 0;
}

bool
keeper_want(struct keeper *k)
{
	bool ret;

	if (!k)
		return false;
	pthread_mutex_lock(&k->lock);
	if (!k->looking && !k->stopping &&
	    (!k->looked_us || clock_mono_us() - k->looked_us >= LOOK_PAUSE_US)) {
		k->wanted = true;
		pthread_cond_signal(&k->wake);
	}
	ret = k->wanted || k->looking;
	pthread_mutex_unlock(&k->lock);
	return ret;
}

static struct timespec
in_ms(uint64_t ms)
{
	int64_t until_us = clock_mono_us() + (int64_t)ms * 1000;

	return (struct timespec){ .tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000 };
}

bool
keeper_pause(struct keeper *k, uint64_t ms)
{
	const struct timespec until = in_ms(ms);
	bool stopping;

	if (!k)
		return nanosleep(&(struct timespec){ .tv_sec = (time_t)(ms / 1000),
			.tv_nsec = (long)(ms % 1000 * 1000000) }, NULL) == 0;
	pthread_mutex_lock(&k->lock);
	while (!k->stopping && pthread_cond_timedwait(&k->wake, &k->lock, &until) == 0)
		;
	stopping = k->stopping;
	pthread_mutex_unlock(&k->lock);
	return !stopping;
}

/* For how long nobody has to look, unless somebody wants it. */
static uint64_t
rest_ms(struct keeper *k)
{
	struct service *svc = service_pin(k->current);
	uint64_t ms = svc->auth ? keys_rest_ms(auth_keys(svc->auth), keeper_looks(k) > 0) : NOBODY_MS;

	service_unpin(&svc);
	return ms;
}

static void
look(struct keeper *k, bool anew)
{
	struct service *svc = service_pin(k->current);

	if (svc->auth)
		keys_look(auth_keys(svc->auth), svc, anew);
	pthread_mutex_lock(&k->lock);
	k->looking = false;
	atomic_fetch_add(&k->looks, 1);
	k->looked_us = clock_mono_us();
	pthread_mutex_unlock(&k->lock);
	watches_poke_keys(svc->watches);
	service_unpin(&svc);
}

/* false: we are stopping. */
static bool
sleep_until_due(struct keeper *k, bool *ret_anew)
{
	const struct timespec until = in_ms(rest_ms(k));
	int rc = 0;
	bool stopping;

	pthread_mutex_lock(&k->lock);
	while (!k->stopping && !k->wanted && rc == 0)
		rc = pthread_cond_timedwait(&k->wake, &k->lock, &until);
	*ret_anew = k->wanted;
	k->wanted = false;
	k->looking = true;
	stopping = k->stopping;
	pthread_mutex_unlock(&k->lock);
	return !stopping;
}

static void *
run(void *arg)
{
	struct keeper *k = arg;
	bool anew;

	while (sleep_until_due(k, &anew))
		look(k, anew);
	return NULL;
}

enum err_code
keeper_start(struct service *svc, struct err *err)
{
	pthread_condattr_t attr;
	struct keeper *k;

	if (!svc->auth)
		return ERR_OK;
	k = mem_calloc(1, sizeof *k);
	if (!k)
		return err_set(err, ERR_NOMEM, "keeper of keys");
	k->current = svc->current;
	pthread_mutex_init(&k->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&k->wake, &attr);
	pthread_condattr_destroy(&attr);
	svc->keeper = k;
	if (pthread_create(&k->thread, NULL, run, k)) {
		pthread_cond_destroy(&k->wake);
		pthread_mutex_destroy(&k->lock);
		mem_free(k);
		svc->keeper = NULL;
		return err_set(err, ERR_NOMEM, "keeper thread");
	}
	return ERR_OK;
}

void
keeper_stop(struct service *svc)
{
	struct keeper *k = svc->keeper;

	if (!k)
		return;
	pthread_mutex_lock(&k->lock);
	k->stopping = true;
	pthread_cond_broadcast(&k->wake);
	pthread_mutex_unlock(&k->lock);
	pthread_join(k->thread, NULL);
	pthread_cond_destroy(&k->wake);
	pthread_mutex_destroy(&k->lock);
	mem_free(k);
	svc->keeper = NULL;
}
