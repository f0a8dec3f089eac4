"""The front door: kept connections, parked requests, clients that behave badly."""

import os
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ.get("srcdir", "."), "tests", "stack"))
from stack import Stack, wait_for
from tap import check, comment, equal, run, test

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT = 1, 2, 3, 4, 5, 6
HEADER = struct.Struct(">BBHHBx")
rigs = {}


def setup():
    # As few workers as there may be: more would be started when they are needed, and threads are counted.
    rigs["door"] = Stack(storage="local", config={"threads": 2, "workers": 2, "pollers": 1,
                                                  "client_timeout": "700ms"}).start()


def teardown():
    for rig in rigs.values():
        rig.stop()


def door():
    return rigs["door"]


# ---- A client that speaks FastCGI itself, so that it can do so badly

def record(kind, body=b"", request=1, version=1):
    return HEADER.pack(version, kind, request, len(body), 0) + body


def params(**pairs):
    out = b""
    for name, value in pairs.items():
        name, value = name.encode(), value.encode()
        for size in (len(name), len(value)):
            out += bytes([size]) if size < 128 else struct.pack(">I", size | 0x80000000)
        out += name + value
    return out


def request_bytes(path="/healthz", method="GET", body=b"", keep=True, **more):
    pairs = params(REQUEST_METHOD=method, PATH_INFO=path, QUERY_STRING="", CONTENT_TYPE="application/json",
                   CONTENT_LENGTH=str(len(body)) if body else "", **more)
    return (record(BEGIN, struct.pack(">HB5x", 1, 1 if keep else 0)) + record(PARAMS, pairs) + record(PARAMS) +
            (record(STDIN, body) if body else b"") + record(STDIN))


def connect():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    s.connect(door().gengate_sockets[0])
    return s


