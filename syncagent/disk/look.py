"""A look at some paths only: what a hint asks for, and what a scan is too slow for.

Absent is only what a listing of its folder does not show. A folder that is gone or can't be read
makes what is below it `Unread`: that a whole folder vanished is for a scan to say.

What is read here does not settle (see `cache`): the next scan reads it once more.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from syncagent.core.artifact import ArtifactPath, path_fault
from syncagent.disk.identity import errno_name, let_go
from syncagent.disk.read import unread, unread_for

if TYPE_CHECKING:
    from collections.abc import Iterable

    from syncagent.core.snapshot import Seen, Unread
    from syncagent.disk.identity import Root
    from syncagent.disk.sight import Sight


class Look:
    """One look at some paths; `found` is its result (see `ports.Disk.look`)."""

    __slots__ = ("_root", "_sight", "found")

    def __init__(self, sight: Sight, root: Root) -> None:
        self._sight = sight
        self._root = root
        self.found: dict[str, Seen | Unread | None] = {}

    def run(self, paths: Iterable[str]) -> None:
        """Look at `paths`; an ignored one is left out of `found`."""
        folders: dict[str, list[str]] = {}
        for path in paths:
            fault = path_fault(path)
            if fault is not None:
                self.found[path] = unread("name", fault)
            elif not self._sight.ignore.hides_way(path):
                folder, _, name = path.rpartition("/")
                folders.setdefault(folder, []).append(name)
        for folder, names in folders.items():
            self._visit(folder, names)

    def _visit(self, folder: str, names: list[str]) -> None:
        """Look at `names` in one folder."""
        fs = self._sight.fs
        prefix = f"{folder}/" if folder else ""
        try:
            fd = self._sight.enter(self._root, folder)
        except OSError as error:
            for name in names:
                self.found[prefix + name] = _below(folder, error)
            return
        try:
            missing = []
            for name in names:
                where = ArtifactPath(self._sight.tree, prefix + name)
                try:
                    self.found[where.path] = self._one(folder, fd, name, where)
                except OSError as error:
                    self.found[where.path] = unread_for(error)
                    if error.errno == errno.ENOENT:
                        missing.append(name)
            if missing:
                self._confirm(folder, fd, missing)
        finally:
            let_go(fs, fd)

    def _one(self, folder: str, fd: int, name: str, where: ArtifactPath) -> Seen | Unread:
        known = self._sight.cache.folder(folder)
        if name not in known.rows:
            other = known.clash_of(name)
            if other is not None:
                return unread("case-clash", f"{other!r} in the same folder is the same name")
        return self._sight.glance(known, fd, name, where)

    def _confirm(self, folder: str, fd: int, missing: list[str]) -> None:
        """Call absent what a listing of the folder does not show either."""
        prefix = f"{folder}/" if folder else ""
        try:
            with self._sight.fs.scandir(fd) as entries:
                listed = {entry.name for entry in entries}
        except OSError as error:
            for name in missing:
                self.found[prefix + name] = unread_for(error)
            return
        known = self._sight.cache.folder(folder)
        for name in missing:
            if name not in listed:
                self.found[prefix + name] = None
                known.drop(name)


def _below(folder: str, error: OSError) -> Unread:
    return unread(
        "unreadable",
        f"its folder {folder!r} can't be opened: {error.strerror} ({errno_name(error)})",
    )
