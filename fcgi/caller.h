/* Who asks: found out before a resource is called. */
#ifndef GENGATE_FCGI_CALLER_H
#define GENGATE_FCGI_CALLER_H

#include "fcgi/exchange.h"

/*
 * Sets x->owner and calls x->handle: at once, or when the keys are there that its
 * token is verified with.  Or answers 401 (with WWW-Authenticate), 403 or 503.
 */
void caller_admit(struct exchange *x);

#endif
