/*
 * The setting `cors_origins`: which web pages may read answers.  An origin is what
 * a browser sends (RFC 6454 section 6.2): scheme://host[:port], in lower case,
 * without the scheme's own port.
 */
#ifndef GENGATE_CORE_ORIGINS_H
#define GENGATE_CORE_ORIGINS_H

#include <stdbool.h>

#include "base/buf.h"

/* A list as it is configured, separated by commas; NULL: nobody.  What no browser
 * would ever send is a mistake: it would never match. */
void origins_check(const char *list, struct buf *mistakes);

/* Is it `*`: everybody? */
bool origins_all(const char *list);

/* Is it in the list, to the byte? */
bool origins_have(const char *list, const char *origin);

#endif
