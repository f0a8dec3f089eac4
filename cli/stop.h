/* What signals ask for, at one place of the program. */
#ifndef GENGATE_CLI_STOP_H
#define GENGATE_CLI_STOP_H

#include <signal.h>
#include <stdint.h>

/* Running steps may finish: a create that is cut off leaves its outcome unknown. */
#define STOP_GRACE_MS 35000

enum stop_wish {
	STOP_NOT,		/* the time is over */
	STOP_RELOAD,		/* SIGHUP */
	STOP_NOW,		/* SIGTERM or SIGINT; another one ends the process at once */
};

/* Before the first thread, and every thread inherits it: signals wait for
 * stop_wait().  SIGPIPE is ignored. */
void stop_block(sigset_t *ret);

/* Wait for a signal, for at most timeout_ms; negative: without end. */
enum stop_wish stop_wait(const sigset_t *set, int timeout_ms);

#endif
