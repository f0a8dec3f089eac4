#include "config.h"

#include "fcgi/server.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "fcgi/routes.h"

#define BACKLOG 511
#define STACK_BYTES (512 * 1024)
#define ANSWER_MAX (16 * 1024 * 1024)

struct server {
	struct service *svc;
	int fd;			/* listening; shared with other processes, perhaps */
	int stop[2];		/* a pipe: closing its end wakes everybody */
	size_t n_threads;
	pthread_t *threads;
};

const struct cfg_row server_options[] = {
	{ "threads", CFG_UINT, offsetof(struct server_settings, threads),
	  .def = "8", .min = 1, .max = 1000,
	  .doc = "Threads that answer requests. They wait for Postgres only." },
	CFG_END
};

enum err_code
server_global_init(struct err *err)
{
	/* Installs handlers of its own for SIGTERM, SIGUSR1 and SIGPIPE; the
	 * caller's go in after it. */
	if (FCGX_Init())
		return err_set(err, ERR_INTERNAL, "libfcgi does not start");
	return ERR_OK;
}

bool
server_is_listening(int fd)
{
	int yes = 0;
	socklen_t len = sizeof yes;

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len) == 0 && yes;
}

static enum err_code
system_error(struct err *err, const char *what, const char *which)
{
	return err_set(err, ERR_CONFIG, "%s %s: %s", what, which, strerror(errno));
}

/* A socket file without anybody behind it is a leftover. */
static bool
is_leftover(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	bool ret = fd >= 0 && connect(fd, (const struct sockaddr *)addr, sizeof *addr) < 0 &&
		errno == ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	return ret;
}

static enum err_code
listen_unix(const char *path, unsigned mode, int *ret, struct err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	mode_t old;
	int fd, rc;

	if (strlen(path) >= sizeof addr.sun_path)
		return err_set(err, ERR_CONFIG, "the socket's path %s is longer than %zu bytes", path,
			sizeof addr.sun_path - 1);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return system_error(err, "socket", path);
	if (is_leftover(&addr))
		unlink(path);
	/* Nobody connects before the mode is right. */
	old = umask(0777 & ~mode);
	rc = bind(fd, (const struct sockaddr *)&addr, sizeof addr);
	umask(old);
	if (rc || listen(fd, BACKLOG)) {
		rc = (int)system_error(err, "listening on", path);
		close(fd);
		return (enum err_code)rc;
	}
	*ret = fd;
	return ERR_OK;
}

