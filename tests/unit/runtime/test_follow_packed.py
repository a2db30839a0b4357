"""Logs that rotation packs with gzip: read through, in order; what is damaged is a gap, and no error."""

from __future__ import annotations

import errno
import gzip
import os
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from syncagent.fsio import OsFS
from syncagent.runtime.begin import last_start
from syncagent.runtime.family import Family
from syncagent.runtime.finder import Finder
from syncagent.runtime.follow import Follower
from syncagent.runtime.opened import STEP_BYTES, opened
from tests.fakes.faultyfs import FaultyFS
from tests.fakes.logs import DatedPacked, Log, Numbered, NumberedPacked, pack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from syncagent.runtime.place import Place


def drain(follower: Follower) -> list[bytes]:
    lines: list[bytes] = []
    while (chunk := follower.read()) is not None:
        lines += chunk.data.splitlines()
    return lines


def follower_of(log: Log, place: Place | None = None, fs: OsFS | None = None) -> Follower:
    return Follower(fs or OsFS(), str(log.path), place, block_bytes=4096)


def stopped_after(log: Log, count: int) -> Place:
    """Write lines, and return the place behind them."""
    log.write(count)
    first = follower_of(log)
    drain(first)
    first.close()
    assert first.place is not None
    return first.place


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return NumberedPacked(tmp_path / "synapse.log")


def the_packed(log: Log, number: int = 1) -> Path:
    return log.path.with_name(f"synapse.log.{number}.gz")


def test_a_place_in_the_middle_of_a_large_packed_log_is_found_again(log: Log) -> None:
    place = stopped_after(log, 3_000)
    log.write(3_000)
    assert log.path.stat().st_size > 3 * STEP_BYTES
    log.rotate()
    log.write(5)
    log.rotate()
    log.write(5)
    second = follower_of(log, place)
    assert drain(second) == log.lines[3_000:]
    assert second.gaps == 0
    second.close()


def test_a_reader_that_stopped_within_a_packed_log_goes_on_there(log: Log) -> None:
    place = stopped_after(log, 1)
    log.write(1_000)
    log.rotate()
    second = follower_of(log, place)
    chunk = second.read()
    assert chunk is not None
    read = chunk.data.splitlines()
    assert not chunk.at_end
    assert second.tail(100) == (b"", 0)
    second.close()
    log.rotate()
    log.write(1)
    third = follower_of(log, second.place)
    assert log.lines[:1] + read + drain(third) == log.lines
    assert third.gaps == 0
    third.close()


def test_an_open_log_that_is_packed_and_deleted_meanwhile_is_not_read_twice(log: Log) -> None:
    follower = follower_of(log)
    log.write(5)
    read = drain(follower)
    log.write(2)
    log.rotate()
    assert not log.path.exists()
    read += drain(follower)
    log.path.touch()
    read += drain(follower)
    assert read == log.lines
    log.write(2)
    assert read + drain(follower) == log.lines
    assert follower.gaps == 0
    follower.close()


def test_a_packed_log_is_not_unpacked_at_every_look(log: Log) -> None:
    fs = FaultyFS(OsFS(), code=errno.EIO)
    follower = follower_of(log, fs=fs)
    log.write(3_000)
    drain(follower)
    log.rotate()
    log.path.touch()
    drain(follower)
    fs.fail_on = "open"
    assert drain(follower) == []
    assert not fs.failed, "it was opened again"
    follower.close()


def test_a_log_of_several_packed_parts_is_one(log: Log) -> None:
    place = stopped_after(log, 2)
    log.write(2)
    whole = log.path.read_bytes()
    log.path.unlink()
    the_packed(log).write_bytes(gzip.compress(whole[:70]) + gzip.compress(whole[70:]))
    log.write(1)
    second = follower_of(log, place)
    assert drain(second) == log.lines[2:]
    assert second.gaps == 0
    second.close()


def test_a_file_that_is_still_being_packed_is_read_as_it_is(tmp_path: Path) -> None:
    log = Numbered(tmp_path / "synapse.log")
    place = stopped_after(log, 3)
    log.write(2)
    log.rotate()
    plain = tmp_path / "synapse.log.1"
    the_packed(log).write_bytes(gzip.compress(plain.read_bytes())[:20])
    log.write(1)
    second = follower_of(log, place)
    assert drain(second) == log.lines[3:]
    assert second.gaps == 0
    second.close()


