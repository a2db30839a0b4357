"""Digests of artifact bytes: xxh3-128, written `xxh3:` + 32 hex digits.

A digest finds change; it proves nothing about the author (the SSH connection does that).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NewType

import xxhash

if TYPE_CHECKING:
    from collections.abc import Iterable

Digest = NewType("Digest", str)
"""`xxh3:` followed by 32 lower-case hex digits."""

_PREFIX = "xxh3:"
_WRITTEN = re.compile(r"xxh3:[0-9a-f]{32}")
RAW_BYTES = 16
"""Length of a digest as it travels."""


def digest_of(content: bytes | memoryview) -> Digest:
    """Return the digest of `content`.

    >>> digest_of(b"")
    'xxh3:99aa06d3014798d86001c324468d497f'
    """
    return Digest(_PREFIX + xxhash.xxh3_128_hexdigest(content))


def digest_of_parts(parts: Iterable[bytes]) -> Digest:
    """Return the digest of `parts` one after the other, for bytes that need not fit in memory."""
    state = xxhash.xxh3_128()
    for part in parts:
        state.update(part)
    return Digest(_PREFIX + state.hexdigest())


def number_of(content: bytes) -> int:
    """Return xxh3-128 of `content` as an integer: a term of a manifest's sum."""
    return xxhash.xxh3_128_intdigest(content)


def from_number(number: int) -> Digest:
    """Return the digest that shows `number` (0 <= number < 2**128)."""
    return Digest(f"{_PREFIX}{number:032x}")


def to_raw(digest: Digest) -> bytes:
    """Return the 16 bytes that travel for `digest`."""
    return bytes.fromhex(digest[len(_PREFIX) :])


def to_raws(digests: Iterable[Digest]) -> bytes:
    """Return the raw bytes of `digests` one after the other; raises ValueError if one is none."""
    return bytes.fromhex("".join([digest[len(_PREFIX) :] for digest in digests]))


def from_raw(raw: bytes) -> Digest:
    """Return the digest of 16 raw bytes; raises ValueError on any other length."""
    if len(raw) != RAW_BYTES:
        raise ValueError(f"a digest has {RAW_BYTES} bytes, not {len(raw)}")
    return Digest(_PREFIX + raw.hex())


def parse_digest(text: str) -> Digest:
    """Return `text` as a digest; raises ValueError if it is not written like one."""
    if _WRITTEN.fullmatch(text) is None:
        raise ValueError(f"not a digest: {text!r}")
    return Digest(text)
