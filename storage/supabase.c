/*
 * Supabase Storage by REST.  What it answers was observed on the real server
 * (github.com/supabase/storage): practically every refusal is HTTP 400 with the
 * truth in the body's `code` and `statusCode`.
 */
#include "config.h"

#include "storage/supabase.h"

#include "base/json.h"
#include "storage/storage.h"

/* The service's own statements may take 30 s; a video takes its time. */
#define PUT_TIMEOUT_MS (15 * 60 * 1000)
#define PUT_IDLE_MS 60000
#define INFO_TIMEOUT_MS 45000
#define REMOVE_TIMEOUT_MS 45000
#define SIGN_TIMEOUT_MS 45000

struct supabase {
	char *url;
	char *key;
	bool key_as_bearer;
	char *bucket;
	char *input_bucket;
};

static const struct cfg_row options[] = {
	{ "supabase_url", CFG_STR, offsetof(struct supabase, url), .max = 1024,
	  .doc = "The Supabase project: `https://<ref>.supabase.co`." },
	{ "supabase_key", CFG_STR, offsetof(struct supabase, key), .max = 4096, .flags = CFG_SECRET,
	  .doc = "A secret key of the project (`sb_secret_...`), or the legacy `service_role` key." },
	{ "supabase_key_as_bearer", CFG_BOOL, offsetof(struct supabase, key_as_bearer), .def = "off",
	  .doc = "Send a key that begins with `sb_` as `Authorization: Bearer`, too, for a gateway that "
		"wants both. A legacy key always goes in both." },
	{ "supabase_bucket", CFG_STR, offsetof(struct supabase, bucket),
	  .def = "outputs", .max = 100,
	  .doc = "The bucket that outputs are kept in. It has to exist." },
	{ "supabase_input_bucket", CFG_STR, offsetof(struct supabase, input_bucket), .max = 100,
	  .doc = "The private bucket that inputs are kept in: what users upload with a request, in "
		"`<user>/<job>/`, and what they have put into `<user>/` themselves. It has to exist. Without it "
		"inputs are https URLs and small `data:` URIs only." },
	CFG_END
};

static void
check(const void *settings, struct buf *mistakes)
{
	const struct supabase *s = settings;

	if (!s->url)
		cfg_mistake(mistakes, "supabase_url", "has to be set with storage = supabase");
	if (!s->key)
		cfg_mistake(mistakes, "supabase_key", "has to be set with storage = supabase");
	if (!s->bucket)
		cfg_mistake(mistakes, "supabase_bucket", "has to be set with storage = supabase");
	/* Whoever has a key's name would read it. */
	if (s->bucket && s->input_bucket && strcmp(s->bucket, s->input_bucket) == 0)
		cfg_mistake(mistakes, "supabase_input_bucket", "has to be another bucket than supabase_bucket");
}

static bool
takes_inputs(const void *settings)
{
	return ((const struct supabase *)settings)->input_bucket != NULL;
}

const char *
supabase_url(const void *settings)
{
	const struct supabase *s = settings;

	return s->url;
}

/* <url>/storage/v1/<route>/<bucket>/<key> */
static void
put_url(struct buf *out, const struct supabase *s, const char *route, enum storage_area area,
	const char *key)
{
	const char *bucket = area == STORAGE_INPUTS ? s->input_bucket : s->bucket;
	size_t len = strlen(s->url);

	buf_put(out, s->url, len > 0 && s->url[len - 1] == '/' ? len - 1 : len);
	buf_printf(out, "/storage/v1/%s/", route);
	buf_put_urlenc(out, bucket, strlen(bucket), NULL);
	buf_putc(out, '/');
	buf_put_urlenc(out, key, strlen(key), "/");
}

/* New keys go in `apikey` alone: some gateways refuse them as a Bearer.  Legacy
 * ones are JWTs and go in both. */
static enum err_code
add_key(const struct supabase *s, struct http_request *rq)
{
	struct buf bearer = BUF_INIT(8192);
	enum err_code rc = http_request_add_header(rq, "apikey", s->key);

	if (rc || (strncmp(s->key, "sb_", 3) == 0 && !s->key_as_bearer))
		return rc;
	buf_printf(&bearer, "Bearer %s", s->key);
	rc = bearer.err ? bearer.err : http_request_add_header(rq, "Authorization", buf_str(&bearer));
	buf_wipe(&bearer);
	return rc;
}

