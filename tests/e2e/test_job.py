"""Jobs that go well: what is asked of the provider, what is kept, who sees it."""

import os
import re
import sys
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, test

rigs = {}


def setup():
    # One user and a folder; and many users, Supabase.
    rigs["local"] = e2e.Rig(auth="none", storage="local").start()
    rigs["supabase"] = e2e.Rig().start()


def teardown():
    for rig in rigs.values():
        rig.stop()


@test
def a_picture_arrives_in_a_folder():
    rig = rigs["local"]
    job = rig.submit("a lighthouse at dusk", width=96, height=64, seed=7, metadata={"shelf": [1, "two"]})
    equal(uuid.UUID(job["id"]).version, 7, "version of the id")
    equal((job["status"], job["assets"], job["error"]), ("starting", [], None), "the answer to POST")
    end = rig.succeeds(job)
    equal(len(end["assets"]), 1, "assets")
    check(end["assets"][0]["url"].startswith(rig.url + "/files/"), end["assets"][0]["url"])
    e2e.check_asset(rig, end["assets"][0], size=(96, 64))
    equal((end["error"], end["metadata"]), (None, {"shelf": [1, "two"]}), "error and metadata")
    equal((end["model"], end["provider"]), ("painter", "replicate"), "model and provider")
    check(end["created_at"] <= end["started_at"] <= end["completed_at"], f"times: {end}")
    left = [name for _, _, names in os.walk(rig.files_dir) for name in names if name.endswith(".part")]
    equal(left, [], "temporary files")


@test
def the_answer_says_where_to_look():
    rig = rigs["supabase"]
    answer = rig.post(user="links")
    equal(answer.status, 202, "status")
    path = f"/status/{answer.json['id']}"
    equal((answer.header("Location"), answer.json["links"]["self"]), (path, path), "links")
    check(int(answer.header("Retry-After")) >= 1, "no Retry-After")
    for got in (answer, rig.http("GET", path, user="links")):
        equal(got.header("Content-Type"), "application/json", "content type")
        equal(got.header("Cache-Control"), "private, no-cache", "cache control")
        check(got.header("X-Request-Id"), "no X-Request-Id")
    head = rig.http("HEAD", path, user="links")
    equal((head.status, head.body), (200, b""), "HEAD")
    rig.succeeds({**answer.json, "user": "links"})


@test
def a_picture_arrives_in_the_bucket():
    rig = rigs["supabase"]
    job = rig.submit("a fox", width=64, height=48)
    asset = rig.succeeds(job)["assets"][0]
    check(asset["url"].startswith(rig.url + "/storage/v1/object/public/outputs/"), asset["url"])
    data = e2e.check_asset(rig, asset, size=(64, 48))
    stored = rig.objects(job)
    equal(len(stored), 1, "objects")
    equal((stored[0]["bucket"], stored[0]["size"], stored[0]["sha256"]), ("outputs", len(data), asset["sha256"]),
          "object")
    equal((stored[0]["content_type"], stored[0]["cache_control"]), ("image/png", "max-age=31536000"), "headers")
    equal(stored[0]["name"].split("/")[2], f"0-{asset['sha256'][:16]}.png", "name")
    # Of the few characters that no storage, proxy or client takes for something else.
    check(re.fullmatch("[0-9a-f-]{36}/[0-9a-f-]{36}/[0-9a-z.-]+", stored[0]["name"]), stored[0]["name"])


@test
def several_outputs_keep_their_order():
    for rig in rigs.values():
        job = rig.submit("three boats", count=3, width=64, height=64)
        assets = rig.succeeds(job)["assets"]
        equal(len(assets), 3, "assets")
        pictures = {e2e.check_asset(rig, asset, index) for index, asset in enumerate(assets)}
        equal(len(pictures), 3, "different pictures")
        rig.one_prediction(job)


@test
def status_moves_forward():
    rig = rigs["supabase"]
    rig.set_sim(starting_ms=700, processing_ms=900)
    try:
        job = rig.submit("a slow snail")
        seen = [job["status"]]
        end = None
        while not end or end["status"] not in e2e.stacks.SETTLED:
            end = rig.http("GET", f"/status/{job['id']}", user=job["user"]).json
            check(end["status"] in e2e.stacks.SETTLED or (end["completed_at"] is None and end["assets"] == []),
                  f"an end before the end: {end}")
            if end["status"] != seen[-1]:
                seen.append(end["status"])
        equal(seen, ["starting", "processing", "succeeded"], "statuses")
    finally:
        rig.set_sim(starting_ms=50, processing_ms=100)
    trail = rig.trail(job)
    equal((trail[0], trail[1], trail[-1]), ("created", "submitting", "stored"), f"ends of the trail {trail}")


