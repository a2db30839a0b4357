"""Where in a log somebody stopped reading, so that it is found again after any rotation.

A log file has no lasting name: rotation renames it, or copies it away and empties it. What lasts
are its bytes. A `Place` is therefore an offset with the fingerprint of the bytes before it; device
and inode only say where to look first, since a file that is gone leaves its inode to the next one.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

FINGERPRINT_BYTES = 256
"""Bytes before the offset that are fingerprinted: at least one line's date and time."""
TELLING_BYTES = 32
"""With fewer bytes before the offset another file could look the same: then the inode must fit too."""


def fingerprint(before: bytes) -> str:
    """Return what identifies the bytes before a place."""
    return hashlib.blake2b(before, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Place:
    """Byte `offset` of the file that was `device`, `inode` when it was read.

    `prints` is the fingerprint of the `length` bytes before. `written_ns` is the file's mtime then:
    siblings that were written later may hold what comes after.
    """

    device: int
    inode: int
    offset: int
    length: int
    prints: str
    written_ns: int

    @property
    def telling(self) -> bool:
        """Whether the fingerprint alone identifies the file."""
        return self.length >= TELLING_BYTES

    def fits(self, before: bytes) -> bool:
        """Tell whether these are the bytes before the place."""
        return len(before) == self.length and fingerprint(before) == self.prints

    def to_list(self) -> list[int | str]:
        """Return what `place_from` reads."""
        return [
            *(self.device, self.inode, self.offset, self.length),
            *(self.prints, self.written_ns),
        ]


def start_of(device: int, inode: int, written_ns: int) -> Place:
    """Return the place before the first byte of a file."""
    return Place(device, inode, 0, 0, fingerprint(b""), written_ns)


def place_from(raw: object) -> Place | None:
    """Return the place that `to_list` wrote; None if it is none (any more)."""
    match raw:
        case [int(device), int(inode), int(offset), int(length), str(prints), int(written_ns)]:
            whole = offset >= length >= 0
            return Place(device, inode, offset, length, prints, written_ns) if whole else None
        case _:
            return None


@dataclass(frozen=True, slots=True)
class Run:
    """What the log says of the runtime's last start. Wall times (s), 0.0 where it says nothing.

    `dead` says what ended the deployer of this run; empty while it lives.
    """

    started_at: float = 0.0
    ready_at: float = 0.0
    stopped: bool = False
    dead: str = ""


NO_RUN = Run()


@dataclass(frozen=True, slots=True)
class Mark:
    """Where to go on, and what was known there of the run: its first lines may be rotated away."""

    place: Place | None = None
    run: Run = NO_RUN


def mark_text(mark: Mark) -> str:
    """Return the mark as text for `RuntimeHeard.mark`."""
    run = mark.run
    return json.dumps(
        {
            "place": mark.place.to_list() if mark.place else None,
            "run": [run.started_at, run.ready_at, run.stopped, run.dead],
        },
        separators=(",", ":"),
    )


def mark_from(text: str | None) -> Mark:
    """Return the mark of a text; an empty one for what another adapter or version wrote."""
    try:
        raw: object = json.loads(text) if text else None
    except ValueError:
        raw = None
    match raw:
        case {
            "place": place,
            "run": [float() | int() as started, float() | int() as ready, bool(stopped), str(dead)],
        }:
            return Mark(place_from(place), Run(float(started), float(ready), stopped, dead))
        case _:
            return Mark()
