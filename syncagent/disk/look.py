"""A look at some paths only: what a hint asks for, and what a scan is too slow for.

Absent is only what a listing of its folder does not show. A folder that is gone or can't be read
makes what is below it `Unread`: that a whole folder vanished is for a scan to say.

What is read here on a local disk does not settle (see `cache`): the next scan reads it again.
"""

from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING

from syncagent.core.artifact import ArtifactPath, fold_name, path_fault
from syncagent.core.snapshot import NO_FOLDER
from syncagent.disk.cache import KnownFolder
from syncagent.disk.identity import errno_name, let_go
from syncagent.disk.read import unread, unread_for, way

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
                self.found[path] = None if self._gone(path) else unread("name", fault)
            elif not self._sight.ignore.hides_way(path):
                folder, _, name = path.rpartition("/")
                folders.setdefault(folder, []).append(name)
        for folder, names in folders.items():
            self._visit(folder, names)

    def _gone(self, path: str) -> bool:
        """Tell whether a path that can be no artifact's is surely not there."""
        folder, _, name = path.rpartition("/")
        try:
            fd = self._sight.enter(self._root, folder)
        except OSError:
            return False
        try:
            self._sight.fs.stat(name, dir_fd=fd, follow_symlinks=False)
        except OSError as error:
            return error.errno == errno.ENOENT
        finally:
            let_go(self._sight.fs, fd)
        return False

    def _visit(self, folder: str, names: list[str]) -> None:
        """Look at `names` in one folder."""
        prefix = f"{folder}/" if folder else ""
        # Only a scan makes a folder known: it has seen what stands beside it.
        known = self._sight.cache.folders.get(folder)
        if known is None:
            other = self._clash_of(folder)
            if other is not None:
                refused = _clash(other)
                self.found.update((prefix + name, refused) for name in names)
                return
            known = KnownFolder()
        try:
            fd = self._sight.enter(self._root, folder)
        except OSError as error:
            gone = _below(folder, error)
            self.found.update((prefix + name, gone) for name in names)
            return
        try:
            missing = [name for name in names if not self._one(known, fd, prefix, name)]
            if missing:
                self._confirm(known, fd, prefix, missing)
        finally:
            let_go(self._sight.fs, fd)

    def _one(self, known: KnownFolder, fd: int, prefix: str, name: str) -> bool:
        """Look at one name; False if it seems not to be there."""
        where = ArtifactPath(self._sight.tree, prefix + name)
        other = None if name in known.rows else known.clash_of(name)
        if other is not None and not self._gone(where.path):
            self.found[where.path] = _clash(other)
            return True
        try:
            self.found[where.path] = self._sight.glance(known, fd, name, where)
        except OSError as error:
            self.found[where.path] = unread_for(error)
            return error.errno != errno.ENOENT
        return True

    def _confirm(self, known: KnownFolder, fd: int, prefix: str, missing: list[str]) -> None:
        """Call absent what a listing of the folder does not show either."""
        try:
            with self._sight.fs.scandir(fd) as entries:
                listed = {entry.name for entry in entries}
        except OSError as error:
            unsure = unread_for(error)
            self.found.update((prefix + name, unsure) for name in missing)
            return
        gone = [name for name in missing if name not in listed]
        for name in gone:
            self.found[prefix + name] = None
            known.drop(name)
        # What was refused for the sake of a name that is gone has nothing against it any more.
        folds = {fold_name(name) for name in gone}
        for name in sorted(listed if folds else ()):
            if name not in known.rows and fold_name(name) in folds:
                self._admit(known, fd, prefix, name)

    def _admit(self, known: KnownFolder, fd: int, prefix: str, name: str) -> None:
        """Look at a file that nobody asked for, if it may be an artifact."""
        path = prefix + name
        if path_fault(path) is not None or self._sight.ignore.hides_way(path):
            return
        try:
            status = self._sight.fs.stat(name, dir_fd=fd, follow_symlinks=False)
        except OSError:
            return
        if stat.S_ISREG(status.st_mode):
            self._one(known, fd, prefix, name)

    def _clash_of(self, folder: str) -> str | None:
        """Return a known folder that one on the way to `folder` (or itself) clashes with."""
        known = self._sight.cache.folders
        news = {fold_name(path) for path in way(folder) if path not in known}
        return next((path for path in list(known) if fold_name(path) in news), None)


def _clash(other: str) -> Unread:
    return unread("case-clash", f"{other!r} in the same folder is the same name")


def _below(folder: str, error: OSError) -> Unread:
    return unread(
        NO_FOLDER if error.errno == errno.ENOENT else "unreadable",
        f"its folder {folder!r} can't be opened: {error.strerror} ({errno_name(error)})",
    )
