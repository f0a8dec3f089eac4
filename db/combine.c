#include "config.h"

#include "db/combine.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "base/clock.h"

#define BATCH_MAX 8	/* pairs of parameters in SQL_job_show_many: db/many-sql.sh */
/* One statement at a time makes the fullest batches.  But where Postgres is far
 * away, or a statement hangs, those that come later than this send another. */
#define PATIENCE_US 2000
#define LEADERS_MAX 4
/* When nothing was answered for so long, more would wait here unseen: each stands in
 * the pool's line for itself, and is turned away there. */
#define HANGS_US 100000

/* A result that several read. */
struct answer {
	PGresult *res;
	atomic_size_t readers;
};

/* One lookup, on the stack of the thread that waits for it. */
struct lookup {
	struct lookup *next;
	const struct uuid *owner, *job;
	int64_t deadline_us;
	enum db_caller caller;
	sem_t wake;		/* posted once: it is answered, or it leads */
	bool leads;		/* is to send a statement: nobody else takes it out */
	enum err_code rc;
	struct err err;
	struct found found;
};

struct combiner {
	struct db *db;
	pthread_mutex_t lock;		/* guards all below */
	struct lookup *first, **end;	/* wait to be sent */
	size_t leaders;
	int64_t sent_us;		/* when the last one began */
	int64_t answered_us;		/* when the last one ended well */
};

enum err_code
combiner_new(struct db *db, struct combiner **ret, struct err *err)
{
	struct combiner *c = mem_calloc(1, sizeof *c);

	if (!c)
		return err_set(err, ERR_NOMEM, "database pool");
	c->db = db;
	c->end = &c->first;
	pthread_mutex_init(&c->lock, NULL);
	*ret = c;
	return ERR_OK;
}

void
combiner_free(struct combiner **combiner)
{
	struct combiner *c = *combiner;

	if (!c)
		return;
	pthread_mutex_destroy(&c->lock);
	mem_free(c);
	*combiner = NULL;
}

/* Give each lookup of a batch its part of the result, which is stolen. */
static enum err_code
share(struct lookup *const *batch, size_t n, PGresult *res)
{
	struct answer *answer = mem_alloc(sizeof *answer);
	bool numbered = n > 1;

	if (!answer) {
		PQclear(res);
		return ERR_NOMEM;
	}
	answer->res = res;
	atomic_init(&answer->readers, n);
	for (size_t i = 0; i < n; i++)
		batch[i]->found = (struct found){ .res = res, .row = -1, .answer = answer };
	for (int row = 0; row < PQntuples(res); row++) {
		int64_t which = numbered ? row_i64(res, row, "n", 0) - 1 : 0;

		if (which >= 0 && (size_t)which < n)
			batch[which]->found.row = row;
	}
	return ERR_OK;
}

/* Send one statement for all of a batch. */
static enum err_code
ask(struct combiner *c, struct lookup *const *batch, size_t n, struct err *err)
{
	char texts[2 * BATCH_MAX][UUID_TEXT_SIZE];
	const char *params[2 * BATCH_MAX] = { NULL };
	PGresult *res = NULL;
	enum db_caller caller, was;
	int64_t left_ms;
	enum err_code rc;

	assert(n > 0);
	caller = batch[0]->caller;
	for (size_t i = 0; i < n; i++) {
		if (batch[i]->caller > caller)
			caller = batch[i]->caller;
		uuid_format(batch[i]->owner, texts[2 * i]);
		uuid_format(batch[i]->job, texts[2 * i + 1]);
		params[2 * i] = texts[2 * i];
		params[2 * i + 1] = texts[2 * i + 1];
	}
	/* The first has waited longest, so nobody waits for longer than its own time. */
	left_ms = (batch[0]->deadline_us - clock_mono_us()) / 1000;
	/* As the one that is turned away last: it must not be for the others' sake. */
	was = db_call_as(caller);
	rc = db_query_within(c->db, left_ms > 0 ? (uint64_t)left_ms : 0,
		n > 1 ? SQL_job_show_many : SQL_job_show, params, n > 1 ? 2 * BATCH_MAX : 2, &res, err);
	db_call_as(was);
	if (!rc && share(batch, n, res))
		rc = err_set(err, ERR_NOMEM, "looking up jobs");
	return rc;
}

/* The one that has waited longest is to send a statement, if none is under way, or
 * for too long: wake() it.  With the lock. */
static struct lookup *
appoint(struct combiner *c)
{
	struct lookup *l = c->first;

	if (!l || l->leads || c->leaders == LEADERS_MAX ||
	    (c->leaders > 0 && clock_mono_us() < c->sent_us + PATIENCE_US))
		return NULL;
	c->leaders++;
	l->leads = true;
	return l;
}

