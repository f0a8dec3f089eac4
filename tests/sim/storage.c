#include "config.h"

#include "tests/sim/storage.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/sim/sim.h"
#include "tests/sim/store.h"

/* The service tells the truth in the body, and 400 on the status line. */
struct refusal {
	int http;
	const char *status_code, *error, *message, *code;
};

static const struct refusal no_such_bucket = {
	400, "404", "Bucket not found", "Bucket not found", "NoSuchBucket" };
static const struct refusal no_such_key = {
	400, "404", "not_found", "Object not found", "NoSuchKey" };
static const struct refusal key_exists = {
	400, "409", "Duplicate", "The resource already exists", "KeyAlreadyExists" };
static const struct refusal bucket_exists = {
	400, "409", "Duplicate", "The resource already exists", "BucketAlreadyExists" };
static const struct refusal bucket_not_empty = {
	400, "409", "ResourceNotEmpty", "The bucket you tried to delete is not empty",
	"ResourceNotEmpty" };
static const struct refusal bad_bucket_name = {
	400, "400", "Invalid Input", "Bucket name invalid", "InvalidBucketName" };
static const struct refusal too_large = {
	400, "413", "Payload too large", "The object exceeded the maximum allowed size",
	"EntityTooLarge" };
static const struct refusal bad_token = {
	400, "403", "Unauthorized", "Invalid Compact JWS", "AccessDenied" };
static const struct refusal bad_signature = {
	400, "403", "Unauthorized", "signature verification failed", "AccessDenied" };
static const struct refusal expired = {
	400, "403", "Unauthorized", "\"exp\" claim timestamp check failed", "AccessDenied" };
static const struct refusal row_security = {
	400, "403", "Unauthorized", "new row violates row-level security policy",
	"AccessDenied" };
static const struct refusal no_authorization = {
	400, "400", "Error", "headers must have required property 'authorization'",
	"InvalidRequest" };
static const struct refusal empty_json = {
	400, "400", "Error",
	"Body cannot be empty when content-type is set to 'application/json'",
	"InvalidRequest" };
static const struct refusal bad_json = {
	400, "400", "Error", "body must be object", "InvalidRequest" };
static const struct refusal internal = {
	500, "500", "Internal", "Internal Server Error", "InternalError" };
static const struct refusal slow_down = {
	429, "429", "too_many_connections", "Too many connections issued to the database",
	"SlowDown" };
static const struct refusal database_timeout = {
	544, "544", "DatabaseTimeout", "The connection to the database timed out",
	"DatabaseTimeout" };

static void
reply_storage_json(struct sim_reply *rp, int status, json_t *json)
{
	reply_json(rp, status, json);
	rp->type = "application/json; charset=utf-8";
}

static void
refuse_with(struct sim_reply *rp, const struct refusal *why, const char *message)
{
	reply_storage_json(rp, why->http, json_pack("{s:s,s:s,s:s,s:s}",
		"statusCode", why->status_code, "error", why->error,
		"message", message, "code", why->code));
}

static void
refuse(struct sim_reply *rp, const struct refusal *why)
{
	refuse_with(rp, why, why->message);
}

static void
done(struct sim_reply *rp, const char *message)
{
	reply_storage_json(rp, 200, json_pack("{s:s}", "message", message));
}

/* ---- Who is asking. ---- */

static bool
looks_like_jwt(const char *s)
{
	const char *dot = strchr(s, '.');

	return dot && dot > s && strchr(dot + 1, '.');
}

/* A token as the service behind the gateway sees it. */
static const struct refusal *
judge_token(const struct sim_settings *set, const char *token)
{
	if (sim_same(token, set->service_key))
		return NULL;
	return looks_like_jwt(token) ? &bad_signature : &bad_token;
}

/*
 * The gateway's rule: keep Authorization unless it begins "Bearer sb_"; else
 * a secret or publishable apikey becomes a role's token; else the apikey goes
 * on as it is.  NULL: the caller is the service role.
 */
