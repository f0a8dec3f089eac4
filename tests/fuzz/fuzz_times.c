/* Times: RFC 3339, the three forms of HTTP's dates, Retry-After. */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include <time.h>

#include "base/clock.h"

/* From 1970 to the end of 9999. */
#define LAST_S INT64_C(253402300799)

static void
try_rfc3339(const char *s, size_t len)
{
	char text[RFC3339_SIZE];
	int64_t us, again;

	if (rfc3339_parse(s, len, &us))
		return;
	MUST(us >= 0 && us / 1000000 <= LAST_S);
	rfc3339_format(us, text);
	MUST(rfc3339_parse(text, strlen(text), &again) == ERR_OK && again == us);
}

static void
try_http_date(const char *s, size_t len)
{
	char text[64];
	struct tm tm;
	int64_t t, again;
	time_t when;

	if (http_date_parse(s, len, &t))
		return;
	MUST(t >= 0 && t <= LAST_S);
	when = (time_t)t;
	MUST(gmtime_r(&when, &tm));
	MUST(strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0);
	MUST(http_date_parse(text, strlen(text), &again) == ERR_OK && again == t);
}

static void
try_retry_after(const char *after, const char *date)
{
	struct http_header headers[] = {
		{ (char *)"retry-after", (char *)after }, { (char *)"date", (char *)date },
	};
	const struct http_response rs = { .status = 429, .headers = headers, .n_headers = 2 };

	MUST(http_retry_after_ms(&rs) <= HTTP_RETRY_AFTER_MAX_MS);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = INPUT(data, size);
	char *first = input_line(&in), *second = input_line(&in);
	size_t len = strlen(first);
	char *exact = copy_exactly(first, len);

	fuzz_begin();
	try_rfc3339(exact, len);
	try_http_date(exact, len);
	try_retry_after(first, second);
	mem_free(exact);
	mem_free(first);
	mem_free(second);
	return 0;
}
