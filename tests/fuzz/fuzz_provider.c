/*
 * What providers answer, and their webhooks: "PROVIDER CALL [ID [HANDLE [FOLLOW]]]" on
 * the first line, then the answer (fuzz.h).  Any provider of the registry: a new one
 * needs inputs in corpus/provider/NAME, and no code here.  A webhook's header "fetched"
 * is what it is verified by, as `verifier` would have brought it.
 *
 * Whatever was read goes where the service would take it: into a next request, the
 * log, the database.
 */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include <strings.h>

#include "tests/fuzz/providers.h"

static void
text_is_bounded(const char *s)
{
	MUST(!s || strlen(s) <= 4096);
}

/* Where a handle or what is to be followed leads away from the API it is refused. */
static void
look_is_sendable(const struct provider *p, const struct provider_look *look, const void *s,
	const struct look_query *query)
{
	struct http_request rq = HTTP_REQUEST_INIT;
	enum err_code rc;

	if (!look->request || !query->prediction_id)
		return;
	rc = adapter_look_request(p, s, look, query, &rq, NULL);
	MUST(rc == ERR_OK || ((query->handle || query->follow) && (rc == ERR_INVALID || rc == ERR_TOO_BIG)) ||
		rc == ERR_CONFIG);
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
	MUST(!obs->prediction_id || (obs->prediction_id[0] && strlen(obs->prediction_id) <= PREDICTION_ID_MAX));
	MUST(!obs->handle || strlen(obs->handle) <= HANDLE_MAX);
	MUST(obs->seconds >= 0);
	text_is_bounded(obs->status_text);
	text_is_bounded(obs->message);
	text_is_bounded(obs->webhook_url);
	MUST(!obs->outputs || json_is_array(obs->outputs));
	json_array_foreach(obs->outputs, i, url) {
		const char *text = json_string_value(url);

		MUST(text && strlen(text) == json_string_length(url));
		MUST(strncasecmp(text, "http", 4) == 0 || strncasecmp(text, "data:", 5) == 0 || !strchr(text, ':'));
	}
	look_is_sendable(p, &p->get_status, s, &query);
	look_is_sendable(p, &p->cancel, s, &query);
}

static void
try_submit(const struct provider *p, const void *s, const struct http_response *rs)
{
	struct submit_reply reply;
	struct err err = ERR_INIT;

	MUST(adapter_submit_reply(p, s, rs, &reply, &err) == ERR_OK);
	/* These may have cost money: not to be sent again. */
	if ((rs->status >= 200 && rs->status < 300) || rs->status == 500 || rs->status == 502 || rs->status == 504)
		MUST(reply.outcome != SUBMIT_DEFERRED);
	if (reply.outcome == SUBMIT_ACCEPTED)
		MUST(reply.obs.prediction_id || gen_status_is_final(reply.obs.status));
	if (reply.outcome == SUBMIT_REFUSED)
		MUST(reply.error == ERR_PROVIDER_REJECTED || reply.error == ERR_PROVIDER_UNAVAILABLE ||
			reply.error == ERR_CONTENT_BLOCKED);
	MUST(reply.retry_after_ms <= HTTP_RETRY_AFTER_MAX_MS);
	text_is_bounded(reply.message);
	look_at(p, s, &reply.obs);
	submit_reply_clear(&reply);
}

static void
try_look(const struct provider *p, const struct provider_look *look, const void *s,
	const struct look_query *query, const struct http_response *rs)
{
	struct status_reply reply;
	struct look_query more = *query;
	struct err err = ERR_INIT;

	if (!look->read)
		return;
	MUST(adapter_look_reply(p, s, look, query, rs, &reply, &err) == ERR_OK);
	if (reply.outcome == STATUS_GONE)
		MUST(rs->status < 500);
	MUST((reply.outcome == STATUS_MORE) == (reply.follow != NULL));
	MUST(reply.retry_after_ms <= HTTP_RETRY_AFTER_MAX_MS);
	text_is_bounded(reply.message);
	look_at(p, s, &reply.obs);
	more.follow = reply.follow;
	look_is_sendable(p, look, s, &more);
	status_reply_clear(&reply);
}

/* The next page is asked for with our credentials. */
static void
next_is_sendable(const struct provider *p, const void *s, const char *follow)
{
	const struct find_query query = { .follow = follow };
	struct http_request rq = HTTP_REQUEST_INIT;

	if (follow && !adapter_find_request(p, s, &query, &rq, NULL))
		must_be_sendable(&rq);
	http_request_clear(&rq);
}

