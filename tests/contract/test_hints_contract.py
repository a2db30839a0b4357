"""What every implementation of `ports.Hints` does: inotify, the poller, the simulation's fake."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Protocol

import pytest

from syncagent.agent.wiring.clock import SystemClock
from syncagent.core.artifact import TreeKind, TreeName
from syncagent.core.errors import DiskError
from syncagent.core.events import HintKind, WatchTrouble
from syncagent.core.settings import TreeSettings, WatchMode
from syncagent.fsio import OsFS
from syncagent.mounts.watching import MountedHints
from syncagent.watch.watcher import Watcher
from tests.fakes.hints import FakeHints
from tests.fakes.inbox import Inbox
from tests.fakes.mounts import Mount

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from syncagent.ports import Hints

TREE = TreeName("synapse")
OTHER = TreeName("siddhi")
CONTENT = (HintKind.WRITTEN, HintKind.CREATED)


class World(Protocol):
    """A way to make things happen to the trees."""

    hints: Hints

    def write(self, tree: TreeName, path: str, content: bytes) -> None: ...
    def remove(self, tree: TreeName, path: str) -> None: ...
    def make_folder(self, tree: TreeName, path: str) -> None: ...
    def lose_root(self, tree: TreeName) -> None: ...
    def restore_root(self, tree: TreeName) -> None: ...


class RealWorld:
    def __init__(self, base: Path, inbox: Inbox, mode: WatchMode) -> None:
        self._roots = {TREE: base / "synapse-configs", OTHER: base / "executionplans"}
        self._away = base / "away"
        for root in self._roots.values():
            root.mkdir()
        self.hints: Hints = Watcher(
            OsFS(),
            [
                TreeSettings(tree, TreeKind.GENERIC, str(root), watch=mode)
                for tree, root in self._roots.items()
            ],
            post=inbox.post,
            poll_s=0.01,
        )

    def write(self, tree: TreeName, path: str, content: bytes) -> None:
        (self._roots[tree] / path).write_bytes(content)

    def remove(self, tree: TreeName, path: str) -> None:
        (self._roots[tree] / path).unlink()

    def make_folder(self, tree: TreeName, path: str) -> None:
        (self._roots[tree] / path).mkdir()

    def lose_root(self, tree: TreeName) -> None:
        self._roots[tree].rename(self._away)

    def restore_root(self, tree: TreeName) -> None:
        self._roots[tree].mkdir()
        shutil.rmtree(self._away)


class MountedWorld(RealWorld):
    """The trees watched by what runs in a mount's process, and told over a socket."""

    def __init__(self, base: Path, inbox: Inbox) -> None:
        super().__init__(base, inbox, WatchMode.POLL)
        trees = tuple(
            TreeSettings(tree, TreeKind.GENERIC, str(root), watch=WatchMode.POLL)
            for tree, root in self._roots.items()
        )
        self._mount = Mount(trees, SystemClock(), str(base / "cache"), poll_s=0.01)
        self.hints = MountedHints(self._mount.process, inbox.post)

    def end(self) -> None:
        self._mount.stop()


class FakeWorld:
    def __init__(self, inbox: Inbox) -> None:
        self._fake = FakeHints((TREE, OTHER), inbox.post)
        self.hints: Hints = self._fake

    def write(self, tree: TreeName, path: str, content: bytes) -> None:
        self._fake.happen(tree, path, HintKind.WRITTEN)

    def remove(self, tree: TreeName, path: str) -> None:
        self._fake.happen(tree, path, HintKind.DELETED)

    def make_folder(self, tree: TreeName, path: str) -> None:
        self._fake.happen(tree, path, HintKind.SUBTREE)

    def lose_root(self, tree: TreeName) -> None:
        self._fake.lose_root(tree)

    def restore_root(self, tree: TreeName) -> None:
        self._fake.restore_root(tree)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture(params=["inotify", "poll", "mounted", "fake"])
def world(request: pytest.FixtureRequest, tmp_path: Path, inbox: Inbox) -> Iterator[World]:
    made: World
    if request.param == "fake":
        made = FakeWorld(inbox)
    elif request.param == "mounted":
        made = MountedWorld(tmp_path, inbox)
    else:
        made = RealWorld(tmp_path, inbox, WatchMode(request.param))
    yield made
    made.hints.stop()
    if isinstance(made, MountedWorld):
        made.end()


