#include "config.h"

#include "base/token.h"

#include "base/crypto.h"
#include "tests/unit/unit.h"

#define SECRET_A "correct horse battery staple"
#define SECRET_B "0123456789abcdef"

#define MAX_TEXT 400

static struct keyring *
make_keys(const char *secrets)
{
	struct keyring *k = NULL;

	assert_int_equal(keyring_new(secrets, &k, NULL), ERR_OK);
	assert_non_null(k);
	return k;
}

static enum err_code
open_text(const struct keyring *keys, const char *purpose, const char *s, size_t len)
{
	uint8_t plain[TOKEN_MAX_PLAIN], before[TOKEN_MAX_PLAIN];
	size_t plain_len = 12345;
	enum err_code rc;

	memset(plain, 0x5a, sizeof plain);
	memset(before, 0x5a, sizeof before);
	rc = token_open(keys, purpose, s, len, plain, &plain_len, NULL);
	if (rc) {
		assert_int_equal(plain_len, 12345);
		assert_memory_equal(plain, before, sizeof plain);
	}
	return rc;
}

static void
seals_and_opens(void **state)
{
	static const size_t lens[] = { 0, 1, 2, 3, 15, 16, 17, 255, 256 };
	struct keyring *k = make_keys(SECRET_A);
	uint8_t plain[TOKEN_MAX_PLAIN], got[TOKEN_MAX_PLAIN];
	size_t got_len;

	(void)state;
	for (size_t i = 0; i < sizeof plain; i++)
		plain[i] = (uint8_t)(i * 7);
	for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
		struct buf b = BUF_INIT(MAX_TEXT);

		assert_int_equal(token_seal(k, "webhook", plain, lens[i], &b, NULL), ERR_OK);
		assert_int_equal(b.len, ((29 + lens[i]) * 4 + 2) / 3);
		assert_int_equal(strspn(b.p, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			"abcdefghijklmnopqrstuvwxyz0123456789-_"), b.len);
		got_len = 999;
		assert_int_equal(token_open(k, "webhook", b.p, b.len, got, &got_len, NULL), ERR_OK);
		assert_int_equal(got_len, lens[i]);
		if (got_len)
			assert_memory_equal(got, plain, got_len);
		buf_clear(&b);
	}
	keyring_free(&k);
	assert_null(k);
	keyring_free(&k);
}

/* Made with Python's `cryptography` from the description in token.h, so that a
 * change of the form does not pass unseen: tokens outlive a deployment. */
static void
opens_what_others_made(void **state)
{
	static const char text[] = "AQABAgMEBQYHCAkKCwHvLm3pLZM_RVXaFTjMMMNFG8mWxA";
	struct keyring *k = make_keys(SECRET_A);
	uint8_t plain[TOKEN_MAX_PLAIN];
	size_t len = 0;

	(void)state;
	assert_int_equal(token_open(k, "webhook", text, strlen(text), plain, &len, NULL), ERR_OK);
	assert_int_equal(len, 5);
	assert_memory_equal(plain, "hello", 5);
	keyring_free(&k);
}

static void
never_seals_twice_alike(void **state)
{
	struct keyring *k = make_keys(SECRET_A);
	struct buf a = BUF_INIT(MAX_TEXT), b = BUF_INIT(MAX_TEXT);

	(void)state;
	assert_int_equal(token_seal(k, "webhook", "same", 4, &a, NULL), ERR_OK);
	assert_int_equal(token_seal(k, "webhook", "same", 4, &b, NULL), ERR_OK);
	assert_string_not_equal(buf_str(&a), buf_str(&b));
	buf_clear(&a);
	buf_clear(&b);
	keyring_free(&k);
}

static void
takes_no_more_than_fits(void **state)
{
	struct keyring *k = make_keys(SECRET_A);
	struct buf b = BUF_INIT(MAX_TEXT), small = BUF_INIT(20);
	uint8_t plain[TOKEN_MAX_PLAIN + 1] = { 0 };
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(token_seal(k, "webhook", plain, sizeof plain, &b, &err), ERR_TOO_BIG);
	assert_int_equal(err.code, ERR_TOO_BIG);
	assert_int_equal(b.len, 0);
	assert_int_equal(token_seal(k, "webhook", "x", 1, &small, &err), ERR_TOO_BIG);
	buf_clear(&b);
	buf_clear(&small);
	keyring_free(&k);
}

