"""Connections: who is dialled, when again, and which peer is behind which link.

Only a node that leads, or wants to, dials, and only peers whose address the settings name: any
other may dial in, to lead this node. It never gives up: the pause between attempts grows to
a minute and is jittered, so that a cluster that came up together does not dial in step. It grows only
from when a peer is not waited for any more: agents that start together listen within moments.

A manager in a long pause learns that a node is back by its knock: who starts, and is led by nobody
soon after, dials once who may lead it, and hangs up. Whoever dials in is there, so it is dialled at once;
not again for a while, because two that both want to lead would keep each other dialling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.effects import Dial, Hangup
from syncagent.agent.node.peer import Peer
from syncagent.agent.node.state import Role
from syncagent.core.backoff import Backoff
from syncagent.core.events import LinkDown

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.agent.node.state import State
    from syncagent.core.artifact import NodeName
    from syncagent.core.events import DialFailed, LinkUp


KNOCK_S = 1.0
"""How long after its start a node waits to be led before it knocks."""
HEARD_S = 15.0
"""How long a peer that dialled in is not dialled at once again for that."""


class Connecting:
    """Keeps one connection to each peer while this node leads or wants to."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._knock_at: float | None = None
        self._heard: dict[NodeName, float] = {}
        """When a peer dialled in, and was therefore dialled at once."""
        self.opened: Callable[[Peer, float], None] = lambda _peer, _now: None
        self.lost: Callable[[Peer, int, float], None] = lambda _peer, _link, _now: None
        self.failed: Callable[[NodeName, float], None] = lambda _name, _now: None

    @property
    def _wanted(self) -> bool:
        return self._state.role is not Role.WORKER

    def reach_all(self, now: float) -> None:
        """Dial everybody who is not connected, now."""
        for peer in self._state.peers.values():
            peer.expect(now)
        self.tick(now)

    def start(self, now: float) -> None:
        """Have whoever leads know in a moment that this node is there."""
        self._knock_at = now + KNOCK_S

    def tick(self, now: float) -> None:
        """Dial who is due."""
        if self._knock_at is not None and now >= self._knock_at:
            self._knock_at = None
            self._knock(now)
        if not self._wanted:
            return
        for peer in self._state.peers.values():
            if now >= peer.dial_at and self._in_turn(peer):
                self._dial(peer, now)

    def _in_turn(self, peer: Peer) -> bool:
        """Tell whether a peer may be dialled yet: the share only under a token, which fences it."""
        return not peer.share or self._state.token is not None

    def _knock(self, now: float) -> None:
        """Dial who may lead this node, if nobody does."""
        state = self._state
        if self._wanted or state.manager_link is not None:
            return
        highest = state.guard.highest
        may_lead = {state.settings.election.manager, highest.holder if highest else ""}
        for peer in state.peers.values():
            if peer.name in may_lead and not peer.share:
                self._dial(peer, now)

    def _dial(self, peer: Peer, now: float) -> None:
        if not _idle(peer):
            return
        peer.dialling = True
        if peer.missed_since is None:
            peer.missed_since = now
        self._state.do(Dial(peer.name))

    def next_at(self) -> float | None:
        """Return when somebody is to be dialled next."""
        due = [p for p in self._state.peers.values() if _idle(p) and self._in_turn(p)]
        idle = [peer.dial_at for peer in due] if self._wanted else []
        knock = [] if self._knock_at is None else [self._knock_at]
        return min((*idle, *knock), default=None)

    def link_up(self, event: LinkUp, now: float) -> None:
        """A connection is open."""
        peer = self._state.peers.setdefault(event.peer, Peer(event.peer, dialable=False))
        self._state.links[event.link] = event.peer
        self._state.versions[event.link] = event.version
        peer.seen_at, peer.incarnation = now, event.incarnation
        self._state.changed = True
        if not event.dialled:
            self._is_back(peer, now)
            return
        peer.dialling = False
        if not self._wanted:
            self._state.do(Hangup(event.link, "not manager any more"))
            return
        if peer.link is not None:
            self._state.do(Hangup(peer.link, "superseded by a newer connection"))
            self._forget(peer, "superseded")
        peer.link, peer.version, peer.failures = event.link, event.version, 0
        peer.expect(now)
        self._state.event("connected", peer=peer.name)
        self.opened(peer, now)

    def _is_back(self, peer: Peer, now: float) -> None:
        """A peer has dialled in: it can be reached."""
        if now >= self._heard.get(peer.name, float("-inf")) + HEARD_S:
            self._heard[peer.name] = now
            peer.expect(now)

    def link_down(self, event: LinkDown, now: float) -> None:
        """A connection is gone."""
        self._state.links.pop(event.link, None)
        self._state.versions.pop(event.link, None)
        if self._state.manager_link == event.link:
            self._state.manager_link = None
            for each in self._state.peers.values():
                each.report = {}
            self._state.event("manager-gone", peer=event.peer, reason=event.reason)
        peer = self._state.peers.get(event.peer)
        if peer is None:
            return
        self._state.changed = True
        if peer.link == event.link:
            self._state.event("disconnected", peer=peer.name, reason=event.reason)
            self._forget(peer, event.reason)
            # A connection that did not fail may be back at once; one to a rival's worker did.
            peer.given_up = peer.failures > 0
            self._later(peer, now)
        self.lost(peer, event.link, now)

    def dial_failed(self, event: DialFailed, now: float) -> None:
        """An attempt came to nothing: again later, for ever."""
        peer = self._state.peers.get(event.peer)
        if peer is None:
            return
        peer.dialling = False
        if peer.failures == 0 or peer.down_reason != event.reason:
            self._state.event("unreachable", peer=peer.name, reason=event.reason)
        peer.down_reason = event.reason
        peer.missed(now)
        self._later(peer, now)
        self.failed(peer.name, now)

    def forget(self, name: NodeName, now: float) -> None:
        """A peer is not in the settings any more: hang up, and know nothing of it."""
        reason = f"{name} is not in the settings any more"
        for link in [link for link, peer in self._state.links.items() if peer == name]:
            self._state.do(Hangup(link, reason))
            self.link_down(LinkDown(link, name, reason), now)
        peer = self._state.peers.pop(name, None)
        if peer is not None:
            self._state.changed = True
            self.failed(name, now)

    def _later(self, peer: Peer, now: float) -> None:
        limits = self._state.settings.limits
        backoff = Backoff(limits.reconnect_first_s, limits.reconnect_max_s)
        # Who waits for it must not wait for a pause that chance makes long.
        peer.failures = peer.failures + 1 if peer.given_up else 1
        peer.dial_at = now + backoff.pause_s(peer.failures, self._state.chance.random())

    @staticmethod
    def _forget(peer: Peer, reason: str) -> None:
        peer.disconnected(reason)


def _idle(peer: Peer) -> bool:
    """Tell whether there is a peer to be dialled."""
    return peer.dialable and peer.link is None and not peer.dialling
