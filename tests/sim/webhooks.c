#include "config.h"

#include "tests/sim/webhooks.h"

#include <curl/curl.h>
#include <string.h>

#include "tests/sim/pred.h"
#include "tests/sim/wire.h"

#define MAX_BODY ((size_t)16 << 20)
#define MAX_AT_ONCE 64

struct hook {
	struct hook *next;
	int64_t due_us;
	unsigned generation;
	const struct wire *wire;
	char pred_id[SIM_UUID_SIZE];
	char msg_id[SIM_ID_SIZE + 4];	/* "msg_..."; the same for a resend */
	char *url, *secret;		/* secret: the request's own; may be NULL */
	struct buf body;		/* as it was when the event happened */
	bool terminal, bad_signature;
	long stale_ms;
	long attempt;
	/* Of the attempt under way: */
	long timeout_ms;
	struct curl_slist *headers;
	CURL *easy;
};

struct hooks {
	struct hook *queue;		/* by due_us */
	/* The thread's own, but for waking multi up: */
	CURLM *multi;
	struct hook *running;
	int n_running;
};

struct hooks *
hooks_new(void)
{
	struct hooks *hooks = mem_calloc(1, sizeof(*hooks));

	if (hooks)
		hooks->multi = curl_multi_init();
	return hooks;
}

static void
hook_free(struct hook *h)
{
	curl_slist_free_all(h->headers);
	buf_clear(&h->body);
	mem_free(h->url);
	mem_free(h->secret);
	mem_free(h);
}

void
hooks_reset(struct hooks *hooks)
{
	while (hooks->queue) {
		struct hook *h = hooks->queue;

		hooks->queue = h->next;
		hook_free(h);
	}
}

void
hooks_free(struct hooks **hooks)
{
	if (!*hooks)
		return;
	hooks_reset(*hooks);
	curl_multi_cleanup((*hooks)->multi);
	mem_free(*hooks);
	*hooks = NULL;
}

void
hooks_wake(struct hooks *hooks)
{
	curl_multi_wakeup(hooks->multi);
}

