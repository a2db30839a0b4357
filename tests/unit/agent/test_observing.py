"""When a node looks at its trees, and what it believes afterwards."""

import pytest

from syncagent.agent import effects as fx
from syncagent.agent import results as rs
from syncagent.core.artifact import TreeName
from syncagent.core.digest import digest_of
from syncagent.core.errors import RefusedError
from syncagent.core.events import Hinted, HintKind, WatchFault, WatchTrouble
from syncagent.core.safety import HoldReason
from syncagent.core.snapshot import Condition
from syncagent.core.verdict import Problem
from tests.fakes.agent_bench import PLANS, Bench, T, at, sequence

ROOT = b"<definitions xmlns='http://ws.apache.org/ns/synapse'/>"
THREE = {f"sequences/{name}.xml": sequence(name) for name in "abc"} | {"synapse.xml": ROOT}


def scans(bench: Bench) -> list[fx.Scan]:
    return [effect for effect in bench.hands if isinstance(effect, fx.Scan)]


def test_at_start_every_tree_is_watched_scanned_and_its_root_trusted() -> None:
    bench = Bench(trees=(T, PLANS))
    bench.node.start(bench.at)
    bench.node.tick(bench.at)
    effects = bench.node.drain()
    for tree in (T, PLANS):
        assert fx.TrustRoot(tree, None) in effects
        assert fx.StartWatch(tree) in effects
        assert fx.Scan(tree) in effects


def test_the_first_root_that_is_seen_is_the_tree_from_then_on() -> None:
    bench = Bench(THREE).start()
    assert bench.history.standing().identities == {T: "fake-synapse"}
    bench.disk.identity[T] = "another"
    bench.pass_(70)
    (hold,) = bench.state.holds.values()
    assert (hold.reason, hold.approvable) == (HoldReason.ROOT_REPLACED, True)
    assert "Nothing was deleted" in hold.text
    bench.answer("approve", id=hold.id)
    bench.pass_(10)
    assert bench.state.holds == {}
    assert bench.state.alarms.keys() <= {"no-manager"}
    assert bench.history.standing().identities == {T: "another"}


def test_a_hint_is_looked_at_when_the_path_is_quiet() -> None:
    bench = Bench(THREE).lead().pass_(3)
    bench.put("sequences/d.xml", sequence("d"))
    bench.tick()
    assert bench.hands == []
    bench.at += 0.11
    bench.tick()
    assert bench.hands == [fx.Look(T, ("sequences/d.xml",))]
    bench.pass_(1)
    assert bench.state.standing.manifest.get(at("sequences/d.xml")) is not None


@pytest.mark.parametrize("event", ["hint", "fault"])
def test_a_tree_that_is_not_ours_is_nobody_s_business(event: str) -> None:
    bench = Bench(THREE).start()
    other = TreeName("other")
    before = bench.reports.copy()
    bench.handle(
        Hinted(other, "x", HintKind.WRITTEN)
        if event == "hint"
        else WatchFault(other, WatchTrouble.OVERFLOW)
    )
    bench.pass_(1)
    assert [r for r in bench.reports if r not in before and r.what == "watch-fault"] == []


def test_after_lost_events_a_scan_finds_what_happened() -> None:
    bench = Bench(THREE).lead().pass_(3)
    bench.disk.put(at("sequences/d.xml"), sequence("d"))
    bench.hints.miss(T, "queue full")
    bench.pass_(3)
    assert bench.state.standing.manifest.get(at("sequences/d.xml")) is not None
    assert bench.events("watch-fault") == [
        {"tree": T, "trouble": "overflow", "detail": "queue full"}
    ]
    assert bench.node.observing.views[T].watch == "inotify", "the watch goes on"


def test_a_watch_that_is_lost_is_started_again_until_it_works() -> None:
    bench = Bench(THREE).start()
    bench.hints.lose_root(T)
    assert bench.node.observing.views[T].watch == "lost (root-moved)"
    bench.pass_(2)
    assert bench.node.observing.views[T].watch.startswith("scans only")
    bench.hints.restore_root(T)
    bench.pass_(6)
    assert bench.node.observing.views[T].watch == "inotify"


def test_a_tree_that_is_back_is_watched_anew_at_once() -> None:
    """A watch that was begun on the empty mount point hears nothing of what is mounted there."""
    bench = Bench(THREE).lead().pass_(3)
    bench.disk.conditions[T] = Condition.REPLACED
    bench.handle(Hinted(T, "sequences/a.xml", HintKind.WRITTEN))
    bench.pass_(1)
    bench.hints.deafen(T)
    del bench.disk.conditions[T]
    bench.pass_(6)
    assert bench.node.observing.views[T].ready
    bench.disk.put(at("sequences/d.xml"), sequence("d"))
    bench.hints.happen(T, "sequences/d.xml", HintKind.WRITTEN)
    bench.pass_(2)
    assert bench.state.standing.revision.number == 2


