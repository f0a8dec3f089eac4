/*
 * A whole request as the web server hands it over: "server", "none" or "supabase" on
 * the first line (how callers are known), then its parameters as "NAME=value" up to
 * an empty line, then the body.
 *
 * Whatever comes, there is one answer, and it is well-formed.  The database is away;
 * what is behind it is called here directly, with a job made up.
 */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include "fcgi/generate.h"
#include "fcgi/job_answer.h"
#include "fcgi/prefer.h"
#include "fcgi/routes.h"
#include "fcgi/stream.h"
#include "tests/fuzz/service.h"

#define PARAMS_MAX 64
#define PARKED_MAX 3	/* times that one request may park again */

struct conn {
	char *params[PARAMS_MAX];
	size_t n;
	struct input body;
	struct buf out;
};

static const char *
param(void *arg, const char *name)
{
	const struct conn *c = arg;
	size_t len = strlen(name);

	for (size_t i = 0; i < c->n; i++)
		if (strncmp(c->params[i], name, len) == 0 && c->params[i][len] == '=')
			return c->params[i] + len + 1;
	return NULL;
}

static size_t
read_body(void *arg, char *to, size_t len)
{
	struct conn *c = arg;

	if (len > c->body.len)
		len = c->body.len;
	if (len)
		memcpy(to, c->body.p, len);
	c->body.p += len;
	c->body.len -= len;
	return len;
}

static bool
write_out(void *arg, const char *p, size_t len)
{
	struct conn *c = arg;

	buf_put(&c->out, p, len);
	return true;
}

static bool
flush(void *arg)
{
	(void)arg;
	return true;
}

static enum err_code
park(void *arg, const struct uuid *owner, const struct uuid *job, enum watch_for what, int32_t seen,
	uint64_t timeout_ms)
{
	(void)arg, (void)owner, (void)job, (void)what, (void)seen;
	MUST(timeout_ms > 0 && timeout_ms <= PREFER_WAIT_MAX_S * 1000);
	return ERR_OK;
}

static const struct transport transport = {
	.param = param, .read = read_body, .write = write_out, .flush = flush, .park = park,
};

/* No web server hands over a header with a line's end in it. */
static void
read_params(struct conn *c, struct input *in)
{
	for (;;) {
		char *line = input_line(in);

		if (!*line || c->n == PARAMS_MAX) {
			mem_free(line);
			break;
		}
		c->params[c->n++] = line;
	}
}

static void
conn_clear(struct conn *c)
{
	for (size_t i = 0; i < c->n; i++)
		mem_free(c->params[i]);
	buf_clear(&c->out);
	*c = (struct conn){ .out = BUF_INIT(c->out.max) };
}

/* "Status: 200", then headers, and their end. */
static const char *
look_at_head(const char *head, const char *end, int *ret_status, long *ret_length)
{
	*ret_length = -1;
	MUST(sscanf(head, "Status: %d\r\n", ret_status) == 1 && *ret_status >= 200 && *ret_status < 600);
	for (;;) {
		const char *eol = strstr(head, "\r\n");
		size_t len;

		MUST(eol && eol < end);
		len = (size_t)(eol - head);
		if (len == 0)
			return eol + 2;
		for (size_t i = 0; i < len; i++)
			MUST((unsigned char)head[i] >= 0x20 && head[i] != 0x7f);
		MUST(memchr(head, ':', len));
		sscanf(head, "Content-Length: %ld\r\n", ret_length);
		head = eol + 2;
	}
}

