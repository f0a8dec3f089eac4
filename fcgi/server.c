#include "config.h"

#include "fcgi/server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "core/places.h"
#include "fcgi/exchange.h"
#include "fcgi/fcgx.h"
#include "fcgi/poller.h"
#include "fcgi/routes.h"

/* Jansson takes 2,048 levels, and writing those takes over half of this. */
#define STACK_BYTES (1024 * 1024)
#define LISTEN_TOKEN (UINT64_MAX - 1)
#define ACCEPT_AT_ONCE 16
#define LAST_MAX 1024		/* more than a backlog holds */
#define GROW_BY 64
#define SCRATCH_BYTES 16384
/* More than any body that nginx lets through (nginx/gengate.conf). */
#define DRAIN_MAX_BYTES (64 * 1024 * 1024)
#define CLIENT_GONE 499		/* nginx's number for it, in the log only */
/* How long server_stop() waits for requests under way. */
#define STOP_GRACE_MS 30000
/* A web server that has sent nothing for that long is not about to use a kept
 * connection; if one is closed that it does use, a POST ends 502. */
#define LINGER_MS 300

enum conn_state {
	CONN_FREE,		/* in the list of free ones */
	CONN_IDLE,		/* waits for a request, armed */
	CONN_BUSY,		/* one thread has it */
	CONN_PARKED,		/* its request waits for news; armed for the hang-up */
	CONN_READY,		/* there is news; in the ready queue */
};

/*
 * A FastCGI connection.  Its memory is never given back while the server lives:
 * an event that a thread already holds may name a connection that another one
 * has closed meanwhile, and is recognised by its generation.
 */
struct conn {
	struct server *server;
	struct conn *next;		/* free, or ready */
	uint32_t index, generation;
	enum conn_state state;
	bool has_news;			/* came while it was busy parking */
	enum watch_news news;
	atomic_uint arming;		/* idle already, and yet to be armed */
	bool has_place;			/* to wait in, */
	struct uuid place;		/* as this owner; none: not known */
	int fd;
	FCGX_Request fcgx;		/* its streams point back into it: never moved */
	struct exchange x;
};

struct server {
	struct current *current;
	struct db *db;
	atomic_uint_least64_t client_timeout_ms;
	struct watches *watches;
	struct places *places;
	struct poller *poller;
	int fd;				/* listening; other processes may share it */
	size_t n_threads;
	pthread_t *threads;

	pthread_mutex_t lock;		/* guards all below, and each conn's state, generation, news */
	struct conn **conns;
	size_t n_conns;
	struct conn *free;
	struct conn *ready, **ready_end;
	size_t accepting;		/* threads */
	int64_t used_us;		/* when a request or a connection came last */
	atomic_bool stopping, ending;
	atomic_bool accept_failed;	/* said once, until it works again */
};

const struct cfg_row server_options[] = {
	{ "threads", CFG_UINT, offsetof(struct server_settings, threads),
	  .def = "16", .min = 1, .max = 1000, .flags = CFG_RESTART,
	  .doc = "Threads that answer requests. They wait for Postgres only." },
	{ "client_timeout", CFG_DURATION, offsetof(struct server_settings, client_timeout_ms),
	  .def = "10s", .min = 100, .max = 600000,
	  .doc = "For how long the web server may neither send the rest of a request nor take the rest "
		"of an answer before its connection is dropped." },
	{ "parked_per_user", CFG_UINT, offsetof(struct server_settings, parked_per_user),
	  .def = "16", .min = 1, .max = 100000,
	  .doc = "Requests of one user that may wait for news at a time, in one process: event streams, `Prefer: wait`, "
		"a `POST /generate` that waits for the provider. One more stream is refused (429); what else would wait is "
		"answered at once." },
	{ "parked_total", CFG_UINT, offsetof(struct server_settings, parked_total),
	  .def = "5000", .min = 1, .max = 1000000,
	  .doc = "The same of all users together; here one more stream is a 503. Each is a connection, so "
		"a file descriptor, of the web server's and of gengate's." },
	CFG_END
};

enum err_code
server_global_init(struct err *err)
{
	if (FCGX_Init())
		return err_set(err, ERR_INTERNAL, "libfcgi does not start");
	return ERR_OK;
}

