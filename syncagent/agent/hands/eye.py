"""The hand that looks: scans, looks and watches, off the loop's thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.effects import Look, Scan, StartWatch
from syncagent.agent.results import Looked, Scanned, Watching
from syncagent.core.artifact import ArtifactPath
from syncagent.core.errors import DiskError
from syncagent.core.snapshot import Condition, Seen

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.agent.hands.memory import Memory
    from syncagent.agent.results import Result
    from syncagent.core.artifact import TreeName
    from syncagent.core.digest import Digest
    from syncagent.core.verdict import Examined
    from syncagent.ports import Clock, Disk, Hints, Instant


class _Reader:
    """Judges what a scan reads, and keeps new bytes at hand for the revision that will want them."""

    def __init__(self, memory: Memory, has_blob: Callable[[Digest], bool]) -> None:
        self._memory = memory
        self._has_blob = has_blob
        self.examined: dict[str, Examined] = {}

    def wants(self, path: ArtifactPath, digest: Digest) -> bool:
        known = self._memory.verdict(path, digest)
        if known is not None:
            # Judged before, but perhaps not told: the file was staged here, or went and came back.
            self.examined[path.path] = known
        return known is None

    def take(self, path: ArtifactPath, digest: Digest, content: bytes) -> None:
        self.examined[path.path] = self._memory.examine(path, digest, content)
        if not self._has_blob(digest):
            self._memory.remember(digest, content)


class Eye:
    """Carries out Look, Scan and StartWatch."""

    def __init__(
        self,
        disk: Disk,
        hints: Hints,
        memory: Memory,
        clock: Clock,
        has_blob: Callable[[Digest], bool],
    ) -> None:
        self._disk = disk
        self._hints = hints
        self._memory = memory
        self._clock = clock
        self._has_blob = has_blob

    def do(self, effect: Look | Scan | StartWatch) -> Result:
        """Carry out one effect."""
        if isinstance(effect, Look):
            return self._look(effect)
        if isinstance(effect, Scan):
            return self._scan(effect.tree)
        return self._watch(effect.tree)

    def _look(self, effect: Look) -> Result:
        reader = _Reader(self._memory, self._has_blob)
        try:
            seen = self._disk.look(effect.tree, effect.paths, reader)
        except DiskError:
            # The root can't be believed: a scan says how, and nothing is concluded from it.
            return self._scan(effect.tree)
        for path, what in seen.items():
            where = ArtifactPath(effect.tree, path)
            if isinstance(what, Seen):
                known = self._memory.verdict(where, what.entry.digest)
                if known is not None:
                    reader.examined[path] = known
            elif what is None:
                self._memory.forget(where)
        return Looked(effect.tree, seen, reader.examined)

    def _scan(self, tree: TreeName) -> Scanned:
        return look_over(self._disk, tree, self._memory, self._clock.now(), self._has_blob)

    def _watch(self, tree: TreeName) -> Watching:
        try:
            return Watching(tree, self._hints.start(tree))
        except DiskError as error:
            return Watching(tree, "", str(error))


def look_over(
    disk: Disk,
    tree: TreeName,
    memory: Memory,
    started: Instant,
    has_blob: Callable[[Digest], bool],
) -> Scanned:
    """Scan a tree, and judge what is read of it; `started` is now."""
    reader = _Reader(memory, has_blob)
    before = disk.identity_of(tree)
    snapshot = disk.scan(tree, reader)
    after = disk.identity_of(tree)
    if snapshot.condition is Condition.GOOD and not snapshot.unlisted:
        memory.forget_others(tree, snapshot.files)
    # Only a root that stood throughout is the one that was scanned.
    identity = after if after == before else None
    return Scanned(tree, snapshot, reader.examined, started, identity)
