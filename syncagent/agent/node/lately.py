"""What workers hold, as they told last: a worker that starts anew does not take it from the list.

A worker that is back tells first that it is there and only later, when its trees are scanned and
the offer is judged, what it holds. Until then what it held before stays listed, and who decides on
it waits a little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.node import rows
from syncagent.agent.node.peer import Phase

if TYPE_CHECKING:
    from syncagent.agent.node.peer import Peer
    from syncagent.agent.node.state import State
    from syncagent.core.desk import JSON

_AT_IT = frozenset({"Unknown", "Syncing"})
"""States of a worker's row in which it does not know yet what it will hold."""


def told(peer: Peer, state: State) -> bool:
    """Tell whether a worker has told what it holds of what it was offered, since it connected."""
    if peer.reported_at is None or peer.reported_at < peer.phase_at:
        return False
    nothing_yet = state.standing.revision.number == 0
    row = peer.report.get("row")
    busy = isinstance(row, dict) and row.get("state") in _AT_IT
    return not busy and (nothing_yet or peer.phase in {Phase.DONE, Phase.DECLINED})


def coming(peer: Peer, state: State) -> bool:
    """Tell whether a worker may tell in a moment what it holds."""
    return not peer.unreachable and not told(peer, state)


def held(peer: Peer) -> list[dict[str, JSON]]:
    """Return the rows of what a worker holds, those that it had before it started anew included."""
    now = rows.listed(peer.report, "held")
    known = {row.get("id") for row in now}
    return [*now, *(dict(row) for row in peer.former if row.get("id") not in known)]


def remember(peer: Peer) -> None:
    """A report is about to be replaced by the first one of a new connection."""
    if peer.reported_at is None:
        peer.former = tuple(held(peer))


def forget(state: State) -> None:
    """Take from the list what workers held before, once they have told what they hold now."""
    for peer in state.peers.values():
        if peer.former and told(peer, state):
            peer.former = ()
            state.changed = True
