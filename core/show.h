/* A job as its owner sees it. */
#ifndef GENGATE_CORE_SHOW_H
#define GENGATE_CORE_SHOW_H

#include "core/service.h"

/* The path of a job's status under public_url, appended. */
void service_status_path(const struct service *svc, const struct uuid *id, struct buf *out);

/* The job as JSON, as DESIGN's API has it.  The caller owns it.
 * ERR_NOT_FOUND: there is none of that owner. */
enum err_code service_show(struct service *svc, const struct uuid *owner,
	const struct uuid *id, json_t **ret, struct err *err) MUST_CHECK;

#endif
