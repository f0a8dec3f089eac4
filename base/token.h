/*
 * Sealed tokens: a few bytes of ours that travel through other people's hands
 * and come back unread and unchanged (AES-256-GCM, random 96-bit nonce,
 * base64url).  The webhook URL carries one, since a vendor's signature covers
 * the body and not the URL.
 *
 * A keyring has one or more keys, derived by HKDF-SHA256 from the operator's
 * `secret_key` texts.  The first seals; any of them opens, so that a key can be
 * replaced without losing what is under way.
 */
#ifndef GENGATE_BASE_TOKEN_H
#define GENGATE_BASE_TOKEN_H

#include <stddef.h>

#include "base/buf.h"

#define TOKEN_MAX_PLAIN 4096	/* bytes that one token may carry */

struct keyring;

/* secrets: comma-separated, blanks around them do not count; each at least 16
 * characters, ERR_CONFIG otherwise.  Borrowed; the keyring keeps only derived
 * keys, wiped when it is freed.  Const after this, so any thread may use it. */
enum err_code keyring_new(const char *secrets, struct keyring **ret, struct err *err) MUST_CHECK;
void keyring_free(struct keyring **keys);

/* purpose: a short text that is authenticated with the token ("webhook"): a
 * token made for one purpose does not open for another.  What it makes is
 * appended to `out`.  ERR_TOO_BIG if plain or out's ceiling is passed. */
enum err_code token_seal(const struct keyring *keys, const char *purpose,
	const void *plain, size_t len, struct buf *out, struct err *err) MUST_CHECK;

/* ERR_INVALID for whatever was not sealed by one of our keys for this purpose.
 * plain holds at least TOKEN_MAX_PLAIN bytes; it and *ret_len are untouched on
 * failure. */
enum err_code token_open(const struct keyring *keys, const char *purpose,
	const char *text, size_t len, void *plain, size_t *ret_len, struct err *err) MUST_CHECK;

/* For what anybody may read and nobody may change: the signature of a text alone
 * (HMAC-SHA256, by a key of its own, base64url), appended to `out`.  Purposes as
 * above.  At most 16 kB. */
enum err_code token_sign(const struct keyring *keys, const char *purpose, const char *text,
	struct buf *out, struct err *err) MUST_CHECK;

/* Did any of the keys sign that text for that purpose?  Constant time.  ERR_INVALID: no. */
enum err_code token_verify(const struct keyring *keys, const char *purpose, const char *text,
	const char *signature, struct err *err) MUST_CHECK;

#endif
