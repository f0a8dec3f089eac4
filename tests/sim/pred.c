#include "config.h"

#include "tests/sim/pred.h"

#include <string.h>

#include "tests/sim/draw.h"
#include "tests/sim/webhooks.h"
#include "tests/sim/wire.h"

#define N_BUCKETS 65536
#define NEVER (INT64_MAX / 2)

struct preds {
	struct pred **all;		/* oldest first */
	size_t n, cap;
	struct pred *live;		/* by next_live */
	struct pred *bucket[N_BUCKETS];
};

static const struct {
	const char *word;
	unsigned wish;
} prompt_words[] = {
	{ "[fail]", WISH_FAIL },
	{ "[nsfw]", WISH_NSFW },
	{ "[empty]", WISH_EMPTY },
	{ "[null]", WISH_NULL },
	{ "[string]", WISH_STRING },
	{ "[object]", WISH_OBJECT },
	{ "[data]", WISH_DATA },
	{ "[html]", WISH_HTML },
	{ "[404]", WISH_404 },
	{ "[slow]", WISH_SLOW },
	{ "[stuck]", WISH_STUCK },
	{ "[endless]", WISH_ENDLESS },
	{ "[video]", WISH_VIDEO },
	{ "[foreign]", WISH_FOREIGN },
	{ "[huge]", WISH_HUGE },
	{ "[odd]", WISH_ODD },
	{ "[talkative]", WISH_TALKATIVE },
	{ "[runner]", WISH_RUNNER },
	{ "[black]", WISH_BLACK },
};

struct preds *
preds_new(void)
{
	return mem_calloc(1, sizeof(struct preds));
}

void
preds_reset(struct preds *ps)
{
	for (size_t i = 0; i < ps->n; i++)
		pred_free(&ps->all[i]);
	ps->n = 0;
	ps->live = NULL;
	memset(ps->bucket, 0, sizeof(ps->bucket));
}

void
preds_free(struct preds **ps)
{
	if (!*ps)
		return;
	preds_reset(*ps);
	mem_free((*ps)->all);
	mem_free(*ps);
	*ps = NULL;
}

struct pred *
pred_new(void)
{
	return mem_calloc(1, sizeof(struct pred));
}

void
pred_free(struct pred **pp)
{
	struct pred *p = *pp;

	if (!p)
		return;
	mem_free(p->model);
	mem_free(p->version);
	mem_free(p->deployment);
	mem_free(p->webhook);
	mem_free(p->cancel_after);
	mem_free(p->idempotency_key);
	mem_free(p->secret);
	mem_free(p->prompt);
	mem_free(p->data_uri);
	json_decref(p->input);
	json_decref(p->headers);
	mem_free(p);
	*pp = NULL;
}

const char *
pred_prompt(const struct pred *p)
{
	const char *s = p->prompt;

	if (!s)
		s = json_string_value(json_object_get(p->input, "prompt"));
	if (!s)
		s = json_string_value(json_object_get(p->input, "text"));
	return s ? s : "";
}

static long
bounded(const json_t *n, long min, long max, long def)
{
	json_int_t v = json_is_integer(n) ? json_integer_value(n) : def;

	return v < min ? min : v > max ? max : (long)v;
}

static unsigned
side(int64_t n)
{
	return n < DRAW_MIN_SIDE ? DRAW_MIN_SIDE : n > DRAW_MAX_SIDE ? DRAW_MAX_SIDE : (unsigned)n;
}

void
pred_set_size(struct pred *p, int64_t width, int64_t height)
{
	if (width > 0 && height > 0) {
		p->width = side(width);
		p->height = side(height);
	}
}

/* "16:9": the longer side has 512 pixels, the other a multiple of 8. */
static void
size_from_ratio(struct pred *p, const char *ratio)
{
	unsigned a = 1, b = 1, small;

	p->width = p->height = 512;
	if (!ratio || sscanf(ratio, "%3u:%3u", &a, &b) != 2 || !a || !b || a == b)
		return;
	small = a > b ? 512 * b / a : 512 * a / b;
	small = small < 64 ? 64 : small / 8 * 8;
	*(a > b ? &p->height : &p->width) = small;
}

