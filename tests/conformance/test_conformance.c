/*
 * What every provider has to do, whichever it is: the cases of its folder in
 * tests/data, and what is made of them.  A provider without cases, or without one of
 * the kinds that its capabilities ask for, fails.
 */
#include "config.h"

#include <stdio.h>

#include "tests/conformance/hostile.h"
#include "tests/conformance/ids.h"
#include "tests/conformance/reply.h"
#include "tests/conformance/request.h"

#define N(table) (sizeof (table) / sizeof *(table))

/* The guide's example, which is in no registry. */
extern const struct provider provider_easel;

/* ---- is it all there? ---- */

/* A kind of case, as "KIND/CALL/OUTCOME/STATUS OR ERROR"; the latter may be left out. */
static const struct need {
	const char *kind;
	unsigned with, without;		/* capabilities */
} needs[] = {
	{ "configurations/good", 0, 0 },
	{ "configurations/bad", 0, 0 },
	{ "profiles/good", 0, 0 },
	{ "profiles/bad", 0, 0 },
	{ "requests/submit", 0, 0 },
	{ "requests/submit/webhook", PROVIDER_WEBHOOK, 0 },
	{ "requests/status", 0, PROVIDER_SYNC },
	{ "requests/cancel", PROVIDER_CANCEL, 0 },
	{ "requests/find", PROVIDER_FIND, 0 },
	{ "requests/verifier", PROVIDER_VERIFIER, 0 },

	{ "answers/submit/accepted/starting", 0, PROVIDER_SYNC },
	{ "answers/submit/accepted/succeeded", PROVIDER_SYNC, 0 },
	{ "requests/probe", 0, 0 },
	{ "answers/submit/refused/provider_rejected", 0, 0 },
	{ "answers/submit/refused/provider_unavailable", 0, 0 },
	{ "answers/submit/deferred", 0, 0 },
	{ "answers/submit/unknown", 0, 0 },
	{ "answers/status/seen/processing", 0, PROVIDER_SYNC },
	{ "answers/status/seen/succeeded", 0, PROVIDER_SYNC },
	{ "answers/status/seen/failed", 0, PROVIDER_SYNC },
	{ "answers/status/seen/unknown_word", 0, PROVIDER_SYNC },
	{ "answers/status/gone", 0, PROVIDER_SYNC },
	{ "answers/status/later", 0, PROVIDER_SYNC },
	{ "answers/cancel", PROVIDER_CANCEL, 0 },
	{ "answers/cancel/gone", PROVIDER_CANCEL, 0 },
	{ "answers/cancel/later", PROVIDER_CANCEL, 0 },
	{ "answers/find/page", PROVIDER_FIND, 0 },
	{ "answers/find/page/follow", PROVIDER_FIND, 0 },
	{ "answers/find/page/cut", PROVIDER_FIND, 0 },
	{ "answers/find/later", PROVIDER_FIND, 0 },
	{ "answers/verifier/told", PROVIDER_VERIFIER, 0 },
	{ "answers/verifier/upstream_error", PROVIDER_VERIFIER, 0 },
	{ "webhooks/ok/succeeded", PROVIDER_WEBHOOK, 0 },
	{ "webhooks/ok/failed", PROVIDER_WEBHOOK, 0 },
	{ "webhooks/invalid_signature", PROVIDER_WEBHOOK, 0 },
	{ "webhooks/bad_request", PROVIDER_WEBHOOK, 0 },
};

static void
add_kind(json_t *have, const char *kind, const char *call, const char *outcome, const char *detail)
{
	char text[200];

	snprintf(text, sizeof text, "%s%s%s%s%s%s%s", kind, call ? "/" : "", call ? call : "",
		outcome ? "/" : "", outcome ? outcome : "", detail ? "/" : "", detail ? detail : "");
	json_object_set_new(have, text, json_true());
}

/* Those of a row in all lengths; a contract's example may not be there. */
static void
add_row(json_t *have, const char *kind, const json_t *row)
{
	static const char *const marks[] = { "unknown_word", "follow", "cut" };
	const json_t *want = json_object_get(row, "want");
	const char *call = row_text(row, "call"), *outcome = row_text(want, "outcome");
	const char *status = row_text(want, "status"), *error = row_text(want, "error");

	if (row_text(row, "contract"))
		return;
	add_kind(have, kind, call, NULL, NULL);
	add_kind(have, kind, call, outcome, NULL);
	/* A success without outputs is none, unless they are to be asked for. */
	if (status && (strcmp(status, "succeeded") != 0 || json_object_get(want, "outputs") ||
		    json_object_get(want, "is_hint")))
		add_kind(have, kind, call, outcome, status);
	if (error)
		add_kind(have, kind, call, outcome, error);
	for (size_t i = 0; i < N(marks); i++)
		if (json_object_get(want, marks[i]))
			add_kind(have, kind, call, outcome, marks[i]);
	if (row_text(row, "webhook_url"))
		add_kind(have, kind, call, "webhook", NULL);
	if (strcmp(kind, "profiles") == 0 || strcmp(kind, "configurations") == 0)
		add_kind(have, kind, row_text(row, "mistake") ? "bad" : "good", NULL, NULL);
}

