"""Hints between agents: what one kernel saw on a mount makes the others look, and look again."""

from __future__ import annotations

import pytest

from syncagent.agent.effects import Look, Scan
from syncagent.agent.node.hinting import AWAITED_MAX, PATHS_MAX, Hinting
from syncagent.core.artifact import TreeName
from syncagent.core.events import Hinted, HintKind, ShareHinted
from syncagent.core.settings import SHARE, PeerSettings, SharedForm, SharedSettings, Writers
from syncagent.core.snapshot import Condition
from syncagent.core.wire.messages import Admit, Commit, Hint
from tests.fakes.agent_bench import PEER, THIRD, Bench, T, at, sequence
from tests.unit.agent.test_following import batch, following

A, B = "sequences/a.xml", "sequences/b.xml"
OLD = {A: sequence("a"), B: sequence("b")}
NEW = sequence("a", text="2")
PEERS = (PeerSettings(PEER, "gw-2:1", ""), PeerSettings(THIRD, "gw-3:1", ""))


def on_share(form: SharedForm = SharedForm.IN_PLACE, **given: object) -> Bench:
    shared: dict[str, object] = {
        "mode": "shared",
        "shared": SharedSettings(form),
        "writers": Writers.ANY,
        "peers": PEERS,
    }
    return Bench(OLD, **{**shared, **given})  # type: ignore[arg-type]


def worker(form: SharedForm = SharedForm.IN_PLACE) -> tuple[Bench, int]:
    bench = on_share(form, manager=PEER, standing=OLD).start()
    bench.pass_(2.0)
    link = bench.link(dialled=False, version=3)
    bench.hear(link, Admit(bench.token(2)))
    bench.sent.clear()
    return bench, link


def manager(form: SharedForm = SharedForm.IN_PLACE) -> tuple[Bench, int, int]:
    bench = on_share(form).start().pass_(30.0)
    assert bench.state.leads
    links = [bench.link(name, version=3) for name in (PEER, THIRD)]
    for link in links:
        bench.admit(link)
    bench.sent.clear()
    return bench, links[0], links[1]


def sees(bench: Bench, *paths: str, kind: HintKind = HintKind.WRITTEN) -> None:
    for path in paths:
        bench.handle(Hinted(T, path, kind, seen_here=True))
    bench.pass_(0.1)


# --- told -------------------------------------------------------------------------------------


def test_what_this_kernel_saw_is_told_to_the_manager_as_one_hint() -> None:
    bench, link = worker()
    sees(bench, B, A)
    assert bench.said(Hint, link) == [Hint((at(A), at(B)))]
    bench.pass_(5.0)
    assert bench.said(Hint) == []


def test_what_a_poll_found_is_told_to_nobody() -> None:
    bench, _ = worker()
    bench.handle(Hinted(T, A, HintKind.WRITTEN))
    bench.pass_(1.0)
    assert bench.said(Hint) == []


def test_on_trees_of_its_own_nothing_is_told() -> None:
    bench = Bench(OLD).lead().pass_(3)
    link = bench.link(version=3)
    bench.admit(link)
    sees(bench, A)
    assert bench.said(Hint) == []
    bench.hear(link, Hint((at(A),)))
    assert not bench.node.hinting.next_at()


@pytest.mark.parametrize("kind", [HintKind.SUBTREE, HintKind.CREATED])
def test_a_folder_that_came_and_very_many_paths_are_told_as_the_tree(kind: HintKind) -> None:
    bench, link = worker()
    many = 1 if kind is HintKind.SUBTREE else PATHS_MAX + 1
    sees(bench, *(f"sequences/s{n}" for n in range(many)), kind=kind)
    assert bench.said(Hint, link) == [Hint((), (T,))]


def test_an_agent_of_the_version_before_is_told_nothing() -> None:
    bench = on_share(manager=PEER, standing=OLD).start()
    bench.managed()
    sees(bench, A)
    assert bench.said(Hint) == []


def test_the_manager_tells_all_its_workers_and_passes_on_what_one_told() -> None:
    bench, one, other = manager()
    sees(bench, A)
    told = [Hint((at(A),), (), relayed=True)]
    assert (bench.said(Hint, one), bench.said(Hint, other)) == (told, told)
    bench.hear(one, Hint((at(B),), (T,)))
    assert bench.said(Hint, one) == []
    assert bench.said(Hint, other) == [Hint((at(B),), (T,), relayed=True)]
    bench.hear(one, Hint((at(B),), (), relayed=True))
    assert bench.said(Hint) == [], "what was passed on goes no further"


def test_what_is_seen_on_the_share_beside_local_trees_is_for_its_keeper() -> None:
    bench, one, other = manager(SharedForm.SHADOW)
    keeper = bench.link(SHARE, version=3)
    bench.admit(keeper)
    bench.sent.clear()
    bench.handle(ShareHinted(T, A, HintKind.WRITTEN))
    bench.pass_(0.1)
    assert bench.said(Hint, keeper) == [Hint((at(A),), (), relayed=True)]
    bench.hear(one, Hint((at(B),)))
    assert bench.said(Hint, keeper) == [Hint((at(B),), (), relayed=True)]
    assert bench.said(Hint, other) == []
    assert not bench.node.hinting.next_at(), "its own trees are elsewhere"
    below, link = worker(SharedForm.SHADOW)
    below.handle(ShareHinted(T, A, HintKind.WRITTEN))
    sees(below, B)
    assert below.said(Hint, link) == [Hint((at(A),))]


