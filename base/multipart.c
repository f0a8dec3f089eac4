#include "config.h"

#include "base/multipart.h"

#include <string.h>
#include <strings.h>

/* ---- parameters of a header ---- */

static bool
is_space(char c)
{
	return c == ' ' || c == '\t';
}

static const char *
skip_spaces(const char *p, const char *end)
{
	while (p < end && is_space(*p))
		p++;
	return p;
}

/* The quoted text at p, which is behind the quote; *ret_len of it go to out, at most
 * size.  Browsers escape nothing but %22 for the quote (HTML, "multipart/form-data"),
 * others put a backslash before it and before itself.  NULL: it does not end. */
static const char *
read_quoted(const char *p, const char *end, char *out, size_t size, size_t *ret_len)
{
	size_t n = 0;

	for (; p < end && *p != '"'; p++) {
		if (*p == '\\' && p + 1 < end && (p[1] == '"' || p[1] == '\\'))
			p++;
		if (n < size)
			out[n] = *p;
		n++;
	}
	*ret_len = n;
	return p < end ? p + 1 : NULL;
}

static const char *
read_bare(const char *p, const char *end, char *out, size_t size, size_t *ret_len)
{
	size_t n = 0;

	for (; p < end && *p != ';' && !is_space(*p); p++, n++)
		if (n < size)
			out[n] = *p;
	*ret_len = n;
	return p;
}

/*
 * The parameter of that name among those behind a header's value, from p to end.
 * *ret_len: how long it is, also where out has no room for all.  false: it is not
 * there, or they cannot be read.
 */
static bool
find_param(const char *p, const char *end, const char *name, char *out, size_t size, size_t *ret_len)
{
	size_t name_len = strlen(name);

	while (p < end && *p == ';') {
		const char *key = skip_spaces(p + 1, end), *eq = key;
		bool is_it;

		while (eq < end && *eq != '=' && *eq != ';')
			eq++;
		if (eq == end || *eq == ';') {	/* a parameter without a value */
			p = eq;
			continue;
		}
		is_it = (size_t)(eq - key) == name_len && strncasecmp(key, name, name_len) == 0;
		p = eq + 1 < end && eq[1] == '"' ? read_quoted(eq + 2, end, out, is_it ? size : 0, ret_len)
			: read_bare(eq + 1, end, out, is_it ? size : 0, ret_len);
		if (is_it || !p)
			return p != NULL;
		p = skip_spaces(p, end);
	}
	return false;
}

/* Behind the value before the parameters, which has to be that; NULL: it is not. */
static const char *
skip_value(const char *p, const char *end, const char *value)
{
	size_t len = strlen(value);

	p = skip_spaces(p, end);
	if ((size_t)(end - p) < len || strncasecmp(p, value, len) != 0)
		return NULL;
	p = skip_spaces(p + len, end);
	return p == end || *p == ';' ? p : NULL;
}

bool
multipart_is_form(const char *type)
{
	return type && skip_value(type, type + strlen(type), "multipart/form-data");
}

/* RFC 2046 section 5.1.1: bchars, and none that is a space at the end. */
static bool
boundary_is_good(const char *s, size_t len)
{
	static const char others[] = "'()+_,-./:=? ";

	for (size_t i = 0; i < len; i++)
		if (!(s[i] >= '0' && s[i] <= '9') && !(s[i] >= 'A' && s[i] <= 'Z') &&
		    !(s[i] >= 'a' && s[i] <= 'z') && (!s[i] || !strchr(others, s[i])))
			return false;
	return len > 0 && len <= MULTIPART_BOUNDARY_MAX && s[len - 1] != ' ';
}

enum err_code
multipart_init(struct multipart *m, const char *type, const struct multipart_events *events,
	void *ctx, struct err *err)
{
	const char *end = type + strlen(type), *p = skip_value(type, end, "multipart/form-data");
	size_t len = 0;

	*m = (struct multipart){ .events = events, .ctx = ctx };
	memcpy(m->delimiter, "\r\n--", 4);
	if (!p || !find_param(p, end, "boundary", m->delimiter + 4, MULTIPART_BOUNDARY_MAX, &len) ||
	    !boundary_is_good(m->delimiter + 4, len))
		return err_set(err, ERR_BAD_REQUEST, "multipart/form-data needs a boundary of 1 to %d characters",
			MULTIPART_BOUNDARY_MAX);
	m->delimiter_len = 4 + len;
	m->matched = 2;		/* the first delimiter needs no line before it */
	return ERR_OK;
}

/* ---- a part's headers ---- */

static const char *
find_line_end(const char *p, const char *end)
{
	for (; p + 1 < end; p++)
		if (p[0] == '\r' && p[1] == '\n')
			return p;
	return end;
}

/* What is behind "Content-Disposition:"; NULL: there is no such line. */
static const char *
find_disposition(const struct multipart *m, const char **ret_end)
{
	static const char name[] = "content-disposition:";
	const char *p = m->header, *end = p + m->header_len;

	while (p < end) {
		const char *eol = find_line_end(p, end);

		if ((size_t)(eol - p) >= sizeof name - 1 && strncasecmp(p, name, sizeof name - 1) == 0) {
			*ret_end = eol;
			return p + sizeof name - 1;
		}
		p = eol == end ? end : eol + 2;
	}
	return NULL;
}

