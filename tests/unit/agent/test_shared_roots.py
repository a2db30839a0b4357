"""A node whose tree is on a share: held while the share is away, and back by itself."""

from dataclasses import replace

import pytest

from syncagent.agent import effects as fx
from syncagent.core.events import Hinted, HintKind
from syncagent.core.ledger import StandingChange
from syncagent.core.safety import HoldReason
from syncagent.core.snapshot import Condition
from tests.fakes.agent_bench import Bench, Files, T, at, sequence

THREE = {f"sequences/{name}.xml": sequence(name) for name in "abc"}
SHARE, OTHER = "share:0a1b", "share:ffff"


def shared(files: Files, identity: str = SHARE) -> Bench:
    """A node whose tree carries a mark."""
    bench = Bench(files)
    trees = tuple(replace(tree, mark="c") for tree in bench.settings.trees)
    bench.settings = replace(bench.settings, trees=trees)
    bench.disk.identity[T] = identity
    bench.join(bench.history, bench.guard)
    return bench


def test_a_share_that_is_away_says_what_to_do_and_resumes_by_itself() -> None:
    bench = shared(THREE).lead().pass_(3)
    assert bench.history.standing().identities == {T: SHARE}
    bench.disk.conditions[T] = Condition.MISSING
    bench.pass_(70)
    (hold,) = bench.state.holds.values()
    assert (hold.reason, hold.approvable) == (HoldReason.ROOT_MISSING, False)
    assert "Nothing was deleted. Mount the share: it resumes by itself." in hold.text
    assert "syncagent init --share" in hold.text
    assert bench.state.alarms[f"tree {T}"] == hold.text
    assert bench.state.standing.revision.number == 1
    del bench.disk.conditions[T]
    bench.pass_(6)
    assert bench.state.holds == {}
    assert f"tree {T}" not in bench.state.alarms
    assert bench.state.standing.revision.number == 1


def test_another_share_waits_for_a_person_and_the_right_one_does_not() -> None:
    bench = shared(THREE).lead().pass_(3)
    bench.disk.identity[T] = OTHER
    bench.pass_(70)
    (hold,) = bench.state.holds.values()
    assert (hold.reason, hold.approvable) == (HoldReason.ROOT_REPLACED, True)
    assert "Mount the right share: it resumes by itself." in hold.text
    assert f"syncagent approve {hold.id}" in hold.text
    bench.disk.identity[T] = SHARE
    bench.pass_(6)
    assert bench.state.holds == {}


@pytest.mark.parametrize("known", ["66:7", SHARE])
def test_a_root_of_the_mode_that_was_left_is_not_asked_for(known: str) -> None:
    """A cluster goes from local trees to a share, or back, without a person at each node."""
    bench = shared(THREE, SHARE if known == "66:7" else "66:7")
    if known == SHARE:
        trees = tuple(replace(tree, mark="") for tree in bench.settings.trees)
        bench.settings = replace(bench.settings, trees=trees)
    bench.history.stand(StandingChange(identities={T: known}))
    bench.join(bench.history, bench.guard)
    bench.node.start(bench.at)
    assert fx.TrustRoot(T, None) in bench.node.drain()
    bench.start()
    assert bench.state.holds == {}
    assert bench.history.standing().identities[T] == bench.disk.identity[T]


def test_a_file_of_a_share_is_gone_after_two_scans_ten_seconds_apart() -> None:
    bench = shared(THREE).lead().pass_(3)
    bench.disk.remove(at("sequences/a.xml"))
    bench.handle(Hinted(T, "sequences/a.xml", HintKind.DELETED))
    bench.pass_(9)
    assert bench.state.standing.revision.number == 1
    bench.pass_(5)
    assert bench.state.standing.revision.number == 2
    assert bench.state.standing.manifest.get(at("sequences/a.xml")) is None


def test_what_was_deleted_here_is_gone_at_the_next_scan() -> None:
    bench = shared(THREE).lead().pass_(3)
    bench.disk.remove(at("sequences/a.xml"))
    bench.handle(Hinted(T, "sequences/a.xml", HintKind.DELETED, seen_here=True))
    bench.pass_(3)
    assert bench.state.standing.revision.number == 2


def test_a_folder_of_a_share_that_is_empty_at_once_waits_for_a_person() -> None:
    files = {f"sequences/{name}.xml": sequence(name) for name in "abcde"}
    root = {"synapse.xml": b"<definitions xmlns='http://ws.apache.org/ns/synapse'/>"}
    bench = shared(files | root).lead().pass_(3)
    for path in files:
        bench.disk.remove(at(path))
    bench.pass_(90)
    assert [hold.reason for hold in bench.state.holds.values()] == [HoldReason.FOLDER_VANISHED]
    assert bench.state.standing.revision.number == 1
