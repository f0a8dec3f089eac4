#include "config.h"

#include "core/intake.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/media.h"
#include "base/metrics.h"
#include "base/pause_point.h"
#include "base/temp_file.h"
#include "core/places.h"
#include "core/step.h"
#include "core/watch.h"
#include "core/workers.h"
#include "db/inputs.h"

#define STACK_BYTES (1024 * 1024)

/* A storage that stumbles is tried again twice; somebody waits for it. */
#define TRIES 3
#define PAUSE_MS 300

struct item {
	int fd;				/* -1: a path */
	uint64_t bytes;
	enum media_type type;
	uint8_t sha256[SHA256_BYTES];
	char *key;			/* NULL: a file that nobody has taken yet */
	size_t index;			/* in the request's inputs */
};

struct intake {
	struct intake *next;		/* in the queue */
	struct intakes *all;
	atomic_uint refs;
	struct uuid owner, job;
	struct item items[INTAKE_ITEMS_MAX];
	size_t n;
	uint64_t bytes;			/* of all files */
	bool has_place;			/* in the spool */
	uint64_t reserved;
	bool sent;			/* to the threads: one of them, or their queue, has a reference */
	bool named;			/* the database may know of it */
	bool made;

	atomic_bool done;		/* then: */
	enum err_code rc;
	struct err err;
	size_t wrong;			/* index of the input that it is about */
};

struct intakes {
	struct current *current;
	struct places *places;		/* of requests in the spool */
	pthread_mutex_t lock;		/* guards all below */
	pthread_cond_t work;
	pthread_t threads[INTAKE_THREADS_MAX];
	size_t n_threads, idle;
	struct intake *first, **last;
	size_t queued;
	uint64_t bytes;			/* in the spool */
	bool stopping;
};

/* ---- the spool ---- */

enum err_code
intake_new(struct service *svc, const struct uuid *owner, struct intake **ret, struct err *err)
{
	struct intake *in = mem_calloc(1, sizeof *in);
	enum err_code rc;

	if (!in)
		return err_set(err, ERR_NOMEM, "inputs");
	in->all = svc->intakes;
	in->owner = *owner;
	atomic_store(&in->refs, 1);
	rc = uuid_new(&in->job, err);
	if (rc) {
		mem_free(in);
		return rc;
	}
	*ret = in;
	return ERR_OK;
}

static enum err_code
take_place(struct service *svc, struct intake *in, struct err *err)
{
	struct places *places = in->all->places;
	enum err_code rc;

	places_limit(places, svc->settings->spool_per_user, svc->settings->spool_requests);
	rc = places_take(places, &in->owner);
	if (rc == ERR_TOO_MANY || rc == ERR_OVERLOADED)
		metric_add(METRIC_LIMITED, 1, rc == ERR_TOO_MANY ? "spool_per_user" : "spool_requests");
	if (rc)
		return err_set(err, rc, "no place in the spool (spool_per_user, spool_requests)");
	in->has_place = true;
	return ERR_OK;
}

enum err_code
intake_reserve(struct service *svc, struct intake *in, uint64_t bytes, struct err *err)
{
	struct intakes *all = in->all;
	uint64_t more = bytes > in->reserved ? bytes - in->reserved : 0;
	enum err_code rc = in->has_place ? ERR_OK : take_place(svc, in, err);
	bool fits;

	if (rc)
		return rc;
	pthread_mutex_lock(&all->lock);
	fits = all->bytes + more <= svc->settings->spool_bytes;
	if (fits) {
		all->bytes += more;
		in->reserved += more;
	}
	pthread_mutex_unlock(&all->lock);
	if (fits)
		return ERR_OK;
	metric_add(METRIC_LIMITED, 1, "spool_bytes");
	return err_set(err, ERR_OVERLOADED, "the spool is full (spool_bytes)");
}

static void
give_back(struct intake *in)
{
	if (in->has_place)
		places_give(in->all->places, &in->owner);
	pthread_mutex_lock(&in->all->lock);
	in->all->bytes -= in->reserved;
	pthread_mutex_unlock(&in->all->lock);
}

