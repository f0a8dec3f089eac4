#include "config.h"

#include "base/token.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdbool.h>
#include <string.h>

#include "base/crypto.h"

/* On the wire, before base64url: version, nonce, ciphertext, tag. */
#define FORM_VERSION 1
#define NONCE_BYTES 12
#define TAG_BYTES 16
#define OVERHEAD_BYTES (1 + NONCE_BYTES + TAG_BYTES)
#define MAX_BYTES (OVERHEAD_BYTES + TOKEN_MAX_PLAIN)

#define KEY_BYTES 32
#define MIN_SECRET_CHARS 16

struct key {
	uint8_t b[KEY_BYTES];
	uint8_t mac[KEY_BYTES];		/* that signs */
};

struct keyring {
	size_t n;
	struct key keys[];
};

static size_t
keyring_bytes(size_t n)
{
	return sizeof(struct keyring) + n * sizeof(struct key);
}

/* HKDF-SHA256 (RFC 5869) without salt: the secret is the operator's and the
 * only one; `info` keeps its key apart from other uses of the same secret. */
static enum err_code
derive(const char *secret, size_t len, const char *info, uint8_t ret[KEY_BYTES], struct err *err)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret, len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info,
			strlen(info)),
		OSSL_PARAM_construct_end(),
	};
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	bool good = ctx && EVP_KDF_derive(ctx, ret, KEY_BYTES, params) == 1;

	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	if (good)
		return ERR_OK;
	ERR_clear_error();
	return err_set(err, ERR_INTERNAL, "HKDF-SHA256 failed");
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The next secret of the list without the blanks around it, borrowed from
 * there; *list moves behind its comma, or becomes NULL after the last one. */
static size_t
next_secret(const char **list, const char **ret)
{
	const char *s = *list, *comma = strchr(s, ',');
	size_t len = comma ? (size_t)(comma - s) : strlen(s);

	*list = comma ? comma + 1 : NULL;
	for (; len > 0 && is_blank(*s); len--)
		s++;
	while (len > 0 && is_blank(s[len - 1]))
		len--;
	*ret = s;
	return len;
}

static size_t
count_secrets(const char *list)
{
	size_t n = 1;

	for (; *list; list++)
		n += *list == ',';
	return n;
}

enum err_code
keyring_new(const char *secrets, struct keyring **ret, struct err *err)
{
	size_t n = count_secrets(secrets);
	struct keyring *k = mem_alloc(keyring_bytes(n));
	enum err_code rc;

	if (!k)
		return err_set(err, ERR_NOMEM, "keyring");
	for (k->n = 0; secrets; k->n++) {
		const char *secret;
		size_t len = next_secret(&secrets, &secret);

		/* The text goes to the log, so it may not quote the secret. */
		if (len < MIN_SECRET_CHARS) {
			rc = err_set(err, ERR_CONFIG,
				"secret %zu has %zu characters; at least %d are needed",
				k->n + 1, len, MIN_SECRET_CHARS);
			goto out;
		}
		rc = derive(secret, len, "gengate token 1", k->keys[k->n].b, err);
		if (!rc)
			rc = derive(secret, len, "gengate signature 1", k->keys[k->n].mac, err);
		if (rc)
			goto out;
	}
	*ret = k;
	k = NULL;
	rc = ERR_OK;
out:
	keyring_free(&k);
	return rc;
}

void
keyring_free(struct keyring **keys)
{
	struct keyring *k = *keys;

	if (k)
		mem_free_secret(k, keyring_bytes(k->n));
	*keys = NULL;
}

/* Key, nonce, and what is authenticated beside the text.  The version comes
 * first and has one byte, so no two pairs of version and purpose look alike. */
static bool
gcm_start(EVP_CIPHER_CTX *ctx, int enc, const struct key *key,
	const uint8_t *head, const char *purpose)
{
	int n;

	return EVP_CipherInit_ex2(ctx, EVP_aes_256_gcm(), key->b, head + 1, enc,
			NULL) == 1 &&
	       EVP_CipherUpdate(ctx, NULL, &n, head, 1) == 1 &&
	       EVP_CipherUpdate(ctx, NULL, &n, (const uint8_t *)purpose,
			(int)strlen(purpose)) == 1;
}

/* raw starts with version and nonce; text and tag are put behind them. */
static bool
gcm_seal(EVP_CIPHER_CTX *ctx, const struct key *key, const char *purpose,
	const void *plain, size_t len, uint8_t *raw)
{
	uint8_t *text = raw + 1 + NONCE_BYTES;
	int n;

	return gcm_start(ctx, 1, key, raw, purpose) &&
	       (len == 0 || EVP_CipherUpdate(ctx, text, &n, plain, (int)len) == 1) &&
	       EVP_CipherFinal_ex(ctx, text + len, &n) == 1 &&
	       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES,
			text + len) == 1;
}

/* False if it is not this key's; what is in `plain` then is not to be used. */
static bool
gcm_open(EVP_CIPHER_CTX *ctx, const struct key *key, const char *purpose,
	const uint8_t *raw, size_t raw_len, uint8_t *plain)
{
	const uint8_t *text = raw + 1 + NONCE_BYTES;
	size_t len = raw_len - OVERHEAD_BYTES;
	uint8_t tag[TAG_BYTES], none[1];
	int n;

	memcpy(tag, text + len, sizeof tag);
	return gcm_start(ctx, 0, key, raw, purpose) &&
	       (len == 0 || EVP_CipherUpdate(ctx, plain, &n, text, (int)len) == 1) &&
	       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1 &&
	       EVP_CipherFinal_ex(ctx, none, &n) == 1;
}

