#include "config.h"

#include "base/crypto.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>
#include <unistd.h>

/* OpenSSL's errors stay in a queue of the thread, where a later call of
 * somebody else (libpq, libcurl) would find them: take them out. */
static enum err_code
crypto_failed(struct err *err, const char *what)
{
	const char *why = ERR_reason_error_string(ERR_peek_last_error());

	ERR_clear_error();
	return err_set(err, ERR_INTERNAL, "%s: %s", what, why ? why : "failed");
}

/* The kernel's: OpenSSL keeps generators of its own for each thread, which is
 * kilobytes for each worker. */
enum err_code
crypto_random(void *out, size_t len, struct err *err)
{
	unsigned char *p = out;

	while (len > 0) {
		size_t n = len > 256 ? 256 : len;	/* its limit */

		if (getentropy(p, n))
			return err_set(err, ERR_INTERNAL, "random bytes: %s", strerror(errno));
		p += n;
		len -= n;
	}
	return ERR_OK;
}

enum err_code
sha256(const void *p, size_t len, uint8_t out[SHA256_BYTES], struct err *err)
{
	uint8_t md[SHA256_BYTES];

	if (EVP_Digest(p, len, md, NULL, EVP_sha256(), NULL) != 1)
		return crypto_failed(err, "SHA-256");
	memcpy(out, md, sizeof md);
	return ERR_OK;
}

static enum err_code
digest_file(EVP_MD_CTX *ctx, int fd, struct err *err)
{
	unsigned char chunk[16 * 1024];
	off_t at = 0;

	for (;;) {
		ssize_t n = pread(fd, chunk, sizeof chunk, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, ERR_INTERNAL, "pread: %s", strerror(errno));
		if (n == 0)
			return ERR_OK;
		if (EVP_DigestUpdate(ctx, chunk, (size_t)n) != 1)
			return crypto_failed(err, "SHA-256");
		at += n;
	}
}

enum err_code
sha256_file(int fd, uint8_t out[SHA256_BYTES], struct err *err)
{
	uint8_t md[SHA256_BYTES];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	enum err_code rc;

	if (!ctx)
		return err_set(err, ERR_NOMEM, "SHA-256");
	if (EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1) {
		rc = crypto_failed(err, "SHA-256");
		goto out;
	}
	rc = digest_file(ctx, fd, err);
	if (rc)
		goto out;
	if (EVP_DigestFinal_ex(ctx, md, NULL) != 1) {
		rc = crypto_failed(err, "SHA-256");
		goto out;
	}
	memcpy(out, md, sizeof md);
out:
	EVP_MD_CTX_free(ctx);
	return rc;
}

enum err_code
hmac_sha256(const void *key, size_t key_len, const void *p, size_t len,
	uint8_t out[SHA256_BYTES], struct err *err)
{
	uint8_t md[SHA256_BYTES];
	size_t md_len = 0;

	/* A NULL key would mean "the key from before", of which there is none. */
	if (!EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key ? key : "",
			key_len, p, len, md, sizeof md, &md_len) ||
	    md_len != sizeof md)
		return crypto_failed(err, "HMAC-SHA256");
	memcpy(out, md, sizeof md);
	return ERR_OK;
}

/* What EVP_DigestVerify() says of it: 1 is yes, and there is no middle. */
static bool
is_signed_by(EVP_PKEY *key, const void *p, size_t len, const uint8_t *signature, bool *nomem)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
		EVP_DigestVerify(ctx, signature, ED25519_SIGNATURE_BYTES, p, len) == 1;

	*nomem = !ctx;
	EVP_MD_CTX_free(ctx);
	return good;
}

enum err_code
ed25519_verify(const uint8_t key[ED25519_KEY_BYTES], const void *p, size_t len,
	const uint8_t signature[ED25519_SIGNATURE_BYTES], struct err *err)
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, ED25519_KEY_BYTES);
	bool nomem = false, good = pkey && is_signed_by(pkey, len ? p : "", len, signature, &nomem);

	EVP_PKEY_free(pkey);
	ERR_clear_error();
	if (nomem)
		return err_set(err, ERR_NOMEM, "Ed25519");
	return good ? ERR_OK : err_set(err, ERR_SIGNATURE, "the signature is not by this key");
}

