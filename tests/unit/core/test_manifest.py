"""Manifests, changes and diffs: what holds for all of them."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import ArtifactPath, TreeName
from syncagent.core.change import Change
from syncagent.core.diff import diff
from syncagent.core.digest import digest_of
from syncagent.core.manifest import EMPTY, Entry, Manifest

Rows = dict[ArtifactPath, Entry]

TREES = st.sampled_from([TreeName("synapse"), TreeName("siddhi"), TreeName("tenant-1")])
PATHS = st.builds(ArtifactPath, TREES, st.sampled_from(["api/a.xml", "api/b.xml", "c", "d/e"]))
ENTRIES = st.sampled_from([Entry(digest_of(bytes([n])), n) for n in range(4)])
ROWS = st.dictionaries(PATHS, ENTRIES, max_size=8)


def manifest(rows: Rows) -> Manifest:
    return Manifest.of(rows.items())


@settings(deadline=None, max_examples=200)
@given(ROWS, ROWS)
def test_the_changes_between_two_manifests_lead_from_one_to_the_other(old: Rows, new: Rows) -> None:
    before, after = manifest(old), manifest(new)
    changes = diff(before, after)
    assert before.after(changes) == after
    assert before.after(changes).digest == after.digest
    assert list(changes) == sorted(changes, key=lambda change: change.path)
    assert {c.path for c in changes} == {p for p in {*old, *new} if old.get(p) != new.get(p)}


@settings(deadline=None, max_examples=200)
@given(ROWS, ROWS)
def test_digests_are_equal_exactly_where_rows_are(one: Rows, other: Rows) -> None:
    first, second = manifest(one), manifest(other)
    assert (first.digest == second.digest) == (one == other)
    assert (first == second) == (one == other)
    assert hash(first) == hash(manifest(one))


@settings(deadline=None, max_examples=100)
@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_plays_no_part(rows: Rows, chance: random.Random) -> None:
    shuffled = list(rows.items())
    chance.shuffle(shuffled)
    assert Manifest.of(shuffled).digest == manifest(rows).digest
    assert list(manifest(rows)) == sorted(rows.items())


@settings(deadline=None, max_examples=200)
@given(ROWS, st.lists(ROWS, max_size=5))
def test_a_manifest_that_grew_by_changes_is_one_made_anew(start: Rows, later: list[Rows]) -> None:
    grown = manifest(start)
    for rows in later:
        grown = grown.after(diff(grown, manifest(rows)))
        assert grown == manifest(rows)
        assert grown.digest == manifest(rows).digest
        assert grown.trees == manifest(rows).trees
    assert manifest(start).digest == manifest(start).after(()).digest


@settings(deadline=None, max_examples=100)
@given(ROWS, st.sets(TREES))
def test_a_projection_has_the_rows_of_its_trees(rows: Rows, trees: set[TreeName]) -> None:
    mine = manifest(rows).project(trees)
    assert mine == manifest({p: e for p, e in rows.items() if p.tree in trees})
    assert mine.digest == Manifest.of(iter(mine)).digest
    assert mine.project(trees) == mine


@settings(deadline=None, max_examples=100)
@given(ROWS)
def test_a_manifest_answers_for_each_of_its_rows(rows: Rows) -> None:
    whole = manifest(rows)
    assert len(whole) == len(rows)
    assert whole.bytes_total == sum(entry.size for entry in rows.values())
    for path, entry in rows.items():
        assert path in whole
        assert whole.get(path) == entry
        assert whole.tree(path.tree)[path.path] == entry
    assert set(whole.trees) == {path.tree for path in rows}
    absent = ArtifactPath(TreeName("none"), "x")
    assert absent not in whole
    assert whole.get(absent) is None
    assert whole.tree(absent.tree) == {}


def test_a_manifest_does_not_change_with_what_came_of_it() -> None:
    path, one, two = (
        ArtifactPath(TreeName("t"), "a"),
        Entry(digest_of(b"1"), 1),
        Entry(digest_of(b"2"), 1),
    )
    first = Manifest.of([(path, one)])
    second = first.after([Change(path, one, two)])
    third = second.after([Change(path, two, None)])
    assert (first.get(path), second.get(path), third) == (one, two, EMPTY)
    assert third.digest == EMPTY.digest
    assert first.digest == Manifest.of([(path, one)]).digest


def test_a_path_that_comes_twice_keeps_its_last_entry() -> None:
    path = ArtifactPath(TreeName("t"), "a")
    one, two = Entry(digest_of(b"1"), 1), Entry(digest_of(b"2"), 1)
    assert Manifest.of([(path, one), (path, two)]) == Manifest.of([(path, two)])


def test_the_same_path_in_two_trees_is_two_artifacts() -> None:
    entry = Entry(digest_of(b"1"), 1)
    here, there = ArtifactPath(TreeName("a"), "bc"), ArtifactPath(TreeName("ab"), "c")
    assert Manifest.of([(here, entry)]).digest != Manifest.of([(there, entry)]).digest
    assert Manifest.of([(here, entry)]) != "a manifest"


def test_a_tree_without_rows_is_no_tree() -> None:
    assert Manifest({TreeName("t"): {}}) == EMPTY
    assert Manifest({TreeName("t"): {}}).trees == ()


def test_a_manifest_shows_its_size_and_digest() -> None:
    assert repr(EMPTY) == f"Manifest(0 artifacts, {EMPTY.digest})"


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        pytest.param(None, Entry(digest_of(b"1"), 1), "add", id="absent before"),
        pytest.param(Entry(digest_of(b"1"), 1), None, "delete", id="absent after"),
        pytest.param(Entry(digest_of(b"1"), 1), Entry(digest_of(b"2"), 1), "update", id="both"),
    ],
)
def test_a_change_has_a_word(before: Entry | None, after: Entry | None, word: str) -> None:
    assert Change(ArtifactPath(TreeName("t"), "a"), before, after).word == word


@pytest.mark.parametrize("entry", [None, Entry(digest_of(b"1"), 1)])
def test_a_change_must_change_something(entry: Entry | None) -> None:
    with pytest.raises(AssertionError, match="t:a"):
        Change(ArtifactPath(TreeName("t"), "a"), entry, entry)
