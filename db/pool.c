#include "config.h"

#include "db/pool.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "db/combine.h"

static const struct { const char *name, *text; } statements[] = {
#define SQL(name, text) { #name, text },
#include "db/statements.inc"
#undef SQL
};

_Static_assert(SQL_COUNT < 128, "base/metrics.h needs more room for statements");

/* Where the first has waited for so long, or nobody got a connection, nobody new has
 * a chance of being quick.  Under load the line is as long as there are threads, too,
 * but it moves. */
#define SLOW_US 100000

struct line;

struct conn {
	PGconn *pg;			/* NULL: not connected */
	struct line *line;		/* of whoever has it */
	struct conn *next_idle;
	bool prepared[SQL_COUNT];
};

/* A thread that waits for a connection, on its stack. */
struct waiter {
	struct waiter *next;
	pthread_cond_t wake;
	struct conn *conn;		/* handed over */
	int64_t since_us;
};

/* Nobody waits in a line while there is an idle connection that it may have. */
struct line {
	struct waiter *first, **end;
	size_t waiting;
	size_t has, most;		/* connections */
	int64_t moved_us;		/* when somebody got one last */
};

enum { LINE_WORK, LINE_REQUESTS, LINES };

struct db {
	struct db_settings settings;	/* its own; but for these: */
	atomic_uint_least64_t timeout_ms, wait_ms;
	pthread_mutex_t lock;		/* guards idle and the lines */
	pthread_condattr_t monotonic;
	struct line lines[LINES];
	struct line *served;		/* the last that was handed a connection */
	size_t full[DB_ADMITTED];	/* by caller: so many requests in line are enough; 0: never */
	struct conn *idle;		/* a stack: the warmest connection first */
	struct conn *conns;
	struct combiner *combiner;
};

/* The thread's own: carried along it would go through every call of every folder. */
static _Thread_local enum db_caller caller = DB_WORK;

enum db_caller
db_call_as(enum db_caller who)
{
	enum db_caller was = caller;

	caller = who;
	return was;
}

enum db_caller
db_calls_as(void)
{
	return caller;
}

void
db_admit(void)
{
	if (caller != DB_WORK)
		caller = DB_ADMITTED;
}

const char *
sql_name(enum sql_id id)
{
	return statements[id].name;
}

const char *
sql_text(enum sql_id id)
{
	return statements[id].text;
}

void
db_configure(struct db *db, const struct db_settings *settings)
{
	atomic_store(&db->timeout_ms, settings->timeout_ms);
	atomic_store(&db->wait_ms, settings->wait_ms);
}

static size_t
at_least_one(size_t n)
{
	return n > 0 ? n : 1;
}

void
db_limit_requests(struct db *db, size_t threads)
{
	size_t most = at_least_one((size_t)db->settings.pool - 1), spare;
	size_t begun = at_least_one(threads - at_least_one(threads / 4));

	pthread_mutex_lock(&db->lock);
	db->lines[LINE_WORK].most = most;
	db->lines[LINE_REQUESTS].most = most < begun ? most : begun;
	spare = threads - db->lines[LINE_REQUESTS].most;
	db->full[DB_REQUEST] = at_least_one(spare / 2);
	db->full[DB_PATIENT] = at_least_one(spare > 0 ? spare - 1 : 0);
	pthread_mutex_unlock(&db->lock);
}

static bool
copy_settings(struct db *db, const struct db_settings *settings)
{
	db->settings = *settings;
	db_configure(db, settings);
	db->settings.url = settings->url ? mem_strdup(settings->url) : NULL;
	return db->settings.url || !settings->url;
}

static void
free_url(struct db *db)
{
	if (db->settings.url)
		mem_free_secret(db->settings.url, strlen(db->settings.url));
}

