/* The native API of stable-diffusion.cpp's server, below /sdcpp/v1. */
#include "config.h"

#include "tests/sim/http.h"

#include <string.h>

#include "tests/sim/outputs.h"
#include "tests/sim/pred.h"
#include "tests/sim/sim.h"
#include "tests/sim/wire.h"

/* The server itself wants no key; one that stands before it may. */
static bool
may_call(const struct sim_settings *set, const struct sim_rq *rq)
{
	return !*set->sdcpp_key || wire_has_key(rq, "Bearer", set->sdcpp_key);
}

static void
fail(struct sim_reply *rp, int status, const char *text)
{
	static const struct {
		int status, theirs;
		const char *text;
	} table[] = {
		{ 401, 401, "unauthorized" },
		{ 402, 402, "payment required" },
		{ 404, 404, "job not found" },
		{ 413, 413, "payload too large" },
		{ 422, 400, "invalid generation parameters" },
		{ 429, 429, "job queue is full" },
		{ 500, 500, "server_error" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].status == status) {
			status = table[i].theirs;
			text = text ? text : table[i].text;
			break;
		}
	}
	reply_json(rp, status, json_pack("{s:s}", "error", text ? text : ""));
}

/* ---- A job ---- */

static const char *
status_text(const struct pred *p)
{
	static const char *const text[] = {
		"queued", "generating", "completed", "failed", "cancelled", "failed",
	};

	return p->status == PRED_PROCESSING && p->wishes & WISH_ODD ? "dreaming" : text[p->status];
}

static json_t *
seconds_json(int64_t wall_us)
{
	return wall_us ? json_integer(wall_us / 1000000) : json_null();
}

static json_t *
error_json(const struct pred *p)
{
	if (p->status == PRED_CANCELED)
		return json_pack("{s:s,s:s}", "code", "cancelled", "message", "job cancelled by client");
	if (p->status != PRED_FAILED && p->status != PRED_ABORTED)
		return json_null();
	return json_pack("{s:s,s:s}", "code", "generation_failed",
		"message", "generate_image returned empty results");
}

/* All but its images, which are drawn without the lock. */
static json_t *
job_json(const struct sim *sim, const struct pred *p)
{
	return json_pack("{s:s,s:s,s:s,s:o,s:o,s:o,s:I,s:n,s:o}", "id", p->id, "kind", p->form,
		"status", status_text(p), "created", seconds_json(p->created_wall),
		"started", seconds_json(p->started_wall), "completed", seconds_json(p->completed_wall),
		"queue_position", (json_int_t)(p->status == PRED_STARTING ? preds_waiting_before(sim, p) : 0),
		"result", "error", error_json(p));
}

static const char *
format_of(const struct pred *p)
{
	const char *format = json_string_value(json_object_get(p->input, "output_format"));

	if (format)
		return format;
	return strcmp(p->form, "vid_gen") == 0 ? "webm" : "png";
}

static json_t *
images_json(const struct picture *pic)
{
	json_t *images = json_array();

	for (unsigned i = 0; i < pic->n && !(pic->wishes & WISH_EMPTY); i++)
		json_array_append_new(images, json_pack("{s:i,s:o}", "index", (int)i,
			"b64_json", picture_base64(pic, i)));
	return images;
}

static json_t *
result_json(const struct picture *pic, bool video, const char *format)
{
	if (video)
		return json_pack("{s:s,s:s,s:i,s:i,s:o}", "output_format", format, "mime_type", "video/mp4",
			"fps", 16, "frame_count", 33, "b64_json", picture_base64(pic, 0));
	return json_pack("{s:s,s:o}", "output_format", format, "images", images_json(pic));
}

/* ---- Submit ---- */

static bool
is_number(const json_t *body, const char *name, json_int_t min, json_int_t max)
{
	const json_t *value = json_object_get(body, name);
	json_int_t n = json_integer_value(value);

	return !value || (json_is_integer(value) && n >= min && n <= max);
}

