"""What real programs do to files, and the hints that come of it: real inotify, real files."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import TreeKind, TreeName
from syncagent.core.events import HintKind
from syncagent.core.settings import TreeSettings, WatchMode
from syncagent.fsio import OsFS
from syncagent.watch.watcher import Watcher
from tests.fakes.inbox import Inbox

if TYPE_CHECKING:
    from collections.abc import Iterator

TREE = TreeName("synapse")
WRITTEN, CREATED, DELETED, SUBTREE = HintKind


class Scene:
    """A watched root with a staging folder beside it, as on a node."""

    def __init__(self, base: Path, inbox: Inbox) -> None:
        self.root = base / "synapse-configs"
        self.staging = base / "staging"
        self.root.mkdir()
        self.staging.mkdir()
        self.inbox = inbox
        tree = TreeSettings(
            TREE, TreeKind.SYNAPSE, str(self.root), watch=WatchMode.INOTIFY, ignore=("build/",)
        )
        self.watcher = Watcher(OsFS(), [tree], post=inbox.post, poll_s=2.0)
        self._marks = itertools.count()

    def start(self) -> None:
        assert self.watcher.start(TREE) == "inotify"

    def settled(self) -> tuple[tuple[str, HintKind], ...]:
        """Return the hints of everything done so far: the kernel's queue keeps its order."""
        mark = f"mark-{next(self._marks)}"
        (self.root / mark).write_bytes(b"")
        self.inbox.wait_hint(mark, WRITTEN)
        return tuple(h for h in self.inbox.hints if not h[0].startswith("mark-"))

    def last_kinds(self) -> dict[str, HintKind]:
        """Return the last hint of each path: the one that settling goes by."""
        return dict(self.settled())


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path, Inbox())
    yield made
    made.watcher.stop()


def test_a_new_file_is_created_then_written(scene: Scene) -> None:
    scene.start()
    (scene.root / "a.xml").write_text("<a/>")
    assert scene.settled() == (("a.xml", CREATED), ("a.xml", WRITTEN))


def test_an_overwrite_in_place_is_one_hint_when_it_is_closed(scene: Scene) -> None:
    (scene.root / "a.xml").write_text("<a/>")
    scene.start()
    with (scene.root / "a.xml").open("w") as file:
        for _ in range(20):
            file.write("x" * 10_000)
            file.flush()
    assert scene.settled() == (("a.xml", WRITTEN),)


def test_a_save_like_vims_ends_in_written(scene: Scene) -> None:
    target = scene.root / "a.xml"
    target.write_text("<a/>")
    scene.start()
    (scene.root / "4913").touch()
    (scene.root / "4913").unlink()
    (scene.root / ".a.xml.swp").write_text("swap")
    target.rename(scene.root / "a.xml~")
    target.write_text("<b/>")
    (scene.root / "a.xml~").unlink()
    (scene.root / ".a.xml.swp").unlink()
    assert scene.settled() == (("a.xml", DELETED), ("a.xml", CREATED), ("a.xml", WRITTEN))


def test_a_save_like_intellijs_ends_in_written(scene: Scene) -> None:
    target = scene.root / "a.xml"
    target.write_text("<a/>")
    scene.start()
    new, old = scene.root / "a.xml___jb_tmp___", scene.root / "a.xml___jb_old___"
    new.write_text("<b/>")
    target.rename(old)
    new.rename(target)
    old.unlink()
    assert scene.settled() == (("a.xml", DELETED), ("a.xml", WRITTEN))


def test_sed_in_place_ends_in_written(scene: Scene) -> None:
    (scene.root / "a.xml").write_text("<a/>")
    scene.start()
    subprocess.run(["sed", "-i", "s/a/b/", str(scene.root / "a.xml")], check=True)
    kinds = scene.last_kinds()
    assert kinds.pop("a.xml") is WRITTEN
    assert set(kinds.values()) <= {DELETED}  # sed's temporary name


def test_rsyncs_temporary_name_is_not_hinted(scene: Scene) -> None:
    scene.start()
    temporary = scene.root / ".a.xml.Ab3dE9"
    temporary.write_text("<a/>")
    temporary.rename(scene.root / "a.xml")
    assert scene.settled() == (("a.xml", WRITTEN),)


