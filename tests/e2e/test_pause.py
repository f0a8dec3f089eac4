"""A provider that takes nothing is paused for all processes, and a single job tries
whether it takes some again."""

import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test

rig = None


def setup():
    global rig
    # A create may take half of a lease.
    rig = e2e.Rig(gengates=2, config={"lease": "20s"}).start()


def provider(*words, status=0):
    done = rig.gengate_command("provider", *words, check=False)
    equal(done.returncode, status, f"status of provider {' '.join(words)}: {done.stdout}{done.stderr}")
    return done


def the_pause():
    """As the command tells it; None without one."""
    return json.loads(provider("list", "--json").stdout)["providers"][0]["pause"]


def by_all(paused):
    """Until both processes know it: the same answer ten times in a row, each in turn."""
    def known():
        return all(("reasons" in rig.http("GET", "/readyz").json) == paused for _ in range(10))
    stacks.wait_for(known, 10, f"paused: {paused} in both")


def time_is_over():
    """And what waits is due, in one transaction: who came due before would be put off once more."""
    rig.sql("UPDATE generation_shared SET value = value || jsonb_build_object('until', now())"
            " WHERE name = 'pause:replicate' AND value <> 'null';"
            " UPDATE generation_live SET due_at = now() WHERE state = 'queued'")


def received():
    return rig.counters()["creates_received"]


def probes():
    return sum(len(part.events("provider.probed")) for part in rig.gengates)


def held_job(prompt, **members):
    """A job that is queued and due in two seconds or so."""
    rig.faults(create_429={"count": 1, "retry_after": 2, "match": prompt})
    job = rig.submit(prompt, **members)
    stacks.wait_for(lambda: "deferred" in rig.trail(job), 10, "a first try")
    return job


def check_refused(answer, longest=60):
    """Nothing was made."""
    problem = e2e.check_problem(answer, 503, "provider_unavailable")
    check("job" not in problem and answer.header("Location") is None, f"a job: {answer}")
    check(1 <= int(answer.header("Retry-After")) <= longest, f"Retry-After: {answer.header('Retry-After')}")


def refused_by_all():
    """Until both processes take no job, six times in a row; what one took before it knew."""
    taken, refused, end = [], 0, time.monotonic() + 10
    while refused < 6:
        answer = rig.post(user=f"late-{len(taken)}-{refused}")
        if answer.status == 202:
            taken.append({**answer.json, "user": f"late-{len(taken)}-{refused}"})
            refused = 0
        else:
            check_refused(answer)
            refused += 1
        check(time.monotonic() < end, "one goes on taking jobs")
        time.sleep(0.05)
    return taken


@test
def no_credit_stops_new_jobs_everywhere():
    known = rig.succeeds(rig.submit(user="key", headers={"Idempotency-Key": "k"}))
    rig.set_sim(processing_ms=3000)
    running = rig.submit("running meanwhile")
    rig.wait_state(running, "running")
    rig.set_sim(processing_ms=100)
    rig.faults(create_402=1)
    answer = rig.http("POST", "/generate", json={"prompt": "first"}, user="first")
    job = e2e.check_problem(answer, 503, "provider_unavailable")["job"]
    rig.fails({**job, "user": "first"}, "provider_unavailable")
    by_all(True)
    before = received()
    count = rig.sql_value("SELECT count(*) FROM generation_jobs")
    for n in range(6):
        check_refused(rig.post(user=f"others-{n}"), 36)
    check_refused(rig.http("POST", f"/generate/{job['id']}/retry", user="first"), 36)
    equal(rig.sql_value("SELECT count(*) FROM generation_jobs"), count, "jobs")
    # A key that is known is no new job.
    again = rig.post(user="key", headers={"Idempotency-Key": "k"})
    equal((again.status, again.json["id"], again.header("Idempotency-Replayed")), (200, known["id"], "true"), "replay")
    e2e.check_problem(rig.post("another", user="key", headers={"Idempotency-Key": "k"}), 422, "idempotency_key_reused")
    check_refused(rig.post(user="key", headers={"Idempotency-Key": "new"}), 36)
    # What the provider has goes on: polled, or told by its webhook, and stored.
    rig.succeeds(running)
    check(the_pause(), "still paused")
    equal(received(), before, "creates")


@test
def it_is_shown():
    pause = the_pause()
    equal((pause["operator"], pause["probed"], pause["failed_probes"]), (False, False, 0), "pause")
    check("credit" in pause["reason"] and pause["until"] > pause["since"], f"pause: {pause}")
    text = provider("list").stdout
    check("paused since" in text and pause["reason"] in text, text)
    ready = rig.http("GET", "/readyz").json
    equal(ready["status"], "ready", "status")
    check("replicate is paused until 2" in ready["reasons"][0] and "credit" not in ready["reasons"][0], f"{ready}")
    for _ in range(4):
        text = rig.http("GET", "/metrics").text
        lines = [line for line in text.splitlines() if line.startswith("gengate_provider_paused{")]
        paused = [line for line in lines if line.endswith(" 1")]
    check(len(paused) == 1 and 'provider="replicate"' in paused[0], f"{lines}")
    for part in rig.gengates:
        events = part.events("provider.paused")
        equal(len(events), 1, f"events of {part.name}")
        check("credit" in events[0]["reason"] and events[0]["provider"] == "replicate", f"{events}")
    line = next(c for c in json.loads(rig.gengate_command("check", "--json", check=False).stdout)["checks"]
                if c["name"] == "paused")
    equal(line["state"], "note", f"check: {line}")


