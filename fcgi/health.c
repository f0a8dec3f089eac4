/* GET /healthz: this process is alive.  GET /readyz: it can do its work. */
#include "config.h"

#include "fcgi/routes.h"

void
healthz_get(struct exchange *x)
{
	answer_header(x, "Cache-Control", "no-store");
	answer_json(x, 200, json_pack("{ss}", "status", "ok"));
}

void
readyz_get(struct exchange *x)
{
	struct err err = ERR_INIT;
	enum err_code rc = db_ready(x->svc->db, &err);

	if (!rc) {
		answer_header(x, "Cache-Control", "no-store");
		answer_json(x, 200, json_pack("{ss}", "status", "ready"));
		return;
	}
	x->err = err;
	/* The reason's text may hold a host's name: it is in the log. */
	answer_problem(x, ERR_UNAVAILABLE, NULL, json_pack("{s[s]}", "reasons",
		rc == ERR_CONFIG ? "the database's schema is not this program's; run gengate migrate"
			: "the database does not answer"));
}
