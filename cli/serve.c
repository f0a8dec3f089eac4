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
	for (int i = 1; i < argc; i += 2) {
		if (i + 1 == argc)
			return false;
		if (strcmp(argv[i], "--config") == 0)
			ret->config = argv[i + 1];
		else if (strcmp(argv[i], "--listen") == 0)
			ret->listen = argv[i + 1];
		else if (strcmp(argv[i], "--mode") != 0 || !parse_mode(argv[i + 1], &ret->mode))
			return false;
	}
	return true;
}

/* A successor may listen while our running steps end.  In this order: once it
 * is closed, the path may be the successor's. */
static void
stop_listening(const struct options *opt, int fd)
{
	if (opt->listen && strncmp(opt->listen, "unix:", 5) == 0)
		unlink(opt->listen + 5);
	close(fd);
}

/* fd is closed when it returns. */
static enum err_code
run(const struct app *app, const struct options *opt, int fd, const sigset_t *signals,
	struct err *err)
{
	struct service_parts parts = app_parts(app);
	struct service *svc = NULL;
	struct server *server = NULL;
	enum err_code rc;

	rc = service_new(&parts, &svc, err);
	if (!rc)
		rc = workers_start(svc, err);
	if (!rc)
		rc = server_start(&app->server, svc, fd, &server, err);
	if (!rc) {
		log_event(LOG_INFO, "server.ready", KV_STR("version", PACKAGE_VERSION),
			KV_STR("instance", metrics_instance()),
			KV_STR("provider", app->core.provider), KV_STR("storage", svc->storage->name),
			KV_INT("threads", app->server.threads), KV_INT("workers", app->core.workers));
		(void)stop_wait(signals, -1);
	}
	server_stop(&server);
	stop_listening(opt, fd);
	if (svc)
		workers_stop(svc, STOP_GRACE_MS);
	service_free(&svc);
	return rc;
}

static enum err_code
serve(const struct app *app, const struct options *opt, struct err *err)
{
	int fd = 0;
	sigset_t signals;
	enum err_code rc;

	rc = http_global_init(err);
	if (!rc)
		rc = server_global_init(err);
	if (rc)
		return rc;
	stop_block(&signals);
	if (opt->listen)
		rc = listen_open(opt->listen, opt->mode, &fd, err);
	else if (!listen_is_listening(0))
		rc = err_set(err, ERR_CONFIG, "descriptor 0 is no listening socket: say --listen unix:PATH");
	if (!rc)
		rc = run(app, opt, fd, &signals, err);
	http_global_cleanup();
	return rc;
}

int
cmd_serve(int argc, char **argv)
{
	struct options opt = { .mode = SOCKET_MODE };
	struct err err = ERR_INIT;
	struct app *app;
	int status;

	if (!parse_options(argc, argv, &opt)) {
		fputs("usage: gengate serve [--config FILE] [--listen unix:PATH|HOST:PORT [--mode OCTAL]]\n", stderr);
		return EXIT_USAGE;
	}
	app = app_new();
	if (!app)
		return 1;
	status = app_load(app, opt.config, true);
	if (status == 0)
		status = app_open_log(app);
	if (status == 0 && serve(app, &opt, &err)) {
		log_event(LOG_ERROR, "server.failed", KV_STR("error", err.text));
		status = err.code == ERR_CONFIG ? EXIT_CONFIG : 1;
	}
	app_free(&app);
	return status;
}
