/*
 * Buckets and objects, bounded by the setting max_stored_bytes.
 * All calls want sim->lock held.
 */
#ifndef GENGATE_SIM_STORE_H
#define GENGATE_SIM_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/content.h"
#include "tests/sim/sim.h"

struct object {
	char *name;
	char id[SIM_UUID_SIZE];		/* stays when it is overwritten */
	char version[SIM_UUID_SIZE];	/* changes */
	char *type, *cache_control;
	struct buf etag;		/* with its quotes */
	struct content content;
	json_t *metadata;		/* the user's */
	int64_t created_wall, updated_wall;
};

struct bucket {
	struct bucket *next;
	char *name;
	bool is_public;
	json_int_t size_limit;		/* 0: none */
	json_t *types;			/* array or NULL: all */
	int64_t created_wall, updated_wall;
	struct object **object;		/* by name */
	size_t n, cap;
};

struct store;

struct store *store_new(void);	/* with "outputs", public, and "inputs", private */
void store_free(struct store **store);
void store_reset(struct store *store);

struct bucket *store_bucket(struct store *store, const char *name);
struct bucket *store_first(struct store *store);	/* and on by next */
struct bucket *store_add_bucket(struct store *store, const char *name) MUST_CHECK;
void store_remove_bucket(struct store *store, struct bucket *b);

/* From {"id" or "name", "public", ...}; made if it is not there yet. */
bool store_set_bucket(struct store *store, const json_t *body) MUST_CHECK;

/* Its members; a file_size_limit is a number or a text like "20MB". */
bool bucket_apply(struct bucket *b, const json_t *body) MUST_CHECK;
void bucket_empty(struct store *store, struct bucket *b);

struct object *bucket_find(struct bucket *b, const char *name);

/* Create or overwrite; takes content over if it returns an object, else NULL. */
struct object *bucket_put(struct sim *sim, struct bucket *b, const char *name,
	struct content *content) MUST_CHECK;
void object_set(struct object *o, const char *type, const char *cache_control);
bool bucket_remove(struct store *store, struct bucket *b, const char *name);

size_t store_count(const struct store *store);
json_t *store_objects_json(const struct store *store);	/* new */

/* For signed URLs: a hex MAC over the text, by a key of this run. */
void store_mac(const struct store *store, const char *text, struct buf *out);

#endif
