"""Hands on a disk that refuses: the agent stays up, and says so."""

import pytest

from syncagent.agent import effects as fx
from syncagent.agent import results as rs
from syncagent.core.errors import DiskError
from syncagent.core.wire.messages import Missing, Want
from tests.fakes.agent_bench import PEER, Bench, sequence
from tests.fakes.disk import FakeDisk
from tests.fakes.history import FakeHistory

FILES = {"sequences/a.xml": sequence("a")}


def _refuses(*_given: object, **_named: object) -> None:
    raise DiskError("no space left", errno_name="ENOSPC")


class FullDisk(FakeDisk):
    """Refuses to tidy what was staged."""

    discard = _refuses


class FullHistory(FakeHistory):
    """Has room for the ledger only."""

    event = _refuses  # type: ignore[assignment]
    record = _refuses  # type: ignore[assignment]


class Unreadable(FakeHistory):
    """Has bytes that can't be had now: too many open files, say."""

    blob = _refuses  # type: ignore[assignment]
    batches = _refuses  # type: ignore[assignment]


def _become(bench: Bench, kind: type, name: str) -> None:
    part = getattr(bench, name)
    part.__class__ = kind


def test_what_was_staged_and_can_not_be_removed_is_an_alarm() -> None:
    bench = Bench().start()
    _become(bench, FullDisk, "disk")
    result = bench.do(fx.Discard(1))
    assert isinstance(result, rs.Trouble)
    bench.handle(result)
    assert "no space left" in str(bench.state.alarms)


def test_a_revision_is_declared_though_it_can_not_be_remembered_for_people(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench(FILES).start()
    _become(bench, FullHistory, "history")
    bench.pass_(10)
    assert bench.state.standing.revision.number == 1
    assert "no space left" in caplog.text


def test_a_peer_is_told_that_the_bytes_can_not_be_had_now() -> None:
    bench = Bench(FILES).lead()
    bench.pass_(3)
    link = bench.follow(PEER)
    _become(bench, Unreadable, "history")
    revision, manifest = bench.state.standing.revision, bench.state.standing.manifest
    wanted = tuple(entry.digest for _, entry in manifest)
    bench.hear(link, Want(revision, manifest=False, blobs=wanted))
    assert bench.said(Missing, link)
