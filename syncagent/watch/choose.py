"""Whether inotify can see every change of a tree, judged by the types of its file systems.

inotify reports what this kernel does. A file system that others write to through another kernel or
process (NFS, SMB, FUSE, cluster file systems) changes without an event, so only types that are
known to be local are trusted; an unknown one is polled. Every mount below the root counts too.

The mount table names the type, statfs has the last word about the root: the table may describe
another mount namespace, or a mount that was covered since.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.core.settings import WatchMode
from syncagent.fsio import LOCAL_TYPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncagent.fsio import Mount, OsFS

SHARED_MAGIC = {
    0x6969: "nfs",
    0xFF534D42: "cifs",
    0xFE534D42: "smb2",
    0x65735546: "fuse",
    0x01021997: "9p",
    0x00C36400: "ceph",
    0x01161970: "gfs2",
    0x7461636F: "ocfs2",
    0x0BD00BD0: "lustre",
    0x5346414F: "afs",
    0x47504653: "gpfs",
}
"""statfs magic of types that others may write to unseen; only for a readable reason."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How to watch. `reason` names the file system type, or says that the settings decided."""

    inotify: bool
    reason: str


def choose(fs: OsFS, root: str, mode: WatchMode) -> Choice:
    """Choose how to watch the tree at `root`. Raises OSError if the root can't be asked."""
    if mode is not WatchMode.AUTO:
        return Choice(mode is WatchMode.INOTIFY, "by settings")
    magic = fs.statfs_type(root)
    try:
        table: Sequence[Mount] = fs.mount_table()
    except OSError:
        table = ()
    return judge(os.path.realpath(root), magic, table)


def judge(root: str, magic: int, table: Sequence[Mount]) -> Choice:
    """Judge by the statfs `magic` of the root and the mount table. Pure.

    >>> judge("/tree", 0xEF53, ()).reason, judge("/tree", 0x6969, ()).inotify
    ('ext2', False)
    """
    named = _type_at(root, table)
    if LOCAL_TYPES.get(named) != magic:
        # The table and the kernel disagree, or the type is none that is trusted.
        local = next((name for name, known in LOCAL_TYPES.items() if known == magic), None)
        if local is None:
            return Choice(inotify=False, reason=_reason(named, magic))
        named = local
    for mount in table:
        if mount.point.startswith(root.rstrip("/") + "/") and mount.fs_type not in LOCAL_TYPES:
            return Choice(inotify=False, reason=f"{mount.fs_type} at {mount.point}")
    return Choice(inotify=True, reason=named)


def _type_at(root: str, table: Sequence[Mount]) -> str:
    """Return the type of the mount that `root` is on; of several at one point the last counts."""
    best: Mount | None = None
    for mount in table:
        point = mount.point.rstrip("/")
        inside = root == mount.point or root.startswith(f"{point}/")
        if inside and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best.fs_type if best is not None else ""


def _reason(named: str, magic: int) -> str:
    if named and named not in LOCAL_TYPES:
        return named
    return SHARED_MAGIC.get(magic, f"unknown type {magic:#x}")


def words_of(error: OSError) -> str:
    """Return what an administrator can do something about, for errors of inotify itself."""
    if error.errno == errno.ENOSPC:
        return "no inotify watches left, raise fs.inotify.max_user_watches"
    if error.errno == errno.EMFILE:
        return "no inotify instances left, raise fs.inotify.max_user_instances"
    return str(error)
