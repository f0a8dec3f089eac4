/*
 * The head of an HTTP answer, a line at a time as libcurl hands it over, and then its
 * body.  What bounds them is in the file itself, so that is here.
 */
#include "config.h"

#include "base/http_callbacks.c"

#include "tests/fuzz/fuzz.h"

static bool
give_lines(struct transfer *t, const char **at, size_t *left)
{
	while (*left > 0) {
		const char *end = memchr(*at, '\n', *left);
		size_t len = end ? (size_t)(end - *at) + 1 : *left;
		char *line = copy_exactly(*at, len);
		bool blank = line[0] == '\n' || (len == 2 && line[0] == '\r' && line[1] == '\n');
		bool taken = transfer_on_header(line, 1, len, t) == len;

		MUST(taken == !t->code);
		mem_free(line);
		*at += len;
		*left -= len;
		if (!taken || (blank && t->headers_done))
			return taken;
	}
	return true;
}

static void
look_at(const struct transfer *t, const struct http_response *rs)
{
	size_t total = 0;

	MUST(rs->n_headers <= MAX_RESPONSE_HEADERS);
	for (size_t i = 0; i < rs->n_headers; i++) {
		const struct http_header *h = &rs->headers[i];

		MUST(!strpbrk(h->name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ\n:") && !strchr(h->value, '\n'));
		MUST(h->value[0] != ' ' && h->value[0] != '\t');
		total += strlen(h->name) + strlen(h->value);
	}
	MUST(total <= MAX_HEADER_BYTES);
	MUST(!t->code || t->why);
	(void)http_retry_after_ms(rs);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_request rq = HTTP_REQUEST_INIT;
	struct http_response rs = HTTP_RESPONSE_INIT;
	struct origin origin = { .one_at_a_time = false };
	struct transfer t = { .rq = &rq, .rs = &rs, .origin = &origin, .max_response_bytes = 4096 };
	const char *at = (const char *)data;
	size_t left = size;

	fuzz_begin();
	t.easy = curl_easy_init();
	MUST(t.easy);
	if (give_lines(&t, &at, &left)) {
		char *body = copy_exactly(at, left);
		size_t taken = transfer_on_body(body, 1, left, &t);

		MUST(taken == (left <= t.max_response_bytes ? left : 0));
		MUST(!taken || (rs.body.len == left && rs.body_bytes == left));
		mem_free(body);
	}
	look_at(&t, &rs);
	curl_easy_cleanup(t.easy);
	http_response_clear(&rs);
	return 0;
}
