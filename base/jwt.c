#include "config.h"

#include "base/jwt.h"

#include <jose/jws.h>
#include <jose/openssl.h>
#include <openssl/err.h>
#include <stdatomic.h>

#include "base/crypto.h"
#include "base/json.h"

#define KEYS_MAX 100
#define KID_MAX_BYTES 256
#define RSA_MIN_CHARS 342		/* of the modulus in base64url: 2048 bits */

struct key {
	const char *alg;
	char *kid;			/* NULL: for any */
	json_t *jwk;
};

struct jwks {
	atomic_uint refs;
	size_t n;
	struct key keys[];
};

/* libjose would print its errors. */
static void
say_nothing(void *misc, const char *file, int line, uint64_t code, const char *fmt, va_list ap)
{
	(void)misc, (void)file, (void)line, (void)code, (void)fmt, (void)ap;
}

/* One for each call: its references are counted without a lock. */
static jose_cfg_t *
quiet(void)
{
	jose_cfg_t *cfg = jose_cfg();

	if (cfg)
		jose_cfg_set_err_func(cfg, say_nothing, NULL);
	return cfg;
}

/* ---- keys ---- */

static const char *
text_of(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static bool
is_text_or_absent(const json_t *object, const char *name, const char *text)
{
	const json_t *value = json_object_get(object, name);

	return !value || (json_is_string(value) && strcmp(json_string_value(value), text) == 0);
}

static bool
may_verify(const json_t *given)
{
	const json_t *ops = json_object_get(given, "key_ops");
	size_t i;
	const json_t *op;

	if (!is_text_or_absent(given, "use", "sig"))
		return false;
	if (!ops)
		return true;
	json_array_foreach(ops, i, op)
		if (json_is_string(op) && strcmp(json_string_value(op), "verify") == 0)
			return true;
	return false;
}

/* The public parts alone, and what it is for.  NULL: not for us. */
static json_t *
public_part(const json_t *given, const char **ret_alg)
{
	const char *kty = text_of(given, "kty"), *crv = text_of(given, "crv"), *n = text_of(given, "n");

	if (!kty || !may_verify(given))
		return NULL;
	if (strcmp(kty, "EC") == 0 && crv && strcmp(crv, "P-256") == 0 &&
	    is_text_or_absent(given, "alg", "ES256")) {
		*ret_alg = "ES256";
		return json_pack("{ss, ss, ss*, ss*, ss}", "kty", kty, "crv", crv, "x", text_of(given, "x"),
			"y", text_of(given, "y"), "alg", "ES256");
	}
	if (strcmp(kty, "RSA") == 0 && n && strlen(n) >= RSA_MIN_CHARS && is_text_or_absent(given, "alg", "RS256")) {
		*ret_alg = "RS256";
		return json_pack("{ss, ss, ss*, ss}", "kty", kty, "n", n, "e", text_of(given, "e"), "alg", "RS256");
	}
	return NULL;
}

/* Do its numbers make a key: a point on the curve, and so on? */
static bool
is_key(const json_t *jwk)
{
	jose_cfg_t *cfg = quiet();
	EVP_PKEY *key = cfg ? jose_openssl_jwk_to_EVP_PKEY(cfg, jwk) : NULL;

	EVP_PKEY_free(key);
	if (cfg)
		jose_cfg_decref(cfg);
	ERR_clear_error();
	return key;
}

static struct jwks *
keys_new(size_t n)
{
	struct jwks *keys = mem_calloc(1, sizeof *keys + n * sizeof *keys->keys);

	if (keys)
		atomic_init(&keys->refs, 1);
	return keys;
}

/* false: no memory. */
static bool
take_key(struct jwks *keys, const json_t *given)
{
	const char *kid = text_of(given, "kid"), *alg = NULL;
	json_t *jwk = kid && strlen(kid) <= KID_MAX_BYTES ? public_part(given, &alg) : NULL;
	struct key *key = &keys->keys[keys->n];

	if (!jwk || !is_key(jwk)) {
		json_decref(jwk);
		return true;
	}
	*key = (struct key){ .alg = alg, .kid = mem_strdup(kid), .jwk = jwk };
	keys->n++;
	return key->kid;
}

enum err_code
jwks_parse(const char *text, size_t len, struct jwks **ret, struct err *err)
{
	json_error_t why = { .line = 0 };
	json_t *doc = json_read(text, len, JSON_REJECT_DUPLICATES, &why);
	const json_t *list = json_object_get(doc, "keys"), *given;
	size_t n = json_array_size(list), i;
	struct jwks *keys = NULL;
	enum err_code rc = ERR_OK;

	if (!doc && json_error_code(&why) == json_error_out_of_memory)
		rc = err_set(err, ERR_NOMEM, "keys");
	else if (!json_is_array(list) || n > KEYS_MAX)
		rc = err_set(err, ERR_INVALID, "it is no JWK Set of at most %d keys", KEYS_MAX);
	else if (!(keys = keys_new(n)))
		rc = err_set(err, ERR_NOMEM, "keys");
	json_array_foreach(list, i, given)
		if (!rc && !take_key(keys, given))
			rc = err_set(err, ERR_NOMEM, "keys");
	/* Without memory a key looks like one that is not for us. */
	if (!json_lasted() && !rc)
		rc = err_set(err, ERR_NOMEM, "keys");
	json_decref(doc);
	if (rc)
		jwks_unref(&keys);
	else
		*ret = keys;
	return rc;
}

enum err_code
jwks_of_secret(const char *secret, struct jwks **ret, struct err *err)
{
	struct buf k = BUF_INIT(8192);
	struct jwks *keys;

	if (strlen(secret) < JWT_SECRET_MIN_BYTES)
		return err_set(err, ERR_CONFIG, "has to have at least %d characters", JWT_SECRET_MIN_BYTES);
	json_begin();
	base64url_encode(&k, secret, strlen(secret));
	keys = keys_new(1);
	if (keys && !k.err)
		keys->keys[0] = (struct key){
			.alg = "HS256",
			.jwk = json_pack("{ss, ss, ss}", "kty", "oct", "k", buf_str(&k), "alg", "HS256"),
		};
	buf_wipe(&k);
	if (!keys || !keys->keys[0].jwk) {
		jwks_unref(&keys);
		return err_set(err, ERR_NOMEM, "keys");
	}
	keys->n = 1;
	*ret = keys;
	return ERR_OK;
}

struct jwks *
jwks_ref(struct jwks *keys)
{
	atomic_fetch_add(&keys->refs, 1);
	return keys;
}

void
jwks_unref(struct jwks **pkeys)
{
	struct jwks *keys = *pkeys;

	*pkeys = NULL;
	if (!keys || atomic_fetch_sub(&keys->refs, 1) > 1)
		return;
	for (size_t i = 0; i < keys->n; i++) {
		mem_free(keys->keys[i].kid);
		json_decref(keys->keys[i].jwk);
	}
	mem_free(keys);
}

size_t
jwks_count(const struct jwks *keys)
{
	return keys->n;
}

/* Somebody else chose it, and it goes to a terminal. */
static void
put_kid(struct buf *out, const char *kid)
{
	for (; *kid; kid++)
		buf_putc(out, (unsigned char)*kid < 0x20 || *kid == 0x7f ? '?' : *kid);
}

void
jwks_describe(const struct jwks *keys, struct buf *out)
{
	for (size_t i = 0; i < keys->n; i++) {
		buf_printf(out, "%s%s ", i ? ", " : "", keys->keys[i].alg);
		put_kid(out, keys->keys[i].kid ? keys->keys[i].kid : "by secret");
	}
}

/* ---- tokens ---- */

static enum err_code
refuse(struct err *err, const char *why)
{
	return err_set(err, ERR_UNAUTHORIZED, "%s", why);
}

static const char malformed[] = "this is no JSON Web Token";

/* A JSON object in base64url; a member that is given twice makes it none. */
static enum err_code
read_part(const char *text, size_t len, json_t **ret, struct err *err)
{
	struct buf plain = BUF_INIT(JWT_MAX_BYTES + 1);
	json_error_t why = { .line = 0 };
	bool no_memory;

	no_memory = base64url_decode(&plain, text, len) == ERR_NOMEM;
	if (plain.len > 0)
		*ret = json_read(buf_str(&plain), plain.len, JSON_REJECT_DUPLICATES, &why);
	buf_clear(&plain);
	if (no_memory || (!*ret && why.text[0] && json_error_code(&why) == json_error_out_of_memory))
		return err_set(err, ERR_NOMEM, "token");
	return json_is_object(*ret) ? ERR_OK : refuse(err, malformed);
}

static bool
is_base64url(const char *text, size_t len)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t i = 0;

	while (i < len && strchr(alphabet, text[i]) && text[i])
		i++;
	return len > 0 && i == len;
}

