"""Who may do what in the database: on a PostgreSQL with Supabase's roles, auth.uid() and
publication, and on a plain one without any of them.  The service runs under a login role
that is a member of gengate_service and nothing more."""

import json
import os
import re
import sys
import urllib.parse

sys.path.insert(0, os.path.join(os.environ.get("srcdir") or os.path.join(os.path.dirname(__file__), "../.."),
                                "tests/stack"))
import stack as stacks
from tap import check, equal, run, skip_all, test

A, B = "aaaaaaaa-0000-4000-8000-00000000000a", "bbbbbbbb-0000-4000-8000-00000000000b"
DENIED = "42501"

COLUMNS = {
    "generation_jobs": "owner_id, id, status, version, model, provider, request, metadata, error_code, cost,"
                       " currency, created_at, started_at, completed_at",
    "generation_assets": "owner_id, job_id, index, storage_key, content_type, bytes, width, height, sha256,"
                         " error_code, stored_at",
}
HIDDEN = {
    "generation_jobs": ["idempotency_key", "fingerprint", "deadline_at", "prediction_id", "handle"],
    "generation_assets": ["source_url", "signed_url", "signed_until", "inline"],
}
TABLES = ["generation_jobs", "generation_assets", "generation_live", "generation_events", "generation_inputs", "generation_removals", "generation_strays", "generation_shared",
          "generation_migrations"]

# A Supabase project's: https://github.com/supabase/postgres and supabase/auth, migrations/.
# Its "postgres", which is no superuser, is called project here.
ROLES = """
    CREATE ROLE anon NOLOGIN NOINHERIT;
    CREATE ROLE authenticated NOLOGIN NOINHERIT;
    CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS;
    CREATE ROLE authenticator LOGIN NOINHERIT;
    GRANT anon, authenticated, service_role TO authenticator;
    CREATE ROLE project LOGIN CREATEROLE;
"""
PROJECT = """
    CREATE SCHEMA auth;
    GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role, project;
    CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
        SELECT coalesce(current_setting('request.jwt.claim.sub', true),
            current_setting('request.jwt.claims', true)::jsonb ->> 'sub')::uuid
    $$;
    GRANT ALL ON SCHEMA public TO project WITH GRANT OPTION;
    GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;
    ALTER DEFAULT PRIVILEGES FOR ROLE project IN SCHEMA public
        GRANT ALL ON TABLES TO anon, authenticated, service_role;
    ALTER DEFAULT PRIVILEGES FOR ROLE project IN SCHEMA public
        GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
    ALTER DEFAULT PRIVILEGES FOR ROLE project IN SCHEMA public
        GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
    CREATE PUBLICATION supabase_realtime;
"""
# Runs a statement as whoever calls it: how many rows, or the SQLSTATE.
PROBE = """
    CREATE SCHEMA probe;
    GRANT USAGE ON SCHEMA probe TO public;
    CREATE FUNCTION probe.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
    DECLARE
        n bigint;
    BEGIN
        EXECUTE statement;
        GET DIAGNOSTICS n = ROW_COUNT;
        RETURN n || CASE n WHEN 1 THEN ' row' ELSE ' rows' END;
    EXCEPTION WHEN OTHERS THEN
        RETURN sqlstate;
    END $$;
"""

project = None      # a stack with all of Supabase that concerns us
plain = None        # and one with nothing of it
jobs = {}


def url(stack, user, database="gengate"):
    return f"postgresql:///{database}?" + urllib.parse.urlencode({"host": stack.pg_dir, "user": user})


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def tries(stack, role, statements, claims=None, before=(), database="gengate"):
    """What each of the statements gives under that role, by its name; nothing of it stays."""
    values = ", ".join(f"({n}, {quoted(text)})" for n, text in enumerate(statements.values()))
    script = ["BEGIN", *before]
    if claims is not None:
        script.append(f"SET LOCAL request.jwt.claims = {quoted(claims)}")
    script += [f"SET LOCAL ROLE {role}",
               f"SELECT probe.try(statement) FROM (VALUES {values}) AS v(n, statement) ORDER BY n", "ROLLBACK"]
    return dict(zip(statements, (row[0] for row in stack.sql("; ".join(script), database=database)), strict=True))


