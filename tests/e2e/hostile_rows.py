"""The hostile rows: what is sent, and the status and code that have to come back.

Each function gives the rows of one kind over a World (test_hostile.py): ann's job runs, bob's has
succeeded, cat's has failed, dan's was canceled, and eve has none.  What is the same for each route
is made from docs/openapi.yaml, so that a new route has its rows by itself."""

import json
import re
import uuid

import yaml

from hostile import CLOSED, NO_HEAD, Request, Row
from stack import SRCDIR

with open(f"{SRCDIR}/docs/openapi.yaml", encoding="utf-8") as f:
    DOC = yaml.safe_load(f)

JSON = "application/json"
VERBS = ("get", "head", "post", "put", "patch", "delete")
MEGABYTE = 1 << 20
with open(f"{SRCDIR}/nginx/gengate.conf", encoding="utf-8") as f:
    NGINX_MAX = int(re.search(r"location = /generate \{[^}]*client_max_body_size (\d+)m;", f.read())[1]) * MEGABYTE
OK = 200


def operations():
    """Each path with a method of its own, and whether it is a user's."""
    for path, item in DOC["paths"].items():
        for verb in VERBS:
            if verb in item:
                yield path, verb.upper(), item[verb].get("security", DOC["security"]) != []


def methods_of(path):
    return [verb.upper() for verb in ("get", "head", "post", "put", "patch", "delete") if verb in DOC["paths"][path]]


def at(path, job, provider="replicate"):
    """Of the document's paths, one that leads somewhere."""
    return re.sub(r"\{\w+\}", "x", path.replace("{id}", job["id"]).replace("{provider}", provider))


def get(target, headers=(), user="bob", **more):
    return Request("GET", target, list(headers), user=user, **more)


def post(body, headers=(), user="eve", kind=JSON, target="/generate", **more):
    """To /generate, by somebody who has no job: it would be taken if it were good."""
    body = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return Request("POST", target, [*([("Content-Type", kind)] if kind is not None else []), *headers], body, user,
                   **more)


def asked(method, path, world, user, job=None):
    """As a user would ask, in whatever the job's state it changes nothing."""
    target = at(path, job or world.done)
    return post({}, user=user) if target == "/generate" else Request(method, target, user=user)


# -- Methods

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "MOVE", "LOCK", "LINK", "PURGE",
           "BREW", "M-SEARCH", "X_Y", "G", "GETT", "M" * 64, "M" * 3000)


def methods(world):
    """Every route with every method that it does not have, with a body and without."""
    for path in DOC["paths"]:
        allowed = methods_of(path)
        for method in METHODS:
            if method in allowed:
                continue
            for body in (None, b"{}"):
                request = Request(method, at(path, world.done), body=body, user="bob")
                yield Row("a method that it does not have", request, 405, "method_not_allowed",
                          {"Allow": ", ".join(allowed)})


def methods_of_nobody(world):
    for path in DOC["paths"]:
        for method in ("TRACE", "CONNECT"):
            yield Row("a method that nginx refuses", Request(method, at(path, world.done), user="bob", to_nginx=True),
                      405, "method_not_allowed")
        for method in ("get", "Post", "gET", "G\0T", "", "1", "GET\tX", "\u00dcBER", "(", "GET/"):
            yield Row("what is no method", Request(method, at(path, world.done), user="bob", to_nginx=True),
                      400, "bad_request")


# -- Who asks

def nobody(world):
    """Each route of a user, by everybody who is none (the rig knows in how many ways)."""
    for path, method, users in operations():
        for what, headers in world.rig.bad_identities():
            if users:
                request = asked(method, path, world, None)
                request.headers += headers
                yield Row(what, request, 401, "unauthorized")


def somebody_else(world):
    """Each route with a job's id, by somebody who has no such job."""
    for path, method, users in operations():
        if users and "{id}" in path:
            for job in (world.running, world.done, world.failed, world.canceled):
                for user in ("eve", "tom"):
                    yield Row("another's job", asked(method, path, world, user, job), 404, "not_found")


def not_now(world):
    """What a job's state does not allow."""
    for path, user, job in (("/generate/{id}/cancel", "bob", world.done),
                            ("/generate/{id}/cancel", "cat", world.failed),
                            ("/generate/{id}/cancel", "dan", world.canceled),
                            ("/generate/{id}/retry", "bob", world.done)):
        yield Row("a job that has ended", Request("POST", at(path, job), user=user), 409, "conflict")
    for method, path in (("POST", "/generate/{id}/retry"), ("DELETE", "/generate/{id}")):
        yield Row("a job that runs", Request(method, at(path, world.running), user="ann"), 409, "conflict")
    yield Row("one in flight", post({"prompt": "x"}, user="ann"), 409, "generation_in_flight")


# -- Ids

def ids(world):
    """What is no id of a job, on each route that has one."""
    done = world.done["id"]
    bad = [str(uuid.uuid4()), str(uuid.uuid1()), str(uuid.UUID(int=0)), "f" * 8 + "-ffff" * 3 + "-" + "f" * 12, "0",
           "-1", "null", "x" * 127, "x" * 128, "x" * 4000, done[:-1], done + "0", "%7B" + done + "%7D",
           "(" + done + ")", done.replace("-", ""), done.replace("-", "_"), "urn:uuid:" + done, done + "%20",
           "%20" + done, "+" + done, done + ".json", done + ";v=1", done + ",", "%27" + done + "%27",
           "%27%20OR%201=1%20--", "1;DROP%20TABLE%20generation_jobs", "$1", "%25s%25n", "*", "%2A", "..%5c" + done,
           "%c0%af" + done, "%ff%fe", "%e2%80%ae" + done, done[:-1] + "%d0%b0", done.replace("-", "%e2%80%91"),
           "%0d%0aX-Injected:%201", "%0a", "%09", "%7f", "{id}", "%24{jndi:x}", "__proto__", "constructor",
           "%3Cscript%3E"]
    for path, method, _ in operations():
        if "{id}" in path:
            for one in bad:
                yield Row("no job's id", Request(method, at(path, {"id": one}), user="bob"), 404, "not_found")
    for method in ("GET", "HEAD"):
        for one in bad:
            yield Row("no job's id", Request(method, "/status?id=" + one, user="bob"), 404, "not_found")
        yield Row("an id in upper case", Request(method, "/status/" + done.upper(), user="bob"), OK)
        yield Row("an id and a NUL", Request(method, f"/status?id={done}%00", user="bob"), 404, "not_found")
        yield Row("an id twice", Request(method, f"/status?id={done}&id={done}", user="bob"), 404, "not_found")


