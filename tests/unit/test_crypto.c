#include "config.h"

#include "base/crypto.h"

#include "tests/unit/unit.h"

static void
assert_hex(const uint8_t md[SHA256_BYTES], const char *want)
{
	char hex[SHA256_HEX_SIZE];

	hex_encode(md, SHA256_BYTES, hex);
	assert_string_equal(hex, want);
}

/* The examples of FIPS 180 and the empty message. */
static void
sha256_of_fips_180(void **state)
{
	static const struct { const char *in, *want; } rows[] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb924"
			"27ae41e4649b934ca495991b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223"
			"b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
			"248d6a61d20638b8e5c026930c3e6039"
			"a33ce45964ff2167f6ecedd419db06c1" },
	};
	uint8_t md[SHA256_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_int_equal(sha256(rows[i].in, strlen(rows[i].in), md, NULL), ERR_OK);
		assert_hex(md, rows[i].want);
	}
	assert_int_equal(sha256(NULL, 0, md, NULL), ERR_OK);
	assert_hex(md, rows[0].want);
}

/* A million times "a", the long example of FIPS 180. */
static void
sha256_of_a_file(void **state)
{
	static const char want[] = "cdc76e5c9914fb9281a1c7e284d73e67"
		"f1809a48a497200e046d39ccc7112cd0";
	uint8_t md[SHA256_BYTES];
	struct err err = ERR_INIT;
	char as[1000];
	FILE *f = tmpfile();

	(void)state;
	assert_non_null(f);
	memset(as, 'a', sizeof as);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(fwrite(as, 1, sizeof as, f), sizeof as);
	assert_int_equal(fflush(f), 0);
	assert_int_equal(lseek(fileno(f), 77, SEEK_SET), 77);
	assert_int_equal(sha256_file(fileno(f), md, &err), ERR_OK);
	assert_hex(md, want);
	assert_int_equal(lseek(fileno(f), 0, SEEK_CUR), 77);
	fclose(f);

	assert_int_equal(err.code, ERR_OK);
	assert_int_equal(sha256_file(-1, md, &err), ERR_INTERNAL);
	assert_int_equal(err.code, ERR_INTERNAL);
	assert_hex(md, want);	/* untouched */
}

/* RFC 4231 section 4, without case 5, which cuts the result. */
static void
hmac_of_rfc_4231(void **state)
{
	static const struct {
		const char *key; size_t key_len; char key_fill;
		const char *data; size_t len; char fill;
		const char *want;
	} rows[] = {
		{ NULL, 20, 0x0b, "Hi There", 8, 0,
			"b0344c61d8db38535ca8afceaf0bf12b"
			"881dc200c9833da726e9376c2e32cff7" },
		{ "Jefe", 4, 0, "what do ya want for nothing?", 28, 0,
			"5bdcc146bf60754e6a042426089575c7"
			"5a003f089d2739839dec58b964ec3843" },
		{ NULL, 20, (char)0xaa, NULL, 50, (char)0xdd,
			"773ea91e36800e46854db8ebd09181a7"
			"2959098b3ef8c122d9635514ced565fe" },
		{ "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d"
			"\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19", 25, 0,
			NULL, 50, (char)0xcd,
			"82558a389a443c0ea4cc819899f2083a"
			"85f0faa3e578f8077a2e3ff46729665b" },
		{ NULL, 131, (char)0xaa,
			"Test Using Larger Than Block-Size Key - Hash Key First", 54, 0,
			"60e431591ee0b67f0d8a26aacbf5b77f"
			"8e0bc6213728c5140546040f0ee37f54" },
		{ NULL, 131, (char)0xaa,
			"This is a test using a larger than block-size key and a larger "
			"than block-size data. The key needs to be hashed before being "
			"used by the HMAC algorithm.", 152, 0,
			"9b09ffa71b942fcb27635fbcd5b0e944"
			"bfdc63644f0713938a7f51535c3a35e2" },
	};
	uint8_t md[SHA256_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char key[200], data[200];

		memset(key, rows[i].key_fill, sizeof key);
		memset(data, rows[i].fill, sizeof data);
		assert_int_equal(hmac_sha256(
			rows[i].key ? rows[i].key : key, rows[i].key_len,
			rows[i].data ? rows[i].data : data, rows[i].len,
			md, NULL), ERR_OK);
		assert_hex(md, rows[i].want);
	}
	/* Neither key nor data: not in the RFC, computed elsewhere. */
	assert_int_equal(hmac_sha256(NULL, 0, NULL, 0, md, NULL), ERR_OK);
	assert_hex(md, "b613679a0814d9ec772f95d778c35fc5"
		"ff1697c493715653c6c712144292c5ad");
}

