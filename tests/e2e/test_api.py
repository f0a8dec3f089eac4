"""Listing, canceling, retrying and deleting jobs, through nginx."""

import os
import sys
import threading
import time
import urllib.parse
import uuid

sys.path.insert(0, os.path.join(os.environ.get("srcdir") or os.path.join(os.path.dirname(__file__), "../.."),
                                "tests/stack"))
import stack as stacks
from tap import Skip, check, equal, run, skip_all, test

stack = None
users = inserted = 0


def setup():
    global stack
    stack = stacks.Stack(config={"lease": "4s", "poll_interval": "200ms"})
    stack.start()


def teardown():
    if stack:
        stack.stop()


# -- Helpers

def new_user():
    """Somebody without any job; the simulator does nothing wrong for them."""
    global users
    users += 1
    faults(reset=True)
    return str(uuid.UUID(int=(0x9E << 120) + users))


def faults(reset=False, **switches):
    if reset:
        for name in stack.http("GET", "/sim/faults").json:
            switches.setdefault(name, 0)
    answer = stack.http("POST", "/sim/faults", json=switches)
    equal(answer.status, 200, f"switches: {answer.text}")


def counters():
    return stack.http("GET", "/sim/state?predictions=0").json


def since(before):
    """What the simulator has counted since, without the zeros."""
    now = counters()
    return {name: now[name] - n for name, n in before.items() if isinstance(n, int) and now[name] != n}


def generate(user, prompt="a boat", status=202, headers=None, **more):
    answer = stack.http("POST", "/generate", json={"prompt": prompt, **more}, user=user, headers=headers)
    equal(answer.status, status, f"POST /generate: {answer.text}")
    return answer.json


def settled(user, prompt="a boat", **more):
    return stack.wait_settled(generate(user, prompt, **more)["id"], user=user)


def cancel(user, job, prefer=None):
    return stack.http("POST", f"/generate/{job}/cancel", user=user, headers={"Prefer": prefer} if prefer else {})


def retry(user, job, **headers):
    return stack.http("POST", f"/generate/{job}/retry", user=user, headers=headers)


def delete(user, job):
    return stack.http("DELETE", f"/generate/{job}", user=user)


def state(job):
    return stack.sql_value(f"SELECT state FROM generation_live WHERE job_id = '{job}'")


def wait_state(job, wanted):
    stacks.wait_for(lambda: state(job) == wanted, 10, f"state {wanted}")


def problem(answer, status, code):
    equal((answer.status, answer.header("Content-Type")), (status, "application/problem+json"), answer.text)
    equal(answer.json["code"], code, "code")
    return answer.json


def objects():
    return [o["name"] for o in stack.http("GET", "/sim/objects").json]


def files_of(job):
    return [name for name in objects() if job in name]


# -- Paths and methods

@test
def methods_are_told():
    user = new_user()
    job = uuid.uuid4()
    for method, path, allow in (
            ("GET", "/generate", "POST"), ("DELETE", "/generate", "POST"),
            ("GET", f"/generate/{job}", "DELETE"), ("POST", f"/generate/{job}", "DELETE"),
            ("GET", f"/generate/{job}/cancel", "POST"), ("DELETE", f"/generate/{job}/cancel", "POST"),
            ("GET", f"/generate/{job}/retry", "POST"), ("PUT", f"/status/{job}", "GET, HEAD"),
            ("POST", "/status", "GET, HEAD")):
        answer = stack.http(method, path, user=user)
        problem(answer, 405, "method_not_allowed")
        equal(answer.header("Allow"), allow, f"Allow of {path}")


@test
def what_is_no_path_is_not_found():
    user = new_user()
    for path in ("/generate/", f"/generate/{uuid.uuid4()}/", f"/generate/{uuid.uuid4()}/other",
                 f"/generate/{uuid.uuid4()}/cancel/", f"/generate/{uuid.uuid4()}/x/cancel", "/generate/" + "a" * 300,
                 "/generate/*/cancel/x"):
        problem(stack.http("POST", path, user=user), 404, "not_found")


