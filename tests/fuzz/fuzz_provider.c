/*
 * What providers answer, and their webhooks: "PROVIDER CALL" on the first line, then
 * the answer (fuzz.h).  Any provider of the registry: a new one needs inputs in
 * corpus/provider/NAME, and no code here.
 *
 * Whatever was read goes where the service would take it: into a next request, the
 * log, the database.
 */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include <strings.h>

#include "providers/provider.h"

/* The settings of all providers, as an operator who has each of them. */
static void *settings[16];

static void
put_env(struct buf *out, const char *provider, const char *what, const char *value)
{
	buf_printf(out, "GENGATE_%s_%s=%s", provider, what, value);
	for (char *p = out->p; *p && *p != '='; p++)
		if (*p >= 'a' && *p <= 'z')
			*p = (char)(*p - 32);
}

static bool
has_row(const struct provider *p, const char *what)
{
	struct buf name = BUF_INIT(200);
	bool has = false;

	buf_printf(&name, "%s_%s", p->name, what);
	for (const struct cfg_row *row = p->options; row->name; row++)
		has |= strcmp(row->name, buf_str(&name)) == 0;
	buf_clear(&name);
	return has;
}

static void
begin(void)
{
	MUST(provider_count() <= sizeof settings / sizeof *settings);
	for (size_t i = 0; i < provider_count(); i++) {
		const struct provider *p = provider_at(i);
		struct buf token = BUF_INIT(500);
		const char *env[2] = { NULL };

		if (settings[i])
			continue;
		if (has_row(p, "token")) {
			put_env(&token, p->name, "TOKEN", "t0k3n");
			env[0] = buf_str(&token);
		}
		settings[i] = mem_calloc(1, p->settings_size);
		MUST(settings[i]);
		fill_settings(p->options, settings[i], env);
		buf_clear(&token);
	}
}

static void
text_is_clean(const char *s)
{
	MUST(!s || strlen(s) <= 4096);
}

/* It may want another handle than the reply gave it. */
static void
look_is_sendable(const struct provider_look *look, const void *s, const struct look_query *query)
{
	struct http_request rq = HTTP_REQUEST_INIT;
	enum err_code rc = ERR_CONFIG;

	if (look->request && query->prediction_id)
		rc = look->request(s, query, &rq, NULL);
	MUST(rc == ERR_OK || rc == ERR_CONFIG);
	if (!rc)
		must_be_sendable(&rq);
	http_request_clear(&rq);
}

static void
look_at(const struct provider *p, const void *s, const struct gen_observation *obs)
{
	const struct look_query query = { .prediction_id = obs->prediction_id, .handle = obs->handle };
	json_t *url;
	size_t i;

	MUST(obs->status < GEN_STATUS_COUNT);
	MUST(obs->status != GEN_FAILED || obs->error != ERR_OK);
	MUST(!obs->prediction_id || obs->prediction_id[0]);
	text_is_clean(obs->prediction_id);
	text_is_clean(obs->status_text);
	text_is_clean(obs->message);
	text_is_clean(obs->webhook_url);
	MUST(!obs->outputs || json_is_array(obs->outputs));
	json_array_foreach(obs->outputs, i, url) {
		const char *text = json_string_value(url);

		MUST(text && strlen(text) == json_string_length(url));
	}
	look_is_sendable(&p->get_status, s, &query);
	look_is_sendable(&p->cancel, s, &query);
}

static void
try_submit(const struct provider *p, const void *s, const struct http_response *rs)
{
	struct submit_reply reply;
	struct err err = ERR_INIT;

	MUST(p->submit.reply(s, rs, &reply, &err) == ERR_OK);
	/* 2xx and 5xx may have cost money: never "nothing exists". */
	if ((rs->status >= 200 && rs->status < 300) || rs->status >= 500 || rs->status < 200)
		MUST(reply.outcome == SUBMIT_ACCEPTED || reply.outcome == SUBMIT_UNKNOWN);
	if (reply.outcome == SUBMIT_ACCEPTED)
		MUST(reply.obs.prediction_id);
	if (reply.outcome == SUBMIT_REFUSED)
		MUST(reply.error == ERR_PROVIDER_REJECTED || reply.error == ERR_PROVIDER_UNAVAILABLE);
	MUST(reply.retry_after_ms <= HTTP_RETRY_AFTER_MAX_MS);
	text_is_clean(reply.message);
	look_at(p, s, &reply.obs);
	submit_reply_clear(&reply);
}

static void
try_look(const struct provider *p, const struct provider_look *look, const void *s,
	const struct look_query *query, const struct http_response *rs)
{
	struct status_reply reply;
	struct err err = ERR_INIT;

	if (!look->reply)
		return;
	MUST(look->reply(s, query, rs, &reply, &err) == ERR_OK);
	MUST((reply.outcome == STATUS_MORE) == (reply.follow != NULL));
	if (reply.outcome == STATUS_GONE)
		MUST(rs->status == 404 || rs->status == 410);
	MUST(reply.retry_after_ms <= HTTP_RETRY_AFTER_MAX_MS);
	text_is_clean(reply.message);
	look_at(p, s, &reply.obs);
	status_reply_clear(&reply);
}

