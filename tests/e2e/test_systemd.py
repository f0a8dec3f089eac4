"""The units for systemd: are they right, how much do they leave a service, and is that enough for gengate?"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test
from tap import Skip, comment

ANALYZE = stacks.find_program("systemd-analyze")
STRACE = stacks.find_program("strace")
THRESHOLD = 20      # in tenths; without any sandbox a service has 96
OFFLINE_SINCE = 250     # systemd
# What is refused and not missed: LimitCORE= has done what it is for.
REFUSED = {"prlimit64", "setrlimit"}
folder = None


def setup():
    global folder
    folder = tempfile.mkdtemp(prefix="gg-units-")
    shutil.copy(os.path.join(stacks.SRCDIR, "packaging/systemd/gengate.socket"), folder)
    with open(os.path.join(stacks.BUILDDIR, "packaging/systemd/gengate.service"), encoding="utf-8") as f:
        write_service(f.read())


def write_service(text):
    """As installed, but for the program: that is the build's."""
    text, count = re.subn(r"(?m)^ExecStart=.*/gengate$", "ExecStart=" + os.path.join(stacks.BUILDDIR, "gengate"), text)
    equal(count, 1, "ExecStart=")
    with open(service(), "w", encoding="utf-8") as f:
        f.write(text)


def service():
    return os.path.join(folder, "gengate.service")


def analyze(*words):
    if not ANALYZE:
        raise Skip("no systemd-analyze here; Debian: systemd")
    version = int(re.search(r"\d+", subprocess.run([ANALYZE, "--version"], capture_output=True, text=True,
                                                  check=True).stdout)[0])
    if version < OFFLINE_SINCE:
        raise Skip(f"systemd {version} cannot judge a unit that is not installed")
    return subprocess.run([ANALYZE, *words], capture_output=True, text=True, check=False, timeout=60)


def exposure():
    done = analyze("security", "--offline=true", f"--threshold={THRESHOLD}", service())
    level = re.search(r"exposure level for gengate.service: ([\d.]+)", done.stdout)
    check(level, f"no level in {done.stdout}{done.stderr}")
    return done.returncode, level[1]


@test
def the_units_are_right():
    done = analyze("verify", "--man=no", service(), os.path.join(folder, "gengate.socket"))
    equal((done.returncode, done.stderr), (0, ""), "verify")


@test
def a_stop_may_ask_for_time():
    """What it says (core/workers.c) is heard only with this."""
    check(re.search(r"(?m)^NotifyAccess=main$", e2e.read(service())), "the unit does not listen")


@test
def they_leave_little():
    status, level = exposure()
    comment(f"exposure {level}, of 10")
    equal(status, 0, f"exit status with exposure {level}")
    # A threshold that any unit keeps is none.
    text = e2e.read(service())
    try:
        write_service(re.sub(r"(?m)^(SystemCall|Protect|Restrict|Private|Capability).*\n", "", text))
        status, level = exposure()
        check(status != 0, f"without its sandbox it has {level}, and that will do")
    finally:
        write_service(text)


@test
def each_secret_may_be_a_credential():
    page = subprocess.run([os.path.join(stacks.BUILDDIR, "gengate"), "config", "--markdown"], check=True,
                          capture_output=True, text=True, timeout=30).stdout
    rows = set(re.findall(r"(?m)^\| `(\w+)` \| text, secret \|", page))
    check({"secret_key", "replicate_token", "database_url"} <= rows, f"not read rightly: {rows}")
    lines = re.findall(r"(?m)^LoadCredential=(\w+):gengate\.(\w+)$", e2e.read(service()))
    equal({name for name, _ in lines}, rows, "credentials of the unit")
    equal([pair for pair in lines if pair[0] != pair[1]], [], "whose file has another name")


# ---- Do the system calls suffice?

def groups():
    """The system calls of each @group, those of the groups in it among them."""
    direct, name = {}, None
    for line in analyze("syscall-filter").stdout.splitlines():
        word = line.strip()
        if line.startswith("@"):
            name = word
            direct[name] = set()
        elif word and not word.startswith("#") and name:
            direct[name].add(word)

    def whole(of):
        return set().union(*(whole(word) if word.startswith("@") else {word} for word in direct[of]))
    return {of: whole(of) for of in direct}


