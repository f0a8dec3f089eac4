/*
 * Bytes of any size: in memory, or, above some size, in a file without a name,
 * so that an upload of hundreds of megabytes takes no memory.
 */
#ifndef GENGATE_SIM_CONTENT_H
#define GENGATE_SIM_CONTENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct content {
	struct buf mem;			/* all of it, if fd is negative */
	int fd;
	size_t len;
};

#define CONTENT_INIT(max) { .mem = BUF_INIT(max), .fd = -1 }

/* All that is in memory goes to the end of the file, which is made first. */
bool content_spool(struct content *c) MUST_CHECK;

/* The same bytes once more, on their own.  A file's are not copied. */
bool content_share(const struct content *c, struct content *ret) MUST_CHECK;

/* From `at`, at most n; how many there were. */
size_t content_read(const struct content *c, size_t at, void *to, size_t n);

/* Only the first len bytes stay. */
void content_cut(struct content *c, size_t len);

void content_digest_hex(const struct content *c, const char *algorithm, struct buf *out);
void content_clear(struct content *c);

#endif
