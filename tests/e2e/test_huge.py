"""A video of 200 MB: held nowhere in memory, and in nobody's way."""

import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test

HUGE = 200_000_000
GROWTH_KB = 4096

rig = None


def setup():
    global rig
    # One thread to submit, one to poll, one to store.
    rig = e2e.Rig(storage="local", config={"workers": 3}).start()
    rig.faults(webhook_lost=-1)


def peak_kb():
    with open(f"/proc/{rig.gengate.process.pid}/status", encoding="ascii") as f:
        return int(re.search(r"^VmHWM:\s+(\d+) kB", f.read(), re.M)[1])


@test
def it_takes_no_memory():
    for prompt in ("to warm up", "[video]", "and once more"):
        rig.succeeds(rig.submit(prompt))
    before = peak_kb()
    asset = rig.succeeds(rig.submit("[huge]"), timeout=90)["assets"][0]
    grown = peak_kb() - before
    equal((asset["bytes"], asset["content_type"]), (HUGE, "video/mp4"), "asset")
    files = [os.path.join(at, name) for at, _, names in os.walk(rig.files_dir) for name in names]
    check(HUGE in [os.path.getsize(path) for path in files], f"not kept: {files}")
    check(grown <= GROWTH_KB, f"{grown} kB more")


@test
def nobody_waits_for_it_but_its_owner():
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


e2e.main(setup, lambda: rig and rig.stop())
