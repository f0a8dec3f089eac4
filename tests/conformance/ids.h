/* Ids and addresses that lead elsewhere: in what an adapter reads, and in what it asks for. */
#ifndef GENGATE_TESTS_CONFORMANCE_IDS_H
#define GENGATE_TESTS_CONFORMANCE_IDS_H

#include "tests/conformance/cases.h"

/* The id of each create that was accepted: what cannot be asked for later is no id. */
void ids_may_be_anything(const struct suite *s);

/* Whatever an id, a handle or a next page is: one segment of a path or one value of a query, and
 * the key goes to the provider's own hosts alone. */
void requests_lead_nowhere_else(const struct suite *s);

#endif
