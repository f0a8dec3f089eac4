#include "config.h"

#include "core/auth.h"

#include "base/clock.h"
#include "base/metrics.h"
#include "base/url.h"
#include "core/claims.h"
#include "core/keeper.h"
#include "core/keys.h"
#include "core/remember.h"
#include "core/service.h"
#include "storage/supabase.h"

#define REMEMBERED_MAX 10000

struct auth {
	struct buf jwks_url, issuer;
	struct claims_rule rule;
	struct jwks *secret;		/* NULL: HS256 is not taken */
	struct keys *keys;
	struct remembered *remembered;
};

#define AT(member) offsetof(struct auth_settings, member)

const struct cfg_row auth_options[] = {
	{ "allow_anonymous", CFG_BOOL, AT(allow_anonymous), .def = "off",
	  .doc = "With `auth = supabase`: whether users who signed in anonymously are served. They can make any "
		"number of accounts, and have a job in flight with each." },
	{ "supabase_jwks_url", CFG_STR, AT(jwks_url), .max = 1024,
	  .def_doc = "`supabase_url`/auth/v1/.well-known/jwks.json",
	  .doc = "Where the project's public keys are, which users' tokens are verified with." },
	{ "supabase_jwt_issuer", CFG_STR, AT(issuer), .max = 1024,
	  .def_doc = "`supabase_url`/auth/v1",
	  .doc = "The `iss` that users' tokens have to have." },
	{ "supabase_jwt_secret", CFG_STR, AT(secret), .max = 1024, .flags = CFG_SECRET,
	  .doc = "The legacy JWT secret, for a project that signs, or signed until lately, with HS256: at least 32 "
		"characters. Without it no HS256 token is taken. Leave it out once the project has its signing keys: who has "
		"it can be any user." },
	{ "supabase_jwks_life", CFG_DURATION, AT(jwks_life_ms), .def = "10m", .min = 1000, .max = 86400000,
	  .doc = "How often the public keys are fetched. A token that names a key that is not among them has them fetched "
		"at once, at most each half minute." },
	{ "supabase_jwks_stale", CFG_DURATION, AT(jwks_stale_ms), .def = "1h", .min = 1000, .max = 604800000,
	  .doc = "For how long after the last fetch the public keys are used while they cannot be fetched anew. By then "
		"tokens have ended, too, unless the project made them last longer." },
	CFG_END
};

void
auth_check(const struct auth_settings *s, const void *project, struct buf *mistakes)
{
	struct jwks *secret = NULL;
	struct url url = { .scheme = NULL };
	struct err err = ERR_INIT;

	if (!supabase_url(project) && !(s->jwks_url && s->issuer))
		cfg_mistake(mistakes, "supabase_url", "has to be set with auth = supabase");
	if (s->jwks_url && url_parse(s->jwks_url, &url))
		cfg_mistake(mistakes, "supabase_jwks_url", "has to be an http or https URL");
	if (s->secret && jwks_of_secret(s->secret, &secret, &err))
		cfg_mistake(mistakes, "supabase_jwt_secret", "%s", err.text);
	if (s->jwks_stale_ms < s->jwks_life_ms)
		cfg_mistake(mistakes, "supabase_jwks_stale", "must not be shorter than supabase_jwks_life");
	url_clear(&url);
	jwks_unref(&secret);
}

/* What is set, or its usual place in the project. */
static void
put_place(struct buf *out, const char *given, const void *project, const char *path)
{
	const char *base = supabase_url(project);
	size_t len = base ? strlen(base) : 0;

	if (given) {
		buf_puts(out, given);
		return;
	}
	buf_put(out, base ? base : "", len > 0 && base[len - 1] == '/' ? len - 1 : len);
	buf_puts(out, path);
}

/* Tokens of a key that is not in use any more are verified anew, and refused. */
static void
keys_changed(void *ctx)
{
	struct auth *a = ctx;

	remembered_forget(a->remembered);
}

enum err_code
auth_new(const struct auth_settings *s, const void *project, struct auth **ret, struct err *err)
{
	struct auth *a = mem_calloc(1, sizeof *a);
	enum err_code rc;

	if (!a)
		return err_set(err, ERR_NOMEM, "auth");
	a->jwks_url = (struct buf)BUF_INIT(4096);
	a->issuer = (struct buf)BUF_INIT(4096);
	put_place(&a->jwks_url, s->jwks_url, project, "/auth/v1/.well-known/jwks.json");
	put_place(&a->issuer, s->issuer, project, "/auth/v1");
	rc = a->jwks_url.err ? a->jwks_url.err : a->issuer.err;
	if (rc)
		err_set(err, rc, "auth");
	a->rule = (struct claims_rule){ .issuer = buf_str(&a->issuer), .anonymous = s->allow_anonymous };
	if (!rc && s->secret)
		rc = jwks_of_secret(s->secret, &a->secret, err);
	if (!rc)
		rc = remembered_new(REMEMBERED_MAX, &a->remembered, err);
	if (!rc)
		rc = keys_new(&(struct keys_settings){
			.url = buf_str(&a->jwks_url),
			/* The project's key is for the project alone. */
			.project = s->jwks_url ? NULL : project,
			.life_ms = s->jwks_life_ms, .stale_ms = s->jwks_stale_ms,
		}, keys_changed, a, &a->keys, err);
	if (rc)
		auth_free(&a);
	*ret = a;
	return rc;
}

