"""Logs that are written and rotated as the runtimes' appenders and logrotate do it."""

from __future__ import annotations

import gzip
import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Log:
    """A log at `path`. `lines` is what was written to it so far, without line ends."""

    def __init__(self, path: Path, keep: int = 10) -> None:
        self.path = path
        self.keep = keep
        self.lines: list[bytes] = []
        self.rotations = 0

    def write(self, count: int) -> None:
        """Write numbered lines, no two alike."""
        for _ in range(count):
            line = f"2026-11-21 10:00:00,{len(self.lines):09d} line {len(self.lines)}".encode()
            self.lines.append(line)
            self.write_raw(line + b"\n")

    def write_raw(self, content: bytes) -> None:
        """Write bytes that are not counted among the lines."""
        with self.path.open("ab") as file:
            file.write(content)

    def rotate(self) -> None:
        """Put the log away under another name."""
        raise AssertionError("each scheme has its own")


class Numbered(Log):
    """log4j 1's RollingFileAppender, and logrotate: `.1` is the newest, the oldest is deleted."""

    def rotate(self) -> None:
        self.rotations += 1
        for number in range(self.keep, 0, -1):
            old = self.path.with_name(f"{self.path.name}.{number}")
            if not old.is_file():
                continue
            if number == self.keep:
                old.unlink()
            else:
                old.rename(self.path.with_name(f"{self.path.name}.{number + 1}"))
        if self.path.is_file():
            self.path.rename(self.path.with_name(f"{self.path.name}.1"))


class Dated(Log):
    """log4j 2 as the WSO2 products set it up: `STEM-11-21-2026-N.log`, N rising."""

    def rotate(self) -> None:
        self.rotations += 1
        if not self.path.is_file():
            return
        # Its clock: files that are put away in the same tick of the kernel's are told apart by N.
        self.path.rename(self._away(self.rotations))
        self._away(self.rotations - self.keep).unlink(missing_ok=True)

    def _away(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.stem}-11-21-2026-{number}{self.path.suffix}")


class Truncated(Log):
    """logrotate with `copytruncate`: the copy is `.1`, the log keeps its inode."""

    def rotate(self) -> None:
        self.rotations += 1
        for number in range(self.keep - 1, 0, -1):
            old = self.path.with_name(f"{self.path.name}.{number}")
            if old.is_file():
                old.replace(self.path.with_name(f"{self.path.name}.{number + 1}"))
        if self.path.is_file():
            shutil.copyfile(self.path, self.path.with_name(f"{self.path.name}.1"))
            os.truncate(self.path, 0)


def pack(plain: Path, *, keep_time: bool = True) -> Path:
    """Pack a file as `gzip` does, which keeps its time, or as log4j 2 does; returns the new one."""
    packed = plain.with_name(f"{plain.name}.gz")
    status = plain.stat()
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    if keep_time:
        os.utime(packed, ns=(status.st_atime_ns, status.st_mtime_ns))
    plain.unlink()
    return packed


class NumberedPacked(Log):
    """logrotate with `compress`: `.1.gz` is the newest."""

    delay = 0

    def rotate(self) -> None:
        self.rotations += 1
        for number in range(self.keep, 0, -1):
            for end in ("", ".gz"):
                old = self.path.with_name(f"{self.path.name}.{number}{end}")
                if old.is_file() and number == self.keep:
                    old.unlink()
                elif old.is_file():
                    old.rename(self.path.with_name(f"{self.path.name}.{number + 1}{end}"))
        if self.path.is_file():
            self.path.rename(self.path.with_name(f"{self.path.name}.1"))
        due = self.path.with_name(f"{self.path.name}.{1 + self.delay}")
        if due.is_file():
            pack(due)


class NumberedDelayed(NumberedPacked):
    """logrotate with `compress` and `delaycompress`: `.1` is plain, `.2.gz` and older are not."""

    delay = 1


class DatedPacked(Dated):
    """log4j 2 with a pattern that ends in `.gz`: packed at once, with the time of the packing."""

    def rotate(self) -> None:
        if self.path.is_file():
            super().rotate()
            pack(self._away(self.rotations), keep_time=False)
            old = self._away(self.rotations - self.keep)
            old.with_name(f"{old.name}.gz").unlink(missing_ok=True)


class TruncatedPacked(Truncated):
    """logrotate with `copytruncate` and `compress`: the copy is packed."""

    def rotate(self) -> None:
        for number in range(self.keep - 1, 0, -1):
            old = self.path.with_name(f"{self.path.name}.{number}.gz")
            if old.is_file():
                old.replace(self.path.with_name(f"{self.path.name}.{number + 1}.gz"))
        super().rotate()
        copy = self.path.with_name(f"{self.path.name}.1")
        if copy.is_file():
            pack(copy)
