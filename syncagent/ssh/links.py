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

from syncagent.core.errors import RefusedError, SyncagentError, UnreachableError
from syncagent.core.events import DialFailed, StrangerRefused
from syncagent.core.wire.messages import VERSIONS, Hello
from syncagent.ports import LinkId
from syncagent.ssh.client import CONNECT_S, Attempt
from syncagent.ssh.keys import line_of
from syncagent.ssh.known import Known, Peer, Strangers
from syncagent.ssh.link import Link
from syncagent.ssh.server import Server
from syncagent.ssh.stdio import Doorway
from syncagent.ssh.transport import BROKEN, hush, shown, why

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

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


@dataclass(frozen=True)
class Pace:
    """How long things may take, in seconds."""

    connect_s: float = CONNECT_S
    """until the host of a peer has answered at all"""
    step_s: float = 10.0
    """one step of what follows: key exchange, login, hello"""
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
        self._known = Known(me.node, peers)
        self._beside: set[NodeName] = set()
        self._strangers = Strangers(post, clock)
        self._lock = threading.Lock()
        self._links: dict[LinkId, Link] = {}
        self._ids = count(1)
        self._pings = count(1)
        self._threads: set[threading.Thread] = set()
        self._attempts: set[Attempt] = set()
        self._stopping = threading.Event()
        self._server: Server | None = None
        self._doorway: Doorway | None = None
        self._keeper = threading.Thread(target=self._keep, name="ssh-keep", daemon=True)
        self._keeper.start()

    # ports.Links; none of these blocks.

    def dial(self, peer: NodeName) -> None:
        """Start connecting; see `ports.Links`."""
        known = self._known.get(peer)
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

        Raises BusyError if another process has the address, UnreachableError if this machine
        has not got it.
        """
        server = Server(
            self._me.key, self._known.admit, self._arrived, self._clock, self._pace.step_s
        )
        port = server.start(address)
        self._server = server
        return port

    def listen_local(self, fs: OsFS, state_dir: str) -> None:
        """Take connections that OpenSSH's forced command brings (see `stdio`). Raises DiskError."""
        doorway = Doorway(fs, state_dir, self._take_local)
        doorway.start()
        self._doorway = doorway

    def dial_beside(self, peer: NodeName, reach: Callable[[], Pipe]) -> None:
        """Start connecting to an agent beside this one, of the same user; no key is asked for.

        `reach` returns the pipe to it, or raises SyncagentError; it may take its time.
        """
        self._beside.add(peer)
        self._spawn(f"ssh-beside-{peer}", lambda: self._dial_beside(peer, reach))

    def _dial_beside(self, peer: NodeName, reach: Callable[[], Pipe]) -> None:
        try:
            pipe = reach()
        except SyncagentError as error:
            self._post(DialFailed(peer, _said(error)))
            return
        self._serve(peer, pipe, None)

    def replace_peers(self, peers: Iterable[PeerSettings]) -> None:
        """Know these peers from now on; links of those that are gone or have another key close.

        Raises SettingsError, and changes nothing, if a key is not one.
        """
        lost = self._known.replace(peers)
        for link in self._living():
            if link.peer in lost:
                link.close(lost[link.peer])

    def trust(self, peer: PeerSettings) -> None:
        """Know one more peer, or a new key of one. Raises SettingsError if the key is not one."""
        others = [known for known in self._known.settings() if known.name != peer.name]
        self.replace_peers([*others, peer])

    def _take_local(self, peer: NodeName, pipe: Pipe, address: str) -> None:
        if self._known.get(peer) is None:
            name = shown(peer)
            reason = f"{name} is not in the settings of {self._me.node}"
            self._strangers.tell(StrangerRefused(name, "", address, reason))
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
        for attempt in list(self._attempts):
            attempt.abort()
        for link in self._living():
            link.cut("stopped")
        self._join(deadline)
        self._keeper.join(timeout_s)

    # Making links.

    def _dial(self, known: Peer) -> None:
        settings = known.settings
        attempt = Attempt(settings.name, settings.address, known.pinned, self._pace.connect_s)
        self._attempts.add(attempt)
        pipe: Pipe | None = None
        reason = "this node failed at it, see its log"
        try:
            pipe = attempt.make(self._me.node, self._me.key, self._pace.step_s)
        except SyncagentError as error:
            reason = _said(error)
        finally:
            self._attempts.discard(attempt)
            if pipe is None:
                self._post(DialFailed(settings.name, reason))
        if attempt.stranger is not None:
            key = line_of(attempt.stranger, settings.name)
            self._strangers.tell(StrangerRefused(settings.name, key, settings.address, reason))
        if pipe is not None:
            self._serve(settings.name, pipe, None)

    def _arrived(self, caller: Caller, pipe: Pipe | None) -> None:
        key = "" if caller.key is None else line_of(caller.key, caller.name)
        if pipe is None or caller.peer is None:
            if key and caller.refusal:
                refused = StrangerRefused(caller.name, key, caller.address, caller.refusal)
                self._strangers.tell(refused)
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
            twin = isinstance(fault, _TwinError)
            self._strangers.tell(StrangerRefused(peer, *caller, _said(fault), twin))

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
            raise _TwinError(
                # The other end is told this sentence only, and may be where the remedy is needed.
                f"two live nodes are named {link.peer}: give the copy its own name in [node] and "
                "run `syncagent init --new-identity` there",
                hint="A copied node keeps the name and key of its original",
            )
        for rival in rivals:
            rival.cut(f"{link.peer} was restarted")
        with self._lock:
            if self._stopping.is_set():
                raise RefusedError(f"{self._me.node} is stopping")
            if self._known.get(link.peer) is None and link.peer not in self._beside:
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


class _TwinError(RefusedError):
    """Another process of that name, with the same key, lives."""


def _said(error: SyncagentError) -> str:
    return f"{error}. {error.hint}" if error.hint else str(error)
