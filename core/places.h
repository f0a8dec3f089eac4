/*
 * Places for requests that wait for news: so many for one user, so many in all.
 * A waiting request costs no thread, but a connection of the web server's and one
 * of ours, and memory; and each tick asks Postgres about its job.
 *
 * Any thread; one lock, no other is taken under it.
 */
#ifndef GENGATE_CORE_PLACES_H
#define GENGATE_CORE_PLACES_H

#include "base/err.h"
#include "base/id.h"

struct places;

enum err_code places_new(struct places **ret, struct err *err) MUST_CHECK;
void places_free(struct places **places);

/* From now on.  Who has a place keeps it. */
void places_limit(struct places *p, uint64_t per_user, uint64_t in_all);

/*
 * owner: NULL while it is not known who waits, which counts in all only.  Given back
 * by places_give() with the same owner.
 * ERR_TOO_MANY: this user has as many as one may have.  ERR_OVERLOADED: all are taken.
 * ERR_NOMEM.
 */
enum err_code places_take(struct places *p, const struct uuid *owner) MUST_CHECK;
void places_give(struct places *p, const struct uuid *owner);

#endif
