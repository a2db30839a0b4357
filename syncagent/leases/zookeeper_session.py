"""A session with ZooKeeper that says what it was granted, and lets go of a server that hangs.

kazoo keeps the session alive, on threads of its own. Three things it does not do are done here:

- It tells how long a session the servers granted in its log only, so that is where it is read.
- It waits for a server that hangs for most of the session's length. A request that was not answered
  in time cuts the connection instead; the session goes on with the next server.
- What it trusts always includes the system's authorities. Sockets are made here, which trust only
  the one that was named.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kazoo.client import KazooClient
from kazoo.exceptions import (
    BadVersionError,
    KazooException,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    RolledBackError,
    RuntimeInconsistency,
)
from kazoo.handlers.threading import KazooTimeoutError, SequentialThreadingHandler
from kazoo.protocol.states import KeeperState
from kazoo.security import CREATOR_ALL_ACL

from syncagent.core.lease import StoreUnavailable
from syncagent.leases.tls import tls_context

if TYPE_CHECKING:
    import ssl

    from kazoo.interfaces import IAsyncResult

ANSWERS: Final = (
    BadVersionError,
    NodeExistsError,
    NoNodeError,
    RolledBackError,
    RuntimeInconsistency,
)
"""What `Session.wait` raises as it is: answers about nodes. The last two: another step failed."""
RECONNECT: Final = {"max_tries": -1, "delay": 0.02, "backoff": 2, "max_delay": 1.0}
"""For ever, and every second at most: a lease must not wait for a minute when servers return."""
_LOG_ALL: Final = 1
_GRANTED: Final = "Session created"
_GRANTED_AT: Final = 2


@dataclass(frozen=True, slots=True)
class ZooKeeperPlace:
    """Where ZooKeeper is and who we are there.

    `hosts` as `host:2181`. `authority`, `certificate` and `key` are PEM files; TLS is spoken if there
    is an `authority` or a certificate. `user`: what we make only that user may touch (scheme digest).
    `tick_s` is the servers' tickTime: sessions may end that much sooner than a server told.
    """

    hosts: tuple[str, ...]
    prefix: str = "/syncagent"
    authority: str = ""
    certificate: str = ""
    key: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    tick_s: float = 2.0

    def __post_init__(self) -> None:
        assert self.hosts, "somebody has to be asked"


class Session:
    """Connects when it is first used. One thread at a time; `operation_s` is for connecting too."""

    def __init__(self, place: ZooKeeperPlace, lease_s: float, operation_s: float) -> None:
        self._place = place
        self._asked_s = lease_s + place.tick_s
        self._operation_s = operation_s
        self._trust = _trust(place)
        self._client: KazooClient | None = None
        self._handler = _Sockets(operation_s, self._trust)
        self._ear = _Ear()
        self._live = threading.Event()

    @property
    def number(self) -> int:
        """What the servers call this session, and nodes that end with it. Raises StoreUnavailable."""
        identity: tuple[int, bytes] | None = self._client and self._client.client_id
        if identity is None:
            raise StoreUnavailable("the connection to ZooKeeper was lost")
        return identity[0]

    def client(self, until: float) -> KazooClient:
        """Return a connected client; raises StoreUnavailable. `until`: of `time.monotonic`."""
        if self._client is not None and self._client.client_state in {
            KeeperState.AUTH_FAILED,
            KeeperState.CLOSED,
        }:
            self.close()
        if self._client is None:
            self._client = self._begin()
        if not self._live.wait(max(0.0, until - time.monotonic())):
            self._handler.cut()
            raise StoreUnavailable(f"no ZooKeeper answers ({self._ear.trouble or 'no connection'})")
        self._check_length()
        return self._client

    def wait(self, result: IAsyncResult, until: float) -> object:
        """Return what came of a request; raises one of `ANSWERS`, or StoreUnavailable."""
        try:
            return result.get(block=True, timeout=max(0.0, until - time.monotonic()))
        except ANSWERS:
            raise
        except KazooTimeoutError as error:
            self._handler.cut()
            raise StoreUnavailable("ZooKeeper did not answer in time") from error
        except NoAuthError as error:
            raise StoreUnavailable(
                "ZooKeeper refuses this user", hint="check election.user and the nodes' ACLs"
            ) from error
        except KazooException as error:
            raise StoreUnavailable(f"ZooKeeper: {type(error).__name__} {error}".strip()) from error

    def close(self) -> None:
        """End the session, which lets go of what it holds; returns though no server answers."""
        client, self._client = self._client, None
        if client is None:
            return
        ending = threading.Thread(target=_end, args=(client,), name="lease-end", daemon=True)
        ending.start()
        ending.join(self._operation_s)
        if ending.is_alive():
            self._handler.cut()

    def _begin(self) -> KazooClient:
        place = self._place
        self._handler = _Sockets(self._operation_s, self._trust)
        self._ear = _Ear()
        client = KazooClient(
            hosts=",".join(place.hosts),
            timeout=self._asked_s,
            handler=self._handler,
            connection_retry=RECONNECT,
            auth_data=[("digest", f"{place.user}:{place.password}")] if place.user else None,
            default_acl=CREATOR_ALL_ACL if place.user else None,
            logger=self._ear,
        )
        self._live = client.start_async()
        return client

    def _check_length(self) -> None:
        granted_s = self._ear.granted_s
        if granted_s is None:
            raise StoreUnavailable("it is unknown how long a session ZooKeeper granted")
        if granted_s < self._asked_s:
            raise StoreUnavailable(
                f"ZooKeeper grants sessions of {granted_s:g} s, and {self._asked_s:g} s are needed: "
                f"the lease and a tick of {self._place.tick_s:g} s",
                hint="raise maxSessionTimeout in ZooKeeper, or lower election.lease",
            )


class _Ear(logging.Logger):
    """Hears what kazoo only logs; passes nothing on, for there are passwords in it."""

    def __init__(self) -> None:
        super().__init__("zookeeper", _LOG_ALL)
        self.granted_s: float | None = None
        self.trouble = ""

    def handle(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self.trouble = record.getMessage()
        elif record.msg.startswith(_GRANTED) and isinstance(record.args, tuple):
            granted_ms = record.args[_GRANTED_AT]
            self.granted_s = granted_ms / 1000 if isinstance(granted_ms, int) else None


class _Sockets(SequentialThreadingHandler):  # type: ignore[misc]  # kazoo has no types
    """Makes kazoo's connections, and can cut the present one."""

    def __init__(self, longest_s: float, trust: ssl.SSLContext | None) -> None:
        super().__init__()
        self._longest_s = longest_s
        self._trust = trust
        self._present: socket.socket | None = None
        self._since = 0.0

    def create_connection(
        self,
        address: tuple[str, int],
        hostname: str | None = None,
        timeout: float | None = None,
        **_: object,
    ) -> socket.socket:
        longest_s = self._longest_s if timeout is None else min(timeout, self._longest_s)
        made = socket.create_connection(address, longest_s)
        try:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._trust is not None:
                made = self._trust.wrap_socket(made, server_hostname=hostname)
        except OSError:
            made.close()
            raise
        self._present, self._since = made, time.monotonic()
        return made

    def cut(self) -> None:
        """Break the present connection, so that kazoo turns to the next server.

        Not one that is younger than an operation may last: it may still come to something.
        """
        present = self._present
        if present is None or time.monotonic() - self._since < self._longest_s:
            return
        try:
            present.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it was broken or closed already


def _trust(place: ZooKeeperPlace) -> ssl.SSLContext | None:
    """Return the context; None where nothing asks for TLS: its hosts don't say."""
    return tls_context("ZooKeeper", place) if place.authority or place.certificate else None


def _end(client: KazooClient) -> None:
    """End a session; one whose connection does not come back is left to the end of the process."""
    with suppress(KazooException, OSError):
        client.stop()
        client.close()