@test
def nobodys_jobs_are_not_found():
    user, other = new_user(), new_user()
    job = settled(user)["id"]
    for id in (job, str(uuid.uuid4()), "nonsense"):
        problem(cancel(other, id), 404, "not_found")
        problem(retry(other, id), 404, "not_found")
        problem(delete(other, id), 404, "not_found")
    for call in (cancel, retry, delete):
        problem(call(None, job), 401, "unauthorized")
    problem(stack.http("GET", "/status"), 401, "unauthorized")
    equal(stack.http("GET", f"/status/{job}", user=user).status, 200, "it is still there")


@test
def links_say_what_can_be_done():
    user = new_user()
    job = generate(user, "[endless]")
    links = job["links"]
    equal(links, {"self": f"/status/{job['id']}", "cancel": f"/generate/{job['id']}/cancel"}, "while live")
    equal(stack.http("POST", links["cancel"], user=user).json["links"],
          {"self": links["self"], "retry": f"/generate/{job['id']}/retry"}, "canceled")
    equal(set(settled(user, "[fail]")["links"]), {"self", "retry"}, "failed")
    equal(set(settled(user)["links"]), {"self"}, "succeeded")


# -- The list

def jobs_list(user, query=""):
    answer = stack.http("GET", "/status" + query, user=user)
    equal(answer.status, 200, answer.text)
    equal(answer.header("Cache-Control"), "private, no-cache", "Cache-Control")
    equal(set(answer.json), {"jobs", "next"}, "members")
    return answer.json


def pages(user, query="", between=None):
    """All ids of all pages; between() is called before each further page."""
    found, page = [], jobs_list(user, query)
    while True:
        found.append([job["id"] for job in page["jobs"]])
        if not page["next"]:
            return found
        check(page["next"].startswith("/status?cursor="), page["next"])
        if between:
            between()
        page = jobs_list(user, page["next"].removeprefix("/status"))


def insert(user, n, status="succeeded"):
    """n jobs, the newest last, in one go: their ids."""
    global inserted
    ids = []
    for _ in range(n):
        inserted += 1
        random = os.urandom(9).hex()
        ids.append(str(uuid.UUID(hex=f"{1700000000000 + inserted:012x}7{random[:3]}8{random[3:]}")))
    rows = ", ".join(f"('{user}', '{i}', '{status}', 'flux-schnell', 'replicate', '{{\"prompt\": \"x\"}}',"
                     f" sha256('x'), now(), now(), {repr('timeout') if status == 'failed' else 'NULL'})" for i in ids)
    stack.sql("INSERT INTO generation_jobs (owner_id, id, status, model, provider, request, fingerprint, completed_at,"
              f" deadline_at, error_code) VALUES {rows}")
    return ids


@test
def the_list_is_the_callers():
    user, other = new_user(), new_user()
    equal(jobs_list(user), {"jobs": [], "next": None}, "at first")
    first = settled(user, metadata={"a": 1})
    second = settled(user, "[fail]")
    third = generate(user, "[endless]")
    page = jobs_list(user)
    equal([job["id"] for job in page["jobs"]], [third["id"], second["id"], first["id"]], "newest first")
    equal(page["next"], None, "next")
    equal(page["jobs"][1:], [second, first], "as their own resources show them")
    equal(jobs_list(other)["jobs"], [], "another's")
    equal(stack.http("HEAD", "/status", user=user).body, b"", "HEAD")
    cancel(user, third["id"])


@test
def pages_neither_skip_nor_repeat():
    user = new_user()
    ids = insert(user, 95)
    added = []

    def between():
        added.extend(insert(user, 2))
    found = pages(user, "?limit=10", between)
    equal([len(page) for page in found], [10] * 9 + [5], "sizes")
    equal([id for page in found for id in page], ids[::-1], "ids")
    equal(len(added), 18, "added meanwhile")
    equal([len(page) for page in pages(user)], [20] * 5 + [13], "pages of the usual size")
    equal([len(page) for page in pages(user, "?limit=100")], [100, 13], "large pages")


