#include "config.h"

#include "core/retry.h"

static enum err_code
fingerprint(const struct uuid *id, uint8_t out[SHA256_BYTES], struct err *err)
{
	struct buf text = BUF_INIT(64);
	char old[UUID_TEXT_SIZE];
	enum err_code rc;

	/* No JSON begins like this, so no plain request has the same. */
	uuid_format(id, old);
	buf_printf(&text, "retry %s", old);
	rc = text.err ? err_set(err, text.err, "fingerprint")
		: sha256(buf_str(&text), text.len, out, err);
	buf_clear(&text);
	return rc;
}

/* The profile may have changed since; what it was the default of may, too. */
static enum err_code
parse_again(struct service *svc, const char *model, const json_t *body, struct intake *in,
	struct request *ret, json_t **ret_errors, struct err *err)
{
	const struct request_rules rules = {
		.models = svc->models, .default_model = model, .intake = in, .svc = svc,
	};
	struct model found;
	char *text;
	enum err_code rc;

	if (!models_offer(svc->models, model, &found))
		return err_set(err, ERR_CONFLICT, "Its model \"%s\" is not offered any more.", model);
	text = json_write(body, JSON_COMPACT);
	if (!text)
		return err_set(err, ERR_NOMEM, "request of a retry");
	rc = request_parse(text, strlen(text), &rules, ret, ret_errors, err);
	if (rc == ERR_INVALID || rc == ERR_BAD_REQUEST || rc == ERR_NOT_FOUND)
		rc = err_set(err, ERR_CONFLICT, "What it asks for is not offered any more.");
	mem_free(text);
	return rc;
}

enum err_code
service_retry(struct service *svc, const struct uuid *owner, const struct uuid *id,
	struct intake *in, struct request *ret, json_t **ret_errors, struct err *err)
{
	enum gen_status status;
	char *model = NULL;
	json_t *body = NULL;
	enum err_code rc = jobs_request(svc->db, owner, id, &status, &model, &body, err);

	if (!rc && status != GEN_FAILED && status != GEN_CANCELED)
		rc = err_set(err, ERR_CONFLICT, gen_status_is_final(status)
			? "The job has succeeded; there is nothing to retry."
			: "The job has not ended yet.");
	if (!rc)
		rc = parse_again(svc, model, body, in, ret, ret_errors, err);
	if (!rc) {
		rc = fingerprint(id, ret->fingerprint, err);
		if (rc)
			request_clear(ret);
	}
	json_decref(body);
	mem_free(model);
	return rc;
}
