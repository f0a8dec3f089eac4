#include "config.h"

#include "core/models.h"

#include "base/cfg.h"
#include "providers/provider.h"

#define DEFAULT_MAX_COUNT 4
#define DEPTH_MAX 16
#define TIMEOUT_MAX_MS (24 * 3600 * 1000)	/* as job_timeout */

struct models {
	json_t *doc;
	char *path;
};

/* What a profile may hold; the provider's part is the provider's own. */
static const char *const members[] = { "limits", "timeout", "on", "description", NULL };

/* What "$name" may stand for; metadata is never sent. */
static const char *const names[] = { "prompt", "negative_prompt", "aspect_ratio", "width", "height",
	"count", "seed", "format", "input", "inputs", "model", "params", NULL };

static bool
is_one_of(const char *name, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(name, *list) == 0)
			return true;
	return false;
}

/* "5m" to milliseconds. */
static bool
parse_timeout(const json_t *value, uint64_t *ret)
{
	static const struct { const char *unit; uint64_t ms; } units[] = {
		{ "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 },
	};
	const char *s = json_string_value(value);
	size_t digits = s ? strspn(s, "0123456789") : 0;
	uint64_t n;

	if (!digits || parse_u64(s, digits, 1, 86400, &n))
		return false;
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (strcmp(s + digits, units[i].unit) == 0 && n <= TIMEOUT_MAX_MS / units[i].ms) {
			*ret = n * units[i].ms;
			return true;
		}
	return false;
}

static uint64_t
limit(const json_t *profile, const char *name, uint64_t if_absent)
{
	const json_t *v = json_object_get(json_object_get(profile, "limits"), name);

	return json_is_integer(v) ? (uint64_t)json_integer_value(v) : if_absent;
}

static void
check_limits(const char *where, const json_t *limits, struct buf *mistakes)
{
	static const char *const known[] = { "count", "inputs", NULL };
	const char *name;
	json_t *value;

	if (limits && !json_is_object(limits)) {
		cfg_mistake(mistakes, where, "limits has to be an object");
		return;
	}
	json_object_foreach((json_t *)limits, name, value) {
		/* Of a count of none nothing could come. */
		int min = strcmp(name, "count") == 0;

		if (!is_one_of(name, known))
			cfg_mistake(mistakes, where, "limits has an unknown member \"%s\"; known are count and inputs", name);
		else if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > 100)
			cfg_mistake(mistakes, where, "limits.%s has to be a whole number from %d to 100", name, min);
	}
}

/* Words that nothing stands for would be left out without a sound. */
static void
check_template(const char *where, const json_t *tmpl, int depth, struct buf *mistakes)
{
	const char *s = json_string_value(tmpl), *name;
	json_t *member;
	size_t i;

	if (depth > DEPTH_MAX) {
		cfg_mistake(mistakes, where, "the template nests deeper than %d", DEPTH_MAX);
		return;
	}
	if (s && s[0] == '$' && s[1] != '$' && !is_one_of(s + 1, names))
		cfg_mistake(mistakes, where, "\"%s\" stands for nothing in a request; write \"$%s\" for the text itself", s, s);
	json_object_foreach((json_t *)tmpl, name, member)
		check_template(where, member, depth + 1, mistakes);
	json_array_foreach((json_t *)tmpl, i, member)
		check_template(where, member, depth + 1, mistakes);
}

/* What the provider itself takes is its own to check. */
static void
check_part(const char *where, const char *name, const json_t *part, struct buf *mistakes)
{
	const struct provider *p = provider_by_name(name);
	struct buf here = BUF_INIT(4096);

	buf_printf(&here, "%s: on.%s", where, name);
	if (!json_is_object(part))
		cfg_mistake(mistakes, buf_str(&here), "has to be an object");
	else if (p)
		p->check_profile(part, buf_str(&here), mistakes);
	check_template(where, part, 0, mistakes);
	buf_clear(&here);
}

static void
check_on(const char *where, const json_t *on, const char *provider, struct buf *mistakes)
{
	const char *name;
	json_t *part;

	if (!json_is_object(on))
		cfg_mistake(mistakes, where, "\"on\" has to be an object with a member for each provider");
	else if (!json_object_get(on, provider))
		cfg_mistake(mistakes, where, "\"on\" has nothing for the provider \"%s\"", provider);
	json_object_foreach((json_t *)on, name, part)
		check_part(where, name, part, mistakes);
}

static void
check_profile(const char *path, const char *name, const json_t *profile, const char *provider,
	struct buf *mistakes)
{
	struct buf where = BUF_INIT(4096);
	const char *member;
	json_t *value;
	uint64_t ms;

	buf_printf(&where, "%s: model \"%s\"", path, name);
	if (!json_is_object(profile)) {
		cfg_mistake(mistakes, buf_str(&where), "has to be an object");
		buf_clear(&where);
		return;
	}
	json_object_foreach((json_t *)profile, member, value)
		if (!is_one_of(member, members))
			cfg_mistake(mistakes, buf_str(&where), "has an unknown member \"%s\"", member);
	value = json_object_get(profile, "timeout");
	if (value && !parse_timeout(value, &ms))
		cfg_mistake(mistakes, buf_str(&where), "timeout has to be a duration such as \"90s\" or \"5m\", at most a day");
	check_limits(buf_str(&where), json_object_get(profile, "limits"), mistakes);
	check_on(buf_str(&where), json_object_get(profile, "on"), provider, mistakes);
	buf_clear(&where);
}

