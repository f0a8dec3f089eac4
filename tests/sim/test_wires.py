#!/usr/bin/env python3
"""The wires of the simulator besides Replicate's: does each speak as its vendor
does, and does every switch do what it says there?  Prints TAP."""

import base64
import hashlib
import hmac
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse

import test_sim
from test_sim import SRC, dropped, eq, png_size, took, within

EXAMPLES = os.path.join(SRC, "../shared/contracts/examples")
HUGE_SEED = 17454220438242315174


def example(name):
    with open(os.path.join(EXAMPLES, name), encoding="utf-8") as f:
        return json.load(f)


def shape(value):
    """The members and the types of a body; of a list those of its first item."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return "number" if type(value) in (int, float) else type(value).__name__


def has_shape(got, want, where="body", free=()):
    """All of the example's members are in the body, with the same types."""
    if isinstance(want, dict):
        assert isinstance(got, dict), (where, got)
        for name, member in want.items():
            if name not in free:
                assert name in got, "%s has no %s: %r" % (where, name, got)
                has_shape(got[name], member, where + "." + name, free)
    elif isinstance(want, list) and want:
        assert isinstance(got, list) and got, (where, got)
        has_shape(got[0], want[0], where + "[0]", free)
    else:
        eq((where, shape(got)), (where, shape(want)))


def made(s, id, index=0):
    """What the prediction's output is, whatever the wire does with it."""
    a = s.call("GET", "/sim/outputs/%s/%d" % (id, index))
    eq(a.status, 200)
    return a.body


# ---- What is the same for all: each wire is a few calls. ----

class Fal:
    name = "fal"
    auth = {"Authorization": "Key sim-fal-key"}
    errors = {"create_401": 401, "create_402": 403, "create_422": 422, "create_500_before": 500, "create_429": 429}

    def create(self, s, prompt="a fish", headers=None, auth=None, endpoint="fal-ai/flux/dev", webhook=None, **input):
        query = "?" + urllib.parse.urlencode({"fal_webhook": webhook}) if webhook else ""
        return s.call("POST", "/fal/" + endpoint + query, {"prompt": prompt, **input},
            {**(self.auth if auth is None else auth), **(headers or {})})

    def id(self, answer):
        return answer.json()["request_id"]

    def read(self, s, id):
        return s.call("GET", "/fal/fal-ai/flux/requests/%s/status" % id, headers=self.auth)

    def result(self, s, id):
        return s.call("GET", "/fal/fal-ai/flux/requests/" + id, headers=self.auth)

    def cancel(self, s, id):
        return s.call("PUT", "/fal/fal-ai/flux/requests/%s/cancel" % id, headers=self.auth)

    def ended(self, s, id):
        within(10, lambda: self.read(s, id).json()["status"] == "COMPLETED")
        return self.read(s, id).json()

    def run(self, s, prompt="a fish", **what):
        id = self.id(self.create(s, prompt, **what))
        return id, self.ended(s, id)


def created(s, wire):
    return s.state()["created_by_wire"][wire.name]


def check_auth(s, w):
    """A wrong key and none: the vendor's 401, and nothing is created."""
    for auth in ({}, {name: value + "x" for name, value in w.auth.items()}):
        a = w.create(s, auth=auth)
        eq(a.status, 401)
    state = s.state()
    eq((state["unauthorized"], state["created_by_wire"][w.name]), (2, 0))
    return a


def check_create_faults(s, w):
    """Before and after the creation: how many there are, and whose."""
    key = {"Idempotency-Key": "0190f0c0-0000-7000-8000-000000000001"}
    for fault, status in w.errors.items():
        s.faults(**{fault: {"retry_after": 7}})
        a = w.create(s, headers=key)
        eq((fault, a.status), (fault, status))
        assert a.headers["Content-Type"] == "application/json" and isinstance(a.json(), dict)
        if fault == "create_429":
            eq(a.headers["Retry-After"], "7")
    s.faults(create_drop_before=1)
    dropped(lambda: w.create(s, headers=key))
    s.faults(create_hang={"delay_ms": 300})
    _, seconds = took(lambda: dropped(lambda: w.create(s, headers=key)))
    assert seconds >= 0.3, seconds
    eq(created(s, w), 0)
    s.faults(create_500_after=1)
    eq(w.create(s, headers=key).status, 500)
    for fault in ("create_drop_after", "create_cut", "api_cut", "api_reset"):
        s.faults(**{fault: 1})
        dropped(lambda: w.create(s, headers=key))
    s.faults(create_late={"delay_ms": 300})
    a, seconds = took(lambda: w.create(s, headers=key))
    assert a.status < 300 and seconds >= 0.3, (a.status, seconds)
    s.faults(api_html=1)
    a = w.create(s, headers=key)
    eq((a.status, a.headers["Content-Type"]), (200, "text/html"))
    s.faults(create_500_before={"match": "a horse"})
    eq([w.create(s, headers=key).status < 300, w.create(s, "a horse", headers=key).status], [True, 500])
    state = s.state()
    eq((state["created_by_wire"][w.name], state["predictions_created"]), (8, 8))
    eq({(p["wire"], p["idempotency_key"]) for p in state["predictions"]}, {(w.name, key["Idempotency-Key"])})
    eq(len(s.state()["predictions"]), 8)


def check_read_faults(s, w):
    id = w.id(w.create(s, "x [endless]"))
    s.faults(get_429={"retry_after": 5}, get_500=1, get_404=1)
    answers = [w.read(s, id) for _ in range(4)]
    eq([a.status for a in answers[:3]], [429, 500, 404])
    assert answers[3].status < 300 and answers[0].headers["Retry-After"] == "5"
    s.faults(api_html=1)
    eq(w.read(s, id).headers["Content-Type"], "text/html")
    s.faults(api_cut=1)
    dropped(lambda: w.read(s, id))
    eq(w.read(s, "00000000-0000-4000-8000-000000000000").status, 404)
    eq(s.state()["reads"], 7)
    return id


def check_cancel_faults(s, w, id):
    s.faults(cancel_429={"retry_after": 5}, cancel_500=1)
    eq([w.cancel(s, id).status for _ in range(2)], [429, 500])
    eq(s.state()["canceled"], 0)
    s.faults(cancel_drop_after=1)
    dropped(lambda: w.cancel(s, id))
    eq(s.state()["canceled"], 1)


# ---- fal ----

FAL = Fal()


