#include "config.h"

#include "base/http.h"

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/http_transfer.h"

#define MAX_CONNECTIONS 64
#define MAX_PER_HOST 16
#define STREAMS_PER_CONNECTION 100	/* libcurl's own limit, for HTTP/2 */

#define KICK_US 100000
#define STOP_IDLE_MS 3000	/* how long a transfer that has an idle_timeout_ms may stand still in a stop */
#define SLEEP_MS 60000	/* with nothing to do; a wake-up ends it */

static const char stopped[] = "the client was stopped";

struct http_client {
	struct transfer_settings all;
	CURLM *multi;			/* the thread's, but for curl_multi_wakeup() */
	CURL *kick;			/* see kick_waiting() */
	long max_connections, max_per_host;
	pthread_t thread;
	bool has_thread;
	bool has_global;		/* a lazy one has started libcurl itself */

	/* The thread's own. */
	struct origin *origins;
	struct transfer *active;
	struct transfer *held, **held_end;	/* libcurl does not have these yet */
	size_t waiting;			/* of the active, not sent yet */
	int64_t kicked_us;
	bool hurried;			/* a stop has begun */

	pthread_mutex_t lock;		/* for what follows, and transfer.done */
	pthread_cond_t unused;		/* n_callers fell to 0 */
	struct transfer *queue, **queue_end;
	size_t n_callers;		/* inside http_perform() */
	enum stopping { STOP_NOTHING, STOP_READING, STOP_ALL } stopping;
};

/* ---- the client's thread ---- */

static void
end_transfer(struct transfer *t, enum err_code code, const char *why)
{
	transfer_fail(t, code, why);
	t->ended = true;
}

/* All, or those that nobody is connected with. */
static void
free_origins(struct http_client *c, bool all)
{
	for (struct origin **link = &c->origins, *o; (o = *link); ) {
		if (!all && (o->requests || o->sockets)) {
			link = &o->next;
			continue;
		}
		*link = o->next;
		mem_free(o);
	}
}

static struct origin *
find_origin(struct http_client *c, const struct buf *name)
{
	struct origin *o = c->origins;

	while (o && strcmp(o->name, buf_str(name)) != 0)
		o = o->next;
	if (o)
		return o;
	free_origins(c, false);
	o = mem_calloc(1, sizeof *o + name->len + 1);
	if (!o)
		return NULL;
	memcpy(o->name, buf_str(name), name->len);
	/* Without TLS there is no HTTP/2. */
	o->one_at_a_time = strncmp(o->name, "https:", 6) != 0;
	o->next = c->origins;
	c->origins = o;
	return o;
}

/* After this, *t is its caller's and may be gone. */
static void
hand_back(struct http_client *c, struct transfer *t)
{
	pthread_mutex_lock(&c->lock);
	t->done = true;
	pthread_cond_signal(&t->cond);
	pthread_mutex_unlock(&c->lock);
}

static void
hold(struct http_client *c, struct transfer *t)
{
	t->next = NULL;
	*c->held_end = t;
	c->held_end = &t->next;
}

static void
admit(struct http_client *c, struct transfer *t)
{
	t->origin = find_origin(c, &t->host);
	if (!t->origin) {
		end_transfer(t, ERR_NOMEM, "no memory");
		hand_back(c, t);
		return;
	}
	t->origin->requests++;
	curl_easy_setopt(t->easy, CURLOPT_CLOSESOCKETDATA, t->origin);
	hold(c, t);
}

/* The same for what was admitted. */
static void
dismiss(struct http_client *c, struct transfer *t)
{
	t->origin->requests--;
	hand_back(c, t);
}

/* Is there a connection with room for one more?  A server that takes less than
 * libcurl sends gets more connections. */
static bool
has_room(const struct origin *o)
{
	return o->started < (o->opener ? o->room : o->sockets * STREAMS_PER_CONNECTION);
}

static void
start_transfer(struct http_client *c, struct transfer *t)
{
	struct origin *o = t->origin;
	bool room = has_room(o);
	CURLMcode mc;

	o->started++;
	if (!room && !o->one_at_a_time) {
		o->opener = t;
		o->room = o->started;
	}
	mc = curl_multi_add_handle(c->multi, t->easy);
	if (mc)
		end_transfer(t, mc == CURLM_OUT_OF_MEMORY ?
			ERR_NOMEM : ERR_INTERNAL, curl_multi_strerror(mc));
	t->next = c->active;
	c->active = t;
}

static void
stop_transfer(struct http_client *c, struct transfer *t)
{
	curl_multi_remove_handle(c->multi, t->easy);
	transfer_let_others_in(t);
	t->origin->started--;
	dismiss(c, t);
}

/* Start what does not have to wait for a connection that is being made, in the
 * order in which it came.  Returns whether there was any. */
