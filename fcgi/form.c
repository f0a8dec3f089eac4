#include "config.h"

#include "fcgi/form.h"

#include "base/multipart.h"
#include "core/request.h"

#define PIECE_BYTES 65536

struct form {
	struct exchange *x;
	struct intake *in;		/* NULL: files go nowhere */
	json_t *body, *inputs;
	size_t n_files;
	struct buf value;		/* of a field of text */
	size_t text_bytes;		/* of all of them */
	char name[MULTIPART_NAME_MAX + 1];
	enum { TEXT, TO_INTAKE, NOWHERE } goes;
};

/* How a field's text is to be read; all others are text. */
static const struct {
	const char *name;
	enum { NUMBER, JSON } kind;
} kinds[] = {
	{ "width", NUMBER }, { "height", NUMBER }, { "count", NUMBER }, { "seed", NUMBER },
	{ "params", JSON }, { "metadata", JSON },
};

static bool
is_input(const char *name)
{
	return strcmp(name, "inputs") == 0 || strcmp(name, "input") == 0;
}

static enum err_code
add_input(struct form *f, json_t *v, struct err *err)
{
	if (json_array_size(f->inputs) == INTAKE_ITEMS_MAX) {
		json_decref(v);
		return err_set(err, ERR_BAD_REQUEST, "the form has more than %d inputs", INTAKE_ITEMS_MAX);
	}
	return json_array_append_new(f->inputs, v) ? err_set(err, ERR_NOMEM, "form") : ERR_OK;
}

/* A file that is no input: no member takes a truth value, so it is said what is
 * wrong with it. */
static enum err_code
begin_stray_file(struct form *f, struct err *err)
{
	f->goes = NOWHERE;
	return json_object_set_new(f->body, f->name, json_true()) ? err_set(err, ERR_NOMEM, "form") : ERR_OK;
}

static enum err_code
begin_file(struct form *f, struct err *err)
{
	enum err_code rc = add_input(f, json_null(), err);

	f->goes = f->in ? TO_INTAKE : NOWHERE;
	if (!rc && f->in)
		rc = intake_begin_file(f->x->svc, f->in, err);
	f->n_files += !rc;
	return rc;
}

/* It becomes a member's, and is repeated in what is said against it. */
static enum err_code
check_name(const char *name, struct err *err)
{
	json_t *v = json_string(name);

	if (!v)
		return json_lasted() ? err_set(err, ERR_BAD_REQUEST, "a field's name is not UTF-8")
			: err_set(err, ERR_NOMEM, "form");
	json_decref(v);
	return ERR_OK;
}

static enum err_code
begin(void *ctx, const struct multipart_part *part, struct err *err)
{
	struct form *f = ctx;
	enum err_code rc = check_name(part->name, err);

	if (rc)
		return rc;
	snprintf(f->name, sizeof f->name, "%s", part->name);
	buf_reset(&f->value);
	f->goes = TEXT;
	if (part->is_nameless)
		f->goes = NOWHERE;
	else if (part->is_file)
		return is_input(part->name) ? begin_file(f, err) : begin_stray_file(f, err);
	return ERR_OK;
}

static enum err_code
data(void *ctx, const char *p, size_t len, struct err *err)
{
	struct form *f = ctx;

	if (f->goes == NOWHERE)
		return ERR_OK;
	if (f->goes == TO_INTAKE)
		return intake_write(f->x->svc, f->in, p, len, err);
	f->text_bytes += len;
	buf_put(&f->value, p, len);
	if (f->text_bytes > REQUEST_MAX_BYTES || f->value.err == ERR_TOO_BIG)
		return err_set(err, ERR_TOO_BIG, "the form without its files is larger than %d bytes", REQUEST_MAX_BYTES);
	return f->value.err ? err_set(err, f->value.err, "form") : ERR_OK;
}

/* Text that is not UTF-8 is none of JSON's. */
static enum err_code
read_text(const struct form *f, json_t **ret, struct err *err)
{
	json_t *v = json_stringn(buf_str(&f->value), f->value.len);

	if (!v)
		return json_lasted() ? err_set(err, ERR_BAD_REQUEST, "the field \"%s\" is not UTF-8", f->name)
			: err_set(err, ERR_NOMEM, "form");
	*ret = v;
	return ERR_OK;
}

