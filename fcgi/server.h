/*
 * The front door: request threads that take FastCGI requests from a listening
 * socket.  For now the classic loop, a connection for each request.
 */
#ifndef GENGATE_FCGI_SERVER_H
#define GENGATE_FCGI_SERVER_H

#include "core/service.h"

struct server_settings {
	uint64_t threads;
};

extern const struct cfg_row server_options[];

struct server;

/* Before the first thread. */
enum err_code server_global_init(struct err *err) MUST_CHECK;

/* Is this descriptor a listening socket? */
bool server_is_listening(int fd);

/*
 * Open what `where` names: "unix:/path", or "host:port" ("127.0.0.1:9000",
 * "[::1]:9000").  A unix socket gets that mode; one that is left over from a
 * dead process is replaced, one that somebody answers on is not.
 */
enum err_code server_listen(const char *where, unsigned mode, int *ret_fd, struct err *err) MUST_CHECK;

/* Starts the threads.  fd is borrowed until server_stop(). */
enum err_code server_start(const struct server_settings *settings, struct service *svc, int fd,
	struct server **ret, struct err *err) MUST_CHECK;

/* Accepts no more, finishes what was accepted, joins, frees. */
void server_stop(struct server **server);

#endif
