/*
 * JSON by Jansson, also when memory is short.
 *
 * Jansson 2.14 does not notice everywhere that an allocation failed: a text that
 * it reads may lack a byte then, its closing quote included.  And who builds a
 * document would have to check each call, or send one that lacks a member.  So
 * an allocation of Jansson's that fails makes all fail that follow in its
 * thread, until the document is read or written as a whole: that fails, too.
 * (This is kept for each thread, beside whatever owns the document: Jansson's
 * calls take no context.)
 */
#ifndef GENGATE_BASE_JSON_H
#define GENGATE_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>

#include "base/mem.h"

/* Jansson's memory is ours (base/mem.h).  Once, before the first document. */
void json_use_mem(void);

/* What this thread does from here on is about other documents. */
void json_begin(void);

/* Did memory last since then?  For who hands documents to somebody else, who cannot
 * tell.  Asked once: what comes next is about other documents. */
bool json_lasted(void) MUST_CHECK;

/* As json_loadb().  NULL without memory: why's code is json_error_out_of_memory.
 * why may be NULL. */
json_t *json_read(const char *p, size_t len, size_t flags, json_error_t *why) MUST_CHECK;

/* The same as json_load_file(). */
json_t *json_read_file(const char *path, size_t flags, json_error_t *why) MUST_CHECK;

/* As json_dumps(), but for mem_free().  NULL: v is, or no memory for it or for
 * anything that was built before it. */
char *json_write(const json_t *v, size_t flags) MUST_CHECK;

#endif
