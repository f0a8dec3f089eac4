/*
 * Tokens that we seal, and texts that we sign.  First line: whose keys; then what somebody brings as a token,
 * which is also what is sealed, opened again, and opened after a byte has changed.
 */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include "base/token.h"

/* What is sealed under a random key, somebody who does not have it cannot have made. */
static void
is_none_of_ours(const struct keyring *keys, const char *text, size_t len)
{
	char *plain = mem_alloc(TOKEN_MAX_PLAIN);
	size_t n = 12345;
	struct err err = ERR_INIT;
	enum err_code rc = token_open(keys, "list", text, len, plain, &n, &err);

	MUST(rc == ERR_INVALID && err.text[0] && n == 12345);
	mem_free(plain);
}

static void
comes_back(const struct keyring *keys, const char *p, size_t len)
{
	struct buf text = BUF_INIT(4096);
	char *plain = mem_alloc(TOKEN_MAX_PLAIN);
	enum err_code rc = token_seal(keys, "list", p, len, &text, NULL);
	size_t n;

	MUST((rc == ERR_TOO_BIG) == (len > TOKEN_MAX_PLAIN) && (!rc || rc == ERR_TOO_BIG));
	if (!rc) {
		MUST(strspn(buf_str(&text), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == text.len);
		MUST(token_open(keys, "list", buf_str(&text), text.len, plain, &n, NULL) == ERR_OK);
		MUST(n == len && memcmp(plain, p, len) == 0);
		MUST(token_open(keys, "webhook", buf_str(&text), text.len, plain, &n, NULL) == ERR_INVALID);
		text.p[len % text.len] ^= 1;
		MUST(token_open(keys, "list", buf_str(&text), text.len, plain, &n, NULL) == ERR_INVALID);
	}
	buf_clear(&text);
	mem_free(plain);
}

/* What is signed is a text: up to its first NUL. */
static void
is_signed(const struct keyring *keys, const char *text)
{
	struct buf signature = BUF_INIT(4096);

	MUST(token_verify(keys, "file", "1/outputs/x", text, NULL) == ERR_INVALID);
	MUST(token_sign(keys, "file", text, &signature, NULL) == ERR_OK);
	MUST(token_verify(keys, "file", text, buf_str(&signature), NULL) == ERR_OK);
	MUST(token_verify(keys, "list", text, buf_str(&signature), NULL) == ERR_INVALID);
	signature.p[strlen(text) % signature.len] ^= 1;
	MUST(token_verify(keys, "file", text, buf_str(&signature), NULL) == ERR_INVALID);
	buf_clear(&signature);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = INPUT(data, size);
	char *secrets = input_line(&in), *exact = copy_exactly(in.p, in.len), *text;
	size_t len = in.len;
	struct keyring *keys = NULL;
	struct err err = ERR_INIT;
	enum err_code rc;

	fuzz_begin();
	rc = keyring_new(secrets, &keys, &err);
	MUST(rc == ERR_OK || rc == ERR_CONFIG);
	MUST_SAY(rc, &err);
	if (!rc) {
		MUST(strlen(secrets) >= 16);
		text = input_rest(&in);
		is_none_of_ours(keys, exact, len);
		comes_back(keys, exact, len);
		if (len <= 16000)
			is_signed(keys, text);
		mem_free(text);
	}
	keyring_free(&keys);
	mem_free(exact);
	mem_free(secrets);
	return 0;
}
