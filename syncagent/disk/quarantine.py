"""Where displaced, deleted, refused and conflicting bytes are kept: nothing is lost.

Bytes lie in `.syncagent/quarantine/` on their tree's mount, one file per id, so that what was
live gets there by a hard link and not by a copy. What each id is stands in lists, `<name>.list`:
one per commit or `keep`, never changed once written, valid or not as a whole. An id without
a file is not listed; a list without files is removed by `sweep`.

The id that a commit gives depends on its txid and the path only: doing a commit again after a
crash finds what it had kept already.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError, ProtocolError, RefusedError
from syncagent.core.intent import Kept
from syncagent.core.wire.fields import clipped, items_of
from syncagent.core.wire.intents import kept_of, kept_row
from syncagent.core.wire.packing import pack, unpack
from syncagent.disk.journal import unwrap, wrap
from syncagent.disk.refusal import disk_error
from syncagent.disk.staging import EACH_MAX, remove_all
from syncagent.fsio import O_CONTENT, O_FOLDER, O_NEW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.intent import Keep
    from syncagent.disk.places import Place, Places
    from syncagent.fsio import OsFS
    from syncagent.ports import Clock

_LIST = b"SYNAKEP1"
_LIST_BYTES_MAX = 256 * 1024 * 1024
_ID = re.compile(r"[kt][0-9a-f]+-[0-9a-f]{16}")
_KEPT_BY_HAND = re.compile(r"k([0-9a-f]+)-[0-9a-f]{16}(?:\.list\.new)?")
_ABANDONED_S = 3600.0
_SERIAL_MAX = 10_000
_LINK_REFUSED = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS})


def kept_id(txid: int, path: ArtifactPath) -> str:
    """Return the id under which a commit keeps what was at `path`."""
    return f"t{txid:x}-{_mark(path)}"


def _mark(path: ArtifactPath) -> str:
    return digest_of(f"{path.tree}\0{path.path}".encode())[-16:]


class Quarantine:
    """The quarantines of all trees. One thread at a time may write; reading may run beside."""

    def __init__(self, fs: OsFS, places: Places, clock: Clock) -> None:
        self._fs = fs
        self._places = places
        self._clock = clock
        self._pending: dict[str, list[Kept]] = {}

    def now(self) -> int:
        """Return wall time in whole seconds, as `Kept.at` has it."""
        return int(self._clock.wall())

    # Taking, in the course of a commit.

    def take(self, place: Place, folder_fd: int, name: str, kept: Kept) -> None:
        """Put what lies at `name` in our own folder under `kept.id`; durable after `settle`.

        A regular file stays where it was as well, because a link and the removal of the old name
        may become durable in either order. Raises OSError.
        """
        target = f"{place.quarantine}/{kept.id}"
        status = self._fs.stat(name, dir_fd=folder_fd, follow_symlinks=False)
        if stat.S_ISREG(status.st_mode):
            self._link(folder_fd, name, target)
        else:
            self._fs.rename(name, target, src_dir_fd=folder_fd)
        self._pending.setdefault(place.quarantine, []).append(kept)

    def forget(self) -> None:
        """Drop the memory of what was taken but not settled."""
        self._pending.clear()

    def settle(self, txid: int) -> tuple[Kept, ...]:
        """Make what was taken durable and listed; return it. Raises OSError."""
        pending, self._pending = self._pending, {}
        found: dict[str, Kept] = {}
        for folder, rows in pending.items():
            fd = self._fs.open(folder, O_FOLDER)
            try:
                self._sync_kept(fd, rows)
                known = self._read_list(fd, f"t{txid:x}.list")
                merged = {kept.id: kept for kept in (*rows, *known)}
                self._write_list(fd, f"t{txid:x}.list", tuple(merged.values()))
            finally:
                self._fs.close(fd)
            found |= merged
        return tuple(found.values())

    def listed(self, txid: int) -> tuple[Kept, ...]:
        """Return what an earlier attempt at `txid` settled. Raises OSError."""
        found: dict[str, Kept] = {}
        for folder in self._folders():
            fd = self._fs.open(folder, O_FOLDER)
            try:
                found |= {kept.id: kept for kept in self._read_list(fd, f"t{txid:x}.list")}
            finally:
                self._fs.close(fd)
        return tuple(found.values())

    # The port.

    def keep(self, path: ArtifactPath, content: bytes, reason: Keep, detail: str) -> Kept:
        """Keep `content`, durably. Raises DiskError."""
        place = self._places.of(path.tree)
        try:
            fd = self._fs.open(place.quarantine, O_FOLDER)
            try:
                name = self._write_new(fd, path, content)
                kept = Kept(
                    id=name,
                    path=path,
                    reason=reason,
                    digest=digest_of(content),
                    size=len(content),
                    at=self.now(),
                    detail=clipped(detail),
                )
                self._write_list(fd, f"{name}.list", (kept,))
            finally:
                self._fs.close(fd)
        except OSError as error:
            raise disk_error(f"the bytes of {path} can't be kept", error) from error
        return kept

    def kept(self, *, looking: bool = False) -> Sequence[Kept]:
        """List all, newest first; `looking`: without trying whether renames work.

        What lies on a file system that fails is left out: its tree's hold says that it fails.
        """
        found: dict[str, Kept] = {}
        places = self._places.seen() if looking else self._places.possible()
        for folder in self._folders(places):
            with suppress(OSError):
                found |= {kept.id: kept for kept in self._of_folder(folder)}
        return tuple(sorted(found.values(), key=lambda kept: (-kept.at, kept.id)))

    def kept_bytes(self, kept_id: str) -> bytes:
        """Return kept bytes. Raises RefusedError if there is no such id, DiskError otherwise."""
        failed: DiskError | None = None
        if _ID.fullmatch(kept_id):
            for folder in self._folders():
                try:
                    fd = self._fs.open(f"{folder}/{kept_id}", O_CONTENT)
                    try:
                        return self._fs.read_all(fd, self._fs.fstat(fd).st_size)
                    finally:
                        self._fs.close(fd)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    failed = disk_error(f"{kept_id} can't be read", error)
        if failed is not None:
            raise failed
        raise RefusedError(
            f"nothing is kept under {kept_id!r}", hint="`syncagent get quarantine` lists the ids"
        )

    def sweep(self, *, older_than_s: float, bytes_max: int) -> int:
        """Drop by age, then by size, oldest first; return how many. Raises DiskError."""
        rows = sorted(self.kept(), key=lambda kept: (kept.at, kept.id))
        total = sum(kept.size for kept in rows)
        before = self._clock.wall() - older_than_s
        doomed: list[Kept] = []
        for kept in rows:
            if kept.at >= before and total <= bytes_max:
                break
            doomed.append(kept)
            total -= kept.size
        ids = {kept.id for kept in doomed}
        for folder in self._folders():
            try:
                self._drop(folder, ids)
            except OSError as error:
                raise disk_error(f"{folder} can't be tidied", error) from error
        return len(ids)

    # Private.

    def _folders(self, places: Sequence[Place] | None = None) -> tuple[str, ...]:
        found = []
        possible = self._places.possible() if places is None else places
        for folder in dict.fromkeys(place.quarantine for place in possible):
            try:
                self._fs.close(self._fs.open(folder, O_FOLDER))
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise disk_error(f"{folder} can't be opened", error) from error
            found.append(folder)
        return tuple(found)

    def _of_folder(self, folder: str) -> list[Kept]:
        fd = self._fs.open(folder, O_FOLDER)
        try:
            names = set(self._fs.listdir(fd))
            lists = sorted(name for name in names if name.endswith(".list"))
            return [
                kept for name in lists for kept in self._read_list(fd, name) if kept.id in names
            ]
        finally:
            self._fs.close(fd)

    def _drop(self, folder: str, ids: set[str]) -> None:
        fd = self._fs.open(folder, O_FOLDER)
        try:
            names = set(self._fs.listdir(fd))
            left = names - ids
            listed: set[str] = set()
            empty: set[str] = set()
            for name in left:
                if name.endswith(".list"):
                    rows = {kept.id for kept in self._read_list(fd, name)} & left
                    listed |= rows
                    if not rows:
                        empty.add(name)
            lost = {name for name in left - listed if self._is_abandoned(name)}
            for name in sorted((names & ids) | empty | lost):
                remove_all(self._fs, fd, name)
        finally:
            self._fs.close(fd)

    def _is_abandoned(self, name: str) -> bool:
        """Tell whether an unlisted file is what a `keep` left that a crash cut short long ago.

        Nobody was told that it is kept. What a commit leaves unlisted is listed by its redo.
        """
        found = _KEPT_BY_HAND.fullmatch(name)
        return found is not None and int(found[1], 16) / 1e6 < self._clock.wall() - _ABANDONED_S

    def _link(self, folder_fd: int, name: str, target: str) -> None:
        try:
            self._fs.link(name, target, src_dir_fd=folder_fd, follow_symlinks=False)
        except FileExistsError:
            return
        except OSError as error:
            if error.errno not in _LINK_REFUSED:
                raise
            self._copy(folder_fd, name, target)

    def _copy(self, folder_fd: int, name: str, target: str) -> None:
        fs = self._fs
        source = fs.open(name, O_CONTENT, dir_fd=folder_fd)
        try:
            half = f"{target}.new"
            copy = fs.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            try:
                while part := fs.read(source, 1 << 20):
                    fs.write_all(copy, part)
                fs.fsync(copy)
            finally:
                fs.close(copy)
            fs.rename(half, target)
        finally:
            fs.close(source)

    def _sync_kept(self, folder_fd: int, rows: list[Kept]) -> None:
        if len(rows) > EACH_MAX:
            try:
                self._fs.syncfs(folder_fd)
            except OSError as error:
                if error.errno != errno.ENOSYS:
                    raise
            else:
                return
        for kept in rows:
            status = self._fs.stat(kept.id, dir_fd=folder_fd, follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode):
                continue  # a folder, a symlink, a FIFO: moved whole, and durable by its name
            fd = self._fs.open(kept.id, O_CONTENT, dir_fd=folder_fd)
            try:
                self._fs.fsync(fd)
            finally:
                self._fs.close(fd)

    def _write_new(self, folder_fd: int, path: ArtifactPath, content: bytes) -> str:
        stamp = int(self._clock.wall() * 1_000_000)
        for serial in range(_SERIAL_MAX):
            name = f"k{stamp + serial:x}-{_mark(path)}"
            try:
                fd = self._fs.open(name, O_NEW, 0o600, dir_fd=folder_fd)
            except FileExistsError:
                continue
            try:
                self._fs.write_all(fd, content)
                self._fs.fsync(fd)
            finally:
                self._fs.close(fd)
            return name
        raise DiskError(f"no name is free in the quarantine for {path}")

    def _write_list(self, folder_fd: int, name: str, rows: tuple[Kept, ...]) -> None:
        body = pack([kept_row(kept) for kept in rows])
        half = f"{name}.new"
        remove_all(self._fs, folder_fd, half)
        fd = self._fs.open(half, O_NEW, 0o600, dir_fd=folder_fd)
        try:
            self._fs.write_all(fd, wrap(_LIST, body))
            self._fs.fsync(fd)
        finally:
            self._fs.close(fd)
        self._fs.rename(half, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
        self._fs.fsync_folder(folder_fd)

    def _read_list(self, folder_fd: int, name: str) -> list[Kept]:
        try:
            fd = self._fs.open(name, O_CONTENT, dir_fd=folder_fd)
        except FileNotFoundError:
            return []
        try:
            body = unwrap(_LIST, self._fs.read_all(fd, _LIST_BYTES_MAX))
        finally:
            self._fs.close(fd)
        try:
            rows = items_of(unpack(body or b"\x90", limit=_LIST_BYTES_MAX))
            return [kept_of(row) for row in rows]
        except ProtocolError:
            return []
