#include "config.h"

#include "providers/adapter.h"

#include "base/clock.h"
#include "providers/call.h"
#include "providers/reply.h"
#include "providers/webhook.h"

/* A create may wait for the model's own checks; other calls may not. */
#define CREATE_TIMEOUT_MS 30000
#define CALL_TIMEOUT_MS 15000

#define URL_MAX 8192
#define SECRET_MIN 8

static const struct provider_api *
api_of(const void *settings)
{
	return settings;
}

const char *
adapter_url(const void *settings)
{
	return api_of(settings)->url;
}

bool
adapter_has_key(const void *settings)
{
	return api_of(settings)->key != NULL;
}

bool
adapter_has_secret(const void *settings)
{
	return api_of(settings)->webhook_secret != NULL;
}

/* ---- what an operator wrote ---- */

const char *
adapter_option(const struct provider *p, size_t offset)
{
	const struct cfg_row *row = p->options;

	while (row->name && row->offset != offset)
		row++;
	return row->name;
}

void
adapter_check(const struct provider *p, const void *settings, struct buf *mistakes)
{
	const struct provider_api *api = settings;
	const char *key = adapter_option(p, offsetof(struct provider_api, key));

	call_check_url(adapter_option(p, offsetof(struct provider_api, url)), api->url, mistakes);
	call_check_secret(key, api->key, api->url, mistakes);
	if (p->needs_key && !api->key)
		cfg_mistake(mistakes, key, "has to be set to use %s", p->title);
	if (p->check)
		p->check(settings, mistakes);
}

static bool
leads_elsewhere(const char *path)
{
	for (const char *segment = path; *segment; segment += strcspn(segment, "/"), segment += *segment == '/')
		if (strncmp(segment, "..", 2) == 0 && strchr("/", segment[2]))
			return true;
	return strpbrk(path, "?# \t\r\n");
}

/* NULL: it is as it has to be. */
static const char *
wrong_with(const struct profile_member *m, const json_t *value)
{
	const char *text = json_string_value(value);

	if (!value && m->optional)
		return NULL;
	switch (m->type) {
	case PROFILE_TEXT:
		return text && *text ? NULL : "has to be a text that is not empty";
	case PROFILE_PATH:
		if (!text || !*text)
			return "has to be a text that is not empty";
		return leads_elsewhere(text) ? "becomes a path below the API's URL: \"..\", \"?\", \"#\" and blanks "
			"cannot be in it" : NULL;
	case PROFILE_OBJECT:
		return json_is_object(value) ? NULL : "has to be an object";
	case PROFILE_OTHER:
		break;
	}
	return NULL;
}

/* "price" is core's, and may stand in each. */
static void
say_unknown(const struct provider *p, const char *name, const char *where, struct buf *mistakes)
{
	struct buf known = BUF_INIT(4096);

	for (const struct profile_member *m = p->profile; m->name; m++)
		buf_printf(&known, "%s, ", m->name);
	cfg_mistake(mistakes, where, "has an unknown member \"%s\"; known are %sprice", name, buf_str(&known));
	buf_clear(&known);
}

static void
check_known(const struct provider *p, const json_t *on, const char *where, struct buf *mistakes)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)on, name, value) {
		const struct profile_member *m = p->profile;

		while (m->name && strcmp(m->name, name) != 0)
			m++;
		if (!m->name)
			say_unknown(p, name, where, mistakes);
	}
}

void
adapter_check_profile(const struct provider *p, const json_t *on, const char *where, struct buf *mistakes)
{
	check_known(p, on, where, mistakes);
	for (const struct profile_member *m = p->profile; m->name; m++) {
		const char *wrong = wrong_with(m, json_object_get(on, m->name));

		if (wrong)
			cfg_mistake(mistakes, where, "%s %s", m->name, wrong);
	}
	if (p->check_profile)
		p->check_profile(on, where, mistakes);
}

bool
adapter_takes_param(const struct provider *p, const char *name)
{
	return !p->takes_param || p->takes_param(name);
}

/* ---- requests ---- */

/* "HEADER: SCHEME KEY". */
enum err_code
adapter_authorize(const struct provider *p, const void *settings, struct http_request *rq)
{
	const char *key = api_of(settings)->key, *scheme = p->key_scheme;
	struct buf value = BUF_INIT(1024);
	enum err_code rc;

	if (!key || !p->key_header)
		return ERR_OK;
	buf_printf(&value, "%s%s%s", scheme ? scheme : "", scheme ? " " : "", key);
	rc = value.err ? value.err : http_request_add_header(rq, p->key_header, buf_str(&value));
	buf_wipe(&value);
	return rc;
}

