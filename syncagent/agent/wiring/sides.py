"""Who is right when a share and a node first meet with different artifacts: comparing, carrying.

The node's own trees are changed by its own journal and ledger, as in every commit. The share's are
changed by a journal in the state folder that is of no use afterwards: what was interrupted is
finished when the question is answered again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, cast

from syncagent.agent.hands.carrying import Carrier, gap_between
from syncagent.agent.hands.recovery import finish_interrupted
from syncagent.agent.wiring.clock import SystemClock
from syncagent.agent.wiring.runtime import dialect_of
from syncagent.core.errors import StateError
from syncagent.core.ledger import StandingChange
from syncagent.core.revision import REVISION_ZERO
from syncagent.core.snapshot import Condition
from syncagent.disk.node_disk import NodeDisk
from syncagent.disk.only_looking import OnlyLooking
from syncagent.fsio import OsFS
from syncagent.history.guard import FileGuard
from syncagent.history.home import StateHome
from syncagent.history.node_history import NodeHistory
from syncagent.validation.validator import ArtifactValidator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncagent.agent.hands.carrying import Carried, Gap, Row
    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.digest import Digest
    from syncagent.core.settings import Settings, TreeSettings
    from syncagent.ports import Disk

_JOURNAL = "init-share"


class Side(StrEnum):
    """Who is right when a share and a node hold different artifacts."""

    SHARE = "share"
    NODE = "node"


class Sides:
    """This node's trees (here) and `shares`, their folders on the share (there), without marks."""

    def __init__(self, settings: Settings, shares: Sequence[TreeSettings]) -> None:
        self._fs = OsFS()
        self._clock = SystemClock()
        self._settings = settings
        self._shares = tuple(replace(tree, mark="") for tree in shares)

    def gaps(self) -> tuple[Gap, ...]:
        """Compare both sides. Raises StateError if one can't be read."""
        here, there = self._looking(self._settings.trees), self._looking(self._shares)
        gaps = []
        for tree in self._shares:
            both = [disk.scan(tree.name, _Nobody()) for disk in (here, there)]
            for snapshot in both:
                if snapshot.condition is not Condition.GOOD or snapshot.unlisted:
                    why = snapshot.reason or f"{min(snapshot.unlisted)} can't be listed"
                    raise StateError(f"tree {tree.name} can't be compared: {why}")
            gaps.append(gap_between(*both))
        return tuple(gaps)

    def carry(self, gaps: Sequence[Gap], side: Side) -> Carried:
        """Make the losing side equal to `side`. Raises BusyError, StateError, DiskError."""
        for gap in gaps:
            if gap.rows and not (gap.there if side is Side.SHARE else gap.here):
                where = "on the share" if side is Side.SHARE else "on this node"
                raise StateError(
                    f"tree {gap.tree} is empty {where}: that is no reason to empty the other side",
                    hint="is something not mounted? Answer with the side that holds the artifacts",
                )
        settings = self._settings
        rows = [row for gap in gaps for row in gap.rows]
        with StateHome.open(settings.state_dir, settings.cluster, settings.node, self._fs) as home:
            FileGuard(self._fs, home.path, settings.cluster).enrol()
            return (
                self._carry_here(home, rows)
                if side is Side.SHARE
                else self._carry_there(home, rows)
            )

    def _carry_here(self, home: StateHome, rows: Sequence[Row]) -> Carried:
        """Take the share's artifacts into this node's trees, by its own journal and ledger."""
        settings = self._settings
        history = NodeHistory(self._fs, home.path, wall=self._clock.wall, limits=settings.limits)
        try:
            history.load()
            disk = NodeDisk(self._fs, settings.trees, settings.limits, home.path, self._clock)
            finish_interrupted(disk, history, self._clock.wall())
            standing = history.standing()
            change = StandingChange(txid=standing.txid + 1)
            carrier = self._carrier(self._looking(self._shares), disk)
            carried = carrier.carry(rows, standing.revision, change, to_here=True)
            history.stand(change)
        finally:
            history.close()
        return carried

    def _carry_there(self, home: StateHome, rows: Sequence[Row]) -> Carried:
        """Put this node's artifacts onto the share, by a journal that is of no use afterwards."""
        folder = home.file(_JOURNAL)
        with suppress(FileExistsError):
            self._fs.mkdir(folder, 0o700)
        disk = NodeDisk(self._fs, self._shares, self._settings.limits, folder, self._clock)
        disk.recover(0)
        carrier = self._carrier(self._looking(self._settings.trees), disk)
        change = StandingChange(txid=1)
        carried = carrier.carry(rows, REVISION_ZERO, change, to_here=False)
        for name in self._fs.listdir(folder):
            self._fs.unlink(f"{folder}/{name}")
        self._fs.rmdir(folder)
        return carried

    def _carrier(self, source: Disk, target: Disk) -> Carrier:
        settings = self._settings
        validator = ArtifactValidator(settings.limits.file_bytes, dialect_of(settings))
        return Carrier(source, target, validator, settings.tree_kinds)

    def _looking(self, trees: Sequence[TreeSettings]) -> Disk:
        # It has all of the port that is called here.
        asked = replace(self._settings, trees=tuple(trees))
        return cast("Disk", OnlyLooking(self._fs, asked, self._clock, {}))


class _Nobody:
    """An examiner that wants to see nothing."""

    def wants(self, path: ArtifactPath, digest: Digest) -> bool:
        return False

    def take(self, path: ArtifactPath, digest: Digest, content: bytes) -> None:
        pass
