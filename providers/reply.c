#include "config.h"

#include "providers/reply.h"

#include <strings.h>

#include "base/clock.h"

#define RETRY_AFTER_MAX_MS (3600 * 1000)
#define TEXT_MAX 2000
#define DEPTH_MAX 32
#define URLS_MAX 100	/* no model makes more; the rest would be somebody's joke */

json_t *
reply_json(const char *p, size_t len)
{
	json_t *doc = json_loadb(p, len, JSON_ALLOW_NUL, NULL);

	if (!doc)
		doc = json_loadb(p, len, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
	if (doc && !json_is_object(doc)) {
		json_decref(doc);
		doc = NULL;
	}
	return doc;
}

const char *
reply_string(const json_t *object, const char *member)
{
	const json_t *v = json_object_get(object, member);
	const char *s = json_string_value(v);

	return s && strlen(s) == json_string_length(v) ? s : NULL;
}

char *
reply_text(const char *s, size_t len)
{
	char *ret, *to;

	/* Not in the middle of a character. */
	if (len > TEXT_MAX) {
		len = TEXT_MAX;
		while (len > 0 && ((unsigned char)s[len] & 0xc0) == 0x80)
			len--;
	}
	ret = to = mem_alloc(len + 1);
	if (!ret)
		return NULL;
	for (size_t i = 0; i < len; i++)
		if (s[i] != '\0')
			*to++ = s[i];
	*to = '\0';
	return ret;
}

static uint64_t
bounded_ms(uint64_t seconds)
{
	return seconds >= RETRY_AFTER_MAX_MS / 1000 ? RETRY_AFTER_MAX_MS : seconds * 1000;
}

static uint64_t
header_ms(const struct http_response *rs)
{
	const char *after = http_response_header(rs, "retry-after");
	const char *date = http_response_header(rs, "date");
	int64_t then, now;
	uint64_t n;

	if (!after)
		return 0;
	if (!parse_u64(after, strlen(after), 0, UINT64_MAX, &n))
		return bounded_ms(n);
	if (http_date_parse(after, strlen(after), &then) || !date ||
	    http_date_parse(date, strlen(date), &now) || then <= now)
		return 0;
	return bounded_ms((uint64_t)(then - now));
}

/* "... Your rate limit resets in ~30s." */
static uint64_t
sentence_ms(const char *text)
{
	const char *p = text ? strchr(text, '~') : NULL;
	size_t digits = p ? strspn(p + 1, "0123456789") : 0;
	uint64_t n;

	if (!digits || p[1 + digits] != 's' || parse_u64(p + 1, digits, 0, UINT64_MAX, &n))
		return 0;
	return bounded_ms(n);
}

uint64_t
reply_retry_after_ms(const struct http_response *rs, const json_t *body)
{
	const json_t *member = json_object_get(body, "retry_after");
	uint64_t ms = header_ms(rs);

	if (ms)
		return ms;
	if (json_is_number(member) && json_number_value(member) > 0) {
		double s = json_number_value(member);

		return s >= RETRY_AFTER_MAX_MS / 1000 ? RETRY_AFTER_MAX_MS : (uint64_t)(s * 1000);
	}
	return sentence_ms(reply_string(body, "detail"));
}

static bool
is_url(const json_t *value)
{
	const char *s = json_string_value(value);

	/* A NUL inside would make the rest invisible. */
	return s && strlen(s) == json_string_length(value) &&
		(strncasecmp(s, "https://", 8) == 0 || strncasecmp(s, "http://", 7) == 0 ||
		 strncasecmp(s, "data:", 5) == 0);
}

static int
collect(const json_t *value, json_t *urls, int depth)
{
	const char *name;
	json_t *member;
	size_t i;

	if (depth > DEPTH_MAX || json_array_size(urls) >= URLS_MAX)
		return 0;
	if (is_url(value))
		return json_array_append(urls, (json_t *)value);
	json_array_foreach((json_t *)value, i, member)
		if (collect(member, urls, depth + 1))
			return -1;
	json_object_foreach((json_t *)value, name, member)
		if (collect(member, urls, depth + 1))
			return -1;
	return 0;
}

json_t *
reply_collect_urls(const json_t *output)
{
	json_t *urls = json_array();

	if (urls && collect(output, urls, 0)) {
		json_decref(urls);
		urls = NULL;
	}
	return urls;
}
