#include "config.h"

#include "core/models.h"

#include "base/cfg.h"
#include "providers/adapter.h"

#define DEFAULT_MAX_COUNT 4
#define DEPTH_MAX 16
#define PRICE_MAX 100000
#define TIMEOUT_MAX_MS (24 * 3600 * 1000)	/* as job_timeout */

struct models {
	json_t *doc;
	char *path;
	char *provider;			/* of profiles without an order */
};

/* What a profile may hold; the provider's part is the provider's own. */
static const char *const members[] = { "limits", "timeout", "on", "description", "defaults",
	"aspect_ratios", "order", NULL };

/* What "$name" may stand for; metadata is never sent. */
static const char *const names[] = { "prompt", "negative_prompt", "aspect_ratio", "width", "height",
	"count", "seed", "format", "input", "inputs", "model", "params", NULL };

/* What a request's "format" may be. */
static const char *const formats[] = { "png", "jpg", "webp", "gif", "avif", "mp4", "webm", NULL };

/* Which of these a profile may have a default for; the others are numbers. */
static const char *const default_texts[] = { "negative_prompt", "aspect_ratio", "format", NULL };
static const char *const default_numbers[] = { "width", "height", "count", "seed", NULL };

static bool
is_one_of(const char *name, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(name, *list) == 0)
			return true;
	return false;
}

static void
put_list(const char *const *list, struct buf *out)
{
	for (const char *const *each = list; *each; each++)
		buf_printf(out, "%s%s", each == list ? "" : ", ", *each);
}

/* whose: "limits ", say. */
static void
say_unknown(const char *where, const char *whose, const char *name, const char *const *known, struct buf *mistakes)
{
	struct buf list = BUF_INIT(4096);

	put_list(known, &list);
	cfg_mistake(mistakes, where, "%shas an unknown member \"%s\"; known are %s", whose, name, buf_str(&list));
	buf_clear(&list);
}

bool
model_is_format(const char *text, struct buf *ret_formats)
{
	if (is_one_of(text, formats))
		return true;
	put_list(formats, ret_formats);
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
			say_unknown(where, "limits ", name, known, mistakes);
		else if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > 100)
			cfg_mistake(mistakes, where, "limits.%s has to be a whole number from %d to 100", name, min);
	}
}

/* {"$name": {"value": word, ...}}: the request's value chooses a word.  Its name
 * without the sign; NULL: this is no choice. */
static const char *
choice_of(const json_t *tmpl)
{
	const char *key;

	if (json_object_size(tmpl) != 1)
		return NULL;
	key = json_object_iter_key(json_object_iter((json_t *)(uintptr_t)tmpl));
	return key[0] == '$' ? key + 1 : NULL;
}

static json_t *
words_of(const json_t *choice)
{
	return json_object_iter_value(json_object_iter((json_t *)(uintptr_t)choice));
}

/* Nobody could choose such a word. */
static void
check_formats(const char *where, const json_t *words, struct buf *mistakes)
{
	const char *text;
	json_t *word;

	json_object_foreach((json_t *)(uintptr_t)words, text, word) {
		struct buf known = BUF_INIT(4096);

		if (!model_is_format(text, &known))
			cfg_mistake(mistakes, where, "\"$format\" has a word for \"%s\", which no request can ask for; "
				"formats are %s", text, buf_str(&known));
		buf_clear(&known);
	}
}

static void
check_choice(const char *where, const char *name, const json_t *choice, struct buf *mistakes)
{
	const json_t *words = words_of(choice);

	if (!is_one_of(name, names))
		cfg_mistake(mistakes, where, "\"$%s\" stands for nothing in a request", name);
	else if (!json_is_object(words) || json_object_size(words) == 0)
		cfg_mistake(mistakes, where, "\"$%s\" has to have an object behind it, with a word for each value", name);
	else if (strcmp(name, "format") == 0)
		check_formats(where, words, mistakes);
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
	if ((name = choice_of(tmpl))) {
		check_choice(where, name, tmpl, mistakes);
		return;
	}
	if (s && s[0] == '$' && s[1] != '$' && !is_one_of(s + 1, names))
		cfg_mistake(mistakes, where, "\"%s\" stands for nothing in a request; write \"$%s\" for the text itself", s, s);
	json_object_foreach((json_t *)tmpl, name, member)
		check_template(where, member, depth + 1, mistakes);
	json_array_foreach((json_t *)tmpl, i, member)
		check_template(where, member, depth + 1, mistakes);
}