enum err_code
supabase_add_key(const void *settings, struct http_request *rq)
{
	const struct supabase *s = settings;

	return s->key ? add_key(s, rq) : ERR_OK;
}

static enum err_code
make_request(const struct supabase *s, const char *route, enum storage_area area,
	const char *key, struct http_request *rq, struct err *err)
{
	struct buf url = BUF_INIT(8192);
	enum err_code rc;

	put_url(&url, s, route, area, key);
	rc = url.err ? url.err : http_request_set_url(rq, buf_str(&url));
	if (!rc)
		rc = add_key(s, rq);
	buf_clear(&url);
	return rc ? err_set(err, rc, "request for %s", key) : ERR_OK;
}

/* An answer that is too large says nothing against the file: to the caller ERR_TOO_BIG
 * would be for good. */
static enum err_code
ask(struct http_client *http, struct http_request *rq, struct http_response *rs, struct err *err)
{
	enum err_code rc = http_perform(http, rq, rs, err);

	return rc == ERR_TOO_BIG ? err_prefix(err, ERR_UPSTREAM, "the storage's answer") : rc;
}

/* What a refusal means: by `code`, then by `statusCode`, then by HTTP status. */
struct refusal {
	bool exists;		/* the key is taken */
	bool gone;		/* there is no such key; the bucket is there */
	bool again;		/* worth another try */
	char text[200];		/* for the log */
};

static long
status_code(const json_t *body)
{
	const json_t *v = json_object_get(body, "statusCode");
	const char *s = json_string_value(v);
	uint64_t n = 0;

	if (json_is_integer(v))
		return (long)json_integer_value(v);
	if (s && parse_u64(s, strlen(s), 0, 999, &n))
		n = 0;
	return (long)n;
}

/*
 * A wrong key, a missing bucket or a redirect is the operator's to mend, and the
 * provider keeps the outputs for a while: not a reason to lose them.
 */
static bool
is_operators(long status)
{
	return (status >= 300 && status < 400) || status == 401 || status == 403 || status == 404;
}

/* The codes whose meaning we know, whatever status comes with them. */
static const struct known_code {
	const char *code;
	enum { FOR_GOOD, AGAIN, EXISTS, GONE } meaning;
} known_codes[] = {
	{ "KeyAlreadyExists", EXISTS },
	{ "NoSuchKey", GONE },
	/* The file's own fault. */
	{ "EntityTooLarge", FOR_GOOD },
	{ "InvalidKey", FOR_GOOD },
	{ "InvalidMimeType", FOR_GOOD },
	/* The operator's. */
	{ "AccessDenied", AGAIN },
	{ "InvalidBucketName", AGAIN },
	{ "InvalidJWT", AGAIN },
	{ "InvalidRequest", AGAIN },
	{ "NoSuchBucket", AGAIN },
	/* Today's trouble. */
	{ "Aborted", AGAIN },
	{ "DatabaseReadOnly", AGAIN },
	{ "DatabaseSchemaMismatch", AGAIN },
	{ "DatabaseTimeout", AGAIN },
	{ "InternalError", AGAIN },
	{ "LockTimeout", AGAIN },
	{ "ResourceLocked", AGAIN },
	{ "SlowDown", AGAIN },
};

static const struct known_code *
find_code(const char *code)
{
	for (size_t i = 0; code && i < sizeof known_codes / sizeof *known_codes; i++)
		if (strcmp(code, known_codes[i].code) == 0)
			return &known_codes[i];
	return NULL;
}

static void
read_refusal(const struct http_response *rs, struct refusal *ret)
{
	json_error_t why;
	json_t *body = json_read(buf_str(&rs->body), rs->body.len, JSON_ALLOW_NUL, &why);
	bool unread = !body && json_error_code(&why) == json_error_out_of_memory;
	const char *code = json_string_value(json_object_get(body, "code"));
	const char *message = json_string_value(json_object_get(body, "message"));
	const struct known_code *known = find_code(code);
	long status = status_code(body);
	bool cut_short;

	if (!status)
		status = rs->status;	/* a proxy's HTML, or nothing */
	/* The service's own 400 is a string; a number without a code is what its
	 * framework says when the body ended early. */
	cut_short = !code && status == 400 && json_is_integer(json_object_get(body, "statusCode"));
	ret->exists = known ? known->meaning == EXISTS : !unread && !code && status == 409;
	ret->gone = known && known->meaning == GONE;
	ret->again = known ? known->meaning == AGAIN || known->meaning == GONE
		: unread || is_operators(status) || cut_short || status == 408 || status == 423 ||
		status == 429 || status >= 500 || rs->status >= 500 || rs->status == 429;
	snprintf(ret->text, sizeof ret->text, "HTTP %ld, %s: %s", rs->status,
		code ? code : "no code", message ? message : "no message");
	json_decref(body);
}