@test
def each_form_of_create():
    rig = rigs["supabase"]
    for model, form, name in (("painter", "model", "sim/painter"), ("by-version", "version", "sim/painter"),
                              ("by-deployment", "deployment", "sim/pinned")):
        job = rig.submit(f"by {form}", model=model, seed=3)
        equal(rig.succeeds(job)["model"], model, "model of the job")
        made = rig.one_prediction(job)
        equal((made["form"], made["model"]), (form, name), "form and model")
        if form == "version":
            equal(made["version"], e2e.VERSION.partition(":")[2], "version")
        equal(made["input"], {"prompt": f"by {form}", "seed": 3}, "input: what was not given is left out")
        equal(made["idempotency_key"], job["id"], "Idempotency-Key")
        check(made["cancel_after"].endswith("s") and 5 <= int(made["cancel_after"][:-1]) <= 900,
              f"Cancel-After: {made['cancel_after']}")
        check(made["webhook"].startswith(rig.url + "/webhooks/replicate?job="), made["webhook"])


@test
def params_are_passed_on_and_metadata_is_not():
    rig = rigs["supabase"]
    job = rig.submit("extras", params={"guidance": 3.5, "prompt": "not this"}, metadata={"order": 5})
    rig.succeeds(job)
    equal(rig.one_prediction(job)["input"], {"prompt": "extras", "guidance": 3.5}, "input")


@test
def words_of_all_kinds_arrive_whole():
    rig = rigs["supabase"]
    words = 'Żółw & "Quotes" \\ \n\t <b> %s 🦊 \u2028 $prompt'
    job = rig.submit(words, metadata={"ключ": words})
    equal(rig.succeeds(job)["metadata"], {"ключ": words}, "metadata")
    equal(rig.one_prediction(job)["input"], {"prompt": words}, "input")


@test
def users_see_only_their_own():
    rig = rigs["supabase"]
    rig.set_sim(processing_ms=1500)
    try:
        ann, bob = rig.submit("for ann", user="ann"), rig.submit("for bob", user="bob")
        for job in (ann, bob):
            rig.wait_status(job["id"], ("processing",), user=job["user"])
        equal({rig.state(ann), rig.state(bob)}, {"running"}, "both at once")
        for job, other in ((ann, "bob"), (bob, "ann")):
            e2e.check_problem(rig.http("GET", f"/status/{job['id']}", user=other), 404, "not_found")
    finally:
        rig.set_sim(processing_ms=100)
    for job, other in ((ann, "bob"), (bob, "ann")):
        asset = rig.succeeds(job)["assets"][0]
        check(f"/{job['id']}/" in asset["url"], asset["url"])
        e2e.check_problem(rig.http("GET", f"/status/{job['id']}", user=other), 404, "not_found")


@test
def a_uuid_is_its_own_owner():
    rig = rigs["supabase"]
    owner = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
    job = rig.submit("by id", user=owner)
    rig.succeeds(job)
    check(rig.objects(job)[0]["name"].startswith(owner + "/"), "the object is not the user's")
    equal(rig.sql_value(f"SELECT owner_id FROM generation_jobs WHERE id = '{job['id']}'"), owner, "owner")


@test
def without_a_user_nothing_happens():
    rig = rigs["supabase"]
    before = rig.counters()["creates_received"], rig.sql_value("SELECT count(*) FROM generation_jobs")
    e2e.check_problem(rig.post(), 401, "unauthorized")
    # A header is no user.
    e2e.check_problem(rig.post(headers={"Remote-User": "eve", "Auth-Param": "eve"}), 401, "unauthorized")
    e2e.check_problem(rig.http("GET", f"/status/{uuid.uuid4()}"), 401, "unauthorized")
    equal((rig.counters()["creates_received"], rig.sql_value("SELECT count(*) FROM generation_jobs")), before,
          "jobs")


@test
def the_slot_is_free_after_the_end():
    rig = rigs["local"]
    ids = set()
    for n in range(3):
        job = rig.submit(f"one after the other {n}")
        rig.succeeds(job)
        ids.add(job["id"])
    equal(len(ids), 3, "jobs")
    equal(rig.sql("SELECT * FROM generation_live"), [], "live rows")


@test
def no_token_left_the_house():
    for rig in rigs.values():
        equal(rig.counters()["deliveries_with_auth"], 0, "fetches with our token")


@test
def logs_are_clean():
    for rig in rigs.values():
        e2e.check_logs(rig)


e2e.main(setup, teardown)
