/* Which resource answers what: one table. */
#ifndef GENGATE_FCGI_ROUTES_H
#define GENGATE_FCGI_ROUTES_H

#include "fcgi/exchange.h"

/* Finds the route, reads the body within the route's limit, finds out who asks,
 * calls the resource.  Answers 404, 405 (with Allow), 413 and
 * preflights (fcgi/cors.h) itself. */
void routes_dispatch(struct exchange *x);

/* The resources, one file each. */
void generate_post(struct exchange *x);
void cancel_post(struct exchange *x);
void retry_post(struct exchange *x);
void generate_delete(struct exchange *x);
void status_get(struct exchange *x);
void status_query(struct exchange *x);
void files_get(struct exchange *x);
void webhooks_post(struct exchange *x);
void healthz_get(struct exchange *x);
void readyz_get(struct exchange *x);
void metrics_get(struct exchange *x);

#endif
