"""Batches and deltas come back as they went in, and nothing that came in can inflate memory."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.digest import digest_of
from syncagent.core.errors import ProtocolError
from syncagent.core.manifest import Entry
from syncagent.core.wire import packing

API = b'<api xmlns="http://ws.apache.org/ns/synapse" name="Pizza" context="/pizza"></api>\n'
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def entry_of(content: bytes) -> Entry:
    return Entry(digest_of(content), len(content))


def items_of(contents: list[bytes]) -> list[tuple[Entry, bytes]]:
    return [(entry_of(content), content) for content in contents]


@settings(deadline=None, max_examples=60)
@given(VALUES)
def test_a_value_comes_back_as_it_was_packed(value: object) -> None:
    assert packing.unpack(packing.pack(value), limit=1_000_000) == value


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200))
def test_random_bytes_unpack_or_break_the_protocol(noise: bytes) -> None:
    with suppress(ProtocolError):
        packing.pack(packing.unpack(noise, limit=100))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"\x90\x90", "can't be unpacked", id="two values"),
        pytest.param(b"", "can't be unpacked", id="nothing"),
        pytest.param(b"\x92\x01", "can't be unpacked", id="cut short"),
        pytest.param(b"\xdd\xff\xff\xff\xff", "can't be unpacked", id="a list of 4 billion"),
        pytest.param(b"\xdf\xff\xff\xff\xff", "can't be unpacked", id="a map of 4 billion"),
        pytest.param(b"\xa1\xff", "can't be unpacked", id="text that is not UTF-8"),
        pytest.param(b"\x91" * 5000 + b"\x00", "can't be unpacked", id="5000 lists deep"),
        pytest.param(b"\xd6\xff\x00\x00\x00\x00", "can't be unpacked", id="a timestamp"),
        pytest.param(b"\xc7\x00\x05", "extension type 5", id="an empty extension"),
        pytest.param(b"\x81\x01\x01", "can't be unpacked", id="a map with a number as key"),
        pytest.param(b"\xc4\xff" + bytes(255), "at most 200", id="more than the limit"),
    ],
)
def test_what_does_not_unpack_is_refused_with_a_reason(data: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        packing.unpack(data, limit=200 if len(data) < 300 else 100_000)


def test_nested_lists_that_declare_many_elements_take_little_memory() -> None:
    bomb = b"\xdd\x00\x00\x04\x00" * 500 + bytes(1024)
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            packing.unpack(bomb, limit=100_000, length_max=1024)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("value", [2**64, "\ud800", {1, 2}, object()])
def test_what_msgpack_does_not_know_is_not_packed(value: object) -> None:
    with pytest.raises(ProtocolError, match="can't be packed"):
        packing.pack(value)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_batch_splits_into_what_it_was_made_of(contents: list[bytes]) -> None:
    entries, frame = packing.compress_batch(items_of(contents))
    assert [entry.size for entry in entries] == [len(content) for content in contents]
    assert packing.split_batch(entries, frame) == contents


def test_batches_hold_all_items_in_order_and_about_a_mebibyte_each() -> None:
    contents = [bytes([n]) * size for n, size in enumerate([600_000, 600_000, 3_000_000, 1, 0, 9])]
    made = list(packing.batches(items_of(contents)))
    assert [len(entries) for entries, _ in made] == [1, 1, 1, 3]
    assert [c for entries, frame in made for c in packing.split_batch(entries, frame)] == contents


def test_no_items_make_no_batch() -> None:
    assert list(packing.batches([])) == []


def test_files_that_look_alike_shrink_ten_times_together() -> None:
    contents = [API.replace(b"Pizza", f"Pizza{n}".encode()) for n in range(1000)]
    _, frame = packing.compress_batch(items_of(contents))
    assert len(frame) * 10 < sum(map(len, contents))


def test_a_bomb_is_refused_before_it_inflates() -> None:
    frame = zstandard.ZstdCompressor().compress(bytes(300_000_000))
    tracemalloc.start()
    try:
        for entries in ([Entry(digest_of(b""), 10)], [Entry(digest_of(b""), 300_000_000)]):
            with pytest.raises(ProtocolError, match=r"says 300000000|at most"):
                packing.split_batch(entries, frame)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_frame_that_hides_its_size_is_refused() -> None:
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(b"ten bytes!")
    with pytest.raises(ProtocolError, match="its entries 10"):
        packing.split_batch([entry_of(b"ten bytes!")], frame)


@pytest.mark.parametrize("said", [9, 11])
def test_a_frame_that_lies_about_its_size_is_refused(said: int) -> None:
    honest = b"ten bytes!"
    frame = bytearray(zstandard.ZstdCompressor().compress(honest))
    where = frame.index(len(honest), 5)
    frame[where] = said
    assert zstandard.get_frame_parameters(bytes(frame)).content_size == said
    with pytest.raises(ProtocolError, match="damaged"):
        packing.apply_delta(b"", bytes(frame), said)


def test_bytes_with_another_digest_are_refused() -> None:
    _, frame = packing.compress_batch(items_of([b"one", b"two"]))
    with pytest.raises(ProtocolError, match="are others"):
        packing.split_batch([entry_of(b"one"), entry_of(b"tow")], frame)


def test_extra_bytes_behind_the_frame_are_refused() -> None:
    entries, frame = packing.compress_batch(items_of([b"one"]))
    with pytest.raises(ProtocolError, match="damaged"):
        packing.split_batch(entries, frame + b"x")


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_damaged_batch_is_refused_and_never_other_bytes(data: st.DataObject) -> None:
    contents = [API * 3, b"two", API.replace(b"Pizza", b"Pasta")]
    entries, frame = packing.compress_batch(items_of(contents))
    position = data.draw(st.integers(0, len(frame) - 1))
    cut = data.draw(st.booleans())
    flip = data.draw(st.integers(1, 255))
    damaged = bytearray(frame[:position] if cut else frame)
    if not cut:
        damaged[position] ^= flip
    with suppress(ProtocolError):
        assert packing.split_batch(entries, bytes(damaged)) == contents


@settings(deadline=None, max_examples=60)
@given(base=st.binary(max_size=500), content=st.binary(max_size=500))
def test_a_delta_makes_the_content_of_its_base(base: bytes, content: bytes) -> None:
    frame = packing.make_delta(base, content)
    assert packing.apply_delta(base, frame, len(content)) == content


def test_a_delta_of_a_large_file_carries_only_what_changed() -> None:
    noise = b"".join(digest_of(str(n).encode()).encode() for n in range(130_000))
    changed = noise[:3_000_000] + b"<!-- edited -->" + noise[3_000_000:]
    frame = packing.make_delta(noise, changed)
    assert len(frame) < 5_000
    assert packing.apply_delta(noise, frame, len(changed)) == changed


@pytest.mark.parametrize(
    ("size", "limit", "words"),
    [(4, 100, "says 3 bytes"), (3, 2, "at most 2"), (2, 100, "says 3 bytes")],
)
def test_a_delta_of_another_size_is_refused(size: int, limit: int, words: str) -> None:
    frame = packing.make_delta(b"base", b"abc")
    with pytest.raises(ProtocolError, match=words):
        packing.apply_delta(b"base", frame, size, limit=limit)


def test_a_delta_that_is_no_zstd_is_refused() -> None:
    with pytest.raises(ProtocolError, match="not a zstd frame"):
        packing.apply_delta(b"base", b"HTTP/1.1 400 Bad Request", 3)


def test_many_threads_pack_and_split_at_once() -> None:
    def there_and_back(n: int) -> bool:
        contents = [API.replace(b"Pizza", f"P{n}-{i}".encode()) for i in range(200)]
        entries, frame = packing.compress_batch(items_of(contents))
        return packing.split_batch(entries, frame) == contents

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(there_and_back, range(64)))
