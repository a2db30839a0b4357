"""Trees are started from threads of their own: one that hangs delays no other, and no stop."""

import os
import threading
from pathlib import Path

from syncagent.core.artifact import TreeKind, TreeName
from syncagent.core.settings import TreeSettings, WatchMode
from syncagent.fsio import OsFS
from syncagent.watch.watcher import Watcher
from tests.fakes.inbox import DEADLINE_S, Inbox


def test_a_start_that_hangs_delays_no_other_tree_and_comes_to_nothing_after_a_stop(
    tmp_path: Path,
) -> None:
    for name in ("hung", "well"):
        (tmp_path / name).mkdir()
    fs, inbox, asked, answer = OsFS(), Inbox(), threading.Event(), threading.Event()
    lstat = fs.lstat

    def hanging(path: str) -> os.stat_result:
        if path.endswith("hung"):
            asked.set()
            assert answer.wait(DEADLINE_S)
        return lstat(path)

    fs.lstat = hanging  # type: ignore[assignment]
    trees = [
        TreeSettings(TreeName(name), TreeKind.GENERIC, str(tmp_path / name), watch=WatchMode.POLL)
        for name in ("hung", "well")
    ]
    watcher = Watcher(fs, trees, post=inbox.post, poll_s=0.01)
    starting = threading.Thread(target=watcher.start, args=(TreeName("hung"),))
    starting.start()
    assert asked.wait(DEADLINE_S)
    try:
        watcher.start(TreeName("well"))
        (tmp_path / "well/a.xml").write_text("<a/>")
        inbox.wait_hint("a.xml")
        watcher.stop()
    finally:
        answer.set()
        starting.join(DEADLINE_S)
    left = [each.name for each in threading.enumerate() if each.name == "syncagent-poll-hung"]
    assert left == [], "nobody polls a tree after the stop"


class Impatient(Watcher):
    """Gives up at once."""

    patience_s = 0.05


def test_a_stop_does_not_wait_for_a_listing_that_hangs(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    fs, inbox, asked, answer = OsFS(), Inbox(), threading.Event(), threading.Event()
    tree = TreeSettings(
        TreeName("tree"), TreeKind.GENERIC, str(tmp_path / "tree"), watch=WatchMode.INOTIFY
    )
    watcher = Impatient(fs, [tree], post=inbox.post, poll_s=2.0)
    watcher.start(TreeName("tree"))
    scandir = fs.scandir

    def hanging(path: str) -> object:
        if path.endswith("new"):
            asked.set()
            assert answer.wait(DEADLINE_S)
        return scandir(path)

    fs.scandir = hanging  # type: ignore[assignment]
    try:
        (tmp_path / "tree/new").mkdir()
        assert asked.wait(DEADLINE_S), "the reader lists the new folder"
        stopping = threading.Thread(target=watcher.stop)
        stopping.start()
        stopping.join(DEADLINE_S)
        assert not stopping.is_alive()
        assert not answer.is_set(), "it still hangs"
    finally:
        answer.set()
