#include "config.h"

#include "base/media.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

/* Everything here reads hostile bytes.  All of it goes through bytes_at(),
 * which knows the end; nothing is allocated, nothing recurses, and every loop
 * moves forward in a source of at most MAX_BYTES. */
#define MAX_BYTES (UINT64_C(1) << 20)
#define WINDOW_BYTES 4096

struct source {
	const uint8_t *mem;	/* or NULL: read from fd */
	int fd;
	uint64_t len;		/* nothing is read at or behind it */
	int io_errno;		/* the first failure of pread(2) */
	uint64_t win_at;	/* what the window holds of the file */
	size_t win_len;
	uint8_t win[WINDOW_BYTES];
};

static const struct { const char *mime, *ext; } names[MEDIA_COUNT] = {
	[MEDIA_UNKNOWN] = { "application/octet-stream", "bin" },
	[MEDIA_PNG] = { "image/png", "png" },
	[MEDIA_JPEG] = { "image/jpeg", "jpg" },
	[MEDIA_WEBP] = { "image/webp", "webp" },
	[MEDIA_GIF] = { "image/gif", "gif" },
	[MEDIA_AVIF] = { "image/avif", "avif" },
	[MEDIA_MP4] = { "video/mp4", "mp4" },
	[MEDIA_WEBM] = { "video/webm", "webm" },
};

const char *
media_mime(enum media_type type)
{
	return names[type].mime;
}

const char *
media_ext(enum media_type type)
{
	return names[type].ext;
}

/* ---- bytes ---- */

static void
window_fill(struct source *src, uint64_t at)
{
	uint64_t left = src->len - at;
	size_t want = left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES;

	src->win_at = at;
	src->win_len = 0;
	while (src->win_len < want) {
		ssize_t n = pread(src->fd, src->win + src->win_len,
			want - src->win_len, (off_t)(at + src->win_len));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			src->io_errno = errno;
		if (n <= 0)
			break;
		src->win_len += (size_t)n;
	}
}

/* n bytes at `at`, good until the next call; NULL if there are not as many. */
static const uint8_t *
bytes_at(struct source *src, uint64_t at, size_t n)
{
	assert(n <= WINDOW_BYTES);
	if (at > src->len || n > src->len - at || src->io_errno)
		return NULL;
	if (src->mem)
		return src->mem + at;
	/* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): the analyser loses a struct of this size. */
	if (at < src->win_at || at + n > src->win_at + src->win_len)
		window_fill(src, at);
	if (at + n > src->win_at + src->win_len)
		return NULL;	/* the file is shorter than we were told */
	return src->win + (at - src->win_at);
}

static bool
has_at(struct source *src, uint64_t at, const char *what, size_t n)
{
	const uint8_t *p = bytes_at(src, at, n);

	return p && memcmp(p, what, n) == 0;
}

static uint32_t
be16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t
be32(const uint8_t *p)
{
	return be16(p) << 16 | be16(p + 2);
}

static uint32_t
le16(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8;
}

static uint32_t
le24(const uint8_t *p)
{
	return le16(p) | (uint32_t)p[2] << 16;
}

static uint32_t
le32(const uint8_t *p)
{
	return le24(p) | (uint32_t)p[3] << 24;
}

/* ---- one function per format: is it that, and how big; each leaves the size
 * at 0 where it does not find one ---- */

/* https://www.w3.org/TR/png-3/#11IHDR : it has to come first. */
static bool
probe_png(struct source *src, struct media *m)
{
	const uint8_t *p;

	if (!has_at(src, 0, "\x89PNG\r\n\x1a\n", 8))
		return false;
	m->type = MEDIA_PNG;
	p = bytes_at(src, 8, 16);
	if (!p || be32(p) != 13 || memcmp(p + 4, "IHDR", 4) != 0)
		return true;
	if (be32(p + 8) > INT32_MAX || be32(p + 12) > INT32_MAX)
		return true;
	m->width = be32(p + 8);
	m->height = be32(p + 12);
	return true;
}

static bool
probe_gif(struct source *src, struct media *m)
{
	const uint8_t *p;

	if (!has_at(src, 0, "GIF87a", 6) && !has_at(src, 0, "GIF89a", 6))
		return false;
	m->type = MEDIA_GIF;
	p = bytes_at(src, 6, 4);
	if (p) {
		m->width = le16(p);
		m->height = le16(p + 2);
	}
	return true;
}

