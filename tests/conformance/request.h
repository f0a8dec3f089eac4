/* The requests that an adapter builds. */
#ifndef GENGATE_TESTS_CONFORMANCE_REQUEST_H
#define GENGATE_TESTS_CONFORMANCE_REQUEST_H

#include "tests/conformance/cases.h"

/* As the row says, or the error it ends in. */
enum err_code build_request(const struct adapter *a, const json_t *row, struct http_request *ret) MUST_CHECK;

/* Each row of "requests": method, URL, headers and body, all of them. */
void requests_are_as_wanted(const struct suite *s);
void requests_survive_nomem(const struct suite *s);

/* Each row of "configurations": what an operator set. */
void configurations_are_checked(const struct suite *s);

/* Each row of "profiles", and of "params". */
void profiles_are_checked(const struct suite *s);
void params_are_taken(const struct suite *s);

#endif