static void
keys_can_be_replaced(void **state)
{
	static const struct { const char *name, *secrets, *purpose; int rc; } rows[] = {
		{ "the same", SECRET_A, "webhook", ERR_OK },
		{ "behind a new one", SECRET_B "," SECRET_A, "webhook", ERR_OK },
		{ "blanks around", " " SECRET_B " ,\t" SECRET_A "\r\n", "webhook", ERR_OK },
		{ "gone", SECRET_B, "webhook", ERR_INVALID },
		{ "one letter off", SECRET_A "!", "webhook", ERR_INVALID },
		{ "another purpose", SECRET_A, "signed", ERR_INVALID },
		{ "a longer purpose", SECRET_A, "webhooks", ERR_INVALID },
		{ "a shorter purpose", SECRET_A, "webhoo", ERR_INVALID },
		{ "no purpose", SECRET_A, "", ERR_INVALID },
	};
	struct keyring *k = make_keys(SECRET_A "," SECRET_B);
	struct buf b = BUF_INIT(MAX_TEXT);

	(void)state;
	assert_int_equal(token_seal(k, "webhook", "hello", 5, &b, NULL), ERR_OK);
	keyring_free(&k);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		k = make_keys(rows[i].secrets);
		if (open_text(k, rows[i].purpose, b.p, b.len) != (enum err_code)rows[i].rc)
			fail_msg("%s", rows[i].name);
		keyring_free(&k);
	}
	buf_clear(&b);
}

