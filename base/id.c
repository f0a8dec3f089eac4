#include "config.h"

#include "base/id.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>
#include <time.h>

#include "base/crypto.h"

static void
set_version(struct uuid *id, unsigned version)
{
	id->b[6] = (uint8_t)(version << 4 | (id->b[6] & 0x0f));
	id->b[8] = (uint8_t)(0x80 | (id->b[8] & 0x3f));
}

void
uuid7_make(int64_t wall_ms, const uint8_t random[10], struct uuid *ret)
{
	uint64_t ms = (uint64_t)wall_ms;

	for (int i = 0; i < 6; i++)
		ret->b[i] = (uint8_t)(ms >> (40 - 8 * i));
	memcpy(ret->b + 6, random, 10);
	set_version(ret, 7);
}

enum err_code
uuid_new(struct uuid *ret, struct err *err)
{
	uint8_t random[10];
	struct timespec now;
	enum err_code rc;

	if (clock_gettime(CLOCK_REALTIME, &now) != 0 || now.tv_sec < 0)
		return err_set(err, ERR_INTERNAL, "the wall clock is not set");
	rc = crypto_random(random, sizeof random, err);
	if (rc)
		return rc;
	uuid7_make((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000, random, ret);
	return ERR_OK;
}

enum err_code
uuid5_make(const struct uuid *ns, const char *name, size_t len,
	struct uuid *ret, struct err *err)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int good;

	if (!ctx)
		return err_set(err, ERR_NOMEM, "SHA-1");
	good = EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) == 1 &&
	       EVP_DigestUpdate(ctx, ns->b, sizeof ns->b) == 1 &&
	       EVP_DigestUpdate(ctx, name, len) == 1 &&
	       EVP_DigestFinal_ex(ctx, md, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	if (!good) {
		ERR_clear_error();
		return err_set(err, ERR_INTERNAL, "SHA-1 is not to be had");
	}
	memcpy(ret->b, md, sizeof ret->b);
	set_version(ret, 5);
	return ERR_OK;
}

/* Where a hyphen stands in the text form. */
static bool
is_hyphen(size_t at)
{
	return at == 8 || at == 13 || at == 18 || at == 23;
}

void
uuid_format(const struct uuid *id, char out[UUID_TEXT_SIZE])
{
	char hex[2 * sizeof id->b + 1];
	const char *from = hex;

	hex_encode(id->b, sizeof id->b, hex);
	for (size_t i = 0; i < UUID_TEXT_SIZE; i++)
		out[i] = is_hyphen(i) ? '-' : *from++;
}

static int
hex_digit(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

enum err_code
uuid_parse(const char *s, size_t len, struct uuid *ret)
{
	struct uuid id = { { 0 } };
	size_t digits = 0;

	if (len != UUID_TEXT_SIZE - 1)
		return ERR_INVALID;
	for (size_t i = 0; i < len; i++) {
		int v = hex_digit((unsigned char)s[i]);

		if (is_hyphen(i)) {
			if (s[i] != '-')
				return ERR_INVALID;
			continue;
		}
		if (v < 0)
			return ERR_INVALID;
		id.b[digits / 2] = (uint8_t)(id.b[digits / 2] << 4 | v);
		digits++;
	}
	*ret = id;
	return ERR_OK;
}

bool
uuid_equal(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->b, b->b, sizeof a->b) == 0;
}
