/*
 * Black Forest Labs.  Sources: https://docs.bfl.ai/quick_start/generating_images,
 * https://docs.bfl.ai/api-reference (get_result), and the vendor's own guide for
 * integrations, https://github.com/black-forest-labs/skills (bfl-api).
 */
#include "config.h"

#include <strings.h>

#include "base/crypto.h"
#include "base/url.h"
#include "providers/call.h"
#include "providers/provider.h"
#include "providers/reply.h"
#include "providers/webhook.h"

/* The signed URL of an output is good for that long. */
#define RETENTION_MS (10 * 60 * 1000)

#define SECRET_MIN 16

static const struct cfg_row options[] = {
	PROVIDER_URL("bfl_url", "https://api.bfl.ai/v1",
		"Where Black Forest Labs' API is; its regions have addresses of their own."),
	PROVIDER_KEY("bfl_key", "Black Forest Labs' API key (https://dashboard.bfl.ai). Needed to use them."),
	PROVIDER_WEBHOOK_SECRET("bfl_webhook_secret",
		"A secret of your own choice, 16 characters or more, by which Black Forest Labs' webhooks are "
		"signed; several, separated by commas, while one replaces another: the first goes with new "
		"jobs. Without it jobs are polled."),
	CFG_END
};

static const char *const output_hosts[] = { ".bfl.ai", "bfldeliveryprod.blob.core.windows.net", NULL };

static void
check(const void *settings, struct buf *mistakes)
{
	const char *list = ((const struct provider_api *)settings)->webhook_secret, *secret;
	size_t len, n = 0;

	if (!list)
		return;
	while (webhook_next_item(&list, ',', &secret, &len))
		if (n++, len < SECRET_MIN)
			cfg_mistake(mistakes, "bfl_webhook_secret", "secret %zu is shorter than %d characters",
				n, SECRET_MIN);
	if (n == 0)
		cfg_mistake(mistakes, "bfl_webhook_secret", "has no secret in it");
}

static const struct profile_member profile[] = {
	{ "model", PROFILE_TEXT, false },
	{ "input", PROFILE_OBJECT, false },
	{ .name = NULL }
};

static json_t *
first_secret(const char *list)
{
	const char *secret;
	size_t len;

	return list && webhook_next_item(&list, ',', &secret, &len) ? json_stringn(secret, len) : NULL;
}

/* The input is the body itself: what a user put into it must not turn the webhook
 * elsewhere. */
static json_t *
create_body(const struct provider_api *api, const struct gen_spec *spec)
{
	json_t *body = json_copy(json_object_get(spec->on, "input"));

	json_object_del(body, "webhook_url");
	json_object_del(body, "webhook_secret");
	if (spec->webhook_url &&
	    (json_object_set_new(body, "webhook_url", json_string(spec->webhook_url)) ||
	     json_object_set_new(body, "webhook_secret", first_secret(api->webhook_secret)))) {
		json_decref(body);
		return NULL;
	}
	return body;
}

static void
submit_request(const void *settings, const struct gen_spec *spec, struct call *c)
{
	call_put(c, "/", reply_string(spec->on, "model"));
	call_json(c, create_body(settings, spec));
}

static const struct status_word words[] = {
	{ "Pending", GEN_PROCESSING, ERR_OK },
	{ "Ready", GEN_SUCCEEDED, ERR_OK },
	{ "Error", GEN_FAILED, ERR_PROVIDER_FAILED },
	{ "Failed", GEN_FAILED, ERR_PROVIDER_FAILED },
	{ "Request Moderated", GEN_FAILED, ERR_CONTENT_BLOCKED },
	{ "Content Moderated", GEN_FAILED, ERR_CONTENT_BLOCKED },
	{ .word = NULL }
};

static bool
is_blocked(const json_t *doc)
{
	const char *error = reply_string(doc, "error");

	return error && strcmp(error, "content_policy_violation") == 0;
}

