#include "config.h"

#include "tests/sim/control.h"

#include <string.h>

#include "tests/sim/delivery.h"
#include "tests/sim/outputs.h"
#include "tests/sim/pred.h"
#include "tests/sim/sim.h"
#include "tests/sim/store.h"

static void
reply_bad(struct sim_reply *rp, const char *why)
{
	reply_json(rp, 400, json_pack("{s:s}", "error", why));
}

static json_t *
counters_json(const struct sim *sim)
{
	json_t *all = json_object(), *by_status = json_object(), *by_wire = json_object();

#define X(name) json_object_set_new(all, #name, json_integer(sim->n.name));
	SIM_COUNTERS(X)
#undef X
	for (int i = 0; i < SIM_HTTP_STATUSES; i++) {
		char status[16];

		snprintf(status, sizeof(status), "%d", i);
		if (sim->webhooks_by_status[i])
			json_object_set_new(by_status, status,
				json_integer(sim->webhooks_by_status[i]));
	}
	json_object_set_new(all, "webhooks_by_status", by_status);
	for (int i = 0; i < WIRE_COUNT; i++)
		json_object_set_new(by_wire, wire_name((enum wire_id)i),
			json_integer(sim->created_by_wire[i]));
	json_object_set_new(all, "created_by_wire", by_wire);
	json_object_set_new(all, "objects", json_integer((json_int_t)store_count(sim->store)));
	return all;
}

static json_t *
prediction_json(const struct pred *p)
{
	char created[SIM_TIME_SIZE];

	sim_time_text(p->created_wall, created);
	return json_pack("{s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:O,s:O,s:i,s:s}",
		"id", p->id, "wire", wire_name(p->wire->id), "status", pred_status_text(p),
		"form", p->form, "model", sim_json_text(p->model),
		"version", sim_json_text(p->version),
		"webhook", sim_json_text(p->webhook),
		"cancel_after", sim_json_text(p->cancel_after),
		"idempotency_key", sim_json_text(p->idempotency_key),
		"headers", p->headers, "input", p->input,
		"n_outputs", (int)p->n_outputs, "created_at", created);
}

static void
get_state(struct sim_rq *rq, struct sim_reply *rp)
{
	struct buf want = BUF_INIT(16);
	struct sim *sim = rq->sim;
	json_t *state, *list;

	rq_query(rq, "predictions", &want);
	pthread_mutex_lock(&sim->lock);
	preds_advance(sim);
	state = counters_json(sim);
	if (!sim_same(buf_str(&want), "0")) {
		list = json_array();
		for (size_t i = 0; i < preds_count(sim); i++)
			json_array_append_new(list, prediction_json(preds_at(sim, i)));
		json_object_set_new(state, "predictions", list);
	}
	reply_json(rp, 200, state);
	pthread_mutex_unlock(&sim->lock);
	buf_clear(&want);
}

static void
get_faults(struct sim_rq *rq, struct sim_reply *rp)
{
	pthread_mutex_lock(&rq->sim->lock);
	reply_json(rp, 200, faults_json(&rq->sim->faults));
	pthread_mutex_unlock(&rq->sim->lock);
}

static void
set_faults(struct sim_rq *rq, struct sim_reply *rp)
{
	struct buf why = BUF_INIT(1024);
	json_t *body = rq_json(rq);

	if (!json_is_object(body))
		buf_puts(&why, "not a JSON object");
	pthread_mutex_lock(&rq->sim->lock);
	if (!why.len && faults_apply(&rq->sim->faults, body, &why))
		reply_json(rp, 200, faults_json(&rq->sim->faults));
	else
		reply_bad(rp, buf_str(&why));
	pthread_mutex_unlock(&rq->sim->lock);
	json_decref(body);
	buf_clear(&why);
}

static void
get_settings(struct sim_rq *rq, struct sim_reply *rp)
{
	pthread_mutex_lock(&rq->sim->lock);
	reply_json(rp, 200, settings_json(&rq->sim->set));
	pthread_mutex_unlock(&rq->sim->lock);
}

