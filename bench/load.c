/*
 * A load generator: N kept HTTP connections on one thread, each sending its next
 * request when the last one is answered.  All requests lie in memory, signed,
 * before the clock starts.  Prints one JSON object.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/id.h"
#include "base/token.h"
#include "bench/tokens.h"

#define CONNECTIONS_MAX 1024
#define ANSWER_MAX 32768
#define ALL_MAX (1024UL * 1024 * 1024)
#define SILENCE_MS 30000	/* an answer that does not come */

struct options {
	const char *kind, *path, *jobs, *prefix;
	const char *key, *issuer;	/* users come with tokens; NULL: with their names */
	uint64_t port, connections, count, time_ms, expect;
	bool print;		/* the requests, instead of sending them */
	bool once;		/* each request */
};

/* The requests, one behind the other. */
struct requests {
	struct buf bytes;
	size_t *ends;
	size_t n;
	bool repeat;		/* each may be sent more than once */
};

struct client {
	int fd;
	int64_t began_us;
	size_t len;
	char answer[ANSWER_MAX];
};

struct load {
	const struct options *opt;
	const struct requests *rq;
	size_t next, limit;	/* requests sent; at most */
	size_t open;		/* requests under way */
	int64_t stop_us, last_us;
	uint32_t *took_us;
	size_t done, failed;
	int bad_status;		/* of the first failure */
	size_t answer_bytes;
};

static _Noreturn void
die(const char *what)
{
	fprintf(stderr, "gengate-load: %s: %s\n", what, errno ? strerror(errno) : "failed");
	exit(1);
}

/* ---- requests ---- */

static void
add_end(struct requests *rq)
{
	if (rq->bytes.err)
		die("requests");
	rq->ends[rq->n++] = rq->bytes.len;
}

static void
add_get(struct requests *rq, struct signer *signer, const char *prefix, const char *path, const char *user)
{
	buf_printf(&rq->bytes, "GET %s%s HTTP/1.1\r\nHost: 127.0.0.1\r\n", prefix, path);
	if (signer) {
		buf_puts(&rq->bytes, "Authorization: Bearer ");
		if (!signer_put(signer, user, &rq->bytes))
			die("token");
	} else {
		buf_printf(&rq->bytes, "X-Test-User: %s", user);
	}
	buf_puts(&rq->bytes, "\r\n\r\n");
	add_end(rq);
}

static void
add_generate(struct requests *rq, const char *prefix)
{
	char body[256], user[UUID_TEXT_SIZE];
	struct uuid id;

	if (uuid_new(&id, NULL))
		die("uuid");
	uuid_format(&id, user);
	snprintf(body, sizeof body, "{\"prompt\":\"a lighthouse at dusk, oil on canvas\","
		"\"aspect_ratio\":\"16:9\",\"seed\":%zu}", rq->n);
	buf_printf(&rq->bytes, "POST %s/generate HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Test-User: %s\r\n"
		"Prefer: respond-async\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
		prefix, user, strlen(body), body);
	add_end(rq);
}

/* Where a webhook goes: gengate is told the job by a sealed token, the
 * reference in the open. */
static void
put_webhook_path(struct buf *to, const struct keyring *keys, const char *prefix,
	const char *owner, const char *job)
{
	struct uuid ids[2];

	if (*prefix) {
		buf_printf(to, "%s/webhook?owner=%s&job=%s", prefix, owner, job);
		return;
	}
	if (uuid_parse(owner, strlen(owner), &ids[0]) || uuid_parse(job, strlen(job), &ids[1]))
		die("jobs file");
	buf_puts(to, "/webhooks/replicate?job=");
	if (token_seal(keys, "webhook", ids, sizeof ids, to, NULL))
		die("token");
}

static void
add_webhook(struct requests *rq, const struct keyring *keys, const struct buf *key,
	const char *prefix, const char *owner, const char *job, const char *prediction)
{
	struct buf body = BUF_INIT(4096), text = BUF_INIT(8192);
	uint8_t digest[SHA256_BYTES];
	long long now = clock_wall_us() / 1000000;

	buf_printf(&body, "{\"id\":\"%s\",\"model\":\"black-forest-labs/flux-schnell\",\"version\":\"hidden\","
		"\"input\":{\"prompt\":\"a lighthouse at dusk, oil on canvas\",\"aspect_ratio\":\"16:9\"},"
		"\"logs\":\"\",\"output\":null,\"data_removed\":false,\"error\":null,\"source\":\"api\","
		"\"status\":\"processing\",\"created_at\":\"2025-01-01T00:00:00.000Z\","
		"\"started_at\":\"2025-01-01T00:00:01.000Z\","
		"\"urls\":{\"cancel\":\"https://api.replicate.com/v1/predictions/%s/cancel\","
		"\"get\":\"https://api.replicate.com/v1/predictions/%s\"}}", prediction, prediction, prediction);
	buf_printf(&text, "msg_%s.%lld.", prediction, now);
	buf_put(&text, buf_str(&body), body.len);
	if (text.err || hmac_sha256(key->p, key->len, text.p, text.len, digest, NULL))
		die("signature");
	buf_puts(&rq->bytes, "POST ");
	put_webhook_path(&rq->bytes, keys, prefix, owner, job);
	buf_printf(&rq->bytes, " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
		"webhook-id: msg_%s\r\nwebhook-timestamp: %lld\r\nwebhook-signature: v1,", prediction, now);
	base64_encode(&rq->bytes, digest, sizeof digest);
	buf_printf(&rq->bytes, "\r\nContent-Length: %zu\r\n\r\n%s", body.len, buf_str(&body));
	buf_clear(&body);
	buf_clear(&text);
	add_end(rq);
}