def exactly(s, n):
    data = b""
    while len(data) < n:
        piece = s.recv(n - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def answer(s):
    """The bytes of one answer, to its END record."""
    out = b""
    while True:
        _, kind, _, length, padding = HEADER.unpack(exactly(s, 8))
        body = exactly(s, length + padding)[:length]
        if kind == STDOUT:
            out += body
        if kind == END:
            return out


def connections():
    """gengate's ends of connections to its socket; the listening socket is none."""
    path = door().gengate_sockets[0]
    with open("/proc/net/unix", encoding="utf-8") as f:
        return sum(line.rstrip().endswith(" " + path) and " 00010000 " not in line for line in f)


def threads():
    return len(os.listdir(f"/proc/{door().gengate.pid}/task"))


# To what connections fall: nginx keeps up to eight of its own meanwhile.
def falls_to(wanted):
    wait_for(lambda: connections() <= wanted, 20, f"fall to {wanted} connections: {connections()}")


def events(name, **wanted):
    return [e for e in door().gengate.events(name) if all(e.get(k) == v for k, v in wanted.items())]


def hold_jobs():
    door().http("POST", "/sim/settings", json={"processing_ms": 60000})


def let_jobs_go():
    door().http("POST", "/sim/reset", json={"settings": True})


def post(user, **headers):
    return door().http("POST", "/generate", json={"prompt": "a door"}, user=user, headers=headers)


# ---- Kept connections

@test
def one_connection_serves_many_requests():
    s = connect()
    for _ in range(100):
        s.sendall(request_bytes())
        check(answer(s).startswith(b"Status: 200"), "a kept connection's answer")
    s.close()


@test
def a_body_that_nobody_reads_does_not_harm_the_next_request():
    s = connect()
    for size in (10, 5000, 60000):
        s.sendall(request_bytes("/healthz", "POST", b"x" * size))
        check(answer(s).startswith(b"Status: 405"), "the answer to a POST")
        s.sendall(request_bytes())
        check(answer(s).startswith(b"Status: 200"), f"the answer after an unread body of {size}")
    s.close()


@test
def idle_connections_cost_no_thread():
    # As nginx with `keepalive 64` and two request threads: nothing hangs.
    before = threads()
    kept = [connect() for _ in range(64)]
    for s in kept:
        s.sendall(request_bytes())
        answer(s)
    for _ in range(20):
        equal(door().http("GET", "/healthz").status, 200, "status while 64 connections are kept")
    for s in kept:
        s.sendall(request_bytes())
        check(answer(s).startswith(b"Status: 200"), "an old connection's answer")
    equal(threads(), before, "threads")
    for s in kept:
        s.close()


@test
def a_connection_that_is_not_to_be_kept_is_closed():
    s = connect()
    s.sendall(request_bytes(keep=False))
    answer(s)
    equal(s.recv(1), b"", "what follows")
    s.close()


# ---- Parked requests

@test
def parked_requests_cost_no_thread():
    hold_jobs()
    before = threads()
    waiting = []
    for n in range(60):
        s = connect()
        s.sendall(request_bytes("/generate", "POST", b'{"prompt": "wait"}', REMOTE_USER=f"parked-{n}",
                                HTTP_PREFER="wait=60"))
        waiting.append(s)
    wait_for(lambda: len(events("job.moved", to="running")) >= 60, 15, "60 running jobs")
    began = time.monotonic()
    equal(door().http("GET", "/healthz").status, 200, "status beside 60 that wait")
    check(time.monotonic() - began < 2, "it took too long")
    equal(threads(), before, "threads")
    # They hang up: each is dropped, and logged as nginx would.
    gone = len(events("http.request", status=499))
    held = connections()
    for s in waiting:
        s.close()
    wait_for(lambda: len(events("http.request", status=499)) == gone + 60, 1, "60 dropped requests", interval=0.05)
    falls_to(held - 60 + 8)
    let_jobs_go()


@test
def a_client_that_hangs_up_behind_nginx_is_dropped():
    hold_jobs()
    gone = len(events("http.request", status=499))
    s = socket.create_connection(("127.0.0.1", door().port))
    body = b'{"prompt": "x"}'
    s.sendall(b"POST /generate HTTP/1.1\r\nHost: x\r\nX-Test-User: hangs-up\r\nPrefer: wait=60\r\n"
              b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    wait_for(lambda: door().sql_value("select count(*) from generation_live where state = 'running'") != "0",
             5, "its job")
    s.close()
    wait_for(lambda: len(events("http.request", status=499)) > gone, 1, "the dropped request", interval=0.05)
    let_jobs_go()


@test
def a_client_that_does_not_read_is_dropped():
    s = connect()
    # Requests without end and answers that nobody takes, until the socket is full.
    s.settimeout(0.2)
    sent = 0
    try:
        while sent < 20000:
            s.sendall(request_bytes())
            sent += 1
    except (TimeoutError, BrokenPipeError, ConnectionResetError):
        pass
    check(sent < 20000, "the socket never filled")
    equal(door().http("GET", "/healthz").status, 200, "another client's status")
    # It is dropped client_timeout after the last byte that it took, not just slowed down:
    # what it took ends.
    time.sleep(3 * 0.7)
    s.settimeout(10)
    try:
        while s.recv(65536):
            pass
    except ConnectionResetError:
        pass
    s.close()


# ---- What is broken

@test
def broken_records_are_dropped_and_leak_nothing():
    before = connections()
    alive = threads()
    whole = request_bytes("/status", "GET", HTTP_X="y" * 300)
    rubbish = [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 64, os.urandom(64), record(BEGIN, b"", version=9),
               record(BEGIN, struct.pack(">HB5x", 7, 1)) + record(PARAMS),
               record(BEGIN, struct.pack(">HB5x", 1, 1)) + record(PARAMS, b"\xff\xff\xff\xff\xff\xff\xff\xff"),
               record(STDIN, b"no beginning"), record(ABORT)]
    rubbish += [whole[:n] for n in range(1, len(whole), 7)]
    for data in rubbish:
        s = connect()
        s.sendall(data)
        s.close()
    # One that stops in the middle and stays is given up after client_timeout.
    stays = connect()
    stays.sendall(whole[:40])
    equal(door().http("GET", "/healthz").status, 200, "status after all that")
    falls_to(before + 8)
    equal(stays.recv(1), b"", "the half request's answer")
    stays.close()
    equal(threads(), alive, "threads")
    check(events("http.broken_request"), "a broken request is logged")


@test
def an_aborted_request_ends():
    before = connections()
    for _ in range(20):
        s = connect()
        s.sendall(request_bytes("/generate", "POST", b'{"prompt": "x"}', REMOTE_USER="aborts")[:-8] + record(ABORT))
        s.close()
    falls_to(before + 8)
    equal(door().http("GET", "/healthz").status, 200, "status")


@test
def out_of_descriptors_is_said_once_and_passes():
    with Stack(storage="local", config={"threads": 2}, gengate_wrapper=["prlimit", "--nofile=48"]) as rig:
        rigs["door"], kept = rig, rigs["door"]
        try:
            before = threads()
            many = []
            for _ in range(80):
                s = connect()
                s.sendall(request_bytes())
                many.append(s)
            wait_for(lambda: events("http.accept_failed"), 5, "the log's line")
            time.sleep(0.5)
            equal(len(events("http.accept_failed")), 1, "lines about it")
            for s in many:
                s.close()
            wait_for(lambda: rig.http("GET", "/healthz").status == 200, 5, "an answer again")
            equal(threads(), before, "threads")
        finally:
            rigs["door"] = kept


# ---- Streams

def stream(job, user, **headers):
    return door().http("GET", f"/status/{job}", user=user, stream=True,
                       headers={"Accept": "text/event-stream", **headers})


def parse(text):
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":") and ": " in line)
        if "event" in fields:
            found.append((int(fields["id"]), fields["event"], fields["data"]))
    return found


