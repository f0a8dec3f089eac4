/*
 * What the storage answers: "put", "look", "sign" or "remove" on the first line, then an
 * answer (fuzz.h); behind a line "---" in its body the answer to a second request.
 *
 * The HTTP client is this file's own: it hands out what the input says.
 */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include "storage/storage.h"

static struct input answers;
static bool no_more;

/* Up to a line "---", or all. */
static struct input
next_answer(void)
{
	static const char between[] = "\n---\n";
	struct input ret = answers;

	for (size_t i = 0; i + sizeof between - 1 <= answers.len; i++)
		if (memcmp(answers.p + i, between, sizeof between - 1) == 0) {
			ret.len = i;
			answers.p += i + sizeof between - 1;
			answers.len -= i + sizeof between - 1;
			return ret;
		}
	no_more = true;
	return ret;
}

enum err_code
http_perform(struct http_client *client, const struct http_request *rq, struct http_response *rs, struct err *err)
{
	struct input in;

	(void)client;
	must_be_sendable(rq);
	if (no_more)
		return err_set(err, ERR_NO_ANSWER, "there is no further answer");
	in = next_answer();
	input_response(&in, rs);
	return ERR_OK;
}

static void *
settings(void)
{
	static const char *const env[] = {
		"GENGATE_SUPABASE_URL=https://project.supabase.co", "GENGATE_SUPABASE_KEY=sb_secret_x",
		"GENGATE_SUPABASE_INPUT_BUCKET=inputs", NULL,
	};
	static void *made;

	if (!made) {
		made = mem_calloc(1, storage_supabase.settings_size);
		MUST(made);
		fill_settings(storage_supabase.options, made, env);
	}
	return made;
}

static const char key[] = "owner/job/0-0123456789abcdef.png";

static void
try_put(void)
{
	static const uint8_t digest[SHA256_BYTES];
	const struct storage_file file = { .key = key, .fd = 0, .bytes = 68, .type = MEDIA_PNG, .sha256 = digest };
	struct err err = ERR_INIT;
	enum err_code rc = storage_supabase.put(settings(), NULL, &file, &err);

	MUST(rc == ERR_OK || rc == ERR_UPSTREAM || rc == ERR_REFUSED || rc == ERR_NO_ANSWER);
	MUST_SAY(rc, &err);
	MUST(err.wait_ms <= HTTP_RETRY_AFTER_MAX_MS);
}

static void
try_look(void)
{
	struct err err = ERR_INIT;
	enum err_code rc = storage_supabase.look(settings(), NULL, STORAGE_INPUTS, key, &err);

	MUST(rc == ERR_OK || rc == ERR_NOT_FOUND || rc == ERR_UPSTREAM || rc == ERR_REFUSED || rc == ERR_NO_ANSWER);
	MUST_SAY(rc, &err);
}

/* What is signed is shown to clients: it leads to the project, whatever it says. */
static void
try_sign(void)
{
	static const char begin[] = "https://project.supabase.co/storage/v1/object/sign/";
	struct buf url = BUF_INIT(8192);
	struct err err = ERR_INIT;
	enum err_code rc = storage_supabase.sign(settings(), NULL, STORAGE_OUTPUTS, key, 3600, &url, &err);

	MUST(rc == ERR_OK || rc == ERR_NOT_FOUND || rc == ERR_UPSTREAM || rc == ERR_REFUSED ||
		rc == ERR_NO_ANSWER || rc == ERR_TOO_BIG);
	MUST_SAY(rc, &err);
	if (!rc)
		MUST(strncmp(buf_str(&url), begin, sizeof begin - 1) == 0 && !has_control(buf_str(&url)));
	buf_clear(&url);
}

static void
try_remove(void)
{
	struct err err = ERR_INIT;
	enum err_code rc = storage_supabase.remove(settings(), NULL, STORAGE_INPUTS, key, &err);

	MUST(rc == ERR_OK || rc == ERR_UPSTREAM || rc == ERR_NO_ANSWER);
	MUST_SAY(rc, &err);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = INPUT(data, size);
	char *call = input_line(&in);

	fuzz_begin();
	answers = in;
	no_more = false;
	if (strcmp(call, "put") == 0)
		try_put();
	else if (strcmp(call, "look") == 0)
		try_look();
	else if (strcmp(call, "sign") == 0)
		try_sign();
	else if (strcmp(call, "remove") == 0)
		try_remove();
	mem_free(call);
	return 0;
}
