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

#define SUBMIT_TIMEOUT_MS 30000
#define STATUS_TIMEOUT_MS 15000

#define SECRET_MIN 16

struct bfl {
	char *url;
	char *key;
	char *webhook_secret;
};

static const struct cfg_row options[] = {
	{ "bfl_url", CFG_STR, offsetof(struct bfl, url),
	  .def = "https://api.bfl.ai/v1", .max = 2048,
	  .doc = "Where Black Forest Labs' API is; its regions have addresses of their own." },
	{ "bfl_key", CFG_STR, offsetof(struct bfl, key),
	  .max = 512, .flags = CFG_SECRET,
	  .doc = "Black Forest Labs' API key (https://dashboard.bfl.ai). Needed to use them." },
	{ "bfl_webhook_secret", CFG_STR, offsetof(struct bfl, webhook_secret),
	  .max = 4096, .flags = CFG_SECRET,
	  .doc = "A secret of your own choice, 16 characters or more, by which Black Forest Labs' webhooks are "
		"signed; several, separated by commas, while one replaces another: the first goes with new "
		"jobs. Without it jobs are polled." },
	CFG_END
};

static const char *const output_hosts[] = { ".bfl.ai", "bfldeliveryprod.blob.core.windows.net", NULL };

static void
check(const void *settings, struct buf *mistakes)
{
	const struct bfl *b = settings;
	const char *list = b->webhook_secret, *secret;
	size_t len, n = 0;

	call_check_url("bfl_url", b->url, mistakes);
	call_check_secret("bfl_key", b->key, b->url, mistakes);
	if (!b->key)
		cfg_mistake(mistakes, "bfl_key", "has to be set to use Black Forest Labs");
	while (list && webhook_next_item(&list, ',', &secret, &len))
		if (n++, len < SECRET_MIN)
			cfg_mistake(mistakes, "bfl_webhook_secret", "secret %zu is shorter than %d characters",
				n, SECRET_MIN);
	if (b->webhook_secret && n == 0)
		cfg_mistake(mistakes, "bfl_webhook_secret", "has no secret in it");
}

static const char *
api_url(const void *settings)
{
	return ((const struct bfl *)settings)->url;
}

static void
check_profile(const json_t *on, const char *where, struct buf *mistakes)
{
	static const char *const members[] = { "model", "input", NULL };

	call_check_members(on, members, where, mistakes);
	call_check_text(on, "model", where, mistakes);
	call_check_object(on, "input", where, mistakes);
}

static enum err_code
authorize(const void *settings, struct http_request *rq)
{
	return call_credentials(rq, "x-key", "", ((const struct bfl *)settings)->key);
}

static json_t *
first_secret(const struct bfl *b)
{
	const char *list = b->webhook_secret, *secret;
	size_t len;

	return list && webhook_next_item(&list, ',', &secret, &len) ? json_stringn(secret, len) : NULL;
}

/* The input is the body itself: what a user put into it must not turn the webhook
 * elsewhere. */
static json_t *
create_body(const struct bfl *b, const struct gen_spec *spec)
{
	json_t *body = json_copy(json_object_get(spec->on, "input"));

	json_object_del(body, "webhook_url");
	json_object_del(body, "webhook_secret");
	if (spec->webhook_url &&
	    (json_object_set_new(body, "webhook_url", json_string(spec->webhook_url)) ||
	     json_object_set_new(body, "webhook_secret", first_secret(b)))) {
		json_decref(body);
		return NULL;
	}
	return body;
}

static enum err_code
submit_request(const void *settings, const struct gen_spec *spec, struct http_request *rq,
	struct err *err)
{
	const struct bfl *b = settings;
	const char *model = reply_string(spec->on, "model");
	struct buf url = BUF_INIT(4096);
	enum err_code rc;

