/* What operators see of jobs, and do with them. */
#include "config.h"

#include "cli/jobs.h"

#include <stdio.h>

#include "base/log.h"
#include "cli/app.h"
#include "cli/commands.h"
#include "core/operator.h"

/* These commands' own: 0 done, 1 not possible, 2 not said rightly. */
#define EXIT_IMPOSSIBLE 1

#define LIMIT_DEFAULT 50
#define LIMIT_MAX 10000

static const char usage[] =
	"usage: gengate jobs list [--owner USER] [--state STATE] [--status STATUS] [--older-than DURATION] [--limit N]\n"
	"       gengate jobs show ID\n"
	"       gengate jobs cancel ID [--reason TEXT]\n"
	"       gengate jobs settle ID --as failed|canceled --reason TEXT [--force]\n"
	"       gengate jobs resume ID [--reason TEXT]\n"
	"All take --json and --config FILE; those with an ID, its first characters will do, --owner USER.\n";

struct options {
	const char *config, *id, *reason, *as;
	bool json, force;
	struct operator_filter filter;
};

/* What one of the commands found or did; owned by the caller. */
typedef enum err_code run_command(struct service *svc, const struct options *opt, json_t **ret,
	struct err *err);

static run_command run_list, run_show, run_cancel, run_settle, run_resume;

static void
print_done(const json_t *doc)
{
	puts(json_string_value(json_object_get(doc, "message")));
}

/* What may follow, besides what may always. */
enum { ID = 1, FILTERS = 2, REASON = 4, AS = 8 };

static const struct command {
	const char *name;
	unsigned takes;
	run_command *run;
	void (*print)(const json_t *doc);
} commands[] = {
	{ "list", FILTERS, run_list, jobs_print_list },
	{ "show", ID, run_show, jobs_print_one },
	{ "cancel", ID | REASON, run_cancel, print_done },
	{ "settle", ID | REASON | AS, run_settle, print_done },
	{ "resume", ID | REASON, run_resume, print_done },
};

/* ---- the words ---- */

static bool
parse_limit(const char *text, struct operator_filter *filter)
{
	uint64_t n;

	if (parse_u64(text, strlen(text), 1, LIMIT_MAX, &n)) {
		fprintf(stderr, "gengate: --limit: \"%s\" is no number from 1 to %d\n", text, LIMIT_MAX);
		return false;
	}
	filter->max = (size_t)n;
	return true;
}

static bool
parse_age(const char *text, struct operator_filter *filter)
{
	struct err err = ERR_INIT;

	if (cfg_parse_duration(text, &filter->age_ms, &err)) {
		fprintf(stderr, "gengate: --older-than: %s\n", err.text);
		return false;
	}
	filter->has_age = true;
	return true;
}

/* A word with a value. */
static bool
parse_pair(const struct command *cmd, const char *name, const char *value, struct options *ret)
{
	const struct {
		const char *name;
		unsigned for_whom;
		const char **to;
		bool (*parse)(const char *text, struct operator_filter *filter);
	} pairs[] = {
		{ "--config", ~0u, &ret->config, NULL },
		{ "--owner", FILTERS | ID, &ret->filter.owner, NULL },
		{ "--state", FILTERS, &ret->filter.state, NULL },
		{ "--status", FILTERS, &ret->filter.status, NULL },
		{ "--older-than", FILTERS, NULL, parse_age },
		{ "--limit", FILTERS, NULL, parse_limit },
		{ "--reason", REASON, &ret->reason, NULL },
		{ "--as", AS, &ret->as, NULL },
	};

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		if (strcmp(name, pairs[i].name) != 0 || !(cmd->takes & pairs[i].for_whom))
			continue;
		if (pairs[i].parse)
			return pairs[i].parse(value, &ret->filter);
		*pairs[i].to = value;
		return true;
	}
	return false;
}

static bool
is_complete(const struct command *cmd, const struct options *opt)
{
	if (cmd->takes & ID && !opt->id)
		return false;
	if (!(cmd->takes & AS))
		return true;
	return opt->as && (strcmp(opt->as, "failed") == 0 || strcmp(opt->as, "canceled") == 0) &&
		opt->reason && *opt->reason;
}

static bool
parse_options(const struct command *cmd, int argc, char **argv, struct options *ret)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			ret->json = true;
		else if (strcmp(argv[i], "--force") == 0 && cmd->takes & AS)
			ret->force = true;
		else if (argv[i][0] != '-' && cmd->takes & ID && !ret->id)
			ret->id = argv[i];
		else if (i + 1 == argc || !parse_pair(cmd, argv[i], argv[i + 1], ret))
			return false;
		else
			i++;
	}
	return is_complete(cmd, ret);
}

/* ---- the commands ---- */

static enum err_code
run_list(struct service *svc, const struct options *opt, json_t **ret, struct err *err)
{
	return operator_list(svc, &opt->filter, ret, err);
}

