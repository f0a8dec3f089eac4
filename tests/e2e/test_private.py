"""`outputs = private`: signed URLs that end, and are signed anew before that."""

import datetime
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
import fcgi
from e2e import check, equal, stacks, test

WEEK = 7 * 86400
rig = None


def setup():
    global rig
    rig = e2e.Rig(config={"outputs": "private", "supabase_bucket": "inputs"}).start()


def life(**settings):
    """From now on with another life, or other settings."""
    rig.configure(**settings)
    rig.gengate.restart()
    rig.wait_ready()


def left(asset):
    """Seconds until it ends."""
    end = datetime.datetime.fromisoformat(asset["expires_at"].replace("Z", "+00:00"))
    return end.timestamp() - time.time()


def read(job, **headers):
    return rig.http("GET", f"/status/{job['id']}", user=job["user"], headers=headers)


def assets(job):
    return read(job).json["assets"]


def urls(job):
    return [asset["url"] for asset in assets(job)]


@test
def an_output_is_read_by_its_signed_url():
    job = rig.submit("private", count=2)
    end = rig.succeeds(job)
    equal(len(end["assets"]), 2, "assets")
    for index, asset in enumerate(end["assets"]):
        check(asset["url"].startswith(rig.url + "/storage/v1/object/sign/inputs/"), asset["url"])
        check(WEEK - 60 < left(asset) <= WEEK, f"it ends at {asset['expires_at']}")
        e2e.check_asset(rig, asset, index)
        plain = asset["url"].partition("?")[0]
        check(rig.http("GET", plain).status >= 400, "read without the signature")
        check(rig.http("GET", plain.replace("/sign/", "/public/")).status >= 400, "read as a public one")
    equal(assets(job), end["assets"], "the next read")
    known = read(job)
    equal(read(job, **{"If-None-Match": known.header("ETag")}).status, 304, "status of what is known")


@test
def it_is_signed_before_the_end():
    rig.faults(storage_500={"count": 2, "match": "POST /storage/v1/object/sign"})
    job = rig.submit("stumbling")
    e2e.check_asset(rig, rig.succeeds(job)["assets"][0])
    equal(rig.trail(job).count("stored"), 1, "ends")
    rig.one_prediction(job)


@test
def what_is_over_is_signed_anew_before_the_answer():
    life(signed_url_life="4s")
    job = rig.submit("soon over", count=2)
    first = rig.succeeds(job)["assets"]
    tag = read(job).header("ETag")
    check(all(left(asset) <= 4 for asset in first), f"they end at {first}")
    time.sleep(4.2)
    check(rig.http("GET", first[0]["url"]).status >= 400, "it is still good")
    # What the client knows is true no more.
    answer = read(job, **{"If-None-Match": tag})
    equal(answer.status, 200, "status")
    for index, asset in enumerate(answer.json["assets"]):
        check(asset["url"] and asset["url"] != first[index]["url"], "the old one")
        e2e.check_asset(rig, asset, index)


@test
def what_is_nearly_over_is_given_and_signed_anew():
    life(signed_url_life="4s")
    job = rig.submit("nearly over")
    first = rig.succeeds(job)["assets"][0]
    stacks.wait_for(lambda: left(first) < 0.9, 10, "a quarter of its life")
    began = time.monotonic()
    check(read(job).status == 200 and time.monotonic() - began < 0.5, "the read waited")
    stacks.wait_for(lambda: urls(job) != [first["url"]], 3, "another URL")
    check(left(assets(job)[0]) > 2, "its life")


@test
def a_storage_that_does_not_sign():
    life(signed_url_life="2s")
    job = rig.submit("not now")
    rig.succeeds(job)
    time.sleep(2.1)
    rig.faults(storage_500={"count": -1, "match": "POST /storage/v1/object/sign"})
    try:
        answer = read(job)
        equal((answer.status, answer.json["status"]), (200, "succeeded"), "the job")
        asset = answer.json["assets"][0]
        equal((asset["url"], asset["expires_at"]), (None, None), "URL and end")
        equal(read(job, **{"If-None-Match": answer.header("ETag")}).status, 200, "status of what is known")
        check(rig.gengate.events("sign.failed"), "nothing is logged")
    finally:
        rig.faults(storage_500=0)
    e2e.check_asset(rig, assets(job)[0])


