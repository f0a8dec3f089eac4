#include "config.h"

#include "core/keys.h"

#include <pthread.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "core/service.h"
#include "core/watch.h"
#include "db/shared.h"
#include "storage/supabase.h"

#define FETCH_TIMEOUT_MS 5000
#define SET_MAX_BYTES 262144
#define CLAIM_PAUSE_MS 30000	/* between two fetches, whoever asks */
#define MISSING_PAUSE_MS 5000	/* the same while there are no keys at all */
#define LOOK_PAUSE_MS 1000	/* between two looks of this process */
#define OTHERS_TICK_MS 100	/* how often we look whether another process is done */
#define RETRY_US 30000000LL	/* after a look that brought nothing */

struct keys {
	struct keys_settings settings;
	struct service *svc;
	void (*changed)(void *ctx);
	void *ctx;
	pthread_t thread;
	bool has_thread;

	pthread_mutex_t lock;		/* guards all below; never held in HTTP, SQL or changed() */
	pthread_cond_t wake;
	struct jwks *set;		/* NULL: never known */
	uint8_t digest[SHA256_BYTES];	/* of its text */
	int64_t fetched_us;		/* monotonic; by whichever process */
	unsigned looks;
	int64_t looked_us;		/* when the last one ended; 0: never */
	bool wanted, looking, stopping;
};

enum err_code
keys_new(const struct keys_settings *settings, struct service *svc, void (*changed)(void *ctx),
	void *ctx, struct keys **ret, struct err *err)
{
	struct keys *k = mem_calloc(1, sizeof *k);
	pthread_condattr_t attr;

	if (!k)
		return err_set(err, ERR_NOMEM, "keys");
	k->settings = *settings;
	k->svc = svc;
	k->changed = changed;
	k->ctx = ctx;
	pthread_mutex_init(&k->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&k->wake, &attr);
	pthread_condattr_destroy(&attr);
	*ret = k;
	return ERR_OK;
}

void
keys_free(struct keys **keys)
{
	struct keys *k = *keys;

	if (!k)
		return;
	jwks_unref(&k->set);
	pthread_cond_destroy(&k->wake);
	pthread_mutex_destroy(&k->lock);
	mem_free(k);
	*keys = NULL;
}

/* With the lock: how old the keys are. */
static int64_t
age_ms(const struct keys *k)
{
	return k->set ? (clock_mono_us() - k->fetched_us) / 1000 : INT64_MAX;
}

struct jwks *
keys_get(struct keys *k)
{
	struct jwks *set = NULL;

	pthread_mutex_lock(&k->lock);
	if (age_ms(k) < (int64_t)k->settings.stale_ms)
		set = jwks_ref(k->set);
	pthread_mutex_unlock(&k->lock);
	return set;
}

unsigned
keys_looks(struct keys *k)
{
	unsigned looks;

	pthread_mutex_lock(&k->lock);
	looks = k->looks;
	pthread_mutex_unlock(&k->lock);
	return looks;
}

bool
keys_want(struct keys *k)
{
	bool ret;

	pthread_mutex_lock(&k->lock);
	if (k->has_thread && !k->looking && !k->stopping &&
	    (!k->looked_us || clock_mono_us() - k->looked_us >= LOOK_PAUSE_MS * 1000LL)) {
		k->wanted = true;
		pthread_cond_signal(&k->wake);
	}
	ret = k->wanted || k->looking;
	pthread_mutex_unlock(&k->lock);
	return ret;
}

/* ---- looking ---- */

/* Until woken by a stop; false: we are stopping. */
static bool
pause_ms(struct keys *k, int64_t ms)
{
	int64_t until_us = clock_mono_us() + ms * 1000;
	struct timespec until = {
		.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000,
	};
	bool stopping;

	pthread_mutex_lock(&k->lock);
	while (!k->stopping && pthread_cond_timedwait(&k->wake, &k->lock, &until) == 0)
		;
	stopping = k->stopping;
	pthread_mutex_unlock(&k->lock);
	return !stopping;
}

static void
say_known(const struct jwks *set, const char *road)
{
	struct buf text = BUF_INIT(65536);

	jwks_describe(set, &text);
	log_event(LOG_INFO, "keys.known", KV_STR("road", road), KV_INT("count", (int64_t)jwks_count(set)),
		KV_STR("keys", buf_str(&text)));
	buf_clear(&text);
}