# -- Paths

def paths(world):
    done = world.done["id"]
    for target in ("/status/x%2fy", "/status/", "/status/.", "/status//", "/generate/", f"/status/{done}/",
                   f"/status/{done}/x", f"/status/{done}%2f", f"/generate/{done}/cancel/", f"/generate/{done}/CANCEL",
                   f"/generate/{done}/cancel%20", f"/generate/{done}%2fcancel/x", "/generate/a/b/c", "/webhooks/",
                   "/webhooks/a/b", "/webhooks/replicate/", "/webhooks/replicate%2f", "/status/%c0%ae%c0%ae/x",
                   "/status/..%5c..%5cx", "/generate/%2e", "/status/a/../b/c", "/status/%2e%2e%2fgenerate%2fx%2fy",
                   "/status/x%3f/y", "/status/\u00e9", "/status/%e9", "/status/%F0%9F%98%80", "/status/" + "a" * 7000,
                   "/status/" + "%41" * 2000, "/status/" + "a/" * 1000):
        yield Row("a path that is none", get(target), 404, "not_found")
    for target in ("/STATUS", "/status;x", "/status%20", "/status%3fid=1", "/Status/" + done, "/healthz/",
                   "/healthz/..;/metrics", "/metrics/x", "/readyz%2f", "/status\\..\\healthz", "/.git/config",
                   "/gengate_400", "/gengate_431", "/nowhere", "/etc/passwd", "/statuss"):
        yield Row("a path of nobody", get(target, to_nginx=True), 404, "not_found")
    for target in ("/status/%00", f"/status/{done}%00", "/generate/%00/cancel", "/status/..%2f..%2f..%2fetc/passwd",
                   "/status/../..", "/generate/../../status", "/%2e%2e/%2e%2e", "/status/%", "/status/%z", "/status/%4",
                   "/status/%u0041", "/status/a b", "/status/a\tb", "*", "status", "?", "", "\\status", "http://",
                   "http:///status", "x:/status", "/\x01\0", "/status\x7f/\x00"):
        yield Row("what is no path", get(target, to_nginx=True), 400, "bad_request")
    for target in ("//status", "/./status", "/x/../status", "/status/../status", "/generate/../status", "/%73tatus",
                   "/status#x", "/status?", "/status?&&", "http://127.0.0.1/status", "http://elsewhere.example/status",
                   "HTTP://x/status"):
        yield Row("the list, by another way", get(target), OK)
        yield Row("the list, by another way and by nobody", get(target, user=None), 401, "unauthorized")
    yield Row("a line that does not fit", get("/status?" + "a" * 8200, to_nginx=True), 414, "uri_too_long")
    yield Row("a line that does not fit", get("/" + "a" * 60000, to_nginx=True), 414, "uri_too_long")


# -- What is no HTTP, or nearly none

POST = b"POST /generate HTTP/1.1\r\nContent-Type: application/json\r\n"
HOST = b"Host: 127.0.0.1\r\n"
CLOSE = b"Connection: close\r\n\r\n"


