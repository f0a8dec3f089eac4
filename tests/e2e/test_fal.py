"""fal's queue: results behind a status, keys that are published, failure that is called completed."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test
from provider_rig import SlowPolls, is_kept, roads

# An endpoint below its app: only the submit goes there.
e2e.MODELS.clear()
e2e.MODELS["painter"] = {"limits": {"count": 4}, "on": {"fal": {"model": "sim/painter/fast", "input": {
    "prompt": "$prompt", "seed": "$seed", "num_images": "$count",
    "image_size": {"width": "$width", "height": "$height"}}}}}

rig = None


def setup():
    global rig
    rig = e2e.Rig()
    rig.configure(provider="fal", replicate_token=None, **rig.simulated("fal"))
    rig.start()
    wait_for_keys(0)


def wait_for_keys(before):
    """Without them no webhooks are asked for."""
    stacks.wait_for(lambda: keys_known() > before, 30, "that gengate knows fal's keys")


def keys_known():
    return len(rig.gengate.events("webhook_verifier.known"))


def restart():
    before = keys_known()
    rig.gengate.restart()
    wait_for_keys(before)


@test
def a_webhook_ends_a_job():
    with SlowPolls(rig, restart):
        job = rig.submit("by webhook", count=2, width=320, height=240)
        end = rig.succeeds(job)
        equal(set(roads(rig, job)), {"webhook"}, "roads")
        equal((end["provider"], len(end["assets"])), ("fal", 2), "provider and assets")
        is_kept(rig, job, end["assets"][0])
        is_kept(rig, job, end["assets"][1], 1)
        equal((end["assets"][0]["width"], end["assets"][0]["height"]), (320, 240), "size")


@test
def without_webhooks_jobs_are_polled():
    rig.faults(webhook_lost={"count": -1, "match": "/webhooks/"})
    try:
        job = rig.submit("by polls")
        end = rig.succeeds(job)
        check("webhook" not in roads(rig, job), f"roads: {roads(rig, job)}")
        is_kept(rig, job, end["assets"][0])
    finally:
        rig.faults(webhook_lost=0)


@test
def what_it_was_sent():
    job = rig.submit("as it was sent")
    rig.succeeds(job)
    made = rig.one_prediction(job)
    equal(made["model"], "sim/painter/fast", "endpoint")
    equal(made["input"]["prompt"], "as it was sent", "prompt")
    seconds = int(made["headers"]["x-fal-request-timeout"])
    check(0 < seconds <= 3600, f"time to start in: {seconds} s")


@test
def failures_by_either_road():
    for prompt, code in (("[fail] a", "provider_rejected"), ("[runner] b", "provider_failed"),
                         ("[nsfw] c", "content_blocked"), ("[black] d", "content_blocked"),
                         ("[empty] e", "no_output"), ("[404] f", "outputs_lost")):
        rig.fails(rig.submit(prompt), code)
        rig.faults(webhook_lost={"count": -1, "match": "/webhooks/"})
        rig.fails(rig.submit(prompt + ", polled"), code)
        rig.faults(webhook_lost=0)


@test
def a_webhook_without_a_payload_makes_a_look_due():
    with SlowPolls(rig, restart):
        rig.faults(webhook_no_payload=1)
        job = rig.submit("no payload")
        end = rig.succeeds(job)
        equal(rig.taken("webhook_no_payload"), 1, "webhooks without a payload")
        equal(roads(rig, job)[:2], ["webhook", "poll"], "roads")
        is_kept(rig, job, end["assets"][0])


@test
def an_answer_that_is_lost_is_made_up_for_by_a_webhook():
    """There is no list to look in; but the webhook names job and prediction."""
    before = rig.counters()["created_by_wire"]["fal"]
    rig.faults(create_drop_after={"count": 1, "match": "lost on its way"})
    job = rig.submit("lost on its way")
    end = rig.succeeds(job)
    is_kept(rig, job, end["assets"][0])
    equal(rig.counters()["created_by_wire"]["fal"] - before, 1, "predictions")


@test
def answers_with_less_or_with_others_links():
    for fault in ("create_bare", "links_foreign"):
        rig.faults(**{fault: 1, "webhook_lost": {"count": -1, "match": "/webhooks/"}})
        job = rig.submit(fault)
        is_kept(rig, job, rig.succeeds(job)["assets"][0])
        equal(rig.taken(fault), 1, fault)
        rig.faults(webhook_lost=0)


@test
def cancels():
    rig.set_sim(starting_ms=60000)
    try:
        queued = rig.submit("canceled in the queue")
        rig.wait_state(queued, "running")
        rig.http("POST", f"/generate/{queued['id']}/cancel", user=queued["user"])
        equal(rig.settled(queued)["status"], "canceled", "end of what was queued")
        rig.set_sim(starting_ms=50, processing_ms=60000)
        running = rig.submit("canceled while it runs")
        stacks.wait_for(lambda: rig.status(running) == "processing", 10, "that it runs")
        rig.http("POST", f"/generate/{running['id']}/cancel", user=running["user"])
        equal(rig.settled(running)["status"], "canceled", "end of what ran")
        # Asked to stop, and it does not.
        rig.set_sim(processing_ms=1500)
        rig.faults(cancel_ignored=-1)
        deaf = rig.submit("deaf")
        stacks.wait_for(lambda: rig.status(deaf) == "processing", 10, "that it runs")
        rig.http("POST", f"/generate/{deaf['id']}/cancel", user=deaf["user"])
        equal(rig.settled(deaf)["status"], "succeeded", "end of what does not stop")
    finally:
        rig.faults(cancel_ignored=0)
        rig.set_sim(starting_ms=50, processing_ms=100)


@test
def a_cancel_whose_answer_is_lost():
    rig.set_sim(starting_ms=60000)
    rig.faults(cancel_drop_after=1)
    try:
        job = rig.submit("canceled, and nobody heard")
        rig.wait_state(job, "running")
        rig.http("POST", f"/generate/{job['id']}/cancel", user=job["user"])
        equal(rig.settled(job)["status"], "canceled", "end")
    finally:
        rig.faults(cancel_drop_after=0)
        rig.set_sim(starting_ms=50)


@test
def forged_and_stale_webhooks_are_refused():
    for fault in ("webhook_bad_signature", "webhook_stale"):
        before = rig.counters()["webhooks_by_status"].get("401", 0)
        rig.faults(**{fault: {"count": -1, "match": "/webhooks/"}})
        job = rig.submit(fault)
        rig.succeeds(job)
        check("webhook" not in roads(rig, job), f"roads: {roads(rig, job)}")
        stacks.wait_for(lambda: rig.counters()["webhooks_by_status"].get("401", 0) > before, 10, "a 401")
        rig.faults(**{fault: 0})


def sign(body, request_id, key=1):
    """As fal does; the simulator's keys come of their numbers."""
    at = str(int(time.time()))
    text = "\n".join((request_id, "user_sim", at, hashlib.sha256(body).hexdigest())).encode()
    seed = hashlib.sha256(f"the simulator's key {key}".encode()).digest()
    with tempfile.TemporaryDirectory() as folder:
        for name, data in (("key", bytes.fromhex("302e020100300506032b657004220420") + seed), ("text", text)):
            with open(os.path.join(folder, name), "wb") as f:
                f.write(data)
        done = subprocess.run(["openssl", "pkeyutl", "-sign", "-keyform", "DER", "-inkey", "key", "-rawin", "-in", "text"],
                              cwd=folder, capture_output=True, check=True)
    return {"Content-Type": "application/json", "X-Fal-Webhook-Request-Id": request_id,
            "X-Fal-Webhook-User-Id": "user_sim", "X-Fal-Webhook-Timestamp": at,
            "X-Fal-Webhook-Signature": done.stdout.hex()}