@test
def a_full_last_page_has_no_next():
    user = new_user()
    insert(user, 20)
    equal(jobs_list(user)["next"], None, "next of 20")
    insert(user, 1)
    equal([len(page) for page in pages(user)], [20, 1], "pages of 21")


@test
def the_list_can_be_filtered():
    user = new_user()
    insert(user, 5)
    failed = insert(user, 7, "failed")
    canceled = insert(user, 3, "canceled")
    equal([id for page in pages(user, "?status=failed&limit=3") for id in page], failed[::-1], "failed")
    equal([id for page in pages(user, "?limit=3&status=canceled,failed") for id in page],
          (failed + canceled)[::-1], "canceled and failed")
    equal([id for page in pages(user, "?status=canceled%2Cfailed") for id in page],
          (failed + canceled)[::-1], "with an encoded comma")
    equal(jobs_list(user, "?status=starting,processing")["jobs"], [], "live")


@test
def a_broken_query_is_refused():
    user, other = new_user(), new_user()
    insert(user, 30)
    insert(other, 3)
    cursor = urllib.parse.parse_qs(jobs_list(user)["next"].partition("?")[2])["cursor"][0]
    changed = cursor[:-2] + ("A" if cursor[-2] != "A" else "B") + cursor[-1]
    for query, pointer in (
            ("limit=0", "/limit"), ("limit=101", "/limit"), ("limit=ten", "/limit"), ("limit=", "/limit"),
            ("limit", "/limit"), ("limit=5&limit=6", "/limit"), ("limit=%zz", "/limit"),
            ("status=done", "/status"), ("status=failed,", "/status"), ("status=", "/status"),
            ("status=,failed", "/status"), ("cursor=", "/cursor"), ("cursor=nonsense", "/cursor"),
            (f"cursor={changed}", "/cursor"), (f"cursor={uuid.uuid4()}", "/cursor"), ("cursor=" + "A" * 3000, "/cursor"),
            ("offset=3", "/offset"), ("a/b=3", ""), ("%FF=1", "")):
        errors = problem(stack.http("GET", "/status?" + query, user=user), 400, "invalid_request")["errors"]
        equal([error["pointer"] for error in errors], [pointer], query)
        check(errors[0]["detail"], "no detail")
    equal(len(problem(stack.http("GET", "/status?limit=x&status=y&cursor=z&w=1", user=user), 400,
                      "invalid_request")["errors"]), 4, "all at once")
    # A cursor is a place, not a right.
    equal(set(pages(other, "?cursor=" + cursor)[0]) - {r[0] for r in stack.sql(
        f"SELECT id FROM generation_jobs WHERE owner_id = '{other}'")}, set(), "with another's cursor")


# -- Cancel

def ends_canceled(user, job, answer, status=200):
    equal(answer.status, status, f"cancel: {answer.text}")
    equal(answer.header("Location"), f"/status/{job}", "Location")
    if status == 202:
        equal(answer.header("Retry-After"), "1", "Retry-After")
    else:
        equal(answer.json["status"], "canceled", "status in the answer")
    equal(stack.wait_settled(job, user=user)["status"], "canceled", "status at last")
    equal(state(job), None, "live row")
    problem(cancel(user, job), 409, "conflict")


@test
def cancel_queued():
    user, before = new_user(), counters()
    faults(create_429={"count": -1, "retry_after": 20})
    job = generate(user, headers={"Prefer": "respond-async"})["id"]
    stacks.wait_for(lambda: stack.sql(f"SELECT 1 FROM generation_events WHERE job_id = '{job}' AND event = 'deferred'"),
                    10, "429")
    ends_canceled(user, job, cancel(user, job))
    faults(reset=True)
    check(not since(before).get("predictions_created"), "created")
    settled(user)       # the slot is free


