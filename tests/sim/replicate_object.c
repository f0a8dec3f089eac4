#include "config.h"

#include "tests/sim/replicate_object.h"

#include <string.h>

#include "tests/sim/create.h"
#include "tests/sim/sim.h"
#include "tests/sim/webhooks.h"

static json_t *
time_json(int64_t wall_us)
{
	char text[SIM_TIME_SIZE];

	sim_time_text(wall_us, text);
	return json_string(text);
}

static json_t *
list_output(const struct sim *sim, const struct pred *p)
{
	/* [foreign]: a host that no gateway may fetch from (TEST-NET-1). */
	const char *base = p->wishes & WISH_FOREIGN ? "https://192.0.2.1" : sim->base_url;
	json_t *list = json_array();

	for (unsigned i = 0; i < p->n_outputs; i++)
		json_array_append_new(list, json_sprintf(
			"%s/replicate/delivery/%s/out-%u.png", base, p->id, i));
	return list;
}

static json_t *
output_json(const struct sim *sim, const struct pred *p)
{
	json_t *list, *output;

	if (p->wishes & WISH_NULL || pred_data_removed(sim, p))
		return json_null();
	if (p->wishes & WISH_EMPTY)
		return json_array();
	if (p->wishes & (WISH_VIDEO | WISH_HUGE))
		return json_sprintf("%s/replicate/delivery/%s/out-0.mp4", sim->base_url, p->id);
	if (p->wishes & WISH_DATA)
		return json_pack("[s]", p->data_uri ? p->data_uri : "");
	list = list_output(sim, p);
	if (p->wishes & WISH_STRING)
		output = json_incref(json_array_get(list, 0));
	else if (p->wishes & WISH_OBJECT)
		output = json_pack("{s:O,s:{s:O},s:i}", "image", json_array_get(list, 0),
			"files", "all", list, "count", (int)p->n_outputs);
	else
		return list;
	json_decref(list);
	return output;
}

static json_t *
error_json(const struct pred *p)
{
	if (p->status != PRED_FAILED)
		return json_null();
	return json_string(p->wishes & WISH_NSFW ?
		"The input or output was flagged as sensitive. Please try again with "
		"different inputs. (E005)" :
		"Prediction failed: the simulator was asked to fail (E1000)");
}

static json_t *
events_json(unsigned events)
{
	static const char *const names[] = { "start", "output", "logs", "completed" };
	json_t *list = json_array();

	for (unsigned i = 0; i < 4; i++)
		if (events & 1u << i)
			json_array_append_new(list, json_string(names[i]));
	return list;
}

static void
add_urls(const struct sim *sim, const struct pred *p, json_t *body)
{
	json_t *urls = json_object();
	const char *base = sim->base_url;

	json_object_set_new(urls, "cancel",
		json_sprintf("%s/replicate/v1/predictions/%s/cancel", base, p->id));
	json_object_set_new(urls, "get",
		json_sprintf("%s/replicate/v1/predictions/%s", base, p->id));
	json_object_set_new(urls, "web", json_sprintf("%s/replicate/p/%s", base, p->id));
	json_object_set_new(body, "urls", urls);
}

static void
add_progress(const struct sim *sim, const struct pred *p, json_t *body)
{
	bool removed = pred_data_removed(sim, p) ||
		(p->wishes & WISH_NULL && p->status == PRED_SUCCEEDED);
	bool has_output = p->status == PRED_SUCCEEDED ||
		(p->status == PRED_PROCESSING && p->completed_wall);

	json_object_set_new(body, "source", json_string("api"));
	json_object_set_new(body, "data_removed", json_boolean(removed));
	json_object_set_new(body, "output", has_output ? output_json(sim, p) : json_null());
	if (p->started_wall)
		json_object_set_new(body, "started_at", time_json(p->started_wall));
	if (!pred_ended(p))
		return;
	json_object_set_new(body, "completed_at", time_json(p->completed_wall));
	json_object_set_new(body, "metrics", json_pack("{s:f,s:f}",
		"predict_time", p->started_wall ?
			(double)(p->completed_wall - p->started_wall) / 1e6 : 0.0,
		"total_time", (double)(p->completed_wall - p->created_wall) / 1e6));
}

#define TALK_BYTES 3000000

