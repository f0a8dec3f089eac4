"""What the hostile rows share: requests as bytes on a connection of their own, and whether anything moved.

A row (hostile_rows.py) says what is sent and what has to be answered.  Of each row it is also wanted that
a problem has its form, that no header is there that somebody else wrote, that the database and the bucket
are as they were, and that the same gengate goes on."""

import csv
import dataclasses
import http.client
import json
import re
import socket
import subprocess

import e2e
from e2e import check, equal, stacks

PROBLEM = "application/problem+json"
# Of a row's bytes at most so many are shown.
SHOWN = 120

# What changes by itself: times and leases of work, keys that are fetched anew, and the notes of the trail.
VOLATILE = {
    "generation_live": "'due_at', 'lease_until', 'leased_by', 'tries', 'misses', 'moved_by'",
    "generation_shared": "'updated_at', 'value'",
}
LEFT_OUT = {"generation_events": "event <> 'webhook' AND event NOT LIKE 'stray%'",
            "generation_shared": "name NOT LIKE 'jwks:%'"}
# What the simulator has been asked to do or to give.
COUNTED = ("creates_received", "predictions_created", "canceled", "deliveries", "uploads", "deletes", "dropped")


@dataclasses.dataclass
class Request:
    """As it goes over the wire: nothing is mended, added or encoded but Host, Content-Length and who it is."""
    method: str
    target: str
    headers: list = dataclasses.field(default_factory=list)
    body: bytes = None
    user: str = None
    host: str = "127.0.0.1"
    to_nginx: bool = False      # which refuses it before it looks at the path
    half_close: bool = False    # nothing comes after this

    def wire(self, rig):
        lines = [f"{self.method} {self.target} HTTP/1.1"]
        lines += [f"Host: {self.host}"] if self.host is not None else []
        lines += [f"{name}: {value}" for name, value in rig.identity(self.user)] if self.user else []
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.body is not None and not any(name.lower() in ("content-length", "transfer-encoding")
                                             for name, _ in self.headers):
            lines.append(f"Content-Length: {len(self.body)}")
        lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + (self.body or b"")


@dataclasses.dataclass
class Row:
    """request: a Request, or bytes as they are.  code: of the problem; None: not a problem."""
    what: str
    request: object
    status: int
    code: str = None
    headers: dict = dataclasses.field(default_factory=dict)
    pointers: list = None       # of the mistakes in it

    def __str__(self):
        return f"{self.what}: {self.sent()}"

    def sent(self):
        if isinstance(self.request, bytes):
            return repr(self.request[:SHOWN])
        return f"{self.request.method[:SHOWN]!r} {self.request.target[:SHOWN]!r} {str(self.request.headers)[:SHOWN]}"


# A path that means another one.
DOTS = re.compile(r"/(\.|%2e){1,2}(/|$)", re.IGNORECASE)

CLOSED = 0      # no answer at all
NO_HEAD = 9     # HTTP/0.9: a body, and no more


class Reply:
    """What came back, as far as it is HTTP."""

    def __init__(self, status, headers=(), body=b""):
        self.status, self.pairs, self.body = status, list(headers), body

    def header(self, name):
        found = [value for key, value in self.pairs if key.lower() == name.lower()]
        return found[0] if found else None

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.header('Content-Type')} {self.body[:200]!r}>"


def ask(port, wire, method, timeout=20, half_close=False):
    """What is answered to these bytes, as far as it is one answer."""
    with socket.create_connection((stacks.HOST, port), timeout) as s:
        try:
            s.sendall(wire)
            if half_close:
                s.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass        # refused before all was read
        answer = http.client.HTTPResponse(s, method=method)
        try:
            answer.begin()
            return Reply(answer.status, answer.getheaders(), answer.read())
        except (http.client.RemoteDisconnected, ConnectionResetError):
            return Reply(CLOSED)
        except http.client.BadStatusLine as e:
            return Reply(NO_HEAD, body=str(e).encode())


