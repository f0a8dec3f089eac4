/* News from outside. */
#ifndef GENGATE_CORE_OBSERVE_H
#define GENGATE_CORE_OBSERVE_H

#include "core/service.h"

/* What became of a webhook that was taken. */
enum webhook_verdict {
	WEBHOOK_MOVED,		/* it moved its job */
	WEBHOOK_PROBED,		/* it is `gengate check`'s: arrived, ours, and about no job */
	WEBHOOK_NOTED,		/* nothing new: a duplicate, late, or about another prediction */
};

/*
 * A webhook for the job of a token.  ERR_OK only after what it says is
 * committed.  Waits for Postgres only.
 * ERR_NOT_FOUND: no such provider, or no such job.  ERR_SIGNATURE,
 * ERR_BAD_REQUEST: as the provider finds.  ERR_PROVIDER_UNAVAILABLE: the secret
 * to verify by is still to be fetched.  ERR_UNAVAILABLE: it has to be sent
 * again.
 */
enum err_code service_webhook(struct service *svc, const char *provider,
	const char *token, const struct webhook *wh, enum webhook_verdict *ret,
	struct err *err) MUST_CHECK;

#endif
