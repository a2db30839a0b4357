"""One blob pack as bytes: a row of checksummed frames (see `frames`), each a zstd batch.

The frame's header holds the entries, digests end to end and sizes; its payload is the zstd frame.
The header has its own checksum, so that an index can be made without reading payloads.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from syncagent import fsio
from syncagent.core.digest import RAW_BYTES, from_raw, number_of, to_raws
from syncagent.core.errors import ProtocolError
from syncagent.core.manifest import Entry
from syncagent.core.wire.packing import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

MAGIC: Final = b"sBp1"
HEADER_BYTES_MAX: Final = 16 * 1024 * 1024
PAYLOAD_BYTES_MAX: Final = 128 * 1024 * 1024
"""A zstd frame of the largest batch that the wire takes, were it incompressible, fits."""

_PREFIX: Final = struct.Struct("<4sII8s8s")
"""magic, header length, payload length, check of lengths and header, check of the payload"""
_LENGTHS: Final = struct.Struct("<II")
_SUFFIX: Final = ".pack"


@dataclass(frozen=True, slots=True, eq=False)
class PackFrame:
    """Where one batch lies, and what is in it. Compared by identity."""

    pack: int
    start: int
    header_size: int
    payload_size: int
    entries: tuple[Entry, ...]

    @property
    def size(self) -> int:
        """Bytes that the frame takes up in its file."""
        return _PREFIX.size + self.header_size + self.payload_size

    @property
    def content_size(self) -> int:
        """Bytes of its blobs, unpacked."""
        return sum(entry.size for entry in self.entries)


def pack_name(number: int) -> str:
    """Return the file name of pack `number`."""
    return f"{number:06d}{_SUFFIX}"


def pack_number(name: str) -> int:
    """Return the number of the pack with file name `name`; 0 if it is not the name of a pack."""
    stem = name.removesuffix(_SUFFIX)
    return int(stem) if stem != name and stem.isascii() and stem.isdigit() else 0


def packed(entries: Sequence[Entry], payload: bytes) -> tuple[bytes, bytes]:
    """Return the header, and the bytes of the whole frame."""
    header = pack([to_raws(e.digest for e in entries), [e.size for e in entries]])
    lengths = _LENGTHS.pack(len(header), len(payload))
    prefix = _PREFIX.pack(
        MAGIC, len(header), len(payload), _check(lengths + header), _check(payload)
    )
    return header, b"".join((prefix, header, payload))


def scan_pack(fs: fsio.OsFS, path: str, number: int, *, whole: bool) -> tuple[list[PackFrame], int]:
    """Return the frames of a pack up to the first bad one, and where that is.

    `whole` verifies payloads too; otherwise only headers are read. Raises OSError.
    """
    frames: list[PackFrame] = []
    fd = fs.open(path, fsio.O_CONTENT)
    try:
        size = fs.fstat(fd).st_size
        at = 0
        while at + _PREFIX.size <= size:
            found = _scan_frame(fs, fd, PackFrame(number, at, 0, 0, ()), size, whole=whole)
            if found is None:
                break
            frames.append(found)
            at += found.size
    finally:
        fs.close(fd)
    return frames, at


def read_frame(fs: fsio.OsFS, path: str, frame: PackFrame) -> bytes | None:
    """Return the payload of `frame`; None if it is damaged. Raises OSError."""
    fd = fs.open(path, fsio.O_CONTENT)
    try:
        content = _read_at(fs, fd, frame.start, frame.size)
    finally:
        fs.close(fd)
    if len(content) < frame.size:
        return None
    magic, header_size, payload_size, _, check = _PREFIX.unpack_from(content)
    if magic != MAGIC or (header_size, payload_size) != (frame.header_size, frame.payload_size):
        return None
    payload = content[_PREFIX.size + header_size :]
    return payload if _check(payload) == check else None


def _scan_frame(
    fs: fsio.OsFS, fd: int, at: PackFrame, size: int, *, whole: bool
) -> PackFrame | None:
    magic, header_size, payload_size, header_check, payload_check = _PREFIX.unpack(
        _read_at(fs, fd, at.start, _PREFIX.size)
    )
    found = PackFrame(at.pack, at.start, header_size, payload_size, ())
    if magic != MAGIC or at.start + found.size > size:
        return None
    if header_size > HEADER_BYTES_MAX or payload_size > PAYLOAD_BYTES_MAX:
        return None
    header = _read_exactly(fs, fd, header_size)
    if _check(_LENGTHS.pack(header_size, payload_size) + header) != header_check:
        return None
    if whole and _check(_read_exactly(fs, fd, payload_size)) != payload_check:
        return None
    try:
        entries = _entries(header)
    except (ProtocolError, ValueError, TypeError):
        return None
    return PackFrame(at.pack, at.start, header_size, payload_size, entries)


def _entries(header: bytes) -> tuple[Entry, ...]:
    raw, sizes = cast("tuple[bytes, list[int]]", unpack(header, limit=HEADER_BYTES_MAX))
    starts = range(0, len(raw), RAW_BYTES)
    return tuple(
        Entry(from_raw(raw[start : start + RAW_BYTES]), size)
        for start, size in zip(starts, sizes, strict=True)
    )


def _check(content: bytes) -> bytes:
    return (number_of(content) & 0xFFFF_FFFF_FFFF_FFFF).to_bytes(8, "little")


def _read_at(fs: fsio.OsFS, fd: int, start: int, size: int) -> bytes:
    fs.lseek(fd, start, os.SEEK_SET)
    return _read_exactly(fs, fd, size)


def _read_exactly(fs: fsio.OsFS, fd: int, size: int) -> bytes:
    """Return `size` bytes, or fewer at the end of the file."""
    parts: list[bytes] = []
    left = size
    while left > 0 and (part := fs.read(fd, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
