/*
 * The public keys that users' tokens are verified with: a JWK Set that the Auth
 * service publishes.  All processes share one copy, in Postgres, and between them
 * fetch it at most once per half minute, whatever the load.
 */
#ifndef GENGATE_CORE_KEYS_H
#define GENGATE_CORE_KEYS_H

#include "base/jwt.h"

struct keys;
struct service;

struct keys_settings {
	const char *url;		/* borrowed, and outlives it, as the next */
	const void *project;		/* whose key goes along (storage/supabase.h); NULL: none does */
	uint64_t life_ms;		/* fetched anew after this */
	uint64_t stale_ms;		/* and not used any more after this */
};

/* changed(ctx) is called, with no lock held, when other keys are in use than
 * before. */
enum err_code keys_new(const struct keys_settings *settings, void (*changed)(void *ctx), void *ctx,
	struct keys **ret, struct err *err) MUST_CHECK;
void keys_free(struct keys **keys);

/* What another knows, if it is of the same address. */
void keys_inherit(struct keys *keys, struct keys *before);

/* The keys in use; jwks_unref() them.  NULL: there are none that may be used.  Any
 * thread. */
struct jwks *keys_get(struct keys *keys);

/* How long nobody has to look for newer ones.  looked: somebody just did. */
uint64_t keys_rest_ms(struct keys *keys, bool looked);

/*
 * Look for newer ones, for some seconds at most, and use them: at what other
 * processes have fetched, and if that is old, or anew, at what there is.
 * svc: whose database and HTTP client are used.  One thread at a time.
 */
void keys_look(struct keys *keys, struct service *svc, bool anew);

/* Fetch the set, appended to `out`, and read it, without using it. */
enum err_code keys_fetch(struct keys *keys, struct service *svc, struct buf *out, struct jwks **ret,
	struct err *err) MUST_CHECK;

#endif
