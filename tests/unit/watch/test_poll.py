"""What the poller concludes from two walks, and what it does not believe."""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import TreeKind, TreeName
from syncagent.core.events import HintKind, WatchTrouble
from syncagent.core.ignore import Ignore
from syncagent.fsio import OsFS
from syncagent.watch.poll import HINTS_MAX, WALKS_PER_PAUSE, Mark, Poller, Walk, walk
from syncagent.watch.target import Target
from tests.fakes.inbox import DEADLINE_S, Inbox

if TYPE_CHECKING:
    from pathlib import Path

TREE = TreeName("synapse")
WRITTEN, CREATED, DELETED, SUBTREE = HintKind
IDENTITY = (7, 1)


def file(inode: int, *, size: int = 1, mtime_ns: int = 1, ctime_ns: int = 1) -> Mark:
    return Mark(size, mtime_ns, ctime_ns, inode, folder=False)


def folder(inode: int) -> Mark:
    return Mark(0, 0, 0, inode, folder=True)


class Script:
    """Answers each walk with the next of a list; the last one stays."""

    def __init__(self, *answers: Walk | OSError) -> None:
        self.answers = list(answers)

    def __call__(self) -> Walk:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


class Still(Poller):
    """A poller without its thread: polls when it is told to."""

    def _run(self) -> None:
        return


def poll_all(*answers: Walk | OSError) -> Inbox:
    inbox = Inbox()
    poller = Still(TREE, Script(*answers), inbox.post, poll_s=2.0)
    poller.start()
    for _ in answers[1:]:
        poller.poll()
    poller.stop(DEADLINE_S)
    return inbox


def seen(**marks: Mark) -> Walk:
    return Walk(IDENTITY, {name.replace("__", "/"): mark for name, mark in marks.items()})


@pytest.mark.parametrize(
    ("before", "after", "hints"),
    [
        (seen(a=file(2)), seen(a=file(2)), set()),
        (seen(), seen(a=file(2)), {("a", CREATED)}),
        (seen(a=file(2)), seen(), {("a", DELETED)}),
        (seen(a=file(2)), seen(a=file(2, size=9)), {("a", WRITTEN)}),
        (seen(a=file(2)), seen(a=file(2, mtime_ns=9)), {("a", WRITTEN)}),
        (seen(a=file(2)), seen(a=file(2, ctime_ns=9)), {("a", WRITTEN)}),
        (seen(a=file(2)), seen(a=file(9)), {("a", WRITTEN)}),
        (seen(), seen(d=folder(2), d__x=file(3)), {("d", SUBTREE)}),
        (seen(d=folder(2), d__x=file(3)), seen(), {("d", SUBTREE)}),
        (seen(d=folder(2), d__x=file(3)), seen(d=folder(4), d__x=file(5)), {("d", SUBTREE)}),
        (seen(d=folder(2)), seen(d=file(3)), {("d", SUBTREE)}),
        (seen(d=folder(2)), seen(d=folder(2), d__x=file(3)), {("d/x", CREATED)}),
    ],
)
def test_what_differs_between_two_walks_is_hinted(
    before: Walk, after: Walk, hints: set[tuple[str, HintKind]]
) -> None:
    inbox = poll_all(before, after)
    assert set(inbox.hints) == hints
    assert not inbox.faults


def test_very_many_differences_are_one_hint_for_the_tree() -> None:
    many = Walk(IDENTITY, {f"{n}.xml": file(n) for n in range(HINTS_MAX + 1)})
    assert poll_all(seen(), many).hints == (("", SUBTREE),)


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (OSError(errno.ENOENT, "gone"), WatchTrouble.ROOT_MOVED),
        (OSError(errno.ENOTCONN, "not connected"), WatchTrouble.WATCH_FAILED),
        (OSError(errno.EIO, "broken"), WatchTrouble.WATCH_FAILED),
        (Walk((7, 9)), WatchTrouble.ROOT_MOVED),
        (Walk((8, 1)), WatchTrouble.UNMOUNTED),
    ],
)
def test_a_root_that_can_not_be_believed_is_one_fault_and_no_deletion(
    trouble: Walk | OSError, expected: WatchTrouble
) -> None:
    inbox = poll_all(seen(a=file(2)), trouble, trouble, trouble)
    assert [fault.trouble for fault in inbox.faults] == [expected]
    assert not inbox.hints


