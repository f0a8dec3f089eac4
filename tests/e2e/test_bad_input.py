"""What is refused, how that reads, and that it moves nothing."""

import http.client
import json
import os
import sys
import time
import urllib.parse
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, test

rig = None
# A job of ann's that runs for as long as the tests do.
running = None
OTHER_SECRET = "whsec_" + "Tm90IHRoZSBzZWNyZXQgb2YgdGhlIHByb3ZpZGVy"


def setup():
    global rig, running
    # No polls in between: what is compared holds still.
    rig = e2e.Rig(config={"poll_interval": "60s"}).start()
    rig.set_sim(webhook_retries=0)
    rig.faults(webhook_lost={"count": -1, "match": "[endless]"})
    running = rig.submit("[endless] running", user="ann")
    rig.wait_state(running, "running")


def raw(body, content_type="application/json", user="bob", **headers):
    if not isinstance(body, bytes):
        body = body.encode()
    sent = {**({"Content-Type": content_type} if content_type else {}), **headers}
    return rig.http("POST", "/generate", body=body, user=user, headers=sent)


def jobs_of_bob():
    return rig.sql("SELECT id FROM generation_jobs j WHERE j.request->>'prompt' LIKE 'bad%'")


# -- POST /generate

@test
def what_is_no_json():
    for body in ("", "{", "not json", '{"prompt": "bad"} x', '["bad"]', '"bad"', "null", '{"prompt": "bad", "prompt": "bad"}',
                 b'{"prompt": "bad \xff\xfe"}', b"\x00", '{"prompt": "bad", "a\\u0000b": 1}', "[" * 5000):
        problem = e2e.check_problem(raw(body), 400, "bad_request")
        check(problem["detail"], "no detail")
    equal(jobs_of_bob(), [], "jobs")


@test
def each_mistake_has_a_pointer():
    ok = {"prompt": "bad"}
    for body, pointers in (
            ({}, ["/prompt"]),
            ({"prompt": ""}, ["/prompt"]),
            ({"prompt": " \n\t"}, ["/prompt"]),
            ({"prompt": "bad" * 33334}, ["/prompt"]),
            ({"prompt": "bad \u0000"}, ["/prompt"]),
            ({"prompt": 5}, ["/prompt"]),
            ({"prompt": None}, ["/prompt"]),
            ({**ok, "model": "no-such-model"}, ["/model"]),
            ({**ok, "model": ["painter"]}, ["/model"]),
            ({**ok, "count": 0}, ["/count"]),
            ({**ok, "count": 5}, ["/count"]),
            ({**ok, "count": "2"}, ["/count"]),
            ({**ok, "count": 1.5}, ["/count"]),
            ({**ok, "seed": -1}, ["/seed"]),
            ({**ok, "seed": 1 << 32}, ["/seed"]),
            ({**ok, "width": 64}, ["/width"]),
            ({**ok, "width": 64, "height": 1 << 20}, ["/height"]),
            ({**ok, "aspect_ratio": "wide"}, ["/aspect_ratio"]),
            ({**ok, "format": "exe"}, ["/format"]),
            ({**ok, "inputs": "https://example.com/a.png"}, ["/inputs"]),
            ({**ok, "params": []}, ["/params"]),
            ({**ok, "metadata": "text"}, ["/metadata"]),
            ({**ok, "metadata": {"a": "\u0000"}}, ["/metadata"]),
            ({**ok, "surprise": 1}, ["/surprise"]),
            ({**ok, "a/b~c": 1}, ["/a~1b~0c"]),
            ({"model": "no-such-model", "count": 0, "surprise": 1}, ["/count", "/model", "/prompt", "/surprise"])):
        answer = rig.http("POST", "/generate", json=body, user="bob")
        problem = e2e.check_problem(answer, 400, "invalid_request")
        equal(sorted({error["pointer"] for error in problem["errors"]}), pointers, f"pointers for {str(body)[:80]}")
        check(all(error["detail"] for error in problem["errors"]), "no detail")
    equal(jobs_of_bob(), [], "jobs")


@test
def a_number_that_nobody_can_hold():
    problem = e2e.check_problem(raw('{"prompt": "bad", "seed": ' + "9" * 400 + "}"), 400, "bad_request")
    check(problem["detail"], "no detail")


@test
def bodies_that_are_too_large():
    # gengate's own limit lies a little below nginx's.
    for size in (1000 * 1000 + 1, 1 << 20, (1 << 20) + 1, 3 << 20):
        e2e.check_problem(raw(b" " * size), 413, "body_too_large")
    equal(rig.http("GET", "/healthz").status, 200, "status afterwards")
    equal(jobs_of_bob(), [], "jobs")


@test
def only_json_is_taken():
    for kind in (None, "text/plain", "application/jsonp", "application/x-www-form-urlencoded", "json", ""):
        e2e.check_problem(raw('{"prompt": "bad"}', content_type=kind), 415, "unsupported_media_type")
    # But this is JSON, and refused for its content.
    for kind in ("application/json; charset=utf-8", "Application/JSON"):
        e2e.check_problem(raw("{}", content_type=kind), 400, "invalid_request")


