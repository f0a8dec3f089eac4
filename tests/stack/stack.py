"""Everything that a generation passes through, started privately.

A Stack is a PostgreSQL cluster of its own, nginx, the simulator and one or more
gengates, on unix sockets in a temporary folder and one port of 127.0.0.1 that
was free.  Nothing of the system's is used but the programs.

	with Stack() as stack:
		answer = stack.http("POST", "/generate", json={"prompt": "x"}, user="ann")
		job = stack.wait_settled(answer.json["id"], user="ann")
		stack.gengate.kill()
		stack.gengate.start()
		print(stack.sql("SELECT status FROM generation_jobs"))

Parts (stack.postgres, stack.nginx, stack.sim, stack.gengate, stack.gengates)
have start, stop, kill, pause, resume, restart, alive, log and pid.  A failure
shows the ends of the logs.  A secret in a log, a command line or an answer is one, too,
at the latest when the Stack stops (leaks.py).  Each part ends with the Stack, also when the test is
interrupted or killed: a small shell, the reaper, waits for our end of a pipe.

GENGATE_STACK_KEEP=1 keeps the folder.  GENGATE_TEST_POOLER=1 puts PgBouncer in transaction mode between
gengate and PostgreSQL (stack.pooler); stack.sql() goes round it.  Only the standard library is used.
"""

import atexit
import base64
import csv
import errno
import glob
import http.client
import io
import json as jsonlib
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

from leaks import Leaks
from tls import Authority