/* The key behind "whsec_...", from the environment. */
static void
webhook_key(struct buf *key)
{
	const char *secret = getenv("GENGATE_REPLICATE_WEBHOOK_SECRET");

	secret = secret ? strchr(secret, '_') : NULL;
	if (!secret || base64_decode(key, secret + 1, strlen(secret + 1)))
		die("GENGATE_REPLICATE_WEBHOOK_SECRET");
}

/* A file with "owner job prediction" in each line. */
static void
add_for_jobs(const struct options *opt, struct requests *rq)
{
	struct buf key = BUF_INIT(512);
	struct keyring *keys = NULL;
	struct signer *signer = opt->key ? signer_open(opt->key, "bench", opt->issuer) : NULL;
	bool status = strcmp(opt->kind, "status") == 0;
	FILE *f = fopen(opt->jobs, "r");
	char owner[40], job[40], prediction[40], path[64];

	if (!f || (opt->key && !signer))
		die(f ? opt->key : opt->jobs);
	if (!status) {
		const char *secret = getenv("GENGATE_SECRET_KEY");

		webhook_key(&key);
		if (!secret || keyring_new(secret, &keys, NULL))
			die("GENGATE_SECRET_KEY");
	}
	while (rq->n < opt->count && fscanf(f, "%39s %39s %39s", owner, job, prediction) == 3) {
		snprintf(path, sizeof path, "/status/%s", job);
		if (status)
			add_get(rq, signer, opt->prefix, path, owner);
		else
			add_webhook(rq, keys, &key, opt->prefix, owner, job, prediction);
	}
	fclose(f);
	keyring_free(&keys);
	buf_wipe(&key);
}

static void
make_requests(const struct options *opt, struct requests *rq)
{
	rq->ends = mem_calloc(opt->count, sizeof *rq->ends);
	if (!rq->ends)
		die("requests");
	rq->repeat = !opt->once && (strcmp(opt->kind, "get") == 0 || strcmp(opt->kind, "status") == 0);
	if (strcmp(opt->kind, "get") == 0)
		add_get(rq, NULL, opt->prefix, opt->path, "bench");
	else if (strcmp(opt->kind, "generate") == 0)
		while (rq->n < opt->count)
			add_generate(rq, opt->prefix);
	else
		add_for_jobs(opt, rq);
	if (rq->n == 0)
		die("no requests");
}

/* ---- the run ---- */

static void
open_client(const struct options *opt, struct client *c)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)opt->port) };
	int one = 1;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to))
		die("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
}

/* Its next request, if there is to be one. */
static void
send_next(struct load *l, struct client *c)
{
	size_t i = l->next % l->rq->n, from = i ? l->rq->ends[i - 1] : 0;
	size_t len = l->rq->ends[i] - from;

	c->began_us = clock_mono_us();
	if (l->next == l->limit || c->began_us >= l->stop_us)
		return;
	c->len = 0;
	/* They are small, and the socket is empty. */
	if (write(c->fd, l->rq->bytes.p + from, len) != (ssize_t)len)
		die("write");
	l->next++;
	l->open++;
}

/* How long the answer is once it is whole; 0: not yet known. */
static size_t
whole_bytes(const struct client *c, size_t *ret_body)
{
	static const char name[] = "\r\ncontent-length:";
	const char *end = strstr(c->answer, "\r\n\r\n");
	const char *length = end ? strcasestr(c->answer, name) : NULL;

	if (!end)
		return 0;
	if (!length || length > end) {
		errno = 0;
		die("an answer without Content-Length");
	}
	*ret_body = strtoul(length + strlen(name), NULL, 10);
	return (size_t)(end + 4 - c->answer) + *ret_body;
}

static void
answered(struct load *l, struct client *c, size_t body)
{
	int status = (int)strtol(c->answer + strlen("HTTP/1.1 "), NULL, 10);

	l->last_us = clock_mono_us();
	if ((uint64_t)status != l->opt->expect) {
		l->failed++;
		if (!l->bad_status) {
			l->bad_status = status;
			fprintf(stderr, "gengate-load: %.*s\n", 600, c->answer);
		}
	}
	l->took_us[l->done++] = (uint32_t)(l->last_us - c->began_us);
	l->answer_bytes = body;
	l->open--;
	send_next(l, c);
}

static void
on_input(struct load *l, struct client *c)
{
	ssize_t n = read(c->fd, c->answer + c->len, sizeof c->answer - 1 - c->len);
	size_t body = 0, whole;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		die("the connection ended");
	c->len += (size_t)n;
	c->answer[c->len] = '\0';
	whole = whole_bytes(c, &body);
	if (whole && c->len >= whole)
		answered(l, c, body);
}