static json_t *
kinds_of(const struct suite *s)
{
	static const char *const kinds[] = { "configurations", "profiles", "requests", "answers", "webhooks" };
	json_t *have = json_object(), *row;
	size_t i;

	for (size_t k = 0; k < N(kinds); k++)
		json_array_foreach(suite_rows(s, kinds[k]), i, row)
			add_row(have, kinds[k], row);
	return have;
}

static void
every_kind_of_case_is_there(const struct suite *s)
{
	struct buf missing = BUF_INIT(4096);
	json_t *have = kinds_of(s);

	for (size_t i = 0; i < N(needs); i++) {
		const struct need *n = &needs[i];

		if ((s->p->caps & n->with) == n->with && !(s->p->caps & n->without) &&
		    !json_object_get(have, n->kind))
			buf_printf(&missing, " %s", n->kind);
	}
	if (missing.len)
		fail_msg("%s/cases.json has no case of:%s", s->folder, buf_str(&missing));
	json_decref(have);
}

static void
members_are_among(const struct suite *s, const char *where, const json_t *object, const char *const known[], size_t n)
{
	const char *member;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, member, value) {
		size_t i = 0;

		while (i < n && strcmp(known[i], member) != 0)
			i++;
		if (i == n)
			fail_msg("%s/cases.json: %s: nobody reads \"%s\"", s->folder, where, member);
	}
}

/* A case with a slip in it would try less than it says. */
static void
every_member_is_read(const struct suite *s)
{
	static const char *const all[] = { "settings", "outputs", "configurations", "profiles", "params", "requests",
		"answers", "webhooks" };
	static const char *const row[] = { "name", "settings", "call", "on", "mistake", "webhook_url", "time_left_ms",
		"query", "response", "status", "text", "file", "contract", "headers", "body", "now", "fetched", "secret",
		"taken", "want" };
	static const char *const query[] = { "id", "handle", "follow", "after_us", "before_us" };
	static const char *const response[] = { "status", "headers", "body" };
	json_t *each;
	size_t i;

	members_are_among(s, "the table", s->cases, all, N(all));
	for (size_t k = 2; k < N(all); k++)
		json_array_foreach(suite_rows(s, all[k]), i, each) {
			members_are_among(s, row_name(each), each, row, N(row));
			members_are_among(s, row_name(each), json_object_get(each, "query"), query, N(query));
			members_are_among(s, row_name(each), json_object_get(each, "response"), response, N(response));
		}
}

static bool
has_option(const struct provider *p, size_t offset)
{
	const struct cfg_row *row = p->options;

	while (row->name && row->offset != offset)
		row++;
	return row->name;
}

/* From where outputs are taken, and for how long, is a promise of its own. */
static void
outputs_come_from_there(const struct suite *s)
{
	json_t *said = json_pack("{s[], sI}", "hosts", "retention_ms", (json_int_t)s->p->retention_ms);

	for (const char *const *host = s->p->output_hosts; host && *host; host++)
		json_array_append_new(json_object_get(said, "hosts"), json_string(*host));
	if (!json_equal(said, json_object_get(s->cases, "outputs")))
		fail_msg("%s/cases.json: the adapter's \"outputs\" are %s", s->folder, json_dumps(said, JSON_COMPACT));
	json_decref(said);
}

/* By that name and by no other. */
static void
it_is_in_the_registry(const struct suite *s)
{
	char *beginning = mem_strndup(s->p->name, strlen(s->p->name) - 1);

	assert_true(s->p == &provider_easel || provider_by_name(s->p->name) == s->p);
	assert_null(provider_by_name(beginning));
	if (strcmp(s->p->title, s->p->name) != 0)
		assert_null(provider_by_name(s->p->title));
	mem_free(beginning);
}

