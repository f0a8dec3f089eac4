#include "config.h"

#include "tests/sim/http.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/auth.h"
#include "tests/sim/control.h"
#include "tests/sim/sim.h"
#include "tests/sim/storage.h"

#define SPOOL_ABOVE ((size_t)4 << 20)

static const struct sim_area *const areas[] = {
	&control_area, &storage_area, &auth_area,
#define WIRE(name) &name##_area,
#include "tests/sim/wires.inc"
#undef WIRE
};

const char *
rq_param(const struct sim_rq *rq, const char *name)
{
	const char *value = FCGX_GetParam(name, rq->env);

	return value && *value ? value : NULL;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void
put_decoded(struct buf *out, const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (s[i] == '%' && i + 2 < len &&
		    hex_digit(s[i + 1]) >= 0 && hex_digit(s[i + 2]) >= 0) {
			buf_putc(out, (char)(hex_digit(s[i + 1]) * 16 + hex_digit(s[i + 2])));
			i += 2;
		} else {
			buf_putc(out, s[i] == '+' ? ' ' : s[i]);
		}
	}
}

bool
rq_query(const struct sim_rq *rq, const char *name, struct buf *ret)
{
	const char *q = rq_param(rq, "QUERY_STRING");
	size_t name_len = strlen(name);

	while (q && *q) {
		size_t len = strcspn(q, "&");

		if (len > name_len && q[name_len] == '=' && strncmp(q, name, name_len) == 0) {
			put_decoded(ret, q + name_len + 1, len - name_len - 1);
			return true;
		}
		q += len + (q[len] == '&');
	}
	return false;
}

json_t *
rq_x_headers(const struct sim_rq *rq)
{
	json_t *all = json_object();

	for (char **e = rq->env; *e; e++) {
		char name[64];
		size_t n = 0;
		const char *p = *e + 5;

		if (strncmp(*e, "HTTP_X_", 7) != 0)
			continue;
		for (; *p && *p != '=' && n + 1 < sizeof(name); p++)
			name[n++] = *p == '_' ? '-' : (char)tolower((unsigned char)*p);
		name[n] = '\0';
		if (*p == '=')
			json_object_set_new(all, name, json_string(p + 1));
	}
	return all;
}

json_t *
rq_json(const struct sim_rq *rq)
{
	return json_loadb(buf_str(&rq->content.mem), rq->content.mem.len, 0, NULL);
}

void
reply_header(struct sim_reply *rp, const char *name, const char *value)
{
	buf_printf(&rp->head, "%s: %s\r\n", name, value);
}

void
reply_retry_after(struct sim_reply *rp, long s)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld", s);
	reply_header(rp, "Retry-After", text);
}

void
reply_json(struct sim_reply *rp, int status, json_t *json)
{
	rp->status = status;
	rp->type = "application/json";
	buf_reset(&rp->body);
	sim_dump(&rp->body, json);
	json_decref(json);
}

void
reply_bytes(struct sim_reply *rp, int status, const char *type, const void *p, size_t len)
{
	rp->status = status;
	rp->type = type;
	buf_reset(&rp->body);
	buf_put(&rp->body, p, len);
}

void
reply_drop(struct sim_reply *rp)
{
	rp->drop = true;
}

static void
clear_args(struct sim_rq *rq)
{
	for (int i = 0; i < SIM_MAX_ARGS; i++) {
		mem_free(rq->arg[i]);
		rq->arg[i] = NULL;
	}
}

/* Match literally, except that {} takes a segment and {*} the rest. */
static bool
match(const char *pattern, const char *path, struct sim_rq *rq)
{
	int n = 0;

	clear_args(rq);
	while (*pattern) {
		size_t len;

		if (*pattern != '{') {
			if (*pattern++ != *path++)
				return false;
			continue;
		}
		len = pattern[1] == '*' ? strlen(path) : strcspn(path, "/");
		if (len == 0 || n == SIM_MAX_ARGS)
			return false;
		rq->arg[n] = mem_strndup(path, len);
		if (!rq->arg[n++])
			return false;
		path += len;
		pattern = strchr(pattern, '}') + 1;
	}
	return *path == '\0';
}

