#include "config.h"

#include "core/remember.h"

#include <pthread.h>

#define NONE UINT32_MAX

struct entry {
	uint8_t digest[SHA256_BYTES];
	struct uuid user;
	int64_t until_s;
	uint32_t next;			/* in its bucket */
	uint32_t newer, older;		/* by their last use */
};

struct remembered {
	pthread_mutex_t lock;		/* guards all below */
	unsigned epoch;
	uint32_t max, n;
	uint32_t newest, oldest;
	uint32_t n_buckets;		/* a power of two */
	uint32_t *buckets;
	struct entry *entries;
};

static void
empty(struct remembered *r)
{
	r->n = 0;
	r->newest = r->oldest = NONE;
	memset(r->buckets, 0xff, r->n_buckets * sizeof *r->buckets);
}

enum err_code
remembered_new(size_t max, struct remembered **ret, struct err *err)
{
	struct remembered *r = mem_calloc(1, sizeof *r);

	if (!r)
		return err_set(err, ERR_NOMEM, "remembered tokens");
	pthread_mutex_init(&r->lock, NULL);
	r->max = (uint32_t)max;
	for (r->n_buckets = 1; r->n_buckets < r->max; r->n_buckets *= 2)
		;
	r->buckets = mem_alloc(r->n_buckets * sizeof *r->buckets);
	/* What is never used of it takes no memory. */
	r->entries = mem_calloc(r->max, sizeof *r->entries);
	if (!r->buckets || !r->entries) {
		remembered_free(&r);
		return err_set(err, ERR_NOMEM, "remembered tokens");
	}
	empty(r);
	*ret = r;
	return ERR_OK;
}

void
remembered_free(struct remembered **remembered)
{
	struct remembered *r = *remembered;

	if (!r)
		return;
	mem_free(r->buckets);
	mem_free(r->entries);
	pthread_mutex_destroy(&r->lock);
	mem_free(r);
	*remembered = NULL;
}

/* Where the index of that token is, or would be.  A digest's bytes are as good as
 * a hash of it. */
static uint32_t *
find(struct remembered *r, const uint8_t *digest)
{
	uint32_t hash, *at;

	memcpy(&hash, digest, sizeof hash);
	at = &r->buckets[hash & (r->n_buckets - 1)];
	while (*at != NONE && memcmp(r->entries[*at].digest, digest, SHA256_BYTES) != 0)
		at = &r->entries[*at].next;
	return at;
}

static void
unlink_use(struct remembered *r, uint32_t i)
{
	struct entry *e = &r->entries[i];

	*(e->newer == NONE ? &r->newest : &r->entries[e->newer].older) = e->older;
	*(e->older == NONE ? &r->oldest : &r->entries[e->older].newer) = e->newer;
}

static void
link_newest(struct remembered *r, uint32_t i)
{
	struct entry *e = &r->entries[i];

	e->newer = NONE;
	e->older = r->newest;
	*(r->newest == NONE ? &r->oldest : &r->entries[r->newest].newer) = i;
	r->newest = i;
}

bool
remembered_find(struct remembered *r, const uint8_t digest[SHA256_BYTES], int64_t now_s,
	struct uuid *ret_user, unsigned *ret_epoch)
{
	uint32_t i;
	bool good;

	pthread_mutex_lock(&r->lock);
	i = *find(r, digest);
	good = i != NONE && now_s < r->entries[i].until_s;
	if (good) {
		*ret_user = r->entries[i].user;
		unlink_use(r, i);
		link_newest(r, i);
	}
	*ret_epoch = r->epoch;
	pthread_mutex_unlock(&r->lock);
	return good;
}

/* The place of a new one: a free one, or that of the oldest. */
static uint32_t
make_room(struct remembered *r)
{
	uint32_t i = r->oldest, *at;

	if (r->n < r->max)
		return r->n++;
	at = find(r, r->entries[i].digest);
	*at = r->entries[i].next;
	unlink_use(r, i);
	return i;
}

void
remembered_put(struct remembered *r, const uint8_t digest[SHA256_BYTES], const struct uuid *user,
	int64_t until_s, unsigned epoch)
{
	pthread_mutex_lock(&r->lock);
	/* Two may have verified it at the same time. */
	if (epoch == r->epoch && *find(r, digest) == NONE) {
		uint32_t i = make_room(r), *at = find(r, digest);
		struct entry *e = &r->entries[i];

		memcpy(e->digest, digest, sizeof e->digest);
		e->user = *user;
		e->until_s = until_s;
		e->next = NONE;
		*at = i;
		link_newest(r, i);
	}
	pthread_mutex_unlock(&r->lock);
}

void
remembered_forget(struct remembered *r)
{
	pthread_mutex_lock(&r->lock);
	r->epoch++;
	empty(r);
	pthread_mutex_unlock(&r->lock);
}
