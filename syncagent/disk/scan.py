"""A full scan: every folder of a tree is listed, every file compared with what is remembered.

Folders are opened relative to the root's descriptor and never through a symlink or over a mount
point, one at a time. In the common case a name costs one `fstatat` and one comparison; only what
is new, changed, racy or wanted by the examiner is read.

Nothing that goes wrong becomes an absence:

- a folder that can't be opened or listed to its end, or lies on another device, is `unlisted`;
- a name whose status can't be had is `Unread`;
- of two names that differ in case only, the one that was known stays and the other is `Unread`;
- a listing may miss a name that is renamed over meanwhile (tmpfs does), so a name or folder that
  was known and is not listed is asked for once more by name;
- a tree with more names than `Limits.tree_files` is not looked at by halves: it is UNREADABLE.
"""

from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING

from syncagent.core.artifact import ArtifactPath, fold_name, path_fault
from syncagent.core.snapshot import Condition
from syncagent.disk.cache import KnownFolder
from syncagent.disk.identity import DoubtError, let_go
from syncagent.disk.read import escaped, not_regular, unread, unread_for, way

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

    from syncagent.core.snapshot import Seen, Unread
    from syncagent.disk.identity import Root
    from syncagent.disk.sight import Sight

_GONE = frozenset({errno.ENOENT, errno.ENOTDIR})


class Walk:
    """One scan under way; `files`, `folders` and `unlisted` are its result (see `Snapshot`)."""

    __slots__ = ("_root", "_sight", "files", "folders", "names_left", "unlisted")

    def __init__(self, sight: Sight, root: Root, names_max: int) -> None:
        self._sight = sight
        self._root = root
        self.names_left = names_max
        self.files: dict[str, Seen | Unread] = {}
        self.folders: set[str] = set()
        self.unlisted: set[str] = set()

    def run(self) -> None:
        """Walk the whole tree. Raises DoubtError if it has more names than are allowed."""
        pending = [""]
        while pending:
            pending.extend(self._visit(pending.pop()))
        self._forget()

    def _visit(self, folder: str) -> list[str]:
        """Look at one folder; return the folders in it."""
        try:
            fd = self._sight.enter(self._root, folder)
        except OSError:
            self.unlisted.add(folder)
            return []
        try:
            return _Listing(self, self._sight, folder, fd).look()
        finally:
            let_go(self._sight.fs, fd)

    def _forget(self) -> None:
        """Drop folders from the cache that are surely gone; the rest was missed: `unlisted`."""
        folders = self._sight.cache.folders
        for path in folders.keys() - self.folders - self.unlisted:
            if any(above in self.unlisted for above in way(path)):
                continue
            if any(above in self.files for above in way(path)) or self._gone(path):
                folders.pop(path, None)
            else:
                self.unlisted.add(path)

    def _gone(self, folder: str) -> bool:
        try:
            fd = self._sight.enter(self._root, folder)
        except OSError as error:
            return error.errno in _GONE
        let_go(self._sight.fs, fd)
        return False


