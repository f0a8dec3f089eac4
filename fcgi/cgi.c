#include "config.h"

#include "fcgi/cgi.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/workers.h"
#include "fcgi/exchange.h"
#include "fcgi/routes.h"

#define TICK_MS 100		/* how often Postgres is asked while a request waits */
#define WRITE_TIMEOUT_MS 10000	/* for a server that does not take the answer */
#define CLIENT_GONE 499		/* nginx's number for it, in the log only */

/* A stream costs a process, and most servers count those: it ends after this
 * time, and its client comes back. */
#define STREAM_MAX_US (300 * (int64_t)1000000)

/* The longest life of a process that takes steps.  Only large outputs over slow
 * lines come near it; what is not done then is for `gengate work`. */
#define STEPS_MAX_US (300 * (int64_t)1000000)
#define STEPS_GRACE_MS 35000

#define INHERITED_MAX 4096
#define DRAIN_MAX_BYTES 65536

struct cgi {
	struct exchange x;
	const struct service_parts *parts;
	bool gone;			/* the client, or the server for it */
	size_t body_bytes;		/* read so far */

	/* What the exchange is parked for. */
	enum watch_for what;
	int64_t until_us;
};

/* ---- the transport ---- */

static const char *
cgi_param(void *conn, const char *name)
{
	(void)conn;
	return getenv(name);
}

