"""Every single allocation of a whole job fails once, one after the other.

	each_allocation.py [--tls] [--jobs N] [--from N] [--step N]

A job is created, followed in all ways and cancelled or settled; the n-th allocation that
gengate makes from its begin fails, for n = 0, 1, 2 ... until a job needs fewer.  What one
process does at the same time is not the same each time, so the n-th is not always the same
place; the row of the fault matrix goes by places.
"""

import argparse
import itertools
import os
import sys
import threading
import time
import traceback

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


class Sweep(threading.Thread):
    """Takes one number after the other, on a stack of its own."""

    def __init__(self, numbers, tls):
        super().__init__(daemon=True)
        self.numbers = numbers
        self.rig = alloc_rows.one_gengate(tls=tls)
        self.work = Run(self.rig, Row("each allocation", jobs=0, timeout=90, end=alloc_rows.wanted_end))

    def run(self):
        try:
            self.rig.start()
            self.rig.fresh()
            self.rig.set_sim(starting_ms=0, processing_ms=0)
            alloc_rows.note_descriptors(self.work)
            self.fail_each()
            self.work.counts.accepted = len(self.work.jobs)
            self.work._wait_settled()
            alloc_rows.leaves_nothing(self.work)
            self.work._count()
        except Exception:
            self.work.why.append(traceback.format_exc())
        finally:
            self.rig.stop()

    def fail_each(self):
        memory = self.rig.memory(self.rig.gengate)
        client = alloc_rows.Client(Single(self.work), 0)
        beyond = 0
        # A job that is cancelled makes fewer: as many in a row as there are kinds have to do without.
        while beyond < alloc_rows.CANCELLED:
            n = next(self.numbers)
            memory.fail_nth(n)
            client.one_job()
            beyond = 0 if memory["countdown"] < 0 else beyond + 1
            memory.restore()
            if n % PROGRESS == 0:
                comment(f"{n} allocations")


def main():
    parser = argparse.ArgumentParser(description="let each allocation of a job fail once")
    parser.add_argument("--tls", action="store_true", help="provider and storage by https and HTTP/2")
    parser.add_argument("--jobs", type=int, default=4, help="stacks at once")
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--step", type=int, default=1)
    args = parser.parse_args()
    if stacks.missing_programs() or not os.path.exists(fault.PROGRAM):
        skip_all("missing: " + ", ".join(stacks.missing_programs() or ["tests/fault/gengate"]))
    print("1..1", flush=True)
    numbers = itertools.count(args.first, args.step)
    sweeps = [Sweep(numbers, args.tls) for _ in range(args.jobs)]
    for sweep in sweeps:
        sweep.start()
    for sweep in sweeps:
        sweep.join()
    comment("  ".join(fault.Counts.TITLES))
    for sweep in sweeps:
        for line in sweep.work.why:
            comment(line)
        comment(sweep.work.counts.line())
    red = any(sweep.work.why or sweep.work.counts.bad or not sweep.work.counts.settled for sweep in sweeps)
    print(f"{'not ok' if red else 'ok'} 1 - each of {next(numbers)} allocations of a job fails once")
    return 1 if red else 0


sys.exit(main())
