#include "config.h"

#include "core/check.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "core/auth.h"
#include "core/keys.h"
#include "core/sign.h"
#include "db/look.h"
#include "db/pauses.h"
#include "providers/adapter.h"

#define PROBE_TIMEOUT_MS 20000

/* What the configuration calls that member of struct provider_api. */
#define OPTION(t, member) adapter_option((t)->p, offsetof(struct provider_api, member))

/* The primary key that is the rule "so many jobs in flight per user". */
#define LIVE_KEY "owner_id, slot"
/* Webhooks are refused from 300 s on; half of that may be gone by tomorrow. */
#define CLOCK_MAX_S 60
#define LARGE_BYTES (1536 * 1024)

/* The storage takes no bytes that are no picture: one pixel. */
static const uint8_t pixel[] = {
	0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52,
	0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x00, 0x00, 0x00, 0x3a, 0x7e, 0x9b,
	0x55, 0x00, 0x00, 0x00, 0x0a, 0x49, 0x44, 0x41, 0x54, 0x78, 0xda, 0x63, 0x60, 0x00, 0x00, 0x00,
	0x02, 0x00, 0x01, 0xe5, 0x27, 0xde, 0xfc, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae,
	0x42, 0x60, 0x82,
};

struct trial {
	struct service *svc;
	const struct provider *p;	/* whom the lines are about: of several in use; or NULL */
	const void *provider_settings;
	check_say *say;
	void *ctx;
	size_t wrong;
};

static void __attribute__((format(printf, 5, 6)))
say(struct trial *t, const char *name, enum check_state state, const char *remedy, const char *fmt, ...)
{
	char text[700];
	struct check_line line = { .name = name, .state = state, .text = text, .remedy = remedy };
	int whose = t->p ? snprintf(text, sizeof text, "%s: ", t->p->title) : 0;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text + whose, sizeof text - (size_t)whose, fmt, ap);
	va_end(ap);
	if (state == CHECK_WRONG)
		t->wrong++;
	t->say(t->ctx, &line);
}

/* ---- the database ---- */

static void
try_statements(struct trial *t, const char *who)
{
	struct err err = ERR_INIT;

	if (db_prepare_all(t->svc->db, &err))
		say(t, "statements", CHECK_WRONG, "the schema is not the one that `gengate migrate` makes: restore "
			"what was changed by hand", "not every statement can be prepared: %s", err.text);
	else
		say(t, "statements", CHECK_GOOD, NULL, "every statement can be prepared as %s", who);
}

static void
say_rights(struct trial *t, const struct db_look *look)
{
	if (look->missing_rights)
		say(t, "rights", CHECK_WRONG, "as the owner of the tables: grant gengate_service to that role; "
			"if it is a member: select public.generation_rights();",
			"role %s lacks %s", look->who, look->missing_rights);
	else if (look->hidden_tables)
		say(t, "rights", CHECK_WRONG, "as the owner of the tables: grant gengate_service to that role",
			"row level security hides the rows of %s from role %s", look->hidden_tables, look->who);
	else
		say(t, "rights", CHECK_GOOD, NULL, "role %s may do what gengate does", look->who);
}

static void
say_live_key(struct trial *t, const struct db_look *look)
{
	if (look->live_key && strcmp(look->live_key, LIVE_KEY) == 0)
		say(t, "one_in_flight", CHECK_GOOD, NULL, "generation_live has its primary key (%s)", look->live_key);
	else
		say(t, "one_in_flight", CHECK_WRONG, "stop gengate, then: alter table public.generation_live "
			"add constraint generation_live_pkey primary key (" LIVE_KEY ");",
			"the primary key of generation_live is (%s), not (" LIVE_KEY "): users may have more jobs in flight "
			"than they should", look->live_key ? look->live_key : "none");
}

static void
say_realtime(struct trial *t, const struct db_look *look)
{
	if (look->has_realtime && look->in_realtime)
		say(t, "realtime", CHECK_GOOD, NULL, "generation_jobs is in publication supabase_realtime");
	else if (look->has_realtime)
		say(t, "realtime", CHECK_WRONG, "as the publication's owner: alter publication supabase_realtime "
			"add table public.generation_jobs;",
			"generation_jobs is not in publication supabase_realtime: owners are not told of changes");
}