def test_start_says_how_the_tree_is_watched(world: World) -> None:
    assert world.hints.start(TREE)


def test_a_written_file_is_hinted_as_content(world: World, inbox: Inbox) -> None:
    world.hints.start(TREE)
    world.write(TREE, "a.xml", b"<a/>")
    inbox.wait_hint("a.xml", *CONTENT)
    assert not inbox.faults


def test_an_overwritten_file_is_hinted_as_written(world: World, inbox: Inbox) -> None:
    world.write(TREE, "a.xml", b"<a/>")
    world.hints.start(TREE)
    world.write(TREE, "a.xml", b"<a>longer</a>")
    inbox.wait_hint("a.xml", HintKind.WRITTEN)


def test_a_removed_file_is_hinted_as_deleted(world: World, inbox: Inbox) -> None:
    world.write(TREE, "a.xml", b"<a/>")
    world.hints.start(TREE)
    world.remove(TREE, "a.xml")
    inbox.wait_hint("a.xml", HintKind.DELETED)


def test_a_new_folder_is_hinted_as_a_subtree_and_watched(world: World, inbox: Inbox) -> None:
    world.hints.start(TREE)
    world.make_folder(TREE, "api")
    inbox.wait_hint("api", HintKind.SUBTREE)
    world.write(TREE, "api/a.xml", b"<a/>")
    inbox.wait_hint("api/a.xml", *CONTENT)


def test_hints_name_their_tree(world: World, inbox: Inbox) -> None:
    world.hints.start(TREE)
    world.hints.start(OTHER)
    world.write(OTHER, "p.siddhiql", b"from S select *;")
    inbox.wait_hint("p.siddhiql")
    assert {event.tree for event in inbox.events} == {OTHER}


def test_a_lost_root_is_one_fault_and_no_deletion(world: World, inbox: Inbox) -> None:
    for n in range(5):
        world.write(TREE, f"{n}.xml", b"<a/>")
    world.hints.start(TREE)
    world.hints.start(OTHER)
    world.lose_root(TREE)
    fault = inbox.wait_fault()
    assert (fault.tree, fault.trouble) == (TREE, WatchTrouble.ROOT_MOVED)
    world.write(OTHER, "after", b"x")
    inbox.wait_hint("after")
    assert len(inbox.faults) == 1
    assert HintKind.DELETED not in {kind for _, kind in inbox.hints}


def test_a_tree_without_a_root_is_a_disk_error(world: World) -> None:
    world.hints.start(TREE)
    world.lose_root(TREE)
    with pytest.raises(DiskError, match="synapse") as caught:
        world.hints.start(TREE)
    assert caught.value.errno_name == "ENOENT"


def test_starting_again_attaches_to_the_root_that_is_there_now(world: World, inbox: Inbox) -> None:
    world.hints.start(TREE)
    world.lose_root(TREE)
    inbox.wait_fault()
    world.restore_root(TREE)
    world.hints.start(TREE)
    inbox.clear()
    world.write(TREE, "back.xml", b"<a/>")
    inbox.wait_hint("back.xml", *CONTENT)


def test_starting_twice_does_not_hint_twice(world: World, inbox: Inbox) -> None:
    world.hints.start(TREE)
    world.hints.start(TREE)
    world.write(TREE, "a.xml", b"<a/>")
    world.remove(TREE, "a.xml")
    world.write(TREE, "z.xml", b"<a/>")
    inbox.wait_hint("z.xml", *CONTENT)
    assert sum(kind is HintKind.DELETED for _, kind in inbox.hints) <= 1


def test_nothing_comes_after_stop_and_start_works_again(world: World, inbox: Inbox) -> None:
    world.hints.start(TREE)
    world.hints.stop()
    world.write(TREE, "unseen.xml", b"<a/>")
    world.hints.start(TREE)
    world.write(TREE, "seen.xml", b"<a/>")
    inbox.wait_hint("seen.xml", *CONTENT)
    assert "unseen.xml" not in {path for path, _ in inbox.hints}


def test_stop_without_start_is_quiet(world: World, inbox: Inbox) -> None:
    world.hints.stop()
    world.hints.stop()
    assert not inbox.events
