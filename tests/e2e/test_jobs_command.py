"""gengate jobs: what an operator sees of anybody's jobs, and does with those that are stuck."""

import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test

rig = None


def setup():
    global rig
    rig = e2e.Rig().start()


def run(*words, status=0, **settings):
    """What it printed; with a status that is not 0, what it complained of."""
    done = rig.gengate_command("jobs", *words, check=False, **settings)
    equal(done.returncode, status, f"exit status of {words}: {done.stdout}{done.stderr}")
    if status == 0:
        equal(done.stderr, "", f"complaints of {words}")
        return done.stdout
    check(done.stderr.startswith(("gengate: ", "usage: ")), f"complaint: {done.stderr!r}")
    return done.stderr


def run_json(*words, status=0):
    done = rig.gengate_command("jobs", *words, "--json", check=False)
    equal(done.returncode, status, f"exit status of {words}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def queued(prompt="create_429 for long"):
    """The provider said "later", and it is not sent for ten minutes."""
    rig.faults(create_429={"count": 1, "retry_after": 20, "match": prompt})
    job = rig.submit(prompt)
    stacks.wait_for(lambda: "deferred" in rig.trail(job), 10, "deferral")
    rig.sql(f"UPDATE generation_live SET due_at = now() + interval '10 min' WHERE job_id = '{job['id']}'")
    equal(rig.state(job), "queued", "state")
    return job


def submitting(prompt="create_late"):
    """Its create is under way, and whoever sent it has died."""
    rig.faults(create_late={"count": 1, "delay_ms": 1500, "match": prompt}, webhook_lost={"count": 1, "match": prompt})
    job = rig.submit(prompt)
    rig.wait_state(job, "submitting")
    stacks.wait_for(lambda: rig.predictions(job), 10, "prediction")
    rig.gengate.kill()
    equal(rig.state(job), "submitting", "state")
    return job


def go_on():
    if not rig.gengate.alive():
        rig.gengate.start()
        rig.wait_ready()


def last_event(job):
    event, detail = rig.sql("SELECT event, detail FROM generation_events"
                            f" WHERE job_id = '{job['id']}' ORDER BY id DESC LIMIT 1")[0]
    return event, json.loads(detail or "{}")


# -- list

@test
def lists_whosever_jobs():
    done = [rig.submit(f"number {n}", user=f"lister {n}") for n in range(3)]
    for job in done:
        rig.succeeds(job)
    waits = queued()
    found = run_json("list", "--limit", "1000")
    equal(found["more"], False, "more")
    equal([job["id"] for job in found["jobs"]][:4], [waits["id"], *(job["id"] for job in reversed(done))], "newest first")
    first, second = found["jobs"][:2]
    equal((first["status"], first["state"], first["model"], first["provider"], first["error"]),
          ("starting", "queued", "painter", "replicate", None), "the one that waits")
    check(first["due_at"] > found["now_at"] and first["completed_at"] is None, f"times: {first}")
    equal((second["status"], second["state"], second["due_at"]), ("succeeded", "settled", None), "one that has ended")
    equal(second["created_at"][:19], done[2]["created_at"][:19], "created_at")

    def ids(*words):
        return [job["id"] for job in run_json("list", *words)["jobs"]]
    equal(ids("--owner", "lister 1"), [done[1]["id"]], "of an owner")
    equal(ids("--owner", second["owner"]), [done[2]["id"]], "of an owner by their UUID")
    equal(ids("--state", "queued"), [waits["id"]], "in a state")
    equal(ids("--state", "storing"), [], "in another state")
    check(waits["id"] not in ids("--state", "settled"), "settled ones")
    equal(ids("--status", "starting"), [waits["id"]], "with a status")
    equal(ids("--status", "starting", "--state", "settled"), [], "both")
    equal(ids("--older-than", "1h"), [], "old ones")
    rig.sql(f"UPDATE generation_jobs SET created_at = now() - interval '2 h' WHERE id = '{done[0]['id']}'")
    equal(ids("--older-than", "1h"), [done[0]["id"]], "old ones")
    short = run_json("list", "--limit", "2")
    equal((len(short["jobs"]), short["more"]), (2, True), "a page")
    run("settle", waits["id"], "--as", "canceled", "--reason", "the test is over")


@test
def its_table_is_aligned():
    waits = queued()
    job = rig.submit("a model with another name", user="aligned", model="by-version")
    rig.succeeds(job)
    lines = run("list", "--limit", "3").splitlines()
    check(lines[-1].startswith("and older ones"), lines[-1])
    starts = [[m.start() for m in re.finditer(r"(?<!\S)\S", line)] for line in lines[:-1]]
    titles = lines[0].split()
    equal(titles, ["ID", "STATUS", "STATE", "AGE", "NEXT", "TRIES", "MODEL", "ERROR", "OWNER"], "titles")
    for line, found in zip(lines[1:-1], starts[1:], strict=True):
        check(set(starts[0]) <= set(found), f"not below the titles: {line}\n{lines[0]}")
    check(re.search(rf"^{waits['id']}  starting .* queued .*  in \d+m ", "\n".join(lines), re.MULTILINE), f"lines: {lines}")
    equal(run("list", "--owner", "nobody"), "no such job\n", "nothing")
    run("cancel", waits["id"])


# -- show

@test
def shows_the_whole_trail():
    job = rig.submit('a "lighthouse"\x1b[2J\u009b', user="shown", metadata={"order": 17},
                     headers={"Idempotency-Key": "once-and-for-all"})
    rig.succeeds(job)
    found = run_json("show", job["id"])
    record = found["job"]
    equal((record["id"], record["status"], record["error"], record["model"], record["metadata"],
           record["idempotency_key"]), (job["id"], "succeeded", None, "painter", {"order": 17}, "once-and-for-all"), "record")
    equal(record["request"]["prompt"], 'a "lighthouse"\x1b[2J\u009b', "prompt")
    equal(found["live"], None, "live row")
    equal([event["event"] for event in found["trail"]], rig.trail(job), "trail")
    check(len(found["trail"]) >= 4, f"trail: {found['trail']}")
    times = [event["at"] for event in found["trail"]]
    check(times == sorted(times) and all(re.fullmatch(r"\d{4}-\d\d-\d\dT[0-9:.]{15}Z", t) for t in times), f"times: {times}")
    roads = {(event["detail"] or {}).get("road") for event in found["trail"]}
    check(roads & {"webhook", "poll"}, f"roads: {roads}")
    asset = found["outputs"][0]
    equal((asset["index"], asset["key"], asset["content_type"]), (0, rig.objects(job)[0]["name"], "image/png"), "output")

    text = run("show", job["id"])
    check("\x1b" not in text and "\u009b" not in text, "what steers a terminal")
    for wanted in (rf"(?m)^job +{job['id']}$", r"(?m)^status +succeeded$", r"(?m)^key +once-and-for-all$",
                   r"(?m)^created .*Z   \d+s ago$", r"(?m)^not live", r"(?m)^  0  stored  .*image/png  \d+ bytes$"):
        check(re.search(wanted, text), f"no {wanted} in\n{text}")
    events = re.findall(r"(?m)^  \d{4}-\S+Z  (\w+)", text)
    equal(events, rig.trail(job), "trail in words")
    check(re.search(r"(?m)submitting +queued -> submitting\b", text), text)


@test
def shows_what_is_live():
    rig.set_sim(processing_ms=600000)
    try:
        job = rig.submit("[endless]")
        rig.wait_state(job, "running")
        rig.sql("INSERT INTO generation_strays (owner_id, job_id, prediction_id, provider, road, ended_at, verdict) SELECT"
                f" owner_id, id, 'another', provider, 'webhook', now(), 'foreign' FROM generation_jobs WHERE id = '{job['id']}'")
        live = run_json("show", job["id"])["live"]
        equal((live["state"], live["prediction"], live["cancel"]), ("running", rig.one_prediction(job)["id"], None), "live row")
        text = run("show", job["id"])
        for wanted in (r"(?m)^  another  foreign  road=webhook created=\S+Z ended=\S+Z$", r"(?m)^live$", r"(?m)^  state +running$", r"(?m)^  next step +\S+Z   ", r"(?m)^  deadline .*Z   in \d+m \d+s$"):
            check(re.search(wanted, text), f"no {wanted} in\n{text}")
    finally:
        rig.set_sim(processing_ms=100)
    run("cancel", job["id"])
    rig.settled(job)


@test
def shows_no_secrets():
    rig.faults(storage_500={"count": -1, "match": "POST /storage"})
    try:
        job = rig.submit("secrets")
        rig.wait_state(job, "storing")
        rig.sql("UPDATE generation_assets SET source_url = source_url || '?X-Signature=abc#x', signed_url = 'https://signed/'"
                f" WHERE job_id = '{job['id']}'")
        token = rig.webhook_path(job).partition("job=")[2]
        check(len(token) > 40, f"token: {token}")
        for words in ((), ("--json",)):
            text = run("show", job["id"], *words)
            for what, secret in {**e2e.secrets_of(rig), "token": token, "signature": "X-Signature",
                                 "signed": "https://signed"}.items():
                check(not secret or secret not in text, f"{what} in {text}")
            check("/out-0.png..." in text, f"no source in {text}")
        check("not all outputs are stored" in run("settle", job["id"], "--as", "failed", "--reason", "x", status=1), "storing")
        check("being stored" in run("cancel", job["id"], status=1), "cancel while storing")
        rig.sql(f"UPDATE generation_assets SET source_url = split_part(source_url, '?', 1), signed_url = NULL"
                f" WHERE job_id = '{job['id']}'")
        # While it cannot end by itself.
        run("resume", job["id"])
    finally:
        rig.faults(storage_500=0)
    rig.succeeds(job)


@test
def the_beginning_of_an_id_will_do():
    jobs = [rig.submit(f"begins {n}", user=f"begins {n}") for n in range(2)]
    for job in jobs:
        rig.succeeds(job)
    ids = [job["id"] for job in jobs]
    equal(run_json("show", ids[0][:30])["job"]["id"], ids[0], "a long beginning")
    equal(run_json("show", ids[0].upper())["job"]["id"], ids[0], "in capitals")
    # One that differs in the last digit; and the same id twice, of two owners.
    almost = ids[0][:-1] + ("1" if ids[0][-1] == "0" else "0")
    for old, new in ((ids[0], almost), (ids[1], ids[1])):
        rig.sql("INSERT INTO generation_jobs (owner_id, id, status, model, provider, request, fingerprint, completed_at,"
                f" deadline_at) SELECT gen_random_uuid(), '{new}', status, model, provider, request, fingerprint,"
                f" completed_at, deadline_at FROM generation_jobs WHERE id = '{old}'")
    text = run("show", ids[0][:-1], status=1)
    check("say more of it" in text and ids[0] in text and almost in text, text)
    equal(run_json("show", ids[0])["job"]["id"], ids[0], "all of it")
    check("--owner" in run("show", ids[1], status=1), "two owners")
    equal(run_json("show", ids[1], "--owner", "begins 1")["job"]["id"], ids[1], "of one of them")
    error = run_json("show", ids[1], status=1)["error"]
    equal(error["code"], "conflict", "code")
    check("--owner" in error["message"], f"message: {error}")
    check("there is no job" in run("show", "00000000-0000-7000-8000-000000000000", status=1), "an unknown one")
    check("there is no job" in run("cancel", ids[0], "--owner", "somebody else", status=1), "of another owner")


# -- cancel

@test
def cancels_what_was_not_sent():
    job = queued()
    check("it has ended" in run("cancel", job["id"], "--reason", "asked by phone"), "words")
    equal(rig.settled(job)["status"], "canceled", "status")
    equal(last_event(job), ("cancel_asked", {"by": "operator", "message": "asked by phone"}), "trail")
    check("has ended already" in run("cancel", job["id"], status=1), "a second time")
    equal(rig.predictions(job), [], "predictions")


@test
def cancels_at_the_provider():
    job = rig.submit("[endless]")
    rig.wait_state(job, "running")
    equal(run_json("cancel", job["id"])["done"], "asked", "done")
    equal(rig.settled(job)["status"], "canceled", "status")
    equal(rig.one_prediction(job)["status"], "canceled", "at the provider")
    check("cancel_asked" in rig.trail(job), f"trail: {rig.trail(job)}")


# -- settle

@test
def settles_what_was_not_sent():
    job = queued()
    equal(run_json("settle", job["id"], "--as", "failed", "--reason", "the model is gone")["done"], "ended", "done")
    end = rig.fails(job, "ended_by_operator")
    equal(end["error"]["retryable"], True, "retryable")
    event, detail = last_event(job)
    equal((event, detail), ("settled", {"by": "operator", "message": "the model is gone"}), "trail")
    check("has ended already" in run("settle", job["id"], "--as", "canceled", "--reason", "x", status=1), "a second time")
    # The slot is free.
    rig.succeeds(rig.submit("the next one", user=job["user"]))


@test
def settles_only_by_force_what_may_be_paid_for():
    for state, words in (("submitting", "under way"), ("uncertain", "may have reached")):
        job = submitting(f"create_late {state}")
        try:
            # As when its lease is over, without waiting for what comes of it.
            rig.sql(f"UPDATE generation_live SET state = '{state}' WHERE job_id = '{job['id']}'")
            before = rig.rows(job)
            complaint = run("settle", job["id"], "--as", "canceled", "--reason", "x", status=1)
            check(words in complaint and "--force" in complaint, complaint)
            equal(rig.rows(job), before, "what the database has")
            run("settle", job["id"], "--as", "canceled", "--reason", "never mind", "--force")
            equal(rig.state(job), "settled", "state")
        finally:
            go_on()
        equal(rig.settled(job)["status"], "canceled", "status")
    job = rig.submit("[endless]")
    rig.wait_state(job, "running")
    check("working on it" in run("settle", job["id"], "--as", "failed", "--reason", "x", status=1), "running")
    run("settle", job["id"], "--as", "failed", "--reason", "x", "--force")
    rig.fails(job, "ended_by_operator")


# -- resume

@test
def resumes_what_waits():
    job = queued()
    equal(run_json("resume", job["id"])["done"], "due", "done")
    rig.succeeds(job)
    check("resumed" in rig.trail(job), f"trail: {rig.trail(job)}")
    equal(json.loads(rig.sql_value(f"SELECT detail FROM generation_events WHERE job_id = '{job['id']}'"
                                   " AND event = 'resumed'")), {"by": "operator"}, "detail")
    check("has ended already" in run("resume", job["id"], status=1), "when it has ended")
    equal(len(rig.predictions(job)), 1, "predictions")


@test
def a_lease_that_holds_is_left_alone():
    job = submitting("create_late resumed")

    def lease():
        return rig.sql_value(f"SELECT lease_until FROM generation_live WHERE job_id = '{job['id']}'")
    try:
        rig.sql(f"UPDATE generation_live SET lease_until = now() + interval '1 h' WHERE job_id = '{job['id']}'")
        before = lease()
        equal(run_json("resume", job["id"])["done"], "leased", "done")
        equal(lease(), before, "lease")
        rig.sql(f"UPDATE generation_live SET lease_until = now() - interval '1 s' WHERE job_id = '{job['id']}'")
        equal(run_json("resume", job["id"])["done"], "due", "done")
        equal(lease(), None, "lease")
    finally:
        run("settle", job["id"], "--as", "canceled", "--reason", "the test is over", "--force")
        go_on()


# -- Words

@test
def what_is_not_said_rightly():
    an_id = "01a2c7b0-5f1e-7c43-9d0a-3f6f2b8f1c55"
    for words in ((), ("lost",), ("list", "extra"), ("list", "--limit"), ("list", "--limit", "0"), ("list", "--limit", "x"),
                  ("list", "--older-than", "10"), ("list", "--state", "done"), ("list", "--status", "queued"),
                  ("list", "--force"), ("show",), ("show", "short"), ("show", "0" * 37), ("show", "no-hexadecimals"),
                  ("show", an_id, an_id), ("show", an_id, "--state", "queued"), ("cancel", an_id, "--force"),
                  ("settle", an_id), ("settle", an_id, "--as", "failed"), ("settle", an_id, "--reason", "x"),
                  ("settle", an_id, "--as", "succeeded", "--reason", "x"), ("settle", an_id, "--as", "failed", "--reason", ""),
                  ("resume", an_id, "--as", "failed")):
        run(*words, status=64)
    text = rig.run([rig.gengate_program, "--help"]).stdout
    check("gengate jobs list" in text, "gengate --help")


@test
def a_configuration_that_is_not_usable():
    done = rig.gengate_command("jobs", "list", check=False, provider="nobody")
    equal(done.returncode, 78, "exit status")


@test
def without_the_database():
    text = run("list", status=1, database_url="postgresql:///gengate?host=/nonexistent")
    check("nonexistent" in text, text)


@test
def logs():
    e2e.check_logs(rig, r"upstream|connect\(\)|recv\(\)")


def teardown():
    if rig:
        rig.stop()


e2e.main(setup, teardown)
