#include "config.h"

#include "tests/sim/wire.h"

#include <string.h>

#include "tests/sim/http.h"
#include "tests/sim/pred.h"
#include "tests/sim/sim.h"

const char *
wire_name(enum wire_id id)
{
	static const char *const names[] = {
#define WIRE(name) #name,
#include "tests/sim/wires.inc"
#undef WIRE
	};

	return names[id];
}

bool
wire_has_key(const struct sim_rq *rq, const char *scheme, const char *key)
{
	const char *s = rq_param(rq, "HTTP_AUTHORIZATION");
	size_t len = strlen(scheme);

	return s && strncmp(s, scheme, len) == 0 && s[len] == ' ' && strcmp(s + len + 1, key) == 0;
}

bool
wire_before(struct sim_rq *rq, const struct sim_route *route, struct sim_reply *rp)
{
	bool good = route->open;

	pthread_mutex_lock(&rq->sim->lock);
	good = good || rq->wire->may_call(&rq->sim->set, rq);
	if (!good)
		rq->sim->n.unauthorized++;
	pthread_mutex_unlock(&rq->sim->lock);
	if (!good)
		rq->wire->fail(rp, 401, NULL);
	return !good;
}

/* 200 MB, all of it blanks but for an object: no prediction. */
#define HUGE_BYTES 200000000

void
wire_after(struct sim_rq *rq, struct sim_reply *rp)
{
	static const char page[] = "<!DOCTYPE html><html><title>Welcome</title></html>\n";
	const char *subject = buf_str(&rq->subject);

	if (fault_take(rq->sim, FAULT_API_HTML, subject, NULL))
		reply_bytes(rp, 200, "text/html", page, sizeof(page) - 1);
	if (fault_take(rq->sim, FAULT_API_HUGE, subject, NULL)) {
		reply_bytes(rp, 200, "application/json", "{}", 2);
		rp->filling = ' ';
		rp->fill = HUGE_BYTES;
	}
	if (fault_take(rq->sim, FAULT_API_CUT, subject, NULL))
		rp->cut = true;
	if (fault_take(rq->sim, FAULT_API_RESET, subject, NULL))
		rp->reset = true;
	if (rq->is_cancel && fault_take(rq->sim, FAULT_CANCEL_DROP_AFTER, subject, NULL))
		reply_drop(rp);
}

void
wire_not_found(struct sim_rq *rq, struct sim_reply *rp)
{
	rq->wire->fail(rp, 404, NULL);
}

void
wire_too_large(struct sim_rq *rq, struct sim_reply *rp)
{
	rq->wire->fail(rp, 413, NULL);
}

void
wire_throttle(struct sim_rq *rq, struct sim_reply *rp, const struct fault_hit *hit)
{
	if (rq->wire->throttle) {
		rq->wire->throttle(rp, hit);
		return;
	}
	rq->wire->fail(rp, 429, NULL);
	reply_retry_after(rp, hit->retry_after_s);
}

/* What a create's switches look for `match` in, besides the body. */
static const char *
create_subject(struct sim_rq *rq)
{
	const char *query = rq_param(rq, "QUERY_STRING");

	if (!rq->create.len)
		buf_printf(&rq->create, "%s?%s %s", buf_str(&rq->subject), query ? query : "",
			buf_str(&rq->content.mem));
	return buf_str(&rq->create);
}

bool
wire_refuses_create(struct sim_rq *rq, struct sim_reply *rp)
{
	static const struct {
		enum fault fault;
		int status;
		const char *text;
	} table[] = {
		{ FAULT_CREATE_401, 401, NULL },
		{ FAULT_CREATE_402, 402, NULL },
		{ FAULT_CREATE_422, 422, "the simulator was asked to refuse this" },
		{ FAULT_CREATE_500_BEFORE, 500, "The simulator was asked to fail before creating" },
	};
	const char *subject = create_subject(rq);
	struct sim *sim = rq->sim;
	struct fault_hit hit;

	pthread_mutex_lock(&sim->lock);
	sim->n.creates_received++;
	pthread_mutex_unlock(&sim->lock);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (fault_take(sim, table[i].fault, subject, NULL)) {
			rq->wire->fail(rp, table[i].status, table[i].text);
			return true;
		}
	}
	if (fault_take(sim, FAULT_CREATE_429, subject, &hit)) {
		wire_throttle(rq, rp, &hit);
		return true;
	}
	if (fault_take(sim, FAULT_CREATE_HANG, subject, &hit)) {
		sim_sleep(sim, hit.delay_ms);
		reply_drop(rp);
		return true;
	}
	if (fault_take(sim, FAULT_CREATE_DROP_BEFORE, subject, NULL)) {
		reply_drop(rp);
		return true;
	}
	return false;
}

