"""Three processes behind one nginx, any of them killed at any time under load: each job ends
once, nothing is lost, nothing is paid twice."""

import http.client
import json
import os
import random
import sys
import threading
import time
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test
from tap import comment

LOAD_S = 12
CLIENTS = 6

rig = None
jobs = {}       # by idempotency key: the ids that were answered
troubled = 0    # calls that had to be repeated


def setup():
    global rig
    rig = e2e.Rig(gengates=3, config={"uncertain_grace": "2s"}).start()


def take(connection, key):
    """A job for this key; a client that gets no good answer asks again."""
    global troubled
    headers = {"X-Test-User": f"user-{key}", "Idempotency-Key": key, "Content-Type": "application/json",
               "Prefer": "respond-async" if random.random() < 0.5 else "wait=1"}
    for _ in range(100):
        try:
            connection.request("POST", "/generate", json.dumps({"prompt": "load " + key}), headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status in (200, 202):
                jobs.setdefault(key, set()).add(json.loads(text)["id"])
                return
            check(answer.status in (502, 503, 504), f"{answer.status} {text[:300]!r}")
        except (OSError, http.client.HTTPException):
            connection.close()
        troubled += 1
        time.sleep(0.1)
    check(False, f"no answer to {key}")


def client(until, wrong):
    connection = http.client.HTTPConnection(stacks.HOST, rig.port, timeout=60)
    try:
        while time.monotonic() < until:
            key = str(uuid.uuid4())
            take(connection, key)
            if random.random() < 0.1:
                take(connection, key)   # once more, as a nervous client does
            time.sleep(0.02)
    except AssertionError as e:
        wrong.append(str(e))
    connection.close()


@test
def each_job_ends_once():
    wrong, kills = [], 0
    until = time.monotonic() + LOAD_S
    clients = [threading.Thread(target=client, args=(until, wrong)) for _ in range(CLIENTS)]
    for thread in clients:
        thread.start()
    while time.monotonic() < until:
        time.sleep(random.uniform(0.1, 0.8))
        victim = random.choice(rig.gengates)
        victim.kill()
        kills += 1
        if random.random() < 0.5:       # now and then it stays away for a while
            time.sleep(random.uniform(0, 0.5))
        victim.start()
    for thread in clients:
        thread.join()
    stacks.wait_for(lambda: not rig.sql("SELECT 1 FROM generation_live LIMIT 1"), 90, "end of all jobs")
    comment(f"{len(jobs)} jobs, {kills} kills, {troubled} calls repeated")
    check(not wrong, "\n".join(wrong[:5]))
    check(len(jobs) > 50 and kills > 5, "there was no load")
    check(all(len(ids) == 1 for ids in jobs.values()), "a key with several jobs")


@test
def what_was_accepted_is_what_was_created():
    ids = {job for answered in jobs.values() for job in answered}
    rows = dict(rig.sql("SELECT id, status FROM generation_jobs"))
    equal(set(rows), ids, "jobs, and what clients were told")
    equal(set(rows.values()), {"succeeded"}, "ends")
    created = [p["idempotency_key"] for p in rig.sim_call("GET", "state")["predictions"]]
    equal(len(created), len(set(created)), "predictions, and jobs that have one")
    equal(set(created), ids, "jobs with a prediction")
    ends = dict(rig.sql("SELECT job_id, count(*) FROM generation_events WHERE state_to = 'settled' GROUP BY 1"))
    equal({ends.get(job) for job in ids}, {"1"}, "ends of each job, by the trail")


@test
def every_output_is_kept_once():
    objects = [o["name"].removeprefix("outputs/") for o in rig.sim_call("GET", "objects")]
    equal(sorted(objects), sorted(row[0] for row in rig.sql("SELECT storage_key FROM generation_assets")), "objects")


e2e.main(setup, lambda: rig and rig.stop())
