/*
 * A generation request as a client sends it: checked as a whole, every mistake
 * with a JSON Pointer (RFC 6901) to it.
 */
#ifndef GENGATE_CORE_REQUEST_H
#define GENGATE_CORE_REQUEST_H

#include "base/crypto.h"
#include "base/json.h"
#include "core/models.h"

#define PROMPT_MAX_BYTES 32768
#define METADATA_MAX_BYTES 8192
#define INPUT_MAX_BYTES (256 * 1024)	/* of a data: URI */

struct request {
	json_t *body;				/* what the job keeps, without metadata */
	json_t *metadata;			/* NULL: none */
	struct model model;			/* borrowed from the models */
	uint8_t fingerprint[SHA256_BYTES];	/* of what the client sent */
};

void request_clear(struct request *rq);

/*
 * text: the body as it came.  default_model may be NULL.
 * ERR_BAD_REQUEST: not JSON, or no object; err says where.
 * ERR_INVALID: *ret_errors is a new array of {"pointer", "detail"}.
 */
enum err_code request_parse(const char *text, size_t len, const struct models *models,
	const char *default_model, struct request *ret, json_t **ret_errors,
	struct err *err) MUST_CHECK;

#endif
