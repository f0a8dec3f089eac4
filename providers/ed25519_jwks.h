/*
 * Ed25519 keys of a JWKS (RFC 7517, RFC 8037 section 2), as text for the verifier: each
 * key's `x`, separated by commas.
 */
#ifndef GENGATE_PROVIDERS_ED25519_JWKS_H
#define GENGATE_PROVIDERS_ED25519_JWKS_H

#include "base/buf.h"
#include "base/crypto.h"
#include "base/json.h"

/* Appends those that there are; what is no such key is passed over.  ERR_NOMEM. */
enum err_code ed25519_jwks_read(const json_t *doc, struct buf *ret) MUST_CHECK;

/* Did any of them sign it?  ERR_SIGNATURE: no.  ERR_NOMEM. */
enum err_code ed25519_jwks_verify(const char *keys, const struct buf *text,
	const uint8_t signature[ED25519_SIGNATURE_BYTES]) MUST_CHECK;

#endif
