"""The ledger: one append-only file, the truth of where this node stands.

Each append is one write and one fdatasync; when it returns, the record survives power loss. The
file is made whole beside its place and renamed there, so its name is durable before the first
append and no folder has to be synced later. At load the records are folded in order:

- a torn tail (an append that a crash cut short, so never acknowledged) is cut off;
- a damaged record with a good one behind it fails closed: something acknowledged was lost.

When an append fails, what is on disk is not known any more: the half-written record is cut off if
the disk lets us, and the next append first writes the whole file anew, because a failed fdatasync
must not be repeated (the kernel forgets which pages it could not write).

Compaction writes the same standing as one record. It happens at load and when nothing is urgent,
never within an append. Which bytes a change replaced is known to the change alone, so what is about
to be forgotten is saved first.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from syncagent.core.errors import DiskError, ProtocolError, StateError
from syncagent.core.ledger import Standing, StandingChange
from syncagent.core.manifest import Entry, Manifest
from syncagent.core.revision import REVISION_ZERO
from syncagent.core.wire.standing import decode_change, encode_change, encode_standing
from syncagent.history.durable import disk_errors, read_if_there, replace_durably
from syncagent.history.frames import encode_frame, frames, good_frame_after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from syncagent.core.artifact import TreeName
    from syncagent.fsio import OsFS

MAGIC: Final = b"sLg1"
LEDGER_BYTES_MAX: Final = 1 << 30
"""A larger ledger is damage: it is compacted at a few MiB."""
COMPACT_BYTES: Final = 4 * 1024 * 1024
"""Below this size a ledger is not worth rewriting: it loads in well under 50 ms."""
COMPACT_RATIO: Final = 4
"""How many times its one full record a ledger may grow to before it is rewritten."""

_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


def fold(changes: Iterable[StandingChange]) -> Standing:
    """Return the standing after `changes`, as `Standing.after` one by one would, but in one pass.

    Raises StateError if the last revision's digest is not that of the rows.
    """
    rows: dict[TreeName, dict[str, Entry]] = {}
    revision, txid = REVISION_ZERO, 0
    identities: dict[TreeName, str] = {}
    notes: dict[str, str] = {}
    for change in changes:
        txid = max(txid, change.txid)
        identities.update(change.identities)
        notes.update(change.notes)
        if change.revision is not None:
            revision = change.revision
            rows = _rows_after(rows, change)
    manifest = Manifest(rows)
    if manifest.digest != revision.digest:
        raise StateError(
            f"the ledger says revision {revision} is {revision.digest}, "
            f"but its rows give {manifest.digest}"
        )
    kept = {name: text for name, text in notes.items() if text}
    return Standing(revision, manifest, txid, identities, kept)


def _rows_after(
    rows: dict[TreeName, dict[str, Entry]], change: StandingChange
) -> dict[TreeName, dict[str, Entry]]:
    if change.manifest is not None:
        return {tree: dict(change.manifest.tree(tree)) for tree in change.manifest.trees}
    for each in change.changes:
        entries = rows.setdefault(each.path.tree, {})
        if each.after is None:
            entries.pop(each.path.path, None)
        else:
            entries[each.path.path] = each.after
    return rows


def peek(fs: OsFS, path: str) -> Standing | None:
    """Return what the ledger at `path` says, changing nothing; None if there is none.

    For looking while another process may be appending: its unfinished record is not counted.
    Raises StateError or DiskError.
    """
    content = _read(fs, path)
    return None if content is None else replay(content, path)[0]


def peek_bytes(fs: OsFS, path: str) -> bytes | None:
    """Return the ledger's good records as bytes, for a copy of it; None if there is none.

    Raises StateError or DiskError.
    """
    content = _read(fs, path)
    return None if content is None else content[: replay(content, path)[1]]


def replay(content: bytes, path: str) -> tuple[Standing, int]:
    """Return the standing after the records in `content`, and where the last of them ends.

    Raises StateError if they are damaged; `path` is named in it.
    """
    changes, end = _changes(content, path)
    return fold(changes), end


def _changes(content: bytes, path: str) -> tuple[list[StandingChange], int]:
    changes: list[StandingChange] = []
    end = 0
    for frame in frames(MAGIC, content):
        try:
            changes.append(decode_change(frame.header))
        except ProtocolError as error:
            raise _damaged(path, f"the record at byte {end} is not one: {error}") from error
        end = frame.end
    if not changes:
        # The first record came with the file's name, so it can't be torn.
        raise _damaged(path, "it has no readable record")
    good = good_frame_after(MAGIC, content, end) if end < len(content) else None
    if good is not None:
        raise _damaged(path, f"bytes {end} to {good} are not a record, but later ones are")
    return changes, end


def _read(fs: OsFS, path: str) -> bytes | None:
    with disk_errors(f"read {path}"):
        return read_if_there(fs, path, LEDGER_BYTES_MAX)


def _damaged(path: str, why: str) -> StateError:
    return StateError(
        f"the ledger {path} is damaged: {why}",
        hint="stop here: restore the file, or move it away and run `syncagent init --re-enrol` "
        "(the node then learns from its peers where it stands)",
    )


class Ledger:
    """The ledger file at `path`. One thread at a time (see `NodeHistory`).

    `save` is called with the changes that a compaction is about to forget; it raises DiskError if
    they must not be forgotten yet.
    """

    def __init__(
        self,
        fs: OsFS,
        path: str,
        save: Callable[[Sequence[StandingChange]], None] = lambda _changes: None,
    ) -> None:
        self._fs = fs
        self._path = path
        self._save = save
        self._fd: int | None = None
        self._size = 0
        self._suspect = False
        self._resting = False
        self._standing = Standing()

    @property
    def standing(self) -> Standing:
        """Where the node stands: as loaded, and after each append."""
        return self._standing

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return self._size

    def look(self) -> Standing:
        """Read the file as `peek` does, and stand there; nothing can be appended then."""
        self._standing = peek(self._fs, self._path) or Standing()
        return self._standing

    def load(self) -> Standing:
        """Read the file, or make it if there is none. Raises StateError or DiskError.

        Only the process that holds the state folder's lock may: it mends what it finds.
        """
        self.close()
        content = _read(self._fs, self._path)
        if content is None:
            self._standing = Standing()
            self._rewrite()
            return self._standing
        changes, end = _changes(content, self._path)
        self._standing = fold(changes)
        self._size = len(content)
        self._open()
        with disk_errors(f"write {self._path}"):
            self._settle(end)
        with suppress(DiskError):
            # It stands, large or not: what could not be saved is saved by a later call.
            self._save(changes)
            self._compact_if_large()
        return self._standing

    def append(self, change: StandingChange) -> Standing:
        """Append durably; return the new standing. Raises DiskError: then the old one stands."""
        after = self._standing.after(change)
        self._take_up()
        if self._suspect or self._fd is None:
            with suppress(DiskError, StateError):
                # Best effort: where the node stands does not wait for what answers questions.
                self._save_all()
            self._rewrite()
        frame = encode_frame(MAGIC, encode_change(change))
        assert self._fd is not None, "a rewrite leaves the file open"
        try:
            with disk_errors(f"append to {self._path}"):
                self._fs.write_all(self._fd, frame)
                self._fs.fdatasync(self._fd)
        except DiskError:
            self._suspect = True
            with suppress(OSError):
                self._fs.ftruncate(self._fd, self._size)
            raise
        self._size += len(frame)
        self._standing = after
        return after

    def compact(self) -> None:
        """Write the standing as one record. Raises DiskError; the old file then still stands."""
        self._rewrite()

    def compact_if_large(self) -> None:
        """Save what the file tells, and compact it if that is worth it.

        Raises DiskError, StateError (the file was damaged since it was loaded).
        """
        self._save_all()
        self._compact_if_large()

    def _save_all(self) -> None:
        content = _read(self._fs, self._path)
        self._save(_changes(content, self._path)[0] if content is not None else ())

    def _compact_if_large(self) -> None:
        """Compact a file that is much larger than one record, and not small."""
        if self._size <= COMPACT_BYTES:
            return
        if self._size > COMPACT_RATIO * len(encode_standing(self._standing)):
            self._rewrite()

    def let_go(self) -> None:
        """Close the file until the next append: an open one keeps its mount busy."""
        if not self._suspect and self._fd is not None:
            self.close()
            self._resting = True

    def _take_up(self) -> None:
        """Open the file that was let go, if it is still what it was."""
        resting, self._resting = self._resting, False
        if not resting:
            return
        with suppress(DiskError):
            self._open()
            assert self._fd is not None, "just opened"
            with disk_errors(f"look at {self._path}"):
                if self._fs.fstat(self._fd).st_size == self._size:
                    return
        self._suspect = True

    def close(self) -> None:
        """Close the file; a later append opens it again."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            with suppress(OSError):
                self._fs.close(fd)

    def _rewrite(self) -> None:
        frame = encode_frame(MAGIC, encode_standing(self._standing))
        self.close()
        self._suspect = True
        with disk_errors(f"write {self._path}"):
            replace_durably(self._fs, self._path, frame)
        self._size = len(frame)
        self._open()
        self._suspect = False

    def _open(self) -> None:
        with disk_errors(f"open {self._path}"):
            self._fd = self._fs.open(self._path, _APPEND)

    def _settle(self, end: int) -> None:
        """Cut a torn tail off, and make what was found durable before anybody acts upon it.

        A process that was killed may have left a record, or the whole file's name, that only the
        kernel's memory holds.
        """
        assert self._fd is not None, "only an open ledger is settled"
        if end < self._size:
            self._fs.ftruncate(self._fd, end)
            self._size = end
        self._fs.fsync(self._fd)
        self._fs.fsync_dir(os.path.dirname(self._path))  # noqa: PTH120 - strings, as in fsio
