#include "config.h"

#include "tests/sim/delivery.h"

#include <string.h>

#include "tests/sim/outputs.h"
#include "tests/sim/pred.h"
#include "tests/sim/sim.h"

static const char web_page[] =
	"<!DOCTYPE html><html><title>Sorry</title><p>Something else came.</html>\n";

static bool
look_up(struct sim_rq *rq, const char *id, unsigned index, struct picture *pic)
{
	struct sim *sim = rq->sim;
	const struct pred *p;
	bool there;

	pthread_mutex_lock(&sim->lock);
	sim->n.deliveries++;
	if (rq_param(rq, "HTTP_AUTHORIZATION") || rq_param(rq, "HTTP_X_KEY"))
		sim->n.deliveries_with_auth++;
	p = pred_find(sim, NULL, id);
	there = p && p->status == PRED_SUCCEEDED && !pred_data_removed(sim, p) &&
		index < p->n_outputs && picture_copy(sim, p, pic);
	pthread_mutex_unlock(&sim->lock);
	return there;
}

void
delivery_not_found(struct sim_rq *rq, struct sim_reply *rp)
{
	(void)rq;
	reply_bytes(rp, 404, "text/plain", "Not Found\n", 10);
}

static void
reply_busy(struct sim_reply *rp, long retry_after_s)
{
	reply_retry_after(rp, retry_after_s);
	reply_bytes(rp, 503, "text/plain", "Service Unavailable\n", 20);
}

void
reply_picture(const struct picture *pic, unsigned index, struct sim_reply *rp)
{
	const char *type;

	reply_bytes(rp, 200, "", NULL, 0);
	type = picture_put(pic, index, &rp->body, &rp->fill);
	if (type)
		rp->type = type;
	else
		reply_bytes(rp, 500, "text/plain", "cannot draw\n", 12);
}

/* Where a cloud's machines ask for their credentials. */
static void
reply_inside(struct sim_reply *rp)
{
	reply_bytes(rp, 302, "text/plain", NULL, 0);
	reply_header(rp, "Location", "http://169.254.169.254/latest/meta-data/");
}

void
deliver(struct sim_rq *rq, const char *id, unsigned index, struct sim_reply *rp)
{
	const char *subject = buf_str(&rq->subject);
	struct picture pic = { .n = 0 };
	struct fault_hit hit;

	if (!look_up(rq, id, index, &pic)) {
		delivery_not_found(rq, rp);
		return;
	}
	if (fault_take(rq->sim, FAULT_DELIVERY_SLOW, subject, &hit))
		sim_sleep(rq->sim, hit.delay_ms);
	if (pic.wishes & WISH_404 || fault_take(rq->sim, FAULT_DELIVERY_404, subject, NULL))
		delivery_not_found(rq, rp);
	else if (fault_take(rq->sim, FAULT_DELIVERY_503, subject, &hit))
		reply_busy(rp, hit.retry_after_s);
	else if (fault_take(rq->sim, FAULT_DELIVERY_500, subject, NULL))
		reply_bytes(rp, 500, "text/plain", "Internal Server Error\n", 22);
	else if (fault_take(rq->sim, FAULT_DELIVERY_HTML, subject, NULL))
		reply_bytes(rp, 200, "text/html", web_page, sizeof(web_page) - 1);
	else if (fault_take(rq->sim, FAULT_DELIVERY_REDIRECT, subject, NULL))
		reply_inside(rp);
	else
		reply_picture(&pic, index, rp);
	if (fault_take(rq->sim, FAULT_DELIVERY_DRIP, subject, &hit))
		rp->drip_ms = hit.delay_ms;
	rp->cut = fault_take(rq->sim, FAULT_DELIVERY_CUT, subject, NULL);
	picture_clear(&pic);
}

void
delivery_get(struct sim_rq *rq, struct sim_reply *rp)
{
	unsigned index;
	int n = 0;

	if (sscanf(rq->arg[1], "out-%3u%n", &index, &n) == 1 &&
	    (strcmp(rq->arg[1] + n, ".mp4") == 0 || strcmp(rq->arg[1] + n, ".png") == 0))
		deliver(rq, rq->arg[0], index, rp);
	else
		delivery_not_found(rq, rp);
}

static const struct sim_route routes[] = {
	{ "GET", "/{}/{}", delivery_get, .open = true },
};

#define FILES(where) { \
	.prefix = where, \
	.routes = routes, \
	.n_routes = sizeof(routes) / sizeof(routes[0]), \
	.not_found = delivery_not_found, \
}

const struct sim_area replicate_files_area = FILES("/replicate/delivery");
const struct sim_area fal_files_area = FILES("/fal/files");
const struct sim_area openai_files_area = FILES("/openai/files");