def fal_signature_is_good(hook, keys):
    """By openssl(1), over what the vendor's page says: against every key."""
    h = hook["headers"]
    text = "\n".join([h["x-fal-webhook-request-id"], h["x-fal-webhook-user-id"], h["x-fal-webhook-timestamp"],
        hashlib.sha256(hook["body"]).hexdigest()])
    with tempfile.TemporaryDirectory(prefix="gengate-sim-") as folder:
        def path(name, data):
            with open(os.path.join(folder, name), "wb") as f:
                f.write(data)
            return f.name
        message, signature = path("text", text.encode()), path("sig", bytes.fromhex(h["x-fal-webhook-signature"]))
        for key in keys["keys"]:
            eq((key["kty"], key["crv"]), ("OKP", "Ed25519"))
            raw = base64.urlsafe_b64decode(key["x"] + "=" * (-len(key["x"]) % 4))
            der = path("key", bytes.fromhex("302a300506032b6570032100") + raw)
            done = subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", der, "-rawin",
                "-in", message, "-sigfile", signature], capture_output=True, check=False, timeout=20)
            if done.returncode == 0:
                return True
    return False


def fal_keys(s):
    a = s.call("GET", "/fal/.well-known/jwks.json")
    eq(a.status, 200)
    return a.json()


def t_fal(s):
    hook = s.receiver.url("/hook?job=a%2Fb&x=1")
    a = FAL.create(s, "a red boat", webhook=hook, image_size={"width": 320, "height": 200}, num_images=2,
        headers={"Idempotency-Key": "job-1", "X-Fal-No-Retry": "1"})
    eq(a.status, 200)
    id, base = FAL.id(a), s.base + "/fal/fal-ai/flux/requests/"
    assert re.fullmatch("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", id), id
    eq(a.json(), {"request_id": id, "gateway_request_id": id, "status": "IN_QUEUE", "queue_position": 0,
        "response_url": base + id, "status_url": base + id + "/status", "cancel_url": base + id + "/cancel"})
    eq(FAL.ended(s, id)["status"], "COMPLETED")
    got = s.receiver.wait(1)
    eq((got[0]["path"], len(got)), ("/hook?job=a%2Fb&x=1", 1))
    assert fal_signature_is_good(got[0], fal_keys(s))
    assert b'"seed": %d' % HUGE_SEED in got[0]["body"] and got[0]["body"].startswith(b'{"error": null, "gateway')
    told = json.loads(got[0]["body"])
    result = FAL.result(s, id)
    eq((told["status"], told["payload"]), ("OK", result.json()))
    assert b'"seed": %d' % HUGE_SEED in result.body
    eq(len(told["payload"]["images"]), 2)
    for i, image in enumerate(told["payload"]["images"]):
        a = s.call("GET", image["url"])
        eq((a.status, a.headers["Content-Type"], png_size(a.body)), (200, "image/png", (320, 200)))
        eq(a.body, made(s, id, i))
    p = s.state()["predictions"][0]
    eq((p["wire"], p["model"], p["webhook"], p["idempotency_key"]), ("fal", "fal-ai/flux/dev", hook, "job-1"))
    eq(p["headers"]["x-fal-no-retry"], "1")
    eq(FAL.run(s, seed=7)[1]["status"], "COMPLETED")
    eq(s.call("GET", "/replicate/v1/predictions", headers=test_sim.AUTH).json()["results"], [])


def t_fal_states(s):
    s.settings(starting_ms=200, processing_ms=200)
    id = FAL.id(FAL.create(s))
    seen = []
    def ended():
        a = FAL.read(s, id)
        seen.append((a.json()["status"], a.status))
        return a.json()["status"] == "COMPLETED"
    early = FAL.result(s, id)
    eq((early.status, early.json()), (400, {"detail": "Request is still in progress"}))
    within(10, ended)
    eq(sorted(set(seen), key=seen.index), [("IN_QUEUE", 202), ("IN_PROGRESS", 202), ("COMPLETED", 200)])
    odd = FAL.id(FAL.create(s, "x [odd]"))
    within(5, lambda: FAL.read(s, odd).json()["status"] == "DREAMING")
    eq(FAL.ended(s, odd)["status"], "COMPLETED")
    url = "/fal/fal-ai/flux/requests/%s/status" % id
    eq(isinstance(s.call("GET", url + "?logs=1", headers=FAL.auth).json()["logs"], list), True)
    # The subpath is of the submit alone, and a request is of one app.
    for path in ("fal-ai/flux/dev", "fal-ai/other"):
        eq(s.call("GET", "/fal/%s/requests/%s" % (path, id), headers=FAL.auth).status, 404)
    a = FAL.create(s, endpoint="workflows/ann/mine")
    eq(a.json()["status_url"], s.base + "/fal/workflows/ann/mine/requests/%s/status" % FAL.id(a))
    eq(s.call("GET", a.json()["status_url"], headers=FAL.auth).json()["status"], "IN_QUEUE")


def t_fal_failures(s):
    def run(prompt, hook="/x", **what):
        id, status = FAL.run(s, prompt, webhook=s.receiver.url(hook), **what)
        told = json.loads(s.receiver.wait(1, hook)[0]["body"])
        return status, FAL.result(s, id), told
    status, result, told = run("x [fail]", "/fail")
    eq((status.get("error"), result.status), (None, 422))
    eq((told["status"], told["error"], told["payload"]), ("ERROR", "Invalid status code: 422", result.json()))
    eq(result.json()["detail"][0]["loc"], ["body", "prompt"])
    status, result, told = run("", "/none")
    eq((result.status, result.json()["detail"][0]["type"]), (422, "value_error.missing"))
    eq(run("x [nsfw]", "/nsfw")[1].json()["detail"][0]["type"], "content_policy_violation")
    status, result, told = run("x [runner]", "/runner")
    eq((status["error"], status["error_type"]), ("Runner disconnected", "runner_disconnected"))
    eq((result.status, result.json()["error_type"], result.headers["X-Fal-Retryable"]),
        (503, "runner_disconnected", "true"))
    eq(told["status"], "ERROR")
    status, result, told = run("x [stuck]", "/late", headers={"X-Fal-Request-Timeout": "1.2"})
    eq((status["error_type"], result.status, result.headers["X-Fal-Request-Timeout-Type"]),
        ("request_timeout", 504, "user"))
    eq(FAL.create(s, headers={"X-Fal-Request-Timeout": "1"}).status, 422)
    s.settings(processing_ms=1500)
    eq("error" in FAL.run(s, headers={"X-Fal-Request-Timeout": "1.2"})[1], False)
    s.settings(processing_ms=40)
    eq(run("x [black]", "/black")[1].json()["has_nsfw_concepts"], [True])
    eq(run("x [empty]", "/empty")[1].json()["images"], [])
    eq(run("x [null]", "/null")[1].json()["images"], None)
    assert run("x [video]", "/video")[1].json()["video"]["url"].endswith("/out-0.mp4")
    assert run("x [string]", "/string")[1].json()["image"]["url"].endswith("/out-0.png")
    assert run("x [data]", "/data")[1].json()["images"][0]["url"].startswith("data:image/png;base64,")
    assert run("x [foreign]", "/foreign")[1].json()["images"][0]["url"].startswith("https://192.0.2.1/")


