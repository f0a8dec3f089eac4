/* The Prefer header (RFC 7240): what a client would like best. */
#ifndef GENGATE_FCGI_PREFER_H
#define GENGATE_FCGI_PREFER_H

#include "fcgi/exchange.h"

/* Nobody waits longer, whatever is asked for: nginx would give up first
 * (fastcgi_read_timeout in nginx/gengate.conf). */
#define PREFER_WAIT_MAX_S 120

struct prefer {
	bool respond_async;
	bool wait;
	uint32_t wait_s;	/* already within the maximum */
};

/* What cannot be read is ignored, as the RFC wants. */
struct prefer prefer_read(const struct exchange *x);

/* Say what was done: Preference-Applied. */
void prefer_answer(struct exchange *x, const struct prefer *prefer);

#endif
