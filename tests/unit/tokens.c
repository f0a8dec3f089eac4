#include "config.h"

#include "tests/unit/unit.h"

#include "tests/unit/tokens.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/rsa.h>

#include "base/crypto.h"

EVP_PKEY *
test_key(const char *kind, unsigned bits)
{
	EVP_PKEY *key = strcmp(kind, "RSA") == 0 ? EVP_RSA_gen(bits)
		: EVP_EC_gen(strcmp(kind, "EC") == 0 ? "P-256" : "P-384");

	assert_non_null(key);
	return key;
}

/* A number, big endian, filled up to at least `bytes`. */
static void
put_number(struct buf *out, EVP_PKEY *key, const char *name, int bytes)
{
	BIGNUM *n = NULL;
	unsigned char b[1024];
	int len;

	assert_int_equal(EVP_PKEY_get_bn_param(key, name, &n), 1);
	len = BN_num_bytes(n) > bytes ? BN_num_bytes(n) : bytes;
	assert_int_equal(BN_bn2binpad(n, b, len), len);
	base64url_encode(out, b, (size_t)len);
	BN_free(n);
}

void
put_jwk(struct buf *out, EVP_PKEY *key, const char *kid, const char *more)
{
	bool ec = EVP_PKEY_get_base_id(key) == EVP_PKEY_EC;
	int bytes = (EVP_PKEY_get_bits(key) + 7) / 8;

	buf_printf(out, "{\"kid\":\"%s\",\"kty\":\"%s\",", kid, ec ? "EC" : "RSA");
	if (ec)
		buf_printf(out, "\"crv\":\"P-%d\",", EVP_PKEY_get_bits(key));
	buf_puts(out, ec ? "\"x\":\"" : "\"n\":\"");
	put_number(out, key, ec ? OSSL_PKEY_PARAM_EC_PUB_X : OSSL_PKEY_PARAM_RSA_N, ec ? bytes : 1);
	buf_puts(out, ec ? "\",\"y\":\"" : "\",\"e\":\"");
	put_number(out, key, ec ? OSSL_PKEY_PARAM_EC_PUB_Y : OSSL_PKEY_PARAM_RSA_E, ec ? bytes : 1);
	buf_printf(out, "\"%s}", more);
}

static void
put_signed_part(struct buf *out, const char *header, const char *payload)
{
	base64url_encode(out, header, strlen(header));
	buf_putc(out, '.');
	base64url_encode(out, payload, strlen(payload));
}

/* JOSE has r and s side by side, OpenSSL an ASN.1 sequence of them. */
static size_t
raw_signature(unsigned char *sig, size_t len)
{
	const unsigned char *p = sig;
	ECDSA_SIG *rs = d2i_ECDSA_SIG(NULL, &p, (long)len);

	assert_non_null(rs);
	assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(rs), sig, 32), 32);
	assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(rs), sig + 32, 32), 32);
	ECDSA_SIG_free(rs);
	return 64;
}

void
put_token(struct buf *out, const char *header, const char *payload, EVP_PKEY *key)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t at = out->len, len;
	unsigned char sig[1024];

	put_signed_part(out, header, payload);
	len = sizeof sig;
	assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key), 1);
	assert_int_equal(EVP_DigestSign(ctx, sig, &len, (unsigned char *)out->p + at, out->len - at), 1);
	EVP_MD_CTX_free(ctx);
	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC)
		len = raw_signature(sig, len);
	buf_putc(out, '.');
	base64url_encode(out, sig, len);
}

void
put_hs256_token(struct buf *out, const char *header, const char *payload, const void *secret, size_t len)
{
	uint8_t mac[SHA256_BYTES];
	size_t at = out->len;

	put_signed_part(out, header, payload);
	assert_int_equal(hmac_sha256(secret, len, out->p + at, out->len - at, mac, NULL), ERR_OK);
	buf_putc(out, '.');
	base64url_encode(out, mac, sizeof mac);
}
