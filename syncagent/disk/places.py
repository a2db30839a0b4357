"""Where each tree is, and where its bytes wait: on the same mount, out of the runtime's sight.

Beside the tree's root lies `.syncagent/` (0700) with `stage/` and `quarantine/`. Equal device
numbers do not promise that a rename works (bind mounts), so a place is believed only after a
real rename into the tree and back. Where that fails, because the watched folder is itself the
mount or its parent may not be written, bytes wait in the root itself, under hidden names that
end in `.part`; the quarantine then lies in the root's own `.syncagent/`. No staged name ever ends
in `xml` or `siddhiql`: Axis2 deploys hidden files too.

Whatever is reached below a root is reached from the root's descriptor, without following
symlinks or crossing mounts (`OsFS.openat2`).
"""

from __future__ import annotations

import errno
import re
import stat
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING

from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError
from syncagent.disk.identity import identify, let_go
from syncagent.disk.mark import owner_of
from syncagent.disk.refusal import disk_error
from syncagent.fsio import O_FOLDER, O_NEW, O_ROOT

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Mapping, Sequence

    from syncagent.core.artifact import ArtifactPath, TreeName
    from syncagent.core.settings import TreeSettings
    from syncagent.disk.mark import Owner
    from syncagent.fsio import OsFS

OWN_FOLDER = ".syncagent"
_PROBE = ".syncagent-probe.part"
_SLOT = re.compile(r"\.([0-9a-f]+)-[0-9a-f]{32}\.(?:part|fill)")
_PRIVATE = 0o700
_ELSEWHERE = frozenset(
    {errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ELOOP}
)
"""What says that bytes can't wait beside the root. Anything else may pass, and is an error."""


@dataclass(frozen=True, slots=True)
class Place:
    """One tree's root and its two folders, all on one mount. Paths are absolute.

    `inside` tells that `stage` is the root itself. `root_key` is device and inode of the root.
    """

    tree: TreeName
    root: str
    stage: str
    quarantine: str
    inside: bool
    root_key: tuple[int, int]


def slot_name(txid: int, path: ArtifactPath) -> str:
    """Return the name under which the bytes for `path` wait."""
    return f".{txid:x}-{_mark(path.tree, path.path)}.part"


@lru_cache(maxsize=64)
def fill_name(txid: int, tree: TreeName, folder: str) -> str:
    """Return the name under which the whole of a new top folder waits."""
    return f".{txid:x}-{_mark(tree, folder)}.fill"


def txid_of(name: str) -> int | None:
    """Return which transaction a name in a stage folder belongs to; None: it is not ours."""
    found = _SLOT.fullmatch(name)
    return int(found[1], 16) if found else None


def _mark(tree: str, path: str) -> str:
    return digest_of(f"{tree}\0{path}".encode())[-32:]