static void
read_size(struct pred *p)
{
	size_from_ratio(p, json_string_value(json_object_get(p->input, "aspect_ratio")));
	p->width = (unsigned)bounded(json_object_get(p->input, "width"),
		DRAW_MIN_SIDE, DRAW_MAX_SIDE, p->width);
	p->height = (unsigned)bounded(json_object_get(p->input, "height"),
		DRAW_MIN_SIDE, DRAW_MAX_SIDE, p->height);
}

static void
read_input(struct pred *p)
{
	const json_t *n = json_object_get(p->input, "num_outputs");

	for (size_t i = 0; i < sizeof(prompt_words) / sizeof(prompt_words[0]); i++)
		if (strstr(pred_prompt(p), prompt_words[i].word))
			p->wishes |= prompt_words[i].wish;
	if (!n)
		n = json_object_get(p->input, "num_images");
	if (!p->n_outputs)
		p->n_outputs = (unsigned)bounded(n, 1, 16, 1);
	if (!p->width)
		read_size(p);
	if (!p->seed)
		p->seed = json_integer_value(json_object_get(p->input, "seed"));
}

static struct pred **
bucket_of(struct preds *ps, const char *id)
{
	uint32_t h = 2166136261u;

	for (; *id; id++)
		h = (h ^ (unsigned char)*id) * 16777619u;
	return &ps->bucket[h % N_BUCKETS];
}

static bool
insert(struct preds *ps, struct pred *p)
{
	struct pred **bucket = bucket_of(ps, p->id);

	if (ps->n == ps->cap) {
		size_t cap = ps->cap ? ps->cap * 2 : 64;
		struct pred **all = mem_realloc(ps->all, cap * sizeof(struct pred *));

		if (!all)
			return false;
		ps->all = all;
		ps->cap = cap;
	}
	ps->all[ps->n++] = p;
	p->next_in_bucket = *bucket;
	*bucket = p;
	p->next_live = ps->live;
	ps->live = p;
	return true;
}

bool
pred_start(struct sim *sim, struct pred *p)
{
	struct preds *ps = sim->preds;
	const struct sim_settings *set = &sim->set;

	if (ps->n >= (size_t)set->max_predictions)
		return false;
	read_input(p);
	if (!*p->id)
		sim_new_id(p->id);
	p->seq = ps->n;
	p->created_us = sim_mono_us();
	p->created_wall = sim_provider_us(sim);
	p->start_us = p->wishes & WISH_STUCK ? NEVER :
		p->created_us + set->starting_ms * 1000;
	p->end_us = p->wishes & WISH_ENDLESS ? NEVER : p->start_us +
		(p->wishes & WISH_SLOW ? set->slow_ms : set->processing_ms) * 1000;
	p->deadline_us = p->lifetime_us ? p->created_us + p->lifetime_us : NEVER;
	if (!insert(ps, p))
		return false;
	sim->n.predictions_created++;
	sim->created_by_wire[p->wire->id]++;
	pthread_cond_broadcast(&sim->due);
	return true;
}

bool
pred_ended(const struct pred *p)
{
	return p->status >= PRED_SUCCEEDED;
}

const char *
pred_status_text(const struct pred *p)
{
	static const char *const text[] = {
		"starting", "processing", "succeeded", "failed", "canceled", "aborted",
	};

	if (p->status == PRED_PROCESSING && p->wishes & WISH_ODD)
		return "dreaming";
	return text[p->status];
}

int64_t
pred_wall_at(const struct pred *p, int64_t mono_us)
{
	return p->created_wall + (mono_us - p->created_us);
}

/* An inline output is drawn once, small: it travels in every body. */
static void
draw_inline(struct pred *p)
{
	struct buf png = BUF_INIT(1 << 20), uri = BUF_INIT(1 << 20);

	buf_puts(&uri, "data:image/png;base64,");
	if (draw_png(pred_prompt(p), p->seed, 0, 64, 64, &png))
		sim_base64(&uri, png.p, png.len);
	p->data_uri = buf_take(&uri);
	buf_clear(&uri);
	buf_clear(&png);
}