def cut_off(packed: bytes) -> bytes:
    return packed[: len(packed) * 2 // 3]


def turned(packed: bytes) -> bytes:
    middle = len(packed) // 2
    return packed[:middle] + bytes(255 - byte for byte in packed[middle:])


def emptied(packed: bytes) -> bytes:
    return packed[:0]


def headless(packed: bytes) -> bytes:
    return b"no gzip " + packed


@pytest.mark.parametrize("damage", [cut_off, turned, emptied, headless])
def test_a_damaged_packed_log_is_a_gap_and_what_is_behind_it_is_read(
    log: Log, damage: Callable[[bytes], bytes]
) -> None:
    place = stopped_after(log, 3)
    log.write(2_000)
    log.rotate()
    damaged = the_packed(log)
    damaged.write_bytes(damage(damaged.read_bytes()))
    log.write(2)
    log.rotate()
    log.write(2)
    second = follower_of(log, place)
    read = drain(second)
    assert read[-4:] == log.lines[-4:]
    assert second.gaps == 1
    assert drain(second) == []
    assert second.gaps == 1
    second.close()


def test_what_is_before_the_damage_is_read_in_whole_lines(log: Log) -> None:
    place = stopped_after(log, 3)
    log.write(2_000)
    log.rotate()
    the_packed(log).write_bytes(cut_off(the_packed(log).read_bytes()))
    log.write(1)
    second = follower_of(log, place)
    read = drain(second)
    assert 100 < len(read) < 2_000
    assert read[:-1] == log.lines[3 : 2 + len(read)]
    assert read[-1] == log.lines[-1]
    second.close()


def test_a_log_that_is_damaged_before_the_place_is_not_read_from_its_start(log: Log) -> None:
    place = stopped_after(log, 2_000)
    log.rotate()
    the_packed(log).write_bytes(cut_off(the_packed(log).read_bytes()))
    log.write(2)
    second = follower_of(log, place)
    assert drain(second) == log.lines[2_000:]
    assert second.gaps == 1
    second.close()


@pytest.mark.parametrize("content", [b"no gzip", b""])
def test_a_damaged_log_among_those_behind_the_place_is_a_gap(log: Log, content: bytes) -> None:
    follower = follower_of(log)
    log.write(3)
    read = drain(follower)
    log.rotate()
    log.write(3)
    log.rotate()
    the_packed(log).write_bytes(content)
    log.write(3)
    assert read + drain(follower) == log.lines[:3] + log.lines[6:]
    assert follower.gaps == 1
    follower.close()


def test_a_deleted_log_is_a_gap_and_the_packed_ones_since_are_read(log: Log) -> None:
    place = stopped_after(log, 3)
    log.rotate()
    log.write(2)
    log.rotate()
    log.write(2)
    the_packed(log, 2).unlink()
    second = follower_of(log, place)
    assert drain(second) == log.lines[3:]
    assert second.gaps == 1
    second.close()


def test_a_log_that_was_packed_after_the_next_was_written_is_still_the_older(
    tmp_path: Path,
) -> None:
    log = DatedPacked(tmp_path / "wso2carbon.log")
    place = stopped_after(log, 3)
    log.write(2)
    log.rotate()
    (packed,) = tmp_path.glob("*.gz")
    log.write(2)
    later = log.path.rename(tmp_path / "wso2carbon-11-21-2026-2.log")
    written = later.stat().st_mtime_ns
    os.utime(packed, ns=(written, written + 5_000_000_000))
    log.write(2)
    second = follower_of(log, place)
    assert drain(second) == log.lines[3:]
    assert second.gaps == 0
    second.close()


def test_an_older_file_that_is_packed_in_the_same_name_scheme_is_read_once(tmp_path: Path) -> None:
    log = DatedPacked(tmp_path / "wso2carbon.log")
    follower = follower_of(log)
    read: list[bytes] = []
    for _ in range(5):
        log.write(2)
        read += drain(follower)
        log.rotate()
        log.write(1)
        read += drain(follower)
    assert read == log.lines
    assert follower.gaps == 0
    follower.close()


def test_packed_logs_of_a_scheme_that_is_not_used_any_more_are_not_read(tmp_path: Path) -> None:
    log = DatedPacked(tmp_path / "wso2carbon.log")
    left = tmp_path / "wso2carbon.log.1.gz"
    left.write_bytes(gzip.compress(b"of another time\n"))
    os.utime(left, (1_000, 1_000))
    (tmp_path / "wso2carbon.log.gz").write_bytes(gzip.compress(b"by hand\n"))
    assert [each.path for each in Family(OsFS(), str(log.path)).listed()] == [str(left)]
    follower = follower_of(log)
    log.write(2)
    read = drain(follower)
    log.rotate()
    log.write(2)
    assert read + drain(follower) == log.lines
    assert follower.gaps == 0
    follower.close()


def test_a_packed_log_that_was_finished_before_the_place_is_not_opened(log: Log) -> None:
    log.write(3)
    log.rotate()
    os.utime(the_packed(log), (1_000, 1_000))
    (older,) = Family(OsFS(), str(log.path)).listed()
    place = stopped_after(log, 3)
    fs = FaultyFS(OsFS(), code=errno.EIO)
    fs.fail_on = "open"
    assert Finder(fs).packed([older], place) is None
    assert not fs.failed


def test_a_packed_log_whose_time_has_no_fractions_is_found(log: Log) -> None:
    log.write(3)
    os.utime(log.path, ns=(0, 1_700_000_000_900_000_000))
    place = stopped_after(log, 0)
    assert place.written_ns == 1_700_000_000_900_000_000
    log.rotate()
    os.utime(the_packed(log), (1_700_000_000, 1_700_000_000))
    log.write(2)
    second = follower_of(log, place)
    assert drain(second) == log.lines[3:]
    assert second.gaps == 0
    second.close()


def test_no_lines_of_a_packed_log_are_its_last(log: Log) -> None:
    place = stopped_after(log, 1)
    log.write(100)
    log.rotate()
    follower = follower_of(log, place)
    chunk = follower.read()
    assert chunk is not None
    while chunk is not None:
        assert not chunk.at_end
        chunk = follower.read()
    follower.close()


def test_a_place_with_too_few_bytes_before_it_is_a_gap_and_nothing_is_missed(log: Log) -> None:
    log.write_raw(b"short\n")
    place = stopped_after(log, 0)
    log.write(2)
    log.rotate()
    log.write(1)
    second = follower_of(log, place)
    assert drain(second) == [b"short", *log.lines]
    assert second.gaps == 1
    second.close()


def test_a_member_whose_name_leads_to_another_file_meanwhile_is_not_opened(log: Log) -> None:
    place = stopped_after(log, 3)
    log.rotate()
    (member,) = Family(OsFS(), str(log.path)).listed()
    another = the_packed(log, 2)
    another.write_bytes(the_packed(log).read_bytes())
    another.replace(the_packed(log))
    fs = FaultyFS(OsFS())
    assert opened(fs, member) is None
    assert not fs.opened
    assert Finder(fs).packed([member], place) is None
    the_packed(log).unlink()
    with pytest.raises(FileNotFoundError):
        Finder(fs).packed([member], place)
    assert not fs.opened


def test_without_a_place_packed_logs_are_left_alone(log: Log) -> None:
    log.write(2)
    log.rotate()
    assert follower_of(log).read() is None
    assert last_start(OsFS(), str(log.path), (b"line",), since=0.0) is None
    log.write(2)
    follower = follower_of(log)
    assert drain(follower) == log.lines[2:]
    follower.close()


def test_a_packed_file_takes_no_more_memory_than_a_step_and_what_is_asked_for(
    tmp_path: Path,
) -> None:
    plain = tmp_path / "synapse.log.1"
    plain.write_bytes(b"x" * (24 << 20) + b"the end")
    pack(plain)
    (member,) = Family(OsFS(), str(tmp_path / "synapse.log")).listed()
    tracemalloc.start()
    try:
        file = opened(OsFS(), member)
        assert file is not None
        assert file.read_at(24 << 20, 100) == b"the end"
        assert file.read_at(0, 10) == b"x" * 10
        peak = tracemalloc.get_traced_memory()[1]
        file.close()
    finally:
        tracemalloc.stop()
    assert peak < 16 * STEP_BYTES
