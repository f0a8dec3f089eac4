/*
 * Signed JSON Web Tokens (RFC 7519) in their compact form, and the public keys
 * (RFC 7517) that they are verified with.  libjose does the cryptography; which
 * key may verify which token is decided here.
 *
 * The key is chosen by the token's `kid`, and the algorithm by the key: what the
 * header says has to agree, and decides nothing.
 */
#ifndef GENGATE_BASE_JWT_H
#define GENGATE_BASE_JWT_H

#include <jansson.h>

#include "base/buf.h"

/* A longer one is none; those that people have are up to a few kilobytes. */
#define JWT_MAX_BYTES 12000

/* The shortest secret for HS256 (RFC 7518 section 3.2). */
#define JWT_SECRET_MIN_BYTES 32

/* A set of keys; const, so any thread may use it.  Each jwks_ref() needs its
 * jwks_unref(). */
struct jwks;

/*
 * From a JWK Set's text.  Kept are the keys for signatures of a kind that we
 * verify, ES256 and RS256, and that have a `kid`; the others are left out, as RFC 7517
 * section 5 says.  Private parts are not kept.
 * ERR_INVALID: the text is no JWK Set.
 */
enum err_code jwks_parse(const char *text, size_t len, struct jwks **ret, struct err *err) MUST_CHECK;

/* The one key for HS256, whatever a token's `kid`.  ERR_CONFIG: it is too short. */
enum err_code jwks_of_secret(const char *secret, struct jwks **ret, struct err *err) MUST_CHECK;

struct jwks *jwks_ref(struct jwks *keys);
void jwks_unref(struct jwks **keys);

size_t jwks_count(const struct jwks *keys);

/* For people, appended: "ES256 5f0c..., RS256 ab12...". */
void jwks_describe(const struct jwks *keys, struct buf *out);

/* A token that was read, and not verified yet. */
struct jwt {
	const json_t *claims;		/* borrowed from here, as all below */
	const char *alg;
	const char *kid;		/* NULL: it names none */
	json_t *header, *payload, *jws;	/* its own */
};

/* ERR_UNAUTHORIZED: it is no token that we could verify, and no key would change
 * that; err says why in fixed words.  jwt_clear(), whatever came back. */
enum err_code jwt_read(const char *text, size_t len, struct jwt *ret, struct err *err) MUST_CHECK;
void jwt_clear(struct jwt *jwt);

/*
 * Was it signed by one of these?
 * ERR_NOT_FOUND	none of these has its `kid`
 * ERR_UNAUTHORIZED	the key with its `kid` did not sign it, or is for
 *			another algorithm
 */
enum err_code jwt_verify(const struct jwt *jwt, const struct jwks *keys, struct err *err) MUST_CHECK;

#endif
