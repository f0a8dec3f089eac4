#include "config.h"

#include "core/secret.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/step.h"
#include "core/workers.h"
#include "db/shared.h"

#define REFETCH_MS (5 * 60 * 1000)
#define MISSING_PAUSE_MS 15000		/* after a fetch that failed */
#define DOUBT_PAUSE_MS 10000		/* between two looks at what others have fetched */
#define SEALED_MAX 1024

static const char purpose[] = "webhook-secret";

struct secrets {
	pthread_mutex_t lock;		/* guards all below; never held in HTTP or SQL */
	struct buf value;		/* of the provider in use; len 0: not known */
	bool doubted;
	int64_t next_us;		/* not looked for before */
};

enum err_code
secrets_new(struct secrets **ret, struct err *err)
{
	struct secrets *s = mem_calloc(1, sizeof *s);

	if (!s)
		return err_set(err, ERR_NOMEM, "secrets");
	pthread_mutex_init(&s->lock, NULL);
	s->value = (struct buf)BUF_INIT(TOKEN_MAX_PLAIN + 1);
	*ret = s;
	return ERR_OK;
}

void
secrets_free(struct secrets **secrets)
{
	struct secrets *s = *secrets;

	if (!s)
		return;
	buf_wipe(&s->value);
	pthread_mutex_destroy(&s->lock);
	mem_free(s);
	*secrets = NULL;
}

enum err_code
secrets_inherit(struct service *svc, const struct service *before, struct err *err)
{
	struct secrets *s = svc->secrets;

	if (strcmp(svc->settings->provider, before->settings->provider) != 0)
		return ERR_OK;
	pthread_mutex_lock(&before->secrets->lock);
	buf_put(&s->value, buf_str(&before->secrets->value), before->secrets->value.len);
	pthread_mutex_unlock(&before->secrets->lock);
	s->doubted = s->value.len > 0;
	return s->value.err ? err_set(err, s->value.err, "webhook secret") : ERR_OK;
}

/* Only the provider in use has its token for sure. */
static bool
is_fetched(const struct service *svc, const struct provider *p, const void *settings)
{
	return (p->caps & PROVIDER_SECRET) && !p->webhook_ready(settings) &&
		strcmp(p->name, svc->settings->provider) == 0;
}

static bool
is_known(struct secrets *s)
{
	bool known;

	pthread_mutex_lock(&s->lock);
	known = s->value.len > 0;
	pthread_mutex_unlock(&s->lock);
	return known;
}

bool
secret_is_ready(const struct service *svc, const struct provider *p, const void *settings)
{
	return p->webhook_ready(settings) || (is_fetched(svc, p, settings) && is_known(svc->secrets));
}

static void
copy_known(struct secrets *s, struct buf *out)
{
	pthread_mutex_lock(&s->lock);
	buf_put(out, buf_str(&s->value), s->value.len);
	pthread_mutex_unlock(&s->lock);
}

/* true: it is another than we had. */
static bool
adopt(struct secrets *s, const struct buf *secret)
{
	bool differs;

	pthread_mutex_lock(&s->lock);
	differs = s->value.len != secret->len || memcmp(buf_str(&s->value), buf_str(secret), secret->len) != 0;
	if (differs) {
		buf_wipe(&s->value);
		s->value = (struct buf)BUF_INIT(TOKEN_MAX_PLAIN + 1);
		buf_put(&s->value, buf_str(secret), secret->len);
		s->doubted = false;
	}
	pthread_mutex_unlock(&s->lock);
	return differs;
}

static void
put_name(struct buf *name, const struct provider *p)
{
	buf_printf(name, "%s:%s", purpose, p->name);
}

/* What some process has fetched.  ERR_NOT_FOUND: none has, or with another
 * secret_key. */
static enum err_code
load(struct service *svc, const struct provider *p, struct buf *out, uint64_t *ret_age_ms,
	struct err *err)
{
	struct buf name = BUF_INIT(200), sealed = BUF_INIT(SEALED_MAX);
	char *plain;
	size_t n = 0;
	enum err_code rc;

	put_name(&name, p);
	rc = name.err ? err_set(err, name.err, "webhook secret")
		: shared_get(svc->db, buf_str(&name), &sealed, ret_age_ms, err);
	if (!rc && !(plain = buf_reserve(out, TOKEN_MAX_PLAIN)))
		rc = err_set(err, out->err, "webhook secret");
	if (!rc)
		rc = token_open(svc->keys, purpose, buf_str(&sealed), sealed.len, plain, &n, err);
	if (!rc) {
		out->len = n;
		out->p[n] = '\0';
	} else if (rc == ERR_INVALID) {
		rc = ERR_NOT_FOUND;
	}
	buf_clear(&name);
	buf_clear(&sealed);
	return rc;
}

