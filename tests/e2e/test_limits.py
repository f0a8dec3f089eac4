"""What one user may have, and what all together may: jobs in flight, requests that wait for
the database, requests that are parked."""

import concurrent.futures
import os
import re
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test

rig = None

# In the file, so that a reload finds others.
SETTINGS = {"slots_per_user": "3", "parked_per_user": "4", "parked_total": "10"}


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
    answer = rig.http("POST", f"/generate/{job}/cancel", user=user, headers={"Prefer": "respond-async"})
    check(answer.status in (200, 202), f"end of a job: {answer}")
    equal(rig.wait_settled(job, user=user)["status"], "canceled", "end of a job")


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


# -- Requests that wait for news

EVENTS = {"Accept": "text/event-stream"}


class Streams:
    """Open ones, which end with it."""

    def __init__(self):
        self.held = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close(len(self.held))

    def open(self, job, n=1, path="/status/{}"):
        """Each has to begin."""
        for _ in range(n):
            answer = rig.http("GET", path.format(job["id"]), user=job["user"], headers=EVENTS, stream=True)
            self.held.append(answer)
            equal((answer.status, answer.getheader("Content-Type")), (200, "text/event-stream"), "a stream")

    def close(self, n):
        for _ in range(n):
            self.held.pop().close()
        wait_parked(len(self.held))


def metric(name):
    """Its value in the one process, without the label of that."""
    for line in rig.http("GET", "/metrics").text.splitlines():
        name_and_labels, _, value = line.rpartition(" ")
        if re.sub(r'instance="[^"]*",?', "", name_and_labels).replace("{}", "") == name:
            return int(value)
    raise KeyError(name)


def parked():
    return metric("gengate_parked_requests")


def wait_parked(n):
    """One that is just being told of a change is not counted."""
    stacks.wait_for(lambda: parked() == n, 10, f"{n} parked requests")


def limited(by):
    return metric(f'gengate_limited_requests_total{{limit="{by}"}}')


def stream(job, path="/status/{}"):
    """One that ends at once, or fails; one that goes on says nothing for longer than this."""
    return rig.http("GET", path.format(job["id"]), user=job["user"], headers=EVENTS, timeout=5)


def check_refused(answer, status, code):
    e2e.check_problem(answer, status, code)
    check(int(answer.header("Retry-After")) >= 1, "no Retry-After")


def at_once_and_unwaited(method, path, user, status, prefer="wait=60", **more):
    began = time.monotonic()
    answer = rig.http(method, path, user=user, headers={"Prefer": prefer}, **more)
    equal(answer.status, status, f"status of {answer}")
    check(time.monotonic() - began < 4, "it waited")
    equal(answer.header("Preference-Applied"), None, "Preference-Applied")
    check(int(answer.header("Retry-After")) >= 1, "no Retry-After")
    return answer.json


@test
def streams_of_one_user():
    with LongJobs(), Streams() as streams:
        job, other = rig.submit("watched", user="watcher"), rig.submit("watched, too", user="another")
        streams.open(job, 3)
        streams.open(job, path="/status?id={}")
        before = limited("parked_per_user")
        for path in ("/status/{}", "/status?id={}"):
            check_refused(stream(job, path), 429, "too_many_requests")
        equal(limited("parked_per_user"), before + 2, "refused")
        wait_parked(4)
        streams.open(other, 2)
        streams.close(3)        # two of them are the other's
        streams.open(job)
        check_refused(stream(job), 429, "too_many_requests")
        end("watcher", job["id"])
        end("another", other["id"])
        # All of them were told the end, and nobody has to wait for what is over.
        wait_parked(0)
        streams.held.clear()
        for _ in range(9):
            equal(stream(job).status, 200, "status of a stream that is over")


@test
def what_cannot_wait_is_answered_at_once():
    with LongJobs(), Streams() as streams:
        job = rig.submit("watched", user="impatient")
        rig.wait_state(job, "running")
        streams.open(job, 4)
        shown = at_once_and_unwaited("GET", f"/status/{job['id']}", "impatient", 200)
        equal(shown["id"], job["id"], "job")
        # A job that was committed is never refused.
        more = [at_once_and_unwaited("POST", "/generate", "impatient", 202, prefer, json={"prompt": "at once"})["id"]
                for prefer in ("wait=60", "handling=lenient")]
        equal(in_flight("impatient"), {job["id"], *more}, "jobs in flight")
        rig.faults(cancel_429={"count": 1, "retry_after": 2})
        at_once_and_unwaited("POST", f"/generate/{job['id']}/cancel", "impatient", 202)
        equal(rig.wait_settled(job["id"], user="impatient")["status"], "canceled", "end")
        for one in more:
            end("impatient", one)