/* Does it send any of what a request is about?  Some models take no prompt, but a picture. */
static bool
sends_request(const json_t *tmpl, int depth)
{
	static const char *const asked[] = { "prompt", "input", "inputs", NULL };
	const char *s = json_string_value(tmpl), *name;
	json_t *member;
	size_t i;

	if (depth > DEPTH_MAX || choice_of(tmpl))
		return false;
	if (s && s[0] == '$' && is_one_of(s + 1, asked))
		return true;
	json_object_foreach((json_t *)(uintptr_t)tmpl, name, member)
		if (sends_request(member, depth + 1))
			return true;
	json_array_foreach((json_t *)(uintptr_t)tmpl, i, member)
		if (sends_request(member, depth + 1))
			return true;
	return false;
}

static void
check_price(const char *where, const json_t *price, struct buf *mistakes)
{
	static const char *const known[] = { "per", "amount", "currency", NULL };
	static const char *const units[] = { "image", "second", NULL };
	const char *per = json_string_value(json_object_get(price, "per"));
	const char *currency = json_string_value(json_object_get(price, "currency"));
	const json_t *amount = json_object_get(price, "amount");
	const char *name;
	json_t *value;

	if (!price)
		return;
	json_object_foreach((json_t *)(uintptr_t)price, name, value)
		if (!is_one_of(name, known))
			say_unknown(where, "price ", name, known, mistakes);
	if (!per || !is_one_of(per, units))
		cfg_mistake(mistakes, where, "price.per has to be \"image\" or \"second\"");
	if (!json_is_number(amount) || json_number_value(amount) < 0 || json_number_value(amount) > PRICE_MAX)
		cfg_mistake(mistakes, where, "price.amount has to be a number from 0 to %d", PRICE_MAX);
	if (!currency || strspn(currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 3 || currency[3])
		cfg_mistake(mistakes, where, "price.currency has to be three letters such as \"USD\"");
}

/* A provider's part without what is not its own.  A new object; NULL: no memory. */
static json_t *
own_part(const json_t *part)
{
	json_t *own = json_copy((json_t *)(uintptr_t)part);

	if (own)
		json_object_del(own, "price");
	return own;
}

static void
put_providers(struct buf *out)
{
	for (size_t i = 0; i < provider_count(); i++)
		buf_printf(out, "%s%s", i ? ", " : "", provider_at(i)->name);
}

/* What a provider takes beside the input has to be there for each request: a field that
 * one may lack is no model. */
static void
check_beside(const char *where, const json_t *own, const json_t *defaults, struct buf *mistakes)
{
	static const char *const always[] = { "model", "prompt", NULL };
	const char *member;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)own, member, value) {
		const char *s = json_string_value(value);
		const char *field = s && s[0] == '$' && s[1] != '$' ? s + 1 : choice_of(value);

		if (field && is_one_of(field, names) && !is_one_of(field, always) && !json_object_get(defaults, field))
			cfg_mistake(mistakes, where, "%s cannot be \"$%s\", which not every request has; "
				"it may have one in \"defaults\"", member, field);
	}
}

/* What the provider itself takes is its own to check. */
static void
check_part(const char *where, const char *name, const json_t *part, const json_t *defaults, struct buf *mistakes)
{
	const struct provider *p = provider_by_name(name);
	struct buf here = BUF_INIT(4096), known = BUF_INIT(4096);
	json_t *own = own_part(part);
	size_t before = mistakes->len;

	buf_printf(&here, "%s: on.%s", where, name);
	put_providers(&known);
	if (!p)
		cfg_mistake(mistakes, buf_str(&here), "there is no such provider; there are %s", buf_str(&known));
	else if (!json_is_object(part))
		cfg_mistake(mistakes, buf_str(&here), "has to be an object");
	else if (!own)
		mistakes->err = ERR_NOMEM;
	else
		adapter_check_profile(p, own, buf_str(&here), mistakes);
	check_beside(buf_str(&here), own, defaults, mistakes);
	check_price(buf_str(&here), json_object_get(part, "price"), mistakes);
	check_template(buf_str(&here), own, 0, mistakes);
	/* A misspelt word is told already. */
	if (mistakes->len == before && !sends_request(own, 0))
		cfg_mistake(mistakes, buf_str(&here), "has neither \"$prompt\" nor \"$input\" in it: "
			"nobody would get what was asked for");
	json_decref(own);
	buf_clear(&here);
	buf_clear(&known);
}

