"""Real SSH links on loopback: some nodes with keys of their own, and what each was told."""

from __future__ import annotations

import io
import threading
import time
from typing import TYPE_CHECKING

import paramiko
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from syncagent.core.artifact import NodeName
from syncagent.core.events import Received
from syncagent.core.settings import PeerSettings
from syncagent.core.wire.messages import VERSIONS
from syncagent.ssh.keys import NodeKey, public_line
from syncagent.ssh.links import Identity, Pace, SshLinks

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.core.events import ShellEvent

WAIT_S = 20.0
NOWHERE = "127.0.0.1:1"


def new_key() -> NodeKey:
    """Make a key that is in no file."""
    text = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
    )
    return NodeKey(paramiko.Ed25519Key.from_private_key(io.StringIO(text.decode())))


class Told:
    """Events in the order of their arrival; other threads post, the test waits."""

    def __init__(self) -> None:
        self.events: list[ShellEvent] = []
        self._news = threading.Condition()

    def post(self, event: ShellEvent) -> None:
        with self._news:
            self.events.append(event)
            self._news.notify_all()

    def wait(self, found: Callable[[list[ShellEvent]], bool]) -> list[ShellEvent]:
        with self._news:
            assert self._news.wait_for(lambda: found(self.events), WAIT_S), self.events[-5:]
            return list(self.events)


class Stuck(Told):
    """An inbox that takes no messages until `go`: an agent that hangs, or can't keep up."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.stuck = threading.Event()

    def post(self, event: ShellEvent) -> None:
        if isinstance(event, Received):
            self.stuck.set()
            self.go.wait(WAIT_S)
        super().post(event)


def eventually(fact: Callable[[], bool], what: str) -> None:
    """Wait until `fact` holds; for things that tell nobody when they happen."""
    deadline = time.monotonic() + WAIT_S
    pause = threading.Event()
    while not fact():
        assert time.monotonic() < deadline, what
        pause.wait(0.02)


class Loopback:
    """Nodes that know each other's keys and addresses unless told otherwise."""

    def __init__(self, pace: Pace | None = None) -> None:
        self.pace = pace or Pace()
        self.keys: dict[NodeName, NodeKey] = {}
        self.addresses: dict[NodeName, str] = {}
        self.links: dict[NodeName, SshLinks] = {}
        self.told: dict[NodeName, Told] = {}
        self.all: list[SshLinks] = []
        self._forgotten: set[tuple[NodeName, NodeName]] = set()

    def start(
        self,
        node: NodeName,
        *,
        incarnation: str = "i1",
        cluster: str = "apim",
        versions: tuple[int, ...] = VERSIONS,
    ) -> SshLinks:
        self.key(node)
        told = self.told.setdefault(node, Told())
        me = Identity(cluster, node, incarnation, self.keys[node], "syncagent test", versions)
        links = SshLinks(me, [], told.post, pace=self.pace)
        self.all.append(links)
        self.links[node] = links
        self.addresses[node] = f"127.0.0.1:{links.listen('127.0.0.1:0')}"
        self.spread()
        return links

    def key(self, node: NodeName) -> NodeKey:
        return self.keys.setdefault(node, new_key())

    def spread(self) -> None:
        for node, links in self.links.items():
            links.replace_peers(self.peers_of(node))

    def peers_of(self, node: NodeName) -> list[PeerSettings]:
        return [
            PeerSettings(peer, self.addresses.get(peer, NOWHERE), public_line(self.key(peer), peer))
            for peer in map(NodeName, ("gw-1", "gw-2", "gw-3"))
            if (node, peer) not in self._forgotten
        ]

    def forget(self, node: NodeName, peer: NodeName) -> None:
        self._forgotten.add((node, peer))
        self.spread()

    def kill(self, node: NodeName) -> None:
        links = self.links.pop(node)
        for link in links._living():
            link.cut("killed")
        links.stop()

    def wait(self, node: NodeName, found: Callable[[list[ShellEvent]], bool]) -> list[ShellEvent]:
        return self.told[node].wait(found)

    def stop(self) -> None:
        for links in self.all:
            links.stop()