@test
def keys_that_are_none():
    for key in ("", "two words", "k" * 256, "schl\u00fcssel".encode().decode("latin-1"), "tab\there"):
        e2e.check_problem(raw('{"prompt": "bad"}', **{"Idempotency-Key": key}), 400, "bad_request")
    equal(jobs_of_bob(), [], "jobs")


@test
def one_in_flight():
    problem = e2e.check_problem(rig.post("another", user="ann"), 409, "generation_in_flight")
    job = problem["job"]
    equal(job["id"], running["id"], "the job in the way")
    equal(job["links"]["self"], f"/status/{running['id']}", "its link")
    check(job["status"] in ("starting", "processing") and job["created_at"] == running["created_at"], f"job: {job}")
    check(0 <= job["age_seconds"] < 300, f"its age: {job}")


@test
def the_same_key_again():
    key = {"Idempotency-Key": "k" * 255}
    first = rig.submit("keyed", user="kim", headers=key, metadata={"n": 1})
    for _ in range(2):
        # While it runs and when it has ended; members in another order are the same request.
        again = raw('{ "metadata": {"n":1}, "prompt":"keyed" }', user="kim", **key)
        equal((again.status, again.header("Idempotency-Replayed")), (200, "true"), "replay")
        equal((again.json["id"], again.header("Location")), (first["id"], f"/status/{first['id']}"), "job")
        for other in ({"prompt": "keyed"}, {"prompt": "keyed", "metadata": {"n": 2}}, {"prompt": "other"}):
            problem = e2e.check_problem(rig.http("POST", "/generate", json=other, user="kim", headers=key),
                                        422, "idempotency_key_reused")
            equal(problem["job"]["id"], first["id"], "job")
        rig.succeeds(first)
    equal(again.json["status"], "succeeded" if again.json["completed_at"] else "processing", "status")
    rig.one_prediction(first)
    # Another user's key is another key.
    other = rig.submit("keyed", user="lea", headers=key, metadata={"n": 1})
    check(other["id"] != first["id"], "one job for two users")
    rig.succeeds(other)


# -- Routes

@test
def methods_that_are_not_taken():
    routes = {"/generate": "POST", f"/status/{running['id']}": "GET, HEAD", "/webhooks/replicate": "POST",
              "/healthz": "GET, HEAD", "/readyz": "GET, HEAD"}
    for path, allow in routes.items():
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            if method in allow.split(", "):
                continue
            answer = rig.http(method, path, user="ann")
            equal((answer.status, answer.header("Allow")), (405, allow), f"{method} {path}")
            if method != "HEAD":
                e2e.check_problem(answer, 405, "method_not_allowed")
    # With a body that nobody reads, and another request on the same connection.
    e2e.check_problem(rig.http("PUT", "/generate", body=b"x" * 500000, user="ann"), 405, "method_not_allowed")
    equal(rig.http("GET", f"/status/{running['id']}", user="ann").status, 200, "status afterwards")


@test
def what_is_not_there():
    ids = [str(uuid.uuid4()), "0", "x" * 1000, running["id"][:-1], running["id"] + "0", "%00", "' OR 1=1 --",
           "{" + running["id"] + "}", running["id"].replace("-", "")]
    paths = ["/status/" + urllib.parse.quote(i, safe="%'") for i in ids]
    paths += ["/status/", f"/status/{running['id']}/more", "/generate/", "/generate/x/y"]
    for path in paths:
        answer = rig.http("GET", path, user="ann")
        if answer.status != 400:    # nginx refuses %00 by itself
            e2e.check_problem(answer, 404, "not_found")
    e2e.check_problem(rig.http("GET", f"/status/{running['id']}", user="bob"), 404, "not_found")


# -- Webhooks

def nothing_moves(send):
    """Each case of send() answers as it says, and the job stands as it stood."""
    before = rig.rows(running)
    for what, answer, status, code in send():
        try:
            e2e.check_problem(answer, status, code)
        except AssertionError as e:
            raise AssertionError(f"{what}: {e}") from None
        equal(rig.rows(running), before, "the job after " + what)


