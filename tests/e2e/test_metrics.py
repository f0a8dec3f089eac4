"""Metrics and logs, read as Prometheus and an operator would."""

import base64
import hashlib
import hmac
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.environ.get("srcdir") or os.path.join(os.path.dirname(__file__), "../.."),
                                "tests/stack"))
from stack import Stack, missing_programs, wait_for
from tap import check, equal, run, skip_all, test

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count"), "counter": ("",), "gauge": ("",)}
stack = None


def setup():
    global stack
    stack = Stack(storage="local", config={"instance": 'one "and" only', "poll_interval": "100ms", "lease": "4s"},
                  server_extra="real_ip_header X-Test-Address; set_real_ip_from 127.0.0.1; access_log trace.log trace;",
                  http_extra="log_format trace '$request_method $uri $http_traceparent';").start()
    sim("settings", starting_ms=20, processing_ms=50)


def sim(what, **body):
    answer = stack.http("POST", f"/sim/{what}", json=body)
    equal(answer.status, 200, f"/sim/{what}")


# ---- A strict reader of the text format

class Metrics:
    """One scrape: value(name, label=value...) sums what matches, None without a match."""

    def __init__(self, text):
        self.types, self.help, self.series = {}, {}, {}
        family = None
        check(text.endswith("\n"), "no newline at the end")
        for line in text[:-1].split("\n"):
            head = re.fullmatch(rf"# (HELP|TYPE) ({NAME}) (.+)", line)
            if head:
                family = self._head(*head.groups())
            else:
                self._sample(line, family)
        for name, kind in self.types.items():
            check(name in self.help, f"{name} has no HELP")
            if kind == "histogram":
                self._histogram(name)

    def _head(self, what, name, text):
        there = self.help if what == "HELP" else self.types
        check(name not in there, f"second {what} of {name}")
        there[name] = text
        if what == "TYPE":
            check(text in SUFFIXES, f"type of {name}: {text}")
        else:
            check(not any(self._family(key[0]) == name for key in self.series), f"{name} goes on later")
        return name

    def _family(self, name):
        for suffix in ("_bucket", "_sum", "_count"):
            if self.types.get(name.removesuffix(suffix)) in ("histogram", "summary"):
                return name.removesuffix(suffix)
        return name

    def _sample(self, line, family):
        found = re.fullmatch(rf"({NAME})(?:\{{(.*)\}})? (-?[0-9]+(?:\.[0-9]+)?)", line)
        check(found, f"not a sample: {line!r}")
        name, labels, value = found.groups()
        pairs = LABEL.findall(labels or "")
        equal(",".join(f'{key}="{text}"' for key, text in pairs), labels or "", "labels")
        equal(len(dict(pairs)), len(pairs), f"labels in {line}")
        equal(self._family(name), family, f"family of {line}")
        check(name.removeprefix(family) in SUFFIXES[self.types[family]], f"suffix of {line}")
        key = (name, frozenset(pairs))
        check(key not in self.series, f"twice: {line}")
        self.series[key] = float(value)

    def _histogram(self, name):
        """Buckets rise, and end with +Inf, which is the count."""
        for (series, labels), count in self.series.items():
            if series != name + "_count":
                continue
            buckets = sorted((float(dict(key[1])["le"]), value) for key, value in self.series.items()
                             if key[0] == name + "_bucket" and {pair for pair in key[1] if pair[0] != "le"} == labels)
            check(len(buckets) > 10 and buckets[-1] == (float("inf"), count), f"buckets of {name}: {buckets}")
            check([value for _, value in buckets] == sorted(value for _, value in buckets), f"{name} falls")

    def value(self, name, **labels):
        found = [value for key, value in self.series.items()
                 if key[0] == name and set(labels.items()) <= set(key[1])]
        return sum(found) if found else None


def scrape(**more):
    answer = stack.http("GET", "/metrics", **more)
    equal(answer.status, 200, "status")
    equal(answer.header("Content-Type"), "text/plain; version=0.0.4; charset=utf-8", "content type")
    equal(answer.header("Cache-Control"), "no-store", "cache control")
    return Metrics(answer.text)


