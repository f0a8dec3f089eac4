#include "config.h"

#include "core/sign.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/files.h"
#include "core/watch.h"
#include "db/assets.h"

#define QUEUE_MAX 1024		/* jobs; what does not fit comes with its next read */
#define URL_MAX_BYTES 16384

struct wanted {
	struct uuid owner, job;
};

struct signer {
	struct current *current;
	pthread_t thread;
	pthread_mutex_t lock;		/* guards all below */
	pthread_cond_t work;
	struct wanted queue[QUEUE_MAX];	/* the first may be worked on already */
	size_t first, n;
	bool stopping;
};

bool
service_signs(const struct service *svc)
{
	return svc->settings->outputs == OUTPUTS_PRIVATE;
}

bool
sign_is_due(const struct service *svc, int64_t until_us)
{
	return until_us - clock_wall_us() < (int64_t)svc->settings->signed_url_life_ms * 1000 / 4;
}

/* By the storage, or by ourselves. */
static enum err_code
sign(struct service *svc, enum storage_area area, const char *key, uint64_t life_s,
	struct buf *out, struct err *err)
{
	enum err_code rc;

	if (svc->storage->sign)
		return svc->storage->sign(svc->storage_settings, svc->http, area, key, life_s, out, err);
	rc = svc->storage->look(svc->storage_settings, svc->http, area, key, err);
	return rc ? rc : files_link(svc, area, key, clock_wall_us() / 1000000 + (int64_t)life_s, out, err);
}

enum err_code
sign_key(struct service *svc, const char *key, struct buf *out, int64_t *ret_until_us, struct err *err)
{
	uint64_t life_s = svc->settings->signed_url_life_ms / 1000;
	int64_t from_us = clock_wall_us();	/* before: it is not good for longer than we say */
	enum err_code rc = sign(svc, STORAGE_OUTPUTS, key, life_s, out, err);

	if (!rc)
		*ret_until_us = from_us + (int64_t)life_s * 1000000;
	/* One that was kept does not go by itself: not a reason to lose it. */
	return rc == ERR_NOT_FOUND ? ERR_UPSTREAM : rc;
}

enum err_code
sign_input(struct service *svc, const char *key, uint64_t life_s, struct buf *out, struct err *err)
{
	if (!svc->storage->takes_inputs(svc->storage_settings))
		return err_set(err, ERR_CONFIG, "no place for inputs is configured any more");
	return sign(svc, STORAGE_INPUTS, key, life_s, out, err);
}

static enum err_code
sign_anew(struct service *svc, const struct uuid *owner, const struct uuid *job,
	const struct kept_asset *asset, struct err *err)
{
	struct buf url = BUF_INIT(URL_MAX_BYTES);
	int64_t until_us = 0;
	enum err_code rc = sign_key(svc, asset->key, &url, &until_us, err);

	if (!rc)
		rc = assets_signed(svc->db, owner, job, asset, buf_str(&url), until_us, err);
	buf_clear(&url);
	return rc;
}

enum err_code
sign_job(struct service *svc, const struct uuid *owner, const struct uuid *job, struct err *err)
{
	struct kept_asset *assets = NULL;
	size_t n = 0;
	enum err_code rc = assets_kept(svc->db, owner, job, &assets, &n, err);

	for (size_t i = 0; !rc && i < n; i++)
		if (sign_is_due(svc, assets[i].signed_until_us))
			rc = sign_anew(svc, owner, job, &assets[i], err);
	kept_assets_free(&assets, n);
	/* Also when it failed: who waits is told so. */
	watches_poke(svc->watches, owner, job, GEN_SETTLED);
	return rc;
}

static bool
next(struct signer *s, struct wanted *ret)
{
	bool stopping;

	pthread_mutex_lock(&s->lock);
	while (s->n == 0 && !s->stopping)
		pthread_cond_wait(&s->work, &s->lock);
	stopping = s->stopping;
	if (!stopping)
		*ret = s->queue[s->first];
	pthread_mutex_unlock(&s->lock);
	return !stopping;
}

/* Only now: a hint that comes meanwhile is about the same. */
static void
done(struct signer *s)
{
	pthread_mutex_lock(&s->lock);
	s->first = (s->first + 1) % QUEUE_MAX;
	s->n--;
	pthread_mutex_unlock(&s->lock);
}

static void *
run(void *arg)
{
	struct signer *s = arg;
	struct wanted wanted;

	while (next(s, &wanted)) {
		struct service *svc = service_pin(s->current);
		struct err err = ERR_INIT;
		char id[UUID_TEXT_SIZE];

		json_begin();
		if (sign_job(svc, &wanted.owner, &wanted.job, &err)) {
			uuid_format(&wanted.job, id);
			log_event(LOG_WARN, "sign.failed", KV_STR("job", id), KV_STR("error", err.text));
		}
		service_unpin(&svc);
		done(s);
	}
	return NULL;
}

static bool
is_queued(const struct signer *s, const struct wanted *wanted)
{
	for (size_t i = 0; i < s->n; i++)
		if (memcmp(&s->queue[(s->first + i) % QUEUE_MAX], wanted, sizeof *wanted) == 0)
			return true;
	return false;
}

void
signer_hint(struct signer *s, const struct uuid *owner, const struct uuid *job)
{
	const struct wanted wanted = { *owner, *job };

	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	if (s->n < QUEUE_MAX && !is_queued(s, &wanted)) {
		s->queue[(s->first + s->n++) % QUEUE_MAX] = wanted;
		pthread_cond_signal(&s->work);
	}
	pthread_mutex_unlock(&s->lock);
}

enum err_code
signer_start(struct service *svc, struct err *err)
{
	struct signer *s;

	if (!service_signs(svc))
		return ERR_OK;
	s = mem_calloc(1, sizeof *s);
	if (!s)
		return err_set(err, ERR_NOMEM, "signer");
	s->current = svc->current;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->work, NULL);
	if (pthread_create(&s->thread, NULL, run, s)) {
		pthread_cond_destroy(&s->work);
		pthread_mutex_destroy(&s->lock);
		mem_free(s);
		return err_set(err, ERR_NOMEM, "signer thread");
	}
	svc->signer = s;
	return ERR_OK;
}

void
signer_stop(struct service *svc)
{
	struct signer *s = svc->signer;

	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	pthread_cond_destroy(&s->work);
	pthread_mutex_destroy(&s->lock);
	mem_free(s);
	svc->signer = NULL;
}
