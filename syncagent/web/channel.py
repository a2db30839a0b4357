"""waitress on TCP, also under TLS, that no client can hold up.

waitress has no TLS. Its connections are state machines in one `poll` loop; the one here has two
more states, for the handshake, so that a client that is slow at it, or never ends it, is one more
entry in that loop and blocks nobody. (Servers that wrap the socket when they accept it do the
handshake there and then: one silent client stops them all.) OpenSSL may not read and write one
connection at the same time, and waitress sends from its worker threads: each connection has a lock.

A connection has `REQUEST_S` until its next request begins, the handshake included, and again as
long until that is whole, however many bytes it sends; an answer has to be taken within `ANSWER_S`.
At `CONNECTIONS_MAX` the one that has been without a whole request the longest gives way to a new
one: who opens connections and says nothing can't keep out who asks.
"""

from __future__ import annotations

import errno
import ssl
import threading
import time
from typing import TYPE_CHECKING

from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from waitress.adjustments import Adjustments

CONNECTIONS_MAX = 128
REQUEST_S = 10.0
"""A load balancer's check is there within a second; a person's network needs no more than this."""
ANSWER_S = 60.0
DEAF_S = 1.0
RECORD_BYTES = 16 * 1024
"""Largest TLS record (RFC 8446, 5.1). A read of this size leaves nothing inside OpenSSL, where
`poll` would not see it."""

_WANTS = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError)


class _NothingYetError(Exception):
    """There is nothing whole to read yet."""


class DoorChannel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    """One connection."""

    def __init__(
        self,
        server: DoorServer,
        sock: socket.socket,
        addr: object,
        adj: Adjustments,
        map: dict[int, object],  # noqa: A002 - waitress's own name
    ) -> None:
        self.since = server.clock()
        """When it began to owe a request, or the other end to take an answer."""
        self._wire = threading.Lock()
        self._shaking = isinstance(sock, ssl.SSLSocket)
        self._wants_write = False
        super().__init__(server, sock, addr, adj, map=map)

    @property
    def serving(self) -> bool:
        """True while a whole request is being answered."""
        return bool(self.requests)

    def overdue(self, now: float) -> bool:
        """Tell whether its time is over."""
        limit_s = ANSWER_S if self.total_outbufs_len else REQUEST_S
        return not self.serving and now - self.since > limit_s

    def write_soon(self, data: bytes) -> int:
        """Take a part of an answer, in a worker's thread; the time for the next request begins."""
        self.since = self.server.clock()
        return int(super().write_soon(data))

    # --- the handshake ----------------------------------------------------------------------

    def readable(self) -> bool:
        """Tell whether to wait for bytes."""
        if self._shaking:
            return not self.will_close and not self._wants_write
        return bool(super().readable())

    def writable(self) -> bool:
        """Tell whether to wait for room."""
        if self._shaking:
            return self.will_close or self._wants_write
        return bool(super().writable())

    def handle_read(self) -> None:
        """Bytes have come."""
        if self._shaking:
            self._shake()
            return
        begins = self.request is None
        try:
            super().handle_read()
        except _NothingYetError:
            return
        except ValueError:
            # waitress 3.0 lets this through for a URI whose IPv6 address has no end.
            self.handle_close()
            return
        if begins and self.request is not None:
            self.since = self.server.clock()

    def handle_write(self) -> None:
        """There is room."""
        if self._shaking and not self.will_close:
            self._shake()
        else:
            super().handle_write()

    def _shake(self) -> None:
        """Go on with the handshake, as far as it goes without waiting."""
        try:
            self.socket.do_handshake()
        except ssl.SSLWantReadError:
            self._wants_write = False
        except ssl.SSLWantWriteError:
            self._wants_write = True
        except (OSError, ValueError):
            # It speaks no TLS, wants another certificate, or went: all of them its own business.
            self.handle_close()
        else:
            self._shaking = self._wants_write = False

    # --- bytes ------------------------------------------------------------------------------

    def recv(self, buffer_size: int) -> bytes:
        """Read; raises _NothingYetError where a record is not whole yet."""
        try:
            with self._wire:
                found: bytes = self.socket.recv(buffer_size)
        except _WANTS:
            raise _NothingYetError from None
        except OSError:
            found = b""
        if not found:
            self.handle_close()
        return found

    def send(self, data: bytes, do_close: bool = True) -> int:  # noqa: FBT001, FBT002 - waitress's
        """Send what can be sent; 0 if nothing can, or the other end is gone."""
        try:
            with self._wire:
                sent: int = self.socket.send(data)
        except _WANTS:
            return 0
        except OSError:
            if do_close:
                self.handle_close()
            return 0
        return sent


class DoorServer(TcpWSGIServer):  # type: ignore[misc]  # waitress has no types
    """The listening socket. `context` may change at any time: new connections use the new one.

    `clock` counts seconds and never steps.
    """

    channel_class = DoorChannel
    context: ssl.SSLContext | None = None
    deaf_until: float = 0.0
    """There are no descriptors left for connections; asking again at once would only burn time."""
    clock: Callable[[], float] = staticmethod(time.monotonic)

    def readable(self) -> bool:
        """Tell whether to wait for connections."""
        return bool(self.accepting) and self.clock() >= self.deaf_until

    def fix_addr(self, addr: object) -> object:
        """Return the address as waitress wants it."""
        return addr

    def handle_accept(self) -> None:
        """Take a connection; the one that owes a request for the longest may have to go."""
        try:
            accepted = self.accept()
            if accepted is None:
                return
            sock, address = accepted
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
                self.deaf_until = self.clock() + DEAF_S
            return
        self._make_room()
        try:
            self.set_socket_options(sock)
            sock.settimeout(0.0)
            if self.context is not None:
                sock = self.context.wrap_socket(
                    sock, server_side=True, do_handshake_on_connect=False
                )
        except (OSError, ValueError):
            sock.close()
            return
        if len(self.active_channels) >= CONNECTIONS_MAX:
            sock.close()
            return
        DoorChannel(self, sock, address, self.adj, self._map)

    def expire(self) -> None:
        """Close connections whose time is over."""
        now = self.clock()
        for channel in list(self.active_channels.values()):
            if channel.overdue(now):
                channel.handle_close()

    def _make_room(self) -> None:
        if len(self.active_channels) < CONNECTIONS_MAX:
            return
        idle = [channel for channel in self.active_channels.values() if not channel.serving]
        if idle:
            min(idle, key=lambda channel: channel.since).handle_close()
