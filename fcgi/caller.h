/* Who asks: found out before a resource is called. */
#ifndef GENGATE_FCGI_CALLER_H
#define GENGATE_FCGI_CALLER_H

#include "fcgi/exchange.h"

/*
 * Sets x->owner and calls x->handle: at once, or when the keys are there that its
 * token is verified with.  Or answers 401 (with WWW-Authenticate), 403 or 503.
 */
void caller_admit(struct exchange *x);

/* For what goes on for long: does the token that x was admitted with still count?
 * Not when it has ended, or its key is in use no more. */
bool caller_holds(struct exchange *x);

#endif
