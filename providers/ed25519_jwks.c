#include "config.h"

#include "providers/ed25519_jwks.h"

#include "providers/reply.h"
#include "providers/webhook.h"

/* ERR_INVALID: it is none; ERR_NOMEM. */
static enum err_code
read_key(const char *x, size_t len, uint8_t key[ED25519_KEY_BYTES])
{
	struct buf raw = BUF_INIT(ED25519_KEY_BYTES);
	enum err_code rc = base64url_decode(&raw, x, len);

	if (rc != ERR_NOMEM && raw.len != ED25519_KEY_BYTES)
		rc = ERR_INVALID;
	if (!rc)
		memcpy(key, raw.p, ED25519_KEY_BYTES);
	buf_clear(&raw);
	return rc;
}

enum err_code
ed25519_jwks_read(const json_t *doc, struct buf *ret)
{
	uint8_t key[ED25519_KEY_BYTES];
	size_t i, before = ret->len;
	json_t *jwk;

	json_array_foreach(json_object_get(doc, "keys"), i, jwk) {
		const char *x = reply_string(jwk, "x");
		enum err_code rc = x ? read_key(x, strlen(x), key) : ERR_INVALID;

		if (!rc)
			buf_printf(ret, "%s%s", ret->len > before ? "," : "", x);
		else if (rc == ERR_NOMEM)
			return rc;
	}
	return ERR_OK;
}

enum err_code
ed25519_jwks_verify(const char *keys, const struct buf *text, const uint8_t signature[ED25519_SIGNATURE_BYTES])
{
	enum err_code rc = ERR_SIGNATURE;
	const char *x;
	size_t len;

	while ((rc == ERR_SIGNATURE || rc == ERR_INVALID) && webhook_next_item(&keys, ',', &x, &len)) {
		uint8_t key[ED25519_KEY_BYTES];

		rc = read_key(x, len, key);
		if (!rc)
			rc = ed25519_verify(key, text->p, text->len, signature, NULL);
	}
	return rc == ERR_INVALID ? ERR_SIGNATURE : rc;
}
