/* What an operator says of providers: list, pause, resume. */
#include "config.h"

#include <jansson.h>
#include <stdio.h>

#include "base/clock.h"
#include "cli/app.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "core/pause.h"

#define DEFAULT_REASON "by an operator"
#define REASON_MAX 1000

struct options {
	enum { LIST, PAUSE, RESUME } verb;
	const char *config;
	const char *name;		/* PAUSE, RESUME */
	const char *reason;
	uint64_t for_ms;		/* 0: until it is resumed */
	bool json;
};

static int
usage(void)
{
	fputs("usage: gengate provider list [--json] [--config FILE]\n"
		"       gengate provider pause NAME [--for DURATION] [--reason TEXT] [--json] [--config FILE]\n"
		"       gengate provider resume NAME [--json] [--config FILE]\n", stderr);
	return EXIT_USAGE;
}

static bool
parse_verb(const char *word, struct options *ret)
{
	static const char *const verbs[] = { [LIST] = "list", [PAUSE] = "pause", [RESUME] = "resume" };

	for (size_t i = 0; word && i < sizeof verbs / sizeof *verbs; i++)
		if (strcmp(word, verbs[i]) == 0) {
			ret->verb = i;
			return true;
		}
	return false;
}

static bool
parse_duration(const char *text, uint64_t *ret)
{
	struct err err = ERR_INIT;

	if (!cfg_parse_duration(text, ret, &err) && *ret)
		return true;
	fprintf(stderr, "gengate: --for: %s\n", err.code ? err.text : "has to be more than 0");
	return false;
}

static bool
parse_options(int argc, char **argv, struct options *ret)
{
	if (!parse_verb(argc > 1 ? argv[1] : NULL, ret))
		return false;
	for (int i = 2; i < argc; i++) {
		bool pauses = ret->verb == PAUSE && i + 1 < argc;

		if (strcmp(argv[i], "--json") == 0)
			ret->json = true;
		else if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
			ret->config = argv[++i];
		else if (strcmp(argv[i], "--reason") == 0 && pauses)
			ret->reason = argv[++i];
		else if (strcmp(argv[i], "--for") == 0 && pauses) {
			if (!parse_duration(argv[++i], &ret->for_ms))
				return false;
		} else if (argv[i][0] != '-' && ret->verb != LIST && !ret->name)
			ret->name = argv[i];
		else
			return false;
	}
	return ret->verb == LIST || ret->name;
}

/* ---- list ---- */

static const char *
time_text(int64_t us, char out[RFC3339_SIZE])
{
	if (us == PAUSE_WITHOUT_END)
		return NULL;
	rfc3339_format(us, out);
	return out;
}

static json_t *
pause_json(const struct pause *pause)
{
	char since[RFC3339_SIZE], until[RFC3339_SIZE];

	return json_pack("{ss, sb, ss, ss, ss?, sb, sI}", "reason", pause->reason,
		"operator", pause->by_operator, "by", pause->by, "since", time_text(pause->since_us, since),
		"until", time_text(pause->until_us, until), "probed", pause->probed,
		"failed_probes", (json_int_t)pause->rounds);
}

static void
print_pause(const char *name, const struct pause *pause)
{
	char since[RFC3339_SIZE], until[RFC3339_SIZE];
	const char *end = time_text(pause->until_us, until);
	struct buf reason = BUF_INIT(4096);

	terminal_put(&reason, pause->reason, REASON_MAX);
	printf("%-12s paused since %s, until %s\n", name, time_text(pause->since_us, since),
		end ? end : "it is resumed");
	printf("%-12s %s %s: %s\n", "", pause->by_operator ? "by an operator at" : "by", pause->by, buf_str(&reason));
	if (pause->probed)
		printf("%-12s a job tries just now whether it may end\n", "");
	else if (pause->left_ms <= 0)
		printf("%-12s the next job tries whether it may end\n", "");
	if (pause->rounds > 0)
		printf("%-12s %lld %s failed so far\n", "", (long long)pause->rounds,
			pause->rounds == 1 ? "try" : "tries");
	buf_clear(&reason);
}

/* One provider, with its pause or NULL; lines: NULL for text. */
static void
say(const struct service *svc, const struct provider *p, const struct pause *pause, json_t *lines)
{
	bool in_use = models_use(svc->models, p->name);

	if (lines)
		json_array_append_new(lines, json_pack("{ss, sb, so}", "name", p->name, "in_use", in_use,
			"pause", pause ? pause_json(pause) : json_null()));
	else if (pause)
		print_pause(p->name, pause);
	else
		printf("%-12s %s\n", p->name, in_use ? "takes new jobs" : "not in use");
}

static enum err_code
list(struct service *svc, json_t *lines, struct err *err)
{
	struct pause *pauses = NULL;
	size_t n = 0;
	enum err_code rc = pauses_load(svc->db, &pauses, &n, err);

	for (size_t i = 0; !rc && i < provider_count(); i++) {
		const struct provider *p = provider_at(i);
		const struct pause *pause = NULL;

		for (size_t k = 0; k < n; k++)
			if (strcmp(pauses[k].provider, p->name) == 0)
				pause = &pauses[k];
		say(svc, p, pause, lines);
	}
	pauses_clear(&pauses, n);
	return rc;
}

/* ---- all three ---- */

static int
print_json(json_t *lines)
{
	json_t *doc = json_pack("{sO}", "providers", lines);
	int rc = doc ? json_dumpf(doc, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII) : -1;

	json_decref(doc);
	return rc || puts("") == EOF ? 1 : 0;
}

/* What changes something is shown afterwards. */
static enum err_code
carry_out(struct service *svc, const struct options *opt, json_t *lines, struct err *err)
{
	const void *settings;
	const struct provider *p = opt->name ? service_provider(svc, opt->name, &settings) : NULL;
	enum err_code rc = ERR_OK;

	if (opt->name && !p)
		return err_set(err, ERR_NOT_FOUND, "there is no provider \"%s\"", opt->name);
	if (opt->verb == PAUSE)
		rc = pause_order(svc, p, opt->reason ? opt->reason : DEFAULT_REASON, opt->for_ms, err);
	else if (opt->verb == RESUME)
		rc = pause_resume(svc, p, err);
	if (rc == ERR_NOT_FOUND)
		rc = err_set(err, rc, "%s is not paused", opt->name);
	return rc ? rc : list(svc, lines, err);
}

static int
run(const struct app *app, const struct options *opt)
{
	struct service_parts parts = app_parts(app);
	struct service *svc = NULL;
	struct err err = ERR_INIT;
	json_t *lines = opt->json ? json_array() : NULL;
	enum err_code rc;

	parts.lazy_http = true;		/* nobody is asked but the database */
	rc = service_new(&parts, &svc, &err);
	if (!rc)
		rc = carry_out(svc, opt, lines, &err);
	if (rc)
		fprintf(stderr, "gengate: %s\n", err.text);
	else if (opt->json && print_json(lines))
		rc = ERR_INTERNAL;
	service_free(&svc);
	json_decref(lines);
	return rc ? 1 : 0;
}

int
cmd_provider(int argc, char **argv)
{
	struct options opt = { .verb = LIST };
	struct app *app;
	int status;

	if (!parse_options(argc, argv, &opt))
		return usage();
	app = app_new();
	if (!app)
		return 1;
	status = app_load(app, opt.config, true);
	if (status == 0)
		status = run(app, &opt);
	app_free(&app);
	return status;
}