/* What belongs to a capability is there with it, and without it is not. */
static void
the_table_is_whole(const struct suite *s)
{
	const struct provider *p = s->p;
	bool sync = p->caps & PROVIDER_SYNC, webhook = p->caps & PROVIDER_WEBHOOK;

	ASSERT_ROW(p->name, p->name && p->title && p->options && p->settings_size >= sizeof(struct provider_api));
	ASSERT_ROW(p->name, has_option(p, offsetof(struct provider_api, url)));
	ASSERT_ROW(p->name, has_option(p, offsetof(struct provider_api, key)) == (p->key_header != NULL));
	ASSERT_ROW(p->name, p->key_header || !(p->needs_key || p->key_scheme));
	ASSERT_ROW(p->name, !webhook || has_option(p, offsetof(struct provider_api, webhook_secret)) ||
		(p->caps & PROVIDER_VERIFIER));
	ASSERT_ROW(p->name, p->profile && p->submit.request && p->submit.read);
	ASSERT_ROW(p->name, !p->get_status.request == sync && !p->get_status.read == sync);
	ASSERT_ROW(p->name, !p->cancel.request == !(p->caps & PROVIDER_CANCEL) && !p->cancel.read == !p->cancel.request);
	ASSERT_ROW(p->name, !p->find.request == !(p->caps & PROVIDER_FIND) && !p->find.read == !p->find.request);
	ASSERT_ROW(p->name, !p->verifier.request == !(p->caps & PROVIDER_VERIFIER) &&
		!p->verifier.read == !p->verifier.request);
	ASSERT_ROW(p->name, !p->probe.request == !p->probe.read);
	ASSERT_ROW(p->name, !p->webhook_sign || has_option(p, offsetof(struct provider_api, webhook_secret)));
	ASSERT_ROW(p->name, !p->webhook_verify == !webhook && !p->webhook_read == !webhook);
	ASSERT_ROW(p->name, webhook || !(p->caps & (PROVIDER_HINTS | PROVIDER_VERIFIER)));
	ASSERT_ROW(p->name, p->name[strspn(p->name, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0');
	for (const struct cfg_row *row = p->options; row->name; row++)
		ASSERT_ROW(row->name, strncmp(row->name, p->name, strlen(p->name)) == 0 && row->doc);
}

/* ---- one program for all ---- */

static const struct {
	const char *name;
	void (*run)(const struct suite *s);
} checks[] = {
	{ "it is in the registry", it_is_in_the_registry },
	{ "the table is whole", the_table_is_whole },
	{ "every kind of case is there", every_kind_of_case_is_there },
	{ "outputs come from there", outputs_come_from_there },
	{ "configurations are checked", configurations_are_checked },
	{ "every member is one that is read", every_member_is_read },
	{ "profiles are checked", profiles_are_checked },
	{ "params are taken or not", params_are_taken },
	{ "requests are as wanted", requests_are_as_wanted },
	{ "requests lead nowhere else", requests_lead_nowhere_else },
	{ "requests survive a lack of memory", requests_survive_nomem },
	{ "answers are as wanted", answers_are_as_wanted },
	{ "answers survive a lack of memory", answers_survive_nomem },
	{ "ids may be anything", ids_may_be_anything },
	{ "answers that end early", answers_that_end_early },
	{ "members may be anything", members_may_be_anything },
	{ "any status with any body", any_status_with_any_body },
	{ "webhooks are as wanted", webhooks_are_as_wanted },
	{ "webhooks survive a lack of memory", webhooks_survive_nomem },
	{ "webhooks are forged", webhooks_are_forged },
	{ "webhooks may say anything", webhooks_may_say_anything },
	{ "webhooks that end early", webhooks_that_end_early },
	{ "webhooks to try with", webhooks_are_tried },
};

/* A provider and one of the checks. */
struct test {
	const struct provider *p;
	char name[100], folder[100];
	void (*run)(const struct suite *s);
};

static void
run_check(void **state)
{
	const struct test *test = *state;
	long before = mem_outstanding();
	struct suite s;

	suite_open(&s, test->p, test->folder);
	test->run(&s);
	suite_close(&s);
	assert_int_equal(mem_outstanding(), before);
}

static void
add_tests(const struct provider *p, const char *folder, const char *name, struct test *tests,
	struct CMUnitTest *ret)
{
	for (size_t i = 0; i < N(checks); i++) {
		struct test *t = &tests[i];

		*t = (struct test){ .p = p, .run = checks[i].run };
		snprintf(t->name, sizeof t->name, "%s: %s", p->name, checks[i].name);
		snprintf(t->folder, sizeof t->folder, "%s%s", folder, name);
		ret[i] = (struct CMUnitTest){ t->name, run_check, NULL, NULL, t };
	}
}

int
main(void)
{
	size_t n = provider_count() + 1;
	struct test *tests = mem_calloc(n * N(checks), sizeof *tests);
	struct CMUnitTest *table = mem_calloc(n * N(checks), sizeof *table);
	int failed;

	add_tests(&provider_easel, "tests/example", "", tests, table);
	for (size_t i = 1; i < n; i++)
		add_tests(provider_at(i - 1), "tests/data/", provider_at(i - 1)->name,
			tests + i * N(checks), table + i * N(checks));
	/* cmocka's macro wants an array that it can see the size of. */
	failed = _cmocka_run_group_tests("conformance", table, n * N(checks), NULL, NULL);
	mem_free(table);
	mem_free(tests);
	return failed;
}
