/*
 * The whole program put together: everybody's configuration rows joined,
 * loaded and checked.
 */
#ifndef GENGATE_CLI_APP_H
#define GENGATE_CLI_APP_H

#include "core/auth.h"
#include "core/service.h"
#include "fcgi/listen.h"
#include "fcgi/server.h"

/* sysexits.h has EX_CONFIG; not every system has sysexits.h. */
#define EXIT_CONFIG 78
#define EXIT_USAGE 64

struct app {
	struct log_settings { int level; char *file, *instance; } log;
	struct process_settings { char *user; } process;
	struct settings core;
	struct auth_settings auth;
	struct db_settings db;
	struct server_settings server;
	void **provider_settings;	/* in the order of provider_at() */
	void **storage_settings;	/* in the order of storages[] */
	struct cfg_section *sections;
	struct cfg cfg;
	struct buf warnings;		/* of the configuration, a line each */
	char **env;			/* what is ours of the environment, out of others' sight; a
					 * reload hands it on */
};

/* The rows, without values.  NULL: no memory. */
struct app *app_new(void);
void app_free(struct app **app);

/*
 * Load the values and say every mistake on standard error.  path: NULL for
 * GENGATE_CONFIG, else the usual file if it is there.  all: check what only the
 * parts together show, too (a `migrate` needs the database alone).
 * 0, or the exit status.
 */
int app_load(struct app *app, const char *path, bool all);

/* Log to `log_file` from now on, if it is set.  0, or the exit status: it was
 * said on standard error.  For those that run as the service's user: a file that
 * root made would be of no use. */
int app_open_log(const struct app *app);

/* Log what the configuration is warned about.  After app_open_log(). */
void app_log_warnings(const struct app *app);

/* Be the `user`, if one is set.  Before the log is opened and the first thread starts.
 * 0, or the exit status, as above. */
int app_become_user(const struct app *app);

/* What service_new() takes; borrowed from app. */
struct service_parts app_parts(const struct app *app);

/* The same, and app goes with the service that is made of it. */
struct service_parts app_parts_given(struct app *app);

/*
 * Load everything anew and put it in use: another app, which is the service's,
 * and another service.  If anything is wrong with it, it is logged, and both stay
 * as they are.  The log's file is opened anew, too.
 */
void app_reload(struct app **app, const char *path, struct service **svc);

#endif