static void
skip_schema(struct trial *t, const char *why)
{
	static const char *const names[] = { "one_in_flight", "rights", "statements" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		say(t, names[i], CHECK_SKIPPED, NULL, "%s", why);
}

static void
try_database(struct trial *t)
{
	struct db_look look = { .who = NULL };
	struct err err = ERR_INIT;
	enum err_code rc = db_look(t->svc->db, &look, &err);

	if (rc) {
		say(t, "database", CHECK_WRONG, "see that PostgreSQL runs and that database_url is right", "%s", err.text);
		say(t, "schema", CHECK_SKIPPED, NULL, "the database does not answer");
		skip_schema(t, "the database does not answer");
		return;
	}
	say(t, "database", CHECK_GOOD, NULL, "PostgreSQL answers, to role %s", look.who);
	rc = db_ready(t->svc->db, &err);
	if (rc && !look.missing_rights && !look.hidden_tables) {
		say(t, "schema", CHECK_WRONG, "run `gengate migrate`", "%s", err.text);
		skip_schema(t, "the schema is not there");
		db_look_clear(&look);
		return;
	}
	if (rc)
		say(t, "schema", CHECK_SKIPPED, NULL, "it cannot be seen without rights");
	else
		say(t, "schema", CHECK_GOOD, NULL, "it is the one that this gengate needs");
	say_live_key(t, &look);
	say_rights(t, &look);
	if (!look.missing_rights)
		try_statements(t, look.who);
	else
		say(t, "statements", CHECK_SKIPPED, NULL, "rights are missing");
	say_realtime(t, &look);
	db_look_clear(&look);
}

/* ---- the storage ---- */

static enum err_code
fetch(struct trial *t, const char *url, struct http_response *rs, struct err *err)
{
	struct http_request rq = HTTP_REQUEST_INIT;
	enum err_code rc = http_request_set_url(&rq, url);

	rq.timeout_ms = PROBE_TIMEOUT_MS;
	if (!rc)
		rc = http_perform(t->svc->http, &rq, rs, err);
	http_request_clear(&rq);
	return rc;
}

static bool
is_pixel(const struct http_response *rs)
{
	return rs->status == 200 && rs->body.len == sizeof pixel && memcmp(rs->body.p, pixel, sizeof pixel) == 0;
}

static bool
everybody_reads(struct trial *t, enum storage_area area, const char *key)
{
	struct buf url = BUF_INIT(16384);
	struct http_response rs = HTTP_RESPONSE_INIT;
	bool ret = !t->svc->storage->public_url(t->svc->storage_settings, area, key, &url) &&
		!fetch(t, buf_str(&url), &rs, NULL) && is_pixel(&rs);

	http_response_clear(&rs);
	buf_clear(&url);
	return ret;
}

/* As a browser does, without our key. */
static void
read_back(struct trial *t, const char *key)
{
	struct service *svc = t->svc;
	struct buf url = BUF_INIT(16384);
	struct http_response rs = HTTP_RESPONSE_INIT;
	struct err err = ERR_INIT;
	bool private = service_signs(svc);
	int64_t until_us;
	enum err_code rc = private ? sign_key(svc, key, &url, &until_us, &err)
		: svc->storage->public_url(svc->storage_settings, STORAGE_OUTPUTS, key, &url);

	if (!rc)
		rc = fetch(t, buf_str(&url), &rs, &err);
	if (rc)
		say(t, "storage_read", CHECK_WRONG, "see that the storage's public address is right and is served",
			"what was written cannot be read: %s", err.text);
	else if (private && !is_pixel(&rs))
		say(t, "storage_read", CHECK_WRONG, "see that supabase_url is right",
			"what was written cannot be read by its signed URL: HTTP %ld", rs.status);
	else if (!is_pixel(&rs))
		say(t, "storage_read", CHECK_WRONG, "with Supabase: make the bucket public; with a folder: see that the "
			"web server serves storage_dir under storage_public_url",
			"what was written cannot be read by everybody, as outputs = public needs: HTTP %ld", rs.status);
	else if (private && everybody_reads(t, STORAGE_OUTPUTS, key))
		say(t, "storage_read", CHECK_WRONG, "make the bucket private, or set outputs = public",
			"everybody can read what is written, though outputs = private");
	else
		say(t, "storage_read", CHECK_GOOD, NULL, "%s can read what is written",
			private ? "who has a signed URL" : "everybody");
	http_response_clear(&rs);
	buf_clear(&url);
}

static enum err_code
put_pixel(struct trial *t, enum storage_area area, const char *key, struct err *err)
{
	struct storage_file file = { .area = area, .key = key, .bytes = sizeof pixel, .type = MEDIA_PNG };
	uint8_t sha[SHA256_BYTES];
	FILE *f = tmpfile();
	enum err_code rc;

	if (!f || fwrite(pixel, sizeof pixel, 1, f) != 1 || fflush(f)) {
		rc = err_set(err, ERR_INTERNAL, "no temporary file");
	} else {
		file.fd = fileno(f);
		file.sha256 = sha;
		rc = sha256(pixel, sizeof pixel, sha, err);
		if (!rc)
			rc = t->svc->storage->put(t->svc->storage_settings, t->svc->http, &file, err);
	}
	if (f)
		fclose(f);
	return rc;
}

static void
try_outputs(struct trial *t, const char *key)
{
	const struct storage *storage = t->svc->storage;
	struct err err = ERR_INIT;

	if (put_pixel(t, STORAGE_OUTPUTS, key, &err)) {
		say(t, "storage_write", CHECK_WRONG, "see that bucket or folder is there, and that the key may write to it",
			"nothing can be written: %s", err.text);
		say(t, "storage_read", CHECK_SKIPPED, NULL, "nothing was written");
		say(t, "storage_remove", CHECK_SKIPPED, NULL, "nothing was written");
		return;
	}
	say(t, "storage_write", CHECK_GOOD, NULL, "%s takes a file", storage->title);
	read_back(t, key);
	if (storage->remove(t->svc->storage_settings, t->svc->http, STORAGE_OUTPUTS, key, &err))
		say(t, "storage_remove", CHECK_WRONG, "let the key delete files; then remove gengate-check/ by hand",
			"%s", err.text);
	else
		say(t, "storage_remove", CHECK_GOOD, NULL, "and removes it");
}

/* As a provider does. */
static void
read_input(struct trial *t, const char *key)
{
	struct buf url = BUF_INIT(16384);
	struct http_response rs = HTTP_RESPONSE_INIT;
	struct err err = ERR_INIT;
	enum err_code rc = sign_input(t->svc, key, PROBE_TIMEOUT_MS / 1000, &url, &err);

	if (!rc)
		rc = fetch(t, buf_str(&url), &rs, &err);
	if (rc)
		say(t, "inputs", CHECK_WRONG, "see that public_url leads here, or that supabase_url is right",
			"an input cannot be read: %s", err.text);
	else if (!is_pixel(&rs))
		say(t, "inputs", CHECK_WRONG, "with a folder: start gengate, and see that the web server serves "
			"storage_input_dir at /gengate_files/inputs/; else see that supabase_url is right",
			"an input cannot be read by its signed URL: HTTP %ld", rs.status);
	else if (everybody_reads(t, STORAGE_INPUTS, key))
		say(t, "inputs", CHECK_WRONG, "make the bucket or folder private", "everybody can read inputs");
	else
		say(t, "inputs", CHECK_GOOD, NULL, "they are taken, and read by who has a signed URL");
	http_response_clear(&rs);
	buf_clear(&url);
}

static void
try_inputs(struct trial *t, const char *key)
{
	const struct storage *storage = t->svc->storage;
	struct err err = ERR_INIT;

	if (!storage->takes_inputs(t->svc->storage_settings))
		return;
	if (put_pixel(t, STORAGE_INPUTS, key, &err)) {
		say(t, "inputs", CHECK_WRONG, "see that the bucket or folder for inputs is there, and that the key may write "
			"to it", "no input can be written: %s", err.text);
		return;
	}
	read_input(t, key);
	if (storage->remove(t->svc->storage_settings, t->svc->http, STORAGE_INPUTS, key, &err))
		say(t, "inputs_remove", CHECK_WRONG, "let the key delete files; then remove gengate-check/ by hand", "%s", err.text);
}

static void
try_storage(struct trial *t)
{
	uint8_t random[8];
	char hex[17], key[64];
	struct err err = ERR_INIT;

	if (crypto_random(random, sizeof random, &err)) {
		say(t, "storage_write", CHECK_WRONG, NULL, "%s", err.text);
		return;
	}
	hex_encode(random, sizeof random, hex);
	snprintf(key, sizeof key, "gengate-check/%s.png", hex);
	try_outputs(t, key);
	try_inputs(t, key);
}

/* ---- the provider ---- */

static void
say_clock(struct trial *t, const struct http_response *rs, int64_t before_us, int64_t after_us)
{
	const char *date = http_response_header(rs, "date");
	int64_t theirs, off;

	if (!date || http_date_parse(date, strlen(date), &theirs)) {
		say(t, "clock", CHECK_NOTE, NULL, "it does not tell the time");
		return;
	}
	off = (before_us / 2 + after_us / 2) / 1000000 - theirs;
	if (off > CLOCK_MAX_S || off < -CLOCK_MAX_S)
		say(t, "clock", CHECK_WRONG, "set this machine's clock, by NTP: webhooks more than 300 s off are refused",
			"our clock is %lld s %s its own", (long long)(off < 0 ? -off : off),
			off < 0 ? "behind" : "ahead of");
	else
		say(t, "clock", CHECK_GOOD, NULL, "our clock agrees with its own");
}

static void
say_no_answer(struct trial *t, const char *why)
{
	char remedy[200];

	snprintf(remedy, sizeof remedy, "see that %s is right, and that this machine may connect to it", OPTION(t, url));
	say(t, "provider", CHECK_WRONG, remedy, "it does not answer: %s", why);
	say(t, "clock", CHECK_SKIPPED, NULL, "it does not answer");
}

static void
say_key_refused(struct trial *t, const char *why)
{
	bool has_key = adapter_has_key(t->provider_settings);
	char remedy[200];

	snprintf(remedy, sizeof remedy, has_key ? "see that %s is right, is not revoked, and has credit" : "set %s",
		OPTION(t, key));
	say(t, "provider", CHECK_WRONG, remedy, "it %s: %s", has_key ? "does not take our key" : "wants a key", why);
}

static void
say_not_there(struct trial *t, long status, const char *why)
{
	bool may_pass = status == 429 || status >= 500;
	char remedy[200];

	if (status >= 300 && status < 400)
		snprintf(remedy, sizeof remedy, "set %s to where it leads", OPTION(t, url));
	else
		snprintf(remedy, sizeof remedy, "see that %s is right%s", OPTION(t, url), may_pass ? "; try again later" : "");
	say(t, "provider", CHECK_WRONG, remedy, "%s", why);
}

static void
say_answer(struct trial *t, const struct http_response *rs)
{
	struct err err = ERR_INIT;
	enum err_code rc = adapter_probe_reply(t->p, t->provider_settings, rs, &err);

	if (rc == ERR_PROVIDER_UNAVAILABLE && OPTION(t, key))
		say_key_refused(t, err.text);
	else if (rc)
		say_not_there(t, rs->status, err.text);
	else if (!t->p->probe.request)
		say(t, "provider", CHECK_NOTE, NULL, "it answers, but has no call to try its key with: the first job will tell");
	else
		say(t, "provider", CHECK_GOOD, NULL, adapter_has_key(t->provider_settings) ? "it takes our key" : "it answers");
}

static void
try_provider(struct trial *t)
{
	struct http_request rq = HTTP_REQUEST_INIT;
	struct http_response rs = HTTP_RESPONSE_INIT;
	struct err err = ERR_INIT;
	int64_t before_us = clock_wall_us();
	enum err_code rc = adapter_probe_request(t->p, t->provider_settings, &rq, &err);

	if (!rc)
		rc = http_perform(t->svc->http, &rq, &rs, &err);
	if (rc) {
		say_no_answer(t, err.text);
	} else {
		int64_t after_us = clock_wall_us();

		say_answer(t, &rs);
		say_clock(t, &rs, before_us, after_us);
	}
	http_request_clear(&rq);
	http_response_clear(&rs);
}

/* ---- the way back ---- */

static enum err_code
send_webhook(struct trial *t, size_t bytes, struct http_response *rs, struct err *err)
{
	struct http_request rq = HTTP_REQUEST_INIT;
	struct buf url = BUF_INIT(4096);
	enum err_code rc;

	rc = adapter_webhook_probe(t->p, t->provider_settings, clock_wall_us() / 1000000, bytes, &rq, err);
	if (!rc)
		rc = service_probe_url(t->svc, t->p, &url, err);
	if (!rc)
		rc = url.err ? url.err : http_request_set_url(&rq, buf_str(&url));
	rq.timeout_ms = PROBE_TIMEOUT_MS;
	if (!rc)
		rc = http_perform(t->svc->http, &rq, rs, err);
	http_request_clear(&rq);
	buf_clear(&url);
	return rc;
}

/* Said by a gateway with our secrets and by nothing else. */
static bool
was_probed(const struct http_response *rs)
{
	json_t *body = json_read(buf_str(&rs->body), rs->body.len, 0, NULL);
	const char *result = json_string_value(json_object_get(body, "result"));
	bool ret = rs->status == 200 && result && strcmp(result, "probed") == 0;

	json_decref(body);
	return ret;
}

/* A 404 of gengate's own and that of some other server. */
static bool
is_problem(const struct http_response *rs)
{
	const char *type = http_response_header(rs, "content-type");

	return type && strncmp(type, "application/problem+json", 24) == 0 &&
		http_response_header(rs, "x-request-id");
}

static void
say_no_probe(struct trial *t, const struct http_response *rs)
{
	const char *location = http_response_header(rs, "location");
	const char *url = t->svc->settings->public_url;

	if (rs->status >= 300 && rs->status < 400)
		say(t, "public_url", CHECK_WRONG, "set public_url to where it leads: providers do not follow redirects, "
			"webhooks are lost without a word", "%s redirects (HTTP %ld) to %.*s", url, rs->status,
			location ? (int)strcspn(location, "?") : 7, location ? location : "nowhere");
	else if (rs->status == 401 && is_problem(rs))
		say(t, "public_url", CHECK_WRONG, "give all gateways the same webhook secret, and restart them",
			"the gateway there does not take a webhook that our first secret signed");
	else if (rs->status == 404 && is_problem(rs))
		say(t, "public_url", CHECK_WRONG, "see that public_url leads to gengate, give all gateways the same "
			"secret_key and version, and restart them",
			"%s answers HTTP 404: gengate is not below it, or does not know our secret_key", url);
	else if (rs->status >= 502 && rs->status <= 504)
		say(t, "public_url", CHECK_WRONG, "start gengate, and see that the web server's upstream is its socket",
			"the web server has no gengate behind it: HTTP %ld", rs->status);
	else
		say(t, "public_url", CHECK_WRONG, "see that public_url leads to gengate and that /webhooks/ is open to "
			"everybody", "a webhook to %s does not arrive: HTTP %ld", url, rs->status);
}

static void
try_large_webhook(struct trial *t)
{
	struct http_response rs = HTTP_RESPONSE_INIT;
	struct err err = ERR_INIT;
	enum err_code rc = send_webhook(t, LARGE_BYTES, &rs, &err);
	static const char remedy[] = "in nginx, for /webhooks/: client_max_body_size 8m;";

	if (rc)
		say(t, "body_limit", CHECK_WRONG, remedy, "a webhook of 1.5 MB gets no answer: %s", err.text);
	else if (!was_probed(&rs))
		say(t, "body_limit", CHECK_WRONG, remedy, "a webhook of 1.5 MB does not arrive: HTTP %ld", rs.status);
	else
		say(t, "body_limit", CHECK_GOOD, NULL, "a webhook of 1.5 MB arrives");
	http_response_clear(&rs);
}

static void
try_webhooks(struct trial *t)
{
	struct http_response rs = HTTP_RESPONSE_INIT;
	struct err err = ERR_INIT;
	enum err_code rc = send_webhook(t, 0, &rs, &err);

	if (rc)
		say(t, "public_url", CHECK_WRONG, "see that the name, the certificate and the port of public_url are right, "
			"from outside too", "%s is not reached: %s", t->svc->settings->public_url, err.text);
	else if (!was_probed(&rs))
		say_no_probe(t, &rs);
	else
		say(t, "public_url", CHECK_GOOD, NULL, "a signed webhook arrives and is verified");
	if (!rc && was_probed(&rs))
		try_large_webhook(t);
	else
		say(t, "body_limit", CHECK_SKIPPED, NULL, "webhooks do not arrive");
	http_response_clear(&rs);
}

/* Why no webhook can be tried. */
static void
say_untried(struct trial *t)
{
	char remedy[200];

	snprintf(remedy, sizeof remedy, "set %s", OPTION(t, webhook_secret));
	if (t->p->caps & PROVIDER_VERIFIER)
		say(t, "public_url", CHECK_NOTE, remedy, "webhooks cannot be tried: what verifies them is fetched with our key");
	else
		say(t, "public_url", CHECK_NOTE, remedy, "without a webhook secret jobs are polled");
}

static void
try_way_back(struct trial *t)
{
	static const char polled[] = "webhooks cannot be tried";

	if (t->p->caps & PROVIDER_WEBHOOK && !t->p->webhook_sign) {
		say(t, "public_url", CHECK_NOTE, NULL, "its webhooks cannot be tried: nobody else can sign them");
		say(t, "body_limit", CHECK_SKIPPED, NULL, polled);
	} else if (!(t->p->caps & PROVIDER_WEBHOOK)) {
		say(t, "public_url", CHECK_NOTE, NULL, "it sends no webhooks: jobs are polled");
		say(t, "body_limit", CHECK_SKIPPED, NULL, polled);
	} else if (!service_has_way_back(t->svc, t->p)) {
		say(t, "public_url", CHECK_WRONG, "serve it over https, and set public_url to that",
			"%s is not https (or loopback at one end only): no webhooks are sent there, jobs are polled",
			t->svc->settings->public_url);
		say(t, "body_limit", CHECK_SKIPPED, NULL, polled);
	} else if (!adapter_has_secret(t->provider_settings)) {
		say_untried(t);
		say(t, "body_limit", CHECK_SKIPPED, NULL, polled);
	} else {
		try_webhooks(t);
	}
}

/* Nothing where none is: a database that is away has its own line. */
static void
note_pauses(struct trial *t)
{
	struct pause *pauses = NULL;
	size_t n = 0;

	if (pauses_load(t->svc->db, &pauses, &n, NULL))
		return;
	for (size_t i = 0; i < n; i++)
		say(t, "paused", CHECK_NOTE, "once the reason is gone: gengate provider resume NAME",
			"%s gets no new jobs%s: %s", pauses[i].provider,
			pauses[i].by_operator ? ", by an operator's word" : "", pauses[i].reason);
	pauses_clear(&pauses, n);
}

/* ---- users' tokens ---- */

static void
say_keys(struct trial *t, const struct auth *auth, const struct jwks *keys)
{
	struct buf text = BUF_INIT(4096);

	jwks_describe(keys, &text);
	if (auth_has_secret(auth))
		buf_printf(&text, "%sHS256 by supabase_jwt_secret", text.len ? ", " : "");
	if (text.len == 0)
		say(t, "tokens", CHECK_WRONG, "make a signing key in the project's JWT settings; or, for one that still signs "
			"with its legacy secret, set supabase_jwt_secret",
			"%s has no key for ES256 or RS256: no user's token can be verified", auth_jwks_url(auth));
	else
		say(t, "tokens", CHECK_GOOD, NULL, "tokens of %s are verified by: %s", auth_issuer(auth), buf_str(&text));
	buf_clear(&text);
}

static void
try_tokens(struct trial *t)
{
	struct auth *auth = t->svc->auth;
	struct buf text = BUF_INIT(1000000);
	struct jwks *keys = NULL;
	struct err err = ERR_INIT;

	if (!auth)
		return;
	if (keys_fetch(auth_keys(auth), t->svc, &text, &keys, &err))
		say(t, "tokens", CHECK_WRONG, "see that supabase_url, or supabase_jwks_url, is right",
			"the keys that users' tokens are verified with cannot be fetched: %s", err.text);
	else
		say_keys(t, auth, keys);
	jwks_unref(&keys);
	buf_clear(&text);
}

size_t
service_try_all(struct service *svc, check_say *fn, void *ctx)
{
	struct trial t = { .svc = svc, .say = fn, .ctx = ctx };

	try_database(&t);
	note_pauses(&t);
	try_tokens(&t);
	try_storage(&t);
	for (size_t i = 0; i < provider_count(); i++) {
		if (!models_use(svc->models, provider_at(i)->name))
			continue;
		t.p = service_provider(svc, provider_at(i)->name, &t.provider_settings);
		try_provider(&t);
		try_way_back(&t);
	}
	return t.wrong;
}
