"""Watches every tree of a node: by inotify where it can be trusted, else by polling.

What the file system's type promises is put to the proof when watching starts: a hidden name is made
and dropped in the root, and its event has to come back. If it does not, or the kernel has no
watches left, the tree is polled, and the word for `status` says why.

Where a file system's type says that others may write to it unseen, inotify watches beside the poll: it
sees at once what this machine's own processes write, and such a hint says so (`seen_here`). Nothing
is proved there and nothing is missed without it.

`start` for a tree that is watched already drops the old watch first. After OVERFLOW and WATCH_FAILED
a watch goes on (starting anew may turn it into polling); after UNMOUNTED, ROOT_MOVED and DIED it is
over, and the agent calls `start` until the root can be watched again. All inotify trees share one kernel queue and thread (a user has 128 of them).
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from typing import TYPE_CHECKING

from syncagent.core.errors import DiskError
from syncagent.core.events import WatchFault, WatchTrouble
from syncagent.core.ignore import Ignore
from syncagent.core.settings import WatchMode
from syncagent.watch.choose import choose, words_of
from syncagent.watch.inotify import PROBE_PREFIX, Reader, TreeWatch
from syncagent.watch.poll import Poller, walk
from syncagent.watch.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from syncagent.core.artifact import TreeName
    from syncagent.core.events import ShellEvent
    from syncagent.core.settings import TreeSettings
    from syncagent.fsio import OsFS

PROBE_S = 1.0
"""How long the event of the probe may take."""
_PROBE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_CANT_WRITE = frozenset({errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT})


class Watcher:
    """Implements `ports.Hints`. Each tree may be started from a thread of its own.

    A start that hangs with its file system delays no other tree, and `stop` does not wait for it:
    what it comes to later is dropped. `post` is called from threads of this class and must not
    block for ever.
    """

    patience_s = 5.0
    """How long to wait for walks and listings under way, which may hang for ever."""

    def __init__(
        self,
        fs: OsFS,
        trees: Sequence[TreeSettings],
        *,
        post: Callable[[ShellEvent], None],
        poll_s: float,
        make_reader: Callable[[Callable[[], None]], Reader] = Reader,
    ) -> None:
        self._fs = fs
        self._settings: Mapping[TreeName, TreeSettings] = {tree.name: tree for tree in trees}
        self._post = post
        self._poll_s = poll_s
        self._make_reader = make_reader
        self._reader: Reader | None = None
        self._reader_lock = threading.Lock()
        self._stops = 0
        self._watches: dict[TreeName, TreeWatch] = {}
        self._pollers: dict[TreeName, Poller] = {}

    def start(self, tree: TreeName) -> str:
        """Watch a tree, anew if it is watched already; return how, in the words of `status`.

        Raises DiskError if the root is not a folder that can be listed.
        """
        stops = self._stops
        self._end(tree)
        how = self._begin(tree)
        if self._stops != stops:
            self._end(tree)
        return how

    def _begin(self, tree: TreeName) -> str:
        settings = self._settings[tree]
        target = Target(tree, settings.path, Ignore(settings.kind, settings.ignore))
        try:
            self._look_at_root(target)
            choice = choose(self._fs, target.root, settings.watch)
            if not choice.inotify:
                aided = settings.watch is WatchMode.AUTO and self._aid(target)
                return self._poll(
                    target, f"{choice.reason}; own writes by inotify" if aided else choice.reason
                )
            trouble = self._watch(target, forced=settings.watch is WatchMode.INOTIFY)
            return "inotify" if trouble is None else self._poll(target, trouble)
        except OSError as error:
            raise _disk_error(target, error) from error

    def stop(self) -> None:
        """Stop watching everything; no hint comes after this returns."""
        self._stops += 1
        pollers = tuple(self._pollers.values())
        until = time.monotonic() + self.patience_s
        for poller in pollers:
            poller.stop(0.0)
        for poller in pollers:
            poller.stop(max(0.0, until - time.monotonic()))
        self._pollers.clear()
        for tree in tuple(self._watches):
            self._end(tree)
        with self._reader_lock:
            if self._reader is not None:
                self._close(self._reader)
                self._reader = None

    def folders(self, tree: TreeName) -> int | None:
        """Return how many folders of a tree inotify watches; None if it is not inotify's."""
        watch = self._watches.get(tree)
        return None if watch is None else watch.folders

    def _look_at_root(self, target: Target) -> None:
        if not stat.S_ISDIR(self._fs.lstat(target.root).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), target.root)

    def _end(self, tree: TreeName) -> None:
        watch = self._watches.pop(tree, None)
        if watch is not None:
            watch.detach(self.patience_s)
        poller = self._pollers.pop(tree, None)
        if poller is not None:
            poller.stop(self.patience_s)

    def _poll(self, target: Target, reason: str) -> str:
        poller = Poller(
            target.tree, lambda: walk(self._fs, target), self._post, poll_s=self._poll_s
        )
        poller.start()
        self._pollers[target.tree] = poller
        return f"poll {poller.pause_s:.3g} s ({reason})"

    def _aid(self, target: Target) -> bool:
        """Watch for what this machine's own processes do; tell whether that is possible."""
        try:
            watch = TreeWatch(self._living_reader(), self._fs, target, self._post_own)
            watch.attach()
        except OSError:
            return False
        self._watches[target.tree] = watch
        return True

    def _post_own(self, event: ShellEvent) -> None:
        """Post what an aid tells; folders that it can't watch are polled anyway."""
        if not (isinstance(event, WatchFault) and event.trouble is WatchTrouble.WATCH_FAILED):
            self._post(event)

    def _watch(self, target: Target, *, forced: bool) -> str | None:
        """Watch by inotify and prove it; return why not, having let go of it.

        Where the settings force inotify, what is missing is a fault instead. Raises OSError if
        the root itself is the trouble.
        """
        try:
            watch = TreeWatch(self._living_reader(), self._fs, target, self._post)
            uncovered = watch.attach()
        except OSError as error:
            if forced or error.errno not in {errno.ENOSPC, errno.EMFILE, errno.ENOMEM}:
                raise
            return words_of(error)
        trouble = None if uncovered is None else uncovered.detail
        try:
            if trouble is None and not self._proved(target, watch):
                trouble = "inotify reports nothing here"
        except OSError:
            watch.detach(self.patience_s)
            raise
        if trouble is not None and not forced:
            watch.detach(self.patience_s)
            return trouble
        self._watches[target.tree] = watch
        if trouble is not None:
            self._post(WatchFault(target.tree, WatchTrouble.WATCH_FAILED, trouble))
        return None

    def _proved(self, target: Target, watch: TreeWatch) -> bool:
        """Tell whether an event of the root arrives; a root that can't be written is believed."""
        name = f"{PROBE_PREFIX}{os.getpid()}.part"
        try:
            self._fs.close(self._fs.open(target.absolute(name), _PROBE_FLAGS, 0o600))
            self._fs.unlink(target.absolute(name))
        except OSError as error:
            if error.errno in _CANT_WRITE:
                return True
            raise
        return watch.probed.wait(PROBE_S)

    def _living_reader(self) -> Reader:
        """Return the reader; a new one if there is none or its thread ended."""
        with self._reader_lock:
            if self._reader is not None and self._reader.dead:
                self._close(self._reader)
                self._reader = None
            if self._reader is None:
                self._reader = self._make_reader(self._died)
                self._reader.start()
            return self._reader

    def _close(self, reader: Reader) -> None:
        reader.stop()
        reader.join(self.patience_s)

    def _died(self) -> None:
        for watch in tuple(self._watches.values()):
            watch.died()


def _disk_error(target: Target, error: OSError) -> DiskError:
    name = errno.errorcode.get(error.errno or 0, "")
    return DiskError(
        f"tree {target.tree} can't be watched: {error}",
        errno_name=name,
        hint=f"check that {target.root} is a folder which this user may read",
    )
