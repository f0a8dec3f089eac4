/* `gengate jobs` in words: what core/operator.h gives, for people. */
#ifndef GENGATE_CLI_JOBS_H
#define GENGATE_CLI_JOBS_H

#include "base/json.h"

/* As operator_list() and operator_show() give them. */
void jobs_print_list(const json_t *doc);
void jobs_print_one(const json_t *doc);

#endif
