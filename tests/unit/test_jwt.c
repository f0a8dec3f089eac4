#include "config.h"

#include "base/jwt.h"

#include "base/json.h"
#include "tests/unit/tokens.h"
#include "tests/unit/unit.h"

#define SECRET "super-secret-jwt-token-with-at-least-32-characters-long"
#define CLAIMS "{\"sub\":\"somebody\"}"
#define TEXT_MAX 65536

/* Two that are in the set as "ec" and "rsa", and one that never is. */
static EVP_PKEY *ec, *rsa, *other;

static struct jwks *
parse(const char *text)
{
	struct jwks *keys = NULL;

	assert_int_equal(jwks_parse(text, strlen(text), &keys, NULL), ERR_OK);
	return keys;
}

static void
put_set(struct buf *out)
{
	buf_puts(out, "{\"keys\":[");
	put_jwk(out, ec, "ec", ",\"alg\":\"ES256\",\"use\":\"sig\",\"key_ops\":[\"verify\"]");
	buf_putc(out, ',');
	put_jwk(out, rsa, "rsa", ",\"alg\":\"RS256\",\"use\":\"sig\"");
	buf_puts(out, "]}");
}

static struct jwks *
both_keys(void)
{
	struct buf text = BUF_INIT(TEXT_MAX);
	struct jwks *keys;

	put_set(&text);
	keys = parse(buf_str(&text));
	buf_clear(&text);
	return keys;
}

static enum err_code
check_text(const struct jwks *keys, const char *text, size_t len)
{
	struct jwt jwt;
	struct err err = ERR_INIT;
	enum err_code rc = jwt_read(text, len, &jwt, &err);

	if (!rc)
		rc = jwt_verify(&jwt, keys, &err);
	/* Goes into a header as it is. */
	assert_int_equal(strcspn(err.text, "\"\\\r\n"), strlen(err.text));
	jwt_clear(&jwt);
	return rc;
}

static enum err_code
check_buf(const struct jwks *keys, struct buf *text)
{
	enum err_code rc;

	assert_int_equal(text->err, ERR_OK);
	rc = check_text(keys, buf_str(text), text->len);
	buf_clear(text);
	return rc;
}

static enum err_code
check(const struct jwks *keys, const char *header, const char *claims, EVP_PKEY *key)
{
	struct buf text = BUF_INIT(TEXT_MAX);

	put_token(&text, header, claims, key);
	return check_buf(keys, &text);
}

static void
verifies_what_a_key_signed(void **state)
{
	struct jwks *keys = both_keys();

	(void)state;
	assert_int_equal(jwks_count(keys), 2);
	assert_int_equal(check(keys, "{\"alg\":\"ES256\",\"kid\":\"ec\",\"typ\":\"JWT\"}", CLAIMS, ec), ERR_OK);
	assert_int_equal(check(keys, "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"JWT\"}", CLAIMS, rsa), ERR_OK);
	jwks_unref(&keys);
}

static void
refuses_what_it_did_not(void **state)
{
	static const struct {
		const char *name, *header;
		char key;
		enum err_code want;
	} rows[] = {
		{ "another key under the kid", "{\"alg\":\"ES256\",\"kid\":\"ec\"}", 'o', ERR_UNAUTHORIZED },
		{ "unknown kid", "{\"alg\":\"ES256\",\"kid\":\"new\"}", 'o', ERR_NOT_FOUND },
		{ "unknown kid, signed by a known key", "{\"alg\":\"ES256\",\"kid\":\"new\"}", 'e', ERR_NOT_FOUND },
		{ "no kid", "{\"alg\":\"ES256\"}", 'e', ERR_UNAUTHORIZED },
		{ "kid null", "{\"alg\":\"ES256\",\"kid\":null}", 'e', ERR_UNAUTHORIZED },
		{ "kid of another type", "{\"alg\":\"ES256\",\"kid\":[\"ec\"]}", 'e', ERR_UNAUTHORIZED },
		{ "kid of the other key", "{\"alg\":\"ES256\",\"kid\":\"rsa\"}", 'e', ERR_UNAUTHORIZED },
		{ "another algorithm than the key's", "{\"alg\":\"RS256\",\"kid\":\"ec\"}", 'e', ERR_UNAUTHORIZED },
		{ "none", "{\"alg\":\"none\",\"kid\":\"ec\"}", 'e', ERR_UNAUTHORIZED },
		{ "None", "{\"alg\":\"None\",\"kid\":\"ec\"}", 'e', ERR_UNAUTHORIZED },
		{ "no algorithm", "{\"kid\":\"ec\"}", 'e', ERR_UNAUTHORIZED },
		{ "algorithm of another type", "{\"alg\":1,\"kid\":\"ec\"}", 'e', ERR_UNAUTHORIZED },
		{ "one we do not take", "{\"alg\":\"PS256\",\"kid\":\"rsa\"}", 'r', ERR_UNAUTHORIZED },
		{ "a member twice", "{\"alg\":\"ES256\",\"kid\":\"new\",\"kid\":\"ec\"}", 'e', ERR_UNAUTHORIZED },
		{ "a critical member", "{\"alg\":\"ES256\",\"kid\":\"ec\",\"crit\":[\"exp\"],\"exp\":1}", 'e',
			ERR_UNAUTHORIZED },
		{ "header is an array", "[\"ES256\"]", 'e', ERR_UNAUTHORIZED },
		{ "header is no JSON", "{\"alg\":\"ES256\"", 'e', ERR_UNAUTHORIZED },
	};
	struct jwks *keys = both_keys();

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		EVP_PKEY *key = rows[i].key == 'e' ? ec : rows[i].key == 'r' ? rsa : other;

		ASSERT_ROW(rows[i].name, check(keys, rows[i].header, CLAIMS, key) == rows[i].want);
	}
	jwks_unref(&keys);
}

