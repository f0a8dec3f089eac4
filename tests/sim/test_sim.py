#!/usr/bin/env python3
"""The simulator behind an nginx of its own: does it keep the contracts, and
does every switch do what it says?  Prints TAP."""

import base64
import email.utils
import hashlib
import hmac
import http.client
import http.server
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import zlib

SRC = os.environ.get("srcdir", ".")
BUILD = os.environ.get("builddir", ".")
SIM = os.path.join(BUILD, "tests/sim/gengate-sim")
OPENAPI = os.path.join(SRC, "../shared/contracts/replicate-openapi.json")
SECRET = "whsec_c2ltdWxhdG9yLXdlYmhvb2stc2VjcmV0LTAx"
AUTH = {"Authorization": "Bearer sim-token"}
KEY = {"apikey": "sb_secret_sim"}

NGINX = """
{user}daemon off;
master_process on;
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/error.log warn;
events {{ worker_connections 256; }}
http {{
	access_log off;
	client_body_temp_path {dir}/body;
	fastcgi_temp_path {dir}/fastcgi;
	proxy_temp_path {dir}/proxy;
	scgi_temp_path {dir}/scgi;
	uwsgi_temp_path {dir}/uwsgi;
	client_max_body_size 80m;
	server {{
		listen 127.0.0.1:{port};
		merge_slashes off;
		location / {{
			fastcgi_pass unix:{dir}/sim.sock;
			fastcgi_param PATH_INFO $uri;
			fastcgi_param QUERY_STRING $query_string;
			fastcgi_param REQUEST_METHOD $request_method;
			fastcgi_param CONTENT_TYPE $content_type;
			fastcgi_param CONTENT_LENGTH $content_length;
		}}
		location = /sim-drop {{
			internal;
			return 444;
		}}
		location = /sim-reset {{
			internal;
			reset_timedout_connection on;
			return 444;
		}}
	}}
}}
"""


def within(seconds, holds):
    """Until it holds, or for so long."""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)


class Dropped(Exception):
    """The connection ended without a whole answer."""


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def json(self):
        return json.loads(self.body)


class Receiver(http.server.ThreadingHTTPServer):
    """Takes webhooks; answers what `answers` says, then 200."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), ReceiverHandler)
        self.got = []
        self.kept = []	# the bodies, whatever is reset
        self.answers = []
        self.cond = threading.Condition()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def url(self, path="/hook"):
        return "http://127.0.0.1:%d%s" % (self.server_port, path)

    def wait(self, n, path=None, seconds=10):
        end = time.monotonic() + seconds
        with self.cond:
            while True:
                got = [h for h in self.got if path is None or h["path"] == path]
                left = end - time.monotonic()
                if len(got) >= n or left <= 0:
                    return got
                self.cond.wait(left)


class ReceiverHandler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.cond:
            status = self.server.answers.pop(0) if self.server.answers else 200
            self.server.got.append({"path": self.path, "headers": dict(
                (k.lower(), v) for k, v in self.headers.items()),
                "body": body, "at": time.monotonic()})
            self.server.kept.append(body)
            self.server.cond.notify_all()
        self.send_response(status)
        if status in (301, 302):
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


class Stack:
    """nginx, the simulator and a receiver, all below one temporary folder."""

    def __init__(self, nginx):
        self.dir = tempfile.mkdtemp(prefix="gengate-sim-")
        self.procs = []
        self.seen = []	# what Replicate's API answered: (method, path, answer)
        self.receiver = Receiver()
        try:
            self.start(nginx)
        except BaseException:
            self.kill()
            raise

    def start(self, nginx):
        for _ in range(5):	# somebody may take the port before nginx does
            with socket.socket() as s:
                s.bind(("127.0.0.1", 0))
                self.port = s.getsockname()[1]
            conf = os.path.join(self.dir, "nginx.conf")
            with open(conf, "w") as f:
                f.write(NGINX.format(dir=self.dir, port=self.port,
                    user="user root;\n" if os.geteuid() == 0 else ""))
            proc = subprocess.Popen([nginx, "-p", self.dir, "-c", conf],
                stderr=subprocess.DEVNULL)
            self.procs.append(proc)
            if self.reachable(proc):
                break
        self.base = "http://127.0.0.1:%d" % self.port
        self.sim = subprocess.Popen([SIM, "--listen", self.dir + "/sim.sock",
            "--base-url", self.base, "--threads", "8"])
        self.procs.append(self.sim)
        within(20, self.answers)

    def answers(self):
        """The socket's file is there before anybody listens on it."""
        a = self.call("GET", "/sim/state")
        return a.status == 200 and a.headers.get("Content-Type", "").startswith("application/json")

    def reachable(self, proc):
        end = time.monotonic() + 10
        while proc.poll() is None and time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return proc.poll() is None
            except OSError:
                time.sleep(0.01)
        return False

    def stop(self):
        """True if the simulator ended by itself, at once and without complaint."""
        started = time.monotonic()
        self.sim.send_signal(signal.SIGTERM)
        try:
            rc = self.sim.wait(10)
        except subprocess.TimeoutExpired:
            rc = None
        took = time.monotonic() - started
        self.kill()
        return rc == 0 and took < 3

    def kill(self):
        for proc in self.procs:
            if proc.poll() is None:
                proc.terminate()
                try:
                    proc.wait(10)
                except subprocess.TimeoutExpired:
                    proc.kill()
                    proc.wait()
        if self.receiver:
            self.receiver.shutdown()
            self.receiver.server_close()
            self.receiver = None
        shutil.rmtree(self.dir, ignore_errors=True)

    def call(self, method, path, body=None, headers=None, timeout=30):
        headers = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            conn.request(method, path.replace(self.base, ""), body, headers)
            rs = conn.getresponse()
            answer = Answer(rs.status, rs.headers, rs.read())
            if path.startswith("/replicate/v1/"):
                self.seen.append((method, path.partition("?")[0].removeprefix("/replicate/v1"), answer))
            return answer
        except (http.client.HTTPException, ConnectionError) as e:
            raise Dropped(repr(e))
        finally:
            conn.close()

    def api(self, method, path, body=None, headers=None):
        return self.call(method, "/replicate/v1" + path, body, {**AUTH, **(headers or {})})

    def create(self, prompt="a fish", headers=None, input=None, **members):
        return self.api("POST", "/predictions", {"version": "sim/painter",
            "input": {"prompt": prompt, **(input or {})}, **members}, headers)

    def storage(self, method, path, body=None, headers=None, key=KEY):
        return self.call(method, "/storage/v1" + path, body, {**key, **(headers or {})})

    def faults(self, **switches):
        a = self.call("POST", "/sim/faults", switches)
        assert a.status == 200, a.body

    def settings(self, **settings):
        a = self.call("POST", "/sim/settings", settings)
        assert a.status == 200, a.body

    def state(self):
        return self.call("GET", "/sim/state").json()

    def reset(self):
        self.call("POST", "/sim/reset", {"settings": True})
        self.settings(starting_ms=20, processing_ms=40, webhook_backoff_ms=30)
        with self.receiver.cond:
            self.receiver.got.clear()
            self.receiver.answers.clear()

    def ended(self, id, seconds=10):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            p = self.api("GET", "/predictions/" + id).json()
            if p["status"] not in ("starting", "processing"):
                return p
            time.sleep(0.01)
        raise AssertionError("prediction did not end: %r" % p)

    def run(self, prompt="a fish", **more):
        a = self.create(prompt, **more)
        assert a.status == 201, a.body
        return self.ended(a.json()["id"])


