"""Stopping, reloading and restarting while there is work: nobody is refused, nothing
waits for a lease, and other settings are in use at once."""

import http.client
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test
from tap import comment

rig = None
names = itertools.count(1)

# In the file, so that a reload finds other values than the environment's.
RELOADED = {"replicate_token": "sim-token", "default_model": "painter", "slots_per_user": "1",
            "poll_interval": "100ms", "log_level": "info", "workers": "16"}


def setup():
    global rig
    rig = e2e.Rig().start()
    rig.configure(**dict.fromkeys(RELOADED), lease="60s")
    write()
    rig.gengate.restart()
    rig.wait_ready()


def write(**settings):
    with open(rig.config_file, "w", encoding="utf-8") as f:
        f.writelines(f"{name} = {value}\n" for name, value in {**RELOADED, **settings}.items())


def write_models(**more):
    with open(rig.config["models_file"], "w", encoding="utf-8") as f:
        json.dump({**e2e.MODELS, **more}, f)


def reload(event="config.reloaded", part=None):
    """SIGHUP, and what the log says of it."""
    part = part or rig.gengate
    before = len(part.events(event))
    part.signal(signal.SIGHUP)
    return stacks.wait_for(lambda: part.events(event)[before:], 10, event)[0]


class Load:
    """Threads that ask through nginx, each on a connection of its own, and count what is no good answer."""

    def __init__(self, threads=4):
        self.stopping = False
        self.asked, self.wrong, self.jobs = 0, [], []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping = True
        for thread in self.threads:
            thread.join()

    def _run(self):
        connection = http.client.HTTPConnection(stacks.HOST, rig.port, timeout=60)
        while not self.stopping:
            user = f"load-{next(names)}"
            self._ask(connection, "POST", "/generate", user, 202, json.dumps({"prompt": "load"}))
            self._ask(connection, "GET", "/status", user, 200)
            time.sleep(0.002)
        connection.close()

    def _ask(self, connection, method, path, user, wanted, body=None):
        try:
            connection.request(method, path, body, {"X-Test-User": user, "Prefer": "respond-async",
                                                    "Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            status = answer.status
        except (OSError, http.client.HTTPException) as e:
            status, text = repr(e), b""
            connection.close()
        with self.lock:
            self.asked += 1
            if status != wanted:
                self.wrong.append(f"{method} {path}: {status} {text[:200]!r}")
            elif method == "POST":
                self.jobs.append({**json.loads(text), "user": user})

    def check(self, what):
        comment(f"{what}: {self.asked} requests, {len(self.wrong)} without a good answer")
        check(self.asked > 50, "there was no load")
        check(not self.wrong, "\n".join(self.wrong[:5]))

    def check_jobs(self):
        """Each succeeded, with one prediction."""
        stacks.wait_for(lambda: not rig.sql("SELECT 1 FROM generation_live LIMIT 1"), 180, "end of all jobs")
        ids = {job["id"] for job in self.jobs}
        ended = dict(rig.sql("SELECT id, status FROM generation_jobs"))
        equal({ended.get(job) for job in ids}, {"succeeded"}, "ends")
        created = [p["idempotency_key"] for p in rig.sim_call("GET", "state")["predictions"]
                   if p["idempotency_key"] in ids]
        equal(len(created), len(ids), "predictions")
        equal(set(created), ids, "jobs with a prediction")


# ---- Reload

@test
def other_settings_are_in_use_at_once():
    # It begins with a token that nobody takes.
    write(replicate_token="no-such-token")
    rig.gengate.restart()
    rig.wait_ready()
    e2e.check_problem(rig.post("new", user="models", model="fresh"), 400, "invalid_request")
    write_models(fresh=e2e.MODELS["painter"])
    write(slots_per_user=2)
    event = reload()
    equal(set(event["changed"].split(", ")), {"replicate_token", "slots_per_user"}, "what has changed")
    rig.set_sim(processing_ms=600)
    jobs = [rig.submit("with another token and model", user="models", model="fresh") for _ in range(2)]
    rig.set_sim(processing_ms=100)
    e2e.check_problem(rig.post("a third", user="models"), 409, "generation_in_flight")
    for job in jobs:
        rig.succeeds(job)
    write_models()
    write()
    reload()
    e2e.check_problem(rig.post("old", user="models", model="fresh"), 400, "invalid_request")


@test
def mistakes_change_nothing():
    write_models(broken={"on": {}, "timeout": "never"})
    write(slots_per_user="many", log_level="loud")
    mistakes = reload("config.rejected")["mistakes"]
    for name in ("slots_per_user", "log_level", "broken"):
        check(name in mistakes, f"{name} is not said: {mistakes}")
    check("\n" not in mistakes, f"more than one line: {mistakes}")
    rig.succeeds(rig.submit("as before"))
    write_models()
    write()
    equal(reload()["changed"], "", "what has changed")


@test
def what_needs_a_restart_is_named():
    write(workers=9, poll_interval="150ms")
    for _ in range(2):      # the second time, too: it still is not so
        equal(reload("config.needs_restart")["rows"], "workers", "rows")
    write()
    reload()


@test
def the_log_changes_its_level_and_its_file():
    path = os.path.join(rig.dir, "moved.log")
    write(log_level="warn", log_file=path)
    part, before = rig.gengate, len(rig.gengate.log())
    part.signal(signal.SIGHUP)
    stacks.wait_for(lambda: os.path.exists(path), 10, "log file")
    write(log_file=path)
    # A file that was moved away, as logrotate does, is opened anew.
    os.rename(path, path + ".1")
    part.signal(signal.SIGHUP)
    stacks.wait_for(lambda: os.path.exists(path), 10, "new log file")
    rig.succeeds(rig.submit("logged elsewhere"))
    check("job.moved" in e2e.read(path), "the new file has no events")
    check("job.moved" not in part.log()[before:], "standard error has events")
    write()
    reload()


@test
def a_parked_request_goes_on():
    rig.set_sim(processing_ms=1500)
    job = rig.submit("streamed")
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(
        rig.http("GET", f"/status/{job['id']}", user=job["user"], headers={"Prefer": "wait=20"})))
    waiting.start()
    rig.wait_state(job, "running")
    reload()
    waiting.join()
    rig.set_sim(processing_ms=100)
    equal((answers[0].status, answers[0].json["status"]), (200, "succeeded"), "answer")


@test
def no_request_is_dropped_by_reloads():
    with Load() as load:
        for n in range(20):
            write_models(**({"fresh": e2e.MODELS["painter"]} if n % 2 else {}))
            write(slots_per_user=1 + n % 3)
            reload()
    load.check("20 reloads")
    load.check_jobs()
    write_models()
    write()
    reload()


# ---- Stop

class Standby:
    """Workers of another process."""

    def __init__(self):
        self.part = stacks.Part(rig, f"gengate-standby-{next(names)}",
                                [rig.gengate_program, "work", "--config", rig.config_file], env=rig.gengate_environment)

    def __enter__(self):
        self.part.start()
        return self.part

    def __exit__(self, *_):
        equal(self.part.stop(), 0, "exit status of the standby")


def hand_over(job, what):
    """Stop in the middle of a step: how long until another process has ended the job?"""
    with Standby():
        began = time.monotonic()
        rig.gengate.signal(signal.SIGTERM)
        rig.wait_state(job, "settled", timeout=30)
        took = time.monotonic() - began
        equal(rig.gengate.wait(10), 0, "exit status")
    comment(f"{what}: another process ended the job {took:.1f} s after the signal")
    check(took < 10, "it waited for something else than the stop")
    rig.gengate.start()
    rig.wait_ready()
    rig.succeeds(job)


@test
def a_poll_is_handed_over():
    rig.set_sim(processing_ms=300)
    rig.faults(webhook_lost=-1, delay={"count": 1, "delay_ms": 25000, "match": "GET /replicate/v1/predictions/"})
    job = rig.submit("asked about")
    stacks.wait_for(lambda: rig.taken("delay") == 1, 15, "poll")
    hand_over(job, "a poll")
    rig.faults(webhook_lost=0)
    rig.set_sim(processing_ms=100)
    rig.one_prediction(job)


@test
def an_output_is_handed_over():
    rig.faults(delivery_slow={"count": 1, "delay_ms": 25000})
    job = rig.submit("a slow line")
    stacks.wait_for(lambda: rig.taken("delivery_slow") == 1, 15, "fetch")
    hand_over(job, "an output")
    rig.one_prediction(job)
    equal(len(rig.objects(job)), 1, "objects")


@test
def who_waits_is_answered():
    rig.set_sim(processing_ms=3000)
    job = rig.submit("waited for")
    rig.wait_state(job, "running")
    stream = socket.create_connection((stacks.HOST, rig.port), timeout=10)
    stream.sendall(f"GET /status/{job['id']} HTTP/1.0\r\nX-Test-User: {job['user']}\r\n"
                   "Accept: text/event-stream\r\n\r\n".encode())
    got = b""
    while b"event: status" not in got:
        got += stream.recv(4096)
    check(b"retry: " in got, f"no time to come back after: {got}")
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(
        rig.http("GET", f"/status/{job['id']}", user=job["user"], headers={"Prefer": "wait=20"})))
    waiting.start()
    parked = re.compile(r"^gengate_parked_requests\{[^}]*\} 2$", re.M)
    stacks.wait_for(lambda: parked.search(rig.http("GET", "/metrics").text), 10, "parked requests")
    began = time.monotonic()
    rig.gengate.signal(signal.SIGTERM)
    while stream.recv(4096):
        pass
    waiting.join()
    took = time.monotonic() - began
    equal(answers[0].status, 200, "status of the answer")
    check(answers[0].json["status"] in ("starting", "processing"), f"answer: {answers[0]}")
    check(took < 2, f"it took {took} s")
    equal(rig.gengate.wait(10), 0, "exit status")
    rig.gengate.start()
    rig.wait_ready()
    rig.set_sim(processing_ms=100)
    rig.succeeds(job)


