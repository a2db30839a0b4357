"""Trees on a network mount, watched by the mount's process and told over its socket.

A process that ends takes its watches with it: each is reported as lost, and the node asks for it
again, with a full scan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.errors import DiskError
from syncagent.core.events import WatchFault, WatchTrouble
from syncagent.core.wire.intents import str_of
from syncagent.mounts.protocol import END_S, READ, eye

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.core.artifact import TreeName
    from syncagent.core.events import Hinted, ShellEvent
    from syncagent.mounts.process import MountProcess


class MountedHints:
    """Implements `ports.Hints` for the trees on one mount, by asking its process."""

    def __init__(self, process: MountProcess, post: Callable[[ShellEvent], None]) -> None:
        self._process = process
        self._post = post
        self._watched: set[TreeName] = set()
        process.died = self._died
        process.post = self.hear

    @property
    def trees(self) -> tuple[TreeName, ...]:
        """The trees on the mount."""
        return tuple(tree.name for tree in self._process.setup.trees)

    def start(self, tree: TreeName) -> str:
        """Watch a tree: see `ports.Hints`."""
        self._watched.add(tree)
        try:
            return str_of(self._process.ask(eye(tree), "watch", [tree]))
        except DiskError:
            self._watched.discard(tree)
            raise

    def stop(self) -> None:
        """Stop watching everything: see `ports.Hints`."""
        if not self._watched:
            return
        self._watched.clear()
        try:
            self._process.ask(READ, "unwatch", [], within_s=END_S)
        except DiskError:
            return

    def hear(self, event: Hinted | WatchFault) -> None:
        """Pass on what the process's watcher tells, unless nobody watches (any more)."""
        if event.tree in self._watched:
            self._post(event)

    def _died(self, why: str) -> None:
        lost, self._watched = self._watched, set()
        for tree in sorted(lost):
            self._post(WatchFault(tree, WatchTrouble.DIED, why))
