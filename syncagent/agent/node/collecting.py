"""What all nodes have kept, in one list: this node's own rows, and those of the workers it leads.

A worker's ids say nothing here (two nodes may give the same one), so a row of gw-2 has the id
`gw-2:ID`. A worker that does not answer in time is named, and not waited for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncagent.agent.effects import Fetch, Reply
from syncagent.agent.node import rows
from syncagent.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.agent.node.asking import Answer, Asking
    from syncagent.agent.node.parts import Parts
    from syncagent.agent.node.peer import Peer
    from syncagent.agent.results import Asked, Fetched
    from syncagent.core.desk import JSON

LISTS = frozenset({"quarantine", "conflicts"})
ANSWER_S = 5.0
"""How long a worker that is connected may take."""
ROWS_MAX = 500
"""Rows that a worker sends, the newest first."""
_FIELDS = ("id", "tree", "path", "reason", "at", "digest", "size")


@dataclass(slots=True)
class Collected:
    """A list that is being put together; `missing` says of each node why its rows are not in it."""

    until: float
    then: Callable[[Collected, float], None]
    waiting: set[str] = field(default_factory=set)
    rows: list[dict[str, JSON]] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)


class Collecting:
    """Asks the workers for their lists, and answers with the whole."""

    def __init__(self, node: Parts, asking: Asking) -> None:
        self._node = node
        self._asking = asking
        self._open: list[Collected] = []

    # --- one node's own rows ----------------------------------------------------------------

    def own(self, what: str, asked: Asked) -> Fetch:
        """Return what brings this node's own rows."""
        limit = ROWS_MAX if self._asking.peer_behind(asked.request) else None
        return Fetch(asked.request, what, json.dumps({"limit": limit}))

    def named(self, fetched: Fetched) -> list[dict[str, JSON]]:
        """Return fetched rows with the name of this node."""
        found = rows.listed({"rows": fetched.value}, "rows")
        return [{**row, "node": self._node.state.me} for row in found]

    # --- all nodes' -------------------------------------------------------------------------

    @staticmethod
    def list_of(asked: Asked) -> str:
        """Return which list is asked for. Raises SettingsError."""
        what = str(asked.arguments.get("what"))
        if what not in LISTS:
            raise SettingsError(
                f"{what!r} is no list of what was kept", hint="quarantine, conflicts"
            )
        return what

    def whole(self, what: str, fetched: Fetched, now: float) -> None:
        """Answer with this node's rows, which were fetched, and its workers'."""
        state = self._node.state
        if fetched.error is not None:
            state.do(Reply(fetched.request, None, fetched.error))
            return
        own = self.named(fetched)

        def then(found: Collected, _now: float) -> None:
            entries = sorted([*own, *found.rows], key=lambda row: str(row.get("at")), reverse=True)
            missing = [{"node": name, "reason": why} for name, why in sorted(found.missing.items())]
            state.do(Reply(fetched.request, {"entries": entries, "missing": missing}))

        self.workers(what, now, then)

    def workers(self, what: str, now: float, then: Callable[[Collected, float], None]) -> None:
        """Have `then` called with the rows of all workers, at once if there is nobody to ask."""
        found = Collected(now + ANSWER_S, then)
        # On a mount of all nodes there is one quarantine, and this node has just listed it.
        if self._node.state.leads and not self._node.state.in_place:
            for peer in self._node.state.peers.values():
                self._ask(what, peer, found)
        if found.waiting:
            self._open.append(found)
        else:
            then(found, now)

    def _ask(self, what: str, peer: Peer, found: Collected) -> None:
        if peer.link is None or not peer.admitted:
            found.missing[peer.name] = peer.down_reason if peer.link is None else "it is joining"
            return
        found.waiting.add(peer.name)

        def take(answer: Answer, now: float) -> None:
            if peer.name not in found.waiting:
                return
            found.waiting.discard(peer.name)
            if answer.error is None:
                found.rows.extend(_rows_of(peer.name, answer.result))
            else:
                found.missing[peer.name] = str(answer.error)
            self._end(found, now)

        self._asking.inquire(peer.link, what, {}, take)

    def _end(self, found: Collected, now: float) -> None:
        """Hand the list over if nobody is waited for any more."""
        if not found.waiting and found in self._open:
            self._open.remove(found)
            found.then(found, now)

    # --- time -------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """End the lists for which somebody took too long."""
        for found in [found for found in self._open if now >= found.until]:
            silent = dict.fromkeys(found.waiting, f"no answer within {ANSWER_S:.0f} s")
            found.missing.update(silent)
            found.waiting.clear()
            self._end(found, now)

    def next_at(self) -> float | None:
        """Return when somebody has taken too long."""
        return min((found.until for found in self._open), default=None)


def _rows_of(name: str, answer: object) -> list[dict[str, JSON]]:
    """Return a worker's rows with its name in them, whatever else it may have sent left out."""
    found = rows.listed({"rows": answer}, "rows")[:ROWS_MAX]
    return [
        {**{key: row.get(key) for key in _FIELDS}, "id": f"{name}:{row.get('id')}", "node": name}
        for row in found
    ]
