/* Workers' steps while somebody else moves the job: a provider answers as told, and
 * the race is one that has been lost before the step begins. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/find.h"
#include "core/models.h"
#include "core/pause.h"
#include "core/verifier.h"
#include "core/workers.h"
#include "db/strays.h"
#include "tests/db/db_test.h"
#include "tests/unit/adapter.h"
#include "tests/unit/server.h"

#define PROVIDERS_MAX 8

/* As much of a service as a step needs. */
struct bench {
	struct server provider;		/* answers with ctx */
	struct adapter adapter;
	const void *provider_settings[PROVIDERS_MAX];
	struct settings settings;
	struct service svc;
};

static bool
say(struct conn *cn)
{
	send_text(cn, cn->sv->ctx);
	return false;
}

static void
bench_up(struct bench *b, struct fixture *f, const char *answer)
{
	const struct http_settings http = { .max_connections = 2 };
	char url[64], path[1000];
	const char *env[] = { url, "GENGATE_REPLICATE_TOKEN=r8_test", NULL };
	const char *srcdir = getenv("srcdir");
	struct buf mistakes = BUF_INIT(4096);
	struct err err = ERR_INIT;

	memset(b, 0, sizeof *b);
	server_start(&b->provider, say, (void *)(uintptr_t)answer);
	snprintf(url, sizeof url, "GENGATE_REPLICATE_URL=http://127.0.0.1:%d", b->provider.port);
	adapter_open(&b->adapter, "replicate", env);
	assert_true(provider_count() <= PROVIDERS_MAX);
	for (size_t i = 0; i < provider_count(); i++)
		b->provider_settings[i] = provider_at(i) == b->adapter.p ? b->adapter.settings : NULL;
	b->settings = (struct settings){ .public_url = (char[]){ "https://gate.example" },
		.provider = (char[]){ "replicate" }, .lease_ms = 60000, .poll_interval_ms = 1000 };
	b->svc = (struct service){ .settings = &b->settings, .db = f->db,
		.provider_settings = b->provider_settings };
	snprintf(path, sizeof path, "%s/models.json", srcdir ? srcdir : ".");
	WANT(ERR_OK, models_load(path, "replicate", &b->svc.models, &mistakes, &err));
	WANT(ERR_OK, verifiers_new(&b->svc.verifiers, &err));
	WANT(ERR_OK, keyring_new("a key of sixteen characters", &b->svc.keys, &err));
	WANT(ERR_OK, http_client_new(&http, &b->svc.http, &err));
}

static void
bench_down(struct bench *b)
{
	http_client_free(&b->svc.http);
	keyring_free(&b->svc.keys);
	verifiers_free(&b->svc.verifiers);
	models_free(&b->svc.models);
	adapter_close(&b->adapter);
	server_stop(&b->provider);
}

static struct job
claimed(struct fixture *f, const struct job *job)
{
	struct job ret;
	struct err err = ERR_INIT;

	WANT(ERR_OK, jobs_claim(f->db, &job->owner, &job->id, 60000, &ret, &err));
	return ret;
}

/* A cancel is asked for while a prediction is found to be gone. */
static void
gone_and_moved_by_another(void **state)
{
	struct fixture *f = *state;
	struct job job = job_in(f, GEN_RUNNING), mine;
	struct bench b;

	bench_up(&b, f, "HTTP/1.1 404 Not Found\r\nContent-Length: 17\r\n\r\n{\"detail\":\"gone\"}");
	sql_do(f->pg, "update public.generation_live set misses = 100");
	mine = claimed(f, &job);
	sql_do(f->pg, "update public.generation_live set version = version + 1, cancel_reason = 'user'");
	poll_step(&b.svc, &mine);
	assert_int_equal(mine.state, GEN_SETTLED);
	assert_int_equal(mine.status, GEN_CANCELED);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_strays"), 0);
	job_clear(&mine);
	job_clear(&job);
	bench_down(&b);
}

