#include "config.h"

#include "tests/conformance/reply.h"

/* What goes into logs. */
static void
check_words(const struct adapter *a, const json_t *row, const struct reading *r)
{
	const char *const texts[] = { r->err.text, r->submit.message, r->submit.obs.message, r->look.message,
		r->look.obs.message, r->find.message, r->hook.message };

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		assert_no_secret(a, row, texts[i]);
}

static bool
is_empty(const struct gen_observation *obs)
{
	return !obs->prediction_id && !obs->handle && !obs->status_text && !obs->message && !obs->webhook_url &&
		!obs->outputs;
}

/* What could not be read leaves nothing, and no outcome that ends a job. */
static void
check_failed(const json_t *row, const struct reading *r)
{
	ASSERT_ROW(row_name(row), is_empty(&r->submit.obs) && is_empty(&r->look.obs) && is_empty(&r->hook));
	ASSERT_ROW(row_name(row), !r->submit.message && !r->look.message && !r->look.follow && !r->find.message);
	ASSERT_ROW(row_name(row), r->find.n == 0 && !r->find.follow);
	ASSERT_ROW(row_name(row), !row_is(row, "submit") || r->submit.outcome == SUBMIT_UNKNOWN);
	ASSERT_ROW(row_name(row), !row_is(row, "find") || r->find.outcome == FIND_LATER);
	ASSERT_ROW(row_name(row), !(row_is(row, "status") || row_is(row, "cancel")) || r->look.outcome == STATUS_LATER);
}

void
read_answer(const struct adapter *a, const json_t *row, const struct http_response *rs,
	struct reading *ret)
{
	const struct provider_look *look = row_look(a->p, row);
	const struct look_query query = row_query(row);

	*ret = (struct reading){ .verifier = BUF_INIT(VERIFIER_MAX), .err = ERR_INIT };
	if (look && look->read)
		ret->rc = adapter_look_reply(a->p, a->settings, look, &query, rs, &ret->look, &ret->err);
	else if (row_is(row, "submit"))
		ret->rc = adapter_submit_reply(a->p, a->settings, rs, &ret->submit, &ret->err);
	else if (row_is(row, "find") && a->p->find.read)
		ret->rc = adapter_find_reply(a->p, a->settings, rs, &ret->find, &ret->err);
	else if (row_is(row, "verifier") && a->p->verifier.read)
		ret->rc = adapter_verifier_reply(a->p, rs, &ret->verifier, &ret->err);
	else if (row_is(row, "probe") && a->p->probe.request)
		ret->rc = adapter_probe_reply(a->p, a->settings, rs, &ret->err);
	else
		fail_msg("%s: %s: there is no such call", a->p->name, row_name(row));
	check_words(a, row, ret);
	if (ret->rc)
		check_failed(row, ret);
}

void
read_webhook(const struct adapter *a, const json_t *row, const struct webhook *wh, int64_t now_s,
	struct reading *ret)
{
	*ret = (struct reading){ .verifier = BUF_INIT(VERIFIER_MAX), .err = ERR_INIT };
	ret->rc = adapter_webhook_verify(a->p, a->settings, row_text(row, "fetched"), wh, now_s, &ret->delivery, &ret->err);
	if (!ret->rc)
		ret->rc = adapter_webhook_parse(a->p, a->settings, wh, &ret->hook, &ret->err);
	check_words(a, row, ret);
	if (ret->rc)
		check_failed(row, ret);
}

void
reading_clear(struct reading *r)
{
	submit_reply_clear(&r->submit);
	status_reply_clear(&r->look);
	find_reply_clear(&r->find);
	gen_observation_clear(&r->hook);
	buf_clear(&r->verifier);
	mem_free(r->delivery);
}

/* ---- in the words of cases.json ---- */

static void
say_observation(const struct gen_observation *obs, json_t *said)
{
	say_text(said, "id", obs->prediction_id);
	say_text(said, "handle", obs->handle);
	say_text(said, "word", obs->status_text);
	say_text(said, "why", obs->message);
	say_text(said, "webhook_url", obs->webhook_url);
	say_text(said, "error", obs->error ? err_name(obs->error) : NULL);
	say_true(said, "or_canceled", obs->or_canceled);
	say_true(said, "is_hint", obs->is_hint);
	say_true(said, "data_removed", obs->data_removed);
	if (json_array_size(obs->outputs) > 0)
		json_object_set(said, "outputs", obs->outputs);
	if (obs->seconds > 0)
		json_object_set_new(said, "seconds", json_real(obs->seconds));
}