/* ---- connections ---- */

static uint64_t
conn_token(const struct conn *c)
{
	return (uint64_t)c->generation << 32 | c->index;
}

/* The connection that a token names, if it is still that one.  With the lock. */
static struct conn *
conn_of(struct server *s, uint64_t token)
{
	uint32_t index = (uint32_t)token;
	struct conn *c = index < s->n_conns ? s->conns[index] : NULL;

	return c && c->generation == token >> 32 && c->state != CONN_FREE ? c : NULL;
}

/* With the lock; false: no memory. */
static bool
grow(struct server *s)
{
	struct conn **conns = mem_realloc(s->conns, (s->n_conns + GROW_BY) * sizeof *conns);

	if (!conns)
		return false;
	s->conns = conns;
	for (int i = 0; i < GROW_BY; i++) {
		struct conn *c = mem_calloc(1, sizeof *c);

		if (!c)
			return i > 0;
		c->server = s;
		c->index = (uint32_t)s->n_conns;
		c->next = s->free;
		s->free = c;
		s->conns[s->n_conns++] = c;
	}
	return true;
}

static struct conn *
conn_new(struct server *s, int fd)
{
	struct conn *c = NULL;

	pthread_mutex_lock(&s->lock);
	if (s->free || grow(s)) {
		c = s->free;
		s->free = c->next;
		c->arming++;
		c->state = CONN_IDLE;
		c->fd = fd;
		c->has_news = false;
		s->used_us = clock_mono_us();
	}
	pthread_mutex_unlock(&s->lock);
	if (c) {
		metric_add(METRIC_CONNECTIONS, 1, NULL);
		/* libfcgi reads from ipcFd if there is one; the listening socket
		 * that it would go on to is none.  keepConnection: it closes what
		 * it finds, otherwise, before its first request. */
		FCGX_InitRequest(&c->fcgx, -1, 0);
		c->fcgx.ipcFd = fd;
		c->fcgx.keepConnection = 1;
	}
	return c;
}

/* Its descriptor is closed. */
static void
conn_free(struct conn *c)
{
	struct server *s = c->server;

	metric_add(METRIC_CONNECTIONS, -1, NULL);
	pthread_mutex_lock(&s->lock);
	c->state = CONN_FREE;
	c->generation++;
	c->next = s->free;
	s->free = c;
	pthread_mutex_unlock(&s->lock);
}

/* No request is open on it. */
static void
conn_close(struct conn *c)
{
	poller_forget(c->server->poller, c->fd);
	FCGX_Free(&c->fcgx, 0);
	close(c->fd);
	conn_free(c);
}

/* A stop closes what is idle, but not while this goes on. */
static void
arm_idle(struct conn *c, uint64_t token)
{
	if (poller_arm(c->server->poller, c->fd, POLLER_READ, token))
		conn_close(c);
	c->arming--;
}

/* Wait for the next request on a kept connection. */
static void
conn_idle(struct conn *c)
{
	struct server *s = c->server;
	uint64_t token;

	/* News of the last request that comes late is not the next one's. */
	pthread_mutex_lock(&s->lock);
	c->arming++;
	c->state = CONN_IDLE;
	c->has_news = false;
	c->generation++;
	token = conn_token(c);
	pthread_mutex_unlock(&s->lock);
	arm_idle(c, token);
}

/* ---- the transport ---- */

static const char *
fcgx_param(void *conn, const char *name)
{
	const struct conn *c = conn;

	return FCGX_GetParam(name, c->fcgx.envp);
}

static size_t
fcgx_read(void *conn, char *to, size_t len)
{
	struct conn *c = conn;
	int n = FCGX_GetStr(to, (int)len, c->fcgx.in);

	return n > 0 ? (size_t)n : 0;
}

static bool
fcgx_write(void *conn, const char *p, size_t len)
{
	struct conn *c = conn;
	struct pollfd pfd = { .fd = c->fd, .events = POLLOUT };

	/* A stream's client that does not read must not hold a thread. */
	if (c->x.streams && poll(&pfd, 1, 0) != 1)
		return false;
	return len == 0 || FCGX_PutStr(p, (int)len, c->fcgx.out) == (int)len;
}

