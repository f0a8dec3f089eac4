/* The parts of a multipart/form-data body. */
#ifndef GENGATE_SIM_MULTIPART_H
#define GENGATE_SIM_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/sim/http.h"

struct part {
	const char *head, *body;	/* borrowed of the request; NULL: no part */
	size_t body_len;
};

/* The next part behind *at, which begins with 0 and moves on.  false: there is
 * none, and *ret is empty. */
bool part_next(const struct sim_rq *rq, size_t *at, struct part *ret);

/* What follows `before` in its head, up to one of the characters of `stop`;
 * NULL if it is not there.  Owned by the caller. */
char *part_header(const struct part *part, const char *before, const char *stop);

bool part_is(const struct part *part, const char *name);

#endif