/* "status", or "state" as some of its servers have it. */
static const char *
status_member(const json_t *doc)
{
	return reply_string(doc, "status") ? "status" : "state";
}

/* A task that has a status, from a status call or a webhook. */
static enum err_code
read_task(const json_t *doc, struct gen_observation *obs)
{
	if (reply_status(words, doc, status_member(doc), obs))
		return ERR_NOMEM;
	if (obs->status == GEN_FAILED && is_blocked(doc))
		obs->error = ERR_CONTENT_BLOCKED;
	obs->outputs = reply_collect_urls(json_object_get(json_object_get(doc, "result"), "sample"));
	if (!obs->outputs || (reply_id(doc, "id") && reply_keep(&obs->prediction_id, doc, "id")) ||
	    reply_keep(&obs->message, doc, "error") || reply_keep(&obs->message, doc, "message"))
		return ERR_NOMEM;
	return ERR_OK;
}

/* May a polling URL have our key?  The vendor's hosts are many, and change. */
static enum err_code
check_own(const char *api_url, const char *text)
{
	static const char domain[] = ".bfl.ai";
	struct url url = { .scheme = NULL };
	enum err_code rc = call_check_own(api_url, text);
	size_t len;

	if (rc != ERR_INVALID)
		return rc;
	rc = url_parse(text, &url);
	len = rc ? 0 : strlen(url.host);
	if (!rc && (url.has_userinfo || url.port != 443 || strcmp(url.scheme, "https") != 0 ||
		    len < sizeof domain || strcasecmp(url.host + len - (sizeof domain - 1), domain) != 0))
		rc = ERR_INVALID;
	url_clear(&url);
	return rc;
}

static enum err_code
read_created(const char *api_url, const json_t *doc, struct gen_observation *obs)
{
	const char *url = reply_string(doc, "polling_url");
	enum err_code rc = url && strlen(url) <= HANDLE_MAX ? check_own(api_url, url) : ERR_INVALID;

	if (!rc && !(obs->handle = mem_strdup(url)))
		rc = ERR_NOMEM;
	return rc == ERR_NOMEM ? rc : reply_keep(&obs->prediction_id, doc, "id");
}

static enum err_code
submit_read(const void *settings, const struct answer *answer, struct submit_reply *ret)
{
	if (answer->good && reply_id(answer->doc, "id")) {
		ret->outcome = SUBMIT_ACCEPTED;
		return read_created(((const struct provider_api *)settings)->url, answer->doc, &ret->obs);
	}
	if (ret->error == ERR_PROVIDER_REJECTED && is_blocked(answer->doc))
		ret->error = ERR_CONTENT_BLOCKED;
	return ERR_OK;
}

/* How a URL's query names its task, and how long that is; NULL: it does not. */
static const char *
id_in(const char *url, size_t *len)
{
	const char *p = strchr(url, '?');

	while (p && strncmp(p + 1, "id=", 3) != 0)
		p = strchr(p + 1, '&');
	if (!p)
		return NULL;
	p += strlen("?id=");
	*len = strcspn(p, "&#");
	return p;
}

/* The polling URL, unless it is that of another task; one without an id gets it.  handle:
 * NULL: there is none. */
static void
put_polling_url(struct call *c, const char *handle, const char *prediction_id)
{
	struct buf id = BUF_INIT(4096);
	const char *named;
	size_t len = 0;

	buf_put_urlenc(&id, prediction_id, strlen(prediction_id), NULL);
	named = handle ? id_in(handle, &len) : NULL;
	if (named && len == id.len && memcmp(named, buf_str(&id), len) == 0) {
		call_url(c, handle);
	} else if (handle && !named && !strchr(handle, '#')) {
		call_url(c, handle);
		call_put(c, strchr(handle, '?') ? "&id=" : "?id=", prediction_id);
	} else {
		call_put(c, "/get_result?id=", prediction_id);
	}
	if (id.err)
		call_refuse(c, id.err, NULL);
	buf_clear(&id);
}