def test_a_rename_from_outside_the_tree_is_hinted_at_once(scene: Scene) -> None:
    # The order proves it: a pairing watcher holds an unmatched move back, past what follows it.
    scene.start()
    (scene.staging / "1").write_text("<a/>")
    (scene.staging / "1").rename(scene.root / "a.xml")
    assert scene.settled() == (("a.xml", WRITTEN),)


def test_a_rename_out_of_the_tree_is_a_deletion(scene: Scene) -> None:
    (scene.root / "a.xml").write_text("<a/>")
    scene.start()
    (scene.root / "a.xml").rename(scene.staging / "a.xml")
    assert scene.settled() == (("a.xml", DELETED),)


def test_a_rename_inside_the_tree_hints_both_names(scene: Scene) -> None:
    (scene.root / "a.xml").write_text("<a/>")
    scene.start()
    (scene.root / "a.xml").rename(scene.root / "b.xml")
    assert scene.settled() == (("a.xml", DELETED), ("b.xml", WRITTEN))


def test_files_that_swap_names_are_hinted_at_both(scene: Scene) -> None:
    (scene.root / "a.xml").write_text("<a/>")
    (scene.root / "b.xml").write_text("<b/>")
    scene.start()
    OsFS().exchange(str(scene.root / "a.xml"), str(scene.root / "b.xml"))
    assert set(scene.last_kinds()) == {"a.xml", "b.xml"}


def test_links_are_created(scene: Scene) -> None:
    (scene.staging / "a.xml").write_text("<a/>")
    scene.start()
    (scene.root / "hard.xml").hardlink_to(scene.staging / "a.xml")
    (scene.root / "soft.xml").symlink_to(scene.staging / "a.xml")
    assert scene.settled() == (("hard.xml", CREATED), ("soft.xml", CREATED))


def test_reading_touching_and_listing_hint_nothing(scene: Scene) -> None:
    (scene.root / "a.xml").write_text("<a/>")
    scene.start()
    (scene.root / "a.xml").read_text()
    (scene.root / "a.xml").chmod(0o600)
    os.utime(scene.root / "a.xml")
    list(scene.root.iterdir())
    assert scene.settled() == ()


def test_ignored_files_and_folders_hint_nothing(scene: Scene) -> None:
    (scene.root / "build" / "deep").mkdir(parents=True)
    scene.start()
    (scene.root / "build" / "deep" / "x.xml").write_text("<x/>")
    (scene.root / "api.xml.back").write_text("<x/>")
    (scene.root / ".git").mkdir()
    (scene.root / ".git" / "HEAD").write_text("x")
    assert scene.settled() == ()
    assert scene.watcher.folders(TREE) == 1


def test_a_name_that_is_not_text_is_hinted(scene: Scene) -> None:
    scene.start()
    name = os.fsdecode(b"caf\xe9.xml")
    (scene.root / name).write_text("<a/>")
    assert (name, WRITTEN) in scene.settled()


def test_no_file_in_freshly_made_folders_is_lost(scene: Scene) -> None:
    scene.start()
    made = set()
    for n in range(300):
        folder = scene.root / f"d{n}" / "x" / "y"
        folder.mkdir(parents=True)
        for name in range(5):
            (folder / f"{name}.xml").write_text("<a/>")
            made.add(f"d{n}/x/y/{name}.xml")
    hints = scene.settled()
    subtrees = tuple(path for path, kind in hints if kind is SUBTREE)
    files = {path for path, _ in hints}
    lost = {path for path in made - files if not path.startswith(subtrees)}
    assert len(made) == 1_500
    assert not lost
    assert set(subtrees) >= {f"d{n}" for n in range(300)}
    assert scene.watcher.folders(TREE) == 901
    assert not scene.inbox.faults


def test_a_renamed_folder_is_a_subtree_at_both_names_and_followed(scene: Scene) -> None:
    (scene.root / "old" / "sub").mkdir(parents=True)
    scene.start()
    (scene.root / "old").rename(scene.root / "new")
    assert scene.settled() == (("old", SUBTREE), ("new", SUBTREE))
    scene.inbox.clear()
    (scene.root / "new" / "sub" / "a.xml").write_text("<a/>")
    assert scene.last_kinds() == {"new/sub/a.xml": WRITTEN}
    assert scene.watcher.folders(TREE) == 3


