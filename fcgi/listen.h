/* Listening sockets: inherited ones, and our own. */
#ifndef GENGATE_FCGI_LISTEN_H
#define GENGATE_FCGI_LISTEN_H

#include <stdbool.h>

#include "base/err.h"

/* Is this descriptor a listening socket?  Under CGI descriptor 0 may be a
 * socket, too (mod_cgid), but not one that listens. */
bool listen_is_listening(int fd);

/*
 * Open what `where` names: "unix:/path", or "host:port" ("127.0.0.1:9000",
 * "[::1]:9000").  A unix socket gets that mode; one that is left over from a
 * dead process is replaced, one that somebody answers on is not.
 */
enum err_code listen_open(const char *where, unsigned mode, int *ret_fd, struct err *err) MUST_CHECK;

#endif
