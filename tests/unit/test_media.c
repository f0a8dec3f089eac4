#include "config.h"

#include "base/media.h"

#include "tests/unit/unit.h"

#define MIB (1024 * 1024)

/* A string literal as bytes, without its NUL. */
#define BYTES(s) s, sizeof(s) - 1

#define PNG_SIG "\x89PNG\r\n\x1a\n"
#define PNG_IHDR "\0\0\0\x0dIHDR"
#define PNG_REST "\x08\x02\0\0\0\x12\x34\x56\x78"

/* APP0, an APP1 that holds a JPEG of its own (1 x 1), DQT. */
#define JPEG_APP0 "\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
#define JPEG_APP1 "\xff\xe1\0\x19" "Exif\0\0" "\xff\xd8" \
	"\xff\xc0\0\x0b\x08\0\x01\0\x01\x01\x01\x11\0" "\xff\xd9"
#define JPEG_DHT "\xff\xc4\0\x06\0\x01\x02\x03"
#define JPEG_FRAME(sof) sof "\0\x0b\x08\x01\x90\x02\x80\x01\x01\x11\0"

#define WEBP(chunk) "RIFF\x40\0\0\0WEBP" chunk
#define VP8_KEY WEBP("VP8 \x20\0\0\0" "\x10\0\0\x9d\x01\x2a\x80\x42\x90\xc1")

#define FTYP(major, others) "\0\0\0\x18" "ftyp" major "\0\0\0\0" others
#define ISPE(w, h) "\0\0\0\x14ispe\0\0\0\0" w h
/* meta with hdlr, then iprp, ipco with pixi and three ispe; the sizes count. */
#define META_80 "\0\0\0\x80meta\0\0\0\0" "\0\0\0\x0chdlr\0\0\0\0" \
	"\0\0\0\x68iprp" "\0\0\0\x58ipco" \
	"\0\0\0\x14pixi\0\0\0\0\x03\x08\x08\x08\0\0\0\0" \
	ISPE("\0\0\0\x40", "\0\0\0\x40") \
	ISPE("\0\0\x05\0", "\0\0\x02\xd0") \
	ISPE("\0\0\0\x40", "\0\0\0\x40") \
	"\0\0\0\x08ipma"

#define EBML(len, body) "\x1a\x45\xdf\xa3" len body
#define EBML_VERSIONS "\x42\x86\x81\x01" "\x42\xf7\x81\x01"

