/* The service as the program makes it, with a database that is away. */
#ifndef GENGATE_TESTS_FUZZ_SERVICE_H
#define GENGATE_TESTS_FUZZ_SERVICE_H

#include "core/service.h"

/* With a storage that takes inputs: a folder's for "server", else Supabase's.
 * auth: "server", "none" or "supabase"; made once each; NULL: no other word. */
struct service *fuzz_service(const char *auth);

#endif