def raw(world):
    who = b"".join(f"{name}: {value}\r\n".encode() for name, value in world.rig.identity("bob"))
    bad = 400, "bad_request"
    for version in (b"HTTP/0.9", b"HTTP/1.1x", b"http/1.1", b"HTTP/1.", b"HTTP/1.12345", b"HTTP/-1.1", b"ICY/1.0",
                    b"HTTP 1.1", b"HTTP/1,1", b"HTTP/2.0", b"HTTP/9.9"):
        yield Row("a version that is none", b"GET /status " + version + b"\r\n" + HOST + who + CLOSE, *bad)
    for what, data, status, code in (
            ("HTTP/1.0", b"GET /status HTTP/1.0\r\n" + who + b"\r\n", OK, None),
            ("HTTP/1.0 by nobody", b"GET /status HTTP/1.0\r\n\r\n", 401, "unauthorized"),
            ("HTTP/0.9", b"GET /status\r\n", NO_HEAD, None),
            ("bare line feeds", b"GET /status HTTP/1.1\nHost: x\n" + who + b"Connection: close\n\n", OK, None),
            ("empty lines before it", b"\r\n\r\nGET /status HTTP/1.1\r\n" + HOST + who + CLOSE, OK, None),
            ("carriage returns only", b"GET /status HTTP/1.1\rHost: x\r\r\n\r\n", *bad),
            ("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", *bad),
            ("TLS", bytes.fromhex("160301000a0100000603030000") + bytes(20) + b"\r\n\r\n", *bad),
            ("NULs", bytes(100) + b"\r\n\r\n", *bad),
            ("FastCGI", bytes.fromhex("01010001000800000001000000000000") * 2 + b"\r\n\r\n", *bad),
            ("SMTP", b"EHLO x\r\nMAIL FROM:<x@y>\r\n\r\n", *bad),
            ("a SOCKS greeting", b"\x05\x01\x00\r\n\r\n", *bad)):
        yield Row(what, data, status, code)
    for what, host in (("no host", b""), ("two hosts", HOST + HOST), ("an empty host", b"Host: \r\n"),
                       ("a host with a path", b"Host: a/b\r\n"),
                       ("a host with a blank", b"Host: a b\r\n"), ("a host of dots", b"Host: ..\r\n"),
                       ("a host with a NUL", b"Host: a\0b\r\n")):
        yield Row(what, b"GET /status HTTP/1.1\r\n" + host + who + CLOSE, *bad)
    for host in (b"evil.example", b"127.0.0.1:99999", b"[::1]", b"a" * 250, b"x@y", b"<script>", b"'"):
        yield Row("another's host", b"GET /status HTTP/1.1\r\nHost: " + host + b"\r\n" + who + CLOSE, OK)
    for line in (b"X Y: 1", b"X-Y : 1", b": 1", b"X\0: 1", b"X: \0", b"X: a\0b", b" folded: 1", b"\tfolded: 1",
                 b"Content-Length: -1", b"Content-Length: +5", b"Content-Length: 0x5", b"Content-Length: 5, 5",
                 b"Content-Length: 5;", b"Content-Length: 5 5", b"Content-Length: 99999999999999999999999",
                 b"Content-Length: ", b"Content-Length: 5\r\nContent-Length: 5",
                 b"Content-Length: 0\r\nContent-Length: 44", b"Content-Length: 5\r\nTransfer-Encoding: chunked",
                 b"Transfer-Encoding: chunked\r\nContent-Length: 5", b"Transfer-Encoding: gzip",
                 b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, chunked",
                 b"Transfer-Encoding: xchunked", b"Transfer-Encoding:\x0bchunked", b"Transfer-Encoding: identity",
                 b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", b"Transfer-Encoding: \"chunked\""):
        yield Row("a header that is none", POST + HOST + who + line + b"\r\n" + CLOSE, *bad)
    for line in (b"X-Y", b"X: \x01\x02\x1b", b"X: \xff\xfe", b"X_Y: 1", b"X:", b"Expect: 100-continue",
                 b"Expect: magic", b"Upgrade: h2c\r\nHTTP2-Settings: AAMA",
                 b"Upgrade: websocket\r\nSec-WebSocket-Key: x", b"TE: trailers", b"Proxy: http://evil.example:1",
                 b"X-Accel-Redirect: /sim-drop", b"X-Original-URL: /metrics", b"X-Rewrite-URL: /metrics",
                 b"X-HTTP-Method-Override: DELETE", b"Range: bytes=0-1"):
        yield Row("a header that means nothing", POST + HOST + who + line + b"\r\n" + CLOSE, *bad)


def chunks(world):
    who = b"".join(f"{name}: {value}\r\n".encode() for name, value in world.rig.identity("eve"))
    head = POST + HOST + who + b"Transfer-Encoding: chunked\r\n" + CLOSE
    for data in (b"2\r\n{}\r\n0\r\n\r\n", b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
                 b"2;ext=1\r\n{}\r\n0\r\nX-Injected: 1\r\n\r\n", b"0002\r\n{}\r\n0\r\n\r\n", b"2\n{}\n0\n\n"):
        yield Row("chunks", head + data, 400, "invalid_request")
    for data in (b"zz\r\n{}\r\n0\r\n\r\n", b"ffffffffffffffffff\r\n{}", b"-2\r\n{}\r\n0\r\n\r\n", b"2\r\n{}xx0\r\n\r\n",
                 b"0x2\r\n{}\r\n0\r\n\r\n", b" 2\r\n{}\r\n0\r\n\r\n", b"\r\n\r\n", b"7fffffffffffffff\r\n"):
        yield Row("chunks that are none", head + data, 400, "bad_request")
    yield Row("chunks without an end of it", head + b"100001\r\n" + b" " * (MEGABYTE + 1) + b"\r\n0\r\n\r\n", 413,
              "body_too_large")


def header_sizes(world):
    for size in (1000, 4000, 7000, 8000):
        yield Row("a long header", get("/status", [("X-Long", "a" * size)]), OK)
    for size in (8200, 16000, 64000):
        yield Row("a header that does not fit", get("/status", [("X-Long", "a" * size)], to_nginx=True), 431,
                  "headers_too_large")
        yield Row("a name that does not fit", get("/status", [("X" * size, "a")], to_nginx=True), 431,
                  "headers_too_large")
    for count, size in ((20, 1000), (400, 10)):
        yield Row("many headers", get("/status", [(f"X-{n}", "a" * size) for n in range(count)]), OK)
    for count, size in ((40, 1000), (2000, 10), (64, 1000)):
        yield Row("headers that do not fit", get("/status", [(f"X-{n}", "a" * size) for n in range(count)],
                                                 to_nginx=True), 431, "headers_too_large")


# -- Headers that mean something

PREFER = ("wait", "wait=", "wait=-1", "wait=+1", "wait=1.5", "wait=0x10", "wait=99999999999999999999999", "wait=1e9",
          'wait="0"', "wait=0, wait=60", ",,,,", ";;;", "=", "respond-async=false", "respond-async;wait",
          "RESPOND-ASYNC", "x" * 4000, ", " * 2000, "wait=0;" * 500, "handling=strict", "\u00e9", "return=minimal",
          "wait=\u0660", "%s%n", "wait=0\x01")
TRACE = ("", "00", "garbage", "00-" + "0" * 32 + "-" + "0" * 16 + "-00", "ff-" + "a" * 32 + "-" + "b" * 16 + "-01",
         "00-" + "A" * 32 + "-" + "B" * 16 + "-01", "00-" + "a" * 33 + "-" + "b" * 16 + "-01",
         "00-" + "a" * 32 + "-" + "b" * 16 + "-01-extra", "x" * 4000, "00-" + "g" * 32 + "-" + "b" * 16 + "-01",
         '"}{"x":"', "\u00e9" * 20, "\x01")
