"""What is remembered of files that were read, so that a scan need not read them again.

A row is trusted while size, mtime, ctime and inode are those it was made with, and only if it is
*settled*: else a write right after the read could carry the very same times (the racy rule, as in
git), so such a file is read again at the next scan. On local file systems a row settles if both
times lay at least a window before the scan that read it began, by the file system's own clock; a
time in the future never does. The clock that stamps files on a server, or how coarsely, is not
known here: there a row settles when a second read, a wider window later by our own clock, finds
the same. Once a day everything is read in any case: bit rot, writes through `mmap` and set-back
clocks show in no time stamp.

One file keeps the rows over restarts; of those that have not settled, that the name was there. It
is a shortcut, never a source of truth: it is not flushed, its checksum covers all of it, and
whatever is odd about it means that it is not there. Rows count only for the identity of the root and the ignore rules they were made under.

Threads: rows are immutable and every change is one dict operation, so that a look beside a scan
can at worst forget a row (one more read later), never pair a status with other bytes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, cast

from syncagent.core.artifact import ArtifactPath, TreeName, fold_name
from syncagent.core.digest import RAW_BYTES, digest_of, from_raw, parse_digest, to_raw
from syncagent.core.errors import DiskError, ProtocolError
from syncagent.core.manifest import Entry
from syncagent.core.snapshot import Seen
from syncagent.core.wire.packing import pack, unpack
from syncagent.disk.identity import errno_name, let_go

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncagent.core.digest import Digest
    from syncagent.fsio import OsFS
    from syncagent.ports import Instant

MAGIC: Final = b"syncagent scan cache\x00\x01"
"""Beginning of the file; the last byte is the version."""

CACHE_BYTES_MAX: Final = 64 * 1024 * 1024
"""A larger file is neither written nor read: about 600,000 rows."""

WINDOW_LOCAL_NS: Final = 20_000_000
"""Twice the coarsest tick that stamps times on local file systems (10 ms at HZ=100)."""

WINDOW_OTHER_S: Final = 2.0
"""FAT and some servers keep times in steps of up to 2 s; sshfs cuts to whole seconds."""

REHASH_S: Final = 86_400.0
"""Seconds between two scans that read every file."""

_LOCAL_TYPES: Final = frozenset(
    {
        *(0xEF53, 0x58465342, 0x9123683E, 0x01021994),  # ext2/3/4, xfs, btrfs, tmpfs
        *(0x794C7630, 0xF2F52010, 0x2FC12FC1, 0xCA451A4E),  # overlay, f2fs, zfs, bcachefs
    }
)
"""File systems (linux/magic.h) whose times come from this kernel's clock, in steps below 1 s."""

_O_CLOCK: Final = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_O_WRITE: Final = _O_CLOCK | os.O_TRUNC


_PackedRow: TypeAlias = tuple[str, int, int, int, int, bytes]
_PackedTree: TypeAlias = tuple[str, str, str, float | None, list[tuple[str, list[_PackedRow]]]]


class Row(NamedTuple):
    """One file as it was read. `where` is kept whole so that a scan makes no new objects."""

    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int
    settled: bool
    seen: Seen
    where: ArtifactPath


class KnownFolder:
    """The rows of one folder, by name. All names in it are allowed, not ignored, and don't clash."""

    __slots__ = ("_folds", "rows")

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self._folds: dict[str, str] | None = None

    def put(self, name: str, row: Row) -> None:
        """Remember `row` for `name`."""
        self.rows[name] = row
        if self._folds is not None:
            self._folds[fold_name(name)] = name

    def drop(self, name: str) -> None:
        """Forget `name`; quiet if it is not known."""
        if self.rows.pop(name, None) is not None:
            self._folds = None

    def clash_of(self, name: str) -> str | None:
        """Return another known name that a case-insensitive file system takes for `name`."""
        if self._folds is None:
            self._folds = {fold_name(known): known for known in list(self.rows)}
        found = self._folds.get(fold_name(name))
        return None if found == name else found


class TreeCache:
    """What is remembered of one tree, under one identity and one set of ignore rules."""

    __slots__ = ("fingerprint", "folders", "identity", "read_all_at", "unsettled")

    def __init__(self, fingerprint: Digest) -> None:
        self.fingerprint = fingerprint
        self.identity = ""
        self.folders: dict[str, KnownFolder] = {}
        self.read_all_at: float | None = None
        """Wall time of the last scan that read everything; None: never."""
        self.unsettled: dict[str, Instant] = {}
        """Since when the files of a server were read as their rows, not yet settled, say."""

    def bind(self, identity: str) -> None:
        """Forget everything if it was seen under another identity than this one."""
        if self.identity != identity:
            self.identity = identity
            self.folders = {}
            self.unsettled = {}
            self.read_all_at = None

    def folder(self, path: str) -> KnownFolder:
        """Return what is known of a folder, to be added to."""
        known = self.folders.get(path)
        if known is None:
            known = self.folders[path] = KnownFolder()
        return known

    def settle_by_waiting(self, known: Row | None, row: Row, now: Instant) -> Row:
        """Return `row`, settled if a read long enough ago found exactly the same."""
        path = row.where.path
        since = self.unsettled.get(path)
        if since is None or known is None or known != row:
            self.unsettled[path] = now
            return row
        if now - since < WINDOW_OTHER_S:
            return row
        del self.unsettled[path]
        return row._replace(settled=True)

    def forget_waiting(self, files: Mapping[str, object]) -> None:
        """Forget since when files wait that are not among `files` any more."""
        for path in self.unsettled.keys() - files.keys():
            self.unsettled.pop(path, None)

    def rehash_due(self, wall: float) -> bool:
        """Tell whether the time has come to read everything; also if the clock was set back."""
        at = self.read_all_at
        return at is None or not 0 <= wall - at < REHASH_S