static void
set_settings(struct sim_rq *rq, struct sim_reply *rp)
{
	struct buf why = BUF_INIT(1024);
	json_t *body = rq_json(rq);

	if (!json_is_object(body))
		buf_puts(&why, "not a JSON object");
	pthread_mutex_lock(&rq->sim->lock);
	if (!why.len && settings_apply(&rq->sim->set, body, &why))
		reply_json(rp, 200, settings_json(&rq->sim->set));
	else
		reply_bad(rp, buf_str(&why));
	pthread_mutex_unlock(&rq->sim->lock);
	json_decref(body);
	buf_clear(&why);
}

/* Settings stay, unless the body has {"settings": true}. */
static void
reset(struct sim_rq *rq, struct sim_reply *rp)
{
	json_t *body = rq_json(rq);
	bool ok = true;

	sim_reset(rq->sim);
	if (json_is_true(json_object_get(body, "settings"))) {
		pthread_mutex_lock(&rq->sim->lock);
		ok = settings_init(&rq->sim->set);
		pthread_mutex_unlock(&rq->sim->lock);
	}
	json_decref(body);
	reply_json(rp, ok ? 200 : 500, json_object());
}

static void
get_objects(struct sim_rq *rq, struct sim_reply *rp)
{
	pthread_mutex_lock(&rq->sim->lock);
	reply_json(rp, 200, store_objects_json(rq->sim->store));
	pthread_mutex_unlock(&rq->sim->lock);
}

/* What a prediction made, whatever the switches say and however its wire hands
 * it over; for comparing. */
static void
get_output(struct sim_rq *rq, struct sim_reply *rp)
{
	struct sim *sim = rq->sim;
	struct picture pic = { .n = 0 };
	const struct pred *p;
	uint64_t index;
	bool there;

	pthread_mutex_lock(&sim->lock);
	p = pred_find(sim, NULL, rq->arg[0]);
	there = p && p->status == PRED_SUCCEEDED && picture_copy(sim, p, &pic);
	pthread_mutex_unlock(&sim->lock);
	if (there && parse_u64(rq->arg[1], strlen(rq->arg[1]), 0, pic.n - 1, &index) == ERR_OK)
		reply_picture(&pic, (unsigned)index, rp);
	else
		reply_json(rp, 404, json_pack("{s:s}", "error", "no such output"));
	picture_clear(&pic);
}

static void
set_bucket(struct sim_rq *rq, struct sim_reply *rp)
{
	json_t *body = rq_json(rq);
	bool ok;

	pthread_mutex_lock(&rq->sim->lock);
	ok = store_set_bucket(rq->sim->store, body);
	pthread_mutex_unlock(&rq->sim->lock);
	if (ok)
		reply_json(rp, 200, json_object());
	else
		reply_bad(rp, "want {\"id\", \"public\", \"file_size_limit\", \"allowed_mime_types\"}");
	json_decref(body);
}

static void
not_found(struct sim_rq *rq, struct sim_reply *rp)
{
	(void)rq;
	reply_json(rp, 404, json_pack("{s:s}", "error", "no such control"));
}

static const struct sim_route routes[] = {
	{ "GET", "/state", get_state, true },
	{ "GET", "/faults", get_faults, true },
	{ "POST", "/faults", set_faults, true },
	{ "GET", "/settings", get_settings, true },
	{ "POST", "/settings", set_settings, true },
	{ "POST", "/reset", reset, true },
	{ "GET", "/objects", get_objects, true },
	{ "GET", "/outputs/{}/{}", get_output, true },
	{ "POST", "/buckets", set_bucket, true },
};

const struct sim_area control_area = {
	.prefix = "/sim",
	.routes = routes,
	.n_routes = sizeof(routes) / sizeof(routes[0]),
	.not_found = not_found,
};
