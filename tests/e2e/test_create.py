"""What goes wrong with a create: never paid twice, never forgotten."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test

rig = None


def setup():
    global rig
    rig = e2e.Rig().start()


def with_fault(fault, **more):
    """Switch it on for jobs whose prompt is the fault's name."""
    rig.faults(**{fault: {"count": -1, "match": f'"{fault}', **more}})


def off(*faults):
    rig.faults(**{fault: 0 for fault in faults})


@test
def an_answer_from_memory_is_what_the_database_has():
    """`respond-async` is answered without a look at the job."""
    rig.faults(delay={"count": -1, "delay_ms": 800, "match": "POST /replicate"})
    jobs = []
    for n, metadata in enumerate((None, {}, {"b": [1, 2.5, None, True], "a": {"\u00e9": "\n"}, "c": 12345678901234})):
        members = {} if metadata is None else {"metadata": metadata}
        answer = rig.post("from memory", user=f"memory-{n}", **members)
        equal(answer.status, 202, "status")
        path = answer.json["links"]["self"]
        shown = rig.http("GET", path, user=f"memory-{n}")
        equal(answer.text, shown.text, "the job")
        equal(answer.header("ETag"), shown.header("ETag"), "ETag")
        equal(answer.header("Location"), path, "Location")
        jobs.append({**answer.json, "user": f"memory-{n}"})
    off("delay")
    for job in jobs:
        rig.succeeds(job)


@test
def throttled_creates_are_sent_again():
    for variant in ("header", "body", "detail"):
        rig.faults(create_429={"count": 1, "retry_after": 1, "variant": variant, "match": variant})
        before = rig.counters()["creates_received"]
        job = rig.submit(variant)
        rig.succeeds(job)
        rig.one_prediction(job)
        equal(rig.counters()["creates_received"] - before, 2, "calls")
        check("deferred" in rig.trail(job), f"trail: {rig.trail(job)}")


@test
def an_unknown_outcome_is_never_sent_again():
    # Nobody tells what became of these creates: no webhook comes, and the list is not whole.
    lost = ("create_500_after", "create_drop_after", "create_cut")
    nothing = ("create_500_before", "create_drop_before")
    rig.faults(webhook_lost={"count": -1, "match": "create_"}, list_cut=-1)
    rig.set_sim(list_lag_ms=600000)
    for fault in lost + nothing:
        with_fault(fault)
    before = rig.counters()["creates_received"]
    jobs = {fault: rig.submit(fault + " in a hurry", model="hasty") for fault in lost + nothing}
    for job in jobs.values():
        rig.wait_state(job, "uncertain")
        equal(rig.status(job), "starting", "status meanwhile")
        equal(rig.post(user=job["user"]).status, 409, "a second job meanwhile")
    for fault, job in jobs.items():
        end = rig.fails(job, "outcome_unknown")
        equal(end["error"]["retryable"], False, "retryable")
        equal(len(rig.predictions(job)), 1 if fault in lost else 0, "predictions of " + fault)
    equal(rig.counters()["creates_received"] - before, len(jobs), "calls")
    off("webhook_lost", "list_cut", *jobs)
    rig.set_sim(list_lag_ms=0)
    # The slot is free again.
    rig.succeeds(rig.submit(user=jobs[lost[0]]["user"]))


@test
def a_webhook_tells_of_a_create_without_an_answer():
    faults = ("create_500_after", "create_drop_after", "create_cut")
    rig.set_sim(list_lag_ms=600000)
    for fault in faults:
        with_fault(fault)
    before = rig.counters()["creates_received"]
    jobs = [rig.submit(fault) for fault in faults]
    for job in jobs:
        end = rig.succeeds(job)
        e2e.check_asset(rig, end["assets"][0])
        rig.one_prediction(job)
        check("found" in rig.trail(job), f"trail: {rig.trail(job)}")
    equal(rig.counters()["creates_received"] - before, len(jobs), "calls")
    off(*faults)
    rig.set_sim(list_lag_ms=0)


@test
def refusals_are_final():
    for fault, code, status in (("create_422", "provider_rejected", 422), ("create_401", "provider_unavailable", 503),
                                ("create_402", "provider_unavailable", 503)):
        rig.faults(**{fault: {"count": -1, "match": f'"{fault}'}})
        before = rig.counters()["creates_received"]
        # Whoever waits is told, and where the job is; whoever does not finds it there.
        problem = e2e.check_problem(rig.http("POST", "/generate", json={"prompt": fault}, user=fault), status, code)
        waited = {"id": problem["job"]["id"], "user": fault}
        equal(problem["job"]["links"]["self"], f"/status/{waited['id']}", "link")
        rig.resume_provider()
        again = rig.submit(fault)
        rig.settled(again)
        rig.resume_provider()
        for job in (waited, again):
            end = rig.fails(job, code)
            equal(end["error"]["retryable"], code == "provider_unavailable", "retryable")
            for said in (end, problem):
                check("asked to refuse" not in str(said) and "credit" not in str(said), f"the provider's words: {said}")
            equal(rig.predictions(job), [], "predictions")
        equal(rig.counters()["creates_received"] - before, 2, "calls")
        off(fault)


@test
def a_provider_that_is_away_is_tried_again():
    url = rig.config["replicate_url"]
    # Nobody listens on port 1.
    rig.configure(replicate_url="http://127.0.0.1:1/v1", default_model="hasty")
    rig.gengate.restart()
    try:
        lost = rig.submit("nobody is there")
        equal(rig.fails(lost, "timeout")["error"]["retryable"], True, "retryable")
        later = rig.submit("nobody is there yet", model="painter")
        stacks.wait_for(lambda: "deferred" in rig.trail(later), 10, "a first try")
    finally:
        rig.configure(replicate_url=url, default_model="painter")
        rig.gengate.restart()
    rig.succeeds(later)
    rig.one_prediction(later)


@test
def nothing_is_left_in_flight():
    equal(rig.sql("SELECT * FROM generation_live"), [], "live rows")


@test
def logs_are_clean():
    # create_cut, and a gengate that was being started again.
    e2e.check_logs(rig, r"prematurely closed FastCGI request.*sim\.sock", r"connect\(\) to unix:.*/g0\.sock failed")


e2e.main(setup, lambda: rig and rig.stop())
