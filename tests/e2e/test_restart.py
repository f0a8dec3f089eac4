"""gengate dies or is stopped in the middle of jobs and comes back: nothing is lost,
nothing is paid or kept twice."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test

rig = None


def setup():
    global rig
    rig = e2e.Rig().start()


def die_and_return():
    equal(rig.gengate.kill(), -9, "end of gengate")
    rig.gengate.start()
    rig.wait_ready()


def check_end(job):
    """One prediction, one object of each output, one end."""
    end = rig.succeeds(job)
    rig.one_prediction(job)
    equal(len(rig.objects(job)), len(end["assets"]), "objects")
    for index, asset in enumerate(end["assets"]):
        e2e.check_asset(rig, asset, index)
    equal(rig.trail(job).count("stored"), 1, "ends")


@test
def killed_while_a_prediction_runs():
    rig.set_sim(processing_ms=1500)
    try:
        job = rig.submit("running")
        rig.wait_state(job, "running")
        die_and_return()
        check_end(job)
    finally:
        rig.set_sim(processing_ms=100)


@test
def killed_before_the_creates_answer():
    # The provider has it; we die before we hear of it; its webhook tells.
    rig.faults(create_late={"count": 1, "delay_ms": 1500})
    job = rig.submit("not heard of")
    stacks.wait_for(lambda: rig.predictions(job), 10, "prediction")
    equal(rig.state(job), "submitting", "state")
    die_and_return()
    check_end(job)


@test
def killed_before_the_create_was_sent():
    # Accepted, and the provider is never asked: its answer is made to fail safely first.
    rig.faults(create_429={"count": 1, "retry_after": 2})
    job = rig.submit("waiting for a second try")
    stacks.wait_for(lambda: "deferred" in rig.trail(job), 10, "first try")
    die_and_return()
    check_end(job)


@test
def killed_while_an_output_is_stored():
    rig.faults(storage_slow={"count": 1, "delay_ms": 1500, "match": "POST"})
    job = rig.submit("storing", count=3)
    stacks.wait_for(lambda: rig.taken("storage_slow") == 1, 15, "upload")
    equal(rig.state(job), "storing", "state")
    die_and_return()
    check_end(job)


@test
def killed_after_an_upload_whose_answer_was_lost():
    rig.faults(storage_drop_after={"count": -1, "match": "POST"})
    taken = rig.taken("storage_drop_after")
    job = rig.submit("kept and not known")
    stacks.wait_for(lambda: rig.taken("storage_drop_after") > taken, 15, "upload")
    rig.gengate.kill()
    rig.faults(storage_drop_after=0)
    rig.gengate.start()
    rig.wait_ready()
    check_end(job)


@test
def killed_with_many_jobs():
    rig.set_sim(starting_ms=300, processing_ms=700)
    try:
        jobs = [rig.submit(f"one of many {n}") for n in range(12)]
        stacks.wait_for(lambda: {rig.state(job) for job in jobs} & {"running", "storing"}, 15, "running job")
        die_and_return()
        for job in jobs:
            check_end(job)
    finally:
        rig.set_sim(starting_ms=50, processing_ms=100)


@test
def stopping_waits_for_a_create():
    rig.faults(create_late={"count": 1, "delay_ms": 1500})
    job = rig.submit("just a moment")
    stacks.wait_for(lambda: rig.predictions(job), 10, "prediction")
    equal(rig.state(job), "submitting", "state")
    equal(rig.gengate.stop(), 0, "exit status")
    equal(rig.state(job), "running", "state: the answer was waited for")
    rig.gengate.start()
    rig.wait_ready()
    check_end(job)
    check("outcome_unknown" not in rig.trail(job), f"trail: {rig.trail(job)}")


@test
def stopping_gives_back_what_was_not_begun():
    """A restart is no reason to wait for a lease to be over."""
    rig.configure(lease="60s")
    rig.gengate.restart()
    rig.set_sim(starting_ms=300, processing_ms=300)
    try:
        jobs = [rig.submit(f"before the restart {n}") for n in range(12)]
        equal(rig.gengate.restart().log().count("server.stopping") > 0, True, "a stop in the log")
        for job in jobs:
            check_end(job)
    finally:
        rig.set_sim(starting_ms=50, processing_ms=100)
        rig.configure(lease="4s")
        rig.gengate.restart()


@test
def a_second_signal_ends_at_once():
    rig.faults(create_late={"count": 1, "delay_ms": 3000})
    job = rig.submit("in a hurry to stop")
    stacks.wait_for(lambda: rig.predictions(job), 10, "prediction")
    stops = len(rig.gengate.events("server.stopping"))
    rig.gengate.signal(stacks.signal.SIGTERM)
    stacks.wait_for(lambda: len(rig.gengate.events("server.stopping")) > stops, 5, "stop")
    rig.gengate.signal(stacks.signal.SIGTERM)
    equal(rig.gengate.wait(2), -stacks.signal.SIGTERM, "exit status")
    rig.gengate.start()
    rig.wait_ready()
    check_end(job)


@test
def nothing_is_left_in_flight():
    equal(rig.sql("SELECT * FROM generation_live"), [], "live rows")
    counters = rig.counters()
    equal(counters["uploads"], counters["objects"], "objects written once")


@test
def logs_are_clean():
    # Webhooks and status calls while it was away, or that it was answering when it died.
    e2e.check_logs(rig, r"connect\(\) to unix:.*/g0\.sock failed", r"prematurely closed connection.*/g0\.sock",
                   r"recv\(\) failed.*/g0\.sock", r"no live upstreams")


e2e.main(setup, lambda: rig and rig.stop())