@test
def streams_of_all_users():
    with LongJobs(), Streams() as streams:
        jobs = [rig.submit("watched", user=f"of-all-{n}") for n in range(4)]
        for job, n in zip(jobs, (4, 4, 2)):
            streams.open(job, n)
        before = limited("parked_total")
        for job in jobs[2:]:
            check_refused(stream(job), 503, "overloaded")
        equal(limited("parked_total"), before + 2, "refused")
        wait_parked(10)
        at_once_and_unwaited("GET", f"/status/{jobs[3]['id']}", jobs[3]["user"], 200)
        # Fewer by a reload: who has a place keeps it.
        reload(parked_total=9)
        try:
            wait_parked(10)
            streams.close(1)
            check_refused(stream(jobs[3]), 503, "overloaded")
            streams.close(1)
            streams.open(jobs[3])
        finally:
            reload()
        streams.open(jobs[3])
        for job in jobs:
            end(job["user"], job["id"])


@test
def places_come_back():
    with LongJobs():
        job = rig.submit("watched", user="coming-and-going")
        for _ in range(12):
            with Streams() as streams:
                streams.open(job, 4)
                check_refused(stream(job), 429, "too_many_requests")
        end("coming-and-going", job["id"])


# -- Requests that wait for the database

# Of four connections requests have three; two more stand in line, or four webhooks.
CROWDED = {"threads": 8, "db_pool": 4, "db_timeout": "4s", "db_wait": "1s"}


def be(**settings):
    rig.configure(**settings)
    rig.gengate.restart()
    rig.wait_ready()


class Locked:
    """Nobody gets at a table meanwhile."""

    def __init__(self, table):
        self.table = table

    def __enter__(self):
        self.psql = subprocess.Popen([rig.psql, "-X", "-q", "-h", rig.pg_dir, "-U", "gengate", "-d", "gengate"],
                                     stdin=subprocess.PIPE, text=True, env=rig.environment())
        self.psql.stdin.write(f"BEGIN; LOCK TABLE {self.table} IN ACCESS EXCLUSIVE MODE;\n")
        self.psql.stdin.flush()
        stacks.wait_for(lambda: rig.sql(f"SELECT 1 FROM pg_locks WHERE relation = '{self.table}'::regclass"
                                        " AND mode = 'AccessExclusiveLock' AND granted"), 10, "the lock")
        return self

    def __exit__(self, *_):
        if self.psql:
            self.psql.communicate("ROLLBACK;\n")
        self.psql = None


class Crowd:
    """Clients that ask again and again, and what they were answered: status, code, seconds."""

    def __init__(self, n, call):
        self.call, self.stopping, self.answers = call, False, []
        self.threads = [threading.Thread(target=self._run, args=(i,)) for i in range(n)]

    def _run(self, i):
        while not self.stopping:
            began = time.monotonic()
            answer = self.call(i)
            self.answers.append((answer.status, answer.status >= 400 and answer.json["code"], time.monotonic() - began))

    def turned_away(self):
        return sum(code == "overloaded" for _, code, _ in self.answers)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping = True
        for thread in self.threads:
            thread.join()


def look(job):
    return rig.http("GET", f"/status/{job['id']}", user=job["user"])