class Session:
    """psql that stays, since a question is asked after each row."""

    def __init__(self, rig):
        self.process = subprocess.Popen([rig.psql, *rig._psql_options("gengate")], env=rig.environment(), text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def value(self, text):
        self.process.stdin.write(text + ";\n")
        self.process.stdin.flush()
        row = next(csv.reader(self.process.stdout), None)
        check(row, "psql has ended")
        return row[0]

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


class Watch:
    """Over one stack: asks the rows and sees whether anything moved."""

    def __init__(self, rig):
        self.rig = rig
        self.pid = rig.gengate.pid
        self.session = Session(rig)
        self.question = self._question()
        self.seen = set()           # codes
        self.asked = 0
        self.before = self.state()

    def _question(self):
        """A digest of each table there is."""
        tables = [row[0] for row in self.rig.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        check("generation_jobs" in tables, f"tables: {tables}")

        def digest(name):
            row = f"(to_jsonb(t) - ARRAY[{VOLATILE.get(name, '')}]::text[])::text"
            return (f"'{name}', (SELECT md5(string_agg({row}, '|' ORDER BY {row})) FROM public.{name} t"
                    f" WHERE {LEFT_OUT.get(name, 'true')})")
        return f"SELECT jsonb_build_object({', '.join(map(digest, tables))})"

    def state(self):
        """Of the database, the bucket, and what the provider was asked for."""
        counters = self.rig.counters()
        return {**json.loads(self.session.value(self.question)), "bucket": self.rig.sim_call("GET", "objects"),
                **{name: counters[name] for name in COUNTED}}

    def close(self):
        self.session.close()

    def rows(self, rows, but=()):
        """All of them, and then what was wrong with some.  but: what may move."""
        wrong = []
        for row in rows:
            self.asked += 1
            try:
                self.one(row, but)
            except Exception as e:
                wrong.append(f"{row}: {e}")
                self.before = self.state()
        check(not wrong, f"{len(wrong)} rows:\n" + "\n".join(wrong[:40]))

    def one(self, row, but):
        reply = self.ask(row.request)
        self.judge(row, reply)
        check(self.rig.gengate.alive() and self.rig.gengate.pid == self.pid, "gengate has ended")
        after = self.state()
        changed = [name for name, value in after.items() if value != self.before[name] and name not in but]
        self.before = after
        check(not changed, f"moved: {', '.join(changed)}")

    def ask(self, request):
        if isinstance(request, bytes):
            return ask(self.rig.port, request, request.partition(b" ")[0].decode("latin-1"))
        reply = ask(self.rig.port, request.wire(self.rig), request.method, half_close=request.half_close)
        self.record(request, reply)
        return reply

    def record(self, request, reply):
        """docs/openapi.yaml is held against what gengate answered, not what nginx says of no HTTP; and by the path
        that was sent, which nginx may have changed."""
        if not request.to_nginx and reply.status != CLOSED and not DOTS.search(request.target):
            headers = http.client.HTTPMessage()
            for name, value in reply.pairs:
                headers[name] = value
            self.rig._record(request.method, request.target, dict(request.headers), request.body,
                             stacks.Answer(reply.status, headers, reply.body), reply.body)

    def judge(self, row, reply):
        equal(reply.status, row.status, f"status of {reply}")
        if reply.status in (CLOSED, NO_HEAD):
            return
        names = [name.lower() for name, _ in reply.pairs]
        check(len(set(names)) == len(names), f"a header that comes twice: {reply.pairs}")
        check(not any("injected" in name for name in names), f"a header of somebody else's: {reply.pairs}")
        for name, value in row.headers.items():
            equal(reply.header(name), value, name)
        if row.code is None:
            check(reply.header("Content-Type") != PROBLEM or is_head(row), f"a problem: {reply}")
        elif is_head(row):
            equal((reply.header("Content-Type"), reply.body), (PROBLEM, b""), "answer to HEAD")
        else:
            self.judge_problem(row, reply)

    def judge_problem(self, row, reply):
        equal(reply.header("Content-Type"), PROBLEM, f"content type of {reply}")
        problem = reply.json
        equal((problem["code"], problem["status"]), (row.code, row.status), f"code and status of {problem}")
        check(problem["type"] and problem["title"] and problem["detail"], f"without words: {problem}")
        check(re.fullmatch(r"[0-9a-f]{32}", problem["request_id"] or ""), f"request id: {problem}")
        equal(reply.header("X-Request-Id"), problem["request_id"], "request id")
        equal(reply.header("Cache-Control"), "no-store", "Cache-Control")
        equal(reply.header("X-Content-Type-Options"), "nosniff", "X-Content-Type-Options")
        if row.pointers is not None:
            equal([error["pointer"] for error in problem["errors"]], row.pointers, "pointers")
        self.seen.add(row.code)


def is_head(row):
    return not isinstance(row.request, bytes) and row.request.method == "HEAD"
