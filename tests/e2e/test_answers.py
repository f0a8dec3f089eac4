"""Answers that no other test sees, on each route: with the database broken or gengate away, silent or
short of memory, over nginx's limits, and in the forms that a client can prefer.  Where something is
broken, what it moves is looked at elsewhere; here it is how that reads, and that it passes."""

import os
import resource
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test

JSON = {"Content-Type": "application/json"}
rig = None
# A job of ann's that has ended, and one of bob's that runs as long as the tests do.
done = running = None

# What is not in the program yet is not asked for.
SOURCES = os.path.join(stacks.SRCDIR, "fcgi")


class Call:
    def __init__(self, method, path, user="ann", source=None, **more):
        self.method, self.path, self.user, self.source, self.more = method, path, user, source, more

    def __call__(self, **more):
        return rig.http(self.method, self.path, **{"user": self.user, **self.more, **more})

    def __str__(self):
        return f"{self.method} {self.path}"


def calls_for_users():
    """Each once, as a user would."""
    status = [Call(method, path) for method in ("GET", "HEAD")
              for path in (f"/status/{done['id']}", f"/status?id={done['id']}")]
    found = [Call("POST", "/generate", json={"prompt": "answers"}, headers={"Prefer": "respond-async"}), *status,
             Call("GET", "/status", source="list.c"), Call("HEAD", "/status", source="list.c"),
             Call("POST", f"/generate/{running['id']}/cancel", user="bob", source="cancel.c"),
             Call("POST", f"/generate/{done['id']}/retry", source="retry.c"),
             Call("DELETE", f"/generate/{done['id']}", source="delete.c")]
    return [call for call in found if not call.source or os.path.exists(os.path.join(SOURCES, call.source))]


def webhook():
    return Call("POST", rig.webhook_path(running), body=b"{}", headers={"Content-Type": "application/json"})


def calls_for_monitoring():
    found = [Call(method, path) for method in ("GET", "HEAD") for path in ("/healthz", "/readyz")]
    if os.path.exists(os.path.join(SOURCES, "metrics.c")):
        found += [Call("GET", "/metrics"), Call("HEAD", "/metrics")]
    return found


def is_problem(call, answer, status, code):
    """As e2e.check_problem(); of HEAD there is the head."""
    try:
        if call.method == "HEAD":
            equal((answer.status, answer.header("Content-Type")), (status, "application/problem+json"), "answer")
        else:
            e2e.check_problem(answer, status, code)
    except AssertionError as e:
        raise AssertionError(f"{call}: {e}") from None


def setup():
    global rig, done, running
    rig = e2e.Rig(config={"poll_interval": "60s", "parked_per_user": 40}, server_extra="real_ip_header X-Test-Address; set_real_ip_from 127.0.0.1;",
                  http_extra="limit_req_zone $binary_remote_addr zone=gengate_req:1m rate=2r/s;"
                             " limit_conn_zone $binary_remote_addr zone=gengate_conn:1m;")
    rig.in_a_hurry()
    rig.start()
    rig.set_sim(webhook_retries=0)
    done = rig.submit("[404] done", user="ann")
    rig.fails(done, "outputs_lost")
    running = rig.submit("[endless] running", user="bob")
    rig.wait_state(running, "running")


# -- What a client can prefer

@test
def an_answer_at_the_end():
    answer = rig.http("POST", "/generate", json={"prompt": "whole"}, user="eve", headers={"Prefer": "wait=30"})
    equal((answer.status, answer.header("Preference-Applied"), answer.json["status"]), (200, "wait=30", "succeeded"),
          "answer")
    equal(answer.header("Location"), f"/status/{answer.json['id']}", "where it is")
    answer = rig.http("POST", "/generate", json={"prompt": "[endless]"}, user="eve2", headers={"Prefer": "wait=1"})
    equal((answer.status, answer.header("Preference-Applied")), (202, "wait=1"), "answer before the end")
    check(answer.json["status"] in ("starting", "processing"), f"job: {answer.json}")


@test
def an_answer_when_it_is_accepted():
    answer = rig.http("POST", "/generate", json={"prompt": "patience"}, user="eva")
    equal((answer.status, answer.header("Preference-Applied")), (202, None), "answer")
    rig.succeeds({**answer.json, "user": "eva"})


@test
def a_refusal():
    for fault, status, code in (("create_422", 422, "provider_rejected"), ("create_402", 503, "provider_unavailable")):
        job = None
        for path, prefer in (("/generate", None), ("/generate", "wait=30"), ("/generate/{}/retry", None)):
            if "{}" in path and not os.path.exists(os.path.join(SOURCES, "retry.c")):
                continue
            rig.faults(**{fault: {"count": 1, "match": fault}})
            answer = rig.http("POST", path.format(job and job["id"]), json={"prompt": fault}, user="ned",
                              headers={"Prefer": prefer} if prefer else {})
            job = e2e.check_problem(answer, status, code)["job"]
            equal(answer.header("Location"), f"/status/{job['id']}", "where it is")
            check(status != 503 or answer.header("Retry-After"), "no Retry-After")
            rig.resume_provider()


