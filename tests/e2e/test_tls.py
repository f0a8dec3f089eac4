"""https and HTTP/2 to the provider and the storage, whom we trust, and that no create goes out twice."""

import collections
import os
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test

from provider import Provider
from tls import Authority, missing

rig = stranger = None


def setup():
    global rig, stranger
    rig = e2e.Rig(tls=True, sim_threads=500).start()
    stranger = Authority(rig.dir, "stranger")


def requests():
    """What nginx was asked for: (protocol, method, path, connection)."""
    lines = e2e.read(os.path.join(rig.log_dir, "nginx-access.log")).splitlines()
    found = [re.search(r'"(\w+) (\S+) (HTTP/[\d.]+)" \d+ (\d+)$', line) for line in lines]
    return [(m[3], m[1], m[2], m[4]) for m in found if m]


def restart(**settings):
    rig.gengate.stop()
    rig.configure(**settings)
    rig.gengate.start()
    rig.wait_ready()


# -- The whole way

@test
def a_picture_arrives_over_http2():
    job = rig.submit("over the wire", width=96, height=64, count=3)
    end = rig.succeeds(job)
    equal(len(end["assets"]), 3, "assets")
    for index, asset in enumerate(end["assets"]):
        check(asset["url"].startswith("https://"), asset["url"])
        e2e.check_asset(rig, asset, index, size=(96, 64))
    made = rig.one_prediction(job)
    check(made["webhook"].startswith(rig.url + "/webhooks/"), made["webhook"])
    roads = rig.sql_value(f"SELECT string_agg(detail->>'road', ' ') FROM generation_events WHERE job_id = '{job['id']}'")
    check("webhook" in roads, f"no webhook moved it: {roads}")
    # What the test asks for itself is HTTP/1.1.
    ours = [row for row in requests() if re.match("/replicate/v1/(models|pred)|/replicate/del|/storage/v1/object/out", row[2])]
    methods = collections.Counter((row[1], row[2].split("/")[1]) for row in ours)
    check(methods["POST", "replicate"] >= 1 and methods["POST", "storage"] == 3 and methods["GET", "replicate"] >= 3,
          f"{methods}")
    equal({row[0] for row in ours}, {"HTTP/2.0"}, "protocols")


@test
def many_at_once_share_connections():
    before = len(requests())
    rig.faults(delay={"count": -1, "delay_ms": 500, "match": "POST /replicate/v1/models"})
    try:
        jobs = [rig.submit(f"number {n}") for n in range(24)]
        for job in jobs:
            rig.succeeds(job, timeout=60)
    finally:
        rig.faults(delay=0)
    creates = [row for row in requests()[before:] if row[1:3] == ("POST", "/replicate/v1/models/sim/painter/predictions")]
    equal(len(creates), 24, "creates")
    check(len({row[3] for row in creates}) <= 4, f"connections: {collections.Counter(row[3] for row in creates)}")


@test
def a_burst_opens_no_more_than_it_needs():
    """libcurl sends a hundred at a time over one connection, and does not wait for one that is being made."""
    restart(workers=900, lease="60s")
    before = len(requests())
    rig.faults(delay={"count": -1, "delay_ms": 4000, "match": "POST /replicate/v1/"})
    try:
        rig.sql("""WITH new AS (
                INSERT INTO generation_jobs (owner_id, id, model, provider, request, fingerprint, deadline_at)
                SELECT gen_random_uuid(), gen_random_uuid(), 'painter', 'replicate', '{"prompt": "in a burst"}', sha256('x'),
                    now() + interval '1 day' FROM generate_series(1, 450) RETURNING owner_id, id)
            INSERT INTO generation_live (owner_id, slot, job_id, deadline_at)
            SELECT owner_id, 0, id, now() + interval '1 day' FROM new""")
        settled = "SELECT count(*) FROM generation_jobs WHERE request->>'prompt' = 'in a burst' AND status = 'succeeded'"
        stacks.wait_for(lambda: rig.sql_value(settled) == "450", 90, "end of all jobs")
    finally:
        rig.faults(delay=0)
        restart(workers=16, lease="4s")
    equal(rig.sql_value("SELECT count(*) FROM generation_events WHERE event IN ('unknown', 'deferred')"), "0", "not accepted at once")
    creates = [row for row in requests()[before:] if row[1:3] == ("POST", "/replicate/v1/models/sim/painter/predictions")]
    equal(len(creates), 450, "creates")
    used = collections.Counter(row[3] for row in creates)
    check(len(used) <= 7, f"connections: {used}")


# -- Whom we trust

def not_sent(**settings):
    """With these a create is put off, and said to be; with the good ones it goes."""
    good = {name: rig.config[name] for name in settings}
    received = rig.counters()["creates_received"]
    restart(**settings)
    try:
        job = rig.submit("to whom?")
        stacks.wait_for(lambda: "deferred" in rig.trail(job), 15, "deferred create")
        stacks.wait_for(lambda: rig.state(job) == "queued", 5, "state queued")
        why = " ".join(str(event["error"]) for event in rig.gengate.events("job.step_failed") if event["job"] == job["id"])
        check("unknown" not in rig.trail(job), f"an outcome in doubt: {rig.trail(job)}")
        equal(rig.counters()["creates_received"], received, "creates that came")
    finally:
        restart(**good)
    rig.succeeds(job)
    equal(rig.counters()["creates_received"], received + 1, "creates that came")
    return why


@test
def an_authority_that_we_do_not_know():
    why = not_sent(ca_file=stranger.file)
    check("certificate" in why and "https://127.0.0.1" in why, why)


@test
def a_certificate_of_another_name():
    why = not_sent(replicate_url=f"https://localhost:{rig.port}/replicate/v1")
    check("localhost" in why and re.search("subject name|host name", why), why)


@test
def check_says_what_is_wrong():
    done = rig.gengate_command("check", check=False, ca_file=stranger.file)
    check(done.returncode != 0 and "certificate" in done.stdout, done.stdout)
    done = rig.gengate_command("check", check=False)
    equal(done.returncode, 0, done.stdout)


# -- Nothing is sent twice

def uncertain_after(act, certificate=None):
    """A first create makes the connection; the second is read to its end, and then `act`."""
    provider = Provider(certificate=certificate)
    restart(replicate_url=provider.url)
    try:
        rig.wait_state(rig.submit("first"), "running")
        provider.act = act
        job = rig.submit("second")
        rig.wait_state(job, "uncertain")
        # As long as libcurl, or a worker, would take to send it again.
        time.sleep(0.5)
        of_this = [body for body in provider.created if b"second" in body]
        equal(len(of_this), 1, f"creates after {act!r}")
        equal(rig.state(job), "uncertain", "state")
        # A storage's gateway refuses its secret key to what calls itself a browser.
        check(all(re.fullmatch(r"gengate/[\w.~+-]+", agent) for agent in provider.agents), f"{provider.agents}")
    finally:
        provider.close()


@test
def closed_after_reading_on_http_1():
    for act in ("close", "reset"):
        uncertain_after(act)


@test
def closed_after_reading_on_http_2():
    certificate = rig.authority.sign("provider", "IP:127.0.0.1")
    for act in ("close", "reset", "cut", "goaway and close"):
        uncertain_after(act, certificate)


@test
def not_processed_says_http_2():
    """libcurl sends such a request again by itself, if it may."""
    certificate = rig.authority.sign("provider", "IP:127.0.0.1")
    for act in ("refuse", "goaway below"):
        uncertain_after(act, certificate)


if missing():
    e2e.skip_all(f"missing: {missing()}")
e2e.main(setup, lambda: rig and rig.stop())