def check_enough(stack, role, database="gengate"):
    """May it do all that the service does?"""
    for name, got in tries(stack, role, statements(), database=database).items():
        check(got.endswith("row") or got.endswith("rows"),
              f"{name}: {got}: is what it needs granted to gengate_service, in db/migrations?")


def claims_of(owner):
    return json.dumps({"sub": owner, "role": "authenticated", "aud": "authenticated"})


def migrate(stack, user, database="gengate"):
    """The warnings that it gave, each once: several migrations change rights."""
    done = stack.gengate_command("migrate", database_url=url(stack, user, database))
    events = [json.loads(line) for line in done.stderr.splitlines()]
    return list({event["message"]: event for event in events if event["level"] == "warn"}.values())


def in_publication(stack, database="gengate"):
    return [row[0] for row in stack.sql("SELECT schemaname || '.' || tablename FROM pg_publication_tables"
                                        " WHERE pubname = 'supabase_realtime'", database=database)]


def setup():
    global project, plain
    project = stacks.Stack(pooler=False, config={"poll_interval": "100ms", "lease": "4s"})
    project.postgres.start()
    project.sql(ROLES + "ALTER DATABASE gengate OWNER TO project;" + PROJECT + PROBE
                + "ALTER PUBLICATION supabase_realtime OWNER TO project")
    project.migrate_with = {"database_url": url(project, "project")}
    project.migrate()
    # All that an operator does: a login role, and its membership.
    project.sql("CREATE ROLE gate LOGIN IN ROLE gengate_service")
    project.configure(database_url=url(project, "gate"))
    project.start()
    plain = stacks.Stack(pooler=False, gengates=0, simulator=False)
    plain.postgres.start()
    for statement in ("CREATE ROLE poor LOGIN", "CREATE DATABASE poor OWNER poor"):
        plain.sql(statement)


def teardown():
    for stack in (project, plain):
        if stack:
            stack.stop()


# -- The service

@test
def the_service_works_as_a_member_and_no_more():
    for owner, n in ((A, 1), (A, 2), (B, 1)):
        answer = project.http("POST", "/generate", json={"prompt": f"a lighthouse {n}"}, user=owner,
                              headers={"Prefer": "respond-async", "Idempotency-Key": f"key-{n}"})
        equal(answer.status, 202, f"status of {answer}")
        end = project.wait_settled(answer.json["id"], user=owner)
        equal((end["status"], len(end["assets"])), ("succeeded", 1), "end")
        jobs.setdefault(owner, []).append(end["id"])
    equal(project.sql_value("SELECT count(*) FROM generation_assets WHERE stored_at IS NOT NULL"), "3", "assets")
    equal(project.http("GET", "/readyz").status, 200, "/readyz")
    users = project.sql("SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = 'gengate'")
    equal(users, [["gate"]], "who it was")


def statements():
    """All of db/sql/, to be explained, which checks the rights and does nothing; and what
    create_job() does."""
    folder = os.path.join(stacks.SRCDIR, "db/sql")
    found = {}
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), encoding="utf-8") as f:
            text = re.sub(r"(?m)^--.*\n", "", f.read())
        found[name.removesuffix(".sql")] = "EXPLAIN " + re.sub(r"\$\d+", "NULL", text)
    return {**found, "what create_job does": "SELECT * FROM public.create_job(gen_random_uuid(), gen_random_uuid(), 1,"
            " NULL, decode(repeat('00', 32), 'hex'), 'm', 'p', '{}', NULL, '1 minute')"}


@test
def its_rights_are_enough():
    check_enough(project, "gate")


@test
def its_rights_are_no_more_than_needed():
    rights = project.sql(
        "SELECT c.relname, a.privilege_type FROM pg_class c, aclexplode(c.relacl) a"
        " WHERE a.grantee = 'gengate_service'::regrole ORDER BY 1, 2")
    check(len(rights) >= 12, f"rights: {rights}")
    for table, right in rights:
        got = tries(project, "gate", statements(), before=[f"REVOKE {right} ON public.{table} FROM gengate_service"])
        check(DENIED in got.values(), f"nothing needs {right} on {table}")
    columns = project.sql("SELECT attname FROM pg_attribute, aclexplode(attacl) a"
                          " WHERE a.grantee = 'gengate_service'::regrole")
    equal(columns, [], "rights on columns")
    functions = project.sql("SELECT proname FROM pg_proc, aclexplode(proacl) a"
                            " WHERE a.grantee = 'gengate_service'::regrole")
    equal(functions, [["create_job"]], "functions")