bool
crypto_equal(const void *a, size_t a_len, const void *b, size_t b_len)
{
	if (a_len != b_len)
		return false;
	return a_len == 0 || CRYPTO_memcmp(a, b, a_len) == 0;
}

void
hex_encode(const void *p, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *s = p;

	for (size_t i = 0; i < len; i++) {
		*out++ = digits[s[i] >> 4];
		*out++ = digits[s[i] & 15];
	}
	*out = '\0';
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum err_code
hex_decode(const char *s, size_t len, void *out)
{
	unsigned char *to = out;

	if (strlen(s) != 2 * len)
		return ERR_INVALID;
	for (size_t i = 0; i < len; i++) {
		int high = hex_digit(s[2 * i]), low = hex_digit(s[2 * i + 1]);

		if (high < 0 || low < 0)
			return ERR_INVALID;
		to[i] = (unsigned char)(high << 4 | low);
	}
	return ERR_OK;
}

static const char alphabet_std[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char alphabet_url[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Three bytes become four characters; one or two left over become two or
 * three, and '=' up to four if `pad`. */
static void
encode(struct buf *out, const unsigned char *s, size_t len,
	const char *alphabet, bool pad)
{
	for (size_t i = 0; i < len; i += 3) {
		size_t left = len - i < 3 ? len - i : 3;
		unsigned bits = (unsigned)s[i] << 16;
		char quad[4];

		if (left > 1)
			bits |= (unsigned)s[i + 1] << 8;
		if (left > 2)
			bits |= s[i + 2];
		for (int k = 0; k < 4; k++)
			quad[k] = alphabet[bits >> (18 - 6 * k) & 63];
		for (size_t k = left + 1; k < 4; k++)
			quad[k] = '=';
		buf_put(out, quad, pad ? 4 : left + 1);
	}
}

void
base64_encode(struct buf *out, const void *p, size_t len)
{
	encode(out, p, len, alphabet_std, true);
}

void
base64url_encode(struct buf *out, const void *p, size_t len)
{
	encode(out, p, len, alphabet_url, false);
}

/* The value of one character, or -1. */
static int
sextet(unsigned char c, const char *alphabet)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == (unsigned char)alphabet[62])
		return 62;
	if (c == (unsigned char)alphabet[63])
		return 63;
	return -1;
}

/* s has no padding any more.  Returns false, and may have written some of
 * `to`, if it is not what encode() makes of any bytes. */
static bool
decode(unsigned char *to, const char *s, size_t len, const char *alphabet)
{
	unsigned bits = 0, have = 0;

	if (len % 4 == 1)
		return false;
	for (size_t i = 0; i < len; i++) {
		int v = sextet((unsigned char)s[i], alphabet);

		if (v < 0)
			return false;
		bits = bits << 6 | (unsigned)v;
		have += 6;
		if (have >= 8) {
			have -= 8;
			*to++ = (unsigned char)(bits >> have);
			bits &= (1u << have) - 1;
		}
	}
	/* Two texts for the same bytes would let a token be altered unseen. */
	return bits == 0;
}

static enum err_code
decode_to(struct buf *out, const char *s, size_t len, const char *alphabet)
{
	size_t bytes = len / 4 * 3 + (len % 4 ? len % 4 - 1 : 0);
	char *to = buf_reserve(out, bytes);
	bool good;

	if (!to)
		return out->err;
	good = decode((unsigned char *)to, s, len, alphabet);
	if (good)
		out->len += bytes;
	out->p[out->len] = '\0';
	return good ? ERR_OK : ERR_INVALID;
}

enum err_code
base64_decode(struct buf *out, const char *s, size_t len)
{
	if (len % 4)
		return ERR_INVALID;
	for (int pad = 0; pad < 2 && len > 0 && s[len - 1] == '='; pad++)
		len--;
	return decode_to(out, s, len, alphabet_std);
}

enum err_code
base64url_decode(struct buf *out, const char *s, size_t len)
{
	return decode_to(out, s, len, alphabet_url);
}
