"""Tests as functions, printed as TAP.

	@test
	def something_holds():
		check(1 + 1 == 2)
		equal(len("ab"), 2)

	run()       # at the end of the file

Words on the command line choose the tests whose names contain one of them.
"""

import sys
import traceback

_tests = []


class Skip(Exception):
    """Raise it with the reason."""


def test(function):
    _tests.append(function)
    return function


def check(condition, text="it does not hold"):
    if not condition:
        raise AssertionError(text)


def equal(got, wanted, what="value"):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def comment(text):
    for line in str(text).splitlines():
        print("# " + line.removeprefix("# "), flush=True)


def skip_all(reason):
    """Nothing here can be tested on this host."""
    print(f"1..0 # SKIP {reason}", flush=True)
    sys.exit(0)


def run(setup=None, teardown=None):
    """setup() once before the tests, teardown() once after; exits with the result."""
    words = sys.argv[1:]
    chosen = [t for t in _tests if not words or any(word in t.__name__ for word in words)]
    print(f"1..{len(chosen)}", flush=True)
    failed = 0
    try:
        if setup:
            setup()
        for number, function in enumerate(chosen, 1):
            failed += not _one(number, function)
    except Exception:
        comment(traceback.format_exc())
        print("Bail out! the set-up failed", flush=True)
        failed += 1
    finally:
        if teardown:
            teardown()
    sys.exit(1 if failed else 0)


def _one(number, function):
    try:
        function()
    except Skip as reason:
        print(f"ok {number} - {function.__name__} # SKIP {reason}", flush=True)
        return True
    except Exception:
        comment(traceback.format_exc())
        print(f"not ok {number} - {function.__name__}", flush=True)
        return False
    print(f"ok {number} - {function.__name__}", flush=True)
    return True