static enum err_code
next_item(struct intake *in, struct item **ret, struct err *err)
{
	if (in->n == INTAKE_ITEMS_MAX)
		return err_set(err, ERR_BAD_REQUEST, "the request has more than %d inputs", INTAKE_ITEMS_MAX);
	*ret = &in->items[in->n];
	**ret = (struct item){ .fd = -1 };
	return ERR_OK;
}

enum err_code
intake_begin_file(struct service *svc, struct intake *in, struct err *err)
{
	struct item *item = NULL;
	enum err_code rc = next_item(in, &item, err);

	if (!rc)
		rc = intake_reserve(svc, in, in->bytes, err);
	if (!rc)
		rc = temp_file(svc->settings->spool_dir, &item->fd, err);
	if (!rc)
		in->n++;
	return rc;
}

enum err_code
intake_write(struct service *svc, struct intake *in, const char *p, size_t len, struct err *err)
{
	const struct settings *s = svc->settings;
	struct item *item = &in->items[in->n - 1];
	enum err_code rc;

	if (item->bytes + len > s->max_input_bytes)
		return err_set(err, ERR_TOO_BIG, "input %zu is too large: at most %llu bytes are taken",
			in->n, (unsigned long long)s->max_input_bytes);
	if (in->bytes + len > s->max_inputs_bytes)
		return err_set(err, ERR_TOO_BIG, "the inputs are too large: at most %llu bytes are taken in all",
			(unsigned long long)s->max_inputs_bytes);
	rc = intake_reserve(svc, in, in->bytes + len, err);
	if (!rc)
		rc = temp_file_put(item->fd, p, len, item->bytes, err);
	if (rc)
		return rc;
	item->bytes += len;
	in->bytes += len;
	return ERR_OK;
}

void
intake_undo_file(struct intake *in)
{
	struct item *item = &in->items[--in->n];

	close(item->fd);
	in->bytes -= item->bytes;
}

size_t
intake_count(const struct intake *in)
{
	return in->n;
}

/* <owner>/<job>/<index>-<hash16>.<ext>: nobody else writes there, and other bytes
 * would have another name. */
static char *
make_key(const struct intake *in, const struct item *item)
{
	struct buf key = BUF_INIT(256);
	char owner[UUID_TEXT_SIZE], job[UUID_TEXT_SIZE], hash[17];

	uuid_format(&in->owner, owner);
	uuid_format(&in->job, job);
	hex_encode(item->sha256, 8, hash);
	buf_printf(&key, "%s/%s/%zu-%s.%s", owner, job, item->index, hash, media_ext(item->type));
	return buf_take(&key);
}

enum err_code
intake_take_file(struct intake *in, size_t n, size_t index, const char **ret_key,
	uint8_t ret_sha[SHA256_BYTES], struct err *err)
{
	struct item *item = &in->items[n];
	struct media media;
	enum err_code rc = media_probe(item->fd, item->bytes, &media, err);

	if (!rc)
		rc = sha256_file(item->fd, item->sha256, err);
	if (rc)
		return rc;
	item->type = media.type;
	item->index = index;
	item->key = make_key(in, item);
	if (!item->key)
		return err_set(err, ERR_NOMEM, "key of an input");
	*ret_key = item->key;
	memcpy(ret_sha, item->sha256, SHA256_BYTES);
	return ERR_OK;
}

enum err_code
intake_add_path(struct intake *in, const char *path, size_t index, struct err *err)
{
	struct item *item = NULL;
	enum err_code rc = next_item(in, &item, err);

	if (rc)
		return rc;
	item->key = mem_strdup(path);
	if (!item->key)
		return err_set(err, ERR_NOMEM, "path of an input");
	item->index = index;
	in->n++;
	return ERR_OK;
}

const struct uuid *
intake_job(const struct intake *in)
{
	return &in->job;
}

const struct uuid *
intake_owner(const struct intake *in)
{
	return &in->owner;
}

void
intake_made(struct intake *in)
{
	in->made = true;
}

/* ---- the end ---- */