static enum err_code
run_show(struct service *svc, const struct options *opt, json_t **ret, struct err *err)
{
	struct job_name job;
	enum err_code rc = operator_find(svc, opt->id, opt->filter.owner, &job, err);

	return rc ? rc : operator_show(svc, &job, ret, err);
}

/* {"id", "owner", "done", "message"} */
static enum err_code
say(const struct job_name *job, enum operator_did did, json_t **ret, struct err *err)
{
	static const struct { const char *word, *message; } dids[] = {
		[OPERATOR_ENDED] = { "ended", "it has ended" },
		[OPERATOR_ASKED] = { "asked", "it is to end: the provider is asked by who works on it" },
		[OPERATOR_DUE] = { "due", "it is due now" },
		[OPERATOR_LEASED] = { "leased", "it is due now; somebody is at work on it, until its lease is over at the latest" },
	};
	char id[UUID_TEXT_SIZE], owner[UUID_TEXT_SIZE];

	uuid_format(&job->id, id);
	uuid_format(&job->owner, owner);
	*ret = json_pack("{ss, ss, ss, so}", "id", id, "owner", owner, "done", dids[did].word,
		"message", json_sprintf("job %s: %s", id, dids[did].message));
	return *ret ? ERR_OK : err_set(err, ERR_NOMEM, "job %s", id);
}

static enum err_code
run_cancel(struct service *svc, const struct options *opt, json_t **ret, struct err *err)
{
	struct job_name job;
	enum operator_did did;
	enum err_code rc = operator_find(svc, opt->id, opt->filter.owner, &job, err);

	if (!rc)
		rc = operator_cancel(svc, &job, opt->reason, &did, err);
	return rc ? rc : say(&job, did, ret, err);
}

static enum err_code
run_settle(struct service *svc, const struct options *opt, json_t **ret, struct err *err)
{
	enum gen_status as = strcmp(opt->as, "failed") == 0 ? GEN_FAILED : GEN_CANCELED;
	struct job_name job;
	enum operator_did did;
	enum err_code rc = operator_find(svc, opt->id, opt->filter.owner, &job, err);

	if (!rc)
		rc = operator_settle(svc, &job, as, opt->reason, opt->force, &did, err);
	return rc ? rc : say(&job, did, ret, err);
}

static enum err_code
run_resume(struct service *svc, const struct options *opt, json_t **ret, struct err *err)
{
	struct job_name job;
	enum operator_did did;
	enum err_code rc = operator_find(svc, opt->id, opt->filter.owner, &job, err);

	if (!rc)
		rc = operator_resume(svc, &job, opt->reason, &did, err);
	return rc ? rc : say(&job, did, ret, err);
}

/* ---- around them ---- */

static bool
print_json(const json_t *doc)
{
	return doc && json_dumpf(doc, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII) == 0 && puts("") != EOF;
}

static int
refuse(const struct options *opt, const struct err *err)
{
	json_t *doc = opt->json ? json_pack("{s{ss, ss}}", "error", "code", err_name(err->code),
		"message", err->text) : NULL;

	fprintf(stderr, "gengate: %s\n", err->text);
	if (doc)
		(void)print_json(doc);
	json_decref(doc);
	return err->code == ERR_INVALID ? EXIT_USAGE : EXIT_IMPOSSIBLE;
}

static int
run(struct app *app, const struct command *cmd, const struct options *opt)
{
	struct service_parts parts = app_parts(app);
	struct service *svc = NULL;
	struct err err = ERR_INIT;
	json_t *doc = NULL;
	int status = 0;
	enum err_code rc;

	parts.lazy_http = true;		/* nobody is asked over HTTP */
	app->db.named_statements = false;	/* each runs once */
	rc = service_new(&parts, &svc, &err);
	if (!rc)
		rc = cmd->run(svc, opt, &doc, &err);
	if (rc)
		status = refuse(opt, &err);
	else if (opt->json)
		status = print_json(doc) ? 0 : EXIT_IMPOSSIBLE;
	else
		cmd->print(doc);
	json_decref(doc);
	service_free(&svc);
	return fflush(stdout) ? EXIT_IMPOSSIBLE : status;
}

static const struct command *
find_command(const char *name)
{
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (strcmp(name, commands[i].name) == 0)
			return &commands[i];
	return NULL;
}

int
cmd_jobs(int argc, char **argv)
{
	struct options opt = { .filter = { .max = LIMIT_DEFAULT } };
	const struct command *cmd = argc >= 2 ? find_command(argv[1]) : NULL;
	struct app *app;
	int status;

	if (!cmd || !parse_options(cmd, argc - 1, argv + 1, &opt)) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	app = app_new();
	if (!app)
		return EXIT_IMPOSSIBLE;
	status = app_load(app, opt.config, true);
	/* What was done is said in words here; the trail has it, too. */
	log_set_level(LOG_ERROR);
	if (status == 0)
		status = run(app, cmd, &opt);
	app_free(&app);
	return status;
}
