#include "config.h"

#include "core/service.h"

#include <pthread.h>

#include "base/metrics.h"
#include "core/auth.h"
#include "core/intake.h"
#include "core/keeper.h"
#include "core/pause.h"
#include "core/sign.h"
#include "core/verifier.h"
#include "core/workers.h"
#include "providers/adapter.h"

/* Which service is in use. */
struct current {
	pthread_mutex_t lock;		/* guards it, and the pins of all that follow one another */
	struct service *service;
};

static const char webhook_purpose[] = "webhook";

static size_t
provider_index(const char *name)
{
	size_t i = 0;

	while (i < provider_count() && strcmp(provider_at(i)->name, name) != 0)
		i++;
	return i;
}

/* Of those that jobs may be sent to.  models: NULL if they cannot be read. */
static void
check_providers(const struct service_parts *parts, const struct models *models, struct buf *mistakes)
{
	for (size_t i = 0; i < provider_count(); i++) {
		const struct provider *p = provider_at(i);
		bool in_use = strcmp(p->name, parts->settings->provider) == 0 ||
			(models && models_use(models, p->name));

		if (in_use)
			adapter_check(p, parts->provider_settings[i], mistakes);
	}
}

void
service_check(const struct service_parts *parts, struct buf *mistakes)
{
	const struct settings *s = parts->settings;
	const struct storage *storage = storages[s->storage];
	struct models *models = NULL;
	struct model model;
	enum err_code rc;

	settings_check(s, mistakes);
	if (s->auth == AUTH_SUPABASE)
		auth_check(parts->auth, parts->supabase, mistakes);
	if (!s->provider || !s->models_file)	/* said there; the rest hangs on them */
		return;
	if (!provider_by_name(s->provider))
		cfg_mistake(mistakes, "provider", "there is no provider \"%s\"", s->provider);
	if (storage->check)
		storage->check(parts->storage_settings, mistakes);
	rc = models_load(s->models_file, s->provider, &models, mistakes, NULL);
	if (!rc && s->default_model && !models_find(models, s->default_model, &model))
		cfg_mistake(mistakes, "default_model", "%s has no model \"%s\"", s->models_file, s->default_model);
	else if (!rc && s->default_model && provider_by_name(s->provider) &&
		 !models_offer(models, s->default_model, &model))
		cfg_mistake(mistakes, "default_model", "%s has nothing of \"%s\" for the provider \"%s\"",
			s->models_file, s->default_model, s->provider);
	check_providers(parts, models, mistakes);
	models_free(&models);
}

/* Can a webhook come back?  Vendors send to https only; on one machine, where
 * the provider is a simulator, plain http will do. */
static enum err_code
has_way_back(const struct url *here, const char *api_url, bool *ret)
{
	struct url there = { .scheme = NULL };
	enum err_code rc;

	*ret = strcmp(here->scheme, "https") == 0;
	if (!url_host_is_loopback(here->host))
		return ERR_OK;
	rc = url_parse(api_url, &there);
	*ret = !rc && url_host_is_loopback(there.host);
	url_clear(&there);
	return rc == ERR_NOMEM ? rc : ERR_OK;
}

static enum err_code
find_ways_back(struct service *svc, struct err *err)
{
	svc->ways_back = 0;
	for (size_t i = 0; i < provider_count(); i++) {
		bool has = false;

		if (has_way_back(&svc->here, adapter_url(svc->provider_settings[i]), &has))
			return err_set(err, ERR_NOMEM, "service");
		svc->ways_back |= (unsigned)has << i;
	}
	return ERR_OK;
}

static enum err_code
find_usable(struct service *svc, struct err *err)
{
	svc->usable = 0;
	for (size_t i = 0; i < provider_count(); i++) {
		const struct provider *p = provider_at(i);
		struct buf mistakes = BUF_INIT(65536);
		enum err_code rc;

		adapter_check(p, svc->provider_settings[i], &mistakes);
		svc->usable |= (unsigned)(mistakes.len == 0 && !mistakes.err) << i;
		rc = mistakes.err;
		buf_clear(&mistakes);
		if (rc)
			return err_set(err, rc, "service");
	}
	return ERR_OK;
}

