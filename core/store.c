/*
 * Storing: fetch what the provider made, see what it is, keep it.
 */
#include "config.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/pause_point.h"
#include "core/fetch.h"
#include "core/sign.h"
#include "core/step.h"
#include "core/workers.h"
#include "db/assets.h"

/* Like a worker's: what it does is the same. */
#define STACK_BYTES (1024 * 1024)

/* Half a second, and the next four pauses that double it: eight seconds or so. */
#define NOT_THERE_PAUSES 5

/* <owner>/<job>/<index>-<hash16>.<ext>: nobody else writes there, and other
 * bytes would have another name. */
static char *
make_key(const struct job *job, int index, const uint8_t sha[SHA256_BYTES], enum media_type type)
{
	struct buf key = BUF_INIT(256);
	char owner[UUID_TEXT_SIZE], id[UUID_TEXT_SIZE], hash[17];

	uuid_format(&job->owner, owner);
	uuid_format(&job->id, id);
	hex_encode(sha, 8, hash);
	buf_printf(&key, "%s/%s/%d-%s.%s", owner, id, index, hash, media_ext(type));
	return buf_take(&key);
}

/* From where it is: the internet, or the answer that it came in. */
static enum err_code
fetch_asset(struct service *svc, const struct provider *p, const void *settings, const struct job *job,
	const struct asset *asset, int *ret_fd, uint64_t *ret_bytes, struct err *err)
{
	char *text = NULL;
	enum err_code rc;

	if (asset->source_url)
		return fetch_output(svc, p, settings, asset->source_url, ret_fd, ret_bytes, err);
	rc = assets_inline(svc->db, job, asset->index, &text, err);
	if (rc == ERR_NOT_FOUND)
		rc = err_set(err, ERR_OUTPUTS_LOST, "%s", err->text);
	if (!rc)
		rc = fetch_inline(svc, p, text, ret_fd, ret_bytes, err);
	mem_free(text);
	return rc;
}

/* ERR_TOO_BIG, ERR_OUTPUT_TYPE, ERR_OUTPUTS_LOST, ERR_REFUSED: for good. */
static enum err_code
keep(struct service *svc, const struct job *job, const struct asset *asset, struct err *err)
{
	struct stored_asset kept = { .index = asset->index };
	struct storage_file file = { .fd = -1, .sha256 = kept.sha256 };
	const void *settings;
	const struct provider *p = service_provider(svc, job->provider, &settings);
	struct buf signed_url = BUF_INIT(16384);
	char *key = NULL;
	enum err_code rc;

	if (!p)
		return err_set(err, ERR_OUTPUTS_LOST, "this program has no provider \"%s\"", job->provider);
	rc = fetch_asset(svc, p, settings, job, asset, &file.fd, &kept.bytes, err);
	if (!rc)
		rc = media_probe(file.fd, kept.bytes, &kept.media, err);
	if (!rc)
		rc = sha256_file(file.fd, kept.sha256, err);
	if (!rc && !(key = make_key(job, asset->index, kept.sha256, kept.media.type)))
		rc = err_set(err, ERR_NOMEM, "key");
	if (!rc)
		rc = assets_named(svc->db, job, asset->index, key, err);
	if (!rc) {
		kept.key = file.key = key;
		file.bytes = kept.bytes;
		file.type = kept.media.type;
		PAUSE_POINT("output.fetched");
		rc = step_put(svc, &file, err);
		PAUSE_POINT("output.stored");
	}
	if (!rc && service_signs(svc)) {
		rc = sign_key(svc, key, &signed_url, &kept.signed_until_us, err);
		kept.signed_url = buf_str(&signed_url);
	}
	if (!rc)
		rc = assets_stored(svc->db, job, &kept, err);
	if (file.fd >= 0)
		close(file.fd);
	buf_clear(&signed_url);
	mem_free(key);
	return rc;
}

static bool
is_for_good(enum err_code rc)
{
	return rc == ERR_TOO_BIG || rc == ERR_OUTPUT_TYPE || rc == ERR_OUTPUTS_LOST || rc == ERR_REFUSED;
}

/* The outputs of a step: its threads take one after the other. */
struct keeping {
	struct service *svc;
	const struct job *job;
	const struct asset *assets;
	size_t n;
	enum err_code *results;		/* of each */
	atomic_uint_least64_t wait_ms;	/* the longest that storage or host asked for */
	atomic_size_t next;
};

/* The longest counts. */
static void
wait_for(struct keeping *k, uint64_t wait_ms)
{
	uint_least64_t longest = atomic_load(&k->wait_ms);

	while (wait_ms > longest && !atomic_compare_exchange_weak(&k->wait_ms, &longest, wait_ms))
		;
}

static bool
was_cut_off(const struct keeping *k)
{
	for (size_t i = 0; i < k->n; i++)
		if (k->results[i] == ERR_STOPPING)
			return true;
	return false;
}

