/*
 * Paused providers: a row of generation_shared for each, so that all processes
 * agree.  Times are the database's.  Each call is one statement, harmless when it
 * is repeated.  All may be used from any thread.
 */
#ifndef GENGATE_DB_PAUSES_H
#define GENGATE_DB_PAUSES_H

#include "db/db.h"

#define PAUSE_WITHOUT_END INT64_MAX

/* A pause that is in force. */
struct pause {
	char *provider;
	char *reason;
	char *by;			/* the process that saw it, or where the operator was */
	bool by_operator;
	bool probed;			/* some job tries just now whether it may end */
	int64_t since_us, until_us;	/* since 1970; until_us: or PAUSE_WITHOUT_END */
	int64_t left_ms;		/* when loaded: negative when its time is over; or the same */
	int64_t rounds;			/* probes that failed */
};

enum err_code pauses_load(struct db *db, struct pause **ret, size_t *ret_n, struct err *err) MUST_CHECK;
void pauses_clear(struct pause **pauses, size_t n);

/* How long a pause takes that the provider asked for by its answers. */
struct pause_time {
	uint64_t least_ms;		/* what the provider said; 0: nothing */
	uint64_t first_ms, max_ms;	/* else this, twice as long after each probe that failed */
	unsigned percent;		/* of that: the jitter */
};

/* Pause it, or prolong the pause.  What an operator has paused stays as it is. */
enum err_code pauses_put(struct db *db, const char *provider, const char *reason, const char *by,
	const struct pause_time *time, struct err *err) MUST_CHECK;

/* The operator's word, whatever was before.  ms 0: until it is resumed. */
enum err_code pauses_order(struct db *db, const char *provider, const char *reason, const char *by,
	uint64_t ms, struct err *err) MUST_CHECK;

/*
 * Its time is over: may we try?  number: drawn by the caller, who has the probe to
 * itself for lease_ms; with 0 it gives the probe back.
 * ERR_LOST_RACE: its time is not over, there is no pause any more, or another probes.
 */
enum err_code pauses_probe(struct db *db, const char *provider, int64_t number, uint64_t lease_ms,
	struct err *err) MUST_CHECK;

/* That probe went well: the pause ends.  ERR_LOST_RACE: it is not ours to end. */
enum err_code pauses_lift(struct db *db, const char *provider, int64_t number, struct err *err) MUST_CHECK;

/* The operator's word, and what is queued for that provider is due at once.
 * ERR_NOT_FOUND: it was not paused. */
enum err_code pauses_resume(struct db *db, const char *provider, struct err *err) MUST_CHECK;

#endif
