"""Connections to PostgreSQL that go silent, as behind a firewall that has forgotten them:
each statement is given up at its deadline, whoever sent it, and nothing is lost."""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test
sys.path.insert(0, os.path.join(stacks.SRCDIR, "tests/fault"))
from pipe import Pipe

TIMEOUT_S = 1
POOL = 3
# A statement that waits for a connection may be given up a little later than its deadline.
SLACK_S = 2
rig = None
pipe = None


def setup():
    global rig, pipe
    # The provider tries for longer than we are deaf.
    rig = e2e.Rig(config={"db_timeout": f"{TIMEOUT_S}s", "db_pool": POOL})
    pipe = Pipe(rig.database_socket)
    rig.configure(database_url=f"postgresql://gengate@127.0.0.1:{pipe.port}/gengate")
    rig.start()


def look(job):
    """A status and how long it took."""
    began = time.monotonic()
    answer = rig.http("GET", f"/status/{job['id']}", user=job["user"])
    return answer, time.monotonic() - began


def well_again(job):
    """Each connection that was silent costs one statement its deadline, and is not used again."""
    failed = 0
    while True:
        answer, took = look(job)
        if answer.status == 200:
            break
        e2e.check_problem(answer, 503, "database_unavailable")
        check(took < TIMEOUT_S + SLACK_S, f"given up after {took:.1f} s")
        failed += 1
        check(failed <= POOL, "one silent connection is used twice")
    for _ in range(2 * POOL):
        answer, took = look(job)
        equal(answer.status, 200, "status")
        check(took < TIMEOUT_S, f"it took {took:.1f} s")


@test
def requests():
    job = rig.submit("asked for")
    rig.succeeds(job)
    pipe.silence(new=False)
    well_again(job)


@test
def requests_while_new_connections_are_silent_too():
    job = rig.submit("asked for again")
    rig.succeeds(job)
    pipe.silence()
    try:
        for _ in range(3):
            for answer, took in (look(job), ):
                e2e.check_problem(answer, 503, "database_unavailable")
                check(TIMEOUT_S - 0.1 < took < TIMEOUT_S + SLACK_S, f"given up after {took:.1f} s")
        equal(rig.http("GET", "/healthz").status, 200, "/healthz")
        equal(rig.http("GET", "/readyz").status, 503, "/readyz")
    finally:
        pipe.speak()
    rig.wait_ready()
    well_again(job)


def goes_on(job, waits_for):
    """Silent at that moment; the worker's statement is given up and sent again."""
    stacks.wait_for(waits_for, 10, "the moment")
    pipe.silence(new=False)
    rig.succeeds(job)
    rig.one_prediction(job)
    equal(len(rig.objects(job)), 1, "objects")
    trail = rig.trail(job)
    for event in ("created", "submitting", "accepted", "stored"):
        equal(trail.count(event), 1, f"times that {event} is in the trail {trail}")


@test
def a_worker_that_has_a_creates_answer():
    rig.faults(webhook_lost=-1, create_late={"count": 1, "delay_ms": 700})
    job = rig.submit("in flight")
    goes_on(job, lambda: rig.predictions(job))


@test
def a_worker_that_polls():
    rig.set_sim(processing_ms=1500)
    job = rig.submit("polled")
    goes_on(job, lambda: rig.state(job) == "running")
    rig.set_sim(processing_ms=100)


@test
def a_worker_that_has_stored_an_output():
    rig.faults(storage_slow={"count": 1, "delay_ms": 700, "match": "POST"})
    job = rig.submit("stored")
    goes_on(job, lambda: rig.taken("storage_slow") == 1)
    rig.faults(webhook_lost=0)


@test
def a_statement_is_given_up_at_its_deadline():
    """Those that were sent in vain above, requests' and workers'."""
    lost = rig.gengate.events("db.connection_lost")
    late = [e for e in lost if "in time" in e["error"]]
    check(len(late) >= POOL, f"only {len(late)} statements were given up: {lost}")
    names = {e["statement"] for e in late}
    check(len(names) > 1, f"only of {names}")


@test
def a_stop_does_not_wait_for_each_lease():
    """Polls hang, and their leases are to be renewed, which is in vain for one as for all."""
    rig.set_sim(processing_ms=10000)
    rig.faults(webhook_lost=-1)
    jobs = [rig.submit(f"hangs {i}") for i in range(20)]
    stacks.wait_for(lambda: rig.sql_value("SELECT count(*) FROM generation_live WHERE state = 'running'")
                    == str(len(jobs)), 15, "running jobs")
    rig.faults(delay={"count": -1, "delay_ms": 30000, "match": "GET /replicate"})
    stacks.wait_for(lambda: rig.taken("delay") >= len(jobs), 10, "polls that hang")
    pipe.silence()
    stacks.wait_for(lambda: rig.gengate.events("worker.renew_failed"), 10, "a renewal")
    began = time.monotonic()
    rig.gengate.stop()
    took = time.monotonic() - began
    pipe.speak()
    rig.faults(delay=0)
    rig.gengate.start()
    check(took < 10, f"it took {took:.1f} s")
    for job in jobs:
        rig.succeeds(job)
        rig.one_prediction(job)
    rig.set_sim(processing_ms=100)
    rig.faults(webhook_lost=0)


@test
def nothing_is_left_in_flight():
    equal(rig.sql("SELECT * FROM generation_live"), [], "live rows")


@test
def logs_are_clean():
    e2e.check_logs(rig)


def teardown():
    if rig:
        rig.stop()
    if pipe:
        pipe.close()


e2e.main(setup, teardown)