static void
try_find(const struct provider *p, const void *s, const struct http_response *rs)
{
	struct find_reply reply;
	struct err err = ERR_INIT;

	if (!p->find.read)
		return;
	MUST(adapter_find_reply(p, s, rs, &reply, &err) == ERR_OK);
	MUST(reply.outcome == FIND_PAGE || (reply.n == 0 && !reply.follow));
	MUST(reply.retry_after_ms <= HTTP_RETRY_AFTER_MAX_MS && reply.date_us >= 0);
	text_is_bounded(reply.message);
	for (size_t i = 0; i < reply.n; i++) {
		MUST(reply.found[i].obs.prediction_id && reply.found[i].created_us >= 0);
		MUST(!reply.found[i].input || json_is_object(reply.found[i].input));
		look_at(p, s, &reply.found[i].obs);
	}
	next_is_sendable(p, s, reply.follow);
	find_reply_clear(&reply);
}

static void
try_probe(const struct provider *p, const void *s, const struct http_response *rs)
{
	struct err err = ERR_INIT;
	enum err_code rc = adapter_probe_reply(p, s, rs, &err);

	MUST(rc == ERR_OK || rc == ERR_PROVIDER_UNAVAILABLE || rc == ERR_UPSTREAM);
	MUST_SAY(rc, &err);
}

static void
try_verifier(const struct provider *p, const struct http_response *rs)
{
	struct buf verifier = BUF_INIT(VERIFIER_MAX);
	struct err err = ERR_INIT;
	enum err_code rc = p->verifier.read ? adapter_verifier_reply(p, rs, &verifier, &err) : ERR_UPSTREAM;

	MUST((rc == ERR_OK) == (verifier.len > 0));
	MUST(!p->verifier.read || rc == ERR_OK || err.text[0]);
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
	const char *fetched = http_response_header(rs, "fetched");
	struct gen_observation obs = GEN_OBSERVATION_INIT;
	struct err err = ERR_INIT;
	char *delivery = NULL;
	enum err_code rc;

	if (!(p->caps & PROVIDER_WEBHOOK))
		return;
	rc = adapter_webhook_verify(p, s, fetched ? fetched : FUZZ_WEBHOOK_SECRET, &wh, 1700000000, &delivery, &err);
	MUST(rc == ERR_OK || rc == ERR_SIGNATURE);
	MUST(!delivery == (rc != ERR_OK));
	mem_free(delivery);
	err = (struct err)ERR_INIT;
	rc = adapter_webhook_parse(p, s, &wh, &obs, &err);
	MUST(rc == ERR_OK || rc == ERR_BAD_REQUEST);
	MUST_SAY(rc, &err);
	if (!rc) {
		MUST(obs.prediction_id);
		look_at(p, s, &obs);
		gen_observation_clear(&obs);
	}
}

static void
try_call(const struct provider *p, const void *s, const char *call, const struct look_query *query,
	const struct http_response *rs)
{
	if (strcmp(call, "submit") == 0)
		try_submit(p, s, rs);
	else if (strcmp(call, "status") == 0)
		try_look(p, &p->get_status, s, query, rs);
	else if (strcmp(call, "cancel") == 0)
		try_look(p, &p->cancel, s, query, rs);
	else if (strcmp(call, "find") == 0)
		try_find(p, s, rs);
	else if (strcmp(call, "probe") == 0)
		try_probe(p, s, rs);
	else if (strcmp(call, "verifier") == 0)
		try_verifier(p, rs);
	else if (strcmp(call, "webhook") == 0)
		try_webhook(p, s, rs);
}

/* The words of a line, in place; those that are not there are NULL. */
static void
split(char *line, char *ret[], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		ret[i] = line && *line ? line : NULL;
		line = line ? strchr(line, ' ') : NULL;
		if (line)
			*line++ = '\0';
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = INPUT(data, size);
	char *line = input_line(&in), *words[5];
	struct look_query query;
	struct http_response rs;

	fuzz_begin();
	input_response(&in, &rs);
	split(line, words, 5);
	query = (struct look_query){ .prediction_id = words[2], .handle = words[3], .follow = words[4] };
	/* Core asks about no other. */
	if (!words[2] || !*words[2] || strlen(words[2]) > PREDICTION_ID_MAX)
		query.prediction_id = "p1";
	for (size_t i = 0; words[0] && words[1] && i < provider_count(); i++)
		if (strcmp(provider_at(i)->name, words[0]) == 0)
			try_call(provider_at(i), fuzz_provider_settings(i), words[1], &query, &rs);
	http_response_clear(&rs);
	mem_free(line);
	return 0;
}
