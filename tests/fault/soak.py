"""The soak: random faults every few seconds, a gengate killed every 15 seconds.

	soak.py [SECONDS] [--seed N]

Clients create, cancel, poll and stream through nginx and three gengates, while provider,
storage, webhooks, PostgreSQL, nginx and the gengates themselves go wrong at random.  Then all
faults end, everything has to settle, and is counted as in the fault matrix.  The first gengate
is never killed: its memory and its descriptors must not grow.
"""

import argparse
import dataclasses
import http.client
import os
import random
import shutil
import statistics
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fault
from fault import LEASE_S, Job, Rig, Row, Run, stacks
from tap import comment, skip_all

SECONDS = 60
KILL_EVERY_S = 15
FAULT_EVERY_S = (1, 4)
SETTLES_WITHIN_S = 150      # the longest pause between two tries is a minute
USERS = 20
CANCELLED = 5               # every fifth job

# The second half's median above the first half's: connections that are kept after a rush, and
# what the C library's arenas keep of it.
DESCRIPTORS_MORE = 64       # what nginx keeps to each of its servers
RSS_MORE_KB = 8192


@dataclasses.dataclass
class Fault:
    name: str
    begin: object               # functions of the rig
    end: object = None
    lasts_s: tuple = (0.5, 3)


def switch(name, count=3, **more):
    """One of the simulator's, for so many times at most."""
    return Fault(name, lambda rig: rig.faults(**{name: {"count": count, **more}}), lambda rig: rig.faults(**{name: 0}))


def terminate(rig):
    rig.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = 'gengate' AND pid <> pg_backend_pid()", check=False)


# What an operator, a provider or a storage means ends jobs and is none of these: 401, 402, 422,
# not found five times in a row, another file under an output's name.
FAULTS = [
    switch("create_429", retry_after=1), switch("create_500_before"), switch("create_500_after"),
    switch("create_drop_before"), switch("create_drop_after"), switch("create_late", delay_ms=1500),
    switch("create_hang", delay_ms=3000), switch("create_cut"),
    switch("get_404", 2), switch("get_429", retry_after=1), switch("get_500", 10),
    switch("list_429", retry_after=1), switch("list_500"),
    switch("api_html"), switch("api_cut"), switch("api_reset"), switch("cancel_500"), switch("cancel_drop_after"),
    switch("webhook_lost", 10), switch("webhook_twice", 10), switch("webhook_late", 10),
    switch("webhook_bad_signature", 10), switch("webhook_stale", 10), switch("webhook_before_answer", 2),
    switch("delivery_404", 2), switch("delivery_500"), switch("delivery_slow", 10), switch("delivery_cut"),
    switch("storage_500", 6), switch("storage_429", 6), switch("storage_544", 6), switch("storage_html_502", 6),
    switch("storage_403", 6), switch("storage_slow", 10), switch("storage_drop_before"),
    switch("storage_drop_after"),
    Fault("storage: away", lambda rig: rig.storage.refuse(), lambda rig: rig.storage.accept()),
    Fault("storage: silent", lambda rig: rig.storage.silence(), lambda rig: rig.storage.speak()),
    Fault("PostgreSQL: away", lambda rig: rig.postgres.stop(), lambda rig: rig.postgres.start()),
    Fault("PostgreSQL: killed", lambda rig: rig.postgres.kill(), lambda rig: rig.postgres.start(), (0, 1)),
    Fault("PostgreSQL: cut in statements", terminate),
    Fault("PostgreSQL: connections reset", lambda rig: rig.database.reset()),
    Fault("PostgreSQL: silent", lambda rig: rig.database.silence(), lambda rig: rig.database.speak()),
    Fault("nginx: reloaded", lambda rig: rig.nginx.signal(stacks.signal.SIGHUP)),
    Fault("nginx: restarted", lambda rig: rig.nginx.stop(), lambda rig: rig.nginx.start(), (0, 1)),
    Fault("memory: none", lambda rig: rig.fail_all(True), lambda rig: rig.fail_all(False), (0.2, 1)),
]


class SoakRig(Rig):
    def __init__(self):
        super().__init__(gengates=3, database_pipe=True, storage_pipe=True,
                         config={"job_timeout": "20m", "uncertain_grace": "2s"})

    def fail_all(self, fails):
        """A gengate that comes anew has memory."""
        for part in self.gengates:
            try:
                self.memory(part)["failing"] = int(fails)
            except FileNotFoundError:   # it has just been started
                pass


