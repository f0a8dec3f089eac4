/* Creating a job for a client: /generate, and what does the same. */
#ifndef GENGATE_FCGI_GENERATE_H
#define GENGATE_FCGI_GENERATE_H

#include "core/create.h"
#include "fcgi/exchange.h"

/* Idempotency-Key: 1 to 255 visible ASCII characters; NULL: none was sent.
 * Borrowed.  ERR_BAD_REQUEST. */
enum err_code generate_read_key(struct exchange *x, const char **ret, struct err *err) MUST_CHECK;

/*
 * Create it for x->owner, when its inputs are in their place, and answer or park as
 * the client prefers.  *in: who takes them; may be NULL.  What it keeps of both is
 * taken from them.
 */
void generate_begin(struct exchange *x, struct request *rq, const char *key, struct intake **in);

#endif
