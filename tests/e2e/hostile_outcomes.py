"""What providers say they have made, what is there when it is fetched, and what a storage answers: how the job has
to end.  `None` is a success.  A scripted server (scripted.py) has the outputs and is the storage."""

import base64
import gzip
import json
import struct
import zlib

from scripted import reply

LOST, NOTHING, KIND = "outputs_lost", "no_output", "output_type"


def png(width=16, height=16):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes(3 * width) for _ in range(height))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


PICTURE = png()
DATA = "data:image/png;base64," + base64.b64encode(PICTURE).decode()
MAX_OUTPUT = 1000 * 1000        # max_output_bytes of these tests

# The member `output` of a prediction that has succeeded: nothing of it is fetched.
OUTPUTS = (
    *((f"{json.dumps(value)[:40]} as output", value, NOTHING) for value in (
        None, 5, True, "", " ", "x", [], {}, [None], [[]], [5, False], {"a": {"b": []}}, "javascript:alert(1)",
        "file:///etc/passwd", "ftp://x/y", "gopher://x", "//evil.example/x", "https:/x", " https://x/y",
        "blob:https://x", "unix:/run/x", "https://evil.example/\0.png", {"https://evil.example/x": 1}, "\u0000")),
    *((f"an output at {url[:50]}", url, LOST) for url in (
        "http://169.254.169.254/latest/meta-data/", "https://169.254.169.254/", "https://127.0.0.1/", "https://127.1/",
        "https://localhost/x", "https://[::1]/x", "https://[::ffff:127.0.0.1]/", "https://0/", "https://0x7f000001/",
        "https://2130706433/", "https://017700000001/", "https://10.0.0.1/",
        "https://replicate.delivery.evil.example/x", "https://evil.example/replicate.delivery",
        "https://xreplicate.delivery/", "https://replicate.delivery@evil.example/x",
        "https://user:pw@replicate.delivery/x", "http://replicate.delivery/x",
        "https://evil.example\\@replicate.delivery/", "https://evil.example#@replicate.delivery/",
        "https://replicate.delivery%2eevil.example/", "https://replicate.delivery%00.evil.example/",
        "https://replicate.delivery:99999/x", "https://replicate.delivery:x/", "https:///x", "https://", "http://",
        "https://[::1", "https://a b/", "https://" + "a" * 300 + "/", "http://127.0.0.1:1/x", "http://127.0.0.1:22/",
        "https://\u0440eplicate.delivery/x", "https://replicate.delivery\r\nX-Injected: 1/")),
    *((f"inline: {uri[:40]}", uri, end) for uri, end in (
        (DATA, None), (DATA.replace("image/png", "text/html"), None),
        ("DATA:image/png;base64," + DATA.partition(",")[2], None), ("data:image/png;base64,!!!!", LOST),
        ("data:image/png;base64", LOST), ("data:", LOST),
        ("data:,x", LOST), ("data:image/png,%89PNG", LOST), ("data:;base64,", KIND),
        ("data:text/html;base64," + base64.b64encode(b"<script>alert(1)</script>").decode(), KIND),
        ("data:image/svg+xml;base64," + base64.b64encode(b"<svg onload='x'/>").decode(), KIND),
        ("data:image/png;base64," + "A" * 1400000, LOST))),
    ("a hundred times the same", [DATA] * 100, None),
    ("deep below", json.loads("[" * 30 + '"' + DATA + '"' + "]" * 30), None),
    ("too deep below", json.loads("[" * 40 + '"' + DATA + '"' + "]" * 40), NOTHING),
)