TAGS = ("", '"', '""', '"v"', "v1", '"v99999999999999999999"', '"v-1"', "W/", "W/W/\"v1\"", ",,,", '"\x01"', '"v1',
        "x" * 4000, '"a",' * 1000, "\u00e9", "%00")
LAST = ("-1", "0", "x", "", "1.5", "0x1", "99999999999999999999999999", "-99999999999999999999999999", "1 1", "\u0661",
        "x" * 4000, "'; DROP TABLE generation_jobs; --", "%0d%0aX-Injected: 1", "NaN")
MEANINGLESS = (("Range", "bytes=0-0"), ("Range", "bytes=" + "0-1," * 500), ("Range", "x" * 1000), ("If-Match", '"x"'),
               ("If-Modified-Since", "garbage"), ("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT"),
               ("If-Range", "x"), ("Accept", "image/png"), ("Accept", "*/*;q=0"), ("Accept", "text/event-streamx"),
               ("Accept", "x" * 4000), ("Accept-Encoding", "br;q=0, *;q=0"), ("Accept-Language", "\u00e9"),
               ("Content-Type", "multipart/form-data"), ("Content-Encoding", "gzip"), ("Cookie", "a=b; " * 500),
               ("Origin", "null"), ("Origin", "https://evil.example"), ("Referer", "javascript:alert(1)"),
               ("X-Forwarded-For", "127.0.0.1, ' OR 1=1"), ("X-Forwarded-Host", "evil.example"),
               ("X-Forwarded-Proto", "ftp"), ("Forwarded", "for=\"_x\";host=evil"), ("X-Real-IP", "::1"),
               ("X-Request-Id", "injected"),
               ("Request-Id", "x"), ("Via", "x" * 1000), ("Max-Forwards", "-1"), ("DNT", "\x01"),
               ("User-Agent", "() { :;}; echo x"), ("User-Agent", "${jndi:ldap://x}"), ("Host-Override", "x"),
               ("Expect", "x"), ("From", "\x7f"), ("Remote-User", "ann"), ("Auth-User", "ann"), ("X-User", "ann"),
               ("Script-Name", "/x"), ("Path-Info", "/metrics"), ("Gateway-Interface", "CGI/1.1"))
KEYS = ("", " ", "two words", "k" * 256, "k" * 4000, "schl\u00fcssel", "tab\there", "\x01", "a\x7f", "\x1b[31m")
KEYS_THAT_ARE_SOME = ("k", "k" * 255, '"quoted"', "';DROP/**/TABLE/**/x;--", "%00", "%s%n", "../../x", "{}", "null",
                      "__proto__", "<script>", "a,b")


def headers(world):
    done = f"/status/{world.done['id']}"
    good = {"prompt": "x"}
    for value in PREFER:
        yield Row("Prefer", get(done, [("Prefer", value)]), OK)
        yield Row("Prefer", post(good, [("Prefer", value)], user="ann"), 409, "generation_in_flight")
        yield Row("Prefer", Request("POST", at("/generate/{id}/cancel", world.done), [("Prefer", value)], user="bob"),
                  409, "conflict")
    for value in TRACE:
        yield Row("traceparent", get(done, [("traceparent", value)]), OK)
        yield Row("traceparent", post(good, [("traceparent", value), ("tracestate", value)], user="ann"), 409,
                  "generation_in_flight")
    for value in TAGS:
        yield Row("If-None-Match", get(done, [("If-None-Match", value)]), OK)
    for value in LAST:
        yield Row("Last-Event-ID", get(done, [("Last-Event-ID", value)]), OK)
        yield Row("Last-Event-ID of a stream", get(done, [("Last-Event-ID", value), ("Accept", "text/event-stream")]),
                  OK)
        yield Row("Last-Event-ID of nobody's stream", get(done,
                                                          [("Last-Event-ID", value), ("Accept", "text/event-stream")],
                                                          user="eve"), 404, "not_found")
    for name, value in MEANINGLESS:
        yield Row("a header that means nothing", get(done, [(name, value)]), OK)
        yield Row("a header that means nothing", get("/status", [(name, value)]), OK)
        yield Row("a header that means nothing, by nobody", get(done, [(name, value)], user=None), 401, "unauthorized")
    for value in KEYS:
        yield Row("a key that is none", post(good, [("Idempotency-Key", value)]), 400, "bad_request")
        yield Row("a key that is none", Request("POST", at("/generate/{id}/retry", world.failed),
                                                [("Idempotency-Key", value)], user="cat"), 400, "bad_request")
    for value in KEYS_THAT_ARE_SOME:
        yield Row("a key that is one", post(good, [("Idempotency-Key", value)], user="ann"), 409,
                  "generation_in_flight")
    for body in ({"prompt": "other"}, {"prompt": "done", "seed": 1}, {"prompt": "done", "metadata": {}},
                 {"prompt": "Done"}, {"prompt": "done "}):
        yield Row("a key with another request", post(body, [("Idempotency-Key", "bobs")], user="bob"), 422,
                  "idempotency_key_reused")
    yield Row("a key with its request", post({"prompt": "done"}, [("Idempotency-Key", "bobs")], user="bob"), OK)
    yield Row("two keys", post(good, [("Idempotency-Key", "a"), ("Idempotency-Key", "b")], user="ann"), 409,
              "generation_in_flight")


# -- Queries

