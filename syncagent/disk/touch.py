"""A new mtime for bytes that are right: what makes a deployer look at a file again.

Only the file that was read is touched, through its own descriptor: who replaces it meanwhile keeps
the mtime that it brought. A write into the file between the read and the touch gets the later mtime
too; to a deployer, and to the next look, it is the change that it was anyway.
"""

from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING

from syncagent.core.digest import digest_of
from syncagent.disk.identity import let_go
from syncagent.disk.read import same
from syncagent.disk.staging import SECOND_NS
from syncagent.fsio import O_CONTENT, O_FOLDER

if TYPE_CHECKING:
    from syncagent.core.digest import Digest
    from syncagent.fsio import OsFS

_NOT_IT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})
"""What says that there is no regular file of this name (any more)."""


def touch(fs: OsFS, root_fd: int, path: str, digest: Digest, wall_s: float) -> bool:
    """Give the file `path` below the root a later mtime, in whole seconds, if it holds `digest`.

    Neither a symlink is followed nor a mount crossed on the way. Raises OSError.
    """
    folder, _, name = path.rpartition("/")
    try:
        folder_fd = fs.openat2(root_fd, folder, O_FOLDER)
    except OSError as error:
        if error.errno in _NOT_IT:
            return False
        raise
    try:
        fd = fs.open(name, O_CONTENT, dir_fd=folder_fd)
    except OSError as error:
        if error.errno in _NOT_IT:
            return False
        raise
    finally:
        let_go(fs, folder_fd)
    try:
        return _touch(fs, fd, digest, wall_s)
    finally:
        let_go(fs, fd)


def _touch(fs: OsFS, fd: int, digest: Digest, wall_s: float) -> bool:
    before = fs.fstat(fd)
    if not stat.S_ISREG(before.st_mode):
        return False
    try:
        content = fs.read_all(fd, before.st_size)
    except OSError as error:
        if error.errno == errno.EFBIG:
            return False  # it grew meanwhile
        raise
    if digest_of(content) != digest or not same(before, fs.fstat(fd)):
        return False
    mtime_s = max(int(wall_s), before.st_mtime_ns // SECOND_NS + 1)
    fs.utime(fd, ns=(mtime_s * SECOND_NS, mtime_s * SECOND_NS))
    return True
