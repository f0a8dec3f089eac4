"""Plain CGI, by the same handlers: under fcgiwrap behind nginx, under Apache's
mod_cgid, and by hand.  There are no workers: steps are taken after answers, and
by `gengate work --once`."""

import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import uuid
from types import SimpleNamespace

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
import tokens
from e2e import check, check_asset, check_problem, equal, stacks, test
from tap import Skip, comment

# From fork to answer: the bench asks for 25 ms on an idle machine; tests run beside others.
ANSWER_S = 1.0

rig = None
fronts = {}


class CgiRig(e2e.Rig):
    """No gengate runs: nginx asks fcgiwrap, and a second server is an Apache."""

    def __init__(self):
        self.extra = []
        super().__init__({"poll_interval": "200ms"}, gengates=0)
        # Where another user may run it, with nothing else of this build.
        self.program = os.path.join(self.run_dir, "gengate-cgi")
        shutil.copy(self.gengate_program, self.program)
        self.gengate_sockets = [os.path.join(self.run_dir, "wrap.sock")]

    @property
    def parts(self):
        return super().parts + self.extra

    def _write_nginx(self):
        """With the shipped file, as its words say."""
        super()._write_nginx()
        path = os.path.join(self.nginx_dir, "nginx.conf")
        text = e2e.read(path)
        check("keepalive 64;" in text, "server.conf.in has changed")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace("keepalive 64;", ""))
        shipped = e2e.read(os.path.join(self.srcdir, "nginx/gengate_cgi.conf"))
        lines = shipped.replace(" /usr/bin/gengate;", f" {self.program};")
        lines = lines.replace(" /etc/gengate.conf;", f" {self.config_file};")
        equal(lines.count(self.run_dir), 2, "places filled in")
        with open(os.path.join(self.nginx_dir, "gengate_user_cgi.conf"), "w", encoding="utf-8") as f:
            f.write(lines)

    def fcgiwrap(self):
        path = self.gengate_sockets[0]
        part = stacks.Part(self, "fcgiwrap", [stacks.find_program("fcgiwrap"), "-c", "8", "-s", "unix:" + path],
                           env=self.gengate_environment, ready=lambda: self._connects(path),
                           before=lambda: self._unlink(path))
        self.extra.append(part)
        return part.start()

    def run_cgi(self, method, path, body=b"", program_args=(), stdin=None, settings=None, raw=False, **variables):
        """One CGI process, as a web server starts it; its answer (status, headers, body), log and seconds."""
        env = {**self.gengate_environment(**(settings or {})), "GATEWAY_INTERFACE": "CGI/1.1",
               "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": "", "SERVER_PROTOCOL": "HTTP/1.1",
               "CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "application/json", **variables}
        began = time.monotonic()
        with subprocess.Popen([self.program, *program_args], env=env, stdin=stdin or subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
            if not stdin:
                try:
                    p.stdin.write(body)
                    p.stdin.close()
                except BrokenPipeError:
                    pass
            out = p.stdout.read()
            took = time.monotonic() - began
            log = p.stderr.read().decode()
            p.stdin = None
            equal(p.wait(10), 0, "exit status")
        head, _, rest = out.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        return SimpleNamespace(status=int(headers.pop("Status")), headers=headers, body=rest, log=log, took=took,
                               header=headers.get, json=json.loads(rest) if rest and not raw else None)


class Apache:
    """An Apache of our own below the stack's folder, with one port that was free."""

    CONFIG = """
        ServerRoot "{dir}"
        PidFile "{dir}/apache.pid"
        DefaultRuntimeDir "{dir}"
        ServerName localhost
        Listen 127.0.0.1:{port}
        LoadModule mpm_event_module {modules}/mod_mpm_event.so
        LoadModule authz_core_module {modules}/mod_authz_core.so
        LoadModule authz_user_module {modules}/mod_authz_user.so
        LoadModule authn_core_module {modules}/mod_authn_core.so
        LoadModule authn_file_module {modules}/mod_authn_file.so
        LoadModule auth_basic_module {modules}/mod_auth_basic.so
        LoadModule alias_module {modules}/mod_alias.so
        LoadModule env_module {modules}/mod_env.so
        LoadModule setenvif_module {modules}/mod_setenvif.so
        LoadModule rewrite_module {modules}/mod_rewrite.so
        LoadModule mime_module {modules}/mod_mime.so
        TypesConfig /dev/null
        LoadModule cgid_module {modules}/mod_cgid.so
        ScriptSock "{dir}/cgid.sock"
        {user_lines}
        ErrorLog "{log}"
        LogLevel warn
        DocumentRoot "{dir}/www"
        SetEnv GENGATE_CONFIG "{conf}"
        # A test says who it is; elsewhere this is what authentication has found out.
        SetEnvIf X-Test-User "(.+)" REMOTE_USER=$1

        ScriptAlias /generate "{dir}/cgi-bin/gengate/generate"
        ScriptAlias /status "{dir}/cgi-bin/gengate/status"
        ScriptAlias /webhooks "{dir}/cgi-bin/gengate/webhooks"
        <Directory "{dir}/cgi-bin">
            Require all granted
        </Directory>
        <Directory "{dir}/www">
            AllowOverride All
            Options +ExecCGI
            Require all granted
        </Directory>
    """
    HTACCESS = """
        Options +ExecCGI
        AddHandler cgi-script .cgi
        RewriteEngine On
        RewriteRule ^(generate|status|webhooks)(/.*)?$ gengate.cgi/$1$2 [L]
        AuthType Basic
        AuthName app
        AuthUserFile "{dir}/users"
        <If "%{{THE_REQUEST}} !~ m#^POST [^?\\s]*/webhooks/#">
            Require valid-user
        </If>
    """

    TOKENS = """
        Options +ExecCGI
        AddHandler cgi-script .cgi
        RewriteEngine On
        RewriteRule ^(generate|status|webhooks)(/.*)?$ gengate.cgi/$1$2 [L]
    """

    def __init__(self, stack):
        self.stack = stack
        self.dir = os.path.join(stack.run_dir, "apache")
        self.holder = socket.socket()
        self.holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.holder.bind((stacks.HOST, 0))
        self.port = self.holder.getsockname()[1]
        self.url = f"http://{stacks.HOST}:{self.port}"
        for name in ("", "cgi-bin", "www", "www/app", "www/tokens", "www/kept"):
            os.makedirs(os.path.join(self.dir, name), mode=0o755, exist_ok=True)
        self._write()
        part = stacks.Part(stack, "apache", [stacks.find_program("apache2"), "-f", self._path("apache.conf"),
                                             "-DFOREGROUND"], ready=self._ready)
        self.part = part
        stack.extra.append(part)
        part.start()

    def _path(self, name):
        return os.path.join(self.dir, name)

    def _ready(self):
        with socket.socket() as s:
            return s.connect_ex((stacks.HOST, self.port)) == 0 and os.path.exists(self._path("apache.pid"))

    def _write(self):
        """The configuration is a file that Apache's user can read, and nobody else."""
        user = self.stack.pg_user
        models = self._path("models.json")
        shutil.copy(self.stack.config["models_file"], models)
        settings = {**self.stack.config, "public_url": self.url, "models_file": models}
        files = {
            "gengate.conf": "".join(f"{k} = {v}\n" for k, v in settings.items() if v is not None),
            "users": "eve:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\n",     # test
            "www/app/.htaccess": self.HTACCESS.format(dir=self.dir),
            "www/app/gengate.cgi": "#!/bin/sh\n"
                                   f"GENGATE_CONFIG={self._path('gengate.conf')} exec {self.stack.program}\n",
            "www/tokens/.htaccess": self.TOKENS + "CGIPassAuth On\n",
            "www/kept/.htaccess": self.TOKENS,
            **{f"www/{name}/gengate.cgi":
               "#!/bin/sh\n"
               f"GENGATE_AUTH=supabase GENGATE_CONFIG={self._path('gengate.conf')} exec {self.stack.program}\n"
               for name in ("tokens", "kept")},
            "apache.conf": self.CONFIG.format(
                dir=self.dir, port=self.port, modules=modules_folder(), conf=self._path("gengate.conf"),
                log=os.path.join(self.stack.log_dir, "apache-error.log"),
                user_lines=f"User {user.pw_name}\nGroup #{user.pw_gid}" if user else ""),
        }
        for name, text in files.items():
            with open(self._path(name), "w", encoding="utf-8") as f:
                f.write(text)
            if user and name == "gengate.conf":
                os.chown(f.name, user.pw_uid, user.pw_gid)
            os.chmod(f.name, 0o600 if name == "gengate.conf" else 0o755)
        shutil.copy(self.stack.program, self._path("cgi-bin/gengate"))


def modules_folder():
    for folder in ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/libexec/apache2"):
        if os.path.exists(os.path.join(folder, "mod_cgid.so")):
            return folder
    return None


def setup():
    global rig
    rig = CgiRig()
    rig.start()
    rig.migrate()
    if stacks.find_program("fcgiwrap"):
        fronts["fcgiwrap"] = SimpleNamespace(url=rig.url, part=rig.fcgiwrap())
    if stacks.find_program("apache2") and modules_folder():
        fronts["mod_cgid"] = Apache(rig)


@test
def apache_passes_tokens_if_it_is_told_to():
    front = fronts.get("mod_cgid")
    if not front:
        raise Skip("no Apache here")
    key = tokens.Key(rig.run_dir, "key")
    rig.set_sim(jwks=tokens.jwks(key))
    token = key.token(tokens.claims(rig.config["supabase_url"] + "/auth/v1"))
    path = f"/status/{uuid.uuid4()}"

    def ask_with(folder, **headers):
        return rig.http("GET", f"{front.url}/{folder}{path}", headers=headers)
    bearer = {"Authorization": "Bearer " + token}
    check_problem(ask_with("tokens", **bearer), 404, "not_found")
    check_problem(ask_with("tokens"), 401, "unauthorized")
    # The trap that docs/deploying.md tells of.
    equal(ask_with("kept", **bearer).header("WWW-Authenticate"), 'Bearer realm="gengate"', "without CGIPassAuth")


def teardown():
    if rig:
        rig.stop()


def under_both(function):
    """A test under each web server."""
    for name in ("fcgiwrap", "mod_cgid"):
        def wrapped(name=name):
            if name not in fronts:
                raise Skip(f"{name} is not installed")
            rig.sim_call("POST", "reset", {})
            function(fronts[name])
        wrapped.__name__ = f"{function.__name__}_under_{name}"
        test(wrapped)
    return function


def by_hand(function):
    def wrapped():
        rig.sim_call("POST", "reset", {})
        function()
    wrapped.__name__ = function.__name__
    return test(wrapped)


def ask(front, method, path, **more):
    return rig.http(method, front.url + path, **more)


def submit(front, prompt="a lighthouse", headers=None, **members):
    user = f"user-{next(e2e._users)}"
    began = time.monotonic()
    answer = ask(front, "POST", "/generate", json={"prompt": prompt, **members}, user=user, headers=headers)
    equal(answer.status, 202, f"status of {answer}")
    return {**answer.json, "user": user, "took": time.monotonic() - began}


def lose_webhooks():
    rig.faults(webhook_lost={"count": -1})


def status_in_database(job):
    return rig.sql_value(f"SELECT status FROM generation_jobs WHERE id = '{job['id']}'")


def ends(job, timeout=30):
    """Until it has ended, without asking gengate: each question would take a step."""
    stacks.wait_for(lambda: status_in_database(job) in stacks.SETTLED, timeout, "end of the job")
    return status_in_database(job)


# ---- Under a web server

@under_both
def a_picture_arrives_by_webhooks(front):
    job = submit(front)
    equal(ends(job), "succeeded", "status")
    shown = ask(front, "GET", f"/status/{job['id']}", user=job["user"])
    equal((shown.status, shown.json["status"]), (200, "succeeded"), "status")
    check_asset(rig, shown.json["assets"][0])
    check(rig.one_prediction(job)["webhook"].startswith(front.url + "/webhooks/"), "another way back")
    # "accepted", and no poll: the webhook's own process went on with the outputs.
    equal(rig.counters()["webhooks_by_status"].get("200", 0) > 0, True, "webhooks taken")


@under_both
def work_once_does_the_rest(front):
    lose_webhooks()
    job = submit(front)
    rig.wait_state(job, "running")
    for _ in range(30):
        rig.gengate_command("work", "--once")
        if status_in_database(job) in stacks.SETTLED:
            break
        time.sleep(0.3)
    equal(status_in_database(job), "succeeded", "status")
    equal(len(rig.predictions(job)), 1, "predictions")


@under_both
def asking_for_the_status_moves_the_job(front):
    lose_webhooks()
    job = submit(front)
    end = time.monotonic() + 30
    while True:
        shown = ask(front, "GET", f"/status/{job['id']}", user=job["user"]).json
        if shown["status"] in stacks.SETTLED or time.monotonic() > end:
            break
        time.sleep(0.1)
    equal(shown["status"], "succeeded", "status")
    polls = rig.sql_value("SELECT count(*) FROM generation_events WHERE event = 'observed'"
                          f" AND job_id = '{job['id']}'")
    check(int(polls) <= 4, f"{polls} observations: a question before its time asks nobody")


@under_both
def the_answer_comes_before_the_step(front):
    rig.faults(create_late={"count": 1, "delay_ms": 1500})
    job = submit(front)
    check(job["took"] < ANSWER_S, f"{job['took']:.3f} s to the answer")
    equal(job["status"], "starting", "status")
    check("respond-async" not in (job.get("preference") or ""), "a preference that nobody had")
    equal(ends(job), "succeeded", "status")
    equal(rig.taken("create_late"), 1, "late answers")


@under_both
def a_step_outlives_the_web_servers_patience(front):
    """mod_cgid kills a process that is there 3 s after its answer, and the connection waits for that long."""
    rig.faults(create_late={"count": 1, "delay_ms": 4500})
    job = submit(front)
    check(job["took"] < ANSWER_S, f"{job['took']:.3f} s to the answer")
    equal(ends(job), "succeeded", "status")
    equal(len(rig.predictions(job)), 1, "predictions")
    check("unknown" not in rig.trail(job), "the create was cut off")


@under_both
def a_kept_connection_is_not_held_up(front):
    rig.faults(create_late={"count": 1, "delay_ms": 3000})
    job = submit(front)
    host, _, port = front.url.removeprefix("http://").partition(":")
    connection = stacks.http.client.HTTPConnection(host, int(port), timeout=20)
    began = time.monotonic()
    for _ in range(3):
        connection.request("GET", f"/status/{job['id']}", headers={"X-Test-User": job["user"]})
        answer = connection.getresponse()
        equal((answer.status, json.loads(answer.read())["id"]), (200, job["id"]), "answer")
    connection.close()
    took = time.monotonic() - began
    check(took < 2, f"{took:.3f} s for three answers")
    equal(ends(job), "succeeded", "status")


@under_both
def prefer_wait_comes_to_the_end(front):
    answer = ask(front, "POST", "/generate", json={"prompt": "a lighthouse"}, user="waiting " + front.url,
                 headers={"Prefer": "wait=20"})
    equal((answer.status, answer.header("Preference-Applied")), (200, "wait=20"), "answer")
    equal(answer.json["status"], "succeeded", "status")
    check_asset(rig, answer.json["assets"][0])
    # With 200 a Location is a redirect to CGI servers.
    equal(answer.header("Content-Location"), "/status/" + answer.json["id"], "Content-Location")
    equal(answer.header("Location"), None, "Location")


@under_both
def prefer_wait_without_webhooks_polls(front):
    lose_webhooks()
    answer = ask(front, "POST", "/generate", json={"prompt": "a lighthouse"}, user="polling " + front.url,
                 headers={"Prefer": "wait=20"})
    equal((answer.status, answer.json["status"]), (200, "succeeded"), "answer")


@under_both
def prefer_wait_ends_in_time(front):
    """Though a step is under way in between."""
    rig.faults(create_late={"count": 1, "delay_ms": 4000})
    job = submit(front, headers={"Prefer": "wait=1"})
    check(0.9 < job["took"] < 3, f"{job['took']:.3f} s to the answer")
    equal(ends(job), "succeeded", "status")
    equal(len(rig.predictions(job)), 1, "predictions")


@under_both
def refusals_reach_a_client_that_waits(front):
    rig.faults(create_422={"count": 1})
    answer = ask(front, "POST", "/generate", json={"prompt": "x"}, user="refused " + front.url,
                 headers={"Prefer": "wait=20"})
    check_problem(answer, 422, "provider_rejected")


@under_both
def a_status_streams(front):
    lose_webhooks()
    job = submit(front)
    answer = ask(front, "GET", f"/status/{job['id']}", user=job["user"], stream=True,
                 headers={"Accept": "text/event-stream"})
    equal((answer.status, answer.headers["Content-Type"]), (200, "text/event-stream"), "answer")
    text = answer.read().decode()
    answer.close()
    seen = [json.loads(line[6:])["status"] for line in text.splitlines() if line.startswith("data: ")]
    equal((seen[0], seen[-1]), ("starting", "succeeded"), "first and last")
    check(text.startswith("retry: "), "no time to come back after")


@under_both
def a_client_that_leaves_a_stream_leaves_nothing(front):
    rig.set_sim(processing_ms=60000)
    job = submit(front)
    answer = ask(front, "GET", f"/status/{job['id']}", user=job["user"], stream=True,
                 headers={"Accept": "text/event-stream"})
    check(answer.readline().startswith(b"retry: "), "first line")
    check(processes(), "no process")
    answer.close()
    # fcgiwrap notices when the next comment is written, Apache too.
    nothing_is_left(25)
    rig.set_sim(processing_ms=100)


@under_both
def what_is_wrong_is_said(front):
    user = "wrong " + front.url
    check_problem(ask(front, "POST", "/generate", json={"prompt": 7}, user=user), 400, "invalid_request")
    check_problem(ask(front, "POST", "/generate", body=b"{", user=user,
                      headers={"Content-Type": "application/json"}), 400, "bad_request")
    check_problem(ask(front, "POST", "/generate", json={"prompt": "x"}), 401, "unauthorized")
    check_problem(ask(front, "GET", "/status/0190a8c0-0000-7000-8000-000000000000", user=user), 404, "not_found")
    answer = ask(front, "PUT", "/generate", body=b"{}", user=user)
    check_problem(answer, 405, "method_not_allowed")
    equal(answer.header("Allow"), "POST", "Allow")


@under_both
def head_and_conditional_requests(front):
    job = submit(front)
    ends(job)
    path = f"/status/{job['id']}"
    get = ask(front, "GET", path, user=job["user"])
    head = ask(front, "HEAD", path, user=job["user"])
    equal((head.status, head.body), (200, b""), "HEAD")
    equal(head.header("ETag"), get.header("ETag"), "ETag")
    known = ask(front, "GET", path, user=job["user"], headers={"If-None-Match": get.header("ETag")})
    equal((known.status, known.body), (304, b""), "answer to what is known")
    query = ask(front, "GET", f"/status?id={job['id']}", user=job["user"])
    equal((query.status, query.json), (200, get.json), "answer by query")


@under_both
def one_in_flight(front):
    lose_webhooks()
    job = submit(front)
    answer = ask(front, "POST", "/generate", json={"prompt": "another"}, user=job["user"])
    equal(check_problem(answer, 409, "generation_in_flight")["job"]["id"], job["id"], "job")


@under_both
def webhooks_are_checked(front):
    lose_webhooks()
    job = submit(front)
    rig.wait_state(job, "running")
    prediction = rig.one_prediction(job)
    path = "/webhooks/" + prediction["webhook"].split("/webhooks/")[1]
    body = json.dumps({"id": prediction["id"], "status": "processing"}).encode()
    forged = rig.signed(body)
    forged["webhook-signature"] = "v1," + "A" * 43 + "="
    check_problem(ask(front, "POST", path, body=body, headers=forged), 401, "invalid_signature")
    equal(ask(front, "POST", path, body=body, headers=rig.signed(body)).status, 200, "status")


@under_both
def a_large_body_passes(front):
    """More than a pipe holds."""
    answer = ask(front, "POST", "/generate", json={"prompt": "x", "unknown": "y" * 900000}, user="large " + front.url)
    equal(check_problem(answer, 400, "invalid_request")["errors"][0]["pointer"], "/unknown", "pointer")


@under_both
def canceling_takes_the_step(front):
    lose_webhooks()
    job = submit(front, "[endless]")
    rig.wait_state(job, "running")
    answer = ask(front, "POST", f"/generate/{job['id']}/cancel", user=job["user"])
    check(answer.status in (200, 202), f"answer: {answer}")
    equal(ends(job), "canceled", "status")


@under_both
def what_is_deleted_is_removed_by_work_once(front):
    job = submit(front)
    equal(ends(job), "succeeded", "status")
    equal(len(rig.objects(job)), 1, "files")
    equal(ask(front, "DELETE", f"/generate/{job['id']}", user=job["user"]).status, 204, "status")
    rig.gengate_command("work", "--once")
    equal(rig.objects(job), [], "files")


@under_both
def many_at_a_time(front):
    jobs = [submit(front, f"number {n}") for n in range(12)]
    equal([ends(job) for job in jobs], ["succeeded"] * 12, "ends")
    equal([len(rig.predictions(job)) for job in jobs], [1] * 12, "predictions")


# ---- Apache, as docs/deploying.md has it for shared hosting

@test
def a_folder_with_htaccess():
    if "mod_cgid" not in fronts:
        raise Skip("mod_cgid is not installed")
    url = fronts["mod_cgid"].url + "/app"
    eve = {"Authorization": "Basic ZXZlOnRlc3Q="}
    equal(rig.http("POST", url + "/generate", json={"prompt": "x"}).status, 401, "status without a password")
    answer = rig.http("POST", url + "/generate", json={"prompt": "x"}, headers=eve)
    equal(answer.status, 202, f"status of {answer}")
    job = answer.json
    equal(ends(job), "succeeded", "status")
    shown = rig.http("GET", f"{url}/status/{job['id']}", headers=eve)
    equal((shown.status, shown.json["status"]), (200, "succeeded"), "answer")
    # Webhooks need no password; nothing else gets in by their name.
    answer = rig.http("POST", url + "/webhooks/replicate?job=x", body=b"{}")
    check_problem(answer, 401, "invalid_signature")
    answer = rig.http("POST", url + "/generate?/webhooks/", json={"prompt": "x"})
    equal((answer.status, "WWW-Authenticate" in answer.headers), (401, True), "without a password")
    # A query without "=" becomes the program's arguments: it must not become a command.
    for query in ("version", "work+--once", "--help", "config+--config+/etc/passwd"):
        check_problem(rig.http("GET", f"{url}/status?{query}", headers=eve), 400, "invalid_request")


# ---- By hand

@by_hand
def from_fork_to_answer():
    user = {"REMOTE_USER": "quick"}
    posted = rig.run_cgi("POST", "/generate", b'{"prompt": "x"}', **user)
    equal(posted.status, 202, "status")
    job = json.loads(posted.body)
    ends(job)
    nothing_is_left()
    took = []
    for _ in range(30):
        shown = rig.run_cgi("GET", f"/status/{job['id']}", **user)
        equal((shown.status, json.loads(shown.body)["status"]), (200, "succeeded"), "answer")
        took.append(shown.took * 1000)
    comment(f"fork to answer: POST {posted.took * 1000:.1f} ms; "
            f"status median {statistics.median(took):.1f} ms, best {min(took):.1f} ms")
    check(statistics.median(took) < 250, f"median {statistics.median(took):.1f} ms")


@by_hand
def a_wrong_configuration_is_500_and_tells_the_log():
    answer = rig.run_cgi("GET", "/status", settings={"poll_interval": "2", "auth": "nobody", "secret_key": "x"})
    check_problem(answer, 500, "internal_error")
    for name in ("poll_interval", "auth", "secret_key"):
        check(re.search(f"^GENGATE_{name.upper()}: |^{name}: ", answer.log, re.M), f"{name} is not in: {answer.log}")
        check(name not in answer.body.decode(), f"{name} is in the answer")


@by_hand
def the_database_away_is_503():
    answer = rig.run_cgi("GET", "/status/0190a8c0-0000-7000-8000-000000000000", REMOTE_USER="x",
                         settings={"database_url": "postgresql:///x?host=/nowhere"})
    check_problem(answer, 503, "database_unavailable")


@by_hand
def arguments_are_the_clients():
    for words in (["version"], ["migrate"], ["--help"], ["work", "--once"]):
        answer = rig.run_cgi("GET", "/healthz", program_args=words)
        equal((answer.status, json.loads(answer.body)), (200, {"status": "ok"}), f"answer to {words}")


@by_hand
def a_connected_socket_is_cgi():
    """mod_cgid's descriptor 0 is a socket, too."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b'{"prompt": 7}')
        answer = rig.run_cgi("POST", "/generate", stdin=theirs, REMOTE_USER="x", CONTENT_LENGTH="13")
        check_problem(answer, 400, "invalid_request")


@by_hand
def a_listening_socket_is_fastcgi():
    """What spawn-fcgi and systemd do; even with CGI's variables around."""
    path = os.path.join(rig.run_dir, "spawned.sock")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
        s.listen(16)
        p = subprocess.Popen([rig.program], stdin=s, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             env={**rig.gengate_environment(), "GATEWAY_INTERFACE": "CGI/1.1"})
        rig.reaper.say("+", p.pid)
        try:
            ready = b""
            while b"server.ready" not in ready:
                line = p.stderr.readline()
                check(line, f"it ended: {ready}")
                ready += line
            p.send_signal(signal.SIGTERM)
            out, _ = p.communicate(timeout=20)
            equal((p.returncode, out), (0, b""), "end")
        finally:
            p.kill()
            rig.reaper.say("-", p.pid)


@by_hand
def metrics_and_readiness():
    equal(rig.run_cgi("GET", "/readyz").json, {"status": "ready"}, "readiness")
    answer = rig.run_cgi("GET", "/metrics", raw=True)
    check(answer.status == 200 and b"gengate_" in answer.body, f"metrics: {answer}")


@by_hand
def a_paused_provider_is_asked_of_the_database():
    """There is no worker that would refresh what is remembered."""
    rig.gengate_command("provider", "pause", "replicate", "--for", "1h")
    try:
        answer = rig.run_cgi("POST", "/generate", b'{"prompt": "x"}', REMOTE_USER="paused")
        problem = check_problem(answer, 503, "provider_unavailable")
        check("job" not in problem and 3500 < int(answer.header("Retry-After")) <= 3600, f"{answer.headers}")
        check(rig.run_cgi("GET", "/readyz").json["reasons"], "no reasons")
    finally:
        rig.gengate_command("provider", "resume", "replicate")
    answer = rig.run_cgi("POST", "/generate", b'{"prompt": "x"}', REMOTE_USER="paused")
    equal((answer.status, ends(answer.json)), (202, "succeeded"), "answer, and end")


@by_hand
def a_body_that_ends_early_is_400():
    answer = rig.run_cgi("POST", "/generate", b'{"prom', REMOTE_USER="x", CONTENT_LENGTH="50")
    check_problem(answer, 400, "bad_request")


@by_hand
def the_log_file_has_what_comes_after_the_answer():
    path = os.path.join(rig.dir, "late.log")
    answer = rig.run_cgi("POST", "/generate", b'{"prompt": "x"}', REMOTE_USER="logs", settings={"log_file": path})
    equal((answer.status, answer.log), (202, ""), "answer")
    stacks.wait_for(lambda: '"to":"running"' in e2e.read(path), 10, "step in the log")
    ends(json.loads(answer.body))


@by_hand
def descriptors_of_the_server_are_let_go():
    """A step must not hold what the web server left open: logs, pipes, sockets."""
    rig.faults(create_late={"count": 1, "delay_ms": 2000})
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    env = {**rig.gengate_environment(), "GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": "POST",
           "PATH_INFO": "/generate", "CONTENT_LENGTH": "15", "CONTENT_TYPE": "application/json",
           "REMOTE_USER": "holder"}
    done = subprocess.run([rig.program], input=b'{"prompt": "x"}', env=env, capture_output=True, close_fds=False,
                          timeout=20, check=True)
    os.close(writing)
    began = time.monotonic()
    equal(os.read(reading, 1), b"", "end of the pipe")
    check(time.monotonic() - began < 1, "the pipe was held")
    os.close(reading)
    check(processes(), "the step is over already")
    ends(json.loads(done.stdout.partition(b"\r\n\r\n")[2]))


# ---- gengate work

@by_hand
def work_once_with_nothing_to_do_ends_at_once():
    rig.sql("DELETE FROM generation_jobs")
    began = time.monotonic()
    equal(rig.gengate_command("work", "--once").returncode, 0, "exit status")
    check(time.monotonic() - began < 2, "it took long")


@by_hand
def work_once_says_that_the_database_is_away():
    done = rig.gengate_command("work", "--once", check=False, database_url="postgresql:///x?host=/nowhere")
    equal(done.returncode, 1, "exit status")
    check("work.failed" in done.stderr, done.stderr)


@by_hand
def work_once_takes_all_states():
    """One job in each; two of these at a time do not get in each other's way."""
    lose_webhooks()
    jobs = []
    for n in range(6):
        answer = rig.run_cgi("POST", "/generate", b'{"prompt": "x"}', REMOTE_USER=f"worker {n}",
                             settings={"replicate_url": "http://127.0.0.1:1/v1"})   # queued, again and again
        jobs.append(json.loads(answer.body))
    nothing_is_left()
    equal({rig.state(job) for job in jobs}, {"queued"}, "states")
    end = time.monotonic() + 30
    while time.monotonic() < end and not all(status_in_database(job) == "succeeded" for job in jobs):
        both = [subprocess.Popen([rig.program, "work", "--once"], env=rig.gengate_environment(),
                                 stderr=subprocess.DEVNULL) for _ in range(2)]
        equal([p.wait(70) for p in both], [0, 0], "exit statuses")
        time.sleep(0.2)
    equal({status_in_database(job) for job in jobs}, {"succeeded"}, "states")
    equal([len(rig.predictions(job)) for job in jobs], [1] * 6, "predictions")


@by_hand
def work_for_a_time():
    began = time.monotonic()
    equal(rig.gengate_command("work", "--for", "1500ms").returncode, 0, "exit status")
    check(1.4 < time.monotonic() - began < 4, "another time")
    for wrong in (["--for"], ["--for", "7"], ["--for", "0s"], ["--twice"]):
        done = subprocess.run([rig.program, "work", *wrong], env=rig.gengate_environment(), capture_output=True,
                              timeout=20, check=False)
        equal(done.returncode, 64, f"exit status of {wrong}")


@by_hand
def work_until_sigterm():
    lose_webhooks()
    p = subprocess.Popen([rig.program, "work"], env=rig.gengate_environment(), stderr=subprocess.DEVNULL)
    rig.reaper.say("+", p.pid)
    try:
        answer = rig.run_cgi("POST", "/generate", b'{"prompt": "x"}', REMOTE_USER="term")
        equal(ends(json.loads(answer.body)), "succeeded", "status")
        p.send_signal(signal.SIGTERM)
        equal(p.wait(20), 0, "exit status")
    finally:
        p.kill()
        rig.reaper.say("-", p.pid)


# ---- Nothing is left

def processes():
    """Our CGI processes that run, and those that nobody has reaped though their parent is a web server's."""
    servers = {pid for part in rig.extra if part.pid for pid in [part.pid, *stacks.descendants(part.pid)]}
    found = []
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/stat", encoding="latin-1") as f:
                name, _, rest = f.read().partition("(")[2].rpartition(")")
            state, parent = rest.split()[:2]
            if not name.startswith("gengate"):
                continue
            if state == "Z":
                if int(parent) in servers:
                    found.append((entry, "zombie"))
            elif os.readlink(f"/proc/{entry}/exe").startswith(rig.run_dir):
                found.append((entry, state))
        except (OSError, ValueError):
            continue
    return found


def nothing_is_left(timeout=10):
    try:
        stacks.wait_for(lambda: not processes(), timeout, "end of all processes")
    except stacks.StackError:
        rig.fail(f"left: {processes()}")


@test
def no_process_is_left():
    nothing_is_left()


@test
def the_servers_have_nothing_to_complain_of():
    # fcgiwrap without -f: what a CGI program logs is its own.
    lines = e2e.nginx_complaints(rig)
    check(not lines, "nginx complains:\n" + "".join(lines[:20]))
    log = os.path.join(rig.log_dir, "apache-error.log")
    if os.path.exists(log):
        bad = [line for line in e2e.read(log).splitlines() if ":error]" in line or ":crit]" in line]
        bad = [line for line in bad if "user eve" not in line and "AH01618" not in line]
        check(not bad, "Apache complains:\n" + "\n".join(bad[:20]))


e2e.main(setup, teardown)