enum err_code
db_new(const struct db_settings *settings, struct db **ret, struct err *err)
{
	struct db *db = mem_calloc(1, sizeof *db);

	if (db)
		db->conns = mem_calloc(settings->pool, sizeof *db->conns);
	if (!db || !db->conns || !copy_settings(db, settings) || combiner_new(db, &db->combiner, err)) {
		if (db) {
			free_url(db);
			mem_free(db->conns);
		}
		mem_free(db);
		return err_set(err, ERR_NOMEM, "database pool");
	}
	pthread_mutex_init(&db->lock, NULL);
	pthread_condattr_init(&db->monotonic);
	pthread_condattr_setclock(&db->monotonic, CLOCK_MONOTONIC);
	for (size_t i = 0; i < LINES; i++) {
		db->lines[i].end = &db->lines[i].first;
		db->lines[i].most = (size_t)settings->pool;
	}
	for (size_t i = 0; i < settings->pool; i++) {
		db->conns[i].next_idle = db->idle;
		db->idle = &db->conns[i];
	}
	*ret = db;
	return ERR_OK;
}

static void
conn_close(struct conn *conn)
{
	PQfinish(conn->pg);
	conn->pg = NULL;
	memset(conn->prepared, 0, sizeof conn->prepared);
}

void
db_free(struct db **pdb)
{
	struct db *db = *pdb;

	if (!db)
		return;
	for (size_t i = 0; i < db->settings.pool; i++)
		conn_close(&db->conns[i]);
	pthread_condattr_destroy(&db->monotonic);
	pthread_mutex_destroy(&db->lock);
	combiner_free(&db->combiner);
	free_url(db);
	mem_free(db->conns);
	mem_free(db);
	*pdb = NULL;
}

/* From the idle ones to that line.  With the lock. */
static struct conn *
take_idle(struct db *db, struct line *line)
{
	struct conn *conn = db->idle;

	db->idle = conn->next_idle;
	conn->line = line;
	line->has++;
	line->moved_us = clock_mono_us();
	return conn;
}

/* With the lock. */
static void
leave_line(struct line *line, const struct waiter *who)
{
	struct waiter **at = &line->first;

	while (*at != who)
		at = &(*at)->next;
	*at = who->next;
	if (!who->next)
		line->end = at;
	line->waiting--;
}

/* Wait until a connection is handed over.  With the lock. */
static struct conn *
wait_in_line(struct db *db, struct line *line, int64_t deadline_us)
{
	const struct timespec until = {
		.tv_sec = deadline_us / 1000000,
		.tv_nsec = deadline_us % 1000000 * 1000,
	};
	struct waiter self = { .since_us = clock_mono_us() };
	int rc = 0;

	pthread_cond_init(&self.wake, &db->monotonic);
	*line->end = &self;
	line->end = &self.next;
	line->waiting++;
	while (!self.conn && rc == 0)
		rc = pthread_cond_timedwait(&self.wake, &db->lock, &until);
	pthread_cond_destroy(&self.wake);
	if (!self.conn)
		leave_line(line, &self);
	return self.conn;
}

/* Is there no use in standing in line?  With the lock. */
static bool
is_full(const struct db *db, const struct line *line, int64_t now_us)
{
	size_t enough = caller == DB_REQUEST || caller == DB_PATIENT ? db->full[caller] : 0;

	return enough && line->waiting >= enough &&
		(now_us - line->first->since_us >= SLOW_US || now_us - line->moved_us >= SLOW_US);
}

enum err_code
db_overloaded(const char *why, struct err *err)
{
	metric_add(METRIC_LIMITED, 1, "database");
	return err_set(err, ERR_OVERLOADED, "%s", why);
}