@test
def it_cannot_do_what_it_does_not_have_to():
    for name, got in tries(project, "gate", {
            **{f"truncate {table}": f"TRUNCATE public.{table} CASCADE" for table in TABLES},
            "delete from generation_migrations": "DELETE FROM public.generation_migrations",
            "drop": "DROP TABLE public.generation_jobs",
            "row security off": "ALTER TABLE public.generation_jobs DISABLE ROW LEVEL SECURITY",
            "rights": "SELECT public.generation_rights()",
            # Before PostgreSQL 15 everybody creates tables in public.
            "schema": "DROP SCHEMA public",
            "role": "CREATE ROLE other",
            "migrations": "INSERT INTO public.generation_migrations VALUES (9999, 'x', 'x')"}).items():
        equal(got, DENIED, name)


# -- The project's users

def reads():
    found = {}
    for table in TABLES:
        found[f"all of {table}"] = f"SELECT * FROM public.{table}"
        found[f"count of {table}"] = f"SELECT FROM public.{table}"
    for table, columns in COLUMNS.items():
        found[f"columns of {table}"] = f"SELECT {columns} FROM public.{table}"
        found[f"others' in {table}"] = f"SELECT owner_id FROM public.{table} WHERE owner_id <> auth.uid()"
    for table, hidden in HIDDEN.items():
        for column in hidden:
            found[f"{table}.{column}"] = f"SELECT {column} FROM public.{table}"
            found[f"where {table}.{column}"] = f"SELECT owner_id FROM public.{table} WHERE {column} IS NOT NULL"
    return found