@test
def a_status_that_is_known():
    for path in (f"/status/{done['id']}", f"/status?id={done['id']}"):
        for method in ("GET", "HEAD"):
            seen = rig.http(method, path, user="ann")
            for tag in (seen.header("ETag"), "W/" + seen.header("ETag"), '"x", ' + seen.header("ETag"), "*"):
                answer = rig.http(method, path, user="ann", headers={"If-None-Match": tag})
                equal((answer.status, answer.body, answer.header("ETag")), (304, b"", seen.header("ETag")), method)
            answer = rig.http(method, path, user="ann", headers={"If-None-Match": '"v0"', "Prefer": "wait=5"})
            equal((answer.status, answer.header("Preference-Applied")), (200, "wait=5"), "of another version")
        seen = rig.http("GET", path.replace(done["id"], running["id"]), user="bob")
        began = time.monotonic()
        answer = rig.http("GET", path.replace(done["id"], running["id"]), user="bob",
                          headers={"If-None-Match": seen.header("ETag"), "Prefer": "wait=1"})
        equal((answer.status, answer.header("Preference-Applied")), (304, "wait=1"), "of the same, after a while")
        check(time.monotonic() - began > 0.9, "it did not wait")


@test
def streams():
    for form in ("/status/{}", "/status?id={}"):
        job = rig.submit("a stream", user="sue")
        answer = rig.http("GET", form.format(job["id"]), user="sue", headers={"Accept": "text/event-stream"})
        equal((answer.status, answer.header("Content-Type")), (200, "text/event-stream"), "head")
        last = answer.text.rpartition("id: ")[2].partition("\n")[0]
        check('"status":"succeeded"' in answer.text, f"the end is not told: {answer}")
        answer = rig.http("GET", form.format(job["id"]), user="sue",
                          headers={"Accept": "text/event-stream", "Last-Event-ID": last})
        equal((answer.status, answer.body), (204, b""), "answer after the end")
        e2e.check_problem(rig.http("GET", form.format(job["id"]), user="tom", headers={"Accept": "text/event-stream"}),
                          404, "not_found")


@test
def nothing_is_wrong():
    for call in calls_for_monitoring():
        answer = call()
        equal((answer.status, answer.header("Cache-Control")), (200, "no-store"), str(call))


@test
def a_list_that_cannot_be():
    if os.path.exists(os.path.join(SOURCES, "list.c")):
        for method in ("GET", "HEAD"):
            call = Call(method, "/status?limit=0")
            is_problem(call, call(), 400, "invalid_request")


# -- Who asks, and how

@test
def nobody_asks():
    for call in calls_for_users():
        is_problem(call, call(user=None), 401, "unauthorized")


@test
def another_one_asks():
    for call in calls_for_users():
        if done["id"] in call.path or running["id"] in call.path:
            is_problem(call, call(user="tom"), 404, "not_found")


@test
def another_method():
    for path in {call.path.partition("?")[0] for call in [*calls_for_users(), webhook(), *calls_for_monitoring()]}:
        answer = rig.http("PATCH", path, user="ann")
        e2e.check_problem(answer, 405, "method_not_allowed")
        check("PATCH" not in answer.header("Allow"), f"Allow: {answer.header('Allow')}")


@test
def paths_that_are_none():
    for path in ("/status/", "/status/x/y", "/generate/", "/generate/x/y/z", "/webhooks/", "/webhooks/x/y"):
        for method in ("GET", "POST"):
            e2e.check_problem(rig.http(method, path, user="ann"), 404, "not_found")


@test
def monitoring_from_elsewhere():
    for call in calls_for_monitoring():
        is_problem(call, call(headers={"X-Test-Address": "192.0.2.1"}), 403, "forbidden")


@test
def bodies_over_nginxs_limits():
    for call in calls_for_users():
        if call.path.startswith("/status"):
            is_problem(call, call(body=b" " * 2000), 413, "body_too_large")
    for path, size in (("/generate", 28 << 20), ("/webhooks/replicate", 8 << 20)):
        e2e.check_problem(rig.http("POST", path, user="ann", body=b" " * (size + 1), headers=JSON), 413, "body_too_large")


# -- What is broken

@test
def the_database_is_away():
    calls = [*calls_for_users(), *(call for call in calls_for_monitoring() if call.path == "/readyz")]
    path = rig.webhook_path(running)
    rig.postgres.stop()
    try:
        for call in calls:
            is_problem(call, call(), 503, "database_unavailable")
        e2e.check_problem(rig.webhook(path, {"id": "x", "status": "processing"}), 503, "database_unavailable")
    finally:
        rig.postgres.start()
        rig.wait_ready()


