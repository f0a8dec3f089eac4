#include "config.h"

#include "base/cfg_value.h"

#include <string.h>
#include <strings.h>

#define QUOTE_MAX_BYTES 60	/* of a wrong value, in a mistake */

struct unit {
	const char *name;
	uint64_t scale;
};

static const struct unit duration_units[] = {
	{ "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 },
	{ NULL, 0 },
};
static const struct unit size_units[] = {
	{ "B", 1 }, { "kB", 1000 }, { "MB", 1000000 }, { "GB", 1000000000 },
	{ NULL, 0 },
};

bool
cfg_is_blank(char c)
{
	return c && strchr(CFG_BLANKS, c);
}

static const struct unit *
units_of(enum cfg_type type)
{
	switch (type) {
	case CFG_DURATION:
		return duration_units;
	case CFG_SIZE:
		return size_units;
	case CFG_STR:
	case CFG_UINT:
	case CFG_BOOL:
	case CFG_WORD:
		break;
	}
	return NULL;
}

/* In the written form, with the largest unit that leaves no rest. */
void
cfg_put_number(struct buf *out, enum cfg_type type, uint64_t n)
{
	const struct unit *u = units_of(type), *best = NULL;

	for (; u && u->name && n; u++)
		if (n % u->scale == 0)
			best = u;
	if (best)
		n /= best->scale;
	buf_printf(out, "%llu%s", (unsigned long long)n, best ? best->name : "");
}

bool
cfg_has_range(const struct cfg_row *row)
{
	return row->min || row->max;
}

void
cfg_put_range(struct buf *out, const struct cfg_row *row)
{
	if (!row->max)
		buf_puts(out, "at least ");
	else if (!row->min)
		buf_puts(out, "at most ");
	if (row->min || !row->max)
		cfg_put_number(out, row->type, row->min);
	if (row->min && row->max)
		buf_puts(out, " to ");
	if (row->max)
		cfg_put_number(out, row->type, row->max);
	if (row->type == CFG_STR)
		buf_puts(out, " bytes");
}

void
cfg_put_words(struct buf *out, const struct cfg_row *row, const char *mark)
{
	for (size_t i = 0; row->words[i]; i++)
		buf_printf(out, "%s%s%s%s", i ? ", " : "", mark, row->words[i], mark);
}

/* ---- from text to value ---- */

/* A secret is not shown even when it is wrong: most of it may be right. */
static void
put_quoted(struct buf *out, const struct cfg_row *row, const char *s)
{
	size_t len = strlen(s);

	if (row->flags & CFG_SECRET) {
		buf_puts(out, "the value");
		return;
	}
	buf_put_json_string(out, s, len > QUOTE_MAX_BYTES ? QUOTE_MAX_BYTES : len);
	if (len > QUOTE_MAX_BYTES)
		buf_puts(out, "...");
}

static enum err_code
wrong(const struct cfg_row *row, const char *s, const char *what, struct buf *why)
{
	put_quoted(why, row, s);
	buf_puts(why, what);
	return ERR_INVALID;
}

static enum err_code
check_range(const struct cfg_row *row, const char *s, uint64_t n, struct buf *why)
{
	if (n >= row->min && (!row->max || n <= row->max))
		return ERR_OK;
	wrong(row, s, row->type == CFG_STR ? " has the wrong length (" :
		" is out of range (", why);
	cfg_put_range(why, row);
	buf_putc(why, ')');
	return ERR_INVALID;
}

static enum err_code
parse_str(const struct cfg_row *row, const char *s, union cfg_value *ret, struct buf *why)
{
	enum err_code rc;

	ret->str = NULL;
	if (!*s && row->flags & CFG_REQUIRED) {
		buf_puts(why, "is required and may not be empty");
		return ERR_INVALID;
	}
	if (!*s)
		return ERR_OK;
	rc = check_range(row, s, strlen(s), why);
	if (rc)
		return rc;
	ret->str = mem_strdup(s);
	return ret->str ? ERR_OK : ERR_NOMEM;
}

static enum err_code
parse_uint(const struct cfg_row *row, const char *s, union cfg_value *ret, struct buf *why)
{
	size_t len = strlen(s);

	if (!len || strspn(s, "0123456789") != len)
		return wrong(row, s, " is not a whole number", why);
	if (parse_u64(s, len, 0, UINT64_MAX, &ret->num))
		return wrong(row, s, " is too large", why);
	return check_range(row, s, ret->num, why);
}

static enum err_code
parse_bool(const struct cfg_row *row, const char *s, union cfg_value *ret, struct buf *why)
{
	static const struct { const char *word; bool on; } words[] = {
		{ "on", true }, { "yes", true }, { "true", true },
		{ "off", false }, { "no", false }, { "false", false },
	};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (strcmp(words[i].word, s) == 0) {
			ret->on = words[i].on;
			return ERR_OK;
		}
	}
	return wrong(row, s, " is neither on nor off", why);
}

static enum err_code
parse_word(const struct cfg_row *row, const char *s, union cfg_value *ret, struct buf *why)
{
	for (int i = 0; row->words[i]; i++) {
		if (strcmp(row->words[i], s) == 0) {
			ret->word = i;
			return ERR_OK;
		}
	}
	wrong(row, s, " is not one of ", why);
	cfg_put_words(why, row, "");
	return ERR_INVALID;
}

