"""`CrashFS` for files that only grow: appends go to the end, and what was flushed before stays.

A power cut during an append leaves the flushed bytes and anything behind them: nothing, a part,
zeros, or all; one during a cut leaves the old or the new length.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.fakes.crashfs import CrashFS, Inode, Mode

if TYPE_CHECKING:
    import random


class AppendCrashFS(CrashFS):
    """A `CrashFS` that knows O_APPEND."""

    __slots__ = ("_appending",)

    def __init__(self, *, swaps: bool = True) -> None:
        self._appending: set[int] = set()
        super().__init__(swaps=swaps)

    def image(self, rng: random.Random, mode: Mode) -> AppendCrashFS:
        found = super().image(rng, mode)
        after = AppendCrashFS(swaps=self.swaps)
        after._root, after._numbers = found._root, found._numbers
        after.freeze()
        return after

    def _do_open(
        self, path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None
    ) -> int:
        fd = super()._do_open(path, flags, mode, dir_fd=dir_fd)
        if flags & os.O_APPEND:
            self._appending.add(fd)
        return fd

    def _do_write(self, fd: int, content: bytes | memoryview) -> int:
        if fd in self._appending:
            handle = self._handle(fd)
            handle.position = len(handle.inode.content)
        return super()._do_write(fd, content)

    def _torn(self, rng: random.Random, inode: Inode) -> bytes:
        new, old = inode.content, inode.durable_content
        if new and old.startswith(new):
            return rng.choice((old, new))
        if not old or not new.startswith(old):
            return super()._torn(rng, inode)
        tail = new[len(old) :]
        part = tail[: rng.randrange(len(tail) + 1)]
        return old + rng.choice((b"", part, bytes(len(tail)), part.ljust(len(tail), b"\0"), tail))
