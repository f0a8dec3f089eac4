/*
 * Functions that cut, overflow or swallow errors do not compile here, nor does
 * memory that the fault tests cannot reach.  Included by base/mem.h, and so by
 * nearly everything.
 */
#ifndef GENGATE_BASE_BANNED_H
#define GENGATE_BASE_BANNED_H

/* Poison hits declarations too, so the system's come first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* With _FORTIFY_SOURCE glibc makes these macros where the compiler is clang, which
 * warns where a macro is poisoned. */
#undef sprintf
#undef vsprintf

/* What we use instead stands behind each. */
#pragma GCC poison strcpy strcat strncpy strncat	/* struct buf */
#pragma GCC poison sprintf vsprintf			/* buf_printf(), snprintf() */
#pragma GCC poison strtok gets				/* loops over (ptr, len) */
#pragma GCC poison atoi atol atoll			/* parse_u64() */
#ifndef GENGATE_MAY_MALLOC
#pragma GCC poison malloc calloc realloc strdup strndup	/* mem_alloc() and its kin */
#endif

#endif