void
auth_inherit(struct auth *a, struct auth *before)
{
	keys_inherit(a->keys, before->keys);
}

void
auth_free(struct auth **auth)
{
	struct auth *a = *auth;

	if (!a)
		return;
	keys_free(&a->keys);
	remembered_free(&a->remembered);
	jwks_unref(&a->secret);
	buf_clear(&a->issuer);
	buf_clear(&a->jwks_url);
	mem_free(a);
	*auth = NULL;
}

/* By the public keys that are known here.  ERR_NOT_FOUND: the token's is not one. */
static enum err_code
verify_by_keys(struct auth *a, const struct jwt *jwt, struct err *err)
{
	struct jwks *set = keys_get(a->keys);
	enum err_code rc;

	if (!set)
		return err_set(err, ERR_AUTH_UNAVAILABLE, "the keys at %s are not known", buf_str(&a->jwks_url));
	rc = jwt_verify(jwt, set, err);
	jwks_unref(&set);
	return rc;
}

static bool
needs_keys(enum err_code rc)
{
	return rc == ERR_AUTH_UNAVAILABLE || rc == ERR_NOT_FOUND;
}

/* A process that has one request looks by itself: at what others have fetched, and,
 * if that does not do, at what there is. */
static enum err_code
verify_and_look(struct service *svc, const struct jwt *jwt, struct err *err)
{
	struct auth *a = svc->auth;
	enum err_code rc = verify_by_keys(a, jwt, err);

	for (int anew = 0; needs_keys(rc) && anew < 2; anew++) {
		keys_look(a->keys, svc, anew);
		rc = verify_by_keys(a, jwt, err);
	}
	return rc;
}

static enum err_code
verify(struct service *svc, const struct jwt *jwt, bool *ret_wait, struct err *err)
{
	struct auth *a = svc->auth;
	enum err_code rc;

	if (strcmp(jwt->alg, "HS256") == 0)
		return a->secret ? jwt_verify(jwt, a->secret, err)
			: err_set(err, ERR_UNAUTHORIZED, "the token's algorithm is not taken");
	rc = svc->one_request ? verify_and_look(svc, jwt, err) : verify_by_keys(a, jwt, err);
	if (needs_keys(rc))
		*ret_wait = keeper_want(svc->keeper);
	return rc == ERR_NOT_FOUND ? ERR_UNAUTHORIZED : rc;
}

/* The cheap part first: what is said decides who waits for keys. */
static enum err_code
judge(struct service *svc, const char *token, size_t len, struct uuid *ret_user, int64_t *ret_until_s,
	bool *ret_wait, struct err *err)
{
	struct jwt jwt;
	enum err_code rc = jwt_read(token, len, &jwt, err);

	if (!rc)
		rc = claims_check(jwt.claims, &svc->auth->rule, clock_wall_us() / 1000000, ret_user, ret_until_s, err);
	/* What an anonymous user is told has to be true. */
	if (!rc || rc == ERR_FORBIDDEN) {
		struct err why = ERR_INIT;
		enum err_code bad = verify(svc, &jwt, ret_wait, &why);

		if (bad) {
			rc = bad;
			if (err)
				*err = why;
		}
	}
	jwt_clear(&jwt);
	return rc;
}

enum err_code
auth_token(struct service *svc, const char *token, size_t len, struct uuid *ret_user, bool *ret_wait,
	struct err *err)
{
	struct auth *a = svc->auth;
	uint8_t digest[SHA256_BYTES];
	struct uuid user;
	int64_t until_s = 0;
	unsigned epoch;
	enum err_code rc = sha256(token, len, digest, err);

	*ret_wait = false;
	if (rc)
		return rc;
	if (remembered_find(a->remembered, digest, clock_wall_us() / 1000000, ret_user, &epoch)) {
		metric_add(METRIC_TOKENS, 1, "remembered");
		return ERR_OK;
	}
	rc = judge(svc, token, len, &user, &until_s, ret_wait, err);
	if (!rc) {
		remembered_put(a->remembered, digest, &user, until_s, epoch);
		*ret_user = user;
	}
	if (!*ret_wait)
		metric_add(METRIC_TOKENS, 1, !rc ? "verified" : rc == ERR_AUTH_UNAVAILABLE ? "no_keys" : "refused");
	return rc;
}

struct keys *
auth_keys(struct auth *a)
{
	return a->keys;
}

bool
auth_has_secret(const struct auth *a)
{
	return a->secret;
}

const char *
auth_issuer(const struct auth *a)
{
	return a->rule.issuer;
}

const char *
auth_jwks_url(const struct auth *a)
{
	return buf_str(&a->jwks_url);
}
