/* Single words: ids, numbers, durations, base64, statuses, a traceparent. */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include <strings.h>

#include "base/crypto.h"
#include "base/generation.h"
#include "base/trace.h"
#include "core/caller.h"
#include "core/input.h"

static void
try_uuid(const char *s, size_t len)
{
	char text[UUID_TEXT_SIZE];
	struct uuid id, again;

	if (uuid_parse(s, len, &id))
		return;
	uuid_format(&id, text);
	MUST(len == strlen(text) && strncasecmp(s, text, len) == 0);
	MUST(uuid_parse(text, strlen(text), &again) == ERR_OK && uuid_equal(&id, &again));
}

static void
try_number(const char *s, size_t len)
{
	uint64_t n, m;
	char text[32];

	if (parse_u64(s, len, 0, UINT64_MAX, &n)) {
		MUST(parse_u64(s, len, 0, 1000, &m) != ERR_OK);
		return;
	}
	snprintf(text, sizeof text, "%llu", (unsigned long long)n);
	MUST(parse_u64(text, strlen(text), n, n, &m) == ERR_OK && m == n);
	MUST(len >= strlen(text) && memcmp(s + len - strlen(text), text, strlen(text)) == 0);
	MUST((n <= 1000) == (parse_u64(s, len, 0, 1000, &m) == ERR_OK));
}

static void
try_hex(const char *s)
{
	uint8_t bytes[8];
	char text[2 * sizeof bytes + 1];

	if (hex_decode(s, sizeof bytes, bytes))
		return;
	hex_encode(bytes, sizeof bytes, text);
	MUST(strcasecmp(s, text) == 0);
}

/* What decodes is what encodes to it, and nothing else. */
static void
try_base64(const char *s, size_t len, enum err_code (*decode)(struct buf *, const char *, size_t),
	void (*encode)(struct buf *, const void *, size_t))
{
	struct buf plain = BUF_INIT(len), text = BUF_INIT(len);

	if (decode(&plain, s, len) == ERR_OK) {
		encode(&text, buf_str(&plain), plain.len);
		MUST(!text.err && text.len == len && memcmp(buf_str(&text), s, len) == 0);
	} else {
		MUST(plain.len == 0 && !plain.err);
	}
	buf_clear(&plain);
	buf_reset(&text);
	text.max = len * 2 + 4;
	encode(&text, s, len);
	MUST(!text.err && decode(&plain, buf_str(&text), text.len) == ERR_OK);
	MUST(plain.len == len && memcmp(buf_str(&plain), s, len) == 0);
	buf_clear(&plain);
	buf_clear(&text);
}

static void
try_urlenc(const char *s, size_t len)
{
	struct buf out = BUF_INIT(len * 3);

	buf_put_urlenc(&out, s, len, NULL);
	MUST(!out.err && out.len >= len && !has_control(buf_str(&out)) && is_utf8(buf_str(&out), out.len));
	MUST(!strpbrk(buf_str(&out), "/?#& +\""));
	buf_clear(&out);
}

static void
try_duration(const char *s)
{
	struct err err = ERR_INIT;
	uint64_t ms;
	enum err_code rc = cfg_parse_duration(s, &ms, &err);

	MUST(rc == ERR_OK || (rc == ERR_INVALID && err.text[0]));
	if (!rc && ms)
		MUST(s[0] >= '0' && s[0] <= '9' && strchr("smhd", s[strlen(s) - 1]));
}

static void
try_names(const char *s)
{
	enum gen_status status;
	enum gen_state state;

	if (!gen_status_parse(s, &status))
		MUST(strcmp(gen_status_name(status), s) == 0);
	if (!gen_state_parse(s, &state))
		MUST(strcmp(gen_state_name(state), s) == 0);
	if (traceparent_ok(s))
		MUST(strlen(s) == TRACEPARENT_SIZE - 1 && strspn(s, "0123456789abcdef-") == strlen(s));
}

static void
try_caller(const char *s)
{
	const struct settings settings = { .auth = AUTH_SERVER, .auth_param = (char *)"REMOTE_USER" };
	struct err err = ERR_INIT;
	struct uuid who, again;
	enum err_code rc = caller_identify(&settings, s, &who, &err);

	MUST_SAY(rc, &err);
	MUST((rc == ERR_UNAUTHORIZED) == !*s);
	if (!rc)
		MUST(caller_identify(&settings, s, &again, NULL) == ERR_OK && uuid_equal(&who, &again));
}

/* A path in the storage: what is somebody's own leads nowhere else. */
static void
try_path(const char *s)
{
	static const struct uuid owner = { { 1 } };
	static const char folder[] = "01000000-0000-0000-0000-000000000000/";

	if (!input_is_own(s, &owner))
		return;
	MUST(input_is_path(s) && strncmp(s, folder, sizeof folder - 1) == 0 && s[sizeof folder - 1]);
	MUST(!strstr(s, "//") && !strstr(s, "/../") && !strstr(s, "/./") && s[strlen(s) - 1] != '/');
	MUST(!has_control(s) && !strchr(s, '\\'));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = INPUT(data, size);
	char *exact = copy_exactly(in.p, in.len), *text = input_rest(&in);

	fuzz_begin();
	try_uuid(exact, size);
	try_number(exact, size);
	try_base64(exact, size, base64_decode, base64_encode);
	try_base64(exact, size, base64url_decode, base64url_encode);
	try_urlenc(exact, size);
	try_hex(text);
	try_duration(text);
	try_names(text);
	try_caller(text);
	try_path(text);
	mem_free(exact);
	mem_free(text);
	return 0;
}
