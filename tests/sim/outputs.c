#include "config.h"

#include "tests/sim/outputs.h"

#include <stdio.h>
#include <string.h>

#include "tests/sim/draw.h"
#include "tests/sim/pred.h"
#include "tests/sim/sim.h"

#define MAX_BYTES ((size_t)32 << 20)

/* In pixels; max is one of the settings. */
static unsigned
no_longer(unsigned side, long max)
{
	return side < (unsigned)max ? side : (unsigned)max;
}

bool
picture_copy(const struct sim *sim, const struct pred *p, struct picture *ret)
{
	*ret = (struct picture){
		.wishes = p->wishes, .seed = p->seed, .n = p->n_outputs,
		.width = no_longer(p->width, sim->set.max_side),
		.height = no_longer(p->height, sim->set.max_side),
		.prompt = mem_strdup(pred_prompt(p)),
	};
	return ret->prompt != NULL;
}

void
picture_clear(struct picture *pic)
{
	mem_free(pic->prompt);
	pic->prompt = NULL;
}

/* The first bytes of an MP4 file, and filling. */
static const char *
put_video(struct buf *out)
{
	static const char head[] =
		"\0\0\0\x18" "ftypisom\0\0\2\0isomiso2" "\0\0\x10\x08" "mdat";
	static const char filling[4096];

	buf_put(out, head, sizeof(head) - 1);
	buf_put(out, filling, sizeof(filling));
	return "video/mp4";
}

/* The same with 200 MB of filling. */
#define HUGE_BYTES 200000000

static const char *
put_huge(struct buf *out, size_t *fill)
{
	static const char head[] =
		"\0\0\0\x18" "ftypisom\0\0\2\0isomiso2" "\x0b\xeb\xc1\xe8" "mdat";

	buf_put(out, head, sizeof(head) - 1);
	if (fill)
		*fill = HUGE_BYTES - (sizeof(head) - 1);
	return "video/mp4";
}

/* "[bytes 89504e47]": these, whatever they are. */
static const char *
put_wanted(const char *digits, struct buf *out)
{
	unsigned byte;
	int n;

	for (; sscanf(digits, "%2x%n", &byte, &n) == 1 && n == 2; digits += 2)
		buf_putc(out, (char)byte);
	return "image/png";
}

const char *
picture_put(const struct picture *pic, unsigned index, struct buf *out, size_t *ret_fill)
{
	static const char web_page[] =
		"<!DOCTYPE html><html><title>Sorry</title><p>Something else came.</html>\n";
	const char *wanted = strstr(pic->prompt, "[bytes ");

	if (ret_fill)
		*ret_fill = 0;
	if (pic->wishes & WISH_HTML) {
		buf_puts(out, web_page);
		return "image/png";
	}
	if (pic->wishes & WISH_VIDEO)
		return put_video(out);
	if (pic->wishes & WISH_HUGE)
		return put_huge(out, ret_fill);
	if (wanted)
		return put_wanted(wanted + 7, out);
	return draw_png(pic->prompt, pic->seed, index, pic->width, pic->height, out) ?
		"image/png" : NULL;
}

json_t *
picture_base64(const struct picture *pic, unsigned index)
{
	struct buf bytes = BUF_INIT(MAX_BYTES), text = BUF_INIT(2 * MAX_BYTES);
	json_t *value = NULL;

	if (picture_put(pic, index, &bytes, NULL) && !bytes.err)
		sim_base64(&text, buf_str(&bytes), bytes.len);
	if (!bytes.err && !text.err)
		value = json_stringn(buf_str(&text), text.len);
	buf_clear(&text);
	buf_clear(&bytes);
	return value ? value : json_null();
}
