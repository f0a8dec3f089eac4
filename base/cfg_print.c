#include "config.h"

#include <string.h>

#include "base/cfg.h"
#include "base/cfg_value.h"

#define HELP_COLUMNS 80

static const char needs_restart[] = "Needs a restart.";

static const char *
type_name(enum cfg_type type)
{
	switch (type) {
	case CFG_STR:
		return "text";
	case CFG_UINT:
		return "number";
	case CFG_BOOL:
		return "on or off";
	case CFG_DURATION:
		return "duration";
	case CFG_SIZE:
		return "size";
	case CFG_WORD:
		return "word";
	}
	return "";
}

static bool
shows_default(const struct cfg_row *row)
{
	return row->def && !(row->flags & CFG_SECRET);
}

/* In columns, which are characters and not bytes. */
static size_t
width(const char *s, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += ((unsigned char)s[i] & 0xc0) != 0x80;
	return n;
}

/* Words in lines of 80 columns; a word that is longer has its own. */
static void
put_wrapped(struct buf *out, size_t first_indent, size_t indent, const char *text)
{
	static const char between[] = " \t\r\n";
	size_t column = 0;

	buf_printf(out, "%*s", (int)first_indent, "");
	for (text += strspn(text, between); *text; text += strspn(text, between)) {
		size_t len = strcspn(text, between);
		size_t columns = width(text, len);

		if (!column) {
			column = first_indent;
		} else if (column + 1 + columns > HELP_COLUMNS) {
			buf_printf(out, "\n%*s", (int)indent, "");
			column = indent;
		} else {
			buf_putc(out, ' ');
			column++;
		}
		buf_put(out, text, len);
		column += columns;
		text += len;
	}
	buf_putc(out, '\n');
}

static void
put_help_row(struct buf *out, const struct cfg_row *row)
{
	struct buf head = BUF_INIT(MISTAKE_MAX_BYTES);

	buf_printf(&head, "%s (%s", row->name, type_name(row->type));
	if (row->type == CFG_WORD) {
		buf_puts(&head, ": ");
		cfg_put_words(&head, row, "");
	} else if (cfg_has_range(row)) {
		buf_puts(&head, ", ");
		cfg_put_range(&head, row);
	}
	if (row->flags & CFG_SECRET)
		buf_puts(&head, ", secret");
	if (row->flags & CFG_REQUIRED)
		buf_puts(&head, ", required");
	if (shows_default(row))
		buf_printf(&head, ", default %s", row->def);
	buf_putc(&head, ')');
	put_wrapped(out, 2, 6, buf_str(&head));
	put_wrapped(out, 6, 6, row->doc ? row->doc : "");
	if (row->flags & CFG_RESTART)
		put_wrapped(out, 6, 6, needs_restart);
	if (head.err) {
		buf_clear(out);
		out->err = head.err;
	}
	buf_clear(&head);
}

void
cfg_print_help(const struct cfg *cfg, struct buf *out)
{
	for (size_t i = 0; i < cfg->n_sections; i++) {
		const struct cfg_section *sec = &cfg->sections[i];

		buf_printf(out, "%s%s:\n", i ? "\n" : "", sec->title);
		for (const struct cfg_row *row = sec->rows; row->name; row++)
			put_help_row(out, row);
	}
}

/* Such that reading the line gives the same string. */
static void
put_str_value(struct buf *out, const char *name, const char *s)
{
	bool quotes = *s && (*s == '"' || cfg_is_blank(*s) || cfg_is_blank(s[strlen(s) - 1]));

	if (strchr(s, '\n'))
		buf_printf(out, "# %s is set, to more than one line\n", name);
	else
		buf_printf(out, quotes ? "%s = \"%s\"\n" : "%s = %s\n", name, s);
}

static bool
is_set(const struct cfg_row *row, const union cfg_value *v)
{
	switch (row->type) {
	case CFG_STR:
		return v->str;
	case CFG_BOOL:
	case CFG_WORD:
		return true;
	case CFG_UINT:
	case CFG_DURATION:
	case CFG_SIZE:
		break;
	}
	/* 0 may be outside the range of a row that nobody set. */
	return v->num || row->def;
}

static void
put_value_row(struct buf *out, const struct cfg_row *row, const union cfg_value *v)
{
	if (row->flags & CFG_SECRET) {
		buf_printf(out, "# %s is %s\n", row->name, is_set(row, v) ? "set" : "not set");
	} else if (!is_set(row, v)) {
		/* Only an empty value takes a default away. */
		buf_printf(out, row->def ? "%s =\n" : "# %s is not set\n", row->name);
	} else if (row->type == CFG_STR) {
		put_str_value(out, row->name, v->str);
	} else {
		buf_printf(out, "%s = ", row->name);
		if (row->type == CFG_BOOL)
			buf_puts(out, v->on ? "on" : "off");
		else if (row->type == CFG_WORD)
			buf_puts(out, row->words[v->word]);
		else
			cfg_put_number(out, row->type, v->num);
		buf_putc(out, '\n');
	}
}

