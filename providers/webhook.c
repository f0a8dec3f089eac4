#include "config.h"

#include "providers/webhook.h"

#include <string.h>

#include "base/cfg.h"

enum err_code
webhook_check_age(const char *header, const char *timestamp, int64_t now_s, struct err *err)
{
	uint64_t then;

	if (strlen(timestamp) > WEBHOOK_TIMESTAMP_MAX ||
	    parse_u64(timestamp, strlen(timestamp), 0, INT64_MAX, &then))
		return err_set(err, ERR_SIGNATURE, "%s is no number", header);
	if ((int64_t)then < now_s - WEBHOOK_TOLERANCE_S || (int64_t)then > now_s + WEBHOOK_TOLERANCE_S)
		return err_set(err, ERR_SIGNATURE, "%s is %lld s off; at most %d are allowed: is the clock right?",
			header, (long long)((int64_t)then - now_s), WEBHOOK_TOLERANCE_S);
	return ERR_OK;
}

bool
webhook_next_item(const char **list, char sep, const char **item, size_t *len)
{
	const char *p = *list, *end;

	while (*p == ' ' || *p == sep)
		p++;
	if (*p == '\0')
		return false;
	end = strchr(p, sep);
	if (!end)
		end = p + strlen(p);
	*list = end;
	while (end > p && end[-1] == ' ')
		end--;
	*item = p;
	*len = (size_t)(end - p);
	return true;
}

void
webhook_check_secrets(const char *row, const char *secrets, size_t min, struct buf *mistakes)
{
	const char *secret;
	size_t len, n = 0;

	while (webhook_next_item(&secrets, ',', &secret, &len))
		if (n++, len < min)
			cfg_mistake(mistakes, row, "secret %zu is shorter than %zu characters", n, min);
	if (n == 0)
		cfg_mistake(mistakes, row, "has no secret in it");
}

enum err_code
webhook_hmac_verify(const char *secrets, const void *p, size_t len, const char *hex, struct err *err)
{
	uint8_t signature[SHA256_BYTES], digest[SHA256_BYTES];
	const char *secret;
	size_t secret_len;

	if (hex_decode(hex, sizeof signature, signature))
		return err_set(err, ERR_SIGNATURE, "the signature is not %d bytes in hexadecimal", SHA256_BYTES);
	while (webhook_next_item(&secrets, ',', &secret, &secret_len)) {
		enum err_code rc = hmac_sha256(secret, secret_len, p, len, digest, err);

		if (rc || crypto_equal(digest, sizeof digest, signature, sizeof signature))
			return rc;
	}
	return err_set(err, ERR_SIGNATURE, "no signature matches");
}

enum err_code
webhook_hmac_sign(const char *secrets, const void *p, size_t len, char hex[SHA256_HEX_SIZE], struct err *err)
{
	uint8_t digest[SHA256_BYTES];
	const char *secret;
	size_t secret_len;
	enum err_code rc;

	if (!webhook_next_item(&secrets, ',', &secret, &secret_len))
		return err_set(err, ERR_CONFIG, "there is no secret to sign a webhook with");
	rc = hmac_sha256(secret, secret_len, p, len, digest, err);
	if (!rc)
		hex_encode(digest, sizeof digest, hex);
	return rc;
}
