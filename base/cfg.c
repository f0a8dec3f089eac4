#include "config.h"

#include "base/cfg.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cfg_value.h"

#define FILE_MAX_BYTES 1000000
#define SECRET_MAX_BYTES 65536	/* of a file that holds one value */
#define NAME_MAX_BYTES 64	/* longer ones resemble none of ours */

static const char env_prefix[] = "GENGATE_";
static const char env_suffix[] = "_FILE";
static const char file_suffix[] = "_file";
static const char credentials_name[] = "CREDENTIALS_DIRECTORY";

/* ..._PATH: by the name of a file that has the value. */
enum source { FROM_DEFAULT, FROM_FILE, FROM_FILE_PATH, FROM_CREDENTIAL, FROM_ENV, FROM_ENV_PATH };

/* A row and what was found for it. */
struct slot {
	const struct cfg_row *row;
	void *target;
	unsigned line;			/* where it stands in the file; 0: it does not */
	const char *env, *env_path;	/* GENGATE_X and GENGATE_X_FILE; borrowed */
	bool given;			/* set, rightly or wrongly */
};

struct load {
	const char *path;
	struct slot *slots;
	size_t n_slots;
	const char *credentials;	/* a folder; borrowed from env; NULL: none */
	struct buf *mistakes;
	struct buf *warnings;
	size_t n_mistakes;
	bool has_secrets;		/* the configuration file itself has */
	bool nomem;
};

/* Locale must not decide what our names are, so no <ctype.h>. */
static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static char
upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static void
put_upper(struct buf *out, const char *s)
{
	for (; *s; s++)
		buf_putc(out, upper(*s));
}

/* ---- mistakes ---- */

static void __attribute__((format(printf, 2, 0)))
put_va(struct buf *out, const char *fmt, va_list ap)
{
	va_list again;
	char *to;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	to = n < 0 ? NULL : buf_reserve(out, (size_t)n);
	if (!to)
		return;
	vsnprintf(to, (size_t)n + 1, fmt, ap);
	out->len += (size_t)n;
}

static bool
ends_with(const char *s, size_t len, const char *tail)
{
	size_t n = strlen(tail);

	return len >= n && memcmp(s + len - n, tail, n) == 0;
}

/* What is no text, or could steer a terminal, becomes '?'. */
static void
make_safe(struct buf *line)
{
	for (size_t i = 0, n; i < line->len; i += n) {
		const unsigned char *c = (const unsigned char *)line->p + i;
		bool control = *c < 0x20 || *c == 0x7f || (*c == 0xc2 && c[1] < 0xa0);

		n = utf8_len(line->p + i, line->len - i);
		if (n == 0 || control)
			memset(line->p + i, '?', n ? n : 1);
		n += n == 0;
	}
}

/*
 * One mistake, one line, whatever a path or name holds.  A full buffer would
 * lose all the mistakes that it has, so the last ones are left out instead.
 */
static void
put_mistake(struct buf *mistakes, struct buf *line)
{
	static const char more[] = "... and more mistakes\n";
	const size_t more_len = sizeof more - 1;
	size_t room;

	if (line->err == ERR_TOO_BIG) {
		buf_reset(line);
		buf_puts(line, "a mistake that is too long to be told");
	}
	make_safe(line);
	buf_putc(line, '\n');
	if (line->err) {
		buf_clear(mistakes);
		mistakes->err = line->err;
	}
	if (mistakes->err || ends_with(buf_str(mistakes), mistakes->len, more))
		return;
	room = mistakes->max - mistakes->len;
	if (line->len + more_len <= room)
		buf_put(mistakes, line->p, line->len);
	else if (more_len <= room)
		buf_put(mistakes, more, more_len);
}

void
cfg_mistake(struct buf *mistakes, const char *name, const char *fmt, ...)
{
	struct buf line = BUF_INIT(MISTAKE_MAX_BYTES);
	va_list ap;

	buf_printf(&line, "%s: ", name);
	va_start(ap, fmt);
	put_va(&line, fmt, ap);
	va_end(ap);
	put_mistake(mistakes, &line);
	buf_clear(&line);
}

