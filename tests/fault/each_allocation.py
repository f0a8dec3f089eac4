"""Every single allocation of a whole job fails once, one after the other.

	each_allocation.py [--tls] [--from N] [--step N]

A job is created, followed in all ways and cancelled or settled; the n-th allocation that
gengate makes from its begin fails, for n = 0, 1, 2 ... until a job needs fewer.  What one
process does at the same time is not the same each time, so the n-th is not always the same
place; the row of the fault matrix goes by places.
"""

import argparse
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import alloc_rows
import fault
from fault import Row, Run, stacks
from tap import comment, skip_all

PROGRESS = 250


class Single:
    """A crowd of one."""

    def __init__(self, run):
        self.run = run

    def new_job(self, user):
        self.run.jobs.append(fault.Job(len(self.run.jobs), user, f"key-{len(self.run.jobs)}-{time.time_ns()}"))
        return self.run.jobs[-1]


def each(run, first, step):
    memory = run.rig.memory(run.rig.gengate)
    client = alloc_rows.Client(Single(run), 0)
    n, beyond = first, 0
    # A job that is cancelled makes fewer: all four in a row have to do without a failure.
    while beyond < alloc_rows.CANCELLED:
        memory.fail_nth(n)
        client.one_job()
        hit = memory["countdown"] < 0
        memory.restore()
        beyond = 0 if hit else beyond + 1
        n += step
        if n % PROGRESS == 0:
            comment(f"{n} allocations")
    return n


def main():
    parser = argparse.ArgumentParser(description="let each allocation of a job fail once")
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--tls", action="store_true", help="provider and storage by https and HTTP/2")
    args = parser.parse_args()
    if stacks.missing_programs() or not os.path.exists(fault.PROGRAM):
        skip_all("missing: " + ", ".join(stacks.missing_programs() or ["tests/fault/gengate"]))
    print("1..1", flush=True)
    row = Row("each allocation", jobs=0, timeout=90, end=alloc_rows.wanted_end)
    rig = alloc_rows.one_gengate(tls=args.tls)
    run = Run(rig, row)
    rig.start()
    try:
        rig.fresh()
        rig.set_sim(starting_ms=0, processing_ms=0)
        alloc_rows.note_descriptors(run)
        comment(f"{each(run, args.first, args.step)} allocations")
        run.counts.accepted = len(run.jobs)
        run._wait_settled()
        alloc_rows.leaves_nothing(run)
        run._count()
    except (AssertionError, stacks.StackError) as e:
        run.why.append(str(e))
    finally:
        rig.stop()
    for line in run.why:
        comment(line)
    comment("  ".join(fault.Counts.TITLES))
    comment(run.counts.line())
    red = bool(run.why or run.counts.bad)
    print(f"{'not ok' if red else 'ok'} 1 - each allocation of a job fails once")
    return 1 if red else 0


sys.exit(main())