def queries(world):
    token = world.token
    for query in ("limit=0", "limit=101", "limit=-1", "limit=+1", "limit=1e1", "limit=0x1", "limit=", "limit",
                  "limit=1&limit=2", "limit=99999999999999999999", "limit=%00", "limit=1%00", "limit=1%", "limit=%zz",
                  "limit=1;x", "limit[]=1", "status=", "status=done", "status=Succeeded", "status=succeeded,",
                  "status=,succeeded", "status=succeeded%00", "status=succeeded&status=failed", "status=*",
                  "status=%27%20OR%201=1", "status=" + "succeeded," * 700, "cursor=", "cursor=x", "cursor=" + "A" * 80,
                  "cursor=" + "A" * 7000, "cursor=%00", "cursor=" + token, "cursor=" + world.done["id"],
                  "cursor=" + "=" * 20, "cursor=%2e%2e%2f", "cursor=a&cursor=b", "unknown=1", "=", "=1", "%00=1",
                  "%6cimit=1x", "x" * 7000, "&".join(f"a{n}=1" for n in range(500)), "owner_id=" + str(uuid.uuid4()),
                  "__proto__[x]=1", "limit=1&%00", "Limit=1", "order=created_at", "select=*", "%0d%0aX-Injected:%201"):
        yield Row("a query that is none", get("/status?" + query), 400, "invalid_request")
        yield Row("a query that is none, by nobody", get("/status?" + query, user=None), 401, "unauthorized")
        yield Row("a query that is none", Request("HEAD", "/status?" + query, user="bob"), 400, "invalid_request")
    for query in ("x=1", "%00", "id=" + str(uuid.uuid4()), "&&&", "a" * 7000):
        yield Row("a query that means nothing", get(f"/status/{world.done['id']}?{query}"), OK)


# -- Bodies

TYPES = ("", "text/plain", "text/json", "application/jsonp", "application/json+x", "application/problem+json",
         "application/x-www-form-urlencoded", "application/xml", "application/octet-stream", "application/JSON2",
         "json", "*/*", "application/", "/json", "application/json,text/plain", "text/plain, application/json",
         "application\\json", "application/json/x", "application/js on", "\u00e9", "a" * 4000)
TYPES_OF_JSON = ("application/json", "APPLICATION/JSON", "Application/Json", "application/json;",
                 "application/json; charset=utf-8", "application/json;charset=utf-16", "application/json ; x",
                 "application/json; boundary=x", "application/json;" + "x" * 4000)


def types(world):
    for kind in (None, *TYPES):
        yield Row("another content type", post({"prompt": "x"}, kind=kind), 415, "unsupported_media_type")
    for kind in TYPES_OF_JSON:
        yield Row("JSON by another name", post({}, kind=kind), 400, "invalid_request")


def sizes(world):
    """Around the limits, gengate's and nginx's; and what is announced and not sent."""
    for size in (0, 1, 999999, 1000000):
        yield Row(f"{size} bytes", post(b" " * size), 400, "bad_request")
    yield Row("the largest that is read", post(b"{}" + b" " * 999998), 400, "invalid_request")
    for size in (1000001, MEGABYTE - 1, MEGABYTE, MEGABYTE + 1, 3 * MEGABYTE, 20 * MEGABYTE):
        yield Row(f"{size} bytes", post(b" " * size), 413, "body_too_large")
    for size in (NGINX_MAX + 1, 1 << 31, 1 << 32, 1 << 62):
        yield Row(f"{size} bytes, announced", post(b"{}", [("Content-Length", str(size))]), 413, "body_too_large")
    for path, method, _ in operations():
        if path.startswith("/status"):
            for size in (1025, 5000, MEGABYTE):
                yield Row(f"{size} bytes", Request(method, at(path, world.done), body=b" " * size, user="bob"), 413,
                          "body_too_large")
            for size in (1, 1024):
                yield Row(f"{size} bytes that nobody reads", Request(method, at(path, world.done), body=b" " * size,
                                                                     user="bob"), OK)
    for path in ("/generate/{id}/cancel", "/generate/{id}/retry"):
        yield Row("a body that nobody reads", Request("POST", at(path, world.done), body=b"{}" * 5000, user="bob"), 409,
                  "conflict")
    yield Row("less than was announced", post(b"{}", [("Content-Length", "50")], half_close=True), CLOSED)


NO_JSON = (b"", b" ", b"{", b"}", b"[", b"]", b"{]", b"nul", b"not json", b"{'prompt': 'x'}", b"{prompt: 'x'}",
           b'{"prompt": "x",}', b'{"prompt" "x"}', b'{"prompt": "x"} x', b'{"prompt": "x"}{"prompt": "x"}',
           b'{"prompt": "x"}\0', b"\0", b"\xff", b'{"prompt": "x\xff\xfe"}', b'{"prompt": "\xc0\xae"}',
           b'{"prompt": "\xed\xa0\x80"}', b'{"prompt": "\xf4\x90\x80\x80"}', b'{"prompt": "\xe2\x82"}',
           b'{"prompt": "x"}"\\\xd8\xff', b'{"prompt": "\\\xc3"}',
           '{"prompt": "x"}'.encode("utf-16"), '{"prompt": "x"}'.encode("utf-16-le"),
           '{"prompt": "x"}'.encode("utf-32"), b"\xef\xbb\xbf" + b'{"prompt": "x"}', b'{"prompt": "\\ud800"}',
           b'{"prompt": "\\udc00\\ud800"}', b'{"prompt": "\\u12"}', b'{"prompt": "\\x41"}', b'{"prompt": "a\nb"}',
           b'{"prompt": "a\tb"}', b'{"prompt": "a\0b"}', b'{"prompt": "x", "prompt": "y"}',
           b'{"prompt": "x", "\\u0070rompt": "y"}', b'{"prompt": "x", "metadata": {"a": 1, "a": 2}}',
           b'{"a\\u0000b": 1}', b'{"prompt": "x", "seed": NaN}', b'{"prompt": "x", "seed": Infinity}',
           b'{"prompt": "x", "seed": 1e400}', b'{"prompt": "x", "seed": 01}', b'{"prompt": "x", "seed": +1}',
           b'{"prompt": "x", "seed": .5}', b'{"prompt": "x", "seed": 0x10}',
           b'{"prompt": "x", "seed": ' + b"9" * 400 + b"}", b'{"prompt": "x", "seed": -}', b'{"prompt": "x" /* c */}',
           b'{"prompt": "x"} // c', b"[" * 5000, b"[" * 500000, b'{"a":' * 5000,
           b'{"a":' * 100000 + b"1" + b"}" * 100000, b"[" * 3000 + b"]" * 3000, b'"' + b"a" * 900000,
           b'{"prompt": "' + b"\\u0041" * 100000, b"<xml/>", b"prompt=x", b"--x\r\nContent-Disposition: form-data\r\n",
           b"\x1f\x8b\x08\0", b"PK\x03\x04", b'["x"]', b'"x"', b"null", b"true", b"5", b"1e5", b"[]",
           b'[{"prompt": "x"}]')

