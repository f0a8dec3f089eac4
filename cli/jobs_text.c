#include "config.h"

#include "cli/jobs.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "cli/terminal.h"

#define CELL_MAX 64		/* of a table's column */
#define VALUE_MAX 2000		/* of one value; JSON has all of it */
#define LABEL_WIDTH 14
#define WAY_WIDTH ((int)sizeof "submitting -> uncertain" - 1)

/* A value in words; what is not there is "-". */
static void
put_value(struct buf *out, const json_t *value, size_t max)
{
	char *text;

	if (json_is_string(value)) {
		terminal_put(out, json_string_value(value), max);
	} else if (!value || json_is_null(value)) {
		buf_putc(out, '-');
	} else {
		text = json_write(value, JSON_ENCODE_ANY);
		terminal_put(out, text ? text : "?", max);
		mem_free(text);
	}
}

static const json_t *
at(const json_t *object, const char *member)
{
	return json_object_get(object, member);
}

static bool
is_set(const json_t *object, const char *member)
{
	const json_t *value = at(object, member);

	return value && !json_is_null(value);
}

/* A time of an object in microseconds since 1970; 0: it has none. */
static int64_t
time_us(const json_t *object, const char *member)
{
	const char *text = json_string_value(at(object, member));
	int64_t us = 0;

	if (text && rfc3339_parse(text, strlen(text), &us))
		us = 0;
	return us;
}

/* The largest unit and the one below. */
static void
put_span(struct buf *out, int64_t us)
{
	long long s = us / 1000000;

	if (s < 60)
		buf_printf(out, "%llds", s);
	else if (s < 3600)
		buf_printf(out, "%lldm %llds", s / 60, s % 60);
	else if (s < 86400)
		buf_printf(out, "%lldh %lldm", s / 3600, s / 60 % 60);
	else
		buf_printf(out, "%lldd %lldh", s / 86400, s / 3600 % 24);
}

/* ---- the list ---- */

/* Where its next step is: taken by somebody, due, or yet to come. */
static void
put_next(struct buf *out, const json_t *job, int64_t now)
{
	int64_t due = time_us(job, "due_at");

	if (!due) {
		buf_putc(out, '-');
	} else if (time_us(job, "leased_until") > now) {
		buf_puts(out, "leased");
	} else if (due <= now) {
		buf_puts(out, "due");
	} else {
		buf_puts(out, "in ");
		put_span(out, due - now);
	}
}

static void
put_age(struct buf *out, const json_t *job, int64_t now)
{
	int64_t us = now - time_us(job, "created_at");

	put_span(out, us > 0 ? us : 0);
}

static const struct column {
	const char *title;
	const char *member;		/* or how to put it: */
	void (*put)(struct buf *out, const json_t *job, int64_t now);
} columns[] = {
	{ "ID", "id", NULL },
	{ "STATUS", "status", NULL },
	{ "STATE", "state", NULL },
	{ "AGE", NULL, put_age },
	{ "NEXT", NULL, put_next },
	{ "TRIES", "tries", NULL },
	{ "MODEL", "model", NULL },
	{ "ERROR", "error", NULL },
	{ "OWNER", "owner", NULL },
};

#define COLUMNS (sizeof columns / sizeof *columns)

static void
put_cell(struct buf *out, const struct column *column, const json_t *job, int64_t now)
{
	if (column->put)
		column->put(out, job, now);
	else
		put_value(out, at(job, column->member), CELL_MAX);
}

/* In characters, as far as a terminal gives each one place. */
static size_t
width_of(const struct buf *text)
{
	size_t n = 0;

	for (size_t i = 0; i < text->len; i++)
		n += ((unsigned char)text->p[i] & 0xc0) != 0x80;
	return n;
}

static size_t
column_width(const struct column *column, const json_t *jobs, int64_t now)
{
	struct buf cell = BUF_INIT(1024);
	size_t widest = strlen(column->title), i;
	json_t *job;

	json_array_foreach((json_t *)jobs, i, job) {
		buf_reset(&cell);
		put_cell(&cell, column, job, now);
		if (width_of(&cell) > widest)
			widest = width_of(&cell);
	}
	buf_clear(&cell);
	return widest;
}