static void
load_mistake(struct load *ld, struct buf *line)
{
	ld->n_mistakes++;
	put_mistake(ld->mistakes, line);
	if (line->err)
		ld->nomem = true;
}

/* About a line of the file, or with line 0 about all of it. */
static void __attribute__((format(printf, 3, 4)))
file_mistake(struct load *ld, unsigned line, const char *fmt, ...)
{
	struct buf text = BUF_INIT(MISTAKE_MAX_BYTES);
	va_list ap;

	buf_puts(&text, ld->path);
	if (line)
		buf_printf(&text, ":%u", line);
	buf_puts(&text, ": ");
	va_start(ap, fmt);
	put_va(&text, fmt, ap);
	va_end(ap);
	load_mistake(ld, &text);
	buf_clear(&text);
}

static void
put_where(struct buf *out, const struct load *ld, const struct slot *slot,
	enum source from)
{
	switch (from) {
	case FROM_FILE:
		buf_printf(out, "%s:%u: %s: ", ld->path, slot->line, slot->row->name);
		break;
	case FROM_FILE_PATH:
		buf_printf(out, "%s:%u: %s%s: ", ld->path, slot->line, slot->row->name, file_suffix);
		break;
	case FROM_CREDENTIAL:
		buf_printf(out, "credential %s: ", slot->row->name);
		break;
	case FROM_ENV:
	case FROM_ENV_PATH:
		buf_puts(out, env_prefix);
		put_upper(out, slot->row->name);
		buf_printf(out, "%s: ", from == FROM_ENV_PATH ? env_suffix : "");
		break;
	case FROM_DEFAULT:
		buf_printf(out, "%s: ", slot->row->name);
		break;
	}
}

static void __attribute__((format(printf, 4, 5)))
slot_mistake(struct load *ld, struct slot *slot, enum source from, const char *fmt, ...)
{
	struct buf line = BUF_INIT(MISTAKE_MAX_BYTES);
	va_list ap;

	slot->given = true;
	put_where(&line, ld, slot, from);
	va_start(ap, fmt);
	put_va(&line, fmt, ap);
	va_end(ap);
	load_mistake(ld, &line);
	buf_clear(&line);
}

/* ---- one set of values after another ---- */

void
cfg_clear(const struct cfg *cfg)
{
	for (size_t i = 0; i < cfg->n_sections; i++) {
		const struct cfg_section *sec = &cfg->sections[i];

		for (const struct cfg_row *row = sec->rows; row->name; row++)
			cfg_value_clear(row, sec->target);
	}
}

static enum err_code
keep(const struct cfg_row *row, const union cfg_value *was, void *now, struct err *err)
{
	union cfg_value copy = *was;

	if (row->type == CFG_STR && was->str && !(copy.str = mem_strdup(was->str)))
		return err_set(err, ERR_NOMEM, "%s", row->name);
	cfg_value_clear(row, now);
	cfg_value_store(row, now, &copy);
	return ERR_OK;
}

enum err_code
cfg_follow(const struct cfg *was, const struct cfg *now, struct buf *changed, struct buf *kept,
	struct err *err)
{
	enum err_code rc = ERR_OK;

	for (size_t i = 0; i < now->n_sections; i++)
		for (const struct cfg_row *row = now->sections[i].rows; row->name && !rc; row++) {
			union cfg_value a = cfg_value_fetch(row, was->sections[i].target);
			union cfg_value b = cfg_value_fetch(row, now->sections[i].target);
			struct buf *names = row->flags & CFG_RESTART ? kept : changed;

			if (!cfg_value_differs(row, &a, &b))
				continue;
			buf_printf(names, "%s%s", names->len ? ", " : "", row->name);
			if (row->flags & CFG_RESTART)
				rc = keep(row, &a, now->sections[i].target, err);
		}
	return rc;
}

/* ---- slots ---- */

