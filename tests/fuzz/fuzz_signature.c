/*
 * A webhook's signature: secrets, webhook-id, webhook-timestamp, webhook-signature,
 * a line each, then the body.  What we sign ourselves verifies; what verifies is in
 * time, and does not any more for another body.
 */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include "base/crypto.h"
#include "providers/standard_webhooks.h"
#include "providers/webhook.h"

#define NOW_S 1700000000

struct headers {
	const char *id, *timestamp, *signature;
};

static const char *
header(const void *ctx, const char *name)
{
	const struct headers *h = ctx;

	return strcmp(name, "webhook-id") == 0 ? h->id : strcmp(name, "webhook-timestamp") == 0 ? h->timestamp
		: strcmp(name, "webhook-signature") == 0 ? h->signature : NULL;
}

static enum err_code
verify(const char *secrets, const struct headers *h, const char *body, size_t len, int64_t now_s)
{
	const struct webhook wh = { .header = header, .ctx = h, .body = body, .body_len = len };
	struct err err = ERR_INIT;
	char *delivery = NULL;
	enum err_code rc = standard_webhooks_verify(secrets, &wh, now_s, &delivery, &err);

	MUST(rc == ERR_OK || rc == ERR_SIGNATURE);
	MUST_SAY(rc, &err);
	MUST(!delivery == (rc != ERR_OK));
	if (!rc)
		MUST(strcmp(delivery, h->id) == 0);
	mem_free(delivery);
	return rc;
}

static void
try_given(const char *secrets, const struct headers *h, const char *body, size_t len)
{
	char *other;

	if (verify(secrets, h, body, len, NOW_S))
		return;
	MUST(verify(secrets, h, body, len, NOW_S + 2 * WEBHOOK_TOLERANCE_S + 1) == ERR_SIGNATURE);
	other = copy_exactly(body, len + 1);
	other[len] = ' ';
	MUST(verify(secrets, h, other, len + 1, NOW_S) == ERR_SIGNATURE);
	mem_free(other);
}

static void
try_ours(const char *secrets, const char *id, const char *body, size_t len)
{
	struct http_request rq = HTTP_REQUEST_INIT;
	struct err err = ERR_INIT;
	enum err_code rc = http_request_set_body(&rq, body, len), usable = standard_webhooks_check(secrets, &err);

	MUST_SAY(usable, &err);
	if (!rc)
		rc = standard_webhooks_sign(secrets, id, NOW_S, &rq, NULL);
	if (!rc && !usable && *id && strlen(id) <= 200) {
		const struct headers h = { rq.headers[0].value, rq.headers[1].value, rq.headers[2].value };

		MUST(rq.n_headers == 3 && verify(secrets, &h, body, len, NOW_S) == ERR_OK);
	}
	http_request_clear(&rq);
}

/* Any key and signature: an answer, whatever they are. */
static void
try_ed25519(const char *key, const char *signature, const char *body, size_t len)
{
	uint8_t k[ED25519_KEY_BYTES] = { 0 }, sig[ED25519_SIGNATURE_BYTES] = { 0 };
	struct err err = ERR_INIT;
	enum err_code rc;

	memcpy(k, key, strlen(key) < sizeof k ? strlen(key) : sizeof k);
	memcpy(sig, signature, strlen(signature) < sizeof sig ? strlen(signature) : sizeof sig);
	rc = ed25519_verify(k, body, len, sig, &err);
	MUST(rc == ERR_OK || rc == ERR_SIGNATURE);
	MUST_SAY(rc, &err);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = INPUT(data, size);
	char *secrets = input_line(&in), *id = input_line(&in), *timestamp = input_line(&in),
		*signature = input_line(&in);
	size_t len = in.len;
	char *body = input_rest(&in);

	fuzz_begin();
	try_given(secrets, &(struct headers){ id, timestamp, signature }, body, len);
	try_ours(secrets, id, body, len);
	try_ed25519(secrets, signature, body, len);
	mem_free(body);
	mem_free(signature);
	mem_free(timestamp);
	mem_free(id);
	mem_free(secrets);
	return 0;
}