static void
look_at_answer(const struct conn *c, const char *method)
{
	const char *end = c->out.p + c->out.len, *body;
	int status;
	long length;
	json_t *doc;

	MUST(c->out.len > 0 && !c->out.err && strlen(c->out.p) == c->out.len);
	body = look_at_head(c->out.p, end, &status, &length);
	if (strstr(c->out.p, "Content-Type: text/"))
		return;
	MUST((length < 0) == (status == 204 || status == 304));
	if (strcmp(method, "HEAD") == 0 || length < 0) {
		MUST(body == end);
		return;
	}
	MUST(end - body == length && is_utf8(body, (size_t)length));
	doc = json_loadb(body, (size_t)length, 0, NULL);
	MUST(json_is_object(doc));
	if (status >= 400) {
		MUST(strstr(c->out.p, "Content-Type: application/problem+json\r\n"));
		MUST(json_integer_value(json_object_get(doc, "status")) == status);
		MUST(json_is_string(json_object_get(doc, "code")));
	}
	json_decref(doc);
}

/* Nobody answers while it is parked; at last the process stops. */
static void
go_on(struct exchange *x)
{
	for (int i = 0; x->resume; i++) {
		MUST(i <= PARKED_MAX && !x->status == !x->streams);
		exchange_resume(x, i == PARKED_MAX ? WATCH_STOPPING : i ? WATCH_CAME : WATCH_TIMEOUT);
	}
}

static void
dispatch(struct conn *c, struct service *svc)
{
	struct exchange x;

	exchange_init(&x, svc, &transport, c);
	routes_dispatch(&x);
	go_on(&x);
	MUST(x.status >= 200);
	exchange_end(&x, 0);
	look_at_answer(c, x.method);
	exchange_clear(&x);
	buf_reset(&c->out);
}

static void
make_up(struct shown *shown, int32_t version, enum gen_status status)
{
	*shown = (struct shown){ .job = json_pack("{ss}", "id", "0"), .version = version, .status = status };
	MUST(shown->job);
}

static void
read_headers(struct exchange *x)
{
	struct prefer prefer = prefer_read(x);
	const char *key;
	struct err err = ERR_INIT;
	enum err_code rc = generate_read_key(x, &key, &err);
	char *value = NULL;

	MUST(prefer.wait_s <= PREFER_WAIT_MAX_S && (prefer.wait || !prefer.wait_s));
	prefer_answer(x, &prefer);
	MUST(rc == ERR_OK || rc == ERR_BAD_REQUEST);
	MUST_SAY(rc, &err);
	if (!rc && key)
		MUST(strlen(key) > 0 && strlen(key) <= 255 && !has_control(key) && !strchr(key, ' '));
	rc = exchange_query(x, "job", &value, &err);
	MUST((rc == ERR_OK) == (value != NULL) && (rc == ERR_OK || rc == ERR_NOT_FOUND));
	MUST(rc != ERR_OK || exchange_has_query(x, "job"));
	mem_free(value);
	MUST(!x->headers.err);
}

/* What a client has seen of a job it knows, in either way: by its ETag, by its last event. */
static void
read_what_is_known(struct exchange *x)
{
	const char *match = exchange_header(x, "if-none-match");
	struct shown shown;

	if (job_is_known(x, 7))
		MUST(match && (strstr(match, "\"v7\"") || strchr(match, '*')));
	make_up(&shown, 7, GEN_PROCESSING);
	if (stream_wanted(x))
		stream_begin(x, &shown);
	else
		answer_job(x, 200, &shown);
	MUST(!shown.job);
}

static void
read_alone(struct conn *c, struct service *svc)
{
	struct exchange x;

	exchange_init(&x, svc, &transport, c);
	MUST(strlen(x.request_id) > 0 && !has_control(x.request_id));
	MUST(x.path[0] == '/' && (!x.trace || strlen(x.trace) == 55));
	read_headers(&x);
	read_what_is_known(&x);
	go_on(&x);
	exchange_end(&x, 0);
	look_at_answer(c, x.method);
	exchange_clear(&x);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = INPUT(data, size);
	struct conn c = { .out = BUF_INIT(20 * 1024 * 1024) };
	char *auth = input_line(&in);
	struct service *svc;

	fuzz_begin();
	svc = fuzz_service(auth);
	if (svc) {
		read_params(&c, &in);
		c.body = in;
		dispatch(&c, svc);
		read_alone(&c, svc);
	}
	conn_clear(&c);
	mem_free(auth);
	return 0;
}