static void
begin(struct call *c, const void *settings, struct http_request *rq)
{
	*c = (struct call){ .rq = rq, .url = BUF_INIT(URL_MAX) };
	rq->timeout_ms = CALL_TIMEOUT_MS;
	buf_puts(&c->url, adapter_url(settings));
}

static enum err_code
finish(struct call *c, const struct provider *p, const void *settings, const char *what, struct err *err)
{
	struct http_request *rq = c->rq;
	enum err_code rc = rq->err ? rq->err : c->url.err;

	if (!rc)
		rc = http_request_set_url(rq, buf_str(&c->url));
	if (!rc && !c->is_public)
		rc = adapter_authorize(p, settings, rq);
	buf_clear(&c->url);
	return rc ? err_set(err, rc, "%s's %s request cannot be built%s%s", p->title, what,
		c->problem ? ": " : "", c->problem ? c->problem : "") : ERR_OK;
}

/* Once more, since the template has been filled since. */
static enum err_code
check_filled(const struct provider *p, const json_t *on, struct err *err)
{
	for (const struct profile_member *m = p->profile; m->name; m++) {
		const char *wrong = wrong_with(m, json_object_get(on, m->name));

		if (wrong)
			return err_set(err, ERR_CONFIG, "the model's profile for %s: %s %s", p->title, m->name, wrong);
	}
	return ERR_OK;
}

/* The job's id, the same on each attempt.  No provider documents it; it costs nothing and
 * nothing relies on it. */
static void
add_idempotency_key(struct call *c, const struct uuid *job)
{
	char key[UUID_TEXT_SIZE];

	uuid_format(job, key);
	call_header(c, "Idempotency-Key", key);
}

enum err_code
adapter_submit_request(const struct provider *p, const void *settings, const struct gen_spec *spec,
	struct http_request *ret, struct err *err)
{
	struct call c;
	enum err_code rc = check_filled(p, spec->on, err);

	if (rc)
		return rc;
	begin(&c, settings, ret);
	ret->method = HTTP_POST;
	ret->timeout_ms = CREATE_TIMEOUT_MS;
	p->submit.request(settings, spec, &c);
	add_idempotency_key(&c, &spec->job_id);
	return finish(&c, p, settings, "create", err);
}

enum err_code
adapter_submit_handle(const struct provider *p, const struct gen_spec *spec, struct buf *ret, struct err *err)
{
	if (p->submit.handle)
		p->submit.handle(spec, ret);
	return ret->err ? err_set(err, ret->err, "how %s's prediction is reached", p->title) : ERR_OK;
}

enum err_code
adapter_look_request(const struct provider *p, const void *settings, const struct provider_look *look,
	const struct look_query *query, struct http_request *ret, struct err *err)
{
	struct call c;

	begin(&c, settings, ret);
	look->request(settings, query, &c);
	return finish(&c, p, settings, look == &p->cancel ? "cancel" : "status", err);
}

enum err_code
adapter_find_request(const struct provider *p, const void *settings, const struct find_query *query,
	struct http_request *ret, struct err *err)
{
	struct call c;

	begin(&c, settings, ret);
	p->find.request(settings, query, &c);
	return finish(&c, p, settings, "list", err);
}

enum err_code
adapter_verifier_request(const struct provider *p, const void *settings, struct http_request *ret,
	struct err *err)
{
	struct call c;

	begin(&c, settings, ret);
	p->verifier.request(settings, &c);
	return finish(&c, p, settings, "verifier", err);
}

enum err_code
adapter_probe_request(const struct provider *p, const void *settings, struct http_request *ret,
	struct err *err)
{
	struct call c;

	begin(&c, settings, ret);
	c.is_public = !p->probe.request;
	if (p->probe.request)
		p->probe.request(settings, &c);
	return finish(&c, p, settings, "probe", err);
}

/* ---- answers ---- */

void
submit_reply_clear(struct submit_reply *reply)
{
	gen_observation_clear(&reply->obs);
	mem_free(reply->message);
	memset(reply, 0, sizeof *reply);
}

void
status_reply_clear(struct status_reply *reply)
{
	gen_observation_clear(&reply->obs);
	mem_free(reply->follow);
	mem_free(reply->message);
	memset(reply, 0, sizeof *reply);
}

void
find_reply_clear(struct find_reply *reply)
{
	for (size_t i = 0; i < reply->n; i++) {
		gen_observation_clear(&reply->found[i].obs);
		json_decref(reply->found[i].input);
	}
	mem_free(reply->found);
	mem_free(reply->follow);
	mem_free(reply->message);
	memset(reply, 0, sizeof *reply);
}

