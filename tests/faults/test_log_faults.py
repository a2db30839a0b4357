"""A log on a disk that fails: at every call, nothing is missed afterwards and nothing comes twice."""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from syncagent.fsio import OsFS
from syncagent.runtime.begin import last_start
from syncagent.runtime.follow import Follower
from tests.fakes.faultyfs import FaultyFS
from tests.fakes.logs import Dated, DatedPacked, Log, Numbered, NumberedPacked, Truncated

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from syncagent.runtime.place import Place

CODES = (errno.EIO, errno.ESTALE, errno.EACCES)
SCHEMES = (Numbered, Dated, Truncated, NumberedPacked, DatedPacked)
CASES = (
    *((scheme, code) for scheme in (Numbered, Dated, Truncated) for code in CODES),
    *((scheme, errno.EIO) for scheme in (NumberedPacked, DatedPacked)),
)
CALLS_MAX = 400


def story(log: Log, follower: Follower, fs: FaultyFS) -> list[bytes]:
    """Write, rotate and read; every look that fails is made again, as the listener does."""
    read: list[bytes] = []
    for _ in range(2):
        log.write(3)
        read += looks(follower)
        log.write(2)
        log.rotate()
        log.write(1)
        log.rotate()
        log.write(2)
        read += looks(follower)
    follower.close()
    return read


def looks(follower: Follower) -> list[bytes]:
    lines: list[bytes] = []
    for _ in range(100):
        try:
            chunk = follower.read()
        except OSError:
            continue
        if chunk is None:
            return lines
        lines += chunk.data.splitlines()
    raise AssertionError("reading does not come to an end")


def run(
    scheme: Callable[[Path], Log], folder: Path, k: int, code: int
) -> tuple[Log, list[bytes], FaultyFS]:
    folder.mkdir()
    log = scheme(folder / "synapse.log")
    fs = FaultyFS(OsFS(), k=k, code=code)
    return log, story(log, Follower(fs, str(log.path), block_bytes=512), fs), fs


@pytest.mark.parametrize(("scheme", "code"), CASES)
def test_a_failure_at_any_call_loses_and_doubles_nothing(
    tmp_path: Path, scheme: Callable[[Path], Log], code: int
) -> None:
    _, _, counted = run(scheme, tmp_path / "count", 0, code)
    assert 30 < counted.calls < CALLS_MAX
    for k in range(1, counted.calls + 1):
        log, read, fs = run(scheme, tmp_path / f"{k}", k, code)
        assert fs.failed, f"call {k} was never made"
        assert read == log.lines, f"call {k} ({fs.failed}) failed"
        assert not fs.opened, f"call {k} ({fs.failed}) left a file open"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_failure_at_any_call_of_a_new_follower_keeps_the_place(
    tmp_path: Path, scheme: Callable[[Path], Log]
) -> None:
    for k in range(1, 40):
        folder = tmp_path / f"{k}"
        folder.mkdir()
        log = scheme(folder / "synapse.log")
        log.write(5)
        first = Follower(OsFS(), str(log.path))
        read = looks(first)
        first.close()
        log.write(2)
        log.rotate()
        log.write(3)
        fs = FaultyFS(OsFS(), k=k, code=errno.EIO)
        second = Follower(fs, str(log.path), first.place)
        assert read + looks(second) == log.lines, f"call {k} ({fs.failed}) failed"
        second.close()
        assert not fs.opened


def test_a_disk_that_stays_broken_is_an_error_each_time_and_leaks_nothing(tmp_path: Path) -> None:
    log = Numbered(tmp_path / "synapse.log")
    log.write(3)
    for k in range(1, 12):
        fs = FaultyFS(OsFS(), k=k, code=errno.EIO)
        follower = Follower(fs, str(log.path))
        before = follower.place
        try:
            chunk = follower.read()
        except OSError:
            assert follower.place is None or follower.place.offset == 0
            assert before is None
            assert not fs.opened
        else:
            assert chunk is not None
            follower.close()
            assert not fs.opened


def test_the_search_for_the_last_start_leaks_nothing_when_a_call_fails(tmp_path: Path) -> None:
    log = Numbered(tmp_path / "synapse.log")
    log.write(3)
    log.write_raw(b"2026-11-21 10:00:00,000 [-] [main]  INFO S Starting Apache Synapse...\n")
    log.rotate()
    log.write(3)
    words = (b"Starting Apache Synapse",)
    found = last_start(OsFS(), str(log.path), words, since=0.0)
    for k in range(1, 40):
        fs = FaultyFS(OsFS(), k=k, code=errno.EIO)
        place: Place | None = found
        with suppress(OSError):
            place = last_start(fs, str(log.path), words, since=0.0)
        assert place == found
        assert not fs.opened, f"call {k} ({fs.failed})"
