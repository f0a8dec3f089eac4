/*
 * The Supabase project that the settings name.  Its Auth is beside its Storage: who
 * needs the one has the address and the key of the other here.
 */
#ifndef GENGATE_STORAGE_SUPABASE_H
#define GENGATE_STORAGE_SUPABASE_H

#include "base/http.h"

/* settings: those of storage_supabase.  Borrowed; NULL: it is not set. */
const char *supabase_url(const void *settings);

/* Name us to the project's gateway; nothing is added without a key. */
enum err_code supabase_add_key(const void *settings, struct http_request *rq) MUST_CHECK;

#endif