def t_fal_refusals(s):
    eq(check_auth(s, FAL).json(), {"detail": "Authentication is required to access this application"})
    eq(s.call("POST", "/fal/fal-ai/flux", "[1]", FAL.auth).status, 422)
    eq(FAL.create(s, webhook="ftp://x").status, 422)
    eq(FAL.create(s, endpoint="fal-ai/missing").json(), {"detail": "Application not found"})
    eq(s.call("GET", "/fal/fal-ai", headers=FAL.auth).json(), {"detail": "Not Found"})
    eq(s.state()["created_by_wire"]["fal"], 0)


def t_fal_cancel(s):
    s.settings(starting_ms=400)
    id = FAL.id(FAL.create(s, webhook=s.receiver.url("/gone")))
    a = FAL.cancel(s, id)
    eq((a.status, a.json()), (200, {"status": "OK"}))
    eq((FAL.read(s, id).status, FAL.cancel(s, id).json()), (404, {"status": "NOT_FOUND"}))
    s.settings(starting_ms=10)
    id = FAL.id(FAL.create(s, "x [endless]", webhook=s.receiver.url("/gone")))
    within(5, lambda: FAL.read(s, id).json()["status"] == "IN_PROGRESS")
    s.faults(cancel_ignored=1)
    a = FAL.cancel(s, id)
    eq((a.status, a.json(), FAL.read(s, id).json()["status"]), (202, {"status": "CANCELLATION_REQUESTED"}, "IN_PROGRESS"))
    eq((FAL.cancel(s, id).status, FAL.read(s, id).json()["error_type"]), (202, "request_cancelled"))
    a = FAL.cancel(s, id)
    eq((a.status, a.json()), (400, {"status": "ALREADY_COMPLETED"}))
    s.settings(fal_cancel_webhook=1)
    id = FAL.id(FAL.create(s, "x [endless]", webhook=s.receiver.url("/told")))
    within(5, lambda: FAL.read(s, id).json()["status"] == "IN_PROGRESS")
    FAL.cancel(s, id)
    eq(json.loads(s.receiver.wait(1, "/told")[0]["body"])["status"], "ERROR")
    eq(s.receiver.wait(0, "/gone"), [])


def t_fal_faults(s):
    check_create_faults(s, FAL)
    s.reset()
    check_cancel_faults(s, FAL, check_read_faults(s, FAL))
    s.faults(create_bare=1)
    eq(sorted(FAL.create(s).json()), ["gateway_request_id", "request_id"])
    s.faults(links_foreign=1)
    assert FAL.create(s).json()["status_url"].startswith("https://192.0.2.1/fal/")


def t_fal_webhooks(s):
    keys = fal_keys(s)
    def hook(path, n=1):
        FAL.create(s, webhook=s.receiver.url(path))
        return s.receiver.wait(n, path)
    s.faults(webhook_lost={"match": "/lost"}, webhook_bad_signature={"match": "/bad"}, webhook_twice={"match": "/twice"},
        webhook_stale={"match": "/stale"}, webhook_no_payload={"match": "/none"})
    FAL.create(s, webhook=s.receiver.url("/lost"))
    eq(fal_signature_is_good(hook("/bad")[0], keys), False)
    eq(len(hook("/twice", 2)), 2)
    old = hook("/stale")[0]
    assert fal_signature_is_good(old, keys) and int(old["headers"]["x-fal-webhook-timestamp"]) < time.time() - 500
    told = json.loads(hook("/none")[0]["body"])
    eq((told["status"], told["payload"], "payload_error" in told), ("OK", None, True))
    s.settings(fal_webhook_key=2)
    new = hook("/rotated")[0]
    eq((fal_signature_is_good(new, keys), fal_signature_is_good(new, fal_keys(s))), (False, True))
    s.receiver.answers[:] = [500] * 3
    got = hook("/again", 4)
    eq((len(got), len({h["body"] for h in got})), (4, 1))
    s.settings(fal_webhook_retries=1)
    s.receiver.answers[:] = [503] * 2
    eq(len(hook("/given-up", 2)), 2)
    within(10, lambda: s.state()["webhooks_given_up"] == 1)
    s.faults(webhook_before_answer=1)
    FAL.create(s, webhook=s.receiver.url("/first"))
    eq(len(s.receiver.wait(0, "/first")), 1)
    eq((s.receiver.wait(0, "/lost"), s.state()["webhooks_lost"], s.state()["webhooks_given_up"]), ([], 1, 1))
    s.faults(jwks_500=1, jwks_html=1)
    a, b = (s.call("GET", "/fal/.well-known/jwks.json") for _ in range(2))
    eq((a.status, b.headers["Content-Type"], s.state()["fal_jwks_reads"]), (500, "text/html", 4))


def t_fal_contract(s):
    vector = example("fal-webhook-ed25519-vector.json")
    hook = {"headers": {k.lower(): v for k, v in vector["headers"].items()}, "body": vector["body_raw"].encode()}
    eq(fal_signature_is_good(hook, vector["jwks"]), True)
    has_shape(FAL.create(s).json(), example("fal-submit-200.json")["response"]["body"])
    s.settings(starting_ms=300)
    has_shape(FAL.read(s, FAL.id(FAL.create(s))).json(), example("fal-queue-in-queue.json"))
    s.settings(starting_ms=20)
    FAL.run(s, webhook=s.receiver.url("/ok"))
    told = json.loads(s.receiver.wait(1, "/ok")[0]["body"])
    has_shape(told, example("fal-webhook-ok.json"))
    has_shape(told, example("fal-webhook-ok-docs.json"), free=("file_size",))
    FAL.run(s, "", webhook=s.receiver.url("/error"))
    has_shape(json.loads(s.receiver.wait(1, "/error")[0]["body"]), example("fal-webhook-error-422.json"))
    has_shape(FAL.run(s, "x [runner]")[1], example("fal-queue-completed-with-error.json"), free=("logs",))
    id, _ = FAL.run(s, "x [stuck]", headers={"X-Fal-Request-Timeout": "1.1"})
    eq(FAL.result(s, id).json(), example("fal-error-request-timeout.json"))


# ---- OpenAI ----

class OpenAi:
    name = "openai"
    auth = {"Authorization": "Bearer sim-openai-key"}
    errors = {"create_401": 401, "create_402": 429, "create_422": 400, "create_500_before": 500, "create_429": 429}

    def create(self, s, prompt="a fish", headers=None, auth=None, path="generations", **members):
        return s.call("POST", "/openai/v1/images/" + path, {"model": "gpt-image-1", "prompt": prompt, **members},
            {**(self.auth if auth is None else auth), **(headers or {})})


OPENAI = OpenAi()


