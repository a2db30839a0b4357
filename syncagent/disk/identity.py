"""What a tree is known by: the id of its file system and the inode of its root.

A mount that went away leaves an empty folder that lists without any error; a folder that was
moved away and made anew lists the same way. Both change the identity, and nothing that is seen
(or not seen) under another identity than the trusted one is believed.

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

from syncagent.core.snapshot import Condition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syncagent.fsio import OsFS

_O_ROOT: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_GONE: Final = frozenset({errno.ENOENT, errno.ENOTDIR})


class DoubtError(Exception):
    """A root can't be believed; `condition` is never GOOD. Stays inside this package."""

    def __init__(self, condition: Condition, reason: str, errno_name: str = "") -> None:
        super().__init__(reason)
        self.condition = condition
        self.errno_name = errno_name


class Root(NamedTuple):
    """A root that is open: its descriptor, what it is known by, and its device."""

    fd: int
    identity: str
    device: int


def errno_name(error: OSError) -> str:
    """Return e.g. `EIO`."""
    return errno.errorcode.get(error.errno or 0, str(error.errno))


def let_go(fs: OsFS, fd: int) -> None:
    """Close a descriptor that was only read from."""
    try:
        fs.close(fd)
    except OSError:
        return  # Linux frees the descriptor in any case, and nothing was written that could be lost


def identify(fs: OsFS, path: str) -> str:
    """Return the identity of the folder at `path` as `fsid:inode`. Raises OSError."""
    return _look_at(fs, path)[0]


@contextmanager
def opened(fs: OsFS, path: str, trusted: str | None) -> Iterator[Root]:
    """Open the root at `path`; check that it is the trusted one, before and after.

    `trusted` None takes any. Raises DoubtError, on entry or at the end of the block: what was
    seen inside is then not to be believed.
    """
    before, fd = _open(fs, path, trusted)
    identity, device, _ = before
    try:
        yield Root(fd, identity, device)
        try:
            after = _look_at(fs, path)
        except OSError as error:
            raise _doubt(path, error) from error
        if after != before:
            raise _replaced(path, identity, after[0])
    finally:
        let_go(fs, fd)


def _open(fs: OsFS, path: str, trusted: str | None) -> tuple[tuple[str, int, int], int]:
    try:
        before = _look_at(fs, path)
        if trusted is not None and before[0] != trusted:
            raise _replaced(path, trusted, before[0])
        fd = fs.open(path, _O_ROOT)
        try:
            status = fs.fstat(fd)
        except OSError:
            let_go(fs, fd)
            raise
    except OSError as error:
        raise _doubt(path, error) from error
    if (status.st_dev, status.st_ino) != before[1:]:
        let_go(fs, fd)
        raise _replaced(path, before[0], f"inode {status.st_ino}")
    return before, fd


def _look_at(fs: OsFS, path: str) -> tuple[str, int, int]:
    """Return identity, device and inode of the folder at `path`."""
    status = fs.stat(path)
    if not stat.S_ISDIR(status.st_mode):
        raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    return f"{fs.fsid(path)}:{status.st_ino}", status.st_dev, status.st_ino


def _doubt(path: str, error: OSError) -> DoubtError:
    name = errno_name(error)
    if error.errno in _GONE:
        return DoubtError(Condition.MISSING, f"{path} is not there ({name})", name)
    return DoubtError(Condition.UNREADABLE, f"{path} can't be opened: {error.strerror}", name)


def _replaced(path: str, known: str, found: str) -> DoubtError:
    return DoubtError(
        Condition.REPLACED,
        f"{path} is another folder than before: {found} is there, {known} is the tree "
        "(unmounted, mounted over, or made anew)",
    )