/* If the database is away, or we die, they are swept later. */
static void
drop(struct intake *in)
{
	struct service *svc = service_pin(in->all->current);
	struct err err = ERR_INIT;
	char id[UUID_TEXT_SIZE];
	bool dropped = false;

	if (inputs_drop(svc->db, &in->owner, &in->job, &dropped, &err)) {
		uuid_format(&in->job, id);
		log_event(LOG_WARN, "inputs.drop_failed", KV_STR("job", id), KV_STR("error", err.text));
	}
	if (dropped)
		workers_hint_removal(svc->workers);
	service_unpin(&svc);
}

void
intake_unref(struct intake **pin)
{
	struct intake *in = *pin;

	*pin = NULL;
	if (!in || atomic_fetch_sub(&in->refs, 1) > 1)
		return;
	if (in->named && !in->made)
		drop(in);
	for (size_t i = 0; i < in->n; i++) {
		if (in->items[i].fd >= 0)
			close(in->items[i].fd);
		mem_free(in->items[i].key);
	}
	give_back(in);
	mem_free(in);
}

/* ---- storing ---- */

static enum err_code
name_all(struct service *svc, struct intake *in, struct err *err)
{
	json_t *inputs = json_array();
	enum err_code rc = inputs ? ERR_OK : ERR_NOMEM;
	size_t going;

	for (size_t i = 0; i < in->n && !rc; i++)
		if (json_array_append_new(inputs, json_pack("{ss, sb}", "key", in->items[i].key,
				"uploaded", (int)(in->items[i].fd >= 0))))
			rc = ERR_NOMEM;
	if (rc)
		err_set(err, rc, "names of inputs");
	else
		rc = inputs_name(svc->db, &in->owner, &in->job, inputs, &going, err);
	if (rc == ERR_NOT_FOUND)
		in->wrong = in->items[going].index;
	in->named = true;	/* perhaps, if it failed */
	json_decref(inputs);
	return rc;
}

static enum err_code
bring_in(struct service *svc, const struct item *item, struct err *err)
{
	const struct storage_file file = {
		.area = STORAGE_INPUTS, .key = item->key, .fd = item->fd, .bytes = item->bytes,
		.type = item->type, .sha256 = item->sha256,
	};

	if (item->fd < 0)
		return svc->storage->look(svc->storage_settings, svc->http, STORAGE_INPUTS, item->key, err);
	return step_put(svc, &file, err);
}

static bool
is_worth_another_try(enum err_code rc)
{
	return rc == ERR_UPSTREAM || rc == ERR_NOT_SENT || rc == ERR_NO_ANSWER;
}

static enum err_code
bring_in_surely(struct service *svc, const struct item *item, struct err *err)
{
	enum err_code rc = bring_in(svc, item, err);

	for (int tries = 1; tries < TRIES && is_worth_another_try(rc); tries++) {
		nanosleep(&(struct timespec){ .tv_nsec = PAUSE_MS * 1000000L * tries }, NULL);
		rc = bring_in(svc, item, err);
	}
	return rc;
}

/* What became of an input, in the words of intake_result(). */
static enum err_code
judge(enum err_code rc, struct err *err)
{
	if (rc == ERR_REFUSED)
		return ERR_INVALID;
	if (rc && rc != ERR_NOT_FOUND && rc != ERR_NOMEM && rc != ERR_STOPPING)
		return err_prefix(err, ERR_STORAGE_UNAVAILABLE, "inputs cannot be stored");
	return rc;
}

/*
 * Its request has ended: the client has gone, or waited for too long.  It gave its
 * place back, so storing the rest would let one user fill the queue and the spool.
 */
static enum err_code
check_wanted(const struct intake *in, struct err *err)
{
	return in->sent && atomic_load(&in->refs) == 1
		? err_set(err, ERR_STOPPING, "nobody waits for these inputs any more") : ERR_OK;
}

