#include "config.h"

#include "core/lift.h"

#include <stdlib.h>

#include "base/data_uri.h"
#include "tests/unit/unit.h"

#define N(table) (sizeof (table) / sizeof *(table))

#define SHORT "data:image/png;base64,iVBORw0KGgo="

static struct settings settings = {
	.max_input_bytes = 200000, .max_inputs_bytes = 300000, .spool_bytes = 1000000, .spool_requests = 10,
	.spool_per_user = 10,
};
static struct service svc = { .settings = &settings };
static const struct uuid owner;

/* The picture: 70,000 bytes, so that there is more than one chunk of it. */
static char picture[70000];
static struct buf uri = BUF_INIT(200000);

static int
begin(void **state)
{
	static const unsigned char head[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1";

	(void)state;
	json_use_mem();
	for (size_t i = 0; i < sizeof picture; i++)
		picture[i] = (char)(i * 7919 >> 3);
	memcpy(picture, head, sizeof head - 1);
	buf_puts(&uri, "data:image/png;base64,");
	base64_encode(&uri, picture, sizeof picture);
	assert_int_equal(uri.err, ERR_OK);
	assert_non_null(strchr(buf_str(&uri) + 40, '/'));
	return intakes_new(NULL, &svc.intakes, NULL) ? -1 : 0;
}

static int
end(void **state)
{
	(void)state;
	intakes_free(&svc.intakes);
	buf_clear(&uri);
	return mem_outstanding() == 0 ? 0 : -1;
}

/* $: the URI.  %: with its slashes escaped.  #: in another alphabet.  &: with padding in
 * its middle. */
static char *
fill(const char *template)
{
	struct buf out = BUF_INIT(1000000);
	const char *u = buf_str(&uri);

	for (const char *s = template; *s; s++)
		switch (*s) {
		case '$':
			buf_puts(&out, u);
			break;
		case '%':
			for (const char *c = u; *c; c++) {
				if (*c == '/')
					buf_putc(&out, '\\');
				buf_putc(&out, *c);
			}
			break;
		case '#':
			buf_puts(&out, u);
			out.p[out.len - 100] = '_';
			break;
		case '&':
			buf_puts(&out, u);
			memcpy(out.p + out.len - uri.len + strlen("data:image/png;base64,") + 65534, "A=", 2);
			break;
		default:
			buf_putc(&out, *s);
		}
	return buf_take(&out);
}

static void
without_blanks(char *s)
{
	char *to = s;

	for (; *s; s++)
		if (*s != ' ')
			*to++ = *s;
	*to = '\0';
}

static void
is_the_picture(struct intake *in, size_t n)
{
	uint8_t got[SHA256_BYTES], want[SHA256_BYTES];
	const char *key;
	struct err err = ERR_INIT;

	if (intake_take_file(in, n, 0, &key, got, &err))
		fail_msg("%s", err.text);
	assert_int_equal(sha256(picture, sizeof picture, want, &err), ERR_OK);
	assert_memory_equal(got, want, sizeof want);
}

static void
what_is_lifted(void **state)
{
	static const struct { const char *name, *text, *want; size_t files; } rows[] = {
		{ "one", "{\"inputs\":[\"$\"]}", "{\"inputs\":[null]}", 1 },
		{ "two", "{\"inputs\" : [ \"$\" , \"$\" ], \"seed\": 1}", "{\"inputs\":[null,null],\"seed\":1}", 2 },
		{ "beside others", "{\"inputs\":[\"https://x.example/a.png\",\"$\",\"" SHORT "\"]}",
		  "{\"inputs\":[\"https://x.example/a.png\",null,\"" SHORT "\"]}", 1 },
		{ "escaped slashes", "{\"inputs\":[\"%\"]}", "{\"inputs\":[null]}", 1 },
		{ "behind what looks like it", "{\"prompt\":\"\\\\\\\"inputs\\\":[\",\"inputs\":[\"$\"]}",
		  "{\"prompt\":\"\\\\\\\"inputs\\\":[\",\"inputs\":[null]}", 1 },
		{ "the name as a value", "{\"prompt\":\"inputs\",\"params\":[\"$\"]}", NULL, 0 },
		{ "deeper", "{\"params\":{\"inputs\":[\"$\"]}}", NULL, 0 },
		{ "a list in the list", "{\"inputs\":[[\"$\"]]}", NULL, 0 },
		{ "an object", "{\"inputs\":{\"$\":\"$\"}}", NULL, 0 },
		{ "no list", "{\"inputs\":\"$\"}", NULL, 0 },
		{ "a list outside", "[\"inputs\",[\"$\"]]", NULL, 0 },
		{ "behind a null", "{\"inputs\":[null,\"$\"]}", NULL, 0 },
		{ "and before one", "{\"inputs\":[\"$\",null,\"$\"]}", "{\"inputs\":[null,null,\"$\"]}", 1 },
		{ "behind a number", "{\"inputs\":[1,\"$\"]}", NULL, 0 },
		{ "the second of that name", "{\"inputs\":[\"$\"],\"inputs\":[\"$\"]}",
		  "{\"inputs\":[null],\"inputs\":[\"$\"]}", 1 },
		{ "an escaped name", "{\"in\\u0070uts\":[\"$\"]}", NULL, 0 },
		{ "another escape", "{\"inputs\":[\"$\\u0041\"]}", NULL, 0 },
		{ "a line in its head", "{\"inputs\":[\"data:\n;base64,$\"]}", NULL, 0 },
		{ "broken", "{\"inputs\":[\"#\"]}", NULL, 0 },
		{ "broken behind a good one", "{\"inputs\":[\"$\",\"#\"]}", "{\"inputs\":[null,\"#\"]}", 1 },
		{ "padding within", "{\"inputs\":[\"&\"]}", NULL, 0 },
		{ "without an end", "{\"inputs\":[\"$", NULL, 0 },
		{ "without more", "{\"inputs\":[\"$\"", "{\"inputs\":[null", 1 },
		{ "nothing", "", NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		char *text = fill(rows[i].text), *want = fill(rows[i].want ? rows[i].want : rows[i].text);
		size_t len = strlen(text), files = 9;
		struct intake *in = NULL;
		struct err err = ERR_INIT;

		assert_int_equal(intake_new(&svc, &owner, &in, &err), ERR_OK);
		if (lift_inputs(&svc, in, text, len, &files, &err))
			fail_msg("%s: %s", rows[i].name, err.text);
		if (strlen(text) != len || files != rows[i].files || intake_count(in) != files)
			fail_msg("%s: %zu files of %zu, and %zu bytes of %zu", rows[i].name, files, intake_count(in),
				strlen(text), len);
		without_blanks(text);
		without_blanks(want);
		if (strcmp(text, want) != 0)
			fail_msg("%s: %.200s", rows[i].name, text);
		for (size_t n = 0; n < files; n++)
			is_the_picture(in, n);
		intake_unref(&in);
		mem_free(text);
		mem_free(want);
	}
}

/* As any others: their limits are not for this to decide. */
static void
limits_are_the_intakes(void **state)
{
	char *text = fill("{\"inputs\":[\"$\",\"$\",\"$\",\"$\",\"$\"]}");
	struct intake *in = NULL;
	struct err err = ERR_INIT;
	size_t files;

	(void)state;
	assert_int_equal(intake_new(&svc, &owner, &in, &err), ERR_OK);
	assert_int_equal(lift_inputs(&svc, in, text, strlen(text), &files, &err), ERR_TOO_BIG);
	assert_non_null(strstr(err.text, "300000"));
	intake_unref(&in);
	mem_free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_lifted),
		cmocka_unit_test(limits_are_the_intakes),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
