"""A video of 200 MB: held nowhere in memory, and in nobody's way."""

import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test

from tls import missing

HUGE = 200_000_000
GROWTH_KB = 4096

rigs = {}


def setup():
    # One thread to submit, one to poll, one to store.
    for storage in ("local", "supabase"):
        # The bucket behind HTTP/2, which has buffers of its own.
        tls = storage == "supabase" and not missing()
        rigs[storage] = e2e.Rig(storage=storage, tls=tls, config={"workers": 3}).start()
        rigs[storage].faults(webhook_lost=-1)


def teardown():
    for rig in rigs.values():
        rig.stop()


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


e2e.main(setup, teardown)