# -- Clients

class Soak(Run):
    def __init__(self, rig):
        super().__init__(rig, Row("soak", jobs=0, timeout=SETTLES_WITHIN_S,
                                  end=lambda n: "succeeded|canceled" if n % CANCELLED == 0 else "succeeded"))
        self.lock = threading.Lock()
        self.end_at = None

    def begin(self, seconds):
        self.end_at = time.monotonic() + seconds

    @property
    def red(self):
        return bool(self.why or self.counts.bad or not self.counts.settled)

    def go_on(self):
        return time.monotonic() < self.end_at

    def new_job(self, user):
        with self.lock:
            self.jobs.append(Job(len(self.jobs), user, f"soak-{len(self.jobs)}-{time.time_ns()}"))
            return self.jobs[-1]

    def look(self, job, how):
        """What a good client does with an answer that it does not get: it asks again."""
        if how == 0:
            return self.ask(job, "GET", f"/status/{job.id}", headers={"Prefer": "wait=2"})
        if how == 1:
            self.stream(job)
        time.sleep(0.2)
        return self.ask(job, "GET", f"/status/{job.id}")

    def stream(self, job):
        try:
            with self.rig.http("GET", f"/status/{job.id}", user=job.user, timeout=5, stream=True,
                               headers={"Accept": "text/event-stream"}) as stream:
                stream.read()
        except (OSError, http.client.HTTPException):
            pass

    def one_job(self, user, chance):
        job = self.new_job(user)
        prompt = "[slow]" if job.number % CANCELLED == 0 else "a lighthouse"
        body = {"prompt": f"{prompt} ({user} {job.number})", "width": 64, "height": 64,
                "count": chance.randint(1, 2)}
        prefer = chance.choice(("respond-async", "wait=1"))
        answer = self.ask(job, "POST", "/generate", json=body,
                          headers={"Prefer": prefer, "Idempotency-Key": job.key})
        if answer.status not in (200, 202):
            raise AssertionError(f"job {job.number} was not taken: {answer}")
        job.id = answer.json["id"]
        if job.number % CANCELLED == 0:
            time.sleep(chance.uniform(0, 1))
            self.ask(job, "POST", f"/generate/{job.id}/cancel")
        how = chance.randint(0, 2)
        while self.go_on() and self.look(job, how).json["status"] not in stacks.SETTLED:
            pass
        self.ask(job, "GET", "/status?limit=5")

    def user(self, number, seed):
        chance = random.Random(seed)
        while self.go_on():
            self.one_job(f"soak {number}", chance)
            time.sleep(chance.uniform(0, 1))

    # Of all jobs: their ids are too many for one statement.
    def _n_settled(self):
        found = self.rig.sql(f"SELECT count(*) FROM generation_jobs WHERE status IN ({fault.STATUS_ENDS})", check=False)
        return int(found[0][0]) if found else 0

    def _n_in_books(self):
        return int(self.rig.sql_value("SELECT count(*) FROM generation_jobs"))


# -- Faults

class Trouble:
    """Draws faults, and kills; says what it did."""

    def __init__(self, soak, seed):
        self.soak, self.rig = soak, soak.rig
        self.seed = seed
        self.began = time.monotonic()
        self.done = {}

    def say(self, what):
        self.done[what] = self.done.get(what, 0) + 1
        comment(f"{time.monotonic() - self.began:6.1f} s  {what}")

    def faults(self):
        chance = random.Random(f"{self.seed} faults")
        while self.soak.go_on():
            drawn = chance.choice(FAULTS)
            self.say(drawn.name)
            drawn.begin(self.rig)
            time.sleep(chance.uniform(*drawn.lasts_s))
            if drawn.end:
                drawn.end(self.rig)
            time.sleep(chance.uniform(*FAULT_EVERY_S))

    def kills(self):
        """Not the first gengate: it is the one that has to last."""
        chance = random.Random(f"{self.seed} kills")
        turn = 0
        while self.soak.go_on():
            time.sleep(KILL_EVERY_S / 3)
            part = chance.choice(self.rig.gengates[1:])
            turn += 1
            if turn % 3 == 0:
                self.say(f"{part.name}: killed")
                part.kill()
                time.sleep(chance.uniform(0, 1))
            elif turn % 3 == 1:
                part = chance.choice(self.rig.gengates)
                self.say(f"{part.name}: stopped for two leases")
                part.pause()
                time.sleep(2 * LEASE_S)
                part.resume()
            else:
                self.say(f"{part.name}: restarted")
                part.stop()
            part.start(wait=False)


