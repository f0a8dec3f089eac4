"""Cancels and deadlines in each state, with an answer from the provider and without one.
Cancels that are answered are in test_api.py, what is looked for in test_find.py."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test

rig = None


def setup():
    global rig
    rig = e2e.Rig(config={"lease": "20s"}).start()


def hasty(prompt):
    """Its time is over after 5 s."""
    return rig.submit(prompt, model="hasty")


def ask_for_end(job):
    answer = rig.http("POST", f"/generate/{job['id']}/cancel", user=job["user"], headers={"Prefer": "respond-async"})
    equal(answer.status, 202, f"cancel: {answer}")


def ends_as(job, status, code=None, timeout=60):
    end = rig.settled(job, timeout)
    equal((end["status"], (end["error"] or {}).get("code")), (status, code), f"end, after {rig.trail(job)}")
    return end


@test
def without_any_answer():
    """Nobody hears from the provider any more: each job ends all the same, and in its time."""
    running, canceled = hasty("[endless] silent"), hasty("[endless] silent, canceled")
    for job in (running, canceled):
        rig.wait_state(job, "running")
    rig.faults(webhook_lost=-1, get_500=-1, list_500=-1, cancel_500=-1,
               create_drop_after={"count": -1, "match": "unheard"})
    lost, lost_canceled = hasty("[endless] unheard"), hasty("[endless] unheard, canceled")
    for job in (lost, lost_canceled):
        rig.wait_state(job, "uncertain")
    for job in (canceled, lost_canceled):
        ask_for_end(job)
    ends_as(running, "failed", "timeout")
    ends_as(canceled, "canceled")
    ends_as(lost, "failed", "outcome_unknown")
    ends_as(lost_canceled, "failed", "outcome_unknown")
    for job in (running, canceled, lost, lost_canceled):
        equal(len(rig.predictions(job)), 1, "predictions")
    rig.faults(webhook_lost=0, get_500=0, list_500=0, cancel_500=0, create_drop_after=0)


@test
def the_deadline_while_it_is_sent():
    """The answer says that it runs; the provider has ended it by then."""
    rig.faults(create_late={"count": 1, "delay_ms": 6000, "match": "slow to answer"})
    job = hasty("[endless] slow to answer")
    ends_as(job, "failed", "timeout")
    equal(rig.one_prediction(job)["status"], "canceled", "at the provider")
    # And one that made nothing is not sent again.
    rig.faults(create_429={"count": 1, "retry_after": 1, "match": "slow to refuse"},
               delay={"count": 1, "delay_ms": 6000, "match": "POST /replicate"})
    job = hasty("slow to refuse")
    ends_as(job, "failed", "timeout")
    equal(rig.predictions(job), [], "predictions")


@test
def the_deadline_while_it_is_kept():
    """The provider has done its part: what it made is kept, however long it takes."""
    rig.faults(storage_500=-1)
    job = hasty("slow to keep")
    rig.wait_state(job, "storing")
    left = "SELECT extract(epoch FROM now() - deadline_at) FROM generation_jobs WHERE id = '%s'" % job["id"]
    stacks.wait_for(lambda: float(rig.sql_value(left)) > 0.5, 20, "the deadline")
    equal(rig.state(job), "storing", "state")
    rig.faults(storage_500=0)
    e2e.check_asset(rig, rig.succeeds(job)["assets"][0])


@test
def a_cancel_while_it_is_kept():
    rig.faults(storage_500=2)
    job = rig.submit("kept all the same")
    rig.wait_state(job, "storing")
    ask_for_end(job)
    ends_as(job, "succeeded")


@test
def the_deadline_of_a_cancel():
    """Asked for in time, answered after it: what was asked for first counts."""
    rig.faults(webhook_lost=-1, cancel_500={"count": 2})
    job = hasty("[endless] asked for in time")
    rig.wait_state(job, "running")
    ask_for_end(job)
    ends_as(job, "canceled")
    equal(rig.one_prediction(job)["status"], "canceled", "at the provider")
    rig.faults(webhook_lost=0)


@test
def nothing_is_left():
    equal(rig.sql("SELECT * FROM generation_live"), [], "live rows")


@test
def logs_are_clean():
    e2e.check_logs(rig)


e2e.main(setup, lambda: rig and rig.stop())