static void
run(struct load *l, struct client *clients)
{
	size_t n = (size_t)l->opt->connections;
	struct epoll_event events[CONNECTIONS_MAX];
	int epoll = epoll_create1(0);

	for (size_t i = 0; i < n; i++) {
		struct epoll_event ev = { .events = EPOLLIN, .data.ptr = &clients[i] };

		if (epoll_ctl(epoll, EPOLL_CTL_ADD, clients[i].fd, &ev))
			die("epoll");
	}
	for (size_t i = 0; i < n; i++)
		send_next(l, &clients[i]);
	while (l->open > 0) {
		int got = epoll_wait(epoll, events, CONNECTIONS_MAX, SILENCE_MS);

		if (got == 0 || (got < 0 && errno != EINTR))
			die("no answer");
		for (int i = 0; i < got; i++)
			on_input(l, events[i].data.ptr);
	}
	close(epoll);
}

static int
by_size(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void
print_result(struct load *l, int64_t began_us)
{
	double seconds = (double)(l->last_us - began_us) / 1e6;
	json_t *result;

	qsort(l->took_us, l->done, sizeof *l->took_us, by_size);
	result = json_pack("{sI, sf, sf, si, si, sI, si, sI}",
		"requests", (json_int_t)l->done, "seconds", seconds, "rps", (double)l->done / seconds,
		"p50_us", (int)l->took_us[l->done / 2], "p99_us", (int)l->took_us[l->done * 99 / 100],
		"failed", (json_int_t)l->failed, "bad_status", l->bad_status,
		"answer_bytes", (json_int_t)l->answer_bytes);
	if (!result || json_dumpf(result, stdout, JSON_COMPACT))
		die("result");
	putchar('\n');
	json_decref(result);
}

static bool
read_options(int argc, char **argv, struct options *opt)
{
	static const struct option table[] = {
		{ "kind", required_argument, NULL, 'k' },
		{ "path", required_argument, NULL, 'p' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "prefix", required_argument, NULL, 'x' },
		{ "port", required_argument, NULL, 0 },
		{ "connections", required_argument, NULL, 1 },
		{ "count", required_argument, NULL, 2 },
		{ "time-ms", required_argument, NULL, 3 },
		{ "expect", required_argument, NULL, 4 },
		{ "key", required_argument, NULL, 'K' },
		{ "issuer", required_argument, NULL, 'I' },
		{ "once", no_argument, NULL, 'O' },
		{ "print", no_argument, NULL, 'P' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t *const numbers[] = { &opt->port, &opt->connections, &opt->count, &opt->time_ms, &opt->expect };
	int c;

	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (c == 'k')
			opt->kind = optarg;
		else if (c == 'p')
			opt->path = optarg;
		else if (c == 'j')
			opt->jobs = optarg;
		else if (c == 'x')
			opt->prefix = optarg;
		else if (c == 'K')
			opt->key = optarg;
		else if (c == 'I')
			opt->issuer = optarg;
		else if (c == 'O')
			opt->once = true;
		else if (c == 'P')
			opt->print = true;
		else if (c > 4 || parse_u64(optarg, strlen(optarg), 1, 100000000, numbers[c]))
			return false;
	}
	if (opt->key && !opt->issuer)
		return false;
	return (opt->port || opt->print) && opt->connections <= CONNECTIONS_MAX && optind == argc && opt->kind;
}

int
main(int argc, char **argv)
{
	struct options opt = {
		.path = "/", .prefix = "", .connections = 32, .count = 100000, .time_ms = 1000, .expect = 200,
	};
	struct requests rq = { .bytes = BUF_INIT(ALL_MAX) };
	struct load l = { .opt = &opt, .rq = &rq };
	struct client *clients;
	int64_t began_us;

	if (!read_options(argc, argv, &opt)) {
		fputs("usage: gengate-load --port N --kind get|status|generate|webhook [--path P] [--jobs FILE]\n"
			"\t[--prefix P] [--connections N] [--count N] [--time-ms N] [--expect STATUS] [--print]\n"
			"\t[--once] [--key FILE --issuer URL]\n", stderr);
		return 2;
	}
	make_requests(&opt, &rq);
	if (opt.print)
		return fwrite(rq.bytes.p, 1, rq.bytes.len, stdout) == rq.bytes.len && !fflush(stdout) ? 0 : 1;
	l.limit = rq.repeat ? opt.count * 100 : rq.n;
	l.took_us = mem_calloc(l.limit, sizeof *l.took_us);
	clients = mem_calloc(opt.connections, sizeof *clients);
	if (!l.took_us || !clients)
		die("memory");
	for (size_t i = 0; i < opt.connections; i++)
		open_client(&opt, &clients[i]);
	began_us = clock_mono_us();
	l.stop_us = began_us + (int64_t)opt.time_ms * 1000;
	run(&l, clients);
	print_result(&l, began_us);
	return l.failed ? 1 : 0;
}
