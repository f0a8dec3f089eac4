#include "config.h"

#include "tests/sim/draw.h"

#include <png.h>
#include <stddef.h>
#include <string.h>

struct colour {
	int r, g, b;
};

struct canvas {
	uint8_t *px;		/* three bytes each */
	int w, h;
	uint64_t random;
};

/* FNV-1a; then splitmix64 makes a series of it. */
static uint64_t
hash_text(uint64_t h, const void *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		h = (h ^ ((const uint8_t *)p)[i]) * UINT64_C(0x100000001b3);
	return h;
}

static int
roll(struct canvas *c, int below)
{
	uint64_t z = c->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (int)((z ^ (z >> 31)) % (uint64_t)(below < 1 ? 1 : below));
}

static struct colour
roll_colour(struct canvas *c, int from, int to)
{
	struct colour col;

	col.r = from + roll(c, to - from);
	col.g = from + roll(c, to - from);
	col.b = from + roll(c, to - from);
	return col;
}

static void
set_pixel(struct canvas *c, int x, int y, struct colour col)
{
	uint8_t *p = c->px + ((size_t)y * (size_t)c->w + (size_t)x) * 3;

	p[0] = (uint8_t)col.r;
	p[1] = (uint8_t)col.g;
	p[2] = (uint8_t)col.b;
}

static struct colour
mix(struct colour a, struct colour b, int part, int whole)
{
	struct colour m;

	m.r = a.r + (b.r - a.r) * part / whole;
	m.g = a.g + (b.g - a.g) * part / whole;
	m.b = a.b + (b.b - a.b) * part / whole;
	return m;
}

static void
draw_gradient(struct canvas *c)
{
	struct colour top = roll_colour(c, 20, 160), bottom = roll_colour(c, 130, 250);
	int slope = roll(c, 3);		/* a slanted sky now and then */

	for (int y = 0; y < c->h; y++)
		for (int x = 0; x < c->w; x++)
			set_pixel(c, x, y, mix(top, bottom, y * 4 + x * slope,
				c->h * 4 + c->w * slope));
}

static void
draw_block(struct canvas *c, int x, int y, int w, int h, struct colour col)
{
	for (int j = y < 0 ? 0 : y; j < y + h && j < c->h; j++)
		for (int i = x < 0 ? 0 : x; i < x + w && i < c->w; i++)
			set_pixel(c, i, j, col);
}

static void
draw_disc(struct canvas *c, int cx, int cy, int r, int hole, struct colour col)
{
	for (int y = cy - r; y <= cy + r; y++) {
		for (int x = cx - r; x <= cx + r; x++) {
			int d = (x - cx) * (x - cx) + (y - cy) * (y - cy);

			if (x >= 0 && y >= 0 && x < c->w && y < c->h &&
			    d <= r * r && d >= hole * hole)
				set_pixel(c, x, y, col);
		}
	}
}

/* A triangle that stands on the lower edge. */
static void
draw_peak(struct canvas *c, int cx, int top, int half, struct colour col)
{
	int rise = c->h - top > 0 ? c->h - top : 1;

	for (int y = top < 0 ? 0 : top; y < c->h; y++) {
		int reach = half * (y - top) / rise;

		draw_block(c, cx - reach, y, 2 * reach + 1, 1, col);
	}
}

static void
draw_scene(struct canvas *c)
{
	int unit = c->w < c->h ? c->w : c->h;
	int n;

	draw_gradient(c);
	draw_disc(c, roll(c, c->w), roll(c, c->h / 2), unit / 10 + roll(c, unit / 8), 0,
		roll_colour(c, 200, 255));
	n = 2 + roll(c, 3);
	for (int i = 0; i < n; i++)
		draw_peak(c, roll(c, c->w), c->h / 4 + roll(c, c->h / 2),
			c->w / 5 + roll(c, c->w / 3), roll_colour(c, 30, 130));
	n = 4 + roll(c, 6);
	for (int i = 0; i < n; i++) {
		int w = unit / 16 + roll(c, unit / 8), h = unit / 10 + roll(c, unit / 3);

		draw_block(c, roll(c, c->w), c->h - h, w, h, roll_colour(c, 10, 220));
	}
	n = 1 + roll(c, 3);
	for (int i = 0; i < n; i++) {
		int r = unit / 12 + roll(c, unit / 6);

		draw_disc(c, roll(c, c->w), roll(c, c->h), r, r * 2 / 3, roll_colour(c, 90, 255));
	}
}

static bool
encode(const struct canvas *c, struct buf *out)
{
	png_image image;
	size_t room = (size_t)c->w * (size_t)c->h * 3 + (size_t)c->h + 65536;
	png_alloc_size_t len = room;
	char *to = buf_reserve(out, room);

	memset(&image, 0, sizeof(image));
	image.version = PNG_IMAGE_VERSION;
	image.width = (png_uint_32)c->w;
	image.height = (png_uint_32)c->h;
	image.format = PNG_FORMAT_RGB;
	if (!to || !png_image_write_to_memory(&image, to, &len, 0, c->px, 0, NULL))
		return false;
	out->len += len;
	return true;
}

bool
draw_png(const char *prompt, int64_t seed, unsigned index,
	unsigned width, unsigned height, struct buf *out)
{
	struct canvas c = { .w = (int)width, .h = (int)height };
	bool ok;

	c.px = mem_alloc((size_t)width * height * 3);
	if (!c.px)
		return false;
	c.random = hash_text(UINT64_C(0xcbf29ce484222325), prompt, strlen(prompt));
	c.random = hash_text(c.random, &seed, sizeof(seed));
	c.random = hash_text(c.random, &index, sizeof(index));
	draw_scene(&c);
	ok = encode(&c, out);
	mem_free(c.px);
	return ok;
}