static bool
fcgx_flush(void *conn)
{
	struct conn *c = conn;

	return FCGX_FFlush(c->fcgx.out) == 0;
}

static const struct uuid nobody;

/* NULL while it is not known. */
static const struct uuid *
known(const struct uuid *owner)
{
	return uuid_equal(owner, &nobody) ? NULL : owner;
}

static void
give_place(struct conn *c)
{
	if (c->has_place)
		places_give(c->server->places, known(&c->place));
	c->has_place = false;
}

static void
count_limit(enum err_code rc)
{
	if (rc == ERR_TOO_MANY || rc == ERR_OVERLOADED)
		metric_add(METRIC_LIMITED, 1, rc == ERR_TOO_MANY ? "parked_per_user" : "parked_total");
}

/* It may have waited before it was known whose it is. */
static enum err_code
fcgx_reserve(void *conn, const struct uuid *owner)
{
	struct conn *c = conn;
	enum err_code rc;

	if (c->has_place && uuid_equal(&c->place, owner))
		return ERR_OK;
	rc = places_take(c->server->places, known(owner));
	count_limit(rc);
	if (rc)
		return rc;
	give_place(c);
	c->has_place = true;
	c->place = *owner;
	return ERR_OK;
}

static enum err_code
fcgx_park(void *conn, const struct uuid *owner, const struct uuid *job,
	enum watch_for what, int32_t seen, uint64_t timeout_ms)
{
	struct conn *c = conn;
	enum err_code rc = fcgx_reserve(c, owner);

	return rc ? rc : watches_add(c->server->watches, conn_token(c), owner, job, what, seen, timeout_ms);
}

static const struct transport fcgx_transport = {
	.param = fcgx_param, .read = fcgx_read, .write = fcgx_write, .flush = fcgx_flush,
	.reserve = fcgx_reserve, .park = fcgx_park, .serves_files = true,
};

/* ---- requests ---- */

/* What was not read of the body would be taken for the next request. */
static void
drain_body(struct conn *c)
{
	char scratch[SCRATCH_BYTES];
	size_t total = 0;
	int n;

	while ((n = FCGX_GetStr(scratch, sizeof scratch, c->fcgx.in)) == sizeof scratch)
		if ((total += (size_t)n) > DRAIN_MAX_BYTES) {
			c->fcgx.keepConnection = 0;
			return;
		}
}

/* All that is still to be written goes into one packet. */
static size_t
collect_end(struct conn *c, char *to, size_t max)
{
	int ends[2];
	ssize_t n;

	/* libfcgi has at most 8 kB left, and a pipe takes more. */
	if (pipe(ends))
		return 0;
	c->fcgx.ipcFd = ends[1];
	(void)FCGX_FClose(c->fcgx.err);
	(void)FCGX_FClose(c->fcgx.out);
	c->fcgx.ipcFd = c->fd;
	close(ends[1]);
	n = read(ends[0], to, max);
	close(ends[0]);
	return n > 0 ? (size_t)n : 0;
}

/*
 * The last answer on a connection.  nginx may use a kept connection again as soon
 * as it has the end of an answer, before it has seen that we closed it; a POST
 * would end 502 then.  But it keeps none on which more than that end has come, so
 * a record follows in the same packet that has no meaning (FCGI_UNKNOWN_TYPE, of
 * no request).
 */