static const struct unit *
find_unit(const struct unit *u, const char *name)
{
	for (; u->name; u++)
		if (strcmp(u->name, name) == 0)
			return u;
	return NULL;
}

/* The unit that "M", "mb" or " MB" was meant to be, or NULL. */
static const struct unit *
guess_unit(const struct unit *u, const char *name)
{
	size_t len;

	name += strspn(name, CFG_BLANKS);
	len = strlen(name);
	for (; len && u->name; u++)
		if (strncasecmp(u->name, name, len) == 0 &&
		    (!u->name[len] || strcmp(u->name + len, "B") == 0))
			return u;
	return NULL;
}

static enum err_code
wrong_unit(const struct cfg_row *row, const char *s, size_t digits, struct buf *why)
{
	const struct unit *u = units_of(row->type);
	const struct unit *guess = guess_unit(u, s + digits);

	/* "8M" counts as one without: what is missing is what has to be added. */
	if (!s[digits] || (guess && strlen(guess->name) > strlen(s + digits)))
		wrong(row, s, " has no unit; ", why);
	else
		wrong(row, s, " has an unknown unit; ", why);
	if (guess && !(row->flags & CFG_SECRET) && digits <= QUOTE_MAX_BYTES) {
		buf_printf(why, "write it as %.*s%s", (int)digits, s, guess->name);
		return ERR_INVALID;
	}
	buf_puts(why, "the units are ");
	for (size_t i = 0; u[i].name; i++)
		buf_printf(why, "%s%s", i ? ", " : "", u[i].name);
	return ERR_INVALID;
}

/* A number with a unit; 0 needs none. */
static enum err_code
parse_scaled(const struct cfg_row *row, const char *s, union cfg_value *ret, struct buf *why)
{
	size_t digits = strspn(s, "0123456789");
	const struct unit *u = find_unit(units_of(row->type), s + digits);
	uint64_t scale = u ? u->scale : 1;

	if (!digits)
		return wrong(row, s, row->type == CFG_SIZE ?
			" is not a size such as 512B, 64kB, 8MB or 1GB" :
			" is not a duration such as 250ms, 90s, 10m, 2h or 7d", why);
	if (!u && (s[digits] || strspn(s, "0") != digits))
		return wrong_unit(row, s, digits, why);
	if (parse_u64(s, digits, 0, UINT64_MAX / scale, &ret->num))
		return wrong(row, s, " is too large", why);
	ret->num *= scale;
	return check_range(row, s, ret->num, why);
}

enum err_code
cfg_parse_duration(const char *s, uint64_t *ret_ms, struct err *err)
{
	static const struct cfg_row row = { .name = "duration", .type = CFG_DURATION };
	struct buf why = BUF_INIT(MISTAKE_MAX_BYTES);
	union cfg_value v = { .num = 0 };
	enum err_code rc = parse_scaled(&row, s, &v, &why);

	if (rc)
		rc = err_set(err, rc, "%s", buf_str(&why));
	else
		*ret_ms = v.num;
	buf_clear(&why);
	return rc;
}

enum err_code
cfg_value_parse(const struct cfg_row *row, const char *s, union cfg_value *ret, struct buf *why)
{
	switch (row->type) {
	case CFG_STR:
		return parse_str(row, s, ret, why);
	case CFG_UINT:
		return parse_uint(row, s, ret, why);
	case CFG_BOOL:
		return parse_bool(row, s, ret, why);
	case CFG_WORD:
		return parse_word(row, s, ret, why);
	case CFG_DURATION:
	case CFG_SIZE:
		return parse_scaled(row, s, ret, why);
	}
	return ERR_INTERNAL;
}

/* ---- targets ---- */

static size_t
member_size(enum cfg_type type)
{
	switch (type) {
	case CFG_STR:
		return sizeof(char *);
	case CFG_BOOL:
		return sizeof(bool);
	case CFG_WORD:
		return sizeof(int);
	case CFG_UINT:
	case CFG_DURATION:
	case CFG_SIZE:
		break;
	}
	return sizeof(uint64_t);
}

void
cfg_value_store(const struct cfg_row *row, void *target, const union cfg_value *v)
{
	memcpy((char *)target + row->offset, v, member_size(row->type));
}

union cfg_value
cfg_value_fetch(const struct cfg_row *row, const void *target)
{
	union cfg_value v = { .num = 0 };

	memcpy(&v, (const char *)target + row->offset, member_size(row->type));
	return v;
}

void
cfg_value_clear(const struct cfg_row *row, void *target)
{
	const union cfg_value none = { .str = NULL };
	union cfg_value v = cfg_value_fetch(row, target);

	if (row->type != CFG_STR)
		return;
	if (v.str && row->flags & CFG_SECRET)
		mem_free_secret(v.str, strlen(v.str));
	else
		mem_free(v.str);
	cfg_value_store(row, target, &none);
}

bool
cfg_value_differs(const struct cfg_row *row, const union cfg_value *a, const union cfg_value *b)
{
	if (row->type != CFG_STR)
		return memcmp(a, b, member_size(row->type)) != 0;
	if (!a->str || !b->str)
		return a->str != b->str;
	return strcmp(a->str, b->str) != 0;
}
