#include "config.h"

#include "cli/stop.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "base/log.h"

void
stop_block(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* Not SIGHUP: a reload that comes too late is none. */
static void
let_the_next_end_us(void)
{
	sigset_t ending;

	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	sigemptyset(&ending);
	sigaddset(&ending, SIGTERM);
	sigaddset(&ending, SIGINT);
	pthread_sigmask(SIG_UNBLOCK, &ending, NULL);
}

enum stop_wish
stop_wait(const sigset_t *set, int timeout_ms)
{
	const struct timespec timeout = {
		.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L,
	};
	int sig = 0;

	while (sig != SIGTERM && sig != SIGINT) {
		sig = timeout_ms < 0 ? sigwaitinfo(set, NULL) : sigtimedwait(set, NULL, &timeout);
		if (sig < 0 && errno != EINTR)
			return STOP_NOT;
		if (sig == SIGHUP)
			return STOP_RELOAD;
	}
	log_event(LOG_INFO, "server.stopping", KV_INT("signal", sig));
	let_the_next_end_us();
	return STOP_NOW;
}
