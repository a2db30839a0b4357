"""Reads a log to its end, and on, through every rotation: whole lines, each once, in order.

Theory of operation. One file is open; `place` is where the next line begins. Every read takes the
fingerprinted bytes before the place along, so that a file that was emptied (and even refilled) in
the meantime is noticed at once. At the end of the file the follower looks what the log's path leads
to *before* it reads the last time: if that is another file, the writer had closed this one, and what
follows is in the next younger member of the family, opened while the family held still. Files that
were rotated away between two looks are read one after the other.

`place` survives the process: the file is found again by inode and fingerprint, or by fingerprint
alone where it was copied away or packed with gzip. What can't be found any more (deleted, compressed
otherwise) is a gap: reading goes on with the oldest file that was written since, and `gaps` counts
it. So is what comes after the damage in a packed file.

Every call that fails raises OSError and leaves `place` where it was; the next call begins there
again. So nothing is missed, and nothing is read twice by one follower. Lines are bounded: what is
longer than a block comes in pieces, of which the later ones have no line head. A last line without
its end is kept back until the end comes, or until the file is finished.

Memory is one block, and one step of unpacking. There is no thread and no clock here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from syncagent.runtime.family import PACKING_NS, Family
from syncagent.runtime.finder import Finder
from syncagent.runtime.opened import opened
from syncagent.runtime.place import FINGERPRINT_BYTES, Place, fingerprint, start_of

if TYPE_CHECKING:
    import os

    from syncagent.fsio import OsFS
    from syncagent.runtime.family import Member
    from syncagent.runtime.opened import LogFile

BLOCK_BYTES = 128 * 1024
"""Read at a time; small enough for the processor's cache, where the search for words is fast."""
_FILES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole lines. `written_ns` is the file's mtime, `at_end` tells whether they were its last.

    Those of a packed file never are: its mtime is not when they were written.
    """

    data: bytes
    written_ns: int
    at_end: bool


class EmptiedError(Exception):
    """The bytes before the place are not there any more."""


class Follower:
    """Reads one log from `place`, or from its oldest file. Not for several threads."""

    def __init__(
        self, fs: OsFS, path: str, place: Place | None = None, *, block_bytes: int = BLOCK_BYTES
    ) -> None:
        self._fs = fs
        self._family = Family(fs, path)
        self._block_bytes = block_bytes
        self._finder = Finder(fs)
        self._file: LogFile | None = None
        self._idle: tuple[int, int] | None = None
        self.place = place
        self.gaps = 0
        self.files = 0
        """How many files were gone into so far."""

    def read(self) -> Chunk | None:
        """Return the next whole lines, None if there are none now. Raises OSError."""
        try:
            return self._read()
        except OSError:
            self.close()
            raise

    def tail(self, limit: int) -> tuple[bytes, int]:
        """Return the last bytes of the open file, and its mtime (ns). Raises OSError."""
        if self._file is None or self._file.packed:
            # When the last line of a packed file was written its mtime does not say.
            return b"", 0
        status = self._file.status()
        return self._file.read_at(max(0, status.st_size - limit), limit), status.st_mtime_ns

    def close(self) -> None:
        """Let go of the file; `place` stays."""
        self._idle = None
        if self._file is not None:
            file, self._file = self._file, None
            file.close()

    def _read(self) -> Chunk | None:
        for _ in range(_FILES_MAX):
            if self._file is None and not self._attach():
                return None
            done = self._done()
            try:
                chunk = self._take(finished=done)
            except EmptiedError:
                self._emptied()
                continue
            if chunk is not None or not done:
                return chunk
            self._go_on()
        return None

    def _done(self) -> bool:
        """Tell whether the writer has gone on to another file.

        Not as long as that one is empty: some rotations put an empty file there and leave the
        writer where it is, and there is nothing to miss in it.
        """
        newest = self._family.newest()
        place = self._here()
        if newest is None:
            return self._after(self._family.listed(), place) is not None
        if newest.identity == (place.device, place.inode):
            return False
        return newest.size > 0 or self._after(self._family.listed(), place) != newest

    def _here(self) -> Place:
        assert self.place is not None, "a file is open, so there is a place"
        return self.place

    def _open_file(self) -> LogFile:
        assert self._file is not None, "a file is open"
        return self._file

    # Reading the open file.

    def _take(self, *, finished: bool) -> Chunk | None:
        """Return the next lines of the open file. Raises EmptiedError, OSError."""
        place, file = self._here(), self._open_file()
        status = file.status()
        state = (status.st_size, status.st_mtime_ns)
        if state == self._idle and not finished:
            return None
        if status.st_size < place.offset and not file.packed:
            raise EmptiedError
        data = file.read_at(place.offset - place.length, place.length + self._block_bytes)
        if not place.fits(data[: place.length]):
            raise EmptiedError
        cut = data.rfind(b"\n") + 1
        if cut <= place.length:
            full = len(data) == place.length + self._block_bytes
            # What stands right before a damage is half a line, which could say something else.
            cut = len(data) if full or (finished and not file.damaged) else 0
        if cut <= place.length:
            self._idle = state
            return None
        return self._chunk(data, cut, status)

    def _chunk(self, data: bytes, cut: int, status: os.stat_result) -> Chunk:
        place = self._here()
        before = data[max(0, cut - FINGERPRINT_BYTES) : cut]
        offset = place.offset + cut - place.length
        self.place = Place(
            *(place.device, place.inode, offset, len(before)),
            *(fingerprint(before), status.st_mtime_ns),
        )
        lines = data[place.length : cut]
        if not lines.endswith(b"\n"):
            lines += b"\n"
        at_end = offset >= status.st_size and not self._open_file().packed
        return Chunk(lines, status.st_mtime_ns, at_end=at_end)

    # Going from file to file.

    def _attach(self) -> bool:
        """Open the file of the place, or the one to begin with; False if there is none yet."""
        place = self.place
        members = self._family.listed()
        if not members:
            return False
        if place is None:
            plain = [each for each in members if not each.packed]
            return bool(plain) and self._open(plain[0], None)
        found = self._finder.find(members, place)
        if found is not None:
            return self._open(found, place)
        oldest = self._oldest_since(members, place)
        if oldest is None or not self._open(oldest, None):
            return False
        self.gaps += 1
        return True

    def _open(self, member: Member, place: Place | None) -> bool:
        """Open a member and stand at `place` in it (None: its start); False if it moved meanwhile."""
        try:
            file = opened(self._fs, member)
        except FileNotFoundError:
            return False
        if file is None:
            return False
        self.close()
        self._file = file
        status = file.status()
        self.files += 1
        device, inode = member.identity
        self.place = (
            replace(place, device=device, inode=inode)
            if place is not None
            else start_of(device, inode, status.st_mtime_ns)
        )
        return True

    def _go_on(self) -> None:
        """Open the file that comes after the open one, which is read to its end."""
        place = self._here()
        members = self._family.listed()
        after = self._after(members, place)
        damaged = self._open_file().damaged
        if after is None or not self._open(after, None):
            # The log is between two names: the open file stays open, and the next look finds it.
            self._idle = None
        elif damaged:
            self.gaps += 1

    def _after(self, members: list[Member], place: Place) -> Member | None:
        """Return the member to be read when the open one is at its end."""
        identity = (place.device, place.inode)
        here = next((each for each in members if each.identity == identity), None)
        if here is None:
            # It was packed, and what is open is not listed any more.
            here = self._finder.packed(members, place)
        if here is None:
            # It was deleted as the oldest, or moved elsewhere.
            return self._oldest_since(members, place)
        later = members[members.index(here) + 1 :]
        return next((each for each in later if not self._stale(each, place)), None)

    def _stale(self, member: Member, place: Place) -> bool:
        """Tell whether it is left from another scheme of rotation that was in use once."""
        return member.packed and member.written_ns + PACKING_NS < place.written_ns

    def _oldest_since(self, members: list[Member], place: Place) -> Member | None:
        """Return the oldest file that was written since the place was read; the log itself at least."""
        for member in members:
            since = member.written_ns >= place.written_ns and member not in self._finder.spoiled
            if since or member.path == self._family.path:
                return member
        return None

    def _emptied(self) -> None:
        """The open file was emptied: its rest may be in a copy; then what is after that follows."""
        place = self._here()
        members = self._family.listed()
        copy = self._finder.find(members, place) if place.telling else None
        if copy is not None and self._open(copy, place):
            return
        self.place = start_of(place.device, place.inode, place.written_ns)
        self._idle = None
