/* ComfyUI's server below /comfyui, each path also behind /api, as it has them. */
#include "config.h"

#include "tests/sim/http.h"

#include <string.h>

#include "tests/sim/delivery.h"
#include "tests/sim/multipart.h"
#include "tests/sim/pred.h"
#include "tests/sim/sim.h"
#include "tests/sim/wire.h"

/* The server itself wants no key; one that stands before it may. */
static bool
may_call(const struct sim_settings *set, const struct sim_rq *rq)
{
	return !*set->comfyui_key || wire_has_key(rq, "Bearer", set->comfyui_key);
}

static void
reply_error(struct sim_reply *rp, int status, const char *type, const char *message, const char *details)
{
	reply_json(rp, status, json_pack("{s:{s:s,s:s,s:s,s:{}},s:{}}", "error", "type", type,
		"message", message, "details", details, "extra_info", "node_errors"));
}

static void
fail(struct sim_reply *rp, int status, const char *text)
{
	static const struct {
		int status, theirs;
		const char *type, *text;
	} table[] = {
		{ 401, 401, "unauthorized", "Unauthorized" },
		{ 402, 402, "payment_required", "Payment required" },
		{ 404, 404, "not_found", "Not found" },
		{ 413, 413, "too_large", "Request entity too large" },
		{ 422, 400, "prompt_outputs_failed_validation", "Prompt outputs failed validation" },
		{ 429, 429, "too_many_requests", "Too many requests" },
		{ 500, 500, "internal_error", "Internal server error" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].status == status) {
			reply_error(rp, table[i].theirs, table[i].type, text ? text : table[i].text, "");
			return;
		}
	}
	reply_error(rp, status, "error", text ? text : "", "");
}

/* ---- The graph: nodes by name, each with a class and inputs. ---- */

static json_t *
input_of(const json_t *node, const char *name)
{
	return json_object_get(json_object_get(node, "inputs"), name);
}

static const char *
class_of(const json_t *node)
{
	return json_string_value(json_object_get(node, "class_type"));
}

static bool
is_output(const json_t *node)
{
	const char *class = class_of(node);

	return class && (strncmp(class, "Save", 4) == 0 || strncmp(class, "Preview", 7) == 0);
}

/* The text that the sampler is to follow; of several any. */
static const char *
graph_text(const json_t *graph)
{
	json_t *node, *from = NULL;
	const char *name, *text = NULL;

	json_object_foreach((json_t *)(uintptr_t)graph, name, node) {
		const char *s = json_string_value(input_of(node, "text"));

		text = s && !text ? s : text;
		if (json_is_array(input_of(node, "positive")))
			from = json_object_get(graph, json_string_value(
				json_array_get(input_of(node, "positive"), 0)));
	}
	if (json_is_string(input_of(from, "text")))
		return json_string_value(input_of(from, "text"));
	return text ? text : "";
}

/* The first number of that name in any node; 0: none has it. */
static json_int_t
graph_number(const json_t *graph, const char *name)
{
	const char *unused;
	json_t *node;

	json_object_foreach((json_t *)(uintptr_t)graph, unused, node)
		if (json_is_integer(input_of(node, name)))
			return json_integer_value(input_of(node, name));
	return 0;
}

static const char *
output_node(const json_t *graph)
{
	const char *name;
	json_t *node;

	json_object_foreach((json_t *)(uintptr_t)graph, name, node)
		if (is_output(node))
			return name;
	return NULL;
}

/* false: rp says what is wrong with it. */
static bool
check_graph(const json_t *graph, struct sim_reply *rp)
{
	const char *name;
	json_t *node;

	json_object_foreach((json_t *)(uintptr_t)graph, name, node) {
		const char *class = class_of(node);

		if (!class || strstr(class, "Missing")) {
			reply_error(rp, 400, "missing_node_type", class ? "Node type not found" :
				"Node has no class_type", name);
			return false;
		}
	}
	if (output_node(graph))
		return true;
	reply_error(rp, 400, "prompt_no_outputs", "Prompt has no outputs", "");
	return false;
}

/* ---- A job ---- */

static const char *
status_text(const struct pred *p)
{
	static const char *const text[] = {
		"pending", "in_progress", "completed", "failed", "cancelled", "failed",
	};

	return p->status == PRED_PROCESSING && p->wishes & WISH_ODD ? "dreaming" : text[p->status];
}

/* Taken out of the queue it is nowhere any more. */
static struct pred *
find_job(struct sim_rq *rq, const char *id)
{
	struct pred *p = pred_find(rq->sim, rq->wire, id);

	return p && p->status == PRED_CANCELED && !p->started_wall ? NULL : p;
}

static json_t *
graph_of(const struct pred *p)
{
	return json_object_get(p->input, "prompt");
}

