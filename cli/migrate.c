#include "config.h"

#include <stdio.h>

#include "cli/app.h"
#include "cli/commands.h"
#include "db/migrate.h"

static int
migrate(const struct app *app)
{
	struct err err = ERR_INIT;
	int applied = 0;

	if (db_migrate(&app->db, &applied, &err)) {
		fprintf(stderr, "gengate: %s\n", err.text);
		return err.code == ERR_CONFIG ? EXIT_CONFIG : 1;
	}
	printf("gengate: schema %d, %d %s applied now\n", migration_newest(), applied,
		applied == 1 ? "migration" : "migrations");
	return 0;
}

int
cmd_migrate(int argc, char **argv)
{
	struct app *app;
	int status;

	if (argc != 1 && !(argc == 3 && strcmp(argv[1], "--config") == 0)) {
		fputs("usage: gengate migrate [--config FILE]\n", stderr);
		return EXIT_USAGE;
	}
	app = app_new();
	if (!app)
		return 1;
	status = app_load(app, argc == 3 ? argv[2] : NULL, false);
	if (status == 0)
		status = migrate(app);
	app_free(&app);
	return status;
}