def form(fields, files, boundary="b0undary"):
    """A multipart body and its header."""
    parts = [b"--%s\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n" % (
        boundary.encode(), name.encode(), str(value).encode()) for name, value in fields]
    parts += [b"--%s\r\nContent-Disposition: form-data; name=\"%s\"; filename=\"x.png\"\r\n"
        b"Content-Type: image/png\r\n\r\n%s\r\n" % (boundary.encode(), name.encode(), data) for name, data in files]
    return (b"".join(parts) + b"--%s--\r\n" % boundary.encode(),
        {"Content-Type": "multipart/form-data; boundary=" + boundary})


def refused(a, param, code, status=400):
    error = a.json()["error"]
    eq(sorted(error), ["code", "message", "param", "type"])
    eq((a.status, error["param"], error["code"], error["type"]), (status, param, code, "invalid_request_error"))


def t_openai(s):
    s.settings(processing_ms=300)
    a, seconds = took(lambda: OPENAI.create(s, "a red boat", size="1024x1536", n=2, headers={"Idempotency-Key": "job-1"}))
    eq(a.status, 200)
    assert seconds >= 0.3, seconds
    p = s.state()["predictions"][0]
    eq((p["wire"], p["form"], p["idempotency_key"], p["status"], p["n_outputs"]),
        ("openai", "generations", "job-1", "succeeded", 2))
    eq((a.json()["size"], a.json()["output_format"], len(a.json()["data"])), ("1024x1536", "png", 2))
    for i, item in enumerate(a.json()["data"]):
        data = base64.b64decode(item["b64_json"], validate=True)
        eq((sorted(item), png_size(data)), (["b64_json"], (1024, 1536)))
        eq(data, made(s, p["id"], i))
    s.settings(processing_ms=20, max_side=64)
    item = OPENAI.create(s, model="dall-e-3").json()["data"][0]
    assert item["revised_prompt"] and item["url"].startswith(s.base + "/openai/files/"), item
    png_size(s.call("GET", item["url"]).body)
    item = OPENAI.create(s, model="dall-e-2", size="256x256", response_format="b64_json").json()["data"][0]
    png_size(base64.b64decode(item["b64_json"]))
    png_size(base64.b64decode(OPENAI.create(s, model="gpt-image-2", size="1040x512").json()["data"][0]["b64_json"]))
    eq(s.call("GET", "/openai/v1/models", headers=OPENAI.auth).json()["data"][0]["id"], "gpt-image-1")


def t_openai_refusals(s):
    a = check_auth(s, OPENAI)
    eq((a.json()["error"]["code"], s.call("GET", "/openai/v1/models").status), ("invalid_api_key", 401))
    refused(OPENAI.create(s, response_format="b64_json"), "response_format", "unknown_parameter")
    refused(OPENAI.create(s, seed=1), "seed", "unknown_parameter")
    refused(OPENAI.create(s, model="dall-e-2", quality="hd"), "quality", "invalid_value")
    refused(OPENAI.create(s, quality="hd"), "quality", "invalid_value")
    refused(OPENAI.create(s, style="vivid"), "style", "unknown_parameter")
    refused(OPENAI.create(s, output_format="gif"), "output_format", "invalid_value")
    refused(OPENAI.create(s, n=11), "n", "integer_out_of_range")
    refused(OPENAI.create(s, n="2"), "n", "integer_out_of_range")
    refused(OPENAI.create(s, model="dall-e-3", n=2), "n", "integer_above_max_value")
    refused(OPENAI.create(s, size="640x480"), "size", "invalid_value")
    refused(OPENAI.create(s, model="gpt-image-2", size="1000x1000"), "size", "invalid_value")
    refused(OPENAI.create(s, model="gpt-image-2", size="2048x512"), "size", "invalid_value")
    refused(OPENAI.create(s, model="flux"), "model", "model_not_found", 404)
    refused(OPENAI.create(s, ""), "prompt", "missing_required_parameter")
    refused(OPENAI.create(s, mask={"file_id": "x"}), "mask", "unknown_parameter")
    eq(s.call("POST", "/openai/v1/images/generations", "{", OPENAI.auth).status, 400)
    eq(s.call("POST", "/openai/v1/images/variations", {}, OPENAI.auth).status, 404)
    eq(s.state()["predictions_created"], 0)
    eq(OPENAI.create(s, "x [nsfw]").json()["error"]["code"], "moderation_blocked")
    a = OPENAI.create(s, "x [fail]")
    eq((a.status, a.json()["error"]["type"]), (500, "server_error"))
    eq(OPENAI.create(s, "x [empty]").json()["data"], [])
    eq(OPENAI.create(s, "x [null]").json()["data"], [{"b64_json": None}])
    eq(base64.b64decode(OPENAI.create(s, "x [html]").json()["data"][0]["b64_json"])[:9], b"<!DOCTYPE")
    s.settings(openai_timeout_ms=100)
    eq(OPENAI.create(s, "x [endless]").status, 504)
    eq(created(s, OPENAI), 6)


def t_openai_local(s):
    """As servers answer that ignore what they do not know and want no key."""
    s.settings(openai_strict=0, openai_key="", max_side=64)
    a = OPENAI.create(s, auth={}, model="flux", seed=3, steps=4, size="640x480")
    eq((a.status, sorted(a.json())), (200, ["created", "data"]))
    png_size(base64.b64decode(a.json()["data"][0]["b64_json"]))
    eq(list(OPENAI.create(s, response_format="base64").json()["data"][0]), ["b64_json"])
    assert OPENAI.create(s, response_format="url").json()["data"][0]["url"].startswith(s.base)
    assert OPENAI.create(s, "x [foreign]", response_format="url").json()["data"][0]["url"].startswith("https://192.0.2.1/")
    assert OPENAI.create(s, "x [data]", response_format="url").json()["data"][0]["url"].startswith("data:image/png;base64,")
    s.settings(openai_answers="url", openai_relative_urls=1)
    url = OPENAI.create(s).json()["data"][0]["url"]
    assert url.startswith("/openai/files/"), url
    png_size(s.call("GET", url).body)


def t_openai_edits(s):
    s.settings(max_side=64)
    png = s.call("GET", "/sim/outputs/%s/0" % FAL.run(s)[0]).body
    def edit(fields, files):
        body, headers = form([("model", "gpt-image-1"), *fields], files)
        return s.call("POST", "/openai/v1/images/edits", body, {**OPENAI.auth, **headers})
    a = edit([("prompt", "a hat"), ("n", 2)], [("image[]", png), ("image[]", png), ("mask", png)])
    eq((a.status, len(a.json()["data"])), (200, 2))
    p = s.state()["predictions"][1]
    eq((p["form"], p["input"]["prompt"], p["input"]["n"]), ("edits", "a hat", 2))
    eq([image["sha256"] for image in p["input"]["images"] + [p["input"]["mask"]]], [hashlib.sha256(png).hexdigest()] * 3)
    refused(edit([("prompt", "a hat")], []), "image", "missing_required_parameter")
    refused(edit([("prompt", "a hat"), ("response_format", "url")], [("image", png)]), "response_format", "unknown_parameter")
    refused(edit([("prompt", "a hat"), ("n", "x")], [("image", png)]), "n", "integer_out_of_range")
    eq(edit([("prompt", "a hat")], [("image", b"<svg>" * 9)]).status, 400)
    eq(OPENAI.create(s, path="edits", images=[{"image_url": "https://example.com/a.png"}, {"file_id": "f"}]).status, 200)
    refused(OPENAI.create(s, path="edits", images=[{"image_url": "ftp://a"}]), "images", "invalid_value")
    refused(OPENAI.create(s, path="edits", images=[{"file_id": "f"}] * 17), "image", "missing_required_parameter")


