"""A large set is judged in another process while it is written: nothing unjudged passes, ever."""

import threading
from collections.abc import Callable, Iterator

import pytest

from syncagent.agent import effects as fx
from syncagent.agent import results as rs
from syncagent.agent.hands.judging import FILES_MIN, Judging
from syncagent.agent.hands.lanes import Crashed
from syncagent.core.artifact import Kind
from syncagent.core.intent import Keep, Step
from syncagent.core.verdict import Examined
from syncagent.core.wire.messages import Blobs
from syncagent.core.wire.packing import compress_batch, split_batch
from syncagent.core.wire.verdicts import Docket
from syncagent.validation.validator import ArtifactValidator
from tests.fakes.agent_bench import PEER, Bench, at, entry, sequence

PATIENCE_S = 10.0
GOOD = {f"sequences/{name}.xml": sequence(name) for name in "abc"}
BAD = {"sequences/bad.xml": b"<sequence"}


class Elsewhere:
    """Judges as the real one, when it is let; remembers what it was asked."""

    def __init__(self) -> None:
        self.may, self.asked = threading.Event(), threading.Event()
        self.dockets: list[Docket] = []
        self.useless = False
        self.begun = self.ended = 0
        self.error: Exception | None = None
        self._validator = ArtifactValidator()

    @property
    def usable(self) -> bool:
        return not self.useless

    def begin(self) -> None:
        self.begun += 1

    def judge(self, docket: Docket) -> tuple[Examined, ...] | None:
        self.dockets.append(docket)
        self.asked.set()
        assert self.may.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error
        if self.useless:
            return None
        contents = split_batch(docket.entries, docket.frame)
        return tuple(
            self._validator.examine(one.kind, one.path, contents[one.entry])
            for one in docket.exhibits
        )

    def end(self) -> None:
        self.ended += 1


class Scene:
    """A worker's hands with the judge beside them; `late` is what the committer is to finish."""

    def __init__(self) -> None:
        self.bench = Bench({}, manager=PEER)
        self.elsewhere = Elsewhere()
        self.posted: list[object] = []
        self.late: list[fx.JudgedBlobs] = []
        self._came = threading.Semaphore(0)
        self.judging = Judging(
            self.elsewhere, self.bench.memory, self._post, self._late, idle_s=0.05
        )
        self.bench.committer.stager.judging = self.judging

    def _post(self, event: object) -> None:
        self.posted.append(event)
        self._came.release()

    def _late(self, effect: fx.JudgedBlobs) -> None:
        self.late.append(effect)
        self._came.release()

    def came(self) -> None:
        assert self._came.acquire(timeout=PATIENCE_S)

    def offer(self, effect: fx.StageBlobs) -> fx.StageBlobs:
        self.judging.offer(effect)
        return effect

    def stage(self, effect: fx.Effect) -> rs.Result | None:
        return self.bench.committer.do(effect)


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.elsewhere.may.set()
    made.judging.stop()


def large(files: dict[str, bytes], txid: int = 7, *, end: bool = False) -> fx.StageBlobs:
    blobs = Blobs(*compress_batch([(entry(content), content) for content in files.values()]))
    steps = tuple(Step(at(path), None, entry(content)) for path, content in files.items())
    return fx.StageBlobs(txid, blobs, steps, files=FILES_MIN, end=end)


def wait_for(fact: Callable[[], bool]) -> None:
    done = threading.Event()
    for _ in range(int(PATIENCE_S * 100)):
        if fact():
            return
        done.wait(0.01)
    raise AssertionError("it never came about")


def test_what_is_written_first_is_finished_when_the_verdicts_come(scene: Scene) -> None:
    effect = scene.offer(large(GOOD))
    assert scene.elsewhere.asked.wait(PATIENCE_S)
    assert scene.stage(effect) is None
    scene.elsewhere.may.set()
    scene.came()
    result = scene.stage(scene.late[0])
    assert isinstance(result, rs.Staged)
    assert {str(path) for path in result.examined} == {str(at(path)) for path in GOOD}
    assert not result.refused
    assert [one.kind for one in scene.elsewhere.dockets[0].exhibits] == [Kind.SEQUENCE] * 3


def test_what_is_judged_first_is_finished_by_the_committer(scene: Scene) -> None:
    scene.elsewhere.may.set()
    effect = scene.offer(large(GOOD))
    wait_for(
        lambda: (
            scene.bench.memory.verdict(effect.steps[-1].path, entry(GOOD["sequences/c.xml"]).digest)
            is not None
        )
    )
    result = scene.stage(effect)
    if result is None:
        scene.came()
        result = scene.stage(scene.late[0])
    assert isinstance(result, rs.Staged)
    assert len(result.examined) == 3


