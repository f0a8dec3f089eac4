/* What a prediction made, as bytes: the same from the same words, seed and index. */
#ifndef GENGATE_SIM_OUTPUTS_H
#define GENGATE_SIM_OUTPUTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct pred;
struct sim;

/* What is needed to draw, copied, so that the lock is not held meanwhile. */
struct picture {
	unsigned wishes, width, height, n;
	int64_t seed;
	char *prompt;
};

/* sim->lock held; false: out of memory. */
bool picture_copy(const struct sim *sim, const struct pred *p, struct picture *ret) MUST_CHECK;
void picture_clear(struct picture *pic);

/*
 * Append the bytes of output number `index`; returns what they are called,
 * whatever they are.  NULL: out of memory.  ret_fill, if not NULL, says how
 * many zero bytes are to follow; without it there are none.
 */
const char *picture_put(const struct picture *pic, unsigned index, struct buf *out, size_t *ret_fill);

/* The same in base64; null if there is no room.  New. */
json_t *picture_base64(const struct picture *pic, unsigned index);

#endif
