"""A create whose answer was lost is looked for at the provider: taken over if it is there,
sent again only when a complete list says that it is not, given up when nobody can tell."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test

rig = None

GRACE_MS = 1000


def setup():
    global rig
    rig = e2e.Rig(config={"uncertain_grace": f"{GRACE_MS}ms"}).start()
    # Nobody but the list tells.
    rig.faults(webhook_lost=-1)


def once(fault, prompt, **more):
    """For the first create of that prompt."""
    rig.faults(**{fault: {"count": 1, "match": f'"{prompt}"', **more}})


def configured(**settings):
    rig.configure(**settings)
    rig.gengate.restart()
    rig.wait_ready()


def check_found(job, creates, before):
    """There it was: nothing was sent again."""
    e2e.check_asset(rig, rig.succeeds(job)["assets"][0])
    rig.one_prediction(job)
    equal(rig.counters()["creates_received"] - before, creates, "calls")
    trail = rig.trail(job)
    check("found" in trail and "not_there" not in trail, f"trail: {trail}")


def check_sent_again(job, before):
    """It was not there: sent again after the grace, by the same key."""
    rig.succeeds(job)
    rig.one_prediction(job)
    equal(rig.counters()["creates_received"] - before, 2, "calls")
    trail = rig.trail(job)
    equal((trail.count("submitting"), trail.count("not_there")), (2, 1), f"in the trail {trail}")
    waited = rig.sql_value("SELECT 1000 * extract(epoch FROM max(at) FILTER (WHERE event = 'not_there')"
                           " - max(at) FILTER (WHERE state_to = 'uncertain' AND state_from = 'submitting'))"
                           f" FROM generation_events WHERE job_id = '{job['id']}'")
    check(float(waited) >= GRACE_MS, f"the grace took {waited} ms")


def check_nobody_knows(job, before, creates=1):
    end = rig.fails(job, "outcome_unknown")
    equal(end["error"]["retryable"], False, "retryable")
    equal(rig.counters()["creates_received"] - before, creates, "calls")
    check("not_there" not in rig.trail(job), f"trail: {rig.trail(job)}")


@test
def what_was_created_is_found():
    for fault in ("create_500_after", "create_drop_after", "create_cut"):
        once(fault, fault)
        before = rig.counters()["creates_received"]
        job = rig.submit(fault)
        check_found(job, 1, before)
        equal(rig.taken(fault), 1, f"times that {fault} did what it does")


@test
def what_was_not_created_is_sent_again():
    for fault in ("create_500_before", "create_drop_before"):
        once(fault, fault)
        before = rig.counters()["creates_received"]
        job = rig.submit(fault)
        rig.wait_state(job, "uncertain")
        equal(rig.status(job), "starting", "status meanwhile")
        equal(rig.post(user=job["user"]).status, 409, "a second job meanwhile")
        check_sent_again(job, before)


@test
def an_answer_that_does_not_come():
    configured(lease="2s")
    try:
        once("create_late", "no patience", delay_ms=2500)
        before = rig.counters()["creates_received"]
        check_found(rig.submit("no patience"), 1, before)
    finally:
        configured(lease="4s")


@test
def killed_after_sending():
    once("create_late", "no witness", delay_ms=1500)
    before = rig.counters()["creates_received"]
    job = rig.submit("no witness")
    stacks.wait_for(lambda: rig.predictions(job), 10, "prediction")
    equal(rig.state(job), "submitting", "state")
    rig.gengate.kill()
    rig.gengate.start()
    rig.wait_ready()
    check_found(job, 1, before)


@test
def a_list_that_lags_within_the_grace():
    rig.set_sim(list_lag_ms=GRACE_MS - 200)
    try:
        once("create_drop_after", "slow to show")
        before = rig.counters()["creates_received"]
        check_found(rig.submit("slow to show"), 1, before)
    finally:
        rig.set_sim(list_lag_ms=0)


@test
def a_list_in_pages():
    rig.set_sim(page_size=1)
    try:
        once("create_drop_after", "on some page")
        before = rig.counters()["creates_received"]
        job = rig.submit("on some page")
        rig.wait_state(job, "uncertain")
        others = [rig.submit(f"in the way {n}") for n in range(3)]
        check_found(job, 1 + len(others), before)
        for other in others:
            rig.succeeds(other)
        once("create_drop_before", "on no page")
        before = rig.counters()["creates_received"]
        check_sent_again(rig.submit("on no page"), before)
    finally:
        rig.set_sim(page_size=100)


@test
def a_list_that_fails_for_a_while():
    rig.faults(list_500=3)
    once("create_drop_before", "patience")
    before = rig.counters()["creates_received"]
    check_sent_again(rig.submit("patience"), before)
    equal(rig.taken("list_500"), 3, "lists that failed")


@test
def a_list_that_is_cut_says_nothing_of_what_it_lacks():
    rig.faults(list_cut=-1)
    try:
        once("create_drop_before", "behind the cut")
        before = rig.counters()["creates_received"]
        check_nobody_knows(rig.submit("behind the cut", model="hasty"), before)
        check(rig.taken("list_cut") >= 2, "it was hardly looked for")
        # But of what it has.
        once("create_drop_after", "before the cut")
        before = rig.counters()["creates_received"]
        check_found(rig.submit("before the cut"), 1, before)
    finally:
        rig.faults(list_cut=0)


@test
def the_providers_clock_is_not_ours():
    for minutes in (-10, 10):
        rig.set_sim(clock_offset_ms=minutes * 60000)
        try:
            prompt = f"at another time {minutes}"
            once("create_drop_after", prompt)
            before = rig.counters()["creates_received"]
            check_found(rig.submit(prompt), 1, before)
            prompt = f"at no time {minutes}"
            once("create_drop_before", prompt)
            before = rig.counters()["creates_received"]
            check_sent_again(rig.submit(prompt), before)
        finally:
            rig.set_sim(clock_offset_ms=0)


@test
def another_account_does_not_say_that_it_is_not_there():
    once("create_drop_before", "elsewhere")
    before = rig.counters()["creates_received"]
    job = rig.submit("elsewhere", model="hasty")
    rig.wait_state(job, "uncertain")
    token = rig.config["replicate_token"]
    rig.set_sim(token="another-token")
    configured(replicate_token="another-token")
    try:
        check_nobody_knows(job, before)
    finally:
        rig.set_sim(token=token)
        configured(replicate_token=token)


@test
def without_urls_in_the_list_each_record_is_asked():
    rig.faults(list_no_webhook=-1)
    try:
        once("create_drop_after", "nameless on the list")
        before = rig.counters()["creates_received"]
        check_found(rig.submit("nameless on the list", seed=4), 1, before)
    finally:
        rig.faults(list_no_webhook=0)


@test
def without_any_url_the_input_has_to_do():
    secret = rig.config["replicate_webhook_secret"]
    rig.faults(secret_401=-1)
    configured(replicate_webhook_secret=None)
    try:
        once("create_drop_after", "one of its kind")
        before = rig.counters()["creates_received"]
        job = rig.submit("one of its kind", seed=5)
        check_found(job, 1, before)
        equal(rig.one_prediction(job)["webhook"], None, "webhook")
        # Whose of two that are alike?  Neither is taken, neither is sent again.
        rig.faults(create_drop_after={"count": 2, "match": "like another"})
        before = rig.counters()["creates_received"]
        jobs = [rig.submit("like another", model="hasty") for _ in range(2)]
        for job in jobs:
            check_nobody_knows(job, before, creates=2)
        # The profile is another one by now: what was sent cannot be told.
        once("create_drop_after", "by another profile")
        before = rig.counters()["creates_received"]
        job = rig.submit("by another profile", model="hasty", seed=6)
        rig.wait_state(job, "uncertain")
        e2e.MODELS["hasty"]["on"]["replicate"]["input"] = {**e2e.INPUT, "steps": 4}
        rig.write_models()
        configured()
        check_nobody_knows(job, before)
        # Nothing on the list is like it.
        once("create_drop_before", "like nothing else")
        before = rig.counters()["creates_received"]
        check_sent_again(rig.submit("like nothing else"), before)
    finally:
        rig.faults(secret_401=0)
        e2e.MODELS["hasty"]["on"]["replicate"]["input"] = e2e.INPUT
        rig.write_models()
        configured(replicate_webhook_secret=secret)


@test
def a_cancel_finds_first():
    once("create_drop_after", "found and ended [endless]")
    before = rig.counters()
    job = rig.submit("found and ended [endless]")
    rig.wait_state(job, "uncertain")
    answer = rig.http("POST", f"/generate/{job['id']}/cancel", user=job["user"], headers={"Prefer": "wait=10"})
    equal((answer.status, answer.json["status"]), (200, "canceled"), answer.text)
    equal(rig.one_prediction(job)["status"], "canceled", "at the provider")
    once("create_drop_before", "not found and not sent")
    job = rig.submit("not found and not sent")
    rig.wait_state(job, "uncertain")
    answer = rig.http("POST", f"/generate/{job['id']}/cancel", user=job["user"], headers={"Prefer": "wait=10"})
    equal((answer.status, answer.json["status"]), (200, "canceled"), answer.text)
    after = rig.counters()
    equal(after["creates_received"] - before["creates_received"], 2, "calls")
    equal(after["canceled"] - before["canceled"], 1, "canceled")


@test
def a_deadline_is_one_last_look():
    # Each create is lost before it makes anything.
    rig.faults(create_drop_before={"count": -1, "match": "never in time"})
    job = rig.submit("never in time", model="hasty")
    rig.fails(job, "timeout")
    equal(rig.predictions(job), [], "predictions")
    rig.faults(create_drop_before=0)


@test
def the_last_end_is_counted_as_found():
    job = rig.sql_value("SELECT count(*) FROM generation_events WHERE event = 'found' AND detail->>'road' = 'find'")
    check(int(job) >= 5, f"found: {job}")
    equal(rig.sql("SELECT * FROM generation_live"), [], "live rows")
    equal(rig.sql("SELECT * FROM generation_strays"), [], "strays")


@test
def logs_are_clean():
    # create_cut, and a gengate that was being started again.
    e2e.check_logs(rig, r"prematurely closed FastCGI request.*sim\.sock", r"connect\(\) to unix:.*/g0\.sock failed", r"prematurely closed connection.*/g0\.sock",
                   r"recv\(\) failed.*/g0\.sock", r"no live upstreams")


e2e.main(setup, lambda: rig and rig.stop())