def writes():
    found = {}
    for table in TABLES:
        column = "number" if table == "generation_migrations" else "name" if table == "generation_shared" else "owner_id"
        found[f"insert {table}"] = f"INSERT INTO public.{table} DEFAULT VALUES"
        found[f"update {table}"] = f"UPDATE public.{table} SET {column} = {column}"
        found[f"update {table} blindly"] = f"UPDATE public.{table} SET {column} = NULL"
        found[f"delete {table}"] = f"DELETE FROM public.{table}"
        found[f"truncate {table}"] = f"TRUNCATE public.{table} CASCADE"
    return {
        **found,
        "update of one's own": f"UPDATE public.generation_jobs SET status = 'succeeded' WHERE owner_id = '{A}'",
        "insert of one's own": "INSERT INTO public.generation_jobs (owner_id, id, model, provider, request,"
                               f" fingerprint, deadline_at) VALUES ('{A}', gen_random_uuid(), 'm', 'p', '{{}}',"
                               " decode(repeat('00', 32), 'hex'), now())",
        "lock": "LOCK TABLE public.generation_jobs IN ROW EXCLUSIVE MODE",
        "for update": "SELECT id FROM public.generation_jobs FOR UPDATE",
        "sequence": "SELECT nextval('public.generation_events_id_seq')",
        "sequence's value": "SELECT last_value FROM public.generation_events_id_seq",
        "create_job": statements()["what create_job does"],
        "generation_rights": "SELECT public.generation_rights()",
        "policy": "CREATE POLICY mine ON public.generation_jobs USING (true)",
        "trigger": "CREATE TRIGGER mine BEFORE UPDATE ON public.generation_jobs FOR EACH ROW"
                   " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    }


def rows(n):
    return "1 row" if n == 1 else f"{n} rows"


def check_all_denied(role, named, claims=None):
    for name, got in tries(project, role, named, claims).items():
        equal(got, DENIED, f"{role}: {name}")


def check_owner(claims, own):
    """As authenticated with these claims: own rows of jobs and of assets, and nothing else."""
    got = tries(project, "authenticated", reads(), claims)
    seen = {}
    for table in COLUMNS:
        for what in ("count of", "columns of"):
            seen[f"{what} {table}"] = rows(own)
        seen[f"others' in {table}"] = "0 rows"
    for name, result in got.items():
        equal(result, seen.get(name, DENIED), f"with {claims}: {name}")
    check_all_denied("authenticated", writes(), claims)


@test
def an_owner_reads_what_is_theirs():
    equal((len(jobs[A]), len(jobs[B])), (2, 1), "jobs")
    check_owner(claims_of(A), 2)
    check_owner(claims_of(B), 1)
    for owner in (A, B):
        seen = project.sql(f"BEGIN; SET LOCAL request.jwt.claims = {quoted(claims_of(owner))};"
                           " SET LOCAL ROLE authenticated; SELECT id FROM generation_jobs ORDER BY created_at; COMMIT")
        equal([row[0] for row in seen], jobs[owner], "the jobs themselves")


@test
def others_read_nothing():
    check_owner(claims_of("cccccccc-0000-4000-8000-00000000000c"), 0)
    check_owner(None, 0)
    check_owner('{"role": "authenticated"}', 0)


@test
def anon_may_nothing():
    for claims in (None, claims_of(A)):
        check_all_denied("anon", {**reads(), **writes()}, claims)


@test
def public_may_nothing():
    """Any other role of the cluster, and PostgREST's own before it has changed to one."""
    project.sql("CREATE ROLE stranger NOLOGIN; GRANT USAGE ON SCHEMA public, auth TO stranger")
    for role in ("stranger", "authenticator"):
        check_all_denied(role, {name: text for name, text in {**reads(), **writes()}.items()
                                if "auth.uid" not in text})


@test
def service_role_reads_and_changes_nothing():
    got = tries(project, "service_role", {f"count of {table}": f"SELECT * FROM public.{table}" for table in TABLES})
    equal(got["count of generation_jobs"], "3 rows", "jobs")
    equal(got["count of generation_assets"], "3 rows", "assets")
    equal(got["count of generation_live"], "0 rows", "live jobs")
    check(got["count of generation_events"] != DENIED, "events")
    for table in ("generation_inputs", "generation_removals", "generation_strays", "generation_shared", "generation_migrations"):
        equal(got[f"count of {table}"], DENIED, table)
    check_all_denied("service_role", writes())


@test
def every_table_is_ours_and_closed():
    """A table or a function that is added later has to appear here and in generation_rights()."""
    tables = project.sql("SELECT relname, relrowsecurity FROM pg_class WHERE relnamespace = 'public'::regnamespace"
                         " AND relkind IN ('r', 'p', 'v', 'm') ORDER BY 1")
    equal(tables, [[table, "t"] for table in sorted(TABLES)], "tables with row level security")
    granted = project.sql(
        "SELECT c.relname, a.grantee::regrole, a.privilege_type FROM pg_class c, aclexplode(c.relacl) a"
        " WHERE c.relnamespace = 'public'::regnamespace AND a.grantee <> c.relowner"
        " AND a.grantee <> 'gengate_service'::regrole ORDER BY 1, 2, 3")
    equal(granted, [[table, "service_role", "SELECT"] for table in sorted(TABLES[:4])], "granted on tables")
    functions = project.sql("SELECT DISTINCT coalesce(g.rolname, 'public') FROM pg_proc p"
                            " CROSS JOIN aclexplode(coalesce(proacl, acldefault('f', proowner))) a"
                            " LEFT JOIN pg_roles g ON g.oid = a.grantee"
                            " WHERE pronamespace = 'public'::regnamespace ORDER BY 1")
    equal(functions, [["gengate_service"], ["project"]], "who may call functions")


# -- The publication

@test
def realtime_gets_the_jobs():
    equal(in_publication(project), ["public.generation_jobs"], "in the publication")
    columns = project.sql_value("SELECT relreplident FROM pg_class WHERE relname = 'generation_jobs'")
    equal(columns, "d", "replica identity: the key alone is in what is told of a deletion")


def another_database(name, *more):
    project.sql(f"CREATE DATABASE {name} OWNER project")
    project.sql(PROJECT, database=name)
    for statement in more:
        project.sql(statement, database=name)


@test
def a_publication_of_somebody_else_is_left_alone():
    another_database("foreign_publication")     # the superuser's
    warnings = migrate(project, "project", "foreign_publication")
    equal(in_publication(project, "foreign_publication"), [], "in the publication")
    equal(len(warnings), 1, f"warnings: {warnings}")
    check("supabase_realtime" in warnings[0]["message"], warnings[0])
    check("alter publication supabase_realtime add table public.generation_jobs" in warnings[0]["hint"], warnings[0])
    # What it says to do, and then it is content.
    project.sql("ALTER PUBLICATION supabase_realtime ADD TABLE public.generation_jobs", database="foreign_publication")
    project.sql("SET ROLE project; SELECT public.generation_rights()", database="foreign_publication")
    equal(in_publication(project, "foreign_publication"), ["public.generation_jobs"], "in the publication")


@test
def a_publication_of_all_tables_has_them():
    another_database("all_tables", "DROP PUBLICATION supabase_realtime",
                     "CREATE PUBLICATION supabase_realtime FOR ALL TABLES")
    equal(migrate(project, "project", "all_tables"), [], "warnings")
    check("public.generation_jobs" in in_publication(project, "all_tables"), "not in the publication")


@test
def again_changes_nothing():
    def all_rights():
        return [project.sql("SELECT relname, relacl FROM pg_class WHERE relname LIKE 'generation%' ORDER BY 1"),
                project.sql("SELECT attname, attacl FROM pg_attribute WHERE attacl IS NOT NULL ORDER BY attrelid, 1"),
                project.sql("SELECT proname, proacl FROM pg_proc WHERE pronamespace = 'public'::regnamespace"),
                project.sql("SELECT tablename, policyname, roles, cmd, qual, with_check FROM pg_policies ORDER BY 1, 2"),
                in_publication(project)]
    before = all_rights()
    equal(len(before[3]), len(TABLES) + 2, "policies")
    project.sql("SET ROLE project; SELECT public.generation_rights()")
    equal(all_rights(), before, "rights")
    # It also takes back what was granted by mistake.
    project.sql("GRANT ALL ON generation_jobs, generation_events TO anon, authenticated, public;"
                "GRANT UPDATE (status) ON generation_jobs TO authenticated;"
                "ALTER TABLE generation_events DISABLE ROW LEVEL SECURITY;"
                "SET ROLE project; SELECT public.generation_rights()")
    check_owner(claims_of(A), 2)
    check_all_denied("anon", {**reads(), **writes()})
    equal(all_rights()[1:], before[1:], "rights")


# -- A plain PostgreSQL

@test
def without_any_of_it_and_without_the_right_to_create_roles():
    warnings = migrate(plain, "poor", "poor")
    equal(len(warnings), 1, f"warnings: {warnings}")
    check("gengate_service" in warnings[0]["message"], warnings[0])
    check("create role gengate_service nologin" in warnings[0]["hint"], warnings[0])
    equal(plain.sql("SELECT rolname FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%' ORDER BY 1"),
          [["gengate"], ["poor"]], "roles")
    equal(plain.sql("SELECT policyname FROM pg_policies", database="poor"), [], "policies")
    # The owner needs nobody's leave.
    equal(plain.sql("SET ROLE poor; SELECT count(*) FROM generation_jobs", database="poor"), [["0"]], "jobs")
    # What it said to do.
    plain.sql("CREATE ROLE gengate_service NOLOGIN; CREATE ROLE member LOGIN IN ROLE gengate_service")
    plain.sql("SET ROLE poor; SELECT public.generation_rights()", database="poor")
    plain.sql(PROBE, database="poor")
    check_enough(plain, "member", "poor")


@test
def without_any_of_it_as_a_superuser():
    equal(migrate(plain, "gengate"), [], "warnings")
    policies = plain.sql("SELECT DISTINCT roles FROM pg_policies")
    equal(policies, [["{gengate_service}"]], "policies are for")
    plain.sql(PROBE)
    check_enough(plain, "member")


@test
def supabase_that_comes_later():
    """A schema that was there before the project's roles."""
    plain.sql(ROLES)
    plain.sql(PROJECT)
    plain.sql("SELECT public.generation_rights()")
    equal(in_publication(plain), ["public.generation_jobs"], "in the publication")
    equal(plain.sql("BEGIN; SET LOCAL ROLE authenticated; SELECT id FROM generation_jobs; COMMIT"), [], "rows")


if stacks.missing_programs():
    skip_all("missing: " + ", ".join(stacks.missing_programs()))
run(setup, teardown)
