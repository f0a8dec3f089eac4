"""`./demo`: with each provider it ends with a picture."""

import os
import re
import socket
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stack as stacks
from tap import check, equal, run, skip_all, test


def providers():
    with open(os.path.join(stacks.SRCDIR, "providers/local.am"), encoding="utf-8") as f:
        listed = re.search(r"^provider_files = (.*?)\n\n", f.read(), re.MULTILINE | re.DOTALL)[1]
    return re.findall(r"%D%/(\w+)\.c", listed)


def start(*command, **more):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GENGATE_", "DEMO_"))}
    return subprocess.run(command, env={**environment, **more}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=120, check=False)


@test
def each_provider_ends_with_a_picture():
    for name in providers():
        done = start(sys.executable, os.path.join(stacks.SRCDIR, "tests/stack/demo.py"), "--once", "--provider", name)
        check(done.returncode == 0 and f"in the place of {name}" in done.stdout
              and re.search(r"^A PNG of \d+ x \d+ pixels", done.stdout, re.MULTILINE), f"{name}: {done}")
        picture = re.search(r"in (/.*)$", done.stdout)[1]
        check(os.path.isfile(picture), picture)
        os.unlink(picture)


@test
def a_provider_that_is_not_there_is_told():
    for words in (["--provider", "nobody"], ["--provider", " ".join(providers()[:2])], ["--provider="], ["--provider"]):
        done = start(os.path.join(stacks.SRCDIR, "demo"), "--once", *words)
        equal((done.returncode, done.stdout), (64, ""), f"status and output of {words}")
        check(done.stderr.strip().endswith("there are: " + " ".join(providers())), done.stderr)


@test
def a_port_that_is_taken_is_told():
    with socket.create_server((stacks.HOST, 0)) as taken:
        port = taken.getsockname()[1]
        done = start(sys.executable, os.path.join(stacks.SRCDIR, "tests/stack/demo.py"), "--provider", "fal", DEMO_PORT=str(port))
    equal(done.returncode, 1, "status")
    check(done.stderr.strip().endswith(f"DEMO_PORT={port + 1} ./demo --provider fal"), done.stderr)


if stacks.missing_programs():
    skip_all("missing: " + ", ".join(stacks.missing_programs()))
run()
