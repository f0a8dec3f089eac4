"""Under Valgrind: a bit of all that gengate does, through nginx by TLS and HTTP/2, as a plain CGI program and
by its commands.  No process touches memory that is not its own, or decides by what nobody wrote, and at its
end none has lost any.  Nothing here is about time: all of it takes some thirty times as long."""

import json
import os
import re
import signal
import subprocess
import sys
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test
from tap import comment
from token_rig import TokenRig

PATIENCE_S = 60
FAULTY = 99         # the exit status of a process that Valgrind complains of
NOWHERE = f"/status/{uuid.uuid4()}"
STREAM = {"Accept": "text/event-stream"}
rig = None


class Watched(TokenRig):
    """gengate under Valgrind: each process writes a report, also one that was forked."""

    def __init__(self):
        super().__init__(tls=True, config={"lease": "60s", "poll_interval": "500ms", "threads": 4, "workers": 8,
                                           "outputs": None, "supabase_bucket": None})
        self.reports = os.path.join(self.dir, "valgrind")
        os.mkdir(self.reports)
        self.gengate_wrapper = [
            stacks.find_program("valgrind"), "--leak-check=full", "--show-leak-kinds=definite,indirect",
            "--errors-for-leak-kinds=definite,indirect", f"--error-exitcode={FAULTY}", "--num-callers=30",
            "--fair-sched=yes", f"--log-file={self.reports}/%p"]
        self.write()

    def write(self, **settings):
        """What a reload changes."""
        settings = {"outputs": "public", "supabase_bucket": "outputs", **settings}
        with open(self.config_file, "w", encoding="utf-8") as f:
            f.writelines(f"{name} = {value}\n" for name, value in settings.items())

    def settled(self, job, timeout=PATIENCE_S):
        return super().settled(job, timeout)

    def succeeds(self, job, timeout=PATIENCE_S):
        return super().succeeds(job, timeout)

    def on(self, job, method, path, **more):
        return self.http(method, path.format(job["id"]), user=job["user"], timeout=PATIENCE_S, **more)

    def command(self, *words, status=0, **settings):
        done = self.gengate_command(*words, check=False, timeout=PATIENCE_S, **settings)
        equal(done.returncode, status, f"exit status of {words}: {done.stdout}{done.stderr}")
        return done.stdout

    def cgi(self, method, path, user=None, body=b"", **settings):
        """One process, as a web server starts it; the status.  What it leaves behind goes on alone."""
        token = {"HTTP_AUTHORIZATION": "Bearer " + self.token_of(user)} if user else {}
        env = {**self.gengate_environment(config=self.config_file, **settings), "GATEWAY_INTERFACE": "CGI/1.1",
               "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": "", "SERVER_PROTOCOL": "HTTP/1.1",
               "CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "application/json", **token}
        done = subprocess.run([*self.gengate_wrapper, self.gengate_program], input=body, capture_output=True,
                              timeout=PATIENCE_S, check=False, env=env)
        equal(done.returncode, 0, f"exit status of {method} {path}: {done.stderr.decode()}")
        return int(re.match(rb"Status: (\d+)", done.stdout)[1])

    def report(self, pid):
        return e2e.read(os.path.join(self.reports, str(pid)))


def setup():
    global rig
    rig = Watched().start()
    stacks.wait_for(lambda: rig.http("GET", NOWHERE, user=str(uuid.uuid4())).status == 404, PATIENCE_S, "the keys")


# -- What clients do

@test
def pictures():
    job = rig.submit("three of them", count=3, metadata={"a": [1, 2.5, None, "b"]})
    for index, asset in enumerate(rig.succeeds(job)["assets"]):
        e2e.check_asset(rig, asset, index)
    known = rig.on(job, "GET", "/status/{}").header("ETag")
    equal(rig.on(job, "GET", "/status/{}", headers={"If-None-Match": known}).status, 304, "status of what is known")
    equal(rig.on(job, "DELETE", "/generate/{}").status, 204, "DELETE")
    stacks.wait_for(lambda: not rig.sql("SELECT 1 FROM generation_removals"), PATIENCE_S, "removal of its files")


@test
def who_waits():
    job = rig.submit("a stream")
    text = rig.on(job, "GET", "/status/{}", headers=STREAM).text
    check('"succeeded"' in text, f"the stream: {text}")
    answer = rig.post("waited for", user=str(uuid.uuid4()), headers={"Prefer": "wait=25"})
    equal((answer.status, answer.json["status"]), (200, "succeeded"), "waited for")
    left = rig.submit("[endless] one that leaves")
    rig.on(left, "GET", "/status/{}", headers=STREAM, stream=True).close()
    equal(rig.on(left, "POST", "/generate/{}/cancel", headers={"Prefer": "wait=50"}).status, 200, "canceled")


@test
def one_user():
    user, key = str(uuid.uuid4()), {"Idempotency-Key": "a-key"}
    job = rig.submit("[endless] once", user=user, headers=key)
    equal(rig.post("[endless] once", user=user, headers=key).status, 200, "repeated")
    equal(rig.post("another", user=user, headers=key).status, 422, "the key used again")
    equal(rig.post("another", user=user).status, 409, "one in flight")
    rig.on(job, "POST", "/generate/{}/cancel")
    equal(rig.settled(job)["status"], "canceled", "end")
    rig.succeeds({**rig.submit("second", user=user), "user": user})
    equal(rig.on(job, "POST", "/generate/{}/retry").status, 202, "retry")
    page = rig.http("GET", "/status?limit=2", user=user).json
    equal(len(page["jobs"]), 2, "jobs of the first page")
    equal(len(rig.http("GET", "/status?" + page["next"].rpartition("?")[2], user=user).json["jobs"]), 1, "the next")


@test
def bad_input():
    user = str(uuid.uuid4())
    for status, body in ((400, b""), (400, b"{"), (400, b'{"prompt": 1, "count": "a", "nobody": {}}'),
                         (400, b"[" * 5000), (400, b'{"prompt": "\xff"}'), (413, b" " * 8_000_000)):
        answer = rig.http("POST", "/generate", body=body, user=user, headers={"Content-Type": "application/json"})
        equal(answer.status, status, f"status of {body[:40]}")
    for status, method, path in ((404, "GET", "/status/nothing"), (404, "GET", NOWHERE), (405, "PUT", "/generate"),
                                 (404, "DELETE", NOWHERE.replace("status", "generate")), (400, "GET", "/status?cursor=x")):
        equal(rig.http(method, path, user=user).status, status, f"{method} {path}")


@test
def strangers():
    good = rig.es.token(rig.claims())
    for token in ("", "a.b.c", good[:-8] + "AAAAAAAA", rig.es.token(rig.claims(exp=1)), rig.rs.token(rig.claims(), kid="x"),
                  rig.es.token(rig.claims(), alg="none"), rig.es.token("{")):
        equal(rig.http("GET", NOWHERE, headers={"Authorization": "Bearer " + token}).status, 401, f"status with {token}")
    for token in (good, rig.rs.token(rig.claims())):
        equal(rig.http("GET", NOWHERE, headers={"Authorization": "Bearer " + token}).status, 404, f"status with {token}")


@test
def webhooks():
    job = rig.submit("[slow] a picture")
    stacks.wait_for(lambda: rig.predictions(job), PATIENCE_S, "prediction")
    made, path = rig.one_prediction(job), rig.webhook_path(job)
    news = {"id": made["id"], "status": "processing"}
    stranger = {"id": "another", "status": "succeeded", "output": []}
    for status, body, signing in ((200, news, {}), (200, news, {}), (401, news, {"at": 1}), (400, b"{", {}),
                                  (401, news, {"secret": "whsec_" + "QUJD" * 8}), (200, stranger, {"delivery": "msg_b"})):
        equal(rig.webhook(path, body, **signing).status, status, f"status of {body} {signing}")
    equal(rig.webhook("/webhooks/replicate?job=x", news).status, 404, "status for no job")
    rig.succeeds(job)


# -- What providers and storages do

@test
def what_goes_wrong():
    rig.faults(create_drop_after={"count": 1, "match": "lost"}, create_429={"count": 1, "match": "later"},
               create_422={"count": 1, "match": "refused"}, api_cut={"count": 1, "match": "half of it"},
               webhook_lost={"count": -1, "match": "silence"}, storage_500={"count": 1, "match": "POST /storage"},
               delivery_cut={"count": 1}, get_500={"count": 1})
    ends = {"lost": "succeeded", "later": "succeeded", "refused": "failed", "half of it": "succeeded",
            "silence": "succeeded", "[fail]": "failed", "[nsfw]": "failed", "[html]": "failed", "[foreign]": "failed",
            "[data]": "succeeded", "[empty]": "failed", "[talkative]": "succeeded", "[video]": "succeeded",
            "[404]": "failed"}
    jobs = {prompt: rig.submit(prompt) for prompt in ends}
    equal({prompt: rig.settled(job)["status"] for prompt, job in jobs.items()}, ends, "ends")
    rig.faults(webhook_lost=0)


@test
def a_provider_that_takes_nothing():
    rig.faults(create_401={"count": 1, "match": "no key"})
    equal(rig.settled(rig.submit("no key"))["error"]["code"], "provider_unavailable", "error")
    equal(rig.post(user=str(uuid.uuid4())).status, 503, "status while it is paused")
    check(json.loads(rig.command("provider", "list", "--json"))["providers"][0]["pause"], "not paused")
    rig.resume_provider()


@test
def the_database_goes_away():
    rig.postgres.stop()
    equal(rig.http("GET", NOWHERE, user=str(uuid.uuid4()), timeout=PATIENCE_S).status, 503, "status meanwhile")
    rig.postgres.start()
    rig.wait_ready()


# -- What operators do

def reload(event):
    before = len(rig.gengate.events(event))
    rig.gengate.signal(signal.SIGHUP)
    stacks.wait_for(lambda: len(rig.gengate.events(event)) > before, PATIENCE_S, event)


@test
def reloads():
    job = rig.submit("[slow] over reloads")
    rig.write(outputs="public", retain_jobs="1d")
    reload("config.reloaded")
    rig.write(nobody="knows this")
    reload("config.rejected")
    with open(rig.config["models_file"], "w", encoding="utf-8") as f:
        f.write('{"painter": {"on": 5}}')
    rig.write()
    reload("config.rejected")
    rig.write_models()
    rig.write(outputs="private", supabase_bucket="inputs")
    reload("config.reloaded")
    rig.succeeds(job)
    check("token=" in rig.succeeds(rig.submit("private"))["assets"][0]["url"], "it is not signed")


@test
def commands():
    for words in (["--help"], ["version"], ["config"], ["config", "--markdown"], ["migrate"]):
        rig.run([*rig.gengate_wrapper, rig.gengate_program, *words], env=rig.gengate_environment())
    rig.command("check", "--json")
    rig.command("check", status=1, replicate_token="wrong")
    rig.command("serve", status=78, database_url=None, secret_key="short", threads="many")
    job = rig.submit("[endless] one that is stuck")
    rig.wait_state(job, "running", timeout=PATIENCE_S)
    rig.command("jobs", "list")
    rig.command("jobs", "show", job["id"], "--json")
    rig.command("jobs", "resume", job["id"])
    rig.command("jobs", "settle", job["id"], "--as", "failed", "--reason", "a test", "--force")
    equal(rig.settled(job)["status"], "failed", "end")
    rig.command("provider", "pause", "replicate", "--for", "1h")
    rig.resume_provider()


# -- Its end

def ends(job, take_a_step):
    """Whoever died has left it to others."""
    def ended():
        take_a_step()
        return rig.sql_value(f"SELECT status FROM generation_jobs WHERE id = '{job}'") == "succeeded"
    stacks.wait_for(ended, PATIENCE_S, f"end of {job}")


@test
def a_stop_with_work_under_way():
    """In the middle of two jobs, an upload and two streams."""
    rig.faults(storage_slow={"count": 1, "delay_ms": 2000, "match": "POST /storage"})
    jobs = [rig.submit(prompt) for prompt in ("[slow] a stop", "stored slowly")]
    streams = [rig.on(job, "GET", "/status/{}", headers=STREAM, stream=True) for job in jobs]
    equal(rig.gengate.stop(timeout=PATIENCE_S), 0, "exit status of gengate serve")
    for stream in streams:
        stream.close()
    for job in jobs:
        ends(job["id"], lambda: rig.command("work", "--once"))
    rig.command("work", "--for", "1s")


@test
def plain_cgi():
    user = str(uuid.uuid4())
    body = json.dumps({"prompt": "by a program", "count": 2}).encode()
    equal(rig.cgi("POST", "/generate", user, body), 202, "POST /generate")
    job = rig.sql_value(f"SELECT id FROM generation_jobs WHERE owner_id = '{user}'")
    # Who asks leaves the step that is due to a child.
    ends(job, lambda: equal(rig.cgi("GET", f"/status/{job}", user), 200, "GET /status"))
    equal(rig.cgi("GET", "/status", user, outputs="private"), 200, "the list")
    equal(rig.cgi("GET", NOWHERE), 401, "without a token")
    equal(rig.cgi("POST", "/generate", user, b'{"prompt": 5}'), 400, "bad input")
    equal(rig.cgi("POST", "/webhooks/replicate", None, b"{}"), 401, "a webhook without a signature")
    equal(rig.cgi("GET", "/readyz", database_url="postgresql:///nobody?host=/nowhere"), 503, "no database")
    equal(rig.cgi("GET", "/readyz", secret_key="short"), 500, "no configuration")


@test
def no_process_lost_memory():
    """By each one's own report; one that was killed has none."""
    rig.gengate.stop(timeout=PATIENCE_S)
    pids = [int(name) for name in os.listdir(rig.reports)]
    check(rig.gengate.pid in pids, "gengate serve has not written a report")
    stacks.wait_for(lambda: all(stacks.process_state(pid) in (None, "Z") for pid in pids), PATIENCE_S, "end of all")
    bad = [text for text in map(rig.report, pids) if "ERROR SUMMARY: 0 errors" not in text]
    for text in bad[:5]:
        comment(text[:8000])
    check(not bad, f"{len(bad)} of {len(pids)} processes are at fault")


lacking = [program for program in ("valgrind", "openssl") if not stacks.find_program(program)]
if lacking:
    e2e.skip_all("missing: " + ", ".join(lacking))
e2e.main(setup, lambda: rig and rig.stop())
