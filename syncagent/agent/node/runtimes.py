"""What the runtimes of all nodes that can be reached have answered, as `wait --deployed` needs it.

A worker knows the others by its manager's view. A node that can't be reached is not waited for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.node import rows
from syncagent.agent.node.deployed import REJECTED_BY_RUNTIME, rejected_rows
from syncagent.core.exempt import NONE_WITHHELD
from syncagent.core.outcome import Deployment

if TYPE_CHECKING:
    from syncagent.agent.node.parts import Parts
    from syncagent.core.desk import JSON


class Runtimes:
    """Reads rows and reports; decides nothing."""

    def __init__(self, node: Parts) -> None:
        self._node = node

    def answered(self, now: float) -> bool:
        """Tell whether nothing waits for a runtime any more, nor for its turn to be offered.

        What is withheld because a runtime rejected something waits for a person, not for time.
        """
        if self.pending(now):
            return False
        return bool(self.rejected()) or not self._withheld()

    def pending(self, now: float) -> str:
        """Say what is Pending and where; empty where nothing is."""
        found = []
        for row in self._reachable(now):
            count = row.get("pending")
            if isinstance(count, int) and count:
                found.append(f"{count} pending on {row.get('name')}")
        own = self._node.deploying.waiting() and not found
        return ", ".join(found) or ("a runtime has not confirmed a deletion yet" if own else "")

    def rejected(self) -> list[dict[str, JSON]]:
        """Return what runtimes rejected on any node, with their reasons."""
        listed = self._node.reporting.refused()
        return [row for row in listed if row.get("code") == REJECTED_BY_RUNTIME]

    def rejected_since(self, since: float) -> list[dict[str, JSON]]:
        """Return what is rejected, and what was since `since` and is put back everywhere by now."""
        found, wall = self.rejected(), rows.when(self._node.state.wall())
        known = {(row.get("node"), row.get("tree"), row.get("path")) for row in found}
        for trial in self._node.trying.refusals.rolled_back(since):
            if (trial.nacked_by, *trial.path) not in known:
                said: dict[str, JSON] = {
                    "tree": trial.path.tree,
                    "path": trial.path.path,
                    "state": str(Deployment.REJECTED),
                    "reason": trial.reason,
                    "at": wall,
                }
                found += rejected_rows(trial.nacked_by, [said])
        return found

    def warnings(self, now: float) -> list[str]:
        """Say what is wrong here, what is not known, and who could not be asked."""
        found = list(self._node.state.alarms.values())
        for row in rows.listed(self._node.reporting.status(now), "nodes"):
            name, unknown = row.get("name"), row.get("unknown")
            if row.get("state") == "Offline":
                found.append(f"{name} can't be reached: it was not waited for")
            elif isinstance(unknown, int) and unknown:
                what = "1 artifact" if unknown == 1 else f"{unknown} artifacts"
                found.append(f"{name}: what became of {what} is not known")
        return found

    def _withheld(self) -> bool:
        """Tell whether some node is yet to be offered what others have."""
        state = self._node.state
        if state.withheld:
            return True
        return state.leads and any(
            not peer.unreachable
            and (
                peer.withheld != NONE_WITHHELD
                # Its last word is of before it got what was withheld.
                or peer.report.get("withheld", peer.withheld) != peer.withheld
                or bool(peer.report.get("portions"))
            )
            for peer in state.peers.values()
        )

    def _reachable(self, now: float) -> list[dict[str, JSON]]:
        status = self._node.reporting.status(now)
        return [row for row in rows.listed(status, "nodes") if row.get("state") != "Offline"]
