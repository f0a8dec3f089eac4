/* Text from outside (a provider's answer, a user's words) on somebody's terminal. */
#ifndef GENGATE_CLI_TERMINAL_H
#define GENGATE_CLI_TERMINAL_H

#include "base/buf.h"

/*
 * What could steer a terminal becomes '?', white space one blank, so that it stays in
 * its line.  At most max bytes of it, and then how many there are.
 */
void terminal_put(struct buf *out, const char *s, size_t max);

#endif
