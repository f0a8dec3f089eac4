#include "config.h"

#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#undef err_set	/* for the analyser; here it is the function */

static const struct {
	int http;
	bool again;
	const char *name;
	const char *sentence;
} table[ERR_COUNT] = {
	[ERR_OK] = { 200, false, "ok", "" },
#define X(code, http, again, name, sentence) [code] = { http, again, name, sentence },
	ERR_TABLE(X)
#undef X
};

static void __attribute__((format(printf, 3, 0)))
format(char *text, size_t size, const char *fmt, va_list ap)
{
	int n = vsnprintf(text, size, fmt, ap);

	if (n < 0)
		text[0] = '\0';
	else if ((size_t)n >= size)
		memcpy(text + size - 4, "...", 4);
}

enum err_code
err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	err->code = code;
	err->wait_ms = 0;
	format(err->text, sizeof err->text, fmt, ap);
	va_end(ap);
	return code;
}

enum err_code
err_prefix(struct err *err, enum err_code code, const char *fmt, ...)
{
	char old[sizeof err->text];
	va_list ap;
	size_t n;

	if (!err)
		return code;
	memcpy(old, err->text, sizeof old);
	va_start(ap, fmt);
	format(err->text, sizeof err->text, fmt, ap);
	va_end(ap);
	n = strlen(err->text);
	if (n + 3 < sizeof err->text) {
		int m = snprintf(err->text + n, sizeof err->text - n, ": %s", old);

		if (m > 0 && (size_t)m >= sizeof err->text - n)
			memcpy(err->text + sizeof err->text - 4, "...", 4);
	}
	err->code = code;
	return code;
}

void
err_wait(struct err *err, uint64_t wait_ms)
{
	if (err)
		err->wait_ms = wait_ms;
}

int
err_http_status(enum err_code code)
{
	return table[code].http;
}

bool
err_retryable(enum err_code code)
{
	return table[code].again;
}

const char *
err_name(enum err_code code)
{
	return table[code].name;
}

const char *
err_sentence(enum err_code code)
{
	return table[code].sentence;
}

enum err_code
err_from_name(const char *name)
{
	for (int i = ERR_OK; i < ERR_COUNT; i++)
		if (strcmp(table[i].name, name) == 0)
			return (enum err_code)i;
	return ERR_INTERNAL;
}
