/* fal's queue API below /fal, with the public keys of its webhooks. */
#include "config.h"

#include "tests/sim/http.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/delivery.h"
#include "tests/sim/pred.h"
#include "tests/sim/sim.h"
#include "tests/sim/webhooks.h"
#include "tests/sim/wire.h"

#define MAX_JSON ((size_t)16 << 20)

/* Above what fits into 64 bits with a sign, as real ones are. */
#define BIG_SEED "17454220438242315174"

static bool
may_call(const struct sim_settings *set, const struct sim_rq *rq)
{
	return wire_has_key(rq, "Key", set->fal_key);
}

/* ---- Failures: `detail` is a text, or for a model's own errors a list. ---- */

static json_t *
model_error(const char *member, const char *msg, const char *type)
{
	json_t *loc = json_pack("[s]", "body");

	if (member)
		json_array_append_new(loc, json_string(member));
	return json_pack("{s:[{s:o,s:s,s:s}]}", "detail", "loc", loc, "msg", msg, "type", type);
}

static void
fail(struct sim_reply *rp, int status, const char *text)
{
	static const struct {
		int status, theirs;
		const char *text;
	} table[] = {
		{ 401, 401, "Authentication is required to access this application" },
		{ 402, 403, "User is locked. Reason: Exhausted balance." },
		{ 404, 404, "Not Found" },
		{ 413, 413, "Request body is too large" },
		{ 429, 429, "Too many requests" },
		{ 500, 500, "Internal Server Error" },
	};

	if (status == 422) {
		reply_json(rp, 422, model_error(NULL, text ? text : "it is refused", "value_error"));
		return;
	}
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].status == status) {
			status = table[i].theirs;
			text = text ? text : table[i].text;
		}
	}
	reply_json(rp, status, json_pack("{s:s}", "detail", text ? text : ""));
}

/* ---- The path: an endpoint is owner/app, or workflows/owner/app, and maybe more. ---- */

static const char *
skip_segment(const char *s)
{
	s += strcspn(s, "/");
	return s + (*s == '/');
}

/* How much of the endpoint is the app, which alone is in a request's URLs. */
static int
app_len(const char *endpoint)
{
	bool in_namespace = strncmp(endpoint, "workflows/", 10) == 0 || strncmp(endpoint, "comfy/", 6) == 0;
	const char *app = skip_segment(in_namespace ? skip_segment(endpoint) : endpoint);

	return (int)(app - endpoint) + (int)strcspn(app, "/");
}

static const char *
endpoint_of(const struct sim_rq *rq)
{
	return rq->path + strlen("/fal/");
}

/* The request that the path names, if it is this app's. */
static struct pred *
find_request(struct sim_rq *rq)
{
	struct pred *p = pred_find(rq->sim, rq->wire, rq->arg[2]);
	const char *path = endpoint_of(rq);
	int len = p ? app_len(p->model) : 0;

	if (!p || strncmp(p->model, path, (size_t)len) != 0 || path[len] != '/')
		return NULL;
	/* What was removed from the queue is not there any more. */
	return p->status == PRED_CANCELED && !p->started_wall ? NULL : p;
}

static void
add_urls(const char *base, const struct pred *p, json_t *body)
{
	static const struct {
		const char *name, *suffix;
	} urls[] = {
		{ "response_url", "" }, { "status_url", "/status" }, { "cancel_url", "/cancel" },
	};

	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
		json_object_set_new(body, urls[i].name, json_sprintf("%s/fal/%.*s/requests/%s%s",
			base, app_len(p->model), p->model, p->id, urls[i].suffix));
}

/* ---- What a model returns. ---- */

static json_t *
file_json(const struct sim *sim, const struct pred *p, unsigned index)
{
	/* [foreign]: a host that no gateway may fetch from (TEST-NET-1). */
	const char *base = p->wishes & WISH_FOREIGN ? "https://192.0.2.1" : sim->base_url;
	bool video = p->wishes & (WISH_VIDEO | WISH_HUGE);
	json_t *file = json_object();

	if (p->wishes & WISH_DATA)
		json_object_set_new(file, "url", json_string(p->data_uri ? p->data_uri : ""));
	else
		json_object_set_new(file, "url", json_sprintf("%s/fal/files/%s/out-%u.%s", base, p->id,
			index, video ? "mp4" : "png"));
	json_object_set_new(file, "content_type", json_string(video ? "video/mp4" : "image/png"));
	json_object_set_new(file, "file_name", json_sprintf("out-%u.%s", index, video ? "mp4" : "png"));
	json_object_set_new(file, "file_size", json_null());
	if (!video) {
		json_object_set_new(file, "width", json_integer(p->width));
		json_object_set_new(file, "height", json_integer(p->height));
	}
	return file;
}

