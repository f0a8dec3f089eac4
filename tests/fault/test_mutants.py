"""Each row of the fault matrix has a mutant, and each mutant fits the project as it is.
mutants.py tries them."""

import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mutants
from rows import ROWS
from tap import check, run, skip_all, test

if not shutil.which("patch"):
    skip_all("missing: patch")

NAMES = {row.name for row in ROWS}
MUTANTS = mutants.read_mutants()


def is_a_test(name):
    """A file of ours that has that case; a program's is its source's."""
    path, _, case = name.partition(" ")
    path = os.path.join(mutants.SRCDIR, path)
    path += "" if os.path.exists(path) else ".c"
    if not path.startswith(os.path.join(mutants.SRCDIR, "tests/")) or not os.path.isfile(path):
        return False
    with open(path, encoding="utf-8") as f:
        return case in f.read()


@test
def each_row_has_a_mutant():
    without = NAMES - {row for mutant in MUTANTS for row in mutant.rows}
    check(not without, f"no mutant turns these red: {sorted(without)}")


@test
def each_mutant_says_what_it_takes_away():
    for mutant in MUTANTS:
        check(mutant.title and not mutant.title.startswith(("Row:", "---", "diff")), mutant.name)


@test
def each_mutant_names_what_exists():
    for mutant in MUTANTS:
        check(mutant.red, f"{mutant.name} names nothing that it turns red")
        strange = set(mutant.rows) - NAMES | {name for name in mutant.tests if not is_a_test(name)}
        check(not strange, f"{mutant.name}: no such rows or cases: {sorted(strange)}")


@test
def each_mutant_fits():
    wrong = [f"{mutant.name}: {why}" for mutant in MUTANTS if (why := mutants.apply(mutant, mutants.SRCDIR, "--dry-run"))]
    check(not wrong, "\n".join(wrong))


@test
def the_documents_table_has_each_row():
    with open(os.path.join(mutants.SRCDIR, "docs/fault-matrix.md"), encoding="utf-8") as f:
        told = {line.split("  ")[0] for line in f.read().split("```\n")[1].splitlines()[1:]}
    check(told == NAMES, f"docs/fault-matrix.md: not as in rows.py: {sorted(told ^ NAMES)}")


run()