def allowed():
    """By the lines of the unit, in their order; what it may always do is @default."""
    known = groups()
    calls = set(known["@default"])
    for line in re.findall(r"(?m)^SystemCallFilter=(.*)$", e2e.read(service())):
        taken = line.startswith("~")
        for word in line.lstrip("~").split():
            these = known[word] if word.startswith("@") else {word}
            calls = calls - these if taken else calls | these
    return calls


def traced(rig, name, work):
    """The system calls of a gengate while it does that, from its start to its end."""
    path = os.path.join(rig.dir, name)
    argv = rig.gengate.argv
    rig.gengate.stop()
    # The tracer is in a session of its own, so gengate is who is started and ended.
    rig.gengate.argv = lambda: [STRACE, "-DDD", "-f", "-c", "-o", path, *argv()]
    try:
        rig.gengate.start()
        rig.wait_ready()
        work(rig)
        equal(rig.gengate.stop(), 0, "exit status")
    finally:
        rig.gengate.argv = argv
    stacks.wait_for(lambda: os.path.exists(path) and "total" in e2e.read(path), 20, "the tracer's summary")
    return set(re.findall(r"(?m)^ *[\d.]+ .* (\w+)$", e2e.read(path))) - {"total"}


def all_kinds(rig):
    """Creates, polls, webhooks, outputs, waiting, streams, cancel, retry, delete, a reload and a database that goes."""
    job = rig.submit("with outputs", count=2)
    rig.succeeds(job)
    rig.http("GET", f"/status/{job['id']}", user=job["user"], headers={"Prefer": "wait=5"})
    rig.http("GET", f"/status/{job['id']}", user=job["user"], headers={"Accept": "text/event-stream"})
    rig.http("GET", "/status", user=job["user"])
    rig.http("GET", "/metrics")
    rig.set_sim(processing_ms=20000)
    slow = rig.submit("canceled")
    rig.wait_state(slow, "running")
    rig.http("POST", f"/generate/{slow['id']}/cancel", user=slow["user"])
    rig.settled(slow)
    rig.set_sim(processing_ms=100)
    again = rig.http("POST", f"/generate/{slow['id']}/retry", user=slow["user"]).json
    rig.succeeds({**again, "user": slow["user"]})
    answer = rig.http("DELETE", f"/generate/{job['id']}", user=job["user"])
    check(answer.status == 204, f"a delete: {answer}")
    before = len(rig.gengate.events("config.reloaded"))
    rig.gengate.signal(signal.SIGHUP)
    stacks.wait_for(lambda: rig.gengate.events("config.reloaded")[before:], 20, "a reload")
    rig.postgres.restart()
    rig.wait_ready()
    rig.succeeds(rig.submit("after the database"))


@test
def the_system_calls_suffice():
    permitted = allowed()
    check("openat" in permitted and "mount" not in permitted and "ptrace" not in permitted, "the filter is misread")
    if not STRACE:
        raise Skip("no strace here")
    if subprocess.run([STRACE, "-o", "/dev/null", "true"], capture_output=True, check=False).returncode:
        raise Skip("nobody may be traced here")
    rig = e2e.Rig(tls=True)
    seen = set()
    try:
        rig.start()
        seen |= traced(rig, "supabase.calls", all_kinds)
        rig.configure(storage="local", log_file=os.path.join(rig.dir, "gengate-own.log"))
        seen |= traced(rig, "local.calls", lambda rig: rig.succeeds(rig.submit("kept on disk")))
    finally:
        rig.stop()
    check({"accept4", "accept"} & seen and {"renameat", "rename", "renameat2", "linkat"} & seen, f"too few: {sorted(seen)}")
    comment(f"{len(seen)} system calls: {' '.join(sorted(seen))}")
    equal(sorted(seen - permitted - REFUSED), [], "what the unit refuses")


e2e.main(setup, lambda: folder and shutil.rmtree(folder))
