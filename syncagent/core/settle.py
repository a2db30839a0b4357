"""When to look: hints go in with their instant, and what is due comes out. Pure.

Theory of operation. A hint only marks a path dirty; what is there is read when the path has been
quiet. The quiet time depends on the last hint: a closed or renamed file is complete at once, a bare
create may be a write still to come, and a deletion may be an editor's gap between moving the old
file away and writing the new one. A path that never falls silent is looked at anyway after a cap.

What came together should travel together (an API and the sequences that it calls), so a ready path
waits while another of its tree may still become content: at most `GATHER_S` after the newest ready
one and `GATHER_MAX_S` after the oldest. Where a writer is slow (Carbon writes the files of one API
over seconds) and the quiet time is long for it, these two are longer as well. A path alone never
waits, and a deletion keeps nobody waiting: the temporary name of an atomic save vanishes by the
rename that completes the save.

Folders that came, went or moved, faults of a watcher and too many dirty paths ask for a full scan
of the tree instead, once the tree is quiet. Faults that repeat back off.

Costs: a hint is O(1); `next_at` is O(trees); `due` sorts the dirty paths of those trees whose time
has come. For that, each tree keeps the instant at which it is worth looking at. It is never after
the next instant at which a path is ready; if what others wait for is hinted again or deleted, they
may still wait as long as they would have.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncagent.core.events import HintKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncagent.core.artifact import TreeName
    from syncagent.core.events import Hinted

DELETED_QUIET_S = 1.0
"""vim's gap between moving the old file away and closing the new one, with room to spare."""
SCAN_QUIET_S = 0.500
"""Quiet time of a tree before a full scan that a hint or a fault asked for."""
FAULT_CAP_S = 5.0
"""A tree that never falls silent is scanned this long after a fault."""
GATHER_S = 0.250
"""How long a ready path waits for another that may become content; at least the quiet time."""
GATHER_MAX_S = 2.0
"""How long the first ready path of a change set waits; at least four quiet times."""
DIRTY_PATHS_MAX = 10_000
"""Above this many dirty paths of a tree one scan is cheaper than looking at each."""
BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 60.0


