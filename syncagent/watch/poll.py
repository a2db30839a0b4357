"""Hints from looking again and again, for trees whose changes the kernel here does not see.

Theory of operation. A walk lists the tree with the four numbers that no write leaves alone (size,
mtime, ctime, inode); what differs from the walk before is a hint. Walks take at most a twentieth of
the time: the pause is the longer of the configured one and twenty walks.

A walk is believed only if the root was the same folder before and after it, and nothing but a
vanished entry went wrong. A root that is lost is one fault, not a deletion of every file; when the
same root can be believed again, the whole tree is hinted. Another root in its place stays a fault
until watching is started anew.

The thread here may hang with its file system, and only its own tree waits for it. It tells nobody:
that a tree does not answer is found by the node, which asks a polled tree every few seconds whether
it is there (`agent.stalling`), and a walk that hung is simply older when it comes.

What a thread can't do: where the server had taken up a call before it hung (a dead NFS server, a
cut sshfs), the kernel lets not even a killed process go before that call returns, so that the
agent's process stays behind until then, doing nothing. Only walks, scans and reads in a process of
their own for each mount would free it. `Poller` takes the walk as a callable, so that it may be
made there; scans and reads go through `Disk`.
"""

from __future__ import annotations

import errno
import stat
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from syncagent.core.events import Hinted, HintKind, WatchFault, WatchTrouble

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from syncagent.core.artifact import TreeName
    from syncagent.core.events import ShellEvent
    from syncagent.fsio import OsFS
    from syncagent.watch.target import Target

WALKS_PER_PAUSE = 20
HINTS_MAX = 1_000
"""More differences than this are one hint for the whole tree: the inbox is bounded."""


class Mark(NamedTuple):
    """What tells one state of a file from the next; a folder is known by its inode alone."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    folder: bool


@dataclass(frozen=True, slots=True)
class Walk:
    """What one walk saw: the root's identity (device, inode) and the mark of every path."""

    identity: tuple[int, int]
    marks: dict[str, Mark] = field(default_factory=dict)


class RootChangedError(OSError):
    """The root was another folder after the walk than before it."""


def walk(fs: OsFS, target: Target) -> Walk:
    """List the tree. Raises OSError if any of it can't be believed."""
    root = fs.lstat(target.root)
    if not stat.S_ISDIR(root.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "the root is not a folder", target.root)
    seen = Walk((root.st_dev, root.st_ino))
    todo = [""]
    while todo:
        folder = todo.pop()
        try:
            todo.extend(_list_folder(fs, target, folder, seen))
        except FileNotFoundError:
            if not folder:
                raise
            seen.marks.pop(folder, None)
    after = fs.lstat(target.root)
    if (after.st_dev, after.st_ino) != seen.identity:
        raise RootChangedError(errno.ESTALE, "the root changed during the walk", target.root)
    return seen


def _list_folder(fs: OsFS, target: Target, folder: str, seen: Walk) -> list[str]:
    """Mark what is in one folder and return the folders in it."""
    prefix = f"{folder}/" if folder else ""
    below = []
    with fs.scandir(target.absolute(folder)) as entries:
        for entry in entries:
            path = prefix + entry.name
            try:
                mark = _mark(entry.stat(follow_symlinks=False))
            except FileNotFoundError:
                continue
            if target.skips(path, folder=mark.folder):
                continue
            seen.marks[path] = mark
            if mark.folder:
                below.append(path)
    return below


def _mark(found: os.stat_result) -> Mark:
    if stat.S_ISDIR(found.st_mode):
        return Mark(0, 0, 0, found.st_ino, folder=True)
    return Mark(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, folder=False)


def differences(before: Walk, after: Walk) -> Iterator[tuple[str, HintKind]]:
    """Yield what changed between two walks of the same root.

    A folder that came, went or was replaced stands for everything below it.
    """
    for path in before.marks.keys() | after.marks.keys():
        old, new = before.marks.get(path), after.marks.get(path)
        if old == new or _inside_changed_folder(path, before, after):
            continue
        if (old is not None and old.folder) or (new is not None and new.folder):
            yield path, HintKind.SUBTREE
        elif new is None:
            yield path, HintKind.DELETED
        else:
            yield path, HintKind.CREATED if old is None else HintKind.WRITTEN


def _inside_changed_folder(path: str, before: Walk, after: Walk) -> bool:
    folder = path.rpartition("/")[0]
    return bool(folder) and before.marks.get(folder) != after.marks.get(folder)


class Poller:
    """Polls one tree in a thread of its own until `stop`."""

    def __init__(
        self,
        tree: TreeName,
        look: Callable[[], Walk],
        post: Callable[[ShellEvent], None],
        *,
        poll_s: float,
    ) -> None:
        self._tree = tree
        self._look = look
        self._post = post
        self._poll_s = poll_s
        self._walk_s = 0.0
        self._stopping = threading.Event()
        self._lost = False
        self._before = Walk((0, 0))
        self._thread = threading.Thread(
            target=self._run, name=f"syncagent-poll-{tree}", daemon=True
        )

    @property
    def pause_s(self) -> float:
        """Seconds between two walks."""
        return max(self._poll_s, WALKS_PER_PAUSE * self._walk_s)

    def start(self) -> None:
        """Take the first walk as what is known, and go on from there. Raises OSError."""
        self._before = self._timed_look()
        self._thread.start()

    def stop(self, join_s: float) -> None:
        """Post nothing from now on; wait at most `join_s` seconds for a walk under way."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(join_s)

    def poll(self) -> None:
        """Walk once and post what differs."""
        try:
            after = self._timed_look()
        except OSError as error:
            self._lose(_trouble_of(error), str(error))
            return
        if after.identity != self._before.identity:
            moved = after.identity[0] == self._before.identity[0]
            trouble = WatchTrouble.ROOT_MOVED if moved else WatchTrouble.UNMOUNTED
            self._lose(trouble, "another folder is where the root was")
            return
        hints = list(differences(self._before, after))
        if self._lost or len(hints) > HINTS_MAX:
            hints = [("", HintKind.SUBTREE)]
        self._lost = False
        self._before = after
        for path, kind in hints:
            self._tell(Hinted(self._tree, path, kind))

    def _run(self) -> None:
        while not self._stopping.wait(self.pause_s):
            self.poll()

    def _timed_look(self) -> Walk:
        began = time.perf_counter()
        try:
            return self._look()
        finally:
            self._walk_s = time.perf_counter() - began

    def _lose(self, trouble: WatchTrouble, detail: str) -> None:
        """Report that the root can't be believed, once until it can."""
        if not self._lost:
            self._lost = True
            self._tell(WatchFault(self._tree, trouble, detail))

    def _tell(self, event: ShellEvent) -> None:
        if not self._stopping.is_set():
            self._post(event)


def _trouble_of(error: OSError) -> WatchTrouble:
    if isinstance(error, RootChangedError) or error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return WatchTrouble.ROOT_MOVED
    return WatchTrouble.WATCH_FAILED