def forms(world):
    """Forms, most of which are none."""
    def form(*parts, end=b"--B--\r\n"):
        return b"".join(b"--B\r\n" + part + b"\r\n" for part in parts) + end

    def field(name, value=b"x", more=b""):
        return b'Content-Disposition: form-data; name="' + name + b'"' + more + b"\r\n\r\n" + value
    good, of_forms = field(b"prompt"), "multipart/form-data; boundary=B"
    for kind in ("multipart/form-data", "multipart/form-data; boundary=", 'multipart/form-data; boundary="',
                 "multipart/form-data; boundary=" + "b" * 71, "multipart/form-data; boundary=C",
                 "multipart/form-data; Boundary", "multipart/form-data; xboundary=B",
                 "multipart/form-data; boundary=B\x01", "multipart/form-data; boundary=\u00e9"):
        yield Row("a form without its boundary", post(form(good), kind=kind), 400, "bad_request")
    for kind in ("multipart/mixed; boundary=B", "multipart/form-datax; boundary=B", "multipart", "multipart/*"):
        yield Row("another form", post(form(good), kind=kind), 415, "unsupported_media_type")
    for what, body in (("nothing", b""), ("no delimiter", b"x"), ("half of one", b"--B"), ("no part", b"--B\r\n"),
                       ("no end", form(good, end=b"")), ("half an end", form(good, end=b"--B-")),
                       ("a delimiter with more", form(good, end=b"--Bx\r\n")),
                       ("no headers", form(b"\r\nx")), ("no name", form(b"Content-Disposition: form-data\r\n\r\nx")),
                       ("another disposition", form(b'Content-Disposition: attachment; name="prompt"\r\n\r\nx')),
                       ("a name without an end", form(b'Content-Disposition: form-data; name="prompt\r\n\r\nx')),
                       ("a long name", form(field(b"n" * 128))), ("a name of NUL", form(field(b"pro\0mpt"))),
                       ("a name of other bytes", form(field(b"\xff\xfe"))),
                       ("a name and a value of other bytes", form(field(b"\xff\xfe", b"\xff\xfe"))),
                       ("a file of such a name", form(field(b"\xff", more=b'; filename="x"'))),
                       ("long headers", form(field(b"prompt", more=b"\r\nX: " + b"a" * 5000))),
                       ("headers without an end", b"--B\r\n" + b"X: 1\r\n" * 2000),
                       ("many parts", form(*[field(b"a%d" % n) for n in range(201)])),
                       ("a field twice", form(good, good)), ("no UTF-8", form(field(b"prompt", b"\xff"))),
                       ("line feeds only", form(good).replace(b"\r\n", b"\n")),
                       ("JSON", b'{"prompt": "x"}')):
        yield Row(f"a form of {what}", post(body, kind=of_forms), 400, "bad_request")
    for pointer, parts in (("/prompt", []), ("/prompt", [field(b"prompt", b"")]),
                           ("/prompt", [field(b"prompt", b"a\0b")]), ("/count", [good, field(b"count", b"x")]),
                           ("/count", [good, field(b"count", b"0")]), ("/count", [good, field(b"count", b"1e0")]),
                           ("/seed", [good, field(b"seed", b"-1")]), ("/metadata", [good, field(b"metadata", b"{")]),
                           ("/metadata", [good, field(b"metadata", b"[]")]),
                           ("/params", [good, field(b"params", b'{"a": 1, "a": 2}')]),
                           ("/surprise", [good, field(b"surprise")]), ("/__proto__", [good, field(b"__proto__")]),
                           ("/", [good, field(b"")]), ("/prompt", [field(b"prompt", more=b'; filename="x"')]),
                           ("/x", [good, field(b"x", more=b'; filename="x"')]),
                           ("/inputs /inputs/0", [good, field(b"inputs", more=b'; filename="../../etc/passwd"')])):
        yield Row("a mistake in a form", post(form(*parts), kind=of_forms), 400, "invalid_request",
                  pointers=pointer.split(" "))
    yield Row("a form by one in flight", post(form(good), kind=of_forms, user="ann"), 409, "generation_in_flight")
    yield Row("a form by nobody", post(form(good), kind=of_forms, user=None), 401, "unauthorized")
    for origin in ("https://evil.example", "null", "http://127.0.0.1.evil.example", "x"):
        yield Row("a form of another site's page", post(form(good), [("Origin", origin)], kind=of_forms), 403,
                  "forbidden")
    yield Row("more text than is read", post(form(field(b"prompt", b"x" * 1000001)), kind=of_forms), 413,
              "body_too_large")
    yield Row("more than nginx takes", post(form(good), [("Content-Length", str(NGINX_MAX + 1))], kind=of_forms), 413,
              "body_too_large")