def t_openai_faults(s):
    s.settings(max_side=16)
    check_create_faults(s, OPENAI)
    s.faults(create_429={"variant": "quota"})
    a = OPENAI.create(s)
    eq((a.status, a.json()["error"]["type"], a.json()["error"]["code"], a.headers["Retry-After"]),
        (429, "insufficient_quota", "insufficient_quota", None))
    s.faults(create_429={"retry_after": 2}, api_huge=1)
    eq(OPENAI.create(s).json(), {})
    eq(OPENAI.create(s).status, 200)


def t_openai_contract(s):
    s.settings(max_side=16)
    has_shape(OPENAI.create(s).json(), example("openai-images-generations-200.json"))
    want = example("openai-error-400-response-format.json")["response"]
    a = OPENAI.create(s, response_format="url")
    eq((a.status, a.json()), (want["status"], want["body"]))


# ---- stable-diffusion.cpp ----

class Sdcpp:
    name = "sdcpp"
    auth = {"Authorization": "Bearer sim-sdcpp-key"}
    errors = {"create_401": 401, "create_402": 402, "create_422": 400, "create_500_before": 500, "create_429": 429}

    def create(self, s, prompt="a fish", headers=None, auth=None, kind="img_gen", **members):
        return s.call("POST", "/sdcpp/v1/" + kind, {"prompt": prompt, **members},
            {**(self.auth if auth is None else auth), **(headers or {})})

    def id(self, answer):
        return answer.json()["id"]

    def read(self, s, id):
        return s.call("GET", "/sdcpp/v1/jobs/" + id, headers=self.auth)

    def cancel(self, s, id):
        return s.call("POST", "/sdcpp/v1/jobs/%s/cancel" % id, headers=self.auth)

    def run(self, s, prompt="a fish", **what):
        id = self.id(self.create(s, prompt, **what))
        within(10, lambda: self.read(s, id).json()["status"] not in ("queued", "generating", "dreaming"))
        return id, self.read(s, id).json()


SDCPP = Sdcpp()


def t_sdcpp(s):
    s.settings(starting_ms=200, processing_ms=200)
    a = SDCPP.create(s, "a red boat", width=320, height=192, batch_count=2, seed=3, headers={"Idempotency-Key": "job-1"})
    id = SDCPP.id(a)
    eq((a.status, a.json()), (202, {"id": id, "kind": "img_gen", "status": "queued", "created": a.json()["created"],
        "poll_url": "/sdcpp/v1/jobs/" + id}))
    second = SDCPP.id(SDCPP.create(s))
    eq([SDCPP.read(s, x).json()["queue_position"] for x in (id, second)], [0, 1])
    seen = []
    def ended():
        seen.append(SDCPP.read(s, id).json()["status"])
        return seen[-1] == "completed"
    within(10, ended)
    eq(sorted(set(seen), key=seen.index), ["queued", "generating", "completed"])
    job = s.call("GET", a.json()["poll_url"]).json()
    eq((job["error"], job["result"]["output_format"], job["queue_position"]), (None, "png", 0))
    assert job["created"] <= job["started"] <= job["completed"]
    for i, image in enumerate(job["result"]["images"]):
        data = base64.b64decode(image["b64_json"], validate=True)
        eq((image["index"], png_size(data), data == made(s, id, i)), (i, (320, 192), True))
    p = s.state()["predictions"][0]
    eq((p["wire"], p["idempotency_key"], s.state()["created_by_wire"]["sdcpp"]), ("sdcpp", "job-1", 2))
    s.settings(starting_ms=20, processing_ms=20)
    job = SDCPP.run(s, kind="vid_gen", video_frames=33)[1]
    eq((job["kind"], job["result"]["mime_type"]), ("vid_gen", "video/mp4"))
    eq(base64.b64decode(job["result"]["b64_json"])[4:12], b"ftypisom")
    limits = s.call("GET", "/sdcpp/v1/capabilities").json()
    eq((limits["supported_modes"], limits["limits"]["max_queue_size"]), (["img_gen", "vid_gen"], 1000))


def t_sdcpp_ends(s):
    job = SDCPP.run(s, "x [fail]")[1]
    eq((job["status"], job["result"], job["error"]["code"]), ("failed", None, "generation_failed"))
    eq(SDCPP.run(s, "x [empty]")[1]["result"]["images"], [])
    eq(SDCPP.run(s, "x [null]")[1]["result"], None)
    s.settings(processing_ms=300)
    odd = SDCPP.id(SDCPP.create(s, "x [odd]"))
    within(5, lambda: SDCPP.read(s, odd).json()["status"] == "dreaming")
    within(5, lambda: SDCPP.read(s, odd).json()["status"] == "completed")
    s.settings(starting_ms=400, processing_ms=40)
    id = SDCPP.id(SDCPP.create(s))
    a = SDCPP.cancel(s, id)
    eq((a.status, a.json()["status"], a.json()["error"]["code"]), (200, "cancelled", "cancelled"))
    eq((SDCPP.cancel(s, id).status, SDCPP.cancel(s, "job_none").status), (409, 404))
    s.settings(starting_ms=10, sdcpp_queue=1)
    id = SDCPP.id(SDCPP.create(s, "x [endless]"))
    within(5, lambda: SDCPP.read(s, id).json()["status"] == "generating")
    a = SDCPP.create(s)
    eq((a.status, a.json()), (429, {"error": "job queue is full"}))
    eq((SDCPP.cancel(s, id).status, SDCPP.read(s, id).json()["status"]), (409, "generating"))
    s.settings(sdcpp_cancel_generating=1)
    s.faults(cancel_ignored=1)
    eq([SDCPP.cancel(s, id).json()["status"] for _ in range(2)], ["generating", "cancelled"])
    s.settings(sdcpp_keep_ms=0)
    eq((SDCPP.read(s, id).status, SDCPP.cancel(s, id).status), (410, 410))