static enum err_code
pool_take(struct db *db, int64_t deadline_us, struct conn **ret, struct err *err)
{
	struct line *line = &db->lines[caller == DB_WORK ? LINE_WORK : LINE_REQUESTS];
	int64_t now_us = clock_mono_us(), waited_us = 0;
	int64_t patience_us = now_us + (int64_t)atomic_load(&db->wait_ms) * 1000;
	bool full = false;

	*ret = NULL;
	if (caller == DB_REQUEST && patience_us < deadline_us)
		deadline_us = patience_us;
	pthread_mutex_lock(&db->lock);
	if (db->idle && line->has < line->most) {
		*ret = take_idle(db, line);
	} else if (is_full(db, line, now_us)) {
		full = true;
	} else {
		*ret = wait_in_line(db, line, deadline_us);
		waited_us = clock_mono_us() - now_us;
	}
	pthread_mutex_unlock(&db->lock);
	if (full)
		return db_overloaded("as many requests wait for a database connection as may (db_pool, threads)", err);
	metric_observe(METRIC_POOL_WAIT, waited_us, NULL);
	if (!*ret && caller == DB_REQUEST)
		return db_overloaded("no database connection came free in time (db_pool, db_wait)", err);
	if (!*ret)
		return err_set(err, ERR_UNAVAILABLE, "all %llu database connections stayed busy for %lld ms "
			"(db_pool, db_timeout)", (unsigned long long)db->settings.pool,
			(long long)waited_us / 1000);
	db_admit();
	return ERR_OK;
}

static bool
may_have(const struct line *line)
{
	return line->first && line->has < line->most;
}

/* Whose turn it is: the lines take turns, so that neither waits for the whole of
 * the other.  NULL: nobody's.  With the lock. */
static struct line *
next_line(struct db *db)
{
	struct line *work = &db->lines[LINE_WORK], *requests = &db->lines[LINE_REQUESTS];

	if (may_have(work) && (db->served != work || !may_have(requests)))
		return work;
	return may_have(requests) ? requests : NULL;
}

/* To whoever has waited longest in its line: with a free-for-all some wait many
 * times as long as others. */
static void
pool_give(struct db *db, struct conn *conn)
{
	struct waiter *first;

	pthread_mutex_lock(&db->lock);
	conn->line->has--;
	conn->next_idle = db->idle;
	db->idle = conn;
	db->served = next_line(db);
	if (db->served) {
		first = db->served->first;
		leave_line(db->served, first);
		first->conn = take_idle(db, db->served);
		pthread_cond_signal(&first->wake);
	}
	pthread_mutex_unlock(&db->lock);
}

/* libpq's texts end in a newline and may have several lines; ours is one. */
static enum err_code
pg_error(PGconn *pg, enum err_code code, const char *what, struct err *err)
{
	const char *text = PQerrorMessage(pg);
	size_t len = strcspn(text, "\n");

	return err_set(err, code, "%s: %.*s", what, len ? (int)len : -1, len ? text : "no connection");
}

/* Wait until the socket is ready; false: the deadline passed. */
static bool
wait_socket(PGconn *pg, short events, int64_t deadline_us)
{
	struct pollfd pfd = { .fd = PQsocket(pg), .events = events };

	for (;;) {
		int64_t left_ms = (deadline_us - clock_mono_us() + 999) / 1000;
		int n;

		if (left_ms <= 0)
			return false;
		n = poll(&pfd, 1, left_ms > 1000000 ? 1000000 : (int)left_ms);
		if (n > 0 || (n < 0 && errno != EINTR))
			return true;	/* an error shows in the next libpq call */
	}
}

/* What the server says besides answers: that it is about to stop, that a table
 * was there already.  libpq would print it on standard error, which is our log. */
static void
take_notice(void *ctx, const PGresult *res)
{
	const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);
	bool serious = severity && strcmp(severity, "NOTICE") != 0 && strcmp(severity, "INFO") != 0 &&
		strcmp(severity, "LOG") != 0 && strcmp(severity, "DEBUG") != 0;

	(void)ctx;
	log_event(serious ? LOG_WARN : LOG_DEBUG, "db.notice", KV_STR("severity", severity),
		KV_STR("message", PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY)),
		KV_STR("hint", PQresultErrorField(res, PG_DIAG_MESSAGE_HINT)));
}

/* Which of the URL's hosts: NULL where there is nothing to choose. */
struct host {
	char *name, *address, *port;
};

static enum err_code
connect_to_host(const char *url, const struct host *host, int64_t deadline_us, PGconn **ret,
	struct err *err)
{
	/* What the URL says wins over what comes before it, and the one host over
	 * its list.  No `options`: a pooler would refuse or leak them. */
	static const char *const names[] = {
		"keepalives_idle", "tcp_user_timeout", "fallback_application_name", "client_encoding",
		"dbname", "host", "hostaddr", "port", NULL
	};
	const char *const values[] = {
		"30", "20000", "gengate", "UTF8", url, host->name, host->address, host->port, NULL
	};
	PGconn *pg = PQconnectStartParams(names, values, 1);
	PostgresPollingStatusType st = PGRES_POLLING_WRITING;

