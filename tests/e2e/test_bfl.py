"""Black Forest Labs: polling URLs of its own, webhooks that are hints, and no cancel."""

import hashlib
import hmac
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test
from provider_rig import SlowPolls, is_kept, roads

e2e.MODELS.clear()
e2e.MODELS["painter"] = {"on": {"bfl": {"model": "flux-pro-1.1", "input": {
    "prompt": "$prompt", "seed": "$seed", "width": "$width", "height": "$height"}}}}

SECRET = "a-secret-between-the-two-of-us"
SECRET_BEFORE = "the-secret-that-was-before-it"

rig = None


def setup():
    global rig
    rig = e2e.Rig()
    rig.configure(provider="bfl", replicate_token=None, bfl_webhook_secret=SECRET, **rig.simulated("bfl"))
    rig.start()


@test
def a_webhook_makes_a_poll_due():
    with SlowPolls(rig):
        job = rig.submit("by webhook", width=320, height=256)
        end = rig.succeeds(job)
        equal(roads(rig, job), ["webhook", "poll"], "roads")
        is_kept(rig, job, end["assets"][0])
        equal((end["assets"][0]["width"], end["assets"][0]["height"]), (320, 256), "size")


@test
def without_webhooks_jobs_are_polled():
    rig.faults(webhook_lost={"count": -1, "match": "/webhooks/"})
    try:
        job = rig.submit("by polls")
        end = rig.succeeds(job)
        equal(set(roads(rig, job)), {"poll"}, "roads")
        is_kept(rig, job, end["assets"][0])
    finally:
        rig.faults(webhook_lost=0)


@test
def without_a_secret_no_webhook_is_asked_for():
    rig.configure(bfl_webhook_secret=None)
    rig.gengate.restart()
    try:
        job = rig.submit("nobody calls", params={"webhook_url": rig.url + "/elsewhere", "webhook_secret": "mine"})
        rig.succeeds(job)
        made = rig.one_prediction(job)
        equal((made["webhook"], "webhook_secret" in made["input"]), (None, False), "webhook")
    finally:
        rig.configure(bfl_webhook_secret=SECRET)
        rig.gengate.restart()


@test
def failures():
    for prompt, code in (("[fail] a", "provider_failed"), ("[runner] b", "provider_failed"),
                         ("[nsfw] c", "content_blocked"), ("[black] d", "content_blocked"),
                         ("[empty] e", "no_output"), ("[404] f", "outputs_lost")):
        rig.fails(rig.submit(prompt), code)


@test
def another_word_for_status():
    rig.set_sim(bfl_state_member=1)
    try:
        rig.succeeds(rig.submit("in another member"))
    finally:
        rig.set_sim(bfl_state_member=0)


@test
def polling_urls_that_are_missing_or_others():
    for fault in ("create_bare", "links_foreign"):
        rig.faults(**{fault: 1})
        job = rig.submit(fault)
        is_kept(rig, job, rig.succeeds(job)["assets"][0])
        equal(rig.taken(fault), 1, fault)


@test
def an_answer_that_is_lost_is_made_up_for_by_a_webhook():
    before = rig.counters()["created_by_wire"]["bfl"]
    rig.faults(create_drop_after={"count": 1, "match": "lost on its way"})
    job = rig.submit("lost on its way")
    is_kept(rig, job, rig.succeeds(job)["assets"][0])
    equal(rig.counters()["created_by_wire"]["bfl"] - before, 1, "predictions")


@test
def a_cancel_waits_for_the_end():
    rig.set_sim(processing_ms=1500)
    try:
        job = rig.submit("nobody can stop it")
        rig.wait_state(job, "running")
        answer = rig.http("POST", f"/generate/{job['id']}/cancel", user=job["user"])
        check(answer.status in (200, 202), f"the cancel's answer: {answer}")
        equal(rig.settled(job)["status"], "succeeded", "end")
        rig.one_prediction(job)
    finally:
        rig.set_sim(processing_ms=100)