static const struct {
	const char *name;
	const char *s;
	size_t len;
	enum media_type type;
	uint32_t width, height;
} good[] = {
	{ "PNG", BYTES(PNG_SIG PNG_IHDR "\0\0\x02\x80\0\0\x01\x90" PNG_REST),
		MEDIA_PNG, 640, 400 },
	{ "PNG, largest", BYTES(PNG_SIG PNG_IHDR "\x7f\xff\xff\xff\0\0\0\x01" PNG_REST),
		MEDIA_PNG, 0x7fffffff, 1 },
	{ "GIF87a", BYTES("GIF87a\x80\x02\x90\x01\0\0\0"), MEDIA_GIF, 640, 400 },
	{ "GIF89a", BYTES("GIF89a\x01\0\xff\xff\0\0\0"), MEDIA_GIF, 1, 65535 },
	{ "JPEG, baseline",
		BYTES("\xff\xd8" JPEG_APP0 JPEG_DHT JPEG_FRAME("\xff\xc0")),
		MEDIA_JPEG, 640, 400 },
	{ "JPEG, thumbnail in EXIF",
		BYTES("\xff\xd8" JPEG_APP1 JPEG_APP0 JPEG_FRAME("\xff\xc2")),
		MEDIA_JPEG, 640, 400 },
	{ "JPEG, fill bytes and bare markers",
		BYTES("\xff\xd8\xff\xff\xff\xfe\0\x02\xff\x01\xff\xd0" JPEG_FRAME("\xff\xff\xc1")),
		MEDIA_JPEG, 640, 400 },
	{ "JPEG, SOF15", BYTES("\xff\xd8" JPEG_FRAME("\xff\xcf")), MEDIA_JPEG, 640, 400 },
	{ "WebP, lossy, scaling bits set", BYTES(VP8_KEY), MEDIA_WEBP, 640, 400 },
	/* 639 and 399, 14 bits each from the lowest. */
	{ "WebP, lossless", BYTES(WEBP("VP8L\x10\0\0\0" "\x2f\x7f\xc2\x63\x10")),
		MEDIA_WEBP, 640, 400 },
	{ "WebP, extended", BYTES(WEBP("VP8X\x0a\0\0\0"
		"\x10\0\0\0\x7f\x02\0\xff\xff\xff")), MEDIA_WEBP, 640, 16777216 },
	{ "AVIF", BYTES(FTYP("avif", "mif1" "miaf") META_80), MEDIA_AVIF, 1280, 720 },
	{ "AVIF, sequence", BYTES(FTYP("avis", "avif" "msf1") META_80), MEDIA_AVIF, 1280, 720 },
	{ "AVIF behind mif1", BYTES(FTYP("mif1", "miaf" "avif") META_80), MEDIA_AVIF, 1280, 720 },
	{ "AVIF, meta behind a free box with a 64-bit size",
		BYTES(FTYP("avif", "mif1" "miaf")
			"\0\0\0\x01" "free\0\0\0\0\0\0\0\x14" "xxxx" META_80),
		MEDIA_AVIF, 1280, 720 },
	{ "MP4, isom", BYTES(FTYP("isom", "iso2" "avc1") "\0\0\0\x08" "free"), MEDIA_MP4, 0, 0 },
	{ "MP4, mp42", BYTES(FTYP("mp42", "isom" "qt  ")), MEDIA_MP4, 0, 0 },
	{ "MP4, M4V", BYTES(FTYP("M4V ", "isom" "mp42")), MEDIA_MP4, 0, 0 },
	{ "MP4, dash", BYTES(FTYP("dash", "iso6" "mp41")), MEDIA_MP4, 0, 0 },
	{ "WebM", BYTES(EBML("\x8f", EBML_VERSIONS "\x42\x82\x84webm")), MEDIA_WEBM, 0, 0 },
	{ "WebM, long sizes", BYTES(EBML("\x01\0\0\0\0\0\0\x14",
		EBML_VERSIONS "\x42\x82\x10\0\0\x06webm\0\0")), MEDIA_WEBM, 0, 0 },
};

