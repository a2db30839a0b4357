"""A scan that sees what the last one saw is taken in one step, but only where that is all there is."""

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.agent import effects as fx
from syncagent.agent import results as rs
from syncagent.agent.node.treeview import TreeView
from syncagent.core.artifact import ArtifactPath, TreeKind, TreeName
from syncagent.core.digest import digest_of
from syncagent.core.manifest import Entry, Manifest
from syncagent.core.snapshot import Condition, Seen, Snapshot
from syncagent.core.verdict import Examined, Facts, Problem
from syncagent.core.wire.messages import Ask
from tests.fakes.agent_bench import Bench, sequence
from tests.fakes.examiner import KeepingExaminer

T = TreeName("synapse")
A, B = Entry(digest_of(b"a"), 1), Entry(digest_of(b"b"), 1)
NAMES = ("a", "b", "c")


def manifest(files: dict[str, Entry]) -> Manifest:
    return Manifest.of((ArtifactPath(T, path), entry) for path, entry in files.items())


def scan(files: dict[str, Entry], unlisted: frozenset[str] = frozenset()) -> Snapshot:
    seen = {path: Seen(entry, 1) for path, entry in files.items()}
    return Snapshot(T, Condition.GOOD, seen, frozenset({""}), unlisted=unlisted)


def view_on(snapshot: Snapshot, base: dict[str, Entry]) -> TreeView:
    view = TreeView(T, TreeKind.SYNAPSE)
    view.rebase(manifest(base))
    view.take_scan(snapshot, 0.0, 0.0)
    return view


def test_the_same_snapshot_is_taken_and_counts_as_a_scan() -> None:
    snapshot = scan({"a": A, "b": B})
    view = view_on(snapshot, {"a": A})
    view.busy = True
    assert view.take_same(snapshot, 7.0)
    assert (view.busy, view.scanned_at, view.scans, view.differing) == (False, 7.0, 2, {"b"})


def test_an_equal_snapshot_that_is_another_has_to_be_looked_at() -> None:
    assert not view_on(scan({"a": A}), {"a": A}).take_same(scan({"a": A}), 7.0)


@pytest.mark.parametrize(
    "happened",
    [
        lambda view: view.committed("a", B),
        lambda view: view.take_look({"a": Seen(B, 2)}, 1.0),
        lambda view: view.rebase(manifest({"a": B}), ["a"]),
        lambda view: view.take_scan(Snapshot(T, Condition.MISSING), 1.0, 1.0),
        lambda view: setattr(view, "condition", Condition.STALLED),
    ],
    ids=["a commit", "a look", "another base", "a scan that can't be believed", "a stall"],
)
def test_after_anything_else_the_same_snapshot_has_to_be_looked_at(
    happened: Callable[[TreeView], object],
) -> None:
    snapshot = scan({"a": A})
    view = view_on(snapshot, {"a": A})
    happened(view)
    assert not view.take_same(snapshot, 7.0)


def test_what_has_to_be_confirmed_is_not_settled() -> None:
    snapshot = scan({"a": A})
    assert not view_on(snapshot, {"a": A, "gone": B}).take_same(snapshot, 7.0)
    unlisted = scan({"a": A}, frozenset({"api"}))
    assert not view_on(unlisted, {"a": A}).take_same(unlisted, 7.0)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["commit", "look", "base", "scan", "again"]),
            st.sampled_from(NAMES),
            st.sampled_from([A, B, None]),
        ),
        max_size=12,
    )
)
def test_taken_in_one_step_or_looked_at_the_belief_is_the_same(
    steps: list[tuple[str, str, Entry | None]],
) -> None:
    """The same history twice: once every scan is looked at, once repeated ones are only taken."""
    quick, slow = TreeView(T, TreeKind.SYNAPSE), TreeView(T, TreeKind.SYNAPSE)
    base: dict[str, Entry] = {}
    disk: dict[str, Entry] = {}
    snapshot = scan(disk)
    now = 0.0
    for what, name, entry in steps:
        now += 2.0
        into = base if what == "base" else disk
        into.pop(name, None)
        if entry is not None:
            into[name] = entry
        if what in {"scan", "again"}:
            snapshot = snapshot if what == "again" else scan(disk)
            slow.take_scan(snapshot, now, now)
            if not quick.take_same(snapshot, now):
                quick.take_scan(snapshot, now, now)
        happen: dict[str, Callable[[TreeView], object]] = {
            "commit": partial(TreeView.committed, path=name, after=entry),
            "look": partial(
                TreeView.take_look, seen={name: Seen(entry, 1) if entry else None}, now=now
            ),
            "base": partial(TreeView.rebase, manifest=manifest(base), paths=[name]),
        }
        if what in happen:
            happen[what](quick)
            happen[what](slow)
        assert quick.differing == slow.differing
        assert {n: quick.observed(n) for n in NAMES} == {n: slow.observed(n) for n in NAMES}


def test_workers_scan_beside_the_manager_that_reconciles() -> None:
    bench = Bench({"sequences/a.xml": sequence("a")}).lead().pass_(3)
    bench.follow()
    bench.sent.clear()
    done: list[str] = []
    carry_out = bench.do

    def watched(effect: fx.Effect) -> object:
        if isinstance(effect, fx.Scan):
            done.append("scan")
            assert any(isinstance(message, Ask) for _, message in bench.sent), "asked at once"
        return carry_out(effect)

    bench.do = watched  # type: ignore[method-assign,assignment]
    bench.ask("reconcile")
    assert done


def test_verdicts_that_are_known_already_make_no_work_of_a_scan_that_sees_the_same() -> None:
    bench = Bench({"sequences/a.xml": sequence("a")}).lead().pass_(3)
    view = bench.node.observing.views[T]
    snapshot = bench.disk.scan(T, KeepingExaminer())

    def taken(examined: dict[str, Examined]) -> bool:
        """Tell whether it was taken in one step: else the files are put together anew."""
        before = view.files
        bench.handle(rs.Scanned(T, snapshot, examined, bench.at, None))
        return view.files is before

    assert not taken({})
    assert taken({})
    assert taken(dict(view.examined))
    other = Examined(Facts("a"), (Problem("x", "it is judged by other rules now"),))
    assert not taken({"sequences/a.xml": other})
    assert view.examined["sequences/a.xml"] is other