static json_t *
logs_json(const struct pred *p)
{
	static const char line[] = "Using seed: 1\n  0%|          | 0/4\n";
	struct buf logs = BUF_INIT(2 * TALK_BYTES);
	json_t *ret;

	do
		buf_puts(&logs, line);
	while (p->wishes & WISH_TALKATIVE && !logs.err && logs.len < TALK_BYTES);
	ret = json_string(buf_str(&logs));
	buf_clear(&logs);
	return ret;
}

json_t *
replicate_json(const struct sim *sim, const struct pred *p, bool echo_webhook)
{
	json_t *body = json_object();

	json_object_set_new(body, "id", json_string(p->id));
	json_object_set_new(body, "model", json_string(p->model));
	json_object_set_new(body, "version", json_string(p->version));
	if (p->deployment)
		json_object_set_new(body, "deployment", json_string(p->deployment));
	json_object_set_new(body, "input", pred_data_removed(sim, p) ?
		json_object() : json_incref(p->input));
	json_object_set_new(body, "logs", p->status == PRED_STARTING || pred_data_removed(sim, p) ?
		json_string("") : logs_json(p));
	json_object_set_new(body, "error", error_json(p));
	json_object_set_new(body, "status", json_string(pred_status_text(p)));
	json_object_set_new(body, "created_at", time_json(p->created_wall));
	if (p->lifetime_us)
		json_object_set_new(body, "deadline",
			time_json(pred_wall_at(p, p->deadline_us)));
	if (echo_webhook && p->webhook) {
		json_object_set_new(body, "webhook", json_string(p->webhook));
		json_object_set_new(body, "webhook_events_filter", events_json(p->events));
	}
	add_progress(sim, p, body);
	add_urls(sim, p, body);
	return body;
}

static bool
may_call(const struct sim_settings *set, const struct sim_rq *rq)
{
	/* Older clients say Token. */
	return wire_has_key(rq, "Bearer", set->token) || wire_has_key(rq, "Token", set->token);
}

static void
fail(struct sim_reply *rp, int status, const char *text)
{
	static const struct {
		int status;
		const char *title, *text;
	} table[] = {
		{ 401, "Unauthenticated", "You did not pass a valid authentication token" },
		{ 402, "Insufficient credit", "You have insufficient credit to run this model." },
		{ 404, NULL, "The requested resource could not be found." },
		{ 413, NULL, "Files must be less than 100MB in size" },
		{ 422, "Input validation failed", "- input: it is refused\n" },
		{ 500, "Internal Server Error", "" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].status == status) {
			reply_problem(rp, status, table[i].title, text ? text : table[i].text);
			return;
		}
	}
	reply_problem(rp, status, NULL, text ? text : "");
}

static void
write_webhook(struct sim *sim, const struct pred *p, struct buf *body)
{
	json_t *json = replicate_json(sim, p, true);

	sim_dump(body, json);
	json_decref(json);
}

/* Standard Webhooks: "v1,<base64>" over id.timestamp.body; the key is the
 * decoded part behind "whsec_". */
static void
sign(const struct sim *sim, const struct letter *letter, struct hook *h)
{
	struct buf key = BUF_INIT(256), text = BUF_INIT(letter->body_len + 256), value = BUF_INIT(256);
	const char *secret = sim->set.webhook_secret;
	uint8_t mac[32];

	if (strncmp(secret, "whsec_", 6) == 0)
		secret += 6;
	if (!sim_base64_decode(secret, &key) || key.len == 0)
		buf_puts(&key, "none");
	if (letter->is_forged)
		key.p[0] = (char)(key.p[0] ^ 1);
	buf_printf(&text, "%s.%lld.", letter->id, letter->timestamp);
	buf_put(&text, letter->body, letter->body_len);
	buf_puts(&value, "v1,");
	if (!text.err && sim_hmac_sha256(key.p, key.len, text.p, text.len, mac))
		sim_base64(&value, mac, sizeof(mac));
	hook_header(h, "webhook-id", letter->id);
	hook_header(h, "webhook-signature", buf_str(&value));
	buf_reset(&value);
	buf_printf(&value, "%lld", letter->timestamp);
	hook_header(h, "webhook-timestamp", buf_str(&value));
	buf_clear(&value);
	buf_clear(&text);
	buf_clear(&key);
}

static long
webhook_retries(const struct sim_settings *set)
{
	return set->webhook_retries;
}

const struct wire replicate_wire = {
	.id = WIRE_replicate,
	.may_call = may_call,
	.fail = fail,
	.throttle = reply_throttled,
	.write_webhook = write_webhook,
	.sign = sign,
	.webhook_retries = webhook_retries,
};
