/* Listening sockets: inherited ones, and our own. */
#ifndef GENGATE_FCGI_LISTEN_H
#define GENGATE_FCGI_LISTEN_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

/* Is this descriptor a listening socket?  Under CGI descriptor 0 may be a
 * socket, too (mod_cgid), but not one that listens. */
bool listen_is_listening(int fd);

struct listening {
	int fd;
	const char *path;	/* borrowed; NULL: not a unix socket that we made */
	dev_t dev;		/* what it was when we made it */
	ino_t ino;
};

/*
 * Open what `where` names, which is borrowed: "unix:/path", or "host:port"
 * ("127.0.0.1:9000", "[::1]:9000").  A unix socket gets that mode.  One that is
 * left over from a dead process is replaced; one that somebody answers on only
 * with `replace`, and without a moment in which nobody listens: who connects from
 * then on is ours.
 */
enum err_code listen_open(const char *where, unsigned mode, bool replace, struct listening *ret,
	struct err *err) MUST_CHECK;

/* Nobody new is to find it: removes the path, unless it is another's by now. */
void listen_leave(const struct listening *listening);

void listen_close(struct listening *listening);

#endif
