"""Trees whose file system does not answer: noticed by the node, since a call that hangs can't tell.

Each tree has one look under way at most, in a lane of its own (`lanes`). One that is not back at its
deadline makes the tree stalled: nothing is concluded, nothing is begun there, the hands are told to
leave it alone, and a hold says so; the other trees go on. Nothing more is asked of the tree until
the look comes back, because what hangs can't be ended and would pile up. What it brings then is of
before or after, nobody knows: it is thrown away, and a fresh scan of everything decides.

Only time that this node itself was awake counts, so that a suspended machine suspects no mount.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from syncagent.agent.effects import Shun
from syncagent.core.snapshot import Condition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from syncagent.agent.node.state import State
    from syncagent.agent.node.treeview import TreeView

STALL_S = 10.0
"""How long a look may take at least: on a dead network mount a call never comes back."""
SCANS_MAX = 20.0
"""How many times as long as the scan before: 100,000 files on a cold server take a while."""
LATE_MAX_S = 600.0
"""How far a look that came late lengthens the deadline of the next one."""
ASLEEP_S = 5.0
"""The node is woken every second: after more than this it had no time to take what came back."""


class Stalling:
    """Knows when a look is overdue."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._paths = {tree.name: tree.path for tree in state.settings.trees}
        self._ticked_at: float | None = None

    def awake(self, views: Iterable[TreeView], now: float) -> None:
        """Leave out the time since the last call if nobody was awake in it."""
        asleep_s = 0.0 if self._ticked_at is None else now - self._ticked_at
        self._ticked_at = now
        if asleep_s > ASLEEP_S:
            for view in views:
                view.started += asleep_s

    @staticmethod
    def began(view: TreeView, now: float, *, asking: bool) -> None:
        """Take that a look begins; `asking` only whether the tree is there takes no while."""
        view.busy, view.started = True, now
        longest_s = max(STALL_S, SCANS_MAX * view.scan_s, view.patience_s)
        view.allowed_s = STALL_S if asking else longest_s

    @staticmethod
    def due(view: TreeView) -> float | None:
        """Return when the look under way is overdue; None if none is, or it was noticed."""
        if not view.busy or view.late:
            return None
        return view.started + view.allowed_s

    def notice(self, view: TreeView, now: float) -> bool:
        """Mark the tree as stalled if its look is overdue; return whether it is news."""
        due = self.due(view)
        if due is None or now < due:
            return False
        view.late = True
        if view.condition is Condition.STALLED:
            return False
        view.stall(silence(self._paths[view.name], self._state.wall() - (now - view.started)))
        self._state.do(Shun(view.name, view.reason))
        self._state.event("tree", tree=view.name, condition=Condition.STALLED, why=view.reason)
        self._state.changed = True
        return True

    def came_late(self, view: TreeView, now: float) -> bool:
        """Tell whether what came back is of a look that was overdue; the next one decides."""
        if not view.late:
            return False
        view.patience_s = min(2.0 * (now - view.started), LATE_MAX_S)
        view.busy = view.late = False
        view.overtaken.clear()
        view.next_scan_at = now
        return True

    def answered(self, view: TreeView, now: float) -> None:
        """Take that a scan came back in time: how long it took is what the next may take."""
        view.scan_s = now - view.started
        view.patience_s = 0.0
        if view.shunned:
            view.shunned = False
            self._state.do(Shun(view.name, ""))


def silence(path: str, since: float) -> str:
    """Say which folder does not answer, and since when (wall time)."""
    at = datetime.fromtimestamp(since, UTC)
    return f"{path} does not answer since {at:%Y-%m-%d %H:%M:%S} UTC"