static const struct {
	const char *name;
	const char *s;
	size_t len;
	const char *says;
} bad[] = {
	{ "empty", BYTES(""), "empty" },
	{ "HTML", BYTES("\n <!DOCTYPE HTML><title>502</title>"), "HTML" },
	{ "HTML with a mark", BYTES("\xef\xbb\xbf<html lang=en>"), "HTML" },
	{ "HTML behind a comment", BYTES("<!-- x --><HTML>"), "HTML" },
	{ "SVG", BYTES("<svg xmlns='http://www.w3.org/2000/svg'/>"), "SVG" },
	{ "SVG as XML", BYTES("<?xml version='1.0'?>\n<!-- x -->\n<svg/>"), "SVG" },
	{ "XML", BYTES("<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"), "XML" },
	{ "JSON", BYTES(" {\"detail\":\"gone\"}"), "JSON" },
	{ "JSON array", BYTES("[1]"), "JSON" },
	{ "text", BYTES("not found\n"), "text" },
	{ "UTF-8", BYTES("\xc3\xa9t\xc3\xa9"), "text" },
	{ "noise", BYTES("\x01\x02\x03\x04\0\0\0\0\0\0\0\0\0\0\0\0"), "unknown" },
	{ "PDF", BYTES("%PDF-1.7\n\x01"), "unknown" },
	{ "BMP", BYTES("BM\x40\0\0\0\0\0\0\0"), "unknown" },

	{ "PNG, signature spoilt by a text mode",
		BYTES("\x89PNG\n\x1a\n" PNG_IHDR "\0\0\0\x01\0\0\0\x01"), "unknown" },
	{ "PNG, width 0", BYTES(PNG_SIG PNG_IHDR "\0\0\0\0\0\0\0\x01" PNG_REST), "size" },
	{ "PNG, height 0", BYTES(PNG_SIG PNG_IHDR "\0\0\0\x01\0\0\0\0" PNG_REST), "size" },
	{ "PNG, 2^31 wide", BYTES(PNG_SIG PNG_IHDR "\x80\0\0\0\0\0\0\x01" PNG_REST), "size" },
	{ "PNG, no IHDR first",
		BYTES(PNG_SIG "\0\0\0\x0dtEXt\0\0\0\x01\0\0\0\x01" PNG_REST), "size" },
	{ "PNG, IHDR of another length",
		BYTES(PNG_SIG "\0\0\0\x0eIHDR\0\0\0\x01\0\0\0\x01" PNG_REST), "size" },

	{ "GIF88a", BYTES("GIF88a\x01\0\x01\0\0\0\0"), "unknown" },
	{ "GIF, width 0", BYTES("GIF89a\0\0\x01\0\0\0\0"), "size" },
	{ "GIF, height 0", BYTES("GIF89a\x01\0\0\0\0\0\0"), "size" },

	{ "JPEG, height 0", BYTES("\xff\xd8\xff\xc0\0\x0b\x08\0\0\x02\x80\x01\x01\x11\0"), "size" },
	{ "JPEG, width 0", BYTES("\xff\xd8\xff\xc0\0\x0b\x08\x01\x90\0\0\x01\x01\x11\0"), "size" },
	{ "JPEG, scan before frame",
		BYTES("\xff\xd8\xff\xda\0\x02" JPEG_FRAME("\xff\xc0")), "size" },
	{ "JPEG, end before frame", BYTES("\xff\xd8\xff\xd9" JPEG_FRAME("\xff\xc0")), "size" },
	{ "JPEG, start twice", BYTES("\xff\xd8\xff\xd8" JPEG_FRAME("\xff\xc0")), "size" },
	{ "JPEG, stuffed zero", BYTES("\xff\xd8\xff\0" JPEG_FRAME("\xff\xc0")), "size" },
	{ "JPEG, segment of length 0",
		BYTES("\xff\xd8\xff\xe0\0\0" JPEG_FRAME("\xff\xc0")), "size" },
	{ "JPEG, segment of length 1",
		BYTES("\xff\xd8\xff\xe0\0\x01" JPEG_FRAME("\xff\xc0")), "size" },
	{ "JPEG, segment past the end",
		BYTES("\xff\xd8\xff\xe0\xff\xff" JPEG_FRAME("\xff\xc0")), "size" },
	{ "JPEG, no marker behind the segment",
		BYTES("\xff\xd8\xff\xe0\0\x02x" JPEG_FRAME("\xff\xc0")), "size" },
	{ "JPEG, frame too short",
		BYTES("\xff\xd8\xff\xc0\0\x07\x08\x01\x90\x02\x80\x01\x01\x11\0"), "size" },
	{ "JPEG, only fill", BYTES("\xff\xd8\xff\xff\xff\xff\xff\xff\xff"), "size" },
	{ "JPEG, DHT, JPG and DAC are no frames",
		BYTES("\xff\xd8" JPEG_FRAME("\xff\xc4") JPEG_FRAME("\xff\xc8")
			JPEG_FRAME("\xff\xcc")), "size" },

	{ "RIFF of another kind", BYTES("RIFF\x40\0\0\0WAVEfmt \x10\0\0\0"), "unknown" },
	{ "WebP, unknown chunk", BYTES(WEBP("ALPH\x10\0\0\0" "\x2f\x7f\xc2\x63\x10")), "size" },
	{ "WebP, no key frame",
		BYTES(WEBP("VP8 \x20\0\0\0" "\x11\0\0\x9d\x01\x2a\x80\x02\x90\x01")), "size" },
	{ "WebP, no start code",
		BYTES(WEBP("VP8 \x20\0\0\0" "\x10\0\0\x9d\x01\x2b\x80\x02\x90\x01")), "size" },
	{ "WebP, width 0 but scaled",
		BYTES(WEBP("VP8 \x20\0\0\0" "\x10\0\0\x9d\x01\x2a\0\xc0\x90\x01")), "size" },
	{ "WebP, height 0",
		BYTES(WEBP("VP8 \x20\0\0\0" "\x10\0\0\x9d\x01\x2a\x80\x02\0\0")), "size" },
	{ "WebP, lossy chunk too short",
		BYTES(WEBP("VP8 \x09\0\0\0" "\x10\0\0\x9d\x01\x2a\x80\x02\x90\x01")), "size" },
	{ "WebP, lossless signature", BYTES(WEBP("VP8L\x10\0\0\0" "\x2e\x7f\xc2\x63\x10")), "size" },
	{ "WebP, lossless version", BYTES(WEBP("VP8L\x10\0\0\0" "\x2f\x7f\xc2\x63\x30")), "size" },
	{ "WebP, lossless chunk too short",
		BYTES(WEBP("VP8L\x04\0\0\0" "\x2f\x7f\xc2\x63\x10")), "size" },
	{ "WebP, extended chunk too short", BYTES(WEBP("VP8X\x09\0\0\0"
		"\x10\0\0\0\x7f\x02\0\x8f\x01\0")), "size" },

	{ "HEIC", BYTES(FTYP("heic", "mif1" "heic") META_80), "HEIC" },
	{ "HEIC that says AVIF too", BYTES(FTYP("heic", "mif1" "avif") META_80), "HEIC" },
	{ "AVIF that says HEIC too", BYTES(FTYP("avif", "mif1" "heic") META_80), "ISO" },
	{ "mif1 with HEIC", BYTES(FTYP("mif1", "miaf" "heic") META_80), "ISO" },
	{ "mif1 alone", BYTES(FTYP("mif1", "miaf" "mif1") META_80), "ISO" },
	{ "AVIF in the version", BYTES("\0\0\0\x14" "ftyp" "mif1" "avif" "miaf" META_80), "ISO" },
	{ "AVIF behind the end of ftyp",
		BYTES("\0\0\0\x14" "ftyp" "mif1" "\0\0\0\0" "miaf" "avif" META_80), "ISO" },
	{ "QuickTime", BYTES(FTYP("qt  ", "isom" "mp42")), "QuickTime" },
	{ "Canon raw", BYTES(FTYP("crx ", "isom" "crx ")), "ISO" },
	{ "audio", BYTES(FTYP("M4A ", "isom" "mp42")), "ISO" },
	{ "ftyp of size 0", BYTES("\0\0\0\0" "ftyp" "isom" "\0\0\0\0" "mp42"), "ISO" },
	{ "ftyp smaller than its head", BYTES("\0\0\0\x07" "ftyp" "isom" "\0\0\0\0" "mp42"), "ISO" },
	{ "ftyp without a brand", BYTES("\0\0\0\x08" "ftyp" "isom" "\0\0\0\0" "mp42"), "ISO" },
	{ "ftyp past the end", BYTES("\0\0\0\x19" "ftyp" "isom" "\0\0\0\0" "mp42" "isom"), "ISO" },
	{ "ftyp of 2^64 - 1",
		BYTES("\0\0\0\x01" "ftyp" "\xff\xff\xff\xff\xff\xff\xff\xff" "isomisom"), "ISO" },
	{ "AVIF without meta", BYTES(FTYP("avif", "mif1" "miaf") "\0\0\0\x08" "mdat"), "size" },
	{ "AVIF, box of size 7",
		BYTES(FTYP("avif", "mif1" "miaf") "\0\0\0\x07" "free" META_80), "size" },
	{ "AVIF, 64-bit size below its head",
		BYTES(FTYP("avif", "mif1" "miaf") "\0\0\0\x01" "free\0\0\0\0\0\0\0\x0f" META_80),
		"size" },
	{ "AVIF, 64-bit size that wraps",
		BYTES(FTYP("avif", "mif1" "miaf")
			"\0\0\0\x01" "free\xff\xff\xff\xff\xff\xff\xff\xe8" META_80), "size" },
	{ "AVIF, mdat to the end before meta",
		BYTES(FTYP("avif", "mif1" "miaf") "\0\0\0\0" "mdat" META_80), "size" },
	{ "AVIF, meta without room for its head",
		BYTES(FTYP("avif", "mif1" "miaf") "\0\0\0\x08meta"
			"\0\0\0\x24iprp\0\0\0\x1cipco" ISPE("\0\0\0\x40", "\0\0\0\x40")), "size" },
	{ "AVIF, ispe outside of ipco",
		BYTES(FTYP("avif", "mif1" "miaf") "\0\0\0\x30meta\0\0\0\0"
			"\0\0\0\x24iprp\0\0\0\x08ipco" ISPE("\0\0\0\x40", "\0\0\0\x40")), "size" },
	{ "AVIF, child larger than its parent",
		BYTES(FTYP("avif", "mif1" "miaf") "\0\0\0\x30meta\0\0\0\0"
			"\0\0\0\x25iprp\0\0\0\x1cipco" ISPE("\0\0\0\x40", "\0\0\0\x40")), "size" },
	{ "AVIF, ispe too short",
		BYTES(FTYP("avif", "mif1" "miaf") "\0\0\0\x30meta\0\0\0\0"
			"\0\0\0\x24iprp\0\0\0\x1cipco"
			"\0\0\0\x10ispe\0\0\0\0\0\0\0\x40\0\0\0\x40"), "size" },
	{ "AVIF, width 0",
		BYTES(FTYP("avif", "mif1" "miaf") "\0\0\0\x30meta\0\0\0\0"
			"\0\0\0\x24iprp\0\0\0\x1cipco" ISPE("\0\0\0\0", "\0\0\0\x40")), "size" },

	{ "Matroska", BYTES(EBML("\x93", EBML_VERSIONS "\x42\x82\x88matroska")), "Matroska" },
	{ "webm2", BYTES(EBML("\x90", EBML_VERSIONS "\x42\x82\x85webm2")), "Matroska" },
	{ "EBML without DocType", BYTES(EBML("\x88", EBML_VERSIONS)), "Matroska" },
	{ "DocType behind the header",
		BYTES(EBML("\x88", EBML_VERSIONS "\x42\x82\x84webm")), "Matroska" },
	{ "DocType cut by the header",
		BYTES(EBML("\x8e", EBML_VERSIONS "\x42\x82\x84webm")), "Matroska" },
	{ "EBML of unknown size",
		BYTES(EBML("\xff", EBML_VERSIONS "\x42\x82\x84webm")), "Matroska" },
	{ "EBML, element of unknown size", BYTES(EBML("\x8f", "\x42\x86\xff\x01"
		"\x42\xf7\x81\x01" "\x42\x82\x84webm")), "Matroska" },
	{ "EBML, size of nine bytes",
		BYTES(EBML("\0", EBML_VERSIONS "\x42\x82\x84webm")), "Matroska" },
	{ "EBML, id of five bytes",
		BYTES(EBML("\x8f", "\x08\0\0\0\x01\x81\x01" "\x42\x82\x84webm")), "Matroska" },
	{ "EBML, element past the header",
		BYTES(EBML("\x8f", "\x42\x86\x01\xff\xff\xff\xff\xff\xff\xfe"
			"\x42\x82\x84webm")), "Matroska" },
};