@test
def plain_cgi_signs_by_itself():
    job = rig.submit("by CGI")
    first = rig.succeeds(job)["assets"][0]
    rig.gengate.stop()
    time.sleep(2.1)
    env = {**rig.gengate_environment(), "GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": "GET",
           "PATH_INFO": f"/status/{job['id']}", "QUERY_STRING": "", "SERVER_PROTOCOL": "HTTP/1.1",
           "CONTENT_LENGTH": "0", "REMOTE_USER": job["user"]}
    done = rig.run([rig.gengate_program], env=env)
    rig.gengate.start()
    asset = e2e.json.loads(done.stdout.split("\n\n", 1)[1])["assets"][0]
    check(asset["url"] and asset["url"] != first["url"], f"not signed anew: {asset}")


@test
def a_list_has_them_too():
    life(signed_url_life="7d")
    job = rig.submit("listed")
    rig.succeeds(job)
    page = rig.http("GET", "/status", user=job["user"]).json
    equal(page["jobs"][0]["assets"], assets(job), "assets")
    e2e.check_asset(rig, page["jobs"][0]["assets"][0])


@test
def from_public_to_private_and_back():
    life(outputs="public", supabase_bucket="outputs")
    job = rig.submit("once public")
    public = rig.succeeds(job)["assets"][0]
    equal(public["expires_at"], None, "the end of a public one")
    life(outputs="private")
    asset = assets(job)[0]
    check("/sign/" in asset["url"] and left(asset) > WEEK - 60, f"not signed: {asset}")
    e2e.check_asset(rig, asset)
    life(outputs="public")
    equal(assets(job), [public], "public again")


@test
def check_tells():
    def read_line(**settings):
        done = rig.gengate_command("check", "--json", check=False, **settings)
        lines = {line["name"]: line for line in e2e.json.loads(done.stdout)["checks"]}
        return done.returncode, lines["storage_read"]

    status, line = read_line(outputs="private", supabase_bucket="inputs")
    equal((status, line["state"]), (0, "ok"), f"private in a private bucket: {line}")
    status, line = read_line(outputs="private", supabase_bucket="outputs")
    equal((status, line["state"]), (1, "wrong"), f"private in a public bucket: {line}")
    check("make the bucket private" in line["remedy"], line["remedy"])
    rig.faults(storage_403={"count": 1, "match": "POST /storage/v1/object/sign"})
    status, line = read_line(outputs="private", supabase_bucket="inputs")
    equal((status, line["state"]), (1, "wrong"), f"not signed: {line}")


@test
def a_folder_has_links():
    with e2e.Rig(storage="local", config={"outputs": "private", "signed_url_life": "3s"}) as local:
        job = local.submit("a private folder", user="somebody")
        first = local.succeeds(job)["assets"][0]
        check(first["url"].startswith(local.url + "/signed/outputs/"), first["url"])
        e2e.check_asset(local, first)
        # Who is no nginx gets the bytes.
        path, _, query = first["url"].removeprefix(local.url).partition("?")
        answer = fcgi.ask(local.gengate_sockets[0], {
            "REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query, "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_SOFTWARE": "Apache"})
        check(b"X-Accel" not in answer and b"\x89PNG" in answer, f"what Apache was answered: {answer[:300]}")
        time.sleep(3.1)
        e2e.check_problem(local.http("GET", first["url"]), 403, "forbidden")
        again = local.http("GET", f"/status/{job['id']}", user="somebody").json["assets"][0]
        check(again["url"] != first["url"], "the old one")
        e2e.check_asset(local, again)


@test
def logs_are_clean():
    e2e.check_logs(rig)
    for name in os.listdir(rig.log_dir):
        if name.startswith("gengate"):
            check("token=" not in e2e.read(os.path.join(rig.log_dir, name)), f"a signed URL is in {name}")


e2e.main(setup, lambda: rig and rig.stop())
