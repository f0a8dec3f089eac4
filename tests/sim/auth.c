#include "config.h"

#include "tests/sim/auth.h"

#include <string.h>

#include "tests/sim/sim.h"

static void
refuse(struct sim_reply *rp, int status, const char *message)
{
	reply_json(rp, status, json_pack("{s:s}", "message", message));
}

/* Older gateways guard all of Auth by a key. */
static bool
may_pass(const struct sim_settings *set, const struct sim_rq *rq)
{
	const char *key = rq_param(rq, "HTTP_APIKEY");

	return !set->auth_guarded || sim_same(key, set->storage_secret_key) ||
		sim_same(key, set->storage_publishable_key) || sim_same(key, set->service_key);
}

static void
get_keys(struct sim_rq *rq, struct sim_reply *rp)
{
	struct sim *sim = rq->sim;
	bool fails = fault_take(sim, FAULT_JWKS_500, buf_str(&rq->subject), NULL);
	bool is_html = fault_take(sim, FAULT_JWKS_HTML, buf_str(&rq->subject), NULL);

	pthread_mutex_lock(&sim->lock);
	sim->n.jwks_reads++;
	if (rq_param(rq, "HTTP_APIKEY"))
		sim->n.jwks_reads_with_key++;
	if (!may_pass(&sim->set, rq)) {
		refuse(rp, 401, "No API key found in request");
	} else if (fails) {
		refuse(rp, 500, "Internal Server Error");
	} else if (is_html) {
		reply_bytes(rp, 200, "text/html", "<html></html>\n", 14);
	} else {
		reply_bytes(rp, 200, "application/json", sim->set.jwks, strlen(sim->set.jwks));
		reply_header(rp, "Cache-Control", "public, max-age=600");
	}
	pthread_mutex_unlock(&sim->lock);
}

static void
not_found(struct sim_rq *rq, struct sim_reply *rp)
{
	(void)rq;
	refuse(rp, 404, "no Route matched with those values");
}

static const struct sim_route routes[] = {
	{ "GET", "/.well-known/jwks.json", get_keys, true },
};

const struct sim_area auth_area = {
	.prefix = "/auth/v1",
	.routes = routes,
	.n_routes = sizeof(routes) / sizeof(routes[0]),
	.not_found = not_found,
};
