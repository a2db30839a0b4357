"""A real folder with one tree and a `Looking` on it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from syncagent.core.artifact import ArtifactPath, TreeKind, TreeName
from syncagent.core.settings import Limits, TreeSettings
from syncagent.core.snapshot import Seen, Snapshot, Unread
from syncagent.disk.looking import Looking
from syncagent.fsio import OsFS
from tests.fakes.examiner import KeepingExaminer, StillClock

if TYPE_CHECKING:
    from pathlib import Path

    from syncagent.core.digest import Digest

TREE = TreeName("synapse")


@dataclass
class Eyes:
    """Makes `Looking`s on `folder`/tree with their cache in `folder`/state.

    The file system's clock is `ahead_s` before the real one: what was just written has long
    settled unless a test says otherwise.
    """

    folder: Path
    kind: TreeKind = TreeKind.SYNAPSE
    ignore: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    clock: StillClock = field(default_factory=StillClock)
    fs: OsFS = field(default_factory=OsFS)
    ahead_s: float = 100.0

    def __post_init__(self) -> None:
        self.tree.mkdir(exist_ok=True)
        (self.folder / "state").mkdir(exist_ok=True)
        self.looking = self.fresh()

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    @property
    def cache(self) -> Path:
        return self.folder / "state" / "scan.cache"

    def fresh(self, **limits: int) -> Looking:
        """Return a new one, as after a restart, and keep it."""
        self.limits = replace(self.limits, **limits)
        settings = TreeSettings(TREE, self.kind, str(self.tree), ignore=self.ignore)
        self.fs.utime = self._touch
        self.looking = Looking(self.fs, [settings], self.limits, str(self.cache), self.clock)
        return self.looking

    def put(self, path: str, content: bytes = b"<a/>") -> None:
        where = self.tree / path
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_bytes(content)

    def scan(self, examiner: KeepingExaminer | None = None) -> Snapshot:
        return self.looking.scan(TREE, examiner or KeepingExaminer())

    def read_by_scan(self) -> set[str]:
        """Scan; return the paths whose bytes were read."""
        examiner = KeepingExaminer()
        self.scan(examiner)
        return set(examiner.shown)

    def look(self, *paths: str) -> dict[str, Seen | Unread | None]:
        return dict(self.looking.look(TREE, paths, KeepingExaminer()))

    def read(self, path: str, digest: Digest) -> bytes | None:
        return self.looking.read(ArtifactPath(TREE, path), digest)

    def _touch(self, fd: int) -> None:
        os.utime(fd)
        now = os.fstat(fd).st_mtime_ns + int(self.ahead_s * 1e9)
        os.utime(fd, ns=(now, now))


def codes(snapshot: Snapshot) -> dict[str, str]:
    """Return path to problem code, `seen` for what was read."""
    return {
        path: what.problem.code if isinstance(what, Unread) else "seen"
        for path, what in snapshot.files.items()
    }


def code(what: Seen | Unread | None) -> str:
    """Return the problem code, `seen`, or `absent`."""
    if what is None:
        return "absent"
    return what.problem.code if isinstance(what, Unread) else "seen"
