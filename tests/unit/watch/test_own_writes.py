"""A mount that is polled is also watched for what this machine's own processes write there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import TreeKind, TreeName
from syncagent.core.events import Hinted, HintKind, WatchTrouble
from syncagent.core.settings import TreeSettings, WatchMode
from syncagent.fsio import OsFS
from syncagent.watch.watcher import Watcher
from tests.fakes.inbox import Inbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from syncagent.watch.inotify import Reader

TREE = TreeName("synapse")
NFS = 0x6969


class Foreign(OsFS):
    """Every file system is another machine's."""

    def statfs_type(self, path: str) -> int:
        return NFS

    def mount_table(self) -> tuple[()]:
        return ()


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


def watcher(root: Path, inbox: Inbox, mode: WatchMode = WatchMode.AUTO) -> Watcher:
    tree = TreeSettings(TREE, TreeKind.GENERIC, str(root), watch=mode)
    return Watcher(Foreign(), [tree], post=inbox.post, poll_s=1000.0)


@pytest.fixture
def watching(tmp_path: Path, inbox: Inbox) -> Iterator[Watcher]:
    made = watcher(tmp_path, inbox)
    assert made.start(TREE) == "poll 1e+03 s (nfs; own writes by inotify)"
    yield made
    made.stop()


def test_an_own_write_is_hinted_long_before_the_poll(
    watching: Watcher, tmp_path: Path, inbox: Inbox
) -> None:
    (tmp_path / "a.xml").write_bytes(b"<a/>")
    inbox.wait_hint("a.xml", HintKind.WRITTEN)
    assert all(isinstance(event, Hinted) and event.seen_here for event in inbox.events)
    assert watching.folders(TREE) == 1


def test_a_root_that_is_moved_is_a_fault_at_once(
    watching: Watcher, tmp_path: Path, inbox: Inbox
) -> None:
    tmp_path.rename(tmp_path.with_name("away"))
    assert inbox.wait_fault().trouble is WatchTrouble.ROOT_MOVED
    tmp_path.with_name("away").rename(tmp_path)
    assert watching.start(TREE)


def test_it_is_polled_all_the_same_where_inotify_has_nothing_left(
    tmp_path: Path, inbox: Inbox
) -> None:
    def none_left(_died: Callable[[], None]) -> Reader:
        raise OSError(24, "too many")

    tree = TreeSettings(TREE, TreeKind.GENERIC, str(tmp_path))
    made = Watcher(Foreign(), [tree], post=inbox.post, poll_s=0.01, make_reader=none_left)
    assert made.start(TREE) == "poll 0.01 s (nfs)"
    (tmp_path / "a.xml").write_bytes(b"<a/>")
    inbox.wait_hint("a.xml")
    assert not any(isinstance(event, Hinted) and event.seen_here for event in inbox.events)
    made.stop()


def test_who_asks_for_polls_gets_nothing_else(tmp_path: Path, inbox: Inbox) -> None:
    made = watcher(tmp_path, inbox, WatchMode.POLL)
    assert made.start(TREE) == "poll 1e+03 s (by settings)"
    assert made.folders(TREE) is None
    made.stop()
