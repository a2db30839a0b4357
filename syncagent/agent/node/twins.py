"""Second live nodes of one name: who refuses them tells, so that the first one's status does too.

The first of the two is disturbed by nothing, and only the others see the second come. It makes no
node worse, so no row shows it; the cluster's alarms do, for as long as it comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.node import rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from syncagent.agent.node.state import State
    from syncagent.core.desk import JSON
    from syncagent.core.events import StrangerRefused

RECENT_S = 300.0
"""A copy that goes on trying comes again once a minute at least."""


def refused(strangers: Iterable[tuple[StrangerRefused, float]], wall: float) -> list[JSON]:
    """Return the rows of the second nodes that came lately."""
    return [
        {"name": event.name, "address": event.address}
        for event, at in strangers
        if event.twin and wall - at < RECENT_S
    ]


def alarms(state: State, own: list[JSON]) -> list[str]:
    """Return what to say of them, those that workers reported included."""
    told = [(state.me, row) for row in rows.listed({"own": own}, "own")]
    for peer in state.peers.values() if state.leads else ():
        told.extend((peer.name, row) for row in rows.listed(peer.report, "twins"))
    return [
        f"{node} refuses a second live node named {row.get('name')}, from {row.get('address')}: "
        "give the copy its own name in [node] and run `syncagent init --new-identity` there"
        for node, row in told
    ]
