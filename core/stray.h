/* Predictions beside the one that a job has. */
#ifndef GENGATE_CORE_STRAY_H
#define GENGATE_CORE_STRAY_H

#include "core/service.h"

/* One step of a worker: look at a stray that is due and deal with it.  false: there
 * was none, or the database is away. */
bool stray_step(struct service *svc);

#endif
