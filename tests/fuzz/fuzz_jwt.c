/*
 * A key set on the first line, a token on the second.  What verifies by the legacy
 * secret has the MAC that OpenSSL makes of it, and a token never verifies by a set
 * without keys.
 */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include "base/crypto.h"
#include "base/jwt.h"
#include "core/claims.h"

static const char secret[] = "a secret of the fuzz targets, 40 bytes..";

static struct jwks *
set_of(const char *text)
{
	struct buf said = BUF_INIT(1000000);
	struct err err = ERR_INIT;
	struct jwks *set = NULL;
	enum err_code rc = jwks_parse(text, strlen(text), &set, &err);

	MUST_SAY(rc, &err);
	MUST(rc == ERR_OK || rc == ERR_INVALID);
	if (!rc) {
		jwks_describe(set, &said);
		MUST(!said.err && (jwks_count(set) > 0) == (said.len > 0));
		MUST(is_utf8(buf_str(&said), said.len) && !has_control(buf_str(&said)));
	}
	buf_clear(&said);
	return set;
}

static void
mac_is_right(const char *token)
{
	const char *dot = strrchr(token, '.');
	struct buf signature = BUF_INIT(JWT_MAX_BYTES);
	uint8_t mac[SHA256_BYTES];

	MUST(dot && base64url_decode(&signature, dot + 1, strlen(dot + 1)) == ERR_OK);
	MUST(hmac_sha256(secret, sizeof secret - 1, token, (size_t)(dot - token), mac, NULL) == ERR_OK);
	MUST(crypto_equal(buf_str(&signature), signature.len, mac, sizeof mac));
	buf_clear(&signature);
}

static void
try_verify(const struct jwt *jwt, const char *token, const struct jwks *set, bool legacy)
{
	struct err err = ERR_INIT;
	enum err_code rc = jwt_verify(jwt, set, &err);

	MUST_SAY(rc, &err);
	MUST(rc == ERR_OK || rc == ERR_NOT_FOUND || rc == ERR_UNAUTHORIZED);
	if (rc)
		return;
	MUST(jwks_count(set) > 0 && (strcmp(jwt->alg, "HS256") == 0) == legacy);
	if (legacy)
		mac_is_right(token);
}

static void
try_claims(const json_t *claims)
{
	const struct claims_rule rule = { .issuer = "https://project.supabase.co/auth/v1" };
	const int64_t now_s = 1700000000;
	struct err err = ERR_INIT;
	struct uuid user;
	int64_t until_s;
	enum err_code rc = claims_check(claims, &rule, now_s, &user, &until_s, &err);

	MUST_SAY(rc, &err);
	MUST(rc == ERR_OK || rc == ERR_UNAUTHORIZED || rc == ERR_FORBIDDEN);
	/* These words go into a header. */
	MUST(!has_control(err.text) && !strpbrk(err.text, "\"\\"));
	if (!rc)
		MUST(until_s > now_s && !json_is_true(json_object_get(claims, "is_anonymous")));
}

static void
try_token(const char *token, size_t len, const struct jwks *set, const struct jwks *legacy)
{
	struct err err = ERR_INIT;
	struct jwt jwt;
	enum err_code rc = jwt_read(token, len, &jwt, &err);

	MUST(rc == ERR_OK || rc == ERR_UNAUTHORIZED);
	MUST_SAY(rc, &err);
	MUST(!has_control(err.text) && !strpbrk(err.text, "\"\\"));
	if (!rc) {
		char *text = mem_strndup(token, len);

		MUST(text && len <= JWT_MAX_BYTES && json_is_object(jwt.claims) && jwt.alg);
		if (set)
			try_verify(&jwt, text, set, false);
		try_verify(&jwt, text, legacy, true);
		try_claims(jwt.claims);
		mem_free(text);
	}
	jwt_clear(&jwt);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct jwks *legacy;
	struct input in = INPUT(data, size);
	char *keys = input_line(&in), *token = input_line(&in), *exact;
	struct jwks *set;

	fuzz_begin();
	if (!legacy)
		MUST(jwks_of_secret(secret, &legacy, NULL) == ERR_OK);
	set = set_of(keys);
	exact = copy_exactly(token, strlen(token));
	try_token(exact, strlen(token), set, legacy);
	jwks_unref(&set);
	mem_free(exact);
	mem_free(token);
	mem_free(keys);
	return 0;
}
