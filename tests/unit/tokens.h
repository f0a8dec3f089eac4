/*
 * JSON Web Tokens and JWK Sets as a vendor makes them, by OpenSSL and not by what
 * gengate verifies them with.
 */
#ifndef GENGATE_TESTS_TOKENS_H
#define GENGATE_TESTS_TOKENS_H

#include <openssl/evp.h>

#include "base/buf.h"

/* "EC" (P-256), "EC384" or "RSA" of so many bits.  EVP_PKEY_free(). */
EVP_PKEY *test_key(const char *kind, unsigned bits);

/* The public JWK as a JSON text, appended; more: further members, with a comma in
 * front of each, or "". */
void put_jwk(struct buf *out, EVP_PKEY *key, const char *kid, const char *more);

/* header.payload.signature, appended.  The algorithm is the key's: ES256, or RS256. */
void put_token(struct buf *out, const char *header, const char *payload, EVP_PKEY *key);

/* The same with HMAC-SHA256. */
void put_hs256_token(struct buf *out, const char *header, const char *payload, const void *secret, size_t len);

#endif
