"""How a job ends: by webhooks, without them, by several, by one that is too early."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test

rig = None


def setup():
    global rig
    rig = e2e.Rig().start()


def roads(job):
    """By which roads news of the job came, in order."""
    return [row[0] for row in rig.sql(
        f"SELECT detail->>'road' FROM generation_events WHERE job_id = '{job['id']}' AND event IN"
        " ('observed', 'found') ORDER BY id")]


@test
def a_webhook_ends_a_job():
    # Polls would come late: a pause of five minutes.
    rig.configure(poll_interval="60s")
    rig.gengate.restart()
    try:
        job = rig.submit("by webhook")
        rig.succeeds(job)
        equal(set(roads(job)), {"webhook"}, "roads")
        rig.one_prediction(job)
    finally:
        rig.configure(poll_interval="100ms")
        rig.gengate.restart()


@test
def lost_webhooks_are_not_missed():
    rig.faults(webhook_lost={"count": -1, "match": "forlorn"})
    job = rig.submit("forlorn", count=2)
    end = rig.succeeds(job)
    equal(len(end["assets"]), 2, "assets")
    for index, asset in enumerate(end["assets"]):
        e2e.check_asset(rig, asset, index)
    check("webhook" not in roads(job), f"roads: {roads(job)}")
    check(rig.taken("webhook_lost") >= 1, "no webhook was lost")
    equal(len(rig.objects(job)), 2, "objects")
    rig.faults(webhook_lost=0)


@test
def a_webhook_that_comes_twice_counts_once():
    before = rig.counters()
    rig.faults(webhook_twice={"count": -1, "match": "again and again"})
    job = rig.submit("again and again")
    rig.succeeds(job)
    # Two events, each twice.
    stacks.wait_for(lambda: rig.counters()["webhooks_sent"] >= before["webhooks_sent"] + 4, 10, "webhooks")
    stacks.wait_for(lambda: rig.counters()["webhooks_delivered"] >= before["webhooks_delivered"] + 4, 10,
                    "answers 200")
    rig.faults(webhook_twice=0)
    after = rig.counters()
    equal(after["webhooks_sent"] - before["webhooks_sent"], 4, "attempts: each was taken at once")
    equal(after["uploads"] - before["uploads"], 1, "uploads")
    equal(rig.trail(job).count("stored"), 1, "ends")
    equal(rig.sql_value("SELECT count(*) - count(DISTINCT delivery) FROM generation_events"
                        f" WHERE job_id = '{job['id']}' AND delivery IS NOT NULL"), "0", "events noted twice")


@test
def a_webhook_after_the_end_moves_nothing():
    job = rig.submit("long ago")
    rig.succeeds(job)
    made = rig.one_prediction(job)
    rows = rig.rows(job, trail=False)
    for status in ("succeeded", "failed", "processing"):
        answer = rig.webhook(rig.webhook_path(job), {"id": made["id"], "status": status, "output": [], "error": "x"},
                             delivery="msg_late_" + status)
        equal(answer.status, 200, "status")
    equal(rig.rows(job, trail=False), rows, "rows")


@test
def a_webhook_before_the_creates_answer():
    rig.faults(webhook_before_answer={"count": 1, "match": "overtaken"})
    job = rig.submit("overtaken")
    end = rig.succeeds(job)
    equal(rig.taken("webhook_before_answer"), 1, "answers that were held back")
    e2e.check_asset(rig, end["assets"][0])
    rig.one_prediction(job)
    trail = rig.trail(job)
    check(trail.index("observed") < trail.index("accepted"), f"the webhook was not first: {trail}")


@test
def news_of_no_end_puts_no_look_off():
    """What asked for that look may have said more: an end that came before the create's answer."""
    rig.configure(poll_interval="60s")
    rig.set_sim(starting_ms=60000)
    rig.gengate.restart()
    try:
        job = rig.submit("looked at soon")
        rig.wait_state(job, "running")
        due = rig.sql_value("UPDATE generation_live SET due_at = now() + interval '15 s'"
                            f" WHERE job_id = '{job['id']}' RETURNING due_at")
        made = rig.one_prediction(job)
        answer = rig.webhook(rig.webhook_path(job), {"id": made["id"], "status": "processing"}, delivery="msg_start")
        equal((answer.status, rig.status(job)), (200, "processing"), "the webhook's answer, the status after it")
        equal(rig.sql_value(f"SELECT due_at FROM generation_live WHERE job_id = '{job['id']}'"), due, "when it is due")
        rig.http("POST", f"/generate/{job['id']}/cancel", user=job["user"])
        equal(rig.settled(job)["status"], "canceled", "end")
    finally:
        rig.set_sim(starting_ms=50)
        rig.configure(poll_interval="100ms")
        rig.gengate.restart()