SRCDIR = os.path.abspath(os.environ.get("srcdir") or
                         os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
BUILDDIR = os.path.abspath(os.environ.get("builddir") or os.path.join(SRCDIR, "build"))

HOST = "127.0.0.1"
# Used if the simulator does not tell another one.
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SETTLED = ("succeeded", "failed", "canceled")
SOCKET_PATH_MAX = 107
# Room for the longest name below the folder: pg/.s.PGSQL.5432.lock
SOCKET_FOLDER_MAX = SOCKET_PATH_MAX - 24
READY_TIMEOUT = 60
# What nginx/gengate.conf hands to gengate.
GENGATES_PATHS = re.compile(r"/(generate|status|healthz|readyz|metrics)(\?|$)|/(generate|status|webhooks|signed)/")
# Where the simulator speaks as which provider besides Replicate, below its name, and with which key.
SIMULATED = {
    "fal": {"url": "/fal", "key": "sim-fal-key", "jwks_url": "/fal/.well-known/jwks.json"},
    "openai": {"url": "/openai/v1", "key": "sim-openai-key"},
    "bfl": {"url": "/bfl/v1", "key": "sim-bfl-key"},
    "sdcpp": {"url": ""},
    "comfyui": {"url": "/comfyui"},
}
POOLER_PORT = 6432      # the name of its unix socket, no more


class StackError(Exception):
    """Something around the test went wrong; the text has the logs' ends."""


class PortTaken(StackError):
    """Somebody else listens there."""


def find_program(name, *folders):
    """The path of a program, sbin included; None if there is none."""
    path = os.pathsep.join([*folders, os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    return shutil.which(name, path=path)


def postgres_bindir():
    """The newest folder that has PostgreSQL's server."""
    found = []
    config = find_program("pg_config")
    if config:
        out = subprocess.run([config, "--bindir"], capture_output=True, text=True, timeout=20, check=False)
        found.append(out.stdout.strip())
    by_version = sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True,
                        key=lambda path: int(re.sub(r"\D", "", path.split("/")[4]) or 0))
    initdb = find_program("initdb")
    if initdb:
        by_version.append(os.path.dirname(os.path.realpath(initdb)))
    for folder in found + by_version:
        if all(os.access(os.path.join(folder, name), os.X_OK) for name in ("initdb", "postgres")):
            return folder
    return None


def pooler_wanted():
    """Are the tests to go through a transaction-mode pooler?"""
    return os.environ.get("GENGATE_TEST_POOLER", "") not in ("", "0")


def missing_programs():
    """What a Stack needs and this host does not have, in words; for skipping."""
    missing = []
    if not find_program("nginx"):
        missing.append("nginx")
    if not postgres_bindir():
        missing.append("PostgreSQL's server")
    if not find_program("psql", postgres_bindir() or "/"):
        missing.append("psql")
    if pooler_wanted() and not find_program("pgbouncer"):
        missing.append("pgbouncer")
    return missing


def wait_for(predicate, timeout=10.0, what="condition", interval=0.02):
    """Poll until predicate() is true and return what it returned."""
    end = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= end:
            raise StackError(f"no {what} within {timeout} s")
        time.sleep(interval)
        interval = min(interval * 1.2, 0.25)


def tail(path, lines=30):
    try:
        with open(path, "rb") as f:
            f.seek(0, os.SEEK_END)
            f.seek(max(0, f.tell() - 400 * lines))
            return b"\n".join(f.read().splitlines()[-lines:]).decode(errors="replace")
    except OSError:
        return ""


def descendants(pid):
    """All processes below pid, itself not among them."""
    children = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="latin-1") as f:
                parent = int(f.read().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue
        children.setdefault(parent, []).append(int(entry))
    below, todo = [], [pid]
    while todo:
        for child in children.get(todo.pop(), []):
            below.append(child)
            todo.append(child)
    return below


def process_state(pid):
    """The letter of /proc: R, S, D, T (stopped), Z; None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as f:
            return f.read().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return None


def send_signal(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


class Reaper:
    """Ends our parts and removes our folders when we cannot any more.

    A shell in a session of its own that reads what there is to end, and ends it
    when its input ends, be it that we died by SIGKILL."""

    SCRIPT = r"""
        trap '' HUP INT QUIT TERM
        pids= folders=
        while read -r what value; do
            case $what in
            +) pids="$pids $value" ;;
            -) left=; for p in $pids; do [ "$p" = "$value" ] || left="$left $p"; done; pids=$left ;;
            d) folders=$value ;;
            q) pids= folders= ;;
            esac
        done
        for p in $pids; do kill -TERM "-$p"; kill -CONT "-$p"; done
        n=0
        while [ -n "$pids" ] && [ $n -lt 30 ]; do
            left=; for p in $pids; do kill -0 "-$p" && left="$left $p"; done
            [ $n -ne 5 ] || for p in $left; do kill -INT "-$p"; done
            pids=$left n=$((n + 1))
            [ -z "$pids" ] || sleep 0.1
        done
        for p in $pids; do kill -KILL "-$p"; done
        [ -z "$folders" ] || { sleep 0.3; rm -rf -- "$folders"; }
    """

    def __init__(self):
        self.process = subprocess.Popen(["/bin/sh", "-c", self.SCRIPT], stdin=subprocess.PIPE,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        cwd="/", start_new_session=True)

    def say(self, what, value=""):
        try:
            self.process.stdin.write(f"{what} {value}\n".encode())
            self.process.stdin.flush()
        except (OSError, ValueError):
            pass

    def close(self):
        self.say("q")
        try:
            self.process.stdin.close()
        except OSError:
            pass
        self.process.wait()


class Part:
    """One program of the stack, in a session of its own."""

    def __init__(self, stack, name, argv, *, env=None, uid=None, gid=None, cwd=None, ready=None,
                 stop_signal=signal.SIGTERM, before=None):
        self.stack = stack
        self.name = name
        self.argv = argv            # a list, or a function that gives one
        self.env = env              # a function that gives the environment
        self.uid, self.gid, self.cwd = uid, gid, cwd
        self.ready = ready          # a function: true once it can be used
        self.before = before        # a function: what has to be done before each start
        self.stop_signal = stop_signal
        self.log_path = os.path.join(stack.log_dir, name + ".log")
        self.process = None

    @property
    def pid(self):
        return self.process.pid if self.process else None

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def state(self):
        """See process_state(): "T" while it is stopped."""
        return process_state(self.pid) if self.alive() else None

    def wait_stopped(self, timeout=10):
        """Until the process has stopped itself, at a pause point."""
        wait_for(lambda: self.state() in ("T", None), timeout, f"stop of {self.name}")
        if not self.alive():
            self.stack.fail(f"{self.name} ended instead of stopping")

    def start(self, wait=True):
        if self.alive():
            return self
        if self.before:
            self.before()
        argv = self.argv() if callable(self.argv) else self.argv
        user = {} if self.uid is None else {"user": self.uid, "group": self.gid, "extra_groups": []}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.env() if self.env else self.stack.environment(),
                                            cwd=self.cwd or self.stack.run_dir,
                                            start_new_session=True, **user)
        self.stack.reaper.say("+", self.process.pid)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=READY_TIMEOUT):
        if not self.ready:
            return self
        end = time.monotonic() + timeout
        while not self.ready():
            if not self.alive():
                self.stack.fail(f"{self.name} ended with {self.process.returncode} while it started")
            if time.monotonic() > end:
                self.stack.fail(f"{self.name} was not ready within {timeout} s")
            time.sleep(0.03)
        return self

    def wait(self, timeout=10):
        """Its exit status, negative for a signal; it has to end by itself."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.stack.fail(f"{self.name} did not end within {timeout} s")
        self.stack.reaper.say("-", self.process.pid)
        return status

    def signal(self, number):
        if self.alive():
            send_signal(self.pid, number)

    def stop(self, timeout=15):
        """Ask it to end, then insist.  Returns the exit status; -9 if it had to be killed."""
        if not self.process:
            return None
        if self.alive():
            self.resume()
            self.signal(self.stop_signal)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                return self.kill()
        self._finish(descendants_before=[])
        return self.process.returncode

    def kill(self):
        """SIGKILL to it and to all its processes at once."""
        if not self.process:
            return None
        below = descendants(self.pid) if self.alive() else []
        for pid in [self.pid, *below] if self.alive() else []:
            send_signal(pid, signal.SIGKILL)
        self.process.wait()
        self._finish(below)
        return self.process.returncode

    def _finish(self, descendants_before):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        end = time.monotonic() + 5
        while any(process_state(pid) not in (None, "Z") for pid in descendants_before) and time.monotonic() < end:
            time.sleep(0.01)
        self.stack.reaper.say("-", self.process.pid)

    def restart(self, hard=False):
        self.kill() if hard else self.stop()
        return self.start()

    def pause(self):
        """SIGSTOP: there, connected, and silent."""
        if not self.alive():
            return
        pids = [self.pid, *descendants(self.pid)]
        for pid in pids:
            send_signal(pid, signal.SIGSTOP)
        wait_for(lambda: all(process_state(pid) in ("T", "Z", None) for pid in pids), 10, f"stop of {self.name}", 0.002)

    def resume(self):
        if self.alive():
            for pid in [self.pid, *descendants(self.pid)]:
                send_signal(pid, signal.SIGCONT)

    def log(self):
        """All that it wrote."""
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def events(self, name=None):
        """Its log's lines that are JSON objects; with a name only those of this event."""
        found = []
        for line in self.log().splitlines():
            try:
                event = jsonlib.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and name in (None, event.get("event")):
                found.append(event)
        return found