static double
seconds(const struct pred *p)
{
	return (double)(p->completed_wall - p->started_wall) / 1e6;
}

static json_t *
output_json(const struct sim *sim, const struct pred *p)
{
	json_t *output = json_object(), *files = json_array(), *flags = json_array();

	for (unsigned i = 0; i < p->n_outputs && !(p->wishes & WISH_EMPTY); i++) {
		json_array_append_new(files, file_json(sim, p, i));
		json_array_append_new(flags, json_boolean(p->wishes & WISH_BLACK));
	}
	json_object_set_new(output, "prompt", json_string(pred_prompt(p)));
	json_object_set_new(output, "timings", json_pack("{s:f}", "inference", seconds(p)));
	json_object_set_new(output, "seed", p->seed ? json_integer(p->seed) : json_string(BIG_SEED));
	json_object_set_new(output, "has_nsfw_concepts", flags);
	if (p->wishes & WISH_NULL)
		json_object_set_new(output, "images", json_null());
	else if (p->wishes & (WISH_VIDEO | WISH_HUGE))
		json_object_set(output, "video", json_array_get(files, 0));
	else if (p->wishes & WISH_STRING)
		json_object_set(output, "image", json_array_get(files, 0));
	else if (p->wishes & WISH_OBJECT)
		json_object_set_new(output, "result", json_pack("{s:{s:O}}", "files", "all", files));
	else
		json_object_set(output, "images", files);
	json_decref(files);
	return output;
}

/* A seed of that size is beyond our JSON writer: it is a text until now. */
static void
dump(struct buf *out, const json_t *json)
{
	static const char text[] = "\"seed\": \"" BIG_SEED "\"", number[] = "\"seed\": " BIG_SEED;
	char *all = json_dumps(json, JSON_SORT_KEYS | JSON_ENSURE_ASCII);
	const char *at = all ? strstr(all, text) : NULL;

	if (at) {
		buf_put(out, all, (size_t)(at - all));
		buf_puts(out, number);
		buf_puts(out, at + sizeof(text) - 1);
	} else {
		buf_puts(out, all ? all : "");
	}
	free(all);
}

/* What the result's URL answers; the body is new. */
struct result {
	int status;
	json_t *body;
	const char *error, *error_type;	/* of the queue, not the model; NULL: none */
};

static void
infrastructure_failed(struct result *r, int status, const char *error, const char *type)
{
	r->status = status;
	r->error = error;
	r->error_type = type;
	r->body = json_pack("{s:s,s:s}", "detail", error, "error_type", type);
}

static struct result
result_of(const struct sim *sim, const struct pred *p)
{
	struct result r = { .status = 422 };

	if (!pred_ended(p)) {
		r.status = 400;
		r.body = json_pack("{s:s}", "detail", "Request is still in progress");
	} else if (p->status == PRED_SUCCEEDED) {
		r.status = 200;
		r.body = output_json(sim, p);
	} else if (p->status == PRED_CANCELED) {
		infrastructure_failed(&r, 499, "Request was cancelled", "request_cancelled");
	} else if (p->status == PRED_ABORTED) {
		infrastructure_failed(&r, 504, "Request timed out", "request_timeout");
	} else if (p->wishes & WISH_RUNNER) {
		infrastructure_failed(&r, 503, "Runner disconnected", "runner_disconnected");
	} else if (p->wishes & WISH_NSFW) {
		r.body = model_error("prompt", "The content could not be processed because it was "
			"flagged by a content checker.", "content_policy_violation");
	} else if (!*pred_prompt(p)) {
		r.body = model_error("prompt", "field required", "value_error.missing");
	} else {
		r.body = model_error("prompt", "the simulator was asked to fail", "value_error");
	}
	return r;
}

/* ---- Webhooks ---- */