OK_BODY = {"prompt": "x"}
# A pointer to each mistake, and what has it.
MISTAKES = (
    ("/prompt", {}), ("/prompt", {"prompt": ""}), ("/prompt", {"prompt": " \n\t\r\v\f"}), ("/prompt", {"prompt": None}),
    ("/prompt", {"prompt": 5}), ("/prompt", {"prompt": True}),
    ("/prompt", {"prompt": ["x"]}), ("/prompt", {"prompt": {"$ne": None}}), ("/prompt", {"prompt": "a\0b"}),
    ("/prompt", {"prompt": "\0"}), ("/prompt", {"prompt": "x" * 32769}), ("/prompt", {"prompt": "\u00e9" * 16385}),
    *(("/negative_prompt", {**OK_BODY, "negative_prompt": v}) for v in (None, 5, [], {}, "a\0", "x" * 32769)),
    *(("/model", {**OK_BODY, "model": v}) for v in (None, 5, [], {}, "", "nobody", "painter\0", "Painter", "../models",
                                                    "' OR 1=1 --", "__proto__", "x" * 9000, "painter ")),
    *(("/count", {**OK_BODY, "count": v}) for v in (None, 0, -1, 5, 101, 1.5, 1.0, "1", True, [1], {}, 2 ** 31,
                                                    2 ** 63 - 1, -2 ** 63)),
    *(("/seed", {**OK_BODY, "seed": v}) for v in (None, -1, 2 ** 32, 2 ** 53, 2 ** 63 - 1, 0.5, 1e300, "0", False, [],
                                                  {})),
    *(("/width", {**OK_BODY, "height": 512, "width": v}) for v in (None, 0, 15, 8193, -512, 2 ** 31, 512.5, "512",
                                                                   [512], True)),
    *(("/height", {**OK_BODY, "width": 512, "height": v}) for v in (None, 0, 15, 8193, "512", {})),
    ("/width", {**OK_BODY, "width": 512}), ("/height", {**OK_BODY, "height": 512}),
    *(("/aspect_ratio", {**OK_BODY, "aspect_ratio": v}) for v in (None, "", "1", "1:", ":1", "0:1", "1:0", "01:1",
                                                                  "1:1:1", "1000:1", "-1:1", "1/1", "1:1\0", " 1:1", 1,
                                                                  1.5, ["1:1"], "\u0661:1")),
    *(("/format", {**OK_BODY, "format": v}) for v in (None, "", "PNG", "exe", "svg", "png\0", "png ", 5, ["png"],
                                                      "../png")),
    *(("/params", {**OK_BODY, "params": v}) for v in (None, [], "x", 5, {"a": "x" * 9000}, {"a": "\0"})),
    *(("/metadata", {**OK_BODY, "metadata": v}) for v in (None, [], "x", 5, {"a": "x" * 9000}, {"a": "\0"},
                                                          {"a": 1e19})),
    *(("/" + name, {**OK_BODY, name: 1}) for name in ("__proto__", "constructor", "prototype", "Prompt", "owner_id",
                                                      "id", "status", "user", "webhook", "$where", "", " ", "prompt ")),
    ("/a~1b~0c", {**OK_BODY, "a/b~c": 1}), ("", {**OK_BODY, "x" * 2000: 1}),
    ("/\u00e9\r\n", {**OK_BODY, "\u00e9\r\n": 1}),
)


def bodies(world):
    for body in NO_JSON:
        yield Row(f"what is no request: {body[:20]!r}", post(body), 400, "bad_request")
    for pointer, body in MISTAKES:
        yield Row(f"a mistake at {pointer[:20]!r}", post(body), 400, "invalid_request", pointers=[pointer])
    deep = {}
    for _ in range(100):
        deep = {"a": deep}
    for name in ("params", "metadata"):
        yield Row("a deep object", post({**OK_BODY, name: deep}), 400, "invalid_request", pointers=["/" + name])
    many = {f"m{n}": n for n in range(20000)}
    yield Row("many members", post({**OK_BODY, **many}), 400, "invalid_request")


# What is taken, and has to come out as it went in: to the provider, and back to the client.
TEXTS = ("'; DROP TABLE generation_jobs; --", "$1", "$prompt", "$seed", "${prompt}", "{{7*7}}", "{prompt}", "%s%n%x",
         "%00", "\\0", "\\u0000", "a\r\nX-Injected: 1\r\n\r\n", "\t\v\f\x1b[31m\x7f", "<script>alert(1)</script>",
         '"}, "webhook": "http://evil.example/', "$(id) `id` | id; id &", "../../etc/passwd", "null", "__proto__",
         "\u202etxt.exe", "\ufeffx", "\ufffe\uffff", "\U0001f600\u200d\U0001f525", "e\u0301" * 50, "\u0661\u0662",
         "\x01\x02", "x" * 32768, "\u00e9" * 16384, "---\n- &a [*a]", "=cmd|' /C calc'!A0",
         "id: 1\nevent: status\ndata: {}\n\n")


# -- Webhooks

def forged(world):
    """Webhooks that are not the provider's."""
    path, body = world.hook, json.dumps({"id": world.prediction, "status": "failed", "error": "forged"}).encode()
    good, refused = world.rig.signed(body), (401, "invalid_signature")

    def hook(headers, sent=body):
        return Request("POST", path, list(headers.items()), sent)
    yield Row("no signature", hook({"Content-Type": JSON}), *refused)
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        yield Row("no " + name, hook({k: v for k, v in good.items() if k != name}), *refused)
        for value in ("", " ", "x", "\u00e9", "\x01", "a" * 7000, "%00", "v1,", "null"):
            yield Row("another " + name, hook({**good, name: value}), *refused)
    for what, signing in (("old", {"at": world.now - 400}), ("of tomorrow", {"at": world.now + 400}),
                          ("of 1970", {"at": 0}), ("before 1970", {"at": -1}), ("of a far time", {"at": 2 ** 63}),
                          ("at no time", {"at": "soon"}), ("at half a second", {"at": f"{world.now}.5"}),
                          ("with a blank", {"at": f" {world.now}"}), ("in hex", {"at": hex(world.now)}),
                          ("in milliseconds", {"at": world.now * 1000}),
                          ("by another secret", {"secret": "whsec_" + "QUJD" * 8})):
        yield Row("one that is " + what, hook(world.rig.signed(body, **signing)), *refused)
    right = good["webhook-signature"]
    for value in (right[3:], right[:-1], right[:-4] + "AAA=", right.replace("v1,", "v1a,"), right.replace("v1,", "v2,"),
                  right.replace("v1,", "V1,"), right.replace(",", " "), "v1," + right[3:][::-1], right.replace("=", ""),
                  "v1," + "A" * 43 + "=", ("v1," + "A" * 43 + "= ") * 100, "v1,=", "v1a," + right[3:]):
        if value != right:
            yield Row("another signature", hook({**good, "webhook-signature": value}), *refused)
    for sent in (body + b" ", b" " + body, body[:-1], b"", body.replace(b"failed", b"succeed"), body * 2,
                 b"\xef\xbb\xbf" + body):
        yield Row("other bytes", hook(good, sent), *refused)


