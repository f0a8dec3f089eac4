"""What the rows of the fault matrix are made of: Row says what is set up and what goes
wrong, Run lets clients post its jobs and counts what became of them."""

import concurrent.futures
import dataclasses
import hashlib
import http.client
import os
import sys
import time
import typing

SRCDIR = os.path.abspath(os.environ.get("srcdir") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
sys.path[:0] = [os.path.join(SRCDIR, "tests/e2e"), os.path.join(SRCDIR, "tests/stack")]
import e2e
import stack as stacks
from memory import Memory
from pipe import Pipe

PROGRAM = os.path.join(stacks.BUILDDIR, "tests/fault/gengate")
LEASE_S = 2
CONFIG = {"lease": f"{LEASE_S}s", "poll_interval": "100ms", "db_timeout": "2s", "max_output_bytes": "20MB",
          "job_timeout": "60s", "workers": 24, "output_timeout": "5s",
          "uncertain_grace": "1500ms"}
# A good client asks again: after these, and when nobody answers at all.
NOT_NOW = (502, 503, 504)
CLIENT_TIMEOUT_S = 6    # who was stopped does not answer; whoever is asked next does
CLIENTS_MAX = 100       # of a row that posts for itself
STATUS_ENDS = ", ".join(f"'{status}'" for status in stacks.SETTLED)

# How a job may end while the provider's prediction ended so; None: there was none.
AGREES = {
    "succeeded": {"succeeded"},
    "canceled": {"canceled", "aborted", None},
    "failed provider_failed": {"failed"},
    "failed timeout": {"canceled", "aborted", None},
    "failed outcome_unknown": {"succeeded", None},
    "failed provider_rejected": {None},
    "failed provider_unavailable": {None},
    "failed no_output": {"succeeded"},
    "failed output_type": {"succeeded"},
    "failed outputs_lost": {"succeeded"},
}


@dataclasses.dataclass
class Row:
    name: str
    jobs: int = 4           # that are posted; 0: the row posts for itself
    prompt: str = "a lighthouse"
    members: dict = dataclasses.field(default_factory=dict)     # of the request
    end: typing.Any = "succeeded"       # what each job comes to; a function of its number
    strays: int = 0                     # predictions beyond one, each of which is to be cancelled
    stack: str = "two gengates"
    sim: dict = dataclasses.field(default_factory=dict)         # settings of the simulator
    faults: dict = dataclasses.field(default_factory=dict)      # and its switches
    before: typing.Callable = None      # of the run, before the first job is posted
    during: typing.Callable = None      # while the clients post and wait
    after: typing.Callable = None       # when all have settled; raises if something is amiss
    apart_s: float = 0                  # between two posts
    look: typing.Callable = None        # at the ends: notes in run.why what is amiss
    timeout: float = 45


@dataclasses.dataclass
class Counts:
    accepted: int = 0
    settled: int = 0
    lost: int = 0
    created: int = 0
    twice: int = 0
    wrong: int = 0
    missing: int = 0
    seconds: float = 0.0

    TITLES: typing.ClassVar = ("accepted", "settled", "lost", "created", "paid twice", "wrong end", "files missing",
                               "seconds")

    def line(self):
        """Below "  ".join(TITLES)."""
        values = dataclasses.astuple(self)
        return "  ".join(f"{value:{len(title)}.1f}" if isinstance(value, float) else f"{value:{len(title)}d}"
                         for title, value in zip(self.TITLES, values))

    @property
    def bad(self):
        """What has to be 0."""
        return self.lost + self.twice + self.wrong + self.missing


class Rig(e2e.Rig):
    """Two gengates (or more) that can be stopped at named lines, one database."""

    def __init__(self, *, gengates=2, config=None, wrong_clock_s=0, storage_pipe=False, provider_pipe=False,
                 database_pipe=False, **options):
        self.wrong_clock_s = wrong_clock_s
        super().__init__(gengates=gengates, gengate_program=PROGRAM, config={**CONFIG, **(config or {})}, **options)
        self.records = False
        self.point_file = os.path.join(self.dir, "pause-point")
        self.memory_file = os.path.join(self.dir, "memory")
        self.pipes = []
        self.database = self.provider = self.storage = None
        here = (stacks.HOST, self.port)
        if database_pipe:
            folder = os.path.join(self.dir, "db")
            os.mkdir(folder)
            self.database = self._pipe(self.database_socket, os.path.join(folder, os.path.basename(self.database_socket)))
            quote = stacks.urllib.parse.quote
            self.configure(database_url=self.config["database_url"].replace(
                quote(self.pg_dir, safe=""), quote(folder, safe="")))
        if provider_pipe:
            self.provider = self._pipe(here)
            self.configure(replicate_url=f"http://{stacks.HOST}:{self.provider.port}/replicate/v1")
        if storage_pipe:
            self.storage = self._pipe(here)
            self.configure(supabase_url=f"http://{stacks.HOST}:{self.storage.port}")

    def _pipe(self, server, path=None):
        self.pipes.append(Pipe(server, path))
        return self.pipes[-1]

    def gengate_environment(self, **more):
        return {**super().gengate_environment(**more), "PAUSE_POINT_FILE": self.point_file,
                "MEM_FAULT_FILE": self.memory_file,
                "CLOCK_WRONG_BY_S": str(self.wrong_clock_s)}

    def stop(self):
        super().stop()
        for pipe in getattr(self, "pipes", []):
            pipe.close()

    def fresh(self):
        """As it was at the start, but for what has settled."""
        for pipe in self.pipes:
            pipe.accept()
            pipe.speak()
        for part in self.parts:
            if not part.alive():
                part.start()
            part.resume()
        self.sim_call("POST", "reset", {"settings": True})
        self.sim_call("POST", "buckets", {"id": "outputs", "public": True, "file_size_limit": 0})
        self.set_sim(starting_ms=50, processing_ms=200, webhook_retries=8)

    def memory(self, part):
        return Memory(f"{self.memory_file}.{part.pid}")

    # -- Pause points

    def arm(self, point, how):
        """The first gengate that comes by this point is killed (KILL) or stopped (STOP) there."""
        with open(self.point_file + ".new", "w", encoding="ascii") as f:
            f.write(f"{point} {how}\n")
        os.rename(self.point_file + ".new", self.point_file)

    def caught(self):
        """The gengate that came by, once it is killed or stopped; None before."""
        for part in self.gengates:
            taken = f"{self.point_file}.{part.pid}"
            if os.path.exists(taken) and (not part.alive() or part.state() == "T"):
                os.unlink(taken)
                return part
        return None

    def disarm(self):
        if os.path.exists(self.point_file):
            os.unlink(self.point_file)


class Job:
    def __init__(self, number, user, key):
        self.number, self.user, self.key = number, user, key
        self.id = None
        self.end = None         # as the API tells it
        self.predictions = []


class Run:
    """One row, once."""

    def __init__(self, rig, row):
        self.rig, self.row = rig, row
        self.jobs = [Job(n, f"{row.name} {n}", f"key-{n}-{time.time_ns()}") for n in range(row.jobs)]
        self.why = []           # it is red
        self.counts = Counts()
        self.pool, self.spawned = None, []

    # -- For the rows

    def job(self, number=0, timeout=15):
        """A job once it was taken."""
        stacks.wait_for(lambda: self.jobs[number].id, timeout, f"job {number}")
        return self.jobs[number]

    def states(self):
        """How many of the jobs are in which working state."""
        found = self.rig.sql("SELECT state, count(*) FROM generation_live GROUP BY state")
        return {state: int(n) for state, n in found}

    def wait_state(self, state, n=1, timeout=15):
        stacks.wait_for(lambda: self.states().get(state, 0) >= n, timeout, f"{n} jobs in {state}")

    def wait_taken(self, fault, n=1, timeout=15):
        stacks.wait_for(lambda: self.rig.taken(fault) >= n, timeout, f"{fault} {n} times")

    def wait_created(self, n=None, timeout=15):
        wanted = len(self.jobs) if n is None else n
        stacks.wait_for(lambda: self.rig.counters()["predictions_created"] >= wanted, timeout, f"{wanted} predictions")

    def wait_ended(self, timeout=40):
        stacks.wait_for(lambda: not self.states() and not self.n_strays(), timeout, "the end of all jobs that were taken")

    def n_strays(self):
        """Those that are not dealt with; each gengate looks for them every few seconds."""
        return int(self.rig.sql_value("SELECT count(*) FROM generation_strays WHERE ended_at IS NULL"))

    def repeat_sql(self, text, seconds, every_s=0.03):
        """As one client of the database, each time in a transaction of its own."""
        self.rig.sql(f"DO $$ BEGIN FOR n IN 1..{int(seconds / every_s)} LOOP {text}; COMMIT;"
                     f" PERFORM pg_sleep({every_s}); COMMIT; END LOOP; END $$")

    def wait_caught(self, timeout=20):
        return stacks.wait_for(self.rig.caught, timeout, "gengate at the pause point")

    # -- The clients

    def add(self, job, id):
        """One more job of the same user, whose key is made of the first one's."""
        new = Job(len(self.jobs), job.user, job.key + "-again")
        new.id = id
        self.jobs.append(new)

    def spawn(self, work, *args):
        """Beside the row's own thread; what it raises makes the row red."""
        self.spawned.append(self.pool.submit(work, *args))

    def ask(self, job, method, path, **what):
        """As its owner and as a good client does: again until there is an answer."""
        end = time.monotonic() + self.row.timeout
        answer = None
        while time.monotonic() < end:
            try:
                answer = self.rig.http(method, path, user=job.user, timeout=CLIENT_TIMEOUT_S, **what)
            except (OSError, http.client.HTTPException):
                answer = None
            if answer and answer.status not in NOT_NOW:
                return answer
            time.sleep(0.2)
        raise AssertionError(f"job {job.number}: no answer to {method} {path}: {answer}")

    def _post(self, job):
        time.sleep(self.row.apart_s * job.number)
        body = {"prompt": f"{self.row.prompt} ({self.row.name} {job.number})", **self.row.members}
        answer = self.ask(job, "POST", "/generate", json=body,
                          headers={"Prefer": "respond-async", "Idempotency-Key": job.key})
        if answer.status not in (200, 202):
            raise AssertionError(f"job {job.number} was not taken: {answer}")
        job.id = answer.json["id"]

    def _n_settled(self):
        ids = ", ".join(f"'{job.id}'" for job in self.jobs if job.id)
        if not ids:
            return 0
        found = self.rig.sql("SELECT count(*) FROM generation_jobs LEFT JOIN generation_live ON job_id = id"
                             f" WHERE id IN ({ids}) AND status IN ({STATUS_ENDS}) AND job_id IS NULL", check=False)
        return int(found[0][0]) if found else 0

    def _wait_settled(self):
        end = time.monotonic() + self.row.timeout
        while (n := self._n_settled()) < len(self.jobs) and time.monotonic() < end:
            time.sleep(0.15)
        return n

    # -- What became of it

    def _predictions(self):
        found = self.rig.sim_call("GET", "state")["predictions"]
        for job in self.jobs:
            job.predictions = [p for p in found if p["idempotency_key"] == job.id]
        return found

    def _count_created(self):
        found = self._predictions()
        counts, row = self.counts, self.row
        counts.created = len(found)
        extra = [p for job in self.jobs for p in job.predictions[1:]]
        if row.strays:
            ended = sum(p["status"] == "canceled" for job in self.jobs for p in job.predictions)
            if (len(extra), ended) != (row.strays, row.strays):
                self.why.append(f"{row.strays} strays wanted, each cancelled: {len(extra)} and {ended}")
        else:
            counts.twice = len(extra)
        of_nobody = len(found) - sum(len(job.predictions) for job in self.jobs)
        if of_nobody:
            self.why.append(f"{of_nobody} predictions for no job that a client knows")

    def _wanted_end(self, job):
        return self.row.end(job.number) if callable(self.row.end) else self.row.end

    def _is_wrong(self, job):
        end = job.end["status"]
        if end == "failed":
            end += " " + job.end["error"]["code"]
        wanted = self._wanted_end(job)
        theirs = {p["status"] for p in job.predictions} or {None}
        if end != wanted and end not in wanted.split("|"):
            self.why.append(f"job {job.number} ended {end}, wanted {wanted}; predictions {theirs}")
        elif not theirs & AGREES[end]:
            self.why.append(f"job {job.number} ended {end}, its predictions {theirs}")
        elif theirs & {"starting", "processing"}:
            self.why.append(f"job {job.number} ended {end} and goes on at the provider: {theirs}")
        else:
            return False
        return True

    def _is_kept(self, job, index, asset, objects):
        """Are the bytes in the bucket what the provider made and what the user is told?"""
        made = self.rig.http("GET", f"/sim/outputs/{job.prediction['id']}/{index}")
        read = self.rig.http("GET", asset["url"].replace(self.rig.config["supabase_url"], self.rig.url))
        digests = {hashlib.sha256(a.body).hexdigest() for a in (made, read)} | {asset["sha256"]}
        key = asset["url"].partition("/outputs/")[2]
        kept = objects.get(key, {})
        return (made.status, read.status) == (200, 200) and digests == {kept.get("sha256")} and \
            asset["bytes"] == len(read.body) == kept["size"]

    def _n_missing(self, job, objects):
        if job.end["status"] != "succeeded":
            return 0
        job.prediction = next(p for p in job.predictions if p["status"] == "succeeded")
        wanted = job.prediction["n_outputs"]
        assets = {asset["index"]: asset for asset in job.end["assets"]}
        missing = [index for index in range(wanted)
                   if index not in assets or not self._is_kept(job, index, assets[index], objects)]
        if missing:
            self.why.append(f"job {job.number}: outputs {missing} are missing or differ: {job.end['assets']}")
        kept = [key for key in objects if f"/{job.id}/" in key]
        if len(kept) > wanted:
            self.why.append(f"job {job.number}: files that nobody knows of among {kept}")
        return len(missing)

    def _count_ends(self):
        objects = {o["name"]: o for o in self.rig.sim_call("GET", "objects")}
        for job in self.jobs:
            answer = self.ask(job, "GET", f"/status/{job.id}")
            if answer.status != 200 or answer.json["status"] not in stacks.SETTLED:
                self.counts.lost += 1
                self.why.append(f"job {job.number} is lost: {answer}, trail {self.rig.trail({'id': job.id})}")
                continue
            job.end = answer.json
            self.counts.settled += 1
            if self._is_wrong(job):
                self.counts.wrong += 1
            else:
                self.counts.missing += self._n_missing(job, objects)

    def _n_in_books(self):
        keys = ", ".join(f"'{job.key}'" for job in self.jobs)
        return int(self.rig.sql_value(f"SELECT count(*) FROM generation_jobs WHERE idempotency_key IN ({keys})"))

    def _check_books(self):
        """Nobody made a second job of one request, each ended once, and nothing is left to do."""
        found = self._n_in_books()
        if found != len(self.jobs):
            self.why.append(f"{found} jobs in the database for {len(self.jobs)} requests")
        for job, n in self.rig.sql("SELECT job_id, count(*) FROM generation_events WHERE state_to = 'settled'"
                                   " GROUP BY job_id HAVING count(*) > 1"):
            self.why.append(f"job {job} ended {n} times")
        for job, in self.rig.sql("SELECT DISTINCT job_id FROM generation_events WHERE state_from = 'storing'"
                                 " AND event IN ('accepted', 'found', 'observed')"):
            self.why.append(f"job {job} was moved by news of a prediction that had succeeded")
        try:
            stacks.wait_for(lambda: not self.n_strays(), 30, "end of all strays")
        except stacks.StackError as e:
            self.why.append(str(e))

    def _check_faults(self):
        """A fault that never happened shows nothing."""
        for name, how in self.row.faults.items():
            if not self.rig.taken(name):
                self.why.append(f"{name} never happened")

    def _count(self):
        self._check_faults()
        self.rig.sim_call("POST", "faults", {name: 0 for name in self.rig.sim_call("GET", "faults")})
        self._check_books()
        self._count_created()
        self._count_ends()
        if self.row.look and not self.counts.lost:
            self.row.look(self)
        counts = self.counts
        if counts.settled != counts.accepted:
            self.why.append(f"{counts.accepted} jobs accepted, {counts.settled} settled")

    def go(self):
        rig, row = self.rig, self.row
        rig.fresh()
        rig.set_sim(**row.sim)
        rig.faults(**row.faults)
        if row.before:
            row.before(self)
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(4 * len(self.jobs) or CLIENTS_MAX) as self.pool:
            for job in self.jobs:
                self.spawn(self._post, job)
            try:
                if row.during:
                    row.during(self)
            except stacks.StackError as e:
                self.why.append(str(e))
            for work in self.spawned:
                work.result()
        self.counts.accepted = len(self.jobs)
        self._wait_settled()
        self.counts.seconds = time.monotonic() - began
        if row.after:
            row.after(self)
        self._count()
