"""Rows of the fault matrix: gengate is short of memory, at each place where it allocates,
and altogether for a while.

Clients do all that clients do, over and over.  An answer is whole, or says that memory was
short, or does not come; and at its end gengate has freed what it had allocated."""

import itertools
import json
import os
import threading
import time

from fault import NOT_NOW, Job, Rig, Row, stacks
from tap import comment


def one_gengate(**options):
    """It is one process whose places all fail; a job that many failures meet waits longer and longer."""
    return Rig(gengates=1, config={"job_timeout": "10m", "uncertain_grace": "1s"}, **options)


STACKS = {"one gengate": one_gengate}


JOB_MEMBERS = {"id", "status", "model", "provider", "assets", "error", "metadata", "cost", "created_at",
               "started_at", "completed_at", "links"}
ASSET_MEMBERS = {"index", "url", "expires_at", "content_type", "bytes", "width", "height", "sha256"}
PROBLEM_MEMBERS = {"type", "title", "status", "code", "detail", "request_id"}
METADATA = {"of": "this test", "list": [1, 2.5, None, True]}

CLIENTS = 48
SPACING_S = 0.005       # between two failures
QUIET_S = 3             # no new place for so long, in spite of all that clients do: that was all
PLACES_S = 20           # but no longer than this
PLACES_MIN = 500
CANCELLED = 4           # every fourth job


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def is_cancelled(number):
    return number % CANCELLED == 0


def wanted_end(number):
    return "canceled" if is_cancelled(number) else "succeeded"


class Client:
    """One user, who has everything that gengate does done to one job after the other."""

    def __init__(self, crowd, number):
        self.crowd, self.run = crowd, crowd.run
        self.user = f"{self.run.row.name} {number}"
        self.turn = itertools.count(number)

    def http(self, method, path, **what):
        """None: the connection was dropped."""
        try:
            return self.run.rig.http(method, path, user=self.user, timeout=20, **what)
        except OSError:
            return None

    def ask(self, method, path, *statuses, **what):
        end = time.monotonic() + self.run.row.timeout
        while time.monotonic() < end:
            answer = self.http(method, path, **what)
            if answer and answer.status not in NOT_NOW:
                check(answer.status in statuses, f"{method} {path}: {answer}")
                return answer
            if answer and answer.status != 502:     # nginx's: there was no memory for any answer
                check(PROBLEM_MEMBERS <= set(answer.json), f"{method} {path}: {answer}")
            time.sleep(0.05)
        raise AssertionError(f"no answer to {method} {path}: {answer}")

    @staticmethod
    def check_job(job):
        check(set(job) == JOB_MEMBERS, f"members are missing: {job}")
        check(job["metadata"] == METADATA, f"the metadata is another: {job}")
        for asset in job["assets"]:
            check(set(asset) == ASSET_MEMBERS and all(asset[m] for m in ("url", "bytes", "sha256")),
                  f"members are missing: {asset}")

    def create(self):
        job = self.crowd.new_job(self.user)
        prompt = "[endless]" if is_cancelled(job.number) else self.run.row.prompt
        body = {"prompt": f"{prompt} ({self.user} {job.number})", "metadata": METADATA, "seed": 7, "count": 2}
        prefer = ("respond-async", "wait=2", "")[next(self.turn) % 3]
        answer = self.ask("POST", "/generate", 200, 202, json=body,
                          headers={"Idempotency-Key": job.key, **({"Prefer": prefer} if prefer else {})})
        self.check_job(answer.json)
        job.id = answer.json["id"]
        return job

    def look(self, job):
        turn = next(self.turn) % 4
        path = f"/status/{job.id}"
        if turn == 0:
            self.stream(path)
        elif turn == 1:
            self.check_job(self.ask("GET", path, 200, headers={"Prefer": "wait=2"}).json)
        elif turn == 2:
            page = self.ask("GET", "/status?limit=2&status=starting,processing,succeeded,failed,canceled", 200).json
            for each in page["jobs"]:
                self.check_job(each)
        else:
            answer = self.ask("GET", f"/status?id={job.id}", 200)
            self.check_job(answer.json)
            self.ask("GET", path, 200, 304, headers={"If-None-Match": answer.header("ETag")})
            self.ask("GET", path + "?x=%41", 200)

    def stream(self, path):
        """One that breaks off is one that had no memory to go on."""
        try:
            stream = self.run.rig.http("GET", path, user=self.user, timeout=20, stream=True,
                                       headers={"Accept": "text/event-stream"})
            with stream:
                if stream.status != 200:
                    return
                text = stream.read().decode()
        except OSError:
            return
        for line in text.splitlines():
            if line.startswith("data: {\""):
                self.check_job(json.loads(line.removeprefix("data: ")))

    def refused(self):
        """What is not taken, and why."""
        problem = self.ask("POST", "/generate", 400, json={"prompt": 7, "nonsense": []}).json
        check({each["pointer"] for each in problem["errors"]} == {"/prompt", "/nonsense"}, f"errors: {problem}")
        problem = self.ask("GET", "/status?limit=x&y=z", 400).json
        check(len(problem["errors"]) == 2, f"errors: {problem}")
        self.ask("GET", "/readyz", 200)
        self.ask("GET", "/metrics", 200)
        self.ask("GET", "/nowhere", 404)

    def one_job(self):
        job = self.create()
        if is_cancelled(job.number):
            self.ask("POST", "/generate", 409, 200, 202, json={"prompt": "another"},
                     headers={"Idempotency-Key": job.key + "-another"})
            self.ask("POST", f"/generate/{job.id}/cancel", 200, 202, 409)
        else:
            self.refused()
        end = time.monotonic() + self.run.row.timeout
        while time.monotonic() < end:
            self.look(job)
            answer = self.ask("GET", f"/status/{job.id}", 200)
            if answer.json["status"] in stacks.SETTLED:
                self.check_job(answer.json)
                return
        raise AssertionError(f"job {job.number} has not ended: {answer}")


