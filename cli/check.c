#include "config.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cli/app.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "core/check.h"

#define TEXT_MAX 1000

struct options {
	const char *config;
	bool json;
};

static const char *const words[] = {
	[CHECK_GOOD] = "ok", [CHECK_NOTE] = "note", [CHECK_WRONG] = "wrong", [CHECK_SKIPPED] = "skipped",
};

static bool
parse_options(int argc, char **argv, struct options *ret)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			ret->json = true;
		else if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
			ret->config = argv[++i];
		else
			return false;
	}
	return true;
}

/* The text may have what a server answered, a web page even. */
static void
say_text(void *ctx, const struct check_line *line)
{
	struct buf text = BUF_INIT(4096);

	(void)ctx;
	terminal_put(&text, line->text, TEXT_MAX);
	printf("%-8s %-15s %s\n", words[line->state], line->name, buf_str(&text));
	if (line->remedy)
		printf("%24s %s\n", "->", line->remedy);
	fflush(stdout);
	buf_clear(&text);
}

static void
say_json(void *ctx, const struct check_line *line)
{
	json_array_append_new(ctx, json_pack("{ss, ss, ss, ss?}", "name", line->name,
		"state", words[line->state], "text", line->text, "remedy", line->remedy));
}

static int
print_json(json_t *lines, bool good)
{
	json_t *doc = json_pack("{sb, sO}", "ok", good, "checks", lines);
	int rc = doc ? json_dumpf(doc, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII) : -1;

	json_decref(doc);
	return rc || puts("") == EOF ? 1 : 0;
}

/* Each of its lines. */
static void
say_warnings(const struct app *app, check_say *say, void *ctx)
{
	struct check_line line = {
		.name = "secrets", .state = CHECK_NOTE,
		.remedy = "take it away from everybody, and renew the secret if others have been here",
	};
	struct buf text = BUF_INIT(4096);

	for (const char *p = buf_str(&app->warnings); *p; p += strcspn(p, "\n") + 1) {
		buf_reset(&text);
		buf_put(&text, p, strcspn(p, "\n"));
		line.text = text.err ? "a file with secrets is open to everybody" : buf_str(&text);
		say(ctx, &line);
	}
	buf_clear(&text);
}

static int
look(const struct app *app, bool json, json_t *lines)
{
	static const struct check_line configuration = {
		.name = "configuration", .state = CHECK_GOOD, .text = "it can be used",
	};
	struct service_parts parts = app_parts(app);
	struct service *svc = NULL;
	struct err err = ERR_INIT;
	check_say *say = json ? say_json : say_text;
	size_t wrong = 1;

	if (http_global_init(&err) || service_new(&parts, &svc, &err)) {
		fprintf(stderr, "gengate: %s\n", err.text);
		return 1;
	}
	say(lines, &configuration);
	say_warnings(app, say, lines);
	wrong = service_try_all(svc, say, lines);
	service_free(&svc);
	http_global_cleanup();
	if (json && print_json(lines, wrong == 0))
		return 1;
	return wrong ? 1 : 0;
}

int
cmd_check(int argc, char **argv)
{
	static const struct check_line mistakes = {
		.name = "configuration", .state = CHECK_WRONG, .text = "it cannot be used: see standard error",
		.remedy = "mend what is said there",
	};
	struct options opt = { .config = NULL };
	struct app *app;
	json_t *lines;
	int status;

	if (!parse_options(argc, argv, &opt)) {
		fputs("usage: gengate check [--config FILE] [--json]\n", stderr);
		return EXIT_USAGE;
	}
	app = app_new();
	lines = json_array();
	if (!app || !lines) {
		json_decref(lines);
		app_free(&app);
		return 1;
	}
	status = app_load(app, opt.config, true);
	if (status == 0) {
		status = look(app, opt.json, lines);
	} else if (opt.json) {
		say_json(lines, &mistakes);
		if (print_json(lines, false))
			status = 1;
	}
	json_decref(lines);
	app_free(&app);
	return status;
}
