"""The embedded SSH server: public keys only, one subsystem, nothing else; needs no root.

One thread accepts and waits for each client's first bytes, so that a connection that stays silent
costs a socket and no thread. What speaks SSH gets a thread, and has one deadline for everything
up to its hello. Both rooms are bounded. When one is full, the oldest of the address that holds
the most makes place: one host with a flood of connections does not keep a peer out.

A client's user name is the node it claims to be. It must come with the key that is pinned for
that node. Everything else that SSH can do (passwords, shells, commands, terminals, forwarding of
ports, agents and X11, variables) is refused.
"""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import paramiko

from syncagent.core.errors import BusyError, RefusedError, UnreachableError
from syncagent.ssh.client import parse_address
from syncagent.ssh.transport import (
    BROKEN,
    SUBSYSTEM,
    Pipe,
    end_transport,
    make_transport,
    shown,
    shut,
    tune,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.core.artifact import NodeName
    from syncagent.ssh.keys import NodeKey
    from syncagent.ssh.link import Clock

SILENT_MAX = 256
"""Connections that may wait to send their first bytes."""
GREETING_MAX = 16
"""Connections that may be between their first bytes and their hello."""
_BACKLOG = 128
_FIRST_BYTES = b"SSH-"
_TICK_S = 1.0


@dataclass
class Caller:
    """What a client showed: whom it claims to be, by which key, and why it was refused."""

    address: str
    name: str = ""
    key: paramiko.PKey | None = None
    refusal: str = ""
    peer: NodeName | None = None
    asked: threading.Event = field(default_factory=threading.Event)
    channel: paramiko.Channel | None = None


class Gate(paramiko.ServerInterface):
    """Lets a pinned key open one session with our subsystem; the base class refuses the rest.

    `admit` returns the peer that a claimed name and key prove, or raises RefusedError.
    """

    def __init__(self, caller: Caller, admit: Callable[[str, paramiko.PKey], NodeName]) -> None:
        self._caller = caller
        self._admit = admit
        self._sessions = 0

    def get_allowed_auths(self, username: str) -> str:
        """Name the only way in."""
        self._caller.name = shown(username)
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        """Accept the pinned key of the claimed node; paramiko then checks the signature."""
        caller = self._caller
        caller.name, caller.key = shown(username), key
        try:
            caller.peer = self._admit(username, key)
        except RefusedError as error:
            caller.refusal = str(error)
            return paramiko.common.AUTH_FAILED
        caller.refusal = ""
        return paramiko.common.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        """Open one session."""
        del chanid
        if kind != "session" or self._sessions:
            return paramiko.common.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        self._sessions += 1
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_subsystem_request(self, channel: paramiko.Channel, name: str) -> bool:
        """Start our subsystem, once."""
        if name != SUBSYSTEM or self._caller.channel is not None:
            return False
        self._caller.channel = channel
        self._caller.asked.set()
        return True


@dataclass
class _Guest:
    """A connection that is not a link yet, in the order of arrival."""

    sock: socket.socket
    host: str
    since: float
    abort: Callable[[], None]


class Room:
    """A bounded number of guests; the fullest host's oldest makes place for a new one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._guests: list[_Guest] = []

    def enter(self, guest: _Guest) -> None:
        """Take a guest in, and send one away if there are too many."""
        with self._lock:
            self._guests.append(guest)
            if len(self._guests) <= self._most:
                return
            host = Counter(other.host for other in self._guests).most_common(1)[0][0]
            sent = next(other for other in self._guests if other.host == host)
            self._guests.remove(sent)
        sent.abort()

    def leave(self, guest: _Guest) -> bool:
        """Let a guest go; False if it was not here any more."""
        with self._lock:
            if guest in self._guests:
                self._guests.remove(guest)
                return True
        return False

    def overdue(self, before: float) -> list[_Guest]:
        """Take out and return the guests that came before that time."""
        with self._lock:
            late = [guest for guest in self._guests if guest.since < before]
            self._guests = [guest for guest in self._guests if guest.since >= before]
        return late

    def __len__(self) -> int:
        return len(self._guests)


class Server:
    """Listens, and turns connections into authenticated pipes.

    `admit` judges a claimed name and key; `arrived` gets each caller and, unless it was refused,
    its pipe, in a thread of its own that it may keep.
    """

    def __init__(
        self,
        key: NodeKey,
        admit: Callable[[str, paramiko.PKey], NodeName],
        arrived: Callable[[Caller, Pipe | None], None],
        clock: Clock,
        timeout_s: float,
    ) -> None:
        self._key = key
        self._admit = admit
        self._arrived = arrived
        self._clock = clock
        self._timeout_s = timeout_s
        self._silent = Room(SILENT_MAX)
        self._greeting = Room(GREETING_MAX)
        self._selector = selectors.DefaultSelector()
        self._stopping = threading.Event()
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def start(self, listen: str) -> int:
        """Listen on `host:port` (port 0: any) and return the port.

        Raises BusyError if another process has the address, UnreachableError if this machine
        has not got it.
        """
        _, host, port = parse_address(listen)
        try:
            self._listener = _listener(host, port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise BusyError(
                    f"can't listen on {listen}: another process has this address",
                    hint=f"`ss -ltnp` shows which; stop it, or change node.listen (port {port})",
                ) from error
            raise UnreachableError(
                f"can't listen on {listen}: {error.strerror or error}",
                hint="node.listen has to be an address of this machine",
            ) from error
        self._listener.setblocking(False)  # noqa: FBT003 -- the socket module's own signature
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="ssh-accept", daemon=True)
        self._thread.start()
        return int(self._listener.getsockname()[1])

    def stop(self) -> None:
        """Stop listening and drop whoever is not a link yet."""
        self._stopping.set()
        if self._listener is not None:
            shut(self._listener)
        if self._thread is not None:
            self._thread.join()

    # The accepting thread.

    def _run(self) -> None:
        assert self._listener is not None, "start made the listener"
        while not self._stopping.is_set():
            for ready, _ in self._selector.select(_TICK_S if self._guests() else None):
                if ready.data is not None:
                    self._spoke(ready.data)
                else:
                    self._accept(self._listener)
            before = self._clock() - self._timeout_s
            for late in self._silent.overdue(before):
                self._drop(late)
            for late in self._greeting.overdue(before):
                late.abort()
        for room in (self._silent, self._greeting):
            for guest in room.overdue(float("inf")):
                guest.abort()
        self._selector.close()
        self._listener.close()

    def _guests(self) -> int:
        return len(self._silent) + len(self._greeting)

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, address = listener.accept()
        except OSError:
            # The client is gone already, or no descriptors are left: the next one may fare better.
            self._stopping.wait(0.01)
            return
        guest = _Guest(sock, str(address[0]), self._clock(), lambda: self._drop(guest))
        self._selector.register(sock, selectors.EVENT_READ, guest)
        self._silent.enter(guest)

    def _drop(self, guest: _Guest) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(guest.sock)
        guest.sock.close()

    def _spoke(self, guest: _Guest) -> None:
        """Look at a client's first bytes without taking them; only SSH goes on."""
        if not self._silent.leave(guest):
            return
        try:
            first = guest.sock.recv(len(_FIRST_BYTES), socket.MSG_PEEK)
        except OSError:
            first = b""
        if first != _FIRST_BYTES:
            self._drop(guest)
            return
        self._selector.unregister(guest.sock)
        guest.abort = lambda: shut(guest.sock)
        self._greeting.enter(guest)
        threading.Thread(
            target=self._greet, args=(guest,), name=f"ssh-greet-{guest.host}", daemon=True
        ).start()

    # A thread per greeting, which becomes the link's reader.

    def _greet(self, guest: _Guest) -> None:
        caller = Caller(guest.host)
        sock = guest.sock
        in_time = False
        transport = make_transport(sock, [self._key.private.get_name()], self._timeout_s)
        try:
            tune(sock)
            transport.add_server_key(self._key.private)
            transport.start_server(server=Gate(caller, self._admit))
            self._await_subsystem(transport, caller)
        except BROKEN:
            # Whatever it was, the caller did not get as far as asking for the subsystem.
            caller.channel = None
        finally:
            in_time = self._greeting.leave(guest)
            if caller.channel is None or not in_time:
                end_transport(transport, sock)
        if caller.channel is None or not in_time or transport.get_username() != caller.peer:
            end_transport(transport, sock)
            self._arrived(caller, None)
        else:
            self._arrived(caller, Pipe(caller.channel, sock=sock, transport=transport))

    def _await_subsystem(self, transport: paramiko.Transport, caller: Caller) -> None:
        deadline = self._clock() + self._timeout_s
        while transport.is_active() and self._clock() < deadline:
            if caller.asked.wait(0.1):
                return


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if host in {"", "*"}:
        dual = socket.has_dualstack_ipv6()
        return socket.create_server(
            ("", port),
            family=socket.AF_INET6 if dual else socket.AF_INET,
            dualstack_ipv6=dual,
            backlog=_BACKLOG,
        )
    info = socket.getaddrinfo(host, port, family if ":" in host else 0, socket.SOCK_STREAM)
    return socket.create_server(info[0][4][:2], family=info[0][0], backlog=_BACKLOG)
