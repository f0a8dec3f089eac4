#include "config.h"

#include "base/trace.h"

#include <string.h>

/* len lower-case hexadecimal digits, not all of them 0 if it is an id. */
static bool
is_hex(const char *s, size_t len, bool is_id)
{
	return strspn(s, "0123456789abcdef") == len && (!is_id || strspn(s, "0") < len);
}

bool
traceparent_ok(const char *s)
{
	return s && strlen(s) == TRACEPARENT_SIZE - 1 && strncmp(s, "00-", 3) == 0 &&
		is_hex(s + 3, 32, true) && s[35] == '-' &&
		is_hex(s + 36, 16, true) && s[52] == '-' &&
		is_hex(s + 53, 2, false);
}