/* What the storage knows of a file.  ERR_NOT_FOUND: there is none. */
static enum err_code
ask_info(const struct supabase *s, struct http_client *http, enum storage_area area,
	const char *key, json_t **ret, struct err *err)
{
	struct http_request rq = HTTP_REQUEST_INIT;
	struct http_response rs = HTTP_RESPONSE_INIT;
	struct refusal refusal;
	enum err_code rc;

	rc = make_request(s, "object/info", area, key, &rq, err);
	rq.timeout_ms = INFO_TIMEOUT_MS;
	if (!rc)
		rc = ask(http, &rq, &rs, err);
	if (!rc && rs.status != 200) {
		read_refusal(&rs, &refusal);
		rc = err_set(err, refusal.gone ? ERR_NOT_FOUND : refusal.again ? ERR_UPSTREAM : ERR_REFUSED,
			"looking at %s: %s", key, refusal.text);
	}
	if (!rc)
		*ret = json_read(buf_str(&rs.body), rs.body.len, JSON_ALLOW_NUL, NULL);
	http_request_clear(&rq);
	http_response_clear(&rs);
	return rc;
}

/* The key holds the content's hash, so the same size means the same file. */
static enum err_code
already_there(const struct supabase *s, struct http_client *http,
	const struct storage_file *file, struct err *err)
{
	json_t *info = NULL;
	const json_t *member;
	json_int_t size;
	struct err why = ERR_INIT;
	enum err_code rc = ask_info(s, http, file->area, file->key, &info, &why);

	if (rc)		/* not found: it has gone meanwhile */
		return err_set(err, rc == ERR_NOT_FOUND ? ERR_UPSTREAM : rc, "%s", why.text);
	member = json_object_get(info, "size");
	size = json_integer_value(member);
	if (!json_is_integer(member))	/* a proxy's page, or no memory */
		rc = err_set(err, ERR_UPSTREAM, "looking at %s, which is there already: no size", file->key);
	else if (size < 0 || (uint64_t)size != file->bytes)
		rc = err_set(err, ERR_REFUSED, "%s is there already with %lld bytes, not %llu",
			file->key, (long long)size, (unsigned long long)file->bytes);
	json_decref(info);
	return rc;
}

/* The service has one answer for what cannot be a key and what is none. */
static enum err_code
look(const void *settings, struct http_client *http, enum storage_area area, const char *key,
	struct err *err)
{
	json_t *info = NULL;
	enum err_code rc = ask_info(settings, http, area, key, &info, err);

	json_decref(info);
	return rc == ERR_REFUSED ? err_prefix(err, ERR_NOT_FOUND, "no such file") : rc;
}

static enum err_code
put(const void *settings, struct http_client *http, const struct storage_file *file,
	struct err *err)
{
	const struct supabase *s = settings;
	struct http_request rq = HTTP_REQUEST_INIT;
	struct http_response rs = HTTP_RESPONSE_INIT;
	struct refusal refusal;
	enum err_code rc;

	rc = make_request(s, "object", file->area, file->key, &rq, err);
	/* Bare: parameters would fail the bucket's list of types. */
	if (!rc)
		rc = http_request_add_header(&rq, "Content-Type", media_mime(file->type));
	/* Without it "no-cache" is stored. */
	if (!rc)
		rc = http_request_add_header(&rq, "Cache-Control", "max-age=31536000");
	rq.method = HTTP_POST;
	rq.body_fd = file->fd;
	rq.body_bytes = file->bytes;
	rq.timeout_ms = PUT_TIMEOUT_MS;
	rq.idle_timeout_ms = PUT_IDLE_MS;
	if (!rc)
		rc = ask(http, &rq, &rs, err);
	if (!rc && rs.status != 200) {
		read_refusal(&rs, &refusal);
		if (refusal.exists)
			rc = already_there(s, http, file, err);
		else
			rc = err_set(err, refusal.again ? ERR_UPSTREAM : ERR_REFUSED,
				"storing %s: %s", file->key, refusal.text);
		if (!refusal.exists)
			err_wait(err, http_retry_after_ms(&rs));
	}
	http_request_clear(&rq);
	http_response_clear(&rs);
	return rc;
}

