"""Hints from inotify: one kernel queue and one thread for all trees that it can see.

Theory of operation. Of watchdog this uses the inotify descriptor (`InotifyFD`: reader thread,
parsing, book-keeping of watches) and takes raw events from it. Its observer is left out on purpose:
it pairs moves, which holds a rename from outside the tree for half a second; it walks the tree on
its own with the events that such a walk causes, which at 5,000 folders overflows the queue for
ever; and it swallows what a watcher must tell: lost events, watches that could not be had, and a
root that was moved or unmounted (all measured with 7.1). Only names that watchdog does not mark as
private are used, and `tests/contract/test_watchdog_contract.py` fails if they change.

A move is not followed but forgotten at its source and found again at its target; either side of a
folder's move is a hint for the whole subtree, so nothing hangs on the two sides meeting. A folder
is always watched first and listed after, so that what appears in between is an event. What was
there before is covered by the hint or fault that is posted when the walk is done.

Opening and reading files causes no events (the mask leaves them out), so scans don't wake anybody.
"""

from __future__ import annotations

import errno
import itertools
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from watchdog.observers.inotify_c import CallbackId, InotifyConstants, InotifyFD, Mask

from syncagent.core.events import Hinted, HintKind, WatchFault, WatchTrouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from watchdog.observers.inotify_c import InotifyEvent, WatchDescriptor

    from syncagent.core.events import ShellEvent
    from syncagent.fsio import OsFS
    from syncagent.watch.target import Target

_C = InotifyConstants
WATCH_MASK = Mask(
    _C.IN_CREATE
    | _C.IN_CLOSE_WRITE
    | _C.IN_MOVED_FROM
    | _C.IN_MOVED_TO
    | _C.IN_DELETE
    | _C.IN_DELETE_SELF
    | _C.IN_MOVE_SELF
    | _C.IN_DONT_FOLLOW
    | _C.IN_EXCL_UNLINK
    | _C.IN_ONLYDIR
)
"""What the kernel is asked for. Never IN_OPEN, IN_ACCESS or IN_CLOSE_NOWRITE: see above."""

PROBE_PREFIX = ".syncagent-probe-"
"""Start of the name by which a watch is proved to be alive; hidden, and never ends in `xml`."""

_FILE_HINTS: tuple[tuple[int, HintKind], ...] = (
    (_C.IN_CLOSE_WRITE, HintKind.WRITTEN),
    (_C.IN_MOVED_TO, HintKind.WRITTEN),
    (_C.IN_CREATE, HintKind.CREATED),
    (_C.IN_MOVED_FROM, HintKind.DELETED),
    (_C.IN_DELETE, HintKind.DELETED),
)
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""The folder vanished, or became a file or link, between being named and being watched."""
_EXHAUSTED = frozenset({errno.ENOSPC, errno.ENOMEM})
"""No further watch will be had either, so that trying on is only slow."""


@dataclass(frozen=True, slots=True)
class Uncovered:
    """Folders that could not be watched: how many are known, and the first one's reason."""

    count: int
    errno: int
    detail: str


class Reader(InotifyFD):
    """The kernel queue and its thread. `died` is called if the thread ends unasked.

    Raises OSError (EMFILE) if the user has too many inotify instances.
    """

    def __init__(self, died: Callable[[], None]) -> None:
        super().__init__()
        self.name = "syncagent-inotify"
        self.dead = False
        """Whether the thread ended unasked; set before `died` is called."""
        self._died = died
        self._ids = itertools.count(1)

    def run(self) -> None:
        """Read and pass on events until told to stop."""
        try:
            super().run()
        finally:
            if self.should_keep_running():
                self.dead = True
                self._died()

    def add(self, path: str, watch: TreeWatch) -> tuple[WatchDescriptor, CallbackId]:
        """Watch one folder for `watch`. Raises OSError."""
        # A fresh id each time: the same id twice on one watch would be a warning.
        callback = CallbackId(next(self._ids))
        wd = self.add_callback(os.fsencode(path), WATCH_MASK, watch, callback)
        if wd == -1:  # how watchdog answers EACCES
            self.remove_callbacks([(wd, callback)])
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return wd, callback


