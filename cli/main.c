#include "config.h"

#include <stdio.h>

#include "base/json.h"
#include "cli/app.h"
#include "cli/commands.h"
#include "cli/privileges.h"

static int cmd_version(int argc, char **argv);
static int cmd_config(int argc, char **argv);

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{ "serve", cmd_serve,
	  "serve [--config FILE] [--listen unix:PATH|HOST:PORT [--mode OCTAL] [--replace]]\n"
	  "    Answer FastCGI requests and work on jobs, until SIGTERM.  Without\n"
	  "    --listen: on the listening socket that is descriptor 0.\n" },
	{ "work", cmd_work,
	  "work [--once] [--for DURATION] [--config FILE]\n"
	  "    Work on jobs without answering requests, until SIGTERM.  --once: until\n"
	  "    nothing is due, for 55s at most; for cron, beside plain CGI.\n" },
	{ "migrate", cmd_migrate,
	  "migrate [--config FILE]\n"
	  "    Bring the database's schema up to date.\n" },
	{ "check", cmd_check,
	  "check [--config FILE] [--json]\n"
	  "    Look at the configuration and at everything behind it: database, storage,\n"
	  "    provider, clock, public_url.  1: something is wrong; 78: the configuration.\n" },
	{ "jobs", cmd_jobs,
	  "jobs list [--owner USER] [--state STATE] [--status STATUS] [--older-than DURATION]\n"
	  "             [--limit N] | jobs show ID | jobs cancel ID | jobs resume ID |\n"
	  "             jobs settle ID --as failed|canceled --reason TEXT [--force]\n"
	  "    Look at anybody's jobs, and at all that happened to one; end one that is\n"
	  "    stuck, or have its next step taken now.  All take --json and --config FILE.\n"
	  "    1: it is not possible; 2: it was not said rightly.\n" },
	{ "provider", cmd_provider,
	  "provider list | pause NAME [--for DURATION] [--reason TEXT] | resume NAME\n"
	  "    Which providers are paused and why; give one no new jobs, until it is\n"
	  "    resumed or for some time.  [--config FILE] [--json]\n" },
	{ "models", cmd_models,
	  "models [--json] [--config FILE]\n"
	  "    The model profiles: where they go, what they take and what they cost.\n" },
	{ "config", cmd_config,
	  "config [--config FILE] | config --markdown\n"
	  "    Print the configuration in force (no secrets), or the page about it.\n" },
	{ "version", cmd_version,
	  "version\n"
	  "    Print the version.\n" },
};

#define N_COMMANDS (sizeof commands / sizeof *commands)

static int
cmd_version(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	puts(PACKAGE_STRING);
	return 0;
}

static int
print(void (*write)(const struct cfg *cfg, struct buf *out), const struct cfg *cfg)
{
	struct buf out = BUF_INIT(1 << 20);
	int status = 0;

	write(cfg, &out);
	if (out.err || fputs(buf_str(&out), stdout) == EOF || fflush(stdout))
		status = 1;
	buf_clear(&out);
	return status;
}

static int
cmd_config(int argc, char **argv)
{
	struct app *app = app_new();
	const char *path = NULL;
	bool markdown = argc == 2 && strcmp(argv[1], "--markdown") == 0;
	int status = 1;

	if (argc == 3 && strcmp(argv[1], "--config") == 0)
		path = argv[2];
	else if (argc != 1 && !markdown)
		status = EXIT_USAGE;
	if (status == EXIT_USAGE)
		fputs("gengate: see gengate --help\n", stderr);
	else if (app && markdown)
		status = print(cfg_print_markdown, &app->cfg);
	else if (app && (status = app_load(app, path, true)) == 0)
		status = print(cfg_print_values, &app->cfg);
	app_free(&app);
	return status;
}

static int
help(void)
{
	struct app *app = app_new();
	int status = 1;

	puts("gengate: a generation gateway behind nginx\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		printf("gengate %s", commands[i].help);
	puts("\nThe configuration is read from --config, $GENGATE_CONFIG or\n"
		GENGATE_SYSCONFDIR "/gengate.conf; GENGATE_<NAME> in the environment wins.\n");
	if (app)
		status = print(cfg_print_help, &app->cfg);
	app_free(&app);
	return status;
}

int
main(int argc, char **argv)
{
	static char serve_name[] = "serve";
	static char *serve_argv[] = { serve_name, NULL };

	privileges_limit();
	json_use_mem();
	/* Started by spawn-fcgi, systemd or a web server; or for one request.  A
	 * CGI program's arguments are the client's: a query without "=" is handed
	 * over as words (RFC 3875 section 4.4). */
	if (argc == 1 && listen_is_listening(0))
		return cmd_serve(1, serve_argv);
	if (getenv("GATEWAY_INTERFACE") && !listen_is_listening(0))
		return cmd_cgi();
	if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0))
		return help();
	if (argc >= 2 && strcmp(argv[1], "--version") == 0)
		return cmd_version(argc, argv);
	for (size_t i = 0; argc >= 2 && i < N_COMMANDS; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	if (argc >= 2)
		fprintf(stderr, "gengate: there is no command \"%s\"\n", argv[1]);
	fputs("usage: gengate serve | work | migrate | check | jobs | provider | models | config | version; gengate --help says more\n", stderr);
	return EXIT_USAGE;
}
