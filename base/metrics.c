#include "config.h"

#include "base/metrics.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

/* More series than that are shown only when they were counted. */
#define SHOW_ZEROES_MAX 64
#define INSTANCE_MAX 256

enum label {
#define X(id, ...) LABEL_##id,
	METRIC_LABEL_TABLE(X)
#undef X
	LABEL_COUNT
};

enum {
#define X(id, name, room, ...) ROOM_##id = (room),
	METRIC_LABEL_TABLE(X)
#undef X
	ROOM_MAX = ROOM_STATEMENT
};

#define X(id, name, room, ...) \
	_Static_assert(ROOM_##id <= ROOM_MAX && sizeof((const char *const[]){ __VA_ARGS__ }) / \
		sizeof(char *) <= (room), "label without room: " #id);
METRIC_LABEL_TABLE(X)
#undef X

static const struct {
	const char *name;
	size_t room;
	const char *const words[ROOM_MAX];	/* none: they come by use */
} labels_[LABEL_COUNT] = {
#define X(id, name, room, ...) [LABEL_##id] = { name, room, { __VA_ARGS__ } },
	METRIC_LABEL_TABLE(X)
#undef X
};

static const int64_t bounds_us[] = {
#define X(us, text) us,
	METRIC_BOUNDS(X)
#undef X
};

static const char *const bound_texts[] = {
#define X(us, text) text,
	METRIC_BOUNDS(X)
#undef X
};

#define BOUNDS (sizeof bounds_us / sizeof *bounds_us)

enum type { COUNTER, GAUGE, HISTOGRAM, SUMMARY, ASKED };
enum scope { OWN, SHARED };
enum unit { COUNT, SECONDS, BYTES };

/*
 * The cells of a series: a counter or gauge has its value; a summary count and
 * sum; a histogram how many fell into each bucket (those beyond the last bound
 * into one more), and the sum.  Sums are in microseconds.
 */
enum {
	CELLS_COUNTER = 1,
	CELLS_GAUGE = 1,
	CELLS_HISTOGRAM = BOUNDS + 2,
	CELLS_SUMMARY = 2,
	CELLS_ASKED = 0,
};

/* Where each metric's cells begin and end. */
enum {
#define X(id, type, scope, unit, name, l1, l2, l3, help) \
	FIRST_##id, \
	LAST_##id = FIRST_##id + (int)CELLS_##type * ROOM_##l1 * ROOM_##l2 * ROOM_##l3 - 1,
	METRIC_TABLE(X)
#undef X
	CELLS
};

static const struct row {
	const char *name, *help;
	enum type type;
	enum scope scope;
	enum unit unit;
	enum label labels[METRIC_LABELS];
	size_t first;
} rows[METRIC_COUNT] = {
#define X(id, type, scope, unit, name, l1, l2, l3, help) \
	[METRIC_##id] = { name, help, type, scope, unit, { LABEL_##l1, LABEL_##l2, LABEL_##l3 }, FIRST_##id },
	METRIC_TABLE(X)
#undef X
};

static const size_t cells_of[] = {
	[COUNTER] = CELLS_COUNTER, [GAUGE] = CELLS_GAUGE, [HISTOGRAM] = CELLS_HISTOGRAM,
	[SUMMARY] = CELLS_SUMMARY, [ASKED] = CELLS_ASKED,
};

static const char *const type_names[] = {
	[COUNTER] = "counter", [GAUGE] = "gauge", [HISTOGRAM] = "histogram",
	[SUMMARY] = "summary", [ASKED] = "gauge",
};

static const char *const unit_names[] = { [COUNT] = "", [SECONDS] = "seconds", [BYTES] = "bytes" };

/* The process's: see metrics.h for why these have no owner.  Cells that nobody
 * counted in are pages that nobody touched. */
static _Atomic int64_t cells[CELLS];
static _Atomic(const char *) words_seen[LABEL_COUNT][ROOM_MAX];
static char own_instance[INSTANCE_MAX];
static int64_t started_us;

/* ---- counting ---- */

void
metrics_init(const char *instance)
{
	char host[128] = "";

	started_us = clock_wall_us();
	if (instance && *instance) {
		snprintf(own_instance, sizeof own_instance, "%s", instance);
		return;
	}
	if (gethostname(host, sizeof host - 1))
		host[0] = '\0';
	snprintf(own_instance, sizeof own_instance, "%s-%ld", host[0] ? host : "localhost", (long)getpid());
}

const char *
metrics_instance(void)
{
	return own_instance;
}

static size_t
known_word(enum label l, const char *word)
{
	const char *const *words = labels_[l].words;
	size_t i = 0;

	while (strcmp(words[i], word) != 0) {
		if (i + 1 == labels_[l].room || !words[i + 1]) {
			assert(strcmp(words[i], "other") == 0);
			return i;
		}
		i++;
	}
	return i;
}

/* The place of a word that came by use; a new one takes the first free place. */
static size_t
seen_word(enum label l, const char *word)
{
	size_t last = labels_[l].room - 1;

	for (size_t i = 0; i < last; i++) {
		const char *there = atomic_load_explicit(&words_seen[l][i], memory_order_acquire);

		if (!there && atomic_compare_exchange_strong(&words_seen[l][i], &there, word))
			return i;
		if (there == word || strcmp(there, word) == 0)
			return i;
	}
	return last;
}

static size_t
word_index(enum label l, const char *word)
{
	if (l == LABEL_NONE)
		return 0;
	assert(word);
	return labels_[l].words[0] ? known_word(l, word) : seen_word(l, word);
}

/* NULL: no such value. */
static const char *
word_at(enum label l, size_t i)
{
	if (labels_[l].words[0])
		return labels_[l].words[i];
	if (i == labels_[l].room - 1)
		return "other";
	return atomic_load_explicit(&words_seen[l][i], memory_order_acquire);
}

static _Atomic int64_t *
series_at(const struct row *row, const size_t at[METRIC_LABELS])
{
	size_t n = 0;

	for (size_t i = 0; i < METRIC_LABELS; i++)
		n = n * labels_[row->labels[i]].room + at[i];
	return &cells[row->first + n * cells_of[row->type]];
}

static _Atomic int64_t *
series_of(const struct row *row, const char *const labels[METRIC_LABELS])
{
	size_t at[METRIC_LABELS];

	for (size_t i = 0; i < METRIC_LABELS; i++)
		at[i] = word_index(row->labels[i], labels[i]);
	return series_at(row, at);
}

static void
add(_Atomic int64_t *cell, int64_t n)
{
	atomic_fetch_add_explicit(cell, n, memory_order_relaxed);
}

static int64_t
get(const _Atomic int64_t *cell)
{
	return atomic_load_explicit(cell, memory_order_relaxed);
}

void
metric_add_n(enum metric m, int64_t n, const char *const labels[METRIC_LABELS])
{
	const struct row *row = &rows[m];

	assert(row->type == COUNTER || row->type == GAUGE);
	add(series_of(row, labels), n);
}

void
metric_observe_n(enum metric m, int64_t us, const char *const labels[METRIC_LABELS])
{
	const struct row *row = &rows[m];
	_Atomic int64_t *series = series_of(row, labels);
	size_t bucket = 0;

	assert(row->type == HISTOGRAM || row->type == SUMMARY);
	if (us < 0)
		us = 0;
	if (row->type == HISTOGRAM)
		while (bucket < BOUNDS && us > bounds_us[bucket])
			bucket++;
	add(&series[bucket], 1);
	add(&series[cells_of[row->type] - 1], us);
}

/* ---- showing ---- */

static void
put_escaped(struct buf *out, const char *s, bool quotes)
{
	for (; *s; s++) {
		if (*s == '\n')
			buf_puts(out, "\\n");
		else if (*s == '\\' || (quotes && *s == '"'))
			buf_printf(out, "\\%c", *s);
		else
			buf_putc(out, *s);
	}
}

static void
put_label(struct buf *out, const char *name, const char *value, char *between)
{
	buf_printf(out, "%c%s=\"", *between, name);
	put_escaped(out, value, true);
	buf_putc(out, '"');
	*between = ',';
}

/* Name, suffix, labels; le may be NULL. */
static void
put_series(struct buf *out, const struct row *row, const char *suffix,
	const char *const labels[METRIC_LABELS], const char *le)
{
	char between = '{';

	buf_puts(out, row->name);
	buf_puts(out, suffix);
	if (row->scope == OWN)
		put_label(out, "instance", own_instance, &between);
	for (size_t i = 0; i < METRIC_LABELS; i++)
		if (row->labels[i] != LABEL_NONE)
			put_label(out, labels_[row->labels[i]].name, labels[i], &between);
	if (le)
		put_label(out, "le", le, &between);
	buf_puts(out, between == ',' ? "} " : " ");
}

static void
put_seconds(struct buf *out, int64_t us)
{
	buf_printf(out, "%s%llu.%06llu\n", us < 0 ? "-" : "",
		(unsigned long long)(us < 0 ? -us : us) / 1000000,
		(unsigned long long)(us < 0 ? -us : us) % 1000000);
}

static void
put_value(struct buf *out, enum unit unit, int64_t value)
{
	if (unit == SECONDS) {
		put_seconds(out, value);
	} else {
		buf_put_i64(out, value);
		buf_putc(out, '\n');
	}
}

void
metric_put_head(struct buf *out, enum metric m)
{
	buf_printf(out, "# HELP %s ", rows[m].name);
	put_escaped(out, rows[m].help, false);
	buf_printf(out, "\n# TYPE %s %s\n", rows[m].name, type_names[rows[m].type]);
}

void
metric_put_n(struct buf *out, enum metric m, int64_t value, const char *const labels[METRIC_LABELS])
{
	put_series(out, &rows[m], "", labels, NULL);
	put_value(out, rows[m].unit, value);
}

/* The count is what the buckets hold now, so that the two agree while others
 * go on counting. */
static void
put_histogram(struct buf *out, const struct row *row, const _Atomic int64_t *series,
	const char *const labels[METRIC_LABELS])
{
	int64_t n = 0;

	for (size_t i = 0; i <= BOUNDS; i++) {
		n += get(&series[i]);
		put_series(out, row, "_bucket", labels, i < BOUNDS ? bound_texts[i] : "+Inf");
		put_value(out, COUNT, n);
	}
	put_series(out, row, "_sum", labels, NULL);
	put_value(out, row->unit, get(&series[BOUNDS + 1]));
	put_series(out, row, "_count", labels, NULL);
	put_value(out, COUNT, n);
}

static void
put_summary(struct buf *out, const struct row *row, const _Atomic int64_t *series,
	const char *const labels[METRIC_LABELS])
{
	put_series(out, row, "_sum", labels, NULL);
	put_value(out, row->unit, get(&series[1]));
	put_series(out, row, "_count", labels, NULL);
	put_value(out, COUNT, get(&series[0]));
}

static bool
was_counted(const struct row *row, const _Atomic int64_t *series)
{
	for (size_t i = 0; i < cells_of[row->type]; i++)
		if (get(&series[i]))
			return true;
	return false;
}

/* Is "other" a value that only comes by use? */
static bool
is_overflow(enum label l, size_t i)
{
	return !labels_[l].words[0] && i == labels_[l].room - 1;
}

/* labels: filled for the series at `at`.  false: there is no such series. */
static bool
name_series(const struct row *row, const size_t at[METRIC_LABELS], const char *labels[METRIC_LABELS])
{
	size_t combinations = 1;
	bool overflow = false;

	for (size_t i = 0; i < METRIC_LABELS; i++) {
		enum label l = row->labels[i];

		labels[i] = word_at(l, at[i]);
		if (!labels[i])
			return false;
		overflow = overflow || is_overflow(l, at[i]);
		combinations *= labels_[l].words[0] ? labels_[l].room : 1;
	}
	return (combinations <= SHOW_ZEROES_MAX && !overflow) || was_counted(row, series_at(row, at));
}

/* The next combination of values; false: that was the last. */
static bool
advance(const struct row *row, size_t at[METRIC_LABELS])
{
	for (size_t i = METRIC_LABELS; i-- > 0; at[i] = 0)
		if (++at[i] < labels_[row->labels[i]].room)
			return true;
	return false;
}

static void
put_all_series(struct buf *out, const struct row *row)
{
	size_t at[METRIC_LABELS] = { 0 };
	const char *labels[METRIC_LABELS];

	do {
		const _Atomic int64_t *series = series_at(row, at);

		if (!name_series(row, at, labels))
			continue;
		if (row->type == HISTOGRAM) {
			put_histogram(out, row, series, labels);
		} else if (row->type == SUMMARY) {
			put_summary(out, row, series, labels);
		} else {
			put_series(out, row, "", labels, NULL);
			put_value(out, row->unit, get(series));
		}
	} while (advance(row, at));
}

void
metrics_render(struct buf *out)
{
	for (int m = 0; m < METRIC_COUNT; m++) {
		if (rows[m].type == ASKED)
			continue;
		metric_put_head(out, (enum metric)m);
		put_all_series(out, &rows[m]);
	}
	metric_put_head(out, METRIC_STARTED);
	metric_put(out, METRIC_STARTED, started_us, NULL);
	metric_put_head(out, METRIC_BUILD_INFO);
	metric_put(out, METRIC_BUILD_INFO, 1, PACKAGE_VERSION);
}

void
metric_about(enum metric m, struct metric_about *ret)
{
	const struct row *row = &rows[m];
	size_t n = 0;

	*ret = (struct metric_about){ .name = row->name, .type = type_names[row->type],
		.unit = unit_names[row->unit], .help = row->help };
	if (row->scope == OWN)
		ret->labels[n++] = "instance";
	for (size_t i = 0; i < METRIC_LABELS; i++)
		if (row->labels[i] != LABEL_NONE)
			ret->labels[n++] = labels_[row->labels[i]].name;
}