static const struct refusal *
judge(const struct sim_rq *rq)
{
	const struct sim_settings *set = &rq->sim->set;
	const char *auth = rq_param(rq, "HTTP_AUTHORIZATION");
	const char *apikey = rq_param(rq, "HTTP_APIKEY");

	if (auth && strncmp(auth, "Bearer sb_", 10) != 0)
		return strncmp(auth, "Bearer ", 7) == 0 ?
			judge_token(set, auth + 7) : &bad_token;
	if (!apikey)
		return auth ? &bad_token : &no_authorization;
	if (sim_same(apikey, set->storage_secret_key))
		return NULL;
	if (sim_same(apikey, set->storage_publishable_key))
		return &row_security;
	return judge_token(set, apikey);
}

/* The switches that act whatever the request is.  true: rp is the answer. */
static bool
go_wrong(struct sim_rq *rq, struct sim_reply *rp)
{
	static const struct {
		enum fault fault;
		const struct refusal *why;
	} table[] = {
		{ FAULT_STORAGE_500, &internal },
		{ FAULT_STORAGE_403, &row_security },
		{ FAULT_STORAGE_429, &slow_down },
		{ FAULT_STORAGE_544, &database_timeout },
	};
	static const char page[] = "<html><h1>502 Bad Gateway</h1></html>\n";
	const char *subject = buf_str(&rq->subject);
	struct fault_hit hit;

	if (fault_take(rq->sim, FAULT_STORAGE_SLOW, subject, &hit))
		sim_sleep(rq->sim, hit.delay_ms);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (fault_take(rq->sim, table[i].fault, subject, &hit)) {
			if (strcmp(hit.variant, "header") == 0)
				reply_retry_after(rp, hit.retry_after_s);
			refuse(rp, table[i].why);
			return true;
		}
	}
	if (fault_take(rq->sim, FAULT_STORAGE_HTML_502, subject, NULL)) {
		reply_bytes(rp, 502, "text/html", page, sizeof(page) - 1);
		return true;
	}
	if (fault_take(rq->sim, FAULT_STORAGE_DROP_BEFORE, subject, NULL)) {
		reply_drop(rp);
		return true;
	}
	return false;
}

static bool
before(struct sim_rq *rq, const struct sim_route *route, struct sim_reply *rp)
{
	const struct refusal *why;

	if (route->open)
		return false;
	if (go_wrong(rq, rp))
		return true;
	pthread_mutex_lock(&rq->sim->lock);
	why = judge(rq);
	if (why)
		rq->sim->n.unauthorized++;
	pthread_mutex_unlock(&rq->sim->lock);
	if (why)
		refuse(rp, why);
	return why != NULL;
}

/* Framework style: the path as the service sees it, and a number. */
static void
not_found(struct sim_rq *rq, struct sim_reply *rp)
{
	struct buf text = BUF_INIT(16384);

	buf_printf(&text, "Route %s:%s not found", rq->method,
		rq->path + strlen(storage_area.prefix));
	reply_storage_json(rp, 404, json_pack("{s:s,s:s,s:i}", "message", buf_str(&text),
		"error", "Not Found", "statusCode", 404));
	buf_clear(&text);
}

static void
refuse_too_large(struct sim_rq *rq, struct sim_reply *rp)
{
	(void)rq;
	refuse(rp, &too_large);
}

/* ---- Upload. ---- */

static bool
has_dot_segment(const char *key)
{
	while (key) {
		size_t len = strcspn(key, "/");

		if ((len == 1 && key[0] == '.') ||
		    (len == 2 && key[0] == '.' && key[1] == '.'))
			return true;
		key = key[len] ? key + len + 1 : NULL;
	}
	return false;
}

