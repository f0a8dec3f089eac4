"""The command line and the configuration: mistakes are told at once, before anything starts."""

import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test

CONFIG, USAGE = 78, 64
rig = None


def setup():
    """Nothing is started but what a test starts itself."""
    global rig
    rig = e2e.Rig(storage="local", config={"log_level": "info"})


def gengate(*words, **settings):
    return rig.gengate_command(*words, check=False, timeout=20, **settings)


def serve(**settings):
    """What `gengate serve` says of a configuration that it must not start with."""
    path = rig.gengate_sockets[0]
    done = gengate("serve", "--listen", "unix:" + path, **settings)
    equal(done.returncode, CONFIG, f"exit status; it said {done.stderr}")
    check(not os.path.exists(path), "there is a socket")
    check("nothing was started" in done.stderr, f"it said {done.stderr}")
    equal(done.stdout, "", "standard output")
    return done.stderr


def mistakes(text):
    """The settings that are named at the beginning of a line, by their own name or the environment's."""
    found = [re.match(r"(?:environment: )?(?:GENGATE_)?(\w+): ", line) for line in text.splitlines()]
    return [match[1].lower() for match in found if match and match[1] != "gengate"]


def with_file(text, *words, **settings):
    """The same with a configuration file of that content."""
    path = os.path.join(rig.dir, "test.conf")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    env = rig.gengate_environment(**settings)
    return rig.run([rig.gengate_program, *words, "--config", path], env=env, check=False)


@test
def every_mistake_at_once():
    said = serve(database_url=None, public_url="ftp://x", auth="nobody", storage_dir="/nowhere/at/all",
                 job_timeout="soon", workers="many", db_pool="0", replicate_token=None,
                 replicate_webhook_secret="whsec_short", secret_key="short", default_model="none-such")
    named = mistakes(said)
    for name in ("database_url", "public_url", "auth", "storage_dir", "job_timeout", "workers", "db_pool",
                 "replicate_token", "replicate_webhook_secret", "secret_key", "default_model"):
        equal(named.count(name), 1, f"mistakes about {name} in:\n{said}")


@test
def one_mistake_is_one_line():
    for settings, name in (({"public_url": rig.url + "/"}, "public_url"),
                           ({"public_url": "https://user@example.com"}, "public_url"),
                           ({"public_url": None}, "public_url"),
                           ({"secret_key": None}, "secret_key"),
                           ({"provider": "nobody"}, "provider"),
                           ({"provider": "sdcpp"}, "models_file"),
                           ({"storage_dir": None}, "storage_dir"),
                           ({"storage_public_url": None}, "storage_public_url"),
                           ({"storage": "supabase", "supabase_key": None}, "supabase_key"),
                           ({"replicate_webhook_secret": ","}, "replicate_webhook_secret"),
                           ({"lease": "1s"}, "lease"),
                           ({"max_output_bytes": "10 elephants"}, "max_output_bytes"),
                           ({"log_level": "loud"}, "log_level"),
                           ({"auth": None}, "auth")):
        said = serve(**settings)
        equal(mistakes(said), [name], f"mistakes in:\n{said}")


@test
def an_unknown_name():
    said = serve(replicate_tokn="x")
    check("GENGATE_REPLICATE_TOKN" in said and "GENGATE_REPLICATE_TOKEN?" in said, f"no help: {said}")
    done = with_file("# a comment\n\nworkers = 9\nwrokers = 9\n", "config")
    equal(done.returncode, CONFIG, "exit status")
    check("wrokers" in done.stderr and ":4" in done.stderr, f"no line: {done.stderr}")
    equal(gengate("config").returncode, 0, "exit status without mistakes")


@test
def a_file_and_the_environment():
    done = with_file("workers = 9\nthreads = 5\njob_timeout = 90s\n", "config", workers="12")
    equal(done.returncode, 0, f"exit status: {done.stderr}")
    values = dict(re.findall(r"^(\w+) *= *(.*)$", done.stdout, re.M))
    equal((values["workers"], values["threads"], values["job_timeout"]), ("12", "5", "90s"), "values")
    done = gengate("config", "--config", "/nowhere.conf")
    equal(done.returncode, USAGE, "two files")
    done = rig.run([rig.gengate_program, "config", "--config", "/nowhere.conf"], env=rig.gengate_environment(),
                   check=False)
    equal(done.returncode, CONFIG, "exit status without the file")
    check("/nowhere.conf" in done.stderr, done.stderr)


@test
def a_secret_in_a_file_of_its_own():
    path = os.path.join(rig.dir, "token")
    with open(path, "w", encoding="utf-8") as f:
        f.write("sim-token\n")
    done = gengate("config", replicate_token=None, replicate_token_file=path)
    equal(done.returncode, 0, f"exit status: {done.stderr}")
    check("sim-token" not in done.stdout, "the token is printed")
    said = serve(replicate_token=None, replicate_token_file="/nowhere/token")
    check("replicate_token_file" in mistakes(said), said)
    # Which of the two counts?
    said = serve(replicate_token_file=path)
    check("GENGATE_REPLICATE_TOKEN: " in said and "_FILE" in said, said)


@test
def nobody_is_for_loopback_only():
    said = serve(auth="none", public_url="https://app.example.com")
    equal(mistakes(said), ["auth"], f"mistakes in:\n{said}")
    check("loopback" in said, said)
    for url in ("http://127.0.0.1:8080", "http://localhost", "http://[::1]:80/below"):
        equal(gengate("config", auth="none", public_url=url).returncode, 0, "exit status for " + url)
    for url in ("http://127.0.0.1.example.com", "http://localhost.example.com", "http://10.0.0.1"):
        equal(mistakes(serve(auth="none", public_url=url)), ["auth"], "mistakes for " + url)