/* For the others; without it each fetches its own. */
static void
share(struct service *svc, const struct provider *p, const struct buf *secret)
{
	struct buf name = BUF_INIT(200), sealed = BUF_INIT(SEALED_MAX);
	struct err err = ERR_INIT;
	enum err_code rc;

	put_name(&name, p);
	rc = token_seal(svc->keys, purpose, buf_str(secret), secret->len, &sealed, &err);
	if (!rc)
		rc = name.err ? name.err : shared_put(svc->db, buf_str(&name), buf_str(&sealed), &err);
	if (rc)
		log_event(LOG_WARN, "webhook_secret.not_shared", KV_STR("provider", p->name), KV_STR("error", err.text));
	buf_clear(&name);
	buf_clear(&sealed);
}

static enum err_code
fetch(struct service *svc, const struct provider *p, const void *settings, struct buf *out,
	struct err *err)
{
	struct http_request rq = HTTP_REQUEST_INIT;
	struct http_response rs = HTTP_RESPONSE_INIT;
	enum err_code rc = p->secret.request(settings, &rq, err);

	if (!rc)
		rc = step_perform(svc, p, "secret", &rq, &rs, err);
	if (!rc)
		rc = p->secret.reply(settings, &rs, out, err);
	buf_wipe(&rs.body);
	http_request_clear(&rq);
	http_response_clear(&rs);
	return rc;
}

enum err_code
secret_get(struct service *svc, const struct provider *p, const void *settings, struct buf *out,
	struct err *err)
{
	uint64_t age_ms;
	enum err_code rc = ERR_OK;

	if (!is_fetched(svc, p, settings))
		return ERR_OK;
	copy_known(svc->secrets, out);
	if (!out->err && out->len == 0) {
		rc = load(svc, p, out, &age_ms, err);
		if (!rc)
			adopt(svc->secrets, out);
	}
	if (!rc && out->err)
		rc = err_set(err, out->err, "webhook secret");
	if (rc == ERR_NOT_FOUND) {
		workers_hint_removal(svc->workers);
		rc = err_set(err, ERR_PROVIDER_UNAVAILABLE, "the secret of %s's webhooks is not known yet", p->name);
	}
	return rc;
}

void
secret_doubt(struct service *svc, const struct provider *p)
{
	const void *settings;

	if (!service_provider(svc, p->name, &settings) || !is_fetched(svc, p, settings))
		return;
	pthread_mutex_lock(&svc->secrets->lock);
	svc->secrets->doubted = true;
	pthread_mutex_unlock(&svc->secrets->lock);
}

/* Is it time to look for it?  The next time is later. */
static bool
is_due(struct secrets *s)
{
	int64_t now_us = clock_mono_us();
	bool due;

	pthread_mutex_lock(&s->lock);
	due = (s->value.len == 0 || s->doubted) && now_us >= s->next_us;
	if (due)
		s->next_us = now_us + (s->value.len ? DOUBT_PAUSE_MS : MISSING_PAUSE_MS) * 1000LL;
	pthread_mutex_unlock(&s->lock);
	return due;
}

/* After a fetch, whatever came of it. */
static void
settle(struct secrets *s, bool fetched)
{
	pthread_mutex_lock(&s->lock);
	if (s->value.len > 0) {
		s->next_us = clock_mono_us() + REFETCH_MS * 1000LL;
		s->doubted = s->doubted && !fetched;
	}
	pthread_mutex_unlock(&s->lock);
}

static void
renew(struct service *svc, const struct provider *p, const void *settings, struct err *err)
{
	struct buf secret = BUF_INIT(TOKEN_MAX_PLAIN + 1);
	uint64_t age_ms = 0;
	const char *road = "shared";
	enum err_code rc = load(svc, p, &secret, &age_ms, err);
	bool news = !rc && adopt(svc->secrets, &secret);

	if (rc == ERR_NOT_FOUND || (!rc && !news && age_ms >= REFETCH_MS)) {
		buf_wipe(&secret);
		secret = (struct buf)BUF_INIT(TOKEN_MAX_PLAIN + 1);
		road = "fetched";
		rc = fetch(svc, p, settings, &secret, err);
		if (!rc) {
			news = adopt(svc->secrets, &secret);
			share(svc, p, &secret);
		}
		settle(svc->secrets, !rc);
	}
	if (rc)
		log_event(LOG_WARN, "webhook_secret.failed", KV_STR("provider", p->name), KV_STR("error", err->text));
	else if (news)
		log_event(LOG_INFO, "webhook_secret.known", KV_STR("provider", p->name), KV_STR("road", road));
	buf_wipe(&secret);
}

void
secret_step(struct service *svc)
{
	const void *settings;
	const struct provider *p = service_provider(svc, svc->settings->provider, &settings);
	struct err err = ERR_INIT;

	if (p && is_fetched(svc, p, settings) && is_due(svc->secrets))
		renew(svc, p, settings, &err);
}
