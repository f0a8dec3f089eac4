"""Does the fault matrix see what it is for?

	mutants.py [--in FOLDER] [--red-only] [WORD]...

Each patch in mutants/ takes away what keeps the promise of the rows of the matrix that it
names, or of the tests outside it (`Test: tests/e2e/test_x.py case`), and has to turn each of
them red.  They are tried on a copy of the project with a build of its own; without a patch
they have to be green.  Words choose patches by their names.  The table
is printed and written to mutants.txt in the build folder.
"""

import argparse
import dataclasses
import filecmp
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SRCDIR = os.path.abspath(os.environ.get("srcdir") or os.path.join(HERE, "../.."))
BUILDDIR = os.path.abspath(os.environ.get("builddir") or os.path.join(SRCDIR, "build"))
TRIES = 2               # a row may miss its mutant once
STACKS_AT_ONCE = 4      # a row that is lost mostly waits
MINUTES_MAX = 20        # of the rows of one mutant
PROGRAMS = ("tests/fault/gengate", "tests/sim/gengate-sim")


@dataclasses.dataclass
class Mutant:
    name: str
    path: str
    rows: list          # of the matrix
    tests: list         # elsewhere: a test's file, and the case of it if it has any

    @property
    def red(self):
        """All that it has to turn red."""
        return self.rows + self.tests

    @property
    def title(self):
        with open(self.path, encoding="utf-8") as f:
            return f.readline().strip()


def read_mutants():
    found = []
    for path in sorted(glob.glob(os.path.join(HERE, "mutants", "*.patch"))):
        with open(path, encoding="utf-8") as f:
            head = f.read().partition("\n--- ")[0]
        rows, tests = (re.findall(rf"^{word}: (.+)$", head, re.MULTILINE) for word in ("Row", "Test"))
        found.append(Mutant(os.path.basename(path).removesuffix(".patch"), path, rows, tests))
    return found


def apply(mutant, folder, *options):
    """What went wrong; nothing if it fits, without guessing where."""
    done = subprocess.run(["patch", "-p1", "--batch", "--fuzz=0", *options, "-d", folder, "-i", mutant.path],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout if done.returncode else ""


class Copy:
    """The project in a folder of its own."""

    def __init__(self, folder):
        self.folder, self.build = folder, os.path.join(folder, "build")
        self.log = os.path.join(folder, "build.log")

    @staticmethod
    def _files():
        if os.path.exists(os.path.join(SRCDIR, ".git")):
            listed = subprocess.run(["git", "-C", SRCDIR, "ls-files", "-z"], check=True, stdout=subprocess.PIPE)
            return [os.fsdecode(name) for name in listed.stdout.split(b"\0") if name]
        return [os.path.relpath(os.path.join(at, name), SRCDIR)
                for at, folders, names in os.walk(SRCDIR) if not at.startswith(BUILDDIR) for name in names]

    def restore(self):
        """As the project is; what is the same keeps its time, so that it is not built again."""
        for name in self._files():
            source, target = os.path.join(SRCDIR, name), os.path.join(self.folder, name)
            if os.path.isfile(source) and not (os.path.exists(target) and filecmp.cmp(source, target, shallow=False)):
                os.makedirs(os.path.dirname(target), exist_ok=True)
                shutil.copyfile(source, target)
                shutil.copymode(source, target)

    def _run(self, *command, cwd):
        with open(self.log, "a", encoding="utf-8") as log:
            return subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log).returncode == 0

    def configure(self):
        if os.path.exists(os.path.join(self.build, "config.status")):
            return True
        os.makedirs(self.build, exist_ok=True)
        return self._run("autoreconf", "-fi", cwd=self.folder) and self._run("../configure", "-q", cwd=self.build)

    def make(self):
        """What a mutant leaves unused is no mistake: warnings are allowed."""
        return all(self._run("make", f"-j{STACKS_AT_ONCE}", *goals, cwd=self.build) for goals in (("all",), PROGRAMS))

    def _cases(self, *command):
        """What a test tells: case -> is it red?  One that was skipped is neither."""
        environment = {**os.environ, "srcdir": self.folder, "builddir": self.build,
                       "CMOCKA_MESSAGE_OUTPUT": "TAP"}
        try:
            done = subprocess.run(command, env=environment, text=True, cwd=self.folder, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, timeout=60 * MINUTES_MAX)
            text = done.stdout
        except subprocess.TimeoutExpired as late:
            text = (late.stdout or b"").decode(errors="replace")
        with open(os.path.join(self.folder, "tests.log"), "a", encoding="utf-8") as f:
            f.write(text)
        return {name: bool(bad) for bad, name in re.findall(r"^(not )?ok \d+ - (.*)$", text, re.MULTILINE)
                if "# SKIP" not in name}

    def matrix(self, rows):
        """The rows by their names: are they red?  None: it did not come so far."""
        words = [word for row in rows for word in ("--row", row)]
        told = self._cases(sys.executable, os.path.join(self.folder, "tests/fault/matrix.py"),
                           "--jobs", str(STACKS_AT_ONCE), *words)
        return {row: told.get(row) for row in rows}

    def test(self, name):
        """The same for a test outside the matrix; without a case: is any of it red?"""
        path, _, case = name.partition(" ")
        script = os.path.join(self.folder, path)
        if re.fullmatch(r"tests/db/\w+\.c", path):
            if not self._run("make", "tests/db/test_db", cwd=self.build):
                return None
            command = sys.executable, os.path.join(self.folder, "tests/db/test_db.py"), case
        elif path.endswith(".py"):
            command = sys.executable, script, *([case] if case else [])
        elif os.path.exists(script):
            command = "sh", script
        elif self._run("make", path, cwd=self.build):
            command = (os.path.join(self.build, path),)
        else:
            return None
        told = self._cases(*command)
        if case:
            return told.get(case)
        return any(told.values()) if told else None

    def left(self, names, red):
        """Which of them are not red, or not green; what did not run is neither."""
        rows = [name for name in names if not name.startswith("tests/")]
        is_red = self.matrix(rows) if rows else {}
        is_red.update((name, self.test(name)) for name in names if name not in rows)
        return [name for name in names if is_red[name] is not red]


