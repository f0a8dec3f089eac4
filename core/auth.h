/*
 * auth = supabase: a caller is who a Supabase user's token says.
 */
#ifndef GENGATE_CORE_AUTH_H
#define GENGATE_CORE_AUTH_H

#include "base/cfg.h"
#include "base/id.h"
#include "base/jwt.h"

struct auth;
struct keys;
struct service;

struct auth_settings {
	char *jwks_url;		/* NULL: the project's */
	char *issuer;		/* NULL: the project's */
	char *secret;		/* NULL: HS256 is not taken */
	bool allow_anonymous;
	uint64_t jwks_life_ms;
	uint64_t jwks_stale_ms;
};

extern const struct cfg_row auth_options[];

/* project: the settings of storage_supabase. */
void auth_check(const struct auth_settings *settings, const void *project, struct buf *mistakes);

/* All borrowed, and outlive it. */
enum err_code auth_new(const struct auth_settings *settings, const void *project, struct auth **ret,
	struct err *err) MUST_CHECK;
void auth_free(struct auth **auth);

/* The keys that another knows, as far as they are of use. */
void auth_inherit(struct auth *auth, struct auth *before);

/*
 * Whose token is it?  svc->auth is set.  Waits for nothing, but where
 * svc->one_request.
 * ERR_UNAUTHORIZED		it is nobody's; err says why, in fixed words
 * ERR_FORBIDDEN		an anonymous user's, who are not served
 * ERR_AUTH_UNAVAILABLE		no keys are known to verify it with
 * *ret_wait, with the first and the last of these: keys are being looked for, and it
 * is worth asking again when watches_poke_keys() tells.
 */
enum err_code auth_token(struct service *svc, const char *token, size_t len, struct uuid *ret_user,
	bool *ret_wait, struct err *err) MUST_CHECK;

struct keys *auth_keys(struct auth *auth);
bool auth_has_secret(const struct auth *auth);
const char *auth_issuer(const struct auth *auth);
const char *auth_jwks_url(const struct auth *auth);

#endif
