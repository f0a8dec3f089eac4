#include "config.h"

#include "providers/reply.h"

#include <math.h>
#include <stdlib.h>
#include <strings.h>

#include "base/clock.h"
#include "providers/provider.h"

#define TEXT_MAX 2000
#define DEPTH_MAX 32

/* RFC 8259 section 6: the length of the number that begins here; 0: none does. */
static size_t
number_len(const char *s)
{
	static const char digits[] = "0123456789";
	size_t at = *s == '-', n = strspn(s + at, digits);

	if (n == 0 || (n > 1 && s[at] == '0'))
		return 0;
	at += n;
	if (s[at] == '.') {
		n = strspn(s + at + 1, digits);
		if (n == 0)
			return 0;
		at += 1 + n;
	}
	if (s[at] == 'e' || s[at] == 'E') {
		size_t sign = s[at + 1] == '+' || s[at + 1] == '-';

		n = strspn(s + at + 1 + sign, digits);
		if (n == 0)
			return 0;
		at += 1 + sign + n;
	}
	return at;
}

/* A number beyond the doubles becomes one of the largest, in its place: none of
 * them is shorter. */
static void
clamp_number(char *s, size_t len)
{
	static const char largest[] = "1e308";
	bool negative = *s == '-';

	if (len < sizeof largest - 1 + negative || !isinf(strtod(s, NULL)))
		return;
	memset(s + negative, ' ', len - negative);
	memcpy(s + negative, largest, sizeof largest - 1);
}

/* s ends with a NUL. */
static void
clamp_numbers(char *s, const char *end)
{
	bool in_string = false;

	while (s < end) {
		size_t len = in_string ? 0 : number_len(s);

		if (len > 0) {
			clamp_number(s, len);
			s += len;
			continue;
		}
		if (*s == '"')
			in_string = !in_string;
		else if (*s == '\\' && in_string && s + 1 < end)
			s++;
		s++;
	}
}

static enum err_code
error_of(const json_error_t *why)
{
	return json_error_code(why) == json_error_out_of_memory ? ERR_NOMEM : ERR_BAD_REQUEST;
}

/* Jansson refuses a document with a number in it that no double can hold. */
static enum err_code
load_clamped(const char *p, size_t len, json_t **ret)
{
	char *copy = mem_alloc(len + 1);
	json_error_t why;

	if (!copy)
		return ERR_NOMEM;
	memcpy(copy, p, len);
	copy[len] = '\0';
	clamp_numbers(copy, copy + len);
	*ret = json_read(copy, len, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &why);
	mem_free(copy);
	return *ret ? ERR_OK : error_of(&why);
}

enum err_code
reply_document(const char *p, size_t len, json_t **ret)
{
	json_error_t why;
	json_t *doc = json_read(p, len, JSON_ALLOW_NUL, &why);
	enum err_code rc = doc ? ERR_OK : error_of(&why);

	if (!doc && json_error_code(&why) == json_error_numeric_overflow)
		rc = load_clamped(p, len, &doc);
	if (!rc && !json_is_object(doc)) {
		json_decref(doc);
		rc = ERR_BAD_REQUEST;
	}
	if (!rc)
		*ret = doc;
	return rc;
}

const char *
reply_string(const json_t *object, const char *member)
{
	const json_t *v = json_object_get(object, member);
	const char *s = json_string_value(v);

	return s && strlen(s) == json_string_length(v) ? s : NULL;
}

const char *
reply_id(const json_t *object, const char *member)
{
	const char *id = reply_string(object, member);

	return id && *id && strlen(id) <= PREDICTION_ID_MAX && strcmp(id, ".") != 0 && strcmp(id, "..") != 0
		? id : NULL;
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

enum err_code
reply_keep(char **to, const json_t *object, const char *member)
{
	const json_t *v = json_object_get(object, member);
	char *text;

	if (!json_is_string(v))
		return ERR_OK;
	text = reply_text(json_string_value(v), json_string_length(v));
	if (!text)
		return ERR_NOMEM;
	mem_free(*to);
	*to = text;
	return ERR_OK;
}

/* Its own words hold the prompt, and the webhook's URL with its token. */
static char *
describe_unread(const struct http_response *rs)
{
	struct buf text = BUF_INIT(200);

	buf_printf(&text, "HTTP %ld, and its %zu bytes cannot be read as what was asked for",
		rs->status, rs->body.len);
	return buf_take(&text);
}

/* The member of a problem that says most; NULL: none does. */
static const json_t *
find_words(const json_t *body)
{
	static const char *const members[] = { "detail", "error", "message" };

	for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
		const json_t *v = json_object_get(body, members[i]);
		const json_t *inner = json_object_get(v, "message");

		if (json_string_length(inner) > 0)
			return inner;
		if (json_string_length(v) > 0 || json_array_size(v) > 0)
			return v;
	}
	return NULL;
}

/* FastAPI's list without what it repeats of the request: the prompt, and how the webhook is
 * signed. */