static struct slot *
find_slot(const struct load *ld, const char *name, size_t len)
{
	for (size_t i = 0; i < ld->n_slots; i++)
		if (strlen(ld->slots[i].row->name) == len && memcmp(ld->slots[i].row->name, name, len) == 0)
			return &ld->slots[i];
	return NULL;
}

/* By the name that follows GENGATE_ in the environment. */
static struct slot *
find_env_slot(const struct load *ld, const char *name, size_t len)
{
	for (size_t i = 0; i < ld->n_slots; i++) {
		const char *ours = ld->slots[i].row->name;
		size_t n = 0;

		while (n < len && ours[n] && upper(ours[n]) == name[n])
			n++;
		if (n == len && !ours[n])
			return &ld->slots[i];
	}
	return NULL;
}

static enum err_code
make_slots(struct load *ld, const struct cfg *cfg)
{
	size_t n = 0;

	for (size_t i = 0; i < cfg->n_sections; i++)
		for (const struct cfg_row *row = cfg->sections[i].rows; row->name; row++)
			n++;
	ld->slots = mem_calloc(n, sizeof *ld->slots);
	if (!ld->slots)
		return ERR_NOMEM;
	for (size_t i = 0; i < cfg->n_sections; i++) {
		const struct cfg_section *sec = &cfg->sections[i];

		for (const struct cfg_row *row = sec->rows; row->name; row++) {
			assert(!find_slot(ld, row->name, strlen(row->name)));
			ld->slots[ld->n_slots].row = row;
			ld->slots[ld->n_slots++].target = sec->target;
		}
	}
	return ERR_OK;
}

static void
set_value(struct load *ld, struct slot *slot, enum source from, const char *text)
{
	struct buf line = BUF_INIT(MISTAKE_MAX_BYTES);
	union cfg_value v = { .num = 0 };
	enum err_code rc;

	slot->given = true;
	put_where(&line, ld, slot, from);
	rc = cfg_value_parse(slot->row, text, &v, &line);
	if (rc == ERR_OK)
		cfg_value_store(slot->row, slot->target, &v);
	else if (rc == ERR_NOMEM)
		ld->nomem = true;
	else
		load_mistake(ld, &line);
	if (line.err == ERR_NOMEM)
		ld->nomem = true;
	buf_clear(&line);
}

/* ---- near misses ---- */

static size_t
min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* As names are compared with ours: "Db-Pool" is nearly db_pool. */
static char
plain(char c)
{
	return c == '-' ? '_' : lower(c);
}

/*
 * How many letters have to be added, dropped, replaced or swapped with their
 * neighbour to get from a to b.  Only the last three rows of the table are
 * kept: row i says what it takes from the first i letters of a.
 */
static size_t
distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t rows[3][NAME_MAX_BYTES + 1];

	assert(a_len <= NAME_MAX_BYTES && b_len <= NAME_MAX_BYTES);
	for (size_t j = 0; j <= b_len; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t *now = rows[i % 3], *last = rows[(i + 2) % 3];
		const size_t *before = rows[(i + 1) % 3];

		now[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			char x = plain(a[i - 1]), y = plain(b[j - 1]);
			size_t d = min_size(last[j], now[j - 1]) + 1;

			d = min_size(d, last[j - 1] + (x != y));
			if (i > 1 && j > 1 && x == plain(b[j - 2]) && plain(a[i - 2]) == y)
				d = min_size(d, before[j - 2] + 1);
			now[j] = d;
		}
	}
	return rows[a_len % 3][b_len];
}

/* The name that may have been meant, or NULL. */
static const char *
nearest_name(const struct load *ld, const char *name, size_t len)
{
	const char *best = NULL;
	size_t best_d = len / 5 + 2;	/* so many are too many */

	if (len > NAME_MAX_BYTES)
		return NULL;
	for (size_t i = 0; i < ld->n_slots; i++) {
		const char *ours = ld->slots[i].row->name;
		size_t ours_len = strlen(ours), d;

		if (ours_len > NAME_MAX_BYTES)
			continue;
		d = distance(name, len, ours, ours_len);
		/* Another word altogether is no near miss. */
		if (d < best_d && d < ours_len) {
			best = ours;
			best_d = d;
		}
	}
	return best;
}

