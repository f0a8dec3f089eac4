/* Black Forest Labs' API below /bfl/v1, and its signed URLs below /bfl/delivery. */
#include "config.h"

#include "tests/sim/http.h"

#include <string.h>

#include "tests/sim/delivery.h"
#include "tests/sim/pred.h"
#include "tests/sim/sim.h"
#include "tests/sim/webhooks.h"
#include "tests/sim/wire.h"

static bool
may_call(const struct sim_settings *set, const struct sim_rq *rq)
{
	return sim_same(rq_param(rq, "HTTP_X_KEY"), set->bfl_key);
}

static void
reply_detail(struct sim_reply *rp, const char *member, const char *msg)
{
	reply_json(rp, 422, json_pack("{s:[{s:[s,s],s:s,s:s}]}", "detail", "loc", "body", member,
		"msg", msg, "type", "value_error"));
}

static void
fail(struct sim_reply *rp, int status, const char *text)
{
	static const struct {
		int status;
		const char *error, *text;
	} table[] = {
		{ 401, "unauthorized", "Invalid or missing API key" },
		{ 402, "insufficient_credits", "Your account does not have enough credits" },
		{ 413, "payload_too_large", "The request is too large" },
		{ 429, "rate_limit_exceeded", "Too many concurrent requests" },
		{ 500, "internal_error", "Something went wrong" },
		{ 503, "unavailable", "Try again later" },
	};

	if (status == 404) {
		reply_json(rp, 404, json_pack("{s:s}", "detail", text ? text : "Not Found"));
		return;
	}
	if (status == 422) {
		reply_detail(rp, "prompt", text ? text : "it is refused");
		return;
	}
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].status == status)
			reply_json(rp, status, json_pack("{s:s,s:s}", "error", table[i].error,
				"message", text ? text : table[i].text));
}

static void
throttle(struct sim_reply *rp, const struct fault_hit *hit)
{
	json_t *body = json_pack("{s:s,s:s}", "error", "rate_limit_exceeded",
		"message", "Too many concurrent requests");
	bool bare = strcmp(hit->variant, "bare") == 0;
	char reset[32];

	if (!bare && strcmp(hit->variant, "header") != 0)
		json_object_set_new(body, "retry_after", json_integer(hit->retry_after_s));
	reply_json(rp, 429, body);
	reply_header(rp, "X-RateLimit-Limit", "24");
	reply_header(rp, "X-RateLimit-Remaining", "0");
	snprintf(reset, sizeof(reset), "%lld", (long long)(sim_wall_us() / 1000000 + hit->retry_after_s));
	reply_header(rp, "X-RateLimit-Reset", reset);
	if (!bare && strcmp(hit->variant, "body") != 0)
		reply_retry_after(rp, hit->retry_after_s);
}

/* ---- The output: one, at a URL that is signed and good for a while. ---- */

static void
put_signature(const char *id, long long expires_ms, struct buf *out)
{
	static const char key[] = "the simulator's key for signed URLs";
	struct buf text = BUF_INIT(256);
	uint8_t mac[32];

	buf_printf(&text, "%s %lld", id, expires_ms);
	if (sim_hmac_sha256(key, sizeof(key), buf_str(&text), text.len, mac))
		sim_hex(mac, sizeof(mac), out);
	buf_clear(&text);
}

static json_t *
sample_json(const struct sim *sim, const struct pred *p)
{
	/* [foreign]: a host that no gateway may fetch from (TEST-NET-1). */
	const char *base = p->wishes & WISH_FOREIGN ? "https://192.0.2.1" : sim->base_url;
	long long expires_ms = (long long)(p->completed_wall / 1000) + sim->set.bfl_sample_ms;
	struct buf signature = BUF_INIT(128);
	json_t *url;

	if (p->wishes & WISH_DATA)
		return json_string(p->data_uri ? p->data_uri : "");
	put_signature(p->id, expires_ms, &signature);
	url = json_sprintf("%s/bfl/delivery/%s/out-0.%s?se=%lld&sig=%s", base, p->id,
		p->wishes & (WISH_VIDEO | WISH_HUGE) ? "mp4" : "png", expires_ms, buf_str(&signature));
	buf_clear(&signature);
	return url;
}

