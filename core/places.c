#include "config.h"

#include "core/places.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#define BUCKETS 1024		/* by owner */

/* Who has places; gone with the last one. */
struct holder {
	struct holder *next;
	struct uuid owner;
	uint64_t n;
};

struct places {
	pthread_mutex_t lock;		/* guards all below */
	uint64_t per_user, in_all;
	uint64_t n;
	struct holder *buckets[BUCKETS];
};

enum err_code
places_new(struct places **ret, struct err *err)
{
	struct places *p = mem_calloc(1, sizeof *p);

	if (!p)
		return err_set(err, ERR_NOMEM, "places to wait in");
	pthread_mutex_init(&p->lock, NULL);
	*ret = p;
	return ERR_OK;
}

void
places_free(struct places **places)
{
	struct places *p = *places;

	if (!p)
		return;
	for (size_t b = 0; b < BUCKETS; b++)
		for (struct holder *h = p->buckets[b], *next; h; h = next) {
			next = h->next;
			mem_free(h);
		}
	pthread_mutex_destroy(&p->lock);
	mem_free(p);
	*places = NULL;
}

void
places_limit(struct places *p, uint64_t per_user, uint64_t in_all)
{
	pthread_mutex_lock(&p->lock);
	p->per_user = per_user;
	p->in_all = in_all;
	pthread_mutex_unlock(&p->lock);
}

/* The end of an id is drawn at random, also where its beginning is a time. */
static struct holder **
find(struct places *p, const struct uuid *owner)
{
	struct holder **at;
	uint32_t hash;

	memcpy(&hash, owner->b + sizeof owner->b - sizeof hash, sizeof hash);
	at = &p->buckets[hash % BUCKETS];
	while (*at && !uuid_equal(&(*at)->owner, owner))
		at = &(*at)->next;
	return at;
}

/* With the lock. */
static enum err_code
take_for(struct places *p, const struct uuid *owner)
{
	struct holder **at = find(p, owner);

	if (!*at) {
		*at = mem_calloc(1, sizeof **at);
		if (!*at)
			return ERR_NOMEM;
		(*at)->owner = *owner;
	} else if ((*at)->n >= p->per_user) {
		return ERR_TOO_MANY;
	}
	(*at)->n++;
	return ERR_OK;
}

enum err_code
places_take(struct places *p, const struct uuid *owner)
{
	enum err_code rc = ERR_OK;

	pthread_mutex_lock(&p->lock);
	if (p->n >= p->in_all)
		rc = ERR_OVERLOADED;
	else if (owner)
		rc = take_for(p, owner);
	if (!rc)
		p->n++;
	pthread_mutex_unlock(&p->lock);
	return rc;
}

void
places_give(struct places *p, const struct uuid *owner)
{
	struct holder **at, *last = NULL;

	pthread_mutex_lock(&p->lock);
	p->n--;
	if (owner) {
		at = find(p, owner);
		assert(*at);
		if (--(*at)->n == 0) {
			last = *at;
			*at = last->next;
		}
	}
	pthread_mutex_unlock(&p->lock);
	mem_free(last);
}