static void
send_last(struct conn *c)
{
	static const char nothing[16] = { 1, 11, 0, 0, 0, 8 };
	char bytes[SCRATCH_BYTES];
	size_t len = collect_end(c, bytes, sizeof bytes - sizeof nothing), sent = 0;

	if (!len)
		return;
	memcpy(bytes + len, nothing, sizeof nothing);
	len += sizeof nothing;
	while (sent < len) {
		ssize_t n = send(c->fd, bytes + sent, len - sent, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		sent += (size_t)n;
	}
}

/* The request is over: its connection waits for the next one, or goes. */
static void
finish(struct conn *c, bool gone)
{
	struct server *s = c->server;

	exchange_clear(&c->x);
	give_place(c);
	service_unpin(&c->x.svc);
	/* In this order: what cannot be sent any more ends the connection.  Closed
	 * here, the answer and its end are one write; a flush would make two. */
	if (!gone)
		drain_body(c);
	if (!gone && s->stopping)
		send_last(c);
	if (gone || s->stopping || FCGX_FClose(c->fcgx.err) || FCGX_FClose(c->fcgx.out))
		c->fcgx.keepConnection = 0;
	if (!c->fcgx.keepConnection)
		poller_forget(s->poller, c->fd);
	/* libfcgi would read on for as long as the other side sends, and by
	 * select(2), which knows no descriptor above 1023: it just closes. */
	c->fcgx.detached = 1;
	FCGX_Finish_r(&c->fcgx);
	if (c->fcgx.ipcFd >= 0)
		conn_idle(c);
	else
		conn_free(c);
}

/* Put a connection with news into the queue and wake a thread.  With the lock. */
static void
make_ready(struct server *s, struct conn *c, enum watch_news news)
{
	c->state = CONN_READY;
	c->news = news;
	c->next = NULL;
	*s->ready_end = c;
	s->ready_end = &c->next;
	poller_wake(s->poller);
}

/* The resource returned without an answer: watch for hang-up, too.  News may
 * have come already. */
static void
park(struct conn *c)
{
	struct server *s = c->server;
	bool failed;

	pthread_mutex_lock(&s->lock);
	failed = poller_arm(s->poller, c->fd, POLLER_HANGUP, conn_token(c)) != ERR_OK;
	if (c->has_news || failed)
		make_ready(s, c, c->has_news ? c->news : WATCH_TIMEOUT);
	else
		c->state = CONN_PARKED;
	c->has_news = false;
	pthread_mutex_unlock(&s->lock);
}

/* Run or resumed: what now? */
static void
go_on(struct conn *c)
{
	if (c->x.resume) {
		service_unpin(&c->x.svc);
		park(c);
		return;
	}
	exchange_end(&c->x, 0);
	finish(c, false);
}

/* There is something to read on an idle connection. */
static void
serve(struct conn *c)
{
	char byte;
	ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	/* nginx closes connections that it does not need any more. */
	if (n <= 0) {
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			conn_idle(c);
		else
			conn_close(c);
		return;
	}
	if (FCGX_Accept_r(&c->fcgx) < 0) {
		/* A broken record, or it closed in the middle: libfcgi has closed
		 * the descriptor. */
		log_event(LOG_WARN, "http.broken_request", KV_STR("error", "not a FastCGI request"));
		conn_free(c);
		return;
	}
	exchange_init(&c->x, service_pin(c->server->current), &fcgx_transport, c);
	db_call_as(DB_REQUEST);	/* unless the route says more */
	routes_dispatch(&c->x);
	go_on(c);
}

/* What it waited for may be hours ago: by today's settings. */
static void
resume(struct conn *c)
{
	c->x.svc = service_pin(c->server->current);
	db_call_as(DB_ADMITTED);
	exchange_resume(&c->x, c->news);
	go_on(c);
}

static void
drop(struct conn *c)
{
	watches_remove(c->server->watches, conn_token(c));
	exchange_end(&c->x, CLIENT_GONE);
	finish(c, true);
}

/* ---- events ---- */

static void
on_event(struct server *s, uint64_t token)
{
	enum conn_state was = CONN_FREE;
	struct conn *c;

	pthread_mutex_lock(&s->lock);
	c = conn_of(s, token);
	if (c && (c->state == CONN_IDLE || c->state == CONN_PARKED)) {
		was = c->state;
		c->state = CONN_BUSY;
		s->used_us = clock_mono_us();
	}
	pthread_mutex_unlock(&s->lock);
	if (was == CONN_IDLE)
		serve(c);
	else if (was == CONN_PARKED)
		drop(c);
}

/* From the watch thread: news for a parked request, or one that is about to be. */
static void
on_news(void *ctx, uint64_t token, enum watch_news news)
{
	struct server *s = ctx;
	struct conn *c;

	pthread_mutex_lock(&s->lock);
	c = conn_of(s, token);
	if (c && c->state == CONN_PARKED) {
		make_ready(s, c, news);
	} else if (c && c->state == CONN_BUSY) {
		c->has_news = true;
		c->news = news;
	}
	pthread_mutex_unlock(&s->lock);
}

static struct conn *
pop_ready(struct server *s)
{
	struct conn *c;

	pthread_mutex_lock(&s->lock);
	c = s->ready;
	if (c) {
		s->ready = c->next;
		if (!s->ready)
			s->ready_end = &s->ready;
		c->state = CONN_BUSY;
	}
	pthread_mutex_unlock(&s->lock);
	return c;
}

static void
set_timeouts(const struct server *s, int fd)
{
	const uint64_t ms = atomic_load(&s->client_timeout_ms);
	struct timeval tv = {
		.tv_sec = (time_t)(ms / 1000),
		.tv_usec = (suseconds_t)(ms % 1000 * 1000),
	};

	fcntl(fd, F_SETFD, FD_CLOEXEC);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
}

static void
accept_failed(struct server *s, int error)
{
	bool first;

	if (error == EAGAIN || error == EWOULDBLOCK || error == EINTR || error == ECONNABORTED)
		return;
	pthread_mutex_lock(&s->lock);
	first = !s->accept_failed;
	s->accept_failed = true;
	pthread_mutex_unlock(&s->lock);
	if (first)
		log_event(LOG_ERROR, "http.accept_failed", KV_STR("error", strerror(error)));
	/* It would fail again at once: EMFILE, ENOMEM. */
	nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
}

/* false: nobody is there, or it went wrong. */
static bool
accept_one(struct server *s)
{
	int fd = accept(s->fd, NULL, NULL);
	struct conn *c;

	if (fd < 0) {
		accept_failed(s, errno);
		return false;
	}
	s->accept_failed = false;
	set_timeouts(s, fd);
	c = conn_new(s, fd);
	if (!c) {
		close(fd);
		accept_failed(s, ENOMEM);
	} else {
		arm_idle(c, conn_token(c));
	}
	return true;
}

/* Whoever waits is for the next process, if we are stopping. */
static bool
begin_accepting(struct server *s)
{
	bool may;

	pthread_mutex_lock(&s->lock);
	may = !s->stopping;
	s->accepting += may;
	pthread_mutex_unlock(&s->lock);
	return may;
}

static void
end_accepting(struct server *s)
{
	pthread_mutex_lock(&s->lock);
	s->accepting--;
	if (!s->stopping)
		(void)!poller_arm(s->poller, s->fd, POLLER_READ, LISTEN_TOKEN);
	pthread_mutex_unlock(&s->lock);
}

static void
accept_some(struct server *s)
{
	if (!begin_accepting(s))
		return;
	for (int i = 0; i < ACCEPT_AT_ONCE && accept_one(s); i++)
		;
	end_accepting(s);
}

static void *
run(void *arg)
{
	struct server *s = arg;
	struct conn *c;
	uint64_t token;
	unsigned events;

	while (!s->ending) {
		if (!poller_wait(s->poller, &token, &events)) {
			c = pop_ready(s);
			if (c)
				resume(c);
		} else if (token == LISTEN_TOKEN) {
			accept_some(s);
		} else {
			on_event(s, token);
		}
	}
	return NULL;
}

/* ---- start and stop ---- */

void
server_configure(struct server *s, const struct server_settings *settings)
{
	atomic_store(&s->client_timeout_ms, settings->client_timeout_ms);
	places_limit(s->places, settings->parked_per_user, settings->parked_total);
}

enum err_code
server_new(struct service *svc, struct server **ret, struct err *err)
{
	struct server *s = mem_calloc(1, sizeof *s);
	enum err_code rc;

	if (!s)
		return err_set(err, ERR_NOMEM, "server");
	s->current = svc->current;
	s->db = svc->db;
	s->fd = -1;
	s->ready_end = &s->ready;
	pthread_mutex_init(&s->lock, NULL);
	rc = poller_new(&s->poller, err);
	if (!rc)
		rc = places_new(&s->places, err);
	if (!rc)
		rc = watches_new(svc->db, on_news, s, &s->watches, err);
	if (rc) {
		server_free(&s);
		return rc;
	}
	svc->watches = s->watches;
	*ret = s;
	return ERR_OK;
}

static enum err_code
start_threads(struct server *s, size_t n, struct err *err)
{
	pthread_attr_t attr;
	int rc = 0;

	s->threads = mem_calloc(n, sizeof *s->threads);
	if (!s->threads)
		return err_set(err, ERR_NOMEM, "request threads");
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	while (s->n_threads < n && rc == 0) {
		rc = pthread_create(&s->threads[s->n_threads], &attr, run, s);
		if (rc == 0)
			s->n_threads++;
	}
	pthread_attr_destroy(&attr);
	return rc ? err_set(err, ERR_NOMEM, "request thread: %s", strerror(rc)) : ERR_OK;
}

enum err_code
server_run(struct server *s, const struct server_settings *settings, int fd, struct err *err)
{
	server_configure(s, settings);
	s->fd = fd;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	if (poller_arm(s->poller, fd, POLLER_READ, LISTEN_TOKEN))
		return err_set(err, ERR_NOMEM, "listening socket: %s", strerror(errno));
	db_limit_requests(s->db, (size_t)settings->threads);
	return start_threads(s, (size_t)settings->threads, err);
}

/* No thread accepts any more when it returns. */
static void
stop_accepting(struct server *s)
{
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	if (s->fd >= 0)
		poller_forget(s->poller, s->fd);
	while (s->accepting > 0) {
		pthread_mutex_unlock(&s->lock);
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
}

void
server_close(struct server *s, bool last)
{
	stop_accepting(s);
	for (int i = 0; last && s->n_threads > 0 && i < LAST_MAX && accept_one(s); i++)
		;
	/* Its owner's to close then; its number may soon be another's. */
	s->fd = -1;
	watches_stop(s->watches);
}

static bool
is_readable(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, 0) != 0;
}

/* The next connection, from *at on, that nobody will use any more: the caller's
 * then. */
static struct conn *
take_idle(struct server *s, size_t *at)
{
	int64_t since_us = clock_mono_us() - LINGER_MS * 1000;
	struct conn *c = NULL;

	pthread_mutex_lock(&s->lock);
	while (!c && *at < s->n_conns && s->used_us <= since_us) {
		c = s->conns[(*at)++];
		if (c->state == CONN_IDLE && !c->arming && !is_readable(c->fd))
			c->state = CONN_BUSY;
		else
			c = NULL;
	}
	pthread_mutex_unlock(&s->lock);
	return c;
}

static bool
is_quiet(struct server *s)
{
	bool quiet = true;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->n_conns; i++)
		quiet = quiet && s->conns[i]->state == CONN_FREE;
	pthread_mutex_unlock(&s->lock);
	return quiet;
}

