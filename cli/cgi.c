/* One CGI request. */
#include "config.h"

#include "fcgi/cgi.h"

#include "base/log.h"
#include "cli/app.h"
#include "cli/commands.h"

static enum err_code
serve(struct app *app, struct err *err)
{
	struct service_parts parts = app_parts(app);
	struct service *svc = NULL;
	enum err_code rc;

	parts.lazy_http = true;
	/* Each statement runs once here: preparing it first would cost a round trip. */
	app->db.named_statements = false;
	rc = service_new(&parts, &svc, err);
	if (!rc)
		cgi_serve(svc, &parts);
	service_free(&svc);
	return rc;
}

int
cmd_cgi(void)
{
	struct err err = ERR_INIT;
	struct app *app;
	int status;

	cgi_close_inherited();
	app = app_new();
	status = app ? app_load(app, NULL, true) : 1;
	if (status == 0)
		status = app_become_user(app);
	if (status == 0)
		status = app_open_log(app);
	if (status == 0 && serve(app, &err)) {
		log_event(LOG_ERROR, "server.failed", KV_STR("error", err.text));
		status = 1;
	}
	if (status)
		cgi_refuse();
	app_free(&app);
	/* The server has its answer; a status would be one more line in its log. */
	return 0;
}
