#include "config.h"

#include "tests/sim/store.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

struct store {
	struct bucket *first;
	size_t bytes;
	unsigned char key[32];
};

static void
object_free(struct object *o)
{
	mem_free(o->name);
	mem_free(o->type);
	mem_free(o->cache_control);
	buf_clear(&o->etag);
	content_clear(&o->content);
	json_decref(o->metadata);
	mem_free(o);
}

void
bucket_empty(struct store *store, struct bucket *b)
{
	for (size_t i = 0; i < b->n; i++) {
		store->bytes -= b->object[i]->content.len;
		object_free(b->object[i]);
	}
	b->n = 0;
}

void
store_remove_bucket(struct store *store, struct bucket *b)
{
	struct bucket **link = &store->first;

	while (*link != b)
		link = &(*link)->next;
	*link = b->next;
	bucket_empty(store, b);
	json_decref(b->types);
	mem_free(b->object);
	mem_free(b->name);
	mem_free(b);
}

static void
add_defaults(struct store *store)
{
	struct bucket *outputs = store_add_bucket(store, "outputs");
	struct bucket *inputs = store_add_bucket(store, "inputs");

	if (outputs && inputs)
		outputs->is_public = true;
}

struct store *
store_new(void)
{
	struct store *store = mem_calloc(1, sizeof(*store));

	if (store) {
		RAND_bytes(store->key, sizeof(store->key));
		add_defaults(store);
	}
	return store;
}

static void
remove_all(struct store *store)
{
	while (store->first)
		store_remove_bucket(store, store->first);
}

void
store_reset(struct store *store)
{
	remove_all(store);
	add_defaults(store);
}

void
store_free(struct store **store)
{
	if (!*store)
		return;
	remove_all(*store);
	mem_free(*store);
	*store = NULL;
}

struct bucket *
store_first(struct store *store)
{
	return store->first;
}

struct bucket *
store_bucket(struct store *store, const char *name)
{
	struct bucket *b = store->first;

	while (b && strcmp(b->name, name) != 0)
		b = b->next;
	return b;
}

struct bucket *
store_add_bucket(struct store *store, const char *name)
{
	struct bucket *b = mem_calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->name = mem_strdup(name);
	if (!b->name) {
		mem_free(b);
		return NULL;
	}
	b->created_wall = b->updated_wall = sim_wall_us();
	b->next = store->first;
	store->first = b;
	return b;
}

static json_int_t
size_from_text(const char *s)
{
	char *unit;
	double n = strtod(s, &unit);

	if (strcmp(unit, "GB") == 0)
		n *= 1e9;
	else if (strcmp(unit, "MB") == 0)
		n *= 1e6;
	else if (strcmp(unit, "KB") == 0 || strcmp(unit, "kB") == 0)
		n *= 1e3;
	return n > 0 && n < 1e15 ? (json_int_t)n : 0;
}

bool
bucket_apply(struct bucket *b, const json_t *body)
{
	const json_t *limit = json_object_get(body, "file_size_limit");
	json_t *types = json_object_get(body, "allowed_mime_types");
	const json_t *is_public = json_object_get(body, "public");

	if ((is_public && !json_is_boolean(is_public)) ||
	    (types && !json_is_null(types) && !json_is_array(types)))
		return false;
	if (is_public)
		b->is_public = json_is_true(is_public);
	if (limit)
		b->size_limit = json_is_string(limit) ?
			size_from_text(json_string_value(limit)) : json_integer_value(limit);
	if (types) {
		json_decref(b->types);
		b->types = json_array_size(types) ? json_deep_copy(types) : NULL;
	}
	b->updated_wall = sim_wall_us();
	return true;
}

bool
store_set_bucket(struct store *store, const json_t *body)
{
	const char *name = json_string_value(json_object_get(body, "id"));
	struct bucket *b;

	if (!name)
		name = json_string_value(json_object_get(body, "name"));
	if (!name)
		return false;
	b = store_bucket(store, name);
	if (!b)
		b = store_add_bucket(store, name);
	return b && bucket_apply(b, body);
}

