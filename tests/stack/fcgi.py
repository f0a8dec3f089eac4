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
