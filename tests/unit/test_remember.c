#include "config.h"

#include "core/remember.h"

#include <pthread.h>

#include "tests/unit/unit.h"

#define NOW 1000

/* The n-th token and its user.  Some share a bucket. */
static void
digest_of(unsigned n, uint8_t digest[SHA256_BYTES])
{
	assert_int_equal(sha256(&n, sizeof n, digest, NULL), ERR_OK);
	if (n % 3 == 0)
		memset(digest, 0, 4);
}

static struct uuid
user_of(unsigned n)
{
	struct uuid user = { .b = { 0 } };

	memcpy(user.b, &n, sizeof n);
	return user;
}

static bool
knows_at(struct remembered *r, unsigned n, int64_t now_s)
{
	uint8_t digest[SHA256_BYTES];
	struct uuid user = { .b = { 0 } }, want = user_of(n);
	unsigned epoch;
	bool found;

	digest_of(n, digest);
	found = remembered_find(r, digest, now_s, &user, &epoch);
	if (found)
		assert_true(uuid_equal(&user, &want));
	return found;
}

static bool
knows(struct remembered *r, unsigned n)
{
	return knows_at(r, n, NOW);
}

static unsigned
epoch_now(struct remembered *r)
{
	uint8_t digest[SHA256_BYTES] = { 1 };
	struct uuid user;
	unsigned epoch = 12345;

	assert_false(remembered_find(r, digest, NOW, &user, &epoch));
	return epoch;
}

static void
put_at(struct remembered *r, unsigned n, int64_t until_s, unsigned epoch)
{
	uint8_t digest[SHA256_BYTES];
	struct uuid user = user_of(n);

	digest_of(n, digest);
	remembered_put(r, digest, &user, until_s, epoch);
}

static void
put(struct remembered *r, unsigned n)
{
	put_at(r, n, NOW + 1, epoch_now(r));
}

static struct remembered *
make(size_t max)
{
	struct remembered *r = NULL;

	assert_int_equal(remembered_new(max, &r, NULL), ERR_OK);
	return r;
}

static void
remembers_until_the_end(void **state)
{
	struct remembered *r = make(10);

	(void)state;
	assert_false(knows(r, 1));
	put_at(r, 1, NOW + 10, epoch_now(r));
	assert_true(knows_at(r, 1, NOW + 9));
	assert_false(knows_at(r, 1, NOW + 10));
	assert_false(knows(r, 2));
	remembered_free(&r);
	assert_null(r);
}

static void
the_one_unused_for_longest_makes_room(void **state)
{
	struct remembered *r = make(4);

	(void)state;
	for (unsigned n = 1; n <= 4; n++)
		put(r, n);
	assert_true(knows(r, 1));
	put(r, 5);
	assert_false(knows(r, 2));
	put(r, 6);
	assert_false(knows(r, 3));
	assert_true(knows(r, 1));
	assert_true(knows(r, 4));
	assert_true(knows(r, 5));
	assert_true(knows(r, 6));
	/* Twice is once. */
	put(r, 6);
	assert_true(knows(r, 1));
	remembered_free(&r);
}

static void
one_is_enough_to_be_bounded_by(void **state)
{
	struct remembered *r = make(1);

	(void)state;
	for (unsigned n = 1; n < 10; n++) {
		put(r, n);
		assert_true(knows(r, n));
		assert_false(knows(r, n - 1));
	}
	remembered_free(&r);
}

/* Against a list that is kept in the simplest way. */
static void
is_what_a_list_would_be(void **state)
{
	enum { MAX = 7, TOKENS = 20 };
	struct remembered *r = make(MAX);
	unsigned list[MAX], len = 0, draw = 1;

	(void)state;
	for (int round = 0; round < 5000; round++) {
		unsigned n, at = 0;

		draw = draw * 1103515245 + 12345;
		n = draw / 65536 % TOKENS;
		while (at < len && list[at] != n)
			at++;
		assert_int_equal(knows(r, n), at < len);
		if (at == len) {
			put(r, n);
			at = len < MAX ? len++ : MAX - 1;
		}
		memmove(list + 1, list, at * sizeof *list);
		list[0] = n;
	}
	remembered_free(&r);
}

static void
what_was_verified_before_all_was_forgotten_is_not_put(void **state)
{
	struct remembered *r = make(10);
	unsigned epoch = epoch_now(r);

	(void)state;
	put_at(r, 1, NOW + 1, epoch);
	remembered_forget(r);
	assert_false(knows(r, 1));
	put_at(r, 2, NOW + 1, epoch);
	assert_false(knows(r, 2));
	put(r, 3);
	assert_true(knows(r, 3));
	remembered_free(&r);
}

static void *
use(void *arg)
{
	struct remembered *r = arg;

	for (unsigned n = 0; n < 30000; n++) {
		if (!knows(r, n % 97))
			put(r, n % 97);
		if (n % 5000 == 0)
			remembered_forget(r);
	}
	return NULL;
}

static void
many_threads_may_use_it(void **state)
{
	struct remembered *r = make(50);
	pthread_t threads[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, use, r), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	put(r, 1);
	assert_true(knows(r, 1));
	remembered_free(&r);
}

static void
survives_no_memory(void **state)
{
	struct remembered *r = NULL;
	enum err_code rc;

	(void)state;
	ASSERT_SURVIVES_NOMEM(rc, {
		rc = remembered_new(100, &r, NULL);
		remembered_free(&r);
	});
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(remembers_until_the_end),
		cmocka_unit_test(the_one_unused_for_longest_makes_room),
		cmocka_unit_test(one_is_enough_to_be_bounded_by),
		cmocka_unit_test(is_what_a_list_would_be),
		cmocka_unit_test(what_was_verified_before_all_was_forgotten_is_not_put),
		cmocka_unit_test(many_threads_may_use_it),
		cmocka_unit_test(survives_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