void
cfg_print_values(const struct cfg *cfg, struct buf *out)
{
	for (size_t i = 0; i < cfg->n_sections; i++) {
		const struct cfg_section *sec = &cfg->sections[i];

		buf_printf(out, "%s# %s\n", i ? "\n" : "", sec->title);
		for (const struct cfg_row *row = sec->rows; row->name; row++) {
			union cfg_value v = cfg_value_fetch(row, sec->target);

			put_value_row(out, row, &v);
		}
	}
}

/* Text inside a cell: a bar would end it, a newline the table. */
static void
put_cell(struct buf *out, const char *s)
{
	for (; *s; s++) {
		if (*s == '|')
			buf_puts(out, "\\|");
		else
			buf_putc(out, *s == '\n' ? ' ' : *s);
	}
}

static void
put_markdown_row(struct buf *out, const struct cfg_row *row)
{
	buf_printf(out, "| `%s` | %s%s | ", row->name, type_name(row->type),
		row->flags & CFG_SECRET ? ", secret" : "");
	if (shows_default(row)) {
		buf_putc(out, '`');
		put_cell(out, row->def_doc ? row->def_doc : row->def);
		buf_putc(out, '`');
	} else {
		buf_puts(out, row->flags & CFG_REQUIRED ? "**required**" : "not set");
	}
	buf_puts(out, " | ");
	if (row->type == CFG_WORD)
		cfg_put_words(out, row, "`");
	else if (cfg_has_range(row))
		cfg_put_range(out, row);
	buf_puts(out, " | ");
	put_cell(out, row->doc ? row->doc : "");
	if (row->flags & CFG_RESTART)
		buf_printf(out, " %s", needs_restart);
	buf_puts(out, " |\n");
}

static const char markdown_intro[] =
	"<!-- Written by the program from its own rows: change those. -->\n"
	"\n"
	"# Configuration\n"
	"\n"
	"A value comes from the last of these that has it:\n"
	"\n"
	"1. the default below;\n"
	"2. the configuration file: `name = value`, or `name_file = path` for what that file has;\n"
	"3. for a secret, the systemd credential of its name (`LoadCredential=name:path`, read\n"
	"   from `$CREDENTIALS_DIRECTORY`);\n"
	"4. the environment: `GENGATE_<NAME>`, the name in capitals, or `GENGATE_<NAME>_FILE` for\n"
	"   what that file has.\n"
	"\n"
	"A file with one value may have 64 kB and no zero byte; the newline at its end does not\n"
	"count. A file with a secret that everybody on the host may read or change is warned about\n"
	"(`config.exposed` in the log, `gengate check`). What came by the environment is wiped\n"
	"there, so that `/proc` does not show it.\n"
	"\n"
	"In the configuration file a line that begins with `#` is a comment; a `#` further on\n"
	"belongs to the value. Blanks around name and value do not count; a value in\n"
	"double quotes is taken as it stands between them. An empty text means \"not set\".\n"
	"Durations are written `250ms`, `90s`, `10m`, `2h` or `7d`; sizes `512B`, `64kB`, `8MB`\n"
	"or `1GB`, in powers of 1000; on or off may be `yes`, `no`, `true` and `false` too.\n"
	"\n"
	"A name that is not listed here is a mistake, in the file and in the environment, as\n"
	"are a name twice in the file, with or without `_file`, and both `GENGATE_<NAME>` and\n"
	"`GENGATE_<NAME>_FILE`.\n"
	"All mistakes are told at once, before anything starts.\n"
	"\n"
	"On SIGHUP `gengate serve` and `gengate work` read all of it anew, `models_file` and the files of\n"
	"secrets included; the environment is the one that they were started with. What is not\n"
	"said to need a restart counts from the next request and the next step on. If there is any\n"
	"mistake, everything stays as it was, and the log has the mistakes.\n";

void
cfg_print_markdown(const struct cfg *cfg, struct buf *out)
{
	buf_puts(out, markdown_intro);
	for (size_t i = 0; i < cfg->n_sections; i++) {
		const struct cfg_section *sec = &cfg->sections[i];

		buf_printf(out, "\n## %s\n\n"
			"| Name | Type | Default | Range or words | Meaning |\n"
			"|------|------|---------|----------------|---------|\n", sec->title);
		for (const struct cfg_row *row = sec->rows; row->name; row++)
			put_markdown_row(out, row);
	}
}