static json_t *
file_json(const struct pred *p, unsigned index)
{
	return json_pack("{s:o,s:s,s:s}", "filename", json_sprintf("%s_%05u_.%s", p->id, index,
		p->wishes & (WISH_VIDEO | WISH_HUGE) ? "mp4" : "png"), "subfolder", "", "type", "output");
}

static json_t *
outputs_json(const struct pred *p)
{
	const char *node = output_node(graph_of(p));
	json_t *files = json_array(), *outputs = json_object();

	if (p->status == PRED_SUCCEEDED && !(p->wishes & WISH_NULL)) {
		for (unsigned i = 0; i < p->n_outputs && !(p->wishes & WISH_EMPTY); i++)
			json_array_append_new(files, file_json(p, i));
		json_object_set_new(outputs, node, json_pack("{s:O}", "images", files));
	}
	json_decref(files);
	return outputs;
}

/* What happened, as its messages to who watches tell it. */
static json_t *
messages_json(const struct pred *p)
{
	const char *end = p->status == PRED_SUCCEEDED ? "execution_success" :
		p->status == PRED_CANCELED ? "execution_interrupted" : "execution_error";

	return json_pack("[[s,{s:s,s:I}],[s,{s:s,s:I}]]", "execution_start", "prompt_id", p->id,
		"timestamp", (json_int_t)(p->started_wall / 1000), end, "prompt_id", p->id,
		"timestamp", (json_int_t)(p->completed_wall / 1000));
}

static json_t *
end_json(const struct pred *p)
{
	bool ok = p->status == PRED_SUCCEEDED;

	return json_pack("{s:s,s:b,s:o}", "status_str", ok ? "success" : "error", "completed", ok,
		"messages", messages_json(p));
}

static json_t *
job_json(const struct pred *p)
{
	json_t *job = json_pack("{s:s,s:s,s:I,s:I,s:I}", "id", p->id, "status", status_text(p),
		"priority", (json_int_t)p->seq, "create_time", (json_int_t)(p->created_wall / 1000),
		"outputs_count", (json_int_t)(p->status == PRED_SUCCEEDED ? p->n_outputs : 0));

	json_object_set_new(job, "workflow", json_pack("{s:O,s:{}}", "prompt", graph_of(p), "extra_data"));
	if (!pred_ended(p))
		return job;
	json_object_set_new(job, "execution_start_time", json_integer(p->started_wall / 1000));
	json_object_set_new(job, "execution_end_time", json_integer(p->completed_wall / 1000));
	json_object_set_new(job, "outputs", outputs_json(p));
	json_object_set_new(job, "execution_status", end_json(p));
	if (p->status == PRED_FAILED || p->status == PRED_ABORTED)
		json_object_set_new(job, "execution_error", json_pack("{s:s,s:s,s:s,s:s}", "prompt_id", p->id,
			"node_type", "KSampler", "exception_type", "RuntimeError",
			"exception_message", "the simulator was asked to fail"));
	return job;
}

/* ---- POST /prompt ---- */

