/*
 * Getting an output: only from hosts that are allowed, only where their names
 * lead outside, into a file without a name.
 */
#ifndef GENGATE_CORE_FETCH_H
#define GENGATE_CORE_FETCH_H

#include "core/service.h"

/*
 * url: https, or plain http on the API's own host and where output_hosts allows it;
 * data: as below.  The provider's credentials go to its API's own host only, and there only when it wants them.
 * *ret_fd: an unlinked temporary file, the caller closes it.
 * ERR_NOT_SENT, ERR_NO_ANSWER, ERR_UPSTREAM: try again; err->wait_ms may say when.
 * ERR_NOT_FOUND: its host says that it is not there, or not for us, which may
 * pass: 401, 403, 404, 410.
 * ERR_OUTPUTS_LOST: it is gone, or may not be fetched, for good.
 * ERR_TOO_BIG: over max_output_bytes.
 */
enum err_code fetch_output(struct service *svc, const struct provider *p,
	const void *settings, const char *url, int *ret_fd, uint64_t *ret_bytes, struct err *err) MUST_CHECK;

/* The same of an output that came inside an answer: base64, or a data: URI of it.
 * ERR_OUTPUTS_LOST: it is neither.  ERR_TOO_BIG.  Else: try again. */
enum err_code fetch_inline(struct service *svc, const struct provider *p, const char *text,
	int *ret_fd, uint64_t *ret_bytes, struct err *err) MUST_CHECK;

#endif