static void
write_webhook(struct sim *sim, const struct pred *p, struct buf *body)
{
	struct result r = result_of(sim, p);
	bool ok = r.status == 200;
	json_t *json = json_pack("{s:s,s:s,s:s,s:o}", "request_id", p->id, "gateway_request_id", p->id,
		"status", ok ? "OK" : "ERROR", "payload", r.body);

	json_object_set_new(json, "error", ok ? json_null() :
		json_sprintf("Invalid status code: %d", r.status));
	if (fault_take_locked(sim, FAULT_WEBHOOK_NO_PAYLOAD, p->webhook, NULL)) {
		json_object_set_new(json, "payload", json_null());
		json_object_set_new(json, "payload_error",
			json_string("Response payload is not JSON serializable"));
	}
	dump(body, json);
	json_decref(json);
}

/* The keys are numbered, so that a test can go on to the next one. */
static EVP_PKEY *
key_number(long n)
{
	unsigned char seed[EVP_MAX_MD_SIZE];
	unsigned int len = 0;
	char text[64];

	snprintf(text, sizeof(text), "the simulator's key %ld", n);
	if (EVP_Digest(text, strlen(text), seed, &len, EVP_sha256(), NULL) != 1)
		return NULL;
	return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
}

static bool
ed25519(long key, const struct buf *text, unsigned char out[64])
{
	EVP_PKEY *pkey = key_number(key);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t len = 64;
	bool ok = pkey && ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
		EVP_DigestSign(ctx, out, &len, (const unsigned char *)text->p, text->len) == 1;

	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	return ok;
}

#define USER "user_sim"
#define FORGER 1000000

static void
sign(const struct sim *sim, const struct letter *letter, struct hook *h)
{
	struct buf text = BUF_INIT(512), value = BUF_INIT(256);
	unsigned char signature[64];
	long key = letter->is_forged ? FORGER : sim->set.fal_webhook_key;

	buf_printf(&value, "%lld", letter->timestamp);
	buf_printf(&text, "%s\n" USER "\n%s\n", letter->pred_id, buf_str(&value));
	sim_digest_hex("SHA256", letter->body, letter->body_len, &text);
	hook_header(h, "X-Fal-Webhook-Request-Id", letter->pred_id);
	hook_header(h, "X-Fal-Webhook-User-Id", USER);
	hook_header(h, "X-Fal-Webhook-Timestamp", buf_str(&value));
	buf_reset(&value);
	if (ed25519(key, &text, signature))
		sim_hex(signature, sizeof(signature), &value);
	hook_header(h, "X-Fal-Webhook-Signature", buf_str(&value));
	buf_clear(&value);
	buf_clear(&text);
}

static long
webhook_retries(const struct sim_settings *set)
{
	return set->fal_webhook_retries;
}

static json_t *
jwk(long n)
{
	struct buf x = BUF_INIT(128);
	unsigned char raw[32];
	size_t len = sizeof(raw);
	EVP_PKEY *pkey = key_number(n);
	json_t *key;

	if (pkey && EVP_PKEY_get_raw_public_key(pkey, raw, &len) == 1)
		sim_base64url(&x, raw, len);
	EVP_PKEY_free(pkey);
	key = json_pack("{s:s,s:s,s:s,s:o}", "kty", "OKP", "crv", "Ed25519", "x", buf_str(&x),
		"kid", json_sprintf("sim-%ld", n));
	buf_clear(&x);
	return key;
}

/* The one that signs is not the first: any of them may be it. */
static void
get_keys(struct sim_rq *rq, struct sim_reply *rp)
{
	struct sim *sim = rq->sim;
	const char *subject = buf_str(&rq->subject);

	pthread_mutex_lock(&sim->lock);
	sim->n.fal_jwks_reads++;
	if (fault_take_locked(sim, FAULT_JWKS_500, subject, NULL))
		fail(rp, 500, NULL);
	else if (fault_take_locked(sim, FAULT_JWKS_HTML, subject, NULL))
		reply_bytes(rp, 200, "text/html", "<html></html>\n", 14);
	else
		reply_json(rp, 200, json_pack("{s:[o,o]}", "keys", jwk(FORGER + 1),
			jwk(sim->set.fal_webhook_key)));
	pthread_mutex_unlock(&sim->lock);
}

/* ---- Submit ---- */

static const char *
queue_status(const struct pred *p)
{
	if (p->status == PRED_STARTING)
		return "IN_QUEUE";
	if (p->status == PRED_PROCESSING)
		return p->wishes & WISH_ODD ? "DREAMING" : "IN_PROGRESS";
	return "COMPLETED";
}