/* However long the pauses between two looks are, its end is noticed. */
static void
looked_at_when_its_time_is_over(void **state)
{
	static const char body[] = "{\"id\": \"p1\", \"status\": \"starting\"}";
	struct fixture *f = *state;
	struct job job = job_in(f, GEN_RUNNING), mine;
	char answer[200];
	struct bench b;

	snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
	bench_up(&b, f, answer);
	b.settings.poll_interval_ms = 3600000;
	sql_do(f->pg, "update public.generation_jobs set status = 'starting'");
	sql_do(f->pg, "update public.generation_live set deadline_at = now() + interval '10 seconds'");
	mine = claimed(f, &job);
	poll_step(&b.svc, &mine);
	assert_int_equal(mine.state, GEN_RUNNING);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live where "
		"due_at - deadline_at between interval '30 seconds' and interval '35 seconds'"), 1);
	job_clear(&mine);
	job_clear(&job);
	bench_down(&b);
}

/* A webhook has named what an earlier create made after all. */
static void
not_sent_while_a_stray_may_be_its_own(void **state)
{
	struct fixture *f = *state;
	struct job job = job_in(f, GEN_QUEUED), mine;
	struct err err = ERR_INIT;
	struct bench b;

	bench_up(&b, f, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n");
	WANT(ERR_OK, paused_new(&b.svc.paused, &err));
	sql_do(f->pg, "update public.generation_jobs set model = 'flux-schnell'");
	sql_do(f->pg, "update public.generation_live set attempts = 1");
	WANT(ERR_OK, strays_add(f->db, &job.owner, &job.id, "p2", NULL, "replicate", "webhook", &err));
	mine = claimed(f, &job);
	submit_step(&b.svc, &mine);
	paused_free(&b.svc.paused);
	assert_int_equal(mine.state, GEN_QUEUED);
	assert_int_equal(b.provider.requests, 0);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live where state = 'queued' "
		"and lease_until is null and due_at > now() and attempts = 1"), 1);
	job_clear(&mine);
	job_clear(&job);
	bench_down(&b);
}

/* An empty list, of this moment.  mem_free() it. */
static char *
empty_list(void)
{
	static const char body[] = "{\"results\": [], \"next\": null, \"previous\": null}";
	struct buf answer = BUF_INIT(1000);
	time_t now = time(NULL);
	struct tm tm;
	char date[64];

	strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
	buf_printf(&answer, "HTTP/1.1 200 OK\r\nDate: %s\r\nContent-Length: %zu\r\n\r\n%s", date, strlen(body), body);
	return buf_take(&answer);
}

/* A webhook names a prediction while a list without it is read, or none does. */
static void
looked_for_in_vain(struct fixture *f, bool hinted, const char *end)
{
	struct job job = job_in(f, GEN_UNCERTAIN), mine;
	char account[ACCOUNT_SIZE], *answer = empty_list();
	struct bench b;

	bench_up(&b, f, answer);
	assert_int_equal(service_account(&b.svc, "replicate", account), ERR_OK);
	sql_do(f->pg, "update public.generation_live set sent_at = now() - interval '1 minute', "
		"sent_until = now() - interval '1 minute', sent_as = '%s'", account);
	mine = claimed(f, &job);
	if (hinted)
		sql_do(f->pg, "update public.generation_live set version = version + 1, prediction_id = 'p9'");
	find_step(&b.svc, &mine);
	assert_int_equal(sql_int(f->pg, "select count(*) from public.generation_live where lease_until is null and %s", end), 1);
	job_clear(&mine);
	job_clear(&job);
	bench_down(&b);
	mem_free(answer);
}

static void
not_there_is_sent_again(void **state)
{
	looked_for_in_vain(*state, false, "state = 'queued'");
}

/* The look that was in vain does not keep the job to itself. */
static void
hinted_while_it_is_looked_for(void **state)
{
	looked_for_in_vain(*state, true, "state = 'uncertain' and due_at <= now() and prediction_id = 'p9'");
}

int
test_steps(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(gone_and_moved_by_another, fixture_empty),
		cmocka_unit_test_setup(looked_at_when_its_time_is_over, fixture_empty),
		cmocka_unit_test_setup(not_sent_while_a_stray_may_be_its_own, fixture_empty),
		cmocka_unit_test_setup(not_there_is_sent_again, fixture_empty),
		cmocka_unit_test_setup(hinted_while_it_is_looked_for, fixture_empty),
	};

	return cmocka_run_group_tests_name("steps", tests, fixture_up, fixture_down);
}
