/* The requests that an adapter builds. */
#ifndef GENGATE_TESTS_CONFORMANCE_REQUEST_H
#define GENGATE_TESTS_CONFORMANCE_REQUEST_H

#include "tests/conformance/cases.h"

/* Each row of "requests": method, URL, headers and body, all of them. */
void requests_are_as_wanted(const struct suite *s);
void requests_survive_nomem(const struct suite *s);

/* Each row of "profiles", and of "params". */
void profiles_are_checked(const struct suite *s);
void params_are_taken(const struct suite *s);

#endif
