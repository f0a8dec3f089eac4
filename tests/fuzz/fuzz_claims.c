/* The claims of a token whose signature is right: a JSON document, as a user's issuer might write it. */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include "core/claims.h"

static const char issuer[] = "https://project.supabase.co/auth/v1";

static void
admitted(const json_t *claims, const struct uuid *user, int64_t until_s, int64_t now_s)
{
	const json_t *sub = json_object_get(claims, "sub");
	struct uuid again;

	MUST(strcmp(json_string_value(json_object_get(claims, "iss")), issuer) == 0);
	MUST(strcmp(json_string_value(json_object_get(claims, "role")), "authenticated") == 0);
	MUST(uuid_parse(json_string_value(sub), json_string_length(sub), &again) == ERR_OK);
	MUST(uuid_equal(user, &again) && until_s > now_s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const int64_t now_s = 1700000000;
	json_t *claims;

	fuzz_begin();
	claims = json_read((const char *)data, size, JSON_ALLOW_NUL, NULL);
	for (int anonymous = 0; claims && anonymous < 2; anonymous++) {
		const struct claims_rule rule = { .issuer = issuer, .anonymous = anonymous };
		struct err err = ERR_INIT;
		struct uuid user;
		int64_t until_s;
		enum err_code rc = claims_check(claims, &rule, now_s, &user, &until_s, &err);

		MUST(rc == ERR_OK || rc == ERR_UNAUTHORIZED || (rc == ERR_FORBIDDEN && !anonymous));
		MUST_SAY(rc, &err);
		if (!rc) {
			MUST(anonymous || !json_is_true(json_object_get(claims, "is_anonymous")));
			admitted(claims, &user, until_s, now_s);
		}
	}
	json_decref(claims);
	return 0;
}
