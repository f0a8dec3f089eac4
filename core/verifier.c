#include "config.h"

#include "core/verifier.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/step.h"
#include "core/workers.h"
#include "db/shared.h"
#include "providers/adapter.h"

#define REFETCH_MS (5 * 60 * 1000)
#define MISSING_PAUSE_MS 15000		/* after a fetch that failed */
#define DOUBT_PAUSE_MS 10000		/* between two looks at what others have fetched */
#define SEALED_MAX (2 * VERIFIER_MAX)

static const char purpose[] = "webhook-verifier";

/* Of one provider. */
struct verifier {
	struct buf value;		/* len 0: not known */
	int64_t fetched_us;		/* by whichever process: clock_boot_us() */
	bool doubted;
	int64_t next_us;		/* not looked for before */
};

struct verifiers {
	pthread_mutex_t lock;		/* guards all below; never held in HTTP or SQL */
	struct verifier *each;		/* in the order of provider_at() */
};

static struct buf
empty_value(void)
{
	return (struct buf)BUF_INIT(VERIFIER_MAX);
}

enum err_code
verifiers_new(struct verifiers **ret, struct err *err)
{
	struct verifiers *v = mem_calloc(1, sizeof *v);

	if (v)
		v->each = mem_calloc(provider_count(), sizeof *v->each);
	if (!v || !v->each) {
		mem_free(v);
		return err_set(err, ERR_NOMEM, "verifiers");
	}
	pthread_mutex_init(&v->lock, NULL);
	for (size_t i = 0; i < provider_count(); i++)
		v->each[i].value = empty_value();
	*ret = v;
	return ERR_OK;
}

void
verifiers_free(struct verifiers **verifiers)
{
	struct verifiers *v = *verifiers;

	if (!v)
		return;
	for (size_t i = 0; i < provider_count(); i++)
		buf_wipe(&v->each[i].value);
	pthread_mutex_destroy(&v->lock);
	mem_free(v->each);
	mem_free(v);
	*verifiers = NULL;
}

enum err_code
verifiers_inherit(struct service *svc, const struct service *before, struct err *err)
{
	enum err_code rc = ERR_OK;

	pthread_mutex_lock(&before->verifiers->lock);
	for (size_t i = 0; i < provider_count(); i++) {
		const struct verifier *from = &before->verifiers->each[i];
		struct verifier *to = &svc->verifiers->each[i];

		buf_put(&to->value, buf_str(&from->value), from->value.len);
		to->fetched_us = from->fetched_us;
		to->doubted = to->value.len > 0;
		rc = rc ? rc : to->value.err;
	}
	pthread_mutex_unlock(&before->verifiers->lock);
	return rc ? err_set(err, rc, "verifiers") : ERR_OK;
}

static struct verifier *
verifier_of(const struct service *svc, const struct provider *p)
{
	size_t i = 0;

	while (provider_at(i) != p)
		i++;
	return &svc->verifiers->each[i];
}

/* By one whose credentials we have. */
static bool
is_fetched(const struct service *svc, const struct provider *p, const void *settings)
{
	return (p->caps & PROVIDER_VERIFIER) && !adapter_has_secret(settings) && service_may_use(svc, p);
}

/* With the lock held. */
static bool
is_older(const struct verifier *v, uint64_t age_ms)
{
	return age_ms && clock_boot_us() - v->fetched_us > (int64_t)age_ms * 1000;
}

/* With the lock held.  What has not been refetched for too long does not count. */
static bool
counts(const struct verifier *v, const struct provider *p)
{
	return v->value.len > 0 && !is_older(v, p->verifier.max_age_ms);
}

bool
verifier_is_ready(const struct service *svc, const struct provider *p, const void *settings)
{
	bool ready;

	if (adapter_has_secret(settings))
		return true;
	if (!is_fetched(svc, p, settings))
		return false;
	pthread_mutex_lock(&svc->verifiers->lock);
	ready = counts(verifier_of(svc, p), p);
	pthread_mutex_unlock(&svc->verifiers->lock);
	return ready;
}

static void
copy_known(struct service *svc, const struct provider *p, struct buf *out)
{
	const struct verifier *v = verifier_of(svc, p);

	pthread_mutex_lock(&svc->verifiers->lock);
	if (counts(v, p))
		buf_put(out, buf_str(&v->value), v->value.len);
	pthread_mutex_unlock(&svc->verifiers->lock);
}

/* age_ms: since it was fetched.  true: it is another than we had. */
static bool
adopt(struct service *svc, const struct provider *p, const struct buf *value, uint64_t age_ms)
{
	struct verifier *v = verifier_of(svc, p);
	bool differs;

	pthread_mutex_lock(&svc->verifiers->lock);
	differs = v->value.len != value->len || memcmp(buf_str(&v->value), buf_str(value), value->len) != 0;
	if (differs) {
		buf_wipe(&v->value);
		v->value = empty_value();
		buf_put(&v->value, buf_str(value), value->len);
		v->doubted = false;
	}
	v->fetched_us = clock_boot_us() - (int64_t)age_ms * 1000;
	pthread_mutex_unlock(&svc->verifiers->lock);
	return differs;
}

static void
put_name(struct buf *name, const struct provider *p)
{
	buf_printf(name, "%s:%s", purpose, p->name);
}

/* What some process has fetched.  ERR_NOT_FOUND: none has, too long ago, or with
 * another secret_key. */
static enum err_code
load(struct service *svc, const struct provider *p, struct buf *out, uint64_t *ret_age_ms,
	struct err *err)
{
	struct buf name = BUF_INIT(200), sealed = BUF_INIT(SEALED_MAX);
	char *plain;
	size_t n = 0;
	enum err_code rc;

