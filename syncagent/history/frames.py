"""Checksummed frames in an append-only file: what the ledger and the blob packs are made of.

    frame = magic (4) | header length (u32) | payload length (u32) | xxh3-128 of what follows (16)
            | header | payload

The checksum covers both lengths, the header and the payload. An append that a crash cut short
leaves a torn tail: it is recognised and dropped. A damaged frame with a good one behind it can't
come from a crash of ours, because each append is made durable before the next: the disk or a
person did it, and the reader is told so that it can fail closed.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from syncagent.core.digest import number_of

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX: Final = struct.Struct("<4sII16s")
_LENGTHS: Final = struct.Struct("<II")
FRAME_BYTES_MAX: Final = 1 << 30
"""A longer frame is damage: the largest real one is a full record of 100,000 rows (10 MB)."""


class Frame(NamedTuple):
    """One frame of a file: where it starts and ends, its header and its payload."""

    start: int
    end: int
    header: bytes
    payload: bytes


def encode_frame(magic: bytes, header: bytes, payload: bytes = b"") -> bytes:
    """Return the bytes of one frame."""
    lengths = _LENGTHS.pack(len(header), len(payload))
    check = number_of(lengths + header + payload).to_bytes(16, "little")
    return b"".join(
        (PREFIX.pack(magic, len(header), len(payload), check), header, payload),
    )


def frame_at(magic: bytes, content: bytes | memoryview, start: int) -> Frame | None:
    """Return the frame that starts at `start` of `content`; None if none does, or a damaged one."""
    if len(content) - start < PREFIX.size:
        return None
    found, header_size, payload_size, check = PREFIX.unpack_from(content, start)
    if found != magic or header_size + payload_size > FRAME_BYTES_MAX:
        return None
    header_at = start + PREFIX.size
    payload_at = header_at + header_size
    end = payload_at + payload_size
    if end > len(content):
        return None
    body = bytes(content[header_at:end])
    lengths = _LENGTHS.pack(header_size, payload_size)
    if number_of(lengths + body).to_bytes(16, "little") != check:
        return None
    return Frame(start, end, body[:header_size], body[header_size:])


def frames(magic: bytes, content: bytes) -> Iterator[Frame]:
    """Yield the good frames from the start of `content` up to the first that is not."""
    at = 0
    while (frame := frame_at(magic, content, at)) is not None:
        yield frame
        at = frame.end


def good_frame_after(magic: bytes, content: bytes, start: int) -> int | None:
    """Return where a good frame starts behind `start`; None if there is none."""
    at = content.find(magic, start + 1)
    while at >= 0:
        if frame_at(magic, content, at) is not None:
            return at
        at = content.find(magic, at + 1)
    return None
