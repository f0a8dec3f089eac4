/* Pictures for predictions: the same from the same words, size and index. */
#ifndef GENGATE_SIM_DRAW_H
#define GENGATE_SIM_DRAW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define DRAW_MIN_SIDE 16
#define DRAW_MAX_SIDE 2048

/* Append a PNG of that size.  false: out of memory. */
bool draw_png(const char *prompt, int64_t seed, unsigned index,
	unsigned width, unsigned height, struct buf *out) MUST_CHECK;

#endif
