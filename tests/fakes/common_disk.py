"""A mount that several nodes have, in memory: one server, and a disk with a cache for each node.

What a node writes it sees at once, the others `lag_s` later: attributes are cached. Opening a file
asks the server (close-to-open), so `read`, and the steps of a commit, never work on what is old.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncagent.core.artifact import ArtifactPath
from tests.fakes.disk import FakeDisk, Tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.core.artifact import TreeName
    from syncagent.core.digest import Digest
    from syncagent.core.intent import Keep, Kept, Step


@dataclass
class Mount:
    """The server: trees and quarantine. `wrote` is told of every write that an agent makes."""

    trees: dict[TreeName, Tree] = field(default_factory=dict)
    folders: dict[TreeName, set[str]] = field(default_factory=dict)
    quarantine: dict[str, tuple[Kept, bytes]] = field(default_factory=dict)
    disks: list[CommonDisk] = field(default_factory=list)
    later: Callable[[float, Callable[[], None]], None] = lambda _after_s, act: act()
    wrote: Callable[
        [CommonDisk, ArtifactPath, tuple[bytes, int] | None, tuple[bytes, int] | None], None
    ] = lambda _disk, _path, _old, _new: None
    serial: int = 0


@dataclass
class CommonDisk(FakeDisk):
    """One node's view of a mount."""

    mount: Mount = field(default_factory=Mount)
    lag_s: float = 0.0

    def __post_init__(self) -> None:
        for name in self.names:
            self.mount.trees.setdefault(name, {})
            self.mount.folders.setdefault(name, {""})
        self._ask_all()
        super().__post_init__()
        self.identity = {name: f"share:{name}" for name in self.names}
        self._quarantine = self.mount.quarantine
        self.mount.disks.append(self)

    # What people do, through this node.

    def put(self, path: ArtifactPath, content: bytes) -> None:
        super().put(path, content)
        self._publish(path)

    def remove(self, path: ArtifactPath) -> None:
        super().remove(path)
        self._publish(path)

    def remove_folder(self, tree: TreeName, folder: str) -> None:
        super().remove_folder(tree, folder)
        server, own = self.mount.trees[tree], self.trees[tree]
        for path in [path for path in server if path not in own and path.startswith(f"{folder}/")]:
            del server[path]
        self.mount.folders[tree] = set(self.folders[tree])
        for disk in self.mount.disks:
            if disk is not self:
                self.mount.later(disk.lag_s, disk._ask_all)

    def spread(self, tree: TreeName, before: Tree) -> set[str]:
        """Tell the server what was written into this node's view since; return where."""
        now = self.trees[tree]
        moved = {p for p in now.keys() | before.keys() if now.get(p) != before.get(p)}
        for path in sorted(moved):
            self._publish(ArtifactPath(tree, path))
        return moved

    # What a process forgets, and what lights that go out take with them: nothing of the server.

    def killed(self) -> None:
        super().killed()
        self._ask_all()

    def power_cut(self) -> None:
        self._durable = {name: dict(self.mount.trees[name]) for name in self.names}
        super().power_cut()
        self._ask_all()

    # The port.

    def read(self, path: ArtifactPath, digest: Digest) -> bytes | None:
        self._ask(path)
        return super().read(path, digest)

    def touch(self, path: ArtifactPath, digest: Digest) -> bool:
        self._ask(path)
        old = self.trees[path.tree].get(path.path)
        done = super().touch(path, digest)
        self._published(path, old)
        return done

    def keep(self, path: ArtifactPath, content: bytes, reason: Keep, detail: str) -> Kept:
        self._serial = self.mount.serial = self.mount.serial + 1
        return super().keep(path, content, reason, detail)

    def _step(self, txid: int, step: Step) -> list[Kept]:
        self._ask(step.path)
        old = self.trees[step.path.tree].get(step.path.path)
        kept = super()._step(txid, step)
        self._published(step.path, old)
        return kept

    # Between this node and the server.

    def _ask(self, path: ArtifactPath) -> None:
        if path.tree not in self.trees:
            return
        row = self.mount.trees[path.tree].get(path.path)
        if row is None:
            self.trees[path.tree].pop(path.path, None)
        else:
            self.trees[path.tree][path.path] = row
        self.folders[path.tree] = set(self.mount.folders[path.tree])

    def _ask_all(self) -> None:
        for name in self.names:
            self.trees[name] = dict(self.mount.trees[name])
            self.folders[name] = set(self.mount.folders[name])

    def _publish(self, path: ArtifactPath) -> None:
        row = self.trees[path.tree].get(path.path)
        if row is None:
            self.mount.trees[path.tree].pop(path.path, None)
        else:
            self.mount.trees[path.tree][path.path] = row
            self.mount.folders[path.tree] |= self.folders[path.tree]
        for disk in self.mount.disks:
            if disk is not self:
                self.mount.later(disk.lag_s, lambda disk=disk: disk._ask(path))  # type: ignore[misc]

    def _published(self, path: ArtifactPath, old: tuple[bytes, int] | None) -> None:
        new = self.trees[path.tree].get(path.path)
        if new != old:
            self._publish(path)
            self.mount.wrote(self, path, old, new)