class Crowd:
    """Clients that go on until it is enough."""

    def __init__(self, run):
        self.run = run
        self.enough = threading.Event()
        self.lock = threading.Lock()
        for number in range(CLIENTS):
            run.spawn(self.work, Client(self, number))

    def new_job(self, user):
        with self.lock:
            number = len(self.run.jobs)
            self.run.jobs.append(Job(number, user, f"key-{number}-{time.time_ns()}"))
            return self.run.jobs[-1]

    def work(self, client):
        try:
            while not self.enough.is_set():
                client.one_job()
        except BaseException:
            self.enough.set()
            raise


# -- What is left of it

def descriptors(part):
    """What is no socket: those are kept as they are needed."""
    folder = f"/proc/{part.pid}/fd"
    found = []
    for name in os.listdir(folder):
        try:
            found.append(os.readlink(os.path.join(folder, name)))
        except OSError:     # closed since
            pass
    return sorted(path for path in found if not path.startswith("socket:"))


def leaves_nothing(run):
    """All gengates live, have no file open that they had not before, and free everything."""
    for part in run.rig.gengates:
        check(part.alive(), f"{part.name} has ended")
        check(descriptors(part) == run.descriptors[part.name], f"{part.name} has open: {descriptors(part)}")
        memory = run.rig.memory(part)
        status = part.stop()
        check(status == 0, f"{part.name} ended with {status}")
        check(memory["outstanding"] == 0, f"{part.name} has not freed {memory['outstanding']} allocations")
        part.start()
    run.rig.wait_ready()


def note_descriptors(run):
    run.descriptors = {part.name: descriptors(part) for part in run.rig.gengates}


# -- The rows

def at_each_place(run):
    memory = run.rig.memory(run.rig.gengate)
    crowd = Crowd(run)
    memory.fail_each_place(SPACING_S)
    end, quiet_since, places = time.monotonic() + PLACES_S, time.monotonic(), 0
    while not crowd.enough.wait(0.2) and time.monotonic() < end and time.monotonic() - quiet_since < QUIET_S:
        if memory["places"] > places:
            quiet_since, places = time.monotonic(), memory["places"]
    goes_on = not crowd.enough.is_set()     # else a client says what is wrong
    crowd.enough.set()
    memory.restore()
    comment(f"{places} places that allocate have failed")
    check(not goes_on or places > PLACES_MIN, f"{places} places only")


def for_a_second(run):
    memories = [run.rig.memory(part) for part in run.rig.gengates]
    for _ in range(4):
        time.sleep(0.5)
        for memory in memories:
            memory.fail_all()
        time.sleep(1)
        for memory in memories:
            memory.restore()


ROWS = [
    Row("no memory, once at each place", jobs=0, stack="one gengate", before=note_descriptors, during=at_each_place,
        after=leaves_nothing, end=wanted_end, timeout=90),
    # So slow that there are always creates without an answer; and no webhook tells half of the jobs.
    Row("no memory, for a second", jobs=40, apart_s=0.15, before=note_descriptors, during=for_a_second,
        faults={"webhook_lost": 40, "delay": {"count": -1, "delay_ms": 300, "match": "POST /replicate/v1"}},
        after=leaves_nothing, timeout=90),
]