/* And how it stands: of a prediction that was seen. */
static void
say_seen(const struct gen_observation *obs, json_t *said)
{
	say_text(said, "status", gen_status_name(obs->status));
	say_true(said, "unknown_word", !obs->status_known);
}

static void
say_submit(const struct submit_reply *r, json_t *said)
{
	static const char *const outcomes[] = { [SUBMIT_ACCEPTED] = "accepted", [SUBMIT_REFUSED] = "refused",
		[SUBMIT_DEFERRED] = "deferred", [SUBMIT_UNKNOWN] = "unknown" };

	say_text(said, "outcome", outcomes[r->outcome]);
	say_observation(&r->obs, said);
	if (r->outcome == SUBMIT_ACCEPTED)
		say_seen(&r->obs, said);
	if (r->error)
		say_text(said, "error", err_name(r->error));
	say_number(said, "retry_after_ms", r->retry_after_ms);
	say_text(said, "message", r->message);
}

static void
say_look(const struct status_reply *r, json_t *said)
{
	static const char *const outcomes[] = { [STATUS_SEEN] = "seen", [STATUS_LATER] = "later",
		[STATUS_GONE] = "gone", [STATUS_MORE] = "more" };

	say_text(said, "outcome", outcomes[r->outcome]);
	say_observation(&r->obs, said);
	if (r->outcome == STATUS_SEEN)
		say_seen(&r->obs, said);
	say_text(said, "follow", r->follow);
	say_number(said, "retry_after_ms", r->retry_after_ms);
	say_text(said, "message", r->message);
}

static json_t *
found_said(const struct found_prediction *found)
{
	json_t *said = json_object();

	say_observation(&found->obs, said);
	say_seen(&found->obs, said);
	if (found->input)
		json_object_set(said, "input", found->input);
	say_number(said, "created_us", (uint64_t)found->created_us);
	return said;
}

static void
say_find(const struct find_reply *r, json_t *said)
{
	json_t *all = json_array();

	for (size_t i = 0; i < r->n; i++)
		json_array_append_new(all, found_said(&r->found[i]));
	say_text(said, "outcome", r->outcome == FIND_PAGE ? "page" : "later");
	if (r->outcome == FIND_PAGE)
		json_object_set(said, "found", all);
	json_decref(all);
	say_text(said, "follow", r->follow);
	say_true(said, "cut", r->cut);
	say_number(said, "date_us", (uint64_t)r->date_us);
	say_number(said, "retry_after_ms", r->retry_after_ms);
	say_text(said, "message", r->message);
}

json_t *
answer_said(const json_t *row, const struct reading *r)
{
	json_t *said = json_object();

	if (r->rc || row_is(row, "probe"))
		say_text(said, "outcome", err_name(r->rc)), say_text(said, "message", r->rc ? r->err.text : NULL);
	else if (row_is(row, "submit"))
		say_submit(&r->submit, said);
	else if (row_is(row, "find"))
		say_find(&r->find, said);
	else if (row_is(row, "verifier"))
		say_text(said, "outcome", "told"), say_text(said, "text", buf_str(&r->verifier));
	else
		say_look(&r->look, said);
	return said;
}

json_t *
webhook_said(const struct reading *r)
{
	json_t *said = json_object();

	say_text(said, "outcome", err_name(r->rc));
	say_text(said, "delivery", r->delivery);
	if (!r->rc) {
		say_observation(&r->hook, said);
		say_seen(&r->hook, said);
	}
	return said;
}

/* ---- the rows ---- */

static void
check_answer(const struct suite *s, const json_t *row)
{
	struct http_response rs;
	struct reading r;
	struct adapter a;
	json_t *said;

	if (!row_response(s, row, &rs))
		return;
	row_open(s, row, &a);
	read_answer(&a, row, &rs, &r);
	said = answer_said(row, &r);
	expect(s, row, said);
	json_decref(said);
	reading_clear(&r);
	row_close(row, &a);
	http_response_clear(&rs);
}

