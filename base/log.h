/*
 * Logs: one event per line on standard error, as JSON, written by one
 * write(2).  An event is a fixed dotted name and typed pairs; values are
 * escaped and user text is never a format.  Pairs whose name says that they
 * are secret (token, secret, key, authorization, signature, prompt, cookie,
 * password, as a whole word between '_', '-' and '.', in either case) are
 * replaced by "[redacted]".  A line has at most 16 kB: longer values end in
 * "...[20000 bytes]".  errno is kept.  Safe from any thread.
 *
 *	log_event(LOG_INFO, "job.submitted",
 *		KV_STR("request", id), KV_INT("took_us", us));
 */
#ifndef GENGATE_BASE_LOG_H
#define GENGATE_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

enum kv_type { KV_T_STR, KV_T_INT, KV_T_BOOL };

struct kv {
	const char *key;
	enum kv_type type;
	const char *str;	/* NULL: the pair is left out */
	int64_t num;
};

#define KV_STR(k, v)  ((struct kv){ .key = (k), .type = KV_T_STR, .str = (v) })
#define KV_INT(k, v)  ((struct kv){ .key = (k), .type = KV_T_INT, .num = (int64_t)(v) })
#define KV_BOOL(k, v) ((struct kv){ .key = (k), .type = KV_T_BOOL, .num = (v) })

void log_set_level(enum log_level level);	/* default LOG_INFO; at any time */
void log_set_fd(int fd);			/* default 2; before the first thread */

/* Log to that file, which is taken over and closes the one before; -1: to
 * standard error again.  At any time, by one thread. */
void log_set_file(int fd);
bool log_wanted(enum log_level level);

void log_event_n(enum log_level level, const char *event, const struct kv *kv, size_t n);

#define log_event(level, event, ...) \
	log_event_n((level), (event), (const struct kv[]){ __VA_ARGS__ }, \
		sizeof((const struct kv[]){ __VA_ARGS__ }) / sizeof(struct kv))

#endif