/* Until each connection had its last answer, or was not wanted. */
static void
wait_until_quiet(struct server *s)
{
	int64_t until_us = clock_mono_us() + STOP_GRACE_MS * 1000LL;

	while (!is_quiet(s) && clock_mono_us() < until_us) {
		struct conn *c;
		size_t at = 0;

		while ((c = take_idle(s, &at)))
			conn_close(c);
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
}

void
server_stop(struct server *s)
{
	server_close(s, false);
	if (s->n_threads > 0)
		wait_until_quiet(s);
	s->ending = true;
	for (size_t i = 0; i < s->n_threads; i++)
		poller_wake(s->poller);
	for (size_t i = 0; i < s->n_threads; i++)
		pthread_join(s->threads[i], NULL);
	s->n_threads = 0;
}

static void
free_conns(struct server *s)
{
	for (size_t i = 0; i < s->n_conns; i++) {
		struct conn *c = s->conns[i];

		if (c->state != CONN_FREE) {
			exchange_clear(&c->x);
			service_unpin(&c->x.svc);
			FCGX_Free(&c->fcgx, 0);
			close(c->fd);
		}
		mem_free(c);
	}
	mem_free(s->conns);
}

void
server_free(struct server **server)
{
	struct server *s = *server;

	if (!s)
		return;
	watches_free(&s->watches);
	free_conns(s);
	places_free(&s->places);
	poller_free(&s->poller);
	pthread_mutex_destroy(&s->lock);
	mem_free(s->threads);
	mem_free(s);
	*server = NULL;
}
