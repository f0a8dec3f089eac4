"""A FastCGI application in a few lines, for tests that need one in place of gengate.

	server = Server(path, handler)      # a thread per connection
	def handler(request): return "Status: 200\\r\\n\\r\\nbody"

handler gets a Request and returns the answer, or yields it piece by piece.
"""

import os
import socket
import struct
import threading

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT = 1, 2, 3, 4, 5, 6
HEADER = struct.Struct(">BBHHBx")
KEEP_CONN = 1


class Request:
    def __init__(self, params, body, connection):
        self.params = params
        self.body = body
        self.connection = connection    # a number: which connection it came on


def _pairs(data):
    pairs, at = {}, 0

    def length():
        nonlocal at
        size = data[at]
        at += 1
        if size & 0x80:
            size = (size & 0x7F) << 24 | int.from_bytes(data[at:at + 3], "big")
            at += 3
        return size
    while at < len(data):
        name, value = length(), length()
        pairs[data[at:at + name].decode("latin-1")] = data[at + name:at + name + value].decode("latin-1")
        at += name + value
    return pairs


class Server:
    def __init__(self, path, handler):
        self.handler = handler
        self.connections = 0
        self.open = set()
        self.listener = socket.socket(socket.AF_UNIX)
        if os.path.exists(path):
            os.unlink(path)
        self.listener.bind(path)
        self.listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in list(self.open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self.open.add(connection)
            threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection, number):
        with connection, connection.makefile("rb") as stream:
            try:
                while self._one(connection, stream, number):
                    pass
            except OSError:
                pass        # nginx has gone
            finally:
                self.open.discard(connection)

    def _one(self, connection, stream, number):
        params, body, flags, rid = b"", b"", 0, 0
        while True:
            header = stream.read(HEADER.size)
            if len(header) < HEADER.size:
                return False
            _, kind, rid, size, padding = HEADER.unpack(header)
            data = stream.read(size + padding)[:size]
            if kind == BEGIN:
                flags = data[2]
            elif kind == PARAMS:
                params += data
            elif kind == STDIN:
                body += data
                if not data:
                    break
            elif kind == ABORT:
                return False
        answer = self.handler(Request(_pairs(params), body, number))
        for piece in [answer] if isinstance(answer, (str, bytes)) else answer:
            piece = piece.encode() if isinstance(piece, str) else piece
            for at in range(0, len(piece), 0x8000):
                part = piece[at:at + 0x8000]
                connection.sendall(HEADER.pack(1, STDOUT, rid, len(part), 0) + part)
        connection.sendall(HEADER.pack(1, STDOUT, rid, 0, 0) + HEADER.pack(1, END, rid, 8, 0) + bytes(8))
        return bool(flags & KEEP_CONN)


def _length(n):
    return bytes([n]) if n < 128 else struct.pack(">I", n | 0x80000000)


def ask(path, params, body=b"", timeout=30):
    """The other side: one request to an application's unix socket; all that it answers."""
    packed = b""
    for name, value in params.items():
        name, value = name.encode(), value.encode()
        packed += _length(len(name)) + _length(len(value)) + name + value
    request = HEADER.pack(1, BEGIN, 1, 8, 0) + bytes([0, 1, 0, 0, 0, 0, 0, 0])
    pieces = [(kind, data[at:at + 0x8000]) for kind, data in ((PARAMS, packed), (STDIN, body))
              for at in [*range(0, len(data), 0x8000), len(data)]]
    for kind, data in pieces:
        request += HEADER.pack(1, kind, 1, len(data), 0) + data
    answer = b""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(timeout)
        s.connect(path)
        s.sendall(request)
        with s.makefile("rb") as stream:
            while len(header := stream.read(HEADER.size)) == HEADER.size:
                _, kind, _, size, padding = HEADER.unpack(header)
                data = stream.read(size + padding)[:size]
                answer += data if kind == STDOUT else b""
    return answer
