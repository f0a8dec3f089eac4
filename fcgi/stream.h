/*
 * A job as an event stream (https://html.spec.whatwg.org/, "Server-sent
 * events"): one event for each change, its id the job's version, until the end.
 */
#ifndef GENGATE_FCGI_STREAM_H
#define GENGATE_FCGI_STREAM_H

#include "core/show.h"
#include "fcgi/exchange.h"

/* Does the client accept text/event-stream, by GET? */
bool stream_wanted(const struct exchange *x);

/* Send how it stands, unless Last-Event-ID says that it is known, and park for
 * what comes.  shown->job is stolen.  A client that comes back after the end
 * and has seen it is told to stay away: 204. */
void stream_begin(struct exchange *x, struct shown *shown);

#endif
