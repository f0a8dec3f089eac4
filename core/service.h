/*
 * The service: everything a request or a worker needs, const after start.
 * Its verbs are in create.c, observe.c, show.c (for request threads, which wait
 * for Postgres only) and submit.c, poll.c, store.c (for workers).
 *
 * A reload does not change it: it puts another in use (service_reload()), with
 * other settings and over the same database and threads.  Who uses one for a
 * while, such as a request or a step, pins it; it goes with its last pin.
 */
#ifndef GENGATE_CORE_SERVICE_H
#define GENGATE_CORE_SERVICE_H

#include "base/http.h"
#include "base/token.h"
#include "base/url.h"
#include "core/models.h"
#include "core/settings.h"
#include "db/jobs.h"
#include "providers/provider.h"
#include "storage/storage.h"

struct auth;
struct auth_settings;
struct current;
struct intakes;
struct keeper;
struct paused;
struct signer;
struct verifiers;
struct watches;
struct workers;

struct service {
	/* Its own. */
	const struct settings *settings;
	const void *const *provider_settings;	/* in the order of provider_at() */
	const void *storage_settings;
	const struct storage *storage;
	struct url here;			/* public_url */
	unsigned ways_back;			/* mask of 1 << provider_index() */
	unsigned usable;			/* the same: nothing is missing in their settings */
	struct models *models;
	struct keyring *keys;
	struct verifiers *verifiers;		/* what webhooks are verified by, fetched */
	struct auth *auth;			/* NULL: callers are not known by tokens */
	void (*let_go)(void *arg);		/* of the settings; NULL: nothing to be done */
	void *let_go_arg;
	size_t pins;				/* guarded by current's lock */

	/* What it shares with those before and after it. */
	struct current *current;
	struct db *db;
	struct http_client *http;
	struct paused *paused;			/* providers, as this process knows them */
	struct keeper *keeper;			/* NULL: nobody keeps the keys of tokens fresh in this process */
	struct intakes *intakes;
	struct workers *workers;		/* NULL: none run in this process */
	struct signer *signer;			/* NULL: nobody signs in this process */
	bool one_request;			/* it has no other, so that this one may wait for the internet */
	struct watches *watches;		/* NULL: nobody watches in this process */
};

/* What the joined configuration amounts to; all borrowed, and outlives it. */
struct service_parts {
	const struct settings *settings;
	const struct db_settings *db;	/* copied */
	const void *const *provider_settings;
	const void *storage_settings;
	const struct auth_settings *auth;
	const void *supabase;		/* the settings of storage_supabase, in use or not */
	bool lazy_http;			/* the HTTP client starts with its first request */
	/* NULL, or called when a service made of these has gone, by whichever
	 * thread was the last to use it. */
	void (*let_go)(void *arg);
	void *let_go_arg;
};

/* Checks what only the parts together show: the provider's token, the models'
 * file.  All mistakes, a line each. */
void service_check(const struct service_parts *parts, struct buf *mistakes);

/* No thread is started but the HTTP client's; none with lazy_http. */
enum err_code service_new(const struct service_parts *parts, struct service **ret,
	struct err *err) MUST_CHECK;
void service_free(struct service **svc);	/* the one in use; nobody has a pin any more */

/*
 * Put another in use, made of those parts, and let *svc, the one before, go with
 * its last pin.  After a failure nothing has changed, and let_go is not called.
 * By the thread that started and will stop what is shared.
 */
enum err_code service_reload(struct service **svc, const struct service_parts *parts,
	struct err *err) MUST_CHECK;

/* The service that is in use now, which stays as it is until it is unpinned.  Any
 * thread.  current: of any service that is pinned, and it outlives that one. */
struct service *service_pin(struct current *current);
void service_unpin(struct service **svc);

/* A provider and its settings by name; NULL: this program does not have it. */
const struct provider *service_provider(const struct service *svc, const char *name,
	const void **ret_settings);

/* Is all there that it takes to use that provider, such as its token? */
bool service_may_use(const struct service *svc, const struct provider *p);

/*
 * The URL that a job's webhooks go to, appended; nothing is appended where
 * none can be had: the provider has none, we could not verify it, or the way
 * back is neither https nor loopback on both ends.
 */
enum err_code service_webhook_url(const struct service *svc, const struct provider *p,
	const void *settings, const struct job *job, struct buf *out, struct err *err) MUST_CHECK;

/* Would service_webhook_url() give one? */
bool service_has_webhooks(const struct service *svc, const struct provider *p, const void *settings);

/* Where a probe's webhook goes, appended: sealed as any other, and about no job. */
enum err_code service_probe_url(const struct service *svc, const struct provider *p,
	struct buf *out, struct err *err) MUST_CHECK;

/* Can the provider's webhooks come back: is public_url https, or all on loopback? */
bool service_has_way_back(const struct service *svc, const struct provider *p);

/* Whose account a provider's calls go to, as a digest of API and credentials: the
 * same text means the same account. */
#define ACCOUNT_SIZE 17
enum err_code service_account(const struct service *svc, const char *provider,
	char out[ACCOUNT_SIZE]) MUST_CHECK;

/* Which job a webhook token belongs to.  ERR_NOT_FOUND: it is none of ours. */
enum err_code service_open_token(const struct service *svc, const char *token, size_t len,
	struct uuid *ret_owner, struct uuid *ret_job, struct err *err) MUST_CHECK;

#endif
