#include "config.h"

#include "fcgi/prefer.h"

#include <strings.h>

/* One preference, without the blanks around it. */
static void
read_one(const char *p, size_t len, struct prefer *ret)
{
	static const char async[] = "respond-async", wait[] = "wait=";
	uint64_t n;

	if (len == sizeof async - 1 && strncasecmp(p, async, len) == 0) {
		ret->respond_async = true;
	} else if (len > sizeof wait - 1 && strncasecmp(p, wait, sizeof wait - 1) == 0 &&
	    !parse_u64(p + sizeof wait - 1, len - (sizeof wait - 1), 0, UINT64_MAX, &n) && !ret->wait) {
		/* The first of its name counts (RFC 7240 section 2). */
		ret->wait = true;
		ret->wait_s = n > PREFER_WAIT_MAX_S ? PREFER_WAIT_MAX_S : (uint32_t)n;
	}
}

struct prefer
prefer_read(const struct exchange *x)
{
	const char *p = exchange_header(x, "prefer");
	struct prefer ret = { .respond_async = false };

	while (p && *p) {
		size_t len;

		p += strspn(p, ", \t");
		len = strcspn(p, ",;");
		while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\t'))
			len--;
		read_one(p, len, &ret);
		p += strcspn(p, ",");
	}
	return ret;
}

void
prefer_answer(struct exchange *x, const struct prefer *prefer)
{
	char wait[32];

	/* What could not be waited for was not applied (RFC 7240 section 3). */
	if (prefer->wait && !x->no_place) {
		snprintf(wait, sizeof wait, "wait=%u", (unsigned)prefer->wait_s);
		answer_header(x, "Preference-Applied", wait);
	} else if (prefer->respond_async) {
		answer_header(x, "Preference-Applied", "respond-async");
	}
}