	if (!pg)
		return err_set(err, ERR_NOMEM, "database connection");
	PQsetNoticeReceiver(pg, take_notice, NULL);
	if (PQstatus(pg) == CONNECTION_BAD)
		st = PGRES_POLLING_FAILED;
	while (st != PGRES_POLLING_OK && st != PGRES_POLLING_FAILED) {
		if (!wait_socket(pg, st == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_us)) {
			PQfinish(pg);
			return err_set(err, ERR_UNAVAILABLE, "connecting to the database took too long (db_timeout)");
		}
		st = PQconnectPoll(pg);
	}
	if (st == PGRES_POLLING_FAILED) {
		enum err_code rc = pg_error(pg, ERR_UNAVAILABLE, "connecting to the database", err);

		PQfinish(pg);
		return rc;
	}
	if (PQsetnonblocking(pg, 1)) {
		PQfinish(pg);
		return err_set(err, ERR_UNAVAILABLE, "database connection cannot be made non-blocking");
	}
	*ret = pg;
	return ERR_OK;
}

static const char *
option(const PQconninfoOption *options, const char *keyword)
{
	for (; options && options->keyword; options++)
		if (strcmp(options->keyword, keyword) == 0)
			return options->val;
	return NULL;
}

static size_t
names_in(const char *list)
{
	size_t n = 1;

	for (; list && *list; list++)
		n += *list == ',';
	return n;
}

/* An empty name stands for a default that libpq knows. */
static bool
has_gap(const char *list)
{
	size_t len = list ? strlen(list) : 0;

	return len && (list[0] == ',' || list[len - 1] == ',' || strstr(list, ",,"));
}

/* The n-th name of a list, the only one of a list of one; NULL stays NULL.
 * false: no memory. */
static bool
pick(const char *list, size_t n, char **ret)
{
	*ret = NULL;
	if (!list)
		return true;
	if (names_in(list) > 1)
		while (n-- > 0)
			list = strchr(list, ',') + 1;
	*ret = mem_strndup(list, strcspn(list, ","));
	return *ret;
}

/*
 * libpq goes on to the next host when one refuses, but waits for a silent one
 * without end (connect_timeout is for its blocking calls): so each of several
 * hosts gets its share of the time that is left.
 */
static enum err_code
pg_connect(const char *url, int64_t deadline_us, PGconn **ret, struct err *err)
{
	PQconninfoOption *options = PQconninfoParse(url, NULL);
	const char *names = option(options, "host"), *addresses = option(options, "hostaddr");
	const char *ports = option(options, "port");
	size_t n = names_in(addresses ? addresses : names);
	enum err_code rc = ERR_UNAVAILABLE;
	struct err why = ERR_INIT;

	/* Lists that do not fit each other are for libpq to refuse. */
	if ((names && names_in(names) != n) || (names_in(ports) != 1 && names_in(ports) != n) ||
	    has_gap(names) || has_gap(addresses) || has_gap(ports))
		n = 1;
	for (size_t i = 0; rc == ERR_UNAVAILABLE && i < n; i++) {
		struct host host = { .name = NULL };
		int64_t now_us = clock_mono_us();

		if (n > 1 && (!pick(names, i, &host.name) || !pick(addresses, i, &host.address) ||
				!pick(ports, i, &host.port)))
			rc = err_set(&why, ERR_NOMEM, "database connection");
		else
			rc = connect_to_host(url, &host, now_us + (deadline_us - now_us) / (int64_t)(n - i),
				ret, &why);
		mem_free(host.name);
		mem_free(host.address);
		mem_free(host.port);
	}
	PQconninfoFree(options);
	return rc ? err_set(err, rc, "%s", why.text) : ERR_OK;
}

