"""What the runtime did reaches the history in its order, and the mark never runs ahead of it."""

from __future__ import annotations

from syncagent.agent import effects as fx
from syncagent.agent import results as rs
from syncagent.agent.hands.remembering import Remembering
from syncagent.agent.wiring.runtime import remembered
from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError
from syncagent.core.outcome import Deployment, Outcome
from syncagent.runtime.none import NoRuntime
from tests.fakes.agent_bench import Bench, at
from tests.fakes.history import FakeHistory

A = Outcome(at("api/A.xml"), digest_of(b"a"), Deployment.PENDING)
A2 = Outcome(at("api/A.xml"), digest_of(b"a"), Deployment.DEPLOYED)
B = Outcome(at("api/B.xml"), digest_of(b"b"), Deployment.DEPLOYED)


class Full:
    """Refuses to write while it is full."""

    def __init__(self) -> None:
        self.full = False
        self.history = FakeHistory(fail=self._fail)
        self.hand = Remembering(self.history)

    def _fail(self, what: str) -> None:
        if self.full:
            raise DiskError(f"{what}: no space left", errno_name="ENOSPC")


def test_what_could_not_be_written_goes_with_the_next() -> None:
    disk = Full()
    disk.full = True
    disk.hand.do(fx.Remember((A, B), mark="1"))
    disk.hand.do(fx.Remember((A2,), mark="2"))
    assert (disk.history.outcomes(), disk.history.runtime_mark()) == ([], None)
    disk.full = False
    disk.hand.do(fx.Remember((), gone=(B.path,)))
    assert (disk.history.outcomes(), disk.history.runtime_mark()) == ([A2], "2")


def test_what_was_to_be_forgotten_and_came_again_is_kept() -> None:
    disk = Full()
    disk.hand.do(fx.Remember((A,)))
    disk.full = True
    disk.hand.do(fx.Remember((), gone=(A.path,)))
    disk.hand.do(fx.Remember((A2,)))
    disk.full = False
    disk.hand.do(fx.Remember((), mark="3"))
    assert disk.history.outcomes() == [A2]


def test_an_agent_starts_without_records_that_can_not_be_read() -> None:
    class Broken(FakeHistory):
        def outcomes(self) -> list[Outcome]:
            raise DiskError("it can't be read", errno_name="EIO")

    assert remembered(Broken()) == ((), None)
    history = FakeHistory()
    history.remember([A], mark="m")
    assert remembered(history) == ((A,), "m")


def test_only_files_with_these_bytes_are_touched_and_a_refusal_is_no_end() -> None:
    bench = Bench({"api/A.xml": b"a", "api/B.xml": b"b"})
    wish = fx.Touch(((A.path, A.digest), (B.path, digest_of(b"other"))))
    assert bench.committer.do(wish) == rs.Touched((A.path,))
    bench.disk.failing = "EIO"
    assert bench.committer.do(wish) == rs.Touched(())


def test_the_runtime_is_listened_to_once_and_only_when_all_trees_were_seen() -> None:
    started: list[str | None] = []
    bench = Bench({"api/A.xml": b"a"})

    class Runtime(NoRuntime):
        def start(self, mark: str | None) -> None:
            started.append(mark)

    bench.runtime = Runtime()
    bench.history.remember([], mark="here")
    bench.node.start(bench.at)
    bench.tick()
    assert started == []
    bench.pass_(10.0)
    assert started == ["here"]
