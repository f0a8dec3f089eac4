/*
 * Who keeps the keys fresh (core/keys.h): a thread of its own, for whichever service
 * is in use.  It looks when they are old, and when a token names one that is not
 * known; request threads only wait for it to be told.
 */
#ifndef GENGATE_CORE_KEEPER_H
#define GENGATE_CORE_KEEPER_H

#include "core/service.h"

struct keeper;

/* Starts the thread and sets svc->keeper, if callers are known by tokens; stopping
 * joins it and clears that, after http_client_stop(). */
enum err_code keeper_start(struct service *svc, struct err *err) MUST_CHECK;
void keeper_stop(struct service *svc);

/* How many looks have ended; every end of one is told by watches_poke_keys().  NULL
 * is fine, here and below: nobody in this process looks. */
unsigned keeper_looks(struct keeper *keeper);

/* There may be newer keys.  true: they are being looked for now; false: they
 * were, a moment ago. */
bool keeper_want(struct keeper *keeper);

/* Until it is about to stop, for so long at most; false: it is. */
bool keeper_pause(struct keeper *keeper, uint64_t ms);

#endif