/* No Content-Type: with an empty body the server would refuse it. */
static enum err_code
remove_file(const void *settings, struct http_client *http, enum storage_area area,
	const char *key, struct err *err)
{
	const struct supabase *s = settings;
	struct http_request rq = HTTP_REQUEST_INIT;
	struct http_response rs = HTTP_RESPONSE_INIT;
	struct refusal refusal;
	enum err_code rc;

	rc = make_request(s, "object", area, key, &rq, err);
	rq.method = HTTP_DELETE;
	rq.timeout_ms = REMOVE_TIMEOUT_MS;
	if (!rc)
		rc = ask(http, &rq, &rs, err);
	if (!rc && rs.status != 200) {
		read_refusal(&rs, &refusal);
		if (!refusal.gone)
			rc = err_set(err, ERR_UPSTREAM, "removing %s: %s", key, refusal.text);
	}
	http_request_clear(&rq);
	http_response_clear(&rs);
	return rc;
}

static enum err_code
public_url(const void *settings, enum storage_area area, const char *key, struct buf *out)
{
	put_url(out, settings, "object/public", area, key);
	return out->err;
}

/* "/object/sign/<bucket>/<key>?token=...", relative to /storage/v1.  No blank and
 * no control character is part of an address. */
static bool
is_signed_path(const char *path)
{
	static const char route[] = "/object/sign/";

	if (!path || strncmp(path, route, sizeof route - 1) != 0)
		return false;
	for (; *path; path++)
		if ((unsigned char)*path <= 0x20 || *path == 0x7f)
			return false;
	return true;
}

static enum err_code
read_signed(const struct supabase *s, const struct http_response *rs, struct buf *out, struct err *err)
{
	json_t *body = json_read(buf_str(&rs->body), rs->body.len, JSON_ALLOW_NUL, NULL);
	const char *path = json_string_value(json_object_get(body, "signedURL"));
	size_t len = strlen(s->url);
	enum err_code rc;

	if (is_signed_path(path)) {
		buf_put(out, s->url, len > 0 && s->url[len - 1] == '/' ? len - 1 : len);
		buf_puts(out, "/storage/v1");
		buf_puts(out, path);
		rc = out->err ? err_set(err, out->err, "signed address") : ERR_OK;
	} else {
		rc = err_set(err, ERR_UPSTREAM, "no signedURL in the answer");
	}
	json_decref(body);
	return rc;
}

static enum err_code
sign(const void *settings, struct http_client *http, enum storage_area area, const char *key,
	uint64_t life_s, struct buf *out, struct err *err)
{
	const struct supabase *s = settings;
	struct http_request rq = HTTP_REQUEST_INIT;
	struct http_response rs = HTTP_RESPONSE_INIT;
	struct refusal refusal;
	char body[64];
	enum err_code rc;

	rc = make_request(s, "object/sign", area, key, &rq, err);
	snprintf(body, sizeof body, "{\"expiresIn\":%llu}", (unsigned long long)life_s);
	rq.method = HTTP_POST;
	rq.timeout_ms = SIGN_TIMEOUT_MS;
	if (!rc)
		rc = http_request_add_header(&rq, "Content-Type", "application/json");
	if (!rc)
		rc = http_request_set_body(&rq, body, strlen(body));
	if (!rc)
		rc = ask(http, &rq, &rs, err);
	if (!rc && rs.status == 200) {
		rc = read_signed(s, &rs, out, err);
	} else if (!rc) {
		read_refusal(&rs, &refusal);
		rc = err_set(err, refusal.gone ? ERR_NOT_FOUND : refusal.again ? ERR_UPSTREAM : ERR_REFUSED,
			"signing %s: %s", key, refusal.text);
	}
	http_request_clear(&rq);
	http_response_clear(&rs);
	return rc;
}

const struct storage storage_supabase = {
	.name = "supabase",
	.title = "Supabase",
	.options = options,
	.settings_size = sizeof(struct supabase),
	.check = check,
	.takes_inputs = takes_inputs,
	.put = put,
	.remove = remove_file,
	.look = look,
	.public_url = public_url,
	.sign = sign,
};