@test
def cancel_running():
    user, before = new_user(), counters()
    job = generate(user, "[endless]")["id"]
    wait_state(job, "running")
    began = time.monotonic()
    ends_canceled(user, job, cancel(user, job))
    check(time.monotonic() - began < 2, "slow")
    equal(since(before).get("canceled"), 1, "canceled at the provider")
    equal(settled(user)["status"], "succeeded", "the slot is free")


@test
def cancel_without_waiting():
    user = new_user()
    job = generate(user, "[endless]")["id"]
    wait_state(job, "running")
    # Else it might be over by the time of the answer.
    faults(delay={"count": 1, "delay_ms": 700, "match": "/cancel"})
    answer = cancel(user, job, "respond-async")
    equal(answer.header("Preference-Applied"), "respond-async", "Preference-Applied")
    ends_canceled(user, job, answer, answer.status)
    equal(answer.status, 202, "status")


@test
def cancel_twice_is_one():
    user, before = new_user(), counters()
    faults(cancel_500=2)
    job = generate(user, "[endless]")["id"]
    wait_state(job, "running")
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(cancel(user, job))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal({answer.status for answer in answers}, {200}, "statuses")
    equal(since(before).get("canceled"), 1, "canceled at the provider")


@test
def cancel_is_repeated_until_it_is_heard():
    user, before = new_user(), counters()
    faults(cancel_500=3)
    job = generate(user, "[endless]")["id"]
    wait_state(job, "running")
    answer = cancel(user, job, "wait=0")
    ends_canceled(user, job, answer, 202)
    equal(since(before).get("canceled"), 1, "canceled at the provider")


@test
def cancel_whose_answer_is_lost():
    user = new_user()
    faults(cancel_drop_after=1, webhook_lost=-1)
    job = generate(user, "[endless]")["id"]
    wait_state(job, "running")
    ends_canceled(user, job, cancel(user, job))


@test
def cancel_that_comes_too_late_is_a_success():
    user = new_user()
    # The provider has finished, and we have not heard of it.
    faults(webhook_lost=-1, get_500=-1)
    job = generate(user)["id"]
    wait_state(job, "running")
    prediction = stack.sql_value(f"SELECT prediction_id FROM generation_live WHERE job_id = '{job}'")
    stacks.wait_for(lambda: any(p["id"] == prediction and p["status"] == "succeeded"
                                for p in stack.http("GET", "/sim/state").json["predictions"]), 10, "success")
    answer = cancel(user, job)
    equal((answer.status, answer.json["status"], len(answer.json["assets"])), (200, "succeeded", 1), answer.text)


@test
def polling_goes_on_while_cancels_fail():
    user = new_user()
    faults(webhook_lost=-1, cancel_500=-1)
    job = generate(user)["id"]
    cancel(user, job, "respond-async")
    equal(stack.wait_settled(job, user=user)["status"], "succeeded", "status")


@test
def cancel_while_it_is_sent():
    user, before = new_user(), counters()
    faults(create_late={"count": 1, "delay_ms": 1200})
    job = generate(user, "[endless]", headers={"Prefer": "respond-async"})["id"]
    wait_state(job, "submitting")
    answer = cancel(user, job, "respond-async")
    equal(answer.status, 202, "status")
    equal(state(job), "submitting", "state")
    ends_canceled(user, job, answer, 202)
    equal((since(before).get("predictions_created"), since(before).get("canceled")), (1, 1), "created, canceled")


@test
def cancel_while_it_is_sent_in_vain():
    user, before = new_user(), counters()
    faults(create_429={"count": -1}, delay={"count": 1, "delay_ms": 1200, "match": "POST /replicate"})
    job = generate(user, headers={"Prefer": "respond-async"})["id"]
    wait_state(job, "submitting")
    ends_canceled(user, job, cancel(user, job))
    check(not since(before).get("predictions_created"), "created")