@dataclass(frozen=True, slots=True)
class Due:
    """What to look at now; handed out once. A tree in `scans` has no paths listed."""

    paths: Mapping[TreeName, tuple[str, ...]] = field(default_factory=dict)
    scans: tuple[TreeName, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether anything is due."""
        return bool(self.paths or self.scans)


@dataclass(slots=True)
class _Dirty:
    """One dirty path: its first and last hint, and what the last one said."""

    first: float
    last: float
    kind: HintKind


@dataclass(slots=True)
class _ScanWish:
    """A full scan that somebody asked for: not later than `cap_at`, not before `not_before`."""

    cap_at: float
    not_before: float


@dataclass(slots=True)
class _Tree:
    """What is known of one tree. `wake`: when to look at it next, None if nothing is dirty."""

    dirty: dict[str, _Dirty] = field(default_factory=dict)
    last: float = 0.0
    wish: _ScanWish | None = None
    wake: float | None = None
    suspect: bool = False
    faults: int = 0
    fault_scan: float | None = None


class Settling:
    """Collects hints and tells what is due. One thread only; instants must not go backwards."""

    def __init__(self, *, written_s: float, created_s: float, cap_s: float) -> None:
        """Take the quiet times (seconds) of `Limits`: settle_written_s, _created_s and _cap_s."""
        self._trees: dict[TreeName, _Tree] = {}
        self.retune(written_s=written_s, created_s=created_s, cap_s=cap_s)

    def retune(self, *, written_s: float, created_s: float, cap_s: float) -> None:
        """Take other quiet times; they count for what is dirty already, too."""
        self._quiet: dict[HintKind, float] = {
            HintKind.WRITTEN: written_s,
            HintKind.CREATED: max(created_s, written_s),
            HintKind.DELETED: max(DELETED_QUIET_S, written_s),
        }
        self._scan_quiet_s = max(SCAN_QUIET_S, written_s)
        self._gather_s = max(GATHER_S, written_s)
        self._gather_max_s = max(GATHER_MAX_S, 4 * written_s)
        self._cap_s = cap_s
        for tree in self._trees.values():
            tree.wake = self._next_of(tree)

    def hint(self, hinted: Hinted, now: float) -> None:
        """Take a hint that arrived at `now`."""
        tree = self._trees.setdefault(hinted.tree, _Tree())
        tree.last = now
        if hinted.kind is HintKind.SUBTREE:
            self._wish_scan(tree, cap_at=now + self._cap_s, not_before=now)
            return
        dirty = tree.dirty.get(hinted.path)
        if dirty is None:
            dirty = tree.dirty[hinted.path] = _Dirty(now, now, hinted.kind)
        else:
            dirty.last = now
            dirty.kind = hinted.kind
        if len(tree.dirty) > DIRTY_PATHS_MAX:
            oldest = min(known.first for known in tree.dirty.values())
            tree.dirty.clear()
            self._wish_scan(tree, cap_at=oldest + self._cap_s, not_before=now)
            return
        _wake_by(tree, self._ready_at(dirty))

    def fault(self, name: TreeName, now: float) -> None:
        """The tree's watcher missed something: the tree is suspect until it is scanned.

        A fault soon after the scan for the last one makes the next scan wait 1, 2, 4 ... 60
        seconds from that scan; a fault after 60 s of peace starts over.
        """
        tree = self._trees.setdefault(name, _Tree())
        tree.last = now
        if not tree.suspect:
            peace = tree.fault_scan is None or now - tree.fault_scan > BACKOFF_MAX_S
            tree.faults = 0 if peace else tree.faults + 1
        tree.suspect = True
        not_before = now
        if tree.fault_scan is not None and tree.faults:
            exponent = min(tree.faults - 1, 10)
            not_before = tree.fault_scan + min(BACKOFF_FIRST_S * 2**exponent, BACKOFF_MAX_S)
        self._wish_scan(tree, cap_at=now + min(FAULT_CAP_S, self._cap_s), not_before=not_before)

    def hinted_at(self, name: TreeName, path: str) -> float | None:
        """Return when the first hint came that a look at `path` is yet to answer; None if none did."""
        tree = self._trees.get(name)
        dirty = tree.dirty.get(path) if tree is not None else None
        return dirty.first if dirty is not None else None

    def suspect(self, name: TreeName) -> bool:
        """Tell whether a fault of the tree still waits for its scan to be handed out."""
        tree = self._trees.get(name)
        return tree is not None and tree.suspect

    def next_at(self) -> float | None:
        """Return when to call `due` again; None if nothing is dirty.

        It may be early: then `due` is empty, and the next answer is later.
        """
        wakes = [tree.wake for tree in self._trees.values() if tree.wake is not None]
        return min(wakes) if wakes else None

    def due(self, now: float) -> Due:
        """Hand out everything that is due at `now`, and forget it."""
        paths: dict[TreeName, tuple[str, ...]] = {}
        scans: list[TreeName] = []
        for name, tree in self._trees.items():
            if tree.wake is None or tree.wake > now:
                continue
            if self._take_scan(tree, now):
                scans.append(name)
            else:
                taken = self._take_paths(tree, now)
                if taken:
                    paths[name] = taken
            tree.wake = self._next_of(tree)
        return Due(paths, tuple(scans))

    def _take_scan(self, tree: _Tree, now: float) -> bool:
        """Hand out the wished scan if its time has come; it covers every path that is ready."""
        if tree.wish is None or self._scan_at(tree, tree.wish) > now:
            return False
        tree.wish = None
        if tree.suspect:
            tree.suspect = False
            tree.fault_scan = now
        for path in [path for path, dirty in tree.dirty.items() if self._ready_at(dirty) <= now]:
            del tree.dirty[path]
        return True

    def _take_paths(self, tree: _Tree, now: float) -> tuple[str, ...]:
        """Hand out the ready paths if their change set closes by `now`."""
        closes = self._closes_at(tree)
        if closes is None or closes > now:
            return ()
        ready = sorted(path for path, dirty in tree.dirty.items() if self._ready_at(dirty) <= now)
        for path in ready:
            del tree.dirty[path]
        return tuple(ready)

    def _next_of(self, tree: _Tree) -> float | None:
        """Return the next instant at which the tree has something due, if no hint comes."""
        closes = self._closes_at(tree)
        if tree.wish is None:
            return closes
        scan = self._scan_at(tree, tree.wish)
        return scan if closes is None else min(scan, closes)

    def _closes_at(self, tree: _Tree) -> float | None:
        """Return when the change set that opens with the earliest ready path closes."""
        if not tree.dirty:
            return None
        opens = min(self._ready_at(dirty) for dirty in tree.dirty.values())
        latest = opens + self._gather_max_s
        if tree.wish is not None:
            # The scan will cover these paths, unless it is too far away to wait for.
            return latest
        newest = opens
        for ready in sorted(
            self._ready_at(dirty)
            for dirty in tree.dirty.values()
            if dirty.kind is not HintKind.DELETED
        ):
            limit = min(newest + self._gather_s, latest)
            if ready > limit:
                return limit
            newest = max(newest, ready)
        return newest

    def _ready_at(self, dirty: _Dirty) -> float:
        return min(dirty.last + self._quiet[dirty.kind], dirty.first + self._cap_s)

    def _scan_at(self, tree: _Tree, wish: _ScanWish) -> float:
        return max(wish.not_before, min(tree.last + self._scan_quiet_s, wish.cap_at))

    def _wish_scan(self, tree: _Tree, *, cap_at: float, not_before: float) -> None:
        """Ask for a scan; a wish that stands keeps its cap and takes the later start."""
        wish = tree.wish
        if wish is None:
            wish = tree.wish = _ScanWish(cap_at, not_before)
        else:
            wish.cap_at = min(wish.cap_at, cap_at)
            wish.not_before = max(wish.not_before, not_before)
        _wake_by(tree, self._scan_at(tree, wish))


def _wake_by(tree: _Tree, instant: float) -> None:
    if tree.wake is None or instant < tree.wake:
        tree.wake = instant