def whole_stream(job, user, **headers):
    response = door().http("GET", f"/status/{job}", user=user,
                           headers={"Accept": "text/event-stream", **headers})
    return response


@test
def a_stream_tells_each_change_and_ends():
    job = post("streams", Prefer="respond-async").json["id"]
    response = whole_stream(job, "streams")
    equal((response.status, response.header("Content-Type")), (200, "text/event-stream"), "the stream's head")
    told = parse(response.text)
    equal([v for v, _, _ in told], sorted({v for v, _, _ in told}), "versions")
    check('"status":"succeeded"' in told[-1][2], f"the last event: {told[-1]}")
    check(response.text.startswith("retry: "), "when to come back")
    # A client that comes back having seen the end is told to stay away.
    equal(whole_stream(job, "streams", **{"Last-Event-ID": str(told[-1][0])}).status, 204, "after the end")
    # One that missed the end is told it.
    missed = parse(whole_stream(job, "streams", **{"Last-Event-ID": "1"}).text)
    equal([v for v, _, _ in missed], [told[-1][0]], "what was missed")
    for junk in ("x", "-1", "99999999999999999999", ""):
        equal(whole_stream(job, "streams", **{"Last-Event-ID": junk}).status, 200, f"Last-Event-ID {junk!r}")


@test
def a_stream_is_its_owners_alone():
    job = post("owner", Prefer="respond-async").json["id"]
    equal(whole_stream(job, "somebody else").status, 404, "status")
    door().wait_settled(job, user="owner")


@test
def a_quiet_stream_has_a_comment_every_15_seconds():
    hold_jobs()
    job = post("quiet").json["id"]
    s = socket.create_connection(("127.0.0.1", door().port))
    s.settimeout(20)
    s.sendall(f"GET /status/{job} HTTP/1.1\r\nHost: x\r\nX-Test-User: quiet\r\nAccept: text/event-stream\r\n\r\n".encode())
    data = b""
    while b"\n: " not in data:
        piece = s.recv(4096)
        check(piece, "the stream ended")
        data += piece
    s.close()
    let_jobs_go()


# ---- Stopping

@test
def an_idle_process_stops_at_once():
    took = []
    with Stack(storage="local", simulator=True) as rig:
        for _ in range(5):
            began = time.monotonic()
            rig.gengate.signal(15)
            rig.gengate.wait(10)
            took.append(time.monotonic() - began)
            rig.gengate.start()
    comment("seconds to stop: " + ", ".join(f"{t:.3f}" for t in took))
    # The best of five: machines are shared.
    check(min(took) <= 0.1, f"it took {min(took):.3f} s")


@test
def a_busy_process_answers_what_waits_before_it_stops():
    with Stack(storage="local") as rig:
        rig.http("POST", "/sim/settings", json={"processing_ms": 60000})
        got = {}

        def wait(user):
            got[user] = rig.http("POST", "/generate", json={"prompt": "x"}, user=user, headers={"Prefer": "wait=60"})

        def listen():
            job = rig.http("POST", "/generate", json={"prompt": "x"}, user="listens").json["id"]
            got["stream"] = rig.http("GET", f"/status/{job}", user="listens", headers={"Accept": "text/event-stream"})
        waiting = [threading.Thread(target=wait, args=(f"waits-{n}",)) for n in range(5)]
        waiting.append(threading.Thread(target=listen))
        for t in waiting:
            t.start()
        wait_for(lambda: rig.sql_value("select count(*) from generation_live where state = 'running'") == "6",
                 10, "six jobs")
        time.sleep(0.3)
        rig.gengate.signal(15)
        rig.gengate.wait(10)
        for t in waiting:
            t.join(10)
        equal(sorted(r.status for r in got.values()), [200] + [202] * 5, "answers")
        check(got["stream"].text.endswith("\n\n"), "the stream ends between two events")


run(setup, teardown)
