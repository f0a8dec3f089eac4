#include "config.h"

#include "db/migrate.h"

#include "base/crypto.h"
#include "db/pool.h"

/* A migration may rewrite a large table. */
#define MIGRATE_TIMEOUT_MS (3600 * 1000)

/* "gengate" as a number: one lock for all our migrations, in any schema. */
#define MIGRATE_LOCK "5144836451123459"

static const struct migration {
	const char *name;
	const char *sql;
} migrations[] = {
#define MIGRATION(name, text) { #name, text },
#include "db/migrations.inc"
#undef MIGRATION
};

#define N_MIGRATIONS ((int)(sizeof migrations / sizeof *migrations))

int
migration_newest(void)
{
	return N_MIGRATIONS;
}

static enum err_code
checksum(const struct migration *m, char hex[SHA256_HEX_SIZE], struct err *err)
{
	uint8_t digest[SHA256_BYTES];
	enum err_code rc = sha256(m->sql, strlen(m->sql), digest, err);

	if (!rc)
		hex_encode(digest, sizeof digest, hex);
	return rc;
}

/* What the database has: of one migration, and as its newest. */
struct applied {
	bool there;
	char checksum[SHA256_HEX_SIZE];
	int64_t newest;
};

/*
 * One script per migration, in one transaction: take the lock, look whether
 * it is there already, apply it if not.  `do` blocks cannot hold it all, since
 * a migration is plain SQL, so the look is a statement of its own before.
 */
static enum err_code
look_for(const struct db_settings *settings, int number, struct applied *ret, struct err *err)
{
	struct buf sql = BUF_INIT(4096);
	PGresult *res = NULL;
	const char *have;
	enum err_code rc;

	buf_puts(&sql,
		"begin; select pg_advisory_xact_lock(" MIGRATE_LOCK ");"
		"create table if not exists public.generation_migrations ("
		" number integer not null constraint generation_migrations_pkey primary key,"
		" name text not null, checksum text not null,"
		" applied_at timestamptz not null default now());"
		"alter table public.generation_migrations enable row level security;"
		"commit;");
	buf_printf(&sql, "select max(number) as newest, max(checksum) filter (where number = %d) as checksum"
		" from public.generation_migrations", number);
	if (sql.err)
		return err_set(err, sql.err, "migration script");
	rc = db_script(settings, buf_str(&sql), MIGRATE_TIMEOUT_MS, &res, err);
	buf_clear(&sql);
	if (rc)
		return rc;
	have = row_text(res, 0, "checksum");
	*ret = (struct applied){ .there = have, .newest = row_i64(res, 0, "newest", 0) };
	if (have && strlen(have) < SHA256_HEX_SIZE)
		memcpy(ret->checksum, have, strlen(have) + 1);
	PQclear(res);
	return ERR_OK;
}

static enum err_code
apply(const struct db_settings *settings, int number, const struct migration *m,
	const char *hex, struct err *err)
{
	struct buf sql = BUF_INIT(1 << 20);
	PGresult *res = NULL;
	enum err_code rc;

	/* The insert comes first: when another process applied it while we
	 * waited for the lock, its primary key stops the whole script. */
	buf_printf(&sql, "begin; select pg_advisory_xact_lock(" MIGRATE_LOCK ");"
		"insert into public.generation_migrations (number, name, checksum)"
		" values (%d, '%s', '%s');\n%s\ncommit;",
		number, m->name, hex, m->sql);
	if (sql.err)
		return err_set(err, sql.err, "migration script");
	rc = db_script(settings, buf_str(&sql), MIGRATE_TIMEOUT_MS, &res, err);
	buf_clear(&sql);
	PQclear(res);
	return rc;
}

static enum err_code
migrate_one(const struct db_settings *settings, int number, int *applied, struct err *err)
{
	const struct migration *m = &migrations[number - 1];
	char want[SHA256_HEX_SIZE];
	struct applied have;
	enum err_code rc;

	rc = checksum(m, want, err);
	if (!rc)
		rc = look_for(settings, number, &have, err);
	if (!rc && !have.there && have.newest <= N_MIGRATIONS) {
		struct err why = ERR_INIT;

		rc = apply(settings, number, m, want, &why);
		if (!rc) {
			++*applied;
			return ERR_OK;
		}
		/* Perhaps somebody else did, meanwhile. */
		if (look_for(settings, number, &have, NULL) || !have.there)
			return err_set(err, rc, "migration %s: %s", m->name, why.text);
		rc = ERR_OK;
	}
	if (!rc && have.newest > N_MIGRATIONS)
		rc = err_set(err, ERR_CONFIG, "the database's schema is at %lld, this program knows %d: "
			"install the newer gengate", (long long)have.newest, N_MIGRATIONS);
	if (!rc && strcmp(want, have.checksum) != 0)
		rc = err_set(err, ERR_CONFIG, "migration %s in the database is not the one that this "
			"program carries: was it applied by another build?", m->name);
	return rc;
}

enum err_code
db_migrate(const struct db_settings *settings, int *ret_applied, struct err *err)
{
	int applied = 0;
	enum err_code rc = ERR_OK;

	for (int number = 1; number <= N_MIGRATIONS && !rc; number++)
		rc = migrate_one(settings, number, &applied, err);
	if (!rc)
		*ret_applied = applied;
	return rc;
}