@test
def a_webhook_after_the_end_moves_nothing():
    job = rig.submit("long ago")
    rig.succeeds(job)
    made = rig.one_prediction(job)
    rows = rig.rows(job, trail=False)
    for body in ({"status": "OK", "payload": {"images": []}}, {"status": "ERROR", "error": "no", "payload": None}):
        data = json.dumps({"request_id": made["id"], **body}).encode()
        headers = sign(data, made["id"])
        for _ in range(2):
            answer = rig.http("POST", rig.webhook_path(job), body=data, headers=headers)
            equal(answer.status, 200, "status")
        e2e.check_problem(rig.http("POST", rig.webhook_path(job), body=data + b" ", headers=headers),
                          401, "invalid_signature")
    equal(rig.rows(job, trail=False), rows, "rows")


def hear(job, prediction):
    """A webhook of this job's that names that prediction."""
    body = json.dumps({"request_id": prediction, "status": "OK", "payload": {"images": []}}).encode()
    equal(rig.http("POST", rig.webhook_path(job), body=body, headers=sign(body, prediction)).status, 200, "status")


def second(job):
    """Another prediction at this job's webhook URL, made at the provider; its id."""
    url = urllib.parse.quote(rig.one_prediction(job)["webhook"], safe="")
    answer = rig.http("POST", f"/fal/sim/painter/fast?fal_webhook={url}", json={"prompt": "[endless] a stray"},
                      headers={"Authorization": f"Key {rig.config['fal_key']}"})
    equal(answer.status, 200, "a second prediction")
    return answer.json["request_id"]