def test_a_folder_moved_out_is_no_longer_watched(scene: Scene) -> None:
    (scene.root / "api" / "sub").mkdir(parents=True)
    scene.start()
    (scene.root / "api").rename(scene.staging / "api")
    assert scene.settled() == (("api", SUBTREE),)
    scene.inbox.clear()
    (scene.staging / "api" / "sub" / "late.xml").write_text("<a/>")
    assert scene.settled() == ()
    assert scene.watcher.folders(TREE) == 1


def test_a_folder_moved_in_is_watched_below(scene: Scene) -> None:
    scene.start()
    (scene.staging / "api" / "sub").mkdir(parents=True)
    (scene.staging / "api").rename(scene.root / "api")
    assert scene.settled() == (("api", SUBTREE),)
    (scene.root / "api" / "sub" / "a.xml").write_text("<a/>")
    assert scene.last_kinds()["api/sub/a.xml"] is WRITTEN


def test_folders_that_swap_names_keep_their_hints_apart(scene: Scene) -> None:
    for name in ("a", "b"):
        (scene.root / name).mkdir()
    scene.start()
    OsFS().exchange(str(scene.root / "a"), str(scene.root / "b"))
    scene.settled()
    scene.inbox.clear()
    (scene.root / "a" / "x.xml").write_text("<a/>")
    (scene.root / "b" / "y.xml").write_text("<a/>")
    assert scene.last_kinds() == {"a/x.xml": WRITTEN, "b/y.xml": WRITTEN}


def test_a_folder_that_moved_into_one_not_yet_noticed_is_hinted_there_once(scene: Scene) -> None:
    (scene.root / "a").mkdir()
    scene.start()
    scene.inbox.gate.clear()
    (scene.root / "stall").write_text("")
    (scene.root / "p").mkdir()
    (scene.root / "a").rename(scene.root / "p" / "a")
    scene.inbox.gate.set()
    scene.settled()
    scene.inbox.clear()
    (scene.root / "p" / "a" / "x.xml").write_text("<x/>")
    assert scene.settled() == (("p/a/x.xml", CREATED), ("p/a/x.xml", WRITTEN))
    assert scene.watcher.folders(TREE) == 3


def test_a_removed_folder_gives_its_watches_back(scene: Scene) -> None:
    (scene.root / "api" / "sub").mkdir(parents=True)
    (scene.root / "api" / "sub" / "a.xml").write_text("<a/>")
    scene.start()
    assert scene.watcher.folders(TREE) == 3
    shutil.rmtree(scene.root / "api")
    kinds = scene.last_kinds()
    assert kinds["api"] is SUBTREE
    assert scene.watcher.folders(TREE) == 1
    assert not scene.inbox.faults


def test_linked_folders_are_not_entered(scene: Scene) -> None:
    (scene.root / "link").symlink_to(scene.staging)
    scene.start()
    (scene.staging / "a.xml").write_text("<a/>")
    assert scene.settled() == ()
    assert scene.watcher.folders(TREE) == 1


def test_a_tree_inside_another_is_hinted_in_both(tmp_path: Path) -> None:
    inbox = Inbox()
    outer, inner = TreeName("outer"), TreeName("inner")
    (tmp_path / "in").mkdir()
    trees = [
        TreeSettings(outer, TreeKind.GENERIC, str(tmp_path), watch=WatchMode.INOTIFY),
        TreeSettings(inner, TreeKind.GENERIC, str(tmp_path / "in"), watch=WatchMode.INOTIFY),
    ]
    watcher = Watcher(OsFS(), trees, post=inbox.post, poll_s=2.0)
    try:
        watcher.start(outer)
        watcher.start(inner)
        (tmp_path / "in" / "a.xml").write_text("<a/>")
        inbox.wait_hint("in/a.xml", WRITTEN)
        inbox.wait_hint("a.xml", WRITTEN)
    finally:
        watcher.stop()


def test_stopping_ends_threads_and_gives_descriptors_back(tmp_path: Path) -> None:
    tree = TreeSettings(TREE, TreeKind.GENERIC, str(tmp_path), watch=WatchMode.INOTIFY)
    (tmp_path / "a" / "b").mkdir(parents=True)

    def held() -> tuple[int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    before = held()
    for _ in range(20):
        watcher = Watcher(OsFS(), [tree], post=Inbox().post, poll_s=2.0)
        watcher.start(TREE)
        watcher.start(TREE)
        watcher.stop()
    assert held() == before