@test
def cancel_while_the_outcome_is_unknown():
    user, before = new_user(), counters()
    faults(create_drop_after=1, webhook_late={"count": -1, "delay_ms": 1500})
    job = generate(user, "[endless]")["id"]
    wait_state(job, "uncertain")
    # The webhook brings the prediction, and then it is canceled.
    ends_canceled(user, job, cancel(user, job, "respond-async"), 202)
    equal((since(before).get("predictions_created"), since(before).get("canceled")), (1, 1), "created, canceled")


@test
def cancel_while_it_is_kept_is_too_late():
    user = new_user()
    faults(storage_slow={"count": 1, "delay_ms": 1000})
    job = generate(user)["id"]
    wait_state(job, "storing")
    answer = cancel(user, job)
    equal((answer.status, answer.json["status"]), (200, "succeeded"), answer.text)


@test
def cancel_of_what_has_ended_is_a_conflict():
    user = new_user()
    for prompt in ("a boat", "[fail]"):
        job = settled(user, prompt)
        got = problem(cancel(user, job["id"]), 409, "conflict")
        equal((got["job"]["id"], got["job"]["status"]), (job["id"], job["status"]), "job")


# -- Retry

@test
def retry_is_a_new_job_with_the_same_request():
    user = new_user()
    old = settled(user, "[fail] twice", metadata={"k": ["v"]}, seed=7, count=2)
    before = counters()
    answer = retry(user, old["id"])
    equal(answer.status, 202, answer.text)
    new = answer.json
    equal(answer.header("Location"), f"/status/{new['id']}", "Location")
    check(new["id"] != old["id"], "the same id")
    equal(new["metadata"], {"k": ["v"]}, "metadata")
    rows = stack.sql("SELECT request, metadata, model, provider FROM generation_jobs "
                     f"WHERE id IN ('{old['id']}', '{new['id']}')")
    equal(rows[0], rows[1], "request, metadata, model, provider")
    equal(stack.wait_settled(new["id"], user=user)["status"], "failed", "status")
    equal(since(before).get("predictions_created"), 1, "created")
    equal(stack.http("GET", f"/status/{old['id']}", user=user).json, old, "the old job")


@test
def retry_of_a_canceled_job():
    user = new_user()
    job = generate(user, "[endless]")["id"]
    problem(retry(user, job), 409, "conflict")
    equal(cancel(user, job).status, 200, "cancel")
    answer = retry(user, job, Prefer="wait=1")
    equal((answer.status, answer.header("Preference-Applied")), (202, "wait=1"), answer.text)
    equal(problem(retry(user, job), 409, "generation_in_flight")["job"]["id"], answer.json["id"], "in flight")
    cancel(user, answer.json["id"])


@test
def retry_of_a_success_is_a_conflict():
    user = new_user()
    job = settled(user)
    got = problem(retry(user, job["id"]), 409, "conflict")
    equal(got["job"]["status"], "succeeded", "job")
    check("succeeded" in got["detail"], got["detail"])


@test
def retry_with_a_key():
    user = new_user()
    a, b = settled(user, "[fail]")["id"], settled(user, "[fail]")["id"]
    first = retry(user, a, **{"Idempotency-Key": "k"})
    equal(first.status, 202, first.text)
    again = retry(user, a, **{"Idempotency-Key": "k"})
    equal((again.status, again.header("Idempotency-Replayed")), (200, "true"), again.text)
    equal(again.json["id"], first.json["id"], "job")
    stack.wait_settled(first.json["id"], user=user)
    problem(retry(user, b, **{"Idempotency-Key": "k"}), 422, "idempotency_key_reused")
    problem(stack.http("POST", "/generate", json={"prompt": "[fail]"}, user=user, headers={"Idempotency-Key": "k"}),
            422, "idempotency_key_reused")
    stack.wait_settled(generate(user, "[fail]", headers={"Idempotency-Key": "plain"})["id"], user=user)
    problem(retry(user, a, **{"Idempotency-Key": "plain"}), 422, "idempotency_key_reused")
    problem(retry(user, a, **{"Idempotency-Key": "with blanks"}), 400, "bad_request")