@test
def a_reload_does_not_disturb_a_stop():
    rig.faults(create_late={"count": 1, "delay_ms": 1500})
    job = rig.submit("just a moment")
    stacks.wait_for(lambda: rig.predictions(job), 10, "prediction")
    rig.gengate.signal(signal.SIGTERM)
    stacks.wait_for(lambda: rig.gengate.events("server.stopping"), 5, "stop")
    rig.gengate.signal(signal.SIGHUP)
    equal(rig.gengate.wait(10), 0, "exit status")
    check(rig.state(job) != "submitting", "the create's answer was not waited for")
    rig.gengate.start()
    rig.wait_ready()
    rig.succeeds(job)


@test
def work_reloads_too():
    with Standby() as part:
        stacks.wait_for(lambda: stacks.process_state(part.pid) == "S", 5, "sleep")
        write(poll_interval="150ms")
        time.sleep(0.3)     # it blocks the signal first of all, but it has to be there
        equal(reload(part=part)["changed"], "poll_interval", "what has changed")
    write()


# ---- Restart

class Held:
    """gengates on one listening socket that we hold, as systemd or spawn-fcgi do: descriptor 0."""

    def __init__(self):
        self.path = rig.gengate_sockets[0]
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.path)
        self.socket.listen(511)
        self.running = []

    def start(self):
        with open(os.path.join(rig.log_dir, "gengate-held.log"), "ab") as log:
            process = subprocess.Popen([rig.gengate_program], stdin=self.socket.fileno(), stdout=log, stderr=log,
                                       env=rig.gengate_environment(GENGATE=None, **RELOADED), start_new_session=True)
        rig.reaper.say("+", process.pid)
        self.running.append(process)

    def stop_oldest(self):
        process = self.running.pop(0)
        process.terminate()
        equal(process.wait(40), 0, "exit status")
        rig.reaper.say("-", process.pid)

    def __enter__(self):
        self.start()
        rig.wait_ready()
        return self

    def __exit__(self, *_):
        while self.running:
            self.stop_oldest()
        self.socket.close()
        os.unlink(self.path)