class Moves:
    """What changes between its making and ask()."""

    def __init__(self):
        self.before = scrape()

    def by(self, name, **labels):
        return (scrape().value(name, **labels) or 0) - (self.before.value(name, **labels) or 0)

    def wait(self, amount, name, **labels):
        try:
            wait_for(lambda: self.by(name, **labels) >= amount, 15, f"{name} {labels}")
        finally:
            equal(self.by(name, **labels), amount, f"{name} {labels}")


def generate(prompt, user, headers=None, answered=202):
    answer = stack.http("POST", "/generate", json={"prompt": prompt}, user=user, headers=headers)
    equal(answer.status, answered, f"status of {answer}")
    return answer.json["id"] if "id" in answer.json else answer.json["job"]["id"]


def settle(prompt, user, status="succeeded", **more):
    job = generate(prompt, user, **more)
    equal(stack.wait_settled(job, user=user)["status"], status, "job's status")
    return job


# ---- Metrics

@test
def every_metric_is_described():
    metrics = scrape()
    with open(os.path.join(stack.srcdir, "docs/metrics.md"), encoding="utf-8") as f:
        rows = re.findall(r"^\| `((?:gengate|process)_\w+)` \| (\w+) \|", f.read(), re.M)
    equal(sorted(metrics.types.items()), sorted(rows), "names and types")
    equal({dict(key[1])["instance"] for key in metrics.series if "instance" in dict(key[1])},
          {r'one \"and\" only'}, "instances")
    equal(sorted({re.sub("_(bucket|sum|count)$", "", key[0]) for key in metrics.series if "instance" not in dict(key[1])}),
          ["gengate_jobs", "gengate_oldest_job_age_seconds", "gengate_oldest_unstored_seconds"], "shared ones")
    check(abs(time.time() - metrics.value("process_start_time_seconds")) < 300, "start time")
    equal(metrics.value("gengate_build_info"), 1, "build info")
    equal(metrics.value("gengate_database_up"), 1, "database")
    # An alert on a rate needs the 0 before the 1.
    for name, labels in (("gengate_submits_total", {"outcome": "unknown"}),
                         ("gengate_webhooks_total", {"verdict": "bad_signature"}),
                         ("gengate_jobs_completed_total", {"status": "failed", "road": "reply"})):
        equal(metrics.value(name, **labels), 0, name)


@test
def a_job_moves_them():
    moves = Moves()
    job = settle("a lighthouse", "ann")
    moves.wait(1, "gengate_jobs_completed_total", status="succeeded", road="webhook")
    equal(moves.by("gengate_submits_total", provider="replicate", outcome="accepted"), 1, "submits")
    equal(moves.by("gengate_submits_total"), 1, "all submits")
    equal(moves.by("gengate_provider_request_seconds_count", provider="replicate", call="submit"), 1, "calls")
    check(moves.by("gengate_provider_bytes_total", direction="sent") > 20, "bytes sent")
    check(moves.by("gengate_provider_bytes_total", direction="received") > 100, "bytes received")
    kept = int(stack.sql_value(f"select sum(bytes) from generation_assets where job_id = '{job}'"))
    equal(moves.by("gengate_outputs_fetched_bytes_total", provider="replicate"), kept, "fetched")
    equal(moves.by("gengate_storage_bytes_total", storage="local"), kept, "stored")
    equal(moves.by("gengate_storage_request_seconds_count", storage="local", call="put"), 1, "puts")
    equal(moves.by("gengate_provider_request_seconds_count", call="output"), 1, "fetches")
    equal(moves.by("gengate_http_requests_total", route="/generate", method="POST", status="202"), 1, "requests")
    equal(moves.by("gengate_http_request_seconds_count", route="/generate"), 1, "request times")
    check(moves.by("gengate_http_requests_total", route="/status/*", method="GET", status="200") >= 1, "status reads")
    equal(moves.by("gengate_db_statement_seconds_count", statement="create_job"), 1, "statements")
    check(moves.by("gengate_db_pool_wait_seconds_count") > 5, "pool waits")
    check(moves.before.value("gengate_connections") >= 1, "connections")
    check(moves.before.value("gengate_db_connections") >= 1, "database connections")


