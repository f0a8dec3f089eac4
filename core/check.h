/*
 * Is everything behind the configuration as it has to be: `gengate check`.
 * Costs nothing at the provider; leaves nothing in database and storage.
 */
#ifndef GENGATE_CORE_CHECK_H
#define GENGATE_CORE_CHECK_H

#include "core/service.h"

enum check_state {
	CHECK_GOOD,
	CHECK_NOTE,		/* works, and could be better */
	CHECK_WRONG,
	CHECK_SKIPPED,		/* hangs on what is wrong */
};

struct check_line {
	const char *name;	/* fixed: scripts may look for it */
	enum check_state state;
	const char *text;	/* what was found */
	const char *remedy;	/* what to do; NULL: nothing */
};

/* Called in turn for each thing that was looked at; the line is borrowed. */
typedef void check_say(void *ctx, const struct check_line *line);

/* Blocks for as long as the slowest of them all takes.  How many are wrong. */
size_t service_try_all(struct service *svc, check_say *say, void *ctx);

#endif