/* job: NULL for the titles. */
static void
print_row(const json_t *job, int64_t now, const size_t widths[COLUMNS])
{
	struct buf cell = BUF_INIT(1024);

	for (size_t i = 0; i < COLUMNS; i++) {
		buf_reset(&cell);
		if (job)
			put_cell(&cell, &columns[i], job, now);
		else
			buf_puts(&cell, columns[i].title);
		if (i + 1 < COLUMNS)
			printf("%s%*s", buf_str(&cell), (int)(widths[i] - width_of(&cell)) + 2, "");
		else
			puts(buf_str(&cell));
	}
	buf_clear(&cell);
}

void
jobs_print_list(const json_t *doc)
{
	const json_t *jobs = at(doc, "jobs");
	int64_t now = time_us(doc, "now_at");
	size_t widths[COLUMNS], i;
	json_t *job;

	if (json_array_size(jobs) == 0) {
		puts("no such job");
		return;
	}
	for (i = 0; i < COLUMNS; i++)
		widths[i] = column_width(&columns[i], jobs, now);
	print_row(NULL, now, widths);
	json_array_foreach((json_t *)jobs, i, job)
		print_row(job, now, widths);
	if (json_is_true(at(doc, "more")))
		puts("and older ones: see --limit");
}

/* ---- one job ---- */

static void
print_line(const char *label, const struct buf *text)
{
	printf("%-*s%s\n", LABEL_WIDTH, label, buf_str(text));
}

static void
print_member(const char *label, const json_t *object, const char *member)
{
	struct buf text = BUF_INIT(VALUE_MAX * 4);

	if (!is_set(object, member))
		return;
	put_value(&text, at(object, member), VALUE_MAX);
	print_line(label, &text);
	buf_clear(&text);
}

/* A moment, and how far it is from now. */
static void
print_time(const char *label, const json_t *object, const char *member, int64_t now)
{
	struct buf text = BUF_INIT(256);
	int64_t us = time_us(object, member);

	if (!us)
		return;
	put_value(&text, at(object, member), VALUE_MAX);
	buf_puts(&text, us > now ? "   in " : "   ");
	put_span(&text, us > now ? us - now : now - us);
	if (us <= now)
		buf_puts(&text, " ago");
	print_line(label, &text);
	buf_clear(&text);
}

static void
print_record(const json_t *job, int64_t now)
{
	print_member("job", job, "id");
	print_member("owner", job, "owner");
	print_member("status", job, "status");
	print_member("error", job, "error");
	print_member("model", job, "model");
	print_member("provider", job, "provider");
	print_member("prediction", job, "prediction");
	print_time("created", job, "created_at", now);
	print_time("started", job, "started_at", now);
	print_time("completed", job, "completed_at", now);
	print_member("key", job, "idempotency_key");
	print_member("request", job, "request");
	print_member("metadata", job, "metadata");
}

static void
print_live(const json_t *live, int64_t now)
{
	if (!json_is_object(live)) {
		puts("\nnot live: it has ended");
		return;
	}
	puts("\nlive");
	print_member("  state", live, "state");
	print_time("  next step", live, "due_at", now);
	print_time("  leased until", live, "leased_until", now);
	print_time("  deadline", live, "deadline_at", now);
	print_member("  creates", live, "attempts");
	print_time("  sent", live, "sent_at", now);
	print_time("  sent until", live, "sent_until", now);
	print_member("  prediction", live, "prediction");
	print_member("  tries", live, "tries");
	print_member("  not found", live, "misses");
	print_time("  kept until", live, "expires_at", now);
	print_member("  to end for", live, "cancel");
	print_time("  asked", live, "cancel_asked_at", now);
	print_member("  slot", live, "slot");
}

static void
print_output(const json_t *output)
{
	struct buf text = BUF_INIT(VALUE_MAX * 8);

	put_value(&text, at(output, "index"), CELL_MAX);
	if (is_set(output, "stored_at")) {
		buf_puts(&text, "  stored  ");
		put_value(&text, at(output, "key"), VALUE_MAX);
		buf_puts(&text, "  ");
		put_value(&text, at(output, "content_type"), CELL_MAX);
		buf_puts(&text, "  ");
		put_value(&text, at(output, "bytes"), CELL_MAX);
		buf_puts(&text, " bytes");
	} else if (is_set(output, "error")) {
		buf_puts(&text, "  lost    ");
		put_value(&text, at(output, "error"), CELL_MAX);
		buf_puts(&text, "  ");
		put_value(&text, at(output, "source"), VALUE_MAX);
	} else {
		buf_puts(&text, "  open    ");
		put_value(&text, at(output, "source"), VALUE_MAX);
	}
	printf("  %s\n", buf_str(&text));
	buf_clear(&text);
}

