"""Settling: when each kind of hint is due, what travels together, and that nothing is lost."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import TreeName
from syncagent.core.events import Hinted, HintKind
from syncagent.core.settings import Limits
from syncagent.core.settle import (
    BACKOFF_MAX_S,
    DELETED_QUIET_S,
    DIRTY_PATHS_MAX,
    FAULT_CAP_S,
    GATHER_MAX_S,
    GATHER_S,
    SCAN_QUIET_S,
    Due,
    Settling,
)

TREE = TreeName("synapse")
OTHER = TreeName("siddhi")
LIMITS = Limits()
QUIET_S = {
    HintKind.WRITTEN: LIMITS.settle_written_s,
    HintKind.CREATED: LIMITS.settle_created_s,
    HintKind.DELETED: DELETED_QUIET_S,
    HintKind.SUBTREE: SCAN_QUIET_S,
}
TINY_S = 1e-6


def make(limits: Limits = LIMITS) -> Settling:
    return Settling(
        written_s=limits.settle_written_s,
        created_s=limits.settle_created_s,
        cap_s=limits.settle_cap_s,
    )


def hint(path: str, kind: HintKind, tree: TreeName = TREE) -> Hinted:
    return Hinted(tree, path, kind)


class Happening(NamedTuple):
    at: float
    due: Due


def run_out(settling: Settling, until: float = 1_000.0) -> list[Happening]:
    """Wake exactly when asked to, until nothing is left."""
    happened = []
    steps = 0
    while (at := settling.next_at()) is not None and at <= until:
        due = settling.due(at)
        if due:
            happened.append(Happening(at, due))
        steps += 1
        assert steps < 10_000, "next_at does not move on"
    return happened


@pytest.mark.parametrize("kind", [HintKind.WRITTEN, HintKind.CREATED, HintKind.DELETED])
def test_a_path_alone_is_due_after_exactly_its_quiet_time(kind: HintKind) -> None:
    settling = make()
    settling.hint(hint("a.xml", kind), 5.0)
    assert not settling.due(5.0 + QUIET_S[kind] - TINY_S)
    (only,) = run_out(settling)
    assert only.at == pytest.approx(5.0 + QUIET_S[kind])
    assert only.due == Due({TREE: ("a.xml",)})


def test_nothing_is_due_twice() -> None:
    settling = make()
    settling.hint(hint("a.xml", HintKind.WRITTEN), 0.0)
    assert settling.due(1.0)
    assert not settling.due(100.0)
    assert settling.next_at() is None


def test_the_last_hint_of_a_path_decides_its_quiet_time() -> None:
    settling = make()
    for kind in (HintKind.DELETED, HintKind.CREATED, HintKind.WRITTEN):  # vim's `:w`
        settling.hint(hint("a.xml", kind), 0.0)
    (only,) = run_out(settling)
    assert only.at == pytest.approx(LIMITS.settle_written_s)


def test_a_new_hint_starts_the_quiet_time_again() -> None:
    settling = make()
    settling.hint(hint("a.xml", HintKind.WRITTEN), 0.0)
    settling.hint(hint("a.xml", HintKind.WRITTEN), 0.09)
    assert not settling.due(0.15)
    assert settling.due(0.19 + TINY_S)


def test_a_path_that_never_falls_silent_is_due_at_the_cap() -> None:
    settling = make()
    for tick in range(2_000):
        settling.hint(hint("big.xml", HintKind.WRITTEN), tick * 0.05)
        if settling.due(tick * 0.05):
            assert tick * 0.05 == pytest.approx(LIMITS.settle_cap_s, abs=0.06)
            return
    pytest.fail("never due")


def test_the_temporary_name_of_an_atomic_save_delays_nothing() -> None:
    settling = make()
    settling.hint(hint("sedXYZ", HintKind.CREATED), 0.0)
    settling.hint(hint("sedXYZ", HintKind.WRITTEN), 0.001)
    settling.hint(hint("sedXYZ", HintKind.DELETED), 0.002)
    settling.hint(hint("a.xml", HintKind.WRITTEN), 0.002)
    first, second = run_out(settling)
    assert first.at == pytest.approx(0.102)
    assert first.due.paths == {TREE: ("a.xml",)}
    assert second.due.paths == {TREE: ("sedXYZ",)}


def test_an_api_waits_for_the_sequence_that_is_still_being_written() -> None:
    settling = make()
    settling.hint(hint("api/p.xml", HintKind.WRITTEN), 0.0)
    settling.hint(hint("sequences/in.xml", HintKind.WRITTEN), 0.08)
    (only,) = run_out(settling)
    assert only.at == pytest.approx(0.18)
    assert only.due.paths == {TREE: ("api/p.xml", "sequences/in.xml")}


def test_a_ready_path_waits_no_longer_than_the_gathering_time_for_a_slow_one() -> None:
    settling = make()
    settling.hint(hint("api/p.xml", HintKind.WRITTEN), 0.0)
    settling.hint(hint("sequences/slow.xml", HintKind.CREATED), 0.05)
    first, second = run_out(settling)
    assert first.at == pytest.approx(0.1 + GATHER_S)
    assert first.due.paths == {TREE: ("api/p.xml",)}
    assert second.at == pytest.approx(0.55)


def test_a_burst_without_end_is_handed_out_in_parts() -> None:
    settling = make()
    first_out = None
    for tick in range(400):
        now = tick * 0.05
        settling.hint(hint(f"{tick}.xml", HintKind.WRITTEN), now)
        if settling.due(now):
            first_out = now
            break
    assert first_out == pytest.approx(LIMITS.settle_written_s + GATHER_MAX_S, abs=0.06)


def test_trees_do_not_wait_for_each_other() -> None:
    settling = make()
    settling.hint(hint("a.xml", HintKind.WRITTEN), 0.0)
    settling.hint(hint("p.siddhiql", HintKind.CREATED, OTHER), 0.0)
    assert settling.due(0.1 + TINY_S).paths == {TREE: ("a.xml",)}
    assert settling.due(0.5 + TINY_S).paths == {OTHER: ("p.siddhiql",)}


def test_carbon_trees_wait_two_seconds_for_everything() -> None:
    settling = Settling(written_s=2.0, created_s=0.5, cap_s=10.0)
    settling.hint(hint("api/p.xml", HintKind.CREATED), 0.0)
    settling.hint(hint("api/p.xml", HintKind.WRITTEN), 0.0)
    settling.hint(hint("sequences/in.xml", HintKind.WRITTEN), 1.5)
    (only,) = run_out(settling)
    assert only.at == pytest.approx(3.5)
    assert only.due.paths == {TREE: ("api/p.xml", "sequences/in.xml")}


def test_a_folder_asks_for_a_scan_once_the_tree_is_quiet() -> None:
    settling = make()
    settling.hint(hint("api", HintKind.SUBTREE), 0.0)
    settling.hint(hint("api/p.xml", HintKind.WRITTEN), 0.3)
    (only,) = run_out(settling)
    assert only.at == pytest.approx(0.3 + SCAN_QUIET_S)
    assert only.due == Due({}, (TREE,))


def test_ready_paths_do_not_wait_for_a_scan_that_the_tree_keeps_putting_off() -> None:
    settling = make()
    settling.hint(hint("api", HintKind.SUBTREE), 0.0)
    seen: list[Happening] = []
    for tick in range(240):
        now = tick * 0.05
        settling.hint(hint(f"{tick}.xml", HintKind.WRITTEN), now)
        due = settling.due(now)
        if due:
            seen.append(Happening(now, due))
    assert seen[0].at == pytest.approx(LIMITS.settle_written_s + GATHER_MAX_S, abs=0.06)
    scans = [happening.at for happening in seen if happening.due.scans]
    assert scans == [pytest.approx(LIMITS.settle_cap_s, abs=0.06)]


def test_a_scan_leaves_what_is_not_yet_settled_for_later() -> None:
    settling = make()
    settling.hint(hint("api", HintKind.SUBTREE), 0.0)
    settling.hint(hint("old.xml", HintKind.DELETED), 0.0)
    first, second = run_out(settling)
    assert first.due == Due({}, (TREE,))
    assert (second.at, second.due) == (pytest.approx(1.0), Due({TREE: ("old.xml",)}))


def test_too_many_dirty_paths_become_one_scan() -> None:
    settling = make()
    for n in range(DIRTY_PATHS_MAX + 1):
        settling.hint(hint(f"{n}.xml", HintKind.WRITTEN), 0.0)
    (only,) = run_out(settling)
    assert only.due == Due({}, (TREE,))
    assert only.at == pytest.approx(SCAN_QUIET_S)


def test_a_fault_makes_its_tree_suspect_until_the_scan_is_handed_out() -> None:
    settling = make()
    settling.fault(TREE, 0.0)
    assert settling.suspect(TREE)
    assert not settling.suspect(OTHER)
    assert not settling.due(SCAN_QUIET_S - TINY_S)
    assert settling.suspect(TREE)
    assert settling.due(SCAN_QUIET_S).scans == (TREE,)
    assert not settling.suspect(TREE)


def test_a_faulty_tree_that_never_falls_silent_is_scanned_at_the_cap() -> None:
    settling = make()
    settling.fault(TREE, 0.0)
    for tick in range(1, 200):
        now = tick * 0.05
        settling.hint(hint("busy.xml", HintKind.WRITTEN), now)
        if settling.due(now).scans:
            assert now == pytest.approx(FAULT_CAP_S, abs=0.06)
            return
    pytest.fail("never scanned")


def test_repeated_faults_back_off_and_peace_starts_over() -> None:
    settling = make()
    now = 0.0
    pauses = []
    for _ in range(10):
        settling.fault(TREE, now)
        (only,) = run_out(settling)
        pauses.append(only.at - now)
        now = only.at  # the next fault comes during the scan
    wanted = [SCAN_QUIET_S, 1, 2, 4, 8, 16, 32, BACKOFF_MAX_S, BACKOFF_MAX_S, BACKOFF_MAX_S]
    assert pauses == [pytest.approx(pause) for pause in wanted]
    now += BACKOFF_MAX_S + 1
    settling.fault(TREE, now)
    (only,) = run_out(settling, until=10_000.0)
    assert only.at - now == pytest.approx(SCAN_QUIET_S)


def test_faults_before_the_scan_count_once() -> None:
    settling = make()
    for n in range(20):
        settling.fault(TREE, n * 0.01)
    (first,) = run_out(settling)
    for n in range(20):
        settling.fault(TREE, first.at + n * 0.01)
    (second,) = run_out(settling)
    assert second.at - first.at == pytest.approx(1.0)


def test_a_folder_does_not_shorten_the_back_off_of_a_fault() -> None:
    settling = make()
    settling.fault(TREE, 0.0)
    (first,) = run_out(settling)
    settling.fault(TREE, first.at)
    settling.hint(hint("api", HintKind.SUBTREE), first.at)
    settling.fault(TREE, first.at + 0.1)
    (second,) = run_out(settling)
    assert second.at - first.at == pytest.approx(1.0)
    settling.hint(hint("api", HintKind.SUBTREE), second.at)
    settling.fault(TREE, second.at)
    settling.hint(hint("api", HintKind.SUBTREE), second.at)
    (third,) = run_out(settling)
    assert third.at - second.at == pytest.approx(2.0)


def test_an_empty_settling_has_nothing_to_wait_for() -> None:
    settling = make()
    assert settling.next_at() is None
    assert not settling.due(1e9)


paths = st.sampled_from([f"{n}.xml" for n in range(6)])
steps = st.lists(
    st.tuples(
        st.floats(0.0, 1.5),
        st.one_of(
            st.builds(hint, paths, st.sampled_from(HintKind), st.sampled_from([TREE, OTHER])),
            st.sampled_from([TREE, OTHER]),
        ),
    ),
    max_size=40,
)


class Watched:
    """Drives a Settling as the loop does and remembers what was hinted but not yet looked at."""

    def __init__(self) -> None:
        self.settling = make()
        self.open: dict[tuple[str, str], tuple[float, float, HintKind]] = {}
        self.scan_open: dict[str, float] = {}

    def take(self, what: Hinted | str, now: float) -> None:
        if not isinstance(what, Hinted):
            self.settling.fault(TreeName(what), now)
            self.scan_open.setdefault(what, now)
            return
        self.settling.hint(what, now)
        if what.kind is HintKind.SUBTREE:
            self.scan_open.setdefault(what.tree, now)
        else:
            first, _, _ = self.open.get((what.tree, what.path), (now, now, what.kind))
            self.open[what.tree, what.path] = (first, now, what.kind)

    def look(self, now: float) -> None:
        due = self.settling.due(now)
        for tree, listed in due.paths.items():
            assert tree not in due.scans
            assert list(listed) == sorted(set(listed))
            for path in listed:
                first, last, kind = self.open.pop((tree, path))
                ready = min(last + QUIET_S[kind], first + LIMITS.settle_cap_s)
                assert now >= ready - TINY_S, "looked at too early"
        for tree in due.scans:
            self.scan_open.pop(tree, None)
            for key in [key for key in self.open if key[0] == tree]:
                first, last, kind = self.open[key]
                if now >= min(last + QUIET_S[kind], first + LIMITS.settle_cap_s):
                    del self.open[key]

    def advance(self, until: float) -> None:
        woken = 0
        while (at := self.settling.next_at()) is not None and at <= until:
            self.look(at)
            after = self.settling.next_at()
            assert after is None or after > at, "the same instant twice"
            woken += 1
            assert woken < 1_000


@settings(deadline=None, max_examples=150)
@given(steps)
def test_no_hint_is_lost_and_none_is_looked_at_before_it_is_quiet(
    script: list[tuple[float, Hinted | str]],
) -> None:
    watched = Watched()
    now = 0.0
    for pause, what in script:
        watched.advance(now + pause)
        now += pause
        watched.take(what, now)
        for first, _, _ in watched.open.values():
            # A pending scan takes over what is ready; nothing waits longer than cap and gathering.
            assert now - first <= LIMITS.settle_cap_s + GATHER_MAX_S + TINY_S
    watched.advance(now + 1_000.0)
    assert not watched.open
    assert not watched.scan_open
    assert watched.settling.next_at() is None


def test_a_path_is_hinted_at_from_its_first_hint_until_it_is_handed_out() -> None:
    settling = make()
    assert settling.hinted_at(TREE, "api/a.xml") is None
    for now in (1.0, 1.01):
        settling.hint(Hinted(TREE, "api/a.xml", HintKind.WRITTEN), now)
    assert settling.hinted_at(TREE, "api/a.xml") == 1.0
    assert settling.hinted_at(TREE, "api/b.xml") is None
    assert settling.due(10.0).paths
    assert settling.hinted_at(TREE, "api/a.xml") is None
