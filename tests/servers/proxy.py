"""A TCP proxy on loopback that loses answers, delays them, swallows everything, or hangs up.

with Proxy(server.port) as proxy:
    proxy.cut_answer_to(b"UPDATE")     # the request arrives, its answer never does
    proxy.delay_s = 0.4                # each answer comes that much later
    proxy.swallow = True               # connections stay open, nothing passes
    proxy.hang_up()                    # all connections end; new ones are taken
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Final

from tests.servers.ends import Ends

_CHUNK: Final = 65_536
_JOIN_S: Final = 10.0


class Proxy(Ends):
    """Passes connections on to `port` of this host. The faults may be changed at any time."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.delay_s = 0.0
        self.swallow = False
        self.cuts = 0
        """How many answers were lost so far."""
        self.accepted = 0
        self._pattern = b""
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._sockets: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, name="proxy")]
        self._threads[0].start()

    def end(self) -> None:
        self._ended.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        for thread in self._threads:
            thread.join(_JOIN_S)

    def cut_answer_to(self, pattern: bytes) -> None:
        """Pass the next request with `pattern` in it on, and lose what the server says to it."""
        with self._lock:
            self._pattern = pattern

    def hang_up(self) -> None:
        """End all connections."""
        with self._lock:
            ending, self._sockets = self._sockets, set()
        for each in ending:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    @property
    def open(self) -> int:
        """How many connections are open."""
        with self._lock:
            return len(self._sockets) // 2

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            self.accepted += 1
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            _Wire(self, client, server).start()

    # For the wires.

    def took_up(self, wire: _Wire) -> None:
        with self._lock:
            self._sockets |= {wire.client, wire.server}
            self._threads = [each for each in self._threads if each.is_alive()]
            self._threads += wire.threads

    def gave_up(self, wire: _Wire) -> None:
        with self._lock:
            self._sockets -= {wire.client, wire.server}

    def is_to_cut(self, request: bytes) -> bool:
        """Tell whether the answer to `request` is to be lost; only one is."""
        with self._lock:
            if not self._pattern or self._pattern not in request:
                return False
            self._pattern = b""
            return True

    def pause(self) -> None:
        """Wait as long as an answer is to be late."""
        self._ended.wait(self.delay_s)


class _Wire:
    """One connection through the proxy, and a thread for each direction."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self.client = client
        self.server = server
        self._cutting = False
        self.threads = [
            threading.Thread(target=self._requests, name="proxy-requests"),
            threading.Thread(target=self._answers, name="proxy-answers"),
        ]
        self._left = len(self.threads)
        self._lock = threading.Lock()

    def start(self) -> None:
        for end in (self.client, self.server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._proxy.took_up(self)
        for thread in self.threads:
            thread.start()

    def _requests(self) -> None:
        with suppress(OSError):
            while chunk := self.client.recv(_CHUNK):
                if self._proxy.swallow:
                    continue
                self._cutting = self._cutting or self._proxy.is_to_cut(chunk)
                self.server.sendall(chunk)
        self._end()

    def _answers(self) -> None:
        with suppress(OSError):
            while chunk := self.server.recv(_CHUNK):
                if self._cutting:
                    self._proxy.cuts += 1
                    break
                if self._proxy.delay_s:
                    self._proxy.pause()
                if not self._proxy.swallow:
                    self.client.sendall(chunk)
        self._end()

    def _end(self) -> None:
        """Hang up both ends; the last of the two threads closes them."""
        for each in (self.client, self.server):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._left -= 1
            last = not self._left
        if last:
            self._proxy.gave_up(self)
            self.client.close()
            self.server.close()