def test_of_a_tree_that_is_not_listed_nothing_is_told_and_nothing_looked_at() -> None:
    bench, link = worker()
    elsewhere = TreeName("elsewhere")
    bench.handle(Hinted(elsewhere, A, HintKind.WRITTEN, seen_here=True))
    bench.hear(link, Hint((at(A, elsewhere),), (elsewhere,)))
    bench.pass_(0.1)
    assert bench.said(Hint) == []
    assert not bench.node.hinting.next_at()


# --- heard ------------------------------------------------------------------------------------


def test_a_worker_looks_at_once_and_sees_without_its_poll() -> None:
    bench, link = worker()
    bench.disk.put(at(A), NEW)
    before = bench.at
    bench.hear(link, Hint((at(A),)))
    assert at(A) in bench.node.observing.differing()
    assert bench.at == before
    bench.pass_(10.0)
    assert not bench.node.hinting.next_at()


def test_the_manager_looks_when_the_path_is_quiet() -> None:
    bench, one, _ = manager()
    number = bench.state.standing.revision.number
    bench.disk.put(at(A), NEW)
    bench.hear(one, Hint((at(A),)))
    assert not bench.node.observing.differing()
    bench.pass_(0.5)
    assert bench.state.standing.revision.number == number + 1


def test_while_it_sees_what_it_saw_before_it_looks_again_and_then_no_more() -> None:
    bench, link = worker()
    looked: list[float] = []
    do = bench.do

    def watch(effect: object) -> object:
        if isinstance(effect, Look) and effect.paths:
            looked.append(round(bench.at - begun, 2))
        return do(effect)  # type: ignore[arg-type]

    bench.do = watch  # type: ignore[assignment,method-assign]
    begun = bench.at
    bench.hear(link, Hint((at(A),)))
    bench.pass_(20.0)
    assert looked == [0.0, 0.1, 0.4, 1.4, 4.4]
    begun, looked[:] = bench.at, []
    bench.hear(link, Hint((at(A),)))
    bench.pass_(1.0)
    bench.disk.put(at(A), NEW)
    bench.pass_(10.0)
    assert looked == [0.0, 0.1, 0.4, 1.4], "what it saw then was new"


def test_very_many_paths_and_whole_trees_are_scanned_at_most_twice() -> None:
    bench, link = worker()
    scans: list[float] = []
    do = bench.do

    def watch(effect: object) -> object:
        if isinstance(effect, Scan):
            scans.append(bench.at)
        return do(effect)  # type: ignore[arg-type]

    bench.do = watch  # type: ignore[assignment,method-assign]
    bench.hear(link, Hint((), (T,)))
    bench.hear(link, Hint(tuple(at(f"sequences/s{n}") for n in range(AWAITED_MAX + 5))))
    bench.hear(link, Hint((), (T,)))
    bench.pass_(8.0)
    assert len(scans) == 2
    assert not bench.node.hinting.next_at()


def test_more_paths_than_anybody_looks_at_are_passed_on_as_their_trees() -> None:
    bench, one, other = manager()
    bench.hear(one, Hint(tuple(at(f"sequences/s{n}") for n in range(AWAITED_MAX + 1))))
    assert bench.said(Hint, other) == [Hint((), (T,), relayed=True)]


def test_as_many_as_can_be_awaited_are_looked_at_one_by_one() -> None:
    bench, link = worker()
    for start in (0, AWAITED_MAX - 2):
        names = range(start, start + AWAITED_MAX - 1)
        bench.hear(link, Hint(tuple(at(f"sequences/s{n}") for n in names)))
    bench.pass_(12.0)
    assert not bench.node.hinting.next_at()


def test_a_tree_that_does_not_answer_is_not_looked_at_for_a_hint() -> None:
    bench, link = worker()
    view = bench.node.observing.views[T]
    view.stall("the mount hangs")
    bench.hear(link, Hint((at(A),)))
    assert view.condition is Condition.STALLED
    assert not view.busy


def test_a_worker_looks_for_what_a_revision_says_of_the_mount() -> None:
    bench, link = worker()
    token = bench.state.guard.highest
    assert token is not None
    new = following(bench, {**OLD, A: NEW})
    bench.offer(link, token, new)
    bench.hear(link, batch(NEW))
    bench.disk.put(at(A), NEW)
    bench.hear(link, Commit(token, new.id))
    assert not bench.node.observing.differing()


def test_a_hint_waits_for_nothing_where_nothing_is_to_be_done() -> None:
    bench, _ = worker()
    assert isinstance(bench.node.hinting, Hinting)
    assert bench.node.hinting.next_at() is None
