"""How long the others wait for a worker whose runtime has yet to answer for what was committed there.

A worker bounds its own waiting: what its runtime does not answer for is `Unknown` in the end. One
that reports the same number of answers to come for longer than that takes, as its clock or its
runtime's log may have it, would stop every later wave, so the rest goes on without its word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncagent.agent.node.peer import Peer
    from syncagent.agent.node.state import State
    from syncagent.core.artifact import NodeName

SILENT_S = 900.0
"""A runtime may take ten minutes to start (`readiness`), and then has its deadlines."""


class Patience:
    """Knows since when each worker has had no news of its runtime. Instants are of this node's clock."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._since: dict[NodeName, tuple[object, float]] = {}
        self._told: set[NodeName] = set()

    def is_over(self, peer: Peer, now: float) -> bool:
        """Tell whether a worker's answers have not become fewer for too long."""
        owed, portions = peer.report.get("owed"), peer.report.get("portions")
        news = (peer.standing, peer.withheld, owed, portions, peer.link)
        before, since = self._since.get(peer.name, (None, now))
        if before != news:
            self._since[peer.name] = (news, now)
            self._told.discard(peer.name)
            return False
        if now < since + SILENT_S:
            return False
        if peer.name not in self._told:
            self._told.add(peer.name)
            self._state.event(
                "unanswered", peer=peer.name, owed=str(owed), waited_s=int(now - since)
            )
        return True

    def answered(self, peer: Peer) -> None:
        """A worker has answered for all that it got."""
        self._since.pop(peer.name, None)
        self._told.discard(peer.name)