def say(text=""):
    print(text, flush=True)


def try_mutant(copy, mutant):
    """What is to be said against it."""
    copy.restore()
    wrong = apply(mutant, copy.folder)
    if wrong:
        return f"does not apply: {wrong}"
    if not copy.make():
        return f"does not build, see {copy.log}"
    left = mutant.red
    for _ in range(TRIES):
        left = copy.left(left, True)
        if not left:
            return ""
    return "not red: " + ", ".join(left)


def not_green(copy, mutants):
    """The rows and tests that are red, or do not run, without a mutant."""
    copy.restore()
    if not copy.make():
        return [f"the project does not build, see {copy.log}"]
    left = list(dict.fromkeys(name for mutant in mutants for name in mutant.red))
    for _ in range(TRIES):
        left = copy.left(left, False)
        if not left:
            break
    return left


def try_all(copy, mutants, red_only):
    """The table's lines, and how many are amiss."""
    if not copy.configure():
        return [f"cannot be configured, see {copy.log}"], 1
    bad = [] if red_only else not_green(copy, mutants)
    if bad:
        return [f"without a mutant: not green: {row}" for row in bad], len(bad)
    lines, amiss = [], 0
    width = max(len(mutant.name) for mutant in mutants)
    for mutant in mutants:
        began = time.monotonic()
        wrong = try_mutant(copy, mutant)
        amiss += bool(wrong)
        verdict = wrong or "red: " + ", ".join(mutant.red)
        lines.append(f"{mutant.name:{width}}  {time.monotonic() - began:4.0f} s  {verdict}")
        say(lines[-1])
    copy.restore()
    return lines, amiss


def main():
    parser = argparse.ArgumentParser(description="the mutants of the tests")
    parser.add_argument("--in", dest="folder", help="work there and leave it, for the next time")
    parser.add_argument("--red-only", action="store_true", help="do not see whether the rows are green without")
    parser.add_argument("words", nargs="*")
    args = parser.parse_args()
    mutants = [m for m in read_mutants() if not args.words or any(word in m.name for word in args.words)]
    if not mutants:
        say(f"no such mutant: {args.words}")
        return 64
    folder = os.path.abspath(args.folder) if args.folder else tempfile.mkdtemp(prefix="gengate-mutants-")
    os.makedirs(folder, exist_ok=True)
    copy = Copy(folder)
    copy.restore()
    try:
        lines, amiss = try_all(copy, mutants, args.red_only)
    finally:
        if not args.folder:
            shutil.rmtree(folder)
    end = f"{len(mutants)} mutants, {amiss} amiss"
    say("\n".join(["", *lines, end]))
    os.makedirs(BUILDDIR, exist_ok=True)
    with open(os.path.join(BUILDDIR, "mutants.txt"), "w", encoding="utf-8") as f:
        f.write("\n".join([*lines, end]) + "\n")
    return 1 if amiss else 0


if __name__ == "__main__":
    sys.exit(main())