def t_sdcpp_refusals(s):
    for members in ({"width": 63}, {"height": "x"}, {"batch_count": 9}, {"seed": -2}, {"output_format": "gif"},
            {"negative_prompt": 1}, {"prompt": None}):
        a = SDCPP.create(s, **members) if "prompt" not in members else s.call("POST", "/sdcpp/v1/img_gen", {})
        eq((a.status, sorted(a.json())), (400, ["error"]))
    eq(s.call("POST", "/sdcpp/v1/img_gen", "[]").json(), {"error": "body must be an object"})
    eq(s.call("POST", "/sdcpp/v1/img_gen", "{").json(), {"error": "invalid json"})
    eq(s.call("GET", "/sdcpp/v1/jobs").status, 404)
    eq(s.state()["predictions_created"], 0)
    s.settings(sdcpp_key="sim-sdcpp-key")
    check_auth(s, SDCPP)
    eq(SDCPP.create(s).status, 202)


def t_sdcpp_faults(s):
    check_create_faults(s, SDCPP)
    s.reset()
    s.settings(sdcpp_cancel_generating=1)
    check_cancel_faults(s, SDCPP, check_read_faults(s, SDCPP))
    s.faults(create_bare=1)
    eq(list(SDCPP.create(s).json()), ["id"])
    s.faults(links_foreign=1)
    assert SDCPP.create(s).json()["poll_url"].startswith("https://192.0.2.1/")


def t_sdcpp_contract(s):
    s.settings(starting_ms=300)
    a = SDCPP.create(s)
    has_shape(a.json(), example("sdcpp-img_gen-202.json"))
    has_shape(SDCPP.read(s, SDCPP.id(a)).json(), example("sdcpp-job-queued.json"))
    s.settings(starting_ms=20)
    has_shape(SDCPP.run(s)[1], example("sdcpp-job-completed.json"))
    has_shape(SDCPP.run(s, "x [fail]")[1], example("sdcpp-job-failed.json"))


# ---- Black Forest Labs ----

class Bfl:
    name = "bfl"
    auth = {"x-key": "sim-bfl-key"}
    errors = {"create_401": 401, "create_402": 402, "create_422": 422, "create_500_before": 500, "create_429": 429}

    def create(self, s, prompt="a fish", headers=None, auth=None, model="flux-2-pro", **members):
        return s.call("POST", "/bfl/v1/" + model, {"prompt": prompt, **members},
            {**(self.auth if auth is None else auth), **(headers or {})})

    def id(self, answer):
        return answer.json()["id"]

    def read(self, s, id):
        return s.call("GET", "/bfl/v1/get_result?id=" + id, headers=self.auth)

    def run(self, s, prompt="a fish", **what):
        id = self.id(self.create(s, prompt, **what))
        within(10, lambda: self.read(s, id).json()["status"] not in ("Pending", "Dreaming"))
        return id, self.read(s, id).json()


BFL = Bfl()


def bfl_signature(hook, secret):
    return "sha256=" + hmac.new(secret.encode(), hook["body"], hashlib.sha256).hexdigest()


def t_bfl(s):
    hook = s.receiver.url("/hook?job=1")
    a = BFL.create(s, "a red boat", width=320, height=192, seed=7, webhook_url=hook, webhook_secret="s3cret",
        headers={"Idempotency-Key": "job-1"})
    eq(a.status, 200)
    id = BFL.id(a)
    eq(a.json()["polling_url"], s.base + "/bfl/v1/get_result?id=" + id)
    within(10, lambda: BFL.read(s, id).json()["status"] == "Ready")
    body = s.call("GET", a.json()["polling_url"], headers=BFL.auth).json()
    eq((body["id"], body["result"]["seed"], body["result"]["prompt"]), (id, 7, "a red boat"))
    picture = s.call("GET", body["result"]["sample"])
    eq((picture.status, png_size(picture.body), picture.body), (200, (320, 192), made(s, id)))
    got = s.receiver.wait(1, "/hook?job=1")[0]
    told = json.loads(got["body"])
    eq((told["id"], told["status"], told["result"]["sample"]), (id, "Ready", body["result"]["sample"]))
    eq(got["headers"]["x-bfl-signature"], bfl_signature(got, "s3cret"))
    p = s.state()["predictions"][0]
    eq((p["wire"], p["model"], p["idempotency_key"], p["webhook"]), ("bfl", "flux-2-pro", "job-1", hook))
    # The signature counts, and so does its time.
    url = body["result"]["sample"]
    eq([s.call("GET", bad).status for bad in (url + "0", url.partition("?")[0], url.replace("se=", "se=1"))], [403] * 3)
    s.settings(bfl_sample_ms=0)
    eq(s.call("GET", BFL.run(s)[1]["result"]["sample"]).status, 403)


def t_bfl_ends(s):
    eq(BFL.run(s, "x [nsfw]")[1]["status"], "Request Moderated")
    eq((BFL.run(s, "x [black]")[1]["status"], BFL.run(s, "x [black]")[1]["result"]), ("Content Moderated", None))
    status = BFL.run(s, "x [fail]")[1]
    eq((status["status"], status["result"], bool(status["error"])), ("Error", None, True))
    eq(BFL.run(s, "x [runner]")[1]["status"], "Failed")
    assert "sample" not in BFL.run(s, "x [empty]")[1]["result"]
    assert BFL.run(s, "x [foreign]")[1]["result"]["sample"].startswith("https://192.0.2.1/")
    a = BFL.read(s, "nobody")
    eq((a.status, a.json()["status"]), (404, "Task not found"))
    s.settings(bfl_not_found_status=200, processing_ms=300)
    eq((BFL.read(s, "nobody").status, BFL.read(s, "").json()["status"]), (200, "Task not found"))
    odd = BFL.id(BFL.create(s, "x [odd]"))
    within(5, lambda: BFL.read(s, odd).json()["status"] == "Dreaming")
    s.settings(bfl_state_member=1, bfl_polling_base="http://localhost:%d" % s.port)
    eq([name in BFL.read(s, odd).json() for name in ("state", "status")], [True, False])
    assert BFL.create(s).json()["polling_url"].startswith("http://localhost:%d/bfl/" % s.port)


def t_bfl_refusals(s):
    check_auth(s, BFL)
    for member, value in (("width", 100), ("height", 17), ("width", "x"), ("safety_tolerance", 7), ("output_format", "gif"),
            ("seed", 1.5), ("webhook_url", "http://example.com/"), ("webhook_secret", 1)):
        a = BFL.create(s, **{member: value})
        eq((a.status, a.json()["detail"][0]["loc"]), (422, ["body", member]))
    eq(BFL.create(s, width=4096, height=4096).status, 422)
    eq(s.call("POST", "/bfl/v1/flux-2-pro", {}, BFL.auth).json()["detail"][0]["loc"], ["body", "prompt"])
    eq(s.call("POST", "/bfl/v1/flux-2-pro", "[", BFL.auth).status, 422)
    eq(BFL.create(s, model="flux-missing").json(), {"detail": "Not Found"})
    s.settings(bfl_concurrent=1)
    eq([BFL.create(s, "x [endless]").status for _ in range(2)], [200, 429])
    eq(created(s, BFL), 1)