@test
def strange_requests_make_no_names():
    moves = Moves()
    stack.http("GET", "/status/not-an-id", user="ann")
    stack.http("DELETE", "/generate", user="ann")
    stack.http("PROPFIND", "/generate/x/y", user="ann")
    equal(moves.by("gengate_http_requests_total", route="/status/*", method="GET", status="404"), 1, "no id")
    equal(moves.by("gengate_http_requests_total", route="/generate", method="DELETE", status="405"), 1, "DELETE")
    equal(moves.by("gengate_http_requests_total", route="none", method="other", status="404"), 1, "PROPFIND")


@test
def creates_by_outcome():
    for fault, outcome, status, road in (("create_422", "refused", "failed", "reply"),
                                         ("create_429", "deferred", "succeeded", "webhook")):
        moves = Moves()
        sim("faults", **{fault: {"count": 1, "retry_after": 1}})
        settle("outcome", "bea-" + outcome, status, answered=422 if outcome == "refused" else 202)
        moves.wait(1, "gengate_submits_total", outcome=outcome)
        moves.wait(1, "gengate_jobs_completed_total", status=status, road=road)
        moves.wait(1, "gengate_jobs_completed_total")
    moves = Moves()
    sim("faults", create_drop_before=1)
    generate("outcome", "bea-unknown")
    moves.wait(1, "gengate_submits_total", outcome="unknown")
    equal(scrape().value("gengate_jobs", state="uncertain"), 1, "uncertain jobs")


@test
def a_create_that_died_with_its_sender_is_unknown():
    sim("faults", create_late={"count": 1, "delay_ms": 4000})
    before = stack.http("GET", "/sim/state").json["predictions_created"]
    generate("died", "bob", headers={"Prefer": "respond-async"})
    wait_for(lambda: stack.http("GET", "/sim/state").json["predictions_created"] > before, 5, "create")
    stack.gengate.restart(hard=True)
    wait_for(lambda: scrape().value("gengate_submits_total", outcome="unknown") == 1, 15, "unknown outcome")
    equal(scrape().value("gengate_submits_total"), 1, "all submits")


@test
def a_poll_is_a_road():
    moves = Moves()
    sim("faults", webhook_lost=-1)
    settle("poll", "cas")
    sim("faults", webhook_lost=0)
    moves.wait(1, "gengate_jobs_completed_total", status="succeeded", road="poll")
    check(moves.by("gengate_provider_request_seconds_count", call="status") >= 1, "status calls")
    equal(moves.by("gengate_webhooks_total"), 0, "webhooks")


@test
def what_is_in_flight_is_shown():
    before = scrape().value("gengate_jobs", state="running")
    job = generate("in flight [endless]", "dan")
    stack.wait_status(job, ("processing",), user="dan")
    stack.sql("update generation_jobs set created_at = now() - interval '1 hour' where id = '" + job + "'")
    metrics = scrape()
    equal(metrics.value("gengate_jobs", state="running") - before, 1, "running")
    check(3600 <= metrics.value("gengate_oldest_job_age_seconds", state="running") < 3700, "age")
    equal(metrics.value("gengate_oldest_job_age_seconds", state="storing"), 0, "age of none")
    equal(metrics.value("gengate_oldest_unstored_seconds"), 0, "nothing unstored")
    sim("faults", delivery_500=-1)
    job = generate("unstored", "dora")
    wait_for(lambda: scrape().value("gengate_jobs", state="storing") == 1, 10, "storing job")
    stack.sql(f"update generation_events set at = now() - interval '10 minutes' where job_id = '{job}'")
    check(600 <= scrape().value("gengate_oldest_unstored_seconds") < 700, "unstored")
    sim("faults", delivery_500=0)
    stack.wait_settled(job, user="dora")