def addressed(world):
    """Webhooks with a good signature and another address."""
    body = json.dumps({"id": world.prediction, "status": "failed", "error": "misled"}).encode()
    base, token = "/webhooks/replicate", world.token

    def hook(target):
        return Request("POST", target, list(world.rig.signed(body).items()), body)
    for target in (base, base + "?job", base + "?job=", f"{base}?token={token}", f"{base}?Job={token}",
                   f"{base}?job={token}&job={token}", f"{base}?job={token}%", f"{base}?job={token}%00",
                   f"{base}?job=%00", base + "?job=" + "A" * len(token), base + "?job=" + "A" * 7000,
                   f"{base}?job={token}A", f"{base}?job={token}AAAA", f"{base}?job={token}=", f"{base}?job=.{token}",
                   f"{base}?job={token}%20", f"{base}?job={token[::-1]}", f"{base}?job={token.lower()}",
                   f"{base}?job={world.running['id']}", f"{base}?job={world.cursor}",
                   *(f"{base}?job={token[:n]}" for n in range(0, len(token), 7)),
                   *(f"{base}?job={token[:n]}{'B' if token[n] == 'A' else 'A'}{token[n + 1:]}"
                     for n in range(0, len(token) - 1, 5)),
                   *(f"/webhooks/{name}?job={token}" for name in ("", "replica", "Replicate", "nobody", "replicate/x",
                                                                  "..%2fx", "x" * 127, "x" * 500, "replicate%20"))):
        yield Row("an address that is none", hook(target), 404, "not_found")


def told(world, body, job=None, **headers):
    """A webhook as the provider would send it."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request("POST", job or world.hook, list({**world.rig.signed(body), **headers}.items()), body)


def news(world):
    """Webhooks with a good signature and address whose content is none, or about nobody."""
    made = world.prediction

    def hook(body, job=None, **headers):
        return told(world, body, job, **headers)
    for body in (b"", b" ", b"{", b"[]", b"null", b"true", b"5", b'"text"', b"\xff", b"\0", b"{}", b"[" * 100000,
                 b'{"a":' * 5000, b"<xml/>", b"id=x&status=failed",
                 {"id": made}, {"status": "failed"}, {"id": None, "status": "failed"}, {"id": 5, "status": "failed"},
                 {"id": [made], "status": "failed"}, {"id": {"a": made}, "status": "failed"},
                 {"id": "", "status": "failed"},
                 {"id": made, "status": None}, {"id": made, "status": 5}, {"id": made, "status": ["failed"]},
                 {"id": made, "status": {}}, {"id": made, "status": True}, {"id": made, "status": "failed\0"},
                 {"id": made + "\0", "status": "failed"}, {"id": made * 20, "status": "failed"},
                 {"ID": made, "Status": "failed"}, json.dumps({"id": made, "status": "failed"}).encode()[:-1],
                 json.dumps({"id": made, "status": "failed"}).encode("utf-16")):
        yield Row(f"news that are none: {str(body)[:40]}", hook(body), 400, "bad_request")
    for size in (8000001, 8 * MEGABYTE + 1, 9 * MEGABYTE):
        yield Row(f"{size} bytes", Request("POST", world.hook, list(world.rig.signed(b"x").items()), b" " * size), 413,
                  "body_too_large")
    yield Row("the most that is read", hook(json.dumps({"id": made, "status": "processing"}).encode() + b" " * 7999900),
              OK)
    for status in ("starting", "processing", "succeeded", "failed", "canceled", "aborted", "dreaming", "", "Failed",
                   "failed ", "x" * 5000):
        for user in ("done", "failed", "canceled"):
            yield Row("news after the end", hook({"id": world.made[user], "status": status, "output": [], "error": "x"},
                                                 world.hooks[user]), OK)
    for status in ("starting", "dreaming", "", "Failed", "SUCCEEDED", "failed ", "\u0430borted", "\r\nfailed"):
        yield Row("a status that nobody knows, or an old one", hook({"id": made, "status": status}), OK)
    for kind in ("text/plain", "", "application/xml", "application/json; charset=utf-16", "x" * 4000):
        yield Row("another content type", hook({"id": made, "status": "processing"}, **{"Content-Type": kind}), OK)


def news_of_others(world):
    """Webhooks with a good signature for ann's job about other predictions: they are looked at, by the provider's own
    record, and move nothing."""
    made = world.prediction
    for status in ("starting", "processing", "succeeded", "failed", "canceled", "aborted", "dreaming"):
        for one in ("another", world.made["done"], world.made["other"]):
            yield Row("news of another prediction", told(world, {"id": one, "status": status, "error": "x",
                                                                 "output": ["https://evil.example/x.png"]}), OK)
    for one in (made.upper() + "X", made + " ", "../" + made, made[:-1], "x" * 200, "' OR 1=1 --", "\u00e9", "%s%n",
                "a/cancel", "?x=", "#", "\r\nX-Injected: 1"):
        yield Row("an id that is another", told(world, {"id": one, "status": "failed"}), OK)
