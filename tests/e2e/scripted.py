"""A server on loopback whose answers are bytes that a test wrote: what the simulator, which speaks good HTTP
through nginx, cannot say."""

import re
import socket
import threading
import time

from stack import HOST


def reply(status=200, body=b"", headers=(), length=None):
    """A whole answer; length: another Content-Length than the body's, "" for none."""
    body = body if isinstance(body, bytes) else body.encode()
    lines = [f"HTTP/1.1 {status} x", *(f"{name}: {value}" for name, value in headers), "Connection: close"]
    if length != "":
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class Scripted:
    """answers: a piece of a path to what is answered there, in this order, the last for good: bytes, or a list
    of bytes with pauses of a second between them.  What no piece is in gets `otherwise`."""

    def __init__(self, otherwise=reply(404)):
        self.answers, self.otherwise = {}, otherwise
        self.asked = []         # "METHOD path"
        self.socket = socket.create_server((HOST, 0), backlog=128)
        self.port = self.socket.getsockname()[1]
        self.url = f"http://{HOST}:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            connection.settimeout(20)
            try:
                line = self._read(connection)
                for piece in self._answer(line):
                    connection.sendall(piece)
            except OSError:
                pass        # the other side had enough

    def _read(self, connection):
        """One request to its end; its first line."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                raise OSError("no request")
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        left = int(length[1]) - len(body) if length else 0
        while left > 0:
            left -= len(connection.recv(65536)) or left
        return head.partition(b"\r\n")[0].decode("latin-1").rpartition(" ")[0]

    def _answer(self, line):
        self.asked.append(line)
        found = next((answers for piece, answers in self.answers.items() if piece in line), [self.otherwise])
        answer = found.pop(0) if len(found) > 1 else found[0]
        for n, piece in enumerate([answer] if isinstance(answer, bytes) else answer):
            if n:
                time.sleep(1)
            yield piece
