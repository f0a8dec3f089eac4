/* Replicate's API below /replicate/v1. */
#include "config.h"

#include "tests/sim/http.h"

#include <stdlib.h>
#include <string.h>

#include "tests/sim/create.h"
#include "tests/sim/delivery.h"
#include "tests/sim/multipart.h"
#include "tests/sim/pred.h"
#include "tests/sim/replicate_object.h"
#include "tests/sim/sim.h"
#include "tests/sim/wire.h"

static void
add_common_headers(struct sim_rq *rq, struct sim_reply *rp)
{
	bool create = sim_same(rq->method, "POST") && !strstr(rq->path, "/cancel");
	char date[SIM_TIME_SIZE];

	sim_http_date(sim_provider_us(rq->sim), date);
	reply_header(rp, "Date", date);
	reply_header(rp, "ratelimit-remaining", create ? "599" : "2999");
	reply_header(rp, "ratelimit-reset", "1");
}

static bool
before(struct sim_rq *rq, const struct sim_route *route, struct sim_reply *rp)
{
	pthread_mutex_lock(&rq->sim->lock);
	add_common_headers(rq, rp);
	pthread_mutex_unlock(&rq->sim->lock);
	return wire_before(rq, route, rp);
}

static void
reply_found(struct sim_rq *rq, bool cancel, bool echo, struct sim_reply *rp)
{
	struct sim *sim = rq->sim;
	struct pred *p;

	pthread_mutex_lock(&sim->lock);
	p = pred_find(sim, rq->wire, rq->arg[0]);
	if (p && cancel)
		pred_cancel(sim, p);
	if (p)
		reply_json(rp, 200, replicate_json(sim, p, echo));
	pthread_mutex_unlock(&sim->lock);
	if (!p)
		wire_not_found(rq, rp);
}

static void
get_prediction(struct sim_rq *rq, struct sim_reply *rp)
{
	if (!wire_refuses_read(rq, rp))
		reply_found(rq, false, !fault_take(rq->sim, FAULT_GET_NO_WEBHOOK,
			buf_str(&rq->subject), NULL), rp);
}

static void
cancel_prediction(struct sim_rq *rq, struct sim_reply *rp)
{
	if (wire_refuses_cancel(rq, rp))
		return;
	reply_found(rq, true, true, rp);
}

/* ---- The list: newest first, in pages with a cursor. ---- */

struct page {
	int64_t after_us, before_us;	/* created_at: [after, before) */
	bool newer;			/* the page before the cursor, not behind */
	uint64_t cursor;		/* a prediction's seq */
	bool has_cursor;
	struct buf filters;		/* of the query, to repeat in the links */
};

static bool
read_date(const struct sim_rq *rq, const char *name, int64_t *us, struct buf *filters)
{
	struct buf text = BUF_INIT(256);
	bool ok = true;

	if (rq_query(rq, name, &text)) {
		ok = sim_time_parse(buf_str(&text), us);
		buf_printf(filters, "&%s=", name);
		buf_put_urlenc(filters, buf_str(&text), text.len, NULL);
	}
	buf_clear(&text);
	return ok;
}

/* "o12": older than number 12; "n12": newer. */
static bool
read_cursor(const struct sim_rq *rq, struct page *page)
{
	struct buf text = BUF_INIT(64);
	bool ok = true;

	page->has_cursor = rq_query(rq, "cursor", &text);
	if (page->has_cursor) {
		const char *s = buf_str(&text);

		page->newer = *s == 'n';
		ok = (*s == 'n' || *s == 'o') &&
		     parse_u64(s + 1, strlen(s + 1), 0, UINT64_MAX, &page->cursor) == ERR_OK;
	}
	buf_clear(&text);
	return ok;
}

static bool
on_list(const struct sim *sim, const struct page *page, const struct pred *p)
{
	return p->wire == &replicate_wire && p->created_wall >= page->after_us && p->created_wall < page->before_us &&
	       sim_mono_us() - p->created_us >= (int64_t)sim->set.list_lag_ms * 1000;
}

static json_t *
link_json(const struct sim *sim, const struct page *page, char way, uint64_t seq)
{
	return json_sprintf("%s/replicate/v1/predictions?cursor=%c%llu%s",
		sim->base_url, way, (unsigned long long)seq, buf_str(&page->filters));
}

/* Is there one that belongs on the list in [from, to)? */
static bool
any_between(const struct sim *sim, const struct page *page, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		if (on_list(sim, page, preds_at(sim, i)))
			return true;
	return false;
}

/* Where the page begins, one behind its newest. */
static size_t
page_top(const struct sim *sim, const struct page *page)
{
	size_t n = preds_count(sim), i;
	long found = 0;

	if (!page->has_cursor || page->cursor > n)
		return n;
	if (!page->newer)
		return page->cursor;
	for (i = page->cursor + 1; i < n && found < sim->set.page_size; i++)
		found += on_list(sim, page, preds_at(sim, i));
	return i;
}

static json_t *
list_json(const struct sim *sim, const struct page *page, bool echo, bool cut)
{
	json_t *results = json_array(), *next = json_null(), *previous = json_null();
	size_t top = page_top(sim, page), i = top;

	while (i > 0 && json_array_size(results) < (size_t)sim->set.page_size) {
		const struct pred *p = preds_at(sim, --i);

		if (on_list(sim, page, p))
			json_array_append_new(results, replicate_json(sim, p, echo));
	}
	if (any_between(sim, page, 0, i))
		next = link_json(sim, page, 'o', i);
	if (any_between(sim, page, top, preds_count(sim)))
		previous = link_json(sim, page, 'n', top - 1);
	if (cut) {
		json_decref(next);
		next = json_string("https://192.0.2.1/replicate/v1/predictions?cursor=o1");
	}
	return json_pack("{s:o,s:o,s:o}", "next", next, "previous", previous,
		"results", results);
}