static const struct sim_route *
find_route(const struct sim_area *area, struct sim_rq *rq)
{
	const char *method = sim_same(rq->method, "HEAD") ? "GET" : rq->method;
	const char *path = rq->path + strlen(area->prefix);

	for (size_t i = 0; i < area->n_routes; i++)
		if (strcmp(area->routes[i].method, method) == 0 &&
		    match(area->routes[i].pattern, path, rq))
			return &area->routes[i];
	return NULL;
}

static bool
is_in(const struct sim_area *area, const char *path)
{
	size_t len = area ? strlen(area->prefix) : 0;

	return area && strncmp(path, area->prefix, len) == 0 && path[len] == '/';
}

static const struct sim_area *
find_area(const char *path)
{
	for (size_t i = 0; i < sizeof(areas) / sizeof(areas[0]); i++) {
		if (is_in(areas[i]->files, path))
			return areas[i]->files;
		if (is_in(areas[i], path))
			return areas[i];
	}
	return NULL;
}

static void
handle(struct sim_rq *rq, struct sim_reply *rp)
{
	const struct sim_area *area = find_area(rq->path);
	const struct sim_route *route;
	struct fault_hit hit;

	rq->wire = area ? area->wire : NULL;
	if (rq->content.mem.err) {
		if (area && area->too_large)
			area->too_large(rq, rp);
		else
			reply_bytes(rp, 413, "text/plain", "body too large\n", 15);
		return;
	}
	if (!area) {
		reply_json(rp, 404, json_pack("{s:s}", "detail", "not simulated"));
		return;
	}
	if (area != &control_area &&
	    fault_take(rq->sim, FAULT_DELAY, buf_str(&rq->subject), &hit))
		sim_sleep(rq->sim, hit.delay_ms);
	route = find_route(area, rq);
	if (!route)
		area->not_found(rq, rp);
	else if (!area->before || !area->before(rq, route, rp))
		route->handle(rq, rp);
	if (area->after)
		area->after(rq, rp);
}

static void
read_body(struct sim_rq *rq, bool spools, FCGX_Stream *in)
{
	struct content *c = &rq->content;
	const int chunk = 65536;
	bool ok = true;

	while (ok) {
		char *to = buf_reserve(&c->mem, (size_t)chunk);
		int n = to ? FCGX_GetStr(to, chunk, in) : 0;

		if (n <= 0)
			break;
		c->mem.len += (size_t)n;
		if (spools && c->mem.len > SPOOL_ABOVE)
			ok = content_spool(c);
	}
	if (c->fd >= 0)
		ok = ok && content_spool(c);
	else
		c->len = c->mem.len;
	if (!ok)
		c->mem.err = ERR_INTERNAL;
	else if (c->mem.p)
		c->mem.p[c->mem.len] = '\0';
}

static void
put(FCGX_Stream *out, const struct buf *b, size_t len)
{
	/* The length is an int there. */
	if (len)
		FCGX_PutStr(buf_str(b), (int)len, out);
}

static void
put_content(FCGX_Stream *out, const struct content *c, size_t from, size_t to)
{
	char part[65536];

	while (from < to) {
		size_t n = content_read(c, from, part, to - from < sizeof(part) ? to - from : sizeof(part));

		if (n == 0 || FCGX_PutStr(part, (int)n, out) < 0)
			return;
		from += n;
	}
}

static void
put_filling(FCGX_Stream *out, char c, size_t n)
{
	char some[65536];

	memset(some, c, sizeof(some));
	while (n > 0) {
		size_t len = n < sizeof(some) ? n : sizeof(some);

		if (FCGX_PutStr(some, (int)len, out) < 0)
			return;
		n -= len;
	}
}

/*
 * A connection cannot be dropped from behind nginx: an answer that is missing
 * or ill-formed becomes a 502 on its way.  So nginx is asked to do it, by the
 * internal locations /sim-drop and /sim-reset with `return 444`.
 */
static void
send_drop(struct sim *sim, const char *location, FCGX_Stream *out)
{
	pthread_mutex_lock(&sim->lock);
	sim->n.dropped++;
	pthread_mutex_unlock(&sim->lock);
	FCGX_PutS("X-Accel-Redirect: ", out);
	FCGX_PutS(location, out);
	FCGX_PutS("\r\n\r\n", out);
}

/* In so many drops. */
#define DROPS 20

