"""What the end-to-end tests share: a Stack with verbs for the simulator, signed
webhooks, and checks of jobs, assets, problems and logs."""

import base64
import glob
import hashlib
import hmac
import itertools
import json
import os
import re
import shutil
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.environ.get("srcdir") or os.path.join(os.path.dirname(__file__), "../.."),
                                "tests/stack"))
import stack as stacks
from tap import Skip, check, equal, run, skip_all, test

DB_PASSWORD = "the-password-of-the-database"
VERSION = "sim/painter:" + "5e" * 32

# The simulator's painter by each of Replicate's three forms of a create, and one in a hurry.
INPUT = {"prompt": "$prompt", "seed": "$seed", "num_outputs": "$count", "width": "$width", "height": "$height"}
MODELS = {
    "painter": {"limits": {"count": 4}, "on": {"replicate": {"model": "sim/painter", "input": INPUT}}},
    "by-version": {"on": {"replicate": {"model": VERSION, "input": INPUT}}},
    "by-deployment": {"on": {"replicate": {"deployment": "sim/pinned", "input": INPUT}}},
    "hasty": {"timeout": "5s", "on": {"replicate": {"model": "sim/painter", "input": INPUT}}},
}

_users = itertools.count(1)


class Rig(stacks.Stack):
    """A Stack in a hurry: quick predictions, short pauses and leases."""

    def __init__(self, config=None, **options):
        super().__init__(config={"default_model": "painter", "poll_interval": "100ms", "lease": "4s",
                                 "uncertain_grace": "1s", "log_level": "debug",
                                 **(config or {})}, **options)
        self.configure(models_file=os.path.join(self.dir, "models.json"),
                       database_url=f"{self.database_url}&password={DB_PASSWORD}")
        self.write_models()

    def write_models(self):
        with open(self.config["models_file"], "w", encoding="utf-8") as f:
            json.dump(MODELS, f)

    def start(self):
        super().start()
        self.set_sim(starting_ms=50, processing_ms=100)
        return self

    # -- nginx

    def in_a_hurry(self, **words):
        """From nginx's next start: the project's files with other words in them; shorter times, that is."""
        folder = os.path.join(self.dir, "nginx-in-a-hurry")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(os.path.join(self.srcdir, "nginx"), folder)
        path = os.path.join(folder, "gengate.conf")
        text = read(path)
        for old, new in {"read_timeout 130s": "read_timeout 2s", "read_timeout 30s": "read_timeout 2s",
                         "read_timeout 10s": "read_timeout 2s", **words}.items():
            check(old in text, f"{old} is not in nginx/gengate.conf")
            text = text.replace(old, new)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        link = os.path.join(self.nginx_dir, "gengate")
        if os.path.islink(link):
            os.unlink(link)
        os.symlink(folder, link)

    # -- Jobs

    def post(self, prompt="a lighthouse", *, user=None, headers=None, **members):
        """Does not wait for the provider, unless the headers say so."""
        return self.http("POST", "/generate", json={"prompt": prompt, **members}, user=user,
                         headers={"Prefer": "respond-async", **(headers or {})})

    def submit(self, prompt="a lighthouse", *, user=None, headers=None, **members):
        """A job that was taken, whatever the provider says of it; without a user by a new one.
        Its "user" is remembered."""
        if user is None and self.auth == "server":
            user = f"user-{next(_users)}"
        answer = self.post(prompt, user=user, headers=headers, **members)
        if answer.status != 202:
            self.fail(f"POST /generate: {answer}")
        return {**answer.json, "user": user}

    def settled(self, job, timeout=30):
        return self.wait_settled(job["id"], user=job["user"], timeout=timeout)

    def status(self, job):
        return self.http("GET", f"/status/{job['id']}", user=job["user"]).json["status"]

    def succeeds(self, job, timeout=30):
        end = self.settled(job, timeout)
        if end["status"] != "succeeded":
            self.fail(f"the job did not succeed: {end}")
        return end

    def fails(self, job, code, timeout=30):
        end = self.settled(job, timeout)
        equal((end["status"], (end["error"] or {}).get("code")), ("failed", code), "end")
        check(end["error"]["message"] and end["completed_at"], f"an end without words or time: {end}")
        return end

    def state(self, job):
        """The working state; "settled" without a live row."""
        return self.sql_value(f"SELECT state FROM generation_live WHERE job_id = '{job['id']}'") or "settled"

    def wait_state(self, job, *states, timeout=15):
        return stacks.wait_for(lambda: self.state(job) in states, timeout, f"{states} of {job['id']}")

    def trail(self, job):
        """The names of the events, oldest first."""
        return [row[0] for row in self.sql(
            f"SELECT event FROM generation_events WHERE job_id = '{job['id']}' ORDER BY id")]

    def rows(self, job, trail=True):
        """All that the database has about a job, to be compared.  Working columns of a job that
        polls by itself would differ in any case."""
        tables = ["generation_jobs WHERE id", "generation_assets WHERE job_id"]
        tables += ["generation_events WHERE job_id"] if trail else []
        found = [self.sql(f"SELECT * FROM {table} = '{job['id']}' ORDER BY 1, 2, 3") for table in tables]
        return found + [self.sql("SELECT state, version, prediction_id FROM generation_live"
                                 f" WHERE job_id = '{job['id']}'")]

    # -- The simulator

    def sim_call(self, method, path, body=None):
        answer = self.http(method, "/sim/" + path, json=body)
        if answer.status != 200:
            self.fail(f"{method} /sim/{path}: {answer}")
        return answer.json

    def set_sim(self, **settings):
        self.sim_call("POST", "settings", settings)

    def faults(self, **switches):
        self.sim_call("POST", "faults", switches)

    def taken(self, fault):
        """How often that switch did what it does."""
        found = self.sim_call("GET", "faults")
        row = found[fault] if isinstance(found, dict) else next(r for r in found if r["name"] == fault)
        return row["taken"]

    def counters(self):
        return self.sim_call("GET", "state?predictions=0")

    def predictions(self, job):
        """What was created for a job, told by the key of the call."""
        return [p for p in self.sim_call("GET", "state")["predictions"] if p["idempotency_key"] == job["id"]]

    def one_prediction(self, job):
        found = self.predictions(job)
        equal(len(found), 1, "predictions of the job")
        return found[0]

    def objects(self, job):
        """What the bucket has of a job, in the order of the outputs."""
        found = [o for o in self.sim_call("GET", "objects") if f"/{job['id']}/" in o["name"]]
        return sorted(found, key=lambda o: o["name"])

    def resume_provider(self):
        """After a refusal of ours it is paused: on with it, once every process knows."""
        if self.gengate_command("provider", "resume", self.config["provider"], check=False).returncode == 0:
            stacks.wait_for(lambda: all("reasons" not in self.http("GET", "/readyz").json
                                        for _ in range(5 * len(self.gengates))), 10, "that it goes on")

    # -- Webhooks

    def signed(self, body, *, delivery="msg_test", at=None, secret=None):
        """The headers of Standard Webhooks for these bytes."""
        secret = secret or self.config["replicate_webhook_secret"]
        at = str(int(time.time()) if at is None else at)
        key = base64.b64decode(secret.partition("_")[2])
        digest = hmac.new(key, f"{delivery}.{at}.".encode() + body, hashlib.sha256).digest()
        return {"Content-Type": "application/json", "webhook-id": delivery, "webhook-timestamp": at,
                "webhook-signature": "v1," + base64.b64encode(digest).decode()}

    def webhook(self, path, body, **signing):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return self.http("POST", path, body=body, headers=self.signed(body, **signing))

    def webhook_path(self, job):
        """Where this job's webhooks go, as the provider was told."""
        return self.one_prediction(job)["webhook"].removeprefix(self.url)


