#include "config.h"

#include "fcgi/poller.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

#define WAKE_TOKEN UINT64_MAX

struct poller {
	int epoll;
	int wake;		/* a semaphore: its count is the wakes yet to be taken */
};

enum err_code
poller_new(struct poller **ret, struct err *err)
{
	struct poller *p = mem_calloc(1, sizeof *p);
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = WAKE_TOKEN };

	if (!p)
		return err_set(err, ERR_NOMEM, "poller");
	p->epoll = epoll_create1(EPOLL_CLOEXEC);
	p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
	if (p->epoll < 0 || p->wake < 0 || epoll_ctl(p->epoll, EPOLL_CTL_ADD, p->wake, &ev)) {
		poller_free(&p);
		return err_set(err, ERR_NOMEM, "epoll: %s", strerror(errno));
	}
	*ret = p;
	return ERR_OK;
}

void
poller_free(struct poller **poller)
{
	struct poller *p = *poller;

	if (!p)
		return;
	if (p->epoll >= 0)
		close(p->epoll);
	if (p->wake >= 0)
		close(p->wake);
	mem_free(p);
	*poller = NULL;
}

enum err_code
poller_arm(struct poller *p, int fd, unsigned events, uint64_t token)
{
	struct epoll_event ev = {
		.events = EPOLLONESHOT | EPOLLRDHUP | (events & POLLER_READ ? EPOLLIN : 0),
		.data.u64 = token,
	};

	if (epoll_ctl(p->epoll, EPOLL_CTL_MOD, fd, &ev) == 0)
		return ERR_OK;
	if (errno == ENOENT && epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &ev) == 0)
		return ERR_OK;
	return ERR_NOMEM;
}

void
poller_forget(struct poller *p, int fd)
{
	/* ENOENT is fine: it never was armed. */
	(void)epoll_ctl(p->epoll, EPOLL_CTL_DEL, fd, &(struct epoll_event){ .events = 0 });
}

/* true: this thread is the one that the wake was for. */
static bool
take_wake(struct poller *p)
{
	uint64_t one;

	return read(p->wake, &one, sizeof one) == sizeof one;
}

bool
poller_wait(struct poller *p, uint64_t *ret_token, unsigned *ret_events)
{
	for (;;) {
		struct epoll_event ev;
		int n = epoll_wait(p->epoll, &ev, 1, -1);

		if (n < 1 && errno != EINTR)	/* our own bug, or no memory: do not spin */
			nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
		if (n < 1)
			continue;
		if (ev.data.u64 == WAKE_TOKEN) {
			if (take_wake(p))
				return false;
			continue;
		}
		*ret_token = ev.data.u64;
		*ret_events = (ev.events & EPOLLIN ? POLLER_READ : 0) |
			(ev.events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR) ? POLLER_HANGUP : 0);
		return true;
	}
}

void
poller_wake(struct poller *p)
{
	uint64_t one = 1;

	(void)!write(p->wake, &one, sizeof one);
}
