#include "config.h"

#include "fcgi/caller.h"

#include <strings.h>

#include "core/auth.h"
#include "core/caller.h"
#include "core/keeper.h"

/* Longer than the keys are looked for. */
#define KEYS_WAIT_MS 12000

/* The token of `Authorization: Bearer <token>` (RFC 6750 section 2.1); NULL: there is none. */
static const char *
bearer(const struct exchange *x, size_t *ret_len)
{
	static const char scheme[] = "Bearer ";
	const char *p = exchange_header(x, "authorization");

	if (!p || strncasecmp(p, scheme, sizeof scheme - 1) != 0)
		return NULL;
	p += strspn(p + sizeof scheme - 1, " ") + sizeof scheme - 1;
	*ret_len = strlen(p);
	while (*ret_len > 0 && p[*ret_len - 1] == ' ')
		--*ret_len;
	return p;
}

/* RFC 6750 section 3: a request without a token is told no error. */
static void
challenge(struct exchange *x, const struct err *err, bool had_token)
{
	struct buf value = BUF_INIT(1024);

	buf_puts(&value, "Bearer realm=\"gengate\"");
	if (had_token)
		buf_printf(&value, ", error=\"invalid_token\", error_description=\"%s\"", err->text);
	answer_header(x, "WWW-Authenticate", buf_str(&value));
	if (value.err)
		x->headers.err = value.err;
	buf_clear(&value);
}

static void
refuse(struct exchange *x, enum err_code rc, const struct err *err, bool had_token)
{
	if (rc == ERR_UNAUTHORIZED && x->svc->auth)
		challenge(x, err, had_token);
	if (rc == ERR_FORBIDDEN) {
		x->err = *err;
		answer_problem(x, rc, err->text, NULL);
	} else {
		answer_failure(x, rc, err);
	}
}

static enum err_code
by_token(struct exchange *x, const char *token, size_t len, bool *ret_wait, struct err *err)
{
	if (!token)
		return err_set(err, ERR_UNAUTHORIZED, "there is no bearer token");
	return auth_token(x->svc, token, len, &x->owner, ret_wait, err);
}

static enum err_code
by_server(struct exchange *x, struct err *err)
{
	const struct settings *s = x->svc->settings;
	const char *param = s->auth_param ? exchange_param(x, s->auth_param) : NULL;

	return caller_identify(s, param, &x->owner, err);
}

static void admit(struct exchange *x, bool may_wait);

static void
resume_admitted(struct exchange *x, enum watch_news news)
{
	(void)news;	/* whatever came: as far as it is known now */
	admit(x, false);
}

/* ERR_OK: it waits.  The look may have ended before it did. */
static enum err_code
wait_for_keys(struct exchange *x, unsigned looks)
{
	enum err_code rc = exchange_park(x, WATCH_KEYS, KEYS_WAIT_MS, resume_admitted);

	if (!rc && keeper_looks(x->svc->keeper) != looks)
		watches_poke_keys(x->svc->watches);
	return rc;
}

/* Not known, and perhaps after a look.  A token that might be good is not called bad
 * because too many wait. */
static enum err_code
wait_or_refuse(struct exchange *x, unsigned looks, enum err_code rc, struct err *err)
{
	enum err_code why = wait_for_keys(x, looks);

	if (!why)
		return ERR_OK;
	return why == ERR_OVERLOADED ? err_set(err, why, "no place to wait in for keys") : rc;
}

static void
admit(struct exchange *x, bool may_wait)
{
	struct err err = ERR_INIT;
	const char *token = NULL;
	size_t len = 0;
	unsigned looks = 0;
	bool wait = false;
	enum err_code rc;

	if (x->svc->auth) {
		looks = keeper_looks(x->svc->keeper);
		token = bearer(x, &len);
		rc = by_token(x, token, len, &wait, &err);
	} else {
		rc = by_server(x, &err);
	}
	x->has_owner = !rc;
	if (!rc) {
		x->handle(x);
		return;
	}
	if (wait && may_wait)
		rc = wait_or_refuse(x, looks, rc, &err);
	if (rc)
		refuse(x, rc, &err, token);
}

void
caller_admit(struct exchange *x)
{
	admit(x, true);
}

bool
caller_holds(struct exchange *x)
{
	struct err err = ERR_INIT;
	size_t len = 0;
	const char *token = bearer(x, &len);
	bool wait = false;
	enum err_code rc;

	if (!x->svc->auth)
		return true;
	rc = by_token(x, token, len, &wait, &err);
	/* Anything but a verdict says nothing of it, nor does one before the look that is on. */
	return wait || (rc != ERR_UNAUTHORIZED && rc != ERR_FORBIDDEN);
}
