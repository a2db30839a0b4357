"""Hints in memory, for the simulation: the world tells it what happens to the trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.errors import DiskError
from syncagent.core.events import Hinted, HintKind, WatchFault, WatchTrouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from syncagent.core.artifact import TreeName
    from syncagent.core.events import ShellEvent


class FakeHints:
    """Implements `ports.Hints`; posts at once, in the thread that tells it."""

    def __init__(self, trees: Iterable[TreeName], post: Callable[[ShellEvent], None]) -> None:
        self._rooted = set(trees)
        self._post = post
        self._watched: set[TreeName] = set()
        self.seen_here = False
        """Whether what happens is told by a kernel that tells of its own machine's deeds only."""

    def start(self, tree: TreeName) -> str:
        """Watch a tree; as `ports.Hints` says."""
        self._watched.discard(tree)
        if tree not in self._rooted:
            raise DiskError(f"tree {tree} can't be watched: it has no root", errno_name="ENOENT")
        self._watched.add(tree)
        return "inotify"

    def stop(self) -> None:
        """Stop watching everything."""
        self._watched.clear()

    # What the world tells.

    def happen(self, tree: TreeName, path: str, kind: HintKind) -> None:
        """Something happened to `path`; a hint if the tree is watched."""
        if tree in self._watched:
            self._post(Hinted(tree, path, kind, self.seen_here))

    def miss(self, tree: TreeName, detail: str = "") -> None:
        """Events of the tree were lost; the watch goes on."""
        if tree in self._watched:
            self._post(WatchFault(tree, WatchTrouble.OVERFLOW, detail))

    def lose_root(self, tree: TreeName, trouble: WatchTrouble = WatchTrouble.ROOT_MOVED) -> None:
        """The root is gone: the watch is over, and can't be started until it is back."""
        self._rooted.discard(tree)
        if tree in self._watched:
            self._watched.discard(tree)
            self._post(WatchFault(tree, trouble))

    def deafen(self, tree: TreeName) -> None:
        """Another root came into the place of the watched one: of that one nothing is heard."""
        self._watched.discard(tree)

    def restore_root(self, tree: TreeName) -> None:
        """The root is there again; nobody watches it yet."""
        self._rooted.add(tree)