static bool
signature_is_good(const struct sim_rq *rq, int64_t *expires_ms)
{
	struct buf se = BUF_INIT(64), sig = BUF_INIT(128), want = BUF_INIT(128);
	uint64_t ms = 0;
	bool ok = rq_query(rq, "se", &se) && rq_query(rq, "sig", &sig) &&
		parse_u64(buf_str(&se), se.len, 0, INT64_MAX, &ms) == ERR_OK;

	put_signature(rq->arg[0], (long long)ms, &want);
	ok = ok && strcmp(buf_str(&sig), buf_str(&want)) == 0;
	*expires_ms = (int64_t)ms;
	buf_clear(&se);
	buf_clear(&sig);
	buf_clear(&want);
	return ok;
}

/* As a bucket of signed URLs answers. */
static bool
before_delivery(struct sim_rq *rq, const struct sim_route *route, struct sim_reply *rp)
{
	static const char xml[] = "<?xml version=\"1.0\" encoding=\"utf-8\"?>"
		"<Error><Code>AuthenticationFailed</Code></Error>";
	int64_t expires_ms, now_us;

	(void)route;
	pthread_mutex_lock(&rq->sim->lock);
	now_us = sim_provider_us(rq->sim);
	pthread_mutex_unlock(&rq->sim->lock);
	if (signature_is_good(rq, &expires_ms) && now_us / 1000 < expires_ms)
		return false;
	reply_bytes(rp, 403, "application/xml", xml, sizeof(xml) - 1);
	return true;
}

/* ---- What a prediction looks like. ---- */

static const char *
status_text(const struct pred *p)
{
	if (!pred_ended(p))
		return p->status == PRED_PROCESSING && p->wishes & WISH_ODD ? "Dreaming" : "Pending";
	if (p->status == PRED_SUCCEEDED)
		return p->wishes & WISH_BLACK ? "Content Moderated" : "Ready";
	if (p->wishes & WISH_NSFW)
		return "Request Moderated";
	return p->wishes & WISH_RUNNER ? "Failed" : "Error";
}

static json_t *
result_json(const struct sim *sim, const struct pred *p)
{
	double start = (double)p->started_wall / 1e6, end = (double)p->completed_wall / 1e6;
	json_t *result;

	if (p->status != PRED_SUCCEEDED || p->wishes & (WISH_NULL | WISH_BLACK))
		return json_null();
	result = json_pack("{s:s,s:I,s:f,s:f,s:f}", "prompt", pred_prompt(p),
		"seed", (json_int_t)(p->seed ? p->seed : 1234567890),
		"start_time", start, "end_time", end, "duration", end - start);
	if (!(p->wishes & WISH_EMPTY))
		json_object_set_new(result, "sample", sample_json(sim, p));
	return result;
}

static json_t *
poll_json(const struct sim *sim, const struct pred *p)
{
	json_t *body = json_pack("{s:s,s:s,s:o,s:n}", "id", p->id,
		sim->set.bfl_state_member ? "state" : "status", status_text(p),
		"result", result_json(sim, p), "details");

	if (p->status == PRED_FAILED && !(p->wishes & WISH_NSFW))
		json_object_set_new(body, "error", json_string("the simulator was asked to fail"));
	if (p->status == PRED_FAILED && p->wishes & WISH_NSFW)
		json_object_set_new(body, "details", json_pack("{s:[s]}", "Moderation Reasons", "Derivative Works"));
	return body;
}

/* ---- Webhooks ---- */

