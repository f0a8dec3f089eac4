/*
 * The configuration file; behind a line "---" the environment, a variable a line.
 * All rows of the program.  What was read and is written down again is read as the
 * same, secrets apart.
 */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include "cli/app.h"
#include "providers/adapter.h"

#define ENV_MAX 64

static void
set_env(char *text, char *env[ENV_MAX + 1])
{
	size_t n = 0;

	for (char *line = text; line && n < ENV_MAX; n++) {
		char *end = strchr(line, '\n');

		if (end)
			*end++ = '\0';
		/* What names a file leads out of here. */
		if (!strstr(line, "_FILE="))
			env[n] = line;
		else
			n--;
		line = end;
	}
	env[n] = NULL;
}

/* As the file would have it, without comments: what they say of secrets is not to be
 * read again. */
static char *
values_of(const struct app *app)
{
	struct buf all = BUF_INIT(4000000), text = BUF_INIT(4000000);
	struct input in;
	char *ret;

	cfg_print_values(&app->cfg, &all);
	MUST(!all.err);
	in = (struct input)INPUT(buf_str(&all), all.len);
	while (in.len > 0) {
		char *line = input_line(&in);

		if (line[0] && line[0] != '#')
			buf_printf(&text, "%s\n", line);
		mem_free(line);
	}
	ret = buf_take(&text);
	MUST(ret);
	buf_clear(&all);
	return ret;
}

static void
is_same_again(const struct app *app)
{
	static char *env[] = {
		(char *)"GENGATE_DATABASE_URL=postgresql:///x",
		(char *)"GENGATE_SECRET_KEY=a secret key of the fuzz targets", NULL,
	};
	struct app *again = app_new();
	struct buf mistakes = BUF_INIT(65536);
	char *once = values_of(app), *twice;

	MUST(again);
	MUST(cfg_load(&again->cfg, file_of(once, strlen(once)), env, &mistakes, NULL) == ERR_OK);
	twice = values_of(again);
	MUST(strcmp(once, twice) == 0);
	mem_free(once);
	mem_free(twice);
	buf_clear(&mistakes);
	app_free(&again);
}

/* Combinations, too, but for what is behind models_file: that is a target of its own. */
static void
check(struct app *app)
{
	struct buf mistakes = BUF_INIT(65536);
	struct service_parts parts = app_parts(app);

	settings_check(&app->core, &mistakes);
	auth_check(&app->auth, parts.supabase, &mistakes);
	for (size_t i = 0; i < provider_count(); i++)
		if (provider_at(i)->check)
			adapter_check(provider_at(i), app->provider_settings[i], &mistakes);
	for (size_t i = 0; storages[i]; i++)
		if (storages[i]->check)
			storages[i]->check(app->storage_settings[i], &mistakes);
	MUST(!mistakes.len || mistakes.p[mistakes.len - 1] == '\n');
	buf_clear(&mistakes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char between[] = "\n---\n";
	struct input in = INPUT(data, size);
	struct app *app = app_new();
	struct buf mistakes = BUF_INIT(65536);
	struct err err = ERR_INIT;
	char *text = input_rest(&in), *behind = strstr(text, between), *env[ENV_MAX + 1] = { NULL };
	size_t len = behind ? (size_t)(behind - text) + 1 : size;
	enum err_code rc;

	fuzz_begin();
	MUST(app);
	if (behind)
		set_env(behind + sizeof between - 1, env);
	rc = cfg_load(&app->cfg, file_of(text, len), env, &mistakes, &err);
	MUST(rc == ERR_OK || rc == ERR_CONFIG);
	MUST_SAY(rc, &err);
	MUST((rc == ERR_CONFIG) == (mistakes.len > 0));
	MUST(!mistakes.len || mistakes.p[mistakes.len - 1] == '\n');
	MUST(is_utf8(buf_str(&mistakes), mistakes.len));
	if (!rc) {
		is_same_again(app);
		check(app);
	}
	buf_clear(&mistakes);
	app_free(&app);
	mem_free(text);
	return 0;
}