static bool
has_bad_character(const char *key)
{
	static const char good[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
		"_/!.*'() &$=@;:+,?-";

	return key[strspn(key, good)] != '\0';
}

static bool
type_allowed(const struct bucket *b, const char *type)
{
	const json_t *item;
	size_t i;

	if (!b->types)
		return true;
	json_array_foreach(b->types, i, item) {
		const char *s = json_string_value(item);
		size_t len = s ? strlen(s) : 0;

		if (sim_same(s, type))
			return true;
		if (type && len > 2 && strcmp(s + len - 2, "/*") == 0 &&
		    strncmp(s, type, len - 1) == 0)
			return true;
	}
	return false;
}

/* A chunked body has no length to compare: this version skips the limit. */
static bool
over_limit(const struct sim_rq *rq, const struct bucket *b)
{
	return b->size_limit && !rq_param(rq, "HTTP_TRANSFER_ENCODING") &&
	       rq->content.len > (size_t)b->size_limit;
}

/* All that can be wrong with an upload; true: rp is the answer. */
static bool
check_upload(const struct sim_rq *rq, struct bucket *b, bool upsert, struct sim_reply *rp)
{
	const char *key = rq->arg[1], *type = rq_param(rq, "CONTENT_TYPE");
	struct buf text = BUF_INIT(16384);
	bool bad = true;

	if (has_dot_segment(key) || has_bad_character(key)) {
		const struct refusal why = { 400, "400", "InvalidKey", NULL, "InvalidKey" };

		buf_printf(&text, "Invalid key: %s%s", key,
			has_dot_segment(key) ? " contains dot path segment" : "");
		refuse_with(rp, &why, buf_str(&text));
	} else if (!type_allowed(b, type) || (type && !strchr(type, '/'))) {
		const struct refusal why = {
			400, "415", "invalid_mime_type", NULL, "InvalidMimeType" };

		buf_printf(&text, "mime type %s is not supported", type ? type : "undefined");
		refuse_with(rp, &why, buf_str(&text));
	} else if (over_limit(rq, b)) {
		refuse(rp, &too_large);
	} else if (!upsert && bucket_find(b, key)) {
		refuse(rp, &key_exists);
	} else {
		bad = false;
	}
	buf_clear(&text);
	return bad;
}

/* x-metadata is base64 of a JSON object; what is neither is ignored. */
static void
set_metadata(const struct sim_rq *rq, struct object *o)
{
	const char *s = rq_param(rq, "HTTP_X_METADATA");
	struct buf text = BUF_INIT(65536);
	json_t *json = NULL;

	if (s && sim_base64_decode(s, &text))
		json = json_loadb(text.p, text.len, 0, NULL);
	if (json_is_object(json)) {
		json_decref(o->metadata);
		o->metadata = json;
	} else {
		json_decref(json);
	}
	buf_clear(&text);
}

static void
store_body(struct sim_rq *rq, struct bucket *b, struct sim_reply *rp)
{
	const char *type = rq_param(rq, "CONTENT_TYPE");
	const char *cache_control = rq_param(rq, "HTTP_CACHE_CONTROL");
	struct object *o = bucket_put(rq->sim, b, rq->arg[1], &rq->content);

	if (!o) {
		refuse(rp, &internal);
		return;
	}
	object_set(o, type ? type : "application/octet-stream",
		cache_control ? cache_control : "no-cache");
	set_metadata(rq, o);
	rq->sim->n.uploads++;
	reply_storage_json(rp, 200, json_pack("{s:o,s:s}",
		"Key", json_sprintf("%s/%s", b->name, o->name), "Id", o->id));
}

static void
upload(struct sim_rq *rq, bool upsert, struct sim_reply *rp)
{
	struct sim *sim = rq->sim;
	bool half = false;
	struct bucket *b;

	pthread_mutex_lock(&sim->lock);
	b = store_bucket(sim->store, rq->arg[0]);
	if (!b) {
		refuse(rp, &no_such_bucket);
	} else if (!check_upload(rq, b, upsert, rp)) {
		half = fault_take_locked(sim, FAULT_STORAGE_HALF, buf_str(&rq->subject), NULL);
		if (half)
			content_cut(&rq->content, rq->content.len / 2);
		store_body(rq, b, rp);
	}
	pthread_mutex_unlock(&sim->lock);
	if (half || fault_take(sim, FAULT_STORAGE_DROP_AFTER, buf_str(&rq->subject), NULL))
		reply_drop(rp);
}

static void
post_object(struct sim_rq *rq, struct sim_reply *rp)
{
	upload(rq, sim_same(rq_param(rq, "HTTP_X_UPSERT"), "true"), rp);
}

static void
put_object(struct sim_rq *rq, struct sim_reply *rp)
{
	upload(rq, true, rp);
}

/* ---- Download. ---- */

/* "bytes=0-9", "bytes=10-", "bytes=-5" of n bytes; false: all of it. */
static bool
read_range(const char *s, size_t n, size_t *from, size_t *to)
{
	uint64_t a = 0, b = n;
	size_t digits;

	if (!s || strncmp(s, "bytes=", 6) != 0 || n == 0)
		return false;
	s += 6;
	digits = strspn(s, "0123456789");
	if (s[digits] != '-' || s[digits + 1 + strspn(s + digits + 1, "0123456789")])
		return false;
	if (digits && parse_u64(s, digits, 0, n - 1, &a) != ERR_OK)
		return false;
	if (s[digits + 1]) {
		uint64_t last;

		if (parse_u64(s + digits + 1, strlen(s + digits + 1), 0, UINT64_MAX - 1,
				&last) != ERR_OK)
			return false;
		if (!digits)
			a = last < n ? n - last : 0;
		else if (last + 1 < n)
			b = last + 1;
	}
	*from = a;
	*to = b;
	return a < b;
}

static void
add_object_headers(const struct sim_rq *rq, const struct object *o, struct sim_reply *rp)
{
	char date[SIM_TIME_SIZE];
	struct buf name = BUF_INIT(1024), value = BUF_INIT(4096);

	sim_http_date(o->updated_wall, date);
	reply_header(rp, "etag", buf_str(&o->etag));
	reply_header(rp, "last-modified", date);
	reply_header(rp, "cache-control", o->cache_control);
	reply_header(rp, "accept-ranges", "bytes");
	reply_header(rp, "x-robots-tag", "none");
	if (rq_query(rq, "download", &name)) {
		buf_puts(&value, "attachment; filename*=UTF-8''");
		buf_put_urlenc(&value, buf_str(&name), name.len, NULL);
		reply_header(rp, "content-disposition", buf_str(&value));
	}
	buf_clear(&name);
	buf_clear(&value);
}

static void
serve_object(const struct sim_rq *rq, const struct object *o, struct sim_reply *rp)
{
	/* A page is not to run in the bucket's origin. */
	bool page = strncmp(o->type, "text/html", 9) == 0;
	size_t from = 0, to = o->content.len;
	struct buf range = BUF_INIT(128);

	add_object_headers(rq, o, rp);
	if (!page)
		reply_header(rp, "Content-Type", o->type);
	if (sim_same(rq_param(rq, "HTTP_IF_NONE_MATCH"), buf_str(&o->etag))) {
		reply_bytes(rp, 304, NULL, NULL, 0);
		return;
	}
	reply_bytes(rp, 200, NULL, NULL, 0);
	if (read_range(rq_param(rq, "HTTP_RANGE"), o->content.len, &from, &to)) {
		rp->status = 206;
		buf_printf(&range, "bytes %zu-%zu/%zu", from, to - 1, o->content.len);
		reply_header(rp, "content-range", buf_str(&range));
	}
	rp->type = page ? "text/plain" : NULL;
	if (content_share(&o->content, &rp->content)) {
		rp->from = from;
		rp->to = to;
	} else {
		refuse(rp, &internal);
	}
	buf_clear(&range);
}

static void
get_from(struct sim_rq *rq, bool only_public, struct sim_reply *rp)
{
	struct sim *sim = rq->sim;
	struct object *o = NULL;
	struct bucket *b;

	pthread_mutex_lock(&sim->lock);
	b = store_bucket(sim->store, rq->arg[0]);
	if (b && only_public && !b->is_public)
		b = NULL;
	if (b)
		o = bucket_find(b, rq->arg[1]);
	if (o)
		serve_object(rq, o, rp);
	else
		refuse(rp, b ? &no_such_key : &no_such_bucket);
	pthread_mutex_unlock(&sim->lock);
}

static void
get_public(struct sim_rq *rq, struct sim_reply *rp)
{
	get_from(rq, true, rp);
}

static void
get_object(struct sim_rq *rq, struct sim_reply *rp)
{
	get_from(rq, false, rp);
}

static json_t *
time_json(int64_t wall_us)
{
	char text[SIM_TIME_SIZE];

	sim_time_text(wall_us, text);
	return json_string(text);
}

static void
get_info_from(struct sim_rq *rq, bool only_public, struct sim_reply *rp)
{
	struct sim *sim = rq->sim;
	const struct object *o = NULL;
	struct bucket *b;

	pthread_mutex_lock(&sim->lock);
	b = store_bucket(sim->store, rq->arg[0]);
	if (b && (b->is_public || !only_public))
		o = bucket_find(b, rq->arg[1]);
	if (o)
		reply_storage_json(rp, 200, json_pack(
			"{s:s,s:s,s:s,s:s,s:I,s:s,s:s,s:s,s:O,s:o,s:o}",
			"id", o->id, "name", o->name, "version", o->version,
			"bucket_id", b->name, "size", (json_int_t)o->content.len,
			"content_type", o->type, "cache_control", o->cache_control,
			"etag", buf_str(&o->etag), "metadata", o->metadata,
			"last_modified", time_json(o->updated_wall),
			"created_at", time_json(o->created_wall)));
	else
		refuse(rp, b ? &no_such_key : &no_such_bucket);
	pthread_mutex_unlock(&sim->lock);
}

static void
get_info(struct sim_rq *rq, struct sim_reply *rp)
{
	get_info_from(rq, false, rp);
}

static void
get_public_info(struct sim_rq *rq, struct sim_reply *rp)
{
	get_info_from(rq, true, rp);
}

/* ---- Signed URLs: the token is "<end of life>.<MAC>". ---- */

static void
put_token(const struct sim_rq *rq, long long until_s, struct buf *out)
{
	struct buf text = BUF_INIT(32768);

	buf_printf(&text, "%lld %s/%s", until_s, rq->arg[0], rq->arg[1]);
	buf_printf(out, "%lld.", until_s);
	store_mac(rq->sim->store, buf_str(&text), out);
	buf_clear(&text);
}

static void
sign_object(struct sim_rq *rq, struct sim_reply *rp)
{
	struct buf url = BUF_INIT(65536);
	struct sim *sim = rq->sim;
	json_t *body = rq_json(rq);
	json_int_t ttl_s = json_integer_value(json_object_get(body, "expiresIn"));
	struct bucket *b;

	pthread_mutex_lock(&sim->lock);
	b = store_bucket(sim->store, rq->arg[0]);
	if (ttl_s < 1) {
		refuse(rp, &bad_json);
	} else if (!b || !bucket_find(b, rq->arg[1])) {
		refuse(rp, b ? &no_such_key : &no_such_bucket);
	} else {
		buf_puts(&url, "/object/sign/");
		buf_put_urlenc(&url, b->name, strlen(b->name), NULL);
		buf_putc(&url, '/');
		buf_put_urlenc(&url, rq->arg[1], strlen(rq->arg[1]), "/");
		buf_puts(&url, "?token=");
		put_token(rq, (long long)time(NULL) + ttl_s, &url);
		reply_storage_json(rp, 200, json_pack("{s:s}", "signedURL", buf_str(&url)));
	}
	pthread_mutex_unlock(&sim->lock);
	json_decref(body);
	buf_clear(&url);
}

static void
get_signed(struct sim_rq *rq, struct sim_reply *rp)
{
	struct buf token = BUF_INIT(1024), want = BUF_INIT(1024);
	long long until_s;

	rq_query(rq, "token", &token);
	until_s = strtoll(buf_str(&token), NULL, 10);
	pthread_mutex_lock(&rq->sim->lock);
	put_token(rq, until_s, &want);
	pthread_mutex_unlock(&rq->sim->lock);
	if (!sim_same(buf_str(&token), buf_str(&want)))
		refuse(rp, &bad_signature);
	else if (until_s <= (long long)time(NULL))
		refuse(rp, &expired);
	else
		get_from(rq, false, rp);
	buf_clear(&token);
	buf_clear(&want);
}

/* ---- Delete and list. ---- */

static void
delete_object(struct sim_rq *rq, struct sim_reply *rp)
{
	const char *type = rq_param(rq, "CONTENT_TYPE");
	struct sim *sim = rq->sim;
	struct bucket *b;

	if (type && strncmp(type, "application/json", 16) == 0 && rq->content.len == 0) {
		refuse(rp, &empty_json);
		return;
	}
	pthread_mutex_lock(&sim->lock);
	b = store_bucket(sim->store, rq->arg[0]);
	if (!b) {
		refuse(rp, &no_such_bucket);
	} else if (!bucket_remove(sim->store, b, rq->arg[1])) {
		refuse(rp, &no_such_key);
	} else {
		sim->n.deletes++;
		done(rp, "Successfully deleted");
	}
	pthread_mutex_unlock(&sim->lock);
}

/* A row of storage.objects; name as the caller wants to see it. */
static json_t *
row_json(const struct bucket *b, const struct object *o, const char *name)
{
	json_t *created = time_json(o->created_wall), *updated = time_json(o->updated_wall);
	json_t *row = json_pack("{s:s,s:s,s:s,s:O,s:O,s:O,s:{s:s,s:I,s:s,s:s,s:O,s:I,s:i},s:O}",
		"name", name, "id", o->id, "bucket_id", b->name,
		"created_at", created, "updated_at", updated, "last_accessed_at", updated,
		"metadata", "eTag", buf_str(&o->etag), "size", (json_int_t)o->content.len,
		"mimetype", o->type, "cacheControl", o->cache_control,
		"lastModified", updated, "contentLength", (json_int_t)o->content.len,
		"httpStatusCode", 200, "user_metadata", o->metadata);

	json_decref(created);
	json_decref(updated);
	return row;
}

/* Names that are not there are skipped without a word. */
static void
delete_objects(struct sim_rq *rq, struct sim_reply *rp)
{
	json_t *body = rq_json(rq), *rows = json_array(), *item;
	json_t *names = json_object_get(body, "prefixes");
	struct sim *sim = rq->sim;
	struct bucket *b;
	size_t i;

	pthread_mutex_lock(&sim->lock);
	b = store_bucket(sim->store, rq->arg[0]);
	if (!json_is_array(names) || json_array_size(names) > 1000) {
		refuse(rp, &bad_json);
	} else if (!b) {
		refuse(rp, &no_such_bucket);
	} else {
		json_array_foreach(names, i, item) {
			const char *name = json_string_value(item);
			struct object *o = name ? bucket_find(b, name) : NULL;

			if (!o)
				continue;
			json_array_append_new(rows, row_json(b, o, o->name));
			bucket_remove(sim->store, b, name);
			sim->n.deletes++;
		}
		reply_storage_json(rp, 200, json_incref(rows));
	}
	pthread_mutex_unlock(&sim->lock);
	json_decref(rows);
	json_decref(body);
}

static void
add_folder(json_t *rows, const char *name, size_t len)
{
	size_t n = json_array_size(rows);
	const char *last = n ? json_string_value(json_object_get(
		json_array_get(rows, n - 1), "name")) : NULL;

	/* Objects are sorted, so a folder's are together. */
	if (last && strlen(last) == len && strncmp(last, name, len) == 0)
		return;
	json_array_append_new(rows, json_pack("{s:s%,s:n,s:n,s:n,s:n,s:n}", "name", name, len,
		"id", "created_at", "updated_at", "last_accessed_at", "metadata"));
}

/* What lies directly in the folder; folders below it show as rows without id. */
static json_t *
folder_json(const struct bucket *b, const char *folder)
{
	size_t len = strlen(folder);
	json_t *rows = json_array();

	for (size_t i = 0; i < b->n; i++) {
		const char *name = b->object[i]->name;
		const char *slash;

		if (strncmp(name, folder, len) != 0)
			continue;
		name += len;
		if (len && folder[len - 1] != '/' && *name++ != '/')
			continue;
		slash = strchr(name, '/');
		if (slash)
			add_folder(rows, name, (size_t)(slash - name));
		else
			json_array_append_new(rows, row_json(b, b->object[i], name));
	}
	return rows;
}

/* Sorted by name; "order": "desc" turns it round. */
static json_t *
cut_list(json_t *rows, const json_t *body)
{
	const char *order = json_string_value(json_object_get(
		json_object_get(body, "sortBy"), "order"));
	json_int_t limit = json_integer_value(json_object_get(body, "limit"));
	json_int_t offset = json_integer_value(json_object_get(body, "offset"));
	json_int_t n = (json_int_t)json_array_size(rows);
	json_t *page = json_array();

	if (limit <= 0)
		limit = 100;
	for (json_int_t i = offset < 0 ? 0 : offset; i < n && limit-- > 0; i++)
		json_array_append(page, json_array_get(rows,
			(size_t)(sim_same(order, "desc") ? n - 1 - i : i)));
	json_decref(rows);
	return page;
}

static void
list_objects(struct sim_rq *rq, struct sim_reply *rp)
{
	json_t *body = rq_json(rq);
	const char *prefix = json_string_value(json_object_get(body, "prefix"));
	struct bucket *b;

	pthread_mutex_lock(&rq->sim->lock);
	b = store_bucket(rq->sim->store, rq->arg[0]);
	if (!prefix)
		refuse(rp, &bad_json);
	else if (!b)
		reply_storage_json(rp, 200, json_array());
	else
		reply_storage_json(rp, 200, cut_list(folder_json(b, prefix), body));
	pthread_mutex_unlock(&rq->sim->lock);
	json_decref(body);
}

/* ---- Buckets. ---- */

static json_t *
bucket_json(const struct bucket *b)
{
	return json_pack("{s:s,s:s,s:s,s:b,s:o,s:o,s:o,s:o}", "id", b->name, "name", b->name,
		"owner", "", "public", b->is_public,
		"file_size_limit", b->size_limit ? json_integer(b->size_limit) : json_null(),
		"allowed_mime_types", b->types ? json_incref(b->types) : json_null(),
		"created_at", time_json(b->created_wall),
		"updated_at", time_json(b->updated_wall));
}

static bool
bucket_name_is_good(const char *name)
{
	return name && *name && strlen(name) <= 100 && !strchr(name, '/') &&
	       !has_bad_character(name);
}

static void
create_bucket(struct sim_rq *rq, struct sim_reply *rp)
{
	struct store *store = rq->sim->store;
	json_t *body = rq_json(rq);
	const char *name = json_string_value(json_object_get(body, "id"));

	if (!name)
		name = json_string_value(json_object_get(body, "name"));
	pthread_mutex_lock(&rq->sim->lock);
	if (!bucket_name_is_good(name))
		refuse(rp, &bad_bucket_name);
	else if (store_bucket(store, name))
		refuse(rp, &bucket_exists);
	else if (!store_set_bucket(store, body))
		refuse(rp, &bad_json);
	else
		reply_storage_json(rp, 200, json_pack("{s:s}", "name", name));
	pthread_mutex_unlock(&rq->sim->lock);
	json_decref(body);
}

static void
list_buckets(struct sim_rq *rq, struct sim_reply *rp)
{
	json_t *list = json_array();

	pthread_mutex_lock(&rq->sim->lock);
	for (const struct bucket *b = store_first(rq->sim->store); b; b = b->next)
		json_array_append_new(list, bucket_json(b));
	pthread_mutex_unlock(&rq->sim->lock);
	reply_storage_json(rp, 200, list);
}

static void
get_bucket(struct sim_rq *rq, struct sim_reply *rp)
{
	const struct bucket *b;

	pthread_mutex_lock(&rq->sim->lock);
	b = store_bucket(rq->sim->store, rq->arg[0]);
	if (b)
		reply_storage_json(rp, 200, bucket_json(b));
	else
		refuse(rp, &no_such_bucket);
	pthread_mutex_unlock(&rq->sim->lock);
}

static void
update_bucket(struct sim_rq *rq, struct sim_reply *rp)
{
	json_t *body = rq_json(rq);
	struct bucket *b;

	pthread_mutex_lock(&rq->sim->lock);
	b = store_bucket(rq->sim->store, rq->arg[0]);
	if (!b)
		refuse(rp, &no_such_bucket);
	else if (!json_is_object(body) || !bucket_apply(b, body))
		refuse(rp, &bad_json);
	else
		done(rp, "Successfully updated");
	pthread_mutex_unlock(&rq->sim->lock);
	json_decref(body);
}

static void
delete_bucket(struct sim_rq *rq, struct sim_reply *rp)
{
	struct bucket *b;

	pthread_mutex_lock(&rq->sim->lock);
	b = store_bucket(rq->sim->store, rq->arg[0]);
	if (!b) {
		refuse(rp, &no_such_bucket);
	} else if (b->n) {
		refuse(rp, &bucket_not_empty);
	} else {
		store_remove_bucket(rq->sim->store, b);
		done(rp, "Successfully deleted");
	}
	pthread_mutex_unlock(&rq->sim->lock);
}

static void
empty_bucket(struct sim_rq *rq, struct sim_reply *rp)
{
	struct bucket *b;

	pthread_mutex_lock(&rq->sim->lock);
	b = store_bucket(rq->sim->store, rq->arg[0]);
	if (b) {
		bucket_empty(rq->sim->store, b);
		done(rp, "Successfully emptied");
	} else {
		refuse(rp, &no_such_bucket);
	}
	pthread_mutex_unlock(&rq->sim->lock);
}

static const struct sim_route routes[] = {
	{ "GET", "/object/public/{}/{*}", get_public, true },
	{ "GET", "/object/info/public/{}/{*}", get_public_info, true },
	{ "GET", "/object/info/{}/{*}", get_info, false },
	{ "GET", "/object/sign/{}/{*}", get_signed, true },
	{ "GET", "/object/authenticated/{}/{*}", get_object, false },
	{ "GET", "/object/{}/{*}", get_object, false },
	{ "POST", "/object/sign/{}/{*}", sign_object, false },
	{ "POST", "/object/list/{}", list_objects, false },
	{ "POST", "/object/{}/{*}", post_object, false },
	{ "PUT", "/object/{}/{*}", put_object, false },
	{ "DELETE", "/object/{}/{*}", delete_object, false },
	{ "DELETE", "/object/{}", delete_objects, false },
	{ "GET", "/bucket", list_buckets, false },
	{ "POST", "/bucket", create_bucket, false },
	{ "GET", "/bucket/{}", get_bucket, false },
	{ "PUT", "/bucket/{}", update_bucket, false },
	{ "DELETE", "/bucket/{}", delete_bucket, false },
	{ "POST", "/bucket/{}/empty", empty_bucket, false },
};

const struct sim_area storage_area = {
	.prefix = "/storage/v1",
	.routes = routes,
	.n_routes = sizeof(routes) / sizeof(routes[0]),
	.before = before,
	.not_found = not_found,
	.too_large = refuse_too_large,
	.spools = true,
};
