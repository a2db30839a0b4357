"""A log and its rotated siblings, oldest first.

Rotation schemes that are told apart, by name alone:
- numbered (log4j 1 RollingFileAppender, logrotate): `NAME.1` is the newest, `NAME.2` older;
- dated (daily appenders, log4j 2): `NAME.2026-11-21`, `STEM-11-21-2026.log`, `STEM-11-21-2026-3.log`:
  by the time of their last write, then by the numbers in their names;
- the log itself is always the newest.

Each may be packed with gzip (`.gz` behind its name): it keeps its rank. As long as the plain file of
the same name is there, it is still being packed and that one counts. Who packs may give the packed
file the time of the packing, when the next file was already written to: among the dated ones it is
therefore taken for a little older than it says. Otherwise compressed siblings are not read.

A listing while names are shifted may show one file twice and another not at all. It is therefore
taken until two in a row agree, and who opens a member compares its inode.
"""

from __future__ import annotations

import errno
import re
import stat
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from syncagent.fsio import OsFS

_PASSES_MAX = 16
_NUMBERED = re.compile(r"\.(\d{1,3})")
_ROTATED = re.compile(r"[\w.:-]*\d[\w.:-]*")
_PACKED = ".gz"
_COMPRESSED = (".gz", ".zip", ".bz2", ".xz", ".zst")
PACKING_NS = 60 * 1_000_000_000
"""How long packing one file takes at most, generously: plain ones written meanwhile are younger."""


class Member(NamedTuple):
    """One file of the family; `path` led to `identity` (device, inode) when it was listed.

    `packed`: it is a gzip file, `size` is that of the file, and `written_ns` may be its packing's time.
    """

    path: str
    identity: tuple[int, int]
    size: int
    written_ns: int
    packed: bool = False


class Family:
    """The files of one log, found by its path."""

    def __init__(self, fs: OsFS, path: str) -> None:
        self._fs = fs
        self.path = path
        folder, _, self._base = path.rpartition("/")
        self._folder = folder or "/"
        self._stem, dot, suffix = self._base.rpartition(".")
        self._suffix = dot + suffix
        self._stem = self._stem or self._base

    def listed(self) -> list[Member]:
        """Return the files that are there, oldest first, the log itself last.

        Raises OSError: the folder can't be read, or names are changing all the time (EAGAIN).
        """
        before = self._look()
        for _ in range(_PASSES_MAX):
            now = self._look()
            if [each[:2] for each in now] == [each[:2] for each in before]:
                return now
            before = now
        raise OSError(errno.EAGAIN, "the log is being rotated all the time", self._folder)

    def newest(self) -> Member | None:
        """Return the log itself, None if there is none now. Raises OSError."""
        return self._member(self.path)

    def _look(self) -> list[Member]:
        try:
            names = set(self._fs.listdir(self._folder))
        except FileNotFoundError:
            return []
        ranked = []
        for name in names:
            plain = name.removesuffix(_PACKED)
            if plain != name and (plain in names or plain == self._base):
                continue
            rank = self._rank(plain)
            member = self._member(f"{self._folder}/{name}", packed=plain != name) if rank else None
            if rank and member:
                packing = PACKING_NS if member.packed else 0
                age = 0 if rank[0] else member.written_ns - packing
                ranked.append(((rank[0], age, rank[1]), member))
        ranked.sort(key=lambda each: each[0])
        return [member for _, member in ranked]

    def _rank(self, name: str) -> tuple[int, tuple[int, ...]] | None:
        """Return dated, numbered or the log itself (0, 1, 2) and its place among those; None: not ours."""
        if name == self._base:
            return 2, ()
        if name.startswith(self._base):
            rest = name[len(self._base) :]
        elif name.startswith(self._stem) and name.endswith(self._suffix):
            rest = name[len(self._stem) : len(name) - len(self._suffix)]
        else:
            return None
        if rest.endswith(_COMPRESSED) or not _ROTATED.fullmatch(rest):
            return None
        numbered = _NUMBERED.fullmatch(rest) if name.startswith(self._base) else None
        if numbered:
            return 1, (-int(numbered[1]),)
        return 0, tuple(int(number) for number in re.findall(r"\d+", rest))

    def _member(self, path: str, *, packed: bool = False) -> Member | None:
        try:
            found = self._fs.stat(path)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        return Member(path, (found.st_dev, found.st_ino), found.st_size, found.st_mtime_ns, packed)