/* In a block of its own size, so that a sanitizer sees one byte too far. */
static enum err_code
probe_exactly(const char *s, size_t len, struct media *m, struct err *err)
{
	uint8_t *p = mem_alloc(len);
	enum err_code rc;

	assert_non_null(p);
	memcpy(p, s, len);
	rc = media_probe_mem(p, len, m, err);
	mem_free(p);
	return rc;
}

static FILE *
file_of(const void *p, size_t len)
{
	FILE *f = tmpfile();

	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, len, f), len);
	assert_int_equal(fflush(f), 0);
	return f;
}

static enum err_code
probe_file(const void *p, size_t len, uint64_t said, struct media *m, struct err *err)
{
	FILE *f = file_of(p, len);
	enum err_code rc = media_probe(fileno(f), said, m, err);

	fclose(f);
	return rc;
}

static void
names_have_both_forms(void **state)
{
	(void)state;
	assert_string_equal(media_mime(MEDIA_JPEG), "image/jpeg");
	assert_string_equal(media_ext(MEDIA_JPEG), "jpg");
	for (int i = 0; i < MEDIA_COUNT; i++) {
		assert_non_null(media_mime((enum media_type)i));
		assert_non_null(media_ext((enum media_type)i));
		assert_null(strchr(media_ext((enum media_type)i), '.'));
	}
}

