"""db/ against a PostgreSQL of its own: test_db's results, and a few of our own.

test_db is given the cluster's URL.  A line of its that begins with "@" asks for
something to be done to the server.  Words on the command line choose its groups, or a case.
"""

import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.environ.get("srcdir") or os.path.join(os.path.dirname(__file__), "../.."),
                                "tests/stack"))
import stack as stacks
import tap

TIMEOUT = 900
PROGRAM = os.path.join(stacks.BUILDDIR, "tests/db/test_db")


class Results:
    """TAP with one numbering for the lines of all groups."""

    def __init__(self):
        self.count = self.failed = self.planned = 0

    def add(self, good, rest):
        self.count += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.count} {rest}", flush=True)

    def forward(self, line):
        words = line.split(" ", 2)
        if line.startswith("1.."):
            self.planned += int(line[3:])
        elif words[0] == "ok":
            self.add(True, words[2])
        elif line.startswith("not ok"):
            self.add(False, line.split(" ", 3)[3])
        elif line:
            tap.comment(line)

    def case(self, name, good, why=""):
        if not good:
            tap.comment(why)
        self.add(good, "- " + name)


def obey(postgres, request):
    """What test_db may ask for."""
    if request == "stop":
        postgres.stop()
    elif request == "start":
        postgres.start()
    elif request.startswith("restart"):
        postgres.restart(hard=request.endswith("hard"))
    else:
        raise ValueError(f"test_db asks for {request!r}")


def run_program(stack, results):
    """test_db's exit status and what it wrote to standard error."""
    env = {**stack.environment(), "GENGATE_TEST_DATABASE_URL": stack.database_url, "CMOCKA_MESSAGE_OUTPUT": "TAP"}
    errors_path = os.path.join(stack.log_dir, "test_db.log")
    with open(errors_path, "wb") as errors:
        program = subprocess.Popen([PROGRAM, *sys.argv[1:]], env=env, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=errors, text=True, errors="replace")
    guard = threading.Timer(TIMEOUT, program.kill)
    guard.start()
    try:
        for line in program.stdout:
            line = line.rstrip("\n")
            if line.startswith("@"):
                obey(stack.postgres, line[1:])
                program.stdin.write("done\n")
                program.stdin.flush()
            else:
                results.forward(line)
        status = program.wait()
    finally:
        guard.cancel()
        program.kill()
        program.wait()
    with open(errors_path, encoding="utf-8", errors="replace") as f:
        return status, f.read().splitlines()


def every_file_is_embedded(results):
    """A statement or migration that is in its folder, but not in the build."""
    with open(os.path.join(stacks.SRCDIR, "db/local.am"), encoding="utf-8") as f:
        makefile = f.read()
    files = [f"{folder}/{name}" for folder in ("sql", "migrations")
             for name in sorted(os.listdir(os.path.join(stacks.SRCDIR, "db", folder))) if name.endswith(".sql")]
    missing = [name for name in files if f"%D%/{name}" not in makefile]
    results.case("every_sql_file_is_embedded", files and not missing, f"not in db/local.am: {missing}")


def main():
    missing = stacks.missing_programs() + ([] if os.path.exists(PROGRAM) else ["cmocka (tests/db/test_db)"])
    if missing:
        tap.skip_all("missing: " + ", ".join(missing))
    results = Results()
    stack = stacks.Stack(gengates=0, simulator=False)
    try:
        stack.postgres.start()
        status, errors = run_program(stack, results)
        results.case("the_program_ran_to_its_end", status in (0, 1) and results.count == results.planned,
                     f"exit status {status}, {results.count} results of {results.planned}")
        # cmocka says there why a test failed; libpq is not to say anything.
        strange = [line for line in errors if not line.startswith("{")]
        results.case("standard_error_has_events_only", not strange, "\n".join(strange[:100]))
        every_file_is_embedded(results)
        if results.failed:
            tap.comment(stack.tails())
    finally:
        stack.stop()
    print(f"1..{results.count}", flush=True)
    sys.exit(1 if results.failed else 0)


main()