static void
refuses_claims_that_are_none(void **state)
{
	static const char *const rows[] = {
		"{\"sub\":\"a\",\"sub\":\"b\"}", "{\"sub\":{\"a\":1,\"a\":2}}", "[]", "\"sub\"", "", "{", "{\"a\":\"\\u0000\"}",
		"{\"a\":\"\xff\"}", "{}x",
	};
	struct jwks *keys = both_keys();

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		ASSERT_ROW(rows[i], check(keys, "{\"alg\":\"ES256\",\"kid\":\"ec\"}", rows[i], ec) == ERR_UNAUTHORIZED);
	jwks_unref(&keys);
}

/* The old trick: the verifier's public key is a text, and so a secret. */
static void
a_public_key_is_no_secret(void **state)
{
	struct jwks *keys = both_keys(), *secret = NULL;
	struct buf set = BUF_INIT(TEXT_MAX);
	static const char *const headers[] = {
		"{\"alg\":\"HS256\",\"kid\":\"ec\"}", "{\"alg\":\"HS256\",\"kid\":\"rsa\"}", "{\"alg\":\"HS256\"}",
	};

	(void)state;
	put_set(&set);
	assert_int_equal(jwks_of_secret(SECRET, &secret, NULL), ERR_OK);
	for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
		struct buf text = BUF_INIT(TEXT_MAX);

		put_hs256_token(&text, headers[i], CLAIMS, set.p, set.len);
		ASSERT_ROW(headers[i], check_text(keys, text.p, text.len) == ERR_UNAUTHORIZED);
		ASSERT_ROW(headers[i], check_text(secret, text.p, text.len) == ERR_UNAUTHORIZED);
		buf_clear(&text);
	}
	buf_clear(&set);
	jwks_unref(&keys);
	jwks_unref(&secret);
}

static void
a_secret_verifies_hs256_alone(void **state)
{
	struct jwks *keys = NULL;
	struct buf text = BUF_INIT(TEXT_MAX);

	(void)state;
	assert_int_equal(jwks_of_secret("too short by one: 31 characters", &keys, NULL), ERR_CONFIG);
	assert_int_equal(jwks_of_secret(SECRET, &keys, NULL), ERR_OK);
	put_hs256_token(&text, "{\"alg\":\"HS256\",\"typ\":\"JWT\"}", CLAIMS, SECRET, strlen(SECRET));
	assert_int_equal(check_buf(keys, &text), ERR_OK);
	put_hs256_token(&text, "{\"alg\":\"HS256\",\"kid\":\"any\"}", CLAIMS, SECRET, strlen(SECRET));
	assert_int_equal(check_buf(keys, &text), ERR_OK);
	put_hs256_token(&text, "{\"alg\":\"HS256\"}", CLAIMS, SECRET, strlen(SECRET) - 1);
	assert_int_equal(check_buf(keys, &text), ERR_UNAUTHORIZED);
	assert_int_equal(check(keys, "{\"alg\":\"ES256\",\"kid\":\"ec\"}", CLAIMS, ec), ERR_UNAUTHORIZED);
	jwks_unref(&keys);
}