/* What a service has of its own. */
static enum err_code
fill(struct service *svc, const struct service_parts *parts, struct err *err)
{
	struct buf mistakes = BUF_INIT(65536);
	enum err_code rc;

	svc->settings = parts->settings;
	svc->provider_settings = parts->provider_settings;
	svc->storage_settings = parts->storage_settings;
	svc->storage = storages[parts->settings->storage];
	svc->models = NULL;
	svc->keys = NULL;
	svc->verifiers = NULL;
	svc->auth = NULL;
	svc->here = (struct url){ .scheme = NULL };
	rc = models_load(svc->settings->models_file, svc->settings->provider, &svc->models, &mistakes, err);
	if (!rc && url_parse(svc->settings->public_url, &svc->here))
		rc = err_set(err, ERR_CONFIG, "public_url");
	if (!rc)
		rc = find_ways_back(svc, err);
	if (!rc)
		rc = find_usable(svc, err);
	if (!rc)
		rc = keyring_new(svc->settings->secret_key, &svc->keys, err);
	if (!rc)
		rc = verifiers_new(&svc->verifiers, err);
	if (!rc && svc->settings->auth == AUTH_SUPABASE)
		rc = auth_new(parts->auth, parts->supabase, &svc->auth, err);
	buf_clear(&mistakes);
	if (rc)
		return rc;
	svc->let_go = parts->let_go;
	svc->let_go_arg = parts->let_go_arg;
	svc->pins = 1;
	/* Shown from the start: an alert on a rate needs the 0 before the 1. */
	for (size_t i = 0; i < provider_count(); i++)
		if (models_use(svc->models, provider_at(i)->name))
			metric_add(METRIC_OUTPUT_BYTES, 0, provider_at(i)->name);
	metric_add(METRIC_STORAGE_BYTES, 0, svc->storage->name);
	return ERR_OK;
}

static void
empty(struct service *svc)
{
	auth_free(&svc->auth);
	verifiers_free(&svc->verifiers);
	keyring_free(&svc->keys);
	models_free(&svc->models);
	url_clear(&svc->here);
	if (svc->let_go)
		svc->let_go(svc->let_go_arg);
}

static enum err_code
current_new(struct service *svc, struct err *err)
{
	struct current *c = mem_calloc(1, sizeof *c);

	if (!c)
		return err_set(err, ERR_NOMEM, "service");
	pthread_mutex_init(&c->lock, NULL);
	c->service = svc;
	svc->current = c;
	return ERR_OK;
}

static void
current_free(struct current *c)
{
	if (c)
		pthread_mutex_destroy(&c->lock);
	mem_free(c);
}

enum err_code
service_new(const struct service_parts *parts, struct service **ret, struct err *err)
{
	/* Nobody waits for another's connection: a worker has one at a time,
	 * one that stores STORE_AT_ONCE. */
	const uint32_t connections = (uint32_t)(parts->settings->workers * STORE_AT_ONCE +
		parts->settings->lasting_creates + parts->settings->pollers + INTAKE_THREADS_MAX);
	const struct http_settings http = {
		.max_connections = connections,
		.max_per_host = connections,
		.ca_file = parts->settings->ca_file,
		.user_agent = PACKAGE_NAME "/" PACKAGE_VERSION,
		.lazy = parts->lazy_http,
	};
	struct service *svc = mem_calloc(1, sizeof *svc);
	enum err_code rc;

	if (!svc)
		return err_set(err, ERR_NOMEM, "service");
	rc = current_new(svc, err);
	if (!rc)
		rc = paused_new(&svc->paused, err);
	if (!rc)
		rc = intakes_new(svc->current, &svc->intakes, err);
	if (!rc)
		rc = db_new(parts->db, &svc->db, err);
	if (!rc)
		rc = http_client_new(&http, &svc->http, err);
	if (!rc)
		rc = fill(svc, parts, err);
	if (rc) {
		service_free(&svc);
		return rc;
	}
	*ret = svc;
	return ERR_OK;
}

void
service_free(struct service **psvc)
{
	struct service *svc = *psvc;

	if (!svc)
		return;
	http_client_free(&svc->http);
	intakes_free(&svc->intakes);
	db_free(&svc->db);
	paused_free(&svc->paused);
	current_free(svc->current);
	empty(svc);
	mem_free(svc);
	*psvc = NULL;
}

/* ---- one after another ---- */

struct service *
service_pin(struct current *c)
{
	struct service *svc;

	pthread_mutex_lock(&c->lock);
	svc = c->service;
	svc->pins++;
	pthread_mutex_unlock(&c->lock);
	return svc;
}

void
service_unpin(struct service **psvc)
{
	struct service *svc = *psvc;
	bool last;

	*psvc = NULL;
	if (!svc)
		return;
	pthread_mutex_lock(&svc->current->lock);
	last = --svc->pins == 0;
	pthread_mutex_unlock(&svc->current->lock);
	if (!last)
		return;
	empty(svc);
	mem_free(svc);
}

/* Everything as the one in use has it.  A member that this file does not know is
 * shared. */
static struct service *
copy(const struct service *svc)
{
	struct service *next = mem_alloc(sizeof *next);

	if (!next)
		return NULL;
	pthread_mutex_lock(&svc->current->lock);
	*next = *svc;
	pthread_mutex_unlock(&svc->current->lock);
	next->let_go = NULL;
	return next;
}