static void
end(struct sim *sim, struct pred *p, enum pred_status status, int64_t at_us)
{
	if (status == PRED_SUCCEEDED && p->wishes & WISH_DATA)
		draw_inline(p);
	p->completed_wall = pred_wall_at(p, at_us);
	p->end_us = at_us;
	if (status == PRED_SUCCEEDED) {
		/* The real one shows outputs before it says that it is done. */
		hook_queue(sim, p, EVENT_OUTPUT);
	}
	p->status = status;
	hook_queue(sim, p, EVENT_COMPLETED);
	pthread_cond_broadcast(&sim->changed);
}

static void
begin(struct sim *sim, struct pred *p)
{
	p->status = PRED_PROCESSING;
	if (p->lives_once_started)
		p->deadline_us = NEVER;
	p->started_wall = pred_wall_at(p, p->start_us);
	hook_queue(sim, p, EVENT_START);
	hook_queue(sim, p, EVENT_LOGS);
	pthread_cond_broadcast(&sim->changed);
}

static void
advance(struct sim *sim, struct pred *p, int64_t now_us)
{
	if (p->status == PRED_STARTING && p->start_us <= now_us && p->start_us < p->deadline_us)
		begin(sim, p);
	if (p->status == PRED_PROCESSING && p->end_us <= now_us && p->end_us < p->deadline_us)
		end(sim, p, p->wishes & (WISH_FAIL | WISH_NSFW | WISH_RUNNER) ?
			PRED_FAILED : PRED_SUCCEEDED, p->end_us);
	if (!pred_ended(p) && p->deadline_us <= now_us) {
		sim->n.deadlines++;
		end(sim, p, p->status == PRED_STARTING ? PRED_ABORTED : PRED_CANCELED,
			p->deadline_us);
	}
}

static int64_t
next_due(const struct pred *p)
{
	int64_t t = p->status == PRED_STARTING ? p->start_us : p->end_us;

	return t < p->deadline_us ? t : p->deadline_us;
}

/* Move all that live; returns when the next is due. */
static int64_t
advance_all(struct sim *sim)
{
	struct pred **link = &sim->preds->live;
	int64_t now = sim_mono_us(), due = now + 3600 * INT64_C(1000000);

	while (*link) {
		struct pred *p = *link;

		advance(sim, p, now);
		if (pred_ended(p)) {
			*link = p->next_live;
			p->next_live = NULL;
			continue;
		}
		if (next_due(p) < due)
			due = next_due(p);
		link = &p->next_live;
	}
	return due;
}

void
preds_advance(struct sim *sim)
{
	advance_all(sim);
}

long
preds_live(const struct sim *sim, const struct wire *wire)
{
	long n = 0;

	for (const struct pred *p = sim->preds->live; p; p = p->next_live)
		n += p->wire == wire && !pred_ended(p);
	return n;
}

long
preds_waiting_before(const struct sim *sim, const struct pred *than)
{
	long n = 0;

	for (const struct pred *p = sim->preds->live; p; p = p->next_live)
		n += p->wire == than->wire && p->status == PRED_STARTING && p->seq < than->seq;
	return n;
}

void
preds_run(struct sim *sim)
{
	pthread_mutex_lock(&sim->lock);
	while (!sim->stopping)
		sim_wait_until(sim, &sim->due, advance_all(sim));
	pthread_mutex_unlock(&sim->lock);
}

void
pred_cancel(struct sim *sim, struct pred *p)
{
	if (pred_ended(p))
		return;
	sim->n.canceled++;
	end(sim, p, PRED_CANCELED, sim_mono_us());
}

struct pred *
pred_find(struct sim *sim, const struct wire *wire, const char *id)
{
	struct pred *p = *bucket_of(sim->preds, id);

	while (p && (strcmp(p->id, id) != 0 || (wire && p->wire != wire)))
		p = p->next_in_bucket;
	if (p)
		advance(sim, p, sim_mono_us());
	return p;
}

size_t
preds_count(const struct sim *sim)
{
	return sim->preds->n;
}

struct pred *
preds_at(const struct sim *sim, size_t i)
{
	return sim->preds->all[i];
}

bool
pred_data_removed(const struct sim *sim, const struct pred *p)
{
	return sim_mono_us() - p->created_us > (int64_t)sim->set.data_ttl_ms * 1000;
}