def test_what_nobody_has_taken_the_committer_judges(scene: Scene) -> None:
    scene.offer(large(GOOD))
    second = scene.offer(large(BAD))
    assert scene.elsewhere.asked.wait(PATIENCE_S)
    result = scene.stage(second)
    assert isinstance(result, rs.Staged)
    assert [str(row.path) for row in result.refused] == [str(at("sequences/bad.xml"))]
    scene.elsewhere.may.set()
    scene.judging.stop()
    assert len(scene.elsewhere.dockets) == 1


def test_what_is_refused_elsewhere_is_refused_and_kept_here(scene: Scene) -> None:
    effect = scene.offer(large(GOOD | BAD))
    assert scene.elsewhere.asked.wait(PATIENCE_S)
    assert scene.stage(effect) is None
    scene.elsewhere.may.set()
    scene.came()
    result = scene.stage(scene.late[0])
    assert isinstance(result, rs.Staged)
    assert [row.problem.code for row in result.refused] == ["not-well-formed"]
    kept = scene.bench.disk.kept()
    assert [(one.reason, scene.bench.disk.kept_bytes(one.id)) for one in kept] == [
        (Keep.REFUSED, BAD["sequences/bad.xml"])
    ]


def test_when_nothing_is_left_to_write_nobody_waits_for_the_other_process(scene: Scene) -> None:
    first = scene.offer(large(GOOD))
    assert scene.elsewhere.asked.wait(PATIENCE_S)
    last = scene.offer(large(BAD, end=True))
    assert scene.stage(first) is None
    done = scene.stage(last)
    assert isinstance(done, rs.Staged)
    assert len(done.refused) == 1
    scene.came()
    result = scene.stage(scene.late.pop())
    assert isinstance(result, rs.Staged)
    assert len(result.examined) == 3
    scene.elsewhere.may.set()
    scene.judging.stop()
    assert not scene.late, "no batch is finished twice"


def test_the_last_batch_is_not_waited_for_either(scene: Scene) -> None:
    only = scene.offer(large(GOOD, end=True))
    assert scene.elsewhere.asked.wait(PATIENCE_S)
    assert isinstance(scene.stage(only), rs.Staged)


def test_where_the_other_process_is_of_no_use_the_committer_judges(scene: Scene) -> None:
    effect = scene.offer(large(BAD))
    assert scene.elsewhere.asked.wait(PATIENCE_S)
    assert scene.stage(effect) is None
    scene.elsewhere.useless = True
    scene.elsewhere.may.set()
    scene.came()
    result = scene.stage(scene.late[0])
    assert isinstance(result, rs.Staged)
    assert len(result.refused) == 1
    again = scene.offer(large(GOOD))
    assert isinstance(scene.stage(again), rs.Staged)
    assert len(scene.elsewhere.dockets) == 1


def test_a_small_set_starts_no_process(scene: Scene) -> None:
    blobs = large(GOOD)
    small = fx.StageBlobs(7, blobs.blobs, blobs.steps, files=FILES_MIN - 1)
    assert isinstance(scene.stage(scene.offer(small)), rs.Staged)
    assert not scene.elsewhere.begun


def test_a_dropped_set_is_not_judged_any_more(scene: Scene) -> None:
    scene.offer(large(GOOD))
    scene.offer(large(BAD))
    assert scene.elsewhere.asked.wait(PATIENCE_S)
    scene.stage(fx.Discard(7))
    scene.elsewhere.may.set()
    scene.judging.stop()
    assert len(scene.elsewhere.dockets) == 1


def test_the_process_ends_when_there_was_nothing_to_do_and_starts_again(scene: Scene) -> None:
    scene.elsewhere.may.set()
    scene.judging.expect()
    wait_for(lambda: scene.elsewhere.ended == 1)
    scene.offer(large(GOOD))
    assert scene.elsewhere.asked.wait(PATIENCE_S)
    wait_for(lambda: scene.elsewhere.ended == 2)
    assert scene.elsewhere.begun == 2


def test_what_the_judge_is_not_prepared_for_ends_the_agent(scene: Scene) -> None:
    scene.elsewhere.error = ZeroDivisionError()
    scene.elsewhere.may.set()
    scene.offer(large(GOOD))
    scene.came()
    assert isinstance(scene.posted[0], Crashed)
