/* Ending a job because its owner wants it. */
#ifndef GENGATE_CORE_CANCEL_H
#define GENGATE_CORE_CANCEL_H

#include "core/service.h"

enum cancel_outcome {
	CANCEL_ENDED,		/* nothing was sent yet: it has ended */
	CANCEL_BEGINS,		/* the provider is to be asked: service_cancel_begin() */
	CANCEL_LATER,		/* marked, and nothing to do now: it is not known yet what to
				 * ask about, or somebody is at it, or the provider is done */
};

/*
 * A job that was not sent yet ends at once; another is marked, and a worker asks
 * the provider as soon as it is known what to ask about.  May be repeated.
 * ERR_CONFLICT: it had ended before.  ERR_NOT_FOUND.
 */
enum err_code service_cancel(struct service *svc, const struct uuid *owner, const struct uuid *id,
	enum cancel_outcome *ret, struct err *err) MUST_CHECK;

/* Hand a marked job to this process's workers.  Without it, it is found when due. */
void service_cancel_begin(struct service *svc, const struct uuid *owner, const struct uuid *id);

#endif
