"""Blob packs: torn tails, damage, passing batches on, forgetting."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from syncagent.core.digest import digest_of
from syncagent.core.manifest import Entry
from syncagent.core.wire.packing import batches as pack_batches
from syncagent.core.wire.packing import compress_batch, split_batch
from syncagent.fsio import OsFS
from syncagent.history.blobs import PACK_BYTES, RECENT_BYTES_MAX, BlobStore
from syncagent.history.packfile import pack_name, pack_number, packed

if TYPE_CHECKING:
    from pathlib import Path

Item = tuple[Entry, bytes]
SMALL_PACK = 64 * 1024


def item(number: int, size: int = 40) -> Item:
    content = random.Random(number).randbytes(size)  # nothing to compress: sizes are as they seem
    return Entry(digest_of(content), len(content)), content


def items(first: int, last: int, size: int = 40) -> list[Item]:
    return [item(number, size) for number in range(first, last)]


def open_store(path: Path, *, pack_bytes: int = PACK_BYTES) -> BlobStore:
    store = BlobStore(OsFS(), str(path / "blobs"), pack_bytes=pack_bytes)
    store.load()
    return store


def held(store: BlobStore, wanted: list[Item]) -> list[bool]:
    return [store.get(entry.digest) == content for entry, content in wanted]


@pytest.mark.parametrize("number", [1, 42, 999_999, 1_000_000])
def test_a_packs_name_and_number_are_one(number: int) -> None:
    assert pack_number(pack_name(number)) == number


@pytest.mark.parametrize("name", ["lost+found", "x.pack", ".pack", "000001.pack.tmp", "٣.pack"])
def test_other_names_are_not_packs(name: str) -> None:
    assert pack_number(name) == 0


def test_a_batch_lies_in_the_file_as_it_came(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    entries, frame = compress_batch(items(0, 10))
    store.add(entries, frame)
    assert (tmp_path / "blobs" / "000001.pack").read_bytes().endswith(frame)
    [(got, sent)] = store.batches([entry.digest for entry in entries])
    assert (got, sent) == (entries, frame)


def test_what_is_there_is_not_added_again(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    batch = compress_batch(items(0, 10))
    store.add(*batch)
    size = (tmp_path / "blobs" / "000001.pack").stat().st_size
    store.add(*batch)
    store.add_contents(items(3, 7))
    store.add((), b"")
    assert (tmp_path / "blobs" / "000001.pack").stat().st_size == size


def test_a_torn_tail_is_cut_off_at_every_byte(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    first, second = items(0, 3), items(3, 6)
    store.add(*compress_batch(first))
    store.sync()
    file = tmp_path / "blobs" / "000001.pack"
    whole = file.stat().st_size
    store.add(*compress_batch(second))
    store.close()
    content = file.read_bytes()
    for size in range(whole, len(content)):
        for filling in (b"", b"\0" * (len(content) - size)):
            if content[size:] == filling:
                continue
            file.write_bytes(content[:size] + filling)
            again = open_store(tmp_path)
            assert held(again, first) == [True] * 3
            assert not any(again.has(entry.digest) for entry, _ in second)
            assert file.stat().st_size == whole
            again.add(*compress_batch(second))
            assert held(again, second) == [True] * 3
            again.close()
            assert held(open_store(tmp_path), first + second) == [True] * 6


def test_damaged_bytes_are_not_believed_and_can_be_fetched_again(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.add(*compress_batch(items(0, 3)))
    store.add(*compress_batch(items(3, 6)))
    file = tmp_path / "blobs" / "000001.pack"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(bytes(content))
    assert store.get(item(4)[0].digest) is None
    assert not store.has(item(5)[0].digest), "a batch is believed whole or not at all"
    assert list(store.batches([item(3)[0].digest])) == []
    assert held(store, items(0, 3)) == [True] * 3
    store.add(*compress_batch(items(3, 6)))
    assert held(store, items(3, 6)) == [True] * 3


def test_a_batch_that_does_not_hold_what_it_says_is_not_passed_on(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    honest = items(0, 4)
    (liar, _), (_, other) = item(7), item(8)
    _, frame = compress_batch([(Entry(digest_of(other), len(other)), other)])
    store.add([liar], frame)
    store.add_contents(honest)
    wanted = [liar.digest, *(entry.digest for entry, _ in honest)]
    sent = [entry for entries, _ in store.batches(wanted) for entry in entries]
    assert sent == [entry for entry, _ in honest]
    assert not store.has(liar.digest)


def test_batches_beyond_what_memory_keeps_are_still_read(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    large = [item(number, size=3 * 1024 * 1024) for number in range(4)]
    store.add_contents(large)
    for _ in range(2):
        assert held(store, large) == [True] * 4
    assert store._recent_bytes <= RECENT_BYTES_MAX


def test_a_pack_in_another_format_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "000007.pack").write_bytes(b"something else, 64 bytes of it" * 3)
    (tmp_path / "blobs" / "000009.pack").write_bytes(b"")
    store = open_store(tmp_path)
    store.add_contents(items(0, 3))
    assert (tmp_path / "blobs" / "000007.pack").read_bytes().startswith(b"something")
    assert held(open_store(tmp_path), items(0, 3)) == [True] * 3


def test_a_pack_that_vanished_is_not_believed(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.add(*compress_batch(items(0, 3)))
    (tmp_path / "blobs" / "000001.pack").unlink()
    assert store.get(item(1)[0].digest) is None
    assert not store.has(item(1)[0].digest)


def test_a_batch_of_which_little_is_wanted_is_packed_anew(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.add(*compress_batch(items(0, 10)))
    [(entries, frame)] = store.batches([item(4)[0].digest])
    assert entries == (item(4)[0],)
    assert split_batch(entries, frame) == [item(4)[1]]


def test_ten_thousand_blobs_are_all_found_after_a_restart(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    many = items(0, 10_000, size=300)
    for batch in pack_batches(many):
        store.add(*batch)
    store.sync()
    store.close()
    again = open_store(tmp_path)
    assert all(again.has(entry.digest) for entry, _ in many)
    assert held(again, many[::97]) == [True] * len(many[::97])


def test_a_full_pack_is_closed_and_what_is_not_needed_of_it_goes(tmp_path: Path) -> None:
    store = open_store(tmp_path, pack_bytes=SMALL_PACK)
    first, second = items(0, 40, size=3_000), items(40, 50)
    for batch in first:
        store.add(*compress_batch([batch]))
    assert store.tidy({entry.digest for entry, _ in first}) == 0
    store.add_contents(second)
    kept = first[5:9]
    freed = store.tidy({entry.digest for entry, _ in [*kept, *second]})
    assert freed > 0
    assert [path.name for path in sorted((tmp_path / "blobs").iterdir())] == ["000002.pack"]
    for each in (store, open_store(tmp_path)):
        assert held(each, kept + second) == [True] * 14
        assert not each.has(first[20][0].digest)


def test_a_pack_that_is_mostly_needed_stays(tmp_path: Path) -> None:
    store = open_store(tmp_path, pack_bytes=SMALL_PACK)
    first = items(0, 40, size=3_000)
    for batch in first:
        store.add(*compress_batch([batch]))
    store.tidy(set())
    assert store.tidy({entry.digest for entry, _ in first[:30]}) == 0
    assert held(store, first) == [True] * 40


def test_the_open_pack_is_never_tidied(tmp_path: Path) -> None:
    """What is being prepared is in it, and no revision names that yet."""
    store = open_store(tmp_path)
    store.add_contents(items(0, 10))
    assert store.tidy(set()) == 0
    assert held(store, items(0, 10)) == [True] * 10


def test_a_header_says_what_is_in_a_frame() -> None:
    entries, frame = compress_batch(items(0, 3))
    header, content = packed(entries, frame)
    assert content.endswith(header + frame)
