/* Answering with a job: what the resources that do so have in common. */
#ifndef GENGATE_FCGI_JOB_ANSWER_H
#define GENGATE_FCGI_JOB_ANSWER_H

#include "core/show.h"
#include "fcgi/exchange.h"

/* Cache-Control, ETag, and the job, which is stolen. */
void answer_job(struct exchange *x, int status, struct shown *shown);

/* Does If-None-Match name this version?  Compared weakly: nginx's gzip weakens
 * what it compresses (RFC 9110 section 13.1.2). */
bool job_is_known(const struct exchange *x, int32_t version);

/* A job's id from a path or a query into x->job.  ERR_NOT_FOUND: it is none;
 * no id of ours and not yours are the same to a client. */
enum err_code job_id_read(struct exchange *x, const char *text, struct err *err) MUST_CHECK;

/* A problem's member "job": enough to find it and to know how long it has been.
 * shown->job is stolen. */
json_t *job_in_short(struct shown *shown);

/* 409 with err's text, which is for the client here, the job in short, and more
 * (an object, stolen; NULL: none). */
void answer_conflict(struct exchange *x, const struct err *err, json_t *more);

/* Location: /status/<id> */
void answer_location(struct exchange *x);

#endif
