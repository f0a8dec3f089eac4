"""The fault matrix: what goes wrong, and what became of the jobs.

	matrix.py [--jobs N] [--row NAME]... [--list]

Lost, paid twice, wrong end and files missing have to be 0 in every row.  Several
stacks work at once; a row's name is given in full or by words that it contains.
The table is printed and written to fault-matrix.txt in the build folder.
"""

import argparse
import os
import queue
import re
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fault
from fault import stacks
from rows import ROWS, STACKS
from tap import Skip, comment, skip_all

AT_ONCE = 4


class Result:
    def __init__(self, row):
        self.row = row
        self.counts = fault.Counts()
        self.why = []
        self.skipped = None
        self.logs = ""

    def take(self, run):
        self.counts, self.why = run.counts, run.why

    @property
    def red(self):
        return bool(self.why or self.counts.bad)

    def line(self):
        if self.skipped:
            return f"skipped: {self.skipped}"
        stray = f"  {self.row.strays} stray, cancelled" if self.row.strays else ""
        return self.counts.line() + ("  RED" if self.red else stray)


class Worker(threading.Thread):
    """Runs rows, one after the other, on a stack that it keeps while it fits."""

    def __init__(self, todo, done):
        super().__init__(daemon=True)
        self.todo, self.done = todo, done
        self.kind = self.rig = None

    def run(self):
        while (row := self.todo.take(self.kind)) is not None:
            result = Result(row)
            try:
                self.one(row, result)
            except Skip as reason:
                result.skipped = str(reason)
            except BaseException:
                result.why.append(traceback.format_exc())
                self.give_up(result)
            self.done.put(result)
        self.close()
        self.done.put(None)

    def one(self, row, result):
        if self.kind != row.stack:
            self.close()
            rig = STACKS[row.stack]()
            self.rig, self.kind = rig, row.stack
            rig.start()
        run = fault.Run(self.rig, row)
        try:
            run.go()
        finally:
            self.rig.disarm()
            result.take(run)
        if result.red:
            self.give_up(result)

    def give_up(self, result):
        """What it left behind is not for the next row."""
        if self.rig and not self.rig.stopped:
            result.logs = self.rig.tails(2000)
        self.close()

    def close(self):
        if self.rig:
            self.rig.stop()
        self.kind = self.rig = None


class Todo:
    """Rows, those that may take long first, those of the same stack together, and on one
    stack of a kind as long as there are other kinds to begin with."""

    def __init__(self, rows):
        self.rows = sorted(rows, key=lambda row: -row.timeout)
        self.begun = set()
        self.lock = threading.Lock()

    def take(self, kind):
        with self.lock:
            if not self.rows:
                return None
            fit = (next((row for row in self.rows if row.stack == kind), None)
                   or next((row for row in self.rows if row.stack not in self.begun), self.rows[0]))
            self.begun.add(fit.stack)
            self.rows.remove(fit)
            return fit


def chosen(words):
    if not words:
        return ROWS
    exact = [row for row in ROWS if row.name in words]
    return exact or [row for row in ROWS if any(word in row.name for word in words)]


def table(rows, results):
    width = max(len(row.name) for row in rows)
    lines = [" " * width + "  " + "  ".join(fault.Counts.TITLES)]
    for row in rows:
        lines.append(f"{row.name:{width}}  {results[row.name].line()}")
    return "\n".join(lines) + "\n"


def keep_logs(result):
    folder = os.path.join(stacks.BUILDDIR, "fault-logs")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, re.sub(r"\W+", "-", result.row.name) + ".log")
    with open(path, "w", encoding="utf-8") as f:
        f.write(result.logs)
    return path


def report(number, result):
    if result.skipped:
        print(f"ok {number} - {result.row.name} # SKIP {result.skipped}", flush=True)
        return
    for line in result.why:
        comment(line)
    if result.red and result.logs:
        comment("the logs: " + keep_logs(result))
    print(f"{'not ok' if result.red else 'ok'} {number} - {result.row.name}", flush=True)


def run(rows, at_once):
    """The results by name, each reported as it comes."""
    todo, done, results = Todo(rows), queue.Queue(), {}
    workers = [Worker(todo, done) for _ in range(min(at_once, len(rows)))]
    for worker in workers:
        worker.start()
    left = len(workers)
    while left:
        result = done.get()
        if result is None:
            left -= 1
            continue
        results[result.row.name] = result
        report(len(results), result)
    return results


def main():
    parser = argparse.ArgumentParser(description="the fault matrix")
    parser.add_argument("--jobs", type=int, default=AT_ONCE, help="stacks at once")
    parser.add_argument("--row", action="append", help="only this one, or those that contain these words")
    parser.add_argument("--list", action="store_true", help="the rows' names")
    args = parser.parse_args()
    rows = chosen(args.row)
    if args.list:
        print("\n".join(row.name for row in rows))
        return 0
    if not rows:
        print(f"no such row: {args.row}", file=sys.stderr)
        return 64
    if stacks.missing_programs():
        skip_all("missing: " + ", ".join(stacks.missing_programs()))
    if not os.path.exists(fault.PROGRAM):
        skip_all("missing: cmocka, so tests/fault/gengate is not built")
    print(f"1..{len(rows)}", flush=True)
    began = time.monotonic()
    results = run(rows, args.jobs)
    text = table(rows, results)
    comment(f"{len(rows)} rows in {time.monotonic() - began:.0f} s")
    for line in text.splitlines():
        print("# " + line)
    name = "fault-matrix-pooler.txt" if stacks.pooler_wanted() else "fault-matrix.txt"
    with open(os.path.join(stacks.BUILDDIR, name), "w", encoding="utf-8") as f:
        f.write(text)
    return 1 if any(result.red for result in results.values()) else 0


sys.exit(main())