@test
def a_database_that_is_slow_for_all():
    be(**CROWDED)
    job = rig.submit("looked at", user="crowded")
    rig.succeeds(job)
    before = limited("database")
    with Locked("generation_assets"), Crowd(40, lambda i: look(job)) as crowd:
        stacks.wait_for(lambda: crowd.turned_away() > 200, 20, "refusals")
        # What does not need the database is answered meanwhile.
        began = time.monotonic()
        equal(rig.http("GET", "/healthz").status, 200, "/healthz")
        check(time.monotonic() - began < 1, "/healthz took too long")
    statuses = {answer[:2] for answer in crowd.answers}
    check(statuses <= {(503, "overloaded"), (503, "database_unavailable"), (200, False)}, f"answers: {statuses}")
    longest = max(seconds for _, _, seconds in crowd.answers)
    # All threads may be taken when it begins, until db_timeout; who comes then has that once more.
    check(longest < 4 + 4 + 2, f"one took {longest:.1f} s")
    # Most of them at once; what stood in line before it was full took its time.
    quick = sorted(seconds for _, code, seconds in crowd.answers if code == "overloaded")
    check(quick[len(quick) // 2] < 0.5, f"half of the refusals took {quick[len(quick) // 2]:.2f} s or longer")
    check_refused_alike(crowd, before)
    equal([look(job).status for _ in range(20)], [200] * 20, "statuses after that")
    rig.succeeds(rig.submit("after that", user="crowded"))


def check_refused_alike(crowd, before):
    check(limited("database") - before >= crowd.turned_away() > 0, "refusals that were not counted")


@test
def every_call_of_a_user_may_be_turned_away():
    job = rig.submit("looked at", user="turned-away")
    rig.succeeds(job)
    calls = [("GET", "/status"), ("HEAD", "/status"), ("GET", f"/status/{job['id']}"), ("HEAD", f"/status/{job['id']}"),
             ("POST", "/generate"), ("POST", f"/generate/{job['id']}/cancel"), ("POST", f"/generate/{job['id']}/retry"),
             ("DELETE", f"/generate/{job['id']}")]
    with Locked("generation_jobs"), Crowd(30, lambda i: look(job)) as crowd:
        stacks.wait_for(lambda: crowd.turned_away() > 100, 20, "refusals")
        for method, path in calls:
            more = {"json": {"prompt": "a lighthouse"}} if path == "/generate" else {}
            answer = stacks.wait_for(lambda: refusal(method, path, **more), 20, f"refusal of {method} {path}")
            check(int(answer.header("Retry-After")) >= 1, f"no Retry-After: {answer}")
            if method != "HEAD":
                e2e.check_problem(answer, 503, "overloaded")
    equal(rig.http("DELETE", f"/generate/{job['id']}", user="turned-away").status, 204, "it is still there")


def refusal(method, path, **more):
    """NULL if it was in line long enough to have a connection, which then got nothing in time."""
    answer = rig.http(method, path, user="turned-away", **more)
    equal(answer.status, 503, f"status of {answer}")
    return answer if method == "HEAD" or answer.json["code"] == "overloaded" else None


@test
def webhooks_are_turned_away_last():
    """Users are turned away, and it is taken when its turn comes."""
    rig.set_sim(processing_ms=600000)
    job = rig.submit("told of", user="told-of")
    rig.wait_state(job, "running")
    path, body = rig.webhook_path(job), {"id": rig.one_prediction(job)["id"], "status": "processing"}
    with concurrent.futures.ThreadPoolExecutor(1) as one:
        with Locked("generation_live") as locked, Crowd(30, lambda i: rig.post(user=f"told-of-{i}")) as crowd:
            stacks.wait_for(lambda: crowd.turned_away() > 100, 20, "refusals")
            told = one.submit(rig.webhook, path, body)
            before = crowd.turned_away()
            stacks.wait_for(lambda: crowd.turned_away() > before + 100, 20, "more refusals")
            crowd.stopping = True
            locked.__exit__()
            equal(told.result().status, 200, "the webhook's status")
    # Too many of them are told to come again, too.
    with Locked("generation_live"), Crowd(30, lambda i: rig.webhook(path, body)) as crowd:
        stacks.wait_for(lambda: crowd.turned_away() > 20, 20, "refused webhooks")
    equal(rig.webhook(path, body).status, 200, "status after that")
    rig.set_sim(processing_ms=100)
    for user in ["told-of"] + [f"told-of-{i}" for i in range(30)]:
        for one in in_flight(user):
            rig.http("POST", f"/generate/{one}/cancel", user=user, headers={"Prefer": "respond-async"})
            rig.wait_settled(one, user=user)


@test
def nothing_is_left_in_flight():
    equal(rig.sql("SELECT * FROM generation_live"), [], "live rows")


@test
def logs_are_clean():
    e2e.check_logs(rig)


e2e.main(setup, lambda: rig and rig.stop())
