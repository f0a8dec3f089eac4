/* W3C Trace Context, as far as we take part: a `traceparent` is passed on. */
#ifndef GENGATE_BASE_TRACE_H
#define GENGATE_BASE_TRACE_H

#include <stdbool.h>

#define TRACEPARENT_SIZE 56

/*
 * Version 00 (https://www.w3.org/TR/trace-context-1/#traceparent-header):
 * "00-", 32 hexadecimal digits, "-", 16, "-", 2; lower case, neither id all
 * zero.  Anything else, NULL too, is none.
 */
bool traceparent_ok(const char *s);

#endif