/* Where the name is, or where it would go. */
static size_t
position(const struct bucket *b, const char *name)
{
	size_t from = 0, to = b->n;

	while (from < to) {
		size_t mid = from + (to - from) / 2;

		if (strcmp(b->object[mid]->name, name) < 0)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

struct object *
bucket_find(struct bucket *b, const char *name)
{
	size_t i = position(b, name);

	return i < b->n && strcmp(b->object[i]->name, name) == 0 ? b->object[i] : NULL;
}

static struct object *
insert(struct bucket *b, const char *name)
{
	size_t i = position(b, name);
	struct object *o;

	if (b->n == b->cap) {
		size_t cap = b->cap ? b->cap * 2 : 16;
		struct object **more = mem_realloc(b->object, cap * sizeof(struct object *));

		if (!more)
			return NULL;
		b->object = more;
		b->cap = cap;
	}
	o = mem_calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	o->name = mem_strdup(name);
	if (!o->name) {
		mem_free(o);
		return NULL;
	}
	o->etag = (struct buf)BUF_INIT(64);
	o->content = (struct content)CONTENT_INIT(0);
	sim_new_uuid(o->id);
	o->created_wall = sim_wall_us();
	memmove(&b->object[i + 1], &b->object[i], (b->n - i) * sizeof(struct object *));
	b->object[i] = o;
	b->n++;
	return o;
}

struct object *
bucket_put(struct sim *sim, struct bucket *b, const char *name, struct content *content)
{
	struct store *store = sim->store;
	struct object *o = bucket_find(b, name);
	size_t old = o ? o->content.len : 0;

	if (store->bytes - old + content->len > (size_t)sim->set.max_stored_bytes)
		return NULL;
	if (!o)
		o = insert(b, name);
	if (!o)
		return NULL;
	content_clear(&o->content);
	o->content = *content;
	*content = (struct content)CONTENT_INIT(0);
	store->bytes = store->bytes - old + o->content.len;
	buf_reset(&o->etag);
	buf_putc(&o->etag, '"');
	content_digest_hex(&o->content, "MD5", &o->etag);
	buf_putc(&o->etag, '"');
	sim_new_uuid(o->version);
	o->updated_wall = sim_wall_us();
	return o;
}

void
object_set(struct object *o, const char *type, const char *cache_control)
{
	mem_free(o->type);
	mem_free(o->cache_control);
	o->type = mem_strdup(type);
	o->cache_control = mem_strdup(cache_control);
	json_decref(o->metadata);
	o->metadata = json_object();
}

bool
bucket_remove(struct store *store, struct bucket *b, const char *name)
{
	size_t i = position(b, name);

	if (!bucket_find(b, name))
		return false;
	store->bytes -= b->object[i]->content.len;
	object_free(b->object[i]);
	b->n--;
	memmove(&b->object[i], &b->object[i + 1], (b->n - i) * sizeof(struct object *));
	return true;
}

size_t
store_count(const struct store *store)
{
	size_t n = 0;

	for (const struct bucket *b = store->first; b; b = b->next)
		n += b->n;
	return n;
}

json_t *
store_objects_json(const struct store *store)
{
	json_t *list = json_array();

	for (const struct bucket *b = store->first; b; b = b->next) {
		for (size_t i = 0; i < b->n; i++) {
			const struct object *o = b->object[i];
			struct buf sha = BUF_INIT(128);

			content_digest_hex(&o->content, "SHA256", &sha);
			json_array_append_new(list, json_pack(
				"{s:s,s:s,s:s,s:I,s:s,s:s,s:s}", "bucket", b->name,
				"name", o->name, "id", o->id,
				"size", (json_int_t)o->content.len, "content_type", o->type,
				"cache_control", o->cache_control, "sha256", buf_str(&sha)));
			buf_clear(&sha);
		}
	}
	return list;
}

void
store_mac(const struct store *store, const char *text, struct buf *out)
{
	uint8_t mac[32];

	if (sim_hmac_sha256(store->key, sizeof(store->key), text, strlen(text), mac))
		sim_hex(mac, sizeof(mac), out);
}