class Places:
    """Finds each tree's place, and finds it anew when the root is another one."""

    def __init__(self, fs: OsFS, trees: Sequence[TreeSettings]) -> None:
        self._fs = fs
        self._roots: Mapping[TreeName, str] = {tree.name: tree.path for tree in trees}
        self._owners = {tree.name: owner_of(tree) for tree in trees}
        self._common = frozenset(tree.name for tree in trees if tree.common)
        self._known: dict[TreeName, Place] = {}
        self._locks = {tree.name: Lock() for tree in trees}
        self._shunned: dict[TreeName, str] = {}

    @property
    def trees(self) -> tuple[TreeName, ...]:
        """Names of the trees that this node lists."""
        return tuple(self._roots)

    def root_of(self, tree: TreeName) -> str:
        """Return where the tree is. Raises DiskError if it is to be left alone, or is not ours."""
        root = self._roots.get(tree)
        if root is None:
            raise DiskError(f"this node has no tree {tree!r}")
        why = self._shunned.get(tree)
        if why is not None:
            raise DiskError(
                f"tree {tree} is left alone: {why}",
                errno_name="ETIMEDOUT",
                hint="look at its mount and the server behind it",
            )
        return root

    def owner_of(self, tree: TreeName) -> Owner | None:
        """Return whose mark the tree's root must carry; None: it is known without."""
        return self._owners[tree]

    def shun(self, tree: TreeName, why: str) -> None:
        """Touch nothing of the tree from now on; "" ends it. From any thread."""
        if why:
            self._shunned[tree] = why
        else:
            self._shunned.pop(tree, None)

    def shuns(self, tree: TreeName) -> bool:
        """Tell whether the tree is to be left alone."""
        return tree in self._shunned

    def of(self, tree: TreeName, *, inside: bool | None = None) -> Place:
        """Return the place of `tree`, after a rename was tried there.

        `inside` asks for one of the two kinds, as an earlier process found it. Raises DiskError
        if the root is not there, lacks its mark, or nothing can be renamed into it.
        """
        root = self.root_of(tree)
        try:
            if (owner := self._owners[tree]) is not None:
                # Nothing is to be written where a share is not mounted: it would be hidden below.
                identify(self._fs, root, owner)
            key = self._key(root)
        except OSError as error:
            raise disk_error(f"tree {tree} ({root}) can't be opened", error) from error
        # Two threads that tried a rename at once would take each other's probe away.
        with self._locks[tree]:
            known = self._known.get(tree)
            if known is None or known.root_key != key or inside not in {None, known.inside}:
                known = self._known[tree] = self._find(tree, root, key, inside=inside)
        return known

    def _key(self, root: str) -> tuple[int, int]:
        fd = self._fs.open(root, O_ROOT)
        try:
            status = self._fs.fstat(fd)
        finally:
            let_go(self._fs, fd)
        return status.st_dev, status.st_ino

    def is_common(self, tree: TreeName) -> bool:
        """Tell whether agents of other nodes use this tree's places as well.

        Nothing is tried, made or tidied there before this node has something to write.
        """
        return tree in self._common

    def possible(self) -> tuple[Place, ...]:
        """Return both places of every tree whose root can be had: an earlier one may be in use."""
        own = tuple(
            _place(place.tree, place.root, place.root_key, inside=kind)
            for place in self.within_reach()
            for kind in (False, True)
            if not self.is_common(place.tree)
        )
        return own + self.seen(self._common)

    def seen(self, trees: Collection[TreeName] | None = None) -> tuple[Place, ...]:
        """Return both places of these trees whose root is there, with nothing tried or made."""
        found = []
        for tree, root in self._roots.items():
            if self.shuns(tree) or (trees is not None and tree not in trees):
                continue
            try:
                key = self._key(root)
            except OSError:
                continue
            found += [_place(tree, root, key, inside=kind) for kind in (False, True)]
        return tuple(found)

    def within_reach(self) -> tuple[Place, ...]:
        """Return the places of all trees whose root can be had now; of common ones, if in use."""
        found = []
        for tree in self._roots:
            if self.is_common(tree) and tree not in self._known:
                continue
            try:
                found.append(self.of(tree))
            except DiskError:
                continue
        return tuple(found)

    def _find(
        self, tree: TreeName, root: str, key: tuple[int, int], *, inside: bool | None
    ) -> Place:
        for kind in (False, True) if inside is None else (inside,):
            place = _place(tree, root, key, inside=kind)
            try:
                self._prepare(place)
                self._try_rename(place)
            except OSError as error:
                if error.errno in _ELSEWHERE and not kind and inside is None:
                    continue
                raise disk_error(
                    f"nothing can be staged for tree {tree} ({root})", error
                ) from error
            return place
        raise AssertionError("the last kind either works or is refused")

    def _prepare(self, place: Place) -> None:
        fs = self._fs
        own = place.quarantine.rpartition("/")[0]
        base = own.rpartition("/")[0] or "/"
        for folder in (own, place.quarantine, *(() if place.inside else (place.stage,))):
            try:
                fs.mkdir(folder, _PRIVATE)
            except FileExistsError:
                self._make_private(folder)
        # Always, not only when made just now: an earlier process may have died in between.
        for folder in (own, base):
            fd = fs.open(folder, O_ROOT)
            try:
                fs.fsync_folder(fd)
            finally:
                let_go(fs, fd)

    def _make_private(self, folder: str) -> None:
        fd = self._fs.open(folder, O_FOLDER)
        try:
            if stat.S_IMODE(self._fs.fstat(fd).st_mode) != _PRIVATE:
                self._fs.fchmod(fd, _PRIVATE)
        finally:
            let_go(self._fs, fd)

    def _try_rename(self, place: Place) -> None:
        fs = self._fs
        # Trees beside each other have one stage, and one thread each that may try.
        staged = f"{place.stage}/{_PROBE}.{_mark(place.tree, '')}.new"
        live = f"{place.root}/{_PROBE}"
        self._remove(staged, live)
        fd = fs.open(staged, O_NEW, 0o600)
        try:
            mine = fs.fstat(fd).st_uid
            fs.rename(staged, live)
            fs.rename(live, staged)
        finally:
            let_go(fs, fd)
            self._remove(staged, live)
        own = place.quarantine.rpartition("/")[0]
        if fs.stat(own).st_uid != mine:
            # Whoever owns the folder may swap verified bytes for others before they are live.
            raise PermissionError(errno.EPERM, "the folder belongs to another user", own)

    def _remove(self, *paths: str) -> None:
        for path in paths:
            try:
                self._fs.unlink(path)
            except FileNotFoundError:
                continue