def png_size(data):
    equal(data[:8], b"\x89PNG\r\n\x1a\n", "magic bytes")
    return struct.unpack(">II", data[16:24])


def check_asset(rig, asset, index=0, size=None):
    """Is what is told about an asset true of what its URL gives?  The bytes."""
    equal(asset["index"], index, "index")
    answer = rig.http("GET", asset["url"])
    equal(answer.status, 200, "status of " + asset["url"])
    equal(answer.header("Content-Type"), "image/png", "content type as served")
    equal(asset["content_type"], "image/png", "content_type")
    equal(asset["bytes"], len(answer.body), "bytes")
    equal(asset["sha256"], hashlib.sha256(answer.body).hexdigest(), "sha256")
    equal((asset["width"], asset["height"]), png_size(answer.body), "width and height")
    if size:
        equal(png_size(answer.body), size, "size of the picture")
    return answer.body


def check_problem(answer, status, code):
    """RFC 9457, as the API promises it; the problem."""
    equal(answer.status, status, f"status of {answer}")
    equal(answer.header("Content-Type"), "application/problem+json", "content type")
    problem = answer.json
    equal(problem["status"], status, "status in the body")
    equal(problem["code"], code, "code")
    check(problem["type"] and problem["title"], f"no type or title: {problem}")
    check(problem["request_id"], "no request id")
    equal(problem["request_id"], answer.header("X-Request-Id"), "request id")
    return problem


# -- Logs

_SERIOUS = re.compile(r"\[(error|crit|alert|emerg)\]")


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def nginx_complaints(rig, *provoked):
    """Lines of nginx's error log that count and that no test provoked (regular expressions)."""
    lines = read(os.path.join(rig.log_dir, "nginx-error.log")).splitlines(keepends=True)
    return [line for line in lines if _SERIOUS.search(line) and not any(re.search(p, line) for p in provoked)]


def secrets_of(rig):
    names = ("secret_key", "replicate_token", "replicate_webhook_secret", "supabase_key")
    found = {name: str(rig.config[name]) for name in names if rig.config.get(name)}
    if "replicate_webhook_secret" in found:
        found["the webhook secret's bytes"] = found["replicate_webhook_secret"].partition("_")[2]
    return {**found, "the database's password": DB_PASSWORD}


def check_logs(rig, *provoked):
    """Of the whole run: nginx had nothing to complain of, gengate wrote JSON, nobody wrote secrets."""
    lines = nginx_complaints(rig, *provoked)
    check(not lines, "nginx complains:\n" + "".join(lines[:20]))
    for path in glob.glob(os.path.join(rig.log_dir, "gengate*.log")):
        for line in read(path).splitlines():
            try:
                event = json.loads(line, object_pairs_hook=lambda pairs: pairs)
                names = [name for name, _ in event]
            except (TypeError, ValueError):
                names = []
            check(names[:3] == ["ts", "level", "event"], f"not an event in JSON: {line!r}")
            equal(len(set(names)), len(names), f"names, each once, in {line!r}")
    leaks = rig.find_leaks()
    check(not leaks, "\n".join(leaks))


def not_sanitized(rig, why):
    """Some tests look at a process as a sanitizer makes none."""
    with open(rig.gengate_program, "rb") as f:
        if b"__tsan_init" in f.read():
            raise Skip(f"not under ThreadSanitizer: {why}")


def main(setup=None, teardown=None):
    if stacks.missing_programs():
        skip_all("missing: " + ", ".join(stacks.missing_programs()))
    run(setup, teardown)
