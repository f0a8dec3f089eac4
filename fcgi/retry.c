/* POST /generate/<id>/retry */
#include "config.h"

#include "core/input.h"
#include "core/retry.h"
#include "fcgi/generate.h"
#include "fcgi/job_answer.h"
#include "fcgi/routes.h"

void
retry_post(struct exchange *x)
{
	struct request rq = { .body = NULL };
	struct intake *in = NULL;
	struct err err = ERR_INIT;
	json_t *errors = NULL;
	const char *key;
	enum err_code rc;

	rc = job_id_read(x, x->tail, &err);
	if (!rc)
		rc = generate_read_key(x, &key, &err);
	if (!rc && service_takes_inputs(x->svc))
		rc = intake_new(x->svc, &x->owner, &in, &err);
	if (!rc)
		rc = service_retry(x->svc, &x->owner, &x->job, in, &rq, &errors, &err);
	if (rc == ERR_CONFLICT)
		answer_conflict(x, &err, errors ? json_pack("{so}", "errors", errors) : NULL);
	else if (rc)
		answer_failure(x, rc, &err);
	else
		generate_begin(x, &rq, key, &in);
	intake_unref(&in);
	request_clear(&rq);
}
