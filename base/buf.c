#include "config.h"

#include "base/buf.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void
buf_clear(struct buf *b)
{
	mem_free(b->p);
	b->p = NULL;
	b->len = b->cap = 0;
	b->err = ERR_OK;
}

void
buf_wipe(struct buf *b)
{
	if (b->p)
		OPENSSL_cleanse(b->p, b->cap);
	buf_clear(b);
}

void
buf_reset(struct buf *b)
{
	b->len = 0;
	b->err = ERR_OK;
	if (b->p)
		b->p[0] = '\0';
}

static void
buf_fail(struct buf *b, enum err_code code)
{
	buf_clear(b);
	b->err = code;
}

const char *
buf_str(const struct buf *b)
{
	return b->p ? b->p : "";
}

char *
buf_take(struct buf *b)
{
	char *p = b->p;

	if (b->err)
		return NULL;
	if (!p)
		p = mem_strdup("");
	b->p = NULL;
	b->len = b->cap = 0;
	return p;
}

char *
buf_reserve(struct buf *b, size_t len)
{
	if (b->err)
		return NULL;
	if (len > b->max - b->len) {
		buf_fail(b, ERR_TOO_BIG);
		return NULL;
	}
	if (b->len + len + 1 > b->cap) {
		size_t want = b->len + len + 1;
		size_t cap = b->cap < 256 ? 256 : b->cap;
		char *p;

		while (cap < want)
			cap += cap / 2;
		if (cap - 1 > b->max)
			cap = b->max + 1;
		p = mem_realloc(b->p, cap);
		if (!p) {
			buf_fail(b, ERR_NOMEM);
			return NULL;
		}
		b->p = p;
		b->cap = cap;
	}
	return b->p + b->len;
}

void
buf_put(struct buf *b, const void *p, size_t len)
{
	char *to = buf_reserve(b, len);

	if (!to)
		return;
	if (len)
		memcpy(to, p, len);
	to[len] = '\0';
	b->len += len;
}

void
buf_puts(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

void
buf_putc(struct buf *b, char c)
{
	buf_put(b, &c, 1);
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	size_t room = b->cap - b->len;	/* 0 before the first byte */
	va_list ap;
	char *to;
	int n;

	if (b->err)
		return;
	va_start(ap, fmt);
	n = vsnprintf(room ? b->p + b->len : NULL, room, fmt, ap);
	va_end(ap);
	if (n < 0) {
		buf_fail(b, ERR_INTERNAL);
		return;
	}
	/* Most of the time it fits. */
	if ((size_t)n < room) {
		b->len += (size_t)n;
		return;
	}
	to = buf_reserve(b, (size_t)n);
	if (!to)
		return;
	va_start(ap, fmt);
	vsnprintf(to, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

void
buf_put_i64(struct buf *b, int64_t n)
{
	char digits[24], *p = digits + sizeof digits;
	uint64_t left = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;

	do {
		*--p = (char)('0' + left % 10);
		left /= 10;
	} while (left);
	if (n < 0)
		*--p = '-';
	buf_put(b, p, (size_t)(digits + sizeof digits - p));
}

static int
is_unreserved(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

void
buf_put_urlenc(struct buf *b, const char *s, size_t len, const char *keep)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (is_unreserved(c) || (c && keep && strchr(keep, c))) {
			buf_putc(b, (char)c);
		} else {
			char esc[3] = { '%', hex[c >> 4], hex[c & 15] };

			buf_put(b, esc, 3);
		}
	}
}

size_t
utf8_len(const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t n;
	unsigned char lo = 0x80, hi = 0xbf;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf) {
		n = 2;
	} else if (s[0] >= 0xe0 && s[0] <= 0xef) {
		n = 3;
		if (s[0] == 0xe0)
			lo = 0xa0;
		if (s[0] == 0xed)
			hi = 0x9f;	/* no surrogates */
	} else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
		n = 4;
		if (s[0] == 0xf0)
			lo = 0x90;
		if (s[0] == 0xf4)
			hi = 0x8f;
	} else {
		return 0;
	}
	if (len < n || s[1] < lo || s[1] > hi)
		return 0;
	for (size_t i = 2; i < n; i++)
		if (s[i] < 0x80 || s[i] > 0xbf)
			return 0;
	return n;
}

/* How much from s on goes into a JSON string as it is. */
static size_t
plain_len(const unsigned char *s, size_t len)
{
	size_t n = 0;

	while (n < len && s[n] >= 0x20 && s[n] < 0x7f && s[n] != '"' && s[n] != '\\')
		n++;
	return n;
}

void
buf_put_json_string(struct buf *b, const char *str, size_t len)
{
	const unsigned char *s = (const unsigned char *)str;

	buf_putc(b, '"');
	for (size_t i = 0; i < len; ) {
		size_t n = plain_len(s + i, len - i);

		if (n > 0) {
			buf_put(b, s + i, n);
			i += n;
			continue;
		}
		n = utf8_len((const char *)s + i, len - i);
		if (n == 0) {
			buf_puts(b, "\\ufffd");
			n = 1;
		} else if (s[i] == '"' || s[i] == '\\') {
			buf_putc(b, '\\');
			buf_putc(b, (char)s[i]);
		} else if (s[i] < 0x20 || s[i] == 0x7f) {
			buf_printf(b, "\\u%04x", (unsigned)s[i]);
		} else {
			buf_put(b, s + i, n);
		}
		i += n;
	}
	buf_putc(b, '"');
}

enum err_code
parse_u64(const char *s, size_t len, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t n = 0;

	if (len == 0)
		return ERR_INVALID;
	for (size_t i = 0; i < len; i++) {
		unsigned digit = (unsigned)(unsigned char)s[i] - '0';

		if (digit > 9 || n > (UINT64_MAX - digit) / 10)
			return ERR_INVALID;
		n = n * 10 + digit;
	}
	if (n < min || n > max)
		return ERR_INVALID;
	*ret = n;
	return ERR_OK;
}