@test
def a_parked_request_is_counted():
    job = generate("parked [endless]", "eve")
    answer = stack.http("GET", f"/status/{job}", user="eve", headers={"Accept": "text/event-stream"}, stream=True)
    answer.readline()
    try:
        wait_for(lambda: scrape().value("gengate_parked_requests") == 1, 5, "parked request")
    finally:
        answer.close()
    moves = Moves()
    wait_for(lambda: scrape().value("gengate_parked_requests") == 0, 5, "end of it")
    equal(moves.by("gengate_jobs_completed_total"), 0, "completions")


def webhook(body, token, secret=None, path="/webhooks/replicate"):
    key = base64.b64decode((secret or stack.config["replicate_webhook_secret"]).partition("_")[2])
    stamp, ident = str(int(time.time())), "msg_" + os.urandom(8).hex()
    sign = hmac.new(key, f"{ident}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return stack.http("POST", f"{path}?job={token}", body=body, headers={
        "Content-Type": "application/json", "webhook-id": ident, "webhook-timestamp": stamp,
        "webhook-signature": "v1," + base64.b64encode(sign).decode()})


@test
def webhooks_by_verdict():
    settle("webhooks", "fay")
    state = stack.http("GET", "/sim/state").json
    done = next(p for p in state["predictions"] if p["webhook"] and p["status"] == "succeeded")
    token = done["webhook"].partition("?job=")[2]
    body = json.dumps({"id": done["id"], "status": "succeeded", "output": []}).encode()
    wrong = "whsec_" + base64.b64encode(b"another key altogether").decode()
    for verdict, send, status in (
            ("noted", lambda: webhook(body, token), 200),
            ("bad_signature", lambda: webhook(body, token, wrong), 401),
            ("bad_body", lambda: webhook(b"[1", token), 400),
            ("no_job", lambda: webhook(body, "x" * 40), 404)):
        moves = Moves()
        equal(send().status, status, f"status of {verdict}")
        equal(moves.by("gengate_webhooks_total", provider="replicate", verdict=verdict), 1, verdict)
        equal(moves.by("gengate_webhooks_total"), 1, f"all of {verdict}")
    moves = Moves()
    equal(webhook(body, token, path="/webhooks/nobody").status, 404, "status of no provider")
    equal(moves.by("gengate_webhooks_total"), 0, "of no provider")
    check(scrape().value("gengate_webhooks_total", verdict="moved") >= 1, "moved")


@test
def without_the_database():
    moves = Moves()
    state = stack.http("GET", "/sim/state").json
    token = state["predictions"][0]["webhook"].partition("?job=")[2]
    stack.postgres.kill()
    try:
        metrics = scrape()
        equal(metrics.value("gengate_database_up"), 0, "database")
        for name in ("gengate_jobs", "gengate_oldest_job_age_seconds", "gengate_oldest_unstored_seconds"):
            check(name not in metrics.types and metrics.value(name) is None, name)
        check(metrics.value("gengate_submits_total", outcome="accepted") >= 1, "counters")
        equal(webhook(b'{"id": "x", "status": "succeeded"}', token).status, 503, "status of a webhook")
        equal(moves.by("gengate_webhooks_total", verdict="unavailable"), 1, "unavailable")
    finally:
        stack.postgres.start()
    wait_for(lambda: scrape().value("gengate_database_up") == 1, 20, "database")


@test
def with_a_silent_database():
    stack.postgres.pause()
    try:
        began = time.monotonic()
        equal(scrape(timeout=9).value("gengate_database_up"), 0, "database")
        check(time.monotonic() - began < 5, "it took too long")
    finally:
        stack.postgres.resume()
    wait_for(lambda: scrape().value("gengate_database_up") == 1, 20, "database")


@test
def it_is_not_public():
    answer = stack.http("GET", "/metrics", headers={"X-Test-Address": "192.0.2.1"})
    equal(answer.status, 403, "status")
    check("gengate_" not in answer.text, "metrics")
    equal(stack.http("GET", "/metrics/", user="ann").status, 404, "with a slash")
    equal(stack.http("POST", "/metrics", body=b"").status, 405, "POST")
    head = stack.http("HEAD", "/metrics")
    equal((head.status, head.body), (200, b""), "HEAD")


