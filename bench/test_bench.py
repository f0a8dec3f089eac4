"""bench/run --quick: every row is there and positive.  What the values are is for a
machine that does nothing else."""

import json
import os
import subprocess
import sys
import tempfile

SRCDIR = os.environ.get("srcdir") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path.insert(0, os.path.join(SRCDIR, "tests/stack"))
import stack as stacks
from tap import check, comment, equal, run, skip_all, test

TIMEOUT = 300


def names():
    for route, p99 in (("GET /status/<id>, 32 clients", True), ("GET /status/<id>, 128 clients", True),
                       ("POST /webhooks/replicate, 32 clients", False), ("POST /generate, 32 clients", False)):
        yield from (f"{route}: {what}" for what in ("gengate", "reference", "ratio", "p99 gengate", "p99 reference"))
        if p99:
            yield f"{route}: p99 ratio"
        for side in ("gengate", "reference"):
            yield from (f"{route}: cpu of {side}", f"{route}: cpu of nginx for {side}",
                        f"{route}: cpu of postgres for {side}")
    yield from (f"GET /status/<id>, 32 clients, auth = supabase: {what}" for what in ("gengate", "with auth = server", "ratio"))
    for where in ("", " with auth = server"):
        yield from (f"GET /status/<id>, 32 clients, auth = supabase: cpu of {part}{where}" for part in ("gengate", "nginx", "postgres"))
    yield from ("a first-seen ES256 token, with its request: cpu of gengate", "memory: 10000 distinct tokens")
    yield from ("GET /healthz, 32 clients: gengate", "empty classic handler, 32 clients: reference",
                "nginx return 200, 32 clients", "nginx return 200: cpu of nginx")
    for side in ("gengate", "reference"):
        yield from (f"empty: cpu of {side}", f"empty: cpu of nginx for {side}")
    for name in ("status", "create", "webhook"):
        yield from (f"pgbench, statements of {name}", f"pgbench, statements of {name}: cpu of postgres")
    yield "one CGI request, fork to answer"
    yield from ("memory: idle", "memory: after the load", "memory: with 1000 kept idle connections",
                "memory: with 5000 streams", "5000 quiet streams: cpu of gengate", "5000 quiet streams: cpu of postgres")
    for where in ("this process", "another process"):
        yield from (f"change in {where} to its stream: median", f"change in {where} to its stream: p99")
    yield "POST /generate while workers submit: gengate"
    yield "whole jobs"
    yield from (f"whole jobs: cpu of {part}" for part in ("gengate", "nginx", "postgres", "simulator"))
    yield from ("a video of 200 MB, fetched and stored", "memory: a video of 200 MB, growth of VmHWM")
    yield from ("creates in flight", "creates in flight: connections to the provider", "creates in flight: memory before",
                "creates in flight: memory", "creates in flight: until all are accepted")


def bench(*words):
    """The rows that it writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rows.json")
        done = subprocess.run([sys.executable, os.path.join(SRCDIR, "bench/run"), *words, "--json", path],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        comment(done.stdout)
        if done.returncode:
            comment(done.stderr)
        equal(done.returncode, 0, "exit status")
        with open(path, encoding="utf-8") as f:
            return json.load(f)


@test
def every_row_is_there_and_positive():
    rows = bench("--quick")
    equal(sorted(row["name"] for row in rows), sorted(names()), "rows")
    for row in rows:
        equal(set(row), {"name", "value", "unit", "target", "ok"}, "members")
        check(row["value"] > 0, f"{row['name']}: {row['value']}")
        equal(row["ok"] is None, row["target"] is None, row["name"])


missing = stacks.missing_programs()
if not stacks.find_program("pgbench", stacks.postgres_bindir() or "/"):
    missing.append("pgbench")
if missing:
    skip_all("missing: " + ", ".join(missing))
run()