/* A server that went away since the last statement shows as end of file, often
 * behind a last message: so read until nothing is left. */
static bool
conn_has_died(struct conn *conn)
{
	struct pollfd pfd = { .fd = PQsocket(conn->pg), .events = POLLIN };

	while (PQstatus(conn->pg) == CONNECTION_OK) {
		if (poll(&pfd, 1, 0) <= 0)
			return false;
		if (!PQconsumeInput(conn->pg))
			return true;
	}
	return true;
}

static enum err_code
conn_open(struct db *db, struct conn *conn, int64_t deadline_us, struct err *err)
{
	if (conn->pg && conn_has_died(conn))
		conn_close(conn);
	if (conn->pg)
		return ERR_OK;
	return pg_connect(db->settings.url, deadline_us, &conn->pg, err);
}

/*
 * Send what is buffered and collect the answer.  With several results (a
 * script) the first bad one counts, else the last.
 * ERR_UNAVAILABLE with *ret_lost: the connection is of no more use.
 */
static enum err_code
pg_answer(PGconn *pg, int64_t deadline_us, PGresult **ret, bool *ret_lost, struct err *err)
{
	PGresult *kept = NULL, *res;
	int flush;

	*ret_lost = true;
	while ((flush = PQflush(pg)) == 1) {
		if (!wait_socket(pg, POLLIN | POLLOUT, deadline_us))
			goto late;
		if (!PQconsumeInput(pg))
			goto broken;
	}
	if (flush < 0)
		goto broken;
	for (;;) {
		while (PQisBusy(pg)) {
			if (!wait_socket(pg, POLLIN, deadline_us))
				goto late;
			if (!PQconsumeInput(pg))
				goto broken;
		}
		res = PQgetResult(pg);
		if (!res)
			break;
		if (kept && PQresultStatus(kept) == PGRES_FATAL_ERROR) {
			PQclear(res);
			continue;
		}
		PQclear(kept);
		kept = res;
	}
	if (!kept || PQstatus(pg) != CONNECTION_OK)
		goto broken;
	*ret_lost = false;
	*ret = kept;
	return ERR_OK;
late:
	PQclear(kept);
	return err_set(err, ERR_UNAVAILABLE, "the database did not answer in time (db_timeout)");
broken:
	PQclear(kept);
	return pg_error(pg, ERR_UNAVAILABLE, "the database connection broke", err);
}

/* SQLSTATE to our codes: https://www.postgresql.org/docs/15/errcodes-appendix.html */
static enum err_code
code_of_sqlstate(const char *state)
{
	static const struct { const char *prefix; enum err_code code; } rows[] = {
		{ "08", ERR_UNAVAILABLE },	/* connection exception */
		{ "25006", ERR_UNAVAILABLE },	/* read only: a standby, or a failover under way */
		{ "40", ERR_UNAVAILABLE },	/* serialization, deadlock: try again */
		{ "53", ERR_UNAVAILABLE },	/* disk full, too many connections */
		{ "55P03", ERR_UNAVAILABLE },	/* lock not available */
		{ "57", ERR_UNAVAILABLE },	/* shutdown, cancelled, starting up */
		{ "58", ERR_UNAVAILABLE },	/* system error */
		{ "22", ERR_INVALID },		/* a value that does not fit its type */
		{ "23", ERR_INVALID },		/* a constraint */
		{ "3F000", ERR_CONFIG },	/* no such schema */
		{ "42P01", ERR_CONFIG },	/* no such table */
		{ "42883", ERR_CONFIG },	/* no such function */
		{ "42501", ERR_CONFIG },	/* permission denied */
		{ "26000", ERR_CONFIG },	/* no such prepared statement: see remedy_of() */
		{ "42P05", ERR_CONFIG },	/* prepared already, and not by this connection of ours */
	};

	for (size_t i = 0; state && i < sizeof rows / sizeof *rows; i++)
		if (strncmp(state, rows[i].prefix, strlen(rows[i].prefix)) == 0)
			return rows[i].code;
	return ERR_INTERNAL;
}