static enum err_code
begin_part(struct multipart *m, struct err *err)
{
	char name[MULTIPART_NAME_MAX + 1], file[1];
	const char *end = NULL, *p = find_disposition(m, &end);
	struct multipart_part part = { .name = name };
	size_t len = 0, file_len = 0;

	if (p)
		p = skip_value(p, end, "form-data");
	if (!p || !find_param(p, end, "name", name, MULTIPART_NAME_MAX, &len))
		return err_set(err, ERR_BAD_REQUEST, "part %zu of the form has no name", m->parts);
	if (len > MULTIPART_NAME_MAX || memchr(name, '\0', len))
		return err_set(err, ERR_BAD_REQUEST, "part %zu of the form has a name that cannot be: at most %d "
			"bytes are taken", m->parts, MULTIPART_NAME_MAX);
	name[len] = '\0';
	part.is_file = find_param(p, end, "filename", file, sizeof file, &file_len) ||
		find_param(p, end, "filename*", file, sizeof file, &file_len);
	part.is_nameless = part.is_file && file_len == 0;
	return m->events->begin(m->ctx, &part, err);
}

/* ---- the body ---- */

static bool
headers_have_ended(const struct multipart *m)
{
	size_t n = m->header_len;

	return (n == 2 && memcmp(m->header, "\r\n", 2) == 0) ||
		(n >= 4 && memcmp(m->header + n - 4, "\r\n\r\n", 4) == 0);
}

static enum err_code
take_header(struct multipart *m, char c, struct err *err)
{
	if (m->header_len == sizeof m->header)
		return err_set(err, ERR_BAD_REQUEST, "part %zu of the form has headers of more than %d bytes",
			m->parts, MULTIPART_HEADER_MAX);
	m->header[m->header_len++] = c;
	if (!headers_have_ended(m))
		return ERR_OK;
	m->state = MULTIPART_BODY;
	return begin_part(m, err);
}

static enum err_code
delimiter_came(struct multipart *m, struct err *err)
{
	enum err_code rc = m->state == MULTIPART_BODY ? m->events->end(m->ctx, err) : ERR_OK;

	m->state = MULTIPART_AFTER_DELIMITER;
	m->matched = 0;
	m->header_len = 0;
	m->seen_dash = false;
	return rc;
}

/* "--" ends it all, a line's end begins a part; blanks before that do not count. */
static enum err_code
take_after_delimiter(struct multipart *m, char c, struct err *err)
{
	if (c == '-' && m->header_len == 0) {
		if (m->seen_dash)
			m->state = MULTIPART_EPILOGUE;
		m->seen_dash = true;
		return ERR_OK;
	}
	if (!m->seen_dash && is_space(c) && m->header_len == 0)
		return ERR_OK;
	if (!m->seen_dash && c == '\r' && m->header_len == 0) {
		m->header_len = 1;
		return ERR_OK;
	}
	if (c != '\n' || m->header_len != 1)
		return err_set(err, ERR_BAD_REQUEST, "the form's delimiter is followed by something else");
	if (++m->parts > MULTIPART_PARTS_MAX)
		return err_set(err, ERR_BAD_REQUEST, "the form has more than %d parts", MULTIPART_PARTS_MAX);
	m->header_len = 0;
	m->state = MULTIPART_HEADERS;
	return ERR_OK;
}

static enum err_code
pass_on(struct multipart *m, const char *p, size_t len, struct err *err)
{
	return m->state == MULTIPART_BODY && len > 0 ? m->events->data(m->ctx, p, len, err) : ERR_OK;
}

/*
 * Up to the next delimiter; *ret_used of p were looked at.  A CR is nowhere in a
 * delimiter but at its beginning, so one that does not match begins anew at most
 * with the byte that did not.
 */
static enum err_code
take_content(struct multipart *m, const char *p, size_t len, size_t *ret_used, struct err *err)
{
	size_t i = 0;

	while (i < len && m->matched == 0) {
		const char *cr = memchr(p + i, '\r', len - i);
		size_t n = cr ? (size_t)(cr - p) - i : len - i;
		enum err_code rc = pass_on(m, p + i, n, err);

		if (rc)
			return rc;
		i += n;
		if (cr) {
			m->matched = 1;
			i++;
		}
	}
	while (i < len && m->matched > 0) {
		if (p[i] != m->delimiter[m->matched]) {
			enum err_code rc = pass_on(m, m->delimiter, m->matched, err);

			m->matched = 0;
			*ret_used = i;
			return rc;
		}
		i++;
		if (++m->matched == m->delimiter_len) {
			*ret_used = i;
			return delimiter_came(m, err);
		}
	}
	*ret_used = i;
	return ERR_OK;
}

enum err_code
multipart_feed(struct multipart *m, const char *p, size_t len, struct err *err)
{
	enum err_code rc = ERR_OK;

	while (len > 0 && !rc) {
		size_t used = 1;

		switch (m->state) {
		case MULTIPART_PREAMBLE:
		case MULTIPART_BODY:
			rc = take_content(m, p, len, &used, err);
			break;
		case MULTIPART_AFTER_DELIMITER:
			rc = take_after_delimiter(m, *p, err);
			break;
		case MULTIPART_HEADERS:
			rc = take_header(m, *p, err);
			break;
		case MULTIPART_EPILOGUE:
			used = len;
			break;
		}
		p += used;
		len -= used;
	}
	return rc;
}

enum err_code
multipart_finish(const struct multipart *m, struct err *err)
{
	return m->state == MULTIPART_EPILOGUE ? ERR_OK
		: err_set(err, ERR_BAD_REQUEST, "the form ends before its last delimiter");
}
