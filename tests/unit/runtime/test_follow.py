"""The log follower: every line once and in order, whatever becomes of the file's name."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.fsio import OsFS
from syncagent.runtime.follow import Follower
from tests.fakes.logs import (
    Dated,
    DatedPacked,
    Log,
    Numbered,
    NumberedDelayed,
    NumberedPacked,
    Truncated,
    TruncatedPacked,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from syncagent.runtime.place import Place

SCHEMES = (
    *(Numbered, Dated, Truncated),
    *(NumberedPacked, NumberedDelayed, DatedPacked, TruncatedPacked),
)


def drain(follower: Follower) -> list[bytes]:
    lines: list[bytes] = []
    while (chunk := follower.read()) is not None:
        lines += chunk.data.splitlines()
    return lines


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Numbered(tmp_path / "synapse.log", keep=10)


def follower_of(log: Log, place: Place | None = None, block_bytes: int = 4096) -> Follower:
    return Follower(OsFS(), str(log.path), place, block_bytes=block_bytes)


def test_a_log_that_is_not_there_yet_is_read_from_its_start_when_it_comes(log: Log) -> None:
    follower = follower_of(log)
    assert follower.read() is None
    assert follower.place is None
    log.write(3)
    assert drain(follower) == log.lines
    follower.close()


def test_a_line_without_its_end_is_kept_back(log: Log) -> None:
    follower = follower_of(log)
    log.write_raw(b"first\nsec")
    assert drain(follower) == [b"first"]
    log.write_raw(b"ond\n")
    assert drain(follower) == [b"second"]
    follower.close()


def test_a_last_line_without_its_end_comes_when_the_file_is_finished(log: Log) -> None:
    follower = follower_of(log)
    log.write_raw(b"first\ncut off")
    assert drain(follower) == [b"first"]
    log.rotate()
    log.write_raw(b"next\n")
    assert drain(follower) == [b"cut off", b"next"]
    follower.close()


def test_an_endless_line_comes_in_pieces_of_a_block(log: Log) -> None:
    follower = follower_of(log, block_bytes=1024)
    log.write_raw(b"x" * 5000 + b"\nafter\n")
    pieces = drain(follower)
    assert b"".join(pieces) == b"x" * 5000 + b"after"
    assert max(map(len, pieces)) <= 1024
    follower.close()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_written_before_and_after_a_rotation_is_read(
    tmp_path: Path, scheme: Callable[[Path], Log]
) -> None:
    log = scheme(tmp_path / "synapse.log")
    follower = follower_of(log)
    log.write(5)
    read = drain(follower)
    log.write(5)
    log.rotate()
    log.write(5)
    assert read + drain(follower) == log.lines
    assert follower.gaps == 0
    follower.close()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_several_rotations_between_two_looks_lose_nothing(
    tmp_path: Path, scheme: Callable[[Path], Log]
) -> None:
    log = scheme(tmp_path / "synapse.log")
    follower = follower_of(log)
    log.write(5)
    read = drain(follower)
    for _ in range(4):
        log.write(3)
        log.rotate()
    log.write(2)
    assert read + drain(follower) == log.lines
    follower.close()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_new_follower_goes_on_at_the_place_after_rotations(
    tmp_path: Path, scheme: Callable[[Path], Log]
) -> None:
    log = scheme(tmp_path / "synapse.log")
    first = follower_of(log)
    log.write(7)
    read = drain(first)
    first.close()
    log.write(2)
    for _ in range(3):
        log.rotate()
        log.write(4)
    second = follower_of(log, first.place)
    assert read + drain(second) == log.lines
    assert second.gaps == 0
    second.close()


@pytest.mark.parametrize("scheme", [Numbered, Dated, Truncated, NumberedDelayed, DatedPacked])
def test_nothing_is_missed_or_doubled_over_a_thousand_rotations(
    tmp_path: Path, scheme: Callable[[Path], Log]
) -> None:
    log = scheme(tmp_path / "synapse.log")
    chance = random.Random(4)
    follower = follower_of(log)
    read: list[bytes] = []
    for number in range(1_000):
        log.write(chance.randrange(1, 6))
        if chance.random() < 0.5:
            read += drain(follower)
        log.write(chance.randrange(3))
        log.rotate()
        if chance.random() < 0.5:
            log.write(chance.randrange(3))
        # At most seven rotations pass unseen: the log keeps ten.
        if chance.random() < 0.4 or number % 7 == 0:
            read += drain(follower)
        if chance.random() < 0.1:
            read += drain(follower)
            follower.close()
            follower = follower_of(log, follower.place)
    log.write(1)
    read += drain(follower)
    assert read == log.lines
    assert follower.gaps == 0
    follower.close()


def test_a_log_that_was_emptied_and_refilled_past_the_place_is_read_from_its_start(
    log: Log,
) -> None:
    follower = follower_of(log)
    log.write(3)
    drain(follower)
    log.path.write_bytes(b"another content, longer than before\n" * 20)
    assert drain(follower) == [b"another content, longer than before"] * 20
    follower.close()


def test_another_file_with_the_same_inode_is_not_taken_for_the_log(log: Log) -> None:
    log.write(3)
    first = follower_of(log)
    drain(first)
    first.close()
    place = first.place
    assert place is not None
    log.path.write_bytes(b"a new file, as an inode that is used again makes it\n" * 9)
    assert log.path.stat().st_ino == place.inode
    second = follower_of(log, place)
    assert len(drain(second)) == 9
    assert second.gaps == 1
    second.close()


def test_a_deleted_log_leaves_a_gap_and_reading_goes_on(log: Log) -> None:
    log.write(3)
    first = follower_of(log)
    drain(first)
    first.close()
    log.write(2)
    log.path.unlink()
    log.write_raw(b"new\n")
    second = follower_of(log, first.place)
    assert drain(second) == [b"new"]
    assert second.gaps == 1
    second.close()


def test_what_a_writer_adds_to_a_renamed_log_is_read_as_long_as_the_new_one_is_empty(
    log: Log,
) -> None:
    follower = follower_of(log)
    log.write(3)
    read = drain(follower)
    log.path.rename(log.path.with_name("synapse.log.1"))
    log.path.touch()
    with log.path.with_name("synapse.log.1").open("ab") as old:
        old.write(b"late\n")
    assert read + drain(follower) == [*log.lines, b"late"]
    log.write_raw(b"new\n")
    assert drain(follower) == [b"new"]
    follower.close()


def test_what_was_rotated_away_is_read_before_a_new_log_is_there(log: Log) -> None:
    follower = follower_of(log)
    log.write(2)
    read = drain(follower)
    log.write(2)
    log.rotate()
    log.write(2)
    log.rotate()
    assert not log.path.exists()
    assert read + drain(follower) == log.lines
    assert drain(follower) == []
    log.write(1)
    assert drain(follower) == log.lines[-1:]
    assert follower.gaps == 0
    follower.close()


def test_a_deleted_log_without_a_new_one_is_waited_for(log: Log) -> None:
    log.write(3)
    first = follower_of(log)
    drain(first)
    first.close()
    log.path.unlink()
    log.path.with_name("synapse.log.4").write_bytes(b"older\n")
    os.utime(log.path.with_name("synapse.log.4"), (1, 1))
    second = follower_of(log, first.place)
    assert drain(second) == []
    log.write_raw(b"new\n")
    assert drain(second) == [b"new"]
    assert second.gaps == 1
    second.close()


def test_other_logs_of_the_folder_and_those_compressed_otherwise_are_left_alone(
    tmp_path: Path,
) -> None:
    log = Dated(tmp_path / "wso2carbon.log")
    follower = follower_of(log)
    log.write(1)
    read = drain(follower)
    for name in ("wso2carbon-trace-messages.log", "wso2-errors.log", "wso2carbon.log.1.xz"):
        (tmp_path / name).write_bytes(b"not ours\n")
    log.rotate()
    log.write(1)
    assert read + drain(follower) == log.lines
    assert follower.gaps == 0
    follower.close()


def test_a_folder_or_a_fifo_in_the_logs_place_is_as_good_as_no_log(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.log")
    (tmp_path / "folder.log").mkdir()
    for name in ("pipe.log", "folder.log"):
        assert Follower(OsFS(), str(tmp_path / name)).read() is None


@given(st.lists(st.sampled_from(["write", "raw", "rotate", "read", "again"]), max_size=40))
@settings(deadline=None, max_examples=60)
def test_any_story_of_writes_rotations_and_looks_is_read_once(
    tmp_path_factory: pytest.TempPathFactory, story: list[str]
) -> None:
    log = Numbered(tmp_path_factory.mktemp("story") / "x.log", keep=50)
    follower = follower_of(log, block_bytes=512)
    read: list[bytes] = []
    for what in [*story, "write"]:
        if what == "write":
            log.write(2)
        elif what == "raw":
            log.write_raw(b"\xff\xfe undecodable \x00\n")
            log.lines.append(b"\xff\xfe undecodable \x00")
        elif what == "rotate":
            log.rotate()
        elif what == "read":
            read += drain(follower)
        elif follower.place is not None:
            follower.close()
            follower = follower_of(log, follower.place, block_bytes=512)
    assert read + drain(follower) == log.lines
    follower.close()