static char *
describe_list(const json_t *words)
{
	json_t *list = json_copy((json_t *)(uintptr_t)words), *item, *own;
	char *text = NULL, *ret;
	size_t i;
	int rc = list ? 0 : -1;

	json_array_foreach(list, i, item)
		if (json_object_get(item, "input")) {
			own = json_copy(item);
			json_object_del(own, "input");
			rc |= json_array_set_new(list, i, own);
		}
	if (!rc)
		text = json_write(list, JSON_COMPACT);
	ret = text ? reply_text(text, strlen(text)) : NULL;
	mem_free(text);
	json_decref(list);
	return ret;
}

char *
reply_problem(const struct http_response *rs, const json_t *body)
{
	const json_t *words = find_words(body), *title = json_object_get(body, "title");

	if (rs->status >= 200 && rs->status < 300)
		return describe_unread(rs);
	if (json_is_array(words))
		return describe_list(words);
	/* invalid_fields says more than the title above it. */
	if (!words && json_string_length(title) > 0 && !json_object_get(body, "invalid_fields"))
		words = title;
	if (json_is_string(words))
		return reply_text(json_string_value(words), json_string_length(words));
	return reply_text(buf_str(&rs->body), rs->body.len);
}

void
reply_to_create(const struct answer *answer, struct submit_reply *ret)
{
	ret->outcome = SUBMIT_UNKNOWN;
	if (answer->status == 429) {
		ret->outcome = SUBMIT_DEFERRED;
		ret->retry_after_ms = reply_retry_after_ms(answer->rs, answer->doc);
	} else if (answer->status >= 400 && answer->status < 500 && answer->status != 408) {
		ret->outcome = SUBMIT_REFUSED;
		ret->error = answer->status >= 401 && answer->status <= 403
			? ERR_PROVIDER_UNAVAILABLE : ERR_PROVIDER_REJECTED;
	}
}

void
reply_to_look(const struct answer *answer, struct status_reply *ret)
{
	bool says_so = json_object_get(answer->doc, "detail") || json_object_get(answer->doc, "error") ||
		reply_string(answer->doc, "status");

	ret->outcome = says_so && (answer->status == 404 || answer->status == 410) ? STATUS_GONE : STATUS_LATER;
	if (answer->status == 429)
		ret->retry_after_ms = reply_retry_after_ms(answer->rs, answer->doc);
}

/* What is not taken, in the words of who says so. */
static enum err_code
quote_problem(const struct answer *answer, enum err_code rc, struct err *err)
{
	char *said = reply_problem(answer->rs, answer->doc);

	rc = err_set(err, rc, "HTTP %ld: %s", answer->status, said ? said : "");
	mem_free(said);
	return rc;
}

enum err_code
reply_to_probe(const struct answer *answer, bool own, struct err *err)
{
	const char *location = http_response_header(answer->rs, "location");
	bool refused = answer->status >= 401 && answer->status <= 403;
	bool redirects = answer->status >= 300 && answer->status < 400 && location;

	if (answer->good && own)
		return ERR_OK;
	if (answer->good)
		return err_set(err, ERR_UPSTREAM, "HTTP %ld, but this is another API", answer->status);
	if (redirects)
		return err_set(err, ERR_UPSTREAM, "HTTP %ld: it redirects to %.*s", answer->status,
			(int)strcspn(location, "?"), location);
	if (answer->doc)
		return quote_problem(answer, refused ? ERR_PROVIDER_UNAVAILABLE : ERR_UPSTREAM, err);
	if (refused)
		return err_set(err, ERR_PROVIDER_UNAVAILABLE, "HTTP %ld", answer->status);
	return err_set(err, ERR_UPSTREAM, "HTTP %ld, and no JSON: is this the API's URL?", answer->status);
}

enum err_code
reply_status(const struct status_word *words, const json_t *object, const char *member,
	struct gen_observation *obs)
{
	const char *word = reply_string(object, member);

	if (!word)
		return ERR_OK;
	while (words->word && strcmp(word, words->word) != 0)
		words++;
	obs->status = words->word ? words->status : GEN_PROCESSING;
	obs->error = words->error;
	obs->status_known = words->word != NULL;
	return reply_keep(&obs->status_text, object, member);
}

static uint64_t
bounded_ms(uint64_t seconds)
{
	return seconds >= HTTP_RETRY_AFTER_MAX_MS / 1000 ? HTTP_RETRY_AFTER_MAX_MS : seconds * 1000;
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
	uint64_t ms = http_retry_after_ms(rs);

	if (ms)
		return ms;
	if (json_is_number(member) && json_number_value(member) > 0) {
		double s = json_number_value(member);

		return s * 1000 >= HTTP_RETRY_AFTER_MAX_MS ? HTTP_RETRY_AFTER_MAX_MS : (uint64_t)(s * 1000);
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

int
reply_add_output(json_t *outputs, json_t *value)
{
	const char *s = json_string_value(value);
	bool is_base64 = s && *s && strlen(s) == json_string_length(value) && !strchr(s, ':');

	return is_base64 || is_url(value) ? json_array_append(outputs, value) : 0;
}

static int
collect(const json_t *value, json_t *urls, int depth)
{
	const char *name;
	json_t *member;
	size_t i;

	if (depth > DEPTH_MAX || json_array_size(urls) >= OUTPUTS_MAX)
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