static void
reply_submitted(struct sim *sim, const struct pred *p, struct sim_reply *rp)
{
	bool foreign = fault_take_locked(sim, FAULT_LINKS_FOREIGN, p->model, NULL);
	json_t *body = json_pack("{s:s,s:s}", "request_id", p->id, "gateway_request_id", p->id);

	if (!fault_take_locked(sim, FAULT_CREATE_BARE, p->model, NULL)) {
		add_urls(foreign ? "https://192.0.2.1" : sim->base_url, p, body);
		json_object_set_new(body, "status", json_string("IN_QUEUE"));
		json_object_set_new(body, "queue_position", json_integer(0));
	}
	reply_json(rp, 200, body);
	reply_header(rp, "x-fal-request-id", p->id);
}

/* Seconds, more than one: the time until it starts. */
static bool
read_timeout(const struct sim_rq *rq, struct pred *p)
{
	const char *s = rq_param(rq, "HTTP_X_FAL_REQUEST_TIMEOUT");
	char *end;
	double n;

	if (!s)
		return true;
	n = strtod(s, &end);
	if (*end || !(n > 1) || n > 1e6)
		return false;
	p->lifetime_us = (int64_t)(n * 1e6);
	p->lives_once_started = true;
	return true;
}

static bool
read_webhook(const struct sim_rq *rq, struct pred *p)
{
	struct buf url = BUF_INIT(8192);
	bool ok = true;

	if (rq_query(rq, "fal_webhook", &url)) {
		ok = strncmp(buf_str(&url), "https://", 8) == 0 || strncmp(buf_str(&url), "http://", 7) == 0;
		p->webhook = buf_take(&url);
		p->events = EVENT_COMPLETED;
	}
	buf_clear(&url);
	return ok;
}

/* "square_hd" and its like, or an object; anything else is for pred.c. */
static void
read_size(struct pred *p)
{
	static const struct {
		const char *name;
		unsigned width, height;
	} sizes[] = {
		{ "square_hd", 1024, 1024 }, { "square", 512, 512 },
		{ "portrait_4_3", 768, 1024 }, { "portrait_16_9", 576, 1024 },
		{ "landscape_4_3", 1024, 768 }, { "landscape_16_9", 1024, 576 },
	};
	const json_t *size = json_object_get(p->input, "image_size");

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (sim_same(json_string_value(size), sizes[i].name)) {
			p->width = sizes[i].width;
			p->height = sizes[i].height;
		}
	}
	pred_set_size(p, json_integer_value(json_object_get(size, "width")),
		json_integer_value(json_object_get(size, "height")));
}

static void
submit(struct sim_rq *rq, struct sim_reply *rp)
{
	struct pred *p = NULL;
	char id[SIM_UUID_SIZE];

	if (wire_refuses_create(rq, rp))
		return;
	if (strstr(rq->path, "missing")) {
		fail(rp, 404, "Application not found");
		return;
	}
	p = wire_new_pred(rq, rp);
	if (!p)
		return;
	p->form = "queue";
	p->model = mem_strdup(endpoint_of(rq));
	p->input = rq_json(rq);
	sim_new_uuid(p->id);
	if (!json_is_object(p->input)) {
		fail(rp, 422, "Input should be a valid dictionary");
	} else if (!read_webhook(rq, p)) {
		fail(rp, 422, "fal_webhook is not a URL");
	} else if (!read_timeout(rq, p)) {
		fail(rp, 422, "X-Fal-Request-Timeout must be more than 1 second");
	} else {
		read_size(p);
		if (!*pred_prompt(p))
			p->wishes = WISH_FAIL;	/* the model finds out, not the queue */
		if (wire_start(rq, &p, reply_submitted, id, rp))
			wire_spoil_create(rq, id, rp);
	}
	pred_free(&p);
}

/* ---- Status, result, cancel ---- */

static json_t *
logs_json(const struct sim_rq *rq, const struct pred *p)
{
	struct buf want = BUF_INIT(16);
	bool wanted = rq_query(rq, "logs", &want) && sim_same(buf_str(&want), "1");
	char time[SIM_TIME_SIZE];

	buf_clear(&want);
	if (!wanted)
		return json_null();
	sim_time_text(p->started_wall, time);
	return json_pack("[{s:s,s:s,s:s,s:s}]", "message", "Using seed: 1", "level", "INFO",
		"source", "USER", "timestamp", time);
}

