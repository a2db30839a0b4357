"""A file of the log's family that is open, to be read at any byte: as it is, or through gzip.

Theory of operation. A packed file can only be read forwards. What was unpacked is kept from the byte
that was asked for last, so that who reads on, with some bytes of before, never makes it begin again;
who goes back does. Memory is what was asked for and one step.

A packed file that ends too early or is none is `damaged`: what comes before the damage is read, and
is then all there is. That is never an error; an error (OSError) is what the disk says.

The mtime of a packed file is when it was packed, or when its log was written last: both are seen.
"""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncagent.fsio import OsFS
    from syncagent.runtime.family import Member

STEP_BYTES = 64 * 1024
"""Unpacked at a time."""
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


class LogFile:
    """An open file, read as it is. It owns `fd`."""

    packed = False
    damaged = False
    """Whether less can be read than was packed."""

    def __init__(self, fs: OsFS, fd: int) -> None:
        self._fs = fs
        self._fd = fd

    def status(self) -> os.stat_result:
        """Return the status of the file on disk: its size is the packed one. Raises OSError."""
        return self._fs.fstat(self._fd)

    def read_at(self, begin: int, count: int) -> bytes:
        """Return `count` bytes from byte `begin` on, fewer at the end. Raises OSError."""
        self._fs.lseek(self._fd, begin, os.SEEK_SET)
        return self._fs.read(self._fd, count)

    def close(self) -> None:
        """Let go of it."""
        with suppress(OSError):
            self._fs.close(self._fd)


class PackedFile(LogFile):
    """An open gzip file, read as what was packed into it."""

    packed = True

    def __init__(self, fs: OsFS, fd: int) -> None:
        super().__init__(fs, fd)
        self._stream = gzip.GzipFile(fileobj=_Raw(fs, fd), mode="rb")
        self._kept = bytearray()
        self._begin = 0
        self._over = False

    def read_at(self, begin: int, count: int) -> bytes:
        """Return `count` unpacked bytes from byte `begin` on, fewer at the end or the damage."""
        if begin < self._begin:
            self._rewind()
        self._forget(begin)
        while not self._over and self._begin + len(self._kept) < begin + count:
            self._unpack()
            self._forget(begin)
        start = begin - self._begin
        return bytes(self._kept[start : start + count])

    def _rewind(self) -> None:
        self._fs.lseek(self._fd, 0, os.SEEK_SET)
        self._stream = gzip.GzipFile(fileobj=_Raw(self._fs, self._fd), mode="rb")
        self._kept.clear()
        self._begin = 0
        self._over = self.damaged = False

    def _forget(self, begin: int) -> None:
        drop = min(begin - self._begin, len(self._kept))
        del self._kept[:drop]
        self._begin += drop

    def _unpack(self) -> None:
        try:
            data = self._stream.read1(STEP_BYTES)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            self._over = self.damaged = True
            return
        self._kept += data
        if not data:
            self._over = True
            # Not even a head: somebody only began to pack it.
            self.damaged = self.status().st_size == 0


class _Raw:
    """What `gzip` reads from: an open file of `fs`."""

    def __init__(self, fs: OsFS, fd: int) -> None:
        self._fs = fs
        self._fd = fd

    def read(self, count: int) -> bytes:
        return self._fs.read(self._fd, count)

    def seek(self, offset: int) -> int:
        return self._fs.lseek(self._fd, offset, os.SEEK_SET)


def opened(fs: OsFS, member: Member) -> LogFile | None:
    """Return the open member, None if its path leads to another file meanwhile.

    Raises OSError: FileNotFoundError too, if it leads nowhere.
    """
    fd = fs.open(member.path, _OPEN)
    file = PackedFile(fs, fd) if member.packed else LogFile(fs, fd)
    same = False
    try:
        status = file.status()
        same = (status.st_dev, status.st_ino) == member.identity and stat.S_ISREG(status.st_mode)
    finally:
        if not same:
            file.close()
    return file if same else None
