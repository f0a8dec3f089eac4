/*
 * What webhooks are verified by, where a provider tells it itself (PROVIDER_VERIFIER)
 * and the configuration does not: a secret, or public keys.  A worker fetches it; it is
 * kept in memory, and sealed in Postgres for the other processes.
 */
#ifndef GENGATE_CORE_VERIFIER_H
#define GENGATE_CORE_VERIFIER_H

#include "core/service.h"

enum err_code verifiers_new(struct verifiers **ret, struct err *err) MUST_CHECK;
void verifiers_free(struct verifiers **verifiers);

/* What the service before knew; to be fetched anew soon, since an account may be
 * another. */
enum err_code verifiers_inherit(struct service *svc, const struct service *before,
	struct err *err) MUST_CHECK;

/* Can webhooks of that provider be verified now?  Does not wait. */
bool verifier_is_ready(const struct service *svc, const struct provider *p, const void *settings);

/*
 * What was fetched is appended; nothing, if the provider's settings have it or it
 * tells none.  Waits for Postgres only.  buf_wipe() it.
 * ERR_PROVIDER_UNAVAILABLE: it is not known yet.
 */
enum err_code verifier_get(struct service *svc, const struct provider *p, const void *settings,
	struct buf *out, struct err *err) MUST_CHECK;

/* A signature did not match: perhaps there is a new one. */
void verifier_doubt(struct service *svc, const struct provider *p);

/* A worker's: fetch what is missing, old, or in doubt, the latter at most every five
 * minutes, whichever process asks. */
void verifier_step(struct service *svc);

#endif