class _Listing:
    """One folder of a walk. `_names` are the known files in it, `_fresh` everything else."""

    __slots__ = (
        "_fd",
        "_folder",
        "_fresh",
        "_known",
        "_names",
        "_prefix",
        "_sight",
        "_stale",
        "_walk",
    )

    def __init__(self, walk: Walk, sight: Sight, folder: str, fd: int) -> None:
        self._walk = walk
        self._sight = sight
        self._folder = folder
        self._prefix = f"{folder}/" if folder else ""
        self._fd = fd
        self._known = sight.cache.folders.get(folder) or KnownFolder()
        self._names: set[str] = set()
        self._stale: set[str] = set()
        self._fresh: list[tuple[os.DirEntry[str], str, bool]] = []

    def look(self) -> list[str]:
        """Look at everything in the folder; return the paths of the folders in it."""
        complete = self._list()
        if complete:
            self._ask_again()
            self._sight.cache.folders[self._folder] = self._known
            self._walk.folders.add(self._folder)
        else:
            self._walk.unlisted.add(self._folder)
        self._walk.names_left -= len(self._names)
        self._check_count()
        files = self._walk.files
        below = []
        for entry, path, is_folder in self._admitted():
            if is_folder:
                below.append(path)
            else:
                files[path] = self._first_look(entry, path)
        for name in self._stale:
            row = self._known.rows.get(name)
            where = row.where if row else ArtifactPath(self._sight.tree, self._prefix + name)
            files[where.path] = self._sight.view(self._known, self._fd, name, where)
        return below

    def _list(self) -> bool:
        """List the folder; tell whether that worked to the end."""
        rows = self._known.rows
        names, stale, files = self._names, self._stale, self._walk.files
        holds = self._sight.holds
        try:
            with self._sight.fs.scandir(self._fd) as entries:
                for entry in entries:
                    name = entry.name
                    row = rows.get(name)
                    if row is None:
                        self._meet(entry)
                        continue
                    names.add(name)
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except OSError as error:
                        files[row.where.path] = unread_for(error)
                        continue
                    if holds(row, status):
                        files[row.where.path] = row.seen
                    elif stat.S_ISREG(status.st_mode):
                        stale.add(name)
                    else:
                        # Something else took the name: nothing is known of that.
                        names.discard(name)
                        self._known.drop(name)
                        self._meet(entry)
        except OSError:
            return False
        return True

    def _meet(self, entry: os.DirEntry[str]) -> None:
        """Take note of a name that is not known, unless it is ignored."""
        path = self._prefix + entry.name
        try:
            is_folder = entry.is_dir(follow_symlinks=False)
        except OSError as error:
            self._walk.files[escaped(path)] = unread_for(error)
            return
        if not self._sight.ignore.hides(path, folder=is_folder):
            self._fresh.append((entry, path, is_folder))
            self._walk.names_left -= 1
            self._check_count()

    def _check_count(self) -> None:
        if self._walk.names_left < 0:
            raise DoubtError(
                Condition.UNREADABLE, "the tree has more names than `tree_files` allows"
            )

    def _ask_again(self) -> None:
        """Ask by name for the known files that the listing did not show."""
        if len(self._names) == len(self._known.rows):
            return
        # A look beside this scan may have made a row meanwhile for a name that was met as new.
        met = {entry.name for entry, _, _ in self._fresh}
        for name in self._known.rows.keys() - self._names - met:
            path = self._prefix + name
            try:
                self._sight.fs.stat(name, dir_fd=self._fd, follow_symlinks=False)
            except OSError as error:
                if error.errno in _GONE:
                    self._known.drop(name)
                else:
                    self._walk.files[path] = unread_for(error)
            else:
                self._stale.add(name)

    def _admitted(self) -> Iterator[tuple[os.DirEntry[str], str, bool]]:
        """Yield what is not known and has a name that may be there; report the others."""
        folders, files = self._sight.cache.folders, self._walk.files
        admitted: list[tuple[os.DirEntry[str], str, bool]] = []
        all_known = True
        for entry, path, is_folder in self._fresh:
            if is_folder and path in folders:
                admitted.append((entry, path, is_folder))
                continue
            fault = path_fault(path)
            if fault is None:
                all_known = False
                admitted.append((entry, path, is_folder))
            else:
                files[escaped(path)] = unread("name", fault)
        if all_known:
            return iter(admitted)
        # The one that was here first stays, however lately it was written.
        first = sorted(self._names)
        first += sorted(entry.name for entry, path, is_folder in admitted if path in folders)
        losers = _losers([*first, *sorted(entry.name for entry, _, _ in admitted)])
        for name, winner in losers.items():
            path = self._prefix + name
            files[path] = unread("case-clash", f"{winner!r} in the same folder is the same name")
            self._known.drop(name)
            self._stale.discard(name)
            folders.pop(path, None)
        return (item for item in admitted if item[0].name not in losers)

    def _first_look(self, entry: os.DirEntry[str], path: str) -> Seen | Unread:
        try:
            if not entry.is_file(follow_symlinks=False):
                # FIFOs and devices are not opened: that may have effects.
                return not_regular(entry.stat(follow_symlinks=False).st_mode)
        except OSError as error:
            return unread_for(error)
        where = ArtifactPath(self._sight.tree, path)
        return self._sight.view(self._known, self._fd, entry.name, where)


def _losers(names: Iterable[str]) -> dict[str, str]:
    """Return the names that clash with an earlier one, and with which."""
    first: dict[str, str] = {}
    losers = {}
    for name in names:
        winner = first.setdefault(fold_name(name), name)
        if winner != name:
            losers[name] = winner
    return losers