# ---- Logs

def lines_of(answer):
    ident = answer.header("X-Request-Id")
    return wait_for(lambda: [event for event in stack.gengate.events("http.request") if event["request"] == ident],
                    5, "log line")


@test
def one_line_a_request():
    answer = stack.http("POST", "/generate", json={"prompt": "one line"}, user="gus", headers={"traceparent": TRACE})
    lines = lines_of(answer)
    equal(len(lines), 1, "lines")
    line = lines[0]
    equal({name: line.get(name) for name in ("level", "method", "path", "status", "job", "trace")},
          {"level": "info", "method": "POST", "path": "/generate", "status": 202, "job": answer.json["id"],
           "trace": TRACE}, "line")
    check(re.fullmatch("[0-9a-f]{8}", line["user"]), "user")
    check(0 < line["took_us"] < 10_000_000, "took_us")
    again = stack.http("GET", "/status/" + answer.json["id"], user="gus")
    equal([(event["user"], event["job"], event["status"], event.get("trace")) for event in lines_of(again)],
          [(line["user"], answer.json["id"], 200, None)], "status read")
    other = stack.http("GET", "/status/" + answer.json["id"], user="hal")
    check(lines_of(other)[0]["user"] != line["user"], "the same user")
    stack.wait_settled(answer.json["id"], user="gus")


@test
def a_webhooks_line_has_its_job():
    job = settle("webhook's line", "ida")
    owner = [event["user"] for event in stack.gengate.events("http.request") if event.get("job") == job][0]
    found = wait_for(lambda: [event for event in stack.gengate.events("http.request")
                              if event["path"] == "/webhooks/replicate" and event.get("job") == job], 5, "line")
    equal({(event["user"], event["status"]) for event in found}, {(owner, 200)}, "lines")


@test
def a_trace_is_passed_on():
    def creates():
        with open(os.path.join(stack.nginx_dir, "trace.log"), encoding="utf-8") as f:
            return [line.split()[2] for line in f if line.startswith("POST /replicate/v1/")]
    before = len(creates())
    job = settle("traced", "jan", headers={"traceparent": TRACE})
    wait_for(lambda: len(creates()) > before, 5, "log line of the create")
    equal(creates()[before:], [TRACE], "with a trace")
    moved = [event for event in stack.gengate.events("job.moved") if event["job"] == job]
    check(moved[0].get("trace") == TRACE, f"trace of {moved[0]}")
    for wrong in (TRACE + "-x", TRACE.upper(), "00-" + "0" * 32 + "-b7ad6b7169203331-01"):
        before = len(creates())
        settle("traced", "jan", headers={"traceparent": wrong})
        wait_for(lambda: len(creates()) > before, 5, "log line of the create")
        equal(creates()[before:], ["-"], wrong)
    check(TRACE + "-x" not in stack.gengate.log(), "a wrong one is logged")


@test
def secrets_are_not_logged():
    job = settle("the prompt is nobody's business", "kim", headers={"Authorization": "Bearer tell-nobody"})
    state = stack.http("GET", "/sim/state").json
    log = stack.gengate.log() + stack.http("GET", "/metrics").text
    check(job in log, "the job's line")
    secret = stack.config["replicate_webhook_secret"]
    for text in (stack.config["secret_key"], stack.config["replicate_token"], secret, secret.partition("_")[2],
                 stack.config["supabase_key"], "nobody's business", "tell-nobody", "v1,", "?job=",
                 *(p["webhook"].partition("?job=")[2] for p in state["predictions"] if p["webhook"])):
        check(text not in log, f"{text} is in the log")
    user = [event["user"] for event in stack.gengate.events("http.request") if event.get("job") == job][0]
    owner = stack.sql_value(f"select owner_id from generation_jobs where id = '{job}'")
    check(owner not in log and not owner.startswith(user), "the owner is in the log")


if missing_programs():
    skip_all("missing: " + ", ".join(missing_programs()))
run(setup, lambda: stack and stack.stop())