	if (!model || !json_is_object(json_object_get(spec->on, "input")))
		return err_set(err, ERR_CONFIG, "the model's profile has no model or no input for Black Forest Labs");
	buf_printf(&url, "%s/", b->url);
	buf_put_urlenc(&url, model, strlen(model), NULL);
	rc = call_begin(rq, HTTP_POST, &url, SUBMIT_TIMEOUT_MS);
	if (!rc)
		rc = call_json(rq, create_body(b, spec));
	if (!rc)
		rc = call_idempotency_key(rq, &spec->job_id);
	if (!rc)
		rc = authorize(b, rq);
	return rc ? err_set(err, rc, "Black Forest Labs' create request") : ERR_OK;
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

/* An id that can be one; NULL: there is none. */
static const char *
read_id(const json_t *doc)
{
	const char *id = reply_string(doc, "id");

	return id && *id && strlen(id) <= PREDICTION_ID_MAX ? id : NULL;
}

/* A task that has a status, from a status call or a webhook. */
static enum err_code
read_task(const json_t *doc, const char *id, struct gen_observation *obs)
{
	reply_status_word(words, reply_string(doc, status_member(doc)), obs);
	if (obs->status == GEN_FAILED && is_blocked(doc))
		obs->error = ERR_CONTENT_BLOCKED;
	obs->outputs = reply_collect_urls(json_object_get(json_object_get(doc, "result"), "sample"));
	if (!obs->outputs)
		return ERR_NOMEM;
	obs->prediction_id = mem_strdup(id);
	if (!obs->prediction_id || reply_keep(&obs->status_text, doc, status_member(doc)) ||
	    reply_keep(&obs->message, doc, "error") || reply_keep(&obs->message, doc, "message"))
		return ERR_NOMEM;
	return ERR_OK;
}

/* May a polling URL have our key?  The vendor's hosts are many, and change. */
static enum err_code
check_own(const struct bfl *b, const char *text)
{
	static const char domain[] = ".bfl.ai";
	struct url url = { .scheme = NULL };
	enum err_code rc = call_check_own(b->url, text);
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
read_created(const struct bfl *b, const json_t *doc, struct submit_reply *reply)
{
	const char *id = read_id(doc), *url = reply_string(doc, "polling_url");
	enum err_code rc;

	if (!id)
		return ERR_OK;
	reply->outcome = SUBMIT_ACCEPTED;
	rc = url && strlen(url) <= HANDLE_MAX ? check_own(b, url) : ERR_INVALID;
	if (!rc && !(reply->obs.handle = mem_strdup(url)))
		rc = ERR_NOMEM;
	return rc == ERR_NOMEM ? rc : reply_keep(&reply->obs.prediction_id, doc, "id");
}

static enum err_code
submit_reply(const void *settings, const struct http_response *rs, struct submit_reply *ret,
	struct err *err)
{
	struct submit_reply reply = { .outcome = SUBMIT_UNKNOWN, .obs = GEN_OBSERVATION_INIT };
	json_t *doc = reply_json(buf_str(&rs->body), rs->body.len);
	enum err_code rc = ERR_OK;

	if (rs->status >= 200 && rs->status < 300 && doc)
		rc = read_created(settings, doc, &reply);
	if (!rc && reply.outcome != SUBMIT_ACCEPTED)
		rc = reply_to_create(rs, doc, &reply);
	if (reply.error == ERR_PROVIDER_REJECTED && is_blocked(doc))
		reply.error = ERR_CONTENT_BLOCKED;
	json_decref(doc);
	if (rc) {
		submit_reply_clear(&reply);
		return err_set(err, rc, "Black Forest Labs' answer");
	}
	*ret = reply;
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

/* The polling URL, unless it is that of another task; one without an id gets it. */
static void
put_polling_url(struct buf *url, const struct bfl *b, const struct look_query *query)
{
	struct buf id = BUF_INIT(4096);
	const char *named;
	size_t len = 0;

	buf_put_urlenc(&id, query->prediction_id, strlen(query->prediction_id), NULL);
	named = query->handle ? id_in(query->handle, &len) : NULL;
	if (named && len == id.len && memcmp(named, buf_str(&id), len) == 0)
		buf_puts(url, query->handle);
	else if (query->handle && !named && !strchr(query->handle, '#'))
		buf_printf(url, "%s%cid=%s", query->handle, strchr(query->handle, '?') ? '&' : '?', buf_str(&id));
	else
		buf_printf(url, "%s/get_result?id=%s", b->url, buf_str(&id));
	if (id.err)
		url->err = id.err;
	buf_clear(&id);
}

static enum err_code
status_request(const void *settings, const struct look_query *query, struct http_request *rq,
	struct err *err)
{
	const struct bfl *b = settings;
	struct look_query q = *query;
	struct buf url = BUF_INIT(8192);
	enum err_code rc = q.handle ? check_own(b, q.handle) : ERR_OK;

	/* The key goes there: a URL that is not the API's, any more, is not followed. */
	if (rc == ERR_INVALID) {
		q.handle = NULL;
		rc = ERR_OK;
	}
	if (!rc) {
		put_polling_url(&url, b, &q);
		rc = call_begin(rq, HTTP_GET, &url, STATUS_TIMEOUT_MS);
	}
	if (!rc)
		rc = authorize(b, rq);
	return rc ? err_set(err, rc, "Black Forest Labs' status request") : ERR_OK;
}

static enum err_code
status_reply(const void *settings, const struct look_query *query, const struct http_response *rs,
	struct status_reply *ret, struct err *err)
{
	struct status_reply reply = { .outcome = STATUS_LATER, .obs = GEN_OBSERVATION_INIT };
	json_t *doc = reply_json(buf_str(&rs->body), rs->body.len);
	const char *id = read_id(doc), *status = reply_string(doc, status_member(doc));
	bool good = rs->status >= 200 && rs->status < 300 && status;
	bool missing = good && strcmp(status, "Task not found") == 0;
	enum err_code rc;

	(void)settings;
	if (good && !missing) {
		reply.outcome = STATUS_SEEN;
		rc = read_task(doc, id ? id : query->prediction_id, &reply.obs);
	} else {
		rc = reply_to_look(rs, doc, &reply);
		if (missing)
			reply.outcome = STATUS_GONE;
	}
	json_decref(doc);
	if (rc) {
		status_reply_clear(&reply);
		return err_set(err, rc, "Black Forest Labs' answer");
	}
	*ret = reply;
	return ERR_OK;
}

static bool
webhook_ready(const void *settings)
{
	return ((const struct bfl *)settings)->webhook_secret != NULL;
}

/* The digest itself says which delivery it is, however its digits are written. */
static enum err_code
webhook_verify(const void *settings, const char *fetched, const struct webhook *wh, int64_t now_s,
	char **ret_delivery, struct err *err)
{
	static const char prefix[] = "sha256=";
	const char *header = wh->header(wh->ctx, "x-bfl-signature");
	const char *list = ((const struct bfl *)settings)->webhook_secret, *secret;
	uint8_t signature[SHA256_BYTES], digest[SHA256_BYTES];
	char hex[SHA256_HEX_SIZE];
	bool match = false;
	size_t len;

	(void)fetched;
	(void)now_s;
	if (!list || !header || strncmp(header, prefix, strlen(prefix)) != 0 ||
	    hex_decode(header + strlen(prefix), sizeof signature, signature))
		return err_set(err, ERR_SIGNATURE, "%s", list ? "X-BFL-Signature is missing, or not sha256= and hexadecimal"
			: "bfl_webhook_secret is not set");
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

/* What it says of no job of ours; any member may be long. */
static enum err_code
webhook_probe(const void *settings, int64_t now_s, size_t body_bytes, struct http_request *rq,
	struct err *err)
{
	const char *list = ((const struct bfl *)settings)->webhook_secret, *secret;
	struct buf body = BUF_INIT(body_bytes + 256);
	char header[8 + SHA256_HEX_SIZE] = "sha256=";
	uint8_t digest[SHA256_BYTES];
	size_t len;
	enum err_code rc;

	(void)now_s;
	if (!list || !webhook_next_item(&list, ',', &secret, &len))
		return err_set(err, ERR_CONFIG, "bfl_webhook_secret is not set");
	buf_puts(&body, "{\"id\":\"gengate-check\",\"status\":\"Pending\",\"message\":\"");
	while (!body.err && body.len < body_bytes)
		buf_puts(&body, "gengate check ");
	buf_puts(&body, "\"}");
	rq->method = HTTP_POST;
	rq->timeout_ms = STATUS_TIMEOUT_MS;
	rc = body.err ? body.err : hmac_sha256(secret, len, body.p, body.len, digest, err);
	if (!rc)
		rc = http_request_set_body(rq, buf_str(&body), body.len);
	if (!rc)
		rc = http_request_add_header(rq, "Content-Type", "application/json");
	if (!rc) {
		hex_encode(digest, sizeof digest, header + strlen(header));
		rc = http_request_add_header(rq, "X-BFL-Signature", header);
	}
	buf_clear(&body);
	return rc ? err_set(err, rc, "a webhook to try with") : ERR_OK;
}

static enum err_code
webhook_parse(const void *settings, const struct webhook *wh, struct gen_observation *ret,
	struct err *err)
{
	struct gen_observation obs = GEN_OBSERVATION_INIT;
	json_t *doc = NULL;
	const char *id;
	enum err_code rc = reply_document(wh->body, wh->body_len, &doc);

	(void)settings;
	if (rc)
		return err_set(err, rc, "the webhook's body is not a JSON object");
	id = read_id(doc);
	rc = id && reply_string(doc, status_member(doc)) ? read_task(doc, id, &obs) : ERR_BAD_REQUEST;
	json_decref(doc);
	if (rc) {
		gen_observation_clear(&obs);
		return err_set(err, rc, "not a webhook of Black Forest Labs': id or status is missing");
	}
	*ret = obs;
	return ERR_OK;
}

const struct provider provider_bfl = {
	.name = "bfl",
	.title = "Black Forest Labs",
	.caps = PROVIDER_WEBHOOK | PROVIDER_HINTS,
	.options = options,
	.settings_size = sizeof(struct bfl),
	.output_hosts = output_hosts,
	.retention_ms = RETENTION_MS,
	.check = check,
	.api_url = api_url,
	.check_profile = check_profile,
	.authorize = authorize,
	.submit = { .request = submit_request, .reply = submit_reply },
	.get_status = { status_request, status_reply },
	.webhook_ready = webhook_ready,
	.webhook_verify = webhook_verify,
	.webhook_probe = webhook_probe,
	.webhook_parse = webhook_parse,
};