static void
list_predictions(struct sim_rq *rq, struct sim_reply *rp)
{
	struct page page = { .before_us = INT64_MAX, .filters = BUF_INIT(1024) };
	struct sim *sim = rq->sim;
	bool echo = !fault_take(sim, FAULT_LIST_NO_WEBHOOK, buf_str(&rq->subject), NULL);
	bool cut = fault_take(sim, FAULT_LIST_CUT, buf_str(&rq->subject), NULL);
	struct fault_hit hit;

	if (fault_take(sim, FAULT_LIST_429, buf_str(&rq->subject), &hit)) {
		reply_throttled(rp, &hit);
	} else if (fault_take(sim, FAULT_LIST_500, buf_str(&rq->subject), NULL)) {
		reply_problem(rp, 500, "Internal Server Error", "The simulator was asked to fail");
	} else if (!read_date(rq, "created_after", &page.after_us, &page.filters) ||
		   !read_date(rq, "created_before", &page.before_us, &page.filters) ||
		   !read_cursor(rq, &page)) {
		reply_problem(rp, 400, NULL, "created_after, created_before or cursor is malformed");
	} else {
		pthread_mutex_lock(&sim->lock);
		sim->n.lists++;
		preds_advance(sim);
		reply_json(rp, 200, list_json(sim, &page, echo, cut));
		pthread_mutex_unlock(&sim->lock);
	}
	buf_clear(&page.filters);
}

static void
get_secret(struct sim_rq *rq, struct sim_reply *rp)
{
	if (fault_take(rq->sim, FAULT_SECRET_401, buf_str(&rq->subject), NULL)) {
		reply_problem(rp, 401, "Unauthenticated", "The simulator was asked to keep it");
		return;
	}
	pthread_mutex_lock(&rq->sim->lock);
	reply_json(rp, 200, json_pack("{s:s}", "key", rq->sim->set.webhook_secret));
	pthread_mutex_unlock(&rq->sim->lock);
}

static void
get_account(struct sim_rq *rq, struct sim_reply *rp)
{
	(void)rq;
	reply_json(rp, 200, json_pack("{s:s,s:s,s:s}", "type", "organization",
		"username", "sim", "name", "The simulator"));
}

/* ---- Files: the part named "content" is measured and forgotten. ---- */

static json_t *
file_json(const struct sim_rq *rq, const struct part *part)
{
	char *name = part_header(part, "filename=\"", "\"\r");
	char *type = part_header(part, "Content-Type: ", "\r;");
	struct buf sha = BUF_INIT(128), md5 = BUF_INIT(128);
	char id[SIM_ID_SIZE], created[SIM_TIME_SIZE], expires[SIM_TIME_SIZE];
	json_t *body;

	sim_new_id(id);
	sim_time_text(sim_wall_us(), created);
	sim_time_text(sim_wall_us() + INT64_C(86400000000), expires);
	sim_digest_hex("SHA256", part->body, part->body_len, &sha);
	sim_digest_hex("MD5", part->body, part->body_len, &md5);
	body = json_pack("{s:s,s:s,s:s,s:I,s:s,s:{s:s,s:s},s:{},s:s,s:s,s:{s:o}}",
		"id", id, "name", name ? name : "file",
		"content_type", type ? type : "application/octet-stream",
		"size", (json_int_t)part->body_len, "etag", buf_str(&md5),
		"checksums", "sha256", buf_str(&sha), "md5", buf_str(&md5),
		"metadata", "created_at", created, "expires_at", expires,
		"urls", "get", json_sprintf("%s/replicate/v1/files/%s", rq->sim->base_url, id));
	buf_clear(&sha);
	buf_clear(&md5);
	mem_free(name);
	mem_free(type);
	return body;
}

static void
create_file(struct sim_rq *rq, struct sim_reply *rp)
{
	struct part part;
	size_t at = 0;

	while (part_next(rq, &at, &part) && !part_is(&part, "content"))
		;
	if (part.body) {
		pthread_mutex_lock(&rq->sim->lock);
		rq->sim->n.files++;
		pthread_mutex_unlock(&rq->sim->lock);
		reply_json(rp, 201, file_json(rq, &part));
	} else {
		reply_problem(rp, 400, NULL, "Missing content");
	}
}

static const struct sim_route routes[] = {
	{ "POST", "/predictions", create_by_version, false },
	{ "GET", "/predictions", list_predictions, false },
	{ "GET", "/predictions/{}", get_prediction, false },
	{ "POST", "/predictions/{}/cancel", cancel_prediction, false },
	{ "POST", "/models/{}/{}/predictions", create_by_model, false },
	{ "POST", "/deployments/{}/{}/predictions", create_by_deployment, false },
	{ "POST", "/files", create_file, false },
	{ "GET", "/webhooks/default/secret", get_secret, false },
	{ "GET", "/account", get_account, false },
};

const struct sim_area replicate_area = {
	.prefix = "/replicate/v1",
	.wire = &replicate_wire,
	.routes = routes,
	.n_routes = sizeof(routes) / sizeof(routes[0]),
	.before = before,
	.after = wire_after,
	.not_found = wire_not_found,
	.too_large = wire_too_large,
	.files = &replicate_files_area,
};
