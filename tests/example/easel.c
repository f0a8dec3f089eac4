/*
 * Easel, a provider that there is not: the example of docs/providers.md.  Its API:
 *
 *	POST   /paintings       {"model", "input"}: 201, a painting
 *	GET    /paintings/ID    a painting
 *	DELETE /paintings/ID    stops it: the painting as it is then
 *
 * A painting is {"id", "state", "pictures": [URL], "reason", "seconds"}.
 */
#include "config.h"

#include "providers/call.h"
#include "providers/provider.h"
#include "providers/reply.h"

static const struct cfg_row options[] = {
	PROVIDER_URL("easel_url", "https://api.easel.example/v1", "Where Easel's API is."),
	PROVIDER_KEY("easel_token", "Easel's API token. Needed to use Easel."),
	CFG_END
};

/* Nothing is fetched from anywhere else. */
static const char *const output_hosts[] = { ".easel.example", NULL };

static const struct profile_member profile[] = {
	{ "model", PROFILE_TEXT, false },
	{ "input", PROFILE_OBJECT, false },
	{ .name = NULL }
};

static void
submit_request(const void *settings, const struct gen_spec *spec, struct call *c)
{
	(void)settings;
	buf_puts(&c->url, "/paintings");
	call_json(c, json_pack("{sO, sO}", "model", json_object_get(spec->on, "model"),
		"input", json_object_get(spec->on, "input")));
}

static const struct status_word words[] = {
	{ "waiting", GEN_STARTING, ERR_OK },
	{ "painting", GEN_PROCESSING, ERR_OK },
	{ "done", GEN_SUCCEEDED, ERR_OK },
	{ "broken", GEN_FAILED, ERR_PROVIDER_FAILED },
	{ "refused", GEN_FAILED, ERR_CONTENT_BLOCKED },
	{ "stopped", GEN_CANCELED, ERR_OK },
	{ .word = NULL }
};

static bool
is_painting(const struct answer *answer)
{
	return answer->good && reply_id(answer->doc, "id") && reply_string(answer->doc, "state");
}

static enum err_code
read_painting(const json_t *doc, struct gen_observation *obs)
{
	double seconds = json_number_value(json_object_get(doc, "seconds"));

	obs->seconds = seconds > 0 ? seconds : 0;
	obs->outputs = reply_collect_urls(json_object_get(doc, "pictures"));
	if (!obs->outputs || reply_status(words, doc, "state", obs) ||
	    reply_keep(&obs->prediction_id, doc, "id") || reply_keep(&obs->message, doc, "reason"))
		return ERR_NOMEM;
	return ERR_OK;
}

/* What is no painting is told by its HTTP status. */
static enum err_code
submit_read(const void *settings, const struct answer *answer, struct submit_reply *ret)
{
	(void)settings;
	if (!is_painting(answer))
		return ERR_OK;
	ret->outcome = SUBMIT_ACCEPTED;
	return read_painting(answer->doc, &ret->obs);
}

static void
status_request(const void *settings, const struct look_query *query, struct call *c)
{
	(void)settings;
	call_put(c, "/paintings/", query->prediction_id);
}

static void
cancel_request(const void *settings, const struct look_query *query, struct call *c)
{
	status_request(settings, query, c);
	c->rq->method = HTTP_DELETE;
}

/* Of a cancel, too: what it says is believed. */
static enum err_code
status_read(const void *settings, const struct look_query *query, const struct answer *answer,
	struct status_reply *ret)
{
	(void)settings;
	(void)query;
	if (!is_painting(answer))
		return ERR_OK;
	ret->outcome = STATUS_SEEN;
	return read_painting(answer->doc, &ret->obs);
}

const struct provider provider_easel = {
	.name = "easel",
	.title = "Easel",
	.caps = PROVIDER_CANCEL,
	.options = options,
	.settings_size = sizeof(struct provider_api),
	.key_header = "Authorization",
	.key_scheme = "Bearer",
	.needs_key = true,
	.output_hosts = output_hosts,
	.retention_ms = 24 * 3600 * 1000,
	.profile = profile,
	.submit = { .request = submit_request, .read = submit_read },
	.get_status = { status_request, status_read },
	.cancel = { cancel_request, status_read },
};
