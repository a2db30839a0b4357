"""What a manager asks of its workers for a `reconcile` or `wait`: to compare their trees too.

Each worker does its own round, scans included, and answers when it has ended. A worker that can't
be reached is not waited for; one that is dialled, or comes back meanwhile, is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncagent.agent.node import rows
from syncagent.agent.node.peer import Phase

if TYPE_CHECKING:
    from syncagent.agent.node.asking import Answer, Asking
    from syncagent.agent.node.parts import Parts
    from syncagent.agent.node.peer import Peer
    from syncagent.core.desk import JSON


@dataclass(slots=True)
class Round:
    """One round over all workers. `asked` maps a worker to the link on which it was asked."""

    dry_run: bool
    timeout_s: float
    asked: dict[str, int] = field(default_factory=dict)
    answers: dict[str, dict[str, JSON]] = field(default_factory=dict)

    def changes(self) -> list[dict[str, JSON]]:
        """Return what the workers found or did, each row with its node."""
        return [
            {**row, "node": name}
            for name, answer in sorted(self.answers.items())
            for row in rows.listed(answer, "changes")
        ]


class Rounds:
    """Takes rounds over the workers forward."""

    def __init__(self, node: Parts, asking: Asking) -> None:
        self._node = node
        self._asking = asking

    def over(self, round_: Round) -> bool:
        """Ask whoever was not asked yet; tell whether all who can be reached have answered."""
        if not self._node.state.leads:
            return True
        done = [self._one(round_, peer) for peer in self._node.state.peers.values()]
        return all(done)

    def _one(self, round_: Round, peer: Peer) -> bool:
        if peer.unreachable:
            return True
        if peer.link is None or not peer.admitted:
            return False
        if round_.asked.get(peer.name) != peer.link:
            self._ask(round_, peer)
            return False
        return peer.name in round_.answers and self._settled(round_, peer)

    def _settled(self, round_: Round, peer: Peer) -> bool:
        leading = self._node.leading
        done = peer.phase in {Phase.DONE, Phase.DECLINED} or leading.keeps_back(peer)
        return round_.dry_run or leading.newest().number == 0 or done

    def _ask(self, round_: Round, peer: Peer) -> None:
        assert peer.link is not None, "checked by the caller"
        round_.asked[peer.name] = peer.link
        round_.answers.pop(peer.name, None)
        name = peer.name
        arguments = {"dry_run": round_.dry_run, "timeout_s": round_.timeout_s}

        def then(answer: Answer, _now: float) -> None:
            if answer.error is None or round_.asked.get(name) == link:
                result = answer.result
                round_.answers[name] = dict(result) if isinstance(result, dict) else {}

        link = peer.link
        self._asking.inquire(link, "reconcile", arguments, then)