def eq(got, want):
    assert got == want, "got %r, want %r" % (got, want)


def dropped(call):
    try:
        a = call()
    except Dropped:
        return
    raise AssertionError("answered with %d" % a.status)


def took(call):
    start = time.monotonic()
    return call(), time.monotonic() - start


def signature_is_good(hook, secret=SECRET, now=None):
    h = hook["headers"]
    key = base64.b64decode(secret.split("_", 1)[1])
    text = ("%s.%s." % (h["webhook-id"], h["webhook-timestamp"])).encode() + hook["body"]
    want = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    return "v1," + want in h["webhook-signature"].split(" ")


def png_size(data):
    """Width and height, after decoding all of it."""
    eq(data[:8], b"\x89PNG\r\n\x1a\n")
    at, size, pixels = 8, None, b""
    while at < len(data):
        n, kind = struct.unpack(">I4s", data[at:at + 8])
        chunk = data[at + 8:at + 8 + n]
        eq(struct.unpack(">I", data[at + 8 + n:at + 12 + n])[0], zlib.crc32(kind + chunk))
        if kind == b"IHDR":
            size = struct.unpack(">II", chunk[:8])
            eq(tuple(chunk[8:10]), (8, 2))
        elif kind == b"IDAT":
            pixels += chunk
        at += 12 + n
    eq(len(zlib.decompress(pixels)), size[1] * (1 + 3 * size[0]))
    return size


# ---- The tests; each starts from a reset simulator. ----

def t_create_webhook_picture(s):
    hook = s.receiver.url("/hook?job=a%2Fb")
    a = s.create("a red boat", webhook=hook, webhook_events_filter=["start", "completed"],
        input={"width": 320, "height": 200, "num_outputs": 2, "seed": 7},
        headers={"Idempotency-Key": "job-1", "Cancel-After": "5m"})
    eq(a.status, 201)
    fresh = a.json()
    assert re.fullmatch("[a-z0-9]{26}", fresh["id"])
    eq(fresh["status"], "starting")
    for name in ("output", "started_at", "completed_at", "metrics", "source", "data_removed"):
        assert name not in fresh, name
    assert a.headers["Date"] and a.headers["ratelimit-remaining"] == "599"
    got = s.receiver.wait(2)
    eq([json.loads(h["body"])["status"] for h in got], ["processing", "succeeded"])
    for h in got:
        eq(h["path"], "/hook?job=a%2Fb")
        assert signature_is_good(h)
        assert abs(int(h["headers"]["webhook-timestamp"]) - time.time()) < 30
    body = json.loads(got[1]["body"])
    eq(body, s.api("GET", "/predictions/" + fresh["id"]).json())
    eq(len(body["output"]), 2)
    first, second = (s.call("GET", url) for url in body["output"])
    eq(first.headers["Content-Type"], "image/png")
    eq((png_size(first.body), png_size(second.body)), ((320, 200), (320, 200)))
    assert first.body != second.body
    eq(first.body, s.call("GET", body["output"][0]).body)
    p = s.state()["predictions"][0]
    eq((p["cancel_after"], p["idempotency_key"], p["webhook"], p["form"]),
        ("5m", "job-1", hook, "version"))


def t_three_forms(s):
    body = {"input": {"prompt": "x"}}
    a = s.api("POST", "/models/acme/brush/predictions", body)
    b = s.api("POST", "/deployments/acme/mine/predictions", body)
    c = s.create(version="acme/brush:" + "0a" * 32)
    eq([x.status for x in (a, b, c)], [201] * 3)
    eq((a.json()["model"], a.json()["version"]), ("acme/brush", "hidden"))
    eq(b.json()["deployment"], "acme/mine")
    eq(c.json()["version"], "0a" * 32)
    eq([p["form"] for p in s.state()["predictions"]], ["model", "deployment", "version"])


def t_refusals(s):
    a = s.call("POST", "/replicate/v1/predictions", {}, {"Authorization": "Bearer wrong"})
    eq((a.status, a.headers["Content-Type"]), (401, "application/problem+json"))
    eq(a.json(), {"title": "Unauthenticated", "status": 401,
        "detail": "You did not pass a valid authentication token"})
    a = s.api("POST", "/predictions", {"version": "a/b", "inptu": {}})
    eq(a.status, 422)
    eq(a.json()["invalid_fields"], [
        {"type": "additional_property_not_allowed", "field": "",
         "description": "Additional property inptu is not allowed"},
        {"type": "required", "field": "", "description": "input is required"}])
    eq(s.create(version="nonsense").json()["title"], "Invalid version or not permitted")
    eq(s.create(webhook="http://example.com/").status, 422)
    eq(s.create(webhook_events_filter=["done"]).status, 422)
    eq(s.create(headers={"Cancel-After": "4s"}).status, 400)
    eq(s.api("POST", "/predictions", "{").status, 400)
    eq(s.api("POST", "/models/a/missing/predictions", {"input": {}}).status, 404)
    eq(s.api("GET", "/predictions/nope").status, 404)
    eq(s.api("GET", "/nothing").status, 404)
    a = s.api("POST", "/predictions", b" " * (65 << 20))
    eq((a.status, a.headers["Content-Type"]), (413, "application/problem+json"))
    eq(s.state()["predictions_created"], 0)
    s.settings(max_predictions=1)
    eq([s.create().status for _ in range(2)], [201, 503])


