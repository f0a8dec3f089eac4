/* GET /status/<id> */
#include "config.h"

#include "core/show.h"
#include "fcgi/routes.h"

void
status_get(struct exchange *x)
{
	struct err err = ERR_INIT;
	json_t *job = NULL;
	struct uuid owner;
	enum err_code rc;

	rc = exchange_owner(x, &owner, &err);
	/* No id of ours, and not yours, are the same to a client. */
	if (!rc && uuid_parse(x->tail, strlen(x->tail), &x->job))
		rc = err_set(&err, ERR_NOT_FOUND, "no job's id");
	if (!rc) {
		x->has_job = true;
		rc = service_show(x->svc, &owner, &x->job, &job, &err);
	}
	if (rc) {
		answer_failure(x, rc, &err);
		return;
	}
	answer_header(x, "Cache-Control", "private, no-cache");
	answer_json(x, 200, job);
}
