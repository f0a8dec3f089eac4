#include "config.h"

#include "fcgi/poller.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <time.h>

/* One of those that wait is the leader: it polls for all, takes one event and
 * leaves the lead.  Who arms or wakes interrupts it through a pipe. */
struct poller {
	pthread_mutex_t lock;
	pthread_cond_t lead;		/* the lead is free, or a wake is there */
	bool has_leader;
	unsigned wakes;
	int pipe[2];
	struct pollfd *fds;		/* those that are armed */
	uint64_t *tokens;
	size_t n, cap;
};

enum err_code
poller_new(struct poller **ret, struct err *err)
{
	struct poller *p = mem_calloc(1, sizeof *p);

	if (!p || pipe(p->pipe)) {
		mem_free(p);
		return err_set(err, ERR_NOMEM, "poller");
	}
	for (int i = 0; i < 2; i++) {
		fcntl(p->pipe[i], F_SETFD, FD_CLOEXEC);
		fcntl(p->pipe[i], F_SETFL, O_NONBLOCK);
	}
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->lead, NULL);
	*ret = p;
	return ERR_OK;
}

void
poller_free(struct poller **poller)
{
	struct poller *p = *poller;

	if (!p)
		return;
	close(p->pipe[0]);
	close(p->pipe[1]);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->lead);
	mem_free(p->fds);
	mem_free(p->tokens);
	mem_free(p);
	*poller = NULL;
}

/* With the lock held. */
static void
interrupt_leader(struct poller *p)
{
	if (p->has_leader)
		(void)!write(p->pipe[1], "", 1);
}

static bool
grow(struct poller *p)
{
	size_t cap = p->cap ? p->cap * 2 : 64;
	struct pollfd *fds;
	uint64_t *tokens;

	if (p->n < p->cap)
		return true;
	if ((fds = mem_realloc(p->fds, cap * sizeof *fds)))
		p->fds = fds;
	if ((tokens = mem_realloc(p->tokens, cap * sizeof *tokens)))
		p->tokens = tokens;
	if (!fds || !tokens)
		return false;
	p->cap = cap;
	return true;
}

/* The place of a descriptor; p->n: it is not armed. */
static size_t
find(const struct poller *p, int fd)
{
	size_t i = 0;

	while (i < p->n && p->fds[i].fd != fd)
		i++;
	return i;
}

enum err_code
poller_arm(struct poller *p, int fd, unsigned events, uint64_t token)
{
	enum err_code rc = ERR_OK;
	size_t i;

	pthread_mutex_lock(&p->lock);
	i = find(p, fd);
	if (i == p->n && !grow(p)) {
		rc = ERR_NOMEM;
	} else {
		if (i == p->n)
			p->n++;
		p->fds[i] = (struct pollfd){ .fd = fd };
#ifdef POLLRDHUP
		p->fds[i].events = POLLRDHUP;
#endif
		if (events & POLLER_READ)
			p->fds[i].events |= POLLIN;
		p->tokens[i] = token;
		interrupt_leader(p);
	}
	pthread_mutex_unlock(&p->lock);
	return rc;
}

/* With the lock. */
static void
take_out(struct poller *p, size_t i)
{
	p->n--;
	p->fds[i] = p->fds[p->n];
	p->tokens[i] = p->tokens[p->n];
}

void
poller_forget(struct poller *p, int fd)
{
	size_t i;

	pthread_mutex_lock(&p->lock);
	i = find(p, fd);
	if (i < p->n) {
		take_out(p, i);
		interrupt_leader(p);
	}
	pthread_mutex_unlock(&p->lock);
}

/* An event of the last poll: disarm it and say what it was.  With the lock. */
static bool
take_event(struct poller *p, uint64_t *ret_token, unsigned *ret_events)
{
	for (size_t i = 0; i < p->n; i++) {
		short got = p->fds[i].revents;

		if (!got)
			continue;
		*ret_token = p->tokens[i];
		*ret_events = (got & POLLIN ? POLLER_READ : 0) |
			(got & ~POLLIN ? POLLER_HANGUP : 0);
		take_out(p, i);
		return true;
	}
	return false;
}

/* Poll a copy without the lock, and carry over what was found.  With the lock. */
static void
poll_once(struct poller *p)
{
	size_t n = p->n;
	struct pollfd *fds = mem_alloc((n + 1) * sizeof *fds);
	char bytes[64];

	if (!fds) {	/* short of memory: a little later, perhaps */
		pthread_mutex_unlock(&p->lock);
		nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
		pthread_mutex_lock(&p->lock);
		return;
	}
	memcpy(fds, p->fds, n * sizeof *fds);
	fds[n] = (struct pollfd){ .fd = p->pipe[0], .events = POLLIN };
	pthread_mutex_unlock(&p->lock);
	while (poll(fds, n + 1, -1) < 0 && errno == EINTR)
		;
	while (read(p->pipe[0], bytes, sizeof bytes) > 0)
		;
	pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < n; i++) {
		size_t at = fds[i].revents ? find(p, fds[i].fd) : p->n;

		/* It may have been forgotten meanwhile; armed anew, it is at worst
		 * looked at once too often. */
		if (at < p->n)
			p->fds[at].revents = fds[i].revents;
	}
	mem_free(fds);
}

bool
poller_wait(struct poller *p, uint64_t *ret_token, unsigned *ret_events)
{
	bool got = false;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		if (p->wakes > 0) {
			p->wakes--;
			break;
		}
		if (p->has_leader) {
			pthread_cond_wait(&p->lead, &p->lock);
			continue;
		}
		got = take_event(p, ret_token, ret_events);
		if (got)
			break;
		p->has_leader = true;
		poll_once(p);
		p->has_leader = false;
	}
	pthread_cond_signal(&p->lead);
	pthread_mutex_unlock(&p->lock);
	return got;
}

void
poller_wake(struct poller *p)
{
	pthread_mutex_lock(&p->lock);
	p->wakes++;
	interrupt_leader(p);
	pthread_cond_signal(&p->lead);
	pthread_mutex_unlock(&p->lock);
}