def t_prompts(s):
    p = s.run("x [fail]")
    eq((p["status"], p["output"]), ("failed", None))
    assert "(E1000)" in p["error"]
    assert "(E005)" in s.run("x [nsfw]")["error"]
    eq(s.run("x [empty]")["output"], [])
    p = s.run("x [null]")
    eq((p["status"], p["output"], p["data_removed"]), ("succeeded", None, True))
    assert isinstance(s.run("x [string]")["output"], str)
    assert isinstance(s.run("x [object]")["output"]["image"], str)
    data = s.run("x [data]")["output"][0]
    assert data.startswith("data:image/png;base64,")
    eq(png_size(base64.b64decode(data.split(",")[1])), (64, 64))
    a = s.call("GET", s.run("x [html]")["output"][0])
    eq((a.status, a.headers["Content-Type"], a.body[:9]), (200, "image/png", b"<!DOCTYPE"))
    eq(s.call("GET", s.run("x [404]")["output"][0]).status, 404)
    a = s.call("GET", s.run("x [video]")["output"])
    eq((a.status, a.body[4:12]), (200, b"ftypisom"))
    a = s.call("GET", s.run("x [bytes 3c7376673e]")["output"][0])
    eq((a.status, a.body), (200, b"<svg>"))
    a = s.call("GET", s.run("x [huge]")["output"])
    eq((a.status, len(a.body), a.body[4:12]), (200, 200000000, b"ftypisom"))
    assert s.run("x [foreign]")["output"][0].startswith("https://192.0.2.1/")
    assert 3000000 <= len(s.run("x [talkative]")["logs"]) < 3001000
    s.settings(slow_ms=300)
    _, seconds = took(lambda: s.run("x [slow]"))
    assert seconds > 0.3, seconds
    eq(png_size(s.call("GET", s.run("x", input={"aspect_ratio": "16:9"})["output"][0]).body),
        (512, 288))
    assert "out-2.png" in s.run("x", input={"num_images": 3})["output"][2]


def t_cancel_and_deadline(s):
    id = s.create("x [endless]").json()["id"]
    time.sleep(0.1)
    a = s.api("POST", "/predictions/%s/cancel" % id)
    eq((a.status, a.json()["status"], a.json()["output"]), (200, "canceled", None))
    p = s.run()
    eq(s.api("POST", "/predictions/%s/cancel" % p["id"]).json()["status"], "succeeded")
    s.settings(cancel_after_min_ms=0)
    got = s.create("x [stuck]", headers={"Cancel-After": "1s"},
        webhook=s.receiver.url("/dead"), webhook_events_filter=["completed"]).json()
    assert got["deadline"] > got["created_at"]
    q = s.create("x [endless]", headers={"Cancel-After": "1"}).json()
    eq(s.ended(got["id"])["status"], "aborted")
    eq(s.ended(q["id"])["status"], "canceled")
    eq(json.loads(s.receiver.wait(1, "/dead")[0]["body"])["status"], "aborted")
    state = s.state()
    eq((state["canceled"], state["deadlines"]), (1, 2))


def t_prefer_wait(s):
    a = s.create(headers={"Prefer": "wait=5"})
    eq((a.json()["status"], a.headers["preference-applied"]), ("succeeded", "wait=5"))
    a = s.create("x [endless]", headers={"Prefer": "wait=1"})
    eq((a.status, a.json()["status"]), (201, "processing"))


def t_list(s):
    s.settings(page_size=2)
    ids = [s.create(webhook=s.receiver.url("/%d" % i)).json()["id"] for i in range(5)]
    seen, url, pages = [], "/predictions", []
    while url:
        page = s.api("GET", url.replace(s.base + "/replicate/v1", "")).json()
        pages.append(page)
        seen += page["results"]
        url = page["next"]
    eq([p["id"] for p in seen], ids[::-1])
    eq([p["webhook"] for p in seen], [s.receiver.url("/%d" % i) for i in (4, 3, 2, 1, 0)])
    eq(pages[0]["previous"], None)
    back = s.api("GET", pages[2]["previous"].replace(s.base + "/replicate/v1", "")).json()
    eq([p["id"] for p in back["results"]], [ids[2], ids[1]])
    s.settings(page_size=100)
    query = urllib.parse.urlencode({"created_after": seen[3]["created_at"],
        "created_before": seen[1]["created_at"]})
    page = s.api("GET", "/predictions?" + query).json()
    eq([p["id"] for p in page["results"]], [ids[2], ids[1]])
    eq(s.api("GET", "/predictions?created_after=tomorrow").status, 400)
    s.settings(list_lag_ms=60000)
    eq(s.api("GET", "/predictions").json()["results"], [])


def t_other_calls(s):
    eq(s.api("GET", "/webhooks/default/secret").json(), {"key": SECRET})
    eq(s.api("GET", "/account").json()["type"], "organization")
    form = (b"--b\r\nContent-Disposition: form-data; name=\"content\"; filename=\"a.txt\"\r\n"
        b"Content-Type: text/plain\r\n\r\nhello\r\n--b--\r\n")
    a = s.api("POST", "/files", form, {"Content-Type": "multipart/form-data; boundary=b"})
    eq(a.status, 201)
    file = a.json()
    eq((file["name"], file["content_type"], file["size"]), ("a.txt", "text/plain", 5))
    eq(file["checksums"]["sha256"], hashlib.sha256(b"hello").hexdigest())
    eq(s.api("POST", "/files", b"x", {"Content-Type": "text/plain"}).status, 400)
    s.settings(clock_offset_ms=-3600000, data_ttl_ms=1)
    p = s.run()
    eq((p["status"], p["output"], p["data_removed"], p["input"]),
        ("succeeded", None, True, {}))
    date = email.utils.parsedate_to_datetime(s.api("GET", "/account").headers["Date"])
    assert abs(date.timestamp() - (time.time() - 3600)) < 30, date