static bool
is_uuid(const char *s)
{
	static const char pattern[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	for (size_t i = 0; i < sizeof(pattern) - 1; i++)
		if (!s[i] || (pattern[i] == '-') != (s[i] == '-') || !strchr("0123456789abcdef-", s[i]))
			return false;
	return strlen(s) == sizeof(pattern) - 1;
}

/* The client's, if it has one: it may be there already, and runs once more. */
static bool
take_id(struct pred *p)
{
	const json_t *id = json_object_get(p->input, "prompt_id");
	const char *s = json_string_value(id);

	if (!id) {
		sim_new_uuid(p->id);
		return true;
	}
	if (!s || !is_uuid(s))
		return false;
	memcpy(p->id, s, sizeof(p->id));
	return true;
}

static void
reply_queued(struct sim *sim, const struct pred *p, struct sim_reply *rp)
{
	json_t *body = json_pack("{s:s}", "prompt_id", p->id);

	if (!fault_take_locked(sim, FAULT_CREATE_BARE, p->id, NULL)) {
		json_object_set_new(body, "number", json_integer((json_int_t)p->seq));
		json_object_set_new(body, "node_errors", json_object());
	}
	reply_json(rp, 200, body);
}

/* Takes *p over. */
static void
start(struct sim_rq *rq, struct pred **p, struct sim_reply *rp)
{
	const json_t *graph = graph_of(*p);
	json_int_t n = graph_number(graph, "batch_size");
	char id[SIM_UUID_SIZE];

	(*p)->prompt = mem_strdup(graph_text(graph));
	(*p)->n_outputs = n < 1 ? 1 : n > 16 ? 16 : (unsigned)n;
	(*p)->seed = graph_number(graph, "seed");
	if (!(*p)->seed)
		(*p)->seed = graph_number(graph, "noise_seed");
	pred_set_size(*p, graph_number(graph, "width"), graph_number(graph, "height"));
	if (wire_start(rq, p, reply_queued, id, rp))
		wire_spoil_create(rq, id, rp);
}

static void
queue_prompt(struct sim_rq *rq, struct sim_reply *rp)
{
	struct pred *p;

	if (wire_refuses_create(rq, rp))
		return;
	p = wire_new_pred(rq, rp);
	if (!p)
		return;
	p->form = "prompt";
	p->input = rq_json(rq);
	if (!json_is_object(graph_of(p)))
		reply_error(rp, 400, "no_prompt", "No prompt provided", "No prompt provided");
	else if (!take_id(p))
		reply_error(rp, 400, "invalid_prompt_id", "prompt_id must be a UUID in lower case", "");
	else if (check_graph(graph_of(p), rp))
		start(rq, &p, rp);
	pred_free(&p);
}

/* ---- Reading ---- */

static void
get_job(struct sim_rq *rq, struct sim_reply *rp)
{
	const struct pred *p;

	if (wire_refuses_read(rq, rp))
		return;
	pthread_mutex_lock(&rq->sim->lock);
	p = find_job(rq, rq->arg[0]);
	if (p)
		reply_json(rp, 200, job_json(p));
	pthread_mutex_unlock(&rq->sim->lock);
	if (!p)
		reply_json(rp, 404, json_pack("{s:s}", "error", "Job not found"));
}

/* Nothing until it has ended, and not that it failed but in the status. */
static void
get_history(struct sim_rq *rq, struct sim_reply *rp)
{
	const struct pred *p;
	json_t *all;

	if (wire_refuses_read(rq, rp))
		return;
	all = json_object();
	pthread_mutex_lock(&rq->sim->lock);
	p = find_job(rq, rq->arg[0]);
	if (p && pred_ended(p))
		json_object_set_new(all, p->id, json_pack("{s:[I,s,O,{},[s]],s:o,s:o,s:{}}", "prompt",
			(json_int_t)p->seq, p->id, graph_of(p), output_node(graph_of(p)),
			"outputs", outputs_json(p), "status", end_json(p), "meta"));
	reply_json(rp, 200, all);
	pthread_mutex_unlock(&rq->sim->lock);
}

static json_t *
items_json(const struct sim *sim, const struct wire *which, enum pred_status status)
{
	json_t *items = json_array();

	for (size_t i = 0; i < preds_count(sim); i++) {
		const struct pred *p = preds_at(sim, i);

		if (p->wire == which && p->status == status)
			json_array_append_new(items, json_pack("[I,s,O,{},[s]]", (json_int_t)p->seq, p->id,
				graph_of(p), output_node(graph_of(p))));
	}
	return items;
}

static void
get_queue(struct sim_rq *rq, struct sim_reply *rp)
{
	struct sim *sim = rq->sim;

	pthread_mutex_lock(&sim->lock);
	preds_advance(sim);
	reply_json(rp, 200, json_pack("{s:o,s:o}",
		"queue_running", items_json(sim, rq->wire, PRED_PROCESSING),
		"queue_pending", items_json(sim, rq->wire, PRED_STARTING)));
	pthread_mutex_unlock(&sim->lock);
}

static void
get_prompt(struct sim_rq *rq, struct sim_reply *rp)
{
	pthread_mutex_lock(&rq->sim->lock);
	reply_json(rp, 200, json_pack("{s:{s:I}}", "exec_info", "queue_remaining",
		(json_int_t)preds_live(rq->sim, rq->wire)));
	pthread_mutex_unlock(&rq->sim->lock);
}

static void
get_stats(struct sim_rq *rq, struct sim_reply *rp)
{
	(void)rq;
	reply_json(rp, 200, json_pack("{s:{s:s,s:s},s:[]}", "system", "os", "posix",
		"comfyui_version", "0.3.0", "devices"));
}

/* "ID_00001_.png" in no folder of the outputs. */
static void
view(struct sim_rq *rq, struct sim_reply *rp)
{
	struct buf name = BUF_INIT(256), type = BUF_INIT(64), folder = BUF_INIT(256);
	const size_t id_len = SIM_UUID_SIZE - 1;
	unsigned index;
	bool there;

	there = rq_query(rq, "filename", &name) && name.len > id_len &&
		sscanf(name.p + id_len, "_%5u_.", &index) == 1;
	rq_query(rq, "subfolder", &folder);
	if (rq_query(rq, "type", &type))
		there = there && strcmp(buf_str(&type), "output") == 0;
	if (there && folder.len == 0) {
		name.p[id_len] = '\0';
		deliver(rq, name.p, index, rp);
	} else {
		delivery_not_found(rq, rp);
	}
	buf_clear(&name);
	buf_clear(&type);
	buf_clear(&folder);
}

/* ---- Ending ---- */

/* Each that waits or runs and that `id`, or NULL any, names; how many there were. */
static int
end_all(struct sim_rq *rq, const char *id, bool waiting, bool running)
{
	struct sim *sim = rq->sim;
	int n = 0;

	preds_advance(sim);
	for (size_t i = 0; i < preds_count(sim); i++) {
		struct pred *p = preds_at(sim, i);
		bool wanted = (p->status == PRED_STARTING && waiting) || (p->status == PRED_PROCESSING && running);

		if (p->wire != rq->wire || !wanted || (id && strcmp(p->id, id) != 0))
			continue;
		n++;
		if (!fault_take_locked(sim, FAULT_CANCEL_IGNORED, buf_str(&rq->subject), NULL))
			pred_cancel(sim, p);
	}
	return n;
}

static void
cancel(struct sim_rq *rq, struct sim_reply *rp)
{
	bool known, cancelled;

	if (wire_refuses_cancel(rq, rp))
		return;
	pthread_mutex_lock(&rq->sim->lock);
	known = find_job(rq, rq->arg[0]) != NULL;
	cancelled = end_all(rq, rq->arg[0], true, true) > 0;
	pthread_mutex_unlock(&rq->sim->lock);
	if (known)
		reply_json(rp, 200, json_pack("{s:b}", "cancelled", cancelled));
	else
		reply_json(rp, 404, json_pack("{s:s}", "error", "Job not found"));
}

static void
change_queue(struct sim_rq *rq, struct sim_reply *rp)
{
	json_t *body, *id;
	size_t i;

	if (wire_refuses_cancel(rq, rp))
		return;
	body = rq_json(rq);
	pthread_mutex_lock(&rq->sim->lock);
	json_array_foreach(json_object_get(body, "delete"), i, id)
		if (json_is_string(id))
			end_all(rq, json_string_value(id), true, false);
	if (json_is_true(json_object_get(body, "clear")))
		end_all(rq, NULL, true, false);
	pthread_mutex_unlock(&rq->sim->lock);
	json_decref(body);
	reply_bytes(rp, 200, "text/plain", NULL, 0);
}

/* Without an id it ends whatever runs. */
static void
interrupt(struct sim_rq *rq, struct sim_reply *rp)
{
	json_t *body;

	if (wire_refuses_cancel(rq, rp))
		return;
	body = rq_json(rq);
	pthread_mutex_lock(&rq->sim->lock);
	end_all(rq, json_string_value(json_object_get(body, "prompt_id")), false, true);
	pthread_mutex_unlock(&rq->sim->lock);
	json_decref(body);
	reply_bytes(rp, 200, "text/plain", NULL, 0);
}

/* Measured and forgotten. */
static void
upload(struct sim_rq *rq, struct sim_reply *rp)
{
	struct part part;
	size_t at = 0;
	char *name;

	while (part_next(rq, &at, &part) && !part_is(&part, "image"))
		;
	name = part.body ? part_header(&part, " filename=\"", "\"\r") : NULL;
	if (name && *name) {
		pthread_mutex_lock(&rq->sim->lock);
		rq->sim->n.files++;
		pthread_mutex_unlock(&rq->sim->lock);
		reply_json(rp, 200, json_pack("{s:s,s:s,s:s}", "name", name, "subfolder", "", "type", "input"));
	} else {
		reply_bytes(rp, 400, "text/plain", NULL, 0);
	}
	mem_free(name);
}

#define ROUTES(at) \
	{ "POST", at "/prompt", queue_prompt, false }, \
	{ "GET", at "/prompt", get_prompt, false }, \
	{ "GET", at "/history/{}", get_history, false }, \
	{ "GET", at "/queue", get_queue, false }, \
	{ "POST", at "/queue", change_queue, false }, \
	{ "POST", at "/interrupt", interrupt, false }, \
	{ "GET", at "/view", view, false }, \
	{ "POST", at "/upload/image", upload, false }, \
	{ "GET", at "/system_stats", get_stats, false }

static const struct sim_route routes[] = {
	{ "GET", "/api/jobs/{}", get_job, false },
	{ "POST", "/api/jobs/{}/cancel", cancel, false },
	ROUTES(""),
	ROUTES("/api"),
};

static const struct wire wire = {
	.id = WIRE_comfyui,
	.may_call = may_call,
	.fail = fail,
};

const struct sim_area comfyui_area = {
	.prefix = "/comfyui",
	WIRE_ROUTES(wire, routes),
};