/* order: what it takes to be sent anywhere. */
static void
check_order(const char *where, const json_t *profile, struct buf *mistakes)
{
	const json_t *order = json_object_get(profile, "order"), *on = json_object_get(profile, "on");
	json_t *each;
	size_t i, k;

	if (order && json_array_size(order) == 0)
		cfg_mistake(mistakes, where, "order has to be a list of providers, the first to try first");
	json_array_foreach((json_t *)(uintptr_t)order, i, each) {
		const char *name = json_string_value(each);

		if (!name || !json_object_get(on, name))
			cfg_mistake(mistakes, where, "order[%zu]: \"on\" has nothing for \"%s\"", i, name ? name : "");
		for (k = 0; k < i; k++)
			if (json_equal(json_array_get(order, k), each))
				cfg_mistake(mistakes, where, "order has \"%s\" twice", name ? name : "");
	}
}

static void
check_on(const char *where, const json_t *profile, struct buf *mistakes)
{
	const json_t *on = json_object_get(profile, "on");
	const char *name;
	json_t *part;

	if (!json_is_object(on)) {
		cfg_mistake(mistakes, where, "\"on\" has to be an object with a member for each provider");
		return;
	}
	check_order(where, profile, mistakes);
	json_object_foreach((json_t *)(uintptr_t)on, name, part)
		check_part(where, name, part, json_object_get(profile, "defaults"), mistakes);
}

static bool
is_dimension(const json_t *v)
{
	return json_is_integer(v) && json_integer_value(v) >= 16 && json_integer_value(v) <= 8192;
}

static void
check_aspect_ratios(const char *where, const json_t *ratios, struct buf *mistakes)
{
	const char *name;
	json_t *size;

	if (ratios && json_object_size(ratios) == 0)
		cfg_mistake(mistakes, where, "aspect_ratios has to be an object such as {\"16:9\": [1344, 768]}");
	json_object_foreach((json_t *)(uintptr_t)ratios, name, size)
		if (json_array_size(size) != 2 || !is_dimension(json_array_get(size, 0)) ||
		    !is_dimension(json_array_get(size, 1)))
			cfg_mistake(mistakes, where, "aspect_ratios.%s has to be width and height, from 16 to 8192", name);
}

/* Of the same kind as in a request, and with a word where there is a choice. */
static void
check_defaults(const char *where, const struct model *model, struct buf *mistakes)
{
	const json_t *defaults = json_object_get(model->profile, "defaults");
	json_int_t max_count = (json_int_t)limit(model->profile, "count", DEFAULT_MAX_COUNT);
	const char *name;
	json_t *value;

	if (defaults && !json_is_object(defaults))
		cfg_mistake(mistakes, where, "defaults has to be an object");
	json_object_foreach((json_t *)(uintptr_t)defaults, name, value) {
		bool text = is_one_of(name, default_texts), number = is_one_of(name, default_numbers);
		struct buf words = BUF_INIT(4096);

		if (!text && !number)
			cfg_mistake(mistakes, where, "defaults has \"%s\", which has none", name);
		else if (text ? !json_is_string(value) : !json_is_integer(value) || json_integer_value(value) < 0)
			cfg_mistake(mistakes, where, "defaults.%s has to be a %s", name, text ? "text" : "whole number");
		else if (strcmp(name, "count") == 0 && (json_integer_value(value) < 1 || json_integer_value(value) > max_count))
			cfg_mistake(mistakes, where, "defaults.count has to be from 1 to limits.count, which is %lld",
				(long long)max_count);
		/* Where there is no word at all that is a mistake of its own. */
		else if (!model_takes(model, name, value, &words) && words.len > 0)
			cfg_mistake(mistakes, where, "defaults.%s has to be one of: %s", name, buf_str(&words));
		buf_clear(&words);
	}
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
			say_unknown(buf_str(&where), "", member, members, mistakes);
	value = json_object_get(profile, "description");
	if (value && !json_is_string(value))
		cfg_mistake(mistakes, buf_str(&where), "description has to be a text");
	value = json_object_get(profile, "timeout");
	if (value && !parse_timeout(value, &ms))
		cfg_mistake(mistakes, buf_str(&where), "timeout has to be a duration such as \"90s\" or \"5m\", at most a day");
	check_limits(buf_str(&where), json_object_get(profile, "limits"), mistakes);
	check_on(buf_str(&where), profile, mistakes);
	check_aspect_ratios(buf_str(&where), json_object_get(profile, "aspect_ratios"), mistakes);
	check_defaults(buf_str(&where), &(struct model){ .profile = profile, .provider = provider }, mistakes);
	buf_clear(&where);
}