/* A prediction beside the job's own, and what became of it. */
static void
print_stray(const json_t *stray)
{
	struct buf text = BUF_INIT(VALUE_MAX * 4);

	put_value(&text, at(stray, "prediction"), VALUE_MAX);
	buf_puts(&text, "  ");
	if (is_set(stray, "verdict"))
		put_value(&text, at(stray, "verdict"), CELL_MAX);
	else
		buf_puts(&text, "open");
	buf_puts(&text, "  road=");
	put_value(&text, at(stray, "road"), CELL_MAX);
	buf_puts(&text, " created=");
	put_value(&text, at(stray, "created_at"), CELL_MAX);
	if (is_set(stray, "ended_at")) {
		buf_puts(&text, " ended=");
		put_value(&text, at(stray, "ended_at"), CELL_MAX);
	}
	printf("  %s\n", buf_str(&text));
	buf_clear(&text);
}

/* All of one kind, below its title; nothing where there is none. */
static void
print_all(const char *title, const json_t *array, void (*print)(const json_t *each))
{
	json_t *each;
	size_t i;

	if (json_array_size(array))
		printf("\n%s\n", title);
	json_array_foreach((json_t *)array, i, each)
		print(each);
}

/* road=webhook message="..." */
static void
put_detail(struct buf *out, const json_t *detail)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)detail, name, value) {
		bool quoted = json_is_string(value) && strcspn(json_string_value(value), " \t\"") !=
			json_string_length(value);

		buf_putc(out, ' ');
		terminal_put(out, name, CELL_MAX);
		buf_puts(out, quoted ? "=\"" : "=");
		put_value(out, value, VALUE_MAX);
		if (quoted)
			buf_putc(out, '"');
	}
}

static void
print_event(const json_t *event, size_t widest)
{
	struct buf text = BUF_INIT(65536), way = BUF_INIT(256);
	const char *name = json_string_value(at(event, "event"));

	put_value(&text, at(event, "at"), CELL_MAX);
	buf_puts(&text, "  ");
	terminal_put(&text, name, CELL_MAX);
	buf_printf(&text, "%*s", (int)(widest - strlen(name)) + 2, "");
	if (is_set(event, "from") && !json_equal(at(event, "from"), at(event, "to"))) {
		put_value(&way, at(event, "from"), CELL_MAX);
		buf_puts(&way, " -> ");
	}
	put_value(&way, at(event, "to"), CELL_MAX);
	if (json_object_size(at(event, "detail")) || is_set(event, "delivery"))
		buf_printf(&text, "%-*s", WAY_WIDTH, buf_str(&way));
	else
		buf_puts(&text, buf_str(&way));
	buf_clear(&way);
	put_detail(&text, at(event, "detail"));
	if (is_set(event, "delivery")) {
		buf_puts(&text, " delivery=");
		put_value(&text, at(event, "delivery"), CELL_MAX);
	}
	printf("  %s\n", buf_str(&text));
	buf_clear(&text);
}

static void
print_trail(const json_t *trail)
{
	size_t widest = 0, i;
	json_t *event;

	puts(json_array_size(trail) ? "\ntrail" : "\nno trail: it has been pruned");
	json_array_foreach((json_t *)trail, i, event) {
		size_t len = json_string_length(at(event, "event"));

		widest = len > widest ? len : widest;
	}
	json_array_foreach((json_t *)trail, i, event)
		print_event(event, widest);
}

void
jobs_print_one(const json_t *doc)
{
	int64_t now = time_us(doc, "now_at");

	print_record(at(doc, "job"), now);
	print_live(at(doc, "live"), now);
	print_all("outputs", at(doc, "outputs"), print_output);
	print_all("other predictions", at(doc, "strays"), print_stray);
	print_trail(at(doc, "trail"));
}
