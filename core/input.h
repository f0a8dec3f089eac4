/*
 * Inputs that are files of the storage: a job's request names them by their keys,
 * which are paths in the owner's own folder of the place for inputs.  They are
 * signed when a create is sent, each time anew, and never kept as addresses.
 */
#ifndef GENGATE_CORE_INPUT_H
#define GENGATE_CORE_INPUT_H

#include "core/service.h"

#define INPUT_PATH_MAX 1024

/* Is there a place for them? */
bool service_takes_inputs(const struct service *svc);

/* Is it a path, and not a URL or a data: URI? */
bool input_is_path(const char *input);

/* Is it a path in that owner's own folder, and one that leads nowhere else? */
bool input_is_own(const char *path, const struct uuid *owner);

/*
 * A job's request for the provider: each path as a signed address that outlives
 * the job's deadline.  *ret: a new reference.  Blocks.
 * ERR_INPUT_GONE: one is not there any more.  ERR_CONFIG: there is no place for
 * them any more.  Else as of the storage's sign().
 */
enum err_code input_sign_all(struct service *svc, const struct job *job, json_t **ret,
	struct err *err) MUST_CHECK;

/*
 * The same for finding a create again: signatures differ each time, the path of
 * what they are for does not.  Each path becomes an object that
 * input_is_signed_for() understands.  *ret: a new reference.  ERR_NOMEM.
 */
enum err_code input_mark_all(const json_t *request, json_t **ret) MUST_CHECK;

/* Is `sent` such an object, and does the address lead to its path? */
bool input_is_signed_for(const json_t *sent, const json_t *told);

#endif
