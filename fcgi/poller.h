/*
 * Waiting for many descriptors with few threads.  Any thread may wait; each
 * event is given to one of them.  A descriptor that was armed is reported once
 * and then has to be armed again.
 *
 * epoll(7) where there is one, else poll(2) with a thread of those that wait
 * as the leader (poller_poll.c): the same promises at O(n) a round.
 */
#ifndef GENGATE_FCGI_POLLER_H
#define GENGATE_FCGI_POLLER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define POLLER_READ   1u	/* something to read, or the end */
#define POLLER_HANGUP 2u	/* the other side has gone; always reported */

struct poller;

enum err_code poller_new(struct poller **ret, struct err *err) MUST_CHECK;
void poller_free(struct poller **poller);	/* nobody waits any more */

/* Report that descriptor once, when one of `events` is there, with that token.
 * Arming again replaces events and token.  ERR_NOMEM: it is not armed. */
enum err_code poller_arm(struct poller *p, int fd, unsigned events, uint64_t token) MUST_CHECK;

/* Before the descriptor is closed.  A report that a thread already has is not
 * taken back. */
void poller_forget(struct poller *p, int fd);

/*
 * Blocks until something is there.
 * true: *ret_token and *ret_events say what.  false: woken by poller_wake().
 */
bool poller_wait(struct poller *p, uint64_t *ret_token, unsigned *ret_events);

/* Let one waiting thread, or the next that waits, return false.  Calls add up. */
void poller_wake(struct poller *p);

#endif