static void
put_slowly(struct sim *sim, FCGX_Stream *out, const struct buf *b, long ms)
{
	size_t drop = b->len / DROPS + 1;

	for (size_t at = 0; at < b->len; at += drop) {
		size_t len = b->len - at < drop ? b->len - at : drop;

		if (FCGX_PutStr(buf_str(b) + at, (int)len, out) < 0 || FCGX_FFlush(out) < 0)
			return;
		sim_sleep(sim, ms / DROPS);
	}
}

static void
send_reply(const struct sim_rq *rq, struct sim_reply *rp, FCGX_Stream *out)
{
	struct buf head = BUF_INIT(65536);
	bool no_body = sim_same(rq->method, "HEAD") || rp->status == 304;

	if (rp->drop || rp->reset) {
		send_drop(rq->sim, rp->reset ? "/sim-reset" : "/sim-drop", out);
		return;
	}
	if (rp->body.err || rp->head.err)
		reply_bytes(rp, 500, "text/plain", "out of memory\n", 14);
	buf_printf(&head, "Status: %d\r\n", rp->status);
	if (rp->type)
		buf_printf(&head, "Content-Type: %s\r\n", rp->type);
	if (rp->status != 304)
		buf_printf(&head, "Content-Length: %zu\r\n", rp->body.len + (rp->to - rp->from) + rp->fill);
	buf_puts(&head, buf_str(&rp->head));
	buf_puts(&head, "\r\n");
	put(out, &head, head.len);
	if (!no_body && rp->drip_ms)
		put_slowly(rq->sim, out, &rp->body, rp->drip_ms);
	else if (!no_body)
		put(out, &rp->body, rp->cut ? rp->body.len / 2 : rp->body.len);
	if (!no_body && !rp->cut) {
		put_content(out, &rp->content, rp->from, rp->to);
		put_filling(out, rp->filling, rp->fill);
	}
	buf_clear(&head);
}

static void
serve_one(struct sim *sim, FCGX_Request *fcgi)
{
	struct sim_rq rq = {
		.sim = sim, .env = fcgi->envp,
		.subject = BUF_INIT(16384), .create = BUF_INIT(SIM_MAX_BODY + 32768), .content = CONTENT_INIT(SIM_MAX_BODY),
	};
	const struct sim_area *area;
	struct sim_reply rp = {
		.status = 500, .head = BUF_INIT(32768), .body = BUF_INIT(SIM_MAX_BODY),
		.content = CONTENT_INIT(0),
	};

	rq.method = rq_param(&rq, "REQUEST_METHOD");
	rq.path = rq_param(&rq, "PATH_INFO");
	if (!rq.path)
		rq.path = rq_param(&rq, "DOCUMENT_URI");
	if (!rq.path)
		rq.path = "/";
	if (!rq.method)
		rq.method = "GET";
	buf_printf(&rq.subject, "%s %s", rq.method, rq.path);
	area = find_area(rq.path);
	read_body(&rq, area && area->spools, fcgi->in);
	handle(&rq, &rp);
	send_reply(&rq, &rp, fcgi->out);
	clear_args(&rq);
	buf_clear(&rq.subject);
	buf_clear(&rq.create);
	content_clear(&rq.content);
	content_clear(&rp.content);
	buf_clear(&rp.head);
	buf_clear(&rp.body);
}

static bool
is_stopping(struct sim *sim)
{
	bool stopping;

	pthread_mutex_lock(&sim->lock);
	stopping = sim->stopping;
	pthread_mutex_unlock(&sim->lock);
	return stopping;
}

void
sim_serve(struct sim *sim, int listen_fd)
{
	/* Its streams point back into it: it must not move. */
	FCGX_Request *fcgi = mem_calloc(1, sizeof(*fcgi));

	if (!fcgi || FCGX_InitRequest(fcgi, listen_fd, FCGI_FAIL_ACCEPT_ON_INTR) != 0)
		goto out;
	while (!is_stopping(sim) && FCGX_Accept_r(fcgi) == 0) {
		/* A kept connection would hold this thread while idle. */
		fcgi->keepConnection = 0;
		serve_one(sim, fcgi);
		FCGX_Finish_r(fcgi);
	}
	FCGX_Free(fcgi, 1);
out:
	mem_free(fcgi);
}
