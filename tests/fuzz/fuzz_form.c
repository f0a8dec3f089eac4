/*
 * A form: its Content-Type on the first line, how it is cut into pieces on the second,
 * then the body.  It tells the same in one piece, a byte at a time and in those pieces.
 */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include "base/multipart.h"

/* What was told, as a text. */
struct told {
	struct buf text;
	bool inside;
	size_t parts;
};

static enum err_code
on_begin(void *ctx, const struct multipart_part *part, struct err *err)
{
	struct told *t = ctx;

	(void)err;
	MUST(!t->inside && strlen(part->name) <= MULTIPART_NAME_MAX && (part->is_file || !part->is_nameless));
	t->inside = true;
	t->parts++;
	buf_printf(&t->text, "\n%s%s%s:", part->name, part->is_file ? " file" : "", part->is_nameless ? " left alone" : "");
	return ERR_OK;
}

static enum err_code
on_data(void *ctx, const char *p, size_t len, struct err *err)
{
	struct told *t = ctx;

	(void)err;
	MUST(t->inside && len > 0);
	buf_put(&t->text, p, len);
	return ERR_OK;
}

static enum err_code
on_end(void *ctx, struct err *err)
{
	struct told *t = ctx;

	(void)err;
	MUST(t->inside);
	t->inside = false;
	return ERR_OK;
}

static const struct multipart_events events = { on_begin, on_data, on_end };

/* piece: how long each is; 0: a byte of `cuts` each says so. */
static enum err_code
feed(const char *type, const char *body, size_t len, size_t piece, const char *cuts, struct told *ret)
{
	struct multipart m;
	struct err err = ERR_INIT;
	const char *cut = cuts;
	enum err_code rc = multipart_init(&m, type, &events, ret, &err);

	while (!rc && len > 0) {
		size_t n = piece ? piece : *cut ? (size_t)(unsigned char)*cut : 1;
		char *exact;

		if (n > len)
			n = len;
		exact = copy_exactly(body, n);
		rc = multipart_feed(&m, exact, n, &err);
		mem_free(exact);
		body += n;
		len -= n;
		cut = *cut ? cut + 1 : cuts;
	}
	if (!rc)
		rc = multipart_finish(&m, &err);
	MUST(rc == ERR_OK || rc == ERR_BAD_REQUEST);
	MUST_SAY(rc, &err);
	MUST(rc || !ret->inside);
	MUST(!ret->text.err && ret->parts <= MULTIPART_PARTS_MAX);
	return rc;
}

static bool
same(const struct told *a, const struct told *b)
{
	return a->parts == b->parts && a->text.len == b->text.len &&
		memcmp(buf_str(&a->text), buf_str(&b->text), a->text.len) == 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = INPUT(data, size);
	char *type = input_line(&in), *cuts = input_line(&in);
	const size_t max = in.len + MULTIPART_PARTS_MAX * 200;
	struct told whole = { .text = BUF_INIT(max) }, bytes = { .text = BUF_INIT(max) },
		pieces = { .text = BUF_INIT(max) };
	enum err_code rc;

	fuzz_begin();
	rc = feed(type, in.p, in.len, in.len ? in.len : 1, cuts, &whole);
	MUST(rc || multipart_is_form(type));
	MUST(feed(type, in.p, in.len, 1, cuts, &bytes) == rc && same(&whole, &bytes));
	MUST(feed(type, in.p, in.len, 0, cuts, &pieces) == rc && same(&whole, &pieces));
	buf_clear(&whole.text);
	buf_clear(&bytes.text);
	buf_clear(&pieces.text);
	mem_free(cuts);
	mem_free(type);
	return 0;
}
