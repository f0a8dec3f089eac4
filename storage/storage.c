#include "config.h"

#include "storage/storage.h"

const struct storage *const storages[] = { &storage_local, &storage_supabase, NULL };
