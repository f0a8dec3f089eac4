#include "config.h"

#include <stdio.h>

#include "base/log.h"
#include "base/metrics.h"
#include "cli/app.h"
#include "cli/commands.h"
#include "cli/stop.h"
#include "core/workers.h"

#define SOCKET_MODE 0660

struct options {
	const char *config;
	const char *listen;	/* NULL: descriptor 0 */
	unsigned mode;
	bool replace;
};

static bool
parse_mode(const char *s, unsigned *ret)
{
	unsigned mode = 0;

	for (; *s >= '0' && *s <= '7' && mode <= 0777; s++)
		mode = mode * 8 + (unsigned)(*s - '0');
	*ret = mode;
	return *s == '\0' && mode > 0 && mode <= 0777;
}

static bool
parse_options(int argc, char **argv, struct options *ret)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--replace") == 0)
			ret->replace = true;
		else if (i + 1 == argc)
			return false;
		else if (strcmp(argv[i], "--config") == 0)
			ret->config = argv[++i];
		else if (strcmp(argv[i], "--listen") == 0)
			ret->listen = argv[++i];
		else if (strcmp(argv[i], "--mode") != 0 || !parse_mode(argv[++i], &ret->mode))
			return false;
	}
	return true;
}

static void
say_ready(const struct app *app, const struct service *svc)
{
	log_event(LOG_INFO, "server.ready", KV_STR("version", PACKAGE_VERSION),
		KV_STR("instance", metrics_instance()),
		KV_STR("provider", app->core.provider), KV_STR("storage", svc->storage->name),
		KV_INT("threads", app->server.threads), KV_INT("workers", app->core.workers));
}

/* Who connects from now on is for another process; the requests and steps that
 * were begun end side by side. */
static void
stop(struct service *svc, struct server *server, const struct options *opt, struct listening *listening)
{
	if (server)
		listen_leave(listening);
	if (server)
		server_close(server, opt->listen != NULL);
	listen_close(listening);
	workers_wind_down(svc, STOP_GRACE_MS);
	if (server)
		server_stop(server);
	workers_stop(svc, STOP_GRACE_MS);
	server_free(&server);
}

/* *app is the service's from when there is one, and goes with it. */
static enum err_code
run(struct app **app, const struct options *opt, struct listening *listening,
	const sigset_t *signals, struct err *err)
{
	struct service_parts parts = app_parts_given(*app);
	struct service *svc = NULL;
	struct server *server = NULL;
	enum err_code rc;

	rc = service_new(&parts, &svc, err);
	if (rc) {
		listen_leave(listening);
		listen_close(listening);
		return rc;
	}
	rc = server_new(svc, &server, err);
	if (!rc)
		rc = workers_start(svc, err);
	if (!rc)
		rc = server_run(server, &(*app)->server, listening->fd, err);
	if (!rc) {
		say_ready(*app, svc);
		while (stop_wait(signals, -1) == STOP_RELOAD) {
			app_reload(app, opt->config, &svc);
			server_configure(server, &(*app)->server);
		}
	}
	stop(svc, server, opt, listening);
	*app = NULL;
	service_free(&svc);
	return rc;
}

static enum err_code
serve(struct app **app, const struct options *opt, const sigset_t *signals, struct err *err)
{
	struct listening listening = { .fd = 0 };
	enum err_code rc;

	rc = http_global_init(err);
	if (!rc)
		rc = server_global_init(err);
	if (rc)
		return rc;
	if (opt->listen)
		rc = listen_open(opt->listen, opt->mode, opt->replace, &listening, err);
	else if (!listen_is_listening(0))
		rc = err_set(err, ERR_CONFIG, "descriptor 0 is no listening socket: say --listen unix:PATH");
	if (!rc)
		rc = run(app, opt, &listening, signals, err);
	http_global_cleanup();
	return rc;
}

int
cmd_serve(int argc, char **argv)
{
	struct options opt = { .mode = SOCKET_MODE };
	struct err err = ERR_INIT;
	struct app *app;
	sigset_t signals;
	int status;

	if (!parse_options(argc, argv, &opt)) {
		fputs("usage: gengate serve [--config FILE] "
			"[--listen unix:PATH|HOST:PORT [--mode OCTAL] [--replace]]\n", stderr);
		return EXIT_USAGE;
	}
	stop_block(&signals);
	app = app_new();
	if (!app)
		return 1;
	status = app_load(app, opt.config, true);
	if (status == 0)
		status = app_become_user(app);
	if (status == 0)
		status = app_open_log(app);
	if (status == 0)
		app_log_warnings(app);
	if (status == 0 && serve(&app, &opt, &signals, &err)) {
		log_event(LOG_ERROR, "server.failed", KV_STR("error", err.text));
		status = err.code == ERR_CONFIG ? EXIT_CONFIG : 1;
	}
	app_free(&app);
	return status;
}
