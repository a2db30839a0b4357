"""What the simulation's disk does beyond the port: kills, power cuts, failures half-way."""

from __future__ import annotations

import pytest

from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError, StateError
from syncagent.core.intent import Keep
from tests.fakes.disk import FakeDisk
from tests.fakes.node_bench import PLANS, START, SYNAPSE, ChangeSet, step


class Crash(BaseException):
    """The end of the process."""


CHANGE = ChangeSet(
    {"synapse/api/A.xml": b"a", "plans/p.siddhiql": b"p"},
    (
        (step("synapse/api/A.xml", b"a", b"aa", Keep.DRIFT), b"aa"),
        (step("synapse/api/N.xml", None, b"n"), b"n"),
        (step("plans/p.siddhiql", b"p", None), None),
    ),
)


def prepared() -> FakeDisk:
    disk = FakeDisk((SYNAPSE, PLANS), wall=lambda: START)
    for one, _ in CHANGE.steps:
        content = CHANGE.old.get(f"{one.path.tree}/{one.path.path}")
        if content is not None:
            disk.put(one.path, content)
    disk._sync()
    return disk


def live(disk: FakeDisk) -> dict[str, bytes]:
    return {
        f"{tree}/{path}": content
        for tree, rows in disk.trees.items()
        for path, (content, _) in rows.items()
    }


def carry_out(disk: FakeDisk) -> None:
    disk.stage(1, [(one, c) for one, c in CHANGE.steps if c is not None])
    disk.seal(1)
    disk.commit(CHANGE.intent)


def points() -> list[str]:
    seen: list[str] = []
    disk = prepared()
    disk.crash_at = seen.append
    carry_out(disk)
    return seen


@pytest.mark.parametrize("cut", [True, False], ids=["power", "kill"])
@pytest.mark.parametrize("number", range(len(points())))
def test_a_crash_at_any_point_leaves_old_or_new(number: int, cut: bool) -> None:
    disk = prepared()
    left = [number]

    def crash(_point: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Crash

    disk.crash_at = crash
    with pytest.raises(Crash):
        carry_out(disk)
    disk.crash_at = lambda _point: None
    if cut:
        disk.power_cut()
    else:
        disk.killed()
    done = disk.recover(0)
    assert live(disk) == (CHANGE.new if done is not None else CHANGE.old)
    assert [kept.digest for kept in disk.kept()] == ([digest_of(b"a")] if done else [])
    disk.power_cut()
    assert live(disk) == (CHANGE.new if done is not None else CHANGE.old)


def test_a_commit_that_breaks_half_way_is_finished_by_recovery_only() -> None:
    disk = prepared()
    disk.stage(1, [(one, c) for one, c in CHANGE.steps if c is not None])
    disk.seal(1)
    disk.breaking = True
    with pytest.raises(StateError):
        disk.commit(CHANGE.intent)
    disk.discard(1)
    with pytest.raises(StateError):
        disk.commit(CHANGE.intent)
    assert disk.recover(0) is not None
    assert live(disk) == CHANGE.new


@pytest.mark.parametrize("doing", ["stage", "seal", "commit"])
def test_a_failure_that_is_asked_for_changes_nothing(doing: str) -> None:
    disk = prepared()
    for name in ("stage", "seal", "commit"):
        disk.failing = "EIO" if name == doing else ""
        acts = {
            "stage": lambda: disk.stage(1, [(o, c) for o, c in CHANGE.steps if c is not None]),
            "seal": lambda: disk.seal(1),
            "commit": lambda: disk.commit(CHANGE.intent),
        }
        if name == doing:
            with pytest.raises(DiskError) as refused:
                acts[name]()
            assert refused.value.errno_name == "EIO"
            break
        acts[name]()
    assert live(disk) == CHANGE.old