/* The key goes there: a URL that is not the API's, any more, is not followed. */
static void
status_request(const void *settings, const struct look_query *query, struct call *c)
{
	const struct provider_api *api = settings;
	enum err_code rc = query->handle ? check_own(api->url, query->handle) : ERR_INVALID;

	if (rc == ERR_NOMEM)
		call_refuse(c, rc, NULL);
	put_polling_url(c, rc ? NULL : query->handle, query->prediction_id);
}

static enum err_code
status_read(const void *settings, const struct look_query *query, const struct answer *answer,
	struct status_reply *ret)
{
	const char *status = reply_string(answer->doc, status_member(answer->doc));

	(void)settings;
	(void)query;
	if (!answer->good || !status)
		return ERR_OK;
	if (strcmp(status, "Task not found") == 0) {
		ret->outcome = STATUS_GONE;
		return ERR_OK;
	}
	ret->outcome = STATUS_SEEN;
	return read_task(answer->doc, &ret->obs);
}

/* The digest itself says which delivery it is, however its digits are written. */
static enum err_code
webhook_verify(const char *list, const struct webhook *wh, int64_t now_s, char **ret_delivery,
	struct err *err)
{
	static const char prefix[] = "sha256=";
	const char *header = wh->header(wh->ctx, "x-bfl-signature");
	uint8_t signature[SHA256_BYTES], digest[SHA256_BYTES];
	char hex[SHA256_HEX_SIZE];
	const char *secret;
	bool match = false;
	size_t len;

	(void)now_s;
	if (!header || strncmp(header, prefix, strlen(prefix)) != 0 ||
	    hex_decode(header + strlen(prefix), sizeof signature, signature))
		return err_set(err, ERR_SIGNATURE, "X-BFL-Signature is missing, or not sha256= and hexadecimal");
	while (!match && webhook_next_item(&list, ',', &secret, &len)) {
		enum err_code rc = hmac_sha256(secret, len, wh->body, wh->body_len, digest, err);

		if (rc)
			return rc;
		match = crypto_equal(digest, sizeof digest, signature, sizeof signature);
	}
	if (!match)
		return err_set(err, ERR_SIGNATURE, "no signature matches");
	hex_encode(digest, sizeof digest, hex);
	*ret_delivery = mem_strdup(hex);
	return *ret_delivery ? ERR_OK : err_set(err, ERR_NOMEM, "webhook id");
}

static enum err_code
webhook_sign(const char *list, int64_t now_s, struct http_request *rq, struct err *err)
{
	char header[8 + SHA256_HEX_SIZE] = "sha256=";
	uint8_t digest[SHA256_BYTES];
	const char *secret;
	size_t len;
	enum err_code rc;

	(void)now_s;
	if (!webhook_next_item(&list, ',', &secret, &len))
		return err_set(err, ERR_CONFIG, "bfl_webhook_secret has no secret in it");
	rc = hmac_sha256(secret, len, rq->body, (size_t)rq->body_bytes, digest, err);
	if (rc)
		return rc;
	hex_encode(digest, sizeof digest, header + strlen(header));
	return http_request_add_header(rq, "X-BFL-Signature", header);
}

static enum err_code
webhook_read(const json_t *doc, struct gen_observation *obs)
{
	return reply_string(doc, status_member(doc)) ? read_task(doc, obs) : ERR_OK;
}

const struct provider provider_bfl = {
	.name = "bfl",
	.title = "Black Forest Labs",
	.caps = PROVIDER_WEBHOOK | PROVIDER_HINTS,
	.options = options,
	.settings_size = sizeof(struct provider_api),
	.key_header = "x-key",
	.needs_key = true,
	.output_hosts = output_hosts,
	.retention_ms = RETENTION_MS,
	.profile = profile,
	.check = check,
	.submit = { .request = submit_request, .read = submit_read },
	.get_status = { status_request, status_read },
	.webhook_verify = webhook_verify,
	.webhook_sign = webhook_sign,
	.webhook_read = webhook_read,
};
