/*
 * Documents from outside, texts that go into one, and the URLs that are collected
 * from an answer.
 */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include <strings.h>

#include "providers/reply.h"

static void
is_written_as_read(const char *p, size_t len)
{
	json_error_t why;
	json_t *doc = json_read(p, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why), *again;
	char *text;

	MUST(doc || is_utf8(why.text, strlen(why.text)));
	if (!doc)
		return;
	text = json_write(doc, JSON_COMPACT | JSON_ENCODE_ANY);
	MUST(text && is_utf8(text, strlen(text)));
	again = json_read(text, strlen(text), JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
	MUST(again && json_equal(doc, again));
	json_decref(doc);
	json_decref(again);
	mem_free(text);
}

static void
log_takes_anything(const char *p, size_t len)
{
	struct buf out = BUF_INIT(len * 6 + 8);
	json_t *string;

	buf_put_json_string(&out, p, len);
	MUST(!out.err && is_utf8(buf_str(&out), out.len) && !has_control(buf_str(&out)));
	string = json_loadb(buf_str(&out), out.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	MUST(json_is_string(string));
	if (is_utf8(p, len))
		MUST(json_string_length(string) == len && memcmp(json_string_value(string), p, len) == 0);
	json_decref(string);
	buf_clear(&out);
}

static void
text_is_bounded(const char *p, size_t len)
{
	char *text = reply_text(p, len);

	MUST(text && strlen(text) <= 2000 && (!is_utf8(p, len) || is_utf8(text, strlen(text))));
	mem_free(text);
}

static void
try_output(const json_t *output)
{
	json_t *urls = reply_collect_urls(output), *url;
	size_t i;

	MUST(json_is_array(urls));
	json_array_foreach(urls, i, url) {
		const char *s = json_string_value(url);

		MUST(s && strlen(s) == json_string_length(url));
		MUST(strncasecmp(s, "http:", 5) == 0 || strncasecmp(s, "https:", 6) == 0 || strncasecmp(s, "data:", 5) == 0);
	}
	json_decref(urls);
}

static void
try_document(const char *p, size_t len)
{
	json_t *doc = NULL;
	enum err_code rc = reply_document(p, len, &doc);
	const char *name;
	json_t *member;

	MUST(rc == ERR_OK || rc == ERR_BAD_REQUEST);
	if (!rc)
		MUST(json_is_object(doc));
	json_object_foreach(doc, name, member) {
		const char *s = reply_string(doc, name);

		MUST(!s || (json_is_string(member) && strlen(s) == json_string_length(member)));
		try_output(member);
	}
	json_decref(doc);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = INPUT(data, size);
	char *exact = copy_exactly(in.p, in.len);

	fuzz_begin();
	is_written_as_read(exact, size);
	log_takes_anything(exact, size);
	text_is_bounded(exact, size);
	try_document(exact, size);
	mem_free(exact);
	return 0;
}
