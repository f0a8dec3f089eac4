/* GET /healthz: this process is alive.  GET /readyz: it can do its work. */
#include "config.h"

#include "base/clock.h"
#include "core/pause.h"
#include "fcgi/routes.h"

void
healthz_get(struct exchange *x)
{
	answer_header(x, "Cache-Control", "no-store");
	answer_json(x, 200, json_pack("{ss}", "status", "ok"));
}

/* What works less well than it could.  Not why: the provider's words are in the log,
 * and `gengate provider list` has them. */
static json_t *
paused_providers(struct exchange *x)
{
	json_t *reasons = json_array();

	for (size_t i = 0; i < provider_count(); i++) {
		const struct provider *p = provider_at(i);
		struct pause_shown pause;
		char until[RFC3339_SIZE] = "it is resumed";

		pause_show(x->svc, p, &pause);
		if (!pause.paused)
			continue;
		if (pause.until_us != PAUSE_WITHOUT_END)
			rfc3339_format(pause.until_us, until);
		json_array_append_new(reasons, json_sprintf("provider %s is paused%s until %s", p->name,
			pause.by_operator ? " by an operator" : "", until));
	}
	return reasons;
}

void
readyz_get(struct exchange *x)
{
	struct err err = ERR_INIT;
	enum err_code rc = db_ready(x->svc->db, &err);

	if (!rc) {
		json_t *paused = paused_providers(x);

		/* It stays in service: all but new jobs goes on. */
		answer_header(x, "Cache-Control", "no-store");
		answer_json(x, 200, json_array_size(paused) ? json_pack("{ss, sO}", "status", "ready", "reasons", paused)
			: json_pack("{ss}", "status", "ready"));
		json_decref(paused);
		return;
	}
	x->err = err;
	/* The reason's text may hold a host's name: it is in the log. */
	answer_problem(x, ERR_UNAVAILABLE, NULL, json_pack("{s[s]}", "reasons",
		rc == ERR_CONFIG ? "the database's schema is not this program's; run gengate migrate"
			: "the database does not answer"));
}