def t_webhook_retry(s):
    s.receiver.answers[:] = [500, 404]
    s.create(webhook=s.receiver.url("/again"), webhook_events_filter=["completed"])
    got = s.receiver.wait(3, "/again")
    eq(len(set(h["headers"]["webhook-id"] for h in got)), 1)
    assert all(signature_is_good(h) for h in got)
    assert got[2]["at"] - got[1]["at"] > got[1]["at"] - got[0]["at"]
    s.receiver.answers[:] = [301]
    s.create(webhook=s.receiver.url("/moved"), webhook_events_filter=["completed"])
    s.receiver.wait(1, "/moved")
    s.receiver.answers[:] = [500]
    s.create(webhook=s.receiver.url("/start"), webhook_events_filter=["start"])
    s.receiver.wait(1, "/start")
    s.settings(webhook_retries=1)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        s.create(webhook="http://127.0.0.1:%d/" % closed.getsockname()[1])
        s.create(webhook="https://192.0.2.1/hook")
        wanted = {"0": 3, "200": 1, "301": 1, "404": 1, "500": 2}
        within(10, lambda: s.state()["webhooks_by_status"] == wanted and s.state()["webhooks_given_up"] == 1)
    state = s.state()
    eq(state["webhooks_by_status"], wanted)
    eq((state["webhooks_given_up"], state["webhooks_refused"]), (1, 2))
    eq(len(s.receiver.wait(0, "/elsewhere")), 0)


def t_create_faults(s):
    s.faults(create_429={"count": 1, "retry_after": 3})
    a = s.create()
    eq((a.status, a.headers["Retry-After"]), (429, "3"))
    eq(a.json(), {"detail": "Request was throttled. Your rate limit resets in ~3s."})
    s.faults(create_429={"count": 1, "retry_after": 3, "variant": "body"})
    a = s.create()
    eq((a.headers["Retry-After"], a.json()["retry_after"]), (None, 3))
    s.faults(create_429={"variant": "date"})
    assert s.create().headers["Retry-After"].endswith("GMT")
    s.faults(create_429={"variant": "detail"})
    eq(s.create().headers["Retry-After"], None)
    s.faults(create_429={"variant": "bare"})
    a = s.create()
    eq((a.headers["Retry-After"], a.json()), (None, {"detail": "Request was throttled."}))
    for name, status in (("create_401", 401), ("create_402", 402), ("create_422", 422),
            ("create_500_before", 500)):
        s.faults(**{name: 1})
        eq(s.create().status, status)
    s.faults(create_drop_before=1)
    dropped(s.create)
    s.faults(create_hang={"delay_ms": 300})
    _, seconds = took(lambda: dropped(s.create))
    assert seconds >= 0.3, seconds
    eq(s.state()["predictions_created"], 0)
    s.faults(create_500_after=1)
    eq(s.create().status, 500)
    s.faults(create_drop_after=1)
    dropped(s.create)
    s.faults(create_cut=1)
    dropped(s.create)
    s.faults(create_late={"delay_ms": 300})
    a, seconds = took(s.create)
    eq((a.status, a.json()["status"]), (201, "starting"))
    assert seconds >= 0.3, seconds
    state = s.state()
    eq((state["predictions_created"], state["creates_received"], state["dropped"]), (4, 15, 3))


def t_read_faults(s):
    p = s.run()
    url = "/predictions/" + p["id"]
    s.faults(get_404=1, get_500=1)
    eq([s.api("GET", url).status for _ in range(3)], [500, 404, 200])
    s.faults(secret_401=1)
    eq([s.api("GET", "/webhooks/default/secret").status for _ in range(2)], [401, 200])
    s.faults(list_429={"retry_after": 8})
    a = s.api("GET", "/predictions")
    eq((a.status, a.headers["Retry-After"]), (429, "8"))
    s.faults(list_500=1, list_no_webhook={"count": -1})
    s.create(webhook=s.receiver.url())
    eq(s.api("GET", "/predictions").status, 500)
    assert "webhook" not in s.api("GET", "/predictions").json()["results"][0]
    s.faults(get_no_webhook=1)
    eq(["webhook" in s.api("GET", url).json() for url in [
        "/predictions/" + s.create(webhook=s.receiver.url()).json()["id"]] * 2], [False, True])
    s.settings(page_size=1)
    s.faults(list_cut=1)
    pages = [s.api("GET", "/predictions").json()["next"] for _ in range(2)]
    eq([page.startswith(s.base) for page in pages], [False, True])
    s.faults(get_429={"retry_after": 7})
    a = s.api("GET", url)
    eq((a.status, a.headers["Retry-After"]), (429, "7"))
    id = s.create("x [endless]").json()["id"]
    s.faults(cancel_429={"variant": "body", "retry_after": 9})
    a = s.api("POST", "/predictions/%s/cancel" % id)
    eq((a.status, a.json()["retry_after"], s.api("GET", "/predictions/" + id).json()["status"] == "canceled"),
       (429, 9, False))
    s.faults(cancel_500=1)
    id = s.create("x [endless]").json()["id"]
    eq(s.api("POST", "/predictions/%s/cancel" % id).status, 500)
    s.faults(cancel_drop_after=1)
    dropped(lambda: s.api("POST", "/predictions/%s/cancel" % id))
    eq(s.ended(id)["status"], "canceled")
    s.faults(delay={"count": 1, "delay_ms": 300, "match": "GET /replicate/v1/account"})
    _, quick = took(lambda: s.api("GET", url))
    _, late = took(lambda: s.api("GET", "/account"))
    assert quick < 0.25 and late >= 0.3, (quick, late)


def t_spoiled_answers(s):
    s.faults(api_html=1)
    a = s.create()
    eq((a.status, a.headers["Content-Type"]), (200, "text/html"))
    s.faults(api_huge={"match": "GET"})
    a = s.api("GET", "/predictions")
    eq((a.status, len(a.body), a.json()), (200, 200000002, {}))
    del s.seen[-2:]     # no document has these two
    s.faults(api_cut=1)
    dropped(lambda: s.api("GET", "/predictions"))
    s.faults(api_reset=1)
    dropped(s.create)
    eq(s.state()["predictions_created"], 2)