static bool
is_text(const json_t *body, const char *name)
{
	const json_t *value = json_object_get(body, name);

	return !value || json_is_null(value) || json_is_string(value);
}

static bool
is_format(const json_t *body, bool video)
{
	static const char *const images[] = { "png", "jpeg", "webp", NULL };
	static const char *const videos[] = { "webm", "webp", "avi", NULL };
	const char *format = json_string_value(json_object_get(body, "output_format"));
	const char *const *known = video ? videos : images;

	while (format && *known && strcmp(*known, format) != 0)
		known++;
	return !format || *known;
}

/* What the server does not know it ignores. */
static const char *
wrong_with(const json_t *body, bool video)
{
	if (!json_is_object(body))
		return "body must be an object";
	if (!json_is_string(json_object_get(body, "prompt")) || !is_text(body, "negative_prompt") ||
	    !is_text(body, "init_image") || !is_number(body, "width", 64, 4096) ||
	    !is_number(body, "height", 64, 4096) || !is_number(body, "seed", -1, INT64_MAX) ||
	    !is_number(body, "batch_count", 1, 8))
		return "invalid generation parameters";
	return is_format(body, video) ? NULL : "unsupported output_format";
}

static void
reply_accepted(struct sim *sim, const struct pred *p, struct sim_reply *rp)
{
	const char *base = fault_take_locked(sim, FAULT_LINKS_FOREIGN, p->form, NULL) ? "https://192.0.2.1" : "";
	json_t *body = json_pack("{s:s}", "id", p->id);

	if (!fault_take_locked(sim, FAULT_CREATE_BARE, p->form, NULL)) {
		json_object_set_new(body, "kind", json_string(p->form));
		json_object_set_new(body, "status", json_string("queued"));
		json_object_set_new(body, "created", seconds_json(p->created_wall));
		json_object_set_new(body, "poll_url", json_sprintf("%s/sdcpp/v1/jobs/%s", base, p->id));
	}
	reply_json(rp, 202, body);
}

static bool
queue_is_full(struct sim_rq *rq)
{
	struct sim *sim = rq->sim;
	bool full;

	pthread_mutex_lock(&sim->lock);
	preds_advance(sim);
	full = preds_live(sim, rq->wire) >= sim->set.sdcpp_queue;
	pthread_mutex_unlock(&sim->lock);
	return full;
}

static void
generate(struct sim_rq *rq, const char *kind, struct sim_reply *rp)
{
	bool video = strcmp(kind, "vid_gen") == 0;
	char id[SIM_UUID_SIZE], word[SIM_ID_SIZE];
	const char *wrong;
	struct pred *p;

	if (wire_refuses_create(rq, rp))
		return;
	p = wire_new_pred(rq, rp);
	if (!p)
		return;
	p->form = kind;
	p->input = rq_json(rq);
	sim_new_id(word);
	snprintf(p->id, sizeof(p->id), "job_%s", word);
	wrong = p->input ? wrong_with(p->input, video) : "invalid json";
	if (wrong) {
		fail(rp, 422, wrong);
	} else if (queue_is_full(rq)) {
		fail(rp, 429, NULL);
	} else {
		p->n_outputs = video ? 1 : (unsigned)json_integer_value(json_object_get(p->input, "batch_count"));
		if (video)
			p->wishes = WISH_VIDEO;
		if (wire_start(rq, &p, reply_accepted, id, rp))
			wire_spoil_create(rq, id, rp);
	}
	pred_free(&p);
}

static void
img_gen(struct sim_rq *rq, struct sim_reply *rp)
{
	generate(rq, "img_gen", rp);
}

static void
vid_gen(struct sim_rq *rq, struct sim_reply *rp)
{
	generate(rq, "vid_gen", rp);
}

/* ---- Read and cancel ---- */

