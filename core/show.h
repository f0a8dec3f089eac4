/* A job as its owner sees it. */
#ifndef GENGATE_CORE_SHOW_H
#define GENGATE_CORE_SHOW_H

#include "core/request.h"
#include "core/service.h"

/* The path of a job's status under public_url, appended. */
void service_status_path(const struct service *svc, const struct uuid *id, struct buf *out);

/* The path of public_url itself, appended: nothing, or "/prefix". */
void service_prefix(const struct service *svc, struct buf *out);

struct shown {
	json_t *job;		/* as the API has it: the caller owns it */
	int32_t version;	/* grows with each change that the owner can see */
	enum gen_status status;
	enum err_code error;	/* with GEN_FAILED */
	int64_t created_us;
	bool unsigned_urls;	/* private outputs without a URL: they are being signed */
};

/* ERR_NOT_FOUND: there is none of that owner. */
enum err_code service_show(struct service *svc, const struct uuid *owner,
	const struct uuid *id, struct shown *ret, struct err *err) MUST_CHECK;

/* The same for a job that service_create() has just created, and whose provider it has
 * told, without a look. */
enum err_code service_show_new(struct service *svc, const struct uuid *owner,
	const struct uuid *id, const struct request *rq, const char *provider, int64_t created_us,
	struct shown *ret, struct err *err) MUST_CHECK;

/* A page of an owner's jobs, newest first, each as in struct shown: a new array.
 * statuses, before, max: as jobs_list() takes them. */
enum err_code service_list(struct service *svc, const struct uuid *owner, unsigned statuses,
	const struct uuid *before, size_t max, json_t **ret, struct err *err) MUST_CHECK;

#endif
