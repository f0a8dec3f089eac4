/* What the processes share: texts by name, and who does a thing for all of them. */
#include "config.h"

#include "db/shared.h"

#include "tests/db/db_test.h"

#define NAME "jwks:https://ref.supabase.co/"

static void
a_text_is_read_as_it_was_put(void **state)
{
	static const char *const texts[] = { "{\"keys\":[]}", "", "\"quoted\" \\ 'and' \xc3\xa9\n", "null" };
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct buf out = BUF_INIT(1000);
	uint64_t age_ms = 0;

	WANT(ERR_NOT_FOUND, shared_get(f->db, NAME, &out, &age_ms, &err));
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		buf_reset(&out);
		WANT(ERR_OK, shared_put(f->db, NAME, texts[i], &err));
		WANT(ERR_OK, shared_get(f->db, NAME, &out, &age_ms, &err));
		assert_string_equal(buf_str(&out), texts[i]);
		assert_true(age_ms < 60000);
	}
	sql_do(f->pg, "update public.generation_shared set updated_at = now() - interval '1 hour'");
	WANT(ERR_OK, shared_get(f->db, NAME, &out, &age_ms, &err));
	assert_true(age_ms >= 3600000);
	buf_clear(&out);
}

static void
one_claim_is_enough_for_a_while(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct buf out = BUF_INIT(1000);
	uint64_t age_ms = 0;

	WANT(ERR_OK, shared_claim(f->db, NAME, 30000, &err));
	WANT(ERR_LOST_RACE, shared_claim(f->db, NAME, 30000, &err));
	WANT(ERR_OK, shared_claim(f->db, "another", 30000, &err));
	WANT(ERR_OK, shared_get(f->db, NAME, &out, &age_ms, &err));
	assert_true(age_ms < 30000);
	sql_do(f->pg, "update public.generation_shared set updated_at = now() - interval '31 s'");
	WANT(ERR_OK, shared_claim(f->db, NAME, 30000, &err));
	WANT(ERR_LOST_RACE, shared_claim(f->db, NAME, 30000, &err));
	/* What was put beside it goes: it is begun again. */
	WANT(ERR_OK, shared_put(f->db, NAME, "failed", &err));
	WANT(ERR_LOST_RACE, shared_claim(f->db, NAME, 30000, &err));
	sql_do(f->pg, "update public.generation_shared set updated_at = now() - interval '31 s'");
	WANT(ERR_OK, shared_claim(f->db, NAME, 30000, &err));
	buf_reset(&out);
	WANT(ERR_OK, shared_get(f->db, NAME, &out, &age_ms, &err));
	assert_string_equal(buf_str(&out), "true");
	buf_clear(&out);
}

struct claimer {
	struct db *db;
	enum err_code rc;
};

static void
claim(void *arg)
{
	struct claimer *c = arg;

	c->rc = shared_claim(c->db, NAME, 30000, NULL);
}

static void
one_of_many_claims_it(void **state)
{
	struct fixture *f = *state;
	struct claimer claimers[8];

	for (int round = 0; round < 2; round++) {
		size_t n = 0;

		for (size_t i = 0; i < COUNT_OF(claimers); i++)
			claimers[i] = (struct claimer){ .db = f->db };
		in_parallel(COUNT_OF(claimers), claim, claimers, sizeof *claimers);
		for (size_t i = 0; i < COUNT_OF(claimers); i++)
			n += claimers[i].rc == ERR_OK;
		assert_int_equal(n, 1);
		sql_do(f->pg, "update public.generation_shared set updated_at = now() - interval '31 s'");
	}
}

int
test_shared(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_text_is_read_as_it_was_put, fixture_empty),
		cmocka_unit_test_setup(one_claim_is_enough_for_a_while, fixture_empty),
		cmocka_unit_test_setup(one_of_many_claims_it, fixture_empty),
	};

	return cmocka_run_group_tests_name("shared", tests, fixture_up, fixture_down);
}
