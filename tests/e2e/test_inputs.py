"""Inputs: uploaded by a form or a data: URI, or put into the user's own folder before; and what is
left of them when no job comes of it."""

import base64
import hashlib
import json
import os
import re
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, check_problem, equal, stacks, test

BOUNDARY = "----WebKitFormBoundaryAbC123"
MAX, MAX_ALL = 20000, 30000
PUT = "POST /storage/v1/object/inputs"

rig = None


def png(seed=0, extra=0):
    """A picture; `extra` bytes of it say nothing."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(bytes([0, seed % 256]))) + chunk(b"teXt", b"%08d" % seed + bytes(extra))
            + chunk(b"IEND", b""))


def data_uri(data):
    return "data:image/png;base64," + base64.b64encode(data).decode()


def file(data, name="inputs", filename="C:\\pictures\\..\\cup.png", kind="image/png"):
    return (f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
            f"Content-Type: {kind}\r\n\r\n").encode() + data


def field(name, value):
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()


def form(*parts):
    return b"".join(b"--" + BOUNDARY.encode() + b"\r\n" + part + b"\r\n" for part in parts) + \
        b"--" + BOUNDARY.encode() + b"--\r\n"


_users = iter(range(1, 1000000))


def new_user():
    return f"painter-{next(_users)}"


def owner(user):
    """The id that a user has: `auth = server` makes it from the name."""
    job = rig.submit("who am I", user=user)
    rig.settled(job)
    return rig.sql_value(f"SELECT owner_id FROM generation_jobs WHERE id = '{job['id']}'")


def post_form(*parts, user=None, on=None, **headers):
    return (on or rig).http("POST", "/generate", body=form(*parts), user=user or new_user(), headers={
        "Content-Type": "multipart/form-data; boundary=" + BOUNDARY, "Prefer": "respond-async",
        **{name.replace("_", "-"): value for name, value in headers.items()}})


def stored(prefix=""):
    """The inputs that the bucket has, by their names."""
    return {o["name"]: o for o in rig.sim_call("GET", "objects") if o["bucket"] == "inputs"
            and o["name"].startswith(prefix)}


def upload(name, data):
    """As the user's own program does."""
    answer = rig.http("POST", "/storage/v1/object/inputs/" + urllib.parse.quote(name), body=data,
                      headers={"apikey": rig.config["supabase_key"], "Content-Type": "image/png"})
    equal(answer.status, 200, f"upload of {name}")


def key_of(job):
    """The inputs, as the job has them."""
    return json.loads(rig.sql_value(f"SELECT request -> 'inputs' FROM generation_jobs WHERE id = '{job['id']}'"))


def taken(answer, user):
    equal(answer.status, 202, f"status of {answer}")
    return {**answer.json, "user": user}


def sent(job):
    """The addresses that the provider was given."""
    return rig.one_prediction(job)["input"]["images"]


def names_nobody(job_or_prefix, timeout=5):
    stacks.wait_for(lambda: not stored(job_or_prefix), timeout, f"nothing below {job_or_prefix}")


def nothing_is_left(before, timeout=5):
    """Of refused creates: neither files nor rows."""
    stacks.wait_for(lambda: rig.sql_value(
        "SELECT count(*) FROM generation_inputs i WHERE NOT EXISTS (SELECT FROM generation_jobs j"
        " WHERE j.owner_id = i.owner_id AND j.id = i.job_id)") == "0", timeout, "that no row is without a job")
    stacks.wait_for(lambda: rig.sql_value("SELECT count(*) FROM generation_removals") == "0", 5, "no removals")
    equal(set(stored()), set(before), "what is stored")