enum err_code
service_reload(struct service **psvc, const struct service_parts *parts, struct err *err)
{
	struct service *before = *psvc, *next = copy(before);
	struct current *c = before->current;
	enum err_code rc;

	if (!next)
		return err_set(err, ERR_NOMEM, "service");
	rc = fill(next, parts, err);
	if (!rc)
		rc = verifiers_inherit(next, before, err);
	if (!rc && next->auth && before->auth)
		auth_inherit(next->auth, before->auth);
	if (!rc && next->workers && !next->keeper)
		rc = keeper_start(next, err);
	if (!rc && next->workers && !next->signer)
		rc = signer_start(next, err);
	if (rc && next->keeper != before->keeper)
		keeper_stop(next);
	if (rc) {
		next->let_go = NULL;
		empty(next);
		mem_free(next);
		return rc;
	}
	db_configure(next->db, parts->db);
	pthread_mutex_lock(&c->lock);
	c->service = next;
	pthread_mutex_unlock(&c->lock);
	*psvc = next;
	service_unpin(&before);		/* the pin of being in use */
	return ERR_OK;
}

const struct provider *
service_provider(const struct service *svc, const char *name, const void **ret_settings)
{
	size_t i = provider_index(name);

	if (i == provider_count())
		return NULL;
	*ret_settings = svc->provider_settings[i];
	return provider_at(i);
}

enum err_code
service_account(const struct service *svc, const char *provider, char out[ACCOUNT_SIZE])
{
	struct http_request rq = HTTP_REQUEST_INIT;
	struct buf text = BUF_INIT(16384);
	uint8_t digest[SHA256_BYTES];
	const void *settings;
	const struct provider *p = service_provider(svc, provider, &settings);
	enum err_code rc = p ? ERR_OK : ERR_CONFIG;

	if (!rc)
		rc = adapter_authorize(p, settings, &rq);
	if (!rc) {
		buf_puts(&text, adapter_url(settings));
		for (size_t i = 0; i < rq.n_headers; i++)
			buf_printf(&text, "\n%s", rq.headers[i].value);
		rc = text.err ? text.err : sha256(buf_str(&text), text.len, digest, NULL);
	}
	if (!rc)
		hex_encode(digest, (ACCOUNT_SIZE - 1) / 2, out);
	buf_wipe(&text);
	http_request_clear(&rq);
	return rc;
}

bool
service_may_use(const struct service *svc, const struct provider *p)
{
	return svc->usable & 1u << provider_index(p->name);
}

bool
service_has_way_back(const struct service *svc, const struct provider *p)
{
	return svc->ways_back & 1u << provider_index(p->name);
}

bool
service_has_webhooks(const struct service *svc, const struct provider *p, const void *settings)
{
	return p->caps & PROVIDER_WEBHOOK && verifier_is_ready(svc, p, settings) &&
		service_has_way_back(svc, p);
}

static enum err_code
put_webhook_url(const struct service *svc, const struct provider *p, const struct uuid *owner,
	const struct uuid *job, struct buf *out, struct err *err)
{
	uint8_t plain[32];

	memcpy(plain, owner->b, 16);
	memcpy(plain + 16, job->b, 16);
	buf_printf(out, "%s/webhooks/%s?job=", svc->settings->public_url, p->name);
	return token_seal(svc->keys, webhook_purpose, plain, sizeof plain, out, err);
}

enum err_code
service_webhook_url(const struct service *svc, const struct provider *p, const void *settings,
	const struct job *job, struct buf *out, struct err *err)
{
	if (!service_has_webhooks(svc, p, settings))
		return ERR_OK;
	return put_webhook_url(svc, p, &job->owner, &job->id, out, err);
}

enum err_code
service_probe_url(const struct service *svc, const struct provider *p, struct buf *out, struct err *err)
{
	static const struct uuid nobody;

	return put_webhook_url(svc, p, &nobody, &nobody, out, err);
}

enum err_code
service_open_token(const struct service *svc, const char *token, size_t len,
	struct uuid *ret_owner, struct uuid *ret_job, struct err *err)
{
	uint8_t plain[TOKEN_MAX_PLAIN];
	size_t n;
	enum err_code rc = token_open(svc->keys, webhook_purpose, token, len, plain, &n, err);

	if (!rc && n == 32) {
		memcpy(ret_owner->b, plain, 16);
		memcpy(ret_job->b, plain + 16, 16);
		return ERR_OK;
	}
	return rc == ERR_INVALID || !rc
		? err_set(err, ERR_NOT_FOUND, "the token names no job of ours") : rc;
}