void
answers_are_as_wanted(const struct suite *s)
{
	size_t i;
	json_t *row;

	json_array_foreach(suite_rows(s, "answers"), i, row)
		check_answer(s, row);
}

static enum err_code
read_and_clear(const struct adapter *a, const json_t *row, const struct http_response *rs)
{
	struct reading r;

	read_answer(a, row, rs, &r);
	reading_clear(&r);
	return r.rc;
}

/* An answer that could not be read for lack of memory is no answer to these, which are
 * asked again; it is never a good one. */
static void
fails_without_memory(const struct adapter *a, const json_t *row, const struct http_response *rs)
{
	int hit = 1;

	for (long n = 0; hit; n++) {
		long before = mem_outstanding();
		enum err_code rc;

		mem_fail_after(n);
		rc = read_and_clear(a, row, rs);
		hit = mem_fail_reset();
		ASSERT_ROW(row_name(row), mem_outstanding() == before);
		ASSERT_ROW(row_name(row), !hit || rc != ERR_OK);
	}
}

/* Of an allocation that fails nothing may become but ERR_NOMEM: a create that was read
 * without its memory would be another one. */
static void
survive_nomem(const struct adapter *a, const json_t *row, const struct http_response *rs)
{
	enum err_code rc;

	ASSERT_SURVIVES_NOMEM(rc, rc = read_and_clear(a, row, rs));
}

void
answers_survive_nomem(const struct suite *s)
{
	size_t i;
	json_t *row;

	json_array_foreach(suite_rows(s, "answers"), i, row) {
		struct http_response rs;
		struct adapter a;

		if (!row_response(s, row, &rs))
			continue;
		row_open(s, row, &a);
		if (row_is(row, "verifier") || row_is(row, "probe"))
			fails_without_memory(&a, row, &rs);
		else
			survive_nomem(&a, row, &rs);
		row_close(row, &a);
		http_response_clear(&rs);
	}
}

static const char *
header(const void *ctx, const char *name)
{
	return row_text(ctx, name);
}

struct webhook
row_webhook(const struct suite *s, const json_t *row, char **ret_body)
{
	const char *file = row_text(row, "file"), *text = row_text(row, "body");
	struct webhook wh = { .header = header, .ctx = json_object_get(row, "headers") };

	if (file) {
		*ret_body = read_text(s->folder, file, &wh.body_len);
	} else {
		/* The very bytes are what is signed. */
		if (!text)
			fail_msg("%s: %s: its body has to be a text, or in a file", s->p->name, row_name(row));
		*ret_body = mem_strdup(text);
		wh.body_len = strlen(text);
	}
	wh.body = *ret_body;
	return wh;
}

int64_t
row_now(const json_t *row)
{
	return json_integer_value(json_object_get(row, "now"));
}

static void
check_webhook(const struct suite *s, const json_t *row)
{
	char *body;
	const struct webhook wh = row_webhook(s, row, &body);
	struct reading r;
	struct adapter a;
	json_t *said;

	row_open(s, row, &a);
	read_webhook(&a, row, &wh, row_now(row), &r);
	said = webhook_said(&r);
	expect(s, row, said);
	json_decref(said);
	reading_clear(&r);
	row_close(row, &a);
	mem_free(body);
}

void
webhooks_are_as_wanted(const struct suite *s)
{
	size_t i;
	json_t *row;

	json_array_foreach(suite_rows(s, "webhooks"), i, row)
		check_webhook(s, row);
}

static enum err_code
hear_and_clear(const struct adapter *a, const json_t *row, const struct webhook *wh)
{
	struct reading r;

	read_webhook(a, row, wh, row_now(row), &r);
	reading_clear(&r);
	return r.rc == ERR_SIGNATURE || r.rc == ERR_BAD_REQUEST ? ERR_OK : r.rc;
}

void
webhooks_survive_nomem(const struct suite *s)
{
	size_t i;
	json_t *row;

	json_array_foreach(suite_rows(s, "webhooks"), i, row) {
		char *body;
		const struct webhook wh = row_webhook(s, row, &body);
		struct adapter a;
		enum err_code rc;

		row_open(s, row, &a);
		ASSERT_SURVIVES_NOMEM(rc, rc = hear_and_clear(&a, row, &wh));
		row_close(row, &a);
		mem_free(body);
	}
}