/* NULL: rp says that there is none, or none any more. */
static struct pred *
find_job(struct sim_rq *rq, struct sim_reply *rp)
{
	struct pred *p = pred_find(rq->sim, rq->wire, rq->arg[0]);

	if (!p)
		fail(rp, 404, NULL);
	else if (pred_ended(p) && sim_mono_us() - p->end_us > (int64_t)rq->sim->set.sdcpp_keep_ms * 1000)
		fail(rp, 410, "job expired");
	else
		return p;
	return NULL;
}

/* What the images are made of, copied. */
struct made {
	struct picture pic;
	bool video;
	char format[16];
};

static bool
copy_made(const struct sim *sim, const struct pred *p, struct made *made)
{
	made->video = strcmp(p->form, "vid_gen") == 0;
	snprintf(made->format, sizeof(made->format), "%s", format_of(p));
	return p->status == PRED_SUCCEEDED && !(p->wishes & WISH_NULL) && picture_copy(sim, p, &made->pic);
}

static void
get_job(struct sim_rq *rq, struct sim_reply *rp)
{
	struct made made = { .video = false };
	json_t *job = NULL;
	struct pred *p;
	bool has_result = false;

	if (wire_refuses_read(rq, rp))
		return;
	pthread_mutex_lock(&rq->sim->lock);
	p = find_job(rq, rp);
	if (p) {
		job = job_json(rq->sim, p);
		has_result = copy_made(rq->sim, p, &made);
	}
	pthread_mutex_unlock(&rq->sim->lock);
	if (has_result)
		json_object_set_new(job, "result", result_json(&made.pic, made.video, made.format));
	if (job)
		reply_json(rp, 200, job);
	picture_clear(&made.pic);
}

static void
cancel_locked(struct sim_rq *rq, struct sim_reply *rp)
{
	struct sim *sim = rq->sim;
	struct pred *p = find_job(rq, rp);

	if (!p)
		return;
	if (pred_ended(p)) {
		fail(rp, 409, "job is already finished");
		return;
	}
	if (p->status == PRED_PROCESSING && !sim->set.sdcpp_cancel_generating) {
		fail(rp, 409, "job is already generating and cannot be cancelled");
		return;
	}
	if (!fault_take_locked(sim, FAULT_CANCEL_IGNORED, buf_str(&rq->subject), NULL))
		pred_cancel(sim, p);
	reply_json(rp, 200, job_json(sim, p));
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

static void
get_capabilities(struct sim_rq *rq, struct sim_reply *rp)
{
	struct sim *sim = rq->sim;

	pthread_mutex_lock(&sim->lock);
	reply_json(rp, 200, json_pack("{s:{s:s,s:s,s:s},s:s,s:[s,s],s:{s:i,s:i,s:i,s:i,s:i,s:I},s:{s:{s:b,s:b}}}",
		"model", "name", "sim.gguf", "stem", "sim", "path", "/models/sim.gguf",
		"current_mode", "img_gen", "supported_modes", "img_gen", "vid_gen",
		"limits", "min_width", 64, "max_width", 4096, "min_height", 64, "max_height", 4096,
		"max_batch_count", 8, "max_queue_size", (json_int_t)sim->set.sdcpp_queue,
		"features_by_mode", "img_gen", "cancel_queued", 1,
		"cancel_generating", (int)sim->set.sdcpp_cancel_generating));
	pthread_mutex_unlock(&sim->lock);
}

static const struct sim_route routes[] = {
	{ "POST", "/img_gen", img_gen, false },
	{ "POST", "/vid_gen", vid_gen, false },
	{ "GET", "/jobs/{}", get_job, false },
	{ "POST", "/jobs/{}/cancel", cancel, false },
	{ "GET", "/capabilities", get_capabilities, false },
};

static const struct wire wire = {
	.id = WIRE_sdcpp,
	.may_call = may_call,
	.fail = fail,
};

const struct sim_area sdcpp_area = {
	.prefix = "/sdcpp/v1",
	WIRE_ROUTES(wire, routes),
};