static void
random_bytes_differ(void **state)
{
	uint8_t a[32] = { 0 }, b[32] = { 0 };

	(void)state;
	assert_int_equal(crypto_random(a, sizeof a, NULL), ERR_OK);
	assert_int_equal(crypto_random(b, sizeof b, NULL), ERR_OK);
	assert_memory_not_equal(a, b, sizeof a);
	assert_int_equal(crypto_random(a, 0, NULL), ERR_OK);
}

static void
compares(void **state)
{
	(void)state;
	assert_true(crypto_equal("abc", 3, "abc", 3));
	assert_true(crypto_equal(NULL, 0, "", 0));
	assert_false(crypto_equal("abc", 3, "abd", 3));
	assert_false(crypto_equal("abc", 3, "abcd", 4));
	assert_false(crypto_equal("abc", 3, "", 0));
	assert_false(crypto_equal("a\0b", 3, "a\0c", 3));
}

static void
hex_takes_every_byte(void **state)
{
	char hex[9];

	(void)state;
	hex_encode("\x00\x7f\x80\xff", 4, hex);
	assert_string_equal(hex, "007f80ff");
	hex_encode("", 0, hex);
	assert_string_equal(hex, "");
}

/* RFC 4648 section 10, and bytes that the two alphabets write differently. */
static void
base64_of_rfc_4648(void **state)
{
	static const struct { const char *in, *std, *url; } rows[] = {
		{ "", "", "" },
		{ "f", "Zg==", "Zg" },
		{ "fo", "Zm8=", "Zm8" },
		{ "foo", "Zm9v", "Zm9v" },
		{ "foob", "Zm9vYg==", "Zm9vYg" },
		{ "fooba", "Zm9vYmE=", "Zm9vYmE" },
		{ "foobar", "Zm9vYmFy", "Zm9vYmFy" },
		{ "\xfb\xef\xbe\xff\xff\xff", "++++////", "----____" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		size_t len = strlen(rows[i].in);
		struct buf b = BUF_INIT(100);

		base64_encode(&b, rows[i].in, len);
		assert_string_equal(buf_str(&b), rows[i].std);
		buf_reset(&b);
		base64url_encode(&b, rows[i].in, len);
		assert_string_equal(buf_str(&b), rows[i].url);
		buf_reset(&b);
		buf_puts(&b, "x");	/* appends */
		assert_int_equal(base64_decode(&b, rows[i].std, strlen(rows[i].std)), ERR_OK);
		assert_int_equal(b.len, 1 + len);
		assert_string_equal(b.p + 1, rows[i].in);
		buf_reset(&b);
		assert_int_equal(base64url_decode(&b, rows[i].url, strlen(rows[i].url)), ERR_OK);
		assert_int_equal(b.len, len);
		assert_string_equal(buf_str(&b), rows[i].in);
		buf_clear(&b);
	}
}

static void
base64_is_strict(void **state)
{
	typedef enum err_code decode(struct buf *, const char *, size_t);
	static const struct { const char *name; decode *f; const char *s; size_t len; } rows[] = {
		{ "no padding", base64_decode, "Zg", 2 },
		{ "half the padding", base64_decode, "Zg=", 3 },
		{ "too much padding", base64_decode, "Zm9v=", 5 },
		{ "a quad of padding", base64_decode, "Zm9v====", 8 },
		{ "only padding", base64_decode, "====", 4 },
		{ "three times padding", base64_decode, "Z===", 4 },
		{ "padding inside", base64_decode, "Zg==Zg==", 8 },
		{ "padding before the end", base64_decode, "Zm=v", 4 },
		{ "stray bits, one byte", base64_decode, "Zh==", 4 },
		{ "stray bits, highest", base64_decode, "Zo==", 4 },
		{ "stray bits, two bytes", base64_decode, "Zm9=", 4 },
		{ "newline at the end", base64_decode, "Zm9v\n", 5 },
		{ "blank inside", base64_decode, "Zm9 ", 4 },
		{ "the other alphabet", base64_decode, "--__", 4 },
		{ "NUL", base64_decode, "Zm9\0", 4 },
		{ "high bit", base64_decode, "Zm9\xf6", 4 },
		{ "a lone character", base64_decode, "Z", 1 },
		{ "url: padding", base64url_decode, "Zg==", 4 },
		{ "url: half the padding", base64url_decode, "Zm8=", 4 },
		{ "url: stray bits, one byte", base64url_decode, "Zh", 2 },
		{ "url: stray bits, two bytes", base64url_decode, "Zm9", 3 },
		{ "url: the other alphabet", base64url_decode, "++//", 4 },
		{ "url: a lone character", base64url_decode, "Z", 1 },
		{ "url: five characters", base64url_decode, "Zm9vZ", 5 },
		{ "url: newline", base64url_decode, "Zm9v\n", 5 },
		{ "url: dot", base64url_decode, "Zm9v.Zm9v", 9 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct buf b = BUF_INIT(100);

		buf_puts(&b, "before");
		if (rows[i].f(&b, rows[i].s, rows[i].len) != ERR_INVALID)
			fail_msg("%s", rows[i].name);
		assert_int_equal(b.err, ERR_OK);
		assert_int_equal(b.len, 6);
		assert_string_equal(buf_str(&b), "before");
		buf_clear(&b);
	}
}

/* One text for each value: before two "=" the last character has two bits that
 * count, before one it has four; so 4 and 16 of the 64 are right. */
static void
base64_is_canonical(void **state)
{
	int one = 0, two = 0;

	(void)state;
	for (int c = 0; c < 256; c++) {
		char s[4] = { 'Z', (char)c, '=', '=' };
		struct buf b = BUF_INIT(100);

		one += base64_decode(&b, s, 4) == ERR_OK;
		s[1] = 'm';
		s[2] = (char)c;
		two += base64_decode(&b, s, 4) == ERR_OK;
		buf_clear(&b);
	}
	assert_int_equal(one, 64 / 16);
	assert_int_equal(two, 64 / 4);
}

static void
base64_keeps_to_the_ceiling(void **state)
{
	struct buf b = BUF_INIT(2);

	(void)state;
	assert_int_equal(base64_decode(&b, "Zm9v", 4), ERR_TOO_BIG);
	assert_int_equal(b.err, ERR_TOO_BIG);
	buf_clear(&b);
	assert_int_equal(base64_decode(&b, "Zm8=", 4), ERR_OK);
	assert_int_equal(b.len, 2);
	buf_clear(&b);
	base64_encode(&b, "f", 1);
	assert_int_equal(b.err, ERR_TOO_BIG);
	buf_clear(&b);
}

static enum err_code
round_trip(void)
{
	struct buf text = BUF_INIT(1000), bytes = BUF_INIT(1000);
	enum err_code rc;

	for (int i = 0; i < 30; i++)
		base64_encode(&text, "foobar", 6);
	rc = text.err;
	if (!rc)
		rc = base64_decode(&bytes, text.p, text.len);
	buf_clear(&text);
	buf_clear(&bytes);
	return rc;
}

static void
short_of_memory(void **state)
{
	enum err_code rc;

	(void)state;
	ASSERT_SURVIVES_NOMEM(rc, rc = round_trip());
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_of_fips_180),
		cmocka_unit_test(sha256_of_a_file),
		cmocka_unit_test(hmac_of_rfc_4231),
		cmocka_unit_test(random_bytes_differ),
		cmocka_unit_test(compares),
		cmocka_unit_test(hex_takes_every_byte),
		cmocka_unit_test(base64_of_rfc_4648),
		cmocka_unit_test(base64_is_strict),
		cmocka_unit_test(base64_is_canonical),
		cmocka_unit_test(base64_keeps_to_the_ceiling),
		cmocka_unit_test(short_of_memory),
	};

	return cmocka_run_group_tests_name("crypto", tests, NULL, NULL);
}
