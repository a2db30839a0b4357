"""Which file of a family holds a place: by its inode, or by its bytes alone.

Theory of operation. Plain files are asked first, since that costs one read each. A packed one has an
inode of its own and must be unpacked up to the place: only those are, that were written or packed
since the place was read, newest first, and the answer is kept as long as the question is the same.
A packed file that is damaged before the place may be the one, and can't be told: it is `spoiled`, and
not to be read from its start, where it would say again what was heard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.runtime.opened import opened

if TYPE_CHECKING:
    from collections.abc import Iterable

    from syncagent.fsio import OsFS
    from syncagent.runtime.family import Member
    from syncagent.runtime.place import Place

WHOLE_SECOND_NS = 1_000_000_000
"""Programs that pack keep a file's mtime, some of them in whole seconds."""


class Finder:
    """Looks into the files of one family."""

    def __init__(self, fs: OsFS) -> None:
        self._fs = fs
        self._asked: tuple[Place, list[Member]] | None = None
        self._answer: Member | None = None
        self.spoiled: set[Member] = set()
        """Those that are damaged before the place that was looked for last."""

    def find(self, members: list[Member], place: Place) -> Member | None:
        """Return the member that holds `place`. Raises OSError, also if one vanishes meanwhile."""
        identity = (place.device, place.inode)
        for member in members:
            if member.identity == identity and self._holds(member, place):
                return member
        if not place.telling:
            return None
        others = (each for each in reversed(members) if each.identity != identity)
        found = self._first((each for each in others if not each.packed), place)
        return found if found is not None else self.packed(members, place)

    def packed(self, members: list[Member], place: Place) -> Member | None:
        """Return the packed member that holds `place`. Raises OSError."""
        since = place.written_ns - WHOLE_SECOND_NS
        candidates = [each for each in members if each.packed and each.written_ns >= since]
        if not place.telling or not candidates:
            return None
        if self._asked != (place, candidates):
            self.spoiled.clear()
            self._answer = self._first(reversed(candidates), place)
            self._asked = place, candidates
        return self._answer

    def _first(self, members: Iterable[Member], place: Place) -> Member | None:
        return next((each for each in members if self._holds(each, place)), None)

    def _holds(self, member: Member, place: Place) -> bool:
        if not member.packed and member.size < place.offset:
            return False
        file = opened(self._fs, member)
        if file is None:
            return False
        try:
            before = file.read_at(place.offset - place.length, place.length)
        finally:
            file.close()
        if file.damaged and len(before) < place.length:
            self.spoiled.add(member)
        return place.fits(before)