/* A name from outside, if it looks like one. */
static void
put_unknown_name(struct buf *out, const char *prefix, const char *name, size_t len,
	const char *letters)
{
	size_t n = 0;

	while (n < len && name[n] && strchr(letters, name[n]))
		n++;
	if (n == len && len && len <= NAME_MAX_BYTES)
		buf_printf(out, "%s%.*s is not a known name", prefix, (int)len, name);
	else
		buf_printf(out, "this is not a known %sname", *prefix ? "GENGATE_ " : "");
}

/*
 * A line may be a piece of a secret that was broken into lines: base32 and
 * base64 end in '='.  What could be such an end is not shown.
 */
static void
unknown_in_file(struct load *ld, unsigned line, const char *name, const char *value)
{
	bool shown = *value && *value != '=';
	struct buf what = BUF_INIT(MISTAKE_MAX_BYTES);
	const char *near = nearest_name(ld, name, strlen(name));

	put_unknown_name(&what, "", name, shown ? strlen(name) : 0,
		"abcdefghijklmnopqrstuvwxyz0123456789_");
	if (near)
		buf_printf(&what, "; did you mean %s?", near);
	if (what.err == ERR_NOMEM)
		ld->nomem = true;
	file_mistake(ld, line, "%s", buf_str(&what));
	buf_clear(&what);
}

static void
unknown_in_env(struct load *ld, const char *name, size_t len)
{
	struct buf line = BUF_INIT(MISTAKE_MAX_BYTES);
	const char *near = nearest_name(ld, name, len);
	bool by_file = false;

	if (!near && ends_with(name, len, env_suffix)) {
		near = nearest_name(ld, name, len - strlen(env_suffix));
		by_file = true;
	}
	buf_puts(&line, "environment: ");
	put_unknown_name(&line, env_prefix, name, len, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"abcdefghijklmnopqrstuvwxyz0123456789_");
	if (near) {
		buf_printf(&line, "; did you mean %s", env_prefix);
		put_upper(&line, near);
		buf_printf(&line, "%s?", by_file ? env_suffix : "");
	}
	load_mistake(ld, &line);
	buf_clear(&line);
}

/* ---- files ---- */

/* What may everybody on this host do with the file?  No letters: nothing. */
static mode_t
open_to_all(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? st.st_mode & (S_IROTH | S_IWOTH) : 0;
}

/*
 * All of a file.  ERR_CONFIG: ret_why says why not.  The room is made at once,
 * because growing would leave copies of secrets behind.
 */
static enum err_code
read_file(const char *path, struct buf *out, mode_t *ret_open, const char **ret_why)
{
	enum err_code rc = ERR_CONFIG;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n = 1;

	if (fd < 0) {
		*ret_why = strerror(errno);
		return ERR_CONFIG;
	}
	*ret_open = open_to_all(fd);
	if (!buf_reserve(out, out->max)) {
		rc = ERR_NOMEM;
		goto out;
	}
	while (n && out->len < out->max) {
		n = read(fd, out->p + out->len, out->max - out->len);
		if (n < 0 && errno != EINTR) {
			*ret_why = strerror(errno);
			goto out;
		}
		out->len += n > 0 ? (size_t)n : 0;
	}
	if (out->len == out->max) {
		*ret_why = out->max > FILE_MAX_BYTES ? "it has more than 1 MB" : "it has more than 64 kB";
		goto out;
	}
	out->p[out->len] = '\0';
	rc = ERR_OK;
out:
	close(fd);
	return rc;
}

/* Cut blanks off both ends, in place. */
static char *
trim(char *s)
{
	size_t len;

	s += strspn(s, CFG_BLANKS);
	len = strlen(s);
	while (len && cfg_is_blank(s[len - 1]))
		len--;
	s[len] = '\0';
	return s;
}

/* ---- files with one value ---- */

/* The path itself is not shown for a secret: who mistakes GENGATE_X_FILE for
 * GENGATE_X puts the secret there. */
