"""The hand that reads from a share: what it finds, and that it waits for none that hangs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from syncagent.agent.hands.share import ShareReading
from syncagent.agent.results import ShareRead
from syncagent.agent.share_effects import ReadShare
from syncagent.core.errors import DiskError
from syncagent.core.wire.packing import split_batch
from tests.fakes.agent_bench import at, entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.manifest import Entry

A, B, C = b"<a/>", b"<b/>", b"<c/>"


def wanted(*contents: bytes) -> ReadShare:
    rows = [(at(f"api/{number}.xml"), entry(content)) for number, content in enumerate(contents)]
    return ReadShare(7, tuple(rows))


def contents(result: ShareRead) -> list[bytes]:
    return [c for blobs in result.blobs for c in split_batch(blobs.entries, blobs.frame)]


class Share:
    """A share with some contents, that can be told to hang or fail behind the first `good`."""

    def __init__(self, *has: bytes, good: int = 100, fault: DiskError | None = None) -> None:
        self.has = {entry(content): content for content in has}
        self.good = good
        self.fault = fault
        self.answers = threading.Event()
        self.asked = 0

    def read(
        self, rows: Sequence[tuple[ArtifactPath, Entry]]
    ) -> Iterator[tuple[Entry, bytes] | None]:
        self.asked += 1
        for number, (_, each) in enumerate(rows):
            if number >= self.good:
                if self.fault is not None:
                    raise self.fault
                assert self.answers.wait(60.0), "the test ends it"
            yield (each, self.has[each]) if each in self.has else None


def test_what_the_share_has_comes_and_what_it_has_not_is_left() -> None:
    result = ShareReading(Share(A, C).read).do(wanted(A, B, C))
    assert contents(result) == [A, C]
    assert (result.txid, result.why) == (7, "")


def test_nothing_found_is_an_answer() -> None:
    assert ShareReading(Share().read).do(wanted(A)) == ShareRead(7)


def test_a_share_that_fails_gives_what_came_before_and_says_why() -> None:
    share = Share(A, B, good=1, fault=DiskError("can't look: Input/output error"))
    result = ShareReading(share.read).do(wanted(A, B))
    assert contents(result) == [A]
    assert "Input/output error" in result.why


def test_while_one_look_hangs_there_is_no_other_and_nobody_waits() -> None:
    share = Share(A, B, good=1)
    reading = ShareReading(share.read, silence_s=0.05)
    try:
        result = reading.do(wanted(A, B))
        assert contents(result) == [A]
        assert result.why == "the share does not answer"
        assert reading.do(wanted(A)) == ShareRead(7, (), "the share does not answer")
        assert share.asked == 1
    finally:
        share.answers.set()
    assert reading.idle(10.0)
    assert contents(reading.do(wanted(A))) == [A]