static void *
keep_some(void *arg)
{
	struct keeping *k = arg;
	size_t i;

	while ((i = atomic_fetch_add(&k->next, 1)) < k->n) {
		struct err why = ERR_INIT;

		k->results[i] = keep(k->svc, k->job, &k->assets[i], &why);
		if (!k->results[i])
			continue;
		step_failed(k->job, "store", why.text);
		wait_for(k, why.wait_ms);
	}
	return NULL;
}

/* Several at once, this thread among them; it does without those that cannot
 * be started. */
static void
keep_each(struct keeping *k)
{
	pthread_t helpers[STORE_AT_ONCE - 1];
	pthread_attr_t attr;
	size_t n = 0;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	while (n < STORE_AT_ONCE - 1 && n + 1 < k->n &&
	       pthread_create(&helpers[n], &attr, keep_some, k) == 0)
		n++;
	pthread_attr_destroy(&attr);
	keep_some(k);
	while (n-- > 0)
		pthread_join(helpers[n], NULL);
}

/* A host may say for a while that an output is not there, or not for us.  true:
 * it has said so often enough. */
static bool
count_misses(struct job *job, const struct keeping *k)
{
	bool not_there = false;

	for (size_t i = 0; i < k->n; i++)
		not_there |= k->results[i] == ERR_NOT_FOUND;
	if (not_there != (job->misses > 0))
		job->tries = 0;
	job->misses = not_there ? job->misses + 1 : 0;
	return job->misses > NOT_THERE_PAUSES;
}

/* *ret_open: how many are to be tried again; *ret_wait_ms: not before, as those
 * asked that were tried; 0: nobody did. */
static enum err_code
keep_all(struct service *svc, struct job *job, size_t *ret_open, uint64_t *ret_wait_ms, struct err *err)
{
	struct asset *assets = NULL;
	struct keeping k = { .svc = svc, .job = job };
	enum err_code rc = assets_open(svc->db, job, &assets, &k.n, err);
	bool enough = false;

	*ret_open = 0;
	k.assets = assets;
	k.results = mem_calloc(k.n ? k.n : 1, sizeof *k.results);
	if (!rc && !k.results)
		rc = err_set(err, ERR_NOMEM, "outputs");
	if (!rc)
		keep_each(&k);
	if (!rc && was_cut_off(&k))
		rc = err_set(err, ERR_STOPPING, "cut off by our own stop");
	if (!rc)
		enough = count_misses(job, &k);
	for (size_t i = 0; !rc && i < k.n; i++) {
		enum err_code kept = k.results[i];

		if (is_for_good(kept) || (kept == ERR_NOT_FOUND && enough) ||
		    (kept && job->time_left_ms <= 0))
			rc = assets_give_up(svc->db, job, assets[i].index,
				kept == ERR_OUTPUT_TYPE ? ERR_OUTPUT_TYPE : ERR_OUTPUTS_LOST, err);
		else if (kept)
			++*ret_open;
	}
	*ret_wait_ms = atomic_load(&k.wait_ms);
	mem_free(k.results);
	assets_free(&assets, k.n);
	return rc;
}

/* Everything is kept or given up: how does the job end? */
static enum err_code
find_end(struct service *svc, const struct job *job, struct job_event *ev, struct err *err)
{
	enum err_code why = ERR_OK, rc;
	int lost = 0;

	rc = assets_lost(svc->db, job, &lost, &why, err);
	if (!rc && lost > 0) {
		ev->kind = EV_STORE_FAILED;
		ev->error = why;
	}
	return rc;
}

/* Not earlier than was asked for, and not after its own end, when it is given up. */
static uint64_t
pause_ms(const struct job *job, uint64_t asked_ms)
{
	uint64_t ms = backoff_ms(job->tries), left_ms;

	if (!asked_ms)
		return ms;
	asked_ms = after_ms(asked_ms);
	left_ms = job->time_left_ms > 0 ? (uint64_t)job->time_left_ms : 0;
	if (asked_ms > left_ms)
		asked_ms = left_ms;
	return asked_ms > ms ? asked_ms : ms;
}

void
store_step(struct service *svc, struct job *job)
{
	struct job_event ev = { .kind = EV_STORED };
	const struct apply how = { .road = NULL };
	struct err err = ERR_INIT;
	size_t open = 0;
	uint64_t wait_ms = 0;
	enum err_code rc;

	rc = keep_all(svc, job, &open, &wait_ms, &err);
	if (rc == ERR_STOPPING) {
		step_give_back(svc, job);
		return;
	}
	if (!rc && open == 0)
		rc = find_end(svc, job, &ev, &err);
	if (rc)
		step_failed(job, "store", err.text);
	if (rc || open > 0) {
		step_later(svc, job, pause_ms(job, wait_ms));
	} else {
		PAUSE_POINT("job.settling");
		step_apply(svc, job, &ev, &how);
	}
}
