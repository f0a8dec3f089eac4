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
	uint64_t parked_per_user;
	uint64_t parked_total;
};

extern const struct cfg_row server_options[];

struct server;

/* Before the first thread.  libfcgi installs signal handlers of its own here. */
enum err_code server_global_init(struct err *err) MUST_CHECK;

/* Sets svc->watches: before the first thread that may use the service.  One
 * thread calls all of these; server_run() once. */
enum err_code server_new(struct service *svc, struct server **ret, struct err *err) MUST_CHECK;

/* Starts the threads.  fd listens and is borrowed until server_close(). */
enum err_code server_run(struct server *server, const struct server_settings *settings, int fd,
	struct err *err) MUST_CHECK;

/* Other settings from now on; but for `threads`. */
void server_configure(struct server *server, const struct server_settings *settings);

/* Accepts no more, and tells what is parked.  last: nobody else will accept on that
 * socket, so those who have come are let in first. */
void server_close(struct server *server, bool last);

/* Finishes what was begun, answers what comes on kept connections until they are
 * not used any more, and joins. */
void server_stop(struct server *server);

/* Nobody uses the service any more. */
void server_free(struct server **server);

#endif
