"""What one user may have, and what all together may: jobs in flight, requests that wait for
the database, requests that are parked."""

import concurrent.futures
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test

rig = None

# In the file, so that a reload finds others.
SETTINGS = {"slots_per_user": "3"}


def setup():
    global rig
    rig = e2e.Rig()
    write()
    rig.start()


def write(**settings):
    with open(rig.config_file, "w", encoding="utf-8") as f:
        f.writelines(f"{name} = {value}\n" for name, value in {**SETTINGS, **settings}.items())


def reload(**settings):
    before = len(rig.gengate.events("config.reloaded"))
    write(**settings)
    rig.gengate.signal(signal.SIGHUP)
    stacks.wait_for(lambda: len(rig.gengate.events("config.reloaded")) > before, 10, "the reload")


def at_once(n, function):
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        return list(pool.map(function, range(n)))


class LongJobs:
    """As long as they are wanted: the provider does not end any."""

    def __enter__(self):
        rig.set_sim(processing_ms=600000)
        return self

    def __exit__(self, *_):
        rig.set_sim(processing_ms=100)


def in_flight(user):
    return {job["id"] for job in rig.http("GET", "/status", user=user).json["jobs"]
            if job["status"] in ("starting", "processing")}


def end(user, job):
    answer = rig.http("POST", f"/generate/{job}/cancel", user=user, headers={"Prefer": "wait=20"})
    equal((answer.status, answer.json["status"]), (200, "canceled"), "end of a job")


# -- Jobs in flight

@test
def as_many_jobs_as_there_are_slots():
    with LongJobs():
        jobs = [rig.submit(f"slot {n}", user="slots")["id"] for n in range(3)]
        for _ in range(3):
            problem = e2e.check_problem(rig.post("one too many", user="slots"), 409, "generation_in_flight")
            equal(problem["job"]["id"], jobs[0], "the job in the way: the oldest")
        equal(in_flight("slots"), set(jobs), "jobs in flight")
        rig.submit("of somebody else", user="slots-of-another")
        end("slots", jobs[1])
        jobs[1] = rig.submit("in the slot that came free", user="slots")["id"]
        e2e.check_problem(rig.post("one too many", user="slots"), 409, "generation_in_flight")
        for job in jobs:
            end("slots", job)
        end("slots-of-another", *in_flight("slots-of-another"))


@test
def many_posts_at_once_are_as_many_jobs_as_there_are_slots():
    with LongJobs():
        for n in range(4):
            user = f"crowd-{n}"
            answers = at_once(50, lambda i: rig.post(f"of a crowd {i}", user=user))
            equal(sorted(a.status for a in answers), [202] * 3 + [409] * 47, "statuses")
            jobs = {a.json["id"] for a in answers if a.status == 202}
            equal(in_flight(user), jobs, "jobs in flight")
            for answer in answers:
                check(answer.status == 202 or answer.json["job"]["id"] in jobs, f"another job: {answer}")
            for job in jobs:
                end(user, job)


@test
def fewer_slots_by_a_reload():
    """What is above them goes on, and nothing new comes until there are fewer."""
    with LongJobs():
        jobs = [rig.submit(f"before {n}", user="fewer")["id"] for n in range(3)]
        try:
            reload(slots_per_user=2)
            # Where they are does not matter: the first slot comes free, the last ones stay.
            end("fewer", jobs[0])
            e2e.check_problem(rig.post("two are there", user="fewer"), 409, "generation_in_flight")
            equal(in_flight("fewer"), set(jobs[1:]), "jobs in flight")
            end("fewer", jobs[1])
            rig.submit("one was there", user="fewer")
            e2e.check_problem(rig.post("two are there again", user="fewer"), 409, "generation_in_flight")
            reload(slots_per_user=1)
            equal(len(in_flight("fewer")), 2, "jobs in flight: nobody ends them")
            for _ in range(2):
                e2e.check_problem(rig.post("more than one are there", user="fewer"), 409, "generation_in_flight")
                end("fewer", sorted(in_flight("fewer"))[0])
            rig.submit("nothing was there", user="fewer")
        finally:
            reload()
        for job in in_flight("fewer"):
            end("fewer", job)


@test
def jobs_above_the_slots_succeed():
    rig.set_sim(processing_ms=1500)
    try:
        jobs = [rig.submit(f"to the end {n}", user="above") for n in range(3)]
        reload(slots_per_user=1)
    finally:
        rig.set_sim(processing_ms=100)
    for job in jobs:
        rig.succeeds(job)
    rig.succeeds(rig.submit("after them", user="above"))
    reload()


@test
def nothing_is_left_in_flight():
    equal(rig.sql("SELECT * FROM generation_live"), [], "live rows")


@test
def logs_are_clean():
    e2e.check_logs(rig)


e2e.main(setup, lambda: rig and rig.stop())