static bool
host_is_loopback(const char *host)
{
	unsigned a, b, c, d;
	int n = 0;

	if (strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
		return true;
	return sscanf(host, "%3u.%3u.%3u.%3u%n", &a, &b, &c, &d, &n) == 4 &&
	       host[n] == '\0' && a == 127 && b < 256 && c < 256 && d < 256;
}

bool
hook_url_is_loopback(const char *url)
{
	CURLU *u = curl_url();
	char *host = NULL, *scheme = NULL;
	bool ok;

	ok = u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
	     curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
	     curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
	     strncmp(scheme, "http", 4) == 0 && host_is_loopback(host);
	curl_free(host);
	curl_free(scheme);
	curl_url_cleanup(u);
	return ok;
}

static void
enqueue(struct hooks *hooks, struct hook *h)
{
	struct hook **link = &hooks->queue;

	while (*link && (*link)->due_us <= h->due_us)
		link = &(*link)->next;
	h->next = *link;
	*link = h;
	hooks_wake(hooks);
}

static struct hook *
hook_new(struct sim *sim, const struct pred *p, const struct buf *body, const char *msg_id)
{
	struct hook *h = mem_calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->body = (struct buf)BUF_INIT(MAX_BODY);
	h->due_us = sim_mono_us();
	h->generation = sim->generation;
	snprintf(h->pred_id, sizeof(h->pred_id), "%s", p->id);
	snprintf(h->msg_id, sizeof(h->msg_id), "%s", msg_id);
	h->wire = p->wire;
	h->url = mem_strdup(p->webhook);
	h->secret = p->secret ? mem_strdup(p->secret) : NULL;
	buf_put(&h->body, buf_str(body), body->len);
	if (!h->url || h->body.err) {
		hook_free(h);
		return NULL;
	}
	return h;
}

static void
queue_copies(struct sim *sim, struct pred *p, unsigned event, const struct buf *body,
	const char *subject)
{
	char msg_id[SIM_ID_SIZE + 4] = "msg_";
	struct fault_hit late = { 0 }, stale = { 0 };
	int copies = fault_take_locked(sim, FAULT_WEBHOOK_TWICE, subject, NULL) ? 2 : 1;
	bool bad = fault_take_locked(sim, FAULT_WEBHOOK_BAD_SIGNATURE, subject, NULL);

	sim_new_id(msg_id + 4);
	fault_take_locked(sim, FAULT_WEBHOOK_LATE, subject, &late);
	fault_take_locked(sim, FAULT_WEBHOOK_STALE, subject, &stale);
	while (copies--) {
		struct hook *h = hook_new(sim, p, body, msg_id);

		if (!h)
			return;
		h->terminal = event == EVENT_COMPLETED;
		h->bad_signature = bad;
		h->stale_ms = stale.delay_ms;
		h->due_us += late.delay_ms * 1000;
		enqueue(sim->hooks, h);
	}
}

void
hook_queue(struct sim *sim, struct pred *p, unsigned event)
{
	struct buf body = BUF_INIT(MAX_BODY), subject = BUF_INIT(MAX_BODY + 4096);

	if (event == EVENT_COMPLETED)
		p->last_hook_tried = true;	/* unless one is sent */
	if (!p->webhook || !(p->events & event))
		return;
	p->wire->write_webhook(sim, p, &body);
	buf_printf(&subject, "%s %s", p->webhook, buf_str(&body));
	if (fault_take_locked(sim, FAULT_WEBHOOK_LOST, buf_str(&subject), NULL)) {
		sim->n.webhooks_lost++;
	} else if (!hook_url_is_loopback(p->webhook)) {
		sim->n.webhooks_refused++;
	} else {
		if (event == EVENT_COMPLETED)
			p->last_hook_tried = false;
		queue_copies(sim, p, event, &body, buf_str(&subject));
	}
	buf_clear(&subject);
	buf_clear(&body);
}

void
hook_header(struct hook *h, const char *name, const char *value)
{
	struct buf line = BUF_INIT(1024);
	struct curl_slist *more;

	buf_printf(&line, "%s: %s", name, value);
	more = curl_slist_append(h->headers, buf_str(&line));
	if (more)
		h->headers = more;
	buf_clear(&line);
}

/* Sign now: the timestamp is the attempt's, so a resend does not age. */
static void
prepare(struct sim *sim, struct hook *h)
{
	long long timestamp = (long long)(sim_provider_us(sim) / 1000000 - h->stale_ms / 1000);
	const struct letter letter = {
		.id = h->msg_id, .pred_id = h->pred_id, .secret = h->secret,
		.timestamp = timestamp, .body = buf_str(&h->body), .body_len = h->body.len,
		.is_forged = h->bad_signature,
	};

	curl_slist_free_all(h->headers);
	h->headers = NULL;
	hook_header(h, "Content-Type", "application/json");
	hook_header(h, "User-Agent", "gengate-simulator/1");
	hook_header(h, "Expect", "");
	h->wire->sign(sim, &letter, h);
	h->timeout_ms = sim->set.webhook_timeout_ms;
}

static size_t
discard(char *p, size_t size, size_t n, void *unused)
{
	(void)p;
	(void)unused;
	return size * n;
}

static bool
make_transfer(const struct sim *sim, struct hook *h)
{
	CURL *easy = h->easy = curl_easy_init();

	if (!easy)
		return false;
	curl_easy_setopt(easy, CURLOPT_PRIVATE, (void *)h);
	curl_easy_setopt(easy, CURLOPT_URL, h->url);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");	/* loopback means loopback */
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, h->headers);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, buf_str(&h->body));
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)h->body.len);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, h->timeout_ms);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, discard);
	if (sim->ca_file)
		curl_easy_setopt(easy, CURLOPT_CAINFO, sim->ca_file);
	return curl_multi_add_handle(sim->hooks->multi, easy) == CURLM_OK;
}

