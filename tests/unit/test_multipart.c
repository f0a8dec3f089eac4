#include "config.h"

#include "base/multipart.h"

#include "base/buf.h"
#include "tests/unit/unit.h"

#define N(table) (sizeof (table) / sizeof *(table))
#define TYPE "multipart/form-data; boundary=b"
#define PART(name) "Content-Disposition: form-data; name=\"" name "\"\r\n\r\n"
#define FILE_PART(name, file) "Content-Disposition: form-data; name=\"" name "\"; filename=\"" file "\"\r\n" \
	"Content-Type: image/png\r\n\r\n"

/* What was told, as text: "name=content|", a file's "name@content|". */
struct told {
	struct buf text;
	enum err_code fail_begin, fail_data, fail_end;
};

static enum err_code
begin(void *ctx, const struct multipart_part *part, struct err *err)
{
	struct told *told = ctx;

	(void)err;
	buf_printf(&told->text, "%s%s", part->name, part->is_nameless ? "@@" : part->is_file ? "@" : "=");
	return told->fail_begin;
}

static enum err_code
data(void *ctx, const char *p, size_t len, struct err *err)
{
	struct told *told = ctx;

	(void)err;
	assert_true(len > 0);
	buf_put(&told->text, p, len);
	return told->fail_data;
}

static enum err_code
end(void *ctx, struct err *err)
{
	struct told *told = ctx;

	(void)err;
	buf_putc(&told->text, '|');
	return told->fail_end;
}

static const struct multipart_events events = { begin, data, end };

/* All of it, in pieces of that size. */
static enum err_code
read_form(const char *type, const char *body, size_t len, size_t piece, struct told *told, struct err *err)
{
	struct multipart m;
	enum err_code rc = multipart_init(&m, type, &events, told, err);

	for (size_t at = 0; !rc && at < len; at += piece)
		rc = multipart_feed(&m, body + at, len - at < piece ? len - at : piece, err);
	return rc ? rc : multipart_finish(&m, err);
}

static void
kind_forms(void **state)
{
	static const struct { const char *name, *type, *body, *want; } rows[] = {
		{ "one field", TYPE, "--b\r\n" PART("prompt") "a cup\r\n--b--\r\n", "prompt=a cup|" },
		{ "no line behind it", TYPE, "--b\r\n" PART("p") "x\r\n--b--", "p=x|" },
		{ "two fields", TYPE, "--b\r\n" PART("a") "1\r\n--b\r\n" PART("b") "2\r\n--b--\r\n", "a=1|b=2|" },
		{ "an empty one", TYPE, "--b\r\n" PART("a") "\r\n--b--\r\n", "a=|" },
		{ "no part at all", TYPE, "--b--\r\n", "" },
		{ "a file", TYPE, "--b\r\n" FILE_PART("inputs", "x.png") "\x89PNG\r\n\r\n--b--\r\n", "inputs@\x89PNG\r\n|" },
		{ "a file without a name", TYPE, "--b\r\n" FILE_PART("inputs", "") "\r\n--b--\r\n", "inputs@@|" },
		{ "a name with a path", TYPE, "--b\r\n" FILE_PART("f", "../../etc/passwd") "x\r\n--b--\r\n", "f@x|" },
		{ "a name with a quote", TYPE, "--b\r\n" FILE_PART("f", "a\\\"; name=\\\"g.png") "x\r\n--b--\r\n", "f@x|" },
		{ "filename*", TYPE, "--b\r\nContent-Disposition: form-data; name=f; filename*=UTF-8''a.png\r\n\r\nx\r\n--b--",
		  "f@x|" },
		{ "other headers", TYPE, "--b\r\nX-A: b\r\nCONTENT-DISPOSITION: Form-Data ; NAME=\"f\"\r\nX-C: d\r\n\r\nx\r\n--b--",
		  "f=x|" },
		{ "a preamble and an epilogue", TYPE, "hello\r\n--b \t\r\n" PART("f") "x\r\n--b--\r\n--b\r\nmore", "f=x|" },
		{ "what is like a delimiter", TYPE, "--b\r\n" PART("f") "\r\r\n\r\n-\r\n--\r\n--a--b\r\n--b--", "f=\r\r\n\r\n-\r\n--\r\n--a--b|" },
		{ "a boundary in quotes", "Multipart/Form-Data; charset=utf-8; boundary=\"a b\"", "--a b\r\n" PART("f") "x\r\n--a b--", "f=x|" },
		{ "a browser's boundary", "multipart/form-data; boundary=----WebKitFormBoundaryx",
		  "------WebKitFormBoundaryx\r\n" PART("f") "x\r\n------WebKitFormBoundaryx--\r\n", "f=x|" },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++)
		for (size_t piece = 1; piece <= strlen(rows[i].body); piece++) {
			struct told told = { .text = BUF_INIT(1000) };
			struct err err = ERR_INIT;
			enum err_code rc = read_form(rows[i].type, rows[i].body, strlen(rows[i].body), piece, &told, &err);

			if (rc || strcmp(buf_str(&told.text), rows[i].want) != 0)
				fail_msg("%s in pieces of %zu: \"%s\", %s", rows[i].name, piece, buf_str(&told.text), err.text);
			buf_clear(&told.text);
		}
}

