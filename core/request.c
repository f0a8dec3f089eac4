#include "config.h"

#include "core/request.h"

#include <ctype.h>
#include <stdarg.h>
#include <strings.h>

#include "base/url.h"

#define DIMENSION_MAX 8192
#define ERRORS_MAX 50
#define NUMBER_MAX 9e18		/* below 2^63, whatever its last digits */
#define URL_MAX_BYTES 2048

/* The list of mistakes while a body is checked. */
struct check {
	json_t *body;
	const struct models *models;
	const char *default_model;
	struct model model;
	bool has_model;
	json_t *errors;
	bool nomem;
};

static void mistake(struct check *c, const char *pointer, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void
mistake(struct check *c, const char *pointer, const char *fmt, ...)
{
	char detail[600];
	va_list ap;
	json_t *e;

	if (json_array_size(c->errors) >= ERRORS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(detail, sizeof detail, fmt, ap);
	va_end(ap);
	e = json_pack("{ss, ss}", "pointer", pointer, "detail", detail);
	if (!e || json_array_append_new(c->errors, e))
		c->nomem = true;
}

/* RFC 6901 section 3: "~" is "~0" and "/" is "~1". */
static void
put_token(struct buf *pointer, const char *name)
{
	buf_putc(pointer, '/');
	for (; *name; name++) {
		if (*name == '~')
			buf_puts(pointer, "~0");
		else if (*name == '/')
			buf_puts(pointer, "~1");
		else
			buf_putc(pointer, *name);
	}
}

/* Postgres takes no NUL in text, and a prompt has no use for one. */
static bool
has_nul(const json_t *string)
{
	return strlen(json_string_value(string)) != json_string_length(string);
}

static bool
is_blank(const char *s)
{
	while (isspace((unsigned char)*s))
		s++;
	return *s == '\0';
}

static void
check_text(struct check *c, const char *pointer, const json_t *v)
{
	if (!json_is_string(v))
		mistake(c, pointer, "has to be a string");
	else if (has_nul(v))
		mistake(c, pointer, "must not contain a NUL character");
	else if (json_string_length(v) > PROMPT_MAX_BYTES)
		mistake(c, pointer, "is %zu bytes long; at most %d are taken",
			json_string_length(v), PROMPT_MAX_BYTES);
}

static void
check_prompt(struct check *c, const char *pointer, const json_t *v)
{
	check_text(c, pointer, v);
	if (json_is_string(v) && !has_nul(v) && is_blank(json_string_value(v)))
		mistake(c, pointer, "must not be empty");
}

static void
check_integer(struct check *c, const char *pointer, const json_t *v, json_int_t min, json_int_t max)
{
	if (!json_is_integer(v))
		mistake(c, pointer, "has to be a whole number");
	else if (json_integer_value(v) < min || json_integer_value(v) > max)
		mistake(c, pointer, "has to be from %lld to %lld", (long long)min, (long long)max);
}

static void
check_dimension(struct check *c, const char *pointer, const json_t *v)
{
	check_integer(c, pointer, v, 16, DIMENSION_MAX);
	if (json_object_get(c->body, "aspect_ratio"))
		mistake(c, pointer, "excludes aspect_ratio; give one or the other");
	if (!json_object_get(c->body, "width") != !json_object_get(c->body, "height"))
		mistake(c, pointer, "width and height go together");
}

static void
check_seed(struct check *c, const char *pointer, const json_t *v)
{
	check_integer(c, pointer, v, 0, 4294967295);
}

static void
check_count(struct check *c, const char *pointer, const json_t *v)
{
	check_integer(c, pointer, v, 1, c->has_model ? (json_int_t)c->model.max_count : 100);
}

/* "16:9": two numbers of at most three digits. */
static void
check_aspect_ratio(struct check *c, const char *pointer, const json_t *v)
{
	const char *s = json_string_value(v);
	size_t a = s ? strspn(s, "0123456789") : 0;
	size_t b = s && s[a] == ':' ? strspn(s + a + 1, "0123456789") : 0;

	if (a < 1 || a > 3 || b < 1 || b > 3 || s[a + 1 + b] != '\0' || has_nul(v) ||
	    s[0] == '0' || s[a + 1] == '0')
		mistake(c, pointer, "has to be a ratio such as \"16:9\"");
}

static void
check_format(struct check *c, const char *pointer, const json_t *v)
{
	static const char *const formats[] = { "png", "jpg", "webp", "gif", "avif", "mp4", "webm" };
	const char *s = json_string_value(v);

	for (size_t i = 0; s && i < sizeof formats / sizeof *formats; i++)
		if (strcmp(s, formats[i]) == 0 && !has_nul(v))
			return;
	mistake(c, pointer, "has to be one of png, jpg, webp, gif, avif, mp4, webm");
}

/* The provider fetches it, so what is behind it is not looked at here. */
static void
check_input_url(struct check *c, const char *pointer, const char *s)
{
	struct url url = { .scheme = NULL };
	enum err_code rc;

	if (strlen(s) > URL_MAX_BYTES) {
		mistake(c, pointer, "is longer than %d bytes", URL_MAX_BYTES);
		return;
	}
	rc = url_parse(s, &url);
	if (rc == ERR_NOMEM)
		c->nomem = true;
	else if (rc || strcmp(url.scheme, "https") != 0)
		mistake(c, pointer, "has to be an https URL or a data: URI");
	url_clear(&url);
}

static void
check_input(struct check *c, const char *pointer, const json_t *v)
{
	const char *s = json_string_value(v);

	if (!s)
		mistake(c, pointer, "has to be a string: an https URL or a data: URI");
	else if (has_nul(v))
		mistake(c, pointer, "must not contain a NUL character");
	else if (strncasecmp(s, "data:", 5) != 0)
		check_input_url(c, pointer, s);
	else if (json_string_length(v) > INPUT_MAX_BYTES)
		mistake(c, pointer, "is a data: URI of %zu bytes; at most %d are taken, give an https URL instead",
			json_string_length(v), INPUT_MAX_BYTES);
}

static void
check_inputs(struct check *c, const char *pointer, const json_t *v)
{
	json_t *item;
	size_t i;

	if (!json_is_array(v)) {
		mistake(c, pointer, "has to be an array of strings");
		return;
	}
	if (c->has_model && json_array_size(v) > c->model.max_inputs)
		mistake(c, pointer, "has %zu items; the model \"%s\" takes at most %llu",
			json_array_size(v), c->model.name, (unsigned long long)c->model.max_inputs);
	json_array_foreach((json_t *)v, i, item) {
		char at[64];

		snprintf(at, sizeof at, "%s/%zu", pointer, i);
		check_input(c, at, item);
	}
}

/* Within a value that is passed on or kept.  Postgres refuses NUL, and writes
 * 1e20 as an integer, which Jansson then cannot read. */
static bool
can_be_kept(const json_t *v, int depth)
{
	const char *name;
	json_t *member;
	size_t i;

	if (json_is_string(v))
		return !has_nul(v);
	if (json_is_real(v))
		return json_real_value(v) < NUMBER_MAX && json_real_value(v) > -NUMBER_MAX;
	if (depth > 64)
		return false;
	json_array_foreach((json_t *)v, i, member)
		if (!can_be_kept(member, depth + 1))
			return false;
	json_object_foreach((json_t *)v, name, member)
		if (!can_be_kept(member, depth + 1))
			return false;
	return true;
}

static void
check_object(struct check *c, const char *pointer, const json_t *v)
{
	char *text;

	if (!json_is_object(v)) {
		mistake(c, pointer, "has to be an object");
		return;
	}
	/* Writing what is nested too deep would take more stack than there is. */
	if (!can_be_kept(v, 0)) {
		mistake(c, pointer, "must not contain a NUL character or a number of 9e18 and more, "
			"nor be nested deeper than 64");
		return;
	}
	text = json_write(v, JSON_COMPACT);
	if (!text)
		c->nomem = true;
	else if (strlen(text) > METADATA_MAX_BYTES)
		mistake(c, pointer, "is %zu bytes of JSON; at most %d are taken", strlen(text), METADATA_MAX_BYTES);
	mem_free(text);
}

static void
check_model(struct check *c, const char *pointer, const json_t *v)
{
	struct buf names = BUF_INIT(300);

	if (!json_is_string(v)) {
		mistake(c, pointer, "has to be a string");
	} else if (has_nul(v)) {
		mistake(c, pointer, "must not contain a NUL character");
	} else if (!c->has_model) {
		models_list(c->models, &names);
		if (names.err)
			mistake(c, pointer, "is not the name of a model here");
		else
			mistake(c, pointer, "is not the name of a model here; there are: %s", buf_str(&names));
	}
	buf_clear(&names);
}

/* What a request may hold, and how it is looked at. */
static const struct {
	const char *name;
	void (*check)(struct check *c, const char *pointer, const json_t *v);
} members[] = {
	{ "model", check_model },
	{ "prompt", check_prompt },
	{ "negative_prompt", check_text },
	{ "aspect_ratio", check_aspect_ratio },
	{ "width", check_dimension },
	{ "height", check_dimension },
	{ "count", check_count },
	{ "seed", check_seed },
	{ "format", check_format },
	{ "inputs", check_inputs },
	{ "params", check_object },
	{ "metadata", check_object },
};

static void
check_member(struct check *c, const char *name, const json_t *v)
{
	struct buf pointer = BUF_INIT(1024);

	put_token(&pointer, name);
	c->nomem |= pointer.err == ERR_NOMEM;
	for (size_t i = 0; i < sizeof members / sizeof *members; i++)
		if (strcmp(name, members[i].name) == 0) {
			members[i].check(c, buf_str(&pointer), v);
			buf_clear(&pointer);
			return;
		}
	mistake(c, pointer.err ? "" : buf_str(&pointer), "is not a member of a request");
	buf_clear(&pointer);
}

static void
find_model(struct check *c)
{
	const json_t *v = json_object_get(c->body, "model");
	const char *name = v ? json_string_value(v) : c->default_model;

	c->has_model = name && models_find(c->models, name, &c->model);
	if (!v && !c->has_model)
		mistake(c, "/model", "is missing, and no default_model is configured");
}

static void
check_body(struct check *c)
{
	const char *name;
	json_t *v;

	find_model(c);
	if (!json_object_get(c->body, "prompt"))
		mistake(c, "/prompt", "is missing");
	json_object_foreach(c->body, name, v)
		check_member(c, name, v);
}

/* Over the canonical form: members sorted, no blanks, before any default. */
static enum err_code
fingerprint(const json_t *body, uint8_t out[SHA256_BYTES], struct err *err)
{
	char *text = json_write(body, JSON_COMPACT | JSON_SORT_KEYS);
	enum err_code rc;

	if (!text)
		return err_set(err, ERR_NOMEM, "fingerprint");
	rc = sha256(text, strlen(text), out, err);
	mem_free(text);
	return rc;
}

void
request_clear(struct request *rq)
{
	json_decref(rq->body);
	json_decref(rq->metadata);
	rq->body = rq->metadata = NULL;
}

/* A NUL in a member's name would hide the rest of it; Jansson refuses that. */
static enum err_code
parse(const char *text, size_t len, json_t **ret, struct err *err)
{
	json_error_t where;
	json_t *body = json_read(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where);

	if (!body && json_error_code(&where) == json_error_out_of_memory)
		return err_set(err, ERR_NOMEM, "reading the request");
	if (!body)
		return err_set(err, ERR_BAD_REQUEST, "the body is not JSON: line %d, column %d: %s",
			where.line, where.column, where.text);
	if (!json_is_object(body)) {
		json_decref(body);
		return err_set(err, ERR_BAD_REQUEST, "the body has to be a JSON object");
	}
	*ret = body;
	return ERR_OK;
}

enum err_code
request_parse(const char *text, size_t len, const struct models *models,
	const char *default_model, struct request *ret, json_t **ret_errors, struct err *err)
{
	struct check c = { .models = models, .default_model = default_model };
	struct request rq = { .body = NULL };
	enum err_code rc = parse(text, len, &c.body, err);

	if (rc)
		return rc;
	c.errors = json_array();
	if (c.errors)
		check_body(&c);
	if (!c.errors || c.nomem)
		rc = err_set(err, ERR_NOMEM, "checking the request");
	else if (json_array_size(c.errors) > 0)
		rc = err_set(err, ERR_INVALID, "the request has %zu mistake%s", json_array_size(c.errors),
			json_array_size(c.errors) == 1 ? "" : "s");
	else
		rc = fingerprint(c.body, rq.fingerprint, err);
	if (rc == ERR_INVALID) {
		*ret_errors = c.errors;
		c.errors = NULL;
	}
	if (!rc) {
		rq.model = c.model;
		rq.metadata = json_incref(json_object_get(c.body, "metadata"));
		json_object_del(c.body, "metadata");
		rq.body = c.body;
		c.body = NULL;
		*ret = rq;
	}
	json_decref(c.body);
	json_decref(c.errors);
	return rc;
}