def t_bfl_faults(s):
    check_create_faults(s, BFL)
    s.reset()
    s.settings(bfl_not_found_status=404)
    check_read_faults(s, BFL)
    s.faults(create_bare=1)
    eq(list(BFL.create(s).json()), ["id"])
    s.faults(links_foreign=1)
    assert BFL.create(s).json()["polling_url"].startswith("https://192.0.2.1/")
    def hook(path, n=1, **members):
        BFL.create(s, webhook_url=s.receiver.url(path), **{"webhook_secret": "k", **members})
        return s.receiver.wait(n, path)
    s.faults(webhook_lost={"match": "/lost"}, webhook_bad_signature={"match": "/bad"}, webhook_twice={"match": "/twice"})
    BFL.create(s, webhook_url=s.receiver.url("/lost"))
    got = hook("/bad")[0]
    assert got["headers"]["x-bfl-signature"] != bfl_signature(got, "k")
    eq(len({h["headers"]["x-bfl-signature"] for h in hook("/twice", 2)}), 1)
    assert "x-bfl-signature" not in hook("/open", webhook_secret=None)[0]["headers"]
    eq(json.loads(hook("/error", prompt="x [fail]")[0]["body"])["status"], "Error")
    s.receiver.answers[:] = [500] * 4
    eq(len(hook("/again", 4)), 4)
    within(10, lambda: s.state()["webhooks_given_up"] == 1)
    eq((s.state()["webhooks_given_up"], s.receiver.wait(0, "/lost")), (1, []))


def t_bfl_contract(s):
    BFL.run(s, webhook_url=s.receiver.url("/ok"), webhook_secret="k")
    has_shape(json.loads(s.receiver.wait(1, "/ok")[0]["body"]), example("bfl-webhook-ready.json"))
    BFL.run(s, "x [nsfw]", webhook_url=s.receiver.url("/no"), webhook_secret="k")
    told, want = json.loads(s.receiver.wait(1, "/no")[0]["body"]), example("bfl-webhook-error.json")
    eq({**told, "id": want["id"], "timestamp": want["timestamp"]}, want)
    for name, fault in (("bfl-error-402.json", {"create_402": 1}), ("bfl-error-429.json", {"create_429": {"retry_after": 5}})):
        want = example(name)["response"]
        s.faults(**fault)
        a = BFL.create(s)
        eq((a.status, a.json()), (want["status"], want["body"]))
        eq([header for header in want.get("headers", {}) if header not in a.headers], [])


# ---- ComfyUI ----

def graph(prompt="a fish", width=64, height=64, batch=1, seed=1):
    """Text to picture, as small as it goes; the text to avoid comes first."""
    return {"1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "x.safetensors"}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "ugly", "clip": ["1", 1]}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"text": prompt, "clip": ["1", 1]}},
        "4": {"class_type": "EmptyLatentImage", "inputs": {"width": width, "height": height, "batch_size": batch}},
        "5": {"class_type": "KSampler", "inputs": {"seed": seed, "positive": ["3", 0], "negative": ["2", 0],
            "latent_image": ["4", 0], "model": ["1", 0]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["5", 0], "filename_prefix": "x"}}}


class Comfyui:
    name = "comfyui"
    auth = {"Authorization": "Bearer sim-comfyui-key"}
    errors = {"create_401": 401, "create_402": 402, "create_422": 400, "create_500_before": 500, "create_429": 429}

    def create(self, s, prompt="a fish", headers=None, auth=None, prompt_id=None, **what):
        body = {"prompt": graph(prompt, **what), "client_id": "me", **({"prompt_id": prompt_id} if prompt_id else {})}
        return s.call("POST", "/comfyui/prompt", body, {**(self.auth if auth is None else auth), **(headers or {})})

    def id(self, answer):
        return answer.json()["prompt_id"]

    def read(self, s, id):
        return s.call("GET", "/comfyui/api/jobs/" + id, headers=self.auth)

    def cancel(self, s, id):
        return s.call("POST", "/comfyui/api/jobs/%s/cancel" % id, headers=self.auth)

    def post(self, s, path, body):
        return s.call("POST", "/comfyui/" + path, body, self.auth)

    def run(self, s, prompt="a fish", **what):
        id = self.id(self.create(s, prompt, **what))
        within(10, lambda: self.read(s, id).json()["status"] not in ("pending", "in_progress", "dreaming"))
        return id, self.read(s, id).json()

    def running(self, s, prompt="x [endless]"):
        id = self.id(self.create(s, prompt))
        within(5, lambda: self.read(s, id).json()["status"] == "in_progress")
        return id


COMFYUI = Comfyui()
JOB = "0190f0c0-0000-7000-8000-00000000000a"


def view(s, file, **more):
    return s.call("GET", "/comfyui/view?" + urllib.parse.urlencode({**file, **more}), headers=COMFYUI.auth)


def t_comfyui(s):
    s.settings(starting_ms=200, processing_ms=200)
    a = COMFYUI.create(s, "a red boat", width=320, height=192, batch=2, seed=3, prompt_id=JOB)
    eq((a.status, a.json()), (200, {"prompt_id": JOB, "number": 0, "node_errors": {}}))
    queue = s.call("GET", "/comfyui/queue").json()
    eq(([item[1] for item in queue["queue_pending"]], queue["queue_running"]), ([JOB], []))
    eq(s.call("GET", "/comfyui/history/" + JOB).json(), {})
    seen = []
    def ended():
        seen.append(COMFYUI.read(s, JOB).json()["status"])
        return seen[-1] == "completed"
    within(10, ended)
    eq(sorted(set(seen), key=seen.index), ["pending", "in_progress", "completed"])
    job = COMFYUI.read(s, JOB).json()
    history = s.call("GET", "/comfyui/history/" + JOB).json()[JOB]
    eq((history["outputs"], history["status"]["status_str"]), (job["outputs"], "success"))
    files = job["outputs"]["9"]["images"]
    eq((len(files), job["outputs_count"]), (2, 2))
    for i, file in enumerate(files):
        a = view(s, file)
        eq((a.status, png_size(a.body), a.body), (200, (320, 192), made(s, JOB, i)))
    eq([view(s, files[0], **bad).status for bad in ({"type": "temp"}, {"subfolder": ".."}, {"filename": "x.png"})], [404] * 3)
    p = s.state()["predictions"][0]
    eq((p["wire"], p["id"], p["status"]), ("comfyui", JOB, "succeeded"))
    # The same id once more: nobody refuses it.
    eq((COMFYUI.create(s, prompt_id=JOB).status, created(s, COMFYUI)), (200, 2))
    eq(COMFYUI.read(s, JOB).json()["status"], "pending")
    eq(s.call("GET", "/comfyui/api/prompt").json(), {"exec_info": {"queue_remaining": 1}})
    eq(s.call("GET", "/comfyui/system_stats").status, 200)