enum err_code
token_seal(const struct keyring *keys, const char *purpose,
	const void *plain, size_t len, struct buf *out, struct err *err)
{
	uint8_t raw[MAX_BYTES] = { FORM_VERSION };
	EVP_CIPHER_CTX *ctx;
	enum err_code rc;
	bool good;

	if (len > TOKEN_MAX_PLAIN)
		return err_set(err, ERR_TOO_BIG, "a token takes %d bytes, not %zu",
			TOKEN_MAX_PLAIN, len);
	rc = crypto_random(raw + 1, NONCE_BYTES, err);
	if (rc)
		return rc;
	ctx = EVP_CIPHER_CTX_new();
	if (!ctx)
		return err_set(err, ERR_NOMEM, "AES-256-GCM");
	good = gcm_seal(ctx, &keys->keys[0], purpose, plain, len, raw);
	EVP_CIPHER_CTX_free(ctx);
	if (!good) {
		ERR_clear_error();
		return err_set(err, ERR_INTERNAL, "AES-256-GCM failed");
	}
	base64url_encode(out, raw, OVERHEAD_BYTES + len);
	if (out->err)
		return err_set(err, out->err, "token");
	return ERR_OK;
}

/* Try the keys one after the other. */
static enum err_code
open_raw(const struct keyring *keys, const char *purpose, const uint8_t *raw,
	size_t raw_len, uint8_t *plain, struct err *err)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	bool good = false;

	if (!ctx)
		return err_set(err, ERR_NOMEM, "AES-256-GCM");
	for (size_t i = 0; i < keys->n && !good; i++) {
		EVP_CIPHER_CTX_reset(ctx);
		good = gcm_open(ctx, &keys->keys[i], purpose, raw, raw_len, plain);
	}
	EVP_CIPHER_CTX_free(ctx);
	ERR_clear_error();
	if (!good)
		return err_set(err, ERR_INVALID, "the token is not ours");
	return ERR_OK;
}

enum err_code
token_open(const struct keyring *keys, const char *purpose,
	const char *text, size_t len, void *plain, size_t *ret_len, struct err *err)
{
	struct buf raw = BUF_INIT(MAX_BYTES);
	uint8_t opened[TOKEN_MAX_PLAIN];
	size_t plain_len;
	enum err_code rc;

	rc = base64url_decode(&raw, text, len);
	if (rc == ERR_NOMEM) {
		err_set(err, rc, "token");
		goto out;
	}
	if (rc || raw.len < OVERHEAD_BYTES || (uint8_t)raw.p[0] != FORM_VERSION) {
		rc = err_set(err, ERR_INVALID, "not a token");
		goto out;
	}
	rc = open_raw(keys, purpose, (const uint8_t *)raw.p, raw.len, opened, err);
	if (rc)
		goto out;
	plain_len = raw.len - OVERHEAD_BYTES;
	memcpy(plain, opened, plain_len);
	*ret_len = plain_len;
out:
	OPENSSL_cleanse(opened, sizeof opened);
	buf_clear(&raw);
	return rc;
}

/* ---- signatures ---- */

/* The purpose ends in a NUL, which it has none of: no two pairs look alike. */
static enum err_code
sign_by(const struct key *key, const char *purpose, const char *text, uint8_t out[SHA256_BYTES],
	struct err *err)
{
	struct buf all = BUF_INIT(16384);
	enum err_code rc;

	buf_put(&all, purpose, strlen(purpose) + 1);
	buf_puts(&all, text);
	rc = all.err ? err_set(err, all.err, "signature")
		: hmac_sha256(key->mac, sizeof key->mac, buf_str(&all), all.len, out, err);
	buf_clear(&all);
	return rc;
}

enum err_code
token_sign(const struct keyring *keys, const char *purpose, const char *text, struct buf *out,
	struct err *err)
{
	uint8_t mac[SHA256_BYTES];
	enum err_code rc = sign_by(&keys->keys[0], purpose, text, mac, err);

	if (rc)
		return rc;
	base64url_encode(out, mac, sizeof mac);
	return out->err ? err_set(err, out->err, "signature") : ERR_OK;
}

enum err_code
token_verify(const struct keyring *keys, const char *purpose, const char *text,
	const char *signature, struct err *err)
{
	struct buf raw = BUF_INIT(SHA256_BYTES);
	enum err_code rc = base64url_decode(&raw, signature, strlen(signature));
	bool good = false;

	if (rc == ERR_NOMEM)
		return err_set(err, rc, "signature");
	rc = ERR_OK;
	for (size_t i = 0; i < keys->n && !good && !rc; i++) {
		uint8_t mac[SHA256_BYTES];

		rc = sign_by(&keys->keys[i], purpose, text, mac, err);
		good = !rc && crypto_equal(mac, sizeof mac, buf_str(&raw), raw.len);
	}
	buf_clear(&raw);
	return rc ? rc : good ? ERR_OK : err_set(err, ERR_INVALID, "the signature is not ours");
}
