#include "config.h"

#include "core/claims.h"

/* What a user's token is for, and as what it is one.  The project's own keys,
 * anon and service_role, are tokens with a right signature, too. */
static const char audience[] = "authenticated";
static const char user_role[] = "authenticated";

/* The end of the year 9999. */
#define TIME_MAX_S 253402300799.0

static enum err_code
refuse(struct err *err, const char *why)
{
	return err_set(err, ERR_UNAUTHORIZED, "%s", why);
}

static bool
is_text(const json_t *value, const char *text)
{
	return json_is_string(value) && strcmp(json_string_value(value), text) == 0;
}

/* One audience, or several. */
static bool
is_for(const json_t *aud, const char *whom)
{
	size_t i;
	const json_t *one;

	if (is_text(aud, whom))
		return true;
	json_array_foreach(aud, i, one)
		if (is_text(one, whom))
			return true;
	return false;
}

/* Seconds since 1970, perhaps with a fraction. */
static bool
read_time(const json_t *value, int64_t *ret_s)
{
	double s = json_number_value(value);

	if (!json_is_number(value) || s < 0 || s > TIME_MAX_S)
		return false;
	*ret_s = (int64_t)s;
	return true;
}

static enum err_code
check_times(const json_t *claims, int64_t now_s, int64_t *ret_until_s, struct err *err)
{
	const json_t *nbf = json_object_get(claims, "nbf");
	int64_t end_s, begin_s = 0;

	if (!read_time(json_object_get(claims, "exp"), &end_s))
		return refuse(err, "the token has no exp");
	if (nbf && !read_time(nbf, &begin_s))
		return refuse(err, "the token's nbf is no time");
	if (now_s >= end_s + CLAIMS_LEEWAY_S)
		return refuse(err, "the token has expired");
	if (now_s < begin_s - CLAIMS_LEEWAY_S)
		return refuse(err, "the token is not good yet");
	*ret_until_s = end_s + CLAIMS_LEEWAY_S;
	return ERR_OK;
}

static enum err_code
check_user(const json_t *claims, const struct claims_rule *rule, struct uuid *ret, struct err *err)
{
	const json_t *sub = json_object_get(claims, "sub"), *anonymous = json_object_get(claims, "is_anonymous");

	if (!json_is_string(sub) || uuid_parse(json_string_value(sub), json_string_length(sub), ret))
		return refuse(err, "the token's sub is no UUID");
	if (anonymous && !json_is_boolean(anonymous))
		return refuse(err, "the token's is_anonymous is neither true nor false");
	if (json_is_true(anonymous) && !rule->anonymous)
		return err_set(err, ERR_FORBIDDEN, "anonymous users are not served here");
	return ERR_OK;
}

enum err_code
claims_check(const json_t *claims, const struct claims_rule *rule, int64_t now_s,
	struct uuid *ret_user, int64_t *ret_until_s, struct err *err)
{
	struct uuid user;
	int64_t until_s = 0;
	enum err_code rc;

	if (!is_text(json_object_get(claims, "iss"), rule->issuer))
		return refuse(err, "the token is of another issuer");
	if (!is_for(json_object_get(claims, "aud"), audience))
		return refuse(err, "the token is for another audience");
	if (!is_text(json_object_get(claims, "role"), user_role))
		return refuse(err, "the token is of no user");
	rc = check_times(claims, now_s, &until_s, err);
	if (!rc)
		rc = check_user(claims, rule, &user, err);
	if (!rc) {
		*ret_user = user;
		*ret_until_s = until_s;
	}
	return rc;
}