/* Use them from now on, unless ours are younger.  *set is stolen. */
static void
adopt(struct keys *k, struct jwks **set, const struct buf *text, int64_t fetched_us, const char *road)
{
	uint8_t digest[SHA256_BYTES];
	bool differs = false, younger;

	if (sha256(buf_str(text), text->len, digest, NULL)) {
		jwks_unref(set);
		return;
	}
	pthread_mutex_lock(&k->lock);
	younger = !k->set || fetched_us > k->fetched_us;
	if (younger) {
		struct jwks *old = k->set;

		differs = !old || memcmp(k->digest, digest, sizeof digest) != 0;
		memcpy(k->digest, digest, sizeof digest);
		k->fetched_us = fetched_us;
		k->set = jwks_ref(*set);
		jwks_unref(&old);
	}
	pthread_mutex_unlock(&k->lock);
	if (differs) {
		k->changed(k->ctx);
		say_known(*set, road);
	}
	jwks_unref(set);
}

/* What the processes share: the text, and a row that says when somebody began to
 * fetch it, or that this failed.  Another address is another set. */
static const char failed[] = "failed";

static void
put_name(const struct keys *k, const char *what, struct buf *out)
{
	buf_printf(out, "%s:%s", what, k->settings.url);
}

static enum err_code
shared_age(struct keys *k, const char *what, struct buf *out, int64_t *ret_age_ms, struct err *err)
{
	struct buf name = BUF_INIT(2048);
	uint64_t age = 0;
	enum err_code rc;

	put_name(k, what, &name);
	rc = name.err ? err_set(err, name.err, "keys") : shared_get(k->svc->db, buf_str(&name), out, &age, err);
	buf_clear(&name);
	if (!rc)
		*ret_age_ms = age > INT64_MAX / 2000 ? INT64_MAX / 2000 : (int64_t)age;
	return rc;
}

/* What some process has fetched, into use.  ERR_NOT_FOUND: none has. */
static enum err_code
load(struct keys *k, struct err *err)
{
	struct buf text = BUF_INIT(SET_MAX_BYTES);
	struct jwks *set = NULL;
	int64_t age = 0, now_us = clock_mono_us();
	enum err_code rc = shared_age(k, "jwks", &text, &age, err);

	if (!rc)
		rc = jwks_parse(buf_str(&text), text.len, &set, err);
	if (!rc)
		adopt(k, &set, &text, now_us - age * 1000, "shared");
	buf_clear(&text);
	return rc;
}

static void
share(struct keys *k, const char *what, const char *text)
{
	struct buf name = BUF_INIT(2048);
	struct err err = ERR_INIT;
	enum err_code rc;

	put_name(k, what, &name);
	rc = name.err ? err_set(&err, name.err, "keys") : shared_put(k->svc->db, buf_str(&name), text, &err);
	if (rc)
		log_event(LOG_WARN, "keys.not_shared", KV_STR("error", err.text));
	buf_clear(&name);
}

enum err_code
keys_fetch(struct keys *k, struct buf *out, struct jwks **ret, struct err *err)
{
	struct http_request rq = HTTP_REQUEST_INIT;
	struct http_response rs = HTTP_RESPONSE_INIT;
	enum err_code rc = http_request_set_url(&rq, k->settings.url);

	rq.timeout_ms = rq.connect_timeout_ms = FETCH_TIMEOUT_MS;
	rq.max_response_bytes = SET_MAX_BYTES - 1;
	if (!rc && k->settings.project)
		rc = supabase_add_key(k->settings.project, &rq);
	if (rc)
		rc = err_set(err, rc, "the request for %s", k->settings.url);
	else
		rc = http_perform(k->svc->http, &rq, &rs, err);
	if (!rc && rs.status != 200)
		rc = err_set(err, ERR_UPSTREAM, "GET %s: HTTP %ld", k->settings.url, rs.status);
	if (!rc)
		rc = jwks_parse(buf_str(&rs.body), rs.body.len, ret, err);
	if (!rc)
		buf_put(out, buf_str(&rs.body), rs.body.len);
	if (!rc && out->err) {
		jwks_unref(ret);
		rc = err_set(err, out->err, "keys");
	}
	metric_add(METRIC_JWKS_FETCHES, 1, rc ? "failed" : "ok");
	http_request_clear(&rq);
	http_response_clear(&rs);
	return rc;
}

static enum err_code
fetch(struct keys *k, struct err *err)
{
	struct buf text = BUF_INIT(SET_MAX_BYTES);
	struct jwks *set = NULL;
	int64_t now_us = clock_mono_us();	/* before: they are not younger than we say */
	enum err_code rc = keys_fetch(k, &text, &set, err);

	if (!rc) {
		adopt(k, &set, &text, now_us, "fetched");
		share(k, "jwks", buf_str(&text));
	} else {	/* nobody has to wait for it */
		share(k, "jwks-fetch", failed);
	}
	buf_clear(&text);
	return rc;
}

