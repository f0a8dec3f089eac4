/* Ending on SIGTERM or SIGINT, at one place of the program. */
#ifndef GENGATE_CLI_STOP_H
#define GENGATE_CLI_STOP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* Running steps may finish: a create that is cut off leaves its outcome unknown. */
#define STOP_GRACE_MS 35000

/* Before the first thread, and every thread inherits it: signals wait for
 * stop_wait().  SIGPIPE is ignored. */
void stop_block(sigset_t *ret);

/* Wait for the signal to stop, for at most timeout_ms; negative: without end.
 * true: it came.  A second one ends the process at once. */
bool stop_wait(const sigset_t *set, int timeout_ms);

#endif
