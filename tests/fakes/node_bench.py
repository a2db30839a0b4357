"""One node's folders and disk over any file system calls: the world of the fault tests."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncagent.core.artifact import ArtifactPath, TreeKind, TreeName
from syncagent.core.digest import digest_of
from syncagent.core.intent import Intent, Keep, Step
from syncagent.core.manifest import Entry
from syncagent.core.revision import REVISION_ZERO
from syncagent.core.settings import Limits, TreeSettings
from syncagent.disk.node_disk import NodeDisk
from syncagent.fsio import O_CONTENT, O_FOLDER
from syncagent.ports import Instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncagent.fsio import OsFS

SYNAPSE, PLANS = TreeName("synapse"), TreeName("plans")
START = 1_700_000_000.0

Files = dict[str, bytes]
"""`tree/path` to bytes."""


@dataclass
class StillClock:
    """A clock that stands unless it is moved."""

    at: float = START

    def now(self) -> Instant:
        return Instant(self.at)

    def wall(self) -> float:
        return self.at


def put_file(fs: OsFS, path: str, content: bytes, *, mtime_s: int = int(START)) -> None:
    """Write a file in place, as an operator would, making its folders."""
    make_folder(fs, path.rpartition("/")[0])
    fd = fs.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    fs.write_all(fd, content)
    fs.utime(fd, ns=(mtime_s * 10**9, mtime_s * 10**9))
    fs.close(fd)


def make_folder(fs: OsFS, path: str) -> None:
    """Make a folder and those above it."""
    try:
        fs.stat(path)
    except FileNotFoundError:
        make_folder(fs, path.rpartition("/")[0] or "/")
        fs.mkdir(path, 0o755)


def files_below(fs: OsFS, root: str) -> Files:
    """Return the regular files below `root`, by relative path. Own names included."""
    found: Files = {}
    fd = fs.open(root, O_FOLDER)
    names = fs.listdir(fd)
    fs.close(fd)
    for name in names:
        path = f"{root}/{name}"
        mode = fs.lstat(path).st_mode
        if stat.S_ISDIR(mode):
            below = files_below(fs, path)
            found |= {f"{name}/{rest}": content for rest, content in below.items()}
        elif stat.S_ISREG(mode):
            fd = fs.open(path, O_CONTENT)
            found[name] = fs.read_all(fd, 1 << 26)
            fs.close(fd)
    return found


@dataclass
class NodeBench:
    """Two trees under `base/gateway`, state in `base/state`."""

    fs: OsFS
    base: str = "/node"
    clock: StillClock = field(default_factory=StillClock)

    def build(self, live: Mapping[str, bytes]) -> None:
        """Make the folders and the live files."""
        for folder in ("state", "gateway/synapse", "gateway/plans"):
            make_folder(self.fs, f"{self.base}/{folder}")
        for name, content in live.items():
            put_file(self.fs, f"{self.base}/gateway/{name}", content)

    def disk(self) -> NodeDisk:
        """Return the disk of a newly started process."""
        trees = (
            TreeSettings(SYNAPSE, TreeKind.SYNAPSE, f"{self.base}/gateway/synapse"),
            TreeSettings(PLANS, TreeKind.SIDDHI, f"{self.base}/gateway/plans"),
        )
        return NodeDisk(self.fs, trees, Limits(), f"{self.base}/state", self.clock)

    def live(self) -> Files:
        """Return what is live in both trees."""
        found: Files = {}
        for tree in (SYNAPSE, PLANS):
            below = files_below(self.fs, f"{self.base}/gateway/{tree}")
            found |= {f"{tree}/{path}": content for path, content in below.items()}
        return found

    def mtime_ns(self, name: str) -> int:
        """Return the mtime of live file `tree/path`."""
        return self.fs.stat(f"{self.base}/gateway/{name}").st_mtime_ns

    def staged(self) -> list[str]:
        """Return the names that wait in the stage."""
        folder = f"{self.base}/gateway/.syncagent/stage"
        try:
            return self.fs.listdir(folder)
        except FileNotFoundError:
            return []


def step(name: str, before: bytes | None, after: bytes | None, keep: Keep | None = None) -> Step:
    """Return the step of `tree/path` from one content to another; None is absent."""
    tree, _, path = name.partition("/")
    return Step(
        ArtifactPath(TreeName(tree), path),
        digest_of(before) if before is not None else None,
        Entry(digest_of(after), len(after)) if after is not None else None,
        keep,
    )


@dataclass(frozen=True)
class ChangeSet:
    """Steps with their bytes, and what they lead from and to."""

    old: Files
    steps: tuple[tuple[Step, bytes | None], ...]
    txid: int = 1

    @property
    def new(self) -> Files:
        """What is live when all steps were taken."""
        live = dict(self.old)
        for one, content in self.steps:
            name = f"{one.path.tree}/{one.path.path}"
            if content is None:
                live.pop(name, None)
            else:
                live[name] = content
        return live

    @property
    def intent(self) -> Intent:
        """The intent of all steps."""
        return Intent(self.txid, REVISION_ZERO, tuple(one for one, _ in self.steps), memo=b"m")

    def stage(self, disk: NodeDisk) -> None:
        """Stage the bytes of all puts."""
        disk.stage(self.txid, [(one, c) for one, c in self.steps if c is not None])

    def carry_out(self, disk: NodeDisk) -> None:
        """Stage, seal and commit."""
        self.stage(disk)
        disk.seal(self.txid)
        disk.commit(self.intent)


MIXED = ChangeSet(
    old={
        "synapse/api/A.xml": b"<api>a</api>",
        "synapse/api/B.xml": b"<api>b</api>",
        "synapse/api/K.xml": b"<api>by hand</api>",
        "synapse/sequences/S.xml": b"<sequence/>",
        "plans/p.siddhiql": b"plan 1",
    },
    steps=(
        (step("synapse/endpoints/E.xml", None, b"<endpoint/>"), b"<endpoint/>"),
        (
            step("synapse/api/A.xml", b"<api>a</api>", b"<api>a, longer</api>"),
            b"<api>a, longer</api>",
        ),
        (step("synapse/api/K.xml", b"<api>k</api>", b"<api>k2</api>"), b"<api>k2</api>"),
        (step("synapse/api/deep/er/N.txt", None, b"new"), b"new"),
        (step("plans/p.siddhiql", b"plan 1", b"plan 2", Keep.DRIFT), b"plan 2"),
        (step("synapse/api/B.xml", b"<api>b</api>", None, Keep.DELETED), None),
    ),
)
"""A bit of everything: a new folder, updates, a conflict, a new nested folder, a deletion."""

MANY = ChangeSet(
    old={f"synapse/api/{n}.xml": b"old %d" % n for n in range(6)},
    steps=(
        *((step(f"synapse/sequences/{n}.xml", None, b"s%d" % n), b"s%d" % n) for n in range(4)),
        *(
            (step(f"synapse/api/{n}.xml", b"old %d" % n, b"new %d" % n), b"new %d" % n)
            for n in range(6)
        ),
        (step("plans/p.siddhiql", None, b"plan"), b"plan"),
    ),
)
"""More than are synced one by one: syncfs, and a folder that becomes live as a whole."""