/* Without the lock: whoever wakes does not have to wait for it.  It may be gone
 * when this returns. */
static void
wake(struct lookup *l)
{
	if (l)
		sem_post(&l->wake);
}

/* For the first that waits. */
static void
lead(struct combiner *c)
{
	struct lookup *batch[BATCH_MAX] = { NULL }, *next;
	struct err err = ERR_INIT;
	enum err_code rc;
	size_t n = 0;

	pthread_mutex_lock(&c->lock);
	while (n < BATCH_MAX && c->first) {
		batch[n++] = c->first;
		c->first = c->first->next;
	}
	if (!c->first)
		c->end = &c->first;
	c->sent_us = clock_mono_us();
	next = appoint(c);
	pthread_mutex_unlock(&c->lock);
	wake(next);

	rc = ask(c, batch, n, &err);

	pthread_mutex_lock(&c->lock);
	c->leaders--;
	if (!rc)
		c->answered_us = clock_mono_us();
	next = appoint(c);
	pthread_mutex_unlock(&c->lock);
	wake(next);
	for (size_t i = 0; i < n; i++) {
		batch[i]->rc = rc;
		if (rc)
			batch[i]->err = err;
		if (!batch[i]->leads)
			wake(batch[i]);
	}
}

/* With the lock. */
static bool
hangs(const struct combiner *c)
{
	return c->leaders > 0 && clock_mono_us() - c->answered_us >= HANGS_US;
}

static enum err_code
ask_alone(struct combiner *c, struct lookup *l, struct found *ret, struct err *err)
{
	struct lookup *const batch[] = { l };
	enum err_code rc = ask(c, batch, 1, err);

	if (rc)
		return rc;
	db_admit();
	*ret = l->found;
	return ERR_OK;
}

/* Out of the queue, if nobody has begun anything for it. */
static bool
withdraw(struct combiner *c, const struct lookup *l)
{
	struct lookup **at = &c->first;
	bool found;

	pthread_mutex_lock(&c->lock);
	while (*at && *at != l)
		at = &(*at)->next;
	found = *at && !l->leads;
	if (found) {
		*at = l->next;
		if (!l->next)
			c->end = at;
	}
	pthread_mutex_unlock(&c->lock);
	return found;
}

/* Until it is answered or leads; false: it has waited for too long, and is out. */
static bool
wait_for_turn(struct combiner *c, struct lookup *l)
{
	struct timespec until;
	int rc;
	int64_t until_us = clock_wall_us() + db_patience_us(c->db) - clock_mono_us();

	/* There is a semaphore's wait by the wall clock only; one that is put back or
	 * forward meanwhile makes this wait longer or shorter. */
	until.tv_sec = until_us / 1000000;
	until.tv_nsec = until_us % 1000000 * 1000;
	while ((rc = sem_timedwait(&l->wake, &until)) && errno == EINTR)
		;
	if (!rc)
		return true;
	if (l->caller == DB_REQUEST && withdraw(c, l))
		return false;
	while (sem_wait(&l->wake) && errno == EINTR)
		;
	return true;
}

enum err_code
combine_show(struct combiner *c, const struct uuid *owner, const struct uuid *job,
	struct found *ret, struct err *err)
{
	struct lookup l = { .owner = owner, .job = job, .deadline_us = db_deadline_us(c->db),
		.caller = db_calls_as() };
	struct lookup *next;

	sem_init(&l.wake, 0, 0);
	pthread_mutex_lock(&c->lock);
	if (hangs(c)) {
		pthread_mutex_unlock(&c->lock);
		sem_destroy(&l.wake);
		return ask_alone(c, &l, ret, err);
	}
	*c->end = &l;
	c->end = &l.next;
	next = appoint(c);
	pthread_mutex_unlock(&c->lock);
	wake(next);
	if (!wait_for_turn(c, &l)) {
		sem_destroy(&l.wake);
		return db_overloaded("no lookup of jobs ended in time (db_wait)", err);
	}
	if (l.leads)
		lead(c);
	sem_destroy(&l.wake);
	/* The leader's own was counted where it was turned away. */
	if (l.rc == ERR_OVERLOADED && !l.leads)
		return db_overloaded(l.err.text, err);
	if (l.rc)
		return err_set(err, l.rc, "%s", l.err.text);
	db_admit();
	*ret = l.found;
	return ERR_OK;
}

void
found_clear(struct found *found)
{
	struct answer *answer = found->answer;

	if (answer && atomic_fetch_sub(&answer->readers, 1) == 1) {
		PQclear(answer->res);
		mem_free(answer);
	}
	found->answer = NULL;
}