static void
knows_what_it_should(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		struct media m = { MEDIA_UNKNOWN, 9, 9 }, f = { MEDIA_UNKNOWN, 9, 9 };
		struct err err = ERR_INIT;

		if (probe_exactly(good[i].s, good[i].len, &m, &err) != ERR_OK ||
		    m.type != good[i].type ||
		    m.width != good[i].width || m.height != good[i].height)
			fail_msg("%s: %d, %u x %u; %s", good[i].name, (int)m.type,
				m.width, m.height, err.text);
		if (probe_file(good[i].s, good[i].len, good[i].len, &f, &err) != ERR_OK ||
		    memcmp(&f, &m, sizeof m) != 0)
			fail_msg("%s as a file: %s", good[i].name, err.text);
	}
}

static void
refuses_the_rest(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct media m = { MEDIA_COUNT, 9, 9 };
		struct err err = ERR_INIT;

		if (probe_exactly(bad[i].s, bad[i].len, &m, &err) != ERR_OUTPUT_TYPE ||
		    !strstr(err.text, bad[i].says))
			fail_msg("%s: %d \"%s\"", bad[i].name, (int)m.type, err.text);
		assert_int_equal(m.type, MEDIA_COUNT);	/* untouched */
		assert_int_equal(m.width, 9);
		err.text[0] = '\0';
		if (probe_file(bad[i].s, bad[i].len, bad[i].len, &m, &err) != ERR_OUTPUT_TYPE ||
		    !strstr(err.text, bad[i].says))
			fail_msg("%s as a file: \"%s\"", bad[i].name, err.text);
	}
	assert_int_equal(media_probe_mem(NULL, 0, &(struct media){ 0 }, NULL), ERR_OUTPUT_TYPE);
}