static int64_t
our_age_ms(struct keys *k)
{
	int64_t age;

	pthread_mutex_lock(&k->lock);
	age = age_ms(k);
	pthread_mutex_unlock(&k->lock);
	return age;
}

/* Another process has begun to fetch: wait for what it brings, for as long as its
 * fetch may take. */
static enum err_code
wait_for_others(struct keys *k, struct err *err)
{
	struct buf state = BUF_INIT(64);
	int64_t begun_ms = 0;
	enum err_code rc = ERR_OK;

	while (!rc && begun_ms < FETCH_TIMEOUT_MS) {
		buf_reset(&state);
		rc = shared_age(k, "jwks-fetch", &state, &begun_ms, err);
		if (!rc && (rc = load(k, err)) == ERR_NOT_FOUND)
			rc = ERR_OK;
		if (rc || strcmp(buf_str(&state), failed) == 0 || our_age_ms(k) <= begun_ms ||
		    !pause_ms(k, OTHERS_TICK_MS))
			break;
	}
	buf_clear(&state);
	return rc;
}

static enum err_code
fetch_once(struct keys *k, struct err *err)
{
	bool usable = our_age_ms(k) < (int64_t)k->settings.stale_ms;
	struct buf name = BUF_INIT(2048);
	enum err_code rc;

	put_name(k, "jwks-fetch", &name);
	rc = name.err ? err_set(err, name.err, "keys") : shared_claim(k->svc->db, buf_str(&name),
		usable ? CLAIM_PAUSE_MS : MISSING_PAUSE_MS, err);
	buf_clear(&name);
	if (rc == ERR_LOST_RACE)
		return wait_for_others(k, err);
	return rc ? rc : fetch(k, err);
}

void
keys_look(struct keys *k, bool anew)
{
	struct err err = ERR_INIT;
	enum err_code rc = load(k, &err);

	/* A text in the database that is none is fetched anew. */
	if ((!rc || rc == ERR_NOT_FOUND || rc == ERR_INVALID) &&
	    (anew || our_age_ms(k) >= (int64_t)k->settings.life_ms))
		rc = fetch_once(k, &err);
	if (rc)
		log_event(LOG_WARN, "keys.failed", KV_STR("error", err.text));
}

/* ---- the thread ---- */

/* With the lock: sleep until it is wanted or due. */
static void
wait_until_due(struct keys *k)
{
	int64_t life_us = (int64_t)k->settings.life_ms * 1000;

	while (!k->stopping && !k->wanted) {
		int64_t due_us = k->set ? k->fetched_us + life_us : 0;
		int64_t again_us = k->looked_us ? k->looked_us + (life_us < RETRY_US ? life_us : RETRY_US) : 0;
		int64_t until_us = due_us > again_us ? due_us : again_us;
		struct timespec until = {
			.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000,
		};

		if (clock_mono_us() >= until_us)
			return;
		pthread_cond_timedwait(&k->wake, &k->lock, &until);
	}
}

static void *
run(void *arg)
{
	struct keys *k = arg;

	pthread_mutex_lock(&k->lock);
	for (;;) {
		bool anew;

		wait_until_due(k);
		if (k->stopping)
			break;
		anew = k->wanted;
		k->wanted = false;
		k->looking = true;
		pthread_mutex_unlock(&k->lock);
		keys_look(k, anew);
		pthread_mutex_lock(&k->lock);
		k->looking = false;
		k->looks++;
		k->looked_us = clock_mono_us();
		pthread_mutex_unlock(&k->lock);
		watches_poke_keys(k->svc->watches);
		pthread_mutex_lock(&k->lock);
	}
	pthread_mutex_unlock(&k->lock);
	return NULL;
}

enum err_code
keys_start(struct keys *k, struct err *err)
{
	k->has_thread = pthread_create(&k->thread, NULL, run, k) == 0;
	return k->has_thread ? ERR_OK : err_set(err, ERR_NOMEM, "keys thread");
}

void
keys_stop(struct keys *k)
{
	pthread_mutex_lock(&k->lock);
	k->stopping = true;
	pthread_cond_broadcast(&k->wake);
	pthread_mutex_unlock(&k->lock);
	if (k->has_thread)
		pthread_join(k->thread, NULL);
	k->has_thread = false;
}
