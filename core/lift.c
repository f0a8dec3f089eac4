#include "config.h"

#include "core/lift.h"

#include <string.h>

#include "base/crypto.h"
#include "base/data_uri.h"

#define LONG_BYTES 1024		/* of a URI that is worth it */
#define HEAD_MAX 256		/* before its comma */
#define CHUNK_BYTES 65536	/* of base64, at one time: a multiple of four */

#define INPUTS "inputs"

struct lift {
	struct service *svc;
	struct intake *in;
	char *text;
	size_t len, at;
	int depth;			/* of objects and arrays */
	bool is_inputs;			/* the outermost object's present member */
	size_t files;
};

/* From behind a quote to the next that ends a text. */
static size_t
find_end(const struct lift *l, size_t begin)
{
	for (size_t i = begin; i < l->len; i++) {
		const char *quote = memchr(l->text + i, '"', l->len - i);
		size_t slashes = 0;

		if (!quote)
			break;
		i = (size_t)(quote - l->text);
		while (i - slashes > begin && l->text[i - slashes - 1] == '\\')
			slashes++;
		if (slashes % 2 == 0)
			return i;
	}
	return l->len;
}

/* Some write a slash with a backslash before it.  false: there is another escape. */
static bool
unescape_slashes(char *p, size_t *len)
{
	const char *from = memchr(p, '\\', *len), *end = p + *len;
	char *to = p + (from ? from - p : 0);

	for (const char *s = from; s && s < end; s++)
		if (*s == '\\' && *++s != '/')
			return false;
	for (; from && from < end; from++) {
		from += *from == '\\';
		*to++ = *from;
	}
	if (from) {
		memset(to, ' ', (size_t)(end - to));
		*len = (size_t)(to - p);
	}
	return true;
}

/* With nothing before its base64 that JSON would have refused. */
static bool
is_long_uri(const char *uri, size_t len)
{
	const char *base64 = len > LONG_BYTES && is_data_uri(uri) ? data_uri_base64(uri, len) : NULL;

	if (!base64 || base64 - uri > HEAD_MAX)
		return false;
	for (const char *s = uri; s < base64; s++)
		if (*s < ' ' || *s > '~')
			return false;
	return true;
}

/* ERR_INVALID: it is no base64. */
static enum err_code
write_decoded(const struct lift *l, const char *base64, size_t len, struct err *err)
{
	struct buf bytes = BUF_INIT(CHUNK_BYTES);
	enum err_code rc = ERR_OK;

	for (size_t at = 0, n; !rc && at < len; at += n) {
		n = len - at < CHUNK_BYTES ? len - at : CHUNK_BYTES;
		buf_reset(&bytes);
		/* Padding is at the end of all. */
		if (at + n < len && base64[at + n - 1] == '=')
			rc = ERR_INVALID;
		else
			rc = base64_decode(&bytes, base64 + at, n);
		if (!rc)
			rc = intake_write(l->svc, l->in, buf_str(&bytes), bytes.len, err);
	}
	if (bytes.err)
		rc = err_set(err, bytes.err, "data: URI");
	buf_clear(&bytes);
	return rc;
}

/* The text of an input, between its quotes. */
static enum err_code
lift_one(struct lift *l, size_t begin, size_t end, struct err *err)
{
	char *uri = l->text + begin;
	size_t len = end - begin;
	const char *base64;
	enum err_code rc;

	if (!is_long_uri(uri, len) || intake_count(l->in) == INTAKE_ITEMS_MAX || !unescape_slashes(uri, &len))
		return ERR_OK;
	base64 = data_uri_base64(uri, len);
	rc = intake_begin_file(l->svc, l->in, err);
	if (!rc)
		rc = write_decoded(l, base64, len - (size_t)(base64 - uri), err);
	if (rc == ERR_INVALID) {
		intake_undo_file(l->in);
		return ERR_OK;
	}
	if (rc)
		return rc;
	l->files++;
	memset(uri - 1, ' ', end - begin + 2);
	memcpy(uri - 1, "null", 4);
	return ERR_OK;
}

/* The next text of the outermost object is a member's name, or its value. */
static void
take_name(struct lift *l, size_t begin, size_t end)
{
	size_t at = end + 1;

	while (at < l->len && strchr(" \t\r\n", l->text[at]))
		at++;
	if (at < l->len && l->text[at] == ':')
		l->is_inputs = end - begin == sizeof INPUTS - 1 && memcmp(l->text + begin, INPUTS, end - begin) == 0;
}

static bool
is_among_inputs(const struct lift *l)
{
	return l->is_inputs && l->depth == 2;
}

static enum err_code
take_text(struct lift *l, struct err *err)
{
	size_t begin = l->at + 1, end = find_end(l, begin);
	enum err_code rc = ERR_OK;

	if (end < l->len && is_among_inputs(l))
		rc = lift_one(l, begin, end, err);
	else if (l->depth == 1)
		take_name(l, begin, end);
	l->at = end;
	return rc;
}

/* Is there more to look at?  Inputs end with the array; or with something that is no text,
 * since the first nulls are to be ours. */
static bool
take_other(struct lift *l)
{
	bool was_among = is_among_inputs(l);
	char c = l->text[l->at];

	if (c == '{' && l->depth == 1)	/* inputs that are no list */
		l->is_inputs = false;
	if (c == '[' || c == '{')
		l->depth++;
	else if (c == ']' || c == '}')
		l->depth--;
	return !was_among || strchr(", \t\r\n", c);
}

enum err_code
lift_inputs(struct service *svc, struct intake *in, char *text, size_t len, size_t *ret_files,
	struct err *err)
{
	struct lift l = { .svc = svc, .in = in, .text = text, .len = len };
	enum err_code rc = ERR_OK;

	for (; !rc && l.at < len; l.at++) {
		if (text[l.at] == '"')
			rc = take_text(&l, err);
		else if (!take_other(&l))
			break;
	}
	*ret_files = l.files;
	return rc;
}
