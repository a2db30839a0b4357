"""`ports.Links` over SSH: who is known, which links live, and what the agent is told of them.

Two agents may hold two links at once, one dialled by each; which one to use is the agent's
decision. What is decided here is who may be linked at all: a name is accepted with the key that
is pinned for it and no other, this node's own name never, and of two live processes under one
name only the first (a copied node). A peer that was restarted comes with a new incarnation while
its old connection may still look alive, so the old one is asked for a sign of life first.

One more thread keeps time for all links: it asks quiet ones for a sign of life, and ends those
that give none or do not finish a goodbye.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from syncagent.core.errors import RefusedError, SettingsError, SyncagentError, UnreachableError
from syncagent.core.events import DialFailed, StrangerRefused
from syncagent.core.wire.messages import VERSIONS, Hello
from syncagent.ports import LinkId
from syncagent.ssh.client import Target, dial
from syncagent.ssh.keys import line_of, parse_pinned
from syncagent.ssh.link import Link
from syncagent.ssh.server import Server
from syncagent.ssh.stdio import Doorway
from syncagent.ssh.transport import BROKEN, hush, shown, why

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import paramiko

    from syncagent.core.artifact import NodeName
    from syncagent.core.events import ShellEvent
    from syncagent.core.settings import PeerSettings
    from syncagent.core.wire.messages import Message
    from syncagent.fsio import OsFS
    from syncagent.ssh.keys import NodeKey
    from syncagent.ssh.link import Clock
    from syncagent.ssh.server import Caller
    from syncagent.ssh.transport import Pipe

LINKS_PER_PEER_MAX = 4
"""Links that one peer may hold: one each way, and as many that are about to be found dead."""
STRANGERS_KEPT = 256
_STRANGER_PAUSE_S = 10.0


@dataclass(frozen=True)
class Pace:
    """How long things may take, in seconds."""

    step_s: float = 10.0
    """one step of making a connection: TCP, key exchange, login, hello"""
    quiet_s: float = 15.0
    """without a byte before a sign of life is asked for"""
    silent_s: float = 45.0
    """without a byte before a link is dead"""
    goodbye_s: float = 5.0
    """between the wish to close a link and its end, whether or not the goodbye could be sent"""
    rival_s: float = 5.0
    """for an old link of a restarted peer to show that it still lives"""
    tick_s: float = 5.0
    """between two looks at all links"""


@dataclass(frozen=True)
class Identity:
    """Who this node is to its peers."""

    cluster: str
    node: NodeName
    incarnation: str
    key: NodeKey
    product: str = "syncagent"
    versions: tuple[int, ...] = VERSIONS


@dataclass(frozen=True)
class _Peer:
    settings: PeerSettings
    pinned: tuple[paramiko.PKey, ...]


class SshLinks:
    """Connections to peers; see `ports.Links`. `post` takes events from any thread."""

    def __init__(
        self,
        me: Identity,
        peers: Iterable[PeerSettings],
        post: Callable[[ShellEvent], None],
        *,
        pace: Pace | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        hush()
        self._me = me
        self._hello = Hello(me.versions, me.cluster, me.node, me.incarnation, me.product)
        self._post = post
        self._pace = pace or Pace()
        self._clock = clock
        self._peers = self._pinned(peers)
        self._lock = threading.Lock()
        self._links: dict[LinkId, Link] = {}
        self._ids = count(1)
        self._pings = count(1)
        self._threads: set[threading.Thread] = set()
        self._aborts: dict[int, Callable[[], None]] = {}
        self._stopping = threading.Event()
        self._strangers: dict[tuple[str, str], float] = {}
        self._server: Server | None = None
        self._doorway: Doorway | None = None
        self._keeper = threading.Thread(target=self._keep, name="ssh-keep", daemon=True)
        self._keeper.start()

    # ports.Links; none of these blocks.

    def dial(self, peer: NodeName) -> None:
        """Start connecting; see `ports.Links`."""
        known = self._peers.get(peer)
        if known is None or self._stopping.is_set():
            reason = f"{peer} is not in the settings" if known is None else "this node is stopping"
            self._post(DialFailed(peer, reason))
            return
        self._spawn(f"ssh-dial-{peer}", lambda: self._dial(known))

    def send(self, link: LinkId, message: Message) -> None:
        """Queue a message; see `ports.Links`."""
        found = self._links.get(link)
        if found is not None:
            found.send(message)

    def close(self, link: LinkId, reason: str) -> None:
        """Say goodbye and close; see `ports.Links`."""
        found = self._links.get(link)
        if found is not None:
            found.close(reason)

    # What the wiring asks for.

    def listen(self, address: str) -> int:
        """Start the embedded server on `host:port` and return the port it has.

        Raises UnreachableError if the address can't be had.
        """
        server = Server(self._me.key, self._admit, self._arrived, self._clock, self._pace.step_s)
        port = server.start(address)
        self._server = server
        return port

    def listen_local(self, fs: OsFS, state_dir: str) -> None:
        """Take connections that OpenSSH's forced command brings (see `stdio`). Raises DiskError."""
        doorway = Doorway(fs, state_dir, self._take_local)
        doorway.start()
        self._doorway = doorway

    def replace_peers(self, peers: Iterable[PeerSettings]) -> None:
        """Know these peers from now on; links of those that are gone or have another key close.

        Raises SettingsError, and changes nothing, if a key is not one.
        """
        before, self._peers = self._peers, self._pinned(peers)
        for link in self._living():
            known, old = self._peers.get(link.peer), before.get(link.peer)
            if known is None:
                link.close("the peer is not in the settings any more")
            elif old is not None and known.settings.key != old.settings.key:
                link.close("the peer's key was changed in the settings")

    def trust(self, peer: PeerSettings) -> None:
        """Know one more peer, or a new key of one. Raises SettingsError if the key is not one."""
        others = [known.settings for name, known in self._peers.items() if name != peer.name]
        self.replace_peers([*others, peer])

    def _take_local(self, peer: NodeName, pipe: Pipe, address: str) -> None:
        if peer == self._me.node or peer not in self._peers:
            name = shown(peer)
            self._stranger(name, "", address, f"{name} is not in the settings of {self._me.node}")
            pipe.finish()
            return
        self._spawn(f"ssh-local-{peer}", lambda: self._serve(peer, pipe, ("", address)))

    def stop(self, timeout_s: float = 5.0) -> None:
        """Close everything and wait for all threads; returns after about `timeout_s` at most."""
        self._stopping.set()
        for door in (self._server, self._doorway):
            if door is not None:
                door.stop()
        for link in self._living():
            link.close(f"{self._me.node} is stopping")
        deadline = self._clock() + timeout_s
        self._join(deadline - timeout_s / 2)
        for abort in list(self._aborts.values()):
            abort()
        for link in self._living():
            link.cut("stopped")
        self._join(deadline)
        self._keeper.join(timeout_s)

    # Making links.

    def _dial(self, known: _Peer) -> None:
        settings = known.settings
        target = Target(settings.name, settings.address, known.pinned)
        me = threading.get_ident()
        pipe: Pipe | None = None
        reason = "this node failed at it, see its log"
        try:
            pipe = dial(
                target,
                (self._me.node, self._me.key),
                self._pace.step_s,
                lambda abort: self._aborts.update({me: abort}),
            )
        except SyncagentError as error:
            reason = _said(error)
        finally:
            self._aborts.pop(me, None)
            if pipe is None:
                self._post(DialFailed(settings.name, reason))
        if pipe is not None:
            self._serve(settings.name, pipe, None)

    def _arrived(self, caller: Caller, pipe: Pipe | None) -> None:
        key = "" if caller.key is None else line_of(caller.key, caller.name)
        if pipe is None or caller.peer is None:
            if key and caller.refusal:
                self._stranger(caller.name, key, caller.address, caller.refusal)
            return
        peer, address = caller.peer, caller.address
        self._adopt()
        try:
            self._serve(peer, pipe, (key, address))
        finally:
            self._threads.discard(threading.current_thread())

    def _serve(self, peer: NodeName, pipe: Pipe, caller: tuple[str, str] | None) -> None:
        """Greet, then serve a link until it is over. `caller`: key line and address, if it called."""
        link_id = LinkId(next(self._ids))
        link = Link(link_id, peer, pipe, dialled=caller is None, clock=self._clock)
        fault: SyncagentError | None = UnreachableError("this node failed at it, see its log")
        try:
            fault = self._greet(link)
            if fault is None:
                link.serve(self._post)
        finally:
            with self._lock:
                self._links.pop(link.id, None)
            link.end()
            self._tell_fault(peer, fault, caller)
        link.join(self._pace.goodbye_s)

    def _tell_fault(
        self, peer: NodeName, fault: SyncagentError | None, caller: tuple[str, str] | None
    ) -> None:
        """Tell the agent why a connection did not become a link, if it did not."""
        if fault is not None and caller is None:
            self._post(DialFailed(peer, _said(fault)))
        elif isinstance(fault, RefusedError) and caller is not None:
            self._stranger(peer, *caller, _said(fault))

    def _greet(self, link: Link) -> SyncagentError | None:
        """Greet a link; return why it is not to be, None if it is."""
        try:
            link.greet(self._hello, self._pace.step_s, self._register)
        except RefusedError as error:
            return error
        except BROKEN as error:
            return UnreachableError(f"{link.peer} did not say hello: {why(error)}")
        return None

    def _register(self, link: Link) -> None:
        """Add a greeted link. Raises RefusedError if another process of that name lives."""
        rivals = [
            other
            for other in self._living()
            if other.peer == link.peer and other.incarnation != link.incarnation
        ]
        if rivals and any(self._outlives(rival) for rival in rivals):
            raise RefusedError(
                f"two live nodes are named {link.peer}",
                hint="a copied node keeps the name and key of its original: give the copy its own "
                "name in [node] and run `syncagent init --re-enrol` there",
            )
        for rival in rivals:
            rival.cut(f"{link.peer} was restarted")
        with self._lock:
            if self._stopping.is_set():
                raise RefusedError(f"{self._me.node} is stopping")
            if link.peer not in self._peers:
                raise RefusedError(f"{link.peer} is not in the settings any more")
            same = [other for other in self._links.values() if other.peer == link.peer]
            if len(same) >= LINKS_PER_PEER_MAX:
                raise RefusedError(f"{link.peer} holds {len(same)} links already")
            self._links[link.id] = link

    def _outlives(self, rival: Link) -> bool:
        """Tell whether an old link still lives: it must say something within `rival_s`."""
        asked = self._clock()
        rival.ping(next(self._pings))
        while self._clock() - asked < self._pace.rival_s:
            if rival.over:
                return False
            if rival.heard_since(asked):
                return True
            self._stopping.wait(0.02)
        return False

    def _admit(self, claimed: str, key: paramiko.PKey) -> NodeName:
        """Return the peer that name and key prove, or raise RefusedError."""
        if claimed == self._me.node:
            raise RefusedError(f"it claims this node's own name, {claimed}: a copied node?")
        known = next((peer for name, peer in self._peers.items() if name == claimed), None)
        if known is None:
            raise RefusedError("no peer of that name is in the settings")
        if key.asbytes() not in {pinned.asbytes() for pinned in known.pinned}:
            raise RefusedError(f"the key is not the one that is pinned for {claimed}")
        return known.settings.name

    def _stranger(self, name: str, key: str, address: str, reason: str) -> None:
        """Tell the agent of a refused peer, but of the same one not more than every few seconds."""
        now = self._clock()
        with self._lock:
            if now - self._strangers.get((name, key), now - _STRANGER_PAUSE_S) < _STRANGER_PAUSE_S:
                return
            if len(self._strangers) >= STRANGERS_KEPT:
                self._strangers.pop(next(iter(self._strangers)))
            self._strangers.pop((name, key), None)
            self._strangers[(name, key)] = now
        self._post(StrangerRefused(name, key, address, reason))

    def _pinned(self, peers: Iterable[PeerSettings]) -> dict[NodeName, _Peer]:
        known: dict[NodeName, _Peer] = {}
        for peer in peers:
            if peer.name == self._me.node:
                continue
            try:
                known[peer.name] = _Peer(peer, parse_pinned(peer.key))
            except SettingsError as error:
                raise SettingsError(f"[[peer]] {peer.name}: {error}", hint=error.hint) from error
        return known

    # Threads.

    def _keep(self) -> None:
        while not self._stopping.wait(self._pace.tick_s):
            self._look()

    def _look(self) -> None:
        """Ask quiet links for a sign of life and end those that show none."""
        pace, now = self._pace, self._clock()
        for link in self._living():
            closing = link.closing_since
            if closing is not None and now - closing > pace.goodbye_s:
                link.cut("")
            elif link.quiet_s() > pace.silent_s:
                link.cut(f"no sign of life from {link.peer} for {pace.silent_s:.0f} s")
            elif link.quiet_s() > pace.quiet_s:
                link.ping_once_per(pace.quiet_s, next(self._pings))

    def _living(self) -> Sequence[Link]:
        with self._lock:
            return list(self._links.values())

    def _spawn(self, name: str, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            finally:
                self._threads.discard(threading.current_thread())

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.add(thread)
        thread.start()

    def _adopt(self) -> None:
        self._threads.add(threading.current_thread())

    def _join(self, deadline: float) -> None:
        for thread in list(self._threads):
            if thread is not threading.current_thread():
                thread.join(max(deadline - self._clock(), 0.0))


def _said(error: SyncagentError) -> str:
    return f"{error}. {error.hint}" if error.hint else str(error)