def t_comfyui_ends(s):
    job = COMFYUI.run(s, "x [fail]")[1]
    eq((job["status"], job["execution_status"]["status_str"], bool(job["execution_error"])), ("failed", "error", True))
    eq(COMFYUI.run(s, "x [empty]")[1]["outputs"], {"9": {"images": []}})
    eq(COMFYUI.run(s, "x [null]")[1]["outputs"], {})
    id = COMFYUI.running(s)
    eq((COMFYUI.cancel(s, id).json(), COMFYUI.read(s, id).json()["status"]), ({"cancelled": True}, "cancelled"))
    eq((COMFYUI.cancel(s, id).json(), COMFYUI.cancel(s, JOB).status), ({"cancelled": False}, 404))
    s.faults(cancel_ignored=1)
    id, other = COMFYUI.running(s), COMFYUI.running(s)
    eq((COMFYUI.cancel(s, id).json(), COMFYUI.read(s, id).json()["status"]), ({"cancelled": True}, "in_progress"))
    COMFYUI.post(s, "interrupt", {"prompt_id": id})
    eq([COMFYUI.read(s, x).json()["status"] for x in (id, other)], ["cancelled", "in_progress"])
    third = COMFYUI.running(s)
    COMFYUI.post(s, "interrupt", {})
    eq([COMFYUI.read(s, x).json()["status"] for x in (other, third)], ["cancelled"] * 2)
    s.settings(starting_ms=60000)
    ids = [COMFYUI.id(COMFYUI.create(s)) for _ in range(3)]
    COMFYUI.post(s, "queue", {"delete": ids[:1]})
    eq([COMFYUI.read(s, x).status for x in ids], [404, 200, 200])
    eq((COMFYUI.cancel(s, ids[1]).json(), COMFYUI.read(s, ids[1]).status), ({"cancelled": True}, 404))
    COMFYUI.post(s, "queue", {"clear": True})
    eq((COMFYUI.read(s, ids[2]).status, s.state()["canceled"]), (404, 7))
    s.settings(starting_ms=20, processing_ms=300)
    odd = COMFYUI.id(COMFYUI.create(s, "x [odd]"))
    within(5, lambda: COMFYUI.read(s, odd).json()["status"] == "dreaming")


def t_comfyui_refusals(s):
    def refused_with(body):
        a = COMFYUI.post(s, "prompt", body)
        eq((a.status, sorted(a.json()), a.json()["node_errors"]), (400, ["error", "node_errors"], {}))
        eq(sorted(a.json()["error"]), ["details", "extra_info", "message", "type"])
        return a.json()["error"]["type"]
    eq(refused_with({}), "no_prompt")
    eq(refused_with("{"), "no_prompt")
    eq(refused_with({"prompt": {"1": {"inputs": {}}}}), "missing_node_type")
    eq(refused_with({"prompt": {"1": {"class_type": "MissingNode", "inputs": {}}}}), "missing_node_type")
    eq(refused_with({"prompt": {"1": {"class_type": "KSampler", "inputs": {}}}}), "prompt_no_outputs")
    for id in (JOB.upper(), "x", 1, JOB + "0"):
        eq(refused_with({"prompt": graph(), "prompt_id": id}), "invalid_prompt_id")
    eq(s.state()["predictions_created"], 0)
    s.settings(comfyui_key="sim-comfyui-key")
    check_auth(s, COMFYUI)
    file = COMFYUI.run(s)[1]["outputs"]["9"]["images"][0]
    eq((view(s, file).status, s.call("GET", "/comfyui/view?" + urllib.parse.urlencode(file)).status), (200, 401))
    body, headers = form([], [("image", b"\x89PNG....")])
    a = s.call("POST", "/comfyui/upload/image", body, {**COMFYUI.auth, **headers})
    eq(a.json(), {"name": "x.png", "subfolder": "", "type": "input"})


def t_comfyui_faults(s):
    check_create_faults(s, COMFYUI)
    s.reset()
    check_cancel_faults(s, COMFYUI, check_read_faults(s, COMFYUI))
    s.faults(create_bare=1)
    eq(list(COMFYUI.create(s).json()), ["prompt_id"])
    file = COMFYUI.run(s)[1]["outputs"]["9"]["images"][0]
    s.faults(delivery_500=1, delivery_404=1)
    eq([view(s, file).status for _ in range(3)], [404, 500, 200])


TESTS = [
    (t_fal, "fal: a request, its signed webhook and its pictures"),
    (t_fal_states, "fal: states, and whose path a request has"),
    (t_fal_failures, "fal: failures behind COMPLETED, and shapes of outputs"),
    (t_fal_refusals, "fal: what is refused"),
    (t_fal_cancel, "fal: cancel"),
    (t_fal_faults, "fal: switches"),
    (t_fal_webhooks, "fal: webhooks, their keys and switches"),
    (t_fal_contract, "fal: the contract's examples"),
    (t_openai, "openai: one call, and its pictures"),
    (t_openai_refusals, "openai: what is refused, and what fails"),
    (t_openai_local, "openai: as local servers answer"),
    (t_openai_edits, "openai: edits, as a form and as JSON"),
    (t_openai_faults, "openai: switches"),
    (t_openai_contract, "openai: the contract's examples"),
    (t_sdcpp, "sdcpp: a job and its pictures"),
    (t_sdcpp_ends, "sdcpp: how jobs end, cancel, the queue"),
    (t_sdcpp_refusals, "sdcpp: what is refused"),
    (t_sdcpp_faults, "sdcpp: switches"),
    (t_sdcpp_contract, "sdcpp: the contract's examples"),
    (t_bfl, "bfl: a task, its signed webhook and its signed picture"),
    (t_bfl_ends, "bfl: how tasks end"),
    (t_bfl_refusals, "bfl: what is refused"),
    (t_bfl_faults, "bfl: switches"),
    (t_bfl_contract, "bfl: the contract's examples"),
    (t_comfyui, "comfyui: a job and its pictures, an id used twice"),
    (t_comfyui_ends, "comfyui: how jobs end, cancel, the queue"),
    (t_comfyui_refusals, "comfyui: what is refused"),
    (t_comfyui_faults, "comfyui: switches"),
]


def t_every_switch_was_used(s):
    eq([name for name in test_sim.OF_OTHER_WIRES if name not in s.used], [])


TESTS.append((t_every_switch_was_used, "every switch of these wires was used"))

for test in (t_fal_contract, t_openai_contract, t_sdcpp_contract, t_bfl_contract):
    test_sim.NEEDS[test] = EXAMPLES

if __name__ == "__main__":
    test_sim.end_by_signal()
    sys.exit(test_sim.main(TESTS))