# What is answered where an output is said to be.
FETCHED = (
    ("a picture", [reply(body=PICTURE, headers=[("Content-Type", "image/png")])], None),
    ("a picture called a page", [reply(body=PICTURE, headers=[("Content-Type", "text/html")])], None),
    ("a picture without a type", [reply(body=PICTURE)], None),
    ("a page called a picture", [reply(body=b"<html><script>alert(1)</script>",
                                       headers=[("Content-Type", "image/png")])], KIND),
    ("a picture squeezed unasked", [reply(body=gzip.compress(PICTURE),
                                          headers=[("Content-Encoding", "gzip"), ("Content-Type", "image/png")])],
                                          KIND),
    ("a bomb", [reply(body=gzip.compress(bytes(50 << 20)), headers=[("Content-Encoding", "gzip")])], KIND),
    ("nothing", [reply()], KIND),
    ("a picture as large as may be", [reply(body=PICTURE + bytes(MAX_OUTPUT - len(PICTURE)))], None),
    ("one byte more", [reply(body=PICTURE + bytes(MAX_OUTPUT + 1 - len(PICTURE)))], LOST),
    ("more than may be, without a length", [reply(body=PICTURE + bytes(3 * MAX_OUTPUT), length="")], LOST),
    ("more than may be, announced", [reply(body=PICTURE, length=1 << 62)], LOST),
    ("a length that is none, then a picture", [reply(body=PICTURE, length=-1), reply(body=PICTURE)], None),
    ("less than announced, then all", [reply(body=PICTURE[:40], length=len(PICTURE)), reply(body=PICTURE)], None),
    ("no HTTP, then a picture", [b"\x89PNG\r\n\x1a\n", reply(body=PICTURE)], None),
    ("no answer, then a picture", [b"", reply(body=PICTURE)], None),
    ("headers without an end, then a picture", [b"HTTP/1.1 200 x\r\n" + b"X: " + b"a" * 2000000, reply(body=PICTURE)],
     None),
    ("broken chunks, then a picture", [b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                                       reply(body=PICTURE)], None),
    ("pieces of it", [[reply(body=PICTURE)[:60], reply(body=PICTURE)[60:]]], None),
    *((f"status {status}", [reply(status, PICTURE)], LOST) for status in (201, 204, 206, 300, 304, 305, 400, 402, 405,
                                                                          418, 451)),
    *((f"status {status}, then a picture", [reply(status, PICTURE), reply(body=PICTURE)],
       None) for status in (408, 429, 500, 502, 503, 599)),
    *((f"it is said to be at {to[:40]!r}", [reply(302, headers=[("Location", to)])], LOST) for to in (
        "http://169.254.169.254/latest/meta-data/", "https://127.0.0.1/", "https://evil.example/x",
        "file:///etc/passwd", "data:image/png;base64,AAAA", "javascript:alert(1)", "//evil.example/x", "http://",
        "https://user:pw@replicate.delivery/", "gopher://127.0.0.1:6379/_FLUSHALL", "http://[::1]:1/", "/round", "?",
        "http://127.0.0.1:1/")),
    *((f"moved by {status} to a picture", [reply(status, headers=[("Location", "/picture")])],
       None) for status in (301, 302, 303, 307, 308)),
    ("moved to a very long path, where there is something else", [reply(302, headers=[("Location", "a" * 9000)])],
     KIND),
    ("moved to nowhere", [reply(302)], LOST),
)


def refusal(code, status="400", http=400, **more):
    """As Supabase Storage refuses."""
    return reply(http, json.dumps({"statusCode": status, "error": "x", "message": "refused", "code": code, **more}),
                 [("Content-Type", "application/json")])


KEPT = reply(body=b'{"Key":"x"}')

# What the storage answers to an upload: first this, then that it is kept.
STORED = (
    *((f"{code}, for good", [refusal(code, status)], LOST) for code,
      status in (("EntityTooLarge", "413"), ("InvalidKey", "400"), ("InvalidMimeType", "415"),
                 ("SomethingNew", "400"))),
    *((f"{code}, for a while", [refusal(code, status, http), KEPT], None) for code, status, http in (
        ("AccessDenied", "403", 400), ("NoSuchBucket", "404", 400), ("InvalidJWT", "400", 400),
        ("InvalidRequest", "400", 400), ("InternalError", "500", 500), ("DatabaseTimeout", "544", 544),
        ("SlowDown", "429", 429), ("ResourceLocked", "423", 400),
        ("LockTimeout", "423", 423), ("DatabaseReadOnly", "503", 503), ("Aborted", "499", 400),
        ("NoSuchKey", "404", 400), ("SomethingNew", "500", 400))),
    *((what, [answer, KEPT], None) for what, answer in (
        ("a proxy's page", reply(502, "<html>Bad Gateway</html>")),
        ("a body cut short", reply(400, '{"error":"Bad Request","message":"Client Error","statusCode":400}')),
        ("nothing", b""), ("no HTTP", b"garbage\r\n\r\n"),
        ("a redirect to elsewhere", reply(302, headers=[("Location", "http://evil.example/")])),
        ("a redirect inside", reply(307, headers=[("Location", "http://169.254.169.254/")])),
        ("no JSON", reply(500, "{")),
        ("other types in it", reply(500, '{"statusCode": [], "code": {}, "message": 5}')),
        ("a deep one", reply(500, "[" * 100000)), ("a huge one", reply(500, "x" * 20000000)), ("401", reply(401)),
        ("403", reply(403)), ("404", reply(404)), ("status 1000", b"HTTP/1.1 1000 x\r\n\r\n"),
        ("its own framework's 404", reply(404,
                                          '{"message":"Route POST not found","error":"Not Found","statusCode":404}')))),
)
