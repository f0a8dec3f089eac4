/* DELETE /generate/<id> */
#include "config.h"

#include "core/remove.h"
#include "fcgi/job_answer.h"
#include "fcgi/routes.h"

void
generate_delete(struct exchange *x)
{
	struct err err = ERR_INIT;
	enum err_code rc;

	rc = job_id_read(x, x->tail, &err);
	if (!rc)
		rc = service_delete(x->svc, &x->owner, &x->job, &err);
	if (rc == ERR_CONFLICT)
		answer_conflict(x, &err, NULL);
	else if (rc)
		answer_failure(x, rc, &err);
	else
		answer_empty(x, 204);
}
