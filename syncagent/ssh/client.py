"""The dialling end: one attempt to reach a peer over SSH, to the point where bytes can flow.

The far end is an agent's own server or OpenSSH's; which one is told by its banner. Its host key
must be one that is pinned for the peer: there is no first use and nobody is asked. We log in with
this node's key under this node's name, unless the address names an account (`user@host:port`), as
it does in front of OpenSSH, whose forced command then says who we are.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from syncagent.core.errors import RefusedError, SettingsError, UnreachableError
from syncagent.ssh.keys import fingerprint
from syncagent.ssh.transport import (
    BANNER,
    BROKEN,
    SUBSYSTEM,
    Pipe,
    end_transport,
    make_transport,
    shut,
    tune,
    why,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncagent.core.artifact import NodeName
    from syncagent.ssh.keys import NodeKey

OPENSSH_WINDOW_BYTES = 2 * 1024 * 1024
OPENSSH_PACKET_BYTES = 32 * 1024
PORT_MAX = 65535
CONNECT_S = 2.0
"""Linux asks for a connection at once and again after 1 s: as long as both may take. Who wants to lead
waits for hosts that are gone."""


class Address(NamedTuple):
    """Where a peer listens; `user` is empty except in front of OpenSSH."""

    user: str
    host: str
    port: int


def parse_address(text: str) -> Address:
    """Return the parts of `[user@]host:port` or `[user@][v6]:port`; raises SettingsError."""
    user, _, rest = text.rpartition("@")
    host, colon, port = rest.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not port.isdecimal() or int(port) > PORT_MAX or (":" in host and bare == host):
        raise SettingsError(
            f"{text!r} is not host:port", hint="write gw-2.example.com:7421 or [2001:db8::2]:7421"
        )
    return Address(user, bare, int(port))


class Attempt:
    """One try to reach a peer by the keys that are pinned for it.

    `connect_s` is for the connection as such, which the far end's kernel makes however busy the agent
    there is. `stranger` is the key that the far end showed, if it is not one of those.
    """

    def __init__(
        self,
        peer: NodeName,
        address: str,
        pinned: Sequence[paramiko.PKey],
        connect_s: float = CONNECT_S,
    ) -> None:
        self._peer = peer
        self._address = address
        self._pinned = pinned
        self._connect_s = connect_s
        self._sock: socket.socket | None = None
        self.stranger: paramiko.PKey | None = None

    def abort(self) -> None:
        """Make the try fail soon; from any thread."""
        if self._sock is not None:
            shut(self._sock)

    def make(self, me: NodeName, key: NodeKey, timeout_s: float) -> Pipe:
        """Connect, prove both keys, open the subsystem; return its pipe.

        Each step after the connection has `timeout_s`. Raises UnreachableError if nothing answers, RefusedError if the
        wrong key answers or ours is refused, SettingsError if the address is not one.
        """
        user, host, port = parse_address(self._address)
        try:
            sock = socket.create_connection((host, port), min(self._connect_s, timeout_s))
        except OSError as error:
            raise UnreachableError(f"{self._address}: {error.strerror or error}") from error
        self._sock = sock
        tune(sock)
        types = [pinned.get_name() for pinned in self._pinned] or ["ssh-ed25519"]
        transport = make_transport(sock, types, timeout_s)
        try:
            self._prove(transport, user or me, key)
            return Pipe(_open(transport, timeout_s), sock=sock, transport=transport)
        except RefusedError:
            end_transport(transport, sock)
            raise
        except BROKEN as error:
            end_transport(transport, sock)
            raise UnreachableError(f"{self._address}: {why(error)}") from error

    def _prove(self, transport: paramiko.Transport, user: str, key: NodeKey) -> None:
        peer = self._peer
        try:
            transport.start_client(timeout=transport.handshake_timeout)
        except IncompatiblePeer as error:
            raise RefusedError(
                f"{self._address} shows no key of the type that is pinned for {peer}: {error}",
                hint=f"compare with `syncagent keys show` on {peer}",
            ) from error
        shown = transport.get_remote_server_key()
        if shown.asbytes() not in {pinned.asbytes() for pinned in self._pinned}:
            self.stranger = shown
            self._refuse(transport, user, key, fingerprint(shown.asbytes()))
        try:
            transport.auth_publickey(user, key.private)
        except paramiko.AuthenticationException as error:
            raise RefusedError(
                f"{peer} does not accept this node's key",
                hint=f"on {peer}, `syncagent keys trust {user}` shows the key and accepts it",
            ) from error

    def _refuse(
        self, transport: paramiko.Transport, user: str, key: NodeKey, shown: str
    ) -> NoReturn:
        """Refuse the far end's key. If none is pinned yet, let it see ours first."""
        peer = self._peer
        if not self._pinned:
            # A login is bound to this very connection: whoever answers can do nothing with it.
            with contextlib.suppress(paramiko.SSHException):
                transport.auth_publickey(user, key.private)
            raise RefusedError(
                f"no key is pinned for {peer} yet; {self._address} shows {shown}",
                hint=f"compare it with `syncagent keys show` there, then `syncagent keys trust {peer}`",
            )
        known = ", ".join(fingerprint(pinned.asbytes()) for pinned in self._pinned)
        raise RefusedError(
            f"{self._address} shows the key {shown}, but {known} is pinned for {peer}",
            hint=f"if {peer} was given a new key, compare it with `syncagent keys show` there and "
            f"`syncagent keys trust {peer}`; if not, another machine answers at this address",
        )


def _open(transport: paramiko.Transport, timeout_s: float) -> paramiko.Channel:
    """Open the subsystem; where an OpenSSH server has none of that name, its forced command."""
    if transport.remote_version.startswith(BANNER.rpartition("_")[0]):
        channel = transport.open_session(timeout=timeout_s)
        channel.invoke_subsystem(SUBSYSTEM)
        return channel
    channel = _openssh_session(transport, timeout_s)
    with contextlib.suppress(paramiko.SSHException):
        channel.invoke_subsystem(SUBSYSTEM)
        return channel
    channel = _openssh_session(transport, timeout_s)
    channel.exec_command(SUBSYSTEM)
    return channel


def _openssh_session(transport: paramiko.Transport, timeout_s: float) -> paramiko.Channel:
    return transport.open_session(
        window_size=OPENSSH_WINDOW_BYTES, max_packet_size=OPENSSH_PACKET_BYTES, timeout=timeout_s
    )
