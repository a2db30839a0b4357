"""What reaches a node's trees: its disk and its watchers, here and in the mounts' processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.agent.wiring.mounts import JoinedHints, Mounts, make_mounts
from syncagent.agent.wiring.reach import silent_trees
from syncagent.disk.node_disk import NodeDisk
from syncagent.watch.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from syncagent.core.artifact import TreeName
    from syncagent.core.events import ShellEvent
    from syncagent.core.settings import Settings
    from syncagent.fsio import OsFS
    from syncagent.ports import Clock


@dataclass(frozen=True, slots=True)
class Trees:
    """A disk, its watchers, and the trees that did not answer, each with the words for it."""

    disk: NodeDisk
    hints: JoinedHints
    mounts: Mounts
    silent: Mapping[TreeName, str]


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a disk's own files are: its record (`durable`), and what only this machine can use."""

    fs: OsFS
    durable: str
    local: str


def reach_trees(
    settings: Settings,
    ground: Ground,
    clock: Clock,
    post: Callable[[ShellEvent], None],
    *,
    apart: bool = True,
) -> Trees:
    """Make what reaches the trees. Trees that do not answer are left alone from the start.

    `apart` False: by this process alone, as it is the one that may hang (a share's keeper).
    """
    fs, limits = ground.fs, settings.limits
    mounts = make_mounts(fs, settings, ground.local, post) if apart else Mounts()
    here = tuple(tree for tree in settings.trees if tree.name not in mounts.trees)
    parts = mounts.parts
    disk = NodeDisk(fs, here, limits, ground.durable, clock, apart=parts, cache_dir=ground.local)
    watcher = Watcher(fs, here, post=post, poll_s=limits.poll_s)
    silent = silent_trees(fs, here, clock, mounted=parts)
    for tree, why in silent.items():
        disk.shun(tree, why)
    return Trees(disk, JoinedHints(watcher, mounts.hints), mounts, silent)
