#include "config.h"

#include "base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

#define LINE_MAX_BYTES 16384	/* with the newline */
#define LEAST_VALUE_BYTES 16	/* shorter pieces of values tell nothing */

static const char *const level_names[] = {
	[LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error",
};

/* Every part of the house may log, and none should have to carry a logger along
 * for it. */
static atomic_int least_level = LOG_INFO;
static atomic_int log_fd = STDERR_FILENO;
static int file_fd = -1;	/* stays the same number: a thread may be writing to it */

void
log_set_level(enum log_level level)
{
	atomic_store_explicit(&least_level, level, memory_order_relaxed);
}

void
log_set_fd(int fd)
{
	atomic_store(&log_fd, fd);
}

void
log_set_file(int fd)
{
	if (fd >= 0 && file_fd >= 0) {
		dup2(fd, file_fd);
		close(fd);
	} else if (fd >= 0) {
		file_fd = fd;
	}
	log_set_fd(fd >= 0 ? file_fd : STDERR_FILENO);
}

bool
log_wanted(enum log_level level)
{
	return (int)level >= atomic_load_explicit(&least_level, memory_order_relaxed);
}

static bool
is_secret_word(const char *word, size_t len)
{
	static const char *const words[] = {
		"token", "secret", "key", "authorization", "signature", "prompt",
		"cookie", "password",
	};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strlen(words[i]) == len && strncasecmp(word, words[i], len) == 0)
			return true;
	return false;
}

/* Whole words: "api_key" and "X-Api-Key" are secret, "keyboard" is not. */
static bool
is_secret(const char *key)
{
	static const char between[] = "_-.";

	while (*key) {
		size_t len = strcspn(key, between);

		if (is_secret_word(key, len))
			return true;
		key += len;
		key += strspn(key, between);
	}
	return false;
}

/* At most max bytes of a value, and how long it was if that is not all. */
static void
put_value(struct buf *line, const char *s, size_t max)
{
	size_t len = strlen(s), cut = max;

	if (len <= max) {
		buf_put_json_string(line, s, len);
		return;
	}
	/* Not in the middle of a character. */
	while (cut > max - 3 && ((unsigned char)s[cut] & 0xc0) == 0x80)
		cut--;
	buf_put_json_string(line, s, cut);
	if (line->len)
		line->len--;	/* the closing quote comes later */
	buf_printf(line, "...[%zu bytes]\"", len);
}

static void
put_pair(struct buf *line, const struct kv *kv, size_t max_value)
{
	if (kv->type == KV_T_STR && !kv->str)
		return;
	buf_putc(line, ',');
	buf_put_json_string(line, kv->key, strlen(kv->key));
	buf_putc(line, ':');
	if (is_secret(kv->key))
		buf_puts(line, "\"[redacted]\"");
	else if (kv->type == KV_T_STR)
		put_value(line, kv->str, max_value);
	else if (kv->type == KV_T_BOOL)
		buf_puts(line, kv->num ? "true" : "false");
	else
		buf_put_i64(line, kv->num);
}

static void
build_line(struct buf *line, const char *ts, enum log_level level, const char *event,
	const struct kv *kv, size_t n, size_t max_value)
{
	buf_printf(line, "{\"ts\":\"%s\",\"level\":\"%s\",\"event\":", ts, level_names[level]);
	put_value(line, event, max_value);
	for (size_t i = 0; i < n && !line->err; i++)
		put_pair(line, &kv[i], max_value);
	buf_puts(line, "}\n");
}

/* Long lines are rare, so trying again with shorter values is good enough. */
static void
build_fitting_line(struct buf *line, const char *ts, enum log_level level,
	const char *event, const struct kv *kv, size_t n)
{
	size_t max_value = LINE_MAX_BYTES;

	build_line(line, ts, level, event, kv, n, max_value);
	while (line->err == ERR_TOO_BIG && max_value > LEAST_VALUE_BYTES) {
		max_value /= 2;
		buf_reset(line);
		build_line(line, ts, level, event, kv, n, max_value);
	}
	if (line->err == ERR_TOO_BIG) {
		const struct kv lost = KV_INT("pairs_left_out", n);

		buf_reset(line);
		build_line(line, ts, level, event, &lost, 1, max_value);
	}
}

/* The rest of a line that the system took in part only is worth a second
 * write; a line that it does not take at all is lost, and nobody to tell. */
static void
write_line(const char *p, size_t len)
{
	while (len) {
		ssize_t n = write(log_fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		p += n;
		len -= (size_t)n;
	}
}

/* That memory is short is what the log is there to tell.  The event is left
 * out if it would need escaping. */
static void
write_without_memory(const char *ts, enum log_level level, const char *event)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789._";
	char line[256];
	int n;

	if (event[strspn(event, plain)] != '\0')
		event = "log.line_lost";
	n = snprintf(line, sizeof line,
		"{\"ts\":\"%s\",\"level\":\"%s\",\"event\":\"%.100s\",\"lost\":\"out of memory\"}\n",
		ts, level_names[level], event);
	if (n > 0 && (size_t)n < sizeof line)
		write_line(line, (size_t)n);
}

void
log_event_n(enum log_level level, const char *event, const struct kv *kv, size_t n)
{
	struct buf line = BUF_INIT(LINE_MAX_BYTES);
	char ts[RFC3339_SIZE];
	int saved_errno = errno;

	if (!log_wanted(level))
		return;
	rfc3339_format(clock_wall_us(), ts);
	build_fitting_line(&line, ts, level, event, kv, n);
	if (line.err)
		write_without_memory(ts, level, event);
	else
		write_line(line.p, line.len);
	buf_clear(&line);
	errno = saved_errno;	/* logging between a call and its check is fine */
}
