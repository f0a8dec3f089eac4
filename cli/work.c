/* The workers without the front door, for cron or for a host of their own. */
#include "config.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "cli/app.h"
#include "cli/commands.h"
#include "cli/stop.h"
#include "core/workers.h"

/* Over before cron's next minute. */
#define ONCE_MS 55000
#define LOOK_EVERY_MS 50

struct options {
	const char *config;
	bool once;			/* end when nothing is due */
	uint64_t for_ms;		/* 0: no limit */
};

static bool
parse_options(int argc, char **argv, struct options *ret)
{
	for (int i = 1; i < argc; i++) {
		struct err err = ERR_INIT;

		if (strcmp(argv[i], "--once") == 0)
			ret->once = true;
		else if (i + 1 == argc)
			return false;
		else if (strcmp(argv[i], "--config") == 0)
			ret->config = argv[++i];
		else if (strcmp(argv[i], "--for") != 0)
			return false;
		else if (cfg_parse_duration(argv[++i], &ret->for_ms, &err) || !ret->for_ms) {
			fprintf(stderr, "gengate: --for: %s\n", err.code ? err.text : "has to be more than 0");
			return false;
		}
	}
	if (ret->once && !ret->for_ms)
		ret->for_ms = ONCE_MS;
	return true;
}

static void
work(struct app **app, struct service **svc, const struct options *opt, const sigset_t *signals)
{
	int64_t until_us = clock_mono_us() + (int64_t)opt->for_ms * 1000;

	while (!(opt->for_ms && clock_mono_us() >= until_us) &&
	       !(opt->once && workers_are_dry((*svc)->workers))) {
		enum stop_wish wish = stop_wait(signals, LOOK_EVERY_MS);

		if (wish == STOP_NOW)
			return;
		if (wish == STOP_RELOAD)
			app_reload(app, opt->config, svc);
	}
}

/* *app is the service's from when there is one, and goes with it. */
static enum err_code
run(struct app **app, const struct options *opt, const sigset_t *signals, struct err *err)
{
	struct service_parts parts = app_parts_given(*app);
	struct service *svc = NULL;
	enum err_code rc;

	rc = http_global_init(err);
	if (rc)
		return rc;
	rc = service_new(&parts, &svc, err);
	if (!rc && opt->once)	/* cron's mail says so; without --once it is waited for */
		rc = db_ready(svc->db, err);
	if (!rc)
		rc = workers_start(svc, err);
	if (!rc)
		work(app, &svc, opt, signals);
	if (svc) {
		workers_stop(svc, STOP_GRACE_MS);
		*app = NULL;
	}
	service_free(&svc);
	http_global_cleanup();
	return rc;
}

int
cmd_work(int argc, char **argv)
{
	struct options opt = { .config = NULL };
	struct err err = ERR_INIT;
	struct app *app;
	sigset_t signals;
	int status;

	if (!parse_options(argc, argv, &opt)) {
		fputs("usage: gengate work [--once] [--for DURATION] [--config FILE]\n", stderr);
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
	if (status == 0 && run(&app, &opt, &signals, &err)) {
		log_event(LOG_ERROR, "work.failed", KV_STR("error", err.text));
		status = err.code == ERR_CONFIG ? EXIT_CONFIG : 1;
	}
	app_free(&app);
	return status;
}