static void
hostile_forms(void **state)
{
	static const struct { const char *name, *type, *body, *want; } rows[] = {
		{ "no boundary", "multipart/form-data", "--b--", "needs a boundary" },
		{ "an empty boundary", "multipart/form-data; boundary=", "----", "needs a boundary" },
		{ "a boundary that ends in a blank", "multipart/form-data; boundary=\"a \"", "--a --", "needs a boundary" },
		{ "a boundary with a line break", "multipart/form-data; boundary=\"a\rb\"", "--a\rb--", "needs a boundary" },
		{ "a quote that does not end", "multipart/form-data; boundary=\"b", "--b--", "needs a boundary" },
		{ "71 characters", "multipart/form-data; boundary=01234567890123456789012345678901234567890123456789012345678901234567890",
		  "", "needs a boundary" },
		{ "nothing", TYPE, "", "ends before" },
		{ "cut in a part", TYPE, "--b\r\n" PART("f") "x", "ends before" },
		{ "cut in the last delimiter", TYPE, "--b\r\n" PART("f") "x\r\n--b-", "ends before" },
		{ "line breaks without CR", TYPE, "--b\nContent-Disposition: form-data; name=f\n\nx\n--b--", "followed by something else" },
		{ "text behind a delimiter", TYPE, "--b\r\n" PART("f") "x\r\n--bb\r\n", "followed by something else" },
		{ "a dash behind a delimiter", TYPE, "--b-\r\n", "followed by something else" },
		{ "no headers", TYPE, "--b\r\n\r\nx\r\n--b--", "has no name" },
		{ "no disposition", TYPE, "--b\r\nContent-Type: a/b\r\n\r\nx\r\n--b--", "has no name" },
		{ "no name", TYPE, "--b\r\nContent-Disposition: form-data; filename=\"a\"\r\n\r\nx\r\n--b--", "has no name" },
		{ "a disposition of another kind", TYPE, "--b\r\nContent-Disposition: attachment; name=\"a\"\r\n\r\nx\r\n--b--", "has no name" },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct told told = { .text = BUF_INIT(1000) };
		struct err err = ERR_INIT;

		ASSERT_ROW(rows[i].name, read_form(rows[i].type, rows[i].body, strlen(rows[i].body), 3, &told, &err) == ERR_BAD_REQUEST);
		if (!strstr(err.text, rows[i].want))
			fail_msg("%s: %s", rows[i].name, err.text);
		buf_clear(&told.text);
	}
}

