"""The rows of the fault matrix: what is set up, what goes wrong, how it has to end."""

import time

from fault import LEASE_S, Rig, Row

ROWS = []

# What a row may run on; started when the first row wants it.
STACKS = {
    "two gengates": lambda: Rig(),
}


def row(name, **what):
    ROWS.append(Row(name, **what))


# -- Killed, and stopped for two leases and continued, at each pause point

def arm(point, how):
    return lambda run: run.rig.arm(point, how)


def killed(run):
    part = run.wait_caught()
    part.wait()
    part.start()


def stopped(run):
    part = run.wait_caught()
    time.sleep(2 * LEASE_S + 0.2)
    part.resume()


def at_point(point, where, during=None, **what):
    def both(fault):
        def act(run):
            if during:
                during(run)
            fault(run)
        return act
    row(f"killed {where}", before=arm(point, "KILL"), during=both(killed), **what)
    row(f"stopped {where}", before=arm(point, "STOP"), during=both(stopped), **what)


def cancel_all(run):
    run.wait_created()
    run.wait_state("running", len(run.jobs))
    for job in run.jobs:
        run.spawn(run.ask, job, "POST", f"/generate/{job.id}/cancel")


at_point("create.committed", "after the create's commit")
at_point("submitting.uncommitted", "before submitting is committed")
at_point("webhook.committed", "after a webhook's commit")
at_point("output.fetched", "between fetching and storing", members={"count": 2})
at_point("output.stored", "between storing and recording", members={"count": 2})
at_point("job.settling", "before settling")
at_point("cancel.answered", "while cancelling", during=cancel_all, prompt="[endless]", end="canceled")