class InputRig(e2e.Rig):
    """With pause points."""

    def __init__(self, config=None, **options):
        super().__init__(config={"max_input_bytes": f"{MAX}B", "max_inputs_bytes": f"{MAX_ALL}B", **(config or {})}, **options)
        self.gengate_program = os.path.join(self.builddir, "tests/fault/gengate")

    def write_models(self):
        template = {**e2e.INPUT, "image": "$input", "images": "$inputs"}
        models = {"painter": {"limits": {"count": 4, "inputs": 3}, "timeout": "10m",
                              "on": {"replicate": {"model": "sim/painter", "input": template}}}}
        with open(self.config["models_file"], "w", encoding="utf-8") as f:
            json.dump(models, f)

    def gengate_environment(self, **more):
        return {**super().gengate_environment(**more), "PAUSE_POINT_FILE": os.path.join(self.dir, "pause-point")}

    def arm(self, point, how):
        path = os.path.join(self.dir, "pause-point")
        with open(path + ".new", "w", encoding="ascii") as f:
            f.write(f"{point} {how}\n")
        os.rename(path + ".new", path)


def setup():
    global rig
    rig = InputRig(config={"supabase_input_bucket": "inputs", "slots_per_user": "3"}).start()


# -- What is taken


@test
def a_plain_form():
    user, picture = new_user(), png(1)
    job = taken(post_form(field("prompt", "a cup"), field("count", "2"), field("width", "64"), field("height", "32"),
                          field("seed", ""), field("metadata", '{"page": 7}'), field("params", '{"steps": 4}'),
                          file(picture), file(b"", filename=""), user=user), user)
    equal(job["metadata"], {"page": 7}, "metadata")
    rig.succeeds(job)
    key, = key_of(job)
    check(re.fullmatch(rf"[0-9a-f-]{{36}}/{job['id']}/0-{hashlib.sha256(picture).hexdigest()[:16]}\.png", key), key)
    equal(stored(key)[key]["sha256"], hashlib.sha256(picture).hexdigest(), "what is stored")
    given = rig.one_prediction(job)["input"]
    equal((given["prompt"], given["num_outputs"], given["width"], given["height"], given["steps"]),
          ("a cup", 2, 64, 32, 4), "the provider's input")
    equal(given["image"], given["images"][0], "the first of them")
    check("seed" not in given, "a field that was left empty")


@test
def files_data_uris_urls_and_paths_in_order():
    user = new_user()
    mine = owner(user) + "/holiday/the sea & I.png"
    upload(mine, png(3))
    job = taken(post_form(field("prompt", "both"), field("inputs", mine), file(png(4), name="input"),
                          field("inputs", "https://x.example/a.png"), user=user), user)
    rig.succeeds(job)
    path, key, url = key_of(job)
    equal((path, url), (mine, "https://x.example/a.png"), "what the job keeps")
    equal(stored(key)[key]["sha256"], hashlib.sha256(png(4)).hexdigest(), "the file")
    given = sent(job)
    equal(rig.http("GET", given[0]).body, png(3), "the user's own file")
    equal(rig.http("GET", given[1]).body, png(4), "the uploaded one")
    equal(given[2], url, "the URL")


@test
def data_uris_are_stored():
    job = rig.submit("inline", inputs=[data_uri(png(5)), data_uri(png(6, 15000))])
    rig.succeeds(job)
    equal([stored(key)[key]["sha256"] for key in key_of(job)],
          [hashlib.sha256(png(5)).hexdigest(), hashlib.sha256(png(6, 15000)).hexdigest()], "what is stored")
    equal([rig.http("GET", url).body for url in sent(job)], [png(5), png(6, 15000)], "what the provider gets")


@test
def the_address_outlives_the_deadline():
    job = rig.submit("for long", inputs=[data_uri(png(7))])
    rig.succeeds(job)
    url, = sent(job)
    check(url.startswith(rig.url + "/storage/v1/object/sign/inputs/"), url)
    # The simulator's own form of a token.
    left = int(urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["token"][0].split(".")[0]) - time.time()
    check(600 < left < 600 + 20 * 60, f"{left} s left; the deadline is in 600 s")
    kept = rig.sql_value(f"SELECT request::text FROM generation_jobs WHERE id = '{job['id']}'")
    check("token" not in kept and "http" not in kept, f"the record has an address: {kept}")