static enum err_code
listen_tcp(const char *where, int *ret, struct err *err)
{
	static const struct addrinfo hints = {
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM,
	};
	const char *colon = strrchr(where, ':');
	struct addrinfo *addr = NULL;
	char *host;
	int fd = -1, one = 1;

	if (!colon || colon == where)
		return err_set(err, ERR_CONFIG, "%s: say unix:/path, or host:port", where);
	host = where[0] == '[' && colon[-1] == ']'
		? mem_strndup(where + 1, (size_t)(colon - where) - 2)
		: mem_strndup(where, (size_t)(colon - where));
	if (host && getaddrinfo(host, colon + 1, &hints, &addr) == 0)
		fd = socket(addr->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	mem_free(host);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (fd < 0 || bind(fd, addr->ai_addr, addr->ai_addrlen) || listen(fd, BACKLOG)) {
		enum err_code rc = system_error(err, "listening on", where);

		if (fd >= 0)
			close(fd);
		if (addr)
			freeaddrinfo(addr);
		return rc;
	}
	freeaddrinfo(addr);
	*ret = fd;
	return ERR_OK;
}

enum err_code
server_listen(const char *where, unsigned mode, int *ret_fd, struct err *err)
{
	if (strncmp(where, "unix:", 5) == 0)
		return listen_unix(where + 5, mode, ret_fd, err);
	return listen_tcp(where, ret_fd, err);
}

/* nginx's $request_id, if it looks like one. */
static void
take_request_id(struct exchange *x)
{
	const char *id = exchange_param(x, "REQUEST_ID");
	size_t len = id ? strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_") : 0;
	struct uuid own;

	if (len > 0 && len < sizeof x->request_id && !id[len])
		memcpy(x->request_id, id, len + 1);
	else if (!uuid_new(&own, NULL))
		uuid_format(&own, x->request_id);
}

/* The path behind the place where the web server has put us; some servers
 * give the whole as DOCUMENT_URI only. */
static const char *
request_path(const struct exchange *x)
{
	const char *path = exchange_param(x, "PATH_INFO");

	if (!path || !*path)
		path = exchange_param(x, "DOCUMENT_URI");
	return path && path[0] == '/' ? path : "/";
}

static void
send_answer(struct exchange *x)
{
	struct buf head = BUF_INIT(65536);

	buf_printf(&head, "Status: %d\r\nX-Request-Id: %s\r\nX-Content-Type-Options: nosniff\r\n",
		x->status, x->request_id);
	buf_put(&head, buf_str(&x->headers), x->headers.len);
	buf_printf(&head, "Content-Length: %zu\r\n\r\n", x->out.len);
	if (head.err) {
		log_event(LOG_ERROR, "http.no_answer", KV_STR("request", x->request_id),
			KV_STR("error", err_name(head.err)));
	} else {
		FCGX_PutStr(buf_str(&head), (int)head.len, x->fcgx->out);
		if (strcmp(x->method, "HEAD") != 0)
			FCGX_PutStr(buf_str(&x->out), (int)x->out.len, x->fcgx->out);
	}
	buf_clear(&head);
}

static void
log_request(const struct exchange *x, int64_t began_us)
{
	char job[UUID_TEXT_SIZE];

	if (x->has_job)
		uuid_format(&x->job, job);
	log_event(x->status >= 500 ? LOG_WARN : LOG_INFO, "http.request",
		KV_STR("request", x->request_id), KV_STR("method", x->method),
		KV_STR("path", x->path), KV_INT("status", x->status),
		KV_STR("job", x->has_job ? job : NULL),
		KV_INT("took_us", clock_mono_us() - began_us),
		KV_STR("error", x->err.code ? x->err.text : NULL));
}

static void
serve(struct service *svc, FCGX_Request *fcgx)
{
	int64_t began_us = clock_mono_us();
	struct exchange x = {
		.svc = svc, .fcgx = fcgx,
		.body = BUF_INIT(0), .headers = BUF_INIT(32768), .out = BUF_INIT(ANSWER_MAX),
	};

	take_request_id(&x);
	x.method = exchange_param(&x, "REQUEST_METHOD");
	if (!x.method)
		x.method = "";
	x.path = request_path(&x);
	routes_dispatch(&x);
	send_answer(&x);
	log_request(&x, began_us);
	buf_clear(&x.body);
	buf_clear(&x.headers);
	buf_clear(&x.out);
}

/* false: the server stops. */
static bool
wait_for_work(const struct server *s)
{
	struct pollfd fds[] = {
		{ .fd = s->fd, .events = POLLIN },
		{ .fd = s->stop[0], .events = POLLIN },
	};

	while (poll(fds, 2, -1) < 0 && errno == EINTR)
		;
	return !fds[1].revents;
}

static void *
run(void *arg)
{
	struct server *s = arg;
	FCGX_Request *fcgx = mem_calloc(1, sizeof *fcgx);

	if (!fcgx)
		return NULL;
	FCGX_InitRequest(fcgx, s->fd, 0);
	while (wait_for_work(s)) {
		/* The socket does not block: another thread may have been faster. */
		if (FCGX_Accept_r(fcgx) < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
				log_event(LOG_ERROR, "http.accept_failed", KV_STR("error", strerror(errno)));
				nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
			}
			continue;
		}
		/* nginx may keep the connection; this thread does not wait for it. */
		fcgx->keepConnection = 0;
		serve(s->svc, fcgx);
		FCGX_Finish_r(fcgx);
	}
	FCGX_Free(fcgx, 1);
	mem_free(fcgx);
	return NULL;
}

enum err_code
server_start(const struct server_settings *settings, struct service *svc, int fd,
	struct server **ret, struct err *err)
{
	struct server *s = mem_calloc(1, sizeof *s);
	pthread_attr_t attr;
	int rc = 0;

	if (s)
		s->threads = mem_calloc(settings->threads, sizeof *s->threads);
	if (!s || !s->threads || pipe(s->stop)) {
		if (s)
			mem_free(s->threads);
		mem_free(s);
		return err_set(err, ERR_NOMEM, "request threads");
	}
	s->svc = svc;
	s->fd = fd;
	fcntl(s->stop[0], F_SETFD, FD_CLOEXEC);
	fcntl(s->stop[1], F_SETFD, FD_CLOEXEC);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	while (s->n_threads < settings->threads && rc == 0) {
		rc = pthread_create(&s->threads[s->n_threads], &attr, run, s);
		if (rc == 0)
			s->n_threads++;
	}
	pthread_attr_destroy(&attr);
	*ret = s;
	if (rc) {
		server_stop(ret);
		return err_set(err, ERR_NOMEM, "request thread: %s", strerror(rc));
	}
	return ERR_OK;
}

void
server_stop(struct server **server)
{
	struct server *s = *server;

	if (!s)
		return;
	close(s->stop[1]);
	for (size_t i = 0; i < s->n_threads; i++)
		pthread_join(s->threads[i], NULL);
	close(s->stop[0]);
	mem_free(s->threads);
	mem_free(s);
	*server = NULL;
}
