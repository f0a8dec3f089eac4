"""What has been kept for long enough goes, by itself, and nothing else does."""

import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test

ONCE = ("work", "--once")

rig = None


def setup():
    global rig
    rig = e2e.Rig(gengates=2).start()


def count(table, job):
    column = "id" if table == "jobs" else "job_id"
    return int(rig.sql_value(f"SELECT count(*) FROM generation_{table} WHERE {column} = '{job['id']}'"))


def found(job):
    return rig.http("GET", f"/status/{job['id']}", user=job["user"]).status


def batches(log):
    """Of the log lines of pruning: the sums."""
    events = [e for e in map(e2e.json.loads, log.splitlines()) if e["event"] == "retention.pruned"]
    return {what: sum(e[what] for e in events) for what in ("jobs", "events", "files")}


@test
def nothing_goes_unless_asked():
    job = rig.submit("for ever")
    rig.succeeds(job)
    done = rig.gengate_command(*ONCE)
    equal(batches(done.stderr), {"jobs": 0, "events": 0, "files": 0}, "pruned")
    done = rig.gengate_command(*ONCE, retain_jobs="1h", retain_events="1h", retain_files="off")
    equal(batches(done.stderr), {"jobs": 0, "events": 0, "files": 0}, "pruned")
    equal((found(job), count("assets", job), len(rig.objects(job))), (200, 1, 1), "job, outputs, files")
    check(len(rig.trail(job)) >= 4, f"trail: {rig.trail(job)}")
    check("pruning" in [row[0] for row in rig.sql("SELECT name FROM generation_shared")], "nobody looked")


@test
def trails_go_before_their_jobs():
    job = rig.submit("without a past")
    rig.succeeds(job)
    done = rig.gengate_command(*ONCE, retain_events="1ms")
    equal(rig.trail(job), [], "trail")
    equal((found(job), count("assets", job), len(rig.objects(job))), (200, 1, 1), "job, outputs, files")
    sums = batches(done.stderr)
    check(sums["jobs"] == 0 and sums["events"] >= 4, f"pruned: {sums}")
    # The next round begins where this one has ended; it still finds what came since.
    other = rig.submit("another one")
    rig.succeeds(other)
    sums = batches(rig.gengate_command(*ONCE, retain_events="1ms").stderr)
    check(sums["events"] >= 4, f"pruned: {sums}")
    equal(rig.trail(other), [], "trail")


@test
def jobs_go_and_their_files_stay():
    rig.set_sim(processing_ms=600000)
    live = rig.submit("[endless]")
    rig.set_sim(processing_ms=100)
    job = rig.submit("gone", headers={"Idempotency-Key": "one"})
    rig.succeeds(job)
    key = rig.objects(job)
    rig.wait_state(live, "running")
    rig.gengate_command(*ONCE, retain_jobs="1ms")
    equal((found(job), count("jobs", job), count("assets", job), count("events", job)), (404, 0, 0, 0), "the job")
    equal(rig.objects(job), key, "files")
    equal(len(key), 1, "files")
    # What runs stays as it is, however old; its trail, too.
    equal((found(live), rig.state(live)), (200, "running"), "the live one")
    check(len(rig.trail(live)) >= 3, f"trail: {rig.trail(live)}")
    # The key lived as long as its job.
    again = rig.submit("gone", user=job["user"], headers={"Idempotency-Key": "one"})
    check(again["id"] != job["id"], "the same job")
    rig.http("POST", f"/generate/{live['id']}/cancel", user=live["user"])
    rig.settled(live)
    rig.succeeds(again)


@test
def files_go_when_asked():
    job = rig.submit("with its files", count=3)
    rig.succeeds(job)
    equal(len(rig.objects(job)), 3, "files before")
    sums = batches(rig.gengate_command(*ONCE, retain_jobs="1ms", retain_files="off").stderr)
    check(sums["files"] >= 3, f"pruned: {sums}")
    equal(found(job), 404, "status")
    # Whoever was there first has the removal: this command or one of the two that serve.
    stacks.wait_for(lambda: rig.objects(job) == [], 15, "end of the files")
    equal(rig.sql_value("SELECT count(*) FROM generation_removals"), "0", "removals")


@test
def what_serves_prunes_too():
    jobs = [rig.submit(f"number {n}") for n in range(5)]
    for job in jobs:
        rig.succeeds(job)
    before = int(rig.sql_value("SELECT count(*) FROM generation_jobs WHERE completed_at IS NOT NULL"))
    check(before >= 5, f"jobs: {before}")
    rig.configure(retain_jobs="1ms")
    for gengate in rig.gengates:
        gengate.restart()
    rig.wait_ready()
    stacks.wait_for(lambda: rig.sql_value("SELECT count(*) FROM generation_jobs") == "0", 20, "end of the jobs")
    # Both would like to, one does; together they counted each job once.
    def counted():
        text = "".join(rig.http("GET", "/metrics").text for _ in range(2))
        return sum({m[1]: int(m[2]) for m in re.finditer(
            r'gengate_pruned_total\{instance="([^"]+)",what="jobs"\} ([0-9]+)', text)}.values())
    stacks.wait_for(lambda: counted() == before, 10, f"count of {before}")
    equal(sum(batches(gengate.log())["jobs"] for gengate in rig.gengates), before, "jobs in the logs")


@test
def a_wrong_age_is_said():
    done = rig.gengate_command(*ONCE, check=False, retain_jobs="30", retain_events="9999d")
    equal(done.returncode, 78, "exit status")
    check("RETAIN_JOBS" in done.stderr and "RETAIN_EVENTS" in done.stderr, done.stderr)


@test
def logs():
    e2e.check_logs(rig)


def teardown():
    if rig:
        rig.stop()


e2e.main(setup, teardown)
