/*
 * What gengate is measured against: the classic libfcgi program.  Eight threads,
 * each blocked in FCGX_Accept_r() with a database connection of its own, a
 * FastCGI connection for each request, one prepared statement (the same text as
 * gengate's), fixed bytes as the answer.  It checks nothing: no caller, no
 * signature, no JSON, and it logs nothing.
 */
#include "config.h"

#include <fcgiapp.h>
#include <getopt.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/id.h"
#include "db/pool.h"

#define THREADS 8
#define BACKLOG 1024
#define BODY_MAX (128 * 1024)
#define UUID_LEN (UUID_TEXT_SIZE - 1)
#define PREFIX "/reference/"

struct options {
	const char *listen, *database;
	size_t answer_bytes[3];		/* by enum route */
};

enum route { STATUS, GENERATE, WEBHOOK, EMPTY };

struct thread {
	const struct options *opt;
	int listen_fd;
	PGconn *pg;
	bool prepared[SQL_COUNT];
	int64_t n, moves;
	pthread_t id;
};

static atomic_bool stopping;

static void
on_stop(int sig)
{
	(void)sig;
	atomic_store(&stopping, true);
	FCGX_ShutdownPending();
}

/* The rows of a prepared statement; NULL: it failed, and said so. */
static PGresult *
ask(struct thread *t, enum sql_id id, const char *const *params, int n)
{
	PGresult *res;

	if (!t->prepared[id]) {
		res = PQprepare(t->pg, sql_name(id), sql_text(id), 0, NULL);
		t->prepared[id] = PQresultStatus(res) == PGRES_COMMAND_OK;
		PQclear(res);
	}
	res = PQexecPrepared(t->pg, sql_name(id), n, params, NULL, NULL, 0);
	if (PQresultStatus(res) == PGRES_TUPLES_OK && PQntuples(res) == 1)
		return res;
	fprintf(stderr, "%s: %s\n", sql_name(id), PQntuples(res) ? PQerrorMessage(t->pg) : "no row");
	PQclear(res);
	return NULL;
}

static int
did(PGresult *res, int status)
{
	PQclear(res);
	return res ? status : 500;
}

/* /reference/status/<id> */
static int
status(struct thread *t, FCGX_Request *rq, const char *tail)
{
	const char *params[] = { FCGX_GetParam("REMOTE_USER", rq->envp), tail };

	return did(ask(t, SQL_job_show, params, 2), 200);
}

static size_t
read_body(FCGX_Request *rq, char *body)
{
	int n = FCGX_GetStr(body, BODY_MAX - 1, rq->in);

	body[n < 0 ? 0 : n] = '\0';
	return n < 0 ? 0 : (size_t)n;
}

static int
generate(struct thread *t, FCGX_Request *rq)
{
	static const char fingerprint[] =
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	char body[BODY_MAX], id[UUID_TEXT_SIZE];
	struct uuid uuid;
	const char *params[] = {
		FCGX_GetParam("REMOTE_USER", rq->envp), id, "1", NULL, fingerprint,
		"flux-schnell", "replicate", body, NULL, "300000",
	};

	read_body(rq, body);
	if (uuid_new(&uuid, NULL))
		return 500;
	uuid_format(&uuid, id);
	return did(ask(t, SQL_create_job, params, sizeof params / sizeof *params), 202);
}

/* ?owner=<uuid>&job=<uuid>: what gengate has to open a token for.  Then what it
 * does for "processing". */
static int
webhook(struct thread *t, FCGX_Request *rq)
{
	const char *query = FCGX_GetParam("QUERY_STRING", rq->envp);
	char body[BODY_MAX], owner[UUID_TEXT_SIZE], job[UUID_TEXT_SIZE], number[24];
	const char *load[] = { owner, job };
	PGresult *res;
	int ret;

	read_body(rq, body);
	if (!query || sscanf(query, "owner=%36[0-9a-f-]&job=%36[0-9a-f-]", owner, job) != 2)
		return 400;
	res = ask(t, SQL_job_load, load, 2);
	if (!res)
		return 500;
	const char *move[] = {
		owner, job, row_text(res, 0, "version"), "running", "-1", NULL, NULL, "0",
		"processing", "observed", FCGX_GetParam("HTTP_WEBHOOK_ID", rq->envp),
		"{\"road\":\"webhook\",\"prediction\":\"q2w3e4r5t6y7u8i9\",\"provider_status\":\"processing\"}",
		NULL, NULL, NULL, number, "0", "0", NULL, NULL, NULL, NULL, NULL,
	};
	snprintf(number, sizeof number, "%lld", (long long)++t->moves * THREADS + t->n);
	ret = did(ask(t, SQL_job_move, move, sizeof move / sizeof *move), 200);
	PQclear(res);
	return ret;
}