def make_row(
    known: Row | None,
    where: ArtifactPath,
    status: os.stat_result,
    digest: Digest,
    settled_before_ns: int,
) -> Row:
    """Return the row for a file that was just read; objects of `known` are used again if equal."""
    size, mtime_ns, ctime_ns = status.st_size, status.st_mtime_ns, status.st_ctime_ns
    if (
        known is not None
        and known.mtime_ns == mtime_ns
        and known.size == size
        and known.seen.entry.digest == digest
    ):
        seen = known.seen
    else:
        seen = Seen(Entry(digest, size), mtime_ns)
    settled = mtime_ns < settled_before_ns and ctime_ns < settled_before_ns
    return Row(status.st_ino, size, mtime_ns, ctime_ns, settled, seen, where)


def is_local(fs_type: int) -> bool:
    """Tell whether files of this file system type are stamped by this kernel, finely enough."""
    return fs_type in _LOCAL_TYPES


def fs_clock_ns(fs: OsFS, path: str) -> int:
    """Return the file system's clock where `path` is, by touching that file. Raises OSError."""
    fd = fs.open(path, _O_CLOCK, 0o600)
    try:
        fs.utime(fd)
        return fs.fstat(fd).st_mtime_ns
    finally:
        let_go(fs, fd)


def load(fs: OsFS, path: str) -> dict[TreeName, TreeCache]:
    """Return what the file at `path` remembers; nothing if it is missing or odd in any way."""
    try:
        fd = fs.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            raw = fs.read_all(fd, CACHE_BYTES_MAX)
        finally:
            let_go(fs, fd)
    except OSError:
        return {}
    head = len(MAGIC) + RAW_BYTES
    payload = raw[head:]
    if raw[:head] != MAGIC + to_raw(digest_of(payload)):
        return {}
    try:
        return _decode(unpack(payload, limit=CACHE_BYTES_MAX))
    except (ProtocolError, ValueError, TypeError):
        return {}


def save(fs: OsFS, path: str, trees: Mapping[TreeName, TreeCache]) -> None:
    """Replace the file at `path`; not flushed. Raises DiskError."""
    payload = pack([_encode(name, tree) for name, tree in trees.items()])
    if len(payload) > CACHE_BYTES_MAX:
        return
    part = f"{path}.part"
    try:
        fd = fs.open(part, _O_WRITE, 0o600)
        try:
            fs.write_all(fd, MAGIC + to_raw(digest_of(payload)) + payload)
        finally:
            fs.close(fd)
        fs.replace(part, path)
    except OSError as error:
        raise DiskError(
            f"the scan cache can't be saved: {error.strerror}",
            errno_name=errno_name(error),
            hint="nothing is lost: files are read again after a restart",
        ) from error


def _encode(name: TreeName, tree: TreeCache) -> list[object]:
    folders = [
        [path, [_packed(file, row) for file, row in list(known.rows.items())]]
        for path, known in list(tree.folders.items())
    ]
    return [name, tree.identity, tree.fingerprint, tree.read_all_at, folders]


def _packed(name: str, row: Row) -> _PackedRow:
    # No file has inode 0: a row that has not settled says after a restart that the name was there.
    ino = row.ino if row.settled else 0
    return name, ino, row.size, row.mtime_ns, row.ctime_ns, to_raw(row.seen.entry.digest)


def _decode(value: object) -> dict[TreeName, TreeCache]:
    """Return what `_encode` made. The checksum was right, so a wrong shape is an older program's."""
    trees: dict[TreeName, TreeCache] = {}
    for name, identity, fingerprint, read_all_at, folders in cast("list[_PackedTree]", value):
        tree = TreeCache(parse_digest(fingerprint))
        tree.identity = identity
        tree.read_all_at = read_all_at
        for folder, rows in folders:
            known = tree.folder(folder)
            prefix = f"{folder}/" if folder else ""
            for file, ino, size, mtime_ns, ctime_ns, raw in rows:
                where = ArtifactPath(TreeName(name), prefix + file)
                seen = Seen(Entry(from_raw(raw), size), mtime_ns)
                settled = ino != 0
                known.rows[file] = Row(ino, size, mtime_ns, ctime_ns, settled, seen, where)
        trees[TreeName(name)] = tree
    return trees
