/*
 * The secrets that webhooks are verified by, where a provider tells them itself
 * (PROVIDER_SECRET) and the configuration does not.  A worker fetches them; they
 * are kept in memory, and sealed in Postgres for the other processes.
 */
#ifndef GENGATE_CORE_SECRET_H
#define GENGATE_CORE_SECRET_H

#include "core/service.h"

enum err_code secrets_new(struct secrets **ret, struct err *err) MUST_CHECK;
void secrets_free(struct secrets **secrets);

/* What the service before knew, where the provider is the same; to be fetched anew
 * soon, since its account may be another. */
enum err_code secrets_inherit(struct service *svc, const struct service *before, struct err *err) MUST_CHECK;

/* Can webhooks of that provider be verified now?  Does not wait. */
bool secret_is_ready(const struct service *svc, const struct provider *p, const void *settings);

/*
 * The fetched secret is appended; nothing, if the provider's settings have one
 * or it tells none.  Waits for Postgres only.  buf_wipe() it.
 * ERR_PROVIDER_UNAVAILABLE: it is not known yet.
 */
enum err_code secret_get(struct service *svc, const struct provider *p, const void *settings,
	struct buf *out, struct err *err) MUST_CHECK;

/* A signature did not match: perhaps there is a new one. */
void secret_doubt(struct service *svc, const struct provider *p);

/* A worker's: fetch what is missing or in doubt, the latter at most every five
 * minutes, whichever process asks. */
void secret_step(struct service *svc);

#endif