static void
answer(const struct options *opt, FCGX_Request *rq, enum route route, int code)
{
	static const char filler[16384];
	char head[256];
	size_t bytes = route == EMPTY ? 2 : opt->answer_bytes[route];

	snprintf(head, sizeof head, "Status: %d\r\nContent-Type: application/json\r\n"
		"Cache-Control: private, no-cache\r\nETag: \"v1\"\r\nContent-Length: %zu\r\n\r\n", code, bytes);
	FCGX_PutS(head, rq->out);
	FCGX_PutStr(filler, (int)bytes, rq->out);
}

static void
handle(struct thread *t, FCGX_Request *rq)
{
	const char *path = FCGX_GetParam("PATH_INFO", rq->envp);

	path = path && strncmp(path, PREFIX, strlen(PREFIX)) == 0 ? path + strlen(PREFIX) : "";
	if (strncmp(path, "status/", 7) == 0)
		answer(t->opt, rq, STATUS, status(t, rq, path + 7));
	else if (strcmp(path, "generate") == 0)
		answer(t->opt, rq, GENERATE, generate(t, rq));
	else if (strcmp(path, "webhook") == 0)
		answer(t->opt, rq, WEBHOOK, webhook(t, rq));
	else
		answer(t->opt, rq, EMPTY, strcmp(path, "empty") == 0 ? 200 : 404);
}

static void *
run(void *arg)
{
	struct thread *t = arg;
	FCGX_Request *rq = mem_calloc(1, sizeof *rq);

	if (!rq)
		return NULL;
	FCGX_InitRequest(rq, t->listen_fd, FCGI_FAIL_ACCEPT_ON_INTR);
	while (!stopping && FCGX_Accept_r(rq) == 0) {
		/* A thread that waits for the next request of one connection would
		 * serve no other. */
		rq->keepConnection = 0;
		handle(t, rq);
		FCGX_Finish_r(rq);
	}
	mem_free(rq);
	return NULL;
}

static bool
read_options(int argc, char **argv, struct options *opt)
{
	static const struct option table[] = {
		{ "listen", required_argument, NULL, 'l' },
		{ "database", required_argument, NULL, 'd' },
		{ "status-bytes", required_argument, NULL, STATUS },
		{ "generate-bytes", required_argument, NULL, GENERATE },
		{ "webhook-bytes", required_argument, NULL, WEBHOOK },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t n;
	int c;

	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (c == 'l')
			opt->listen = optarg;
		else if (c == 'd')
			opt->database = optarg;
		else if (c > WEBHOOK || parse_u64(optarg, strlen(optarg), 1, 16384, &n))
			return false;
		else
			opt->answer_bytes[c] = (size_t)n;
	}
	return opt->listen && opt->database && optind == argc;
}

static bool
start(struct thread *t)
{
	t->pg = PQconnectdb(t->opt->database);
	if (PQstatus(t->pg) == CONNECTION_OK)
		return pthread_create(&t->id, NULL, run, t) == 0;
	fputs(PQerrorMessage(t->pg), stderr);
	return false;
}

int
main(int argc, char **argv)
{
	struct options opt = { .listen = NULL, .answer_bytes = { 500, 500, 20 } };
	struct thread threads[THREADS] = { { .opt = &opt } };
	struct sigaction stop = { .sa_handler = on_stop };
	int fd, n = 0;

	if (!read_options(argc, argv, &opt)) {
		fputs("usage: gengate-reference --listen PATH --database URL [--status-bytes N]"
			" [--generate-bytes N] [--webhook-bytes N]\n", stderr);
		return 2;
	}
	if (FCGX_Init())
		return 1;
	/* After FCGX_Init(), which installs its own, and without SA_RESTART. */
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	fd = FCGX_OpenSocket(opt.listen, BACKLOG);
	if (fd < 0)
		return 1;
	while (n < THREADS) {
		threads[n].opt = &opt;
		threads[n].n = n;
		threads[n].listen_fd = fd;
		if (!start(&threads[n]))
			break;
		n++;
	}
	while (n == THREADS && !stopping)
		pause();
	/* A signal ends the accept() of one thread; the others end with us. */
	unlink(opt.listen);
	_exit(n == THREADS ? 0 : 1);
}
