/* Pruning what was kept for long enough: `retain_jobs`, `retain_events`. */
#ifndef GENGATE_CORE_RETAIN_H
#define GENGATE_CORE_RETAIN_H

#include "core/service.h"

/* Where the process is in its pruning; the remover thread's own.  Zeroed to begin. */
struct pruning {
	int64_t by;			/* drawn once; tells this process from others */
	int64_t next_us;		/* nothing is to be done before: clock_mono_us() */
	bool under_way;
	bool at_trails;			/* after the jobs */
	bool some_stay;			/* trails_gone stays where it is, in this round */
	struct uuid after;		/* of the present kind, as far as this round came */
	struct uuid trails_gone;	/* up to here there are none left */
};

/*
 * One step of a worker: a batch of settled jobs or of their trails.  One process at
 * a time does it, others find that out and look again later.  Waits for Postgres
 * only.  true: it goes on in RETAIN_PAUSE_MS; false: nothing is due, or the
 * database is away.
 */
bool retain_step(struct service *svc, struct pruning *pruning);

/* Between two batches, so that the database does other things, too. */
#define RETAIN_PAUSE_MS 100

#endif