static void
unreadable(struct load *ld, struct slot *slot, enum source from, const char *path, const char *why)
{
	if (slot->row->flags & CFG_SECRET)
		slot_mistake(ld, slot, from, "its file cannot be read: %s", why);
	else
		slot_mistake(ld, slot, from, "%.4096s cannot be read: %s", path, why);
}

/* What stands in `line` is open to everybody, and secret. */
static void
warn_open(struct load *ld, struct buf *line, mode_t open)
{
	buf_printf(line, "everybody on this host may %s it; chmod o= it",
		!(open & S_IWOTH) ? "read" : open & S_IROTH ? "read and change" : "change");
	if (ld->warnings)
		put_mistake(ld->warnings, line);
	if (line->err)
		ld->nomem = true;
}

static void
warn_open_value(struct load *ld, const struct slot *slot, enum source from, mode_t open)
{
	struct buf line = BUF_INIT(MISTAKE_MAX_BYTES);

	put_where(&line, ld, slot, from);
	buf_puts(&line, "its file has a secret, and ");
	warn_open(ld, &line, open);
	buf_clear(&line);
}

/* Without the end of its only line: editors put it there. */
static void
cut_newline(struct buf *text)
{
	if (text->len && text->p[text->len - 1] == '\n')
		text->len--;
	if (text->len && text->p[text->len - 1] == '\r')
		text->len--;
	text->p[text->len] = '\0';
}

/* The value is what the file at path has. */
static void
load_value_file(struct load *ld, struct slot *slot, enum source from, const char *path)
{
	struct buf text = BUF_INIT(SECRET_MAX_BYTES + 1);
	const char *why = NULL;
	mode_t open = 0;
	enum err_code rc = read_file(path, &text, &open, &why);

	if (rc == ERR_NOMEM) {
		ld->nomem = true;
	} else if (rc) {
		unreadable(ld, slot, from, path, why);
	} else if (strlen(text.p) != text.len) {
		unreadable(ld, slot, from, path, "there is a zero byte in it");
	} else {
		cut_newline(&text);
		set_value(ld, slot, from, text.p);
		if (open && slot->row->flags & CFG_SECRET)
			warn_open_value(ld, slot, from, open);
	}
	buf_wipe(&text);
}

/* What systemd hands to a service as LoadCredential=NAME:... says; for secrets only. */
static void
load_credentials(struct load *ld)
{
	for (size_t i = 0; ld->credentials && i < ld->n_slots; i++) {
		struct slot *slot = &ld->slots[i];
		struct buf path = BUF_INIT(4096);

		if (slot->given || !(slot->row->flags & CFG_SECRET))
			continue;
		buf_printf(&path, "%s/%s", ld->credentials, slot->row->name);
		if (path.err == ERR_NOMEM)
			ld->nomem = true;
		else if (path.err)
			unreadable(ld, slot, FROM_CREDENTIAL, "", "its path is too long");
		else if (access(buf_str(&path), F_OK) == 0 || errno != ENOENT)
			load_value_file(ld, slot, FROM_CREDENTIAL, buf_str(&path));
		buf_clear(&path);
	}
}

/* ---- the configuration file ---- */

/* Take the quotes off, in place; false if they do not end where the value does. */
static bool
unquote(char **s)
{
	size_t len = strlen(*s);

	if (**s != '"')
		return true;
	if (len < 2 || (*s)[len - 1] != '"')
		return false;
	(*s)[len - 1] = '\0';
	++*s;
	return true;
}

/* By the name in the file: a row's, or a row's with _file. */
static struct slot *
find_file_slot(const struct load *ld, const char *name, enum source *ret_from)
{
	size_t len = strlen(name);
	struct slot *slot = find_slot(ld, name, len);

	if (slot || !ends_with(name, len, file_suffix))
		return slot;
	*ret_from = FROM_FILE_PATH;
	return find_slot(ld, name, len - strlen(file_suffix));
}