def t_webhook_faults(s):
    only = {"webhook_events_filter": ["completed"]}
    s.faults(webhook_lost={"count": 1, "match": "/lost"})
    s.create(webhook=s.receiver.url("/lost"), **only)
    s.faults(webhook_twice={"match": "/twice"})
    s.create(webhook=s.receiver.url("/twice"), **only)
    got = s.receiver.wait(2, "/twice")
    eq(len(got), 2)
    eq(got[0]["headers"]["webhook-id"], got[1]["headers"]["webhook-id"])
    s.faults(webhook_late={"delay_ms": 400})
    start = time.monotonic()
    s.create(webhook=s.receiver.url("/late"), **only)
    assert s.receiver.wait(1, "/late")[0]["at"] - start > 0.4
    s.faults(webhook_before_answer=1)
    a = s.create(webhook=s.receiver.url("/first"), **only)
    eq(a.json()["status"], "starting")
    eq(len(s.receiver.wait(0, "/first")), 1)
    s.faults(webhook_bad_signature=1)
    s.create(webhook=s.receiver.url("/bad"), **only)
    assert not signature_is_good(s.receiver.wait(1, "/bad")[0])
    s.faults(webhook_stale=1)
    s.create(webhook=s.receiver.url("/stale"), **only)
    h = s.receiver.wait(1, "/stale")[0]
    assert signature_is_good(h)
    assert abs(time.time() - 600 - int(h["headers"]["webhook-timestamp"])) < 30
    eq(len(s.receiver.wait(0, "/lost")), 0)
    within(10, lambda: s.state()["webhooks_lost"] == 1)
    eq(s.state()["webhooks_lost"], 1)


def t_delivery_faults(s):
    url = s.run()["output"][0]
    for name, status in (("delivery_404", 404), ("delivery_500", 500)):
        s.faults(**{name: 1})
        eq(s.call("GET", url).status, status)
    s.faults(delivery_503={"retry_after": 5})
    a = s.call("GET", url)
    eq((a.status, a.headers["Retry-After"]), (503, "5"))
    s.faults(delivery_html=1)
    a = s.call("GET", url)
    eq((a.status, a.headers["Content-Type"]), (200, "text/html"))
    s.faults(delivery_cut=1)
    dropped(lambda: s.call("GET", url))
    s.faults(delivery_redirect=1)
    a = s.call("GET", url)
    eq((a.status, a.headers["Location"][:23]), (302, "http://169.254.169.254/"))
    s.faults(delivery_drip={"delay_ms": 400})
    a, seconds = took(lambda: s.call("GET", url))
    assert a.status == 200 and 0.3 < seconds < 3, seconds
    png_size(a.body)
    s.faults(delivery_slow={"delay_ms": 300})
    a, seconds = took(lambda: s.call("GET", url, headers=AUTH))
    assert a.status == 200 and seconds >= 0.3
    eq(s.call("HEAD", url).body, b"")
    eq(s.state()["deliveries_with_auth"], 1)


def t_storage_faults(s):
    put = lambda: s.storage("POST", "/object/outputs/f.png", b"x", {"Content-Type": "image/png"})
    for name, status, code in (("storage_500", 500, "InternalError"),
            ("storage_403", 400, "AccessDenied"), ("storage_429", 429, "SlowDown"),
            ("storage_544", 544, "DatabaseTimeout")):
        s.faults(**{name: 1})
        a = put()
        eq((a.status, a.json()["code"]), (status, code))
    s.faults(storage_html_502=1)
    eq(put().headers["Content-Type"], "text/html")
    s.faults(storage_drop_before=1)
    dropped(put)
    eq(s.state()["objects"], 0)
    s.faults(storage_drop_after=1)
    dropped(put)
    eq(s.state()["objects"], 1)
    s.faults(storage_half=1)
    dropped(lambda: s.storage("POST", "/object/outputs/g.png", b"xyz1", {"Content-Type": "image/png"}))
    eq(s.storage("GET", "/object/outputs/g.png").body, b"xy")
    s.faults(storage_slow={"delay_ms": 300})
    a, seconds = took(put)
    assert a.json()["code"] == "KeyAlreadyExists" and seconds >= 0.3


def t_public_keys(s):
    def read(**headers):
        return s.call("GET", "/auth/v1/.well-known/jwks.json", headers=headers)
    eq((read().status, read().json()), (200, {"keys": []}))
    s.settings(jwks='{"keys":[{"kid":"k"}]}')
    a = read()
    eq((a.json(), a.headers["Cache-Control"]), ({"keys": [{"kid": "k"}]}, "public, max-age=600"))
    s.faults(jwks_500=1)
    eq(read().status, 500)
    s.faults(jwks_html=1)
    eq(read().headers["Content-Type"], "text/html")
    s.settings(auth_guarded=1)
    eq([read().status, read(apikey="wrong").status, read(**KEY).status], [401, 401, 200])
    state = s.state()
    eq((state["jwks_reads"], state["jwks_reads_with_key"]), (8, 2))
    eq(s.call("GET", "/auth/v1/user").status, 404)


