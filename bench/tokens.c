#include "config.h"

#include "bench/tokens.h"

#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/clock.h"
#include "base/crypto.h"

#define LIFE_S 3600
#define NUMBER_BYTES 32

struct signer {
	EVP_PKEY *key;
	const char *kid, *issuer;
};

struct signer *
signer_open(const char *file, const char *kid, const char *issuer)
{
	struct signer *s = mem_calloc(1, sizeof *s);
	FILE *f = fopen(file, "r");

	if (s && f)
		*s = (struct signer){ .key = PEM_read_PrivateKey(f, NULL, NULL, NULL), .kid = kid, .issuer = issuer };
	if (f)
		fclose(f);
	return s && s->key ? s : NULL;
}

/* ASN.1 has two numbers of any length, JOSE two of 32 bytes. */
static bool
put_signature(const unsigned char *der, size_t len, struct buf *out)
{
	unsigned char raw[2 * NUMBER_BYTES];
	ECDSA_SIG *rs = d2i_ECDSA_SIG(NULL, &der, (long)len);
	bool good = rs && BN_bn2binpad(ECDSA_SIG_get0_r(rs), raw, NUMBER_BYTES) == NUMBER_BYTES &&
		BN_bn2binpad(ECDSA_SIG_get0_s(rs), raw + NUMBER_BYTES, NUMBER_BYTES) == NUMBER_BYTES;

	ECDSA_SIG_free(rs);
	if (good)
		base64url_encode(out, raw, sizeof raw);
	return good;
}

static bool
sign(struct signer *s, const char *p, size_t len, struct buf *out)
{
	unsigned char der[128];
	size_t der_len = sizeof der;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, s->key) == 1 &&
		EVP_DigestSign(ctx, der, &der_len, (const unsigned char *)p, len) == 1;

	EVP_MD_CTX_free(ctx);
	return good && put_signature(der, der_len, out);
}

bool
signer_put(struct signer *s, const char *user, struct buf *out)
{
	struct buf header = BUF_INIT(1024), claims = BUF_INIT(4096), text = BUF_INIT(8192);
	long long now = clock_wall_us() / 1000000;
	bool good;

	buf_printf(&header, "{\"alg\":\"ES256\",\"kid\":\"%s\",\"typ\":\"JWT\"}", s->kid);
	buf_printf(&claims, "{\"iss\":\"%s\",\"sub\":\"%s\",\"aud\":\"authenticated\",\"exp\":%lld,\"iat\":%lld,"
		"\"email\":\"somebody@example.com\",\"phone\":\"\",\"app_metadata\":{\"provider\":\"email\","
		"\"providers\":[\"email\"]},\"user_metadata\":{\"email_verified\":true},\"role\":\"authenticated\","
		"\"aal\":\"aal1\",\"amr\":[{\"method\":\"password\",\"timestamp\":%lld}],"
		"\"session_id\":\"9c6e4b0e-8d0e-4b0a-9f5e-1f6f0f0d7c3a\",\"is_anonymous\":false}",
		s->issuer, user, now + LIFE_S, now, now);
	base64url_encode(&text, buf_str(&header), header.len);
	buf_putc(&text, '.');
	base64url_encode(&text, buf_str(&claims), claims.len);
	buf_put(out, buf_str(&text), text.len);
	buf_putc(out, '.');
	good = !header.err && !claims.err && !text.err && sign(s, buf_str(&text), text.len, out);
	buf_clear(&header);
	buf_clear(&claims);
	buf_clear(&text);
	return good && !out->err;
}