/* One line without its newline.  Nothing of it is shown that may be a value. */
static void
load_line(struct load *ld, char *s, unsigned line)
{
	enum source from = FROM_FILE;
	char *name, *value;
	struct slot *slot;

	s = trim(s);
	if (!*s || *s == '#')
		return;
	value = strchr(s, '=');
	if (!value) {
		file_mistake(ld, line, "this is not of the form name = value");
		return;
	}
	*value++ = '\0';
	name = trim(s);
	value = trim(value);
	slot = find_file_slot(ld, name, &from);
	if (!slot) {
		unknown_in_file(ld, line, name, value);
	} else if (slot->line) {
		file_mistake(ld, line, "%s: is given twice, first in line %u",
			name, slot->line);
	} else {
		slot->line = line;
		if (!unquote(&value))
			slot_mistake(ld, slot, from,
				"the value begins with a double quote and does not end with one");
		else if (!slot->given && from == FROM_FILE_PATH)
			load_value_file(ld, slot, from, value);
		else if (!slot->given)
			set_value(ld, slot, from, value);
		if (from == FROM_FILE && slot->row->flags & CFG_SECRET)
			ld->has_secrets = true;
	}
}

static void
load_lines(struct load *ld, struct buf *text)
{
	static const char bom[] = "\xef\xbb\xbf";	/* what some editors put first */
	char *p = text->p, *end = text->p + text->len;

	if (text->len >= 3 && memcmp(p, bom, 3) == 0)
		p += 3;
	for (unsigned line = 1; p < end; line++) {
		char *nl = memchr(p, '\n', (size_t)(end - p));
		char *stop = nl ? nl : end;

		*stop = '\0';
		if (strlen(p) != (size_t)(stop - p))
			file_mistake(ld, line, "there is a zero byte in this line");
		else
			load_line(ld, p, line);
		p = stop + 1;
	}
}

static void
load_file(struct load *ld)
{
	struct buf text = BUF_INIT(FILE_MAX_BYTES + 1);
	struct buf warning = BUF_INIT(MISTAKE_MAX_BYTES);
	const char *why = NULL;
	mode_t open = 0;
	enum err_code rc = read_file(ld->path, &text, &open, &why);

	if (rc == ERR_OK)
		load_lines(ld, &text);
	else if (rc == ERR_NOMEM)
		ld->nomem = true;
	else
		file_mistake(ld, 0, "cannot be read: %s", why);
	if (open && ld->has_secrets) {
		buf_printf(&warning, "%s: it has secrets, and ", ld->path);
		warn_open(ld, &warning, open);
	}
	buf_clear(&warning);
	buf_wipe(&text);
}

/* ---- environment ---- */

static bool
is_ignored(const char *name, size_t len)
{
	static const char config[] = "CONFIG", test[] = "TEST_";

	return (len == sizeof config - 1 && memcmp(name, config, len) == 0) ||
	       (len >= sizeof test - 1 && memcmp(name, test, sizeof test - 1) == 0);
}

/* Of a name that stands there twice the first counts, as with getenv(3). */
static void
assign_env(struct load *ld, const char *name, size_t len, const char *value)
{
	struct slot *slot;

	if (is_ignored(name, len))
		return;
	slot = find_env_slot(ld, name, len);
	if (slot) {
		if (!slot->env)
			slot->env = value;
		return;
	}
	if (ends_with(name, len, env_suffix))
		slot = find_env_slot(ld, name, len - strlen(env_suffix));
	if (!slot)
		unknown_in_env(ld, name, len);
	else if (!slot->env_path)
		slot->env_path = value;
}

static bool
is_named(const char *variable, const char *eq, const char *name)
{
	size_t len = (size_t)(eq - variable);

	return len == strlen(name) && memcmp(variable, name, len) == 0;
}