/* What the operator can do about an ERR_CONFIG. */
static const char *
remedy_of(const char *state)
{
	if (strcmp(state, "26000") == 0 || strcmp(state, "42P05") == 0)
		return "; behind a transaction-mode pooler set named_statements = off";
	return "; run `gengate migrate`, or grant this role its rights";
}

static enum err_code
result_check(const PGresult *res, const char *what, struct err *err)
{
	ExecStatusType st = PQresultStatus(res);
	const char *state, *text, *constraint;
	enum err_code code;

	if (st == PGRES_TUPLES_OK || st == PGRES_COMMAND_OK)
		return ERR_OK;
	state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	constraint = PQresultErrorField(res, PG_DIAG_CONSTRAINT_NAME);
	code = code_of_sqlstate(state);
	return err_set(err, code, "%s: %s (SQLSTATE %s%s%s)%s", what, text ? text : "no message",
		state ? state : "-", constraint ? ", constraint " : "", constraint ? constraint : "",
		code == ERR_CONFIG ? remedy_of(state) : "");
}

/* No primary any more, and not cut either: another connection may find it. */
static bool
is_read_only(const PGresult *res)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	return state && strcmp(state, "25006") == 0;
}

/* name: as what; "": for this moment only. */
static enum err_code
conn_prepare_as(struct conn *conn, const char *name, enum sql_id id, int64_t deadline_us,
	bool *ret_lost, struct err *err)
{
	PGresult *res = NULL;
	enum err_code rc;

	*ret_lost = true;
	if (!PQsendPrepare(conn->pg, name, sql_text(id), 0, NULL))
		return pg_error(conn->pg, ERR_UNAVAILABLE, sql_name(id), err);
	rc = pg_answer(conn->pg, deadline_us, &res, ret_lost, err);
	if (rc)
		return rc;
	rc = result_check(res, sql_name(id), err);
	PQclear(res);
	return rc;
}

static enum err_code
conn_prepare(struct conn *conn, enum sql_id id, int64_t deadline_us, bool *ret_lost, struct err *err)
{
	enum err_code rc = conn_prepare_as(conn, sql_name(id), id, deadline_us, ret_lost, err);

	conn->prepared[id] = rc == ERR_OK;
	return rc;
}

static enum err_code
conn_run(struct conn *conn, enum sql_id id, bool named, const char *const *params, size_t n,
	int64_t deadline_us, PGresult **ret, bool *ret_lost, struct err *err)
{
	PGresult *res = NULL;
	enum err_code rc;
	int sent;

	if (named && !conn->prepared[id]) {
		rc = conn_prepare(conn, id, deadline_us, ret_lost, err);
		if (rc)
			return rc;
	}
	*ret_lost = true;
	if (named)
		sent = PQsendQueryPrepared(conn->pg, sql_name(id), (int)n, params, NULL, NULL, 0);
	else
		sent = PQsendQueryParams(conn->pg, sql_text(id), (int)n, NULL, params, NULL, NULL, 0);
	if (!sent)
		return pg_error(conn->pg, ERR_UNAVAILABLE, sql_name(id), err);
	rc = pg_answer(conn->pg, deadline_us, &res, ret_lost, err);
	if (rc)
		return rc;
	rc = result_check(res, sql_name(id), err);
	if (rc) {
		*ret_lost = is_read_only(res);
		PQclear(res);
		return rc;
	}
	*ret = res;
	return ERR_OK;
}

int64_t
db_patience_us(const struct db *db)
{
	int64_t deadline_us = db_deadline_us(db);
	int64_t patience_us = clock_mono_us() + (int64_t)atomic_load(&db->wait_ms) * 1000;

	return caller == DB_REQUEST && patience_us < deadline_us ? patience_us : deadline_us;
}

int64_t
db_deadline_us(const struct db *db)
{
	return clock_mono_us() + (int64_t)atomic_load(&db->timeout_ms) * 1000;
}

struct combiner *
db_combiner(struct db *db)
{
	return db->combiner;
}

enum err_code
db_query(struct db *db, enum sql_id id, const char *const *params, size_t n,
	PGresult **ret, struct err *err)
{
	return db_query_within(db, atomic_load(&db->timeout_ms), id, params, n, ret, err);
}