@test
def retry_of_what_is_not_offered_any_more():
    user = new_user()
    job = settled(user, "[fail]", count=3)["id"]
    stack.sql(f"UPDATE generation_jobs SET request = request::jsonb || '{{\"count\": 5}}' WHERE id = '{job}'")
    got = problem(retry(user, job), 409, "conflict")
    equal((got["errors"][0]["pointer"], got["job"]["id"]), ("/count", job), "count above the limit")
    stack.sql(f"UPDATE generation_jobs SET model = 'old-model' WHERE id = '{job}'")
    got = problem(retry(user, job), 409, "conflict")
    check("old-model" in got["detail"], got["detail"])


# -- Delete

@test
def delete_takes_rows_and_files():
    user = new_user()
    job = settled(user, count=2, metadata={"x": 1})
    other = settled(user)
    equal(len(files_of(job["id"])), 2, "files")
    answer = delete(user, job["id"])
    equal((answer.status, answer.body, answer.header("Content-Type")), (204, b"", None), "answer")
    problem(stack.http("GET", f"/status/{job['id']}", user=user), 404, "not_found")
    equal([j["id"] for j in jobs_list(user)["jobs"]], [other["id"]], "list")
    for call in (delete, cancel, retry):
        problem(call(user, job["id"]), 404, "not_found")
    stacks.wait_for(lambda: not files_of(job["id"]), 10, "removal")
    equal(len(files_of(other["id"])), 1, "files of the other")
    for table in ("generation_assets", "generation_events", "generation_removals"):
        stacks.wait_for(lambda: not stack.sql(f"SELECT 1 FROM {table} WHERE job_id = '{job['id']}'"), 5, table)


@test
def delete_of_a_live_job_is_a_conflict():
    user = new_user()
    job = generate(user, "[endless]")["id"]
    equal(problem(delete(user, job), 409, "conflict")["job"]["id"], job, "job")
    equal(cancel(user, job).status, 200, "cancel")
    equal(delete(user, job).status, 204, "status")
    equal(stack.sql(f"SELECT 1 FROM generation_removals WHERE job_id = '{job}'"), [], "there were no files")


@test
def delete_frees_the_key():
    user = new_user()
    job = generate(user, headers={"Idempotency-Key": "k"})["id"]
    stack.wait_settled(job, user=user)
    equal(delete(user, job).status, 204, "status")
    new = generate(user, "another boat", headers={"Idempotency-Key": "k"})["id"]
    check(new != job, "the same job")
    stack.wait_settled(new, user=user)


@test
def a_storage_that_fails_is_asked_again():
    user = new_user()
    job = settled(user, count=3)["id"]
    # Neither for good nor half-way: 403 is the operator's to mend.
    faults(storage_500={"count": 1, "match": "DELETE"}, storage_403={"count": 1, "match": "DELETE"},
           storage_html_502={"count": 1, "match": "DELETE"}, storage_drop_before={"count": 1, "match": "DELETE"},
           storage_drop_after={"count": 1, "match": "DELETE"})
    equal(delete(user, job).status, 204, "status")
    stacks.wait_for(lambda: not files_of(job), 20, "removal")
    stacks.wait_for(lambda: not stack.sql(f"SELECT 1 FROM generation_removals WHERE job_id = '{job}'"), 20, "its row")


@test
def deleting_twice_at_once():
    user = new_user()
    job = settled(user)["id"]
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(delete(user, job).status)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(sorted(statuses), [204] + [404] * 7, "statuses")


@test
def nginx_had_no_complaint():
    with open(os.path.join(stack.log_dir, "nginx-error.log"), encoding="utf-8") as f:
        lines = [line for line in f if "fastcgi://unix:" + stack.gengate_sockets[0] in line]
    equal(lines, [], "lines about gengate")


# -- kill -9

@test
def a_cancel_survives_kill():
    user, before = new_user(), counters()
    faults(cancel_500=-1)
    job = generate(user, "[endless]")["id"]
    wait_state(job, "running")
    equal(cancel(user, job, "respond-async").status, 202, "status")
    stack.gengate.kill()
    faults(reset=True)
    stack.gengate.start()
    stack.wait_ready()
    equal(stack.wait_settled(job, user=user)["status"], "canceled", "status")
    equal(since(before).get("canceled"), 1, "canceled at the provider")


