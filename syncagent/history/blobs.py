"""Blob packs: the bytes of artifacts, in append-only files of zstd batches.

`blobs/NNNNNN.pack` is a row of frames; each is one zstd batch exactly as it came over the wire (or
as this node packed its own), with its entries as the frame's header. The index (digest to frame)
is in memory and is made at start from headers alone, except for the newest pack: only that one
can hold batches that a crash kept from becoming durable, so all of its checksums are verified and
its torn tail is cut off.

Bytes are believed by their digest, on every read: a batch that does not hold what it says is
forgotten, and whoever wanted it fetches it again.

`sync` makes what was added durable. After a failed sync nobody knows what the disk has: everything
since the last good one is forgotten and cut off.
"""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from syncagent.core.errors import DiskError, ProtocolError
from syncagent.core.wire.packing import batches as pack_batches
from syncagent.core.wire.packing import split_batch
from syncagent.history.durable import FILE_MODE, disk_errors, is_there, make_folder
from syncagent.history.packfile import (
    PackFrame,
    pack_name,
    pack_number,
    packed,
    read_frame,
    scan_pack,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from syncagent.core.digest import Digest
    from syncagent.core.manifest import Entry
    from syncagent.fsio import OsFS

PACK_BYTES: Final = 16 * 1024 * 1024
"""A larger pack is closed by the next `tidy`: the newest pack is read whole at start."""
PACK_BYTES_MAX: Final = 256 * 1024 * 1024
"""A pack is closed at this size even while something waits for the append."""
LIVE_SHARE_MIN: Final = 0.5
"""A closed pack of which less is needed is rewritten."""
RECENT_BYTES_MAX: Final = 8 * 1024 * 1024
"""Unpacked bytes that are kept in memory; a larger batch is unpacked for each of its blobs."""

_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class BlobStore:
    """The packs in folder `path`. `add` and `sync` from one thread at a time; reads from any.

    `pack_bytes` is the size above which a pack is closed by the next `tidy`.
    """

    def __init__(self, fs: OsFS, path: str, *, pack_bytes: int = PACK_BYTES) -> None:
        self._pack_bytes = pack_bytes
        self._fs = fs
        self._path = path
        self._index: dict[Digest, PackFrame] = {}
        self._frames: dict[int, list[PackFrame]] = {}
        self._number = 0
        self._fd: int | None = None
        self._resting = False
        self._size = 0
        self._synced = 0
        self._recent: dict[PackFrame, dict[Digest, bytes]] = {}
        self._recent_bytes = 0
        self._honest: set[PackFrame] = set()
        self._lock = threading.Lock()

    # Loading.

    def load(self) -> None:
        """Make the index; make the folder and the first pack if they are not there. Raises DiskError."""
        self.close()
        with disk_errors(f"read the blob packs in {self._path}"):
            make_folder(self._fs, self._path)
            numbers = sorted(filter(None, map(pack_number, self._fs.listdir(self._path))))
            self._index.clear()
            self._frames.clear()
            for number in numbers:
                newest = number == numbers[-1]
                frames, good_end = scan_pack(self._fs, self._file(number), number, whole=newest)
                self._frames[number] = frames
                for frame in frames:
                    self._index.update(dict.fromkeys(_digests(frame), frame))
                if newest:
                    self._open(number, good_end)
            if not numbers or self._size > self._pack_bytes:
                self._begin_pack()

    def look(self) -> None:
        """Make the index of what is there, changing nothing: for reading only. Raises DiskError."""
        with disk_errors(f"read the blob packs in {self._path}"):
            if not is_there(self._fs, self._path):
                return
            for number in sorted(filter(None, map(pack_number, self._fs.listdir(self._path)))):
                frames, _ = scan_pack(self._fs, self._file(number), number, whole=False)
                for frame in frames:
                    self._index.update(dict.fromkeys(_digests(frame), frame))

    def close(self) -> None:
        """Close the open pack."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            with suppress(OSError):
                self._fs.close(fd)

    def let_go(self) -> None:
        """Close the pack, if all of it is durable, until the next append: it keeps its mount busy."""
        if self._fd is not None and self._size == self._synced:
            self.close()
            self._resting = True

    def _take_up(self) -> None:
        """Open the pack that was let go, if it is still what it was; else a new one is begun."""
        resting, self._resting = self._resting, False
        if not resting:
            return
        fd = self._fs.open(self._file(self._number), _APPEND & ~os.O_CREAT)
        if self._fs.fstat(fd).st_size == self._size:
            self._fd = fd
        else:
            self._fs.close(fd)

    # Adding.

    def add(self, entries: Sequence[Entry], frame: bytes) -> None:
        """Append a batch unless all of it is there. Raises DiskError: then it is not there."""
        if all(entry.digest in self._index for entry in entries):
            return
        self._append(entries, frame)

    def _append(self, entries: Sequence[Entry], frame: bytes) -> None:
        with disk_errors(f"write a blob pack in {self._path}"):
            self._take_up()
            if self._fd is None or self._size > PACK_BYTES_MAX:
                self._sync_open()
                self._begin_pack()
            assert self._fd is not None, "a pack was begun"
            header, content = packed(entries, frame)
            try:
                self._fs.write_all(self._fd, content)
            except OSError:
                self._cut(self._size)
                raise
        kept = PackFrame(self._number, self._size, len(header), len(frame), tuple(entries))
        self._size += len(content)
        self._frames[self._number].append(kept)
        with self._lock:
            self._index.update(dict.fromkeys(_digests(kept), kept))

    def add_contents(self, items: Sequence[tuple[Entry, bytes]]) -> None:
        """Pack and append those of `items` that are not there. Raises DiskError."""
        missing = [item for item in items if item[0].digest not in self._index]
        for entries, frame in pack_batches(missing):
            self.add(entries, frame)

    def sync(self) -> None:
        """Make everything added durable: at most one flush. Raises DiskError: then it is gone."""
        with disk_errors(f"flush a blob pack in {self._path}"):
            self._sync_open()

    # Reading.

    def has(self, digest: Digest) -> bool:
        """Tell whether the bytes of `digest` are kept; no I/O."""
        return digest in self._index

    def get(self, digest: Digest) -> bytes | None:
        """Return the bytes of `digest`; None if they are not kept or are damaged."""
        frame = self._index.get(digest)
        if frame is None:
            return None
        contents = self._recent.get(frame)
        if contents is None:
            contents = self._contents(frame)
        if contents is None:
            # Packs move while they are tidied: look once more before giving up.
            moved = self._index.get(digest)
            return None if moved is None or moved is frame else self.get(digest)
        return contents.get(digest)

    def batches(self, wanted: Sequence[Digest]) -> Iterator[tuple[tuple[Entry, ...], bytes]]:
        """Yield batches that hold every kept blob of `wanted`.

        A stored batch of which at least half (in bytes) is wanted goes out as it lies there; the
        rest is packed anew.
        """
        chosen: dict[PackFrame, set[Digest]] = {}
        for digest in wanted:
            frame = self._index.get(digest)
            if frame is not None:
                chosen.setdefault(frame, set()).add(digest)
        loose: dict[Digest, Entry] = {}
        for frame, digests in chosen.items():
            asked = {entry.digest: entry for entry in frame.entries if entry.digest in digests}
            if 2 * sum(e.size for e in asked.values()) >= frame.content_size:
                stored = self._payload(frame) if self._is_honest(frame) else None
                if stored is not None:
                    yield frame.entries, stored
                    continue
            loose.update(asked)
        yield from pack_batches(self._present(loose.values()))

    # Tidying.

    def tidy(self, needed: Collection[Digest]) -> int:
        """Close a full pack and drop from closed ones what is not `needed`; return bytes freed.

        What is still needed of a pack that is mostly not is appended to the open one, made durable
        there, and only then the old file goes. The open pack, also if it is closed here, waits
        for the next call: it holds what came last. Raises DiskError; nothing needed is lost.
        """
        freed = 0
        closed = [number for number in self._frames if number != self._number]
        with disk_errors(f"tidy the blob packs in {self._path}"):
            if self._size > self._pack_bytes:
                self._sync_open()
                self._begin_pack()
            for number in closed:
                freed += self._tidy_pack(number, needed)
        return freed

    def _tidy_pack(self, number: int, needed: Collection[Digest]) -> int:
        frames = self._frames[number]
        here = {
            entry.digest: entry
            for frame in frames
            for entry in frame.entries
            if self._index.get(entry.digest) is frame
        }
        live = [entry for entry in here.values() if entry.digest in needed]
        total = sum(frame.content_size for frame in frames)
        if frames and sum(entry.size for entry in live) >= LIVE_SHARE_MIN * total:
            return 0
        size = sum(frame.size for frame in frames)
        before = self._size
        for entries, frame_bytes in pack_batches(self._present(live)):
            self._append(entries, frame_bytes)
        self._sync_open()
        for frame in frames:
            self._forget(frame)
        del self._frames[number]
        self._fs.unlink(self._file(number))
        return size - (self._size - before)

    # Private.

    def _present(self, entries: Collection[Entry]) -> Iterator[tuple[Entry, bytes]]:
        for entry in entries:
            content = self.get(entry.digest)
            if content is not None:
                yield entry, content

    def _contents(self, frame: PackFrame, *, remember: bool = True) -> dict[Digest, bytes] | None:
        payload = self._payload(frame)
        if payload is None:
            return None
        try:
            contents = split_batch(frame.entries, payload)
        except ProtocolError:
            self._forget(frame)
            return None
        self._honest.add(frame)
        unpacked = dict(zip(_digests(frame), contents, strict=True))
        if remember:
            self._remember(frame, unpacked)
        return unpacked

    def _is_honest(self, frame: PackFrame) -> bool:
        """Tell whether the batch holds what it says: looked at once, before it is passed on.

        A receiver closes the connection on one that does not, and would ask for it again.
        """
        return frame in self._honest or self._contents(frame, remember=False) is not None

    def _remember(self, frame: PackFrame, contents: dict[Digest, bytes]) -> None:
        """Keep what was just unpacked: who reads one blob of a batch mostly reads the others too."""
        with self._lock:
            if frame in self._recent:
                return
            self._recent[frame] = contents
            self._recent_bytes += frame.content_size
            while self._recent_bytes > RECENT_BYTES_MAX:
                oldest = next(iter(self._recent))
                del self._recent[oldest]
                self._recent_bytes -= oldest.content_size

    def _payload(self, frame: PackFrame) -> bytes | None:
        """Return the zstd bytes of `frame`; None, and the frame forgotten, if they are damaged."""
        try:
            payload = read_frame(self._fs, self._file(frame.pack), frame)
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOMEM}:
                raise DiskError(
                    f"can't read {self._file(frame.pack)}: {error.strerror}",
                    errno_name=errno.errorcode[error.errno],
                ) from error
            payload = None
        if payload is None:
            self._forget(frame)
        return payload

    def _forget(self, frame: PackFrame) -> None:
        with self._lock:
            for digest in _digests(frame):
                if self._index.get(digest) is frame:
                    del self._index[digest]
        self._honest.discard(frame)

    def _sync_open(self) -> None:
        if self._fd is None or self._size == self._synced:
            return
        try:
            self._fs.fdatasync(self._fd)
        except OSError:
            # Never ask for the same flush twice: the kernel has dropped what it could not write.
            self._cut(self._synced)
            raise
        self._synced = self._size

    def _cut(self, size: int) -> None:
        """Cut the open pack to `size` and forget what lay behind.

        If the disk refuses even that, nothing that was not flushed is believed any more, and the
        next append begins a new pack.
        """
        assert self._fd is not None, "only the open pack is cut"
        try:
            self._fs.ftruncate(self._fd, size)
        except OSError:
            self.close()
            size = self._synced
        frames = self._frames[self._number]
        for frame in frames:
            if frame.start >= size:
                self._forget(frame)
        self._frames[self._number] = [frame for frame in frames if frame.start < size]
        self._size = size

    def _begin_pack(self) -> None:
        self.close()
        self._frames.setdefault(self._number, [])
        number = max(self._frames) + 1
        fd = self._fs.open(self._file(number), _APPEND, FILE_MODE)
        try:
            self._fs.fsync_dir(self._path)
        except OSError:
            self._fs.close(fd)
            raise
        if not self._frames[self._number]:
            del self._frames[self._number]
        self._fd, self._number, self._size, self._synced = fd, number, 0, 0
        self._frames[number] = []

    def _open(self, number: int, good_end: int) -> None:
        self._fd = self._fs.open(self._file(number), _APPEND, FILE_MODE)
        self._number = number
        self._size = good_end
        if self._fs.fstat(self._fd).st_size > good_end:
            self._fs.ftruncate(self._fd, good_end)
        # A process that was killed may have left a batch, or the pack's name, in memory only.
        self._fs.fsync(self._fd)
        self._fs.fsync_dir(self._path)
        self._synced = good_end

    def _file(self, number: int) -> str:
        return f"{self._path}/{pack_name(number)}"


def _digests(frame: PackFrame) -> list[Digest]:
    return [entry.digest for entry in frame.entries]
