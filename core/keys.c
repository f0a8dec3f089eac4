#include "config.h"

#include "core/keys.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "core/keeper.h"
#include "db/shared.h"
#include "storage/supabase.h"

#define FETCH_TIMEOUT_MS 5000
#define SET_MAX_BYTES 262144
#define CLAIM_PAUSE_MS 30000	/* between two fetches, whoever asks */
#define MISSING_PAUSE_MS 5000	/* the same while there are no keys at all */
#define OTHERS_TICK_MS 100	/* how often we look whether another process is done */
#define RETRY_MS 30000		/* after a look that brought nothing */

struct keys {
	struct keys_settings settings;
	void (*changed)(void *ctx);
	void *ctx;

	pthread_mutex_t lock;		/* guards all below; never held in HTTP, SQL or changed() */
	struct jwks *set;		/* NULL: never known */
	uint8_t digest[SHA256_BYTES];	/* of its text */
	int64_t fetched_us;		/* monotonic; by whichever process */
};

enum err_code
keys_new(const struct keys_settings *settings, void (*changed)(void *ctx), void *ctx, struct keys **ret,
	struct err *err)
{
	struct keys *k = mem_calloc(1, sizeof *k);

	if (!k)
		return err_set(err, ERR_NOMEM, "keys");
	k->settings = *settings;
	k->changed = changed;
	k->ctx = ctx;
	pthread_mutex_init(&k->lock, NULL);
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
	pthread_mutex_destroy(&k->lock);
	mem_free(k);
	*keys = NULL;
}

void
keys_inherit(struct keys *k, struct keys *before)
{
	if (strcmp(k->settings.url, before->settings.url) != 0)
		return;
	pthread_mutex_lock(&before->lock);
	k->set = before->set ? jwks_ref(before->set) : NULL;
	memcpy(k->digest, before->digest, sizeof k->digest);
	k->fetched_us = before->fetched_us;
	pthread_mutex_unlock(&before->lock);
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

static int64_t
our_age_ms(struct keys *k)
{
	int64_t age;

	pthread_mutex_lock(&k->lock);
	age = age_ms(k);
	pthread_mutex_unlock(&k->lock);
	return age;
}

uint64_t
keys_rest_ms(struct keys *k, bool looked)
{
	int64_t life = (int64_t)k->settings.life_ms, age = our_age_ms(k);

	if (age < life)
		return (uint64_t)(life - age);
	return looked ? (uint64_t)(life < RETRY_MS ? life : RETRY_MS) : 0;
}

/* ---- looking ---- */

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
shared_age(struct keys *k, struct service *svc, const char *what, struct buf *out, int64_t *ret_age_ms, struct err *err)
{
	struct buf name = BUF_INIT(2048);
	uint64_t age = 0;
	enum err_code rc;

	put_name(k, what, &name);
	rc = name.err ? err_set(err, name.err, "keys") : shared_get(svc->db, buf_str(&name), out, &age, err);
	buf_clear(&name);
	if (!rc)
		*ret_age_ms = age > INT64_MAX / 2000 ? INT64_MAX / 2000 : (int64_t)age;
	return rc;
}

/* What some process has fetched, into use.  ERR_NOT_FOUND: none has. */
static enum err_code
load(struct keys *k, struct service *svc, struct err *err)
{
	struct buf text = BUF_INIT(SET_MAX_BYTES);
	struct jwks *set = NULL;
	int64_t age = 0, now_us = clock_mono_us();
	enum err_code rc = shared_age(k, svc, "jwks", &text, &age, err);

	if (!rc)
		rc = jwks_parse(buf_str(&text), text.len, &set, err);
	if (!rc)
		adopt(k, &set, &text, now_us - age * 1000, "shared");
	buf_clear(&text);
	return rc;
}

static void
share(struct keys *k, struct service *svc, const char *what, const char *text)
{
	struct buf name = BUF_INIT(2048);
	struct err err = ERR_INIT;
	enum err_code rc;

	put_name(k, what, &name);
	rc = name.err ? err_set(&err, name.err, "keys") : shared_put(svc->db, buf_str(&name), text, &err);
	if (rc)
		log_event(LOG_WARN, "keys.not_shared", KV_STR("error", err.text));
	buf_clear(&name);
}

enum err_code
keys_fetch(struct keys *k, struct service *svc, struct buf *out, struct jwks **ret, struct err *err)
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
		rc = http_perform(svc->http, &rq, &rs, err);
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
fetch(struct keys *k, struct service *svc, struct err *err)
{
	struct buf text = BUF_INIT(SET_MAX_BYTES);
	struct jwks *set = NULL;
	int64_t now_us = clock_mono_us();	/* before: they are not younger than we say */
	enum err_code rc = keys_fetch(k, svc, &text, &set, err);

	if (!rc) {
		adopt(k, &set, &text, now_us, "fetched");
		share(k, svc, "jwks", buf_str(&text));
	} else {	/* nobody has to wait for it */
		share(k, svc, "jwks-fetch", failed);
	}
	buf_clear(&text);
	return rc;
}

/* Another process has begun to fetch: wait for what it brings, for as long as its
 * fetch may take. */
static enum err_code
wait_for_others(struct keys *k, struct service *svc, struct err *err)
{
	struct buf state = BUF_INIT(64);
	int64_t begun_ms = 0;
	enum err_code rc = ERR_OK;

	while (!rc && begun_ms < FETCH_TIMEOUT_MS) {
		buf_reset(&state);
		rc = shared_age(k, svc, "jwks-fetch", &state, &begun_ms, err);
		if (!rc && (rc = load(k, svc, err)) == ERR_NOT_FOUND)
			rc = ERR_OK;
		if (rc || strcmp(buf_str(&state), failed) == 0 || our_age_ms(k) <= begun_ms ||
		    !keeper_pause(svc->keeper, OTHERS_TICK_MS))
			break;
	}
	buf_clear(&state);
	return rc;
}

static enum err_code
fetch_once(struct keys *k, struct service *svc, struct err *err)
{
	bool usable = our_age_ms(k) < (int64_t)k->settings.stale_ms;
	struct buf name = BUF_INIT(2048);
	enum err_code rc;

	put_name(k, "jwks-fetch", &name);
	rc = name.err ? err_set(err, name.err, "keys") : shared_claim(svc->db, buf_str(&name),
		usable ? CLAIM_PAUSE_MS : MISSING_PAUSE_MS, err);
	buf_clear(&name);
	if (rc == ERR_LOST_RACE)
		return wait_for_others(k, svc, err);
	return rc ? rc : fetch(k, svc, err);
}

void
keys_look(struct keys *k, struct service *svc, bool anew)
{
	struct err err = ERR_INIT;
	enum err_code rc = load(k, svc, &err);

	/* A text in the database that is none is fetched anew. */
	if ((!rc || rc == ERR_NOT_FOUND || rc == ERR_INVALID) &&
	    (anew || our_age_ms(k) >= (int64_t)k->settings.life_ms))
		rc = fetch_once(k, svc, &err);
	if (rc)
		log_event(LOG_WARN, "keys.failed", KV_STR("error", err.text));
}
