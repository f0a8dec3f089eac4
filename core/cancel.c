#include "config.h"

#include "core/cancel.h"

#include "core/apply.h"
#include "core/workers.h"

enum err_code
service_cancel(struct service *svc, const struct uuid *owner, const struct uuid *id,
	enum cancel_outcome *ret, struct err *err)
{
	const struct job_event ev = { .kind = EV_CANCEL };
	const struct apply how = { .road = "owner" };
	struct job job = { .request = NULL };
	bool moved;
	enum err_code rc = jobs_load(svc->db, owner, id, &job, err);

	if (rc == ERR_NOT_FOUND) {
		rc = jobs_exists(svc->db, owner, id, err);
		return rc ? rc : err_set(err, ERR_CONFLICT, "The job has ended already.");
	}
	if (!rc)
		rc = job_apply(svc, &job, &ev, &how, &moved, err);
	if (!rc)
		*ret = job.state == GEN_SETTLED ? CANCEL_ENDED
			: moved && job.state == GEN_RUNNING ? CANCEL_BEGINS : CANCEL_LATER;
	job_clear(&job);
	return rc;
}

void
service_cancel_begin(struct service *svc, const struct uuid *owner, const struct uuid *id)
{
	workers_hint(svc->workers, GEN_RUNNING, owner, id);
}
