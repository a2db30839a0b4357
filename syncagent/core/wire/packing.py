"""Two small formats that the wire and files share: msgpack with limits, zstd batches of blobs.

Blobs travel and are kept in batches of about 1 MiB: many small files that look alike pack ten
times smaller together than one by one. A batch is its entries (digest and size, in order) and
one zstd frame of their bytes, one after the other. A changed blob may travel as a delta: zstd
with the bytes of its parent as dictionary.

Whatever is unpacked was declared before: the frame must say its size, the size must be the sum
of the entries', and nothing is inflated beyond it. zstd contexts cost a megabyte to set up and
serve one thread at a time, so they are kept in a free list: `pop` and `append` are atomic.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgpack
import zstandard

from syncagent.core.digest import digest_of
from syncagent.core.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from syncagent.core.manifest import Entry

BATCH_BYTES = 1024 * 1024
"""Raw bytes after which a batch is full: zstd gains little from more, a receiver waits for less."""

RAW_BYTES_MAX = 64 * 1024 * 1024
"""Raw bytes that one batch or one delta may hold at most."""

LENGTH_MAX = 1_000_000
"""Elements that one packed list or map may have at most."""

LEVEL = 3
"""zstd level. 10,000 files of Synapse XML, 14.7 MB: level 1 shrinks them 11.4 times, 3 12.1 times,
4 no more, each in about 20 ms."""

_WINDOW_LOG_MAX = 26
"""A delta looks back over base and content, at most 64 MiB; nothing needs a larger window."""
_WINDOW_LOG_MIN = 10
_LARGE_BASE_BYTES = 2 * 1024 * 1024
_LARGE_HASH_LOG_MAX = 23
"""Above 2 MiB level 3's tables forget the beginning of the base (delta of a 4.8 MB file with one
line changed: 2.5 MB, with tables of 2**23 475 bytes); below, larger tables only cost time."""
_SPARE_MAX = 4

_compressors: deque[zstandard.ZstdCompressor] = deque(maxlen=_SPARE_MAX)
_decompressors: deque[zstandard.ZstdDecompressor] = deque(maxlen=_SPARE_MAX)


def pack(value: object) -> bytes:
    """Return msgpack of lists, maps, strings, bytes, ints, floats, booleans and None.

    Raises ProtocolError if `value` holds anything else, an integer beyond 64 bits, or text that
    is not valid Unicode.
    """
    try:
        packed: bytes | None = msgpack.packb(value, use_bin_type=True)
    except (TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"can't be packed: {error}") from error
    assert packed is not None
    return packed


def unpack(data: bytes | memoryview, *, limit: int, length_max: int = LENGTH_MAX) -> object:
    """Return what `data` packs: exactly one value, of the types that `pack` takes.

    `limit` is the most bytes that `data` may have; no list or map has more than `length_max`
    elements. Raises ProtocolError for anything else.
    """
    if len(data) > limit:
        raise ProtocolError(f"{len(data)} packed bytes, at most {limit} are allowed")
    try:
        return msgpack.unpackb(
            data,
            raw=False,
            max_ext_len=0,
            ext_hook=_refuse_extension,
            max_array_len=min(length_max, len(data)),
            max_map_len=min(length_max, len(data)),
        )
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise ProtocolError(f"can't be unpacked: {error or type(error).__name__}") from error


def _refuse_extension(code: int, data: bytes) -> object:
    raise ValueError(f"extension type {code} with {len(data)} bytes is not used here")


def squeeze(raw: bytes) -> bytes:
    """Return one zstd frame that holds `raw` and says its size."""
    try:
        compressor = _compressors.pop()
    except IndexError:
        compressor = zstandard.ZstdCompressor(level=LEVEL, write_content_size=True)
    frame = compressor.compress(raw)
    _compressors.append(compressor)
    return frame


def unsqueeze(frame: bytes, *, limit: int) -> bytes:
    """Return what `squeeze` took.

    Raises ProtocolError if the frame is damaged, does not say its size, or holds more than
    `limit` bytes, of which nothing is inflated.
    """
    size = _size_of(frame)
    if size > limit:
        raise ProtocolError(f"{size} bytes are declared, at most {limit} are allowed")
    return _inflate_plain(frame, size)


def compress_batch(items: Sequence[tuple[Entry, bytes]]) -> tuple[tuple[Entry, ...], bytes]:
    """Return the entries of `items` and one zstd frame that holds their bytes in order."""
    assert all(entry.size == len(content) for entry, content in items), "an entry's size is wrong"
    frame = squeeze(b"".join([content for _, content in items]))
    return tuple(entry for entry, _ in items), frame


def split_batch(
    entries: Sequence[Entry], frame: bytes, *, limit: int = RAW_BYTES_MAX
) -> list[bytes]:
    """Return the bytes of each entry, in order; every one has the digest its entry says.

    Never inflates more than the sum of the declared sizes, nor more than `limit` bytes. Raises
    ProtocolError if the frame is damaged, or holds anything else than the entries declare.
    """
    total = sum(entry.size for entry in entries)
    _check_frame(frame, total, limit)
    raw = _inflate_plain(frame, total)
    contents = []
    start = 0
    for entry in entries:
        content = raw[start : start + entry.size]
        if digest_of(content) != entry.digest:
            raise ProtocolError(f"the bytes that came for {entry.digest} are others")
        contents.append(content)
        start += entry.size
    return contents


def batches(
    items: Iterable[tuple[Entry, bytes]],
) -> Iterator[tuple[tuple[Entry, ...], bytes]]:
    """Yield zstd batches of about `BATCH_BYTES` that together hold `items` in order.

    A blob that would take a batch beyond that begins a new one, so a larger blob is alone.
    """
    waiting: list[tuple[Entry, bytes]] = []
    size = 0
    for item in items:
        if waiting and size + item[0].size > BATCH_BYTES:
            yield compress_batch(waiting)
            waiting, size = [], 0
        waiting.append(item)
        size += item[0].size
    if waiting:
        yield compress_batch(waiting)


def make_delta(base: bytes, content: bytes) -> bytes:
    """Return a zstd frame from which `apply_delta` with the same `base` makes `content`."""
    if not base:
        return zstandard.ZstdCompressor(level=LEVEL).compress(content)
    window_log = min(max((len(base) + len(content)).bit_length(), _WINDOW_LOG_MIN), _WINDOW_LOG_MAX)
    options = {"window_log": window_log, "write_content_size": True, "write_dict_id": False}
    if len(base) > _LARGE_BASE_BYTES:
        log = min(window_log, _LARGE_HASH_LOG_MAX)
        options |= {"hash_log": log, "chain_log": log}
    parameters = zstandard.ZstdCompressionParameters.from_level(
        LEVEL, source_size=len(content), dict_size=len(base), **options
    )
    compressor = zstandard.ZstdCompressor(
        dict_data=_dictionary(base), compression_params=parameters
    )
    return compressor.compress(content)


def apply_delta(base: bytes, frame: bytes, size: int, *, limit: int = RAW_BYTES_MAX) -> bytes:
    """Return the `size` bytes that `frame` makes of `base`; the caller checks their digest.

    Raises ProtocolError if the frame is damaged or makes another number of bytes than `size`,
    or if that is more than `limit`. Another base than the one it was made with gives an error or
    other bytes: only the digest tells.
    """
    _check_frame(frame, size, limit)
    decompressor = (
        zstandard.ZstdDecompressor(
            dict_data=_dictionary(base), max_window_size=1 << _WINDOW_LOG_MAX
        )
        if base
        else zstandard.ZstdDecompressor(max_window_size=1 << _WINDOW_LOG_MAX)
    )
    return _inflate(decompressor, frame, size)


def _dictionary(base: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


def _check_frame(frame: bytes, size: int, limit: int) -> None:
    """Refuse, before anything is allocated, a frame that does not say it holds `size` bytes."""
    if size > limit:
        raise ProtocolError(f"{size} bytes are declared, at most {limit} are allowed")
    said = _size_of(frame)
    if said != size:
        raise ProtocolError(f"the zstd frame says {said} bytes, its entries {size}")


def _size_of(frame: bytes) -> int:
    """Return how many bytes a zstd frame says it holds; one that does not say holds 2**64 - 1."""
    try:
        return zstandard.get_frame_parameters(frame).content_size
    except zstandard.ZstdError as error:
        raise ProtocolError(f"not a zstd frame: {error}") from error


def _inflate_plain(frame: bytes, size: int) -> bytes:
    try:
        decompressor = _decompressors.pop()
    except IndexError:
        decompressor = zstandard.ZstdDecompressor(max_window_size=1 << _WINDOW_LOG_MAX)
    raw = _inflate(decompressor, frame, size)
    _decompressors.append(decompressor)
    return raw


def _inflate(decompressor: zstandard.ZstdDecompressor, frame: bytes, size: int) -> bytes:
    """Return the `size` bytes of `frame`, which says so (`_check_frame`).

    zstd refuses a frame that holds another number of bytes than it says. Raises ProtocolError.
    """
    try:
        return decompressor.decompress(frame, max_output_size=size, allow_extra_data=False)
    except (zstandard.ZstdError, MemoryError) as error:
        raise ProtocolError(f"the zstd frame is damaged: {error}") from error