def t_storage_objects(s):
    png = {"Content-Type": "image/png", "cache-control": "max-age=31536000"}
    path = "/object/outputs/u1/j1/0.png"
    a = s.storage("POST", path, b"0123456789", png)
    eq((a.status, a.json()["Key"]), (200, "outputs/u1/j1/0.png"))
    id = a.json()["Id"]
    eq(s.storage("POST", path, b"y", {**png, "x-upsert": "TRUE"}).json()["code"],
        "KeyAlreadyExists")
    eq(s.storage("POST", path, b"0123456789", {**png, "x-upsert": "true"}).json()["Id"], id)
    eq(s.storage("PUT", "/object/outputs/u1/new.png", b"z", png).status, 200)
    a = s.storage("GET", "/object/public/outputs/u1/j1/0.png", key={})
    eq((a.status, a.body, a.headers["content-type"], a.headers["cache-control"]),
        (200, b"0123456789", "image/png", "max-age=31536000"))
    assert a.headers["etag"].startswith('"') and a.headers["x-robots-tag"] == "none"
    etag = a.headers["etag"]
    public = lambda **h: s.storage("GET", "/object/public/outputs/u1/j1/0.png",
        headers={k.replace("_", "-"): v for k, v in h.items()}, key={})
    eq(public(If_None_Match=etag).status, 304)
    a = public(Range="bytes=2-4")
    eq((a.status, a.body, a.headers["content-range"]), (206, b"234", "bytes 2-4/10"))
    eq(public(Range="bytes=-3").body, b"789")
    a = s.storage("HEAD", "/object/public/outputs/u1/j1/0.png", key={})
    eq((a.status, a.headers["content-length"], a.body), (200, "10", b""))
    info = s.storage("GET", "/object/info/outputs/u1/j1/0.png").json()
    eq((info["size"], info["content_type"], info["bucket_id"], info["etag"]),
        (10, "image/png", "outputs", etag))
    s.storage("POST", "/object/outputs/plain", b"<p>", {"Content-Type": "text/html"})
    a = s.storage("GET", "/object/public/outputs/plain", key={})
    eq((a.headers["cache-control"], a.headers["content-type"]), ("no-cache", "text/plain"))
    rows = s.storage("POST", "/object/list/outputs", {"prefix": "u1"}).json()
    eq([(r["name"], r["id"] is None) for r in rows], [("j1", True), ("new.png", False)])
    rows = s.storage("DELETE", "/object/outputs", {"prefixes": ["plain", "none"]}).json()
    eq([r["name"] for r in rows], ["plain"])
    eq(s.storage("DELETE", path).json(), {"message": "Successfully deleted"})
    eq(s.storage("DELETE", path).json()["code"], "NoSuchKey")
    eq([o["name"] for o in s.call("GET", "/sim/objects").json()], ["u1/new.png"])


def t_storage_large(s):
    """More than the other parts take."""
    data = bytes(range(256)) * (70 << 12)
    eq(s.storage("POST", "/object/outputs/large", data, {"Content-Type": "video/mp4"}).status, 200)
    o = [o for o in s.call("GET", "/sim/objects").json() if o["name"] == "large"][0]
    eq((o["size"], o["sha256"]), (len(data), hashlib.sha256(data).hexdigest()))
    a = s.storage("GET", "/object/public/outputs/large", key={})
    assert a.status == 200 and a.body == data
    eq(a.headers["etag"], '"%s"' % hashlib.md5(data).hexdigest())
    a = s.storage("GET", "/object/public/outputs/large", headers={"Range": "bytes=%d-" % (len(data) - 5)}, key={})
    eq((a.status, a.body), (206, data[-5:]))
    eq(s.storage("HEAD", "/object/public/outputs/large", key={}).headers["Content-Length"], str(len(data)))
    s.settings(max_stored_bytes=len(data) + 10)
    eq(s.storage("POST", "/object/outputs/more", b"12345678901", {"Content-Type": "image/png"}).json()["code"], "InternalError")
    eq(s.storage("DELETE", "/object/outputs/large").status, 200)
    eq(s.storage("POST", "/object/outputs/more", b"12345678901", {"Content-Type": "image/png"}).status, 200)


def t_storage_private(s):
    s.storage("POST", "/object/inputs/a%20b.png", b"in")
    eq(s.storage("GET", "/object/public/inputs/a%20b.png", key={}).json()["code"],
        "NoSuchBucket")
    eq(s.storage("GET", "/object/inputs/a%20b.png").body, b"in")
    url = s.storage("POST", "/object/sign/inputs/a%20b.png", {"expiresIn": 1}).json()["signedURL"]
    assert url.startswith("/object/sign/inputs/a%20b.png?token=")
    eq(s.storage("GET", url, key={}).body, b"in")
    eq(s.storage("GET", url + "0", key={}).json()["message"], "signature verification failed")
    eq(s.storage("POST", "/object/sign/inputs/none", {"expiresIn": 9}).json()["code"],
        "NoSuchKey")
    time.sleep(2)
    eq(s.storage("GET", url, key={}).json()["message"], '"exp" claim timestamp check failed')


def t_storage_keys(s):
    def code(**h):
        a = s.storage("GET", "/bucket/outputs", key={k: v for k, v in h.items()})
        return a.status if a.status == 200 else (a.status, a.json()["message"])
    eq(code(apikey="sb_secret_sim"), 200)
    eq(code(apikey="sb_secret_sim", Authorization="Bearer sb_secret_sim"), 200)
    eq(code(Authorization="Bearer sim-service-role"), 200)
    eq(code(apikey="sim-service-role"), 200)
    eq(code(Authorization="Bearer sb_secret_sim"), (400, "Invalid Compact JWS"))
    eq(code(Authorization="Bearer garbage"), (400, "Invalid Compact JWS"))
    eq(code(Authorization="Bearer a.b.c"), (400, "signature verification failed"))
    eq(code(apikey="sb_publishable_sim"), (400, "new row violates row-level security policy"))
    eq(code(), (400, "headers must have required property 'authorization'"))


def t_storage_buckets(s):
    bucket = {"id": "small", "name": "small", "public": True, "file_size_limit": 256,
        "allowed_mime_types": ["image/png", "video/*"]}
    eq(s.storage("POST", "/bucket", bucket).json(), {"name": "small"})
    got = s.storage("GET", "/bucket/small").json()
    eq({k: got[k] for k in bucket}, bucket)
    up = lambda type, body=b"x": s.storage("POST", "/object/small/" + str(time.monotonic()),
        body, {"Content-Type": type} if type else {})
    eq(up("image/png").status, 200)
    eq(up("video/mp4").status, 200)
    eq(up("image/png; charset=binary").json()["code"], "InvalidMimeType")
    eq(up("image/png", b"x" * 257).json()["code"], "EntityTooLarge")
    eq(up("image/png", iter([b"x" * 300])).status, 200)	# chunked
    eq(s.storage("DELETE", "/bucket/small").json()["code"], "ResourceNotEmpty")
    eq(s.storage("POST", "/bucket/small/empty").status, 200)
    eq(s.storage("PUT", "/bucket/small", {"public": False}).status, 200)
    eq(s.storage("DELETE", "/bucket/small").json(), {"message": "Successfully deleted"})
    eq(s.storage("GET", "/bucket/small").json()["code"], "NoSuchBucket")
    eq(s.call("POST", "/sim/buckets", {"id": "mine", "public": True}).status, 200)
    eq(s.storage("GET", "/bucket/mine").json()["public"], True)