static void
what_is_large(void **state)
{
	static const struct { const char *name, *before, *after; size_t n; enum err_code rc; } rows[] = {
		{ "a long name", "--b\r\nContent-Disposition: form-data; name=\"", "\"\r\n\r\nx\r\n--b--", 127, ERR_OK },
		{ "too long a name", "--b\r\nContent-Disposition: form-data; name=\"", "\"\r\n\r\nx\r\n--b--", 128, ERR_BAD_REQUEST },
		{ "a long filename", "--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"", "\"\r\n\r\nx\r\n--b--", 4000, ERR_OK },
		{ "headers without an end", "--b\r\n", "", 5000, ERR_BAD_REQUEST },
		{ "a large content", "--b\r\n" PART("a"), "\r\n--b--", 200000, ERR_OK },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct told told = { .text = BUF_INIT(300000) };
		struct buf body = BUF_INIT(300000);

		buf_puts(&body, rows[i].before);
		for (size_t n = 0; n < rows[i].n; n++)
			buf_putc(&body, 'x');
		buf_puts(&body, rows[i].after);
		ASSERT_ROW(rows[i].name, read_form(TYPE, buf_str(&body), body.len, 65536, &told, NULL) == rows[i].rc);
		buf_clear(&body);
		buf_clear(&told.text);
	}
}

static void
how_many_parts(void **state)
{
	(void)state;
	for (size_t n = MULTIPART_PARTS_MAX; n <= MULTIPART_PARTS_MAX + 1; n++) {
		struct told told = { .text = BUF_INIT(100000) };
		struct buf body = BUF_INIT(100000);

		for (size_t i = 0; i < n; i++)
			buf_puts(&body, "--b\r\n" PART("a") "x\r\n");
		buf_puts(&body, "--b--");
		assert_int_equal(read_form(TYPE, buf_str(&body), body.len, 1000, &told, NULL),
			n > MULTIPART_PARTS_MAX ? ERR_BAD_REQUEST : ERR_OK);
		buf_clear(&body);
		buf_clear(&told.text);
	}
}

/* A NUL would hide the rest of a name. */
static void
a_nul_in_a_name(void **state)
{
	static const char body[] = "--b\r\nContent-Disposition: form-data; name=\"a\0b\"\r\n\r\nx\r\n--b--";
	struct told told = { .text = BUF_INIT(1000) };

	(void)state;
	assert_int_equal(read_form(TYPE, body, sizeof body - 1, 1, &told, NULL), ERR_BAD_REQUEST);
	buf_clear(&told.text);
}

static void
failures_end_it(void **state)
{
	static const char body[] = "--b\r\n" PART("a") "x\r\n--b\r\n" PART("b") "y\r\n--b--";
	static const struct { struct told told; const char *want; } rows[] = {
		{ { .fail_begin = ERR_NOMEM }, "a=" },
		{ { .fail_data = ERR_NOMEM }, "a=x" },
		{ { .fail_end = ERR_NOMEM }, "a=x|" },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct told told = rows[i].told;

		told.text = (struct buf)BUF_INIT(1000);
		assert_int_equal(read_form(TYPE, body, sizeof body - 1, 7, &told, NULL), ERR_NOMEM);
		assert_string_equal(buf_str(&told.text), rows[i].want);
		buf_clear(&told.text);
	}
}

static void
which_types(void **state)
{
	(void)state;
	assert_true(multipart_is_form(TYPE));
	assert_true(multipart_is_form("MULTIPART/form-data"));
	assert_false(multipart_is_form(NULL));
	assert_false(multipart_is_form("multipart/form-data2; boundary=b"));
	assert_false(multipart_is_form("multipart/mixed; boundary=b"));
	assert_false(multipart_is_form("application/json"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kind_forms),
		cmocka_unit_test(hostile_forms),
		cmocka_unit_test(what_is_large),
		cmocka_unit_test(how_many_parts),
		cmocka_unit_test(a_nul_in_a_name),
		cmocka_unit_test(failures_end_it),
		cmocka_unit_test(which_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