@test
def a_create_that_was_lost_is_found_again():
    """By its input alone: signatures differ each time, the path does not."""
    rig.faults(secret_401=-1)
    rig.configure(replicate_webhook_secret=None)
    rig.gengate.restart()
    rig.wait_ready()
    rig.faults(create_drop_after=1)
    try:
        job = rig.submit("lost and found", inputs=[data_uri(png(8))])
        rig.succeeds(job, 60)
        equal(len([p for p in rig.sim_call("GET", "state")["predictions"] if p["idempotency_key"] == job["id"]]), 1,
              "predictions")
        check("found" in rig.trail(job), f"trail: {rig.trail(job)}")
    finally:
        rig.faults(secret_401=0)
        rig.configure(replicate_webhook_secret=stacks.WEBHOOK_SECRET)
        rig.gengate.restart()
        rig.wait_ready()


def by_cgi(on, method, path, query="", body=b"", **params):
    """Status, headers and body, of a process of its own."""
    env = {**on.gengate_environment(), "GATEWAY_INTERFACE": "CGI/1.1", "SERVER_PROTOCOL": "HTTP/1.1", "REQUEST_METHOD": method,
           "PATH_INFO": path, "QUERY_STRING": query, "CONTENT_LENGTH": str(len(body)), **params}
    done = subprocess.run([on.gengate_program], env=env, input=body, capture_output=True, timeout=60, check=True)
    head, _, answer = done.stdout.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
    return int(headers["Status"]), headers, answer


@test
def plain_cgi_stores_by_itself():
    user = new_user()
    status, _, answer = by_cgi(rig, "POST", "/generate", body=form(field("prompt", "by CGI"), file(png(10))),
                               CONTENT_TYPE="multipart/form-data; boundary=" + BOUNDARY, REMOTE_USER=user)
    equal(status, 202, f"status of {answer}")
    job = {**json.loads(answer), "user": user}
    rig.succeeds(job)
    equal(rig.http("GET", sent(job)[0]).body, png(10), "what the provider gets")
    before = stored()
    status, _, answer = by_cgi(rig, "POST", "/generate", body=form(field("prompt", "no picture"), file(b"x")),
                               CONTENT_TYPE="multipart/form-data; boundary=" + BOUNDARY, REMOTE_USER=user)
    equal((status, json.loads(answer)["errors"][0]["pointer"]), (400, "/inputs/0"), "what is no picture")
    nothing_is_left(before)


# -- What is not


@test
def anothers_path_is_no_path():
    user, stranger = new_user(), new_user()
    mine, theirs = owner(user), owner(stranger)
    upload(f"{theirs}/secret.png", png(9))
    for path in (f"{theirs}/secret.png", f"{mine}/nothing.png", f"{mine}/../{theirs}/secret.png", f"/{mine}/x.png",
                 f"{mine}//x.png", f"{mine}/a\\b.png", f"{mine}/a\u0001.png", f"{mine}/./x.png", f"{mine}", f"{mine}/",
                 "x.png", f"{mine}/" + "x" * 2000):
        problem = check_problem(rig.post(user=user, inputs=["https://x.example/", path]), 404, "not_found")
        equal(problem["errors"], [{"pointer": "/inputs/1", "detail": "there is no such file of yours"}], path)
    check_problem(rig.post(user=user, inputs=["ftp://x.example/", f"{theirs}/secret.png"]), 400, "invalid_request")