static enum err_code
read_header(struct jwt *jwt, struct err *err)
{
	const json_t *kid = json_object_get(jwt->header, "kid");

	jwt->alg = text_of(jwt->header, "alg");
	jwt->kid = json_string_value(kid);
	if (!jwt->alg || (strcmp(jwt->alg, "ES256") != 0 && strcmp(jwt->alg, "RS256") != 0 &&
			strcmp(jwt->alg, "HS256") != 0))
		return refuse(err, "the token's algorithm is not taken");
	if (kid && !jwt->kid)
		return refuse(err, "the token's kid is no text");
	/* What it says has to be understood, and we understand nothing of the kind
	 * (RFC 7515 section 4.1.11). */
	if (json_object_get(jwt->header, "crit"))
		return refuse(err, "the token has critical header members");
	return ERR_OK;
}

enum err_code
jwt_read(const char *text, size_t len, struct jwt *ret, struct err *err)
{
	const char *dot1, *dot2;
	enum err_code rc;

	*ret = (struct jwt){ .claims = NULL };
	json_begin();
	if (len > JWT_MAX_BYTES)
		return refuse(err, "the token is too long");
	dot1 = memchr(text, '.', len);
	dot2 = dot1 ? memchr(dot1 + 1, '.', len - (size_t)(dot1 + 1 - text)) : NULL;
	if (!dot2 || !is_base64url(dot2 + 1, len - (size_t)(dot2 + 1 - text)))
		return refuse(err, malformed);
	rc = read_part(text, (size_t)(dot1 - text), &ret->header, err);
	if (!rc)
		rc = read_part(dot1 + 1, (size_t)(dot2 - dot1 - 1), &ret->payload, err);
	if (rc)
		return rc;
	ret->claims = ret->payload;
	ret->jws = json_pack("{ss%, ss%, ss%}", "protected", text, (size_t)(dot1 - text),
		"payload", dot1 + 1, (size_t)(dot2 - dot1 - 1),
		"signature", dot2 + 1, len - (size_t)(dot2 + 1 - text));
	if (!json_lasted() || !ret->jws)
		return err_set(err, ERR_NOMEM, "token");
	return read_header(ret, err);
}

