"""Where to begin in a log that was never read: at the runtime's last start, if the log still has it.

The files are searched backwards, newest first, so that the price is what was written since. Packed
ones can't be read backwards and are left out.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from syncagent.runtime.family import Family
from syncagent.runtime.place import FINGERPRINT_BYTES, Place, fingerprint, start_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncagent.fsio import OsFS
    from syncagent.runtime.family import Member

BLOCK_BYTES = 1024 * 1024
OVERLAP_BYTES = 4 * 1024
"""Longest line head and start words that may lie across two blocks."""
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


def last_start(fs: OsFS, path: str, words: Sequence[bytes], *, since: float) -> Place | None:
    """Return the place of the last line that holds one of `words`.

    If none does: the start of the oldest file that was written at or after `since` (wall time, s);
    if there is no such file, the end of the newest; None if there is no file. Raises OSError.
    """
    members = [each for each in Family(fs, path).listed() if not each.packed]
    fitting = [each for each in members if each.written_ns >= since * 1e9]
    for member in reversed(fitting):
        place = _in_member(fs, member, words)
        if place is not None:
            return place
    if not fitting:
        return _end_of(fs, members[-1]) if members else None
    oldest = fitting[0]
    return start_of(*oldest.identity, oldest.written_ns)


def _in_member(fs: OsFS, member: Member, words: Sequence[bytes]) -> Place | None:
    try:
        fd = fs.open(member.path, _OPEN)
    except FileNotFoundError:
        return None
    try:
        end = member.size
        while end > 0:
            begin = max(0, end - BLOCK_BYTES)
            fs.lseek(fd, begin, os.SEEK_SET)
            data = fs.read(fd, end + OVERLAP_BYTES - begin)
            found = max(data.rfind(word) for word in words)
            if found >= 0:
                line = data.rfind(b"\n", 0, found) + 1
                if line or not begin:
                    return _place(fs, fd, member, begin + line)
                end = begin + found + 1
                continue
            end = begin
    finally:
        with suppress(OSError):
            fs.close(fd)
    return None


def _end_of(fs: OsFS, member: Member) -> Place | None:
    fd = fs.open(member.path, _OPEN)
    try:
        return _place(fs, fd, member, member.size)
    finally:
        with suppress(OSError):
            fs.close(fd)


def _place(fs: OsFS, fd: int, member: Member, offset: int) -> Place:
    begin = max(0, offset - FINGERPRINT_BYTES)
    fs.lseek(fd, begin, os.SEEK_SET)
    before = fs.read(fd, offset - begin)
    return Place(*member.identity, offset, len(before), fingerprint(before), member.written_ns)