/* Nobody could ask for anything. */
static bool
offers_nothing(const struct models *models)
{
	struct model model;
	const char *name;
	json_t *profile;

	json_object_foreach(models->doc, name, profile)
		if (models_offer(models, name, &model))
			return false;
	return true;
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

	if (!models || !(models->path = mem_strdup(path)) || !(models->provider = mem_strdup(provider))) {
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
	/* Of a provider that there is not it says nothing new. */
	if (!mistakes->err && mistakes->len == before && provider_by_name(provider) && offers_nothing(models))
		cfg_mistake(mistakes, "models_file", "%s has nothing for the provider \"%s\": no \"on\" has it",
			path, provider);
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
	mem_free((*models)->provider);
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
	model.profile = profile;
	model.provider = models->provider;
	(void)parse_timeout(json_object_get(profile, "timeout"), &model.timeout_ms);
	model.max_count = limit(profile, "count", DEFAULT_MAX_COUNT);
	model.max_inputs = limit(profile, "inputs", 0);
	*ret = model;
	return true;
}

bool
models_offer(const struct models *models, const char *name, struct model *ret)
{
	struct model model;

	if (!models_find(models, name, &model) || !model_provider(&model, 0))
		return false;
	*ret = model;
	return true;
}

void
models_list(const struct models *models, struct buf *out)
{
	struct model model;
	const char *name;
	json_t *profile;
	bool first = true;

	json_object_foreach(models->doc, name, profile) {
		if (!models_offer(models, name, &model))
			continue;
		buf_printf(out, "%s%s", first ? "" : ", ", name);
		first = false;
	}
}

const char *
model_provider(const struct model *model, size_t n)
{
	const json_t *order = json_object_get(model->profile, "order");

	if (order)
		return json_string_value(json_array_get(order, n));
	if (n > 0 || !json_object_get(json_object_get(model->profile, "on"), model->provider))
		return NULL;
	return model->provider;
}

const json_t *
model_price(const struct model *model, const char *provider)
{
	return json_object_get(json_object_get(json_object_get(model->profile, "on"), provider), "price");
}

bool
models_use(const struct models *models, const char *provider)
{
	const char *name, *each;
	json_t *profile;

	json_object_foreach(models->doc, name, profile) {
		const struct model model = { .profile = profile, .provider = models->provider };

		for (size_t i = 0; (each = model_provider(&model, i)); i++)
			if (strcmp(each, provider) == 0)
				return true;
	}
	return false;
}

json_t *
models_describe(const struct models *models)
{
	return json_deep_copy(models->doc);
}

/* ---- choices ---- */

/* As the key of a choice: a text is itself, a number its digits.  false: neither. */
static bool
text_of(const json_t *value, struct buf *out)
{
	if (json_is_string(value))
		buf_put(out, json_string_value(value), json_string_length(value));
	else if (json_is_integer(value))
		buf_put_i64(out, json_integer_value(value));
	else
		return false;
	return !out->err;
}

/* The word for a value; NULL: there is none.  Borrowed. */
static json_t *
word_for(const json_t *words, const json_t *value)
{
	struct buf text = BUF_INIT(1024);
	json_t *word = text_of(value, &text) ? json_object_get(words, buf_str(&text)) : NULL;

	buf_clear(&text);
	return word;
}

/* false: these have no word for it.  The first that has none tells which there are. */
static bool
has_word(const json_t *words, const json_t *value, struct buf *ret_words)
{
	const char *key;
	json_t *word;

	if (word_for(words, value))
		return true;
	json_object_foreach((json_t *)(uintptr_t)words, key, word)
		buf_printf(ret_words, "%s%s", ret_words->len ? ", " : "", key);
	return false;
}

static bool
template_takes(const json_t *tmpl, const char *name, const json_t *value, int depth, struct buf *ret_words)
{
	const char *choice = choice_of(tmpl), *key;
	json_t *member;
	size_t i;

	if (depth > DEPTH_MAX)
		return true;
	if (choice)
		return strcmp(choice, name) != 0 || has_word(words_of(tmpl), value, ret_words);
	json_object_foreach((json_t *)(uintptr_t)tmpl, key, member)
		if (!template_takes(member, name, value, depth + 1, ret_words))
			return false;
	json_array_foreach((json_t *)(uintptr_t)tmpl, i, member)
		if (!template_takes(member, name, value, depth + 1, ret_words))
			return false;
	return true;
}

bool
model_takes(const struct model *model, const char *name, const json_t *value, struct buf *ret_words)
{
	const json_t *on = json_object_get(model->profile, "on");
	const json_t *ratios = json_object_get(model->profile, "aspect_ratios");
	const char *provider;

	if (ratios && strcmp(name, "aspect_ratio") == 0 && !has_word(ratios, value, ret_words))
		return false;
	for (size_t i = 0; (provider = model_provider(model, i)); i++)
		if (!template_takes(json_object_get(on, provider), name, value, 0, ret_words))
			return false;
	return true;
}

/* ---- templates ---- */

/* A size and a ratio exclude each other: what the request has counts. */
static bool
may_default(const char *name, const json_t *request)
{
	bool has_size = json_object_get(request, "width") || json_object_get(request, "height");

	if (json_object_get(request, name))
		return false;
	if (strcmp(name, "aspect_ratio") == 0)
		return !has_size;
	if (strcmp(name, "width") == 0 || strcmp(name, "height") == 0)
		return !has_size && !json_object_get(request, "aspect_ratio");
	return true;
}

/* A request with the profile's defaults, and with the size that its ratio means.  A new
 * object; NULL: no memory. */
static json_t *
complete(const struct model *model, const json_t *request)
{
	json_t *ret = json_copy((json_t *)(uintptr_t)request), *value, *size;
	const char *name;
	int rc = ret ? 0 : -1;

	json_object_foreach(json_object_get(model->profile, "defaults"), name, value)
		if (may_default(name, request))
			rc |= json_object_set_new(ret, name, json_deep_copy(value));
	size = word_for(json_object_get(model->profile, "aspect_ratios"), json_object_get(ret, "aspect_ratio"));
	if (size && !json_object_get(ret, "width")) {
		rc |= json_object_set_new(ret, "width", json_deep_copy(json_array_get(size, 0)));
		rc |= json_object_set_new(ret, "height", json_deep_copy(json_array_get(size, 1)));
	}
	if (rc) {
		json_decref(ret);
		return NULL;
	}
	return ret;
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
choose(const json_t *choice, const json_t *request, bool *nomem)
{
	json_t *value = lookup(choice_of(choice), request), *word = NULL, *ret;

	if (value)
		word = word_for(words_of(choice), value);
	if (!word)
		return NULL;
	ret = json_deep_copy(word);
	*nomem |= !ret;
	return ret;
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
	if (choice_of(tmpl))
		return choose(tmpl, request, nomem);
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
 * checked, or by nothing: params are no way around a limit.  Nor is one set that the
 * provider keeps for the profile. */
static int
add_params(const struct provider *p, json_t *input, const json_t *tmpl, json_t *params)
{
	const char *name;
	json_t *value;

	json_object_foreach(params, name, value)
		if (!json_object_get(tmpl, name) && adapter_takes_param(p, name) && json_object_set(input, name, value))
			return -1;
	return 0;
}

enum err_code
models_expand(const struct model *model, const char *provider, const json_t *request,
	json_t **ret, struct err *err)
{
	const json_t *part = json_object_get(json_object_get(model->profile, "on"), provider);
	json_t *params = json_object_get(request, "params"), *whole, *on = NULL;
	const struct provider *p = provider_by_name(provider);
	bool nomem = false;

	if (!p || !json_is_object(part))
		return err_set(err, ERR_CONFIG, "model \"%s\" has nothing for the provider \"%s\"",
			model->name, provider);
	whole = complete(model, request);
	if (whole)
		on = expand(part, whole, 0, &nomem);
	if (on && !nomem && json_is_object(json_object_get(part, "input")) &&
	    add_params(p, json_object_get(on, "input"), json_object_get(part, "input"), params))
		nomem = true;
	json_object_del(on, "price");
	json_decref(whole);
	if (!on || nomem) {
		json_decref(on);
		return err_set(err, ERR_NOMEM, "template of model \"%s\"", model->name);
	}
	*ret = on;
	return ERR_OK;
}
