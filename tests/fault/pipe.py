"""A connection that misbehaves: it stands between gengate and a server and hands
on what both say, until it is told otherwise."""

import os
import socket
import struct
import threading

RESET = struct.pack("ii", 1, 0)     # SO_LINGER: close() sends RST


class _Pair:
    """One client's connection and ours to the server."""

    def __init__(self, pipe, client, server):
        self.pipe, self.client, self.server = pipe, client, server
        self.flows = threading.Event()
        self.flows.set()
        self.mute = False       # what the server says is thrown away; then it is cut
        for work in (self._to_server, self._to_client):
            threading.Thread(target=work, daemon=True).start()

    def _receive(self, s):
        try:
            data = s.recv(65536)
        except OSError:
            data = b""
        self.flows.wait()
        return data

    def _to_server(self):
        while data := self._receive(self.client):
            self.mute = self.mute or self.pipe.takes(data)
            try:
                self.server.sendall(data)
            except OSError:
                break
        self.close()

    def _to_client(self):
        while data := self._receive(self.server):
            if self.mute:
                self.pipe.cuts += 1
                break
            try:
                self.client.sendall(data)
            except OSError:
                break
        self.close()

    def close(self, reset=False):
        for s in (self.client, self.server):
            try:
                if reset and s.family != socket.AF_UNIX:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    s.close()
                else:
                    s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.flows.set()
        self.pipe.pairs.discard(self)


class Pipe:
    """path: a unix socket to listen at; None: a port of 127.0.0.1 that was free (port).
    server: a path, or (host, port)."""

    def __init__(self, server, path=None):
        self.server, self.path = server, path
        self.pairs = set()
        self.words = None
        self.cuts = 0
        self.silent = False
        self.listener = None
        self.port = None
        if not path:
            # Bound and not listened to, so that the port stays ours while nobody listens.
            self.holder = self._socket(("127.0.0.1", 0))
            self.port = self.holder.getsockname()[1]
        self.accept()

    def _socket(self, address):
        s = socket.socket(socket.AF_UNIX if self.path else socket.AF_INET)
        if not self.path:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(address)
        return s

    def accept(self):
        """Be there (again)."""
        if self.listener:
            return
        if self.path and os.path.exists(self.path):
            os.unlink(self.path)
        self.listener = self._socket(self.path or ("127.0.0.1", self.port))
        self.listener.listen(256)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def refuse(self):
        """Nobody listens, and who was connected is cut off."""
        listener, self.listener = self.listener, None
        if listener:
            try:
                listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            listener.close()
        self.reset()

    def reset(self):
        """Cut all connections; new ones are taken."""
        for pair in list(self.pairs):
            pair.close(reset=True)

    def silence(self, new=True):
        """Connections stay, and nothing comes through; with new=False new ones do."""
        self.silent = new
        for pair in list(self.pairs):
            pair.flows.clear()

    def speak(self):
        """To who comes now.  What was said meanwhile never arrives."""
        self.silent = False
        for pair in list(self.pairs):
            if not pair.flows.is_set():
                pair.close(reset=True)

    def cut(self, *words):
        """The next message that holds all of these is handed on; its answer is thrown away, and
        the connection is cut.  Not PostgreSQL's Parse: nothing is done by preparing a statement."""
        self.cuts = 0
        self.words = [word.encode() for word in words]

    def takes(self, data):
        words = self.words
        if not words or data.startswith(b"P\0") or not all(word in data for word in words):
            return False
        self.words = None
        return True

    def close(self):
        self.refuse()
        if not self.path:
            self.holder.close()

    def _connect(self):
        s = socket.socket(socket.AF_UNIX if isinstance(self.server, str) else socket.AF_INET)
        s.connect(self.server)
        return s

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                pair = _Pair(self, client, self._connect())
            except OSError:
                client.close()
                continue
            self.pairs.add(pair)
            if self.silent:
                pair.flows.clear()