# test_wires.py uses these.
OF_OTHER_WIRES = ("cancel_ignored", "create_bare", "links_foreign", "webhook_no_payload")

CONTRACT = os.path.join(SRC, "../shared/contracts/supabase_storage.json")


def t_storage_contract(s):
    with open(CONTRACT) as f:
        c = json.load(f)
    def check(want, a):
        eq((a.status, a.json()), (want["http"], want["body"]))
    make = c["bucket"]["create_request"]
    s.storage("DELETE", "/bucket/outputs")
    check(c["bucket"]["create_success"], s.storage("POST", "/bucket", make))
    check(c["bucket"]["exists"], s.storage("POST", "/bucket", make))
    check(c["bucket"]["bad_name"], s.storage("POST", "/bucket", {"id": "a/b"}))
    png = {"Content-Type": "image/png"}
    up = lambda path="k", body=b"x", h=png, key=KEY: s.storage("POST",
        "/object/outputs/" + path, body, h, key)
    e = c["upload"]["errors"]
    eq(up("a/b.png").json()["Key"], "outputs/a/b.png")
    check(e["duplicate_key"], up("a/b.png"))
    check(e["no_such_bucket"], s.storage("POST", "/object/none/k", b"x", png))
    check(e["too_large"], up(body=b"x" * (make["file_size_limit"] + 1)))
    check(e["mime"], up(h={"Content-Type": "image/gif"}))
    check(e["bad_token"], up(key={"Authorization": "Bearer garbage"}))
    check(e["bad_signature"], up(key={"Authorization": "Bearer a.b.c"}))
    check(e["rls"], up(key={"apikey": "sb_publishable_sim"}))
    check(e["no_authorization"], up(key={}))
    for name, switch in (("database_down", "storage_500"), ("rls", "storage_403"),
            ("slow_down_from_source", "storage_429"),
            ("database_timeout_from_source", "storage_544")):
        s.faults(**{switch: 1})
        check(e[name], up())
    check(c["bucket"]["not_empty"], s.storage("DELETE", "/bucket/outputs"))
    g = c["public_get"]
    a = s.storage("GET", "/object/public/outputs/a/b.png", key={})
    eq([h for h in g["headers"] if h not in a.headers], [])
    check(g["missing_key"], s.storage("GET", "/object/public/outputs/none", key={}))
    check(g["private_or_missing_bucket"], s.storage("GET", "/object/public/inputs/k", key={}))
    eq(sorted(s.storage("GET", "/object/info/outputs/a/b.png").json()),
        sorted(c["info"]["fields"]))
    check(c["delete"]["one_success"], s.storage("DELETE", "/object/outputs/a/b.png"))
    check(c["delete"]["one_missing"], s.storage("DELETE", "/object/outputs/a/b.png"))
    check(c["unknown_route"], s.storage("GET", "/objekt/outputs"))


# ---- Replicate's own document, where it is there: all that it answered above. ----