def test_a_tree_that_is_well_is_watched_once() -> None:
    bench = Bench(THREE)
    bench.node.start(bench.at)
    assert [type(effect) for effect in bench.node.drain()].count(fx.StartWatch) == 1
    bench = Bench(THREE).lead()
    bench.hints.deafen(T)
    bench.pass_(100)
    bench.disk.put(at("sequences/d.xml"), sequence("d"))
    bench.hints.happen(T, "sequences/d.xml", HintKind.WRITTEN)
    bench.pass_(2)
    assert bench.state.standing.revision.number == 1, "nobody listens again without a reason"


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        (Condition.MISSING, HoldReason.ROOT_MISSING),
        (Condition.UNREADABLE, HoldReason.UNREADABLE),
        (Condition.STALLED, HoldReason.UNREADABLE),
    ],
)
def test_a_tree_that_is_away_is_held_and_resumes_by_itself(
    condition: Condition, reason: HoldReason
) -> None:
    bench = Bench(THREE).lead().pass_(3)
    bench.disk.conditions[T] = condition
    bench.handle(Hinted(T, "sequences/a.xml", HintKind.WRITTEN))
    bench.pass_(1)
    (hold,) = bench.state.holds.values()
    assert (hold.reason, hold.approvable) == (reason, False)
    assert bench.state.standing.revision.number == 1
    with pytest.raises(RefusedError, match="can't be approved"):
        bench.answer("approve", id=hold.id)
    with pytest.raises(RefusedError, match=f"{hold.id} ends by itself") as caught:
        bench.answer("reject", id=hold.id)
    assert "mend what it names" in caught.value.hint
    bench.put("sequences/d.xml", sequence("d"))
    bench.pass_(12)
    assert bench.state.standing.revision.number == 1
    del bench.disk.conditions[T]
    bench.pass_(6)
    assert bench.state.holds == {}
    assert bench.state.standing.revision.number == 2
    assert [event["condition"] for event in bench.events("tree")] == ["good", condition, "good"]


def test_a_folder_that_went_and_came_back_has_its_verdicts_again() -> None:
    bench = Bench(THREE).lead().pass_(3)
    index = bench.node.observing.index
    assert len(index) == len(THREE)
    saved = dict(bench.disk.trees[T])
    bench.disk.remove_folder(T, "sequences")
    bench.handle(Hinted(T, "sequences", HintKind.SUBTREE))
    bench.pass_(5)
    assert [hold.reason for hold in bench.state.holds.values()] == [HoldReason.FOLDER_VANISHED]
    assert len(index) == 1
    bench.disk.trees[T] = saved
    bench.disk.folders[T].add("sequences")
    bench.handle(Hinted(T, "sequences", HintKind.SUBTREE))
    bench.pass_(5)
    assert bench.state.holds == {}
    assert bench.node.observing.views[T].examined.keys() == THREE.keys()
    assert len(index) == len(THREE)


def test_what_a_scan_alone_finds_new_is_judged_even_if_it_was_staged_before() -> None:
    """The verdict of the staged bytes is remembered; the tree's own is told all the same."""
    bench = Bench(THREE).lead().pass_(3)
    bad = b"<sequence name='a'"
    path = at("sequences/a.xml")
    bench.memory.examine(path, digest_of(bad), bad)
    bench.disk.put(path, bad)
    bench.ask("reconcile")
    bench.pass_(1)
    assert path in bench.state.refused
    assert bench.state.standing.revision.number == 1


def test_a_look_below_a_folder_that_is_gone_asks_for_a_scan() -> None:
    bench = Bench(THREE).lead().pass_(3)
    bench.disk.remove_folder(T, "sequences")
    bench.handle(Hinted(T, "sequences/a.xml", HintKind.DELETED))
    bench.pass_(4)
    (hold,) = bench.state.holds.values()
    assert len(hold.paths) == 3, "a scan concluded that all three are gone"


def test_what_can_t_be_read_is_refused_with_the_reason() -> None:
    bench = Bench(THREE).lead().pass_(3)
    bench.disk.special[at("sequences/d.xml")] = Problem("too-large", "it has 9 MiB")
    bench.handle(Hinted(T, "sequences/d.xml", HintKind.WRITTEN))
    bench.pass_(1)
    assert bench.state.refused[at("sequences/d.xml")].problem.code == "too-large"


def test_without_any_event_a_scan_finds_a_change_within_a_minute() -> None:
    bench = Bench(THREE).lead().pass_(3)
    bench.disk.put(at("sequences/d.xml"), sequence("d"))
    bench.pass_(61)
    assert bench.state.standing.revision.number == 2


def test_while_nothing_happens_nobody_wakes_the_node_for_nothing() -> None:
    bench = Bench(THREE).lead().pass_(5)
    ticks = 0
    until = bench.at + 60
    while bench.at < until:
        bench.tick()
        while bench.step():
            pass
        ticks += 1
        bench.at = max(bench.wake_at, bench.at + 0.001)
    assert ticks < 150


def test_a_scan_that_began_before_the_question_does_not_count() -> None:
    bench = Bench(THREE).start()
    observing = bench.node.observing
    assert observing.scans_begun(bench.at)
    assert not observing.scans_begun(bench.at + 1)
    bench.disk.conditions[T] = Condition.MISSING
    bench.handle(rs.Scanned(T, bench.disk.scan(T, bench.eye), {}, bench.at, None))  # type: ignore[arg-type]
    assert observing.scans_begun(bench.at + 1), "a tree that is away has nothing to tell"


def test_a_scan_that_is_asked_for_while_one_is_under_way_is_done_after_it() -> None:
    bench = Bench(THREE).start()
    bench.pass_(61.0)
    bench.node.observing.want_scan(T, bench.at)
    bench.tick()
    (scan,) = scans(bench)
    result = bench.do(scan)
    bench.hands.remove(scan)
    bench.at += 0.5
    bench.node.observing.want_scan(T, bench.at)
    since = bench.at
    bench.handle(result)  # type: ignore[arg-type]
    bench.at += 0.1
    bench.rest()
    assert bench.node.observing.scans_begun(since)
