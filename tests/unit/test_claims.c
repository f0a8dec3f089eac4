#include "config.h"

#include "core/claims.h"

#include "base/buf.h"

#include "tests/unit/unit.h"

#define NOW 1795000000
#define ISSUER "https://ref.supabase.co/auth/v1"
#define USER "f47ac10b-58cc-4372-a567-0e02b2c3d479"

static const struct claims_rule users = { .issuer = ISSUER };
static const struct claims_rule everybody = { .issuer = ISSUER, .anonymous = true };

static enum err_code
check(const char *text, const struct claims_rule *rule, struct uuid *ret_user, int64_t *ret_until_s)
{
	json_t *claims = json_loads(text, 0, NULL);
	struct err err = ERR_INIT;
	enum err_code rc;

	assert_non_null(claims);
	rc = claims_check(claims, rule, NOW, ret_user, ret_until_s, &err);
	/* Goes into a header as it is. */
	assert_int_equal(strcspn(err.text, "\"\\\r\n"), strlen(err.text));
	assert_true(!rc || err.text[0]);
	json_decref(claims);
	return rc;
}

/* What Supabase Auth gives a user. */
#define GOOD "\"iss\": \"" ISSUER "\", \"sub\": \"" USER "\", \"aud\": \"authenticated\", \"exp\": 1795003600, " \
	"\"iat\": 1795000000, \"role\": \"authenticated\", \"aal\": \"aal1\", \"session_id\": \"s\", \"email\": \"a@b.c\", " \
	"\"app_metadata\": {\"provider\": \"email\"}, \"user_metadata\": {\"role\": \"service_role\"}, "

static void
takes_a_user(void **state)
{
	struct uuid user, want;
	int64_t until_s;

	(void)state;
	assert_int_equal(uuid_parse(USER, strlen(USER), &want), ERR_OK);
	assert_int_equal(check("{" GOOD "\"is_anonymous\": false}", &users, &user, &until_s), ERR_OK);
	assert_true(uuid_equal(&user, &want));
	assert_int_equal(until_s, 1795003660);
}

