#include "config.h"

#include "cli/app.h"

#include <errno.h>
#include <fcntl.h>

#include "base/log.h"
#include "base/metrics.h"
#include "cli/privileges.h"

#define DEFAULT_CONFIG GENGATE_SYSCONFDIR "/gengate.conf"
#define MISTAKES_MAX 65536

extern char **environ;

static const char *const levels[] = { "debug", "info", "warn", "error", NULL };

static const struct cfg_row log_options[] = {
	{ "log_level", CFG_WORD, offsetof(struct log_settings, level),
	  .def = "info", .words = levels,
	  .doc = "The least important events that are logged. Logs go to standard error, a line of JSON each." },
	{ "log_file", CFG_STR, offsetof(struct log_settings, file), .max = 1024,
	  .doc = "Append the log to this file instead. Under plain CGI it is what keeps the log of what is "
		"done after the answer: most web servers have let go of standard error by then." },
	{ "instance", CFG_STR, offsetof(struct log_settings, instance), .max = 200, .flags = CFG_RESTART,
	  .doc = "What this process is called in the label `instance` of its metrics; by default the "
		"host's name and the process id." },
	CFG_END
};

static const struct cfg_row process_options[] = {
	{ "user", CFG_STR, offsetof(struct process_settings, user), .max = 128, .flags = CFG_RESTART,
	  .doc = "When started as root: the user to become, `user` or `user:group`, before anything is listened on, logged "
		"or done. The socket's folder, the log and `storage_dir` have to be that user's; a reload needs to read the "
		"configuration as that user." },
	CFG_END
};

static size_t
storage_count(void)
{
	size_t n = 0;

	while (storages[n])
		n++;
	return n;
}

static void
add_section(struct app *app, const char *title, const struct cfg_row *rows, void *target)
{
	app->sections[app->cfg.n_sections++] = (struct cfg_section){
		.title = title, .rows = rows, .target = target,
	};
}

static bool
add_all(struct app *app)
{
	add_section(app, "The service", core_options, &app->core);
	add_section(app, "Supabase Auth", auth_options, &app->auth);
	add_section(app, "Database", db_options, &app->db);
	add_section(app, "Front door", server_options, &app->server);
	for (size_t i = 0; i < provider_count(); i++) {
		app->provider_settings[i] = mem_calloc(1, provider_at(i)->settings_size);
		if (!app->provider_settings[i])
			return false;
		add_section(app, provider_at(i)->title, provider_at(i)->options, app->provider_settings[i]);
	}
	for (size_t i = 0; storages[i]; i++) {
		app->storage_settings[i] = mem_calloc(1, storages[i]->settings_size);
		if (!app->storage_settings[i])
			return false;
		add_section(app, storages[i]->title, storages[i]->options, app->storage_settings[i]);
	}
	add_section(app, "Logs and metrics", log_options, &app->log);
	add_section(app, "Process", process_options, &app->process);
	return true;
}

struct app *
app_new(void)
{
	struct app *app = mem_calloc(1, sizeof *app);

	if (!app)
		return NULL;
	app->provider_settings = mem_calloc(provider_count(), sizeof *app->provider_settings);
	app->storage_settings = mem_calloc(storage_count(), sizeof *app->storage_settings);
	app->sections = mem_calloc(6 + provider_count() + storage_count(), sizeof *app->sections);
	app->cfg.sections = app->sections;
	app->warnings = (struct buf)BUF_INIT(MISTAKES_MAX);
	app->cfg.warnings = &app->warnings;
	if (!app->provider_settings || !app->storage_settings || !app->sections || !add_all(app))
		app_free(&app);
	return app;
}

void
app_free(struct app **papp)
{
	struct app *app = *papp;

	if (!app)
		return;
	cfg_clear(&app->cfg);
	cfg_env_free(&app->env);
	buf_clear(&app->warnings);
	for (size_t i = 0; app->provider_settings && i < provider_count(); i++)
		mem_free(app->provider_settings[i]);
	for (size_t i = 0; app->storage_settings && storages[i]; i++)
		mem_free(app->storage_settings[i]);
	mem_free(app->provider_settings);
	mem_free(app->storage_settings);
	mem_free(app->sections);
	mem_free(app);
	*papp = NULL;
}

static const char *
config_path(const char *path)
{
	if (!path)
		path = getenv("GENGATE_CONFIG");
	if (path && *path)
		return path;
	return access(DEFAULT_CONFIG, F_OK) == 0 ? DEFAULT_CONFIG : NULL;
}

/* ERR_OK, and no mistakes: it can be used. */
static enum err_code
load(struct app *app, const char *path, bool all, struct buf *mistakes, struct err *err)
{
	enum err_code rc = app->env ? ERR_OK : cfg_env_take(environ, &app->env, err);

	if (!rc)
		rc = cfg_load(&app->cfg, path, app->env, mistakes, err);
	if (all && rc != ERR_NOMEM) {
		struct service_parts parts = app_parts(app);

		service_check(&parts, mistakes);
	}
	if (!rc && mistakes->err)
		rc = err_set(err, mistakes->err, "configuration");
	if (!rc && mistakes->len > 0)
		rc = err_set(err, ERR_CONFIG, "configuration");
	return rc;
}

