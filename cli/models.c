/* The model profiles: which there are, where they go, what they take and cost. */
#include "config.h"

#include <jansson.h>
#include <stdio.h>

#include "cli/app.h"
#include "cli/commands.h"
#include "core/models.h"

static int
usage(void)
{
	fputs("usage: gengate models [--json] [--config FILE]\n", stderr);
	return EXIT_USAGE;
}

static void
print_providers(const struct model *model)
{
	const char *name;

	if (!model_provider(model, 0))
		printf("  not offered: it has nothing for %s", model->provider);
	for (size_t i = 0; (name = model_provider(model, i)); i++) {
		const json_t *price = model_price(model, name);

		printf("%s%s", i ? ", then " : "  at ", name);
		if (price)
			printf(" (%g %s per %s)", json_number_value(json_object_get(price, "amount")),
				json_string_value(json_object_get(price, "currency")),
				json_string_value(json_object_get(price, "per")));
	}
	puts("");
}

static void
print_limits(const struct model *model)
{
	const json_t *ratios = json_object_get(model->profile, "aspect_ratios");
	const char *name;
	json_t *size;

	printf("  at most %llu outputs and %llu inputs", (unsigned long long)model->max_count,
		(unsigned long long)model->max_inputs);
	if (model->timeout_ms)
		printf(", %llu s", (unsigned long long)model->timeout_ms / 1000);
	if (ratios)
		printf("; aspect ratios");
	json_object_foreach((json_t *)(uintptr_t)ratios, name, size)
		printf(" %s", name);
	puts("");
}

static void
print_model(const struct model *model)
{
	const char *description = json_string_value(json_object_get(model->profile, "description"));

	printf("%s%s%s\n", model->name, description ? ": " : "", description ? description : "");
	print_providers(model);
	print_limits(model);
}

static int
print_text(const struct models *models, const json_t *all)
{
	struct model model;
	const char *name;
	json_t *profile;

	json_object_foreach((json_t *)(uintptr_t)all, name, profile)
		if (models_find(models, name, &model))
			print_model(&model);
	return ferror(stdout) ? 1 : 0;
}

static int
print_json(const struct models *models, json_t *all)
{
	struct model model;
	const char *name, *provider;
	json_t *profile;
	int rc = 0;

	/* The order is told also where it is the configuration's. */
	json_object_foreach(all, name, profile) {
		json_t *order = json_array();

		for (size_t i = 0; models_find(models, name, &model) && (provider = model_provider(&model, i)); i++)
			rc |= json_array_append_new(order, json_string(provider));
		rc |= json_object_set_new(profile, "order", order);
	}
	if (!rc)
		rc = json_dumpf(all, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15));
	return rc || puts("") == EOF ? 1 : 0;
}

static int
run(const struct app *app, bool json)
{
	struct buf mistakes = BUF_INIT(65536);
	struct models *models = NULL;
	struct err err = ERR_INIT;
	json_t *all = NULL;
	enum err_code rc = models_load(app->core.models_file, app->core.provider, &models, &mistakes, &err);
	int status = rc ? EXIT_CONFIG : 1;

	if (!rc && !(all = models_describe(models)))
		rc = err_set(&err, ERR_NOMEM, "models");
	if (rc)
		fprintf(stderr, "%sgengate: %s\n", buf_str(&mistakes), err.text);
	else
		status = json ? print_json(models, all) : print_text(models, all);
	json_decref(all);
	models_free(&models);
	buf_clear(&mistakes);
	return status;
}

int
cmd_models(int argc, char **argv)
{
	const char *config = NULL;
	bool json = false;
	struct app *app;
	int status;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			json = true;
		else if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
			config = argv[++i];
		else
			return usage();
	}
	app = app_new();
	if (!app)
		return 1;
	status = app_load(app, config, true);
	if (status == 0)
		status = run(app, json);
	app_free(&app);
	return status;
}