class Answer:
    """An HTTP answer that was read to its end."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers      # http.client.HTTPMessage: get() in any case
        self.body = body

    @property
    def text(self):
        return self.body.decode("utf-8", errors="replace")

    @property
    def json(self):
        return jsonlib.loads(self.body)

    def header(self, name, default=None):
        return self.headers.get(name, default)

    def __repr__(self):
        return f"<{self.status} {self.headers.get('Content-Type')} {self.text[:300]!r}>"


class Answers:
    """What gengate's routes answered to a test, a line of JSON for each, below the build folder:
    tests/e2e/test_openapi.py compares it with docs/openapi.yaml."""

    BODY_MAX = 65536

    def __init__(self, folder, script):
        self.path = os.path.join(folder, f"{script}-{os.getpid()}.jsonl")
        self.lock = threading.Lock()
        os.makedirs(folder, exist_ok=True)
        # An earlier run's say nothing about this one.
        for path in glob.glob(os.path.join(folder, script + "-*.jsonl")):
            os.unlink(path)

    @classmethod
    def of_this_script(cls):
        """None but for a test that make runs."""
        script = os.path.basename(sys.argv[0]).removesuffix(".py")
        if not os.environ.get("builddir") or not script.startswith("test_"):
            return None
        return cls(os.path.join(BUILDDIR, "tests/answers"), script)

    def text(self, body):
        if isinstance(body, str):
            body = body.encode()
        if body is None or len(body) > self.BODY_MAX:
            return None
        try:
            return body.decode()
        except UnicodeDecodeError:
            return None

    def add(self, method, path, sent, body, answer, answer_body):
        """A body that is too long, no text, or still to be read is null."""
        line = jsonlib.dumps({
            "method": method, "path": path,
            "request": {name.lower(): value for name, value in sent.items()}, "request_body": self.text(body),
            "status": answer.status, "headers": [[name.lower(), value] for name, value in answer.headers.items()],
            "body": self.text(answer_body),
        })
        with self.lock, open(self.path, "a", encoding="utf-8") as f:
            f.write(line + "\n")


class Stack:
    """See the top of this file.

    dir             folder for logs, nginx's files and outputs; temporary if not given
    gengates        how many, each with a socket of its own behind nginx
    simulator       False: none; set replicate_url and the rest yourself
    storage         "supabase" (the simulator's) or "local" (served at /files/)
    auth            "server": the user is what `user=` of http() says; "none": one user
    port            0: one that is free
    config          more settings: {"job_timeout": "20s"}
    postgres        settings of the cluster: {"max_connections": 20}
    gengate_program, sim_program    others than the build's
    sim_threads     so many requests at once that the simulator delays
    gengate_wrapper words before gengate's command line: ["valgrind", "-q"]
    http_extra, server_extra        lines for nginx's http { } and server { }
    nginx_workers, access_log       for measuring: more and False
    pooler          True: PgBouncer before PostgreSQL; None: as GENGATE_TEST_POOLER says
    tls             True: https and HTTP/2 for all that nginx serves, the simulator too; its own authority is
                    stack.authority, and gengate's `ca_file`.  Needs openssl(1)
    """

    def __init__(self, dir=None, *, gengates=1, simulator=True, storage="supabase", auth="server", port=0,
                 config=None, postgres=None, gengate_program=None, sim_program=None, sim_threads=32, gengate_wrapper=(),
                 http_extra="", server_extra="", nginx_workers=1, access_log=True, pooler=None, tls=False,
                 srcdir=None, builddir=None):
        self.srcdir = os.path.abspath(srcdir or SRCDIR)
        self.builddir = os.path.abspath(builddir or BUILDDIR)
        self.gengate_program = gengate_program or os.path.join(self.builddir, "gengate")
        self.sim_threads = sim_threads
        self.sim_program = sim_program or os.path.join(self.builddir, "tests/sim/gengate-sim")
        self.gengate_wrapper = list(gengate_wrapper)
        self.http_extra, self.server_extra = http_extra, server_extra
        self.nginx_workers, self.access_log = nginx_workers, access_log
        self.auth = auth
        self.with_simulator = simulator
        self.tls, self.authority, self.trust = tls, None, None
        self.records = gengates > 0     # answers by gengate, not by a stand-in
        self.with_pooler = pooler_wanted() and gengates > 0 if pooler is None else pooler
        self.stopped = False
        self.leaks = Leaks()
        self.run_dir = self.port_holder = None
        self.postgres = self.pooler = self.nginx = self.sim = self.gengate = None
        self.gengates = []

        self.pg_bindir = postgres_bindir()
        if missing_programs():
            raise StackError("missing: " + ", ".join(missing_programs()))
        self.psql = find_program("psql", self.pg_bindir)
        self.pg_user = self._postgres_user()
        self.reaper = Reaper()
        _register(self)
        try:
            self._folders(dir)
            self._take_port(port)
            if tls:
                self._certify()
            self._settings(storage, config)
            self._parts(gengates, postgres or {})
        except BaseException:
            self.stop()
            raise

    # -- Where things are

    @staticmethod
    def _postgres_user():
        """PostgreSQL refuses to run as root."""
        if os.geteuid() != 0:
            return None
        for name in ("postgres", "nobody"):
            try:
                return pwd.getpwnam(name)
            except KeyError:
                pass
        raise StackError("there is neither a user postgres nor nobody to run PostgreSQL as")

    def _reachable(self, folder):
        """May PostgreSQL's user walk down to it?"""
        if not self.pg_user:
            return True
        while True:
            if not os.stat(folder).st_mode & stat.S_IXOTH:
                return False
            if folder == "/":
                return True
            folder = os.path.dirname(folder)

    def _folders(self, folder):
        base = os.path.realpath(tempfile.gettempdir())
        if len(base) + len("/gg-12345678") > SOCKET_FOLDER_MAX or not self._reachable(base):
            base = "/tmp"
        self.run_dir = tempfile.mkdtemp(prefix="gg-", dir=base)
        os.chmod(self.run_dir, 0o711)
        if not os.environ.get("GENGATE_STACK_KEEP"):
            self.reaper.say("d", self.run_dir)
        self.dir = os.path.abspath(folder) if folder else self.run_dir
        self.log_dir = os.path.join(self.dir, "log")
        self.files_dir = os.path.join(self.dir, "files")
        self.inputs_dir = os.path.join(self.dir, "inputs")
        self.nginx_dir = os.path.join(self.dir, "nginx")
        self.pg_dir = os.path.join(self.run_dir, "pg")
        for path in (self.dir, self.log_dir, self.files_dir, self.inputs_dir, self.nginx_dir):
            os.makedirs(path, exist_ok=True)
        os.mkdir(self.pg_dir, 0o700)
        if self.pg_user:
            os.chown(self.pg_dir, self.pg_user.pw_uid, self.pg_user.pw_gid)

    def _take_port(self, port):
        """Bound by us and not listened to, so that it stays ours while nginx is down."""
        self.port_holder = socket.socket()
        self.port_holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self.port_holder.bind((HOST, port))
        except OSError as e:
            if e.errno == errno.EADDRINUSE:
                raise PortTaken(f"{HOST}:{port} is taken by another program") from None
            raise StackError(f"{HOST}:{port}: {e.strerror}") from None
        self.port = self.port_holder.getsockname()[1]

    def _certify(self):
        self.authority = Authority(self.nginx_dir)
        self.authority.sign("server", "IP:" + HOST)
        self.trust = ssl.create_default_context(cafile=self.authority.file)

    # -- Settings

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://{HOST}:{self.port}"

    @property
    def database_socket(self):
        """What gengate connects to: PostgreSQL's or the pooler's."""
        return os.path.join(self.pg_dir, f".s.PGSQL.{POOLER_PORT if self.with_pooler else 5432}")

    @property
    def database_url(self):
        port = {"port": POOLER_PORT} if self.with_pooler else {}
        return "postgresql:///gengate?" + urllib.parse.urlencode({"host": self.pg_dir, **port, "user": "gengate"})

    def _settings(self, storage, config):
        self.config = {
            "database_url": self.database_url,
            "public_url": self.url,
            "secret_key": secrets.token_hex(32),
            "auth": self.auth,
            "provider": "replicate",
            "models_file": os.path.join(self.srcdir, "models.json"),
            "default_model": "flux-schnell",
            "log_level": "info",
            "storage": storage,
            "outputs": "public",
            "storage_dir": self.files_dir,
            "storage_public_url": self.url + "/files",
        }
        if self.with_simulator:
            self.config.update({
                "replicate_url": self.url + "/replicate/v1",
                "replicate_token": "sim-token",
                "replicate_webhook_secret": WEBHOOK_SECRET,
                "supabase_url": self.url,
                "supabase_key": "sb_secret_sim",
                "supabase_bucket": "outputs",
                "output_hosts": f"{HOST}:{self.port}",
            })
        if self.tls:
            self.config["ca_file"] = self.authority.file
        if self.with_pooler:
            self.config["named_statements"] = "off"
        self.asked = {}
        self.configure(**(config or {}))

        self.migrate_with = {}      # settings of `gengate migrate` alone

    def configure(self, **settings):
        """Change gengate's configuration; it counts from the next start.  None: not set."""
        self.asked.update(settings)
        self.config.update(settings)
        self.leaks.configure(self.config)

    def simulated(self, provider):
        """The settings of a provider that the simulator plays: configure(provider="fal", **simulated("fal"))."""
        if provider not in SIMULATED:
            raise StackError(f"the simulator does not play {provider}: SIMULATED in tests/stack/stack.py has no such line")
        return {f"{provider}_{name}": self.url + value if name.endswith("url") else value
                for name, value in SIMULATED[provider].items()}

    def environment(self):
        """For programs that are not to be configured by accident."""
        env = {name: value for name, value in os.environ.items()
               if not name.startswith(("GENGATE_", "PG", "NGINX"))}
        return {**env, "LC_ALL": "C.UTF-8", "HOME": self.run_dir, "no_proxy": HOST, "NO_PROXY": HOST}

    def gengate_environment(self, **more):
        self.leaks.configure({**self.config, **more})
        return {**self.environment(),
                **{"GENGATE_" + name.upper(): str(value)
                   for name, value in {**self.config, **more}.items() if value is not None}}

    # -- Parts

    def _parts(self, gengates, pg_settings):
        self._prepare_postgres(pg_settings)
        if self.with_pooler:
            self._prepare_pooler()
        self.config_file = os.path.join(self.dir, "gengate.conf")
        with open(self.config_file, "w", encoding="utf-8") as f:
            f.write("# Nothing here: all settings come from the environment.\n")
        self.sim_socket = os.path.join(self.run_dir, "sim.sock")
        self.gengate_sockets = [os.path.join(self.run_dir, f"g{n}.sock") for n in range(gengates)]
        self.nginx = Part(self, "nginx", [find_program("nginx"), "-p", self.nginx_dir, "-e", self._log("nginx-error"),
                                          "-c", os.path.join(self.nginx_dir, "nginx.conf")],
                          ready=self._nginx_ready, before=self._write_nginx)
        if self.with_simulator:
            ca_file = ["--ca-file", self.authority.file] if self.tls else []
            self.sim = Part(self, "sim", [self.sim_program, "--listen", self.sim_socket, "--base-url", self.url,
                                         "--threads", str(self.sim_threads), *ca_file],
                            ready=lambda: self._connects(self.sim_socket),
                            before=lambda: self._unlink(self.sim_socket))
        self.gengates = [self._gengate_part(n, path) for n, path in enumerate(self.gengate_sockets)]
        self.gengate = self.gengates[0] if self.gengates else None

    def _gengate_part(self, n, path):
        return Part(self, f"gengate-{n}" if n else "gengate",
                    lambda: [*self.gengate_wrapper, self.gengate_program, "serve", "--listen", "unix:" + path,
                             "--config", self.config_file],
                    env=self.gengate_environment, ready=lambda: self._connects(path))

    @property
    def parts(self):
        """In the order in which they start."""
        return [part for part in (self.postgres, self.pooler, self.nginx, self.sim, *self.gengates) if part]

    def _log(self, name):
        return os.path.join(self.log_dir, name + ".log")

    @staticmethod
    def _unlink(path):
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass

    @staticmethod
    def _connects(path):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            try:
                s.connect(path)
                return True
            except OSError:
                return False

    def _nginx_ready(self):
        with socket.socket() as s:
            s.settimeout(5)
            return s.connect_ex((HOST, self.port)) == 0

    def _prepare_postgres(self, settings):
        self.pg_data = os.path.join(self.pg_dir, "data")
        conf = {
            "listen_addresses": "", "unix_socket_directories": self.pg_dir, "unix_socket_permissions": "0700",
            # What is committed survives a killed process; that is all a test needs.
            "fsync": "off", "full_page_writes": "off",
            "max_connections": 200, "shared_buffers": "64MB", "jit": "off",
            "dynamic_shared_memory_type": "mmap",   # in the folder, so that nothing stays
            "timezone": "UTC", "log_timezone": "UTC",
            **settings,
        }
        user = {"uid": self.pg_user.pw_uid, "gid": self.pg_user.pw_gid} if self.pg_user else {}

        def argv():
            options = [word for name, value in conf.items() for word in ("-c", f"{name}={value}")]
            return [os.path.join(self.pg_bindir, "postgres"), "-D", self.pg_data, *options]
        # SIGINT: a fast shutdown.
        self.postgres = Part(self, "postgres", argv, cwd=self.pg_dir, ready=self._postgres_ready,
                             before=self._initdb, stop_signal=signal.SIGINT, **user)

    def _prepare_pooler(self):
        """Beside PostgreSQL's socket and as its user: PgBouncer, too, refuses to run as root.  It has
        fewer connections than one gengate, so that hardly two statements run on the same one."""
        ini = os.path.join(self.pg_dir, "pgbouncer.ini")
        users = os.path.join(self.pg_dir, "pgbouncer.users")
        conf = {
            "listen_port": POOLER_PORT, "unix_socket_dir": self.pg_dir, "unix_socket_mode": "0700",
            "auth_type": "trust", "auth_file": users,
            "pool_mode": "transaction", "default_pool_size": 4, "max_client_conn": 400,
            # Its own pause after a failed connection is 15 s; tests that stop PostgreSQL wait less.
            "server_login_retry": 0.2,
        }

        def write():
            self._unlink(self.database_socket)
            for path, text in ((users, '"gengate" ""\n'),
                               (ini, f"[databases]\n* = host={self.pg_dir} port=5432\n[pgbouncer]\n"
                                     + "".join(f"{name} = {value}\n" for name, value in conf.items()))):
                with open(path, "w", encoding="utf-8") as f:
                    f.write(text)
        user = {"uid": self.pg_user.pw_uid, "gid": self.pg_user.pw_gid} if self.pg_user else {}
        self.pooler = Part(self, "pgbouncer", [find_program("pgbouncer"), ini], cwd=self.pg_dir, before=write,
                           ready=lambda: self._connects(self.database_socket), **user)

    def _initdb(self):
        if os.path.exists(os.path.join(self.pg_data, "PG_VERSION")):
            return
        user = {"user": self.pg_user.pw_uid, "group": self.pg_user.pw_gid, "extra_groups": []} if self.pg_user else {}
        self.run([os.path.join(self.pg_bindir, "initdb"), "-D", self.pg_data, "-U", "gengate", "--auth=trust",
                  "--encoding=UTF8", "--locale=C", "--no-sync"], cwd=self.pg_dir, **user)

    def _postgres_ready(self):
        done = subprocess.run([self.psql, *self._psql_options("postgres"), "-c", "SELECT 1"], env=self.environment(),
                              stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=30)
        if done.returncode:
            return False
        if self.sql("SELECT 1 FROM pg_database WHERE datname = 'gengate'", database="postgres") == []:
            self.sql("CREATE DATABASE gengate", database="postgres")
        return True

    def _remove_shared_memory(self):
        """A PostgreSQL that was killed and not started again leaves a System V segment."""
        try:
            with open(os.path.join(self.pg_data, "postmaster.pid"), encoding="utf-8") as f:
                segment = f.read().splitlines()[6].split()[1]
        except (AttributeError, OSError, IndexError):
            return
        subprocess.run(["ipcrm", "-m", segment], capture_output=True, check=False)

    def _write_nginx(self):
        link = os.path.join(self.nginx_dir, "gengate")
        source = os.path.join(self.srcdir, "nginx")
        if not os.path.islink(link):
            os.symlink(source, link)
        with open(os.path.join(self.nginx_dir, "gengate_user.conf"), "w", encoding="utf-8") as f:
            if self.auth == "server":
                # A test says who it is.  Elsewhere this comes from auth_request or the like.
                f.write("fastcgi_param REMOTE_USER $http_x_test_user;\n")
        servers = [f'server "unix:{path}" max_fails=0;' for path in self.gengate_sockets]
        words = {
            "USER_LINE": "user root;" if os.geteuid() == 0 else "",
            "WORKERS": str(self.nginx_workers),
            "DIR": self.nginx_dir,
            "LOG": self.log_dir,
            "ERROR_LEVEL": "warn",
            "ACCESS_LOG": f'"{self._log("nginx-access")}" stack' if self.access_log else "off",
            "GENGATE_SERVERS": "\n\t\t".join(servers) or f'server "unix:{self.run_dir}/none.sock";',
            "SIM_SOCKET": self.sim_socket,
            "SIMULATED": "|".join(["replicate", *SIMULATED]),
            "HTTP_EXTRA": self.http_extra,
            "SERVER_EXTRA": self.server_extra,
            "PORT": str(self.port),
            "TLS": "ssl http2" if self.tls else "",
            "CERTIFICATE": f'ssl_certificate "{self.nginx_dir}/server.pem";\n'
                           f'\t\tssl_certificate_key "{self.nginx_dir}/server.key";' if self.tls else "",
            "WWW": os.path.join(source, "www"),
            "FILES": self.files_dir, "INPUTS": self.inputs_dir,
        }
        with open(os.path.join(source, "server.conf.in"), encoding="utf-8") as f:
            text = re.sub(r"@([A-Z_]+)@", lambda match: words[match[1]], f.read())
        with open(os.path.join(self.nginx_dir, "nginx.conf"), "w", encoding="utf-8") as f:
            f.write(text)

    def migrate(self):
        """gengate migrate, as the user that owns the schema."""
        return self.gengate_command("migrate", **self.migrate_with)

    def gengate_command(self, *words, check=True, timeout=60, **settings):
        """Run `gengate WORDS` with the stack's configuration; a CompletedProcess."""
        return self.run([*self.gengate_wrapper, self.gengate_program, *words, "--config", self.config_file],
                        env=self.gengate_environment(**settings), check=check, timeout=timeout)

    def run(self, argv, check=True, timeout=120, **more):
        more.setdefault("env", self.environment())
        more.setdefault("cwd", self.run_dir)
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  errors="replace", timeout=timeout, check=False, **more)
        except subprocess.TimeoutExpired:
            self.fail(f"{argv[0]} did not end within {timeout} s")
        except OSError as e:
            self.fail(f"{argv[0]}: {e.strerror}")
        if check and done.returncode:
            self.fail(f"{' '.join(argv)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    # -- The whole

    def start_database(self):
        """PostgreSQL, and the pooler if there is one."""
        self.postgres.start()
        if self.pooler:
            self.pooler.start()

    def start(self):
        """PostgreSQL, nginx, the simulator, the schema, gengate; returns when it can be used."""
        try:
            self.start_database()
            self.nginx.start()
            if self.sim:
                self.sim.start()
                self._learn_webhook_secret()
            if self.gengates:
                self.migrate()
            for gengate in self.gengates:
                gengate.start()
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def _learn_webhook_secret(self):
        if "replicate_webhook_secret" in self.asked:
            return
        answer = self.http("GET", "/replicate/v1/webhooks/default/secret",
                           headers={"Authorization": "Bearer " + str(self.config["replicate_token"])})
        try:
            key = answer.json["key"]
            base64.b64decode(key.partition("_")[2], validate=True)
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        self.config["replicate_webhook_secret"] = key

    def wait_ready(self, timeout=READY_TIMEOUT):
        """Until gengate says so through nginx."""
        end = time.monotonic() + timeout
        while self.gengates:
            answer = self.http("GET", "/readyz")
            if answer.status == 200:
                break
            for gengate in self.gengates:
                if not gengate.alive():
                    self.fail(f"{gengate.name} ended with {gengate.process.returncode}")
            if time.monotonic() > end:
                self.fail(f"gengate was not ready within {timeout} s: {answer}")
            time.sleep(0.05)
        return self

    def stop(self):
        """Ends everything and removes the temporary folder; may be called again."""
        if self.stopped:
            return
        self.stopped = True
        leaks = self.find_leaks() if self.gengates else []
        for part in reversed(self.parts):
            part.stop(timeout=5)
        self._remove_shared_memory()
        if self.port_holder:
            self.port_holder.close()
        if self.run_dir and os.environ.get("GENGATE_STACK_KEEP"):
            print(f"# kept: {self.dir}", file=sys.stderr)
        elif self.run_dir:
            shutil.rmtree(self.run_dir, ignore_errors=True)
        self.reaper.close()
        _stacks.discard(self)
        if leaks:
            raise StackError("\n".join(leaks))

    def find_leaks(self):
        return self.leaks.find(self.log_dir, [part.pid for part in self.gengates if part.alive()])

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, error, trace):
        if kind and not issubclass(kind, (StackError, KeyboardInterrupt, SystemExit)):
            print(self.tails(), file=sys.stderr)
        self.stop()

    def tails(self, lines=30):
        """The ends of all logs, each line marked so that it does not disturb TAP."""
        found = []
        for path in sorted(glob.glob(os.path.join(self.log_dir, "*.log"))):
            text = tail(path, lines)
            if text:
                found.append(f"---- {os.path.basename(path)}\n{text}")
        return "\n".join("# " + line for line in "\n".join(found).splitlines())

    def fail(self, text):
        raise StackError(f"{text}\n{self.tails()}")

    # -- PostgreSQL

    def _psql_options(self, database):
        return ["-X", "-q", "--csv", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.pg_dir, "-U", "gengate", "-d", database]

    def sql(self, text, *, database="gengate", timeout=60, check=True):
        """Run SQL; the rows as lists of texts, NULL as None."""
        null = "\\N"
        done = self.run([self.psql, *self._psql_options(database), "-P", "null=" + null, "-c", text],
                        timeout=timeout, check=check)
        return [[None if value == null else value for value in row] for row in csv.reader(io.StringIO(done.stdout))]

    def sql_value(self, text, **more):
        """The first value of the first row; None if there is no row."""
        rows = self.sql(text, **more)
        return rows[0][0] if rows and rows[0] else None

    # -- HTTP

    def http(self, method, path, *, body=None, json=None, headers=None, user=None, timeout=30, stream=False):
        """Ask nginx (path), or whom an absolute URL names.  With stream=True the raw
        http.client.HTTPResponse: read it and close it."""
        url = urllib.parse.urlsplit(path)
        if url.scheme:
            path = url.path + ("?" + url.query if url.query else "")
        secure = url.scheme == "https" if url.scheme else self.tls
        host, port = (url.hostname, url.port or (443 if secure else 80)) if url.scheme else (HOST, self.port)
        sent = dict(headers or {})
        if json is not None:
            body = jsonlib.dumps(json).encode()
            sent.setdefault("Content-Type", "application/json")
        if user is not None:
            sent.setdefault("X-Test-User", user)
        connection = (http.client.HTTPSConnection(host, port, timeout=timeout, context=self.trust) if secure else
                      http.client.HTTPConnection(host, port, timeout=timeout))
        try:
            try:
                connection.request(method, path, body=body, headers=sent)
            except (BrokenPipeError, ConnectionResetError):
                pass    # the answer may be there already: 413
            answer = connection.getresponse()
            if stream:
                connection = None
                self._record(method, path, sent, body, answer, None)
                return answer
            whole = Answer(answer.status, answer.headers, answer.read())
            self._record(method, path, sent, body, answer, whole.body)
            return whole
        finally:
            if connection:
                connection.close()

    def _record(self, method, path, sent, body, answer, answer_body):
        if GENGATES_PATHS.match(path):
            self.leaks.exchange(sent, answer.headers.items(), answer_body)
        if _answers and self.records and GENGATES_PATHS.match(path):
            _answers.add(method, path, sent, body, answer, answer_body)

    def wait_status(self, job, statuses, *, user=None, timeout=30, interval=0.05):
        """Poll /status/<job> until its status is one of these; the job."""
        end = time.monotonic() + timeout
        while True:
            answer = self.http("GET", f"/status/{job}", user=user)
            if answer.status == 200 and answer.json["status"] in statuses:
                return answer.json
            if time.monotonic() > end:
                self.fail(f"job {job} is not {' or '.join(statuses)} within {timeout} s: {answer}")
            time.sleep(interval)

    def wait_settled(self, job, *, user=None, timeout=30):
        return self.wait_status(job, SETTLED, user=user, timeout=timeout)


_answers = Answers.of_this_script()


# -- Nothing is left behind

_stacks = set()


def _stop_all():
    for stack in list(_stacks):
        try:
            stack.stop()
        except Exception as e:      # the others have to be stopped too
            print(f"# while stopping: {e}", file=sys.stderr)


def _register(stack):
    if not _stacks:
        for number in (signal.SIGTERM, signal.SIGHUP):
            try:
                if signal.getsignal(number) == signal.SIG_DFL:
                    signal.signal(number, lambda n, frame: sys.exit(128 + n))
            except ValueError:      # not the main thread
                pass
    _stacks.add(stack)


atexit.register(_stop_all)
