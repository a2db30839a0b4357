"""Looking at one file of a tree: from its name in an open folder to `Seen` or `Unread`.

`scan` and `look` find names in different ways; what happens to a name is the same, and is here:
the file is read once, hashed, remembered, and its bytes are shown to the examiner.
"""

from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING

from syncagent.core.digest import digest_of
from syncagent.core.snapshot import Unread
from syncagent.disk.cache import make_row
from syncagent.disk.identity import let_go
from syncagent.disk.read import not_regular, read_stable
from syncagent.fsio import O_FOLDER

if TYPE_CHECKING:
    import os

    from syncagent.core.artifact import ArtifactPath, TreeName
    from syncagent.core.ignore import Ignore
    from syncagent.core.snapshot import Seen
    from syncagent.disk.cache import KnownFolder, Row, TreeCache
    from syncagent.disk.identity import Root
    from syncagent.fsio import OsFS
    from syncagent.ports import Examiner, Instant


class Sight:
    """What every look at one tree needs. `settled_before_ns` 0: nothing that is read settles."""

    __slots__ = (
        "cache",
        "examiner",
        "fs",
        "ignore",
        "settled_before_ns",
        "size_max",
        "tree",
        "trusting",
        "viewed",
        "waited_at",
    )

    def __init__(
        self, fs: OsFS, tree: TreeName, cache: TreeCache, ignore: Ignore, examiner: Examiner
    ) -> None:
        self.fs = fs
        self.tree = tree
        self.cache = cache
        self.ignore = ignore
        self.examiner = examiner
        self.size_max = 0
        self.settled_before_ns = 0
        self.waited_at: Instant | None = None
        """Now, where files settle by waiting."""
        self.viewed = 0
        """Files that were read."""
        self.trusting = True
        """Whether rows are believed; a scan that reads everything does not."""

    def enter(self, root: Root, folder: str) -> int:
        """Open a folder of the tree without following symlinks or leaving the device.

        Raises OSError; EXDEV if the folder is on another device or behind a mount point.
        """
        fd = self.fs.openat2(root.fd, folder, O_FOLDER)
        try:
            device = self.fs.fstat(fd).st_dev
        except OSError:
            let_go(self.fs, fd)
            raise
        if device == root.device:
            return fd
        # Not every border is a mount point: a btrfs subvolume is none, yet renames stop there.
        let_go(self.fs, fd)
        raise OSError(errno.EXDEV, "it is on another device", folder)

    def holds(self, row: Row, status: os.stat_result) -> bool:
        """Tell whether `row` still says what is in the file with this status."""
        return (
            row.settled
            and self.trusting
            and status.st_mtime_ns == row.mtime_ns
            and status.st_ctime_ns == row.ctime_ns
            and status.st_ino == row.ino
            and status.st_size == row.size
            and stat.S_ISREG(status.st_mode)
            and not self.examiner.wants(row.where, row.seen.entry.digest)
        )

    def view(
        self, known: KnownFolder, folder_fd: int, name: str, where: ArtifactPath
    ) -> Seen | Unread:
        """Read a file, remember it and show it to the examiner."""
        self.viewed += 1
        got = read_stable(self.fs, folder_fd, name, self.size_max)
        if isinstance(got, Unread):
            known.drop(name)
            return got
        content, status = got
        digest = digest_of(content)
        before = known.rows.get(name)
        row = make_row(before, where, status, digest, self.settled_before_ns)
        if self.waited_at is not None:
            row = self.cache.settle_by_waiting(before, row, self.waited_at)
        known.put(name, row)
        self.examiner.take(where, digest, content)
        return row.seen

    def glance(
        self, known: KnownFolder, folder_fd: int, name: str, where: ArtifactPath
    ) -> Seen | Unread:
        """Look at a name of which nothing is known but that it is there. Raises OSError."""
        status = self.fs.stat(name, dir_fd=folder_fd, follow_symlinks=False)
        row = known.rows.get(name)
        if row is not None and self.holds(row, status):
            return row.seen
        if not stat.S_ISREG(status.st_mode):
            known.drop(name)
            return not_regular(status.st_mode)
        return self.view(known, folder_fd, name, where)
