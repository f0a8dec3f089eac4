/*
 * The tests of db/ against a real PostgreSQL that is thrown away afterwards.
 * test_db.py starts it, names it in GENGATE_TEST_DATABASE_URL and does what
 * control() asks for.
 */
#ifndef GENGATE_TESTS_DB_TEST_H
#define GENGATE_TESTS_DB_TEST_H

#include "db/assets.h"
#include "db/jobs.h"
#include "db/migrate.h"
#include "db/pool.h"

#include "tests/unit/unit.h"

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

/* A migrated database, a pool of ours on it, and a connection beside it. */
struct fixture {
	struct db_settings settings;
	struct db *db;
	PGconn *pg;
	PGconn *locker;		/* its transactions hold locks */
	long before;		/* what was allocated */
};

int fixture_up(void **state);		/* for a group */
int fixture_down(void **state);
int fixture_empty(void **state);	/* before each test: no row in any table of ours */

/* The cluster's URL with another database in it; the caller frees by mem_free(). */
char *database_url(const char *name);

/* A database of that name, new and empty; its URL: mem_free(). */
char *new_database(const char *name);

PGconn *connect_to(const char *url);	/* PQfinish() */

/* Ask test_db.py for something and wait until it is done. */
void control(const char *what);

/* SQL past the code under test.  Each ends the test when it fails. */
PGresult *sql(PGconn *pg, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), warn_unused_result));
void sql_do(PGconn *pg, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int64_t sql_int(PGconn *pg, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Poll until the query answers with that number; five seconds at most. */
void sql_wait(PGconn *pg, int64_t wanted, const char *query);

/* A call has to return that code; `err` is the caller's. */
#define WANT(code, call) do { \
	enum err_code got_ = (call); \
	if (got_ != (code)) \
		fail_msg("%s: got %s, wanted %s: %s", #call, err_name(got_), err_name(code), err.text); \
} while (0)

/* And what it says has to contain this. */
#define SAYS(word) do { \
	if (!strstr(err.text, (word))) \
		fail_msg("\"%s\" does not say \"%s\"", err.text, (word)); \
} while (0)

struct uuid new_uuid(void);
const char *text_of(const struct uuid *id);	/* good for the next eight calls of a thread */

/* What create_job() takes, with a key or without; borrows all and has no owner. */
struct job_new a_job(const char *key);

/* Created for a new owner, with so many slots, and loaded: job_clear(). */
struct job created_job(struct fixture *f);

/* The same moved to that state; running and storing have prediction "p1". */
struct job job_in(struct fixture *f, enum gen_state state);

/* A move to that state that changes nothing else. */
struct job_move move_to(enum gen_state state);

/* The states as jobs_claim_due() takes them. */
#define ALL_STATES ((1u << GEN_SETTLED) - 1)

/* Run fn on n elements, each in a thread that starts when all are there, and
 * wait for all. */
void in_parallel(size_t n, void (*fn)(void *element), void *elements, size_t element_bytes);

int64_t elapsed_ms(int64_t since_us);

/* The groups, in the order in which they run. */
int test_migrate(void);
int test_create(void);
int test_move(void);
int test_claims(void);
int test_show(void);
int test_list(void);
int test_evidence(void);
int test_prune(void);
int test_remove(void);
int test_inputs(void);
int test_steps(void);
int test_strays(void);
int test_shared(void);
int test_constraints(void);
int test_pauses(void);
int test_pool(void);

#endif