/* The first that is due, taken off the queue and signed; or NULL. */
static struct hook *
take_due(struct sim *sim)
{
	struct hooks *hooks = sim->hooks;
	struct hook *h;

	pthread_mutex_lock(&sim->lock);
	h = hooks->queue;
	if (h && h->due_us <= sim_mono_us() && hooks->n_running < MAX_AT_ONCE) {
		hooks->queue = h->next;
		h->next = NULL;
		prepare(sim, h);
	} else {
		h = NULL;
	}
	pthread_mutex_unlock(&sim->lock);
	return h;
}

static void
start_due(struct sim *sim)
{
	struct hooks *hooks = sim->hooks;
	struct hook *h;

	while ((h = take_due(sim)) != NULL) {
		if (!make_transfer(sim, h)) {
			curl_easy_cleanup(h->easy);
			hook_free(h);
			continue;
		}
		h->next = hooks->running;
		hooks->running = h;
		hooks->n_running++;
	}
}

/* Off the list of those under way; its transfer is over. */
static void
detach(struct hooks *hooks, struct hook *h)
{
	struct hook **link = &hooks->running;

	while (*link != h)
		link = &(*link)->next;
	*link = h->next;
	h->next = NULL;
	hooks->n_running--;
	curl_multi_remove_handle(hooks->multi, h->easy);
	curl_easy_cleanup(h->easy);
	h->easy = NULL;
}

static void
count(struct sim *sim, long status)
{
	sim->n.webhooks_sent++;
	if (status >= 200 && status < 300)
		sim->n.webhooks_delivered++;
	if (status >= 0 && status < SIM_HTTP_STATUSES)
		sim->webhooks_by_status[status]++;
}

/* Only the terminal one is sent again, and not after a redirect: that is a
 * silent loss at the real one too.  Takes h over. */
static void
settle(struct sim *sim, struct hook *h, long status)
{
	bool again = h->terminal && (status == 0 || status >= 400);
	struct pred *p;

	pthread_mutex_lock(&sim->lock);
	if (h->generation != sim->generation)
		goto out;
	count(sim, status);
	p = pred_find(sim, NULL, h->pred_id);
	if (p && h->terminal)
		p->last_hook_tried = true;
	pthread_cond_broadcast(&sim->changed);
	if (again && h->attempt >= h->wire->webhook_retries(&sim->set))
		sim->n.webhooks_given_up++;
	else if (again) {
		long shift = h->attempt < 16 ? h->attempt : 16;

		h->due_us = sim_mono_us() + (sim->set.webhook_backoff_ms << shift) * 1000;
		h->attempt++;
		enqueue(sim->hooks, h);
		h = NULL;
	}
out:
	pthread_mutex_unlock(&sim->lock);
	if (h)
		hook_free(h);
}

static void
finish_done(struct sim *sim)
{
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(sim->hooks->multi, &left)) != NULL) {
		CURLcode rc = msg->data.result;
		struct hook *h = NULL;
		long status = 0;

		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &h);
		if (rc == CURLE_OK)
			curl_easy_getinfo(msg->easy_handle, CURLINFO_RESPONSE_CODE, &status);
		detach(sim->hooks, h);
		settle(sim, h, status);
	}
}

/* Milliseconds until the next is due; negative when we stop. */
static int
pause_ms(struct sim *sim)
{
	const struct hook *h;
	int64_t us = 1000000;
	int ms;

	pthread_mutex_lock(&sim->lock);
	h = sim->hooks->queue;
	if (h && h->due_us - sim_mono_us() < us)
		us = h->due_us - sim_mono_us();
	ms = sim->stopping ? -1 : us <= 0 ? 1 : (int)((us + 999) / 1000);
	pthread_mutex_unlock(&sim->lock);
	return ms;
}

void
hooks_run(struct sim *sim)
{
	struct hooks *hooks = sim->hooks;
	int ms, n;

	while ((ms = pause_ms(sim)) >= 0) {
		start_due(sim);
		curl_multi_perform(hooks->multi, &n);
		finish_done(sim);
		curl_multi_poll(hooks->multi, NULL, 0, ms, NULL);
	}
	while (hooks->running) {
		struct hook *h = hooks->running;

		detach(hooks, h);
		hook_free(h);
	}
}