def nullable(node):
    """A schema as the document means it, in JSON Schema's words: it says 3.1 and `nullable`, which
    is 3.0's; and its two kinds of version, of which one is the other's special case, are a oneOf."""
    if isinstance(node, list):
        return [nullable(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {("anyOf" if name == "oneOf" else name): nullable(value) for name, value in node.items()}
    if node.pop("nullable", None) is True and "type" in node:
        node["type"] = [node["type"], "null"]
    return node


class OpenApi:
    def __init__(self, path):
        from jsonschema import FormatChecker
        from jsonschema.validators import Draft202012Validator
        with open(path, encoding="utf-8") as f:
            self.doc = nullable(json.load(f))
        formats = FormatChecker(formats=())
        formats.checks("date-time")(lambda v: not isinstance(v, str) or re.fullmatch(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", v) is not None)
        formats.checks("uri")(lambda v: not isinstance(v, str) or re.match(r"[a-z]+://[^/]+/", v) is not None)
        self.validator = lambda schema: Draft202012Validator(
            {**schema, "components": self.doc["components"]}, format_checker=formats)
        self.prediction = {"$ref": "#/components/schemas/schemas_prediction_response"}
        # Few errors are described; those that are share one form.
        self.problem = self.doc["paths"]["/files"]["post"]["responses"]["413"]["content"]["application/problem+json"]["schema"]

    def operation(self, method, path):
        """The template and what it says of this path; None if it has none such.  Words before {names}."""
        for template in sorted(self.doc["paths"], key=lambda t: t.count("{")):
            item = self.doc["paths"][template]
            if method.lower() in item and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
                return template, item[method.lower()]
        return None, None

    def wrong(self, schema, body):
        return ["%s: %s" % (e.json_path, e.message[:200]) for e in self.validator(schema).iter_errors(body)]


def wrong_problem(api, answer, content):
    kind = "application/problem+json"
    schema = content.get(kind, {}).get("schema", api.problem)
    if answer.headers["Content-Type"] != kind:
        return ["content type %s" % answer.headers["Content-Type"]]
    body = answer.json()
    found = api.wrong({**schema, "required": ["detail"]}, body)
    if body.get("status", answer.status) != answer.status:
        found.append("status %s in the body" % body["status"])
    return found


def wrong_answer(api, method, path, answer):
    template, operation = api.operation(method, path)
    content = (operation or {}).get("responses", {}).get(str(answer.status), {}).get("content")
    if answer.status >= 400:
        return template, wrong_problem(api, answer, content or {})
    if not content:
        return template, ["status not described"]
    kind = answer.headers["Content-Type"]
    if kind not in content:
        return template, ["content type %s" % kind]
    found = api.wrong(content[kind]["schema"], answer.json())
    if answer.status == 201 and answer.json().get("status") == "starting":
        # Recorded answers to a create lack what there cannot be yet, whatever the document requires.
        found = [text for text in found if not re.fullmatch(r"\$: '(output|data_removed)' is a required property", text)]
    if "[odd]" in answer.body.decode():
        # A status that the document does not know is the point of it.
        found = [text for text in found if "'dreaming' is not one of" not in text]
    return template, found


def t_replicate_contract(s):
    """After all others: each answer of theirs, and each webhook, against the document."""
    api = OpenApi(OPENAPI)
    eq(api.wrong(api.prediction, {}) != [], True)
    wrong, seen = {}, set()
    for method, path, answer in s.seen:
        template, found = wrong_answer(api, method, path, answer)
        seen.add((method, template, answer.status))
        for text in found:
            wrong.setdefault("%s %s %d: %s" % (method, template or path, answer.status, text), answer.body[:300])
    hooks = [json.loads(body) for body in s.receiver.kept]
    assert len(hooks) > 20, len(hooks)
    for body in hooks:
        for text in api.wrong(api.prediction, body):
            wrong.setdefault("webhook: " + text, body)
    eq(wrong, {})
    with open(os.path.join(SRC, "tests/sim/replicate.c"), encoding="utf-8") as f:
        routes = re.findall(r'^\t\{ "([A-Z]+)", "(/[^"]*)"', f.read(), re.M)
    assert len(routes) >= 9, routes
    for method, pattern in routes:
        ok = [status for m, template, status in seen
              if m == method and template and re.sub(r"\{\w+\}", "{}", template) == pattern and status < 300]
        assert ok, "%s %s: not in the document, or never answered well" % (method, pattern)
    create = {status for method, template, status in seen if (method, template) == ("POST", "/predictions")}
    eq(create, {201, 400, 401, 402, 413, 422, 429, 500, 503})


def t_control(s):
    eq(s.call("POST", "/sim/faults", {"create_429": 1, "nonsense": 1}).status, 400)
    eq(s.call("GET", "/sim/faults").json()["create_429"]["left"], 0)
    eq(s.call("POST", "/sim/settings", {"starting_ms": "soon"}).status, 400)
    eq(s.call("POST", "/sim/faults", "[").status, 400)
    s.faults(get_404={"count": -1})
    s.create()
    s.storage("PUT", "/object/outputs/x", b"x")
    s.reset()
    state = s.state()
    eq((state["predictions"], state["predictions_created"], state["objects"]), ([], 0, 0))
    eq(s.call("GET", "/sim/faults").json()["get_404"], {
        "left": 0, "taken": 0, "doc": "a prediction that exists is not found"})
    assert "predictions" not in s.call("GET", "/sim/state?predictions=0").json()


def t_every_switch_was_used(s):
    missing = [n for n, f in s.all_faults.items() if n not in s.used and n not in OF_OTHER_WIRES]
    eq(missing, [])


def t_many_at_once(s):
    def work(n):
        for i in range(10):
            s.create(webhook=s.receiver.url("/%d/%d" % (n, i)),
                webhook_events_filter=["completed"])
    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    got = s.receiver.wait(80, seconds=20)
    eq(len(set(h["path"] for h in got)), 80)
    eq(s.state()["predictions_created"], 80)


TESTS = [
    (t_create_webhook_picture, "a prediction, its signed webhooks and its pictures"),
    (t_three_forms, "create in three forms"),
    (t_refusals, "what a create is refused for"),
    (t_prompts, "words in the prompt choose the behaviour"),
    (t_cancel_and_deadline, "cancel and Cancel-After"),
    (t_prefer_wait, "Prefer: wait"),
    (t_list, "the list, its pages and its dates"),
    (t_other_calls, "secret, account, files, data removal"),
    (t_webhook_retry, "only the terminal webhook is retried, redirects are a loss"),
    (t_create_faults, "switches: create"),
    (t_read_faults, "switches: get, list, cancel, delay"),
    (t_spoiled_answers, "switches: answers of the API"),
    (t_webhook_faults, "switches: webhooks"),
    (t_delivery_faults, "switches: delivery"),
    (t_public_keys, "public keys of Auth"),
    (t_storage_faults, "switches: storage"),
    (t_storage_objects, "storage: objects"),
    (t_storage_large, "storage: a large object"),
    (t_storage_private, "storage: private bucket and signed URLs"),
    (t_storage_keys, "storage: the gateway's key rule"),
    (t_storage_buckets, "storage: buckets"),
    (t_storage_contract, "storage: the contract's bodies"),
    (t_control, "control: bad switches, reset"),
    (t_many_at_once, "many at once"),
    (t_every_switch_was_used, "every switch was used"),
    (t_replicate_contract, "replicate: all answers as in the contract's OpenAPI document"),
]


# What a test compares with; it is skipped where that is not there.
NEEDS = {t_storage_contract: CONTRACT, t_replicate_contract: OPENAPI}


def remember_switches(s):
    """Note which switches the tests set, for the last of them."""
    s.used = set()
    s.all_faults = s.call("GET", "/sim/faults").json()
    original = s.faults

    def faults(**switches):
        s.used.update(switches)
        original(**switches)
    s.faults = faults


def run_one(s, number, test, name):
    needs = NEEDS.get(test)
    if needs and not os.path.exists(needs):
        print("ok %d - %s # SKIP no %s beside the sources" % (number, name, os.path.basename(needs)))
        return True
    try:
        s.reset()
        test(s)
        print("ok %d - %s" % (number, name))
        return True
    except ImportError as e:
        print("ok %d - %s # SKIP %s; Debian: python3-jsonschema" % (number, name, e))
        return True
    except Exception as e:
        line = e.__traceback__
        while line.tb_next and line.tb_next.tb_frame.f_code.co_name.startswith("t_"):
            line = line.tb_next
        print("not ok %d - %s" % (number, name))
        print("# line %d: %s: %s" % (line.tb_lineno, type(e).__name__, e))
        return False
    finally:
        sys.stdout.flush()


def main(tests):
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if not nginx:
        print("1..0 # SKIP no nginx here")
        return 0
    print("1..%d" % (len(tests) + 1))
    s = Stack(nginx)
    folder, ok = s.dir, True
    try:
        remember_switches(s)
        for i, (test, name) in enumerate(tests, 1):
            ok = run_one(s, i, test, name) and ok
        prompt = s.stop()
    finally:
        s.kill()
    clean = prompt and not os.path.exists(folder)
    print("%sok %d - ends at once and leaves nothing behind" %
        ("" if clean else "not ", len(tests) + 1))
    return 0 if ok and clean else 1


def end_by_signal():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))


if __name__ == "__main__":
    end_by_signal()
    sys.exit(main(TESTS))
