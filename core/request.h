/*
 * A generation request as a client sends it: checked as a whole, every mistake
 * with a JSON Pointer (RFC 6901) to it.
 */
#ifndef GENGATE_CORE_REQUEST_H
#define GENGATE_CORE_REQUEST_H

#include "base/crypto.h"
#include "base/json.h"
#include "core/intake.h"
#include "core/models.h"

#define PROMPT_MAX_BYTES 32768
#define METADATA_MAX_BYTES 8192
#define INPUT_MAX_BYTES (256 * 1024)	/* of a data: URI that is passed on as it is */
#define REQUEST_MAX_BYTES (1000 * 1000)	/* of JSON, but for the data: URIs that are stored */

/* Of a path, whether it is another's or leads nowhere. */
#define REQUEST_NO_SUCH_FILE "there is no such file of yours"

struct request {
	json_t *body;				/* what the job keeps, without metadata */
	json_t *metadata;			/* NULL: none */
	struct model model;			/* borrowed from the models */
	uint8_t fingerprint[SHA256_BYTES];	/* of what the client sent */
	struct uuid id;				/* of the job; all zeroes: any */
};

void request_clear(struct request *rq);

/* What a request is checked by.  All borrowed. */
struct request_rules {
	const struct models *models;
	const char *default_model;	/* may be NULL */
	/* Who takes files and paths in, and in whose service.  NULL: nobody does. */
	struct intake *intake;
	struct service *svc;
};

/*
 * text: the body as it came; what is large in it goes to a file from there, and is not
 * in it after that.  With an intake, data: URIs are spooled there, and so are the paths;
 * what the job keeps has their keys instead, and the fingerprint their hashes: the same
 * bytes are the same request, however they came.
 * ERR_BAD_REQUEST: not JSON, or no object; err says where.
 * ERR_INVALID: *ret_errors is a new array of {"pointer", "detail"}.  ERR_NOT_FOUND: the
 * same for paths that are not the caller's own.
 * ERR_TOO_BIG, ERR_TOO_MANY, ERR_OVERLOADED, ERR_UPSTREAM: as of the intake.
 */
enum err_code request_parse(char *text, size_t len, const struct request_rules *rules,
	struct request *ret, json_t **ret_errors, struct err *err) MUST_CHECK;

/* The same for a form.  body: an object, stolen.  The first n_files nulls in its
 * `inputs` stand for the files, which the intake has in that order. */
enum err_code request_check(json_t *body, size_t n_files, const struct request_rules *rules,
	struct request *ret, json_t **ret_errors, struct err *err) MUST_CHECK;

#endif
