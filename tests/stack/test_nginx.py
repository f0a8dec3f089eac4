"""The files in nginx/, with a stand-in behind them: what nginx hands on, what it
refuses by itself and how that reads, what it keeps to itself."""

import http.client
import os
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ.get("srcdir") or os.path.join(os.path.dirname(__file__), "../.."),
                                "tests/stack"))
import fcgi
import stack as stacks
from tap import check, equal, run, skip_all, test

stack = None
seen = []
release = threading.Event()


def handler(request):
    seen.append(request)
    path = request.params["PATH_INFO"]
    if path == "/status/stream":
        return stream()
    if path == "/generate/slow":
        time.sleep(3)
    status = "422 Unprocessable Content" if path == "/generate/refused" else "200 OK"
    return f"Status: {status}\r\nContent-Type: application/json\r\n\r\n" + '{"code":"ours"}'


def stream():
    yield "Content-Type: text/event-stream\r\nX-Accel-Buffering: no\r\n\r\n"
    yield "data: first\n\n"
    release.wait(20)
    yield "data: last\n\n"


def setup():
    global stack
    stack = stacks.Stack(gengates=0, simulator=False,
                         server_extra="real_ip_header X-Test-Address; set_real_ip_from 127.0.0.1;")
    stack.gengate_sockets = [os.path.join(stack.run_dir, "g0.sock")]
    stack.nginx.start()


def with_server(function):
    def wrapped():
        server = fcgi.Server(stack.gengate_sockets[0], handler)
        seen.clear()
        try:
            function(server)
        finally:
            server.close()
            os.unlink(stack.gengate_sockets[0])
            time.sleep(0.05)
    wrapped.__name__ = function.__name__
    return test(wrapped)


def problem(answer, status, code):
    equal(answer.status, status, "status")
    equal(answer.header("Content-Type"), "application/problem+json", "content type")
    equal(answer.json["status"], status, "status in the body")
    equal(answer.json["code"], code, "code")
    check(len(answer.json["request_id"]) == 32, "no request id")
    equal(answer.header("X-Request-Id"), answer.json["request_id"], "request id")
    equal(answer.header("Cache-Control"), "no-store", "cache control")


@test
def gengate_away_is_a_problem_in_json():
    for path in ("/generate", "/status/0190.html", "/webhooks/replicate", "/healthz"):
        answer = stack.http("GET", path)
        problem(answer, 502, "gateway_unreachable")
        check(answer.header("Retry-After"), "no Retry-After")


@test
def large_bodies_are_refused_by_nginx():
    problem(stack.http("POST", "/generate", body=bytes((28 << 20) + 1)), 413, "body_too_large")
    problem(stack.http("POST", "/generate/x/retry", body=bytes((1 << 20) + 1)), 413, "body_too_large")
    problem(stack.http("POST", "/webhooks/replicate", body=bytes((8 << 20) + 1)), 413, "body_too_large")


@with_server
def parameters_arrive(server):
    answer = stack.http("POST", "/generate/a%20b?x=1&y=%41", body=b"{}", user="ann",
                        headers={"Content-Type": "application/json", "Idempotency-Key": "k"})
    equal(answer.status, 200, "status")
    got = seen[0].params
    for name, value in {"REQUEST_METHOD": "POST", "PATH_INFO": "/generate/a b", "QUERY_STRING": "x=1&y=%41",
                        "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": "2", "REMOTE_ADDR": "127.0.0.1",
                        "GATEWAY_INTERFACE": "CGI/1.1", "REMOTE_USER": "ann",
                        "HTTP_IDEMPOTENCY_KEY": "k"}.items():
        equal(got.get(name), value, name)
    equal(len(got["REQUEST_ID"]), 32, "length of the request id")
    equal(seen[0].body, b"{}", "body")


@with_server
def a_header_is_no_user(server):
    stack.http("GET", "/status", headers={"Remote-User": "eve", "Authorization": "Basic ZXZlOng="})
    equal(seen[0].params.get("REMOTE_USER"), "", "REMOTE_USER")


@with_server
def a_body_within_the_limit_arrives(server):
    equal(stack.http("POST", "/generate", body=bytes(1 << 20)).status, 200, "status of 1 MB")
    equal(stack.http("POST", "/webhooks/replicate", body=bytes(8 << 20)).status, 200, "status of 8 MB")
    equal([len(request.body) for request in seen], [1 << 20, 8 << 20], "sizes")