@test
def a_restart_on_a_held_socket_refuses_nobody():
    rig.gengate.stop()
    with Held() as held:
        with Load() as load:
            for n in range(8):
                time.sleep(0.3)
                if n % 2:       # one after the other, as systemctl restart does
                    held.stop_oldest()
                    held.start()
                else:           # side by side
                    held.start()
                    time.sleep(0.2)
                    held.stop_oldest()
        load.check("8 restarts on a held socket")
        load.check_jobs()
    rig.gengate.start()
    rig.wait_ready()


@test
def a_second_one_takes_a_place_only_if_told_to():
    words = ["serve", "--listen", "unix:" + rig.gengate_sockets[0]]
    refused = rig.gengate_command(*words, check=False)
    equal(refused.returncode, 78, "exit status")
    check("in use" in refused.stderr, f"not said why: {refused.stderr}")
    rig.succeeds(rig.submit("still there"))


@test
def a_place_is_taken_without_refusing_anybody():
    argv = [rig.gengate_program, "serve", "--listen", "unix:" + rig.gengate_sockets[0], "--replace",
            "--config", rig.config_file]
    before = rig.gengate
    try:
        with Load() as load:
            for n in range(4):
                time.sleep(0.3)
                after = stacks.Part(rig, f"gengate-after-{n}", argv, env=rig.gengate_environment)
                old, before = before, after
                after.start()
                stacks.wait_for(lambda: after.events("server.ready"), 10, "successor")
                equal(old.stop(), 0, "exit status")
                check(os.path.exists(rig.gengate_sockets[0]), "the old one took the new one's socket away")
        load.check("4 handovers of a socket")
        load.check_jobs()
    finally:
        status = before.stop()      # the stack does not know it
    equal(status, 0, "exit status")
    check(not os.path.exists(rig.gengate_sockets[0]), "the socket is left over")
    rig.gengate.start()
    rig.wait_ready()


@test
def nothing_is_left_in_flight():
    equal(rig.sql("SELECT * FROM generation_live"), [], "live rows")


@test
def logs_are_clean():
    e2e.check_logs(rig, r"connect\(\) to unix:.*/g0\.sock failed", r"prematurely closed connection.*/g0\.sock",
                   r"recv\(\) failed.*/g0\.sock", r"no live upstreams")


e2e.main(setup, lambda: rig and rig.stop())