static json_t *
status_json(const struct sim_rq *rq, const struct pred *p)
{
	struct result r = result_of(rq->sim, p);
	json_t *body = json_pack("{s:s,s:s}", "status", queue_status(p), "request_id", p->id);

	add_urls(rq->sim->base_url, p, body);
	if (p->status == PRED_STARTING)
		json_object_set_new(body, "queue_position", json_integer(0));
	else
		json_object_set_new(body, "logs", logs_json(rq, p));
	if (pred_ended(p))
		json_object_set_new(body, "metrics", p->status == PRED_SUCCEEDED ?
			json_pack("{s:f}", "inference_time", seconds(p)) : json_object());
	if (r.error) {
		json_object_set_new(body, "error", json_string(r.error));
		json_object_set_new(body, "error_type", json_string(r.error_type));
	}
	json_decref(r.body);
	return body;
}

static void
get_status(struct sim_rq *rq, struct sim_reply *rp)
{
	const struct pred *p;

	if (wire_refuses_read(rq, rp))
		return;
	pthread_mutex_lock(&rq->sim->lock);
	p = find_request(rq);
	if (p)
		reply_json(rp, pred_ended(p) ? 200 : 202, status_json(rq, p));
	pthread_mutex_unlock(&rq->sim->lock);
	if (!p)
		fail(rp, 404, "Request not found");
}

static void
reply_result(struct sim *sim, const struct pred *p, struct sim_reply *rp)
{
	struct result r = result_of(sim, p);
	struct buf text = BUF_INIT(MAX_JSON);

	dump(&text, r.body);
	reply_bytes(rp, r.status, "application/json", buf_str(&text), text.len);
	reply_header(rp, "x-fal-request-id", p->id);
	if (r.error_type) {
		reply_header(rp, "X-Fal-Error-Type", r.error_type);
		reply_header(rp, "X-Fal-Retryable", p->status == PRED_FAILED ? "true" : "false");
	}
	if (p->status == PRED_ABORTED)
		reply_header(rp, "X-Fal-Request-Timeout-Type", "user");
	buf_clear(&text);
	json_decref(r.body);
}

static void
get_result(struct sim_rq *rq, struct sim_reply *rp)
{
	const struct pred *p;

	if (wire_refuses_read(rq, rp))
		return;
	pthread_mutex_lock(&rq->sim->lock);
	p = find_request(rq);
	if (p)
		reply_result(rq->sim, p, rp);
	pthread_mutex_unlock(&rq->sim->lock);
	if (!p)
		fail(rp, 404, "Request not found");
}

/* What is queued goes away; what runs is asked to stop, and may not. */
static void
cancel_locked(struct sim_rq *rq, struct sim_reply *rp)
{
	struct sim *sim = rq->sim;
	struct pred *p = find_request(rq);
	bool queued = p && p->status == PRED_STARTING;
	const char *word = "NOT_FOUND";
	int status = 404;

	if (p && pred_ended(p)) {
		word = "ALREADY_COMPLETED";
		status = 400;
	} else if (p) {
		word = queued ? "OK" : "CANCELLATION_REQUESTED";
		status = queued ? 200 : 202;
		if (!fault_take_locked(sim, FAULT_CANCEL_IGNORED, buf_str(&rq->subject), NULL)) {
			if (!sim->set.fal_cancel_webhook)
				p->events = 0;
			pred_cancel(sim, p);
		}
	}
	reply_json(rp, status, json_pack("{s:s}", "status", word));
}

static void
cancel(struct sim_rq *rq, struct sim_reply *rp)
{
	if (wire_refuses_cancel(rq, rp))
		return;
	pthread_mutex_lock(&rq->sim->lock);
	cancel_locked(rq, rp);
	pthread_mutex_unlock(&rq->sim->lock);
}

#define REQUESTS(app) \
	{ "GET", app "/requests/{}/status", get_status, false }, \
	{ "GET", app "/requests/{}", get_result, false }, \
	{ "PUT", app "/requests/{}/cancel", cancel, false }

static const struct sim_route routes[] = {
	{ "GET", "/.well-known/jwks.json", get_keys, true },
	REQUESTS("/workflows/{}/{}"),
	REQUESTS("/comfy/{}/{}"),
	REQUESTS("/{}/{}"),
	{ "POST", "/{}/{}", submit, false },
	{ "POST", "/{}/{}/{*}", submit, false },
};

static const struct wire wire = {
	.id = WIRE_fal,
	.may_call = may_call,
	.fail = fail,
	.write_webhook = write_webhook,
	.sign = sign,
	.webhook_retries = webhook_retries,
};

const struct sim_area fal_area = {
	.prefix = "/fal",
	WIRE_ROUTES(wire, routes),
	.files = &fal_files_area,
};
