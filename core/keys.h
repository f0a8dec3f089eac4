/*
 * The public keys that users' tokens are verified with: a JWK Set that the Auth
 * service publishes.  A thread of its own fetches it each `supabase_jwks_life`, and when
 * a token names a key that is not in it; request threads only wait for it to be told.
 * All processes share one copy, in Postgres, and between them fetch at most
 * once per half minute, whatever the load.
 */
#ifndef GENGATE_CORE_KEYS_H
#define GENGATE_CORE_KEYS_H

#include "base/http.h"
#include "base/jwt.h"

struct keys;
struct service;

struct keys_settings {
	const char *url;		/* borrowed, and outlives it */
	const void *project;		/* whose key goes along (storage/supabase.h); NULL: none does */
	uint64_t life_ms;		/* fetched anew after this */
	uint64_t stale_ms;		/* and not used any more after this */
};

/* changed(ctx) is called, with no lock held, when other keys are in use than
 * before.  The service is borrowed; its other parts need not be there yet. */
enum err_code keys_new(const struct keys_settings *settings, struct service *svc,
	void (*changed)(void *ctx), void *ctx, struct keys **ret, struct err *err) MUST_CHECK;
void keys_free(struct keys **keys);

/* The keys in use; jwks_unref() them.  NULL: there are none that may be used. */
struct jwks *keys_get(struct keys *keys);

/* How many looks have ended; every end of one is told by watches_poke_keys(). */
unsigned keys_looks(struct keys *keys);

/* There may be newer keys.  true: they are being looked for now; false: they
 * were, a moment ago, or nobody in this process looks. */
bool keys_want(struct keys *keys);

/* Look for them here, for some seconds at most: where a process has one request.
 * anew: also when those that the database has are young. */
void keys_look(struct keys *keys, bool anew);

/* The thread.  keys_stop() comes after http_client_stop(). */
enum err_code keys_start(struct keys *keys, struct err *err) MUST_CHECK;
void keys_stop(struct keys *keys);

/* Fetch the set, appended to `out`, and read it, without using it. */
enum err_code keys_fetch(struct keys *keys, struct buf *out, struct jwks **ret, struct err *err) MUST_CHECK;

#endif