class TreeWatch:
    """The watches of one tree. Its callbacks run in the reader's thread.

    After an unmount, a moved or deleted root, or the reader's death the watch is over: it said so
    once and stays silent; make a new one.
    """

    def __init__(
        self, reader: Reader, fs: OsFS, target: Target, post: Callable[[ShellEvent], None]
    ) -> None:
        self.probed = threading.Event()
        self._reader = reader
        self._fs = fs
        self._target = target
        self._post = post
        self._lock = threading.Lock()
        self._active = False
        self._given_up = False
        self._paths: dict[WatchDescriptor, str] = {}
        self._watches: dict[str, tuple[WatchDescriptor, CallbackId]] = {}

    @property
    def folders(self) -> int:
        """How many folders are watched."""
        return len(self._watches)

    def attach(self) -> Uncovered | None:
        """Watch the tree; return what could not be watched below the root.

        Raises OSError if the root can't be watched or listed.
        """
        with self._lock:
            self._active = True
            try:
                self._add("")
                self._fs.listdir(self._target.root)
                return self._cover("")
            except OSError:
                self._release()
                raise

    def detach(self, within_s: float) -> None:
        """Give the watches back; at most a hint that is on its way still comes.

        A listing that is under way may hang for ever: after `within_s` they go with the process.
        """
        if self._lock.acquire(timeout=within_s):
            try:
                self._release()
            finally:
                self._lock.release()
        else:
            self._active, self._given_up = False, True

    def died(self) -> None:
        """Report that the reader's thread ended."""
        with self._lock:
            was_active, self._active = self._active, False
        if was_active:
            self._post_fault(WatchTrouble.DIED, "the inotify thread ended")

    # What the reader calls.

    def on_event(self, event: InotifyEvent) -> None:
        """Turn one kernel event into hints."""
        with self._lock:
            happened = tuple(self._take(event)) if self._active else ()
        for each in happened:
            self._post(each)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """Forget a watch that the kernel has dropped."""
        if self._given_up:
            return
        with self._lock:
            path = self._paths.pop(wd, None)
            if path is not None:
                self._watches.pop(path, None)
            lost = self._active and path == ""
            if lost:
                self._release()
        if lost:
            self._post_fault(WatchTrouble.ROOT_MOVED, "the root's watch was dropped")

    def on_queue_overflow(self) -> None:
        """Watch what appeared while events were lost, then report the loss.

        Existing watches stay: removing one is an event too, and would fill the queue again.
        """
        with self._lock:
            if not self._active:
                return
            kept: set[str] = set()
            uncovered = self._cover("", kept)
            for path in self._watches.keys() - kept:
                self._forget(path)
        self._post_fault(WatchTrouble.OVERFLOW, "the kernel's queue overflowed")
        if uncovered is not None:
            self._post_fault(WatchTrouble.WATCH_FAILED, uncovered.detail)

    # Under the lock.

    def _take(self, event: InotifyEvent) -> Iterator[ShellEvent]:
        folder = self._paths.get(event.wd)
        if folder is None:
            return
        if event.mask & (_C.IN_UNMOUNT | _C.IN_MOVE_SELF | _C.IN_DELETE_SELF):
            yield from self._take_lost(event, folder)
            return
        name = os.fsdecode(event.name)
        if not folder and name.startswith(PROBE_PREFIX):
            self.probed.set()
            return
        path = f"{folder}/{name}" if folder else name
        is_folder = bool(event.mask & _C.IN_ISDIR)
        if not name or self._target.skips(path, folder=is_folder):
            return
        if is_folder:
            yield from self._take_folder(event, path)
            return
        for bit, kind in _FILE_HINTS:
            if event.mask & bit:
                yield Hinted(self._target.tree, path, kind, seen_here=True)
                return

    def _take_lost(self, event: InotifyEvent, folder: str) -> Iterator[ShellEvent]:
        """Judge an event about a watched folder itself; other folders' parents tell of moves."""
        if event.mask & _C.IN_UNMOUNT:
            # Of a mount below the root too: other folders are there now, and none is watched.
            self._release()
            yield self._fault(WatchTrouble.UNMOUNTED, self._target.absolute(folder))
        elif not folder:
            self._release()
            word = "moved" if event.mask & _C.IN_MOVE_SELF else "deleted"
            yield self._fault(WatchTrouble.ROOT_MOVED, f"{self._target.root} was {word}")

    def _take_folder(self, event: InotifyEvent, path: str) -> Iterator[ShellEvent]:
        """Follow a folder that came or went."""
        uncovered = None
        if event.mask & _C.IN_DELETE:  # so it was empty: nothing below is watched
            self._forget(path)
        else:
            if event.mask & _C.IN_MOVED_FROM:
                self._forget_below(path)
            # Also at the source of a move: two folders may have swapped their names.
            uncovered = self._cover(path)
        yield Hinted(self._target.tree, path, HintKind.SUBTREE, seen_here=True)
        if uncovered is not None:
            yield self._fault(WatchTrouble.WATCH_FAILED, uncovered.detail)

    def _cover(self, top: str, kept: set[str] | None = None) -> Uncovered | None:
        """Watch `top` and all folders below; collect what is watched in `kept`."""
        failed: list[OSError] = []
        todo = [top]
        while todo and not (failed and failed[-1].errno in _EXHAUSTED):
            path = todo.pop()
            try:
                self._add(path)
                if kept is not None:
                    kept.add(path)
                todo.extend(self._folders_in(path))
            except OSError as error:
                if error.errno not in _GONE:
                    failed.append(error)
        if not failed:
            return None
        first = failed[0]
        detail = f"{len(failed)} or more folders are not watched: {first}"
        return Uncovered(len(failed), first.errno or errno.EIO, detail)

    def _folders_in(self, path: str) -> list[str]:
        prefix = f"{path}/" if path else ""
        with self._fs.scandir(self._target.absolute(path)) as entries:
            return [
                prefix + entry.name
                for entry in entries
                if entry.is_dir(follow_symlinks=False)
                and not self._target.skips(prefix + entry.name, folder=True)
            ]

    def _add(self, path: str) -> None:
        """Watch one folder; the same inode under another name is the same watch."""
        wd, callback = self._reader.add(self._target.absolute(path), self)
        known = self._paths.pop(wd, None)
        if known is not None:
            old = self._watches.pop(known, None)
            if old is not None:
                self._reader.remove_callbacks([old])
        self._forget(path)  # another folder had this name
        self._paths[wd] = path
        self._watches[path] = (wd, callback)

    def _forget_below(self, top: str) -> None:
        """Give back the watches of `top` and below."""
        below = f"{top}/"
        for path in [path for path in self._watches if path == top or path.startswith(below)]:
            self._forget(path)

    def _forget(self, path: str) -> None:
        watch = self._watches.pop(path, None)
        if watch is not None:
            self._paths.pop(watch[0], None)
            self._reader.remove_callbacks([watch])

    def _release(self) -> None:
        """End this watch: silent from now on, and nothing is held."""
        self._active = False
        watches = list(self._watches.values())
        self._watches.clear()
        self._paths.clear()
        self._reader.remove_callbacks(watches)

    def _fault(self, trouble: WatchTrouble, detail: str) -> WatchFault:
        return WatchFault(self._target.tree, trouble, detail)

    def _post_fault(self, trouble: WatchTrouble, detail: str) -> None:
        self._post(self._fault(trouble, detail))