/* answer->doc is the caller's: json_decref(). */
static enum err_code
open_answer(const struct http_response *rs, struct answer *answer, json_t **doc)
{
	enum err_code rc = reply_document(buf_str(&rs->body), rs->body.len, doc);

	*answer = (struct answer){ .status = rs->status, .rs = rs, .doc = *doc,
		.good = *doc && rs->status >= 200 && rs->status < 300 };
	return rc == ERR_NOMEM ? rc : ERR_OK;
}

static void
blot_out(char *text, const char *secret, size_t len)
{
	/* Shorter ones are in any text. */
	if (len < SECRET_MIN)
		return;
	while ((text = memmem(text, strlen(text), secret, len)))
		memset(text, '*', len);
}

/* Somebody's words, which are kept and logged: a key that is not taken may be repeated in them.
 * text: NULL: there are none. */
static void
hide_secrets(const struct provider_api *api, char *text)
{
	const char *list = api->webhook_secret, *secret;
	size_t len;

	if (text && api->key)
		blot_out(text, api->key, strlen(api->key));
	while (text && list && webhook_next_item(&list, ',', &secret, &len))
		blot_out(text, secret, len);
}

/* Each would be a row, a fetch and a file. */
static void
drop_surplus(json_t *outputs)
{
	for (size_t n = json_array_size(outputs); n > OUTPUTS_MAX; n--)
		json_array_remove(outputs, n - 1);
}

static enum err_code
cannot_read(const struct provider *p, enum err_code rc, struct err *err)
{
	return err_set(err, rc, "%s's answer", p->title);
}

/* The provider's own words, unless the adapter found better ones. */
static enum err_code
say_why(const struct answer *answer, char **message)
{
	if (!*message)
		*message = reply_problem(answer->rs, answer->doc);
	return *message ? ERR_OK : ERR_NOMEM;
}

enum err_code
adapter_submit_reply(const struct provider *p, const void *settings, const struct http_response *rs,
	struct submit_reply *ret, struct err *err)
{
	struct answer answer;
	json_t *doc = NULL;
	enum err_code rc = open_answer(rs, &answer, &doc);

	*ret = (struct submit_reply){ .obs = GEN_OBSERVATION_INIT };
	reply_to_create(&answer, ret);
	if (!rc)
		rc = p->submit.read(settings, &answer, ret);
	if (!rc && ret->outcome != SUBMIT_ACCEPTED)
		rc = say_why(&answer, &ret->message);
	hide_secrets(api_of(settings), ret->message);
	hide_secrets(api_of(settings), ret->obs.message);
	drop_surplus(ret->obs.outputs);
	json_decref(doc);
	if (!rc)
		return ERR_OK;
	submit_reply_clear(ret);
	ret->outcome = SUBMIT_UNKNOWN;
	return cannot_read(p, rc, err);
}

/* Whose it is was in the question. */
static enum err_code
name_prediction(const struct look_query *query, struct gen_observation *obs)
{
	if (!obs->prediction_id)
		obs->prediction_id = mem_strdup(query->prediction_id);
	return obs->prediction_id ? ERR_OK : ERR_NOMEM;
}

enum err_code
adapter_look_reply(const struct provider *p, const void *settings, const struct provider_look *look,
	const struct look_query *query, const struct http_response *rs, struct status_reply *ret, struct err *err)
{
	struct answer answer;
	json_t *doc = NULL;
	enum err_code rc = open_answer(rs, &answer, &doc);

	*ret = (struct status_reply){ .obs = GEN_OBSERVATION_INIT };
	reply_to_look(&answer, ret);
	if (!rc)
		rc = look->read(settings, query, &answer, ret);
	if (!rc && ret->outcome == STATUS_SEEN)
		rc = name_prediction(query, &ret->obs);
	else if (!rc && ret->outcome != STATUS_MORE)
		rc = say_why(&answer, &ret->message);
	hide_secrets(api_of(settings), ret->message);
	hide_secrets(api_of(settings), ret->obs.message);
	drop_surplus(ret->obs.outputs);
	json_decref(doc);
	if (!rc)
		return ERR_OK;
	status_reply_clear(ret);
	ret->outcome = STATUS_LATER;
	return cannot_read(p, rc, err);
}

enum err_code
adapter_find_reply(const struct provider *p, const void *settings, const struct http_response *rs,
	struct find_reply *ret, struct err *err)
{
	const char *date = http_response_header(rs, "date");
	struct answer answer;
	json_t *doc = NULL;
	int64_t date_s;
	enum err_code rc = open_answer(rs, &answer, &doc);

