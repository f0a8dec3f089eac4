"""Where secrets come from, where a running gengate keeps them, and that nobody else sees them."""

import os
import signal
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test
from leaks import Leaks

TOKEN, KEY, STORAGE_KEY = "token-" + "en" * 20, "key-" + "of" * 20, "sb_secret_" + "ag" * 20
rig = None


def setup():
    global rig
    rig = e2e.Rig(config={"replicate_token": TOKEN, "secret_key": KEY, "supabase_key": STORAGE_KEY,
                          "replicate_webhook_secret": stacks.WEBHOOK_SECRET})
    rig.postgres.start()
    rig.nginx.start()
    rig.sim.start()
    rig.set_sim(token=TOKEN, storage_secret_key=STORAGE_KEY, webhook_secret=stacks.WEBHOOK_SECRET)
    rig.start()


def kept():
    """The secrets that are in use, by the names of their settings."""
    names = ("replicate_token", "secret_key", "replicate_webhook_secret", "supabase_key")
    return {name: rig.config[name] for name in names if rig.config[name]}


def places(pid, wanted):
    """How often that is in what the process may write to."""
    found = 0
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            place, rights = line.split()[:2]
            if not rights.startswith("rw") or "[v" in line:
                continue
            start, end = (int(x, 16) for x in place.split("-"))
            memory.seek(start)
            found += memory.read(end - start).count(wanted.encode())
    return found


def wait_places(wanted, secrets):
    """Once what is under way has ended."""
    def found():
        return {name: places(rig.gengate.pid, text) for name, text in secrets.items()}
    try:
        stacks.wait_for(lambda: set(found().values()) == {wanted}, 10, "end of copies")
    except stacks.StackError:
        rig.fail(f"in memory, instead of {wanted} times: {found()}")


def work():
    """What uses all of them: a create, polls, a webhook, an upload."""
    for n in range(3):
        rig.succeeds(rig.submit(f"secret work {n}"))


def restart(config="", **settings):
    with open(rig.config_file, "w", encoding="utf-8") as f:
        f.write(config)
    os.chmod(rig.config_file, 0o600)
    rig.configure(**settings)
    rig.gengate.restart()
    rig.wait_ready()


def reload():
    before = len(rig.gengate.events("config.reloaded"))
    rig.gengate.signal(signal.SIGHUP)
    return stacks.wait_for(lambda: rig.gengate.events("config.reloaded")[before:], 10, "config.reloaded")[0]["changed"]


def secret_file(name, text, mode=0o600):
    path = os.path.join(rig.run_dir, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, mode)
    return path


@test
def the_environment_is_not_shown():
    with open(f"/proc/{rig.gengate.pid}/environ", "rb") as f:
        shown = f.read().decode()
    check("HOME=" in shown, f"nothing is shown at all, so this tells nothing: {shown!r}")
    for name, text in {**kept(), "password": e2e.DB_PASSWORD}.items():
        check(text not in shown, f"{name} is shown")
    equal(reload(), "", "what a reload finds changed")
    work()


@test
def memory_has_them_once_for_each_source():
    """In the settings, and in what the environment said."""
    work()
    wait_places(2, kept())


@test
def a_file_leaves_them_in_the_settings_alone():
    was = dict(kept())
    restart("".join(f"{name} = {text}\n" for name, text in was.items()), **dict.fromkeys(was))
    try:
        work()
        wait_places(1, was)
    finally:
        restart(**was)


@test
def a_reload_leaves_nothing_of_the_old_ones():
    token, key, storage_key = "token-" + "ew" * 20, "key-" + "ol" * 20, "sb_secret_" + "ur" * 20
    was = dict(kept())
    old = {name: was[name] for name in ("replicate_token", "secret_key", "supabase_key")}
    restart("".join(f"{name} = {text}\n" for name, text in old.items()), **dict.fromkeys(old))
    try:
        work()
        check(places(rig.gengate.pid, TOKEN), "the token is not found, so this tells nothing")
        new = {"replicate_token": token, "secret_key": key, "supabase_key": storage_key}
        with open(rig.config_file, "w", encoding="utf-8") as f:
            f.writelines(f"{name} = {text}\n" for name, text in new.items())
        rig.leaks.configure(new)
        rig.set_sim(token=token, storage_secret_key=storage_key)
        equal(reload(), "secret_key, replicate_token, supabase_key", "what has changed")
        work()
        wait_places(0, old)
        wait_places(1, new)
    finally:
        rig.set_sim(token=TOKEN, storage_secret_key=STORAGE_KEY)
        restart(**was)