/* Each text that differs from a good token in one character or is cut anywhere. */
static void
refuses_whatever_was_altered(void **state)
{
	struct jwks *keys = both_keys();
	struct buf text = BUF_INIT(TEXT_MAX);

	(void)state;
	put_token(&text, "{\"alg\":\"ES256\",\"kid\":\"ec\"}", CLAIMS, ec);
	assert_int_equal(check_text(keys, text.p, text.len), ERR_OK);
	for (size_t i = 0; i < text.len; i++) {
		char was = text.p[i];
		enum err_code rc;

		text.p[i] = was == 'A' ? 'B' : 'A';
		rc = check_text(keys, text.p, text.len);
		assert_true(rc == ERR_UNAUTHORIZED || rc == ERR_NOT_FOUND);
		text.p[i] = '=';
		assert_int_equal(check_text(keys, text.p, text.len), ERR_UNAUTHORIZED);
		text.p[i] = was;
		assert_int_equal(check_text(keys, text.p, i), ERR_UNAUTHORIZED);
	}
	buf_puts(&text, ".e30");
	assert_int_equal(check_buf(keys, &text), ERR_UNAUTHORIZED);
	jwks_unref(&keys);
}

static void
refuses_garbage_and_what_is_too_long(void **state)
{
	static const char *const rows[] = { "", ".", "..", "...", "a.b.c", "e30.e30.", "e30..e30", ".e30.e30", "e30.e30.e30",
		"sb_publishable_abc", "\xff\xfe" };
	struct jwks *keys = both_keys();
	struct buf claims = BUF_INIT(TEXT_MAX);

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		ASSERT_ROW(rows[i], check_text(keys, rows[i], strlen(rows[i])) == ERR_UNAUTHORIZED);
	buf_puts(&claims, "{\"a\":\"");
	for (int i = 0; i < 8000; i++)
		buf_putc(&claims, 'x');
	buf_puts(&claims, "\"}");
	assert_int_equal(check(keys, "{\"alg\":\"ES256\",\"kid\":\"ec\"}", buf_str(&claims), ec), ERR_OK);
	claims.len -= 2;
	for (int i = 0; i < 4000; i++)
		buf_putc(&claims, 'x');
	buf_puts(&claims, "\"}");
	assert_int_equal(check(keys, "{\"alg\":\"ES256\",\"kid\":\"ec\"}", buf_str(&claims), ec), ERR_UNAUTHORIZED);
	buf_clear(&claims);
	jwks_unref(&keys);
}

static size_t
count_of(EVP_PKEY *key, const char *kid, const char *more)
{
	struct buf text = BUF_INIT(TEXT_MAX);
	struct jwks *keys;
	size_t n;

	buf_puts(&text, "{\"keys\":[");
	put_jwk(&text, key, kid, more);
	buf_puts(&text, "]}");
	keys = parse(buf_str(&text));
	n = jwks_count(keys);
	jwks_unref(&keys);
	buf_clear(&text);
	return n;
}

static void
keeps_the_keys_that_are_for_us(void **state)
{
	EVP_PKEY *p384 = test_key("EC384", 0), *small = test_key("RSA", 1024);

	(void)state;
	assert_int_equal(count_of(ec, "k", ""), 1);
	assert_int_equal(count_of(ec, "k", ",\"alg\":\"ES256\""), 1);
	assert_int_equal(count_of(ec, "k", ",\"alg\":\"ES384\""), 0);
	assert_int_equal(count_of(ec, "k", ",\"alg\":\"HS256\""), 0);
	assert_int_equal(count_of(ec, "k", ",\"alg\":7"), 0);
	assert_int_equal(count_of(ec, "k", ",\"use\":\"enc\""), 0);
	assert_int_equal(count_of(ec, "k", ",\"key_ops\":[\"sign\"]"), 0);
	assert_int_equal(count_of(ec, "k", ",\"key_ops\":[\"sign\",\"verify\"]"), 1);
	assert_int_equal(count_of(rsa, "k", ""), 1);
	assert_int_equal(count_of(rsa, "k", ",\"alg\":\"PS256\""), 0);
	assert_int_equal(count_of(p384, "k", ""), 0);
	assert_int_equal(count_of(small, "k", ""), 0);
	EVP_PKEY_free(p384);
	EVP_PKEY_free(small);
}