# -- What may not grow

class Watch:
    """One gengate's descriptors and memory, each second."""

    def __init__(self, soak, part):
        self.soak, self.part = soak, part
        self.seen = []

    def run(self):
        while self.soak.go_on():
            self.seen.append((self.n_descriptors(), self.rss_kb()))
            time.sleep(1)

    def n_descriptors(self):
        return len(os.listdir(f"/proc/{self.part.pid}/fd"))

    def rss_kb(self):
        with open(f"/proc/{self.part.pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("RssAnon:"))

    def judge(self):
        half = len(self.seen) // 2
        for name, column, more in (("descriptors", 0, DESCRIPTORS_MORE), ("RssAnon in kB", 1, RSS_MORE_KB)):
            first = int(statistics.median(each[column] for each in self.seen[:half]))
            second = int(statistics.median(each[column] for each in self.seen[half:]))
            comment(f"{self.part.name}: {name}: {first} in the first half, {second} in the second;"
                    f" at most {first + more} allowed")
            if second > first + more:
                self.soak.why.append(f"{name} grew from {first} to {second}")


def calm(rig):
    """All faults end, whatever was under way."""
    rig.sim_call("POST", "faults", {name: 0 for name in rig.sim_call("GET", "faults")})
    rig.storage.accept()
    for pipe in rig.pipes:
        pipe.accept()
        pipe.speak()
    rig.fail_all(False)
    for part in rig.parts:
        part.resume()
        part.start()


def leaves_nothing(soak):
    for part in soak.rig.gengates:
        memory = soak.rig.memory(part)
        status = part.stop()
        if status != 0 or memory["outstanding"] != 0:
            soak.why.append(f"{part.name} ended with {status} and has not freed {memory['outstanding']} allocations")


def soak_for(soak, seconds, seed):
    rig = soak.rig
    rig.start()
    rig.fresh()
    rig.set_sim(list_lag_ms=300, slow_ms=1500)
    soak.begin(seconds)
    trouble, watch = Trouble(soak, seed), Watch(soak, rig.gengates[0])
    began = time.monotonic()
    with fault.concurrent.futures.ThreadPoolExecutor(USERS + 3) as soak.pool:
        for number in range(USERS):
            soak.spawn(soak.user, number, f"{seed} {number}")
        for work in (trouble.faults, trouble.kills, watch.run):
            soak.spawn(work)
        for work in soak.spawned:
            try:
                work.result()
            except Exception:
                soak.why.append(traceback.format_exc())
    calm(rig)
    watch.judge()
    soak.counts.accepted = len(soak.jobs)
    soak._wait_settled()
    soak.counts.seconds = time.monotonic() - began
    soak._count()
    leaves_nothing(soak)


def keep_logs(rig):
    folder = os.path.join(stacks.BUILDDIR, "fault-logs/soak")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(rig.log_dir, folder)
    return folder


def main():
    parser = argparse.ArgumentParser(description="random faults, and a count of what became of the jobs")
    parser.add_argument("seconds", nargs="?", type=int, default=SECONDS)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    args = parser.parse_args()
    if stacks.missing_programs():
        skip_all("missing: " + ", ".join(stacks.missing_programs()))
    if not os.path.exists(fault.PROGRAM):
        skip_all("missing: cmocka, so tests/fault/gengate is not built")
    print("1..1", flush=True)
    comment(f"seed {args.seed}")
    rig = SoakRig()
    soak = Soak(rig)
    try:
        soak_for(soak, args.seconds, args.seed)
    finally:
        if soak.red:
            comment("the logs: " + keep_logs(rig))
        rig.stop()
    for line in soak.why:
        comment(line)
    comment("      " + "  ".join(fault.Counts.TITLES))
    comment("soak  " + soak.counts.line())
    print(f"{'not ok' if soak.red else 'ok'} 1 - {args.seconds} s of random faults, seed {args.seed}")
    return 1 if soak.red else 0


sys.exit(main())