@test
def a_hint_at_anothers_is_not_the_creates_answer():
    """Left behind when the answer comes: no record says whose it is, and no create named it."""
    rig.set_sim(processing_ms=60000)
    rig.faults(create_late={"count": 1, "delay_ms": 1200, "match": "misled"},
               webhook_lost={"count": -1, "match": "/webhooks/"})
    try:
        theirs = rig.submit("of another")
        rig.wait_state(theirs, "running")
        prediction = rig.one_prediction(theirs)["id"]
        job = rig.submit("misled")
        stacks.wait_for(lambda: rig.predictions(job), 10, "the job's own")
        hear(job, prediction)
        equal(rig.state(job), "submitting", "state")
        row = f"SELECT road, verdict FROM generation_strays WHERE prediction_id = '{prediction}' AND ended_at IS NOT NULL"
        stacks.wait_for(lambda: rig.sql(row), 20, "what becomes of it")
        equal(rig.sql(row), [["webhook", "foreign"]], "road and verdict")
        equal([rig.state(j) for j in (job, theirs)], ["running", "running"], "states")
        equal(rig.one_prediction(theirs)["status"] in ("canceled", "failed"), False, "the other was ended")
        for j in (job, theirs):
            rig.http("POST", f"/generate/{j['id']}/cancel", user=j["user"])
            equal(rig.settled(j)["status"], "canceled", "end")
    finally:
        rig.faults(webhook_lost=0)
        rig.set_sim(processing_ms=100)


@test
def a_second_one_that_a_webhook_names_is_ended():
    """No record of fal's says whose it is; but a signed webhook at the job's own URL does."""
    job = rig.submit("[endless] twice")
    rig.wait_state(job, "running")
    stray = second(job)
    hear(job, stray)
    row = f"SELECT verdict FROM generation_strays WHERE prediction_id = '{stray}' AND ended_at IS NOT NULL"
    stacks.wait_for(lambda: rig.sql(row), 20, "what becomes of it")
    check(rig.sql_value(row) in ("canceled", "ended"), f"verdict: {rig.sql_value(row)}")
    at_provider = {p["id"]: p["status"] for p in rig.sim_call("GET", "state")["predictions"]}
    equal(at_provider[stray], "canceled", "at the provider")
    equal(rig.state(job), "running", "the job's state")
    rig.http("POST", f"/generate/{job['id']}/cancel", user=job["user"])
    equal(rig.settled(job)["status"], "canceled", "end")


@test
def anothers_prediction_is_not_taken_over():
    """A wrong hint first, and then the right one; nothing else tells."""
    theirs = rig.submit("[endless] of another")
    rig.wait_state(theirs, "running")
    rig.faults(create_drop_after={"count": 1, "match": "the second hint"},
               webhook_late={"count": -1, "delay_ms": 2500, "match": "the second hint"})
    try:
        job = rig.submit("the second hint")
        rig.wait_state(job, "uncertain")
        hear(job, rig.one_prediction(theirs)["id"])
        is_kept(rig, job, rig.succeeds(job)["assets"][0])
        equal(rig.state(theirs), "running", "the other's state")
    finally:
        rig.faults(webhook_late=0)
    rig.http("POST", f"/generate/{theirs['id']}/cancel", user=theirs["user"])
    equal(rig.settled(theirs)["status"], "canceled", "end")


@test
def keys_are_fetched_anew():
    reads = rig.counters()["fal_jwks_reads"]
    rig.set_sim(fal_webhook_key=2)
    try:
        data = json.dumps({"request_id": "r", "status": "OK", "payload": {}}).encode()

        def answer(key):
            return rig.http("POST", "/webhooks/fal?job=x", body=data, headers=sign(data, "r", key)).status

        equal((answer(1), answer(2)), (404, 401), "by the old key, by the new one")
        rig.sql("UPDATE generation_shared SET updated_at = now() - interval '6 minutes'")
        stacks.wait_for(lambda: answer(2) == 404, 30, "the new key")
        equal(answer(1), 401, "by the old key")
        check(rig.counters()["fal_jwks_reads"] > reads, "the keys were not read")
    finally:
        rig.set_sim(fal_webhook_key=1)
        rig.sql("DELETE FROM generation_shared WHERE name = 'webhook-verifier:fal'")
        restart()


@test
def throttled_and_out_of_credit():
    rig.faults(create_429={"count": 2, "retry_after": 1, "match": "too many"})
    job = rig.submit("too many")
    rig.succeeds(job)
    rig.one_prediction(job)
    rig.faults(create_402={"count": 1, "match": "no money"})
    rig.fails(rig.submit("no money"), "provider_unavailable")
    rig.gengate_command("provider", "resume", "fal")


@test
def what_gengate_check_says_of_webhooks():
    done = rig.gengate_command("check", "--json", check=False)
    lines = {line["name"]: line for line in json.loads(done.stdout)["checks"]}
    check("cannot be tried: nobody else can sign" in lines["public_url"]["text"], f"public_url: {lines['public_url']}")
    equal(lines["body_limit"]["state"], "skipped", "body_limit")


@test
def logs_are_clean():
    e2e.check_logs(rig, r"connect\(\) to unix:.*/g0\.sock failed")


e2e.main(setup, lambda: rig and rig.stop())
