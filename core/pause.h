/*
 * Paused providers: one that takes nothing from us (our key, our credit), or asked
 * to be left alone for long, gets no creates from any process until a single job
 * has tried whether it takes some again.  Polls and everything else go on.
 *
 * What holds is in the database (db/pauses.h).  Each process remembers it, so that
 * no request has to ask: a worker refreshes that each second, and whoever changes it
 * here at once.  A process without workers asks each time.
 */
#ifndef GENGATE_CORE_PAUSE_H
#define GENGATE_CORE_PAUSE_H

#include "core/service.h"
#include "db/pauses.h"

enum err_code paused_new(struct paused **ret, struct err *err) MUST_CHECK;
void paused_free(struct paused **paused);

/* A worker's, as often as it likes: look what others have paused or resumed. */
void pause_refresh(struct service *svc);

/*
 * Is no new job to be taken for that provider?  Not while it is paused, nor while
 * somebody probes it; one that comes after that may be the probe.
 * *ret_wait_ms: when it may be different.
 */
bool pause_holds(struct service *svc, const struct provider *p, uint64_t *ret_wait_ms);

/* What is remembered of a pause, for who shows it. */
struct pause_shown {
	bool paused;
	bool by_operator;
	int64_t until_us;		/* since 1970; or PAUSE_WITHOUT_END */
};

void pause_show(struct service *svc, const struct provider *p, struct pause_shown *ret);

/* A create's leave to be sent. */
struct pause_leave {
	int64_t probe;			/* not 0: by this job it is seen whether the pause may end */
};

/* false: it is paused; *ret_wait_ms: until the job is to ask again. */
bool pause_leave(struct service *svc, const struct provider *p, struct pause_leave *ret,
	uint64_t *ret_wait_ms);

/* What came of a create that had leave. */
void pause_learn(struct service *svc, const struct provider *p, const struct pause_leave *leave,
	const struct submit_reply *reply);

/* It was not sent after all. */
void pause_unused(struct service *svc, const struct provider *p, const struct pause_leave *leave);

/* The operator's words; ms 0: until it is resumed.  ERR_NOT_FOUND: not paused. */
enum err_code pause_order(struct service *svc, const struct provider *p, const char *reason,
	uint64_t ms, struct err *err) MUST_CHECK;
enum err_code pause_resume(struct service *svc, const struct provider *p, struct err *err) MUST_CHECK;

#endif
