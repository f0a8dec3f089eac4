/*
 * Black Forest Labs.  Sources: https://docs.bfl.ai/quick_start/generating_images,
 * https://docs.bfl.ai/api-reference (get_result), and the vendor's own guide for
 * integrations, https://github.com/black-forest-labs/skills (bfl-api).
 */
#include "config.h"

#include <ctype.h>

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
	const char *secrets = ((const struct provider_api *)settings)->webhook_secret;

	if (secrets)
		webhook_check_secrets("bfl_webhook_secret", secrets, SECRET_MIN, mistakes);
}

static const struct profile_member profile[] = {
	{ "model", PROFILE_PATH, false },
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
check_own(const char *api_url, const char *url)
{
	enum err_code rc = call_check_own(api_url, url);

	return rc == ERR_INVALID ? call_check_below(".bfl.ai", url) : rc;
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

/* Is the task's id in the URL's query? */
static bool
names_task(const char *url, const char *id)
{
	const char *p = strstr(url, id);

	return p && p - url > 4 && (memcmp(p - 4, "?id=", 4) == 0 || memcmp(p - 4, "&id=", 4) == 0) &&
		strchr("&", p[strlen(id)]);
}

/* By the polling URL as it is, if it names the task; else its query is the id.  The key goes
 * there: one that is not the API's, any more, is not followed. */
static void
status_request(const void *settings, const struct look_query *query, struct call *c)
{
	const char *url = query->handle;
	enum err_code rc = url ? check_own(((const struct provider_api *)settings)->url, url) : ERR_INVALID;
	bool whole = !rc && names_task(url, query->prediction_id);

	if (rc == ERR_NOMEM)
		call_refuse(c, rc, NULL);
	else if (rc)
		buf_puts(&c->url, "/get_result");
	else
		call_url(c, url, whole ? strlen(url) : strcspn(url, "?#"));
	if (!whole)
		call_put(c, "?id=", query->prediction_id);
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

static const char prefix[] = "sha256=";

/* The signature itself says which delivery it is, however its digits are written. */
static enum err_code
webhook_verify(const char *secrets, const struct webhook *wh, int64_t now_s, char **ret_delivery,
	struct err *err)
{
	const char *header = wh->header(wh->ctx, "x-bfl-signature");
	enum err_code rc;

	(void)now_s;
	if (!header || strncmp(header, prefix, strlen(prefix)) != 0)
		return err_set(err, ERR_SIGNATURE, "X-BFL-Signature is missing, or not sha256=");
	rc = webhook_hmac_verify(secrets, wh->body, wh->body_len, header + strlen(prefix), err);
	if (rc)
		return rc;
	*ret_delivery = mem_strdup(header + strlen(prefix));
	if (!*ret_delivery)
		return err_set(err, ERR_NOMEM, "webhook id");
	for (char *c = *ret_delivery; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return ERR_OK;
}

static enum err_code
webhook_sign(const char *secrets, int64_t now_s, struct http_request *rq, struct err *err)
{
	char header[sizeof prefix + SHA256_HEX_SIZE];
	enum err_code rc;

	(void)now_s;
	memcpy(header, prefix, sizeof prefix);
	rc = webhook_hmac_sign(secrets, rq->body, (size_t)rq->body_bytes, header + strlen(prefix), err);
	return rc ? rc : http_request_add_header(rq, "X-BFL-Signature", header);
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
