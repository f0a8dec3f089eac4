#include "config.h"

#include "fcgi/stream.h"

#include <strings.h>

#include "fcgi/caller.h"

/* Within every proxy's patience; DESIGN and docs/openapi.yaml promise it. */
#define COMMENT_EVERY_MS 15000

/* For how long a client waits before it comes back. */
#define RECONNECT_MS 2000

#define PIECE_MAX (1024 * 1024)

bool
stream_wanted(const struct exchange *x)
{
	static const char type[] = "text/event-stream";
	const char *p = exchange_header(x, "accept");

	if (strcmp(x->method, "GET") != 0)
		return false;
	for (; p && *p; p += strcspn(p, ",")) {
		p += strspn(p, ", \t");
		if (strncasecmp(p, type, sizeof type - 1) == 0 && strchr(",; \t", p[sizeof type - 1]))
			return true;
	}
	return false;
}

static void
put_event(struct buf *piece, struct shown *shown)
{
	char *text = json_write(shown->job, JSON_COMPACT);

	if (text)
		buf_printf(piece, "id: %d\nevent: status\ndata: %s\n\n", (int)shown->version, text);
	else
		piece->err = ERR_NOMEM;
	mem_free(text);
}

static void resume(struct exchange *x, enum watch_news news);

/* The rest of the stream: until the next change, or until the next comment is
 * due.  When it cannot go on it just ends: the client comes back. */
static void
go_on(struct exchange *x)
{
	(void)!exchange_park(x, WATCH_CHANGED, COMMENT_EVERY_MS, resume);
}

/* Send the job if the client does not know it yet; shown->job is stolen.
 * true: there is more to come. */
static bool
send_change(struct exchange *x, struct shown *shown)
{
	struct buf piece = BUF_INIT(PIECE_MAX);
	bool sent = true;

	if (shown->version != x->seen) {
		put_event(&piece, shown);
		sent = stream_send(x, &piece);
		x->seen = shown->version;
	}
	json_decref(shown->job);
	shown->job = NULL;
	buf_clear(&piece);
	return sent && !gen_status_is_final(shown->status);
}

static bool
send_text(struct exchange *x, const char *text)
{
	struct buf piece = BUF_INIT(256);
	bool sent;

	buf_puts(&piece, text);
	sent = stream_send(x, &piece);
	buf_clear(&piece);
	return sent;
}

static void
resume(struct exchange *x, enum watch_news news)
{
	struct err err = ERR_INIT;
	struct shown shown;
	enum err_code rc;

	if (news == WATCH_STOPPING)	/* another process is there, or soon will be */
		return;
	if (!caller_holds(x)) {
		(void)!send_text(x, ": the token has ended, come back with another\n\n");
		return;
	}
	if (news == WATCH_TIMEOUT && !send_text(x, ": still here\n\n"))
		return;
	if (news == WATCH_TIMEOUT) {
		go_on(x);
		return;
	}
	rc = service_show(x->svc, &x->owner, &x->job, &shown, &err);
	if (rc == ERR_NOT_FOUND) {	/* deleted meanwhile */
		(void)!send_text(x, "event: gone\ndata: {}\n\n");
		return;
	}
	/* The database is away: the next comment's time asks again. */
	if (rc || send_change(x, &shown))
		go_on(x);
}

/* The version that a client that comes back has seen; 0: none. */
static int32_t
last_seen(const struct exchange *x)
{
	const char *id = exchange_header(x, "last-event-id");
	uint64_t n = 0;

	if (!id || parse_u64(id, strlen(id), 1, INT32_MAX, &n))
		return 0;
	return (int32_t)n;
}

void
stream_begin(struct exchange *x, struct shown *shown)
{
	struct buf first = BUF_INIT(64);
	struct err err = ERR_INIT;
	enum err_code rc = ERR_OK;

	x->seen = last_seen(x);
	if (x->seen == shown->version && gen_status_is_final(shown->status)) {
		json_decref(shown->job);
		shown->job = NULL;
		answer_empty(x, 204);
		return;
	}
	/* Once it has begun it can refuse nothing. */
	if (!gen_status_is_final(shown->status))
		rc = exchange_reserve(x);
	if (rc) {
		json_decref(shown->job);
		shown->job = NULL;
		answer_failure(x, err_set(&err, rc, "no place to wait in for a stream"), &err);
		return;
	}
	buf_printf(&first, "retry: %d\n\n", RECONNECT_MS);
	if (answer_stream(x) && stream_send(x, &first) && send_change(x, shown))
		go_on(x);
	json_decref(shown->job);
	shown->job = NULL;
	buf_clear(&first);
}
