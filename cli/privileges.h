/* What the process may do, which is as little as it needs. */
#ifndef GENGATE_CLI_PRIVILEGES_H
#define GENGATE_CLI_PRIVILEGES_H

#include "base/err.h"

/* From the first line on: nothing that is started gets more rights than we have,
 * and no core file is left, which would hold all secrets. */
void privileges_limit(void);

/*
 * Be that user from now on, for good; "user", or "user:group" for another group
 * than the user's own.  NULL: stay who we are.  Before the first thread.
 * ERR_CONFIG: there is no such user, or we are another one and not root.
 */
enum err_code privileges_become(const char *user, struct err *err) MUST_CHECK;

#endif