enum err_code
db_query_within(struct db *db, uint64_t timeout_ms, enum sql_id id, const char *const *params,
	size_t n, PGresult **ret, struct err *err)
{
	int64_t deadline_us = clock_mono_us() + (int64_t)timeout_ms * 1000;
	int64_t began_us;
	struct err why = ERR_INIT;	/* *err stays as it is if the second attempt works */
	struct conn *conn;
	bool lost = true;
	enum err_code rc;

	rc = pool_take(db, deadline_us, &conn, err);
	if (rc)
		return rc;
	began_us = clock_mono_us();
	for (int attempt = 0; lost && attempt < 2; attempt++) {
		lost = false;
		rc = conn_open(db, conn, deadline_us, &why);
		if (!rc)
			rc = conn_run(conn, id, db->settings.named_statements, params, n,
				deadline_us, ret, &lost, &why);
		if (lost) {
			conn_close(conn);
			log_event(LOG_WARN, "db.connection_lost", KV_STR("statement", sql_name(id)),
				KV_STR("error", why.text));
			if (clock_mono_us() >= deadline_us)
				break;
		}
	}
	pool_give(db, conn);
	metric_observe(METRIC_STATEMENT_TIME, clock_mono_us() - began_us, sql_name(id));
	return rc ? err_set(err, rc, "%s", why.text) : ERR_OK;
}

void
db_connections(struct db *db, size_t *ret_idle, size_t *ret_busy)
{
	size_t idle = 0, free = 0;

	pthread_mutex_lock(&db->lock);
	for (const struct conn *conn = db->idle; conn; conn = conn->next_idle) {
		free++;
		idle += conn->pg != NULL;
	}
	pthread_mutex_unlock(&db->lock);
	*ret_idle = idle;
	*ret_busy = db->settings.pool - free;
}

enum err_code
db_prepare_only(struct db *db, enum sql_id id, struct err *err)
{
	int64_t deadline_us = db_deadline_us(db);
	struct conn *conn;
	bool lost = false;
	enum err_code rc;

	rc = pool_take(db, deadline_us, &conn, err);
	if (rc)
		return rc;
	rc = conn_open(db, conn, deadline_us, err);
	if (!rc)
		rc = conn_prepare_as(conn, "", id, deadline_us, &lost, err);
	if (lost)
		conn_close(conn);
	pool_give(db, conn);
	return rc;
}

enum err_code
db_script(const struct db_settings *settings, const char *sql, uint64_t timeout_ms,
	PGresult **ret, struct err *err)
{
	int64_t deadline_us = clock_mono_us() + (int64_t)timeout_ms * 1000;
	PGconn *pg = NULL;
	PGresult *res = NULL;
	bool lost;
	enum err_code rc;

	rc = pg_connect(settings->url, deadline_us, &pg, err);
	if (rc)
		return rc;
	if (PQsendQuery(pg, sql))
		rc = pg_answer(pg, deadline_us, &res, &lost, err);
	else
		rc = pg_error(pg, ERR_UNAVAILABLE, "script", err);
	if (!rc)
		rc = result_check(res, "script", err);
	if (rc)
		PQclear(res);
	else
		*ret = res;
	PQfinish(pg);
	return rc;
}

const char *
row_text(const PGresult *res, int row, const char *column)
{
	int i = 0, n = PQnfields(res);

	/* PQfnumber() folds the name's case in a copy of it first. */
	while (i < n && strcmp(PQfname(res, i), column) != 0)
		i++;
	assert(i < n);
	return PQgetisnull(res, row, i) ? NULL : PQgetvalue(res, row, i);
}

int64_t
row_i64(const PGresult *res, int row, const char *column, int64_t if_null)
{
	const char *s = row_text(res, row, column);
	bool negative = s && s[0] == '-';
	uint64_t n;

	if (!s || parse_u64(s + negative, strlen(s + negative), 0, INT64_MAX, &n))
		return if_null;
	return negative ? -(int64_t)n : (int64_t)n;
}