	put_name(&name, p);
	rc = name.err ? err_set(err, name.err, "verifier")
		: shared_get(svc->db, buf_str(&name), &sealed, ret_age_ms, err);
	if (!rc && p->verifier.max_age_ms && *ret_age_ms > p->verifier.max_age_ms)
		rc = ERR_NOT_FOUND;
	if (!rc && !(plain = buf_reserve(out, TOKEN_MAX_PLAIN)))
		rc = err_set(err, out->err, "verifier");
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
share(struct service *svc, const struct provider *p, const struct buf *value)
{
	struct buf name = BUF_INIT(200), sealed = BUF_INIT(SEALED_MAX);
	struct err err = ERR_INIT;
	enum err_code rc;

	put_name(&name, p);
	rc = token_seal(svc->keys, purpose, buf_str(value), value->len, &sealed, &err);
	if (!rc)
		rc = name.err ? name.err : shared_put(svc->db, buf_str(&name), buf_str(&sealed), &err);
	if (rc)
		log_event(LOG_WARN, "webhook_verifier.not_shared", KV_STR("provider", p->name),
			KV_STR("error", err.text));
	buf_clear(&name);
	buf_clear(&sealed);
}

static enum err_code
fetch(struct service *svc, const struct provider *p, const void *settings, struct buf *out,
	struct err *err)
{
	struct http_request rq = HTTP_REQUEST_INIT;
	struct http_response rs = HTTP_RESPONSE_INIT;
	enum err_code rc = adapter_verifier_request(p, settings, &rq, err);

	if (!rc)
		rc = step_perform(svc, p, "verifier", &rq, &rs, err);
	if (!rc)
		rc = adapter_verifier_reply(p, &rs, out, err);
	buf_wipe(&rs.body);
	http_request_clear(&rq);
	http_response_clear(&rs);
	return rc;
}

enum err_code
verifier_get(struct service *svc, const struct provider *p, const void *settings, struct buf *out,
	struct err *err)
{
	uint64_t age_ms;
	enum err_code rc = ERR_OK;

	if (!is_fetched(svc, p, settings))
		return ERR_OK;
	copy_known(svc, p, out);
	if (!out->err && out->len == 0) {
		rc = load(svc, p, out, &age_ms, err);
		if (!rc)
			adopt(svc, p, out, age_ms);
	}
	if (!rc && out->err)
		rc = err_set(err, out->err, "verifier");
	if (rc == ERR_NOT_FOUND) {
		workers_hint_removal(svc->workers);
		rc = err_set(err, ERR_PROVIDER_UNAVAILABLE,
			"what %s's webhooks are verified by is not known yet", p->name);
	}
	return rc;
}

void
verifier_doubt(struct service *svc, const struct provider *p)
{
	const void *settings;

	if (!service_provider(svc, p->name, &settings) || !is_fetched(svc, p, settings))
		return;
	pthread_mutex_lock(&svc->verifiers->lock);
	verifier_of(svc, p)->doubted = true;
	pthread_mutex_unlock(&svc->verifiers->lock);
}

/* Is it time to look for it?  The next time is later.  One that will be too old is
 * looked for while it still counts. */
static bool
is_due(struct service *svc, const struct provider *p)
{
	struct verifier *v = verifier_of(svc, p);
	int64_t now_us = clock_mono_us();
	bool due;

	pthread_mutex_lock(&svc->verifiers->lock);
	due = now_us >= v->next_us &&
		(v->value.len == 0 || v->doubted || is_older(v, p->verifier.max_age_ms / 2));
	if (due)
		v->next_us = now_us + (v->value.len ? DOUBT_PAUSE_MS : MISSING_PAUSE_MS) * 1000LL;
	pthread_mutex_unlock(&svc->verifiers->lock);
	return due;
}

/* After a fetch, whatever came of it. */
static void
settle(struct service *svc, const struct provider *p, bool fetched)
{
	struct verifier *v = verifier_of(svc, p);

	pthread_mutex_lock(&svc->verifiers->lock);
	if (v->value.len > 0) {
		v->next_us = clock_mono_us() + REFETCH_MS * 1000LL;
		v->doubted = v->doubted && !fetched;
	}
	pthread_mutex_unlock(&svc->verifiers->lock);
}

static void
renew(struct service *svc, const struct provider *p, const void *settings, struct err *err)
{
	struct buf value = empty_value();
	uint64_t age_ms = 0;
	const char *road = "shared";
	enum err_code rc = load(svc, p, &value, &age_ms, err);
	bool news = !rc && adopt(svc, p, &value, age_ms);

	if (rc == ERR_NOT_FOUND || (!rc && !news && age_ms >= REFETCH_MS)) {
		buf_wipe(&value);
		value = empty_value();
		road = "fetched";
		rc = fetch(svc, p, settings, &value, err);
		if (!rc) {
			news = adopt(svc, p, &value, 0);
			share(svc, p, &value);
		}
		settle(svc, p, !rc);
	}
	if (rc)
		log_event(LOG_WARN, "webhook_verifier.failed", KV_STR("provider", p->name), KV_STR("error", err->text));
	else if (news)
		log_event(LOG_INFO, "webhook_verifier.known", KV_STR("provider", p->name), KV_STR("road", road));
	buf_wipe(&value);
}

void
verifier_step(struct service *svc)
{
	for (size_t i = 0; i < provider_count(); i++) {
		const void *settings;
		const struct provider *p = service_provider(svc, provider_at(i)->name, &settings);
		struct err err = ERR_INIT;

		if (is_fetched(svc, p, settings) && is_due(svc, p))
			renew(svc, p, settings, &err);
	}
}
