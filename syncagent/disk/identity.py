"""What a tree is known by: the id of its file system and the inode of its root, or its mark.

A mount that went away leaves an empty folder that lists without any error; a folder that was
moved away and made anew lists the same way. Both change the identity, and nothing that is seen
(or not seen) under another identity than the trusted one is believed.

A tree on a share is known by the mark in its root instead (`mark`), which survives that the share
is mounted again. It is read before and after whatever is looked at, and what is looked at must be
one folder of one mount throughout: device, inode and the mount's id must not change in between. An
open descriptor keeps the mount, so its id can't be given to another one meanwhile.

No descriptor of a root is kept between two calls: it would hold a file system busy that an
operator wants to unmount, and opening one costs a few microseconds.

The root itself may be a symlink (`current` to a release's folder); below it none is followed.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from syncagent.core.settings import SHARE_PREFIX
from syncagent.core.snapshot import Condition
from syncagent.disk.mark import MARK_NAME, NoMarkError, read_mark
from syncagent.fsio import O_ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syncagent.disk.mark import Mark, Owner
    from syncagent.fsio import OsFS

_GONE: Final = frozenset({errno.ENOENT, errno.ENOTDIR})


class DoubtError(Exception):
    """A root can't be believed; `condition` is never GOOD. Stays inside this package."""

    def __init__(self, condition: Condition, reason: str, errno_name: str = "") -> None:
        super().__init__(reason)
        self.condition = condition
        self.errno_name = errno_name


class Root(NamedTuple):
    """A root that is open: its descriptor, what it is known by, and its device.

    `ground` names the folder itself, whatever it is known by: what was remembered of files holds
    there only.
    """

    fd: int
    identity: str
    device: int
    ground: str


class _Face(NamedTuple):
    """What a root looks like at one instant; equal for one that stayed what it was."""

    identity: str
    device: int
    inode: int
    ground: str
    mount_id: int = 0


def errno_name(error: OSError) -> str:
    """Return e.g. `EIO`."""
    return errno.errorcode.get(error.errno or 0, str(error.errno))


def let_go(fs: OsFS, fd: int) -> None:
    """Close a descriptor that was only read from."""
    try:
        fs.close(fd)
    except OSError:
        return  # Linux frees the descriptor in any case, and nothing was written that could be lost


def identify(fs: OsFS, path: str, owner: Owner | None = None) -> str:
    """Return the identity of the folder at `path`: `fsid:inode`, or its mark's if it has an `owner`.

    Raises OSError; ENOENT if the mark is missing or another owner's, EIO if it is damaged.
    """
    try:
        return _look_at(fs, path, owner).identity
    except DoubtError as doubt:
        number = errno.EIO if doubt.condition is Condition.UNREADABLE else errno.ENOENT
        raise OSError(number, str(doubt), path) from doubt


@contextmanager
def opened(fs: OsFS, path: str, trusted: str | None, owner: Owner | None = None) -> Iterator[Root]:
    """Open the root at `path`; check that it is the trusted one, before and after.

    `trusted` None takes any, of this `owner` if there is one. Raises DoubtError, on entry or at the
    end of the block: what was seen inside is then not to be believed.
    """
    before, fd = _open(fs, path, trusted, owner)
    try:
        yield Root(fd, before.identity, before.device, before.ground)
        try:
            after = _look_at(fs, path, owner)
        except OSError as error:
            raise _doubt(path, error) from error
        if after != before:
            raise _changed(path, before.identity, after.identity)
    finally:
        let_go(fs, fd)


def _open(fs: OsFS, path: str, trusted: str | None, owner: Owner | None) -> tuple[_Face, int]:
    try:
        before = _look_at(fs, path, owner)
        if trusted is not None and before.identity != trusted:
            raise _replaced(path, trusted, before.identity)
        fd = fs.open(path, O_ROOT)
        try:
            status = fs.fstat(fd)
        except OSError:
            let_go(fs, fd)
            raise
    except OSError as error:
        raise _doubt(path, error) from error
    if (status.st_dev, status.st_ino) != (before.device, before.inode):
        let_go(fs, fd)
        raise _changed(path, before.identity, "")
    return before, fd


def _look_at(fs: OsFS, path: str, owner: Owner | None) -> _Face:
    """Return what the folder at `path` looks like. Raises OSError, and DoubtError about its mark."""
    if owner is not None:
        return _look_for_mark(fs, path, owner)
    status = fs.stat(path)
    if not stat.S_ISDIR(status.st_mode):
        raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    identity = f"{fs.fsid(path)}:{status.st_ino}"
    return _Face(identity, status.st_dev, status.st_ino, identity)


def _look_for_mark(fs: OsFS, path: str, owner: Owner) -> _Face:
    fd = fs.open(path, O_ROOT)
    try:
        status = fs.fstat(fd)
        mark = _mark_in(fs, path, fd)
        mount_id = fs.mount_id(fd)
    finally:
        let_go(fs, fd)
    if mark.owner != owner:
        raise DoubtError(
            Condition.MISSING,
            f"{path} is the tree {mark.tree} of the cluster {mark.cluster}, by its {MARK_NAME}: "
            f"the share of {owner.tree} of {owner.cluster} is not mounted there",
            "ENOENT",
        )
    ground = f"{fs.fsid(path)}:{status.st_ino}"
    return _Face(mark.identity, status.st_dev, status.st_ino, ground, mount_id)


def _mark_in(fs: OsFS, path: str, fd: int) -> Mark:
    try:
        return read_mark(fs, fd)
    except NoMarkError as error:
        raise DoubtError(
            Condition.UNREADABLE, f"{path}/{MARK_NAME} can't be believed: {error}", "EIO"
        ) from error
    except OSError as error:
        if error.errno not in _GONE:
            raise
        raise DoubtError(
            Condition.MISSING,
            f"{path} has no {MARK_NAME}: the share is not mounted, or was never prepared",
            "ENOENT",
        ) from error


def _doubt(path: str, error: OSError) -> DoubtError:
    name = errno_name(error)
    if error.errno in _GONE:
        return DoubtError(Condition.MISSING, f"{path} is not there ({name})", name)
    return DoubtError(Condition.UNREADABLE, f"{path} can't be opened: {error.strerror}", name)


def _changed(path: str, known: str, found: str) -> DoubtError:
    """Return what to say of a root that was another one a moment ago; `found` may be unknown."""
    if known.startswith(SHARE_PREFIX) and found in {"", known}:
        what = f"{path} was mounted again while it was looked at"
        return DoubtError(Condition.UNREADABLE, what)
    return _replaced(path, known, found or "another inode")


def _replaced(path: str, known: str, found: str) -> DoubtError:
    what = "share" if known.startswith(SHARE_PREFIX) else "folder"
    return DoubtError(
        Condition.REPLACED,
        f"{path} is another {what} than before: {found} is there, {known} is the tree "
        "(unmounted, mounted over, or made anew)",
    )