@test
def a_cancel_while_it_is_sent_survives_kill():
    user, before = new_user(), counters()
    faults(create_late={"count": 1, "delay_ms": 1500}, webhook_late={"count": -1, "delay_ms": 2500})
    job = generate(user, "[endless]", headers={"Prefer": "respond-async"})["id"]
    wait_state(job, "submitting")
    equal(cancel(user, job, "respond-async").status, 202, "status")
    stack.gengate.kill()
    stack.gengate.start()
    stack.wait_ready()
    equal(stack.wait_settled(job, user=user)["status"], "canceled", "status")
    equal((since(before).get("predictions_created"), since(before).get("canceled")), (1, 1), "created, canceled")


@test
def a_deletion_survives_kill():
    user = new_user()
    job = settled(user, count=4)["id"]
    equal(len(files_of(job)), 4, "files")
    faults(storage_slow={"count": -1, "delay_ms": 700, "match": "DELETE"})
    equal(delete(user, job).status, 204, "status")
    stacks.wait_for(lambda: 0 < len(files_of(job)) < 4, 10, "half of the removal")
    stack.gengate.kill()
    check(files_of(job), "nothing left to remove: the test proves nothing")
    faults(reset=True)
    stack.gengate.start()
    stack.wait_ready()
    problem(stack.http("GET", f"/status/{job}", user=user), 404, "not_found")
    stacks.wait_for(lambda: not files_of(job), 20, "removal")
    stacks.wait_for(lambda: not stack.sql(f"SELECT 1 FROM generation_removals WHERE job_id = '{job}'"), 5, "its row")


@test
def an_output_that_was_put_in_vain_is_removed_too():
    user = new_user()
    faults(storage_drop_after={"count": -1, "match": "POST /storage"}, webhook_lost=-1)
    job = generate(user)["id"]
    stacks.wait_for(lambda: files_of(job), 20, "file")
    stack.gengate.kill()
    # By now the provider has it no more.
    faults(delivery_404=-1)
    stack.sql(f"UPDATE generation_live SET deadline_at = now(), due_at = now(), lease_until = NULL WHERE job_id = '{job}'")
    stack.gengate.start()
    stack.wait_ready()
    got = stack.wait_settled(job, user=user)
    if got["status"] != "failed":
        raise Skip("it was kept after all")
    equal(delete(user, job).status, 204, "status")
    stacks.wait_for(lambda: not files_of(job), 20, "removal")


# -- Without an HTTP storage

@test
def local_files_are_removed():
    with stacks.Stack(storage="local", auth="none") as local:
        def settle(**body):
            made = local.http("POST", "/generate", json={"prompt": "a boat", **body})
            return local.wait_settled(made.json["id"])
        job, other = settle(count=2), settle()
        paths = [os.path.join(local.files_dir, urllib.parse.urlsplit(asset["url"]).path.removeprefix("/files/"))
                 for asset in job["assets"]]
        check(all(os.path.exists(path) for path in paths), f"no {paths}")
        folder = os.path.dirname(paths[0])
        # Left by a process that was killed, and removed by somebody else.
        with open(os.path.join(folder, "." + os.path.basename(paths[0]) + ".1.2.part"), "wb") as f:
            f.write(b"half")
        os.unlink(paths[1])
        equal(local.http("DELETE", f"/generate/{job['id']}").status, 204, "status")
        stacks.wait_for(lambda: not os.path.exists(folder), 10, "removal")
        stacks.wait_for(lambda: not local.sql("SELECT 1 FROM generation_removals"), 5, "its row")
        equal(local.http("GET", other["assets"][0]["url"]).status, 200, "the other's file")


if stacks.missing_programs():
    skip_all("missing: " + ", ".join(stacks.missing_programs()))
run(setup, teardown)
