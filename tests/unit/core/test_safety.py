"""Which changes wait for a person, and what an approval releases."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import ArtifactPath, NodeName, TreeKind, TreeName
from syncagent.core.change import Change
from syncagent.core.diff import diff
from syncagent.core.digest import Digest, digest_of
from syncagent.core.manifest import Entry, Manifest
from syncagent.core.safety import (
    HoldReason,
    Judgement,
    Rules,
    first_contact_hold,
    hold_id,
    judge_changes,
    set_digest,
    tree_hold,
)
from syncagent.core.settings import Limits

T, OTHER = TreeName("synapse"), TreeName("siddhi")
KINDS = {T: TreeKind.SYNAPSE, OTHER: TreeKind.SIDDHI}
RULES = Rules(NodeName("gw-1"), KINDS, Limits())
OLD, NEW = Entry(digest_of(b"old"), 3), Entry(digest_of(b"new"), 3)


def paths(folder: str, count: int, tree: TreeName = T) -> list[ArtifactPath]:
    return [ArtifactPath(tree, f"{folder}/{n:04}.xml") for n in range(count)]


def holding(*groups: list[ArtifactPath]) -> Manifest:
    return Manifest.of((path, OLD) for group in groups for path in group)


def gone(where: list[ArtifactPath]) -> list[Change]:
    return [Change(path, OLD, None) for path in where]


def updated(where: list[ArtifactPath]) -> list[Change]:
    return [Change(path, OLD, NEW) for path in where]


def judge(
    changes: list[Change],
    before: Manifest,
    *,
    vanished: tuple[ArtifactPath, ...] = (),
    approved: tuple[Digest, ...] = (),
) -> Judgement:
    return judge_changes(changes, before, RULES, vanished=vanished, approved=approved)


MANY = holding(paths("api", 400), paths("sequences", 600))


@pytest.mark.parametrize(
    ("folder", "count", "held"),
    [
        pytest.param("api", 10, False, id="ten APIs"),
        pytest.param("api", 11, True, id="eleven APIs"),
        pytest.param("sequences", 50, False, id="fifty files"),
        pytest.param("sequences", 51, True, id="fifty-one files"),
    ],
)
def test_many_deletions_at_once_are_held(folder: str, count: int, held: bool) -> None:
    judged = judge(gone(paths(folder, count)), MANY)
    assert [hold.reason for hold in judged.holds] == [HoldReason.DELETIONS] * held
    assert len(judged.passed) == (0 if held else count)


@pytest.mark.parametrize(
    ("count", "total", "held"),
    [
        pytest.param(20, 40, False, id="half, but only twenty"),
        pytest.param(21, 40, True, id="more than twenty, more than a fifth"),
        pytest.param(21, 105, False, id="exactly a fifth"),
        pytest.param(21, 104, True, id="a little more than a fifth"),
    ],
)
def test_a_large_share_of_a_tree_is_held(count: int, total: int, held: bool) -> None:
    judged = judge(gone(paths("sequences", count)), holding(paths("sequences", total)))
    assert bool(judged.holds) is held


def test_the_last_artifact_of_a_tree_is_held_however_few_there_were() -> None:
    judged = judge(gone(paths("api", 1)), holding(paths("api", 1), paths("x", 9, OTHER)))
    (hold,) = judged.holds
    assert (hold.reason, hold.tree, hold.paths) == (
        HoldReason.TREE_EMPTIED,
        T,
        tuple(paths("api", 1)),
    )
    assert "is it mounted?" in hold.text
    assert f"syncagent approve {hold.id}" in hold.text


@pytest.mark.parametrize(
    ("vanished", "held"),
    [
        pytest.param((), False, id="one file of a folder that is there"),
        pytest.param((ArtifactPath(T, "api"),), True, id="its folder is gone"),
        pytest.param((ArtifactPath(T, "api/deep"),), True, id="a folder on the way is gone"),
        pytest.param((ArtifactPath(T, "api/deep/er/x.xml"),), False, id="not a folder above it"),
        pytest.param((ArtifactPath(T, "sequences"),), False, id="another folder is gone"),
        pytest.param((ArtifactPath(OTHER, "api"),), False, id="that of another tree is gone"),
    ],
)
def test_what_goes_with_its_folder_is_held(vanished: tuple[ArtifactPath, ...], held: bool) -> None:
    deep = ArtifactPath(T, "api/deep/er/x.xml")
    judged = judge(gone([deep]), holding([deep], paths("api", 5)), vanished=vanished)
    assert [hold.reason for hold in judged.holds] == [HoldReason.FOLDER_VANISHED] * held


def test_trees_are_judged_one_by_one() -> None:
    plans = paths("p", 1, OTHER)
    many = paths("sequences", 51)
    judged = judge(
        [*gone(many), *gone(plans)], holding(paths("sequences", 600), paths("p", 9, OTHER))
    )
    assert [hold.tree for hold in judged.holds] == [T]
    assert [change.path for change in judged.passed] == plans


def test_other_changes_of_the_same_moment_pass() -> None:
    kept, lost = paths("sequences", 3), paths("api", 11)
    added = [Change(path, None, NEW) for path in paths("tasks", 2)]
    changes = [*updated(kept), *gone(lost), *added]
    judged = judge(changes, MANY)
    assert set(judged.passed) == {*updated(kept), *added}
    assert judged.holds[0].paths == tuple(lost)
    assert list(judged.passed) == sorted(judged.passed, key=lambda change: change.path)


def test_hundreds_of_updates_are_held_and_additions_go_on() -> None:
    updates = updated(paths("sequences", 501))
    added = [Change(path, None, NEW) for path in paths("tasks", 2)]
    judged = judge([*updates, *added], MANY)
    (hold,) = judged.holds
    assert (hold.reason, hold.set_digest) == (HoldReason.UPDATES, set_digest(updates))
    assert set(judged.passed) == set(added)
    assert judge(updates[:500], MANY).holds == ()
    released = judge([*updates, *added], MANY, approved=(hold.set_digest,))
    assert (released.holds, released.released) == ((), (hold.set_digest,))
    assert set(released.passed) == {*updates, *added}


PATHS = [*paths("api", 14), *paths("sequences", 8), *paths("p", 4, OTHER)]
SUBSETS = st.sets(st.sampled_from(PATHS))
TIGHT = replace(
    RULES, limits=Limits(delete_apis=2, delete_files=4, delete_share_floor=2, updates=3)
)


@settings(deadline=None, max_examples=300)
@given(SUBSETS, SUBSETS, st.data())
def test_an_approval_releases_exactly_the_set_that_was_shown(
    lost: set[ArtifactPath], edited: set[ArtifactPath], data: st.DataObject
) -> None:
    before = holding(PATHS)
    changes = [*gone(sorted(lost)), *updated(sorted(edited - lost))]
    fresh = [Change(ArtifactPath(T, "tasks/new.xml"), None, NEW)]

    def decide(what: list[Change], *approved: Digest) -> Judgement:
        return judge_changes([*what, *fresh], before, TIGHT, vanished=(), approved=approved)

    first = decide(changes)
    shown = {path for hold in first.holds for path in hold.paths}
    assert {c.path for c in first.passed} == {c.path for c in [*changes, *fresh]} - shown
    assert first.released == ()
    for hold in first.holds:
        after = decide(changes, hold.set_digest)
        others = [other for other in first.holds if other != hold]
        assert list(after.holds) == others
        assert after.released == (hold.set_digest,)
        assert {c.path for c in after.passed} >= set(hold.paths)
        if hold.reason is HoldReason.UPDATES:
            continue
        spared = data.draw(st.sampled_from(hold.paths))
        fewer = [c for c in changes if c.path != spared]
        other = decide(fewer, hold.set_digest)
        assert hold.set_digest not in other.released, "a smaller set is another set"


@settings(deadline=None, max_examples=200)
@given(SUBSETS, st.sets(st.sampled_from([T, OTHER])))
def test_a_node_with_fewer_trees_holds_the_same_sets(
    lost: set[ArtifactPath], trees: set[TreeName]
) -> None:
    """One approval, on the manager, is good for every worker that stands where it stood."""
    before = holding(PATHS)
    changes = gone(sorted(lost))
    whole = judge_changes(changes, before, TIGHT, vanished=(), approved=())
    mine = [change for change in changes if change.path.tree in trees]
    part = judge_changes(mine, before.project(trees), TIGHT, vanished=(), approved=())
    digests = {hold.set_digest for hold in whole.holds if hold.tree in trees}
    assert {hold.set_digest for hold in part.holds} == digests
    released = judge_changes(mine, before.project(trees), TIGHT, vanished=(), approved=digests)
    assert (released.holds, set(released.passed)) == ((), set(mine))


@settings(deadline=None, max_examples=100)
@given(st.sets(st.sampled_from(PATHS), min_size=1), st.randoms(use_true_random=False))
def test_a_set_s_name_does_not_depend_on_its_order(
    lost: set[ArtifactPath], chance: random.Random
) -> None:
    changes = gone(sorted(lost))
    shuffled = changes.copy()
    chance.shuffle(shuffled)
    assert set_digest(shuffled) == set_digest(changes)
    assert set_digest(changes[1:]) != set_digest(changes)
    assert set_digest(updated(sorted(lost))) != set_digest(changes)
    before = {change.path: change.before for change in changes}
    assert set_digest(diff(Manifest.of(before.items()), Manifest())) == set_digest(changes)


def test_a_hold_is_named_by_its_reason_and_set() -> None:
    digest = digest_of(b"x")
    assert hold_id(HoldReason.DELETIONS, digest) != hold_id(HoldReason.UPDATES, digest)
    assert hold_id(HoldReason.TREE_EMPTIED, digest).startswith("t-")


def test_a_tree_that_can_t_be_believed_says_its_own_id() -> None:
    hold = tree_hold(
        HoldReason.ROOT_REPLACED, T, NodeName("gw-1"), "approve ID if it is right", approvable=True
    )
    assert hold.text == f"approve {hold.id} if it is right"
    assert hold.paths == ()
    again = tree_hold(
        HoldReason.ROOT_REPLACED, T, NodeName("gw-1"), "approve ID if it is right", approvable=True
    )
    assert again == hold


def test_first_contact_counts_what_joining_would_do() -> None:
    path = paths("api", 4)
    changes = [
        Change(path[0], OLD, NEW),
        Change(path[1], OLD, None),
        Change(path[2], None, NEW),
        Change(path[3], None, NEW),
    ]
    hold = first_contact_hold(NodeName("gw-2"), changes)
    assert "add 2, update 1, delete 1" in hold.text
    assert hold.set_digest == set_digest(changes)
    assert hold.approvable


@pytest.mark.parametrize(
    ("count", "left", "shared", "held"),
    [(5, 0, True, True), (4, 0, True, False), (5, 1, True, False), (5, 0, False, False)],
)
def test_a_folder_of_a_share_that_is_empty_at_once_is_held(
    count: int, left: int, shared: bool, held: bool
) -> None:
    folder, others = paths("sequences", count + left), paths("endpoints", 30)
    rules = replace(RULES, shared=frozenset({T} if shared else ()))
    before = holding(folder, others)
    judged = judge_changes(gone(folder[:count]), before, rules, vanished=(), approved=())
    assert [hold.reason for hold in judged.holds] == [HoldReason.FOLDER_VANISHED] * held
    if held:
        assert "a folder vanished or is empty with them" in judged.holds[0].text