static bool
start_held(struct http_client *c)
{
	struct transfer *t = c->held, *next;
	bool any = false;

	c->held = NULL;
	c->held_end = &c->held;
	for (; t; t = next) {
		const struct origin *o = t->origin;

		next = t->next;
		if (o->one_at_a_time || !o->opener || has_room(o)) {
			start_transfer(c, t);
			any = true;
		} else {
			hold(c, t);
		}
	}
	return any;
}

/* Take what was queued.  Returns what is to stop. */
static enum stopping
admit_queued(struct http_client *c)
{
	struct transfer *t, *next;
	enum stopping stopping;

	pthread_mutex_lock(&c->lock);
	t = c->queue;
	c->queue = NULL;
	c->queue_end = &c->queue;
	stopping = c->stopping;
	pthread_mutex_unlock(&c->lock);
	for (; t; t = next) {
		next = t->next;
		admit(c, t);
	}
	start_held(c);
	return stopping;
}

static void
reap_ended(struct http_client *c)
{
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(c->multi, &left))) {
		char *t_ptr = NULL;
		struct transfer *t;

		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &t_ptr);
		t = (struct transfer *)(void *)t_ptr;
		t->curl_code = msg->data.result;
		t->ended = true;
	}
}

static void
note_progress(struct transfer *t, int64_t now_us)
{
	curl_off_t up = 0;
	uint64_t bytes;

	curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &up);
	bytes = (uint64_t)up + t->header_bytes + t->rs->body_bytes;
	if (bytes == t->progress_bytes)
		return;
	t->progress_bytes = bytes;
	t->progress_us = now_us;
}

/* A stop has less patience with what stands still. */
static uint32_t
idle_ms(const struct http_client *c, const struct http_request *rq)
{
	return c->hurried && rq->idle_timeout_ms > STOP_IDLE_MS ? STOP_IDLE_MS : rq->idle_timeout_ms;
}

/*
 * End it if its time is over; returns when that is to be.  Ours and not
 * libcurl's timeouts: 7.88 does not time a transfer that waits for a free
 * connection, and counts idleness in whole seconds and averages.
 */
static int64_t
check_time(const struct http_client *c, struct transfer *t, int64_t now_us)
{
	int64_t due_us = t->start_us + (int64_t)t->timeout_ms * 1000;
	int64_t idle_us = INT64_MAX;

	if (t->sent && t->rq->idle_timeout_ms) {
		note_progress(t, now_us);
		idle_us = t->progress_us + (int64_t)idle_ms(c, t->rq) * 1000;
	}
	if (now_us >= due_us)
		end_transfer(t, transfer_not_answered(t), t->sent ?
			"timed out waiting for the answer" :
			"timed out waiting for a connection");
	else if (now_us >= idle_us)
		end_transfer(t, c->hurried ? ERR_STOPPING : ERR_NO_ANSWER, "timed out with nothing moving");
	return idle_us < due_us ? idle_us : due_us;
}

/* Hand back what has ended; returns when the next one is due. */
static int64_t
sweep_active(struct http_client *c, int64_t now_us)
{
	int64_t next_us = INT64_MAX;
	struct transfer *t;

	c->waiting = 0;
	for (struct transfer **link = &c->active; (t = *link); ) {
		int64_t due_us = t->ended ? 0 : check_time(c, t, now_us);

		if (t->ended) {
			*link = t->next;
			stop_transfer(c, t);
			continue;
		}
		if (due_us < next_us)
			next_us = due_us;
		if (!t->sent)
			c->waiting++;
		link = &t->next;
	}
	return next_us;
}

static int64_t
sweep_held(struct http_client *c, int64_t now_us)
{
	int64_t next_us = INT64_MAX;
	struct transfer *t = c->held, *next;

	c->held = NULL;
	c->held_end = &c->held;
	for (; t; t = next) {
		int64_t due_us = t->ended ? 0 : check_time(c, t, now_us);

		next = t->next;
		if (t->ended) {
			dismiss(c, t);
			continue;
		}
		if (due_us < next_us)
			next_us = due_us;
		hold(c, t);
	}
	return next_us;
}

static int64_t
sweep(struct http_client *c)
{
	int64_t now_us = clock_mono_us();
	int64_t active_us = sweep_active(c, now_us), held_us = sweep_held(c, now_us);

	return active_us < held_us ? active_us : held_us;
}

/*
 * libcurl 7.88 looks at one of the transfers that wait for a connection each
 * time another ends.  If that one waits for a busy host it goes back to the end
 * of the line and nobody else is looked at: a slow host would hold up all the
 * others.  A handle that comes and goes makes libcurl look at one more.
 */
