"""Whoever says when to come back is left alone until then, on every road; and what was
sent away together does not come back together."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test

# nginx's times are in milliseconds, cut off.
ROUNDING = 0.005
rig = None


def setup():
    global rig
    rig = e2e.Rig().start()


def calls(*words):
    """nginx's requests whose lines have all of these: when they came and ended, and the status."""
    found = []
    for line in e2e.read(os.path.join(rig.log_dir, "nginx-access.log")).splitlines():
        if all(word in line for word in words):
            ended, status, took, *_ = line.split()
            found.append((float(ended) - float(took), float(ended), int(status)))
    return sorted(found)


def check_left_alone(seconds, refusal, *words):
    """After the one refusal nothing came for so long; and something did after that."""
    def refused_and_more():
        seen = calls(*words)
        at = next((n for n, call in enumerate(seen) if call[2] == refusal), None)
        return at is not None and len(seen) > at + 1 and (seen[at], seen[at + 1])
    before, after = stacks.wait_for(refused_and_more, 20, f"a call after the {refusal}")
    check(after[0] - before[1] >= seconds - ROUNDING, f"came back after {after[0] - before[1]:.3f} s")


@test
def creates():
    for n, variant in enumerate(("header", "body", "detail")):
        path = "/replicate/v1/models/sim/painter/predictions "
        rig.faults(create_429={"count": 1, "retry_after": 2, "variant": variant})
        job = rig.submit(f"variant {variant}")
        rig.succeeds(job)
        rig.one_prediction(job)
        seen = calls('"POST ' + path)[2 * n:]
        equal([call[2] for call in seen], [429, 201], "statuses")
        check(seen[1][0] - seen[0][1] >= 2 - ROUNDING, f"came back after {seen[1][0] - seen[0][1]:.3f} s")


@test
def creates_that_were_throttled_together():
    rig.faults(create_429={"count": -1, "retry_after": 2, "match": "together"})
    jobs = [rig.submit(f"together {n}") for n in range(20)]
    ids = ", ".join(f"'{job['id']}'" for job in jobs)
    stacks.wait_for(lambda: rig.sql_value("SELECT count(DISTINCT job_id) FROM generation_events"
                                          f" WHERE event = 'deferred' AND job_id IN ({ids})") == "20", 20, "refusals")
    rig.faults(create_429=0)
    for job in jobs:
        rig.succeeds(job)
        rig.one_prediction(job)
    # When each was sent again after it was put off: times that the database wrote.
    waits = [float(row[0]) for row in rig.sql(
        "SELECT extract(epoch FROM (SELECT min(s.at) FROM generation_events s WHERE s.owner_id = d.owner_id"
        " AND s.job_id = d.job_id AND s.id > d.id AND s.event = 'submitting') - d.at)"
        f" FROM generation_events d WHERE d.event = 'deferred' AND d.job_id IN ({ids})")]
    check(len(waits) >= 20, f"{len(waits)} waits")
    check(min(waits) >= 2 - ROUNDING, f"the first came back after {min(waits):.3f} s")
    # 20 draws from 0.4 s that all fall into a tenth of a second: never.
    check(max(waits) - min(waits) > 0.1, f"all came back within {max(waits) - min(waits):.3f} s")


@test
def polls():
    rig.faults(get_429={"count": 1, "retry_after": 2}, webhook_lost=-1)
    job = rig.submit("polled")
    rig.wait_state(job, "running")
    check_left_alone(2, 429, "/replicate/v1/predictions/" + rig.one_prediction(job)["id"])
    rig.succeeds(job)
    rig.faults(webhook_lost=0)


@test
def a_create_that_is_looked_for():
    rig.faults(create_drop_after=1, list_429={"count": 1, "retry_after": 3}, webhook_lost=-1)
    job = rig.submit("looked for")
    check_left_alone(3, 429, '"GET /replicate/v1/predictions?')
    rig.succeeds(job)
    rig.one_prediction(job)
    rig.faults(webhook_lost=0)


@test
def cancels():
    """It is neither repeated nor replaced by a look."""
    rig.faults(cancel_429={"count": 1, "retry_after": 2}, webhook_lost=-1)
    rig.gengate.stop()
    rig.configure(poll_interval="1h")
    rig.gengate.start()
    rig.wait_ready()
    job = rig.submit("[endless]")
    rig.wait_state(job, "running")
    rig.http("POST", f"/generate/{job['id']}/cancel", user=job["user"])
    check_left_alone(2, 429, "/replicate/v1/predictions/" + rig.one_prediction(job)["id"])
    equal(rig.settled(job)["status"], "canceled", "status")
    rig.faults(webhook_lost=0)


@test
def outputs():
    rig.faults(delivery_503={"count": 1, "retry_after": 3})
    job = rig.submit("fetched")
    rig.wait_state(job, "storing", "settled")
    check_left_alone(3, 503, "/replicate/delivery/" + rig.one_prediction(job)["id"])
    rig.succeeds(job)


@test
def the_storage():
    rig.faults(storage_429={"count": 1, "retry_after": 3, "variant": "header", "match": "POST"})
    job = rig.submit("kept")
    check_left_alone(3, 429, '"POST /storage/v1/object/', job["id"])
    rig.succeeds(job)


@test
def nothing_is_left_in_flight():
    equal(rig.sql("SELECT * FROM generation_live"), [], "live rows")


@test
def logs_are_clean():
    e2e.check_logs(rig)


e2e.main(setup, lambda: rig and rig.stop())