static size_t
cgi_read(void *conn, char *to, size_t len)
{
	struct cgi *c = conn;
	size_t got = 0;

	while (got < len) {
		ssize_t n = read(STDIN_FILENO, to + got, len - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	c->body_bytes += got;
	return got;
}

/* A server that cannot hand over what is left of a small body logs an error. */
static void
drain_body(struct cgi *c)
{
	const char *length = getenv("CONTENT_LENGTH");
	char scratch[4096];
	uint64_t all;

	if (!length || parse_u64(length, strlen(length), 0, DRAIN_MAX_BYTES, &all))
		return;
	while (c->body_bytes < all) {
		size_t left = (size_t)all - c->body_bytes;
		size_t piece = left < sizeof scratch ? left : sizeof scratch;

		if (cgi_read(c, scratch, piece) < piece)
			break;
	}
}

/* Until the server takes more; false: it does not. */
static bool
wait_writable(void)
{
	struct pollfd pfd = { .fd = STDOUT_FILENO, .events = POLLOUT };

	return poll(&pfd, 1, WRITE_TIMEOUT_MS) > 0 && pfd.revents & POLLOUT;
}

static bool
cgi_write(void *conn, const char *p, size_t len)
{
	struct cgi *c = conn;

	while (len > 0 && !c->gone) {
		ssize_t n = write(STDOUT_FILENO, p, len);

		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else if (n == 0 || (errno != EINTR && (errno != EAGAIN || !wait_writable()))) {
			c->gone = true;
		}
	}
	return !c->gone;
}

static bool
cgi_flush(void *conn)
{
	const struct cgi *c = conn;

	return !c->gone;
}

/*
 * A POST does not wait for the provider's yes or no unless the client asked for
 * that: the step is taken after the answer, which is the quickest.
 */
static enum err_code
cgi_park(void *conn, const struct uuid *owner, const struct uuid *job, enum watch_for what,
	int32_t seen, uint64_t timeout_ms)
{
	struct cgi *c = conn;

	(void)owner, (void)job, (void)seen;	/* the exchange has them */
	if (what == WATCH_ACCEPTED)
		return ERR_STOPPING;
	c->what = what;
	c->until_us = clock_mono_us() + (int64_t)timeout_ms * 1000;
	return ERR_OK;
}

static const struct transport cgi_transport = {
	.param = cgi_param, .read = cgi_read, .write = cgi_write, .flush = cgi_flush,
	.park = cgi_park, .location_redirects = true,
};

/* ---- steps ---- */

/*
 * The server waits for the end of what it reads from us.  /dev/null, since the
 * next socket would get a closed descriptor's number.  A log that is a file
 * stays: nobody waits for its end, and steps have something to say.
 */
static void
let_go(void)
{
	int fd = open("/dev/null", O_RDWR);
	struct stat st;

	if (fd < 0)
		return;
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	if (fstat(STDERR_FILENO, &st) || !S_ISREG(st.st_mode))
		dup2(fd, STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

/* Step by step as long as one is due. */
static void
take_steps(struct service *svc, struct job *job)
{
	int64_t until_us = clock_mono_us() + STEPS_MAX_US;
	struct err err = ERR_INIT;

	/* If it cannot be, the lease brings the job back. */
	if (workers_start_for(svc, job, &err)) {
		log_event(LOG_ERROR, "cgi.no_step", KV_STR("error", err.text));
		return;
	}
	while (clock_mono_us() < until_us && !workers_are_dry(svc->workers))
		nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	workers_stop(svc, STEPS_GRACE_MS);
}

/* In the process that was forked off: nothing of the parent's service is used,
 * for the other end of its connections would not know who speaks. */
static _Noreturn void
run_steps(const struct service_parts *parts, struct job *job)
{
	struct service *svc = NULL;
	struct err err = ERR_INIT;

	setsid();
	let_go();
	if (service_new(parts, &svc, &err))
		log_event(LOG_ERROR, "cgi.no_step", KV_STR("error", err.text));
	else
		take_steps(svc, job);
	service_free(&svc);
	_exit(0);
}

static void
block_ending(sigset_t *ret_old)
{
	sigset_t ending;

	sigemptyset(&ending);
	sigaddset(&ending, SIGTERM);
	sigaddset(&ending, SIGHUP);
	sigaddset(&ending, SIGINT);
	sigprocmask(SIG_BLOCK, &ending, ret_old);
}

/* Nobody may end us between the claim and the step: the lease would have to run
 * out first. */
static void
take_due_step(struct cgi *c)
{
	struct err err = ERR_INIT;
	struct job job;
	sigset_t old;
	pid_t pid;

	block_ending(&old);
	if (!service_claim(c->x.svc, &c->x.owner, &c->x.job, &job, &err)) {
		/* Of the request that made it; without memory between processes that
		 * is this one, or nobody knows. */
		if (job.state == GEN_QUEUED && strcmp(c->x.method, "POST") == 0 && c->x.trace)
			snprintf(job.trace, sizeof job.trace, "%s", c->x.trace);
		pid = fork();
		if (pid == 0)
			run_steps(c->parts, &job);
		if (pid > 0)
			job_clear(&job);
		else	/* no more processes to be had: here, then */
			take_steps(c->x.svc, &job);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
}

/* ---- waiting ---- */

/* false: the reader of our answer has gone. */
static bool
sleep_a_tick(void)
{
	struct pollfd pfd = { .fd = STDOUT_FILENO };

	return poll(&pfd, 1, TICK_MS) <= 0 || !(pfd.revents & (POLLERR | POLLHUP | POLLNVAL));
}

static bool
has_news(const struct cgi *c)
{
	struct job_version now = { .owner = c->x.owner, .job = c->x.job };
	struct err err = ERR_INIT;
	size_t found = 0;

	/* The database is away: the time runs on, and the answer will say so. */
	return !jobs_versions(c->x.svc->db, &now, 1, &found, &err) &&
		watch_satisfied(c->what, c->x.seen, found ? &now : NULL);
}

static enum watch_news
wait_for_news(struct cgi *c)
{
	while (!c->gone) {
		int64_t now_us = clock_mono_us();

		if (c->x.streams && now_us - c->x.began_us > STREAM_MAX_US)
			return WATCH_STOPPING;
		if (has_news(c))
			return WATCH_CAME;
		if (now_us >= c->until_us)
			return WATCH_TIMEOUT;
		take_due_step(c);
		c->gone = !sleep_a_tick();
	}
	return WATCH_STOPPING;
}

/* ---- from outside ---- */

void
cgi_close_inherited(void)
{
	long max = sysconf(_SC_OPEN_MAX);

#ifdef HAVE_CLOSE_RANGE
	/* One call instead of thousands; an old kernel does not have it. */
	if (close_range(STDERR_FILENO + 1, UINT_MAX, 0) == 0)
		return;
#endif
	if (max < 0 || max > INHERITED_MAX)
		max = INHERITED_MAX;
	for (int fd = STDERR_FILENO + 1; fd < max; fd++)
		close(fd);
}

void
cgi_serve(struct service *svc, const struct service_parts *parts)
{
	struct cgi c = { .parts = parts };

	svc->one_request = true;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);	/* who takes steps is not waited for */
	exchange_init(&c.x, svc, &cgi_transport, &c);
	routes_dispatch(&c.x);
	while (c.x.resume && !c.gone) {
		enum watch_news news = wait_for_news(&c);

		if (!c.gone)
			exchange_resume(&c.x, news);
	}
	drain_body(&c);
	/* Some servers send SIGTERM as soon as they have the answer. */
	block_ending(NULL);
	exchange_end(&c.x, c.gone ? CLIENT_GONE : 0);
	let_go();
	if (c.x.has_job && c.x.status < 400)
		take_due_step(&c);
	exchange_clear(&c.x);
}

void
cgi_refuse(void)
{
	struct cgi c = { .parts = NULL };

	signal(SIGPIPE, SIG_IGN);
	exchange_init(&c.x, NULL, &cgi_transport, &c);
	answer_problem(&c.x, ERR_INTERNAL, NULL, NULL);
	exchange_end(&c.x, 0);
	exchange_clear(&c.x);
}