/* What it says as JSON, if it is of that kind; else the text, which is a mistake then. */
static enum err_code
read_value(const struct form *f, json_t **ret, struct err *err)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		json_error_t why = { .line = 0 };
		json_t *v;

		if (strcmp(f->name, kinds[i].name) != 0)
			continue;
		v = json_read(buf_str(&f->value), f->value.len,
			JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &why);
		if (!v && json_error_code(&why) == json_error_out_of_memory)
			return err_set(err, ERR_NOMEM, "form");
		if (v && (kinds[i].kind == NUMBER) == json_is_number(v)) {
			*ret = v;
			return ERR_OK;
		}
		json_decref(v);
	}
	return read_text(f, ret, err);
}

static enum err_code
end(void *ctx, struct err *err)
{
	struct form *f = ctx;
	json_t *v = NULL;
	enum err_code rc;

	if (f->goes != TEXT || f->value.len == 0)
		return ERR_OK;
	rc = is_input(f->name) ? read_text(f, &v, err) : read_value(f, &v, err);
	if (rc)
		return rc;
	if (is_input(f->name))
		return add_input(f, v, err);
	if (json_object_get(f->body, f->name)) {
		json_decref(v);
		return err_set(err, ERR_BAD_REQUEST, "the form has the field \"%s\" more than once", f->name);
	}
	return json_object_set_new(f->body, f->name, v) ? err_set(err, ERR_NOMEM, "form") : ERR_OK;
}

static const struct multipart_events events = { begin, data, end };

/*
 * A page of another site may send a form, and the browser sends along what the web
 * server knows its user by; JSON it may not send without asking.  A token no page
 * sends by itself.
 */
static enum err_code
check_origin(const struct exchange *x, struct err *err)
{
	const char *origin = exchange_header(x, "origin");
	const struct url *here = &x->svc->here;
	struct url there = { .scheme = NULL };
	enum err_code rc;
	bool same;

	if (x->svc->auth || !origin)
		return ERR_OK;
	rc = url_parse(origin, &there);
	same = !rc && strcmp(there.scheme, here->scheme) == 0 && strcmp(there.host, here->host) == 0 &&
		there.port == here->port;
	url_clear(&there);
	if (rc == ERR_NOMEM)
		return err_set(err, rc, "form");
	return same ? ERR_OK : err_set(err, ERR_FORBIDDEN, "A form of another site's page is not taken.");
}

static enum err_code
feed(struct form *f, struct multipart *m, uint64_t len, struct err *err)
{
	char *piece = mem_alloc(PIECE_BYTES);
	enum err_code rc = piece ? ERR_OK : err_set(err, ERR_NOMEM, "form");

	while (!rc && len > 0) {
		size_t want = len < PIECE_BYTES ? (size_t)len : PIECE_BYTES;
		size_t n = f->x->io->read(f->x->conn, piece, want);

		rc = multipart_feed(m, piece, n, err);
		len -= n;
		if (!rc && n < want)
			rc = err_set(err, ERR_BAD_REQUEST, "the body ends %llu bytes early", (unsigned long long)len);
	}
	mem_free(piece);
	return rc ? rc : multipart_finish(m, err);
}

static enum err_code
read_all(struct form *f, struct multipart *m, struct err *err)
{
	const struct settings *s = f->x->svc->settings;
	uint64_t max = REQUEST_MAX_BYTES + (f->in ? s->max_inputs_bytes : 0), len = 0;
	enum err_code rc = exchange_body_length(f->x, max, &len, err);

	if (!rc)
		rc = check_origin(f->x, err);
	if (!rc && f->in)
		rc = intake_reserve(f->x->svc, f->in, len, err);
	if (!rc)
		rc = multipart_init(m, exchange_param(f->x, "CONTENT_TYPE"), &events, f, err);
	if (!rc)
		rc = feed(f, m, len, err);
	if (!rc && json_array_size(f->inputs) > 0 && json_object_set(f->body, "inputs", f->inputs))
		rc = err_set(err, ERR_NOMEM, "form");
	return rc;
}

enum err_code
form_read(struct exchange *x, struct intake *in, json_t **ret_body, size_t *ret_files, struct err *err)
{
	struct form f = {
		.x = x, .in = in, .body = json_object(), .inputs = json_array(), .value = BUF_INIT(REQUEST_MAX_BYTES),
	};
	struct multipart *m = mem_alloc(sizeof *m);	/* large for a thread's stack */
	enum err_code rc = m && f.body && f.inputs ? read_all(&f, m, err) : err_set(err, ERR_NOMEM, "form");

	if (!rc) {
		*ret_body = f.body;
		*ret_files = f.n_files;
		f.body = NULL;
	}
	json_decref(f.body);
	json_decref(f.inputs);
	buf_clear(&f.value);
	mem_free(m);
	return rc;
}
