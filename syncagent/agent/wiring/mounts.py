"""Which trees are reached by a process of their own, and that process's start.

One process for each mount: trees that hang together share one. The tables of mounts are asked, never
the mounts. A tree that was local when the agent started, because its mount came late, has the
agent start again when the kernel tells of the mount; one whose mount goes away stays with its
process, which will see it come back.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.core.digest import digest_of
from syncagent.mountpoints import mount_of
from syncagent.mounts.mounted import MountedPart
from syncagent.mounts.process import MountProcess
from syncagent.mounts.protocol import Setup
from syncagent.mounts.watching import MountedHints

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from syncagent.core.artifact import TreeName
    from syncagent.core.events import ShellEvent
    from syncagent.core.settings import Settings, TreeSettings
    from syncagent.fsio import Mount, OsFS
    from syncagent.ports import Hints

ON_SHARE = "share"
"""Stands for the mount of trees that are the share by the settings, where none is found."""
STOP_S = 2.0
_BEGIN = """
import sys
sys.path[:] = sys.argv[2:]
from syncagent.agent.wiring.mount_child import main
main(int(sys.argv[1]))
"""


def apart(fs: OsFS, settings: Settings) -> dict[str, tuple[TreeSettings, ...]]:
    """Return the trees that this process must not touch, by the point where their mount is."""
    table = _table(fs)
    found: dict[str, tuple[TreeSettings, ...]] = {}
    for tree in settings.trees:
        mount = _mount_of(fs, tree.path, table)
        point = mount.point if mount is not None else ON_SHARE if tree.common else ""
        if point:
            found[point] = (*found.get(point, ()), tree)
    return found


@dataclass(frozen=True, slots=True)
class Mounts:
    """The processes of a node's mounts, and what the agent has of them."""

    processes: tuple[MountProcess, ...] = ()
    parts: tuple[MountedPart, ...] = ()
    hints: tuple[MountedHints, ...] = ()

    @property
    def trees(self) -> frozenset[TreeName]:
        """The trees that are reached by one of them."""
        return frozenset(tree for part in self.parts for tree in part.trees)

    def stop(self) -> None:
        """End them; what hangs is left to the kernel."""
        for process in self.processes:
            process.stop(STOP_S)


def make_mounts(
    fs: OsFS, settings: Settings, state_dir: str, post: Callable[[ShellEvent], None]
) -> Mounts:
    """Make and start a process for each mount that trees of this node lie on."""
    processes: list[MountProcess] = []
    for point, trees in apart(fs, settings).items():
        mark = digest_of(point.encode("utf-8", "surrogateescape"))[-16:]
        base = f"{state_dir.rstrip('/')}/scan-cache-{mark}"
        limits = settings.limits
        setup = Setup(
            trees, base, f"{base}.lock", limits.file_bytes, limits.tree_files, limits.poll_s
        )
        processes.append(MountProcess(setup, launch, moved=_Moved(fs, trees[0].path)))
    parts = tuple(MountedPart(process) for process in processes)
    hints = tuple(MountedHints(process, post) for process in processes)
    for process in processes:
        process.start()
    return Mounts(tuple(processes), parts, hints)


def launch() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Start a mount's process. Raises OSError."""
    ours, theirs = socket.socketpair()
    flags = ["-I", "-B"] if sys.dont_write_bytecode else ["-I"]
    command = [sys.executable, *flags, "-c", _BEGIN, str(os.getpid()), *sys.path]
    try:
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - our own program, nobody else's words
                command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL
            )
    except OSError:
        ours.close()
        raise
    return ours, process


class JoinedHints:
    """All trees' watchers as one: implements `ports.Hints`."""

    def __init__(self, here: Hints, mounted: Sequence[MountedHints]) -> None:
        self._here = here
        self._mounted = tuple(mounted)
        self._by_tree: Mapping[TreeName, Hints] = {
            tree: hints for hints in mounted for tree in hints.trees
        }

    def start(self, tree: TreeName) -> str:
        """Start watching: see `ports.Hints`."""
        return self._by_tree.get(tree, self._here).start(tree)

    def stop(self) -> None:
        """Stop watching everything: see `ports.Hints`."""
        for hints in (self._here, *self._mounted):
            hints.stop()


class LateMounts:
    """Waits for the kernel to tell of mounts, and calls `came` if a local tree is on one now."""

    def __init__(self, fs: OsFS, settings: Settings, came: Callable[[], None]) -> None:
        self._fs = fs
        self._settings = settings
        self._came = came
        self._apart = _names(apart(fs, settings))
        self._thread = threading.Thread(target=self._run, name="mount-table", daemon=True)
        self._ours, self._theirs = socket.socketpair()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._ours.close()
        if self._thread.ident is not None:
            self._thread.join()
        self._theirs.close()

    def _run(self) -> None:
        try:
            fd = self._fs.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        poll = select.poll()
        poll.register(fd, select.POLLERR | select.POLLPRI)
        poll.register(self._theirs, select.POLLIN)
        try:
            while self._theirs.fileno() not in {ready for ready, _ in poll.poll()}:
                if _names(apart(self._fs, self._settings)) - self._apart:
                    self._came()
                    return
        finally:
            self._fs.close(fd)


class _Moved:
    """Tells whether another mount is where a process's mount was."""

    def __init__(self, fs: OsFS, path: str) -> None:
        self._fs = fs
        self._path = path
        self._mount = self._now()

    def __call__(self) -> bool:
        now = self._now()
        moved, self._mount = now != self._mount, now
        return moved

    def _now(self) -> int | None:
        mount = _mount_of(self._fs, self._path, _table(self._fs))
        return None if mount is None else mount.mount_id


def _table(fs: OsFS) -> tuple[Mount, ...]:
    try:
        return fs.mount_table()
    except OSError:
        return ()


def _mount_of(fs: OsFS, path: str, table: tuple[Mount, ...]) -> Mount | None:
    with suppress(OSError):
        return mount_of(fs, path, table)
    return None


def _names(found: Mapping[str, tuple[TreeSettings, ...]]) -> frozenset[TreeName]:
    return frozenset(tree.name for trees in found.values() for tree in trees)