enum err_code
models_load(const char *path, const char *provider, struct models **ret,
	struct buf *mistakes, struct err *err)
{
	struct models *models = mem_calloc(1, sizeof *models);
	json_error_t where;
	const char *name;
	json_t *profile;
	size_t before = mistakes->len;

	if (!models || !(models->path = mem_strdup(path))) {
		models_free(&models);
		return err_set(err, ERR_NOMEM, "%s", path);
	}
	models->doc = json_read_file(path, JSON_REJECT_DUPLICATES, &where);
	if (!models->doc && where.line < 0)
		cfg_mistake(mistakes, "models_file", "%s", where.text);
	else if (!models->doc)
		cfg_mistake(mistakes, "models_file", "%s:%d: %s", path, where.line, where.text);
	else if (!json_is_object(models->doc) || json_object_size(models->doc) == 0)
		cfg_mistake(mistakes, "models_file", "%s has to be an object with a profile for each model", path);
	json_object_foreach(models->doc, name, profile)
		check_profile(path, name, profile, provider, mistakes);
	if (mistakes->err || mistakes->len > before) {
		models_free(&models);
		return err_set(err, mistakes->err ? mistakes->err : ERR_CONFIG, "%s has mistakes", path);
	}
	*ret = models;
	return ERR_OK;
}

void
models_free(struct models **models)
{
	if (!*models)
		return;
	json_decref((*models)->doc);
	mem_free((*models)->path);
	mem_free(*models);
	*models = NULL;
}

bool
models_find(const struct models *models, const char *name, struct model *ret)
{
	json_t *profile = json_object_get(models->doc, name);
	struct model model = { .name = NULL };
	void *iter;

	if (!profile)
		return false;
	iter = json_object_iter_at(models->doc, name);
	model.name = json_object_iter_key(iter);
	model.on = json_object_get(profile, "on");
	(void)parse_timeout(json_object_get(profile, "timeout"), &model.timeout_ms);
	model.max_count = limit(profile, "count", DEFAULT_MAX_COUNT);
	model.max_inputs = limit(profile, "inputs", 0);
	*ret = model;
	return true;
}

void
models_list(const struct models *models, struct buf *out)
{
	const char *name;
	json_t *profile;
	bool first = true;

	json_object_foreach(models->doc, name, profile) {
		buf_printf(out, "%s%s", first ? "" : ", ", name);
		first = false;
	}
}

/* The request's member that "$name" stands for; NULL: it has none. */
static json_t *
lookup(const char *name, const json_t *request)
{
	if (strcmp(name, "input") == 0)
		return json_array_get(json_object_get(request, "inputs"), 0);
	return json_object_get(request, name);
}

/* A new reference, or NULL: to be left out, or *nomem. */
static json_t *
expand(const json_t *tmpl, const json_t *request, int depth, bool *nomem)
{
	const char *s = json_string_value(tmpl), *name;
	json_t *ret = NULL, *member, *value;
	size_t i;
	int rc = 0;

	if (depth > DEPTH_MAX)
		return NULL;
	if (s && s[0] == '$' && s[1] == '$')
		ret = json_string(s + 1);
	else if (s && s[0] == '$')
		return json_incref(lookup(s + 1, request));
	else if (json_is_object(tmpl))
		ret = json_object();
	else if (json_is_array(tmpl))
		ret = json_array();
	else if (!(ret = json_deep_copy(tmpl)))		/* the templates are shared by threads */
		*nomem = true;

	json_object_foreach((json_t *)tmpl, name, member)
		if ((value = expand(member, request, depth + 1, nomem)))
			rc |= json_object_set_new(ret, name, value);
	json_array_foreach((json_t *)tmpl, i, member)
		if ((value = expand(member, request, depth + 1, nomem)))
			rc |= json_array_append_new(ret, value);
	if (!ret || rc)
		*nomem = true;
	return ret;
}

/* A member that the template names is set by the request's own member, which is
 * checked, or by nothing: params are no way around a limit. */
static int
add_params(json_t *input, const json_t *tmpl, json_t *params)
{
	const char *name;
	json_t *value;

	json_object_foreach(params, name, value)
		if (!json_object_get(tmpl, name) && json_object_set(input, name, value))
			return -1;
	return 0;
}

enum err_code
models_expand(const struct model *model, const char *provider, const json_t *request,
	json_t **ret, struct err *err)
{
	const json_t *tmpl = json_object_get(model->on, provider);
	json_t *params = json_object_get(request, "params");
	bool nomem = false;
	json_t *on;

	if (!json_is_object(tmpl))
		return err_set(err, ERR_CONFIG, "model \"%s\" has nothing for the provider \"%s\"",
			model->name, provider);
	on = expand(tmpl, request, 0, &nomem);
	if (on && !nomem && json_is_object(json_object_get(tmpl, "input")) && add_params(json_object_get(on, "input"),
			json_object_get(tmpl, "input"), params))
		nomem = true;
	if (!on || nomem) {
		json_decref(on);
		return err_set(err, ERR_NOMEM, "template of model \"%s\"", model->name);
	}
	*ret = on;
	return ERR_OK;
}
