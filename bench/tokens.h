/* Tokens as Supabase Auth gives them to users, many of them. */
#ifndef GENGATE_BENCH_TOKENS_H
#define GENGATE_BENCH_TOKENS_H

#include "base/buf.h"

struct signer;

/* file: an EC private key in PEM; kid: its name.  NULL: not usable.  Lives as long
 * as the process. */
struct signer *signer_open(const char *file, const char *kid, const char *issuer);

/* A user's, signed with ES256, appended; false: it could not be signed. */
bool signer_put(struct signer *signer, const char *user, struct buf *out);

#endif
