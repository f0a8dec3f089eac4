"""The stack itself: what it promises to the tests that use it."""

import os
import signal
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir") or os.path.join(os.path.dirname(__file__), "../.."),
                                "tests/stack"))
import stack as stacks
from tap import check, equal, run, skip_all, test

stack = None

CHILD = """
import sys, time
sys.path.insert(0, sys.argv[1])
import stack
s = stack.Stack(gengates=0, simulator=False)
s.start()
print(s.run_dir, *[p for part in s.parts for p in (part.pid, *stack.descendants(part.pid))], flush=True)
time.sleep(60)
"""


def setup():
    global stack
    stack = stacks.Stack(gengates=0, simulator=False).start()


@test
def what_was_committed_survives_kill():
    stack.sql("CREATE TABLE t (a int, b text)")
    stack.sql("INSERT INTO t VALUES (1, NULL), (2, 'x,y')")
    stack.postgres.kill()
    check(not stack.postgres.alive(), "still alive")
    stack.postgres.start()
    equal(stack.sql("SELECT a, b FROM t ORDER BY a"), [["1", None], ["2", "x,y"]], "rows")


@test
def a_paused_part_is_silent():
    stack.nginx.pause()
    equal(stack.nginx.state(), "T", "state")
    try:
        stack.http("GET", "/", timeout=0.3)
        check(False, "it answered")
    except socket.timeout:
        pass
    stack.nginx.resume()
    equal(stack.http("GET", "/").status, 200, "status")


@test
def the_port_stays_ours_while_nginx_is_down():
    stack.nginx.stop()
    with socket.socket() as other:
        try:
            other.bind((stacks.HOST, stack.port))
            check(False, "another program got the port")
        except OSError:
            pass
    stack.nginx.start()
    equal(stack.http("GET", "/").status, 200, "status")


@test
def a_port_that_is_taken_is_told():
    try:
        stacks.Stack(gengates=0, simulator=False, port=stack.port)
        check(False, "no error")
    except stacks.PortTaken as e:
        check(str(stack.port) in str(e), str(e))


@test
def a_failure_shows_the_logs():
    try:
        stack.run(["/bin/sh", "-c", "echo something went wrong; exit 3"])
        check(False, "no failure")
    except stacks.StackError as e:
        check("something went wrong" in str(e) and "postgres.log" in str(e), str(e))


def nothing_stays(number):
    child = subprocess.Popen([sys.executable, "-c", CHILD, os.path.dirname(stacks.__file__)],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                             preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    folder, *pids = child.stdout.readline().split()
    check(len(pids) > 4, "too few processes")
    child.send_signal(number)
    child.wait(30)
    stacks.wait_for(lambda: all(stacks.process_state(pid) in (None, "Z") for pid in pids), 15, "end of all parts")
    stacks.wait_for(lambda: not os.path.exists(folder), 10, "end of the folder")


@test
def nothing_stays_after_sigterm():
    nothing_stays(signal.SIGTERM)


@test
def nothing_stays_after_sigint():
    nothing_stays(signal.SIGINT)


@test
def nothing_stays_after_sigkill():
    nothing_stays(signal.SIGKILL)


if stacks.missing_programs():
    skip_all("missing: " + ", ".join(stacks.missing_programs()))
run(setup, lambda: stack and stack.stop())