static void
judges_each_claim(void **state)
{
	/* A claim that is given once more takes the place of the first. */
	static const struct {
		const char *name, *more;
		enum err_code want;
	} rows[] = {
		{ "audience in a list", "\"aud\": [\"other\", \"authenticated\"]", ERR_OK },
		{ "wrong audience", "\"aud\": \"other\"", ERR_UNAUTHORIZED },
		{ "wrong audiences", "\"aud\": [\"other\", 7]", ERR_UNAUTHORIZED },
		{ "no audience in the list", "\"aud\": []", ERR_UNAUTHORIZED },
		{ "audience null", "\"aud\": null", ERR_UNAUTHORIZED },
		{ "audience in an object", "\"aud\": {\"authenticated\": 1}", ERR_UNAUTHORIZED },
		{ "an ID token for an OAuth client", "\"aud\": \"9a8b7c6d-5e4f-4a3b-8c2d-1e0f9a8b7c6d\", \"nonce\": \"n\"",
			ERR_UNAUTHORIZED },
		{ "another case of the audience", "\"aud\": \"Authenticated\"", ERR_UNAUTHORIZED },
		{ "wrong issuer", "\"iss\": \"https://other.supabase.co/auth/v1\"", ERR_UNAUTHORIZED },
		{ "issuer with a slash more", "\"iss\": \"" ISSUER "/\"", ERR_UNAUTHORIZED },
		{ "issuer of the project's keys", "\"iss\": \"supabase\"", ERR_UNAUTHORIZED },
		{ "issuer in a list", "\"iss\": [\"" ISSUER "\"]", ERR_UNAUTHORIZED },
		{ "role anon", "\"role\": \"anon\"", ERR_UNAUTHORIZED },
		{ "role service_role", "\"role\": \"service_role\"", ERR_UNAUTHORIZED },
		{ "no role", "\"role\": \"\"", ERR_UNAUTHORIZED },
		{ "role in a list", "\"role\": [\"authenticated\"]", ERR_UNAUTHORIZED },
		{ "sub no UUID", "\"sub\": \"alice\"", ERR_UNAUTHORIZED },
		{ "sub too long", "\"sub\": \"" USER "0\"", ERR_UNAUTHORIZED },
		{ "sub empty", "\"sub\": \"\"", ERR_UNAUTHORIZED },
		{ "sub a number", "\"sub\": 1", ERR_UNAUTHORIZED },
		{ "expired within the leeway", "\"exp\": 1794999941", ERR_OK },
		{ "expired", "\"exp\": 1794999940", ERR_UNAUTHORIZED },
		{ "expired long ago", "\"exp\": 0", ERR_UNAUTHORIZED },
		{ "exp a fraction", "\"exp\": 1795003600.5", ERR_OK },
		{ "exp a text", "\"exp\": \"1795003600\"", ERR_UNAUTHORIZED },
		{ "exp beyond all time", "\"exp\": 1e300", ERR_UNAUTHORIZED },
		{ "exp negative", "\"exp\": -1", ERR_UNAUTHORIZED },
		{ "exp null", "\"exp\": null", ERR_UNAUTHORIZED },
		{ "good soon, within the leeway", "\"nbf\": 1795000060", ERR_OK },
		{ "not good yet", "\"nbf\": 1795000061", ERR_UNAUTHORIZED },
		{ "nbf a text", "\"nbf\": \"now\"", ERR_UNAUTHORIZED },
		{ "made in the future", "\"iat\": 1795009000", ERR_OK },
		{ "anonymous", "\"is_anonymous\": true", ERR_FORBIDDEN },
		{ "anonymous, in words", "\"is_anonymous\": \"false\"", ERR_UNAUTHORIZED },
		{ "anonymous and expired", "\"is_anonymous\": true, \"exp\": 1", ERR_UNAUTHORIZED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct buf text = BUF_INIT(4096);
		struct uuid user;
		int64_t until_s;

		buf_printf(&text, "{" GOOD "%s}", rows[i].more);
		ASSERT_ROW(rows[i].name, check(buf_str(&text), &users, &user, &until_s) == rows[i].want);
		buf_clear(&text);
	}
}

static void
wants_each_claim(void **state)
{
	static const char *const names[] = { "iss", "sub", "aud", "exp", "role" };
	struct uuid user;
	int64_t until_s;

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		json_t *claims = json_loads("{" GOOD "\"jti\": \"j\"}", 0, NULL);

		json_object_del(claims, names[i]);
		ASSERT_ROW(names[i], claims_check(claims, &users, NOW, &user, &until_s, NULL) == ERR_UNAUTHORIZED);
		json_decref(claims);
	}
}

/* The project's legacy keys are signed as a user's token is. */
static void
the_projects_own_keys_are_no_users(void **state)
{
	static const char *const roles[] = { "anon", "service_role" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct buf text = BUF_INIT(4096);
		struct uuid user;
		int64_t until_s;

		buf_printf(&text, "{\"iss\": \"supabase\", \"ref\": \"ref\", \"role\": \"%s\", \"iat\": 1700000000, "
			"\"exp\": 2015000000}", roles[i]);
		ASSERT_ROW(roles[i], check(buf_str(&text), &everybody, &user, &until_s) == ERR_UNAUTHORIZED);
		buf_clear(&text);
	}
}

static void
anonymous_users_are_served_when_that_is_wished(void **state)
{
	struct uuid user;
	int64_t until_s;

	(void)state;
	assert_int_equal(check("{" GOOD "\"is_anonymous\": true}", &everybody, &user, &until_s), ERR_OK);
	assert_int_equal(check("{" GOOD "\"is_anonymous\": 1}", &everybody, &user, &until_s), ERR_UNAUTHORIZED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_a_user),
		cmocka_unit_test(judges_each_claim),
		cmocka_unit_test(wants_each_claim),
		cmocka_unit_test(the_projects_own_keys_are_no_users),
		cmocka_unit_test(anonymous_users_are_served_when_that_is_wished),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