@test
def badly_signed_and_stale_webhooks_are_not_needed():
    for fault in ("webhook_bad_signature", "webhook_stale"):
        rig.faults(**{fault: {"count": -1, "match": fault}})
        job = rig.submit(fault)
        rig.succeeds(job)
        check("webhook" not in roads(job), f"roads: {roads(job)}")
        check(rig.taken(fault) >= 1, "not one webhook")
        rig.faults(**{fault: 0})
    check(rig.counters()["webhooks_by_status"].get("401", 0) >= 2, "no webhook was refused")


@test
def without_a_secret_no_webhook_is_asked_for():
    secret = rig.config["replicate_webhook_secret"]
    rig.faults(secret_401=-1)
    rig.configure(replicate_webhook_secret=None)
    rig.gengate.restart()
    try:
        job = rig.submit("nobody calls")
        rig.succeeds(job)
        equal(rig.one_prediction(job)["webhook"], None, "webhook")
        equal(set(roads(job)), {"poll"}, "roads")
        # One that comes all the same cannot be believed yet, and is sent again.
        rig.config["replicate_webhook_secret"] = secret
        e2e.check_problem(rig.webhook("/webhooks/replicate?job=x", {"id": "x", "status": "succeeded"}),
                          503, "provider_unavailable")
        check(rig.taken("secret_401") >= 1, "the secret was not asked for")
        equal(rig.sql("SELECT * FROM generation_shared"), [], "what is shared")
    finally:
        rig.faults(secret_401=0)
        rig.configure(replicate_webhook_secret=secret)
        rig.gengate.restart()


@test
def a_secret_is_fetched_with_the_token():
    secret = rig.config["replicate_webhook_secret"]
    rig.configure(replicate_webhook_secret=None)
    rig.gengate.restart()
    try:
        rig.config["replicate_webhook_secret"] = secret
        stacks.wait_for(lambda: rig.sql("SELECT * FROM generation_shared"), 10, "the secret")
        job = rig.submit("somebody calls")
        rig.succeeds(job)
        check("webhook" in roads(job), f"roads: {roads(job)}")
        shared = rig.sql_value("SELECT value FROM generation_shared WHERE name = 'webhook-verifier:replicate'")
        check(secret not in shared and secret.partition("_")[2] not in shared, "it is shared as it is")

        # Nobody asks for it who may know it from another.
        before = rig.taken("secret_401")
        rig.faults(secret_401=-1)
        rig.config["replicate_webhook_secret"] = None
        rig.gengate.restart()
        rig.config["replicate_webhook_secret"] = secret
        e2e.check_problem(rig.webhook("/webhooks/replicate?job=x", {"id": "x", "status": "succeeded"}),
                          404, "not_found")
        equal(rig.taken("secret_401"), before, "calls")
        rig.faults(secret_401=0)

        # A new one: what it signs is taken as soon as five minutes are over.
        new = "whsec_" + "bmV3" * 8
        rig.set_sim(webhook_secret=new)
        body = {"id": "x", "status": "succeeded"}
        path = "/webhooks/replicate?job=x"
        e2e.check_problem(rig.webhook(path, body, secret=new), 401, "invalid_signature")
        rig.sql("UPDATE generation_shared SET updated_at = now() - interval '6 minutes'")
        stacks.wait_for(lambda: rig.webhook(path, body, secret=new).status == 404, 30, "the new secret")
        e2e.check_problem(rig.webhook(path, body, secret=secret), 401, "invalid_signature")
    finally:
        rig.faults(secret_401=0)
        rig.set_sim(webhook_secret=secret)
        rig.configure(replicate_webhook_secret=secret)
        rig.gengate.restart()


@test
def a_new_secret_replaces_an_old_one():
    secret = rig.config["replicate_webhook_secret"]
    rig.configure(replicate_webhook_secret="whsec_" + "QUJD" * 8 + "," + secret)
    rig.gengate.restart()
    try:
        job = rig.submit("between two secrets")
        rig.succeeds(job)
        check("webhook" in roads(job), f"roads: {roads(job)}")
    finally:
        rig.configure(replicate_webhook_secret=secret)


@test
def logs_are_clean():
    # Webhooks of a job that had ended may have met a gengate that was being started again.
    e2e.check_logs(rig, r"connect\(\) to unix:.*/g0\.sock failed")


e2e.main(setup, lambda: rig and rig.stop())
