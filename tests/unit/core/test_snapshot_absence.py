"""Absence is concluded only from what was looked at."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import TreeKind, TreeName
from syncagent.core.digest import digest_of
from syncagent.core.ignore import Ignore
from syncagent.core.manifest import Entry
from syncagent.core.snapshot import Condition, Seen, Snapshot, Unread
from syncagent.core.verdict import Problem

TREE = TreeName("t")
SEEN = Seen(Entry(digest_of(b""), 0), 0)
PARTS = st.sampled_from(["a", "b", "c"])
FOLDERS = st.lists(PARTS, max_size=3).map("/".join)
FILES = st.tuples(FOLDERS, st.sampled_from(["x", "y"])).map(lambda it: "/".join(filter(None, it)))


def above(path: str) -> list[str]:
    """Return the folders on the way to `path`, the root first."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(len(parts) + 1)]


@st.composite
def truths(draw: st.DrawFn) -> tuple[set[str], set[str], Snapshot]:
    """Return the files and folders that are really there, and a scan that some folders failed."""
    files = draw(st.sets(FILES, max_size=6))
    folders = {folder for file in files for folder in above(file)} | {""}
    failed = draw(st.sets(st.sampled_from(sorted(folders)), max_size=3))
    unreadable = draw(st.sets(st.sampled_from(sorted(files)))) if files else set()
    entered = {f for f in folders if not any(up in failed for up in [*above(f), f][:-1])}
    listed = entered - failed
    seen = {file: SEEN for file in files if set(above(file)) <= listed}
    seen |= {file: Unread(Problem("unreadable", "EIO")) for file in unreadable & seen.keys()}
    snapshot = Snapshot(
        TREE, Condition.GOOD, seen, frozenset(listed), unlisted=frozenset(failed & entered)
    )
    return files, folders, snapshot


@given(truths())
@settings(max_examples=300, deadline=None)
def test_a_file_that_is_there_is_never_called_absent(
    truth: tuple[set[str], set[str], Snapshot],
) -> None:
    files, _, snapshot = truth
    assert not [file for file in files if snapshot.tells_absence(file)]


@given(truths(), FILES)
@settings(max_examples=300, deadline=None)
def test_a_file_that_is_not_there_is_called_absent_if_every_folder_on_its_way_was_listed(
    truth: tuple[set[str], set[str], Snapshot], path: str
) -> None:
    files, folders, snapshot = truth
    way = above(path)
    assume(path not in files)
    assume(not set(way) & files)
    reached = all(folder in snapshot.folders for folder in way if folder in folders)
    assert snapshot.tells_absence(path) == reached


@given(truths(), FILES, st.sampled_from([c for c in Condition if c is not Condition.GOOD]))
@settings(max_examples=50, deadline=None)
def test_a_tree_that_can_not_be_believed_tells_nothing(
    truth: tuple[set[str], set[str], Snapshot], path: str, condition: Condition
) -> None:
    _, _, good = truth
    doubtful = Snapshot(TREE, condition, good.files, good.folders, unlisted=good.unlisted)
    assert not doubtful.tells_absence(path)


def test_what_is_not_looked_for_is_not_missed() -> None:
    ignore = Ignore(TreeKind.GENERIC, ("drafts/", "*.txt"))
    snapshot = Snapshot(TREE, Condition.GOOD, {}, frozenset({""}), ignore=ignore)
    assert snapshot.tells_absence("api/a.xml")
    assert not snapshot.tells_absence("api/a.txt")
    assert not snapshot.tells_absence("drafts/deep/a.xml")
    assert not snapshot.tells_absence("a.part")
