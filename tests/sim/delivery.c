#include "config.h"

#include "tests/sim/delivery.h"

#include <string.h>

#include "tests/sim/draw.h"
#include "tests/sim/pred.h"
#include "tests/sim/sim.h"

/* What is needed to draw, copied, so that the lock is not held meanwhile. */
struct picture {
	unsigned wishes, width, height, index;
	int64_t seed;
	char *prompt;
};

static const char web_page[] =
	"<!DOCTYPE html><html><title>Sorry</title><p>Something else came.</html>\n";

/* In pixels; max is one of the settings. */
static unsigned
no_longer(unsigned side, long max)
{
	return side < (unsigned)max ? side : (unsigned)max;
}

static bool
look_up(struct sim_rq *rq, struct picture *pic)
{
	struct sim *sim = rq->sim;
	const struct pred *p;
	bool there;

	pthread_mutex_lock(&sim->lock);
	sim->n.deliveries++;
	if (rq_param(rq, "HTTP_AUTHORIZATION"))
		sim->n.deliveries_with_auth++;
	p = pred_find(sim, NULL, rq->arg[0]);
	there = p && p->status == PRED_SUCCEEDED && !pred_data_removed(sim, p) &&
		pic->index < p->n_outputs;
	if (there) {
		pic->wishes = p->wishes;
		pic->width = no_longer(p->width, sim->set.max_side);
		pic->height = no_longer(p->height, sim->set.max_side);
		pic->seed = p->seed;
		pic->prompt = mem_strdup(pred_prompt(p));
	}
	pthread_mutex_unlock(&sim->lock);
	return there && pic->prompt;
}

static void
reply_gone(struct sim_rq *rq, struct sim_reply *rp)
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

/* The first bytes of an MP4 file, and filling. */
static void
reply_video(struct sim_reply *rp)
{
	static const char head[] =
		"\0\0\0\x18" "ftypisom\0\0\2\0isomiso2" "\0\0\x10\x08" "mdat";
	static const char filling[4096];

	reply_bytes(rp, 200, "video/mp4", head, sizeof(head) - 1);
	buf_put(&rp->body, filling, sizeof(filling));
}

/* The same with 200 MB of filling. */
#define HUGE_BYTES 200000000

static void
reply_huge(struct sim_reply *rp)
{
	static const char head[] =
		"\0\0\0\x18" "ftypisom\0\0\2\0isomiso2" "\x0b\xeb\xc1\xe8" "mdat";

	reply_bytes(rp, 200, "video/mp4", head, sizeof(head) - 1);
	rp->fill = HUGE_BYTES - (sizeof(head) - 1);
}

/* "[bytes 89504e47]": these, whatever they are. */
static bool
reply_wanted_bytes(const char *prompt, struct sim_reply *rp)
{
	const char *p = strstr(prompt, "[bytes ");
	unsigned byte;
	int n;

	if (!p)
		return false;
	reply_bytes(rp, 200, "image/png", NULL, 0);
	for (p += 7; sscanf(p, "%2x%n", &byte, &n) == 1 && n == 2; p += 2) {
		char c = (char)byte;

		buf_put(&rp->body, &c, 1);
	}
	return true;
}

static void
reply_picture(const struct picture *pic, struct sim_reply *rp)
{
	reply_bytes(rp, 200, "image/png", NULL, 0);
	if (!draw_png(pic->prompt, pic->seed, pic->index, pic->width, pic->height, &rp->body))
		reply_bytes(rp, 500, "text/plain", "cannot draw\n", 12);
}

/* Where a cloud's machines ask for their credentials. */
static void
reply_inside(struct sim_reply *rp)
{
	reply_bytes(rp, 302, "text/plain", NULL, 0);
	reply_header(rp, "Location", "http://169.254.169.254/latest/meta-data/");
}

static void
deliver(struct sim_rq *rq, struct sim_reply *rp, const char *suffix)
{
	const char *subject = buf_str(&rq->subject);
	struct picture pic = { .index = 0 };
	struct fault_hit hit;
	int n = 0;

	if (sscanf(rq->arg[1], "out-%3u%n", &pic.index, &n) != 1 ||
	    strcmp(rq->arg[1] + n, suffix) != 0 || !look_up(rq, &pic)) {
		reply_gone(rq, rp);
		return;
	}
	if (fault_take(rq->sim, FAULT_DELIVERY_SLOW, subject, &hit))
		sim_sleep(rq->sim, hit.delay_ms);
	if (pic.wishes & WISH_404 || fault_take(rq->sim, FAULT_DELIVERY_404, subject, NULL))
		reply_gone(rq, rp);
	else if (fault_take(rq->sim, FAULT_DELIVERY_503, subject, &hit))
		reply_busy(rp, hit.retry_after_s);
	else if (fault_take(rq->sim, FAULT_DELIVERY_500, subject, NULL))
		reply_bytes(rp, 500, "text/plain", "Internal Server Error\n", 22);
	else if (fault_take(rq->sim, FAULT_DELIVERY_HTML, subject, NULL))
		reply_bytes(rp, 200, "text/html", web_page, sizeof(web_page) - 1);
	else if (fault_take(rq->sim, FAULT_DELIVERY_REDIRECT, subject, NULL))
		reply_inside(rp);
	else if (pic.wishes & WISH_HTML)
		reply_bytes(rp, 200, "image/png", web_page, sizeof(web_page) - 1);
	else if (pic.wishes & WISH_VIDEO)
		reply_video(rp);
	else if (pic.wishes & WISH_HUGE)
		reply_huge(rp);
	else if (!reply_wanted_bytes(pic.prompt, rp))
		reply_picture(&pic, rp);
	if (fault_take(rq->sim, FAULT_DELIVERY_DRIP, subject, &hit))
		rp->drip_ms = hit.delay_ms;
	rp->cut = fault_take(rq->sim, FAULT_DELIVERY_CUT, subject, NULL);
	mem_free(pic.prompt);
}

static void
get_output(struct sim_rq *rq, struct sim_reply *rp)
{
	size_t len = strlen(rq->arg[1]);
	bool video = len > 4 && strcmp(rq->arg[1] + len - 4, ".mp4") == 0;

	deliver(rq, rp, video ? ".mp4" : ".png");
}

static const struct sim_route routes[] = {
	{ "GET", "/{}/{}", get_output, .open = true },
};

const struct sim_area delivery_area = {
	.prefix = "/replicate/delivery",
	.routes = routes,
	.n_routes = sizeof(routes) / sizeof(routes[0]),
	.not_found = reply_gone,
};
