#include "config.h"

#include "providers/standard_webhooks.h"

#include "base/crypto.h"
#include "providers/webhook.h"

#define SECRET_MAX 512
#define ID_MAX 256

/* The key behind a secret: key.len is 0 if there is none.  ERR_NOMEM. */
static enum err_code
secret_key(const char *secret, size_t len, struct buf *key)
{
	static const char prefix[] = "whsec_";

	if (len >= sizeof prefix - 1 && memcmp(secret, prefix, sizeof prefix - 1) == 0) {
		secret += sizeof prefix - 1;
		len -= sizeof prefix - 1;
	}
	if (base64_decode(key, secret, len)) {
		if (key->err == ERR_NOMEM)
			return ERR_NOMEM;
		buf_reset(key);
	}
	return ERR_OK;
}

enum err_code
standard_webhooks_check(const char *secrets, struct err *err)
{
	const char *item;
	size_t len, n = 0;

	while (webhook_next_item(&secrets, ',', &item, &len)) {
		struct buf key = BUF_INIT(SECRET_MAX);
		enum err_code rc = secret_key(item, len, &key);
		bool good = key.len >= 16;

		buf_wipe(&key);
		n++;
		if (rc)
			return err_set(err, rc, "secret %zu", n);
		if (!good)
			return err_set(err, ERR_CONFIG, "secret %zu is not \"whsec_\" and base64 of 16 bytes or more", n);
	}
	return n ? ERR_OK : err_set(err, ERR_CONFIG, "no secret");
}

/* Does any "v1,<base64>" of the header equal the digest?  Other versions (v1a
 * is Ed25519) are passed over. */
static bool
any_matches(const char *header, const char *want, size_t want_len)
{
	const char *item;
	size_t len;
	bool match = false;

	while (webhook_next_item(&header, ' ', &item, &len))
		if (len > 3 && memcmp(item, "v1,", 3) == 0 &&
		    crypto_equal(item + 3, len - 3, want, want_len))
			match = true;
	return match;
}

static enum err_code
matches_secret(const char *secret, size_t len, const struct buf *signed_text,
	const char *header, bool *ret, struct err *err)
{
	struct buf key = BUF_INIT(SECRET_MAX), want = BUF_INIT(64);
	uint8_t digest[SHA256_BYTES];
	enum err_code rc = secret_key(secret, len, &key);

	*ret = false;
	if (!rc && key.len > 0) {
		rc = hmac_sha256(key.p, key.len, signed_text->p, signed_text->len, digest, err);
		if (!rc) {
			base64_encode(&want, digest, sizeof digest);
			rc = want.err;
		}
		if (!rc)
			*ret = any_matches(header, buf_str(&want), want.len);
	}
	buf_wipe(&key);
	buf_wipe(&want);
	return rc;
}

enum err_code
standard_webhooks_verify(const char *secrets, const struct webhook *wh, int64_t now_s,
	char **ret_delivery, struct err *err)
{
	const char *id = wh->header(wh->ctx, "webhook-id");
	const char *timestamp = wh->header(wh->ctx, "webhook-timestamp");
	const char *signature = wh->header(wh->ctx, "webhook-signature");
	struct buf text = BUF_INIT(wh->body_len + ID_MAX + WEBHOOK_TIMESTAMP_MAX + 2);
	const char *item;
	size_t len;
	bool match = false;
	enum err_code rc;

	if (!id || !timestamp || !signature || !*id || strlen(id) > ID_MAX)
		return err_set(err, ERR_SIGNATURE, "webhook-id, webhook-timestamp or webhook-signature is missing");
	rc = webhook_check_age("webhook-timestamp", timestamp, now_s, err);
	if (rc)
		return rc;
	buf_printf(&text, "%s.%s.", id, timestamp);
	buf_put(&text, wh->body, wh->body_len);
	rc = text.err;
	while (!rc && !match && webhook_next_item(&secrets, ',', &item, &len))
		rc = matches_secret(item, len, &text, signature, &match, err);
	buf_clear(&text);
	if (rc)
		return err_set(err, rc, "webhook signature");
	if (!match)
		return err_set(err, ERR_SIGNATURE, "no signature matches");
	*ret_delivery = mem_strdup(id);
	return *ret_delivery ? ERR_OK : err_set(err, ERR_NOMEM, "webhook id");
}

/* "v1,<base64>" */
static enum err_code
make_signature(const char *secret, size_t len, const struct buf *text, struct buf *out, struct err *err)
{
	struct buf key = BUF_INIT(SECRET_MAX);
	uint8_t digest[SHA256_BYTES];
	enum err_code rc = secret_key(secret, len, &key);

	if (!rc)
		rc = hmac_sha256(key.p, key.len, text->p, text->len, digest, err);
	if (!rc) {
		buf_puts(out, "v1,");
		base64_encode(out, digest, sizeof digest);
		rc = out->err;
	}
	buf_wipe(&key);
	return rc;
}

enum err_code
standard_webhooks_sign(const char *secrets, const char *id, int64_t now_s,
	struct http_request *rq, struct err *err)
{
	struct buf text = BUF_INIT((size_t)rq->body_bytes + ID_MAX + WEBHOOK_TIMESTAMP_MAX + 2), signature = BUF_INIT(64);
	char timestamp[24];
	const char *item;
	size_t len;
	enum err_code rc;

	if (!webhook_next_item(&secrets, ',', &item, &len))
		return err_set(err, ERR_CONFIG, "no secret to sign a webhook with");
	snprintf(timestamp, sizeof timestamp, "%lld", (long long)now_s);
	buf_printf(&text, "%s.%s.", id, timestamp);
	buf_put(&text, rq->body, (size_t)rq->body_bytes);
	rc = text.err ? text.err : make_signature(item, len, &text, &signature, err);
	if (!rc)
		rc = http_request_add_header(rq, "webhook-id", id);
	if (!rc)
		rc = http_request_add_header(rq, "webhook-timestamp", timestamp);
	if (!rc)
		rc = http_request_add_header(rq, "webhook-signature", buf_str(&signature));
	buf_clear(&text);
	buf_clear(&signature);
	return rc ? err_set(err, rc, "signing a webhook") : ERR_OK;
}
