/*
 * Tokens that were verified, by their SHA-256, until they end: verifying costs a
 * hundred times more than finding.  Bounded; the one that was not used for longest
 * makes room.  All may be used from any thread.
 */
#ifndef GENGATE_CORE_REMEMBER_H
#define GENGATE_CORE_REMEMBER_H

#include "base/crypto.h"
#include "base/id.h"

struct remembered;

/* For at most max tokens. */
enum err_code remembered_new(size_t max, struct remembered **ret, struct err *err) MUST_CHECK;
void remembered_free(struct remembered **remembered);

/* *ret_epoch, in any case: what remembered_put() wants to know. */
bool remembered_find(struct remembered *r, const uint8_t digest[SHA256_BYTES], int64_t now_s,
	struct uuid *ret_user, unsigned *ret_epoch);

/* epoch: of the look before the token was verified.  If all was forgotten since, it
 * was perhaps verified by what does not hold any more, and is not remembered. */
void remembered_put(struct remembered *r, const uint8_t digest[SHA256_BYTES], const struct uuid *user,
	int64_t until_s, unsigned epoch);

void remembered_forget(struct remembered *r);	/* all of them */

#endif