/* Cut anywhere, it is refused or it is the same; never another size, but for
 * AVIF, where a smaller `ispe` may come first. */
static void
survives_every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		for (size_t len = 0; len < good[i].len; len++) {
			struct media m = { MEDIA_UNKNOWN, 9, 9 };
			enum err_code rc = probe_exactly(good[i].s, len, &m, NULL);

			if (rc != ERR_OK && rc != ERR_OUTPUT_TYPE)
				fail_msg("%s cut at %zu: %s", good[i].name, len, err_name(rc));
			if (rc)
				continue;
			if (m.type != good[i].type || (m.type != MEDIA_AVIF &&
			    (m.width != good[i].width || m.height != good[i].height)))
				fail_msg("%s cut at %zu: %d, %u x %u", good[i].name, len,
					(int)m.type, m.width, m.height);
		}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		for (size_t len = 0; len < bad[i].len; len++) {
			struct media m;

			if (probe_exactly(bad[i].s, len, &m, NULL) != ERR_OUTPUT_TYPE)
				fail_msg("%s cut at %zu", bad[i].name, len);
		}
}

/* Whatever a byte is changed to, it ends, within bounds, with one of two
 * answers; and an image has a size. */
static void
survives_every_byte(void **state)
{
	static const uint8_t values[] = { 0, 1, 2, 7, 8, 0x20, 0x7f, 0x80, 0xc0, 0xd9, 0xfe, 0xff };

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		for (size_t k = 0; k < good[i].len * sizeof values; k++) {
			char *s = mem_alloc(good[i].len);
			struct media m = { MEDIA_UNKNOWN, 0, 0 };
			enum err_code rc;

			assert_non_null(s);
			memcpy(s, good[i].s, good[i].len);
			s[k / sizeof values] = (char)values[k % sizeof values];
			rc = media_probe_mem((uint8_t *)s, good[i].len, &m, NULL);
			mem_free(s);
			assert_true(rc == ERR_OK || rc == ERR_OUTPUT_TYPE);
			if (rc == ERR_OK && m.type != MEDIA_MP4 && m.type != MEDIA_WEBM)
				assert_true(m.width > 0 && m.height > 0);
		}
}

/* A JPEG with `bytes` of metadata between its start and its frame, in APP2
 * segments as an ICC profile has them; in memory of the caller's. */
static uint8_t *
fat_jpeg(size_t bytes, size_t *ret_len)
{
	static const char frame[] = JPEG_FRAME("\xff\xc0");
	uint8_t *p = mem_calloc(1, bytes + 100);
	size_t at = 2;

	assert_non_null(p);
	memcpy(p, "\xff\xd8", 2);
	while (at < 2 + bytes) {
		size_t n = 2 + bytes - at < 65537 ? 2 + bytes - at : 65537;

		assert_true(n >= 4);
		p[at] = 0xff;
		p[at + 1] = 0xe2;
		p[at + 2] = (uint8_t)((n - 2) >> 8);
		p[at + 3] = (uint8_t)(n - 2);
		at += n;
	}
	memcpy(p + at, frame, sizeof frame - 1);
	*ret_len = at + sizeof frame - 1;
	return p;
}