static void
kick_waiting(struct http_client *c)
{
	int64_t now_us = clock_mono_us();

	if (c->waiting == 0 || now_us - c->kicked_us < KICK_US)
		return;
	c->kicked_us = now_us;
	for (size_t i = 0; i < c->waiting; i++) {
		if (curl_multi_add_handle(c->multi, c->kick))
			return;
		curl_multi_remove_handle(c->multi, c->kick);
	}
}

static void
sleep_until(struct http_client *c, int64_t next_us)
{
	int64_t ms = SLEEP_MS;

	if (next_us != INT64_MAX)
		ms = (next_us - clock_mono_us()) / 1000 + 1;
	if (ms > SLEEP_MS)
		ms = SLEEP_MS;
	if (c->waiting > 0 && ms > KICK_US / 1000)
		ms = KICK_US / 1000;
	if (ms < 0)
		ms = 0;
	if (curl_multi_poll(c->multi, NULL, 0, (int)ms, NULL)) {
		/* Short of memory, most likely: do not spin meanwhile. */
		struct timespec nap = { .tv_nsec = 10 * 1000 * 1000 };

		nanosleep(&nap, NULL);
	}
}

static bool
is_stopped(enum stopping stopping, const struct http_request *rq)
{
	return stopping == STOP_ALL || (stopping == STOP_READING && http_only_reads(rq));
}

static void
end_stopped(struct http_client *c, enum stopping stopping)
{
	for (struct transfer *t = c->active; t; t = t->next)
		if (is_stopped(stopping, t->rq))
			end_transfer(t, ERR_STOPPING, stopped);
	for (struct transfer *t = c->held; t; t = t->next)
		if (is_stopped(stopping, t->rq))
			end_transfer(t, ERR_STOPPING, stopped);
}

static void *
client_run(void *arg)
{
	struct http_client *c = arg;
	enum stopping stopping;

	while ((stopping = admit_queued(c)) != STOP_ALL) {
		int64_t next_us;
		int running;

		c->hurried = stopping != STOP_NOTHING;
		end_stopped(c, stopping);
		do {
			/* A failure is not one of a single transfer; those
			 * have their own time limits here. */
			curl_multi_perform(c->multi, &running);
			reap_ended(c);
			next_us = sweep(c);
		} while (start_held(c));
		kick_waiting(c);
		sleep_until(c, next_us);
	}
	end_stopped(c, STOP_ALL);
	sweep(c);
	return NULL;
}

/* ---- the client ---- */

enum err_code
http_global_init(struct err *err)
{
	/* Wiped, because it copies our headers, with the tokens in them. */
	CURLcode cc = curl_global_init_mem(CURL_GLOBAL_DEFAULT, mem_alloc,
		mem_free_wiped, mem_realloc_wiped, mem_strdup, mem_calloc);

	if (cc)
		return err_set(err, cc == CURLE_OUT_OF_MEMORY ?
			ERR_NOMEM : ERR_INTERNAL, "libcurl: %s",
			curl_easy_strerror(cc));
	return ERR_OK;
}

void
http_global_cleanup(void)
{
	curl_global_cleanup();
}

static bool
copy_settings(struct http_client *c, const struct http_settings *s)
{
	c->max_connections = s->max_connections ? (long)s->max_connections : MAX_CONNECTIONS;
	c->max_per_host = s->max_per_host ? (long)s->max_per_host : MAX_PER_HOST;
	if (s->ca_file)
		c->all.ca_file = mem_strdup(s->ca_file);
	if (s->user_agent)
		c->all.user_agent = mem_strdup(s->user_agent);
	return (c->all.ca_file || !s->ca_file) && (c->all.user_agent || !s->user_agent);
}

static bool
init_multi(struct http_client *c)
{
	if (!c->kick)
		c->kick = curl_easy_init();
	if (!c->multi)
		c->multi = curl_multi_init();
	return c->kick && c->multi &&
	       !curl_easy_setopt(c->kick, CURLOPT_NOSIGNAL, 1L) &&
	       !curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX) &&
	       !curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, c->max_connections) &&
	       !curl_multi_setopt(c->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, c->max_connections) &&
	       !curl_multi_setopt(c->multi, CURLMOPT_MAX_HOST_CONNECTIONS, c->max_per_host);
}

/* All signals are for other threads, above all SIGPIPE: it would come from a
 * TLS write to a closed connection. */
static bool
start_thread(struct http_client *c)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	c->has_thread = pthread_create(&c->thread, NULL, client_run, c) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return c->has_thread;
}

static enum err_code
start(struct http_client *c, struct err *err)
{
	if (!init_multi(c))
		return err_set(err, ERR_NOMEM, "HTTP client");
	if (!start_thread(c))
		return err_set(err, ERR_INTERNAL, "HTTP client: no thread");
	return ERR_OK;
}

