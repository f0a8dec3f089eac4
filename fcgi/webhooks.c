/* POST /webhooks/<provider>?job=<token> */
#include "config.h"

#include "core/observe.h"
#include "fcgi/routes.h"

void
webhooks_post(struct exchange *x)
{
	const struct webhook wh = {
		.header = exchange_header, .ctx = x,
		.body = buf_str(&x->body), .body_len = x->body.len,
	};
	enum webhook_verdict verdict;
	struct err err = ERR_INIT;
	char *token = NULL;
	enum err_code rc = exchange_query(x, "job", &token, &err);

	/* For the log, and for the step that may be due: the token is ours, whoever sends it. */
	x->has_owner = x->has_job = token &&
		!service_open_token(x->svc, token, strlen(token), &x->owner, &x->job, NULL);
	if (rc != ERR_NOMEM)
		rc = service_webhook(x->svc, x->tail, token, &wh, &verdict, &err);
	mem_free(token);
	if (rc)
		answer_failure(x, rc, &err);
	else
		answer_json(x, 200, json_pack("{ss}", "result",
			verdict == WEBHOOK_MOVED ? "taken" : verdict == WEBHOOK_PROBED ? "probed" : "noted"));
}
