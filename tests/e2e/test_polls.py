"""Many running jobs that become due together are polled together, with settings as they
come: none waits for the others' answers."""

import concurrent.futures
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test
from tap import comment

JOBS = 500
ANSWER_MS = 200
# What it takes on a machine that does nothing else is in bench/README.md.  With a thread for
# each of a few polls, as it once was, it took 20 s.
LIMIT_S = 5
rig = None


def setup():
    global rig
    # Nothing is polled but by the test's word.
    rig = e2e.Rig(config={"poll_interval": "1h", "job_timeout": "1h"}, sim_threads=256).start()


def memory_kb():
    with open(f"/proc/{rig.gengate.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("RssAnon:"))


def polls():
    """When each of nginx's requests to the provider for a status came, as seconds since 1970."""
    found = []
    for line in e2e.read(os.path.join(rig.log_dir, "nginx-access.log")).splitlines():
        ended, status, took, _, method, path, *_ = line.split()
        if method == '"GET' and "/replicate/v1/predictions/" in path:
            equal(status, "200", "status of a poll")
            found.append(float(ended) - float(took))
    return sorted(found)


@test
def jobs_that_are_due_together():
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: rig.submit(f"[endless] {n}"), range(JOBS)))
    stacks.wait_for(lambda: rig.sql_value("SELECT count(*) FROM generation_live WHERE state = 'running'"
                                          " AND lease_until IS NULL") == str(JOBS), 60, "running jobs")
    # A webhook that comes later would put a poll off.
    stacks.wait_for(lambda: rig.sql_value("SELECT count(*) FROM generation_jobs WHERE status = 'processing'")
                    == str(JOBS), 60, "webhooks")
    rig.faults(delay={"count": -1, "delay_ms": ANSWER_MS, "match": "GET /replicate"})
    before, count = memory_kb(), len(polls())
    due = float(rig.sql_value("UPDATE generation_live SET due_at = now() + interval '1 s';"
                              " SELECT extract(epoch FROM max(due_at)) FROM generation_live"))
    stacks.wait_for(lambda: len(polls()) >= count + JOBS, 30, "polls")
    new = polls()[count:]
    time.sleep(0.5)
    comment(f"{JOBS} jobs: the last was polled {max(new) - due:.3f} s after they were due;"
            f" RssAnon {before} kB, then {memory_kb()} kB")
    equal(len(polls()) - count, JOBS, "polls: each job once")
    check(min(new) > due - 0.1, "before they were due")
    check(max(new) - due < LIMIT_S, f"the last was polled {max(new) - due:.3f} s after they were due")


@test
def it_stops_with_all_its_threads():
    rig.gengate.stop()
    equal(rig.gengate.process.returncode, 0, "exit status")
    rig.gengate.start()
    rig.wait_ready()
    rig.faults(delay=0)


@test
def logs_are_clean():
    e2e.check_logs(rig)


e2e.main(setup, lambda: rig and rig.stop())