/* SOF0 to SOF15 without DHT, JPG and DAC, which sit among them. */
static bool
jpeg_is_frame(uint8_t marker)
{
	return marker >= 0xc0 && marker <= 0xcf &&
	       marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

/* TEM and RSTn have no length. */
static bool
jpeg_is_bare(uint8_t marker)
{
	return marker == 0x01 || (marker >= 0xd0 && marker <= 0xd7);
}

/* ITU-T T.81 annex B: segment by segment, so that the thumbnail inside EXIF is
 * not taken for the picture.  A height of 0 means "told after the scan" (DNL);
 * nothing that makes pictures for people does so. */
static bool
probe_jpeg(struct source *src, struct media *m)
{
	uint64_t at = 2;
	const uint8_t *p;

	if (!has_at(src, 0, "\xff\xd8\xff", 3))
		return false;
	m->type = MEDIA_JPEG;
	while ((p = bytes_at(src, at, 2)) != NULL && p[0] == 0xff) {
		uint8_t marker = p[1];
		uint32_t len;

		if (marker == 0xff) {	/* fill */
			at++;
			continue;
		}
		if (jpeg_is_bare(marker)) {
			at += 2;
			continue;
		}
		/* A second image, the end or the scan before any frame. */
		if (marker == 0x00 || marker == 0xd8 || marker == 0xd9 || marker == 0xda)
			break;
		p = bytes_at(src, at + 2, 2);
		if (!p)
			break;
		len = be16(p);	/* counts itself */
		if (jpeg_is_frame(marker)) {
			p = bytes_at(src, at + 4, 5);
			if (p && len >= 8) {
				m->height = be16(p + 1);
				m->width = be16(p + 3);
			}
			break;
		}
		if (len < 2)
			break;
		at += 2 + len;
	}
	return true;
}

/* RFC 6386 section 9.1: three bytes of tag, whose lowest bit is 0 for a key
 * frame, the start code, 14 bits each (and two of scaling). */
static void
webp_lossy(struct source *src, uint32_t chunk_bytes, struct media *m)
{
	const uint8_t *p = bytes_at(src, 20, 10);

	if (!p || chunk_bytes < 10 || (p[0] & 1) ||
	    memcmp(p + 3, "\x9d\x01\x2a", 3) != 0)
		return;
	m->width = le16(p + 6) & 0x3fff;
	m->height = le16(p + 8) & 0x3fff;
}

/* RFC 9649 section 3.4: a signature, 14 bits each minus one, alpha, version. */
static void
webp_lossless(struct source *src, uint32_t chunk_bytes, struct media *m)
{
	const uint8_t *p = bytes_at(src, 20, 5);
	uint32_t bits;

	if (!p || chunk_bytes < 5 || p[0] != 0x2f)
		return;
	bits = le32(p + 1);
	if (bits >> 29)
		return;
	m->width = (bits & 0x3fff) + 1;
	m->height = (bits >> 14 & 0x3fff) + 1;
}

/* RFC 9649 section 2.7: flags, three reserved bytes, 24 bits each minus one. */
static void
webp_extended(struct source *src, uint32_t chunk_bytes, struct media *m)
{
	const uint8_t *p = bytes_at(src, 20, 10);

	if (!p || chunk_bytes < 10)
		return;
	m->width = le24(p + 4) + 1;
	m->height = le24(p + 7) + 1;
}

static bool
probe_webp(struct source *src, struct media *m)
{
	const uint8_t *p;
	uint32_t chunk_bytes;

	if (!has_at(src, 0, "RIFF", 4) || !has_at(src, 8, "WEBP", 4))
		return false;
	m->type = MEDIA_WEBP;
	p = bytes_at(src, 16, 4);
	if (!p)
		return true;
	chunk_bytes = le32(p);
	if (has_at(src, 12, "VP8 ", 4))
		webp_lossy(src, chunk_bytes, m);
	else if (has_at(src, 12, "VP8L", 4))
		webp_lossless(src, chunk_bytes, m);
	else if (has_at(src, 12, "VP8X", 4))
		webp_extended(src, chunk_bytes, m);
	return true;
}

/* ---- the boxes of ISO/IEC 14496-12 ---- */

struct box {
	char type[4];
	uint64_t body, end;	/* what it holds: [body, end) */
};

/* The box at *at, which has to lie within `end`; *at moves behind it, and
 * always forward.  False at the end and where it makes no sense. */
static bool
box_next(struct source *src, uint64_t *at, uint64_t end, struct box *ret)
{
	const uint8_t *p = bytes_at(src, *at, 8);
	uint64_t bytes, head = 8;

	if (!p || *at >= end)
		return false;
	bytes = be32(p);
	memcpy(ret->type, p + 4, 4);
	if (bytes == 1) {	/* the size did not fit 32 bits */
		p = bytes_at(src, *at + 8, 8);
		if (!p)
			return false;
		bytes = (uint64_t)be32(p) << 32 | be32(p + 4);
		head = 16;
	} else if (bytes == 0) {	/* it goes on to the end */
		bytes = end - *at;
	}
	if (bytes < head || bytes > end - *at)
		return false;
	ret->body = *at + head;
	ret->end = *at + bytes;
	*at = ret->end;
	return true;
}

static bool
box_find(struct source *src, uint64_t at, uint64_t end, const char *type,
	struct box *ret)
{
	struct box b;

	while (box_next(src, &at, end, &b))
		if (memcmp(b.type, type, 4) == 0) {
			*ret = b;
			return true;
		}
	return false;
}

/* ISO/IEC 23008-12 section 6.5.3: `ispe` is the size of one item.  A picture
 * may have several, for its tiles, its alpha and its thumbnail, and none is
 * larger than the whole; so the largest it is. */
static void
avif_size(struct source *src, struct media *m)
{
	struct box meta, iprp, ipco, ispe;
	uint64_t at;

	/* The boxes at the top may end behind what we look at, even behind what
	 * has been read; what matters is that their own boxes do not. */
	if (!box_find(src, 0, UINT64_MAX, "meta", &meta) ||
	    !box_find(src, meta.body + 4, meta.end, "iprp", &iprp) ||
	    !box_find(src, iprp.body, iprp.end, "ipco", &ipco))
		return;
	for (at = ipco.body; box_find(src, at, ipco.end, "ispe", &ispe); at = ispe.end) {
		const uint8_t *p = bytes_at(src, ispe.body + 4, 8);
		uint32_t width, height;

		if (!p || ispe.end - ispe.body < 12)
			return;
		width = be32(p);
		height = be32(p + 4);
		if ((uint64_t)width * height > (uint64_t)m->width * m->height) {
			m->width = width;
			m->height = height;
		}
	}
}

static bool
brand_is_one_of(const uint8_t *brand, const char *list)
{
	for (; *list; list += 4)
		if (memcmp(brand, list, 4) == 0)
			return true;
	return false;
}

/* Four characters each, as registered at https://mp4ra.org/registered-types/brands */
static const char brands_avif[] = "avif" "avis";
static const char brands_image[] = "mif1" "mif2" "msf1" "miaf" "MA1A" "MA1B";
static const char brands_heic[] =
	"heic" "heix" "heim" "heis" "hevc" "hevx" "hevm" "hevs";
static const char brands_mp4[] =
	"isom" "iso2" "iso3" "iso4" "iso5" "iso6" "iso7" "iso8" "iso9"
	"mp41" "mp42" "avc1" "av01" "hvc1" "hev1" "M4V " "M4VP" "M4VH"
	"MSNV" "dash" "msdh" "cmfc" "cmf2";

/* The first brand is the major one, and says what the file is; the others say
 * who else may read it.  `mif1` alone names only the container, so that the
 * others have to tell; and a picture that offers itself as HEIC is none of
 * ours, whatever it is beside. */
static enum media_type
ftyp_type(struct source *src, const struct box *ftyp)
{
	const uint8_t *p = bytes_at(src, ftyp->body, 8);
	bool image, avif, mp4, heic = false;

	if (!p || ftyp->end - ftyp->body < 8)
		return MEDIA_UNKNOWN;
	avif = brand_is_one_of(p, brands_avif);
	image = avif || brand_is_one_of(p, brands_image);
	mp4 = brand_is_one_of(p, brands_mp4);
	/* Behind the major brand stands its version, then the compatible ones. */
	for (uint64_t at = ftyp->body; at + 4 <= ftyp->end;
	     at += at == ftyp->body ? 8 : 4) {
		p = bytes_at(src, at, 4);
		if (!p)
			break;
		heic = heic || brand_is_one_of(p, brands_heic);
		avif = avif || (image && brand_is_one_of(p, brands_avif));
	}
	if (avif)
		return heic ? MEDIA_UNKNOWN : MEDIA_AVIF;
	return mp4 ? MEDIA_MP4 : MEDIA_UNKNOWN;
}

static bool
probe_iso(struct source *src, struct media *m)
{
	struct box ftyp;
	uint64_t at = 0;

	/* A size of 0 would mean that nothing follows the type. */
	if (!has_at(src, 4, "ftyp", 4) || has_at(src, 0, "\0\0\0", 4) ||
	    !box_next(src, &at, src->len, &ftyp))
		return false;
	m->type = ftyp_type(src, &ftyp);
	if (m->type == MEDIA_AVIF)
		avif_size(src, m);
	return m->type != MEDIA_UNKNOWN;
}

/* ---- EBML (RFC 8794) ---- */

/* A number whose first byte tells its length by its leading zeros; *at moves
 * behind it.  The marker bit stays in an id and goes from a size.  False for
 * "size unknown" (all ones) too: an EBML header has to know its own. */
static bool
ebml_number(struct source *src, uint64_t *at, unsigned max_bytes, bool keep_marker,
	uint64_t *ret)
{
	const uint8_t *p = bytes_at(src, *at, 1);
	unsigned bytes = 1;
	uint64_t n, ones;

	if (!p)
		return false;
	while (bytes <= max_bytes && !(p[0] & (0x80 >> (bytes - 1))))
		bytes++;
	if (bytes > max_bytes)
		return false;
	p = bytes_at(src, *at, bytes);
	if (!p)
		return false;
	n = keep_marker ? p[0] : p[0] & (0x7fu >> (bytes - 1));
	for (unsigned i = 1; i < bytes; i++)
		n = n << 8 | p[i];
	ones = (UINT64_C(1) << (7 * bytes)) - 1;
	if (!keep_marker && n == ones)
		return false;
	*at += bytes;
	*ret = n;
	return true;
}

/* RFC 8794 section 11.2.4: DocType, which zeros may fill up. */
static bool
is_webm_doctype(struct source *src, uint64_t at, uint64_t bytes)
{
	if (bytes < 4 || bytes > 64 || !has_at(src, at, "webm", 4))
		return false;
	for (uint64_t i = 4; i < bytes; i++)
		if (!has_at(src, at + i, "", 1))
			return false;
	return true;
}

static bool
probe_webm(struct source *src, struct media *m)
{
	uint64_t at = 4, end, id, bytes;

	if (!has_at(src, 0, "\x1a\x45\xdf\xa3", 4) ||
	    !ebml_number(src, &at, 8, false, &bytes) || bytes > MAX_BYTES)
		return false;
	end = at + bytes;
	while (at < end && ebml_number(src, &at, 4, true, &id) &&
	       ebml_number(src, &at, 8, false, &bytes)) {
		if (at > end || bytes > end - at)
			return false;
		if (id == 0x4282) {
			if (!is_webm_doctype(src, at, bytes))
				return false;
			m->type = MEDIA_WEBM;
			return true;
		}
		at += bytes;
	}
	return false;
}

/* ---- what it looks like, for the log ---- */

#define SNIFF_BYTES 1024

struct text {
	const uint8_t *p;
	size_t len;
};

static char
lower(uint8_t c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

static bool
text_starts(const struct text *t, const char *what)
{
	size_t n = strlen(what);

	if (n > t->len)
		return false;
	for (size_t i = 0; i < n; i++)
		if (lower(t->p[i]) != what[i])
			return false;
	return true;
}

static bool
text_has(struct text t, const char *what)
{
	for (; t.len > 0; t.p++, t.len--)
		if (text_starts(&t, what))
			return true;
	return false;
}

/* Without a byte order mark and blanks. */
static void
text_trim(struct text *t)
{
	size_t skip = text_starts(t, "\xef\xbb\xbf") ? 3 : 0;

	while (skip < t->len && (t->p[skip] == ' ' || t->p[skip] == '\t' ||
			t->p[skip] == '\r' || t->p[skip] == '\n'))
		skip++;
	t->p += skip;
	t->len -= skip;
}

static bool
text_is_printable(const struct text *t)
{
	for (size_t i = 0; i < t->len; i++)
		if ((t->p[i] < 0x20 && t->p[i] != '\t' && t->p[i] != '\r' &&
				t->p[i] != '\n') || t->p[i] == 0x7f)
			return false;
	return true;
}

/* NULL if it is no text. */
static const char *
text_looks_like(struct text t)
{
	text_trim(&t);
	if (text_starts(&t, "<!doctype html") || text_starts(&t, "<html") ||
	    text_starts(&t, "<head") || text_starts(&t, "<body"))
		return "HTML";
	if (text_starts(&t, "<") && text_has(t, "<svg"))
		return "SVG";
	if (text_starts(&t, "<") && text_has(t, "<html"))
		return "HTML";
	if (text_starts(&t, "<?xml"))
		return "XML";
	if (!text_is_printable(&t))
		return NULL;
	if (text_starts(&t, "{") || text_starts(&t, "["))
		return "JSON";
	return "text";
}

static const char *
brand_looks_like(const uint8_t *brand)
{
	if (brand_is_one_of(brand, brands_heic))
		return "HEIC";
	if (memcmp(brand, "qt  ", 4) == 0)
		return "QuickTime";
	return "an ISO media file of another brand";
}

static const char *
looks_like(struct source *src)
{
	size_t n = src->len < SNIFF_BYTES ? (size_t)src->len : SNIFF_BYTES;
	const uint8_t *p;
	const char *like;

	if (n == 0)
		return "an empty file";
	p = bytes_at(src, 0, n);
	if (!p)
		return "a file that ends too early";
	if (n >= 12 && memcmp(p + 4, "ftyp", 4) == 0)
		return brand_looks_like(p + 8);
	if (n >= 4 && memcmp(p, "\x1a\x45\xdf\xa3", 4) == 0)
		return "Matroska";
	like = text_looks_like((struct text){ p, n });
	return like ? like : "unknown bytes";
}

static enum err_code
probe(struct source *src, struct media *ret, struct err *err)
{
	static bool (*const probes[])(struct source *, struct media *) = {
		probe_png, probe_jpeg, probe_webp, probe_gif, probe_iso, probe_webm,
	};
	struct media m = { MEDIA_UNKNOWN, 0, 0 };
	const char *like = "";

	for (size_t i = 0; i < sizeof probes / sizeof *probes; i++)
		if (probes[i](src, &m))
			break;
	if (m.type == MEDIA_UNKNOWN)
		like = looks_like(src);
	if (src->io_errno)
		return err_set(err, ERR_INTERNAL, "pread: %s", strerror(src->io_errno));
	if (m.type == MEDIA_UNKNOWN)
		return err_set(err, ERR_OUTPUT_TYPE, "not an image or a video: %s", like);
	if (m.type != MEDIA_MP4 && m.type != MEDIA_WEBM &&
	    (m.width == 0 || m.height == 0))
		return err_set(err, ERR_OUTPUT_TYPE, "%s without a size (%" PRIu32
			" x %" PRIu32 ")", media_mime(m.type), m.width, m.height);
	*ret = m;
	return ERR_OK;
}

enum err_code
media_probe(int fd, uint64_t file_bytes, struct media *ret, struct err *err)
{
	struct source src;

	src.mem = NULL;
	src.fd = fd;
	src.len = file_bytes < MAX_BYTES ? file_bytes : MAX_BYTES;
	src.io_errno = 0;
	src.win_at = 0;
	src.win_len = 0;
	return probe(&src, ret, err);
}

enum err_code
media_probe_mem(const uint8_t *p, size_t len, struct media *ret, struct err *err)
{
	struct source src;

	src.mem = len ? p : (const uint8_t *)"";
	src.fd = -1;
	src.len = len < MAX_BYTES ? len : MAX_BYTES;
	src.io_errno = 0;
	return probe(&src, ret, err);
}