int
app_load(struct app *app, const char *path, bool all)
{
	struct buf mistakes = BUF_INIT(MISTAKES_MAX);
	struct err err = ERR_INIT;
	int status = 0;

	path = config_path(path);
	if (load(app, path, all, &mistakes, &err)) {
		fprintf(stderr, "%sgengate: the configuration is not usable%s%s; nothing was started\n",
			buf_str(&mistakes), path ? " with " : "", path ? path : "");
		if (!mistakes.len)
			fprintf(stderr, "gengate: %s\n", err.text);
		status = EXIT_CONFIG;
	}
	buf_clear(&mistakes);
	log_set_level((enum log_level)app->log.level);
	metrics_init(app->log.instance);
	return status;
}

int
app_become_user(const struct app *app)
{
	struct err err = ERR_INIT;

	if (privileges_become(app->process.user, &err) == ERR_OK)
		return 0;
	fprintf(stderr, "gengate: %s\n", err.text);
	return EXIT_CONFIG;
}

static enum err_code
open_log(const struct app *app, struct err *err)
{
	int fd = -1;

	if (app->log.file) {
		fd = open(app->log.file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
		if (fd < 0)
			return err_set(err, ERR_CONFIG, "log_file: %s: %s", app->log.file, strerror(errno));
	}
	log_set_file(fd);
	return ERR_OK;
}

int
app_open_log(const struct app *app)
{
	struct err err = ERR_INIT;

	if (open_log(app, &err) == ERR_OK)
		return 0;
	fprintf(stderr, "gengate: %s\n", err.text);
	return EXIT_CONFIG;
}

/* Lines, as one. */
static const char *
in_one_line(struct buf *lines)
{
	for (size_t i = 0; i < lines->len; i++)
		if (lines->p[i] == '\n')
			lines->p[i] = i + 1 < lines->len ? ';' : '\0';
	return buf_str(lines);
}

void
app_log_warnings(const struct app *app)
{
	struct buf lines = BUF_INIT(MISTAKES_MAX);

	buf_put(&lines, buf_str(&app->warnings), app->warnings.len);
	if (lines.len)
		log_event(LOG_WARN, "config.exposed", KV_STR("warnings", in_one_line(&lines)));
	buf_clear(&lines);
}

struct service_parts
app_parts(const struct app *app)
{
	return (struct service_parts){
		.settings = &app->core,
		.db = &app->db,
		.provider_settings = (const void *const *)app->provider_settings,
		.storage_settings = app->storage_settings[app->core.storage],
		.auth = &app->auth,
		.supabase = app->storage_settings[STORAGE_SUPABASE],
	};
}

static void
let_go(void *arg)
{
	struct app *app = arg;

	app_free(&app);
}

struct service_parts
app_parts_given(struct app *app)
{
	struct service_parts parts = app_parts(app);

	parts.let_go = let_go;
	parts.let_go_arg = app;
	return parts;
}

/* ---- once more, while it runs ---- */

/* next: filled, and freed if this fails. */
static enum err_code
replace(struct app *app, struct app *next, struct service **svc, struct err *err)
{
	struct buf changed = BUF_INIT(MISTAKES_MAX), kept = BUF_INIT(MISTAKES_MAX);
	struct service_parts parts = app_parts_given(next);
	enum err_code rc = cfg_follow(&app->cfg, &next->cfg, &changed, &kept, err);

	if (!rc)
		rc = open_log(next, err);
	if (!rc)
		rc = service_reload(svc, &parts, err);
	if (!rc) {
		log_set_level((enum log_level)next->log.level);
		log_event(LOG_INFO, "config.reloaded", KV_STR("changed", buf_str(&changed)));
	}
	if (!rc && kept.len > 0)
		log_event(LOG_WARN, "config.needs_restart", KV_STR("rows", buf_str(&kept)));
	if (!rc)
		app_log_warnings(next);
	buf_clear(&changed);
	buf_clear(&kept);
	return rc;
}

static void
hand_on(char ***from, char ***to)
{
	*to = *from;
	*from = NULL;
}

void
app_reload(struct app **app, const char *path, struct service **svc)
{
	struct buf mistakes = BUF_INIT(MISTAKES_MAX);
	struct err err = ERR_INIT;
	struct app *next = app_new();
	enum err_code rc = next ? ERR_OK : err_set(&err, ERR_NOMEM, "configuration");

	if (!rc) {
		hand_on(&(*app)->env, &next->env);
		rc = load(next, config_path(path), true, &mistakes, &err);
	}
	if (!rc)
		rc = replace(*app, next, svc, &err);
	if (!rc) {
		*app = next;
	} else {
		log_event(LOG_ERROR, "config.rejected",
			KV_STR("mistakes", mistakes.len ? in_one_line(&mistakes) : err.text));
		if (next)
			hand_on(&next->env, &(*app)->env);
		app_free(&next);
	}
	buf_clear(&mistakes);
}