def test_the_same_root_that_comes_back_is_hinted_whole() -> None:
    inbox = poll_all(seen(a=file(2)), OSError(errno.EIO, "broken"), seen(a=file(2)), seen())
    assert len(inbox.faults) == 1
    assert inbox.hints == (("", SUBTREE), ("a", DELETED))


def test_the_pause_grows_with_the_walk() -> None:
    gate = threading.Event()

    def slow() -> Walk:
        gate.wait(0.02)
        return seen()

    poller = Still(TREE, slow, Inbox().post, poll_s=0.001)
    assert poller.pause_s == 0.001
    poller.start()
    assert poller.pause_s >= WALKS_PER_PAUSE * 0.02


def test_a_hung_walk_does_not_hold_up_stop_and_posts_nothing_later() -> None:
    hung, go_on = threading.Event(), threading.Event()
    walks = iter([seen(a=file(2))])

    def look() -> Walk:
        known = next(walks, None)
        if known is not None:
            return known
        hung.set()
        assert go_on.wait(DEADLINE_S)
        return seen()

    inbox = Inbox()
    poller = Poller(TREE, look, inbox.post, poll_s=0.001)
    poller.start()
    assert hung.wait(DEADLINE_S)
    poller.stop(0.01)
    go_on.set()
    poller.stop(DEADLINE_S)
    assert not inbox.events


def target(root: Path, *patterns: str) -> Target:
    return Target(TREE, str(root), Ignore(TreeKind.GENERIC, patterns))


def test_a_walk_lists_what_is_not_ignored_and_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "api" / "deep").mkdir(parents=True)
    (tmp_path / "api" / "deep" / "a.xml").write_text("<a/>")
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "b.xml").write_text("<b/>")
    (tmp_path / "x.part").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "api")
    found = walk(OsFS(), target(tmp_path, "build/"))
    assert set(found.marks) == {"api", "api/deep", "api/deep/a.xml", "link"}
    status = (tmp_path / "api" / "deep" / "a.xml").stat()
    assert found.marks["api/deep/a.xml"] == Mark(
        4, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, folder=False
    )
    root = tmp_path.stat()
    assert found.identity == (root.st_dev, root.st_ino)


def test_the_same_size_with_a_restored_mtime_is_still_a_change(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text("<a/>")
    status = path.stat()
    before = walk(OsFS(), target(tmp_path))
    path.write_text("<b/>")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = walk(OsFS(), target(tmp_path))
    assert before.marks["a.xml"].mtime_ns == after.marks["a.xml"].mtime_ns
    assert poll_all(before, after).hints == (("a.xml", WRITTEN),)


def test_a_root_that_is_swapped_during_the_walk_is_not_believed(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    (root / "a.xml").write_text("<a/>")

    class Swapping(Ignore):
        """Swaps the root when it is asked about the first name."""

        def hides(self, path: str, *, folder: bool = False) -> bool:
            root.rename(tmp_path / "away")
            root.mkdir()
            return super().hides(path, folder=folder)

    with pytest.raises(OSError, match="changed during the walk"):
        walk(OsFS(), Target(TREE, str(root), Swapping(TreeKind.GENERIC)))


def test_a_folder_that_vanishes_during_the_walk_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()

    class Removing(Ignore):
        """Removes the folder when it is asked about it."""

        def hides(self, path: str, *, folder: bool = False) -> bool:
            (tmp_path / "api").rmdir()
            return super().hides(path, folder=folder)

    found = walk(OsFS(), Target(TREE, str(tmp_path), Removing(TreeKind.GENERIC)))
    assert not found.marks


def test_a_root_that_is_no_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        walk(OsFS(), target(tmp_path / "file"))
    with pytest.raises(FileNotFoundError):
        walk(OsFS(), target(tmp_path / "nothing"))