static void
refuses_weak_secrets(void **state)
{
	static const struct { const char *name, *secrets, *says; } rows[] = {
		{ "none", "", "secret 1 has 0" },
		{ "blanks", "                    ", "secret 1 has 0" },
		{ "15 characters", "0123456789abcde", "secret 1 has 15" },
		{ "blanks do not count", " 0123456789abcde ", "secret 1 has 15" },
		{ "the second", SECRET_A ",short", "secret 2 has 5" },
		{ "a comma at the end", SECRET_A ",", "secret 2 has 0" },
		{ "a comma at the start", "," SECRET_A, "secret 1 has 0" },
		{ "a comma inside", "0123456789,abcdefghij", "secret 1 has 10" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct keyring *k = NULL;
		struct err err = ERR_INIT;

		if (keyring_new(rows[i].secrets, &k, &err) != ERR_CONFIG)
			fail_msg("%s", rows[i].name);
		assert_null(k);
		assert_non_null(strstr(err.text, rows[i].says));
		assert_null(strstr(err.text, "012345"));
	}
	assert_int_equal(mem_outstanding(), 0);
}

/* Every character in turn becomes every other byte, and every byte below the
 * text every other value. */
static void
every_change_is_seen(void **state)
{
	struct keyring *k = make_keys(SECRET_A "," SECRET_B);
	struct buf b = BUF_INIT(MAX_TEXT), raw = BUF_INIT(MAX_TEXT);

	(void)state;
	assert_int_equal(token_seal(k, "webhook", "hello", 5, &b, NULL), ERR_OK);
	for (size_t i = 0; i < b.len; i++)
		for (int x = 1; x < 256; x++) {
			b.p[i] = (char)(b.p[i] ^ x);
			if (open_text(k, "webhook", b.p, b.len) != ERR_INVALID)
				fail_msg("character %zu ^ %d", i, x);
			b.p[i] = (char)(b.p[i] ^ x);
		}
	assert_int_equal(base64url_decode(&raw, b.p, b.len), ERR_OK);
	for (size_t i = 0; i < raw.len; i++)
		for (int x = 1; x < 256; x++) {
			struct buf t = BUF_INIT(MAX_TEXT);

			raw.p[i] = (char)(raw.p[i] ^ x);
			base64url_encode(&t, raw.p, raw.len);
			raw.p[i] = (char)(raw.p[i] ^ x);
			if (open_text(k, "webhook", t.p, t.len) != ERR_INVALID)
				fail_msg("byte %zu ^ %d", i, x);
			buf_clear(&t);
		}
	assert_int_equal(open_text(k, "webhook", b.p, b.len), ERR_OK);
	buf_clear(&b);
	buf_clear(&raw);
	keyring_free(&k);
}

static void
every_length_is_seen(void **state)
{
	struct keyring *k = make_keys(SECRET_A);
	struct buf b = BUF_INIT(2000);
	char plain[64];

	(void)state;
	memset(plain, 'x', sizeof plain);
	assert_int_equal(token_seal(k, "webhook", plain, sizeof plain, &b, NULL), ERR_OK);
	for (size_t len = 0; len < b.len; len++) {
		assert_int_equal(open_text(k, "webhook", b.p, len), ERR_INVALID);
		assert_int_equal(open_text(k, "webhook", b.p + b.len - len, len), ERR_INVALID);
	}
	while (b.len < 1000) {
		buf_putc(&b, 'A');
		assert_int_equal(open_text(k, "webhook", b.p, b.len), ERR_INVALID);
	}
	buf_clear(&b);
	keyring_free(&k);
}

static enum err_code
whole_life(void)
{
	struct keyring *k = NULL;
	struct buf b = BUF_INIT(MAX_TEXT);
	uint8_t plain[TOKEN_MAX_PLAIN];
	size_t len;
	enum err_code rc;

	rc = keyring_new(SECRET_A "," SECRET_B, &k, NULL);
	if (rc)
		goto out;
	rc = token_seal(k, "webhook", "hello", 5, &b, NULL);
	if (rc)
		goto out;
	rc = token_open(k, "webhook", b.p, b.len, plain, &len, NULL);
out:
	buf_clear(&b);
	keyring_free(&k);
	return rc;
}

static void
short_of_memory(void **state)
{
	enum err_code rc;

	(void)state;
	ASSERT_SURVIVES_NOMEM(rc, rc = whole_life());
}

static void
signs_what_anybody_may_read(void **state)
{
	struct keyring *a = make_keys(SECRET_A), *b = make_keys(SECRET_B), *both = make_keys(SECRET_B "," SECRET_A);
	struct buf mac = BUF_INIT(MAX_TEXT), again = BUF_INIT(MAX_TEXT), small = BUF_INIT(42);
	char text[64];

	(void)state;
	assert_int_equal(token_sign(a, "file", "1/x", &mac, NULL), ERR_OK);
	assert_int_equal(token_sign(a, "file", "1/x", &again, NULL), ERR_OK);
	assert_int_equal(mac.len, 43);
	assert_string_equal(buf_str(&mac), buf_str(&again));
	assert_int_equal(token_sign(a, "file", "1/x", &small, NULL), ERR_TOO_BIG);
	assert_int_equal(token_verify(a, "file", "1/x", buf_str(&mac), NULL), ERR_OK);
	assert_int_equal(token_verify(both, "file", "1/x", buf_str(&mac), NULL), ERR_OK);
	assert_int_equal(token_verify(b, "file", "1/x", buf_str(&mac), NULL), ERR_INVALID);
	assert_int_equal(token_verify(a, "fil", "e1/x", buf_str(&mac), NULL), ERR_INVALID);
	assert_int_equal(token_verify(a, "file", "1/y", buf_str(&mac), NULL), ERR_INVALID);
	assert_int_equal(token_verify(a, "file", "1/x", "", NULL), ERR_INVALID);
	for (size_t i = 0; i < mac.len; i++) {
		snprintf(text, sizeof text, "%s", buf_str(&mac));
		text[i] = text[i] == 'A' ? 'B' : 'A';
		assert_int_equal(token_verify(a, "file", "1/x", text, NULL), ERR_INVALID);
		text[i] = '\0';
		assert_int_equal(token_verify(a, "file", "1/x", text, NULL), ERR_INVALID);
	}
	buf_clear(&mac);
	buf_clear(&again);
	buf_clear(&small);
	keyring_free(&a);
	keyring_free(&b);
	keyring_free(&both);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(seals_and_opens),
		cmocka_unit_test(opens_what_others_made),
		cmocka_unit_test(never_seals_twice_alike),
		cmocka_unit_test(takes_no_more_than_fits),
		cmocka_unit_test(keys_can_be_replaced),
		cmocka_unit_test(refuses_weak_secrets),
		cmocka_unit_test(every_change_is_seen),
		cmocka_unit_test(every_length_is_seen),
		cmocka_unit_test(signs_what_anybody_may_read),
		cmocka_unit_test(short_of_memory),
	};

	return cmocka_run_group_tests_name("token", tests, NULL, NULL);
}