@test
def an_operator_resumes_it():
    provider("resume", "replicate")
    by_all(False)
    equal(the_pause(), None, "pause")
    for part in rig.gengates:
        equal(len(part.events("provider.resumed")), 1, f"events of {part.name}")
    rig.succeeds(rig.submit())
    check("replicate is not paused" in provider("resume", "replicate", status=1).stderr, "no word")


@test
def one_job_tries_for_all():
    jobs = [held_job(f"held {n}") for n in range(5)]
    provider("pause", "replicate", "--reason", "a test")
    by_all(True)
    before = received()
    # They come due, and are not sent; however long it lasts.
    time.sleep(4)
    equal(received(), before, "creates while an operator has paused it")
    equal({rig.state(job) for job in jobs}, {"queued"}, "states")
    check_refused(rig.post(user="nobody"))
    # One tries, and fails.
    rig.faults(create_402={"count": 1, "delay_ms": 0})
    time_is_over()
    stacks.wait_for(lambda: (the_pause() or {}).get("failed_probes") == 1, 15, "a probe that failed")
    time.sleep(1)
    equal(received(), before + 1, "creates")
    ends = [job for job in jobs if rig.state(job) == "settled"]
    equal(len(ends), 1, "jobs that tried")
    rig.fails(ends[0], "provider_unavailable")
    check(not the_pause()["operator"], "from now on it is nobody's word")
    # The next one succeeds, and the others follow at once.
    rig.faults(create_late={"count": 1, "delay_ms": 4000})
    time_is_over()
    stacks.wait_for(lambda: received() == before + 2, 15, "the second probe")
    check(the_pause()["probed"], "it is not known that it is probed")
    jobs += refused_by_all()
    equal(received(), before + 2, "creates while one probes")
    for job in jobs:
        if job not in ends:
            rig.succeeds(job)
            rig.one_prediction(job)
    equal(the_pause(), None, "pause")
    by_all(False)


@test
def a_new_job_may_be_the_one():
    rig.faults(create_401=1)
    rig.fails(rig.submit("a wrong key"), "provider_unavailable")
    by_all(True)
    check_refused(rig.post(user="nobody"))
    before = probes()
    time_is_over()

    def taken():
        answer = rig.post(user="prober")
        return answer if answer.status == 202 else check_refused(answer)
    job = {**stacks.wait_for(taken, 10, "a job that is taken").json, "user": "prober"}
    rig.succeeds(job)
    equal(the_pause(), None, "pause")
    equal(probes() - before, 1, "probes")
    by_all(False)


@test
def a_long_wait_is_everybodys():
    rig.faults(create_429={"count": 1, "retry_after": 40})
    before = time.time()
    job = rig.submit("throttled for long")
    stacks.wait_for(lambda: "deferred" in rig.trail(job), 10, "a first try")
    by_all(True)
    check_refused(rig.post(user="nobody"), 50)
    equal(rig.state(job), "queued", "state")
    for what in ("SELECT extract(epoch FROM due_at) FROM generation_live",
                 "SELECT extract(epoch FROM (value->>'until')::timestamptz) FROM generation_shared"
                 " WHERE name = 'pause:replicate'"):
        until = float(rig.sql_value(what))
        check(before + 40 <= until <= time.time() + 50, f"{until - before} s after")
    # An operator knows better; what waits is due at once.
    provider("resume", "replicate")
    rig.succeeds(job)
    rig.one_prediction(job)
    by_all(False)


@test
def a_short_wait_is_the_jobs_own():
    job = held_job("throttled for a moment")
    equal(the_pause(), None, "pause")
    rig.succeeds(job)


@test
def what_is_held_ends_as_it_should():
    hasty = held_job("in a hurry", model="hasty")
    unwanted = held_job("not wanted any more")
    provider("pause", "replicate")
    before = received()
    answer = rig.http("POST", f"/generate/{unwanted['id']}/cancel", user=unwanted["user"])
    equal((answer.status, answer.json["status"]), (200, "canceled"), "cancel")
    rig.fails(hasty, "timeout")
    equal(received(), before, "creates")
    provider("resume", "replicate")
    by_all(False)


@test
def the_command():
    done = provider("pause", "replicate", "--for", "10m", "--reason", "a move", "--json")
    pause = json.loads(done.stdout)["providers"][0]["pause"]
    equal((pause["operator"], pause["reason"]), (True, "a move"), "pause")
    left = float(rig.sql_value("SELECT extract(epoch FROM (value->>'until')::timestamptz - now())"
                               " FROM generation_shared WHERE name = 'pause:replicate'"))
    check(590 < left <= 600, f"{left} s are left")
    by_all(True)
    check("by an operator" in rig.http("GET", "/readyz").json["reasons"][0], "whose word it is")
    # The last word counts.
    text = provider("pause", "replicate").stdout
    check("until it is resumed" in text and "by an operator" in text, text)
    equal(the_pause()["until"], None, "until")
    check("takes new jobs" in provider("resume", "replicate").stdout, "no word")
    by_all(False)
    check("no provider" in provider("pause", "nobody", status=1).stderr, "an unknown name")
    for words in ((), ("pause",), ("resume",), ("list", "replicate"), ("resume", "replicate", "--for", "1m"),
                  ("pause", "replicate", "--for", "soon"), ("pause", "replicate", "--for", "0s"),
                  ("pause", "replicate", "again"), ("stop",)):
        provider(*words, status=64)


@test
def nothing_is_left_in_flight():
    equal(rig.sql("SELECT * FROM generation_live"), [], "live rows")


@test
def logs_are_clean():
    e2e.check_logs(rig)


e2e.main(setup, lambda: rig and rig.stop())
