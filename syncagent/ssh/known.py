"""Who is known: peers by name, with the keys that are pinned for them, and who was turned away.

A peer without a key is a name that somebody wrote into the settings before its key was there. It
is never linked, but it is dialled: the attempt shows either end the other's key, and
`keys trust NAME` on both is all that is left to do.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from syncagent.core.errors import RefusedError, SettingsError
from syncagent.ssh.keys import parse_pinned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import paramiko

    from syncagent.core.artifact import NodeName
    from syncagent.core.events import StrangerRefused
    from syncagent.core.settings import PeerSettings
    from syncagent.ssh.link import Clock

STRANGERS_KEPT = 256
STRANGER_PAUSE_S = 10.0
"""Seconds in which the same stranger is not told of again."""


class Peer(NamedTuple):
    """What the settings say of a peer, and its keys: either may prove it; none is none yet."""

    settings: PeerSettings
    pinned: tuple[paramiko.PKey, ...]


class Known:
    """The peers of this node; replaced as a whole, read from any thread."""

    def __init__(self, me: NodeName, peers: Iterable[PeerSettings]) -> None:
        self._me = me
        self._peers = self._parsed(peers)

    def get(self, name: NodeName) -> Peer | None:
        """Return what is known of a peer."""
        return self._peers.get(name)

    def settings(self) -> list[PeerSettings]:
        """Return the settings of all peers."""
        return [peer.settings for peer in self._peers.values()]

    def replace(self, peers: Iterable[PeerSettings]) -> Mapping[NodeName, str]:
        """Know these from now on; return who lost its place or key, and how to say so.

        Raises SettingsError, and changes nothing, if a key is not one.
        """
        before, self._peers = self._peers, self._parsed(peers)
        lost: dict[NodeName, str] = {}
        for name, old in before.items():
            now = self._peers.get(name)
            if now is None:
                lost[name] = "the peer is not in the settings any more"
            elif now.settings.key != old.settings.key:
                lost[name] = "the peer's key was changed in the settings"
        return lost

    def admit(self, claimed: str, key: paramiko.PKey) -> NodeName:
        """Return the peer that name and key prove, or raise RefusedError."""
        if claimed == self._me:
            raise RefusedError(f"it claims this node's own name, {claimed}: a copied node?")
        known = next((peer for name, peer in self._peers.items() if name == claimed), None)
        if known is None:
            raise RefusedError("no peer of that name is in the settings")
        if not known.pinned:
            raise RefusedError(f"no key is pinned for {claimed} yet")
        if key.asbytes() not in {pinned.asbytes() for pinned in known.pinned}:
            raise RefusedError(f"the key is not the one that is pinned for {claimed}")
        return known.settings.name

    def _parsed(self, peers: Iterable[PeerSettings]) -> dict[NodeName, Peer]:
        known: dict[NodeName, Peer] = {}
        for peer in peers:
            if peer.name == self._me:
                continue
            try:
                known[peer.name] = Peer(peer, parse_pinned(peer.key) if peer.key.strip() else ())
            except SettingsError as error:
                raise SettingsError(f"[[peer]] {peer.name}: {error}", hint=error.hint) from error
        return known


class Strangers:
    """Tells the agent of who was refused, but of the same one not more than every few seconds."""

    def __init__(self, post: Callable[[StrangerRefused], None], clock: Clock) -> None:
        self._post = post
        self._clock = clock
        self._lock = threading.Lock()
        self._told: dict[tuple[str, str], float] = {}

    def tell(self, stranger: StrangerRefused) -> None:
        """Post a stranger unless it was posted just now."""
        now = self._clock()
        who = (stranger.name, stranger.key)
        with self._lock:
            if who in self._told and now - self._told[who] < STRANGER_PAUSE_S:
                return
            self._told.pop(who, None)
            if len(self._told) >= STRANGERS_KEPT:
                self._told.pop(next(iter(self._told)))
            self._told[who] = now
        self._post(stranger)
