/*
 * The little cryptography that we need, all of it OpenSSL's.
 * Every call is safe from any thread.
 */
#ifndef GENGATE_BASE_CRYPTO_H
#define GENGATE_BASE_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define SHA256_BYTES 32
#define SHA256_HEX_SIZE 65	/* 64 digits and the NUL */

/* ERR_INTERNAL if the system has no randomness. */
enum err_code crypto_random(void *out, size_t len, struct err *err) MUST_CHECK;

enum err_code sha256(const void *p, size_t len, uint8_t out[SHA256_BYTES],
	struct err *err) MUST_CHECK;

/* All of a file from its start, by pread(2); the offset stays where it is.
 * ERR_INTERNAL if the file cannot be read. */
enum err_code sha256_file(int fd, uint8_t out[SHA256_BYTES], struct err *err) MUST_CHECK;

enum err_code hmac_sha256(const void *key, size_t key_len, const void *p, size_t len,
	uint8_t out[SHA256_BYTES], struct err *err) MUST_CHECK;

/* Constant time for equal lengths; the lengths themselves are no secret. */
bool crypto_equal(const void *a, size_t a_len, const void *b, size_t b_len);

/* RFC 8032, Ed25519: did the holder of that key sign this?  ERR_SIGNATURE: no, or it
 * is no key. */
#define ED25519_KEY_BYTES 32
#define ED25519_SIGNATURE_BYTES 64
enum err_code ed25519_verify(const uint8_t key[ED25519_KEY_BYTES], const void *p, size_t len,
	const uint8_t signature[ED25519_SIGNATURE_BYTES], struct err *err) MUST_CHECK;

/* Lower-case hexadecimal, with the NUL. */
void hex_encode(const void *p, size_t len, char *out);

/* Exactly len bytes from 2 * len digits of either case and nothing behind them;
 * ERR_INVALID. */
enum err_code hex_decode(const char *s, size_t len, void *out) MUST_CHECK;

/* RFC 4648: section 4 with padding, section 5 without.  Decoding is strict:
 * right alphabet, right padding (none for url), no blanks, no stray bits;
 * ERR_INVALID otherwise, and `out` is as before.  What it decodes is appended
 * to `out`, whose own error (ERR_NOMEM, ERR_TOO_BIG) is returned if it fails. */
void base64_encode(struct buf *out, const void *p, size_t len);
void base64url_encode(struct buf *out, const void *p, size_t len);
enum err_code base64_decode(struct buf *out, const char *s, size_t len) MUST_CHECK;
enum err_code base64url_decode(struct buf *out, const char *s, size_t len) MUST_CHECK;

#endif
