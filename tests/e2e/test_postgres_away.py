"""PostgreSQL stops, hangs and comes back: gengate says so, and loses nothing."""

import concurrent.futures
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test

USERS = 20
rig = None


def setup():
    global rig
    rig = e2e.Rig(gengates=2, config={"db_timeout": "2s"}).start()
    # The provider tries for longer than we are away.
    rig.set_sim(webhook_retries=8)


def check_away(answer):
    """503, when to come back, and nothing of where the database is."""
    problem = e2e.check_problem(answer, 503, "database_unavailable")
    check(int(answer.header("Retry-After")) >= 1, "no Retry-After")
    check(rig.pg_dir not in answer.text and "postgres" not in answer.text.lower(), f"too much is told: {problem}")
    return problem


def wait_away():
    stacks.wait_for(lambda: rig.http("GET", "/readyz").status == 503, 10, "notice that it is away")


def check_all_away(job):
    check_away(rig.post(user="nobody-yet"))
    check_away(rig.http("GET", f"/status/{job['id']}", user=job["user"]))
    check_away(rig.webhook(f"/webhooks/replicate?job={job['token']}", {"id": "x", "status": "processing"}))
    check(check_away(rig.http("GET", "/readyz"))["reasons"], "no reasons")
    equal((rig.http("GET", "/healthz").status, rig.http("GET", "/healthz").json), (200, {"status": "ok"}), "/healthz")


def start_long_job(prompt):
    """A job that the provider works on for a while."""
    job = rig.submit(prompt)
    rig.wait_state(job, "running")
    job["token"] = rig.webhook_path(job).partition("job=")[2]
    return job


def check_end(job):
    end = rig.succeeds(job, timeout=45)
    rig.one_prediction(job)
    equal(len(rig.objects(job)), len(end["assets"]), "objects")
    equal(rig.trail(job).count("stored"), 1, "ends")


@test
def stopped_and_started_again():
    rig.set_sim(processing_ms=1500)
    job = start_long_job("before the stop")
    rig.postgres.stop()
    wait_away()
    check_all_away(job)
    # Its end comes while nobody can write it down.
    stacks.wait_for(lambda: rig.one_prediction(job)["status"] == "succeeded", 10, "end at the provider")
    rig.set_sim(processing_ms=100)
    rig.postgres.start()
    rig.wait_ready()
    check_end(job)
    check_end(rig.submit("after the stop"))
    for part in rig.gengates:
        check(part.alive(), f"{part.name} is gone")


@test
def killed_and_started_again():
    rig.set_sim(processing_ms=1000)
    job = start_long_job("before the crash")
    rig.postgres.kill()
    wait_away()
    check_all_away(job)
    rig.set_sim(processing_ms=100)
    rig.postgres.start()
    rig.wait_ready()
    check_end(job)


@test
def a_database_that_hangs():
    """It is there and connected, and does not answer: db_timeout ends the wait."""
    rig.set_sim(processing_ms=1000)
    job = start_long_job("before the hang")
    rig.postgres.pause()
    try:
        began = time.monotonic()
        check_all_away(job)
        check(time.monotonic() - began < 25, "that took too long")
    finally:
        rig.postgres.resume()
    rig.set_sim(processing_ms=100)
    rig.wait_ready()
    check_end(job)


@test
def an_answer_that_cannot_be_written_down():
    """The provider has accepted; that must not be forgotten because the database is away just
    then.  There is no webhook to tell us again."""
    rig.faults(webhook_lost={"count": -1, "match": "in hand"}, create_late={"count": 1, "delay_ms": 1000})
    job = rig.submit("in hand")
    stacks.wait_for(lambda: rig.predictions(job), 10, "prediction")
    equal(rig.state(job), "submitting", "state")
    rig.postgres.stop()
    wait_away()
    # The answer came.
    stacks.wait_for(lambda: rig.one_prediction(job)["status"] == "succeeded", 10, "end at the provider")
    time.sleep(1)
    # Longer than the lease.
    time.sleep(4)
    rig.postgres.start()
    rig.wait_ready()
    check_end(job)
    rig.faults(webhook_lost=0)


@test
def a_restart_in_the_middle_of_many_jobs():
    rig.set_sim(starting_ms=300, processing_ms=500)

    def one(n):
        """As a good client does: the same key until there is an answer."""
        user = f"many-{n}"
        end = time.monotonic() + 40
        while True:
            answer = rig.post(f"of many {n}", user=user, count=1 + n % 2, headers={"Idempotency-Key": f"key-{n}"})
            if answer.status in (200, 202):
                return {**answer.json, "user": user, "count": 1 + n % 2}
            check_away(answer)
            check(time.monotonic() < end, f"never accepted: {answer}")
            time.sleep(0.2)

    with concurrent.futures.ThreadPoolExecutor(USERS) as pool:
        jobs = [pool.submit(one, n) for n in range(USERS // 2)]
        stacks.wait_for(lambda: any(job.done() for job in jobs), 20, "first job")
        jobs += [pool.submit(one, n) for n in range(USERS // 2, USERS)]
        rig.postgres.restart()
        jobs = [job.result() for job in jobs]
    equal(len({job["id"] for job in jobs}), USERS, "jobs")
    for job in jobs:
        check_end(job)
        equal(len(rig.objects(job)), job["count"], "objects")
    equal(rig.sql_value("SELECT count(*) FROM generation_jobs WHERE request->>'prompt' LIKE 'of many%'"), str(USERS),
          "jobs in the database")
    rig.set_sim(starting_ms=50, processing_ms=100)


@test
def two_gengates_share_the_work():
    """Each job is one's at a time, whoever took it from the client."""
    jobs = [rig.submit(f"shared {n}", count=2) for n in range(10)]
    for job in jobs:
        check_end(job)
    ids = {job["id"] for job in jobs}
    both = [{e["job"] for e in part.events("job.moved")} & ids for part in rig.gengates]
    check(all(both), "one has done nothing")
    equal(both[0] | both[1], ids, "jobs that somebody moved")


@test
def without_a_schema_it_is_not_ready():
    rig.sql("ALTER TABLE generation_migrations RENAME TO elsewhere")
    try:
        problem = e2e.check_problem(rig.http("GET", "/readyz"), 503, "database_unavailable")
        check("migrate" in problem["reasons"][0], f"reasons: {problem}")
    finally:
        rig.sql("ALTER TABLE elsewhere RENAME TO generation_migrations")
    rig.wait_ready()


@test
def nothing_is_left_in_flight():
    equal(rig.sql("SELECT * FROM generation_live"), [], "live rows")


@test
def logs_are_clean():
    e2e.check_logs(rig)


e2e.main(setup, lambda: rig and rig.stop())
