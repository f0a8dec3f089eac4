"""A video of 200 MB: held nowhere in memory, and in nobody's way.  And the largest request."""

import base64
import concurrent.futures
import hashlib
import json
import os
import re
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test

from tls import missing

HUGE = 200_000_000
GROWTH_KB = 4096

rigs = {}


def setup():
    painter = {"limits": {"inputs": 2}, "on": {"replicate": {"model": "sim/painter",
                                                               "input": {**e2e.INPUT, "images": "$inputs"}}}}
    e2e.MODELS["painter"] = painter
    # One thread to submit, one to poll, one to store.
    for storage in ("local", "supabase"):
        # The bucket behind HTTP/2, which has buffers of its own.
        tls = storage == "supabase" and not missing()
        buckets = {"supabase_input_bucket": "inputs"} if storage == "supabase" else {}
        rigs[storage] = e2e.Rig(storage=storage, tls=tls, config={"workers": 3, **buckets}).start()
        rigs[storage].faults(webhook_lost=-1)


def teardown():
    for rig in rigs.values():
        rig.stop()


def png(size):
    start = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 64, 64)
    return start + os.urandom(size - len(start))


def peak_kb(rig):
    with open(f"/proc/{rig.gengate.process.pid}/status", encoding="ascii") as f:
        return int(re.search(r"^VmHWM:\s+(\d+) kB", f.read(), re.M)[1])


def huge_without_memory(rig):
    """The job; what it takes more than small ones is told, and little."""
    for prompt in ("to warm up", "[video]", "and once more"):
        rig.succeeds(rig.submit(prompt))
    before = peak_kb(rig)
    job = rig.submit("[huge]")
    asset = rig.succeeds(job, timeout=90)["assets"][0]
    grown = peak_kb(rig) - before
    equal((asset["bytes"], asset["content_type"]), (HUGE, "video/mp4"), "asset")
    check(grown <= GROWTH_KB, f"{grown} kB more")
    return job, asset


@test
def it_takes_no_memory_into_a_folder():
    rig = rigs["local"]
    huge_without_memory(rig)
    files = [os.path.join(at, name) for at, _, names in os.walk(rig.files_dir) for name in names]
    check(HUGE in [os.path.getsize(path) for path in files], f"not kept: {files}")


@test
def it_takes_no_memory_into_a_bucket():
    rig = rigs["supabase"]
    job, asset = huge_without_memory(rig)
    kept = rig.objects(job)
    equal([(o["size"], o["sha256"], o["content_type"]) for o in kept], [(HUGE, asset["sha256"], "video/mp4")], "objects")


@test
def nobody_waits_for_it_but_its_owner():
    rig = rigs["local"]
    rig.faults(delivery_slow={"count": 1, "delay_ms": 4000})
    huge = rig.submit("[huge]")
    rig.wait_state(huge, "storing")
    stacks.wait_for(lambda: rig.taken("delivery_slow") == 1, 10, "its fetch")
    # All news of this one comes by polls.
    other = rig.submit("meanwhile")
    rig.wait_state(other, "storing", timeout=3)
    equal(rig.state(huge), "storing", "state of the huge one meanwhile")
    rig.succeeds(huge, timeout=90)
    rig.succeeds(other)


@test
def a_body_is_in_memory_once():
    """Its pictures go to files from where they are; eight at once, each as large as may be."""
    rig = rigs["supabase"]
    pictures = [png(9_500_000), png(9_500_000)]
    bodies = [json.dumps({"prompt": f"after pictures {n}", "inputs": [
        "data:image/png;base64," + base64.b64encode(picture).decode() for picture in pictures]}).encode()
        for n in range(8)]
    rig.succeeds(rig.submit("to warm up", inputs=["data:image/png;base64," + base64.b64encode(png(70_000)).decode()]))
    before = peak_kb(rig)
    with concurrent.futures.ThreadPoolExecutor(len(bodies)) as pool:
        answers = list(pool.map(lambda n: rig.http("POST", "/generate", body=bodies[n], user=f"large-{n}", headers={
            "Content-Type": "application/json", "Prefer": "respond-async"}), range(len(bodies))))
    equal([answer.status for answer in answers], [202] * len(bodies), "statuses")
    kept = [o["sha256"] for o in rig.sim_call("GET", "objects") if f"/{answers[0].json['id']}/" in o["name"]
            and o["bucket"] == "inputs"]
    equal(set(kept), {hashlib.sha256(picture).hexdigest() for picture in pictures}, "what is stored")
    grown = peak_kb(rig) - before
    all_kb = sum(len(body) for body in bodies) // 1000
    print(f"# {len(bodies)} bodies of {all_kb // 1000} MB in all: {grown // 1000} MB more", flush=True)
    check(grown < 1.2 * all_kb, f"{grown} kB more for {all_kb} kB of bodies")


e2e.main(setup, teardown)