static size_t
count_of_text(const char *text)
{
	struct jwks *keys = parse(text);
	size_t n = jwks_count(keys);

	jwks_unref(&keys);
	return n;
}

static void
leaves_out_what_is_no_key(void **state)
{
	(void)state;
	assert_int_equal(count_of_text("{\"keys\":[]}"), 0);
	assert_int_equal(count_of_text("{\"keys\":[1,null,\"x\",[],{}]}"), 0);
	assert_int_equal(count_of_text("{\"keys\":[{\"kty\":\"oct\",\"kid\":\"k\",\"k\":\"c2VjcmV0\"}]}"), 0);
	assert_int_equal(count_of_text("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k\"}]}"), 0);
	/* Not on the curve. */
	assert_int_equal(count_of_text("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k\","
		"\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\","
		"\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}]}"), 0);
}

static void
refuses_what_is_no_set(void **state)
{
	static const char *const rows[] = { "", "{}", "[]", "null", "{\"keys\":{}}", "{\"keys\":[]", "<html></html>",
		"{\"keys\":[],\"keys\":[]}" };
	struct jwks *keys = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		ASSERT_ROW(rows[i], jwks_parse(rows[i], strlen(rows[i]), &keys, NULL) == ERR_INVALID);
	assert_null(keys);
}

/* While keys are replaced nothing forbids two of one name. */
static void
tries_all_keys_of_a_kid(void **state)
{
	struct buf text = BUF_INIT(TEXT_MAX);
	struct jwks *keys;

	(void)state;
	buf_puts(&text, "{\"keys\":[");
	put_jwk(&text, other, "k", "");
	buf_putc(&text, ',');
	put_jwk(&text, ec, "k", "");
	buf_puts(&text, "]}");
	keys = parse(buf_str(&text));
	assert_int_equal(check(keys, "{\"alg\":\"ES256\",\"kid\":\"k\"}", CLAIMS, ec), ERR_OK);
	assert_int_equal(check(keys, "{\"alg\":\"ES256\",\"kid\":\"k\"}", CLAIMS, other), ERR_OK);
	jwks_unref(&keys);
	buf_clear(&text);
}

static void
survives_no_memory(void **state)
{
	struct buf text = BUF_INIT(TEXT_MAX);
	struct jwks *keys = NULL;
	enum err_code rc;

	(void)state;
	put_set(&text);
	json_begin();
	ASSERT_SURVIVES_NOMEM(rc, {
		rc = jwks_of_secret(SECRET, &keys, NULL);
		jwks_unref(&keys);
	});
	ASSERT_SURVIVES_NOMEM(rc, {
		rc = jwks_parse(text.p, text.len, &keys, NULL);
		jwks_unref(&keys);
	});
	assert_int_equal(jwks_parse(text.p, text.len, &keys, NULL), ERR_OK);
	buf_clear(&text);
	put_token(&text, "{\"alg\":\"ES256\",\"kid\":\"ec\"}", CLAIMS, ec);
	ASSERT_SURVIVES_NOMEM(rc, rc = check_text(keys, text.p, text.len));
	buf_clear(&text);
	put_token(&text, "{\"alg\":\"RS256\",\"kid\":\"rsa\"}", CLAIMS, rsa);
	ASSERT_SURVIVES_NOMEM(rc, rc = check_text(keys, text.p, text.len));
	jwks_unref(&keys);
	buf_clear(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verifies_what_a_key_signed),
		cmocka_unit_test(refuses_what_it_did_not),
		cmocka_unit_test(refuses_claims_that_are_none),
		cmocka_unit_test(a_public_key_is_no_secret),
		cmocka_unit_test(a_secret_verifies_hs256_alone),
		cmocka_unit_test(refuses_whatever_was_altered),
		cmocka_unit_test(refuses_garbage_and_what_is_too_long),
		cmocka_unit_test(keeps_the_keys_that_are_for_us),
		cmocka_unit_test(leaves_out_what_is_no_key),
		cmocka_unit_test(refuses_what_is_no_set),
		cmocka_unit_test(tries_all_keys_of_a_kid),
		cmocka_unit_test(survives_no_memory),
	};
	int rc;

	json_use_mem();
	ec = test_key("EC", 0);
	rsa = test_key("RSA", 2048);
	other = test_key("EC", 0);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	EVP_PKEY_free(ec);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(other);
	return rc;
}