enum err_code
http_client_new(const struct http_settings *settings, struct http_client **ret,
	struct err *err)
{
	struct http_client *c = mem_calloc(1, sizeof *c);
	enum err_code rc = ERR_OK;

	if (!c)
		return err_set(err, ERR_NOMEM, "HTTP client");
	c->queue_end = &c->queue;
	c->held_end = &c->held;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->unused, NULL);
	if (!copy_settings(c, settings))
		rc = err_set(err, ERR_NOMEM, "HTTP client");
	else if (!settings->lazy)
		rc = start(c, err);
	if (rc)
		http_client_free(&c);
	else
		*ret = c;
	return rc;
}

static void
stop(struct http_client *c, enum stopping stopping)
{
	pthread_mutex_lock(&c->lock);
	if (c->stopping < stopping)
		c->stopping = stopping;
	if (c->has_thread)
		curl_multi_wakeup(c->multi);
	pthread_mutex_unlock(&c->lock);
}

void
http_client_stop(struct http_client *c)
{
	stop(c, STOP_ALL);
}

void
http_client_stop_reading(struct http_client *c)
{
	stop(c, STOP_READING);
}

static void
join_thread(struct http_client *c)
{
	http_client_stop(c);
	pthread_join(c->thread, NULL);
	/* Those whose transfer just ended may still be on their way out. */
	pthread_mutex_lock(&c->lock);
	while (c->n_callers > 0)
		pthread_cond_wait(&c->unused, &c->lock);
	pthread_mutex_unlock(&c->lock);
}

void
http_client_free(struct http_client **client)
{
	struct http_client *c = *client;

	*client = NULL;
	if (!c)
		return;
	if (c->has_thread)
		join_thread(c);
	if (c->multi)
		curl_multi_cleanup(c->multi);
	curl_easy_cleanup(c->kick);
	free_origins(c, true);		/* not before the last connection is closed */
	if (c->has_global)
		http_global_cleanup();
	pthread_cond_destroy(&c->unused);
	pthread_mutex_destroy(&c->lock);
	mem_free(c->all.ca_file);
	mem_free(c->all.user_agent);
	mem_free(c);
}

/* A lazy client's first request.  With the lock. */
static enum err_code
start_late(struct http_client *c, struct err *err)
{
	if (!c->has_global) {
		enum err_code rc = http_global_init(err);

		if (rc)
			return rc;
		c->has_global = true;
	}
	return start(c, err);
}

static enum err_code
enter(struct http_client *c, const struct http_request *rq, struct err *err)
{
	enum err_code rc = ERR_OK;

	pthread_mutex_lock(&c->lock);
	if (is_stopped(c->stopping, rq))
		rc = err_set(err, ERR_STOPPING, "%s: %s", http_method_name(rq->method), stopped);
	else if (!c->has_thread)
		rc = start_late(c, err);
	if (!rc)
		c->n_callers++;
	pthread_mutex_unlock(&c->lock);
	return rc;
}

static void
leave(struct http_client *c)
{
	pthread_mutex_lock(&c->lock);
	if (--c->n_callers == 0)
		pthread_cond_signal(&c->unused);
	pthread_mutex_unlock(&c->lock);
}

/* Let the client's thread do it, unless that has ended. */
static void
transfer_run(struct http_client *c, struct transfer *t)
{
	pthread_cond_init(&t->cond, NULL);
	pthread_mutex_lock(&c->lock);
	if (is_stopped(c->stopping, t->rq)) {
		transfer_fail(t, ERR_STOPPING, stopped);
		t->done = true;
	} else {
		*c->queue_end = t;
		c->queue_end = &t->next;
		curl_multi_wakeup(c->multi);
	}
	while (!t->done)
		pthread_cond_wait(&t->cond, &c->lock);
	pthread_mutex_unlock(&c->lock);
	pthread_cond_destroy(&t->cond);
}

/* What came of an answer that failed is no answer; the status is kept for
 * those that are about a whole one. */
static void
drop_broken_answer(struct http_response *rs, enum err_code rc)
{
	if (rc == ERR_TOO_BIG || rc == ERR_INTERNAL)
		buf_clear(&rs->body);
	else
		http_response_clear(rs);
}

enum err_code
http_perform(struct http_client *client, const struct http_request *rq,
	struct http_response *rs, struct err *err)
{
	struct transfer t;
	enum err_code rc;

	http_response_clear(rs);
	rc = enter(client, rq, err);
	if (rc)
		return rc;
	rc = transfer_init(&t, &client->all, rq, rs, err);
	if (rc)
		goto out;
	transfer_run(client, &t);
	rc = transfer_code(&t);
	if (rc) {
		transfer_set_err(&t, rc, err);
		drop_broken_answer(rs, rc);
	}
	rs->took_us = clock_mono_us() - t.start_us;
out:
	transfer_clear(&t);
	leave(client);
	return rc;
}