@test
def forged_webhooks_are_refused():
    before = rig.counters()["webhooks_by_status"].get("401", 0)
    rig.faults(webhook_bad_signature={"count": -1, "match": "/webhooks/"})
    job = rig.submit("forged")
    rig.succeeds(job)
    equal(set(roads(rig, job)), {"poll"}, "roads")
    stacks.wait_for(lambda: rig.counters()["webhooks_by_status"].get("401", 0) > before, 10, "a 401")
    rig.faults(webhook_bad_signature=0)


def signed(body, secret=SECRET):
    return {"Content-Type": "application/json",
            "X-BFL-Signature": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


@test
def what_is_sent_again_makes_no_look_due():
    """Whoever sees one may send it again, and as often as they like."""
    with SlowPolls(rig):
        rig.set_sim(starting_ms=60000)
        try:
            job = rig.submit("sent again")
            rig.wait_state(job, "running")
            made = rig.one_prediction(job)
            path = rig.webhook_path(job)
            for status in ("Ready", "Error"):
                body = json.dumps({"id": made["id"], "status": status, "result": {"sample": "https://x.bfl.ai/"}}).encode()
                headers = signed(body)
                equal(rig.http("POST", path, body=body, headers=headers).status, 200, "status of the first")
                stacks.wait_for(lambda: rig.sql_value(
                    "SELECT due_at > now() + interval '30 s' AND lease_until IS NULL FROM generation_live"
                    f" WHERE job_id = '{job['id']}'") == "t", 10, "that it was looked at")
                due = rig.sql_value(f"SELECT due_at FROM generation_live WHERE job_id = '{job['id']}'")
                for capitals in (False, True):
                    again = {**headers, "X-BFL-Signature": "sha256=" + headers["X-BFL-Signature"][7:].upper()} \
                        if capitals else headers
                    equal(rig.http("POST", path, body=body, headers=again).status, 200, "status of the next")
                equal(rig.sql_value(f"SELECT due_at FROM generation_live WHERE job_id = '{job['id']}'"), due,
                      "when it is due")
            equal(rig.state(job), "running", "state")
        finally:
            rig.set_sim(starting_ms=50)


@test
def a_new_secret_replaces_an_old_one():
    body = json.dumps({"id": "x", "status": "Ready"}).encode()
    path = "/webhooks/bfl?job=x"
    e2e.check_problem(rig.http("POST", path, body=body, headers=signed(body, SECRET_BEFORE)), 401, "invalid_signature")
    rig.configure(bfl_webhook_secret=SECRET + "," + SECRET_BEFORE)
    rig.gengate.restart()
    try:
        for secret in (SECRET, SECRET_BEFORE):
            e2e.check_problem(rig.http("POST", path, body=body, headers=signed(body, secret)), 404, "not_found")
        job = rig.submit("between two secrets")
        rig.succeeds(job)
        equal(rig.one_prediction(job)["input"]["webhook_secret"], SECRET, "the secret of new jobs")
    finally:
        rig.configure(bfl_webhook_secret=SECRET)
        rig.gengate.restart()


@test
def throttled_and_out_of_credit():
    rig.faults(create_429={"count": 2, "retry_after": 1, "match": "too many"})
    job = rig.submit("too many")
    rig.succeeds(job)
    rig.one_prediction(job)
    rig.faults(create_402={"count": 1, "match": "no money"})
    rig.fails(rig.submit("no money"), "provider_unavailable")
    rig.gengate_command("provider", "resume", "bfl")


@test
def what_gengate_check_says_of_webhooks():
    done = rig.gengate_command("check", "--json", check=False)
    lines = {line["name"]: line for line in json.loads(done.stdout)["checks"]}
    check("a signed webhook arrives" in lines["public_url"]["text"], f"public_url: {lines['public_url']}")
    equal(lines["body_limit"]["state"], "ok", "body_limit")


@test
def logs_are_clean():
    e2e.check_logs(rig, r"connect\(\) to unix:.*/g0\.sock failed")


e2e.main(setup, lambda: rig and rig.stop())