	*ret = (struct find_reply){ .outcome = FIND_LATER };
	if (date && !http_date_parse(date, strlen(date), &date_s))
		ret->date_us = date_s * 1000000;
	if (rs->status == 429)
		ret->retry_after_ms = reply_retry_after_ms(rs, doc);
	if (!rc && answer.good)
		rc = p->find.read(settings, &answer, ret);
	if (!rc && ret->outcome == FIND_LATER)
		rc = say_why(&answer, &ret->message);
	hide_secrets(api_of(settings), ret->message);
	json_decref(doc);
	if (!rc)
		return ERR_OK;
	find_reply_clear(ret);
	ret->outcome = FIND_LATER;
	return cannot_read(p, rc, err);
}

/* Nothing of the answer goes into a log. */
enum err_code
adapter_verifier_reply(const struct provider *p, const struct http_response *rs, struct buf *ret, struct err *err)
{
	struct answer answer;
	json_t *doc = NULL;
	size_t before = ret->len;
	enum err_code rc = open_answer(rs, &answer, &doc);

	if (!rc && answer.good)
		rc = p->verifier.read(&answer, ret);
	if (!rc)
		rc = ret->err == ERR_NOMEM ? ERR_NOMEM : ret->err || ret->len == before ? ERR_UPSTREAM : ERR_OK;
	json_decref(doc);
	return rc ? err_set(err, rc, "%s does not tell what its webhooks are verified by: HTTP %ld, %zu bytes",
		p->title, rs->status, rs->body.len) : ERR_OK;
}

enum err_code
adapter_probe_reply(const struct provider *p, const void *settings, const struct http_response *rs, struct err *err)
{
	struct answer answer;
	json_t *doc = NULL;
	enum err_code rc = open_answer(rs, &answer, &doc);

	if (rc)
		rc = err_set(err, ERR_UPSTREAM, "no memory to read the answer");
	else if (p->probe.read)
		rc = p->probe.read(&answer, err);
	hide_secrets(api_of(settings), rc && err ? err->text : NULL);
	json_decref(doc);
	return rc;
}

/* ---- webhooks ---- */

enum err_code
adapter_webhook_verify(const struct provider *p, const void *settings, const char *fetched,
	const struct webhook *wh, int64_t now_s, char **ret_delivery, struct err *err)
{
	const char *secret = api_of(settings)->webhook_secret;

	if (!secret)
		secret = fetched;
	if (!secret)
		return err_set(err, ERR_SIGNATURE, "there is nothing yet to verify %s's webhooks by", p->title);
	return p->webhook_verify(secret, wh, now_s, ret_delivery, err);
}

enum err_code
adapter_webhook_parse(const struct provider *p, const void *settings, const struct webhook *wh,
	struct gen_observation *ret, struct err *err)
{
	json_t *doc = NULL;
	enum err_code rc = reply_document(wh->body, wh->body_len, &doc);

	*ret = (struct gen_observation)GEN_OBSERVATION_INIT;
	if (rc)
		return err_set(err, rc, "the webhook's body is not a JSON object");
	rc = p->webhook_read(doc, ret);
	hide_secrets(api_of(settings), ret->message);
	drop_surplus(ret->outputs);
	json_decref(doc);
	if (!rc && ret->prediction_id)
		return ERR_OK;
	gen_observation_clear(ret);
	return err_set(err, rc ? rc : ERR_BAD_REQUEST, "not a webhook of %s's: it says of no prediction how it stands",
		p->title);
}

/* It says nothing of a job, in no provider's words. */
static void
put_probe(struct buf *body, size_t bytes)
{
	buf_puts(body, "{\"from\":\"");
	while (!body->err && body->len < bytes)
		buf_puts(body, "gengate check ");
	buf_puts(body, "\"}");
}

enum err_code
adapter_webhook_probe(const struct provider *p, const void *settings, int64_t now_s, size_t body_bytes,
	struct http_request *ret, struct err *err)
{
	const char *secret = api_of(settings)->webhook_secret;
	struct buf body = BUF_INIT(body_bytes + 256);
	enum err_code rc;

	if (!secret || !p->webhook_sign)
		return err_set(err, ERR_CONFIG, "there is no secret to sign a webhook of %s's with", p->title);
	put_probe(&body, body_bytes);
	ret->method = HTTP_POST;
	ret->timeout_ms = CALL_TIMEOUT_MS;
	rc = body.err ? body.err : http_request_set_body(ret, buf_str(&body), body.len);
	if (!rc)
		rc = http_request_add_header(ret, "Content-Type", "application/json");
	if (!rc)
		rc = p->webhook_sign(secret, now_s, ret, err);
	buf_clear(&body);
	return rc ? err_set(err, rc, "a webhook to try with") : ERR_OK;
}