static void
write_webhook(struct sim *sim, const struct pred *p, struct buf *body)
{
	bool moderated = p->wishes & (WISH_NSFW | WISH_BLACK);
	char time[SIM_TIME_SIZE];
	json_t *json;

	sim_time_text(p->completed_wall, time);
	if (p->status == PRED_SUCCEEDED && !moderated)
		json = json_pack("{s:s,s:s,s:o,s:s}", "id", p->id, "status", "Ready",
			"result", result_json(sim, p), "timestamp", time);
	else
		json = json_pack("{s:s,s:s,s:s,s:s,s:s}", "id", p->id, "status", "Error",
			"error", moderated ? "content_policy_violation" : "generation_failed",
			"message", moderated ? "The prompt violated content policy" : "The generation failed",
			"timestamp", time);
	sim_dump(body, json);
	json_decref(json);
}

/* By the request's own secret, over the body alone: nothing says when. */
static void
sign(const struct sim *sim, const struct letter *letter, struct hook *h)
{
	struct buf value = BUF_INIT(256), key = BUF_INIT(1024);
	uint8_t mac[32];

	(void)sim;
	if (!letter->secret)
		return;
	buf_puts(&key, letter->secret);
	if (letter->is_forged)
		buf_puts(&key, "x");
	buf_puts(&value, "sha256=");
	if (sim_hmac_sha256(buf_str(&key), key.len, letter->body, letter->body_len, mac))
		sim_hex(mac, sizeof(mac), &value);
	hook_header(h, "X-BFL-Signature", buf_str(&value));
	buf_clear(&key);
	buf_clear(&value);
}

static long
webhook_retries(const struct sim_settings *set)
{
	return set->bfl_webhook_retries;
}

/* ---- Submit ---- */

static bool
is_number(const json_t *value, json_int_t min, json_int_t max)
{
	return !value || json_is_null(value) || (json_is_integer(value) &&
		json_integer_value(value) >= min && json_integer_value(value) <= max);
}

static bool
is_side(const json_t *value)
{
	return is_number(value, 64, 4096) && json_integer_value(value) % 16 == 0;
}

static bool
is_text(const json_t *value)
{
	return !value || json_is_null(value) || json_is_string(value);
}

static bool
is_webhook(const json_t *url)
{
	const char *s = json_string_value(url);

	return !url || (s && (strncmp(s, "https://", 8) == 0 || hook_url_is_loopback(s)));
}

/* The member that is wrong; NULL: none. */
static const char *
wrong_member(const json_t *body)
{
	const json_t *width = json_object_get(body, "width"), *height = json_object_get(body, "height");
	const char *format = json_string_value(json_object_get(body, "output_format"));

	if (!json_is_string(json_object_get(body, "prompt")))
		return "prompt";
	if (!is_side(width) || json_integer_value(width) * json_integer_value(height) > 4 << 20)
		return "width";
	if (!is_side(height))
		return "height";
	if (!is_number(json_object_get(body, "seed"), INT64_MIN, INT64_MAX))
		return "seed";
	if (!is_number(json_object_get(body, "safety_tolerance"), 0, 6))
		return "safety_tolerance";
	if (!is_text(json_object_get(body, "output_format")) ||
	    (format && strcmp(format, "jpeg") != 0 && strcmp(format, "png") != 0))
		return "output_format";
	if (!is_text(json_object_get(body, "input_image")))
		return "input_image";
	if (!is_text(json_object_get(body, "webhook_secret")))
		return "webhook_secret";
	return is_webhook(json_object_get(body, "webhook_url")) ? NULL : "webhook_url";
}

static void
reply_submitted(struct sim *sim, const struct pred *p, struct sim_reply *rp)
{
	bool foreign = fault_take_locked(sim, FAULT_LINKS_FOREIGN, p->model, NULL);
	const char *base = *sim->set.bfl_polling_base ? sim->set.bfl_polling_base : sim->base_url;
	json_t *body = json_pack("{s:s}", "id", p->id);

	if (!fault_take_locked(sim, FAULT_CREATE_BARE, p->model, NULL)) {
		json_object_set_new(body, "polling_url", json_sprintf("%s/bfl/v1/get_result?id=%s",
			foreign ? "https://192.0.2.1" : base, p->id));
		json_object_set_new(body, "cost", json_real(3.5));
		json_object_set_new(body, "input_mp", json_real(0));
		json_object_set_new(body, "output_mp", json_real((double)p->width * p->height / 1e6));
	}
	reply_json(rp, 200, body);
}