static void
finds_the_frame_behind_the_metadata(void **state)
{
	static const struct { const char *name; size_t bytes; int rc; } rows[] = {
		{ "none", 0, ERR_OK },
		{ "frame across the first window", 4087, ERR_OK },
		{ "frame at the first window's end", 4094, ERR_OK },
		{ "several segments", 300000, ERR_OK },
		{ "ends with the bound", MIB - 2 - 9, ERR_OK },
		{ "one byte further", MIB - 2 - 8, ERR_OUTPUT_TYPE },
		{ "far behind it", MIB + 100000, ERR_OUTPUT_TYPE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct media m = { MEDIA_UNKNOWN, 0, 0 };
		size_t len;
		uint8_t *p = fat_jpeg(rows[i].bytes, &len);

		if (media_probe_mem(p, len, &m, NULL) != (enum err_code)rows[i].rc ||
		    probe_file(p, len, len, &m, NULL) != (enum err_code)rows[i].rc)
			fail_msg("%s", rows[i].name);
		if (!rows[i].rc) {
			assert_int_equal(m.width, 640);
			assert_int_equal(m.height, 400);
		}
		mem_free(p);
	}
}

/* A megabyte of the smallest steps that each format allows. */
static void
long_walks_end(void **state)
{
	static const struct { const char *name, *head; size_t head_len; const char *step; size_t len; } rows[] = {
		{ "JPEG fill", BYTES("\xff\xd8"), BYTES("\xff") },
		{ "JPEG segments", BYTES("\xff\xd8"), BYTES("\xff\xfe\0\x02") },
		{ "JPEG bare markers", BYTES("\xff\xd8"), BYTES("\xff\xd0") },
		{ "boxes", BYTES(FTYP("avif", "mif1" "miaf")), BYTES("\0\0\0\x08" "free") },
		{ "brands", BYTES("\0\x0f\xff\xf0" "ftyp" "mif1" "\0\0\0\0"), BYTES("miaf") },
		{ "EBML elements", BYTES(EBML("\x10\x0f\xff\x00", "")), BYTES("\xec\x80") },
		{ "text", BYTES("<"), BYTES("<sv") },
	};
	uint8_t *p = mem_alloc(2 * MIB);

	(void)state;
	assert_non_null(p);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct media m;

		memcpy(p, rows[i].head, rows[i].head_len);
		for (size_t at = rows[i].head_len; at < 2 * MIB; at++)
			p[at] = (uint8_t)rows[i].step[(at - rows[i].head_len) % rows[i].len];
		if (media_probe_mem(p, 2 * MIB, &m, NULL) != ERR_OUTPUT_TYPE ||
		    probe_file(p, 2 * MIB, 2 * MIB, &m, NULL) != ERR_OUTPUT_TYPE)
			fail_msg("%s", rows[i].name);
	}
	mem_free(p);
}

static void
files_may_lie_about_their_size(void **state)
{
	struct media m = { MEDIA_UNKNOWN, 0, 0 };
	struct err err = ERR_INIT;
	FILE *f;

	(void)state;
	/* Shorter than told: what there is counts. */
	assert_int_equal(probe_file(good[0].s, good[0].len, 1 << 30, &m, NULL), ERR_OK);
	assert_int_equal(probe_file(good[0].s, 20, good[0].len, &m, NULL), ERR_OUTPUT_TYPE);
	assert_int_equal(probe_file("", 0, 100, &m, NULL), ERR_OUTPUT_TYPE);
	/* Longer than told: what was told counts. */
	assert_int_equal(probe_file(good[0].s, good[0].len, 20, &m, NULL), ERR_OUTPUT_TYPE);
	assert_int_equal(probe_file(good[0].s, good[0].len, 0, &m, &err), ERR_OUTPUT_TYPE);
	assert_non_null(strstr(err.text, "empty"));

	/* The file's offset neither matters nor moves. */
	f = file_of(good[0].s, good[0].len);
	assert_int_equal(lseek(fileno(f), 5, SEEK_SET), 5);
	assert_int_equal(media_probe(fileno(f), good[0].len, &m, NULL), ERR_OK);
	assert_int_equal(lseek(fileno(f), 0, SEEK_CUR), 5);
	fclose(f);

	/* Not being able to read says nothing about the type. */
	assert_int_equal(media_probe(-1, 100, &m, &err), ERR_INTERNAL);
	assert_int_equal(err.code, ERR_INTERNAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_have_both_forms),
		cmocka_unit_test(knows_what_it_should),
		cmocka_unit_test(refuses_the_rest),
		cmocka_unit_test(survives_every_cut),
		cmocka_unit_test(survives_every_byte),
		cmocka_unit_test(finds_the_frame_behind_the_metadata),
		cmocka_unit_test(long_walks_end),
		cmocka_unit_test(files_may_lie_about_their_size),
	};

	return cmocka_run_group_tests_name("media", tests, NULL, NULL);
}