@test
def what_is_no_picture():
    before = stored()
    for data in (b"%PDF-1.7 ...", b"", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\x89PNG\r\n\x1a\n"):
        problem = check_problem(post_form(field("prompt", "a"), field("inputs", "https://x.example/"), file(data)),
                                400, "invalid_request")
        equal(problem["errors"][0]["pointer"], "/inputs/1", f"pointer for {data!r}")
    problem = check_problem(rig.post(inputs=["data:image/png;base64,AAAA"], user=new_user()), 400, "invalid_request")
    equal(problem["errors"][0]["pointer"], "/inputs/0", "pointer")
    problem = check_problem(rig.post(inputs=["data:image/png,%89PNG"], user=new_user()), 400, "invalid_request")
    check("without base64" in problem["errors"][0]["detail"], problem)
    nothing_is_left(before)


@test
def too_large():
    before = stored()
    check_problem(post_form(field("prompt", "a"), file(png(1, MAX))), 413, "body_too_large")
    check_problem(rig.post(inputs=[data_uri(png(1, MAX))], user=new_user()), 413, "body_too_large")
    two = png(2, 16000)
    check_problem(post_form(field("prompt", "a"), file(two), file(two)), 413, "body_too_large")
    check_problem(rig.post(inputs=[data_uri(two)] * 2, user=new_user()), 413, "body_too_large")
    problem = check_problem(post_form(field("prompt", "a"), *[file(png(i)) for i in range(4)]), 400, "invalid_request")
    equal(problem["errors"][0]["pointer"], "/inputs", "pointer")
    # Refused by what it says of its length, before it is read.
    check_problem(post_form(field("prompt", "a"), file(bytes(MAX_ALL + 1100000))), 413, "body_too_large")
    check_problem(rig.post(inputs=["https://x.example/"], user=new_user(), params={"x": "y" * 1000001}), 413,
                  "body_too_large")
    nothing_is_left(before)


@test
def forms_with_mistakes():
    def errors(*parts):
        problem = check_problem(post_form(*parts), 400, "invalid_request")
        return {e["pointer"]: e["detail"] for e in problem["errors"]}

    prompt = field("prompt", "a")
    equal(list(errors(field("count", "1"))), ["/prompt"], "no prompt")
    equal(errors(prompt, field("colour", "red")), {"/colour": "is not a member of a request"}, "an unknown field")
    equal(errors(prompt, field("count", "two")), {"/count": "has to be a whole number"}, "no number")
    equal(errors(prompt, field("metadata", "7")), {"/metadata": "has to be an object"}, "no object")
    equal(errors(prompt, file(png(), name="photo")), {"/photo": "is not a member of a request"}, "another file")
    equal(errors(file(b"a cup", name="prompt")), {"/prompt": "has to be a string"}, "a file for a prompt")
    for parts in ([prompt, prompt], [prompt, b"Content-Type: text/plain\r\n\r\nx"]):
        check_problem(post_form(*parts), 400, "bad_request")
    broken = rig.http("POST", "/generate", body=form(prompt)[:-4], user=new_user(),
                      headers={"Content-Type": "multipart/form-data; boundary=" + BOUNDARY})
    check_problem(broken, 400, "bad_request")
    check_problem(rig.http("POST", "/generate", body=b"x", user=new_user(), headers={"Content-Type": "text/plain"}),
                  415, "unsupported_media_type")


@test
def a_page_of_another_site():
    user = new_user()
    for origin in ("https://evil.example", "null", rig.url + "0"):
        check_problem(post_form(field("prompt", "a"), user=user, Origin=origin), 403, "forbidden")
    rig.succeeds(taken(post_form(field("prompt", "a"), user=user, Origin=rig.url), user))


# -- What is left of a refused create


@test
def refused_creates_leave_nothing():
    user = new_user()
    key = str(uuid.uuid4())
    jobs = [taken(post_form(field("prompt", "[endless] first"), file(png(20)), user=user, Idempotency_Key=key), user)]
    before = stored()

    replay = post_form(field("prompt", "[endless] first"), file(png(20)), user=user, Idempotency_Key=key)
    equal((replay.status, replay.json["id"], replay.header("Idempotency-Replayed")), (200, jobs[0]["id"], "true"),
          "the same bytes")
    replay = rig.post("[endless] first", inputs=[data_uri(png(20))], user=user, headers={"Idempotency-Key": key})
    equal((replay.status, replay.json["id"]), (200, jobs[0]["id"]), "the same bytes by another way")
    check_problem(post_form(field("prompt", "[endless] first"), file(png(21)), user=user, Idempotency_Key=key), 422,
                  "idempotency_key_reused")
    jobs += [rig.submit("[endless] more", user=user) for _ in range(2)]
    problem = check_problem(post_form(field("prompt", "too many"), file(png(22)), user=user), 409,
                            "generation_in_flight")
    check(problem["job"]["id"] in [job["id"] for job in jobs], problem)
    rig.gengate_command("provider", "pause", "replicate")
    try:
        stacks.wait_for(lambda: rig.http("GET", "/readyz").json.get("reasons"), 5, "pause")
        check_problem(post_form(field("prompt", "paused"), file(png(23))), 503, "provider_unavailable")
    finally:
        rig.resume_provider()
    equal(stored(), before, "what is stored")
    for job in jobs:
        rig.http("POST", f"/generate/{job['id']}/cancel", user=user)
        rig.settled(job)
    nothing_is_left(before)


@test
def two_at_once_and_one_slot():
    """Both look, both store, one is made."""
    user = new_user()
    mine = owner(user)
    for n in range(2):
        rig.submit(f"[endless] {n}", user=user)
    rig.faults(delay={"count": 2, "delay_ms": 700, "match": PUT})
    answers = []
    threads = [threading.Thread(target=lambda n=n: answers.append(
        post_form(field("prompt", f"[endless] race {n}"), file(png(30 + n)), user=user))) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(sorted(a.status for a in answers), [202, 409], "answers")
    made = next(a.json for a in answers if a.status == 202)
    stacks.wait_for(lambda: list(stored(mine)) == key_of(made), 5, "that one is left")
    for row in rig.sql(f"SELECT job_id FROM generation_live WHERE owner_id = '{mine}'"):
        rig.http("POST", f"/generate/{row[0]}/cancel", user=user)


@test
def a_storage_that_is_away():
    before = stored()
    rig.faults(storage_500={"count": -1, "match": PUT})
    try:
        answer = post_form(field("prompt", "a"), file(png(40)))
        check_problem(answer, 503, "storage_unavailable")
        check(answer.header("Retry-After"), "no Retry-After")
    finally:
        rig.faults(storage_500=0)
    rig.faults(storage_500={"count": 1, "match": PUT})
    user = new_user()
    job = taken(post_form(field("prompt", "a stumble"), file(png(41)), user=user), user)
    rig.succeeds(job)
    nothing_is_left({**before, **{key: 1 for key in key_of(job)}})


@test
def what_the_bucket_does_not_take():
    before = stored()
    rig.sim_call("POST", "buckets", {"id": "inputs", "public": False, "file_size_limit": 1000})
    try:
        problem = check_problem(post_form(field("prompt", "a"), file(png(1)), file(png(2, 2000))), 400, "invalid_request")
        equal(problem["errors"][0]["pointer"], "/inputs/1", "pointer")
    finally:
        rig.sim_call("POST", "buckets", {"id": "inputs", "public": False, "file_size_limit": 0})
    nothing_is_left(before)


@test
def a_client_that_goes():
    """What is under way is stored yet, and nothing after it: nobody waits for that."""
    before = stored()
    had = rig.taken("delay")
    rig.faults(delay={"count": -1, "delay_ms": 2500, "match": PUT})
    body = form(field("prompt", "gone"), *(file(png(50 + i)) for i in range(3)))
    head = (f"POST /generate HTTP/1.1\r\nHost: x\r\nX-Test-User: {new_user()}\r\nContent-Length: {len(body)}\r\n"
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n").encode()
    try:
        with stacks.socket.create_connection((stacks.HOST, rig.port)) as s:
            s.sendall(head + body)
            stacks.wait_for(lambda: rig.taken("delay") > had, 5, "that the first is being stored")
        nothing_is_left(before, timeout=10)
        equal(rig.taken("delay"), had + 1, "files sent to the storage")
    finally:
        rig.faults(delay=0)
    equal(rig.sql_value("SELECT count(*) FROM generation_jobs WHERE request ->> 'prompt' = 'gone'"), "0", "jobs")


@test
def killed_between_storing_and_the_job():
    before = stored()
    rig.arm("inputs.stored", "KILL")
    answer = post_form(field("prompt", "killed"), file(png(60)))
    check(answer.status in (502, 504), f"an answer of the dead: {answer}")
    stacks.wait_for(lambda: not rig.gengate.alive(), 5, "its end")
    equal(len(stored()), len(before) + 1, "what is stored")
    rig.gengate.start()
    rig.wait_ready()
    # An hour later.
    rig.sql("UPDATE generation_inputs SET due_at = now() WHERE due_at IS NOT NULL")
    nothing_is_left(before, 15)


# -- With its job


@test
def a_database_that_makes_the_job_later():
    """A create that was given up is carried out when its lock is free: its inputs are there."""
    user = new_user()
    rig.configure(db_timeout="1s")
    rig.gengate.restart()
    rig.wait_ready()
    psql = subprocess.Popen([rig.psql, "-X", "-q", "-h", rig.pg_dir, "-U", "gengate", "-d", "gengate"],
                            stdin=subprocess.PIPE, text=True, env=rig.environment())
    try:
        psql.stdin.write("BEGIN; LOCK TABLE generation_jobs IN EXCLUSIVE MODE;\n")
        psql.stdin.flush()
        stacks.wait_for(lambda: rig.sql("SELECT 1 FROM pg_locks WHERE relation = 'generation_jobs'::regclass"
                                        " AND mode = 'ExclusiveLock' AND granted"), 10, "the lock")
        check_problem(post_form(field("prompt", "later"), file(png(60)), user=user), 503, "database_unavailable")
    finally:
        psql.communicate("ROLLBACK;\n")
        rig.configure(db_timeout=None)
        rig.gengate.restart()
        rig.wait_ready()
    stacks.wait_for(lambda: rig.sql_value("SELECT status FROM generation_jobs"
                                          f" WHERE owner_id = '{owner(user)}'") == "succeeded", 20, "the job's end")
    equal(len(stored(owner(user))), 1, "its inputs")


@test
def inputs_go_with_their_last_job():
    user = new_user()
    first = taken(post_form(field("prompt", "[fail] first"), file(png(70)), user=user), user)
    rig.settled(first)
    key, = key_of(first)
    answer = rig.http("POST", f"/generate/{first['id']}/retry", user=user, headers={"Prefer": "respond-async"})
    second = taken(answer, user)
    rig.settled(second)
    equal(key_of(second), [key], "the retry's inputs")
    equal(rig.http("GET", sent(second)[0]).body, png(70), "what the provider gets")
    equal(rig.http("DELETE", f"/generate/{first['id']}", user=user).status, 204, "status")
    stacks.wait_for(lambda: rig.sql_value("SELECT count(*) FROM generation_removals") == "0", 5, "removals")
    equal(list(stored(key)), [key], "it is the retry's, too")
    equal(rig.http("DELETE", f"/generate/{second['id']}", user=user).status, 204, "status")
    names_nobody(key)


@test
def what_users_have_put_there_stays():
    user = new_user()
    mine = owner(user) + "/own.png"
    upload(mine, png(71))
    job = rig.submit("mine", inputs=[mine], user=user)
    rig.succeeds(job)
    equal(rig.http("DELETE", f"/generate/{job['id']}", user=user).status, 204, "status")
    stacks.wait_for(lambda: rig.sql_value("SELECT count(*) FROM generation_removals") == "0", 5, "removals")
    equal(list(stored(mine)), [mine], "the user's own file")


@test
def one_that_is_gone_when_it_is_sent():
    user = new_user()
    mine = owner(user) + "/soon gone.png"
    upload(mine, png(72))
    rig.arm("inputs.stored", "STOP")
    waiting = []
    thread = threading.Thread(target=lambda: waiting.append(rig.post(
        "gone", inputs=[mine], user=user, headers={"Prefer": "wait=20"})))
    thread.start()
    rig.gengate.wait_stopped()
    rig.http("DELETE", "/storage/v1/object/inputs/" + urllib.parse.quote(mine),
             headers={"apikey": rig.config["supabase_key"]})
    rig.gengate.resume()
    thread.join()
    check_problem(waiting[0], 422, "input_gone")


@test
def retries_look_for_their_inputs():
    user = new_user()
    mine = owner(user) + "/again.png"
    upload(mine, png(73))
    job = rig.submit("[fail] again", inputs=[mine], user=user)
    rig.settled(job)
    path = f"/generate/{job['id']}/retry"
    rig.faults(storage_500={"count": -1, "match": "object/info/inputs"})
    try:
        check_problem(rig.http("POST", path, user=user), 503, "storage_unavailable")
    finally:
        rig.faults(storage_500=0)
    rig.arm("inputs.stored", "STOP")
    waiting = []
    thread = threading.Thread(target=lambda: waiting.append(rig.http("POST", path, user=user)))
    thread.start()
    rig.gengate.wait_stopped()
    rig.http("DELETE", "/storage/v1/object/inputs/" + urllib.parse.quote(mine),
             headers={"apikey": rig.config["supabase_key"]})
    rig.gengate.resume()
    thread.join()
    check_problem(waiting[0], 422, "input_gone")
    problem = check_problem(rig.http("POST", path, user=user), 404, "not_found")
    equal(problem["errors"][0]["pointer"], "/inputs/0", "pointer")


# -- How much at once


@test
def the_spool_has_an_end():
    failed = rig.submit("[fail] to be tried again", inputs=[data_uri(png(79))])
    rig.settled(failed)
    rig.configure(spool_requests="1")
    rig.gengate.restart()
    rig.wait_ready()
    try:
        had = rig.taken("delay")
        rig.faults(delay={"count": 1, "delay_ms": 1500, "match": PUT})
        user, answers = new_user(), []
        thread = threading.Thread(target=lambda: answers.append(
            post_form(field("prompt", "slow"), file(png(80)), user=user)))
        thread.start()
        stacks.wait_for(lambda: rig.taken("delay") > had, 5, "that the first is stored")
        answer = post_form(field("prompt", "one too many"), file(png(81)))
        check_problem(answer, 503, "overloaded")
        check(answer.header("Retry-After"), "no Retry-After")
        check_problem(rig.http("POST", f"/generate/{failed['id']}/retry", user=failed["user"]), 503, "overloaded")
        rig.succeeds(rig.submit("without inputs"))
        thread.join()
        rig.succeeds(taken(answers[0], user))
        user = new_user()
        rig.succeeds(taken(post_form(field("prompt", "next"), file(png(82)), user=user), user))
    finally:
        rig.configure(spool_requests="64")
        rig.gengate.restart()
        rig.wait_ready()


@test
def one_user_has_a_share_of_the_spool():
    user, answers = new_user(), []
    failed = rig.submit("[fail] to be tried again", user=user, inputs=[data_uri(png(83))])
    rig.settled(failed)
    rig.configure(spool_per_user="1")
    rig.gengate.restart()
    rig.wait_ready()
    try:
        had = rig.taken("delay")
        rig.faults(delay={"count": 1, "delay_ms": 1500, "match": PUT})
        thread = threading.Thread(target=lambda: answers.append(
            post_form(field("prompt", "slow"), file(png(84)), user=user)))
        thread.start()
        stacks.wait_for(lambda: rig.taken("delay") > had, 5, "that the first is stored")
        for answer in (post_form(field("prompt", "one too many"), file(png(85)), user=user),
                       rig.post("and as JSON", user=user, inputs=[data_uri(png(85))]),
                       rig.http("POST", f"/generate/{failed['id']}/retry", user=user)):
            check_problem(answer, 429, "too_many_requests")
            check(answer.header("Retry-After"), "no Retry-After")
        rig.succeeds(rig.submit("without inputs", user=user))
        other = new_user()
        rig.succeeds(taken(post_form(field("prompt", "of another"), file(png(86)), user=other), other))
        thread.join()
        rig.succeeds(taken(answers[0], user))
        rig.succeeds(taken(post_form(field("prompt", "the next"), file(png(87)), user=user), user))
        text = rig.http("GET", "/metrics").text
        check(re.search(r'gengate_limited_requests_total{[^}]*limit="spool_per_user"} 3', text), "not counted")
    finally:
        rig.configure(spool_per_user=None)
        rig.gengate.restart()
        rig.wait_ready()


@test
def check_tells():
    def line(on=None, **settings):
        done = (on or rig).gengate_command("check", "--json", check=False, **settings)
        return next(one for one in json.loads(done.stdout)["checks"] if one["name"] == "inputs")

    before = stored()
    equal(line()["state"], "ok", "as it is")
    wrong = line(supabase_input_bucket="none")
    check(wrong["state"] == "wrong" and "NoSuchBucket" in wrong["text"], wrong)
    rig.sim_call("POST", "buckets", {"id": "open", "public": True, "file_size_limit": 0})
    wrong = line(supabase_input_bucket="open")
    check(wrong["state"] == "wrong" and "everybody can read" in wrong["text"], wrong)
    equal(stored(), before, "what is stored")


# -- Without a place for them


@test
def without_a_place():
    with InputRig() as bare:
        problem = check_problem(post_form(field("prompt", "a"), file(png(90)), on=bare), 400, "invalid_request")
        equal(problem["errors"][0]["pointer"], "/inputs/0", "pointer")
        check("no place for files" in problem["errors"][0]["detail"], problem)
        check_problem(bare.post(inputs=["x/y.png"], user="somebody"), 400, "invalid_request")
        uri = data_uri(png(91))
        job = bare.submit("inline", inputs=[uri])
        bare.succeeds(job)
        equal(bare.one_prediction(job)["input"]["images"], [uri], "passed on as it is")


# -- In a folder


@test
def links_of_a_folder():
    local = InputRig(storage="local")
    local.configure(storage_input_dir=local.inputs_dir)
    with local:
        job = taken(post_form(field("prompt", "a folder"), file(png(95)), user="painter", on=local), "painter")
        local.succeeds(job)
        url, = local.one_prediction(job)["input"]["images"]
        check(url.startswith(local.url + "/signed/inputs/"), url)
        answer = local.http("GET", url)
        equal((answer.status, answer.body, answer.header("Content-Type")), (200, png(95), "image/png"), "the file")
        until = int(urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["expires"][0])
        check(600 < until - time.time() < 600 + 20 * 60, "its end")

        path, query = urllib.parse.urlsplit(url)[2:4]
        status, headers, body = by_cgi(local, "GET", path, query)
        equal((status, body, headers["Content-Type"]), (200, png(95), "image/png"), "the file by CGI")
        check("X-Accel-Redirect" not in headers, headers)

        answer = local.http("HEAD", url)
        equal((answer.status, answer.body, answer.header("Content-Length")), (200, b"", str(len(png(95)))), "HEAD")
        check_problem(local.http("POST", url), 405, "method_not_allowed")

        plain, _, query = url.partition("?")
        for wrong in (plain, plain + "?" + query.replace("expires=", "expires=1"), url[:-1] + ("A" if url[-1] != "A" else "B"),
                      url.replace("/inputs/", "/outputs/"), plain.replace(".png", ".jpg") + "?" + query, plain + "?sig=",
                      plain + "?" + query.partition("&")[2], url + "&expires=9999999999"):
            check_problem(local.http("GET", wrong), 403, "forbidden")
        check_problem(local.http("GET", "/signed/elsewhere/x"), 404, "not_found")
        internal = "/gengate_files/inputs/" + plain.partition("/signed/inputs/")[2]
        equal(local.http("GET", internal).status, 404, "what is nginx's own")

        equal(local.http("DELETE", f"/generate/{job['id']}", user="painter").status, 204, "status")
        stacks.wait_for(lambda: local.http("GET", url).status == 404, 5, "that it is removed")
        e2e.check_logs(local)


@test
def logs_are_clean():
    e2e.check_logs(rig, r"gengate0?\.sock", "upstream prematurely closed", r"connect\(\)", "recv\\(\\)")


e2e.main(setup, lambda: rig and rig.stop())