@test
def webhooks_that_are_not_the_providers():
    path = rig.webhook_path(running)
    body = json.dumps({"id": rig.one_prediction(running)["id"], "status": "failed", "error": "forged"}).encode()

    def send():
        now = int(time.time())
        refused = 401, "invalid_signature"
        good = rig.signed(body)
        yield "no signature", rig.http("POST", path, body=body, headers={"Content-Type": "application/json"}), *refused
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
            some = {k: v for k, v in good.items() if k != name}
            yield "no " + name, rig.http("POST", path, body=body, headers=some), *refused
            yield "an empty " + name, rig.http("POST", path, body=body, headers={**good, name: ""}), *refused
        yield "an old one", rig.webhook(path, body, at=now - 400), *refused
        yield "one of tomorrow", rig.webhook(path, body, at=now + 400), *refused
        yield "no time", rig.webhook(path, body, at="soon"), *refused
        yield "a time with more", rig.webhook(path, body, at=f"{now}.0"), *refused
        yield "another secret", rig.webhook(path, body, secret=OTHER_SECRET), *refused
        for changed in (body.replace(b"failed", b"succeed"), body + b" ", body[:-1], b""):
            yield "other bytes", rig.http("POST", path, body=changed, headers=good), *refused
        for name, value in (("webhook-id", "msg_other"), ("webhook-timestamp", str(now - 1)),
                            ("webhook-signature", good["webhook-signature"][:-2]),
                            ("webhook-signature", good["webhook-signature"].replace("v1,", "v2,")),
                            ("webhook-signature", good["webhook-signature"][3:]),
                            ("webhook-signature", "v1,"), ("webhook-id", "m" * 3000)):
            yield "another " + name, rig.http("POST", path, body=body, headers={**good, name: value}), *refused
    nothing_moves(send)


@test
def webhooks_for_nobody():
    path = rig.webhook_path(running)
    token = path.partition("job=")[2]
    body = {"id": rig.one_prediction(running)["id"], "status": "failed", "error": "misled"}

    def send():
        base = "/webhooks/replicate"
        for what, url in (("no token", base), ("an empty token", base + "?job="),
                          ("a token of another name", f"{base}?token={token}"),
                          ("two tokens", f"{path}&job={token}"),
                          ("a cut token", path[:-4]), ("a longer token", path + "AAAA"),
                          ("a changed token", path[:-6] + ("A" if path[-6] != "A" else "B") + path[-5:]),
                          ("any token", base + "?job=" + "A" * len(token)),
                          ("a broken escape", path + "%"), ("a NUL", path + "%00")):
            yield what, rig.webhook(url, body), 404, "not_found"
        yield "an unknown provider", rig.webhook(path.replace("replicate", "replica"), body), 404, "not_found"
        yield "no provider", rig.webhook(path.replace("replicate", ""), body), 404, "not_found"
    nothing_moves(send)


@test
def webhooks_that_say_nothing():
    path = rig.webhook_path(running)
    made = rig.one_prediction(running)["id"]

    def send():
        for body in (b"", b"{", b"[]", b"null", b"\xff", b'"text"', b"{}", json.dumps({"id": made}).encode(),
                     b'{"status": "failed"}', json.dumps({"id": made, "status": 5}).encode(),
                     json.dumps({"id": "", "status": "failed"}).encode(),
                     json.dumps({"id": made, "status": "failed"}).encode()[:-1]):
            yield repr(body), rig.webhook(path, body), 400, "bad_request"
    nothing_moves(send)


@test
def webhooks_that_are_too_large():
    def send():
        path = rig.webhook_path(running)
        for size in (8 * 1000 * 1000 + 1, 9 << 20):
            yield f"{size} bytes", rig.webhook(path, b" " * size), 413, "body_too_large"
    nothing_moves(send)


@test
def a_webhook_of_another_prediction():
    before = rig.rows(running, trail=False)
    for status in ("succeeded", "failed", "canceled", "processing"):
        answer = rig.webhook(rig.webhook_path(running), {"id": "another", "status": status, "error": "x",
                                                         "output": [rig.url + "/x.png"]}, delivery="msg_" + status)
        equal(answer.status, 200, "status")
    equal(rig.rows(running, trail=False), before, "the job")


@test
def the_job_still_ends_by_its_own_webhook():
    made = rig.one_prediction(running)["id"]
    equal(rig.state(running), "running", "state")
    # An unknown status is news of no kind; the true one counts.
    equal(rig.webhook(rig.webhook_path(running), {"id": made, "status": "dreaming"}, delivery="msg_1").status, 200,
          "status")
    check(rig.status(running) in ("starting", "processing"), "an end by an unknown status")
    answer = rig.webhook(rig.webhook_path(running), {"id": made, "status": "failed", "error": "the true end"},
                         delivery="msg_2")
    equal(answer.status, 200, "status")
    rig.fails(running, "provider_failed")


# -- What is sent raw

def exchange(*requests):
    """The statuses of these on one connection."""
    connection = http.client.HTTPConnection(e2e.stacks.HOST, rig.port, timeout=10)
    found = []
    for method, path, body in requests:
        connection.request(method, path, body=body, headers={"X-Test-User": "ann"})
        answer = connection.getresponse()
        answer.read()
        found.append(answer.status)
    connection.close()
    return found


@test
def a_refused_body_does_not_become_the_next_request():
    big = b'{"prompt": "bad"}' * 20000
    equal(exchange(("PUT", "/generate", big), ("GET", "/healthz", None), ("POST", "/healthz", b"x" * 100),
                   ("GET", f"/status/{uuid.uuid4()}", None), ("POST", "/webhooks/nobody", big),
                   ("GET", "/readyz", None)), [405, 200, 405, 404, 404, 200], "statuses")


@test
def logs_are_clean():
    e2e.check_logs(rig, r"client intended to send too large body")


e2e.main(setup, lambda: rig and rig.stop())
