#include "config.h"

#include "core/request.h"

#include <ctype.h>
#include <stdarg.h>
#include <strings.h>

#include "base/data_uri.h"
#include "base/url.h"
#include "core/input.h"
#include "core/lift.h"

#define DIMENSION_MAX 8192
#define ERRORS_MAX 50
#define NUMBER_MAX 9e18		/* below 2^63, whatever its last digits */
#define URL_MAX_BYTES 2048
#define URI_SHORT_BYTES 64

/* The list of mistakes while a body is checked. */
struct check {
	json_t *body;
	const struct request_rules *rules;
	size_t n_files;			/* nulls among the inputs that stand for one */
	size_t files_seen;
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
	const char *s = json_string_value(v);
	struct buf known = BUF_INIT(200);

	if (!model_is_format(s && !has_nul(v) ? s : "", &known))
		mistake(c, pointer, "has to be one of %s", buf_str(&known));
	buf_clear(&known);
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

/* Whose path it is comes later, when all else is right. */
static void
check_input(struct check *c, const char *pointer, const json_t *v)
{
	const char *s = json_string_value(v);
	bool takes = c->rules->intake != NULL;

	if (json_is_null(v) && c->files_seen < c->n_files) {
		c->files_seen++;
		if (!takes)
			mistake(c, pointer, "is a file, and this service has no place for files; give an https URL");
	} else if (!s)
		mistake(c, pointer, "has to be a string: an https URL or a data: URI");
	else if (has_nul(v))
		mistake(c, pointer, "must not contain a NUL character");
	else if (input_is_path(s) && takes)
		return;
	else if (!is_data_uri(s))
		check_input_url(c, pointer, s);
	else if (!takes && json_string_length(v) > INPUT_MAX_BYTES)
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
		models_list(c->rules->models, &names);
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

/* One of those that the model's profile has a word for. */
static void
check_choice(struct check *c, const char *pointer, const char *name, const json_t *v)
{
	struct buf words = BUF_INIT(400);

	if (c->has_model && !model_takes(&c->model, name, v, &words)) {
		if (words.err)
			mistake(c, pointer, "is not one of those that the model \"%s\" takes", c->model.name);
		else
			mistake(c, pointer, "has to be one of those that the model \"%s\" takes: %s",
				c->model.name, buf_str(&words));
	}
	buf_clear(&words);
}

static void
check_member(struct check *c, const char *name, const json_t *v)
{
	struct buf pointer = BUF_INIT(1024);

	put_token(&pointer, name);
	c->nomem |= pointer.err == ERR_NOMEM;
	for (size_t i = 0; i < sizeof members / sizeof *members; i++)
		if (strcmp(name, members[i].name) == 0) {
			members[i].check(c, buf_str(&pointer), v);
			check_choice(c, buf_str(&pointer), name, v);
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
	const char *name = v ? json_string_value(v) : c->rules->default_model;

	c->has_model = name && models_offer(c->rules->models, name, &c->model);
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

/* ---- inputs that are taken in ---- */

/* What stands for an input in the fingerprint, and in what the job keeps. */
struct stand_in {
	json_t *hashed, *kept;
};

static enum err_code
take_file(struct check *c, size_t n, size_t index, const char *pointer, struct stand_in *ret, struct err *err)
{
	char text[sizeof "sha256:" + SHA256_HEX_SIZE] = "sha256:";
	uint8_t sha[SHA256_BYTES];
	const char *key = NULL;
	struct err why = ERR_INIT;
	enum err_code rc = intake_take_file(c->rules->intake, n, index, &key, sha, &why);

	if (rc == ERR_OUTPUT_TYPE) {
		mistake(c, pointer, "is no image or video of a kind that is taken: %s", why.text);
		return ERR_OK;
	}
	if (rc)
		return err_set(err, rc, "%s", why.text);
	hex_encode(sha, sizeof sha, text + strlen(text));
	ret->hashed = json_string(text);
	ret->kept = json_string(key);
	return ret->hashed && ret->kept ? ERR_OK : err_set(err, ERR_NOMEM, "inputs");
}

static enum err_code
take_data_uri(struct check *c, const json_t *v, size_t index, const char *pointer, struct stand_in *ret,
	struct err *err)
{
	const struct request_rules *r = c->rules;
	struct buf bytes = BUF_INIT(json_string_length(v));
	struct err why = ERR_INIT;
	enum err_code rc = data_uri_decode(json_string_value(v), json_string_length(v), &bytes, &why);

	if (rc == ERR_INVALID) {
		mistake(c, pointer, "%s", why.text);
		buf_clear(&bytes);
		return ERR_OK;
	}
	if (rc)
		err_set(err, rc, "%s", why.text);
	else
		rc = intake_begin_file(r->svc, r->intake, err);
	if (!rc)
		rc = intake_write(r->svc, r->intake, buf_str(&bytes), bytes.len, err);
	buf_clear(&bytes);
	return rc ? rc : take_file(c, intake_count(r->intake) - 1, index, pointer, ret, err);
}

static enum err_code
take_path(struct check *c, const char *path, size_t index, const char *pointer, json_t *strangers,
	struct err *err)
{
	struct intake *in = c->rules->intake;
	enum err_code rc;

	if (!input_is_own(path, intake_owner(in)))
		return json_array_append_new(strangers, json_pack("{ss, ss}", "pointer", pointer,
			"detail", REQUEST_NO_SUCH_FILE)) ? err_set(err, ERR_NOMEM, "inputs") : ERR_OK;
	rc = intake_reserve(c->rules->svc, in, 0, err);
	return rc ? rc : intake_add_path(in, path, index, err);
}

static enum err_code
take_input(struct check *c, const json_t *v, size_t index, struct stand_in *ret, json_t *strangers,
	struct err *err)
{
	const char *s = json_string_value(v);
	char pointer[64];

	snprintf(pointer, sizeof pointer, "/inputs/%zu", index);
	if (!s)
		return take_file(c, c->files_seen++, index, pointer, ret, err);
	if (is_data_uri(s))
		return take_data_uri(c, v, index, pointer, ret, err);
	return input_is_path(s) ? take_path(c, s, index, pointer, strangers, err) : ERR_OK;
}

/* *hashed, *kept: arrays that stand for the inputs; c->errors may have grown. */
static enum err_code
take_inputs(struct check *c, const json_t *inputs, json_t *hashed, json_t *kept, json_t *strangers,
	struct err *err)
{
	json_t *v;
	size_t i;

	c->files_seen = 0;
	json_array_foreach((json_t *)(uintptr_t)inputs, i, v) {
		struct stand_in in = { .kept = NULL };
		enum err_code rc = take_input(c, v, i, &in, strangers, err);
		int failed = json_array_append_new(hashed, in.hashed ? in.hashed : json_incref(v));

		failed |= json_array_append_new(kept, in.kept ? in.kept : json_incref(v));
		if (rc || failed)
			return rc ? rc : err_set(err, ERR_NOMEM, "inputs");
	}
	return ERR_OK;
}

/* The body is right; its inputs are taken in, and its fingerprint is made. */
static enum err_code
take_in(struct check *c, uint8_t out[SHA256_BYTES], struct err *err)
{
	const json_t *inputs = json_object_get(c->body, "inputs");
	json_t *hashed, *kept, *strangers;
	enum err_code rc;

	if (!c->rules->intake || !inputs)
		return fingerprint(c->body, out, err);
	hashed = json_array();
	kept = json_array();
	strangers = json_array();
	rc = hashed && kept && strangers ? take_inputs(c, inputs, hashed, kept, strangers, err)
		: err_set(err, ERR_NOMEM, "inputs");
	if (!rc && json_array_size(c->errors) == 0 && json_array_size(strangers) > 0) {
		json_array_extend(c->errors, strangers);
		rc = err_set(err, ERR_NOT_FOUND, REQUEST_NO_SUCH_FILE);
	}
	if (!rc && json_array_size(c->errors) == 0 && json_object_set(c->body, "inputs", hashed))
		rc = err_set(err, ERR_NOMEM, "inputs");
	if (!rc && json_array_size(c->errors) == 0)
		rc = fingerprint(c->body, out, err);
	if (!rc && json_object_set(c->body, "inputs", kept))
		rc = err_set(err, ERR_NOMEM, "inputs");
	json_decref(hashed);
	json_decref(kept);
	json_decref(strangers);
	return rc;
}

static enum err_code
say_mistakes(const struct check *c, struct err *err)
{
	return err_set(err, ERR_INVALID, "the request has %zu mistake%s", json_array_size(c->errors),
		json_array_size(c->errors) == 1 ? "" : "s");
}

enum err_code
request_check(json_t *body, size_t n_files, const struct request_rules *rules, struct request *ret,
	json_t **ret_errors, struct err *err)
{
	struct check c = { .body = body, .rules = rules, .n_files = n_files, .errors = json_array() };
	struct request rq = { .body = NULL };
	enum err_code rc = ERR_OK;

	if (c.errors)
		check_body(&c);
	if (c.errors && !c.nomem && json_array_size(c.errors) == 0)
		rc = take_in(&c, rq.fingerprint, err);
	if (!c.errors || c.nomem)
		rc = err_set(err, ERR_NOMEM, "checking the request");
	else if (!rc && json_array_size(c.errors) > 0)
		rc = say_mistakes(&c, err);
	if (rc == ERR_INVALID || rc == ERR_NOT_FOUND) {
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

/*
 * How much of it is no data: URI.  Told before it is parsed, since Jansson takes forty
 * to eighty times the bytes of a body that is all brackets; a short URI counts whole.
 */
static size_t
plain_bytes(const char *text, size_t len)
{
	size_t plain = len, i = 0;

	while (i < len) {
		const char *quote = memchr(text + i, '"', len - i);
		size_t begin = quote ? (size_t)(quote - text) + 1 : len;

		for (i = begin; i < len && text[i] != '"'; i++)
			i += text[i] == '\\' && i + 1 < len;
		if (i - begin > URI_SHORT_BYTES && is_data_uri(text + begin))
			plain -= i - begin - URI_SHORT_BYTES;
		i++;
	}
	return plain;
}

enum err_code
request_parse(char *text, size_t len, const struct request_rules *rules,
	struct request *ret, json_t **ret_errors, struct err *err)
{
	json_t *body;
	size_t n_files = 0;
	enum err_code rc = ERR_OK;

	if (len > REQUEST_MAX_BYTES && plain_bytes(text, len) > REQUEST_MAX_BYTES)
		return err_set(err, ERR_TOO_BIG, "the body without its data: URIs is larger than %d bytes",
			REQUEST_MAX_BYTES);
	if (len > REQUEST_MAX_BYTES && rules->intake)
		rc = lift_inputs(rules->svc, rules->intake, text, len, &n_files, err);
	if (!rc)
		rc = parse(text, len, &body, err);
	return rc ? rc : request_check(body, n_files, rules, ret, ret_errors, err);
}
