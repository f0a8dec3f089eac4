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

bool
stop_wait(const sigset_t *set, int timeout_ms)
{
	const struct timespec timeout = {
		.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L,
	};
	int sig = 0;

	while (sig != SIGTERM && sig != SIGINT) {
		sig = timeout_ms < 0 ? sigwaitinfo(set, NULL) : sigtimedwait(set, NULL, &timeout);
		if (sig < 0 && errno != EINTR)
			return false;
	}
	log_event(LOG_INFO, "server.stopping", KV_INT("signal", sig));
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	pthread_sigmask(SIG_UNBLOCK, set, NULL);
	return true;
}