struct pred *
wire_new_pred(struct sim_rq *rq, struct sim_reply *rp)
{
	const char *key = rq_param(rq, "HTTP_IDEMPOTENCY_KEY");
	struct pred *p = pred_new();

	if (!p) {
		rq->wire->fail(rp, 503, "out of memory");
		return NULL;
	}
	p->wire = rq->wire;
	p->idempotency_key = key ? mem_strdup(key) : NULL;
	p->headers = rq_x_headers(rq);
	return p;
}

bool
wire_start(struct sim_rq *rq, struct pred **p,
	void (*answer)(struct sim *sim, const struct pred *p, struct sim_reply *rp),
	char id[], struct sim_reply *rp)
{
	struct sim *sim = rq->sim;
	bool ok;

	pthread_mutex_lock(&sim->lock);
	ok = pred_start(sim, *p);
	if (ok) {
		memcpy(id, (*p)->id, sizeof((*p)->id));
		if (answer)
			answer(sim, *p, rp);
		*p = NULL;
	}
	pthread_mutex_unlock(&sim->lock);
	if (!ok)
		rq->wire->fail(rp, 503, "the simulator is full");
	return ok;
}

/* It is looked up again each time: a reset may have taken it away. */
void
wire_wait(struct sim *sim, const char *id, long ms, bool webhook)
{
	int64_t until = sim_mono_us() + ms * 1000;

	pthread_mutex_lock(&sim->lock);
	while (!sim->stopping && sim_mono_us() < until) {
		const struct pred *p = pred_find(sim, NULL, id);

		if (!p || (webhook ? p->last_hook_tried : pred_ended(p)))
			break;
		sim_wait_until(sim, &sim->changed, until);
	}
	pthread_mutex_unlock(&sim->lock);
}

void
wire_spoil_create(struct sim_rq *rq, const char *id, struct sim_reply *rp)
{
	const char *subject = create_subject(rq);
	struct fault_hit hit;

	if (fault_take(rq->sim, FAULT_CREATE_LATE, subject, &hit))
		sim_sleep(rq->sim, hit.delay_ms);
	if (fault_take(rq->sim, FAULT_WEBHOOK_BEFORE_ANSWER, subject, &hit))
		wire_wait(rq->sim, id, hit.delay_ms, true);
	rp->cut = fault_take(rq->sim, FAULT_CREATE_CUT, subject, NULL);
	if (fault_take(rq->sim, FAULT_CREATE_500_AFTER, subject, NULL))
		rq->wire->fail(rp, 500, "The simulator was asked to fail after creating");
	if (fault_take(rq->sim, FAULT_CREATE_DROP_AFTER, subject, NULL))
		reply_drop(rp);
}

bool
wire_refuses_read(struct sim_rq *rq, struct sim_reply *rp)
{
	const char *subject = buf_str(&rq->subject);
	struct fault_hit hit;

	pthread_mutex_lock(&rq->sim->lock);
	rq->sim->n.reads++;
	pthread_mutex_unlock(&rq->sim->lock);
	if (fault_take(rq->sim, FAULT_GET_429, subject, &hit))
		wire_throttle(rq, rp, &hit);
	else if (fault_take(rq->sim, FAULT_GET_500, subject, NULL))
		rq->wire->fail(rp, 500, "The simulator was asked to fail");
	else if (fault_take(rq->sim, FAULT_GET_404, subject, NULL))
		rq->wire->fail(rp, 404, NULL);
	else
		return false;
	return true;
}

bool
wire_refuses_cancel(struct sim_rq *rq, struct sim_reply *rp)
{
	const char *subject = buf_str(&rq->subject);
	struct fault_hit hit;

	if (fault_take(rq->sim, FAULT_CANCEL_429, subject, &hit))
		wire_throttle(rq, rp, &hit);
	else if (fault_take(rq->sim, FAULT_CANCEL_500, subject, NULL))
		rq->wire->fail(rp, 500, "The simulator was asked to fail");
	else
		rq->is_cancel = true;
	return !rq->is_cancel;
}