@test
def credentials_and_files_are_read_and_read_again():
    was = dict(kept())
    folder = os.path.join(rig.run_dir, "credentials")
    os.mkdir(folder, 0o700)
    secret_file("credentials/replicate_token", TOKEN + "\n")
    path = secret_file("storage-key", STORAGE_KEY + "\n")
    environment, rig.gengate.env = rig.gengate.env, lambda: {**environment(), "CREDENTIALS_DIRECTORY": folder}
    try:
        restart(f"replicate_token = overridden by the credential\nsupabase_key_file = {path}\n",
                replicate_token=None, supabase_key=None)
        work()
        check(not rig.gengate.events("config.exposed"), "a warning without a reason")
        token, storage_key = "token-" + "ly" * 20, "sb_secret_" + "id" * 20
        rig.leaks.configure({"replicate_token": token, "supabase_key": storage_key})
        secret_file("credentials/replicate_token", token + "\n")
        secret_file("storage-key", storage_key + "\n", 0o644)
        rig.set_sim(token=token, storage_secret_key=storage_key)
        equal(reload(), "replicate_token, supabase_key", "what has changed")
        work()
        warning = stacks.wait_for(lambda: rig.gengate.events("config.exposed"), 10, "config.exposed")[0]
        equal(warning["level"], "warn", "level")
        check("supabase_key_file" in warning["warnings"] and "may read it" in warning["warnings"], f"{warning}")
    finally:
        rig.gengate.env = environment
        rig.set_sim(token=TOKEN, storage_secret_key=STORAGE_KEY)
        restart(**was)


@test
def check_says_which_files_are_open_to_all():
    def said():
        done = rig.gengate_command("check", check=False)
        equal(done.returncode, 0, f"exit status of {done.stdout}{done.stderr}")
        return [line for line in done.stdout.splitlines() if "secrets" in line.split()]
    was = rig.config["replicate_token"]
    path = secret_file("token", was + "\n", 0o640)
    rig.configure(replicate_token=None, replicate_token_file=path)
    try:
        equal(said(), [], "with a file for its owner and group")
        os.chmod(path, 0o644)
        lines = said()
        equal(len(lines), 1, f"warnings {lines}")
        check(lines[0].startswith("note") and "GENGATE_REPLICATE_TOKEN_FILE" in lines[0], lines[0])
    finally:
        rig.configure(replicate_token=was, replicate_token_file=None)


@test
def a_leak_would_be_seen():
    leaks = Leaks()
    leaks.configure({"replicate_token": "r8_configured", "replicate_webhook_secret": "whsec_Y29uZmlndXJlZA",
                     "database_url": "postgresql:///x?password=the-password", "default_model": "painter", "x_key": "short"})
    leaks.exchange({"authorization": "Basic dXNlcjpwYXNz"}, [], b'{"url": "https://x/object/sign/a.png?token=signed-for-ann"}')
    equal(leaks.answers, [], "in an answer with what its reader may have")
    leaks.exchange({}, [("X-Token", "r8_configured")], b"")
    equal(leaks.answers, ["replicate_token is in an answer"], "in an answer")
    leaks.answers.clear()
    rows = [("gengate.log", "r8_configured", True), ("nginx-error.log", "r8_configured", True),
            ("sim.log", "r8_configured", False), ("gengate.log", "Y29uZmlndXJlZA", True),
            ("postgres.log", "the-password", True), ("gengate.log", "painter short", False),
            ("gengate-1.log", "dXNlcjpwYXNz", True), ("nginx-access.log", "Basic dXNlcjpwYXNz", True),
            ("gengate.log", "/object/sign/a.png?token=signed-for-ann", True),
            ("nginx-access.log", "/object/sign/a.png?token=signed-for-ann", False),
            ("gengate.log", "bearer of-unknown-origin", True), ("gengate.log", "eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJl", True),
            ("gengate.log", "/webhooks/replicate?job=" + "x" * 60, True),
            ("gengate.log", "job=01890a5d-ac96-774b-bcce-b302099a8057", False),
            ("gengate.log", "v1," + "A" * 43 + "=", True), ("gengate.log", "whsec_b2Ygc29tZWJvZHkgZWxzZQ", True)]
    for name, text, wanted in rows:
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                f.write(f"a line\nbefore {text} after\n")
            equal(bool(leaks.find(folder, [])), wanted, f"{text!r} in {name} is found")


@test
def logs_are_clean():
    work()
    e2e.check_logs(rig)


e2e.main(setup, lambda: rig and rig.stop())
