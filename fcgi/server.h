/*
 * The front door: a few request threads that serve FastCGI requests.
 *
 * nginx keeps its FastCGI connections; an idle one costs no thread here: it is
 * parked in one poller beside the listening socket, and whichever thread is
 * free takes what is ready.  A request that waits for news of a job is parked,
 * too; its client's hang-up drops it at once.
 *
 * Request threads wait for Postgres only, never for the internet.
 */
#ifndef GENGATE_FCGI_SERVER_H
#define GENGATE_FCGI_SERVER_H

#include "core/service.h"

struct server_settings {
	uint64_t threads;
	uint64_t client_timeout_ms;
};

extern const struct cfg_row server_options[];

struct server;

/* Before the first thread.  libfcgi installs signal handlers of its own here. */
enum err_code server_global_init(struct err *err) MUST_CHECK;

/* Starts the threads and sets svc->watches.  fd listens and is borrowed until
 * server_stop(). */
enum err_code server_start(const struct server_settings *settings, struct service *svc, int fd,
	struct server **ret, struct err *err) MUST_CHECK;

/* Accepts no more, answers what is parked, finishes what was begun, joins, frees,
 * clears svc->watches. */
void server_stop(struct server **server);

#endif
