/*
 * gengate-sim: what lies on the internet, for the tests: providers' APIs, their
 * delivery hosts and webhooks, and Supabase Storage.  See README.md.
 */
#include "config.h"

#include <curl/curl.h>
#include <fcgiapp.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/sim/http.h"
#include "tests/sim/pred.h"
#include "tests/sim/sim.h"
#include "tests/sim/webhooks.h"

#define MAX_THREADS 2048
#define STOP_GRACE_US 1000000

struct options {
	const char *listen, *base_url, *ca_file;
	int threads;
};

struct crew {
	struct sim *sim;
	int listen_fd;
	int running;			/* guarded by sim->lock */
	pthread_t thread[MAX_THREADS + 2];
	int n;
};

static int
usage(void)
{
	fputs("usage: gengate-sim --listen PATH --base-url http://127.0.0.1:PORT"
		" [--threads N] [--ca-file FILE]\n", stderr);
	return 2;
}

static bool
read_options(int argc, char **argv, struct options *opt)
{
	static const struct option table[] = {
		{ "listen", required_argument, NULL, 'l' },
		{ "base-url", required_argument, NULL, 'b' },
		{ "threads", required_argument, NULL, 't' },
		{ "ca-file", required_argument, NULL, 'c' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t n = 32;
	int c;

	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (c == 'l')
			opt->listen = optarg;
		else if (c == 'b')
			opt->base_url = optarg;
		else if (c == 'c')
			opt->ca_file = optarg;
		else if (c != 't' || parse_u64(optarg, strlen(optarg), 1, MAX_THREADS, &n) != ERR_OK)
			return false;
	}
	opt->threads = (int)n;
	return opt->listen && opt->base_url && optind == argc;
}

static void
leave(struct crew *crew)
{
	pthread_mutex_lock(&crew->sim->lock);
	crew->running--;
	pthread_cond_broadcast(&crew->sim->changed);
	pthread_mutex_unlock(&crew->sim->lock);
}

static void *
serve_thread(void *arg)
{
	struct crew *crew = arg;

	sim_serve(crew->sim, crew->listen_fd);
	leave(crew);
	return NULL;
}

static void *
clock_thread(void *arg)
{
	struct crew *crew = arg;

	preds_run(crew->sim);
	leave(crew);
	return NULL;
}

static void *
webhook_thread(void *arg)
{
	struct crew *crew = arg;

	hooks_run(crew->sim);
	leave(crew);
	return NULL;
}

static bool
start(struct crew *crew, void *(*run)(void *))
{
	bool ok;

	pthread_mutex_lock(&crew->sim->lock);
	ok = pthread_create(&crew->thread[crew->n], NULL, run, crew) == 0;
	if (ok) {
		crew->n++;
		crew->running++;
	}
	pthread_mutex_unlock(&crew->sim->lock);
	return ok;
}

/*
 * The threads wait in accept(), where no flag reaches them.  The socket is
 * ours alone, so shutting it down is the wake-up; a production process, which
 * shares its socket, must not do that.  Returns false if one does not end.
 */
static bool
stop(struct crew *crew)
{
	int64_t until = sim_mono_us() + STOP_GRACE_US;
	struct sim *sim = crew->sim;
	bool all;

	FCGX_ShutdownPending();
	sim_stop(sim);
	shutdown(crew->listen_fd, SHUT_RDWR);
	pthread_mutex_lock(&sim->lock);
	while (crew->running > 0 && sim_mono_us() < until)
		sim_wait_until(sim, &sim->changed, until);
	all = crew->running == 0;
	pthread_mutex_unlock(&sim->lock);
	for (int i = 0; all && i < crew->n; i++)
		pthread_join(crew->thread[i], NULL);
	return all;
}

/* FCGX_Init() has installed handlers of its own for these.  Blocked in every
 * thread they stay pending until main() asks, so ours need no handler. */
static void
take_signals(sigset_t *ret)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	sigaction(SIGPIPE, &ignore, NULL);
	sigemptyset(ret);
	sigaddset(ret, SIGTERM);
	sigaddset(ret, SIGINT);
	pthread_sigmask(SIG_BLOCK, ret, NULL);
}

static bool
start_all(struct crew *crew, int threads)
{
	bool ok = start(crew, clock_thread) && start(crew, webhook_thread);

	for (int i = 0; ok && i < threads; i++)
		ok = start(crew, serve_thread);
	return ok;
}

int
main(int argc, char **argv)
{
	struct options opt = { .listen = NULL };
	static struct sim sim;		/* the threads that may outlive main() need it */
	static struct crew crew;
	sigset_t stop_signals;
	int sig, rc = 1;

	if (!read_options(argc, argv, &opt))
		return usage();
	if (FCGX_Init() != 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
		return 1;
	take_signals(&stop_signals);
	sim.base_url = opt.base_url;
	sim.ca_file = opt.ca_file;
	if (!sim_init(&sim)) {
		fputs("gengate-sim: out of memory\n", stderr);
		return 1;
	}
	crew.sim = &sim;
	crew.listen_fd = FCGX_OpenSocket(opt.listen, 1024);
	if (crew.listen_fd < 0) {
		fprintf(stderr, "gengate-sim: cannot listen on %s\n", opt.listen);
		return 1;
	}
	chmod(opt.listen, 0666);	/* nginx's workers may be someone else */
	if (start_all(&crew, opt.threads) && sigwait(&stop_signals, &sig) == 0)
		rc = 0;
	if (!stop(&crew)) {
		unlink(opt.listen);
		_exit(rc);
	}
	close(crew.listen_fd);
	unlink(opt.listen);
	sim_clear(&sim);
	curl_global_cleanup();
	return rc;
}