void
intake_run(struct service *svc, struct intake *in)
{
	enum err_code rc = check_wanted(in, &in->err);

	if (!rc)
		rc = name_all(svc, in, &in->err);
	if (!rc)
		PAUSE_POINT("inputs.named");
	for (size_t i = 0; i < in->n && !rc; i++) {
		rc = check_wanted(in, &in->err);
		if (!rc)
			rc = judge(bring_in_surely(svc, &in->items[i], &in->err), &in->err);
		in->wrong = in->items[i].index;
	}
	if (!rc)
		PAUSE_POINT("inputs.stored");
	in->rc = rc;
	atomic_store(&in->done, true);
}

bool
intake_done(struct intake *in)
{
	return atomic_load(&in->done);
}

enum err_code
intake_result(const struct intake *in, size_t *ret_index, struct err *err)
{
	*ret_index = in->wrong;
	if (in->rc && err)
		*err = in->err;
	return in->rc;
}

/* ---- threads ---- */

static struct intake *
next(struct intakes *all)
{
	struct intake *in = NULL;

	pthread_mutex_lock(&all->lock);
	all->idle++;
	while (!all->first && !all->stopping)
		pthread_cond_wait(&all->work, &all->lock);
	all->idle--;
	if (!all->stopping) {
		in = all->first;
		all->first = in->next;
		all->queued--;
		if (!all->first)
			all->last = &all->first;
	}
	pthread_mutex_unlock(&all->lock);
	return in;
}

static void *
run(void *arg)
{
	struct intakes *all = arg;
	struct intake *in;

	while ((in = next(all))) {
		struct service *svc = service_pin(all->current);

		json_begin();
		intake_run(svc, in);
		watches_poke(svc->watches, &in->owner, &in->job, GEN_QUEUED);
		service_unpin(&svc);
		intake_unref(&in);
	}
	return NULL;
}

/* With the lock held. */
static bool
has_a_thread(struct intakes *all)
{
	pthread_attr_t attr;

	if (all->idle > all->queued || all->n_threads == INTAKE_THREADS_MAX)
		return true;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	if (pthread_create(&all->threads[all->n_threads], &attr, run, all) == 0)
		all->n_threads++;
	pthread_attr_destroy(&attr);
	return all->n_threads > 0;
}

enum err_code
intake_send(struct intake *in, struct err *err)
{
	struct intakes *all = in->all;
	enum err_code rc = ERR_OK;

	pthread_mutex_lock(&all->lock);
	if (all->stopping) {
		rc = err_set(err, ERR_STOPPING, "inputs");
	} else if (!has_a_thread(all)) {
		rc = err_set(err, ERR_NOMEM, "thread for inputs");
	} else {
		atomic_fetch_add(&in->refs, 1);
		in->sent = true;
		in->next = NULL;
		*all->last = in;
		all->last = &in->next;
		all->queued++;
		pthread_cond_signal(&all->work);
	}
	pthread_mutex_unlock(&all->lock);
	return rc;
}

enum err_code
intakes_new(struct current *current, struct intakes **ret, struct err *err)
{
	struct intakes *all = mem_calloc(1, sizeof *all);
	enum err_code rc = all ? places_new(&all->places, err) : err_set(err, ERR_NOMEM, "inputs");

	if (rc) {
		mem_free(all);
		return rc;
	}
	all->current = current;
	all->last = &all->first;
	pthread_mutex_init(&all->lock, NULL);
	pthread_cond_init(&all->work, NULL);
	*ret = all;
	return ERR_OK;
}

void
intakes_stop(struct intakes *all)
{
	struct intake *in;

	pthread_mutex_lock(&all->lock);
	all->stopping = true;
	in = all->first;
	all->first = NULL;
	all->last = &all->first;
	pthread_cond_broadcast(&all->work);
	pthread_mutex_unlock(&all->lock);
	for (size_t i = 0; i < all->n_threads; i++)
		pthread_join(all->threads[i], NULL);
	all->n_threads = 0;
	while (in) {
		struct intake *next_in = in->next;

		intake_unref(&in);
		in = next_in;
	}
}

void
intakes_free(struct intakes **pall)
{
	struct intakes *all = *pall;

	if (!all)
		return;
	intakes_stop(all);
	pthread_cond_destroy(&all->work);
	pthread_mutex_destroy(&all->lock);
	places_free(&all->places);
	mem_free(all);
	*pall = NULL;
}
