/*
 * What a file is, by its first bytes: extensions and headers lie
 * (Replicate answers JPEG for "png"; ComfyUI serves WebP as octet-stream).
 */
#ifndef GENGATE_BASE_MEDIA_H
#define GENGATE_BASE_MEDIA_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum media_type {
	MEDIA_UNKNOWN,
	MEDIA_PNG, MEDIA_JPEG, MEDIA_WEBP, MEDIA_GIF, MEDIA_AVIF,
	MEDIA_MP4, MEDIA_WEBM,
	MEDIA_COUNT
};

struct media {
	enum media_type type;
	uint32_t width, height;		/* 0 where not known (videos) */
};

const char *media_mime(enum media_type type);	/* "image/png"; bare, no parameters */
const char *media_ext(enum media_type type);	/* "png", without the dot */

/* Looks at the file by pread(2), bounded by 1 MiB from its start (a JPEG's size
 * stands behind its metadata).  ERR_OUTPUT_TYPE: none of the above, or an image
 * whose size is missing or 0; err says what it looks like instead.
 * ERR_INTERNAL: the file cannot be read.  The size is that of the stored pixels,
 * before any turn that EXIF or AVIF asks for.  *ret is untouched on failure. */
enum err_code media_probe(int fd, uint64_t file_bytes, struct media *ret,
	struct err *err) MUST_CHECK;

/* The same over bytes in memory. */
enum err_code media_probe_mem(const uint8_t *p, size_t len, struct media *ret,
	struct err *err) MUST_CHECK;

#endif