static bool
has_too_many(struct sim_rq *rq)
{
	struct sim *sim = rq->sim;
	bool full;

	pthread_mutex_lock(&sim->lock);
	preds_advance(sim);
	full = preds_live(sim, rq->wire) >= sim->set.bfl_concurrent;
	pthread_mutex_unlock(&sim->lock);
	return full;
}

static char *
copy_member(const json_t *body, const char *name)
{
	const char *s = json_string_value(json_object_get(body, name));

	return s ? mem_strdup(s) : NULL;
}

/* Takes *p over. */
static void
start(struct sim_rq *rq, struct pred **p, struct sim_reply *rp)
{
	static const struct fault_hit soon = { .retry_after_s = 1 };
	char id[SIM_UUID_SIZE];

	if (has_too_many(rq)) {
		throttle(rp, &soon);
		return;
	}
	(*p)->webhook = copy_member((*p)->input, "webhook_url");
	(*p)->secret = copy_member((*p)->input, "webhook_secret");
	(*p)->events = EVENT_COMPLETED;
	(*p)->n_outputs = 1;
	if (!json_object_get((*p)->input, "width") && !json_object_get((*p)->input, "aspect_ratio"))
		pred_set_size(*p, 1024, 1024);
	if (wire_start(rq, p, reply_submitted, id, rp))
		wire_spoil_create(rq, id, rp);
}

static void
submit(struct sim_rq *rq, struct sim_reply *rp)
{
	const char *wrong;
	struct pred *p;

	if (wire_refuses_create(rq, rp))
		return;
	if (strstr(rq->arg[0], "missing")) {
		fail(rp, 404, NULL);
		return;
	}
	p = wire_new_pred(rq, rp);
	if (!p)
		return;
	p->form = "submit";
	p->model = mem_strdup(rq->arg[0]);
	p->input = rq_json(rq);
	sim_new_uuid(p->id);
	wrong = wrong_member(p->input);
	if (!json_is_object(p->input))
		reply_detail(rp, "", "Input should be a valid dictionary");
	else if (wrong)
		reply_detail(rp, wrong, "Input is not valid");
	else
		start(rq, &p, rp);
	pred_free(&p);
}

/* ---- Poll ---- */

static void
get_result(struct sim_rq *rq, struct sim_reply *rp)
{
	struct buf id = BUF_INIT(256);
	const struct pred *p;

	if (wire_refuses_read(rq, rp))
		return;
	rq_query(rq, "id", &id);
	pthread_mutex_lock(&rq->sim->lock);
	p = pred_find(rq->sim, rq->wire, buf_str(&id));
	if (p)
		reply_json(rp, 200, poll_json(rq->sim, p));
	else
		reply_json(rp, (int)rq->sim->set.bfl_not_found_status, json_pack("{s:s,s:s,s:n}",
			"id", buf_str(&id), "status", "Task not found", "result"));
	pthread_mutex_unlock(&rq->sim->lock);
	buf_clear(&id);
}

static const struct sim_route routes[] = {
	{ "GET", "/get_result", get_result, false },
	{ "POST", "/{}", submit, false },
};

static const struct sim_route delivery_routes[] = {
	{ "GET", "/{}/{}", delivery_get, true },
};

static const struct wire wire = {
	.id = WIRE_bfl,
	.may_call = may_call,
	.fail = fail,
	.throttle = throttle,
	.write_webhook = write_webhook,
	.sign = sign,
	.webhook_retries = webhook_retries,
};

static const struct sim_area files_area = {
	.prefix = "/bfl/delivery",
	.routes = delivery_routes,
	.n_routes = sizeof(delivery_routes) / sizeof(delivery_routes[0]),
	.before = before_delivery,
	.not_found = delivery_not_found,
};

const struct sim_area bfl_area = {
	.prefix = "/bfl/v1",
	WIRE_ROUTES(wire, routes),
	.files = &files_area,
};