void
jwt_clear(struct jwt *jwt)
{
	json_decref(jwt->header);
	json_decref(jwt->payload);
	json_decref(jwt->jws);
	*jwt = (struct jwt){ .claims = NULL };
}

static bool
is_for(const struct key *key, const struct jwt *jwt)
{
	return !key->kid || (jwt->kid && strcmp(key->kid, jwt->kid) == 0);
}

/* The key says its algorithm, and libjose refuses a header that says another. */
static bool
signed_by(const struct jwt *jwt, const struct key *key)
{
	jose_cfg_t *cfg = quiet();
	bool ret = cfg && strcmp(key->alg, jwt->alg) == 0 && jose_jws_ver(cfg, jwt->jws, NULL, key->jwk, false);

	if (cfg)
		jose_cfg_decref(cfg);
	ERR_clear_error();
	return ret;
}

enum err_code
jwt_verify(const struct jwt *jwt, const struct jwks *keys, struct err *err)
{
	bool known = false, good = false;

	json_begin();
	for (size_t i = 0; i < keys->n && !good; i++) {
		if (!is_for(&keys->keys[i], jwt))
			continue;
		known = true;
		good = signed_by(jwt, &keys->keys[i]);
	}
	/* libjose does not say why not; and what it says without memory is not to
	 * be relied on. */
	if (!json_lasted())
		return err_set(err, ERR_NOMEM, "token");
	if (good)
		return ERR_OK;
	if (!known && jwt->kid)
		return err_set(err, ERR_NOT_FOUND, "the token's kid is not known");
	return refuse(err, known ? "the token's signature is wrong" : "the token has no kid");
}