def _place(tree: TreeName, root: str, key: tuple[int, int], *, inside: bool) -> Place:
    base = root if inside else root.rstrip("/").rpartition("/")[0]
    own = f"{base.rstrip('/')}/{OWN_FOLDER}"
    return Place(tree, root, root if inside else f"{own}/stage", f"{own}/quarantine", inside, key)


class Ground:
    """One tree while it is worked on: descriptors of its root and stage. Close it.

    `folder` keeps the last folder open, because steps come folder by folder.
    """

    def __init__(self, fs: OsFS, place: Place) -> None:
        self.fs = fs
        self.place = place
        self._last: tuple[str, int] | None = None
        self.root_fd = fs.open(place.root, O_ROOT)
        try:
            self._check_root()
            self.stage_fd = open_stage(fs, place)
        except OSError:
            let_go(fs, self.root_fd)
            raise

    def _check_root(self) -> None:
        status = self.fs.fstat(self.root_fd)
        if (status.st_dev, status.st_ino) != self.place.root_key:
            raise OSError(errno.ESTALE, "the root is not the folder it was", self.place.root)

    def close(self) -> None:
        """Close what is open; the object is of no use afterwards."""
        if self._last is not None:
            let_go(self.fs, self._last[1])
            self._last = None
        let_go(self.fs, self.stage_fd)
        let_go(self.fs, self.root_fd)

    def folder(self, path: str) -> int:
        """Return a descriptor of folder `path` ("" is the root), good until the next call."""
        if not path:
            return self.root_fd
        if self._last is not None:
            if self._last[0] == path:
                return self._last[1]
            last, self._last = self._last, None
            let_go(self.fs, last[1])
        fd = self.fs.openat2(self.root_fd, path, O_FOLDER)
        self._last = (path, fd)
        return fd

    def make_folder(self, path: str) -> tuple[int, list[str]]:
        """Open folder `path`, making what is missing, one part at a time.

        Returns its descriptor and the folders that got a new name in them. A new folder takes
        mode and owner of the one it is in.
        """
        try:
            return self.folder(path), []
        except FileNotFoundError:
            pass
        parent, _, name = path.rpartition("/")
        above, touched = self.make_folder(parent)
        status = self.fs.fstat(above)
        try:
            self.fs.mkdir(name, _PRIVATE, dir_fd=above)
        except FileExistsError:
            return self.folder(path), touched
        fd = self.folder(path)
        own_by(self.fs, fd, self.fs.fstat(fd), status)
        self.fs.fchmod(fd, stat.S_IMODE(status.st_mode))
        return fd, [*touched, parent]

    def nearest_folder(self, path: str) -> os.stat_result:
        """Return the status of folder `path`, or of the nearest one above it that is there."""
        while True:
            try:
                return self.fs.fstat(self.folder(path))
            except FileNotFoundError:
                if not path:
                    raise
                path = path.rpartition("/")[0]

    def live(self, path: str) -> os.stat_result | None:
        """Return the status of what is live at `path`, None if nothing is. Symlinks are seen."""
        folder, _, name = path.rpartition("/")
        try:
            return self.fs.stat(name, dir_fd=self.folder(folder), follow_symlinks=False)
        except FileNotFoundError:
            return None


def open_stage(fs: OsFS, place: Place) -> int:
    """Return a descriptor of the folder where bytes wait. Raises OSError."""
    return fs.open(place.stage, O_ROOT if place.inside else O_FOLDER)


def own_by(fs: OsFS, fd: int, now: os.stat_result, wanted: os.stat_result) -> None:
    """Give the file of `fd` the owner and group of `wanted`, as far as this user may.

    Only root may give files away; the agent runs as the gateway's user, whose files they are.
    """
    if (now.st_uid, now.st_gid) != (wanted.st_uid, wanted.st_gid):
        try:
            fs.fchown(fd, wanted.st_uid, wanted.st_gid)
        except PermissionError:
            return