/* The next page is asked for with our credentials. */
static void
page_is_sendable(const struct provider *p, const void *s, const char *follow)
{
	const struct find_query query = { .follow = follow };
	struct http_request rq = HTTP_REQUEST_INIT;

	if (follow && !p->find.request(s, &query, &rq, NULL))
		must_be_sendable(&rq);
	http_request_clear(&rq);
}

static void
try_find(const struct provider *p, const void *s, const struct http_response *rs)
{
	struct find_reply reply;
	struct err err = ERR_INIT;

	if (!p->find.reply)
		return;
	MUST(p->find.reply(s, rs, &reply, &err) == ERR_OK);
	MUST(reply.outcome == FIND_PAGE || (reply.n == 0 && !reply.follow));
	MUST(reply.retry_after_ms <= HTTP_RETRY_AFTER_MAX_MS && reply.date_us >= 0);
	text_is_clean(reply.message);
	for (size_t i = 0; i < reply.n; i++) {
		MUST(reply.found[i].obs.prediction_id && reply.found[i].created_us >= 0);
		MUST(!reply.found[i].input || json_is_object(reply.found[i].input));
		look_at(p, s, &reply.found[i].obs);
	}
	page_is_sendable(p, s, reply.follow);
	find_reply_clear(&reply);
}

static void
try_probe(const struct provider *p, const void *s, const struct http_response *rs)
{
	struct err err = ERR_INIT;
	enum err_code rc = p->probe.reply ? p->probe.reply(s, rs, &err) : ERR_OK;

	MUST(rc == ERR_OK || rc == ERR_PROVIDER_UNAVAILABLE || rc == ERR_UPSTREAM);
	MUST_SAY(rc, &err);
}

static void
try_verifier(const struct provider *p, const void *s, const struct http_response *rs)
{
	struct buf verifier = BUF_INIT(VERIFIER_MAX);
	struct err err = ERR_INIT;
	enum err_code rc = p->verifier.reply ? p->verifier.reply(s, rs, &verifier, &err) : ERR_UPSTREAM;

	MUST((rc == ERR_OK) == (verifier.len > 0) && !has_control(buf_str(&verifier)));
	MUST(!p->verifier.reply || rc == ERR_OK || err.text[0]);
	buf_clear(&verifier);
}

static const char *
header(const void *ctx, const char *name)
{
	return http_response_header(ctx, name);
}

static void
try_webhook(const struct provider *p, const void *s, const struct http_response *rs)
{
	const struct webhook wh = { .header = header, .ctx = rs, .body = buf_str(&rs->body), .body_len = rs->body.len };
	struct gen_observation obs = GEN_OBSERVATION_INIT;
	struct err err = ERR_INIT;
	char *delivery = NULL;
	enum err_code rc;

	if (!(p->caps & PROVIDER_WEBHOOK))
		return;
	rc = p->webhook_verify(s, "whsec_MDEyMzQ1Njc4OWFiY2RlZg==", &wh, 1700000000, &delivery, &err);
	MUST(rc == ERR_OK || rc == ERR_SIGNATURE);
	MUST(!delivery == (rc != ERR_OK));
	mem_free(delivery);
	err = (struct err)ERR_INIT;
	rc = p->webhook_parse(s, &wh, &obs, &err);
	MUST(rc == ERR_OK || rc == ERR_BAD_REQUEST);
	MUST_SAY(rc, &err);
	if (!rc) {
		MUST(obs.prediction_id);
		look_at(p, s, &obs);
		gen_observation_clear(&obs);
	}
}

/* call: its name and, of a look, the follow that it goes on with. */
static void
try_call(const struct provider *p, const void *s, char *call, const struct http_response *rs)
{
	char *follow = strchr(call, ' ');
	struct look_query query = { .prediction_id = "an-id" };

	if (follow) {
		*follow++ = '\0';
		query.follow = follow;
	}
	if (strcmp(call, "submit") == 0)
		try_submit(p, s, rs);
	else if (strcmp(call, "status") == 0)
		try_look(p, &p->get_status, s, &query, rs);
	else if (strcmp(call, "cancel") == 0)
		try_look(p, &p->cancel, s, &query, rs);
	else if (strcmp(call, "find") == 0)
		try_find(p, s, rs);
	else if (strcmp(call, "probe") == 0)
		try_probe(p, s, rs);
	else if (strcmp(call, "verifier") == 0)
		try_verifier(p, s, rs);
	else if (strcmp(call, "webhook") == 0)
		try_webhook(p, s, rs);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = INPUT(data, size);
	char *name = input_line(&in), *call = strchr(name, ' ');
	struct http_response rs;

	fuzz_begin();
	begin();
	input_response(&in, &rs);
	if (call)
		*call++ = '\0';
	for (size_t i = 0; call && i < provider_count(); i++)
		if (strcmp(provider_at(i)->name, name) == 0)
			try_call(provider_at(i), settings[i], call, &rs);
	http_response_clear(&rs);
	mem_free(name);
	return 0;
}
