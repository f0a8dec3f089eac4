/*
 * Signed addresses of private outputs.  Signing asks the storage, and request
 * threads never wait for that: each address is signed when its output is kept,
 * remembered, and signed anew by a thread of its own when a read finds that
 * little of its life is left.
 */
#ifndef GENGATE_CORE_SIGN_H
#define GENGATE_CORE_SIGN_H

#include "core/service.h"

struct signer;

/* Are outputs private, so that they need signed addresses? */
bool service_signs(const struct service *svc);

/* Is so little of its life left that it should be signed anew? */
bool sign_is_due(const struct service *svc, int64_t until_us);

/* Sign one address, appended.  *ret_until_us: until when it is good.  Blocks. */
enum err_code sign_key(struct service *svc, const char *key, struct buf *out,
	int64_t *ret_until_us, struct err *err) MUST_CHECK;

/* The same for an input, for so long.  ERR_NOT_FOUND: it is not there.  ERR_CONFIG:
 * there is no place for inputs. */
enum err_code sign_input(struct service *svc, const char *key, uint64_t life_s, struct buf *out,
	struct err *err) MUST_CHECK;

/* Sign anew what is due of a job's outputs, and tell who watches it.  Blocks. */
enum err_code sign_job(struct service *svc, const struct uuid *owner, const struct uuid *job,
	struct err *err) MUST_CHECK;

/* Starts the thread and sets svc->signer; stopping joins it and clears that,
 * after http_client_stop(). */
enum err_code signer_start(struct service *svc, struct err *err) MUST_CHECK;
void signer_stop(struct service *svc);

/* A job's addresses are due.  Any thread; never blocks; NULL is fine. */
void signer_hint(struct signer *signer, const struct uuid *owner, const struct uuid *job);

#endif