static void
load_env(struct load *ld, char *const env[])
{
	const size_t prefix_len = sizeof env_prefix - 1;

	for (size_t i = 0; env && env[i]; i++) {
		const char *eq = strchr(env[i], '=');

		if (eq && is_named(env[i], eq, credentials_name))
			ld->credentials = eq + 1;
		if (eq && strncmp(env[i], env_prefix, prefix_len) == 0)
			assign_env(ld, env[i] + prefix_len,
				(size_t)(eq - env[i]) - prefix_len, eq + 1);
	}
	for (size_t i = 0; i < ld->n_slots; i++) {
		struct slot *slot = &ld->slots[i];

		if (slot->env && slot->env_path)
			slot_mistake(ld, slot, FROM_ENV,
				"is set, and so is the same name with %s; leave one out",
				env_suffix);
		else if (slot->env)
			set_value(ld, slot, FROM_ENV, slot->env);
		else if (slot->env_path)
			load_value_file(ld, slot, FROM_ENV_PATH, slot->env_path);
	}
}

static void
load_defaults(struct load *ld)
{
	for (size_t i = 0; i < ld->n_slots; i++) {
		struct slot *slot = &ld->slots[i];
		const struct cfg_row *row = slot->row;

		if (slot->given)
			continue;
		if (row->def)
			set_value(ld, slot, FROM_DEFAULT, row->def);
		else if (row->flags & CFG_REQUIRED)
			slot_mistake(ld, slot, FROM_DEFAULT, "is required and not set");
	}
}

/* The strongest source goes first, so that a weaker one finds its place taken
 * and is not even looked at: an override may well be there to mend it. */
enum err_code
cfg_load(const struct cfg *cfg, const char *path, char *const env[],
	struct buf *mistakes, struct err *err)
{
	struct load ld = { .path = path, .mistakes = mistakes, .warnings = cfg->warnings };

	if (make_slots(&ld, cfg))
		return err_set(err, ERR_NOMEM, "configuration");
	load_env(&ld, env);
	load_credentials(&ld);
	if (path)
		load_file(&ld);
	load_defaults(&ld);
	mem_free(ld.slots);
	if (ld.nomem || mistakes->err == ERR_NOMEM ||
	    (cfg->warnings && cfg->warnings->err == ERR_NOMEM)) {
		cfg_clear(cfg);
		return err_set(err, ERR_NOMEM, "configuration");
	}
	if (ld.n_mistakes)
		return err_set(err, ERR_CONFIG, "%zu mistake%s in the configuration",
			ld.n_mistakes, ld.n_mistakes == 1 ? "" : "s");
	return ERR_OK;
}

/* ---- an environment that nobody else sees ---- */

/* Is it what cfg_load() reads?  "NAME=value". */
static bool
is_read(const char *variable)
{
	const size_t prefix_len = sizeof env_prefix - 1;
	const char *eq = strchr(variable, '=');

	if (!eq)
		return false;
	if (is_named(variable, eq, credentials_name))
		return true;
	return strncmp(variable, env_prefix, prefix_len) == 0 &&
	       !is_ignored(variable + prefix_len, (size_t)(eq - variable) - prefix_len);
}

static void
drop_read(char **env)
{
	char **to = env;

	for (; *env; env++) {
		if (is_read(*env))
			OPENSSL_cleanse(*env, strlen(*env));
		else
			*to++ = *env;
	}
	*to = NULL;
}

enum err_code
cfg_env_take(char **env, char ***ret, struct err *err)
{
	char **taken;
	size_t n = 0;

	for (size_t i = 0; env[i]; i++)
		n += is_read(env[i]);
	taken = mem_calloc(n + 1, sizeof *taken);
	n = 0;
	for (size_t i = 0; taken && env[i]; i++) {
		if (!is_read(env[i]))
			continue;
		taken[n] = mem_strdup(env[i]);
		if (!taken[n++])
			cfg_env_free(&taken);
	}
	if (!taken)
		return err_set(err, ERR_NOMEM, "environment");
	drop_read(env);
	*ret = taken;
	return ERR_OK;
}

void
cfg_env_free(char ***penv)
{
	char **env = *penv;

	for (size_t i = 0; env && env[i]; i++)
		mem_free_secret(env[i], strlen(env[i]));
	mem_free(env);
	*penv = NULL;
}
