/*
 * A scripted HTTP server for tests: one thread accepts, one per connection
 * reads a request and lets the test's function answer it.
 */
#ifndef GENGATE_TESTS_SERVER_H
#define GENGATE_TESTS_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define MAX_CONNS 2048
#define MAX_BODY 65536

struct conn {
	struct server *sv;
	int fd;
	pthread_t thread;
	char head[70000];
	size_t head_len;	/* with the empty line */
	size_t have;		/* in head[], may go past the head */
	char body[MAX_BODY];
	size_t body_len;	/* kept; body_bytes have been read */
	size_t body_bytes;
};

struct server {
	bool (*answer)(struct conn *cn);
	void *ctx;		/* for the test */
	int fd;
	int port;
	pthread_t thread;
	atomic_int accepts;
	atomic_int requests;
	pthread_mutex_t lock;
	struct conn *conns[MAX_CONNS];
	size_t n_conns;
	char last_head[4096];
};

/*
 * answer: writes the response; returns whether the connection goes on.  It is
 * called by a thread per connection.
 */
void server_start(struct server *sv, bool (*answer)(struct conn *cn), void *ctx);
void server_stop(struct server *sv);

void send_all(struct conn *cn, const char *p, size_t len);
void send_text(struct conn *cn, const char *s);
void wait_for_close(struct conn *cn);	/* until the client or the test's end closes */
void reset_on_close(struct conn *cn);

/* A socket that listens and that nobody serves. */
int listen_on_loopback(int *ret_port);

#endif
