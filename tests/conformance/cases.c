#include "config.h"

#include "tests/conformance/cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "providers/webhook.h"

#define CONTRACT "../shared/contracts/examples"
#define ENV_MAX 16

static FILE *
open_file(const char *folder, const char *name)
{
	const char *srcdir = getenv("srcdir");
	char path[1000];

	snprintf(path, sizeof path, "%s/%s/%s", srcdir ? srcdir : ".", folder, name);
	return fopen(path, "re");
}

/* Texts as environ has them. */
static void
open_with(const struct provider *p, const json_t *settings, struct adapter *ret)
{
	const char *env[ENV_MAX + 1] = { NULL };
	size_t i;
	json_t *text;

	assert_true(json_array_size(settings) <= ENV_MAX);
	json_array_foreach(settings, i, text)
		env[i] = json_string_value(text);
	adapter_open_as(ret, p, env);
}

void
suite_open(struct suite *s, const struct provider *p, const char *folder)
{
	FILE *f = open_file(folder, "cases.json");

	if (!f)
		fail_msg("%s/cases.json is not there; tests/data/README.md has its form", folder);
	fclose(f);
	*s = (struct suite){ .p = p, .folder = folder, .cases = load_json(folder, "cases.json") };
	open_with(p, json_object_get(s->cases, "settings"), &s->adapter);
}

void
suite_close(struct suite *s)
{
	adapter_close(&s->adapter);
	json_decref(s->cases);
}

const json_t *
suite_rows(const struct suite *s, const char *kind)
{
	return json_object_get(s->cases, kind);
}

void
row_open(const struct suite *s, const json_t *row, struct adapter *ret)
{
	const json_t *own = json_object_get(row, "settings");

	if (own)
		open_with(s->p, own, ret);
	else
		*ret = s->adapter;
}

void
row_close(const json_t *row, struct adapter *a)
{
	if (json_object_get(row, "settings"))
		adapter_close(a);
}

const char *
row_text(const json_t *row, const char *member)
{
	return json_string_value(json_object_get(row, member));
}

const char *
row_name(const json_t *row)
{
	const char *name = row_text(row, "name");

	return name ? name : "(a case without a name)";
}

char *
read_text(const char *folder, const char *name, size_t *ret_len)
{
	FILE *f = open_file(folder, name);
	struct buf text = BUF_INIT(1000000);
	char part[4096];
	size_t n;

	if (!f)
		fail_msg("%s/%s cannot be opened", folder, name);
	while ((n = fread(part, 1, sizeof part, f)) > 0)
		buf_put(&text, part, n);
	fclose(f);
	assert_int_equal(text.err, ERR_OK);
	*ret_len = text.len;
	return buf_take(&text);
}

static bool
have_contract(const char *name)
{
	FILE *f = open_file(CONTRACT, name);

	if (f)
		fclose(f);
	return f != NULL;
}

/* "text": bytes that are no JSON, or JSON that cannot stand in a file of JSON. */
static void
respond_in_place(const json_t *response, struct http_response *ret)
{
	const char *text = row_text(response, "text");

	if (text)
		make_response(ret, (long)json_integer_value(json_object_get(response, "status")), NULL,
			text, strlen(text));
	else
		response_of(response, ret);
}

bool
row_response(const struct suite *s, const json_t *row, struct http_response *ret)
{
	const char *contract = row_text(row, "contract"), *file = row_text(row, "file");
	json_t *doc;

	if (contract && !have_contract(contract))
		return false;
	if (!contract && !file) {
		respond_in_place(row, ret);
		return true;
	}
	doc = load_json(contract ? CONTRACT : s->folder, contract ? contract : file);
	response_of(doc, ret);
	json_decref(doc);
	return true;
}

void
assert_no_secret(const struct adapter *a, const json_t *row, const char *text)
{
	const struct provider_api *api = a->settings;
	const char *list = api->webhook_secret, *secret;
	size_t len;

	/* Shorter ones are in any text. */
	if (text && api->key && strlen(api->key) >= 8 && strstr(text, api->key))
		fail_msg("%s: %s: the key in \"%s\"", a->p->name, row_name(row), text);
	while (text && list && webhook_next_item(&list, ',', &secret, &len))
		if (len >= 8 && memmem(text, strlen(text), secret, len))
			fail_msg("%s: %s: a secret in \"%s\"", a->p->name, row_name(row), text);
}

struct look_query
row_query(const json_t *row)
{
	const json_t *query = json_object_get(row, "query");
	const char *id = row_text(query, "id");

	return (struct look_query){ .prediction_id = id ? id : "p1", .handle = row_text(query, "handle"),
		.follow = row_text(query, "follow") };
}

bool
row_is(const json_t *row, const char *call)
{
	const char *is = row_text(row, "call");

	return is && strcmp(is, call) == 0;
}

const struct provider_look *
row_look(const struct provider *p, const json_t *row)
{
	return row_is(row, "status") ? &p->get_status : row_is(row, "cancel") ? &p->cancel : NULL;
}

void
say_text(json_t *said, const char *member, const char *value)
{
	if (value)
		assert_int_equal(json_object_set_new(said, member, json_string(value)), 0);
}

void
say_true(json_t *said, const char *member, bool value)
{
	if (value)
		assert_int_equal(json_object_set_new(said, member, json_true()), 0);
}

void
say_number(json_t *said, const char *member, uint64_t value)
{
	if (value)
		assert_int_equal(json_object_set_new(said, member, json_integer((json_int_t)value)), 0);
}

/* Words of the provider's that go into the log: a part of them is enough. */
static bool
is_words(const char *member)
{
	return strcmp(member, "message") == 0 || strcmp(member, "why") == 0;
}

/* Not every row says these; nor is all that a contract's example has in it ours to
 * write down. */
static bool
may_be_more(const json_t *row, const char *member)
{
	return row_text(row, "contract") || strcmp(member, "message") == 0 || strcmp(member, "word") == 0 ||
		strcmp(member, "timeout_ms") == 0;
}

static bool
is_wanted(const char *member, const json_t *want, const json_t *all)
{
	const json_t *said = json_object_get(all, member);
	const char *part = json_string_value(want), *text = json_string_value(said);

	if (strcmp(member, "n_outputs") == 0)
		return json_array_size(json_object_get(all, "outputs")) == (size_t)json_integer_value(want);
	if (is_words(member) && part && text)
		return strstr(text, part) != NULL;
	return want && said ? json_equal(want, said) : want == said;
}

void
expect(const struct suite *s, const json_t *row, const json_t *said)
{
	json_t *want = json_object_get(row, "want"), *value;
	char *text = json_dumps(said, JSON_COMPACT);
	const char *member;

	if (!want)
		fail_msg("%s: %s: it wants nothing", s->p->name, row_name(row));
	json_object_foreach(want, member, value)
		if (!is_wanted(member, value, said))
			fail_msg("%s: %s: \"%s\" is not %s in %s", s->p->name, row_name(row), member,
				json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY), text);
	json_object_foreach((json_t *)said, member, value)
		if (!json_object_get(want, member) && !may_be_more(row, member))
			fail_msg("%s: %s: nobody wants \"%s\" in %s", s->p->name, row_name(row), member, text);
	free(text);
}
