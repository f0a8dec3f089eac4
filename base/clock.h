/*
 * Time.  Three clocks: the wall clock for what people read, a monotonic one
 * for durations, and one that goes on while the machine sleeps or the process
 * is stopped, for "do not send after".
 */
#ifndef GENGATE_BASE_CLOCK_H
#define GENGATE_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

int64_t clock_wall_us(void);	/* microseconds since 1970, UTC */
int64_t clock_mono_us(void);	/* for durations inside the process */
int64_t clock_boot_us(void);	/* counts suspended time (CLOCK_BOOTTIME, else monotonic) */

/* RFC 3339 in UTC with microseconds: "2026-11-23T07:12:31.000123Z".  A moment
 * before 1970 or after 9999 is shown as the first or the last one of these. */
#define RFC3339_SIZE 28
void rfc3339_format(int64_t wall_us, char out[RFC3339_SIZE]);

/* RFC 3339 section 5.6 with 0 to 9 fractional digits (those after the sixth are
 * cut off), "Z" or an offset, years 1970 to 9999 as written and in UTC; a leap
 * second, at a month's end in UTC only, counts as the next one.  ERR_INVALID
 * otherwise. */
enum err_code rfc3339_parse(const char *s, size_t len, int64_t *ret_wall_us) MUST_CHECK;

/* The three date forms of HTTP (RFC 9110 section 5.6.7), to seconds; years 1970
 * to 9999.  The name of the day has to be one, but need not be the right one.
 * ERR_INVALID otherwise. */
enum err_code http_date_parse(const char *s, size_t len, int64_t *ret_wall_s) MUST_CHECK;

#endif
