"""What the operating system refused, in this program's words."""

from __future__ import annotations

import errno

from syncagent.core.errors import DiskError

_HINTS = {
    errno.ENOSPC: "free some space, then `syncagent reconcile`",
    errno.EDQUOT: "raise the quota, then `syncagent reconcile`",
    errno.EROFS: "the file system is mounted read-only: mend it and remount it",
    errno.EACCES: "run the agent as the user that owns the gateway's files",
    errno.EPERM: "run the agent as the user that owns the gateway's files",
    errno.EIO: "look at the kernel's log: the disk may be failing",
    errno.ELOOP: "put a folder in the symlink's place, or ignore the name",
    errno.ENOTDIR: "move the file that stands in a folder's place out of the way",
}


def disk_error(doing: str, error: OSError) -> DiskError:
    """Return `error` as what went wrong while `doing`, with the next thing to try."""
    code = error.errno or 0
    return DiskError(
        f"{doing}: {error.strerror or error}",
        errno_name=errno.errorcode.get(code, ""),
        hint=_HINTS.get(code, ""),
    )
