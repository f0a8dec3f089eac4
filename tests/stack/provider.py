"""A stand-in for Replicate's API below HTTP: it reads each create to its end and then does what the
test says with the connection, over HTTP/1.1 or, behind TLS, by frames of HTTP/2.

Only creates are answered; all else is 503.  HTTP/2 is as much as a client with small requests needs.
"""

import http.server
import json
import socket
import ssl
import struct
import threading

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, ACK, END_HEADERS = 1, 1, 4
NO_ERROR, INTERNAL_ERROR, REFUSED_STREAM = 0, 2, 7


def prediction(number):
    return json.dumps({"id": f"made{number}", "status": "processing", "input": {}}).encode()


class Provider:
    """created: bodies of the creates that were read to their end.  act: what happens then.
    agents: who sent them, over HTTP/1.1."""

    def __init__(self, act="answer", certificate=None):
        self.act = act
        self.created, self.agents = [], []
        self.connections = 0
        self.lock = threading.Lock()
        self.tls = None
        if certificate:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*certificate)
            self.tls.set_alpn_protocols(["h2"])
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.listener.getsockname()[1]}/v1"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def take(self, body):
        """One more create; its number and what is to happen to it."""
        with self.lock:
            self.created.append(body)
            return len(self.created), self.act

    def _accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        try:
            with s if not self.tls else self.tls.wrap_socket(s, server_side=True) as s:
                s.settimeout(60)
                Http2(self, s).run() if self.tls else Http1(self, s)
        except OSError:
            pass        # the client has gone

    @staticmethod
    def reset(s):
        """No more than a reset: nothing was answered, nothing is."""
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Http1(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, provider, s):
        self.provider = provider
        super().__init__(s, s.getpeername(), None)

    def do_GET(self):
        self.answer(503, b"{}")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if not body:
            self.answer(503, b"{}")
            return
        self.provider.agents.append(self.headers["User-Agent"])
        number, act = self.provider.take(body)
        if act == "answer":
            self.answer(201, prediction(number))
            return
        if act == "reset":
            Provider.reset(self.connection)
        self.close_connection = True

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Http2:
    def __init__(self, provider, s):
        self.provider, self.s = provider, s
        self.bodies = {}

    def read(self, n):
        got = b""
        while len(got) < n:
            piece = self.s.recv(n - len(got))
            if not piece:
                raise ConnectionError
            got += piece
        return got

    def frame(self, kind, flags, stream, data=b""):
        self.s.sendall(struct.pack(">I", len(data))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + data)

    def run(self):
        if self.read(len(PREFACE)) != PREFACE:
            return
        self.frame(SETTINGS, 0, 0)
        going = True
        while going:
            head = self.read(9)
            data = self.read(int.from_bytes(head[:3], "big"))
            going = self.take(head[3], head[4], int.from_bytes(head[5:], "big"), data)

    def take(self, kind, flags, stream, data):
        """Whether the connection goes on."""
        if kind == SETTINGS and not flags & ACK:
            self.frame(SETTINGS, ACK, 0)
        elif kind == PING and not flags & ACK:
            self.frame(PING, ACK, 0, data)
        elif kind in (HEADERS, DATA):
            if kind == DATA:
                self.bodies[stream] = self.bodies.get(stream, b"") + data
            if flags & END_STREAM:
                return self.whole(stream, self.bodies.pop(stream, b""))
        return kind != GOAWAY

    def whole(self, stream, body):
        if not body:
            self.answer(stream, 503, b"{}")
            return True
        number, act = self.provider.take(body)
        if act == "answer":
            self.answer(stream, 201, prediction(number))
        elif act == "refuse":
            self.frame(RST_STREAM, 0, stream, struct.pack(">I", REFUSED_STREAM))
        elif act == "cut":
            self.frame(RST_STREAM, 0, stream, struct.pack(">I", INTERNAL_ERROR))
        elif act == "goaway below":
            # Ours was not looked at, it says, and may be sent again.
            self.frame(GOAWAY, 0, 0, struct.pack(">II", stream - 2 if stream > 2 else 0, NO_ERROR))
        elif act == "goaway and close":
            self.frame(GOAWAY, 0, 0, struct.pack(">II", stream, NO_ERROR))
            return False
        elif act == "reset":
            Provider.reset(self.s)
            return False
        return act in ("answer", "refuse", "cut", "goaway below")

    def answer(self, stream, status, body):
        # HPACK without a table: "name number 8" is :status.
        self.frame(HEADERS, END_HEADERS, stream, b"\x08\x03" + str(status).encode())
        self.frame(DATA, END_STREAM, stream, body)
