/* The list of a caller's jobs. */
#ifndef GENGATE_FCGI_LIST_H
#define GENGATE_FCGI_LIST_H

#include "fcgi/exchange.h"

/* GET /status without an id. */
void list_get(struct exchange *x);

#endif
