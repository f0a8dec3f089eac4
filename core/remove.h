/* Deleting jobs, and then their files. */
#ifndef GENGATE_CORE_REMOVE_H
#define GENGATE_CORE_REMOVE_H

#include "core/service.h"

/* Delete a settled job; its files are removed by a worker.  Waits for Postgres
 * only.  ERR_CONFLICT: it has not ended (err's text is for the client).
 * ERR_NOT_FOUND. */
enum err_code service_delete(struct service *svc, const struct uuid *owner,
	const struct uuid *id, struct err *err) MUST_CHECK;

/* One step of a worker: the files of one deleted job.  Blocks.  false: nothing is
 * due, or the database is away. */
bool remove_step(struct service *svc);

/* And one that looks for inputs that were uploaded for a job that was never made: their
 * process has gone.  false: nothing is due, or the database is away. */
bool remove_sweep_step(struct service *svc);

#endif