@test
def a_header_is_no_user():
    for name in ("HTTP_X_USER", "http_x_user", "Http_User"):
        said = serve(auth_param=name)
        equal(mistakes(said), ["auth_param"], f"mistakes in:\n{said}")
    equal(gengate("config", auth_param="SSL_CLIENT_S_DN").returncode, 0, "exit status")


@test
def models_that_cannot_be_used():
    equal(mistakes(serve(models_file="/nowhere/models.json")), ["models_file"], "mistakes")
    path = os.path.join(rig.dir, "bad-models.json")
    for text, wanted in (("{", "models_file"), ("[]", "models_file"), ("{}", "models_file"),
                         ('{"painter": 5}', "painter"),
                         ('{"painter": {"on": {}}}', "replicate"),
                         ('{"painter": {"on": {"replicate": {"model": "a/b"}}}}', "input"),
                         ('{"painter": {"timeout": "5", "on": {"replicate": {"model": "a/b", "input": {}}}}}', "timeout"),
                         ('{"painter": {"color": "red", "on": {"replicate": {"model": "a/b", "input": {}}}}}', "color")):
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        said = serve(models_file=path)
        check(wanted in said, f"{text}: {said}")


@test
def the_configuration_is_printed_without_secrets():
    done = gengate("config", storage="supabase")
    equal(done.returncode, 0, f"exit status: {done.stderr}")
    for what, secret in {**e2e.secrets_of(rig), "the database's URL": rig.config["database_url"]}.items():
        check(secret not in done.stdout + done.stderr, f"{what} is printed")
    for name in ("secret_key", "replicate_token", "database_url", "workers", "models_file"):
        check(re.search(rf"^\W*{name}\b", done.stdout, re.M), f"{name} is not there:\n{done.stdout}")


@test
def a_wrong_secret_is_not_printed_either():
    secret = "whsec_but-no-base64-of-anything"
    said = serve(secret_key="a-bad-key", replicate_webhook_secret=secret, database_url=None)
    check(secret not in said and "a-bad-key" not in said, said)


@test
def words_on_the_command_line():
    for words in (["--help"], ["-h"], ["help"]):
        done = rig.run([rig.gengate_program, *words], check=False)
        equal(done.returncode, 0, f"exit status of {words}")
        for word in ("serve", "migrate", "config", "version", "database_url", "GENGATE_"):
            check(word in done.stdout, f"no {word} in {words}")
    for words in (["version"], ["--version"]):
        done = rig.run([rig.gengate_program, *words], check=False)
        equal(done.returncode, 0, f"exit status of {words}")
        check(re.fullmatch(r"gengate \d+\.\d+\.\d+\S*\n", done.stdout), done.stdout)
    for words in (["frobnicate"], ["--frobnicate"], [], ["serve", "--listen"], ["serve", "--frobnicate", "x"],
                  ["serve", "--mode", "999", "--listen", "unix:/x"], ["migrate", "now"], ["config", "--config"]):
        done = rig.run([rig.gengate_program, *words], env=rig.gengate_environment(), check=False)
        equal(done.returncode, USAGE, f"exit status of {words}: {done.stderr}")
        check("gengate" in done.stderr and not done.stdout, f"{words}: {done.stdout}{done.stderr}")


@test
def migrate_without_a_database():
    done = gengate("migrate")
    equal(done.returncode, 1, "exit status")
    check("database" in done.stderr and len(done.stderr.splitlines()) == 1, f"it said {done.stderr!r}")
    check(e2e.DB_PASSWORD not in done.stderr, "the password is printed")
    done = gengate("migrate", database_url="no URL at all")
    equal(done.returncode, 1, "exit status")
    check(done.stderr.startswith("gengate: "), f"it said {done.stderr!r}")
    equal(gengate("migrate", database_url=None).returncode, CONFIG, "exit status without database_url")


@test
def migrate_again_changes_nothing():
    rig.start_database()
    first = gengate("migrate")
    equal(first.returncode, 0, f"exit status: {first.stderr}")
    known = len(os.listdir(os.path.join(rig.srcdir, "db/migrations")))
    check(f"{known} migrations applied" in first.stdout, first.stdout)
    again = gengate("migrate")
    equal((again.returncode, again.stderr), (0, ""), "the second time")
    check("0 migrations applied" in again.stdout, again.stdout)
    rig.sql("UPDATE generation_migrations SET checksum = 'of another build'")
    other = gengate("migrate")
    equal(other.returncode, CONFIG, "exit status")
    check("another build" in other.stderr, other.stderr)


@test
def a_socket_that_cannot_be_had():
    def refused(where, *more):
        done = gengate("serve", "--listen", where, *more)
        equal(done.returncode, CONFIG, f"exit status: {done.stderr}")
        check(where.removeprefix("unix:") in done.stderr, f"it said {done.stderr}")
    refused("unix:/nowhere/at/all.sock")
    refused("unix:/" + "x" * 200)
    refused("no-port")
    rig.nginx.start()
    refused(f"{stacks.HOST}:{rig.port}")
    # Somebody answers there.
    rig.gengate.start()
    refused("unix:" + rig.gengate_sockets[0])
    check(rig.gengate.alive(), "the first one is gone")
    # And nobody answers there any more.
    rig.gengate.kill()
    check(os.path.exists(rig.gengate_sockets[0]), "no leftover")
    rig.gengate.start()
    equal(oct(os.stat(rig.gengate_sockets[0]).st_mode & 0o777), "0o660", "mode of the socket")
    equal(rig.gengate.stop(), 0, "exit status")
    check(not os.path.exists(rig.gengate_sockets[0]), "the socket stays")


@test
def logs_are_clean():
    e2e.check_logs(rig)


e2e.main(setup, lambda: rig and rig.stop())
