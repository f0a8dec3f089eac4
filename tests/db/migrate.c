/* The schema: applied once, checked always. */
#include "config.h"

#include "tests/db/db_test.h"

static struct db_settings
settings_for(const char *name)
{
	return (struct db_settings){ .url = new_database(name), .pool = 2, .timeout_ms = 20000,
		.named_statements = true };
}

static enum err_code
ready(const struct db_settings *settings, struct err *err)
{
	struct db *db = NULL;
	enum err_code rc = db_new(settings, &db, err);

	if (!rc)
		rc = db_ready(db, err);
	db_free(&db);
	return rc;
}

static void
script(const struct db_settings *settings, const char *text)
{
	struct err err = ERR_INIT;
	PGresult *res = NULL;

	WANT(ERR_OK, db_script(settings, text, 10000, &res, &err));
	PQclear(res);
}

static void
from_nothing_and_not_twice(void **state)
{
	struct db_settings settings = settings_for("gengate_migrate");
	struct err err = ERR_INIT;
	int applied = -1;
	PGconn *pg;

	(void)state;
	WANT(ERR_CONFIG, ready(&settings, &err));
	SAYS("gengate migrate");
	err = (struct err)ERR_INIT;
	WANT(ERR_OK, db_migrate(&settings, &applied, &err));
	assert_int_equal(applied, migration_newest());
	WANT(ERR_OK, ready(&settings, &err));
	pg = connect_to(settings.url);
	assert_int_equal(sql_int(pg, "select count(*) from public.generation_migrations"), migration_newest());
	sql_do(pg, "insert into public.generation_shared (name, value) values ('mine', '1')");
	WANT(ERR_OK, db_migrate(&settings, &applied, &err));
	assert_int_equal(applied, 0);
	assert_int_equal(sql_int(pg, "select count(*) from public.generation_shared"), 1);
	assert_int_equal(sql_int(pg, "select count(*) from public.generation_migrations"), migration_newest());
	assert_string_equal(err.text, "");
	PQfinish(pg);
	mem_free(settings.url);
}

struct migrator {
	const struct db_settings *settings;
	enum err_code rc;
	struct err err;
	int applied;
};

static void
migrate_one(void *element)
{
	struct migrator *m = element;

	m->rc = db_migrate(m->settings, &m->applied, &m->err);
}

static void
eight_at_once_apply_it_once(void **state)
{
	(void)state;
	for (int round = 0; round < 4; round++) {
		struct db_settings settings = settings_for("gengate_migrate");
		struct migrator migrators[8];
		struct err err = ERR_INIT;
		int applied = 0;

		for (size_t i = 0; i < COUNT_OF(migrators); i++)
			migrators[i] = (struct migrator){ .settings = &settings, .err = ERR_INIT };
		in_parallel(COUNT_OF(migrators), migrate_one, migrators, sizeof *migrators);
		for (size_t i = 0; i < COUNT_OF(migrators); i++) {
			if (migrators[i].rc)
				fail_msg("migrator %zu: %s", i, migrators[i].err.text);
			assert_string_equal(migrators[i].err.text, "");
			applied += migrators[i].applied;
		}
		assert_int_equal(applied, migration_newest());
		WANT(ERR_OK, ready(&settings, &err));
		mem_free(settings.url);
	}
}

static void
another_builds_migration_is_refused(void **state)
{
	struct db_settings settings = settings_for("gengate_migrate");
	struct err err = ERR_INIT;
	int applied = -1;

	(void)state;
	WANT(ERR_OK, db_migrate(&settings, &applied, &err));
	script(&settings, "update public.generation_migrations set checksum = 'other' where number = 1");
	applied = -1;
	WANT(ERR_CONFIG, db_migrate(&settings, &applied, &err));
	SAYS("0001");
	assert_int_equal(applied, -1);
	mem_free(settings.url);
}

static void
a_newer_schema_is_refused(void **state)
{
	struct db_settings settings = settings_for("gengate_migrate");
	struct err err = ERR_INIT;
	int applied = -1;

	(void)state;
	WANT(ERR_OK, db_migrate(&settings, &applied, &err));
	script(&settings, "insert into public.generation_migrations (number, name, checksum) "
		"values (9999, 'of the future', 'x')");
	WANT(ERR_CONFIG, ready(&settings, &err));
	SAYS("newer gengate");
	err = (struct err)ERR_INIT;
	WANT(ERR_CONFIG, db_migrate(&settings, &applied, &err));
	SAYS("newer gengate");
	mem_free(settings.url);
}

static void
an_older_schema_is_refused(void **state)
{
	struct db_settings settings = settings_for("gengate_migrate");
	struct err err = ERR_INIT;
	int applied;

	(void)state;
	WANT(ERR_OK, db_migrate(&settings, &applied, &err));
	script(&settings, "delete from public.generation_migrations");
	WANT(ERR_CONFIG, ready(&settings, &err));
	SAYS("gengate migrate");
	mem_free(settings.url);
}

/* A migration that fails half-way leaves nothing of itself. */
static void
a_failed_migration_leaves_nothing(void **state)
{
	struct db_settings settings = settings_for("gengate_migrate");
	struct err err = ERR_INIT;
	int applied = -1;
	PGconn *pg = connect_to(settings.url);

	(void)state;
	sql_do(pg, "create table public.generation_shared (in_the_way integer)");
	WANT(ERR_INTERNAL, db_migrate(&settings, &applied, &err));
	SAYS("42P07");
	assert_int_equal(applied, -1);
	assert_int_equal(sql_int(pg, "select count(*) from public.generation_migrations"), 0);
	assert_int_equal(sql_int(pg, "select count(*) from pg_class where relname = 'generation_jobs'"), 0);
	sql_do(pg, "drop table public.generation_shared");
	WANT(ERR_OK, db_migrate(&settings, &applied, &err));
	PQfinish(pg);
	mem_free(settings.url);
}

static void
every_statement_can_be_prepared(void **state)
{
	struct db_settings settings = settings_for("gengate_migrate");
	struct err err = ERR_INIT;
	PGresult *res = NULL;
	struct db *db = NULL;
	int applied;

	(void)state;
	WANT(ERR_OK, db_migrate(&settings, &applied, &err));
	WANT(ERR_OK, db_new(&settings, &db, &err));
	for (int id = 0; id < SQL_COUNT; id++) {
		enum err_code rc = db_prepare_only(db, (enum sql_id)id, &err);

		if (rc)
			fail_msg("%s: %s", sql_name((enum sql_id)id), err.text);
	}
	/* A wrong one would have been found. */
	WANT(ERR_INTERNAL, db_script(&settings, "prepare wrong as select no_such_column "
		"from public.generation_jobs", 10000, &res, &err));
	SAYS("42703");
	WANT(ERR_CONFIG, db_script(&settings, "prepare wrong as select 1 from public.no_such_table",
		10000, &res, &err));
	assert_null(res);
	db_free(&db);
	mem_free(settings.url);
}

int
test_migrate(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_nothing_and_not_twice),
		cmocka_unit_test(eight_at_once_apply_it_once),
		cmocka_unit_test(another_builds_migration_is_refused),
		cmocka_unit_test(a_newer_schema_is_refused),
		cmocka_unit_test(an_older_schema_is_refused),
		cmocka_unit_test(a_failed_migration_leaves_nothing),
		cmocka_unit_test(every_statement_can_be_prepared),
	};

	return cmocka_run_group_tests_name("migrate", tests, NULL, NULL);
}