@with_server
def connections_are_kept(server):
    for n in range(20):
        equal(stack.http("GET", f"/status/{n}").status, 200, "status")
    equal(server.connections, 1, "connections")


@with_server
def gengates_errors_pass(server):
    answer = stack.http("GET", "/generate/refused")
    equal((answer.status, answer.json), (422, {"code": "ours"}), "answer")


@with_server
def streams_are_not_held_back(server):
    release.clear()
    answer = stack.http("GET", "/status/stream", stream=True)
    equal(answer.readline(), b"data: first\n", "first line")
    release.set()
    check(b"data: last" in answer.read(), "no last line")
    answer.close()


@with_server
def monitoring_is_private(server):
    for path in ("/healthz", "/readyz", "/metrics"):
        equal(stack.http("GET", path).status, 200, path)
        problem(stack.http("GET", path, headers={"X-Test-Address": "192.0.2.1"}), 403, "forbidden")
    equal(stack.http("GET", "/status", headers={"X-Test-Address": "192.0.2.1"}).status, 200, "/status")


def raw(data):
    """The answer to these bytes, by http.client."""
    with socket.create_connection((stacks.HOST, stack.port), 10) as s:
        s.sendall(data)
        answer = http.client.HTTPResponse(s)
        answer.begin()
        return stacks.Answer(answer.status, answer.headers, answer.read())


@test
def what_nginx_refuses_by_itself_is_a_problem_in_json():
    host = b" HTTP/1.1\r\nHost: x\r\n"
    for data, status, code in (
            (b"GET", 400, "bad_request"), (b"get /status" + host, 400, "bad_request"),
            (b"GET /status HTTP/1.1\r\n", 400, "bad_request"), (b"GET /status HTTP/3.0\r\n", 400, "bad_request"),
            (b"GET /status" + host + b"Transfer-Encoding: gzip\r\n", 400, "bad_request"),
            (b"GET /nowhere" + host, 404, "not_found"), (b"GET /gengate_400" + host, 404, "not_found"),
            (b"TRACE /status" + host, 405, "method_not_allowed"), (b"CONNECT /status" + host, 405, "method_not_allowed"),
            (b"GET /status?" + b"a" * 9000 + host, 414, "uri_too_long"),
            (b"GET /status" + host + b"X: " + b"a" * 9000 + b"\r\n", 431, "headers_too_large")):
        try:
            problem(raw(data + b"\r\n"), status, code)
        except Exception as e:
            raise AssertionError(f"{data[:60]!r}: {e}") from None


@test
def a_chunk_that_is_none_is_a_problem_in_json():
    problem(raw(b"POST /generate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), 400, "bad_request")


@with_server
def an_aborted_client_is_noticed(server):
    with socket.create_connection((stacks.HOST, stack.port)) as s:
        s.sendall(b"GET /generate/slow HTTP/1.1\r\nHost: x\r\n\r\n")
        stacks.wait_for(lambda: seen, 5, "request")
    equal(stack.http("GET", "/status").status, 200, "status")


@test
def a_body_is_asked_for_only_when_whole():
    server = fcgi.Server(stack.gengate_sockets[0], handler)
    seen.clear()
    with socket.create_connection((stacks.HOST, stack.port)) as s:
        s.sendall(b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n{}")
        time.sleep(0.2)
        equal(len(seen), 0, "requests so far")
        s.sendall(b"{}")
        check(b"200 OK" in s.recv(4096), "no answer")
    server.close()


@test
def playground_and_files_are_served():
    page = stack.http("GET", "/")
    equal(page.status, 200, "status")
    check("playground.js" in page.text and "script-src 'self'" in page.header("Content-Security-Policy"), "page")
    equal(stack.http("GET", "/playground.js").status, 200, "status of the script")
    with open(os.path.join(stack.files_dir, "x.png"), "wb") as f:
        f.write(b"\x89PNG")
    answer = stack.http("GET", "/files/x.png")
    equal((answer.status, answer.header("Content-Type"), answer.body), (200, "image/png", b"\x89PNG"), "file")
    equal(stack.http("POST", "/files/x.png", body=b"").status, 403, "status of a POST")
    equal(stack.http("GET", "/sim-drop").status, 404, "status of an internal location")


if stacks.missing_programs():
    skip_all("missing: " + ", ".join(stacks.missing_programs()))
run(setup, lambda: stack and stack.stop())
