/*
 * A bounded byte buffer.  It grows up to a ceiling given at init; passing it
 * is ERR_TOO_BIG, running out of memory ERR_NOMEM.  Errors stick and a failed
 * buffer holds no memory, so build first and check buf.err once.
 */
#ifndef GENGATE_BASE_BUF_H
#define GENGATE_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct buf {
	char *p;		/* NUL-terminated; NULL while empty: use buf_str() */
	size_t len;		/* without the NUL */
	size_t cap;
	size_t max;		/* len never passes it */
	enum err_code err;
};

#define BUF_INIT(max_bytes) { .p = NULL, .len = 0, .cap = 0, .max = (max_bytes), .err = ERR_OK }

void buf_clear(struct buf *b);		/* frees; usable again, same ceiling */
void buf_wipe(struct buf *b);		/* the same for secrets: overwrites first */
void buf_reset(struct buf *b);		/* empties, keeps the memory, forgets the error */
const char *buf_str(const struct buf *b);	/* never NULL; borrowed */
char *buf_take(struct buf *b);		/* the caller owns it: mem_free(); NULL if failed */

void buf_put(struct buf *b, const void *p, size_t len);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void buf_put_i64(struct buf *b, int64_t n);

/* Percent-encode all but the unreserved characters (RFC 3986 section 2.3)
 * and those in `keep`, which may be NULL. */
void buf_put_urlenc(struct buf *b, const char *s, size_t len, const char *keep);

/* The length of the UTF-8 sequence that s begins with; 0: it is none (RFC 3629).
 * len > 0. */
size_t utf8_len(const char *s, size_t len);

/* A JSON string with its quotes.  Bytes that are not UTF-8 become U+FFFD:
 * for the log, which has to take anything. */
void buf_put_json_string(struct buf *b, const char *s, size_t len);

/* Make room for len more bytes and return where they go; the caller then adds
 * to b->len what it wrote.  NULL: b->err is set. */
char *buf_reserve(struct buf *b, size_t len);

/*
 * Numbers from outside: digits only, within [min, max].
 * ERR_INVALID otherwise, and *ret is untouched.
 */
enum err_code parse_u64(const char *s, size_t len, uint64_t min, uint64_t max,
	uint64_t *ret) MUST_CHECK;

#endif
