"""Who is right when a share and a node first meet with different artifacts: comparing, carrying.

The node's own trees are changed by its own journal and ledger, as in every commit. The share's are
changed by a journal in the state folder that is of no use afterwards: what was interrupted is
finished when the question is answered again.
"""

from __future__ import annotations

from contextlib import closing, suppress
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
    from syncagent.fsio import OsFS
    from syncagent.ports import Disk

_JOURNAL = "init-share"


class Side(StrEnum):
    """Who is right when a share and a node hold different artifacts."""

    SHARE = "share"
    NODE = "node"


class Sides:
    """This node's trees (here) and `shares`, their folders on the share (there), without marks."""

    def __init__(self, fs: OsFS, settings: Settings, shares: Sequence[TreeSettings]) -> None:
        self._fs = fs
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

    def finish(self, side: Side) -> None:
        """Finish an answer that was interrupted: both sides are compared after that only.

        Raises BusyError if an agent runs, StateError, DiskError.
        """
        with self._home() as home:
            if side is Side.NODE:
                self._disk_there(home).recover(0)
                return
            with closing(self._history(home)) as history:
                history.load()
                finish_interrupted(self._disk_here(home), history, self._clock.wall())

    def carry(self, gaps: Sequence[Gap], side: Side) -> Carried:
        """Make the losing side equal to `side`. Raises BusyError, StateError, DiskError."""
        for gap in gaps:
            if gap.rows and not (gap.there if side is Side.SHARE else gap.here):
                where = "on the share" if side is Side.SHARE else "on this node"
                raise StateError(
                    f"tree {gap.tree} is empty {where}: that is no reason to empty the other side",
                    hint="is something not mounted? Answer with the side that holds the artifacts",
                )
        rows = [row for gap in gaps for row in gap.rows]
        with self._home() as home:
            take = self._carry_here if side is Side.SHARE else self._carry_there
            return take(home, rows)

    def _home(self) -> StateHome:
        """Lock the state folder, so that no agent starts meanwhile."""
        settings = self._settings
        home = StateHome.open(settings.state_dir, settings.cluster, settings.node, self._fs)
        FileGuard(self._fs, home.path, settings.cluster).enrol()
        return home

    def _history(self, home: StateHome) -> NodeHistory:
        limits = self._settings.limits
        return NodeHistory(self._fs, home.path, wall=self._clock.wall, limits=limits)

    def _disk_here(self, home: StateHome) -> NodeDisk:
        settings = self._settings
        return NodeDisk(self._fs, settings.trees, settings.limits, home.path, self._clock)

    def _disk_there(self, home: StateHome) -> NodeDisk:
        folder = home.file(_JOURNAL)
        with suppress(FileExistsError):
            self._fs.mkdir(folder, 0o700)
        return NodeDisk(self._fs, self._shares, self._settings.limits, folder, self._clock)

    def _carry_here(self, home: StateHome, rows: Sequence[Row]) -> Carried:
        """Take the share's artifacts into this node's trees, by its own journal and ledger."""
        with closing(self._history(home)) as history:
            standing = history.load()
            change = StandingChange(txid=standing.txid + 1)
            carrier = self._carrier(self._looking(self._shares), self._disk_here(home))
            carried = carrier.carry(rows, standing.revision, change, to_here=True)
            history.stand(change)
        return carried

    def _carry_there(self, home: StateHome, rows: Sequence[Row]) -> Carried:
        """Put this node's artifacts onto the share, by a journal that is of no use afterwards."""
        carrier = self._carrier(self._looking(self._settings.trees), self._disk_there(home))
        change = StandingChange(txid=1)
        carried = carrier.carry(rows, REVISION_ZERO, change, to_here=False)
        folder = home.file(_JOURNAL)
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