@test
def a_statement_is_broken():
    """As after a migration of which this program knows nothing."""
    path, calls = rig.webhook_path(running), calls_for_users()
    columns = ("generation_live", "version"), ("generation_live", "deadline_at"), \
        ("generation_jobs", "status"), ("generation_jobs", "completed_at")

    def rename(before, after):
        rig.sql("; ".join(f"ALTER TABLE {table} RENAME COLUMN {before}{name} TO {after}{name}" for table, name in columns))
    rename("", "was_")
    try:
        for call in calls:
            is_problem(call, call(), 500, "internal_error")
        e2e.check_problem(rig.webhook(path, {"id": "x", "status": "processing"}), 500, "internal_error")
    finally:
        rename("was_", "")
    equal(rig.http("GET", f"/status/{done['id']}", user="ann").json["status"], "failed", "status afterwards")


@test
def nginx_cannot_keep_a_body():
    folder = os.path.join(rig.nginx_dir, "body")
    os.rename(folder, folder + "-away")
    try:
        e2e.check_problem(rig.http("POST", "/generate", user="ann", body=b" " * 500000), 500, "internal_error")
    finally:
        os.rename(folder + "-away", folder)


@test
def there_is_no_memory():
    """Little more than it has: a large body finds no room.  libfcgi aborts where its own few kilobytes find none."""
    e2e.not_sanitized(rig, "it aborts where it finds none for itself")
    words = next(line for line in e2e.read(f"/proc/{rig.gengate.pid}/status").splitlines() if line.startswith("VmData:"))
    old = resource.prlimit(rig.gengate.pid, resource.RLIMIT_DATA)
    resource.prlimit(rig.gengate.pid, resource.RLIMIT_DATA, ((int(words.split()[1]) + 500) * 1024, old[1]))
    try:
        for path, size in (("/generate", 900000), ("/webhooks/replicate", 7900000)):
            e2e.check_problem(rig.http("POST", path, user="ann", body=b" " * size, headers=JSON), 503, "out_of_memory")
        equal(rig.http("GET", "/healthz").status, 200, "status meanwhile")
    finally:
        resource.prlimit(rig.gengate.pid, resource.RLIMIT_DATA, old)


# -- Over the operator's limits

def with_limits(status, code, **words):
    rig.in_a_hurry(**{"#limit_req zone": "limit_req zone", "#limit_conn gengate": "limit_conn gengate", **words})
    rig.nginx.restart()
    try:
        # Five at once are let pass, whatever becomes of them.
        call = Call("POST", "/generate", body=b"{}", headers={"Content-Type": "text/plain"})
        answers = [call() for _ in range(8)]
        check(answers[0].status == 415, f"the first is refused: {answers[0]}")
        refused = [answer for answer in answers if answer.status != 415]
        check(refused, "none was refused")
        for answer in refused:
            is_problem(call, answer, status, code)
            check(answer.header("Retry-After"), "no Retry-After")
        held = [rig.http("GET", f"/status/{running['id']}", user="bob", stream=True,
                         headers={"Accept": "text/event-stream"}) for _ in range(20)]
        for method in ("GET", "HEAD"):
            call = Call(method, f"/status/{running['id']}", user="bob")
            is_problem(call, call(), status, code)
        for answer in held:
            answer.close()
    finally:
        rig.in_a_hurry()
        rig.nginx.restart()


@test
def too_many_requests():
    with_limits(429, "too_many_requests", **{"#limit_req_status": "limit_req_status",
                                             "#limit_conn_status": "limit_conn_status"})


@test
def limits_without_a_status():
    with_limits(503, "overloaded")


# -- gengate is away

def all_calls():
    return [*calls_for_users(), webhook(), *calls_for_monitoring()]


def jobs():
    return rig.sql_value("SELECT count(*) FROM generation_jobs")


@test
def gengate_is_silent():
    calls = all_calls()
    answers = {}
    before = jobs()

    def ask(call):
        answers[call] = call()
    rig.gengate.pause()
    try:
        asking = [threading.Thread(target=ask, args=(call,)) for call in calls]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join(30)
    finally:
        rig.gengate.kill()
    equal(len(answers), len(calls), "answers")
    for call, answer in answers.items():
        is_problem(call, answer, 504, "gateway_timeout")
    equal(jobs(), before, "jobs")


@test
def gengate_is_not_there():
    for call in all_calls():
        answer = call()
        is_problem(call, answer, 502, "gateway_unreachable")
        check(answer.header("Retry-After"), "no Retry-After")
    rig.gengate.start()
    rig.wait_ready()


@test
def the_job_that_runs_still_runs():
    equal(rig.state(running), "running", "state")


@test
def logs_are_clean():
    e2e.check_logs(rig, r"client intended to send too large body", r"limiting (requests|connections)", r"access forbidden",
                   r"upstream timed out", r"body/\d+\" failed", r"connect\(\) to unix:.*/g0\.sock failed",
                   r"no live upstreams", r"prematurely closed connection.*/g0\.sock",
                   r"recv\(\) failed.*/g0\.sock")


e2e.main(setup, lambda: rig and rig.stop())
